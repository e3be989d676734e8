/*
 * regions.h - which subtasks of a job fail and start again together.
 *
 * A pipelined region is a connected component of subtasks over the channels that carry rows: rows
 * that a failed task has sent or taken are known to its region alone.  Everybody who has the job
 * graph computes the same regions with the same numbers.  Pure.
 *
 * Splits are no rows: an enumerator remembers what it has given to whom, so a reader starts again
 * without it, but not it without its readers, who would get other splits then.  So it is a region of
 * its own when its readers are in several; when they are in one they are with it.
 */
#ifndef GRAPH_REGIONS_H
#define GRAPH_REGIONS_H

#include <stdbool.h>

#include "proto/graph.pb-c.h"

struct graph_split_region { /* an enumerator, which is alone in its region, and a region with readers */
    uint32_t vertex, enumerator, readers;
};

struct graph_regions {
    uint32_t vertex_count, count;
    uint32_t **of;   /* [vertex][subtask] -> region; numbered in the order of first sight */
    uint32_t *sizes; /* [region] -> subtasks */
    struct graph_split_region *splits; /* each pair once */
    uint32_t split_count;
};

/* job: valid, borrowed during the call. */
void graph_regions_init(struct graph_regions *r, const Rask__Graph__JobGraph *job);
void graph_regions_release(struct graph_regions *r);
/* It is an enumerator whose readers may start again without it. */
bool graph_gives_splits(const struct graph_regions *r, uint32_t vertex);

/*
 * Which target subtasks source subtask `source` sends to: [*ret_first, *ret_first + *ret_count).
 * Flink's pointwise and all-to-all patterns.
 */
void graph_edge_targets(Rask__Graph__Partitioner p, uint32_t source, uint32_t sources,
                        uint32_t targets, uint32_t *ret_first, uint32_t *ret_count);

#endif
