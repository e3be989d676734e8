/* test_store.c - artifacts, jobs that are over, plans, files. */
#include "test/unit/jobmanager/world.h"

#include "common/base/hash.h"
#include "common/fs/fs.h"

static size_t listed;
static void on_listed(void *arg, const struct fs_result *result)
{
    (void)arg;
    listed = result->code < 0 ? 0 : result->name_count;
}

static size_t files_in(struct world *w, const char *folder)
{
    struct fs *fs = sim_env(w->jm_node)->fs;
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", jm_work_dir(w->jm), folder);
    world_run_ms(w, 100); /* what is under way */
    fs->ops->list(fs, path, on_listed, NULL);
    world_run_ms(w, 100);
    return listed;
}

static int put(struct world *w, const void *data, size_t len, uint8_t hash[32])
{
    struct jm_command command = {.type = JM_PUT_BLOB, .data = data, .len = len};
    int code = world_do(w, &command);

    memcpy(hash, command.hash, 32);
    return code;
}

/* ---- artifacts ---- */

static struct {
    struct bytes data;
    uint64_t size;
    int calls, code;
} got;

static void on_part(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    const Rask__Control__GetBlobOk *ok = (const Rask__Control__GetBlobOk *)response;

    (void)arg;
    got.calls++;
    got.code = error ? error->code : 0;
    if (error)
        return;
    bytes_add(&got.data, ok->data.data, ok->data.len);
    got.size = ok->size;
}

static void get(struct world *w, struct fake_worker *worker, const uint8_t hash[32],
                uint64_t offset)
{
    Rask__Control__GetBlob msg = RASK__CONTROL__GET_BLOB__INIT;

    msg.hash = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)hash};
    msg.offset = offset;
    msg.max = 1u << 30;
    rpc_call(worker->peer, RPC_GET_BLOB, &msg.base, 0, on_part, NULL);
    world_run_ms(w, 1000);
}

static void artifacts_reach_the_workers_of_their_job(void **state)
{
    enum { SIZE = (2 << 20) + 12345 };
    struct world *w = world_with(1, 2);
    uint8_t *data = mem_alloc(SIZE), hash[32], expected[32], other[32] = {1};
    struct sample s;

    (void)state;
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 7 + i / 4096);
    hash_sha256(data, SIZE, expected);
    assert_int_equal(put(w, data, SIZE, hash), 0);
    assert_memory_equal(hash, expected, 32);
    assert_int_equal(put(w, data, SIZE, hash), 0); /* again: one file */
    assert_int_equal(files_in(w, "blobs"), 1);

    sample_init(&s, 1, 1);
    s.graph.has_artifact = true;
    s.graph.artifact = (ProtobufCBinaryData){.len = 32, .data = hash};
    assert_int_equal(world_submit_sample(w, &s), 0);
    world_run_ms(w, 100);
    bytes_init(&got.data);
    while (got.data.len < SIZE && got.calls < 10)
        get(w, world_worker(w, 0, 1), hash, got.data.len);
    assert_int_equal(got.calls, 3);
    assert_int_equal(got.size, SIZE);
    assert_memory_equal(got.data.data, data, SIZE);
    get(w, world_worker(w, 0, 1), other, 0);
    assert_int_equal(got.code, ERR_NOT_FOUND);
    bytes_release(&got.data);

    world_run_ms(w, 200000); /* in use: it stays */
    assert_int_equal(files_in(w, "blobs"), 1);
    fake_report_all(world_worker(w, 0, 1), T(FINISHED));
    world_run_ms(w, 30000);
    assert_int_equal(files_in(w, "blobs"), 1); /* the next job may want it */
    world_run_ms(w, 100000);
    assert_int_equal(files_in(w, "blobs"), 0);
    sample_init(&s, 2, 1);
    s.graph.has_artifact = true;
    s.graph.artifact = (ProtobufCBinaryData){.len = 32, .data = hash};
    assert_int_equal(world_submit_sample(w, &s), ERR_NOT_FOUND);
    mem_free(data);
    world_free(w);
}

static bool written;
static void on_written(void *arg, const struct fs_result *result)
{
    (void)arg;
    written = result->code == 0;
}

static void an_artifact_may_be_a_file(void **state)
{
    struct world *w = world_with(1, 1);
    struct jm_command command = {.type = JM_PUT_BLOB, .path = "/upload/a.so"};
    struct fs *fs = sim_env(w->jm_node)->fs;
    uint8_t expected[32];

    (void)state;
    assert_true(world_do(w, &command) < 0); /* no such file */
    fs->ops->mkdirs(fs, "/upload", on_written, NULL);
    world_run_ms(w, 100);
    fs->ops->write_all(fs, "/upload/a.so", "code", 4, on_written, NULL);
    world_run_ms(w, 100);
    assert_true(written);
    assert_int_equal(world_do(w, &command), 0);
    hash_sha256("code", 4, expected);
    assert_memory_equal(command.hash, expected, 32);
    world_run_ms(w, 100);
    fs->ops->list(fs, "/upload", on_listed, NULL);
    world_run_ms(w, 100);
    assert_int_equal(listed, 0); /* moved */
    assert_int_equal(files_in(w, "blobs"), 1);
    world_free(w);
}

static void a_full_disk_refuses_an_artifact(void **state)
{
    struct world *w = world_with(1, 1);
    uint8_t hash[32], *data = mem_alloc(4 << 20);

    (void)state;
    sim_disk_capacity(w->jm_node, 1 << 20);
    assert_true(put(w, data, 4 << 20, hash) < 0);
    assert_int_equal(files_in(w, "blobs"), 0);
    mem_free(data);
    world_free(w);
}

/* ---- jobs that are over ---- */

static void run_to_end(struct world *w, uint64_t first, uint64_t count)
{
    w->manners.finish = true;
    for (uint64_t n = first; n < first + count; n++) {
        world_submit(w, n, 1);
        world_run_ms(w, 50);
    }
    world_run_ms(w, 100);
}

static uint32_t finished(struct world *w)
{
    struct jm_cluster_snapshot *c = jm_snapshot(w->jm);
    uint32_t count = c->finished_count;

    jm_cluster_snapshot_unref(c);
    return count;
}

static void jobs_come_back_from_disk_as_they_were(void **state)
{
    struct world *w = world_with(1, 1);
    struct jm_job_snapshot *job;
    struct id id = id_from_u64(0x10b, 1);
    struct sample s;

    (void)state;
    w->manners.finish = true;
    sample_init(&s, 1, 1);
    sample_config(&s, "my.password", "hunter2");
    assert_int_equal(world_submit_sample(w, &s), 0);
    world_run_ms(w, 1000);
    assert_null(jm_store_cached(&w->jm->store, &id));
    job = world_job(w, 1);
    assert_int_equal(job->state, JM_JOB_FINISHED);
    assert_string_equal(job->name, "sample");
    assert_int_equal(job->vertex_count, 3);
    assert_true(job->vertices[0].hidden || job->vertices[1].hidden || job->vertices[2].hidden);
    assert_int_equal(job->tasks[T(FINISHED)], 2);
    assert_int_equal(job->worker_count, 1);
    assert_string_equal(job->workers[0].endpoint, "tm0:7000");
    assert_string_equal(job->vertices[0].subtasks[0].taskmanager_id,
                        job->workers[0].taskmanager_id);
    assert_int_equal(job->accumulators[0].value, 15);
    assert_true(job->state_at_ms[JM_JOB_FINISHED] >= job->state_at_ms[JM_JOB_RUNNING]);
    assert_non_null(strstr(job->plan_json, "\"jid\""));
    assert_string_equal(job->config[0].value, CONF_HIDDEN);
    jm_job_snapshot_unref(job);
    world_run_ms(w, JM_CACHE_IDLE_MS / 2);
    job = jm_store_cached(&w->jm->store, &id); /* looked at */
    assert_non_null(job);
    jm_job_snapshot_unref(job);
    world_run_ms(w, 2 * JM_CACHE_IDLE_MS + 1000);
    assert_null(jm_store_cached(&w->jm->store, &id)); /* no more */
    assert_int_equal(w->jm->store.cache_bytes, 0);
    world_free(w);
}

static void a_finished_job_costs_little_memory(void **state)
{
    (void)state;
    assert_true(sizeof(struct jm_stored) + sizeof(struct jm_finished_job) + 64 <= 300);
}

static void the_oldest_jobs_go_beyond_the_capacity(void **state)
{
    struct world *w = world_new();
    struct jm_command load = {.type = JM_LOAD_JOB, .job_id = id_from_u64(0x10b, 1)};

    (void)state;
    world_set(w, "jobstore.max-capacity", "3");
    world_boot(w);
    world_add(w, 0, 1);
    run_to_end(w, 1, 5);
    assert_int_equal(finished(w), 3);
    assert_int_equal(files_in(w, "jobs"), 3);
    assert_int_equal(world_do(w, &load), ERR_NOT_FOUND);
    load.job_id = id_from_u64(0x10b, 5);
    assert_int_equal(world_do(w, &load), 0);
    jm_job_snapshot_unref(load.job);
    world_free(w);
}

static void jobs_are_forgotten_after_a_while(void **state)
{
    struct world *w = world_new();

    (void)state;
    world_set(w, "jobstore.expiration-time", "100");
    world_boot(w);
    world_add(w, 0, 1);
    run_to_end(w, 1, 2);
    world_run_ms(w, 50000);
    run_to_end(w, 3, 1);
    assert_int_equal(finished(w), 3);
    world_run_ms(w, 60000);
    assert_int_equal(finished(w), 1);
    world_run_ms(w, 60000);
    assert_int_equal(finished(w), 0);
    assert_int_equal(files_in(w, "jobs"), 0);
    world_free(w);
}

static void jobs_may_stay_in_memory(void **state)
{
    struct world *w = world_new();

    (void)state;
    world_set(w, "jobstore.type", "Memory");
    world_boot(w);
    world_add(w, 0, 1);
    run_to_end(w, 1, 2);
    assert_int_equal(files_in(w, "jobs"), 0);
    assert_state(w, 1, FINISHED);
    world_free(w);
}

static void a_cache_of_nothing_reads_each_time(void **state)
{
    struct world *w = world_new();
    struct id id = id_from_u64(0x10b, 1);

    (void)state;
    world_set(w, "jobstore.cache-size", "0");
    world_boot(w);
    world_add(w, 0, 1);
    run_to_end(w, 1, 1);
    assert_state(w, 1, FINISHED);
    assert_null(jm_store_cached(&w->jm->store, &id));
    assert_state(w, 1, FINISHED);
    world_free(w);
}

static void jobs_stay_in_memory_when_the_disk_is_full(void **state)
{
    struct world *w = world_with(1, 1);

    (void)state;
    sim_disk_capacity(w->jm_node, 1);
    run_to_end(w, 1, 1);
    assert_state(w, 1, FINISHED);
    world_free(w);
}

static void damaged_files_are_refused(void **state)
{
    struct jm_job_snapshot *job = jm_job_snapshot_new(), *back;
    struct bytes packed;
    struct err err;

    (void)state;
    bytes_init(&packed);
    job->name = job->plan_json = (char *)"x";
    jm_job_pack(job, &packed);
    jm_job_snapshot_unref(job);
    assert_int_equal(jm_job_unpack(packed.data, packed.len, "a.job", &back, &err), 0);
    jm_job_snapshot_unref(back);
    for (size_t i = 0; i < packed.len; i++) {
        packed.data[i] ^= 0x10;
        if (i != 6 && i != 7) { /* reserved */
            assert_true(jm_job_unpack(packed.data, packed.len, "a.job", &back, &err) < 0);
            assert_non_null(strstr(err.text, "a.job"));
        }
        packed.data[i] ^= 0x10;
        assert_true(jm_job_unpack(packed.data, i, "a.job", &back, &err) < 0);
    }
    bytes_release(&packed);
}

/* ---- plans and files ---- */

static void a_worker_builds_the_graph(void **state)
{
    struct world *w = world_with(1, 1);
    struct jm_command plan = {.type = JM_PLAN};
    Rask__Graph__StreamGraph *graph;

    (void)state;
    assert_int_equal(world_do(w, &plan), ERR_NOT_FOUND); /* no such artifact */
    assert_int_equal(put(w, "so", 2, plan.hash), 0);
    assert_int_equal(world_do(w, &plan), 0);
    graph = rask__graph__stream_graph__unpack(NULL, plan.result.len, plan.result.data);
    assert_non_null(graph);
    assert_string_equal(graph->job_name, "planned");
    rask__graph__stream_graph__free_unpacked(graph, NULL);
    bytes_release(&plan.result);
    world_run_ms(w, 100);
    assert_int_equal(w->tms[0]->stops, 1);
    assert_int_equal(map_size(w->jm->dispatcher.plans), 0);
    world_free(w);
}

static void a_graph_that_cannot_be_built(void **state)
{
    struct world *w = world_with(1, 1);
    struct jm_command plan = {.type = JM_PLAN};

    (void)state;
    assert_int_equal(put(w, "so", 2, plan.hash), 0);
    w->manners.plan_error = "rask_job returned -1";
    assert_int_equal(world_do(w, &plan), ERR_USER);
    assert_string_equal(plan.err.text, "rask_job returned -1");
    w->manners.plan_error = NULL;
    w->manners.plan_silent = true;
    assert_int_equal(world_do(w, &plan), ERR_TIMEOUT);
    world_begin(w, &plan);
    world_run_ms(w, 100);
    for (uint32_t i = 0; i < FAKE_WORKERS; i++)
        if (w->tms[0]->workers[i].used)
            fake_die(&w->tms[0]->workers[i], true, true, false, "killed by signal 6");
    world_run_ms(w, 100);
    assert_non_null(plan.arg);
    assert_int_equal(plan.code, ERR_WORKER_DIED);
    assert_non_null(strstr(plan.err.text, "killed by signal 6"));
    w->manners.refuse_start = true;
    assert_int_equal(world_do(w, &plan), ERR_NO_MEMORY);
    w->manners.refuse_start = false;
    world_begin(w, &plan);
    world_run_ms(w, 100);
    sim_stop(w->places[0].node);
    world_run_ms(w, 100);
    assert_int_equal(plan.code, ERR_UNAVAILABLE);
    assert_int_equal(world_do(w, &plan), ERR_UNAVAILABLE);
    assert_non_null(strstr(plan.err.text, "no TaskManager is registered"));
    assert_int_equal(map_size(w->jm->dispatcher.plans), 0);
    world_free(w);
}

static void files_of_workers_and_taskmanagers(void **state)
{
    struct world *w = world_with(1, 1);
    struct jm_command read = {
        .type = JM_READ_FILE, .job_id = id_from_u64(0x10b, 1), .name = "out", .max = 100};
    struct jm_command list = {.type = JM_LIST_FILES, .taskmanager_id = "0123"};

    (void)state;
    run_to_end(w, 1, 1); /* over: its files are still there */
    assert_int_equal(world_do(w, &read), 0);
    assert_memory_equal(read.result.data, "hello", 5);
    assert_int_equal(read.size, 5);
    bytes_release(&read.result);
    read.worker_index = 1;
    assert_int_equal(world_do(w, &read), ERR_NOT_FOUND);
    assert_int_equal(world_do(w, &list), ERR_NOT_FOUND);
    world_free(w);
}

static void commands_end_when_the_jobmanager_does(void **state)
{
    struct world *w = world_with(1, 1);
    struct jm_command watch = {.type = JM_WATCH, .job_id = id_from_u64(0x10b, 1)},
                      plan = {.type = JM_PLAN};

    (void)state;
    w->manners.plan_silent = true;
    world_submit(w, 1, 1);
    assert_int_equal(put(w, "so", 2, plan.hash), 0);
    world_begin(w, &watch);
    world_begin(w, &plan);
    world_run_ms(w, 100);
    sim_stop(w->jm_node);
    assert_int_equal(watch.code, ERR_CLOSED);
    assert_int_equal(plan.code, ERR_CLOSED);
    world_free(w);
}

/* The simulator fails when a call of fs is left behind. */
static void files_under_way_are_let_go(void **state)
{
    for (uint64_t ms = 0; ms < 12; ms++) {
        struct world *w = world_with(1, 1);
        struct jm_command upload = {.type = JM_PUT_BLOB, .data = "so", .len = 2}, upload2 = upload;
        struct jm_command first = {.type = JM_PUT_BLOB, .data = "first", .len = 5};

        (void)state;
        assert_int_equal(world_do(w, &first), 0);
        w->manners.finish = true;
        world_submit(w, 1, 1); /* its artifact is read, its end is written */
        world_begin(w, &upload);
        world_run_ms(w, ms);
        world_begin(w, &upload2);
        sim_run_for(w->sim, 300 * SIM_US);
        sim_stop(w->jm_node);
        assert_int_equal(upload2.code, ERR_CLOSED);
        world_free(w);
    }
}

static void commands_end_that_the_loop_has_not_seen(void **state)
{
    struct world *w = world_with(1, 1);
    struct jm_command watch = {.type = JM_WATCH, .job_id = id_from_u64(0x10b, 1)},
                      load = {.type = JM_LOAD_JOB};

    (void)state;
    world_submit(w, 1, 1);
    world_begin(w, &watch);
    world_begin(w, &load);
    jm_touch(w->jm, &watch.job_id);
    sim_stop(w->jm_node);
    assert_int_equal(watch.code, ERR_CLOSED);
    assert_int_equal(load.code, ERR_CLOSED);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(artifacts_reach_the_workers_of_their_job),
        cmocka_unit_test(an_artifact_may_be_a_file),
        cmocka_unit_test(a_full_disk_refuses_an_artifact),
        cmocka_unit_test(jobs_come_back_from_disk_as_they_were),
        cmocka_unit_test(a_finished_job_costs_little_memory),
        cmocka_unit_test(the_oldest_jobs_go_beyond_the_capacity),
        cmocka_unit_test(jobs_are_forgotten_after_a_while),
        cmocka_unit_test(jobs_may_stay_in_memory),
        cmocka_unit_test(a_cache_of_nothing_reads_each_time),
        cmocka_unit_test(jobs_stay_in_memory_when_the_disk_is_full),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(a_worker_builds_the_graph),
        cmocka_unit_test(a_graph_that_cannot_be_built),
        cmocka_unit_test(files_of_workers_and_taskmanagers),
        cmocka_unit_test(commands_end_when_the_jobmanager_does),
        cmocka_unit_test(commands_end_that_the_loop_has_not_seen),
        cmocka_unit_test(files_under_way_are_let_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
