/*
 * timers.c - timers in event time: each row sets one, and all fire.
 *
 *     rask run timers.so --timers 10000000 --keys 10000000 --span 600000
 *
 * A source gives rows (key, time) in order of time, spread over --span milliseconds; a function by key sets a timer
 * --ahead milliseconds behind each row's time (as many as --span: all are set before the first fires), and gives a row for each that
 * fires.  --keys: different keys; with fewer than timers a key has several.
 * Accumulators: rows, checksum_low and checksum_high (of key and time, as c/timers has them).
 */
#include <rask/rask.h>

#include "bench/jobs/checksum_sink.h"
#include "bench/rows.h"

RASK_ROW(event, (BIGINT, key), (TIMESTAMP, at));

struct plan {
    uint64_t timers, keys, splits;
    int64_t span, ahead;
};

static int discover(rask_ctx *ctx, rask_splits *found)
{
    const struct plan *plan = rask_args(ctx);

    for (uint64_t i = 0; i < plan->splits; i++) {
        int rc = rask_split_add(found, (rask_str){(const char *)&i, sizeof(i)}, (rask_str){"", 0});

        if (rc)
            return rc;
    }
    return 0;
}

static int make_rows(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    const struct plan *plan = rask_args(ctx);
    uint64_t *next = split->self, number, end;
    int64_t *key, *at;
    rask_batch *b;
    uint32_t n;
    int rc;

    memcpy(&number, split->id.data, sizeof(number));
    end = plan->timers / plan->splits;
    if (*next == end)
        return RASK_END;
    n = end - *next < RASK_BATCH_ROWS_MAX ? (uint32_t)(end - *next) : RASK_BATCH_ROWS_MAX;
    b = rask_batch_new(out, n);
    key = b->columns[0].data;
    at = b->columns[1].data;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t row = (*next + i) * plan->splits + number;

        key[i] = (int64_t)(row % plan->keys);
        at[i] = (int64_t)((*next + i) * (uint64_t)plan->span / end);
    }
    *next += n;
    rc = rask_emit_batch(out, &b);
    return rc ? rc : *next == end ? RASK_END : RASK_MORE;
}

static const rask_source maker = {
    .abi = RASK_ABI,
    .name = "events",
    .out = &event_schema,
    .split_size = sizeof(uint64_t),
    .discover = discover,
    .poll = make_rows,
};

static int set(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    const struct plan *plan = rask_args(ctx);

    (void)out;
    return rask_timer_at(ctx, rask_i64(row, event_col_at) + plan->ahead);
}

static int fire(rask_ctx *ctx, rask_ts at, rask_out *out)
{
    struct event e = {rask_key_i64(ctx), at};

    return event_emit(out, &e);
}

static const rask_process_fn alarms = {
    .abi = RASK_ABI,
    .name = "alarms",
    .in = &event_schema,
    .out = &event_schema,
    .on_row = set,
    .on_timer = fire,
};

static int add_events(rask_ctx *ctx, const rask_batch *rows)
{
    struct checksum *sums = rask_self(ctx);
    const uint64_t *key = rows->columns[event_col_key].data, *at = rows->columns[event_col_at].data;

    for (uint32_t i = 0; i < rows->rows; i++)
        sums->sum += row4_check(key[rask_position(rows, i)], at[rask_position(rows, i)], 0, 0);
    sums->rows += rows->rows;
    return 0;
}

static const rask_sink sink = {
    .abi = RASK_ABI,
    .name = "add",
    .in = &event_schema,
    .self_size = sizeof(struct checksum),
    .write = add_events,
    .finish = checksum_tell,
};

int rask_job(rask_env *env, const rask_params *params)
{
    struct plan plan = {
        .timers = (uint64_t)rask_param_i64(params, "timers", 10000000),
        .keys = (uint64_t)rask_param_i64(params, "keys", 10000000),
        .splits = (uint64_t)rask_param_i64(params, "splits", 2),
        .span = rask_param_i64(params, "span", 600000),
        .ahead = rask_param_i64(params, "ahead", 600000),
    };
    rask_stream *events = rask_with(rask_from_source(env, &maker, NULL), &plan, sizeof(plan));
    rask_stream *fired;

    events = rask_event_time(events, "at", 0);
    fired = rask_with(rask_process(rask_key_by(events, "key"), &alarms), &plan, sizeof(plan));
    rask_sink_to(fired, &sink);
    return rask_execute(env, "timers");
}
