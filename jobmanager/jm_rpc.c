/*
 * jm_rpc.c - messages of TaskManagers and workers, checked and passed to whom they concern. Pure;
 * thread: the control loop.
 */
#include <string.h>

#include "common/base/check.h"
#include "jobmanager/jm_private.h"

static struct jm_session *session_of(void *arg)
{
    return MAGIC_CAST(arg, struct jm_session, JM_SESSION_MAGIC);
}

static void on_ready(void *arg, struct rpc_peer *peer)
{
    struct jm *jm = MAGIC_CAST(arg, struct jm, JM_MAGIC);
    struct jm_session *s = MEM_NEW(struct jm_session);

    s->magic = JM_SESSION_MAGIC;
    s->jm = jm;
    s->peer = peer;
    list_push_back(&jm->sessions, &s->link);
    rpc_set_arg(peer, s);
}

static void session_free(struct jm_session *s)
{
    list_remove(&s->link);
    s->magic = 0;
    mem_free(s);
}

/* Its worker or plan is gone and closes the connection: no on_close follows. */
void jm_session_detach(void *session)
{
    if (session)
        session_free(session_of(session));
}

void jm_sessions_clear(struct jm *jm)
{
    while (!list_empty(&jm->sessions))
        session_free(LIST_ENTRY(jm->sessions.next, struct jm_session, link));
}

static void on_close(void *arg, struct rpc_peer *peer, const struct err *why)
{
    struct jm_session *s = session_of(arg);

    (void)peer;
    if (s->taskmanager)
        jm_resource_lost(&s->jm->resource, s->taskmanager, why->text);
    if (s->worker) {
        s->worker->session = NULL;
        jm_worker_closed(s->worker, why->text);
    }
    if (s->plan) {
        s->plan->session = NULL;
        jm_plan_closed(s->plan, why->text);
    }
    session_free(s);
}

/* ---- TaskManagers ---- */

static void register_taskmanager(struct jm_session *s,
                                 const Rask__Control__RegisterTaskManager *msg,
                                 struct rpc_request *request)
{
    Rask__Control__RegisterTaskManagerOk ok = RASK__CONTROL__REGISTER_TASK_MANAGER_OK__INIT;
    const struct conf *conf = s->jm->conf;
    struct jm_taskmanager *tm;
    struct arena arena;
    struct err err;
    int code;

    if (s->taskmanager &&
        (msg->taskmanager_id.len != sizeof(struct id) ||
         memcmp(s->taskmanager->id.bytes, msg->taskmanager_id.data, sizeof(struct id)) != 0)) {
        rpc_fail(request, ERR_STATE, "this connection has registered %s before",
                 s->taskmanager->label);
        return;
    }
    code = jm_resource_register(&s->jm->resource, s->peer, msg, &tm, &err);
    if (code < 0) {
        rpc_fail(request, code, "%s", err.text);
        return;
    }
    s->taskmanager = tm;
    tm->session = s;
    ok.heartbeat_interval_ms =
        (uint32_t)MIN(conf_duration_ms(conf, OPT_HEARTBEAT_INTERVAL), UINT32_MAX);
    ok.heartbeat_timeout_ms =
        (uint32_t)MIN(conf_duration_ms(conf, OPT_HEARTBEAT_TIMEOUT), UINT32_MAX);
    arena_init(&arena);
    jm_dispatcher_local_jobs(&s->jm->dispatcher, &arena, &ok.local_jobs, &ok.n_local_jobs);
    rpc_reply(request, &ok.base);
    arena_release(&arena);
}

static void worker_exited(struct jm_session *s, const Rask__Control__WorkerExited *msg)
{
    struct jm_dispatcher *d = &s->jm->dispatcher;
    struct jm_plan *plan;
    struct jm_job *job;
    struct id id;

    if (!rpc_id(&msg->job_id, &id))
        return;
    job = jm_dispatcher_job(d, &id);
    plan = jm_plan_find(d, &id);
    if (job)
        jm_job_worker_exited(job, &s->taskmanager->id, msg);
    else if (plan && plan->allocation->taskmanager == s->taskmanager)
        jm_plan_exited(plan, msg);
}

static void on_taskmanager_request(struct jm_session *s, enum rpc_method method,
                                   const ProtobufCMessage *message, struct rpc_request *request)
{
    if (method == RPC_REGISTER_TASKMANAGER) {
        register_taskmanager(s, (const Rask__Control__RegisterTaskManager *)message, request);
        return;
    }
    if (!s->taskmanager) {
        rpc_fail(request, ERR_STATE, "register before anything else");
        return;
    }
    if (method == RPC_TASKMANAGER_REPORT) {
        jm_resource_report(&s->jm->resource, s->taskmanager,
                           (const Rask__Control__TaskManagerReport *)message);
        rpc_ok(request);
    } else if (method == RPC_WORKER_EXITED) {
        rpc_ok(request); /* before the news: they may end more than the call */
        worker_exited(s, (const Rask__Control__WorkerExited *)message);
    } else {
        rpc_fail(request, ERR_PROTOCOL, "a TaskManager cannot call %s", rpc_method_name(method));
    }
}

/* ---- workers ---- */

static int register_worker(struct jm_session *s, const Rask__Control__RegisterWorker *msg,
                           struct err *err)
{
    const struct rpc_identity *self = rpc_peer_identity(s->peer);
    struct jm_dispatcher *d = &s->jm->dispatcher;
    struct jm_worker *worker;
    struct jm_plan *plan;
    struct jm_job *job;
    struct id id;
    int code;

    if (!rpc_id(&msg->job_id, &id) || !id_equal(&id, &self->job_id) ||
        msg->job_epoch != self->job_epoch)
        return err_set(err, ERR_PROTOCOL, "the connection proved the secret of another job");
    job = jm_dispatcher_job(d, &id);
    plan = jm_plan_find(d, &id);
    if (job) {
        code = jm_job_register_worker(job, msg, s->peer, &worker, err);
        if (code < 0)
            return code;
        s->worker = worker;
        worker->session = s;
        return 0;
    }
    if (!plan)
        return err_set(err, ERR_NOT_FOUND, "the job is over");
    code = jm_plan_register(plan, s->peer, err);
    if (code < 0)
        return code;
    s->plan = plan;
    plan->session = s;
    return 0;
}

/* A blob may be read by workers of a job, or a plan, that has it. */
static bool may_read(struct jm_session *s, const ProtobufCBinaryData *hash)
{
    const struct rpc_identity *self = rpc_peer_identity(s->peer);
    struct jm_job *job = jm_dispatcher_job(&s->jm->dispatcher, &self->job_id);
    struct jm_plan *plan = jm_plan_find(&s->jm->dispatcher, &self->job_id);

    if (hash->len != 32)
        return false;
    if (job)
        return jm_job_has_artifact(job, hash->data);
    return plan && memcmp(plan->hash, hash->data, 32) == 0;
}

static void on_blob(void *arg, const struct err *error, const void *data, size_t len, uint64_t size)
{
    Rask__Control__GetBlobOk ok = RASK__CONTROL__GET_BLOB_OK__INIT;

    if (error) {
        rpc_fail(arg, error->code, "%s", error->text);
        return;
    }
    ok.data = (ProtobufCBinaryData){.len = len, .data = (uint8_t *)data};
    ok.size = size;
    rpc_reply(arg, &ok.base);
}

static void get_blob(struct jm_session *s, const Rask__Control__GetBlob *msg,
                     struct rpc_request *request)
{
    if (!may_read(s, &msg->hash))
        rpc_fail(request, ERR_NOT_FOUND, "the job has no such artifact");
    else
        jm_blobs_read(&s->jm->blobs, msg->hash.data, msg->offset, msg->max, on_blob, request);
}

static void plan_built(struct jm_session *s, const Rask__Control__PlanBuilt *msg,
                       struct rpc_request *request)
{
    struct jm_plan *plan = jm_plan_find(&s->jm->dispatcher, &rpc_peer_identity(s->peer)->job_id);

    rpc_ok(request);
    if (plan)
        jm_plan_built(plan, msg);
}

static void on_worker_request(struct jm_session *s, enum rpc_method method,
                              const ProtobufCMessage *message, struct rpc_request *request)
{
    struct err err = {0};
    int code = 0;

    if (method == RPC_GET_BLOB) {
        get_blob(s, (const Rask__Control__GetBlob *)message, request);
        return;
    }
    if (method == RPC_PLAN_BUILT) {
        plan_built(s, (const Rask__Control__PlanBuilt *)message, request);
        return;
    }
    if (method == RPC_REGISTER_WORKER)
        code = register_worker(s, (const Rask__Control__RegisterWorker *)message, &err);
    else if (!s->worker)
        code = err_set(&err, ERR_STATE, "register before anything else");
    else if (method == RPC_TASK_STATE_CHANGED)
        code = jm_worker_task_changed(s->worker, (const Rask__Control__TaskStateChanged *)message,
                                      &err);
    else if (method == RPC_ACK_CHECKPOINT)
        code = jm_worker_ack_checkpoint(s->worker, (const Rask__Control__AckCheckpoint *)message,
                                        &err);
    else if (method == RPC_CHECKPOINT_WANTED)
        code = jm_worker_checkpoint_wanted(
            s->worker, (const Rask__Control__CheckpointWanted *)message, &err);
    else if (method == RPC_OPERATOR_EVENT)
        code = jm_worker_operator_event(s->worker, (const Rask__Control__OperatorEvent *)message,
                                        &err);
    else
        code = err_set(&err, ERR_PROTOCOL, "a worker cannot call %s", rpc_method_name(method));
    if (code < 0)
        rpc_fail(request, code, "%s", err.text);
    else
        rpc_ok(request);
}

static void on_request(void *arg, struct rpc_peer *peer, enum rpc_method method,
                       const ProtobufCMessage *message, struct rpc_request *request)
{
    struct jm_session *s = session_of(arg);

    switch (rpc_peer_identity(peer)->role) {
    case RASK__CONTROL__ROLE__TASKMANAGER:
        on_taskmanager_request(s, method, message, request);
        return;
    case RASK__CONTROL__ROLE__WORKER:
        on_worker_request(s, method, message, request);
        return;
    default:
        rpc_fail(request, ERR_PROTOCOL, "only TaskManagers and workers may call the JobManager");
    }
}

const struct rpc_handler jm_rpc_handler = {
    .on_ready = on_ready,
    .on_request = on_request,
    .on_close = on_close,
};
