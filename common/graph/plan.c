/*
 * plan.c - graphs as people see them: Flink's execution plan (`info`) and the plan object of the
 * REST API.
 */
#include <string.h>

#include "common/base/check.h"
#include "common/base/id.h"
#include "common/graph/graph_private.h"
#include "common/graph/ops.h"

const char *graph_partitioner_name(Rask__Graph__Partitioner partitioner)
{
    static const char *const names[] = {"FORWARD",   "REBALANCE", "RESCALE", "SHUFFLE", "HASH",
                                        "BROADCAST", "GLOBAL",    "CUSTOM",  "SPLITS",  "UNSET"};

    return (unsigned)partitioner < ARRAY_LEN(names) ? names[partitioner] : "?";
}

const Rask__Graph__StreamNode *graph_node(const Rask__Graph__StreamGraph *graph, uint32_t id)
{
    return id >= 1 && id <= graph->n_nodes ? graph->nodes[id - 1] : NULL;
}

uint32_t graph_slots(const Rask__Graph__JobGraph *job)
{
    uint32_t slots = 0;

    for (size_t i = 0; i < job->n_vertices; i++) {
        const Rask__Graph__JobVertex *v = job->vertices[i];
        uint32_t greatest_before = 0;

        for (size_t k = 0; k < i; k++)
            if (strcmp(job->vertices[k]->slot_group, v->slot_group) == 0)
                greatest_before = MAX(greatest_before, job->vertices[k]->parallelism);
        if (v->parallelism > greatest_before)
            slots += v->parallelism - greatest_before;
    }
    return slots;
}

/* ---- the execution plan, in Jackson's default form ---- */

static void add_quoted(struct bytes *out, const char *text)
{
    bytes_add_u8(out, '"');
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            bytes_printf(out, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            bytes_printf(out, "\\u%04X", (unsigned)*c);
        else
            bytes_add_u8(out, (uint8_t)*c);
    }
    bytes_add_u8(out, '"');
}

/* Operators, then writers, then plain sinks: where Flink's ids put them. */
static int order_class(const Rask__Graph__StreamNode *n)
{
    if (strcmp(n->op->type, OP_SINK) != 0)
        return 0;
    for (size_t i = 0; i < n->op->n_properties; i++)
        if (strcmp(n->op->properties[i]->key, "connector") == 0 &&
            strcmp(n->op->properties[i]->value, "print") == 0)
            return 2;
    return 1;
}

static const char *pact(const Rask__Graph__StreamNode *n)
{
    if (strcmp(n->op->type, OP_SOURCE) == 0)
        return "Data Source";
    return order_class(n) == 2 ? "Data Sink" : "Operator";
}

static void plan_node(const struct decision *d, size_t i, struct bytes *out)
{
    const Rask__Graph__StreamNode *n = d->graph->nodes[i];
    const struct decided *x = &d->nodes[i];

    bytes_printf(out, "{\n    \"id\" : %u,\n    \"type\" : ", n->id);
    add_quoted(out, n->name);
    bytes_printf(out, ",\n    \"pact\" : \"%s\",\n    \"contents\" : ", pact(n));
    add_quoted(out, n->name);
    bytes_printf(out, ",\n    \"parallelism\" : %u", x->parallelism);
    if (x->in_count > 0) {
        bytes_add_str(out, ",\n    \"predecessors\" : [ ");
        for (uint32_t k = 0; k < x->in_count; k++)
            bytes_printf(
                out,
                "%s{\n      \"id\" : %u,\n      \"ship_strategy\" : \"%s\",\n      \"side\" : \"second\"\n    }",
                k ? ", " : "", d->graph->edges[x->in[k]]->source,
                graph_partitioner_name(d->partitioners[x->in[k]]));
        bytes_add_str(out, " ]");
    }
    bytes_add_str(out, "\n  }");
}

int graph_plan_json(const Rask__Graph__StreamGraph *graph, const struct graph_options *options,
                    struct bytes *out, struct err *err)
{
    struct decision d;
    struct arena arena;
    bool first = true;
    int rc;

    arena_init(&arena);
    rc = graph_validate(graph, err);
    if (rc == 0)
        rc = graph_decide(graph, options, &arena, &d, err);
    if (rc == 0) {
        bytes_add_str(out, "{\n  \"nodes\" : [ ");
        for (int class = 0; class <= 2; class ++)
            for (size_t i = 0; i < graph->n_nodes; i++)
                if (order_class(graph->nodes[i]) == class) {
                    bytes_add_str(out, first ? "" : ", ");
                    first = false;
                    plan_node(&d, i, out);
                }
        bytes_add_str(out, " ]\n}");
    }
    arena_release(&arena);
    return rc;
}

/* ---- the plan of the REST API ---- */

static void add_html(struct bytes *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        switch (*c) {
        case '<':
            bytes_add_str(out, "&lt;");
            break;
        case '>':
            bytes_add_str(out, "&gt;");
            break;
        case '&':
            bytes_add_str(out, "&amp;");
            break;
        case '"':
            bytes_add_str(out, "&quot;");
            break;
        default:
            bytes_add_u8(out, (uint8_t)*c);
        }
    }
    bytes_add_str(out, "<br/>");
}

/*
 * The children of an operator, as a tree drawn with ":-" and "+-". prefix: what stands before them.
 */
static void describe(const Rask__Graph__JobGraph *job, const Rask__Graph__JobVertex *v,
                     int32_t parent, struct bytes *prefix, struct bytes *out)
{
    size_t last = 0, len = prefix->len;

    for (size_t i = 0; i < v->n_operators; i++)
        if (v->operators[i]->parent == parent)
            last = i;
    for (size_t i = 0; i < v->n_operators; i++) {
        if (v->operators[i]->parent != parent)
            continue;
        bytes_add(out, prefix->data, len);
        bytes_add_str(out, i == last ? "+- " : ":- ");
        add_html(out, graph_node(job->stream, v->operators[i]->node)->name);
        bytes_add_str(prefix, i == last ? "   " : ":  ");
        describe(job, v, (int32_t)i, prefix, out);
        prefix->len = len;
    }
}

void graph_vertex_description(const Rask__Graph__JobGraph *job, uint32_t vertex, struct bytes *out)
{
    const Rask__Graph__JobVertex *v = job->vertices[vertex];
    struct bytes prefix;

    bytes_init(&prefix);
    add_html(out, graph_node(job->stream, v->operators[0]->node)->name);
    describe(job, v, 0, &prefix, out);
    bytes_release(&prefix);
}

static const char *vertex_id(const Rask__Graph__JobVertex *v, char text[ID_TEXT_MAX])
{
    struct id id;

    CHECK(v->id.len == sizeof(id.bytes));
    memcpy(id.bytes, v->id.data, sizeof(id.bytes));
    return id_format(&id, text);
}

static void plan_inputs(const Rask__Graph__JobGraph *job, uint32_t vertex, struct json_writer *w)
{
    char id[ID_TEXT_MAX];
    int64_t num = 0;

    for (uint32_t input = 0; input < 2; input++)
        for (size_t i = 0; i < job->n_edges; i++) {
            const Rask__Graph__JobEdge *e = job->edges[i];

            if (e->target_vertex != vertex || e->input != input ||
                e->partitioner == RASK__GRAPH__PARTITIONER__SPLITS)
                continue;
            if (num == 0)
                jw_array(w, "inputs");
            jw_object(w, NULL);
            jw_int(w, "num", num++);
            jw_string(w, "id", vertex_id(job->vertices[e->source_vertex], id));
            jw_string(w, "ship_strategy", graph_partitioner_name(e->partitioner));
            jw_string(w, "exchange", "pipelined_bounded");
            jw_object_end(w);
        }
    if (num > 0)
        jw_array_end(w);
}

void graph_rest_plan_json(const Rask__Graph__JobGraph *job, const char *job_id,
                          struct json_writer *w, const char *key)
{
    char id[ID_TEXT_MAX];
    struct bytes text;

    bytes_init(&text);
    jw_object(w, key);
    jw_string(w, "jid", job_id);
    jw_string(w, "name", job->stream->job_name);
    jw_string(w, "type", "STREAMING");
    jw_array(w, "nodes");
    for (size_t i = job->n_vertices; i > 0; i--) {
        const Rask__Graph__JobVertex *v = job->vertices[i - 1];

        if (v->hidden)
            continue;
        bytes_clear(&text);
        graph_vertex_description(job, (uint32_t)(i - 1), &text);
        jw_object(w, NULL);
        jw_string(w, "id", vertex_id(v, id));
        jw_int(w, "parallelism", v->parallelism);
        jw_string(w, "operator", "");
        jw_string(w, "operator_strategy", "");
        jw_string_n(w, "description", (const char *)text.data, text.len);
        plan_inputs(job, (uint32_t)(i - 1), w);
        jw_object(w, "optimizer_properties");
        jw_object_end(w);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
    bytes_release(&text);
}
