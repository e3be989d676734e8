/*
 * job_store.h - jobs that are over: on disk, with a short entry each in memory.
 *
 * One file per job, <dir>/<id>.job: magic, version, length and CRC32C, then a rask.jobstore.Job.  A
 * damaged file is refused with its name.  Entries go after jobstore.expiration-time, the oldest
 * first beyond jobstore.max-capacity; what was looked at is cached, up to jobstore.cache-size
 * bytes, until nobody has looked for 5 s.  jobstore.type Memory keeps packed jobs in memory.
 * Thread: the control loop.
 */
#ifndef JM_JOB_STORE_H
#define JM_JOB_STORE_H

#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/conf/conf.h"
#include "common/env/env.h"
#include "common/fs/fs.h"
#include "jobmanager/job/snapshot.h"

#define JM_CACHE_IDLE_MS  1000
#define JM_STORE_FILE_MAX (256u << 20)

struct jm_stored {                 /* at most 300 bytes with its name */
    struct jm_finished_job *entry; /* one reference */
    uint8_t graph_hash[32];
    int64_t expires_ns;       /* of env_now_ns */
    struct jm_cached *cached; /* NULL: on disk only */
};
struct jm_store_hooks {
    void (*changed)(void *arg); /* an entry came or went */
};
struct jm_store {
    struct env *env;
    char *dir;        /* owned */
    struct map *jobs; /* id -> struct jm_stored, oldest first */
    uint64_t expiration_ms, capacity, cache_max, cache_bytes;
    bool in_memory;
    struct list cache;      /* struct jm_cached, least recently looked at first */
    struct list operations; /* under way */
    struct env_timer expiry_timer, cache_timer;
    const struct jm_store_hooks *hooks;
    void *arg;
};
void jm_store_init(struct jm_store *store, struct env *env, const struct conf *conf,
                   const char *dir, const struct jm_store_hooks *hooks, void *arg);
void jm_store_clear(struct jm_store *store); /* callbacks that are under way are never called */

/* The job is in the store at once; it stays in memory until it is written. */
void jm_store_add(struct jm_store *store, const struct jm_job_snapshot *job,
                  const uint8_t graph_hash[32]);
const struct jm_stored *jm_store_find(struct jm_store *store, const struct id *id);
/* One reference, the caller's; NULL: it must be loaded. */
struct jm_job_snapshot *jm_store_cached(struct jm_store *store, const struct id *id);
/* job: one reference, the callee's; or error. */
typedef void jm_store_load_fn(void *arg, const struct err *error, struct jm_job_snapshot *job);
void jm_store_load(struct jm_store *store, const struct id *id, jm_store_load_fn *fn, void *arg);
void jm_store_fill(struct jm_store *store, struct jm_cluster_snapshot *s);

/* job_pack.c */
void jm_job_pack(const struct jm_job_snapshot *job, struct bytes *out);
/* name: of the file, for messages */
int jm_job_unpack(const void *data, size_t len, const char *name, struct jm_job_snapshot **ret,
                  struct err *err) MUST_CHECK;

#endif
