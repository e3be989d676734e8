/* test_hot.c - the hottest key group from samples of blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/types/key_bytes.h"
#include "taskmanager/worker/exchange/hot.h"

#define ROWS 1000
#define GROUPS 128

static uint64_t hash_of_group(uint32_t group)
{
    return ((uint64_t)group << 32) / GROUPS << 32;
}

static uint32_t draw(uint64_t *random, uint32_t below)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*random >> 33) % below);
}

/* permille of the rows are of one group, the others of any. */
static void feed(struct wk_hot *hot, int blocks, uint32_t group, uint32_t permille)
{
    uint64_t hash[ROWS], random = 1;

    for (int b = 0; b < blocks; b++) {
        for (uint32_t i = 0; i < ROWS; i++) {
            uint32_t other = draw(&random, GROUPS);

            hash[i] = hash_of_group(draw(&random, 1000) < permille ? group : other);
        }
        wk_hot_sample(hot, hash, ROWS, GROUPS);
    }
}

static void nothing_sampled(void **state)
{
    struct wk_hot hot;
    uint32_t group, permille;

    (void)state;
    memset(&hot, 0, sizeof(hot));
    assert_false(wk_hot_top(&hot, &group, &permille));
    wk_hot_sample(&hot, NULL, 0, GROUPS);
    assert_false(wk_hot_top(&hot, &group, &permille));
}

static void heavy_group_is_found(void **state)
{
    struct wk_hot hot;
    uint32_t group, permille;

    (void)state;
    memset(&hot, 0, sizeof(hot));
    assert_int_equal(key_group_of(hash_of_group(77), GROUPS), 77);
    feed(&hot, 400, 77, 300);
    assert_true(wk_hot_top(&hot, &group, &permille));
    assert_int_equal(group, 77);
    assert_in_range(permille, 250, 400);
}

static void even_groups_have_small_shares(void **state)
{
    struct wk_hot hot;
    uint32_t group, permille;

    (void)state;
    memset(&hot, 0, sizeof(hot));
    feed(&hot, 1000, 0, 0);
    assert_true(wk_hot_top(&hot, &group, &permille));
    assert_in_range(permille, 1, 60);
}

static void answer_follows_the_stream(void **state)
{
    struct wk_hot hot;
    uint32_t group, permille;

    (void)state;
    memset(&hot, 0, sizeof(hot));
    feed(&hot, 2000, 5, 500);
    feed(&hot, 2000, 99, 500);
    assert_true(wk_hot_top(&hot, &group, &permille));
    assert_int_equal(group, 99);
}

static void one_row_is_a_block(void **state)
{
    struct wk_hot hot;
    uint64_t hash = hash_of_group(3);
    uint32_t group, permille;

    (void)state;
    memset(&hot, 0, sizeof(hot));
    for (int i = 0; i < 10; i++)
        wk_hot_sample(&hot, &hash, 1, GROUPS);
    assert_true(wk_hot_top(&hot, &group, &permille));
    assert_int_equal(group, 3);
    assert_int_equal(permille, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_sampled),           cmocka_unit_test(heavy_group_is_found),
        cmocka_unit_test(even_groups_have_small_shares), cmocka_unit_test(answer_follows_the_stream),
        cmocka_unit_test(one_row_is_a_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
