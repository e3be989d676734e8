/*
 * job_workers.c - the workers of a job: started, registered, deployed, stopped, mourned. Pure;
 * thread: the control loop.
 *
 * A worker is gone when its obituary came, when its TaskManager is lost, when it could not be
 * started, or when nobody has said a word about it long after it was killed.  Only then are its
 * slots given back.
 */
#include <string.h>

#include "common/base/check.h"
#include "jobmanager/job/job_private.h"

#define OBITUARY_WAIT_MS      2000
#define STOP_WAIT_MS          5000 /* the supervisor kills after 1 s by itself */
#define STOPS_MAX             3
#define STARTS_PER_TURN       256
#define DEPLOY_TASKS_PER_TURN 20000 /* placements packed in one turn */

static void on_worker_timer(struct env_timer *timer);
static void on_taskmanager_lost(struct jm_allocation *allocation, const char *why);

static void worker_move(struct jm_worker *w, enum jm_worker_state to)
{
    CHECK(to > w->state);
    w->state = to;
}

static struct rpc_peer *taskmanager_of(struct jm_worker *w)
{
    return w->allocation && w->allocation->taskmanager ? w->allocation->taskmanager->peer : NULL;
}

static void drop_calls(struct jm_worker *w)
{
    struct rpc_peer *tm = taskmanager_of(w);

    if (tm && w->start_call)
        rpc_call_cancel(tm, w->start_call);
    if (tm && w->stop_call)
        rpc_call_cancel(tm, w->stop_call);
    if (w->peer && w->deploy_call)
        rpc_call_cancel(w->peer, w->deploy_call);
    if (w->peer && w->metrics_call)
        rpc_call_cancel(w->peer, w->metrics_call);
    w->start_call = w->stop_call = w->deploy_call = w->metrics_call = 0;
}

static void drop_peer(struct jm_worker *w)
{
    if (!w->peer)
        return;
    w->job->ctx->hooks->detach(w->job->ctx->arg, w);
    rpc_close(w->peer);
    w->peer = NULL;
}

static void worker_gone(struct jm_worker *w)
{
    struct jm_job *job = w->job;

    if (w->state == JM_WORKER_GONE)
        return;
    if (w->state == JM_WORKER_STARTING) /* nobody waits for it any more */
        job->workers_registered++;
    jm_worker_tasks_end(w, STATE(CANCELED));
    env_timer_cancel(job->ctx->env, &w->timer);
    drop_calls(w);
    drop_peer(w);
    worker_move(w, JM_WORKER_GONE);
    job->workers_gone++;
    if (job->life.state != JM_JOB_RESTARTING) /* else they are used again */
        jm_resource_release(job->ctx->resource, &w->allocation);
    jm_job_turn_soon(job);
}

static void worker_fail(struct jm_worker *w, const struct jm_fault *fault)
{
    struct jm_fault named = *fault;

    named.worker = w;
    jm_regions_hit_worker(w->job, w);
    jm_worker_tasks_end(w, STATE(FAILED));
    jm_job_fail(w->job, &named);
    jm_job_turn_soon(w->job);
}

/* ---- start ---- */

static void on_started(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct jm_worker *w = arg;

    w->start_call = 0;
    if (!error) {
        w->pid = ((const Rask__Control__StartWorkerOk *)response)->pid;
        return;
    }
    if (error->code == ERR_CLOSED) /* the loss of the TaskManager follows */
        return;
    if (w->state != JM_WORKER_STOPPING) {
        char *text = mem_printf("%s could not be started: %s", w->label, error->text);

        worker_fail(w, &(struct jm_fault){
                           .local = w->job->regional, .code = error->code, .text = text});
        mem_free(text);
    }
    if (error->code != ERR_TIMEOUT) {
        worker_gone(w);
        return;
    }
    ENV_PROBE(w->job->ctx->env, "job: a start is not confirmed in time"); /* perhaps it lives */
    jm_worker_stop(w, true, "its start was not confirmed in time");
}

static void send_start(struct jm_worker *w)
{
    struct jm_job *job = w->job;
    Rask__Control__StartWorker msg = RASK__CONTROL__START_WORKER__INIT;

    msg.job_id = rpc_id_data(&job->id);
    msg.job_epoch = job->epoch;
    msg.secret = (ProtobufCBinaryData){.len = sizeof(job->secret), .data = job->secret};
    msg.jobmanager_address = (char *)job->ctx->jobmanager_address;
    msg.tls_ciphers = (char *)job->ctx->tls_ciphers;
    msg.has_tls_data = msg.tls_data = job->ctx->tls_data;
    msg.worker_index = w->index;
    msg.has_process = true;
    msg.process = w->process;
    msg.slots = w->allocation->slots;
    msg.budget_bytes = w->budget_bytes;
    msg.job_name = job->name;
    msg.n_config = job->config_count;
    msg.config = job->config;
    w->start_sent = true;
    w->start_call = rpc_call(taskmanager_of(w), RPC_START_WORKER, &msg.base, 0, on_started, w);
}

static void on_send_starts(struct env_timer *timer)
{
    struct jm_job *job = CONTAINER_OF(timer, struct jm_job, send_timer);

    for (uint32_t n = 0; n < STARTS_PER_TURN && job->send_next < job->worker_count; n++) {
        struct jm_worker *w = &job->workers[job->send_next++];

        if (w->state == JM_WORKER_STARTING && taskmanager_of(w))
            send_start(w);
    }
    if (job->send_next < job->worker_count)
        env_timer_arm(job->ctx->env, timer, 0);
}

/* Job, index and tasks are set. */
static void worker_init(struct jm_worker *w, struct jm_allocation *allocation)
{
    struct jm_taskmanager *tm = allocation->taskmanager;
    uint32_t index = w->index;

    w->process = ++w->job->processes;
    w->allocation = allocation;
    w->slots = allocation->slots;
    w->taskmanager_id = tm->id;
    allocation->holder = w;
    allocation->lost = on_taskmanager_lost;
    w->host = mem_strdup(tm->host);
    w->place = mem_strdup(tm->place);
    w->endpoint = mem_strdup(tm->data_address);
    w->label = mem_printf("worker %u on %s", index, tm->label);
    w->budget_bytes = tm->slot_bytes * allocation->slots;
    w->timer.cb = on_worker_timer;
}

static void place_tasks(struct jm_job *job)
{
    int64_t now_ms = jm_job_now_ms(job);

    for (uint32_t v = 0; v < job->schedule.vertex_count; v++)
        for (uint32_t i = 0; i < job->graph.vertices[v].spec->parallelism; i++) {
            uint32_t worker = job->slot_workers[job->schedule.slot_of[v][i]];

            job->graph.vertices[v].subtasks[i].worker = worker;
            job->workers[worker].task_count++;
        }
    for (uint32_t w = 0; w < job->worker_count; w++) {
        job->workers[w].tasks =
            mem_alloc_array(job->workers[w].task_count, sizeof(struct jm_task_ref));
        job->workers[w].open = job->workers[w].task_count;
        job->workers[w].task_count = 0;
    }
    for (uint32_t v = 0; v < job->schedule.vertex_count; v++)
        for (uint32_t i = 0; i < job->graph.vertices[v].spec->parallelism; i++) {
            struct jm_worker *w = &job->workers[job->graph.vertices[v].subtasks[i].worker];

            w->tasks[w->task_count++] = (struct jm_task_ref){v, i};
            jm_job_task_move(job, v, i, STATE(SCHEDULED), now_ms);
        }
}

/* In a turn of its own: large jobs have many tasks. */
static void on_place(struct env_timer *timer)
{
    struct jm_job *job = CONTAINER_OF(timer, struct jm_job, send_timer);

    place_tasks(job);
    job->send_next = 0;
    job->send_timer.cb = on_send_starts;
    on_send_starts(timer);
    jm_job_changed(job, true);
}

void jm_job_start_workers(struct jm_job *job, struct jm_grant *grant)
{
    job->worker_count = grant->host_count;
    job->workers = mem_alloc_array(grant->host_count, sizeof(*job->workers));
    for (uint32_t i = 0; i < grant->host_count; i++) {
        job->workers[i] = (struct jm_worker){.job = job, .index = i};
        worker_init(&job->workers[i], grant->hosts[i]);
    }
    job->slot_workers = mem_dup(grant->slot_host, grant->slot_count * sizeof(*grant->slot_host));
    jm_grant_release(grant);
    job->send_timer.cb = on_place;
    env_timer_arm(job->ctx->env, &job->send_timer, 0);
    jm_job_changed(job, true);
}

int jm_job_register_worker(struct jm_job *job, const Rask__Control__RegisterWorker *msg,
                           struct rpc_peer *peer, struct jm_worker **ret, struct err *err)
{
    struct jm_worker *w =
        msg->worker_index < job->worker_count ? &job->workers[msg->worker_index] : NULL;

    if (msg->job_epoch != job->epoch)
        return err_set(err, ERR_STALE, "job epoch %llu is over: the job is at %llu",
                       (unsigned long long)msg->job_epoch, (unsigned long long)job->epoch);
    if (!w)
        return err_set(err, ERR_INVALID, "the job has %u workers: there is no worker %u",
                       job->worker_count, msg->worker_index);
    if (msg->process != w->process)
        return err_set(err, ERR_STALE, "process %u of the job was given up: worker %u is process %u",
                       msg->process, w->index, w->process);
    if (w->peer == peer) { /* repeated */
        *ret = w;
        return 0;
    }
    if (w->state != JM_WORKER_STARTING)
        return err_set(err, ERR_STATE, "worker %u has registered before, or is not wanted any more",
                       w->index);
    w->peer = peer;
    w->pid = msg->pid;
    worker_move(w, JM_WORKER_REGISTERED);
    job->workers_registered++;
    if (job->workers_registered == job->worker_count)
        jm_job_turn_soon(job);
    *ret = w;
    return 0;
}

/* ---- deploy ---- */

static void on_deployed(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct jm_worker *w = arg;

    (void)response;
    w->deploy_call = 0;
    if (error && error->code != ERR_CLOSED && w->state == JM_WORKER_DEPLOYED) {
        char *text = mem_printf("%s did not take its tasks: %s", w->label, error->text);

        worker_fail(w, &(struct jm_fault){.code = error->code, .text = text});
        mem_free(text);
    }
}

static void add_regions(struct jm_job *job, Rask__Control__Deploy *msg, struct arena *arena)
{
    msg->regions = arena_alloc(arena, (job->map.count + 1) * sizeof(*msg->regions));
    for (uint32_t i = 0; i < job->map.count; i++) {
        Rask__Control__RegionAttempt *r;

        if (job->regional && !job->regions[i].restarting)
            continue;
        r = arena_alloc(arena, sizeof(*r));
        rask__control__region_attempt__init(r);
        r->region = i;
        r->attempt = job->regions[i].attempt;
        msg->regions[msg->n_regions++] = r;
    }
}

static Rask__Control__Deploy *make_deploy(struct jm_job *job, struct arena *arena)
{
    Rask__Control__Deploy *msg = arena_alloc(arena, sizeof(*msg));
    Rask__Control__Restore *restore = arena_alloc(arena, sizeof(*restore));

    rask__control__deploy__init(msg);
    msg->job_id = rpc_id_data(&job->id);
    msg->job_epoch = job->epoch;
    msg->serial = job->deployments;
    add_regions(job, msg, arena);
    if (jm_ckpt_latest(job->ckpt, restore, arena))
        msg->restore = restore;
    msg->graph = (Rask__Graph__JobGraph *)job->job_graph;
    msg->n_config = job->config_count;
    msg->config = job->config;
    msg->n_placements = job->schedule.vertex_count;
    msg->placements = arena_alloc(arena, msg->n_placements * sizeof(*msg->placements));
    for (uint32_t v = 0; v < job->schedule.vertex_count; v++) {
        Rask__Control__Placement *p = arena_alloc(arena, sizeof(*p));

        rask__control__placement__init(p);
        p->vertex = v;
        p->n_worker = job->graph.vertices[v].spec->parallelism;
        p->worker = arena_alloc(arena, p->n_worker * sizeof(*p->worker));
        for (size_t i = 0; i < p->n_worker; i++)
            p->worker[i] = job->graph.vertices[v].subtasks[i].worker;
        msg->placements[v] = p;
    }
    msg->n_workers = job->worker_count;
    msg->workers = arena_alloc(arena, msg->n_workers * sizeof(*msg->workers));
    for (uint32_t i = 0; i < job->worker_count; i++) {
        Rask__Control__WorkerAddress *a = arena_alloc(arena, sizeof(*a));

        rask__control__worker_address__init(a);
        a->worker_index = i;
        a->data_address = job->workers[i].endpoint;
        a->taskmanager_id = rpc_id_data(&job->workers[i].taskmanager_id);
        a->has_process = true;
        a->process = job->workers[i].process;
        msg->workers[i] = a;
    }
    return msg;
}

static void on_send_deploys(struct env_timer *timer)
{
    struct jm_job *job = CONTAINER_OF(timer, struct jm_job, send_timer);
    uint32_t most = MAX(1, DEPLOY_TASKS_PER_TURN / (job->graph.total + 1));
    struct arena arena;
    Rask__Control__Deploy *msg;

    arena_init(&arena);
    msg = make_deploy(job, &arena);
    for (uint32_t n = 0; n < most && job->send_next < job->worker_count; n++) {
        struct jm_worker *w = &job->workers[job->send_next++];

        if (w->state != JM_WORKER_REGISTERED)
            continue;
        worker_move(w, JM_WORKER_DEPLOYED);
        w->deploy_call = rpc_call(w->peer, RPC_DEPLOY, &msg->base, 0, on_deployed, w);
    }
    arena_release(&arena);
    if (job->send_next < job->worker_count)
        env_timer_arm(job->ctx->env, timer, 0);
}

void jm_job_deploy(struct jm_job *job)
{
    int64_t now_ms = jm_job_now_ms(job);

    env_timer_cancel(job->ctx->env, &job->wait_timer);
    jm_job_set_state(job, JM_JOB_RUNNING);
    for (uint32_t v = 0; v < job->schedule.vertex_count; v++)
        for (uint32_t i = 0; i < job->graph.vertices[v].spec->parallelism; i++)
            jm_job_task_move(job, v, i, STATE(DEPLOYING), now_ms);
    job->send_next = 0;
    job->deployments++;
    job->send_timer.cb = on_send_deploys;
    env_timer_arm(job->ctx->env, &job->send_timer, 0); /* in a turn of its own, as those of large jobs */
    jm_ckpt_restored(job->ckpt);
    jm_ckpt_epoch_begin(job->ckpt);
}

void jm_job_deploy_regions(struct jm_job *job)
{
    Rask__Control__Deploy *msg, later;
    struct arena arena;

    job->deployments++;
    arena_init(&arena);
    msg = make_deploy(job, &arena);
    later = *msg; /* who has the graph needs no more than what starts again, and where */
    later.graph = NULL;
    later.n_placements = later.n_config = 0;
    for (uint32_t i = 0; i < job->worker_count; i++) {
        struct jm_worker *w = &job->workers[i];
        bool is_new = w->state == JM_WORKER_REGISTERED;

        if (!is_new && !jm_regions_concern(job, w))
            continue;
        if (is_new)
            worker_move(w, JM_WORKER_DEPLOYED);
        if (w->deploy_call) /* it has nothing more to say: its tasks have */
            rpc_call_cancel(w->peer, w->deploy_call);
        w->deploy_call =
            rpc_call(w->peer, RPC_DEPLOY, is_new ? &msg->base : &later.base, 0, on_deployed, w);
    }
    arena_release(&arena);
}

/* ---- stop ---- */

void jm_job_cancel_tasks(struct jm_job *job)
{
    Rask__Control__CancelTasks msg = RASK__CONTROL__CANCEL_TASKS__INIT;

    msg.job_id = rpc_id_data(&job->id);
    msg.job_epoch = job->epoch;
    if (job->regional) {
        msg.regions = mem_alloc_array(job->map.count, sizeof(*msg.regions));
        for (uint32_t i = 0; i < job->map.count; i++)
            if (job->regions[i].restarting && job->regions[i].open > 0)
                msg.regions[msg.n_regions++] = i;
    }
    for (uint32_t i = 0; i < job->worker_count; i++) {
        struct jm_worker *w = &job->workers[i];

        if (w->state == JM_WORKER_DEPLOYED && w->peer &&
            (job->regional ? jm_worker_cancels(w) : w->open > 0))
            rpc_call(w->peer, RPC_CANCEL_TASKS, &msg.base, 0, NULL, NULL);
    }
    mem_free(msg.regions);
}

static void on_stopped(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct jm_worker *w = arg;

    (void)response;
    w->stop_call = 0;
    /* its TaskManager has no such worker, any more or ever */
    if (error && error->code == ERR_NOT_FOUND)
        worker_gone(w);
}

void jm_worker_stop(struct jm_worker *w, bool kill, const char *reason)
{
    Rask__Control__StopWorker msg = RASK__CONTROL__STOP_WORKER__INIT;
    struct rpc_peer *tm = taskmanager_of(w);

    if (w->state == JM_WORKER_GONE)
        return;
    if (!tm || !w->start_sent || w->stops == STOPS_MAX) {
        if (w->stops == STOPS_MAX)
            env_log(w->job->ctx->env, LOG_ERROR, JM_MODULE, w->job->id_text,
                    "%s was stopped %u times and nobody said that it ended: it counts as gone",
                    w->label, w->stops);
        worker_gone(w);
        return;
    }
    if (w->state < JM_WORKER_STOPPING) {
        if (w->state == JM_WORKER_STARTING)
            w->job->workers_registered++;
        worker_move(w, JM_WORKER_STOPPING);
    }
    w->stops++;
    msg.job_id = rpc_id_data(&w->job->id);
    msg.job_epoch = w->job->epoch;
    msg.reason = (char *)reason;
    msg.has_process = true;
    msg.process = w->process;
    msg.has_kill = true;
    msg.kill = kill;
    if (w->stop_call)
        rpc_call_cancel(tm, w->stop_call);
    w->stop_call = rpc_call(tm, RPC_STOP_WORKER, &msg.base, 0, on_stopped, w);
    env_timer_arm_ms(w->job->ctx->env, &w->timer, STOP_WAIT_MS);
}

/* A lost worker's obituary did not come, or a stopped one's. */
static void on_worker_timer(struct env_timer *timer)
{
    struct jm_worker *w = CONTAINER_OF(timer, struct jm_worker, timer);

    ENV_PROBE(w->job->ctx->env,
              w->lost ? "job: a lost worker has no obituary" : "job: a stopped worker does not end");
    w->lost = false;
    jm_worker_stop(w, true, "it does not answer");
}

void jm_job_stop_workers(struct jm_job *job, const char *reason)
{
    for (uint32_t i = 0; i < job->worker_count; i++) {
        struct jm_worker *w = &job->workers[i];

        /* a lost one is left alone until it could say why */
        if (w->state < JM_WORKER_STOPPING && !w->lost)
            jm_worker_stop(w, false, reason);
    }
}

/* ---- the end of one ---- */

void jm_worker_closed(struct jm_worker *w, const char *why)
{
    char *text;

    CHECK(w->peer != NULL);
    w->peer = NULL;
    w->deploy_call = w->metrics_call = 0;
    if (w->state >= JM_WORKER_STOPPING)
        return;
    w->lost = true;
    env_timer_arm_ms(w->job->ctx->env, &w->timer, OBITUARY_WAIT_MS);
    text = mem_printf("%s: connection lost: %s", w->label, why);
    worker_fail(w, &(struct jm_fault){.suspicion = true, .local = true, .code = ERR_WORKER_DIED, .text = text});
    mem_free(text);
}

static struct jm_worker *find_worker(struct jm_job *job, const struct id *taskmanager_id, uint32_t process)
{
    for (uint32_t i = 0; i < job->worker_count; i++)
        if (job->workers[i].process == process && id_equal(&job->workers[i].taskmanager_id, taskmanager_id))
            return &job->workers[i];
    return NULL;
}

/* The obituary in full: what REST shows as the cause. */
static char *obituary(const struct jm_worker *w, const Rask__Control__WorkerExited *msg)
{
    struct bytes text;

    bytes_init(&text);
    bytes_printf(&text, "%s: %s", w->label, msg->reason);
    if (msg->task && *msg->task)
        bytes_printf(&text, "\ntask on the CPU: %s", msg->task);
    if (msg->operator_ && *msg->operator_)
        bytes_printf(&text, "\noperator: %s", msg->operator_);
    if (msg->has_peak_bytes && msg->peak_bytes > 0)
        bytes_printf(&text, "\npeak memory: %llu bytes", (unsigned long long)msg->peak_bytes);
    if (msg->stack && *msg->stack)
        bytes_printf(&text, "\nstack:\n%s", msg->stack);
    if (msg->last_log && *msg->last_log)
        bytes_printf(&text, "\nlast lines of its log:\n%s", msg->last_log);
    return bytes_take_str(&text);
}

void jm_job_worker_exited(struct jm_job *job, const struct id *taskmanager_id,
                          const Rask__Control__WorkerExited *msg)
{
    struct jm_worker *w = find_worker(job, taskmanager_id, msg->process);
    char *text;

    if (!w || msg->job_epoch != job->epoch || w->state == JM_WORKER_GONE)
        return;
    if (w->state < JM_WORKER_STOPPING) {
        text = obituary(w, msg);
        worker_fail(w, &(struct jm_fault){.task = msg->task && *msg->task ? msg->task : NULL,
                                          .explains = w->lost,
                                          .local = true,
                                          .code = ERR_WORKER_DIED,
                                          .text = text});
        mem_free(text);
    }
    worker_gone(w);
}

static void on_taskmanager_lost(struct jm_allocation *allocation, const char *why)
{
    struct jm_worker *w = allocation->holder;

    w->start_call = w->stop_call = 0; /* they failed with the connection */
    if (w->state < JM_WORKER_STOPPING)
        worker_fail(w, &(struct jm_fault){
                           .explains = w->lost, .local = true, .code = ERR_WORKER_DIED, .text = why});
    if (w->state == JM_WORKER_GONE) /* its slots waited for the restart */
        jm_resource_release(w->job->ctx->resource, &w->allocation);
    worker_gone(w);
}

void jm_worker_renew(struct jm_worker *w, struct jm_allocation **allocation)
{
    struct jm_job *job = w->job;
    struct jm_allocation *taken = *allocation;
    struct jm_worker next = {
        .job = job, .index = w->index, .tasks = w->tasks, .task_count = w->task_count, .live = w->live};

    CHECK(w->state == JM_WORKER_GONE);
    CHECK(w->open == 0);
    *allocation = NULL;
    mem_free(w->place);
    mem_free(w->host);
    mem_free(w->endpoint);
    mem_free(w->label);
    *w = next;
    job->workers_gone--;
    job->workers_registered--;
    worker_init(w, taken);
    send_start(w);
}

void jm_job_release_slots(struct jm_job *job)
{
    for (uint32_t i = 0; i < job->worker_count; i++)
        jm_resource_release(job->ctx->resource, &job->workers[i].allocation);
}

/* The next epoch begins where there are copies of the state. */
void jm_job_note_places(struct jm_job *job)
{
    if (!conf_from_local(job->conf))
        return;
    if (!job->places)
        job->places = mem_alloc_array(job->slots_needed, sizeof(*job->places));
    for (uint32_t i = 0; i < job->slots_needed; i++) {
        mem_free(job->places[i]);
        job->places[i] = mem_strdup(job->workers[job->slot_workers[i]].place);
    }
}

void jm_job_free_workers(struct jm_job *job)
{
    for (uint32_t i = 0; i < job->worker_count; i++) {
        struct jm_worker *w = &job->workers[i];

        env_timer_cancel(job->ctx->env, &w->timer);
        drop_calls(w);
        drop_peer(w);
        jm_resource_release(job->ctx->resource, &w->allocation);
        jm_counts_clear(&w->live);
        mem_free(w->tasks);
        mem_free(w->place);
        mem_free(w->host);
        mem_free(w->endpoint);
        mem_free(w->label);
    }
    mem_free(job->workers);
    mem_free(job->slot_workers);
    job->workers = NULL;
    job->slot_workers = NULL;
    job->worker_count = 0;
}
