/*
 * ops.h - the built-in operators: adapters that make a rask_operator of what a node names.
 *
 * wk_ops_find gives the descriptor for a type; its open() reads the node's properties, the resolved user
 * function (op->code) and the schemas from the struct wk_op that its context is.
 */
#ifndef WK_OPS_H
#define WK_OPS_H

#include "common/graph/op_states.h"
#include "common/graph/ops.h"
#include "taskmanager/worker/operator/chain.h"

struct wk_op_type {
    const char *name;           /* OP_... of common/graph/ops.h */
    const rask_operator *desc;  /* NULL: op->code is the user's rask_operator */
    bool needs_code;
    /* Size of what code points to, for the range check of the artifact; 1 for functions. */
    size_t code_size;
    /* Called before open: completes desc, states, self size, adapter. NULL: nothing to do. */
    int (*init)(struct wk_op *op, struct err *err);
};
const struct wk_op_type *wk_ops_find(const char *type); /* NULL: not registered */

extern const rask_operator wk_map_op, wk_flat_map_op, wk_filter_op, wk_project_op, wk_process_op, wk_sum_op, wk_count_op, wk_reduce_op,
    wk_event_time_op, wk_source_op, wk_enumerator_op, wk_sink_op;

static inline struct wk_op *wk_op_of(rask_ctx *ctx)
{
    return (struct wk_op *)ctx;
}
const char *wk_op_property(const struct wk_op *op, const char *key, const char *otherwise);
int64_t wk_op_property_i64(const struct wk_op *op, const char *key, int64_t otherwise);

/* Sets the current key of a keyed operator from a row of `input`. */
int wk_op_set_key(struct wk_op *op, int input, const rask_row *row);
/*
 * Of row functions, every KEY_RUN_ROWS rows: finds the keys of rows from `from` on, and prefetches what the declared states
 * have of them.  first: there was no run before, which looks one ahead.  Then row from + i makes its key the current one.
 * (ctx_state.c)
 */
void wk_op_begin_run(struct wk_op *op, int input, const rask_batch *in, uint32_t from, bool first);
static inline void wk_op_use_key(struct wk_op *op, uint32_t i)
{
    struct wk_row_run *r = &op->run;

    op->ctx.key = key_run_at(r->keys, i);
    r->key = op->ctx.key.data;
    r->row = i;
    op->ctx.key_hash = r->hash[i];
}

/* op->state, for the states that it declares; its context is filled. budget, stores (as in state.h): borrowed for the
 * state's life. (op_state.c) */
int wk_op_state_new(struct wk_op *op, struct wk_state_budget *budget, struct wk_stores *stores, bool on_disk,
                    struct err *err) MUST_CHECK;

/* ---- members of struct rask_ctx_ops that are about state (ctx_state.c) ---- */
void *wk_ctx_value(rask_ctx *ctx, int state, const rask_schema *schema, size_t size);
const void *wk_ctx_peek(rask_ctx *ctx, int state, const rask_schema *schema, size_t size);
void wk_ctx_clear(rask_ctx *ctx, int state);
bool wk_ctx_load(rask_ctx *ctx, int state, const void *key, const rask_schema *schema, void *row, size_t size);
int wk_ctx_store(rask_ctx *ctx, int state, const void *key, const rask_schema *schema, const void *row, size_t size);
int wk_ctx_add(rask_ctx *ctx, int state, const rask_schema *schema, const void *row, size_t size);
int wk_ctx_aggregate(rask_ctx *ctx, int state, const void *more);
int wk_ctx_remove_at(rask_ctx *ctx, int state, const void *key);
void wk_ctx_cursor(rask_ctx *ctx, int state, rask_cursor *ret);
bool wk_ctx_next(rask_cursor *cursor);
int wk_ctx_remove(rask_cursor *cursor);
int wk_ctx_read(const rask_cursor *cursor, bool key, const rask_schema *schema, void *row, size_t size);
int wk_ctx_values_of(rask_op *op, int input, int state, const rask_batch *in, uint32_t from, uint32_t count,
                     const rask_schema *schema, size_t size, void **values);

/* Rows that an operator emits carry the event time of the row that caused them. */
static inline void wk_op_time_of(rask_out *out, const rask_batch *in, uint32_t position)
{
    out->event_time = in->event_time.data ? ((const rask_ts *)in->event_time.data)[position] : RASK_TS_MIN;
}

/* A loop over rows in a user's function: is it time to return, having consumed so many? */
static inline bool wk_op_stops(const struct wk_op *op, uint32_t consumed)
{
    return op->full || (consumed > 0 && wk_hurries(op->chain->host.runnable));
}

int wk_project_init(struct wk_op *op, struct err *err);
int wk_process_init(struct wk_op *op, struct err *err);
int wk_batch_init(struct wk_op *op, struct err *err);
int wk_rolling_init(struct wk_op *op, struct err *err); /* sum, min, max */
int wk_count_init(struct wk_op *op, struct err *err);
int wk_reduce_init(struct wk_op *op, struct err *err);
int wk_event_time_init(struct wk_op *op, struct err *err);
int wk_source_init(struct wk_op *op, struct err *err);
int wk_enumerator_init(struct wk_op *op, struct err *err);
int wk_sink_init(struct wk_op *op, struct err *err);

/* ---- sources (source.c); called by the task ---- */
/* True while a split is being read: no further split is taken from the gate. */
bool wk_source_reading(const struct wk_op *op);
/* Of the split that is or was read last; borrowed until the next poll. */
rask_str wk_source_position(const struct wk_op *op);
/* RASK_MORE: rows came or may come at once; RASK_WAIT: a wake was asked for; RASK_END: the split is over. Negative: failed. */
int wk_source_poll(struct wk_op *op);
/* Enumerator: discovers; true when it will not find more. */
int wk_enumerator_step(struct wk_op *op, bool *ret_done);
/* Nothing is prepared that a checkpoint still has to commit. */
bool wk_sink_committed(const struct wk_op *op);
/* The sink may write out what it holds back (the task goes idle). */
int wk_sink_idle(struct wk_op *op);

/* ctx_ops.c: how contexts reach the worker */
extern const struct rask_ctx_ops wk_ctx_ops;

#endif
