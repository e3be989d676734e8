/*
 * shuffle.c - the exchange by key between two threads: each makes the rows of one split, parts them by a hash of column a
 * into batches of its own and batches for the other, which go through a ring, and adds up what it gets.
 *
 *     shuffle --rows N
 */
#include "bench/c/ring.h"

enum { RUN = 256 }; /* rows parted at a time, without a look at the limits */

static struct ring rings[2]; /* rings[i]: for thread i */
static atomic_int made;

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
    atomic_fetch_add(&made, 1);
    while (ring_add_up(in, &sum) || atomic_load(&made) < 2)
        ;
    while (ring_add_up(in, &sum))
        ;
    t->sum = sum;
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t rows = bench_option(argc, argv, "rows", 400000000);
    double begin = bench_seconds();
    struct thread threads[2] = {{.split = row4_split_of(0, 2, rows, 0)}, {.split = row4_split_of(1, 2, rows, 0)}};

    ring_init(&rings[0]);
    ring_init(&rings[1]);
    bench_threads(2, exchange, threads, sizeof(threads[0]));
    ring_release(&rings[0]);
    ring_release(&rings[1]);
    return bench_tell(rows, threads[0].sum + threads[1].sum, bench_seconds() - begin);
}
