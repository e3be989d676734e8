/* test_flush.c - when rows that are held leave: execution.buffer-timeout.*, idle readers; and latency markers through tasks. */
#include "test/unit/taskmanager/worker/master.h"

#include "rask/rask.h"
#include "taskmanager/worker/wk_private.h"

RASK_ROW(number, (BIGINT, value));
RASK_ROW(tally, (BIGINT, key), (BIGINT, n));

#define ROWS 2000

static int written; /* atomic: rows that the sink saw */
static int pushed;  /* elements that came into the gates of tasks that are no sources */
static int done_polling;

static void add_to(int *counter, int n)
{
    __atomic_add_fetch(counter, n, __ATOMIC_ACQ_REL);
}

struct cursor {
    int64_t at;
};
static int one_split(rask_ctx *ctx, rask_splits *found)
{
    (void)ctx;
    return rask_split_add(found, RASK_STR("all"), RASK_STR(""));
}

/* One row a call, and never without another one: the task is busy all the time. */
static int busy_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct cursor *c = split->self;

    (void)ctx;
    if (c->at == ROWS)
        return RASK_END;
    return number_emit(out, &(struct number){c->at++}) ? -1 : RASK_MORE;
}
static const rask_source busy = {.abi = RASK_ABI, .name = "busy", .out = &number_schema, .split_size = sizeof(struct cursor),
                                 .discover = one_split, .poll = busy_poll};

/* One row, and then calls that bring none, for ever. */
static int restless_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct cursor *c = split->self;

    (void)ctx;
    return c->at++ == 0 && number_emit(out, &(struct number){1}) ? -1 : RASK_MORE;
}
static const rask_source restless = {.abi = RASK_ABI, .name = "restless", .out = &number_schema,
                                     .split_size = sizeof(struct cursor), .discover = one_split, .poll = restless_poll};

static int count_write(rask_ctx *ctx, const rask_batch *rows)
{
    (void)ctx;
    add_to(&written, (int)rows->rows);
    return 0;
}
static const rask_sink counting = {.abi = RASK_ABI, .name = "counting", .write = count_write};

static void start(struct master *m, rask_env *env, uint32_t workers)
{
    Rask__Graph__StreamGraph *graph;
    struct err err = {0};

    assert_int_equal(rask_execute(env, "flush"), 0);
    if (rask_env_graph(env, &graph, &err) != 0)
        fail_msg("%s", err.text);
    written = pushed = 0;
    master_start(m, graph, workers, 2);
}
static void finish(struct master *m, rask_env *env)
{
    loop_until(m->env, &m->over, master_task_count(m));
    assert_string_equal(m->error, "");
    for (uint32_t i = 0; i < m->workers[0]->task_count; i++) {
        const struct wk_task *t = m->workers[0]->tasks[i];

        for (uint32_t k = 0; !t->is_source && !t->is_enumerator && k < t->gate.channel_count; k++)
            pushed += (int)wk_counted(&t->gate.channels[k].pushed);
    }
    master_end(m);
    rask_env_free(env);
}

/* Returns in how many pieces the rows came; a few control elements are among them. */
static int pieces(const char *key, const char *value, int64_t own_ms)
{
    rask_env *env = building();
    rask_stream *source = rask_from_source(env, &busy, NULL);
    struct master m;

    if (key)
        rask_set(env, key, value);
    if (own_ms != -2)
        rask_set_buffer_timeout(source, own_ms);
    rask_set_parallelism(rask_sink_to(rask_rebalance(source), &counting), 1);
    start(&m, env, 1);
    finish(&m, env);
    assert_int_equal(written, ROWS);
    return pushed;
}

static void zero_sends_each_row(void **state)
{
    (void)state;
    assert_true(pieces("execution.buffer-timeout.interval", "0", -2) >= ROWS);
    assert_true(pieces(NULL, NULL, 0) >= ROWS);
}

static void otherwise_rows_are_collected(void **state)
{
    (void)state;
    assert_true(pieces("execution.buffer-timeout.interval", "100 ms", -2) < ROWS / 2);
    assert_true(pieces("execution.buffer-timeout.enabled", "false", -2) < ROWS / 2);
    assert_true(pieces("execution.buffer-timeout.interval", "0", -1) < ROWS / 2); /* the operator's own wins */
}

static void row_does_not_wait_for_a_source_without_rows(void **state)
{
    rask_env *env = building();
    struct master m;

    (void)state;
    rask_set(env, "execution.buffer-timeout.enabled", "false");
    rask_sink_to(rask_rebalance(rask_set_parallelism(rask_from_source(env, &restless, NULL), 1)), &counting);
    start(&m, env, 1);
    loop_until(m.env, &written, 1);
    master_cancel(&m);
    finish(&m, env);
}

/* Pairs of rows, one right after the other, and nothing more until both are there. */
static int pairs_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct cursor *c = split->self;

    if (c->at == ROWS / 10)
        return RASK_END;
    if (c->at % 2 == 0 && __atomic_load_n(&written, __ATOMIC_ACQUIRE) < c->at) {
        rask_wake_in(ctx, 100);
        return RASK_WAIT;
    }
    if (number_emit(out, &(struct number){c->at++}))
        return -1;
    rask_wake_in(ctx, 1);
    return RASK_WAIT;
}
static const rask_source pairs = {.abi = RASK_ABI, .name = "pairs", .out = &number_schema, .split_size = sizeof(struct cursor),
                                  .discover = one_split, .poll = pairs_poll};

/* The second of a pair may wait for more on its way to another worker, but not for long. */
static void row_that_waits_for_more_leaves_without_it(void **state)
{
    rask_env *env = building();
    struct master m;

    (void)state;
    rask_set(env, "execution.buffer-timeout.enabled", "false");
    rask_sink_to(rask_rebalance(rask_set_parallelism(rask_from_source(env, &pairs, NULL), 1)), &counting);
    start(&m, env, 2);
    finish(&m, env);
    assert_int_equal(written, ROWS / 10);
}

/* A row each time it is asked, and it wants to be asked again at once. */
static int eager_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct cursor *c = split->self;

    if (number_emit(out, &(struct number){c->at++}))
        return -1;
    rask_wake_in(ctx, 1);
    return c->at == ROWS ? RASK_END : RASK_WAIT;
}
static const rask_source eager = {.abi = RASK_ABI, .name = "eager", .out = &number_schema, .split_size = sizeof(struct cursor),
                                  .discover = one_split, .poll = eager_poll};

/* While its rows could not leave to another worker yet, a source is not asked for more. */
static void a_source_is_polled_when_its_rows_can_leave(void **state)
{
    rask_env *env = building();
    struct master m;
    uint64_t begin_ns, end_ns;

    (void)state;
    rask_sink_to(rask_rebalance(rask_set_parallelism(rask_from_source(env, &eager, NULL), 1)), &counting);
    start(&m, env, 2);
    begin_ns = env_now_ns(m.env);
    loop_until(m.env, &written, ROWS);
    end_ns = env_now_ns(m.env);
    finish(&m, env);
    assert_int_equal(written, ROWS);
    assert_true(end_ns - begin_ns > (uint64_t)ROWS * EDGE_PACE_NS / 2);
}

/* ---- rows that are merged ---- */

static int64_t last[7]; /* atomic: the newest count of each key */

static int remember(rask_ctx *ctx, const rask_batch *rows)
{
    for (uint32_t i = 0; i < rows->rows; i++) {
        rask_row row = rask_batch_row(rows, i);
        struct tally t = tally_at(&row);

        __atomic_store_n(&last[t.key], t.n, __ATOMIC_RELEASE);
    }
    return count_write(ctx, rows);
}
static const rask_sink remembering = {.abi = RASK_ABI, .name = "remembering", .in = &tally_schema, .write = remember};

static int to_tally(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    (void)ctx;
    return tally_emit(out, &(struct tally){rask_i64(row, 0) % 7, 1});
}

static void start_merged(struct master *m, rask_env *env, const rask_source *source)
{
    rask_stream *numbers = rask_set_parallelism(rask_from_source(env, source, NULL), 1);
    rask_stream *tallies = rask_set_parallelism(rask_map(numbers, to_tally, &tally_schema), 1);

    rask_sink_to(rask_merge_updates(rask_sum(rask_key_by(tallies, "key"), "n")), &remembering);
    memset(last, 0, sizeof(last));
    start(m, env, 1);
}

/* The rows of busy in splits of 20. */
#define PIECE 20
static int many_splits(rask_ctx *ctx, rask_splits *found)
{
    int rc = 0;

    (void)ctx;
    for (uint32_t i = 0; i < ROWS / PIECE && rc == 0; i++)
        rc = rask_split_add(found, (rask_str){(const char *)&i, sizeof(i)}, RASK_STR(""));
    return rc;
}

static int piece_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct cursor *c = split->self;

    (void)ctx;
    if (c->at == PIECE)
        return RASK_END;
    return number_emit(out, &(struct number){c->at++}) ? -1 : RASK_MORE;
}
static const rask_source pieces_source = {.abi = RASK_ABI, .name = "pieces", .out = &number_schema,
                                          .split_size = sizeof(struct cursor), .discover = many_splits, .poll = piece_poll};

/* Returns how many updates there were. */
static int updates(const rask_source *source, const char *interval)
{
    rask_env *env = building();
    struct master m;
    int64_t all = 0;

    rask_set(env, "execution.buffer-timeout.interval", interval);
    start_merged(&m, env, source);
    finish(&m, env);
    for (uint32_t i = 0; i < ARRAY_LEN(last); i++)
        all += last[i];
    assert_int_equal(all, ROWS);
    return written;
}

/* However idle the reader is: while its task is busy, rows wait for others of their keys as long as they may. */
static void merged_rows_wait_for_the_buffer_timeout(void **state)
{
    (void)state;
    assert_int_equal(updates(&busy, "0"), ROWS);
    assert_true(updates(&busy, "1 h") < ROWS / 10);
}

/* It was 7 for each of the 100 splits. */
static void merged_rows_wait_for_the_next_split(void **state)
{
    (void)state;
    assert_true(updates(&pieces_source, "1 h") < ROWS / PIECE * 7 / 2);
}

/* One split, and an enumerator that goes on looking: nothing follows, and nobody ends it. */
static const rask_source watching = {.abi = RASK_ABI, .name = "watching", .out = &number_schema,
                                     .split_size = sizeof(struct cursor), .discover = one_split, .poll = piece_poll,
                                     .discover_ms = 3600000};

/* So many come, of a source that does not end. */
static void merged_rows_come(const rask_source *source, int rows)
{
    rask_env *env = building();
    struct master m;

    rask_set(env, "execution.buffer-timeout.enabled", "false");
    start_merged(&m, env, source);
    loop_until(m.env, &written, rows);
    master_cancel(&m);
    finish(&m, env);
}

static void merged_rows_do_not_wait_for_a_split_that_does_not_come(void **state)
{
    (void)state;
    merged_rows_come(&watching, 7);
}

static void merged_row_does_not_wait_for_a_source_without_rows(void **state)
{
    (void)state;
    merged_rows_come(&restless, 1);
}

/* ---- markers ---- */

static int patient_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    (void)split;
    (void)out;
    if (__atomic_load_n(&done_polling, __ATOMIC_ACQUIRE))
        return RASK_END;
    rask_wake_in(ctx, 1000);
    return RASK_WAIT;
}
static const rask_source patient = {.abi = RASK_ABI, .name = "patient", .out = &number_schema, .discover = one_split,
                                    .poll = patient_poll};

/* Histograms at all operators of all workers that are of the given name. */
static int markers_at(struct master *m, const char *operator, uint32_t *ret_histograms)
{
    int seen = 0;

    *ret_histograms = 0;
    for (uint32_t w = 0; w < m->worker_count; w++)
        for (uint32_t i = 0; i < m->workers[w]->task_count; i++) {
            struct wk_task *t = m->workers[w]->tasks[i];

            pthread_mutex_lock(&t->lock);
            for (uint32_t k = 0; k < t->chain.op_count; k++)
                if (strcmp(t->chain.ops[k]->ctx.name, operator) == 0)
                    for (uint32_t n = 0; n < t->chain.ops[k]->latency.count; n++) {
                        *ret_histograms += 1;
                        seen += (int)t->chain.ops[k]->latency.of[n].count;
                    }
            pthread_mutex_unlock(&t->lock);
        }
    return seen;
}

/* A source without rows still says how long they would take, to every subtask behind a shuffle and every operator. */
static void markers_reach_every_operator(void **state)
{
    rask_env *env = building();
    struct master m;
    uint32_t histograms = 0;
    uint64_t end;

    (void)state;
    done_polling = 0;
    rask_set(env, "metrics.latency.interval", "1 ms");
    rask_set(env, "metrics.latency.granularity", "subtask");
    rask_set(env, "metrics.latency.history-size", "7");
    rask_name(rask_sink_to(rask_rebalance(rask_set_parallelism(rask_from_source(env, &patient, NULL), 1)), &counting),
              "end");
    start(&m, env, 2);
    loop_until(m.env, &m.running, master_task_count(&m));
    end = env_now_ns(m.env) + LOOP_PATIENCE_NS;
    while (markers_at(&m, "end: Writer", &histograms) < 2 * 7 && env_now_ns(m.env) < end)
        loop_settle(m.env);
    assert_int_equal(histograms, 2);
    assert_int_equal(markers_at(&m, "end: Writer", &histograms), 2 * 7);
    __atomic_store_n(&done_polling, 1, __ATOMIC_RELEASE);
    finish(&m, env);
}

static void no_markers_unless_asked_for(void **state)
{
    rask_env *env = building();
    struct master m;
    uint32_t histograms;

    (void)state;
    done_polling = 0;
    rask_name(rask_sink_to(rask_rebalance(rask_from_source(env, &patient, NULL)), &counting), "end");
    start(&m, env, 1);
    loop_until(m.env, &m.running, master_task_count(&m));
    loop_settle(m.env);
    assert_int_equal(markers_at(&m, "end: Writer", &histograms), 0);
    __atomic_store_n(&done_polling, 1, __ATOMIC_RELEASE);
    finish(&m, env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_sends_each_row),
        cmocka_unit_test(otherwise_rows_are_collected),
        cmocka_unit_test(row_does_not_wait_for_a_source_without_rows),
        cmocka_unit_test(row_that_waits_for_more_leaves_without_it),
        cmocka_unit_test(a_source_is_polled_when_its_rows_can_leave),
        cmocka_unit_test(merged_rows_wait_for_the_buffer_timeout),
        cmocka_unit_test(merged_rows_wait_for_the_next_split),
        cmocka_unit_test(merged_rows_do_not_wait_for_a_split_that_does_not_come),
        cmocka_unit_test(merged_row_does_not_wait_for_a_source_without_rows),
        cmocka_unit_test(markers_reach_every_operator),
        cmocka_unit_test(no_markers_unless_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
