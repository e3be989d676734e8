/*
 * shuffle.c - the exchange by key between two threads: each makes the rows of one split, parts them by a hash of column a
 * into batches of its own and batches for the other, which go through a ring, and adds up what it gets.
 *
 *     shuffle --rows N --channels C --layout columns|rows
 *
 * Without --channels rows of 32 bytes go through rings of batches.  With it (2 to 256) each thread owns every second channel, and
 * rows are columns, as the engine's are (or rows of 32 bytes): a block of 256 for each channel, or more, is counted, put into the order of the channels, and each channel's part of it
 * handed over as a slice through a ring, or added up at once where the thread owns it.
 */
#include "bench/c/slices.h"

enum { RUN = 256 }; /* rows parted at a time, without a look at the limits */

static struct ring rings[2]; /* rings[i]: for thread i */
static atomic_int made_all;

struct thread {
    struct row4_split split;
    uint64_t sum;
    char padding[64];
};

static uint64_t add_up(const struct row4 *rows, size_t count)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += row4_check(rows[i].a, rows[i].b, rows[i].c, rows[i].d);
    return sum;
}

static void *exchange(void *arg)
{
    struct thread *t = arg;
    uint64_t me = t->split.number, sum = 0;
    struct ring *in = &rings[me], *out = &rings[!me];
    struct row4 *own = bench_memory(RING_ROWS * sizeof(*own)), *other = ring_to_fill(out);
    size_t owned = 0, others = 0;

    for (uint64_t i = 0; i < t->split.rows;) {
        uint64_t n = t->split.rows - i < RUN ? t->split.rows - i : RUN;

        for (uint64_t j = 0; j < n; j++, i++) {
            struct row4 r = row4_plain(me, i);
            size_t away = (size_t)((r.a * ROWS_GOLDEN >> 63) ^ me);

            other[others] = r; /* written to both: no branch that depends on the data */
            others += away;
            own[owned] = r;
            owned += !away;
        }
        if (owned > RING_ROWS - RUN - 1) {
            sum += add_up(own, owned);
            owned = 0;
        }
        if (others > RING_ROWS - RUN - 1 || i == t->split.rows) {
            ring_push(out, others);
            others = 0;
            while (!(other = ring_to_fill(out)))
                if (!ring_add_up(in, &sum))
                    ring_pause();
        }
        while (ring_add_up(in, &sum))
            ;
    }
    sum += add_up(own, owned);
    munmap(own, RING_ROWS * sizeof(*own));
    atomic_fetch_add(&made_all, 1);
    while (ring_add_up(in, &sum) || atomic_load(&made_all) < 2)
        ;
    while (ring_add_up(in, &sum))
        ;
    t->sum = sum;
    return NULL;
}

/* ---- many channels ---- */

static struct slices handed[2]; /* handed[i]: to thread i */
static uint32_t channels;
static bool in_rows;

static uint32_t channel_of(uint64_t a)
{
    return (uint32_t)((a * ROWS_GOLDEN >> 32) * channels >> 32);
}

/* Which channel each row goes to, and how many each gets. */
static void make_rows(const struct thread *t, uint64_t first, uint32_t rows, struct cells made, uint16_t *channel, uint32_t *count)
{
    for (uint32_t i = 0; i < rows; i++) {
        struct row4 r = row4_plain(t->split.number, first + i);

        made.column[0][i] = r.a;
        made.column[1][i] = r.b;
        made.column[2][i] = r.c;
        made.column[3][i] = r.d;
    }
    for (uint32_t i = 0; i < rows; i++)
        channel[i] = (uint16_t)channel_of(made.column[0][i]);
    if (channels == 2) {
        uint32_t second = 0;

        for (uint32_t i = 0; i < rows; i++)
            second += channel[i];
        count[0] += rows - second;
        count[1] += second;
        return;
    }
    for (uint32_t i = 0; i < rows; i++)
        count[channel[i]]++;
}

static inline void put(struct cells made, uint32_t i, struct block *block, uint32_t at)
{
    if (in_rows) {
        block->rows[at] = (struct row4){made.column[0][i], made.column[1][i], made.column[2][i], made.column[3][i]};
        return;
    }
    block->cells.column[0][at] = made.column[0][i];
    block->cells.column[1][at] = made.column[1][i];
    block->cells.column[2][at] = made.column[2][i];
    block->cells.column[3][at] = made.column[3][i];
}

/* With two channels where the next row goes stays in registers. */
static void part_two(struct cells made, uint32_t rows, const uint16_t *channel, uint32_t *next, struct block *block)
{
    uint32_t first = next[0], second = next[1];

    for (uint32_t i = 0; i < rows; i++) {
        put(made, i, block, channel[i] ? second : first);
        second += channel[i];
        first += !channel[i];
    }
    next[0] = first;
    next[1] = second;
}

static void part(struct cells made, uint32_t rows, const uint16_t *channel, uint32_t *next, struct block *block)
{
    if (channels == 2) {
        part_two(made, rows, channel, next, block);
        return;
    }
    for (uint32_t i = 0; i < rows; i++)
        put(made, i, block, next[channel[i]]++);
}

static uint64_t add_up_slice(const struct slice *s)
{
    const struct row4 *r = s->block->rows + s->first;
    uint64_t *const *c = s->block->cells.column, sum = 0;

    if (in_rows)
        return add_up(r, s->rows);
    for (uint32_t i = s->first; i < s->first + s->rows; i++)
        sum += row4_check(c[0][i], c[1][i], c[2][i], c[3][i]);
    return sum;
}

/* The next slice that the other thread has handed over, if there is one. */
static bool take_slice(struct slices *in, uint64_t *sum)
{
    const struct slice *s = slices_next(in);

    if (!s)
        return false;
    *sum += add_up_slice(s);
    slices_done(in);
    return true;
}

static void hand_over(uint64_t me, struct block *block, const uint32_t *end, uint64_t *sum)
{
    uint32_t away = 0;

    for (uint32_t c = 0; c < channels; c++)
        away += c % 2 != me && end[c] > (c > 0 ? end[c - 1] : 0);
    atomic_store_explicit(&block->away, away, memory_order_relaxed);
    for (uint32_t c = 0; c < channels; c++) {
        struct slice s = {block, c > 0 ? end[c - 1] : 0, 0};

        s.rows = end[c] - s.first;
        if (s.rows > 0 && c % 2 == me)
            *sum += add_up_slice(&s);
        while (s.rows > 0 && c % 2 != me && !slices_push(&handed[!me], &s))
            if (!take_slice(&handed[me], sum))
                ring_pause();
    }
}

static void *exchange_many(void *arg)
{
    struct thread *t = arg;
    uint64_t me = t->split.number, sum = 0;
    uint32_t rows_max = channels * SLICE_ROWS > BLOCK_ROWS_MIN ? channels * SLICE_ROWS : BLOCK_ROWS_MIN;
    struct block *blocks = blocks_new(rows_max);
    struct cells made = cells_new(rows_max);
    uint16_t *channel = bench_memory(rows_max * sizeof(*channel));

    for (uint64_t i = 0, turn = 0; i < t->split.rows; turn++) {
        uint32_t n = t->split.rows - i < rows_max ? (uint32_t)(t->split.rows - i) : rows_max;
        uint32_t count[CHANNELS_MAX] = {0}, next[CHANNELS_MAX], at = 0;
        struct block *block = &blocks[turn % BLOCKS];

        for (uint32_t c; at < n; at += c) { /* a batch stays in the first-level cache while its channels are looked for */
            c = n - at < RUN * 4 ? n - at : RUN * 4;
            make_rows(t, i + at, c, cells_from(made, at), channel + at, count);
        }
        at = 0;
        for (uint32_t c = 0; c < channels; at += count[c++])
            next[c] = at;
        while (atomic_load_explicit(&block->away, memory_order_acquire) > 0)
            if (!take_slice(&handed[me], &sum))
                ring_pause();
        part(made, n, channel, next, block);
        hand_over(me, block, next, &sum);
        while (take_slice(&handed[me], &sum))
            ;
        i += n;
    }
    atomic_fetch_add(&made_all, 1);
    while (take_slice(&handed[me], &sum) || atomic_load(&made_all) < 2)
        ;
    while (take_slice(&handed[me], &sum))
        ;
    t->sum = sum;
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t rows = bench_option(argc, argv, "rows", 400000000);
    double begin = bench_seconds();
    struct thread threads[2] = {{.split = row4_split_of(0, 2, rows, 0)}, {.split = row4_split_of(1, 2, rows, 0)}};

    bool many = bench_word(argc, argv, "channels", NULL) != NULL;

    channels = (uint32_t)bench_option(argc, argv, "channels", 2);
    in_rows = strcmp(bench_word(argc, argv, "layout", "columns"), "rows") == 0;
    if (channels < 2 || channels > CHANNELS_MAX) {
        fprintf(stderr, "shuffle: --channels is from 2 to %d\n", CHANNELS_MAX);
        return 1;
    }
    ring_init(&rings[0]);
    ring_init(&rings[1]);
    bench_threads(2, many ? exchange_many : exchange, threads, sizeof(threads[0]));
    ring_release(&rings[0]);
    ring_release(&rings[1]);
    return bench_tell(rows, threads[0].sum + threads[1].sum, bench_seconds() - begin);
}
