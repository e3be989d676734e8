/*
 * Counts words: runs of anything but ASCII white space, as they are written.
 *
 *     rask run examples/wordcount.c --input FILE [--output FILE]
 *
 * Each word gives an updated line "word,count"; the last one of a word is its total.  Without --output they are printed.
 */
#include <inttypes.h>
#include <rask/rask.h>
#include <stdio.h>

RASK_ROW(count, (STRING, word), (BIGINT, n));
RASK_ROW(line, (STRING, text));

static int split(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    rask_str text = rask_string(row, 0), word;

    (void)ctx;
    while (rask_next_word(&text, &word)) {
        struct count one = {word, 1};
        int rc = count_emit(out, &one);

        if (rc)
            return rc;
    }
    return 0;
}

/* Not CSV: that would put a word with a comma or a quote in quotes. */
static int to_line(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct count c = count_at(row);
    char *text = rask_alloc(ctx, c.word.len + 32);
    struct line line = {{text, c.word.len}};

    memcpy(text, c.word.data, c.word.len); /* a word may hold any byte, also NUL */
    line.text.len += (uint32_t)snprintf(text + c.word.len, 32, ",%" PRId64, c.n);
    return line_emit(out, &line);
}

int rask_job(rask_env *env, const rask_params *params)
{
    rask_stream *lines = rask_read_text(env, rask_param(params, "input", "-"));
    rask_stream *words = rask_name(rask_flat_map(lines, split, &count_schema), "split");
    rask_stream *counts = rask_name(rask_sum(rask_key_by(words, "word"), "n"), "count");
    const char *output = rask_param(params, "output", NULL);

    if (output) {
        rask_stream *texts = rask_name(rask_map(counts, to_line, &line_schema), "to line");

        rask_set_parallelism(rask_write_text(texts, output), 1); /* one file */
    } else {
        rask_print(counts);
    }
    return rask_execute(env, "word count");
}
