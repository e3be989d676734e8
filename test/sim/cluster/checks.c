/*
 * checks.c - what must hold in a simulated cluster after every event, and of a job in the end.
 *
 * Looks into the objects of all processes at once, which no process can: slots against workers, both ends of a channel.
 */
#include <string.h>

#include "common/base/check.h"
#include "jobmanager/jm_private.h"
#include "taskmanager/worker/wk_private.h"
#include "test/sim/cluster/cluster.h"

#define LOOK_EVERY 32 /* events */
/* A supervisor hears for HEARTBEAT_TIMEOUT_S nothing of a JobManager that is gone; then workers have a second to end. */
#define ORPHAN_MAX_NS ((HEARTBEAT_TIMEOUT_S * 2 + 5) * (uint64_t)SIM_S)
/* Heartbeats are late on slow hosts and long paths. */
#define SILENT_MAX_NS ((HEARTBEAT_TIMEOUT_S + HEARTBEAT_S + 8) * (uint64_t)SIM_S)
/* What rows in the making, and rows larger than a channel's credit, may take beyond the share. */
#define POOL_OVERDRAFT_BYTES (8u << 20)
/* Memory is looked at each 100 ms. */
#define OVER_MAX_NS (3 * (uint64_t)SIM_S)

/* ---- slots ---- */

static void check_taskmanager(struct cluster *c, const struct jm_taskmanager *tm)
{
    uint32_t used = 0;

    LIST_FOREACH(n, &tm->allocations)
    {
        const struct jm_allocation *a = LIST_ENTRY(n, struct jm_allocation, link);

        used += a->slots;
        if (a->taskmanager != tm || !a->holder)
            sim_fail(c->sim, "slots of %s are held by nobody", tm->label);
    }
    if (used != tm->used || used > tm->slots)
        sim_fail(c->sim, "%s has %u slots, %u are in use and %u held", tm->label, tm->slots, tm->used, used);
}

static void check_slots(struct cluster *c)
{
    struct jm_resource *res = &c->jm->resource;
    uint32_t slots = 0, used = 0;

    for (struct map_iter it = map_iter(res->taskmanagers); map_next(&it);) {
        const struct jm_taskmanager *tm = it.value;

        check_taskmanager(c, tm);
        slots += tm->slots;
        used += tm->used;
    }
    if (slots != res->slots || used != res->used)
        sim_fail(c->sim, "the JobManager counts %u slots, %u used; there are %u, %u used", res->slots, res->used, slots, used);
}

/* What runs on a host never owns more slots than it has. */
static void check_hosts(struct cluster *c)
{
    uint32_t used[TMS_MAX] = {0};

    for (uint32_t i = 0; i < c->worker_count; i++) {
        const struct worker *w = &c->workers[i];
        uint32_t tm = (uint32_t)(w->tm - c->tms);

        if (!w->wk || w->start->has_plan_artifact)
            continue;
        used[tm] += w->start->slots;
        if (used[tm] > c->tms[tm].slots)
            sim_fail(c->sim, "a slot of tm%u is taken twice: its workers own %u, it has %u", tm, used[tm], c->tms[tm].slots);
    }
}

/* ---- jobs ---- */

/* Between two looks it may have gone more than one step. */
static bool may_become(enum jm_job_state from, enum jm_job_state to)
{
    static bool reached[JM_JOB_STATE_COUNT][JM_JOB_STATE_COUNT];

    if (!reached[0][0])
        for (int round = 0; round < JM_JOB_STATE_COUNT; round++)
            for (int a = 0; a < JM_JOB_STATE_COUNT; a++)
                for (int b = 0; b < JM_JOB_STATE_COUNT; b++)
                    for (int k = 0; k < JM_JOB_STATE_COUNT; k++)
                        reached[a][b] |= a == b || jm_job_may((enum jm_job_state)a, (enum jm_job_state)b) ||
                                         (reached[a][k] && reached[k][b]);
    return reached[from][to];
}

static void check_counts(struct cluster *c, const struct jm_job *job)
{
    uint32_t open = 0, gone = 0, open_of_workers = 0;
    bool placed = false; /* workers are there a turn before tasks are placed on them */

    for (uint32_t v = 0; v < job->job_graph->n_vertices; v++)
        for (uint32_t i = 0; i < job->graph.vertices[v].spec->parallelism; i++) {
            open += !jm_task_state_is_final(job->graph.vertices[v].subtasks[i].life.state);
            placed = placed || job->graph.vertices[v].subtasks[i].worker != JM_NO_WORKER;
        }
    for (uint32_t i = 0; i < job->worker_count; i++) {
        const struct jm_worker *w = &job->workers[i];

        open_of_workers += w->open;
        gone += w->state == JM_WORKER_GONE;
        if ((w->state == JM_WORKER_GONE) != (w->allocation == NULL) && !(job->life.state == JM_JOB_RESTARTING || (job->ending && job->restart.type != JM_RESTART_NONE)))
            sim_fail(c->sim, "%s is %s and %s its slots", w->label, w->state == JM_WORKER_GONE ? "gone" : "here",
                     w->allocation ? "holds" : "has not");
    }
    if (open != job->graph.open || (job->worker_count > 0 && (placed ? open : 0) != open_of_workers) || gone != job->workers_gone)
        sim_fail(c->sim, "a job counts %u open tasks and %u workers that are gone; there are %u and %u", job->graph.open,
                 job->workers_gone, open, gone);
}

static void check_jobs(struct cluster *c)
{
    for (uint32_t i = 0; i < c->job_count; i++) {
        struct job *j = &c->jobs[i];
        struct jm_job *job = j->submitted && !job_lost(c, j) ? jm_dispatcher_job(&c->jm->dispatcher, &j->id) : NULL;
        const struct jm_stored *stored = j->submitted && !job ? jm_store_find(&c->jm->store, &j->id) : NULL;
        enum jm_job_state now;

        if (!job && (!stored || job_lost(c, j)))
            continue;
        now = job ? job->life.state : stored->entry->state;
        if (j->seen >= 0 && !may_become((enum jm_job_state)j->seen, now))
            sim_fail(c->sim, "job %u goes from %s to %s", i, jm_job_state_name((enum jm_job_state)j->seen),
                     jm_job_state_name(now));
        j->seen = (int)now;
        if (job)
            check_counts(c, job);
    }
}

/* ---- owners ---- */

static bool is_owned(struct cluster *c, const struct worker *w)
{
    const struct jm_job *job = jm_dispatcher_job(&c->jm->dispatcher, &w->job_id);

    if (jm_plan_find(&c->jm->dispatcher, &w->job_id))
        return true;
    return job && job->epoch == w->start->job_epoch && w->start->worker_index < job->worker_count &&
           job->workers[w->start->worker_index].state != JM_WORKER_GONE;
}

/*
 * For how long something has been so that has to end soon, by *since_ns, where 0 stands for never.  Time in which the node that is to
 * end it was paused does not count, whether anybody looked meanwhile or not.
 */
static uint64_t lasts_ns(struct cluster *c, uint64_t *since_ns, bool is_so, const struct sim_node *who)
{
    uint64_t now_ns = sim_now_ns(c->sim) + 1;

    if (!is_so)
        *since_ns = 0;
    else if (*since_ns == 0 || sim_paused_since(who, *since_ns))
        *since_ns = now_ns;
    return is_so ? now_ns - *since_ns : 0;
}

/* A worker whose job nobody knows any more ends soon; its host must be able to act. */
static void check_owners(struct cluster *c)
{
    for (uint32_t i = 0; i < c->worker_count; i++) {
        struct worker *w = &c->workers[i];
        uint64_t ns = lasts_ns(c, &w->orphan_ns, w->wk && !(c->jm && is_owned(c, w)), w->node);

        if (ns > ORPHAN_MAX_NS)
            sim_fail(c->sim, "%s has had no owner for %llu s", sim_name(w->node), (unsigned long long)(ns / SIM_S));
    }
}

/* A TaskManager that the JobManager cannot hear for so long is lost to it. */
static void check_heartbeats(struct cluster *c)
{
    for (uint32_t i = 0; i < c->tm_count; i++) {
        struct taskmanager *tm = &c->tms[i];
        uint64_t ns = lasts_ns(c, &tm->silent_ns, c->jm && !sim_reachable(c->jm_node, tm->node), c->jm_node);

        if (ns > SILENT_MAX_NS && jm_resource_find(&c->jm->resource, &tm->id))
            sim_fail(c->sim, "tm%u is registered, though it is silent for %llu s", i, (unsigned long long)(ns / SIM_S));
    }
}

/* ---- workers by themselves ---- */

/* Rows that it may hold while it sleeps: those of an edge that sends more soon, for which the task is woken. */
static bool is_paced(const struct wk_task *t, const struct wk_edge *e)
{
    return e->paced && t->run.wake && t->run.wake_at_ns <= e->last_flush_ns + EDGE_PACE_BEHIND_NS;
}

static void check_tasks(struct cluster *c, const struct wk *wk)
{
    for (uint32_t i = 0; i < wk->task_count; i++) {
        const struct wk_task *t = wk->tasks[i];

        if (t->run.state != WK_IDLE || wk_task_is_over(t) || t->stopped != TASK_STOP_INPUT)
            continue;
        for (uint32_t k = 0; k < t->chain.edge_count; k++) {
            const struct wk_edge *e = t->chain.edges[k];

            if (e->held_count > 0 && e->partitioner != RASK__GRAPH__PARTITIONER__SPLITS && !is_paced(t, e))
                sim_fail(c->sim, "task \"%s\" is idle and holds %u rows", t->name, e->held_rows);
        }
    }
}

static void check_worker(struct cluster *c, struct worker *w)
{
    struct pool_stats stats;

    if (w->wk->deploy && !w->wk->peer && !w->wk->canceling && !w->wk->done)
        sim_fail(c->sim, "%s has lost its job master and goes on", sim_name(w->node));
    pool_stats(w->wk->pool, &stats);
    if (stats.in_use_bytes > w->wk->options.network_bytes + POOL_OVERDRAFT_BYTES)
        sim_fail(c->sim, "%s has %llu bytes in blocks, its share is %llu", sim_name(w->node),
                 (unsigned long long)stats.in_use_bytes, (unsigned long long)w->wk->options.network_bytes);
    if (lasts_ns(c, &w->over_ns, w->pss_bytes > w->start->budget_bytes, w->node) > OVER_MAX_NS)
        sim_fail(c->sim, "%s has more memory than it may, and nobody ends it", sim_name(w->node));
    check_tasks(c, w->wk);
}

static void check_workers(struct cluster *c)
{
    for (uint32_t i = 0; i < c->worker_count; i++)
        if (c->workers[i].wk)
            check_worker(c, &c->workers[i]);
}

/* ---- credits ---- */

static uint64_t taken_of(const struct wk_task *t, const struct wk_in *in)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < t->taken_count; i++)
        if (t->taken[i].in == in)
            bytes += t->taken[i].bytes;
    return bytes;
}

static uint32_t slices_in(const struct list *elements, const struct wk_in *in)
{
    uint32_t n = 0;

    LIST_FOREACH(node, elements)
    {
        const struct wk_element *e = LIST_ENTRY(node, struct wk_element, node);

        n += e->in == in && e->type == WK_DATA;
    }
    return n;
}

/* Slices of the channel that are here and not yet consumed. */
static uint32_t slices_of(const struct wk_task *t, const struct wk_in *in)
{
    uint32_t n = slices_in(&t->gate.queue, in) + slices_in(&in->held, in);

    for (const struct wk_element *e = t->gate.arrived; e; e = e->next) /* the task is not over: no mark is there */
        n += e->in == in && e->type == WK_DATA;
    for (uint32_t i = 0; i < t->taken_count; i++)
        n += t->taken[i].in == in;
    return n;
}

static const struct wk_out *other_end(struct wk *wk, const struct wk_in *in)
{
    const struct wk_edge_info *info = in->edge < wk->edge_count ? &wk->edges[in->edge] : NULL;
    const struct wk_edge *e = info && info->edge ? info->out[in->source_subtask] : NULL;

    for (uint32_t i = 0; e && i < e->channel_count; i++)
        if (e->channels[i].target_subtask == in->target_subtask)
            return &e->channels[i];
    return NULL;
}

static bool is_deployed(const struct worker *w)
{
    return w && w->wk && w->wk->deploy && list_empty(&w->wk->rollouts) && w->wk->task_count > 0;
}

/* credit + under way + queued + taken + not yet returned = the whole; nothing is under way when both say so. */
static void check_channel(struct cluster *c, struct worker *w, const struct wk_task *t, const struct wk_in *in)
{
    uint32_t index = w->wk->placement[w->wk->edges[in->edge].edge->source_vertex][in->source_subtask];
    bool local = index == w->start->worker_index, still = local;
    struct worker *sender = local ? w : worker_of(c, &w->job_id, w->start->job_epoch, index);
    const struct wk_out *out = is_deployed(sender) ? other_end(sender->wk, in) : NULL;
    int64_t here, all;

    if (!out || in->credit_bytes == 0)
        return;
    if (!local) {
        uint32_t id = w->wk->map.of[t->vertex][t->subtask];
        const struct wk_region *mine = w->wk->regions[id], *theirs = sender->wk->regions[id];
        struct wk_link *to = mine->links ? mine->links[index] : NULL;
        struct wk_link *from = theirs && theirs->links ? theirs->links[w->start->worker_index] : NULL;

        if (!to || !from || !wk_link_is_open(to) || !wk_link_is_open(from))
            return;
        still = wk_link_queued_bytes(to) == 0 && wk_link_queued_bytes(from) == 0 && sim_net_still(w->node, sender->node);
    }
    here = (int64_t)(wk_in_queued_bytes(in) + taken_of(t, in) + in->unreturned);
    all = __atomic_load_n(&out->credit, __ATOMIC_RELAXED) + here;
    if (__atomic_load_n(&out->credit, __ATOMIC_RELAXED) < 0) {
        SIM_PROBE("check: a row larger than the credit is under way");
        if (slices_of(t, in) > 1)
            sim_fail(c->sim, "channel %u of edge %u to %u of a job has overdrawn its credit", in->source_subtask, in->edge,
                     in->target_subtask);
    }
    if (still)
        SIM_PROBE(local ? "check: credit of a local channel" : "check: credit of a remote channel");
    if (all > in->credit_bytes || (still && all != in->credit_bytes))
        sim_fail(c->sim, "channel %u of edge %u to %u of a job has %lld of %u bytes of credit, %lld of them at the receiver",
                 in->source_subtask, in->edge, in->target_subtask, (long long)all, in->credit_bytes, (long long)here);
}

static void check_credits(struct cluster *c)
{
    for (uint32_t i = 0; i < c->worker_count && !sim_failed(c->sim); i++) {
        struct worker *w = &c->workers[i];

        if (!is_deployed(w) || worker_of(c, &w->job_id, w->start->job_epoch, w->start->worker_index) != w)
            continue; /* one that was given up and lives on, as in a pause, is nobody's other end */
        for (uint32_t k = 0; k < w->wk->task_count; k++) {
            struct wk_task *t = w->wk->tasks[k];

            for (uint32_t ch = 0; !wk_task_is_over(t) && ch < t->gate.channel_count; ch++)
                check_channel(c, w, t, &t->gate.channels[ch]);
        }
    }
}

/* ---- all of it ---- */

static void look(struct sim *sim, void *arg)
{
    struct cluster *c = arg;

    (void)sim;
    if (c->looked++ % LOOK_EVERY != 0)
        return;
    c->checks++;
    if (c->jm) {
        check_slots(c);
        check_jobs(c);
    }
    check_hosts(c);
    check_owners(c);
    check_heartbeats(c);
    check_workers(c);
    check_credits(c);
}

void cluster_check_always(struct cluster *c)
{
    sim_set_checker(c->sim, look, c);
}

/* ---- of a job, in the end ---- */

/* Why a job may fail though nothing is broken. */
static bool may_fail(const struct cluster *c, const struct job *j)
{
    static const char *const reasons[] = {"no slots", "the entry function returned 1", "the exchange of worker"};

    if (c->faulty || j->spec.fails || j->parallelism * job_slot_factor(&j->spec) > cluster_slots(c))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (strstr(j->reason, reasons[i]))
            return true;
    return false;
}

static void check_failure(struct cluster *c, struct job *j)
{
    SIM_PROBE("job: failed with a reason");
    if (strstr(j->reason, "state"))
        SIM_PROBE("job: failed, no room for its state");
    if (j->reason[0] == 0)
        sim_fail(c->sim, "job %u FAILED without a reason", j->spec.index);
    if (!may_fail(c, j))
        sim_fail(c->sim, "job %u FAILED without a fault: %s", j->spec.index, j->reason);
}

void cluster_check_job(struct cluster *c, struct job *j)
{
    const char *differs;

    if (!j->submitted || job_lost(c, j))
        return;
    if (job_result(j->spec.index)->wrong) {
        sim_fail(c->sim, "job %u: %s", j->spec.index, job_result(j->spec.index)->wrong);
        return;
    }
    switch (j->state) {
    case JM_JOB_FINISHED:
        SIM_PROBE("job: finished");
        if (job_result(j->spec.index)->commits > 0)
            SIM_PROBE("job: finished with commits");
        if (job_result(j->spec.index)->repeated > 0)
            SIM_PROBE("job: finished, a commit was repeated");
        differs = job_compare(&j->spec);
        if (differs)
            sim_fail(c->sim, "job %u is FINISHED, but %s", j->spec.index, differs);
        if (j->spec.fails || j->spec.endless)
            sim_fail(c->sim, "job %u is FINISHED, though it cannot", j->spec.index);
        break;
    case JM_JOB_FAILED:
        check_failure(c, j);
        break;
    case JM_JOB_CANCELED:
        SIM_PROBE("job: canceled");
        if (!j->canceled)
            sim_fail(c->sim, "job %u is CANCELED, but nobody asked", j->spec.index);
        break;
    default:
        sim_fail(c->sim, "job %u ends in the state %s", j->spec.index, jm_job_state_name(j->state));
    }
}

bool cluster_settled(void *cluster)
{
    struct cluster *c = cluster;

    for (uint32_t i = 0; i < c->job_count; i++)
        if (!job_settled(c, &c->jobs[i]))
            return false;
    return c->jm != NULL;
}

bool cluster_looked_back(void *cluster)
{
    struct cluster *c = cluster;

    for (uint32_t i = 0; i < c->job_count; i++)
        if (!c->jobs[i].looked_back)
            return false;
    return true;
}

bool cluster_idle(void *cluster)
{
    struct cluster *c = cluster;

    if (!c->jm || c->jm->resource.slots != cluster_slots(c) || c->jm->resource.used > 0 || map_size(c->jm->dispatcher.plans) > 0)
        return false;
    for (uint32_t i = 0; i < c->worker_count; i++)
        if (c->workers[i].wk)
            return false;
    return true;
}
