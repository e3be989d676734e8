/*
 * scenario_credits.c - the exchange between two workers: broken at each message, and with a consumer that is slow.
 *
 * A seed breaks the connection of the two workers of a job when it has delivered message k, for BREAKS values of k: MESSAGES /
 * BREAKS seeds in a row walk through all messages, hellos and credits included, and the next ones do it again with other delays.  The job is the same each time,
 * and needs credit to come back many times.  Then the same job runs once more on an executor that takes its time, without
 * a fault: it has to finish, with every row once and in order, and the memory bounded.  checks.c adds up all credits after
 * every event.
 */
#include "common/base/check.h"
#include "jobmanager/job/job_master.h"
#include "test/sim/cluster/cluster.h"
#include "test/sim/cluster/executor.h"
#include "test/sim/scenario.h"

#define BREAKS 4
#define MESSAGES 160 /* more than the job has between its workers */
#define JOB_NS (60 * (uint64_t)SIM_S)

/* Rows of 300 bytes in the mean, some 160 KiB a channel: the credit of a channel is 32 KiB here. */
static struct job *crowded_job(struct cluster *c)
{
    struct job_spec spec = {.index = c->job_count, .splits = 2, .rows = 700, .keys = 16, .drop = 1, .copies = 1, .wide = 600,
                            .poll_rows = 60, .pause_us = 150, .order = true, .second_shuffle = true};

    return job_new(c, spec, 2);
}

static bool over_or_broken(struct cluster *c, const struct job *j, uint64_t k)
{
    const struct worker *a = worker_of(c, &j->id, JM_FIRST_EPOCH, 0), *b = worker_of(c, &j->id, JM_FIRST_EPOCH, 1);

    if (j->over)
        return true;
    if (!a || !b || sim_frames_between(a->node, b->node) < k)
        return false;
    sim_break_connections(a->node, b->node);
    SIM_PROBE("credits: the connection breaks");
    return true;
}

static void break_at(struct cluster *c, uint64_t k)
{
    struct job *j = crowded_job(c);
    uint64_t end = sim_now_ns(c->sim) + JOB_NS;

    job_submit(c, j);
    while (!over_or_broken(c, j, k) && sim_now_ns(c->sim) < end && sim_step(c->sim))
        continue;
    if (j->over)
        SIM_PROBE("credits: the job was over before the message");
    sim_run_until(c->sim, cluster_settled, c, JOB_NS);
    if (!sim_failed(c->sim) && !j->over)
        sim_fail(c->sim, "broken at message %llu, the job neither ends nor fails", (unsigned long long)k);
    if (!sim_failed(c->sim) && !sim_run_until(c->sim, cluster_idle, c, JOB_NS))
        sim_fail(c->sim, "broken at message %llu, slots or workers are left over", (unsigned long long)k);
    cluster_check_job(c, j);
}

/* One worker takes a while for each step; the rows of the other one wait, in bounded memory, and all arrive. */
static void slow_consumer(struct cluster *c)
{
    struct job *j = crowded_job(c);
    const struct worker *slow = NULL;
    uint64_t end = sim_now_ns(c->sim) + JOB_NS;

    c->faulty = false;
    job_submit(c, j);
    while (!slow && !j->over && sim_now_ns(c->sim) < end && sim_step(c->sim))
        slow = worker_of(c, &j->id, JM_FIRST_EPOCH, 1);
    if (slow)
        sim_executor_slow(slow->executor, sim_range(c->sim, 1, 30) * SIM_MS);
    sim_run_until(c->sim, cluster_settled, c, 10 * JOB_NS);
    if (!sim_failed(c->sim) && (!j->over || j->state != JM_JOB_FINISHED))
        sim_fail(c->sim, "with a slow consumer the job does not finish: %s", j->over ? j->reason : "it hangs");
    else
        SIM_PROBE("credits: a slow consumer gets everything");
    cluster_check_job(c, j);
}

void scenario_credits(struct sim *sim)
{
    struct cluster *c = cluster_new(sim, 2, 1);
    uint64_t first = BREAKS * (sim_seed(sim) - 1);

    c->network_bytes = 3u << 19; /* 1.5 MiB: far less than the rows */
    cluster_check_always(c);
    sim_run_for(sim, SIM_S);
    c->faulty = true;
    for (uint64_t k = first; k < first + BREAKS && !sim_failed(sim); k++)
        break_at(c, k % MESSAGES + 1);
    if (!sim_failed(sim))
        slow_consumer(c);
    cluster_free(c);
}
