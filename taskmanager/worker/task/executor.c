/* executor.c - the life of a runnable, shared by all executors: idle, queued, running, running-again. */
#include "taskmanager/worker/task/executor.h"

#include "common/base/check.h"
#include "common/base/cpu.h"

bool wk_mark_ready(struct wk_runnable *r)
{
    int state = __atomic_load_n(&r->state, __ATOMIC_ACQUIRE);
    int next;

    /* Already queued or marked: stored again, because the release write orders what was published before this call. */
    do {
        next = state == WK_IDLE ? WK_QUEUED : state == WK_RUNNING ? WK_RUNNING_AGAIN : state;
    } while (!__atomic_compare_exchange_n(&r->state, &state, next, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return state == WK_IDLE;
}

void wk_ready(struct wk_runnable *r)
{
    if (wk_mark_ready(r))
        r->executor->ops->enqueue(r->executor, r);
    else if (__atomic_load_n(&r->waiter, __ATOMIC_SEQ_CST))
        r->executor->ops->wake_waiter(r->executor, r);
}

enum { AHEAD = 6 }; /* whose lines are asked for: they were written by other cores */

FETCHES_FOR_WRITING void wk_ready_all(struct wk_runnable **r, uint32_t n)
{
    const struct wk_executor_ops *ops = n > 0 ? r[0]->executor->ops : NULL;
    uint32_t queued = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (i + AHEAD < n) {
            __builtin_prefetch(&r[i + AHEAD]->state, 1);
            __builtin_prefetch(&r[i + AHEAD]->turn, 1);
        }
        if (ops->enqueue_all && wk_mark_ready(r[i]))
            r[queued++] = r[i];
        else
            wk_ready(r[i]);
    }
    if (queued > 0)
        ops->enqueue_all(r[0]->executor, r, queued);
}

bool wk_run_once(struct wk_runnable *r, uint64_t *now_ns)
{
    int expected = WK_RUNNING;
    bool more;

    CHECK(__atomic_load_n(&r->state, __ATOMIC_ACQUIRE) == WK_QUEUED);
    __atomic_store_n(&r->hurry, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&r->state, WK_RUNNING, __ATOMIC_SEQ_CST);
    r->began_ns = *now_ns;
    r->ended_ns = 0;
    more = r->run(r);
    r->ending = false;
    r->slow = r->ended_ns != 0 && r->ended_ns - r->began_ns > WK_SLOW_NS;
    *now_ns = r->ended_ns; /* before somebody else may run it */
    if (!more && __atomic_compare_exchange_n(&r->state, &expected, WK_IDLE, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return false;
    __atomic_store_n(&r->state, WK_QUEUED, __ATOMIC_RELEASE);
    return true;
}

void wk_wait(struct wk_runnable *r, bool (*done)(void *arg), void *arg)
{
    if (!done(arg))
        r->executor->ops->wait(r->executor, r, done, arg);
}
