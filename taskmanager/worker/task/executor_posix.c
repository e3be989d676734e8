/*
 * executor_posix.c - a pool of threads that step tasks.
 *
 * One run queue under one lock: steps last up to 0.3 ms, so the lock is taken some thousand times a second.
 * `threads` runners are active at a time.  A runner that waits (wk_wait) or overstays its time stops counting as
 * active, and another one takes its place; when it comes back and there are too many, it sleeps.  For steps that sleep for less than that,
 * again and again, there are as many more as sleep on average (sleep_share.h).
 *
 * Waking a thread takes as long as hundreds of rows, so as few as possible are woken.  A step that ends with handing
 * something over keeps its thread for whoever got it, as long as the thread has been busy for less than STREAK_NS: a
 * chain of short steps runs on one thread, and one that has much to do spreads.  One of the runners that sleep keeps the
 * time of all wake_at.  With spin_ns a runner looks for work for so long before it sleeps.
 *
 * One runner that has nothing to do, the leader, sleeps in the loop instead (wk_executor_loop), if there is one: what comes over
 * it is handed to a task and worked on by the same thread.  Who comes to be without work while nobody leads does so next; one
 * that always has work looks at a loop that nobody serves between its steps.  The main thread serves it when no runner can, and
 * while a step takes much longer than steps should.
 *
 * A watcher thread looks after long steps and late wake_ats, only while steps run.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/env/slice_posix.h"
#include "taskmanager/worker/task/executor.h"
#include "taskmanager/worker/task/run_queue.h"
#include "taskmanager/worker/task/sleep_share.h"
#include "taskmanager/worker/task/wake_heap.h"

#define OVERSTAY_NS 20000000u
#define HURRY_NS 5000000u
#define WATCH_NS 10000000u
#define STREAK_NS 100000u
#define TIMER_SLACK_NS 1000u /* the kernel's 50 us would be most of a short sleep */
#define SLICE_NS 100000u     /* less than a step: rows of all tasks go through the leader, which goes first when it wakes */
#define WALL_NS 5000000u
#define LOOK_NS 50000u       /* a thread with work looks at a loop that nobody serves so often */
#define NESTED_MAX 16u       /* steps on one stack: a waiting step lends its thread */

struct runner {
    struct pool_executor *pool;
    pthread_t thread;
    struct list node;            /* lock: in sleepers, or in waiters */
    sem_t wake;                  /* tokens may be stale: who wakes looks again */
    struct wk_runnable *current; /* lock */
    uint64_t started_ns;         /* lock; 0: not in a step */
    uint64_t busy_since_ns;      /* lock: it has not looked in vain for work since then */
    uint32_t nested;             /* lock */
    bool active;                 /* lock: counts against `threads` */
    bool woken;                  /* lock: counts in `waking` */
    bool poked;                  /* lock: wk_wait must ask again */
    bool leads;                  /* atomic, relaxed: it is the leader */
};

struct pool_executor {
    struct wk_executor base;
    struct wk_executor_options options;
    pthread_mutex_t lock;
    pthread_cond_t watch;
    struct wk_run_queue queue;
    struct wk_heap wakes;            /* pending wake_at */
    struct runner **runners;
    uint32_t runner_count, active, waking, spinning;
    struct list sleepers; /* the last one to fall asleep first: its caches are warm */
    struct list waiters;  /* in wk_wait */
    struct runner *keeper; /* the sleeper that wakes for the first wake_at; NULL: none */
    uint64_t keeper_until_ns;
    uint64_t steps;       /* taken so far */
    struct wk_sleep_share asleep;
    uint64_t asleep_looked_ns;
    struct runner *leader; /* serves the loop; NULL: no runner does */
    bool main_leads;       /* the thread of wk_executor_posix_serve does */
    bool main_rests;       /* it does not until it is called */
    pthread_cond_t call;   /* for that thread */
    uint64_t turns;        /* of the loop, so far */
    uint64_t looked_ns;    /* when the last one ended */
    bool loop_over;
    uint64_t wall_read_ns; /* atomic, relaxed */
    int64_t wall_ahead_us; /* atomic, relaxed: of now_ns */
    bool stopping, watcher_idle, threads_exhausted;
    pthread_t watcher;
    bool *parent; /* true, in a page that is wiped in a child that user code forks; NULL: the kernel cannot, pid tells */
    pid_t pid;
};

static __thread struct runner *self;
static __thread const struct wk_runnable *current;

const struct wk_runnable *wk_executor_current(void)
{
    return current;
}

static uint64_t now_ns(struct wk_executor *e)
{
    struct timespec ts;

    (void)e;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Each step asks: how far the two clocks are apart is looked at once in WALL_NS. */
static int64_t wall_us(struct wk_executor *e, uint64_t now)
{
    struct pool_executor *p = (struct pool_executor *)e;
    struct timespec ts;

    if (now - __atomic_load_n(&p->wall_read_ns, __ATOMIC_RELAXED) >= WALL_NS) { /* also when it was read after `now` */
        clock_gettime(CLOCK_REALTIME, &ts);
        __atomic_store_n(&p->wall_ahead_us, ts.tv_sec * 1000000 + ts.tv_nsec / 1000 - (int64_t)(now_ns(e) / 1000),
                         __ATOMIC_RELAXED);
        __atomic_store_n(&p->wall_read_ns, now, __ATOMIC_RELAXED);
    }
    return (int64_t)(now / 1000) + __atomic_load_n(&p->wall_ahead_us, __ATOMIC_RELAXED);
}

/* ---- finding a thread; lock held ---- */

static void *runner_main(void *arg);

/* How many runners may be active. */
static uint32_t width(const struct pool_executor *p)
{
    return p->options.threads + wk_sleepers(&p->asleep);
}

static bool more_threads(struct pool_executor *p)
{
    struct runner *r;

    if (p->runner_count >= p->options.threads_max || p->threads_exhausted)
        return false;
    r = MEM_NEW(struct runner);
    r->pool = p;
    list_init(&r->node);
    sem_init(&r->wake, 0, 0);
    r->active = true;
    if (pthread_create(&r->thread, NULL, runner_main, r) != 0) {
        sem_destroy(&r->wake);
        mem_free(r);
        p->threads_exhausted = true; /* the system's limit: those that there are have to do */
        CHECK(p->runner_count > 0);
        return false;
    }
    p->runners = mem_realloc(p->runners, (p->runner_count + 1) * sizeof(struct runner *));
    p->runners[p->runner_count++] = r;
    p->active++;
    return true;
}

/* The first wake_at, if no sleeper wakes in time for it; else NULL. */
static const struct wk_runnable *unkept(const struct pool_executor *p)
{
    const struct wk_runnable *r = wk_heap_first(&p->wakes);

    return r && (!p->keeper || p->keeper_until_ns > r->wake_at_ns) ? r : NULL;
}

/* A sleeper, rather not the one that keeps the time, or the leader. */
static struct runner *pick_sleeper(struct pool_executor *p)
{
    struct runner *best = NULL;

    LIST_FOREACH(n, &p->sleepers)
    {
        struct runner *r = LIST_ENTRY(n, struct runner, node);

        if (r != p->keeper && r != p->leader)
            return r;
        if (r != self && (!best || best == p->leader))
            best = r;
    }
    return best;
}

static struct runner *wake_sleeper(struct pool_executor *p)
{
    struct runner *r = pick_sleeper(p);

    if (r) {
        list_remove(&r->node);
        r->woken = true;
        p->waking++;
    }
    return r;
}

/* The caller is a callback of the loop, on a thread that looks for work after it. */
static bool is_turning(const struct pool_executor *p)
{
    return self && self == p->leader && !self->active;
}

/* Somebody has to take what is queued. Returns whom the caller is to wake once the lock is free; NULL: nobody. */
static struct runner *ensure_runner(struct pool_executor *p)
{
    uint32_t coming = p->waking + p->spinning + is_turning(p);
    struct runner *r;

    if (p->queue.count <= coming || p->active + coming >= width(p))
        return NULL;
    r = wake_sleeper(p);
    if (r || more_threads(p))
        return r;
    LIST_FOREACH(n, &p->waiters)
    {
        r = LIST_ENTRY(n, struct runner, node);
        if (r->nested < NESTED_MAX) /* lends its thread */
            return r;
    }
    return NULL;
}

/* Not asleep any more: it has looked for work since, or will. */
static void wake(struct runner *r)
{
    if (r && __atomic_load_n(&r->leads, __ATOMIC_RELAXED))
        r->pool->options.loop.interrupt(r->pool->options.loop.arg);
    else if (r)
        sem_post(&r->wake);
}

static void unlock_and_wake(struct pool_executor *p, struct runner *r)
{
    pthread_mutex_unlock(&p->lock);
    wake(r);
}

/* ---- the loop; lock held ---- */

/* There is one, and nobody serves it. */
static bool is_unled(const struct pool_executor *p)
{
    return p->options.loop.turn && !p->leader && !p->main_leads && !p->loop_over;
}

/* Who is at it does not go on. */
static void call_main(struct pool_executor *p)
{
    p->main_rests = false;
    pthread_cond_signal(&p->call);
}

/* A step is going to wait, perhaps for what the loop brings, or takes long. */
static void leave_loop_to_others(struct pool_executor *p)
{
    struct runner *r = is_unled(p) ? wake_sleeper(p) : NULL;

    if (r)
        wake(r);
    else if (is_unled(p))
        call_main(p);
}

/* One turn, which waits until that time of now_ns. */
static void take_turn(struct pool_executor *p, struct runner *r, uint64_t until_ns)
{
    bool more;

    p->leader = r;
    __atomic_store_n(&r->leads, true, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&p->lock);
    more = p->options.loop.turn(p->options.loop.arg, until_ns);
    pthread_mutex_lock(&p->lock);
    __atomic_store_n(&r->leads, false, __ATOMIC_RELAXED);
    p->leader = NULL;
    p->turns++;
    p->looked_ns = now_ns(&p->base);
    if (!more) {
        p->loop_over = true;
        call_main(p);
    }
}

void wk_executor_posix_serve(struct wk_executor *e)
{
    struct pool_executor *p = (struct pool_executor *)e;
    bool more;

    pthread_mutex_lock(&p->lock);
    while (!p->loop_over) {
        if (p->main_rests || p->leader) {
            pthread_cond_wait(&p->call, &p->lock);
            continue;
        }
        p->main_leads = true;
        pthread_mutex_unlock(&p->lock);
        more = p->options.loop.turn(p->options.loop.arg, UINT64_MAX);
        pthread_mutex_lock(&p->lock);
        p->main_leads = false;
        p->turns++;
        p->loop_over = p->loop_over || !more;
        if (p->main_rests)
            wake(wake_sleeper(p)); /* who wanted to serve it */
    }
    pthread_mutex_unlock(&p->lock);
}

/* ---- whose time has come; lock held ---- */

static struct runner *poke(struct wk_runnable *w)
{
    struct runner *r = __atomic_load_n(&w->waiter, __ATOMIC_SEQ_CST);

    if (r)
        r->poked = true;
    return r;
}

/* Those whose time has come are queued. */
static void fire_due(struct pool_executor *p, uint64_t now)
{
    struct wk_runnable *r;

    while ((r = wk_heap_first(&p->wakes)) != NULL && r->wake_at_ns <= now) {
        wk_heap_remove(&p->wakes, r);
        if (wk_mark_ready(r))
            wk_run_queue_push(&p->queue, r);
        else
            wake(poke(r));
    }
}

/* ---- ops ---- */

/* The calling step ends now: its thread is free for what it has just queued. */
static bool takes_over(const struct pool_executor *p)
{
    return self && self->pool == p && self->current && self->current->ending && self->active && p->queue.count == 1 &&
           self->started_ns - self->busy_since_ns < STREAK_NS;
}

static void enqueue(struct wk_executor *e, struct wk_runnable *r)
{
    struct pool_executor *p = (struct pool_executor *)e;
    struct runner *woken = NULL;

    pthread_mutex_lock(&p->lock);
    wk_run_queue_push(&p->queue, r);
    if (!takes_over(p))
        woken = ensure_runner(p);
    unlock_and_wake(p, woken);
}

static void enqueue_all(struct wk_executor *e, struct wk_runnable *const *r, uint32_t n)
{
    struct pool_executor *p = (struct pool_executor *)e;
    struct runner *woken = NULL;

    pthread_mutex_lock(&p->lock);
    for (uint32_t i = 0; i < n; i++)
        wk_run_queue_push(&p->queue, r[i]);
    if (!takes_over(p))
        woken = ensure_runner(p); /* who wakes the next one, if there is more to do */
    unlock_and_wake(p, woken);
}

static void wake_at(struct wk_executor *e, struct wk_runnable *r, uint64_t at_ns)
{
    struct pool_executor *p = (struct pool_executor *)e;

    /* The runner of this very step sleeps next, or makes sure that somebody keeps the time. */
    pthread_mutex_lock(&p->lock);
    wk_heap_put(&p->wakes, r, at_ns);
    pthread_mutex_unlock(&p->lock);
}

static void forget(struct wk_executor *e, struct wk_runnable *r)
{
    struct pool_executor *p = (struct pool_executor *)e;

    pthread_mutex_lock(&p->lock);
    wk_heap_remove(&p->wakes, r);
    pthread_mutex_unlock(&p->lock);
}

static void wake_waiter(struct wk_executor *e, struct wk_runnable *w)
{
    struct pool_executor *p = (struct pool_executor *)e;
    struct runner *r;

    pthread_mutex_lock(&p->lock);
    r = poke(w);
    unlock_and_wake(p, r);
}

static uint32_t busy(struct wk_executor *e)
{
    struct pool_executor *p = (struct pool_executor *)e;
    uint32_t threads;

    pthread_mutex_lock(&p->lock);
    threads = p->active >= p->options.threads ? p->options.threads : 0;
    pthread_mutex_unlock(&p->lock);
    return threads;
}

/* ---- a runner; lock held at the start and the end of each ---- */

static void deactivate(struct pool_executor *p, struct runner *r)
{
    if (r->active) {
        r->active = false;
        p->active--;
    }
}

static void activate(struct pool_executor *p, struct runner *r)
{
    if (!r->active) {
        r->active = true;
        p->active++;
    }
}

/* Runs the first of the queue. Returns the time after it. */
static uint64_t run_first(struct pool_executor *p, struct runner *r, uint64_t now)
{
    struct wk_runnable *next = wk_run_queue_pop(&p->queue, now), *outer = r->current;
    const struct wk_runnable *outer_shown = current;
    uint64_t began = now, slept_ns = 0;
    bool again, slow = next->slow;
    struct runner *woken;
    struct rusage before;

    activate(p, r);
    r->current = next;
    r->started_ns = now;
    p->steps++;
    if (p->watcher_idle) {
        p->watcher_idle = false;
        pthread_cond_signal(&p->watch);
    }
    woken = ensure_runner(p);
    if (!woken && now - r->busy_since_ns > STREAK_NS && unkept(p))
        woken = wake_sleeper(p); /* it finds nothing to do and keeps the time */
    if (slow)
        leave_loop_to_others(p);
    unlock_and_wake(p, woken);
    if (slow)
        wk_sleep_began(&before);
    current = next;
    again = wk_run_once(next, &now);
    current = outer_shown;
    if (now == 0)
        now = now_ns(&p->base);
    if (p->parent ? !*p->parent : getpid() != p->pid)
        _exit(127); /* forked by a function of the user that came back: the task belongs to the parent */
    if (slow)
        slept_ns = wk_sleep_ended(&before, now - began);
    pthread_mutex_lock(&p->lock);
    if (r->active) /* else another one has its place already */
        p->asleep.slept_ns += slept_ns;
    r->current = outer;
    r->started_ns = 0;
    if (again)
        wk_run_queue_push(&p->queue, next);
    return now;
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void look_at_loop(struct pool_executor *p, struct runner *r)
{
    pthread_mutex_lock(&p->lock);
    if (is_unled(p))
        take_turn(p, r, 0);
    pthread_mutex_unlock(&p->lock);
}

/* Looks for work without the lock, until there is some or spin_ns are over. */
static void spin(struct pool_executor *p, struct runner *r)
{
    uint64_t began = now_ns(&p->base), now = began, due;
    const struct wk_runnable *timed = wk_heap_first(&p->wakes);
    bool looks = is_unled(p);

    due = timed ? timed->wake_at_ns : UINT64_MAX; /* an earlier one would be asked for by a step, on another runner */
    p->spinning++;
    pthread_mutex_unlock(&p->lock);
    while (now - began < p->options.spin_ns && now < due && wk_run_queue_looks_empty(&p->queue)) {
        if (looks)
            look_at_loop(p, r);
        else
            relax();
        now = now_ns(&p->base);
    }
    pthread_mutex_lock(&p->lock);
    p->spinning--;
}

static void sleep_on(struct pool_executor *p, struct runner *r, uint64_t until_ns)
{
    struct timespec until = {(time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u)};
    int rc;

    pthread_mutex_unlock(&p->lock);
    do {
        rc = until_ns < UINT64_MAX ? sem_clockwait(&r->wake, CLOCK_MONOTONIC, &until) : sem_wait(&r->wake);
    } while (rc < 0 && errno == EINTR);
    pthread_mutex_lock(&p->lock);
}

/* Asleep, or at the loop if nobody else is: until it is woken, or, of who keeps the time, until the first wake_at. */
static void sleep_until_woken(struct pool_executor *p, struct runner *r)
{
    const struct wk_runnable *timed = unkept(p);
    uint64_t until_ns = timed ? timed->wake_at_ns : UINT64_MAX;

    if (timed) {
        p->keeper = r;
        p->keeper_until_ns = until_ns;
    }
    if (p->main_leads && !p->main_rests) { /* wakes this thread when it has left */
        p->main_rests = true;
        p->options.loop.interrupt(p->options.loop.arg);
    }
    list_push_front(&p->sleepers, &r->node);
    if (is_unled(p))
        take_turn(p, r, until_ns);
    else
        sleep_on(p, r, until_ns);
    list_remove(&r->node);
    if (p->keeper == r)
        p->keeper = NULL;
    if (r->woken) {
        r->woken = false;
        p->waking--;
    }
}

static void *runner_main(void *arg)
{
    struct runner *r = arg;
    struct pool_executor *p = r->pool;
    bool looked = false; /* since the last step */
    uint64_t now;

    self = r;
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
    env_thread_slice(SLICE_NS);
    if (p->options.on_thread)
        p->options.on_thread();
    pthread_mutex_lock(&p->lock);
    now = r->busy_since_ns = now_ns(&p->base);
    for (;;) {
        fire_due(p, now);
        if (p->queue.count > 0 && (p->active < width(p) + r->active || p->stopping)) {
            now = run_first(p, r, now);
            looked = false;
            if (is_unled(p) && now - p->looked_ns >= LOOK_NS) {
                deactivate(p, r); /* nobody else is woken for what it takes next */
                take_turn(p, r, 0);
                now = p->looked_ns;
            }
            continue;
        }
        if (p->stopping && p->queue.count == 0)
            break;
        deactivate(p, r);
        if (!looked && p->options.spin_ns > 0 && p->active + p->spinning < p->options.threads)
            spin(p, r);
        else
            sleep_until_woken(p, r);
        looked = p->options.spin_ns > 0 && !looked;
        now = r->busy_since_ns = now_ns(&p->base);
    }
    deactivate(p, r);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* A thread that waits inside a row may run other steps when there is no other thread for them. */
static bool may_lend(const struct pool_executor *p, const struct runner *r)
{
    return p->queue.count > 0 && p->active < width(p) && list_empty(&p->sleepers) && p->waking + p->spinning == 0 &&
           (p->runner_count >= p->options.threads_max || p->threads_exhausted) && r->nested < NESTED_MAX;
}

static void lend(struct pool_executor *p, struct runner *r)
{
    list_remove(&r->node);
    r->nested++;
    run_first(p, r, now_ns(&p->base));
    r->nested--;
    r->poked = true; /* the flag is the runner's: whom it was for is not known */
    deactivate(p, r);
    list_push_back(&p->waiters, &r->node);
}

static void wait_in_step(struct wk_executor *e, struct wk_runnable *w, bool (*done)(void *arg), void *arg)
{
    struct pool_executor *p = (struct pool_executor *)e;
    struct runner *r = self;
    void *outer; /* done() may run operators that wait themselves */
    bool ok;

    CHECK(r != NULL && r->current == w);
    pthread_mutex_lock(&p->lock);
    outer = w->waiter;
    __atomic_store_n(&w->waiter, r, __ATOMIC_SEQ_CST);
    deactivate(p, r);
    wake(ensure_runner(p));
    leave_loop_to_others(p);
    for (;;) {
        /* done() may take locks of its own; nobody takes this lock while holding those */
        r->poked = false;
        pthread_mutex_unlock(&p->lock);
        ok = done(arg);
        pthread_mutex_lock(&p->lock);
        if (ok)
            break;
        list_push_back(&p->waiters, &r->node);
        while (!r->poked) {
            if (may_lend(p, r)) {
                lend(p, r);
                continue;
            }
            pthread_mutex_unlock(&p->lock);
            while (sem_wait(&r->wake) < 0 && errno == EINTR)
                continue;
            pthread_mutex_lock(&p->lock);
        }
        list_remove(&r->node);
    }
    __atomic_store_n(&w->waiter, outer, __ATOMIC_SEQ_CST);
    r->started_ns = now_ns(&p->base);
    pthread_mutex_unlock(&p->lock);
}

/* ---- the watcher ---- */

static void look_after(struct pool_executor *p, uint64_t now)
{
    for (uint32_t i = 0; i < p->runner_count; i++) {
        struct runner *r = p->runners[i];

        if (!r->started_ns || !r->active)
            continue;
        if (now > r->started_ns + HURRY_NS)
            wk_hurry(r->current);
        if (now > r->started_ns + p->options.overstay_ns)
            deactivate(p, r); /* in a function that blocks: it no longer counts */
    }
    fire_due(p, now);
    wake(ensure_runner(p));
}

static void look_after_sleep(struct pool_executor *p, uint64_t now)
{
    wk_sleep_share_look(&p->asleep, now - p->asleep_looked_ns);
    p->asleep_looked_ns = now;
}

/* Steps are long: nobody has looked at the loop since the last time. */
static void look_after_loop(struct pool_executor *p, uint64_t *turns_before)
{
    if (is_unled(p) && p->turns == *turns_before)
        leave_loop_to_others(p);
    *turns_before = p->turns;
}

/* Looks every WATCH_NS until no step was taken between two looks and none is under way. */
static void *watcher_main(void *arg)
{
    struct pool_executor *p = arg;
    uint64_t steps_before = 0, turns_before = 0;

    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        struct timespec until;

        if (p->steps == steps_before && p->active == 0 && !unkept(p) && !is_unled(p)) {
            p->watcher_idle = true;
            while (p->watcher_idle && !p->stopping)
                pthread_cond_wait(&p->watch, &p->lock);
        }
        steps_before = p->steps;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += WATCH_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        while (!p->stopping && pthread_cond_timedwait(&p->watch, &p->lock, &until) != ETIMEDOUT)
            continue;
        look_after_sleep(p, now_ns(&p->base));
        look_after(p, now_ns(&p->base));
        look_after_loop(p, &turns_before);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- life ---- */

static const struct wk_executor_ops pool_ops = {
    .enqueue = enqueue,
    .enqueue_all = enqueue_all,
    .wait = wait_in_step,
    .wake_waiter = wake_waiter,
    .wake_at = wake_at,
    .forget = forget,
    .now_ns = now_ns,
    .wall_us = wall_us,
    .busy = busy,
};

/* To look at it costs nothing, and getpid() is a system call. */
static bool *page_of_parent(void)
{
    bool *page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return NULL;
    if (madvise(page, sizeof(*page), MADV_WIPEONFORK) != 0) {
        munmap(page, sizeof(*page));
        return NULL;
    }
    *page = true;
    return page;
}

struct wk_executor *wk_executor_posix_new(const struct wk_executor_options *options)
{
    struct pool_executor *p = MEM_NEW(struct pool_executor);
    pthread_condattr_t monotonic;

    CHECK(options->threads >= 1);
    p->base.ops = &pool_ops;
    p->options = *options;
    if (p->options.threads_max == 0)
        p->options.threads_max = WK_THREADS_MAX;
    if (p->options.overstay_ns == 0)
        p->options.overstay_ns = OVERSTAY_NS;
    p->options.threads_max = MAX(p->options.threads_max, options->threads);
    p->parent = page_of_parent();
    p->pid = getpid();
    list_init(&p->sleepers);
    list_init(&p->waiters);
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->watch, &monotonic);
    pthread_cond_init(&p->call, NULL);
    pthread_condattr_destroy(&monotonic);
    CHECK(pthread_create(&p->watcher, NULL, watcher_main, p) == 0);
    return &p->base;
}

void wk_executor_posix_free(struct wk_executor *e)
{
    struct pool_executor *p = (struct pool_executor *)e;

    if (!e)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    while (!list_empty(&p->sleepers))
        wake(wake_sleeper(p));
    pthread_cond_broadcast(&p->watch);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->watcher, NULL);
    for (uint32_t i = 0; i < p->runner_count; i++)
        pthread_join(p->runners[i]->thread, NULL);
    CHECK(p->queue.count == 0);
    for (uint32_t i = 0; i < p->runner_count; i++) {
        sem_destroy(&p->runners[i]->wake);
        mem_free(p->runners[i]);
    }
    mem_free(p->runners);
    wk_heap_release(&p->wakes);
    if (p->parent)
        munmap(p->parent, sizeof(*p->parent));
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->watch);
    pthread_cond_destroy(&p->call);
    mem_free(p);
}
