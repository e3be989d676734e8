/*
 * scenario_points.c - one small job, and one fault at one event of its life: the seeds walk through all of them.
 *
 * Random faults seldom meet the few moments in which a worker loads its code or two workers find each other.  Here seed s hurts
 * the cluster by fault s modulo their number at event s divided by it.
 */
#include "common/base/check.h"
#include "test/sim/cluster/cluster.h"
#include "test/sim/scenario.h"

static const char *const faults[] = {
    "fault: worker killed",
    "fault: worker leaves by exit(0)",
    "fault: connections broken",
    "fault: connection between workers broken",
    "fault: taskmanager killed",
    "fault: taskmanager leaves in order",
    "fault: jobmanager killed",
    "fault: paused",
    "fault: a function never returns",
};

static struct job *small_job(struct cluster *c)
{
    struct job_spec spec = {.index = c->job_count, .splits = 2, .rows = 30, .keys = 5, .drop = 2, .copies = 1, .poll_rows = 7,
                            .pause_us = 100, .order = true, .second_shuffle = true};

    return job_new(c, spec, 4);
}

void scenario_points(struct sim *sim)
{
    struct cluster *c = cluster_new(sim, 2, 2);
    uint64_t point = sim_seed(sim) / ARRAY_LEN(faults);
    struct job *j;

    c->faulty = true;
    c->network_bytes = 16u << 20;
    cluster_check_always(c);
    sim_run_for(sim, SIM_S);
    j = small_job(c);
    j->by_plan = sim_chance(sim, 1, 4);
    job_submit(c, j);
    for (uint64_t i = 0; i < point && !j->over && sim_step(sim); i++)
        ;
    if (j->over)
        SIM_PROBE("points: the job was over before its fault");
    cluster_fault_by_name(c, faults[sim_seed(sim) % ARRAY_LEN(faults)]);
    sim_run_for(sim, sim_range(sim, 1, 5000) * SIM_MS);
    if (!sim_failed(sim))
        cluster_settle(c);
    cluster_free(c);
}
