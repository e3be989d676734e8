/*
 * sum.c - the keyed sum without an exchange: each thread makes the rows of one split, whose keys nobody else has, and keeps
 * its own table; each row gives an updated row (key, sum so far, and the columns c and d of the key's first row).
 *
 *     sum --rows N --keys K --splits 2 --columns 4
 *
 * With 2 columns it is (key, sum so far) alone; and with --fill 1 a row for each key comes first, which adds 1.
 */
#include "bench/c/bench.h"
#include "bench/rows.h"

enum { RUN = 16 }; /* rows whose slots are fetched ahead */

struct slot {
    uint64_t key; /* plus 1; 0: free */
    uint64_t sum, c, d;
};

struct part {
    struct row4_split split;
    uint64_t checksum, fill;
    char padding[64];
};

static struct slot *find(struct slot *table, uint64_t mask, uint64_t at, uint64_t key)
{
    while (table[at].key && table[at].key != key + 1)
        at = (at + 1) & mask;
    return &table[at];
}

static uint64_t add(struct slot *s, const struct row4 *r)
{
    if (!s->key) {
        s->key = r->a + 1;
        s->c = r->c;
        s->d = r->d;
    }
    s->sum += r->b;
    return row4_check(r->a, s->sum, s->c, s->d);
}

struct pair {
    uint64_t key; /* plus 1; 0: free */
    uint64_t sum;
};

static uint64_t add_pair(struct pair *table, uint64_t mask, uint64_t at, const struct row4 *r)
{
    while (table[at].key && table[at].key != r->a + 1)
        at = (at + 1) & mask;
    table[at].key = r->a + 1;
    table[at].sum += r->b;
    return row4_check(r->a, table[at].sum, 0, 0);
}

static void *sum_pairs(void *arg)
{
    struct part *part = arg;
    const struct row4_split *s = &part->split;
    uint64_t slots = 1024, mask, checksum = 0;
    struct pair *table;
    int shift = 54;

    for (; slots < 2 * (s->keys / s->count); slots *= 2)
        shift--;
    mask = slots - 1;
    table = bench_memory(slots * sizeof(*table));
    for (uint64_t i = 0; i < part->fill; i++) {
        struct row4 r = {.a = i * s->count + s->number, .b = 1};

        checksum += add_pair(table, mask, r.a * ROWS_GOLDEN >> shift, &r);
    }
    for (uint64_t i = 0; i < s->rows; i += RUN) {
        uint64_t n = s->rows - i < RUN ? s->rows - i : RUN, at[RUN];
        struct row4 rows[RUN];

        for (uint64_t j = 0; j < n; j++) {
            rows[j] = row4_keyed(s->number, s->count, s->keys, i + j);
            at[j] = rows[j].a * ROWS_GOLDEN >> shift;
            __builtin_prefetch(&table[at[j]], 1);
        }
        for (uint64_t j = 0; j < n; j++)
            checksum += add_pair(table, mask, at[j], &rows[j]);
    }
    munmap(table, slots * sizeof(*table));
    part->checksum = checksum;
    return NULL;
}

static void *sum_split(void *arg)
{
    struct part *part = arg;
    const struct row4_split *s = &part->split;
    uint64_t slots = 1024, mask, checksum = 0;
    struct slot *table;
    int shift = 54;

    for (; slots < 2 * (s->keys / s->count); slots *= 2)
        shift--;
    mask = slots - 1;
    table = bench_memory(slots * sizeof(*table));
    for (uint64_t i = 0; i < s->rows; i += RUN) {
        uint64_t n = s->rows - i < RUN ? s->rows - i : RUN, at[RUN];
        struct row4 rows[RUN];

        for (uint64_t j = 0; j < n; j++) {
            rows[j] = row4_keyed(s->number, s->count, s->keys, i + j);
            at[j] = rows[j].a * ROWS_GOLDEN >> shift;
            __builtin_prefetch(&table[at[j]], 1);
        }
        for (uint64_t j = 0; j < n; j++)
            checksum += add(find(table, mask, at[j], rows[j].a), &rows[j]);
    }
    munmap(table, slots * sizeof(*table));
    part->checksum = checksum;
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t rows = bench_option(argc, argv, "rows", 100000000), splits = bench_option(argc, argv, "splits", 2);
    uint64_t keys = bench_option(argc, argv, "keys", 1000000), checksum = 0;
    uint64_t fill = bench_option(argc, argv, "fill", 0) ? keys / splits : 0;
    struct part *parts = calloc(splits, sizeof(*parts));
    double begin = bench_seconds();

    if (!parts || keys < splits)
        return 1;
    for (uint64_t i = 0; i < splits; i++) {
        parts[i].split = row4_split_of(i, splits, rows, keys);
        parts[i].fill = fill;
    }
    bench_threads(splits, bench_option(argc, argv, "columns", 4) == 2 ? sum_pairs : sum_split, parts, sizeof(*parts));
    for (uint64_t i = 0; i < splits; i++)
        checksum += parts[i].checksum;
    free(parts);
    return bench_tell(rows + fill * splits, checksum, bench_seconds() - begin);
}
