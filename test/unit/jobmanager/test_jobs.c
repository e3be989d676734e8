/* test_jobs.c - jobs from submission to their end: the straight way, slots, cancel. */
#include "test/unit/jobmanager/world.h"

static void runs_to_the_end(void **state)
{
    struct world *w = world_with(2, 2);
    struct jm_job_snapshot *job;
    struct jm_cluster_snapshot *c;

    (void)state;
    world_submit(w, 1, 4);
    world_run_ms(w, 100);
    job = world_job(w, 1);
    assert_int_equal(job->state, JM_JOB_RUNNING);
    assert_int_equal(job->vertex_count, 3);
    assert_int_equal(job->worker_count, 2);
    assert_int_equal(job->tasks[T(RUNNING)], 8);
    assert_null(job->reason);
    assert_string_equal(job->vertices[1].subtasks[0].endpoint, "tm0:7000");
    assert_string_equal(job->vertices[1].subtasks[1].endpoint, "tm1:7000");
    jm_job_snapshot_unref(job);
    assert_int_equal(w->jm->resource.used, 4);

    fake_report_all(world_worker(w, 0, 1), T(FINISHED));
    world_run_ms(w, 100);
    assert_state(w, 1, RUNNING);
    fake_report_all(world_worker(w, 1, 1), T(FINISHED));
    world_run_ms(w, 100);
    job = world_job(w, 1);
    assert_int_equal(job->state, JM_JOB_FINISHED);
    assert_int_equal(job->tasks[T(FINISHED)], 8);
    assert_int_equal(job->accumulator_count, 1);
    assert_int_equal(job->accumulators[0].value, 9 * 5);
    assert_int_equal(job->vertices[1].metrics.records_in, 40);
    assert_true(job->vertices[1].metrics.complete);
    assert_true(job->end_ms >= job->start_ms);
    jm_job_snapshot_unref(job);
    assert_all_free(w, 4);
    c = jm_snapshot(w->jm);
    assert_int_equal(c->job_count, 0);
    assert_int_equal(c->finished_count, 1);
    assert_int_equal(c->finished[0]->state, JM_JOB_FINISHED);
    assert_int_equal(c->slots_free, 4);
    jm_cluster_snapshot_unref(c);
    world_free(w);
}

/* Its picture is drawn in turns, which others are not held up by; what REST and the store get is whole. */
static void a_large_job_is_drawn_in_turns(void **state)
{
    struct world *w = world_new();
    struct map_iter it;
    struct jm_job_snapshot *picture;
    uint32_t left = 100;
    struct jm_job *job;

    (void)state;
    world_boot(w);
    world_submit(w, 1, 3 * JM_TASKS_PER_TURN);
    world_run_ms(w, 3000);
    picture = world_job(w, 1);
    assert_int_equal(picture->state, JM_JOB_CREATED);
    assert_int_equal(picture->tasks[T(CREATED)], 6 * JM_TASKS_PER_TURN);
    for (uint32_t i = 0; i < 3 * JM_TASKS_PER_TURN; i++)
        assert_int_equal(picture->vertices[1].subtasks[i].subtask, i);
    jm_job_snapshot_unref(picture);
    it = map_iter(w->jm->dispatcher.jobs);
    assert_true(map_next(&it));
    job = it.value;
    assert_true(jm_job_is_drawn(job));
    job->dirty = true;
    assert_false(jm_job_draw(job, &left));
    assert_int_equal(left, 0);
    job->dirty = true; /* it changes meanwhile: this picture is completed, and another one follows */
    left = UINT32_MAX;
    assert_true(jm_job_draw(job, &left));
    assert_false(jm_job_is_drawn(job));
    assert_int_equal(world_cancel(w, 1), 0);
    world_run_ms(w, 3000);
    assert_state(w, 1, CANCELED);
    picture = world_job(w, 1);
    assert_int_equal(picture->tasks[T(CANCELED)], 6 * JM_TASKS_PER_TURN);
    jm_job_snapshot_unref(picture);
    world_free(w);
}

static void says_at_once_which_slots_are_missing(void **state)
{
    struct world *w = world_with(2, 2);

    (void)state;
    world_submit(w, 1, 3);
    world_submit(w, 2, 4);
    assert_state(w, 2, CREATED);
    assert_reason(w, 2, "needs 4 slots, 1 is free: 3 are missing. Held by: job \"sample\" (");
    assert_reason(w, 2, ") 3; 2 TaskManagers with 2 slots each are registered");
    world_run_ms(w, 1000);
    assert_int_equal(world_cancel(w, 1), 0); /* its slots go to the one that waits */
    world_run_ms(w, 1000);
    assert_state(w, 1, CANCELED);
    assert_state(w, 2, RUNNING);
    assert_int_equal(world_cancel(w, 2), 0);
    world_run_ms(w, 1000);
    assert_all_free(w, 4);
    world_free(w);
}

static void waits_for_a_taskmanager(void **state)
{
    struct world *w = world_with(0, 0);

    (void)state;
    world_submit(w, 1, 2);
    assert_reason(w, 1,
                  "needs 2 slots, 0 are free: 2 are missing. No job holds slots; "
                  "no TaskManager is registered");
    world_add(w, 0, 1);
    world_run_ms(w, 100);
    assert_reason(w, 1,
                  "1 is missing. No job holds slots; 1 TaskManager with 1 slot is registered");
    world_add(w, 1, 1);
    world_run_ms(w, 100);
    assert_state(w, 1, RUNNING);
    world_free(w);
}

static void fails_when_no_slots_come(void **state)
{
    struct world *w = world_with(1, 1);
    struct sample s;

    (void)state;
    sample_init(&s, 1, 2);
    sample_config(&s, "slot.request.timeout", "20 s");
    assert_int_equal(world_submit_sample(w, &s), 0);
    world_run_ms(w, 19000);
    assert_state(w, 1, CREATED);
    world_run_ms(w, 2000);
    assert_state(w, 1, FAILED);
    assert_reason(
        w, 1,
        "no slots for 20 s (slot.request.timeout): the job needs 2 slots, 1 is free: 1 is missing");
    assert_all_free(w, 1);
    world_free(w);
}

static void a_smaller_job_passes_one_that_waits(void **state)
{
    struct world *w = world_with(1, 2);

    (void)state;
    world_submit(w, 1, 5);
    world_submit(w, 2, 2);
    world_run_ms(w, 100);
    assert_state(w, 1, CREATED);
    assert_state(w, 2, RUNNING);
    world_free(w);
}

static void a_repeated_submission_is_the_same_job(void **state)
{
    struct world *w = world_with(1, 2);
    struct sample s;

    (void)state;
    w->manners.finish = true;
    world_submit(w, 1, 2);
    world_submit(w, 1, 2);
    world_run_ms(w, 1000);
    assert_state(w, 1, FINISHED);
    assert_int_equal(w->tms[0]->starts, 1);
    world_submit(w, 1, 2); /* over, and still the same */
    world_run_ms(w, 1000);
    assert_int_equal(w->tms[0]->starts, 1);
    sample_init(&s, 1, 1);
    assert_int_equal(world_submit_sample(w, &s), ERR_EXISTS);
    world_free(w);
}

static void bad_graphs_are_refused(void **state)
{
    struct world *w = world_with(1, 2);
    uint8_t hash[32] = {9};
    struct sample s;

    (void)state;
    sample_init(&s, 1, 2);
    s.graph.n_nodes = 0;
    assert_int_equal(world_submit_sample(w, &s), ERR_INVALID);
    sample_init(&s, 1, 2);
    sample_config(&s, "heartbeat.interval", "1 s");
    assert_true(world_submit_sample(w, &s) < 0);
    sample_init(&s, 1, 2);
    s.graph.has_artifact = true;
    s.graph.artifact = (ProtobufCBinaryData){.len = 32, .data = hash};
    assert_int_equal(world_submit_sample(w, &s), ERR_NOT_FOUND);
    world_free(w);
}

static void unknown_jobs_are_said_to_be_unknown(void **state)
{
    static const enum jm_command_type types[] = {JM_CANCEL, JM_WATCH, JM_LOAD_JOB, JM_READ_FILE};
    struct world *w = world_with(1, 2);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct jm_command command = {.type = types[i], .job_id = id_from_u64(1, 2), .name = "out"};

        assert_int_equal(world_do(w, &command), ERR_NOT_FOUND);
        assert_non_null(strstr(command.err.text, "no job 0000000000000001"));
    }
    world_free(w);
}

static void a_watch_ends_with_the_job(void **state)
{
    struct world *w = world_with(1, 2);
    struct jm_command watch = {.type = JM_WATCH, .job_id = id_from_u64(0x10b, 1)};

    (void)state;
    world_submit(w, 1, 1);
    world_begin(w, &watch);
    world_run_ms(w, 1000);
    assert_null(watch.arg);
    fake_report_all(world_worker(w, 0, 1), T(FINISHED));
    world_run_ms(w, 1000);
    assert_non_null(watch.arg);
    assert_int_equal(watch.code, 0);
    assert_int_equal(world_do(w, &watch), 0); /* over: at once */
    world_free(w);
}

/* ---- cancel, in each state ---- */

static void cancel_while_it_waits_for_slots(void **state)
{
    struct world *w = world_with(1, 1);

    (void)state;
    world_submit(w, 1, 3);
    assert_int_equal(world_cancel(w, 1), 0);
    world_run_ms(w, 10);
    assert_state(w, 1, CANCELED);
    assert_int_equal(world_cancel(w, 1), 0); /* again */
    assert_int_equal(w->tms[0]->starts, 0);
    world_free(w);
}

static void cancel_while_workers_start(void **state)
{
    struct world *w = world_with(2, 1);

    (void)state;
    w->manners.no_worker = true;
    world_submit(w, 1, 2);
    world_run_ms(w, 100);
    assert_state(w, 1, CREATED);
    assert_int_equal(world_cancel(w, 1), 0);
    world_run_ms(w, 100);
    assert_state(w, 1, CANCELED);
    assert_all_free(w, 2);
    assert_int_equal(w->tms[0]->stops, 1);
    world_free(w);
}

static void cancel_right_after_submission(void **state)
{
    struct world *w = world_with(2, 1);

    (void)state;
    for (uint64_t n = 1; n < 40; n++) { /* wherever the job may be by then */
        world_submit(w, n, 2);
        assert_true(sim_run_for(w->sim, n * 50 * SIM_US));
        assert_int_equal(world_cancel(w, n), 0);
        world_run_ms(w, 100);
        assert_state(w, n, CANCELED);
        assert_all_free(w, 2);
    }
    world_free(w);
}

static void cancel_while_tasks_are_deploying(void **state)
{
    struct world *w = world_with(2, 1);

    (void)state;
    w->manners.no_running = true;
    world_submit(w, 1, 2);
    world_run_ms(w, 100);
    assert_state(w, 1, RUNNING);
    assert_int_equal(world_cancel(w, 1), 0);
    world_run_ms(w, 100);
    assert_state(w, 1, CANCELED);
    assert_all_free(w, 2);
    world_free(w);
}

static void cancel_while_it_runs(void **state)
{
    struct world *w = world_with(2, 1);
    struct jm_job_snapshot *job;

    (void)state;
    world_submit(w, 1, 2);
    world_run_ms(w, 100);
    assert_int_equal(world_cancel(w, 1), 0);
    world_run_ms(w, 100);
    job = world_job(w, 1);
    assert_int_equal(job->state, JM_JOB_CANCELED);
    assert_int_equal(job->tasks[T(CANCELED)], 4);
    assert_int_equal(job->failure_count, 0);
    jm_job_snapshot_unref(job);
    assert_all_free(w, 2);
    world_free(w);
}

static void tasks_that_do_not_end_are_killed(void **state)
{
    struct world *w = world_with(1, 1);
    struct sample s;

    (void)state;
    w->manners.ignore_cancel = true;
    sample_init(&s, 1, 1);
    sample_config(&s, "task.cancellation.timeout", "100 s");
    assert_int_equal(world_submit_sample(w, &s), 0);
    world_run_ms(w, 100);
    assert_int_equal(world_cancel(w, 1), 0);
    world_run_ms(w, 99000);
    assert_state(w, 1, CANCELLING);
    assert_int_equal(world_worker(w, 0, 1)->cancels, 4); /* at first, and each 30 s */
    assert_int_equal(w->tms[0]->kills, 0);
    world_run_ms(w, 2000);
    assert_state(w, 1, CANCELED);
    assert_int_equal(w->tms[0]->kills, 1);
    assert_all_free(w, 1);
    world_free(w);
}

static void a_worker_that_nobody_can_stop_is_given_up(void **state)
{
    struct world *w = world_with(1, 1);

    (void)state;
    w->manners.ignore_stop = true;
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    assert_int_equal(world_cancel(w, 1), 0);
    world_run_ms(w, 1000);
    assert_state(w, 1, CANCELLING);
    assert_int_equal(w->jm->resource.used, 1);
    world_run_ms(w, 20000);
    assert_state(w, 1, CANCELED);
    assert_all_free(w, 1);
    world_free(w);
}

static void tasks_may_finish_while_they_are_canceled(void **state)
{
    struct world *w = world_with(1, 1);

    (void)state;
    w->manners.ignore_cancel = true;
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    assert_int_equal(world_cancel(w, 1), 0);
    fake_report_all(world_worker(w, 0, 1), T(FINISHED));
    world_run_ms(w, 100);
    assert_state(w, 1, CANCELED);
    assert_int_equal(world_cancel(w, 1), 0);
    world_free(w);
}

static void a_finished_job_cannot_be_canceled(void **state)
{
    struct world *w = world_with(1, 1);

    (void)state;
    w->manners.finish = true;
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    assert_state(w, 1, FINISHED);
    assert_int_equal(world_cancel(w, 1), ERR_STATE);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_to_the_end),
        cmocka_unit_test(a_large_job_is_drawn_in_turns),
        cmocka_unit_test(says_at_once_which_slots_are_missing),
        cmocka_unit_test(waits_for_a_taskmanager),
        cmocka_unit_test(fails_when_no_slots_come),
        cmocka_unit_test(a_smaller_job_passes_one_that_waits),
        cmocka_unit_test(a_repeated_submission_is_the_same_job),
        cmocka_unit_test(bad_graphs_are_refused),
        cmocka_unit_test(unknown_jobs_are_said_to_be_unknown),
        cmocka_unit_test(a_watch_ends_with_the_job),
        cmocka_unit_test(cancel_while_it_waits_for_slots),
        cmocka_unit_test(cancel_while_workers_start),
        cmocka_unit_test(cancel_right_after_submission),
        cmocka_unit_test(cancel_while_tasks_are_deploying),
        cmocka_unit_test(cancel_while_it_runs),
        cmocka_unit_test(tasks_that_do_not_end_are_killed),
        cmocka_unit_test(a_worker_that_nobody_can_stop_is_given_up),
        cmocka_unit_test(tasks_may_finish_while_they_are_canceled),
        cmocka_unit_test(a_finished_job_cannot_be_canceled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
