/* Workers with a scripted job master: rows in, rows out, over local and remote channels. */
#include "test/unit/taskmanager/worker/master.h"

#include "rask/rask.h"

RASK_ROW(number, (BIGINT, value));
RASK_ROW(pair, (STRING, word), (BIGINT, n));

/* ---- a source of numbers in splits, and a sink that collects ---- */

#define SPLITS 7
#define PER_SPLIT 5000

struct cursor {
    int64_t at, end;
};
static int numbers_discover(rask_ctx *ctx, rask_splits *found)
{
    (void)ctx;
    for (int64_t i = 0; i < SPLITS; i++) {
        int rc = rask_split_add(found, (rask_str){(const char *)&i, sizeof(i)}, (rask_str){NULL, 0});

        if (rc)
            return rc;
    }
    return 0;
}
static int numbers_open_split(rask_ctx *ctx, rask_split *split)
{
    struct cursor *c = split->self;
    int64_t id;

    (void)ctx;
    memcpy(&id, split->id.data, sizeof(id));
    c->at = id * PER_SPLIT;
    c->end = c->at + PER_SPLIT;
    return 0;
}
static int numbers_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct cursor *c = split->self;

    while (c->at < c->end && !rask_op_full(ctx)) {
        int rc = number_emit(out, &(struct number){c->at++});

        if (rc)
            return rc;
    }
    return c->at < c->end ? RASK_MORE : RASK_END;
}
static const rask_source numbers = {
    .abi = RASK_ABI, .name = "numbers", .out = &number_schema, .split_size = sizeof(struct cursor),
    .discover = numbers_discover, .open_split = numbers_open_split, .poll = numbers_poll,
};

static pthread_mutex_t collect_lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t seen[1000], updates;
static int order_errors;
static uint64_t collected_subtasks;

/* The last update of a word is its total; updates of one word come in order. */
static int collect_write(rask_ctx *ctx, const rask_batch *rows)
{
    pthread_mutex_lock(&collect_lock);
    for (uint32_t i = 0; i < rows->rows; i++) {
        rask_row row = rask_batch_row(rows, i);
        struct pair p = pair_at(&row);
        int word = 0;

        for (uint32_t k = 1; k < p.word.len; k++)
            word = word * 10 + (p.word.data[k] - '0');
        order_errors += p.n != seen[word] + 1;
        seen[word] = p.n;
        updates++;
    }
    collected_subtasks |= 1u << rask_subtask(ctx);
    pthread_mutex_unlock(&collect_lock);
    return 0;
}
static const rask_sink collect = {.abi = RASK_ABI, .name = "collect", .write = collect_write};

static void collect_reset(void)
{
    memset(seen, 0, sizeof(seen));
    updates = 0;
    order_errors = 0;
    collected_subtasks = 0;
}

static int to_word(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    char text[32];
    int64_t v = number_at(row).value;
    int n = snprintf(text, sizeof(text), "w%lld", (long long)(v % 1000));

    (void)ctx;
    return pair_emit(out, &(struct pair){{text, (uint32_t)n}, 1});
}

static bool keep_all(rask_ctx *ctx, const rask_row *row)
{
    (void)ctx;
    return number_at(row).value >= 0;
}

static rask_env *counting_graph(Rask__Graph__StreamGraph **ret)
{
    rask_env *env = building();
    rask_stream *s = rask_filter(rask_from_source(env, &numbers, NULL), keep_all);
    rask_stream *words = rask_flat_map(s, to_word, &pair_schema);
    struct err err = {0};

    rask_sink_to(rask_sum(rask_key_by(words, "word"), "n"), &collect);
    assert_int_equal(rask_execute(env, "counting"), 0);
    if (rask_env_graph(env, ret, &err) != 0)
        fail_msg("%s", err.text);
    return env;
}

static void count_on(uint32_t workers, uint32_t parallelism, uint64_t subtasks)
{
    Rask__Graph__StreamGraph *graph;
    rask_env *env = counting_graph(&graph);
    struct master m;

    collect_reset();
    master_run(&m, graph, workers, parallelism);
    rask_env_free(env);
    assert_string_equal(m.error, "");
    assert_int_equal(m.failed, 0);
    assert_int_equal(updates, SPLITS * PER_SPLIT);
    assert_int_equal(order_errors, 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(seen[i], SPLITS * PER_SPLIT / 1000);
    assert_true((collected_subtasks & subtasks) == subtasks);
    if (workers > 1)
        assert_true(m.remote_records > 0);
}

static void counts_in_one_worker_at_parallelism_1(void **state)
{
    (void)state;
    count_on(1, 1, 1);
}
static void counts_in_one_worker_at_parallelism_4(void **state)
{
    (void)state;
    count_on(1, 4, 15);
}
static void counts_over_connections_between_two_workers(void **state)
{
    (void)state;
    count_on(2, 4, 15);
}
static void counts_over_connections_between_four_workers(void **state)
{
    (void)state;
    count_on(4, 7, 127);
}

/* ---- a function that fails ---- */

static int fails_at_4321(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    if (number_at(row).value == 4321)
        return rask_fail(ctx, "number %d is not wanted", 4321);
    return rask_forward(out, row);
}

/* Of a caller whose answers were lost. */
static void a_repeated_deployment_is_one(void **state)
{
    Rask__Graph__StreamGraph *graph;
    rask_env *env;
    struct master m;

    (void)state;
    master_deploys = 3;
    count_on(1, 2, 3); /* it is deployed when it is asked again */
    master_load_end = "";
    count_on(1, 2, 3); /* the artifact is being loaded */
    master_load_end = "no such artifact";
    env = counting_graph(&graph);
    master_start(&m, graph, 1, 1);
    loop_until(m.env, &m.deploy_answers, 3);
    assert_string_equal(m.error, "no such artifact");
    assert_int_equal(m.deploy_errors, 1);
    master_deploys = 1;
    rpc_call(m.peers[0], RPC_DEPLOY, &m.deploy.base, 0, master_deploy_failed, &m);
    loop_until(m.env, &m.deploy_answers, 4);
    assert_int_equal(m.deploy_errors, 2); /* the same answer later */
    master_load_end = NULL;
    master_end(&m);
    rask_env_free(env);
}

static void a_failing_function_names_itself(void **state)
{
    rask_env *env = building();
    Rask__Graph__StreamGraph *graph;
    struct master m;

    (void)state;
    rask_sink_to(rask_name(rask_flat_map(rask_from_source(env, &numbers, NULL), to_word, &pair_schema), "fine"), &collect);
    rask_sink_to(rask_name(rask_flat_map(rask_name(rask_map(rask_from_source(env, &numbers, NULL), fails_at_4321, &number_schema), "picky"),
                                         to_word, &pair_schema), "words"), &collect);
    assert_int_equal(rask_execute(env, "failing"), 0);
    assert_int_equal(rask_env_graph(env, &graph, NULL), 0);
    collect_reset();
    master_start(&m, graph, 1, 1);
    loop_until(m.env, &m.failed, 1);
    assert_non_null(strstr(m.error, "picky"));
    assert_non_null(strstr(m.error, "number 4321 is not wanted"));
    master_cancel(&m);
    loop_until(m.env, &m.over, master_task_count(&m));
    master_end(&m);
    rask_env_free(env);
}

static void an_exchange_that_cannot_fit_says_so_before_the_job_runs(void **state)
{
    Rask__Graph__StreamGraph *graph;
    rask_env *env = counting_graph(&graph);
    struct master m;

    (void)state;
    master_start(&m, graph, 1, 60); /* 60 x 60 channels of 2 KiB and 120 edges into 8 MiB */
    loop_until(m.env, &m.failed, 1);
    assert_non_null(strstr(m.error, "needs at least"));
    assert_non_null(strstr(m.error, "taskmanager.memory.network.fraction"));
    master_end(&m);
    rask_env_free(env);
}

/* ---- one row in, many out, into a slow sink: memory stays bounded, cancel ends the wait ---- */

static int flood(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    char text[1024];

    (void)ctx;
    (void)row;
    memset(text, 'x', sizeof(text));
    text[0] = 'w';
    for (int i = 0; i < 1000000; i++) {
        int rc = pair_emit(out, &(struct pair){{text, sizeof(text)}, 1});

        if (rc)
            return rc;
    }
    return 0;
}

static int wanted_rows;
static int slow_write(rask_ctx *ctx, const rask_batch *rows)
{
    struct timespec pause = {0, 1000000};

    (void)ctx;
    nanosleep(&pause, NULL);
    __atomic_add_fetch(&wanted_rows, (int)rows->rows, __ATOMIC_ACQ_REL);
    return 0;
}
static const rask_sink slow = {.abi = RASK_ABI, .name = "slow", .write = slow_write};

static struct {
    int answers;
    uint64_t peak, hard_ms, in_flight, queued_out;
    uint64_t first_at_us[4], first_sum_ms[4]; /* by vertex */
} flood_metrics;

/* The times of a task add up to the time that goes by, whatever it does at the moment. */
static void times_add_up(const Rask__Control__TaskMetrics *t)
{
    uint64_t sum_ms = t->busy_ms + t->idle_ms + t->backpressured_ms + t->hard_backpressured_ms;
    uint64_t *first_ms = &flood_metrics.first_sum_ms[t->vertex], *first_us = &flood_metrics.first_at_us[t->vertex];

    assert_true(t->has_at_us && t->vertex < 4);
    assert_true(t->ready_ms <= t->busy_ms);
    if (*first_us == 0) {
        *first_us = t->at_us;
        *first_ms = sum_ms;
        return;
    }
    assert_in_range(sum_ms - *first_ms + 5, (t->at_us - *first_us) / 1000, (t->at_us - *first_us) / 1000 + 10);
}

static void flood_answer(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    const Rask__Control__WorkerMetrics *w = (const Rask__Control__WorkerMetrics *)response;

    (void)arg;
    assert_null(error);
    flood_metrics.peak = MAX(flood_metrics.peak, w->pool_in_use_bytes);
    for (size_t i = 0; i < w->n_tasks; i++) {
        const Rask__Control__TaskMetrics *t = w->tasks[i];

        times_add_up(t);
        flood_metrics.hard_ms = MAX(flood_metrics.hard_ms, t->hard_backpressured_ms);
        for (size_t k = 0; k < t->n_edges; k++)
            flood_metrics.in_flight = MAX(flood_metrics.in_flight, t->edges[k]->in_flight_bytes);
        flood_metrics.queued_out = MAX(flood_metrics.queued_out, t->output_queue_length);
    }
    flood_metrics.answers++;
}

static void flooding(bool chained)
{
    rask_env *env = building();
    rask_stream *f;
    Rask__Graph__StreamGraph *graph;
    Rask__Control__GetMetrics get = RASK__CONTROL__GET_METRICS__INIT;
    struct master m;

    f = rask_flat_map(rask_from_source(env, &numbers, NULL), flood, &pair_schema);
    rask_sink_to(chained ? f : rask_rebalance(f), &slow);
    assert_int_equal(rask_execute(env, "flood"), 0);
    assert_int_equal(rask_env_graph(env, &graph, NULL), 0);
    wanted_rows = 0;
    memset(&flood_metrics, 0, sizeof(flood_metrics));
    master_start(&m, graph, 1, 1);
    loop_until(m.env, &wanted_rows, 5000);
    for (int i = 1; i <= 20; i++) {
        rpc_call(m.peers[0], RPC_GET_METRICS, &get.base, 0, flood_answer, NULL);
        loop_until(m.env, &flood_metrics.answers, i);
        loop_until(m.env, &wanted_rows, 5000 + i * 300);
    }
    assert_true(flood_metrics.peak < (16u << 20));
    if (!chained) { /* the flood waits inside its one row, and that can be seen */
        assert_true(flood_metrics.hard_ms > 0);
        assert_true(flood_metrics.in_flight > 0);
        assert_true(flood_metrics.queued_out > 0);
    }
    master_cancel(&m);
    loop_until(m.env, &m.over, master_task_count(&m));
    assert_int_equal(m.failed, 0);
    master_end(&m);
    rask_env_free(env);
}

static void a_flood_through_a_channel_stays_bounded(void **state)
{
    (void)state;
    flooding(false);
}
static void a_flood_inside_a_chain_stays_bounded(void **state)
{
    (void)state;
    flooding(true);
}

/* ---- what compression saves is told ---- */

static struct {
    int answers;
    uint64_t bytes, sent;
} packed;

static void packed_answer(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    const Rask__Control__WorkerMetrics *w = (const Rask__Control__WorkerMetrics *)response;

    (void)arg;
    assert_null(error);
    assert_true(w->has_packed_bytes);
    packed.bytes += w->packed_bytes;
    packed.sent += w->packed_sent_bytes;
    packed.answers++;
}

static void a_worker_tells_what_compression_saves(void **state)
{
    Rask__Graph__Property lz4 = RASK__GRAPH__PROPERTY__INIT, *config[] = {&lz4};
    Rask__Control__GetMetrics get = RASK__CONTROL__GET_METRICS__INIT;
    Rask__Graph__StreamGraph *graph;
    rask_env *env = building();
    struct master m;

    (void)state;
    rask_sink_to(rask_rebalance(rask_flat_map(rask_from_source(env, &numbers, NULL), flood, &pair_schema)), &slow);
    assert_int_equal(rask_execute(env, "packed"), 0);
    assert_int_equal(rask_env_graph(env, &graph, NULL), 0);
    lz4.key = (char *)(uintptr_t)"rask.network.compression";
    lz4.value = (char *)(uintptr_t)"lz4";
    graph->n_config = 1;
    graph->config = config;
    wanted_rows = 0;
    memset(&packed, 0, sizeof(packed));
    master_start(&m, graph, 2, 2);
    loop_until(m.env, &wanted_rows, 2000);
    for (uint32_t i = 0; i < 2; i++)
        rpc_call(m.peers[i], RPC_GET_METRICS, &get.base, 0, packed_answer, NULL);
    loop_until(m.env, &packed.answers, 2);
    assert_true(packed.bytes > 100000); /* texts of one letter */
    assert_true(packed.sent > 0 && packed.sent * 10 < packed.bytes);
    master_cancel(&m);
    loop_until(m.env, &m.over, master_task_count(&m));
    master_end(&m);
    graph->n_config = 0;
    graph->config = NULL;
    rask_env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_in_one_worker_at_parallelism_1),
        cmocka_unit_test(counts_in_one_worker_at_parallelism_4),
        cmocka_unit_test(counts_over_connections_between_two_workers),
        cmocka_unit_test(counts_over_connections_between_four_workers),
        cmocka_unit_test(a_repeated_deployment_is_one),
        cmocka_unit_test(a_failing_function_names_itself),
        cmocka_unit_test(an_exchange_that_cannot_fit_says_so_before_the_job_runs),
        cmocka_unit_test(a_flood_through_a_channel_stays_bounded),
        cmocka_unit_test(a_flood_inside_a_chain_stays_bounded),
        cmocka_unit_test(a_worker_tells_what_compression_saves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
