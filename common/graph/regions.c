/* regions.c - see regions.h: union-find over subtasks. Pure. */
#include "common/graph/regions.h"

#include "common/base/check.h"
#include "common/base/mem.h"

static bool pointwise(Rask__Graph__Partitioner p)
{
    return p == RASK__GRAPH__PARTITIONER__FORWARD || p == RASK__GRAPH__PARTITIONER__RESCALE;
}

void graph_edge_targets(Rask__Graph__Partitioner p, uint32_t source, uint32_t sources,
                        uint32_t targets, uint32_t *ret_first, uint32_t *ret_count)
{
    if (!pointwise(p)) {
        *ret_first = 0;
        *ret_count = targets;
    } else if (sources >= targets) {
        /* target j reads sources [j * sources / targets, (j + 1) * sources / targets) */
        uint32_t j = (uint32_t)((uint64_t)source * targets / sources);

        while ((uint64_t)(j + 1) * sources / targets <= source)
            j++;
        *ret_first = j;
        *ret_count = 1;
    } else {
        /* target j reads source j * sources / targets */
        uint32_t begin = (uint32_t)(((uint64_t)source * targets + sources - 1) / sources);
        uint32_t end = (uint32_t)(((uint64_t)(source + 1) * targets + sources - 1) / sources);

        *ret_first = begin;
        *ret_count = end - begin;
    }
}

static uint32_t root(uint32_t *parent, uint32_t at)
{
    while (parent[at] != at) {
        parent[at] = parent[parent[at]]; /* halves the way for the next one */
        at = parent[at];
    }
    return at;
}

/* The smaller number stays the root, so that it does not depend on the order of the edges. */
static void join(uint32_t *parent, uint32_t a, uint32_t b)
{
    a = root(parent, a);
    b = root(parent, b);
    if (a < b)
        parent[b] = a;
    else
        parent[a] = b;
}

static void join_edge(uint32_t *parent, const uint32_t *base, const Rask__Graph__JobGraph *job,
                      const Rask__Graph__JobEdge *e)
{
    uint32_t sources = job->vertices[e->source_vertex]->parallelism;
    uint32_t targets = job->vertices[e->target_vertex]->parallelism;
    uint32_t from = base[e->source_vertex], to = base[e->target_vertex], first, count;

    if (!pointwise(e->partitioner)) { /* all to all: each with the first of the other side */
        for (uint32_t s = 0; s < sources; s++)
            join(parent, from + s, to);
        for (uint32_t t = 0; t < targets; t++)
            join(parent, from, to + t);
        return;
    }
    for (uint32_t s = 0; s < sources; s++) {
        graph_edge_targets(e->partitioner, s, sources, targets, &first, &count);
        for (uint32_t t = first; t < first + count; t++)
            join(parent, from + s, to + t);
    }
}

static bool is_splits(const Rask__Graph__JobEdge *e)
{
    return e->partitioner == RASK__GRAPH__PARTITIONER__SPLITS;
}

/* The readers are one region anyway. */
static bool readers_are_one(uint32_t *parent, const uint32_t *base, const Rask__Graph__JobGraph *job,
                            const Rask__Graph__JobEdge *e)
{
    uint32_t first = base[e->target_vertex];

    for (uint32_t t = 1; t < job->vertices[e->target_vertex]->parallelism; t++)
        if (root(parent, first + t) != root(parent, first))
            return false;
    return true;
}

/* Enumerators that were not joined with their readers. */
static void find_splits(struct graph_regions *r, const Rask__Graph__JobGraph *job)
{
    uint32_t most = 0, *seen;

    for (size_t i = 0; i < job->n_edges; i++)
        most += is_splits(job->edges[i]) ? job->vertices[job->edges[i]->target_vertex]->parallelism : 0;
    r->splits = mem_alloc_array(most + 1, sizeof(*r->splits));
    seen = mem_alloc_array(r->count + 1, sizeof(*seen)); /* by region: who gives it splits, + 1, that was found last */
    for (uint32_t v = 0; v < r->vertex_count && most > 0; v++)
        for (size_t i = 0; i < job->n_edges; i++) {
            const Rask__Graph__JobEdge *e = job->edges[i];

            for (uint32_t t = 0; is_splits(e) && e->source_vertex == v && t < job->vertices[e->target_vertex]->parallelism; t++) {
                uint32_t readers = r->of[e->target_vertex][t];

                if (readers != r->of[v][0] && seen[readers] != v + 1)
                    r->splits[r->split_count++] = (struct graph_split_region){v, r->of[v][0], readers};
                seen[readers] = v + 1;
            }
        }
    mem_free(seen);
}

bool graph_gives_splits(const struct graph_regions *r, uint32_t vertex)
{
    for (uint32_t i = 0; i < r->split_count; i++)
        if (r->splits[i].vertex == vertex)
            return true;
    return false;
}

static void number(struct graph_regions *r, const Rask__Graph__JobGraph *job, uint32_t *parent,
                   const uint32_t *base, uint32_t total)
{
    uint32_t *region_of = mem_alloc_array(total + 1, sizeof(*region_of)); /* root -> region + 1 */

    for (uint32_t v = 0; v < r->vertex_count; v++) {
        uint32_t parallelism = job->vertices[v]->parallelism;

        r->of[v] = mem_alloc_array(parallelism + 1, sizeof(**r->of));
        for (uint32_t i = 0; i < parallelism; i++) {
            uint32_t at = root(parent, base[v] + i);

            if (region_of[at] == 0)
                region_of[at] = ++r->count;
            r->of[v][i] = region_of[at] - 1;
        }
    }
    mem_free(region_of);
    r->sizes = mem_alloc_array(r->count + 1, sizeof(*r->sizes));
    for (uint32_t v = 0; v < r->vertex_count; v++)
        for (uint32_t i = 0; i < job->vertices[v]->parallelism; i++)
            r->sizes[r->of[v][i]]++;
}

void graph_regions_init(struct graph_regions *r, const Rask__Graph__JobGraph *job)
{
    uint32_t *base = mem_alloc_array(job->n_vertices + 1, sizeof(*base)), *parent;
    uint32_t total = 0;

    *r = (struct graph_regions){.vertex_count = (uint32_t)job->n_vertices};
    for (uint32_t v = 0; v < r->vertex_count; v++) {
        base[v] = total;
        total += job->vertices[v]->parallelism;
    }
    parent = mem_alloc_array(total + 1, sizeof(*parent));
    for (uint32_t i = 0; i < total; i++)
        parent[i] = i;
    for (size_t i = 0; i < job->n_edges; i++)
        if (!is_splits(job->edges[i]))
            join_edge(parent, base, job, job->edges[i]);
    for (size_t i = 0; i < job->n_edges; i++)
        if (is_splits(job->edges[i]) && readers_are_one(parent, base, job, job->edges[i]))
            join_edge(parent, base, job, job->edges[i]);
    r->of = mem_alloc_array(r->vertex_count + 1, sizeof(*r->of));
    number(r, job, parent, base, total);
    find_splits(r, job);
    mem_free(parent);
    mem_free(base);
}

void graph_regions_release(struct graph_regions *r)
{
    for (uint32_t v = 0; r->of && v < r->vertex_count; v++)
        mem_free(r->of[v]);
    mem_free(r->of);
    mem_free(r->sizes);
    mem_free(r->splits);
    *r = (struct graph_regions){0};
}
