/*
 * timers.c - an event-time timer for each of 100 keys; what fires is printed.
 *
 *     timers --phase set|cancel|fire --rows N
 *
 * set: each key sets its timer; cancel: keys with an even number take theirs back; fire: nothing but the end of the input, whose
 * watermark all timers are due by.  The source has another uid in each phase, so that it begins anew.
 */
#include <string.h>
#include <stdlib.h>

#include <rask/rask.h>

enum { KEYS = 100, AT = 1000 };
RASK_ROW(tick, (BIGINT, key), (BIGINT, at));
RASK_ROW(fired, (BIGINT, key), (BIGINT, at));
RASK_STATE(seen, (BIGINT, key));

static int ticks(rask_ctx *ctx, int64_t index, rask_out *out)
{
    (void)ctx;
    return tick_emit(out, &(struct tick){index % KEYS, 0});
}

static int on_tick(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    const char *phase = rask_param_of(ctx, "phase", "set");
    int64_t key = rask_i64(row, 0);
    struct seen *seen = seen_of(ctx, 0);

    (void)out;
    if (!seen)
        return -1;
    seen->key = key;
    if (strcmp(phase, "set") == 0)
        return rask_timer_at(ctx, AT + key);
    return strcmp(phase, "cancel") == 0 && key % 2 == 0 ? rask_timer_cancel(ctx, AT + key) : 0;
}

static int on_timer(rask_ctx *ctx, rask_ts at, rask_out *out)
{
    struct seen *seen = seen_of(ctx, 0);

    return seen ? fired_emit(out, &(struct fired){seen->key, at}) : -1;
}

static const rask_process_fn clock_of = {
    RASK_ABI, "clock", .in = &tick_schema, .out = &fired_schema, .on_row = on_tick, .on_timer = on_timer,
    .states = RASK_STATES({.kind = RASK_VALUE, .name = "seen", .schema = &seen_schema}),
};

int rask_job(rask_env *env, const rask_params *params)
{
    const char *phase = rask_param(params, "phase", "set");
    rask_stream *in = rask_uid(rask_generate(env, &tick_schema, ticks, 2000, strtoll(rask_param(params, "rows", "-1"), NULL, 10)), phase);
    rask_stream *timed = rask_uid(rask_event_time(in, "at", 0), "times");

    rask_print(rask_uid(rask_process(rask_key_by(timed, "key"), &clock_of), "clock"));
    return rask_execute(env, "timers");
}
