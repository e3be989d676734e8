/*
 * scenario_cluster.c - a whole cluster as nodes of the simulator: JobManager, supervisors, workers, all production objects; jobs
 * run while faults happen.
 *
 * Checked: each job ends FINISHED with exactly the interpreter's output, or FAILED or CANCELED with a reason, or is
 * gone with the JobManager that held it; without faults it finishes; in the end no slot is taken, no worker
 * lives, and a last job runs to its exact end.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/rpc/rpc.h"
#include "jobmanager/jm.h"
#include "taskmanager/supervisor/tm.h"
#include "taskmanager/worker/wk.h"
#include "test/sim/jobs.h"
#include "test/sim/scenario.h"
#include "test/sim/sim_executor.h"

#define TMS_MAX 4
#define WORKERS_MAX 400
#define SETTLE_NS (400 * (uint64_t)SIM_S)

struct cluster;

struct worker { /* a worker process */
    struct cluster *c;
    struct taskmanager *tm;
    struct sim_node *node;
    struct arena arena;
    Rask__Control__StartWorker *start;
    struct id taskmanager_id;
    struct wk *wk;
    struct wk_executor *executor;
    tm_exit_fn *on_exit;
    void *exit_arg;
    bool used, gone;
    bool done;           /* it said so itself */
    int32_t exit_code, signal;
    const char *reason;
    struct env_timer exit_timer, memory_timer; /* on the TaskManager's env */
    tm_memory_fn *memory_cb;
    void *memory_arg;
    uint64_t pss_bytes;
};

struct passing { /* a data connection on its way from supervisor to worker */
    struct worker *w;
    Rask__Control__Hello *hello;
};

struct taskmanager {
    struct cluster *c;
    struct sim_node *node;
    struct tm_spawner spawner; /* its ops find the taskmanager by container */
    struct conf *conf;
    uint32_t slots;
    struct tm *tm;
};

struct job {
    struct job_spec spec;
    struct id id;
    uint32_t parallelism;
    struct bytes packed;
    struct arena arena;
    Rask__Graph__StreamGraph *graph;
    struct jm_command put, submit, watch, load, cancel;
    bool put_done, submitted, answered, over, canceled;
    uint32_t boots;            /* of the JobManager when it was submitted */
    enum jm_job_state state;
    char reason[512];
};

struct cluster {
    struct sim *sim;
    struct sim_node *jm_node;
    struct jm *jm;
    struct conf *conf;
    uint32_t jm_boots;
    uint32_t tm_count;
    struct taskmanager tms[TMS_MAX];
    uint32_t worker_count;
    struct worker workers[WORKERS_MAX];
    uint32_t job_count;
    struct job jobs[JOBS_MAX];
    bool faulty, calm; /* calm: faults are over */
    uint32_t faults;
};

static const uint8_t artifact_text[] = "the program itself";

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

    if (code == 0 && (len != sizeof(artifact_text) || memcmp(data, artifact_text, len) != 0)) {
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

static void worker_is_done(void *arg, int exit_code, const char *reason)
{
    struct worker *w = arg;

    (void)reason;
    w->done = true;
    w->exit_code = exit_code;
    w->reason = exit_code ? "the worker ended by itself" : "nothing left to do";
}

static void *worker_boot(struct env *env, struct sim_node *node, void *arg)
{
    struct worker *w = arg;
    struct wk_options o = {.start = w->start, .taskmanager_id = w->taskmanager_id, .pid = (int32_t)(w - w->c->workers) + 1,
                           .loader = &loader, .network_bytes = 4u << 20, .state_bytes = 16u << 20, .out_fd = -1,
                           .err_fd = -1, .on_done = worker_is_done, .arg = w};
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

/* ---- spawner ---- */

static void exit_fired(struct env_timer *timer)
{
    struct worker *w = CONTAINER_OF(timer, struct worker, exit_timer);
    struct tm_worker_exit e = {.exit_code = w->exit_code, .signal = w->signal, .done = w->done && !w->signal,
                               .reason = w->reason, .peak_bytes = w->pss_bytes};

    env_timer_cancel(sim_env(w->tm->node), &w->memory_timer);
    w->used = false;
    w->on_exit(w->exit_arg, &e);
}

/* The process is gone: its supervisor learns of it, if that still lives. */
static void worker_gone(struct worker *w, int32_t exit_code, int32_t signal)
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
    if (sim_alive(w->tm->node) && w->tm->tm)
        env_timer_arm(sim_env(w->tm->node), &w->exit_timer, sim_range(w->c->sim, 10, 3000) * SIM_US);
}

static struct taskmanager *tm_of(struct tm_spawner *s)
{
    return CONTAINER_OF(s, struct taskmanager, spawner);
}

static void *spawn(struct tm_spawner *s, const Rask__Control__StartWorker *start, const struct id *taskmanager_id,
                   const char *data_address, tm_exit_fn *on_exit, void *arg, int32_t *ret_pid, struct err *err)
{
    struct taskmanager *tm = tm_of(s);
    struct cluster *c = tm->c;
    struct worker *w = &c->workers[c->worker_count];
    struct bytes packed;
    char name[32];

    (void)data_address;
    if (c->worker_count == WORKERS_MAX || (c->faulty && !c->calm && ENV_BUGGIFY(sim_env(tm->node)))) {
        SIM_PROBE("cluster: a worker cannot be started");
        err_set(err, ERR_LIMIT, "no more processes");
        return NULL;
    }
    c->worker_count++;
    memset(w, 0, sizeof(*w));
    w->c = c;
    w->tm = tm;
    w->used = true;
    bytes_init(&packed);
    bytes_reserve(&packed, rask__control__start_worker__get_packed_size(start) + 1);
    packed.len = rask__control__start_worker__pack(start, packed.data);
    w->start = (Rask__Control__StartWorker *)rpc_unpack(&rask__control__start_worker__descriptor, packed.data, packed.len, &w->arena);
    bytes_release(&packed);
    w->taskmanager_id = *taskmanager_id;
    w->on_exit = on_exit;
    w->exit_arg = arg;
    w->exit_timer.cb = exit_fired;
    w->pss_bytes = 8u << 20;
    *ret_pid = (int32_t)c->worker_count;
    snprintf(name, sizeof(name), "w%u", c->worker_count);
    w->node = sim_node_add_on(c->sim, name, &worker_kind, w, tm->node);
    sim_boot(w->node);
    return w;
}

static void kill_worker(struct tm_spawner *s, void *worker, bool at_once)
{
    (void)s;
    worker_gone(worker, at_once ? -1 : 0, at_once ? 9 : 0);
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
    struct bytes packed;

    (void)s;
    if (w->gone || !sim_alive(w->node)) {
        sim_env(w->tm->node)->net->ops->close(conn);
        return;
    }
    bytes_init(&packed);
    bytes_reserve(&packed, rask__control__hello__get_packed_size(hello) + 1);
    packed.len = rask__control__hello__pack(hello, packed.data);
    p->w = w;
    p->hello = (Rask__Control__Hello *)rpc_unpack(&rask__control__hello__descriptor, packed.data, packed.len, &w->arena);
    bytes_release(&packed);
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

/* ---- TaskManager and JobManager nodes ---- */

static void *tm_boot(struct env *env, struct sim_node *node, void *arg)
{
    struct taskmanager *tm = arg;
    struct tm_options o = {.conf = tm->conf, .jobmanager_address = "jm:6123", .spawner = &tm->spawner, .pid = 1};
    char listen[64];
    struct err err = {0};

    snprintf(listen, sizeof(listen), "%s:6122", sim_name(node));
    o.data_listen_address = listen;
    tm->spawner.ops = &spawner_ops;
    if (tm_new(env, &o, &tm->tm, &err) != 0)
        sim_fail(tm->c->sim, "%s does not start: %s", sim_name(node), err.text);
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
        env_timer_cancel(sim_env(tm->node), &w->exit_timer);
        env_timer_cancel(sim_env(tm->node), &w->memory_timer);
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

/* ---- jobs ---- */

static void loaded_job(struct jm_command *cmd)
{
    struct job *j = CONTAINER_OF(cmd, struct job, load);

    if (cmd->code != 0) {
        if (cmd->code != ERR_CLOSED)
            snprintf(j->reason, sizeof(j->reason), "it was watched to its end, but then: %s", cmd->err.text);
        return;
    }
    j->over = true;
    j->state = cmd->job->state;
    snprintf(j->reason, sizeof(j->reason), "%s", cmd->job->reason ? cmd->job->reason : "");
    jm_job_snapshot_unref(cmd->job);
}

static void watched(struct jm_command *cmd)
{
    struct job *j = CONTAINER_OF(cmd, struct job, watch);

    if (cmd->code != 0)
        return; /* the JobManager went */
    j->load = (struct jm_command){.type = JM_LOAD_JOB, .job_id = j->id, .done = loaded_job, .jm = cmd->jm};
    jm_execute(cmd->jm, &j->load);
}

static void submitted(struct jm_command *cmd)
{
    struct job *j = CONTAINER_OF(cmd, struct job, submit);

    j->answered = true;
    if (cmd->code != 0) {
        j->over = true;
        j->state = JM_JOB_FAILED;
        snprintf(j->reason, sizeof(j->reason), "%s", cmd->err.text);
        return;
    }
    j->watch = (struct jm_command){.type = JM_WATCH, .job_id = j->id, .done = watched, .jm = cmd->jm};
    jm_execute(cmd->jm, &j->watch);
}

static void artifact_put(struct jm_command *cmd)
{
    struct job *j = CONTAINER_OF(cmd, struct job, put);

    if (cmd->code != 0) {
        j->over = j->answered = true;
        j->state = JM_JOB_FAILED;
        snprintf(j->reason, sizeof(j->reason), "%s", cmd->err.text);
        return;
    }
    j->put_done = true;
    j->submit = (struct jm_command){.type = JM_SUBMIT, .job_id = j->id, .graph = j->graph, .client_parallelism = j->parallelism,
                                    .done = submitted, .jm = cmd->jm};
    jm_execute(cmd->jm, &j->submit);
}

static void job_submit(struct cluster *c, struct job *j)
{
    uint8_t hash[32];

    hash_sha256(artifact_text, sizeof(artifact_text), hash);
    j->id = id_from_u64(sim_rand(c->sim), sim_rand(c->sim));
    bytes_init(&j->packed);
    arena_init(&j->arena);
    job_graph(&j->spec, &j->id, hash, &j->packed);
    j->graph = (Rask__Graph__StreamGraph *)rpc_unpack(&rask__graph__stream_graph__descriptor, j->packed.data, j->packed.len, &j->arena);
    j->submitted = true;
    j->boots = c->jm_boots;
    j->put = (struct jm_command){.type = JM_PUT_BLOB, .data = artifact_text, .len = sizeof(artifact_text), .done = artifact_put,
                                 .jm = c->jm};
    jm_execute(c->jm, &j->put);
}

static bool job_lost(const struct cluster *c, const struct job *j)
{
    return j->boots != c->jm_boots;
}

static bool job_settled(const struct cluster *c, const struct job *j)
{
    return !j->submitted || j->over || job_lost(c, j);
}

static void ignore(struct jm_command *cmd)
{
    (void)cmd;
}

static void job_cancel(struct cluster *c, struct job *j)
{
    if (!j->answered || j->over || job_lost(c, j) || !c->jm || j->canceled)
        return;
    j->canceled = true;
    j->cancel = (struct jm_command){.type = JM_CANCEL, .job_id = j->id, .done = ignore, .jm = c->jm};
    jm_execute(c->jm, &j->cancel);
}

/* ---- faults ---- */

static struct taskmanager *some_tm(struct cluster *c)
{
    return &c->tms[sim_range(c->sim, 0, c->tm_count - 1)];
}

static struct worker *some_worker(struct cluster *c)
{
    for (int tries = 0; tries < 10 && c->worker_count > 0; tries++) {
        struct worker *w = &c->workers[sim_range(c->sim, 0, c->worker_count - 1)];

        if (w->used && !w->gone && sim_alive(w->node))
            return w;
    }
    return NULL;
}

static void restart_tm(struct sim *sim, void *arg)
{
    struct taskmanager *tm = arg;

    (void)sim;
    if (!sim_alive(tm->node))
        sim_boot(tm->node);
}

static void restart_jm(struct sim *sim, void *arg)
{
    struct cluster *c = arg;

    (void)sim;
    if (!sim_alive(c->jm_node))
        sim_boot(c->jm_node);
}

static void kill_tm(struct cluster *c, bool power)
{
    struct taskmanager *tm = some_tm(c);

    if (!sim_alive(tm->node))
        return;
    if (power)
        sim_crash(tm->node);
    else
        sim_kill(tm->node);
    sim_at(c->sim, sim_range(c->sim, 1, 8000) * SIM_MS, restart_tm, tm);
}

static void one_fault(struct cluster *c)
{
    struct sim *sim = c->sim;
    struct taskmanager *tm = some_tm(c);
    struct worker *w = some_worker(c);

    c->faults++;
    switch (sim_range(sim, 0, 11)) {
    case 0:
        SIM_PROBE("fault: worker killed");
        if (w)
            worker_gone(w, -1, 9);
        break;
    case 1:
        SIM_PROBE("fault: worker leaves by exit(0)");
        if (w)
            worker_gone(w, 0, 0);
        break;
    case 2:
        SIM_PROBE("fault: taskmanager killed");
        kill_tm(c, false);
        break;
    case 3:
        SIM_PROBE("fault: host of a taskmanager lost power");
        kill_tm(c, true);
        break;
    case 4:
        SIM_PROBE("fault: jobmanager killed");
        if (sim_alive(c->jm_node)) {
            sim_kill(c->jm_node);
            sim_at(sim, sim_range(sim, 1, 5000) * SIM_MS, restart_jm, c);
        }
        break;
    case 5:
        SIM_PROBE("fault: partition, one way");
        sim_partition(tm->node, c->jm_node, true);
        break;
    case 6:
        SIM_PROBE("fault: host isolated");
        sim_isolate(tm->node, true);
        break;
    case 7:
        SIM_PROBE("fault: connections broken");
        sim_break_connections(w ? w->node : tm->node, NULL);
        break;
    case 8:
        SIM_PROBE("fault: slow host");
        sim_slow(tm->node, (uint32_t)sim_range(sim, 2, 200));
        break;
    case 9:
        SIM_PROBE("fault: clogged path");
        sim_clog(tm->node, some_tm(c)->node, sim_range(sim, 1, 20000) * SIM_MS);
        break;
    case 10:
        SIM_PROBE("fault: paused");
        sim_pause(w && sim_chance(sim, 1, 2) ? w->node : tm->node, sim_range(sim, 1, 60000) * SIM_MS);
        break;
    default:
        SIM_PROBE("fault: worker over its memory");
        if (w)
            w->pss_bytes = (uint64_t)1 << 40;
        break;
    }
}

/* ---- the run ---- */

static void set(struct conf *conf, const char *key, const char *value)
{
    struct err err = {0};

    if (conf_set(conf, key, value, "simulation", &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        CHECK_UNREACHABLE("a setting of the simulation is refused");
    }
}

static struct conf *conf_draw(struct cluster *c, uint32_t slots)
{
    struct conf *conf = conf_new();
    char text[32];

    snprintf(text, sizeof(text), "%u", slots);
    set(conf, "taskmanager.numberOfTaskSlots", text);
    set(conf, "slot.request.timeout", "60 s");
    set(conf, "task.cancellation.timeout", "10 s");
    set(conf, "heartbeat.interval", "2 s");
    set(conf, "heartbeat.timeout", "10 s");
    set(conf, "security.allow-plaintext", "true");
    (void)c;
    return conf;
}

static struct cluster *cluster_new(struct sim *sim)
{
    struct cluster *c = MEM_NEW(struct cluster);

    c->sim = sim;
    job_reset();
    c->conf = conf_draw(c, 1);
    c->jm_node = sim_node_add(sim, "jm", &jm_kind, c);
    sim_boot(c->jm_node);
    c->tm_count = (uint32_t)sim_range(sim, 1, TMS_MAX);
    for (uint32_t i = 0; i < c->tm_count; i++) {
        struct taskmanager *tm = &c->tms[i];
        char name[16];

        snprintf(name, sizeof(name), "tm%u", i);
        tm->c = c;
        tm->slots = (uint32_t)sim_range(sim, 1, 3);
        tm->conf = conf_draw(c, tm->slots);
        tm->node = sim_node_add(sim, name, &tm_kind, tm);
        sim_boot(tm->node);
    }
    return c;
}

static uint32_t all_slots(const struct cluster *c)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->tm_count; i++)
        n += c->tms[i].slots;
    return n;
}

static struct job *new_job(struct cluster *c)
{
    struct job *j = &c->jobs[c->job_count];

    CHECK(c->job_count < JOBS_MAX);
    memset(j, 0, sizeof(*j));
    j->spec = job_draw(c->sim, c->job_count++);
    j->parallelism = (uint32_t)sim_range(c->sim, 1, all_slots(c) + (sim_chance(c->sim, 1, 10) ? 2 : 0));
    return j;
}

static bool all_settled(void *arg)
{
    struct cluster *c = arg;

    for (uint32_t i = 0; i < c->job_count; i++)
        if (!job_settled(c, &c->jobs[i]))
            return false;
    return c->jm != NULL;
}

static bool all_free(void *arg)
{
    struct cluster *c = arg;
    struct jm_cluster_snapshot *s;
    bool free_all;

    if (!c->jm)
        return false;
    s = jm_snapshot(c->jm);
    free_all = s->slots == all_slots(c) && s->slots_free == s->slots;
    jm_cluster_snapshot_unref(s);
    for (uint32_t i = 0; i < c->worker_count && free_all; i++)
        free_all = !sim_alive(c->workers[i].node);
    return free_all;
}

static void check_job(struct cluster *c, struct job *j)
{
    const char *differs;
    bool fits = j->parallelism <= all_slots(c);

    if (!j->submitted || job_lost(c, j))
        return;
    if (job_result(j->spec.index)->wrong) {
        sim_fail(c->sim, "job %u: %s", j->spec.index, job_result(j->spec.index)->wrong);
        return;
    }
    if (j->state == JM_JOB_FINISHED) {
        SIM_PROBE("job: finished");
        differs = job_compare(&j->spec);
        if (differs)
            sim_fail(c->sim, "job %u is FINISHED, but %s", j->spec.index, differs);
        if (j->spec.fails || j->spec.endless)
            sim_fail(c->sim, "job %u is FINISHED, though it cannot", j->spec.index);
        return;
    }
    if (j->state == JM_JOB_FAILED && j->reason[0] == 0)
        sim_fail(c->sim, "job %u FAILED without a reason", j->spec.index);
    if (j->state == JM_JOB_FAILED && !c->faulty && fits && !j->spec.fails &&
        strncmp(j->reason, "no slots", 8) != 0)
        sim_fail(c->sim, "job %u FAILED without a fault: %s", j->spec.index, j->reason);
    if (j->state == JM_JOB_CANCELED && !j->canceled)
        sim_fail(c->sim, "job %u is CANCELED, but nobody asked", j->spec.index);
    SIM_PROBE(j->state == JM_JOB_FAILED ? "job: failed with a reason" : "job: canceled");
}

static void cluster_free(struct cluster *c)
{
    for (uint32_t i = 0; i < c->job_count; i++) {
        bytes_release(&c->jobs[i].packed);
        arena_release(&c->jobs[i].arena);
        bytes_release(&c->jobs[i].put.result);
    }
    for (uint32_t i = 0; i < c->worker_count; i++)
        arena_release(&c->workers[i].arena);
    for (uint32_t i = 0; i < c->tm_count; i++)
        conf_free(c->tms[i].conf);
    conf_free(c->conf);
    mem_free(c);
}

static void act(struct cluster *c)
{
    uint32_t steps = (uint32_t)sim_range(c->sim, 1, 30);

    for (uint32_t i = 0; i < steps && !sim_failed(c->sim); i++) {
        if (c->jm && c->job_count < 6 && sim_chance(c->sim, 1, 3))
            job_submit(c, new_job(c));
        if (c->faulty && sim_chance(c->sim, 1, 3))
            one_fault(c);
        if (c->job_count > 0 && sim_chance(c->sim, 1, 10)) {
            struct job *j = &c->jobs[sim_range(c->sim, 0, c->job_count - 1)];

            job_cancel(c, j);
        }
        if (c->faulty && sim_chance(c->sim, 1, 8))
            sim_heal(c->sim);
        sim_run_for(c->sim, sim_chance(c->sim, 1, 4) ? sim_range(c->sim, 1, 5000) * SIM_MS : sim_range(c->sim, 1, 20000) * SIM_US);
    }
}

/* Faults end, everybody comes back, endless jobs are canceled: within a time the cluster is idle and takes one more job. */
static void settle(struct cluster *c)
{
    struct job *last;

    c->calm = true;
    sim_heal(c->sim);
    if (!sim_alive(c->jm_node))
        sim_boot(c->jm_node);
    for (uint32_t i = 0; i < c->tm_count; i++)
        restart_tm(c->sim, &c->tms[i]);
    sim_run_for(c->sim, 90 * (uint64_t)SIM_S);
    for (uint32_t i = 0; i < c->job_count; i++)
        if (c->jobs[i].spec.endless)
            job_cancel(c, &c->jobs[i]);
    if (!sim_run_until(c->sim, all_settled, c, SETTLE_NS))
        return;
    if (!all_settled(c)) {
        sim_fail(c->sim, "a job neither ends nor fails");
        return;
    }
    sim_run_until(c->sim, all_free, c, SETTLE_NS);
    if (!all_free(c))
        sim_fail(c->sim, "slots or workers are left over");
    for (uint32_t i = 0; i < c->job_count; i++)
        check_job(c, &c->jobs[i]);
    if (sim_failed(c->sim))
        return;
    last = new_job(c);
    last->spec.fails = last->spec.endless = false;
    last->parallelism = (uint32_t)sim_range(c->sim, 1, all_slots(c));
    job_submit(c, last);
    sim_run_until(c->sim, all_settled, c, SETTLE_NS);
    if (!last->over || last->state != JM_JOB_FINISHED)
        sim_fail(c->sim, "after all faults a job does not finish: %s", last->over ? last->reason : "it hangs");
    check_job(c, last);
}

static void run(struct sim *sim, bool faulty)
{
    struct cluster *c = cluster_new(sim);

    c->faulty = faulty;
    sim_run_for(sim, sim_range(sim, 0, 3000) * SIM_MS);
    act(c);
    if (!sim_failed(sim))
        settle(c);
    for (uint32_t i = 0; i < c->worker_count; i++)
        if (sim_alive(c->workers[i].node))
            sim_stop(c->workers[i].node);
    for (uint32_t i = 0; i < c->tm_count; i++)
        if (sim_alive(c->tms[i].node))
            sim_stop(c->tms[i].node);
    if (sim_alive(c->jm_node))
        sim_stop(c->jm_node);
    cluster_free(c);
}

void scenario_cluster_quiet(struct sim *sim)
{
    run(sim, false);
}

void scenario_cluster(struct sim *sim)
{
    run(sim, true);
}
