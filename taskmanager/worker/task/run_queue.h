/*
 * run_queue.h - the runnables that are ready, in the order in which they have their turn.
 *
 * First come, first served, but many sources that are ready at the same time do not all go first: what some of them have made
 * is read before others make more, else all of it would leave the caches meanwhile.
 *
 * Of borrowed runnables.  Not thread-safe, its executor guards it; wk_run_queue_looks_empty alone is for any thread.
 */
#ifndef WK_RUN_QUEUE_H
#define WK_RUN_QUEUE_H

#include <stddef.h>

#include "taskmanager/worker/task/executor.h"

struct wk_run_line {
    struct wk_runnable *head, *tail;
};
struct wk_run_queue { /* zero-initialised: empty */
    struct wk_run_line others, sources;
    uint32_t count;    /* in both; written with atomics */
    uint64_t pushes;   /* so far: the order between both */
    uint32_t ahead;    /* sources taken since there was nothing else to do */
    uint64_t ahead_until_ns; /* once those are too many: when the next one has its turn anyway */
    uint64_t ahead_pushes;   /* and the pushes up to then */
};
/* r is in no queue. */
void wk_run_queue_push(struct wk_run_queue *q, struct wk_runnable *r);
/* Not empty. now_ns: of the executor. */
struct wk_runnable *wk_run_queue_pop(struct wk_run_queue *q, uint64_t now_ns);

static inline bool wk_run_queue_looks_empty(const struct wk_run_queue *q)
{
    return __atomic_load_n(&q->count, __ATOMIC_RELAXED) == 0;
}

#endif
