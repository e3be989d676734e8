/* warm.c - see warm.h. */
#include "taskmanager/worker/checkpoint/warm.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/env/env.h"
#include "taskmanager/worker/state/reserve.h"
#include "taskmanager/worker/task/executor.h"

#define LOOK_MS 500u /* while tasks are not busy */
#define STEP_MS 20u  /* between two chunks: some 80 MiB a second, a tenth of two cores where the host has to find the memory */
/* Looks that have to find the tasks busy more often than not: somebody who happens to come while all cores are taken is no sign. */
#define BUSY_LOOKS 4u

struct wk_warming {
    struct env *env;
    struct wk_executor *executor;
    struct wk_reserve *reserve;
    struct env_task wake;
    struct env_timer timer;
    struct env_work work;
    uint32_t busy;         /* looks that found the tasks busy, less those that did not: 0 .. 2 * BUSY_LOOKS */
    bool working, dropped; /* working: work is the pool's */
    bool grown;            /* written by the pool's thread before it is done */
};

static void warming_free(struct wk_warming *w)
{
    wk_reserve_free(w->reserve);
    mem_free(w);
}

/* On a thread of the pool. */
static void grow(struct env_work *work)
{
    struct wk_warming *w = CONTAINER_OF(work, struct wk_warming, work);

    w->grown = wk_reserve_grow(w->reserve);
}

static void on_grown(struct env_work *work)
{
    struct wk_warming *w = CONTAINER_OF(work, struct wk_warming, work);

    w->working = false;
    if (w->dropped)
        warming_free(w);
    else
        env_timer_arm_ms(w->env, &w->timer, w->grown ? STEP_MS : LOOK_MS);
}

static bool tasks_are_busy(struct wk_warming *w)
{
    struct wk_executor *e = w->executor;

    if (e && e->ops->busy && e->ops->busy(e) > 0)
        w->busy = MIN(w->busy + 1, 2 * BUSY_LOOKS);
    else
        w->busy -= w->busy > 0;
    return w->busy >= BUSY_LOOKS || ENV_BUGGIFY(w->env);
}

static void on_timer(struct env_timer *timer)
{
    struct wk_warming *w = CONTAINER_OF(timer, struct wk_warming, timer);
    int64_t missing = wk_reserve_missing(w->reserve);

    if (missing == 0)
        return; /* until a state says otherwise */
    if (wk_reserve_in_use(w->reserve)) {
        env_timer_arm_ms(w->env, &w->timer, LOOK_MS);
        return;
    }
    if (missing > 0 && tasks_are_busy(w)) {
        w->working = true;
        env_work(w->env, &w->work);
        return;
    }
    if (missing < 0)
        (void)wk_reserve_shrink(w->reserve);
    env_timer_arm_ms(w->env, &w->timer, missing < 0 || w->busy > 0 ? STEP_MS : LOOK_MS);
}

static void on_wake(struct env_task *task)
{
    struct wk_warming *w = CONTAINER_OF(task, struct wk_warming, wake);

    if (!w->working && !w->timer.armed)
        env_timer_arm_ms(w->env, &w->timer, LOOK_MS);
}

/* A task's step. */
static void wake(void *arg)
{
    struct wk_warming *w = arg;

    env_post(w->env, &w->wake);
}

struct wk_warming *wk_warming_new(struct env *env, struct wk_executor *executor, struct wk_state_budget *budget)
{
    struct wk_warming *w = MEM_NEW(struct wk_warming);

    w->env = env;
    w->executor = executor;
    w->wake.cb = on_wake;
    w->timer.cb = on_timer;
    w->work.run = grow;
    w->work.done = on_grown;
    w->reserve = wk_reserve_new(budget, wake, w);
    return w;
}

void wk_warming_expect(struct wk_warming *w)
{
    wk_reserve_expect(w->reserve);
}

void wk_warming_free(struct wk_warming *w)
{
    if (!w)
        return;
    wk_reserve_close(w->reserve);
    env_unpost(w->env, &w->wake);
    env_timer_cancel(w->env, &w->timer);
    w->dropped = true;
    if (!w->working)
        warming_free(w);
}
