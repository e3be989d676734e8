/*
 * jm.h - the JobManager as one object on one env: dispatcher, resource manager, job masters, blob
 * store.
 *
 * Commands may come from other threads (REST): they are posted to the loop, done() runs on the loop
 * thread and hands over to whoever waits.  Snapshots may be taken from any thread.
 */
#ifndef JM_JM_H
#define JM_JM_H

#include "common/conf/conf.h"
#include "common/base/list.h"
#include "common/env/env.h"
#include "jobmanager/job/snapshot.h"

struct jm;
struct jm_dispatcher;
struct rpc_peer;
struct net_tls;
struct jm_options {
    const struct conf *conf; /* borrowed */
    const char *rpc_address; /* HOST:PORT to listen on; "inproc:jm" in rask-local */
    /* blobs, job store; made if missing, a folder of its own inside */
    const char *work_dir;
    struct net_tls *tls; /* borrowed; NULL: connections in clear */
    uint32_t slots_max;  /* no more will ever be offered: a job that needs more is refused; 0: unknown */
};
int jm_new(struct env *env, const struct jm_options *options, struct jm **ret,
           struct err *err) MUST_CHECK;
/* On the loop thread, or when it has stopped. Commands that are under way end with ERR_CLOSED;
 * nobody may execute more. */
void jm_free(struct jm *jm);
const char *jm_rpc_address(struct jm *jm); /* with the chosen port */
/* its own folder: whoever stops it may remove that with all in it */
const char *jm_work_dir(struct jm *jm);
struct jm_cluster_snapshot *jm_snapshot(struct jm *jm); /* one reference, any thread, never NULL */

enum jm_command_type {
    JM_SUBMIT,
    JM_CANCEL,
    JM_PUT_BLOB,
    JM_PLAN,
    JM_READ_FILE,
    JM_LIST_FILES,
    JM_WATCH,
    JM_LOAD_JOB,
    JM_CHECKPOINT, /* begins a checkpoint or savepoint of a job: answered at once with a trigger */
    JM_DISPOSE,    /* begins to remove a savepoint: likewise */
    JM_OPERATION   /* what has come of a trigger */
};
struct jm_command {
    enum jm_command_type type;
    /* ---- in; all borrowed until done ---- */
    /* CANCEL, WATCH (done once the job is over), LOAD_JOB, READ_FILE (worker's file, also of a
     * job that is over) */
    struct id job_id;
    /* SUBMIT; its artifact must have been put before. A known job_id with the same graph is
     * answered 0 again */
    const Rask__Graph__StreamGraph *graph;
    uint32_t client_parallelism; /* SUBMIT: -p; 0 = none */
    const void *data;            /* PUT_BLOB */
    size_t len;
    /* PUT_BLOB: a file instead of data (moved into the store) */
    const char *path;
    uint8_t hash[32];                           /* out of PUT_BLOB; in of PLAN */
    const Rask__Graph__Property *const *params; /* PLAN: program arguments */
    size_t param_count;
    const char *entry; /* PLAN: entry function, NULL = rask_job */
    /* READ_FILE, LIST_FILES; NULL in READ_FILE: the worker(s) of job_id, by worker_index */
    const char *taskmanager_id;
    uint32_t worker_index;
    const char *name;
    Rask__Control__CheckpointKind kind; /* CHECKPOINT */
    bool full;                          /* CHECKPOINT: not incremental */
    bool then_cancel;                   /* CHECKPOINT: the job, when it is complete */
    const char *target;                 /* CHECKPOINT: folder for a savepoint, NULL: the configured one; DISPOSE */
    /* in and out of CHECKPOINT and DISPOSE: zero: drawn; one that is known is answered again. In of OPERATION */
    struct id trigger;
    bool ended;                         /* out of OPERATION: how is in operation_err, result, size */
    struct err operation_err;           /* code 0: it went well */
    uint64_t offset;
    uint32_t max;
    /* ---- out; owned by the command, valid in done ---- */
    int code;
    struct err err;
    /* READ_FILE: data. PLAN: packed StreamGraph. LIST_FILES: packed ListFilesOk. OPERATION: path of the savepoint */
    struct bytes result;
    uint64_t size; /* READ_FILE: file size now. OPERATION: number of the checkpoint */
    /* LOAD_JOB: one reference, the caller's. Running or over, ERR_NOT_FOUND if unknown */
    struct jm_job_snapshot *job;
    void (*done)(struct jm_command *command); /* loop thread */
    void *arg;
    struct list link;                 /* internal */
    struct jm_dispatcher *dispatcher; /* internal */
    const struct rpc_peer *waits_for; /* internal: who was called for it */
    struct jm *jm;
};
/* any thread; command lives until done */
void jm_execute(struct jm *jm, struct jm_command *command);
/* Somebody looks at this job: its metrics are pulled for the next 10 s. Any thread. */
void jm_touch(struct jm *jm, const struct id *job_id);

#endif
