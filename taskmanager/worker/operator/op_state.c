/* op_state.c - an operator's state from what its node says of it. On the loop, while a task is built. */
#include <string.h>

#include "common/types/schema_proto.h"
#include "taskmanager/worker/operator/ops.h"

/* Key columns of the first input as a schema of their own, in the arena. NULL: not keyed. */
static int key_schema(struct wk_op *op, struct arena *arena, const rask_schema **ret, struct err *err)
{
    rask_schema *key = arena_alloc(arena, sizeof(*key));
    rask_field *fields = arena_alloc(arena, (op->key_count[0] + 1) * sizeof(*fields));
    const rask_schema *in;
    int rc;

    *ret = NULL;
    if (op->key_count[0] == 0 || !op->node->in)
        return 0;
    rc = schema_from_proto(arena, op->node->in, &in, err);
    if (rc != 0)
        return rc;
    *key = (rask_schema){RASK_ABI, (uint16_t)op->key_count[0], "key", fields};
    for (uint32_t i = 0; i < op->key_count[0]; i++)
        fields[i] = in->fields[op->key_columns[0][i]];
    *ret = key;
    return 0;
}

int wk_op_state_new(struct wk_op *op, struct wk_state_budget *budget, struct err *err)
{
    struct wk_state_options o = {.decl = op->ctx.states, .budget = budget, .uid = op->node->uid, .name = op->node->name,
                                 .subtask = op->ctx.subtask, .parallelism = op->ctx.parallelism,
                                 .max_parallelism = op->ctx.max_parallelism};
    struct arena arena;
    int rc;

    arena_init(&arena);
    rc = key_schema(op, &arena, &o.key, err);
    if (rc == 0) {
        if (op->node->has_operator_id && op->node->operator_id.len == sizeof(o.operator_id))
            memcpy(o.operator_id, op->node->operator_id.data, sizeof(o.operator_id));
        op->state = wk_state_new(&o);
    }
    arena_release(&arena);
    return rc;
}
