/* job_tasks.c - what tasks report: states, results, figures, events. Pure; thread: the control
 * loop. */
#include <string.h>

#include "common/base/check.h"
#include "jobmanager/job/job_private.h"

#define TOUCH_NS (10ull * 1000000000)

void jm_job_task_move(struct jm_job *job, uint32_t vertex, uint32_t subtask,
                      Rask__Control__TaskState to, int64_t now_ms)
{
    uint32_t worker = job->graph.vertices[vertex].subtasks[subtask].worker;

    jm_graph_move(&job->graph, vertex, subtask, to, now_ms);
    if (!jm_task_state_is_final(to))
        return;
    jm_region_of(job, vertex, subtask)->open--;
    if (worker != JM_NO_WORKER) {
        CHECK(job->workers[worker].open > 0);
        job->workers[worker].open--;
    }
}

void jm_job_tasks_cancel(struct jm_job *job)
{
    int64_t now_ms = jm_job_now_ms(job);

    for (uint32_t v = 0; v < job->job_graph->n_vertices; v++)
        for (uint32_t i = 0; i < job->graph.vertices[v].spec->parallelism; i++) {
            struct jm_subtask *task = &job->graph.vertices[v].subtasks[i];
            bool deployed = task->worker != JM_NO_WORKER &&
                            job->workers[task->worker].state == JM_WORKER_DEPLOYED;

            if (job->regional && !jm_region_of(job, v, i)->restarting)
                continue;
            if (jm_task_may(task->life.state, STATE(CANCELING)))
                jm_job_task_move(job, v, i, STATE(CANCELING), now_ms);
            if (!deployed && jm_task_may(task->life.state, STATE(CANCELED)))
                jm_job_task_move(job, v, i, STATE(CANCELED), now_ms);
        }
    jm_job_changed(job, true);
}

bool jm_worker_cancels(const struct jm_worker *w)
{
    const struct jm_vertex *vertices = w->job->graph.vertices;

    for (uint32_t i = 0; i < w->task_count && w->open > 0; i++)
        if (vertices[w->tasks[i].vertex].subtasks[w->tasks[i].subtask].life.state == STATE(CANCELING))
            return true;
    return false;
}

void jm_worker_tasks_end(struct jm_worker *w, Rask__Control__TaskState to)
{
    struct jm_job *job = w->job;
    int64_t now_ms = jm_job_now_ms(job);

    for (uint32_t i = 0; i < w->task_count && w->open > 0; i++) {
        struct jm_task_ref at = w->tasks[i];
        uint8_t *state = &job->graph.vertices[at.vertex].subtasks[at.subtask].life.state;

        if (jm_task_state_is_final(*state))
            continue;
        if (jm_task_may(*state, to)) {
            jm_job_task_move(job, at.vertex, at.subtask, to, now_ms);
            continue;
        }
        if (jm_task_may(*state, STATE(CANCELING)))
            jm_job_task_move(job, at.vertex, at.subtask, STATE(CANCELING), now_ms);
        jm_job_task_move(job, at.vertex, at.subtask, STATE(CANCELED), now_ms);
    }
    CHECK(w->open == 0);
    jm_job_changed(job, true);
}

int jm_job_check_ids(const struct jm_job *job, const ProtobufCBinaryData *job_id, uint64_t epoch,
                     struct err *err)
{
    if (job_id->len != sizeof(job->id.bytes) ||
        memcmp(job_id->data, job->id.bytes, sizeof(job->id.bytes)) != 0)
        return err_set(err, ERR_PROTOCOL, "the message is about another job than its connection");
    if (epoch != job->epoch)
        return err_set(err, ERR_STALE, "job epoch %llu is over: the job is at %llu",
                       (unsigned long long)epoch, (unsigned long long)job->epoch);
    return 0;
}

/* What the job makes of a report; `state` itself when it is no news. */
static Rask__Control__TaskState meaning(Rask__Control__TaskState state,
                                        Rask__Control__TaskState reported)
{
    if (jm_task_state_is_final(state) || state == reported)
        return state;
    if (state == STATE(RUNNING) && reported == STATE(INITIALIZING)) /* repeated, its answer was lost */
        return state;
    if (state == STATE(CANCELING)) /* too late for another end */
        return jm_task_state_is_final(reported) ? STATE(CANCELED) : state;
    if (reported == STATE(CANCELED) || reported == STATE(CANCELING))
        return reported == STATE(CANCELED) ? STATE(FAILED) : state; /* nobody had asked for it */
    return reported;
}

static void take_results(struct jm_worker *w, struct jm_subtask *task,
                         const Rask__Control__TaskStateChanged *msg)
{
    if (msg->metrics && msg->metrics->vertex == msg->vertex &&
        msg->metrics->subtask == msg->subtask)
        jm_graph_metrics(&w->job->graph, msg->metrics, true);
    for (size_t i = 0; i < msg->n_accumulators; i++)
        jm_counts_add(&task->final, msg->accumulators[i]->name, msg->accumulators[i]->value);
}

/* before: its state until now. */
static void fail_task(struct jm_worker *w, const Rask__Control__TaskStateChanged *msg, Rask__Control__TaskState before)
{
    const char *text = msg->error && *msg->error       ? msg->error
                       : msg->state == STATE(CANCELED) ? "it was canceled by its worker"
                                                       : "it failed and did not say why";
    struct jm_fault fault = {
        .worker = w,
        .suspicion = msg->has_code && (msg->code == ERR_CLOSED || msg->code == ERR_WORKER_DIED),
        .local = true,
        .code = msg->has_code ? msg->code : ERR_USER,
        .text = text,
    };
    struct arena arena;

    if (fault.code == ERR_CORRUPT && before < STATE(INITIALIZING) && jm_ckpt_damaged(w->job->ckpt, text))
        fault.code = ERR_IO; /* another try begins with an older checkpoint */
    arena_init(&arena);
    fault.task = jm_graph_task_name(&w->job->graph, msg->vertex, msg->subtask, &arena);
    jm_regions_hit_task(w->job, msg->vertex, msg->subtask);
    jm_job_fail(w->job, &fault);
    arena_release(&arena);
}

int jm_worker_task_changed(struct jm_worker *w, const Rask__Control__TaskStateChanged *msg,
                           struct err *err)
{
    struct jm_job *job = w->job;
    struct jm_subtask *task;
    Rask__Control__TaskState before, to;

    if (jm_job_check_ids(job, &msg->job_id, msg->job_epoch, err) < 0)
        return err->code;
    task = jm_graph_subtask(&job->graph, msg->vertex, msg->subtask);
    if (!task || task->worker != w->index)
        return err_set(err, ERR_INVALID, "worker %u has no subtask %u of vertex %u", w->index,
                       msg->subtask, msg->vertex);
    if (msg->attempt != task->attempt)
        return err_set(err, ERR_STALE, "attempt %u of a task whose attempt is %u", msg->attempt,
                       task->attempt);
    before = task->life.state;
    to = meaning(before, msg->state);
    if (task->life.state == STATE(FINISHED) && msg->state == STATE(FAILED) &&
        jm_region_is_needed(job, job->map.of[msg->vertex][msg->subtask])) {
        fail_task(w, msg, STATE(FINISHED)); /* what it sent last cannot get to the others */
        return 0;
    }
    if (to == task->life.state)
        return 0;
    if (!jm_task_may(task->life.state, to))
        return err_set(err, ERR_STATE, "a task cannot go from %s to %s",
                       jm_task_state_name(task->life.state), jm_task_state_name(msg->state));
    if (jm_task_state_is_final(to))
        take_results(w, task, msg);
    jm_job_task_move(job, msg->vertex, msg->subtask, to, jm_job_now_ms(job));
    jm_job_changed(job, true);
    if (to == STATE(FAILED))
        fail_task(w, msg, before);
    if (job->graph.open == 0 || job->regional)
        jm_job_turn_soon(job);
    return 0;
}

int jm_worker_operator_event(struct jm_worker *w, const Rask__Control__OperatorEvent *msg,
                             struct err *err)
{
    struct jm_job *job = w->job;
    struct jm_subtask *task;
    struct jm_worker *target;

    if (jm_job_check_ids(job, &msg->job_id, msg->job_epoch, err) < 0)
        return err->code;
    task = jm_graph_subtask(&job->graph, msg->vertex, msg->subtask);
    if (!task || task->worker == JM_NO_WORKER)
        return err_set(err, ERR_NOT_FOUND, "no subtask %u of vertex %u", msg->subtask, msg->vertex);
    target = &job->workers[task->worker];
    if (target->state != JM_WORKER_DEPLOYED || !target->peer ||
        jm_task_state_is_final(task->life.state))
        return err_set(err, ERR_UNAVAILABLE, "subtask %u of vertex %u does not run", msg->subtask,
                       msg->vertex);
    if (rpc_queued_bytes(target->peer) > NET_HIGH_WATER_BYTES)
        return err_set(err, ERR_UNAVAILABLE,
                       "the worker of subtask %u of vertex %u does not keep up", msg->subtask,
                       msg->vertex);
    rpc_call(target->peer, RPC_DELIVER_EVENT, &msg->base, 0, NULL, NULL);
    return 0;
}

static void on_metrics(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    const Rask__Control__WorkerMetrics *msg = (const Rask__Control__WorkerMetrics *)response;
    struct jm_worker *w = arg;

    w->metrics_call = 0;
    if (error)
        return;
    for (size_t i = 0; i < msg->n_tasks; i++) {
        struct jm_subtask *task =
            jm_graph_subtask(&w->job->graph, msg->tasks[i]->vertex, msg->tasks[i]->subtask);

        if (task && task->worker == w->index)
            jm_graph_metrics(&w->job->graph, msg->tasks[i], false);
    }
    w->pool_in_use_bytes = msg->pool_in_use_bytes;
    w->pool_budget_bytes = msg->pool_budget_bytes;
    w->packed_bytes = msg->packed_bytes;
    w->packed_sent_bytes = msg->packed_sent_bytes;
    jm_counts_clear(&w->live);
    for (size_t i = 0; i < msg->n_accumulators; i++)
        jm_counts_add(&w->live, msg->accumulators[i]->name, msg->accumulators[i]->value);
    jm_job_changed(w->job, false);
}

bool jm_job_pull_metrics(struct jm_job *job)
{
    Rask__Control__GetMetrics msg = RASK__CONTROL__GET_METRICS__INIT;

    if (job->touched_ns == 0 || env_now_ns(job->ctx->env) - job->touched_ns > TOUCH_NS)
        return false;
    for (uint32_t i = 0; i < job->worker_count; i++) {
        struct jm_worker *w = &job->workers[i];

        if (w->state == JM_WORKER_DEPLOYED && w->peer && w->open > 0 && !w->metrics_call)
            w->metrics_call = rpc_call(w->peer, RPC_GET_METRICS, &msg.base, 0, on_metrics, w);
    }
    return true;
}
