/*
 * op_states.h - the states of the engine's own operators, by what the graph says of them: for checks before anything runs.
 * Those of users' functions are declared in the graph.  Pure.
 */
#ifndef GRAPH_OP_STATES_H
#define GRAPH_OP_STATES_H

#include <rask/operator.h>
#include <stdbool.h>

#include "common/base/mem.h"
#include "proto/graph.pb-c.h"

#define OP_KEPT_MAX 62u /* other columns that a rolling operator keeps column by column */
#define OP_STATES_MAX 2

/* sum, min and max: "sum" (one name for what they keep) */
#define OP_STATE_ROW          "row"
#define OP_STATE_SPLITS       "splits"
#define OP_STATE_COMMITTABLES "committables"
#define OP_STATE_WRITER       "writer"

extern const rask_state graph_sink_states[]; /* of a sink that has any; ends with kind 0 */

struct graph_op_state {
    const char *name;
    uint32_t kind;          /* enum rask_state_kind */
    const rask_schema *row; /* what is kept of each key, in the operator's own form; in the arena; NULL: nobody need know */
};
/* Returns how many. A rolling operator that has two keeps whole rows: a column that is neither key nor aggregated has no fixed width. */
uint32_t graph_op_states(const Rask__Graph__StreamNode *node, struct arena *arena, struct graph_op_state ret[OP_STATES_MAX]);

#endif
