/* Cells as text: numbers take a fast way that must not differ from printf's. */
#include <math.h>

#include "test/unit/connectors/harness.h"

static void cell_text(rask_batch *b, struct bytes *out)
{
    bytes_clear(out);
    batch_format_cell(b, 0, 0, out);
}

static uint64_t rng(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double some_double(uint64_t *seed, uint32_t kind)
{
    uint64_t r = rng(seed);
    double v;

    switch (kind) {
    case 0:
        return (double)(int64_t)(r % 2000000) / 100 - 10000;
    case 1:
        return (double)(r % 1000000000000000);
    case 2:
        return (double)(r % 100000) / 1e7;
    case 3:
        return (double)(r >> 11) / (double)(1ull << 53);
    default:
        memcpy(&v, &r, sizeof(v));
        return v;
    }
}

static void doubles(void **state)
{
    static const rask_field field = {"d", RASK_T_DOUBLE, 0, 0, 0, NULL};
    static const rask_schema schema = {RASK_ABI, 1, "d", &field};
    struct pool *pool = pool_new(0);
    rask_batch *b = batch_new(pool, &schema, 1, 0);
    struct bytes got = {0};
    uint64_t seed = 5;

    (void)state;
    for (uint32_t i = 0; i < 100000; i++) {
        double v = some_double(&seed, i % 5);
        char expected[48];

        if (isnan(v) || isinf(v))
            continue;
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(expected, sizeof(expected) - 2, "%.*g", digits, v);
            if (strtod(expected, NULL) == v)
                break;
        }
        if (!strpbrk(expected, ".e"))
            memcpy(expected + strlen(expected), ".0", 3);
        memcpy(b->columns[0].data, &v, sizeof(v));
        cell_text(b, &got);
        assert_string_equal(got.data, expected);
    }
    bytes_release(&got);
    batch_unref(b);
    pool_free(pool);
}

static void integers(void **state)
{
    static const rask_field field = {"n", RASK_T_BIGINT, 0, 0, 0, NULL};
    static const rask_schema schema = {RASK_ABI, 1, "n", &field};
    struct pool *pool = pool_new(0);
    rask_batch *b = batch_new(pool, &schema, 1, 0);
    struct bytes got = {0};
    uint64_t seed = 5;

    (void)state;
    for (uint32_t i = 0; i < 10000; i++) {
        int64_t v = i == 0 ? INT64_MIN : i == 1 ? INT64_MAX : (int64_t)rng(&seed) >> (i % 64);
        char expected[32];

        snprintf(expected, sizeof(expected), "%lld", (long long)v);
        memcpy(b->columns[0].data, &v, sizeof(v));
        cell_text(b, &got);
        assert_string_equal(got.data, expected);
    }
    bytes_release(&got);
    batch_unref(b);
    pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(doubles), cmocka_unit_test(integers)};

    return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
