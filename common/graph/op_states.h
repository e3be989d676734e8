/*
 * op_states.h - the states of the engine's own operators, by what the graph says of them: for checks before anything runs.
 * Those of users' functions are declared in the graph.  Pure.
 */
#ifndef GRAPH_OP_STATES_H
#define GRAPH_OP_STATES_H

#include <rask/operator.h>
#include <stdbool.h>

#include "proto/graph.pb-c.h"

#define OP_KEPT_MAX 62u /* other columns that a rolling operator keeps column by column */
#define OP_STATES_MAX 2

/* sum, min and max: "sum" (one name for what they keep) */
#define OP_STATE_ROW          "row"
#define OP_STATE_SPLITS       "splits"
#define OP_STATE_COMMITTABLES "committables"
#define OP_STATE_WRITER       "writer"

struct graph_op_state {
    const char *name;
    uint32_t kind; /* enum rask_state_kind */
};
uint32_t graph_op_states(const Rask__Graph__StreamNode *node, struct graph_op_state ret[OP_STATES_MAX]);

/* A rolling operator keeps no whole row: all columns but those of `known` (bits: keys, what it aggregates) have a fixed width. */
bool graph_rolls_in_columns(const rask_schema *schema, uint64_t known);

#endif
