/* write.c - see write.h. */
#include "taskmanager/worker/checkpoint/write.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/ckpt/ckpt_file.h"
#include "common/fs/fs.h"
#include "taskmanager/worker/checkpoint/inflight_io.h"
#include "taskmanager/worker/checkpoint/local.h"
#include "taskmanager/worker/task/executor.h"
#include "taskmanager/worker/task/task.h"

#define PIECE_BYTES      (2u << 20)
#define UNCACHED_BYTES   (2 * MEM_HUGE_BYTES) /* for a piece, a section and what else there may be */
#define INLINE_ALL_BYTES (64u << 10) /* of records in one acknowledgement */
/*
 * Tasks that want all cores keep nearly all: then so much is written in a second for each thread of theirs, which costs about
 * a twentieth of them.  What takes longer than PACE_NS becomes faster and faster.  Up to PACE_LATE_NS are made up for.
 */
#define PACE_BYTES (90u << 20)
#define PACE_NS 10000000000u
#define PACE_LATE_NS 200000000u
#define BUSY_NS 50000000u /* so long tasks that were seen busy are taken for it: a step that takes long does not count as one */
#define TABLES_BYTES (1u << 20) /* a file with so much of tables ends with one: so it goes when they go */

struct output {
    const char *dir, *prefix; /* prefix: from the folder of _metadata */
    bool shared;
    uint32_t number; /* of its next file */
    /* the file under way: */
    struct ckpt_writer *writer; /* NULL: none */
    uint32_t file;              /* index in meta */
    uint32_t first, last;       /* snapshots that are in it */
    char *path;
    struct bytes piece; /* made, not appended yet */
    struct bytes rest;  /* of a piece that is appended: less than a block */
    size_t sent, room;  /* of that piece: bytes that are appended, and what it has room for */
    struct fs_file *handle;
    struct wk_copy *copy; /* NULL: not begun, or none is kept */
    bool uncached;        /* in whole blocks, from memory that is aligned to them */
    bool ended, synced, used;
};
enum { EXCLUSIVE, SHARED, OUTPUTS };

struct wk_writing {
    struct wk_write_options options; /* dir, shared_dir: owned */
    struct ckpt_meta *meta;
    struct wk_task_snapshot **snapshots;
    uint64_t *stored;
    uint32_t count, at, at_op;
    uint32_t at_rows;          /* of the snapshot's rows in flight, which come first */
    bool rows_written;
    pthread_mutex_t rows_lock; /* of those: they end with the worker, which does not wait for the thread */
    bool rows_dropped;         /* rows_lock */
    struct output outputs[OUTPUTS];
    struct output *busy; /* that the call of fs under way is for */
    struct bytes payload, record;
    size_t inline_bytes;
    struct wk_tables **tables; /* references: where pieces of tables are written */
    uint32_t table_count, table_room;
    bool exhausted, all_ended, dropped, working;
    bool large; /* its files go past the page cache, the first one too: whoever restores reads several anyway */
    uint32_t dirs_synced;
    struct env_work work;
    struct env_timer pause;
    uint64_t busy_ns; /* when `threads` tasks were seen busy; 0: never */
    uint32_t threads;
    uint64_t began_ns, due_ns; /* due_ns: when the next piece may be made, if the tasks are busy */
    uint64_t unpaid;           /* bytes written that due_ns does not know of */
    struct err err;
};

static void next(struct wk_writing *w);

static void writing_free(struct wk_writing *w)
{
    env_timer_cancel(w->options.env, &w->pause);
    for (int i = 0; i < OUTPUTS; i++) {
        struct output *o = &w->outputs[i];

        if (o->handle)
            w->options.env->fs->ops->close(w->options.env->fs, o->handle);
        wk_copy_end(o->copy);
        ckpt_writer_free(o->writer);
        bytes_release(&o->piece);
        bytes_release(&o->rest);
        mem_free(o->path);
    }
    for (uint32_t i = 0; i < w->count; i++)
        wk_task_snapshot_free(w->snapshots[i]);
    for (uint32_t i = 0; i < w->table_count; i++)
        wk_tables_unref(w->tables[i]);
    mem_free(w->tables);
    mem_free(w->snapshots);
    mem_free(w->stored);
    ckpt_meta_free(w->meta);
    bytes_release(&w->payload);
    bytes_release(&w->record);
    mem_free((char *)w->options.dir);
    mem_free((char *)w->options.shared_dir);
    pthread_mutex_destroy(&w->rows_lock);
    mem_free(w);
}

void wk_writing_drop(struct wk_writing *w)
{
    w->options.env->fs->ops->forget(w->options.env->fs, w);
    for (int i = 0; i < OUTPUTS; i++) {
        wk_copy_end(w->outputs[i].copy);
        w->outputs[i].copy = NULL;
    }
    w->dropped = true;
    pthread_mutex_lock(&w->rows_lock);
    w->rows_dropped = true;
    for (uint32_t i = 0; i < w->count; i++)
        wk_inflight_clear(&w->snapshots[i]->inflight);
    pthread_mutex_unlock(&w->rows_lock);
    if (!w->working)
        writing_free(w);
}

static void finish(struct wk_writing *w, const struct err *error)
{
    for (uint32_t i = 0; i < w->table_count && !error; i++)
        wk_tables_written(w->tables[i], w->meta, w->outputs[SHARED].prefix, w->options.shared_dir);
    w->options.done(w->options.arg, error, w->meta, w->stored);
    writing_free(w);
}

/* ---- on a thread of env_work: sections ---- */

static void begin_file(struct wk_writing *w, struct output *o)
{
    struct ckpt_file_head head = {.checkpoint = w->options.checkpoint, .worker = w->options.worker};
    char *name = o->shared ? mem_printf("%u-%llu-%u.state", w->options.worker,
                                        (unsigned long long)w->options.checkpoint, o->number)
                           : mem_printf("%u-%u.state", w->options.worker, o->number);
    char *named = mem_printf("%s%s", o->prefix, name);

    memcpy(head.job, w->options.job, sizeof(head.job));
    head.created_ms = w->meta->created_ms;
    o->number++;
    o->uncached = w->large || o->number > 1;
    if (o->uncached && (o->piece.cap < UNCACHED_BYTES || (uintptr_t)o->piece.data % FS_BLOCK_BYTES != 0)) {
        bytes_release(&o->piece);
        o->piece = (struct bytes){mem_alloc_huge(UNCACHED_BYTES), 0, UNCACHED_BYTES};
    }
    o->used = true;
    o->ended = o->synced = false;
    o->path = mem_printf("%s/%s", o->dir, name);
    o->writer = ckpt_writer_new(&head, CKPT_PLAIN);
    o->file = ckpt_meta_file(w->meta, named, 0, 0);
    o->first = w->at;
    ckpt_writer_begin(o->writer, &o->piece);
    mem_free(named);
    mem_free(name);
}

static void end_file(struct wk_writing *w, struct output *o)
{
    ckpt_writer_end(o->writer, w->meta, &o->piece);
    w->meta->files[o->file].size = ckpt_writer_size(o->writer);
    w->meta->files[o->file].crc = ckpt_writer_crc(o->writer);
    o->ended = true;
}

static struct output *output_of(struct wk_writing *w, enum ckpt_section_kind kind)
{
    return &w->outputs[ckpt_is_placed(kind) && w->options.shared_dir ? SHARED : EXCLUSIVE];
}

static bool goes_inline(const struct wk_writing *w, size_t bytes)
{
    return bytes <= CKPT_INLINE_MAX / 2 && w->inline_bytes + bytes <= INLINE_ALL_BYTES;
}

/* A section is in its record or file. last: of a table. */
static void section_is_put(struct wk_writing *w, struct ckpt_section *s, bool last)
{
    struct output *o = output_of(w, s->kind);

    if (s->file != CKPT_NO_FILE && ckpt_writer_size(o->writer) > (last ? TABLES_BYTES : CKPT_FILE_SPLIT_BYTES))
        end_file(w, o);
    w->stored[w->at] += s->stored_bytes;
    ckpt_meta_add(w->meta, s);
}

static void put_section(struct wk_writing *w, struct ckpt_section *s, bool last)
{
    struct output *o = output_of(w, s->kind);

    if (goes_inline(w, w->payload.len)) {
        bytes_clear(&w->record);
        ckpt_record_add(s, w->payload.data, w->payload.len, CKPT_PLAIN, &w->record);
        s->file = CKPT_NO_FILE;
        s->data = (rask_bytes){(const char *)w->record.data, (uint32_t)w->record.len};
        w->inline_bytes += w->record.len;
    } else {
        if (!o->writer)
            begin_file(w, o);
        s->file = o->file;
        o->last = w->at;
        ckpt_writer_section(o->writer, s, w->payload.data, w->payload.len, &o->piece);
    }
    section_is_put(w, s, last);
}

/* The next section of what is in memory. Once there is a file for most of them it is made where it stands there. */
static int put_made(struct wk_writing *w, struct wk_snapshot *snap)
{
    struct output *o = output_of(w, CKPT_IMAGE);
    struct ckpt_section section = {.kind = 0};
    size_t begin, payload;
    int rc;

    if (!o->writer) {
        rc = wk_snapshot_next(snap, &section, &w->payload);
        if (rc == 1)
            put_section(w, &section, false);
        return rc;
    }
    begin = ckpt_writer_room(o->writer, &o->piece);
    payload = o->piece.len;
    rc = wk_snapshot_add(snap, &section, &o->piece);
    if (rc == 1 && o == output_of(w, section.kind) && !goes_inline(w, o->piece.len - payload)) {
        section.file = o->file;
        o->last = w->at;
        ckpt_writer_made(o->writer, &section, begin, &o->piece);
        section_is_put(w, &section, false);
        return rc;
    }
    bytes_clear(&w->payload);
    bytes_add(&w->payload, o->piece.data + payload, o->piece.len - payload);
    o->piece.len = begin;
    if (rc == 1)
        put_section(w, &section, false);
    return rc;
}

/* A section that an earlier checkpoint has written. */
static void name_section(struct wk_writing *w, struct ckpt_section *s, const struct wk_place *place)
{
    size_t len = strlen(w->options.shared_dir);
    bool ours = strncmp(place->path, w->options.shared_dir, len) == 0 && place->path[len] == '/';
    char *path = ours ? mem_printf("%s%s", w->outputs[SHARED].prefix, place->path + len + 1) : mem_strdup(place->path);

    s->file = ckpt_meta_file(w->meta, path, place->size, place->crc);
    ckpt_meta_add(w->meta, s);
    mem_free(path);
}

static void note_tables(struct wk_writing *w, struct wk_tables *tables)
{
    if (!tables)
        return;
    if (w->table_count == w->table_room) {
        w->table_room = MAX(w->table_room * 2, 4u);
        w->tables = mem_realloc(w->tables, w->table_room * sizeof(struct wk_tables *));
    }
    w->tables[w->table_count++] = tables;
}

/* The next section of a snapshot goes to its file. 0: there is none; negative: w->err. */
static int put_next(struct wk_writing *w, struct wk_snapshot *snap)
{
    struct ckpt_section section = {.kind = 0};
    struct wk_place place = {0};
    bool last = false;
    int rc = put_made(w, snap);

    if (rc != 0)
        return rc;
    rc = wk_snapshot_next_stored(snap, &section, &w->payload, &place, &last, &w->err);
    if (rc == 2)
        name_section(w, &section, &place);
    else if (rc == 1)
        put_section(w, &section, last);
    return rc;
}

/* The next section of rows in flight goes to its file; behind the last one the writing of state begins. */
static void put_rows(struct wk_writing *w)
{
    for (; w->at < w->count; w->at++, w->at_rows = 0) {
        struct wk_inflight *rows = &w->snapshots[w->at]->inflight;
        struct ckpt_section section;
        bool any;

        pthread_mutex_lock(&w->rows_lock);
        any = !w->rows_dropped &&
              wk_inflight_section(rows, w->options.edges, w->options.checkpoint, &w->at_rows, &section, &w->payload);
        if (!any)
            wk_inflight_clear(rows);
        pthread_mutex_unlock(&w->rows_lock);
        if (any) {
            put_section(w, &section, false);
            return;
        }
    }
    w->rows_written = true;
    w->at = 0;
}

static struct wk_snapshot *current(struct wk_writing *w)
{
    while (w->at < w->count) {
        struct wk_task_snapshot *s = w->snapshots[w->at];

        for (; w->at_op < s->op_count; w->at_op++)
            if (s->ops[w->at_op])
                return s->ops[w->at_op];
        w->at++;
        w->at_op = 0;
    }
    return NULL;
}

static bool enough(const struct wk_writing *w)
{
    for (int i = 0; i < OUTPUTS; i++)
        if (w->outputs[i].piece.len >= PIECE_BYTES || w->outputs[i].ended)
            return true;
    return false;
}

static void make_pieces(struct env_work *work)
{
    struct wk_writing *w = CONTAINER_OF(work, struct wk_writing, work);
    struct wk_snapshot *snap;

    while (!w->rows_written && !enough(w))
        put_rows(w);
    while (!enough(w) && (snap = current(w)) != NULL) {
        struct wk_task_snapshot *s = w->snapshots[w->at];
        int rc = put_next(w, snap);

        if (rc > 0)
            continue;
        if (rc < 0)
            return;
        note_tables(w, wk_snapshot_tables(snap));
        wk_snapshot_free(snap); /* at once: what it held can be cleaned */
        s->ops[w->at_op] = NULL;
    }
    if (enough(w))
        return;
    w->exhausted = true;
    for (int i = 0; i < OUTPUTS; i++)
        if (w->outputs[i].writer && !w->outputs[i].ended)
            end_file(w, &w->outputs[i]);
}

static void pieces_made(struct env_work *work)
{
    struct wk_writing *w = CONTAINER_OF(work, struct wk_writing, work);

    w->working = false;
    if (w->dropped)
        writing_free(w);
    else if (w->err.code != 0)
        finish(w, &w->err);
    else
        next(w);
}

/* ---- on the loop: files ---- */

/* One file holds the state of several tasks: the first one and how many others are named. */
static void say_whose(struct wk_writing *w)
{
    uint32_t others = w->busy->last - w->busy->first;
    char more[40] = "";

    if (others > 0)
        snprintf(more, sizeof(more), " and %u more task%s", others, others > 1 ? "s" : "");
    err_wrap(&w->err, "the state of \"%s\"%s", w->snapshots[w->busy->first]->task->name, more);
}

static void on_fs(void *arg, const struct fs_result *result)
{
    struct wk_writing *w = arg;

    if (result->code < 0) {
        w->err = result->err;
        say_whose(w);
        finish(w, &w->err);
        return;
    }
    next(w);
}

static void on_open(void *arg, const struct fs_result *result)
{
    struct wk_writing *w = arg;

    for (int i = 0; i < OUTPUTS && result->code == 0; i++)
        if (w->outputs[i].path && !w->outputs[i].handle) {
            w->outputs[i].handle = result->file;
            break;
        }
    on_fs(arg, result);
}

static void on_copy(void *arg)
{
    next(arg);
}

/* The piece is in the file: its memory is used again, behind what has been left over, and it goes to the copy too. */
static void on_appended(void *arg, const struct fs_result *result)
{
    struct wk_writing *w = arg;
    struct output *o = w->busy;
    bool copying = false;

    o->piece = (struct bytes){fs_take(result), 0, o->room};
    if (result->code == 0)
        copying = o->copy && wk_copy_append(o->copy, o->piece.data, o->sent);
    bytes_add(&o->piece, o->rest.data, o->rest.len);
    bytes_clear(&o->rest);
    if (!copying)
        on_fs(arg, result);
}

/* false: it is not worth it yet. */
static bool push_piece(struct wk_writing *w, struct output *o)
{
    struct fs *fs = w->options.env->fs;
    uint8_t *data = o->piece.data;
    size_t len = o->piece.len;

    if (o->uncached && len >= FS_BLOCK_BYTES)
        len -= len % FS_BLOCK_BYTES;
    else if (o->uncached && !o->ended)
        return false;
    bytes_add(&o->rest, data + len, o->piece.len - len);
    o->sent = len;
    o->room = o->piece.cap;
    w->unpaid += len;
    bytes_init(&o->piece);
    fs->ops->append_taken(fs, o->handle, data, len, on_appended, w);
    return true;
}

/* Starts the next call of fs for this file; false: it wants none. */
static bool push_file(struct wk_writing *w, struct output *o)
{
    struct fs *fs = w->options.env->fs;

    if (!o->writer)
        return false;
    w->busy = o;
    if (!o->handle) {
        fs->ops->open(fs, o->path, o->uncached ? FS_CREATE_UNCACHED : FS_CREATE, on_open, w);
        return true;
    }
    if (w->options.local && !o->copy) {
        o->copy = wk_copy_begin(w->options.local, w->options.checkpoint, w->meta->files[o->file].path, o->path, on_copy, w);
        return true;
    }
    if (o->piece.len > 0 && push_piece(w, o))
        return true;
    if (o->ended && !o->synced) {
        o->synced = true;
        fs->ops->sync(fs, o->handle, on_fs, w);
        return true;
    }
    if (!o->ended)
        return false;
    fs->ops->close(fs, o->handle);
    o->handle = NULL;
    wk_copy_end(o->copy);
    o->copy = NULL;
    ckpt_writer_free(o->writer);
    o->writer = NULL;
    mem_free(o->path);
    o->path = NULL;
    o->ended = false;
    return false;
}

static void on_pause(struct env_timer *timer)
{
    next(CONTAINER_OF(timer, struct wk_writing, pause));
}

/* Whether the next piece has to wait: next comes again. */
static bool pauses(struct wk_writing *w)
{
    struct wk_executor *e = w->options.executor;
    uint64_t now = env_now_ns(w->options.env), threads = e && e->ops->busy ? e->ops->busy(e) : 0;

    if (threads > 0) {
        w->busy_ns = now;
        w->threads = (uint32_t)threads;
    } else if (w->busy_ns > 0 && now - w->busy_ns < BUSY_NS) {
        threads = w->threads;
    }
    if (threads == 0) {
        w->due_ns = now;
        w->unpaid = 0;
        return false;
    }
    threads *= 1 + (now - w->began_ns) / PACE_NS;
    w->due_ns = MAX(w->due_ns + PACE_LATE_NS, now) - PACE_LATE_NS;
    w->due_ns += w->unpaid * 1000 / (threads * (PACE_BYTES / 1000000));
    w->unpaid = 0;
    if (w->due_ns <= now)
        return false;
    env_timer_arm(w->options.env, &w->pause, w->due_ns - now);
    return true;
}

static void next(struct wk_writing *w)
{
    struct fs *fs = w->options.env->fs;

    for (int i = 0; i < OUTPUTS; i++)
        if (push_file(w, &w->outputs[i]))
            return;
    if (!w->exhausted) {
        if (pauses(w))
            return;
        w->working = true;
        env_work(w->options.env, &w->work);
        return;
    }
    while (w->dirs_synced < OUTPUTS) {
        struct output *o = &w->outputs[w->dirs_synced++];

        w->busy = o;
        if (o->used) {
            fs->ops->sync_dir(fs, o->dir, on_fs, w);
            return;
        }
    }
    finish(w, NULL);
}

/* About. What is on disk already is not counted. */
static uint64_t bytes_of(struct wk_task_snapshot *const *snapshots, uint32_t count)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < snapshots[i]->op_count; k++)
            bytes += snapshots[i]->ops[k] ? wk_snapshot_bytes(snapshots[i]->ops[k]) : 0;
    return bytes;
}

struct wk_writing *wk_writing_start(const struct wk_write_options *options, struct ckpt_meta *meta,
                                    struct wk_task_snapshot **snapshots, uint32_t count)
{
    struct wk_writing *w = MEM_NEW(struct wk_writing);

    w->options = *options;
    w->options.dir = mem_strdup(options->dir);
    w->options.shared_dir = options->shared_dir ? mem_strdup(options->shared_dir) : NULL;
    w->meta = meta;
    w->snapshots = snapshots;
    pthread_mutex_init(&w->rows_lock, NULL);
    w->count = count;
    w->large = bytes_of(snapshots, count) > CKPT_FILE_SPLIT_BYTES || ENV_BUGGIFY(options->env);
    w->stored = mem_alloc_array(count + 1, sizeof(*w->stored));
    w->outputs[EXCLUSIVE] = (struct output){.dir = w->options.dir, .prefix = ""};
    w->outputs[SHARED] = (struct output){.dir = w->options.shared_dir, .prefix = "../shared/", .shared = true};
    if (ENV_BUGGIFY(w->options.env))
        w->inline_bytes = INLINE_ALL_BYTES + 1; /* all of it in files */
    w->work.run = make_pieces;
    w->work.done = pieces_made;
    w->pause.cb = on_pause;
    w->began_ns = w->due_ns = env_now_ns(options->env);
    next(w);
    return w;
}
