/*
 * exchange.c - rows of four BIGINT through one edge, made and read by whole batches: what an exchange costs.
 *
 *     rask run exchange.so --rows 400000000 --edge hash
 *
 * --edge   forward: two tasks and a local channel     hash: a keyed shuffle     none: one chained task, nothing handed over
 * --rows   of all sources together                    --sources, --sinks: their parallelism; 0: the job's
 * Row i of source s is (x ^ x >> 29, x, i, x ^ i) with x = 42 + s + (i + 1) * golden ratio; the key is the first column.  The
 * accumulators "rows" and "checksum" (the sum of a ^ b ^ c ^ d over all rows) do not depend on the way.
 */
#include <rask/rask.h>

#define GOLDEN 0x9e3779b97f4a7c15u

RASK_ROW(cell4, (BIGINT, a), (BIGINT, b), (BIGINT, c), (BIGINT, d));

struct share { /* a split: the rows of one source */
    uint64_t number, rows;
};

static int discover(rask_ctx *ctx, rask_splits *found)
{
    const struct share *all = rask_args(ctx);

    for (uint64_t i = 0; i < all->number; i++) {
        struct share s = {i, all->rows / all->number + (i < all->rows % all->number)};
        int rc = rask_split_add(found, (rask_str){(const char *)&s, sizeof(s)}, (rask_str){"", 0});

        if (rc)
            return rc;
    }
    return 0;
}

struct progress {
    uint64_t next, x;
};

static int make_rows(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct progress *p = split->self;
    struct share s;
    rask_batch *batch;
    uint32_t n;
    int rc;

    (void)ctx;
    memcpy(&s, split->id.data, sizeof(s));
    if (p->next == 0)
        p->x = 42 + s.number;
    n = s.rows - p->next < RASK_BATCH_ROWS_MAX ? (uint32_t)(s.rows - p->next) : RASK_BATCH_ROWS_MAX;
    if (n == 0)
        return RASK_END;
    batch = rask_batch_new(out, n);
    uint64_t *restrict a = batch->columns[0].data;
    uint64_t *restrict b = batch->columns[1].data;
    uint64_t *restrict c = batch->columns[2].data;
    uint64_t *restrict d = batch->columns[3].data;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t x = p->x += GOLDEN, k = p->next + i;

        a[i] = x ^ x >> 29;
        b[i] = x;
        c[i] = k;
        d[i] = x ^ k;
    }
    p->next += n;
    rc = rask_emit_batch(out, &batch);
    return rc ? rc : p->next == s.rows ? RASK_END : RASK_MORE;
}

static const rask_source maker = {
    .abi = RASK_ABI,
    .name = "rows",
    .out = &cell4_schema,
    .split_size = sizeof(struct progress),
    .discover = discover,
    .poll = make_rows,
};

struct sums {
    uint64_t rows, checksum;
};

static int add_rows(rask_ctx *ctx, const rask_batch *rows)
{
    struct sums *sums = rask_self(ctx);
    const uint64_t *column[4];
    uint64_t sum = 0;

    for (int i = 0; i < 4; i++)
        column[i] = rows->columns[i].data;
    if (rows->sel) {
        for (uint32_t i = 0; i < rows->rows; i++) {
            uint32_t at = rask_position(rows, i);

            sum += column[0][at] ^ column[1][at] ^ column[2][at] ^ column[3][at];
        }
    } else {
        for (uint32_t i = rows->first; i < rows->first + rows->rows; i++)
            sum += column[0][i] ^ column[1][i] ^ column[2][i] ^ column[3][i];
    }
    sums->checksum += sum;
    sums->rows += rows->rows;
    return 0;
}

static int tell(rask_ctx *ctx)
{
    struct sums *sums = rask_self(ctx);

    rask_accumulate(ctx, "rows", (int64_t)sums->rows);
    rask_accumulate(ctx, "checksum", (int64_t)sums->checksum);
    return 0;
}

static const rask_sink adder = {
    .abi = RASK_ABI,
    .name = "add",
    .in = &cell4_schema,
    .self_size = sizeof(struct sums),
    .write = add_rows,
    .finish = tell,
};

int rask_job(rask_env *env, const rask_params *params)
{
    const char *edge = rask_param(params, "edge", "hash");
    uint32_t sources = (uint32_t)rask_param_i64(params, "sources", 0);
    uint32_t sinks = (uint32_t)rask_param_i64(params, "sinks", 0);
    struct share all = {sources ? sources : 256, (uint64_t)rask_param_i64(params, "rows", 400000000)};
    rask_stream *rows = rask_with(rask_from_source(env, &maker, NULL), &all, sizeof(all)), *end;

    if (sources)
        rask_set_parallelism(rows, sources);
    if (strcmp(edge, "none") == 0)
        end = rask_sink_to(rows, &adder);
    else if (strcmp(edge, "forward") == 0)
        end = rask_start_chain(rask_sink_to(rows, &adder));
    else
        end = rask_sink_to(rask_key_by(rows, "a"), &adder);
    if (sinks)
        rask_set_parallelism(end, sinks);
    return rask_execute(env, "exchange");
}
