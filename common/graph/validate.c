/*
 * validate.c - is a StreamGraph that somebody sent sound?  After this, every index in it may be
 * followed. Not here: what the code behind the operators does with its properties.
 */
#include <string.h>

#include "common/base/check.h"
#include "common/base/map.h"
#include "common/graph/graph_private.h"
#include "common/graph/ops.h"
#include "common/types/schema_proto.h"

#define PREFIX_MAX 32 /* "Source: " and the like, added to a name */
#define SIDES_MAX  64

struct check {
    const Rask__Graph__StreamGraph *graph;
    struct arena arena; /* schemas, for the time of the check */
    struct map *uids;
    struct shape *shapes; /* by node index */
    struct err *err;
};

/* What edges are held against. */
struct shape {
    const rask_schema *in, *in2, *out;
    const rask_schema **sides;
    uint32_t edges_in, edges_in2;
};

static int bad_node(struct check *c, const Rask__Graph__StreamNode *n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int bad_node(struct check *c, const Rask__Graph__StreamNode *n, const char *fmt, ...)
{
    va_list ap;
    int rc;

    va_start(ap, fmt);
    rc = err_vset(c->err, ERR_INVALID, fmt, ap);
    va_end(ap);
    if (c->err)
        err_wrap(c->err, "operator '%.100s' (%u)", n->name, n->id);
    return rc;
}

static int check_text(struct check *c, const char *what, const char *text, size_t max)
{
    size_t len = strlen(text);

    if (len == 0)
        return err_set(c->err, ERR_INVALID, "job graph: an empty %s", what);
    if (len > max)
        return err_set(c->err, ERR_LIMIT,
                       "job graph: the %s '%.40s...' has %zu bytes; at most %zu are possible", what,
                       text, len, max);
    return 0;
}

static int check_properties(struct check *c, const char *what, size_t n,
                            Rask__Graph__Property *const *properties)
{
    int rc = 0;

    if (n > GRAPH_PROPERTIES_MAX)
        return err_set(c->err, ERR_LIMIT, "job graph: %zu %s; at most %d are possible", n, what,
                       GRAPH_PROPERTIES_MAX);
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = check_text(c, what, properties[i]->key, GRAPH_NAME_MAX);
        if (rc == 0 && strlen(properties[i]->value) > GRAPH_ARGS_MAX)
            rc = err_set(c->err, ERR_LIMIT,
                         "job graph: %s: the value of '%s' has more than %u bytes", what,
                         properties[i]->key, GRAPH_ARGS_MAX);
    }
    return rc;
}

static int check_spec(struct check *c, const Rask__Graph__StreamNode *n,
                      const Rask__Graph__OperatorSpec *op)
{
    const Rask__Graph__StreamGraph *g = c->graph;
    int rc = check_text(c, "operator type", op->type, GRAPH_NAME_MAX);

    if (rc == 0)
        rc = check_properties(c, "operator properties", op->n_properties, op->properties);
    if (rc)
        return rc;
    if (op->has_artifact && op->artifact.len != 32)
        return bad_node(c, n, "the hash of its artifact has %zu bytes, not 32", op->artifact.len);
    if (op->has_code && !op->has_artifact)
        return bad_node(c, n, "has code without an artifact");
    if (op->has_artifact &&
        (!g->has_artifact || memcmp(op->artifact.data, g->artifact.data, 32) != 0))
        return bad_node(c, n, "its artifact is not that of the job");
    if (op->has_args && op->args.len > GRAPH_ARGS_MAX)
        return bad_node(c, n, "has %zu bytes of arguments; at most %u are possible", op->args.len,
                        GRAPH_ARGS_MAX);
    if (op->has_payload && op->payload.len > GRAPH_PAYLOAD_MAX)
        return bad_node(c, n, "has a payload of %zu bytes; at most %u are possible",
                        op->payload.len, GRAPH_PAYLOAD_MAX);
    if (op->n_schemas > SIDES_MAX)
        return bad_node(c, n, "has %zu side outputs; at most %d are possible", op->n_schemas,
                        SIDES_MAX);
    return 0;
}

static int check_parallelism(struct check *c, const Rask__Graph__StreamNode *n)
{
    if (n->has_parallelism && (n->parallelism < 1 || n->parallelism > GRAPH_PARALLELISM_MAX))
        return bad_node(c, n, "parallelism %u is not within 1 .. %d", n->parallelism,
                        GRAPH_PARALLELISM_MAX);
    if (n->has_max_parallelism &&
        (n->max_parallelism < 1 || n->max_parallelism > GRAPH_PARALLELISM_MAX))
        return bad_node(c, n, "max parallelism %u is not within 1 .. %d", n->max_parallelism,
                        GRAPH_PARALLELISM_MAX);
    if (n->has_parallelism && n->has_max_parallelism && n->parallelism > n->max_parallelism)
        return bad_node(c, n, "parallelism %u is greater than its max parallelism %u",
                        n->parallelism, n->max_parallelism);
    if (n->has_chaining && ((int)n->chaining < 0 || n->chaining > RASK__GRAPH__CHAINING__NEVER))
        return bad_node(c, n, "has the unknown chaining strategy %d", (int)n->chaining);
    if (n->has_buffer_timeout_ms && n->buffer_timeout_ms < -1)
        return bad_node(c, n, "its buffer timeout of %lld ms is negative",
                        (long long)n->buffer_timeout_ms);
    return 0;
}

static int check_columns(struct check *c, const Rask__Graph__StreamNode *n, const char *what,
                         size_t count, const uint32_t *columns, const rask_schema *schema)
{
    if (count == 0)
        return 0;
    if (!schema)
        return bad_node(c, n, "%s without a schema", what);
    if (count > schema->columns)
        return bad_node(c, n, "%s: %zu of them, but the schema '%s' has %u columns", what, count,
                        schema->name, schema->columns);
    for (size_t i = 0; i < count; i++) {
        if (columns[i] >= schema->columns)
            return bad_node(c, n, "%s: there is no column %u in the schema '%s', which has %u",
                            what, columns[i], schema->name, schema->columns);
        if (!schema_can_be_key(&schema->fields[columns[i]]))
            return bad_node(c, n, "%s: column '%s' is a MAP or holds one", what,
                            schema->fields[columns[i]].name);
    }
    return 0;
}

static int load_schema(struct check *c, const Rask__Graph__StreamNode *n, const char *which,
                       const Rask__Graph__Schema *message, const rask_schema **ret)
{
    int rc;

    *ret = NULL;
    if (!message)
        return 0;
    rc = schema_from_proto(&c->arena, message, ret, c->err);
    if (rc && c->err)
        err_wrap(c->err, "operator '%.100s' (%u): %s", n->name, n->id, which);
    return rc;
}

static int check_schemas(struct check *c, const Rask__Graph__StreamNode *n, struct shape *s)
{
    int rc = load_schema(c, n, "input", n->in, &s->in);

    if (rc == 0)
        rc = load_schema(c, n, "second input", n->in2, &s->in2);
    if (rc == 0)
        rc = load_schema(c, n, "output", n->out, &s->out);
    s->sides = arena_alloc(&c->arena, (n->op->n_schemas + 1) * sizeof(*s->sides));
    for (size_t i = 0; i < n->op->n_schemas && rc == 0; i++)
        rc = load_schema(c, n, "side output", n->op->schemas[i], &s->sides[i]);
    if (rc == 0)
        rc = check_columns(c, n, "key columns", n->n_key_columns, n->key_columns, s->in);
    if (rc == 0)
        rc = check_columns(c, n, "key columns of the second input", n->n_key_columns2,
                           n->key_columns2, s->in2);
    return rc;
}

static int check_node(struct check *c, size_t i)
{
    const Rask__Graph__StreamNode *n = c->graph->nodes[i], *other;
    int rc = check_text(c, "operator name", n->name, GRAPH_NAME_MAX + PREFIX_MAX);

    if (rc)
        return rc;
    if (n->id != i + 1)
        return bad_node(c, n, "has this id where %zu is due: ids are 1, 2, 3 ... in order", i + 1);
    rc = check_spec(c, n, n->op);
    if (rc == 0 && n->uid)
        rc = check_text(c, "uid", n->uid, GRAPH_NAME_MAX);
    if (rc == 0 && n->slot_group)
        rc = check_text(c, "slot sharing group", n->slot_group, GRAPH_NAME_MAX);
    if (rc == 0)
        rc = check_parallelism(c, n);
    if (rc == 0)
        rc = check_schemas(c, n, &c->shapes[i]);
    if (rc)
        return rc;
    if (n->has_operator_id && n->operator_id.len != 16)
        return bad_node(c, n, "its operator id has %zu bytes, not 16", n->operator_id.len);
    if (strcmp(n->op->type, OP_SOURCE) == 0 && !n->out)
        return bad_node(c, n, "is a source without an output schema");
    if (strcmp(n->op->type, OP_SINK) == 0 && n->out)
        return bad_node(c, n, "is a sink with an output schema");
    if (strcmp(n->op->type, OP_SOURCE_ENUMERATOR) == 0)
        return bad_node(c, n, "is of the type '%s', which only the engine makes",
                        OP_SOURCE_ENUMERATOR);
    other = n->uid ? map_put_str(c->uids, n->uid, c->graph->nodes[i]) : NULL;
    if (other)
        return bad_node(c, n, "has the uid '%s' of operator '%.100s' (%u); each needs its own",
                        n->uid, other->name, other->id);
    return 0;
}

static int check_edge(struct check *c, const Rask__Graph__StreamEdge *e)
{
    const Rask__Graph__StreamGraph *g = c->graph;
    const Rask__Graph__StreamNode *from, *to;
    const rask_schema *given, *taken;
    struct bytes a, b;

    if (e->source < 1 || e->source > g->n_nodes || e->target < 1 || e->target > g->n_nodes)
        return err_set(c->err, ERR_INVALID,
                       "job graph: an edge leads from %u to %u; the operators are 1 .. %zu",
                       e->source, e->target, g->n_nodes);
    from = g->nodes[e->source - 1];
    to = g->nodes[e->target - 1];
    if (e->source >= e->target)
        return bad_node(c, to,
                        "its input '%.100s' (%u) comes after it: the graph would have a cycle",
                        from->name, from->id);
    if (e->input > 1)
        return bad_node(c, to, "has no input %u", e->input);
    if (e->side < -1 || (e->side >= 0 && (size_t)e->side >= from->op->n_schemas))
        return bad_node(c, from, "has no side output %d", e->side);
    given = e->side < 0 ? c->shapes[e->source - 1].out : c->shapes[e->source - 1].sides[e->side];
    taken = e->input == 0 ? c->shapes[e->target - 1].in : c->shapes[e->target - 1].in2;
    if (!given)
        return bad_node(c, from, "has no output, but '%.100s' (%u) reads from it", to->name,
                        to->id);
    if (!taken)
        return bad_node(c, to, "has no schema for its input %u", e->input);
    if (!schema_equal(given, taken)) {
        bytes_init(&a);
        bytes_init(&b);
        schema_format(taken, &a);
        schema_format(given, &b);
        (void)bad_node(c, to, "takes (%.300s), but '%.100s' (%u) gives (%.300s)",
                       (const char *)a.data, from->name, from->id, (const char *)b.data);
        bytes_release(&a);
        bytes_release(&b);
        return ERR_INVALID;
    }
    if (e->input == 0)
        c->shapes[e->target - 1].edges_in++;
    else
        c->shapes[e->target - 1].edges_in2++;
    if ((int)e->partitioner < 0 || e->partitioner > RASK__GRAPH__PARTITIONER__UNSET ||
        e->partitioner == RASK__GRAPH__PARTITIONER__SPLITS)
        return bad_node(c, to, "an input has the partitioner %d, which is none",
                        (int)e->partitioner);
    if ((e->partitioner == RASK__GRAPH__PARTITIONER__HASH) != (e->n_key_columns > 0))
        return bad_node(c, to, "an input has %zu key columns and the partitioner %s",
                        e->n_key_columns, graph_partitioner_name(e->partitioner));
    if ((e->partitioner == RASK__GRAPH__PARTITIONER__CUSTOM) !=
        (e->custom != NULL && e->custom->has_code))
        return bad_node(c, to, "an input with the partitioner %s has %s partition function",
                        graph_partitioner_name(e->partitioner), e->custom ? "a" : "no");
    if (e->custom && check_spec(c, to, e->custom) != 0)
        return ERR_INVALID;
    return check_columns(c, to, "key columns of an input", e->n_key_columns, e->key_columns, given);
}

static int check_inputs(struct check *c, size_t i)
{
    const Rask__Graph__StreamNode *n = c->graph->nodes[i];
    const struct shape *s = &c->shapes[i];
    bool source = strcmp(n->op->type, OP_SOURCE) == 0;

    if (source && s->edges_in + s->edges_in2 > 0)
        return bad_node(c, n, "is a source and has inputs");
    if (!source && s->edges_in == 0)
        return bad_node(c, n, "has no input");
    if (!source && s->in2 && s->edges_in2 == 0)
        return bad_node(c, n, "has nothing at its second input");
    return 0;
}

static int check_job(struct check *c)
{
    const Rask__Graph__StreamGraph *g = c->graph;
    int rc = check_text(c, "job name", g->job_name, GRAPH_NAME_MAX);

    if (rc == 0)
        rc = check_properties(c, "options", g->n_config, g->config);
    if (rc == 0)
        rc = check_properties(c, "parameters", g->n_params, g->params);
    if (rc)
        return rc;
    if (g->n_nodes == 0)
        return err_set(c->err, ERR_INVALID, "the job has no operators: nothing to run");
    if (g->n_nodes > GRAPH_NODES_MAX)
        return err_set(c->err, ERR_LIMIT, "the job has %zu operators; at most %d are possible",
                       g->n_nodes, GRAPH_NODES_MAX);
    if (g->n_edges > GRAPH_EDGES_MAX)
        return err_set(c->err, ERR_LIMIT, "the job has %zu edges; at most %d are possible",
                       g->n_edges, GRAPH_EDGES_MAX);
    if (g->has_parallelism && (g->parallelism < 1 || g->parallelism > GRAPH_PARALLELISM_MAX))
        return err_set(c->err, ERR_INVALID, "the job's parallelism %u is not within 1 .. %d",
                       g->parallelism, GRAPH_PARALLELISM_MAX);
    if (g->has_max_parallelism &&
        (g->max_parallelism < 1 || g->max_parallelism > GRAPH_PARALLELISM_MAX))
        return err_set(c->err, ERR_INVALID, "the job's max parallelism %u is not within 1 .. %d",
                       g->max_parallelism, GRAPH_PARALLELISM_MAX);
    if (g->has_artifact && g->artifact.len != 32)
        return err_set(c->err, ERR_INVALID, "the hash of the job's artifact has %zu bytes, not 32",
                       g->artifact.len);
    if (g->has_job_id && g->job_id.len != 16)
        return err_set(c->err, ERR_INVALID, "the job id has %zu bytes, not 16", g->job_id.len);
    if (g->artifact_name && strlen(g->artifact_name) > GRAPH_NAME_MAX)
        return err_set(c->err, ERR_LIMIT, "the artifact's name has more than %d bytes",
                       GRAPH_NAME_MAX);
    return 0;
}

int graph_validate(const Rask__Graph__StreamGraph *graph, struct err *err)
{
    struct err local = {0};
    struct check c = {.graph = graph, .err = err ? err : &local};
    int rc = check_job(&c);

    if (rc)
        return rc;
    arena_init(&c.arena);
    c.uids = map_new();
    c.shapes = arena_alloc(&c.arena, graph->n_nodes * sizeof(*c.shapes));
    for (size_t i = 0; i < graph->n_nodes && rc == 0; i++)
        rc = check_node(&c, i);
    for (size_t i = 0; i < graph->n_edges && rc == 0; i++)
        rc = check_edge(&c, graph->edges[i]);
    for (size_t i = 0; i < graph->n_nodes && rc == 0; i++)
        rc = check_inputs(&c, i);
    map_free(c.uids);
    arena_release(&c.arena);
    return rc;
}
