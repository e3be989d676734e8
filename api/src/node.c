/*
 * node.c - making operators (nodes) and the edges to them; schemas and code offsets on their way
 * into the graph.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>

#include "api/src/api_private.h"
#include "common/types/schema_proto.h"

const char *api_type_text(rask_env *env, const rask_field *field)
{
    struct bytes b;
    const char *text;

    bytes_init(&b);
    schema_format_type(field, &b);
    text = arena_strdup(&env->arena, (const char *)b.data);
    bytes_release(&b);
    return text;
}

char *api_schema_text(rask_env *env, const rask_schema *schema)
{
    struct bytes b;
    char *text;

    bytes_init(&b);
    schema_format(schema, &b);
    text = arena_dup(&env->arena, b.data ? b.data : (const uint8_t *)"", b.len + 1);
    bytes_release(&b);
    return text;
}

const char *api_from(const rask_stream *in)
{
    return in->part_count > 0 ? in->parts[0].node->pb.name : "?";
}

bool api_check_csv(rask_env *env, const char *where, const rask_schema *schema)
{
    for (uint32_t i = 0; i < schema->columns; i++) {
        const rask_field *f = &schema->fields[i];

        if (schema_fits_csv(f))
            continue;
        api_fail(env, ERR_UNSUPPORTED,
                 "%s: column '%s' is of type %s; a field of a csv file holds a plain type, or an ARRAY "
                 "or ROW of plain types",
                 where, f->name, api_type_text(env, f));
        return false;
    }
    return true;
}

bool api_check_schema(rask_env *env, const char *where, const rask_schema *schema)
{
    struct err err = {0};

    if (!schema)
        api_fail(env, ERR_INVALID, "%s: the schema is NULL", where);
    else if (schema->abi != RASK_ABI)
        api_fail(env, ERR_VERSION,
                 "%s: the schema was made for version %u of the API, this engine has version %d",
                 where, schema->abi, RASK_ABI);
    else if (schema_validate(schema, where, &err) != 0)
        api_fail(env, err.code, "%s", err.text);
    return env->error.code == 0;
}

/* ---- nodes ---- */

void api_node_name(struct node *node, const char *name)
{
    rask_env *env = node->env;

    switch (node->name_form) {
    case NAME_PLAIN:
        node->pb.name = arena_strdup(&env->arena, name);
        break;
    case NAME_SOURCE:
        node->pb.name = api_printf(env, "Source: %s", name);
        break;
    case NAME_SINK:
        node->pb.name = api_printf(env, "Sink: %s", name);
        break;
    case NAME_WRITER:
        node->pb.name = api_printf(env, "%s: Writer", name);
        break;
    }
}

struct node *api_node(rask_env *env, const char *fn, const char *type, enum name_form form,
                      const char *name, const char *fallback)
{
    struct node *n = arena_alloc(&env->arena, sizeof(*n));

    n->env = env;
    n->made_by = fn;
    n->name_form = form;
    rask__graph__stream_node__init(&n->pb);
    n->pb.op = arena_alloc(&env->arena, sizeof(*n->pb.op));
    rask__graph__operator_spec__init(n->pb.op);
    n->pb.op->type = arena_strdup(&env->arena, type);
    api_node_name(n, name && name[0] ? name : fallback);
    n->pb.id = (uint32_t)env->graph.n_nodes + 1;
    return n;
}

void api_node_property(struct node *node, const char *key, const char *value)
{
    Rask__Graph__OperatorSpec *op = node->pb.op;
    struct arena *arena = &node->env->arena;
    Rask__Graph__Property **grown = arena_alloc(arena, (op->n_properties + 1) * sizeof(*grown));

    if (op->n_properties > 0)
        memcpy(grown, op->properties, op->n_properties * sizeof(*grown));
    grown[op->n_properties] = arena_alloc(arena, sizeof(**grown));
    rask__graph__property__init(grown[op->n_properties]);
    grown[op->n_properties]->key = arena_strdup(arena, key);
    grown[op->n_properties]->value = arena_strdup(arena, value);
    op->properties = grown;
    op->n_properties++;
}

void api_node_property_i64(struct node *node, const char *key, int64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRId64, value);
    api_node_property(node, key, text);
}

bool api_code(rask_env *env, const char *where, const char *what, const void *pointer,
              uint64_t *ret_offset)
{
    Dl_info found = {0};

    if (!pointer) {
        api_fail(env, ERR_INVALID, "%s: %s is NULL", where, what);
        return false;
    }
    if (env->offset_of && env->has_artifact && env->offset_of(env->offset_arg, pointer, ret_offset))
        return true;
    (void)dladdr(pointer, &found);
    api_fail(
        env, ERR_INVALID,
        "%s: %s%s%s%s is not a static function or object of the job's own file%s%s: the cluster could not find it",
        where, what, found.dli_sname ? " '" : "", found.dli_sname ? found.dli_sname : "",
        found.dli_sname ? "'" : "", found.dli_fname ? "; it lies in " : "",
        found.dli_fname ? found.dli_fname : "");
    return false;
}

bool api_node_code(struct node *node, const char *what, const void *pointer)
{
    Rask__Graph__OperatorSpec *op = node->pb.op;
    char *where = api_printf(node->env, "%s: operator '%s'", node->made_by, node->pb.name);

    if (!api_code(node->env, where, what, pointer, &op->code))
        return false;
    op->has_code = true;
    op->has_artifact = true;
    op->artifact.len = sizeof(node->env->artifact);
    op->artifact.data = node->env->artifact;
    return true;
}

void api_node_out(struct node *node, const rask_schema *out)
{
    node->out = schema_copy(&node->env->arena, out);
    node->pb.out = schema_to_proto(&node->env->arena, out);
}

void api_node_keyed(struct node *node, const rask_stream *in, uint32_t input)
{
    uint32_t *columns = arena_dup(&node->env->arena, in->keys, in->key_count * sizeof(*columns));

    if (input == 0) {
        node->pb.key_columns = columns;
        node->pb.n_key_columns = in->key_count;
    } else {
        node->pb.key_columns2 = columns;
        node->pb.n_key_columns2 = in->key_count;
    }
}

/* ---- edges ---- */

static void add_edge(rask_env *env, Rask__Graph__StreamEdge *edge)
{
    Rask__Graph__StreamGraph *g = &env->graph;

    if (g->n_edges == GRAPH_EDGES_MAX) {
        api_fail(env, ERR_LIMIT, "the job has more than %d edges between operators",
                 GRAPH_EDGES_MAX);
        return;
    }
    if (g->n_edges == env->edge_cap) {
        env->edge_cap = env->edge_cap ? 2 * env->edge_cap : 16;
        g->edges = mem_realloc(g->edges, env->edge_cap * sizeof(*g->edges));
    }
    g->edges[g->n_edges++] = edge;
}

void api_node_connect(struct node *node, rask_stream *in, uint32_t input)
{
    rask_env *env = node->env;

    if (input == 0)
        node->pb.in = schema_to_proto(&env->arena, in->schema);
    else
        node->pb.in2 = schema_to_proto(&env->arena, in->schema);
    for (uint32_t i = 0; i < in->part_count; i++) {
        Rask__Graph__StreamEdge *e = arena_alloc(&env->arena, sizeof(*e));
        struct part *p = &in->parts[i];

        rask__graph__stream_edge__init(e);
        e->source = p->node->pb.id;
        e->target = node->pb.id;
        e->has_input = true;
        e->input = input;
        e->has_side = true;
        e->side = p->side;
        e->partitioner = p->partitioner;
        e->custom = p->custom;
        if (p->partitioner == RASK__GRAPH__PARTITIONER__HASH) {
            e->key_columns = p->keys;
            e->n_key_columns = p->key_count;
        }
        p->node->consumed = true;
        add_edge(env, e);
    }
}

rask_stream *api_finish(struct node *node)
{
    rask_env *env = node->env;
    Rask__Graph__StreamGraph *g = &env->graph;
    rask_stream *s;

    if (env->error.code)
        return &env->broken;
    if (g->n_nodes == GRAPH_NODES_MAX)
        return api_fail(env, ERR_LIMIT, "%s: the job has more than %d operators", node->made_by,
                        GRAPH_NODES_MAX);
    if (g->n_nodes == env->node_cap) {
        env->node_cap = env->node_cap ? 2 * env->node_cap : 16;
        g->nodes = mem_realloc(g->nodes, env->node_cap * sizeof(*g->nodes));
        env->nodes = mem_realloc(env->nodes, env->node_cap * sizeof(*env->nodes));
    }
    CHECK(node->pb.id == g->n_nodes + 1);
    env->nodes[g->n_nodes] = node;
    g->nodes[g->n_nodes++] = &node->pb;
    s = arena_alloc(&env->arena, sizeof(*s));
    s->env = env;
    s->schema = node->out;
    s->parts = arena_alloc(&env->arena, sizeof(*s->parts));
    s->part_count = 1;
    s->parts[0] =
        (struct part){.node = node, .side = -1, .partitioner = RASK__GRAPH__PARTITIONER__UNSET};
    return s;
}

rask_stream *api_virtual(const rask_stream *in, const char *fn)
{
    rask_stream *s = arena_alloc(&in->env->arena, sizeof(*s));

    *s = *in;
    s->virtual_by = fn;
    s->parts = arena_dup(&in->env->arena, in->parts, in->part_count * sizeof(*s->parts));
    return s;
}
