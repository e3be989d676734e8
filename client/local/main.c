/*
 * main.c - rask-local: one job on JobManager, supervisor and worker in this process; no daemon, no port.
 *
 *     rask-local --graph-fd N [--artifact PATH] [-D key=value]...
 *
 * `rask run --target local` becomes this program.  Exit code: 0 FINISHED, 1 FAILED (reason on standard error), 130 canceled.
 * Thread: main, which runs the loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/local/spawn.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/conf/conf.h"
#include "common/conf/daemon.h"
#include "common/conf/work_folder.h"
#include "common/env/env.h"
#include "common/rpc/rpc.h"
#include "jobmanager/jm.h"
#include "taskmanager/supervisor/tm.h"
#include "taskmanager/worker/crash_posix.h"

#define JOBMANAGER "inproc:jobmanager"
#define DATA "inproc:data"
#define SETTINGS_MAX 1000
#define GRAPH_BYTES_MAX (64u << 20)
#define EXIT_CANCELED 130
#define LOCAL_SLOTS 1024 /* what the option allows */

struct arguments {
    int graph_fd;
    const char *artifact;
    const char *settings[SETTINGS_MAX];
    size_t setting_count;
};

struct program {
    struct arguments args;
    struct conf *conf;
    struct env *env;
    char *dir; /* temporary folder of this run */
    struct jm *jm;
    struct tm *tm;
    struct tm_spawner *spawner;
    struct arena arena;
    Rask__Graph__StreamGraph *graph;
    struct bytes artifact;
    struct id job_id;
    bool submitted, interrupted;
    struct jm_command put, submit, watch, look, cancel;
    struct err err; /* of the run */
    int exit_code;
};

/* ---- steps of the run: put the artifact, submit, wait, look ---- */

static void end_with(struct program *p, int exit_code, const struct err *err)
{
    p->exit_code = exit_code;
    if (err)
        p->err = *err;
    env_libevent_stop(p->env);
}

static void execute(struct program *p, struct jm_command *command, enum jm_command_type type,
                    void (*done)(struct jm_command *command))
{
    command->type = type;
    command->job_id = p->job_id;
    command->done = done;
    command->arg = p;
    jm_execute(p->jm, command);
}

static void on_looked(struct jm_command *command)
{
    struct program *p = command->arg;
    struct jm_job_snapshot *job = command->job;
    struct err err = {0};

    if (command->code < 0) {
        end_with(p, 1, &command->err);
        return;
    }
    if (job->state == JM_JOB_FINISHED) {
        end_with(p, 0, NULL);
    } else if (job->state == JM_JOB_CANCELED) {
        end_with(p, EXIT_CANCELED, NULL);
    } else {
        err_set(&err, ERR_USER, "job \"%s\" %s: %s", job->name, jm_job_state_name(job->state),
                job->reason                ? job->reason
                : job->failure_count > 0 ? job->failures[0].text
                                           : "no reason is known");
        end_with(p, 1, &err);
    }
    jm_job_snapshot_unref(job);
}

static void on_over(struct jm_command *command)
{
    struct program *p = command->arg;

    if (command->code < 0)
        end_with(p, 1, &command->err);
    else
        execute(p, &p->look, JM_LOAD_JOB, on_looked);
}

static void on_submitted(struct jm_command *command)
{
    struct program *p = command->arg;

    if (command->code < 0)
        end_with(p, 1, &command->err);
    else
        execute(p, &p->watch, JM_WATCH, on_over);
}

static void submit(struct program *p)
{
    p->submit.graph = p->graph;
    execute(p, &p->submit, JM_SUBMIT, on_submitted);
}

static void on_put(struct jm_command *command)
{
    struct program *p = command->arg;

    if (command->code < 0)
        end_with(p, 1, &command->err);
    else
        submit(p);
}

static void on_registered(void *arg)
{
    struct program *p = arg;

    if (p->submitted)
        return;
    p->submitted = true;
    if (p->artifact.len == 0) {
        submit(p);
        return;
    }
    p->put.data = p->artifact.data;
    p->put.len = p->artifact.len;
    execute(p, &p->put, JM_PUT_BLOB, on_put);
}

static void on_canceled(struct jm_command *command)
{
    struct program *p = command->arg;

    if (command->code < 0)
        end_with(p, EXIT_CANCELED, NULL); /* it was not even submitted */
}

static void on_signal(int number, void *arg)
{
    struct program *p = arg;

    (void)number;
    if (p->interrupted)
        _exit(EXIT_CANCELED); /* asked twice: user code does not listen */
    p->interrupted = true;
    execute(p, &p->cancel, JM_CANCEL, on_canceled);
}

/* ---- start ---- */

static int parse_arguments(int argc, char **argv, struct arguments *ret)
{
    static const struct option options[] = {{"graph-fd", required_argument, NULL, 'g'},
                                            {"artifact", required_argument, NULL, 'a'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'v'},
                                            {NULL, 0, NULL, 0}};
    int c;

    ret->graph_fd = -1;
    while ((c = getopt_long(argc, argv, "D:hv", options, NULL)) != -1) {
        switch (c) {
        case 'g':
            ret->graph_fd = (int)strtol(optarg, NULL, 10);
            break;
        case 'a':
            ret->artifact = optarg;
            break;
        case 'D':
            if (ret->setting_count < SETTINGS_MAX)
                ret->settings[ret->setting_count++] = optarg;
            break;
        case 'v':
            printf("rask-local %s\n", RASK_VERSION);
            return 0;
        case 'h':
            printf("Usage: rask-local --graph-fd N [--artifact PATH] [-D key=value]...\n"
                   "Runs one job in this process; `rask run --target local` calls it.\n");
            return 0;
        default:
            return 1;
        }
    }
    if (ret->graph_fd < 0 || optind < argc) {
        fprintf(stderr, "rask-local: is called by `rask run --target local`; --help says how\n");
        return 1;
    }
    return -1;
}

static int read_all(int fd, const char *name, size_t max, struct bytes *ret, struct err *err)
{
    ssize_t got;

    do {
        bytes_reserve(ret, 65536);
        got = read(fd, ret->data + ret->len, 65536);
        if (got > 0)
            ret->len += (size_t)got;
    } while ((got > 0 && ret->len <= max) || (got < 0 && errno == EINTR));
    if (got < 0)
        return err_errno(err, errno, "%s", name);
    return ret->len > max ? err_set(err, ERR_LIMIT, "%s has more than %zu bytes", name, max) : 0;
}

static int read_graph(struct program *p, struct err *err)
{
    struct bytes packed = {0};
    int fd = -1, code = read_all(p->args.graph_fd, "the graph", GRAPH_BYTES_MAX, &packed, err);

    if (code == 0) {
        p->graph = (void *)rpc_unpack(&rask__graph__stream_graph__descriptor, packed.data, packed.len, &p->arena);
        if (!p->graph || !rpc_id(&p->graph->job_id, &p->job_id))
            code = err_set(err, ERR_INVALID, "file descriptor %d holds no graph with a job id", p->args.graph_fd);
    }
    bytes_release(&packed);
    if (code == 0 && p->args.artifact) {
        fd = open(p->args.artifact, O_RDONLY | O_CLOEXEC);
        code = fd < 0 ? err_errno(err, errno, "%s", p->args.artifact)
                      : read_all(fd, p->args.artifact, NET_PAYLOAD_MAX, &p->artifact, err);
        if (fd >= 0)
            close(fd);
    }
    return code;
}

/* As many slots as anybody can ask for, each with the share that a slot of a TaskManager has.  Nobody will ask for the job
 * when it is over: it is not written to disk, where the folder of this run is about to go. */
static int widen(struct conf *conf, struct err *err)
{
    uint64_t share;
    char text[64], slots[16];
    int code = tm_slot_bytes(conf, &share, err);

    snprintf(slots, sizeof(slots), "%d", LOCAL_SLOTS);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)(TM_SUPERVISOR_BYTES + share * LOCAL_SLOTS));
    if (code == 0)
        code = conf_set(conf, "taskmanager.numberOfTaskSlots", slots, "rask-local", err);
    if (code == 0)
        code = conf_set(conf, "taskmanager.memory.process.size", text, "rask-local", err);
    if (code == 0)
        code = conf_set(conf, "jobstore.type", "Memory", "rask-local", err);
    return code;
}

static int open_log(const struct conf *conf, struct err *err)
{
    struct log_options o = {.level = LOG_WARN, .modules = conf_string(conf, OPT_RASK_LOG_MODULES)};

    if (!o.modules) /* what the job says; why it failed is said at the end, once */
        o.modules = "worker=off,job_master=off,dispatcher=off,resource=off,taskmanager=off";
    if (conf_is_set(conf, OPT_ENV_LOG_LEVEL) &&
        log_parse_level(conf_string(conf, OPT_ENV_LOG_LEVEL), &o.level) < 0)
        o.level = LOG_WARN;
    return log_open(&o, err);
}

static int make_dir(struct program *p, struct err *err)
{
    const char *list = conf_string(p->conf, OPT_IO_TMP_DIRS);
    char *parent = mem_printf("%.*s", (int)strcspn(list, ",:"), list);
    int code = work_folder_make(parent, "rask-local.", &p->dir, err);

    mem_free(parent);
    return code < 0 ? err_wrap(err, "io.tmp.dirs") : 0;
}

static int start(struct program *p, struct err *err)
{
    struct jm_options jm_options;
    struct tm_options tm_options;
    struct local_spawn_options spawn_options;
    int code = conf_open(NULL, p->args.settings, p->args.setting_count, &p->conf, err);

    if (code == 0)
        code = open_log(p->conf, err);
    if (code == 0)
        code = widen(p->conf, err);
    if (code == 0)
        code = read_graph(p, err);
    if (code == 0)
        code = make_dir(p, err);
    if (code < 0)
        return code;
    p->env = env_libevent_new(NULL);
    jm_options = (struct jm_options){.conf = p->conf, .rpc_address = JOBMANAGER, .work_dir = p->dir,
                                      .slots_max = LOCAL_SLOTS};
    code = jm_new(p->env, &jm_options, &p->jm, err);
    if (code < 0)
        return code;
    spawn_options = (struct local_spawn_options){.conf = p->conf, .dir = p->dir};
    p->spawner = local_spawn_new(p->env, &spawn_options);
    tm_options = (struct tm_options){.conf = p->conf, .jobmanager_address = JOBMANAGER, .data_listen_address = DATA,
                                     .spawner = p->spawner, .pid = getpid(), .on_registered = on_registered, .arg = p};
    code = tm_new(p->env, &tm_options, &p->tm, err);
    if (code < 0)
        return code;
    env_libevent_on_signal(p->env, SIGINT, on_signal, p);
    env_libevent_on_signal(p->env, SIGTERM, on_signal, p);
    return 0;
}

int main(int argc, char **argv)
{
    static struct program p;
    int code = parse_arguments(argc, argv, &p.args);

    if (code >= 0)
        return code;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit (ulimit -f) is an error of the write, not the end */
    daemon_raise_open_files();
    wk_crash_install(-1);
    arena_init(&p.arena);
    p.exit_code = 1;
    if (start(&p, &p.err) == 0 && env_libevent_run(p.env) < 0)
        err_set(&p.err, ERR_INTERNAL, "the event loop has failed");
    if (p.err.code < 0)
        fprintf(stderr, "rask-local: %s\n", p.err.text);
    if (p.dir)
        work_folder_remove(p.dir);
    /* The end of the process ends the rest: threads of the executor may be inside functions of the job. */
    fflush(NULL);
    wk_crash_leaving();
    _exit(p.exit_code);
}
