/* local.c - see local.h. */
#include "taskmanager/worker/checkpoint/local.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/map.h"
#include "common/ckpt/ckpt_meta.h"
#include "common/env/env.h"
#include "common/fs/fs.h"

#define LOG_MODULE "checkpoint"
#define SHARED "../shared/"

struct wk_local {
    struct env *env;
    struct id job_id;
    char job[ID_TEXT_MAX];
    char *dir;
    bool made; /* dir */
    struct env_log_rate failures;
    /* the latest complete checkpoint, and the one that old copies are being removed for: */
    uint64_t complete, cleaning; /* cleaning 0: none is */
    char *complete_dir;
    uint8_t *metadata; /* being read by a thread of env_work */
    size_t metadata_len;
    struct map *needed; /* names; NULL: it could not be read */
    struct env_work work;
    bool working, dropped;
};
struct wk_copy {
    struct wk_local *local;
    char *from, *path;
    struct fs_file *handle; /* NULL: it needs no bytes */
    void (*done)(void *arg);
    void *arg;
};

static struct fs *fs_of(const struct wk_local *l)
{
    return l->env->fs;
}

static void read_names(struct env_work *work);
static void names_read(struct env_work *work);

struct wk_local *wk_local_new(struct env *env, const char *dir, const struct id *job_id)
{
    struct wk_local *l = MEM_NEW(struct wk_local);

    l->env = env;
    l->dir = mem_strdup(dir);
    l->job_id = *job_id;
    id_format(job_id, l->job);
    l->work.run = read_names;
    l->work.done = names_read;
    return l;
}

static void local_free(struct wk_local *l)
{
    map_free(l->needed);
    mem_free(l->metadata);
    mem_free(l->complete_dir);
    mem_free(l->dir);
    mem_free(l);
}

void wk_local_free(struct wk_local *l)
{
    if (!l)
        return;
    fs_of(l)->ops->forget(fs_of(l), l);
    l->dropped = true;
    if (!l->working)
        local_free(l);
}

bool wk_local_is_of(const struct wk_local *l, const uint8_t *job)
{
    return memcmp(l->job_id.bytes, job, sizeof(l->job_id.bytes)) == 0;
}

/* NULL: it lies elsewhere, with the checkpoints of another job. */
static char *name_of(uint64_t checkpoint, const char *path)
{
    if (strncmp(path, SHARED, strlen(SHARED)) == 0)
        return strchr(path + strlen(SHARED), '/') ? NULL : mem_strdup(path + strlen(SHARED));
    return strchr(path, '/') ? NULL : mem_printf("chk-%llu.%s", (unsigned long long)checkpoint, path);
}

char *wk_local_path(const struct wk_local *l, uint64_t checkpoint, const char *path)
{
    char *name = name_of(checkpoint, path), *whole = name ? mem_printf("%s/%s", l->dir, name) : NULL;

    mem_free(name);
    return whole;
}

/* ---- old ones go ---- */

/* chk-N.NAME, WORKER-N-K.state; 0: not a copy. */
static uint64_t checkpoint_of(const char *name)
{
    const char *at = strncmp(name, "chk-", 4) == 0 ? name + 4 : strchr(name, '-');

    if (at && *at == '-')
        at++;
    return at && *at >= '0' && *at <= '9' ? strtoull(at, NULL, 10) : 0;
}

static void clean(struct wk_local *l);

static void cleaned(struct wk_local *l)
{
    bool again = l->complete > l->cleaning;

    map_free(l->needed);
    l->needed = NULL;
    l->cleaning = 0;
    if (again)
        clean(l);
}

static void on_list(void *arg, const struct fs_result *result)
{
    struct wk_local *l = arg;

    for (size_t i = 0; i < result->name_count; i++) {
        uint64_t of = checkpoint_of(result->names[i]);
        char *path;

        if (of == 0 || of > l->cleaning || map_get_str(l->needed, result->names[i]))
            continue;
        path = mem_printf("%s/%s", l->dir, result->names[i]);
        fs_of(l)->ops->unlink(fs_of(l), path, NULL, NULL);
        mem_free(path);
    }
    cleaned(l);
}

static void read_names(struct env_work *work)
{
    struct wk_local *l = CONTAINER_OF(work, struct wk_local, work);
    struct ckpt_meta *m = NULL;

    if (ckpt_meta_unpack(l->metadata, l->metadata_len, "_metadata", &m, NULL) != 0)
        return;
    l->needed = map_new();
    for (uint32_t i = 0; i < m->file_count; i++) {
        char *name = name_of(m->checkpoint, m->files[i].path);

        if (name)
            map_put_str(l->needed, name, l);
        mem_free(name);
    }
    ckpt_meta_free(m);
}

static void names_read(struct env_work *work)
{
    struct wk_local *l = CONTAINER_OF(work, struct wk_local, work);

    l->working = false;
    mem_free(l->metadata);
    l->metadata = NULL;
    if (l->dropped)
        local_free(l);
    else if (l->needed)
        fs_of(l)->ops->list(fs_of(l), l->dir, on_list, l);
    else
        cleaned(l);
}

static void on_metadata(void *arg, const struct fs_result *result)
{
    struct wk_local *l = arg;

    if (result->code != 0) { /* a newer one has taken its place: it will be told, too */
        cleaned(l);
        return;
    }
    l->metadata_len = result->len;
    l->metadata = fs_take(result);
    l->working = true;
    env_work(l->env, &l->work);
}

static void clean(struct wk_local *l)
{
    char *path = mem_printf("%s/_metadata", l->complete_dir);

    l->cleaning = l->complete;
    fs_of(l)->ops->read_all(fs_of(l), path, CKPT_META_MAX, on_metadata, l);
    mem_free(path);
}

void wk_local_complete(struct wk_local *l, const char *dir, uint64_t checkpoint)
{
    if (checkpoint <= l->complete)
        return;
    l->complete = checkpoint;
    mem_free(l->complete_dir);
    l->complete_dir = mem_strdup(dir);
    if (l->cleaning == 0)
        clean(l);
}

/* ---- copies ---- */

static void failed(struct wk_copy *c, const struct err *why)
{
    struct wk_local *l = c->local;

    env_log_limited(l->env, &l->failures, LOG_WARN, LOG_MODULE, l->job,
                    "no copy on this host of %s, which is complete without it: %s (execution.checkpointing.local-backup.dirs)",
                    c->from, why->text);
    if (c->handle)
        fs_of(l)->ops->close(fs_of(l), c->handle);
    c->handle = NULL;
    fs_of(l)->ops->unlink(fs_of(l), c->path, NULL, NULL);
}

static void on_opened(void *arg, const struct fs_result *result)
{
    struct wk_copy *c = arg;

    c->handle = result->file;
    if (result->code != 0)
        failed(c, &result->err);
    c->done(c->arg);
}

static void on_linked(void *arg, const struct fs_result *result)
{
    struct wk_copy *c = arg;
    struct fs *fs = fs_of(c->local);

    if (result->code == 0)
        c->done(c->arg);
    else
        fs->ops->open(fs, c->path, FS_CREATE, on_opened, c);
}

static void on_folder(void *arg, const struct fs_result *result)
{
    struct wk_copy *c = arg;
    struct fs *fs = fs_of(c->local);

    c->local->made = c->local->made || result->code == 0;
    fs->ops->link(fs, c->from, c->path, on_linked, c);
}

struct wk_copy *wk_copy_begin(struct wk_local *l, uint64_t checkpoint, const char *path, const char *from,
                              void (*done)(void *arg), void *arg)
{
    struct wk_copy *c = MEM_NEW(struct wk_copy);
    struct fs *fs = fs_of(l);

    c->local = l;
    c->path = wk_local_path(l, checkpoint, path);
    c->from = mem_strdup(from);
    c->done = done;
    c->arg = arg;
    CHECK(c->path != NULL);
    if (l->made)
        fs->ops->link(fs, c->from, c->path, on_linked, c);
    else
        fs->ops->mkdirs(fs, l->dir, on_folder, c);
    return c;
}

static void on_appended(void *arg, const struct fs_result *result)
{
    struct wk_copy *c = arg;

    if (result->code != 0)
        failed(c, &result->err);
    c->done(c->arg);
}

bool wk_copy_append(struct wk_copy *c, const void *data, size_t len)
{
    struct fs *fs = fs_of(c->local);

    if (!c->handle)
        return false;
    if (ENV_BUGGIFY(c->local->env)) /* as a power cut would: it is not synced */
        len /= 2;
    fs->ops->append(fs, c->handle, data, len, on_appended, c);
    return true;
}

void wk_copy_end(struct wk_copy *c)
{
    struct fs *fs;

    if (!c)
        return;
    fs = fs_of(c->local);
    fs->ops->forget(fs, c);
    if (c->handle)
        fs->ops->close(fs, c->handle);
    mem_free(c->from);
    mem_free(c->path);
    mem_free(c);
}
