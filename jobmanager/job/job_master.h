/*
 * job_master.h - one per job: from the submitted graph to the last freed slot.
 *
 * A state machine.  Events come in (slots, peers, messages, obituaries, timers); each changes what
 * it must and arms the job's turn, which runs later and decides what follows for the job as a
 * whole.  A job is over when every task is final and every worker is gone; then each slot is back,
 * exactly once.  Thread: the control loop.
 *
 *   new --slots--> workers start --registered--> Deploy --reports--> all final --workers gone-->
 * over, or after a failure that the restart strategy forgives: the next epoch, from the slots on
 *
 * An epoch is one life of all of the job's workers.  It has a secret of its own; what an earlier
 * epoch says is refused.
 */
#ifndef JM_JOB_MASTER_H
#define JM_JOB_MASTER_H

#include "common/conf/conf.h"
#include "common/graph/regions.h"
#include "jobmanager/checkpoint/coordinator.h"
#include "jobmanager/job/execution_graph.h"
#include "jobmanager/job/restart.h"
#include "jobmanager/resource/resource.h"
#include "jobmanager/scheduler/scheduler.h"

#define JM_FAILURES_MAX     16
#define JM_FIRST_EPOCH      1

struct jm_job;

/* A worker's way: STARTING -> REGISTERED -> DEPLOYED -> STOPPING -> GONE; any may be skipped,
 * none is gone back. */
enum jm_worker_state {
    JM_WORKER_STARTING,
    JM_WORKER_REGISTERED,
    JM_WORKER_DEPLOYED,
    JM_WORKER_STOPPING,
    JM_WORKER_GONE
};

struct jm_task_ref {
    uint32_t vertex, subtask;
};

struct jm_worker {
    struct jm_job *job;
    uint32_t index;
    enum jm_worker_state state;
    struct jm_allocation *allocation; /* owned; NULL once the slots are back */
    uint32_t slots;                   /* that it has, or had */
    struct id taskmanager_id;
    char *place; /* its TaskManager's */
    char *host, *endpoint, *label; /* label: "worker 1 on TaskManager ..." */
    uint64_t budget_bytes;
    struct rpc_peer *peer;     /* its connection; NULL before and after */
    void *session;             /* of the connection; jm.c's */
    uint32_t process;          /* its number among the processes of the job */
    int32_t pid;               /* 0: not known yet */
    bool start_sent;           /* StartWorker went out */
    bool lost;                 /* its connection closed although nobody asked it to stop */
    uint32_t stops;            /* StopWorker calls so far */
    struct jm_task_ref *tasks; /* that are placed on it */
    uint32_t task_count, open; /* open: those that are not final */
    uint32_t start_call, stop_call, deploy_call, metrics_call; /* under way; 0: none */
    /* lost: until its obituary is given up; STOPPING: until it is killed, then given up */
    struct env_timer timer;
    struct jm_counts live; /* accumulators of all of its tasks, as it last said */
    uint64_t pool_in_use_bytes, pool_budget_bytes; /* of its blocks, likewise */
    uint64_t packed_bytes, packed_sent_bytes; /* of rows that it compressed before they left, likewise */
};

struct jm_failure {
    int64_t at_ms;
    char *text, *task; /* owned; task NULL: the job */
    char *endpoint;    /* owned; of its worker; NULL: none */
    char taskmanager_id[ID_TEXT_MAX];
    uint32_t round; /* restarts before it */
    bool suspicion; /* what the survivors of a death say: the obituary takes its place */
};

struct jm_region { /* tasks that fail and start again together */
    uint32_t attempt, open; /* open: tasks that are not final */
    bool hit;        /* by a failure that is being looked at */
    bool restarting; /* its tasks are being canceled, or wait to be deployed again */
};

struct jm_job_hooks {
    void (*over)(void *arg, struct jm_job *job); /* final, nothing held: may be freed inside */
    /* state: of the job or a task; else figures */
    void (*changed)(void *arg, struct jm_job *job, bool state);
    /* A worker is gone or its connection is of no use: forget worker->session. */
    void (*detach)(void *arg, struct jm_worker *worker);
};

struct jm_job_context { /* what all jobs share; borrowed */
    struct env *env;
    const struct conf *conf;
    struct jm_resource *resource;
    const char *jobmanager_address; /* as workers reach it */
    const char *tls_ciphers;        /* NULL: no TLS */
    bool tls_data;
    const char *checkpoint_dir;     /* of jobs that set none */
    uint32_t slots_max; /* that there will ever be; 0: unknown */
    const struct jm_job_hooks *hooks;
    void *arg;
};

struct jm_job {
    const struct jm_job_context *ctx;
    struct id id;
    char id_text[ID_TEXT_MAX];
    char *name;
    /* of the submitted graph and its parallelism: tells a repeated submission */
    uint8_t graph_hash[32];
    uint64_t epoch;
    uint8_t secret[32];
    struct conf *conf;  /* the job's over the cluster's */
    struct arena arena; /* graph, config: as long as the job */
    const Rask__Graph__JobGraph *job_graph;
    Rask__Graph__Property **config; /* for workers */
    size_t config_count;
    uint32_t parallelism, max_parallelism, slots_needed;

    struct jm_job_life life;
    char *reason; /* owned; NULL */
    int64_t start_ms, end_ms;
    struct jm_graph graph;
    struct jm_schedule schedule;
    struct jm_worker *workers;
    uint32_t worker_count, workers_registered, workers_gone;
    uint32_t *slot_workers; /* by slot: index of its worker */
    char **places; /* by slot: where it was in the last epoch; local recovery alone, else NULL */
    /* cursor of the StartWorker or Deploy calls that go out in parts */
    uint32_t send_next;
    /* those of the latest epoch that failed first; of each the root cause first */
    struct jm_failure failures[JM_FAILURES_MAX];
    uint32_t failure_count;
    struct jm_restart restart;
    struct jm_ckpt *ckpt;
    bool ckpt_over; /* its checkpoints are being removed, or stay */
    bool ending; /* this epoch: nothing new starts, what runs is asked to end */
    uint32_t restarts;
    uint64_t restart_at_ns; /* RESTARTING, ending or regional: not before */
    struct graph_regions map;
    struct jm_region *regions; /* map.count of them */
    bool region_failover;      /* jobmanager.execution.failover-strategy */
    bool regional;    /* RESTARTING: regions are, the others run on */
    bool lacks_slots; /* regional: for a worker that is gone */
    uint32_t deployments, processes; /* so far */

    struct env_timer turn;       /* armed with 0: decide what follows */
    struct env_timer wait_timer; /* slots, then registration of workers */
    struct env_timer send_timer; /* next part of calls */
    struct env_timer cancel_timer, cancel_again_timer, restart_timer;
    bool over;

    bool dirty; /* snapshot, and what is drawn of the next one, are out of date */
    struct jm_job_snapshot *snapshot;
    struct jm_job_snapshot *drawing; /* the next one; NULL: none is begun */
    uint64_t drawn_epoch;            /* whose workers it has */
    uint32_t drawn_vertices, drawn_subtasks; /* vertices that are complete; subtasks of the next one */
    uint64_t pictured;               /* for publish.c: the picture of the cluster that it was last drawn for */
    uint64_t touched_ns; /* metrics are pulled until 10 s after */
};

/* graph: borrowed, copied. The job is CREATED and waits for slots. */
int jm_job_new(const struct jm_job_context *ctx, const struct id *id,
               const Rask__Graph__StreamGraph *graph, uint32_t client_parallelism,
               struct jm_job **ret, struct err *err) MUST_CHECK;
/* at any time: gives slots back, cancels timers and calls; tells nobody */
void jm_job_free(struct jm_job *job);
void jm_job_hash(const Rask__Graph__StreamGraph *graph, uint32_t client_parallelism,
                 uint8_t ret[32]);

bool jm_job_is_waiting(const struct jm_job *job); /* for slots */
/* takes slots if there are enough, else says what is missing */
void jm_job_try_start(struct jm_job *job);
void jm_job_start_soon(struct jm_job *job); /* the same if it is waiting; a large one in turns of its own */
void jm_job_cancel(struct jm_job *job); /* over or canceling already: no-op */

/* ---- workers (job_workers.c) ---- */
int jm_job_register_worker(struct jm_job *job, const Rask__Control__RegisterWorker *msg,
                           struct rpc_peer *peer, struct jm_worker **ret,
                           struct err *err) MUST_CHECK;
void jm_worker_closed(struct jm_worker *worker, const char *why);
void jm_job_worker_exited(struct jm_job *job, const struct id *taskmanager_id,
                          const Rask__Control__WorkerExited *msg);

/* ---- tasks (job_tasks.c) ---- */
int jm_worker_task_changed(struct jm_worker *worker, const Rask__Control__TaskStateChanged *msg,
                           struct err *err) MUST_CHECK;
int jm_worker_operator_event(struct jm_worker *worker, const Rask__Control__OperatorEvent *msg,
                             struct err *err) MUST_CHECK;
/* ---- checkpoints (job_checkpoints.c) ---- */
int jm_worker_ack_checkpoint(struct jm_worker *worker, const Rask__Control__AckCheckpoint *msg,
                             struct err *err) MUST_CHECK;
int jm_worker_checkpoint_wanted(struct jm_worker *worker,
                                const Rask__Control__CheckpointWanted *msg,
                                struct err *err) MUST_CHECK;

bool jm_job_pull_metrics(struct jm_job *job); /* false: nobody has looked at the job lately */

/* ---- pictures (job_snapshot.c) ---- */
/* up to date, drawn at once; one reference, the caller's */
struct jm_job_snapshot *jm_job_picture(struct jm_job *job);
/* the one that was drawn last; likewise */
struct jm_job_snapshot *jm_job_last_picture(struct jm_job *job);
/* Draws up to *left subtasks, which it counts down. True: there is a picture that was begun when nobody had asked for
 * it yet, or later. What changes meanwhile is in it or makes the job dirty. */
bool jm_job_draw(struct jm_job *job, uint32_t *left);
bool jm_job_is_drawn(const struct jm_job *job); /* and nothing has changed since */
#define JM_TASKS_PER_TURN 8192 /* subtasks that one callback draws */
bool jm_job_has_artifact(const struct jm_job *job, const uint8_t hash[32]);

#endif
