/* stats.c - see stats.h. Pure. */
#include "jobmanager/checkpoint/stats.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

bool jm_ckpt_is_savepoint(Rask__Control__CheckpointKind kind)
{
    return kind != RASK__CONTROL__CHECKPOINT_KIND__CHECKPOINT;
}

struct jm_ckpt_entry *jm_ckpt_entry_new(const Rask__Graph__JobGraph *graph, uint64_t id,
                                        Rask__Control__CheckpointKind kind)
{
    struct jm_ckpt_entry *e = MEM_NEW(struct jm_ckpt_entry);

    e->refs = 1;
    e->id = id;
    e->kind = kind;
    e->vertex_count = (uint32_t)graph->n_vertices;
    e->vertices = mem_alloc_array(e->vertex_count, sizeof(*e->vertices));
    for (uint32_t v = 0; v < e->vertex_count; v++) {
        e->vertices[v].parallelism = graph->vertices[v]->parallelism;
        e->vertices[v].hidden = graph->vertices[v]->hidden;
        e->vertices[v].subtasks =
            mem_alloc_array(e->vertices[v].parallelism, sizeof(struct jm_ckpt_subtask));
        e->subtasks += e->vertices[v].hidden ? 0 : e->vertices[v].parallelism;
    }
    return e;
}

struct jm_ckpt_entry *jm_ckpt_entry_ref(struct jm_ckpt_entry *e)
{
    if (e)
        __atomic_fetch_add(&e->refs, 1, __ATOMIC_RELAXED);
    return e;
}

void jm_ckpt_entry_unref(struct jm_ckpt_entry *e)
{
    if (!e || __atomic_sub_fetch(&e->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (uint32_t v = 0; v < e->vertex_count; v++)
        mem_free(e->vertices[v].subtasks);
    mem_free(e->vertices);
    mem_free(e->path);
    mem_free(e->failure);
    mem_free(e);
}

static struct jm_ckpt_entry *entry_copy(const struct jm_ckpt_entry *e)
{
    struct jm_ckpt_entry *copy = mem_dup(e, sizeof(*e));

    copy->refs = 1;
    copy->path = e->path ? mem_strdup(e->path) : NULL;
    copy->failure = e->failure ? mem_strdup(e->failure) : NULL;
    copy->vertices = mem_dup(e->vertices, e->vertex_count * sizeof(*e->vertices));
    for (uint32_t v = 0; v < e->vertex_count; v++)
        copy->vertices[v].subtasks =
            mem_dup(e->vertices[v].subtasks, e->vertices[v].parallelism * sizeof(struct jm_ckpt_subtask));
    return copy;
}

bool jm_ckpt_entry_ack(struct jm_ckpt_entry *e, const Rask__Control__SubtaskCheckpoint *ack)
{
    struct jm_ckpt_vertex *v = ack->vertex < e->vertex_count ? &e->vertices[ack->vertex] : NULL;
    struct jm_ckpt_subtask *s = v && ack->subtask < v->parallelism ? &v->subtasks[ack->subtask] : NULL;

    if (!s || s->acked)
        return false;
    *s = (struct jm_ckpt_subtask){
        .acked = true,
        .finished = ack->finished,
        .unaligned = ack->unaligned,
        .ack_ms = ack->ack_ms,
        .start_delay_ms = ack->start_delay_ms,
        .alignment_ms = ack->alignment_ms,
        .sync_ms = ack->sync_us / 1000,
        .async_ms = ack->async_ms,
        .processed_bytes = ack->processed_bytes,
        .persisted_bytes = ack->persisted_bytes,
        .state_bytes = ack->state_bytes,
    };
    v->acked++;
    e->acked += !v->hidden;
    e->checkpointed_bytes += ack->state_bytes;
    e->processed_bytes += ack->processed_bytes;
    e->persisted_bytes += ack->persisted_bytes;
    e->latest_ack_ms = MAX(e->latest_ack_ms, ack->ack_ms);
    return true;
}

uint64_t jm_ckpt_entry_duration_ms(const struct jm_ckpt_entry *e, int64_t now_ms)
{
    int64_t end = e->end_ms ? e->end_ms : now_ms;

    return end > e->trigger_ms ? (uint64_t)(end - e->trigger_ms) : 0;
}

/* ---- pictures ---- */

struct jm_ckpt_stats *jm_ckpt_stats_new(void)
{
    struct jm_ckpt_stats *s = MEM_NEW(struct jm_ckpt_stats);

    s->refs = 1;
    return s;
}

struct jm_ckpt_stats *jm_ckpt_stats_ref(struct jm_ckpt_stats *s)
{
    if (s)
        __atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void jm_ckpt_stats_unref(struct jm_ckpt_stats *s)
{
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (uint32_t i = 0; i < s->history_count; i++)
        jm_ckpt_entry_unref(s->history[i]);
    jm_ckpt_entry_unref(s->latest_completed);
    jm_ckpt_entry_unref(s->latest_savepoint);
    jm_ckpt_entry_unref(s->latest_failed);
    jm_ckpt_entry_unref(s->latest_restored);
    mem_free(s);
}

/* ---- the book ---- */

static void replace(struct jm_ckpt_entry **at, struct jm_ckpt_entry *e)
{
    jm_ckpt_entry_unref(*at);
    *at = jm_ckpt_entry_ref(e);
}

void jm_ckpt_book_begin(struct jm_ckpt_book *b, struct jm_ckpt_entry *e)
{
    b->total++;
    if (b->history_count == JM_CKPT_HISTORY_MAX)
        jm_ckpt_entry_unref(b->history[--b->history_count]);
    memmove(&b->history[1], &b->history[0], b->history_count * sizeof(b->history[0]));
    b->history[0] = jm_ckpt_entry_ref(e);
    b->history_count++;
}

static void sample(struct jm_ckpt_book *b, const struct jm_ckpt_entry *e)
{
    const uint64_t values[JM_CKPT_MEASURES] = {
        [JM_CKPT_CHECKPOINTED] = e->checkpointed_bytes,
        [JM_CKPT_STATE] = e->state_bytes,
        [JM_CKPT_DURATION] = jm_ckpt_entry_duration_ms(e, e->end_ms),
        [JM_CKPT_PROCESSED] = e->processed_bytes,
        [JM_CKPT_PERSISTED] = e->persisted_bytes,
    };

    for (int m = 0; m < JM_CKPT_MEASURES; m++) {
        if (!b->samples[m])
            b->samples[m] = mem_alloc_array(JM_CKPT_SAMPLES_MAX, sizeof(uint64_t));
        b->samples[m][b->sample_next] = values[m];
        b->min[m] = b->completed == 1 ? values[m] : MIN(b->min[m], values[m]);
        b->max[m] = MAX(b->max[m], values[m]);
        b->sum[m] += values[m];
    }
    b->sample_next = (b->sample_next + 1) % JM_CKPT_SAMPLES_MAX;
    b->sample_count = MIN(b->sample_count + 1, JM_CKPT_SAMPLES_MAX);
}

void jm_ckpt_book_end(struct jm_ckpt_book *b, struct jm_ckpt_entry *e)
{
    CHECK(e->status != JM_CKPT_IN_PROGRESS);
    if (e->status == JM_CKPT_FAILED) {
        b->failed++;
        replace(&b->latest_failed, e);
        return;
    }
    b->completed++;
    sample(b, e);
    replace(jm_ckpt_is_savepoint(e->kind) ? &b->latest_savepoint : &b->latest_completed, e);
}

void jm_ckpt_book_explain(struct jm_ckpt_book *b, uint32_t at, const char *text)
{
    struct jm_ckpt_entry *before = b->history[at], *e = entry_copy(before);

    mem_free(e->failure);
    e->failure = mem_printf("%s; %s", before->failure, text);
    if (b->latest_failed == before)
        replace(&b->latest_failed, e);
    b->history[at] = e;
    jm_ckpt_entry_unref(before);
}

void jm_ckpt_book_restored(struct jm_ckpt_book *b, struct jm_ckpt_entry *e, int64_t now_ms)
{
    b->restored_ms = now_ms;
    b->restored++;
    replace(&b->latest_restored, e);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void summarise(const struct jm_ckpt_book *b, int m, struct jm_ckpt_summary *ret)
{
    static const uint32_t permille[] = {500, 900, 950, 990, 999};
    uint64_t *sorted, *into[] = {&ret->p50, &ret->p90, &ret->p95, &ret->p99, &ret->p999};

    *ret = (struct jm_ckpt_summary){
        .min = b->min[m], .max = b->max[m], .sum = b->sum[m], .count = b->completed};
    if (b->sample_count == 0)
        return;
    sorted = mem_dup(b->samples[m], b->sample_count * sizeof(*sorted));
    qsort(sorted, b->sample_count, sizeof(*sorted), by_value);
    for (size_t i = 0; i < ARRAY_LEN(into); i++)
        *into[i] = sorted[MIN(b->sample_count * permille[i] / 1000, b->sample_count - 1)];
    mem_free(sorted);
}

static struct jm_ckpt_entry *shown(struct jm_ckpt_entry *e)
{
    return e->status == JM_CKPT_IN_PROGRESS ? entry_copy(e) : jm_ckpt_entry_ref(e);
}

struct jm_ckpt_stats *jm_ckpt_book_picture(const struct jm_ckpt_book *b)
{
    struct jm_ckpt_stats *s = jm_ckpt_stats_new();

    s->restored = b->restored;
    s->restored_ms = b->restored_ms;
    s->total = b->total;
    s->completed = b->completed;
    s->failed = b->failed;
    s->in_progress = b->total - b->completed - b->failed;
    for (int m = 0; m < JM_CKPT_MEASURES; m++)
        summarise(b, m, &s->summary[m]);
    for (uint32_t i = 0; i < b->history_count; i++)
        s->history[i] = shown(b->history[i]);
    s->history_count = b->history_count;
    s->latest_completed = jm_ckpt_entry_ref(b->latest_completed);
    s->latest_savepoint = jm_ckpt_entry_ref(b->latest_savepoint);
    s->latest_failed = jm_ckpt_entry_ref(b->latest_failed);
    s->latest_restored = jm_ckpt_entry_ref(b->latest_restored);
    return s;
}

void jm_ckpt_book_release(struct jm_ckpt_book *b)
{
    for (uint32_t i = 0; i < b->history_count; i++)
        jm_ckpt_entry_unref(b->history[i]);
    jm_ckpt_entry_unref(b->latest_completed);
    jm_ckpt_entry_unref(b->latest_savepoint);
    jm_ckpt_entry_unref(b->latest_failed);
    jm_ckpt_entry_unref(b->latest_restored);
    for (int m = 0; m < JM_CKPT_MEASURES; m++)
        mem_free(b->samples[m]);
    *b = (struct jm_ckpt_book){0};
}
