/* jm_private.h - the JobManager's parts, put together. */
#ifndef JM_JM_PRIVATE_H
#define JM_JM_PRIVATE_H

#include <pthread.h>

#include "common/rpc/rpc.h"
#include "jobmanager/dispatcher/dispatcher.h"
#include "jobmanager/jm.h"

#define JM_MAGIC         0x4a4d6772u
#define JM_SESSION_MAGIC 0x4a4d7365u

struct jm {
    uint32_t magic;
    struct env *env;
    const struct conf *conf;
    char *dir;
    char *checkpoint_dir; /* of jobs that set none */
    char *address; /* as workers reach it */
    uint32_t slots_max; /* that there will ever be; 0: unknown */
    uint64_t fence;
    struct net_tls *tls; /* borrowed, or NULL */
    struct rpc_server *server;
    struct jm_resource resource;
    struct jm_blobs blobs;
    struct jm_store store;
    struct jm_dispatcher dispatcher;
    struct list sessions; /* every connection that is ready */

    /* of `published` and what other threads sent; held for a few instructions */
    pthread_mutex_t lock;
    struct list commands, touches; /* lock: sent, not seen by the loop yet */
    struct env_task inbox_task;
    struct jm_cluster_snapshot *published;
    uint64_t published_ns, pictures; /* pictures: so far */
    struct env_timer publish_timer;
    uint64_t publish_at_ns; /* when the timer is armed: its time */
    struct jm_cluster_snapshot *outdated; /* the one before, to let go of */
    struct env_timer outdated_timer;
};

/* One connection of a TaskManager or a worker. */
struct jm_session {
    uint32_t magic;
    struct list link;
    struct jm *jm;
    /* NULL: the connection is closed, a blob is still on its way to it */
    struct rpc_peer *peer;
    struct jm_taskmanager *taskmanager; /* once registered */
    struct jm_worker *worker;           /* once registered; NULL again when it is gone */
    struct jm_plan *plan;
};

/* jm_rpc.c; its argument is the jm until the session is made */
extern const struct rpc_handler jm_rpc_handler;
void jm_session_detach(void *session);
void jm_sessions_clear(struct jm *jm);

/* publish.c: now: somebody may wait for it */
void jm_publish_init(struct jm *jm);
void jm_publish_soon(void *jm, bool now);
void jm_publish_clear(struct jm *jm);

#endif
