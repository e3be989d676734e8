/* op_states.c - the states of the engine's own operators, by what the graph says of them. See ops.h. */
#include "common/graph/op_states.h"

#include <string.h>

#include "common/base/check.h"
#include "common/graph/ops.h"
#include "common/types/schema.h"
#include "common/types/schema_proto.h"

static const char *property(const Rask__Graph__StreamNode *node, const char *key)
{
    for (size_t i = 0; i < node->op->n_properties; i++)
        if (strcmp(node->op->properties[i]->key, key) == 0)
            return node->op->properties[i]->value;
    return "";
}

bool graph_rolls_in_columns(const rask_schema *schema, uint64_t known)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < schema->columns; i++)
        if (!(known >> i & 1) &&
            (schema_is_view(&schema->fields[i]) || schema->fields[i].type >= RASK_T_ARRAY || kept++ == OP_KEPT_MAX))
            return false;
    return true;
}

static bool node_rolls_in_columns(const Rask__Graph__StreamNode *node)
{
    const rask_schema *schema;
    struct arena arena;
    struct err err;
    uint64_t known = 0;
    bool yes = true;
    int column;

    arena_init(&arena);
    for (size_t i = 0; i < node->n_key_columns; i++)
        known |= UINT64_C(1) << (node->key_columns[i] & 63);
    if (node->out && schema_from_proto(&arena, node->out, &schema, &err) == 0 &&
        (column = schema_column(schema, property(node, "column"))) >= 0)
        yes = graph_rolls_in_columns(schema, known | UINT64_C(1) << column);
    arena_release(&arena);
    return yes;
}

static bool is_one_of(const char *name, const char *const *list)
{
    while (*list && strcmp(*list, name) != 0)
        list++;
    return *list != NULL;
}

uint32_t graph_op_states(const Rask__Graph__StreamNode *node, struct graph_op_state ret[OP_STATES_MAX])
{
    static const char *const sources[] = {OP_SOURCE, OP_SOURCE_ENUMERATOR, NULL}, *const rolling[] = {OP_SUM, OP_MIN, OP_MAX, NULL},
                      *const sinks[] = {"files", "postgres", NULL};
    const char *type = node->op->type;
    uint32_t n = 0;

    if (is_one_of(type, sources)) {
        ret[n++] = (struct graph_op_state){OP_STATE_SPLITS, RASK_OPERATOR_LIST};
    } else if (is_one_of(type, rolling)) {
        ret[n++] = (struct graph_op_state){OP_SUM, RASK_AGGREGATING};
        if (!node_rolls_in_columns(node))
            ret[n++] = (struct graph_op_state){OP_STATE_ROW, RASK_AGGREGATING};
    } else if (strcmp(type, OP_COUNT) == 0) {
        ret[n++] = (struct graph_op_state){OP_COUNT, RASK_AGGREGATING};
    } else if (strcmp(type, OP_REDUCE) == 0) {
        ret[n++] = (struct graph_op_state){OP_REDUCE, RASK_REDUCING};
    } else if (strcmp(type, OP_SINK) == 0 && is_one_of(property(node, "connector"), sinks)) {
        ret[n++] = (struct graph_op_state){OP_STATE_COMMITTABLES, RASK_OPERATOR_LIST};
        ret[n++] = (struct graph_op_state){OP_STATE_WRITER, RASK_OPERATOR_LIST};
    }
    return n;
}
