/*
 * regions.c - two pipelines that have nothing to do with each other, each counting lines per key as exact.c does.
 *
 *     regions --left FILE --right FILE --output FOLDER [--pause MICROSECONDS] [--trap FILE]
 *
 * Their counts go to FOLDER/left and FOLDER/right.  trap: the right one fails whenever this file is there, and removes it.
 * The left one is in a slot group of its own.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <unistd.h>

#include <rask/rask.h>

RASK_ROW(item, (BIGINT, key), (BIGINT, n));
RASK_ROW(counted, (BIGINT, key), (BIGINT, count));
RASK_STATE(seen, (BIGINT, rows));

static int parse(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    rask_str line = rask_string(row, 0);
    int64_t n = 0;
    long pause = strtol(rask_param_of(ctx, "pause", "0"), NULL, 10);

    for (uint32_t i = 0; i < line.len; i++)
        n = n * 10 + (line.data[i] - '0');
    if (pause > 0)
        usleep((useconds_t)pause);
    return item_emit(out, &(struct item){n % 7, n});
}

static int count(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct seen *seen = seen_of(ctx, 0);

    if (!seen)
        return -1;
    return counted_emit(out, &(struct counted){rask_i64(row, 0), ++seen->rows});
}

static int count_or_fail(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    const char *trap = rask_param_of(ctx, "trap", NULL);

    if (trap && unlink(trap) == 0)
        return rask_fail(ctx, "the trap was there");
    return count(ctx, row, out);
}

static const rask_process_fn counters[] = {
    {
        RASK_ABI,
        "count left",
        .in = &item_schema,
        .out = &counted_schema,
        .states = RASK_STATES({RASK_VALUE, "seen", &seen_schema}),
        .on_row = count,
    },
    {
        RASK_ABI,
        "count right",
        .in = &item_schema,
        .out = &counted_schema,
        .states = RASK_STATES({RASK_VALUE, "seen", &seen_schema}),
        .on_row = count_or_fail,
    },
};

static void pipeline(rask_env *env, const rask_params *params, const char *side, const rask_process_fn *counter)
{
    char folder[1024];
    rask_stream *lines = rask_read_text(env, rask_param(params, side, "-"));
    rask_stream *counts;

    rask_slot_group(lines, side);
    counts = rask_process(rask_key_by(rask_flat_map(lines, parse, &item_schema), "key"), counter);
    snprintf(folder, sizeof(folder), "%s/%s", rask_param(params, "output", "out"), side);
    rask_write_files(counts, folder, (rask_files_options){.bucket = "", .roll_at_checkpoint = true});
}

int rask_job(rask_env *env, const rask_params *params)
{
    pipeline(env, params, "left", &counters[0]);
    pipeline(env, params, "right", &counters[1]);
    return rask_execute(env, "regions");
}
