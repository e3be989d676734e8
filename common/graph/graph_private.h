/* graph_private.h - the decided graph, shared by compile.c and plan.c. */
#ifndef GRAPH_GRAPH_PRIVATE_H
#define GRAPH_GRAPH_PRIVATE_H

#include "common/graph/graph.h"

#define GRAPH_ID_LEN 16

/* What graph_decide found for a node. Index: id - 1. */
struct decided {
    uint32_t parallelism, max_parallelism;
    const char *slot_group;
    uint8_t id[GRAPH_ID_LEN];
    /* indices into graph.edges, in their order */
    uint32_t *in, *out;
    uint32_t in_count, out_count;
};

struct decision {
    const Rask__Graph__StreamGraph *graph;
    struct decided *nodes;
    Rask__Graph__Partitioner *partitioners; /* by edge */
    bool chaining, chain_different_max;
};

/* Of a validated graph; everything in the arena. */
int graph_decide(const Rask__Graph__StreamGraph *graph, const struct graph_options *options,
                 struct arena *arena, struct decision *ret, struct err *err) MUST_CHECK;
/* May the edge be a function call? Flink's conditions. */
bool graph_chainable(const struct decision *d, uint32_t edge);
/* SHA-256 over a kind and bytes, cut to 16. */
void graph_hash_id(char kind, const void *data, size_t len, uint8_t ret[GRAPH_ID_LEN]);

#endif
