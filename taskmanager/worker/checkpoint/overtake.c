/* overtake.c - see overtake.h. */
#include "taskmanager/worker/checkpoint/overtake.h"

#include "common/base/check.h"
#include "taskmanager/worker/task/task.h"

static bool may(const struct wk_barriers *b, int64_t value)
{
    uint64_t id = wk_barrier_id(value);

    return wk_barrier_is_due(b, id) && wk_barrier_kind(value) == RASK__CONTROL__CHECKPOINT_KIND__CHECKPOINT &&
           (value & WK_BARRIER_UNALIGNED || id <= b->hurried);
}

static void overdraw(struct wk_task *t, bool may_overdraw)
{
    for (uint32_t i = 0; i < t->chain.edge_count; i++)
        t->chain.edges[i]->overdraws = may_overdraw;
}

/* Until the barrier has passed the chain gives room to what is in it. */
static void make_way(struct wk_task *t, int64_t value, bool keeps_head)
{
    t->barriers.way_for = wk_barrier_id(value);
    t->chain.overtaking = true;
    t->chain.keeps_head = keeps_head;
    overdraw(t, true);
}

static void way_made(struct wk_task *t)
{
    t->barriers.way_for = 0;
    t->chain.overtaking = t->chain.keeps_head = false;
    overdraw(t, false);
}

/* ---- what has come ---- */

static int64_t newer(const struct wk_barriers *b, int64_t best, const struct wk_element *e)
{
    return e->type == WK_BARRIER && may(b, e->value) && wk_barrier_id(e->value) > wk_barrier_id(best) ? e->value : best;
}

static int64_t newest_of(const struct wk_barriers *b, int64_t best, const struct list *elements)
{
    LIST_FOREACH (n, elements)
        best = newer(b, best, LIST_ENTRY(n, struct wk_element, node));
    return best;
}

/* The barrier that has come on some channel, whatever is before it; 0: none that may overtake. */
static int64_t find_barrier(struct wk_task *t)
{
    const struct wk_barriers *b = &t->barriers;
    int64_t best = b->value && may(b, b->value) ? b->value : 0;

    if (t->control)
        best = newer(b, best, t->control);
    for (uint32_t i = 0; i < t->gate.channel_count; i++)
        best = newest_of(b, best, &t->gate.channels[i].held);
    return newest_of(b, best, &t->gate.queue);
}

/* Channels whose barriers keep their place have all got theirs. */
static bool in_order_came(const struct wk_task *t, uint64_t checkpoint)
{
    for (uint32_t i = 0; i < t->gate.channel_count; i++) {
        const struct wk_in *in = &t->gate.channels[i];

        if (in->aligned_only && !in->ended && in->barrier != checkpoint)
            return false;
    }
    return true;
}

static void look_at_gate(struct wk_task *t)
{
    struct wk_barriers *b = &t->barriers;
    int64_t value;

    wk_gate_collect(&t->gate);
    if (t->gate.barriers == b->seen && !b->look_again)
        return;
    b->seen = t->gate.barriers;
    b->look_again = false;
    value = find_barrier(t);
    if (!value || t->chain.overtaking)
        return;
    if (b->value && wk_barrier_id(b->value) < wk_barrier_id(value)) /* others have given it up */
        wk_barrier_abandon(t);
    wk_barrier_seen(t, wk_barrier_id(value));
    if (t->is_source) { /* splits are before it, which cost no time; only a full output could */
        make_way(t, value, false);
        return;
    }
    if (!in_order_came(t, wk_barrier_id(value)))
        return;
    b->overtaking = value | WK_BARRIER_UNALIGNED;
    make_way(t, value, true);
}

/* ---- rows in flight ---- */

static void drop_open(struct wk_task *t)
{
    wk_gate_record_stop(&t->gate);
    wk_task_snapshot_free(t->barriers.open);
    t->barriers.open = NULL;
    wk_inflight_clear(&t->barriers.inflight);
}

static bool outputs_settled(const struct wk_task *t)
{
    for (uint32_t i = 0; i < t->chain.edge_count; i++)
        if (!wk_edge_settled(t->chain.edges[i]))
            return false;
    return true;
}

static void hand_over(struct wk_task *t, struct wk_task_snapshot *s)
{
    struct wk_barriers *b = &t->barriers;
    struct wk_executor *ex = t->run.executor;

    s->inflight = b->inflight;
    b->inflight = (struct wk_inflight){0};
    s->persisted_bytes = s->inflight.bytes;
    if (s->unaligned) {
        s->alignment_ms = (ex->ops->now_ns(ex) - b->first_ns) / 1000000;
        s->processed_bytes = t->bytes_in - b->first_bytes;
    }
    wk_barrier_hand_over(t, s);
}

static void settle(struct wk_task *t)
{
    struct wk_barriers *b = &t->barriers;
    struct wk_task_snapshot *s = b->open;

    wk_gate_collect(&t->gate);
    if (b->inflight.bytes > WK_INFLIGHT_BYTES_MAX) {
        err_set(&s->error, ERR_LIMIT,
                "task \"%s\" has kept %llu MiB of rows in flight, %llu are possible, and the barriers of %u of its channels have "
                "not come", t->name, (unsigned long long)b->inflight.bytes >> 20, WK_INFLIGHT_BYTES_MAX >> 20,
                t->gate.recording);
        wk_gate_record_stop(&t->gate);
        wk_inflight_clear(&b->inflight);
    } else if (t->gate.recording > 0 || !outputs_settled(t)) {
        wk_barrier_show(b, s->value, WK_BARRIER_RECORDING, t->gate.recording);
        return;
    }
    b->open = NULL;
    hand_over(t, s);
}

void wk_overtake_look(struct wk_task *t)
{
    int64_t triggered;

    if (!t->barriers.may_overtake)
        return;
    if (t->barriers.open)
        settle(t);
    look_at_gate(t);
    triggered = wk_barrier_triggered(&t->barriers); /* who begins by itself */
    if (triggered && may(&t->barriers, triggered) && !t->draining &&
        t->gate.ended_count == t->gate.channel_count)
        make_way(t, triggered, false);
}

/*
 * What the head has not consumed of the rows that were taken together: the last ones of them, which came from the channels in
 * the order of t->taken.
 */
static void record_head(struct wk_task *t)
{
    struct wk_op *head = t->chain.ops[0];
    uint64_t all = 0, left = 0, behind;
    uint32_t k = 0; /* in t->taken; behind: rows of that entry which are */

    LIST_FOREACH (n, &head->feeds) {
        const struct wk_feed *f = LIST_ENTRY(n, struct wk_feed, node);

        left += f->batch->rows - f->from;
    }
    for (uint32_t i = 0; i < t->taken_count; i++)
        all += t->taken[i].rows;
    CHECK(left <= all);
    for (behind = all - left; k < t->taken_count && behind >= t->taken[k].rows; k++)
        behind -= t->taken[k].rows;
    LIST_FOREACH (n, &head->feeds) {
        const struct wk_feed *f = LIST_ENTRY(n, struct wk_feed, node);

        for (uint32_t row = f->from, rows; row < f->batch->rows; row += rows) {
            const struct wk_in *in = t->taken[k].in;

            rows = MIN(f->batch->rows - row, t->taken[k].rows - (uint32_t)behind);
            wk_inflight_add(&t->barriers.inflight, in->edge, in->source_subtask, in->target_subtask, WK_FROM_RECEIVER,
                            batch_slice(f->batch, row, rows));
            behind += rows;
            if (behind == t->taken[k].rows) {
                k++;
                behind = 0;
            }
        }
    }
}

/* ---- a barrier on its way ---- */

void wk_overtake_begin(struct wk_task *t)
{
    struct wk_barriers *b = &t->barriers;

    CHECK(b->overtaking != 0 && b->passing == 0);
    wk_barrier_pass(t, b->overtaking);
}

int64_t wk_overtake_passes(struct wk_task *t, int64_t value)
{
    if (!(value & (WK_BARRIER_UNALIGNED | WK_BARRIER_TIMEOUT)))
        return value;
    drop_open(t); /* of one that was given up */
    if (wk_barrier_id(value) <= t->barriers.hurried)
        value |= WK_BARRIER_UNALIGNED;
    if (value & WK_BARRIER_UNALIGNED && !t->chain.overtaking)
        make_way(t, value, false);
    return value;
}

bool wk_overtake_records(struct wk_task *t, struct wk_task_snapshot *s)
{
    struct wk_barriers *b = &t->barriers;
    uint64_t id = wk_barrier_id(s->value);

    if (b->overtaking && wk_barrier_id(b->overtaking) == id) {
        struct wk_element *taken = t->control; /* before all that is queued in its channel */

        b->overtaking = 0;
        record_head(t);
        if (taken && taken->type == WK_BARRIER && wk_barrier_id(taken->value) == id)
            taken->in->barrier = id;
        wk_gate_record(&t->gate, id, &b->inflight);
        if (taken && taken->type == WK_END)
            wk_gate_record_taken(&t->gate, taken);
        wk_gate_unblock(&t->gate, WK_BLOCK_BARRIER);
    }
    if (!(s->value & (WK_BARRIER_UNALIGNED | WK_BARRIER_TIMEOUT)))
        return false;
    way_made(t);
    s->unaligned = s->value & WK_BARRIER_UNALIGNED;
    for (uint32_t i = 0; s->unaligned && i < t->chain.edge_count; i++) /* hurried when some had it already */
        wk_edge_hurry(t->chain.edges[i], s->value);
    wk_task_record_replay(t);
    if (t->gate.recording > 0 || !outputs_settled(t)) {
        b->open = s;
        return true;
    }
    hand_over(t, s);
    return true;
}

void wk_overtake_hurry(struct wk_task *t, uint64_t checkpoint)
{
    struct wk_barriers *b = &t->barriers;

    b->hurried = MAX(b->hurried, checkpoint);
    b->look_again = true;
    if (b->passing == checkpoint) {
        wk_chain_hurry_barrier(&t->chain);
        make_way(t, (int64_t)checkpoint, false);
    }
    if (!b->open || wk_barrier_id(b->open->value) != checkpoint || b->open->unaligned)
        return;
    b->open->unaligned = true;
    for (uint32_t i = 0; i < t->chain.edge_count; i++)
        wk_edge_hurry(t->chain.edges[i], b->open->value | WK_BARRIER_UNALIGNED);
}

void wk_overtake_give_up(struct wk_task *t, uint64_t checkpoint)
{
    struct wk_barriers *b = &t->barriers;

    if (b->open && wk_barrier_id(b->open->value) <= checkpoint)
        drop_open(t);
    if (b->way_for && b->way_for <= checkpoint && b->passing != b->way_for) { /* it has not begun */
        b->overtaking = 0;
        way_made(t);
    }
}
