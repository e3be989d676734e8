/*
 * resource.h - the TaskManagers that are registered, their slots, and who holds them.
 *
 * A TaskManager lives as long as its connection: when that closes it is gone at once, with
 * everybody who holds slots on it told.  Slots are handed out all or none, spread: each goes to the
 * TaskManager that is least used.  Thread: the control loop.
 */
#ifndef JM_RESOURCE_H
#define JM_RESOURCE_H

#include "common/base/bytes.h"
#include "common/base/id.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/env/env.h"
#include "common/rpc/rpc.h"
#include "jobmanager/job/snapshot.h"

#define JM_TASKMANAGERS_MAX          20000
#define JM_SLOTS_PER_TASKMANAGER_MAX 1024

struct jm_taskmanager {
    struct id id;
    char id_text[ID_TEXT_MAX];
    char *host, *data_address;
    char *label; /* "TaskManager 1a2b... (host)" for messages */
    char *place; /* where it runs: the same when it comes back after a restart, if it has a resource-id */
    struct rpc_peer *peer;
    uint32_t slots, used;
    uint64_t process_bytes, slot_bytes, managed_bytes, network_bytes, rss_bytes,
        physical_memory_bytes;
    uint32_t cpu_cores;
    int32_t pid;
    int64_t registered_ms, heartbeat_ms;
    struct list allocations; /* struct jm_allocation.link */
    void *session;           /* of its connection; jm.c's */
};

/* What one job holds on one TaskManager. Owned by the holder, given back with
 * jm_resource_release. */
struct jm_allocation {
    struct list link;
    struct jm_taskmanager *taskmanager; /* NULL once it is lost */
    uint32_t slots;
    struct id job_id;
    const char *job_name; /* borrowed from the holder */
    /* Its TaskManager is gone; the holder may release it inside. Both set by the holder right
     * after it got it. */
    void (*lost)(struct jm_allocation *allocation, const char *why);
    void *holder;
};

struct jm_grant {
    uint32_t slot_count, host_count;
    uint32_t *slot_host;          /* by slot: index into hosts */
    struct jm_allocation **hosts; /* in order of first use; each is taken by the holder */
};

struct jm_resource_hooks {
    void (*slots_freed)(void *arg); /* or added */
    /* it came over another connection: close the old one */
    void (*superseded)(void *arg, struct jm_taskmanager *tm);
    /* something that the snapshot shows; now: that somebody may wait for */
    void (*changed)(void *arg, bool now);
};
struct jm_resource {
    struct env *env;
    struct map *taskmanagers; /* id -> struct jm_taskmanager */
    uint32_t slots, used;
    const struct jm_resource_hooks *hooks;
    void *arg;
};

void jm_resource_init(struct jm_resource *res, struct env *env,
                      const struct jm_resource_hooks *hooks, void *arg);
void jm_resource_clear(struct jm_resource *res); /* tells nobody */

int jm_resource_register(struct jm_resource *res, struct rpc_peer *peer,
                         const Rask__Control__RegisterTaskManager *msg, struct jm_taskmanager **ret,
                         struct err *err) MUST_CHECK;
void jm_resource_report(struct jm_resource *res, struct jm_taskmanager *tm,
                        const Rask__Control__TaskManagerReport *msg);
/* tm is freed */
void jm_resource_lost(struct jm_resource *res, struct jm_taskmanager *tm, const char *why);
struct jm_taskmanager *jm_resource_find(struct jm_resource *res, const struct id *id);
/* NULL: none is registered */
struct jm_taskmanager *jm_resource_least_used(struct jm_resource *res);

/* All or none: false leaves everything as it was. places: by slot, a TaskManager's that is taken while it has a slot free; NULL,
 * and NULL in it: any. */
bool jm_resource_allocate(struct jm_resource *res, const struct id *job_id, const char *job_name,
                          uint32_t slots, char *const *places, struct jm_grant *ret);
/* On one TaskManager, that of the place or the least used of those that have them; NULL: none has. place NULL: any. */
struct jm_allocation *jm_resource_allocate_on_one(struct jm_resource *res, const struct id *job_id,
                                                  const char *job_name, uint32_t slots,
                                                  const char *place);
/* No slot, but to be told when the TaskManager is lost. */
struct jm_allocation *jm_resource_hold(struct jm_resource *res, struct jm_taskmanager *tm,
                                       const struct id *job_id, const char *job_name);
void jm_grant_release(struct jm_grant *grant);
/* taken; NULL inside is legal */
void jm_resource_release(struct jm_resource *res, struct jm_allocation **allocation);
/* "needs 4 slots, 1 is free: 3 are missing. Held by: job "a" (id) 2; 2 TaskManagers with 2 slots
 * each are registered" */
void jm_resource_explain(struct jm_resource *res, uint32_t needed, struct bytes *out);

void jm_resource_fill(struct jm_resource *res, struct jm_cluster_snapshot *s);

#endif
