/*
 * test_faults.c - jobs, cancels, deaths and losses drawn from seeds: every job ends, no slot is
 * lost, none is counted twice.
 */
#include "test/unit/jobmanager/world.h"

#define SEEDS 60
#define STEPS 60
#define TMS   3

struct chaos {
    struct world *w;
    uint64_t next_job;
};

static struct fake_worker *any_worker(struct chaos *c)
{
    struct fake_tm *tm = c->w->tms[sim_range(c->w->sim, 0, TMS - 1)];
    struct fake_worker *w = tm ? &tm->workers[sim_range(c->w->sim, 0, FAKE_WORKERS / 4)] : NULL;

    return w && w->used && tm->peer ? w : NULL;
}

static void restart_taskmanager(struct chaos *c)
{
    struct sim_node *node = c->w->places[sim_range(c->w->sim, 0, TMS - 1)].node;

    if (sim_alive(node))
        sim_stop(node);
    world_run_ms(c->w, sim_range(c->w->sim, 0, 5));
    sim_boot(node);
}

static void strike(struct chaos *c)
{
    struct world *w = c->w;
    struct fake_worker *worker = any_worker(c);
    struct jm_command cancel = {.type = JM_CANCEL};

    switch (sim_range(w->sim, 0, 9)) {
    case 0:
    case 1:
    case 2:
        world_submit(w, c->next_job++, (uint32_t)sim_range(w->sim, 1, 7));
        break;
    case 3:
        if (c->next_job > 1) {
            cancel.job_id = id_from_u64(0x10b, sim_range(w->sim, 1, c->next_job - 1));
            (void)world_do(w, &cancel);
        }
        break;
    case 4:
        if (worker)
            fake_die(worker, true, sim_chance(w->sim, 2, 3), false, "killed by signal 11");
        break;
    case 5:
        if (worker && worker->registered && worker->peer && worker->task_count > 0)
            fake_report_full(worker, worker->tasks[0].vertex, worker->tasks[0].subtask, 1,
                             T(FAILED), sim_chance(w->sim, 1, 2) ? ERR_CLOSED : ERR_USER,
                             "it broke");
        break;
    case 6:
    case 7:
        if (worker && worker->registered && worker->peer)
            fake_report_all(worker, T(FINISHED));
        break;
    case 8:
        if (sim_chance(w->sim, 1, 3))
            restart_taskmanager(c);
        break;
    default:
        w->manners = (struct manners){.no_worker = sim_chance(w->sim, 1, 8),
                                      .refuse_start = sim_chance(w->sim, 1, 8),
                                      .no_running = sim_chance(w->sim, 1, 8),
                                      .ignore_cancel = sim_chance(w->sim, 1, 8),
                                      .ignore_stop = sim_chance(w->sim, 1, 8),
                                      .finish = sim_chance(w->sim, 1, 4)};
    }
}

/* What is held is the sum of what is held where, at any time. */
static void check_slots(struct sim *sim, void *arg)
{
    struct world *w = arg;
    uint32_t used = 0, slots = 0;

    if (!w->jm || !sim_alive(w->jm_node))
        return;
    for (struct map_iter it = map_iter(w->jm->resource.taskmanagers); map_next(&it);) {
        struct jm_taskmanager *tm = it.value;
        uint32_t held = 0;

        LIST_FOREACH (at, &tm->allocations)
            held += LIST_ENTRY(at, struct jm_allocation, link)->slots;
        if (held != tm->used || tm->used > tm->slots)
            sim_fail(sim, "%s: %u slots held, %u counted, of %u", tm->label, held, tm->used,
                     tm->slots);
        used += tm->used;
        slots += tm->slots;
    }
    if (used != w->jm->resource.used || slots != w->jm->resource.slots)
        sim_fail(sim, "the sum is %u of %u slots, %u of %u were counted", used, slots,
                 w->jm->resource.used, w->jm->resource.slots);
}

static void run(uint64_t seed)
{
    struct chaos c = {.w = world_new_seed(seed), .next_job = 1};

    world_boot(c.w);
    for (uint32_t i = 0; i < TMS; i++)
        world_add(c.w, i, 2);
    sim_set_checker(c.w->sim, check_slots, c.w);
    for (int i = 0; i < STEPS; i++) {
        strike(&c);
        assert_true(sim_run_for(
            c.w->sim, sim_range(c.w->sim, 0, sim_chance(c.w->sim, 1, 20) ? 40000 : 5) * SIM_MS));
    }
    c.w->manners = (struct manners){0};
    for (uint64_t n = 1; n < c.next_job; n++) {
        struct jm_command cancel = {.type = JM_CANCEL, .job_id = id_from_u64(0x10b, n)};

        (void)world_do(c.w, &cancel);
    }
    world_run_ms(c.w, 400000); /* task.cancellation.timeout, and more */
    for (uint64_t n = 1; n < c.next_job; n++) {
        struct jm_job_snapshot *job = world_job(c.w, n);

        assert_true(jm_job_state_is_final(job->state));
        assert_true(job->state != JM_JOB_FAILED || (job->reason && job->failure_count > 0));
        for (uint32_t v = 0; v < job->vertex_count; v++)
            for (uint32_t i = 0; i < job->vertices[v].parallelism; i++)
                assert_true(jm_task_state_is_final(job->vertices[v].subtasks[i].state));
        jm_job_snapshot_unref(job);
    }
    assert_all_free(c.w, 2 * TMS);
    world_free(c.w);
}

static void every_job_ends_and_no_slot_is_lost(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_ends_and_no_slot_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
