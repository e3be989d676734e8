/* dispatcher.c - jobs come, wait, start, end. Pure; thread: the control loop. */
#include "jobmanager/dispatcher/dispatcher.h"

#include <string.h>

#include "common/base/check.h"

#define METRICS_PULL_MS 1000

/* ---- artifacts: a job uses each of its operators' ---- */

static const ProtobufCBinaryData *artifact_at(const Rask__Graph__StreamGraph *graph, size_t i)
{
    const Rask__Graph__OperatorSpec *op = NULL;

    if (i == 0)
        return graph->has_artifact && graph->artifact.len == 32 ? &graph->artifact : NULL;
    i--;
    if (i < graph->n_nodes)
        op = graph->nodes[i]->op;
    else if (i - graph->n_nodes < graph->n_edges)
        op = graph->edges[i - graph->n_nodes]->custom;
    return op && op->has_artifact && op->artifact.len == 32 ? &op->artifact : NULL;
}

static void drop_artifacts(struct jm_dispatcher *d, const struct jm_job *job, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const ProtobufCBinaryData *hash = artifact_at(job->job_graph->stream, i);

        if (hash)
            jm_blobs_unref(d->blobs, hash->data);
    }
}

static size_t artifact_places(const struct jm_job *job)
{
    return 1 + job->job_graph->stream->n_nodes + job->job_graph->stream->n_edges;
}

static int use_artifacts(struct jm_dispatcher *d, const struct jm_job *job, struct err *err)
{
    for (size_t i = 0; i < artifact_places(job); i++) {
        const ProtobufCBinaryData *hash = artifact_at(job->job_graph->stream, i);

        if (hash && !jm_blobs_ref(d->blobs, hash->data)) {
            drop_artifacts(d, job, i);
            return err_set(err, ERR_NOT_FOUND,
                           "artifact %02x%02x%02x%02x... of the job is not here: upload it first",
                           hash->data[0], hash->data[1], hash->data[2], hash->data[3]);
        }
    }
    return 0;
}

/* ---- what jobs say ---- */

static void on_job_changed(void *arg, struct jm_job *job, bool state)
{
    struct jm_dispatcher *d = arg;

    if (job->life.state == JM_JOB_RESTARTING)
        jm_operations_job_restarts(d, &job->id);
    d->hooks->changed(d->arg, state);
}

static void on_worker_detach(void *arg, struct jm_worker *worker)
{
    struct jm_dispatcher *d = arg;

    d->hooks->detach(d->arg, worker->session);
    worker->session = NULL;
}

/* Each TaskManager that had a worker of it may have copies of its state; one that is not reached is told when it registers. */
static void tell_job_over(struct jm_dispatcher *d, const struct id *job_id)
{
    Rask__Control__JobOver msg = RASK__CONTROL__JOB_OVER__INIT;

    msg.job_id = rpc_id_data(job_id);
    for (struct map_iter it = map_iter(d->resource->taskmanagers); map_next(&it);)
        rpc_call(((struct jm_taskmanager *)it.value)->peer, RPC_JOB_OVER, &msg.base, 0, NULL, NULL);
}

void jm_dispatcher_local_jobs(struct jm_dispatcher *d, struct arena *arena, ProtobufCBinaryData **ret, size_t *ret_count)
{
    *ret = arena_alloc(arena, (map_size(d->jobs) + 1) * sizeof(**ret));
    *ret_count = 0;
    for (struct map_iter it = map_iter(d->jobs); map_next(&it);)
        if (conf_local_backup(((const struct jm_job *)it.value)->conf))
            (*ret)[(*ret_count)++] = rpc_id_data(&((const struct jm_job *)it.value)->id);
}

static void on_job_over(void *arg, struct jm_job *job)
{
    struct jm_dispatcher *d = arg;
    struct jm_job_snapshot *picture = jm_job_picture(job);
    uint8_t hash[32];

    memcpy(hash, job->graph_hash, sizeof(hash));
    if (conf_local_backup(job->conf))
        tell_job_over(d, &job->id);
    drop_artifacts(d, job, artifact_places(job));
    map_remove(d->jobs, job->id.bytes, sizeof(job->id.bytes));
    /* first: what is kept for an hour fills the holes that the job leaves in the heap */
    jm_job_free(job);
    jm_operations_job_over(d, &picture->id);
    jm_store_add(d->store, picture, hash);
    LIST_FOREACH_SAFE (at, &d->watches) {
        struct jm_command *watch = LIST_ENTRY(at, struct jm_command, link);

        if (id_equal(&watch->job_id, &picture->id))
            jm_command_end(watch, NULL);
    }
    jm_job_snapshot_unref(picture);
    d->hooks->changed(d->arg, true);
}

static const struct jm_job_hooks job_hooks = {
    .over = on_job_over,
    .changed = on_job_changed,
    .detach = on_worker_detach,
};

/* ---- slots ---- */

static void on_retry(struct env_timer *timer)
{
    struct jm_dispatcher *d = CONTAINER_OF(timer, struct jm_dispatcher, retry_timer);

    for (struct map_iter it = map_iter(d->jobs); map_next(&it);)
        if (jm_job_is_waiting(it.value))
            jm_job_try_start(it.value);
}

void jm_dispatcher_slots_freed(struct jm_dispatcher *d)
{
    if (!d->retry_timer.armed)
        env_timer_arm(d->env, &d->retry_timer, 0);
}

/* ---- figures ---- */

static void on_metrics(struct env_timer *timer)
{
    struct jm_dispatcher *d = CONTAINER_OF(timer, struct jm_dispatcher, metrics_timer);
    bool again = false;

    for (struct map_iter it = map_iter(d->jobs); map_next(&it);)
        again = jm_job_pull_metrics(it.value) || again;
    if (again)
        env_timer_arm_ms(d->env, timer, METRICS_PULL_MS);
}

void jm_dispatcher_touch(struct jm_dispatcher *d, const struct id *id)
{
    struct jm_job *job = jm_dispatcher_job(d, id);

    if (!job)
        return;
    job->touched_ns = env_now_ns(d->env) + 1; /* 0: never */
    if (!d->metrics_timer.armed)
        env_timer_arm(d->env, &d->metrics_timer, 0);
}

/* ---- all of it ---- */

void jm_dispatcher_init(struct jm_dispatcher *d)
{
    d->jobs = map_new();
    d->plans = map_new();
    list_init(&d->commands);
    list_init(&d->watches);
    list_init(&d->operations);
    d->retry_timer.cb = on_retry;
    d->metrics_timer.cb = on_metrics;
    d->job_context = (struct jm_job_context){
        .env = d->env,
        .conf = d->conf,
        .resource = d->resource,
        .jobmanager_address = d->address,
        .tls_ciphers = d->tls_ciphers,
        .tls_data = d->tls_data,
        .checkpoint_dir = d->checkpoint_dir,
        .slots_max = d->slots_max,
        .hooks = &job_hooks,
        .arg = d,
    };
}

void jm_dispatcher_clear(struct jm_dispatcher *d)
{
    struct err closed;

    if (!d->jobs)
        return;
    env_timer_cancel(d->env, &d->metrics_timer);
    for (struct map_iter it = map_iter(d->plans); map_next(&it);)
        jm_plan_free(it.value);
    for (struct map_iter it = map_iter(d->jobs); map_next(&it);)
        jm_job_free(it.value);
    map_free(d->plans);
    map_free(d->jobs);
    d->plans = d->jobs = NULL;
    jm_operations_clear(d);
    env_timer_cancel(d->env, &d->retry_timer);
    err_set(&closed, ERR_CLOSED, "the JobManager stops");
    while (!list_empty(&d->commands))
        jm_command_end(LIST_ENTRY(d->commands.next, struct jm_command, link), &closed);
    while (!list_empty(&d->watches))
        jm_command_end(LIST_ENTRY(d->watches.next, struct jm_command, link), &closed);
}

struct jm_job *jm_dispatcher_job(struct jm_dispatcher *d, const struct id *id)
{
    return map_get(d->jobs, id->bytes, sizeof(id->bytes));
}

bool jm_dispatcher_secret(struct jm_dispatcher *d, const struct id *job_id, uint64_t epoch,
                          uint8_t ret[32])
{
    struct jm_job *job = jm_dispatcher_job(d, job_id);
    struct jm_plan *plan = job ? NULL : jm_plan_find(d, job_id);

    if (job && job->epoch == epoch)
        memcpy(ret, job->secret, 32);
    else if (plan && epoch == JM_FIRST_EPOCH)
        memcpy(ret, plan->secret, 32);
    else
        return false;
    return true;
}

static bool find_id(struct jm_dispatcher *d, struct jm_command *command)
{
    const Rask__Graph__StreamGraph *graph = command->graph;

    if (graph->has_job_id)
        return rpc_id(&graph->job_id, &command->job_id) && !id_is_zero(&command->job_id);
    if (id_is_zero(&command->job_id))
        command->job_id = env_rand_id(d->env);
    return true;
}

/* A repeated submission is the same job: 0. Another graph under a known id: ERR_EXISTS.
 * ERR_NOT_FOUND: it is new. */
static int check_known(struct jm_dispatcher *d, const struct jm_command *command, struct err *err)
{
    struct jm_job *job = jm_dispatcher_job(d, &command->job_id);
    const struct jm_stored *stored = jm_store_find(d->store, &command->job_id);
    uint8_t hash[32];
    char id[ID_TEXT_MAX];

    if (!job && !stored)
        return ERR_NOT_FOUND;
    jm_job_hash(command->graph, command->client_parallelism, hash);
    if (memcmp(hash, job ? job->graph_hash : stored->graph_hash, sizeof(hash)) == 0)
        return 0;
    return err_set(err, ERR_EXISTS, "another job has the id %s", id_format(&command->job_id, id));
}

int jm_dispatcher_submit(struct jm_dispatcher *d, struct jm_command *command, struct err *err)
{
    struct jm_job *job;
    int code;

    if (!find_id(d, command))
        return err_set(err, ERR_INVALID, "a job's id has 16 bytes, not all zero");
    code = check_known(d, command, err);
    if (code != ERR_NOT_FOUND)
        return code;
    if (map_size(d->jobs) >= JM_JOBS_MAX)
        return err_set(err, ERR_LIMIT, "%d jobs run or wait: no more are taken", JM_JOBS_MAX);
    code = jm_job_new(&d->job_context, &command->job_id, command->graph,
                      command->client_parallelism, &job, err);
    if (code < 0)
        return code;
    code = use_artifacts(d, job, err);
    if (code < 0) {
        jm_job_free(job);
        return code;
    }
    map_put(d->jobs, job->id.bytes, sizeof(job->id.bytes), job);
    jm_job_start_soon(job);
    d->hooks->changed(d->arg, true);
    return 0;
}
