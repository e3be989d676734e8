/*
 * merge.h - rows of equal key become one before they leave over an edge: the local half of a sum, min or max.
 *
 * A merge belongs to a keyed edge whose receiver adds up one column and shares the others with the key
 * (rask_merge_updates).  Batches go in; of each key the first row is kept, and its cell in that column becomes the sum,
 * least or greatest of all rows of the key since the last drain.  Kept rows are copied out of the batches they came in, so
 * that what is held follows the number of keys and not that of rows, and the memory of those batches is used again while
 * it is in the cache.  A sum that would not fit leaves two rows of the key, for the receiver to judge.
 * Thread: that of the edge's task.
 */
#ifndef WK_MERGE_H
#define WK_MERGE_H

#include "common/types/batch.h"

enum {
    MERGE_KEYS_MAX = 65000,
    MERGE_BYTES_MAX = 4 << 20,
    MERGE_PASS_ROWS = 8 * MERGE_KEYS_MAX, /* that pass when as many keys as may be held had hardly more rows */
};
enum wk_merge_kind { WK_MERGE_SUM, WK_MERGE_MIN, WK_MERGE_MAX };

struct wk_merge;
/*
 * column: a BIGINT or TIMESTAMP that is NOT NULL and no key column. key_columns, pool: borrowed; the pool outlives it, and
 * counts the rows that are held and the table of their keys, which grows with them.
 */
struct wk_merge *wk_merge_new(struct pool *pool, enum wk_merge_kind kind, uint32_t column, const uint16_t *key_columns,
                              uint32_t key_count);
void wk_merge_free(struct wk_merge *m); /* drops what it holds; NULL is legal */
/*
 * false: the next batch, of so many rows, is to pass as it is. Keys of which few come twice before the merge is full cost more
 * here than they save; after MERGE_PASS_ROWS it is tried again.
 */
bool wk_merge_wants(struct wk_merge *m, uint32_t rows);
/* So many rows, at most RASK_BATCH_ROWS_MAX, may be too many, or the pool is over its budget: drain first. */
bool wk_merge_is_full(const struct wk_merge *m, uint32_t rows);
bool wk_merge_is_empty(const struct wk_merge *m);
/* The batch is taken. The merge must not be full of keys, and the batch hold insertions alone. */
void wk_merge_add(struct wk_merge *m, rask_batch *batch);
/*
 * The next of the batches with what was kept, in the order in which keys first came: one reference, the caller's. NULL: that
 * was the last one, and it is empty. Nothing is added between the first call and the one that returns NULL.
 */
rask_batch *wk_merge_drain(struct wk_merge *m);

#endif
