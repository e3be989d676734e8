/* wk.c - the control side of a worker: job master, deployment, states, cancel. Loop thread. */
#include "taskmanager/worker/wk.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/map.h"
#include "common/base/hash.h"
#include "taskmanager/worker/wk_private.h"

#define BLOB_PART_BYTES (1u << 20)

static void say(struct wk *wk, enum log_level level, const char *text)
{
    env_log(wk->env, level, "worker", wk->job, "%s", text);
}

static void worker_done(struct wk *wk, int code, const char *reason)
{
    if (wk->done)
        return;
    wk->done = true;
    say(wk, code ? LOG_WARN : LOG_INFO, reason);
    wk->options.on_done(wk->options.arg, code, reason);
}

uint32_t wk_tasks_alive(const struct wk *wk)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < wk->task_count; i++)
        n += !wk_task_is_over(wk->tasks[i]);
    return n;
}

bool wk_tasks_are_idle(struct wk_task *const *tasks, uint32_t count)
{
    /* Twice: the last step of one task may have made one ready that was looked at before. */
    for (uint32_t i = 0; i < 2 * count; i++) {
        const struct wk_task *t = tasks[i % count];

        if (!wk_task_is_over(t) || __atomic_load_n(&t->run.state, __ATOMIC_ACQUIRE) != WK_IDLE)
            return false;
    }
    return true;
}

bool wk_is_idle(const struct wk *wk)
{
    return wk_tasks_are_idle(wk->tasks, wk->task_count);
}

/* ---- states go to the job master ---- */

static void on_state(void *arg, struct wk_task *task, Rask__Control__TaskState state, const struct err *error)
{
    struct wk *wk = arg;
    struct wk_report *r = MEM_NEW(struct wk_report);

    r->task = task;
    r->state = state;
    if (error) {
        r->failed = true;
        r->error = *error;
    }
    pthread_mutex_lock(&wk->report_lock);
    list_push_back(&wk->reports, &r->node);
    pthread_mutex_unlock(&wk->report_lock);
    env_post(wk->env, &wk->report_task);
}

static void state_acknowledged(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct wk *wk = arg;

    (void)response;
    if (error && error->code != ERR_CLOSED)
        env_log(wk->env, LOG_WARN, "worker", wk->job, "the job master did not take a task state: %s", error->text);
}

static Rask__Control__Counter **counters_of(struct arena *arena, struct map *map, size_t *ret_n)
{
    Rask__Control__Counter **list = arena_alloc(arena, (map_size(map) + 1) * sizeof(*list));
    size_t n = 0;

    for (struct map_iter it = map_iter(map); map_next(&it);)
        list[n++] = wk_counter_message(arena, it.key, it.value);
    *ret_n = n;
    return list;
}

static void send_state(struct wk *wk, const struct wk_report *r)
{
    Rask__Control__TaskStateChanged m = RASK__CONTROL__TASK_STATE_CHANGED__INIT;
    Rask__Control__TaskMetrics metrics = RASK__CONTROL__TASK_METRICS__INIT;
    struct map *sums = map_new();
    struct arena arena;

    arena_init(&arena);
    m.job_id = (ProtobufCBinaryData){16, wk->job_id.bytes};
    m.job_epoch = wk->start->job_epoch;
    m.vertex = r->task->vertex;
    m.subtask = r->task->subtask;
    m.attempt = r->task->attempt;
    m.state = r->state;
    if (r->failed) {
        m.has_code = 1;
        m.code = r->error.code;
        m.error = (char *)(uintptr_t)r->error.text;
        env_log(wk->env, LOG_ERROR, "worker", wk->job, "%s", r->error.text);
    }
    if (r->state == RASK__CONTROL__TASK_STATE__FINISHED || r->state == RASK__CONTROL__TASK_STATE__FAILED ||
        r->state == RASK__CONTROL__TASK_STATE__CANCELED) {
        wk_task_metrics(r->task, &metrics, &arena);
        m.metrics = &metrics;
        wk_task_accumulators(r->task, sums);
        m.accumulators = counters_of(&arena, sums, &m.n_accumulators);
    }
    if (wk->peer)
        rpc_call(wk->peer, RPC_TASK_STATE_CHANGED, &m.base, 0, state_acknowledged, wk);
    wk_counters_free(sums);
    arena_release(&arena);
}

/* It runs by now, as the report behind this one says: of a job of many tasks a third of all reports. */
static bool is_passed(const struct wk_report *r)
{
    Rask__Control__TaskState now = __atomic_load_n(&r->task->state, __ATOMIC_ACQUIRE);

    return r->state == RASK__CONTROL__TASK_STATE__INITIALIZING &&
           (now == RASK__CONTROL__TASK_STATE__RUNNING || now == RASK__CONTROL__TASK_STATE__FINISHED);
}

void wk_send_reports(struct wk *wk)
{
    for (;;) {
        struct wk_report *r;
        struct list *n;

        pthread_mutex_lock(&wk->report_lock);
        n = list_pop_front(&wk->reports);
        pthread_mutex_unlock(&wk->report_lock);
        if (!n)
            break;
        r = LIST_ENTRY(n, struct wk_report, node);
        if (is_passed(r)) {
            mem_free(r);
            continue;
        }
        wk_collector_drain(wk->collector); /* what it had frozen before it ended */
        if (r->state == RASK__CONTROL__TASK_STATE__FINISHED)
            wk_collector_task_finished(wk->collector, r->task);
        send_state(wk, r);
        mem_free(r);
    }
    if (!wk->peer && wk->task_count > 0 && wk_tasks_alive(wk) == 0)
        worker_done(wk, 1, "the job master is gone and every task has ended");
}

static void on_reports(struct env_task *task)
{
    wk_send_reports(CONTAINER_OF(task, struct wk, report_task));
}

void wk_report_state(struct wk *wk, struct wk_task *task, Rask__Control__TaskState state, const struct err *error)
{
    on_state(wk, task, state, error);
}

static void on_snapshot(void *arg, struct wk_task_snapshot *snapshot)
{
    wk_collector_snapshot(((struct wk *)arg)->collector, snapshot);
}

static void on_checkpoint_wanted(void *arg)
{
    wk_collector_wanted(((struct wk *)arg)->collector);
}

void wk_cancel(struct wk *wk)
{
    wk->canceling = true;
    for (uint32_t i = 0; wk->regions && i < wk->map.count; i++)
        if (wk->regions[i])
            env_timer_cancel(wk->env, &wk->regions[i]->lost_timer);
    for (uint32_t i = 0; i < wk->task_count; i++)
        wk_task_cancel(wk->tasks[i]);
}

/* Over the connections that there are now. */
static void packed(const struct wk *wk, Rask__Control__WorkerMetrics *m)
{
    m->has_packed_bytes = m->has_packed_sent_bytes = 1;
    for (uint32_t r = 0; wk->regions && r < wk->map.count; r++)
        for (uint32_t i = 0; wk->regions[r] && wk->regions[r]->links && i < wk->worker_count; i++) {
            uint64_t bytes, sent;

            if (!wk->regions[r]->links[i])
                continue;
            wk_link_packed(wk->regions[r]->links[i], &bytes, &sent);
            m->packed_bytes += bytes;
            m->packed_sent_bytes += sent;
        }
}

static void answer_metrics(struct wk *wk, struct rpc_request *request)
{
    Rask__Control__WorkerMetrics m = RASK__CONTROL__WORKER_METRICS__INIT;
    struct pool_stats stats;
    struct map *sums = map_new();
    struct arena arena;

    arena_init(&arena);
    m.tasks = arena_alloc(&arena, (wk->task_count + 1) * sizeof(*m.tasks));
    for (uint32_t i = 0; i < wk->task_count; i++) {
        Rask__Control__TaskMetrics *t = arena_alloc(&arena, sizeof(*t));

        rask__control__task_metrics__init(t);
        wk_task_metrics(wk->tasks[i], t, &arena);
        m.tasks[m.n_tasks++] = t;
        wk_task_accumulators(wk->tasks[i], sums);
    }
    m.accumulators = counters_of(&arena, sums, &m.n_accumulators);
    pool_stats(wk->pool, &stats);
    m.has_pool_in_use_bytes = m.has_pool_budget_bytes = 1;
    m.pool_in_use_bytes = stats.in_use_bytes;
    m.pool_budget_bytes = stats.budget_bytes;
    if (wk->pack)
        packed(wk, &m);
    rpc_reply(request, &m.base);
    wk_counters_free(sums);
    arena_release(&arena);
}

static void on_checkpoint_request(struct wk *wk, enum rpc_method method, const ProtobufCMessage *message,
                                  struct rpc_request *request)
{
    if (!wk->collector) {
        rpc_fail(request, ERR_STATE, "nothing is deployed");
        return;
    }
    if (method == RPC_ABORT_CHECKPOINT) {
        wk_collector_abort(wk->collector, (const Rask__Control__AbortCheckpoint *)message, request);
        return;
    }
    rpc_ok(request);
    if (method == RPC_TRIGGER_CHECKPOINT) {
        wk_collector_trigger(wk->collector, (const Rask__Control__TriggerCheckpoint *)message);
    } else {
        const Rask__Control__CompleteCheckpoint *m = (const Rask__Control__CompleteCheckpoint *)message;

        wk_collector_complete(wk->collector, m);
        if (m->kind == RASK__CONTROL__CHECKPOINT_KIND__CHECKPOINT)
            wk_readers_completed(wk, m->checkpoint);
    }
}

static void on_request(void *arg, struct rpc_peer *peer, enum rpc_method method, const ProtobufCMessage *message,
                       struct rpc_request *request)
{
    struct wk *wk = MAGIC_CAST(arg, struct wk, WK_MAGIC);

    (void)peer;
    switch (method) {
    case RPC_DEPLOY: {
        const Rask__Control__Deploy *m = (const Rask__Control__Deploy *)message;

        if (m->job_epoch != wk->start->job_epoch)
            rpc_fail(request, ERR_STALE, "deployment of job epoch %llu, this worker belongs to epoch %llu",
                     (unsigned long long)m->job_epoch, (unsigned long long)wk->start->job_epoch);
        else
            wk_deploy(wk, m, request);
        break;
    }
    case RPC_TRIGGER_CHECKPOINT:
    case RPC_COMPLETE_CHECKPOINT:
    case RPC_ABORT_CHECKPOINT:
        on_checkpoint_request(wk, method, message, request);
        break;
    case RPC_CANCEL_TASKS:
        wk_cancel_regions(wk, (const Rask__Control__CancelTasks *)message);
        rpc_ok(request);
        break;
    case RPC_GET_METRICS:
        answer_metrics(wk, request);
        break;
    default:
        rpc_fail(request, ERR_UNSUPPORTED, "a worker does not answer %s", rpc_method_name(method));
    }
}

/* ---- plan workers: build a graph, answer, end ---- */

static void plan_sent(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct wk *wk = arg;

    (void)response;
    worker_done(wk, error ? 1 : 0, error ? error->text : "the plan was sent");
}

static void plan_answer(struct wk *wk, const struct err *err)
{
    Rask__Control__PlanBuilt m = RASK__CONTROL__PLAN_BUILT__INIT;
    struct arena arena;

    arena_init(&arena);
    m.job_id = (ProtobufCBinaryData){16, wk->job_id.bytes};
    if (err->code == 0)
        m.graph = (Rask__Graph__StreamGraph *)rpc_unpack(&rask__graph__stream_graph__descriptor, wk->plan.data, wk->plan.len,
                                                         &arena);
    else
        m.error = (char *)(uintptr_t)err->text;
    rpc_call(wk->peer, RPC_PLAN_BUILT, &m.base, 0, plan_sent, wk);
    arena_release(&arena);
}

static void plan_loaded(void *arg, int code, const char *error)
{
    struct wk *wk = arg;
    struct err err = {0};

    if (code != 0)
        err_set(&err, code, "%s", error);
    else if (!wk->options.build_plan)
        err_set(&err, ERR_UNSUPPORTED, "this worker cannot build plans");
    else
        (void)wk->options.build_plan(wk->options.arg, wk->start, &wk->plan, &err);
    if (wk->peer)
        plan_answer(wk, &err);
}

/* ---- the connection to the job master ---- */

static void registered(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct wk *wk = arg;

    (void)response;
    if (error) {
        worker_done(wk, 1, error->text);
        return;
    }
    if (wk->start->has_plan_artifact)
        wk->options.loader->load(wk->options.loader, wk, wk->start->plan_artifact.data, plan_loaded, wk);
}

static void on_ready(void *arg, struct rpc_peer *peer)
{
    struct wk *wk = MAGIC_CAST(arg, struct wk, WK_MAGIC);
    Rask__Control__RegisterWorker m = RASK__CONTROL__REGISTER_WORKER__INIT;

    m.job_id = (ProtobufCBinaryData){16, wk->job_id.bytes};
    m.job_epoch = wk->start->job_epoch;
    m.worker_index = wk->start->worker_index;
    m.pid = wk->options.pid;
    m.has_process = true;
    m.process = wk->start->process;
    rpc_call(peer, RPC_REGISTER_WORKER, &m.base, 0, registered, wk);
}

static void on_close(void *arg, struct rpc_peer *peer, const struct err *why)
{
    struct wk *wk = MAGIC_CAST(arg, struct wk, WK_MAGIC);

    (void)peer;
    wk->peer = NULL;
    wk_rollouts_orphan(wk);
    if (wk->done)
        return;
    env_log(wk->env, LOG_WARN, "worker", wk->job, "the job master is gone: %s", why->text);
    wk_cancel(wk);
    if (wk_tasks_alive(wk) == 0)
        worker_done(wk, 1, why->text);
}

static const struct rpc_handler master_handler = {on_ready, on_request, on_close};

/* ---- blobs ---- */

struct blob_fetch {
    struct list node;
    struct wk *wk;
    uint8_t hash[32];
    struct bytes data;
    void (*cb)(void *arg, int code, const char *error, const void *data, size_t len);
    void *arg;
};

static void fetch_next(struct blob_fetch *f);

static void fetch_done(struct blob_fetch *f, int code, const char *error)
{
    list_remove(&f->node);
    f->cb(f->arg, code, error, f->data.data, f->data.len);
    bytes_release(&f->data);
    mem_free(f);
}

static void part_came(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    const Rask__Control__GetBlobOk *part = (const Rask__Control__GetBlobOk *)response;
    struct blob_fetch *f = arg;
    uint8_t hash[32];

    if (error) {
        fetch_done(f, error->code, error->text);
        return;
    }
    bytes_add(&f->data, part->data.data, part->data.len);
    if (f->data.len < part->size && part->data.len > 0) {
        fetch_next(f);
        return;
    }
    hash_sha256(f->data.data, f->data.len, hash);
    if (f->data.len != part->size || memcmp(hash, f->hash, sizeof(hash)) != 0)
        fetch_done(f, ERR_CORRUPT, "the artifact that came from the JobManager does not have its content hash");
    else
        fetch_done(f, 0, NULL);
}

static void fetch_next(struct blob_fetch *f)
{
    Rask__Control__GetBlob m = RASK__CONTROL__GET_BLOB__INIT;

    if (!f->wk->peer) {
        fetch_done(f, ERR_CLOSED, "the job master is gone");
        return;
    }
    m.hash = (ProtobufCBinaryData){sizeof(f->hash), f->hash};
    m.offset = f->data.len;
    m.max = BLOB_PART_BYTES;
    rpc_call(f->wk->peer, RPC_GET_BLOB, &m.base, 0, part_came, f);
}

void wk_fetch_blob(struct wk *wk, const uint8_t hash[32],
                   void (*cb)(void *arg, int code, const char *error, const void *data, size_t len), void *arg)
{
    struct blob_fetch *f = MEM_NEW(struct blob_fetch);

    f->wk = wk;
    list_push_back(&wk->fetches, &f->node);
    memcpy(f->hash, hash, sizeof(f->hash));
    bytes_init(&f->data);
    f->cb = cb;
    f->arg = arg;
    fetch_next(f);
}

/* ---- life ---- */

static Rask__Control__StartWorker *copy_start(struct wk *wk, const Rask__Control__StartWorker *start)
{
    struct bytes packed;
    Rask__Control__StartWorker *copy;

    bytes_init(&packed);
    bytes_reserve(&packed, protobuf_c_message_get_packed_size(&start->base) + 1);
    packed.len = protobuf_c_message_pack(&start->base, packed.data);
    copy = (Rask__Control__StartWorker *)rpc_unpack(&rask__control__start_worker__descriptor, packed.data, packed.len, &wk->arena);
    bytes_release(&packed);
    return copy;
}

int wk_new(struct env *env, const struct wk_options *options, struct wk **ret, struct err *err)
{
    struct wk *wk = MEM_NEW(struct wk);

    if (options->start->job_id.len != 16 || options->start->secret.len != 32) {
        mem_free(wk);
        return err_set(err, ERR_PROTOCOL, "start parameters without a job id of 16 bytes and a secret of 32 bytes");
    }
    wk->magic = WK_MAGIC;
    wk->env = env;
    wk->options = *options;
    arena_init(&wk->arena);
    wk->start = copy_start(wk, options->start);
    wk->options.start = wk->start;
    wk->options.local_dir = options->local_dir ? arena_strdup(&wk->arena, options->local_dir) : NULL;
    memcpy(wk->job_id.bytes, wk->start->job_id.data, 16);
    id_format(&wk->job_id, wk->job);
    wk->taskmanager_id = options->taskmanager_id;
    wk->pool = pool_new(options->network_bytes);
    wk->state_budget.limit_bytes = options->state_bytes;
    wk->warming = wk_warming_new(env, options->executor, &wk->state_budget);
    list_init(&wk->waiting_conns);
    list_init(&wk->handshakes);
    list_init(&wk->fetches);
    list_init(&wk->rollouts);
    wk->schemas = map_new();
    list_init(&wk->reports);
    pthread_mutex_init(&wk->report_lock, NULL);
    bytes_init(&wk->plan);
    wk->report_task.cb = on_reports;
    wk->host = (struct wk_task_host){
        .env = env,
        .pool = wk->pool,
        .state_budget = &wk->state_budget,
        .connectors = options->connectors,
        .out_fd = options->out_fd,
        .err_fd = options->err_fd,
        .job = wk->job,
        .on_state = on_state,
        .on_snapshot = on_snapshot,
        .on_checkpoint_wanted = on_checkpoint_wanted,
        .watch_fd = options->watch_fd,
        .unwatch_fd = options->unwatch_fd,
        .arg = wk,
        .watch_arg = options->arg,
    };
    wk->identity = (struct rpc_identity){
        .role = RASK__CONTROL__ROLE__WORKER,
        .job_id = wk->job_id,
        .job_epoch = wk->start->job_epoch,
        .worker_index = wk->start->worker_index,
        .taskmanager_id = options->taskmanager_id,
        .has_secret = true,
    };
    memcpy(wk->identity.secret, wk->start->secret.data, 32);
    wk->identity.tls = options->tls;
    wk->peer = rpc_connect(env, wk->start->jobmanager_address, &wk->identity, &master_handler, wk);
    if (!wk->start->has_tls_data || !wk->start->tls_data)
        wk->identity.tls = NULL; /* from here on it is for data connections */
    *ret = wk;
    return 0;
}

void wk_free(struct wk *wk)
{
    if (!wk)
        return;
    wk->done = true;
    if (wk->peer)
        rpc_close(wk->peer);
    wk->peer = NULL;
    wk_rollouts_orphan(wk);
    while (!list_empty(&wk->fetches)) /* loaders wait for them */
        fetch_done(LIST_ENTRY(wk->fetches.next, struct blob_fetch, node), ERR_CLOSED, "the worker ends");
    wk_peers_drop(wk);
    wk_rollouts_drop(wk);
    wk_collector_free(wk->collector);
    wk_local_free(wk->local);
    wk_unbuild(wk);
    wk_warming_free(wk->warming);
    env_unpost(wk->env, &wk->report_task);
    while (!list_empty(&wk->reports))
        mem_free(LIST_ENTRY(list_pop_front(&wk->reports), struct wk_report, node));
    pthread_mutex_destroy(&wk->report_lock);
    for (uint32_t i = 0; i < wk->worker_count; i++)
        mem_free(wk->workers[i].data_address);
    mem_free(wk->workers);
    map_free(wk->schemas);
    bytes_release(&wk->plan);
    pool_free(wk->pool);
    arena_release(&wk->arena);
    wk->magic = 0;
    mem_free(wk);
}
