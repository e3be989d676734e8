/* handlers_vertices.c - one vertex of a job: its subtasks, their times, where they run. */
#include <string.h>

#include "common/base/check.h"
#include "jobmanager/rest/rest_private.h"

static void view_vertex_head(struct rest_request *r, const struct jm_vertex_snapshot *v)
{
    char text[ID_TEXT_MAX];

    jw_object(&r->w, NULL);
    jw_string(&r->w, "id", id_format(&v->id, text));
    jw_string(&r->w, "name", v->name);
}

static const struct jm_subtask_snapshot **subtasks_of(struct rest_request *r, const struct jm_vertex_snapshot *v)
{
    const struct jm_subtask_snapshot **list = arena_alloc(&r->arena, (v->parallelism + 1u) * sizeof(*list));

    for (uint32_t i = 0; i < v->parallelism; i++)
        list[i] = &v->subtasks[i];
    return list;
}

void rest_get_vertex(struct rest_request *r)
{
    const struct jm_vertex_snapshot *v = rest_vertex(r);
    int64_t now = rest_now_ms();

    if (!v)
        return;
    view_vertex_head(r, v);
    jw_int(&r->w, "parallelism", v->parallelism);
    jw_int(&r->w, "maxParallelism", v->max_parallelism);
    jw_int(&r->w, "now", now);
    jw_array(&r->w, "subtasks");
    for (uint32_t i = 0; i < v->parallelism; i++) {
        jw_object(&r->w, NULL);
        rest_view_subtask(&r->w, &v->subtasks[i], now);
        jw_object_end(&r->w);
    }
    jw_array_end(&r->w);
    rest_view_aggregated(&r->w, subtasks_of(r, v), v->parallelism, now);
    jw_object_end(&r->w);
    rest_ok(r);
}

void rest_get_vertex_subtask(struct rest_request *r)
{
    const struct jm_vertex_snapshot *v = rest_vertex(r);
    const struct jm_subtask_snapshot *s = v ? rest_subtask(r, v) : NULL;

    if (!s)
        return;
    jw_object(&r->w, NULL);
    rest_view_subtask(&r->w, s, rest_now_ms());
    jw_object_end(&r->w);
    rest_ok(r);
}

void rest_get_vertex_attempt(struct rest_request *r)
{
    const struct jm_vertex_snapshot *v = rest_vertex(r);
    const struct jm_subtask_snapshot *s = v ? rest_subtask(r, v) : NULL;
    uint64_t attempt = 0;

    if (!s || !rest_param_u64(r, "attempt", &attempt))
        return;
    if (attempt != s->attempt) {
        rest_fail(r, 404, "Could not find execution for attempt %s of subtask %u", rest_param(r, "attempt"), s->subtask);
        return;
    }
    rest_get_vertex_subtask(r);
}

void rest_get_vertex_times(struct rest_request *r)
{
    const struct jm_vertex_snapshot *v = rest_vertex(r);
    int64_t now = rest_now_ms();

    if (!v)
        return;
    view_vertex_head(r, v);
    jw_int(&r->w, "now", now);
    jw_array(&r->w, "subtasks");
    for (uint32_t i = 0; i < v->parallelism; i++) {
        const struct jm_subtask_snapshot *s = &v->subtasks[i];
        int64_t from = s->state_at_ms[RASK__CONTROL__TASK_STATE__SCHEDULED];

        jw_object(&r->w, NULL);
        jw_int(&r->w, "subtask", s->subtask);
        jw_string(&r->w, "host", s->host ? s->host : "(unassigned)");
        jw_string(&r->w, "endpoint", s->endpoint ? s->endpoint : "(unassigned)");
        jw_int(&r->w, "duration", rest_duration(from, rest_subtask_end(s), now));
        jw_object(&r->w, "timestamps");
        for (int state = 0; state < JM_TASK_STATE_COUNT; state++)
            jw_int(&r->w, jm_task_state_name((Rask__Control__TaskState)state), s->state_at_ms[state]);
        jw_object_end(&r->w);
        jw_object_end(&r->w);
    }
    jw_array_end(&r->w);
    jw_object_end(&r->w);
    rest_ok(r);
}

/* ---- by TaskManager ---- */
/* The least advanced state says how the group stands; a failure says it for all. */
static Rask__Control__TaskState state_of(const uint32_t counts[JM_TASK_STATE_COUNT])
{
    static const Rask__Control__TaskState order[] = {
        RASK__CONTROL__TASK_STATE__FAILED, RASK__CONTROL__TASK_STATE__CANCELING, RASK__CONTROL__TASK_STATE__CANCELED,
        RASK__CONTROL__TASK_STATE__INITIALIZING, RASK__CONTROL__TASK_STATE__RUNNING, RASK__CONTROL__TASK_STATE__DEPLOYING,
        RASK__CONTROL__TASK_STATE__SCHEDULED, RASK__CONTROL__TASK_STATE__CREATED};

    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        if (counts[order[i]])
            return order[i];
    return RASK__CONTROL__TASK_STATE__FINISHED;
}

static void view_group(struct rest_request *r, const struct jm_subtask_snapshot *const *list, size_t count, int64_t now)
{
    uint32_t counts[JM_TASK_STATE_COUNT] = {0};
    struct jm_metrics sum = {.complete = true};
    int64_t start = -1, end = -1;
    bool all_over = true;
    const struct jm_subtask_snapshot *first = list[0];
    const char *where = first->endpoint ? first->endpoint : "(unassigned)";

    for (size_t i = 0; i < count; i++) {
        int64_t s = rest_subtask_start(list[i]), e = rest_subtask_end(list[i]);

        counts[list[i]->state]++;
        jm_metrics_add(&sum, &list[i]->metrics);
        start = start < 0 || (s > 0 && s < start) ? s : start;
        end = MAX(end, e);
        all_over = all_over && e > 0;
    }
    end = all_over ? end : -1;
    jw_object(&r->w, NULL);
    jw_string(&r->w, "host", where);
    jw_string(&r->w, "endpoint", where);
    jw_string(&r->w, "status", jm_task_state_name(state_of(counts)));
    jw_int(&r->w, "start-time", start);
    jw_int(&r->w, "end-time", end);
    jw_int(&r->w, "duration", rest_duration(start, end, now));
    rest_view_metrics(&r->w, &sum);
    rest_view_task_counts(&r->w, "status-counts", counts);
    jw_string(&r->w, "taskmanager-id", first->taskmanager_id[0] ? first->taskmanager_id : "(unassigned)");
    rest_view_aggregated(&r->w, list, count, now);
    jw_object_end(&r->w);
}

void rest_get_vertex_taskmanagers(struct rest_request *r)
{
    const struct jm_vertex_snapshot *v = rest_vertex(r);
    const struct jm_subtask_snapshot **group;
    int64_t now = rest_now_ms();
    bool *done;

    if (!v)
        return;
    group = subtasks_of(r, v);
    done = arena_alloc(&r->arena, v->parallelism + 1u);
    view_vertex_head(r, v);
    jw_int(&r->w, "now", now);
    jw_array(&r->w, "taskmanagers");
    for (uint32_t i = 0; i < v->parallelism; i++) {
        size_t count = 0;

        for (uint32_t k = i; !done[i] && k < v->parallelism; k++) {
            if (strcmp(v->subtasks[k].taskmanager_id, v->subtasks[i].taskmanager_id) != 0)
                continue;
            group[count++] = &v->subtasks[k];
            if (k > i)
                done[k] = true;
        }
        if (count)
            view_group(r, group, count, now);
    }
    jw_array_end(&r->w);
    jw_object_end(&r->w);
    rest_ok(r);
}

/* ---- accumulators: kept for the job as a whole, so a vertex shows none ---- */
void rest_get_vertex_accumulators(struct rest_request *r)
{
    const struct jm_vertex_snapshot *v = rest_vertex(r);
    char text[ID_TEXT_MAX];

    if (!v)
        return;
    jw_object(&r->w, NULL);
    jw_string(&r->w, "id", id_format(&v->id, text));
    jw_array(&r->w, "user-accumulators");
    jw_array_end(&r->w);
    jw_object_end(&r->w);
    rest_ok(r);
}

void rest_get_vertex_subtask_accumulators(struct rest_request *r)
{
    const struct jm_vertex_snapshot *v = rest_vertex(r);
    char text[ID_TEXT_MAX];

    if (!v)
        return;
    jw_object(&r->w, NULL);
    jw_string(&r->w, "id", id_format(&v->id, text));
    jw_int(&r->w, "parallelism", v->parallelism);
    jw_array(&r->w, "subtasks");
    for (uint32_t i = 0; i < v->parallelism; i++) {
        const struct jm_subtask_snapshot *s = &v->subtasks[i];

        jw_object(&r->w, NULL);
        jw_int(&r->w, "subtask", s->subtask);
        jw_int(&r->w, "attempt", s->attempt);
        jw_string(&r->w, "host", s->host ? s->host : "(unassigned)");
        jw_string(&r->w, "endpoint", s->endpoint ? s->endpoint : "(unassigned)");
        jw_array(&r->w, "user-accumulators");
        jw_array_end(&r->w);
        jw_object_end(&r->w);
    }
    jw_array_end(&r->w);
    jw_object_end(&r->w);
    rest_ok(r);
}
