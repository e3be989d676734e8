/*
 * drained.c - three keys, each with a timer at the end of days, and a source that never ends: timers fire when the job is drained.
 *
 *     drained --output FILE
 */
#include <rask/rask.h>

RASK_ROW(visit, (BIGINT, key), (TIMESTAMP, at));
RASK_ROW(fired, (BIGINT, key));

static int one_split(rask_ctx *ctx, rask_splits *found)
{
    (void)ctx;
    return rask_split_add(found, RASK_STR("all"), RASK_STR(""));
}

/* After a restore the three rows come again: their timers are there already, once. */
struct cursor {
    int64_t at;
};
static int visits_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct cursor *c = split->self;

    if (c->at < 3) {
        int rc = visit_emit(out, &(struct visit){c->at, c->at});

        c->at++;
        return rc ? rc : RASK_MORE;
    }
    rask_wake_in(ctx, 100000);
    return RASK_WAIT;
}
static const rask_source visits = {
    .abi = RASK_ABI, .name = "visits", .out = &visit_schema, .split_size = sizeof(struct cursor),
    .discover = one_split, .poll = visits_poll,
};

static int on_visit(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    (void)row;
    (void)out;
    return rask_timer_at(ctx, 1000000000000);
}
static int on_time(rask_ctx *ctx, rask_ts at, rask_out *out)
{
    (void)at;
    return fired_emit(out, &(struct fired){rask_key_i64(ctx)});
}
static const rask_process_fn waiter = {
    RASK_ABI, "waiter", .in = &visit_schema, .out = &fired_schema, .on_row = on_visit, .on_timer = on_time,
};

int rask_job(rask_env *env, const rask_params *params)
{
    rask_stream *rows = rask_uid(rask_from_source(env, &visits, NULL), "visits");
    rask_stream *timed = rask_uid(rask_event_time(rows, "at", 0), "time");
    rask_stream *late = rask_uid(rask_process(rask_key_by(timed, "key"), &waiter), "waiter");

    rask_uid(rask_write_csv(late, rask_param(params, "output", "fired")), "file");
    return rask_execute(env, "drained");
}
