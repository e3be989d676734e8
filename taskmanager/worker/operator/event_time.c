/*
 * event_time.c - takes event time from a column and gives bounded-out-of-orderness watermarks, at most one per batch.  With
 * rask_with_idleness its chain says when it waits for rows (wk_chain_becomes_idle).
 */
#include "common/base/check.h"
#include "common/env/env.h"
#include "taskmanager/worker/operator/ops.h"

struct event_time {
    int column;
    int64_t delay_ms;
    rask_ts max_seen, last_watermark;
};

int wk_event_time_init(struct wk_op *op, struct err *err)
{
    struct event_time *e = MEM_NEW(struct event_time);
    const char *name = wk_op_property(op, "column", "");

    op->adapter = e;
    op->own_watermarks = true;
    e->delay_ms = wk_op_property_i64(op, "out_of_orderness_ms", 0);
    op->idle_after_ns = env_ms_to_ns((uint64_t)MAX(wk_op_property_i64(op, "idle_ms", 0), 0));
    e->max_seen = RASK_TS_MIN;
    e->last_watermark = RASK_TS_MIN;
    e->column = schema_column(op->ctx.out->schema, name);
    if (e->column < 0)
        return err_set(err, ERR_INVALID, "operator \"%s\": no column \"%s\"", op->node->name, name);
    return 0;
}

/* Shares the batch and points its event time at the column itself. */
static int event_time_process(rask_op *ctx, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    struct wk_op *op = wk_op_of(ctx);
    struct event_time *e = op->adapter;
    rask_batch *timed;
    const rask_column *column = &in->columns[e->column];
    const rask_ts *at = column->data;
    rask_ts max = e->max_seen;

    (void)input;
    CHECK(from == 0);
    for (uint32_t i = 0; i < in->rows; i++) {
        uint32_t p = rask_position(in, i);

        if (rask_column_is_null(column, p))
            return rask_fail(ctx, "the event time column \"%s\" is null", in->schema->fields[e->column].name);
        max = MAX(max, at[p]);
    }
    e->max_seen = max;
    timed = batch_with_event_time((rask_batch *)(uintptr_t)in, (uint32_t)e->column);
    *ret_consumed = in->rows;
    /* Flink: the watermark is one millisecond below what may still come */
    if (max > RASK_TS_MIN + e->delay_ms + 1 && max - e->delay_ms - 1 > e->last_watermark) {
        e->last_watermark = max - e->delay_ms - 1;
        op->new_watermark = e->last_watermark;
        op->has_watermark = true;
    }
    return rask_emit_batch(ctx->out, &timed);
}

/* End of input: nothing comes any more. */
static int event_time_finish(rask_op *ctx)
{
    struct wk_op *op = wk_op_of(ctx);

    op->new_watermark = RASK_TS_MAX;
    op->has_watermark = true;
    return 0;
}

const rask_operator wk_event_time_op = {
    .abi = RASK_ABI, .name = OP_EVENT_TIME, .process = event_time_process, .finish = event_time_finish};
