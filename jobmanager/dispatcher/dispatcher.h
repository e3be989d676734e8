/*
 * dispatcher.h - the jobs of the cluster: taken in, started when there are slots, handed to the job
 * store when over.
 *
 * Slots that come free go to the first waiting job, in order of submission, that they suffice for.
 * Also here: the commands of REST, and the short-lived workers that build a graph out of an
 * artifact.  Thread: the control loop.
 */
#ifndef JM_DISPATCHER_H
#define JM_DISPATCHER_H

#include "jobmanager/blob/blob_store.h"
#include "jobmanager/jm.h"
#include "jobmanager/job/job_master.h"
#include "jobmanager/job_store/job_store.h"
#include "jobmanager/resource/resource.h"

#define JM_JOBS_MAX  10000
#define JM_PLANS_MAX 32

struct jm_dispatcher_hooks {
    void (*changed)(void *arg, bool now); /* the snapshot */
    /* of a connection that is about to be closed */
    void (*detach)(void *arg, void *session);
};
struct jm_dispatcher {
    struct env *env;
    const struct conf *conf;
    struct jm_resource *resource;
    struct jm_blobs *blobs;
    struct jm_store *store;
    const char *address; /* as workers reach the JobManager */
    uint32_t slots_max;      /* that there will ever be; 0: unknown */
    const char *tls_ciphers; /* NULL: no TLS */
    bool tls_data;
    const char *checkpoint_dir; /* of jobs that set none */
    const struct jm_dispatcher_hooks *hooks;
    void *arg;

    struct jm_job_context job_context;
    struct map *jobs;     /* id -> struct jm_job, in order of submission */
    struct map *plans;    /* id -> struct jm_plan */
    struct list commands; /* struct jm_command.link: under way */
    struct list watches;  /* struct jm_command.link: waiting for the end of a job */
    struct list operations; /* struct jm_operation: under way, and those that ended lately */
    uint32_t operation_count;
    struct env_timer retry_timer, metrics_timer;
};

/* The fields up to `arg` are set by the caller. */
void jm_dispatcher_init(struct jm_dispatcher *d);
/* jobs and plans are dropped, commands end with ERR_CLOSED */
void jm_dispatcher_clear(struct jm_dispatcher *d);
void jm_dispatcher_slots_freed(struct jm_dispatcher *d);
/* that is not over; NULL */
struct jm_job *jm_dispatcher_job(struct jm_dispatcher *d, const struct id *id);
/* Ids of the jobs that are not over and whose workers keep copies of their state. Array in the arena, ids borrowed. */
void jm_dispatcher_local_jobs(struct jm_dispatcher *d, struct arena *arena, ProtobufCBinaryData **ret, size_t *ret_count);
void jm_dispatcher_touch(struct jm_dispatcher *d, const struct id *id);
bool jm_dispatcher_secret(struct jm_dispatcher *d, const struct id *job_id, uint64_t epoch,
                          uint8_t ret[32]);

/* command->job_id: set where the graph gives an id, or neither does. Known with the same graph:
 * 0. */
int jm_dispatcher_submit(struct jm_dispatcher *d, struct jm_command *command,
                         struct err *err) MUST_CHECK;
void jm_dispatcher_execute(struct jm_dispatcher *d, struct jm_command *command); /* commands.c */

/* A TaskManager's connection is about to be closed from this side: what waits for its answers
 * ends. */
void jm_dispatcher_peer_closes(struct jm_dispatcher *d, const struct rpc_peer *peer);

/* ---- plan.c: a worker that turns an artifact into a graph ---- */
struct jm_plan {
    struct jm_dispatcher *d;
    struct id id; /* its job id */
    uint8_t secret[32];
    uint8_t hash[32];
    struct jm_command *command;       /* NULL: answered */
    struct jm_allocation *allocation; /* without slots */
    struct rpc_peer *peer;
    void *session;
    char *label;
    uint32_t start_call, stop_call;
    bool stopping;
    struct env_timer timer, end_timer;
};
void jm_plan_start(struct jm_dispatcher *d, struct jm_command *command);
struct jm_plan *jm_plan_find(struct jm_dispatcher *d, const struct id *id);
int jm_plan_register(struct jm_plan *plan, struct rpc_peer *peer, struct err *err) MUST_CHECK;
void jm_plan_built(struct jm_plan *plan, const Rask__Control__PlanBuilt *msg);
void jm_plan_closed(struct jm_plan *plan, const char *why); /* its connection */
void jm_plan_exited(struct jm_plan *plan, const Rask__Control__WorkerExited *msg);
void jm_plan_free(struct jm_plan *plan);

/* operations.c: checkpoints, savepoints and their removal, as REST asks for them and asks about them */
void jm_operation_start(struct jm_dispatcher *d, struct jm_command *command);
void jm_operation_look(struct jm_dispatcher *d, struct jm_command *command);
void jm_operations_job_restarts(struct jm_dispatcher *d, const struct id *job_id);
void jm_operations_job_over(struct jm_dispatcher *d, const struct id *job_id);
void jm_operations_clear(struct jm_dispatcher *d);

/* commands.c: err NULL = done well. */
void jm_command_end(struct jm_command *command, const struct err *error);

#endif
