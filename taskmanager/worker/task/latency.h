/*
 * latency.h - latency markers: how long it takes from a source to each operator.
 *
 * A source sends a marker with its time every metrics.latency.interval; it travels behind the rows that were before it, down
 * one channel of each edge in turn, and every operator that it passes keeps how old it was.  As in Flink it says how
 * long rows wait, not how long functions take; the clocks of two hosts are compared as they are.
 * Thread: markers are made and recorded in the task's step; the owner guards histograms that others read.
 */
#ifndef WK_LATENCY_H
#define WK_LATENCY_H

#include <stdbool.h>
#include <stdint.h>

/* metrics.latency.granularity: what has a histogram of its own at an operator */
enum wk_granularity { WK_PER_OPERATOR, WK_PER_SOURCE, WK_PER_SOURCE_SUBTASK };

struct wk_marker {
    uint32_t vertex, subtask; /* of the source: below 2048 and 32768 */
    uint64_t at_us;           /* Unix time; 38 bits travel, three days */
};
/* The value of a WK_LATENCY element. */
int64_t wk_marker_pack(const struct wk_marker *marker);
/* now_us: not before at_us, but for clocks that differ. */
struct wk_marker wk_marker_unpack(int64_t value, uint64_t now_us);

#define WK_LATENCY_SOURCES_MAX 1024 /* histograms of an operator; further sources are not recorded */

struct wk_latency_of { /* of one source, the last `room` ages */
    uint32_t vertex, subtask; /* UINT32_MAX: of all */
    uint32_t count, next;
    uint64_t *age_us;         /* owned; room of the histograms */
};
struct wk_latency { /* histograms of one operator; zero-initialised: none */
    struct wk_latency_of *of;
    uint32_t count;
    uint32_t room;
};
void wk_latency_release(struct wk_latency *l);
void wk_latency_add(struct wk_latency *l, enum wk_granularity granularity, uint32_t room, const struct wk_marker *marker,
                    uint64_t now_us);

/* In the order of Flink's suffixes: min max mean stddev median p75 p90 p95 p98 p99 p999; milliseconds. */
#define WK_LATENCY_STATS 11
void wk_latency_stats(const struct wk_latency_of *of, double ret[WK_LATENCY_STATS]);

#endif
