/*
 * blob_put.c - one upload: read a part, hash it, append it, until all is in a file of its own.
 * Pure; thread: the control loop.
 */
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "jobmanager/blob/blob_private.h"

struct put {
    struct list link;
    struct jm_blobs *store;
    struct fs *fs;
    const uint8_t *data; /* borrowed, or NULL */
    size_t len;
    char *path; /* owned, or NULL */
    struct fs_file *from, *to;
    uint64_t done, file;
    struct hash_sha256 *hash;
    struct err err; /* the first error */
    jm_blob_put_fn *fn;
    void *arg;
};

static void next_part(struct put *p);

static void ignore(void *arg, const struct fs_result *result)
{
    (void)arg;
    (void)result;
}

static void put_free(struct put *p, uint8_t ret_hash[32])
{
    if (p->from)
        p->fs->ops->close(p->fs, p->from);
    if (p->to)
        p->fs->ops->close(p->fs, p->to);
    hash_sha256_end(p->hash, ret_hash);
    list_remove(&p->link);
    mem_free(p->path);
    mem_free(p);
}

static void put_end(struct put *p, const struct err *error)
{
    struct put copy = *p;
    struct jm_blobs *blobs = p->store;
    struct err why = {0};
    uint8_t hash[32];

    if (error)
        why = *error;
    if (error && error->code != ERR_LIMIT)
        err_wrap(&why, "the JobManager cannot keep the artifact (io.tmp.dirs, blob.storage.directory)");
    if (!error && p->path)
        p->fs->ops->unlink(p->fs, p->path, ignore, NULL);
    put_free(p, hash);
    if (error ? copy.to != NULL : !jm_blob_keep(blobs, hash, copy.file, copy.done))
        jm_blob_remove_file(blobs, copy.file);
    copy.fn(copy.arg, error ? &why : NULL, hash);
}

static bool failed(struct put *p, const struct fs_result *result)
{
    if (result->code == 0)
        return false;
    p->err = result->err;
    put_end(p, &p->err);
    return true;
}

static void on_appended(void *arg, const struct fs_result *result)
{
    if (!failed(arg, result))
        next_part(arg);
}

static void take_part(struct put *p, const void *data, size_t len)
{
    p->done += len;
    hash_sha256_add(p->hash, data, len);
    p->fs->ops->append(p->fs, p->to, data, len, on_appended, p);
}

static void on_read(void *arg, const struct fs_result *result)
{
    struct put *p = arg;

    if (failed(p, result))
        return;
    if (result->len == 0) {
        put_end(p, NULL);
    } else if (p->done + result->len > JM_BLOB_MAX) {
        err_set(&p->err, ERR_LIMIT, "artifact %s has more than %llu bytes", p->path, JM_BLOB_MAX);
        put_end(p, &p->err);
    } else {
        take_part(p, result->data, result->len);
    }
}

static void next_part(struct put *p)
{
    if (p->from)
        p->fs->ops->pread(p->fs, p->from, p->done, JM_BLOB_PART, on_read, p);
    else if (p->done < p->len)
        take_part(p, p->data + p->done, MIN(p->len - p->done, JM_BLOB_PART));
    else
        put_end(p, NULL);
}

static void on_open_from(void *arg, const struct fs_result *result)
{
    struct put *p = arg;

    p->from = result->file;
    if (!failed(p, result))
        next_part(p);
}

static void on_open_to(void *arg, const struct fs_result *result)
{
    struct put *p = arg;

    p->to = result->file;
    if (failed(p, result))
        return;
    if (p->path)
        p->fs->ops->open(p->fs, p->path, FS_READ, on_open_from, p);
    else
        next_part(p);
}

static void on_dir(void *arg, const struct fs_result *result)
{
    struct put *p = arg;
    char *path;

    if (failed(p, result))
        return;
    path = jm_blob_path(p->store, p->file);
    p->fs->ops->open(p->fs, path, FS_CREATE, on_open_to, p);
    mem_free(path);
}

static void on_refused(void *arg, const struct fs_result *result)
{
    (void)result;
    put_end(arg, &((struct put *)arg)->err);
}

void jm_blobs_put(struct jm_blobs *blobs, const void *data, size_t len, const char *path,
                  jm_blob_put_fn *fn, void *arg)
{
    struct put *p = MEM_NEW(struct put);

    *p = (struct put){.store = blobs,
                      .fs = blobs->env->fs,
                      .data = data,
                      .len = path ? 0 : len,
                      .fn = fn,
                      .arg = arg};
    p->path = path ? mem_strdup(path) : NULL;
    p->file = blobs->next_file++;
    p->hash = hash_sha256_begin();
    list_push_back(&blobs->puts, &p->link);
    if (map_size(blobs->blobs) >= JM_BLOBS_MAX)
        err_set(&p->err, ERR_LIMIT, "%d artifacts are kept: no more are taken", JM_BLOBS_MAX);
    else if (p->len > JM_BLOB_MAX)
        err_set(&p->err, ERR_LIMIT, "the artifact has more than %llu bytes", JM_BLOB_MAX);
    p->fs->ops->mkdirs(p->fs, blobs->dir, p->err.code ? on_refused : on_dir, p);
}

void jm_blob_puts_drop(struct jm_blobs *blobs)
{
    while (!list_empty(&blobs->puts)) {
        struct put *p = LIST_ENTRY(blobs->puts.next, struct put, link);
        uint8_t hash[32];

        p->fs->ops->forget(p->fs, p);
        put_free(p, hash);
    }
}
