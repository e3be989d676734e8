/* job_store.c - entries, files, cache, expiry of jobs that are over. Pure; thread: the control
 * loop. */
#include "jobmanager/job_store/job_store.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

#define MODULE "job_store"

struct jm_cached {
    struct list link; /* in store->cache unless pinned */
    struct jm_stored *stored;
    struct jm_job_snapshot *job; /* one reference */
    uint64_t bytes;
    uint64_t looked_ns; /* last time */
    bool pinned;        /* not on disk (yet) */
};
struct operation { /* one file being written or read */
    struct list link;
    struct jm_store *store; /* NULL: it is gone, nobody waits */
    struct id id;
    char *path;
    struct bytes packed;
    struct env_work pack;
    struct jm_job_snapshot *job; /* while it is packed: one reference */
    jm_store_load_fn *fn; /* load */
    void *arg;
};

static void on_expiry(struct env_timer *timer);
static void on_cache_idle(struct env_timer *timer);

void jm_store_init(struct jm_store *store, struct env *env, const struct conf *conf,
                   const char *dir, const struct jm_store_hooks *hooks, void *arg)
{
    *store = (struct jm_store){
        .env = env, .dir = mem_strdup(dir), .jobs = map_new(), .hooks = hooks, .arg = arg};
    store->expiration_ms = (uint64_t)conf_int(conf, OPT_JOBSTORE_EXPIRATION_TIME) * 1000;
    store->capacity = (uint64_t)conf_int(conf, OPT_JOBSTORE_MAX_CAPACITY);
    store->cache_max = (uint64_t)conf_int(conf, OPT_JOBSTORE_CACHE_SIZE);
    store->in_memory = strcmp(conf_string(conf, OPT_JOBSTORE_TYPE), "Memory") == 0;
    store->expiry_timer.cb = on_expiry;
    store->cache_timer.cb = on_cache_idle;
    list_init(&store->cache);
    list_init(&store->operations);
}

static void uncache(struct jm_store *store, struct jm_stored *stored)
{
    struct jm_cached *c = stored->cached;

    if (!c)
        return;
    if (!c->pinned)
        store->cache_bytes -= c->bytes;
    list_remove(&c->link);
    jm_job_snapshot_unref(c->job);
    mem_free(c);
    stored->cached = NULL;
}

static void stored_free(struct jm_store *store, struct jm_stored *stored)
{
    uncache(store, stored);
    jm_finished_job_unref(stored->entry);
    mem_free(stored);
}

static void operation_free(struct operation *op)
{
    list_remove(&op->link);
    bytes_release(&op->packed);
    mem_free(op->path);
    mem_free(op);
}

void jm_store_clear(struct jm_store *store)
{
    if (!store->jobs)
        return;
    env_timer_cancel(store->env, &store->expiry_timer);
    env_timer_cancel(store->env, &store->cache_timer);
    while (!list_empty(&store->operations)) { /* whoever waits for one has been told by the dispatcher */
        struct operation *op = LIST_ENTRY(store->operations.next, struct operation, link);

        if (op->job) { /* on_packed frees it */
            list_remove(&op->link);
            op->store = NULL;
            continue;
        }
        store->env->fs->ops->forget(store->env->fs, op);
        operation_free(op);
    }
    for (struct map_iter it = map_iter(store->jobs); map_next(&it);)
        stored_free(store, it.value);
    map_free(store->jobs);
    mem_free(store->dir);
    *store = (struct jm_store){0};
}

/* ---- cache ---- */

static void shrink_cache(struct jm_store *store)
{
    while (store->cache_bytes > store->cache_max && !list_empty(&store->cache))
        uncache(store, LIST_ENTRY(store->cache.next, struct jm_cached, link)->stored);
}

/* What nobody has looked at for a while goes: clients that wait for a job look at it again and
 * again, then never. */
static void on_cache_idle(struct env_timer *timer)
{
    struct jm_store *store = CONTAINER_OF(timer, struct jm_store, cache_timer);
    uint64_t now_ns = env_now_ns(store->env);

    while (!list_empty(&store->cache)) {
        struct jm_cached *c = LIST_ENTRY(store->cache.next, struct jm_cached, link);

        if (now_ns - c->looked_ns < JM_CACHE_IDLE_MS * 1000000ull) {
            env_timer_arm_ms(store->env, timer, JM_CACHE_IDLE_MS);
            return;
        }
        uncache(store, c->stored);
    }
}

static void looked_at(struct jm_store *store, struct jm_cached *c)
{
    c->looked_ns = env_now_ns(store->env);
    list_remove(&c->link);
    list_push_back(&store->cache, &c->link);
    if (!store->cache_timer.armed)
        env_timer_arm_ms(store->env, &store->cache_timer, JM_CACHE_IDLE_MS);
}

static void cache(struct jm_store *store, struct jm_stored *stored, struct jm_job_snapshot *job,
                  bool pinned)
{
    struct jm_cached *c = MEM_NEW(struct jm_cached);

    __atomic_fetch_add(&job->refs, 1, __ATOMIC_RELAXED);
    *c = (struct jm_cached){.stored = stored, .job = job, .pinned = pinned};
    list_init(&c->link);
    stored->cached = c;
    if (pinned)
        return;
    c->bytes = sizeof(*c) + sizeof(*job) + job->arena.used_bytes;
    store->cache_bytes += c->bytes;
    looked_at(store, c);
    shrink_cache(store);
}

/* ---- files ---- */

static struct operation *operation_new(struct jm_store *store, const struct id *id)
{
    struct operation *op = MEM_NEW(struct operation);
    char text[ID_TEXT_MAX];

    op->store = store;
    op->id = *id;
    op->path = mem_printf("%s/%s.job", store->dir, id_format(id, text));
    bytes_init(&op->packed);
    list_push_back(&store->operations, &op->link);
    return op;
}

static void on_removed(void *arg, const struct fs_result *result)
{
    (void)arg;
    (void)result;
}

static void remove_file(struct jm_store *store, const char *path)
{
    store->env->fs->ops->unlink(store->env->fs, path, on_removed, NULL);
}

static void on_written(void *arg, const struct fs_result *result)
{
    struct operation *op = arg;
    struct jm_store *store = op->store;
    struct jm_stored *stored = map_get(store->jobs, op->id.bytes, sizeof(op->id.bytes));
    char id[ID_TEXT_MAX];

    if (!stored && result->code == 0)
        remove_file(store, op->path); /* it expired meanwhile */
    else if (stored && result->code < 0) /* it stays in memory, pinned */
        env_log(store->env, LOG_ERROR, MODULE, id_format(&op->id, id), "%s cannot be written: %s", op->path,
                result->err.text);
    else if (stored)
        uncache(store, stored);
    operation_free(op);
}

static void on_dir(void *arg, const struct fs_result *result)
{
    struct operation *op = arg;
    struct fs *fs = op->store->env->fs;

    if (result->code < 0)
        on_written(op, result);
    else
        fs->ops->write_all(fs, op->path, op->packed.data, op->packed.len, on_written, op);
}

/* On another thread: it takes 20 ms for a job of 65,000 subtasks. */
static void run_pack(struct env_work *work)
{
    struct operation *op = CONTAINER_OF(work, struct operation, pack);

    jm_job_pack(op->job, &op->packed);
}

static void on_packed(struct env_work *work)
{
    struct operation *op = CONTAINER_OF(work, struct operation, pack);

    jm_job_snapshot_unref(op->job);
    op->job = NULL;
    if (op->store)
        op->store->env->fs->ops->mkdirs(op->store->env->fs, op->store->dir, on_dir, op);
    else
        operation_free(op);
}

static void forget(struct jm_store *store, struct jm_stored *stored)
{
    struct id id = stored->entry->id;
    char text[ID_TEXT_MAX];
    char *path = mem_printf("%s/%s.job", store->dir, id_format(&id, text));

    if (!stored->cached || !stored->cached->pinned) /* else it is being written, or never was */
        remove_file(store, path);
    mem_free(path);
    map_remove(store->jobs, id.bytes, sizeof(id.bytes));
    stored_free(store, stored);
}

/* ---- coming and going ---- */

static struct jm_stored *oldest(struct jm_store *store)
{
    struct map_iter it = map_iter(store->jobs);

    return map_next(&it) ? it.value : NULL;
}

static void expire(struct jm_store *store)
{
    int64_t now_ns = (int64_t)env_now_ns(store->env);
    struct jm_stored *stored;
    bool changed = false;

    while ((stored = oldest(store)) &&
           (map_size(store->jobs) > store->capacity || stored->expires_ns <= now_ns)) {
        forget(store, stored);
        changed = true;
    }
    if (stored)
        env_timer_arm(store->env, &store->expiry_timer, (uint64_t)(stored->expires_ns - now_ns));
    if (changed)
        store->hooks->changed(store->arg);
}

static void on_expiry(struct env_timer *timer)
{
    expire(CONTAINER_OF(timer, struct jm_store, expiry_timer));
}

static struct jm_finished_job *entry_new(const struct jm_job_snapshot *job)
{
    size_t len = strlen(job->name);
    struct jm_finished_job *entry;

    if (len > JM_FINISHED_NAME_MAX)
        for (len = JM_FINISHED_NAME_MAX; len > 0 && ((uint8_t)job->name[len] & 0xc0) == 0x80; len--)
            continue; /* not inside a UTF-8 character */
    entry = mem_alloc(sizeof(*entry) + len + 1);
    entry->refs = 1;
    entry->id = job->id;
    entry->state = job->state;
    entry->start_ms = job->start_ms;
    entry->end_ms = job->end_ms;
    memcpy(entry->tasks, job->tasks, sizeof(entry->tasks));
    memcpy(entry->name, job->name, len);
    return entry;
}

void jm_store_add(struct jm_store *store, const struct jm_job_snapshot *job,
                  const uint8_t graph_hash[32])
{
    struct jm_stored *stored = MEM_NEW(struct jm_stored);
    struct operation *op;

    CHECK(!jm_store_find(store, &job->id));
    stored->entry = entry_new(job);
    memcpy(stored->graph_hash, graph_hash, sizeof(stored->graph_hash));
    stored->expires_ns = (int64_t)(env_now_ns(store->env) + store->expiration_ms * 1000000u);
    map_put(store->jobs, job->id.bytes, sizeof(job->id.bytes), stored);
    cache(store, stored, (struct jm_job_snapshot *)job, true);
    if (!store->in_memory) {
        op = operation_new(store, &job->id);
        op->job = (struct jm_job_snapshot *)job;
        __atomic_fetch_add(&op->job->refs, 1, __ATOMIC_RELAXED);
        op->pack = (struct env_work){.run = run_pack, .done = on_packed};
        env_work(store->env, &op->pack);
    }
    store->hooks->changed(store->arg);
    expire(store);
}

const struct jm_stored *jm_store_find(struct jm_store *store, const struct id *id)
{
    return map_get(store->jobs, id->bytes, sizeof(id->bytes));
}

/* ---- looking at one ---- */

static void load_end(struct operation *op, const struct err *error, struct jm_job_snapshot *job)
{
    op->fn(op->arg, error, job);
    operation_free(op);
}

static void on_loaded(void *arg, const struct fs_result *result)
{
    struct operation *op = arg;
    struct jm_stored *stored = map_get(op->store->jobs, op->id.bytes, sizeof(op->id.bytes));
    struct jm_job_snapshot *job = NULL;
    struct err err = result->err;

    if (result->code == 0 && stored &&
        jm_job_unpack(result->data, result->len, op->path, &job, &err) == 0 && !stored->cached)
        cache(op->store, stored, job, false);
    if (!job && result->code == 0 && !stored)
        err_set(&err, ERR_NOT_FOUND,
                "the job was forgotten (jobstore.expiration-time, jobstore.max-capacity)");
    load_end(op, job ? NULL : &err, job);
}

struct jm_job_snapshot *jm_store_cached(struct jm_store *store, const struct id *id)
{
    struct jm_stored *stored = map_get(store->jobs, id->bytes, sizeof(id->bytes));

    if (!stored || !stored->cached)
        return NULL;
    if (!stored->cached->pinned)
        looked_at(store, stored->cached);
    __atomic_fetch_add(&stored->cached->job->refs, 1, __ATOMIC_RELAXED);
    return stored->cached->job;
}

void jm_store_load(struct jm_store *store, const struct id *id, jm_store_load_fn *fn, void *arg)
{
    struct operation *op = operation_new(store, id);

    op->fn = fn;
    op->arg = arg;
    store->env->fs->ops->read_all(store->env->fs, op->path, JM_STORE_FILE_MAX, on_loaded, op);
}

void jm_store_fill(struct jm_store *store, struct jm_cluster_snapshot *s)
{
    s->finished = mem_alloc_array(map_size(store->jobs), sizeof(struct jm_finished_job *));
    for (struct map_iter it = map_iter(store->jobs); map_next(&it);) {
        struct jm_finished_job *entry = ((struct jm_stored *)it.value)->entry;

        __atomic_fetch_add(&entry->refs, 1, __ATOMIC_RELAXED);
        s->finished[s->finished_count++] = entry;
    }
}
