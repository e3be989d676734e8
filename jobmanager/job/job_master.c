/* job_master.c - the life of a job: made, waiting for slots, failing, canceled, over. Pure;
 * thread: the control loop. */
#include "jobmanager/job/job_master.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/graph/graph.h"
#include "jobmanager/job/job_private.h"

static void on_turn(struct env_timer *timer);
static void on_wait(struct env_timer *timer);
static void on_cancel_timeout(struct env_timer *timer);
static void on_cancel_again(struct env_timer *timer);
static void on_restart(struct env_timer *timer);

void jm_job_changed(struct jm_job *job, bool state)
{
    job->dirty = true;
    job->ctx->hooks->changed(job->ctx->arg, job, state);
}

void jm_job_set_state(struct jm_job *job, enum jm_job_state to)
{
    env_log(job->ctx->env, LOG_INFO, JM_MODULE, job->id_text, "job \"%s\": %s -> %s", job->name,
            jm_job_state_name(job->life.state), jm_job_state_name(to));
    jm_job_move(&job->life, to, jm_job_now_ms(job));
    jm_job_changed(job, true);
}

void jm_job_set_reason(struct jm_job *job, const char *reason)
{
    if (reason && job->reason && strcmp(reason, job->reason) == 0)
        return;
    mem_free(job->reason);
    job->reason = reason ? mem_strdup(reason) : NULL;
    jm_job_changed(job, true);
}

void jm_job_turn_soon(struct jm_job *job)
{
    if (!job->turn.armed)
        env_timer_arm(job->ctx->env, &job->turn, 0);
}

bool jm_job_is_waiting(const struct jm_job *job)
{
    if (job->regional)
        return job->lacks_slots;
    return !job->workers && !job->ending && !jm_ckpt_is_loading(job->ckpt) &&
           (job->life.state == JM_JOB_CREATED || job->life.state == JM_JOB_RESTARTING);
}

/* ---- making ---- */

void jm_job_hash(const Rask__Graph__StreamGraph *graph, uint32_t client_parallelism,
                 uint8_t ret[32])
{
    size_t size = protobuf_c_message_get_packed_size(&graph->base);
    uint8_t *packed = mem_alloc(size + sizeof(client_parallelism));

    protobuf_c_message_pack(&graph->base, packed);
    memcpy(packed + size, &client_parallelism, sizeof(client_parallelism));
    hash_sha256(packed, size + sizeof(client_parallelism), ret);
    mem_free(packed);
}

static int make_conf(struct jm_job *job, const Rask__Graph__StreamGraph *graph, struct err *err)
{
    struct conf *own = conf_new();
    int code = 0;

    for (size_t i = 0; i < graph->n_config && code == 0; i++)
        code = conf_set(own, graph->config[i]->key, graph->config[i]->value, "the job", err);
    job->conf = conf_clone(job->ctx->conf);
    if (code == 0)
        code = conf_merge_job(job->conf, own, err);
    conf_free(own);
    return code;
}

static void add_config(struct jm_job *job, const char *key, const char *value)
{
    Rask__Graph__Property *p = arena_alloc(&job->arena, sizeof(*p));

    rask__graph__property__init(p);
    p->key = arena_strdup(&job->arena, key);
    p->value = arena_strdup(&job->arena, value);
    job->config[job->config_count++] = p;
}

/* What workers get: every option of jobs that is set anywhere, then what else the job itself
 * says. */
static void make_config(struct jm_job *job)
{
    const Rask__Graph__StreamGraph *graph = job->job_graph->stream;

    job->config = arena_alloc(&job->arena, (OPT_COUNT + graph->n_config) * sizeof(*job->config));
    for (int id = 0; id < OPT_COUNT; id++) {
        const struct conf_option *option = conf_option((enum conf_id)id);
        const char *value = option->when == CONF_JOB ? conf_raw(job->conf, option->key) : NULL;

        if (value)
            add_config(job, option->key, value);
    }
    for (size_t i = 0; i < graph->n_config; i++) {
        bool known = false;

        for (size_t k = 0; k < job->config_count && !known; k++)
            known = strcmp(job->config[k]->key, graph->config[i]->key) == 0;
        if (!known)
            add_config(job, graph->config[i]->key, graph->config[i]->value);
    }
}

static int compile(struct jm_job *job, const Rask__Graph__StreamGraph *graph,
                   uint32_t client_parallelism, struct err *err)
{
    int64_t max = conf_int(job->conf, OPT_PIPELINE_MAX_PARALLELISM);
    struct graph_options options = {
        .client_parallelism = client_parallelism,
        .default_parallelism = (uint32_t)conf_int(job->conf, OPT_PARALLELISM_DEFAULT),
        .max_parallelism = max > 0 ? (uint32_t)max : 0,
        .chaining_disabled = !conf_bool(job->conf, OPT_PIPELINE_OPERATOR_CHAINING_ENABLED),
    };
    size_t size = protobuf_c_message_get_packed_size(&graph->base);
    uint8_t *packed = arena_alloc(&job->arena, size + 1);
    Rask__Graph__StreamGraph *own;
    Rask__Graph__JobGraph *made;
    int code;

    protobuf_c_message_pack(&graph->base, packed);
    code = graph_unpack(&job->arena, packed, size, &own, err);
    if (code == 0)
        code = graph_compile(own, &options, &job->arena, &made, err);
    if (code < 0)
        return code;
    job->job_graph = made;
    job->slots_needed = graph_slots(made);
    for (size_t v = 0; v < made->n_vertices; v++) {
        job->parallelism = MAX(job->parallelism, made->vertices[v]->parallelism);
        job->max_parallelism = MAX(job->max_parallelism, made->vertices[v]->max_parallelism);
    }
    if (job->slots_needed == 0)
        return err_set(err, ERR_INVALID, "the job has no operators");
    if (job->ctx->slots_max > 0 && job->slots_needed > job->ctx->slots_max)
        return err_set(err, ERR_LIMIT, "the job needs %u slots, and inside the client there are %u: lower its parallelism, or "
                       "run it on a cluster", job->slots_needed, job->ctx->slots_max);
    return 0;
}

static void draw_secret(struct jm_job *job)
{
    for (size_t i = 0; i < sizeof(job->secret); i += 8) {
        uint64_t word = env_rand_u64(job->ctx->env);

        memcpy(job->secret + i, &word, 8);
    }
}

int jm_job_new(const struct jm_job_context *ctx, const struct id *id,
               const Rask__Graph__StreamGraph *graph, uint32_t client_parallelism,
               struct jm_job **ret, struct err *err)
{
    struct jm_job *job = MEM_NEW(struct jm_job);
    const char *name = graph->job_name;
    int code;

    job->ctx = ctx;
    job->id = *id;
    job->epoch = JM_FIRST_EPOCH;
    id_format(id, job->id_text);
    arena_init(&job->arena);
    job->turn.cb = on_turn;
    job->wait_timer.cb = on_wait;
    job->cancel_timer.cb = on_cancel_timeout;
    job->cancel_again_timer.cb = on_cancel_again;
    job->restart_timer.cb = on_restart;
    job->start_ms = jm_job_now_ms(job);
    job->end_ms = -1;
    jm_job_life_init(&job->life, job->start_ms);
    jm_job_hash(graph, client_parallelism, job->graph_hash);
    code = make_conf(job, graph, err);
    if (code == 0)
        code = compile(job, graph, client_parallelism, err);
    if (code < 0) {
        jm_job_free(job);
        return code;
    }
    if (!*name && conf_string(job->conf, OPT_PIPELINE_NAME))
        name = conf_string(job->conf, OPT_PIPELINE_NAME);
    job->name = mem_strdup(*name ? name : "Rask Streaming Job");
    make_config(job);
    jm_restart_init(&job->restart, job->conf);
    draw_secret(job);
    jm_graph_init(&job->graph, job->job_graph, job->start_ms);
    jm_job_init_regions(job);
    code = jm_job_init_checkpoints(job, err);
    if (code < 0) {
        jm_job_free(job);
        return code;
    }
    jm_job_set_state(job, JM_JOB_CREATED);
    env_timer_arm_ms(ctx->env, &job->wait_timer,
                     conf_duration_ms(job->conf, OPT_SLOT_REQUEST_TIMEOUT));
    *ret = job;
    return 0;
}

static void failure_release(struct jm_failure *f)
{
    mem_free(f->text);
    mem_free(f->task);
    mem_free(f->endpoint);
}

void jm_job_free(struct jm_job *job)
{
    struct env *env;

    if (!job)
        return;
    env = job->ctx->env;
    env_timer_cancel(env, &job->turn);
    env_timer_cancel(env, &job->wait_timer);
    env_timer_cancel(env, &job->send_timer);
    env_timer_cancel(env, &job->cancel_timer);
    env_timer_cancel(env, &job->cancel_again_timer);
    env_timer_cancel(env, &job->restart_timer);
    jm_ckpt_free(job->ckpt);
    jm_job_free_workers(job);
    for (uint32_t i = 0; job->places && i < job->slots_needed; i++)
        mem_free(job->places[i]);
    mem_free(job->places);
    jm_schedule_release(&job->schedule);
    jm_graph_release(&job->graph);
    jm_job_release_regions(job);
    for (uint32_t i = 0; i < job->failure_count; i++)
        failure_release(&job->failures[i]);
    jm_restart_release(&job->restart);
    jm_job_snapshot_unref(job->snapshot);
    jm_job_snapshot_unref(job->drawing);
    conf_free(job->conf);
    mem_free(job->reason);
    mem_free(job->name);
    arena_release(&job->arena);
    mem_free(job);
}

/* ---- slots ---- */

void jm_job_try_start(struct jm_job *job)
{
    struct jm_grant grant;
    struct bytes text;

    CHECK(jm_job_is_waiting(job));
    if (job->regional || job->graph.made_vertices < job->graph.job->n_vertices) {
        jm_job_turn_soon(job);
        return;
    }
    if (!jm_resource_allocate(job->ctx->resource, &job->id, job->name, job->slots_needed,
                              job->places, &grant)) {
        bytes_init(&text);
        jm_resource_explain(job->ctx->resource, job->slots_needed, &text);
        if (!job->reason)
            env_log(job->ctx->env, LOG_WARN, JM_MODULE, job->id_text, "job \"%s\" waits: %s",
                    job->name, (char *)text.data);
        jm_job_set_reason(job, (char *)text.data);
        bytes_release(&text);
        return;
    }
    jm_job_set_reason(job, NULL);
    jm_schedule_make(job->job_graph, grant.slot_host, grant.slot_count, grant.host_count,
                     &job->schedule);
    jm_job_start_workers(job, &grant);
    env_timer_arm_ms(job->ctx->env, &job->wait_timer, JM_REGISTER_TIMEOUT_MS);
}

void jm_job_start_soon(struct jm_job *job)
{
    uint32_t left = JM_TASKS_PER_TURN;

    if (!jm_job_is_waiting(job))
        return; /* it reads what it begins with, and goes on by itself */
    if (jm_graph_make(&job->graph, &left))
        jm_job_try_start(job);
    else
        jm_job_turn_soon(job);
}

/* Slots did not come, or a worker did not. */
static void on_wait(struct env_timer *timer)
{
    struct jm_job *job = CONTAINER_OF(timer, struct jm_job, wait_timer);

    if ((!job->workers || job->lacks_slots) && !job->ending) {
        char *text =
            mem_printf("no slots for %.10g s (slot.request.timeout): the job %s",
                       (double)conf_duration_ms(job->conf, OPT_SLOT_REQUEST_TIMEOUT) / 1000,
                       job->reason ? job->reason : "was not looked at");

        jm_job_fail(job, &(struct jm_fault){.code = ERR_UNAVAILABLE, .text = text});
        mem_free(text);
        return;
    }
    for (uint32_t i = 0; i < job->worker_count; i++) {
        struct jm_worker *w = &job->workers[i];

        if (w->state == JM_WORKER_STARTING) {
            char *text =
                mem_printf("%s did not register within %d s", w->label, JM_REGISTER_TIMEOUT_MS / 1000);

            jm_job_fail(job, &(struct jm_fault){.worker = w, .code = ERR_TIMEOUT, .text = text});
            mem_free(text);
        }
    }
}

/* ---- the end ---- */

/* While all of the job is torn down for another try: what would happen again ends that. */
static bool ends_restart(const struct jm_job *job, const struct jm_fault *fault)
{
    return job->life.state == JM_JOB_RESTARTING && job->ending && !fault->suspicion &&
           !err_retryable(fault->code);
}

/* While a region waits for its other try, and the strategy has just denied one to this fault. */
static bool ended_regional_restart(const struct jm_job *job, const struct jm_fault *fault)
{
    return job->life.state == JM_JOB_FAILING && !job->ending && !fault->suspicion;
}

/* Those since the latest restart stand first, of them the root cause. */
static void keep_failure(struct jm_job *job, const struct jm_fault *fault, const char *restarts)
{
    struct jm_failure made = {
        .at_ms = jm_job_now_ms(job),
        .text = restarts ? mem_printf("%s\n%s", fault->text, restarts) : mem_strdup(fault->text),
        .task = fault->task ? mem_strdup(fault->task) : NULL,
        .endpoint = fault->worker ? mem_strdup(fault->worker->endpoint) : NULL,
        .round = job->restarts,
        .suspicion = fault->suspicion,
    };
    uint32_t at = 0;

    if (fault->worker)
        id_format(&fault->worker->taskmanager_id, made.taskmanager_id);
    while (at < job->failure_count && job->failures[at].round == job->restarts)
        at++;
    if (ends_restart(job, fault) || ended_regional_restart(job, fault))
        at = 0; /* why there is no other try */
    if (at > 0 && job->failures[0].suspicion && !fault->suspicion)
        at = 0; /* the death behind what its neighbours noticed */
    if (at == JM_FAILURES_MAX) {
        failure_release(&made);
        return;
    }
    if (job->failure_count == JM_FAILURES_MAX)
        failure_release(&job->failures[--job->failure_count]);
    memmove(&job->failures[at + 1], &job->failures[at],
            (job->failure_count - at) * sizeof(job->failures[0]));
    job->failures[at] = made;
    job->failure_count++;
}

/* Nothing new starts; what runs is asked to end, and after task.cancellation.timeout it is made
 * to. */
static void tear_down(struct jm_job *job)
{
    uint64_t timeout_ms = conf_duration_ms(job->conf, OPT_TASK_CANCELLATION_TIMEOUT);
    struct env *env = job->ctx->env;
    uint32_t all = UINT32_MAX;

    CHECK(jm_graph_make(&job->graph, &all));
    job->ending = true;
    jm_regions_forget(job);
    jm_ckpt_epoch_end(job->ckpt, "the job ended, or started again, before it was complete");
    env_timer_cancel(env, &job->wait_timer);
    env_timer_cancel(env, &job->send_timer);
    env_timer_cancel(env, &job->restart_timer);
    jm_job_tasks_cancel(job);
    jm_job_cancel_tasks(job);
    if (timeout_ms > 0)
        env_timer_arm_ms(env, &job->cancel_timer, timeout_ms);
    env_timer_arm_ms(env, &job->cancel_again_timer,
                     conf_duration_ms(job->conf, OPT_TASK_CANCELLATION_INTERVAL));
    jm_job_turn_soon(job);
}

/* Whether the strategy, and the kind of failure, allow another try; then *ret_wait_ms before it. */
static bool may_restart(struct jm_job *job, int code, uint64_t *ret_wait_ms, struct bytes *why)
{
    uint64_t now_ms = env_now_ns(job->ctx->env) / 1000000;

    if (job->restart.type != JM_RESTART_NONE && !err_retryable(code)) {
        bytes_printf(why, "this would happen again (%s)", err_code_text(code));
        return false;
    }
    if (job->restart.type != JM_RESTART_NONE &&
        jm_restart_failed(&job->restart, now_ms, env_rand_u64(job->ctx->env),
                          code == ERR_WORKER_DIED, ret_wait_ms))
        return true;
    jm_restart_explain(&job->restart, why);
    return false;
}

/* Whether the restart strategy, and the kind of failure, allow another try; then the job is
 * RESTARTING, not before restart_at_ns; else it is FAILING. */
static bool plan_restart(struct jm_job *job, int code)
{
    uint64_t wait_ms, at_ns;
    struct bytes why;
    bool may;

    bytes_init(&why);
    may = may_restart(job, code, &wait_ms, &why);
    if (may) {
        at_ns = env_now_ns(job->ctx->env) + env_ms_to_ns(wait_ms);
        job->restart_at_ns = job->regional ? MAX(job->restart_at_ns, at_ns) : at_ns;
        env_log(job->ctx->env, LOG_WARN, JM_MODULE, job->id_text,
                "job \"%s\" restarts in %.10g s (%s)", job->name, (double)wait_ms / 1000,
                jm_restart_name(&job->restart));
        if (job->life.state != JM_JOB_RESTARTING)
            jm_job_set_state(job, JM_JOB_RESTARTING);
    } else {
        env_log(job->ctx->env, LOG_ERROR, JM_MODULE, job->id_text, "job \"%s\" fails: %s",
                job->name, (char *)why.data);
        jm_job_set_state(job, JM_JOB_FAILING);
    }
    bytes_release(&why);
    return may;
}

/* The restart is decided before the failure is kept, which says what starts again. */
static void react(struct jm_job *job, const struct jm_fault *fault)
{
    bool regional = fault->local && jm_regions_may_restart(job);
    bool restarts = plan_restart(job, fault->code);
    char *text = regional && restarts ? jm_regions_text(job) : NULL;

    keep_failure(job, fault, text);
    jm_job_set_reason(job, job->failures[0].text);
    mem_free(text);
    if (regional && restarts)
        jm_regions_fail(job);
    else
        tear_down(job);
}

void jm_job_escalate(struct jm_job *job, const char *why)
{
    CHECK(job->life.state == JM_JOB_RESTARTING);
    CHECK(!job->ending);
    env_log(job->ctx->env, LOG_WARN, JM_MODULE, job->id_text, "all of job \"%s\" starts again: %s",
            job->name, why);
    tear_down(job);
}

void jm_job_fail(struct jm_job *job, const struct jm_fault *fault)
{
    enum jm_job_state state = job->life.state;
    bool runs = state == JM_JOB_INITIALIZING || state == JM_JOB_CREATED ||
                state == JM_JOB_RUNNING || (state == JM_JOB_RESTARTING && !job->ending);
    bool finished = job->graph.open == 0 && job->graph.failed == 0 && !job->regional;

    if ((runs && finished) || !(runs || state == JM_JOB_FAILING || state == JM_JOB_RESTARTING)) {
        env_log(job->ctx->env, LOG_WARN, JM_MODULE, job->id_text, "after the last task ended: %s",
                fault->text);
    } else {
        env_log(job->ctx->env, runs ? LOG_ERROR : LOG_WARN, JM_MODULE, job->id_text, "%s%s%s",
                fault->task ? fault->task : "", fault->task ? ": " : "", fault->text);
        if (runs && !(fault->explains && job->regional)) {
            react(job, fault);
        } else {
            keep_failure(job, fault, NULL);
            jm_job_set_reason(job, job->failures[0].text);
            if (ends_restart(job, fault))
                jm_job_set_state(job, JM_JOB_FAILING);
        }
    }
    for (uint32_t i = 0; i < job->map.count; i++)
        job->regions[i].hit = false;
}

void jm_job_cancel(struct jm_job *job)
{
    bool finishing = job->life.state == JM_JOB_RUNNING && job->graph.open == 0;

    if (finishing || !jm_job_may(job->life.state, JM_JOB_CANCELLING))
        return;
    jm_job_set_state(job, JM_JOB_CANCELLING);
    jm_job_set_reason(job, job->failure_count > 0 ? job->failures[0].text : NULL); /* it waits for no slots any more */
    tear_down(job);
}

static void on_cancel_timeout(struct env_timer *timer)
{
    struct jm_job *job = CONTAINER_OF(timer, struct jm_job, cancel_timer);

    for (uint32_t i = 0; i < job->worker_count; i++) {
        struct jm_worker *w = &job->workers[i];

        if (jm_worker_cancels(w) && w->state < JM_WORKER_GONE) {
            env_log(job->ctx->env, LOG_WARN, JM_MODULE, job->id_text,
                    "%s still has %u tasks after task.cancellation.timeout: it is killed", w->label,
                    w->open);
            if (job->regional)
                jm_regions_join_worker(job, w);
            jm_worker_stop(w, true, "its tasks did not end within task.cancellation.timeout");
        }
    }
}

static void on_cancel_again(struct env_timer *timer)
{
    struct jm_job *job = CONTAINER_OF(timer, struct jm_job, cancel_again_timer);

    if (job->graph.open == 0) /* regional: the timer is taken back when theirs have ended */
        return;
    env_log(job->ctx->env, LOG_WARN, JM_MODULE, job->id_text,
            "%u tasks have not ended yet: asked again", job->graph.open);
    jm_job_cancel_tasks(job);
    env_timer_arm_ms(job->ctx->env, timer,
                     conf_duration_ms(job->conf, OPT_TASK_CANCELLATION_INTERVAL));
}

static enum jm_job_state final_state(const struct jm_job *job)
{
    switch (job->life.state) {
    case JM_JOB_RUNNING:
        return JM_JOB_FINISHED;
    case JM_JOB_FAILING:
        return JM_JOB_FAILED;
    default:
        CHECK(job->life.state == JM_JOB_CANCELLING);
        return JM_JOB_CANCELED;
    }
}

/* ---- the next epoch ---- */

/* Its slots are given back and taken again in one turn: no other job comes between. */
static void on_restart(struct env_timer *timer)
{
    struct jm_job *job = CONTAINER_OF(timer, struct jm_job, restart_timer);

    CHECK(job->life.state == JM_JOB_RESTARTING);
    if (job->regional) {
        jm_job_turn_soon(job);
        return;
    }
    CHECK(job->ending && job->workers_gone == job->worker_count);
    if (job->workers)
        jm_job_note_places(job);
    jm_job_free_workers(job);
    jm_schedule_release(&job->schedule);
    job->workers_registered = job->workers_gone = 0;
    job->epoch++;
    job->restarts++;
    job->ending = false;
    draw_secret(job);
    jm_graph_reset(&job->graph, jm_job_now_ms(job));
    jm_regions_reset(job);
    env_timer_arm_ms(job->ctx->env, &job->wait_timer,
                     conf_duration_ms(job->conf, OPT_SLOT_REQUEST_TIMEOUT));
    jm_job_try_start(job);
    jm_job_changed(job, true);
}

static void restart_when_due(struct jm_job *job)
{
    uint64_t now_ns = env_now_ns(job->ctx->env);

    env_timer_cancel(job->ctx->env, &job->cancel_timer);
    env_timer_cancel(job->ctx->env, &job->cancel_again_timer);
    if (!job->restart_timer.armed)
        env_timer_arm(job->ctx->env, &job->restart_timer,
                      job->restart_at_ns > now_ns ? job->restart_at_ns - now_ns : 0);
}

static void on_turn(struct env_timer *timer)
{
    struct jm_job *job = CONTAINER_OF(timer, struct jm_job, turn);
    uint32_t left = JM_TASKS_PER_TURN;

    if (job->over) {
        if (jm_job_draw(job, &left) && jm_job_is_drawn(job)) /* the store keeps its picture */
            job->ctx->hooks->over(job->ctx->arg, job);
        else
            jm_job_turn_soon(job);
        return;
    }
    if (!jm_graph_make(&job->graph, &left)) {
        jm_job_turn_soon(job);
        return;
    }
    if (job->regional) {
        jm_regions_turn(job);
        return;
    }
    if (jm_job_is_waiting(job) && !job->reason) /* for slots, since it has read what it begins with */
        jm_job_try_start(job);
    if ((job->life.state == JM_JOB_CREATED || job->life.state == JM_JOB_RESTARTING) &&
        !job->ending && job->workers && job->workers_registered == job->worker_count)
        jm_job_deploy(job);
    if (job->graph.open > 0)
        return;
    jm_job_stop_workers(job, job->life.state == JM_JOB_RESTARTING ? "the job restarts"
                                                                  : "the job is over");
    if (job->workers_gone < job->worker_count)
        return;
    if (job->life.state == JM_JOB_RESTARTING) {
        if (!jm_ckpt_is_busy(job->ckpt)) /* it may become the one to begin with */
            restart_when_due(job);
        return;
    }
    if (!job->ckpt_over) {
        job->ckpt_over = true;
        jm_ckpt_epoch_end(job->ckpt, "the job is over");
        jm_ckpt_job_over(job->ckpt, final_state(job));
    }
    if (jm_ckpt_is_busy(job->ckpt))
        return;
    jm_job_release_slots(job);
    env_timer_cancel(job->ctx->env, &job->cancel_timer);
    env_timer_cancel(job->ctx->env, &job->cancel_again_timer);
    job->end_ms = jm_job_now_ms(job);
    job->over = true;
    jm_job_set_state(job, final_state(job));
    jm_job_turn_soon(job);
}
