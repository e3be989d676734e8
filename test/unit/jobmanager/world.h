/*
 * world.h - for unit tests of the JobManager: it runs in the simulator, between TaskManagers and
 * workers that do what a test says.
 *
 * A struct plan_of_fakes is what they do by themselves: by default start, register, run, obey.  A
 * test holds them back and speaks in their place.  Thread: one.
 */
#ifndef UNIT_JOBMANAGER_WORLD_H
#define UNIT_JOBMANAGER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/graph/regions.h"
#include "common/base/check.h"
#include "common/rpc/rpc.h"
#include "jobmanager/jm.h"
#include "jobmanager/jm_private.h"
#include "test/sim/sim.h"

#define UNUSED       __attribute__((unused))
#define FAKES        4
#define FAKE_WORKERS 16
#define FAKE_TASKS   64
#define T(name)      RASK__CONTROL__TASK_STATE__##name

struct manners { /* what fakes do not do by themselves */
    bool no_ack, decline, finished;
    uint64_t damaged; /* the checkpoint that cannot be restored from; 0: none */
    bool refuse_start, no_worker, no_running, ignore_cancel, ignore_stop, finish, plan_silent;
    const char *plan_error;
};
struct world;
struct fake_tm;
struct fake_worker {
    struct fake_tm *tm;
    bool used, registered, plan;
    struct id job_id;
    uint64_t epoch;
    uint32_t index, process;
    struct rpc_peer *peer;
    struct {
        uint32_t vertex, subtask, region, attempt;
    } tasks[FAKE_TASKS];
    uint32_t task_count;
    int deploys, cancels, events, refused;
    int triggers, completes, aborts;
    int full; /* triggers of what is to be complete in itself */
    int disorder; /* triggers of a checkpoint that is older than the one before */
    uint64_t last_checkpoint, restored; /* triggered last; that its deployment names */
    uint32_t finished_vertices;
    char dir[256];
    struct err last;
};
struct fake_tm {
    struct world *world;
    struct env *env;
    struct sim_node *node;
    struct id id;
    uint32_t slots;
    char address[32];
    struct rpc_peer *peer;
    bool registered;
    int starts, stops, kills;
    struct fake_worker workers[FAKE_WORKERS];
};
struct fake_place { /* where a fake TaskManager boots */
    struct world *world;
    uint32_t index, slots;
    struct sim_node *node;
};
struct world {
    struct sim *sim;
    struct sim_node *jm_node;
    struct conf *conf;
    struct jm *jm;
    struct fake_tm *tms[FAKES]; /* NULL: not up */
    struct fake_place places[FAKES];
    struct manners manners;
};

/* ---- fake workers ---- */

static UNUSED void fake_ignore(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct fake_worker *w = arg;

    (void)response;
    if (w && error) {
        w->refused++;
        w->last = *error;
    }
}

static UNUSED void fake_report_full(struct fake_worker *w, uint32_t vertex, uint32_t subtask,
                                    uint64_t epoch, Rask__Control__TaskState state, int code,
                                    const char *error)
{
    Rask__Control__TaskStateChanged msg = RASK__CONTROL__TASK_STATE_CHANGED__INIT;
    Rask__Control__TaskMetrics metrics = RASK__CONTROL__TASK_METRICS__INIT;
    Rask__Control__Counter counter = RASK__CONTROL__COUNTER__INIT, *counters[] = {&counter};

    msg.job_id = rpc_id_data(&w->job_id);
    msg.job_epoch = epoch;
    msg.vertex = metrics.vertex = vertex;
    msg.subtask = metrics.subtask = subtask;
    for (uint32_t i = 0; i < w->task_count; i++)
        if (w->tasks[i].vertex == vertex && w->tasks[i].subtask == subtask)
            msg.attempt = w->tasks[i].attempt;
    msg.state = state;
    msg.has_code = code != 0;
    msg.code = code;
    msg.error = (char *)error;
    if (state == T(FINISHED)) {
        metrics.has_records_in = true;
        metrics.records_in = 10;
        msg.metrics = &metrics;
        counter.name = (char *)"seen";
        counter.value = 5;
        msg.n_accumulators = 1;
        msg.accumulators = counters;
    }
    rpc_call(w->peer, RPC_TASK_STATE_CHANGED, &msg.base, 0, fake_ignore, w);
}

static UNUSED void fake_report(struct fake_worker *w, uint32_t vertex, uint32_t subtask,
                               Rask__Control__TaskState state)
{
    fake_report_full(w, vertex, subtask, w->epoch, state, 0, NULL);
}

static UNUSED void fake_report_all(struct fake_worker *w, Rask__Control__TaskState state)
{
    for (uint32_t i = 0; i < w->task_count; i++)
        fake_report(w, w->tasks[i].vertex, w->tasks[i].subtask, state);
}

static void fake_placed(struct fake_worker *w, const Rask__Control__Deploy *msg)
{
    struct graph_regions map;

    graph_regions_init(&map, msg->graph);
    for (size_t p = 0; p < msg->n_placements; p++)
        for (size_t i = 0; i < msg->placements[p]->n_worker; i++)
            if (msg->placements[p]->worker[i] == w->index) {
                CHECK(w->task_count < FAKE_TASKS);
                w->tasks[w->task_count].vertex = msg->placements[p]->vertex;
                w->tasks[w->task_count].region = map.of[msg->placements[p]->vertex][i];
                w->tasks[w->task_count++].subtask = (uint32_t)i;
            }
    graph_regions_release(&map);
}

static void fake_deployed(struct fake_worker *w, const Rask__Control__Deploy *msg)
{
    struct manners *manners = &w->tm->world->manners;

    w->deploys++;
    w->restored = msg->restore ? msg->restore->checkpoint : 0;
    w->finished_vertices = msg->restore ? (uint32_t)msg->restore->n_finished_vertices : 0;
    if (msg->graph)
        fake_placed(w, msg);
    for (size_t r = 0; r < msg->n_regions; r++)
        for (uint32_t i = 0; i < w->task_count; i++) {
            if (w->tasks[i].region != msg->regions[r]->region)
                continue;
            w->tasks[i].attempt = msg->regions[r]->attempt;
            if (w->restored > 0 && w->restored == manners->damaged) {
                fake_report_full(w, w->tasks[i].vertex, w->tasks[i].subtask, w->epoch, T(FAILED), ERR_CORRUPT, "file 3 is damaged");
                continue;
            }
            for (int s = 0; s < 3; s++)
                if (s < 2 ? !manners->no_running : manners->finish)
                    fake_report(w, w->tasks[i].vertex, w->tasks[i].subtask,
                                (const Rask__Control__TaskState[]){T(INITIALIZING), T(RUNNING), T(FINISHED)}[s]);
        }
}

static void fake_canceled(struct fake_worker *w, const Rask__Control__CancelTasks *msg)
{
    w->cancels++;
    if (w->tm->world->manners.ignore_cancel)
        return;
    for (uint32_t i = 0; i < w->task_count; i++) {
        bool meant = msg->n_regions == 0;

        for (size_t r = 0; r < msg->n_regions; r++)
            meant = meant || msg->regions[r] == w->tasks[i].region;
        if (meant)
            fake_report(w, w->tasks[i].vertex, w->tasks[i].subtask, T(CANCELED));
    }
}

/* Says that all its tasks have frozen nothing. */
static UNUSED void fake_ack(struct fake_worker *w, uint64_t checkpoint, const char *error)
{
    Rask__Control__AckCheckpoint msg = RASK__CONTROL__ACK_CHECKPOINT__INIT;
    Rask__Control__SubtaskCheckpoint parts[FAKE_TASKS], *list[FAKE_TASKS];

    msg.job_id = rpc_id_data(&w->job_id);
    msg.job_epoch = w->epoch;
    msg.checkpoint = checkpoint;
    msg.error = (char *)error;
    for (uint32_t i = 0; i < w->task_count; i++) {
        rask__control__subtask_checkpoint__init(&parts[i]);
        parts[i].vertex = w->tasks[i].vertex;
        parts[i].subtask = w->tasks[i].subtask;
        parts[i].has_state_bytes = true;
        parts[i].state_bytes = 100;
        parts[i].has_finished = true;
        parts[i].finished = w->tm->world->manners.finished;
        list[i] = &parts[i];
    }
    msg.n_subtasks = error ? 0 : w->task_count;
    msg.subtasks = list;
    rpc_call(w->peer, RPC_ACK_CHECKPOINT, &msg.base, 0, fake_ignore, w);
}

static void fake_triggered(struct fake_worker *w, const Rask__Control__TriggerCheckpoint *msg)
{
    w->triggers++;
    w->full += msg->full;
    w->disorder += msg->checkpoint <= w->last_checkpoint;
    w->last_checkpoint = msg->checkpoint;
    snprintf(w->dir, sizeof(w->dir), "%s", msg->dir);
    if (!w->tm->world->manners.no_ack)
        fake_ack(w, msg->checkpoint, w->tm->world->manners.decline ? "no space left" : NULL);
}

static void fake_aborted(struct fake_worker *w, const Rask__Control__AbortCheckpoint *msg,
                         struct rpc_request *request)
{
    Rask__Control__AbortCheckpointOk ok = RASK__CONTROL__ABORT_CHECKPOINT_OK__INIT;
    Rask__Control__SubtaskPhase phase = RASK__CONTROL__SUBTASK_PHASE__INIT, *list[] = {&phase};

    w->aborts++;
    phase.vertex = w->tasks[0].vertex;
    phase.subtask = w->tasks[0].subtask;
    phase.phase = (char *)"had not got a barrier";
    ok.checkpoint = msg->checkpoint;
    ok.n_late = 1;
    ok.late = list;
    rpc_reply(request, &ok.base);
}

static void fake_metrics(struct fake_worker *w, struct rpc_request *request)
{
    Rask__Control__WorkerMetrics msg = RASK__CONTROL__WORKER_METRICS__INIT;
    Rask__Control__TaskMetrics metrics = RASK__CONTROL__TASK_METRICS__INIT, *tasks[] = {&metrics};

    metrics.vertex = w->tasks[0].vertex;
    metrics.subtask = w->tasks[0].subtask;
    metrics.has_records_in = true;
    metrics.records_in = 7;
    msg.n_tasks = 1;
    msg.tasks = tasks;
    rpc_reply(request, &msg.base);
}

static void fake_worker_request(void *arg, struct rpc_peer *peer, enum rpc_method method,
                                const ProtobufCMessage *message, struct rpc_request *request)
{
    struct fake_worker *w = arg;

    (void)peer;
    if (method == RPC_GET_METRICS) {
        fake_metrics(w, request);
        return;
    }
    if (method == RPC_ABORT_CHECKPOINT) {
        fake_aborted(w, (const Rask__Control__AbortCheckpoint *)message, request);
        return;
    }
    rpc_ok(request);
    if (method == RPC_TRIGGER_CHECKPOINT)
        fake_triggered(w, (const Rask__Control__TriggerCheckpoint *)message);
    if (method == RPC_COMPLETE_CHECKPOINT)
        w->completes++;
    if (method == RPC_DEPLOY)
        fake_deployed(w, (const Rask__Control__Deploy *)message);
    if (method == RPC_DELIVER_EVENT)
        w->events++;
    if (method == RPC_CANCEL_TASKS)
        fake_canceled(w, (const Rask__Control__CancelTasks *)message);
}

static void fake_plan(struct fake_worker *w)
{
    Rask__Control__PlanBuilt msg = RASK__CONTROL__PLAN_BUILT__INIT;
    Rask__Graph__StreamGraph graph = RASK__GRAPH__STREAM_GRAPH__INIT;

    if (w->tm->world->manners.plan_silent)
        return;
    graph.job_name = (char *)"planned";
    msg.job_id = rpc_id_data(&w->job_id);
    msg.error = (char *)w->tm->world->manners.plan_error;
    msg.graph = msg.error ? NULL : &graph;
    rpc_call(w->peer, RPC_PLAN_BUILT, &msg.base, 0, fake_ignore, w);
}

static void fake_registered(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct fake_worker *w = arg;

    fake_ignore(w, error, response);
    w->registered = !error;
    if (!error && w->plan)
        fake_plan(w);
}

static void fake_register(struct fake_worker *w, uint64_t epoch)
{
    Rask__Control__RegisterWorker msg = RASK__CONTROL__REGISTER_WORKER__INIT;

    msg.job_id = rpc_id_data(&w->job_id);
    msg.job_epoch = epoch;
    msg.worker_index = w->index;
    msg.has_process = true;
    msg.process = w->process;
    msg.pid = 4711;
    rpc_call(w->peer, RPC_REGISTER_WORKER, &msg.base, 0, fake_registered, w);
}

static void fake_worker_ready(void *arg, struct rpc_peer *peer)
{
    (void)peer;
    fake_register(arg, ((struct fake_worker *)arg)->epoch);
}

static void fake_worker_closed(void *arg, struct rpc_peer *peer, const struct err *why)
{
    struct fake_worker *w = arg;

    (void)peer;
    w->last = *why;
    w->peer = NULL;
}

static const struct rpc_handler fake_worker_handler = {.on_ready = fake_worker_ready,
                                                       .on_request = fake_worker_request,
                                                       .on_close = fake_worker_closed};

static void fake_worker_connect(struct fake_worker *w, const Rask__Control__StartWorker *msg)
{
    struct rpc_identity self = {
        .role = RASK__CONTROL__ROLE__WORKER, .job_epoch = w->epoch, .has_secret = true};

    self.job_id = w->job_id;
    self.taskmanager_id = w->tm->id;
    memcpy(self.secret, msg->secret.data, sizeof(self.secret));
    w->peer = rpc_connect(w->tm->env, msg->jobmanager_address, &self, &fake_worker_handler, w);
}

/* ---- fake TaskManagers ---- */

static struct fake_worker *fake_worker_of(struct fake_tm *tm, const struct id *job_id)
{
    for (uint32_t i = 0; i < FAKE_WORKERS; i++)
        if (tm->workers[i].used && id_equal(&tm->workers[i].job_id, job_id))
            return &tm->workers[i];
    return NULL;
}

/* The process is gone: its connection closes; the obituary follows if told. */
static UNUSED void fake_die(struct fake_worker *w, bool close, bool obituary, bool expected,
                            const char *reason)
{
    Rask__Control__WorkerExited msg = RASK__CONTROL__WORKER_EXITED__INIT;

    if (close && w->peer) {
        rpc_close(w->peer);
        w->peer = NULL;
    }
    if (!obituary)
        return;
    msg.job_id = rpc_id_data(&w->job_id);
    msg.job_epoch = w->epoch;
    msg.has_process = true;
    msg.process = w->process;
    msg.pid = 4711;
    msg.reason = (char *)reason;
    msg.has_expected = true;
    msg.expected = expected;
    if (!expected) {
        msg.task = (char *)"map (1/2)";
        msg.stack = (char *)"#0 boom\n#1 main";
    }
    rpc_call(w->tm->peer, RPC_WORKER_EXITED, &msg.base, 0, fake_ignore, NULL);
    w->used = false;
}

static void fake_start_worker(struct fake_tm *tm, const Rask__Control__StartWorker *msg,
                              struct rpc_request *request)
{
    Rask__Control__StartWorkerOk ok = RASK__CONTROL__START_WORKER_OK__INIT;
    struct fake_worker *w = NULL;

    tm->starts++;
    if (tm->world->manners.refuse_start) {
        rpc_fail(request, ERR_NO_MEMORY, "no memory for a process");
        return;
    }
    for (uint32_t i = 0; i < FAKE_WORKERS && !w; i++)
        if (!tm->workers[i].used)
            w = &tm->workers[i];
    CHECK(w != NULL);
    *w = (struct fake_worker){
        .tm = tm, .used = true, .epoch = msg->job_epoch, .index = msg->worker_index, .process = msg->process};
    w->plan = msg->has_plan_artifact;
    CHECK(rpc_id(&msg->job_id, &w->job_id));
    ok.pid = 4711;
    rpc_reply(request, &ok.base);
    if (!tm->world->manners.no_worker)
        fake_worker_connect(w, msg);
}

static void fake_stop_worker(struct fake_tm *tm, const Rask__Control__StopWorker *msg)
{
    struct fake_worker *w;
    struct id id;

    tm->stops++;
    tm->kills += msg->kill;
    CHECK(rpc_id(&msg->job_id, &id));
    w = fake_worker_of(tm, &id);
    if (w && !tm->world->manners.ignore_stop)
        fake_die(w, true, true, true, "was stopped");
}

static void fake_tm_request(void *arg, struct rpc_peer *peer, enum rpc_method method,
                            const ProtobufCMessage *message, struct rpc_request *request)
{
    Rask__Control__ReadFileOk file = RASK__CONTROL__READ_FILE_OK__INIT;
    struct fake_tm *tm = arg;

    (void)peer;
    if (method == RPC_START_WORKER) {
        fake_start_worker(tm, (const Rask__Control__StartWorker *)message, request);
    } else if (method == RPC_READ_FILE) {
        file.data = (ProtobufCBinaryData){.len = 5, .data = (uint8_t *)"hello"};
        file.size = 5;
        rpc_reply(request, &file.base);
    } else {
        rpc_ok(request);
        if (method == RPC_STOP_WORKER)
            fake_stop_worker(tm, (const Rask__Control__StopWorker *)message);
    }
}

static void fake_tm_registered(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    (void)response;
    ((struct fake_tm *)arg)->registered = !error;
}

static void fake_tm_ready(void *arg, struct rpc_peer *peer)
{
    Rask__Control__RegisterTaskManager msg = RASK__CONTROL__REGISTER_TASK_MANAGER__INIT;
    struct fake_tm *tm = arg;

    msg.taskmanager_id = rpc_id_data(&tm->id);
    msg.host = (char *)"host";
    msg.data_address = tm->address;
    msg.slots = tm->slots;
    msg.process_bytes = 1000;
    msg.slot_bytes = 100;
    msg.pid = 42;
    rpc_call(peer, RPC_REGISTER_TASKMANAGER, &msg.base, 0, fake_tm_registered, tm);
}

static void fake_tm_closed(void *arg, struct rpc_peer *peer, const struct err *why)
{
    struct fake_tm *tm = arg;

    (void)why;
    if (tm->peer != peer)
        return; /* an earlier one */
    tm->peer = NULL;
    tm->registered = false;
}

static const struct rpc_handler fake_tm_handler = {
    .on_ready = fake_tm_ready, .on_request = fake_tm_request, .on_close = fake_tm_closed};

static void fake_tm_connect(struct fake_tm *tm)
{
    struct rpc_identity self = {.role = RASK__CONTROL__ROLE__TASKMANAGER, .taskmanager_id = tm->id};

    tm->peer = rpc_connect(tm->env, "jm:6123", &self, &fake_tm_handler, tm);
}

static void *fake_tm_boot(struct env *env, struct sim_node *node, void *arg)
{
    const struct fake_place *place = arg;
    struct fake_tm *tm = MEM_NEW(struct fake_tm);

    tm->world = place->world;
    tm->env = env;
    tm->node = node;
    tm->slots = place->slots;
    tm->id = id_from_u64(0xa0 + place->index, env_rand_u64(env));
    snprintf(tm->address, sizeof(tm->address), "tm%u:7000", place->index);
    place->world->tms[place->index] = tm;
    fake_tm_connect(tm);
    return tm;
}

static void fake_tm_free(void *core)
{
    struct fake_tm *tm = core;

    for (uint32_t i = 0; i < FAKE_WORKERS; i++)
        if (tm->workers[i].used && tm->workers[i].peer)
            rpc_close(tm->workers[i].peer);
    if (tm->peer)
        rpc_close(tm->peer);
    for (uint32_t i = 0; i < FAKES; i++)
        if (tm->world->tms[i] == tm)
            tm->world->tms[i] = NULL;
    mem_free(tm);
}

static const struct sim_node_kind fake_tm_kind = {
    .name = "fake_tm", .boot = fake_tm_boot, .free = fake_tm_free};

/* ---- the world ---- */

static void *world_jm_boot(struct env *env, struct sim_node *node, void *arg)
{
    struct world *world = arg;
    struct jm_options options = {
        .conf = world->conf, .rpc_address = "jm:6123", .work_dir = "/work"};
    struct err err = {0};

    (void)node;
    if (jm_new(env, &options, &world->jm, &err) < 0)
        fail_msg("%s", err.text);
    return world->jm;
}

static void world_jm_free(void *core)
{
    jm_free(core);
}

static const struct sim_node_kind world_jm_kind = {
    .name = "jm", .boot = world_jm_boot, .free = world_jm_free};

static UNUSED void world_set(struct world *world, const char *key, const char *value)
{
    struct err err = {0};

    if (conf_set(world->conf, key, value, "test", &err) < 0)
        fail_msg("%s", err.text);
}

static struct world *world_new_seed(uint64_t seed)
{
    struct world *world = MEM_NEW(struct world);

    world->sim = sim_new(seed);
    world->conf = conf_new();
    world_set(world, "security.allow-plaintext", "true");
    world_set(world, "jobmanager.rpc.address", "jm");
    world->jm_node = sim_node_add(world->sim, "jm", &world_jm_kind, world);
    return world;
}

static UNUSED struct world *world_new(void)
{
    return world_new_seed(7);
}

static UNUSED void world_boot(struct world *world)
{
    sim_boot(world->jm_node);
}

static UNUSED void world_free(struct world *world)
{
    bool good = sim_free(world->sim);

    conf_free(world->conf);
    mem_free(world);
    assert_true(good);
}

static UNUSED void world_add(struct world *world, uint32_t index, uint32_t slots)
{
    char name[8];

    snprintf(name, sizeof(name), "tm%u", index);
    world->places[index].world = world;
    world->places[index].index = index;
    world->places[index].slots = slots;
    world->places[index].node =
        sim_node_add(world->sim, name, &fake_tm_kind, &world->places[index]);
    sim_boot(world->places[index].node);
}

static UNUSED void world_run_ms(struct world *world, uint64_t ms)
{
    assert_true(sim_run_for(world->sim, ms * SIM_MS));
}

/* A JobManager with TaskManagers of so many slots each. */
static UNUSED struct world *world_with(uint32_t taskmanagers, uint32_t slots)
{
    struct world *world = world_new();

    world_boot(world);
    for (uint32_t i = 0; i < taskmanagers; i++)
        world_add(world, i, slots);
    world_run_ms(world, 100);
    return world;
}

/* ---- commands ---- */

static void world_done(struct jm_command *command)
{
    command->arg = command;
}

/* Started; it is done once command->arg is set. */
static UNUSED void world_begin(struct world *world, struct jm_command *command)
{
    command->done = world_done;
    command->arg = NULL;
    jm_execute(world->jm, command);
}

static bool world_is_done(void *arg)
{
    return ((struct jm_command *)arg)->arg != NULL;
}

static UNUSED int world_do(struct world *world, struct jm_command *command)
{
    world_begin(world, command);
    assert_true(sim_run_until(world->sim, world_is_done, command, 100 * (uint64_t)SIM_S));
    assert_true(world_is_done(command));
    return command->code;
}

/* source -> sink, not chained, so a vertex each, and the source's hidden enumerator. */
struct sample {
    Rask__Graph__StreamGraph graph, *ptr;
    Rask__Graph__StreamNode nodes[2], *node_ptrs[2];
    Rask__Graph__StreamEdge edge, *edge_ptrs[1];
    Rask__Graph__OperatorSpec ops[2];
    Rask__Graph__Schema schema;
    Rask__Graph__Field field, *fields[1];
    Rask__Graph__Property props[3], *prop_ptrs[3], config, *config_ptrs[1];
    Rask__Graph__Property sink_prop, *sink_props[1];
    struct id id;
};

static UNUSED void sample_init(struct sample *s, uint64_t number, uint32_t parallelism)
{
    static const char *const pairs[][2] = {
        {"connector", "sequence"}, {"first", "1"}, {"last", "10"}};

    memset(s, 0, sizeof(*s));
    s->id = id_from_u64(0x10b, number);
    rask__graph__stream_graph__init(&s->graph);
    rask__graph__schema__init(&s->schema);
    rask__graph__field__init(&s->field);
    rask__graph__stream_edge__init(&s->edge);
    s->field.name = (char *)"n";
    s->field.type = (char *)"BIGINT";
    s->fields[0] = &s->field;
    s->schema.name = (char *)"numbers";
    s->schema.n_fields = 1;
    s->schema.fields = s->fields;
    for (int i = 0; i < 3; i++) {
        rask__graph__property__init(&s->props[i]);
        s->props[i].key = (char *)pairs[i][0];
        s->props[i].value = (char *)pairs[i][1];
        s->prop_ptrs[i] = &s->props[i];
    }
    for (int i = 0; i < 2; i++) {
        rask__graph__stream_node__init(&s->nodes[i]);
        rask__graph__operator_spec__init(&s->ops[i]);
        s->nodes[i].id = (uint32_t)i + 1;
        s->nodes[i].op = &s->ops[i];
        s->nodes[i].has_chaining = true;
        s->nodes[i].chaining = RASK__GRAPH__CHAINING__NEVER;
        s->node_ptrs[i] = &s->nodes[i];
    }
    s->nodes[0].name = (char *)"numbers";
    s->nodes[0].out = &s->schema;
    s->ops[0].type = (char *)"source";
    s->ops[0].n_properties = 3;
    s->ops[0].properties = s->prop_ptrs;
    s->nodes[1].name = (char *)"nowhere";
    s->nodes[1].in = &s->schema;
    s->ops[1].type = (char *)"sink";
    rask__graph__property__init(&s->sink_prop);
    s->sink_prop.key = (char *)"connector";
    s->sink_prop.value = (char *)"discard";
    s->sink_props[0] = &s->sink_prop;
    s->ops[1].n_properties = 1;
    s->ops[1].properties = s->sink_props;
    s->edge.source = 1;
    s->edge.target = 2;
    s->edge.partitioner = RASK__GRAPH__PARTITIONER__UNSET;
    s->edge_ptrs[0] = &s->edge;
    s->graph.job_name = (char *)"sample";
    s->graph.n_nodes = 2;
    s->graph.nodes = s->node_ptrs;
    s->graph.n_edges = 1;
    s->graph.edges = s->edge_ptrs;
    s->graph.has_parallelism = true;
    s->graph.parallelism = parallelism;
    s->graph.has_job_id = true;
    s->graph.job_id = rpc_id_data(&s->id);
}

static UNUSED void sample_config(struct sample *s, const char *key, const char *value)
{
    rask__graph__property__init(&s->config);
    s->config.key = (char *)key;
    s->config.value = (char *)value;
    s->config_ptrs[0] = &s->config;
    s->graph.n_config = 1;
    s->graph.config = s->config_ptrs;
}

static UNUSED int world_submit_sample(struct world *world, struct sample *s)
{
    struct jm_command command = {.type = JM_SUBMIT, .graph = &s->graph};
    int code = world_do(world, &command);

    if (code < 0)
        print_message("submit: %s\n", command.err.text);
    return code;
}

static UNUSED void world_submit(struct world *world, uint64_t number, uint32_t parallelism)
{
    struct sample s;

    sample_init(&s, number, parallelism);
    assert_int_equal(world_submit_sample(world, &s), 0);
}

/* The job as REST would see it: one reference, the caller's. */
static UNUSED struct jm_job_snapshot *world_job(struct world *world, uint64_t number)
{
    struct jm_command command = {.type = JM_LOAD_JOB, .job_id = id_from_u64(0x10b, number)};

    assert_int_equal(world_do(world, &command), 0);
    return command.job;
}

static enum jm_job_state UNUSED world_state(struct world *world, uint64_t number)
{
    struct jm_job_snapshot *job = world_job(world, number);
    enum jm_job_state state = job->state;

    jm_job_snapshot_unref(job);
    return state;
}

#define assert_state(world, number, name) \
    assert_string_equal(jm_job_state_name(world_state(world, number)), #name)

static UNUSED int world_cancel(struct world *world, uint64_t number)
{
    struct jm_command command = {.type = JM_CANCEL, .job_id = id_from_u64(0x10b, number)};

    return world_do(world, &command);
}

/* Of job 1. */
static UNUSED struct jm_ckpt *world_ckpt(struct world *world)
{
    struct id id = id_from_u64(0x10b, 1);
    struct jm_job *job = jm_dispatcher_job(&world->jm->dispatcher, &id);

    assert_non_null(job);
    return job->ckpt;
}

static UNUSED struct fake_worker *world_worker(struct world *world, uint32_t tm, uint64_t number)
{
    struct id id = id_from_u64(0x10b, number);
    struct fake_worker *w = fake_worker_of(world->tms[tm], &id);

    assert_non_null(w);
    return w;
}

static UNUSED void assert_all_free(struct world *world, uint32_t slots)
{
    assert_int_equal(world->jm->resource.slots, slots);
    assert_int_equal(world->jm->resource.used, 0);
    for (struct map_iter it = map_iter(world->jm->resource.taskmanagers); map_next(&it);) {
        struct jm_taskmanager *tm = it.value;

        assert_int_equal(tm->used, 0);
        assert_true(list_empty(&tm->allocations));
    }
}

/* The reason of a job holds the text. */
static UNUSED void assert_reason(struct world *world, uint64_t number, const char *text)
{
    struct jm_job_snapshot *job = world_job(world, number);

    if (!job->reason || !strstr(job->reason, text))
        fail_msg("the reason is \"%s\", without \"%s\"", job->reason ? job->reason : "(none)",
                 text);
    jm_job_snapshot_unref(job);
}

#endif
