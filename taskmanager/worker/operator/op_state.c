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

/* What the operator declares, and behind it what its timers are kept in. */
static const rask_state *with_timers(const struct wk_op *op, struct arena *arena, int *ret_first)
{
    const rask_state *own = op->ctx.states;
    rask_state *all;
    int count = 0;

    while (own && own[count].kind != 0)
        count++;
    *ret_first = count;
    if (!op->wants_timers)
        return own;
    all = arena_alloc(arena, (size_t)(count + WK_TIMER_DOMAINS + 1) * sizeof(*all)); /* ends with kind 0 */
    for (int i = 0; i < count; i++)
        all[i] = own[i];
    for (int d = 0; d < WK_TIMER_DOMAINS; d++)
        all[count + d] = wk_timer_states[d];
    return all;
}

int wk_op_state_new(struct wk_op *op, struct wk_state_budget *budget, struct wk_stores *stores, bool on_disk, struct err *err)
{
    struct wk_state_options o = {.budget = budget, .stores = stores, .on_disk = on_disk, .uid = op->node->uid, .name = op->node->name,
                                 .subtask = op->ctx.subtask, .parallelism = op->ctx.parallelism,
                                 .max_parallelism = op->ctx.max_parallelism};
    struct arena arena;
    int rc, first;

    arena_init(&arena);
    o.decl = with_timers(op, &arena, &first);
    o.resident_count = op->wants_timers ? WK_TIMER_DOMAINS : 0; /* their queue is in memory too */
    rc = key_schema(op, &arena, &o.key, err);
    if (rc == 0 && op->wants_timers && op->key_count[0] == 0)
        rc = err_set(err, ERR_INVALID, "operator \"%s\" has timers, which are kept per key: put rask_key_by before it", op->node->name);
    if (rc == 0) {
        if (op->node->has_operator_id && op->node->operator_id.len == sizeof(o.operator_id))
            memcpy(o.operator_id, op->node->operator_id.data, sizeof(o.operator_id));
        op->state = wk_state_new(&o);
        if (op->wants_timers)
            op->timers = wk_timers_new(op->state, first, budget);
    }
    arena_release(&arena);
    return rc;
}
