/* merge.c - see merge.h. */
#include "taskmanager/worker/exchange/merge.h"

#include <rask/make.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/types/key_bytes.h"

enum { SLOT_BITS = 16 };
#define NO_ENTRY 0xffffu
_Static_assert(MERGE_ROWS < NO_ENTRY, "an entry's number fits a slot");

struct entry { /* one kept row */
    uint64_t head[2]; /* of its key, as in struct key_run */
    int64_t value;
    uint32_t len;
    uint32_t place; /* len > 16: of the whole key in text */
};

struct input {
    rask_batch *batch; /* one reference */
    uint32_t first;    /* entries of its kept rows: first .. up to those of the next one */
    uint32_t kept;     /* how many, at `first` of keep too */
};

struct wk_merge {
    enum wk_merge_kind kind;
    uint32_t column, key_count;
    const uint16_t *key_columns;
    struct input inputs[MERGE_BATCHES];
    uint32_t input_count, drained;
    uint32_t rows;                 /* that were added */
    uint32_t entry_count;
    struct entry entries[MERGE_ROWS];
    uint16_t keep[MERGE_ROWS];     /* by entry: the row's number in its batch */
    uint16_t slots[1 << SLOT_BITS]; /* open addressing: numbers of entries */
    struct key_run run;
    struct bytes text; /* long keys */
};

struct wk_merge *wk_merge_new(enum wk_merge_kind kind, uint32_t column, const uint16_t *key_columns, uint32_t key_count)
{
    struct wk_merge *m = MEM_NEW(struct wk_merge);

    CHECK(key_count > 0);
    m->kind = kind;
    m->column = column;
    m->key_columns = key_columns;
    m->key_count = key_count;
    bytes_init(&m->run.text);
    bytes_init(&m->text);
    memset(m->slots, 0xff, sizeof(m->slots));
    return m;
}

void wk_merge_free(struct wk_merge *m)
{
    if (!m)
        return;
    for (uint32_t i = m->drained; i < m->input_count; i++)
        batch_unref(m->inputs[i].batch);
    bytes_release(&m->run.text);
    bytes_release(&m->text);
    mem_free(m);
}

bool wk_merge_is_full(const struct wk_merge *m, uint32_t rows)
{
    return m->input_count == MERGE_BATCHES || m->rows + rows > MERGE_ROWS;
}

bool wk_merge_is_empty(const struct wk_merge *m)
{
    return m->input_count == 0;
}

/* ---- keys ---- */

/* Of the table alone: nothing that is kept or sent depends on it. */
static inline uint32_t slot_of(const struct wk_merge *m, uint32_t i)
{
    const struct key_run *run = &m->run;
    uint64_t h = run->head[i][0] * UINT64_C(0x9e3779b97f4a7c15) + run->head[i][1] * UINT64_C(0xc2b2ae3d27d4eb4f) + run->len[i];

    if (run->len[i] > KEY_HEAD_BYTES)
        h += hash_xxh3(run->text.data + run->place[i], run->len[i]);
    h = (h ^ h >> 32) * UINT64_C(0x165667b19e3779f9);
    return (uint32_t)(h >> (64 - SLOT_BITS));
}

static inline bool is_key(const struct wk_merge *m, const struct entry *e, uint32_t i)
{
    const struct key_run *run = &m->run;

    return e->head[0] == run->head[i][0] && e->head[1] == run->head[i][1] && e->len == run->len[i] &&
           (e->len <= KEY_HEAD_BYTES || memcmp(m->text.data + e->place, run->text.data + run->place[i], e->len) == 0);
}

/* false: the sum does not fit. */
static inline bool combine(enum wk_merge_kind kind, int64_t *to, int64_t value)
{
    int64_t sum;

    switch (kind) {
    case WK_MERGE_SUM:
        if (__builtin_add_overflow(*to, value, &sum))
            return false;
        *to = sum;
        return true;
    case WK_MERGE_MIN:
        *to = MIN(*to, value);
        return true;
    default:
        *to = MAX(*to, value);
        return true;
    }
}

static void entry_add(struct wk_merge *m, uint32_t slot, uint32_t i, uint32_t row, int64_t value)
{
    const struct key_run *run = &m->run;
    uint32_t number = m->entry_count++;
    struct entry *e = &m->entries[number];

    *e = (struct entry){{run->head[i][0], run->head[i][1]}, value, run->len[i], 0};
    if (e->len > KEY_HEAD_BYTES) {
        e->place = (uint32_t)m->text.len;
        bytes_add(&m->text, run->text.data + run->place[i], e->len);
    }
    m->keep[number] = (uint16_t)row;
    m->slots[slot] = (uint16_t)number;
}

/* Slots and entries of the run on their way into the cache, all at once. */
static void find_slots(const struct wk_merge *m, uint32_t slot[KEY_RUN_ROWS])
{
    for (uint32_t i = 0; i < m->run.rows; i++) {
        slot[i] = slot_of(m, i);
        __builtin_prefetch(&m->slots[slot[i]], 1);
    }
    for (uint32_t i = 0; i < m->run.rows; i++)
        if (m->slots[slot[i]] != NO_ENTRY)
            __builtin_prefetch(&m->entries[m->slots[slot[i]]], 1);
}

/* The rows of the run, which begins at row `from` of the batch. */
static inline void add_run(struct wk_merge *m, enum wk_merge_kind kind, const rask_batch *b, uint32_t from)
{
    const int64_t *values = b->columns[m->column].data;
    uint32_t slots[KEY_RUN_ROWS];

    find_slots(m, slots);
    for (uint32_t i = 0; i < m->run.rows; i++) {
        int64_t value = values[rask_position(b, from + i)];
        uint32_t slot = slots[i], number;

        while ((number = m->slots[slot]) != NO_ENTRY && !is_key(m, &m->entries[number], i))
            slot = (slot + 1) & ((1u << SLOT_BITS) - 1);
        if (number == NO_ENTRY || !combine(kind, &m->entries[number].value, value))
            entry_add(m, slot, i, from + i, value);
    }
}

void wk_merge_add(struct wk_merge *m, rask_batch *batch)
{
    struct input *in = &m->inputs[m->input_count];

    CHECK(m->drained == 0);
    CHECK(!wk_merge_is_full(m, batch->rows));
    CHECK(!batch->kind.data);
    *in = (struct input){.batch = batch, .first = m->entry_count};
    m->input_count++;
    m->rows += batch->rows;
    for (uint32_t from = 0; from < batch->rows; from += KEY_RUN_ROWS) {
        key_run_fill(&m->run, batch, m->key_columns, m->key_count, from, MIN(batch->rows - from, (uint32_t)KEY_RUN_ROWS));
        if (m->kind == WK_MERGE_SUM)
            add_run(m, WK_MERGE_SUM, batch, from);
        else
            add_run(m, m->kind, batch, from);
    }
    in->kept = m->entry_count - in->first;
}

/* ---- what was kept ---- */

static rask_batch *kept_of(struct wk_merge *m, struct pool *pool, const struct input *in)
{
    const rask_schema *schema = in->batch->schema;
    rask_batch *some = batch_select(in->batch, m->keep + in->first, in->kept), *b;
    int16_t columns[RASK_COLUMNS_MAX];
    int64_t *values;

    for (uint32_t c = 0; c < schema->columns; c++)
        columns[c] = c == m->column ? RASK_NEW_COLUMN : (int16_t)c;
    b = batch_derive(pool, some, schema, columns);
    values = b->columns[m->column].data;
    for (uint32_t i = 0; i < b->rows; i++)
        values[rask_position(b, i)] = m->entries[in->first + i].value;
    batch_unref(some);
    return b;
}

rask_batch *wk_merge_drain(struct wk_merge *m, struct pool *pool)
{
    while (m->drained < m->input_count) {
        const struct input *in = &m->inputs[m->drained++];
        rask_batch *b = in->kept > 0 ? kept_of(m, pool, in) : NULL;

        batch_unref(in->batch);
        if (b)
            return b;
    }
    if (m->entry_count > 0)
        memset(m->slots, 0xff, sizeof(m->slots));
    bytes_clear(&m->text);
    m->input_count = m->drained = m->rows = m->entry_count = 0;
    return NULL;
}
