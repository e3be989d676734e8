/* test_restart.c - the restart strategies as numbers, and jobs that start again. */
#include "test/unit/jobmanager/world.h"

#include "jobmanager/job/restart.h"

static struct jm_restart strategy(const char *const *settings)
{
    struct conf *conf = conf_new();
    struct jm_restart r;
    struct err err = {0};

    for (; *settings; settings++)
        if (conf_set_pair(conf, *settings, "test", &err) < 0)
            fail_msg("%s", err.text);
    jm_restart_init(&r, conf);
    conf_free(conf);
    return r;
}
#define STRATEGY(...) strategy((const char *const[]){__VA_ARGS__, NULL})

static void without_checkpoints_nothing_restarts(void **state)
{
    struct jm_restart none = strategy((const char *const[]){NULL});
    struct jm_restart with = STRATEGY("execution.checkpointing.interval=1s");
    struct jm_restart off = STRATEGY("execution.checkpointing.interval=1s", "restart-strategy.type=off");
    uint64_t wait;

    (void)state;
    assert_false(jm_restart_failed(&none, 1, 0, true, &wait));
    assert_int_equal(with.type, JM_RESTART_EXPONENTIAL_DELAY);
    assert_false(jm_restart_failed(&off, 1, 0, true, &wait));
}

static void fixed_delay_counts_attempts(void **state)
{
    struct jm_restart r = STRATEGY("restart-strategy.type=fixed-delay", "restart-strategy.fixed-delay.attempts=2");
    uint64_t wait;

    (void)state;
    assert_true(jm_restart_failed(&r, 0, 0, true, &wait));
    assert_int_equal(wait, 0);
    assert_true(jm_restart_failed(&r, 5, 0, true, &wait));
    assert_int_equal(wait, 1000);
    assert_false(jm_restart_failed(&r, 9, 0, true, &wait));
}

static void failure_rate_forgets(void **state)
{
    struct jm_restart r = STRATEGY("restart-strategy.type=failurerate",
                                   "restart-strategy.failure-rate.max-failures-per-interval=2",
                                   "restart-strategy.failure-rate.failure-rate-interval=10s");
    uint64_t wait;

    (void)state;
    assert_true(jm_restart_failed(&r, 100000, 0, false, &wait));
    assert_int_equal(wait, 1000);
    assert_true(jm_restart_failed(&r, 105000, 0, false, &wait));
    assert_true(jm_restart_failed(&r, 111000, 0, false, &wait));
    assert_true(jm_restart_failed(&r, 116000, 0, false, &wait));
    assert_false(jm_restart_failed(&r, 117000, 0, false, &wait));
    jm_restart_release(&r);
}

static void exponential_delay_grows_and_resets(void **state)
{
    struct jm_restart r = STRATEGY("restart-strategy.type=exponential-delay",
                                   "restart-strategy.exponential-delay.jitter-factor=0",
                                   "restart-strategy.exponential-delay.max-backoff=3s");
    static const uint64_t waits[] = {1000, 1500, 2250, 3000, 3000};
    uint64_t wait, now = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
        assert_true(jm_restart_failed(&r, now, 0, false, &wait));
        assert_int_equal(wait, waits[i]);
        now += 10;
    }
    assert_true(jm_restart_failed(&r, now + 3700000, 0, true, &wait));
    assert_int_equal(wait, 0);
    assert_true(jm_restart_failed(&r, now + 3700001, 0, true, &wait));
    assert_int_equal(wait, 1000);
}

static void the_wait_is_spread(void **state)
{
    struct jm_restart r = STRATEGY("restart-strategy.type=exponential-delay");
    uint64_t wait;

    (void)state;
    assert_true(jm_restart_failed(&r, 0, 0, false, &wait));
    assert_in_range(wait, 900, 901);
    assert_true(jm_restart_failed(&r, 1, UINT64_MAX, false, &wait));
    assert_in_range(wait, 1640, 1650);
}

/* ---- jobs ---- */

static void a_lost_worker_restarts_the_job_at_once(void **state)
{
    struct world *w = world_with(2, 1);
    struct jm_job_snapshot *job;

    (void)state;
    world_set(w, "restart-strategy.type", "fixed-delay");
    world_submit(w, 1, 2);
    world_run_ms(w, 100);
    fake_die(world_worker(w, 0, 1), true, true, false, "killed by signal 9 (SIGKILL)");
    world_run_ms(w, 100);
    job = world_job(w, 1);
    assert_int_equal(job->state, JM_JOB_RUNNING);
    assert_int_equal(job->restarts, 1);
    assert_null(job->reason);
    assert_non_null(strstr(job->failures[0].text, "killed by signal 9"));
    assert_string_equal(job->failures[0].endpoint, "tm0:7000");
    assert_int_equal(job->vertices[1].subtasks[0].attempt, 1);
    assert_int_equal(job->tasks[T(RUNNING)], 4);
    jm_job_snapshot_unref(job);
    assert_int_equal(world_worker(w, 0, 1)->epoch, 2);
    fake_report_all(world_worker(w, 0, 1), T(FINISHED));
    fake_report_all(world_worker(w, 1, 1), T(FINISHED));
    world_run_ms(w, 100);
    assert_state(w, 1, FINISHED);
    assert_all_free(w, 2);
    world_free(w);
}

static void the_attempts_come_to_an_end(void **state)
{
    struct world *w = world_with(1, 1);

    (void)state;
    world_set(w, "restart-strategy.type", "fixed-delay");
    world_submit(w, 1, 1);
    for (int i = 0; i < 2; i++) {
        world_run_ms(w, 1200);
        assert_state(w, 1, RUNNING);
        fake_report_full(world_worker(w, 0, 1), 1, 0, (uint64_t)i + 1, T(FAILED), ERR_USER, "boom");
        world_run_ms(w, 100);
        if (i == 0)
            assert_state(w, 1, RESTARTING);
    }
    assert_state(w, 1, FAILED);
    assert_reason(w, 1, "boom");
    assert_all_free(w, 1);
    world_free(w);
}

static void what_would_happen_again_fails(void **state)
{
    struct world *w = world_with(1, 1);

    (void)state;
    world_set(w, "restart-strategy.type", "fixed-delay");
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    fake_report_full(world_worker(w, 0, 1), 1, 0, 1, T(FAILED), ERR_LIMIT, "row too large");
    world_run_ms(w, 100);
    assert_state(w, 1, FAILED);
    assert_all_free(w, 1);
    world_free(w);
}

static void a_lost_taskmanager_is_replaced(void **state)
{
    struct world *w = world_with(3, 1);
    struct jm_job_snapshot *job;

    (void)state;
    world_set(w, "restart-strategy.type", "fixed-delay");
    world_submit(w, 1, 2);
    world_run_ms(w, 100);
    sim_kill(w->places[1].node);
    world_run_ms(w, 500);
    job = world_job(w, 1);
    assert_int_equal(job->state, JM_JOB_RUNNING);
    assert_int_equal(job->restarts, 1);
    assert_int_equal(job->worker_count, 2);
    jm_job_snapshot_unref(job);
    world_free(w);
}

static void it_waits_for_slots_and_may_be_canceled(void **state)
{
    struct world *w = world_with(2, 1);
    struct jm_command cancel = {.type = JM_CANCEL, .job_id = id_from_u64(0x10b, 1)};

    (void)state;
    world_set(w, "restart-strategy.type", "fixed-delay");
    world_submit(w, 1, 2);
    world_run_ms(w, 100);
    sim_kill(w->places[1].node);
    world_run_ms(w, 500);
    assert_state(w, 1, RESTARTING);
    assert_int_equal(world_do(w, &cancel), 0);
    world_run_ms(w, 100);
    assert_state(w, 1, CANCELED);
    assert_all_free(w, 1);
    world_free(w);
}

static bool has_no_reason(struct world *w)
{
    struct jm_job_snapshot *job = world_job(w, 1);
    bool none = !job->reason;

    jm_job_snapshot_unref(job);
    return none;
}

/* Two pipelines that share nothing, the second one in slots of its own: a region each. */
static void submit_two_pipelines(struct world *w)
{
    Rask__Graph__StreamNode *nodes[4];
    Rask__Graph__StreamEdge *edges[2];
    struct sample s, right;

    sample_init(&s, 1, 1);
    sample_init(&right, 1, 1);
    right.nodes[0].id = right.edge.source = 3;
    right.nodes[1].id = right.edge.target = 4;
    right.nodes[0].slot_group = right.nodes[1].slot_group = (char *)"right";
    for (int i = 0; i < 2; i++) {
        nodes[i] = &s.nodes[i];
        nodes[2 + i] = &right.nodes[i];
    }
    edges[0] = &s.edge;
    edges[1] = &right.edge;
    s.graph.n_nodes = 4;
    s.graph.nodes = nodes;
    s.graph.n_edges = 2;
    s.graph.edges = edges;
    assert_int_equal(world_submit_sample(w, &s), 0);
}

static void a_region_says_what_it_waits_for(void **state)
{
    struct world *w = world_with(2, 1);
    struct jm_job_snapshot *job;

    (void)state;
    world_set(w, "restart-strategy.type", "fixed-delay");
    world_set(w, "restart-strategy.fixed-delay.attempts", "9");
    world_set(w, "restart-strategy.fixed-delay.delay", "0 s");
    world_set(w, "slot.request.timeout", "10 s");
    submit_two_pipelines(w);
    world_run_ms(w, 100);
    assert_state(w, 1, RUNNING);
    sim_kill(w->places[1].node);
    world_run_ms(w, 3000);
    assert_state(w, 1, RESTARTING);
    assert_int_equal(world_worker(w, 0, 1)->epoch, 1); /* the other one runs on */
    assert_reason(w, 1, "needs 1 slot");
    world_add(w, 2, 1);
    world_run_ms(w, 1000);
    assert_state(w, 1, RUNNING);
    assert_true(has_no_reason(w));

    sim_kill(w->places[2].node); /* and once more, for too long */
    world_run_ms(w, 9000);
    assert_reason(w, 1, "needs 1 slot");
    world_run_ms(w, 3000);
    job = world_job(w, 1);
    assert_non_null(strstr(job->failures[1].text, "no slots for 10 s (slot.request.timeout): the job needs 1 slot"));
    jm_job_snapshot_unref(job);
    assert_int_equal(world_cancel(w, 1), 0);
    world_run_ms(w, 100);
    assert_state(w, 1, CANCELED);
    world_free(w);
}

/* Found by the simulator: the job named the first failure, which it would have outlived. */
static void what_ends_a_region_s_wait_is_the_reason(void **state)
{
    struct world *w = world_with(2, 1);
    struct jm_job_snapshot *job;

    (void)state;
    world_set(w, "restart-strategy.type", "fixed-delay");
    world_set(w, "restart-strategy.fixed-delay.delay", "1h");
    submit_two_pipelines(w);
    world_run_ms(w, 100);
    fake_report_full(world_worker(w, 0, 1), 1, 0, 1, T(FAILED), ERR_USER, "boom");
    world_run_ms(w, 100);
    assert_state(w, 1, RESTARTING);
    fake_report_full(world_worker(w, 1, 1), 3, 0, 1, T(FAILED), ERR_LIMIT, "row too large");
    world_run_ms(w, 100);
    assert_state(w, 1, FAILED);
    assert_reason(w, 1, "row too large");
    job = world_job(w, 1);
    assert_non_null(strstr(job->failures[1].text, "boom"));
    jm_job_snapshot_unref(job);
    world_free(w);
}

/* Found by the simulator: a worker is lost whose tasks have ended, and the last ones end while it is replaced. */
static void what_ends_while_regions_start_again_ends_the_job(void **state)
{
    struct world *w = world_with(2, 1);

    (void)state;
    world_set(w, "restart-strategy.type", "fixed-delay");
    submit_two_pipelines(w);
    world_run_ms(w, 100);
    fake_report_all(world_worker(w, 0, 1), T(FINISHED));
    world_run_ms(w, 100);
    fake_die(world_worker(w, 0, 1), true, false, false, NULL); /* its obituary is waited for */
    world_run_ms(w, 100);
    assert_state(w, 1, RESTARTING);
    fake_report_all(world_worker(w, 1, 1), T(FINISHED));
    world_run_ms(w, 100);
    fake_die(world_worker(w, 0, 1), false, true, false, "killed by signal 9 (SIGKILL)");
    world_run_ms(w, 100);
    assert_state(w, 1, FINISHED);
    assert_all_free(w, 2);
    world_free(w);
}

/*
 * Found by the simulator: a worker is lost between RUNNING and its deployment, which goes out in a turn of its own. Nobody has
 * tasks yet that could run on.
 */
static void a_worker_that_is_lost_before_it_is_deployed(void **state)
{
    struct world *w = world_with(3, 1);
    struct jm_job_snapshot *job;
    const struct jm_job *inside;
    struct id id;
    uint32_t tm = 0;

    (void)state;
    world_set(w, "restart-strategy.type", "fixed-delay");
    submit_two_pipelines(w);
    job = world_job(w, 1);
    id = job->id;
    jm_job_snapshot_unref(job);
    do {
        assert_true(sim_step(w->sim));
        inside = jm_dispatcher_job(&w->jm->dispatcher, &id);
    } while (!inside || inside->life.state != JM_JOB_RUNNING);
    while (!w->tms[tm]->workers[0].used)
        tm++;
    sim_break_connections(w->places[tm].node, NULL);
    world_run_ms(w, 5000);
    job = world_job(w, 1);
    assert_int_equal(job->state, JM_JOB_RUNNING);
    assert_int_equal(job->tasks[T(RUNNING)], 4);
    assert_int_equal(job->restarts, 1);
    assert_int_equal(job->vertices[0].subtasks[0].attempt, 1);
    assert_int_equal(job->vertices[2].subtasks[0].attempt, 1);
    jm_job_snapshot_unref(job);
    world_free(w);
}

static void a_wait_may_be_canceled(void **state)
{
    struct world *w = world_with(1, 1);
    struct jm_command cancel = {.type = JM_CANCEL, .job_id = id_from_u64(0x10b, 1)};

    (void)state;
    world_set(w, "restart-strategy.type", "fixed-delay");
    world_set(w, "restart-strategy.fixed-delay.delay", "1h");
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    fake_report_full(world_worker(w, 0, 1), 1, 0, 1, T(FAILED), ERR_USER, "boom");
    world_run_ms(w, 100);
    assert_state(w, 1, RESTARTING);
    assert_int_equal(world_do(w, &cancel), 0);
    world_run_ms(w, 100);
    assert_state(w, 1, CANCELED);
    assert_all_free(w, 1);
    world_free(w);
}

static void what_an_earlier_epoch_says_is_refused(void **state)
{
    struct world *w = world_with(1, 1);
    struct fake_worker *now;

    (void)state;
    world_set(w, "restart-strategy.type", "fixed-delay");
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    fake_die(world_worker(w, 0, 1), true, true, false, "killed");
    world_run_ms(w, 100);
    now = world_worker(w, 0, 1);
    fake_report_full(now, 1, 0, 1, T(FAILED), ERR_USER, "late");
    world_run_ms(w, 100);
    assert_int_equal(now->last.code, ERR_STALE);
    assert_state(w, 1, RUNNING);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_checkpoints_nothing_restarts),
        cmocka_unit_test(fixed_delay_counts_attempts),
        cmocka_unit_test(failure_rate_forgets),
        cmocka_unit_test(exponential_delay_grows_and_resets),
        cmocka_unit_test(the_wait_is_spread),
        cmocka_unit_test(a_lost_worker_restarts_the_job_at_once),
        cmocka_unit_test(the_attempts_come_to_an_end),
        cmocka_unit_test(what_would_happen_again_fails),
        cmocka_unit_test(a_lost_taskmanager_is_replaced),
        cmocka_unit_test(it_waits_for_slots_and_may_be_canceled),
        cmocka_unit_test(a_region_says_what_it_waits_for),
        cmocka_unit_test(what_ends_a_region_s_wait_is_the_reason),
        cmocka_unit_test(what_ends_while_regions_start_again_ends_the_job),
        cmocka_unit_test(a_worker_that_is_lost_before_it_is_deployed),
        cmocka_unit_test(a_wait_may_be_canceled),
        cmocka_unit_test(what_an_earlier_epoch_says_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
