/* collect.c - see collect.h. */
#include "taskmanager/worker/checkpoint/collect.h"

#include <string.h>

#include "common/base/check.h"
#include "taskmanager/worker/checkpoint/local.h"
#include "taskmanager/worker/checkpoint/write.h"
#include "taskmanager/worker/task/task.h"

#define ACK_BYTES_MAX (15u << 20) /* below a frame's */
#define LOG_MODULE    "checkpoint"

struct part { /* of a task */
    struct wk_task_snapshot *snapshot; /* owned until it is being written */
    bool finished;                     /* it was over before a barrier came */
    bool is_in;
    Rask__Control__SubtaskCheckpoint ack;
    uint64_t came_ns;
};
struct pending {
    struct list node;
    struct wk_collector *c;
    uint64_t id;
    Rask__Control__CheckpointKind kind;
    bool triggered, full;
    bool unaligned;
    uint64_t aligned_timeout_ms;
    struct env_timer hurry; /* it has passed */
    int64_t trigger_ms;
    char *dir, *shared_dir; /* owned */
    uint32_t missing;
    struct part *parts;       /* by task */
    uint32_t *written;        /* task of each snapshot that is being written */
    struct wk_writing *writing;
};
struct wk_collector {
    struct wk_collector_options o;
    struct list pendings; /* oldest first */
    uint64_t given_up;    /* the greatest that was aborted or complete */
    char *shared_dir;     /* of the job's checkpoints, beside their own folders; NULL: none was triggered */
    struct env_task wanted_task;
    pthread_mutex_t lock;
    struct list arrived; /* lock: snapshots, not looked at yet */
    struct env_task arrived_task;
};

static void on_arrived(struct env_task *task);
static void on_wanted(struct env_task *task);
static void on_hurry(struct env_timer *timer);

struct wk_collector *wk_collector_new(const struct wk_collector_options *options)
{
    struct wk_collector *c = MEM_NEW(struct wk_collector);

    c->o = *options;
    list_init(&c->pendings);
    list_init(&c->arrived);
    pthread_mutex_init(&c->lock, NULL);
    c->arrived_task.cb = on_arrived;
    c->wanted_task.cb = on_wanted;
    return c;
}

static void pending_free(struct pending *p)
{
    list_remove(&p->node);
    env_timer_cancel(p->c->o.env, &p->hurry);
    if (p->writing)
        wk_writing_drop(p->writing);
    for (uint32_t i = 0; i < p->c->o.task_count; i++)
        wk_task_snapshot_free(p->parts[i].snapshot);
    mem_free(p->parts);
    mem_free(p->written);
    mem_free(p->dir);
    mem_free(p->shared_dir);
    mem_free(p);
}

void wk_collector_free(struct wk_collector *c)
{
    if (!c)
        return;
    env_unpost(c->o.env, &c->arrived_task);
    env_unpost(c->o.env, &c->wanted_task);
    while (!list_empty(&c->arrived))
        wk_task_snapshot_free(LIST_ENTRY(list_pop_front(&c->arrived), struct wk_task_snapshot, node));
    while (!list_empty(&c->pendings))
        pending_free(LIST_ENTRY(c->pendings.next, struct pending, node));
    pthread_mutex_destroy(&c->lock);
    mem_free(c->shared_dir);
    mem_free(c);
}

static struct pending *find(struct wk_collector *c, uint64_t id)
{
    uint32_t n = 0;
    struct pending *p;

    LIST_FOREACH (at, &c->pendings) {
        p = LIST_ENTRY(at, struct pending, node);
        if (p->id == id)
            return p;
        n++;
    }
    if (id <= c->given_up)
        return NULL;
    if (n == WK_CHECKPOINTS_MAX)
        pending_free(LIST_ENTRY(c->pendings.next, struct pending, node));
    p = MEM_NEW(struct pending);
    p->c = c;
    p->id = id;
    p->hurry.cb = on_hurry;
    p->missing = c->o.task_count;
    p->parts = mem_alloc_array(c->o.task_count + 1, sizeof(*p->parts));
    list_push_back(&c->pendings, &p->node);
    return p;
}

/* ---- acknowledge ---- */

static void send_ack(struct pending *p, const struct err *error, const struct ckpt_meta *meta)
{
    const struct wk_collector_options *wk = &p->c->o;
    Rask__Control__AckCheckpoint m = RASK__CONTROL__ACK_CHECKPOINT__INIT;
    Rask__Control__SubtaskCheckpoint **list = mem_alloc_array(wk->task_count + 1, sizeof(*list));
    struct bytes packed;
    struct err err;

    bytes_init(&packed);
    if (meta)
        ckpt_meta_pack(meta, &packed);
    if (packed.len > ACK_BYTES_MAX) {
        err_set(&err, ERR_LIMIT, "the description of what worker %u wrote has %zu MiB, 15 are possible: raise the "
                "parallelism, or lower the max parallelism", wk->worker, packed.len >> 20);
        error = &err;
    }
    m.job_id = rpc_id_data(wk->job_id);
    m.job_epoch = wk->job_epoch;
    m.checkpoint = p->id;
    if (error) {
        m.error = (char *)(uintptr_t)error->text;
        m.has_code = 1;
        m.code = error->code;
    } else {
        m.has_meta = packed.len > 0;
        m.meta = (ProtobufCBinaryData){packed.len, packed.data};
        for (uint32_t i = 0; i < wk->task_count; i++)
            list[m.n_subtasks++] = &p->parts[i].ack;
        m.subtasks = list;
    }
    if (*wk->peer)
        rpc_call(*wk->peer, RPC_ACK_CHECKPOINT, &m.base, 0, NULL, NULL);
    env_log(wk->env, LOG_DEBUG, LOG_MODULE, NULL, "checkpoint %llu: %s", (unsigned long long)p->id, error ? error->text : "acknowledged");
    bytes_release(&packed);
    mem_free(list);
}

static void on_written(void *arg, const struct err *error, const struct ckpt_meta *meta, const uint64_t *bytes)
{
    struct pending *p = arg;
    const struct wk_collector_options *wk = &p->c->o;
    uint64_t now = env_now_ns(wk->env);
    struct err err;

    for (uint32_t i = 0, n = 0; i < wk->task_count && !error; i++) {
        Rask__Control__SubtaskCheckpoint *a = &p->parts[i].ack;

        if (p->parts[i].finished)
            continue;
        a->has_async_ms = a->has_state_bytes = a->has_ack_ms = 1;
        a->async_ms = (now - p->parts[i].came_ns) / 1000000;
        a->state_bytes = bytes[n++];
        a->ack_ms = env_wall_ms(wk->env);
    }
    if (error) {
        err = *error;
        err_wrap(&err, "worker %u could not write", wk->worker);
    }
    p->writing = NULL;
    send_ack(p, error ? &err : NULL, meta);
    pending_free(p);
}

/* Every stateful operator is named, also when there is nothing of it to write; and both ends of rows in flight. */
static int describe(struct ckpt_meta *meta, const struct wk_task_snapshot *s, struct err *err)
{
    if (s->error.code != 0) {
        *err = s->error;
        return err->code;
    }
    if (s->inflight.count > 0)
        ENV_PROBE(s->task->host->env, "worker: rows in flight are kept");
    for (uint32_t i = 0; i < s->inflight.count; i++) {
        const struct wk_edge_name *edge = &s->task->host->edges[s->inflight.items[i].edge];

        if (i > 0 && s->inflight.items[i].edge == s->inflight.items[i - 1].edge)
            continue;
        (void)ckpt_meta_operator(meta, &edge->source);
        (void)ckpt_meta_operator(meta, &edge->target);
    }
    for (uint32_t i = 0; i < s->op_count; i++) {
        struct ckpt_operator op;
        uint32_t at;
        int rc = 0;

        if (!s->task->chain.ops[i]->state)
            continue;
        wk_state_describe(s->task->chain.ops[i]->state, &op);
        at = ckpt_meta_operator(meta, &op);
        for (uint32_t k = 0; k < op.state_count && rc == 0; k++)
            rc = ckpt_meta_state(meta, at, &op.states[k], err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static void start_writing(struct pending *p)
{
    const struct wk_collector_options *wk = &p->c->o;
    struct ckpt_meta *meta = ckpt_meta_new();
    struct wk_task_snapshot **list = mem_alloc_array(wk->task_count + 1, sizeof(*list));
    struct wk_write_options options = {
        .env = wk->env,
        .checkpoint = p->id,
        .worker = wk->worker,
        .dir = p->dir,
        .shared_dir = p->shared_dir,
        .executor = wk->executor,
        .local = p->kind == RASK__CONTROL__CHECKPOINT_KIND__CHECKPOINT ? wk->local : NULL,
        .edges = wk->task_count > 0 ? wk->tasks[0]->host->edges : NULL,
        .done = on_written,
        .arg = p,
    };
    struct err err = {0};
    uint32_t n = 0;
    int rc = 0;

    memcpy(options.job, wk->job_id->bytes, 16);
    meta->created_ms = p->trigger_ms;
    meta->checkpoint = p->id;
    memcpy(meta->job, wk->job_id->bytes, 16);
    for (uint32_t i = 0; i < wk->task_count; i++) {
        if (!p->parts[i].snapshot)
            continue;
        if (rc == 0)
            rc = describe(meta, p->parts[i].snapshot, &err);
        list[n++] = p->parts[i].snapshot;
        p->parts[i].snapshot = NULL;
    }
    if (rc == 0) {
        p->writing = wk_writing_start(&options, meta, list, n);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        wk_task_snapshot_free(list[i]);
    mem_free(list);
    ckpt_meta_free(meta);
    send_ack(p, &err, NULL);
    pending_free(p);
}

static void look(struct pending *p)
{
    if (p->triggered && p->missing == 0 && !p->writing)
        start_writing(p);
}

/* ---- what comes of tasks ---- */

static uint32_t index_of(const struct wk_collector *c, const struct wk_task *task)
{
    uint32_t i = 0;

    while (c->o.tasks[i] != task)
        i++;
    return i;
}

static void put_part(struct pending *p, uint32_t i, struct wk_task_snapshot *s)
{
    struct part *part = &p->parts[i];
    const struct wk_task *t = p->c->o.tasks[i];
    Rask__Control__SubtaskCheckpoint *a = &part->ack;

    CHECK(!part->is_in);
    part->is_in = true;
    part->snapshot = s;
    part->finished = !s;
    part->came_ns = env_now_ns(p->c->o.env);
    rask__control__subtask_checkpoint__init(a);
    a->vertex = t->vertex;
    a->subtask = t->subtask;
    a->has_finished = 1;
    a->finished = !s || s->finished;
    if (s) {
        a->has_alignment_ms = a->has_sync_us = a->has_processed_bytes = 1;
        a->alignment_ms = s->alignment_ms;
        a->sync_us = s->sync_us;
        a->processed_bytes = s->processed_bytes;
        a->has_persisted_bytes = a->has_unaligned = 1;
        a->persisted_bytes = s->persisted_bytes;
        a->unaligned = s->unaligned;
    }
    p->missing--;
}

/* The delay is against the trigger's time, which may come later than the first barrier. */
static void set_delay(struct part *part, int64_t trigger_ms)
{
    if (!part->snapshot)
        return;
    part->ack.has_start_delay_ms = 1;
    part->ack.start_delay_ms =
        part->snapshot->first_ms > trigger_ms ? (uint64_t)(part->snapshot->first_ms - trigger_ms) : 0;
}

void wk_collector_drain(struct wk_collector *c)
{
    for (;;) {
        struct wk_task_snapshot *s;
        struct pending *p;
        struct list *n;
        uint32_t i;

        pthread_mutex_lock(&c->lock);
        n = list_pop_front(&c->arrived);
        pthread_mutex_unlock(&c->lock);
        if (!n)
            return;
        s = LIST_ENTRY(n, struct wk_task_snapshot, node);
        p = find(c, wk_barrier_id(s->value));
        i = index_of(c, s->task);
        if (!p || p->parts[i].is_in) {
            wk_task_snapshot_free(s);
            continue;
        }
        put_part(p, i, s);
        env_log(c->o.env, LOG_DEBUG, LOG_MODULE, NULL, "checkpoint %llu: \"%s\" has frozen its state at the barrier",
                (unsigned long long)p->id, s->task->name);
        if (p->triggered)
            set_delay(&p->parts[i], p->trigger_ms);
        look(p);
    }
}

static void on_arrived(struct env_task *task)
{
    wk_collector_drain(CONTAINER_OF(task, struct wk_collector, arrived_task));
}

void wk_collector_snapshot(struct wk_collector *c, struct wk_task_snapshot *snapshot)
{
    pthread_mutex_lock(&c->lock);
    list_push_back(&c->arrived, &snapshot->node);
    pthread_mutex_unlock(&c->lock);
    env_post(c->o.env, &c->arrived_task);
}

void wk_collector_task_finished(struct wk_collector *c, const struct wk_task *task)
{
    uint32_t i = index_of(c, task);

    LIST_FOREACH_SAFE (at, &c->pendings) {
        struct pending *p = LIST_ENTRY(at, struct pending, node);

        if (!p->triggered || p->parts[i].is_in)
            continue;
        put_part(p, i, NULL);
        look(p);
    }
}

/* ---- messages ---- */

static int64_t barrier_value(const struct pending *p)
{
    int64_t value = wk_barrier_value(p->id, p->kind, p->full);

    if (p->unaligned)
        value |= p->aligned_timeout_ms > 0 ? WK_BARRIER_TIMEOUT : WK_BARRIER_UNALIGNED;
    return value;
}

static void on_hurry(struct env_timer *timer)
{
    const struct pending *p = CONTAINER_OF(timer, struct pending, hurry);

    ENV_PROBE(p->c->o.env, "worker: barriers that have waited overtake");
    for (uint32_t i = 0; i < p->c->o.task_count; i++)
        if (!p->parts[i].is_in)
            wk_barrier_mail(p->c->o.tasks[i], WK_MAIL_HURRY, barrier_value(p));
}

static void trigger(struct pending *p, const Rask__Control__TriggerCheckpoint *msg, const bool *finished)
{
    const struct wk_collector_options *wk = &p->c->o;

    p->triggered = true;
    p->kind = msg->kind;
    p->full = msg->full;
    p->unaligned = msg->unaligned;
    p->aligned_timeout_ms = msg->aligned_timeout_ms;
    if (p->unaligned && p->aligned_timeout_ms > 0)
        env_timer_arm_ms(wk->env, &p->hurry, p->aligned_timeout_ms);
    p->trigger_ms = msg->trigger_ms;
    p->dir = mem_strdup(msg->dir);
    p->shared_dir = msg->shared_dir ? mem_strdup(msg->shared_dir) : NULL;
    if (p->shared_dir && !p->c->shared_dir)
        p->c->shared_dir = mem_strdup(p->shared_dir);
    for (uint32_t i = 0; i < wk->task_count; i++) {
        struct wk_task *t = wk->tasks[i];

        if (p->parts[i].is_in)
            set_delay(&p->parts[i], p->trigger_ms);
        else if (finished[i])
            put_part(p, i, NULL);
        else
            wk_barrier_mail(t, WK_MAIL_TRIGGER, barrier_value(p));
    }
    look(p);
}

void wk_collector_trigger(struct wk_collector *c, const Rask__Control__TriggerCheckpoint *msg)
{
    struct pending *p;
    bool *finished = mem_alloc_array(c->o.task_count + 1, sizeof(*finished));

    /* looked at first: what those have frozen has come */
    for (uint32_t i = 0; i < c->o.task_count; i++)
        finished[i] = wk_task_is_finished(c->o.tasks[i]);
    wk_collector_drain(c);
    p = find(c, msg->checkpoint);
    if (p && !p->triggered)
        trigger(p, msg, finished);
    mem_free(finished);
}

static void on_wanted(struct env_task *task)
{
    const struct wk_collector_options *wk = &CONTAINER_OF(task, struct wk_collector, wanted_task)->o;
    Rask__Control__CheckpointWanted m = RASK__CONTROL__CHECKPOINT_WANTED__INIT;

    m.job_id = rpc_id_data(wk->job_id);
    m.job_epoch = wk->job_epoch;
    if (*wk->peer)
        rpc_call(*wk->peer, RPC_CHECKPOINT_WANTED, &m.base, 0, NULL, NULL);
}

void wk_collector_wanted(struct wk_collector *c)
{
    env_post(c->o.env, &c->wanted_task);
}

void wk_collector_complete(struct wk_collector *c, const Rask__Control__CompleteCheckpoint *msg)
{
    env_log(c->o.env, LOG_DEBUG, LOG_MODULE, NULL, "checkpoint %llu: complete, tasks commit", (unsigned long long)msg->checkpoint);
    c->given_up = MAX(c->given_up, msg->checkpoint);
    if (c->o.local && c->shared_dir && msg->kind == RASK__CONTROL__CHECKPOINT_KIND__CHECKPOINT) {
        char *dir = mem_printf("%s/../chk-%llu", c->shared_dir, (unsigned long long)msg->checkpoint);

        wk_local_complete(c->o.local, dir, msg->checkpoint);
        mem_free(dir);
    }
    for (uint32_t i = 0; i < c->o.task_count; i++)
        wk_barrier_mail(c->o.tasks[i], WK_MAIL_COMPLETE, wk_barrier_value(msg->checkpoint, msg->kind, false));
}

uint64_t wk_collector_settled(const struct wk_collector *c)
{
    return c->given_up;
}

void wk_collector_forget(struct wk_collector *c)
{
    while (!list_empty(&c->pendings)) {
        struct pending *p = LIST_ENTRY(c->pendings.next, struct pending, node);

        c->given_up = MAX(c->given_up, p->id);
        pending_free(p);
    }
    pthread_mutex_lock(&c->lock);
    while (!list_empty(&c->arrived))
        wk_task_snapshot_free(LIST_ENTRY(list_pop_front(&c->arrived), struct wk_task_snapshot, node));
    pthread_mutex_unlock(&c->lock);
}

static void answer_late(struct pending *p, uint64_t id, struct rpc_request *request)
{
    Rask__Control__AbortCheckpointOk ok = RASK__CONTROL__ABORT_CHECKPOINT_OK__INIT;
    Rask__Control__SubtaskPhase phase = RASK__CONTROL__SUBTASK_PHASE__INIT, *list[] = {&phase};
    uint32_t best = UINT32_MAX;
    char *text = NULL;

    /* of those that are late, one that hangs the earliest: the others wait for it */
    for (uint32_t i = 0; p && i < p->c->o.task_count; i++) {
        struct wk_task *t = p->c->o.tasks[i];
        uint32_t rank = UINT32_MAX;
        char *said;

        if (p->parts[i].is_in && !p->writing)
            continue;
        said = wk_barrier_explain(t, id, &rank);
        if (rank < best) {
            mem_free(text);
            text = said;
            best = rank;
            phase.vertex = t->vertex;
            phase.subtask = t->subtask;
        } else {
            mem_free(said);
        }
    }
    ok.checkpoint = id;
    if (text) {
        phase.phase = text;
        ok.late = list;
        ok.n_late = 1;
    }
    rpc_reply(request, &ok.base);
    mem_free(text);
}

void wk_collector_abort(struct wk_collector *c, const Rask__Control__AbortCheckpoint *msg,
                        struct rpc_request *request)
{
    struct pending *p = find(c, msg->checkpoint);

    answer_late(p, msg->checkpoint, request);
    if (p)
        pending_free(p);
    c->given_up = MAX(c->given_up, msg->checkpoint);
    for (uint32_t i = 0; i < c->o.task_count; i++)
        wk_barrier_mail(c->o.tasks[i], WK_MAIL_ABORT,
                        wk_barrier_value(msg->checkpoint, RASK__CONTROL__CHECKPOINT_KIND__CHECKPOINT, false));
}
