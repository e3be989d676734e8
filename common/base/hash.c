/*
 * hash.c - XXH3-64, CRC-32C and hex.  SHA-256 is in hash_openssl.c.
 *
 * The only file that includes xxhash.h: inlined, so that the library's version cannot change at run
 * time what state files depend on.  CRC-32C runs three lanes of the processor's instruction
 * (latency 3, throughput 1) and joins them with tables that advance a CRC over one lane of zeros.
 */
#include "common/base/hash.h"

#include <stdbool.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#define CRC32C_POLY_REFLECTED 0x82f63b78u
#define LANE_BYTES            512

uint64_t hash_xxh3(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}

/*
 * Both forms of 4 to 16 bytes are computed, and one is taken: lengths change from key to key, and a branch that is
 * guessed wrong costs more than a multiplication.
 */
void hash_xxh3_heads(const uint64_t (*head)[2], const uint32_t *len, uint32_t count, uint64_t *hash)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *p = (const uint8_t *)head[i];
        size_t n = len[i];
        uint64_t few, more, is_more = -(uint64_t)(n > 8);

        if (__builtin_expect(n > 16, 0))
            continue;
        if (__builtin_expect(n < 4, 0)) {
            hash[i] = XXH3_64bits(p, n);
            continue;
        }
        few = XXH3_len_4to8_64b(p, n, XXH3_kSecret, 0);
        more = XXH3_len_9to16_64b(p, n > 8 ? n : 8, XXH3_kSecret, 0);
        hash[i] = (more & is_more) | (few & ~is_more);
    }
}

/*
 * XXH3 of 4 to 8 bytes for columns of numbers, written so that compilers turn it into vectors: xxhash.h's own form, without a
 * length to branch on.  One body, compiled for what the processor may have.
 */
#if defined(__GNUC__) && !defined(__clang__)
#define VECTORS __attribute__((optimize("O3")))
#else
#define VECTORS
#endif
#define XXH3_MIX 0x9fb21c651e98df25u

static inline __attribute__((always_inline)) uint64_t xxh3_of_few(uint64_t keyed, uint32_t len)
{
    uint64_t h = keyed ^ (keyed << 49 | keyed >> 15) ^ (keyed << 24 | keyed >> 40);

    h *= XXH3_MIX;
    h ^= (h >> 35) + len;
    h *= XXH3_MIX;
    return h ^ h >> 28;
}

static uint64_t xxh3_flip(void)
{
    return XXH_readLE64(XXH3_kSecret + 8) ^ XXH_readLE64(XXH3_kSecret + 16);
}

static inline __attribute__((always_inline)) void signed64(const int64_t *number, uint32_t count, uint64_t *restrict hash)
{
    uint64_t flip = xxh3_flip();

    for (uint32_t i = 0; i < count; i++) {
        uint64_t v = __builtin_bswap64((uint64_t)number[i] ^ UINT64_C(1) << 63);

        hash[i] = xxh3_of_few((v << 32 | v >> 32) ^ flip, 8);
    }
}

static inline __attribute__((always_inline)) void signed32(const int32_t *number, uint32_t count, uint64_t *restrict hash)
{
    uint64_t flip = xxh3_flip();

    for (uint32_t i = 0; i < count; i++) {
        uint64_t v = __builtin_bswap32((uint32_t)number[i] ^ UINT32_C(1) << 31);

        hash[i] = xxh3_of_few((v << 32 | v) ^ flip, 4);
    }
}

VECTORS static void signed64_plain(const int64_t *number, uint32_t count, uint64_t *hash)
{
    signed64(number, count, hash);
}

VECTORS static void signed32_plain(const int32_t *number, uint32_t count, uint64_t *hash)
{
    signed32(number, count, hash);
}

#if defined(__x86_64__)
#if defined(__clang__) /* does not know the wish for wide registers, and takes them anyway */
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#else
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")))
#endif

VECTORS AVX512 static void signed64_avx512(const int64_t *number, uint32_t count, uint64_t *hash)
{
    signed64(number, count, hash);
}

VECTORS AVX512 static void signed32_avx512(const int32_t *number, uint32_t count, uint64_t *hash)
{
    signed32(number, count, hash);
}

VECTORS __attribute__((target("avx2"))) static void signed64_avx2(const int64_t *number, uint32_t count, uint64_t *hash)
{
    signed64(number, count, hash);
}

VECTORS __attribute__((target("avx2"))) static void signed32_avx2(const int32_t *number, uint32_t count, uint64_t *hash)
{
    signed32(number, count, hash);
}
#endif

/* Chosen once before main. */
static void (*signed64_here)(const int64_t *, uint32_t, uint64_t *) = signed64_plain;
static void (*signed32_here)(const int32_t *, uint32_t, uint64_t *) = signed32_plain;

static void choose_vectors(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        signed64_here = signed64_avx512;
        signed32_here = signed32_avx512;
    } else if (__builtin_cpu_supports("avx2")) {
        signed64_here = signed64_avx2;
        signed32_here = signed32_avx2;
    }
#endif
}

void hash_xxh3_signed64(const int64_t *number, uint32_t count, uint64_t *hash)
{
    signed64_here(number, count, hash);
}

void hash_xxh3_signed32(const int32_t *number, uint32_t count, uint64_t *hash)
{
    signed32_here(number, count, hash);
}

/* Written once before main, read-only afterwards. */
static uint32_t crc_table[8][256];  /* [k][b]: byte b followed by k zero bytes */
static uint32_t lane_table[4][256]; /* [k][b]: byte k of a CRC is b, then a lane of zeros */
static bool crc_in_hardware;

static uint32_t crc_zero_byte(uint32_t crc)
{
    return crc_table[0][crc & 0xff] ^ crc >> 8;
}

__attribute__((constructor)) static void crc_tables_fill(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;

        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? CRC32C_POLY_REFLECTED ^ crc >> 1 : crc >> 1;
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
#if defined(__x86_64__)
    __builtin_cpu_init();
    crc_in_hardware = __builtin_cpu_supports("sse4.2");
#endif
    choose_vectors();
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

#if defined(__x86_64__)
static uint32_t crc_over_lane_of_zeros(uint32_t crc)
{
    return lane_table[0][crc & 0xff] ^ lane_table[1][crc >> 8 & 0xff] ^
           lane_table[2][crc >> 16 & 0xff] ^ lane_table[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *p,
                                                               size_t len)
{
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
#endif

uint32_t hash_crc32c(uint32_t crc, const void *data, size_t len)
{
#if defined(__x86_64__)
    if (crc_in_hardware)
        return crc32c_sse42(crc, data, len);
#endif
    return hash_crc32c_portable(crc, data, len);
}

void hash_hex(const uint8_t *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * len] = 0;
}
