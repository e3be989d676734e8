/*
 * source.c - sources: an enumerator that finds splits and readers that read one split at a time.
 *
 * The enumerator is a task of parallelism 1; splits go down a SPLITS edge to whichever reader has room, so
 * readers pull.  A reader takes the next split from its gate when the one it reads is over.
 */
#include <string.h>

#include "common/base/check.h"
#include "common/base/map.h"
#include "taskmanager/worker/operator/ops.h"
#include "taskmanager/worker/task/task.h"

struct split_reader {
    bool active;
    struct rask_split_slot slot;
    struct bytes id;
    void *split_self;
};

struct enumerator {
    struct map *known;
    bool discovered;
    uint64_t next_ns; /* of the next discovery */
    struct rask_splits found;
};

static const rask_field split_fields[] = {{"id", RASK_T_BYTES, 0, 0, 0, NULL}, {"position", RASK_T_BYTES, 0, 0, 0, NULL}};
const rask_schema wk_split_schema = {RASK_ABI, 2, "split", split_fields};

static int source_of(struct wk_op *op, struct err *err)
{
    const Rask__Graph__OperatorSpec *spec = op->node->op;
    const char *name = wk_op_property(op, "connector", NULL);
    const struct connector *c;

    if (!name) {
        op->source = op->code;
        if (!op->source || op->source->abi != RASK_ABI || !op->source->poll)
            return err_set(err, ERR_INVALID, "source \"%s\" is no rask_source of ABI %u", op->node->name, RASK_ABI);
        return 0;
    }
    c = wk_task_connector(op, name);
    if (!c || !c->source)
        return err_set(err, ERR_NOT_FOUND, "source \"%s\": this worker has no connector \"%s\" to read with", op->node->name, name);
    op->source = c->source;
    op->connector.spec = spec;
    op->connector.code = op->code;
    op->ctx.args = &op->connector;
    op->ctx.args_size = sizeof(op->connector);
    return 0;
}

int wk_source_init(struct wk_op *op, struct err *err)
{
    int rc = source_of(op, err);

    if (rc != 0)
        return rc;
    op->adapter = MEM_NEW(struct split_reader);
    op->connector.schema = op->ctx.out->schema;
    op->ctx.self = op->source->self_size ? mem_alloc(op->source->self_size) : NULL;
    return 0;
}

static int source_open(rask_op *ctx)
{
    const rask_source *s = wk_op_of(ctx)->source;

    return s->open ? s->open(ctx) : 0;
}

/* A row of the input is a split. */
static int source_process(rask_op *ctx, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    struct wk_op *op = wk_op_of(ctx);
    struct split_reader *r = op->adapter;
    rask_row row = rask_batch_row(in, from);
    rask_str id = rask_string(&row, 0), position = rask_string(&row, 1);

    (void)input;
    CHECK(!r->active);
    bytes_clear(&r->id);
    bytes_add(&r->id, id.data, id.len);
    bytes_clear(&r->slot.position);
    bytes_add(&r->slot.position, position.data, position.len);
    r->split_self = op->source->split_size ? mem_alloc(op->source->split_size) : NULL;
    r->slot.split = (rask_split){
        .id = {(const char *)r->id.data, (uint32_t)r->id.len},
        .position = {(const char *)r->slot.position.data, (uint32_t)r->slot.position.len},
        .self = r->split_self,
    };
    r->active = true;
    *ret_consumed = 1;
    return op->source->open_split ? op->source->open_split(ctx, &r->slot.split) : 0;
}

static void split_over(struct wk_op *op)
{
    struct split_reader *r = op->adapter;

    if (!r->active)
        return;
    if (op->source->close_split)
        op->source->close_split(&op->ctx, &r->slot.split);
    mem_free(r->split_self);
    r->split_self = NULL;
    r->active = false;
}

bool wk_source_reading(const struct wk_op *op)
{
    return ((const struct split_reader *)op->adapter)->active;
}

rask_str wk_source_position(const struct wk_op *op)
{
    const struct split_reader *r = op->adapter;

    return (rask_str){(const char *)r->slot.position.data, (uint32_t)r->slot.position.len};
}

int wk_source_poll(struct wk_op *op)
{
    struct split_reader *r = op->adapter;
    int rc;

    op->full = false;
    op->call_bytes = 0;
    op->in_call = true;
    wk_runnable_in(op->chain->host.runnable, op->ctx.name);
    rc = op->source->poll(&op->ctx, &r->slot.split, op->ctx.out);
    if (rc == RASK_END && !op->ctx.error.code)
        split_over(op);
    op->in_call = false;
    wk_runnable_in(op->chain->host.runnable, NULL);
    arena_release(&op->ctx.scratch);
    if (rc < 0 || rc > RASK_END || op->ctx.error.code || op->chain->failed)
        return wk_op_failed(op, rc);
    wk_op_deliver(op);
    return rc;
}

static void source_close(rask_op *ctx)
{
    struct wk_op *op = wk_op_of(ctx);
    struct split_reader *r = op->adapter;

    split_over(op);
    if (op->source->close)
        op->source->close(ctx);
    bytes_release(&r->id);
    bytes_release(&r->slot.position);
}

const rask_operator wk_source_op = {
    .abi = RASK_ABI, .name = OP_SOURCE, .open = source_open, .process = source_process, .close = source_close};

/* ---- enumerator ---- */

static int add_split(struct rask_splits *found, rask_str id, rask_str position)
{
    struct wk_op *op = found->engine;
    struct enumerator *e = op->adapter;
    rask_out *out = op->ctx.out;
    int rc;

    if (map_put(e->known, id.data, id.len, e))
        return 0;
    rc = rask_out_begin(out, &wk_split_schema);
    if (rc != 0)
        return rc;
    rask_out_string(out, 0, id);
    rask_out_string(out, 1, position);
    return rask_out_end(out);
}

int wk_enumerator_init(struct wk_op *op, struct err *err)
{
    struct enumerator *e;
    int rc = source_of(op, err);

    if (rc != 0)
        return rc;
    if (!op->source->discover)
        return err_set(err, ERR_INVALID, "source \"%s\" has no discover function", op->node->name);
    e = MEM_NEW(struct enumerator);
    e->found = (struct rask_splits){add_split, op};
    op->adapter = e;
    op->connector.schema = &wk_split_schema;
    op->ctx.self = op->source->self_size ? mem_alloc(op->source->self_size) : NULL;
    return 0;
}

static int enumerator_open(rask_ctx *ctx)
{
    ((struct enumerator *)wk_op_of(ctx)->adapter)->known = map_new();
    return 0;
}

int wk_enumerator_step(struct wk_op *op, bool *ret_done)
{
    struct enumerator *e = op->adapter;
    struct wk_executor *ex = op->chain->host.runnable->executor;
    uint64_t now = ex->ops->now_ns(ex);
    int rc = 0;

    *ret_done = e->discovered && op->source->discover_ms <= 0;
    if (*ret_done)
        return 0;
    if (e->discovered && now < e->next_ns) {
        wk_task_wake_in(op, (int64_t)((e->next_ns - now) / 1000 + 1));
        return 0;
    }
    if (wk_op_blocked(op)) /* the readers have enough: their credit wakes this task */
        return 0;
    op->connector.readers = op->chain->edge_count > 0 ? op->chain->edges[0]->target_parallelism : 0;
    op->in_call = true;
    wk_runnable_in(op->chain->host.runnable, op->ctx.name);
    rc = op->source->discover(&op->ctx, &e->found);
    op->in_call = false;
    wk_runnable_in(op->chain->host.runnable, NULL);
    arena_release(&op->ctx.scratch);
    if (rc != 0 || op->ctx.error.code || op->chain->failed)
        return wk_op_failed(op, rc);
    wk_op_deliver(op);
    e->discovered = true;
    *ret_done = op->source->discover_ms <= 0;
    if (!*ret_done) {
        e->next_ns = now + (uint64_t)op->source->discover_ms * 1000000u;
        wk_task_wake_in(op, op->source->discover_ms * 1000);
    }
    return 0;
}

static int enumerator_process(rask_op *ctx, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    (void)input;
    (void)from;
    *ret_consumed = in->rows;
    return rask_fail(ctx, "an enumerator has no input");
}

static void enumerator_close(rask_op *ctx)
{
    struct enumerator *e = wk_op_of(ctx)->adapter;

    map_free(e->known);
    e->known = NULL;
}

const rask_operator wk_enumerator_op = {
    .abi = RASK_ABI, .name = OP_SOURCE_ENUMERATOR, .open = enumerator_open, .process = enumerator_process,
    .close = enumerator_close};
