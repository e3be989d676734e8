/*
 * hash.c - XXH3-64 and hex.  CRC-32C is in crc32c.c, SHA-256 in hash_openssl.c.
 *
 * The only file that includes xxhash.h: inlined, so that the library's version cannot change at run
 * time what state files depend on.
 */
#include "common/base/hash.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/cpu.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

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

__attribute__((constructor)) static void choose_vectors(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (cpu_has_avx512()) {
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

void hash_hex(const uint8_t *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * len] = 0;
}
