/* row_ops.c - row functions as batch operators: map, flat_map, filter, process. */
#include <stdlib.h>

#include "common/base/check.h"
#include "taskmanager/worker/operator/ops.h"

static int flat_map_process(rask_op *ctx, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    struct wk_op *op = wk_op_of(ctx);
    rask_row_fn *fn = (rask_row_fn *)(uintptr_t)op->code;
    rask_out *out = ctx->out;
    uint32_t i = from;
    int rc = 0;

    (void)input;
    while (i < in->rows && rc == 0 && !wk_op_stops(op, i - from)) {
        rask_row row = rask_batch_row(in, i);

        wk_op_time_of(out, in, row.position);
        rc = fn(ctx, &row, out);
        i++;
    }
    *ret_consumed = i - from;
    return rc;
}
const rask_operator wk_flat_map_op = {.abi = RASK_ABI, .name = OP_FLAT_MAP, .process = flat_map_process};

static int map_process(rask_op *ctx, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    struct wk_op *op = wk_op_of(ctx);
    rask_row_fn *fn = (rask_row_fn *)(uintptr_t)op->code;
    rask_out *out = ctx->out;
    uint32_t i = from;
    int rc = 0;

    (void)input;
    while (i < in->rows && rc == 0 && !wk_op_stops(op, i - from)) {
        rask_row row = rask_batch_row(in, i);
        uint32_t before = out->rows;

        wk_op_time_of(out, in, row.position);
        rc = fn(ctx, &row, out);
        if (rc == 0 && !op->full && out->rows != before + 1)
            rc = rask_fail(ctx, "a map function emits exactly one row for each row, this one emitted %u; use rask_flat_map",
                           out->rows - before);
        i++;
    }
    *ret_consumed = i - from;
    return rc;
}
const rask_operator wk_map_op = {.abi = RASK_ABI, .name = OP_MAP, .process = map_process};

/* The rows that pass leave under a selection vector; nothing is copied. */
static int filter_process(rask_op *ctx, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    struct wk_op *op = wk_op_of(ctx);
    rask_test_fn *fn = (rask_test_fn *)(uintptr_t)op->code;
    uint16_t keep[RASK_BATCH_ROWS_MAX];
    uint32_t kept = 0, i = from;
    rask_batch *passed;

    (void)input;
    for (; i < in->rows && !wk_op_stops(op, i - from); i++) {
        rask_row row = rask_batch_row(in, i);

        if (fn(ctx, &row))
            keep[kept++] = (uint16_t)i;
    }
    *ret_consumed = i - from;
    if (ctx->error.code)
        return ctx->error.code;
    if (kept == 0)
        return 0;
    /* batch_select takes a reference of its own on what it shares */
    passed = kept == in->rows ? batch_ref((rask_batch *)(uintptr_t)in) : batch_select((rask_batch *)(uintptr_t)in, keep, kept);
    return rask_emit_batch(ctx->out, &passed);
}
const rask_operator wk_filter_op = {.abi = RASK_ABI, .name = OP_FILTER, .process = filter_process};

/* ---- project ---- */

int wk_project_init(struct wk_op *op, struct err *err)
{
    const char *text = wk_op_property(op, "columns", "");
    const Rask__Graph__Schema *in = op->node->in;
    uint32_t count = 0;
    int16_t *columns = mem_alloc_array(RASK_COLUMNS_MAX, sizeof(*columns));

    op->adapter = columns;
    for (char *rest = (char *)(uintptr_t)text; *rest && count < RASK_COLUMNS_MAX; rest += *rest == ',') {
        const char *from = rest;
        unsigned long column = strtoul(from, &rest, 10);

        if (rest == from || !in || column >= in->n_fields)
            break;
        columns[count++] = (int16_t)column;
    }
    if (count != op->ctx.out->schema->columns)
        return err_set(err, ERR_PROTOCOL, "operator \"%s\": columns \"%s\" are not %u of its input's", op->node->name, text,
                       op->ctx.out->schema->columns);
    return 0;
}

static int project_process(rask_op *ctx, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    struct wk_op *op = wk_op_of(ctx);
    rask_batch *kept;

    (void)input;
    CHECK(from == 0);
    *ret_consumed = in->rows;
    kept = batch_derive(out_pool(ctx->out), (rask_batch *)(uintptr_t)in, ctx->out->schema, op->adapter);
    return rask_emit_batch(ctx->out, &kept);
}
const rask_operator wk_project_op = {.abi = RASK_ABI, .name = OP_PROJECT, .process = project_process};

/* ---- process functions ---- */

static int process_open(rask_op *ctx)
{
    const rask_process_fn *fn = wk_op_of(ctx)->code;

    return fn->open ? fn->open(ctx) : 0;
}

/* Of the rows that the next callback emits. */
static void set_times(rask_ctx *ctx, rask_ts time)
{
    if (ctx->out)
        ctx->out->event_time = time;
    for (uint32_t s = 0; s < ctx->side_count; s++)
        ctx->sides[s]->event_time = time;
}

static int process_process(rask_op *ctx, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    struct wk_op *op = wk_op_of(ctx);
    const rask_process_fn *fn = op->code;
    int (*on_row)(rask_ctx *, const rask_row *, rask_out *) = input == 0 ? fn->on_row : fn->on_row2;
    bool keyed = op->key_count[input] > 0;
    const rask_ts *times = in->event_time.data;
    uint32_t i = from;
    int rc = 0;

    op->may_broadcast = fn->broadcast && input == 1;
    ctx->key = (rask_str){NULL, 0};
    if (!times)
        set_times(ctx, RASK_TS_MIN);
    while (i < in->rows && rc == 0 && !wk_op_stops(op, i - from)) {
        rask_row row = rask_batch_row(in, i);

        if (times)
            set_times(ctx, times[row.position]);
        if (keyed && (i - from) % KEY_RUN_ROWS == 0)
            wk_op_begin_run(op, input, in, i, i == from);
        if (keyed)
            wk_op_use_key(op, (i - from) % KEY_RUN_ROWS);
        rc = on_row(ctx, &row, ctx->out);
        i++;
    }
    *ret_consumed = i - from;
    return rc;
}

/* Rows that a timer gives carry its event time. */
static int process_timers(rask_op *ctx, const rask_timers *due, uint32_t from, uint32_t *ret_consumed)
{
    struct wk_op *op = wk_op_of(ctx);
    const rask_process_fn *fn = op->code;
    uint32_t i = from;
    int rc = 0;

    while (i < due->count && rc == 0 && !wk_op_stops(op, i - from)) {
        set_times(ctx, due->event_time ? due->at[i] : RASK_TS_MIN);
        rask_set_timer_key(ctx, due, i);
        rc = fn->on_timer(ctx, due->at[i], ctx->out);
        i++;
    }
    *ret_consumed = i - from;
    return rc;
}

static int process_finish(rask_op *ctx)
{
    const rask_process_fn *fn = wk_op_of(ctx)->code;

    return fn->finish ? fn->finish(ctx, ctx->out) : 0;
}

static void process_close(rask_op *ctx)
{
    const rask_process_fn *fn = wk_op_of(ctx)->code;

    if (fn->close)
        fn->close(ctx);
}

const rask_operator wk_process_op = {
    .abi = RASK_ABI,
    .name = OP_PROCESS,
    .open = process_open,
    .process = process_process,
    .on_timers = process_timers,
    .finish = process_finish,
    .close = process_close,
};

static int check_abi(const struct wk_op *op, uint32_t abi, struct err *err)
{
    if (abi == RASK_ABI)
        return 0;
    return err_set(err, ERR_VERSION, "operator \"%s\" has ABI %u, this worker has ABI %u: compile the job against the installed headers",
                   op->node->name, abi, RASK_ABI);
}

static int take_over(struct wk_op *op, const rask_state *states, size_t self_size)
{
    op->ctx.states = states;
    op->ctx.self = self_size ? mem_alloc(self_size) : NULL;
    return 0;
}

int wk_process_init(struct wk_op *op, struct err *err)
{
    const rask_process_fn *fn = op->code;
    int rc = check_abi(op, fn->abi, err);

    if (rc != 0)
        return rc;
    if (!fn->on_row)
        return err_set(err, ERR_INVALID, "process function \"%s\" has no on_row", op->node->name);
    op->wants_timers = fn->on_timer != NULL;
    return take_over(op, fn->states, fn->self_size);
}

int wk_batch_init(struct wk_op *op, struct err *err)
{
    const rask_operator *d = op->code;
    int rc = check_abi(op, d->abi, err);

    if (rc != 0)
        return rc;
    if (!d->process)
        return err_set(err, ERR_INVALID, "operator \"%s\" has no process function", op->node->name);
    op->desc = d;
    op->may_broadcast = true; /* it knows what it does */
    op->wants_timers = d->on_timers != NULL;
    return take_over(op, d->states, d->self_size);
}
