/*
 * sink.c - sinks as operators.  Rows are written as they come, written out when the task goes idle and at barriers.
 *
 * A two-phase sink prepares at each barrier: what it gives then (committables) is state, part of that checkpoint and of
 * all later ones until it is committed, which happens when a checkpoint that holds it is complete; after a recovery
 * at once, for the checkpoint was complete.  What was prepared for a checkpoint that was given up is committed with
 * the next one.  A job without checkpoints commits at the end of its input.
 *
 * When the task ends before that, by a failure or a cancel, what no checkpoint can bring back is aborted: all checkpoints that
 * hold it were given up, and the task knows it.  Of one that may have become complete meanwhile nothing is aborted: the next
 * attempt commits it.
 */
#include <string.h>

#include "common/base/check.h"
#include "common/base/id.h"
#include "taskmanager/worker/operator/ops.h"
#include "taskmanager/worker/task/task.h"

struct committable {
    struct list node;
    uint64_t checkpoint; /* the first that holds it; 0: none yet */
    bool kept;           /* one that is complete does */
    struct bytes data;
};
struct sink {
    const rask_sink *desc;
    struct list prepared; /* in the order of prepare */
    uint64_t *open;       /* owned: checkpoints that are neither complete nor given up, ascending */
    uint32_t open_count;
    bool finished;
    struct rask_committables collector, saver;
};
enum { COMMITTABLES, WRITER }; /* of graph_sink_states */

static int collect(struct rask_committables *out, const void *data, size_t len)
{
    struct wk_op *op = out->engine;
    struct sink *s = op->adapter;
    struct committable *c = MEM_NEW(struct committable);

    bytes_init(&c->data);
    bytes_add(&c->data, data, len);
    list_push_back(&s->prepared, &c->node);
    return 0;
}

static int collect_saved(struct rask_committables *out, const void *data, size_t len)
{
    struct wk_op *op = out->engine;

    return wk_state_list_add(op->state, WRITER, data, len, &op->ctx.error);
}

static void committable_free(struct committable *c)
{
    list_remove(&c->node);
    bytes_release(&c->data);
    mem_free(c);
}

int wk_sink_init(struct wk_op *op, struct err *err)
{
    const char *name = wk_op_property(op, "connector", NULL);
    struct sink *s = MEM_NEW(struct sink);
    struct id id = {{0}};

    op->adapter = s;
    list_init(&s->prepared);
    s->collector = (struct rask_committables){collect, op};
    s->saver = (struct rask_committables){collect_saved, op};
    if (!name) {
        s->desc = op->code;
        if (!s->desc || s->desc->abi != RASK_ABI || !s->desc->write)
            return err_set(err, ERR_INVALID, "sink \"%s\" is no rask_sink of ABI %u", op->node->name, RASK_ABI);
    } else {
        const struct connector *c = wk_task_connector(op, name);

        if (!c || !c->sink)
            return err_set(err, ERR_NOT_FOUND, "sink \"%s\": this worker has no connector \"%s\" to write with",
                           op->node->name, name);
        s->desc = c->sink;
        op->connector.spec = op->node->op;
        op->connector.out_fd = wk_task_of(op)->host->out_fd;
        op->connector.job = wk_task_of(op)->host->job;
        if (op->node->operator_id.len == sizeof(id.bytes))
            memcpy(id.bytes, op->node->operator_id.data, sizeof(id.bytes));
        op->connector.operator_id = id_format(&id, arena_alloc(&op->names, ID_TEXT_MAX));
        op->connector.err_fd = wk_task_of(op)->host->err_fd;
        op->ctx.args = &op->connector;
        op->ctx.args_size = sizeof(op->connector);
    }
    if (s->desc->prepare || s->desc->save)
        op->ctx.states = graph_sink_states;
    op->ctx.self = s->desc->self_size ? mem_alloc(s->desc->self_size) : NULL;
    return 0;
}

static const rask_sink *desc_of(rask_ctx *ctx)
{
    return ((struct sink *)wk_op_of(ctx)->adapter)->desc;
}

/* Everything that checkpoints up to this one hold. */
static int commit_up_to(rask_op *ctx, uint64_t checkpoint)
{
    struct sink *s = wk_op_of(ctx)->adapter;

    while (!list_empty(&s->prepared)) {
        struct committable *c = LIST_ENTRY(s->prepared.next, struct committable, node);
        int rc = 0;

        if (c->checkpoint == 0 || c->checkpoint > checkpoint) /* later ones are behind it */
            break;
        c->kept = true;
        if (s->desc->commit)
            rc = s->desc->commit(ctx, (rask_bytes){(const char *)c->data.data, (uint32_t)c->data.len});
        if (rc != 0)
            return rc;
        committable_free(c);
    }
    return 0;
}

/* Those without a checkpoint belong to this one. */
static void assign(struct sink *s, uint64_t checkpoint)
{
    LIST_FOREACH (n, &s->prepared) {
        struct committable *c = LIST_ENTRY(n, struct committable, node);

        if (c->checkpoint == 0)
            c->checkpoint = checkpoint;
    }
}

/* Those up to `last`, or it alone. */
static void forget_checkpoints(struct sink *s, uint64_t last, bool alone)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->open_count; i++)
        if (alone ? s->open[i] != last : s->open[i] > last)
            s->open[n++] = s->open[i];
    s->open_count = n;
}

static void abort_prepared(rask_op *ctx)
{
    struct sink *s = wk_op_of(ctx)->adapter;
    uint64_t newest = s->open_count > 0 ? s->open[s->open_count - 1] : 0;

    LIST_FOREACH (n, &s->prepared) {
        struct committable *c = LIST_ENTRY(n, struct committable, node);
        bool perhaps = c->kept || (c->checkpoint > 0 && newest >= c->checkpoint);

        if (!perhaps && s->desc->abort &&
            s->desc->abort(ctx, (rask_bytes){(const char *)c->data.data, (uint32_t)c->data.len}) != 0)
            rask_log(ctx, RASK_LOG_WARN, "what was prepared and is of no use any more stays: %s",
                     ctx->error.code ? ctx->error.text : "abort failed");
    }
}

static int sink_open(rask_op *ctx)
{
    struct wk_op *op = wk_op_of(ctx);
    struct sink *s = op->adapter;
    int rc = s->desc->open ? s->desc->open(ctx) : 0;

    for (uint32_t i = 0; rc == 0 && s->desc->prepare && i < wk_state_list_count(op->state, COMMITTABLES); i++) {
        rask_bytes data = wk_state_list_get(op->state, COMMITTABLES, i);

        rc = collect(&s->collector, data.data, data.len);
    }
    assign(s, 1);
    if (rc == 0)
        rc = commit_up_to(ctx, 1);
    for (uint32_t i = 0; rc == 0 && s->desc->restore && i < wk_state_list_count(op->state, WRITER); i++)
        rc = s->desc->restore(ctx, wk_state_list_get(op->state, WRITER, i));
    return rc;
}

/* What is of this barrier's checkpoint: all that is not committed, and what the writer goes on with. */
static int save_state(rask_ctx *ctx, struct sink *s)
{
    struct wk_op *op = wk_op_of(ctx);
    int rc = 0;

    wk_state_list_clear(op->state, COMMITTABLES);
    LIST_FOREACH (n, &s->prepared) {
        const struct committable *c = LIST_ENTRY(n, struct committable, node);

        if (rc == 0)
            rc = wk_state_list_add(op->state, COMMITTABLES, c->data.data, c->data.len, &ctx->error);
    }
    wk_state_list_clear(op->state, WRITER);
    return rc == 0 && s->desc->save && !s->finished ? s->desc->save(ctx, &s->saver) : rc;
}

static int sink_process(rask_op *ctx, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    (void)input;
    CHECK(from == 0);
    *ret_consumed = in->rows;
    return desc_of(ctx)->write(ctx, in);
}

static int sink_flush(rask_ctx *ctx)
{
    return desc_of(ctx)->flush ? desc_of(ctx)->flush(ctx) : 0;
}

static int sink_barrier(rask_op *ctx, uint64_t checkpoint)
{
    struct wk_op *op = wk_op_of(ctx);
    struct sink *s = op->adapter;
    int rc = s->finished ? 0 : sink_flush(ctx);

    if (rc == 0 && !s->finished && s->desc->prepare)
        rc = s->desc->prepare(ctx, &s->collector);
    if (rc != 0 || !op->ctx.states)
        return rc;
    assign(s, checkpoint);
    s->open = mem_realloc(s->open, (s->open_count + 1) * sizeof(*s->open));
    s->open[s->open_count++] = checkpoint;
    return save_state(ctx, s);
}

static int sink_complete(rask_op *ctx, uint64_t checkpoint)
{
    forget_checkpoints(wk_op_of(ctx)->adapter, checkpoint, false);
    return commit_up_to(ctx, checkpoint);
}

static int sink_aborted(rask_op *ctx, uint64_t checkpoint)
{
    forget_checkpoints(wk_op_of(ctx)->adapter, checkpoint, true);
    return 0;
}

bool wk_sink_committed(const struct wk_op *op)
{
    return list_empty(&((const struct sink *)op->adapter)->prepared);
}

int wk_sink_idle(struct wk_op *op)
{
    int rc;

    wk_runnable_in(op->chain->host.runnable, op->ctx.name);
    rc = sink_flush(&op->ctx);
    wk_runnable_in(op->chain->host.runnable, NULL);
    return rc != 0 || op->ctx.error.code ? wk_op_failed(op, rc) : 0;
}

static int sink_finish(rask_op *ctx)
{
    struct wk_op *op = wk_op_of(ctx);
    struct sink *s = op->adapter;
    int rc = sink_flush(ctx);

    if (rc == 0 && s->desc->finish)
        rc = s->desc->finish(ctx);
    if (rc == 0 && s->desc->prepare)
        rc = s->desc->prepare(ctx, &s->collector);
    s->finished = true;
    if (rc != 0 || wk_task_of(op)->checkpointing)
        return rc;
    assign(s, 1);
    return commit_up_to(ctx, UINT64_MAX);
}

static void sink_close(rask_op *ctx)
{
    struct sink *s = wk_op_of(ctx)->adapter;

    abort_prepared(ctx);
    if (s->desc->close)
        s->desc->close(ctx);
    mem_free(s->open);
    s->open = NULL;
    s->open_count = 0;
    while (!list_empty(&s->prepared))
        committable_free(LIST_ENTRY(s->prepared.next, struct committable, node));
}

const rask_operator wk_sink_op = {
    .abi = RASK_ABI,
    .name = OP_SINK,
    .open = sink_open,
    .process = sink_process,
    .on_barrier = sink_barrier,
    .on_complete = sink_complete,
    .on_aborted = sink_aborted,
    .finish = sink_finish,
    .close = sink_close,
};
