/*
 * regions.h - which subtasks of a job fail and start again together.
 *
 * A pipelined region is a connected component of subtasks over the channels that carry rows: rows
 * that a failed task has sent or taken are known to its region alone.  Everybody who has the job
 * graph computes the same regions with the same numbers.  Pure.
 */
#ifndef GRAPH_REGIONS_H
#define GRAPH_REGIONS_H

#include "proto/graph.pb-c.h"

struct graph_regions {
    uint32_t vertex_count, count;
    uint32_t **of;   /* [vertex][subtask] -> region; numbered in the order of first sight */
    uint32_t *sizes; /* [region] -> subtasks */
};

/* job: valid, borrowed during the call. */
void graph_regions_init(struct graph_regions *r, const Rask__Graph__JobGraph *job);
void graph_regions_release(struct graph_regions *r);

/*
 * Which target subtasks source subtask `source` sends to: [*ret_first, *ret_first + *ret_count).
 * Flink's pointwise and all-to-all patterns.
 */
void graph_edge_targets(Rask__Graph__Partitioner p, uint32_t source, uint32_t sources,
                        uint32_t targets, uint32_t *ret_first, uint32_t *ret_count);

#endif
