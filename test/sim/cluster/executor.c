/* executor.c - see executor.h. */
#include "test/sim/cluster/executor.h"

#include <ucontext.h>

#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define SWITCH_BEGIN(save, bottom, size) __sanitizer_start_switch_fiber(save, bottom, size)
#define SWITCH_END(save, bottom, size) __sanitizer_finish_switch_fiber(save, bottom, size)
#else
#define SWITCH_BEGIN(save, bottom, size) ((void)(save), (void)(bottom), (void)(size))
#define SWITCH_END(save, bottom, size) ((void)(save), (void)(bottom), (void)(size))
#endif

#define STACK_BYTES (1u << 20)
#define CLOCK_COST_NS 10000u

struct fiber {
    struct list node; /* in spare, or in waiting */
    struct sim_executor *owner;
    ucontext_t context;
    char *stack;
    void *fake_stack;
    struct wk_runnable *step;
    bool again, over, woken;
    bool (*done)(void *arg);
    void *arg;
};

struct sim_executor {
    struct wk_executor base;
    struct env *env;
    struct wk_runnable **queue;
    uint32_t queued, cap;
    struct list spare, waiting, wakes;
    struct fiber *current;
    ucontext_t loop;
    void *loop_fake_stack;
    const void *loop_bottom;
    size_t loop_size;
    uint64_t clock_cost_ns;
    struct env_task work;
    struct env_timer late;  /* slow_ns > 0: brings the work */
    uint64_t slow_ns;
    bool closing, stalled;
};

struct wake { /* a pending wake_at */
    struct list node;
    struct env_timer timer;
    struct wk_runnable *runnable;
};

static struct sim_executor *executor_of(struct wk_executor *e)
{
    return (struct sim_executor *)e;
}

static uint64_t now_ns(struct wk_executor *e)
{
    struct sim_executor *x = executor_of(e);

    if (x->current)
        x->clock_cost_ns += CLOCK_COST_NS;
    return env_now_ns(x->env) + x->clock_cost_ns;
}

static int64_t wall_us(struct wk_executor *e, uint64_t now_ns)
{
    (void)now_ns;
    return env_wall_ms(executor_of(e)->env) * 1000;
}

static uint32_t busy(struct wk_executor *e)
{
    return executor_of(e)->queued > 0; /* of one thread */
}

static void work_soon(struct sim_executor *x)
{
    if (x->slow_ns == 0)
        env_post(x->env, &x->work);
    else if (!x->late.armed)
        env_timer_arm(x->env, &x->late, x->slow_ns);
}

static void late_fired(struct env_timer *timer)
{
    struct sim_executor *x = CONTAINER_OF(timer, struct sim_executor, late);

    env_post(x->env, &x->work);
}

static void enqueue(struct wk_executor *e, struct wk_runnable *r)
{
    struct sim_executor *x = executor_of(e);

    if (x->closing)
        return;
    if (x->queued == x->cap) {
        x->cap = x->cap ? x->cap * 2 : 16;
        x->queue = mem_realloc(x->queue, x->cap * sizeof(*x->queue));
    }
    x->queue[x->queued++] = r;
    work_soon(x);
}

/* ---- fibers ---- */

static void leave(struct sim_executor *x, struct fiber *f, bool for_ever)
{
    SWITCH_BEGIN(for_ever ? NULL : &f->fake_stack, x->loop_bottom, x->loop_size);
    swapcontext(&f->context, &x->loop);
    SWITCH_END(f->fake_stack, &x->loop_bottom, &x->loop_size);
}

static void fiber_main(unsigned low, unsigned high)
{
    struct fiber *f = (struct fiber *)(((uintptr_t)high << 32) | low);
    struct sim_executor *x = f->owner;

    SWITCH_END(NULL, &x->loop_bottom, &x->loop_size);
    for (;;) {
        uint64_t now = now_ns(&x->base);

        f->again = wk_run_once(f->step, &now);
        f->over = true;
        leave(x, f, false);
    }
}

static struct fiber *fiber_new(struct sim_executor *x)
{
    struct fiber *f;

    if (!list_empty(&x->spare))
        return LIST_ENTRY(list_pop_front(&x->spare), struct fiber, node);
    f = MEM_NEW(struct fiber);
    list_init(&f->node);
    f->owner = x;
    f->stack = mem_alloc(STACK_BYTES);
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&f->context, (void (*)(void))(uintptr_t)fiber_main, 2, (unsigned)(uintptr_t)f,
                (unsigned)((uintptr_t)f >> 32));
    return f;
}

static void fiber_free(struct fiber *f)
{
    list_remove(&f->node);
    mem_free(f->stack);
    mem_free(f);
}

/* Runs a fiber until its step ends or waits. */
static void enter(struct sim_executor *x, struct fiber *f)
{
    x->current = f;
    f->over = false;
    SWITCH_BEGIN(&x->loop_fake_stack, f->stack, STACK_BYTES);
    swapcontext(&x->loop, &f->context);
    SWITCH_END(x->loop_fake_stack, NULL, NULL);
    x->current = NULL;
    x->clock_cost_ns = 0;
    if (!f->over)
        return;
    list_remove(&f->node);
    list_push_back(&x->spare, &f->node);
    if (f->again)
        enqueue(&x->base, f->step);
}

static void wait_in_step(struct wk_executor *e, struct wk_runnable *r, bool (*done)(void *arg), void *arg)
{
    struct sim_executor *x = executor_of(e);
    struct fiber *f = x->current;
    void *outer = r->waiter; /* done() may run operators that wait themselves */

    CHECK(f != NULL && f->step == r);
    r->waiter = f;
    SIM_PROBE("executor: a step waits");
    while (!done(arg)) {
        f->woken = false;
        list_remove(&f->node);
        list_push_back(&x->waiting, &f->node);
        leave(x, f, false);
        x->current = f;
    }
    r->waiter = outer;
}

static void wake_waiter(struct wk_executor *e, struct wk_runnable *r)
{
    struct sim_executor *x = executor_of(e);

    ((struct fiber *)r->waiter)->woken = true;
    if (!x->closing)
        work_soon(x);
}

static void wake_over(struct wk_executor *e, struct wk_runnable *r)
{
    struct wake *w = r->wake;

    if (!w)
        return;
    env_timer_cancel(executor_of(e)->env, &w->timer);
    list_remove(&w->node);
    mem_free(w);
    r->wake = NULL;
}

static void wake_fired(struct env_timer *timer)
{
    struct wk_runnable *r = CONTAINER_OF(timer, struct wake, timer)->runnable;

    wake_over(r->executor, r);
    wk_ready(r);
}

static void wake_at(struct wk_executor *e, struct wk_runnable *r, uint64_t at_ns)
{
    struct sim_executor *x = executor_of(e);
    uint64_t now = env_now_ns(x->env);
    struct wake *w = r->wake;

    if (w && r->wake_at_ns <= at_ns)
        return;
    if (!w) {
        w = MEM_NEW(struct wake);
        w->timer.cb = wake_fired;
        w->runnable = r;
        list_push_back(&x->wakes, &w->node);
        r->wake = w;
    }
    r->wake_at_ns = at_ns;
    env_timer_arm(x->env, &w->timer, at_ns > now ? at_ns - now : 0);
}

static struct fiber *woken_fiber(struct sim_executor *x)
{
    LIST_FOREACH(n, &x->waiting)
    {
        struct fiber *f = LIST_ENTRY(n, struct fiber, node);

        if (f->woken)
            return f;
    }
    return NULL;
}

/* One step per event: which one is drawn. */
static void work(struct env_task *task)
{
    struct sim_executor *x = CONTAINER_OF(task, struct sim_executor, work);
    struct fiber *f = woken_fiber(x);

    if (x->stalled)
        return;
    if (f) {
        f->woken = false;
        enter(x, f);
    } else if (x->queued > 0) {
        uint32_t pick = (uint32_t)(env_rand_u64(x->env) % x->queued);
        struct wk_runnable *r = x->queue[pick];

        for (uint32_t i = pick + 1; i < x->queued; i++)
            x->queue[i - 1] = x->queue[i];
        x->queued--;
        f = fiber_new(x);
        f->step = r;
        enter(x, f);
    }
    if (x->queued > 0 || woken_fiber(x))
        work_soon(x);
}

static const struct wk_executor_ops ops = {enqueue, NULL, wait_in_step, wake_waiter, wake_at, wake_over, now_ns, wall_us, busy};

struct wk_executor *sim_executor_new(struct env *env)
{
    struct sim_executor *x = MEM_NEW(struct sim_executor);

    x->base.ops = &ops;
    x->env = env;
    x->work.cb = work;
    x->late.cb = late_fired;
    list_init(&x->spare);
    list_init(&x->waiting);
    list_init(&x->wakes);
    return &x->base;
}

void sim_executor_slow(struct wk_executor *e, uint64_t delay_ns)
{
    executor_of(e)->slow_ns = delay_ns;
}

void sim_executor_stall(struct wk_executor *e)
{
    executor_of(e)->stalled = true;
}

void sim_executor_free(struct wk_executor *e)
{
    struct sim_executor *x = executor_of(e);

    if (!e)
        return;
    x->closing = true;
    while (!list_empty(&x->waiting))
        enter(x, LIST_ENTRY(x->waiting.next, struct fiber, node));
    while (!list_empty(&x->spare))
        fiber_free(LIST_ENTRY(x->spare.next, struct fiber, node));
    while (!list_empty(&x->wakes))
        wake_over(e, LIST_ENTRY(x->wakes.next, struct wake, node)->runnable);
    env_unpost(x->env, &x->work);
    env_timer_cancel(x->env, &x->late);
    mem_free(x->queue);
    mem_free(x);
}
