/*
 * dispose.c - removes a savepoint that a user names, and nothing that is not part of it.  Pure; thread: the control loop.
 */
#include <string.h>

#include "common/base/check.h"
#include "common/ckpt/ckpt_meta.h"
#include "common/fs/fs.h"
#include "jobmanager/checkpoint/coordinator_private.h"

struct disposal {
    struct env *env;
    char *dir;
    struct ckpt_meta *meta;
    uint32_t at; /* 0: _metadata; then its files; then the folder */
    void (*done)(void *arg, const struct err *error);
    void *arg;
};

static void finish(struct disposal *d, const struct err *error)
{
    d->done(d->arg, error);
    ckpt_meta_free(d->meta);
    mem_free(d->dir);
    mem_free(d);
}

static void next(struct disposal *d);

static void on_unlink(void *arg, const struct fs_result *result)
{
    struct disposal *d = arg;

    if (result->code < 0 && result->code != ERR_NOT_FOUND)
        finish(d, &result->err);
    else
        next(d);
}

static void next(struct disposal *d)
{
    struct fs *fs = d->env->fs;
    char *path = NULL;

    if (d->at == 0)
        path = mem_printf("%s/_metadata", d->dir);
    while (!path && d->at <= d->meta->file_count) {
        const char *name = d->meta->files[d->at - 1].path;

        if (!strchr(name, '/')) /* others belong to a checkpoint */
            path = mem_printf("%s/%s", d->dir, name);
        else
            d->at++;
    }
    if (!path && d->at == d->meta->file_count + 1)
        path = mem_strdup(d->dir);
    if (!path) {
        finish(d, NULL);
        return;
    }
    d->at++;
    fs->ops->unlink(fs, path, on_unlink, d);
    mem_free(path);
}

static void on_listed(void *arg, const struct fs_result *result)
{
    struct disposal *d = arg;
    const char *mark = jm_ck_mark(result, NULL);
    struct err err;

    if (!mark) {
        next(d);
        return;
    }
    err_set(&err, ERR_INVALID, "job %s has claimed it: the job removes it, or, if that is over, remove \"%s/%s\" first",
            strchr(mark, '-') + 1, d->dir, mark);
    finish(d, &err);
}

static void on_metadata(void *arg, const struct fs_result *result)
{
    struct disposal *d = arg;
    struct err err = result->err;
    int code = result->code;

    if (code == 0)
        code = ckpt_meta_unpack(result->data, result->len, d->dir, &d->meta, &err);
    if (code == 0 && d->meta->kind != CKPT_SAVEPOINT)
        code = err_set(&err, ERR_INVALID, "\"%s\" is a checkpoint, not a savepoint: its job removes it", d->dir);
    if (code < 0)
        finish(d, &err);
    else
        d->env->fs->ops->list(d->env->fs, d->dir, on_listed, d);
}

void jm_ckpt_dispose(struct env *env, const char *path, void (*done)(void *arg, const struct err *error), void *arg)
{
    struct disposal *d = MEM_NEW(struct disposal);
    size_t len = strlen(path);
    char *metadata;

    if (len > 10 && strcmp(path + len - 10, "/_metadata") == 0)
        len -= 10;
    *d = (struct disposal){.env = env, .dir = mem_printf("%.*s", (int)len, path), .done = done, .arg = arg};
    metadata = mem_printf("%s/_metadata", d->dir);
    env->fs->ops->read_all(env->fs, metadata, CKPT_META_MAX, on_metadata, d);
    mem_free(metadata);
}
