/* op_states.c - the states of the engine's own operators, by what the graph says of them. See op_states.h. */
#include "common/graph/op_states.h"

#include <string.h>

#include "common/base/check.h"
#include "common/graph/ops.h"
#include "common/types/schema.h"
#include "common/types/schema_proto.h"

const rask_state graph_sink_states[] = {{.kind = RASK_OPERATOR_LIST, .name = OP_STATE_COMMITTABLES},
                                        {.kind = RASK_OPERATOR_LIST, .name = OP_STATE_WRITER},
                                        {0}};

static const char *property(const Rask__Graph__StreamNode *node, const char *key)
{
    for (size_t i = 0; i < node->op->n_properties; i++)
        if (strcmp(node->op->properties[i]->key, key) == 0)
            return node->op->properties[i]->value;
    return "";
}

static const rask_schema *out_of(const Rask__Graph__StreamNode *node, struct arena *arena)
{
    const rask_schema *schema;
    struct err err;

    return node->out && schema_from_proto(arena, node->out, &schema, &err) == 0 ? schema : NULL;
}

static bool is_known(const Rask__Graph__StreamNode *node, uint32_t column)
{
    for (size_t k = 0; k < node->n_key_columns; k++)
        if (node->key_columns[k] == column)
            return true;
    return false;
}

/* What it aggregates, and each column that is no key; or, if one of those has no fixed width, whole rows. */
static uint32_t rolling_states(const Rask__Graph__StreamNode *node, struct arena *arena, struct graph_op_state ret[OP_STATES_MAX])
{
    const rask_schema *out = out_of(node, arena);
    int column = out ? schema_column(out, property(node, "column")) : -1;
    rask_schema *row = arena_alloc(arena, sizeof(*row));
    rask_field *fields = arena_alloc(arena, (RASK_COLUMNS_MAX + 1) * sizeof(*fields));
    bool whole = false;
    uint32_t n = 1;

    ret[0] = (struct graph_op_state){OP_SUM, RASK_AGGREGATING, NULL};
    if (column < 0)
        return 1;
    fields[0] = out->fields[column];
    for (uint32_t i = 0; i < out->columns; i++) {
        if (i == (uint32_t)column || is_known(node, i))
            continue;
        whole |= schema_is_view(&out->fields[i]) || out->fields[i].type >= RASK_T_ARRAY || n > OP_KEPT_MAX;
        fields[n++] = out->fields[i];
    }
    *row = (rask_schema){RASK_ABI, (uint16_t)(whole ? 1 : n), "row", fields};
    ret[0].row = row;
    if (!whole)
        return 1;
    ret[1] = (struct graph_op_state){OP_STATE_ROW, RASK_AGGREGATING, out};
    return 2;
}

static bool is_one_of(const char *name, const char *const *list)
{
    while (*list && strcmp(*list, name) != 0)
        list++;
    return *list != NULL;
}

uint32_t graph_op_states(const Rask__Graph__StreamNode *node, struct arena *arena, struct graph_op_state ret[OP_STATES_MAX])
{
    static const char *const sources[] = {OP_SOURCE, OP_SOURCE_ENUMERATOR, NULL}, *const rolling[] = {OP_SUM, OP_MIN, OP_MAX, NULL},
                      *const sinks[] = {"files", "postgres", NULL};
    const char *type = node->op->type;
    uint32_t n = 0;

    if (is_one_of(type, sources)) {
        ret[n++] = (struct graph_op_state){OP_STATE_SPLITS, RASK_OPERATOR_LIST, NULL};
    } else if (is_one_of(type, rolling)) {
        return rolling_states(node, arena, ret);
    } else if (strcmp(type, OP_COUNT) == 0) {
        ret[n++] = (struct graph_op_state){OP_COUNT, RASK_AGGREGATING, NULL};
    } else if (strcmp(type, OP_REDUCE) == 0) {
        ret[n++] = (struct graph_op_state){OP_REDUCE, RASK_REDUCING, out_of(node, arena)};
    } else if (strcmp(type, OP_SINK) == 0 && is_one_of(property(node, "connector"), sinks)) {
        for (; graph_sink_states[n].kind; n++)
            ret[n] = (struct graph_op_state){graph_sink_states[n].name, graph_sink_states[n].kind, NULL};
    }
    return n;
}
