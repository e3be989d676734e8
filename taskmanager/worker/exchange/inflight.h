/*
 * inflight.h - rows in flight: those that a barrier has overtaken, which are part of its checkpoint.
 *
 * A sender adds the rows that waited in its outputs, a receiver those that had come, or still come, before the barrier of a
 * channel.  Batches are kept by reference: nothing is copied until they are written.  Also the form in which restored rows
 * wait until their sender gives them out again.  Thread: the task's step, later whoever writes; one at a time.
 */
#ifndef WK_INFLIGHT_H
#define WK_INFLIGHT_H

#include "common/types/batch.h"

#define WK_ANY_SUBTASK UINT32_MAX /* the edge is to decide where the rows go */
#define WK_INFLIGHT_BYTES_MAX (256ull << 20) /* of one task and checkpoint */

/* Of one channel, those of the receiver were sent before those of the sender. */
enum wk_inflight_side { WK_FROM_RECEIVER, WK_FROM_SENDER };

struct wk_inflight_rows {
    uint32_t edge, from, to; /* subtasks of both ends */
    enum wk_inflight_side side;
    uint32_t number;         /* in the order of wk_inflight_add */
    rask_batch *rows;        /* one reference */
};
struct wk_inflight { /* zeroed: empty */
    struct wk_inflight_rows *items;
    uint32_t count, room;
    uint64_t bytes; /* of the rows */
};
/* rows is taken. */
void wk_inflight_add(struct wk_inflight *f, uint32_t edge, uint32_t from, uint32_t to, enum wk_inflight_side side,
                     rask_batch *rows);
/* By edge, both subtasks and side; in the order in which they were added within that. */
void wk_inflight_sort(struct wk_inflight *f);
void wk_inflight_clear(struct wk_inflight *f); /* drops what it holds */

#endif
