/*
 * tm_data.c - the one data port of a TaskManager: reads the preamble of each connection and hands it to the job's worker.
 *
 * Nobody relays bytes here: the connection is passed on as it is, the worker does the handshake.
 * Thread: the loop.
 */
#include <stdlib.h>
#include <string.h>

#include "taskmanager/supervisor/tm_private.h"

struct preamble {
    struct list in_tm;
    struct tm *tm;
    struct net_conn *conn;
    struct env_timer timer;
};

static void preamble_free(struct preamble *p)
{
    env_timer_cancel(p->tm->env, &p->timer);
    list_remove(&p->in_tm);
    p->tm->preamble_count--;
    mem_free(p);
}

static void refuse(struct preamble *p, const struct err *why)
{
    struct env *env = p->tm->env;

    env_log(env, LOG_DEBUG, "taskmanager", NULL, "refused a data connection of %s: %s",
            env->net->ops->peer(p->conn), why->text);
    if (!p->tm->options.tls_data)
        rpc_refuse(env, p->conn, why);
    env->net->ops->close(p->conn);
    preamble_free(p);
}

static void on_timer(struct env_timer *timer)
{
    struct preamble *p = CONTAINER_OF(timer, struct preamble, timer);
    struct err err = {0};

    err_set(&err, ERR_TIMEOUT, "nothing was said within %d s", TM_PREAMBLE_MS / 1000);
    refuse(p, &err);
}

static struct tm_worker *worker_of(struct tm *tm, const Rask__Control__Hello *hello, struct err *err)
{
    struct rpc_identity identity;
    struct tm_worker *worker;
    char id[ID_TEXT_MAX];

    if (rpc_check_hello(hello, "TaskManager", &identity, err) < 0)
        return NULL;
    if (identity.role != RASK__CONTROL__ROLE__PEER_WORKER) {
        err_set(err, ERR_PROTOCOL, "this is a data port: only workers of a job connect here; the "
                                   "JobManager listens on another one (jobmanager.rpc.port)");
        return NULL;
    }
    worker = tm_worker_of(tm, &identity.job_id, identity.job_epoch, identity.to_process);
    if (!worker || worker->why_stopped) {
        err_set(err, ERR_NOT_FOUND, "no worker of job %s with epoch %llu runs on this TaskManager under number %u",
                id_format(&identity.job_id, id), (unsigned long long)identity.job_epoch, identity.to_process);
        return NULL;
    }
    return worker;
}

static void on_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct preamble *p = arg;
    struct tm *tm = p->tm;
    struct tm_spawner *spawner = tm->options.spawner;
    Rask__Control__Hello *hello = NULL;
    struct tm_worker *worker = NULL;
    struct err err = {0};
    struct arena arena;

    arena_init(&arena);
    if (frame->kind == NET_HELLO)
        hello = (void *)rpc_unpack(&rask__control__hello__descriptor, frame->payload, frame->length,
                                   &arena);
    if (!hello)
        err_set(&err, ERR_PROTOCOL, "a data connection begins with a handshake");
    else
        worker = worker_of(tm, hello, &err);
    if (worker) {
        preamble_free(p);
        spawner->ops->pass(spawner, worker->handle, conn, hello);
    } else {
        refuse(p, &err);
    }
    arena_release(&arena);
}

static void on_close(void *arg, struct net_conn *conn, const struct err *why)
{
    (void)conn;
    (void)why;
    preamble_free(arg);
}

static void on_drained(void *arg, struct net_conn *conn)
{
    (void)arg;
    (void)conn; /* one small frame at most is ever sent */
}

static const struct net_handler preamble_handler = {
    .on_frame = on_frame,
    .on_drained = on_drained,
    .on_close = on_close,
};

static void on_accept(void *arg, struct net_conn *conn)
{
    struct tm *tm = MAGIC_CAST(arg, struct tm, TM_MAGIC);
    const struct net_ops *ops = tm->env->net->ops;
    struct preamble *p;

    if (tm->preamble_count >= TM_PREAMBLES_MAX) { /* who says nothing does not lock out the others */
        struct err err = {0};

        err_set(&err, ERR_LIMIT, "%u connections have said nothing, and this one is the oldest", tm->preamble_count);
        refuse(LIST_ENTRY(tm->preambles.next, struct preamble, in_tm), &err);
    }
    p = MEM_NEW(struct preamble);
    p->tm = tm;
    p->conn = conn;
    p->timer.cb = on_timer;
    list_push_back(&tm->preambles, &p->in_tm);
    tm->preamble_count++;
    ops->set_limit(conn, TM_PREAMBLE_BYTES);
    ops->set_handler(conn, &preamble_handler, p);
    env_timer_arm_ms(tm->env, &p->timer, TM_PREAMBLE_MS);
}

int tm_data_listen(struct tm *tm, struct err *err)
{
    const struct net_ops *ops = tm->env->net->ops;
    const char *address = tm->options.data_listen_address;
    const char *actual, *colon;
    int code;

    if (!net_is_loopback(address) && !tm->options.tls_data &&
        !conf_bool(tm->options.conf, OPT_SECURITY_ALLOW_PLAINTEXT))
        return err_set(err, ERR_PERMISSION,
                       "refusing to listen on %s: other hosts can reach it and connections are not "
                       "encrypted; set taskmanager.bind-host: localhost, security.ssl.internal.enabled: true "
                       "(rask security init makes the certificates), or security.allow-plaintext: true",
                       address);
    code = ops->listen(tm->env->net, address, on_accept, tm, &tm->listener, err);
    if (code < 0)
        return err_wrap(err, "data (taskmanager.data.port, taskmanager.bind-host)");
    actual = ops->listener_address(tm->listener);
    colon = strrchr(actual, ':');
    if (!tm->options.advertised_host || strncmp(actual, "inproc:", 7) == 0)
        tm->data_address = mem_strdup(actual);
    else
        tm->data_address = conf_hostport(tm->options.advertised_host, strtol(colon + 1, NULL, 10));
    return 0;
}

void tm_data_release(struct tm *tm)
{
    if (tm->listener)
        tm->env->net->ops->listener_close(tm->listener);
    tm->listener = NULL;
    while (!list_empty(&tm->preambles)) {
        struct preamble *p = LIST_ENTRY(tm->preambles.next, struct preamble, in_tm);

        tm->env->net->ops->close(p->conn);
        preamble_free(p);
    }
}
