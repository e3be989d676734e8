/*
 * ring.h - a ring of batches between one thread that fills and one that empties: the cheapest hand-over there is.  Both spin.
 */
#ifndef RASK_BENCH_C_RING_H
#define RASK_BENCH_C_RING_H

#include <stdatomic.h>

#include "bench/c/bench.h"
#include "bench/rows.h"

enum { RING_SLOTS = 8, RING_ROWS = 4096 };

struct ring {
    _Alignas(128) atomic_ulong filled;
    _Alignas(128) atomic_ulong emptied;
    _Alignas(128) struct {
        struct row4 *rows;
        size_t count;
    } slots[RING_SLOTS];
};

static inline void ring_init(struct ring *r)
{
    char *memory = bench_memory(RING_SLOTS * RING_ROWS * sizeof(struct row4));

    memset(r, 0, sizeof(*r));
    for (size_t i = 0; i < RING_SLOTS; i++)
        r->slots[i].rows = (struct row4 *)(memory + i * RING_ROWS * sizeof(struct row4));
}

static inline void ring_release(struct ring *r)
{
    munmap(r->slots[0].rows, RING_SLOTS * RING_ROWS * sizeof(struct row4));
}

static inline void ring_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* NULL: the ring is full. */
static inline struct row4 *ring_to_fill(struct ring *r)
{
    unsigned long filled = atomic_load_explicit(&r->filled, memory_order_relaxed);

    if (filled - atomic_load_explicit(&r->emptied, memory_order_acquire) == RING_SLOTS)
        return NULL;
    return r->slots[filled % RING_SLOTS].rows;
}

static inline void ring_push(struct ring *r, size_t count)
{
    unsigned long filled = atomic_load_explicit(&r->filled, memory_order_relaxed);

    r->slots[filled % RING_SLOTS].count = count;
    atomic_store_explicit(&r->filled, filled + 1, memory_order_release);
}

/* The rows of the next batch added up into *sum, if there is one. */
static inline bool ring_add_up(struct ring *r, uint64_t *sum)
{
    unsigned long emptied = atomic_load_explicit(&r->emptied, memory_order_relaxed);
    const struct row4 *rows = r->slots[emptied % RING_SLOTS].rows;
    uint64_t part = 0;

    if (emptied == atomic_load_explicit(&r->filled, memory_order_acquire))
        return false;
    for (size_t i = 0; i < r->slots[emptied % RING_SLOTS].count; i++)
        part += row4_check(rows[i].a, rows[i].b, rows[i].c, rows[i].d);
    *sum += part;
    atomic_store_explicit(&r->emptied, emptied + 1, memory_order_release);
    return true;
}

#endif
