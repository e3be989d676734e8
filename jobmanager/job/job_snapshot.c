/* job_snapshot.c - the picture of a job for REST and for the job store. Pure; thread: the
 * control loop. */
#include <string.h>

#include "common/base/check.h"
#include "common/base/json.h"
#include "common/graph/graph.h"
#include "jobmanager/job/job_private.h"

static const char unassigned[] = "(unassigned)";

static void fill_subtask(struct jm_subtask_snapshot *s, const struct jm_subtask *task,
                         uint32_t index, struct jm_job_snapshot *job)
{
    const struct jm_worker_snapshot *w =
        task->worker < job->worker_count ? &job->workers[task->worker] : NULL;

    s->subtask = index;
    s->attempt = task->attempt;
    s->state = task->life.state;
    memcpy(s->state_at_ms, task->life.at_ms, sizeof(s->state_at_ms));
    s->worker = task->worker;
    s->host = w ? w->host : unassigned;
    s->endpoint = w ? w->endpoint : unassigned;
    s->taskmanager_id = w ? w->taskmanager_id : unassigned;
    if (task->metrics)
        s->metrics = *task->metrics;
    if (task->rates && task->rates->known) {
        struct jm_live *live = arena_alloc(&job->arena, sizeof(*live));

        *live = task->rates->live;
        s->live = live;
        s->figures = jm_figures_ref(task->rates->figures);
    }
}

static void begin_vertex(struct jm_job_snapshot *job, struct jm_vertex_snapshot *s,
                         const struct jm_vertex *vertex)
{
    const Rask__Graph__JobVertex *spec = vertex->spec;

    memcpy(s->id.bytes, spec->id.data, MIN(spec->id.len, sizeof(s->id.bytes)));
    s->name = arena_strdup(&job->arena, spec->name);
    s->parallelism = spec->parallelism;
    s->max_parallelism = spec->max_parallelism;
    s->slot_group = arena_strdup(&job->arena, spec->slot_group);
    s->hidden = spec->hidden;
    s->metrics.complete = true;
    s->subtasks = arena_alloc(&job->arena, spec->parallelism * sizeof(*s->subtasks));
}

/* The next subtasks of the vertex that is drawn. True: that were all. */
static bool draw_subtasks(struct jm_job *job, uint32_t *left)
{
    const struct jm_vertex *vertex = &job->graph.vertices[job->drawn_vertices];
    struct jm_vertex_snapshot *s = &job->drawing->vertices[job->drawn_vertices];

    for (; *left > 0 && job->drawn_subtasks < s->parallelism; job->drawn_subtasks++, (*left)--) {
        uint32_t i = job->drawn_subtasks;

        fill_subtask(&s->subtasks[i], &vertex->subtasks[i], i, job->drawing);
        jm_metrics_add(&s->metrics, &s->subtasks[i].metrics);
        s->has_figures = s->has_figures || s->subtasks[i].figures;
    }
    return job->drawn_subtasks == s->parallelism;
}

static void finish_vertex(struct jm_job_snapshot *job, struct jm_vertex_snapshot *s,
                          const struct jm_vertex *vertex)
{
    memcpy(s->tasks, vertex->counts, sizeof(s->tasks));
    s->state = jm_vertex_state(vertex);
    s->start_ms = vertex->start_ms;
    s->end_ms = vertex->end_ms;
    if (!s->hidden)
        for (size_t i = 0; i < JM_TASK_STATE_COUNT; i++)
            job->tasks[i] += s->tasks[i];
}

static void fill_workers(struct jm_job_snapshot *s, const struct jm_job *job)
{
    s->worker_count = job->worker_count;
    s->workers = arena_alloc(&s->arena, job->worker_count * sizeof(*s->workers));
    for (uint32_t i = 0; i < job->worker_count; i++) {
        id_format(&job->workers[i].taskmanager_id, s->workers[i].taskmanager_id);
        s->workers[i].host = arena_strdup(&s->arena, job->workers[i].host);
        s->workers[i].endpoint = arena_strdup(&s->arena, job->workers[i].endpoint);
        s->workers[i].pool_in_use_bytes = job->workers[i].open > 0 ? job->workers[i].pool_in_use_bytes : 0;
        s->packed_bytes += job->workers[i].packed_bytes;
        s->packed_sent_bytes += job->workers[i].packed_sent_bytes;
        s->workers[i].pool_budget_bytes = job->workers[i].open > 0 ? job->workers[i].pool_budget_bytes : 0;
    }
}

static void fill_failures(struct jm_job_snapshot *s, const struct jm_job *job)
{
    s->failure_count = job->failure_count;
    s->failures = arena_alloc(&s->arena, job->failure_count * sizeof(*s->failures));
    for (uint32_t i = 0; i < job->failure_count; i++) {
        const struct jm_failure *f = &job->failures[i];

        s->failures[i].at_ms = f->at_ms;
        s->failures[i].text = arena_strdup(&s->arena, f->text);
        s->failures[i].task = f->task ? arena_strdup(&s->arena, f->task) : NULL;
        if (f->endpoint) {
            s->failures[i].endpoint = arena_strdup(&s->arena, f->endpoint);
            s->failures[i].taskmanager_id = arena_strdup(&s->arena, f->taskmanager_id);
        }
    }
}

static void add_counts(struct jm_counts *sum, const struct jm_counts *from)
{
    for (uint32_t i = 0; i < from->count; i++)
        jm_counts_add(sum, from->items[i].name, from->items[i].value);
}

/* A worker's own last word on its tasks counts while they run, the sum of what ended ones gave
 * after that. */
static void fill_accumulators(struct jm_job_snapshot *s, const struct jm_job *job)
{
    struct jm_counts sum = {0};

    for (uint32_t w = 0; w < job->worker_count; w++) {
        const struct jm_worker *worker = &job->workers[w];

        if (worker->open > 0 && worker->live.count > 0) {
            add_counts(&sum, &worker->live);
            continue;
        }
        for (uint32_t i = 0; i < worker->task_count; i++)
            add_counts(&sum, &job->graph.vertices[worker->tasks[i].vertex]
                                  .subtasks[worker->tasks[i].subtask]
                                  .final);
    }
    s->accumulator_count = sum.count;
    s->accumulators = arena_alloc(&s->arena, sum.count * sizeof(*s->accumulators));
    for (uint32_t i = 0; i < sum.count; i++) {
        s->accumulators[i].name = arena_strdup(&s->arena, sum.items[i].name);
        s->accumulators[i].value = sum.items[i].value;
    }
    jm_counts_clear(&sum);
}

static void fill_config(struct jm_job_snapshot *s, const struct jm_job *job)
{
    const Rask__Graph__StreamGraph *graph = job->job_graph->stream;

    s->config_count = (uint32_t)graph->n_config;
    s->config = arena_alloc(&s->arena, graph->n_config * sizeof(*s->config));
    for (size_t i = 0; i < graph->n_config; i++) {
        s->config[i].key = arena_strdup(&s->arena, graph->config[i]->key);
        s->config[i].value = arena_strdup(&s->arena, conf_is_secret(graph->config[i]->key)
                                                         ? CONF_HIDDEN
                                                         : graph->config[i]->value);
    }
}

static void fill_plan(struct jm_job_snapshot *s, const struct jm_job *job)
{
    struct json_writer w;
    struct bytes text;

    if (job->snapshot) { /* it never changes */
        s->plan_json = arena_strdup(&s->arena, job->snapshot->plan_json);
        return;
    }
    bytes_init(&text);
    jw_init(&w, &text);
    graph_rest_plan_json(job->job_graph, job->id_text, &w, NULL);
    s->plan_json = arena_strdup(&s->arena, (const char *)text.data);
    bytes_release(&text);
}

/* What its subtasks point at comes first. */
static void begin(struct jm_job *job)
{
    struct jm_job_snapshot *s = jm_job_snapshot_new();

    s->id = job->id;
    fill_workers(s, job);
    s->vertex_count = (uint32_t)job->job_graph->n_vertices;
    s->vertices = arena_alloc(&s->arena, s->vertex_count * sizeof(*s->vertices));
    for (uint32_t v = 0; v < s->vertex_count; v++)
        begin_vertex(s, &s->vertices[v], &job->graph.vertices[v]);
    job->drawing = s;
    job->drawn_epoch = job->epoch;
    job->drawn_vertices = job->drawn_subtasks = 0;
    job->dirty = false;
}

static void finish(struct jm_job *job)
{
    struct jm_job_snapshot *s = job->drawing;

    s->name = arena_strdup(&s->arena, job->name);
    s->state = job->life.state;
    s->reason = job->reason ? arena_strdup(&s->arena, job->reason) : NULL;
    memcpy(s->state_at_ms, job->life.at_ms, sizeof(s->state_at_ms));
    s->start_ms = job->start_ms;
    s->end_ms = job->end_ms;
    s->max_parallelism = job->max_parallelism;
    s->parallelism = job->parallelism;
    s->restarts = job->restarts;
    for (uint32_t v = 0; v < s->vertex_count; v++)
        finish_vertex(s, &s->vertices[v], &job->graph.vertices[v]);
    fill_failures(s, job);
    fill_accumulators(s, job);
    fill_config(s, job);
    fill_plan(s, job);
    s->checkpoints = jm_ckpt_picture(job->ckpt);
    jm_job_snapshot_unref(job->snapshot);
    job->snapshot = s;
    job->drawing = NULL;
}

static void drop(struct jm_job *job)
{
    jm_job_snapshot_unref(job->drawing);
    job->drawing = NULL;
    job->dirty = true;
}

bool jm_job_is_drawn(const struct jm_job *job)
{
    return job->snapshot && !job->dirty && !job->drawing;
}

bool jm_job_draw(struct jm_job *job, uint32_t *left)
{
    if (jm_job_is_drawn(job))
        return true;
    if (!jm_graph_make(&job->graph, left))
        return false;
    if (job->drawing && (job->drawn_epoch != job->epoch || job->drawing->worker_count != job->worker_count))
        drop(job); /* its workers are others now */
    if (!job->drawing)
        begin(job);
    while (job->drawn_vertices < job->drawing->vertex_count) {
        if (!draw_subtasks(job, left))
            return false;
        job->drawn_vertices++;
        job->drawn_subtasks = 0;
    }
    finish(job);
    return true;
}

struct jm_job_snapshot *jm_job_last_picture(struct jm_job *job)
{
    if (!job->snapshot)
        return jm_job_picture(job);
    __atomic_fetch_add(&job->snapshot->refs, 1, __ATOMIC_RELAXED);
    return job->snapshot;
}

struct jm_job_snapshot *jm_job_picture(struct jm_job *job)
{
    uint32_t left = UINT32_MAX;

    if (job->drawing)
        drop(job);
    CHECK(jm_job_draw(job, &left));
    return jm_job_last_picture(job);
}

bool jm_job_has_artifact(const struct jm_job *job, const uint8_t hash[32])
{
    const Rask__Graph__StreamGraph *graph = job->job_graph->stream;

    if (graph->has_artifact && graph->artifact.len == 32 &&
        memcmp(graph->artifact.data, hash, 32) == 0)
        return true;
    for (size_t i = 0; i < graph->n_nodes; i++) {
        const Rask__Graph__OperatorSpec *op = graph->nodes[i]->op;

        if (op->has_artifact && op->artifact.len == 32 && memcmp(op->artifact.data, hash, 32) == 0)
            return true;
    }
    return false;
}
