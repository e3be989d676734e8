/*
 * project.c - rask_project, and which columns of each source anybody reads.
 *
 * What a function does with its rows is not known, so it reads every column that it is given; a projection reads those that
 * it keeps, and only as far as those behind it read them.  Thread: the one that builds the graph.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/src/api_private.h"

#define ALL UINT64_MAX

rask_stream *rask_project(rask_stream *in, const rask_schema *schema)
{
    const char *fn = "rask_project";
    struct node *n;
    struct bytes columns;

    if (!api_input(in, fn) || !api_check_schema(in->env, api_printf(in->env, "%s after '%s'", fn, api_from(in)), schema))
        return api_broken(in);
    bytes_init(&columns);
    for (uint32_t i = 0; i < schema->columns && in->env->error.code == 0; i++) {
        const rask_field *f = &schema->fields[i];
        int at = schema_column(in->schema, f->name);

        if (at < 0)
            api_fail(in->env, ERR_INVALID, "%s after '%s': there is no column '%s'; there are: %s", fn, api_from(in), f->name,
                     api_schema_text(in->env, in->schema));
        else if (!schema_field_equal(&in->schema->fields[at], f))
            api_fail(in->env, ERR_INVALID, "%s after '%s': column '%s' is of type %s, not %s", fn, api_from(in), f->name,
                     api_type_text(in->env, &in->schema->fields[at]), api_type_text(in->env, f));
        bytes_printf(&columns, "%s%d", i ? "," : "", at);
    }
    n = api_node(in->env, fn, OP_PROJECT, NAME_PLAIN, NULL, "Project");
    api_node_property(n, "columns", (const char *)columns.data);
    bytes_release(&columns);
    if (in->env->error.code)
        return api_broken(in);
    api_node_out(n, schema);
    api_node_connect(n, in, 0);
    return api_finish(n);
}

/* ---- who reads what ---- */

static const char *property(const struct node *n, const char *key)
{
    for (size_t i = 0; i < n->pb.op->n_properties; i++)
        if (strcmp(n->pb.op->properties[i]->key, key) == 0)
            return n->pb.op->properties[i]->value;
    return "";
}

static uint64_t project_reads(const struct node *n, uint64_t wanted)
{
    uint64_t reads = 0;
    char *rest = (char *)(uintptr_t)property(n, "columns");

    for (uint32_t i = 0; *rest && i < RASK_COLUMNS_MAX; i++, rest += *rest == ',')
        reads |= (wanted >> i & 1) << (strtoul(rest, &rest, 10) & 63);
    return reads;
}

/* Columns of its input that an operator reads, when `wanted` of its output are. */
static uint64_t reads_of(const struct node *n, const struct node *from, uint64_t wanted)
{
    const char *type = n->pb.op->type;

    if (strcmp(type, OP_PROJECT) == 0)
        return project_reads(n, wanted);
    if (strcmp(type, OP_EVENT_TIME) == 0)
        return wanted | UINT64_C(1) << schema_column(from->out, property(n, "column"));
    if (strcmp(type, OP_SINK) == 0 && strcmp(property(n, "connector"), "discard") == 0)
        return 0;
    return ALL;
}

static uint64_t edge_reads(const Rask__Graph__StreamEdge *e, uint64_t target_reads)
{
    uint64_t reads = e->partitioner == RASK__GRAPH__PARTITIONER__CUSTOM ? ALL : target_reads;

    for (size_t k = 0; k < e->n_key_columns; k++)
        reads |= UINT64_C(1) << (e->key_columns[k] & 63);
    return reads;
}

/* An operator's inputs were there before it: from the last to the first, its readers are known. */
void api_tell_sources(rask_env *env)
{
    size_t count = env->graph.n_nodes;
    uint64_t *wanted = mem_alloc_array(count + 1, sizeof(*wanted));
    char text[24];

    for (size_t i = count; i-- > 0;) {
        struct node *n = env->nodes[i];

        for (size_t k = 0; k < env->graph.n_edges; k++) {
            const Rask__Graph__StreamEdge *e = env->graph.edges[k];

            if (e->source == n->pb.id && e->side < 0)
                wanted[i] |= edge_reads(e, reads_of(env->nodes[e->target - 1], n, wanted[e->target - 1]));
        }
        if (strcmp(n->pb.op->type, OP_SOURCE) != 0 || !n->out)
            continue;
        snprintf(text, sizeof(text), "%llx", (unsigned long long)wanted[i]);
        if (~wanted[i] << (64 - n->out->columns))
            api_node_property(n, "wanted", text);
    }
    mem_free(wanted);
}
