/*
 * cluster.h - a whole cluster as nodes of the simulator: JobManager, supervisors and workers, all production objects.
 *
 * nodes.c makes and ends them, clients.c is who uses the cluster, faults.c hurts it, checks.c says what must hold at every
 * moment, scenario_cluster.c draws all that from a seed, scripts.c does it by hand for what was found.
 */
#ifndef SIM_CLUSTER_CLUSTER_H
#define SIM_CLUSTER_CLUSTER_H

#include "common/rpc/rpc.h"
#include "jobmanager/jm.h"
#include "taskmanager/supervisor/tm.h"
#include "taskmanager/worker/wk.h"
#include "test/sim/cluster/jobs.h"
#include "test/sim/sim.h"

#define TMS_MAX 4
#define WORKERS_MAX 600
#define HEARTBEAT_S 2
#define LOCAL_DIR "/local" /* on the disk of a TaskManager's host: copies of state */
#define HEARTBEAT_TIMEOUT_S 10

struct cluster;

struct worker { /* a worker process */
    struct cluster *c;
    struct taskmanager *tm;
    struct sim_node *node;
    struct arena arena;
    Rask__Control__StartWorker *start;
    struct id job_id, taskmanager_id;
    char local_dir[64];
    struct wk *wk;
    struct wk_executor *executor;
    tm_exit_fn *on_exit;
    void *exit_arg;
    bool used;           /* its supervisor has not heard of its end */
    bool gone;           /* the process has ended */
    bool done;           /* it said so itself */
    int32_t exit_code, signal;
    const char *reason;
    struct env_timer exit_timer, end_timer, memory_timer; /* on the TaskManager's env */
    tm_memory_fn *memory_cb;
    void *memory_arg;
    uint64_t pss_bytes;
    uint64_t orphan_ns;  /* since when nobody owns it; 0: somebody does */
    uint64_t over_ns;    /* since when it has more memory than it may; 0: it has not */
};

struct taskmanager {
    struct cluster *c;
    struct sim_node *node;
    struct tm_spawner spawner; /* its ops find the taskmanager by container */
    struct conf *conf;
    uint32_t slots;
    bool has_resource_id;
    struct tm *tm;
    struct id id;        /* of the last boot */
    bool leaving;
    uint64_t silent_ns;  /* since when it and the JobManager, which runs, cannot reach each other; 0: they can */
};

struct job {
    struct cluster *c;
    struct job_spec spec;
    struct id id;
    uint32_t parallelism;
    bool by_plan;              /* a worker builds its graph */
    struct bytes packed;
    struct arena arena;
    Rask__Graph__StreamGraph *graph;
    struct jm_command put, plan, submit, again, watch, load, look, cancel;
    bool submitted, answered, accepted, over, canceled;
    bool stuck;                /* a function of it never returns */
    bool looked_back;          /* at the job store, when it was over */
    bool again_sent, look_sent;
    uint32_t boots;            /* of the JobManager when it was submitted */
    enum jm_job_state state;   /* in the end */
    int seen;                  /* the state that it was last seen in; -1: never */
    char reason[512];
};

struct cluster {
    struct sim *sim;
    struct sim_node *jm_node;
    struct jm *jm;
    struct conf *conf;
    uint32_t jm_boots;
    uint32_t tm_count;
    struct taskmanager tms[TMS_MAX];
    uint32_t worker_count;
    struct worker workers[WORKERS_MAX];
    uint32_t job_count;
    struct job jobs[JOBS_MAX];
    bool faulty, calm;         /* calm: faults are over */
    uint64_t network_bytes, state_bytes; /* of each worker */
    uint64_t looked, checks;   /* events seen by the checker; how often it looked at everything */
};

/* ---- nodes.c ---- */
/* tm_count 0, slots 0: drawn. Everybody boots. */
struct cluster *cluster_new(struct sim *sim, uint32_t tm_count, uint32_t slots);
void cluster_free(struct cluster *c); /* stops who lives */
uint32_t cluster_slots(const struct cluster *c);
/* The process is gone: its supervisor learns of it, if that still lives. signal 0: it ended by itself. */
void worker_end(struct worker *w, int32_t exit_code, int32_t signal);
struct worker *worker_of(struct cluster *c, const struct id *job_id, uint64_t epoch, uint32_t index); /* that lives; NULL */
void jobmanager_restart(struct cluster *c); /* if it is down */
void taskmanager_restart(struct taskmanager *tm);

/* ---- clients.c ---- */
extern const uint8_t cluster_artifact[];
extern const size_t cluster_artifact_len;
struct job *job_new(struct cluster *c, struct job_spec spec, uint32_t parallelism);
void job_submit(struct cluster *c, struct job *j);
void job_submit_again(struct cluster *c, struct job *j); /* as a client whose answer was lost */
void job_look(struct cluster *c, struct job *j);         /* as somebody with a browser */
void job_look_back(struct cluster *c, struct job *j);    /* it is over: is that still known? */
void job_cancel(struct cluster *c, struct job *j);
bool job_lost(const struct cluster *c, const struct job *j); /* with its JobManager */
bool job_settled(const struct cluster *c, const struct job *j);
void job_free(struct job *j);

/* ---- faults.c ---- */
void cluster_fault(struct cluster *c); /* some fault */
void cluster_fault_by_name(struct cluster *c, const char *name); /* if it finds something to hurt */
void cluster_heal(struct cluster *c);  /* faults end, everybody comes back */

/* ---- scenario_cluster.c ---- */
/* Faults end, everybody comes back, what cannot end is canceled: the cluster comes to rest, its jobs are checked, one more runs. */
void cluster_settle(struct cluster *c);

/* ---- checks.c ---- */
void cluster_check_always(struct cluster *c); /* from now on, after events */
void cluster_check_job(struct cluster *c, struct job *j); /* that is settled */
bool cluster_idle(void *cluster); /* all slots free, no worker lives */
bool cluster_settled(void *cluster); /* no job is under way */
bool cluster_looked_back(void *cluster); /* job_look_back is done for each job */

#endif
