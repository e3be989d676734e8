/*
 * finish.c - from the last acknowledgement to a complete checkpoint, and its end: `_metadata`, what
 * is carried over, references to shared files, retention.  Pure; thread: the control loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "jobmanager/checkpoint/coordinator_private.h"

#define AGAIN_MS 100
#define DOUBT_MS 10000

/* ---- what the coordinator itself keeps in _metadata: the operators that had ended ---- */

static bool vertex_finished(const struct jm_ckpt_vertex *v)
{
    for (uint32_t i = 0; i < v->parallelism; i++)
        if (!v->subtasks[i].finished)
            return false;
    return true;
}

static const uint8_t *operator_id(const Rask__Graph__JobGraph *graph, const Rask__Graph__ChainedOperator *op)
{
    const Rask__Graph__StreamNode *node = graph_node(graph->stream, op->node);

    return node && node->operator_id.len == CKPT_OPERATOR_ID_BYTES ? node->operator_id.data : NULL;
}

static void add_finished(struct pending *p)
{
    const Rask__Graph__JobGraph *graph = p->c->options.graph;
    struct bytes extra;

    bytes_init(&extra);
    for (uint32_t v = 0; v < p->entry->vertex_count; v++) {
        if (!vertex_finished(&p->entry->vertices[v]))
            continue;
        for (size_t i = 0; i < graph->vertices[v]->n_operators; i++) {
            const uint8_t *id = operator_id(graph, graph->vertices[v]->operators[i]);

            if (id)
                bytes_add(&extra, id, CKPT_OPERATOR_ID_BYTES);
        }
    }
    if (extra.len > 0)
        p->meta->extra = (rask_bytes){arena_dup(&p->meta->arena, extra.data, extra.len), (uint32_t)extra.len};
    bytes_release(&extra);
}

static bool is_in_extra(const struct ckpt_meta *m, const uint8_t id[CKPT_OPERATOR_ID_BYTES])
{
    for (size_t at = 0; at + CKPT_OPERATOR_ID_BYTES <= m->extra.len; at += CKPT_OPERATOR_ID_BYTES)
        if (memcmp(m->extra.data + at, id, CKPT_OPERATOR_ID_BYTES) == 0)
            return true;
    return false;
}

static bool was_finished(const struct ckpt_meta *m, const Rask__Graph__JobGraph *graph, size_t vertex)
{
    const Rask__Graph__JobVertex *v = graph->vertices[vertex];

    for (size_t i = 0; i < v->n_operators; i++) {
        const uint8_t *id = operator_id(graph, v->operators[i]);

        if (!id || !is_in_extra(m, id))
            return false;
    }
    return true;
}

/* ---- files and who names them ---- */

/* Absolute, without "..": of a path in the _metadata of dir. Owned. */
static char *absolute(const char *dir, const char *path)
{
    size_t len = strlen(dir);

    if (path[0] == '/')
        return mem_strdup(path);
    while (strncmp(path, "../", 3) == 0) {
        while (len > 0 && dir[--len] != '/')
            continue;
        path += 3;
    }
    return mem_printf("%.*s/%s", (int)len, dir, path);
}

static uintptr_t ref_count(const struct jm_ckpt *c, const char *path)
{
    return (uintptr_t)map_get_str(c->refs, path);
}

void jm_ck_ref_files(struct jm_ckpt *c, const char *dir, const struct ckpt_meta *m)
{
    for (uint32_t i = 0; i < m->file_count; i++) {
        char *path = absolute(dir, m->files[i].path);

        map_put_str(c->refs, path, (void *)(ref_count(c, path) + 1)); /* NOLINT: a number */
        mem_free(path);
    }
}

/* Paths inside the job's own folder may be removed, others belong to somebody else. */
static bool is_inside(const char *path, const char *dir)
{
    size_t len = dir ? strlen(dir) : 0;

    return dir && strncmp(path, dir, len) == 0 && path[len] == '/';
}

static bool is_ours(const struct jm_ckpt *c, const char *path)
{
    return is_inside(path, c->dir) || is_inside(path, c->claimed);
}

static void unref_files(struct jm_ckpt *c, const char *dir, const struct ckpt_meta *m, struct fs_sweep *sweep)
{
    for (uint32_t i = 0; i < m->file_count; i++) {
        char *path = absolute(dir, m->files[i].path);
        uintptr_t count = ref_count(c, path);

        if (count > 1)
            map_put_str(c->refs, path, (void *)(count - 1)); /* NOLINT: a number */
        else
            map_remove_str(c->refs, path);
        if (count <= 1 && is_ours(c, path))
            fs_sweep_add(sweep, path);
        mem_free(path);
    }
}

void jm_ck_complete_free(struct complete *done)
{
    list_remove(&done->link);
    ckpt_meta_free(done->meta);
    jm_ckpt_entry_unref(done->entry);
    mem_free(done->dir);
    mem_free(done);
}

/* _metadata first: what is left of a half removed checkpoint must not look whole. */
static void discard(struct jm_ckpt *c, struct complete *done)
{
    struct fs_sweep *sweep = fs_sweep_new(&c->sweeper);
    char *path = mem_printf("%s/_metadata", done->dir);

    if (!done->foreign)
        fs_sweep_add(sweep, path);
    mem_free(path);
    if (c->claimed && strcmp(c->claimed, done->dir) == 0) /* nobody else can claim what is left of it */
        jm_ck_claim_end(c, sweep);
    unref_files(c, done->dir, done->meta, sweep);
    if (!done->foreign && !jm_ck_folder_in_use(c, done->dir))
        fs_sweep_add(sweep, done->dir);
    fs_sweep_go(sweep);
    jm_ck_complete_free(done);
}

/* A later checkpoint names a file of this folder. */
bool jm_ck_folder_in_use(const struct jm_ckpt *c, const char *dir)
{
    size_t len = strlen(dir);

    for (struct map_iter it = map_iter(c->refs); map_next(&it);)
        if (strncmp(it.key, dir, len) == 0 && ((const char *)it.key)[len] == '/')
            return true;
    return false;
}

void jm_ck_retain(struct jm_ckpt *c)
{
    uint32_t n = 0;

    LIST_FOREACH (at, &c->completes)
        n++;
    for (; n > c->retained; n--)
        discard(c, LIST_ENTRY(c->completes.next, struct complete, link));
}

/* The exclusive folder of one that was given up, and shared files that only it has. */
void jm_ck_sweep_pending(struct pending *p)
{
    struct jm_ckpt *c = p->c;
    struct fs_sweep *sweep = fs_sweep_new(&c->sweeper);

    for (uint32_t i = 0; i < p->meta->file_count; i++) {
        char *path = absolute(p->dir, p->meta->files[i].path);

        if (ref_count(c, path) == 0 && is_ours(c, path))
            fs_sweep_add(sweep, path);
        mem_free(path);
    }
    fs_sweep_add_busy(sweep, p->dir); /* workers hear of it when they hear of it */
    fs_sweep_go(sweep);
}

void jm_ck_leftover_free(struct leftover *l)
{
    list_remove(&l->link);
    mem_free(l->path);
    mem_free(l);
}

static void add_leftovers(struct jm_ckpt *c, struct fs_sweep *sweep)
{
    while (!list_empty(&c->leftovers)) {
        struct leftover *l = LIST_ENTRY(c->leftovers.next, struct leftover, link);

        if (c->over)
            fs_sweep_add(sweep, l->path);
        else
            fs_sweep_add_busy(sweep, l->path);
        jm_ck_leftover_free(l);
    }
    c->leftover_count = 0;
}

/* A name in the shared folder is <worker>-<checkpoint>-<number>.state. */
static bool is_stray(void *arg, const char *name)
{
    struct jm_ckpt *c = arg;
    const char *dash = strchr(name, '-');
    uint64_t first = UINT64_MAX;
    char *path = mem_printf("%s/%s", c->shared_dir, name);
    bool named = ref_count(c, path) > 0;

    mem_free(path);
    LIST_FOREACH (at, &c->pendings)
        first = MIN(first, LIST_ENTRY(at, struct pending, link)->id);
    return !named && dash && strtoull(dash + 1, NULL, 10) < first;
}

static void sweep_strays(struct jm_ckpt *c)
{
    struct fs_sweep *sweep;

    if (!c->strays)
        return;
    c->strays = false;
    sweep = fs_sweep_new(&c->sweeper);
    add_leftovers(c, sweep);
    fs_sweep_add_some(sweep, c->shared_dir, is_stray, c);
    fs_sweep_go(sweep);
}

/* The next checkpoint that is complete tries again, or the end of the job. */
void jm_ck_left_busy(void *arg, const char *folder)
{
    struct jm_ckpt *c = arg;
    struct leftover *l;

    if (c->leftover_count == LEFTOVERS_MAX) {
        l = LIST_ENTRY(c->leftovers.next, struct leftover, link);
        env_log(c->env, LOG_WARN, CK_MODULE, c->job, "an old folder stays: \"%s\" is not empty", l->path);
        jm_ck_leftover_free(l);
        c->leftover_count--;
    }
    l = MEM_NEW(struct leftover);
    l->path = mem_strdup(folder);
    list_push_back(&c->leftovers, &l->link);
    c->leftover_count++;
    c->strays = true;
    if (c->over)
        sweep_strays(c);
}

/* ---- complete ---- */

static void end_subsumed(struct jm_ckpt *c, uint64_t id)
{
    LIST_FOREACH_SAFE (at, &c->pendings) {
        struct pending *p = LIST_ENTRY(at, struct pending, link);
        char *text;

        if (p->id >= id || p->state == PENDING_WRITING || jm_ckpt_is_savepoint(p->entry->kind))
            continue;
        text = mem_printf("checkpoint %llu was complete before it", (unsigned long long)id);
        jm_ck_pending_fail(p, true, false, ERR_STATE, text);
        mem_free(text);
    }
}

static struct complete *newest(const struct jm_ckpt *c)
{
    return list_empty(&c->completes) ? NULL : LIST_ENTRY(c->completes.prev, struct complete, link);
}

/* It may be restored from. of_user: nothing of it is removed. */
static void add_complete(struct pending *p, bool of_user)
{
    struct jm_ckpt *c = p->c;
    struct complete *done = MEM_NEW(struct complete);

    *done = (struct complete){.id = p->id, .dir = p->dir, .meta = p->meta, .entry = jm_ckpt_entry_ref(p->entry),
                              .near = !of_user, .foreign = of_user};
    p->dir = NULL;
    p->meta = NULL;
    if (newest(c) && newest(c)->id > done->id) /* one that was begun later was faster */
        list_push_front(&c->completes, &done->link);
    else
        list_push_back(&c->completes, &done->link);
    jm_ck_ref_files(c, done->dir, done->meta);
}

static void write_metadata(struct pending *p);

static void on_again(struct env_timer *timer)
{
    write_metadata(CONTAINER_OF(timer, struct pending, again));
}

/*
 * Whether a checkpoint is complete is decided by whether its _metadata is there. Where that got its name and its folder could
 * not be synced, as one that is away for a moment, it may be found later: to say that it failed would have sinks roll back what
 * it promises. So it is written again until it is there for certain; only a folder that stays away ends that.
 */
static bool is_in_doubt(struct pending *p, const struct fs_result *result)
{
    uint64_t now = env_now_ns(p->c->env);

    if (result->in_place && p->doubt_ns == 0)
        p->doubt_ns = now;
    if (p->doubt_ns == 0 || now - p->doubt_ns >= (uint64_t)DOUBT_MS * 1000000)
        return false;
    env_timer_arm_ms(p->c->env, &p->again, AGAIN_MS);
    return true;
}

static void metadata_failed(struct pending *p, const struct fs_result *result)
{
    char *text;

    if (is_in_doubt(p, result))
        return;
    text = mem_printf("its _metadata could not be written: %s%s", result->err.text,
                      p->doubt_ns ? "; should it be found there, it is of no use: remove it" : "");
    jm_ck_pending_fail(p, p->c->running, true, result->code, text);
    mem_free(text);
}

static void on_written(void *arg, const struct fs_result *result)
{
    struct pending *p = arg;
    struct jm_ckpt *c = p->c;
    struct jm_ckpt_entry *e = p->entry;
    uint64_t id = p->id;

    if (result->code < 0) {
        metadata_failed(p, result);
        return;
    }
    e->status = JM_CKPT_COMPLETED;
    e->end_ms = env_wall_ms(c->env);
    e->path = mem_strdup(p->dir);
    e->state_bytes = ckpt_meta_bytes(p->meta, NULL);
    jm_ckpt_book_end(&c->book, e);
    c->last_end_ns = env_now_ns(c->env);
    env_log(c->env, LOG_DEBUG, CK_MODULE, c->job, "%s %llu complete: %llu bytes in %llu ms",
            jm_ckpt_is_savepoint(e->kind) ? "savepoint" : "checkpoint", (unsigned long long)id,
            (unsigned long long)e->checkpointed_bytes,
            (unsigned long long)jm_ckpt_entry_duration_ms(e, e->end_ms));
    if (!jm_ckpt_is_savepoint(e->kind)) {
        c->failed_in_row = 0;
        c->full_next = c->full_next && !e->full;
        add_complete(p, false);
        jm_ck_retain(c);
        end_subsumed(c, id);
        sweep_strays(c);
    } else if (jm_ck_stops(e->kind)) {
        /* Sinks commit what it holds: should the job fail before it has stopped, it goes on from there, or those rows came again. */
        add_complete(p, true);
        c->full_next = true; /* tasks that run on know it not */
    }
    if (!c->running)
        ENV_PROBE(c->env, "checkpoint: complete after its epoch had ended");
    if (c->running)
        c->options.hooks->complete(c->options.arg, id, e->kind);
    if (p->done)
        p->done(p->arg, NULL, id, e->path);
    jm_ck_pending_free(p);
    jm_ck_changed(c);
    jm_ck_turn_soon(c);
    c->options.hooks->idle(c->options.arg);
}

/* What a path in the _metadata of an older checkpoint is called from the new one's folder. */
static const char *path_from(void *arg, struct arena *arena, const char *path)
{
    const struct complete *before = arg;
    char *made;

    if (path[0] == '/' || (before->near && strncmp(path, "../", 3) == 0))
        return path;
    if (before->near) {
        const char *folder = strrchr(before->dir, '/') + 1;
        size_t size = strlen(folder) + strlen(path) + 8;

        made = arena_alloc(arena, size);
        snprintf(made, size, "../%s/%s", folder, path);
    } else {
        char *whole = absolute(before->dir, path);

        made = arena_strdup(arena, whole);
        mem_free(whole);
    }
    return made;
}

static void write_metadata(struct pending *p)
{
    char *path = mem_printf("%s/_metadata", p->dir);

    p->c->env->fs->ops->write_all(p->c->env->fs, path, p->packed.data, p->packed.len, on_written, p);
    mem_free(path);
}

void jm_ck_finish(struct pending *p)
{
    struct jm_ckpt *c = p->c;
    struct complete *before = newest(c);
    struct err err = {0};
    int code = 0;

    memcpy(p->meta->job, c->options.job_id.bytes, sizeof(p->meta->job));
    p->meta->checkpoint = p->id;
    p->meta->kind = jm_ckpt_is_savepoint(p->entry->kind) ? CKPT_SAVEPOINT : CKPT_CHECKPOINT;
    p->meta->created_ms = p->entry->trigger_ms;
    p->meta->completed_ms = env_wall_ms(c->env);
    p->meta->job_name = arena_strdup(&p->meta->arena, c->options.job_name);
    p->meta->version = arena_strdup(&p->meta->arena, RASK_VERSION);
    add_finished(p);
    if (before && !before->foreign && !jm_ckpt_is_savepoint(p->entry->kind) && before->id < p->id)
        code = ckpt_meta_carry(p->meta, before->meta, path_from, before, &err);
    if (code < 0) {
        jm_ck_pending_fail(p, true, true, code, err.text);
        return;
    }
    p->state = PENDING_WRITING;
    ckpt_meta_pack(p->meta, &p->packed);
    p->again.cb = on_again;
    write_metadata(p);
}

/* ---- where the next epoch begins, and the end ---- */

bool jm_ckpt_latest(struct jm_ckpt *c, Rask__Control__Restore *ret, struct arena *arena)
{
    struct complete *at = newest(c);
    const Rask__Graph__JobGraph *graph = c->options.graph;

    c->given = at ? at->id : 0;
    if (!at)
        return false;
    rask__control__restore__init(ret);
    ret->dir = arena_strdup(arena, at->dir);
    ret->checkpoint = at->id;
    ret->has_base_checkpoint = true;
    ret->base_checkpoint = at->foreign ? 0 : at->id;
    ret->has_allow_dropped = true;
    ret->allow_dropped = c->ignore_unclaimed;
    ret->has_of_user = true;
    ret->of_user = at->entry->restored;
    ret->finished_vertices = arena_alloc(arena, (graph->n_vertices + 1) * sizeof(uint32_t));
    for (size_t v = 0; v < graph->n_vertices; v++)
        if (was_finished(at->meta, graph, v))
            ret->finished_vertices[ret->n_finished_vertices++] = (uint32_t)v;
    return true;
}

bool jm_ckpt_was_finished(const struct jm_ckpt *c, uint32_t vertex)
{
    const struct complete *at = newest(c);

    return at && was_finished(at->meta, c->options.graph, vertex);
}

/* What is damaged stays where it is, for whoever wants to look at it, and is counted as named until the job is over. */
bool jm_ckpt_damaged(struct jm_ckpt *c, const char *why)
{
    struct complete *at = newest(c), *before;

    if (!at || c->given == 0)
        return false;
    if (at->id != c->given)
        return true; /* another worker has said so */
    if (at->link.prev == &c->completes)
        return false;
    before = LIST_ENTRY(at->link.prev, struct complete, link);
    env_log(c->env, LOG_WARN, CK_MODULE, c->job,
            "checkpoint %llu is damaged or gone: the job goes back to checkpoint %llu, and what its sinks have committed since that one "
            "comes again (%s)", (unsigned long long)at->id, (unsigned long long)before->id, why);
    jm_ck_complete_free(at);
    c->full_next = true;
    return true;
}

void jm_ckpt_restored(struct jm_ckpt *c)
{
    if (newest(c)) {
        jm_ckpt_book_restored(&c->book, newest(c)->entry, env_wall_ms(c->env));
        jm_ck_changed(c);
    }
}

/* A job that ends without a checkpoint of its own leaves what it had claimed as it was: for another try. */
static void give_back(struct jm_ckpt *c)
{
    struct complete *at = newest(c);
    struct fs_sweep *sweep;

    if (!c->claimed || !at || !at->entry->restored)
        return;
    at->foreign = true;
    sweep = fs_sweep_new(&c->sweeper);
    jm_ck_claim_end(c, sweep);
    fs_sweep_go(sweep);
    mem_free(c->claimed);
    c->claimed = NULL;
}

/* What it leaves may be claimed. */
static void end_mark(struct jm_ckpt *c)
{
    struct fs_sweep *sweep;
    char *mark;

    if (c->counter == 0)
        return;
    sweep = fs_sweep_new(&c->sweeper);
    mark = jm_ck_running_mark(c);
    fs_sweep_add(sweep, mark);
    fs_sweep_go(sweep);
    mem_free(mark);
}

void jm_ckpt_job_over(struct jm_ckpt *c, enum jm_job_state state)
{
    bool stays = (state == JM_JOB_CANCELED && c->keep_canceled) || (state == JM_JOB_FAILED && c->keep_failed);
    struct fs_sweep *sweep;

    CHECK(!c->running);
    c->over = true;
    c->over_in = state;
    if (!list_empty(&c->ghosts)) /* the last of them calls again */
        return;
    if (state != JM_JOB_FINISHED)
        give_back(c);
    if (stays) {
        sweep_strays(c);
        end_mark(c);
        return;
    }
    if (c->counter == 0 && list_empty(&c->completes))
        return;
    sweep = fs_sweep_new(&c->sweeper);
    while (!list_empty(&c->completes)) {
        struct complete *done = LIST_ENTRY(c->completes.next, struct complete, link);
        char *path = mem_printf("%s/_metadata", done->dir);

        if (!done->foreign)
            fs_sweep_add(sweep, path);
        mem_free(path);
        unref_files(c, done->dir, done->meta, sweep);
        jm_ck_complete_free(done);
    }
    add_leftovers(c, sweep);
    fs_sweep_add(sweep, c->dir);
    if (c->claimed)
        jm_ck_claim_end(c, sweep);
    fs_sweep_go(sweep);
}
