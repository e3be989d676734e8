/* view.c - parts that several answers share: metrics, counts by state, one subtask, figures over subtasks. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/check.h"
#include "jobmanager/rest/rest_private.h"

int64_t rest_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t rest_duration(int64_t start, int64_t end, int64_t now)
{
    return start <= 0 ? -1 : MAX((end > 0 ? end : now) - start, 0);
}

void rest_view_metrics(struct json_writer *w, const struct jm_metrics *m)
{
    jw_object(w, "metrics");
    jw_int(w, "read-bytes", (int64_t)m->bytes_in);
    jw_bool(w, "read-bytes-complete", m->complete);
    jw_int(w, "write-bytes", (int64_t)m->bytes_out);
    jw_bool(w, "write-bytes-complete", m->complete);
    jw_int(w, "read-records", (int64_t)m->records_in);
    jw_bool(w, "read-records-complete", m->complete);
    jw_int(w, "write-records", (int64_t)m->records_out);
    jw_bool(w, "write-records-complete", m->complete);
    jw_int(w, "accumulated-backpressured-time", (int64_t)m->backpressured_ms);
    jw_int(w, "accumulated-idle-time", (int64_t)m->idle_ms);
    jw_double(w, "accumulated-busy-time", (double)m->busy_ms);
    jw_int(w, "remote-read-records", (int64_t)m->remote_records_in);
    jw_int(w, "source-records", (int64_t)m->source_records);
    jw_object_end(w);
}

void rest_view_task_counts(struct json_writer *w, const char *key, const uint32_t counts[JM_TASK_STATE_COUNT])
{
    jw_object(w, key);
    for (int s = 0; s < JM_TASK_STATE_COUNT; s++)
        jw_int(w, jm_task_state_name((Rask__Control__TaskState)s), counts[s]);
    jw_object_end(w);
}

/* ---- one subtask ---- */
static bool is_final(Rask__Control__TaskState s)
{
    return s == RASK__CONTROL__TASK_STATE__FINISHED || s == RASK__CONTROL__TASK_STATE__CANCELED ||
           s == RASK__CONTROL__TASK_STATE__FAILED;
}

int64_t rest_subtask_start(const struct jm_subtask_snapshot *s)
{
    int64_t at = s->state_at_ms[RASK__CONTROL__TASK_STATE__DEPLOYING];

    return at > 0 ? at : -1;
}

int64_t rest_subtask_end(const struct jm_subtask_snapshot *s)
{
    return is_final(s->state) && s->state_at_ms[s->state] > 0 ? s->state_at_ms[s->state] : -1;
}

/* The states that Flink reports a duration of. */
static const Rask__Control__TaskState timed[] = {
    RASK__CONTROL__TASK_STATE__CREATED, RASK__CONTROL__TASK_STATE__SCHEDULED, RASK__CONTROL__TASK_STATE__DEPLOYING,
    RASK__CONTROL__TASK_STATE__INITIALIZING, RASK__CONTROL__TASK_STATE__RUNNING};

/* Until the next state that was entered, or now; 0 if it never was in this state. */
static int64_t time_in(const struct jm_subtask_snapshot *s, Rask__Control__TaskState state, int64_t now)
{
    int64_t from = s->state_at_ms[state], to = s->state == state ? now : INT64_MAX;

    if (from <= 0)
        return 0;
    for (int i = 0; i < JM_TASK_STATE_COUNT; i++)
        if (i != (int)state && s->state_at_ms[i] >= from && s->state_at_ms[i] < to && i > (int)state)
            to = s->state_at_ms[i];
    return to == INT64_MAX ? 0 : MAX(to - from, 0);
}

void rest_view_subtask(struct json_writer *w, const struct jm_subtask_snapshot *s, int64_t now)
{
    int64_t start = rest_subtask_start(s), end = rest_subtask_end(s);

    jw_int(w, "subtask", s->subtask);
    jw_string(w, "status", jm_task_state_name(s->state));
    jw_int(w, "attempt", s->attempt);
    jw_string(w, "host", s->host ? s->host : "(unassigned)");
    jw_string(w, "endpoint", s->endpoint ? s->endpoint : "(unassigned)");
    jw_int(w, "start-time", start);
    jw_int(w, "end-time", end);
    jw_int(w, "duration", rest_duration(start, end, now));
    rest_view_metrics(w, &s->metrics);
    jw_string(w, "taskmanager-id", s->taskmanager_id[0] ? s->taskmanager_id : "(unassigned)");
    jw_object(w, "status-duration");
    for (size_t i = 0; i < ARRAY_LEN(timed); i++)
        jw_int(w, jm_task_state_name(timed[i]), time_in(s, timed[i], now));
    jw_object_end(w);
    jw_int(w, "start_time", start); /* Flink has it twice */
}

/* ---- figures over subtasks ---- */
static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static int64_t quantile(const int64_t *sorted, size_t count, size_t percent)
{
    return count ? sorted[MIN(count * percent / 100, count - 1)] : 0;
}

static void view_figures(struct json_writer *w, const char *key, int64_t *values, size_t count)
{
    int64_t sum = 0;

    qsort(values, count, sizeof(values[0]), by_value);
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    jw_object(w, key);
    jw_int(w, "min", count ? values[0] : 0);
    jw_int(w, "max", count ? values[count - 1] : 0);
    jw_int(w, "avg", count ? sum / (int64_t)count : 0);
    jw_int(w, "sum", sum);
    jw_int(w, "median", quantile(values, count, 50));
    jw_int(w, "p25", quantile(values, count, 25));
    jw_int(w, "p75", quantile(values, count, 75));
    jw_int(w, "p95", quantile(values, count, 95));
    jw_object_end(w);
}

static int64_t metric(const struct jm_metrics *m, int which)
{
    const uint64_t values[] = {m->bytes_in,  m->bytes_out,        m->records_in, m->records_out,
                               m->idle_ms,   m->backpressured_ms, m->busy_ms};

    return (int64_t)values[which];
}

void rest_view_aggregated(struct json_writer *w, const struct jm_subtask_snapshot *const *subtasks, size_t count,
                          int64_t now)
{
    static const char *const names[] = {"read-bytes", "write-bytes", "read-records", "write-records",
                                        "accumulated-idle-time", "accumulated-backpressured-time", "accumulated-busy-time"};
    int64_t *values = mem_alloc_array(count + 1, sizeof(*values));

    jw_object(w, "aggregated");
    jw_object(w, "metrics");
    for (int i = 0; i < (int)ARRAY_LEN(names); i++) {
        for (size_t s = 0; s < count; s++)
            values[s] = metric(&subtasks[s]->metrics, i);
        view_figures(w, names[i], values, count);
    }
    jw_object_end(w);
    jw_object(w, "status-duration");
    for (size_t i = 0; i < ARRAY_LEN(timed); i++) {
        for (size_t s = 0; s < count; s++)
            values[s] = time_in(subtasks[s], timed[i], now);
        view_figures(w, jm_task_state_name(timed[i]), values, count);
    }
    jw_object_end(w);
    jw_object_end(w);
    mem_free(values);
}

/* ---- what a path names ---- */
const struct jm_vertex_snapshot *rest_vertex(struct rest_request *r)
{
    struct id id;

    if (!id_parse(rest_param(r, "vertexid"), &id)) {
        rest_fail_param(r, "vertexid");
        return NULL;
    }
    for (uint32_t i = 0; i < r->job->vertex_count; i++)
        if (!r->job->vertices[i].hidden && id_equal(&r->job->vertices[i].id, &id))
            return &r->job->vertices[i];
    rest_fail(r, 404, "JobVertex %s not found", rest_param(r, "vertexid"));
    return NULL;
}

const struct jm_subtask_snapshot *rest_subtask(struct rest_request *r, const struct jm_vertex_snapshot *v)
{
    uint64_t i = 0;

    if (!rest_param_u64(r, "subtaskindex", &i))
        return NULL;
    if (i < v->parallelism)
        return &v->subtasks[i];
    rest_fail(r, 404, "Invalid subtask index for vertex %s", rest_param(r, "vertexid"));
    return NULL;
}
