/*
 * exact.c - counts lines per key and writes every count: key,1 key,2 ... key,N, each exactly once, whatever happens.
 *
 *     exact --input FILE --output FOLDER [--pause MICROSECONDS] [--keys K] [--wide true]
 *
 * A line is a number; its key is the number modulo K.  pause: of a reader for each line.
 * wide: a key's state has 208 bytes instead of 8.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <unistd.h>

#include <rask/rask.h>

RASK_ROW(item, (BIGINT, key), (BIGINT, n));
RASK_ROW(counted, (BIGINT, key), (BIGINT, count));
RASK_STATE(seen, (BIGINT, rows));
RASK_STATE(wide, (BIGINT, rows), (BIGINT, b), (BIGINT, c), (BIGINT, d), (BIGINT, e), (BIGINT, f), (BIGINT, g), (BIGINT, h),
           (BIGINT, i), (BIGINT, j), (BIGINT, k), (BIGINT, l), (BIGINT, m), (BIGINT, n), (BIGINT, o), (BIGINT, p), (BIGINT, q),
           (BIGINT, r), (BIGINT, s), (BIGINT, t), (BIGINT, u), (BIGINT, v), (BIGINT, w), (BIGINT, x), (BIGINT, y), (BIGINT, z));

static int parse(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    rask_str line = rask_string(row, 0);
    int64_t n = 0;
    long pause = strtol(rask_param_of(ctx, "pause", "0"), NULL, 10);

    for (uint32_t i = 0; i < line.len; i++)
        n = n * 10 + (line.data[i] - '0');
    if (pause > 0)
        usleep((useconds_t)pause);
    return item_emit(out, &(struct item){n % strtol(rask_param_of(ctx, "keys", "7"), NULL, 10), n});
}

static int count(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct seen *seen = seen_of(ctx, 0);

    if (!seen)
        return -1;
    return counted_emit(out, &(struct counted){rask_i64(row, 0), ++seen->rows});
}

static int count_wide(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct wide *seen = wide_of(ctx, 0);

    if (!seen || seen->z != seen->rows) /* the last column goes with the first */
        return seen ? rask_fail(ctx, "the state of key %lld is another's", (long long)rask_i64(row, 0)) : -1;
    seen->z++;
    return counted_emit(out, &(struct counted){rask_i64(row, 0), ++seen->rows});
}

static const rask_process_fn wide_counter = {
    RASK_ABI,
    "count",
    .in = &item_schema,
    .out = &counted_schema,
    .states = RASK_STATES({RASK_VALUE, "seen", &wide_schema}),
    .on_row = count_wide,
};
static const rask_process_fn counter = {
    RASK_ABI,
    "count",
    .in = &item_schema,
    .out = &counted_schema,
    .states = RASK_STATES({RASK_VALUE, "seen", &seen_schema}),
    .on_row = count,
};

int rask_job(rask_env *env, const rask_params *params)
{
    rask_stream *lines = rask_read_text(env, rask_param(params, "input", "-"));
    rask_stream *items = rask_flat_map(rask_uid(lines, "lines"), parse, &item_schema);
    bool wide = rask_param_bool(params, "wide", false);
    rask_stream *counts = rask_uid(rask_process(rask_key_by(items, "key"), wide ? &wide_counter : &counter), "count");

    rask_uid(rask_write_files(counts, rask_param(params, "output", "out"), (rask_files_options){.bucket = "", .roll_at_checkpoint = true}),
             "files");
    return rask_execute(env, "exact");
}
