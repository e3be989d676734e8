/* nodes.c - the processes of a simulated cluster: what their main() does, and how they end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "test/sim/cluster/cluster.h"
#include "test/sim/cluster/executor.h"

struct passing { /* a data connection on its way from supervisor to worker */
    struct worker *w;
    Rask__Control__Hello *hello;
};

/* ---- worker ---- */

static void loader_load(struct wk_loader *loader, struct wk *wk, const uint8_t hash[32],
                        void (*cb)(void *arg, int code, const char *error), void *arg);
static void *loader_resolve(struct wk_loader *loader, const uint8_t hash[32], uint64_t offset)
{
    (void)loader;
    (void)hash;
    return job_code(offset);
}
static struct wk_loader loader = {loader_load, loader_resolve};

struct load {
    void (*cb)(void *arg, int code, const char *error);
    void *arg;
};
static void loaded(void *arg, int code, const char *error, const void *data, size_t len)
{
    struct load *l = arg;

    if (code == 0 && (len != cluster_artifact_len || memcmp(data, cluster_artifact, len) != 0)) {
        code = ERR_CORRUPT;
        error = "another artifact came";
    }
    l->cb(l->arg, code, error);
    mem_free(l);
}
static void loader_load(struct wk_loader *unused, struct wk *wk, const uint8_t hash[32],
                        void (*cb)(void *arg, int code, const char *error), void *arg)
{
    struct load *l = MEM_NEW(struct load);

    (void)unused;
    *l = (struct load){cb, arg};
    wk_fetch_blob(wk, hash, loaded, l);
}

/* The entry function of the artifact: the job that its parameter names. */
static int build_plan(void *arg, const Rask__Control__StartWorker *start, struct bytes *ret, struct err *err)
{
    struct worker *w = arg;
    struct job *j;

    CHECK(start->n_plan_params == 1);
    j = &w->c->jobs[strtoul(start->plan_params[0]->value, NULL, 10)];
    if (sim_chance(w->c->sim, 1, 20))
        return err_set(err, ERR_USER, "the entry function returned 1");
    job_graph(&j->spec, NULL, start->plan_artifact.data, ret);
    return 0;
}

static void leave(struct sim *sim, void *arg)
{
    struct worker *w = arg;

    (void)sim;
    worker_end(w, w->exit_code, 0);
}

static void worker_is_done(void *arg, int exit_code, const char *reason)
{
    struct worker *w = arg;

    (void)reason;
    w->done = true;
    w->exit_code = exit_code;
    w->reason = exit_code ? "the worker ended by itself" : "nothing left to do";
    sim_at(w->c->sim, sim_range(w->c->sim, 0, 500) * SIM_US, leave, w);
}

static void *worker_boot(struct env *env, struct sim_node *node, void *arg)
{
    struct worker *w = arg;
    struct wk_options o = {.start = w->start,
                           .taskmanager_id = w->taskmanager_id,
                           .pid = (int32_t)(w - w->c->workers) + 1,
                           .loader = &loader,
                           .network_bytes = w->c->network_bytes,
                           .state_bytes = w->c->state_bytes,
                           .local_dir = w->local_dir,
                           .out_fd = -1,
                           .err_fd = -1,
                           .build_plan = build_plan,
                           .on_done = worker_is_done,
                           .arg = w};
    struct err err = {0};

    (void)node;
    o.executor = w->executor = sim_executor_new(env);
    if (wk_new(env, &o, &w->wk, &err) != 0)
        sim_fail(w->c->sim, "a worker does not start: %s", err.text);
    return w;
}

static void worker_free(void *core)
{
    struct worker *w = core;

    if (w->wk)
        wk_cancel(w->wk);
    sim_executor_free(w->executor);
    wk_free(w->wk);
    w->wk = NULL;
    w->executor = NULL;
}
static const struct sim_node_kind worker_kind = {"worker", worker_boot, worker_free};

struct worker *worker_of(struct cluster *c, const struct id *job_id, uint64_t epoch, uint32_t index)
{
    struct worker *newest = NULL; /* one that was given up may live on where nobody hears it */

    for (uint32_t i = 0; i < c->worker_count; i++) {
        struct worker *w = &c->workers[i];

        if (w->wk && id_equal(&w->job_id, job_id) && w->start->job_epoch == epoch && w->start->worker_index == index &&
            (!newest || newest->start->process < w->start->process))
            newest = w;
    }
    return newest;
}

/* ---- spawner ---- */

static void cancel_timers(struct worker *w)
{
    struct env *env = sim_env(w->tm->node);

    env_timer_cancel(env, &w->exit_timer);
    env_timer_cancel(env, &w->end_timer);
    env_timer_cancel(env, &w->memory_timer);
}

static void exit_fired(struct env_timer *timer)
{
    struct worker *w = CONTAINER_OF(timer, struct worker, exit_timer);
    struct tm_worker_exit e = {.exit_code = w->exit_code, .signal = w->signal, .done = w->done && !w->signal,
                               .reason = w->reason, .peak_bytes = w->pss_bytes};

    cancel_timers(w);
    w->used = false;
    w->on_exit(w->exit_arg, &e);
}

void worker_end(struct worker *w, int32_t exit_code, int32_t signal)
{
    if (w->gone)
        return;
    w->gone = true;
    w->exit_code = exit_code;
    w->signal = signal;
    if (sim_alive(w->node)) {
        if (signal)
            sim_kill(w->node);
        else
            sim_stop(w->node);
    }
    if (w->tm->tm)
        env_timer_arm(sim_env(w->tm->node), &w->exit_timer, sim_range(w->c->sim, 10, 3000) * SIM_US);
}

static void end_fired(struct env_timer *timer)
{
    worker_end(CONTAINER_OF(timer, struct worker, end_timer), 0, 0);
}

static struct taskmanager *tm_of(struct tm_spawner *s)
{
    return CONTAINER_OF(s, struct taskmanager, spawner);
}

static void *pack_again(const ProtobufCMessage *message, struct arena *arena)
{
    struct bytes packed;
    void *copy;

    bytes_init(&packed);
    bytes_reserve(&packed, protobuf_c_message_get_packed_size(message) + 1);
    packed.len = protobuf_c_message_pack(message, packed.data);
    copy = rpc_unpack(message->descriptor, packed.data, packed.len, arena);
    bytes_release(&packed);
    CHECK(copy != NULL);
    return copy;
}

/* One worker for a job on a TaskManager, however often it is asked for. */
static void check_new(struct worker *w)
{
    for (struct worker *before = w->c->workers; before < w; before++)
        if (id_equal(&before->job_id, &w->job_id) && id_equal(&before->taskmanager_id, &w->taskmanager_id) &&
            before->start->job_epoch == w->start->job_epoch && before->start->process == w->start->process)
            sim_fail(w->c->sim, "a worker of a job is started twice on %s", sim_name(w->tm->node));
}

static void *spawn(struct tm_spawner *s, const Rask__Control__StartWorker *start, const struct id *taskmanager_id,
                   const char *data_address, tm_exit_fn *on_exit, void *arg, int32_t *ret_pid, struct err *err)
{
    struct taskmanager *tm = tm_of(s);
    struct cluster *c = tm->c;
    struct worker *w = &c->workers[c->worker_count];
    char name[32], job[ID_TEXT_MAX];

    (void)data_address;
    if (c->worker_count == WORKERS_MAX || (c->faulty && !c->calm && sim_chance(c->sim, 1, 50))) {
        SIM_PROBE("fault: a worker cannot be started");
        err_set(err, ERR_LIMIT, "no more processes");
        return NULL;
    }
    c->worker_count++;
    memset(w, 0, sizeof(*w));
    w->c = c;
    w->tm = tm;
    w->used = true;
    w->start = pack_again(&start->base, &w->arena);
    CHECK(rpc_id(&w->start->job_id, &w->job_id));
    w->taskmanager_id = *taskmanager_id;
    snprintf(w->local_dir, sizeof(w->local_dir), "%s/%s", LOCAL_DIR, id_format(&w->job_id, job));
    check_new(w);
    w->on_exit = on_exit;
    w->exit_arg = arg;
    w->exit_timer.cb = exit_fired;
    w->end_timer.cb = end_fired;
    w->pss_bytes = 8u << 20;
    *ret_pid = (int32_t)c->worker_count;
    snprintf(name, sizeof(name), "w%u", c->worker_count);
    w->node = sim_node_add_on(c->sim, name, &worker_kind, w, tm->node);
    sim_boot(w->node);
    return w;
}

/* Asked to end it does so at once, or when the patience of the supervisor is over. */
static void kill_worker(struct tm_spawner *s, void *worker, bool at_once)
{
    struct worker *w = worker;
    struct sim *sim = w->c->sim;
    uint64_t delay_ns = sim_chance(sim, 9, 10) ? sim_range(sim, 10, 2000) * SIM_US : SIM_S;

    if (at_once)
        worker_end(w, -1, 9);
    else if (!w->gone && !w->end_timer.armed)
        env_timer_arm(sim_env(tm_of(s)->node), &w->end_timer, delay_ns);
}

static void worker_accepts(void *arg, struct net_conn *conn)
{
    struct passing *p = arg;

    if (p->w->wk)
        wk_accept(p->w->wk, conn, p->hello);
}

static void pass(struct tm_spawner *s, void *worker, struct net_conn *conn, const Rask__Control__Hello *hello)
{
    struct worker *w = worker;
    struct passing *p = arena_alloc(&w->arena, sizeof(*p));

    if (w->gone || !sim_alive(w->node)) {
        sim_env(tm_of(s)->node)->net->ops->close(conn);
        return;
    }
    p->w = w;
    p->hello = pack_again(&hello->base, &w->arena);
    sim_net_rehome(conn, sim_env(w->node), worker_accepts, p);
}

static void memory_fired(struct env_timer *timer)
{
    struct worker *w = CONTAINER_OF(timer, struct worker, memory_timer);

    w->memory_cb(w->memory_arg, w->pss_bytes);
}

static void memory(struct tm_spawner *s, void *worker, tm_memory_fn *cb, void *arg)
{
    struct worker *w = worker;

    w->memory_cb = cb;
    w->memory_arg = arg;
    w->memory_timer.cb = memory_fired;
    env_timer_arm(sim_env(tm_of(s)->node), &w->memory_timer, SIM_MS);
}

static const struct tm_spawner_ops spawner_ops = {.spawn = spawn, .kill = kill_worker, .pass = pass, .memory = memory};

/* ---- TaskManager and JobManager ---- */

static void *tm_boot(struct env *env, struct sim_node *node, void *arg)
{
    struct taskmanager *tm = arg;
    struct tm_options o = {.conf = tm->conf, .jobmanager_address = "jm:6123", .spawner = &tm->spawner, .pid = 1,
                           .local_dir = LOCAL_DIR, .resource_id = tm->has_resource_id ? sim_name(node) : NULL};
    char listen[64];
    struct err err = {0};

    snprintf(listen, sizeof(listen), "%s:6122", sim_name(node));
    o.data_listen_address = listen;
    tm->spawner.ops = &spawner_ops;
    tm->leaving = false;
    if (tm_new(env, &o, &tm->tm, &err) != 0)
        sim_fail(tm->c->sim, "%s does not start: %s", sim_name(node), err.text);
    else
        tm->id = *tm_id(tm->tm);
    return tm;
}

/* Its workers die with it. */
static void tm_shut(void *core)
{
    struct taskmanager *tm = core;

    for (uint32_t i = 0; i < tm->c->worker_count; i++) {
        struct worker *w = &tm->c->workers[i];

        if (w->tm != tm || !w->used)
            continue;
        w->gone = true;
        w->used = false;
        if (sim_alive(w->node))
            sim_kill(w->node);
        cancel_timers(w);
    }
    tm_free(tm->tm);
    tm->tm = NULL;
}
static const struct sim_node_kind tm_kind = {"taskmanager", tm_boot, tm_shut};

static void *jm_boot(struct env *env, struct sim_node *node, void *arg)
{
    struct cluster *c = arg;
    struct jm_options o = {.conf = c->conf, .rpc_address = "jm:6123", .work_dir = "/work"};
    struct err err = {0};

    (void)node;
    c->jm_boots++;
    if (jm_new(env, &o, &c->jm, &err) != 0)
        sim_fail(c->sim, "the JobManager does not start: %s", err.text);
    return c;
}

static void jm_shut(void *core)
{
    struct cluster *c = core;

    jm_free(c->jm);
    c->jm = NULL;
}
static const struct sim_node_kind jm_kind = {"jobmanager", jm_boot, jm_shut};

void jobmanager_restart(struct cluster *c)
{
    if (!sim_alive(c->jm_node))
        sim_boot(c->jm_node);
}

void taskmanager_restart(struct taskmanager *tm)
{
    if (!sim_alive(tm->node))
        sim_boot(tm->node);
}

/* ---- all of it ---- */

static void set(struct conf *conf, const char *key, const char *value)
{
    struct err err = {0};

    if (conf_set(conf, key, value, "simulation", &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        CHECK_UNREACHABLE("a setting of the simulation is refused");
    }
}

static struct conf *conf_of(uint32_t slots)
{
    struct conf *conf = conf_new();
    char text[32];

    snprintf(text, sizeof(text), "%u", slots);
    set(conf, "taskmanager.numberOfTaskSlots", text);
    set(conf, "slot.request.timeout", "60 s");
    set(conf, "task.cancellation.timeout", "10 s");
    snprintf(text, sizeof(text), "%d s", HEARTBEAT_S);
    set(conf, "heartbeat.interval", text);
    snprintf(text, sizeof(text), "%d s", HEARTBEAT_TIMEOUT_S);
    set(conf, "heartbeat.timeout", text);
    set(conf, "security.allow-plaintext", "true");
    return conf;
}

struct cluster *cluster_new(struct sim *sim, uint32_t tm_count, uint32_t slots)
{
    struct cluster *c = MEM_NEW(struct cluster);

    c->sim = sim;
    job_reset();
    c->conf = conf_of(1);
    c->network_bytes = (uint64_t)2 << (20 + sim_range(sim, 0, 3));
    c->state_bytes = 16u << 20;
    c->jm_node = sim_node_add(sim, "jm", &jm_kind, c);
    sim_boot(c->jm_node);
    c->tm_count = tm_count ? tm_count : (uint32_t)sim_range(sim, 1, TMS_MAX);
    for (uint32_t i = 0; i < c->tm_count; i++) {
        struct taskmanager *tm = &c->tms[i];
        char name[16];

        snprintf(name, sizeof(name), "tm%u", i);
        tm->c = c;
        tm->has_resource_id = i % 2 == 1; /* also where nothing is drawn */
        tm->slots = slots ? slots : (uint32_t)sim_range(sim, 1, 3);
        tm->conf = conf_of(tm->slots);
        tm->node = sim_node_add(sim, name, &tm_kind, tm);
        sim_boot(tm->node);
    }
    return c;
}

uint32_t cluster_slots(const struct cluster *c)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->tm_count; i++)
        n += c->tms[i].slots;
    return n;
}

void cluster_free(struct cluster *c)
{
    sim_set_checker(c->sim, NULL, NULL);
    for (uint32_t i = 0; i < c->tm_count; i++)
        sim_stop(c->tms[i].node); /* with its workers */
    sim_stop(c->jm_node);
    for (uint32_t i = 0; i < c->job_count; i++)
        job_free(&c->jobs[i]);
    for (uint32_t i = 0; i < c->worker_count; i++)
        arena_release(&c->workers[i].arena);
    for (uint32_t i = 0; i < c->tm_count; i++)
        conf_free(c->tms[i].conf);
    conf_free(c->conf);
    mem_free(c);
}
