/*
 * main.c - rask-taskmanager: the supervisor on the production env, with worker processes.
 * Thread: main, which runs the loop.
 */
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/conf/daemon.h"
#include "common/conf/work_folder.h"
#include "common/env/env.h"
#include "common/net/tls.h"
#include "common/security/tls_conf.h"
#include "taskmanager/supervisor/spawn_private.h"
#include "taskmanager/supervisor/tm.h"

#define WAITING_NS 2000000000u /* without a JobManager, until the starter is told so */
#define SILENCE_MS 4000          /* the same, when a connection is open but nothing comes */
#define RESOURCE_ID_MAX 200
#define STOP_MS 3000 /* from SIGTERM to the end, whatever the workers do */

struct program {
    struct daemon daemon;
    struct env *env;
    struct tm *tm;
    struct tm_spawner *spawner;
    struct net_tls *tls; /* NULL: connections in clear */
    char *local_dir;     /* owned; removed at the end; NULL: nothing to be removed */
    uint64_t started_ns;
    bool stopping;
    int exit_code;
    struct env_timer stop_timer, silence_timer;
};

static void on_registered(void *arg)
{
    struct program *p = arg;

    env_timer_cancel(p->env, &p->silence_timer);
    daemon_ready(&p->daemon);
}

static void on_failed(void *arg, const struct err *why)
{
    struct program *p = arg;

    if (env_now_ns(p->env) - p->started_ns < WAITING_NS)
        return;
    env_timer_cancel(p->env, &p->silence_timer);
    daemon_waiting(&p->daemon, why->text);
}

static void on_silence(struct env_timer *timer)
{
    struct program *p = CONTAINER_OF(timer, struct program, silence_timer);
    const struct conf *conf = p->daemon.conf;
    char *text = mem_printf("jobmanager at %s:%lld has not answered for %d s (jobmanager.rpc.address, jobmanager.rpc.port)",
                            conf_string(conf, OPT_JOBMANAGER_RPC_ADDRESS),
                            (long long)conf_int(conf, OPT_JOBMANAGER_RPC_PORT), SILENCE_MS / 1000);

    log_printf(LOG_WARN, "taskmanager", "%s; trying on", text);
    daemon_waiting(&p->daemon, text);
    mem_free(text);
}

static void on_gave_up(void *arg, const struct err *why)
{
    struct program *p = arg;

    log_printf(LOG_ERROR, "taskmanager", "%s", why->text);
    p->exit_code = 1;
    env_libevent_stop(p->env);
}

static void on_stopped(void *arg)
{
    struct program *p = arg;

    env_libevent_stop(p->env);
}

static void on_stop_timer(struct env_timer *timer)
{
    on_stopped(CONTAINER_OF(timer, struct program, stop_timer));
}

static void on_terminate(int signal_number, void *arg)
{
    struct program *p = arg;

    if (p->stopping)
        return;
    p->stopping = true;
    log_printf(LOG_INFO, "taskmanager", "ends: %s",
               signal_number == SIGTERM ? "was asked to (SIGTERM)" : "was interrupted");
    tm_stop(p->tm, on_stopped, p);
    p->stop_timer.cb = on_stop_timer;
    env_timer_arm_ms(p->env, &p->stop_timer, STOP_MS);
}

/* The folder that the program itself lies in. */
static int own_folder(char out[PATH_MAX], struct err *err)
{
    ssize_t len = readlink("/proc/self/exe", out, PATH_MAX - 1);
    char *slash;

    if (len < 0)
        return err_errno(err, errno, "/proc/self/exe");
    out[len] = 0;
    slash = strrchr(out, '/');
    if (slash)
        *slash = 0;
    return 0;
}

/* RASK_LOG_DIR, env.log.dir, where the own log is, `log` beside `conf`, the folder for temporary files. */
static char *log_folder(const struct daemon *d)
{
    const char *from_env = getenv("RASK_LOG_DIR");
    const char *from_conf = conf_string(d->conf, OPT_ENV_LOG_DIR);
    const char *slash = d->log ? strrchr(d->log, '/') : NULL;
    char *conf_folder, *answer;

    if (from_env && from_env[0])
        return mem_strdup(from_env);
    if (from_conf && from_conf[0])
        return mem_strdup(from_conf);
    if (slash)
        return mem_printf("%.*s", (int)(slash - d->log), d->log);
    conf_folder = conf_dir();
    answer = conf_folder ? mem_printf("%s/../log", conf_folder)
                         : mem_printf("%s/rask-log", conf_string(d->conf, OPT_IO_TMP_DIRS));
    mem_free(conf_folder);
    return answer;
}

/* The first folder of a list. */
static char *first_folder(const char *list)
{
    return mem_printf("%.*s", (int)strcspn(list, ",:"), list);
}

static char *absolute(char *path)
{
    char cwd[PATH_MAX], *answer;

    if (path[0] == '/' || !getcwd(cwd, sizeof(cwd)))
        return path;
    answer = mem_printf("%s/%s", cwd, path);
    mem_free(path);
    return answer;
}

static char *user_name(void)
{
    const char *name = getenv("RASK_IDENT_STRING");
    struct passwd *pw;

    if (!name || !name[0])
        name = getenv("USER");
    if (name && name[0] && !strchr(name, '/'))
        return mem_strdup(name);
    pw = getpwuid(geteuid());
    return pw ? mem_strdup(pw->pw_name) : mem_printf("%u", (unsigned)geteuid());
}

static const char *first_set(const struct conf *conf, const enum conf_id *ids, size_t count)
{
    const char *text = NULL;

    for (size_t i = 0; i < count && !(text && text[0]); i++)
        text = conf_string(conf, ids[i]);
    return text && text[0] ? text : NULL;
}

static int check_resource_id(const char *id, struct err *err)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";

    if (strspn(id, letters) == strlen(id) && strlen(id) <= RESOURCE_ID_MAX)
        return 0;
    return err_set(err, ERR_INVALID, "taskmanager.resource-id is \"%.100s\": it has 1 to %d letters, digits and ._:-", id,
                   RESOURCE_ID_MAX);
}

/* Where workers keep copies of state. With a resource-id it is a folder that the TaskManager finds again; without one it is for
 * this process alone, and goes with it. *ret NULL: in the spawner's own folder. */
static int local_folder(struct program *p, const char *tmp_dirs, char **ret, struct err *err)
{
    static const enum conf_id said[] = {
        OPT_EXECUTION_CHECKPOINTING_LOCAL_BACKUP_DIRS, OPT_TASKMANAGER_STATE_LOCAL_ROOT_DIRS,
        OPT_PROCESS_TASKMANAGER_WORKING_DIR, OPT_PROCESS_WORKING_DIR};
    const struct conf *conf = p->daemon.conf;
    const char *id = conf_string(conf, OPT_TASKMANAGER_RESOURCE_ID), *list = first_set(conf, said, ARRAY_LEN(said));
    char *parent, *kept;
    int code;

    *ret = NULL;
    if (id && !id[0])
        id = NULL;
    if (!list && !id)
        return 0;
    parent = absolute(first_folder(list ? list : tmp_dirs));
    code = spawn_make_folder(parent, err);
    if (code == 0 && id) {
        kept = mem_printf("%s/tm_%s", parent, id);
        code = check_resource_id(id, err);
        if (code == 0)
            code = work_folder_keep(kept, err);
        if (code == ERR_EXISTS)
            err_wrap(err, "a TaskManager with taskmanager.resource-id \"%s\" runs already", id);
        if (code == 0)
            *ret = mem_printf("%s/localState", kept);
        mem_free(kept);
    } else if (code == 0) {
        code = MIN(work_folder_make(parent, "rask-tm-local.", &p->local_dir, err), 0);
        *ret = code == 0 ? mem_strdup(p->local_dir) : NULL;
    }
    mem_free(parent);
    return code < 0 ? err_wrap(err, "folder for copies of state (execution.checkpointing.local-backup.dirs, process.working-dir)")
                    : 0;
}

static int start_spawner(struct program *p, struct err *err)
{
    struct daemon *d = &p->daemon;
    char folder[PATH_MAX], host[256] = "localhost";
    struct tm_spawn_options options = {.conf = d->conf};
    char *program, *log_dir, *tmp_dir, *user, *own_log = NULL, *local_dir = NULL;
    int code = own_folder(folder, err);

    if (code == 0)
        code = local_folder(p, conf_string(d->conf, OPT_IO_TMP_DIRS), &local_dir, err);
    if (code < 0)
        return code;
    gethostname(host, sizeof(host) - 1);
    program = mem_printf("%s/rask-worker", folder);
    log_dir = absolute(log_folder(d));
    tmp_dir = absolute(first_folder(conf_string(d->conf, OPT_IO_TMP_DIRS)));
    user = user_name();
    if (d->log)
        own_log = absolute(mem_strdup(d->log));
    options.program = program;
    options.log_dir = log_dir;
    options.own_log = own_log;
    options.tmp_dir = tmp_dir;
    options.local_dir = local_dir;
    options.user = user;
    options.host = host;
    code = tm_spawn_posix_new(p->env, &options, &p->spawner, err);
    mem_free(program);
    mem_free(log_dir);
    mem_free(tmp_dir);
    mem_free(user);
    mem_free(own_log);
    mem_free(local_dir);
    return code;
}

/* Resident pages of this process. */
static uint64_t own_bytes(void *arg)
{
    unsigned long long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    (void)arg;
    if (!f)
        return 0;
    if (fscanf(f, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    fclose(f);
    return resident * (unsigned long long)sysconf(_SC_PAGESIZE);
}

/* One attempt per port of taskmanager.data.bind-port, else the one of taskmanager.data.port. */
static int start_tm(struct program *p, struct err *err)
{
    const struct conf *conf = p->daemon.conf;
    const char *host = conf_string(conf, OPT_TASKMANAGER_HOST);
    const char *bind = conf_string(conf, OPT_TASKMANAGER_BIND_HOST);
    struct conf_port_range ranges[CONF_PORT_RANGES_MAX];
    size_t count = conf_ports(conf, OPT_TASKMANAGER_DATA_BIND_PORT, ranges);
    char *jobmanager = conf_hostport(conf_string(conf, OPT_JOBMANAGER_RPC_ADDRESS),
                                     conf_int(conf, OPT_JOBMANAGER_RPC_PORT));
    struct tm_options options = {
        .conf = conf,
        .jobmanager_address = jobmanager,
        .advertised_host = host,
        .resource_id = conf_string(conf, OPT_TASKMANAGER_RESOURCE_ID),
        .local_dir = tm_spawn_posix_local_dir(p->spawner),
        .spawner = p->spawner,
        .tls = p->tls,
        .tls_data = tls_conf_data(conf),
        .pid = getpid(),
        .own_bytes = own_bytes,
        .cpu_cores = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN),
        .physical_memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE),
        .on_registered = on_registered,
        .on_failed = on_failed,
        .on_gave_up = on_gave_up,
        .arg = p,
    };
    int code = ERR_INVALID;

    if (conf_int(conf, OPT_JOBMANAGER_RPC_PORT) == 0) {
        mem_free(jobmanager);
        return err_set(err, ERR_INVALID, "jobmanager.rpc.port is 0: the JobManager takes a free port then, and a TaskManager "
                       "cannot learn which. Set it to a port of your choice, or to the one that the JobManager's log names");
    }
    if (count == 0) {
        ranges[0].first = ranges[0].last = (uint16_t)conf_int(conf, OPT_TASKMANAGER_DATA_PORT);
        count = 1;
    }
    for (size_t i = 0; i < count && code < 0; i++) {
        for (int port = ranges[i].first; port <= ranges[i].last && code < 0; port++) {
            char *address = conf_hostport(bind, port);

            options.data_listen_address = address;
            code = tm_new(p->env, &options, &p->tm, err);
            mem_free(address);
        }
    }
    mem_free(jobmanager);
    return code;
}

static int start_tls(struct program *p, struct err *err)
{
    char text[TLS_CONF_TEXT_MAX];
    int code = tls_conf_internal(p->daemon.conf, time(NULL), &p->tls, err);

    if (code == 0 && p->tls && tls_conf_expiry(p->tls, time(NULL), text))
        log_printf(LOG_WARN, "taskmanager", "%s", text);
    return code;
}

static void log_start(const struct program *p)
{
    const struct conf *conf = p->daemon.conf;
    uint64_t slot = 0;
    char *folder = conf_dir();

    (void)!tm_slot_bytes(conf, &slot, NULL);
    log_printf(LOG_INFO, "taskmanager",
               "version %s, build %s, configuration %s, memory %llu MiB = %u for itself + %lld slots of %llu MiB",
               RASK_VERSION, __VERSION__, folder ? folder : "defaults",
               (unsigned long long)(conf_memory_bytes(conf, OPT_TASKMANAGER_MEMORY_PROCESS_SIZE) >> 20),
               TM_SUPERVISOR_BYTES >> 20, (long long)conf_int(conf, OPT_TASKMANAGER_NUMBEROFTASKSLOTS),
               (unsigned long long)(slot >> 20));
    mem_free(folder);
}

int main(int argc, char **argv)
{
    static struct program p;
    struct err err = {0};
    uint64_t slot_bytes;
    int code = daemon_start(&p.daemon, "rask-taskmanager", argc, argv);

    if (code >= 0)
        return code;
    signal(SIGPIPE, SIG_IGN);
    code = tm_slot_bytes(p.daemon.conf, &slot_bytes, &err);
    if (code == 0)
        code = start_tls(&p, &err);
    if (code < 0)
        return daemon_fail(&p.daemon, &err);
    log_start(&p);
    p.env = env_libevent_new(NULL);
    p.started_ns = env_now_ns(p.env);
    code = start_spawner(&p, &err);
    if (code == 0)
        code = start_tm(&p, &err);
    if (code == 0) {
        p.silence_timer.cb = on_silence;
        env_timer_arm_ms(p.env, &p.silence_timer, SILENCE_MS);
        env_libevent_on_signal(p.env, SIGTERM, on_terminate, &p);
        env_libevent_on_signal(p.env, SIGINT, on_terminate, &p);
        if (env_libevent_run(p.env) < 0)
            code = err_set(&err, ERR_INTERNAL, "the event loop has failed");
    }
    env_timer_cancel(p.env, &p.stop_timer);
    env_timer_cancel(p.env, &p.silence_timer);
    tm_spawn_posix_free(p.spawner);
    tm_free(p.tm);
    if (p.local_dir)
        work_folder_remove(p.local_dir);
    mem_free(p.local_dir);
    env_libevent_free(p.env);
    tls_context_free(p.tls);
    if (code < 0)
        return daemon_fail(&p.daemon, &err);
    daemon_end(&p.daemon);
    return p.exit_code;
}
