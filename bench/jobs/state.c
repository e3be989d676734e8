/*
 * state.c - a value per key, updated by functions through the public API: how fast, and what checkpoints do to it.
 *
 *     rask run state.so --way batch --keys 1000000 --rows 50000000
 *
 * A source (bench/rows.h: keyed rows, of which the key and the number are used), rask_key_by, a function that adds the number
 * to the key's sum and gives (key, sum), and a sink that adds up a checksum: that of c/sum --columns 2.
 *
 * --way       batch: a batch function (rask_values_of); row: a row function (rask_value)
 * --rows      of all splits together, --keys: different ones, --splits: 2
 * --fill      first a row for each key, once: they count like the others
 * --wide      the value has 104 bytes instead of 8
 * --text      the value is a sum and a text of so many letters, drawn with the key's first row, and read and written as a row
 * --touched   beyond the fill, keys are drawn from the first so many of each 1000 of a split: 1000
 * --rate      rows a second of all splits after the fill; 0: as many as go
 * --timeline  file that each subtask of the sink appends to as it ends: a line "MS ROWS GAP" for each TICK_MS in which rows
 *             came: wall clock, rows, the longest time without rows that ended there in microseconds
 * Accumulators: rows, checksum_low, checksum_high, as in rows.c; with --text beyond: rows a second after the last new key,
 * each subtask's added up.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rask/rask.h>

#include "bench/jobs/checksum_sink.h"
#include "bench/jobs/row4_splits.h"

#define TICK_MS 5
#define TICKS 24000 /* two minutes */
#define TEXT_MAX 4096u

RASK_ROW(pair, (BIGINT, a), (BIGINT, b));
RASK_STATE(sum, (BIGINT, b));
RASK_ROW(texted, (BIGINT, b), (STRING, text));
RASK_STATE(wide, (BIGINT, b), (BIGINT, c), (BIGINT, d), (BIGINT, e), (BIGINT, f), (BIGINT, g), (BIGINT, h), (BIGINT, i),
           (BIGINT, j), (BIGINT, k), (BIGINT, l), (BIGINT, m), (BIGINT, n));

struct plan {
    uint64_t rows, keys, splits, touched, text;
    int64_t rate;
    bool fill;
    char timeline[200];
};

static int64_t now_us(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- source ---- */

struct reader {
    uint64_t next;
    int64_t paced_us; /* when the row behind the fill was due, moved on by what a restart left out */
};

static int discover(rask_ctx *ctx, rask_splits *found)
{
    const struct plan *plan = rask_args(ctx);

    return row4_discover(found, plan->splits, plan->rows, plan->keys);
}

static int open_split(rask_ctx *ctx, rask_split *split)
{
    struct reader *r = split->self;

    (void)ctx;
    if (split->position.len == sizeof(r->next))
        memcpy(&r->next, split->position.data, sizeof(r->next));
    return 0;
}

static void fill_keys(const struct row4_split *s, uint64_t first, uint32_t n, uint64_t *a, uint64_t *b)
{
    for (uint32_t i = 0; i < n; i++) {
        a[i] = (first + i) * s->count + s->number;
        b[i] = 1;
    }
}

static void fill_rows(const struct row4_split *s, uint64_t keys, uint64_t first, uint32_t n, uint64_t *a, uint64_t *b)
{
    for (uint32_t i = 0; i < n; i++) {
        struct row4 r = row4_keyed(s->number, s->count, keys, first + i);

        a[i] = r.a;
        b[i] = r.b;
    }
}

/* How many rows may leave now; *ret_wait_us: until the next one may. */
static uint64_t due(const struct plan *plan, struct reader *r, uint64_t from, int64_t *ret_wait_us)
{
    int64_t now = now_us(CLOCK_MONOTONIC), passed;
    uint64_t rate = (uint64_t)plan->rate / plan->splits, may;

    if (plan->rate == 0)
        return UINT64_MAX;
    if (r->paced_us == 0)
        r->paced_us = now - (int64_t)(from * 1000000 / rate);
    passed = now - r->paced_us;
    may = (uint64_t)passed * rate / 1000000;
    *ret_wait_us = (int64_t)((from + 1) * 1000000 / rate) - passed;
    return may > from ? may - from : 0;
}

static int make_rows(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    const struct plan *plan = rask_args(ctx);
    struct reader *r = split->self;
    struct row4_split s;
    uint64_t filled, end, n;
    int64_t wait_us = 0;
    rask_batch *b;
    int rc;

    memcpy(&s, split->id.data, sizeof(s));
    filled = plan->fill ? s.keys / s.count : 0;
    end = filled + s.rows;
    if (r->next == end)
        return RASK_END;
    n = r->next < filled ? filled - r->next : end - r->next;
    if (r->next >= filled) {
        uint64_t may = due(plan, r, r->next - filled, &wait_us);

        n = may < n ? may : n;
    }
    if (n == 0) {
        rask_wake_in(ctx, wait_us > 0 ? wait_us : 1);
        return RASK_WAIT;
    }
    n = n < RASK_BATCH_ROWS_MAX ? n : RASK_BATCH_ROWS_MAX;
    b = rask_batch_new(out, (uint32_t)n);
    if (r->next < filled)
        fill_keys(&s, r->next, (uint32_t)n, b->columns[0].data, b->columns[1].data);
    else
        fill_rows(&s, s.keys / 1000 * plan->touched + s.keys % 1000, r->next - filled, (uint32_t)n, b->columns[0].data,
                  b->columns[1].data);
    r->next += n;
    rask_split_position(split, &r->next, sizeof(r->next));
    rc = rask_emit_batch(out, &b);
    return rc ? rc : r->next == end ? RASK_END : RASK_MORE;
}

static const rask_source maker = {
    .abi = RASK_ABI,
    .name = "rows",
    .out = &pair_schema,
    .split_size = sizeof(struct reader),
    .discover = discover,
    .open_split = open_split,
    .poll = make_rows,
};

/* ---- functions with state ---- */

static int add_row(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct pair r = pair_at(row);
    struct sum *s = sum_of(ctx, 0);

    if (!s)
        return -1;
    r.b = s->b += r.b;
    return pair_emit(out, &r);
}

static int add_wide_row(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct pair r = pair_at(row);
    struct wide *s = wide_of(ctx, 0);

    if (!s)
        return -1;
    r.b = s->b += r.b;
    return pair_emit(out, &r);
}

/* Letters that nothing compresses; those of bench/flink/Jobs.java. */
static rask_str draw_text(uint64_t key, uint64_t letters, char *to)
{
    for (uint64_t i = 0; i < letters; i += 8) {
        uint64_t x = row4_mix(key + (i + 1) * ROWS_GOLDEN) & 0x1f1f1f1f1f1f1f1fu;

        x += 0x4141414141414141u;
        memcpy(to + i, &x, 8);
    }
    return (rask_str){to, (uint32_t)letters};
}

struct filling {
    int64_t rows, rows_when_full, full_us; /* full: when the last new key has come */
};

static int add_texted_row(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    const struct plan *plan = rask_args(ctx);
    struct filling *f = rask_self(ctx);
    char drawn[TEXT_MAX + 8];
    struct pair r = pair_at(row);
    struct texted k = {.b = 0};

    f->rows++;
    if (!texted_load(ctx, 0, &k)) {
        k.text = draw_text(r.a, plan->text, drawn);
        f->rows_when_full = f->rows;
        f->full_us = now_us(CLOCK_MONOTONIC);
    }
    r.b = k.b += r.b;
    return texted_store(ctx, 0, &k) ? -1 : pair_emit(out, &r);
}

static int tell_beyond(rask_ctx *ctx, rask_out *out)
{
    const struct filling *f = rask_self(ctx);
    int64_t took_us = now_us(CLOCK_MONOTONIC) - f->full_us;

    (void)out;
    if (f->full_us != 0)
        rask_accumulate(ctx, "beyond", (f->rows - f->rows_when_full) * 1000000 / (took_us > 0 ? took_us : 1));
    return 0;
}

/* The sum stands first in either value. */
static int add_batch(rask_op *op, const rask_batch *in, const rask_schema *schema, size_t size)
{
    static const int16_t columns[] = {0, RASK_NEW_COLUMN};
    rask_out *out = rask_main_out(op);
    void *values[RASK_BATCH_ROWS_MAX];
    const int64_t *more = in->columns[1].data;
    int rc = rask_values_of(op, 0, 0, in, 0, in->rows, schema, size, values);
    rask_batch *result;
    int64_t *to;

    if (rc)
        return rc;
    result = rask_batch_derive(out, (rask_batch *)(uintptr_t)in, columns);
    to = result->columns[1].data;
    for (uint32_t i = 0; i < in->rows; i++) {
        int64_t *sum = values[i];

        to[rask_position(result, i)] = *sum += more[rask_position(in, i)];
    }
    return rask_emit_batch(out, &result);
}

static int add_rows(rask_op *op, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    (void)input;
    (void)from;
    *ret_consumed = in->rows;
    return add_batch(op, in, &sum_schema, sizeof(struct sum));
}

static int add_wide_rows(rask_op *op, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    (void)input;
    (void)from;
    *ret_consumed = in->rows;
    return add_batch(op, in, &wide_schema, sizeof(struct wide));
}

#define SUM_STATE RASK_STATES({.kind = RASK_VALUE, .name = "sum", .schema = &sum_schema})
#define WIDE_STATE RASK_STATES({.kind = RASK_VALUE, .name = "sum", .schema = &wide_schema})
#define TEXT_STATE RASK_STATES({.kind = RASK_VALUE, .name = "sum", .schema = &texted_schema})

static const rask_process_fn by_row[] = {
    {.abi = RASK_ABI, .name = "add", .in = &pair_schema, .out = &pair_schema, .states = SUM_STATE, .on_row = add_row},
    {.abi = RASK_ABI, .name = "add", .in = &pair_schema, .out = &pair_schema, .states = WIDE_STATE, .on_row = add_wide_row},
    {.abi = RASK_ABI, .name = "add", .in = &pair_schema, .out = &pair_schema, .states = TEXT_STATE, .on_row = add_texted_row,
     .self_size = sizeof(struct filling), .finish = tell_beyond},
};
static const rask_operator by_batch[] = {
    {.abi = RASK_ABI, .name = "add", .in = &pair_schema, .out = &pair_schema, .states = SUM_STATE, .process = add_rows},
    {.abi = RASK_ABI, .name = "add", .in = &pair_schema, .out = &pair_schema, .states = WIDE_STATE, .process = add_wide_rows},
};

/* ---- sink ---- */

struct tick {
    uint32_t rows, gap_us;
};
struct watcher {
    struct checksum sums;
    int64_t first_us, last_us;
    struct tick *ticks; /* NULL: no timeline */
};

static int watch(rask_ctx *ctx)
{
    const struct plan *plan = rask_args(ctx);
    struct watcher *w = rask_self(ctx);

    w->first_us = w->last_us = now_us(CLOCK_REALTIME);
    if (plan->timeline[0])
        w->ticks = calloc(TICKS, sizeof(*w->ticks));
    return 0;
}

static void note(struct watcher *w, uint32_t rows)
{
    int64_t now = now_us(CLOCK_REALTIME), tick = (now - w->first_us) / (1000 * TICK_MS), gap = now - w->last_us;

    if (tick >= 0 && tick < TICKS) {
        struct tick *t = &w->ticks[tick];

        t->rows += rows;
        t->gap_us = gap > t->gap_us ? (uint32_t)gap : t->gap_us;
    }
    w->last_us = now;
}

static int add_pairs(rask_ctx *ctx, const rask_batch *rows)
{
    struct watcher *w = rask_self(ctx);
    const uint64_t *a = rows->columns[pair_col_a].data, *b = rows->columns[pair_col_b].data;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < rows->rows; i++)
        sum += row4_check(a[rask_position(rows, i)], b[rask_position(rows, i)], 0, 0);
    w->sums.sum += sum;
    w->sums.rows += rows->rows;
    if (w->ticks)
        note(w, rows->rows);
    return 0;
}

static void tell_timeline(rask_ctx *ctx)
{
    const struct plan *plan = rask_args(ctx);
    struct watcher *w = rask_self(ctx);
    FILE *out = w->ticks ? fopen(plan->timeline, "a") : NULL;
    size_t room = (size_t)TICKS * 48, len = 0;
    char *text = out ? malloc(room) : NULL;

    for (int i = 0; text && i < TICKS; i++)
        if (w->ticks[i].rows)
            len += (size_t)snprintf(text + len, room - len, "%lld %u %u\n", (long long)(w->first_us / 1000 + i * TICK_MS),
                                    w->ticks[i].rows, w->ticks[i].gap_us);
    if (text && out) {
        setvbuf(out, NULL, _IOFBF, room); /* in one write: subtasks share the file */
        fwrite(text, 1, len, out);
    }
    if (out)
        fclose(out);
    free(text);
    free(w->ticks);
    w->ticks = NULL;
}

static const rask_sink sink = {
    .abi = RASK_ABI,
    .name = "add",
    .in = &pair_schema,
    .self_size = sizeof(struct watcher),
    .open = watch,
    .write = add_pairs,
    .finish = checksum_tell,
    .close = tell_timeline,
};

int rask_job(rask_env *env, const rask_params *params)
{
    bool wide = rask_param_bool(params, "wide", false), text;
    bool rows = strcmp(rask_param(params, "way", "batch"), "row") == 0;
    struct plan plan = {
        .rows = (uint64_t)rask_param_i64(params, "rows", 100000000),
        .keys = (uint64_t)rask_param_i64(params, "keys", 1000000),
        .splits = (uint64_t)rask_param_i64(params, "splits", 2),
        .touched = (uint64_t)rask_param_i64(params, "touched", 1000),
        .rate = rask_param_i64(params, "rate", 0),
        .text = (uint64_t)rask_param_i64(params, "text", 0),
        .fill = rask_param_bool(params, "fill", false),
    };
    rask_stream *in, *sums;

    plan.text = plan.text < TEXT_MAX ? plan.text : TEXT_MAX;
    text = plan.text > 0;

    snprintf(plan.timeline, sizeof(plan.timeline), "%s", rask_param(params, "timeline", ""));
    in = rask_key_by(rask_with(rask_from_source(env, &maker, NULL), &plan, sizeof(plan)), "a");
    sums = rows || text ? rask_with(rask_process(in, &by_row[text ? 2 : wide]), &plan, sizeof(plan)) : rask_transform(in, &by_batch[wide]);
    rask_with(rask_uid(rask_sink_to(rask_uid(sums, "sums"), &sink), "sink"), &plan, sizeof(plan));
    return rask_execute(env, "state");
}
