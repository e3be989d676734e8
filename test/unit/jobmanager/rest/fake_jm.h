/*
 * fake_jm.h - a JobManager for the tests of REST: one cluster as a snapshot, commands answered from a thread of its own.
 * Included by one file per test program; it defines the functions of jm.h.
 */
#ifndef TEST_FAKE_JM_H
#define TEST_FAKE_JM_H

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/graph/graph.h"
#include "jobmanager/jm.h"

#define FAKE_RUNNING "000000000000000000000000000000a1"
#define FAKE_FAILED "000000000000000000000000000000a2"
#define FAKE_FINISHED "000000000000000000000000000000a3"
#define FAKE_CANCELED "000000000000000000000000000000a4"
#define FAKE_WAITING "000000000000000000000000000000a5"
#define FAKE_VERTEX "000000000000000000000000000000b1"
#define FAKE_TASKMANAGER "000000000000000000000000000000c1"
#define FAKE_NOW 1795350200000

struct jm {
    pthread_mutex_t lock;
    uint32_t under_way;
    uint8_t blob[32];
    char submitted[64];       /* the name of the last job */
    uint32_t parallelism;     /* of the last submission */
    char plan_arg[64];        /* the last plan: key=value of the first parameter */
    const char *plan_error;   /* what JM_PLAN fails with, or NULL */
    bool hold;                /* commands wait until this is false */
};

static const struct jm_live fake_live[] = {
    {.records_in_rate = 12.5, .busy = 300, .idle = 100, .soft = 550, .hard = 50, .input_queue_length = 3, .watermark = INT64_MIN,
     .out_permille = 1000, .hot_key_group = 77, .hot_permille = 250},
    {.records_in_rate = 7.5, .busy = 200, .idle = 780, .soft = 20, .watermark = 5000},
};

static struct jm_subtask_snapshot fake_subtask(uint32_t i, Rask__Control__TaskState state)
{
    struct jm_subtask_snapshot s = {.subtask = i, .state = state, .host = (char *)"localhost",
                                    .endpoint = (char *)"localhost:41365",
                                    .metrics = {.records_in = 100 + i, .records_out = 10, .busy_ms = 5, .complete = true}};

    for (int k = 0; k <= RASK__CONTROL__TASK_STATE__RUNNING; k++)
        s.state_at_ms[k] = FAKE_NOW - 5000 + k * 10;
    if (state != RASK__CONTROL__TASK_STATE__RUNNING)
        s.state_at_ms[state] = FAKE_NOW - 1000;
    s.taskmanager_id = FAKE_TASKMANAGER;
    if (state == RASK__CONTROL__TASK_STATE__RUNNING)
        s.live = &fake_live[i];
    return s;
}

static void fake_vertex(struct arena *a, struct jm_vertex_snapshot *v, const char *id, const char *name,
                        Rask__Control__TaskState state)
{
    CHECK(id_parse(id, &v->id));
    v->name = arena_strdup(a, name);
    v->parallelism = 2;
    v->max_parallelism = 128;
    v->slot_group = arena_strdup(a, "default");
    v->tasks[state] = 2;
    v->state = state;
    v->start_ms = FAKE_NOW - 5000;
    v->end_ms = state == RASK__CONTROL__TASK_STATE__RUNNING ? -1 : FAKE_NOW - 1000;
    v->subtasks = arena_alloc(a, 2 * sizeof(v->subtasks[0]));
    for (uint32_t i = 0; i < 2; i++)
        v->subtasks[i] = fake_subtask(i, state);
    v->metrics = v->subtasks[0].metrics;
}

static void fake_failure(struct arena *a, struct jm_job_snapshot *j)
{
    j->failure_count = 1;
    j->failures = arena_alloc(a, sizeof(j->failures[0]));
    j->failures[0] = (struct jm_failure_snapshot){FAKE_NOW - 1000, arena_strdup(a, "count: \"deliberate\" failure"),
                                                  arena_strdup(a, "count (1/2)"), arena_strdup(a, "localhost:41365"),
                                                  arena_strdup(a, FAKE_TASKMANAGER)};
}

static struct jm_job_snapshot *fake_job(const char *id)
{
    static const struct {
        const char *id, *name;
        enum jm_job_state state;
        Rask__Control__TaskState task;
    } jobs[] = {{FAKE_RUNNING, "running-job", JM_JOB_RUNNING, RASK__CONTROL__TASK_STATE__RUNNING},
                {FAKE_FAILED, "failed-job", JM_JOB_FAILED, RASK__CONTROL__TASK_STATE__FAILED},
                {FAKE_FINISHED, "finished-job", JM_JOB_FINISHED, RASK__CONTROL__TASK_STATE__FINISHED},
                {FAKE_CANCELED, "canceled-job", JM_JOB_CANCELED, RASK__CONTROL__TASK_STATE__CANCELED},
                {FAKE_WAITING, "waiting-job", JM_JOB_CREATED, RASK__CONTROL__TASK_STATE__CREATED}};
    struct jm_job_snapshot *j = jm_job_snapshot_new();
    size_t k = 0;

    while (k < ARRAY_LEN(jobs) && strcmp(jobs[k].id, id) != 0)
        k++;
    if (k == ARRAY_LEN(jobs)) {
        jm_job_snapshot_unref(j);
        return NULL;
    }
    CHECK(id_parse(id, &j->id));
    j->name = arena_strdup(&j->arena, jobs[k].name);
    j->state = jobs[k].state;
    j->start_ms = FAKE_NOW - 6000;
    j->end_ms = jm_job_state_is_final(j->state) ? FAKE_NOW - 1000 : -1;
    j->state_at_ms[j->state] = FAKE_NOW - 1000;
    j->parallelism = 2;
    j->tasks[jobs[k].task] = 2;
    j->vertex_count = 2;
    j->vertices = arena_alloc(&j->arena, 2 * sizeof(j->vertices[0]));
    fake_vertex(&j->arena, &j->vertices[0], "000000000000000000000000000000b0", "enumerator", jobs[k].task);
    j->vertices[0].hidden = true;
    fake_vertex(&j->arena, &j->vertices[1], FAKE_VERTEX, "Source: gen -> map", jobs[k].task);
    j->worker_count = 1;
    j->packed_bytes = 4520;
    j->packed_sent_bytes = 1020;
    j->workers = arena_alloc(&j->arena, sizeof(*j->workers));
    j->plan_json = arena_strdup(&j->arena,
                                "{\"jid\":\"" FAKE_RUNNING "\",\"name\":\"x\",\"type\":\"STREAMING\",\"nodes\":[{\"id\":\"" FAKE_VERTEX
                                "\",\"parallelism\":2,\"operator\":\"\",\"operator_strategy\":\"\",\"description\":\"gen<br/>\","
                                "\"inputs\":[{\"num\":0,\"id\":\"" FAKE_VERTEX
                                "\",\"ship_strategy\":\"HASH\",\"exchange\":\"pipelined_bounded\"}],\"optimizer_properties\":{}}]}");
    if (j->state == JM_JOB_FAILED)
        fake_failure(&j->arena, j);
    if (j->state == JM_JOB_CREATED)
        j->reason = arena_strdup(&j->arena, "needs 4 slots, 2 are free");
    j->accumulator_count = 1;
    j->accumulators = arena_alloc(&j->arena, sizeof(j->accumulators[0]));
    j->accumulators[0].name = arena_strdup(&j->arena, "lines");
    j->accumulators[0].value = 42;
    j->config_count = 1;
    j->config = arena_alloc(&j->arena, sizeof(j->config[0]));
    j->config[0].key = arena_strdup(&j->arena, "s3.secret-key");
    j->config[0].value = arena_strdup(&j->arena, "hush");
    return j;
}

struct jm_cluster_snapshot *jm_snapshot(struct jm *jm)
{
    struct jm_cluster_snapshot *c = MEM_NEW(struct jm_cluster_snapshot);
    static const char *const living[] = {FAKE_RUNNING, FAKE_FAILED, FAKE_WAITING};
    static const char *const over[] = {FAKE_FINISHED, FAKE_CANCELED};

    (void)jm;
    c->refs = 1;
    c->made_ms = FAKE_NOW;
    c->slots = 4;
    c->slots_free = 2;
    c->taskmanager_count = 1;
    c->taskmanagers = mem_alloc(sizeof(c->taskmanagers[0]));
    c->taskmanagers[0] = (struct jm_taskmanager_snapshot){
        .host = mem_strdup("localhost"), .data_address = mem_strdup("localhost:41365"), .rpc_address = mem_strdup("127.0.0.1:4242"),
        .slots = 2, .slots_free = 1, .process_bytes = 1811939328, .slot_bytes = 889192448, .managed_bytes = 711353958,
        .network_bytes = 177838489, .physical_memory_bytes = 25276510208, .cpu_cores = 2, .heartbeat_ms = FAKE_NOW,
        .allocated_count = 1, .allocated = mem_alloc(sizeof(struct jm_allocated_slot))};
    snprintf(c->taskmanagers[0].id, ID_TEXT_MAX, "%s", FAKE_TASKMANAGER);
    CHECK(id_parse(FAKE_RUNNING, &c->taskmanagers[0].allocated[0].job_id));
    c->taskmanagers[0].allocated[0].slots = 1;
    c->job_count = ARRAY_LEN(living);
    c->jobs = mem_alloc_array(c->job_count, sizeof(c->jobs[0]));
    for (uint32_t i = 0; i < c->job_count; i++)
        c->jobs[i] = fake_job(living[i]);
    c->finished_count = ARRAY_LEN(over);
    c->finished = mem_alloc_array(c->finished_count, sizeof(c->finished[0]));
    for (uint32_t i = 0; i < c->finished_count; i++) {
        struct jm_finished_job *f = mem_alloc(sizeof(*f) + 16);

        f->refs = 1;
        CHECK(id_parse(over[i], &f->id));
        f->state = i ? JM_JOB_CANCELED : JM_JOB_FINISHED;
        f->start_ms = FAKE_NOW - 6000;
        f->end_ms = FAKE_NOW - 1000;
        memcpy(f->name, "finished-job", 13);
        c->finished[i] = f;
    }
    return c;
}

/* A graph of one source and one sink. */
static void fake_graph(struct bytes *out, const uint8_t *artifact, const struct id *job_id)
{
    Rask__Graph__StreamGraph g = RASK__GRAPH__STREAM_GRAPH__INIT;
    Rask__Graph__StreamNode n[2] = {RASK__GRAPH__STREAM_NODE__INIT, RASK__GRAPH__STREAM_NODE__INIT}, *nodes[] = {&n[0], &n[1]};
    Rask__Graph__OperatorSpec op[2] = {RASK__GRAPH__OPERATOR_SPEC__INIT, RASK__GRAPH__OPERATOR_SPEC__INIT};
    Rask__Graph__StreamEdge e = RASK__GRAPH__STREAM_EDGE__INIT, *edges[] = {&e};
    Rask__Graph__Schema schema = RASK__GRAPH__SCHEMA__INIT;
    Rask__Graph__Field field = RASK__GRAPH__FIELD__INIT, *fields[] = {&field};

    field.name = (char *)"line";
    field.type = (char *)"STRING";
    schema.name = (char *)"text";
    schema.n_fields = 1;
    schema.fields = fields;
    for (uint32_t i = 0; i < 2; i++) {
        n[i].id = i + 1;
        n[i].name = (char *)(i ? "Sink: Discard" : "Source: Text");
        n[i].op = &op[i];
        op[i].type = (char *)(i ? "sink" : "source");
    }
    n[0].out = &schema;
    n[1].in = &schema;
    e.source = 1;
    e.target = 2;
    e.partitioner = RASK__GRAPH__PARTITIONER__REBALANCE;
    g.job_name = (char *)"posted";
    g.n_nodes = 2;
    g.nodes = nodes;
    g.n_edges = 1;
    g.edges = edges;
    if (artifact) {
        g.has_artifact = 1;
        g.artifact.data = (uint8_t *)artifact;
        g.artifact.len = 32;
    }
    if (job_id) {
        g.has_job_id = 1;
        g.job_id.data = (uint8_t *)job_id->bytes;
        g.job_id.len = 16;
    }
    bytes_reserve(out, rask__graph__stream_graph__get_packed_size(&g));
    out->len = rask__graph__stream_graph__pack(&g, out->data);
}

static void fake_read(struct jm_command *c)
{
    static const char content[] = "1> one\n1> two\n";

    if (strcmp(c->name, "nope.log") == 0) {
        c->code = err_set(&c->err, ERR_NOT_FOUND, "no file nope.log");
        return;
    }
    c->size = sizeof(content) - 1;
    if (c->offset < c->size)
        bytes_add(&c->result, content + c->offset, MIN(c->size - c->offset, c->max));
}

static void fake_list(struct jm_command *c)
{
    Rask__Control__ListFilesOk ok = RASK__CONTROL__LIST_FILES_OK__INIT;
    Rask__Control__FileInfo info = RASK__CONTROL__FILE_INFO__INIT, *files[] = {&info};

    info.name = (char *)"taskmanager.log";
    info.size = 14;
    info.modified_ms = FAKE_NOW;
    ok.n_files = 1;
    ok.files = files;
    bytes_reserve(&c->result, rask__control__list_files_ok__get_packed_size(&ok));
    c->result.len = rask__control__list_files_ok__pack(&ok, c->result.data);
}

static void fake_execute(struct jm *jm, struct jm_command *c)
{
    char id[ID_TEXT_MAX];

    switch (c->type) {
    case JM_PUT_BLOB:
        hash_sha256(c->data, c->len, c->hash);
        memcpy(jm->blob, c->hash, 32);
        break;
    case JM_SUBMIT:
        snprintf(jm->submitted, sizeof(jm->submitted), "%s", c->graph->job_name);
        jm->parallelism = c->client_parallelism;
        break;
    case JM_CANCEL:
        if (strcmp(id_format(&c->job_id, id), FAKE_RUNNING) != 0)
            c->code = err_set(&c->err, ERR_NOT_FOUND, "no such job");
        break;
    case JM_PLAN:
        if (jm->plan_error)
            c->code = err_set(&c->err, ERR_USER, "%s", jm->plan_error);
        else
            fake_graph(&c->result, c->hash, NULL);
        if (c->param_count)
            snprintf(jm->plan_arg, sizeof(jm->plan_arg), "%s=%s", c->params[0]->key, c->params[0]->value);
        break;
    case JM_READ_FILE: fake_read(c); break;
    case JM_LIST_FILES: fake_list(c); break;
    case JM_LOAD_JOB:
        c->job = fake_job(id_format(&c->job_id, id));
        if (!c->job)
            c->code = err_set(&c->err, ERR_NOT_FOUND, "no such job");
        break;
    default: c->code = err_set(&c->err, ERR_UNSUPPORTED, "not faked");
    }
}

static void *fake_thread(void *arg)
{
    struct jm_command *c = arg;
    struct jm *jm = c->jm;

    while (__atomic_load_n(&jm->hold, __ATOMIC_ACQUIRE))
        sched_yield();
    fake_execute(jm, c);
    c->done(c);
    __atomic_sub_fetch(&jm->under_way, 1, __ATOMIC_ACQ_REL);
    return NULL;
}

void jm_execute(struct jm *jm, struct jm_command *c)
{
    pthread_t thread;

    c->jm = jm;
    __atomic_add_fetch(&jm->under_way, 1, __ATOMIC_ACQ_REL);
    CHECK(pthread_create(&thread, NULL, fake_thread, c) == 0);
    pthread_detach(thread);
}

void jm_touch(struct jm *jm, const struct id *job_id)
{
    (void)jm;
    (void)job_id;
}

static void fake_wait(struct jm *jm)
{
    while (__atomic_load_n(&jm->under_way, __ATOMIC_ACQUIRE))
        sched_yield();
}

#endif
