/*
 * partition.h - the order in which an edge lays out the rows of a block: by destination, and as they came within one.
 *
 * A counting sort over the destinations of up to RASK_BATCH_ROWS_MAX rows.  Pure functions of their arguments, and a little
 * memory to count in that a sender keeps. Thread: the task's step.
 */
#ifndef WK_PARTITION_H
#define WK_PARTITION_H

#include <stdint.h>

struct wk_partition {
    uint32_t channels;
    uint32_t *end;    /* after a sort: rows of channel c are [end[c - 1], end[c]); end[-1] is there, and 0 */
    uint16_t *counts; /* PARTITION_LANES x channels */
};
void wk_partition_init(struct wk_partition *p, uint32_t channels); /* 1 .. 65535 */
void wk_partition_release(struct wk_partition *p);
/* position[i] = the place of row i, whose destination dest[i] is below p->channels. rows <= 65535. */
void wk_partition_sort(struct wk_partition *p, const uint16_t *dest, uint32_t rows, uint16_t *position);
/* dest[i] = rank_of_group[key group of hash[i]]. */
void wk_partition_by_hash(const uint64_t *hash, uint32_t rows, uint32_t max_parallelism, const uint16_t *rank_of_group,
                          uint16_t *dest);
void wk_partition_at_random(uint64_t *state, uint32_t rows, uint32_t channels, uint16_t *dest); /* state: any at first */
/* One after the other, from *next on. */
void wk_partition_in_turn(uint32_t *next, uint32_t rows, uint32_t channels, uint16_t *dest);

#endif
