/*
 * channel.h - logical channels between subtasks: elements in order, with credits in bytes.
 *
 * A channel runs from one subtask of the source vertex to one of the target vertex, for one job edge.  It
 * carries data (slices of blocks) and control elements in one order.  Local and remote channels look the same to
 * both ends; a local one hands over references, a remote one frames (link.h).
 *
 * Credit: the receiver grants bytes, a slice is sent when its bytes fit or when the channel has its whole
 * credit (a row larger than the credit passes alone).  Control elements need no credit, but wait behind data.
 */
#ifndef WK_CHANNEL_H
#define WK_CHANNEL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/types/batch.h"

/* Figures have one writer, the task's step, and readers on other threads. */
static inline void wk_count(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}
static inline uint64_t wk_counted(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

enum wk_element_type {
    WK_DATA = 1,
    WK_WATERMARK, /* value: rask_ts */
    WK_BARRIER,   /* value: checkpoint id */
    WK_STATUS,    /* value: 1 idle, 0 active */
    WK_LATENCY,   /* value: ns at the source */
    WK_END,       /* end of input; the last element of a channel */
};

struct wk_element {
    struct list node;
    enum wk_element_type type;
    uint32_t bytes;    /* what it costs of the credit; 0 for control */
    int64_t value;
    bool remote;       /* came over a connection */
    rask_batch *batch; /* WK_DATA at the receiver: owned */
    /* WK_DATA at the sender: rows [first, first + rows) of a block, not yet cut out */
    struct wk_block *block;
    uint32_t first, rows;
};
struct wk_element *wk_element_new(enum wk_element_type type, int64_t value);
struct wk_element *wk_element_data(rask_batch **batch, uint32_t bytes); /* batch is taken */
void wk_element_free(struct wk_element *e);

/* ---- receiving end ---- */
struct wk_gate;
struct wk_in {
    struct wk_gate *gate;
    uint32_t edge, source_subtask, target_subtask;
    uint32_t input;              /* 0 or 1 of the head operator */
    struct list queue;           /* gate lock */
    struct list ready;           /* gate lock: in gate->ready while the queue is not empty */
    uint64_t queued_bytes;       /* written under the gate lock, atomic */
    uint32_t credit_bytes;       /* granted in all at the start */
    uint64_t unreturned;         /* task: consumed, not yet granted again */
    bool ended, idle;            /* task */
    bool end_received;           /* loop: END came over the connection */
    bool blocked;                /* gate lock: its barrier is there, the others' are not (alignment) */
    rask_ts watermark;           /* task */
    /* Gives bytes back to the sender. Any thread. */
    void (*grant)(struct wk_in *in, uint32_t bytes);
    void *peer;                  /* struct wk_out (local) or struct wk_link (remote) */
};

struct wk_runnable;
struct wk_gate {
    pthread_mutex_t lock;
    struct wk_runnable *task;    /* woken when something arrives */
    struct wk_in *channels;
    uint32_t channel_count, ended_count;
    struct list ready;           /* lock: channels with elements, round robin */
    bool closed;                 /* lock: the task is over, what arrives is dropped */
    uint64_t queued_bytes;       /* lock */
    uint64_t queued;             /* lock: elements in all channels */
};
void wk_gate_init(struct wk_gate *g, struct wk_runnable *task, uint32_t channels);
void wk_gate_release(struct wk_gate *g);
/* Drops what is queued and whatever comes. */
void wk_gate_close(struct wk_gate *g);
/* Any thread. e is taken. */
void wk_in_push(struct wk_in *in, struct wk_element *e);
/* Task. The next element of the first ready channel, NULL when nothing is there. */
struct wk_element *wk_gate_take(struct wk_gate *g, struct wk_in **ret_in);
/* Task. The slice was consumed: credit goes back, in portions of a quarter, or all of it when the channel is empty. */
void wk_in_consumed(struct wk_in *in, uint32_t bytes);

/* Task. Alignment: nothing is taken from a blocked channel until wk_gate_unblock. */
void wk_in_block(struct wk_in *in);
void wk_gate_unblock(struct wk_gate *g);

/* ---- sending end ---- */
struct wk_link;
struct wk_out {
    struct wk_runnable *task;    /* woken when credit arrives; borrowed */
    uint32_t edge, source_subtask, target_subtask;
    int64_t credit;              /* atomic: bytes that may be sent */
    int64_t credit_total;        /* atomic: largest sum of grants outstanding, to know when all of it is back */
    int64_t in_flight;           /* task and grants: atomic, sent and not granted again */
    struct wk_in *local;         /* NULL: remote */
    struct wk_link *link;
    struct list pending;         /* task: elements that wait for credit or behind one that does */
    uint32_t pending_data;
};
void wk_out_init(struct wk_out *out, struct wk_runnable *task, uint32_t edge, uint32_t source, uint32_t target);
void wk_out_release(struct wk_out *out);
void wk_out_connect_local(struct wk_out *out, struct wk_in *in);
/* Credit has come back (or comes for the first time). Any thread. */
void wk_out_grant(struct wk_out *out, uint32_t bytes);
/* Task. May a slice of so many bytes leave now? Takes the credit if so. */
bool wk_out_reserve(struct wk_out *out, uint32_t bytes);

#endif
