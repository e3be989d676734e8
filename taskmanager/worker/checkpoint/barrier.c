/* barrier.c - see barrier.h. */
#include "taskmanager/worker/checkpoint/barrier.h"

#include <string.h>

#include "common/base/check.h"
#include "taskmanager/worker/checkpoint/overtake.h"
#include "taskmanager/worker/operator/ops.h"
#include "taskmanager/worker/task/task.h"

struct mail {
    struct list node;
    enum wk_mail_type type;
    int64_t value;
};

static uint64_t now_ns(const struct wk_task *t)
{
    return t->run.executor->ops->now_ns(t->run.executor);
}

void wk_barrier_show(struct wk_barriers *b, int64_t value, enum wk_barrier_phase phase, uint32_t missing)
{
    __atomic_store_n(&b->shown_missing, missing, __ATOMIC_RELAXED);
    __atomic_store_n(&b->shown_phase, phase, __ATOMIC_RELAXED);
    __atomic_store_n(&b->shown, wk_barrier_id(value), __ATOMIC_RELAXED);
}

void wk_barriers_init(struct wk_barriers *b)
{
    b->exactly_once = true;
    list_init(&b->mail);
    list_init(&b->triggers);
}

static void drop_mail(struct list *mail)
{
    for (struct list *n; (n = list_pop_front(mail));)
        mem_free(LIST_ENTRY(n, struct mail, node));
}

void wk_barriers_release(struct wk_barriers *b)
{
    drop_mail(&b->mail);
    drop_mail(&b->triggers);
    wk_task_snapshot_free(b->open);
    b->open = NULL;
    wk_inflight_clear(&b->inflight);
}

void wk_task_snapshot_free(struct wk_task_snapshot *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->op_count; i++)
        if (s->ops[i])
            wk_snapshot_free(s->ops[i]);
    mem_free(s->ops);
    wk_inflight_clear(&s->inflight);
    mem_free(s);
}

/* ---- which are waited for ---- */

bool wk_barrier_is_due(const struct wk_barriers *b, uint64_t checkpoint)
{
    for (uint32_t i = 0; i < b->given_up_count; i++)
        if (b->given_up[i] == checkpoint)
            return false;
    return checkpoint > b->last;
}

/* Up to this one none is; later ones that were given up and follow it directly join in. */
static void settle_up_to(struct wk_barriers *b, uint64_t checkpoint)
{
    uint32_t gone = 0;

    b->last = MAX(b->last, checkpoint);
    for (; gone < b->given_up_count && b->given_up[gone] <= b->last + 1; gone++)
        b->last = MAX(b->last, b->given_up[gone]);
    b->given_up_count -= gone;
    memmove(b->given_up, b->given_up + gone, b->given_up_count * sizeof(b->given_up[0]));
}

/* It alone: older ones may be under way. With too many the oldest of those waits no more. */
static void note_given_up(struct wk_barriers *b, uint64_t checkpoint)
{
    uint32_t at;

    if (b->given_up_count == WK_GIVEN_UP_MAX)
        settle_up_to(b, b->given_up[0]);
    if (!wk_barrier_is_due(b, checkpoint))
        return;
    for (at = b->given_up_count++; at > 0 && b->given_up[at - 1] > checkpoint; at--)
        b->given_up[at] = b->given_up[at - 1];
    b->given_up[at] = checkpoint;
    settle_up_to(b, b->last);
}

/* ---- mail ---- */

int64_t wk_barrier_triggered(const struct wk_barriers *b)
{
    return list_empty(&b->triggers) ? 0 : LIST_ENTRY(b->triggers.next, struct mail, node)->value;
}

static void drop_triggers(struct wk_barriers *b)
{
    LIST_FOREACH_SAFE (n, &b->triggers) {
        struct mail *m = LIST_ENTRY(n, struct mail, node);

        if (wk_barrier_is_due(b, wk_barrier_id(m->value)))
            continue;
        list_remove(&m->node);
        mem_free(m);
    }
}

void wk_barrier_mail(struct wk_task *t, enum wk_mail_type type, int64_t value)
{
    struct mail *m = MEM_NEW(struct mail);

    m->type = type;
    m->value = value;
    pthread_mutex_lock(&t->lock);
    list_push_back(&t->barriers.mail, &m->node);
    pthread_mutex_unlock(&t->lock);
    wk_ready(&t->run);
}

static int call_completed(struct wk_task *t, int64_t value, bool aborted)
{
    uint64_t checkpoint = wk_barrier_id(value);
    Rask__Control__CheckpointKind kind = wk_barrier_kind(value);
    bool commits = kind != RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT;

    for (uint32_t i = 0; i < t->chain.op_count; i++) {
        struct wk_op *op = t->chain.ops[i];

        if (op->state && aborted)
            wk_state_aborted(op->state, checkpoint);
        else if (op->state && kind == RASK__CONTROL__CHECKPOINT_KIND__CHECKPOINT)
            wk_state_completed(op->state, checkpoint);
        /* what a savepoint holds is not committed by it: nobody recovers from it on their own */
        if ((aborted || commits) && wk_chain_completed(op, checkpoint, aborted) != 0)
            return -1;
    }
    return 0;
}

/* Splits that wait for readers will not be read by this job any more. */
static void drop_splits(struct wk_task *t)
{
    for (uint32_t i = 0; t->is_enumerator && i < t->chain.edge_count; i++)
        wk_edge_drop_splits(t->chain.edges[i]);
}

/* A savepoint that is to stop the job has come: without a drain sources fall silent behind its barrier, else they end. */
static void begin_of_stop(struct wk_task *t, int64_t value)
{
    Rask__Control__CheckpointKind kind = wk_barrier_kind(value);

    if (kind == RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT_SUSPEND) {
        t->stop = value;
        t->suspended = true;
        t->chain.skip_finish = true; /* the job goes on elsewhere: this is not the end of its input */
    } else if (kind == RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT_TERMINATE) {
        t->stop = value;
        t->draining = true;
        drop_splits(t);
    }
}

/* It is complete, or is not to be. */
static void end_of_stop(struct wk_task *t, int64_t value, bool aborted)
{
    if (!t->stop || wk_barrier_id(t->stop) != wk_barrier_id(value))
        return;
    t->stop = 0;
    if (!t->suspended)
        return;
    if (aborted) {
        t->suspended = false;
        t->chain.skip_finish = t->restored_finished;
    } else if (t->is_source || t->is_enumerator) {
        drop_splits(t);
        t->end_sent = true;
        wk_chain_control(&t->chain, WK_END, 0);
    }
}

void wk_barrier_abandon(struct wk_task *t)
{
    t->barriers.value = 0;
    t->barriers.count = 0;
    wk_gate_unblock(&t->gate, WK_BLOCK_BARRIER);
}

static void drop_counted(struct wk_barriers *b)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < b->counted_count; i++)
        if (wk_barrier_is_due(b, wk_barrier_id(b->counted[i].value)))
            b->counted[n++] = b->counted[i];
    b->counted_count = n;
}

static void give_up(struct wk_task *t, uint64_t checkpoint)
{
    struct wk_barriers *b = &t->barriers;

    wk_overtake_give_up(t, checkpoint);
    note_given_up(b, checkpoint);
    drop_triggers(b);
    drop_counted(b);
    if (b->value && !wk_barrier_is_due(b, wk_barrier_id(b->value)))
        wk_barrier_abandon(t);
}

int wk_barrier_take_mail(struct wk_task *t)
{
    struct wk_barriers *b = &t->barriers;
    int rc = 0;

    while (rc == 0) {
        struct list *n;
        struct mail *m;

        pthread_mutex_lock(&t->lock);
        n = list_pop_front(&b->mail);
        pthread_mutex_unlock(&t->lock);
        if (!n)
            break;
        m = LIST_ENTRY(n, struct mail, node);
        if (m->type == WK_MAIL_TRIGGER && wk_barrier_is_due(b, wk_barrier_id(m->value))) {
            if (wk_barrier_kind(m->value) == RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT_TERMINATE)
                begin_of_stop(t, m->value);
            list_push_back(&b->triggers, &m->node); /* a savepoint may come before the task has begun with what came last */
            continue;
        }
        if (m->type == WK_MAIL_ABORT)
            give_up(t, wk_barrier_id(m->value));
        if (m->type == WK_MAIL_HURRY)
            wk_overtake_hurry(t, wk_barrier_id(m->value));
        if (m->type == WK_MAIL_COMPLETE || m->type == WK_MAIL_ABORT) {
            rc = call_completed(t, m->value, m->type == WK_MAIL_ABORT);
            end_of_stop(t, m->value, m->type == WK_MAIL_ABORT);
            t->final_asked = false;
        }
        mem_free(m);
    }
    return rc;
}

/* ---- alignment ---- */

void wk_barrier_pass(struct wk_task *t, int64_t value)
{
    struct wk_barriers *b = &t->barriers;

    value = wk_overtake_passes(t, value);
    b->passing = wk_barrier_id(value);
    settle_up_to(b, b->passing);
    b->value = 0;
    b->count = 0;
    b->aligned_ns = now_ns(t);
    drop_triggers(b);
    drop_counted(b);
    wk_barrier_show(b, value, WK_BARRIER_PASSING, 0);
    wk_chain_control(&t->chain, WK_BARRIER, value);
}

void wk_barrier_seen(struct wk_task *t, uint64_t checkpoint)
{
    struct wk_barriers *b = &t->barriers;

    if (b->first_id == checkpoint)
        return;
    b->first_id = checkpoint;
    b->first_ns = now_ns(t);
    b->first_bytes = t->bytes_in;
    b->first_ms = t->run.executor->ops->wall_us(t->run.executor, now_ns(t)) / 1000;
}

/* It has come on all channels that still live. */
static void check_complete(struct wk_task *t)
{
    struct wk_barriers *b = &t->barriers;
    uint32_t alive = t->gate.channel_count - t->gate.ended_count;
    int64_t value = b->value;

    if (b->count < alive) {
        wk_barrier_show(b, value, WK_BARRIER_ALIGNING, alive - b->count);
        return;
    }
    wk_gate_unblock(&t->gate, WK_BLOCK_BARRIER);
    wk_barrier_pass(t, value);
}

/* ---- at least once: barriers are counted, several at a time ---- */

/* The oldest that has come on all channels that still live passes, and those before it are waited for no more. */
static bool pass_counted(struct wk_task *t)
{
    struct wk_barriers *b = &t->barriers;
    uint32_t alive = t->gate.channel_count - t->gate.ended_count;

    for (uint32_t i = 0; i < b->counted_count; i++) {
        struct wk_counted c = b->counted[i];

        if (c.count < alive)
            continue;
        b->first_id = wk_barrier_id(c.value);
        b->first_ns = c.first_ns;
        b->first_bytes = c.first_bytes;
        b->first_ms = c.first_ms;
        wk_barrier_pass(t, c.value);
        return true;
    }
    return false;
}

/* NULL: there is no room, and it is older than all others. */
static struct wk_counted *counted_of(struct wk_task *t, uint64_t id)
{
    struct wk_barriers *b = &t->barriers;
    uint32_t at = 0;

    while (at < b->counted_count && wk_barrier_id(b->counted[at].value) < id)
        at++;
    if (at < b->counted_count && wk_barrier_id(b->counted[at].value) == id)
        return &b->counted[at];
    if (b->counted_count == WK_COUNTED_MAX && at == 0)
        return NULL;
    if (b->counted_count == WK_COUNTED_MAX) {
        memmove(b->counted, b->counted + 1, --b->counted_count * sizeof(b->counted[0]));
        at--;
    }
    memmove(b->counted + at + 1, b->counted + at, (b->counted_count++ - at) * sizeof(b->counted[0]));
    wk_barrier_seen(t, id);
    b->counted[at] = (struct wk_counted){.first_ns = b->first_ns, .first_bytes = b->first_bytes, .first_ms = b->first_ms};
    return &b->counted[at];
}

static void count(struct wk_task *t, struct wk_in *in, int64_t value)
{
    struct wk_counted *c = counted_of(t, wk_barrier_id(value));

    in->barrier = wk_barrier_id(value);
    if (!c)
        return;
    c->value |= value;
    c->count++;
    if (t->barriers.counted_count > 1)
        ENV_PROBE(t->host->env, "worker: barriers of several checkpoints are counted");
    wk_barrier_show(&t->barriers, value, WK_BARRIER_ALIGNING, t->gate.channel_count - t->gate.ended_count - c->count);
    (void)pass_counted(t);
}

/* It was taken from behind those barriers, and lives no more. Of one that was given up some channels may not have sent it. */
static void count_ended(struct wk_task *t, const struct wk_in *in)
{
    struct wk_barriers *b = &t->barriers;

    for (uint32_t i = 0; i < b->counted_count; i++)
        if (wk_barrier_id(b->counted[i].value) <= in->barrier && b->counted[i].count > 0)
            b->counted[i].count--;
    (void)pass_counted(t);
}

/* ---- exactly once, and what is common ---- */

void wk_barrier_arrived(struct wk_task *t, struct wk_in *in, int64_t value)
{
    struct wk_barriers *b = &t->barriers;
    uint64_t id = wk_barrier_id(value);

    if (!wk_barrier_is_due(b, id) || (b->value && id < wk_barrier_id(b->value)))
        return; /* given up already */
    if (!b->exactly_once) {
        count(t, in, value);
        return;
    }
    if (wk_barrier_id(b->value) != id) { /* a newer one takes over from one that others have given up */
        wk_barrier_abandon(t);
        wk_barrier_seen(t, id);
    }
    b->value |= value;
    b->count++;
    in->barrier = id;
    b->look_again = true;
    wk_in_block(in, WK_BLOCK_BARRIER);
    check_complete(t);
}

void wk_barrier_channel_ended(struct wk_task *t, const struct wk_in *in)
{
    struct wk_barriers *b = &t->barriers;

    b->look_again = true;
    if (b->value)
        check_complete(t);
    else
        count_ended(t, in);
}

bool wk_barrier_begin(struct wk_task *t)
{
    int64_t value = wk_barrier_triggered(&t->barriers);

    if (pass_counted(t))
        return true;
    if (!value || (t->gate.ended_count < t->gate.channel_count && !(t->is_source && t->draining)))
        return false;
    if (t->draining && !t->chain.ended) /* the end of the input comes first */
        return false;
    wk_barrier_seen(t, wk_barrier_id(value));
    wk_barrier_pass(t, value);
    return true;
}

/* ---- freezing ---- */

/* Everything is on its way to those behind it, and the end behind that. */
static bool has_ended(const struct wk_task *t)
{
    for (uint32_t i = 0; i < t->chain.edge_count; i++)
        if (!t->chain.edges[i]->ended)
            return false;
    return t->chain.ended;
}

static enum wk_snapshot_kind snapshot_kind(int64_t value)
{
    if (wk_barrier_kind(value) != RASK__CONTROL__CHECKPOINT_KIND__CHECKPOINT)
        return WK_SNAPSHOT_SAVEPOINT;
    return value & WK_BARRIER_FULL ? WK_SNAPSHOT_FULL : WK_SNAPSHOT_INCREMENTAL;
}

void wk_barrier_passed(struct wk_task *t, int64_t value)
{
    struct wk_barriers *b = &t->barriers;
    struct wk_task_snapshot *s = MEM_NEW(struct wk_task_snapshot);
    uint64_t began = now_ns(t);

    b->passing = 0;
    list_init(&s->node);
    s->task = t;
    s->value = value;
    s->finished = has_ended(t);
    s->first_ms = b->first_ms;
    s->alignment_ms = (b->aligned_ns - b->first_ns) / 1000000;
    s->processed_bytes = t->bytes_in - b->first_bytes;
    s->op_count = t->chain.op_count;
    s->ops = mem_alloc_array(s->op_count, sizeof(*s->ops));
    for (uint32_t i = 0; i < s->op_count; i++)
        if (t->chain.ops[i]->state)
            s->ops[i] = wk_state_freeze(t->chain.ops[i]->state, wk_barrier_id(value), snapshot_kind(value));
    s->sync_us = (now_ns(t) - began) / 1000;
    if (wk_barrier_kind(value) == RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT_SUSPEND)
        begin_of_stop(t, value);
    if (wk_overtake_records(t, s))
        wk_barrier_show(b, value, WK_BARRIER_RECORDING, t->gate.recording);
    else
        wk_barrier_hand_over(t, s);
}

void wk_barrier_hand_over(struct wk_task *t, struct wk_task_snapshot *s)
{
    wk_barrier_show(&t->barriers, s->value, WK_BARRIER_FROZEN, 0);
    t->host->on_snapshot(t->host->arg, s);
}

/* ---- why it is late ---- */

char *wk_barrier_explain(struct wk_task *t, uint64_t checkpoint, uint32_t *ret_rank)
{
    const struct wk_barriers *b = &t->barriers;
    uint32_t missing = __atomic_load_n(&b->shown_missing, __ATOMIC_RELAXED);
    enum wk_barrier_phase phase = (enum wk_barrier_phase)__atomic_load_n(&b->shown_phase, __ATOMIC_RELAXED);
    const char *operator_now = __atomic_load_n(&t->run.operator_now, __ATOMIC_RELAXED);

    if (__atomic_load_n(&b->shown, __ATOMIC_RELAXED) < checkpoint)
        phase = WK_BARRIER_NONE;
    *ret_rank = WK_BARRIER_FROZEN - (uint32_t)phase;
    switch (phase) {
    case WK_BARRIER_ALIGNING:
        return mem_printf("was aligning: the barrier had not come on %u of its %u channels", missing,
                          t->gate.channel_count);
    case WK_BARRIER_PASSING:
        return mem_printf("had got the barrier, which waited inside it%s%s: its outputs were full (back pressure), or it "
                          "had no time",
                          operator_now ? " at " : "", operator_now ? operator_now : "");
    case WK_BARRIER_RECORDING:
        return missing > 0 ? mem_printf("had frozen its state and kept the rows that came before the barriers of %u of its %u "
                                        "channels, which had not come", missing, t->gate.channel_count)
                           : mem_strdup("had frozen its state, and its barriers waited behind rows in its outputs");
    case WK_BARRIER_FROZEN:
        return mem_strdup("had frozen its state, which was being written");
    case WK_BARRIER_NONE:
        break;
    }
    return t->gate.ended_count < t->gate.channel_count
               ? mem_strdup("had not got a barrier: it waited behind rows that were not taken yet")
               : mem_printf("had not begun%s%s: its operator did not return", operator_now ? ", in " : "",
                            operator_now ? operator_now : "");
}
