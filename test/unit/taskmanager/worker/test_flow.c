/* Rows and control elements through whole tasks: waits inside rows, watermarks, alignment, sources that wait, mistakes. */
#include "test/unit/taskmanager/worker/master.h"

#include <sched.h>

#include "rask/rask.h"
#include "taskmanager/worker/wk_private.h"

RASK_ROW(number, (BIGINT, value));
RASK_ROW(wide, (BIGINT, n), (STRING, text));

static void add_to(int *counter, int n)
{
    __atomic_add_fetch(counter, n, __ATOMIC_ACQ_REL);
}

/* ---- a source of numbers 0 .. 49,999 in one split ---- */

#define NUMBERS 50000

struct cursor {
    int64_t at;
};
static int one_split(rask_ctx *ctx, rask_splits *found)
{
    (void)ctx;
    return rask_split_add(found, RASK_STR("all"), RASK_STR(""));
}
static int numbers_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct cursor *c = split->self;

    while (c->at < NUMBERS && !rask_op_full(ctx)) {
        int rc = number_emit(out, &(struct number){c->at++});

        if (rc)
            return rc;
    }
    return c->at < NUMBERS ? RASK_MORE : RASK_END;
}
static const rask_source numbers = {
    .abi = RASK_ABI, .name = "numbers", .out = &number_schema, .split_size = sizeof(struct cursor),
    .discover = one_split, .poll = numbers_poll,
};

/* ---- a sink that counts ---- */

static int written;
static int count_write(rask_ctx *ctx, const rask_batch *rows)
{
    (void)ctx;
    add_to(&written, (int)rows->rows);
    return 0;
}
static const rask_sink counting = {.abi = RASK_ABI, .name = "counting", .write = count_write};

static void start(struct master *m, rask_env *env, uint32_t workers, uint32_t parallelism)
{
    Rask__Graph__StreamGraph *graph;
    struct err err = {0};

    assert_int_equal(rask_execute(env, "flow"), 0);
    if (rask_env_graph(env, &graph, &err) != 0)
        fail_msg("%s", err.text);
    written = 0;
    master_start(m, graph, workers, parallelism);
}
static void finish(struct master *m, rask_env *env)
{
    loop_until(m->env, &m->over, master_task_count(m));
    master_end(m);
    rask_env_free(env);
}
static void cancel(struct master *m, rask_env *env)
{
    master_cancel(m);
    finish(m, env);
}

/* ---- a row that overdraws below a row that overdraws ---- */

static int flood(rask_out *out, int rows)
{
    char text[1024];

    memset(text, 'x', sizeof(text));
    for (int i = 0; i < rows; i++) {
        int rc = wide_emit(out, &(struct wide){i, {text, sizeof(text)}});

        if (rc)
            return rc;
    }
    return 0;
}
static int flood_above(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    (void)ctx;
    (void)row;
    return flood(out, 3000);
}
static int flood_below(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    (void)ctx;
    (void)row;
    return flood(out, 1500);
}
static int slow_write(rask_ctx *ctx, const rask_batch *rows)
{
    struct timespec pause = {0, 200000};

    nanosleep(&pause, NULL);
    return count_write(ctx, rows);
}
static const rask_sink slow = {.abi = RASK_ABI, .name = "slow", .write = slow_write};

static void a_wait_below_a_wait_ends_both(void **state)
{
    rask_env *env = building();
    rask_stream *above = rask_flat_map(rask_from_source(env, &numbers, NULL), flood_above, &wide_schema);
    struct master m;

    (void)state;
    rask_sink_to(rask_rebalance(rask_flat_map(above, flood_below, &wide_schema)), &slow);
    start(&m, env, 1, 1);
    loop_until(m.env, &written, 50000);
    cancel(&m, env);
    assert_int_equal(m.failed, 0);
}

/* ---- watermarks: in order, behind their rows, and the last one before the end of input ---- */

static int watermarks, watermarks_back;
static rask_ts last_watermark[2];

static int watch_rows(rask_op *op, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    (void)op;
    (void)input;
    (void)from;
    *ret_consumed = in->rows - from;
    return 0;
}
static int watch_watermark(rask_op *op, rask_ts watermark)
{
    add_to(&watermarks_back, watermark <= last_watermark[rask_subtask(op)] || rask_watermark(op) != watermark);
    last_watermark[rask_subtask(op)] = watermark;
    add_to(&watermarks, 1);
    return 0;
}
static const rask_operator watcher = {.abi = RASK_ABI, .name = "watcher", .process = watch_rows, .on_watermark = watch_watermark};

static void watermarks_rise_up_to_the_end(bool chained)
{
    rask_env *env = building();
    rask_stream *timed = rask_event_time(rask_rebalance(rask_from_source(env, &numbers, NULL)), "value", 0);
    struct master m;

    watermarks = watermarks_back = 0;
    last_watermark[0] = last_watermark[1] = RASK_TS_MIN;
    rask_transform(chained ? timed : rask_rebalance(timed), &watcher);
    start(&m, env, 1, 2);
    finish(&m, env);
    assert_string_equal(m.error, "");
    assert_int_equal(watermarks_back, 0);
    assert_true(watermarks > 2);
    assert_true(last_watermark[0] == RASK_TS_MAX);
    assert_true(last_watermark[1] == RASK_TS_MAX);
}
static void watermarks_rise_inside_a_chain(void **state)
{
    (void)state;
    watermarks_rise_up_to_the_end(true);
}
static void watermarks_rise_over_an_edge(void **state)
{
    (void)state;
    watermarks_rise_up_to_the_end(false);
}

/* ---- a source that emits and then waits for long ---- */

static int polls;
static int patient_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    (void)split;
    add_to(&polls, 1);
    rask_wake_in(ctx, 3600 * 1000000ll);
    return number_emit(out, &(struct number){7}) ? -1 : RASK_WAIT;
}
static const rask_source patient = {.abi = RASK_ABI, .name = "patient", .out = &number_schema, .discover = one_split, .poll = patient_poll};

/* ---- event time of a union, one of whose sources has nothing to say for long ---- */

static int say_once(rask_ctx *ctx, struct cursor *c, int64_t value, rask_out *out)
{
    rask_wake_in(ctx, 3600 * 1000000ll);
    return c->at++ == 0 && number_emit(out, &(struct number){value}) ? -1 : RASK_WAIT;
}
static int late_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    return say_once(ctx, split->self, 1000, out);
}
static int early_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    return say_once(ctx, split->self, 7, out);
}
static const rask_source late = {.abi = RASK_ABI, .name = "late", .out = &number_schema, .split_size = sizeof(struct cursor),
                                 .discover = one_split, .poll = late_poll};
static const rask_source early = {.abi = RASK_ABI, .name = "early", .out = &number_schema, .split_size = sizeof(struct cursor),
                                  .discover = one_split, .poll = early_poll};

static int came_to_999;
static int await_999(rask_op *op, rask_ts watermark)
{
    (void)op;
    add_to(&came_to_999, watermark == 999);
    return 0;
}
static const rask_operator clock_reader = {.abi = RASK_ABI, .name = "clock", .process = watch_rows, .on_watermark = await_999};

static void an_idle_source_is_not_waited_for(void **state)
{
    rask_env *env = building();
    rask_stream *loud = rask_event_time(rask_from_source(env, &late, NULL), "value", 0);
    rask_stream *quiet = rask_event_time(rask_from_source(env, &early, NULL), "value", 0);
    struct master m;

    (void)state;
    came_to_999 = 0;
    rask_transform(rask_union(loud, rask_with_idleness(quiet, 20)), &clock_reader);
    start(&m, env, 1, 1);
    loop_until(m.env, &came_to_999, 1);
    master_cancel(&m);
    finish(&m, env);
}

/* ---- a source that another thread wakes, also when the source has been gone for long ---- */

static rask_waker *sleeper_waker;
static int sleeper_polls;

static int sleeper_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    (void)split;
    if (!__atomic_load_n(&sleeper_waker, __ATOMIC_ACQUIRE))
        __atomic_store_n(&sleeper_waker, rask_waker_of(ctx), __ATOMIC_RELEASE);
    if (number_emit(out, &(struct number){7}))
        return -1;
    add_to(&sleeper_polls, 1);
    return __atomic_load_n(&sleeper_polls, __ATOMIC_ACQUIRE) < 1000 ? RASK_WAIT : RASK_END;
}
static const rask_source sleeper = {.abi = RASK_ABI, .name = "sleeper", .out = &number_schema, .discover = one_split, .poll = sleeper_poll};

static void *wakes_for_long(void *over)
{
    while (!__atomic_load_n((int *)over, __ATOMIC_ACQUIRE)) {
        rask_waker *waker = __atomic_load_n(&sleeper_waker, __ATOMIC_ACQUIRE);

        if (waker)
            rask_wake(waker);
        else
            sched_yield();
    }
    return NULL;
}

static void a_source_may_be_woken_after_its_end(void **state)
{
    rask_env *env = building();
    pthread_t thread;
    struct master m;
    int over = 0;

    (void)state;
    sleeper_polls = 0;
    sleeper_waker = NULL;
    assert_int_equal(pthread_create(&thread, NULL, wakes_for_long, &over), 0);
    rask_sink_to(rask_from_source(env, &sleeper, NULL), &counting);
    start(&m, env, 1, 1);
    finish(&m, env); /* the tasks are freed, and the thread goes on */
    assert_string_equal(m.error, "");
    assert_int_equal(written, 1000);
    __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    rask_wake(sleeper_waker);
    rask_waker_unref(sleeper_waker);
}

static int as_it_is(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    (void)ctx;
    return rask_forward(out, row);
}

static void rows_do_not_wait_with_their_source(void **state)
{
    rask_env *env = building();
    struct master m;

    (void)state;
    polls = 0;
    rask_sink_to(rask_map(rask_from_source(env, &patient, NULL), as_it_is, &number_schema), &counting);
    start(&m, env, 1, 1);
    loop_until(m.env, &written, 1);
    loop_settle(m.env);
    assert_int_equal(__atomic_load_n(&written, __ATOMIC_ACQUIRE), __atomic_load_n(&polls, __ATOMIC_ACQUIRE));
    assert_true(polls <= 2); /* a wake may come for another reason */
    cancel(&m, env);
    assert_int_equal(m.failed, 0);
}

/* ---- mistakes of operators are errors that name them ---- */

static int consume_nothing(rask_op *op, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    (void)op;
    (void)input;
    (void)in;
    (void)from;
    (void)ret_consumed;
    return 0;
}
static const rask_operator lazy = {.abi = RASK_ABI, .name = "lazy", .process = consume_nothing};

static void an_operator_that_consumes_nothing_fails_by_name(void **state)
{
    rask_env *env = building();
    struct master m;

    (void)state;
    rask_name(rask_transform(rask_from_source(env, &numbers, NULL), &lazy), "lazy");
    start(&m, env, 1, 1);
    loop_until(m.env, &m.failed, 1);
    assert_non_null(strstr(m.error, "lazy"));
    assert_non_null(strstr(m.error, "at least one row or timer"));
    cancel(&m, env);
}

/* Goes on after errors of emit: what it emits then must not pile up. */
static int deaf(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    (void)row;
    for (int i = 0; i < 200; i++) {
        (void)flood(out, 1024);
        if (i == 20)
            (void)rask_fail(ctx, "too late");
    }
    return 0;
}
static void rows_after_an_error_are_dropped(void **state)
{
    rask_env *env = building();
    struct master m;

    (void)state;
    rask_sink_to(rask_name(rask_flat_map(rask_from_source(env, &numbers, NULL), deaf, &wide_schema), "deaf"), &counting);
    start(&m, env, 1, 1);
    loop_until(m.env, &m.failed, 1);
    assert_non_null(strstr(m.error, "too late"));
    assert_true(written <= 22 * 1024);
    cancel(&m, env);
}

static int cannot_open(rask_op *op)
{
    return rask_fail(op, "not today");
}
static const rask_operator closed = {.abi = RASK_ABI, .name = "closed", .open = cannot_open, .process = watch_rows};
static int keep_last(rask_ctx *ctx, const rask_row *so_far, const rask_row *next, rask_out *out)
{
    (void)ctx;
    (void)so_far;
    return rask_forward(out, next);
}

/* The operators before it are never opened, and give back what they have. */
static void a_failed_open_leaves_nothing(void **state)
{
    rask_env *env = building();
    struct master m;

    (void)state;
    rask_transform(rask_reduce(rask_key_by(rask_from_source(env, &numbers, NULL), "value"), keep_last), &closed);
    start(&m, env, 1, 1);
    loop_until(m.env, &m.failed, 1);
    assert_non_null(strstr(m.error, "not today"));
    cancel(&m, env);
}

/* ---- event time ---- */

static int without_time;
static int look_at_time(rask_op *op, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    (void)op;
    (void)input;
    for (uint32_t i = from; i < in->rows; i++) {
        rask_row row = rask_batch_row(in, i);

        add_to(&without_time, rask_row_time(&row) != rask_i64(&row, 0));
    }
    *ret_consumed = in->rows - from;
    add_to(&written, (int)*ret_consumed);
    return 0;
}
static const rask_operator time_watcher = {.abi = RASK_ABI, .name = "time", .process = look_at_time};

RASK_ROW(reading, (BIGINT, at), (BIGINT, key), (BIGINT, n));
static int to_reading(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    int64_t v = number_at(row).value;

    (void)ctx;
    return reading_emit(out, &(struct reading){v, v % 10, 1});
}

static void results_have_the_time_of(const char *what)
{
    rask_env *env = building();
    rask_stream *timed = rask_event_time(rask_map(rask_from_source(env, &numbers, NULL), to_reading, &reading_schema), "at", 0);
    rask_stream *keyed = rask_key_by(timed, "key");
    struct master m;

    without_time = 0;
    rask_transform(*what == 'r' ? rask_reduce(keyed, keep_last) : rask_max(keyed, "at"), &time_watcher);
    start(&m, env, 1, 1);
    finish(&m, env);
    assert_string_equal(m.error, "");
    assert_int_equal(written, NUMBERS);
    assert_int_equal(without_time, 0);
}
static void a_reduced_row_has_the_time_of_the_row_that_caused_it(void **state)
{
    (void)state;
    results_have_the_time_of("reduce");
}
static void a_rolling_row_has_the_time_of_the_row_that_caused_it(void **state)
{
    (void)state;
    results_have_the_time_of("max");
}

/* ---- a partition function that cannot be found ---- */

static uint32_t to_first(const rask_row *row, uint32_t channels)
{
    (void)row;
    (void)channels;
    return 0;
}

static void a_deployment_that_fails_in_an_edge_is_taken_back(void **state)
{
    rask_env *env = building();
    struct master m;

    (void)state;
    rask_sink_to(rask_partition_custom(rask_from_source(env, &numbers, NULL), to_first), &counting);
    start(&m, env, 1, 2);
    for (size_t i = 0; i < m.graph->n_edges; i++)
        if (m.graph->edges[i]->custom)
            m.graph->edges[i]->custom->code = UINT64_MAX / 2;
    loop_until(m.env, &m.failed, 1);
    assert_non_null(strstr(m.error, "partition_custom"));
    master_end(&m);
    rask_env_free(env);
}

/* ---- alignment, with barriers put into the channels by hand ---- */

static int barriers;
static int see_barrier(rask_op *op, uint64_t checkpoint)
{
    (void)op;
    add_to(&barriers, (int)checkpoint);
    return 0;
}
static int many_splits(rask_ctx *ctx, rask_splits *found) /* more than the readers take: none of them ends */
{
    int rc = 0;

    (void)ctx;
    for (char id = 'a'; rc == 0 && id < 'k'; id++)
        rc = rask_split_add(found, (rask_str){&id, 1}, RASK_STR(""));
    return rc;
}
static int silent_poll(rask_ctx *ctx, rask_split *split, rask_out *out) /* the channels are the test's alone */
{
    (void)split;
    (void)out;
    rask_wake_in(ctx, 3600 * 1000000ll);
    return RASK_WAIT;
}
static const rask_source silent = {.abi = RASK_ABI, .name = "silent", .out = &number_schema, .discover = many_splits, .poll = silent_poll};
static const rask_operator aligner = {.abi = RASK_ABI, .name = "aligner", .process = watch_rows, .on_barrier = see_barrier};

static struct wk_element *control(struct wk_task *t, enum wk_element_type type, int64_t value)
{
    struct wk_block *block = wk_block_new(t->host->pool, NULL, 1);
    struct wk_element *e = wk_block_control(block, type, value);

    wk_block_unref(block);
    return e;
}

static void a_channel_that_ends_does_not_hold_up_alignment(void **state)
{
    rask_env *env = building();
    struct wk_task *t = NULL;
    struct master m;

    (void)state;
    barriers = 0;
    rask_set_parallelism(rask_transform(rask_rebalance(rask_from_source(env, &silent, NULL)), &aligner), 1);
    start(&m, env, 1, 2);
    loop_until(m.env, &m.running, master_task_count(&m));
    for (uint32_t i = 0; i < m.workers[0]->task_count; i++)
        if (strstr(m.workers[0]->tasks[i]->name, "aligner"))
            t = m.workers[0]->tasks[i];
    assert_non_null(t);
    assert_int_equal(t->gate.channel_count, 2);
    wk_in_push(&t->gate.channels[0], control(t, WK_BARRIER, 5));
    loop_settle(m.env);
    assert_int_equal(__atomic_load_n(&barriers, __ATOMIC_ACQUIRE), 0);
    wk_in_push(&t->gate.channels[1], control(t, WK_BARRIER, 4)); /* of one that was given up */
    wk_in_push(&t->gate.channels[1], control(t, WK_END, 0));
    loop_until(m.env, &barriers, 5);
    assert_int_equal(barriers, 5);
    cancel(&m, env);
    assert_int_equal(m.failed, 0);
}

/* ---- splits go to readers that have nothing to read ---- */

static int opened, opened_by[4];
static int count_opened(rask_ctx *ctx, rask_split *split)
{
    (void)split;
    add_to(&opened_by[rask_subtask(ctx)], 1);
    add_to(&opened, 1);
    return 0;
}
static int four_splits(rask_ctx *ctx, rask_splits *found)
{
    int rc = 0;

    (void)ctx;
    for (char id = 'a'; rc == 0 && id < 'e'; id++)
        rc = rask_split_add(found, (rask_str){&id, 1}, RASK_STR(""));
    return rc;
}
static const rask_source sharing = {.abi = RASK_ABI, .name = "sharing", .out = &number_schema, .discover = four_splits,
                                    .open_split = count_opened, .poll = patient_poll};

static void a_reader_that_is_far_away_has_its_split_too(void **state)
{
    rask_env *env = building();
    struct master m;

    (void)state;
    opened = 0;
    memset(opened_by, 0, sizeof(opened_by));
    rask_sink_to(rask_from_source(env, &sharing, NULL), &counting);
    start(&m, env, 2, 4);
    loop_until(m.env, &opened, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(__atomic_load_n(&opened_by[i], __ATOMIC_ACQUIRE), 1);
    cancel(&m, env);
    assert_int_equal(m.failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_below_a_wait_ends_both),
        cmocka_unit_test(watermarks_rise_inside_a_chain),
        cmocka_unit_test(watermarks_rise_over_an_edge),
        cmocka_unit_test(rows_do_not_wait_with_their_source),
        cmocka_unit_test(a_source_may_be_woken_after_its_end),
        cmocka_unit_test(rows_after_an_error_are_dropped),
        cmocka_unit_test(a_deployment_that_fails_in_an_edge_is_taken_back),
        cmocka_unit_test(a_channel_that_ends_does_not_hold_up_alignment),
        cmocka_unit_test(a_failed_open_leaves_nothing),
        cmocka_unit_test(a_reduced_row_has_the_time_of_the_row_that_caused_it),
        cmocka_unit_test(a_rolling_row_has_the_time_of_the_row_that_caused_it),
        cmocka_unit_test(an_idle_source_is_not_waited_for),
        cmocka_unit_test(an_operator_that_consumes_nothing_fails_by_name),
        cmocka_unit_test(a_reader_that_is_far_away_has_its_split_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
