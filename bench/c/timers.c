/*
 * timers.c - the timers of bench/jobs/timers.c without an engine: each thread puts those of one split into a binary heap, then
 * takes them out in order of time.
 *
 *     timers --timers N --keys K --span MS --ahead MS --splits 2
 */
#include "bench/c/bench.h"
#include "bench/rows.h"

struct timer {
    uint64_t at, key;
};
struct part {
    uint64_t number, splits, count, keys, span, ahead, checksum;
    char padding[64];
};

static void push(struct timer *h, uint64_t i, struct timer t)
{
    for (; i > 0 && t.at < h[(i - 1) / 2].at; i = (i - 1) / 2)
        h[i] = h[(i - 1) / 2];
    h[i] = t;
}

static struct timer pop(struct timer *h, uint64_t count)
{
    struct timer top = h[0], t = h[count - 1];
    uint64_t i = 0, child;

    for (count--; (child = 2 * i + 1) < count; i = child) {
        child += child + 1 < count && h[child + 1].at < h[child].at;
        if (t.at <= h[child].at)
            break;
        h[i] = h[child];
    }
    h[i] = t;
    return top;
}

static void *run_part(void *arg)
{
    struct part *p = arg;
    struct timer *heap = bench_memory((p->count + 1) * sizeof(*heap));

    for (uint64_t i = 0; i < p->count; i++)
        push(heap, i, (struct timer){i * p->span / p->count + p->ahead, (i * p->splits + p->number) % p->keys});
    for (uint64_t left = p->count; left > 0; left--) {
        struct timer t = pop(heap, left);

        p->checksum += row4_check(t.key, t.at, 0, 0);
    }
    munmap(heap, (p->count + 1) * sizeof(*heap));
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t timers = bench_option(argc, argv, "timers", 10000000), splits = bench_option(argc, argv, "splits", 2), checksum = 0;
    struct part *parts = calloc(splits, sizeof(*parts));
    double begin = bench_seconds();

    if (!parts)
        return 1;
    for (uint64_t i = 0; i < splits; i++)
        parts[i] = (struct part){.number = i, .splits = splits, .count = timers / splits,
                                 .keys = bench_option(argc, argv, "keys", 10000000),
                                 .span = bench_option(argc, argv, "span", 600000),
                                 .ahead = bench_option(argc, argv, "ahead", 600000)};
    bench_threads(splits, run_part, parts, sizeof(*parts));
    for (uint64_t i = 0; i < splits; i++)
        checksum += parts[i].checksum;
    free(parts);
    return bench_tell(timers / splits * splits, checksum, bench_seconds() - begin);
}
