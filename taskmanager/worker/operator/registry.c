/* registry.c - operator types by name. */
#include <string.h>

#include "common/base/check.h"
#include "taskmanager/worker/operator/ops.h"

static const struct wk_op_type types[] = {
    {OP_SOURCE, &wk_source_op, false, sizeof(rask_source), wk_source_init},
    {OP_SOURCE_ENUMERATOR, &wk_enumerator_op, false, sizeof(rask_source), wk_enumerator_init},
    {OP_MAP, &wk_map_op, true, 1, NULL},
    {OP_FLAT_MAP, &wk_flat_map_op, true, 1, NULL},
    {OP_FILTER, &wk_filter_op, true, 1, NULL},
    {OP_PROJECT, &wk_project_op, false, 1, wk_project_init},
    {OP_PROCESS, &wk_process_op, true, sizeof(rask_process_fn), wk_process_init},
    {OP_BATCH, NULL, true, sizeof(rask_operator), wk_batch_init},
    {OP_REDUCE, &wk_reduce_op, true, 1, wk_reduce_init},
    {OP_SUM, &wk_sum_op, false, 1, wk_rolling_init},
    {OP_MIN, &wk_sum_op, false, 1, wk_rolling_init},
    {OP_MAX, &wk_sum_op, false, 1, wk_rolling_init},
    {OP_COUNT, &wk_count_op, false, 1, wk_count_init},
    {OP_EVENT_TIME, &wk_event_time_op, false, 1, wk_event_time_init},
    {OP_SINK, &wk_sink_op, false, sizeof(rask_sink), wk_sink_init},
};

const struct wk_op_type *wk_ops_find(const char *type)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strcmp(types[i].name, type) == 0)
            return &types[i];
    return NULL;
}
