/*
 * Visits to a web server: a client that comes back after a while begins a new one.
 *
 *     rask run examples/visits.c --input examples/data/access.log [--away MINUTES] [--output FILE]
 *
 * Each visit gives a line "client,number,began" when it begins.  What is known of a client is state: it is kept
 * per key, so clients may be spread over any number of subtasks.  A client's requests must come in the order of the
 * log, so one reader reads it.
 */
#define _GNU_SOURCE /* strptime, timegm */
#include <stdlib.h>
#include <time.h>

#include <rask/rask.h>
#include <rask/row.h>

RASK_ROW(hit, (STRING, client), (TIMESTAMP, at));
RASK_ROW(visit, (STRING, client), (BIGINT, number), (TIMESTAMP, began));
RASK_STATE(known, (TIMESTAMP, last), (BIGINT, visits));

enum { KNOWN }; /* states, kept per client */

/* 83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET ... */
static int parse(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    rask_str line = rask_string(row, 0), word, date = {"", 0};
    struct hit hit = {{"", 0}, 0};
    struct tm tm;
    char text[32];

    for (int i = 1; i <= 4 && rask_next_word(&line, &word); i++) {
        if (i == 1)
            hit.client = word;
        date = word;
    }
    if (date.len >= sizeof(text))
        return rask_fail(ctx, "no date in a line of the log");
    memcpy(text, date.data, date.len);
    text[date.len] = 0;
    memset(&tm, 0, sizeof(tm));
    if (!strptime(text, "[%d/%b/%Y:%H:%M:%S", &tm))
        return rask_fail(ctx, "\"%s\" is no date", text);
    hit.at = (rask_ts)timegm(&tm) * 1000;
    return hit_emit(out, &hit);
}

static int on_hit(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct hit hit = hit_at(row);
    struct known *known = known_of(ctx, KNOWN); /* zeroed when the client is new */
    struct visit visit;

    if (!known)
        return -1; /* the reason is set */
    if (known->visits > 0 && hit.at - known->last < RASK_MINUTES(strtol(rask_param_of(ctx, "away", "30"), NULL, 10))) {
        known->last = hit.at > known->last ? hit.at : known->last;
        return 0;
    }
    known->last = hit.at;
    visit = (struct visit){hit.client, ++known->visits, hit.at};
    return visit_emit(out, &visit);
}

static const rask_process_fn visits = {
    .abi = RASK_ABI,
    .name = "visits",
    .in = &hit_schema,
    .out = &visit_schema,
    .states = RASK_STATES([KNOWN] = {.kind = RASK_VALUE, .name = "known", .schema = &known_schema}),
    .on_row = on_hit,
};

int rask_job(rask_env *env, const rask_params *params)
{
    rask_stream *lines = rask_set_parallelism(rask_read_text(env, rask_param_required(params, "input")), 1);
    rask_stream *hits = rask_set_parallelism(rask_flat_map(lines, parse, &hit_schema), 1);
    rask_stream *begun = rask_uid(rask_process(rask_key_by(hits, "client"), &visits), "visits");
    const char *output = rask_param(params, "output", NULL);

    if (output)
        rask_set_parallelism(rask_write_csv(begun, output), 1);
    else
        rask_print(begun);
    return rask_execute(env, "visits");
}
