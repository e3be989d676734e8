/*
 * histogram.h - how long things took, to 1.6 percent, and the line that latency programs print of it.
 * For bench/jobs/latency.c and bench/c/latency.c, which have to count alike.
 */
#ifndef RASK_BENCH_HISTOGRAM_H
#define RASK_BENCH_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define SUB_BITS 6 /* 64 buckets an octave */
#define SUBS (1u << SUB_BITS)
#define BUCKETS ((64 - SUB_BITS + 1) * SUBS)

struct histogram {
    uint64_t rows, max;
    uint32_t buckets[BUCKETS];
};

static inline int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static inline uint32_t bucket_of(uint64_t v)
{
    uint32_t shift;

    if (v < SUBS)
        return (uint32_t)v;
    shift = 63u - (uint32_t)__builtin_clzll(v) - SUB_BITS;
    return ((shift + 1) << SUB_BITS) + (uint32_t)((v >> shift) - SUBS);
}

static inline double value_of(uint32_t bucket) /* the middle of it */
{
    uint32_t shift = bucket >> SUB_BITS;

    if (shift == 0)
        return bucket;
    return ((double)(bucket % SUBS + SUBS) + 0.5) * (double)(1ull << (shift - 1));
}

static inline void record(struct histogram *h, int64_t ns)
{
    uint64_t v = ns > 0 ? (uint64_t)ns : 0;

    h->buckets[bucket_of(v)]++;
    h->rows++;
    h->max = v > h->max ? v : h->max;
}

static inline double quantile_us(const struct histogram *h, double q)
{
    uint64_t want = (uint64_t)((double)h->rows * q), seen = 0;

    for (uint32_t i = 0; i < BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > want)
            return value_of(i) / 1000;
    }
    return (double)h->max / 1000;
}

/* since: when rows were emitted; due: when they should have been. */
static inline void print_latency(const struct histogram *since, const struct histogram *due)
{
    printf("latency rows %llu p50 %.1f p90 %.1f p99 %.1f p99.9 %.1f max %.1f us, since due p50 %.1f p99 %.1f us\n",
           (unsigned long long)since->rows, quantile_us(since, 0.5), quantile_us(since, 0.9), quantile_us(since, 0.99),
           quantile_us(since, 0.999), (double)since->max / 1000, quantile_us(due, 0.5), quantile_us(due, 0.99));
    fflush(stdout);
}

#endif
