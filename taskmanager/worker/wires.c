/*
 * wires.c - channels between tasks: inside a worker, over the connections of a region, and from an enumerator to its readers.
 *
 * Both ends of a channel are in one region and are made with it, but for those of an enumerator whose readers start again
 * without it: their channels belong to the region of the readers, which a worker that has only the enumerator knows, too, without
 * tasks.  Thread: the loop.
 */
#include "common/base/check.h"
#include "taskmanager/worker/wk_private.h"

static struct wk_in *find_in(void *arg, uint32_t edge, uint32_t source, uint32_t target)
{
    struct wk *wk = ((struct wk_region *)arg)->wk;
    struct wk_edge_info *info = edge < wk->edge_count ? &wk->edges[edge] : NULL;

    if (!info || !info->edge || source >= info->sources || target >= info->targets || !info->in[target])
        return NULL;
    return info->in[target][source];
}

static struct wk_out *find_out(void *arg, uint32_t edge, uint32_t source, uint32_t target)
{
    struct wk *wk = ((struct wk_region *)arg)->wk;
    struct wk_edge_info *info = edge < wk->edge_count ? &wk->edges[edge] : NULL;
    struct wk_edge *e;

    if (!info || !info->edge || source >= info->sources || target >= info->targets)
        return NULL;
    e = info->out[source];
    return e && e->rank_of_subtask[target] != UINT16_MAX ? &e->channels[e->rank_of_subtask[target]] : NULL;
}

static const rask_schema *schema_of(void *arg, uint32_t edge)
{
    struct wk *wk = ((struct wk_region *)arg)->wk;

    return edge < wk->edge_count && wk->edges[edge].edge ? wk->edges[edge].schema : NULL;
}

/* Something may still come over it, or has to leave. */
static bool is_used(const struct wk_region *r, const struct wk_link *link)
{
    for (uint32_t i = 0; i < r->task_count; i++) {
        const struct wk_task *t = r->tasks[i];

        for (uint32_t k = 0; k < t->gate.channel_count; k++)
            if (t->gate.channels[k].peer == link && !t->gate.channels[k].end_received)
                return true;
        for (uint32_t k = 0; k < t->chain.edge_count; k++)
            for (uint32_t c = 0; c < t->chain.edges[k]->channel_count; c++)
                if (t->chain.edges[k]->channels[c].link == link)
                    return true;
    }
    return false;
}

/* An enumerator that has given all of its splits may go without its readers. */
static void link_lost(void *arg, struct wk_link *link, const struct err *why)
{
    const struct wk_region *r = arg;

    if (is_used(r, link))
        wk_region_lost(arg, why);
    else
        env_log(r->wk->env, LOG_DEBUG, "worker", r->wk->job, "what is not needed any more: %s", why->text);
}

static struct wk_link *link_to(struct wk_region *r, uint32_t worker)
{
    struct wk_link_owner owner = {find_in, find_out, schema_of, link_lost, r};
    struct wk *wk = r->wk;

    if (!r->links)
        r->links = mem_alloc_array(wk->worker_count, sizeof(struct wk_link *));
    if (!r->links[worker]) {
        r->links[worker] = wk_link_new(wk->env, wk->pool, worker, wk->start->job_epoch, &owner);
        if (wk->pack)
            wk_link_pack(r->links[worker]);
    }
    return r->links[worker];
}

void wk_wire_outputs(struct wk_region *r, struct wk_edge *e)
{
    struct wk *wk = r->wk;
    const struct wk_edge_info *info = &wk->edges[e->id];

    for (uint32_t i = 0; i < e->channel_count && !e->splits; i++) {
        struct wk_out *out = &e->channels[i];
        uint32_t worker = wk->placement[info->edge->target_vertex][out->target_subtask];

        if (worker == wk->start->worker_index)
            wk_out_connect_local(out, find_in(r, e->id, e->source_subtask, out->target_subtask));
        else
            out->link = link_to(r, worker);
    }
}

void wk_wire_inputs(struct wk_region *r, struct wk_task *t)
{
    struct wk *wk = r->wk;

    for (uint32_t i = 0; i < t->gate.channel_count; i++) {
        struct wk_in *in = &t->gate.channels[i];
        uint32_t worker = wk->placement[wk->edges[in->edge].edge->source_vertex][in->source_subtask];

        if (worker != wk->start->worker_index)
            wk_in_connect_remote(in, link_to(r, worker));
    }
}

void wk_links_free(struct wk_region *r)
{
    for (uint32_t i = 0; r->links && i < r->wk->worker_count; i++)
        wk_link_free(r->links[i]);
    mem_free(r->links);
    r->links = NULL;
}

/* ---- readers of an enumerator that runs on without them ---- */

typedef bool channel_fn(struct wk_region *r, struct wk_edge *e, uint32_t rank);

/* Of each channel that leads from an enumerator here into the region. False: at one of them it was. */
static bool each_reader(struct wk_region *r, channel_fn *fn)
{
    struct wk *wk = r->wk;

    for (uint32_t i = 0; i < wk->edge_count; i++) {
        struct wk_edge_info *info = &wk->edges[i];
        struct wk_edge *e = info->edge ? info->out[0] : NULL; /* an enumerator is one subtask */

        if (!e || !e->splits)
            continue;
        for (uint32_t k = 0; k < e->channel_count; k++)
            if (wk->map.of[info->edge->target_vertex][e->channels[k].target_subtask] == r->id && !fn(r, e, k))
                return false;
    }
    return true;
}

static bool attach(struct wk_region *r, struct wk_edge *e, uint32_t rank)
{
    struct wk *wk = r->wk;
    uint32_t target = e->channels[rank].target_subtask;
    uint32_t worker = wk->placement[wk->edges[e->id].edge->target_vertex][target];
    bool local = worker == wk->start->worker_index;
    int again = wk_edge_attach(e, rank, local ? find_in(r, e->id, 0, target) : NULL, local ? NULL : link_to(r, worker),
                               wk->restore ? wk->restore->checkpoint : 0, wk->collector ? wk_collector_settled(wk->collector) : 0);

    if (again > 0)
        ENV_PROBE(wk->env, "worker: a reader gets splits again");
    return again >= 0;
}

int wk_readers_attach(struct wk_region *r, struct err *err)
{
    if (each_reader(r, attach))
        return 0;
    return err_set(err, ERR_STATE, "region %u cannot start again alone: its readers were given more than %u splits since checkpoint %llu, or "
                   "that is not the latest", r->id, SPLITS_KEPT_MAX,
                   (unsigned long long)(r->wk->restore ? r->wk->restore->checkpoint : 0));
}

static bool detach(struct wk_region *r, struct wk_edge *e, uint32_t rank)
{
    (void)r;
    wk_edge_detach(e, rank);
    return true;
}

void wk_readers_detach(struct wk_region *r)
{
    (void)each_reader(r, detach);
}

void wk_readers_completed(struct wk *wk, uint64_t checkpoint)
{
    for (uint32_t i = 0; i < wk->edge_count; i++)
        if (wk->edges[i].edge && wk->edges[i].out[0])
            wk_edge_completed(wk->edges[i].out[0], checkpoint);
}

struct wk_task *wk_region_speaker(const struct wk_region *r)
{
    const struct wk *wk = r->wk;

    for (uint32_t i = r->task_count; i-- > 0;)
        if (!wk_task_is_over(r->tasks[i]))
            return r->tasks[i];
    if (r->task_count > 0)
        return r->tasks[0];
    for (uint32_t i = 0; i < wk->map.split_count; i++)
        for (uint32_t k = 0; k < wk->task_count; k++)
            if (wk->map.splits[i].readers == r->id && wk->tasks[k]->vertex == wk->map.splits[i].vertex)
                return wk->tasks[k];
    return NULL;
}
