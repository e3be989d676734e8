/*
 * unaligned.c - numbers through a shuffle to a slow operator, behind it counts per key into part files.
 *
 *     unaligned --rows N --output FOLDER [--fast FILE] [--pause MICROSECONDS] [--keys K]
 *
 * The slow operator rests after each row, until FILE is there: rows pile up before it.  Its key is the number modulo 64, the
 * counts are per number modulo K; every count of every key comes out once: key,1 ... key,N/K.
 *
 * Of the edge to it CHANGE makes another one (0: as it was): 1: of other rows, 2: inside a chain, 3: to another operator.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <unistd.h>

#include <rask/rask.h>

#ifndef CHANGE
#define CHANGE 0
#endif
#if CHANGE == 1
RASK_ROW(item, (BIGINT, key), (BIGINT, n), (STRING, text), (NULL_STRING, more));
#else
RASK_ROW(item, (BIGINT, key), (BIGINT, n), (STRING, text));
#endif
RASK_ROW(counted, (BIGINT, key), (BIGINT, count));
RASK_STATE(seen, (BIGINT, rows));

static int make(rask_ctx *ctx, int64_t index, rask_out *out)
{
    struct item row = {.key = index % 64, .n = index, .text = RASK_STR("a text that is longer than what stands in a view itself")};

    (void)ctx;
    return item_emit(out, &row);
}

static int slow(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    long pause = strtol(rask_param_of(ctx, "pause", "0"), NULL, 10);
    int64_t n = rask_i64(row, 1);

    if (rask_string(row, 2).len != 55)
        return rask_fail(ctx, "the text of row %lld is damaged", (long long)n);
    if (pause > 0 && access(rask_param_of(ctx, "fast", "/"), F_OK) != 0)
        usleep((useconds_t)pause);
    struct item less = {.key = n % strtol(rask_param_of(ctx, "keys", "7"), NULL, 10), .n = n};

    return item_emit(out, &less);
}
static const rask_process_fn slowly = {RASK_ABI, "slow", .in = &item_schema, .out = &item_schema, .on_row = slow};

static int count(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct seen *seen = seen_of(ctx, 0);

    if (!seen)
        return -1;
    return counted_emit(out, &(struct counted){rask_i64(row, 0), ++seen->rows});
}
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
    int64_t rows = strtoll(rask_param(params, "rows", "1000"), NULL, 10);
    rask_stream *items = rask_uid(rask_generate(env, &item_schema, make, 0, rows), "items");
    rask_stream *rested = rask_uid(rask_process(CHANGE == 2 ? items : rask_key_by(items, "key"), &slowly),
                                   CHANGE == 3 ? "other" : "slow");
    rask_stream *counts = rask_uid(rask_process(rask_key_by(rested, "key"), &counter), "count");

    rask_uid(rask_write_files(counts, rask_param(params, "output", "out"), (rask_files_options){.bucket = "", .roll_at_checkpoint = true}),
             "files");
    return rask_execute(env, "unaligned");
}
