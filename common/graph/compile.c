/*
 * compile.c - StreamGraph to JobGraph: chains become vertices, each source gets its hidden
 * enumerator.
 *
 * Vertices are made in Flink's order (depth first, a vertex after everything behind it) and
 * numbered backwards, which is a topological order.  Recursion is as deep as the longest path: at
 * most GRAPH_NODES_MAX.
 */
#include <string.h>

#include "common/base/check.h"
#include "common/graph/graph_private.h"
#include "common/graph/ops.h"

#define VERTEX_NAME_MAX 1000

struct vertex {
    Rask__Graph__JobVertex *pb;
    uint32_t *nodes; /* ids, in chain order */
    size_t cap;
    uint32_t index; /* in the job graph */
};

struct builder {
    const struct decision *d;
    struct arena *arena;
    struct vertex **built; /* sinks first */
    size_t built_count;
    struct vertex **of_node; /* by node index */
    uint32_t *op_of_node;
};

static void add_operator(struct builder *b, struct vertex *v, uint32_t id, int32_t parent,
                         const Rask__Graph__StreamEdge *via)
{
    Rask__Graph__ChainedOperator *op = arena_alloc(b->arena, sizeof(*op));

    if (v->pb->n_operators == v->cap) {
        Rask__Graph__ChainedOperator **grown;

        v->cap = v->cap ? 2 * v->cap : 4;
        grown = arena_alloc(b->arena, v->cap * sizeof(*grown));
        if (v->pb->n_operators > 0)
            memcpy(grown, v->pb->operators, v->pb->n_operators * sizeof(*grown));
        v->pb->operators = grown;
    }
    rask__graph__chained_operator__init(op);
    op->node = id;
    op->parent = parent;
    if (via) {
        op->has_parent_side = true;
        op->parent_side = via->side;
        op->has_input = true;
        op->input = via->input;
    }
    b->of_node[id - 1] = v;
    b->op_of_node[id - 1] = (uint32_t)v->pb->n_operators;
    v->pb->operators[v->pb->n_operators++] = op;
}

static void build_vertex(struct builder *b, uint32_t head);

/* Adds a node and what is chained behind it; starts vertices for the rest. */
static void chain(struct builder *b, struct vertex *v, uint32_t id, int32_t parent,
                  const Rask__Graph__StreamEdge *via)
{
    const struct decided *x = &b->d->nodes[id - 1];
    int32_t self;

    add_operator(b, v, id, parent, via);
    self = (int32_t)b->op_of_node[id - 1];
    for (uint32_t i = 0; i < x->out_count; i++) {
        const Rask__Graph__StreamEdge *e = b->d->graph->edges[x->out[i]];

        if (graph_chainable(b->d, x->out[i]))
            chain(b, v, e->target, self, e);
    }
    for (uint32_t i = 0; i < x->out_count; i++)
        if (!graph_chainable(b->d, x->out[i]))
            build_vertex(b, b->d->graph->edges[x->out[i]]->target);
}

static void set_id(struct builder *b, ProtobufCBinaryData *field, const uint8_t id[GRAPH_ID_LEN])
{
    field->len = GRAPH_ID_LEN;
    field->data = arena_dup(b->arena, id, GRAPH_ID_LEN);
}

static struct vertex *new_vertex(struct builder *b, const struct decided *x)
{
    struct vertex *v = arena_alloc(b->arena, sizeof(*v));

    v->pb = arena_alloc(b->arena, sizeof(*v->pb));
    rask__graph__job_vertex__init(v->pb);
    v->pb->parallelism = x->parallelism;
    v->pb->max_parallelism = x->max_parallelism;
    v->pb->slot_group = arena_strdup(b->arena, x->slot_group);
    return v;
}

/* "a -> (b -> c, d)", as in Flink */
static void chain_name(const struct builder *b, const struct vertex *v, uint32_t op,
                       struct bytes *out)
{
    uint32_t children = 0, seen = 0;

    bytes_add_str(out, b->d->graph->nodes[v->pb->operators[op]->node - 1]->name);
    for (size_t i = op + 1; i < v->pb->n_operators; i++)
        children += v->pb->operators[i]->parent == (int32_t)op;
    if (children == 0)
        return;
    bytes_add_str(out, children > 1 ? " -> (" : " -> ");
    for (uint32_t i = op + 1; i < v->pb->n_operators; i++)
        if (v->pb->operators[i]->parent == (int32_t)op) {
            bytes_add_str(out, seen++ ? ", " : "");
            chain_name(b, v, i, out);
        }
    if (children > 1)
        bytes_add_str(out, ")");
}

static void name_vertex(struct builder *b, struct vertex *v)
{
    struct bytes name;

    bytes_init(&name);
    chain_name(b, v, 0, &name);
    if (name.len > VERTEX_NAME_MAX) {
        name.len = VERTEX_NAME_MAX;
        while (name.len > 0 && (name.data[name.len] & 0xc0) == 0x80)
            name.len--; /* not within a UTF-8 character */
        name.data[name.len] = 0;
        bytes_add_str(&name, "...");
    }
    v->pb->name = arena_strdup(b->arena, (const char *)name.data);
    bytes_release(&name);
}

static void build_vertex(struct builder *b, uint32_t head)
{
    const struct decided *x = &b->d->nodes[head - 1];
    struct vertex *v;

    if (b->of_node[head - 1])
        return;
    v = new_vertex(b, x);
    set_id(b, &v->pb->id, x->id);
    chain(b, v, head, -1, NULL);
    name_vertex(b, v);
    b->built[b->built_count++] = v;
}

/* ---- the result ---- */

/* A copy of the graph with everything decided. `extra` places are left for enumerators. */
static Rask__Graph__StreamGraph *decided_graph(struct builder *b, size_t extra)
{
    const struct decision *d = b->d;
    Rask__Graph__StreamGraph *g = arena_dup(b->arena, d->graph, sizeof(*g));

    g->nodes = arena_alloc(b->arena, (d->graph->n_nodes + extra) * sizeof(*g->nodes));
    g->edges = arena_alloc(b->arena, (d->graph->n_edges + 1) * sizeof(*g->edges));
    for (size_t i = 0; i < g->n_nodes; i++) {
        Rask__Graph__StreamNode *n = arena_dup(b->arena, d->graph->nodes[i], sizeof(*n));

        n->has_parallelism = n->has_max_parallelism = n->has_operator_id = true;
        n->parallelism = d->nodes[i].parallelism;
        n->max_parallelism = d->nodes[i].max_parallelism;
        n->slot_group = arena_strdup(b->arena, d->nodes[i].slot_group);
        set_id(b, &n->operator_id, d->nodes[i].id);
        g->nodes[i] = n;
    }
    for (size_t i = 0; i < g->n_edges; i++) {
        g->edges[i] = arena_dup(b->arena, d->graph->edges[i], sizeof(**g->edges));
        g->edges[i]->partitioner = d->partitioners[i];
    }
    return g;
}

/* The node and the vertex that find a source's splits. */
static struct vertex *enumerator(struct builder *b, Rask__Graph__StreamGraph *g,
                                 const Rask__Graph__StreamNode *source)
{
    struct decided x = b->d->nodes[source->id - 1];
    Rask__Graph__StreamNode *n = arena_alloc(b->arena, sizeof(*n));
    struct vertex *v;
    struct bytes name;
    uint8_t id[GRAPH_ID_LEN];

    graph_hash_id('E', x.id, sizeof(x.id), id);
    bytes_init(&name);
    bytes_printf(&name, "%s (enumerator)", source->name);
    rask__graph__stream_node__init(n);
    n->id = (uint32_t)g->n_nodes + 1;
    n->name = arena_strdup(b->arena, (const char *)name.data);
    bytes_release(&name);
    n->op = arena_dup(b->arena, source->op, sizeof(*n->op));
    n->op->type = arena_strdup(b->arena, OP_SOURCE_ENUMERATOR);
    n->has_parallelism = n->has_max_parallelism = n->has_operator_id = true;
    n->parallelism = x.parallelism = 1;
    n->max_parallelism = x.max_parallelism;
    n->has_chaining = true;
    n->chaining = RASK__GRAPH__CHAINING__NEVER;
    n->slot_group = source->slot_group;
    set_id(b, &n->operator_id, id);
    g->nodes[g->n_nodes++] = n;

    v = new_vertex(b, &x);
    set_id(b, &v->pb->id, id);
    v->pb->name = n->name;
    v->pb->has_hidden = true;
    v->pb->hidden = true;
    v->pb->operators = arena_alloc(b->arena, sizeof(*v->pb->operators));
    v->pb->operators[0] = arena_alloc(b->arena, sizeof(**v->pb->operators));
    rask__graph__chained_operator__init(v->pb->operators[0]);
    v->pb->operators[0]->node = n->id;
    v->pb->operators[0]->parent = -1;
    v->pb->n_operators = 1;
    return v;
}

static void add_edge(struct builder *b, Rask__Graph__JobGraph *job, Rask__Graph__JobEdge edge)
{
    edge.id = (uint32_t)job->n_edges + 1;
    job->edges[job->n_edges++] = arena_dup(b->arena, &edge, sizeof(edge));
}

static void add_edges(struct builder *b, Rask__Graph__JobGraph *job)
{
    const struct decision *d = b->d;

    for (uint32_t i = 0; i < d->graph->n_edges; i++) {
        const Rask__Graph__StreamEdge *e = d->graph->edges[i];
        Rask__Graph__JobEdge edge = RASK__GRAPH__JOB_EDGE__INIT;

        if (graph_chainable(d, i))
            continue;
        CHECK(b->op_of_node[e->target - 1] == 0);
        edge.source_vertex = b->of_node[e->source - 1]->index;
        edge.source_operator = b->op_of_node[e->source - 1];
        edge.target_vertex = b->of_node[e->target - 1]->index;
        edge.input = e->input;
        edge.has_side = true;
        edge.side = e->side;
        edge.partitioner = d->partitioners[i];
        edge.n_key_columns = e->n_key_columns;
        edge.key_columns = e->key_columns;
        edge.custom = e->custom;
        add_edge(b, job, edge);
    }
}

/* Vertices in topological order, each source's enumerator right before it. */
static Rask__Graph__JobGraph *assemble(struct builder *b, size_t sources)
{
    Rask__Graph__JobGraph *job = arena_alloc(b->arena, sizeof(*job));
    struct vertex **readers = arena_alloc(b->arena, (sources + 1) * sizeof(*readers));
    size_t reader_count = 0;

    rask__graph__job_graph__init(job);
    job->stream = decided_graph(b, sources);
    job->vertices = arena_alloc(b->arena, (b->built_count + sources) * sizeof(*job->vertices));
    job->edges = arena_alloc(b->arena, (b->d->graph->n_edges + sources + 1) * sizeof(*job->edges));
    for (size_t i = b->built_count; i > 0; i--) {
        struct vertex *v = b->built[i - 1];
        const Rask__Graph__StreamNode *head = job->stream->nodes[v->pb->operators[0]->node - 1];

        if (strcmp(head->op->type, OP_SOURCE) == 0) {
            job->vertices[job->n_vertices++] = enumerator(b, job->stream, head)->pb;
            readers[reader_count++] = v;
        }
        v->index = (uint32_t)job->n_vertices;
        job->vertices[job->n_vertices++] = v->pb;
    }
    CHECK(reader_count == sources);
    add_edges(b, job);
    for (size_t i = 0; i < reader_count; i++) {
        Rask__Graph__JobEdge edge = RASK__GRAPH__JOB_EDGE__INIT;

        edge.source_vertex = readers[i]->index - 1;
        edge.target_vertex = readers[i]->index;
        edge.partitioner = RASK__GRAPH__PARTITIONER__SPLITS;
        add_edge(b, job, edge);
    }
    return job;
}

static int check_size(const Rask__Graph__JobGraph *job, struct err *err)
{
    uint64_t subtasks = 0;

    for (size_t i = 0; i < job->n_vertices; i++)
        subtasks += job->vertices[i]->parallelism;
    if (subtasks > GRAPH_SUBTASKS_MAX)
        return err_set(err, ERR_LIMIT, "the job has %llu subtasks; at most %d are possible",
                       (unsigned long long)subtasks, GRAPH_SUBTASKS_MAX);
    return 0;
}

int graph_compile(const Rask__Graph__StreamGraph *graph, const struct graph_options *options,
                  struct arena *arena, Rask__Graph__JobGraph **ret, struct err *err)
{
    struct decision d;
    struct builder b = {.d = &d, .arena = arena};
    Rask__Graph__JobGraph *job;
    size_t sources = 0;
    int rc = graph_validate(graph, err);

    if (rc == 0)
        rc = graph_decide(graph, options, arena, &d, err);
    if (rc)
        return rc;
    b.built = arena_alloc(arena, graph->n_nodes * sizeof(*b.built));
    b.of_node = arena_alloc(arena, graph->n_nodes * sizeof(*b.of_node));
    b.op_of_node = arena_alloc(arena, graph->n_nodes * sizeof(*b.op_of_node));
    for (uint32_t i = 0; i < graph->n_nodes; i++)
        if (strcmp(graph->nodes[i]->op->type, OP_SOURCE) == 0) {
            build_vertex(&b, i + 1);
            sources++;
        }
    job = assemble(&b, sources);
    rc = check_size(job, err);
    if (rc)
        return rc;
    *ret = job;
    return 0;
}
