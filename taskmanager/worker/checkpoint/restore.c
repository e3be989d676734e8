/*
 * restore.c - see restore.h.
 *
 * Each operator of each subtask is a lane: its sections in order; rows in flight of a subtask are one, too.  Some lanes at a time read ahead, a piece of a file
 * after the other, and a thread of env_work checks, decodes and fills in what has come.  The loop only passes on.
 *
 * A file is read from its copy on this host, if there is one.  A copy that cannot be opened or read, or a section of it that is
 * damaged, sends the lane back to that section, and to the checkpoint's own file from there on.
 */
#include "taskmanager/worker/checkpoint/restore.h"

#include <pthread.h>
#include <string.h>

#include "common/base/check.h"
#include "common/ckpt/ckpt_file.h"
#include "common/env/env.h"
#include "common/fs/fs.h"
#include "taskmanager/worker/checkpoint/inflight_io.h"
#include "taskmanager/worker/checkpoint/local.h"
#include "taskmanager/worker/task/task.h"

#define LOG_MODULE "checkpoint"
#define LANES_MAX 3u           /* at a time; env_work has a thread more */
#define PIECE_BYTES (4u << 20) /* read at once, unless one section is larger */
#define PIECES 3u              /* of a lane: read, or asked for */

/* Adjacent sections of a file, or sections that stand in _metadata. */
struct piece {
    struct lane *lane;
    uint32_t first, count; /* of the lane's sections */
    uint8_t *data;         /* owned; NULL: they stand in _metadata */
    bool read, local;      /* local: of a copy on this host */
};
struct lane {
    struct wk_restoring *r;
    struct wk_op *op;
    struct wk_state *state; /* NULL: rows in flight */
    struct wk_task *task;   /* that gives those out again */
    const struct ckpt_section **sections;
    uint32_t count, room, asked; /* asked: of them, for how many a piece is there or was */
    struct piece pieces[PIECES]; /* a ring */
    uint32_t piece_at, piece_count;
    struct fs_file *handle;
    uint32_t file; /* index of handle */
    bool local;    /* handle is a copy on this host */
    uint32_t missed; /* file that was not there at the first try, and 1; 0: none */
    bool opening, working, begun, ended;
    /* on a thread of env_work: */
    struct env_work work;
    pthread_mutex_t filling; /* held while state is touched */
    uint32_t ready;          /* pieces, from piece_at on */
    bool last;               /* behind them there are no more */
    struct bytes decoded;
    bool damaged;            /* the section at bad_section, in a copy: err says how; the state has all before it */
    uint32_t bad_piece, bad_section; /* the piece from piece_at on */
    struct err err;
};
struct wk_restoring {
    struct env *env;
    struct wk_task *const *tasks;
    uint32_t task_count;
    const Rask__Control__Restore *msg;
    const struct wk_local *local; /* NULL: no copies are read */
    bool *no_copy;                /* by file: there is none, or none of use */
    uint64_t copied_bytes, fetched_bytes;
    void (*done)(void *arg, const struct err *error);
    void *arg;
    char *path; /* of _metadata */
    struct ckpt_meta *meta;
    struct arena arena;
    struct lane *lanes;
    uint32_t lane_count, active, working;
    struct err err;
    bool missed; /* _metadata was not there at the first try */
    int stop; /* atomic: dropped or failed */
    bool dropped;
};

static void advance(struct wk_restoring *r);

static struct fs *fs_of(const struct wk_restoring *r)
{
    return r->env->fs;
}

static void forget_reads(struct wk_restoring *r)
{
    struct fs *fs = fs_of(r);

    fs->ops->forget(fs, r);
    for (uint32_t i = 0; i < r->lane_count; i++) {
        struct lane *l = &r->lanes[i];

        fs->ops->forget(fs, l);
        for (uint32_t k = 0; k < PIECES; k++)
            fs->ops->forget(fs, &l->pieces[k]);
        if (l->handle)
            fs->ops->close(fs, l->handle);
        l->handle = NULL;
    }
}

static void restoring_free(struct wk_restoring *r)
{
    for (uint32_t i = 0; i < r->lane_count; i++) {
        for (uint32_t k = 0; k < PIECES; k++)
            mem_free(r->lanes[i].pieces[k].data);
        bytes_release(&r->lanes[i].decoded);
        pthread_mutex_destroy(&r->lanes[i].filling);
        mem_free(r->lanes[i].sections);
    }
    ckpt_meta_free(r->meta);
    arena_release(&r->arena);
    mem_free(r->no_copy);
    mem_free(r->lanes);
    mem_free(r->path);
    mem_free(r);
}

void wk_restore_drop(struct wk_restoring *r)
{
    if (!r)
        return;
    forget_reads(r);
    __atomic_store_n(&r->stop, 1, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < r->lane_count; i++) { /* tasks go now: no thread may be in their state, nor come to it */
        pthread_mutex_lock(&r->lanes[i].filling);
        pthread_mutex_unlock(&r->lanes[i].filling);
    }
    r->dropped = true;
    if (r->working == 0) /* else the last filled() frees it */
        restoring_free(r);
}

/*
 * One of the job's own was complete: what cannot be reached now (a mount, rights) may be there at the next try.  One that the user
 * has named is as it is.
 */
static struct err unreachable(const struct wk_restoring *r, const struct fs_result *result)
{
    struct err err = result->err;

    err.code = result->code != 0 && !r->msg->of_user ? ERR_IO : result->code;
    return err;
}

static void finish(struct wk_restoring *r, struct err *error)
{
    if (!error)
        ENV_PROBE(r->env, "worker: tasks begin with a checkpoint");
    if (!error && r->local)
        env_log(r->env, LOG_INFO, LOG_MODULE, NULL, "checkpoint %llu: %llu bytes of state were read from copies on this host, "
                "%llu bytes from \"%s\"", (unsigned long long)r->meta->checkpoint, (unsigned long long)r->copied_bytes,
                (unsigned long long)r->fetched_bytes, r->msg->dir);
    if (!error && r->copied_bytes > 0)
        ENV_PROBE(r->env, "worker: state is read from copies on its host");
    if (error && r->msg->of_user && !err_retryable(error->code))
        err_wrap(error, "cannot begin with \"%s\" (`rask state check` says what is wrong with it; begin with another one)%s",
                 r->msg->dir, ckpt_gone_hint(r->msg->dir, error->code));
    else if (error)
        err_wrap(error, "cannot restore from \"%s\"", r->msg->dir);
    r->done(r->arg, error);
    forget_reads(r);
    restoring_free(r);
}

static void fail(struct wk_restoring *r, const struct err *err)
{
    if (r->err.code == 0)
        r->err = *err;
    __atomic_store_n(&r->stop, 1, __ATOMIC_RELAXED);
}

/* ---- what is needed ---- */

static void add(struct lane *l, const struct ckpt_section *section)
{
    if (l->count == l->room) {
        l->room = MAX(64, l->room * 2);
        l->sections = mem_realloc(l->sections, l->room * sizeof(*l->sections));
    }
    l->sections[l->count++] = section;
    if (l->state)
        wk_state_restore_expect(l->state, section);
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

static void plan_operator_state(struct lane *l, const uint8_t *id, uint32_t parallelism)
{
    const struct ckpt_meta *m = l->r->meta;

    for (uint32_t subtask = 0; subtask < parallelism; subtask++)
        for (uint32_t i = 0; i < m->section_count; i++) {
            const struct ckpt_section *s = &m->sections[i];

            if (s->kind != CKPT_LIST && s->kind != CKPT_UNION && s->kind != CKPT_BROADCAST)
                continue;
            if (s->subtask == subtask && memcmp(s->operator_id, id, CKPT_OPERATOR_ID_BYTES) == 0 &&
                (s->kind != CKPT_BROADCAST || is_first_writer(m, s)))
                add(l, s);
        }
}

static void fill_in(struct env_work *work);
static void filled(struct env_work *work);

static int plan_op(struct wk_restoring *r, struct wk_op *op, struct err *err)
{
    const uint8_t *id = op->node->operator_id.data;
    const struct ckpt_section **list;
    uint32_t first, last, n;
    int at = ckpt_meta_find_operator(r->meta, id), rc;
    struct lane *l;

    rc = wk_state_restore_begin(op->state, r->meta, at < 0 ? NULL : &r->meta->operators[at], r->msg->allow_dropped, err);
    if (rc != 0)
        return rc;
    l = &r->lanes[r->lane_count++];
    *l = (struct lane){.r = r, .op = op, .state = op->state, .work = {.run = fill_in, .done = filled}};
    pthread_mutex_init(&l->filling, NULL);
    if (at >= 0) {
        ckpt_hash_range(op->ctx.subtask, op->ctx.parallelism, op->ctx.max_parallelism, &first, &last);
        n = ckpt_plan(r->meta, id, first, last, &r->arena, &list);
        for (uint32_t i = 0; i < n; i++)
            add(l, list[i]);
        plan_operator_state(l, id, r->meta->operators[at].parallelism);
    }
    return 0;
}

static int plan_inflight(struct wk_restoring *r, struct wk_task *t, struct err *err)
{
    const struct ckpt_section **list;
    uint32_t n;
    struct lane *l;
    int rc = wk_inflight_plan(t, r->meta, r->msg->allow_dropped, &r->arena, &list, &n, err);

    if (rc != 0 || n == 0)
        return rc;
    ENV_PROBE(r->env, "worker: rows in flight come back");
    l = &r->lanes[r->lane_count++];
    *l = (struct lane){.r = r, .op = t->chain.ops[0], .task = t, .work = {.run = fill_in, .done = filled}};
    pthread_mutex_init(&l->filling, NULL);
    for (uint32_t i = 0; i < n; i++)
        add(l, list[i]);
    return 0;
}

static bool has_state(const struct wk_op *op)
{
    return op->state && op->node->operator_id.len == CKPT_OPERATOR_ID_BYTES;
}

static int plan(struct wk_restoring *r, struct err *err)
{
    bool any = wk_inflight_any(r->meta);
    uint32_t lanes = 0;

    for (uint32_t i = 0; i < r->task_count; i++)
        lanes += r->tasks[i]->chain.op_count + 1;
    r->lanes = mem_alloc_array(lanes + 1, sizeof(*r->lanes));
    for (uint32_t i = 0; i < r->task_count; i++) {
        struct wk_chain *c = &r->tasks[i]->chain;
        int rc = any ? plan_inflight(r, r->tasks[i], err) : 0;

        r->tasks[i]->replaying = any;
        if (rc != 0)
            return rc;
        for (uint32_t k = 0; k < c->op_count; k++) {
            struct wk_op *op = c->ops[k];

            rc = has_state(op) ? plan_op(r, op, err) : 0;
            if (rc != 0)
                return err_wrap(err, "operator \"%s\" (subtask %u)", op->ctx.name, op->ctx.subtask);
        }
    }
    return 0;
}

/* ---- on a thread of env_work: what was read becomes state ---- */

/* Later checkpoints may name it where it is now. */
static int take_table(struct lane *l, const struct ckpt_section *s, rask_bytes payload, struct err *err)
{
    const struct ckpt_file *f = s->file == CKPT_NO_FILE ? NULL : &l->r->meta->files[s->file];
    const char *dir = l->r->msg->dir, *slash = strrchr(dir, '/');
    struct wk_place place = {.size = f ? f->size : 0, .crc = f ? f->crc : 0};
    char *path = NULL;
    int rc;

    if (f && f->path[0] == '/')
        path = mem_strdup(f->path);
    else if (f && strncmp(f->path, "../", 3) == 0 && slash)
        path = mem_printf("%.*s/%s", (int)(slash - dir), dir, f->path + 3);
    place.path = path;
    rc = wk_state_restore_table(l->state, s, &place, payload.data, payload.len, err);
    mem_free(path);
    return rc;
}

static int open_section(struct lane *l, const struct ckpt_section *s, const uint8_t *data, struct arena *arena,
                        rask_bytes *ret, struct err *err)
{
    const char *where = s->file == CKPT_NO_FILE ? "_metadata" : l->r->meta->files[s->file].path;
    size_t len = s->file == CKPT_NO_FILE ? s->data.len : s->stored_bytes;

    bytes_clear(&l->decoded);
    return ckpt_record_open(data, len, s, where, arena, NULL, &l->decoded, ret, err);
}

static int take(struct lane *l, const struct ckpt_section *s, rask_bytes payload, struct err *err)
{
    if (!l->state)
        return wk_inflight_take(l->task, l->r->meta, s, payload.data, payload.len, err);
    return s->kind == CKPT_TABLE ? take_table(l, s, payload, err)
                                 : wk_state_restore(l->state, s, payload.data, payload.len, err);
}

static int take_piece(struct lane *l, const struct piece *p, struct arena *arena)
{
    const uint8_t *at = p->data;
    int rc = 0;

    for (uint32_t i = 0; i < p->count && rc == 0 && !__atomic_load_n(&l->r->stop, __ATOMIC_RELAXED); i++) {
        const struct ckpt_section *s = l->sections[p->first + i];
        rask_bytes payload;

        rc = open_section(l, s, at ? at : (const uint8_t *)s->data.data, arena, &payload, &l->err);
        l->damaged = rc != 0 && p->local;
        l->bad_section = p->first + i;
        if (rc == 0)
            rc = take(l, s, payload, &l->err);
        if (at)
            at += s->stored_bytes;
    }
    return rc;
}

static void fill_in(struct env_work *work)
{
    struct lane *l = CONTAINER_OF(work, struct lane, work);
    struct arena arena;
    int rc = 0; /* filled looks at l->err */

    arena_init(&arena);
    pthread_mutex_lock(&l->filling);
    for (uint32_t i = 0; i < l->ready && rc == 0; i++) {
        l->bad_piece = i;
        rc = take_piece(l, &l->pieces[(l->piece_at + i) % PIECES], &arena);
    }
    if (rc == 0 && l->last && l->state && !__atomic_load_n(&l->r->stop, __ATOMIC_RELAXED))
        rc = wk_state_restore_tables(l->state, &l->r->stop, &l->err);
    pthread_mutex_unlock(&l->filling);
    arena_release(&arena);
}

/* ---- on the loop: what a thread has done ---- */

static uint64_t bytes_of(const struct lane *l, uint32_t first, uint32_t count)
{
    const struct ckpt_section *last = l->sections[first + count - 1];

    return last->offset + last->stored_bytes - l->sections[first]->offset;
}

/* From the piece at `at` of the ring on nothing counts: the section, and what follows, is read again, not from this copy. */
static void read_again(struct lane *l, uint32_t at, uint32_t section, const struct err *why)
{
    struct wk_restoring *r = l->r;
    struct fs *fs = fs_of(r);
    uint32_t file = l->sections[section]->file;

    ENV_PROBE(r->env, "worker: a copy of state is of no use");
    env_log(r->env, LOG_WARN, LOG_MODULE, NULL, "the copy on this host of %s is of no use, it is read from \"%s\": %s",
            r->meta->files[file].path, r->msg->dir, why->text);
    r->no_copy[file] = true;
    for (; l->piece_count > at; l->piece_count--) {
        struct piece *p = &l->pieces[(l->piece_at + l->piece_count - 1) % PIECES];

        fs->ops->forget(fs, p);
        mem_free(p->data);
        *p = (struct piece){0};
    }
    fs->ops->forget(fs, l);
    l->opening = false;
    if (l->handle)
        fs->ops->close(fs, l->handle);
    l->handle = NULL;
    l->asked = section;
}

/* The first sections of a piece are in the state. */
static void count_bytes(struct lane *l, const struct piece *p, uint32_t sections)
{
    if (p->data && sections > 0)
        *(p->local ? &l->r->copied_bytes : &l->r->fetched_bytes) += bytes_of(l, p->first, sections);
}

static void consume(struct lane *l, uint32_t pieces)
{
    for (uint32_t i = 0; i < pieces; i++) {
        struct piece *p = &l->pieces[l->piece_at];

        count_bytes(l, p, p->count);
        mem_free(p->data);
        *p = (struct piece){0};
        l->piece_at = (l->piece_at + 1) % PIECES;
        l->piece_count--;
    }
}

static void filled(struct env_work *work)
{
    struct lane *l = CONTAINER_OF(work, struct lane, work);
    struct wk_restoring *r = l->r;
    const struct piece *bad;

    l->working = false;
    r->working--;
    if (r->dropped) {
        if (r->working == 0)
            restoring_free(r);
        return;
    }
    consume(l, l->damaged ? l->bad_piece : l->ready);
    if (l->damaged) {
        bad = &l->pieces[l->piece_at];
        count_bytes(l, bad, l->bad_section - bad->first);
        read_again(l, 0, l->bad_section, &l->err);
        l->damaged = false;
        l->err.code = 0;
    } else if (l->err.code != 0) {
        err_wrap(&l->err, "operator \"%s\" (subtask %u)", l->op->ctx.name, l->op->ctx.subtask);
        fail(r, &l->err);
    }
    advance(r);
}

/* ---- on the loop: reading ahead ---- */

static uint32_t ring_place(const struct lane *l, const struct piece *p)
{
    return ((uint32_t)(p - l->pieces) + PIECES - l->piece_at) % PIECES;
}

static void on_piece(void *arg, const struct fs_result *result)
{
    struct piece *p = arg;
    struct lane *l = p->lane;
    const struct ckpt_section *s = l->sections[p->first];
    struct err err = unreachable(l->r, result);
    uint64_t want = bytes_of(l, p->first, p->count);

    if (err.code == 0 && result->len < want)
        err_set(&err, ERR_CORRUPT, "%s has no %llu bytes at %llu: it was cut off", l->r->meta->files[s->file].path,
                (unsigned long long)want, (unsigned long long)s->offset);
    if (err.code != 0 && p->local) {
        read_again(l, ring_place(l, p), p->first, &err);
        advance(l->r);
        return;
    }
    if (err.code == 0)
        p->data = fs_take(result);
    else
        fail(l->r, &err);
    p->read = true;
    advance(l->r);
}

static void open_file(struct lane *l, uint32_t file);

/*
 * What is not there may be hidden: while the folder of all checkpoints of the job is away (a lost mount) nothing is known.  It may
 * have come back by now, so who finds it looks for the file once more.
 */
static void look_at_folder(struct wk_restoring *r, fs_cb *then, void *arg)
{
    const char *slash = strrchr(r->msg->dir, '/');
    char *folder = mem_printf("%.*s", (int)(slash - r->msg->dir), r->msg->dir);

    fs_of(r)->ops->list(fs_of(r), folder, then, arg);
    mem_free(folder);
}
static bool may_be_hidden(const struct wk_restoring *r, const struct fs_result *result)
{
    return result->code == ERR_NOT_FOUND && !r->msg->of_user && strrchr(r->msg->dir, '/');
}

static void on_folder(void *arg, const struct fs_result *result)
{
    struct lane *l = arg;
    struct err err = unreachable(l->r, result);

    if (result->code == 0) {
        open_file(l, l->file);
        return;
    }
    l->opening = false;
    fail(l->r, &err);
    advance(l->r);
}

static void on_open(void *arg, const struct fs_result *result)
{
    struct lane *l = arg;
    struct err err = unreachable(l->r, result);

    if (!l->local && may_be_hidden(l->r, result) && l->missed != l->file + 1) {
        l->missed = l->file + 1;
        look_at_folder(l->r, on_folder, l);
        return;
    }
    l->opening = false;
    l->handle = result->file;
    if (result->code == ERR_NOT_FOUND) /* _metadata was there, and names it */
        err.code = ERR_CORRUPT;
    if (err.code != 0 && l->local)
        l->r->no_copy[l->file] = true; /* most often there is none: another host wrote it */
    else if (err.code != 0)
        fail(l->r, &err);
    advance(l->r);
}

static char *path_of(const struct wk_restoring *r, uint32_t file, bool *ret_local)
{
    const char *path = r->meta->files[file].path;
    char *copy = r->local && !r->no_copy[file] ? wk_local_path(r->local, r->meta->checkpoint, path) : NULL;

    *ret_local = copy != NULL;
    if (copy)
        return copy;
    return path[0] == '/' ? mem_strdup(path) : mem_printf("%s/%s", r->msg->dir, path);
}

static void open_file(struct lane *l, uint32_t file)
{
    struct fs *fs = fs_of(l->r);
    char *whole = path_of(l->r, file, &l->local);

    if (l->handle)
        fs->ops->close(fs, l->handle);
    l->handle = NULL;
    l->file = file;
    l->opening = true;
    fs->ops->open(fs, whole, FS_READ, on_open, l);
    mem_free(whole);
}

/* How many sections from `first` on are one piece. */
static uint32_t run_of(const struct lane *l, uint32_t first)
{
    const struct ckpt_section *s = l->sections[first];
    uint32_t n = 1;

    for (; first + n < l->count; n++) {
        const struct ckpt_section *next = l->sections[first + n], *last = l->sections[first + n - 1];

        if (next->file != s->file)
            break;
        if (s->file != CKPT_NO_FILE &&
            (next->offset != last->offset + last->stored_bytes || bytes_of(l, first, n + 1) > PIECE_BYTES))
            break;
    }
    return n;
}

static void read_ahead(struct lane *l)
{
    struct fs *fs = fs_of(l->r);

    while (l->asked < l->count && l->piece_count < PIECES && !l->opening) {
        const struct ckpt_section *s = l->sections[l->asked];
        struct piece *p = &l->pieces[(l->piece_at + l->piece_count) % PIECES];

        if (s->file != CKPT_NO_FILE && (!l->handle || l->file != s->file)) {
            open_file(l, s->file);
            return;
        }
        *p = (struct piece){.lane = l, .first = l->asked, .count = run_of(l, l->asked), .read = s->file == CKPT_NO_FILE,
                            .local = s->file != CKPT_NO_FILE && l->local};
        l->asked += p->count;
        l->piece_count++;
        if (!p->read)
            fs->ops->pread(fs, l->handle, s->offset, bytes_of(l, p->first, p->count), on_piece, p);
    }
}

static void end_lane(struct lane *l)
{
    if (l->handle)
        fs_of(l->r)->ops->close(fs_of(l->r), l->handle);
    l->handle = NULL;
    l->ended = true;
    l->r->active--;
    if (l->state)
        wk_state_restore_end(l->state, l->r->msg->base_checkpoint);
}

static void advance_lane(struct lane *l)
{
    read_ahead(l);
    if (l->working)
        return;
    l->ready = 0;
    while (l->ready < l->piece_count && l->pieces[(l->piece_at + l->ready) % PIECES].read)
        l->ready++;
    l->last = l->asked == l->count && l->ready == l->piece_count;
    if (l->ready > 0) {
        l->working = true;
        l->r->working++;
        env_work(l->r->env, &l->work);
    } else if (l->asked == l->count && l->piece_count == 0) {
        end_lane(l);
    }
}

static void advance(struct wk_restoring *r)
{
    uint32_t left = 0;

    for (uint32_t i = 0; i < r->lane_count && r->err.code == 0; i++) {
        struct lane *l = &r->lanes[i];

        if (!l->begun && r->active < LANES_MAX) {
            l->begun = true;
            r->active++;
        }
        if (l->begun && !l->ended)
            advance_lane(l);
        left += !l->ended;
    }
    if (r->err.code != 0 && r->working == 0)
        finish(r, &r->err);
    else if (r->err.code == 0 && left == 0)
        finish(r, NULL);
}

static void on_metadata(void *arg, const struct fs_result *result);

static void on_siblings(void *arg, const struct fs_result *result)
{
    struct wk_restoring *r = arg;
    struct err err;

    if (result->code == 0) {
        fs_of(r)->ops->read_all(fs_of(r), r->path, CKPT_META_MAX, on_metadata, r);
        return;
    }
    err_set(&err, ERR_IO, "\"%s\" is not there", r->path);
    finish(r, &err);
}

static void on_metadata(void *arg, const struct fs_result *result)
{
    struct wk_restoring *r = arg;
    struct err err = unreachable(r, result);
    int rc = err.code;

    if (may_be_hidden(r, result) && !r->missed) {
        r->missed = true;
        look_at_folder(r, on_siblings, r);
        return;
    }
    if (may_be_hidden(r, result))
        rc = err_set(&err, ERR_CORRUPT, "\"%s\" is not there", r->path);
    if (rc == 0)
        rc = ckpt_meta_unpack(result->data, result->len, r->path, &r->meta, &err);
    if (rc == 0 && r->local && !wk_local_is_of(r->local, r->meta->job))
        r->local = NULL; /* the job begins with what another one has written */
    if (rc == 0) {
        r->no_copy = mem_alloc_array(r->meta->file_count + 1, sizeof(*r->no_copy));
        rc = plan(r, &err);
    }
    if (rc != 0)
        finish(r, &err);
    else
        advance(r);
}

struct wk_restoring *wk_restore_start(struct env *env, struct wk_task *const *tasks, uint32_t task_count,
                                      const Rask__Control__Restore *msg, const struct wk_local *local,
                                      void (*done)(void *arg, const struct err *error), void *arg)
{
    struct wk_restoring *r = MEM_NEW(struct wk_restoring);

    r->env = env;
    r->local = local;
    r->tasks = tasks;
    r->task_count = task_count;
    r->msg = msg;
    r->done = done;
    r->arg = arg;
    r->path = mem_printf("%s/_metadata", msg->dir);
    arena_init(&r->arena);
    fs_of(r)->ops->read_all(fs_of(r), r->path, CKPT_META_MAX, on_metadata, r);
    return r;
}
