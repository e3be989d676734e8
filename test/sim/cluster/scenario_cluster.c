/*
 * scenario_cluster.c - random jobs on a cluster of random shape, while everything fails that may.
 *
 * Then faults end, and the cluster has to come to rest: each job is FINISHED with exactly the interpreter's output, or
 * FAILED or CANCELED with a reason, or gone with the JobManager that held it; no slot is taken, no worker lives; and one
 * more job runs to its exact end.  checks.c looks all the time.
 */
#include "common/base/check.h"
#include "test/sim/cluster/cluster.h"
#include "test/sim/scenario.h"

#define JOBS_AT_MOST 8
#define SETTLE_NS (400 * (uint64_t)SIM_S)

static struct job *some_job(struct cluster *c)
{
    return c->job_count > 0 ? &c->jobs[sim_range(c->sim, 0, c->job_count - 1)] : NULL;
}

static struct job *drawn_job(struct cluster *c)
{
    uint32_t slots = cluster_slots(c);
    struct job_spec spec = job_draw(c->sim, c->job_count);
    struct job *j;

    if (slots == 1)
        spec.second_group = spec.twin = false;
    j = job_new(c, spec, (uint32_t)sim_range(c->sim, 1, MAX(slots / job_slot_factor(&spec), 1)));
    j->parallelism += sim_chance(c->sim, 1, 10) ? 2 : 0;
    if (j->spec.parallelism > j->parallelism)
        j->spec.parallelism = 0;
    j->by_plan = sim_chance(c->sim, 1, 6);
    return j;
}

/* Until the next thing happens: mostly before the last one is over. */
static uint64_t gap_ns(struct sim *sim)
{
    switch (sim_range(sim, 0, 5)) {
    case 0:
    case 1:
        return sim_range(sim, 1, 400) * SIM_US;
    case 2:
        return sim_range(sim, 1, 5000) * SIM_US;
    case 3:
        return sim_range(sim, 1, 100) * SIM_MS;
    case 4:
        return sim_range(sim, 1, 3000) * SIM_MS;
    default:
        return sim_range(sim, 1, 12000) * SIM_MS;
    }
}

static void act(struct cluster *c)
{
    struct sim *sim = c->sim;
    uint32_t steps = (uint32_t)sim_range(sim, 1, 50), faults_in = (uint32_t)sim_range(sim, 2, 12);

    for (uint32_t i = 0; i < steps && !sim_failed(sim); i++) {
        struct job *j = some_job(c);

        if (c->jm && c->job_count < JOBS_AT_MOST && sim_chance(sim, 1, 4)) {
            job_submit(c, drawn_job(c));
            if (c->faulty && sim_chance(sim, 1, 2)) { /* while it starts */
                sim_run_for(sim, sim_range(sim, 1, 8000) * SIM_US);
                cluster_fault(c);
            }
        }
        if (c->faulty && sim_chance(sim, 1, faults_in))
            cluster_fault(c);
        if (j && sim_chance(sim, 1, 12))
            job_cancel(c, j);
        if (j && sim_chance(sim, 1, 12))
            job_submit_again(c, j);
        if (j && sim_chance(sim, 1, 6))
            job_look(c, j);
        if (c->faulty && sim_chance(sim, 1, 12))
            sim_heal(sim);
        sim_run_for(sim, gap_ns(sim));
    }
}

void cluster_settle(struct cluster *c)
{
    struct job *last;

    c->calm = true;
    c->state_bytes = 16u << 20;
    c->network_bytes = 32u << 20;
    cluster_heal(c);
    sim_run_for(c->sim, 90 * (uint64_t)SIM_S);
    for (uint32_t i = 0; i < c->job_count; i++)
        if (c->jobs[i].spec.endless || c->jobs[i].stuck)
            job_cancel(c, &c->jobs[i]);
    if (!sim_run_until(c->sim, cluster_settled, c, SETTLE_NS)) {
        sim_fail(c->sim, "a job neither ends nor fails");
        return;
    }
    if (!sim_run_until(c->sim, cluster_idle, c, SETTLE_NS))
        sim_fail(c->sim, "slots or workers are left over");
    for (uint32_t i = 0; i < c->job_count; i++) {
        cluster_check_job(c, &c->jobs[i]);
        job_look_back(c, &c->jobs[i]);
    }
    if (!sim_run_until(c->sim, cluster_looked_back, c, 10 * (uint64_t)SIM_S))
        sim_fail(c->sim, "the job store does not answer");
    if (sim_failed(c->sim))
        return;
    last = drawn_job(c);
    last->spec.fails = last->spec.endless = last->spec.second_group = last->spec.twin = last->by_plan = false;
    last->parallelism = (uint32_t)sim_range(c->sim, 1, cluster_slots(c));
    last->spec.parallelism = 0;
    job_submit(c, last);
    sim_run_until(c->sim, cluster_settled, c, SETTLE_NS);
    if (!last->over || last->state != JM_JOB_FINISHED)
        sim_fail(c->sim, "after all faults a job does not finish: %s", last->over ? last->reason : "it hangs");
    cluster_check_job(c, last);
}

static void run(struct sim *sim, bool faulty)
{
    struct cluster *c = cluster_new(sim, 0, 0);

    c->faulty = faulty;
    if (faulty && sim_chance(sim, 1, 8))
        c->state_bytes = sim_range(sim, 1, 8) << 10;
    cluster_check_always(c);
    sim_run_for(sim, sim_range(sim, 0, 3000) * SIM_MS);
    act(c);
    if (!sim_failed(sim))
        cluster_settle(c);
    cluster_free(c);
}

void scenario_cluster_quiet(struct sim *sim)
{
    run(sim, false);
}

void scenario_cluster(struct sim *sim)
{
    run(sim, true);
}
