/*
 * Counts words: runs of anything but ASCII white space, as they are written.
 *
 *     rask run examples/wordcount.c --input FILE [--output FILE]
 *
 * Each word gives an updated line "word,count"; the last one of a word is its total.  Without
 * --output they are printed.
 */
#include <rask/rask.h>

RASK_ROW(count, (STRING, word), (BIGINT, n));

static int split(rask_ctx *ctx, const rask_row *line, rask_out *out)
{
    rask_str text = rask_string(line, 0), word;

    (void)ctx;
    while (rask_next_word(&text, &word)) {
        struct count one = {word, 1};
        int rc = count_emit(out, &one);

        if (rc)
            return rc;
    }
    return 0;
}

int rask_job(rask_env *env, const rask_params *params)
{
    rask_stream *lines = rask_read_text(env, rask_param(params, "input", "-"));
    rask_stream *words = rask_name(rask_flat_map(lines, split, &count_schema), "split");
    rask_stream *counts = rask_name(rask_sum(rask_key_by(words, "word"), "n"), "count");
    const char *output = rask_param(params, "output", NULL);

    if (output)
        rask_set_parallelism(rask_write_csv(counts, output), 1); /* one file */
    else
        rask_print(counts);
    return rask_execute(env, "word count");
}
