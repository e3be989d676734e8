/*
 * master.h - a job master for unit tests of workers: N workers in one process over inproc connections, real executors.
 *
 * Subtask i of each vertex runs on worker i modulo N, so with N > 1 every shuffle crosses connections.
 */
#ifndef TEST_WORKER_MASTER_H
#define TEST_WORKER_MASTER_H

#include "test/unit/loop.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "api/runtime.h"
#include "common/graph/graph.h"
#include "common/graph/regions.h"
#include "common/rpc/rpc.h"
#include "taskmanager/worker/task/executor.h"
#include "taskmanager/worker/wk.h"
#include "test/unit/api/building.h"

#define MASTER_WORKERS_MAX 4

struct master {
    struct env *env;
    struct rpc_server *server;
    Rask__Graph__JobGraph *graph;
    struct arena arena;
    uint32_t worker_count, registered;
    struct rpc_peer *peers[MASTER_WORKERS_MAX];
    struct wk *workers[MASTER_WORKERS_MAX];
    struct wk_executor *executors[MASTER_WORKERS_MAX];
    struct net_listener *data[MASTER_WORKERS_MAX];
    int tasks, over, finished, canceled, failed, running;
    char error[2048];
    uint64_t remote_records, records_in;
    int metrics_answers;
    Rask__Control__Deploy deploy; /* what was sent */
    int deploy_answers, deploy_errors;
    struct env_timer load_timer;
    void (*load_cb)(void *arg, int code, const char *error);
    void *load_arg;
};

static struct master *the_master; /* for the accept callbacks */
/* Set by a test before it starts a master, of one worker then. */
static int master_deploys = 1;      /* how often each worker is told */
static const char *master_load_end; /* not NULL: the artifact takes 20 ms and then cannot be loaded; "": it can */

static void *master_resolve(struct wk_loader *loader, const uint8_t hash[32], uint64_t offset)
{
    (void)loader;
    (void)hash;
    return rask_artifact_pointer(&building_artifact, offset, 1);
}
static void master_loaded(struct env_timer *timer)
{
    struct master *m = CONTAINER_OF(timer, struct master, load_timer);

    m->load_cb(m->load_arg, *master_load_end ? ERR_NOT_FOUND : 0, *master_load_end ? master_load_end : NULL);
}
static void master_load(struct wk_loader *loader, struct wk *wk, const uint8_t hash[32],
                        void (*cb)(void *arg, int code, const char *error), void *arg)
{
    struct master *m = the_master;

    (void)loader;
    (void)wk;
    (void)hash;
    if (!master_load_end) {
        cb(arg, 0, NULL);
        return;
    }
    m->load_cb = cb;
    m->load_arg = arg;
    m->load_timer.cb = master_loaded;
    env_timer_arm_ms(m->env, &m->load_timer, 20);
}
static struct wk_loader master_loader = {master_load, master_resolve};

static bool master_secret(void *arg, const struct id *job, uint64_t epoch, uint8_t secret[32])
{
    (void)arg;
    (void)job;
    memset(secret, 7, 32);
    return epoch == 1;
}

static void master_called(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    (void)arg;
    (void)response;
    if (error && error->code != ERR_CLOSED)
        fail_msg("call failed: %s", error->text);
}

static void master_deploy_failed(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct master *m = arg;

    (void)response;
    m->deploy_answers++;
    if (error && m->deploy_answers < master_deploys && error->code == ERR_STATE)
        return; /* the call was repeated: the last answer counts */
    if (error) {
        m->deploy_errors++;
        snprintf(m->error, sizeof(m->error), "%s", error->text);
        m->failed++;
        m->over = m->tasks;
    }
}

/* All of them, at attempt 0. */
static void master_regions(struct master *m, Rask__Control__Deploy *d)
{
    struct graph_regions map;

    graph_regions_init(&map, m->graph);
    d->regions = arena_alloc(&m->arena, (map.count + 1) * sizeof(*d->regions));
    for (uint32_t i = 0; i < map.count; i++) {
        Rask__Control__RegionAttempt *r = arena_alloc(&m->arena, sizeof(*r));

        rask__control__region_attempt__init(r);
        r->region = i;
        d->regions[d->n_regions++] = r;
    }
    graph_regions_release(&map);
}

static void master_deploy(struct master *m)
{
    Rask__Control__Deploy d = RASK__CONTROL__DEPLOY__INIT;
    static uint8_t job[16] = {1};

    d.job_id = (ProtobufCBinaryData){16, job};
    d.job_epoch = 1;
    d.graph = m->graph;
    d.n_config = m->graph->stream->n_config; /* as the job master does, with what else is set */
    d.config = m->graph->stream->config;
    d.placements = arena_alloc(&m->arena, m->graph->n_vertices * sizeof(*d.placements));
    for (size_t v = 0; v < m->graph->n_vertices; v++) {
        Rask__Control__Placement *p = arena_alloc(&m->arena, sizeof(*p));

        rask__control__placement__init(p);
        p->vertex = (uint32_t)v;
        p->n_worker = m->graph->vertices[v]->parallelism;
        p->worker = arena_alloc(&m->arena, p->n_worker * sizeof(uint32_t));
        for (uint32_t i = 0; i < p->n_worker; i++)
            p->worker[i] = i % m->worker_count;
        d.placements[d.n_placements++] = p;
        m->tasks += (int)p->n_worker;
    }
    d.workers = arena_alloc(&m->arena, m->worker_count * sizeof(*d.workers));
    for (uint32_t i = 0; i < m->worker_count; i++) {
        Rask__Control__WorkerAddress *w = arena_alloc(&m->arena, sizeof(*w));
        char name[64];

        rask__control__worker_address__init(w);
        snprintf(name, sizeof(name), "inproc:data%u-%p", i, (void *)m);
        w->worker_index = i;
        w->data_address = arena_strdup(&m->arena, name);
        w->taskmanager_id = (ProtobufCBinaryData){16, job};
        d.workers[d.n_workers++] = w;
    }
    master_regions(m, &d);
    for (uint32_t i = 0; i < m->worker_count; i++)
        for (int n = 0; n < master_deploys; n++)
            rpc_call(m->peers[i], RPC_DEPLOY, &d.base, 0, master_deploy_failed, m);
    m->deploy = d;
}

static void master_state(struct master *m, const Rask__Control__TaskStateChanged *s)
{
    switch (s->state) {
    case RASK__CONTROL__TASK_STATE__RUNNING:
        m->running++;
        return;
    case RASK__CONTROL__TASK_STATE__FINISHED:
        m->finished++;
        break;
    case RASK__CONTROL__TASK_STATE__CANCELED:
        m->canceled++;
        break;
    case RASK__CONTROL__TASK_STATE__FAILED:
        if (!m->failed++)
            snprintf(m->error, sizeof(m->error), "%s", s->error);
        break;
    default:
        return;
    }
    m->over++;
    m->remote_records += s->metrics->remote_records_in;
    m->records_in += s->metrics->records_in;
}

static void master_request(void *arg, struct rpc_peer *peer, enum rpc_method method, const ProtobufCMessage *message,
                           struct rpc_request *request)
{
    struct master *m = arg;

    if (method == RPC_REGISTER_WORKER) {
        m->peers[((const Rask__Control__RegisterWorker *)message)->worker_index] = peer;
        if (++m->registered == m->worker_count)
            master_deploy(m);
    } else {
        assert_int_equal(method, RPC_TASK_STATE_CHANGED);
        master_state(m, (const Rask__Control__TaskStateChanged *)message);
    }
    rpc_ok(request);
}
static void master_ready(void *arg, struct rpc_peer *peer)
{
    (void)arg;
    (void)peer;
}
static void master_closed(void *arg, struct rpc_peer *peer, const struct err *why)
{
    (void)arg;
    (void)peer;
    (void)why;
}
static const struct rpc_handler master_rpc = {master_ready, master_request, master_closed};

static void master_preamble(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct arena arena;
    Rask__Control__Hello *hello;

    arena_init(&arena);
    hello = (Rask__Control__Hello *)rpc_unpack(&rask__control__hello__descriptor, frame->payload, frame->length, &arena);
    assert_non_null(hello);
    wk_accept(arg, conn, hello);
    arena_release(&arena);
}
static void master_conn_closed(void *arg, struct net_conn *conn, const struct err *why)
{
    (void)arg;
    (void)conn;
    (void)why;
}
static const struct net_handler master_data = {.on_frame = master_preamble, .on_close = master_conn_closed};
static void master_accept(void *arg, struct net_conn *conn)
{
    struct master *m = the_master;

    m->env->net->ops->set_handler(conn, &master_data, m->workers[(uintptr_t)arg]);
}

static void master_worker_done(void *arg, int code, const char *reason)
{
    (void)arg;
    (void)code;
    (void)reason;
}

/* graph: built by the API in this process. */
static void master_start(struct master *m, Rask__Graph__StreamGraph *graph, uint32_t workers, uint32_t parallelism)
{
    struct graph_options go = {.client_parallelism = parallelism};
    struct rpc_server_options so = {.fence = 9, .heartbeat_interval_ms = 1000, .heartbeat_timeout_ms = 60000,
                                    .secret_of = master_secret, .handler = &master_rpc, .arg = m};
    struct err err = {0};
    char name[64];
    uint8_t job[16] = {1}, secret[32];

    memset(m, 0, sizeof(*m));
    the_master = m;
    m->env = loop_new(false);
    m->worker_count = workers;
    arena_init(&m->arena);
    if (graph_compile(graph, &go, &m->arena, &m->graph, &err) != 0)
        fail_msg("compile: %s", err.text);
    snprintf(name, sizeof(name), "inproc:jm-%p", (void *)m);
    so.address = name;
    assert_int_equal(rpc_server_new(m->env, &so, &m->server, &err), 0);
    memset(secret, 7, sizeof(secret));
    for (uint32_t i = 0; i < workers; i++) {
        Rask__Control__StartWorker start = RASK__CONTROL__START_WORKER__INIT;
        struct wk_options wo = {.start = &start, .loader = &master_loader, .network_bytes = 8u << 20,
                                .state_bytes = 64u << 20, .out_fd = -1, .err_fd = -1, .on_done = master_worker_done};
        char data[64];

        snprintf(data, sizeof(data), "inproc:data%u-%p", i, (void *)m);
        assert_int_equal(m->env->net->ops->listen(m->env->net, data, master_accept, (void *)(uintptr_t)i, &m->data[i], &err), 0);
        start.job_id = (ProtobufCBinaryData){16, job};
        start.job_epoch = 1;
        start.secret = (ProtobufCBinaryData){32, secret};
        start.jobmanager_address = name;
        start.worker_index = i;
        start.slots = 1;
        start.budget_bytes = 1u << 30;
        start.job_name = (char *)(uintptr_t)"test";
        wo.executor = m->executors[i] = wk_executor_posix_new(&(struct wk_executor_options){.threads = 2});
        assert_int_equal(wk_new(m->env, &wo, &m->workers[i], &err), 0);
    }
}

static int master_task_count(const struct master *m)
{
    int n = 0;

    for (size_t v = 0; v < m->graph->n_vertices; v++)
        n += (int)m->graph->vertices[v]->parallelism;
    return n;
}

static void master_cancel(struct master *m)
{
    Rask__Control__CancelTasks c = RASK__CONTROL__CANCEL_TASKS__INIT;
    uint8_t job[16] = {1};

    c.job_id = (ProtobufCBinaryData){16, job};
    c.job_epoch = 1;
    for (uint32_t i = 0; i < m->worker_count; i++)
        rpc_call(m->peers[i], RPC_CANCEL_TASKS, &c.base, 0, master_called, m);
}

static void master_end(struct master *m)
{
    for (uint32_t i = 0; i < m->worker_count; i++) {
        for (int spin = 0; spin < 10000 && wk_tasks_alive(m->workers[i]) > 0; spin++)
            loop_settle(m->env);
        wk_executor_posix_free(m->executors[i]);
    }
    loop_settle(m->env); /* posts of the last steps */
    for (uint32_t i = 0; i < m->worker_count; i++) {
        wk_free(m->workers[i]);
        m->env->net->ops->listener_close(m->data[i]);
    }
    rpc_server_free(m->server);
    env_libevent_free(m->env);
    arena_release(&m->arena);
}

__attribute__((unused)) static void master_run(struct master *m, Rask__Graph__StreamGraph *graph, uint32_t workers, uint32_t parallelism)
{
    master_start(m, graph, workers, parallelism);
    loop_until(m->env, &m->over, master_task_count(m));
    master_end(m);
}

#endif
