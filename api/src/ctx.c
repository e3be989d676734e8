/*
 * ctx.c - the functions of rask/operator.h, on a struct rask_ctx that the engine filled
 * (api/runtime.h). Thread: the one that runs the subtask.
 */
#include <stdio.h>

#include "api/runtime.h"
#include "common/base/check.h"

void *rask_self(rask_ctx *ctx)
{
    return ctx->self;
}

const void *rask_args(rask_ctx *ctx)
{
    return ctx->args;
}

size_t rask_args_size(rask_ctx *ctx)
{
    return ctx->args_size;
}

rask_out *rask_main_out(rask_ctx *ctx)
{
    return ctx->out;
}

bool rask_wanted(rask_ctx *ctx, int column)
{
    return column < 0 || column >= RASK_COLUMNS_MAX || !(ctx->unwanted >> column & 1);
}

rask_out *rask_side(rask_ctx *ctx, int side)
{
    CHECK(side >= 0);
    CHECK((uint32_t)side < ctx->side_count); /* an index that the descriptor does not declare */
    return ctx->sides[side];
}

bool rask_op_full(rask_op *op)
{
    return op->full && *op->full;
}

const char *rask_param_of(rask_ctx *ctx, const char *name, const char *otherwise)
{
    const char *value = ctx->params ? rask_params_get(ctx->params, name) : NULL;

    return value ? value : otherwise;
}

uint32_t rask_subtask(rask_ctx *ctx)
{
    return ctx->subtask;
}

uint32_t rask_parallelism(rask_ctx *ctx)
{
    return ctx->parallelism;
}

uint32_t rask_max_parallelism(rask_ctx *ctx)
{
    return ctx->max_parallelism;
}

uint32_t rask_attempt(rask_ctx *ctx)
{
    return ctx->attempt;
}

uint64_t rask_checkpoint_id(rask_ctx *ctx)
{
    return ctx->checkpoint;
}

const char *rask_task_name(rask_ctx *ctx)
{
    return ctx->task_name;
}

/* ---- failures, logs, metrics ---- */

int rask_fail(rask_ctx *ctx, const char *fmt, ...)
{
    va_list ap;

    if (ctx->error.code == 0) {
        va_start(ap, fmt);
        err_vset(&ctx->error, ERR_USER, fmt, ap);
        va_end(ap);
    }
    return ctx->error.code;
}

void rask_log(rask_ctx *ctx, int level, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    ctx->ops->log(ctx, level, text);
}

rask_counter *rask_counter_of(rask_ctx *ctx, const char *name)
{
    return ctx->ops->counter(ctx, name);
}

void rask_counter_add(rask_counter *counter, int64_t n)
{
    __atomic_store_n(&counter->value, __atomic_load_n(&counter->value, __ATOMIC_RELAXED) + n,
                     __ATOMIC_RELAXED);
}

void rask_accumulate(rask_ctx *ctx, const char *name, int64_t n)
{
    ctx->ops->accumulate(ctx, name, n);
}

/* ---- time ---- */

rask_ts rask_watermark(rask_ctx *ctx)
{
    return ctx->watermark;
}

rask_ts rask_processing_time(rask_ctx *ctx)
{
    return ctx->ops->processing_time(ctx);
}

rask_ts rask_row_time(const rask_row *row)
{
    const rask_column *c = &row->batch->event_time;

    if (!c->data || rask_column_is_null(c, row->position))
        return RASK_TS_MIN;
    return ((const rask_ts *)c->data)[row->position];
}

int rask_timer_at(rask_ctx *ctx, rask_ts event_time)
{
    return ctx->ops->timer_at(ctx, event_time);
}

int rask_timer_in(rask_ctx *ctx, int64_t delay_ms)
{
    return ctx->ops->timer_in(ctx, delay_ms);
}

int rask_timer_cancel(rask_ctx *ctx, rask_ts at)
{
    return ctx->ops->timer_cancel(ctx, at);
}

bool rask_timer_is_event_time(rask_ctx *ctx)
{
    return ctx->timer_is_event_time;
}

void rask_set_timer_key(rask_op *op, const rask_timers *due, uint32_t i)
{
    op->key = due->key[i];
    op->key_hash = due->hash[i];
    op->timer_is_event_time = due->event_time;
}

/* ---- memory and state ---- */

void *rask_alloc(rask_ctx *ctx, size_t size)
{
    return arena_alloc(&ctx->scratch, size);
}

void *rask_value(rask_ctx *ctx, int state, const rask_schema *schema, size_t size)
{
    return ctx->ops->value(ctx, state, schema, size);
}

const void *rask_value_peek(rask_ctx *ctx, int state, const rask_schema *schema, size_t size)
{
    return ctx->ops->peek(ctx, state, schema, size);
}

void rask_clear(rask_ctx *ctx, int state)
{
    ctx->ops->clear(ctx, state);
}

bool rask_state_load(rask_ctx *ctx, int state, const rask_schema *schema, void *row, size_t size)
{
    return ctx->ops->load(ctx, state, NULL, schema, row, size);
}

int rask_state_store(rask_ctx *ctx, int state, const rask_schema *schema, const void *row,
                     size_t size)
{
    return ctx->ops->store(ctx, state, NULL, schema, row, size);
}

int rask_state_add(rask_ctx *ctx, int state, const rask_schema *schema, const void *row,
                   size_t size)
{
    return ctx->ops->add(ctx, state, schema, row, size);
}

int rask_state_aggregate(rask_ctx *ctx, int state, const void *more)
{
    return ctx->ops->aggregate(ctx, state, more);
}

bool rask_state_load_at(rask_ctx *ctx, int state, const void *key, const rask_schema *schema,
                        void *row, size_t size)
{
    return ctx->ops->load(ctx, state, key, schema, row, size);
}

int rask_state_store_at(rask_ctx *ctx, int state, const void *key, const rask_schema *schema,
                        const void *row, size_t size)
{
    return ctx->ops->store(ctx, state, key, schema, row, size);
}

int rask_state_remove_at(rask_ctx *ctx, int state, const void *key)
{
    return ctx->ops->remove_at(ctx, state, key);
}

rask_cursor rask_cursor_of(rask_ctx *ctx, int state)
{
    rask_cursor cursor = {.ctx = ctx, .state = state};

    ctx->ops->cursor(ctx, state, &cursor);
    return cursor;
}

bool rask_next(rask_cursor *cursor)
{
    return cursor->ctx->ops->next(cursor);
}

int rask_remove(rask_cursor *cursor)
{
    return cursor->ctx->ops->remove(cursor);
}

int rask_cursor_value(const rask_cursor *cursor, const rask_schema *schema, void *row, size_t size)
{
    return cursor->ctx->ops->read(cursor, false, schema, row, size);
}

int rask_cursor_key(const rask_cursor *cursor, const rask_schema *schema, void *row, size_t size)
{
    return cursor->ctx->ops->read(cursor, true, schema, row, size);
}

int rask_values_of(rask_op *op, int input, int state, const rask_batch *in, uint32_t from,
                   uint32_t count, const rask_schema *schema, size_t size, void **values)
{
    return op->ops->values_of(op, input, state, in, from, count, schema, size, values);
}

rask_str rask_key_bytes(rask_ctx *ctx)
{
    return ctx->key;
}

/* The payload of the first key column; len 0: no key, or null. */
static rask_str key_payload(const rask_ctx *ctx)
{
    rask_str key = ctx->key;

    if (ctx->key_nullable && key.len > 0) {
        if (key.data[0] == 0)
            key.len = 1;
        key.data++;
        key.len--;
    }
    return key;
}

static uint64_t big_endian(const char *data, uint32_t bytes)
{
    uint64_t v = 0;

    for (uint32_t i = 0; i < bytes; i++)
        v = v << 8 | (uint8_t)data[i];
    return v;
}

rask_str rask_key_string(rask_ctx *ctx)
{
    rask_str key = key_payload(ctx), none = {"", 0};
    uint64_t len;

    if (key.len < 4)
        return none;
    len = big_endian(key.data, 4);
    if (len > key.len - 4)
        return none;
    key.data += 4;
    key.len = (uint32_t)len;
    return key;
}

int64_t rask_key_i64(rask_ctx *ctx)
{
    rask_str key = key_payload(ctx);

    return key.len < 8 ? 0 : (int64_t)(big_endian(key.data, 8) ^ (UINT64_C(1) << 63));
}

int rask_set_key(rask_op *op, const rask_row *row)
{
    return op->ops->set_key(op, row);
}

/* ---- sources and sinks ---- */

int rask_split_add(rask_splits *found, rask_str id, rask_str position)
{
    return found->add(found, id, position);
}

void rask_split_position(rask_split *split, const void *data, size_t len)
{
    struct rask_split_slot *slot = CONTAINER_OF(split, struct rask_split_slot, split);

    bytes_clear(&slot->position);
    bytes_add(&slot->position, data, len);
    split->position.data = (const char *)slot->position.data;
    split->position.len = (uint32_t)len;
}

void rask_wake_in(rask_ctx *ctx, int64_t delay_us)
{
    ctx->ops->wake_in(ctx, delay_us);
}

void rask_wake_on_fd(rask_ctx *ctx, int fd)
{
    ctx->ops->wake_on_fd(ctx, fd);
}

int rask_committable_add(rask_committables *out, const void *data, size_t len)
{
    return out->add(out, data, len);
}
