/*
 * loader_posix.c - dlopen of private copies: see loader_posix.h.
 * Thread: the loop, except resolve.
 */
#include "taskmanager/worker/loader_posix.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "api/runtime.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/list.h"
#include "common/base/mem.h"

#define LOADER_MAGIC 0x4c4f4144u

typedef int job_fn(rask_env *env, const rask_params *params);

struct artifact {
    struct list in_loader;
    uint8_t hash[32];
    void *handle;
    struct rask_artifact range;
};

struct loader {
    struct wk_loader base;
    uint32_t magic;
    const char *dir;
    struct list artifacts;
};

struct loading {
    struct loader *loader;
    uint8_t hash[32];
    void (*cb)(void *arg, int code, const char *error);
    void *arg;
};

static struct loader *loader_of(struct wk_loader *base)
{
    return MAGIC_CAST(CONTAINER_OF(base, struct loader, base), struct loader, LOADER_MAGIC);
}

static struct artifact *find(struct loader *l, const uint8_t hash[32])
{
    LIST_FOREACH(node, &l->artifacts) {
        struct artifact *a = LIST_ENTRY(node, struct artifact, in_loader);

        if (memcmp(a->hash, hash, 32) == 0)
            return a;
    }
    return NULL;
}

/* The first bytes of the hash stand for the artifact in messages. */
static const char *short_name(const uint8_t hash[32], char out[17])
{
    hash_hex(hash, 8, out);
    return out;
}

static int load_file(struct loader *l, const uint8_t hash[32], const char *path, struct err *err)
{
    struct artifact *a;
    const uint32_t *abi;
    char name[17];
    void *handle;
    int code;

    if (find(l, hash))
        return 0;
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return err_set(err, ERR_INVALID, "cannot load artifact %s: %s", short_name(hash, name), dlerror());
    abi = dlsym(handle, "rask_job_abi");
    if (!abi)
        return err_set(err, ERR_VERSION, "artifact %s does not tell its ABI: compile it with the header rask/rask.h of this version",
                       short_name(hash, name));
    if (*abi != RASK_ABI)
        return err_set(err, ERR_VERSION, "artifact %s was compiled for ABI %u of Rask, this worker has ABI %u: compile it again",
                       short_name(hash, name), *abi, (unsigned)RASK_ABI);
    a = MEM_NEW(struct artifact);
    memcpy(a->hash, hash, 32);
    a->handle = handle;
    code = rask_artifact_of(abi, &a->range, err);
    if (code < 0) {
        mem_free(a);
        return code;
    }
    list_push_back(&l->artifacts, &a->in_loader);
    return 0;
}

static int write_file(const char *path, const void *data, size_t len, struct err *err)
{
    const uint8_t *at = data;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0500);
    ssize_t done = 0;

    if (fd < 0)
        return err_errno(err, errno, "the artifact in the temporary folder (io.tmp.dirs), %s", path);
    while (len > 0 && done >= 0) {
        done = write(fd, at, len);
        if (done < 0 && errno == EINTR)
            done = 0;
        if (done > 0) {
            at += done;
            len -= (size_t)done;
        }
    }
    if (done < 0)
        err_errno(err, errno, "the artifact in the temporary folder (io.tmp.dirs), %s", path);
    close(fd);
    return done < 0 ? err->code : 0;
}

static void on_fetched(void *arg, int code, const char *error, const void *data, size_t len)
{
    struct loading *job = arg;
    struct err err = {0};
    char name[17], *path;

    if (code < 0) {
        err_set(&err, code, "%s", error);
    } else if (!find(job->loader, job->hash)) {
        path = mem_printf("%s/job-%s.so", job->loader->dir, short_name(job->hash, name));
        if (write_file(path, data, len, &err) == 0)
            (void)!load_file(job->loader, job->hash, path, &err);
        mem_free(path);
    }
    job->cb(job->arg, err.code, err.code < 0 ? err.text : NULL);
    mem_free(job);
}

static void load_op(struct wk_loader *base, struct wk *wk, const uint8_t hash[32],
                    void (*cb)(void *arg, int code, const char *error), void *arg)
{
    struct loading *job = MEM_NEW(struct loading);

    job->loader = loader_of(base);
    memcpy(job->hash, hash, 32);
    job->cb = cb;
    job->arg = arg;
    wk_fetch_blob(wk, hash, on_fetched, job);
}

static void *resolve_op(struct wk_loader *base, const uint8_t hash[32], uint64_t offset)
{
    struct artifact *a = find(loader_of(base), hash);

    return a ? rask_artifact_pointer(&a->range, offset, 1) : NULL;
}

struct wk_loader *wk_loader_posix_new(const char *dir)
{
    struct loader *l = MEM_NEW(struct loader);

    l->base.load = load_op;
    l->base.resolve = resolve_op;
    l->magic = LOADER_MAGIC;
    l->dir = dir;
    list_init(&l->artifacts);
    return &l->base;
}

void wk_loader_posix_free(struct wk_loader *base)
{
    struct loader *l;
    struct list *node;

    if (!base)
        return;
    l = loader_of(base);
    while ((node = list_pop_front(&l->artifacts)) != NULL)
        mem_free(LIST_ENTRY(node, struct artifact, in_loader));
    l->magic = 0;
    mem_free(l);
}

int wk_loader_posix_build(struct wk_loader *base, const uint8_t hash[32], const char *entry, char *const *argv, int argc,
                          struct bytes *ret_graph, struct err *err)
{
    struct artifact *a = find(loader_of(base), hash);
    struct rask_env_options options = {.offset_of = rask_artifact_offset, .artifact = hash, .argc = argc, .argv = argv};
    const char *name = entry ? entry : "rask_job";
    Rask__Graph__StreamGraph *graph = NULL;
    rask_env *env;
    void *symbol;
    int code, returned;

    CHECK(a != NULL);
    options.arg = &a->range;
    symbol = dlsym(a->handle, name);
    if (!symbol)
        return err_set(err, ERR_NOT_FOUND,
                       "the artifact has no function `%s`; the entry point of a job is `int %s(rask_env *env, const rask_params *params)`",
                       name, name);
    env = rask_env_new(&options);
    returned = ((job_fn *)symbol)(env, rask_env_params(env));
    code = rask_env_graph(env, &graph, err);
    if (code == 0 && returned != 0)
        code = err_set(err, ERR_USER, "the entry point %s returned %d", name, returned);
    if (code == 0) {
        size_t len = protobuf_c_message_get_packed_size(&graph->base);

        bytes_clear(ret_graph);
        bytes_reserve(ret_graph, len);
        ret_graph->len = protobuf_c_message_pack(&graph->base, ret_graph->data);
    }
    rask_env_free(env);
    return code;
}
