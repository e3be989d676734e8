/*
 * chain.h - the operators of one task, chained: a tree that batches and control elements run through.
 *
 * The deepest operator with unconsumed input runs first, so an operator holds at most what one call of its parent gave
 * it.  An operator runs only while everything behind it has room: a full edge stops the operators that lead to it, and
 * in the end the task.  A row function that overdraws its output inside one row waits there (wk_wait).
 * Control elements go operator by operator, each behind the rows that were before it.
 */
#ifndef WK_CHAIN_H
#define WK_CHAIN_H

#include "api/connector.h"
#include "api/runtime.h"
#include "common/base/list.h"
#include "common/types/batch.h"
#include "proto/graph.pb-c.h"
#include "taskmanager/worker/exchange/edge.h"
#include "taskmanager/worker/state/state.h"
#include "taskmanager/worker/task/executor.h"
#include "taskmanager/worker/task/latency.h"
#include "taskmanager/worker/time/timers.h"

#define CHAIN_OVERDRAFT_BYTES (1u << 20)

struct wk_op;
struct wk_chain;
struct wk_kept;

struct wk_feed { /* rows an operator has not consumed yet */
    struct list node;
    rask_batch *batch; /* owned */
    uint32_t from;
    int input;
    bool prepared;
};

struct wk_output { /* main or side output of an operator */
    rask_out *out;   /* NULL: nobody reads it and it was not declared */
    struct wk_op *op;
    uint32_t child_count, edge_count;
    struct wk_op **children;
    int *child_inputs;
    struct wk_edge **edges;
};

/* Where a row function is in the run of keys that was found ahead of it: ctx_state.c */
struct wk_row_run {
    const struct key_run *keys;
    const uint64_t *hash; /* of each of them */
    const char *key;      /* of the current row; NULL: none */
    uint32_t row;         /* it, in the run */
};

struct wk_op {
    rask_ctx ctx; /* first: a rask_ctx * of a callback is a struct wk_op * */
    struct wk_chain *chain;
    const rask_operator *desc;
    const Rask__Graph__StreamNode *node;
    uint32_t index;
    struct list feeds;
    uint32_t feed_count;
    bool full;
    bool opened;
    bool in_call;              /* a callback is on the stack */
    uint64_t call_bytes;       /* handed on during the current callback to an output that was full already */
    struct wk_output *outputs; /* 0 main, 1 + i side i */
    uint32_t output_count;
    bool own_watermarks;       /* event_time: those from upstream stop here, and so does their status */
    bool is_idle;              /* and has said so */
    uint64_t idle_after_ns;    /* event_time: that it has waited for rows; 0: it is never idle */
    uint64_t waits_since_ns;   /* for rows; 0: it did not when its task last ended a step */
    bool has_watermark;
    rask_ts new_watermark;     /* to be sent behind the rows just processed */
    const void *code;          /* user function or descriptor, resolved */
    void *adapter;             /* of the built-in that implements desc; mem_free'd */
    struct connector_args connector;
    struct wk_state *state;
    struct wk_row_run run;
    struct wk_kept *kept;      /* how structs are kept in it (ctx_state.c); wk_kept_free */
    bool may_broadcast;        /* the row at hand reaches every subtask: broadcast state may be changed */
    bool wants_timers;         /* has a function for those that are due */
    struct wk_timers *timers;  /* NULL: it does not */
    rask_timers due;           /* taken, those before due_from have fired */
    uint32_t due_from;
    struct arena names;        /* state declarations and schemas of adapters */
    uint16_t *key_columns[2];
    uint32_t key_count[2];
    struct bytes key;          /* of the current row */
    struct map *counters;      /* name -> struct rask_counter */
    struct map *accumulators;
    uint64_t rows_in, rows_out; /* given to it, handed on; wk_counted */
    struct wk_latency latency; /* of markers that passed; the task's lock */
    const rask_source *source; /* head of a source vertex */
};

struct wk_control {
    struct wk_control *below;
    enum wk_element_type type;
    int64_t value;
    int32_t from_op; /* descendants of this operator get it; -1: all */
    uint32_t next_op;
    bool *reached;   /* by operator */
    bool advanced;   /* a watermark: has begun at the operator before next_op, whose timers come first */
    struct wk_op *held; /* went through it, not yet on to what is behind it; NULL: none */
};

/* What the chain needs of its task. */
struct wk_chain_host {
    struct wk_runnable *runnable; /* for wk_wait and operator_now */
    bool (*canceled)(void *arg);
    void (*waiting)(void *arg, bool waits); /* inside one row, for room */
    void (*marker)(struct wk_op *op, int64_t value); /* of latency: it passes op */
    void *arg;
};

struct wk_chain {
    struct wk_op **ops;
    uint32_t op_count;
    uint32_t feeds;       /* in all operators */
    struct list spare_feeds; /* for the next ones: no allocation per batch */
    struct wk_edge **edges;
    uint32_t edge_count;
    struct wk_control *control;
    struct wk_chain_host host;
    bool failed;
    bool ended;           /* the END control went through */
    bool skip_finish;     /* its operators have ended before, in an earlier life */
    int64_t barrier;      /* a BARRIER control went through: its value; taken by the task */
    /* A barrier is to overtake: only what is inside the chain already goes on, also into full edges; nothing new begins. */
    bool overtaking;
    bool keeps_head;      /* meanwhile unconsumed rows of the head wait: they are in flight */
    bool has_timers;      /* one of the operators does */
    bool has_idleness;    /* one of them may become idle */
    struct err error;
};

enum wk_chain_result { WK_CHAIN_EMPTY, WK_CHAIN_BLOCKED, WK_CHAIN_BUDGET, WK_CHAIN_FAILED };

void wk_kept_free(struct wk_kept *k);
/* While a chain is built: what o gives goes to an input of child. */
void wk_output_add_child(struct wk_output *o, struct wk_op *child, int input);
/* Opens every operator, the last one first. */
int wk_chain_open(struct wk_chain *c);
/* Closes those that were opened, and ends all wakers. Failures of close are ignored. */
void wk_chain_close(struct wk_chain *c);
void wk_chain_drop(struct wk_chain *c); /* drops unconsumed input and controls */
/* Input for the head. batch is taken. */
void wk_chain_feed(struct wk_chain *c, int input, rask_batch *batch);
/* All channels of an input of the head have ended; the chain is empty. */
int wk_chain_input_ended(struct wk_chain *c, int input);
/* A control element for the head; runs in wk_chain_run, behind what was fed before. */
void wk_chain_control(struct wk_chain *c, enum wk_element_type type, int64_t value);
/* The barrier that is on its way is to overtake on the edges that it has not reached yet. */
void wk_chain_hurry_barrier(struct wk_chain *c);
/* A latency marker that the head, a source, sends. */
void wk_chain_marker(struct wk_chain *c, int64_t value);
/* A checkpoint is durable, or was given up: tells one operator. Between two runs of the chain. */
int wk_chain_completed(struct wk_op *op, uint64_t checkpoint, bool aborted);
/* Runs until everything is consumed, an edge is full, deadline_ns has passed (executor's clock), or an operator failed. */
enum wk_chain_result wk_chain_run(struct wk_chain *c, uint64_t deadline_ns);
/*
 * The chain is empty and its task waits for input.  True: an operator has waited for long enough, and a control element says so
 * to all behind it.  Else *ret_next_ns: when to ask again; UINT64_MAX: never.
 */
bool wk_chain_becomes_idle(struct wk_chain *c, uint64_t now_ns, uint64_t *ret_next_ns);
void wk_chain_is_held_up(struct wk_chain *c); /* its task does not wait for input, but for room */
/* The earliest processing-time timer of its operators, in ms; RASK_TS_MAX: none. */
rask_ts wk_chain_next_timer(const struct wk_chain *c);
/* What op has built so far goes on to the operators and edges behind it. */
void wk_op_deliver(struct wk_op *op);
bool wk_op_blocked(const struct wk_op *op);
/* Fails the chain with the operator's name and what its context says. Returns the code. */
int wk_op_failed(struct wk_op *op, int rc);
/* Hooks of every rask_out in a chain; arg is the struct wk_output. */
extern const struct out_hooks wk_op_out_hooks;

#endif
