/* scheduler.c - slot sharing groups and preferred locations. Pure; no thread of its own. */
#include "jobmanager/scheduler/scheduler.h"

#include "common/base/check.h"
#include "common/base/map.h"
#include "common/base/mem.h"

#define NONE UINT32_MAX

struct group {
    uint32_t width; /* slots it needs */
    uint32_t *slots;
};
struct scheduler {
    const Rask__Graph__JobGraph *job;
    const uint32_t *slot_host;
    uint32_t *free_next;     /* by slot: next free one on the same host */
    uint32_t *host_first;    /* by host: first free slot */
    bool *taken;             /* by slot */
    uint32_t cursor;         /* all slots below are taken */
    struct map *names;       /* slot group -> struct group */
    struct group **group_of; /* by vertex */
};

static void find_groups(struct scheduler *s)
{
    for (size_t v = 0; v < s->job->n_vertices; v++) {
        const Rask__Graph__JobVertex *vertex = s->job->vertices[v];
        struct group *g = map_get_str(s->names, vertex->slot_group);

        if (!g) {
            g = MEM_NEW(struct group);
            map_put_str(s->names, vertex->slot_group, g);
        }
        g->width = MAX(g->width, vertex->parallelism);
        s->group_of[v] = g;
    }
}

/* Slots of one host form a list, in ascending order. */
static void list_slots(struct scheduler *s, uint32_t slot_count, uint32_t host_count)
{
    for (uint32_t h = 0; h < host_count; h++)
        s->host_first[h] = NONE;
    for (uint32_t i = slot_count; i-- > 0;) {
        uint32_t host = s->slot_host[i];

        CHECK(host < host_count);
        s->free_next[i] = s->host_first[host];
        s->host_first[host] = i;
    }
}

static uint32_t take_on(struct scheduler *s, uint32_t host)
{
    while (s->host_first[host] != NONE && s->taken[s->host_first[host]])
        s->host_first[host] = s->free_next[s->host_first[host]];
    if (s->host_first[host] == NONE)
        return NONE;
    s->taken[s->host_first[host]] = true;
    return s->host_first[host];
}

static uint32_t take_any(struct scheduler *s, uint32_t slot_count)
{
    while (s->cursor < slot_count && s->taken[s->cursor])
        s->cursor++;
    CHECK(s->cursor < slot_count);
    s->taken[s->cursor] = true;
    return s->cursor++;
}

/* Group that feeds g over a FORWARD edge and is placed already. */
static const struct group *upstream_of(struct scheduler *s, const struct group *g)
{
    for (size_t e = 0; e < s->job->n_edges; e++) {
        const Rask__Graph__JobEdge *edge = s->job->edges[e];
        const struct group *from = s->group_of[edge->source_vertex];

        if (edge->partitioner == RASK__GRAPH__PARTITIONER__FORWARD &&
            s->group_of[edge->target_vertex] == g && from != g && from->slots)
            return from;
    }
    return NULL;
}

static void place_group(struct scheduler *s, struct group *g, uint32_t slot_count)
{
    const struct group *from = upstream_of(s, g);

    g->slots = mem_alloc_array(g->width, sizeof(*g->slots));
    for (uint32_t i = 0; i < g->width; i++)
        g->slots[i] = from && i < from->width ? take_on(s, s->slot_host[from->slots[i]]) : NONE;
    for (uint32_t i = 0; i < g->width; i++)
        if (g->slots[i] == NONE)
            g->slots[i] = take_any(s, slot_count);
}

void jm_schedule_make(const Rask__Graph__JobGraph *job, const uint32_t *slot_host,
                      uint32_t slot_count, uint32_t host_count, struct jm_schedule *ret)
{
    struct scheduler s = {.job = job, .slot_host = slot_host, .names = map_new()};

    s.free_next = mem_alloc_array(slot_count, sizeof(*s.free_next));
    s.host_first = mem_alloc_array(host_count, sizeof(*s.host_first));
    s.taken = mem_alloc_array(slot_count, sizeof(*s.taken));
    s.group_of = mem_alloc_array(job->n_vertices, sizeof(struct group *));
    find_groups(&s);
    list_slots(&s, slot_count, host_count);
    for (struct map_iter it = map_iter(s.names); map_next(&it);)
        place_group(&s, it.value, slot_count);

    ret->vertex_count = (uint32_t)job->n_vertices;
    ret->slot_of = mem_alloc_array(job->n_vertices, sizeof(uint32_t *));
    for (size_t v = 0; v < job->n_vertices; v++) {
        uint32_t parallelism = job->vertices[v]->parallelism;

        ret->slot_of[v] = mem_alloc_array(parallelism, sizeof(uint32_t));
        for (uint32_t i = 0; i < parallelism; i++)
            ret->slot_of[v][i] = s.group_of[v]->slots[i];
    }
    for (struct map_iter it = map_iter(s.names); map_next(&it);) {
        mem_free(((struct group *)it.value)->slots);
        mem_free(it.value);
    }
    map_free(s.names);
    mem_free(s.free_next);
    mem_free(s.host_first);
    mem_free(s.taken);
    mem_free(s.group_of);
}

void jm_schedule_release(struct jm_schedule *schedule)
{
    for (uint32_t v = 0; v < schedule->vertex_count; v++)
        mem_free(schedule->slot_of[v]);
    mem_free(schedule->slot_of);
    *schedule = (struct jm_schedule){0};
}
