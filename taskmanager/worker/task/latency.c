/* latency.c - see latency.h. */
#include "taskmanager/worker/task/latency.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

#define TIME_BITS 38
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)
#define SUBTASK_BITS 15
#define SUBTASK_MASK ((1u << SUBTASK_BITS) - 1)
#define CLOCKS_US (UINT64_C(1) << (TIME_BITS - 1)) /* an age of more than half the range is one before the start */

int64_t wk_marker_pack(const struct wk_marker *m)
{
    uint64_t value = (uint64_t)m->vertex << (TIME_BITS + SUBTASK_BITS);

    CHECK(m->vertex < 2048);
    CHECK(m->subtask <= SUBTASK_MASK);
    value |= (uint64_t)m->subtask << TIME_BITS | (m->at_us & TIME_MASK);
    return (int64_t)value;
}

struct wk_marker wk_marker_unpack(int64_t value, uint64_t now_us)
{
    uint64_t v = (uint64_t)value, age = (now_us - v) & TIME_MASK;

    if (age > CLOCKS_US) /* from a clock that is ahead of ours */
        age = 0;
    return (struct wk_marker){.vertex = (uint32_t)(v >> (TIME_BITS + SUBTASK_BITS)),
                              .subtask = (uint32_t)(v >> TIME_BITS) & SUBTASK_MASK,
                              .at_us = now_us - age};
}

void wk_latency_release(struct wk_latency *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        mem_free(l->of[i].age_us);
    mem_free(l->of);
    *l = (struct wk_latency){0};
}

static struct wk_latency_of *find(struct wk_latency *l, uint32_t vertex, uint32_t subtask)
{
    struct wk_latency_of *of;

    for (uint32_t i = 0; i < l->count; i++)
        if (l->of[i].vertex == vertex && l->of[i].subtask == subtask)
            return &l->of[i];
    if (l->count == WK_LATENCY_SOURCES_MAX)
        return NULL;
    l->of = mem_realloc(l->of, (l->count + 1) * sizeof(*l->of));
    of = &l->of[l->count++];
    *of = (struct wk_latency_of){.vertex = vertex, .subtask = subtask};
    of->age_us = mem_alloc_array(l->room, sizeof(*of->age_us));
    return of;
}

void wk_latency_add(struct wk_latency *l, enum wk_granularity granularity, uint32_t room, const struct wk_marker *marker,
                    uint64_t now_us)
{
    struct wk_latency_of *of;

    CHECK(room > 0);
    l->room = room;
    of = find(l, granularity == WK_PER_OPERATOR ? UINT32_MAX : marker->vertex,
              granularity == WK_PER_SOURCE_SUBTASK ? marker->subtask : UINT32_MAX);
    if (!of)
        return;
    of->age_us[of->next] = now_us - marker->at_us;
    of->next = (of->next + 1) % room;
    of->count = MIN(of->count + 1, room);
}

static int by_age(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Between the two nearest ranks, as Flink's histograms do (position p (n + 1)). */
static double quantile(const uint64_t *sorted, uint32_t n, double p)
{
    double position = p * (n + 1), whole = floor(position);
    uint32_t rank = (uint32_t)whole;

    if (position < 1)
        return (double)sorted[0];
    if (rank >= n)
        return (double)sorted[n - 1];
    return (double)sorted[rank - 1] + (position - whole) * ((double)sorted[rank] - (double)sorted[rank - 1]);
}

void wk_latency_stats(const struct wk_latency_of *of, double ret[WK_LATENCY_STATS])
{
    static const double p[] = {0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.999};
    uint64_t *sorted;
    double mean = 0, square = 0;

    memset(ret, 0, WK_LATENCY_STATS * sizeof(*ret));
    if (of->count == 0)
        return;
    sorted = mem_dup(of->age_us, of->count * sizeof(*sorted));
    qsort(sorted, of->count, sizeof(*sorted), by_age);
    for (uint32_t i = 0; i < of->count; i++)
        mean += (double)sorted[i] / of->count;
    for (uint32_t i = 0; i < of->count; i++)
        square += ((double)sorted[i] - mean) * ((double)sorted[i] - mean);
    ret[0] = (double)sorted[0];
    ret[1] = (double)sorted[of->count - 1];
    ret[2] = mean;
    ret[3] = of->count > 1 ? sqrt(square / (of->count - 1)) : 0;
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        ret[4 + i] = quantile(sorted, of->count, p[i]);
    for (int i = 0; i < WK_LATENCY_STATS; i++)
        ret[i] /= 1000;
    mem_free(sorted);
}
