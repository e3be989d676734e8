/*
 * rask/operator.h - the contract of every operator: built-in, SQL, connector or user.
 *
 * One static descriptor per operator, one zeroed `self` per subtask.  A subtask's callbacks never run at the
 * same time and may run on different threads: no thread-locals, no pointer into a row, a state or the
 * arguments kept in self.  Every int callback returns 0 to go on; anything else fails the task (rask_fail
 * gives the reason).
 */
#ifndef RASK_OPERATOR_H
#define RASK_OPERATOR_H

#include <rask/batch.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

typedef struct rask_ctx rask_ctx;
typedef rask_ctx rask_op; /* a batch operator's context is the same object */

enum rask_state_kind { RASK_VALUE = 1, RASK_LIST, RASK_MAP, RASK_REDUCING, RASK_AGGREGATING, RASK_OPERATOR_LIST, RASK_OPERATOR_UNION, RASK_BROADCAST };

typedef struct rask_state {
    enum rask_state_kind kind;
    const char *name;
    const rask_schema *schema;  /* of the value or element */
    const rask_schema *map_key; /* maps */
    int64_t ttl_ms;             /* since its last change, in processing time; lists and maps: of each element. 0: for ever */
    bool ttl_on_read;           /* reading prolongs it too */
    bool ttl_show_expired;      /* what has expired is seen until it is cleaned up */
    /* Reducing: adds another row of the schema; aggregating: what rask_state_aggregate was given. Both change *value, a
     * struct of the schema (RASK_STATE); the first time it is the row itself, or zeroed. */
    void (*add)(void *value, const void *more);
} rask_state;
#define RASK_STATES(...) ((const rask_state[]){__VA_ARGS__, {0}}) /* ends with kind 0 */

typedef struct rask_side_output {
    const char *name;
    const rask_schema *schema;
} rask_side_output;
#define RASK_SIDES(...) ((const rask_side_output[]){__VA_ARGS__, {0}}) /* ends with name NULL */

typedef struct rask_timers { /* due timers of one subtask, in time order */
    uint32_t count;
    const rask_ts *at;
    const uint64_t *hash; /* of their keys */
    const rask_str *key;  /* key bytes */
    bool event_time;      /* false: processing time */
} rask_timers;

typedef struct rask_operator {
    uint32_t abi; /* RASK_ABI; the struct only grows at its end */
    const char *name;
    size_t self_size;
    const rask_schema *in, *in2, *out;
    const rask_state *states;
    const rask_side_output *sides;
    int (*open)(rask_op *op); /* after restore: state is readable */
    void (*prepare)(rask_op *op, int input, const rask_batch *in); /* hash, prefetch; optional */
    /* Consumes rows from `from` on; *ret_consumed of them. Stops after any row once rask_op_full(op). At least one
     * row is consumed per call. */
    int (*process)(rask_op *op, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed);
    int (*on_watermark)(rask_op *op, rask_ts watermark);
    int (*on_timers)(rask_op *op, const rask_timers *due, uint32_t from, uint32_t *ret_consumed);
    int (*on_status)(rask_op *op, bool idle);
    int (*on_barrier)(rask_op *op, uint64_t checkpoint); /* move what is in flight into declared state */
    int (*on_complete)(rask_op *op, uint64_t checkpoint);
    int (*on_aborted)(rask_op *op, uint64_t checkpoint);
    int (*on_end)(rask_op *op, int input); /* one input ended; optional */
    int (*finish)(rask_op *op);            /* all inputs ended */
    void (*close)(rask_op *op);            /* always, also after a failure */
} rask_operator;

/* Context: valid inside callbacks. */
void *rask_self(rask_ctx *ctx);
const void *rask_args(rask_ctx *ctx); /* what rask_with copied; NULL without */
size_t rask_args_size(rask_ctx *ctx);
rask_out *rask_main_out(rask_ctx *ctx);
rask_out *rask_side(rask_ctx *ctx, int side); /* a declared side output, by index */
bool rask_op_full(rask_op *op);               /* an output has reached its limit: return soon */
const char *rask_param_of(rask_ctx *ctx, const char *name, const char *otherwise); /* job parameter; borrowed */
uint32_t rask_subtask(rask_ctx *ctx);         /* 0 .. parallelism - 1 */
uint32_t rask_parallelism(rask_ctx *ctx);
uint32_t rask_max_parallelism(rask_ctx *ctx);
uint32_t rask_attempt(rask_ctx *ctx);
/* Until the first barrier the checkpoint that was restored (0: none), then the one whose barrier came last. */
uint64_t rask_checkpoint_id(rask_ctx *ctx);
const char *rask_task_name(rask_ctx *ctx); /* "map (2/4)" */

/* Fails the task: returns a negative code to be returned by the callback. The text gets operator, uid, subtask added. */
int rask_fail(rask_ctx *ctx, const char *fmt, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
enum { RASK_LOG_DEBUG, RASK_LOG_INFO, RASK_LOG_WARN, RASK_LOG_ERROR };
void rask_log(rask_ctx *ctx, int level, const char *fmt, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;
/* A metric: adds to the operator's counter `name`. Resolve once in open and keep the handle in self. */
typedef struct rask_counter rask_counter;
rask_counter *rask_counter_of(rask_ctx *ctx, const char *name);
void rask_counter_add(rask_counter *counter, int64_t n);
/* Accumulators: merged over subtasks into the job's result (sum). */
void rask_accumulate(rask_ctx *ctx, const char *name, int64_t n);

rask_ts rask_watermark(rask_ctx *ctx);        /* RASK_TS_MIN before the first */
rask_ts rask_processing_time(rask_ctx *ctx);  /* wall clock, ms; read once per step */
rask_ts rask_row_time(const rask_row *row);   /* event time; RASK_TS_MIN: none */
void *rask_alloc(rask_ctx *ctx, size_t size); /* zeroed; lives until the callback's batch ends */

/* State of the current key (keyed operators; process functions), by index into .states. */
void *rask_value(rask_ctx *ctx, int state, const rask_schema *schema, size_t size);            /* zeroed when absent; NULL: failed */
const void *rask_value_peek(rask_ctx *ctx, int state, const rask_schema *schema, size_t size); /* NULL when absent */
void rask_clear(rask_ctx *ctx, int state); /* of any kind */

/*
 * Rows in state, as the structs that RASK_ROW declares (which wraps these: bid_load, bid_store, bid_add, price_load_at ...).
 * Values are copied; strings read point into the state and stay until the callback returns.  Keys of a map are structs of the
 * RASK_ROW that its map_key names.  int: 0, or a negative code to be returned; bool: whether it is there.
 */
bool rask_state_load(rask_ctx *ctx, int state, const rask_schema *schema, void *row, size_t size);
int rask_state_store(rask_ctx *ctx, int state, const rask_schema *schema, const void *row, size_t size);
/* To a list (also RASK_OPERATOR_LIST, RASK_OPERATOR_UNION), or into a reducing state. */
int rask_state_add(rask_ctx *ctx, int state, const rask_schema *schema, const void *row, size_t size);
int rask_state_aggregate(rask_ctx *ctx, int state, const void *more);
/* Of a map (also RASK_BROADCAST). */
bool rask_state_load_at(rask_ctx *ctx, int state, const void *key, const rask_schema *schema, void *row, size_t size);
int rask_state_store_at(rask_ctx *ctx, int state, const void *key, const rask_schema *schema, const void *row, size_t size);
int rask_state_remove_at(rask_ctx *ctx, int state, const void *key);

/*
 * The elements of a list or map, one by one:
 *     rask_each(ctx, SEEN, each) {
 *         struct bid b = bid_value(&each);
 *         if (old(&b)) rask_remove(&each);
 *     }
 * Only the current element may be removed meanwhile, and nothing added.
 */
typedef struct rask_cursor {
    rask_ctx *ctx;
    int state;
    uint64_t engine[14];
} rask_cursor;
rask_cursor rask_cursor_of(rask_ctx *ctx, int state);
bool rask_next(rask_cursor *cursor);
int rask_remove(rask_cursor *cursor);
int rask_cursor_value(const rask_cursor *cursor, const rask_schema *schema, void *row, size_t size);
int rask_cursor_key(const rask_cursor *cursor, const rask_schema *schema, void *row, size_t size);
#define rask_each(ctx, state, cursor) for (rask_cursor cursor = rask_cursor_of(ctx, state); rask_next(&cursor);)

/*
 * Batch operators: the values of the keys of rows from .. from + count - 1 at once, created where absent, changed in place;
 * values[i] is that of row from + i, valid until the callback returns. Keys of `input`; the same key gives the same value.
 */
int rask_values_of(rask_op *op, int input, int state, const rask_batch *in, uint32_t from, uint32_t count,
                   const rask_schema *schema, size_t size, void **values);
rask_str rask_key_bytes(rask_ctx *ctx);  /* key bytes of the current key */
rask_str rask_key_string(rask_ctx *ctx); /* the key, when it is one STRING column */
int64_t rask_key_i64(rask_ctx *ctx);     /* the key, when it is one BIGINT column */
/* Batch operators set the current key: hash and key bytes of a row. */
int rask_set_key(rask_op *op, const rask_row *row);

/*
 * Timers of the current key, each time once; part of the state.  For operators with on_timer (on_timers) on keyed streams.
 * Event time: fires when the watermark reaches it.  Processing time: fires at rask_processing_time + delay_ms.
 * cancel: that of either kind; a processing time is the rask_processing_time of the call that set it + its delay_ms.
 */
int rask_timer_at(rask_ctx *ctx, rask_ts event_time);
int rask_timer_in(rask_ctx *ctx, int64_t delay_ms);
int rask_timer_cancel(rask_ctx *ctx, rask_ts at);
bool rask_timer_is_event_time(rask_ctx *ctx); /* inside on_timer: which kind has fired */
/* Batch operators, in on_timers: timer i's key becomes the current one. */
void rask_set_timer_key(rask_op *op, const rask_timers *due, uint32_t i);

/* ---- Sources: an enumerator (one task) and readers. ---- */
typedef struct rask_split {
    rask_str id;       /* opaque bytes, unique in the source */
    rask_str position; /* opaque bytes; empty at first. Set with rask_split_position */
    void *self;        /* the reader's own; zeroed self_size bytes per split are at split->self */
} rask_split;
typedef struct rask_splits rask_splits;
int rask_split_add(rask_splits *found, rask_str id, rask_str position); /* copies; a known id is ignored */
void rask_split_position(rask_split *split, const void *data, size_t len); /* copies */

enum { RASK_MORE = 0, RASK_WAIT = 1, RASK_END = 2 }; /* of poll; negative: failed */

typedef struct rask_source {
    uint32_t abi;
    const char *name;
    const rask_schema *out; /* NULL: given at graph build */
    size_t self_size;       /* per subtask; split_size: per open split */
    size_t split_size;
    int (*open)(rask_ctx *ctx); /* readers only, as close */
    int (*discover)(rask_ctx *ctx, rask_splits *found); /* enumerator; repeated every discover_ms when > 0 */
    int64_t discover_ms;
    int (*open_split)(rask_ctx *ctx, rask_split *split);
    /* Never blocks. Emits at most about one batch (until rask_op_full). RASK_WAIT after rask_wake_on_fd or rask_wake_in. */
    int (*poll)(rask_ctx *ctx, rask_split *split, rask_out *out);
    void (*close_split)(rask_ctx *ctx, rask_split *split);
    void (*close)(rask_ctx *ctx);
} rask_source;
/* Whether anybody reads a column of the source's output (rask_project): if not, it may be left out (rask_batch_omit). */
bool rask_wanted(rask_ctx *ctx, int column);
/* Poll again after this time; the earliest time asked for stands until it has come. */
void rask_wake_in(rask_ctx *ctx, int64_t delay_us);
/* Poll again when fd is readable. It stays open until the next callback; each poll that waits asks again. */
void rask_wake_on_fd(rask_ctx *ctx, int fd);
/*
 * Poll again, said by any thread.  rask_waker_of, in a callback, returns one reference, owned by the caller, which ends with
 * rask_waker_unref, on any thread.  A waker may outlive its subtask: it then wakes nothing.
 */
typedef struct rask_waker rask_waker;
rask_waker *rask_waker_of(rask_ctx *ctx);
void rask_wake(rask_waker *waker);
void rask_waker_unref(rask_waker *waker);

/*
 * ---- Sinks: after prepare returns, the committable survives a crash; commit repeats until it returns 0. ----
 * abort: the task ends, by a failure or a cancel, and no checkpoint that holds the committable can become complete any more:
 * it will never be committed.  Called before close; a failure is logged, no more.  It is a courtesy: a process that dies
 * does not call it, so a sink finds what dead attempts have left when it opens.
 */
typedef struct rask_committables rask_committables;
int rask_committable_add(rask_committables *out, const void *data, size_t len);
typedef struct rask_sink {
    uint32_t abi;
    const char *name;
    const rask_schema *in; /* NULL: any */
    size_t self_size;
    int (*open)(rask_ctx *ctx);
    int (*write)(rask_ctx *ctx, const rask_batch *rows);
    int (*flush)(rask_ctx *ctx); /* at each barrier, and when the task goes idle */
    int (*prepare)(rask_ctx *ctx, rask_committables *out); /* NULL: at-least-once */
    int (*commit)(rask_ctx *ctx, rask_bytes committable);
    int (*abort)(rask_ctx *ctx, rask_bytes committable);
    int (*finish)(rask_ctx *ctx); /* end of input: everything is out, or an error */
    void (*close)(rask_ctx *ctx);
    /*
     * A writer that goes on with something over checkpoints (an open file).  save, at the barrier, after prepare: what restore
     * needs, an element each.  restore, after open and before the first row: once per element of the checkpoint; with another
     * parallelism a subtask gets the elements of several, or none.  Both or neither.
     */
    int (*save)(rask_ctx *ctx, rask_committables *out);
    int (*restore)(rask_ctx *ctx, rask_bytes saved);
} rask_sink;

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
