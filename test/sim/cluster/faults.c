/* faults.c - what happens to a simulated cluster. Each fault has a probe that counts when it really struck. */
#include <string.h>

#include "common/base/check.h"
#include "test/sim/cluster/cluster.h"
#include "test/sim/cluster/executor.h"

static struct taskmanager *some_tm(struct cluster *c)
{
    return &c->tms[sim_range(c->sim, 0, c->tm_count - 1)];
}

/* That of the JobManager or of a TaskManager. */
static struct sim_node *some_host(struct cluster *c)
{
    return sim_chance(c->sim, 1, 4) ? c->jm_node : some_tm(c)->node;
}

static struct worker *some_worker(struct cluster *c)
{
    uint32_t alive = 0, pick;

    for (uint32_t i = 0; i < c->worker_count; i++)
        alive += c->workers[i].wk != NULL;
    if (alive == 0)
        return NULL;
    pick = (uint32_t)sim_range(c->sim, 0, alive - 1);
    for (uint32_t i = 0;; i++)
        if (c->workers[i].wk != NULL && pick-- == 0)
            return &c->workers[i];
}

static uint64_t a_while(struct cluster *c, uint64_t most_s)
{
    static const uint64_t longest_ms[] = {1, 50, 2000, 20000, 60000};
    uint64_t ns = sim_range(c->sim, 1, longest_ms[sim_range(c->sim, 0, 4)] * 1000) * SIM_US;

    return MIN(ns, most_s * SIM_S);
}

static void tm_returns(struct sim *sim, void *arg)
{
    (void)sim;
    taskmanager_restart(arg);
}

static void jm_returns(struct sim *sim, void *arg)
{
    (void)sim;
    jobmanager_restart(arg);
}

/* ---- processes ---- */

static bool worker_killed(struct cluster *c)
{
    struct worker *w = some_worker(c);

    if (w)
        worker_end(w, -1, 9);
    return w != NULL;
}

static bool worker_exits(struct cluster *c)
{
    struct worker *w = some_worker(c);

    if (w)
        worker_end(w, 0, 0);
    return w != NULL;
}

static bool worker_overdraws(struct cluster *c)
{
    struct worker *w = some_worker(c);

    if (w)
        w->pss_bytes = (uint64_t)1 << 40;
    return w != NULL;
}

static bool function_hangs(struct cluster *c)
{
    struct worker *w = some_worker(c);

    if (!w)
        return false;
    sim_executor_stall(w->executor);
    if (sim_chance(c->sim, 1, 3)) { /* and nobody can tell it to end */
        SIM_PROBE("fault: a worker that hangs loses its connections");
        sim_break_connections(w->node, NULL);
    }
    for (uint32_t i = 0; i < c->job_count; i++)
        c->jobs[i].stuck |= id_equal(&c->jobs[i].id, &w->job_id);
    return true;
}

static bool tm_ends(struct cluster *c, void (*how)(struct sim_node *node))
{
    struct taskmanager *tm = some_tm(c);

    if (!sim_alive(tm->node))
        return false;
    how(tm->node);
    sim_at(c->sim, a_while(c, 8), tm_returns, tm);
    return true;
}

static bool tm_killed(struct cluster *c)
{
    return tm_ends(c, sim_kill);
}

static bool tm_loses_power(struct cluster *c)
{
    return tm_ends(c, sim_crash);
}

static void tm_stopped(struct sim *sim, void *arg)
{
    struct taskmanager *tm = arg;

    if (!tm->leaving) /* it died meanwhile, and may be back already */
        return;
    sim_stop(tm->node);
    sim_at(sim, sim_range(sim, 1, 5000) * SIM_MS, tm_returns, tm);
}

static void on_stopped(void *arg)
{
    struct taskmanager *tm = arg;

    sim_at(tm->c->sim, 0, tm_stopped, tm);
}

static bool tm_leaves(struct cluster *c)
{
    struct taskmanager *tm = some_tm(c);

    if (!tm->tm || tm->leaving)
        return false;
    tm->leaving = true;
    tm_stop(tm->tm, on_stopped, tm);
    return true;
}

static bool jm_ends(struct cluster *c, void (*how)(struct sim_node *node))
{
    if (!c->jm)
        return false;
    how(c->jm_node);
    sim_at(c->sim, a_while(c, 20), jm_returns, c);
    return true;
}

static bool jm_killed(struct cluster *c)
{
    return jm_ends(c, sim_kill);
}

static bool jm_loses_power(struct cluster *c)
{
    return jm_ends(c, sim_crash);
}

static bool paused(struct cluster *c)
{
    struct sim_node *node = some_host(c);

    sim_pause(node, a_while(c, 60));
    return true;
}

static bool slow(struct cluster *c)
{
    struct sim_node *node = some_host(c);

    sim_slow(node, (uint32_t)sim_range(c->sim, 2, 40));
    return true;
}

/* ---- network ---- */

static bool cut_one_way(struct cluster *c)
{
    struct sim_node *a = some_host(c), *b = some_host(c);

    if (a == b)
        return false;
    sim_partition(a, b, true);
    return true;
}

static bool isolated(struct cluster *c)
{
    sim_isolate(some_host(c), true);
    return true;
}

static bool broken(struct cluster *c)
{
    struct worker *w = some_worker(c);
    struct sim_node *node = w && sim_chance(c->sim, 2, 3) ? w->node : some_host(c);

    sim_break_connections(node, NULL);
    return sim_alive(node);
}

/* Two workers of a job lose each other, and nobody else. */
static bool link_broken(struct cluster *c)
{
    struct worker *w = some_worker(c), *other = NULL;

    for (uint32_t i = 0; w && i < c->worker_count; i++)
        if (&c->workers[i] != w && c->workers[i].wk && id_equal(&c->workers[i].job_id, &w->job_id))
            other = &c->workers[i];
    if (other)
        sim_break_connections(w->node, other->node);
    return other != NULL;
}

static bool clogged(struct cluster *c)
{
    struct sim_node *a = some_host(c), *b = some_host(c);

    if (a == b)
        return false;
    sim_clog(a, b, a_while(c, 20));
    return true;
}

static bool far(struct cluster *c)
{
    sim_set_delay(c->sim, (uint64_t)50 * SIM_US << sim_range(c->sim, 0, 9));
    return true;
}

static bool bit_flipped(struct cluster *c)
{
    struct worker *w = some_worker(c);

    if (w)
        sim_corrupt_next(w->node);
    else
        sim_corrupt_next(some_host(c));
    return true;
}

/* ---- clocks and disks ---- */

static bool clock_jumps(struct cluster *c)
{
    struct sim_node *node = some_host(c);
    int64_t ms = (int64_t)sim_range(c->sim, 1, 3600000);

    sim_wall_jump(node, sim_chance(c->sim, 1, 2) ? ms : -ms);
    return true;
}

static bool disk_full(struct cluster *c)
{
    sim_disk_capacity(c->jm_node, sim_range(c->sim, 1, 4000));
    return true;
}

static bool disk_errors(struct cluster *c)
{
    sim_disk_errors(c->jm_node, (uint32_t)sim_range(c->sim, 100000, 1000000));
    return true;
}

static const struct {
    const char *name;
    bool (*strike)(struct cluster *c); /* false: there was nothing to hurt */
    bool rare; /* it ends all jobs */
} faults[] = {
    {"fault: worker killed", worker_killed, false},
    {"fault: worker leaves by exit(0)", worker_exits, false},
    {"fault: worker over its memory", worker_overdraws, false},
    {"fault: a function never returns", function_hangs, false},
    {"fault: connection between workers broken", link_broken, false},
    {"fault: taskmanager killed", tm_killed, false},
    {"fault: taskmanager's host loses power", tm_loses_power, false},
    {"fault: taskmanager leaves in order", tm_leaves, false},
    {"fault: jobmanager killed", jm_killed, true},
    {"fault: jobmanager's host loses power", jm_loses_power, true},
    {"fault: paused", paused, false},
    {"fault: slow host", slow, false},
    {"fault: partition, one way", cut_one_way, false},
    {"fault: host isolated", isolated, false},
    {"fault: connections broken", broken, false},
    {"fault: clogged path", clogged, false},
    {"fault: latency", far, false},
    {"fault: a bit is flipped", bit_flipped, false},
    {"fault: wall clock jumps", clock_jumps, false},
    {"fault: disk full", disk_full, false},
    {"fault: disk errors", disk_errors, false},
};

static void strike(struct cluster *c, uint32_t i)
{
    if (!faults[i].strike(c))
        return;
    SIM_PROBE(faults[i].name);
    sim_trace(c->sim, "%s", faults[i].name);
}

void cluster_fault_by_name(struct cluster *c, const char *name)
{
    for (uint32_t i = 0; i < ARRAY_LEN(faults); i++)
        if (strcmp(faults[i].name, name) == 0) {
            strike(c, i);
            return;
        }
    CHECK_UNREACHABLE("no such fault");
}

void cluster_fault(struct cluster *c)
{
    bool small = some_worker(c) && sim_chance(c->sim, 1, 4); /* the first five */
    uint32_t i = (uint32_t)sim_range(c->sim, 0, small ? 4 : ARRAY_LEN(faults) - 1);

    if (!faults[i].rare || sim_chance(c->sim, 1, 3))
        strike(c, i);
}

void cluster_heal(struct cluster *c)
{
    sim_heal(c->sim);
    sim_set_delay(c->sim, 200 * SIM_US);
    jobmanager_restart(c);
    for (uint32_t i = 0; i < c->tm_count; i++)
        taskmanager_restart(&c->tms[i]);
}
