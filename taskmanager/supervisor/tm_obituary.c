/*
 * tm_obituary.c - why a worker ended, in one sentence and with what is known; told to the JobManager until it confirms.
 *
 * An obituary outlives a broken connection, not the term of the JobManager that had asked for the worker.
 * Thread: the loop.
 */
#include <signal.h>
#include <string.h>

#include "common/base/bytes.h"
#include "taskmanager/supervisor/tm_private.h"

static const struct {
    int number;
    const char *name, *meaning;
} signals[] = {
    {SIGSEGV, "SIGSEGV", "it used memory that is not its own"},
    {SIGBUS, "SIGBUS", "it used memory that has no file or page behind it"},
    {SIGFPE, "SIGFPE", "it divided by zero"},
    {SIGILL, "SIGILL", "it ran into an illegal instruction"},
    {SIGABRT, "SIGABRT", "it called abort()"},
    {SIGTRAP, "SIGTRAP", "it ran into a trap"},
    {SIGSYS, "SIGSYS", "it made a forbidden system call"},
    {SIGPIPE, "SIGPIPE", "it wrote to a closed pipe"},
    {SIGTERM, "SIGTERM", "somebody asked it to end"},
    {SIGINT, "SIGINT", "somebody interrupted it"},
    {SIGKILL, "SIGKILL", "somebody killed it, or the kernel did because the host has no memory left"},
    {SIGXCPU, "SIGXCPU", "it reached its limit of processor time"},
};

static void add_cause(struct bytes *text, const struct tm_worker_exit *exit)
{
    if (exit->signal <= 0) {
        bytes_printf(text, "ended by itself with exit code %d", exit->exit_code);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        if (signals[i].number == exit->signal) {
            bytes_printf(text, "was ended by %s (%s)", signals[i].name, signals[i].meaning);
            return;
        }
    }
    bytes_printf(text, "was ended by signal %d", exit->signal);
}

/* What a program that calls abort() has printed just before, such as a failed assertion, a broken heap or an exception
 * that nobody caught: the last line of its log that is no log line. */
static void add_last_words(struct bytes *text, const char *last_log)
{
    static const char what[] = "what():";
    const char *line = last_log, *found = NULL;

    while (line && *line) {
        const char *end = strchr(line, '\n');
        bool is_log = line[0] >= '0' && line[0] <= '9';

        if (!is_log && strncmp(line, "ended by ", 9) != 0 && line[0] != '\n')
            found = line;
        line = end ? end + 1 : NULL;
    }
    if (!found)
        return;
    found += strspn(found, " ");
    bytes_add_str(text, ": ");
    if (strncmp(found, what, sizeof(what) - 1) == 0) {
        found += sizeof(what) - 1;
        found += strspn(found, " ");
        bytes_add_str(text, "exception that nobody caught: ");
    }
    bytes_add(text, found, MIN(strcspn(found, "\n"), (size_t)300));
}

/* The sentence that REST shows. */
static char *sentence(const struct tm_worker *worker, const struct tm_worker_exit *exit)
{
    struct bytes text;

    if (worker->why_stopped)
        return mem_strdup(worker->why_stopped);
    bytes_init(&text);
    bytes_printf(&text, "worker of job \"%s\" (pid %d) ", worker->job_name, worker->pid);
    if (exit->done && exit->reason) {
        bytes_printf(&text, "ended: %s", exit->reason);
    } else {
        add_cause(&text, exit);
        if (exit->task)
            bytes_printf(&text, " in task %s", exit->task);
        if (exit->operator_name && (!exit->task || strcmp(exit->operator_name, exit->task) != 0))
            bytes_printf(&text, ", operator \"%s\"", exit->operator_name);
        if (exit->reason)
            bytes_printf(&text, ": %s", exit->reason);
        else if (exit->signal == SIGABRT)
            add_last_words(&text, exit->last_log);
        else if (exit->signal <= 0)
            bytes_add_str(&text, ": the functions of a job must not end their process");
    }
    return bytes_take_str(&text);
}

static void obituary_free(struct tm_obituary *obituary)
{
    list_remove(&obituary->in_tm);
    arena_release(&obituary->arena);
    mem_free(obituary);
}

static void on_sent(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct tm_obituary *obituary = arg;
    struct tm *tm = MAGIC_CAST(obituary->tm, struct tm, TM_MAGIC);
    char id[ID_TEXT_MAX];
    struct id job_id;

    (void)response;
    obituary->call = 0;
    if (error && (error->code == ERR_CLOSED || error->code == ERR_TIMEOUT))
        return; /* sent again with the next report or registration */
    if (error && rpc_id(&obituary->message.job_id, &job_id))
        env_log(tm->env, LOG_WARN, "taskmanager", id_format(&job_id, id),
                "the JobManager does not take the obituary: %s", error->text);
    obituary_free(obituary);
}

static void send_one(struct tm *tm, struct tm_obituary *obituary)
{
    if (obituary->sent)
        ENV_PROBE(tm->env, "taskmanager: an obituary is repeated");
    obituary->sent = true;
    obituary->call = rpc_call(tm->peer, RPC_WORKER_EXITED, &obituary->message.base, 0, on_sent, obituary);
}

void tm_obituary_send_all(struct tm *tm)
{
    if (!tm->registered)
        return;
    LIST_FOREACH_SAFE(node, &tm->obituaries) {
        struct tm_obituary *obituary = LIST_ENTRY(node, struct tm_obituary, in_tm);

        if (obituary->fence != rpc_fence(tm->peer))
            obituary_free(obituary);
        else if (obituary->call == 0)
            send_one(tm, obituary);
    }
}

bool tm_obituary_pending(const struct tm *tm, const Rask__Control__StopWorker *stop)
{
    LIST_FOREACH(node, &tm->obituaries) {
        const Rask__Control__WorkerExited *message = &LIST_ENTRY(node, struct tm_obituary, in_tm)->message;

        if (message->job_epoch == stop->job_epoch && message->process == stop->process &&
            message->job_id.len == stop->job_id.len &&
            memcmp(message->job_id.data, stop->job_id.data, stop->job_id.len) == 0)
            return true;
    }
    return false;
}

static char *copy(struct arena *arena, const char *text)
{
    return text ? arena_strdup(arena, text) : NULL;
}

static size_t obituary_count(const struct tm *tm)
{
    size_t n = 0;

    LIST_FOREACH(node, &tm->obituaries)
        n++;
    return n;
}

/* Makes room: the oldest one goes. */
static void drop_oldest(struct tm *tm)
{
    struct tm_obituary *oldest = LIST_ENTRY(tm->obituaries.next, struct tm_obituary, in_tm);

    if (oldest->call && tm->peer)
        rpc_call_cancel(tm->peer, oldest->call);
    obituary_free(oldest);
}

void tm_obituary_add(struct tm_worker *worker, const struct tm_worker_exit *exit)
{
    struct tm *tm = worker->tm;
    struct tm_obituary *obituary = MEM_NEW(struct tm_obituary);
    Rask__Control__WorkerExited *message = &obituary->message;
    char *reason = sentence(worker, exit);
    char id[ID_TEXT_MAX];

    if (obituary_count(tm) >= TM_OBITUARIES_MAX)
        drop_oldest(tm);
    arena_init(&obituary->arena);
    obituary->tm = tm;
    obituary->fence = worker->fence;
    rask__control__worker_exited__init(message);
    message->job_id = rpc_id_data(arena_dup(&obituary->arena, &worker->job_id, sizeof(struct id)));
    message->job_epoch = worker->job_epoch;
    message->has_process = true;
    message->process = worker->process;
    message->pid = worker->pid;
    message->has_exit_code = exit->signal <= 0;
    message->exit_code = exit->exit_code;
    message->has_signal = exit->signal > 0;
    message->signal = exit->signal;
    message->reason = arena_strdup(&obituary->arena, reason);
    message->task = copy(&obituary->arena, exit->task);
    message->operator_ = copy(&obituary->arena, exit->operator_name);
    message->stack = copy(&obituary->arena, exit->stack);
    message->last_log = copy(&obituary->arena, exit->last_log);
    message->has_peak_bytes = true;
    message->peak_bytes = MAX(worker->peak_bytes, exit->peak_bytes);
    message->has_expected = true;
    message->expected = worker->expected || exit->done;
    list_push_back(&tm->obituaries, &obituary->in_tm);
    env_log(tm->env, message->expected ? LOG_INFO : LOG_ERROR, "taskmanager",
            id_format(&worker->job_id, id), "%s%s%s", reason, exit->stack ? "\n" : "",
            exit->stack ? exit->stack : "");
    mem_free(reason);
    if (tm->registered && rpc_fence(tm->peer) == obituary->fence)
        send_one(tm, obituary);
}

void tm_obituary_release(struct tm *tm)
{
    while (!list_empty(&tm->obituaries))
        obituary_free(LIST_ENTRY(tm->obituaries.next, struct tm_obituary, in_tm));
}
