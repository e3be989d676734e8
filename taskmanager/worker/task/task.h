/*
 * task.h - one subtask: a gate, a chain and its edges, stepped by an executor.
 *
 * A step never waits (but see wk_wait): it runs until it is out of input, out of room, or out of its budget of
 * TASK_BUDGET_NS, and says why.  Order inside a step: cancel, what credit has freed, unconsumed rows of the
 * chain, control elements, new rows.  The loop (wk.c) builds tasks, wakes them, and hears of their states by wk_task_host.
 */
#ifndef WK_TASK_H
#define WK_TASK_H

#include <pthread.h>

#include "common/env/env.h"
#include "proto/control.pb-c.h"
#include "taskmanager/worker/checkpoint/barrier.h"
#include "taskmanager/worker/exchange/debloat.h"
#include "taskmanager/worker/operator/chain.h"
#include "taskmanager/worker/task/clock.h"
#include "taskmanager/worker/task/latency.h"

#define TASK_BUDGET_NS 300000u /* of 5 us to 4 ms the best for 4 and for 384 tasks on 2 cores (docs/performance.md) */
#define TASK_ROWS_PER_STEP 4096u   /* and what the last slice has beyond it */
#define TASK_SLICES_PER_STEP 128u
#define TASK_JOIN_BELOW_ROWS 192u  /* slices that are smaller on average are copied into one batch: cheaper than a call each */
#define TASK_WATCHED_MAX 16 /* descriptors that a source waits for at once; with more it looks each TASK_POLL_NS */
#define TASK_SPLIT_PAUSE_NS 1000000u /* for which merged rows of a split wait for those of the next one */
#define TASK_POLL_NS 10000000u

struct wk_task;

struct wk_latency_settings { /* metrics.latency.*; all zero: no markers */
    uint64_t interval_ns;    /* 0: sources send none */
    enum wk_granularity granularity;
    uint32_t history;        /* ages that a histogram keeps */
};

/* An edge of the job, as checkpoints know it: rows in flight are found again by this. */
struct wk_edge_name {
    bool known;        /* both operators have an id */
    bool aligned_only; /* never has rows in flight */
    uint32_t edge;     /* ckpt_edge */
    struct ckpt_operator source, target; /* without states; texts borrowed */
    const rask_schema *schema;
};

/* How a task reaches its worker. Any thread. */
struct wk_task_host {
    struct env *env;
    struct pool *pool;
    struct wk_state_budget *state_budget;
    const struct connector *const *connectors;
    int out_fd, err_fd;
    const char *job; /* 32 hex digits, for logs */
    const Rask__Graph__JobGraph *graph; /* borrowed; NULL before the deployment */
    const struct wk_edge_name *edges;   /* of the whole job, by id; borrowed */
    uint32_t edge_count;
    struct wk_latency_settings latency;
    /* error: NULL unless FAILED. The task may be changed no more after a terminal state. */
    void (*on_state)(void *arg, struct wk_task *task, Rask__Control__TaskState state, const struct err *error);
    /* A barrier has passed the task; the snapshot is the worker's. */
    void (*on_snapshot)(void *arg, struct wk_task_snapshot *snapshot);
    /* It has ended, and waits for a checkpoint that commits what its sinks hold. */
    void (*on_checkpoint_wanted)(void *arg);
    /* Any thread: wk_ready(task) once when fd is readable. False: it cannot be watched. NULL: none can. */
    bool (*watch_fd)(void *arg, int fd, struct wk_runnable *task);
    void (*unwatch_fd)(void *arg, int fd);
    void *arg, *watch_arg;
};

enum task_stop { TASK_STOP_INPUT, TASK_STOP_OUTPUT, TASK_STOP_BUDGET };

struct task_input {
    uint32_t channels, ended;
};

struct wk_task {
    struct wk_runnable run; /* first */
    const struct wk_task_host *host;
    uint32_t vertex, subtask, attempt;
    char *name;             /* "flat_map (2/4)"; owned */
    Rask__Control__TaskState state; /* step */
    struct wk_chain chain;
    struct wk_gate gate;
    struct wk_edge *edges;  /* edge_count; chain.edges points at them */
    struct wk_edge **edge_list;
    struct task_input inputs[2];
    bool is_source, is_enumerator;
    uint64_t source_wake_ns;     /* step: when the source has asked to be polled again; 0: it has not */
    uint64_t paced_until_ns;     /* step: before that no edge would send what the source gives */
    uint64_t split_over_ns;      /* step: since when a reader has none and an edge waits for the next; 0: it does not */
    bool has_sink;          /* one of its operators is a sink */
    bool end_sent;          /* END was given to the chain */
    int cancel;             /* atomic */
    int held;               /* atomic: its state is being read back, no step but to cancel */
    struct wk_element *control; /* taken, waits for the chain to be empty */
    struct wk_in *control_in;
    struct {
        struct wk_in *in;
        uint32_t bytes, rows;
    } taken[TASK_SLICES_PER_STEP]; /* consumed when the chain is empty */
    uint32_t taken_count;
    rask_ts watermark;
    uint32_t holding;       /* live channels whose watermark is not above it, of those that were at the last look; 0: look again */
    uint32_t idle_count;    /* channels that are idle, and have not ended */
    bool idle_sent;
    int64_t flush_interval_ns; /* execution.buffer-timeout.interval, for its edges */
    bool flush_at_once;        /* an edge has the interval 0 */
    uint64_t next_marker_ns; /* source: of latency */
    struct wk_barriers barriers;
    bool checkpointing;     /* the job takes checkpoints: sinks commit with them */
    int64_t stop;           /* barrier value of a savepoint that stops the job, and is not complete; 0: none */
    bool suspended;         /* it has passed: sources give nothing more */
    bool draining;          /* it waits for the end of the input, which is now */
    bool restored_finished; /* it had ended when the checkpoint was taken that it is restored from */
    struct wk_inflight replay; /* rows of the restored checkpoint that its edges give out before any others */
    uint32_t replayed;      /* of replay */
    bool replaying;         /* the edges have not yet said that they did */
    uint32_t replay_seen;   /* channels that have said so */
    bool final_asked;       /* on_checkpoint_wanted was called, and no checkpoint was complete since */
    int64_t wall_ms;        /* read once per step */

    enum task_stop stopped; /* why the last step ended */
    struct wk_clock clock;
    uint64_t records_in, remote_records_in, bytes_in; /* read by others */
    struct wk_debloat debloat;
    uint32_t credit_max;    /* of a channel, when nothing is debloated */
    uint64_t takes;         /* likewise: times that rows were taken from the gate */

    pthread_mutex_t lock;   /* counters of all operators */
    int watched[TASK_WATCHED_MAX]; /* step: descriptors that wake it */
    uint32_t watched_count;
    struct arena arena;     /* names, schemas, key columns of the operators */
    struct rask_params params;
};

void wk_task_init(struct wk_task *t, const struct wk_task_host *host, struct wk_executor *executor);
/* Never while the executor may step it. */
void wk_task_release(struct wk_task *t);
/* Instead of its first step: it reports FAILED. Loop. */
void wk_task_refuse(struct wk_task *t, const struct err *error);
/* Any thread. The task reports CANCELED (or what it had come to before). */
void wk_task_cancel(struct wk_task *t);
bool wk_task_is_over(const struct wk_task *t);
bool wk_task_is_finished(const struct wk_task *t); /* over, neither failed nor canceled */
/* Figures up to now, the step that runs included. Loop. (task_metrics.c) */
void wk_task_metrics(struct wk_task *t, Rask__Control__TaskMetrics *ret, struct arena *arena);
/* Sums of the accumulators of all its operators are added to `into` (name -> struct rask_counter). */
void wk_task_accumulators(struct wk_task *t, struct map *into);
/* A map of name -> struct rask_counter, with its counters. NULL is legal. */
void wk_counters_free(struct map *m);

/* ---- event time (task_time.c) ---- */
/* Step: what a channel says, which may be a control element for the chain. */
void wk_task_channel_idle(struct wk_task *t, struct wk_in *in, bool idle);
void wk_task_channel_watermark(struct wk_task *t, struct wk_in *in, rask_ts watermark);
int wk_task_channel_ended(struct wk_task *t, struct wk_in *in);

/* ---- rows in flight that are restored (task_replay.c) ---- */
/* Before the first step: rows is taken; target may be WK_ANY_SUBTASK. Each edge of the task says at the end that it did. */
void wk_task_replay_add(struct wk_task *t, uint32_t edge, uint32_t target, rask_batch *rows);
/* Step: as much as there is room for; false: there is more. */
bool wk_task_replay(struct wk_task *t);
void wk_task_record_replay(struct wk_task *t); /* what was not given out yet is in flight again */
void wk_task_replay_seen(struct wk_task *t, struct wk_in *in); /* a channel has */

/* ---- latency markers (task_latency.c) ---- */
/* Step, at its start: sends one if the task is a source and it is time. */
void wk_task_send_marker(struct wk_task *t, uint64_t now_ns);
void wk_task_record_marker(struct wk_op *op, int64_t value); /* it passes op */
void wk_task_latency_metrics(struct wk_task *t, Rask__Control__TaskMetrics *ret, struct arena *arena);

Rask__Control__Counter *wk_counter_message(struct arena *arena, const char *name, const struct rask_counter *counter);

/* ---- for operators (ctx_ops.c and adapters) ---- */
struct wk_task *wk_task_of(struct wk_op *op);
struct pool *wk_task_pool(struct wk_op *op);
struct rask_counter *wk_task_counter(struct wk_op *op, const char *name);
void wk_task_accumulate(struct wk_op *op, const char *name, int64_t n);
void wk_task_log(struct wk_op *op, int level, const char *text);
int64_t wk_task_wall_ms(struct wk_op *op);
void wk_task_wake_in(struct wk_op *op, int64_t delay_us);
void wk_task_wake_on_fd(struct wk_op *op, int fd);
const struct connector *wk_task_connector(struct wk_op *op, const char *name);

#endif
