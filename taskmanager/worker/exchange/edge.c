/* edge.c - partitioning, blocks and slices. See edge.h. */
#include "taskmanager/worker/exchange/edge.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/types/key_bytes.h"
#include "taskmanager/worker/exchange/link.h"

#define SPLITS_HELD_MAX 2048u
#define SPLITS_HELD_BATCHES (EDGE_HELD_MAX / 2) /* what one call adds before it waits is far below the rest */

static bool pointwise(Rask__Graph__Partitioner p)
{
    return p == RASK__GRAPH__PARTITIONER__FORWARD || p == RASK__GRAPH__PARTITIONER__RESCALE;
}

void wk_edge_targets(Rask__Graph__Partitioner p, uint32_t source, uint32_t sources, uint32_t targets, uint32_t *first,
                     uint32_t *count)
{
    if (!pointwise(p)) {
        *first = 0;
        *count = targets;
    } else if (sources >= targets) {
        /* target j reads sources [j * sources / targets, (j + 1) * sources / targets) */
        uint32_t j = (uint32_t)((uint64_t)source * targets / sources);

        while ((uint64_t)(j + 1) * sources / targets <= source)
            j++;
        *first = j;
        *count = 1;
    } else {
        /* target j reads source j * sources / targets */
        uint32_t begin = (uint32_t)(((uint64_t)source * targets + sources - 1) / sources);
        uint32_t end = (uint32_t)(((uint64_t)(source + 1) * targets + sources - 1) / sources);

        *first = begin;
        *count = end - begin;
    }
}

void wk_edge_release(struct wk_edge *e)
{
    for (uint32_t i = 0; i < e->held_count; i++)
        batch_unref(e->held[i]);
    e->held_count = 0;
    for (uint32_t i = 0; i < e->channel_count; i++) {
        struct wk_out *out = &e->channels[i];

        LIST_FOREACH(n, &out->pending)
        {
            struct wk_element *el = LIST_ENTRY(n, struct wk_element, node);

            if (el->block && --el->block->waiting == 0) {
                batch_unref(el->block->rows);
                mem_free(el->block);
            }
            el->block = NULL;
        }
        wk_out_release(out);
    }
    e->channel_count = 0;
    mem_free(e->channels);
    mem_free(e->rank_of_subtask);
    mem_free(e->key_columns);
    e->channels = NULL;
    e->rank_of_subtask = NULL;
    e->key_columns = NULL;
}

bool wk_edge_full(const struct wk_edge *e)
{
    if (e->partitioner == RASK__GRAPH__PARTITIONER__SPLITS)
        return e->held_rows >= SPLITS_HELD_MAX || e->held_count >= SPLITS_HELD_BATCHES;
    /* Over the worker's budget one block in each edge has to do. */
    return e->blocks_waiting >= EDGE_BLOCKS_MAX || (e->blocks_waiting > 0 && pool_over(e->pool));
}

bool wk_edge_drained(const struct wk_edge *e)
{
    return e->held_count == 0 && e->elements_waiting == 0;
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

static void block_sent(struct wk_edge *e, struct wk_block *block)
{
    if (--block->waiting > 0)
        return;
    batch_unref(block->rows);
    mem_free(block);
    wk_count(&e->blocks_waiting, -1ull);
}

/* Pops the head of a channel, which was found to be sendable. */
static struct wk_element *pop(struct wk_edge *e, struct wk_out *out)
{
    struct wk_element *el = LIST_ENTRY(list_pop_front(&out->pending), struct wk_element, node);

    wk_count(&e->elements_waiting, -1ull);
    wk_count(&e->bytes_waiting, -(uint64_t)el->bytes);
    return el;
}

static struct wk_element *head(struct wk_out *out)
{
    return list_empty(&out->pending) ? NULL : LIST_ENTRY(out->pending.next, struct wk_element, node);
}

static void send_local(struct wk_edge *e, struct wk_out *out)
{
    struct wk_element *el = pop(e, out);

    if (el->type == WK_DATA) {
        el->batch = batch_slice(el->block->rows, el->first, el->rows);
        block_sent(e, el->block);
        el->block = NULL;
    }
    wk_in_push(out->local, el);
}

/* Sends the head of channel `rank` and, while they belong to the same run of rows, those of the ranks behind it. */
static void send_run(struct wk_edge *e, uint32_t rank)
{
    struct wk_out *out = &e->channels[rank];
    struct wk_element *el = pop(e, out);
    struct wk_link *link = out->link;
    struct wk_block *block = el->block;
    struct wk_run run;

    wk_run_begin(&run, e->id, e->source_subtask, block->rows, el->first);
    wk_run_add(&run, out->target_subtask, el->rows, el->bytes);
    block->waiting++; /* keeps the block until the run is encoded */
    block_sent(e, block);
    wk_element_free(el);
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
        block_sent(e, block);
        wk_element_free(h);
    }
    wk_run_send(&run, link);
    block_sent(e, block);
}

static bool send_channel(struct wk_edge *e, uint32_t rank)
{
    struct wk_out *out = &e->channels[rank];
    struct wk_element *el;
    bool any = false;

    while ((el = head(out)) != NULL) {
        if (el->type == WK_DATA && !wk_out_reserve(out, el->bytes))
            break;
        any = true;
        if (out->local) {
            send_local(e, out);
        } else if (el->type == WK_DATA) {
            send_run(e, rank);
        } else {
            pop(e, out);
            wk_link_control(out->link, e->id, e->source_subtask, out->target_subtask, el->type, el->value);
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
}

static void add_slice(struct wk_edge *e, uint32_t rank, struct wk_block *block, uint32_t first, uint32_t rows,
                      uint64_t block_bytes)
{
    struct wk_element *el = wk_element_new(WK_DATA, 0);
    uint64_t bytes = block_bytes * rows / block->rows->rows;

    el->block = block;
    el->first = first;
    el->rows = rows;
    el->bytes = (uint32_t)MIN(MAX(bytes, 1u), (uint64_t)INT32_MAX);
    block->waiting++;
    wait_in(e, &e->channels[rank], el);
    wk_count(&e->rows_out, rows);
    wk_count(&e->bytes_out, el->bytes);
}

/* ---- destinations ---- */

static uint64_t next_random(uint64_t *state) /* splitmix64 (Steele, Lea, Flood 2014) */
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void dest_hash(struct wk_edge *e, const rask_batch *b, uint16_t *dest, uint64_t *hash)
{
    key_hash_batch(b, e->key_columns, e->key_count, hash);
    for (uint32_t i = 0; i < b->rows; i++) {
        uint32_t group = key_group_of(hash[i], e->max_parallelism);

        dest[i] = e->rank_of_subtask[key_group_subtask(group, e->max_parallelism, e->target_parallelism)];
    }
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
        for (uint32_t i = 0; i < b->rows; i++)
            dest[i] = (uint16_t)((next_random(&e->random) >> 32) * e->channel_count >> 32);
        break;
    case RASK__GRAPH__PARTITIONER__GLOBAL:
        for (uint32_t i = 0; i < b->rows; i++)
            dest[i] = e->rank_of_subtask[0];
        break;
    default: /* REBALANCE, RESCALE and single channels: round robin, row by row */
        for (uint32_t i = 0; i < b->rows; i++) {
            dest[i] = (uint16_t)e->next;
            e->next = e->next + 1 == e->channel_count ? 0 : e->next + 1;
        }
    }
}

static void drop_held(struct wk_edge *e)
{
    for (uint32_t i = 0; i < e->held_count; i++)
        batch_unref(e->held[i]);
    e->held_count = 0;
    e->held_rows = 0;
    wk_count(&e->held_bytes, -e->held_bytes);
}

static struct wk_block *block_of(rask_batch *rows)
{
    struct wk_block *block = MEM_NEW(struct wk_block);

    block->rows = rows;
    return block;
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
    hashed = batch_with_hash(rows, hash);
    batch_unref(rows);
    return hashed;
}

static void cut_whole(struct wk_edge *e)
{
    rask_batch *rows = held_as_one(e);
    struct wk_block *block;

    if (e->partitioner == RASK__GRAPH__PARTITIONER__HASH)
        rows = with_hash(e, rows);
    block = block_of(rows);
    wk_count(&e->blocks_waiting, 1);
    for (uint32_t i = 0; i < e->channel_count; i++)
        add_slice(e, i, block, 0, block->rows->rows, e->held_bytes);
    drop_held(e);
}

static void cut_partitioned(struct wk_edge *e)
{
    uint16_t dest[RASK_BATCH_ROWS_MAX], position[RASK_BATCH_ROWS_MAX];
    uint64_t hash[RASK_BATCH_ROWS_MAX], sorted[RASK_BATCH_ROWS_MAX];
    uint32_t start_small[257], *start = start_small, rows = e->held_rows, at = 0;
    rask_batch *gathered;
    struct wk_block *block;

    if (e->channel_count > ARRAY_LEN(start_small) - 1)
        start = mem_alloc_array(e->channel_count + 1, sizeof(*start));
    for (uint32_t i = 0; i <= e->channel_count; i++)
        start[i] = 0;
    for (uint32_t i = 0; i < e->held_count; i++) {
        destinations(e, e->held[i], dest + at, hash + at);
        at += e->held[i]->rows;
    }
    CHECK(at == rows);
    for (uint32_t i = 0; i < rows; i++)
        start[dest[i] + 1]++;
    for (uint32_t i = 0; i < e->channel_count; i++)
        start[i + 1] += start[i];
    for (uint32_t i = 0; i < rows; i++)
        position[i] = (uint16_t)start[dest[i]]++;
    gathered = batch_gather(e->pool, e->held, e->held_count, position, rows);
    if (e->partitioner == RASK__GRAPH__PARTITIONER__HASH) {
        rask_batch *bare = gathered;

        wk_hot_sample(&e->hot, hash, rows, e->max_parallelism);
        for (uint32_t i = 0; i < rows; i++)
            sorted[position[i]] = hash[i];
        gathered = batch_with_hash(bare, sorted);
        batch_unref(bare);
    }
    block = block_of(gathered);
    wk_count(&e->blocks_waiting, 1);
    at = 0;
    for (uint32_t i = 0; i < e->channel_count; i++) { /* start[i] is now the end of rank i */
        if (start[i] > at)
            add_slice(e, i, block, at, start[i] - at, e->held_bytes);
        at = start[i];
    }
    if (start != start_small)
        mem_free(start);
    drop_held(e);
}

/* SPLITS: a row goes to a channel that has its credit and nothing waiting, so readers pull. */
static void dispatch_splits(struct wk_edge *e)
{
    while (e->held_count > 0) {
        rask_batch *b = e->held[0];
        uint32_t tried = 0;

        for (; tried < e->channel_count; tried++) {
            struct wk_out *out = &e->channels[e->next];

            if (list_empty(&out->pending) && __atomic_load_n(&out->credit, __ATOMIC_ACQUIRE) > 0)
                break;
            e->next = (e->next + 1) % e->channel_count;
        }
        if (tried == e->channel_count)
            return;
        struct wk_block *block = block_of(batch_slice(b, 0, 1));

        wk_count(&e->blocks_waiting, 1);
        add_slice(e, e->next, block, 0, 1, 1);
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

static void end_splits(struct wk_edge *e)
{
    if (!e->end_wanted || e->held_count > 0)
        return;
    e->end_wanted = false;
    wk_edge_control(e, WK_END, 0);
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
}

void wk_edge_emit(struct wk_edge *e, rask_batch *batch)
{
    bool splits = e->partitioner == RASK__GRAPH__PARTITIONER__SPLITS;

    if (!splits && e->held_count > 0 &&
        (e->held_rows + batch->rows > RASK_BATCH_ROWS_MAX || e->held_count == EDGE_HELD_MAX))
        wk_edge_flush(e);
    CHECK(e->held_count < EDGE_HELD_MAX);
    e->held[e->held_count++] = batch;
    e->held_rows += batch->rows;
    wk_count(&e->held_bytes, batch_row_bytes(batch));
    if (splits || e->held_rows == RASK_BATCH_ROWS_MAX || e->held_bytes >= EDGE_BLOCK_BYTES)
        wk_edge_flush(e);
}

void wk_edge_flush(struct wk_edge *e)
{
    cut(e);
    wk_edge_send_waiting(e);
}

bool wk_edge_send_waiting(struct wk_edge *e)
{
    bool any = false;

    if (e->partitioner == RASK__GRAPH__PARTITIONER__SPLITS) {
        uint32_t before = e->held_rows;

        dispatch_splits(e);
        any = e->held_rows != before;
        end_splits(e);
    }
    if (e->elements_waiting > 0)
        for (uint32_t i = 0; i < e->channel_count; i++)
            any = send_channel(e, i) || any;
    return any;
}

void wk_edge_control(struct wk_edge *e, enum wk_element_type type, int64_t value)
{
    if (type == WK_END && e->held_count > 0 && e->partitioner == RASK__GRAPH__PARTITIONER__SPLITS) {
        e->end_wanted = true;
        wk_edge_flush(e);
        return;
    }
    cut(e);
    for (uint32_t i = 0; i < e->channel_count; i++)
        wait_in(e, &e->channels[i], wk_element_new(type, value));
    for (uint32_t i = 0; i < e->channel_count; i++)
        send_channel(e, i);
}
