/* task_metrics.c - the figures of a task, read while it runs. Thread: the worker's loop. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/map.h"
#include "taskmanager/worker/operator/ops.h"
#include "taskmanager/worker/task/task.h"

#define OPERATOR_NAME_MAX 80 /* of the scope of a metric, as in Flink */
#define SET(m, field, value) ((m)->has_##field = 1, (m)->field = (value))

static void times(struct wk_task *t, Rask__Control__TaskMetrics *m)
{
    struct wk_executor *ex = t->run.executor;
    uint64_t now = ex->ops->now_ns(ex), ns[WK_PHASE_COUNT];

    wk_clock_read(&t->clock, now, ns);
    SET(m, at_us, now / 1000);
    SET(m, busy_ms, (ns[WK_PHASE_RUNNING] + ns[WK_PHASE_READY]) / 1000000);
    SET(m, idle_ms, ns[WK_PHASE_IDLE] / 1000000);
    SET(m, backpressured_ms, ns[WK_PHASE_SOFT] / 1000000);
    SET(m, hard_backpressured_ms, ns[WK_PHASE_HARD] / 1000000);
    SET(m, ready_ms, ns[WK_PHASE_READY] / 1000000);
}

static void input(struct wk_task *t, Rask__Control__TaskMetrics *m)
{
    uint64_t credit = 0, queued = 0, queued_bytes = 0;

    SET(m, records_in, wk_counted(&t->records_in));
    SET(m, remote_records_in, wk_counted(&t->remote_records_in));
    SET(m, bytes_in, wk_counted(&t->bytes_in));
    SET(m, takes, wk_counted(&t->takes));
    if (t->is_source)
        SET(m, source_records, wk_counted(&t->chain.ops[0]->rows_out));
    SET(m, watermark, __atomic_load_n(&t->watermark, __ATOMIC_RELAXED));
    if (!t->gate.channels || t->is_source) /* splits are no records */
        return;
    for (uint32_t i = 0; i < t->gate.channel_count; i++) {
        const struct wk_in *in = &t->gate.channels[i];

        credit += __atomic_load_n(&in->credit_bytes, __ATOMIC_RELAXED);
        queued += wk_in_queued(in);
        queued_bytes += wk_in_queued_bytes(in);
    }
    SET(m, input_credit_bytes, credit);
    SET(m, input_queue_length, queued);
    SET(m, input_queue_bytes, queued_bytes);
}

static void output(struct wk_task *t, Rask__Control__TaskMetrics *m, struct arena *arena)
{
    m->edges = arena_alloc(arena, (t->chain.edge_count + 1u) * sizeof(*m->edges));
    SET(m, records_out, 0);
    SET(m, bytes_out, 0);
    SET(m, output_queue_length, 0);
    SET(m, output_queue_bytes, 0);
    SET(m, output_usage_permille, 0);
    for (uint32_t i = 0; i < t->chain.edge_count; i++) {
        const struct wk_edge *from = t->chain.edges[i];
        Rask__Control__EdgeMetrics *e = arena_alloc(arena, sizeof(*e));
        uint64_t blocks = MIN(wk_counted(&from->blocks_waiting), (uint64_t)wk_edge_blocks_max(from));

        rask__control__edge_metrics__init(e);
        e->edge = from->id;
        SET(e, queue_bytes, wk_counted(&from->held_bytes) + wk_counted(&from->bytes_waiting));
        SET(e, in_flight_bytes, wk_edge_in_flight(from));
        if (wk_hot_top(&from->hot, &e->hot_key_group, &e->hot_permille))
            e->has_hot_key_group = e->has_hot_permille = 1;
        m->edges[m->n_edges++] = e;
        m->records_out += wk_counted(&from->rows_out);
        m->bytes_out += wk_counted(&from->bytes_out);
        m->output_queue_length += wk_counted(&from->elements_waiting) + (wk_counted(&from->held_bytes) > 0);
        m->output_queue_bytes += e->queue_bytes;
        m->output_usage_permille = MAX(m->output_usage_permille, (uint32_t)(blocks * 1000 / wk_edge_blocks_max(from)));
    }
}

static void operator_now(struct wk_task *t, Rask__Control__TaskMetrics *m)
{
    const char *name = __atomic_load_n(&t->run.operator_now, __ATOMIC_RELAXED);

    if (!name)
        return;
    SET(m, in_sink, false);
    for (uint32_t i = 0; i < t->chain.op_count; i++)
        if (t->chain.ops[i]->ctx.name == name && t->chain.ops[i]->desc == &wk_sink_op)
            m->in_sink = true;
}

Rask__Control__Counter *wk_counter_message(struct arena *arena, const char *name, const struct rask_counter *counter)
{
    Rask__Control__Counter *c = arena_alloc(arena, sizeof(*c));

    rask__control__counter__init(c);
    c->name = arena_strdup(arena, name);
    c->value = rask_counter_value(counter);
    return c;
}

/* "count.numRecordsIn": what no scope of a metric may hold becomes an underscore, as in Flink. */
static Rask__Control__Counter *figure(struct arena *arena, const struct wk_op *op, const char *name, int64_t value)
{
    Rask__Control__Counter *c = arena_alloc(arena, sizeof(*c));
    size_t len = MIN(strlen(op->ctx.name), (size_t)OPERATOR_NAME_MAX), size = len + strlen(name) + 2;

    rask__control__counter__init(c);
    c->name = arena_alloc(arena, size);
    c->value = value;
    for (size_t i = 0; i < len; i++)
        c->name[i] = isalnum((unsigned char)op->ctx.name[i]) ? op->ctx.name[i] : '_';
    snprintf(c->name + len, size - len, ".%s", name);
    return c;
}

/* Of each operator: its records, and the counters of its functions. */
static void operators(struct wk_task *t, Rask__Control__TaskMetrics *m, struct arena *arena)
{
    size_t n = 0;

    pthread_mutex_lock(&t->lock);
    for (uint32_t i = 0; i < t->chain.op_count; i++)
        n += 2 + (t->chain.ops[i]->counters ? map_size(t->chain.ops[i]->counters) : 0);
    m->counters = arena_alloc(arena, (n + 1) * sizeof(*m->counters));
    for (uint32_t i = 0; i < t->chain.op_count; i++) {
        const struct wk_op *op = t->chain.ops[i];

        /* what a source reads: its input are splits */
        m->counters[m->n_counters++] = figure(arena, op, "numRecordsIn",
                                              (int64_t)wk_counted(t->is_source && i == 0 ? &op->rows_out : &op->rows_in));
        m->counters[m->n_counters++] = figure(arena, op, "numRecordsOut", (int64_t)wk_counted(&op->rows_out));
        if (!op->counters)
            continue;
        for (struct map_iter it = map_iter(op->counters); map_next(&it);)
            m->counters[m->n_counters++] = figure(arena, op, it.key, rask_counter_value(it.value));
    }
    pthread_mutex_unlock(&t->lock);
}

void wk_task_metrics(struct wk_task *t, Rask__Control__TaskMetrics *m, struct arena *arena)
{
    m->vertex = t->vertex;
    m->subtask = t->subtask;
    times(t, m);
    input(t, m);
    output(t, m, arena);
    operator_now(t, m);
    operators(t, m, arena);
    wk_task_latency_metrics(t, m, arena);
}
