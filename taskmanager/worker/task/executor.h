/*
 * executor.h - who runs task steps, and when.
 *
 * A task is a runnable: run() does a bounded piece of work (0.3 ms) and returns; wk_ready makes it run
 * again.  Two executors exist: a pool of threads (executor_posix.c) and events of the simulator (test/sim).  A runnable is
 * never run twice at the same time, and a wk_ready during run() is not lost.
 *
 * A user function that must wait inside one row (its output is overdrawn) calls wk_wait: its thread is
 * replaced in the pool meanwhile.  A step that overstays (a user function that blocks) is noticed, and the pool gets
 * another thread for the others.
 */
#ifndef WK_EXECUTOR_H
#define WK_EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>

struct wk_executor;
struct wk_runnable;

#define WK_SLOW_NS 1000000u

enum { WK_IDLE, WK_QUEUED, WK_RUNNING, WK_RUNNING_AGAIN };

struct wk_runnable {
    /* Returns true if there is more to do at once (out of budget), false to sleep until wk_ready. */
    bool (*run)(struct wk_runnable *r);
    struct wk_executor *executor;
    const char *name;         /* for obituaries: "flat_map (2/4)"; borrowed */
    const char *operator_now; /* operator on the CPU; atomic, wk_runnable_in; NULL between two */
    int state;                /* atomic, WK_IDLE ... */
    int hurry;                /* atomic: the step is long, loops over rows should return; wk_hurries */
    bool ending;              /* step: it wakes others and returns at once, so its thread may run one of them */
    bool is_source;           /* step: what it makes next is work for others */
    bool slow;                /* its last step took longer than WK_SLOW_NS; owned by the executor */
    uint64_t began_ns;        /* of now_ns: when the step began; owned by the executor */
    uint64_t ended_ns;        /* step: when it ended, if it has looked; 0: it has not */
    struct wk_runnable *next; /* owned by the executor while queued */
    uint64_t turn;            /* likewise: its number in the order of coming */
    void *waiter;             /* owned by the executor during wk_wait */
    uint64_t wake_at_ns;      /* owned by the executor: of wake_at */
    uint32_t wake_index;      /* owned by the executor; 0: no wake_at is pending */
    void *wake;               /* owned by the executor */
};

struct wk_executor_ops {
    void (*enqueue)(struct wk_executor *e, struct wk_runnable *r);
    void (*enqueue_all)(struct wk_executor *e, struct wk_runnable *const *r, uint32_t n); /* n > 0; NULL: one by one */
    void (*wait)(struct wk_executor *e, struct wk_runnable *r, bool (*done)(void *arg), void *arg);
    void (*wake_waiter)(struct wk_executor *e, struct wk_runnable *r);
    /* Step of r: makes r ready at that time of now_ns. The earliest time asked for stands until it has come. */
    void (*wake_at)(struct wk_executor *e, struct wk_runnable *r, uint64_t at_ns);
    /* Step of r, the last one: takes a wake_at back. */
    void (*forget)(struct wk_executor *e, struct wk_runnable *r);
    uint64_t (*now_ns)(struct wk_executor *e);
    int64_t (*wall_us)(struct wk_executor *e, uint64_t now_ns); /* Unix time at that time of now_ns, which was just now */
    /* Any thread: how many threads it has, when each of them runs a step just now; else 0. NULL: always 0. */
    uint32_t (*busy)(struct wk_executor *e);
};
struct wk_executor {
    const struct wk_executor_ops *ops;
};

/* The step, which alone writes it; metrics read it on another thread. */
static inline void wk_runnable_in(struct wk_runnable *r, const char *operator_name)
{
    __atomic_store_n(&r->operator_now, operator_name, __ATOMIC_RELAXED);
}
/* Any thread. A loop over rows that finds it true returns after its row: the step has taken long, or is to end. */
static inline bool wk_hurries(const struct wk_runnable *r)
{
    return __atomic_load_n(&r->hurry, __ATOMIC_RELAXED) != 0;
}
static inline void wk_hurry(struct wk_runnable *r)
{
    __atomic_store_n(&r->hurry, 1, __ATOMIC_RELAXED);
}
/* Any thread. Makes r run (again). */
void wk_ready(struct wk_runnable *r);
/* The same for several, of one executor; r is used for other things. */
void wk_ready_all(struct wk_runnable **r, uint32_t n);
/* For executors: the first half of wk_ready. True: r has become queued, and the caller puts it into its queue. */
bool wk_mark_ready(struct wk_runnable *r);
/* For executors: runs r once; returns true if it must be queued again. now_ns: when it begins; becomes when it ended, or 0. */
bool wk_run_once(struct wk_runnable *r, uint64_t *now_ns);
/* Inside run() only: blocks this step until done(arg) is true; done is asked again after each wk_ready(r). */
void wk_wait(struct wk_runnable *r, bool (*done)(void *arg), void *arg);

/*
 * The loop that brings work for the tasks (env_libevent_turn).  Threads that have nothing to do serve it, one at a time, so what
 * comes over it is worked on by the thread that got it: nobody else has to be woken.
 */
struct wk_executor_loop {
    bool (*turn)(void *arg, uint64_t until_ns); /* false: it was stopped, and is served no more */
    void (*interrupt)(void *arg);               /* any thread: a turn that waits ends */
    void *arg;
};
struct wk_executor_options {
    uint32_t threads;        /* >= 1: steady size. Others live only while steps overstay or wait. */
    uint32_t threads_max;    /* 0: WK_THREADS_MAX. Beyond it waiting steps lend their threads. */
    uint64_t overstay_ns;    /* a step that is longer no longer counts; 0: 20 ms */
    uint64_t spin_ns;        /* how long a thread without work looks for some before it sleeps */
    void (*on_thread)(void); /* called first on each thread that runs steps; may be NULL */
    struct wk_executor_loop loop; /* turn NULL: it is somebody else's */
};
#define WK_THREADS_MAX 2048
/* A step that returns in a forked child ends that child. */
struct wk_executor *wk_executor_posix_new(const struct wk_executor_options *options);
/* Serves the loop while no other thread can, until it is stopped: for the main thread. */
void wk_executor_posix_serve(struct wk_executor *e);
void wk_executor_posix_free(struct wk_executor *e); /* runs what is queued; nothing may be waiting or go on for ever */
/* The runnable that the calling thread runs, NULL outside of steps. Async-signal-safe (crash reports). */
const struct wk_runnable *wk_executor_current(void);

#endif
