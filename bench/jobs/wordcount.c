/*
 * wordcount.c - the word count that is measured: one update per word, and all of them into a checksum.
 *
 *     rask run wordcount.so --input FILE [--merge true]      merge: updates of a word are merged (rask_merge_updates)
 *
 * Words are runs of [A-Za-z0-9_], lower-cased.  The accumulators "updates" and "checksum" (checksum.h) are to equal those
 * of bench/c/wordcount.c.
 */
#include <rask/rask.h>

#include "bench/checksum.h"

RASK_ROW(count, (STRING, word), (BIGINT, n));

enum { TEXT = 64 * 1024, WORDS = 256 };

struct words {
    rask_batch *batch; /* that is being filled; NULL: none */
    uint32_t rows;
    rask_buffer *text; /* lower-cased, for cells to refer to; NULL: none */
    uint32_t used;
};

static int send(rask_op *op, struct words *w)
{
    rask_batch *b = w->batch;

    w->batch = NULL;
    b->rows = w->rows;
    return rask_emit_batch(rask_main_out(op), &b);
}

static rask_str lower(rask_op *op, struct words *w, rask_str text)
{
    char *to;

    if (!w->text || w->text->capacity - w->used < text.len) {
        rask_buffer_unref(w->text);
        w->text = rask_buffer_new(rask_main_out(op), text.len > TEXT ? text.len : TEXT);
        w->used = 0;
    }
    to = (char *)w->text->data + w->used;
    w->used += text.len;
    return rask_lower_to(to, text);
}

/* A batch with room for n words, which refer to the text by the returned number. */
static int make_room(rask_op *op, struct words *w, uint32_t n, uint32_t *ret_number)
{
    int rc = w->batch && w->rows + n > RASK_BATCH_ROWS_MAX ? send(op, w) : 0;

    if (rc == 0 && w->batch && (*ret_number = rask_batch_hold(w->batch, w->text)) == RASK_NO_BUFFER)
        rc = send(op, w);
    if (rc == 0 && !w->batch) {
        w->batch = rask_batch_new(rask_main_out(op), RASK_BATCH_ROWS_MAX);
        w->rows = 0;
        *ret_number = rask_batch_hold(w->batch, w->text);
    }
    return rc;
}

static int split_text(rask_op *op, struct words *w, rask_str text)
{
    rask_str words[WORDS];
    uint32_t n, number;
    int rc;

    text = lower(op, w, text);
    do {
        n = rask_next_names(&text, words, WORDS);
        rc = make_room(op, w, n, &number);
        if (rc)
            return rc;
        for (uint32_t i = 0; i < n; i++, w->rows++) {
            uint32_t at = (uint32_t)(words[i].data - (const char *)w->text->data);

            ((rask_view *)w->batch->columns[count_col_word].data)[w->rows] = rask_view_at(w->text, number, at, words[i].len);
            ((int64_t *)w->batch->columns[count_col_n].data)[w->rows] = 1;
        }
    } while (n == WORDS);
    return 0;
}

static int split(rask_op *op, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    struct words w = {NULL, 0, NULL, 0};
    uint32_t row = from;
    rask_str text;
    int rc = 0;

    (void)input;
    while (rc == 0 && rask_next_text(in, 0, &row, &text))
        rc = split_text(op, &w, text);
    if (rc == 0 && w.batch)
        rc = send(op, &w);
    rask_batch_unref(w.batch);
    rask_buffer_unref(w.text);
    *ret_consumed = row - from;
    return rc;
}

static const rask_operator splitter = {
    .abi = RASK_ABI, .name = "split", .in = &rask_text_schema, .out = &count_schema, .process = split};

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
    rask_stream *words = rask_transform(lines, &splitter);
    rask_stream *counts = rask_sum(rask_key_by(words, "word"), "n");

    if (rask_param_bool(params, "merge", false))
        rask_merge_updates(counts);
    rask_sink_to(counts, &checksum_sink);
    return rask_execute(env, "word count, measured");
}
