/*
 * main.c - rask-worker: the tasks of one job in a process of their own. Started by rask-taskmanager alone.
 * Thread: main, which runs the loop; tasks run on the executor's threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/conf/work_folder.h"
#include "common/env/env.h"
#include "common/env/slice_posix.h"
#include "common/net/tls.h"
#include "common/rpc/rpc.h"
#include "connectors/connectors.h"
#include "taskmanager/pipe/pipe.h"
#include "taskmanager/worker/crash_posix.h"
#include "taskmanager/worker/loader_posix.h"
#include "taskmanager/worker/store/store.h"
#include "taskmanager/worker/store/store_conf.h"
#include "taskmanager/worker/task/executor_conf.h"
#include "taskmanager/worker/task/fd_watch_posix.h"
#include "taskmanager/worker/wk.h"

#define LOOP_SLICE_NS 100000u /* rows of all tasks go through this thread: it goes first when it wakes */


struct program {
    struct env *env;
    struct wk *wk;
    struct wk_loader *loader;
    struct wk_executor *executor;
    struct fd_watch *fds;
    struct pipe_start start;
    struct net_tls *tls; /* NULL: connections in clear */
    struct wk_stores *stores;
    char *store_dir;     /* owned */
    bool remove_store_dir;
    struct arena arena;
    uint8_t message[PIPE_MESSAGE_MAX];
    void *pipe_watch;
    int exit_code;
};

/* ---- what the worker core asks ---- */

static void on_done(void *arg, int exit_code, const char *reason)
{
    struct program *p = arg;
    struct bytes text;
    struct err err;

    bytes_init(&text);
    bytes_add_u8(&text, PIPE_DONE);
    bytes_add_u32(&text, (uint32_t)exit_code);
    bytes_add_str(&text, reason);
    if (pipe_send(PIPE_FD, text.data, MIN(text.len, (size_t)4096), -1, &err) < 0)
        log_printf(LOG_WARN, "worker", "%s", err.text);
    bytes_release(&text);
    p->exit_code = exit_code;
    env_libevent_stop(p->env);
}

static bool watch_fd(void *arg, int fd, struct wk_runnable *task)
{
    return wk_fd_watch_add(((struct program *)arg)->fds, fd, task);
}

static void unwatch_fd(void *arg, int fd)
{
    wk_fd_watch_remove(((struct program *)arg)->fds, fd);
}

static bool turn(void *arg, uint64_t until_ns)
{
    return env_libevent_turn(((struct program *)arg)->env, until_ns);
}

static void interrupt(void *arg)
{
    env_libevent_interrupt(((struct program *)arg)->env);
}

static int build_plan(void *arg, const Rask__Control__StartWorker *start, struct bytes *ret, struct err *err)
{
    struct program *p = arg;
    size_t n = start->n_plan_params;
    char **argv = mem_alloc_array(2 * n + 1, sizeof(*argv));
    int code;

    for (size_t i = 0; i < n; i++) {
        argv[2 * i] = mem_printf("--%s", start->plan_params[i]->key);
        argv[2 * i + 1] = mem_strdup(start->plan_params[i]->value);
    }
    code = wk_loader_posix_build(p->loader, start->plan_artifact.data, start->plan_entry, argv, (int)(2 * n), ret, err);
    for (size_t i = 0; i < 2 * n; i++)
        mem_free(argv[i]);
    mem_free(argv);
    return code;
}

/* ---- the start pipe ---- */

static void accept_passed(struct program *p, size_t len, int fd)
{
    struct arena arena;
    Rask__Control__Hello *hello = NULL;

    arena_init(&arena);
    if (p->message[0] == PIPE_CONN && fd >= 0)
        hello = (void *)rpc_unpack(&rask__control__hello__descriptor, p->message + 1, len - 1, &arena);
    if (hello)
        wk_accept(p->wk, net_libevent_adopt_fd(p->env->net, fd), hello);
    else if (fd >= 0)
        close(fd);
    arena_release(&arena);
}

/* What is on disk is of no use to anybody else. After a kill, the next worker removes it. Compactions may still run: the name
 * goes first, so that they make no file in a folder that is being emptied. */
static void remove_stores(const struct program *p)
{
    char *gone;

    if (!p->store_dir || !p->remove_store_dir)
        return;
    gone = mem_printf("%s-over", p->store_dir);
    work_folder_remove(rename(p->store_dir, gone) == 0 ? gone : p->store_dir);
    mem_free(gone);
}

static void on_pipe(int pipe_fd, void *arg)
{
    struct program *p = arg;
    struct err err = {0};
    ssize_t got;
    int fd;

    while ((got = pipe_receive(pipe_fd, p->message, sizeof(p->message), false, &fd, &err)) > 0)
        accept_passed(p, (size_t)got, fd);
    if (got == ERR_UNAVAILABLE)
        return;
    /* The supervisor wants the end, or is gone. Tasks may be inside user code: nobody waits for them. */
    log_printf(LOG_INFO, "worker", "ends: the TaskManager asked for it");
    remove_stores(p);
    log_close();
    wk_crash_leaving();
    _exit(0);
}

static int receive_start(struct program *p, struct err *err)
{
    struct stat st;
    ssize_t got;
    int fd;

    if (fstat(PIPE_FD, &st) < 0 || !S_ISSOCK(st.st_mode))
        return err_set(err, ERR_INVALID, "rask-worker is started by rask-taskmanager, not by hand");
    got = pipe_receive(PIPE_FD, p->message, sizeof(p->message), true, &fd, err);
    if (fd >= 0)
        close(fd);
    if (got < 0)
        return (int)got;
    arena_init(&p->arena);
    return pipe_decode_start(arena_dup(&p->arena, p->message, (size_t)got), (size_t)got, &p->arena, &p->start, err);
}

/* ---- main ---- */

static int open_log(const struct pipe_start *start, struct err *err)
{
    struct log_options o = {.path = start->log_path[0] ? start->log_path : NULL,
                            .modules = start->log_modules[0] ? start->log_modules : NULL,
                            .rotate_bytes = start->log_rotate_bytes,
                            .rotate_keep = start->log_keep};
    int code = log_parse_level(start->log_level, &o.level);

    return code < 0 ? err_set(err, code, "unknown log level \"%s\"", start->log_level) : log_open(&o, err);
}

static void hook(const char *message)
{
    log_write(LOG_ERROR, "worker", "", message);
}

/* It holds no certificate and trusts none: the secret of its job is all that it proves and asks for. */
static int start_tls(struct program *p, struct err *err)
{
    struct tls_options options = {.ciphers = {"security.ssl.algorithms", p->start.start->tls_ciphers}};

    return p->start.start->tls_ciphers ? tls_context_new(&options, &p->tls, err) : 0;
}

static int run(struct program *p, struct err *err)
{
    const Rask__Control__StartWorker *start = p->start.start;
    struct wk_options options = {.start = start, .taskmanager_id = p->start.taskmanager_id, .pid = getpid(),
                                 .network_bytes = p->start.network_bytes, .state_bytes = p->start.state_bytes,
                                 .local_dir = p->start.local_dir[0] ? p->start.local_dir : NULL,
                                 .out_fd = 1, .err_fd = 2, .connectors = connectors_builtin, .watch_fd = watch_fd, .unwatch_fd = unwatch_fd,
                                 .build_plan = build_plan, .on_done = on_done, .arg = p};
    struct wk_executor_options executor = wk_executor_conf(start, (uint32_t)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1));
    int code;

    executor.on_thread = wk_crash_thread_start;
    executor.loop = (struct wk_executor_loop){turn, interrupt, p};
    p->env = env_libevent_new(NULL);
    env_libevent_take_turns(p->env);
    p->loader = wk_loader_posix_new(p->start.tmp_dir);
    p->fds = wk_fd_watch_new(p->env);
    p->executor = wk_executor_posix_new(&executor);
    options.executor = p->executor;
    options.loader = p->loader;
    code = start_tls(p, err);
    if (code < 0)
        return code;
    options.tls = p->tls;
    code = wk_store_folder(start, p->start.tmp_dir, &p->store_dir, &p->remove_store_dir, err);
    if (code < 0)
        return code;
    options.stores = p->stores = wk_stores_leveldb_new(p->store_dir);
    code = wk_new(p->env, &options, &p->wk, err);
    if (code < 0)
        return code;
    env_thread_slice(LOOP_SLICE_NS);
    p->pipe_watch = env_libevent_watch_fd(p->env, PIPE_FD, on_pipe, p);
    wk_executor_posix_serve(p->executor);
    return 0;
}

int main(int argc, char **argv)
{
    static struct program p;
    struct err err = {0};

    (void)argv;
    (void)argc;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit (ulimit -f) is an error of the write, not the end */
    if (receive_start(&p, &err) < 0) {
        fprintf(stderr, "rask-worker: %s\n", err.text);
        return 1;
    }
    fcntl(PIPE_FD, F_SETFD, FD_CLOEXEC);
    if (open_log(&p.start, &err) < 0) {
        fprintf(stderr, "rask-worker: %s\n", err.text);
        return 1;
    }
    wk_crash_install(PIPE_FD);
    check_set_hook(hook);
    log_printf(LOG_INFO, "worker", "rask-worker %s, build %s, job \"%s\", worker %u, %u slots, %llu MiB (blocks %llu, state %llu), "
               "pid %d", RASK_VERSION, __VERSION__, p.start.start->job_name, p.start.start->worker_index, p.start.start->slots,
               (unsigned long long)(p.start.start->budget_bytes >> 20), (unsigned long long)(p.start.network_bytes >> 20),
               (unsigned long long)(p.start.state_bytes >> 20), (int)getpid());
    if (run(&p, &err) < 0) {
        log_printf(LOG_ERROR, "worker", "%s", err.text);
        on_done(&p, 1, err.text);
    }
    /* Threads of the executor, and of the user, may still be inside functions of the job: the process ends without them. */
    remove_stores(&p);
    fflush(NULL);
    log_close();
    wk_crash_leaving();
    _exit(p.exit_code);
}
