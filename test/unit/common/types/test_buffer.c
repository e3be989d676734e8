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

enum { HANDS = 3, HAND_BUFFERS = 200000 };
struct hand {
    struct pool *pool;
    pthread_barrier_t here, all; /* one is there, with who waits for it; all are */
    rask_buffer *slots[64];
    uint64_t seed;
};

/* Takes, gives back, and swaps buffers with the other threads through the slots. */
static void *hand_run(void *arg)
{
    struct hand *h = arg;
    struct rng rng = {__atomic_add_fetch(&h->seed, 1, __ATOMIC_RELAXED)};

    buffer_unref(pool_get(h->pool, 1)); /* the thread has its number */
    pthread_barrier_wait(&h->here);
    pthread_barrier_wait(&h->all);
    for (int i = 0; i < HAND_BUFFERS; i++) {
        rask_buffer *b = pool_get(h->pool, 1 + rng_below(&rng, 3000)), *old;

        b->data[0] = (uint8_t)i;
        old = __atomic_exchange_n(&h->slots[rng_below(&rng, 64)], b, __ATOMIC_ACQ_REL);
        buffer_unref(old);
    }
    return NULL;
}

static void *one_buffer(void *arg)
{
    buffer_unref(pool_get(arg, 1));
    return NULL;
}

static void on_a_thread(void *(*run)(void *arg), void *arg)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, run, arg), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* Each comes when so many other threads have had a number since the one before. */
static void share(uint32_t others)
{
    struct hand h = {.pool = pool_new(0)};
    pthread_t threads[HANDS];

    assert_int_equal(pthread_barrier_init(&h.here, NULL, 2), 0);
    assert_int_equal(pthread_barrier_init(&h.all, NULL, HANDS + 1), 0);
    for (size_t i = 0; i < HANDS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hand_run, &h), 0);
        pthread_barrier_wait(&h.here);
        for (uint32_t k = 0; k < others; k++)
            on_a_thread(one_buffer, h.pool);
    }
    assert_int_equal(stats_of(h.pool).gets, HANDS * (others + 1));
    pthread_barrier_wait(&h.all);
    for (size_t i = 0; i < HANDS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < 64; i++)
        buffer_unref(h.slots[i]);
    pthread_barrier_destroy(&h.here);
    pthread_barrier_destroy(&h.all);
    assert_int_equal(stats_of(h.pool).gets, HANDS * (HAND_BUFFERS + others + 1));
    pool_check_empty(h.pool);
}

static void threads_share_it(void **state)
{
    (void)state;
    share(0);
}

/* There are 16 for all threads. */
static void threads_share_a_shelf(void **state)
{
    (void)state;
    share(15);
}

/* ---- shelves: small blocks that a thread has for itself ---- */

enum { SMALL = 200, MANY = 5000 };
struct basket {
    struct pool *pool;
    void *block[MANY];
    uint32_t from, to;
};

static void *take_back(void *arg)
{
    struct basket *b = arg;

    for (uint32_t i = b->from; i < b->to; i++)
        pool_small_free(b->pool, b->block[i], SMALL);
    return NULL;
}

static void fill(struct basket *b, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        b->block[i] = pool_small(b->pool, SMALL);
        memset(b->block[i], (int)i, SMALL);
    }
    b->from = from;
    b->to = to;
}

/* They go one way, and have to come back by the class: else each round would need new ones. */
static void small_blocks_return_from_another_thread(void **state)
{
    struct basket *b = test_malloc(sizeof(*b));
    uint64_t warm = 0;

    (void)state;
    b->pool = pool_new(0);
    for (int round = 0; round < 20; round++) {
        fill(b, 0, MANY);
        assert_true(stats_of(b->pool).in_use_bytes >= MANY * SMALL);
        on_a_thread(take_back, b);
        assert_int_equal(stats_of(b->pool).in_use_bytes, 0);
        if (round == 1)
            warm = stats_of(b->pool).allocations;
    }
    assert_true(warm >= MANY);
#if !defined(__SANITIZE_ADDRESS__)
    assert_true(stats_of(b->pool).allocations <= warm + 16 * (16 << 10) / SMALL); /* what lies on 16 shelves */
#endif
    assert_int_equal(stats_of(b->pool).gets, 20 * MANY);
    pool_check_empty(b->pool);
    test_free(b);
}

static void small_blocks_come_over_the_budget(void **state)
{
    struct basket *b = test_malloc(sizeof(*b));
    uint32_t at = 0;

    (void)state;
    b->pool = pool_new(400000);
    for (; !pool_over(b->pool); at++)
        fill(b, at, at + 1);
    assert_in_range(stats_of(b->pool).in_use_bytes, 400000, 400000 + (33 << 10));
    b->from = 0;
    take_back(b);
    assert_false(pool_over(b->pool));
    pool_check_empty(b->pool);
    test_free(b);
}

static void *take_out(void *arg)
{
    fill(arg, ((struct basket *)arg)->from, ((struct basket *)arg)->to);
    return NULL;
}

/* Threads that gave them out have told nothing yet, the one that takes them back has: for the pool they are fewer than none. */
static void small_blocks_taken_back_first_are_not_over_the_budget(void **state)
{
    struct basket *b = test_malloc(sizeof(*b));
    uint32_t few = (31 << 10) / 224;

    (void)state;
    b->pool = pool_new(1 << 20);
    fill(b, 0, MANY / 10); /* so that there are some */
    take_back(b);
    for (uint32_t i = 0; i < 2; i++) {
        b->from = i * few;
        b->to = b->from + few;
        on_a_thread(take_out, b);
    }
    b->from = 0;
    take_back(b);
    assert_false(pool_over(b->pool));
    assert_int_equal(stats_of(b->pool).in_use_bytes, 0);
    pool_check_empty(b->pool);
    test_free(b);
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
        cmocka_unit_test(threads_share_a_shelf),
        cmocka_unit_test(small_blocks_return_from_another_thread),
        cmocka_unit_test(small_blocks_come_over_the_budget),
        cmocka_unit_test(small_blocks_taken_back_first_are_not_over_the_budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
