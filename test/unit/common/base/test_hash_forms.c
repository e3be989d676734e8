/* test_hash_forms.c - every form of the hashes of many keys that this processor can run against xxhash.h, key by key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/hash.c"

enum { KEYS = 77, ROUNDS = 3000 };

struct form {
    void (*signed64)(const int64_t *number, uint32_t count, uint64_t *hash);
    void (*signed32)(const int32_t *number, uint32_t count, uint64_t *hash);
    bool (*heads)(const uint64_t (*head)[2], const uint32_t *len, uint32_t count, uint64_t *hash);
};

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed ^ *seed >> 29;
}

static void check_heads(const struct form *f, uint64_t *seed)
{
    uint64_t head[KEYS][2] = {{0}}, hash[KEYS] = {0};
    uint32_t len[KEYS] = {0}, count = (uint32_t)(next_random(seed) % (KEYS + 1));
    bool few = false;

    for (uint32_t i = 0; i < count; i++) {
        head[i][0] = next_random(seed);
        head[i][1] = next_random(seed);
        len[i] = (uint32_t)(next_random(seed) % (next_random(seed) % 8 == 0 ? 40 : 17));
        len[i] = next_random(seed) % 4 ? len[i] | 4 : len[i];
        few |= len[i] < 4;
    }
    assert_int_equal(f->heads(head, len, count, hash), few);
    for (uint32_t i = 0; i < count; i++)
        if (len[i] >= 4 && len[i] <= 16)
            assert_int_equal(hash[i], hash_xxh3(head[i], len[i]));
}

static void check_numbers(const struct form *f, uint64_t *seed)
{
    uint32_t count = (uint32_t)(next_random(seed) % (KEYS + 1));
    uint64_t hash[KEYS] = {0};
    int64_t wide[KEYS] = {0};
    int32_t narrow[KEYS] = {0};

    for (uint32_t i = 0; i < count; i++) {
        wide[i] = (int64_t)next_random(seed) >> next_random(seed) % 60;
        narrow[i] = (int32_t)wide[i];
    }
    f->signed64(wide, count, hash);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes = __builtin_bswap64((uint64_t)wide[i] ^ UINT64_C(1) << 63);

        assert_int_equal(hash[i], hash_xxh3(&bytes, 8));
    }
    f->signed32(narrow, count, hash);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bytes = __builtin_bswap32((uint32_t)narrow[i] ^ UINT32_C(1) << 31);

        assert_int_equal(hash[i], hash_xxh3(&bytes, 4));
    }
}

static void every_form_is_xxh3(void **state)
{
    struct form forms[3] = {{signed64_plain, signed32_plain, heads_plain}};
    uint32_t n = 1;
    uint64_t seed = 1;

    (void)state;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        forms[n++] = (struct form){signed64_avx2, signed32_avx2, heads_avx2};
    if (cpu_has_avx512())
        forms[n++] = (struct form){signed64_avx512, signed32_avx512, heads_avx512};
#endif
    for (uint32_t i = 0; i < n; i++)
        for (int round = 0; round < ROUNDS; round++) {
            check_heads(&forms[i], &seed);
            check_numbers(&forms[i], &seed);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_form_is_xxh3)};

    return cmocka_run_group_tests_name("hash_forms", tests, NULL, NULL);
}
