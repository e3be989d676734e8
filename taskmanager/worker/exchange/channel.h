/*
 * channel.h - logical channels between subtasks: elements in order, with credits in bytes.
 *
 * A channel runs from one subtask of the source vertex to one of the target vertex, for one job edge.  It
 * carries data (slices of blocks) and control elements in one order.  Local and remote channels look the same to
 * both ends; a local one hands over references, a remote one frames (link.h).
 *
 * Credit: the receiver grants bytes, a slice is sent when its bytes fit or when the channel has its whole
 * credit (a row larger than the credit passes alone).  Control elements need no credit, but wait behind data.
 * So credit bounds what a gate holds, and its queue needs no bound of its own.
 */
#ifndef WK_CHANNEL_H
#define WK_CHANNEL_H

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
    WK_LATENCY,   /* value: source and time (task/latency.h); to one channel of an edge */
    WK_REPLAYED,  /* the rows that were in flight at the checkpoint that is restored are before it */
    WK_END,       /* end of input; the last element of a channel. value: 1 a watermark of RASK_TS_MAX is before it */
};

/* The value of a WK_BARRIER element: checkpoint in the low 48 bits, then its kind, then what follows. */
#define WK_BARRIER_FULL      (1ll << 56)
#define WK_BARRIER_UNALIGNED (1ll << 57) /* it overtakes rows, which become part of the checkpoint */
#define WK_BARRIER_TIMEOUT   (1ll << 58) /* it may have to begin with that while it waits */
static inline uint64_t wk_barrier_id(int64_t value)
{
    return (uint64_t)value & ((1ull << 48) - 1);
}

struct wk_block;
struct wk_in;

/* One cache line: sender and receiver are on different cores. Lies in its block. */
struct wk_element {
    union {
        struct list node;        /* waits: for credit at the sender, for its turn at the receiver */
        struct wk_element *next; /* on its way into a gate */
    };
    struct wk_in *in;       /* set by wk_in_push */
    struct wk_block *block; /* which it is a part of */
    int64_t value;          /* of a control element */
    uint32_t first, rows;   /* WK_DATA: of block->rows */
    uint32_t bytes;         /* what it costs of the credit; 0 for control */
    uint8_t type;           /* enum wk_element_type */
    bool remote;            /* came over a connection */
} __attribute__((aligned(64)));

/* Rows in the order of their channels, and an element for each channel that gets some; or one control element for each. */
struct wk_block {
    uint32_t refs; /* atomic: elements that live, and holders */
    uint32_t waiting __attribute__((aligned(64))); /* sender: slices not sent yet */
    rask_batch *rows __attribute__((aligned(64))); /* owned; NULL: control elements */
    struct pool *pool;
    struct batch_lender lender; /* of slices that hold the reference of their element */
    uint32_t room, count; /* of elements */
    struct wk_element elements[];
};
/* With one reference, the caller's. rows (may be NULL) is taken. The pool outlives the block. */
struct wk_block *wk_block_new(struct pool *pool, rask_batch **rows, uint32_t room);
void wk_block_unref(struct wk_block *block);
/* The next element of the block, which it holds from now on. All are made before the first one is handed on. */
struct wk_element *wk_block_control(struct wk_block *block, enum wk_element_type type, int64_t value);
struct wk_element *wk_block_slice(struct wk_block *block, uint32_t first, uint32_t rows, uint32_t bytes);
void wk_element_free(struct wk_element *e); /* NULL is legal */
/* The rows of a WK_DATA element: one reference, the caller's. */
rask_batch *wk_element_rows(const struct wk_element *e);
/* The same, and the element is freed: of both together one count is changed that other cores change, when the rows are gone. */
rask_batch *wk_element_take(struct wk_element *e);

/* What a row costs of the credit; 0: it depends on the row. */
uint32_t wk_row_bytes(const rask_batch *rows);
/* What rows [first, first + count) cost, at least 1; each: wk_row_bytes. With long strings they are counted row by row: one
 * channel may get all of them. Sender and receiver come to the same. */
uint32_t wk_slice_bytes(const rask_batch *rows, uint32_t first, uint32_t count, uint32_t each);

/* ---- receiving end ---- */
struct wk_gate;
/* Three lines of the cache: a job of 128 subtasks has 16,384 of them, and makes them while it waits for its first row. */
struct wk_in {
    struct wk_gate *gate;
    uint32_t edge, source_subtask, target_subtask;
    uint32_t input;              /* 0 or 1 of the head operator */
    /* Gives bytes back to the sender, whose whole credit is now credit_bytes. The task, and the loop before it runs. */
    void (*grant)(struct wk_in *in, uint32_t bytes);
    void *peer;                  /* struct wk_out (local) or struct wk_link (remote) */
    bool by_row;                 /* its credit counts rows, not bytes: splits */
    /* written by who pushes; bytes and elements so far (wk_counted) */
    bool end_received;           /* END came over the connection */
    uint64_t pushed_bytes, pushed;
    /* written by the task: first what each slice needs */
    uint64_t taken_bytes __attribute__((aligned(64)));
    uint64_t taken;
    uint64_t granted;            /* wk_counted: bytes of credit, all grants together */
    uint64_t unreturned;         /* consumed, not yet granted again */
    uint32_t credit_bytes;       /* atomic: what may be under way at a time */
    uint32_t wanted_bytes;       /* what credit_bytes is to become: less of what is consumed goes back until then */
    uint32_t told_bytes;         /* credit_bytes as the sender knows it */
    uint8_t blocked;             /* enum wk_block_reason, or-ed: nothing is taken from it */
    bool ended, idle;
    rask_ts watermark;
    uint64_t barrier;            /* checkpoint whose barrier was the last that was taken from it, in its turn */
    struct list held;            /* elements that came while it was blocked */
    bool aligned_only;           /* no barrier overtakes its rows: they depend on their order, or all subtasks get the same */
    bool recording;              /* its rows are part of a checkpoint until its barrier comes */
};
_Static_assert(sizeof(struct wk_in) == 192, "three lines");

struct wk_inflight;
struct wk_runnable;
/* Elements arrive in a stack without locks, from any thread; the task empties it at once into its own queue. */
struct wk_gate {
    struct wk_runnable *task;    /* woken by the first one that arrives in an empty stack */
    struct wk_in *channels;
    uint32_t channel_count, ended_count;
    struct list queue;           /* task: in the order of arrival */
    uint32_t barriers;           /* task: that have come into the queue so far */
    uint32_t recording;          /* task: channels that are */
    uint64_t record_checkpoint;
    struct wk_inflight *record;  /* borrowed: where their rows go */
    uint8_t apart_1[64];
    struct wk_element *arrived;  /* atomic: the newest; a mark when the gate is closed */
    uint8_t apart_2[64];
};
void wk_gate_init(struct wk_gate *g, struct wk_runnable *task, uint32_t channels);
void wk_gate_release(struct wk_gate *g);
/* Task. Drops what is queued and whatever comes. */
void wk_gate_close(struct wk_gate *g);
/* Whoever sends on this channel, one thread at a time. e is taken. */
void wk_in_push(struct wk_in *in, struct wk_element *e);
/* The same, but true: the caller has to make the gate's task ready, soon. */
bool wk_in_push_quietly(struct wk_in *in, struct wk_element *e) MUST_CHECK;
/* Task. The next element, NULL when nothing is there. */
struct wk_element *wk_gate_take(struct wk_gate *g, struct wk_in **ret_in);
/* Any thread. Waiting in the channel; a moment later it may be more or less. */
uint64_t wk_in_queued_bytes(const struct wk_in *in);
uint64_t wk_in_queued(const struct wk_in *in);
/* Task, or the loop before it runs: the channel's first credit. */
void wk_in_open(struct wk_in *in, uint32_t credit_bytes);
/* Task. The slice was consumed: credit goes back, in portions of a quarter, or all of it when the channel is empty. */
void wk_in_consumed(struct wk_in *in, uint32_t bytes);
/* Task. Changes the channel's whole credit, in a while; wanted_bytes > 0. */
void wk_in_resize(struct wk_in *in, uint32_t wanted_bytes);
/* Whoever pushes: may the sender send so much? A row that is larger than the credit may come when all of it is there. */
bool wk_in_within_credit(const struct wk_in *in, uint32_t bytes);

/* Task. Nothing is taken from a blocked channel until wk_gate_unblock for every reason. */
enum wk_block_reason {
    WK_BLOCK_BARRIER = 1, /* its barrier is there, the others' are not (alignment) */
    WK_BLOCK_REPLAY = 2,  /* it has replayed what was in flight, others have not */
};
void wk_in_block(struct wk_in *in, enum wk_block_reason why);
void wk_gate_unblock(struct wk_gate *g, enum wk_block_reason why);

/* Task. What has arrived goes into the queue; rows of channels that are recorded are recorded. */
void wk_gate_collect(struct wk_gate *g);
/*
 * Task. From every channel that has not ended, is not aligned_only and whose barrier of the checkpoint was not taken: the rows
 * that wait in it and those that still arrive before that barrier (or its end) are added to `into`, and stay. Until
 * g->recording is 0 or wk_gate_record_stop.
 */
void wk_gate_record(struct wk_gate *g, uint64_t checkpoint, struct wk_inflight *into);
void wk_gate_record_stop(struct wk_gate *g);
/* An element that was taken and not acted on yet belongs before what is queued. */
void wk_gate_record_taken(struct wk_gate *g, const struct wk_element *e);

/* ---- sending end ---- */
struct wk_link;
struct wk_out {
    struct wk_runnable *task;    /* woken when credit arrives that it waits for; borrowed */
    uint32_t edge, source_subtask, target_subtask;
    struct wk_in *local;         /* NULL: remote */
    struct wk_link *link;
    struct list pending;         /* task: elements that wait for credit or behind one that does */
    int64_t credit __attribute__((aligned(64))); /* atomic: bytes that may be sent; a line that both ends write */
    int64_t credit_total;        /* atomic: bytes that may be under way, in all */
    int waits;                   /* atomic: the task has something that needs more credit */
};
_Static_assert(sizeof(struct wk_out) == 128, "two lines");
void wk_out_init(struct wk_out *out, struct wk_runnable *task, uint32_t edge, uint32_t source, uint32_t target);
void wk_out_release(struct wk_out *out);
void wk_out_connect_local(struct wk_out *out, struct wk_in *in);
/* Credit has come back (or comes for the first time); total is the channel's whole credit now. Any thread. */
void wk_out_grant(struct wk_out *out, uint32_t bytes, uint32_t total);
/* Task. May a slice of so many bytes leave now? Takes the credit if so; if not, the next grant wakes the task. */
bool wk_out_reserve(struct wk_out *out, uint32_t bytes);
/* Task. Is there any credit? If not, the next grant wakes the task. */
bool wk_out_has_credit(struct wk_out *out);

#endif
