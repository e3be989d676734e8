/* wk_private.h - the worker object, shared by wk.c (control) and deploy.c (building tasks and channels). */
#ifndef WK_PRIVATE_H
#define WK_PRIVATE_H

#include "common/rpc/rpc.h"
#include "taskmanager/worker/checkpoint/collect.h"
#include "taskmanager/worker/checkpoint/restore.h"
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
    struct wk_task_host host;
    struct wk_debloat_options debloat;

    struct arena arena;                /* the deployment: messages, schemas */
    Rask__Control__Deploy *deploy;     /* NULL: not deployed yet */
    struct rpc_request *deploy_request; /* not NULL: it is under way */
    const uint32_t **placement;        /* [vertex] -> [subtask] -> worker */
    uint32_t edge_count;
    struct wk_edge_info *edges;        /* by edge id */
    uint32_t task_count;
    struct wk_task **tasks;
    uint32_t link_count;               /* by worker index; NULL: itself, or nothing to exchange */
    struct wk_link **links;
    struct wk_collector *collector;    /* of the deployment's checkpoints */
    struct wk_restoring *restoring;    /* not NULL: the tasks wait for it */
    struct list handshakes, fetches;
    uint32_t accepted_handshakes;
    struct env_log_rate refusals;
    struct list waiting_conns;         /* peers that came before Deploy */

    pthread_mutex_t report_lock;
    struct list reports;               /* report_lock */
    struct env_task report_task;
    struct env_timer lost_timer;
    struct err lost_error;
    bool canceling, done, failed_once;
    struct bytes plan;
};

struct wk_waiting_conn {
    struct list node;
    struct net_conn *conn;
    uint32_t peer_index;
};

struct wk_handshake { /* a data connection that is being authenticated */
    struct list node;
    struct wk *wk;
    struct rpc_data *data;
    uint32_t peer_index;
    bool accepted; /* the peer says its index itself */
};

/* deploy.c: makes tasks, edges, gates and links of wk->deploy; nothing runs yet. The text names the operator. */
int wk_build(struct wk *wk, struct err *err) MUST_CHECK;
void wk_unbuild(struct wk *wk);
/* Grants the first credits and makes every task runnable. */
void wk_start_tasks(struct wk *wk);

#endif
