/*
 * merge.h - rows of equal key become one before they leave over an edge: the local half of a sum, min or max.
 *
 * A merge belongs to a keyed edge whose receiver adds up one column and shares the others with the key
 * (rask_merge_updates).  Batches go in; of each key the first row is kept, and its cell in that column becomes the sum,
 * least or greatest of all rows of the key since the last drain.  What is kept shares the other columns with the batches it
 * came from: no key is copied.  A sum that would not fit leaves two rows of the key, for the receiver to judge.
 * Thread: that of the edge's task.
 */
#ifndef WK_MERGE_H
#define WK_MERGE_H

#include "common/types/batch.h"

enum { MERGE_BATCHES = 64, MERGE_ROWS = 8 * RASK_BATCH_ROWS_MAX };
enum wk_merge_kind { WK_MERGE_SUM, WK_MERGE_MIN, WK_MERGE_MAX };

struct wk_merge;
/* column: a BIGINT or TIMESTAMP that is NOT NULL and no key column. key_columns: borrowed. */
struct wk_merge *wk_merge_new(enum wk_merge_kind kind, uint32_t column, const uint16_t *key_columns, uint32_t key_count);
void wk_merge_free(struct wk_merge *m); /* drops what it holds; NULL is legal */
/* No room for so many rows, at most RASK_BATCH_ROWS_MAX, as one more batch: drain first. */
bool wk_merge_is_full(const struct wk_merge *m, uint32_t rows);
bool wk_merge_is_empty(const struct wk_merge *m);
/* The batch is taken. It must not be full, and the batch hold insertions alone. */
void wk_merge_add(struct wk_merge *m, rask_batch *batch);
/*
 * The next of the batches with what was kept, in the order in which they came: one reference, the caller's. NULL: that was
 * the last one, and it is empty. Nothing is added between the first call and the one that returns NULL.
 */
rask_batch *wk_merge_drain(struct wk_merge *m, struct pool *pool);

#endif
