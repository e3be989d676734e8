/*
 * rows.c - the job of the micro-benchmarks: rows of four BIGINT (bench/rows.h) on one of the ways through a job.
 *
 *     rask run rows.so --rows 400000000 --way hash
 *
 * --way      chain: source, maps and sink are one task      local: the sink is a task of its own
 *            hash: rows travel by key (column a)            sum: by key, and b is summed up for each key: a row per row
 *            cross: between two subtasks, every row to the other one
 *            pairs: as sum, of columns a and b alone
 * --maps     how many maps follow the source; --fn batch (default): batch functions, row: row functions
 * --rows     of all splits together; --keys: different keys, 0: plain rows; --splits: 2
 * --sources, --sinks   parallelism, 0: the job's
 * Accumulators: rows, and checksum_low and checksum_high, whose sum (high << 32) + low is that of row4_check over all rows.
 */
#include <rask/rask.h>

#include "bench/jobs/checksum_sink.h"
#include "bench/jobs/row4_splits.h"

RASK_ROW(cells, (BIGINT, a), (BIGINT, b), (BIGINT, c), (BIGINT, d));
RASK_ROW(pair, (BIGINT, a), (BIGINT, b));

struct plan {
    uint64_t rows, keys, splits;
    bool cross;
};

/* ---- source ---- */

static int discover(rask_ctx *ctx, rask_splits *found)
{
    const struct plan *plan = rask_args(ctx);

    return row4_discover(found, plan->splits, plan->rows, plan->keys);
}

static void fill_plain(uint64_t split, uint64_t first, uint32_t n, uint64_t *restrict a, uint64_t *restrict b,
                       uint64_t *restrict c, uint64_t *restrict d)
{
    for (uint32_t i = 0; i < n; i++) {
        struct row4 r = row4_plain(split, first + i);

        a[i] = r.a;
        b[i] = r.b;
        c[i] = r.c;
        d[i] = r.d;
    }
}

static void fill_keyed(const struct row4_split *s, uint64_t first, uint32_t n, uint64_t *restrict a, uint64_t *restrict b,
                       uint64_t *restrict c, uint64_t *restrict d)
{
    uint64_t number = s->number, count = s->count, keys = s->keys;

    for (uint32_t i = 0; i < n; i++) {
        struct row4 r = row4_keyed(number, count, keys, first + i);

        a[i] = r.a;
        b[i] = r.b;
        c[i] = r.c;
        d[i] = r.d;
    }
}

static int make_rows(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    uint64_t *next = split->self, *cell[4];
    struct row4_split s;
    rask_batch *b;
    uint32_t n;
    int rc;

    memcpy(&s, split->id.data, sizeof(s));
    if (((const struct plan *)rask_args(ctx))->cross)
        s.number = rask_subtask(ctx); /* whichever split it got: the row then tells which subtask made it */
    if (*next == s.rows)
        return RASK_END;
    n = s.rows - *next < RASK_BATCH_ROWS_MAX ? (uint32_t)(s.rows - *next) : RASK_BATCH_ROWS_MAX;
    b = rask_batch_new(out, n);
    for (int i = 0; i < 4; i++)
        cell[i] = b->columns[i].data;
    if (s.keys)
        fill_keyed(&s, *next, n, cell[0], cell[1], cell[2], cell[3]);
    else
        fill_plain(s.number, *next, n, cell[0], cell[1], cell[2], cell[3]);
    *next += n;
    rc = rask_emit_batch(out, &b);
    return rc ? rc : *next == s.rows ? RASK_END : RASK_MORE;
}

static const rask_source maker = {
    .abi = RASK_ABI,
    .name = "rows",
    .out = &cells_schema,
    .split_size = sizeof(uint64_t),
    .discover = discover,
    .poll = make_rows,
};

/* The subtask that did not make the row. */
static uint32_t other_subtask(const rask_row *row, uint32_t channels)
{
    uint64_t made_by = (uint64_t)rask_i64(row, 1) - 42 - ((uint64_t)rask_i64(row, 2) + 1) * ROWS_GOLDEN;

    return (uint32_t)(made_by + 1) % channels;
}

/* ---- maps ---- */

static int map_row(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct cells r = cells_at(row);

    (void)ctx;
    r.d = (int64_t)row4_map((uint64_t)r.c, (uint64_t)r.d);
    return cells_emit(out, &r);
}

/* The first three columns are shared, the last one is made anew. */
static int map_batch(rask_op *op, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    static const int16_t columns[] = {0, 1, 2, RASK_NEW_COLUMN};
    rask_out *out = rask_main_out(op);
    rask_batch *part = rask_batch_slice(in, from, in->rows - from), *mapped = rask_batch_derive(out, part, columns);
    const uint64_t *c = mapped->columns[2].data, *d = part->columns[3].data;
    uint64_t *restrict to = mapped->columns[3].data;

    (void)input;
    *ret_consumed = part->rows;
    if (mapped->sel) {
        for (uint32_t i = 0; i < mapped->rows; i++)
            to[mapped->sel[i]] = row4_map(c[mapped->sel[i]], d[mapped->sel[i]]);
    } else {
        for (uint32_t i = mapped->first; i < mapped->first + mapped->rows; i++)
            to[i] = row4_map(c[i], d[i]);
    }
    rask_batch_unref(part);
    return rask_emit_batch(out, &mapped);
}

static const rask_operator mapper = {
    .abi = RASK_ABI,
    .name = "map",
    .in = &cells_schema,
    .out = &cells_schema,
    .process = map_batch,
};

/* ---- sink ---- */

static uint64_t check_range(const uint64_t *a, const uint64_t *b, const uint64_t *c, const uint64_t *d, uint32_t n)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < n; i++)
        sum += row4_check(a[i], b[i], c[i], d[i]);
    return sum;
}

static int add_rows(rask_ctx *ctx, const rask_batch *rows)
{
    struct checksum *sums = rask_self(ctx);
    const uint64_t *cell[4];
    uint64_t sum = 0;

    for (int i = 0; i < 4; i++)
        cell[i] = rows->columns[i].data;
    if (rows->sel) {
        for (uint32_t i = 0; i < rows->rows; i++)
            sum += row4_check(cell[0][rows->sel[i]], cell[1][rows->sel[i]], cell[2][rows->sel[i]], cell[3][rows->sel[i]]);
    } else {
        sum = check_range(cell[0] + rows->first, cell[1] + rows->first, cell[2] + rows->first, cell[3] + rows->first,
                          rows->rows);
    }
    sums->sum += sum;
    sums->rows += rows->rows;
    return 0;
}

static const rask_sink adder = {
    .abi = RASK_ABI,
    .name = "add",
    .in = &cells_schema,
    .self_size = sizeof(struct checksum),
    .write = add_rows,
    .finish = checksum_tell,
};

static int add_pairs(rask_ctx *ctx, const rask_batch *rows)
{
    struct checksum *sums = rask_self(ctx);
    const uint64_t *a = rows->columns[pair_col_a].data, *b = rows->columns[pair_col_b].data;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < rows->rows; i++)
        sum += row4_check(a[rask_position(rows, i)], b[rask_position(rows, i)], 0, 0);
    sums->sum += sum;
    sums->rows += rows->rows;
    return 0;
}

static const rask_sink pair_adder = {
    .abi = RASK_ABI,
    .name = "add",
    .in = &pair_schema,
    .self_size = sizeof(struct checksum),
    .write = add_pairs,
    .finish = checksum_tell,
};

int rask_job(rask_env *env, const rask_params *params)
{
    const char *way = rask_param(params, "way", "hash"), *fn = rask_param(params, "fn", "batch");
    int64_t sources = rask_param_i64(params, "sources", 0), sinks = rask_param_i64(params, "sinks", 0);
    bool cross = strcmp(way, "cross") == 0, pairs = strcmp(way, "pairs") == 0, sum = pairs || strcmp(way, "sum") == 0;
    struct plan plan = {(uint64_t)rask_param_i64(params, "rows", 400000000), (uint64_t)rask_param_i64(params, "keys", 0),
                        (uint64_t)rask_param_i64(params, "splits", 2), cross};
    rask_stream *rows = rask_with(rask_from_source(env, &maker, NULL), &plan, sizeof(plan)), *end;

    if (sources)
        rask_set_parallelism(rows, (uint32_t)sources);
    for (int64_t i = rask_param_i64(params, "maps", 0); i > 0; i--) {
        rows = strcmp(fn, "row") == 0 ? rask_map(rows, map_row, &cells_schema) : rask_transform(rows, &mapper);
        if (sources)
            rask_set_parallelism(rows, (uint32_t)sources);
    }
    if (pairs)
        rows = rask_project(rows, &pair_schema);
    if (sum || strcmp(way, "hash") == 0)
        rows = rask_key_by(rows, "a");
    if (cross)
        rows = rask_partition_custom(rows, other_subtask);
    if (sum) {
        rows = rask_sum(rows, "b");
        if (sinks)
            rask_set_parallelism(rows, (uint32_t)sinks);
    }
    end = rask_sink_to(rows, pairs ? &pair_adder : &adder);
    if (strcmp(way, "local") == 0)
        rask_start_chain(end);
    if (sinks)
        rask_set_parallelism(end, (uint32_t)sinks);
    return rask_execute(env, "rows");
}
