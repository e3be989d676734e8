/*
 * latency.c - how long a row takes from the source through one shuffle to the sink.
 *
 *     rask run latency.so --rate 50000 --seconds 5 [--sources 1] [--apart] [--spin]
 *
 * A source stamps each row with the monotonic clock when it emits it, and with the time when it was due; the rows go by
 * key to a counting function and on to a sink, which keeps histograms.  Each subtask of the sink prints one line:
 *
 *     latency rows 200000 p50 31.2 p90 48.0 p99 95.1 p99.9 410.0 max 1290.0 us, since due p50 60.1 p99 190.0 us
 *
 * The first fifth of the rows does not count.  --rate: rows a second of all sources together; 0: as fast as they can.
 * --apart: sources and sinks in slots of their own, so that on two TaskManagers of one slot each every row crosses.
 * --spin: a source asks to be polled again at once instead of sleeping until its next row is due.
 * Both ends have to run on one machine: its monotonic clock is compared with itself.
 */
#define _GNU_SOURCE
#include <rask/rask.h>

#include "bench/histogram.h"

#define KEYS 1000

RASK_ROW(event, (BIGINT, key), (BIGINT, at_ns), (BIGINT, due_ns), (BIGINT, counts));

struct settings {
    int64_t interval_ns, count, warm; /* of each source: rows, and how many of them do not count */
    uint32_t sources;
    bool spin;
};

/* ---- source ---- */

struct reader {
    int64_t start_ns, emitted;
};

static int discover(rask_ctx *ctx, rask_splits *found)
{
    const struct settings *s = rask_args(ctx);
    int rc = 0;

    for (uint32_t i = 0; i < s->sources && rc == 0; i++)
        rc = rask_split_add(found, (rask_str){(const char *)&i, sizeof(i)}, RASK_STR(""));
    return rc;
}

static int open_split(rask_ctx *ctx, rask_split *split)
{
    (void)ctx;
    ((struct reader *)split->self)->start_ns = now_ns();
    return 0;
}

static int poll_split(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    const struct settings *s = rask_args(ctx);
    struct reader *r = split->self;
    int64_t now = now_ns(), due = 0;
    int rc;

    while (r->emitted < s->count && !rask_op_full(ctx)) {
        struct event e = {r->emitted % KEYS, now, 0, r->emitted >= s->warm};

        due = r->start_ns + r->emitted * s->interval_ns;
        if (due > now)
            break;
        e.due_ns = s->interval_ns > 0 ? due : now;
        rc = event_emit(out, &e);
        if (rc != 0)
            return rc;
        r->emitted++;
    }
    if (r->emitted == s->count)
        return RASK_END;
    if (due <= now || s->spin)
        return RASK_MORE;
    rask_wake_in(ctx, (due - now + 999) / 1000);
    return RASK_WAIT;
}

static const rask_source source = {
    .abi = RASK_ABI,
    .name = "stamps",
    .out = &event_schema,
    .split_size = sizeof(struct reader),
    .discover = discover,
    .open_split = open_split,
    .poll = poll_split,
};

/* ---- a function with state behind the shuffle ---- */

static int count_row(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    int64_t *n = rask_value(ctx, 0, &rask_sequence_schema, sizeof(*n));

    if (!n)
        return -1;
    ++*n;
    return rask_forward(out, row);
}

static const rask_process_fn counting = {
    .abi = RASK_ABI,
    .name = "count",
    .in = &event_schema,
    .out = &event_schema,
    .states = RASK_STATES({.kind = RASK_VALUE, .name = "n", .schema = &rask_sequence_schema}),
    .on_row = count_row,
};

/* ---- sink ---- */

struct sums {
    struct histogram since_emitted, since_due;
};

static int measure(rask_ctx *ctx, const rask_batch *rows)
{
    struct sums *sums = rask_self(ctx);
    int64_t now = now_ns();

    for (uint32_t i = 0; i < rows->rows; i++) {
        rask_row row = rask_batch_row(rows, i);

        if (rask_i64(&row, event_col_counts) == 0)
            continue;
        record(&sums->since_emitted, now - rask_i64(&row, event_col_at_ns));
        record(&sums->since_due, now - rask_i64(&row, event_col_due_ns));
    }
    return 0;
}

static int tell(rask_ctx *ctx)
{
    const struct sums *sums = rask_self(ctx);

    if (sums->since_emitted.rows == 0)
        return 0;
    print_latency(&sums->since_emitted, &sums->since_due);
    rask_accumulate(ctx, "rows", (int64_t)sums->since_emitted.rows);
    return 0;
}

static const rask_sink sink = {
    .abi = RASK_ABI,
    .name = "latency",
    .in = &event_schema,
    .self_size = sizeof(struct sums),
    .write = measure,
    .finish = tell,
};

int rask_job(rask_env *env, const rask_params *params)
{
    int64_t rate = rask_param_i64(params, "rate", 50000), seconds = rask_param_i64(params, "seconds", 5);
    int64_t sources = rask_param_i64(params, "sources", 1), rows = rask_param_i64(params, "rows", 20000000);
    struct settings s = {.spin = rask_param_bool(params, "spin", false), .sources = (uint32_t)sources};
    bool apart = rask_param_bool(params, "apart", false);
    rask_stream *in, *counted;

    s.interval_ns = rate > 0 ? 1000000000 * sources / rate : 0;
    s.count = rate > 0 ? rate * seconds / sources : rows / sources;
    s.warm = s.count / 5;
    in = rask_set_parallelism(rask_with(rask_from_source(env, &source, NULL), &s, sizeof(s)), s.sources);
    if (apart)
        rask_slot_group(in, "sources");
    counted = rask_process(rask_key_by(in, "key"), &counting);
    if (apart)
        rask_slot_group(counted, "sinks");
    rask_sink_to(counted, &sink);
    return rask_execute(env, "latency");
}
