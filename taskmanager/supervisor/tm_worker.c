/*
 * tm_worker.c - the workers of this TaskManager: start, stop, the watch over their memory, their end.
 * Thread: the loop.
 */
#include <stdio.h>
#include <string.h>

#include "taskmanager/supervisor/tm_private.h"

enum { NEVER_STARTED = -1 }; /* in place of a pid */

static struct tm_key key_of(const struct id *job_id, uint64_t job_epoch, uint32_t process)
{
    struct tm_key key;

    memcpy(key.bytes, job_id->bytes, sizeof(job_id->bytes));
    memcpy(key.bytes + sizeof(job_id->bytes), &job_epoch, sizeof(job_epoch));
    memcpy(key.bytes + sizeof(job_id->bytes) + sizeof(job_epoch), &process, sizeof(process));
    return key;
}

struct tm_worker *tm_worker_of(struct tm *tm, const struct id *job_id, uint64_t job_epoch, uint32_t process)
{
    struct tm_key key = key_of(job_id, job_epoch, process);

    return map_get(tm->workers, key.bytes, sizeof(key.bytes));
}

static void worker_free(struct tm_worker *worker)
{
    mem_free(worker->job_name);
    mem_free(worker->why_stopped);
    worker->magic = 0;
    mem_free(worker);
}

/* ---- the end ---- */

static void remember(struct tm *tm, const struct tm_worker *worker, int32_t pid)
{
    if (map_size(tm->ended) == TM_ENDED_MAX) {
        struct map_iter it = map_iter(tm->ended);

        CHECK(map_next(&it));
        map_remove(tm->ended, it.key, it.key_len);
    }
    map_put(tm->ended, worker->key.bytes, sizeof(worker->key.bytes), (void *)(intptr_t)pid);
}

static void on_exit_of(void *arg, const struct tm_worker_exit *exit)
{
    struct tm_worker *worker = MAGIC_CAST(arg, struct tm_worker, TM_WORKER_MAGIC);
    struct tm *tm = worker->tm;

    map_remove(tm->workers, worker->key.bytes, sizeof(worker->key.bytes));
    tm_obituary_add(worker, exit);
    remember(tm, worker, worker->pid);
    worker_free(worker);
    if (map_size(tm->workers) == 0)
        env_timer_cancel(tm->env, &tm->watch);
    tm_maybe_stopped(tm);
}

void tm_worker_kill(struct tm_worker *worker, bool at_once, const char *fmt, ...)
{
    struct tm_spawner *spawner = worker->tm->options.spawner;
    va_list ap;

    if (!worker->why_stopped) { /* the first reason is the cause */
        va_start(ap, fmt);
        worker->why_stopped = mem_vprintf(fmt, ap);
        va_end(ap);
    }
    spawner->ops->kill(spawner, worker->handle, at_once);
}

void tm_worker_kill_all(struct tm *tm, bool at_once, const char *why)
{
    for (struct map_iter it = map_iter(tm->workers); map_next(&it);) {
        struct tm_worker *worker = it.value;

        worker->expected = true;
        tm_worker_kill(worker, at_once, "worker of job \"%s\" was stopped: %s", worker->job_name, why);
    }
}

/* ---- memory ---- */

/* "1728m" when it is whole MiB. */
static const char *size_text(uint64_t bytes, char out[32])
{
    snprintf(out, 32, "%llum", (unsigned long long)(bytes >> 20));
    return out;
}

static void on_memory(void *arg, uint64_t pss_bytes)
{
    struct tm_worker *worker = MAGIC_CAST(arg, struct tm_worker, TM_WORKER_MAGIC);
    struct tm *tm = worker->tm;
    char size[32];

    worker->memory_asked = false;
    worker->pss_bytes = pss_bytes;
    worker->peak_bytes = MAX(worker->peak_bytes, pss_bytes);
    if (worker->budget_bytes == 0 || pss_bytes <= worker->budget_bytes || worker->why_stopped)
        return;
    tm_worker_kill(worker, true,
                   "worker of job \"%s\" uses %llu MiB, more than the %llu MiB of its %u slot%s "
                   "(taskmanager.memory.process.size %s, taskmanager.numberOfTaskSlots %u): raise the "
                   "first, lower the second, or let the job keep less in memory",
                   worker->job_name, (unsigned long long)((pss_bytes + (1u << 20) - 1) >> 20),
                   (unsigned long long)(worker->budget_bytes >> 20), worker->slots,
                   worker->slots == 1 ? "" : "s", size_text(tm->process_bytes, size), tm->slots);
}

/*
 * The exact figure costs the kernel a walk over all pages: for hundreds of idle workers more than what they do.  Of the quick one,
 * too, every other look will do while a worker uses less than half of its budget.
 */
static bool memory_is_due(struct tm_worker *worker)
{
    const struct tm_spawner *spawner = worker->tm->options.spawner;
    uint64_t known = worker->pss_bytes + worker->pss_bytes / 4 + TM_MEMORY_STEP_BYTES;

    if (worker->budget_bytes > 0)
        known = MIN(known, worker->budget_bytes);
    if (worker->pss_bytes == 0 || ++worker->looks >= TM_EXACT_LOOKS || !spawner->ops->memory_may_exceed)
        return true;
    if (worker->looks % 2 == 0 && worker->pss_bytes < worker->budget_bytes / 2)
        return false;
    return spawner->ops->memory_may_exceed(worker->tm->options.spawner, worker->handle, known);
}

static void on_watch(struct env_timer *timer)
{
    struct tm *tm = CONTAINER_OF(timer, struct tm, watch);
    struct tm_spawner *spawner = tm->options.spawner;

    for (struct map_iter it = map_iter(tm->workers); map_next(&it);) {
        struct tm_worker *worker = it.value;

        if (worker->memory_asked || !memory_is_due(worker))
            continue;
        worker->looks = 0;
        worker->memory_asked = true;
        spawner->ops->memory(spawner, worker->handle, on_memory, worker);
    }
    env_timer_arm_ms(tm->env, &tm->watch, TM_WATCH_MS);
}

/* ---- start and stop ---- */

static int check_start(const struct tm *tm, const Rask__Control__StartWorker *start, struct id *ret_job,
                       struct err *err)
{
    if (!rpc_id(&start->job_id, ret_job))
        return err_set(err, ERR_INVALID, "a job id has 16 bytes, not %zu", start->job_id.len);
    if (start->secret.len != 32)
        return err_set(err, ERR_INVALID, "a job's secret has 32 bytes, not %zu", start->secret.len);
    if (start->slots > tm->slots)
        return err_set(err, ERR_LIMIT, "asked for %u slots, this TaskManager has %u", start->slots,
                       tm->slots);
    if (tm->options.tls_data && !(start->has_tls_data && start->tls_data))
        return err_set(err, ERR_PERMISSION, "data between workers would not be encrypted: the JobManager says "
                                            "taskmanager.data.ssl.enabled: false, here it is true");
    if (tm->stopping)
        return err_set(err, ERR_UNAVAILABLE, "this TaskManager is shut down");
    return 0;
}

static void reply_pid(struct rpc_request *request, int32_t pid)
{
    Rask__Control__StartWorkerOk ok = RASK__CONTROL__START_WORKER_OK__INIT;

    ok.pid = pid;
    rpc_reply(request, &ok.base);
}

/*
 * Asked again, because an answer was lost: the answer is the same, though the worker may have ended meanwhile.  What could not be
 * started is not tried again either: its JobManager may have given the slots to somebody else.
 */
static bool start_repeated(struct tm *tm, const struct id *job_id, const Rask__Control__StartWorker *start,
                           struct rpc_request *request)
{
    const struct tm_worker *worker = tm_worker_of(tm, job_id, start->job_epoch, start->process);
    struct tm_key key = key_of(job_id, start->job_epoch, start->process);
    int32_t pid = worker ? worker->pid : (int32_t)(intptr_t)map_get(tm->ended, key.bytes, sizeof(key.bytes));

    if (pid == 0)
        return false;
    ENV_PROBE(tm->env, "taskmanager: a start is repeated");
    if (pid == NEVER_STARTED)
        rpc_fail(request, ERR_IO, "process %u of the job could not be started before", start->process);
    else
        reply_pid(request, pid);
    return true;
}

void tm_worker_start(struct tm *tm, const Rask__Control__StartWorker *start, struct rpc_request *request)
{
    struct tm_spawner *spawner = tm->options.spawner;
    struct tm_worker *worker;
    struct err err = {0};
    struct id job_id;
    char id[ID_TEXT_MAX];

    if (check_start(tm, start, &job_id, &err) < 0) {
        rpc_fail(request, err.code, "%s", err.text);
        return;
    }
    if (start_repeated(tm, &job_id, start, request))
        return;
    worker = MEM_NEW(struct tm_worker);
    worker->magic = TM_WORKER_MAGIC;
    worker->tm = tm;
    worker->key = key_of(&job_id, start->job_epoch, start->process);
    worker->job_id = job_id;
    worker->job_epoch = start->job_epoch;
    worker->process = start->process;
    worker->job_name = mem_strdup(start->job_name);
    worker->slots = start->slots;
    worker->budget_bytes = start->budget_bytes;
    worker->fence = rpc_fence(tm->peer);
    worker->handle = spawner->ops->spawn(spawner, start, &tm->id, tm->data_address, on_exit_of, worker,
                                         &worker->pid, &err);
    if (!worker->handle) {
        remember(tm, worker, NEVER_STARTED);
        worker_free(worker);
        rpc_fail(request, err.code < 0 ? err.code : ERR_IO, "cannot start a worker: %s", err.text);
        return;
    }
    map_put(tm->workers, worker->key.bytes, sizeof(worker->key.bytes), worker);
    if (!tm->watch.armed && spawner->ops->memory)
        env_timer_arm_ms(tm->env, &tm->watch, TM_WATCH_MS);
    env_log(tm->env, LOG_INFO, "taskmanager", id_format(&job_id, id),
            "started worker %u of job \"%s\", pid %d, %u slots, %llu MiB", start->worker_index,
            worker->job_name, worker->pid, worker->slots,
            (unsigned long long)(worker->budget_bytes >> 20));
    reply_pid(request, worker->pid);
}

void tm_worker_stop(struct tm *tm, const Rask__Control__StopWorker *stop, struct rpc_request *request)
{
    struct tm_worker *worker;
    struct id job_id;

    if (!rpc_id(&stop->job_id, &job_id)) {
        rpc_fail(request, ERR_INVALID, "a job id has 16 bytes, not %zu", stop->job_id.len);
        return;
    }
    worker = tm_worker_of(tm, &job_id, stop->job_epoch, stop->process);
    if (!worker && !tm_obituary_pending(tm, stop)) {
        rpc_fail(request, ERR_NOT_FOUND, "no worker of this job and epoch runs here");
        return;
    }
    if (worker) { /* else it has ended, and its obituary is on its way */
        worker->expected = true;
        tm_worker_kill(worker, stop->has_kill && stop->kill, "worker of job \"%s\" was stopped: %s",
                       worker->job_name, stop->reason);
    }
    rpc_ok(request);
}

Rask__Control__WorkerStatus **tm_worker_statuses(struct tm *tm, struct arena *arena, size_t *ret_count)
{
    size_t count = map_size(tm->workers), i = 0;
    Rask__Control__WorkerStatus **list = arena_alloc(arena, (count + 1) * sizeof(*list));

    for (struct map_iter it = map_iter(tm->workers); map_next(&it);) {
        struct tm_worker *worker = it.value;
        Rask__Control__WorkerStatus *status = arena_alloc(arena, sizeof(*status));

        rask__control__worker_status__init(status);
        status->job_id = rpc_id_data(&worker->job_id);
        status->job_epoch = worker->job_epoch;
        status->pid = worker->pid;
        status->has_pss_bytes = worker->pss_bytes > 0;
        status->pss_bytes = worker->pss_bytes;
        status->has_budget_bytes = true;
        status->budget_bytes = worker->budget_bytes;
        list[i++] = status;
    }
    CHECK(i == count);
    *ret_count = count;
    return list;
}

void tm_worker_init(struct tm *tm)
{
    tm->workers = map_new();
    tm->ended = map_new();
    tm->watch.cb = on_watch;
}

void tm_worker_release(struct tm *tm)
{
    env_timer_cancel(tm->env, &tm->watch);
    for (struct map_iter it = map_iter(tm->workers); map_next(&it);) {
        struct tm_worker *worker = it.value;

        map_remove(tm->workers, it.key, it.key_len);
        worker_free(worker);
    }
    map_free(tm->workers);
    map_free(tm->ended);
}
