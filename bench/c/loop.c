/*
 * loop.c - rows made, mapped and added up by one thread: what "generator, map, discard" costs without an engine.
 *
 *     loop --rows N --splits 2 --maps 0|1|10 --way batches|fused
 *
 * batches: each step is a loop of its own over 4,096 rows in memory, column by column, as rows are handed from function to
 * function.  fused: one loop, in which no row ever reaches memory.
 */
#include "bench/c/bench.h"
#include "bench/rows.h"

enum { BATCH = 4096 };

static uint64_t column_a[BATCH], column_b[BATCH], column_c[BATCH], column_d[BATCH];

static __attribute__((noinline)) void make(uint64_t number, uint64_t first, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct row4 r = row4_plain(number, first + i);

        column_a[i] = r.a;
        column_b[i] = r.b;
        column_c[i] = r.c;
        column_d[i] = r.d;
    }
}

static __attribute__((noinline)) void map(size_t n)
{
    for (size_t i = 0; i < n; i++)
        column_d[i] = row4_map(column_c[i], column_d[i]);
}

static __attribute__((noinline)) uint64_t add_up(size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += row4_check(column_a[i], column_b[i], column_c[i], column_d[i]);
    return sum;
}

static uint64_t in_batches(const struct row4_split *s, uint64_t maps)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < s->rows; i += BATCH) {
        size_t n = s->rows - i < BATCH ? s->rows - i : BATCH;

        make(s->number, i, n);
        for (uint64_t m = 0; m < maps; m++)
            map(n);
        sum += add_up(n);
    }
    return sum;
}

/* maps is a constant at each call, so the compiler sees the whole of the loop. */
static inline __attribute__((always_inline)) uint64_t fused(const struct row4_split *s, int maps)
{
    uint64_t number = s->number, rows = s->rows, sum = 0;

    for (uint64_t i = 0; i < rows; i++) {
        struct row4 r = row4_plain(number, i);

        for (int m = 0; m < maps; m++)
            r.d = row4_map(r.c, r.d);
        sum += row4_check(r.a, r.b, r.c, r.d);
    }
    return sum;
}

int main(int argc, char **argv)
{
    uint64_t rows = bench_option(argc, argv, "rows", 400000000), splits = bench_option(argc, argv, "splits", 2);
    uint64_t maps = bench_option(argc, argv, "maps", 1), sum = 0;
    bool batches = strcmp(bench_word(argc, argv, "way", "fused"), "batches") == 0;
    double begin = bench_seconds();

    for (uint64_t number = 0; number < splits; number++) {
        struct row4_split s = row4_split_of(number, splits, rows, 0);

        if (batches)
            sum += in_batches(&s, maps);
        else
            sum += maps == 10 ? fused(&s, 10) : maps == 1 ? fused(&s, 1) : fused(&s, 0);
    }
    return bench_tell(rows, sum, bench_seconds() - begin);
}
