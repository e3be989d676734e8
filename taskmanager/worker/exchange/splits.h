/*
 * splits.h - what an enumerator's edge has given to readers that may start again without it.
 *
 * Such a reader begins with what it had at the restored checkpoint; the splits that it got behind that checkpoint's barrier are
 * known to nobody else.  So the edge keeps a copy of each split until a checkpoint is complete whose barrier followed it, and
 * gives the reader those again, before anything else (wk_edge_attach).  Flink's SplitAssignmentTracker; there they go to any
 * reader, here to the one that had them.
 *
 * Bounded: of a reader that was given more than SPLITS_KEPT_MAX since then nothing is known until the next checkpoint is
 * complete, and it cannot start again alone.
 * Thread: lock is held for everything but new and free; the task's step and the loop take it.
 */
#ifndef WK_SPLITS_H
#define WK_SPLITS_H

#include <pthread.h>

#include "common/base/list.h"
#include "common/types/batch.h"

#define SPLITS_KEPT_MAX RASK_BATCH_ROWS_MAX
#define SPLITS_KEPT_BYTES_MAX (512u << 10)

struct wk_given_to { /* a reader */
    struct list given; /* the oldest first */
    uint32_t count;
    uint64_t bytes;
    uint64_t from;     /* no split is missing that was given behind the barrier of this checkpoint, or of a later one */
};

struct wk_splits {
    pthread_mutex_t lock;
    const rask_schema *schema; /* of a split: id, position; borrowed */
    uint32_t count;
    struct wk_given_to *readers; /* by rank */
    uint64_t barrier;            /* the last that was sent, or the checkpoint that the enumerator began with; 0: none */
    uint64_t given_up;           /* no barrier up to this one is waited for by a reader */
};

struct wk_splits *wk_splits_new(const rask_schema *schema, uint32_t readers, uint64_t restored);
void wk_splits_free(struct wk_splits *s); /* NULL is legal */
/* A row of the schema goes to a reader. */
void wk_splits_given(struct wk_splits *s, uint32_t reader, const rask_row *split);
/* A checkpoint is complete: what it holds is forgotten. */
void wk_splits_completed(struct wk_splits *s, uint64_t checkpoint);
/*
 * What was given to a reader behind a checkpoint (0: ever), in order; *ret NULL: nothing.  One batch.  False: not all of that is
 * known any more.
 */
bool wk_splits_since(const struct wk_splits *s, uint32_t reader, uint64_t checkpoint, struct pool *pool, rask_batch **ret);

#endif
