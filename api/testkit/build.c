/*
 * build.c - from the stream that a test's function returns to a chain that can be driven.
 *
 * The graph is built as a job's is.  Nodes that stand for the inputs, and the one that takes the result, are left
 * out; the others become one chain, whatever partitioning lies between them: there is one subtask of each.
 */
#include <string.h>

#include "api/runtime.h"
#include "api/testkit/kit.h"
#include "common/base/check.h"
#include "common/graph/graph.h"
#include "common/types/schema_proto.h"

/* ---- stand-ins ---- */

static int none_found(rask_ctx *ctx, rask_splits *found)
{
    (void)ctx;
    (void)found;
    return 0;
}
static int nothing(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    (void)ctx;
    (void)split;
    (void)out;
    return RASK_END;
}
static int swallow(rask_ctx *ctx, const rask_batch *rows)
{
    (void)ctx;
    (void)rows;
    return 0;
}
static const rask_source stand_in[2] = {
    {.abi = RASK_ABI, .name = "first input", .discover = none_found, .poll = nothing},
    {.abi = RASK_ABI, .name = "second input", .discover = none_found, .poll = nothing}};
static const rask_sink result = {.abi = RASK_ABI, .name = "result", .write = swallow};

static bool is_code(const Rask__Graph__StreamNode *node, const void *pointer)
{
    return node->op->has_code && node->op->code == (uintptr_t)pointer;
}
static bool is_stand_in(const Rask__Graph__StreamNode *node)
{
    return is_code(node, &stand_in[0]) || is_code(node, &stand_in[1]) || is_code(node, &result);
}

/* ---- what comes out ---- */

static int collect(rask_op *ctx, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    struct kit_rows *rows = ctx->self;

    (void)input;
    CHECK(from == 0);
    if (rows->count == rows->room) {
        rows->room = MAX(16, rows->room * 2);
        rows->batches = mem_realloc(rows->batches, rows->room * sizeof(*rows->batches));
    }
    rows->batches[rows->count++] = batch_ref((rask_batch *)(uintptr_t)in);
    rows->rows += in->rows;
    *ret_consumed = in->rows;
    return 0;
}
static int collect_watermark(rask_op *ctx, rask_ts watermark)
{
    ((struct kit_rows *)ctx->self)->watermark = watermark;
    return 0;
}
static const rask_operator collector = {
    .abi = RASK_ABI, .name = "collector", .process = collect, .on_watermark = collect_watermark};

/* ---- the graph ---- */

/* Functions and descriptors are of this program: their address is their offset. */
static bool any_address(void *arg, const void *pointer, uint64_t *ret_offset)
{
    (void)arg;
    *ret_offset = (uintptr_t)pointer;
    return true;
}

static int build_graph(rask_kit *kit)
{
    static const uint8_t artifact[32];
    const struct rask_env_options options = {
        .offset_of = any_address, .artifact = artifact, .argc = kit->param_count, .argv = kit->params};
    rask_stream *in[2] = {NULL, NULL}, *tested;

    kit->env = rask_env_new(&options);
    for (int i = 0; i < 2; i++)
        if (kit->in_schema[i])
            in[i] = rask_from_source(kit->env, &stand_in[i], kit->in_schema[i]);
    tested = kit->build(kit->env, in[0], in[1]);
    if (tested && rask_stream_schema(tested))
        rask_sink_to(tested, &result);
    (void)rask_execute(kit->env, "test"); /* rask_env_graph gives its error */
    return rask_env_graph(kit->env, &kit->graph, &kit->err);
}

/* ---- the chain ---- */

static int schema_in(rask_kit *kit, const Rask__Graph__Schema *message, const rask_schema **ret)
{
    *ret = NULL;
    return message ? schema_from_proto(&kit->arena, message, ret, &kit->err) : 0;
}

static struct wk_op *op_new(rask_kit *kit)
{
    struct wk_chain *c = &kit->task.chain;
    struct wk_op *op = MEM_NEW(struct wk_op);

    op->chain = c;
    op->index = c->op_count;
    c->ops[c->op_count++] = op;
    list_init(&op->feeds);
    bytes_init(&op->key);
    arena_init(&op->ctx.scratch);
    op->ctx.ops = &wk_ctx_ops;
    op->ctx.engine = op;
    op->ctx.parallelism = 1;
    op->ctx.max_parallelism = 128;
    op->ctx.task_name = kit->task.name;
    op->ctx.watermark = RASK_TS_MIN;
    op->ctx.full = &op->full;
    op->ctx.params = rask_env_params(kit->env);
    return op;
}

static int build_outputs(rask_kit *kit, struct wk_op *op)
{
    const Rask__Graph__StreamNode *node = op->node;
    const rask_schema *schema;
    int rc = 0;

    op->output_count = (uint32_t)node->op->n_schemas + 1;
    op->outputs = mem_alloc_array(op->output_count, sizeof(*op->outputs));
    op->ctx.side_count = op->output_count - 1;
    op->ctx.sides = mem_alloc_array(op->output_count, sizeof(*op->ctx.sides));
    for (uint32_t i = 0; i < op->output_count && rc == 0; i++) {
        struct wk_output *o = &op->outputs[i];

        rc = schema_in(kit, i == 0 ? node->out : node->op->schemas[i - 1], &schema);
        o->op = op;
        if (rc == 0 && schema)
            o->out = out_new(kit->pool, schema, BATCH_EVENT_TIME, &wk_op_out_hooks, o);
        if (i > 0)
            op->ctx.sides[i - 1] = o->out;
    }
    op->ctx.out = op->outputs[0].out;
    return rc;
}

static void copy_keys(rask_kit *kit, struct wk_op *op, int input, const uint32_t *columns, size_t count)
{
    op->key_columns[input] = arena_alloc(&kit->arena, (count + 1) * sizeof(uint16_t));
    op->key_count[input] = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        op->key_columns[input][i] = (uint16_t)columns[i];
}

static int add_op(rask_kit *kit, const Rask__Graph__StreamNode *node)
{
    const struct wk_op_type *type = wk_ops_find(node->op->type);
    struct wk_op *op = op_new(kit);
    int rc;

    op->node = node;
    op->ctx.name = node->name;
    op->ctx.uid = node->uid;
    op->ctx.args = node->op->has_args ? node->op->args.data : NULL;
    op->ctx.args_size = node->op->has_args ? node->op->args.len : 0;
    op->code = node->op->has_code ? (const void *)(uintptr_t)node->op->code : NULL;
    if (!type)
        return err_set(&kit->err, ERR_NOT_FOUND, "operator \"%s\" has an unknown type \"%s\"", node->name, node->op->type);
    op->desc = type->desc;
    rc = build_outputs(kit, op);
    if (rc != 0)
        return rc;
    copy_keys(kit, op, 0, node->key_columns, node->n_key_columns);
    copy_keys(kit, op, 1, node->key_columns2, node->n_key_columns2);
    if (node->n_key_columns > 0)
        op->ctx.key_nullable = node->in->fields[node->key_columns[0]]->nullable;
    rc = type->init ? type->init(op, &kit->err) : 0;
    if (rc == 0)
        rc = wk_op_state_new(op, &kit->budget, NULL, false, &kit->err);
    return rc;
}

static struct wk_op *op_of_node(const rask_kit *kit, uint32_t id)
{
    for (uint32_t i = 0; i < kit->task.chain.op_count; i++)
        if (kit->task.chain.ops[i]->node->id == id)
            return kit->task.chain.ops[i];
    return NULL;
}

static int connect_ops(rask_kit *kit)
{
    struct wk_op *head = kit->task.chain.ops[0];

    for (size_t i = 0; i < kit->graph->n_edges; i++) {
        const Rask__Graph__StreamEdge *e = kit->graph->edges[i];
        struct wk_op *from = op_of_node(kit, e->source), *to = op_of_node(kit, e->target);

        if (!from && to != head)
            return err_set(&kit->err, ERR_UNSUPPORTED,
                           "the inputs of a test must lead to one operator; they lead to \"%s\" and \"%s\"",
                           head->node->name, to ? to->node->name : "the result");
        if (from && to)
            wk_output_add_child(&from->outputs[e->side + 1], to, (int)e->input);
        else if (from)
            kit->tested = from; /* it gives the result */
    }
    if (!kit->tested)
        kit->tested = kit->task.chain.ops[kit->task.chain.op_count - 1];
    return 0;
}

static void add_collectors(rask_kit *kit)
{
    kit->output_count = kit->tested->output_count;
    kit->outputs = mem_alloc_array(kit->output_count, sizeof(*kit->outputs));
    for (uint32_t i = 0; i < kit->output_count; i++) {
        struct wk_op *op;

        kit->outputs[i].watermark = RASK_TS_MIN;
        if (!kit->tested->outputs[i].out)
            continue;
        op = op_new(kit);
        op->node = kit->tested->node;
        op->desc = &collector;
        op->ctx.name = collector.name;
        op->ctx.self = &kit->outputs[i];
        wk_output_add_child(&kit->tested->outputs[i], op, 0);
    }
}

static int build_chain(rask_kit *kit)
{
    struct wk_chain *c = &kit->task.chain;
    size_t sides = 0;
    int rc = 0;

    for (size_t i = 0; i < kit->graph->n_nodes; i++)
        sides += kit->graph->nodes[i]->op->n_schemas;
    c->ops = mem_alloc_array(kit->graph->n_nodes + sides + 2, sizeof(*c->ops));
    for (size_t i = 0; i < kit->graph->n_nodes && rc == 0; i++) {
        const Rask__Graph__StreamNode *node = kit->graph->nodes[i];

        if (is_stand_in(node))
            continue;
        if (c->op_count > 0 && strcmp(node->op->type, OP_SOURCE) == 0)
            return err_set(&kit->err, ERR_UNSUPPORTED, "a test has one source; \"%s\" is another", node->name);
        rc = add_op(kit, node);
    }
    if (rc == 0 && c->op_count == 0)
        rc = err_set(&kit->err, ERR_INVALID, "there is no operator to test: the function returned its input");
    if (rc == 0)
        rc = connect_ops(kit);
    if (rc == 0)
        add_collectors(kit);
    return rc;
}

int kit_build(rask_kit *kit)
{
    int rc = build_graph(kit);

    return rc == 0 ? build_chain(kit) : rc;
}
