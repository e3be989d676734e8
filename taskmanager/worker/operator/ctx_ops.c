/*
 * ctx_ops.c - what a context asks of the worker (api/runtime.h: struct rask_ctx_ops): keys, state, counters, log.
 * Runs in the task's step, except rask_wake.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/types/key_bytes.h"
#include "taskmanager/worker/operator/ops.h"
#include "taskmanager/worker/task/task.h"

const char *wk_op_property(const struct wk_op *op, const char *key, const char *otherwise)
{
    return connector_spec_property(op->node->op, key, otherwise);
}

int64_t wk_op_property_i64(const struct wk_op *op, const char *key, int64_t otherwise)
{
    const char *text = wk_op_property(op, key, NULL);

    return text ? strtoll(text, NULL, 10) : otherwise;
}

void wk_task_log(struct wk_op *op, int level, const char *text)
{
    struct wk_task *t = wk_task_of(op);

    env_log(t->host->env, (enum log_level)level, "task", t->host->job, "%s: %s: %s", t->name, op->ctx.name, text);
}

int64_t wk_task_wall_ms(struct wk_op *op)
{
    return wk_task_of(op)->wall_ms;
}

const struct connector *wk_task_connector(struct wk_op *op, const char *name)
{
    struct wk_task *t = wk_task_of(op);

    for (const struct connector *const *c = t->host->connectors; c && *c; c++)
        if (strcmp((*c)->name, name) == 0)
            return *c;
    return NULL;
}

int wk_op_set_key(struct wk_op *op, int input, const rask_row *row)
{
    rask_ctx *ctx = &op->ctx;
    const rask_batch *b = row->batch;

    bytes_clear(&op->key);
    key_bytes_of(b, op->key_columns[input], op->key_count[input], row->position, &op->key);
    ctx->key = (rask_str){(const char *)op->key.data, (uint32_t)op->key.len};
    ctx->key_hash = b->hash.data ? ((const uint64_t *)b->hash.data)[row->position] : hash_xxh3(op->key.data, op->key.len);
    return 0;
}

static int ctx_set_key(rask_ctx *ctx, const rask_row *row)
{
    struct wk_op *op = wk_op_of(ctx);

    if (op->key_count[0] == 0)
        return rask_fail(ctx, "rask_set_key needs a keyed stream: put rask_key_by before this operator");
    return wk_op_set_key(op, 0, row);
}

static struct rask_counter *ctx_counter(rask_ctx *ctx, const char *name)
{
    struct wk_op *op = wk_op_of(ctx);

    return wk_task_counter(op, name);
}

static void ctx_accumulate(rask_ctx *ctx, const char *name, int64_t n)
{
    wk_task_accumulate(wk_op_of(ctx), name, n);
}

static void ctx_log(rask_ctx *ctx, int level, const char *text)
{
    wk_task_log(wk_op_of(ctx), level, text);
}

static struct wk_timers *timers_of(struct wk_op *op)
{
    if (!op->timers)
        (void)rask_fail(&op->ctx, "this operator sets a timer and has no on_timer");
    else if (!op->ctx.key.data)
        (void)rask_fail(&op->ctx, "a timer needs a current key: use it on a keyed stream, inside on_row or on_timer");
    else
        return op->timers;
    return NULL;
}

static int set_timer(rask_ctx *ctx, enum wk_timer_domain domain, rask_ts at)
{
    struct wk_timers *t = timers_of(wk_op_of(ctx));
    struct err *err = ctx->error.code ? NULL : &ctx->error; /* the first one stays */

    if (t && wk_timers_add(t, domain, at, ctx->key_hash, ctx->key, err) != 0)
        CHECK(ctx->error.code != 0);
    return ctx->error.code;
}

static int ctx_timer_at(rask_ctx *ctx, rask_ts event_time)
{
    return set_timer(ctx, WK_TIMER_EVENT, event_time);
}

static int ctx_timer_in(rask_ctx *ctx, int64_t delay_ms)
{
    rask_ts now = wk_task_wall_ms(wk_op_of(ctx)), at;

    if (__builtin_add_overflow(now, MAX(delay_ms, 0), &at))
        at = RASK_TS_MAX - 1;
    return set_timer(ctx, WK_TIMER_PROCESSING, at);
}

static int ctx_timer_cancel(rask_ctx *ctx, rask_ts at)
{
    struct wk_timers *t = timers_of(wk_op_of(ctx));
    struct err err = {0};

    for (int d = 0; t && d < WK_TIMER_DOMAINS; d++)
        if (wk_timers_cancel(t, (enum wk_timer_domain)d, at, ctx->key_hash, ctx->key, &err) != 0 && !ctx->error.code)
            ctx->error = err;
    return ctx->error.code;
}

static rask_ts ctx_processing_time(rask_ctx *ctx)
{
    return wk_task_wall_ms(wk_op_of(ctx));
}
static void ctx_wake_in(rask_ctx *ctx, int64_t delay_us)
{
    wk_task_wake_in(wk_op_of(ctx), delay_us);
}
static void ctx_wake_on_fd(rask_ctx *ctx, int fd)
{
    wk_task_wake_on_fd(wk_op_of(ctx), fd);
}
static void ctx_wake(rask_ctx *ctx)
{
    wk_ready(wk_op_of(ctx)->chain->host.runnable);
}

const struct rask_ctx_ops wk_ctx_ops = {
    .log = ctx_log,
    .counter = ctx_counter,
    .accumulate = ctx_accumulate,
    .value = wk_ctx_value,
    .peek = wk_ctx_peek,
    .clear = wk_ctx_clear,
    .load = wk_ctx_load,
    .store = wk_ctx_store,
    .add = wk_ctx_add,
    .aggregate = wk_ctx_aggregate,
    .remove_at = wk_ctx_remove_at,
    .cursor = wk_ctx_cursor,
    .next = wk_ctx_next,
    .remove = wk_ctx_remove,
    .read = wk_ctx_read,
    .values_of = wk_ctx_values_of,
    .set_key = ctx_set_key,
    .timer_at = ctx_timer_at,
    .timer_in = ctx_timer_in,
    .timer_cancel = ctx_timer_cancel,
    .processing_time = ctx_processing_time,
    .wake_in = ctx_wake_in,
    .wake_on_fd = ctx_wake_on_fd,
    .wake = ctx_wake,
};
