/*
 * wordcount.c - the word count that is measured: one update per word, and all of them into a checksum.
 *
 *     rask run wordcount.so --input FILE
 *
 * Words are runs of [A-Za-z0-9_], lower-cased.  The accumulators "updates" and "checksum" (checksum.h) are to equal those
 * of bench/c/wordcount.c.
 */
#include <rask/rask.h>

#include "bench/checksum.h"

RASK_ROW(count, (STRING, word), (BIGINT, n));

static int split(rask_ctx *ctx, const rask_row *line, rask_out *out)
{
    rask_str text = rask_lower(ctx, rask_string(line, 0)), word;

    while (rask_next_name(&text, &word)) {
        struct count one = {word, 1};
        int rc = count_emit(out, &one);

        if (rc)
            return rc;
    }
    return 0;
}

struct sums {
    uint64_t updates, checksum;
};

static int add_updates(rask_ctx *ctx, const rask_batch *rows)
{
    struct sums *sums = rask_self(ctx);
    uint64_t checksum = 0;

    for (uint32_t i = 0; i < rows->rows; i++) {
        rask_row row = rask_batch_row(rows, i);
        rask_str word = rask_string(&row, count_col_word);

        checksum += checksum_update(checksum_word(word.data, word.len), rask_i64(&row, count_col_n));
    }
    sums->checksum += checksum;
    sums->updates += rows->rows;
    return 0;
}

static int tell(rask_ctx *ctx)
{
    struct sums *sums = rask_self(ctx);

    rask_accumulate(ctx, "updates", (int64_t)sums->updates);
    rask_accumulate(ctx, "checksum", (int64_t)sums->checksum);
    return 0;
}

static const rask_sink checksum_sink = {
    .abi = RASK_ABI,
    .name = "checksum",
    .in = &count_schema,
    .self_size = sizeof(struct sums),
    .write = add_updates,
    .finish = tell,
};

int rask_job(rask_env *env, const rask_params *params)
{
    rask_stream *lines = rask_read_text(env, rask_param_required(params, "input"));
    rask_stream *words = rask_flat_map(lines, split, &count_schema);

    rask_sink_to(rask_sum(rask_key_by(words, "word"), "n"), &checksum_sink);
    return rask_execute(env, "word count, measured");
}
