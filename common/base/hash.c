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
 * XXH3 of 4 to 16 bytes for many keys, written so that compilers turn it into vectors: xxhash.h's own form, without a length
 * to branch on.  One body, compiled for what the processor may have.
 */
#if defined(__GNUC__) && !defined(__clang__)
#define VECTORS __attribute__((optimize("O3")))
#else
#define VECTORS
#endif
#define XXH3_MIX 0x9fb21c651e98df25u

static inline __attribute__((always_inline)) uint64_t xxh3_of_few(uint64_t keyed, uint64_t len)
{
    uint64_t h = keyed ^ (keyed << 49 | keyed >> 15) ^ (keyed << 24 | keyed >> 40);

    h *= XXH3_MIX;
    h ^= (h >> 35) + len;
    h *= XXH3_MIX;
    return h ^ h >> 28;
}

static uint64_t xxh3_flip(uint32_t at)
{
    return XXH_readLE64(XXH3_kSecret + at) ^ XXH_readLE64(XXH3_kSecret + at + 8);
}

static inline __attribute__((always_inline)) uint64_t xxh3_avalanche(uint64_t h)
{
    h = (h ^ h >> 37) * 0x165667919e3779f9u;
    return h ^ h >> 32;
}

/* The 128 bits of a product, folded; of products of 32 bits, as vectors have no others. */
static inline __attribute__((always_inline)) uint64_t fold(uint64_t a, uint64_t b)
{
    uint64_t low = (uint64_t)(uint32_t)a * (uint32_t)b, high = (a >> 32) * (b >> 32);
    uint64_t one = (a >> 32) * (uint32_t)b, two = (uint32_t)a * (b >> 32);
    uint64_t middle = (low >> 32) + (uint32_t)one + (uint32_t)two;

    return ((middle << 32) | (uint32_t)low) ^ (high + (one >> 32) + (two >> 32) + (middle >> 32));
}

/*
 * Both forms, of 4 to 8 bytes and of more, are computed and one is taken: lengths change from key to key.  What comes out
 * for other lengths is of no use; returns whether one was below 4.
 */
static inline __attribute__((always_inline)) bool heads(const uint64_t (*restrict head)[2], const uint32_t *restrict len,
                                                        uint32_t count, uint64_t *restrict hash)
{
    uint64_t flip = xxh3_flip(8), flip_low = xxh3_flip(24), flip_high = xxh3_flip(40), few = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t n = len[i], low = head[i][0], high = head[i][1];
        uint64_t tail = (uint32_t)(low >> 8 * ((n - 4) & 7)), is_more = -(uint64_t)(n > 8);
        uint64_t less = xxh3_of_few((tail | low << 32) ^ flip, n);
        uint64_t last = high << (56 - 8 * ((n - 9) & 7)) | low >> 8 >> 8 * ((n - 9) & 7);
        uint64_t a = low ^ flip_low, b = last ^ flip_high;
        uint64_t more = xxh3_avalanche(n + __builtin_bswap64(a) + b + fold(a, b));

        hash[i] = (more & is_more) | (less & ~is_more);
        few |= n < 4;
    }
    return few != 0;
}

static inline __attribute__((always_inline)) void signed64(const int64_t *number, uint32_t count, uint64_t *restrict hash)
{
    uint64_t flip = xxh3_flip(8);

    for (uint32_t i = 0; i < count; i++) {
        uint64_t v = __builtin_bswap64((uint64_t)number[i] ^ UINT64_C(1) << 63);

        hash[i] = xxh3_of_few((v << 32 | v >> 32) ^ flip, 8);
    }
}

static inline __attribute__((always_inline)) void signed32(const int32_t *number, uint32_t count, uint64_t *restrict hash)
{
    uint64_t flip = xxh3_flip(8);

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

VECTORS static bool heads_plain(const uint64_t (*head)[2], const uint32_t *len, uint32_t count, uint64_t *hash)
{
    return heads(head, len, count, hash);
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

VECTORS AVX512 static bool heads_avx512(const uint64_t (*head)[2], const uint32_t *len, uint32_t count, uint64_t *hash)
{
    return heads(head, len, count, hash);
}

VECTORS __attribute__((target("avx2"))) static void signed64_avx2(const int64_t *number, uint32_t count, uint64_t *hash)
{
    signed64(number, count, hash);
}

VECTORS __attribute__((target("avx2"))) static void signed32_avx2(const int32_t *number, uint32_t count, uint64_t *hash)
{
    signed32(number, count, hash);
}

VECTORS __attribute__((target("avx2"))) static bool heads_avx2(const uint64_t (*head)[2], const uint32_t *len, uint32_t count,
                                                               uint64_t *hash)
{
    return heads(head, len, count, hash);
}
#endif

/* Chosen once before main. */
static void (*signed64_here)(const int64_t *, uint32_t, uint64_t *) = signed64_plain;
static void (*signed32_here)(const int32_t *, uint32_t, uint64_t *) = signed32_plain;
static bool (*heads_here)(const uint64_t (*)[2], const uint32_t *, uint32_t, uint64_t *) = heads_plain;

#if defined(__x86_64__)
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#endif

static void choose_vectors(void)
{
#if defined(__x86_64__)
    if (has_avx512()) {
        signed64_here = signed64_avx512;
        signed32_here = signed32_avx512;
        heads_here = heads_avx512;
    } else if (__builtin_cpu_supports("avx2")) {
        signed64_here = signed64_avx2;
        signed32_here = signed32_avx2;
        heads_here = heads_avx2;
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

void hash_xxh3_heads(const uint64_t (*head)[2], const uint32_t *len, uint32_t count, uint64_t *hash)
{
    if (!heads_here(head, len, count, hash))
        return;
    for (uint32_t i = 0; i < count; i++)
        if (len[i] < 4)
            hash[i] = XXH3_64bits(head[i], len[i]);
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
