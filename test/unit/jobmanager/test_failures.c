/* test_failures.c - what dies in the life of a job, and what is then said to be the cause. */
#include "test/unit/jobmanager/world.h"

static void a_failed_task_fails_the_job(void **state)
{
    struct world *w = world_with(2, 1);
    struct jm_job_snapshot *job;

    (void)state;
    world_submit(w, 1, 2);
    world_run_ms(w, 100);
    fake_report_full(world_worker(w, 1, 1), 1, 1, 1, T(FAILED), ERR_USER,
                     "map: row 7: division by zero");
    world_run_ms(w, 100);
    job = world_job(w, 1);
    assert_int_equal(job->state, JM_JOB_FAILED);
    assert_string_equal(job->reason, "map: row 7: division by zero");
    assert_int_equal(job->failure_count, 1);
    assert_string_equal(job->failures[0].text, "map: row 7: division by zero");
    assert_string_equal(job->failures[0].task, "numbers (2/2)");
    assert_string_equal(job->failures[0].endpoint, "tm1:7000");
    assert_int_equal(job->tasks[T(FAILED)], 1);
    assert_int_equal(job->tasks[T(CANCELED)], 3);
    assert_int_equal(job->vertices[1].state, T(FAILED));
    jm_job_snapshot_unref(job);
    assert_all_free(w, 2);
    world_free(w);
}

static void the_last_task_fails_the_job_too(void **state)
{
    struct world *w = world_with(1, 1);
    struct fake_worker *worker;

    (void)state;
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    worker = world_worker(w, 0, 1);
    fake_report(worker, 0, 0, T(FINISHED));
    fake_report(worker, 1, 0, T(FINISHED));
    fake_report_full(worker, 2, 0, 1, T(FAILED), ERR_IO, "disk full");
    world_run_ms(w, 100);
    assert_state(w, 1, FAILED);
    assert_reason(w, 1, "disk full");
    assert_all_free(w, 1);
    world_free(w);
}

static void the_obituary_is_the_cause(void **state)
{
    struct world *w = world_with(2, 1);
    struct jm_job_snapshot *job;

    (void)state;
    world_submit(w, 1, 2);
    world_run_ms(w, 100);
    fake_die(world_worker(w, 0, 1), true, false, false, NULL); /* the connection closes; */
    fake_report_full(world_worker(w, 1, 1), 2, 1, 1, T(FAILED), ERR_CLOSED,
                     "worker 0 closed the connection");
    world_run_ms(w, 500);
    assert_state(w, 1, FAILING);
    /* then it is told why */
    fake_die(world_worker(w, 0, 1), false, true, false, "killed by signal 11 (SIGSEGV)");
    world_run_ms(w, 100);
    job = world_job(w, 1);
    assert_int_equal(job->state, JM_JOB_FAILED);
    assert_non_null(strstr(job->reason, "worker 0 on TaskManager "));
    assert_non_null(strstr(job->reason, ": killed by signal 11 (SIGSEGV)"));
    assert_non_null(strstr(job->reason, "#0 boom"));
    assert_string_equal(job->failures[0].task, "map (1/2)");
    assert_int_equal(job->failure_count, 3);
    jm_job_snapshot_unref(job);
    assert_all_free(w, 2);
    world_free(w);
}

static void without_an_obituary_the_loss_is_the_cause(void **state)
{
    struct world *w = world_with(1, 1);

    (void)state;
    w->manners.ignore_stop = true;
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    fake_die(world_worker(w, 0, 1), true, false, false, NULL);
    world_run_ms(w, 1900);
    assert_int_equal(w->tms[0]->kills, 0);
    world_run_ms(w, 200);
    assert_int_equal(w->tms[0]->kills, 1);
    fake_die(world_worker(w, 0, 1), false, true, true, "was stopped");
    world_run_ms(w, 100);
    assert_state(w, 1, FAILED);
    assert_reason(w, 1, "connection lost");
    assert_all_free(w, 1);
    world_free(w);
}

static void death_before_registration(void **state)
{
    struct world *w = world_with(2, 1);

    (void)state;
    w->manners.no_worker = true;
    world_submit(w, 1, 2);
    world_run_ms(w, 100);
    fake_die(world_worker(w, 1, 1), true, true, false, "exit code 127");
    world_run_ms(w, 100);
    assert_state(w, 1, FAILED);
    assert_reason(w, 1, "worker 1 on TaskManager");
    assert_reason(w, 1, "exit code 127");
    assert_all_free(w, 2);
    world_free(w);
}

static void death_while_deploying(void **state)
{
    struct world *w = world_with(2, 1);

    (void)state;
    w->manners.no_running = true;
    world_submit(w, 1, 2);
    world_run_ms(w, 100);
    fake_die(world_worker(w, 1, 1), true, true, false, "exit code 1");
    world_run_ms(w, 100);
    assert_state(w, 1, FAILED);
    assert_all_free(w, 2);
    world_free(w);
}

static void death_while_canceling_is_expected(void **state)
{
    struct world *w = world_with(2, 1);
    struct jm_job_snapshot *job;

    (void)state;
    w->manners.ignore_cancel = true;
    world_submit(w, 1, 2);
    world_run_ms(w, 100);
    assert_int_equal(world_cancel(w, 1), 0);
    fake_die(world_worker(w, 0, 1), true, true, false, "killed by signal 9");
    fake_die(world_worker(w, 1, 1), true, true, false, "killed by signal 9");
    world_run_ms(w, 100);
    job = world_job(w, 1);
    assert_int_equal(job->state, JM_JOB_CANCELED);
    assert_int_equal(job->failure_count, 0);
    jm_job_snapshot_unref(job);
    assert_all_free(w, 2);
    world_free(w);
}

static void death_after_the_last_task_is_no_failure(void **state)
{
    struct world *w = world_with(1, 1);

    (void)state;
    w->manners.ignore_stop = true;
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    fake_report_all(world_worker(w, 0, 1), T(FINISHED));
    world_run_ms(w, 100);
    fake_die(world_worker(w, 0, 1), true, true, false, "killed by signal 11 in an exit handler");
    world_run_ms(w, 100);
    assert_state(w, 1, FINISHED);
    assert_all_free(w, 1);
    world_free(w);
}

static void death_while_failing(void **state)
{
    struct world *w = world_with(2, 1);
    struct jm_job_snapshot *job;

    (void)state;
    w->manners.ignore_cancel = true;
    world_submit(w, 1, 2);
    world_run_ms(w, 100);
    fake_report_full(world_worker(w, 0, 1), 1, 0, 1, T(FAILED), ERR_USER, "first");
    world_run_ms(w, 100);
    assert_state(w, 1, FAILING);
    fake_die(world_worker(w, 1, 1), true, true, false, "second");
    world_run_ms(w, 100);
    assert_state(w, 1, FAILING);
    fake_die(world_worker(w, 0, 1), true, true, false, "third");
    world_run_ms(w, 100);
    job = world_job(w, 1);
    assert_int_equal(job->state, JM_JOB_FAILED);
    assert_string_equal(job->reason, "first");
    jm_job_snapshot_unref(job);
    assert_all_free(w, 2);
    world_free(w);
}

static void a_failing_job_may_be_canceled(void **state)
{
    struct world *w = world_with(1, 1);

    (void)state;
    w->manners.ignore_cancel = true;
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    fake_report_full(world_worker(w, 0, 1), 1, 0, 1, T(FAILED), ERR_USER, "first");
    world_run_ms(w, 100);
    assert_int_equal(world_cancel(w, 1), 0);
    assert_state(w, 1, CANCELLING);
    fake_report_all(world_worker(w, 0, 1), T(CANCELED));
    world_run_ms(w, 100);
    assert_state(w, 1, CANCELED);
    assert_all_free(w, 1);
    world_free(w);
}

static void a_worker_that_cannot_start_fails_the_job(void **state)
{
    struct world *w = world_with(2, 1);

    (void)state;
    w->manners.refuse_start = true;
    world_submit(w, 1, 2);
    world_run_ms(w, 100);
    assert_state(w, 1, FAILED);
    assert_reason(w, 1, "could not be started");
    assert_reason(w, 1, "no memory for a process");
    assert_all_free(w, 2);
    world_free(w);
}

static void a_worker_that_does_not_register_is_named(void **state)
{
    struct world *w = world_with(1, 1);

    (void)state;
    w->manners.no_worker = true;
    world_submit(w, 1, 1);
    world_run_ms(w, 29000);
    assert_state(w, 1, CREATED);
    world_run_ms(w, 2000);
    assert_state(w, 1, FAILED);
    assert_reason(w, 1, "worker 0 on TaskManager");
    assert_reason(w, 1, "did not register within 30 s");
    assert_all_free(w, 1);
    world_free(w);
}

static void a_lost_taskmanager_fails_its_jobs_alone(void **state)
{
    struct world *w = world_with(3, 1);

    (void)state;
    world_submit(w, 1, 2);
    world_submit(w, 2, 1);
    world_run_ms(w, 100);
    sim_stop(w->places[1].node);
    world_run_ms(w, 100);
    assert_state(w, 1, FAILED);
    assert_state(w, 2, RUNNING);
    assert_reason(w, 1, "is lost (");
    assert_reason(w, 1, "tm1:7000");
    assert_int_equal(w->jm->resource.slots, 2);
    assert_int_equal(w->jm->resource.used, 1);
    sim_boot(w->places[1].node); /* a new one, with a new id */
    world_run_ms(w, 100);
    world_submit(w, 3, 2);
    world_run_ms(w, 100);
    assert_state(w, 3, RUNNING);
    world_free(w);
}

static void a_taskmanager_that_is_lost_in_any_state(void **state)
{
    struct world *w = world_with(2, 1);

    (void)state;
    for (uint64_t n = 1; n < 40; n++) {
        world_submit(w, n, 2);
        assert_true(sim_run_for(w->sim, n * 50 * SIM_US));
        sim_stop(w->places[n % 2].node);
        world_run_ms(w, 3000);
        assert_state(w, n, FAILED);
        assert_all_free(w, 1);
        sim_boot(w->places[n % 2].node);
        world_run_ms(w, 100);
        assert_all_free(w, 2);
    }
    world_free(w);
}

static void a_silent_taskmanager_is_lost_after_the_timeout(void **state)
{
    struct world *w = world_with(1, 1);

    (void)state;
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    sim_isolate(w->places[0].node, true);
    world_run_ms(w, 70000);
    assert_state(w, 1, FAILED);
    assert_all_free(w, 0);
    world_free(w);
}

static void a_taskmanager_that_registers_twice(void **state)
{
    struct world *w = world_with(1, 2);

    (void)state;
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    fake_tm_connect(w->tms[0]); /* the same process, over a new connection */
    world_run_ms(w, 100);
    assert_int_equal(map_size(w->jm->resource.taskmanagers), 1);
    assert_state(w, 1, FAILED);
    assert_reason(w, 1, "registered anew");
    assert_all_free(w, 2);
    world_free(w);
}

/* ---- messages that are late, repeated or wrong ---- */

static void repeated_and_stale_reports_change_nothing(void **state)
{
    struct world *w = world_with(1, 1);
    struct fake_worker *worker;
    struct jm_job_snapshot *job;

    (void)state;
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    worker = world_worker(w, 0, 1);
    fake_report(worker, 1, 0, T(INITIALIZING)); /* it is RUNNING: the answer was lost */
    fake_report(worker, 1, 0, T(FINISHED));
    fake_report(worker, 1, 0, T(FINISHED));
    fake_report(worker, 1, 0, T(RUNNING));
    world_run_ms(w, 100);
    assert_int_equal(worker->refused, 0);
    fake_report_full(worker, 2, 0, 99, T(FAILED), ERR_USER, "of another epoch");
    world_run_ms(w, 100);
    assert_int_equal(worker->refused, 1);
    assert_int_equal(worker->last.code, ERR_STALE);
    fake_report(worker, 17, 0, T(FAILED));
    fake_report(worker, 1, 17, T(FAILED));
    fake_report(worker, 2, 0, T(SCHEDULED));
    fake_register(worker, 99);
    world_run_ms(w, 100);
    assert_int_equal(worker->refused, 5);
    job = world_job(w, 1);
    assert_int_equal(job->state, JM_JOB_RUNNING);
    assert_int_equal(job->accumulator_count, 1);
    assert_int_equal(job->accumulators[0].value, 5); /* once */
    jm_job_snapshot_unref(job);
    world_free(w);
}

static void events_go_to_the_worker_of_their_task(void **state)
{
    struct world *w = world_with(2, 1);
    struct fake_worker *from, *to;
    Rask__Control__OperatorEvent msg = RASK__CONTROL__OPERATOR_EVENT__INIT;

    (void)state;
    world_submit(w, 1, 2);
    world_run_ms(w, 100);
    from = world_worker(w, 1, 1);
    to = world_worker(w, 0, 1);
    msg.job_id = rpc_id_data(&from->job_id);
    msg.job_epoch = 1;
    msg.vertex = 0; /* the enumerator */
    msg.payload = (ProtobufCBinaryData){.len = 3, .data = (uint8_t *)"abc"};
    rpc_call(from->peer, RPC_OPERATOR_EVENT, &msg.base, 0, fake_ignore, from);
    world_run_ms(w, 100);
    assert_int_equal(to->events + from->events, 1);
    assert_int_equal(from->refused, 0);
    msg.vertex = 9;
    rpc_call(from->peer, RPC_OPERATOR_EVENT, &msg.base, 0, fake_ignore, from);
    world_run_ms(w, 100);
    assert_int_equal(from->refused, 1);
    world_free(w);
}

static void metrics_are_pulled_while_somebody_looks(void **state)
{
    struct world *w = world_with(1, 1);
    struct id id = id_from_u64(0x10b, 1);
    struct jm_job_snapshot *job;

    (void)state;
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    jm_touch(w->jm, &id);
    world_run_ms(w, 2000);
    job = world_job(w, 1);
    assert_int_equal(job->vertices[0].metrics.records_in, 7);
    assert_false(job->vertices[0].metrics.complete);
    jm_job_snapshot_unref(job);
    world_run_ms(w, 20000);
    assert_false(w->jm->dispatcher.metrics_timer.armed);
    world_free(w);
}

static void a_restarted_jobmanager_takes_new_jobs(void **state)
{
    struct world *w = world_with(1, 1);

    (void)state;
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    sim_kill(w->jm_node);
    world_run_ms(w, 1000);
    assert_null(w->tms[0]->peer);
    sim_boot(w->jm_node);
    sim_stop(w->places[0].node); /* a supervisor stops its workers by itself */
    sim_boot(w->places[0].node);
    world_run_ms(w, 1000);
    world_submit(w, 1, 1);
    world_run_ms(w, 1000);
    assert_state(w, 1, RUNNING);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_task_fails_the_job),
        cmocka_unit_test(the_last_task_fails_the_job_too),
        cmocka_unit_test(the_obituary_is_the_cause),
        cmocka_unit_test(without_an_obituary_the_loss_is_the_cause),
        cmocka_unit_test(death_before_registration),
        cmocka_unit_test(death_while_deploying),
        cmocka_unit_test(death_while_canceling_is_expected),
        cmocka_unit_test(death_after_the_last_task_is_no_failure),
        cmocka_unit_test(death_while_failing),
        cmocka_unit_test(a_failing_job_may_be_canceled),
        cmocka_unit_test(a_worker_that_cannot_start_fails_the_job),
        cmocka_unit_test(a_worker_that_does_not_register_is_named),
        cmocka_unit_test(a_lost_taskmanager_fails_its_jobs_alone),
        cmocka_unit_test(a_taskmanager_that_is_lost_in_any_state),
        cmocka_unit_test(a_silent_taskmanager_is_lost_after_the_timeout),
        cmocka_unit_test(a_taskmanager_that_registers_twice),
        cmocka_unit_test(repeated_and_stale_reports_change_nothing),
        cmocka_unit_test(events_go_to_the_worker_of_their_task),
        cmocka_unit_test(metrics_are_pulled_while_somebody_looks),
        cmocka_unit_test(a_restarted_jobmanager_takes_new_jobs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
