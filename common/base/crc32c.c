/*
 * crc32c.c - CRC-32C, of hash.h, in the form that the processor has.
 *
 * Carry-less products of 512 bits fold 256 bytes at a time (Gopal et al., "Fast CRC Computation for Generic Polynomials Using
 * PCLMULQDQ Instruction", Intel 2009), which is as fast as the second-level cache.  Otherwise three lanes of the CRC instruction
 * (latency 3, throughput 1), joined with tables that advance a CRC over one lane of zeros; and tables alone without it.
 */
#include <stdbool.h>
#include <string.h>

#include "common/base/cpu.h"
#include "common/base/hash.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define POLY_REFLECTED 0x82f63b78u
#define POLY           0x1edc6f41u
#define LANE_BYTES     512

/* Written once before main, read-only afterwards. */
static uint32_t crc_table[8][256];  /* [k][b]: byte b followed by k zero bytes */
static uint32_t lane_table[4][256]; /* [k][b]: byte k of a CRC is b, then a lane of zeros */

static uint32_t crc_zero_byte(uint32_t crc)
{
    return crc_table[0][crc & 0xff] ^ crc >> 8;
}

static uint64_t load_u64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

uint32_t hash_crc32c_portable(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;

    crc = ~crc;
    for (; len >= 8; len -= 8, p += 8) {
        uint32_t next = 0;

        for (int i = 0; i < 4; i++)
            next ^= crc_table[7 - i][(uint8_t)(crc >> (8 * i)) ^ p[i]] ^ crc_table[3 - i][p[4 + i]];
        crc = next;
    }
    for (; len > 0; len--, p++)
        crc = crc_table[0][(uint8_t)crc ^ *p] ^ crc >> 8;
    return ~crc;
}

/* Chosen once before main. */
static uint32_t (*crc32c_here)(uint32_t, const void *, size_t) = hash_crc32c_portable;

#if defined(__x86_64__)
static uint32_t crc_over_lane_of_zeros(uint32_t crc)
{
    return lane_table[0][crc & 0xff] ^ lane_table[1][crc >> 8 & 0xff] ^
           lane_table[2][crc >> 16 & 0xff] ^ lane_table[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_lanes(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t a = ~crc;

    for (; len >= 3 * LANE_BYTES; len -= 3 * LANE_BYTES, p += 3 * LANE_BYTES) {
        uint64_t b = 0, c = 0;

        for (size_t i = 0; i < LANE_BYTES; i += 8) {
            a = _mm_crc32_u64(a, load_u64(p + i));
            b = _mm_crc32_u64(b, load_u64(p + LANE_BYTES + i));
            c = _mm_crc32_u64(c, load_u64(p + 2 * LANE_BYTES + i));
        }
        a = crc_over_lane_of_zeros((uint32_t)a) ^ b;
        a = crc_over_lane_of_zeros((uint32_t)a) ^ c;
    }
    for (; len >= 8; len -= 8, p += 8)
        a = _mm_crc32_u64(a, load_u64(p));
    for (; len > 0; len--, p++)
        a = _mm_crc32_u8((uint32_t)a, *p);
    return ~(uint32_t)a;
}

/* What 16 bytes are multiplied by, the first 8 and the last 8, to stand so many bytes further on. */
enum { FOLD_16, FOLD_64, FOLD_256, FOLDS };
static uint64_t fold_by[FOLDS][2];

/* x^n modulo the polynomial, its bits reflected, as the product of two reflected factors wants it: one place to the left. */
static uint64_t power_reflected(uint32_t n)
{
    uint32_t power = 1;
    uint64_t reflected = 0;

    for (uint32_t i = 0; i < n; i++)
        power = power << 1 ^ (power >> 31 ? POLY : 0);
    for (uint32_t bit = 0; bit < 32; bit++)
        reflected |= (uint64_t)(power >> bit & 1) << (31 - bit);
    return reflected << 1;
}

static void folds_fill(void)
{
    static const uint32_t bytes[FOLDS] = {16, 64, 256};

    for (uint32_t i = 0; i < FOLDS; i++) {
        fold_by[i][0] = power_reflected(8 * bytes[i] + 32);
        fold_by[i][1] = power_reflected(8 * bytes[i] - 32);
    }
}

#define FOLDING __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,vpclmulqdq,pclmul,sse4.2")))

FOLDING static inline __m512i fold_64(__m512i sum, __m512i by, __m512i next)
{
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(sum, by, 0x00), _mm512_clmulepi64_epi128(sum, by, 0x11), next,
                                     0x96); /* exclusive or of three */
}

FOLDING static inline __m512i by_512(int fold)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)fold_by[fold]));
}

FOLDING static inline __m128i fold_16(__m128i sum, __m128i by, __m128i next)
{
    return _mm_ternarylogic_epi64(_mm_clmulepi64_si128(sum, by, 0x00), _mm_clmulepi64_si128(sum, by, 0x11), next, 0x96);
}

FOLDING static uint32_t crc32c_folding(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;
    __m512i by, a, b, c, d;
    __m128i by_16, sum;
    uint64_t rest;

    if (len < 256)
        return crc32c_lanes(crc, data, len);
    by = by_512(FOLD_256);
    a = _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)~crc)));
    b = _mm512_loadu_si512(p + 64);
    c = _mm512_loadu_si512(p + 128);
    d = _mm512_loadu_si512(p + 192);
    for (p += 256, len -= 256; len >= 256; p += 256, len -= 256) {
        a = fold_64(a, by, _mm512_loadu_si512(p));
        b = fold_64(b, by, _mm512_loadu_si512(p + 64));
        c = fold_64(c, by, _mm512_loadu_si512(p + 128));
        d = fold_64(d, by, _mm512_loadu_si512(p + 192));
    }
    by = by_512(FOLD_64);
    a = fold_64(fold_64(fold_64(a, by, b), by, c), by, d);
    for (; len >= 64; p += 64, len -= 64)
        a = fold_64(a, by, _mm512_loadu_si512(p));
    by_16 = _mm_loadu_si128((const __m128i *)fold_by[FOLD_16]);
    sum = fold_16(_mm512_castsi512_si128(a), by_16, _mm512_extracti32x4_epi32(a, 1));
    sum = fold_16(sum, by_16, _mm512_extracti32x4_epi32(a, 2));
    sum = fold_16(sum, by_16, _mm512_extracti32x4_epi32(a, 3));
    rest = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(sum));
    rest = _mm_crc32_u64(rest, (uint64_t)_mm_extract_epi64(sum, 1));
    return crc32c_lanes(~(uint32_t)rest, p, len);
}
#endif

static void tables_fill(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;

        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? POLY_REFLECTED ^ crc >> 1 : crc >> 1;
        crc_table[0][b] = crc;
    }
    for (int k = 1; k < 8; k++) {
        for (int b = 0; b < 256; b++)
            crc_table[k][b] = crc_zero_byte(crc_table[k - 1][b]);
    }
    for (int bit = 0; bit < 32; bit++) {
        uint32_t crc = 1u << bit;

        for (int i = 0; i < LANE_BYTES; i++)
            crc = crc_zero_byte(crc);
        for (int b = 0; b < 256; b++) {
            if (b >> (bit % 8) & 1)
                lane_table[bit / 8][b] ^= crc;
        }
    }
}

__attribute__((constructor)) static void crc32c_choose(void)
{
    tables_fill();
#if defined(__x86_64__)
    folds_fill();
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.2"))
        crc32c_here = crc32c_lanes;
    if (__builtin_cpu_supports("vpclmulqdq") && cpu_has_avx512())
        crc32c_here = crc32c_folding;
#endif
}

uint32_t hash_crc32c(uint32_t crc, const void *data, size_t len)
{
    return crc32c_here(crc, data, len);
}

/* Of two polynomials modulo the CRC's, bits reflected: the highest is x^0. */
static uint32_t product(uint32_t a, uint32_t b)
{
    uint32_t sum = 0;

    for (uint32_t bit = 1u << 31; bit; bit >>= 1) {
        sum ^= a & bit ? b : 0;
        b = b & 1 ? POLY_REFLECTED ^ b >> 1 : b >> 1;
    }
    return sum;
}

/* The first part stands second_len bytes further on: it is multiplied by x^(8 * second_len). */
uint32_t hash_crc32c_join(uint32_t first, uint32_t second, uint64_t second_len)
{
    for (uint32_t power = 1u << 23; second_len; second_len >>= 1, power = product(power, power)) /* x^8, x^16, x^32 ... */
        if (second_len & 1)
            first = product(first, power);
    return first ^ second;
}
