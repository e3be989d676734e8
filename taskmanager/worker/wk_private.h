/* wk_private.h - the worker object, shared by wk.c (control), rollout.c (deployments), peers.c (data connections),
 * deploy.c (building tasks) and wires.c (their channels). */
#ifndef WK_PRIVATE_H
#define WK_PRIVATE_H

#include "common/graph/regions.h"
#include "common/rpc/rpc.h"
#include "taskmanager/worker/checkpoint/collect.h"
#include "taskmanager/worker/checkpoint/local.h"
#include "taskmanager/worker/checkpoint/restore.h"
#include "taskmanager/worker/checkpoint/warm.h"
#include "taskmanager/worker/exchange/link.h"
#include "taskmanager/worker/task/task.h"
#include "taskmanager/worker/wk.h"

#define WK_MAGIC 0x776b3031
/* A lost peer is often a died one: its obituary names the cause, so the loss itself is reported only after this. */
#define WK_LOST_LINK_DELAY_MS 3000
#define WK_HANDSHAKES_MAX 1024 /* accepted and not finished; one more ends the oldest */

struct wk_edge_info { /* a job edge, as far as this worker has ends of it */
    const Rask__Graph__JobEdge *edge;
    const rask_schema *schema;
    uint32_t sources, targets;  /* parallelism of both vertices */
    struct wk_in ***in;         /* [target subtask] -> [source subtask] -> channel; NULL where not here */
    struct wk_edge **out;       /* [source subtask] -> its sending side */
};

struct wk_report { /* a state change on its way to the job master */
    struct list node;
    struct wk_task *task;
    Rask__Control__TaskState state;
    bool failed;
    struct err error;
};

/* Tasks of this worker that start and end together (common/graph/regions.h), with the connections that carry their
 * channels: nothing that an earlier attempt has sent can reach a later one.  Without tasks: an enumerator here has readers in it,
 * which are elsewhere. */
struct wk_region {
    struct wk *wk;
    uint32_t id, attempt;
    bool started;            /* its tasks run, or have: connections are used as they come */
    bool canceling;
    uint32_t task_count;
    struct wk_task **tasks;  /* borrowed from the worker */
    struct wk_link **links;  /* by worker index; NULL in it: nothing to exchange. NULL: no link at all */
    struct env_timer lost_timer;
    struct err lost_error;
    bool lost_always;        /* also when its tasks are over */
};

struct wk_rollout { /* a deployment that is under way */
    struct list node;
    struct wk *wk;
    struct arena arena;                /* of a later one's message */
    const Rask__Control__Deploy *msg;
    struct rpc_request *request;       /* not answered yet */
    bool first;
    struct env_timer retry;            /* old tasks have not let go of their executor yet */
    struct wk_task **tasks;            /* that get state back */
    uint32_t task_count;
    struct wk_restoring *restoring;    /* not NULL: the tasks wait for it */
};

struct wk_task_config { /* the job's options that its tasks need */
    int64_t flush_ms; /* -1: only full blocks leave while a task is busy */
    bool checkpointing, exactly_once, unaligned;
    bool local_backup, from_local;     /* copies of state on this host are kept, are read */
};

struct wk {
    uint32_t magic;
    struct env *env;
    struct wk_options options;
    Rask__Control__StartWorker *start; /* owned copy */
    struct id job_id, taskmanager_id;
    char job[ID_TEXT_MAX];
    struct rpc_identity identity;
    struct rpc_peer *peer;
    struct pool *pool;
    struct wk_state_budget state_budget;
    struct wk_warming *warming;        /* its reserve */
    struct wk_task_config config;
    bool state_on_disk; /* state.backend.type */
    struct wk_task_host host;
    struct wk_debloat_options debloat;
    bool pack;                         /* rows to other workers are compressed */

    struct arena arena;                /* the deployment: messages, schemas */
    Rask__Control__Deploy *deploy;     /* the first one; NULL: not deployed yet */
    uint32_t serial;                   /* of the last one */
    const Rask__Control__Restore *restore; /* of the one that is being built */
    struct list rollouts;              /* oldest first */
    struct wk_peer_worker *workers;    /* by worker index */
    uint32_t worker_count;
    struct map *schemas;               /* message -> rask_schema, in arena */
    struct graph_regions map;
    struct wk_region **regions;        /* by region; NULL: no task of it is here */
    const uint32_t **placement;        /* [vertex] -> [subtask] -> worker */
    uint32_t edge_count;
    struct wk_edge_info *edges;        /* by edge id */
    struct wk_edge_name *edge_names;   /* likewise */
    uint32_t task_count;
    struct wk_task **tasks;
    struct wk_collector *collector;    /* of the deployment's checkpoints */
    struct wk_local *local;            /* NULL: no copies of state */
    struct list handshakes, fetches;
    uint32_t accepted_handshakes;
    struct env_log_rate refusals;
    struct list waiting_conns;         /* peers that came before Deploy */

    pthread_mutex_t report_lock;
    struct list reports;               /* report_lock */
    struct env_task report_task;
    bool canceling, done;
    struct bytes plan;
};

struct wk_waiting_conn {
    struct list node;
    struct net_conn *conn;
    uint32_t peer_index, region, attempt;
};

struct wk_peer_worker { /* where a worker of the job is now */
    char *data_address; /* owned */
    uint32_t process;
};

struct wk_handshake { /* a data connection that is being authenticated */
    struct list node;
    struct wk *wk;
    struct rpc_data *data;
    uint32_t peer_index, region, attempt;
    bool accepted; /* the peer says them itself */
};

/* ---- deploy.c ---- */
/* Regions, placement and edges of wk->deploy; no task of it can run yet. */
int wk_prepare(struct wk *wk, struct err *err) MUST_CHECK;
void wk_unbuild(struct wk *wk);
/* Makes tasks, edges, gates and links of a region that has none; nothing runs yet. The text names the operator. */
int wk_region_build(struct wk_region *r, uint32_t attempt, struct err *err) MUST_CHECK;
/* None of its tasks is run by the executor any more. Until it is built again its tasks count as finished. */
void wk_region_unbuild(struct wk_region *r);
/* Grants the first credits and makes every task runnable. */
void wk_region_start(struct wk_region *r);

/* ---- wires.c ---- */
void wk_wire_outputs(struct wk_region *r, struct wk_edge *e);
void wk_wire_inputs(struct wk_region *r, struct wk_task *t);
void wk_links_free(struct wk_region *r);
/* All regions of the deployment are built: channels from enumerators here to readers in this one. Fails when one cannot say what
 * it has given to them. */
int wk_readers_attach(struct wk_region *r, struct err *err) MUST_CHECK;
void wk_readers_detach(struct wk_region *r);
void wk_readers_completed(struct wk *wk, uint64_t checkpoint);
/* Whose failure is that of the region: a task that is not over, if there is one; an enumerator, when it has no tasks here. */
struct wk_task *wk_region_speaker(const struct wk_region *r);

/* ---- rollout.c ---- */
void wk_deploy(struct wk *wk, const Rask__Control__Deploy *msg, struct rpc_request *request);
void wk_cancel_regions(struct wk *wk, const Rask__Control__CancelTasks *msg);
void wk_rollouts_drop(struct wk *wk); /* their calls fail */
/* Nobody waits for the answers any more. */
void wk_rollouts_orphan(struct wk *wk);

/* ---- peers.c ---- */
void wk_region_connect(struct wk_region *r); /* it has been started */
/* A connection of the region is lost: one of its tasks fails, unless somebody has ended it until then. */
void wk_region_lost(struct wk_region *r, const struct err *why);
void wk_region_on_lost_timer(struct env_timer *timer);
void wk_peers_drop(struct wk *wk);

/* ---- wk.c ---- */
/* Any thread: it goes to the job master. */
void wk_report_state(struct wk *wk, struct wk_task *task, Rask__Control__TaskState state, const struct err *error);
void wk_send_reports(struct wk *wk); /* those that are waiting, now */
/* All are over, and the executor has let go of them. */
bool wk_tasks_are_idle(struct wk_task *const *tasks, uint32_t count);

#endif
