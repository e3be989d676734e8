/*
 * tm_jobmanager.c - the supervisor's side of its JobManager: connect, register, report, obey, and begin again.
 * Thread: the loop.
 */
#include <string.h>

#include "taskmanager/supervisor/tm_private.h"

static void connect_now(struct tm *tm);

static uint64_t first_wait_ms(const struct tm *tm)
{
    return conf_duration_ms(tm->options.conf, OPT_CLUSTER_REGISTRATION_INITIAL_TIMEOUT);
}

/* Logs the first failure and each one that differs, not every attempt. */
static void note_failure(struct tm *tm, const struct err *why)
{
    if (tm->options.on_failed)
        tm->options.on_failed(tm->options.arg, why);
    if (tm->last_failure && strcmp(tm->last_failure, why->text) == 0)
        return;
    mem_free(tm->last_failure);
    tm->last_failure = mem_strdup(why->text);
    env_log(tm->env, LOG_WARN, "taskmanager", NULL, "not registered: %s; trying on", why->text);
}

static void retry_later(struct tm *tm, const struct err *why)
{
    uint64_t limit_ms = conf_duration_ms(tm->options.conf, OPT_TASKMANAGER_REGISTRATION_TIMEOUT);
    struct err last;

    note_failure(tm, why);
    if (tm->options.on_gave_up && env_now_ns(tm->env) - tm->lost_ns >= env_ms_to_ns(limit_ms)) {
        tm->given_up = true;
        err_set(&last, ERR_TIMEOUT,
                "no JobManager for %llu s (taskmanager.registration.timeout), the last attempt: %s",
                (unsigned long long)(limit_ms / 1000), why->text);
        tm->options.on_gave_up(tm->options.arg, &last);
        return;
    }
    env_timer_arm_ms(tm->env, &tm->retry, tm->retry_ms);
    tm->retry_ms = MIN(tm->retry_ms * 2, conf_duration_ms(tm->options.conf, OPT_CLUSTER_REGISTRATION_MAX_TIMEOUT));
}

static void on_retry(struct env_timer *timer)
{
    connect_now(CONTAINER_OF(timer, struct tm, retry));
}

/* Drops the connection by our own will and begins again. */
static void give_up_peer(struct tm *tm, const struct err *why)
{
    struct rpc_peer *peer = tm->peer;
    bool was_registered = tm->registered;

    tm->peer = NULL;
    tm->registered = false;
    env_timer_cancel(tm->env, &tm->report);
    LIST_FOREACH(node, &tm->obituaries)
        LIST_ENTRY(node, struct tm_obituary, in_tm)->call = 0;
    if (peer)
        rpc_close(peer);
    if (was_registered) {
        tm->lost_ns = env_now_ns(tm->env);
        tm->retry_ms = first_wait_ms(tm);
    }
    tm_worker_kill_all(tm, true, "its JobManager is gone");
    if (!tm->stopping)
        retry_later(tm, why);
}

/* ---- registration and reports ---- */

static void on_report_done(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct tm *tm = MAGIC_CAST(arg, struct tm, TM_MAGIC);
    struct err why;

    (void)response;
    if (!error || error->code == ERR_CLOSED || error->code == ERR_TIMEOUT)
        return; /* the peer's own heartbeat judges whether it lives */
    why = *error;
    err_wrap(&why, "JobManager refused the report");
    give_up_peer(tm, &why);
}

static void on_report(struct env_timer *timer)
{
    struct tm *tm = CONTAINER_OF(timer, struct tm, report);
    Rask__Control__TaskManagerReport report = RASK__CONTROL__TASK_MANAGER_REPORT__INIT;
    struct arena arena;

    arena_init(&arena);
    report.workers = tm_worker_statuses(tm, &arena, &report.n_workers);
    if (tm->options.own_bytes) {
        report.has_rss_bytes = true;
        report.rss_bytes = tm->options.own_bytes(tm->options.arg);
        for (size_t i = 0; i < report.n_workers; i++)
            report.rss_bytes += report.workers[i]->pss_bytes;
    }
    rpc_call(tm->peer, RPC_TASKMANAGER_REPORT, &report.base, 0, on_report_done, tm);
    arena_release(&arena);
    tm_obituary_send_all(tm);
    env_timer_arm_ms(tm->env, &tm->report, tm->report_ms);
}

static void on_register_done(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct tm *tm = MAGIC_CAST(arg, struct tm, TM_MAGIC);
    const Rask__Control__RegisterTaskManagerOk *ok = (const void *)response;
    struct err why;

    if (error) {
        if (error->code == ERR_CLOSED)
            return; /* on_close follows */
        why = *error;
        err_wrap(&why, "JobManager at %s refused the registration", tm->options.jobmanager_address);
        give_up_peer(tm, &why);
        return;
    }
    tm->registered = true;
    tm->retry_ms = first_wait_ms(tm);
    tm->report_ms = MAX(ok->heartbeat_interval_ms, 1u);
    mem_free(tm->last_failure);
    tm->last_failure = NULL;
    rpc_set_heartbeat(tm->peer, ok->heartbeat_interval_ms, ok->heartbeat_timeout_ms);
    env_timer_arm(tm->env, &tm->report, 0);
    env_log(tm->env, LOG_INFO, "taskmanager", NULL, "registered at %s with %u slots of %llu MiB",
            rpc_peer_name(tm->peer), tm->slots, (unsigned long long)(tm->slot_bytes >> 20));
    tm_obituary_send_all(tm);
    tm_local_registered(tm, ok);
    if (tm->options.on_registered)
        tm->options.on_registered(tm->options.arg);
}

static void on_ready(void *arg, struct rpc_peer *peer)
{
    struct tm *tm = MAGIC_CAST(arg, struct tm, TM_MAGIC);
    Rask__Control__RegisterTaskManager message = RASK__CONTROL__REGISTER_TASK_MANAGER__INIT;
    char *host = NULL;
    const char *colon = strrchr(tm->data_address, ':');
    struct arena arena;

    arena_init(&arena);
    host = arena_strdup(&arena, tm->data_address);
    if (colon && strncmp(host, "inproc:", 7) != 0)
        host[colon - tm->data_address] = 0;
    message.taskmanager_id = rpc_id_data(&tm->id);
    message.host = host;
    message.data_address = tm->data_address;
    message.slots = tm->slots;
    message.process_bytes = tm->process_bytes;
    message.slot_bytes = tm->slot_bytes;
    message.pid = tm->options.pid;
    message.has_managed_bytes = true;
    message.has_network_bytes = true;
    tm_worker_budgets(tm->options.conf, tm->slot_bytes * tm->slots, tm->slots, &message.network_bytes,
                      &message.managed_bytes);
    message.has_cpu_cores = tm->options.cpu_cores > 0;
    message.cpu_cores = tm->options.cpu_cores;
    message.has_physical_memory_bytes = tm->options.physical_memory_bytes > 0;
    message.physical_memory_bytes = tm->options.physical_memory_bytes;
    message.resource_id = (char *)(uintptr_t)tm->options.resource_id;
    message.workers = tm_worker_statuses(tm, &arena, &message.n_workers);
    rpc_call(peer, RPC_REGISTER_TASKMANAGER, &message.base, 0, on_register_done, tm);
    arena_release(&arena);
}

/* ---- what the JobManager asks ---- */

static void on_file_read(void *arg, int code, const char *error, const void *data, size_t len,
                         uint64_t size)
{
    struct rpc_request *request = arg;
    Rask__Control__ReadFileOk ok = RASK__CONTROL__READ_FILE_OK__INIT;

    if (code < 0) {
        rpc_fail(request, code, "%s", error);
        return;
    }
    ok.data = (ProtobufCBinaryData){len, (uint8_t *)data};
    ok.size = size;
    rpc_reply(request, &ok.base);
}

static void on_files_listed(void *arg, int code, const char *error,
                            const Rask__Control__ListFilesOk *files)
{
    if (code < 0)
        rpc_fail(arg, code, "%s", error);
    else
        rpc_reply(arg, &files->base);
}

static void read_file(struct tm *tm, const Rask__Control__ReadFile *read, struct rpc_request *request)
{
    struct tm_spawner *spawner = tm->options.spawner;
    struct id job_id;

    if (!spawner->ops->read_file)
        rpc_fail(request, ERR_UNSUPPORTED, "this TaskManager keeps no files");
    else if (read->has_job_id && !rpc_id(&read->job_id, &job_id))
        rpc_fail(request, ERR_INVALID, "a job id has 16 bytes, not %zu", read->job_id.len);
    else if (strchr(read->name, '/') || read->name[0] == '.' || !read->name[0])
        rpc_fail(request, ERR_INVALID, "\"%.200s\" is not the name of a file in the log folder",
                 read->name);
    else
        spawner->ops->read_file(spawner, read->has_job_id ? &job_id : NULL, read->worker_index, read->name, read->offset,
                                MIN(read->max, 4u << 20), on_file_read, request);
}

static void job_over(struct tm *tm, const Rask__Control__JobOver *over, struct rpc_request *request)
{
    struct id job_id;

    if (!rpc_id(&over->job_id, &job_id)) {
        rpc_fail(request, ERR_INVALID, "a job id has 16 bytes, not %zu", over->job_id.len);
        return;
    }
    tm_local_job_over(tm, &job_id);
    rpc_ok(request);
}

static void on_request(void *arg, struct rpc_peer *peer, enum rpc_method method,
                       const ProtobufCMessage *message, struct rpc_request *request)
{
    struct tm *tm = MAGIC_CAST(arg, struct tm, TM_MAGIC);
    struct tm_spawner *spawner = tm->options.spawner;

    (void)peer;
    switch (method) {
    case RPC_START_WORKER:
        tm_worker_start(tm, (const void *)message, request);
        break;
    case RPC_STOP_WORKER:
        tm_worker_stop(tm, (const void *)message, request);
        break;
    case RPC_JOB_OVER:
        job_over(tm, (const void *)message, request);
        break;
    case RPC_READ_FILE:
        read_file(tm, (const void *)message, request);
        break;
    case RPC_LIST_FILES:
        if (spawner->ops->list_files)
            spawner->ops->list_files(spawner, on_files_listed, request);
        else
            rpc_fail(request, ERR_UNSUPPORTED, "this TaskManager keeps no files");
        break;
    default:
        rpc_fail(request, ERR_UNSUPPORTED, "a TaskManager does not answer %s", rpc_method_name(method));
    }
}

static void on_close(void *arg, struct rpc_peer *peer, const struct err *why)
{
    struct tm *tm = MAGIC_CAST(arg, struct tm, TM_MAGIC);

    CHECK(tm->peer == peer);
    if (tm->registered)
        env_log(tm->env, LOG_WARN, "taskmanager", NULL, "lost %s: stopping %zu workers, registering again",
                why->text, map_size(tm->workers));
    tm->peer = NULL;
    give_up_peer(tm, why);
}

static const struct rpc_handler handler = {
    .on_ready = on_ready,
    .on_request = on_request,
    .on_close = on_close,
};

static void connect_now(struct tm *tm)
{
    struct rpc_identity identity = {.role = RASK__CONTROL__ROLE__TASKMANAGER, .taskmanager_id = tm->id,
                                    .tls = tm->options.tls};

    CHECK(tm->peer == NULL);
    tm->peer = rpc_connect(tm->env, tm->options.jobmanager_address, &identity, &handler, tm);
}

void tm_jobmanager_init(struct tm *tm)
{
    tm->retry.cb = on_retry;
    tm->report.cb = on_report;
    tm->retry_ms = first_wait_ms(tm);
    tm->lost_ns = env_now_ns(tm->env);
    connect_now(tm);
}

void tm_jobmanager_release(struct tm *tm)
{
    env_timer_cancel(tm->env, &tm->retry);
    env_timer_cancel(tm->env, &tm->report);
    if (tm->peer)
        rpc_close(tm->peer);
    tm->peer = NULL;
    tm->registered = false;
    mem_free(tm->last_failure);
    tm->last_failure = NULL;
}
