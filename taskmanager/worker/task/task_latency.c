/* task_latency.c - the latency markers of a task: sent by its source, recorded by its operators. Step, but for the message. */
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/id.h"
#include "common/graph/graph.h"
#include "taskmanager/worker/task/task.h"

static uint64_t wall_us(const struct wk_task *t)
{
    struct wk_executor *ex = t->run.executor;

    return (uint64_t)ex->ops->wall_us(ex, ex->ops->now_ns(ex));
}

void wk_task_send_marker(struct wk_task *t, uint64_t now_ns)
{
    const struct wk_latency_settings *s = &t->host->latency;
    struct wk_marker marker = {t->vertex, t->subtask, 0};

    if (s->interval_ns == 0 || !t->is_source || t->end_sent)
        return;
    /* While the one before has not left, another would only say the same. */
    if (now_ns >= t->next_marker_ns && !t->chain.control) {
        marker.at_us = wall_us(t);
        wk_chain_marker(&t->chain, wk_marker_pack(&marker));
        t->next_marker_ns = now_ns + s->interval_ns;
    }
    t->run.executor->ops->wake_at(t->run.executor, &t->run, MAX(t->next_marker_ns, now_ns + s->interval_ns / 2));
}

void wk_task_record_marker(struct wk_op *op, int64_t value)
{
    struct wk_task *t = wk_task_of(op);
    const struct wk_latency_settings *s = &t->host->latency;
    uint64_t now = wall_us(t);
    struct wk_marker marker = wk_marker_unpack(value, now);

    if (s->history == 0) /* of a peer that has other settings */
        return;
    pthread_mutex_lock(&t->lock);
    wk_latency_add(&op->latency, s->granularity, s->history, &marker, now);
    pthread_mutex_unlock(&t->lock);
}

/* ---- the message ---- */

static const char *hex(const ProtobufCBinaryData *data, char text[ID_TEXT_MAX])
{
    struct id id = {{0}};

    memcpy(id.bytes, data->data, MIN(data->len, sizeof(id.bytes)));
    return id_format(&id, text);
}

/* Flink's scope of a latency histogram. */
static char *name_of(const struct wk_task *t, const struct wk_op *op, const struct wk_latency_of *of, struct arena *arena)
{
    const Rask__Graph__JobGraph *g = t->host->graph;
    char source[ID_TEXT_MAX], operator[ID_TEXT_MAX], from[160] = "", *name;
    int len = 0;

    if (of->vertex < g->n_vertices) {
        const Rask__Graph__StreamNode *node = graph_node(g->stream, g->vertices[of->vertex]->operators[0]->node);

        len = snprintf(from, sizeof(from), "source_id.%s.", hex(&node->operator_id, source));
    }
    if (of->subtask != UINT32_MAX)
        snprintf(from + len, sizeof(from) - (size_t)len, "source_subtask_index.%u.", of->subtask);
    hex(&op->node->operator_id, operator);
    name = arena_alloc(arena, 400);
    snprintf(name, 400, "latency.%soperator_id.%s.operator_subtask_index.%u.latency", from, operator, t->subtask);
    return name;
}

static Rask__Control__LatencyMetrics *message_of(const struct wk_task *t, const struct wk_op *op,
                                                 const struct wk_latency_of *of, struct arena *arena)
{
    Rask__Control__LatencyMetrics *m = arena_alloc(arena, sizeof(*m));

    rask__control__latency_metrics__init(m);
    m->name = name_of(t, op, of, arena);
    m->stats = arena_alloc(arena, WK_LATENCY_STATS * sizeof(*m->stats));
    m->n_stats = WK_LATENCY_STATS;
    wk_latency_stats(of, m->stats);
    return m;
}

void wk_task_latency_metrics(struct wk_task *t, Rask__Control__TaskMetrics *m, struct arena *arena)
{
    size_t n = 0;

    pthread_mutex_lock(&t->lock);
    for (uint32_t i = 0; i < t->chain.op_count; i++)
        n += t->chain.ops[i]->latency.count;
    m->latency = arena_alloc(arena, (n + 1) * sizeof(*m->latency));
    for (uint32_t i = 0; n > 0 && i < t->chain.op_count; i++)
        for (uint32_t k = 0; k < t->chain.ops[i]->latency.count; k++)
            m->latency[m->n_latency++] = message_of(t, t->chain.ops[i], &t->chain.ops[i]->latency.of[k], arena);
    pthread_mutex_unlock(&t->lock);
}
