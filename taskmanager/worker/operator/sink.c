/*
 * sink.c - sinks as operators.  Rows are written as they come, written out when the task goes idle and at
 * barriers; a two-phase sink prepares and commits at the end of input (checkpoints will do so at barriers).
 */
#include "common/base/check.h"
#include "taskmanager/worker/operator/ops.h"
#include "taskmanager/worker/task/task.h"

struct sink {
    const rask_sink *desc;
    struct bytes committables; /* u32 length, bytes ... */
    struct rask_committables collector;
};

static int collect(struct rask_committables *out, const void *data, size_t len)
{
    struct wk_op *op = out->engine;
    struct sink *s = op->adapter;

    bytes_add_u32(&s->committables, (uint32_t)len);
    bytes_add(&s->committables, data, len);
    return 0;
}

static const char *id_text(struct wk_op *op)
{
    static const char digits[] = "0123456789abcdef";
    char *text = arena_alloc(&op->names, 2 * op->node->operator_id.len + 1);

    for (size_t i = 0; i < op->node->operator_id.len; i++) {
        text[2 * i] = digits[op->node->operator_id.data[i] >> 4];
        text[2 * i + 1] = digits[op->node->operator_id.data[i] & 15];
    }
    return text;
}

int wk_sink_init(struct wk_op *op, struct err *err)
{
    const char *name = wk_op_property(op, "connector", NULL);
    struct sink *s = MEM_NEW(struct sink);

    op->adapter = s;
    s->collector = (struct rask_committables){collect, op};
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
        op->connector.operator_id = id_text(op);
        op->connector.err_fd = wk_task_of(op)->host->err_fd;
        op->ctx.args = &op->connector;
        op->ctx.args_size = sizeof(op->connector);
    }
    op->ctx.self = s->desc->self_size ? mem_alloc(s->desc->self_size) : NULL;
    return 0;
}

static const rask_sink *desc_of(rask_ctx *ctx)
{
    return ((struct sink *)wk_op_of(ctx)->adapter)->desc;
}

static int sink_open(rask_op *ctx)
{
    return desc_of(ctx)->open ? desc_of(ctx)->open(ctx) : 0;
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
    ctx->checkpoint = checkpoint;
    return sink_flush(ctx);
}

int wk_sink_idle(struct wk_op *op)
{
    int rc;

    wk_runnable_in(op->chain->host.runnable, op->ctx.name);
    rc = sink_flush(&op->ctx);
    wk_runnable_in(op->chain->host.runnable, NULL);
    return rc != 0 || op->ctx.error.code ? wk_op_failed(op, rc) : 0;
}

static int commit_all(rask_op *ctx, struct sink *s)
{
    struct reader r = reader_of(s->committables.data, s->committables.len);
    int rc = 0;

    while (rc == 0 && reader_left(&r) > 0) {
        uint32_t len = reader_u32(&r);
        const uint8_t *data = reader_take(&r, len);

        CHECK(!r.bad);
        rc = s->desc->commit(ctx, (rask_bytes){(const char *)data, len});
    }
    bytes_clear(&s->committables);
    return rc;
}

static int sink_finish(rask_op *ctx)
{
    struct sink *s = wk_op_of(ctx)->adapter;
    int rc = sink_flush(ctx);

    if (rc == 0 && s->desc->finish)
        rc = s->desc->finish(ctx);
    if (rc == 0 && s->desc->prepare)
        rc = s->desc->prepare(ctx, &s->collector);
    if (rc == 0 && s->desc->commit)
        rc = commit_all(ctx, s);
    return rc;
}

static void sink_close(rask_op *ctx)
{
    struct sink *s = wk_op_of(ctx)->adapter;

    if (s->desc->close)
        s->desc->close(ctx);
    bytes_release(&s->committables);
}

const rask_operator wk_sink_op = {
    .abi = RASK_ABI,
    .name = OP_SINK,
    .open = sink_open,
    .process = sink_process,
    .on_barrier = sink_barrier,
    .finish = sink_finish,
    .close = sink_close,
};
