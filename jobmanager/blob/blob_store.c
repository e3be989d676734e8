/* blob_store.c - what is here, who uses it, reading and removing. Pure; thread: the control
 * loop. */
#include "jobmanager/blob/blob_store.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "jobmanager/blob/blob_private.h"

static void on_sweep(struct env_timer *timer);

void jm_blobs_init(struct jm_blobs *blobs, struct env *env, const char *dir)
{
    *blobs = (struct jm_blobs){.env = env, .dir = mem_strdup(dir), .blobs = map_new()};
    blobs->sweep_timer.cb = on_sweep;
    list_init(&blobs->puts);
    list_init(&blobs->reads);
}

static void read_end(struct jm_blob_read *r, const struct err *error, const void *data, size_t len)
{
    if (r->file)
        r->fs->ops->close(r->fs, r->file);
    list_remove(&r->link);
    r->fn(r->arg, error, data, len, r->size);
    mem_free(r);
}

void jm_blobs_clear(struct jm_blobs *blobs)
{
    struct err closed;

    if (!blobs->blobs)
        return;
    env_timer_cancel(blobs->env, &blobs->sweep_timer);
    jm_blob_puts_drop(blobs);
    err_set(&closed, ERR_CLOSED, "the JobManager stops");
    while (!list_empty(&blobs->reads)) {
        struct jm_blob_read *r = LIST_ENTRY(blobs->reads.next, struct jm_blob_read, link);

        r->fs->ops->forget(r->fs, r);
        read_end(r, &closed, NULL, 0);
    }
    for (struct map_iter it = map_iter(blobs->blobs); map_next(&it);)
        mem_free(it.value);
    map_free(blobs->blobs);
    mem_free(blobs->dir);
    *blobs = (struct jm_blobs){0};
}

char *jm_blob_path(struct jm_blobs *blobs, uint64_t file)
{
    return mem_printf("%s/blob-%llu", blobs->dir, (unsigned long long)file);
}

static void ignore(void *arg, const struct fs_result *result)
{
    (void)arg;
    (void)result;
}

void jm_blob_remove_file(struct jm_blobs *blobs, uint64_t file)
{
    char *path = jm_blob_path(blobs, file);

    blobs->env->fs->ops->unlink(blobs->env->fs, path, ignore, NULL);
    mem_free(path);
}

static struct jm_blob *find(const struct jm_blobs *blobs, const uint8_t hash[32])
{
    return map_get(blobs->blobs, hash, 32);
}

static void sweep_later(struct jm_blobs *blobs)
{
    if (!blobs->sweep_timer.armed)
        env_timer_arm_ms(blobs->env, &blobs->sweep_timer, JM_BLOB_GRACE_MS);
}

bool jm_blob_keep(struct jm_blobs *blobs, const uint8_t hash[32], uint64_t file, uint64_t size)
{
    struct jm_blob *blob = find(blobs, hash);
    bool is_new = !blob;

    if (is_new) {
        blob = MEM_NEW(struct jm_blob);
        *blob = (struct jm_blob){.file = file, .size = size};
        map_put(blobs->blobs, hash, 32, blob);
    }
    blob->used_ns = env_now_ns(blobs->env);
    sweep_later(blobs);
    return is_new;
}

static void on_sweep(struct env_timer *timer)
{
    struct jm_blobs *blobs = CONTAINER_OF(timer, struct jm_blobs, sweep_timer);
    uint64_t now_ns = env_now_ns(blobs->env);
    bool again = false;

    for (struct map_iter it = map_iter(blobs->blobs); map_next(&it);) {
        struct jm_blob *blob = it.value;

        if (blob->refs > 0)
            continue;
        if (now_ns - blob->used_ns < JM_BLOB_GRACE_MS * 1000000ull) {
            again = true;
            continue;
        }
        jm_blob_remove_file(blobs, blob->file);
        map_remove(blobs->blobs, it.key, it.key_len);
        mem_free(blob);
    }
    if (again)
        sweep_later(blobs);
}

bool jm_blobs_ref(struct jm_blobs *blobs, const uint8_t hash[32])
{
    struct jm_blob *blob = find(blobs, hash);

    if (blob)
        blob->refs++;
    return blob != NULL;
}

void jm_blobs_unref(struct jm_blobs *blobs, const uint8_t hash[32])
{
    struct jm_blob *blob = find(blobs, hash);

    CHECK(blob != NULL);
    CHECK(blob->refs > 0);
    blob->refs--;
    blob->used_ns = env_now_ns(blobs->env);
    if (blob->refs == 0)
        sweep_later(blobs);
}

/* ---- reading: open, read a part, close ---- */

static void on_part(void *arg, const struct fs_result *result)
{
    struct jm_blob_read *r = arg;

    if (result->code < 0)
        read_end(r, &result->err, NULL, 0);
    else
        read_end(r, NULL, result->data, result->len);
}

static void on_open(void *arg, const struct fs_result *result)
{
    struct jm_blob_read *r = arg;

    r->file = result->file;
    if (result->code < 0)
        read_end(r, &result->err, NULL, 0);
    else
        r->fs->ops->pread(r->fs, r->file, r->offset, r->max, on_part, r);
}

void jm_blobs_read(struct jm_blobs *blobs, const uint8_t hash[32], uint64_t offset, size_t max,
                   jm_blob_read_fn *fn, void *arg)
{
    struct jm_blob *blob = find(blobs, hash);
    struct jm_blob_read *r;
    char *path;

    CHECK(blob != NULL);
    r = MEM_NEW(struct jm_blob_read);
    *r = (struct jm_blob_read){.store = blobs,
                               .fs = blobs->env->fs,
                               .offset = offset,
                               .size = blob->size,
                               .fn = fn,
                               .arg = arg};
    r->max = MIN(max, JM_BLOB_PART);
    list_push_back(&blobs->reads, &r->link);
    path = jm_blob_path(blobs, blob->file);
    r->fs->ops->open(r->fs, path, FS_READ, on_open, r);
    mem_free(path);
}
