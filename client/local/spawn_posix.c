/*
 * spawn_posix.c - workers in the process of the supervisor: see spawn.h.
 * Thread: the loop; steps run on the executor's threads.
 */
#include <unistd.h>

#include "client/local/spawn.h"
#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "connectors/connectors.h"
#include "taskmanager/worker/crash_posix.h"
#include "taskmanager/worker/loader_posix.h"
#include "taskmanager/worker/store/store.h"
#include "taskmanager/worker/task/executor_conf.h"
#include "taskmanager/worker/task/fd_watch_posix.h"
#include "taskmanager/worker/wk.h"

#define SPAWN_MAGIC 0x4c53504eu
#define END_POLL_MS 2 /* a worker that has to end waits for its steps */

struct local_spawn {
    struct tm_spawner base;
    uint32_t magic;
    struct env *env;
    const struct conf *conf;
    struct wk_executor *executor;
    struct fd_watch *fds;
    struct wk_loader *loader;
    struct wk_stores *stores;
    struct list workers;
};

struct local_worker {
    struct list in_spawn;
    struct local_spawn *spawn;
    struct wk *wk;
    tm_exit_fn *on_exit;
    void *arg;
    struct env_timer end;
    bool done;
    int exit_code;
    char *reason; /* owned */
};

static struct local_spawn *spawn_of(struct tm_spawner *base)
{
    return MAGIC_CAST(CONTAINER_OF(base, struct local_spawn, base), struct local_spawn, SPAWN_MAGIC);
}

static void worker_free(struct local_worker *w)
{
    env_timer_cancel(w->spawn->env, &w->end);
    list_remove(&w->in_spawn);
    mem_free(w->reason);
    mem_free(w);
}

static void on_end(struct env_timer *timer)
{
    struct local_worker *w = CONTAINER_OF(timer, struct local_worker, end);
    struct tm_worker_exit exit = {.exit_code = w->exit_code, .done = w->done, .reason = w->reason};

    if (!wk_is_idle(w->wk)) { /* a task that is over may still be in its last step */
        env_timer_arm_ms(w->spawn->env, &w->end, END_POLL_MS);
        return;
    }
    wk_free(w->wk);
    w->on_exit(w->arg, &exit);
    worker_free(w);
}

static void on_done(void *arg, int exit_code, const char *reason)
{
    struct local_worker *w = arg;

    w->done = true;
    w->exit_code = exit_code;
    mem_free(w->reason);
    w->reason = mem_strdup(reason);
    env_timer_arm(w->spawn->env, &w->end, 0);
}

static bool watch_fd(void *arg, int fd, struct wk_runnable *task)
{
    return wk_fd_watch_add(((struct local_worker *)arg)->spawn->fds, fd, task);
}

static void unwatch_fd(void *arg, int fd)
{
    wk_fd_watch_remove(((struct local_worker *)arg)->spawn->fds, fd);
}

/* One job is run here: its first worker says with which options. */
static struct wk_executor *executor_for(struct local_spawn *s, const Rask__Control__StartWorker *start)
{
    if (!s->executor) {
        struct wk_executor_options o = wk_executor_conf(start, (uint32_t)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1));

        o.on_thread = wk_crash_thread_start;
        s->executor = wk_executor_posix_new(&o);
    }
    return s->executor;
}

static void *spawn_op(struct tm_spawner *base, const Rask__Control__StartWorker *start, const struct id *taskmanager_id,
                      const char *data_address, tm_exit_fn *on_exit, void *arg, int32_t *ret_pid, struct err *err)
{
    struct local_spawn *s = spawn_of(base);
    struct local_worker *w = MEM_NEW(struct local_worker);
    struct wk_options options = {.start = start, .taskmanager_id = *taskmanager_id, .pid = getpid(),
                                 .executor = executor_for(s, start), .loader = s->loader, .stores = s->stores, .out_fd = 1, .err_fd = 2,
                                 .connectors = connectors_builtin, .watch_fd = watch_fd,
                                 .unwatch_fd = unwatch_fd, .on_done = on_done, .arg = w};

    (void)data_address;
    tm_worker_budgets(s->conf, start->budget_bytes, start->slots, &options.network_bytes, &options.state_bytes);
    w->spawn = s;
    w->on_exit = on_exit;
    w->arg = arg;
    w->end.cb = on_end;
    list_push_back(&s->workers, &w->in_spawn);
    if (wk_new(s->env, &options, &w->wk, err) < 0) {
        worker_free(w);
        return NULL;
    }
    *ret_pid = getpid();
    return w;
}

static void kill_op(struct tm_spawner *base, void *worker, bool at_once)
{
    struct local_worker *w = worker;

    (void)base;
    (void)at_once;
    if (!w->end.armed)
        env_timer_arm(w->spawn->env, &w->end, 0);
}

static void pass_op(struct tm_spawner *base, void *worker, struct net_conn *conn, const Rask__Control__Hello *hello)
{
    (void)base;
    wk_accept(((struct local_worker *)worker)->wk, conn, hello);
}

static const struct tm_spawner_ops ops = {.spawn = spawn_op, .kill = kill_op, .pass = pass_op};

struct tm_spawner *local_spawn_new(struct env *env, const struct local_spawn_options *options)
{
    struct local_spawn *s = MEM_NEW(struct local_spawn);

    s->base.ops = &ops;
    s->magic = SPAWN_MAGIC;
    s->env = env;
    s->conf = options->conf;
    s->fds = wk_fd_watch_new(env);
    s->loader = wk_loader_posix_new(options->dir);
    s->stores = wk_stores_leveldb_new(options->dir);
    list_init(&s->workers);
    return &s->base;
}

void local_spawn_free(struct tm_spawner *base)
{
    struct local_spawn *s;
    bool idle = true;

    if (!base)
        return;
    s = spawn_of(base);
    LIST_FOREACH_SAFE(node, &s->workers) {
        struct local_worker *w = LIST_ENTRY(node, struct local_worker, in_spawn);

        if (!wk_is_idle(w->wk)) { /* user code does not return: nothing below it can be freed */
            idle = false;
            continue;
        }
        wk_free(w->wk);
        worker_free(w);
    }
    if (!idle)
        return;
    wk_executor_posix_free(s->executor);
    wk_fd_watch_free(s->fds);
    wk_loader_posix_free(s->loader);
    s->magic = 0;
    mem_free(s);
}
