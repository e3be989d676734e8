/* test_barrier.c - what a task remembers of checkpoints that were given up. What it does with it: test_alignment.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "taskmanager/worker/task/task.h"

static void nobody_waits(struct wk_executor *e, struct wk_runnable *r)
{
    (void)e;
    (void)r;
}
static const struct wk_executor_ops executor_ops = {.enqueue = nobody_waits};
static struct wk_executor executor = {&executor_ops};

static void give_up(struct wk_task *t, uint64_t checkpoint)
{
    wk_barrier_mail(t, WK_MAIL_ABORT, wk_barrier_value(checkpoint, RASK__CONTROL__CHECKPOINT_KIND__CHECKPOINT, false));
    assert_int_equal(wk_barrier_take_mail(t), 0);
}

/* With too many of them the oldest checkpoints are waited for no more. */
static void many_that_are_given_up_are_remembered(void **state)
{
    struct wk_task task = {0};
    struct wk_barriers *b = &task.barriers;

    (void)state;
    pthread_mutex_init(&task.lock, NULL);
    task.run.executor = &executor;
    wk_barriers_init(b);
    for (uint64_t id = 10; id < 10 + 2 * (WK_GIVEN_UP_MAX - 1); id += 2)
        give_up(&task, id);
    assert_true(wk_barrier_is_due(b, 5));
    assert_false(wk_barrier_is_due(b, 10));
    assert_true(wk_barrier_is_due(b, 11));
    assert_false(wk_barrier_is_due(b, 12));
    for (uint64_t id = 100; id < 104; id += 2)
        give_up(&task, id);
    assert_false(wk_barrier_is_due(b, 5));
    assert_true(wk_barrier_is_due(b, 11));
    assert_true(wk_barrier_is_due(b, 101));
    assert_false(wk_barrier_is_due(b, 102));
    for (uint64_t id = 103; id > 10; id--) /* whatever their order, what follows directly is not kept */
        give_up(&task, id);
    assert_int_equal(b->last, 103);
    assert_int_equal(b->given_up_count, 0);
    wk_barriers_release(b);
    pthread_mutex_destroy(&task.lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_that_are_given_up_are_remembered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
