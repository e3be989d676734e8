/*
 * handlers_checkpoints.c - checkpoints of a job: history, figures, settings; and those that are asked for: savepoints, stops.
 *
 * Field names and forms are Flink's.  Figures of a checkpoint count all that its subtasks did; a hidden vertex (an enumerator)
 * is in the sums and not in the lists.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "jobmanager/checkpoint/stats.h"
#include "jobmanager/rest/rest_private.h"

/* ---- figures ---- */

static void view_summary(struct json_writer *w, const char *key, const struct jm_ckpt_summary *s)
{
    static const char *const names[] = {"p50", "p90", "p95", "p99", "p999"};
    const uint64_t values[] = {s->p50, s->p90, s->p95, s->p99, s->p999};

    jw_object(w, key);
    jw_int(w, "min", (int64_t)s->min);
    jw_int(w, "max", (int64_t)s->max);
    jw_int(w, "avg", s->count ? (int64_t)(s->sum / s->count) : 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        jw_double(w, names[i], s->count ? (double)values[i] : (double)NAN);
    jw_object_end(w);
}

static const char *status_name(enum jm_ckpt_status status)
{
    static const char *const names[] = {"IN_PROGRESS", "COMPLETED", "FAILED"};

    return names[status];
}

static const char *class_name(enum jm_ckpt_status status)
{
    static const char *const names[] = {"in_progress", "completed", "failed"};

    return names[status];
}

static const char *type_name(const struct jm_ckpt_entry *e)
{
    switch (e->kind) {
    case RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT:
        return "SAVEPOINT";
    case RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT_SUSPEND:
    case RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT_TERMINATE:
        return "SYNC_SAVEPOINT";
    default:
        return "CHECKPOINT";
    }
}

/* From the trigger to the last acknowledgement, as far as it has come. */
static int64_t ack_duration(const struct jm_ckpt_entry *e, int64_t ack_ms)
{
    return ack_ms > e->trigger_ms ? ack_ms - e->trigger_ms : 0;
}

struct sums {
    uint64_t state, processed, persisted;
    int64_t ack_ms;
};

static struct sums sums_of(const struct jm_ckpt_vertex *v)
{
    struct sums s = {0, 0, 0, 0};

    for (uint32_t i = 0; i < v->parallelism; i++) {
        s.state += v->subtasks[i].state_bytes;
        s.processed += v->subtasks[i].processed_bytes;
        s.persisted += v->subtasks[i].persisted_bytes;
        s.ack_ms = MAX(s.ack_ms, v->subtasks[i].ack_ms);
    }
    return s;
}

static enum jm_ckpt_status vertex_status(const struct jm_ckpt_entry *e, const struct jm_ckpt_vertex *v)
{
    return v->acked == v->parallelism ? JM_CKPT_COMPLETED : e->status;
}

static void view_vertex_sums(struct json_writer *w, const struct jm_ckpt_entry *e, const struct jm_ckpt_vertex *v)
{
    struct sums s = sums_of(v);

    jw_int(w, "id", (int64_t)e->id);
    jw_string(w, "status", status_name(vertex_status(e, v)));
    jw_int(w, "latest_ack_timestamp", s.ack_ms ? s.ack_ms : -1);
    jw_int(w, "checkpointed_size", (int64_t)s.state);
    jw_int(w, "state_size", (int64_t)s.state);
    jw_int(w, "end_to_end_duration", s.ack_ms ? ack_duration(e, s.ack_ms) : -1);
    jw_int(w, "alignment_buffered", 0);
    jw_int(w, "processed_data", (int64_t)s.processed);
    jw_int(w, "persisted_data", (int64_t)s.persisted);
    jw_int(w, "num_subtasks", v->parallelism);
    jw_int(w, "num_acknowledged_subtasks", v->acked);
}

/* job: its vertices are listed; NULL: they are left out. */
static void view_entry(struct json_writer *w, const char *key, const struct jm_ckpt_entry *e, const struct jm_job_snapshot *job)
{
    char id[ID_TEXT_MAX];
    bool savepoint = jm_ckpt_is_savepoint(e->kind);

    jw_object(w, key);
    jw_string(w, "className", class_name(e->status));
    jw_int(w, "id", (int64_t)e->id);
    jw_string(w, "status", status_name(e->status));
    jw_bool(w, "is_savepoint", savepoint);
    jw_string(w, "savepointFormat", savepoint ? "CANONICAL" : NULL);
    jw_int(w, "trigger_timestamp", e->trigger_ms);
    jw_int(w, "latest_ack_timestamp", e->latest_ack_ms ? e->latest_ack_ms : -1);
    jw_int(w, "checkpointed_size", (int64_t)e->checkpointed_bytes);
    jw_int(w, "state_size", (int64_t)(e->status == JM_CKPT_COMPLETED ? e->state_bytes : e->checkpointed_bytes));
    jw_int(w, "end_to_end_duration", (int64_t)jm_ckpt_entry_duration_ms(e, rest_now_ms()));
    jw_int(w, "alignment_buffered", 0);
    jw_int(w, "processed_data", (int64_t)e->processed_bytes);
    jw_int(w, "persisted_data", (int64_t)e->persisted_bytes);
    jw_int(w, "num_subtasks", e->subtasks);
    jw_int(w, "num_acknowledged_subtasks", e->acked);
    jw_string(w, "checkpoint_type", type_name(e));
    jw_object(w, "tasks");
    for (uint32_t v = 0; job && v < e->vertex_count && v < job->vertex_count; v++) {
        if (e->vertices[v].hidden)
            continue;
        jw_object(w, id_format(&job->vertices[v].id, id));
        view_vertex_sums(w, e, &e->vertices[v]);
        jw_object_end(w);
    }
    jw_object_end(w);
    if (e->status == JM_CKPT_COMPLETED) {
        jw_string(w, "external_path", e->path);
        jw_bool(w, "discarded", e->discarded);
    }
    if (e->status == JM_CKPT_FAILED) {
        jw_int(w, "failure_timestamp", e->end_ms);
        jw_string(w, "failure_message", e->failure);
    }
    jw_object_end(w);
}

static void view_latest(struct json_writer *w, const char *key, const struct jm_ckpt_entry *e)
{
    if (e)
        view_entry(w, key, e, NULL);
    else
        jw_null(w, key);
}

static void view_restored(struct json_writer *w, const struct jm_ckpt_entry *e, int64_t restored_ms)
{
    if (!e) {
        jw_null(w, "restored");
        return;
    }
    jw_object(w, "restored");
    jw_int(w, "id", (int64_t)e->id);
    jw_int(w, "restore_timestamp", restored_ms);
    jw_bool(w, "is_savepoint", jm_ckpt_is_savepoint(e->kind));
    jw_string(w, "external_path", e->path);
    jw_object_end(w);
}

void rest_get_checkpoints(struct rest_request *r)
{
    static const struct jm_ckpt_stats nothing;
    const struct jm_ckpt_stats *s = r->job->checkpoints ? r->job->checkpoints : &nothing;
    struct json_writer *w = &r->w;

    jw_object(w, NULL);
    jw_object(w, "counts");
    jw_int(w, "restored", (int64_t)s->restored);
    jw_int(w, "total", (int64_t)s->total);
    jw_int(w, "in_progress", (int64_t)s->in_progress);
    jw_int(w, "completed", (int64_t)s->completed);
    jw_int(w, "failed", (int64_t)s->failed);
    jw_object_end(w);
    jw_object(w, "summary");
    view_summary(w, "checkpointed_size", &s->summary[JM_CKPT_CHECKPOINTED]);
    view_summary(w, "state_size", &s->summary[JM_CKPT_STATE]);
    view_summary(w, "end_to_end_duration", &s->summary[JM_CKPT_DURATION]);
    view_summary(w, "alignment_buffered", &(struct jm_ckpt_summary){.count = 1});
    view_summary(w, "processed_data", &s->summary[JM_CKPT_PROCESSED]);
    view_summary(w, "persisted_data", &s->summary[JM_CKPT_PERSISTED]);
    jw_object_end(w);
    jw_object(w, "latest");
    view_latest(w, "completed", s->latest_completed);
    view_latest(w, "savepoint", s->latest_savepoint);
    view_latest(w, "failed", s->latest_failed);
    view_restored(w, s->latest_restored, s->restored_ms);
    jw_object_end(w);
    jw_array(w, "history");
    for (uint32_t i = 0; i < s->history_count; i++)
        view_entry(w, NULL, s->history[i], NULL);
    jw_array_end(w);
    jw_object_end(w);
    rest_ok(r);
}

void rest_get_checkpoint_config(struct rest_request *r)
{
    const struct jm_ckpt_settings *s = r->job->checkpoints ? &r->job->checkpoints->settings : NULL;
    struct json_writer *w = &r->w;

    if (!s || !s->enabled) {
        rest_fail(r, 404, "Checkpointing has not been enabled.");
        return;
    }
    jw_object(w, NULL);
    jw_string(w, "mode", s->exactly_once ? "exactly_once" : "at_least_once");
    jw_int(w, "interval", (int64_t)s->interval_ms);
    jw_int(w, "timeout", (int64_t)s->timeout_ms);
    jw_int(w, "min_pause", (int64_t)s->min_pause_ms);
    jw_int(w, "max_concurrent", s->max_concurrent);
    jw_object(w, "externalization");
    jw_bool(w, "enabled", s->externalized);
    jw_bool(w, "delete_on_cancellation", s->delete_on_cancellation);
    jw_object_end(w);
    jw_string(w, "state_backend", "HashMapStateBackend");
    jw_string(w, "checkpoint_storage", "FileSystemCheckpointStorage");
    jw_bool(w, "unaligned_checkpoints", s->unaligned);
    jw_int(w, "tolerable_failed_checkpoints", (int64_t)s->tolerable);
    jw_int(w, "aligned_checkpoint_timeout", (int64_t)s->aligned_timeout_ms);
    jw_bool(w, "checkpoints_after_tasks_finish", s->after_finish);
    jw_bool(w, "state_changelog_enabled", false);
    jw_int(w, "changelog_periodic_materialization_interval", 600000);
    jw_string(w, "changelog_storage", "memory");
    jw_object_end(w);
    rest_ok(r);
}

/* Of :checkpointid; NULL: answered. */
static const struct jm_ckpt_entry *find_entry(struct rest_request *r)
{
    const struct jm_ckpt_stats *s = r->job->checkpoints;
    const struct jm_ckpt_entry *latest[3] = {0};
    uint64_t id;

    if (!rest_param_u64(r, "checkpointid", &id))
        return NULL;
    if (s) {
        latest[0] = s->latest_completed;
        latest[1] = s->latest_savepoint;
        latest[2] = s->latest_failed;
    }
    for (uint32_t i = 0; s && i < s->history_count; i++)
        if (s->history[i]->id == id)
            return s->history[i];
    for (size_t i = 0; i < ARRAY_LEN(latest); i++)
        if (latest[i] && latest[i]->id == id)
            return latest[i];
    rest_fail(r, 404, "Could not find checkpointing statistics for checkpoint %llu.", (unsigned long long)id);
    return NULL;
}

void rest_get_checkpoint(struct rest_request *r)
{
    const struct jm_ckpt_entry *e = find_entry(r);

    if (!e)
        return;
    view_entry(&r->w, NULL, e, r->job);
    rest_ok(r);
}

/* ---- one vertex of one checkpoint ---- */

enum measure { M_STATE, M_DURATION, M_SYNC, M_ASYNC, M_PROCESSED, M_PERSISTED, M_ALIGNMENT, M_DELAY };

static uint64_t measure_of(const struct jm_ckpt_entry *e, const struct jm_ckpt_subtask *s, enum measure m)
{
    switch (m) {
    case M_STATE:
        return s->state_bytes;
    case M_DURATION:
        return (uint64_t)ack_duration(e, s->ack_ms);
    case M_SYNC:
        return s->sync_ms;
    case M_ASYNC:
        return s->async_ms;
    case M_PROCESSED:
        return s->processed_bytes;
    case M_PERSISTED:
        return s->persisted_bytes;
    case M_ALIGNMENT:
        return s->alignment_ms;
    case M_DELAY:
        return s->start_delay_ms;
    }
    return 0;
}

/* Over the subtasks; percentiles of so few are not given, as in Flink. */
static void view_measure(struct json_writer *w, const char *key, const struct jm_ckpt_entry *e, const struct jm_ckpt_vertex *v,
                         enum measure m)
{
    static const char *const names[] = {"p50", "p90", "p95", "p99", "p999"};
    uint64_t min = UINT64_MAX, max = 0, sum = 0, n = 0;

    for (uint32_t i = 0; i < v->parallelism; i++) {
        uint64_t x = measure_of(e, &v->subtasks[i], m);

        if (!v->subtasks[i].acked)
            continue;
        min = MIN(min, x);
        max = MAX(max, x);
        sum += x;
        n++;
    }
    jw_object(w, key);
    jw_int(w, "min", n ? (int64_t)min : 0);
    jw_int(w, "max", (int64_t)max);
    jw_int(w, "avg", n ? (int64_t)(sum / n) : 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        jw_double(w, names[i], (double)NAN);
    jw_object_end(w);
}

static void view_subtask(struct json_writer *w, const struct jm_ckpt_entry *e, const struct jm_ckpt_subtask *s, uint32_t index)
{
    jw_object(w, NULL);
    jw_string(w, "className", s->acked ? "completed" : "pending");
    jw_int(w, "index", index);
    if (s->acked) {
        jw_int(w, "ack_timestamp", s->ack_ms);
        jw_int(w, "end_to_end_duration", ack_duration(e, s->ack_ms));
        jw_int(w, "checkpointed_size", (int64_t)s->state_bytes);
        jw_int(w, "state_size", (int64_t)s->state_bytes);
        jw_object(w, "checkpoint");
        jw_int(w, "sync", (int64_t)s->sync_ms);
        jw_int(w, "async", (int64_t)s->async_ms);
        jw_object_end(w);
        jw_object(w, "alignment");
        jw_int(w, "buffered", 0);
        jw_int(w, "processed", (int64_t)s->processed_bytes);
        jw_int(w, "persisted", (int64_t)s->persisted_bytes);
        jw_int(w, "duration", (int64_t)s->alignment_ms);
        jw_object_end(w);
        jw_int(w, "start_delay", (int64_t)s->start_delay_ms);
        jw_bool(w, "unaligned_checkpoint", s->unaligned);
        jw_bool(w, "aborted", e->status == JM_CKPT_FAILED);
    }
    jw_string(w, "status", s->acked ? "completed" : "pending_or_failed");
    jw_object_end(w);
}

void rest_get_checkpoint_subtasks(struct rest_request *r)
{
    const struct jm_ckpt_entry *e = find_entry(r);
    const struct jm_vertex_snapshot *vertex = e ? rest_vertex(r) : NULL;
    const struct jm_ckpt_vertex *v;
    struct json_writer *w = &r->w;

    if (!vertex)
        return;
    v = &e->vertices[vertex - r->job->vertices];
    jw_object(w, NULL);
    view_vertex_sums(w, e, v);
    jw_object(w, "summary");
    view_measure(w, "checkpointed_size", e, v, M_STATE);
    view_measure(w, "state_size", e, v, M_STATE);
    view_measure(w, "end_to_end_duration", e, v, M_DURATION);
    jw_object(w, "checkpoint_duration");
    view_measure(w, "sync", e, v, M_SYNC);
    view_measure(w, "async", e, v, M_ASYNC);
    jw_object_end(w);
    jw_object(w, "alignment");
    view_summary(w, "buffered", &(struct jm_ckpt_summary){.count = 1});
    view_measure(w, "processed", e, v, M_PROCESSED);
    view_measure(w, "persisted", e, v, M_PERSISTED);
    view_measure(w, "duration", e, v, M_ALIGNMENT);
    jw_object_end(w);
    view_measure(w, "start_delay", e, v, M_DELAY);
    jw_object_end(w);
    jw_array(w, "subtasks");
    for (uint32_t i = 0; i < v->parallelism; i++)
        view_subtask(w, e, &v->subtasks[i], i);
    jw_array_end(w);
    jw_object_end(w);
    rest_ok(r);
}
