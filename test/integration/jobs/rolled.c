/*
 * rolled.c - states of the engine's own operators, in as many forms as CHANGE has values (0: as it was): what a restore takes and
 * refuses.
 *
 *     rolled [--rows N] [--output FOLDER]
 */
#include <stdlib.h>

#include <rask/rask.h>

#ifndef CHANGE
#define CHANGE 0
#endif

#if CHANGE == 7 /* what is summed is as wide, and not the same */
#define PAGE DOUBLE
#elif CHANGE == 8
#define PAGE INT
#else
#define PAGE BIGINT
#endif
#if CHANGE == 9 /* a column that the sum keeps of each key's first row */
RASK_ROW(visit, (BIGINT, client), (PAGE, page), (BIGINT, more));
#else
RASK_ROW(visit, (BIGINT, client), (PAGE, page));
#endif

static int visits(rask_ctx *ctx, int64_t index, rask_out *out)
{
    (void)ctx;
    return visit_emit(out, &(struct visit){.client = index % 2, .page = index % 5});
}

static inline int same(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct visit v = visit_at(row);

    (void)ctx;
    return visit_emit(out, &v);
}

int rask_job(rask_env *env, const rask_params *params)
{
    const char *rows = rask_param(params, "rows", "-1"), *folder = rask_param(params, "output", "out");
    rask_files_options options = {.bucket = "", .roll_at_checkpoint = true};
    rask_stream *in = rask_generate(env, &visit_schema, visits, 500, strtoll(rows, NULL, 10));
    rask_stream *by = rask_key_by(in = rask_uid(in, CHANGE == 4 ? "sums" : "visits"), CHANGE == 3 ? "page" : "client"), *sums;

#if CHANGE == 1
    sums = rask_count(by, "count");
#elif CHANGE == 2
    sums = rask_max(by, "page");
#elif CHANGE == 5
    sums = rask_map(by, same, &visit_schema);
#else
    sums = rask_sum(by, "page");
#endif
    sums = rask_uid(sums, CHANGE == 4 ? "visits" : "sums");
    (void)same;
    if (CHANGE == 6)
        rask_uid(rask_discard(sums), "files");
    else
        rask_uid(rask_write_files(sums, folder, options), "files");
    return rask_execute(env, "rolled");
}
