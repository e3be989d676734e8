/*
 * wordcount.c - the word count that is measured: one update per word, and all of them into a checksum.
 *
 *     rask run wordcount.so --input FILE [--merge]
 *
 * Words are runs of [A-Za-z0-9_], lower-cased.  The accumulators "updates" and "checksum" (checksum.h) are to equal those
 * of bench/c/wordcount.c.  --merge: updates are merged (rask_merge_updates), so which of them come out depends on time;
 * "words" and "checksum" are then of the last update of each word.
 */
#include <stdlib.h>

#include <rask/rask.h>

#include "bench/checksum.h"

RASK_ROW(count, (STRING, word), (BIGINT, n));

enum { TEXT = 64 * 1024 };

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

/* A batch with room for a word, which refers to the text by the returned number. */
static int make_room(rask_op *op, struct words *w, uint32_t *ret_number)
{
    int rc = w->batch && w->rows == RASK_BATCH_ROWS_MAX ? send(op, w) : 0;

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
    int rc = 0;

    text = lower(op, w, text);
    while (rc == 0 && text.len > 0) {
        uint32_t n, number;

        rc = make_room(op, w, &number);
        if (rc == 0) {
            rask_view *words = (rask_view *)w->batch->columns[count_col_word].data + w->rows;
            int64_t *ones = (int64_t *)w->batch->columns[count_col_n].data + w->rows;

            n = rask_next_name_cells(&text, w->text, number, words, RASK_BATCH_ROWS_MAX - w->rows);
            for (uint32_t i = 0; i < n; i++)
                ones[i] = 1;
            w->rows += n;
        }
    }
    return rc;
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
    if (rc == 0 && w.batch && w.rows > 0)
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

/*
 * checksum_word of a word that lies in its cell, whose two words these are: both of what is done with 8 bytes and more and
 * with fewer, and one of them taken, so that compilers turn a loop of it into vectors.  Of others something without meaning.
 */
static inline uint64_t checksum_cell(uint64_t low, uint64_t high)
{
    uint64_t len = (uint32_t)low, text = low >> 32 | high << 32, is_more = 0 - (uint64_t)(len >= 8);
    uint64_t h = (checksum_mix(len ^ text) & is_more) | (len & ~is_more);
    uint64_t part = (high >> 32 & is_more) | (text & ~is_more), left = len - (8 & is_more);
    uint64_t ends = (uint32_t)part | part >> 8 * ((left - 4) & 7) << 32;
    uint64_t few = (part & 255) | (part >> 8 * (left / 2 & 7) & 255) << 8 | (part >> 8 * ((left - 1) & 7) & 255) << 16;

    return checksum_mix(h ^ (left >= 4 ? ends : few));
}

struct __attribute__((may_alias, packed, aligned(4))) cell { /* a rask_view in two words */
    uint64_t low, high;
};

enum { RUN = 64 };

/* Reads rows that lie together, from row `from` on: checksum_word of their words, and their counts. Returns how many. */
static uint32_t read_run(const rask_batch *rows, uint32_t from, uint64_t checksum[RUN], const int64_t **ret_counts)
{
    uint32_t at = rask_position(rows, from), left = rows->rows - from, count = rows->sel ? 1 : left < RUN ? left : RUN;
    const rask_view *words = (const rask_view *)rows->columns[count_col_word].data + at;
    const struct cell *cells = (const struct cell *)(const void *)words;
    uint64_t is_long = 0;

    *ret_counts = (const int64_t *)rows->columns[count_col_n].data + at;
    for (uint32_t i = 0; i < count; i++)
        checksum[i] = checksum_cell(cells[i].low, cells[i].high);
    for (uint32_t i = 0; i < count; i++)
        is_long |= (uint64_t)((uint32_t)cells[i].low > 12) << i;
    for (; is_long; is_long &= is_long - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(is_long);
        rask_str word = rask_view_str(rows, &words[i]);

        checksum[i] = checksum_word(word.data, word.len);
    }
    return count;
}

static int add_updates(rask_ctx *ctx, const rask_batch *rows)
{
    struct sums *sums = rask_self(ctx);
    uint64_t checksum = 0, words[RUN];

    for (uint32_t i = 0, n; i < rows->rows; i += n) {
        const int64_t *counts;

        n = read_run(rows, i, words, &counts);
        for (uint32_t k = 0; k < n; k++)
            checksum += checksum_update(words[k], counts[k]);
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

/* ---- the last count of each word ---- */

struct last {
    uint64_t hash, count; /* count 0: free */
};

struct counts {
    struct last *slots;
    uint64_t mask, used, updates;
};

static struct last *slot_of(const struct counts *c, uint64_t hash)
{
    return &c->slots[(hash * 0x9e3779b97f4a7c15u) >> 32 & c->mask];
}

static struct last *find(const struct counts *c, uint64_t hash)
{
    struct last *at = slot_of(c, hash);

    while (at->count && at->hash != hash)
        at = at == c->slots + c->mask ? c->slots : at + 1;
    return at;
}

static int grow(rask_ctx *ctx, struct counts *c, uint64_t slots)
{
    struct counts old = *c;

    c->mask = slots - 1;
    c->slots = malloc(slots * sizeof(*c->slots));
    if (!c->slots)
        return rask_fail(ctx, "no memory for the last counts of %llu words", (unsigned long long)slots);
    memset(c->slots, 0, slots * sizeof(*c->slots)); /* calloc's pages would fault twice: read, then written */
    for (uint64_t i = 0; old.slots && i <= old.mask; i++)
        if (old.slots[i].count)
            *find(c, old.slots[i].hash) = old.slots[i];
    free(old.slots);
    return 0;
}

static int open_counts(rask_ctx *ctx)
{
    return grow(ctx, rask_self(ctx), 4096);
}

static int keep_last(rask_ctx *ctx, const rask_batch *rows)
{
    struct counts *c = rask_self(ctx);
    uint64_t words[RUN];

    for (uint32_t i = 0, n; i < rows->rows; i += n) {
        const int64_t *counts;

        n = read_run(rows, i, words, &counts);
        for (uint32_t k = 0; k < n; k++)
            __builtin_prefetch(slot_of(c, words[k]), 1);
        for (uint32_t k = 0; k < n; k++) {
            struct last *l = find(c, words[k]);

            if (l->count == 0 && ++c->used * 2 > c->mask) {
                if (grow(ctx, c, 2 * (c->mask + 1)) != 0)
                    return -1;
                l = find(c, words[k]);
            }
            *l = (struct last){words[k], (uint64_t)counts[k]};
        }
    }
    c->updates += rows->rows;
    return 0;
}

static int tell_last(rask_ctx *ctx)
{
    const struct counts *c = rask_self(ctx);
    uint64_t words = 0, checksum = 0;

    for (uint64_t i = 0; i <= c->mask; i++) {
        words += c->slots[i].count;
        checksum += c->slots[i].count ? checksum_update(c->slots[i].hash, (int64_t)c->slots[i].count) : 0;
    }
    rask_accumulate(ctx, "updates", (int64_t)c->updates);
    rask_accumulate(ctx, "words", (int64_t)words);
    rask_accumulate(ctx, "checksum", (int64_t)checksum);
    return 0;
}

static void close_counts(rask_ctx *ctx)
{
    free(((struct counts *)rask_self(ctx))->slots);
}

static const rask_sink last_sink = {
    .abi = RASK_ABI,
    .name = "last",
    .in = &count_schema,
    .self_size = sizeof(struct counts),
    .open = open_counts,
    .write = keep_last,
    .finish = tell_last,
    .close = close_counts,
};

int rask_job(rask_env *env, const rask_params *params)
{
    rask_stream *lines = rask_read_text(env, rask_param_required(params, "input"));
    rask_stream *words = rask_transform(lines, &splitter), *counts = rask_sum(rask_key_by(words, "word"), "n");

    if (rask_param_bool(params, "merge", false))
        rask_sink_to(rask_merge_updates(counts), &last_sink);
    else
        rask_sink_to(counts, &checksum_sink);
    return rask_execute(env, "word count, measured");
}
