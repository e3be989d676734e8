/*
 * buffer.h - pooled, reference-counted memory with one budget.
 *
 * A pool belongs to a worker (or a test).  It counts exactly what it gave out; over the budget it
 * still gives (a step must be able to finish) but pool_over() tells producers to stop, give or take
 * the 32 KiB of small blocks that a thread counts for itself.  Freed buffers are kept by size class.
 * Thread: any.
 */
#ifndef TYPES_BUFFER_H
#define TYPES_BUFFER_H

#include <rask/batch.h>
#include <stdbool.h>

struct pool;
struct pool_stats {
    uint64_t in_use_bytes, peak_bytes, budget_bytes;
    uint64_t allocations; /* that reached malloc: flat after warm-up */
    uint64_t gets;
};
struct pool *pool_new(uint64_t budget_bytes);
void pool_free(struct pool *pool); /* all buffers must be back: CHECKed */
void pool_stats(struct pool *pool, struct pool_stats *ret);
bool pool_over(struct pool *pool);
/* rask.max-row-size: strings of one row. 64 MiB at first and at most; set before anybody builds rows. */
#define POOL_ROW_BYTES_MAX (64u << 20)
void pool_set_row_max(struct pool *pool, uint32_t bytes);
uint32_t pool_row_max(const struct pool *pool);
/* capacity >= size, refs 1, used 0, content undefined. */
rask_buffer *pool_get(struct pool *pool, uint64_t size);
/* Small headers (batch headers, slices), counted and recycled the same way. */
void *pool_small(struct pool *pool, size_t size);
void pool_small_free(struct pool *pool, void *p, size_t size);

static inline rask_buffer *buffer_ref(rask_buffer *b)
{
    __atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
    return b;
}
static inline void buffer_unref(rask_buffer *b) /* NULL is legal */
{
    if (b && __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) == 0)
        b->release(b);
}

#endif
