/*
 * barrier.h - a task's part in checkpoints: mail from the loop, alignment, freezing, confirmation.
 *
 * Chandy-Lamport, as in "Lightweight Asynchronous Snapshots for Distributed Dataflows": a barrier
 * travels in every channel behind the rows that were sent before it.  A task that has got it on one
 * channel takes nothing more from that channel until it has come on all others (exactly once; at
 * least once it goes on, and counts the channels of each barrier), then lets it pass through its
 * chain, and freezes what its operators hold.  A task without living
 * channels (an enumerator, a reader whose splits have all come, one that has seen the end of its
 * input) begins by itself, when the loop tells it.  A barrier that may overtake rows is in overtake.h.
 *
 * Thread: wk_barrier_mail any; everything else the task's step.
 */
#ifndef WK_BARRIER_H
#define WK_BARRIER_H

#include "common/base/list.h"
#include "proto/control.pb-c.h"
#include "taskmanager/worker/exchange/channel.h"
#include "taskmanager/worker/exchange/inflight.h"
#include "taskmanager/worker/state/snapshot.h"

struct wk_task;

static inline Rask__Control__CheckpointKind wk_barrier_kind(int64_t value)
{
    return (Rask__Control__CheckpointKind)(value >> 48 & 0xff);
}
static inline int64_t wk_barrier_value(uint64_t checkpoint, Rask__Control__CheckpointKind kind, bool full)
{
    return (int64_t)(checkpoint | (uint64_t)kind << 48) | (full ? WK_BARRIER_FULL : 0);
}

enum wk_mail_type {
    WK_MAIL_TRIGGER,
    WK_MAIL_COMPLETE,
    WK_MAIL_ABORT,
    WK_MAIL_HURRY /* the checkpoint's barriers have waited for long enough: from now on they overtake */
};

enum wk_barrier_phase { /* of `shown`, for whoever asks why a checkpoint is late */
    WK_BARRIER_NONE,
    WK_BARRIER_ALIGNING, /* has come on some channels */
    WK_BARRIER_PASSING,  /* is on its way through the chain: waits for room in the outputs */
    WK_BARRIER_RECORDING, /* has passed, and rows in flight are still being added */
    WK_BARRIER_FROZEN
};

/* What a task hands over at a barrier. */
struct wk_task_snapshot {
    struct list node;
    struct wk_task *task;
    int64_t value;
    bool finished;           /* it has given everything that it will ever give */
    bool unaligned;          /* it has overtaken rows */
    struct wk_snapshot **ops; /* owned; by operator of the chain */
    uint32_t op_count;
    struct wk_inflight inflight; /* owned */
    struct err error;        /* code != 0: the checkpoint is declined */
    int64_t first_ms;
    uint64_t alignment_ms, sync_us, processed_bytes, persisted_bytes;
};
void wk_task_snapshot_free(struct wk_task_snapshot *s);

#define WK_GIVEN_UP_MAX 16
#define WK_COUNTED_MAX 32 /* with one more the oldest is waited for no more */

struct wk_counted { /* at least once: a barrier that has come on some channels, which block nothing */
    int64_t value;
    uint32_t count;
    uint64_t first_ns, first_bytes; /* when it came first, as below */
    int64_t first_ms;
};

struct wk_barriers { /* in a task */
    int64_t value;         /* exactly once: of the one being aligned; 0: none */
    uint32_t count;        /* of channels that it has come on */
    struct wk_counted counted[WK_COUNTED_MAX]; /* at least once: in their order */
    uint32_t counted_count;
    uint64_t last;         /* no barrier up to this one is waited for any more: taken or given up */
    uint64_t given_up[WK_GIVEN_UP_MAX]; /* later ones that are not either, while older ones may still come; in their order */
    uint32_t given_up_count;
    struct list triggers;  /* mail: what to begin with, in this order, once no channel lives */
    uint64_t first_id;              /* of the figures that follow */
    uint64_t first_ns, first_bytes; /* when the first barrier came; what had come until then */
    int64_t first_ms;               /* wall clock */
    uint64_t aligned_ns;
    bool exactly_once;

    /* barriers that overtake; overtake.h */
    bool may_overtake;           /* the job's checkpoints may */
    int64_t overtaking;          /* value of the one that is about to; 0: none */
    uint64_t way_for;            /* checkpoint for whose barrier the chain makes way; 0: none */
    uint64_t passing;            /* checkpoint whose barrier is in the chain; 0: none */
    uint64_t hurried;            /* checkpoints up to this one do not wait any more */
    uint32_t seen;               /* arrivals in the gate that were looked at */
    bool look_again;             /* something else has changed that a barrier may have waited for */
    struct wk_inflight inflight; /* of the last barrier; edges add to it, too */
    struct wk_task_snapshot *open; /* owned: frozen, rows in flight are still missing; NULL: none */

    uint64_t shown; /* atomic, as below: checkpoint */
    uint32_t shown_phase, shown_missing;
    struct list mail; /* lock of the task */
};

void wk_barriers_init(struct wk_barriers *b);
void wk_barriers_release(struct wk_barriers *b);
/* Neither taken nor given up yet. */
bool wk_barrier_is_due(const struct wk_barriers *b, uint64_t checkpoint);
/* The value of the first barrier that the task was told to begin with; 0: none. */
int64_t wk_barrier_triggered(const struct wk_barriers *b);

/* Any thread. The task is made ready. */
void wk_barrier_mail(struct wk_task *t, enum wk_mail_type type, int64_t value);
/* Acts on what has come. Negative: an operator failed. */
int wk_barrier_take_mail(struct wk_task *t);
/* A barrier has come on a channel. */
void wk_barrier_arrived(struct wk_task *t, struct wk_in *in, int64_t value);
/* A channel has ended: it sends no barrier any more. */
void wk_barrier_channel_ended(struct wk_task *t, const struct wk_in *in);
/* The chain is empty, no control is on its way: true: one was begun (a trigger, and no channel lives; or one that has come on all
 * channels behind another one). */
bool wk_barrier_begin(struct wk_task *t);
/* It begins its way through the chain now. */
void wk_barrier_pass(struct wk_task *t, int64_t value);
/* One of a checkpoint has come: figures begin with the first. */
void wk_barrier_seen(struct wk_task *t, uint64_t checkpoint);
/* The one that is being aligned is not waited for any more. */
void wk_barrier_abandon(struct wk_task *t);
/* The barrier has passed through the chain: freezes its operators and hands over. */
void wk_barrier_passed(struct wk_task *t, int64_t value);
void wk_barrier_hand_over(struct wk_task *t, struct wk_task_snapshot *s); /* s is taken */
void wk_barrier_show(struct wk_barriers *b, int64_t value, enum wk_barrier_phase phase, uint32_t missing);
/* Why the task has not acknowledged a checkpoint. Loop. Owned text; *ret_rank: the smaller, the earlier it hangs. */
char *wk_barrier_explain(struct wk_task *t, uint64_t checkpoint, uint32_t *ret_rank);

#endif
