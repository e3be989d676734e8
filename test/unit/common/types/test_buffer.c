/* The pool: exact figures, reuse, the budget, threads. */
#include <pthread.h>

#include "test/unit/common/types/model.h"

static struct pool_stats stats_of(struct pool *pool)
{
    struct pool_stats s;

    pool_stats(pool, &s);
    return s;
}

static void buffers_are_as_large_as_asked(void **state)
{
    struct pool *pool = pool_new(0);

    (void)state;
    for (uint64_t size = 0; size < 5000000; size += 1 + size / 3) {
        rask_buffer *b = pool_get(pool, size);

        assert_true(b->capacity >= size);
        assert_true(b->capacity <= size + size / 4 + 5000);
        assert_int_equal(b->refs, 1);
        assert_int_equal(b->used, 0);
        assert_int_equal((uintptr_t)b->data % 64, 0);
        memset(b->data, 0xa5, b->capacity);
        assert_true(stats_of(pool).in_use_bytes > b->capacity);
        buffer_ref(b);
        buffer_unref(b);
        buffer_unref(b);
        assert_int_equal(stats_of(pool).in_use_bytes, 0);
    }
    buffer_unref(NULL);
    pool_check_empty(pool);
    pool_free(NULL);
}

static void small_blocks_are_counted(void **state)
{
    struct pool *pool = pool_new(0);
    void *p[200];

    (void)state;
    for (size_t i = 0; i < 200; i++) {
        p[i] = pool_small(pool, i * 7);
        memset(p[i], 1, i * 7);
    }
    assert_true(stats_of(pool).in_use_bytes >= 200 * 199 * 7 / 2);
    assert_int_equal(stats_of(pool).gets, 200);
    for (size_t i = 0; i < 200; i++)
        pool_small_free(pool, p[i], i * 7);
    assert_true(stats_of(pool).peak_bytes >= 200 * 199 * 7 / 2);
    pool_check_empty(pool);
}

static void allocations_are_flat_after_warm_up(void **state)
{
    struct pool *pool = pool_new(0);
    uint64_t warm = 0;

    (void)state;
    for (int round = 0; round < 100; round++) {
        rask_buffer *b[10];

        for (uint32_t i = 0; i < 10; i++)
            b[i] = pool_get(pool, 1000u << i);
        for (uint32_t i = 0; i < 10; i++)
            buffer_unref(b[i]);
        if (round == 0)
            warm = stats_of(pool).allocations;
    }
#if !defined(__SANITIZE_ADDRESS__)
    assert_int_equal(stats_of(pool).allocations, warm);
#endif
    assert_true(warm <= 10);
    pool_check_empty(pool);
}

static void over_the_budget_it_gives_and_says_so(void **state)
{
    struct pool *pool = pool_new(100000);
    rask_buffer *a = pool_get(pool, 60000), *b;

    (void)state;
    assert_false(pool_over(pool));
    b = pool_get(pool, 60000);
    assert_true(pool_over(pool));
    assert_int_equal(stats_of(pool).budget_bytes, 100000);
    buffer_unref(a);
    assert_false(pool_over(pool));
    buffer_unref(b);
    pool_check_empty(pool);
}

/* What is kept of one size must give way to another size: else a change of load doubles the memory.
 */
static void kept_blocks_do_not_exceed_the_budget(void **state)
{
    struct pool *pool = pool_new(1 << 20);
    rask_buffer *b[16];

    (void)state;
    for (uint32_t round = 0; round < 8; round++) {
        for (uint32_t i = 0; i < 16; i++)
            b[i] = pool_get(pool, 40000 + round * 3000);
        for (uint32_t i = 0; i < 16; i++)
            buffer_unref(b[i]);
    }
    assert_true(stats_of(pool).peak_bytes <= 1 << 20);
    pool_check_empty(pool);
}

/* The last block of a stream is smaller than those before it, which are there and free. */
static void large_kept_blocks_serve_smaller_needs(void **state)
{
    struct pool *pool = pool_new(8 << 20);
    rask_buffer *b;

    (void)state;
    buffer_unref(pool_get(pool, 1 << 20));
    for (uint32_t bytes = 300000; bytes < 1 << 20; bytes *= 2) {
        b = pool_get(pool, bytes);
        assert_true(b->capacity >= bytes);
        buffer_unref(b);
    }
#if !defined(__SANITIZE_ADDRESS__)
    assert_int_equal(stats_of(pool).allocations, 1);
#endif
    buffer_unref(pool_get(pool, 1000)); /* a small one is cheap, and would hold it */
    b = pool_get(pool, 7 << 20); /* most of the budget is used: nothing is wasted */
    buffer_unref(pool_get(pool, 700000));
#if !defined(__SANITIZE_ADDRESS__)
    assert_int_equal(stats_of(pool).allocations, 4);
#endif
    buffer_unref(b);
    pool_check_empty(pool);
}

struct hand {
    struct pool *pool;
    rask_buffer *slots[64];
    uint64_t seed;
};

/* Takes, gives back, and swaps buffers with the other threads through the slots. */
static void *hand_run(void *arg)
{
    struct hand *h = arg;
    struct rng rng = {__atomic_add_fetch(&h->seed, 1, __ATOMIC_RELAXED)};

    for (int i = 0; i < 20000; i++) {
        rask_buffer *b = pool_get(h->pool, 1 + rng_below(&rng, 3000)), *old;

        b->data[0] = (uint8_t)i;
        old = __atomic_exchange_n(&h->slots[rng_below(&rng, 64)], b, __ATOMIC_ACQ_REL);
        buffer_unref(old);
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    struct hand h = {.pool = pool_new(0)};
    pthread_t threads[3];

    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hand_run, &h), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < 64; i++)
        buffer_unref(h.slots[i]);
    assert_int_equal(stats_of(h.pool).gets, 60000);
    pool_check_empty(h.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_are_as_large_as_asked),
        cmocka_unit_test(small_blocks_are_counted),
        cmocka_unit_test(allocations_are_flat_after_warm_up),
        cmocka_unit_test(over_the_budget_it_gives_and_says_so),
        cmocka_unit_test(kept_blocks_do_not_exceed_the_budget),
        cmocka_unit_test(large_kept_blocks_serve_smaller_needs),
        cmocka_unit_test(threads_share_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
