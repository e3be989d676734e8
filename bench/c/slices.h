/*
 * slices.h - what the exchange of many channels in shuffle.c hands over: parts of blocks, in a ring from one thread to another.
 */
#ifndef RASK_BENCH_C_SLICES_H
#define RASK_BENCH_C_SLICES_H

#include "bench/c/ring.h"

enum {
    CHANNELS_MAX = 256,
    SLICE_ROWS = 256,   /* of each channel in a block, on average */
    BLOCK_ROWS_MIN = 4096,
    BLOCKS = 3,         /* of a thread, which fills them in turn */
    HANDED_MAX = 1024,  /* slices on their way: at least those of one block */
};

struct cells {
    uint64_t *column[4];
};

/* Either of them. */
struct block {
    struct cells cells;
    struct row4 *rows;
    atomic_uint away; /* slices of it that the other thread has not read */
    char padding[64];
};

struct slice {
    struct block *block;
    uint32_t first, rows;
};

/* From one thread to the other. */
struct slices {
    atomic_ulong filled;
    char padding_1[64];
    atomic_ulong emptied;
    char padding_2[64];
    struct slice slots[HANDED_MAX];
};

static inline struct cells cells_from(struct cells c, uint64_t at)
{
    return (struct cells){{c.column[0] + at, c.column[1] + at, c.column[2] + at, c.column[3] + at}};
}

static inline struct cells cells_new(uint64_t rows)
{
    uint64_t *memory = bench_memory(4 * rows * sizeof(*memory));

    return (struct cells){{memory, memory + rows, memory + 2 * rows, memory + 3 * rows}};
}

static inline struct block *blocks_new(uint64_t rows)
{
    struct block *blocks = bench_memory(BLOCKS * sizeof(*blocks));

    for (int i = 0; i < BLOCKS; i++) {
        blocks[i].cells = cells_new(rows);
        blocks[i].rows = (struct row4 *)blocks[i].cells.column[0];
    }
    return blocks;
}

/* False: the ring is full. */
static inline bool slices_push(struct slices *s, const struct slice *slice)
{
    unsigned long filled = atomic_load_explicit(&s->filled, memory_order_relaxed);

    if (filled - atomic_load_explicit(&s->emptied, memory_order_acquire) == HANDED_MAX)
        return false;
    s->slots[filled % HANDED_MAX] = *slice;
    atomic_store_explicit(&s->filled, filled + 1, memory_order_release);
    return true;
}

/* NULL: there is none. Until slices_done. */
static inline const struct slice *slices_next(struct slices *s)
{
    unsigned long emptied = atomic_load_explicit(&s->emptied, memory_order_relaxed);

    return emptied == atomic_load_explicit(&s->filled, memory_order_acquire) ? NULL : &s->slots[emptied % HANDED_MAX];
}

static inline void slices_done(struct slices *s)
{
    unsigned long emptied = atomic_load_explicit(&s->emptied, memory_order_relaxed);

    atomic_fetch_sub_explicit(&s->slots[emptied % HANDED_MAX].block->away, 1, memory_order_release);
    atomic_store_explicit(&s->emptied, emptied + 1, memory_order_release);
}

#endif
