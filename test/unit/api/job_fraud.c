/* A job with state, timers, event time and a side output, as a user writes it. */
#include <rask/rask.h>

RASK_ROW(payment, (STRING, account), (BIGINT, cents), (TIMESTAMP, at));
RASK_ROW(alert, (STRING, account), (BIGINT, cents), (TIMESTAMP, until));
RASK_STATE(spent, (BIGINT, cents), (TIMESTAMP, until));

enum { SPENT }; /* states, kept per account */
enum { LARGE }; /* side outputs */

static int on_payment(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct payment p = payment_at(row);
    struct spent *s = spent_of(ctx, SPENT); /* zeroed when the account is new */

    (void)out;
    if (p.cents > 10000000)
        return rask_forward(rask_side(ctx, LARGE), row);
    s->cents += p.cents;
    if (s->until)
        return 0;
    s->until = p.at + RASK_MINUTES(1);
    return rask_timer_at(ctx, s->until); /* fires when event time passes it */
}

static int on_minute(rask_ctx *ctx, rask_ts until, rask_out *out)
{
    const struct spent *s = spent_peek(ctx, SPENT);
    int64_t cents = s ? s->cents : 0;

    rask_clear(ctx, SPENT);
    if (cents <= 100000)
        return 0;
    return alert_emit(out, &(struct alert){rask_key_string(ctx), cents, until});
}

static const rask_process_fn watch = {
    RASK_ABI, "watch", .in = &payment_schema, .out = &alert_schema,
    .states = RASK_STATES([SPENT] = {RASK_VALUE, "spent", &spent_schema, .ttl_ms = RASK_HOURS(1)}),
    .sides = RASK_SIDES([LARGE] = {"large", &payment_schema}),
    .on_row = on_payment, .on_timer = on_minute,
};

int rask_job(rask_env *env, const rask_params *params)
{
    rask_stream *read = rask_read_csv(env, rask_param(params, "input", "-"), &payment_schema);
    rask_stream *timed = rask_event_time(read, "at", RASK_SECONDS(5));
    rask_stream *alerts = rask_uid(rask_process(rask_key_by(timed, "account"), &watch), "watch");

    rask_write_csv(rask_side_stream(alerts, LARGE), rask_param(params, "large", "large.csv"));
    rask_print(alerts);
    return rask_execute(env, "fraud watch");
}
