/*
 * hot.h - which key group of an edge has the most rows, from a sample of a few rows of each block.
 *
 * The heaviest groups of a stream in a few slots: Metwally, Agrawal, El Abbadi, "Efficient computation of frequent and
 * top-k elements in data streams" (2005).  Counts are halved as they grow, so the answer is about the last few hundred
 * blocks.  The task's step samples; any thread asks.
 */
#ifndef WK_HOT_H
#define WK_HOT_H

#include <stdbool.h>
#include <stdint.h>

#define WK_HOT_SLOTS 64
#define WK_HOT_ROWS 8 /* sampled of each block */

struct wk_hot {
    uint32_t group[WK_HOT_SLOTS], count[WK_HOT_SLOTS];
    uint32_t used, samples, next;
    uint64_t top; /* atomic: group << 32 | share in thousandths; 0 rows sampled: 0 */
};
/* Rows of a block by the hash of their keys. */
void wk_hot_sample(struct wk_hot *hot, const uint64_t *hash, uint32_t rows, uint32_t max_parallelism);
/* False: nothing was sampled yet. */
bool wk_hot_top(const struct wk_hot *hot, uint32_t *ret_group, uint32_t *ret_permille);

#endif
