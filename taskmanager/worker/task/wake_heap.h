/*
 * wake_heap.h - runnables by the time at which they want to be woken, the first one at hand.
 *
 * A binary heap of borrowed runnables; each knows its place, so that it can be taken out.  Not thread-safe: its executor
 * guards it.
 */
#ifndef WK_WAKE_HEAP_H
#define WK_WAKE_HEAP_H

#include <stddef.h>

#include "taskmanager/worker/task/executor.h"

struct wk_heap { /* zero-initialised: empty */
    struct wk_runnable **at; /* owned; the place of a runnable is its wake_index - 1 */
    uint32_t count, cap;
};
void wk_heap_release(struct wk_heap *h);
/* r stays in with the earlier of both times if it is in already. */
void wk_heap_put(struct wk_heap *h, struct wk_runnable *r, uint64_t at_ns);
void wk_heap_remove(struct wk_heap *h, struct wk_runnable *r); /* not in: no-op */
/* NULL: empty. Borrowed. */
static inline struct wk_runnable *wk_heap_first(const struct wk_heap *h)
{
    return h->count > 0 ? h->at[0] : NULL;
}

#endif
