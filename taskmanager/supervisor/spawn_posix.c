/*
 * spawn_posix.c - starts worker processes, passes connections to them, reaps them and gathers why they ended.
 *
 * Between fork and exec the child calls only what is safe after a fork in a program with threads.
 * Thread: the loop.
 */
#include "taskmanager/supervisor/spawn_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/conf/work_folder.h"
#include "common/rpc/rpc.h"
#include "taskmanager/pipe/pipe.h"
#include "taskmanager/supervisor/spawn_private.h"

static struct spawn *spawn_of(struct tm_spawner *s)
{
    return MAGIC_CAST(CONTAINER_OF(s, struct spawn, base), struct spawn, SPAWN_MAGIC);
}

/* ---- the child ---- */

struct child {
    const char *program, *dir;
    char *const *argv;
    int pipe_fd, out_fd, log_fd, null_fd, error_fd;
    pid_t parent;
};

static void child_close_rest(int error_fd)
{
    /* Descriptors from 4 on are closed by exec; error_fd is one of them. */
    if (syscall(SYS_close_range, PIPE_FD + 1, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */) == 0)
        return;
    for (int fd = PIPE_FD + 1; fd < 65536; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)error_fd;
}

/* Never returns: the program, or its errno on error_fd. */
static _Noreturn void child_run(const struct child *c)
{
    struct rlimit no_core = {0, 0};
    struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigset_t none;
    int code = 0;

    for (int s = 1; s < NSIG; s++)
        sigaction(s, &by_default, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &no_core);
    if (getppid() != c->parent)
        _exit(127); /* the parent died before it could be noticed */
    if (dup2(c->null_fd, 0) < 0 || dup2(c->out_fd, 1) < 0 || dup2(c->log_fd, 2) < 0 ||
        dup2(c->pipe_fd, PIPE_FD) < 0 || chdir(c->dir) < 0)
        code = errno;
    child_close_rest(c->error_fd);
    if (code == 0) {
        execv(c->program, c->argv);
        code = errno;
    }
    if (write(c->error_fd, &code, sizeof(code)) < 0)
        _exit(126);
    _exit(127);
}

/* Descriptors of the parent lie above those that the child overwrites. */
static int above_stdio(int fd)
{
    int moved;

    if (fd < 0 || fd > PIPE_FD)
        return fd;
    moved = fcntl(fd, F_DUPFD_CLOEXEC, PIPE_FD + 1);
    close(fd);
    return moved;
}

static int run_program(struct spawn_worker *w, struct child *c, struct err *err)
{
    int errors[2], code = 0;
    pid_t pid;

    if (pipe2(errors, O_CLOEXEC) < 0)
        return err_errno(err, errno, "pipe");
    c->error_fd = above_stdio(errors[1]);
    c->parent = getpid();
    pid = fork();
    if (pid == 0)
        child_run(c);
    close(c->error_fd);
    if (pid < 0)
        err_errno(err, errno, "fork");
    else if (read(errors[0], &code, sizeof(code)) > 0) /* the end when exec has closed it */
        err_errno(err, code, "%s", c->program);
    close(errors[0]);
    if (pid > 0 && code != 0)
        waitpid(pid, NULL, 0);
    if (pid < 0 || code != 0)
        return err->code;
    w->pid = pid;
    return 0;
}

/* ---- the end ---- */

static void note_message(struct spawn_worker *w, uint8_t *data, size_t len)
{
    if (data[0] == PIPE_DONE && len >= 5) {
        w->done = true;
        mem_free(w->reason);
        data[len] = 0;
        w->reason = mem_strdup((const char *)data + 5);
    } else if (data[0] == PIPE_CRASH && !w->report) {
        data[len] = 0;
        w->report = mem_dup(data + 1, len);
        w->report_len = len;
    }
}

/* What the worker has said; true while there may come more. */
static bool drain(struct spawn_worker *w)
{
    uint8_t buffer[PIPE_REPORT_MAX + 1];
    struct err err = {0};
    ssize_t got;
    int fd;

    for (;;) {
        got = pipe_receive(w->fd, buffer, sizeof(buffer) - 1, false, &fd, &err);
        if (fd >= 0)
            close(fd);
        if (got <= 0)
            return got == ERR_UNAVAILABLE;
        note_message(w, buffer, (size_t)got);
    }
}

static void on_readable(int fd, void *arg)
{
    struct spawn_worker *w = arg;

    (void)fd;
    if (drain(w) || !w->watch)
        return;
    env_libevent_unwatch_fd(w->spawn->env, w->watch);
    w->watch = NULL;
}

static void worker_free(struct spawn_worker *w)
{
    env_timer_cancel(w->spawn->env, &w->deadline);
    if (w->watch)
        env_libevent_unwatch_fd(w->spawn->env, w->watch);
    if (w->fd >= 0)
        close(w->fd);
    if (w->statm >= 0)
        close(w->statm);
    list_remove(&w->in_spawn);
    if (w->log)
        spawn_log_ended(w->log);
    mem_free(w->log_path);
    mem_free(w->tmp_dir);
    mem_free(w->reason);
    mem_free(w->report);
    mem_free(w);
}

static const char *report_text(const struct spawn_worker *w, int index)
{
    const char *at = w->report, *end = w->report + w->report_len;

    while (at && index-- > 0) {
        at = memchr(at, 0, (size_t)(end - at));
        at = at && at + 1 < end ? at + 1 : NULL;
    }
    return at && *at ? at : NULL;
}

static void ended(struct spawn_worker *w, int status, const struct rusage *usage)
{
    struct tm_worker_exit exit = {.exit_code = -1, .done = false};
    char *last_log;

    kill(-w->pid, SIGKILL); /* what it has forked */
    drain(w);
    last_log = spawn_last_lines(w->log_path, w->log_start);
    if (WIFSIGNALED(status))
        exit.signal = WTERMSIG(status);
    else
        exit.exit_code = WEXITSTATUS(status);
    exit.done = w->done;
    exit.reason = w->reason && w->reason[0] ? w->reason : NULL;
    exit.task = report_text(w, 0);
    exit.operator_name = report_text(w, 1);
    exit.stack = report_text(w, 2);
    exit.last_log = last_log;
    exit.peak_bytes = (uint64_t)usage->ru_maxrss * 1024;
    w->on_exit(w->arg, &exit);
    mem_free(last_log);
    spawn_remove_folder(w->spawn->env, w->tmp_dir);
    w->tmp_dir = NULL;
    worker_free(w);
}

static void on_child(int signal_number, void *arg)
{
    struct spawn *s = MAGIC_CAST(arg, struct spawn, SPAWN_MAGIC);
    struct rusage usage;
    int status;

    (void)signal_number;
    LIST_FOREACH_SAFE(node, &s->workers) {
        struct spawn_worker *w = LIST_ENTRY(node, struct spawn_worker, in_spawn);

        if (wait4(w->pid, &status, WNOHANG, &usage) == w->pid)
            ended(w, status, &usage);
    }
}

/* ---- start ---- */

static int open_append(const char *path, struct err *err)
{
    int fd = above_stdio(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));

    if (fd < 0)
        err_errno(err, errno, "%s", path);
    return fd;
}

static int send_start(struct spawn_worker *w, const Rask__Control__StartWorker *start,
                      const struct id *taskmanager_id, const char *out_path, struct err *err)
{
    const struct conf *conf = w->spawn->conf;
    const char *modules = conf_string(conf, OPT_RASK_LOG_MODULES);
    struct pipe_start message = {.taskmanager_id = *taskmanager_id, .log_path = w->log_path,
                                 .out_path = out_path, .tmp_dir = w->tmp_dir, .start = start};
    char job[ID_TEXT_MAX], *local_dir;
    struct id job_id;
    struct bytes bytes;
    int code;

    CHECK(rpc_id(&start->job_id, &job_id));
    message.local_dir = local_dir = mem_printf("%s/%s", w->spawn->local_dir, id_format(&job_id, job));

    tm_worker_budgets(conf, start->budget_bytes, start->slots, &message.network_bytes, &message.state_bytes);
    message.log_level = conf_string(conf, OPT_ENV_LOG_LEVEL);
    message.log_modules = modules ? modules : "";
    message.log_rotate_bytes = conf_memory_bytes(conf, OPT_RASK_LOG_MAX_SIZE);
    message.log_keep = (uint32_t)conf_int(conf, OPT_ENV_LOG_MAX);
    bytes_init(&bytes);
    pipe_encode_start(&message, &bytes);
    code = pipe_send(w->fd, bytes.data, bytes.len, -1, err);
    bytes_release(&bytes);
    mem_free(local_dir);
    return code;
}

static int prepare_and_run(struct spawn_worker *w, const Rask__Control__StartWorker *start,
                           const struct id *taskmanager_id, const char *job, struct err *err)
{
    struct spawn *s = w->spawn;
    char *out_path = mem_printf("%s.out", w->log->stem);
    char *argv[] = {(char *)"rask-worker", (char *)job, start->job_name, NULL};
    struct child c = {.program = s->program, .dir = w->tmp_dir, .argv = argv, .pipe_fd = -1, .out_fd = -1,
                      .log_fd = -1, .null_fd = -1};
    int ends[2] = {-1, -1};
    struct stat st;
    int code = spawn_make_private_folder(w->tmp_dir, err);

    if (code < 0)
        goto out;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        code = err_errno(err, errno, "start pipe");
        goto out;
    }
    w->fd = ends[0];
    c.pipe_fd = above_stdio(ends[1]);
    c.log_fd = open_append(w->log_path, err);
    c.out_fd = c.log_fd < 0 ? -1 : open_append(out_path, err);
    c.null_fd = above_stdio(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (c.log_fd < 0 || c.out_fd < 0 || c.null_fd < 0) {
        code = c.null_fd < 0 ? err_errno(err, errno, "/dev/null") : err->code;
        goto out;
    }
    w->log_start = fstat(c.log_fd, &st) == 0 ? st.st_size : 0;
    code = send_start(w, start, taskmanager_id, out_path, err);
    if (code == 0)
        code = run_program(w, &c, err);
out:
    for (size_t i = 0; i < 4; i++) {
        int fd = (const int[]){c.pipe_fd, c.out_fd, c.log_fd, c.null_fd}[i];

        if (fd >= 0)
            close(fd);
    }
    mem_free(out_path);
    return code;
}

static void on_deadline(struct env_timer *timer)
{
    struct spawn_worker *w = CONTAINER_OF(timer, struct spawn_worker, deadline);

    kill(-w->pid, SIGKILL);
    kill(w->pid, SIGKILL);
}

static void *spawn_op(struct tm_spawner *base, const Rask__Control__StartWorker *start,
                      const struct id *taskmanager_id, const char *data_address, tm_exit_fn *on_exit, void *arg,
                      int32_t *ret_pid, struct err *err)
{
    struct spawn *s = spawn_of(base);
    struct spawn_worker *w = MEM_NEW(struct spawn_worker);
    struct id job_id;
    char job[ID_TEXT_MAX];

    (void)data_address; /* the worker learns addresses with its deployment */
    CHECK(rpc_id(&start->job_id, &job_id));
    id_format(&job_id, job);
    w->spawn = s;
    w->fd = w->statm = -1;
    w->on_exit = on_exit;
    w->arg = arg;
    w->deadline.cb = on_deadline;
    w->log = spawn_log_add(s, spawn_stem(s, job, start->worker_index));
    w->log_path = mem_printf("%s.log", w->log->stem);
    w->tmp_dir = mem_printf("%s/%s-%llu-%u", s->tmp_dir, job, (unsigned long long)start->job_epoch, start->process);
    list_push_back(&s->workers, &w->in_spawn);
    if (prepare_and_run(w, start, taskmanager_id, job, err) < 0) {
        spawn_remove_folder(s->env, w->tmp_dir);
        w->tmp_dir = NULL;
        worker_free(w);
        return NULL;
    }
    w->watch = env_libevent_watch_fd(s->env, w->fd, on_readable, w);
    *ret_pid = w->pid;
    return w;
}

static void kill_op(struct tm_spawner *base, void *worker, bool at_once)
{
    struct spawn_worker *w = worker;

    (void)base;
    if (at_once) {
        on_deadline(&w->deadline);
        return;
    }
    shutdown(w->fd, SHUT_WR); /* it reads the end, and may still say its last word */
    if (!w->deadline.armed)
        env_timer_arm_ms(w->spawn->env, &w->deadline, SPAWN_ASK_MS);
}

static void pass_op(struct tm_spawner *base, void *worker, struct net_conn *conn,
                    const Rask__Control__Hello *hello)
{
    struct spawn *s = spawn_of(base);
    struct spawn_worker *w = worker;
    size_t len = protobuf_c_message_get_packed_size(&hello->base);
    uint8_t *message = mem_alloc(len + 1);
    struct err err = {0};
    int fd;

    message[0] = PIPE_CONN;
    protobuf_c_message_pack(&hello->base, message + 1);
    fd = net_libevent_detach_fd(conn);
    if (fd < 0) {
        env_log_limited(s->env, &s->passes_failed, LOG_WARN, "taskmanager", NULL,
                "closing a data connection: it sent more than its handshake before it was answered");
        s->env->net->ops->close(conn);
    } else {
        if (pipe_send(w->fd, message, len + 1, fd, &err) < 0)
            env_log_limited(s->env, &s->passes_failed, LOG_WARN, "taskmanager", NULL, "cannot pass a data connection to pid %d: %s",
                    (int)w->pid, err.text);
        close(fd);
    }
    mem_free(message);
}

int tm_spawn_posix_new(struct env *env, const struct tm_spawn_options *options, struct tm_spawner **ret,
                       struct err *err)
{
    static struct tm_spawner_ops ops; /* constant once filled */
    struct spawn *s;
    int code;

    ops = spawn_file_ops;
    ops.spawn = spawn_op;
    ops.kill = kill_op;
    ops.pass = pass_op;
    if (access(options->program, X_OK) < 0)
        return err_errno(err, errno, "the worker program %s", options->program);
    code = spawn_make_folder(options->log_dir, err);
    if (code < 0)
        return err_wrap(err, "log folder (env.log.dir)");
    s = MEM_NEW(struct spawn);
    s->base.ops = &ops;
    s->magic = SPAWN_MAGIC;
    s->env = env;
    s->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    s->conf = options->conf;
    s->program = mem_strdup(options->program);
    s->log_dir = mem_strdup(options->log_dir);
    s->own_log = options->own_log ? mem_strdup(options->own_log) : NULL;
    s->user = mem_strdup(options->user);
    s->host = mem_strdup(options->host);
    list_init(&s->workers);
    list_init(&s->logs);
    spawn_logs_remove_old(s);
    code = spawn_make_folder(options->tmp_dir, err);
    if (code == 0)
        code = work_folder_make(options->tmp_dir, "rask-tm.", &s->tmp_dir, err);
    if (code < 0) {
        tm_spawn_posix_free(&s->base);
        return err_wrap(err, "temporary folder (io.tmp.dirs)");
    }
    s->local_dir = options->local_dir ? mem_strdup(options->local_dir) : mem_printf("%s/localState", s->tmp_dir);
    env_libevent_on_signal(env, SIGCHLD, on_child, s);
    *ret = &s->base;
    return 0;
}

const char *tm_spawn_posix_local_dir(const struct tm_spawner *base)
{
    return spawn_of((struct tm_spawner *)(uintptr_t)base)->local_dir;
}

void tm_spawn_posix_free(struct tm_spawner *base)
{
    struct spawn *s;

    if (!base)
        return;
    s = spawn_of(base);
    while (!list_empty(&s->workers)) {
        struct spawn_worker *w = LIST_ENTRY(s->workers.next, struct spawn_worker, in_spawn);

        on_deadline(&w->deadline);
        waitpid(w->pid, NULL, 0);
        worker_free(w);
    }
    if (s->tmp_dir)
        work_folder_remove(s->tmp_dir);
    spawn_logs_release(s);
    mem_free(s->program);
    mem_free(s->log_dir);
    mem_free(s->own_log);
    mem_free(s->tmp_dir);
    mem_free(s->local_dir);
    mem_free(s->user);
    mem_free(s->host);
    s->magic = 0;
    s->ended = true;
    if (s->memory_works == 0)
        mem_free(s);
}
