/*
 * plan.c - a short-lived worker on some TaskManager loads an artifact, calls its entry point and
 * sends the graph.
 *
 * The JobManager itself never maps what a user supplied.  The command is answered by PlanBuilt, by
 * the worker's obituary, or after 9 s; the plan lives on until its worker is gone.  Pure; thread:
 * the control loop.
 */
#include <string.h>

#include "common/base/check.h"
#include "jobmanager/dispatcher/dispatcher.h"

#define PLAN_TIMEOUT_MS 9000
#define PLAN_END_MS     10000

static void on_timeout(struct env_timer *timer);
static void on_end(struct env_timer *timer);

static struct rpc_peer *taskmanager_of(struct jm_plan *plan)
{
    return plan->allocation->taskmanager ? plan->allocation->taskmanager->peer : NULL;
}

void jm_plan_free(struct jm_plan *plan)
{
    struct jm_dispatcher *d = plan->d;
    struct rpc_peer *tm = taskmanager_of(plan);

    env_timer_cancel(d->env, &plan->timer);
    env_timer_cancel(d->env, &plan->end_timer);
    if (tm && plan->start_call)
        rpc_call_cancel(tm, plan->start_call);
    if (tm && plan->stop_call)
        rpc_call_cancel(tm, plan->stop_call);
    if (plan->peer) {
        d->hooks->detach(d->arg, plan->session);
        rpc_close(plan->peer);
    }
    jm_resource_release(d->resource, &plan->allocation);
    jm_blobs_unref(d->blobs, plan->hash);
    map_remove(d->plans, plan->id.bytes, sizeof(plan->id.bytes));
    mem_free(plan->label);
    mem_free(plan);
}

static void answer(struct jm_plan *plan, int code, const char *text)
{
    struct jm_command *command = plan->command;
    struct err err;

    plan->command = NULL;
    if (!command)
        return;
    if (code < 0)
        err_set(&err, code, "%s", text);
    jm_command_end(command, code < 0 ? &err : NULL);
}

static void on_stopped(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct jm_plan *plan = arg;

    (void)response;
    plan->stop_call = 0;
    if (error && error->code == ERR_NOT_FOUND)
        env_timer_arm(plan->d->env, &plan->end_timer, 0);
}

/* Nobody needs the worker any more; it is freed when it is gone, or after a while. */
static void stop(struct jm_plan *plan)
{
    Rask__Control__StopWorker msg = RASK__CONTROL__STOP_WORKER__INIT;

    env_timer_cancel(plan->d->env, &plan->timer);
    if (plan->stopping)
        return;
    plan->stopping = true;
    env_timer_arm_ms(plan->d->env, &plan->end_timer, PLAN_END_MS);
    if (!taskmanager_of(plan))
        return;
    msg.job_id = rpc_id_data(&plan->id);
    msg.job_epoch = JM_FIRST_EPOCH;
    msg.reason = (char *)"the graph is not needed any more";
    msg.has_kill = msg.kill = true;
    plan->stop_call =
        rpc_call(taskmanager_of(plan), RPC_STOP_WORKER, &msg.base, 0, on_stopped, plan);
}

static void on_started(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct jm_plan *plan = arg;
    char *text;

    (void)response;
    plan->start_call = 0;
    if (!error || error->code == ERR_CLOSED)
        return;
    text = mem_printf("no worker could be started on %s to build the graph: %s", plan->label,
                      error->text);
    answer(plan, error->code, text);
    mem_free(text);
    stop(plan);
}

static void on_timeout(struct env_timer *timer)
{
    struct jm_plan *plan = CONTAINER_OF(timer, struct jm_plan, timer);

    answer(plan, ERR_TIMEOUT,
           "the artifact's entry function did not return within 9 s: the graph was not built");
    stop(plan);
}

static void on_end(struct env_timer *timer)
{
    jm_plan_free(CONTAINER_OF(timer, struct jm_plan, end_timer));
}

static void on_taskmanager_lost(struct jm_allocation *allocation, const char *why)
{
    struct jm_plan *plan = allocation->holder;

    plan->start_call = plan->stop_call = 0;
    answer(plan, ERR_UNAVAILABLE, why);
    jm_plan_free(plan);
}

static void send_start(struct jm_plan *plan, const struct jm_taskmanager *tm)
{
    const struct jm_command *command = plan->command;
    Rask__Control__StartWorker msg = RASK__CONTROL__START_WORKER__INIT;

    msg.job_id = rpc_id_data(&plan->id);
    msg.job_epoch = JM_FIRST_EPOCH;
    msg.secret = (ProtobufCBinaryData){.len = sizeof(plan->secret), .data = plan->secret};
    msg.jobmanager_address = (char *)plan->d->address;
    msg.tls_ciphers = (char *)plan->d->tls_ciphers;
    msg.has_tls_data = msg.tls_data = plan->d->tls_data;
    msg.slots = 1;
    msg.budget_bytes = tm->slot_bytes;
    msg.job_name = (char *)"graph of an artifact";
    msg.has_plan_artifact = true;
    msg.plan_artifact = (ProtobufCBinaryData){.len = sizeof(plan->hash), .data = plan->hash};
    msg.n_plan_params = command->param_count;
    msg.plan_params = (Rask__Graph__Property **)command->params;
    msg.plan_entry = (char *)command->entry;
    plan->start_call = rpc_call(tm->peer, RPC_START_WORKER, &msg.base, 0, on_started, plan);
}

static int check(struct jm_dispatcher *d, struct jm_command *command, struct err *err)
{
    if (map_size(d->plans) >= JM_PLANS_MAX)
        return err_set(err, ERR_LIMIT, "%d graphs are being built: try again later", JM_PLANS_MAX);
    if (!jm_resource_least_used(d->resource))
        return err_set(err, ERR_UNAVAILABLE,
                       "no TaskManager is registered: the graph cannot be built");
    if (!jm_blobs_ref(d->blobs, command->hash))
        return err_set(err, ERR_NOT_FOUND,
                       "artifact %02x%02x%02x%02x... is not here: upload it first",
                       command->hash[0], command->hash[1], command->hash[2], command->hash[3]);
    return 0;
}

void jm_plan_start(struct jm_dispatcher *d, struct jm_command *command)
{
    struct jm_taskmanager *tm;
    struct jm_plan *plan;
    struct err err;

    if (check(d, command, &err) < 0) {
        jm_command_end(command, &err);
        return;
    }
    tm = jm_resource_least_used(d->resource);
    plan = MEM_NEW(struct jm_plan);
    plan->d = d;
    plan->id = env_rand_id(d->env);
    for (size_t i = 0; i < sizeof(plan->secret); i += 8) {
        uint64_t word = env_rand_u64(d->env);

        memcpy(plan->secret + i, &word, 8);
    }
    memcpy(plan->hash, command->hash, sizeof(plan->hash));
    plan->command = command;
    plan->label = mem_strdup(tm->label);
    plan->allocation = jm_resource_hold(d->resource, tm, &plan->id, "graph of an artifact");
    plan->allocation->holder = plan;
    plan->allocation->lost = on_taskmanager_lost;
    plan->timer.cb = on_timeout;
    plan->end_timer.cb = on_end;
    env_timer_arm_ms(d->env, &plan->timer, PLAN_TIMEOUT_MS);
    map_put(d->plans, plan->id.bytes, sizeof(plan->id.bytes), plan);
    send_start(plan, tm);
}

struct jm_plan *jm_plan_find(struct jm_dispatcher *d, const struct id *id)
{
    return map_get(d->plans, id->bytes, sizeof(id->bytes));
}

int jm_plan_register(struct jm_plan *plan, struct rpc_peer *peer, struct err *err)
{
    if (plan->peer && plan->peer != peer)
        return err_set(err, ERR_STATE, "the worker has registered before");
    plan->peer = peer;
    return 0;
}

void jm_plan_built(struct jm_plan *plan, const Rask__Control__PlanBuilt *msg)
{
    if (plan->command && msg->graph) {
        size_t size = protobuf_c_message_get_packed_size(&msg->graph->base);
        struct bytes *out = &plan->command->result;

        bytes_reserve(out, size + 1);
        protobuf_c_message_pack(&msg->graph->base, out->data + out->len);
        out->len += size;
        answer(plan, 0, NULL);
    } else {
        answer(plan, ERR_USER,
               msg->error && *msg->error
                   ? msg->error
                   : "the artifact's entry function failed and did not say why");
    }
    stop(plan);
}

void jm_plan_closed(struct jm_plan *plan, const char *why)
{
    (void)why; /* the obituary says more; without one the timeout speaks */
    plan->peer = NULL;
}

void jm_plan_exited(struct jm_plan *plan, const Rask__Control__WorkerExited *msg)
{
    char *text = mem_printf("the worker that built the graph died: %s%s%s", msg->reason,
                            msg->stack ? "\nstack:\n" : "", msg->stack ? msg->stack : "");

    answer(plan, ERR_WORKER_DIED, text);
    mem_free(text);
    jm_plan_free(plan);
}
