/*
 * rollout.c - deployments: from the call to tasks that run, the first time and when regions start again.
 *
 *   first:  message -> artifact -> regions made -+
 *   later:  message -> old tasks let go ---------+-> built -> answered -> state read back -> started
 *
 * A later one finds all tasks of its regions over: the job master has waited for that.  Other regions run on.
 * Thread: the loop.
 */
#include <string.h>

#include "common/base/check.h"
#include "taskmanager/worker/wk_private.h"

#define RETRY_US 500

static void begin_later(struct wk_rollout *o);

static void rollout_free(struct wk_rollout *o)
{
    list_remove(&o->node);
    env_timer_cancel(o->wk->env, &o->retry);
    wk_restore_drop(o->restoring);
    mem_free(o->tasks);
    arena_release(&o->arena);
    mem_free(o);
}

static struct wk_region *region_of(const struct wk_rollout *o, size_t i)
{
    uint32_t id = o->msg->regions[i]->region;

    return id < o->wk->map.count ? o->wk->regions[id] : NULL;
}

static void failed(struct wk_rollout *o, const struct err *err)
{
    struct rpc_request *request = o->request;
    struct wk *wk = o->wk;

    env_log(wk->env, LOG_ERROR, "worker", wk->job, "cannot deploy: %s", err->text);
    if (o->first) {
        wk_unbuild(wk); /* a repeated call tries again */
        wk->deploy = NULL;
        wk->serial = 0;
    }
    for (size_t i = 0; !o->first && i < o->msg->n_regions; i++) {
        struct wk_region *r = region_of(o, i);

        if (!r)
            continue;
        wk_region_unbuild(r);
        for (uint32_t k = 0; k < r->task_count; k++)
            r->tasks[k]->state = RASK__CONTROL__TASK_STATE__CANCELED;
    }
    rollout_free(o);
    if (request)
        rpc_fail(request, err->code, "%s", err->text);
}

/* ---- start ---- */

static void start(struct wk_rollout *o)
{
    struct wk *wk = o->wk;

    for (size_t i = 0; i < o->msg->n_regions; i++) {
        struct wk_region *r = region_of(o, i);

        if (!r)
            continue;
        r->started = true;
        wk_region_connect(r);
        wk_region_start(r);
        for (uint32_t k = 0; k < r->task_count && (wk->canceling || r->canceling); k++)
            wk_task_cancel(r->tasks[k]);
    }
    rollout_free(o);
}

/* A failure is that of one task of each region: the job master ends the others. */
static void refuse(struct wk_rollout *o, const struct err *error)
{
    for (size_t i = 0; i < o->msg->n_regions; i++) {
        struct wk_region *r = region_of(o, i);

        if (r && !r->canceling && r->task_count > 0)
            wk_task_refuse(r->tasks[0], error);
    }
    rollout_free(o);
}

static void restored(void *arg, const struct err *error)
{
    struct wk_rollout *o = arg;

    o->restoring = NULL;
    if (error && !o->wk->canceling)
        refuse(o, error);
    else
        start(o);
}

/* ---- build ---- */

static int check_regions(const struct wk_rollout *o, struct err *err)
{
    for (size_t i = 0; i < o->msg->n_regions; i++) {
        const struct wk_region *r = region_of(o, i);

        if (o->msg->regions[i]->region >= o->wk->map.count)
            return err_set(err, ERR_PROTOCOL, "the job has %u regions: there is no region %u", o->wk->map.count,
                           o->msg->regions[i]->region);
        if (r && !o->first && o->msg->regions[i]->attempt <= r->attempt && r->started)
            return err_set(err, ERR_PROTOCOL, "attempt %u of region %u, whose attempt is %u",
                           o->msg->regions[i]->attempt, r->id, r->attempt);
    }
    return 0;
}

static void take_addresses(struct wk *wk, const Rask__Control__Deploy *m)
{
    if (!wk->workers) {
        wk->worker_count = (uint32_t)m->n_workers;
        wk->workers = mem_alloc_array(wk->worker_count + 1, sizeof(*wk->workers));
    }
    for (size_t i = 0; i < m->n_workers && i < wk->worker_count; i++) {
        mem_free(wk->workers[i].data_address);
        wk->workers[i].data_address = mem_strdup(m->workers[i]->data_address);
        wk->workers[i].process = m->workers[i]->process;
    }
}

static void collect_tasks(struct wk_rollout *o)
{
    o->tasks = mem_alloc_array(o->wk->task_count + 1, sizeof(struct wk_task *));
    for (size_t i = 0; i < o->msg->n_regions; i++) {
        struct wk_region *r = region_of(o, i);

        for (uint32_t k = 0; r && k < r->task_count; k++)
            o->tasks[o->task_count++] = r->tasks[k];
    }
}

static void make_collector(struct wk *wk)
{
    if ((wk->config.local_backup || wk->config.from_local) && wk->options.local_dir)
        wk->local = wk_local_new(wk->env, wk->options.local_dir, &wk->job_id);
    wk->collector = wk_collector_new(&(struct wk_collector_options){.env = wk->env,
                                                                    .job_id = &wk->job_id,
                                                                    .job_epoch = wk->start->job_epoch,
                                                                    .worker = wk->start->worker_index,
                                                                    .tasks = wk->tasks,
                                                                    .task_count = wk->task_count,
                                                                    .executor = wk->options.executor,
                                                                    .local = wk->config.local_backup ? wk->local : NULL,
                                                                    .peer = &wk->peer});
}

static void build(struct wk_rollout *o)
{
    struct wk *wk = o->wk;
    struct err err = {0};
    int rc = 0;

    wk->restore = o->msg->restore;
    for (size_t i = 0; i < o->msg->n_regions && rc == 0; i++)
        if (region_of(o, i))
            rc = wk_region_build(region_of(o, i), o->msg->regions[i]->attempt, &err);
    for (size_t i = 0; i < o->msg->n_regions && rc == 0; i++)
        if (region_of(o, i))
            rc = wk_readers_attach(region_of(o, i), &err);
    wk->restore = NULL;
    if (rc != 0) {
        failed(o, &err);
        return;
    }
    if (o->request)
        rpc_ok(o->request);
    o->request = NULL;
    collect_tasks(o);
    env_log(wk->env, LOG_INFO, "worker", wk->job, "deployed %u tasks of job \"%s\"", o->task_count,
            wk->deploy->graph->stream->job_name);
    if (!wk->collector)
        make_collector(wk);
    if (o->msg->restore && o->task_count > 0)
        o->restoring = wk_restore_start(wk->env, o->tasks, o->task_count, o->msg->restore,
                                        wk->config.from_local ? wk->local : NULL, restored, o);
    else
        start(o);
}

/* ---- the first one ---- */

static struct wk_rollout *first_of(struct wk *wk)
{
    LIST_FOREACH(n, &wk->rollouts) {
        struct wk_rollout *o = LIST_ENTRY(n, struct wk_rollout, node);

        if (o->first && o->request)
            return o;
    }
    return NULL;
}

static void artifact_loaded(void *arg, int code, const char *error)
{
    struct wk *wk = arg;
    struct wk_rollout *o = first_of(wk);
    struct err err = {0};

    if (!o)
        return;
    if (code != 0)
        err_set(&err, code, "%s", error);
    else
        code = wk_prepare(wk, &err);
    if (code == 0)
        code = check_regions(o, &err);
    if (code == 0)
        build(o);
    else
        failed(o, &err);
}

static void begin_first(struct wk_rollout *o)
{
    struct wk *wk = o->wk;
    const ProtobufCBinaryData *artifact = &wk->deploy->graph->stream->artifact;

    if (wk->deploy->graph->stream->has_artifact && artifact->len == 32)
        wk->options.loader->load(wk->options.loader, wk, artifact->data, artifact_loaded, wk);
    else
        artifact_loaded(wk, 0, NULL);
}

/* ---- later ones ---- */

/* Nobody steps its tasks, and no earlier rollout is at it. */
static bool is_free(const struct wk_rollout *o, const struct wk_region *r)
{
    LIST_FOREACH(n, &o->wk->rollouts) {
        const struct wk_rollout *other = LIST_ENTRY(n, struct wk_rollout, node);

        if (other == o)
            break;
        for (size_t i = 0; i < other->msg->n_regions; i++)
            if (other->msg->regions[i]->region == r->id)
                return false;
    }
    return wk_tasks_are_idle(r->tasks, r->task_count);
}

static void on_retry(struct env_timer *timer)
{
    begin_later(CONTAINER_OF(timer, struct wk_rollout, retry));
}

static void begin_later(struct wk_rollout *o)
{
    struct wk *wk = o->wk;
    struct err err = {0};

    if (check_regions(o, &err) < 0) {
        failed(o, &err);
        return;
    }
    /* Twice: the last step of a reader may have woken an enumerator that was looked at before. */
    for (size_t i = 0; i < 2 * o->msg->n_regions; i++) {
        const struct wk_region *r = region_of(o, i % o->msg->n_regions);

        if (r && !is_free(o, r)) {
            env_timer_arm(wk->env, &o->retry, env_us_to_ns(RETRY_US));
            return;
        }
    }
    wk_send_reports(wk); /* they name the attempt that ends here */
    wk_collector_forget(wk->collector);
    for (size_t i = 0; i < o->msg->n_regions; i++)
        if (region_of(o, i))
            wk_region_unbuild(region_of(o, i));
    build(o);
}

/* ---- calls ---- */

/* It is one deployment: whoever asked last gets the answer. */
static void again(struct wk *wk, uint32_t serial, struct rpc_request *request)
{
    LIST_FOREACH(n, &wk->rollouts) {
        struct wk_rollout *o = LIST_ENTRY(n, struct wk_rollout, node);

        if (o->msg->serial != serial || !o->request)
            continue;
        rpc_fail(o->request, ERR_STATE, "the call was repeated");
        o->request = request;
        return;
    }
    rpc_ok(request);
}

void wk_deploy(struct wk *wk, const Rask__Control__Deploy *msg, struct rpc_request *request)
{
    struct wk_rollout *o;
    struct bytes packed;

    if (wk->deploy && msg->serial <= wk->serial) {
        again(wk, msg->serial, request);
        return;
    }
    if (!wk->deploy && !msg->graph) {
        rpc_fail(request, ERR_STATE, "regions are to start again in a worker that has none");
        return;
    }
    if (wk->deploy && !wk->collector) {
        rpc_fail(request, ERR_STATE, "regions are to start again before they were deployed");
        return;
    }
    o = MEM_NEW(struct wk_rollout);
    o->wk = wk;
    o->first = !wk->deploy;
    o->request = request;
    o->retry.cb = on_retry;
    arena_init(&o->arena);
    bytes_init(&packed);
    bytes_reserve(&packed, protobuf_c_message_get_packed_size(&msg->base));
    packed.len = protobuf_c_message_pack(&msg->base, packed.data);
    o->msg = (const void *)rpc_unpack(&rask__control__deploy__descriptor, packed.data, packed.len,
                                      o->first ? &wk->arena : &o->arena);
    bytes_release(&packed);
    CHECK(o->msg != NULL);
    list_push_back(&wk->rollouts, &o->node);
    wk->serial = msg->serial;
    take_addresses(wk, o->msg);
    if (o->first) {
        wk->deploy = (Rask__Control__Deploy *)(uintptr_t)o->msg;
        begin_first(o);
    } else {
        begin_later(o);
    }
}

void wk_cancel_regions(struct wk *wk, const Rask__Control__CancelTasks *msg)
{
    if (msg->n_regions == 0) {
        wk_cancel(wk);
        return;
    }
    for (size_t i = 0; wk->regions && i < msg->n_regions; i++) {
        struct wk_region *r = msg->regions[i] < wk->map.count ? wk->regions[msg->regions[i]] : NULL;

        if (!r)
            continue;
        r->canceling = true;
        env_timer_cancel(wk->env, &r->lost_timer);
        for (uint32_t k = 0; k < r->task_count; k++)
            wk_task_cancel(r->tasks[k]);
    }
}

void wk_rollouts_orphan(struct wk *wk)
{
    LIST_FOREACH(n, &wk->rollouts) {
        struct wk_rollout *o = LIST_ENTRY(n, struct wk_rollout, node);

        if (o->request)
            rpc_fail(o->request, ERR_CLOSED, "the connection is closed");
        o->request = NULL;
    }
}

void wk_rollouts_drop(struct wk *wk)
{
    wk_rollouts_orphan(wk);
    LIST_FOREACH_SAFE(n, &wk->rollouts)
        rollout_free(LIST_ENTRY(n, struct wk_rollout, node));
}
