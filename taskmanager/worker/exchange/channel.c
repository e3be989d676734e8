/*
 * channel.c - blocks, gates and credits. See channel.h.
 *
 * A gate's stack of arrivals is Treiber's (1986), emptied as a whole, so that no element is ever compared with one that came
 * back.  Credits and the sender's wish for more are a Dekker pair: each side writes its own and then reads the other's.
 */
#include "taskmanager/worker/exchange/channel.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "taskmanager/worker/exchange/inflight.h"
#include "taskmanager/worker/task/executor.h"

#define CLOSED ((struct wk_element *)(uintptr_t)1) /* a mark, in the place of the newest element */

/* ---- blocks ---- */

static size_t block_size(uint32_t room)
{
    return sizeof(struct wk_block) + (size_t)room * sizeof(struct wk_element);
}

static void slice_is_back(struct batch_lender *lender)
{
    wk_block_unref(CONTAINER_OF(lender, struct wk_block, lender));
}

struct wk_block *wk_block_new(struct pool *pool, rask_batch **rows, uint32_t room)
{
    struct wk_block *block = pool_small(pool, block_size(room));

    block->refs = 1;
    block->waiting = 0;
    block->rows = rows ? *rows : NULL;
    block->pool = pool;
    block->lender.back = slice_is_back;
    block->room = room;
    block->count = 0;
    if (rows)
        *rows = NULL;
    return block;
}

void wk_block_unref(struct wk_block *block)
{
    if (__atomic_sub_fetch(&block->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    batch_unref(block->rows);
    pool_small_free(block->pool, block, block_size(block->room));
}

static struct wk_element *element_of(struct wk_block *block, enum wk_element_type type)
{
    struct wk_element *e = &block->elements[block->count];

    CHECK(block->count < block->room);
    block->count++;
    __atomic_store_n(&block->refs, block->refs + 1, __ATOMIC_RELAXED); /* nobody else has seen it yet */
    e->in = NULL;
    e->block = block;
    e->type = (uint8_t)type;
    e->remote = false;
    return e;
}

struct wk_element *wk_block_control(struct wk_block *block, enum wk_element_type type, int64_t value)
{
    struct wk_element *e = element_of(block, type);

    CHECK(type != WK_DATA);
    e->value = value;
    e->first = e->rows = e->bytes = 0;
    return e;
}

struct wk_element *wk_block_slice(struct wk_block *block, uint32_t first, uint32_t rows, uint32_t bytes)
{
    struct wk_element *e = element_of(block, WK_DATA);

    CHECK(rows > 0);
    CHECK(first <= block->rows->rows && rows <= block->rows->rows - first);
    e->value = 0;
    e->first = first;
    e->rows = rows;
    e->bytes = bytes;
    return e;
}

void wk_element_free(struct wk_element *e)
{
    if (e)
        wk_block_unref(e->block);
}

rask_batch *wk_element_rows(const struct wk_element *e)
{
    CHECK(e->type == WK_DATA);
    return batch_slice(e->block->rows, e->first, e->rows);
}

uint32_t wk_row_bytes(const rask_batch *rows)
{
    uint32_t bytes = rows->event_time.data ? 8 : 0;

    if (rows->buffer_count > 0)
        return 0;
    for (uint32_t c = 0; c < rows->schema->columns; c++) {
        if (schema_is_nested(&rows->schema->fields[c]))
            return 0;
        bytes += schema_width(&rows->schema->fields[c]);
    }
    return bytes;
}

uint32_t wk_slice_bytes(const rask_batch *rows, uint32_t first, uint32_t count, uint32_t each)
{
    rask_batch part;

    if (each > 0)
        return count * each;
    part = *rows; /* borrows everything */
    part.rows = count;
    if (part.sel)
        part.sel += first;
    else
        part.first += first;
    return (uint32_t)MIN(MAX(batch_row_bytes(&part), 1u), (uint64_t)INT32_MAX);
}

rask_batch *wk_element_take(struct wk_element *e)
{
    CHECK(e->type == WK_DATA);
    return batch_slice_lent(e->block->rows, e->first, e->rows, &e->block->lender);
}

static void drop_all(struct list *elements)
{
    for (struct list *n; (n = list_pop_front(elements));)
        wk_element_free(LIST_ENTRY(n, struct wk_element, node));
}

/* ---- gate ---- */

void wk_gate_init(struct wk_gate *g, struct wk_runnable *task, uint32_t channels)
{
    g->task = task;
    g->channel_count = channels;
    g->channels = mem_alloc_array_lines(channels ? channels : 1, sizeof(*g->channels));
    g->arrived = NULL;
    list_init(&g->queue);
    for (uint32_t i = 0; i < channels; i++) {
        struct wk_in *in = &g->channels[i];

        in->gate = g;
        in->watermark = RASK_TS_MIN;
        list_init(&in->held);
    }
}

/* ---- recording ---- */

static void recorded(struct wk_in *in)
{
    in->recording = false;
    in->gate->recording--;
}

static void record(struct wk_gate *g, const struct wk_element *e)
{
    struct wk_in *in = e->in;

    if (!in->recording)
        return;
    if (e->type == WK_DATA)
        wk_inflight_add(g->record, in->edge, in->source_subtask, in->target_subtask, WK_FROM_RECEIVER, wk_element_rows(e));
    else if (e->type == WK_END || (e->type == WK_BARRIER && wk_barrier_id(e->value) == g->record_checkpoint))
        recorded(in);
}

static void record_list(struct wk_gate *g, const struct list *elements)
{
    LIST_FOREACH (n, elements)
        record(g, LIST_ENTRY(n, struct wk_element, node));
}

void wk_gate_record(struct wk_gate *g, uint64_t checkpoint, struct wk_inflight *into)
{
    CHECK(g->recording == 0);
    g->record = into;
    g->record_checkpoint = checkpoint;
    for (uint32_t i = 0; i < g->channel_count; i++) {
        struct wk_in *in = &g->channels[i];

        in->recording = !in->ended && !in->aligned_only && in->barrier != checkpoint;
        g->recording += in->recording;
    }
    for (uint32_t i = 0; i < g->channel_count; i++) /* of blocked ones; older than what is queued */
        record_list(g, &g->channels[i].held);
    record_list(g, &g->queue);
    wk_gate_collect(g);
}

void wk_gate_record_taken(struct wk_gate *g, const struct wk_element *e)
{
    record(g, e);
}

void wk_gate_record_stop(struct wk_gate *g)
{
    for (uint32_t i = 0; g->recording > 0 && i < g->channel_count; i++)
        if (g->channels[i].recording)
            recorded(&g->channels[i]);
}

/* All that has arrived, to the end of the queue. */
static void collect(struct wk_gate *g, struct wk_element *mark)
{
    struct wk_element *e = __atomic_exchange_n(&g->arrived, mark, __ATOMIC_ACQUIRE), *next;
    struct list newer;

    list_init(&newer);
    for (; e && e != CLOSED; e = next) {
        next = e->next;
        list_push_front(&newer, &e->node);
    }
    for (struct list *n; (n = list_pop_front(&newer));) {
        g->barriers += LIST_ENTRY(n, struct wk_element, node)->type == WK_BARRIER;
        if (g->recording > 0)
            record(g, LIST_ENTRY(n, struct wk_element, node));
        list_push_back(&g->queue, n);
    }
}

void wk_gate_collect(struct wk_gate *g)
{
    if (__atomic_load_n(&g->arrived, __ATOMIC_RELAXED))
        collect(g, NULL);
}

void wk_gate_close(struct wk_gate *g)
{
    collect(g, CLOSED);
    drop_all(&g->queue);
    for (uint32_t i = 0; i < g->channel_count; i++) {
        struct wk_in *in = &g->channels[i];

        drop_all(&in->held);
        __atomic_store_n(&in->taken, wk_counted(&in->pushed), __ATOMIC_RELAXED);
        __atomic_store_n(&in->taken_bytes, wk_counted(&in->pushed_bytes), __ATOMIC_RELAXED);
    }
}

void wk_gate_release(struct wk_gate *g)
{
    if (!g->channels)
        return;
    wk_gate_close(g);
    mem_free(g->channels);
    g->channels = NULL;
}

bool wk_in_push_quietly(struct wk_in *in, struct wk_element *e)
{
    struct wk_gate *g = in->gate;
    struct wk_element *newest = __atomic_load_n(&g->arrived, __ATOMIC_RELAXED);
    uint32_t bytes = e->bytes; /* the element is the receiver's as soon as it can be seen */
    bool wakes = e->type == WK_BARRIER || e->type == WK_END;

    e->in = in;
    wk_count(&in->pushed, 1);
    wk_count(&in->pushed_bytes, bytes);
    do {
        if (newest == CLOSED) {
            wk_count(&in->pushed, -1ull);
            wk_count(&in->pushed_bytes, -(uint64_t)bytes);
            wk_element_free(e);
            return false;
        }
        e->next = newest;
    } while (!__atomic_compare_exchange_n(&g->arrived, &newest, e, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    /* what lay there already has a task that is woken for it; but one that waits for room in its outputs left it there */
    return !newest || wakes;
}

void wk_in_push(struct wk_in *in, struct wk_element *e)
{
    struct wk_runnable *task = in->gate->task; /* e may be gone, and in with it, as soon as it is pushed */
    bool hurries = e->type == WK_BARRIER && (e->value & WK_BARRIER_UNALIGNED);

    if (!wk_in_push_quietly(in, e))
        return;
    if (hurries)
        wk_hurry(task);
    wk_ready(task);
}

struct wk_element *wk_gate_take(struct wk_gate *g, struct wk_in **ret_in)
{
    for (;;) {
        struct list *n = list_pop_front(&g->queue);
        struct wk_element *e;

        if (!n) {
            if (!__atomic_load_n(&g->arrived, __ATOMIC_RELAXED))
                return NULL;
            collect(g, NULL);
            continue;
        }
        e = LIST_ENTRY(n, struct wk_element, node);
        if (e->in->blocked) {
            list_push_back(&e->in->held, &e->node);
            continue;
        }
        wk_count(&e->in->taken, 1);
        wk_count(&e->in->taken_bytes, e->bytes);
        *ret_in = e->in;
        return e;
    }
}

/* pushed is read last: what was taken was pushed before. */
static uint64_t waiting(const uint64_t *pushed, const uint64_t *taken)
{
    uint64_t t = __atomic_load_n(taken, __ATOMIC_ACQUIRE), p = __atomic_load_n(pushed, __ATOMIC_RELAXED);

    return p > t ? p - t : 0;
}

uint64_t wk_in_queued_bytes(const struct wk_in *in)
{
    return waiting(&in->pushed_bytes, &in->taken_bytes);
}

uint64_t wk_in_queued(const struct wk_in *in)
{
    return waiting(&in->pushed, &in->taken);
}

void wk_in_block(struct wk_in *in, enum wk_block_reason why)
{
    in->blocked |= (uint8_t)why;
}

void wk_gate_unblock(struct wk_gate *g, enum wk_block_reason why)
{
    for (uint32_t i = 0; i < g->channel_count; i++) {
        struct wk_in *in = &g->channels[i];
        struct list *n;

        in->blocked &= (uint8_t)~why;
        while (!in->blocked && (n = in->held.prev) != &in->held) { /* older than what is queued: before it, the newest first */
            list_remove(n);
            list_push_front(&g->queue, n);
        }
    }
}

/* ---- credit ---- */

/* Written in this order: who checks a slice reads them in the other one, and may find too much, never too little. */
static void grant(struct wk_in *in, uint32_t bytes, uint32_t total)
{
    __atomic_store_n(&in->granted, in->granted + bytes, __ATOMIC_RELEASE);
    __atomic_store_n(&in->credit_bytes, total, __ATOMIC_RELEASE);
    in->told_bytes = total;
    in->grant(in, bytes);
}

void wk_in_open(struct wk_in *in, uint32_t credit_bytes)
{
    in->wanted_bytes = credit_bytes;
    grant(in, credit_bytes, credit_bytes);
}

void wk_in_resize(struct wk_in *in, uint32_t wanted_bytes)
{
    CHECK(wanted_bytes > 0);
    in->wanted_bytes = wanted_bytes;
    if (wanted_bytes > in->credit_bytes)
        grant(in, wanted_bytes - in->credit_bytes, wanted_bytes);
}

/* A credit that shrinks keeps what would go back. */
static void withhold(struct wk_in *in)
{
    uint32_t excess = in->credit_bytes - in->wanted_bytes, less;

    if (in->credit_bytes <= in->wanted_bytes)
        return;
    less = (uint32_t)MIN(in->unreturned, (uint64_t)excess);
    in->unreturned -= less;
    __atomic_store_n(&in->credit_bytes, in->credit_bytes - less, __ATOMIC_RELEASE);
}

/* An empty channel gives everything back: what waits at the sender may need the whole credit. */
static bool gives_back(const struct wk_in *in)
{
    if (in->unreturned > 0 && in->unreturned >= in->credit_bytes / 4)
        return true; /* without a look at what the sender writes */
    return (in->unreturned > 0 || in->told_bytes != in->credit_bytes) && wk_in_queued(in) == 0;
}

void wk_in_consumed(struct wk_in *in, uint32_t bytes)
{
    in->unreturned += bytes;
    withhold(in);
    if (gives_back(in)) { /* who pushes after its look makes another call of this function follow */
        uint32_t give = (uint32_t)MIN(in->unreturned, (uint64_t)UINT32_MAX);

        in->unreturned -= give;
        grant(in, give, in->credit_bytes);
    }
}

bool wk_in_within_credit(const struct wk_in *in, uint32_t bytes)
{
    uint32_t total = __atomic_load_n(&in->credit_bytes, __ATOMIC_ACQUIRE);
    int64_t left = (int64_t)(__atomic_load_n(&in->granted, __ATOMIC_ACQUIRE) - wk_counted(&in->pushed_bytes));

    return total > 0 && (left >= bytes || left >= total);
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
    drop_all(&out->pending);
}

static void grant_local(struct wk_in *in, uint32_t bytes)
{
    wk_out_grant(in->peer, bytes, in->credit_bytes);
}

void wk_out_connect_local(struct wk_out *out, struct wk_in *in)
{
    out->local = in;
    in->peer = out;
    in->grant = grant_local;
}

void wk_out_grant(struct wk_out *out, uint32_t bytes, uint32_t total)
{
    __atomic_store_n(&out->credit_total, total, __ATOMIC_RELEASE);
    __atomic_fetch_add(&out->credit, bytes, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&out->waits, __ATOMIC_SEQ_CST) && __atomic_exchange_n(&out->waits, 0, __ATOMIC_SEQ_CST))
        wk_ready(out->task);
}

/* Larger than the whole credit: alone, when nothing else is under way. The debt is paid back by its own grant. */
static bool is_enough(const struct wk_out *out, uint32_t bytes)
{
    int64_t credit = __atomic_load_n(&out->credit, __ATOMIC_SEQ_CST);
    int64_t total = __atomic_load_n(&out->credit_total, __ATOMIC_ACQUIRE);

    return total > 0 && (credit >= bytes || credit >= total);
}

/* After the wish was written, credit that came before it is looked for once more. */
static bool enough_or_wait(struct wk_out *out, uint32_t bytes)
{
    if (is_enough(out, bytes))
        return true;
    __atomic_store_n(&out->waits, 1, __ATOMIC_SEQ_CST);
    return is_enough(out, bytes);
}

bool wk_out_reserve(struct wk_out *out, uint32_t bytes)
{
    if (!enough_or_wait(out, bytes))
        return false;
    __atomic_fetch_sub(&out->credit, bytes, __ATOMIC_ACQ_REL);
    return true;
}

bool wk_out_has_credit(struct wk_out *out)
{
    return enough_or_wait(out, 1);
}
