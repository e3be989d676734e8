/* job_checkpoints.c - between the checkpoint coordinator and the workers of the job. Pure; thread:
 * the control loop. */
#include "common/base/check.h"
#include "jobmanager/job/job_private.h"

static int ready(void *arg, struct err *err)
{
    struct jm_job *job = arg;

    if (job->life.state != JM_JOB_RUNNING || job->ending)
        return err_set(err, ERR_STATE, "the job is %s", jm_job_state_name(job->life.state));
    for (size_t v = 0; v < job->job_graph->n_vertices; v++) {
        const struct jm_vertex *vertex = &job->graph.vertices[v];

        if (vertex->counts[STATE(RUNNING)] + vertex->counts[STATE(FINISHED)] < vertex->spec->parallelism)
            return err_set(err, ERR_STATE, "not every task of \"%s\" runs", vertex->spec->name);
    }
    for (uint32_t i = 0; i < job->worker_count; i++)
        if (job->workers[i].state != JM_WORKER_DEPLOYED || !job->workers[i].peer)
            return err_set(err, ERR_STATE, "%s is not there", job->workers[i].label);
    return job->graph.open > 0 ? 0 : err_set(err, ERR_STATE, "every task has finished");
}

/* To every worker that runs; returns how many. */
static uint32_t tell(struct jm_job *job, enum rpc_method method, const ProtobufCMessage *msg, rpc_done_fn *done)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < job->worker_count; i++) {
        struct jm_worker *w = &job->workers[i];

        if (w->state != JM_WORKER_DEPLOYED || !w->peer)
            continue;
        rpc_call(w->peer, method, msg, 0, done, w);
        n++;
    }
    return n;
}

static uint32_t trigger(void *arg, Rask__Control__TriggerCheckpoint *msg)
{
    struct jm_job *job = arg;

    msg->job_id = rpc_id_data(&job->id);
    msg->job_epoch = job->epoch;
    return tell(job, RPC_TRIGGER_CHECKPOINT, &msg->base, NULL);
}

static void complete(void *arg, uint64_t checkpoint, Rask__Control__CheckpointKind kind)
{
    Rask__Control__CompleteCheckpoint msg = RASK__CONTROL__COMPLETE_CHECKPOINT__INIT;
    struct jm_job *job = arg;

    msg.job_id = rpc_id_data(&job->id);
    msg.job_epoch = job->epoch;
    msg.checkpoint = checkpoint;
    msg.kind = kind;
    (void)tell(job, RPC_COMPLETE_CHECKPOINT, &msg.base, NULL);
}

static void on_aborted(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct jm_worker *w = arg;

    if (!error)
        jm_ckpt_late(w->job->ckpt, (const Rask__Control__AbortCheckpointOk *)response);
}

static void abort_checkpoint(void *arg, uint64_t checkpoint, const char *reason)
{
    Rask__Control__AbortCheckpoint msg = RASK__CONTROL__ABORT_CHECKPOINT__INIT;
    struct jm_job *job = arg;

    msg.job_id = rpc_id_data(&job->id);
    msg.job_epoch = job->epoch;
    msg.checkpoint = checkpoint;
    msg.reason = (char *)reason;
    (void)tell(job, RPC_ABORT_CHECKPOINT, &msg.base, on_aborted);
}

static void fail(void *arg, int code, const char *text)
{
    jm_job_fail(arg, &(struct jm_fault){.code = code, .text = text});
}

static void changed(void *arg)
{
    jm_job_changed(arg, false);
}

static void idle(void *arg)
{
    jm_job_turn_soon(arg);
}

static const struct jm_ckpt_hooks hooks = {ready, trigger, complete, abort_checkpoint, fail, changed, idle};

int jm_job_init_checkpoints(struct jm_job *job, struct err *err)
{
    struct jm_ckpt_options options = {
        .env = job->ctx->env,
        .job_id = job->id,
        .job_name = job->name,
        .graph = job->job_graph,
        .conf = job->conf,
        .default_dir = job->ctx->checkpoint_dir,
        .hooks = &hooks,
        .arg = job,
    };

    return jm_ckpt_new(&options, &job->ckpt, err);
}

int jm_worker_ack_checkpoint(struct jm_worker *w, const Rask__Control__AckCheckpoint *msg, struct err *err)
{
    int code = jm_job_check_ids(w->job, &msg->job_id, msg->job_epoch, err);

    if (code == 0)
        jm_ckpt_ack(w->job->ckpt, w->index, msg);
    return code;
}

int jm_worker_checkpoint_wanted(struct jm_worker *w, const Rask__Control__CheckpointWanted *msg, struct err *err)
{
    int code = jm_job_check_ids(w->job, &msg->job_id, msg->job_epoch, err);

    if (code == 0)
        jm_ckpt_wanted(w->job->ckpt);
    return code;
}
