/*
 * declared.c - one operator with a value, a list, a map and timers, in as many forms as CHANGE has values (0: as it was): what a
 * restore takes and refuses.
 *
 *     declared [--rows N]    of each subtask; without: for ever
 */
#include <stdlib.h>

#include <rask/rask.h>

#ifndef CHANGE
#define CHANGE 0
#endif

RASK_ROW(visit, (STRING, client), (BIGINT, page));
#if CHANGE == 1 /* a column more, and one is wider */
RASK_ROW(last, (BIGINT, page), (BIGINT, times), (NULL_STRING, note));
#else
RASK_ROW(last, (BIGINT, page), (INT, times));
#endif
#if CHANGE == 2 /* the key of the map */
RASK_ROW(place, (STRING, page));
#else
RASK_ROW(place, (BIGINT, page));
#endif

enum { LAST, PAGES, TIMES, STATES };
#define HOUR RASK_HOURS(1)
static const rask_state states[] = {
    [LAST] = {.kind = RASK_VALUE, .name = "last", .schema = &last_schema, .ttl_ms = CHANGE == 3 ? 2 * HOUR : HOUR},
    [PAGES] = {.kind = CHANGE == 4 ? RASK_VALUE : RASK_LIST, .name = "pages", .schema = &place_schema, .ttl_ms = CHANGE == 5 ? HOUR : 0},
#if CHANGE != 6 /* a state less */
    [TIMES] = {.kind = RASK_MAP, .name = "times", .schema = &last_schema, .map_key = &place_schema},
#endif
    {0}};

static int visits(rask_ctx *ctx, int64_t index, rask_out *out)
{
    (void)ctx;
    return visit_emit(out, &(struct visit){rask_str_of(index % 2 ? "ann" : "bob"), index % 5});
}

static int on_visit(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    int rc = 0;

    (void)out;
#if CHANGE == 0
    struct visit v = visit_at(row);
    struct last last = {v.page, 1};
    struct place place = {v.page};

#ifndef TIMELESS /* on_timer is there, and no timer ever was */
    rc = rask_timer_in(ctx, HOUR);
#endif
    if (rc == 0)
        rc = last_store(ctx, LAST, &last);
    rask_clear(ctx, PAGES);
    if (rc == 0)
        rc = place_add(ctx, PAGES, &place);
    if (rc == 0)
        rc = last_store_at(ctx, TIMES, &place, &last);
#else
    (void)ctx;
    (void)row;
#endif
    return rc;
}

#if CHANGE != 10 /* timers that nobody takes */
static int on_due(rask_ctx *ctx, rask_ts at, rask_out *out)
{
    (void)ctx;
    (void)at;
    (void)out;
    return 0;
}
#else
#define on_due NULL
#endif

static const rask_process_fn watch = {RASK_ABI, "watch", .in = &visit_schema, .out = &visit_schema, .on_row = on_visit,
                                      .on_timer = on_due,
                                      .states = CHANGE == 7 ? NULL : states};

int rask_job(rask_env *env, const rask_params *params)
{
    const char *rows = rask_param(params, "rows", "-1");
    rask_stream *in = rask_uid(rask_generate(env, &visit_schema, visits, 500, strtoll(rows, NULL, 10)), "visits");

    rask_print(rask_uid(rask_process(rask_key_by(in, CHANGE == 8 ? "page" : "client"), &watch), CHANGE == 9 ? "other" : "watch"));
    return rask_execute(env, "declared");
}
