/* deploy.c - from a Deploy message to tasks, gates, edges and links, region by region. Loop thread, before the region's
 * tasks run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/map.h"
#include "common/conf/conf.h"
#include "common/graph/graph.h"
#include "common/types/schema_proto.h"
#include "taskmanager/worker/operator/ops.h"
#include "taskmanager/worker/wk_private.h"

#define CREDIT_MIN_BYTES (2u << 10)
#define CREDIT_MAX_BYTES (256u << 10)
#define UNDER_WAY_BYTES ((uint64_t)512 << 10) /* to a gate or from an edge, over all its channels: half of a core's cache */
#define EDGE_MIN_BYTES (2 * EDGE_BLOCK_BYTES) /* a block of its own, and rows on their way into the next */

extern const rask_schema wk_split_schema;

/*
 * Does a barrier on an edge of this kind wait for its turn in any case?  Flink's list: on a pointwise edge the order of a key's
 * rows is that of its source and is lost when they are given out anew to other subtasks; of broadcast rows some subtasks would
 * have acted on more than others.  Splits are state of the enumerator.
 */
static bool is_aligned_only(Rask__Graph__Partitioner p)
{
    return p == RASK__GRAPH__PARTITIONER__FORWARD || p == RASK__GRAPH__PARTITIONER__RESCALE ||
           p == RASK__GRAPH__PARTITIONER__BROADCAST || p == RASK__GRAPH__PARTITIONER__SPLITS;
}

static const Rask__Graph__JobGraph *graph_of(const struct wk *wk)
{
    return wk->deploy->graph;
}

static bool is_mine(const struct wk *wk, uint32_t vertex, uint32_t subtask)
{
    return wk->placement[vertex][subtask] == wk->start->worker_index;
}

/* ---- checks of what the job master sent ---- */

static int check_placements(struct wk *wk, struct err *err)
{
    const Rask__Graph__JobGraph *g = graph_of(wk);

    wk->placement = mem_alloc_array(g->n_vertices + 1, sizeof(*wk->placement));
    for (size_t i = 0; i < wk->deploy->n_placements; i++) {
        const Rask__Control__Placement *p = wk->deploy->placements[i];

        if (p->vertex >= g->n_vertices || p->n_worker != g->vertices[p->vertex]->parallelism)
            return err_set(err, ERR_PROTOCOL, "a placement of vertex %u with %zu subtasks", p->vertex, p->n_worker);
        for (size_t k = 0; k < p->n_worker; k++)
            if (p->worker[k] >= wk->deploy->n_workers)
                return err_set(err, ERR_PROTOCOL, "a placement on worker %u of %zu", p->worker[k], wk->deploy->n_workers);
        wk->placement[p->vertex] = p->worker;
    }
    for (size_t i = 0; i < g->n_vertices; i++)
        if (!wk->placement[i])
            return err_set(err, ERR_PROTOCOL, "vertex %zu has no placement", i);
    for (size_t i = 0; i < wk->deploy->n_workers; i++)
        if (wk->deploy->workers[i]->worker_index != i)
            return err_set(err, ERR_PROTOCOL, "worker %zu has index %u", i, wk->deploy->workers[i]->worker_index);
    return 0;
}

static const Rask__Graph__StreamNode *node_of(const struct wk *wk, uint32_t vertex, uint32_t op)
{
    const Rask__Graph__JobVertex *v = graph_of(wk)->vertices[vertex];

    return graph_node(graph_of(wk)->stream, v->operators[op]->node);
}

/* One for each message, as long as the worker: a region that starts again has the schemas of its first attempt. */
static int schema_in(struct wk *wk, const Rask__Graph__Schema *message, const rask_schema **ret, struct err *err)
{
    int rc;

    *ret = message ? map_get(wk->schemas, &message, sizeof(message)) : NULL;
    if (!message || *ret)
        return 0;
    rc = schema_from_proto(&wk->arena, message, ret, err);
    if (rc == 0)
        map_put(wk->schemas, &message, sizeof(message), (void *)(uintptr_t)*ret);
    return rc;
}

/* Schema of an output of a node: -1 main, else side. */
static int output_schema(struct wk *wk, const Rask__Graph__StreamNode *node, int side, const rask_schema **ret, struct err *err)
{
    if (strcmp(node->op->type, OP_SOURCE_ENUMERATOR) == 0) {
        *ret = &wk_split_schema;
        return 0;
    }
    if (side < 0)
        return schema_in(wk, node->out, ret, err);
    if ((size_t)side >= node->op->n_schemas)
        return err_set(err, ERR_PROTOCOL, "operator \"%s\" has no side output %d", node->name, side);
    return schema_in(wk, node->op->schemas[side], ret, err);
}

/* As checkpoints know it. */
static void name_edge(struct wk *wk, const Rask__Graph__JobEdge *e, const struct wk_edge_info *info)
{
    const Rask__Graph__StreamNode *from = node_of(wk, e->source_vertex, e->source_operator);
    const Rask__Graph__StreamNode *to = node_of(wk, e->target_vertex, 0);
    struct wk_edge_name *n = &wk->edge_names[e->id];

    if (from->operator_id.len != CKPT_OPERATOR_ID_BYTES || to->operator_id.len != CKPT_OPERATOR_ID_BYTES)
        return;
    *n = (struct wk_edge_name){
        .known = true,
        .edge = ckpt_edge(from->operator_id.data, e->side, e->input),
        .source = {.uid = from->uid, .name = from->name, .parallelism = info->sources,
                   .max_parallelism = graph_of(wk)->vertices[e->source_vertex]->max_parallelism},
        .target = {.uid = to->uid, .name = to->name, .parallelism = info->targets,
                   .max_parallelism = graph_of(wk)->vertices[e->target_vertex]->max_parallelism},
        .schema = info->schema,
        .aligned_only = is_aligned_only(e->partitioner),
    };
    memcpy(n->source.id, from->operator_id.data, CKPT_OPERATOR_ID_BYTES);
    memcpy(n->target.id, to->operator_id.data, CKPT_OPERATOR_ID_BYTES);
}

static int build_edges(struct wk *wk, struct err *err)
{
    const Rask__Graph__JobGraph *g = graph_of(wk);

    wk->edge_count = 0;
    for (size_t i = 0; i < g->n_edges; i++)
        wk->edge_count = MAX(wk->edge_count, g->edges[i]->id + 1);
    if (wk->edge_count > GRAPH_EDGES_MAX + GRAPH_NODES_MAX)
        return err_set(err, ERR_PROTOCOL, "an edge with id %u", wk->edge_count - 1);
    wk->edges = mem_alloc_array(wk->edge_count + 1, sizeof(*wk->edges));
    wk->edge_names = mem_alloc_array(wk->edge_count + 1, sizeof(*wk->edge_names));
    for (size_t i = 0; i < g->n_edges; i++) {
        const Rask__Graph__JobEdge *e = g->edges[i];
        struct wk_edge_info *info = &wk->edges[e->id];
        int rc;

        if (e->source_vertex >= g->n_vertices || e->target_vertex >= g->n_vertices ||
            e->source_operator >= g->vertices[e->source_vertex]->n_operators || e->input > 1)
            return err_set(err, ERR_PROTOCOL, "edge %u leads nowhere", e->id);
        info->edge = e;
        info->sources = g->vertices[e->source_vertex]->parallelism;
        info->targets = g->vertices[e->target_vertex]->parallelism;
        info->in = mem_alloc_array(info->targets, sizeof(*info->in));
        info->out = mem_alloc_array(info->sources, sizeof(*info->out));
        rc = output_schema(wk, node_of(wk, e->source_vertex, e->source_operator), e->side, &info->schema, err);
        if (rc != 0)
            return rc;
        if (!info->schema)
            return err_set(err, ERR_PROTOCOL, "edge %u starts at an operator without output", e->id);
        name_edge(wk, e, info);
    }
    wk->host.edges = wk->edge_names;
    wk->host.edge_count = wk->edge_count;
    return 0;
}

/* ---- operators ---- */

static int resolve(struct wk *wk, const Rask__Graph__OperatorSpec *spec, const char *name, const void **ret, struct err *err)
{
    *ret = NULL;
    if (!spec->has_code)
        return 0;
    const ProtobufCBinaryData *hash = spec->has_artifact ? &spec->artifact : &graph_of(wk)->stream->artifact;

    if (hash->len != 32)
        return err_set(err, ERR_PROTOCOL, "operator \"%s\" has code, but the job has no artifact", name);
    *ret = wk->options.loader->resolve(wk->options.loader, hash->data, spec->code);
    if (!*ret)
        return err_set(err, ERR_INVALID, "operator \"%s\": offset %llu is not inside the job's artifact", name,
                       (unsigned long long)spec->code);
    return 0;
}

static int new_output(struct wk *wk, struct wk_op *op, struct wk_output *o, const rask_schema *schema)
{
    o->op = op;
    if (schema)
        o->out = out_new(wk->pool, schema, BATCH_EVENT_TIME, &wk_op_out_hooks, o);
    return 0;
}

static int build_outputs(struct wk *wk, struct wk_op *op, struct err *err)
{
    const Rask__Graph__StreamNode *node = op->node;
    size_t sides = strcmp(node->op->type, OP_SOURCE_ENUMERATOR) == 0 ? 0 : node->op->n_schemas;
    const rask_schema *schema;
    int rc = output_schema(wk, node, -1, &schema, err);

    if (rc != 0)
        return rc;
    op->output_count = (uint32_t)sides + 1;
    op->outputs = mem_alloc_array(op->output_count, sizeof(*op->outputs));
    op->ctx.sides = mem_alloc_array(sides + 1, sizeof(*op->ctx.sides));
    op->ctx.side_count = (uint32_t)sides;
    new_output(wk, op, &op->outputs[0], schema);
    op->ctx.out = op->outputs[0].out;
    for (size_t i = 0; i < sides; i++) {
        rc = output_schema(wk, node, (int)i, &schema, err);
        if (rc != 0)
            return rc;
        new_output(wk, op, &op->outputs[i + 1], schema);
        op->ctx.sides[i] = op->outputs[i + 1].out;
    }
    return 0;
}

static int copy_keys(struct wk_task *t, struct wk_op *op, int input, const uint32_t *columns, size_t count, struct err *err)
{
    const Rask__Graph__Schema *schema = input == 0 ? op->node->in : op->node->in2;

    if (count > RASK_COLUMNS_MAX)
        return err_set(err, ERR_PROTOCOL, "operator \"%s\" has %zu key columns", op->node->name, count);
    op->key_columns[input] = arena_alloc(&t->arena, (count + 1) * sizeof(uint16_t));
    op->key_count[input] = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        if (!schema || columns[i] >= schema->n_fields)
            return err_set(err, ERR_PROTOCOL, "operator \"%s\" has key column %u", op->node->name, columns[i]);
        op->key_columns[input][i] = (uint16_t)columns[i];
    }
    if (input == 0 && count > 0)
        op->ctx.key_nullable = schema->fields[columns[0]]->nullable;
    return 0;
}

static int init_op(struct wk *wk, struct wk_task *t, struct wk_op *op, struct err *err)
{
    const Rask__Graph__StreamNode *node = op->node;
    const Rask__Graph__OperatorSpec *spec = node->op;
    const struct wk_op_type *type = wk_ops_find(spec->type);
    int rc;

    if (!type)
        return err_set(err, ERR_NOT_FOUND, "operator \"%s\" has type \"%s\", which this worker does not know", node->name, spec->type);
    rc = resolve(wk, spec, node->name, &op->code, err);
    if (rc == 0 && type->needs_code && !op->code)
        rc = err_set(err, ERR_PROTOCOL, "operator \"%s\" of type \"%s\" has no code", node->name, spec->type);
    if (rc == 0)
        rc = build_outputs(wk, op, err);
    if (rc == 0)
        rc = copy_keys(t, op, 0, node->key_columns, node->n_key_columns, err);
    if (rc == 0)
        rc = copy_keys(t, op, 1, node->key_columns2, node->n_key_columns2, err);
    if (rc != 0)
        return rc;
    op->desc = type->desc;
    op->ctx.ops = &wk_ctx_ops;
    op->ctx.engine = op;
    op->ctx.args = spec->has_args ? spec->args.data : NULL;
    op->ctx.args_size = spec->has_args ? spec->args.len : 0;
    op->ctx.subtask = t->subtask;
    op->ctx.parallelism = graph_of(wk)->vertices[t->vertex]->parallelism;
    op->ctx.max_parallelism = graph_of(wk)->vertices[t->vertex]->max_parallelism;
    op->ctx.attempt = t->attempt;
    op->ctx.name = node->name;
    op->ctx.uid = node->uid;
    op->ctx.task_name = t->name;
    op->ctx.watermark = RASK_TS_MIN;
    op->ctx.checkpoint = wk->restore ? wk->restore->checkpoint : 0;
    op->ctx.full = &op->full;
    op->ctx.params = &t->params;
    op->connector.out_fd = wk->options.out_fd;
    op->connector.err_fd = wk->options.err_fd;
    arena_init(&op->ctx.scratch);
    bytes_init(&op->key);
    if (spec->type[0] && strcmp(spec->type, OP_SINK) == 0) {
        rc = schema_in(wk, node->in, &op->connector.schema, err);
        if (rc != 0)
            return rc;
    }
    rc = type->init ? type->init(op, err) : 0;
    if (rc == 0)
        rc = wk_op_state_new(op, &wk->state_budget, wk->options.stores, wk->state_on_disk, err);
    return rc;
}

static int build_chain(struct wk *wk, struct wk_task *t, struct err *err)
{
    const Rask__Graph__JobVertex *v = graph_of(wk)->vertices[t->vertex];
    struct wk_chain *c = &t->chain;

    if (v->n_operators == 0)
        return err_set(err, ERR_PROTOCOL, "vertex \"%s\" has no operator", v->name);
    c->ops = mem_alloc_array(v->n_operators, sizeof(*c->ops));
    for (size_t i = 0; i < v->n_operators; i++) {
        const Rask__Graph__ChainedOperator *co = v->operators[i];
        struct wk_op *op = MEM_NEW(struct wk_op);
        int rc;

        c->ops[i] = op;
        c->op_count++;
        op->chain = c;
        op->index = (uint32_t)i;
        list_init(&op->feeds);
        op->node = node_of(wk, t->vertex, (uint32_t)i);
        if (!op->node)
            return err_set(err, ERR_PROTOCOL, "vertex \"%s\" names node %u, which does not exist", v->name, co->node);
        rc = init_op(wk, t, op, err);
        if (rc != 0)
            return rc;
        if (i == 0)
            continue;
        if (co->parent < 0 || (size_t)co->parent >= i || co->parent_side + 1 < 0 ||
            (uint32_t)(co->parent_side + 1) >= c->ops[co->parent]->output_count)
            return err_set(err, ERR_PROTOCOL, "operator \"%s\" is chained to nothing", op->node->name);
        wk_output_add_child(&c->ops[co->parent]->outputs[co->parent_side + 1], op, (int)co->input);
    }
    t->is_source = t->run.is_source = strcmp(c->ops[0]->node->op->type, OP_SOURCE) == 0;
    t->is_enumerator = strcmp(c->ops[0]->node->op->type, OP_SOURCE_ENUMERATOR) == 0;
    return 0;
}

/* ---- sending sides ---- */

/* -1: only full blocks leave while a task is busy. */
static int64_t flush_ns(int64_t ms)
{
    return ms < 0 ? -1 : (int64_t)env_ms_to_ns((uint64_t)ms);
}

static int compare_ranks(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b; /* worker, subtask */

    return x[0] != y[0] ? (x[0] < y[0] ? -1 : 1) : x[1] != y[1] ? (x[1] < y[1] ? -1 : 1) : 0;
}

/* rask_merge_updates: what the receiver sums up is summed up here first. */
static int init_merge(struct wk *wk, struct wk_edge *e, const struct wk_edge_info *info, struct err *err)
{
    const Rask__Graph__StreamNode *to = node_of(wk, info->edge->target_vertex, 0);
    bool sum = strcmp(to->op->type, OP_SUM) == 0, min = strcmp(to->op->type, OP_MIN) == 0;
    int column;

    if (e->partitioner != RASK__GRAPH__PARTITIONER__HASH || e->key_count == 0 ||
        strcmp(connector_spec_property(to->op, "merge", "false"), "true") != 0)
        return 0;
    column = schema_column(info->schema, connector_spec_property(to->op, "column", ""));
    if (column < 0 || schema_width(&info->schema->fields[column]) != 8 || info->schema->fields[column].nullable)
        return err_set(err, ERR_PROTOCOL, "operator \"%s\" cannot merge updates of its column", to->name);
    e->merge = wk_merge_new(wk->pool, sum ? WK_MERGE_SUM : min ? WK_MERGE_MIN : WK_MERGE_MAX, (uint32_t)column, e->key_columns,
                            e->key_count);
    return 0;
}

static int init_edge(struct wk *wk, struct wk_task *t, struct wk_edge *e, struct wk_edge_info *info, struct err *err)
{
    const Rask__Graph__JobEdge *je = info->edge;
    const Rask__Graph__JobVertex *target = graph_of(wk)->vertices[je->target_vertex];
    const Rask__Graph__StreamNode *node = node_of(wk, je->source_vertex, je->source_operator);
    uint32_t first, count, (*rank)[2];
    int rc;

    graph_edge_targets(je->partitioner, t->subtask, info->sources, info->targets, &first, &count);
    e->id = je->id;
    e->flush_interval_ns = t->flush_interval_ns;
    if (node->has_buffer_timeout_ms) /* rask_set_buffer_timeout */
        e->flush_interval_ns = flush_ns(node->buffer_timeout_ms);
    e->source_subtask = t->subtask;
    e->side = je->side;
    e->partitioner = je->partitioner;
    e->aligned_only = is_aligned_only(je->partitioner) || !wk->edge_names[je->id].known;
    e->inflight = &t->barriers.inflight;
    e->pool = wk->pool;
    e->target_parallelism = info->targets;
    e->max_parallelism = target->max_parallelism;
    e->random = ((uint64_t)je->id << 32 | t->subtask) + 1;
    e->drops_hash = strcmp(node_of(wk, je->target_vertex, 0)->op->type, OP_SINK) == 0; /* it has no state to look up by it */
    if (graph_gives_splits(&wk->map, je->source_vertex))
        e->splits = wk_splits_new(info->schema, count, wk->restore ? wk->restore->checkpoint : 0);
    e->key_count = (uint32_t)je->n_key_columns;
    e->key_columns = mem_alloc_array(je->n_key_columns + 1, sizeof(uint16_t));
    for (size_t i = 0; i < je->n_key_columns; i++) {
        if (je->key_columns[i] >= info->schema->columns)
            return err_set(err, ERR_PROTOCOL, "edge %u has key column %u", je->id, je->key_columns[i]);
        e->key_columns[i] = (uint16_t)je->key_columns[i];
    }
    rc = init_merge(wk, e, info, err);
    if (rc != 0)
        return rc;
    if (je->partitioner == RASK__GRAPH__PARTITIONER__CUSTOM) {
        const void *fn = NULL;
        rc = je->custom ? resolve(wk, je->custom, "partition_custom", &fn, err) : 0;
        if (rc != 0)
            return rc;
        if (!fn)
            return err_set(err, ERR_PROTOCOL, "edge %u has no partition function", je->id);
        e->custom = (wk_partition_fn *)(uintptr_t)fn;
    }
    rank = mem_alloc_array(count + 1, sizeof(*rank));
    for (uint32_t i = 0; i < count; i++) {
        rank[i][0] = wk->placement[je->target_vertex][first + i];
        rank[i][1] = first + i;
    }
    qsort(rank, count, sizeof(*rank), compare_ranks);
    e->channels = mem_alloc_array_lines(count + 1, sizeof(*e->channels));
    e->channel_count = count;
    e->rank_of_subtask = mem_alloc_array(info->targets, sizeof(uint16_t));
    for (uint32_t i = 0; i < info->targets; i++)
        e->rank_of_subtask[i] = UINT16_MAX;
    for (uint32_t i = 0; i < count; i++) {
        wk_out_init(&e->channels[i], &t->run, je->id, t->subtask, rank[i][1]);
        e->rank_of_subtask[rank[i][1]] = (uint16_t)i;
    }
    mem_free(rank);
    info->out[t->subtask] = e;
    return 0;
}

static int build_out_edges(struct wk *wk, struct wk_task *t, struct err *err)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < wk->edge_count; i++)
        if (wk->edges[i].edge && wk->edges[i].edge->source_vertex == t->vertex)
            n++;
    t->edges = mem_alloc_array(MAX(n, 1u), sizeof(*t->edges));
    t->edge_list = mem_alloc_array(n + 1, sizeof(*t->edge_list));
    t->chain.edges = t->edge_list;
    for (uint32_t i = 0; i < wk->edge_count; i++) {
        struct wk_edge_info *info = &wk->edges[i];
        struct wk_output *o;
        struct wk_edge *e;
        struct wk_op *op;
        int rc;

        if (!info->edge || info->edge->source_vertex != t->vertex)
            continue;
        e = &t->edges[t->chain.edge_count];
        t->edge_list[t->chain.edge_count++] = e;
        rc = init_edge(wk, t, e, info, err);
        if (rc != 0)
            return rc;
        op = t->chain.ops[info->edge->source_operator];
        o = &op->outputs[info->edge->side + 1];
        o->edges = mem_realloc(o->edges, (o->edge_count + 1) * sizeof(*o->edges));
        o->edges[o->edge_count++] = e;
    }
    return 0;
}

/* ---- receiving sides ---- */

static bool sends_to(const struct wk_edge_info *info, uint32_t source, uint32_t target)
{
    uint32_t first, count;

    graph_edge_targets(info->edge->partitioner, source, info->sources, info->targets, &first, &count);
    return target >= first && target < first + count;
}

static void build_gate(struct wk *wk, struct wk_task *t)
{
    uint32_t n = 0, at = 0;

    for (uint32_t i = 0; i < wk->edge_count; i++)
        if (wk->edges[i].edge && wk->edges[i].edge->target_vertex == t->vertex)
            for (uint32_t s = 0; s < wk->edges[i].sources; s++)
                n += sends_to(&wk->edges[i], s, t->subtask);
    wk_gate_init(&t->gate, &t->run, n);
    for (uint32_t i = 0; i < wk->edge_count; i++) {
        struct wk_edge_info *info = &wk->edges[i];

        if (!info->edge || info->edge->target_vertex != t->vertex)
            continue;
        info->in[t->subtask] = mem_alloc_array(info->sources, sizeof(struct wk_in *));
        for (uint32_t s = 0; s < info->sources; s++) {
            struct wk_in *in = &t->gate.channels[at];

            if (!sends_to(info, s, t->subtask))
                continue;
            at++;
            in->edge = i;
            in->source_subtask = s;
            in->target_subtask = t->subtask;
            in->input = info->edge->input;
            in->aligned_only = is_aligned_only(info->edge->partitioner) || !wk->edge_names[i].known;
            t->inputs[in->input].channels++;
            info->in[t->subtask][s] = in;
        }
    }
    CHECK(at == n);
}

static char *task_name(const struct wk *wk, uint32_t vertex, uint32_t subtask)
{
    const Rask__Graph__JobVertex *v = graph_of(wk)->vertices[vertex];

    return mem_printf("%s (%u/%u)", v->name, subtask + 1, v->parallelism);
}

static struct wk_latency_settings latency_settings(const struct conf *conf)
{
    const char *granularity = conf_string(conf, OPT_METRICS_LATENCY_GRANULARITY);

    return (struct wk_latency_settings){
        .interval_ns = env_ms_to_ns(conf_duration_ms(conf, OPT_METRICS_LATENCY_INTERVAL)),
        .granularity = strcmp(granularity, "single") == 0    ? WK_PER_OPERATOR
                       : strcmp(granularity, "subtask") == 0 ? WK_PER_SOURCE_SUBTASK
                                                             : WK_PER_SOURCE,
        .history = (uint32_t)conf_int(conf, OPT_METRICS_LATENCY_HISTORY_SIZE),
    };
}

static void apply_config(struct wk *wk)
{
    struct conf *conf = conf_new();

    /* The values were checked when the job was submitted. */
    for (size_t i = 0; i < wk->deploy->n_config; i++)
        if (conf_set(conf, wk->deploy->config[i]->key, wk->deploy->config[i]->value, "the job master", NULL) != 0)
            continue;
    wk->host.latency = latency_settings(conf);
    wk->host.graph = graph_of(wk);
    wk->state_on_disk = strcmp(conf_string(conf, OPT_STATE_BACKEND_TYPE), "hashmap") != 0;
    wk->pack = strcmp(conf_string(conf, OPT_RASK_NETWORK_COMPRESSION), "lz4") == 0;
    wk->debloat = (struct wk_debloat_options){
        .enabled = conf_bool(conf, OPT_TASKMANAGER_NETWORK_MEMORY_BUFFER_DEBLOAT_ENABLED),
        .target_ns = conf_duration_ms(conf, OPT_TASKMANAGER_NETWORK_MEMORY_BUFFER_DEBLOAT_TARGET) * 1000000u,
        .period_ns = conf_duration_ms(conf, OPT_TASKMANAGER_NETWORK_MEMORY_BUFFER_DEBLOAT_PERIOD) * 1000000u,
        .threshold_percent = (uint32_t)conf_int(conf, OPT_TASKMANAGER_NETWORK_MEMORY_BUFFER_DEBLOAT_THRESHOLD_PERCENTAGES),
        .samples = (uint32_t)conf_int(conf, OPT_TASKMANAGER_NETWORK_MEMORY_BUFFER_DEBLOAT_SAMPLES),
    };
    wk->config = (struct wk_task_config){
        .flush_ms = -1,
        .checkpointing = conf_is_set(conf, OPT_EXECUTION_CHECKPOINTING_INTERVAL),
        .exactly_once = strcmp(conf_string(conf, OPT_EXECUTION_CHECKPOINTING_MODE), "EXACTLY_ONCE") == 0,
    };
    if (wk->config.checkpointing)
        wk_warming_expect(wk->warming);
    wk->config.local_backup = conf_local_backup(conf);
    wk->config.from_local = conf_from_local(conf);
    wk->config.unaligned = wk->config.exactly_once && conf_unaligned(conf);
    if (conf_bool(conf, OPT_EXECUTION_BUFFER_TIMEOUT_ENABLED))
        wk->config.flush_ms = (int64_t)conf_duration_ms(conf, OPT_EXECUTION_BUFFER_TIMEOUT_INTERVAL);
    pool_set_row_max(wk->pool, (uint32_t)MIN(conf_memory_bytes(conf, OPT_RASK_MAX_ROW_SIZE), (uint64_t)POOL_ROW_BYTES_MAX));
    conf_free(conf);
}

/* All subtasks of the vertex had ended when the checkpoint was taken. */
static bool had_finished(const struct wk *wk, uint32_t vertex)
{
    const Rask__Control__Restore *restore = wk->restore;

    for (size_t i = 0; restore && i < restore->n_finished_vertices; i++)
        if (restore->finished_vertices[i] == vertex)
            return true;
    return false;
}

static int build_task(struct wk *wk, struct wk_task *t, struct err *err)
{
    const Rask__Graph__JobGraph *g = graph_of(wk);
    int rc;

    t->flush_interval_ns = flush_ns(wk->config.flush_ms);
    t->checkpointing = wk->config.checkpointing;
    t->barriers.exactly_once = wk->config.exactly_once;
    t->barriers.may_overtake = wk->config.unaligned;
    t->restored_finished = t->chain.skip_finish = had_finished(wk, t->vertex);
    t->params.count = g->stream->n_params;
    t->params.names = arena_alloc(&t->arena, (t->params.count + 1) * sizeof(char *));
    t->params.values = arena_alloc(&t->arena, (t->params.count + 1) * sizeof(char *));
    for (size_t i = 0; i < t->params.count; i++) {
        t->params.names[i] = g->stream->params[i]->key;
        t->params.values[i] = g->stream->params[i]->value;
    }
    rc = build_chain(wk, t, err);
    if (rc == 0)
        rc = build_out_edges(wk, t, err);
    if (rc == 0)
        build_gate(wk, t);
    return rc;
}

/* An empty one; of a region that is not started it counts as finished. */
static void clear_task(struct wk *wk, struct wk_task *t, uint32_t vertex, uint32_t subtask, uint32_t attempt)
{
    *t = (struct wk_task){0};
    wk_task_init(t, &wk->host, wk->options.executor);
    t->vertex = vertex;
    t->subtask = subtask;
    t->attempt = attempt;
    t->name = task_name(wk, vertex, subtask);
    t->run.name = t->name;
    t->state = RASK__CONTROL__TASK_STATE__FINISHED;
}

static struct wk_region *region_at(struct wk *wk, uint32_t id)
{
    struct wk_region *r = wk->regions[id];

    if (r)
        return r;
    r = wk->regions[id] = MEM_NEW(struct wk_region);
    r->wk = wk;
    r->id = id;
    r->lost_timer.cb = wk_region_on_lost_timer;
    return r;
}

static void make_regions(struct wk *wk)
{
    const Rask__Graph__JobGraph *g = graph_of(wk);
    uint32_t n = 0;

    graph_regions_init(&wk->map, g);
    wk->regions = mem_alloc_array(wk->map.count + 1, sizeof(struct wk_region *));
    for (uint32_t v = 0; v < g->n_vertices; v++)
        for (uint32_t s = 0; s < g->vertices[v]->parallelism; s++)
            n += is_mine(wk, v, s);
    wk->tasks = mem_alloc_array(n + 1, sizeof(struct wk_task *));
    for (uint32_t v = 0; v < g->n_vertices; v++)
        for (uint32_t s = 0; s < g->vertices[v]->parallelism; s++) {
            struct wk_region *r;

            if (!is_mine(wk, v, s))
                continue;
            r = region_at(wk, wk->map.of[v][s]);
            wk->tasks[wk->task_count] = MEM_NEW(struct wk_task);
            clear_task(wk, wk->tasks[wk->task_count], v, s, 0);
            r->tasks = mem_realloc(r->tasks, (r->task_count + 1) * sizeof(struct wk_task *));
            r->tasks[r->task_count++] = wk->tasks[wk->task_count++];
        }
    for (uint32_t i = 0; i < wk->map.split_count; i++) /* its readers come and go, here or elsewhere */
        if (is_mine(wk, wk->map.splits[i].vertex, 0))
            (void)region_at(wk, wk->map.splits[i].readers);
}

static uint64_t edge_count(const struct wk *wk)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < wk->task_count; i++)
        n += wk->tasks[i]->chain.edge_count;
    return n;
}

/* As wide as its channels make it, and its part of the worker's share allows. */
static uint32_t wider_of(const struct wk *wk, const struct wk_edge *e)
{
    uint64_t share = wk->options.network_bytes / 2 / edge_count(wk);
    uint32_t wider = wk_edge_wider(e->partitioner, e->channel_count);

    while (wider > 1 && EDGE_MIN_BYTES * wider > share)
        wider /= 2;
    return wider;
}

static uint64_t gate_channels(const struct wk *wk)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < wk->task_count; i++)
        n += wk->tasks[i]->gate.channel_count;
    return n;
}

/* What the exchange cannot do without must fit before the job starts; there is no "insufficient buffers" later. */
static int check_budget(const struct wk *wk, struct err *err)
{
    uint64_t channels = gate_channels(wk), edges = edge_count(wk), need;

    need = channels * CREDIT_MIN_BYTES + edges * EDGE_MIN_BYTES;
    if (need <= wk->options.network_bytes)
        return 0;
    return err_set(err, ERR_LIMIT,
                   "the exchange of worker %u needs at least %llu MiB for %llu channels and %llu outgoing edges, but its share for "
                   "blocks is %llu MiB: raise taskmanager.memory.process.size or taskmanager.memory.network.fraction, or lower the "
                   "parallelism", wk->start->worker_index, (unsigned long long)(need >> 20) + 1, (unsigned long long)channels,
                   (unsigned long long)edges, (unsigned long long)wk->options.network_bytes >> 20);
}

int wk_prepare(struct wk *wk, struct err *err)
{
    int rc = check_placements(wk, err);

    apply_config(wk);
    if (rc == 0)
        rc = build_edges(wk, err);
    if (rc == 0)
        make_regions(wk);
    return rc;
}

int wk_region_build(struct wk_region *r, uint32_t attempt, struct err *err)
{
    struct wk *wk = r->wk;
    int rc = 0;

    r->attempt = attempt;
    for (uint32_t i = 0; i < r->task_count && rc == 0; i++) {
        struct wk_task *t = r->tasks[i];

        t->state = RASK__CONTROL__TASK_STATE__DEPLOYING;
        t->held = 1; /* mail of the job's checkpoints, which other regions have, must not wake it */
        t->attempt = attempt;
        rc = build_task(wk, t, err);
    }
    if (rc == 0)
        rc = check_budget(wk, err);
    for (uint32_t i = 0; i < r->task_count && rc == 0; i++) {
        struct wk_task *t = r->tasks[i];

        for (uint32_t k = 0; k < t->chain.edge_count; k++) {
            t->chain.edges[k]->wider = wider_of(wk, t->chain.edges[k]);
            wk_wire_outputs(r, t->chain.edges[k]);
        }
        wk_wire_inputs(r, t);
    }
    return rc;
}

/* Its part of the worker's share, and of what keeps a gate and the sender's edge busy: more would only leave the caches. */
static uint32_t credit_of(const struct wk *wk, const struct wk_in *in, uint64_t channels)
{
    const struct wk_edge_info *info = &wk->edges[in->edge];
    uint32_t first, targets;
    uint64_t credit = wk->options.network_bytes / 2 / MAX(channels, 1u), block;

    graph_edge_targets(info->edge->partitioner, in->source_subtask, info->sources, info->targets, &first, &targets);
    block = (uint64_t)EDGE_BLOCK_BYTES * wk_edge_wider(info->edge->partitioner, targets);
    credit = MIN(credit, MAX(UNDER_WAY_BYTES, 3 * block) / targets);
    credit = MIN(credit, MAX(UNDER_WAY_BYTES, 3 * block / 2) / in->gate->channel_count);
    return (uint32_t)MIN(MAX(credit, CREDIT_MIN_BYTES), CREDIT_MAX_BYTES);
}

void wk_region_start(struct wk_region *r)
{
    struct wk *wk = r->wk;
    uint64_t channels = gate_channels(wk);

    for (uint32_t i = 0; i < r->task_count; i++) {
        struct wk_task *t = r->tasks[i];

        for (uint32_t k = 0; k < t->gate.channel_count; k++) {
            struct wk_in *in = &t->gate.channels[k];
            bool splits = wk->edges[in->edge].edge->partitioner == RASK__GRAPH__PARTITIONER__SPLITS;

            in->by_row = splits;
            wk_in_open(in, splits ? 1 : credit_of(wk, in, channels));
            t->credit_max = MAX(t->credit_max, in->credit_bytes);
        }
        t->debloat.options = t->is_source ? NULL : &wk->debloat; /* of splits it is one a time */
    }
    for (uint32_t i = 0; i < r->task_count; i++)
        __atomic_store_n(&r->tasks[i]->held, 0, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < r->task_count; i++)
        wk_ready(&r->tasks[i]->run);
}

void wk_region_unbuild(struct wk_region *r)
{
    struct wk *wk = r->wk;

    env_timer_cancel(wk->env, &r->lost_timer);
    wk_readers_detach(r);
    wk_links_free(r);
    for (uint32_t i = 0; i < r->task_count; i++) { /* the executor goes on, and must not wake what is no more */
        CHECK(r->tasks[i]->run.wake_index == 0 && !r->tasks[i]->run.wake);
        wk_task_release(r->tasks[i]);
    }
    for (uint32_t i = 0; i < r->task_count; i++) {
        struct wk_task *t = r->tasks[i];
        uint32_t vertex = t->vertex, subtask = t->subtask;

        for (uint32_t e = 0; e < wk->edge_count; e++) {
            struct wk_edge_info *info = &wk->edges[e];

            if (info->edge && info->edge->target_vertex == vertex) {
                mem_free(info->in[subtask]);
                info->in[subtask] = NULL;
            }
            if (info->edge && info->edge->source_vertex == vertex)
                info->out[subtask] = NULL;
        }
        clear_task(wk, t, vertex, subtask, t->attempt);
    }
    r->started = r->canceling = false;
}

void wk_unbuild(struct wk *wk)
{
    for (uint32_t i = 0; wk->regions && i < wk->map.count; i++) {
        struct wk_region *r = wk->regions[i];

        if (!r)
            continue;
        env_timer_cancel(wk->env, &r->lost_timer);
        wk_links_free(r);
        mem_free(r->tasks);
        mem_free(r);
    }
    mem_free(wk->regions);
    wk->regions = NULL;
    graph_regions_release(&wk->map);
    for (uint32_t i = 0; i < wk->task_count; i++) {
        wk_task_release(wk->tasks[i]);
        mem_free(wk->tasks[i]);
    }
    mem_free(wk->tasks);
    wk->tasks = NULL;
    wk->task_count = 0;
    for (uint32_t i = 0; wk->edges && i < wk->edge_count; i++) {
        struct wk_edge_info *info = &wk->edges[i];

        for (uint32_t k = 0; info->in && k < info->targets; k++)
            mem_free(info->in[k]);
        mem_free(info->in);
        mem_free(info->out);
    }
    mem_free(wk->edges);
    mem_free(wk->edge_names);
    mem_free(wk->placement);
    wk->edges = NULL;
    wk->edge_names = NULL;
    wk->edge_count = 0;
    wk->placement = NULL;
}
