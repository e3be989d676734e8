/* channel.c - gates, elements and credits. See channel.h. */
#include "taskmanager/worker/exchange/channel.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "taskmanager/worker/task/executor.h"

struct wk_element *wk_element_new(enum wk_element_type type, int64_t value)
{
    struct wk_element *e = MEM_NEW(struct wk_element);

    list_init(&e->node);
    e->type = type;
    e->value = value;
    return e;
}

struct wk_element *wk_element_data(rask_batch **batch, uint32_t bytes)
{
    struct wk_element *e = wk_element_new(WK_DATA, 0);

    CHECK(*batch != NULL && (*batch)->rows > 0);
    e->batch = *batch;
    e->bytes = bytes;
    *batch = NULL;
    return e;
}

void wk_element_free(struct wk_element *e)
{
    if (!e)
        return;
    batch_unref(e->batch);
    mem_free(e);
}

/* ---- gate ---- */

void wk_gate_init(struct wk_gate *g, struct wk_runnable *task, uint32_t channels)
{
    pthread_mutex_init(&g->lock, NULL);
    g->task = task;
    g->channel_count = channels;
    g->channels = mem_alloc_array(channels ? channels : 1, sizeof(*g->channels));
    list_init(&g->ready);
    for (uint32_t i = 0; i < channels; i++) {
        struct wk_in *in = &g->channels[i];

        in->gate = g;
        in->watermark = RASK_TS_MIN;
        list_init(&in->queue);
        list_init(&in->ready);
    }
}

static void drop_queue(struct list *queue)
{
    for (struct list *n; (n = list_pop_front(queue));)
        wk_element_free(LIST_ENTRY(n, struct wk_element, node));
}

void wk_gate_close(struct wk_gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->closed = true;
    for (uint32_t i = 0; i < g->channel_count; i++) {
        drop_queue(&g->channels[i].queue);
        list_remove(&g->channels[i].ready);
        g->channels[i].queued_bytes = 0;
    }
    g->queued_bytes = 0;
    g->queued = 0;
    pthread_mutex_unlock(&g->lock);
}

void wk_gate_release(struct wk_gate *g)
{
    if (!g->channels)
        return;
    wk_gate_close(g);
    pthread_mutex_destroy(&g->lock);
    mem_free(g->channels);
    g->channels = NULL;
}

void wk_in_push(struct wk_in *in, struct wk_element *e)
{
    struct wk_gate *g = in->gate;
    bool wake = false;

    pthread_mutex_lock(&g->lock);
    if (g->closed) {
        pthread_mutex_unlock(&g->lock);
        wk_element_free(e);
        return;
    }
    if (list_empty(&in->queue) && !in->blocked) {
        wake = list_empty(&g->ready);
        list_push_back(&g->ready, &in->ready);
    }
    list_push_back(&in->queue, &e->node);
    __atomic_store_n(&in->queued_bytes, in->queued_bytes + e->bytes, __ATOMIC_RELAXED);
    g->queued_bytes += e->bytes;
    g->queued++;
    pthread_mutex_unlock(&g->lock);
    /* A gate that had something already has a task that was woken for it. */
    if (wake)
        wk_ready(g->task);
}

struct wk_element *wk_gate_take(struct wk_gate *g, struct wk_in **ret_in)
{
    struct wk_element *e = NULL;
    struct list *n;

    pthread_mutex_lock(&g->lock);
    n = list_pop_front(&g->ready);
    if (n) {
        struct wk_in *in = LIST_ENTRY(n, struct wk_in, ready);

        e = LIST_ENTRY(list_pop_front(&in->queue), struct wk_element, node);
        __atomic_store_n(&in->queued_bytes, in->queued_bytes - e->bytes, __ATOMIC_RELAXED);
        g->queued_bytes -= e->bytes;
        g->queued--;
        if (!list_empty(&in->queue))
            list_push_back(&g->ready, &in->ready);
        *ret_in = in;
    }
    pthread_mutex_unlock(&g->lock);
    return e;
}

void wk_in_block(struct wk_in *in)
{
    pthread_mutex_lock(&in->gate->lock);
    in->blocked = true;
    list_remove(&in->ready);
    pthread_mutex_unlock(&in->gate->lock);
}

void wk_gate_unblock(struct wk_gate *g)
{
    pthread_mutex_lock(&g->lock);
    for (uint32_t i = 0; i < g->channel_count; i++) {
        struct wk_in *in = &g->channels[i];

        if (in->blocked && !list_empty(&in->queue))
            list_push_back(&g->ready, &in->ready);
        in->blocked = false;
    }
    pthread_mutex_unlock(&g->lock);
}

void wk_in_consumed(struct wk_in *in, uint32_t bytes)
{
    /* An empty channel gives everything back: what waits at the sender may need the whole credit. Read without the lock:
     * whoever pushes after this look makes another call of this function follow. */
    bool empty = __atomic_load_n(&in->queued_bytes, __ATOMIC_RELAXED) == 0;

    in->unreturned += bytes;
    if (in->unreturned > 0 && (empty || in->unreturned >= in->credit_bytes / 4)) {
        uint32_t give = (uint32_t)MIN(in->unreturned, (uint64_t)UINT32_MAX);

        in->unreturned -= give;
        in->grant(in, give);
    }
}

/* ---- sending end ---- */

void wk_out_init(struct wk_out *out, struct wk_runnable *task, uint32_t edge, uint32_t source, uint32_t target)
{
    out->task = task;
    out->edge = edge;
    out->source_subtask = source;
    out->target_subtask = target;
    list_init(&out->pending);
}

void wk_out_release(struct wk_out *out)
{
    drop_queue(&out->pending);
    out->pending_data = 0;
}

static void grant_local(struct wk_in *in, uint32_t bytes)
{
    wk_out_grant(in->peer, bytes);
}

void wk_out_connect_local(struct wk_out *out, struct wk_in *in)
{
    out->local = in;
    in->peer = out;
    in->grant = grant_local;
}

void wk_out_grant(struct wk_out *out, uint32_t bytes)
{
    int64_t before = __atomic_fetch_add(&out->credit, bytes, __ATOMIC_ACQ_REL);
    int64_t total = __atomic_load_n(&out->credit_total, __ATOMIC_RELAXED);

    if (total == 0) /* the first grant is the channel's whole credit */
        __atomic_store_n(&out->credit_total, before + bytes, __ATOMIC_RELEASE);
    wk_ready(out->task);
}

bool wk_out_reserve(struct wk_out *out, uint32_t bytes)
{
    int64_t credit = __atomic_load_n(&out->credit, __ATOMIC_ACQUIRE);
    int64_t total = __atomic_load_n(&out->credit_total, __ATOMIC_ACQUIRE);

    if (total == 0)
        return false;
    /* Larger than the whole credit: alone, when nothing else is under way. The debt is paid back by its own grant. */
    if (credit < bytes && credit < total)
        return false;
    __atomic_fetch_sub(&out->credit, bytes, __ATOMIC_ACQ_REL);
    return true;
}
