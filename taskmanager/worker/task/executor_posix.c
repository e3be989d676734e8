/*
 * executor_posix.c - a pool of threads that step tasks.
 *
 * One run queue under one lock: steps last up to a millisecond, so the lock is taken some thousand times a second.
 * `threads` runners are active at a time.  A runner that waits (wk_wait) or overstays OVERSTAY_NS stops counting as
 * active, and a spare one takes its place; when it comes back and there are too many, it becomes a spare.
 * A watcher thread looks for overstaying steps only while some step is running.
 */
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "taskmanager/worker/task/executor.h"

#define OVERSTAY_NS 20000000u
#define WATCH_NS 10000000u
#define RUNNERS_MAX 512

struct runner {
    struct pool_executor *pool;
    pthread_t thread;
    struct wk_runnable *current; /* under lock */
    uint64_t started_ns;         /* under lock; 0: not in a step */
    bool active;                 /* counts against `threads` */
    bool poked;                  /* under lock: wk_wait must ask again */
    pthread_cond_t wake;         /* of wk_wait */
};

struct pool_executor {
    struct wk_executor base;
    pthread_mutex_t lock;
    pthread_cond_t work, watch;
    struct wk_runnable *head, *tail;
    struct runner *runners[RUNNERS_MAX];
    uint32_t runner_count, threads, active, sleeping, in_step;
    bool stopping, watcher_idle;
    pthread_t watcher;
    void (*on_thread)(void);
    pid_t pid; /* a child that user code forks has another one */
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

static int64_t wall_ms(struct wk_executor *e)
{
    struct timespec ts;

    (void)e;
    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void *runner_main(void *arg);

/* Lock held. Makes sure that somebody will take what is queued. */
static void ensure_runner(struct pool_executor *p)
{
    if (!p->head || p->active >= p->threads)
        return;
    if (p->sleeping > 0) {
        pthread_cond_signal(&p->work);
        return;
    }
    if (p->runner_count < RUNNERS_MAX) {
        struct runner *r = MEM_NEW(struct runner);

        r->pool = p;
        pthread_cond_init(&r->wake, NULL);
        p->runners[p->runner_count++] = r;
        r->active = true;
        p->active++;
        CHECK(pthread_create(&r->thread, NULL, runner_main, r) == 0);
    }
}

static void push(struct pool_executor *p, struct wk_runnable *r)
{
    r->next = NULL;
    if (p->tail)
        p->tail->next = r;
    else
        p->head = r;
    p->tail = r;
}

static void enqueue(struct wk_executor *e, struct wk_runnable *r)
{
    struct pool_executor *p = (struct pool_executor *)e;

    pthread_mutex_lock(&p->lock);
    push(p, r);
    ensure_runner(p);
    pthread_mutex_unlock(&p->lock);
}

/* Lock held. */
static void retire(struct pool_executor *p, struct runner *r)
{
    if (r->active) {
        r->active = false;
        p->active--;
        ensure_runner(p);
    }
}

static void *runner_main(void *arg)
{
    struct runner *r = arg;
    struct pool_executor *p = r->pool;

    self = r;
    if (p->on_thread)
        p->on_thread();
    pthread_mutex_lock(&p->lock);
    while (!p->stopping || p->head) {
        struct wk_runnable *next = p->head;
        bool again;

        if (!p->stopping && (!next || (!r->active && p->active >= p->threads))) {
            if (r->active) {
                r->active = false;
                p->active--;
            }
            p->sleeping++;
            pthread_cond_wait(&p->work, &p->lock);
            p->sleeping--;
            if (p->head && !r->active && p->active < p->threads) {
                r->active = true;
                p->active++;
            }
            continue;
        }
        if (!r->active) {
            r->active = true;
            p->active++;
        }
        p->head = next->next;
        if (!p->head)
            p->tail = NULL;
        else
            ensure_runner(p);
        r->current = next;
        r->started_ns = now_ns(&p->base);
        if (p->in_step++ == 0 && p->watcher_idle)
            pthread_cond_signal(&p->watch);
        pthread_mutex_unlock(&p->lock);
        current = next;
        again = wk_run_once(next);
        current = NULL;
        if (getpid() != p->pid)
            _exit(127); /* forked by a function of the user that came back: the task belongs to the parent */
        pthread_mutex_lock(&p->lock);
        p->in_step--;
        r->current = NULL;
        r->started_ns = 0;
        if (again)
            push(p, next);
    }
    if (r->active)
        p->active--;
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void wait_in_step(struct wk_executor *e, struct wk_runnable *w, bool (*done)(void *arg), void *arg)
{
    struct pool_executor *p = (struct pool_executor *)e;
    struct runner *r = self;
    void *outer; /* done() may run operators that wait themselves */

    CHECK(r != NULL && r->current == w);
    pthread_mutex_lock(&p->lock);
    outer = w->waiter;
    __atomic_store_n(&w->waiter, r, __ATOMIC_SEQ_CST);
    retire(p, r);
    for (;;) {
        bool ok;

        /* done() may take locks of its own; nobody takes this lock while holding those */
        r->poked = false;
        pthread_mutex_unlock(&p->lock);
        ok = done(arg);
        pthread_mutex_lock(&p->lock);
        if (ok)
            break;
        while (!r->poked)
            pthread_cond_wait(&r->wake, &p->lock);
    }
    __atomic_store_n(&w->waiter, outer, __ATOMIC_SEQ_CST);
    r->started_ns = now_ns(&p->base);
    pthread_mutex_unlock(&p->lock);
}

static void wake_waiter(struct wk_executor *e, struct wk_runnable *w)
{
    struct pool_executor *p = (struct pool_executor *)e;
    struct runner *r;

    pthread_mutex_lock(&p->lock);
    r = __atomic_load_n(&w->waiter, __ATOMIC_SEQ_CST);
    if (r) {
        r->poked = true;
        pthread_cond_signal(&r->wake);
    }
    pthread_mutex_unlock(&p->lock);
}

/* Looks every WATCH_NS, while some step runs, for one that overstays: its runner stops counting as active. */
static void *watcher_main(void *arg)
{
    struct pool_executor *p = arg;

    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        struct timespec until;
        uint64_t now;

        if (p->in_step == 0) {
            p->watcher_idle = true;
            pthread_cond_wait(&p->watch, &p->lock);
            p->watcher_idle = false;
            continue;
        }
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += WATCH_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&p->watch, &p->lock, &until);
        now = now_ns(&p->base);
        for (uint32_t i = 0; i < p->runner_count; i++) {
            struct runner *r = p->runners[i];

            if (r->started_ns && r->active && now - r->started_ns > OVERSTAY_NS)
                retire(p, r);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static const struct wk_executor_ops pool_ops = {enqueue, wait_in_step, wake_waiter, now_ns, wall_ms};

struct wk_executor *wk_executor_posix_new(uint32_t threads, void (*on_thread)(void))
{
    struct pool_executor *p = MEM_NEW(struct pool_executor);

    CHECK(threads >= 1);
    p->base.ops = &pool_ops;
    p->threads = threads;
    p->on_thread = on_thread;
    p->pid = getpid();
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->watch, NULL);
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
    pthread_cond_broadcast(&p->work);
    pthread_cond_broadcast(&p->watch);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->watcher, NULL);
    for (uint32_t i = 0; i < p->runner_count; i++)
        pthread_join(p->runners[i]->thread, NULL);
    CHECK(p->head == NULL);
    for (uint32_t i = 0; i < p->runner_count; i++) {
        pthread_cond_destroy(&p->runners[i]->wake);
        mem_free(p->runners[i]);
    }
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->watch);
    mem_free(p);
}
