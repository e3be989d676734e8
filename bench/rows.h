/*
 * rows.h - the rows of the micro-benchmarks: four BIGINT, 32 bytes, and what results are compared by.
 *
 * A stream is cut into splits; split s is a sequence of its own, so that any program makes the same rows with any number
 * of threads.  Plain rows have keys that hardly repeat; keyed ones have `keys` different keys over all splits, and no
 * two splits share one: the running sums of a key do not depend on how splits are mixed.
 * Included by the jobs and by the programs that they are compared with, and compiled with the same options in both.
 */
#ifndef RASK_BENCH_ROWS_H
#define RASK_BENCH_ROWS_H

#include <stdint.h>

#define ROWS_GOLDEN 0x9e3779b97f4a7c15u

struct row4 {
    uint64_t a, b, c, d;
};

struct row4_split {
    uint64_t number, count; /* this split, and how many there are */
    uint64_t rows;          /* of this split */
    uint64_t keys;          /* of all splits; 0: plain rows */
};

static inline struct row4_split row4_split_of(uint64_t number, uint64_t count, uint64_t rows, uint64_t keys)
{
    struct row4_split s = {number, count, rows / count + (number < rows % count), keys};

    return s;
}

static inline struct row4 row4_plain(uint64_t split, uint64_t i)
{
    uint64_t x = 42 + split + (i + 1) * ROWS_GOLDEN;
    struct row4 r = {x ^ x >> 29, x, i, x ^ i};

    return r;
}

static inline uint64_t row4_mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* a: the key, b: the value to be added, c and d: others.  keys >= count. */
static inline struct row4 row4_keyed(uint64_t number, uint64_t count, uint64_t keys, uint64_t i)
{
    uint64_t z = row4_mix(42 + number + (i + 1) * ROWS_GOLDEN);
    struct row4 r = {((z >> 32) * (keys / count) >> 32) * count + number, z & 0xffff, i, z};

    return r;
}

static inline struct row4 row4_at(const struct row4_split *s, uint64_t i)
{
    return s->keys ? row4_keyed(s->number, s->count, s->keys, i) : row4_plain(s->number, i);
}

/* What one map does to column d. */
static inline uint64_t row4_map(uint64_t c, uint64_t d)
{
    return (d ^ c) + 7;
}

/* All cells of a row; rows are added up, so their order does not matter. */
static inline uint64_t row4_check(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return a ^ (b << 9 | b >> 55) ^ (c << 23 | c >> 41) ^ (d << 41 | d >> 23);
}

#endif
