/*
 * decide.c - what a program left open: parallelism, slot groups, partitioners, operator ids; and
 * Flink's conditions for chaining two operators.
 *
 * Operator ids tie state to operators over versions of a program.  With a uid: the hash of the uid.
 * Without: the hash of the operator's type, of its inputs' ids, and of a counter among operators
 * for which these are equal.  So names and unrelated branches do not matter; inserting an operator
 * changes the ids of everything behind it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/graph/graph_private.h"
#include "common/types/key_bytes.h"

void graph_hash_id(char kind, const void *data, size_t len, uint8_t ret[GRAPH_ID_LEN])
{
    struct bytes b;
    uint8_t full[32];

    bytes_init(&b);
    bytes_add_u8(&b, (uint8_t)kind);
    bytes_add(&b, data, len);
    hash_sha256(b.data, b.len, full);
    memcpy(ret, full, GRAPH_ID_LEN);
    bytes_release(&b);
}

static const char *config_get(const Rask__Graph__StreamGraph *g, const char *key)
{
    for (size_t i = g->n_config; i > 0; i--)
        if (strcmp(g->config[i - 1]->key, key) == 0)
            return g->config[i - 1]->value;
    return NULL;
}

/* An option that the program set: 1 .. 32768; 0: not set. */
static int config_parallelism(const Rask__Graph__StreamGraph *g, const char *key, uint32_t *ret,
                              struct err *err)
{
    const char *text = config_get(g, key);
    char *end;
    long n;

    *ret = 0;
    if (!text || strcmp(text, "-1") == 0)
        return 0;
    errno = 0;
    n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < 1 || n > GRAPH_PARALLELISM_MAX)
        return err_set(err, ERR_INVALID, "option %s of the program: '%.40s' is not within 1 .. %d",
                       key, text, GRAPH_PARALLELISM_MAX);
    *ret = (uint32_t)n;
    return 0;
}

static bool config_false(const Rask__Graph__StreamGraph *g, const char *key)
{
    const char *text = config_get(g, key);

    return text && strcmp(text, "false") == 0;
}

/* Operator, then program, then client, then configuration. */
static int decide_parallelism(struct decision *d, const struct graph_options *o, struct err *err)
{
    const Rask__Graph__StreamGraph *g = d->graph;
    uint32_t fallback, max_fallback;
    int rc = config_parallelism(g, "parallelism.default", &fallback, err);

    if (rc == 0)
        rc = config_parallelism(g, "pipeline.max-parallelism", &max_fallback, err);
    if (rc)
        return rc;
    if (g->has_parallelism)
        fallback = g->parallelism;
    else if (fallback == 0)
        fallback = o->client_parallelism ? o->client_parallelism : MAX(o->default_parallelism, 1u);
    if (g->has_max_parallelism)
        max_fallback = g->max_parallelism;
    else if (max_fallback == 0)
        max_fallback = o->max_parallelism;
    if (fallback > GRAPH_PARALLELISM_MAX || max_fallback > GRAPH_PARALLELISM_MAX)
        return err_set(err, ERR_INVALID,
                       "parallelism %u, max parallelism %u: at most %d is possible", fallback,
                       max_fallback, GRAPH_PARALLELISM_MAX);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const Rask__Graph__StreamNode *n = g->nodes[i];
        struct decided *x = &d->nodes[i];

        x->parallelism = n->has_parallelism ? n->parallelism : fallback;
        x->max_parallelism = n->has_max_parallelism ? n->max_parallelism
                             : max_fallback         ? max_fallback
                                                    : key_group_default_max(x->parallelism);
        if (x->parallelism > x->max_parallelism)
            return err_set(
                err, ERR_INVALID,
                "operator '%.100s': parallelism %u is greater than its max parallelism %u; lower it "
                "(-p, parallelism.default), or raise the maximum (pipeline.max-parallelism)",
                n->name,
                x->parallelism, x->max_parallelism);
    }
    return 0;
}

static void list_edges(struct decision *d, struct arena *arena)
{
    const Rask__Graph__StreamGraph *g = d->graph;

    for (size_t i = 0; i < g->n_edges; i++) {
        d->nodes[g->edges[i]->target - 1].in_count++;
        d->nodes[g->edges[i]->source - 1].out_count++;
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        d->nodes[i].in = arena_alloc(arena, (d->nodes[i].in_count + 1) * sizeof(uint32_t));
        d->nodes[i].out = arena_alloc(arena, (d->nodes[i].out_count + 1) * sizeof(uint32_t));
        d->nodes[i].in_count = d->nodes[i].out_count = 0;
    }
    /* the first inputs of a node before the second ones */
    for (uint32_t input = 0; input < 2; input++)
        for (uint32_t i = 0; i < g->n_edges; i++)
            if (g->edges[i]->input == input) {
                struct decided *to = &d->nodes[g->edges[i]->target - 1];

                to->in[to->in_count++] = i;
            }
    for (uint32_t i = 0; i < g->n_edges; i++) {
        struct decided *from = &d->nodes[g->edges[i]->source - 1];

        from->out[from->out_count++] = i;
    }
}

static int decide_partitioners(struct decision *d, struct arena *arena, struct err *err)
{
    const Rask__Graph__StreamGraph *g = d->graph;

    d->partitioners = arena_alloc(arena, (g->n_edges + 1) * sizeof(*d->partitioners));
    for (size_t i = 0; i < g->n_edges; i++) {
        const Rask__Graph__StreamEdge *e = g->edges[i];
        uint32_t from = d->nodes[e->source - 1].parallelism,
                 to = d->nodes[e->target - 1].parallelism;

        d->partitioners[i] = e->partitioner;
        if (e->partitioner == RASK__GRAPH__PARTITIONER__UNSET)
            d->partitioners[i] = from == to ? RASK__GRAPH__PARTITIONER__FORWARD
                                            : RASK__GRAPH__PARTITIONER__REBALANCE;
        else if (e->partitioner == RASK__GRAPH__PARTITIONER__FORWARD && from != to)
            return err_set(
                err, ERR_INVALID,
                "forward needs equal parallelism: '%.100s' has %u, '%.100s' has %u; use rebalance, rescale, "
                "shuffle, broadcast or global",
                g->nodes[e->source - 1]->name, from, g->nodes[e->target - 1]->name, to);
    }
    return 0;
}

/* Inherited when all inputs agree. */
static void decide_slot_groups(struct decision *d)
{
    const Rask__Graph__StreamGraph *g = d->graph;

    for (size_t i = 0; i < g->n_nodes; i++) {
        struct decided *x = &d->nodes[i];
        const char *group = NULL;

        for (uint32_t k = 0; k < x->in_count; k++) {
            const char *of_input = d->nodes[g->edges[x->in[k]]->source - 1].slot_group;

            if (group && strcmp(group, of_input) != 0)
                of_input = "default";
            group = of_input;
        }
        x->slot_group = g->nodes[i]->slot_group ? g->nodes[i]->slot_group
                        : group                 ? group
                                                : "default";
    }
}

static void topology_bytes(const struct decision *d, size_t i, struct bytes *out)
{
    const Rask__Graph__StreamGraph *g = d->graph;
    const struct decided *x = &d->nodes[i];

    bytes_clear(out);
    bytes_add_str(out, g->nodes[i]->op->type);
    bytes_add_u8(out, 0);
    bytes_add_u32(out, x->in_count);
    for (uint32_t k = 0; k < x->in_count; k++) {
        const Rask__Graph__StreamEdge *e = g->edges[x->in[k]];

        bytes_add_u32(out, e->input);
        bytes_add_u32(out, (uint32_t)e->side);
        bytes_add(out, d->nodes[e->source - 1].id, GRAPH_ID_LEN);
    }
}

static int decide_ids(struct decision *d, struct arena *arena, struct err *err)
{
    const Rask__Graph__StreamGraph *g = d->graph;
    struct map *alike = map_new(), *ids = map_new();
    struct bytes b;
    int rc = 0;

    bytes_init(&b);
    for (size_t i = 0; i < g->n_nodes && rc == 0; i++) {
        const Rask__Graph__StreamNode *n = g->nodes[i], *other;
        struct decided *x = &d->nodes[i];

        if (n->uid) {
            graph_hash_id('U', n->uid, strlen(n->uid), x->id);
        } else {
            uint32_t *count;

            topology_bytes(d, i, &b);
            count = map_get(alike, b.data, b.len);
            if (!count) {
                count = arena_alloc(arena, sizeof(*count));
                map_put(alike, b.data, b.len, count);
            }
            bytes_add_u32(&b, (*count)++);
            graph_hash_id('T', b.data, b.len, x->id);
        }
        other = map_put(ids, x->id, GRAPH_ID_LEN, g->nodes[i]);
        if (other)
            rc = err_set(err, ERR_INVALID,
                         "operators '%.100s' (%u) and '%.100s' (%u) have the same id", other->name,
                         other->id, n->name, n->id);
    }
    bytes_release(&b);
    map_free(alike);
    map_free(ids);
    return rc;
}

int graph_decide(const Rask__Graph__StreamGraph *graph, const struct graph_options *options,
                 struct arena *arena, struct decision *ret, struct err *err)
{
    int rc;

    *ret = (struct decision){.graph = graph};
    ret->nodes = arena_alloc(arena, graph->n_nodes * sizeof(*ret->nodes));
    ret->chaining = !options->chaining_disabled &&
                    !config_false(graph, "pipeline.operator-chaining.enabled") &&
                    !config_false(graph, "pipeline.operator-chaining");
    ret->chain_different_max = !config_false(
        graph, "pipeline.operator-chaining.chain-operators-with-different-max-parallelism");
    rc = decide_parallelism(ret, options, err);
    if (rc)
        return rc;
    list_edges(ret, arena);
    rc = decide_partitioners(ret, arena, err);
    if (rc)
        return rc;
    decide_slot_groups(ret);
    return decide_ids(ret, arena, err);
}

bool graph_chainable(const struct decision *d, uint32_t edge)
{
    const Rask__Graph__StreamEdge *e = d->graph->edges[edge];
    const Rask__Graph__StreamNode *up = d->graph->nodes[e->source - 1],
                                  *down = d->graph->nodes[e->target - 1];
    const struct decided *from = &d->nodes[e->source - 1], *to = &d->nodes[e->target - 1];

    return d->chaining && to->in_count == 1 && strcmp(from->slot_group, to->slot_group) == 0 &&
           up->chaining != RASK__GRAPH__CHAINING__NEVER &&
           down->chaining == RASK__GRAPH__CHAINING__ALWAYS &&
           from->parallelism == to->parallelism &&
           (d->chain_different_max || from->max_parallelism == to->max_parallelism) &&
           d->partitioners[edge] == RASK__GRAPH__PARTITIONER__FORWARD;
}
