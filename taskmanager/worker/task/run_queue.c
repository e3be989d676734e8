/*
 * run_queue.c - whose turn it is.
 */
#include "taskmanager/worker/task/run_queue.h"

#define AHEAD_MAX 8u       /* steps of sources: some 8 blocks that wait to be read, which the caches hold */
#define AHEAD_NS 20000000u /* then others have theirs, though not all of that has been read: steps may be long */
/* And later for each step that had been queued: on a machine that has other things to do readers are late, not slow. */
#define AHEAD_STEP_NS 300000u

void wk_run_queue_push(struct wk_run_queue *q, struct wk_runnable *r)
{
    struct wk_run_line *line = r->is_source ? &q->sources : &q->others;

    r->next = NULL;
    r->turn = q->pushes++;
    if (line->tail)
        line->tail->next = r;
    else
        line->head = r;
    line->tail = r;
    __atomic_store_n(&q->count, q->count + 1, __ATOMIC_RELAXED);
}

/* In the order in which they came; but when AHEAD_MAX sources had their turn, what they made is worked off first. */
static bool is_turn_of_source(const struct wk_run_queue *q)
{
    const struct wk_runnable *source = q->sources.head, *other = q->others.head;

    if (!source || !other)
        return source != NULL;
    return q->ahead < AHEAD_MAX && source->turn < other->turn;
}

struct wk_runnable *wk_run_queue_pop(struct wk_run_queue *q, uint64_t now_ns)
{
    struct wk_run_line *line;
    struct wk_runnable *r;

    if (!q->others.head || (q->ahead >= AHEAD_MAX && now_ns >= q->ahead_until_ns))
        q->ahead = 0;
    line = is_turn_of_source(q) ? &q->sources : &q->others;
    r = line->head;
    if (line == &q->sources && ++q->ahead == AHEAD_MAX) {
        q->ahead_until_ns = now_ns + AHEAD_NS;
        q->ahead_pushes = q->pushes;
    } else if (line == &q->others && r->turn < q->ahead_pushes) {
        q->ahead_until_ns += AHEAD_STEP_NS;
    }
    line->head = r->next;
    if (!line->head)
        line->tail = NULL;
    __atomic_store_n(&q->count, q->count - 1, __ATOMIC_RELAXED);
    return r;
}
