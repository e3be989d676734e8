/* test_clock.c - phases of a task, read in the middle of them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "taskmanager/worker/task/clock.h"

static uint64_t sum(const uint64_t ns[WK_PHASE_COUNT])
{
    uint64_t all = 0;

    for (int i = 0; i < WK_PHASE_COUNT; i++)
        all += ns[i];
    return all;
}

static void phase_that_goes_on_is_counted(void **state)
{
    struct wk_clock c;
    uint64_t ns[WK_PHASE_COUNT];

    (void)state;
    wk_clock_init(&c, 1000);
    wk_clock_move(&c, WK_PHASE_RUNNING, 1100);
    wk_clock_read(&c, 6100, ns);
    assert_int_equal(ns[WK_PHASE_IDLE], 100);
    assert_int_equal(ns[WK_PHASE_RUNNING], 5000);
    wk_clock_move(&c, WK_PHASE_HARD, 7000);
    wk_clock_move(&c, WK_PHASE_RUNNING, 7500);
    wk_clock_move(&c, WK_PHASE_SOFT, 8000);
    wk_clock_read(&c, 9000, ns);
    assert_int_equal(ns[WK_PHASE_RUNNING], 6400);
    assert_int_equal(ns[WK_PHASE_HARD], 500);
    assert_int_equal(ns[WK_PHASE_SOFT], 1000);
    assert_int_equal(sum(ns), 8000);
}

static void clock_of_a_reader_may_be_behind(void **state)
{
    struct wk_clock c;
    uint64_t ns[WK_PHASE_COUNT];

    (void)state;
    wk_clock_init(&c, 1000);
    wk_clock_move(&c, WK_PHASE_RUNNING, 2000);
    wk_clock_read(&c, 1900, ns);
    assert_int_equal(ns[WK_PHASE_IDLE], 1000);
    assert_int_equal(ns[WK_PHASE_RUNNING], 0);
}

static void *mover(void *arg)
{
    struct wk_clock *c = arg;

    for (uint64_t now = 1; now <= 200000; now++)
        wk_clock_move(c, now % 2 ? WK_PHASE_RUNNING : WK_PHASE_SOFT, now);
    return NULL;
}

/* Whatever move a reader meets, the phases add up to the time since the start. */
static void readers_never_see_half_a_move(void **state)
{
    struct wk_clock c;
    uint64_t ns[WK_PHASE_COUNT], last = 0;
    pthread_t thread;

    (void)state;
    wk_clock_init(&c, 0);
    assert_int_equal(pthread_create(&thread, NULL, mover, &c), 0);
    while (last < 200000) {
        wk_clock_read(&c, 0, ns); /* a clock that is behind adds nothing: the sum is the last move */
        assert_true(sum(ns) >= last);
        last = sum(ns);
        assert_true(ns[WK_PHASE_RUNNING] <= ns[WK_PHASE_SOFT] + 1);
    }
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phase_that_goes_on_is_counted),
        cmocka_unit_test(clock_of_a_reader_may_be_behind),
        cmocka_unit_test(readers_never_see_half_a_move),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
