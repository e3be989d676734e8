/*
 * graph.h - from what the user wrote (StreamGraph) to what is deployed (JobGraph); Flink's plan
 * JSON.
 *
 * Pure functions over protobuf messages; no scheduling.  A StreamGraph that came over the network
 * is hostile until graph_validate has passed it.  Operator types and their properties: ops.h.
 */
#ifndef GRAPH_GRAPH_H
#define GRAPH_GRAPH_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "proto/graph.pb-c.h"

#define GRAPH_NODES_MAX       1000
#define GRAPH_EDGES_MAX       10000
#define GRAPH_PARALLELISM_MAX 32768
#define GRAPH_SUBTASKS_MAX    1000000 /* of a job, hidden ones included */
#define GRAPH_NAME_MAX        255     /* bytes of names, uids, slot groups, types, columns */
#define GRAPH_ARGS_MAX        (1024u * 1024u) /* bytes of OperatorSpec.args and of one property value */
#define GRAPH_PAYLOAD_MAX     (17u << 20)     /* bytes of OperatorSpec.payload */
#define GRAPH_PROPERTIES_MAX  1000            /* per list */

/*
 * Unpacks into an arena: nothing to free but the arena. ERR_CORRUPT for bytes that are no such
 * message.
 */
int graph_unpack(struct arena *arena, const void *data, size_t len, Rask__Graph__StreamGraph **ret,
                 struct err *err) MUST_CHECK;

/*
 * Ids are 1 .. n in order; edges lead from lower to higher ids (so there is no cycle); columns,
 * sides and inputs exist; the schemas at both ends of an edge are equal; limits and parallelisms
 * hold.  The text names the operators.
 */
int graph_validate(const Rask__Graph__StreamGraph *graph, struct err *err) MUST_CHECK;

struct graph_options {
    uint32_t client_parallelism;  /* -p; 0: not given */
    uint32_t default_parallelism; /* parallelism.default; 0 counts as 1 */
    uint32_t
        max_parallelism; /* pipeline.max-parallelism; 0: by Flink's formula, from the parallelism */
    bool chaining_disabled; /* pipeline.operator-chaining.enabled: false */
};
/*
 * Validates, then makes the job graph in `arena`; it refers to `graph`, which must live as long.
 * (*ret)->stream is a copy of the graph in which everything is decided: parallelism, max
 * parallelism, slot group, operator id of each node; partitioner of each edge.  Behind the nodes of
 * `graph` it has one node of type "source_enumerator" per source, with the source's spec.
 */
int graph_compile(const Rask__Graph__StreamGraph *graph, const struct graph_options *options,
                  struct arena *arena, Rask__Graph__JobGraph **ret, struct err *err) MUST_CHECK;

const Rask__Graph__StreamNode *graph_node(const Rask__Graph__StreamGraph *graph,
                                          uint32_t id);                   /* NULL: no such node */
const char *graph_partitioner_name(Rask__Graph__Partitioner partitioner); /* "FORWARD" */
/* Slots that a job needs: per slot group the greatest parallelism, summed. */
uint32_t graph_slots(const Rask__Graph__JobGraph *job);

/*
 * Flink's execution plan (`info`), byte for byte in its form, without the lines around it.
 * Validated graphs only.
 */
int graph_plan_json(const Rask__Graph__StreamGraph *graph, const struct graph_options *options,
                    struct bytes *out, struct err *err) MUST_CHECK;
/*
 * The plan object of the REST API: jid, name, type, nodes (sinks first). key: NULL inside an array.
 */
void graph_rest_plan_json(const Rask__Graph__JobGraph *job, const char *job_id,
                          struct json_writer *w, const char *key);
/* "counter<br/>+- Sink: print<br/>" */
void graph_vertex_description(const Rask__Graph__JobGraph *job, uint32_t vertex, struct bytes *out);

#endif
