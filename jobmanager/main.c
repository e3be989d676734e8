/*
 * main.c - rask-jobmanager: the JobManager on the production env.  Thread: main, which runs the
 * control loop.
 *
 * Its files lie in <folder>/rask-jobmanager.<pid>-<random>, which goes at the end; one that a killed
 * JobManager of this user left behind goes when the next one starts.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
#include "jobmanager/jm.h"
#include "jobmanager/rest/rest.h"

struct program {
    struct daemon daemon;
    struct env *env;
    struct jm *jm;
    struct rest *rest;
    struct net_tls *tls, *rest_tls; /* NULL: connections in clear */
    char *folder;
};

/* blob.storage.directory, else the first folder of io.tmp.dirs. */
static char *parent_folder(const struct conf *conf)
{
    const char *list = conf_string(conf, OPT_BLOB_STORAGE_DIRECTORY);

    if (!list)
        list = conf_string(conf, OPT_IO_TMP_DIRS);
    return mem_printf("%.*s", (int)strcspn(list, ",;:"), list);
}

static int make_folder(struct program *p, struct err *err)
{
    char *parent = parent_folder(p->daemon.conf);
    int code = mkdir(parent, 0755) < 0 && errno != EEXIST ? err_errno(err, errno, "folder %s", parent)
                                                         : work_folder_make(parent, "rask-jobmanager.", &p->folder, err);

    mem_free(parent);
    if (code < 0)
        return err_wrap(err, "io.tmp.dirs, blob.storage.directory");
    if (code > 0)
        log_printf(LOG_WARN, "main", "a JobManager before this one did not end in order (was it killed?): the jobs that it ran have "
                                     "ended with it, and its list of jobs is gone");
    return 0;
}

static char *listen_address(const struct conf *conf)
{
    const char *host = conf_string(conf, OPT_JOBMANAGER_BIND_HOST);
    int64_t port = conf_is_set(conf, OPT_JOBMANAGER_RPC_BIND_PORT)
                       ? conf_int(conf, OPT_JOBMANAGER_RPC_BIND_PORT)
                       : conf_int(conf, OPT_JOBMANAGER_RPC_PORT);

    return conf_hostport(host, port);
}

static int start_jm(struct program *p, struct err *err)
{
    char *address = listen_address(p->daemon.conf);
    struct jm_options options = {
        .conf = p->daemon.conf, .rpc_address = address, .work_dir = p->folder, .tls = p->tls};
    int code = jm_new(p->env, &options, &p->jm, err);

    mem_free(address);
    if (code < 0)
        err_wrap(err, "RPC (jobmanager.rpc.port, jobmanager.bind-host)");
    return code;
}

/* The folder of the own log, or what is configured. */
static char *log_folder(const struct daemon *d)
{
    const char *slash = d->log ? strrchr(d->log, '/') : NULL, *from_env = getenv("RASK_LOG_DIR");

    if (slash)
        return mem_printf("%.*s", (int)MAX(slash - d->log, 1), d->log);
    if (from_env && from_env[0])
        return mem_strdup(from_env);
    return conf_string(d->conf, OPT_ENV_LOG_DIR) ? mem_strdup(conf_string(d->conf, OPT_ENV_LOG_DIR))
                                                 : NULL;
}

static int start_rest(struct program *p, struct err *err)
{
    char *folder = log_folder(&p->daemon);
    struct rest_options options = {
        .conf = p->daemon.conf, .jm = p->jm, .tls = p->rest_tls, .log_dir = folder, .log_file = p->daemon.log};
    int code = rest_start(&options, &p->rest, err);

    mem_free(folder);
    return code;
}

static void on_terminate(int signal_number, void *arg)
{
    struct program *p = arg;

    log_printf(LOG_INFO, "main", "ends: %s",
               signal_number == SIGTERM ? "was asked to (SIGTERM)" : "was interrupted");
    env_libevent_stop(p->env);
}

static long rss_kib(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    long pages = 0;

    if (f && fscanf(f, "%*d %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void log_start(struct program *p)
{
    log_printf(LOG_INFO, "main",
               "rask-jobmanager %s (%s, %s) listens for RPC on %s, for REST on %s; files in %s; "
               "memory %ld KiB; RPC %s",
               RASK_VERSION, sizeof(void *) == 8 ? "64 bit" : "32 bit", __VERSION__,
               jm_rpc_address(p->jm), rest_address(p->rest), p->folder, rss_kib(),
               p->tls ? "by TLS 1.3" : "in clear");
}

static int start(struct program *p, struct err *err)
{
    char text[TLS_CONF_TEXT_MAX];
    int code = tls_conf_internal(p->daemon.conf, time(NULL), &p->tls, err);

    if (code == 0 && conf_bool(p->daemon.conf, OPT_SECURITY_SSL_REST_ENABLED))
        code = tls_conf_rest(p->daemon.conf, true, time(NULL), &p->rest_tls, err);
    if (code == 0 && p->tls && tls_conf_expiry(p->tls, time(NULL), text))
        log_printf(LOG_WARN, "main", "%s", text);
    if (code == 0)
        code = make_folder(p, err);
    if (code == 0)
        code = start_jm(p, err);
    if (code == 0)
        code = start_rest(p, err);
    if (code < 0)
        return code;
    env_libevent_on_signal(p->env, SIGTERM, on_terminate, p);
    env_libevent_on_signal(p->env, SIGINT, on_terminate, p);
    return 0;
}

static void end(struct program *p)
{
    rest_stop(p->rest);
    jm_free(p->jm);
    if (p->folder)
        work_folder_remove(p->folder);
    mem_free(p->folder);
    env_libevent_free(p->env);
    tls_context_free(p->tls);
    tls_context_free(p->rest_tls);
}

int main(int argc, char **argv)
{
    struct env_libevent_options options = {.blocking_threads = 2};
    struct program p = {0};
    struct err err = {0};
    int code = daemon_start(&p.daemon, "rask-jobmanager", argc, argv);

    if (code >= 0)
        return code;
    /* REST's thread and the loop: a heap each, not one per blocking thread */
    mallopt(M_ARENA_MAX, 2);
    p.env = env_libevent_new(&options);
    if (start(&p, &err) < 0) {
        end(&p);
        return daemon_fail(&p.daemon, &err);
    }
    log_start(&p);
    daemon_ready(&p.daemon);
    code = env_libevent_run(p.env);
    end(&p);
    daemon_end(&p.daemon);
    return code < 0 ? 1 : 0;
}
