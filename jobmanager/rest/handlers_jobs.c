/* handlers_jobs.c - lists of jobs, one job, its plan, configuration, failures, result. */
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "jobmanager/rest/rest_private.h"

/* Flink's names of the counts in /jobs/overview: the states in lower case. */
static void view_overview_tasks(struct json_writer *w, const uint32_t counts[JM_TASK_STATE_COUNT])
{
    uint32_t total = 0;

    jw_object(w, "tasks");
    for (int s = 0; s < JM_TASK_STATE_COUNT; s++) {
        const char *name = jm_task_state_name((Rask__Control__TaskState)s);
        char lower[32];
        size_t n = 0;

        for (; name[n] && n < sizeof(lower) - 1; n++)
            lower[n] = (char)(name[n] | 0x20);
        lower[n] = 0;
        jw_int(w, lower, counts[s]);
        total += counts[s];
    }
    jw_int(w, "total", total);
    jw_object_end(w);
}

static int64_t last_change(const struct jm_job_snapshot *job)
{
    int64_t at = job->start_ms;

    for (int s = 0; s < JM_JOB_STATE_COUNT; s++)
        at = MAX(at, job->state_at_ms[s]);
    return at;
}

static void view_overview_job(struct json_writer *w, const struct id *id, const char *name, enum jm_job_state state,
                              int64_t start, int64_t end, int64_t changed, const char *reason,
                              const uint32_t tasks[JM_TASK_STATE_COUNT])
{
    char text[ID_TEXT_MAX];

    jw_object(w, NULL);
    jw_string(w, "jid", id_format(id, text));
    jw_string(w, "name", name);
    jw_int(w, "start-time", start);
    jw_int(w, "end-time", end);
    jw_int(w, "duration", rest_duration(start, end, rest_now_ms()));
    jw_string(w, "state", jm_job_state_name(state));
    jw_int(w, "last-modification", changed);
    view_overview_tasks(w, tasks);
    if (reason)
        jw_string(w, "reason", reason);
    jw_object_end(w);
}

void rest_get_jobs_overview(struct rest_request *r)
{
    const struct jm_cluster_snapshot *c = r->snapshot;

    jw_object(&r->w, NULL);
    jw_array(&r->w, "jobs");
    for (uint32_t i = 0; i < c->job_count; i++) {
        const struct jm_job_snapshot *j = c->jobs[i];

        view_overview_job(&r->w, &j->id, j->name, j->state, j->start_ms, j->end_ms, last_change(j), j->reason, j->tasks);
    }
    for (uint32_t i = 0; i < c->finished_count; i++) {
        const struct jm_finished_job *j = c->finished[i];

        view_overview_job(&r->w, &j->id, j->name, j->state, j->start_ms, j->end_ms, j->end_ms, NULL, j->tasks);
    }
    jw_array_end(&r->w);
    jw_object_end(&r->w);
    rest_ok(r);
}

static void view_job_status(struct json_writer *w, const struct id *id, enum jm_job_state state)
{
    char text[ID_TEXT_MAX];

    jw_object(w, NULL);
    jw_string(w, "id", id_format(id, text));
    jw_string(w, "status", jm_job_state_name(state));
    jw_object_end(w);
}

void rest_get_jobs(struct rest_request *r)
{
    jw_object(&r->w, NULL);
    jw_array(&r->w, "jobs");
    for (uint32_t i = 0; i < r->snapshot->job_count; i++)
        view_job_status(&r->w, &r->snapshot->jobs[i]->id, r->snapshot->jobs[i]->state);
    for (uint32_t i = 0; i < r->snapshot->finished_count; i++)
        view_job_status(&r->w, &r->snapshot->finished[i]->id, r->snapshot->finished[i]->state);
    jw_array_end(&r->w);
    jw_object_end(&r->w);
    rest_ok(r);
}

/* ---- one job ---- */

/* Flink shows a slot sharing group as an id; the same group of the same job gets the same one. */
static void view_slot_group(struct json_writer *w, const struct jm_job_snapshot *job, const char *group)
{
    struct id id = job->id;
    char text[ID_TEXT_MAX];

    for (size_t i = 0; group && group[i]; i++)
        id.bytes[i % sizeof(id.bytes)] = (uint8_t)(id.bytes[i % sizeof(id.bytes)] * 31 + (uint8_t)group[i]);
    jw_string(w, "slotSharingGroupId", id_format(&id, text));
}

static void view_vertex(struct json_writer *w, const struct jm_job_snapshot *job, const struct jm_vertex_snapshot *v,
                        int64_t now)
{
    char text[ID_TEXT_MAX];

    jw_object(w, NULL);
    jw_string(w, "id", id_format(&v->id, text));
    view_slot_group(w, job, v->slot_group);
    jw_string(w, "name", v->name);
    jw_int(w, "maxParallelism", v->max_parallelism);
    jw_int(w, "parallelism", v->parallelism);
    jw_string(w, "status", jm_task_state_name(v->state));
    jw_int(w, "start-time", v->start_ms);
    jw_int(w, "end-time", v->end_ms);
    jw_int(w, "duration", rest_duration(v->start_ms, v->end_ms, now));
    rest_view_task_counts(w, "tasks", v->tasks);
    rest_view_metrics(w, &v->metrics);
    jw_object_end(w);
}

static void view_timestamps(struct json_writer *w, const struct jm_job_snapshot *job)
{
    jw_object(w, "timestamps");
    for (int s = 0; s < JM_JOB_STATE_COUNT; s++)
        jw_int(w, jm_job_state_name((enum jm_job_state)s), job->state_at_ms[s]);
    jw_object_end(w);
}

void rest_get_job(struct rest_request *r)
{
    const struct jm_job_snapshot *job = r->job;
    uint32_t vertices_by_state[JM_TASK_STATE_COUNT] = {0};
    struct json_writer *w = &r->w;
    int64_t now = rest_now_ms();
    char text[ID_TEXT_MAX];

    jw_object(w, NULL);
    jw_string(w, "jid", id_format(&job->id, text));
    jw_string(w, "name", job->name);
    jw_bool(w, "isStoppable", false);
    jw_string(w, "state", jm_job_state_name(job->state));
    jw_string(w, "job-type", "STREAMING");
    jw_int(w, "start-time", job->start_ms);
    jw_int(w, "end-time", job->end_ms);
    jw_int(w, "duration", rest_duration(job->start_ms, job->end_ms, now));
    jw_int(w, "maxParallelism", job->max_parallelism ? (int64_t)job->max_parallelism : -1);
    jw_int(w, "now", now);
    view_timestamps(w, job);
    jw_array(w, "vertices");
    for (uint32_t i = 0; i < job->vertex_count; i++) {
        if (job->vertices[i].hidden)
            continue;
        vertices_by_state[job->vertices[i].state]++;
        view_vertex(w, job, &job->vertices[i], now);
    }
    jw_array_end(w);
    rest_view_task_counts(w, "status-counts", vertices_by_state);
    jw_raw(w, "plan", job->plan_json ? job->plan_json : "{}");
    jw_int(w, "workers", job->worker_count);
    if (job->reason)
        jw_string(w, "reason", job->reason);
    jw_object_end(w);
    rest_ok(r);
}

void rest_get_job_plan(struct rest_request *r)
{
    jw_object(&r->w, NULL);
    jw_raw(&r->w, "plan", r->job->plan_json ? r->job->plan_json : "{}");
    jw_object_end(&r->w);
    rest_ok(r);
}

void rest_get_job_config(struct rest_request *r)
{
    char text[ID_TEXT_MAX];

    jw_object(&r->w, NULL);
    jw_string(&r->w, "jid", id_format(&r->job->id, text));
    jw_string(&r->w, "name", r->job->name);
    jw_object(&r->w, "execution-config");
    jw_string(&r->w, "execution-mode", "PIPELINED");
    jw_string(&r->w, "restart-strategy", "Cluster level default restart strategy");
    jw_int(&r->w, "job-parallelism", r->job->parallelism);
    jw_bool(&r->w, "object-reuse-mode", true); /* batches are shared, never copied between chained operators */
    jw_object(&r->w, "user-config");
    for (uint32_t i = 0; i < r->job->config_count; i++) {
        const struct jm_property *p = &r->job->config[i];

        jw_string(&r->w, p->key, conf_is_secret(p->key) ? CONF_HIDDEN : p->value);
    }
    jw_object_end(&r->w);
    jw_object_end(&r->w);
    jw_object_end(&r->w);
    rest_ok(r);
}

void rest_get_job_status(struct rest_request *r)
{
    jw_object(&r->w, NULL);
    jw_string(&r->w, "status", jm_job_state_name(r->job->state));
    jw_object_end(&r->w);
    rest_ok(r);
}

void rest_get_job_accumulators(struct rest_request *r)
{
    jw_object(&r->w, NULL);
    jw_array(&r->w, "job-accumulators");
    jw_array_end(&r->w);
    jw_array(&r->w, "user-task-accumulators");
    for (uint32_t i = 0; i < r->job->accumulator_count; i++) {
        char value[32];

        snprintf(value, sizeof(value), "%lld", (long long)r->job->accumulators[i].value);
        jw_object(&r->w, NULL);
        jw_string(&r->w, "name", r->job->accumulators[i].name);
        jw_string(&r->w, "type", "LongCounter");
        jw_string(&r->w, "value", value);
        jw_object_end(&r->w);
    }
    jw_array_end(&r->w);
    jw_object(&r->w, "serialized-user-task-accumulators");
    jw_object_end(&r->w);
    jw_object_end(&r->w);
    rest_ok(r);
}

/* ---- failures ---- */
static void view_where(struct json_writer *w, const struct jm_failure_snapshot *f, const char *task_key)
{
    const char *where = f->endpoint ? f->endpoint : "(unassigned)";

    jw_string(w, task_key, f->task);
    jw_string(w, "location", where);
    jw_string(w, "endpoint", where);
}

static void view_history_entry(struct json_writer *w, const struct jm_failure_snapshot *f)
{
    jw_object(w, NULL);
    jw_string(w, "exceptionName", f->task ? "TaskFailure" : "JobFailure");
    jw_string(w, "stacktrace", f->text);
    jw_int(w, "timestamp", f->at_ms);
    jw_object(w, "failureLabels");
    jw_object_end(w);
    view_where(w, f, "taskName");
    jw_string(w, "taskManagerId", f->taskmanager_id ? f->taskmanager_id : "(unassigned)");
    jw_array(w, "concurrentExceptions");
    jw_array_end(w);
    jw_object_end(w);
}

void rest_get_job_exceptions(struct rest_request *r)
{
    const struct jm_job_snapshot *job = r->job;
    uint64_t max = 20;
    uint32_t shown;

    if (!rest_query_u64(r, "maxExceptions", UINT32_MAX, &max))
        return;
    shown = (uint32_t)MIN(max, job->failure_count);
    jw_object(&r->w, NULL);
    if (job->failure_count) {
        jw_string(&r->w, "root-exception", job->failures[0].text);
        jw_int(&r->w, "timestamp", job->failures[0].at_ms);
    } else {
        jw_null(&r->w, "root-exception");
        jw_null(&r->w, "timestamp");
    }
    jw_array(&r->w, "all-exceptions");
    for (uint32_t i = 0; i < shown; i++) {
        const struct jm_failure_snapshot *f = &job->failures[i];

        jw_object(&r->w, NULL);
        jw_string(&r->w, "exception", f->text);
        view_where(&r->w, f, "task");
        jw_int(&r->w, "timestamp", f->at_ms);
        jw_string(&r->w, "taskManagerId", f->taskmanager_id ? f->taskmanager_id : "(unassigned)");
        jw_object_end(&r->w);
    }
    jw_array_end(&r->w);
    jw_bool(&r->w, "truncated", shown < job->failure_count);
    jw_object(&r->w, "exceptionHistory");
    jw_array(&r->w, "entries");
    for (uint32_t i = 0; i < shown; i++)
        view_history_entry(&r->w, &job->failures[i]);
    jw_array_end(&r->w);
    jw_bool(&r->w, "truncated", shown < job->failure_count);
    jw_object_end(&r->w);
    jw_object_end(&r->w);
    rest_ok(r);
}

void rest_get_job_result(struct rest_request *r)
{
    const struct jm_job_snapshot *job = r->job;
    bool over = jm_job_state_is_final(job->state);
    char text[ID_TEXT_MAX];

    jw_object(&r->w, NULL);
    jw_object(&r->w, "status");
    jw_string(&r->w, "id", over ? "COMPLETED" : "IN_PROGRESS");
    jw_object_end(&r->w);
    if (over) {
        jw_object(&r->w, "job-execution-result");
        jw_string(&r->w, "id", id_format(&job->id, text));
        jw_string(&r->w, "application-status", job->state == JM_JOB_FINISHED ? "SUCCEEDED" : jm_job_state_name(job->state));
        jw_object(&r->w, "accumulator-results");
        for (uint32_t i = 0; i < job->accumulator_count; i++)
            jw_int(&r->w, job->accumulators[i].name, job->accumulators[i].value);
        jw_object_end(&r->w);
        jw_int(&r->w, "net-runtime", rest_duration(job->start_ms, job->end_ms, job->end_ms));
        if (job->state == JM_JOB_FAILED) {
            jw_object(&r->w, "failure-cause");
            jw_string(&r->w, "class", "JobFailure");
            jw_string(&r->w, "stack-trace", job->failure_count ? job->failures[0].text
                                            : job->reason      ? job->reason
                                                               : "No cause was recorded.");
            jw_string(&r->w, "serialized-throwable", "");
            jw_object_end(&r->w);
        }
        jw_object_end(&r->w);
    }
    jw_object_end(&r->w);
    rest_ok(r);
}
