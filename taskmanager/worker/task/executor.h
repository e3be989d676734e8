/*
 * executor.h - who runs task steps.
 *
 * A task is a runnable: run() does a bounded piece of work (1 ms) and returns; wk_ready makes it run
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

enum { WK_IDLE, WK_QUEUED, WK_RUNNING, WK_RUNNING_AGAIN };

struct wk_runnable {
    /* Returns true if there is more to do at once (out of budget), false to sleep until wk_ready. */
    bool (*run)(struct wk_runnable *r);
    struct wk_executor *executor;
    const char *name;         /* for obituaries: "flat_map (2/4)"; borrowed */
    const char *operator_now; /* operator on the CPU; atomic, wk_runnable_in; NULL between two */
    int state;                /* atomic, WK_IDLE ... */
    struct wk_runnable *next; /* owned by the executor while queued */
    void *waiter;             /* owned by the executor during wk_wait */
    uint32_t home;            /* executor thread that ran it last */
};

struct wk_executor_ops {
    void (*enqueue)(struct wk_executor *e, struct wk_runnable *r);
    void (*wait)(struct wk_executor *e, struct wk_runnable *r, bool (*done)(void *arg), void *arg);
    void (*wake_waiter)(struct wk_executor *e, struct wk_runnable *r);
    uint64_t (*now_ns)(struct wk_executor *e);
    int64_t (*wall_ms)(struct wk_executor *e);
};
struct wk_executor {
    const struct wk_executor_ops *ops;
};

/* The step, which alone writes it; metrics read it on another thread. */
static inline void wk_runnable_in(struct wk_runnable *r, const char *operator_name)
{
    __atomic_store_n(&r->operator_now, operator_name, __ATOMIC_RELAXED);
}
/* Any thread. Makes r run (again). */
void wk_ready(struct wk_runnable *r);
/* For executors: runs r once; returns true if it must be queued again. */
bool wk_run_once(struct wk_runnable *r);
/* Inside run() only: blocks this step until done(arg) is true; done is asked again after each wk_ready(r). */
void wk_wait(struct wk_runnable *r, bool (*done)(void *arg), void *arg);

/* threads >= 1: steady pool size. Threads beyond it live only while steps overstay or wait. on_thread: called first on each
 * thread that runs steps; may be NULL. A step that returns in a forked child ends that child. */
struct wk_executor *wk_executor_posix_new(uint32_t threads, void (*on_thread)(void));
void wk_executor_posix_free(struct wk_executor *e); /* runs what is queued; nothing may be waiting or go on for ever */
/* The runnable that the calling thread runs, NULL outside of steps. Async-signal-safe (crash reports). */
const struct wk_runnable *wk_executor_current(void);

#endif
