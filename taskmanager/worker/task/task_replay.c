/*
 * task_replay.c - rows in flight of a restored checkpoint: their senders give them out again, before anything else.
 *
 * A row goes to the channel that it was in, or, when a parallelism has changed, wherever its edge sends such a row now.  Behind
 * them each channel gets WK_REPLAYED; a receiver takes nothing more from a channel that has delivered it until all have: so
 * every row that was in flight comes before every new one.  Thread: the task's step.
 */
#include "common/base/check.h"
#include "taskmanager/worker/task/task.h"

static struct wk_edge *edge_of(struct wk_task *t, uint32_t id)
{
    for (uint32_t i = 0; i < t->chain.edge_count; i++)
        if (t->chain.edges[i]->id == id)
            return t->chain.edges[i];
    return NULL;
}

void wk_task_replay_add(struct wk_task *t, uint32_t edge, uint32_t target, rask_batch *rows)
{
    CHECK(edge_of(t, edge) != NULL);
    wk_inflight_add(&t->replay, edge, t->subtask, target, WK_FROM_SENDER, rows);
}

bool wk_task_replay(struct wk_task *t)
{
    struct wk_inflight *f = &t->replay;

    if (!t->replaying)
        return true;
    for (; t->replayed < f->count; t->replayed++) {
        struct wk_inflight_rows *r = &f->items[t->replayed];
        struct wk_edge *e = edge_of(t, r->edge);

        if (wk_edge_full(e))
            return false;
        wk_edge_replay(e, r->to, batch_ref(r->rows));
    }
    for (uint32_t i = 0; i < t->chain.edge_count; i++)
        if (t->chain.edges[i]->partitioner != RASK__GRAPH__PARTITIONER__SPLITS)
            wk_edge_control(t->chain.edges[i], WK_REPLAYED, 0);
    wk_inflight_clear(f);
    t->replayed = 0;
    t->replaying = false;
    return true;
}

void wk_task_record_replay(struct wk_task *t)
{
    for (uint32_t i = t->replayed; i < t->replay.count; i++) {
        const struct wk_inflight_rows *r = &t->replay.items[i];

        wk_inflight_add(&t->barriers.inflight, r->edge, r->from, r->to, WK_FROM_SENDER, batch_ref(r->rows));
    }
}

void wk_task_replay_seen(struct wk_task *t, struct wk_in *in)
{
    wk_in_block(in, WK_BLOCK_REPLAY);
    if (++t->replay_seen == t->gate.channel_count)
        wk_gate_unblock(&t->gate, WK_BLOCK_REPLAY);
}
