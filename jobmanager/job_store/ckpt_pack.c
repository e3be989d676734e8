/*
 * ckpt_pack.c - what is told of a job's checkpoints, as a part of the message of a job that is over, and back.
 *
 * Figures of subtasks stand in rows of FIGURES numbers.  Of jobs with very many subtasks they are left out: what the
 * checkpoints were as a whole stays.  Pure; thread: any.
 */
#include "common/base/check.h"
#include "jobmanager/job_store/job_store_private.h"

#define ROWS_MAX 100000 /* of subtasks, over all checkpoints of a job */

enum { FLAGS, ACK, START_DELAY, ALIGNMENT, SYNC, ASYNC, PROCESSED, PERSISTED, STATE, FIGURES };
enum { ACKED = 1, FINISHED = 2, UNALIGNED = 4 };

/* The history and the latest ones, each once. */
#define ENTRIES_MAX (JM_CKPT_HISTORY_MAX + 4)

/* ---- out: the message borrows from the stats ---- */

static uint32_t place_of(const struct jm_ckpt_entry **list, uint32_t *count, const struct jm_ckpt_entry *e)
{
    uint32_t i = 0;

    if (!e)
        return 0;
    while (i < *count && list[i] != e)
        i++;
    if (i == *count)
        list[(*count)++] = e;
    return i + 1;
}

static Rask__Jobstore__CheckpointVertex *vertex_out(const struct jm_ckpt_vertex *v, bool rows, struct arena *arena)
{
    Rask__Jobstore__CheckpointVertex *out = arena_alloc(arena, sizeof(*out));

    rask__jobstore__checkpoint_vertex__init(out);
    out->parallelism = v->parallelism;
    out->acked = v->acked;
    out->hidden = v->hidden;
    if (!rows)
        return out;
    out->n_figures = (size_t)v->parallelism * FIGURES;
    out->figures = arena_alloc(arena, out->n_figures * sizeof(*out->figures));
    for (uint32_t i = 0; i < v->parallelism; i++) {
        const struct jm_ckpt_subtask *s = &v->subtasks[i];
        uint64_t *row = &out->figures[(size_t)i * FIGURES];

        row[FLAGS] = (s->acked ? ACKED : 0) | (s->finished ? FINISHED : 0) | (s->unaligned ? UNALIGNED : 0);
        row[ACK] = (uint64_t)s->ack_ms;
        row[START_DELAY] = s->start_delay_ms;
        row[ALIGNMENT] = s->alignment_ms;
        row[SYNC] = s->sync_ms;
        row[ASYNC] = s->async_ms;
        row[PROCESSED] = s->processed_bytes;
        row[PERSISTED] = s->persisted_bytes;
        row[STATE] = s->state_bytes;
    }
    return out;
}

static Rask__Jobstore__Checkpoint *entry_out(const struct jm_ckpt_entry *e, bool rows, struct arena *arena)
{
    Rask__Jobstore__Checkpoint *out = arena_alloc(arena, sizeof(*out));

    rask__jobstore__checkpoint__init(out);
    out->id = e->id;
    out->status = e->status;
    out->kind = e->kind;
    out->full = e->full;
    out->discarded = e->discarded;
    out->restored = e->restored;
    out->expired = e->expired;
    out->trigger_ms = e->trigger_ms;
    out->latest_ack_ms = e->latest_ack_ms;
    out->end_ms = e->end_ms;
    out->checkpointed_bytes = e->checkpointed_bytes;
    out->state_bytes = e->state_bytes;
    out->processed_bytes = e->processed_bytes;
    out->persisted_bytes = e->persisted_bytes;
    out->path = e->path;
    out->failure = e->failure;
    out->subtasks = e->subtasks;
    out->acked = e->acked;
    out->n_vertices = e->vertex_count;
    out->vertices = arena_alloc(arena, (e->vertex_count + 1) * sizeof(*out->vertices));
    for (uint32_t v = 0; v < e->vertex_count; v++)
        out->vertices[v] = vertex_out(&e->vertices[v], rows, arena);
    return out;
}

static Rask__Jobstore__CheckpointSettings *settings_out(const struct jm_ckpt_settings *s, struct arena *arena)
{
    Rask__Jobstore__CheckpointSettings *out = arena_alloc(arena, sizeof(*out));

    rask__jobstore__checkpoint_settings__init(out);
    out->enabled = s->enabled;
    out->exactly_once = s->exactly_once;
    out->externalized = s->externalized;
    out->delete_on_cancellation = s->delete_on_cancellation;
    out->unaligned = s->unaligned;
    out->after_finish = s->after_finish;
    out->interval_ms = s->interval_ms;
    out->timeout_ms = s->timeout_ms;
    out->min_pause_ms = s->min_pause_ms;
    out->aligned_timeout_ms = s->aligned_timeout_ms;
    out->max_concurrent = s->max_concurrent;
    out->tolerable = s->tolerable;
    return out;
}

Rask__Jobstore__Checkpoints *jm_ckpt_stats_out(const struct jm_ckpt_stats *s, struct arena *arena)
{
    Rask__Jobstore__Checkpoints *out = arena_alloc(arena, sizeof(*out));
    const struct jm_ckpt_entry *list[ENTRIES_MAX];
    uint32_t count = 0;
    uint64_t rows = 0;

    rask__jobstore__checkpoints__init(out);
    out->settings = settings_out(&s->settings, arena);
    out->restored = s->restored;
    out->total = s->total;
    out->completed = s->completed;
    out->failed = s->failed;
    out->restored_ms = s->restored_ms;
    out->n_summary = JM_CKPT_MEASURES * sizeof(struct jm_ckpt_summary) / sizeof(uint64_t);
    out->summary = (uint64_t *)(uintptr_t)s->summary;
    for (uint32_t i = 0; i < s->history_count; i++)
        (void)place_of(list, &count, s->history[i]);
    out->history = count;
    out->latest_completed = place_of(list, &count, s->latest_completed);
    out->latest_savepoint = place_of(list, &count, s->latest_savepoint);
    out->latest_failed = place_of(list, &count, s->latest_failed);
    out->latest_restored = place_of(list, &count, s->latest_restored);
    out->has_latest_completed = out->has_latest_savepoint = true;
    out->has_latest_failed = out->has_latest_restored = true;
    out->n_entries = count;
    out->entries = arena_alloc(arena, (count + 1) * sizeof(*out->entries));
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t v = 0; v < list[i]->vertex_count; v++)
            rows += list[i]->vertices[v].parallelism;
        out->entries[i] = entry_out(list[i], rows <= ROWS_MAX, arena);
    }
    return out;
}

/* ---- in: the stats copy ---- */

static bool vertex_in(const Rask__Jobstore__CheckpointVertex *in, struct jm_ckpt_vertex *v)
{
    if (in->parallelism > GRAPH_PARALLELISM_MAX ||
        (in->n_figures != 0 && in->n_figures != (size_t)in->parallelism * FIGURES))
        return false;
    *v = (struct jm_ckpt_vertex){.parallelism = in->parallelism, .acked = in->acked, .hidden = in->hidden};
    v->subtasks = mem_alloc_array(in->parallelism + 1, sizeof(*v->subtasks));
    for (uint32_t i = 0; i < in->parallelism && in->n_figures > 0; i++) {
        const uint64_t *row = &in->figures[(size_t)i * FIGURES];

        v->subtasks[i] = (struct jm_ckpt_subtask){
            .acked = row[FLAGS] & ACKED,
            .finished = row[FLAGS] & FINISHED,
            .unaligned = row[FLAGS] & UNALIGNED,
            .ack_ms = (int64_t)row[ACK],
            .start_delay_ms = row[START_DELAY],
            .alignment_ms = row[ALIGNMENT],
            .sync_ms = row[SYNC],
            .async_ms = row[ASYNC],
            .processed_bytes = row[PROCESSED],
            .persisted_bytes = row[PERSISTED],
            .state_bytes = row[STATE],
        };
    }
    return true;
}

/* NULL: it is none. */
static struct jm_ckpt_entry *entry_in(const Rask__Jobstore__Checkpoint *in)
{
    struct jm_ckpt_entry *e;

    if (in->status > JM_CKPT_FAILED || in->kind > RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT_TERMINATE)
        return NULL;
    e = MEM_NEW(struct jm_ckpt_entry);
    *e = (struct jm_ckpt_entry){
        .refs = 1,
        .id = in->id,
        .status = (enum jm_ckpt_status)in->status,
        .kind = (Rask__Control__CheckpointKind)in->kind,
        .full = in->full,
        .discarded = in->discarded,
        .restored = in->restored,
        .expired = in->expired,
        .trigger_ms = in->trigger_ms,
        .latest_ack_ms = in->latest_ack_ms,
        .end_ms = in->end_ms,
        .checkpointed_bytes = in->checkpointed_bytes,
        .state_bytes = in->state_bytes,
        .processed_bytes = in->processed_bytes,
        .persisted_bytes = in->persisted_bytes,
        .path = in->path ? mem_strdup(in->path) : NULL,
        .failure = in->failure ? mem_strdup(in->failure) : NULL,
        .subtasks = in->subtasks,
        .acked = in->acked,
        .vertices = mem_alloc_array(in->n_vertices + 1, sizeof(struct jm_ckpt_vertex)),
    };
    for (size_t v = 0; v < in->n_vertices; v++) {
        if (!vertex_in(in->vertices[v], &e->vertices[v])) {
            jm_ckpt_entry_unref(e);
            return NULL;
        }
        e->vertex_count++;
    }
    return e;
}

static struct jm_ckpt_entry *entry_at(struct jm_ckpt_entry **list, size_t count, uint32_t place)
{
    return place > 0 && place <= count ? jm_ckpt_entry_ref(list[place - 1]) : NULL;
}

static void settings_in(const Rask__Jobstore__CheckpointSettings *in, struct jm_ckpt_settings *s)
{
    *s = (struct jm_ckpt_settings){
        .enabled = in->enabled,
        .exactly_once = in->exactly_once,
        .externalized = in->externalized,
        .delete_on_cancellation = in->delete_on_cancellation,
        .unaligned = in->unaligned,
        .after_finish = in->after_finish,
        .interval_ms = in->interval_ms,
        .timeout_ms = in->timeout_ms,
        .min_pause_ms = in->min_pause_ms,
        .aligned_timeout_ms = in->aligned_timeout_ms,
        .max_concurrent = in->max_concurrent,
        .tolerable = in->tolerable,
    };
}

struct jm_ckpt_stats *jm_ckpt_stats_in(const Rask__Jobstore__Checkpoints *in)
{
    struct jm_ckpt_entry *list[ENTRIES_MAX];
    struct jm_ckpt_stats *s = jm_ckpt_stats_new();
    size_t count = 0;

    if (in->n_entries <= ENTRIES_MAX && in->n_summary * sizeof(uint64_t) == sizeof(s->summary))
        while (count < in->n_entries && (list[count] = entry_in(in->entries[count])) != NULL)
            count++;
    if (count == in->n_entries && in->history <= MIN(count, JM_CKPT_HISTORY_MAX)) {
        settings_in(in->settings, &s->settings);
        s->restored = in->restored;
        s->total = in->total;
        s->completed = in->completed;
        s->failed = in->failed;
        s->restored_ms = in->restored_ms;
        for (size_t i = 0; i < in->n_summary; i++)
            ((uint64_t *)s->summary)[i] = in->summary[i];
        s->history_count = in->history;
        for (uint32_t i = 0; i < in->history; i++)
            s->history[i] = jm_ckpt_entry_ref(list[i]);
        s->latest_completed = entry_at(list, count, in->latest_completed);
        s->latest_savepoint = entry_at(list, count, in->latest_savepoint);
        s->latest_failed = entry_at(list, count, in->latest_failed);
        s->latest_restored = entry_at(list, count, in->latest_restored);
    } else {
        jm_ckpt_stats_unref(s);
        s = NULL;
    }
    for (size_t i = 0; i < count; i++)
        jm_ckpt_entry_unref(list[i]);
    return s;
}
