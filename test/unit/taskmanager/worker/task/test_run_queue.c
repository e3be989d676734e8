/* test_run_queue.c - first come, first served, until sources have made enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "taskmanager/worker/task/run_queue.h"

#define AHEAD 8            /* sources that go before what waits to be read */
#define PATIENCE 20000000u /* ns that others have for it */
#define MORE 300000u       /* and more for each of those that were there before */

static struct wk_runnable source[3 * AHEAD], other[3];

static void queue_up(struct wk_run_queue *q, struct wk_runnable *r, int n, bool is_source)
{
    for (int i = 0; i < n; i++) {
        r[i] = (struct wk_runnable){.is_source = is_source};
        wk_run_queue_push(q, &r[i]);
    }
}

static void takes(struct wk_run_queue *q, uint64_t now, const struct wk_runnable *first, int n)
{
    for (int i = 0; i < n; i++)
        assert_ptr_equal(wk_run_queue_pop(q, now), first + i);
}

static void first_come_first_served(void **state)
{
    struct wk_run_queue q = {0};

    (void)state;
    assert_true(wk_run_queue_looks_empty(&q));
    queue_up(&q, source, 2, true);
    queue_up(&q, other, 2, false);
    queue_up(&q, source + 2, 1, true);
    assert_int_equal(q.count, 5);
    takes(&q, 0, source, 2);
    takes(&q, 0, other, 2);
    takes(&q, 0, source + 2, 1);
    assert_true(wk_run_queue_looks_empty(&q));
    queue_up(&q, other, 3, false); /* it was empty in between */
    takes(&q, 0, other, 3);
}

static void what_sources_made_is_read_before_more_is_made(void **state)
{
    struct wk_run_queue q = {0};

    (void)state;
    queue_up(&q, source, 3 * AHEAD, true);
    queue_up(&q, other, 2, false);
    takes(&q, 100, source, AHEAD);
    takes(&q, 100, other, 2);
    takes(&q, 100, source + AHEAD, 2 * AHEAD); /* nothing else to do: as many as there are */
    assert_true(wk_run_queue_looks_empty(&q));
}

static void sources_do_not_wait_for_ever(void **state)
{
    struct wk_run_queue q = {0};

    (void)state;
    queue_up(&q, source, 2 * AHEAD, true);
    queue_up(&q, other, 3, false);
    takes(&q, 100, source, AHEAD);
    takes(&q, 100 + PATIENCE - 1, other, 1);
    takes(&q, 100 + PATIENCE + MORE - 1, other + 1, 1);
    takes(&q, 100 + PATIENCE + 2 * MORE, source + AHEAD, AHEAD);
    takes(&q, 100 + PATIENCE + 2 * MORE, other + 2, 1);
    assert_true(wk_run_queue_looks_empty(&q));
}

/* Not even for others that come again and again. */
static void sources_do_not_wait_for_those_that_come_later(void **state)
{
    struct wk_run_queue q = {0};

    (void)state;
    queue_up(&q, source, 2 * AHEAD, true);
    queue_up(&q, other, 1, false);
    takes(&q, 100, source, AHEAD);
    for (uint64_t now = 100; now < 100 + PATIENCE + MORE; now += MORE / 3) {
        takes(&q, now, other, 1);
        wk_run_queue_push(&q, other);
    }
    takes(&q, 100 + PATIENCE + MORE, source + AHEAD, AHEAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_come_first_served),
        cmocka_unit_test(what_sources_made_is_read_before_more_is_made),
        cmocka_unit_test(sources_do_not_wait_for_ever),
        cmocka_unit_test(sources_do_not_wait_for_those_that_come_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
