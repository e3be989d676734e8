/* restore.c - see restore.h. */
#include "taskmanager/worker/checkpoint/restore.h"

#include <string.h>

#include "common/base/check.h"
#include "common/ckpt/ckpt_file.h"
#include "common/env/env.h"
#include "common/fs/fs.h"
#include "taskmanager/worker/task/task.h"

struct feed {
    struct wk_op *op;
    const struct ckpt_section *section; /* NULL: all of op's are in */
};
struct wk_restoring {
    struct env *env;
    struct wk_task *const *tasks;
    uint32_t task_count;
    const Rask__Control__Restore *msg;
    void (*done)(void *arg, const struct err *error);
    void *arg;
    char *path; /* of _metadata */
    struct ckpt_meta *meta;
    struct arena arena;
    struct feed *feeds;
    uint32_t count, at, room;
    struct fs_file *handle;
    uint32_t file; /* index of handle */
    struct bytes decoded;
};

static void next(struct wk_restoring *r);

static struct fs *fs_of(const struct wk_restoring *r)
{
    return r->env->fs;
}

void wk_restore_drop(struct wk_restoring *r)
{
    if (!r)
        return;
    fs_of(r)->ops->forget(fs_of(r), r);
    if (r->handle)
        fs_of(r)->ops->close(fs_of(r), r->handle);
    ckpt_meta_free(r->meta);
    arena_release(&r->arena);
    bytes_release(&r->decoded);
    mem_free(r->feeds);
    mem_free(r->path);
    mem_free(r);
}

/* The checkpoint was complete: what cannot be reached now (a mount, rights) may be there at the next try. */
static struct err unreachable(const struct fs_result *result)
{
    struct err err = result->err;

    err.code = result->code != 0 ? ERR_IO : 0;
    return err;
}

static void finish(struct wk_restoring *r, struct err *error)
{
    if (!error)
        ENV_PROBE(r->env, "worker: tasks begin with a checkpoint");
    if (error)
        err_wrap(error, "cannot restore from \"%s\"", r->msg->dir);
    r->done(r->arg, error);
    wk_restore_drop(r);
}

/* ---- what is needed ---- */

static void add(struct wk_restoring *r, struct wk_op *op, const struct ckpt_section *section)
{
    if (r->count == r->room) {
        r->room = MAX(64, r->room * 2);
        r->feeds = mem_realloc(r->feeds, r->room * sizeof(*r->feeds));
    }
    r->feeds[r->count++] = (struct feed){op, section};
}

/* The same broadcast state was written by each subtask: that of the first one is read. */
static bool is_first_writer(const struct ckpt_meta *m, const struct ckpt_section *s)
{
    for (uint32_t i = 0; i < m->section_count; i++) {
        const struct ckpt_section *o = &m->sections[i];

        if (o->kind == s->kind && o->subtask < s->subtask && strcmp(o->state, s->state) == 0 &&
            memcmp(o->operator_id, s->operator_id, CKPT_OPERATOR_ID_BYTES) == 0)
            return false;
    }
    return true;
}

static void plan_operator_state(struct wk_restoring *r, struct wk_op *op, const uint8_t *id, uint32_t parallelism)
{
    const struct ckpt_meta *m = r->meta;

    for (uint32_t subtask = 0; subtask < parallelism; subtask++)
        for (uint32_t i = 0; i < m->section_count; i++) {
            const struct ckpt_section *s = &m->sections[i];

            if (s->kind != CKPT_LIST && s->kind != CKPT_UNION && s->kind != CKPT_BROADCAST)
                continue;
            if (s->subtask == subtask && memcmp(s->operator_id, id, CKPT_OPERATOR_ID_BYTES) == 0 &&
                (s->kind != CKPT_BROADCAST || is_first_writer(m, s)))
                add(r, op, s);
        }
}

static int plan_op(struct wk_restoring *r, struct wk_op *op, struct err *err)
{
    const uint8_t *id = op->node->operator_id.data;
    const struct ckpt_section **list;
    uint32_t first, last, n;
    int at = ckpt_meta_find_operator(r->meta, id), rc;

    rc = wk_state_restore_begin(op->state, at < 0 ? NULL : &r->meta->operators[at], r->msg->allow_dropped, err);
    if (rc != 0)
        return rc;
    if (at >= 0) {
        ckpt_hash_range(op->ctx.subtask, op->ctx.parallelism, op->ctx.max_parallelism, &first, &last);
        n = ckpt_plan(r->meta, id, first, last, &r->arena, &list);
        for (uint32_t i = 0; i < n; i++)
            add(r, op, list[i]);
        plan_operator_state(r, op, id, r->meta->operators[at].parallelism);
    }
    add(r, op, NULL);
    return 0;
}

static int plan(struct wk_restoring *r, struct err *err)
{
    for (uint32_t i = 0; i < r->task_count; i++) {
        struct wk_chain *c = &r->tasks[i]->chain;

        for (uint32_t k = 0; k < c->op_count; k++) {
            struct wk_op *op = c->ops[k];
            int rc = op->state && op->node->operator_id.len == CKPT_OPERATOR_ID_BYTES ? plan_op(r, op, err) : 0;

            if (rc != 0)
                return err_wrap(err, "operator \"%s\" (subtask %u)", op->ctx.name, op->ctx.subtask);
        }
    }
    return 0;
}

/* ---- reading ---- */

static int take(struct wk_restoring *r, const struct feed *f, const void *data, size_t len, struct err *err)
{
    const char *where = f->section->file == CKPT_NO_FILE ? "_metadata" : r->meta->files[f->section->file].path;
    rask_bytes payload;
    int rc;

    bytes_clear(&r->decoded);
    rc = ckpt_record_open(data, len, f->section, where, &r->arena, NULL, &r->decoded, &payload, err);
    if (rc == 0)
        rc = wk_state_restore(f->op->state, f->section, payload.data, payload.len, err);
    return rc == 0 ? 0 : err_wrap(err, "operator \"%s\" (subtask %u)", f->op->ctx.name, f->op->ctx.subtask);
}

static void on_record(void *arg, const struct fs_result *result)
{
    struct wk_restoring *r = arg;
    const struct feed *f = &r->feeds[r->at];
    struct err err = unreachable(result);
    int rc = err.code;

    if (rc == 0 && result->len < f->section->stored_bytes)
        rc = err_set(&err, ERR_CORRUPT, "%s has no %llu bytes at %llu: it was cut off",
                     r->meta->files[f->section->file].path, (unsigned long long)f->section->stored_bytes,
                     (unsigned long long)f->section->offset);
    if (rc == 0)
        rc = take(r, f, result->data, f->section->stored_bytes, &err);
    if (rc != 0) {
        finish(r, &err);
        return;
    }
    r->at++;
    next(r);
}

static void on_open(void *arg, const struct fs_result *result)
{
    struct wk_restoring *r = arg;
    struct err err = unreachable(result);

    if (result->code != 0) {
        finish(r, &err);
        return;
    }
    r->handle = result->file;
    next(r);
}

static void open_file(struct wk_restoring *r, uint32_t file)
{
    const char *path = r->meta->files[file].path;
    char *whole = path[0] == '/' ? mem_strdup(path) : mem_printf("%s/%s", r->msg->dir, path);

    if (r->handle)
        fs_of(r)->ops->close(fs_of(r), r->handle);
    r->handle = NULL;
    r->file = file;
    fs_of(r)->ops->open(fs_of(r), whole, FS_READ, on_open, r);
    mem_free(whole);
}

static void next(struct wk_restoring *r)
{
    for (; r->at < r->count; r->at++) {
        const struct feed *f = &r->feeds[r->at];
        const struct ckpt_section *s = f->section;
        struct err err = {0};

        if (!s) {
            wk_state_restore_end(f->op->state, r->msg->base_checkpoint);
            continue;
        }
        if (s->file != CKPT_NO_FILE) {
            if (!r->handle || r->file != s->file)
                open_file(r, s->file);
            else
                fs_of(r)->ops->pread(fs_of(r), r->handle, s->offset, s->stored_bytes, on_record, r);
            return;
        }
        if (take(r, f, s->data.data, s->data.len, &err) != 0) {
            finish(r, &err);
            return;
        }
    }
    finish(r, NULL);
}

static void on_metadata(void *arg, const struct fs_result *result)
{
    struct wk_restoring *r = arg;
    struct err err = unreachable(result);
    int rc = err.code;

    if (rc == 0)
        rc = ckpt_meta_unpack(result->data, result->len, r->path, &r->meta, &err);
    if (rc == 0)
        rc = plan(r, &err);
    if (rc != 0)
        finish(r, &err);
    else
        next(r);
}

struct wk_restoring *wk_restore_start(struct env *env, struct wk_task *const *tasks, uint32_t task_count,
                                      const Rask__Control__Restore *msg,
                                      void (*done)(void *arg, const struct err *error), void *arg)
{
    struct wk_restoring *r = MEM_NEW(struct wk_restoring);

    r->env = env;
    r->tasks = tasks;
    r->task_count = task_count;
    r->msg = msg;
    r->done = done;
    r->arg = arg;
    r->path = mem_printf("%s/_metadata", msg->dir);
    arena_init(&r->arena);
    bytes_init(&r->decoded);
    fs_of(r)->ops->read_all(fs_of(r), r->path, CKPT_META_MAX, on_metadata, r);
    return r;
}
