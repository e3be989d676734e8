/* edge.c - partitioning, blocks and slices. See edge.h. */
#include "taskmanager/worker/exchange/edge.h"

#include "common/base/check.h"
#include "common/base/cpu.h"
#include "common/base/mem.h"
#include "common/types/key_bytes.h"
#include "taskmanager/worker/exchange/link.h"
#include "taskmanager/worker/task/executor.h"

#define SPLITS_HELD_MAX 2048u
#define SPLITS_HELD_BATCHES 32 /* what one call adds before it waits is far below the rest */

static void control(struct wk_edge *e, enum wk_element_type type, int64_t value);
static void tell_end_of_time(struct wk_edge *e);

/* Its channels may be changed by the loop, while the task runs. */
static void lock(struct wk_edge *e)
{
    if (e->splits)
        pthread_mutex_lock(&e->splits->lock);
}

static void unlock(struct wk_edge *e)
{
    if (e->splits)
        pthread_mutex_unlock(&e->splits->lock);
}

static void drop_held(struct wk_edge *e)
{
    for (uint32_t i = 0; i < e->held_count; i++)
        batch_unref(e->held[i]);
    e->held_count = 0;
    e->held_rows = 0;
    wk_count(&e->held_bytes, -e->held_bytes);
}

void wk_edge_release(struct wk_edge *e)
{
    drop_held(e);
    for (uint32_t i = 0; i < e->channel_count; i++)
        wk_out_release(&e->channels[i]);
    e->channel_count = 0;
    wk_splits_free(e->splits);
    e->splits = NULL;
    wk_partition_release(&e->partition);
    wk_merge_free(e->merge);
    e->merge = NULL;
    mem_free(e->unwoken);
    e->unwoken = NULL;
    mem_free(e->channels);
    mem_free(e->rank_of_subtask);
    mem_free(e->rank_of_group);
    mem_free(e->key_columns);
    e->channels = NULL;
    e->rank_of_subtask = NULL;
    e->rank_of_group = NULL;
    e->key_columns = NULL;
}

bool wk_edge_full(const struct wk_edge *e)
{
    if (e->overdraws)
        return e->bytes_waiting >= EDGE_OVERDRAFT_BYTES;
    if (e->partitioner == RASK__GRAPH__PARTITIONER__SPLITS)
        return e->held_rows >= SPLITS_HELD_MAX || e->held_count >= SPLITS_HELD_BATCHES;
    /* Over the worker's budget one block in each edge has to do. */
    return e->blocks_waiting >= wk_edge_blocks_max(e) || (e->blocks_waiting > 0 && (e->narrow || pool_over(e->pool)));
}

bool wk_edge_drained(const struct wk_edge *e)
{
    return !wk_edge_holds(e) && wk_counted(&e->elements_waiting) == 0;
}

bool wk_edge_is_consumed(const struct wk_edge *e)
{
    for (uint32_t i = 0; i < e->channel_count; i++)
        if (__atomic_load_n(&e->channels[i].credit, __ATOMIC_RELAXED) <
            __atomic_load_n(&e->channels[i].credit_total, __ATOMIC_RELAXED))
            return false;
    return true;
}

uint64_t wk_edge_in_flight(const struct wk_edge *e)
{
    int64_t bytes = 0;

    for (uint32_t i = 0; i < e->channel_count; i++)
        bytes += __atomic_load_n(&e->channels[i].credit_total, __ATOMIC_RELAXED) -
                 __atomic_load_n(&e->channels[i].credit, __ATOMIC_RELAXED);
    return bytes > 0 ? (uint64_t)bytes : 0;
}

/* ---- sending ---- */

/* A slice of it leaves: the block may be gone as soon as its receiver has it. */
static void slice_sent(struct wk_edge *e, struct wk_block *block)
{
    if (--block->waiting == 0)
        wk_count(&e->blocks_waiting, -1ull);
}

/* Pops the head of a channel, which was found to be sendable. */
static struct wk_element *pop(struct wk_edge *e, struct wk_out *out)
{
    struct wk_element *el = LIST_ENTRY(list_pop_front(&out->pending), struct wk_element, node);

    wk_count(&e->elements_waiting, -1ull);
    wk_count(&e->bytes_waiting, -(uint64_t)el->bytes);
    e->barriers_waiting -= el->type == WK_BARRIER;
    return el;
}

static struct wk_element *head(struct wk_out *out)
{
    return list_empty(&out->pending) ? NULL : LIST_ENTRY(out->pending.next, struct wk_element, node);
}

static void wake_readers(struct wk_edge *e)
{
    wk_ready_all(e->unwoken, e->unwoken_count);
    e->unwoken_count = 0;
    e->sated = false;
}

/*
 * A block of many short slices: readers that took each as it comes would pay for a step each time.  They get what the whole
 * step of this task made.
 */
static void wake_later(struct wk_edge *e, struct wk_runnable *reader)
{
    if (!e->unwoken)
        e->unwoken = mem_alloc_array(e->channel_count, sizeof(struct wk_runnable *));
    if (e->unwoken_count == e->channel_count)
        wake_readers(e);
    e->unwoken[e->unwoken_count++] = reader;
}

void wk_edge_wake(struct wk_edge *e)
{
    tell_end_of_time(e);
    wake_readers(e);
}

static void send_local(struct wk_edge *e, struct wk_out *out)
{
    struct wk_element *el = pop(e, out);

    if (el->type == WK_DATA)
        slice_sent(e, el->block);
    if (wk_edge_width(e) == 1)
        wk_in_push(out->local, el);
    else if (wk_in_push_quietly(out->local, el))
        wake_later(e, out->local->gate->task);
}

/* Sends the head of channel `rank` and, while they belong to the same run of rows, those of the ranks behind it. */
static void send_run(struct wk_edge *e, uint32_t rank)
{
    struct wk_out *out = &e->channels[rank];
    struct wk_element *el = pop(e, out); /* holds the block until the run is encoded */
    struct wk_link *link = out->link;
    struct wk_block *block = el->block;
    struct wk_run run;

    wk_run_begin(&run, link, e->id, e->source_subtask, block, el->first);
    wk_run_add(&run, out->target_subtask, el->rows, el->bytes);
    slice_sent(e, block);
    for (uint32_t i = rank + 1; i < e->channel_count; i++) {
        struct wk_out *o = &e->channels[i];
        struct wk_element *h = head(o);

        if (o->link != link)
            break;
        if (!h || h->type != WK_DATA || h->block != block || h->first != run.first + run.rows ||
            !wk_out_reserve(o, h->bytes))
            continue;
        pop(e, o);
        wk_run_add(&run, o->target_subtask, h->rows, h->bytes);
        slice_sent(e, block);
        wk_element_free(h);
    }
    wk_run_send(&run);
    wk_element_free(el);
}

/*
 * A slice that is larger than the channel's whole credit leaves in parts of half of it, so that no more is under way than the
 * credit; only a single row may be larger.  The part becomes the head, in a block of its own.
 */
static void split_head(struct wk_edge *e, struct wk_out *out)
{
    struct wk_element *el = head(out), *part;
    int64_t total = __atomic_load_n(&out->credit_total, __ATOMIC_ACQUIRE);
    uint32_t rows, bytes, taken;
    struct wk_block *block;
    rask_batch *shared;

    if (el->rows < 2 || total == 0 || el->bytes <= total || e->partitioner == RASK__GRAPH__PARTITIONER__SPLITS)
        return;
    rows = (uint32_t)MAX((uint64_t)el->rows * (uint64_t)total / el->bytes / 2, 1u);
    bytes = wk_slice_bytes(el->block->rows, el->first, rows, wk_row_bytes(el->block->rows));
    shared = batch_ref(el->block->rows);
    block = wk_block_new(e->pool, &shared, 1);
    part = wk_block_slice(block, el->first, rows, bytes);
    block->waiting = 1;
    wk_count(&e->blocks_waiting, 1);
    wk_block_unref(block);
    el->first += rows;
    el->rows -= rows;
    taken = MIN(bytes, el->bytes - 1);
    el->bytes -= taken;
    list_push_front(&out->pending, &part->node);
    wk_count(&e->elements_waiting, 1);
    wk_count(&e->bytes_waiting, (uint64_t)part->bytes - taken);
}

static bool send_channel(struct wk_edge *e, uint32_t rank)
{
    struct wk_out *out = &e->channels[rank];
    struct wk_element *el;
    bool any = false;

    while ((el = head(out)) != NULL) {
        if (el->type == WK_DATA && el->bytes > 1) {
            split_head(e, out);
            el = head(out);
        }
        if (el->type == WK_DATA && !wk_out_reserve(out, el->bytes))
            break;
        any = true;
        if (out->local) {
            send_local(e, out);
        } else if (el->type == WK_DATA) {
            send_run(e, rank);
        } else {
            pop(e, out);
            wk_link_control(out->link, e->id, e->source_subtask, out->target_subtask, (enum wk_element_type)el->type, el->value);
            wk_element_free(el);
        }
    }
    return any;
}

static void wait_in(struct wk_edge *e, struct wk_out *out, struct wk_element *el)
{
    list_push_back(&out->pending, &el->node);
    wk_count(&e->elements_waiting, 1);
    wk_count(&e->bytes_waiting, el->bytes);
    e->barriers_waiting += el->type == WK_BARRIER;
}

static void add_slice(struct wk_edge *e, uint32_t rank, struct wk_block *block, uint32_t first, uint32_t rows, uint32_t bytes)
{
    struct wk_element *el = wk_block_slice(block, first, rows, bytes);

    block->waiting++;
    wait_in(e, &e->channels[rank], el);
    wk_count(&e->rows_out, rows);
    wk_count(&e->bytes_out, el->bytes);
}

/* ---- destinations ---- */

/* Of all key groups; the groups of subtasks that this edge does not lead to never occur. */
static uint16_t *ranks_of_groups(const struct wk_edge *e)
{
    uint16_t *rank = mem_alloc_array(e->max_parallelism, sizeof(*rank));

    for (uint32_t g = 0; g < e->max_parallelism; g++)
        rank[g] = e->rank_of_subtask[key_group_subtask(g, e->max_parallelism, e->target_parallelism)];
    return rank;
}

static void dest_hash(struct wk_edge *e, const rask_batch *b, uint16_t *dest, uint64_t *hash)
{
    key_hash_batch(b, e->key_columns, e->key_count, hash);
    if (!e->rank_of_group)
        e->rank_of_group = ranks_of_groups(e);
    wk_partition_by_hash(hash, b->rows, e->max_parallelism, e->rank_of_group, dest);
}

static void dest_custom(struct wk_edge *e, const rask_batch *b, uint16_t *dest)
{
    for (uint32_t i = 0; i < b->rows; i++) {
        rask_row row = rask_batch_row(b, i);
        uint32_t target = e->custom(&row, e->target_parallelism);

        if (target >= e->target_parallelism) {
            e->error = 1;
            e->error_channel = target;
            target = 0;
        }
        dest[i] = e->rank_of_subtask[target];
    }
}

static void destinations(struct wk_edge *e, const rask_batch *b, uint16_t *dest, uint64_t *hash)
{
    switch (e->partitioner) {
    case RASK__GRAPH__PARTITIONER__HASH:
        dest_hash(e, b, dest, hash);
        break;
    case RASK__GRAPH__PARTITIONER__CUSTOM:
        dest_custom(e, b, dest);
        break;
    case RASK__GRAPH__PARTITIONER__SHUFFLE:
        wk_partition_at_random(&e->random, b->rows, e->channel_count, dest);
        break;
    case RASK__GRAPH__PARTITIONER__GLOBAL:
        for (uint32_t i = 0; i < b->rows; i++)
            dest[i] = e->rank_of_subtask[0];
        break;
    default: /* REBALANCE, RESCALE and single channels: round robin, row by row */
        wk_partition_in_turn(&e->next, b->rows, e->channel_count, dest);
    }
}

/* Less credit than a block over all channels: the receivers want little under way, and one block that waits is plenty. */
static bool is_narrow(const struct wk_edge *e, int64_t credit)
{
    return credit < (int64_t)EDGE_BLOCK_BYTES * wk_edge_width(e) / 2;
}

static int64_t whole_credit(const struct wk_edge *e)
{
    int64_t total = 0;

    for (uint32_t i = 0; i < e->channel_count; i++)
        total += __atomic_load_n(&e->channels[i].credit_total, __ATOMIC_RELAXED);
    return total;
}

/* rows is taken. */
static struct wk_block *block_of(struct wk_edge *e, rask_batch *rows)
{
    wk_count(&e->blocks_waiting, 1);
    if (wk_edge_width(e) == 1) /* else look_at_credit */
        e->narrow = is_narrow(e, whole_credit(e));
    return wk_block_new(e->pool, &rows, e->channel_count + wk_edge_width(e) - 1);
}

/* All held rows as one batch in order, for edges whose channels all get the same. */
static rask_batch *held_as_one(struct wk_edge *e)
{
    uint16_t position[RASK_BATCH_ROWS_MAX];

    if (e->held_count == 1)
        return batch_ref(e->held[0]);
    for (uint32_t i = 0; i < e->held_rows; i++)
        position[i] = (uint16_t)i;
    return batch_gather(e->pool, e->held, e->held_count, position, e->held_rows);
}

static rask_batch *with_hash(struct wk_edge *e, rask_batch *rows)
{
    uint64_t hash[RASK_BATCH_ROWS_MAX];
    rask_batch *hashed;

    key_hash_batch(rows, e->key_columns, e->key_count, hash);
    wk_hot_sample(&e->hot, hash, rows->rows, e->max_parallelism);
    if (e->drops_hash)
        return rows;
    hashed = batch_with_hash(rows, hash);
    batch_unref(rows);
    return hashed;
}

static void cut_whole(struct wk_edge *e)
{
    rask_batch *rows = held_as_one(e);
    struct wk_block *block;
    uint32_t bytes;

    if (e->partitioner == RASK__GRAPH__PARTITIONER__HASH)
        rows = with_hash(e, rows);
    bytes = wk_slice_bytes(rows, 0, rows->rows, wk_row_bytes(rows));
    block = block_of(e, rows);
    for (uint32_t i = 0; i < e->channel_count; i++)
        add_slice(e, i, block, 0, rows->rows, bytes);
    wk_block_unref(block);
    drop_held(e);
}

static bool is_one_place(const uint16_t *dest, uint32_t rows)
{
    return memcmp(dest, dest + 1, (rows - 1) * sizeof(*dest)) == 0; /* each is as the one behind it */
}

/* The held rows in the order of their channels; e->partition.end says where each one's end. carried: their hashes, or NULL. */
static rask_batch *in_order(struct wk_edge *e, const uint16_t *dest, const uint64_t *carried)
{
    uint16_t position[EDGE_BLOCK_ROWS_MAX];
    uint32_t rows = e->held_rows;
    rask_batch *ordered;

    if (e->held_count == 1 && !e->held[0]->sel && is_one_place(dest, rows)) { /* they are in order, and stay where they are */
        for (uint32_t c = 0; c < e->channel_count; c++)
            e->partition.end[c] = c < dest[0] ? 0 : rows;
        return carried ? batch_with_hash(e->held[0], carried) : batch_ref(e->held[0]);
    }
    ordered = batch_partition(e->pool, e->held, e->held_count, dest, e->channel_count, rows, carried, e->partition.end);
    if (ordered)
        return ordered;
    wk_partition_sort(&e->partition, dest, rows, position);
    return batch_gather_hashed(e->pool, e->held, e->held_count, position, rows, carried);
}

static void cut_partitioned(struct wk_edge *e)
{
    uint16_t dest[EDGE_BLOCK_ROWS_MAX];
    uint64_t hash[EDGE_BLOCK_ROWS_MAX]; /* that do not travel are written one batch over the other: so many leave the caches */
    bool hashed = e->partitioner == RASK__GRAPH__PARTITIONER__HASH, carried = hashed && !e->drops_hash;
    uint32_t sampled = e->hot.next % MAX(e->held_count, 1u), rows = e->held_rows, at = 0, each;
    rask_batch *gathered;
    struct wk_block *block;

    if (!e->partition.end)
        wk_partition_init(&e->partition, e->channel_count);
    for (uint32_t i = 0; i < e->held_count; i++) {
        uint64_t *to = hash + (carried ? at : 0);

        destinations(e, e->held[i], dest + at, to);
        if (hashed && i == sampled)
            wk_hot_sample(&e->hot, to, e->held[i]->rows, e->max_parallelism);
        at += e->held[i]->rows;
    }
    CHECK(at == rows);
    gathered = in_order(e, dest, carried ? hash : NULL);
    block = block_of(e, gathered);
    each = wk_row_bytes(gathered);
    at = 0;
    for (uint32_t i = 0; i < e->channel_count; i++)
        while (at < e->partition.end[i]) {
            uint32_t n = MIN(e->partition.end[i] - at, (uint32_t)RASK_BATCH_ROWS_MAX);

            add_slice(e, i, block, at, n, wk_slice_bytes(gathered, at, n, each));
            at += n;
        }
    wk_block_unref(block);
    drop_held(e);
}

/* SPLITS: a row goes to a channel that has its credit and nothing waiting, so readers pull. */
static void dispatch_splits(struct wk_edge *e)
{
    while (e->held_count > 0) {
        rask_batch *b = e->held[0];
        rask_row first = rask_batch_row(b, 0);
        uint32_t tried = 0;

        for (; tried < e->channel_count; tried++) {
            struct wk_out *out = &e->channels[e->next];

            if (list_empty(&out->pending) && wk_out_has_credit(out))
                break;
            e->next = (e->next + 1) % e->channel_count;
        }
        if (tried == e->channel_count)
            return;
        if (e->splits)
            wk_splits_given(e->splits, e->next, &first);
        struct wk_block *block = block_of(e, batch_slice(b, 0, 1));

        add_slice(e, e->next, block, 0, 1, 1);
        wk_block_unref(block);
        send_channel(e, e->next);
        e->next = (e->next + 1) % e->channel_count;
        e->held[0] = b->rows > 1 ? batch_slice(b, 1, b->rows - 1) : NULL;
        e->held_rows--;
        if (e->held_rows == 0)
            wk_count(&e->held_bytes, -e->held_bytes);
        batch_unref(b);
        if (!e->held[0]) {
            for (uint32_t i = 1; i < e->held_count; i++)
                e->held[i - 1] = e->held[i];
            e->held_count--;
        }
    }
}

void wk_edge_drop_splits(struct wk_edge *e)
{
    drop_held(e);
}

static void end_splits(struct wk_edge *e)
{
    if (!e->end_wanted || e->held_count > 0)
        return;
    e->end_wanted = false;
    control(e, WK_END, 0);
}

/* The marker takes its place in a channel, which is returned. */
static uint32_t marker_waits(struct wk_edge *e)
{
    struct wk_block *block = wk_block_new(e->pool, NULL, 1);
    uint32_t rank = e->marker_rank;

    e->marker_rank = (rank + 1) % e->channel_count;
    e->has_marker = false;
    wait_in(e, &e->channels[rank], wk_block_control(block, WK_LATENCY, e->marker));
    wk_block_unref(block);
    return rank;
}

static void cut(struct wk_edge *e)
{
    if (e->held_count == 0)
        return;
    if (e->partitioner == RASK__GRAPH__PARTITIONER__SPLITS)
        dispatch_splits(e);
    else if (e->channel_count == 1 || e->partitioner == RASK__GRAPH__PARTITIONER__BROADCAST)
        cut_whole(e);
    else
        cut_partitioned(e);
    if (e->has_marker)
        marker_waits(e);
}

void wk_edge_marker(struct wk_edge *e, int64_t value)
{
    if (e->partitioner == RASK__GRAPH__PARTITIONER__SPLITS || e->channel_count == 0)
        return;
    e->marker = value;
    e->has_marker = true;
    if (!wk_edge_holds(e))
        send_channel(e, marker_waits(e));
}

/*
 * A wide edge, when it has sent: its lines of credit are here now, and not where readers have changed them.  Half of the
 * credit is under way: what comes next would leave the caches before a reader gets to it.
 */
static void look_at_credit(struct wk_edge *e)
{
    int64_t total = whole_credit(e), left = 0;

    for (uint32_t i = 0; i < e->channel_count; i++)
        left += __atomic_load_n(&e->channels[i].credit, __ATOMIC_RELAXED);
    e->narrow = is_narrow(e, total);
    e->sated = e->sated || left <= total / 2;
}

/*
 * What sending to a local channel changes was changed last by its reader, mostly on another core: credit, the counts of what
 * was pushed, the stack of arrivals.  They are asked for some channels ahead, for they would be waited for one by one.
 */
enum { AHEAD_OUT = 12, AHEAD_IN = 8, AHEAD_GATE = 4 };
FETCHES_FOR_WRITING static void fetch_ahead(const struct wk_edge *e, uint32_t at)
{
    const struct wk_out *out = e->channels + at;
    uint32_t left = e->channel_count - at;

    if (left > AHEAD_OUT) {
        __builtin_prefetch(&out[AHEAD_OUT].pending, 1);
        __builtin_prefetch(&out[AHEAD_OUT].credit, 1);
    }
    if (left > AHEAD_IN && out[AHEAD_IN].local) {
        __builtin_prefetch(&out[AHEAD_IN].local->gate);
        __builtin_prefetch(&out[AHEAD_IN].local->pushed, 1);
    }
    if (left > AHEAD_GATE && out[AHEAD_GATE].local)
        __builtin_prefetch(&out[AHEAD_GATE].local->gate->arrived, 1);
}

static bool send_waiting(struct wk_edge *e)
{
    bool any = false;

    if (e->partitioner == RASK__GRAPH__PARTITIONER__SPLITS) {
        uint32_t before = e->held_rows;

        dispatch_splits(e);
        any = e->held_rows != before;
        end_splits(e);
    }
    if (e->elements_waiting > 0)
        for (uint32_t i = 0; i < e->channel_count; i++) {
            fetch_ahead(e, i);
            any = send_channel(e, i) || any;
        }
    return any;
}

static void flush_held(struct wk_edge *e)
{
    cut(e);
    send_waiting(e);
    if (wk_edge_width(e) > 1)
        look_at_credit(e);
}

static void hold(struct wk_edge *e, rask_batch *batch)
{
    bool splits = e->partitioner == RASK__GRAPH__PARTITIONER__SPLITS;
    uint32_t rows_max = wk_edge_width(e) * RASK_BATCH_ROWS_MAX;

    tell_end_of_time(e);
    if (!splits && e->held_count > 0 &&
        (e->held_rows + batch->rows > rows_max || e->held_count == EDGE_HELD_MAX / EDGE_WIDER_MAX * wk_edge_width(e)))
        flush_held(e);
    CHECK(e->held_count < EDGE_HELD_MAX);
    e->held[e->held_count++] = batch;
    e->held_rows += batch->rows;
    wk_count(&e->held_bytes, batch_row_bytes(batch));
    if (splits || e->held_rows == rows_max || e->held_bytes >= EDGE_BLOCK_BYTES * wk_edge_width(e))
        flush_held(e);
}

static void hold_merged(struct wk_edge *e)
{
    rask_batch *b;

    while (e->merge && (b = wk_merge_drain(e->merge)) != NULL)
        hold(e, b);
}

void wk_edge_emit(struct wk_edge *e, rask_batch *batch)
{
    bool merged = e->merge && !batch->kind.data && wk_merge_wants(e->merge, batch->rows); /* kind: it changes rows */

    lock(e);
    if (!merged || wk_merge_is_full(e->merge, batch->rows))
        hold_merged(e);
    e->merges |= merged;
    if (merged)
        wk_merge_add(e->merge, batch);
    else
        hold(e, batch);
    unlock(e);
}

void wk_edge_flush(struct wk_edge *e)
{
    lock(e);
    hold_merged(e);
    flush_held(e);
    unlock(e);
}

void wk_edge_feed(struct wk_edge *e)
{
    lock(e);
    if (!e->merges)
        hold_merged(e);
    e->merges = false;
    flush_held(e);
    unlock(e);
}

bool wk_edge_send_waiting(struct wk_edge *e)
{
    bool any;

    lock(e);
    any = send_waiting(e);
    unlock(e);
    return any;
}

/* ---- barriers that overtake ---- */

static void send_control(struct wk_edge *e, struct wk_out *out, enum wk_element_type type, int64_t value)
{
    struct wk_block *block;

    if (!out->local) {
        wk_link_control(out->link, e->id, e->source_subtask, out->target_subtask, type, value);
        return;
    }
    block = wk_block_new(e->pool, NULL, 1);
    wk_in_push(out->local, wk_block_control(block, type, value));
    wk_block_unref(block);
}

/* Rows that wait, up to the element; NULL: all. */
static void record_pending(struct wk_edge *e, struct wk_out *out, const struct wk_element *end)
{
    LIST_FOREACH (n, &out->pending) {
        const struct wk_element *el = LIST_ENTRY(n, struct wk_element, node);

        if (el == end)
            return;
        if (el->type == WK_DATA)
            wk_inflight_add(e->inflight, e->id, e->source_subtask, out->target_subtask, WK_FROM_SENDER, wk_element_rows(el));
    }
}

static void overtake(struct wk_edge *e, int64_t value)
{
    hold_merged(e);
    cut(e);
    for (uint32_t i = 0; i < e->channel_count; i++) {
        struct wk_out *out = &e->channels[i];

        if (e->ended && list_empty(&out->pending)) /* who is behind this edge has counted it as come */
            continue;
        record_pending(e, out, NULL);
        send_control(e, out, WK_BARRIER, value);
    }
}

static struct wk_element *waiting_barrier(struct wk_out *out, uint64_t checkpoint)
{
    LIST_FOREACH (n, &out->pending) {
        struct wk_element *el = LIST_ENTRY(n, struct wk_element, node);

        if (el->type == WK_BARRIER && wk_barrier_id(el->value) == checkpoint)
            return el;
    }
    return NULL;
}

void wk_edge_hurry(struct wk_edge *e, int64_t value)
{
    bool skipped = e->skipped_barrier == wk_barrier_id(value);

    if (e->aligned_only)
        return;
    e->skipped_barrier = skipped ? 0 : e->skipped_barrier;
    for (uint32_t i = 0; i < e->channel_count; i++) {
        struct wk_out *out = &e->channels[i];
        struct wk_element *el = waiting_barrier(out, wk_barrier_id(value));

        if (!el && (!skipped || list_empty(&out->pending)))
            continue;
        record_pending(e, out, el);
        if (el) {
            list_remove(&el->node);
            wk_count(&e->elements_waiting, -1ull);
            e->barriers_waiting--;
            wk_element_free(el);
        }
        send_control(e, out, WK_BARRIER, value);
    }
}

bool wk_edge_settled(const struct wk_edge *e)
{
    return e->aligned_only || (e->barriers_waiting == 0 && (e->skipped_barrier == 0 || e->elements_waiting == 0));
}

void wk_edge_replay(struct wk_edge *e, uint32_t target, rask_batch *rows)
{
    struct wk_block *block;
    uint32_t rank;

    if (target == WK_ANY_SUBTASK) {
        wk_edge_emit(e, rows);
        return;
    }
    CHECK(!wk_edge_holds(e) && target < e->target_parallelism);
    rank = e->rank_of_subtask[target];
    CHECK(rank < e->channel_count);
    if (e->partitioner == RASK__GRAPH__PARTITIONER__HASH)
        rows = with_hash(e, rows);
    block = block_of(e, rows);
    add_slice(e, rank, block, 0, block->rows->rows, wk_slice_bytes(block->rows, 0, block->rows->rows, wk_row_bytes(block->rows)));
    wk_block_unref(block);
    send_channel(e, rank);
}

/* Nobody is behind this channel now; who comes gets what was sent (wk_edge_attach), but for barriers. */
static bool is_detached(const struct wk_edge *e, uint32_t rank)
{
    return e->splits && !e->channels[rank].local && !e->channels[rank].link;
}

static void control_all(struct wk_edge *e, enum wk_element_type type, int64_t value)
{
    struct wk_block *block = wk_block_new(e->pool, NULL, e->channel_count);

    for (uint32_t i = 0; i < e->channel_count; i++)
        if (!is_detached(e, i))
            wait_in(e, &e->channels[i], wk_block_control(block, type, value));
    wk_block_unref(block);
    for (uint32_t i = 0; i < e->channel_count; i++)
        send_channel(e, i);
}

/* END follows the end of event time in the same step, mostly: one element for each channel instead of two. */
static void tell_end_of_time(struct wk_edge *e)
{
    if (!e->time_ended)
        return;
    e->time_ended = false;
    control_all(e, WK_WATERMARK, RASK_TS_MAX);
}

static void control(struct wk_edge *e, enum wk_element_type type, int64_t value)
{
    if (type != WK_END)
        tell_end_of_time(e);
    if (type == WK_BARRIER && value & WK_BARRIER_UNALIGNED && !e->aligned_only) {
        overtake(e, value);
        return;
    }
    if (type == WK_END && e->held_count > 0 && e->partitioner == RASK__GRAPH__PARTITIONER__SPLITS) {
        e->end_wanted = true;
        flush_held(e);
        return;
    }
    if (e->ended) { /* a barrier: who is behind this edge counts it as come when the end has */
        e->skipped_barrier = wk_barrier_id(value);
        return;
    }
    if (e->splits && type == WK_BARRIER && wk_barrier_id(value) <= e->splits->given_up)
        return; /* readers that have started again since would take it for a new one */
    if (e->splits && type == WK_BARRIER)
        e->splits->barrier = wk_barrier_id(value);
    e->ended = type == WK_END;
    value = e->ended ? e->time_ended : value;
    e->time_ended = false;
    hold_merged(e);
    if (e->partitioner != RASK__GRAPH__PARTITIONER__SPLITS) /* barriers overtake splits that nobody has: they are state */
        cut(e);
    if (type == WK_WATERMARK && value == RASK_TS_MAX) {
        e->time_ended = true;
        send_waiting(e);
        return;
    }
    control_all(e, type, value);
}

void wk_edge_control(struct wk_edge *e, enum wk_element_type type, int64_t value)
{
    lock(e);
    control(e, type, value);
    unlock(e);
}

/* ---- readers that come and go ---- */

int wk_edge_attach(struct wk_edge *e, uint32_t rank, struct wk_in *local, struct wk_link *link, uint64_t checkpoint,
                   uint64_t given_up)
{
    struct wk_out *out = &e->channels[rank];
    struct wk_block *block;
    rask_batch *again;
    int splits = 0;
    bool known;

    lock(e);
    CHECK(is_detached(e, rank) && list_empty(&out->pending));
    known = wk_splits_since(e->splits, rank, checkpoint, e->pool, &again);
    if (known) {
        e->splits->given_up = MAX(e->splits->given_up, given_up);
        out->link = link;
        if (local)
            wk_out_connect_local(out, local);
    }
    if (again) { /* as one slice: it may be larger than the credit */
        block = block_of(e, again);
        splits = (int)again->rows;
        block->waiting = 1;
        wait_in(e, out, wk_block_slice(block, 0, again->rows, again->rows));
        wk_block_unref(block);
    }
    if (known && e->ended) {
        block = wk_block_new(e->pool, NULL, 1);
        wait_in(e, out, wk_block_control(block, WK_END, 0));
        wk_block_unref(block);
    }
    __atomic_store_n(&out->waits, known, __ATOMIC_SEQ_CST);
    unlock(e);
    return known ? splits : -1;
}

void wk_edge_detach(struct wk_edge *e, uint32_t rank)
{
    struct wk_out *out = &e->channels[rank];

    lock(e);
    while (!list_empty(&out->pending)) {
        struct wk_element *el = pop(e, out);

        if (el->type == WK_DATA)
            slice_sent(e, el->block);
        wk_element_free(el);
    }
    out->local = NULL;
    out->link = NULL;
    __atomic_store_n(&out->credit, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&out->credit_total, 0, __ATOMIC_SEQ_CST);
    unlock(e);
}

void wk_edge_completed(struct wk_edge *e, uint64_t checkpoint)
{
    lock(e);
    if (e->splits)
        wk_splits_completed(e->splits, checkpoint);
    unlock(e);
}
