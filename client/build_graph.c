/*
 * build_graph.c - runs the job's entry point in a forked child and takes the graph from a pipe.
 *
 * The child is the only process of the client that loads what the user wrote: if it crashes, exits or hangs,
 * the client says so.  Message on the pipe: one byte (what it is), then its content up to the end.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "api/runtime.h"
#include "client/client_private.h"
#include "common/base/check.h"
#include "common/graph/graph.h"
#include "common/graph/ops.h"

#define BUILD_LIMIT_MS 9000
#define GRAPH_BYTES_MAX (64u << 20)
#define FRAMES_MAX 64

enum { SAY_GRAPH = 'G', SAY_ERROR = 'E', SAY_CRASH = 'C' };

/* ---- in the child ---- */
static int crash_pipe = -1; /* of the child alone: a signal handler has no argument */
static struct rask_artifact crash_artifact;

static void say(int fd, uint8_t what, const void *data, size_t len)
{
    const char *p = data;

    if (write(fd, &what, 1) != 1)
        _exit(3);
    while (len) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno != EINTR)
            _exit(3);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
}

/* Where it happened; 0: this machine's context is not known here. */
static uintptr_t fault_address(const void *context)
{
    const ucontext_t *c = context;

#if defined(__x86_64__)
    return (uintptr_t)c->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)c->uc_mcontext.pc;
#else
    (void)c;
    return 0;
#endif
}

/* Signal number, then the address of each frame that lies in the job's shared object. */
static void on_crash(int signal_number, siginfo_t *info, void *context)
{
    uintptr_t fault = fault_address(context);
    void *frames[FRAMES_MAX];
    uint64_t found[FRAMES_MAX + 1] = {(uint64_t)signal_number};
    size_t count = 1;
    int n;

    (void)info;
    signal(SIGALRM, SIG_DFL);
    alarm(2); /* the heap may be broken: walking the stack must not hang */
    n = backtrace(frames, FRAMES_MAX);
    for (int i = 0; i < n; i++) {
        uintptr_t at = (uintptr_t)frames[i];

        /* All but the place of the fault are return addresses, which stand behind the call. */
        if (at >= crash_artifact.start && at < crash_artifact.end)
            found[count++] = at - crash_artifact.base - (at != fault);
    }
    say(crash_pipe, SAY_CRASH, found, count * sizeof(found[0]));
    _exit(3);
}

static void catch_crashes(int fd)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};
    struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_ONSTACK | SA_RESETHAND | SA_SIGINFO};
    static char room[65536];
    stack_t stack = {.ss_size = sizeof(room), .ss_sp = room};

    crash_pipe = fd;
    sigaltstack(&stack, NULL);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        sigaction(signals[i], &action, NULL);
}

typedef int job_fn(rask_env *env, const rask_params *params);

static int load(const struct cli_options *o, const struct cli_artifact *a, job_fn **ret_job, struct err *err)
{
    const char *entry = o->entry ? o->entry : "rask_job";
    void *handle = dlopen(a->path, RTLD_NOW | RTLD_LOCAL), *symbol;
    const uint32_t *abi;

    if (!handle)
        return err_set(err, ERR_INVALID, "cannot load %s: %s", a->name, dlerror());
    symbol = dlsym(handle, entry);
    if (!symbol)
        return err_set(err, ERR_NOT_FOUND,
                       "%s has no function `%s`; the entry point of a job is `int %s(rask_env *env, const rask_params *params)`%s",
                       a->name, entry, entry, o->entry ? "" : " (or what --entry names)");
    abi = dlsym(handle, "rask_job_abi");
    if (!abi)
        return err_set(err, ERR_VERSION, "%s does not tell its ABI: compile it with the header rask/rask.h of this version",
                       a->name);
    if (*abi != RASK_ABI)
        return err_set(err, ERR_VERSION, "%s was compiled for ABI %u of Rask, this is ABI %u: compile it again", a->name,
                       *abi, (unsigned)RASK_ABI);
    *ret_job = (job_fn *)symbol;
    return rask_artifact_of(symbol, &crash_artifact, err);
}

static int build(const struct cli_options *o, const struct cli_artifact *a, struct bytes *ret_packed, struct err *err)
{
    struct rask_env_options options = {.offset_of = rask_artifact_offset, .arg = &crash_artifact,
                                       .artifact = a->sha256, .artifact_name = a->name,
                                       .argc = o->param_count, .argv = o->params};
    Rask__Graph__StreamGraph *graph = NULL;
    rask_env *env;
    job_fn *job = NULL;
    int returned, code = load(o, a, &job, err);

    if (code < 0)
        return code;
    env = rask_env_new(&options);
    returned = job(env, rask_env_params(env));
    code = rask_env_graph(env, &graph, err);
    if (code < 0)
        return code;
    if (returned != 0)
        return err_set(err, ERR_USER, "the entry point %s of %s returned %d", o->entry ? o->entry : "rask_job", a->name,
                       returned);
    ret_packed->len = 0;
    bytes_reserve(ret_packed, rask__graph__stream_graph__get_packed_size(graph));
    ret_packed->len = rask__graph__stream_graph__pack(graph, ret_packed->data);
    return 0; /* env ends with the process */
}

static void child(const struct cli_options *o, const struct cli_artifact *a, int fd)
{
    struct bytes packed = {0};
    struct err err = {0};
    int code;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    catch_crashes(fd);
    code = build(o, a, &packed, &err);
    fflush(NULL);
    if (code < 0)
        say(fd, SAY_ERROR, &err, sizeof(err));
    else
        say(fd, SAY_GRAPH, packed.data, packed.len);
    _exit(0);
}

/* ---- in the parent ---- */
static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Everything up to the end of the stream, or ERR_TIMEOUT. */
static int read_message(int fd, struct bytes *in, struct err *err)
{
    int64_t end = now_ms() + BUILD_LIMIT_MS;

    for (;;) {
        struct pollfd p = {fd, POLLIN, 0};
        int64_t left = end - now_ms();
        int n = left > 0 ? poll(&p, 1, (int)left) : 0;
        ssize_t got;

        if (n == 0)
            return ERR_TIMEOUT;
        if (n < 0)
            continue;
        bytes_reserve(in, 65536);
        got = read(fd, in->data + in->len, 65536);
        if (got == 0)
            return 0;
        if (got < 0 && errno != EINTR)
            return err_errno(err, errno, "reading the graph");
        in->len += got > 0 ? (size_t)got : 0;
        if (in->len > GRAPH_BYTES_MAX)
            return err_set(err, ERR_LIMIT, "the graph is larger than %u bytes", GRAPH_BYTES_MAX);
    }
}

static int crashed(const struct cli_artifact *a, const uint8_t *data, size_t len, struct err *err)
{
    uint64_t word = 0;
    char function[256] = "";

    if (len >= 8)
        memcpy(&word, data, 8);
    for (size_t at = 8; at + 8 <= len && !function[0]; at += 8) {
        uint64_t address;

        memcpy(&address, data + at, 8);
        cli_elf_function(a->path, address, function, sizeof(function));
    }
    return err_set(err, ERR_USER, "%s crashed with SIG%s while building the graph%s%s%s", a->name,
                   sigabbrev_np((int)word) ? sigabbrev_np((int)word) : "NAL", function[0] ? ", in function `" : "",
                   function, function[0] ? "`" : "");
}

static int judge(const struct cli_options *o, const struct cli_artifact *a, const struct bytes *in, int status,
                 struct arena *arena, Rask__Graph__StreamGraph **ret, struct err *err)
{
    struct err theirs;
    int code;

    if (in->len && in->data[0] == SAY_CRASH)
        return crashed(a, in->data + 1, in->len - 1, err);
    if (in->len == 1 + sizeof(theirs) && in->data[0] == SAY_ERROR) {
        memcpy(&theirs, in->data + 1, sizeof(theirs));
        theirs.text[sizeof(theirs.text) - 1] = 0;
        return err_set(err, theirs.code < 0 ? theirs.code : ERR_USER, "%s", theirs.text);
    }
    if (in->len && in->data[0] == SAY_GRAPH && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        code = graph_unpack(arena, in->data + 1, in->len - 1, ret, err);
        if (code == 0)
            code = graph_validate(*ret, err);
        return code;
    }
    if (WIFSIGNALED(status))
        return err_set(err, ERR_USER, "%s was ended by SIG%s while building the graph", a->name,
                       sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status)) : "NAL");
    return err_set(err, ERR_USER, "%s called exit(%d) while building the graph: %s has to return", a->name,
                   WEXITSTATUS(status), o->entry ? o->entry : "rask_job");
}

/* Files of built-in sources and sinks; "-" stays. */
static void make_paths_absolute(Rask__Graph__StreamGraph *graph, struct arena *arena)
{
    char cwd[PATH_MAX];

    if (!getcwd(cwd, sizeof(cwd)))
        return;
    for (size_t i = 0; i < graph->n_nodes; i++) {
        Rask__Graph__OperatorSpec *op = graph->nodes[i]->op;

        if (strcmp(op->type, OP_SOURCE) != 0 && strcmp(op->type, OP_SINK) != 0)
            continue;
        for (size_t p = 0; p < op->n_properties; p++) {
            const char *value = op->properties[p]->value;
            size_t size = strlen(cwd) + strlen(value) + 2;
            char *path;

            if (strcmp(op->properties[p]->key, "path") != 0 || value[0] == '/' || !value[0] || strcmp(value, "-") == 0 ||
                strstr(value, "://"))
                continue;
            path = arena_alloc(arena, size);
            snprintf(path, size, "%s/%s", cwd, strncmp(value, "./", 2) == 0 ? value + 2 : value);
            op->properties[p]->value = path;
        }
    }
}

int cli_build_graph(const struct cli_options *o, const struct cli_artifact *a, struct arena *arena,
                    Rask__Graph__StreamGraph **ret, struct err *err)
{
    struct bytes in = {0};
    int fds[2], code, status = 0;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, errno, "cannot make a pipe");
    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        code = err_errno(err, errno, "cannot start a process for the graph");
        close(fds[0]);
        close(fds[1]);
        return code;
    }
    if (pid == 0) {
        close(fds[0]);
        child(o, a, fds[1]);
    }
    close(fds[1]);
    code = read_message(fds[0], &in, err);
    close(fds[0]);
    if (code < 0)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (code == ERR_TIMEOUT)
        err_set(err, ERR_TIMEOUT,
                "the entry point %s of %s does not come back: stopped after %d s. It only builds the graph; work belongs into operators",
                o->entry ? o->entry : "rask_job", a->name, BUILD_LIMIT_MS / 1000);
    else if (code == 0)
        code = judge(o, a, &in, status, arena, ret, err);
    if (code == 0)
        make_paths_absolute(*ret, arena);
    bytes_release(&in);
    return code;
}
