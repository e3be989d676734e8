/*
 * numbered.c - the job of the exactly-once checker: counts numbers per key and writes every count with the number that made it:
 * key,1,n key,2,n' ...: each count once and each number once, whatever happens.
 *
 *     numbered --input PATH [--csv] --output FOLDER --table NAME --conninfo TEXT [--regions N] [--keys K]
 *              [--pause US] [--count-pause US] [--hurry FILE] [--long-parts] [--shuffle] [--wide]
 *
 * A line is a number and filler, which keeps batches short, and so barriers quick: "17,...".  Its key is the number modulo K.  regions: that many pipelines that share nothing; the second writes to FOLDER-2
 * and NAME_2.  pause, count-pause: of a reader and of a counter for each row, until there is a
 * file hurry.  long-parts: parts stay open over checkpoints.  shuffle: a second exchange, before the sinks.
 * wide: more state for each key.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rask/rask.h>

enum { TAIL = 22000, TAIL_PAUSE_US = 20000 };

RASK_ROW(number, (BIGINT, n), (STRING, filler));
RASK_ROW(item, (BIGINT, key), (BIGINT, n));
RASK_ROW(counted, (BIGINT, key), (BIGINT, count), (BIGINT, n));
RASK_STATE(seen, (BIGINT, rows), (BIGINT, twice), (BIGINT, thrice), (BIGINT, sum));
/* each of them is the rows of the key so far: state that is larger than the memory for it */
RASK_STATE(wide, (BIGINT, a), (BIGINT, b), (BIGINT, c), (BIGINT, d), (BIGINT, e), (BIGINT, f), (BIGINT, g), (BIGINT, h), (BIGINT, i),
           (BIGINT, j), (BIGINT, k), (BIGINT, l), (BIGINT, m), (BIGINT, n), (BIGINT, o), (BIGINT, p), (BIGINT, q), (BIGINT, r), (BIGINT, s),
           (BIGINT, t), (BIGINT, u), (BIGINT, v), (BIGINT, w), (BIGINT, x), (BIGINT, y), (BIGINT, z));

static void wait_a_little(rask_ctx *ctx, long pause)
{
    if (pause > 0 && access(rask_param_of(ctx, "hurry", "/nowhere"), F_OK) != 0)
        usleep((useconds_t)pause);
}

static int to_item(rask_ctx *ctx, int64_t n, rask_out *out)
{
    wait_a_little(ctx, n > TAIL ? TAIL_PAUSE_US : strtol(rask_param_of(ctx, "pause", "0"), NULL, 10));
    return item_emit(out, &(struct item){n % strtol(rask_param_of(ctx, "keys", "7"), NULL, 10), n});
}

static int parse(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    rask_str line = rask_string(row, 0);
    int64_t n = 0;

    for (uint32_t i = 0; i < line.len && line.data[i] != ','; i++)
        n = n * 10 + (line.data[i] - '0');
    return to_item(ctx, n, out);
}

static int take(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    return to_item(ctx, rask_i64(row, 0), out);
}

static int widen(rask_ctx *ctx, int64_t rows)
{
    struct wide *wide = wide_of(ctx, 1);
    int64_t *columns = (int64_t *)wide;

    if (!wide)
        return -1;
    for (size_t i = 0; i < sizeof(*wide) / sizeof(int64_t); i++)
        if (columns[i]++ != rows)
            return rask_fail(ctx, "a wide state says %lld rows, the narrow one %lld", (long long)(columns[i] - 1), (long long)rows);
    return 0;
}

static int count(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct seen *seen = seen_of(ctx, 0);

    if (!seen)
        return -1;
    wait_a_little(ctx, strtol(rask_param_of(ctx, "count-pause", "0"), NULL, 10));
    if (seen->twice != 2 * seen->rows || seen->thrice != 3 * seen->rows)
        return rask_fail(ctx, "the state of key %lld is not one that was ever written", (long long)rask_i64(row, 0));
    if (rask_param_of(ctx, "wide", NULL) && widen(ctx, seen->rows) != 0)
        return -1;
    seen = seen_of(ctx, 0);
    if (!seen)
        return -1;
    seen->rows++;
    seen->twice += 2;
    seen->thrice += 3;
    seen->sum += rask_i64(row, 1);
    return counted_emit(out, &(struct counted){rask_i64(row, 0), seen->rows, rask_i64(row, 1)});
}

static const rask_process_fn counter = {
    RASK_ABI,
    "count",
    .in = &item_schema,
    .out = &counted_schema,
    .states = RASK_STATES({RASK_VALUE, "seen", &seen_schema}, {RASK_VALUE, "wide", &wide_schema}),
    .on_row = count,
};

/* name + suffix; lives as long as the process */
static const char *named(const char *name, const char *suffix)
{
    char *text;

    return asprintf(&text, "%s%s", name, suffix) < 0 ? name : text;
}

static void pipeline(rask_env *env, const rask_params *params, const char *dash, const char *underscore)
{
    const char *input = rask_param_required(params, "input");
    rask_stream *items, *counts;

    if (rask_param_bool(params, "csv", false))
        items = rask_flat_map(rask_uid(rask_read_csv(env, input, &number_schema), named("lines", dash)), take, &item_schema);
    else
        items = rask_flat_map(rask_uid(rask_read_text(env, input), named("lines", dash)), parse, &item_schema);
    counts = rask_uid(rask_process(rask_key_by(items, "key"), &counter), named("count", dash));
    if (rask_param_bool(params, "shuffle", false))
        counts = rask_rebalance(counts);
    rask_uid(rask_write_files(counts, named(rask_param_required(params, "output"), dash),
                              (rask_files_options){.bucket = "", .roll_at_checkpoint = !rask_param_bool(params, "long-parts", false)}),
             named("files", dash));
    rask_uid(rask_write_postgres(counts, rask_param_required(params, "conninfo"), named(rask_param_required(params, "table"), underscore),
                                 NULL),
             named("table", dash));
}

int rask_job(rask_env *env, const rask_params *params)
{
    pipeline(env, params, "", "");
    if (rask_param_i64(params, "regions", 1) > 1)
        pipeline(env, params, "-2", "_2");
    return rask_execute(env, "numbered");
}
