/* execution_graph.c - states and figures of every subtask. Pure; thread: the control loop. */
#include "jobmanager/job/execution_graph.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"

#define STATE(name) RASK__CONTROL__TASK_STATE__##name

void jm_counts_add(struct jm_counts *counts, const char *name, int64_t value)
{
    for (uint32_t i = 0; i < counts->count; i++)
        if (strcmp(counts->items[i].name, name) == 0) {
            counts->items[i].value = (int64_t)((uint64_t)counts->items[i].value + (uint64_t)value);
            return;
        }
    if (counts->count == JM_ACCUMULATORS_MAX)
        return;
    counts->items = mem_realloc(counts->items, (counts->count + 1) * sizeof(*counts->items));
    counts->items[counts->count++] =
        (struct jm_accumulator){.name = mem_strdup(name), .value = value};
}

void jm_counts_clear(struct jm_counts *counts)
{
    for (uint32_t i = 0; i < counts->count; i++)
        mem_free(counts->items[i].name);
    mem_free(counts->items);
    *counts = (struct jm_counts){0};
}

void jm_graph_init(struct jm_graph *graph, const Rask__Graph__JobGraph *job, int64_t now_ms)
{
    *graph = (struct jm_graph){.job = job, .made_ms = now_ms};
    graph->vertices = mem_alloc_array(job->n_vertices, sizeof(*graph->vertices));
    for (size_t v = 0; v < job->n_vertices; v++) {
        struct jm_vertex *vertex = &graph->vertices[v];
        uint32_t parallelism = job->vertices[v]->parallelism;

        vertex->spec = job->vertices[v];
        vertex->subtasks = mem_alloc_array(parallelism, sizeof(*vertex->subtasks));
        vertex->counts[STATE(CREATED)] = parallelism;
        vertex->start_ms = vertex->end_ms = -1;
        vertex->open = parallelism;
        graph->total += parallelism;
    }
    graph->open = graph->total;
}

bool jm_graph_make(struct jm_graph *graph, uint32_t *left)
{
    while (graph->made_vertices < graph->job->n_vertices) {
        struct jm_vertex *vertex = &graph->vertices[graph->made_vertices];

        for (; graph->made_subtasks < vertex->spec->parallelism; graph->made_subtasks++, (*left)--) {
            if (*left == 0)
                return false;
            jm_task_life_init(&vertex->subtasks[graph->made_subtasks].life, graph->made_ms);
            vertex->subtasks[graph->made_subtasks].worker = JM_NO_WORKER;
        }
        graph->made_vertices++;
        graph->made_subtasks = 0;
    }
    return true;
}

static void subtask_release(struct jm_subtask *task)
{
    mem_free(task->metrics);
    jm_rates_free(task->rates);
    jm_counts_clear(&task->final);
}

static void next_attempt(struct jm_subtask *task, uint32_t worker, int64_t now_ms)
{
    subtask_release(task);
    *task = (struct jm_subtask){.attempt = task->attempt + 1, .worker = worker};
    jm_task_life_init(&task->life, now_ms);
}

void jm_graph_release(struct jm_graph *graph)
{
    for (size_t v = 0; graph->vertices && v < graph->job->n_vertices; v++) {
        struct jm_vertex *vertex = &graph->vertices[v];

        for (uint32_t i = 0; vertex->subtasks && i < vertex->spec->parallelism; i++)
            subtask_release(&vertex->subtasks[i]);
        mem_free(vertex->subtasks);
    }
    mem_free(graph->vertices);
    graph->vertices = NULL;
}

void jm_graph_reset(struct jm_graph *graph, int64_t now_ms)
{
    CHECK(graph->open == 0);
    for (size_t v = 0; v < graph->job->n_vertices; v++) {
        struct jm_vertex *vertex = &graph->vertices[v];
        uint32_t parallelism = vertex->spec->parallelism;

        memset(vertex->counts, 0, sizeof(vertex->counts));
        vertex->counts[STATE(CREATED)] = parallelism;
        vertex->end_ms = -1;
        vertex->open = parallelism;
        for (uint32_t i = 0; i < parallelism; i++) {
            next_attempt(&vertex->subtasks[i], JM_NO_WORKER, now_ms);
        }
    }
    graph->open = graph->total;
    graph->failed = 0;
}

void jm_graph_reset_task(struct jm_graph *graph, uint32_t vertex, uint32_t subtask, int64_t now_ms)
{
    struct jm_vertex *v = &graph->vertices[vertex];
    struct jm_subtask *task = &v->subtasks[subtask];

    CHECK(jm_task_state_is_final(task->life.state));
    CHECK(v->counts[task->life.state] > 0);
    v->counts[task->life.state]--;
    graph->failed -= task->life.state == STATE(FAILED);
    next_attempt(task, task->worker, now_ms);
    v->counts[STATE(CREATED)]++;
    v->end_ms = -1;
    v->open++;
    graph->open++;
}

struct jm_subtask *jm_graph_subtask(struct jm_graph *graph, uint32_t vertex, uint32_t subtask)
{
    if (vertex >= graph->job->n_vertices || subtask >= graph->vertices[vertex].spec->parallelism)
        return NULL;
    return &graph->vertices[vertex].subtasks[subtask];
}

void jm_graph_move(struct jm_graph *graph, uint32_t vertex, uint32_t subtask,
                   Rask__Control__TaskState to, int64_t now_ms)
{
    struct jm_subtask *task = jm_graph_subtask(graph, vertex, subtask);
    struct jm_vertex *v = &graph->vertices[vertex];

    CHECK(task != NULL);
    CHECK(v->counts[task->life.state] > 0);
    v->counts[task->life.state]--;
    jm_task_move(&task->life, to, now_ms);
    v->counts[to]++;
    if (to == STATE(DEPLOYING) && v->start_ms < 0)
        v->start_ms = now_ms;
    if (!jm_task_state_is_final(to))
        return;
    CHECK(v->open > 0);
    CHECK(graph->open > 0);
    graph->open--;
    graph->failed += to == STATE(FAILED);
    if (--v->open == 0)
        v->end_ms = now_ms;
}

Rask__Control__TaskState jm_vertex_state(const struct jm_vertex *vertex)
{
    static const uint8_t order[] = {STATE(FAILED), STATE(CANCELING), STATE(CANCELED),
                                    STATE(INITIALIZING), STATE(RUNNING)};

    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        if (vertex->counts[order[i]] > 0)
            return order[i];
    if (vertex->counts[STATE(FINISHED)] == vertex->spec->parallelism)
        return STATE(FINISHED);
    return vertex->counts[STATE(FINISHED)] > 0 ? STATE(RUNNING) : STATE(CREATED);
}

void jm_graph_metrics(struct jm_graph *graph, const Rask__Control__TaskMetrics *metrics, bool final)
{
    struct jm_subtask *task = jm_graph_subtask(graph, metrics->vertex, metrics->subtask);

    if (!task || (task->metrics && task->metrics->complete && !final))
        return; /* figures that were under way when the final ones came */
    if (!task->metrics)
        task->metrics = MEM_NEW(struct jm_metrics);
    *task->metrics = (struct jm_metrics){
        .records_in = metrics->records_in,
        .records_out = metrics->records_out,
        .bytes_in = metrics->bytes_in,
        .bytes_out = metrics->bytes_out,
        .remote_records_in = metrics->remote_records_in,
        .takes = metrics->takes,
        .source_records = metrics->source_records,
        .busy_ms = metrics->busy_ms,
        .idle_ms = metrics->idle_ms,
        .backpressured_ms = metrics->backpressured_ms + metrics->hard_backpressured_ms,
        .complete = final,
    };
    if (final) {
        jm_rates_free(task->rates);
        task->rates = NULL;
        return;
    }
    if (!task->rates)
        task->rates = MEM_NEW(struct jm_rates);
    jm_rates_add(task->rates, metrics);
}

char *jm_graph_task_name(const struct jm_graph *graph, uint32_t vertex, uint32_t subtask,
                         struct arena *arena)
{
    const Rask__Graph__JobVertex *spec = graph->vertices[vertex].spec;
    size_t size = strlen(spec->name) + 32;
    char *text = arena_alloc(arena, size);

    snprintf(text, size, "%s (%u/%u)", spec->name, subtask + 1, spec->parallelism);
    return text;
}
