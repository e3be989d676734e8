/*
 * job_regions.c - failover of pipelined regions: the tasks that a failure concerns start again, the
 * others run on. Pure; thread: the control loop.
 *
 *   hit -> restarting: tasks canceled -> all final -> lost workers replaced -> registered -> deployed
 *
 * What fails meanwhile joins them.  Worker processes that live are used again.  What cannot be had
 * in this way (slots on one TaskManager for a lost worker, a failure that is the job's) starts the
 * whole job again.
 */
#include <string.h>

#include "common/base/check.h"
#include "jobmanager/job/job_private.h"

#define TASKS_NAMED_MAX 20

void jm_job_init_regions(struct jm_job *job)
{
    graph_regions_init(&job->map, job->job_graph);
    job->regions = mem_alloc_array(job->map.count, sizeof(*job->regions));
    for (uint32_t i = 0; i < job->map.count; i++)
        job->regions[i].open = job->map.sizes[i];
    job->region_failover =
        strcmp(conf_string(job->conf, OPT_JOBMANAGER_EXECUTION_FAILOVER_STRATEGY), "region") == 0;
}

void jm_job_release_regions(struct jm_job *job)
{
    graph_regions_release(&job->map);
    mem_free(job->regions);
    job->regions = NULL;
}

struct jm_region *jm_region_of(const struct jm_job *job, uint32_t vertex, uint32_t subtask)
{
    return &job->regions[job->map.of[vertex][subtask]];
}

void jm_regions_reset(struct jm_job *job)
{
    for (uint32_t i = 0; i < job->map.count; i++)
        job->regions[i] =
            (struct jm_region){.attempt = job->regions[i].attempt + 1, .open = job->map.sizes[i]};
}

void jm_regions_forget(struct jm_job *job)
{
    job->regional = job->lacks_slots = false;
    for (uint32_t i = 0; i < job->map.count; i++)
        job->regions[i].restarting = false;
}

bool jm_region_is_needed(const struct jm_job *job, uint32_t region)
{
    bool needed = job->regions[region].open > 0;

    for (uint32_t i = 0; i < job->map.split_count; i++) {
        const struct jm_region *readers = &job->regions[job->map.splits[i].readers];

        if (job->map.splits[i].enumerator == region)
            needed = needed || readers->open > 0 || readers->restarting;
    }
    return needed;
}

/* It would give its splits to other readers than it did. */
static void hit_readers(struct jm_job *job, uint32_t enumerator)
{
    for (uint32_t i = 0; i < job->map.split_count; i++)
        if (job->map.splits[i].enumerator == enumerator)
            job->regions[job->map.splits[i].readers].hit = true;
}

void jm_regions_hit_task(struct jm_job *job, uint32_t vertex, uint32_t subtask)
{
    jm_region_of(job, vertex, subtask)->hit = true;
    hit_readers(job, job->map.of[vertex][subtask]);
}

void jm_regions_hit_worker(struct jm_job *job, const struct jm_worker *w)
{
    for (uint32_t i = 0; i < w->task_count; i++) {
        uint32_t vertex = w->tasks[i].vertex, region = job->map.of[vertex][w->tasks[i].subtask];

        if (!jm_region_is_needed(job, region))
            continue;
        job->regions[region].hit = true;
        if (!jm_ckpt_was_finished(job->ckpt, vertex)) /* else it has given all of them, and says so again */
            hit_readers(job, region);
    }
}

bool jm_regions_may_restart(const struct jm_job *job)
{
    bool all_sent = job->send_next == job->worker_count; /* else some wait for all of their tasks, not those of regions alone */
    bool deployed = (job->life.state == JM_JOB_RUNNING && all_sent) || job->regional;

    if (!job->region_failover || !deployed || jm_ckpt_is_stopping(job->ckpt))
        return false;
    for (uint32_t i = 0; i < job->map.count; i++)
        if (job->regions[i].open > 0 && !job->regions[i].hit && !job->regions[i].restarting)
            return true; /* it runs on */
    return false;
}

bool jm_regions_concern(const struct jm_job *job, const struct jm_worker *w)
{
    for (uint32_t i = 0; i < w->task_count; i++)
        if (jm_region_of(job, w->tasks[i].vertex, w->tasks[i].subtask)->restarting)
            return true;
    for (uint32_t i = 0; i < job->map.split_count; i++) {
        const struct graph_split_region *s = &job->map.splits[i];

        if (job->regions[s->readers].restarting && job->graph.vertices[s->vertex].subtasks[0].worker == w->index)
            return true;
    }
    return false;
}

/* Those that are hit start again: their tasks are asked to end. */
static void cancel_hit(struct jm_job *job)
{
    for (uint32_t i = 0; i < job->map.count; i++) {
        job->regions[i].restarting = job->regions[i].restarting || job->regions[i].hit;
        job->regions[i].hit = false;
    }
    jm_job_tasks_cancel(job);
    jm_job_cancel_tasks(job);
}

void jm_regions_join_worker(struct jm_job *job, const struct jm_worker *w)
{
    jm_regions_hit_worker(job, w);
    cancel_hit(job);
}

char *jm_regions_text(const struct jm_job *job)
{
    uint32_t tasks = 0, named = 0;
    struct arena arena;
    struct bytes text;

    for (uint32_t i = 0; i < job->map.count; i++)
        tasks += job->regions[i].hit ? job->map.sizes[i] : 0;
    arena_init(&arena);
    bytes_init(&text);
    bytes_printf(&text, "%u task%s again", tasks, tasks == 1 ? " starts" : "s start");
    for (uint32_t v = 0; v < job->map.vertex_count && named < TASKS_NAMED_MAX; v++)
        for (uint32_t i = 0; i < job->graph.vertices[v].spec->parallelism && named < TASKS_NAMED_MAX; i++)
            if (jm_region_of(job, v, i)->hit)
                bytes_printf(&text, "%s%s", named++ ? ", " : ": ",
                             jm_graph_task_name(&job->graph, v, i, &arena));
    bytes_printf(&text, "%s", named < tasks ? ", ..." : "");
    arena_release(&arena);
    return bytes_take_str(&text);
}

void jm_regions_fail(struct jm_job *job)
{
    uint64_t timeout_ms = conf_duration_ms(job->conf, OPT_TASK_CANCELLATION_TIMEOUT);
    struct env *env = job->ctx->env;
    uint32_t tasks = 0, regions = 0;

    job->regional = true;
    for (uint32_t i = 0; i < job->map.count; i++) {
        bool again = job->regions[i].restarting || job->regions[i].hit;

        regions += again;
        tasks += again ? job->map.sizes[i] : 0;
    }
    env_log(env, LOG_WARN, JM_MODULE, job->id_text,
            "%u of %u tasks of job \"%s\" start again (%u of %u regions), the others run on", tasks,
            job->graph.total, job->name, regions, job->map.count);
    jm_ckpt_interrupt(job->ckpt, "tasks failed, and start again, before it was complete");
    cancel_hit(job);
    env_timer_cancel(env, &job->restart_timer);
    if (timeout_ms > 0)
        env_timer_arm_ms(env, &job->cancel_timer, timeout_ms);
    env_timer_arm_ms(env, &job->cancel_again_timer,
                     conf_duration_ms(job->conf, OPT_TASK_CANCELLATION_INTERVAL));
    jm_job_turn_soon(job);
}

/* ---- what follows ---- */

/* Tasks that have not ended, workers whose obituary is awaited, a checkpoint that may become the
 * latest. */
static bool must_wait(const struct jm_job *job)
{
    for (uint32_t i = 0; i < job->map.count; i++)
        if (job->regions[i].restarting && job->regions[i].open > 0)
            return true;
    for (uint32_t i = 0; i < job->worker_count; i++) {
        const struct jm_worker *w = &job->workers[i];

        if (w->state == JM_WORKER_STOPPING || (w->lost && w->state != JM_WORKER_GONE))
            return true;
    }
    return jm_ckpt_is_writing(job->ckpt);
}

static void wait_for_slots(struct jm_job *job, uint32_t slots)
{
    struct bytes text;

    ENV_PROBE(job->ctx->env, "job: regions wait for slots");
    bytes_init(&text);
    jm_resource_explain(job->ctx->resource, slots, &text);
    if (!job->lacks_slots) {
        env_log(job->ctx->env, LOG_WARN, JM_MODULE, job->id_text, "job \"%s\" waits: %s", job->name,
                (char *)text.data);
        env_timer_arm_ms(job->ctx->env, &job->wait_timer,
                         conf_duration_ms(job->conf, OPT_SLOT_REQUEST_TIMEOUT));
    }
    job->lacks_slots = true;
    jm_job_set_reason(job, (char *)text.data);
    bytes_release(&text);
}

enum replaced { REPLACED_ALL, REPLACED_NOT_YET, REPLACED_NEVER };

/* On the slots that it had, if their TaskManager is there. */
static enum replaced replace_workers(struct jm_job *job)
{
    struct jm_resource *res = job->ctx->resource;

    for (uint32_t i = 0; i < job->worker_count; i++) {
        struct jm_worker *w = &job->workers[i];
        uint32_t slots;

        if (w->state != JM_WORKER_GONE)
            continue;
        if (w->allocation && !w->allocation->taskmanager)
            jm_resource_release(res, &w->allocation);
        slots = w->allocation ? w->allocation->slots : w->slots;
        if (!w->allocation) {
            w->allocation = jm_resource_allocate_on_one(
                res, &job->id, job->name, slots, conf_from_local(job->conf) ? w->place : NULL);
            if (!w->allocation && res->slots - res->used >= slots)
                return REPLACED_NEVER;
        }
        if (!w->allocation) {
            wait_for_slots(job, slots);
            return REPLACED_NOT_YET;
        }
        ENV_PROBE(job->ctx->env, "job: a worker is replaced");
        jm_worker_renew(w, &w->allocation);
    }
    return REPLACED_ALL;
}

static void redeploy(struct jm_job *job)
{
    int64_t now_ms = jm_job_now_ms(job);

    env_timer_cancel(job->ctx->env, &job->wait_timer);
    job->restarts++;
    for (uint32_t v = 0; v < job->map.vertex_count; v++)
        for (uint32_t i = 0; i < job->graph.vertices[v].spec->parallelism; i++) {
            if (!jm_region_of(job, v, i)->restarting)
                continue;
            jm_graph_reset_task(&job->graph, v, i, now_ms);
            jm_region_of(job, v, i)->open++;
            job->workers[job->graph.vertices[v].subtasks[i].worker].open++;
            jm_job_task_move(job, v, i, STATE(SCHEDULED), now_ms);
            jm_job_task_move(job, v, i, STATE(DEPLOYING), now_ms);
        }
    for (uint32_t i = 0; i < job->map.count; i++)
        job->regions[i].attempt += job->regions[i].restarting;
    ENV_PROBE(job->ctx->env, "job: regions start again");
    jm_job_deploy_regions(job);
    jm_ckpt_restored(job->ckpt);
    jm_regions_forget(job);
    jm_job_set_reason(job, NULL);
    jm_job_set_state(job, JM_JOB_RUNNING);
    if (job->graph.open == 0) /* the last of the others has ended meanwhile: nobody will report again */
        jm_job_turn_soon(job);
}

void jm_regions_turn(struct jm_job *job)
{
    struct env *env = job->ctx->env;
    uint64_t now_ns = env_now_ns(env);

    CHECK(job->life.state == JM_JOB_RESTARTING);
    CHECK(!job->ending);
    if (must_wait(job))
        return;
    env_timer_cancel(env, &job->cancel_timer);
    env_timer_cancel(env, &job->cancel_again_timer);
    if (now_ns < job->restart_at_ns) {
        if (!job->restart_timer.armed)
            env_timer_arm(env, &job->restart_timer, job->restart_at_ns - now_ns);
        return;
    }
    switch (replace_workers(job)) {
    case REPLACED_NOT_YET:
        return;
    case REPLACED_NEVER:
        jm_job_escalate(job, "no TaskManager has all the slots of a worker that was lost");
        return;
    case REPLACED_ALL:
        break;
    }
    if (job->lacks_slots) {
        env_timer_cancel(env, &job->wait_timer);
        jm_job_set_reason(job, job->failures[0].text);
    }
    job->lacks_slots = false;
    if (job->workers_registered < job->worker_count) {
        if (!job->wait_timer.armed)
            env_timer_arm_ms(env, &job->wait_timer, JM_REGISTER_TIMEOUT_MS);
        return;
    }
    redeploy(job);
}
