/*
 * merge.c - see merge.h.
 *
 * One table with the keys in it: a row whose key is known costs its hash and one line of memory.  Nothing else is done for it,
 * so rows of new keys, which cost a dozen times as much, are sorted out first and looked after one by one.
 */
#include "taskmanager/worker/exchange/merge.h"

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/types/key_bytes.h"

enum {
    SLOTS_FIRST = 1024, /* powers of two; half of them are used at most */
    SLOTS_MAX = 1 << 17,
    PENDING_MAX = 32,
    PENDING_ROWS = 1024, /* that came with them: a batch of so many rows is let go at once */
    PARTS_MAX = 64,      /* at least twice as many as hold all keys in full batches */
};
#define NO_SLOT UINT32_MAX
_Static_assert(2 * (MERGE_KEYS_MAX + KEY_RUN_ROWS) <= SLOTS_MAX, "half of the slots are enough");
_Static_assert(2 * (MERGE_KEYS_MAX / RASK_BATCH_ROWS_MAX) + 2 < PARTS_MAX, "joined parts leave room for more");
_Static_assert(PARTS_MAX <= BATCH_PARTS_MAX && PENDING_MAX <= PARTS_MAX, "parts are joined by one call");

struct slot {         /* 32 bytes: in one line of the cache */
    uint64_t head[2]; /* of the key, as in struct key_run; of more than 16 bytes: their hash, and where they are in text */
    int64_t value;
    uint32_t number;  /* of the kept row */
    uint32_t len;     /* of the key, with LEN_LONG if more than 16 bytes; LEN_FREE: nobody is here */
};
#define LEN_LONG (UINT32_C(1) << 31)
#define LEN_FREE UINT32_MAX
_Static_assert(sizeof(struct slot) == 32, "two to a line");

struct kept { /* by number */
    int64_t value;  /* slot == NO_SLOT: of one that another row of its key has followed */
    uint32_t slot;
};

/* Keys of rows that are looked for next: what is in their places is on its way into the cache. */
struct ahead {
    uint32_t from; /* the first row, in its batch */
    struct key_run run;
    uint64_t hash[KEY_RUN_ROWS];
};

struct wk_merge {
    struct pool *pool;
    enum wk_merge_kind kind;
    uint32_t column, key_count;
    const uint16_t *key_columns;
    rask_buffer *table; /* holds slots and kept */
    struct slot *slots; /* open addressing */
    struct kept *kept;  /* room for half as many as slots */
    uint32_t slot_bits, kept_count;
    uint32_t pass; /* rows that are not wanted */
    uint64_t rows; /* that were added */
    rask_batch *pending[PENDING_MAX]; /* one reference each: what was kept of a batch, not copied yet */
    uint32_t pending_count, pending_rows, pending_kept; /* rows: that came with them */
    rask_batch *parts[PARTS_MAX]; /* nobody else's; rows by number */
    uint32_t part_count, drained, drained_rows;
    uint64_t part_bytes;
    struct ahead ahead[2];
    struct bytes text; /* long keys */
    uint16_t fresh[RASK_BATCH_ROWS_MAX]; /* row numbers of new keys in the batch at hand */
};

struct wk_merge *wk_merge_new(struct pool *pool, enum wk_merge_kind kind, uint32_t column, const uint16_t *key_columns,
                              uint32_t key_count)
{
    struct wk_merge *m = MEM_NEW(struct wk_merge);

    CHECK(pool != NULL);
    CHECK(key_count > 0);
    m->pool = pool;
    m->kind = kind;
    m->column = column;
    m->key_columns = key_columns;
    m->key_count = key_count;
    bytes_init(&m->ahead[0].run.text);
    bytes_init(&m->ahead[1].run.text);
    bytes_init(&m->text);
    return m;
}

void wk_merge_free(struct wk_merge *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->pending_count; i++)
        batch_unref(m->pending[i]);
    for (uint32_t i = m->drained; i < m->part_count; i++)
        batch_unref(m->parts[i]);
    buffer_unref(m->table);
    bytes_release(&m->ahead[0].run.text);
    bytes_release(&m->ahead[1].run.text);
    bytes_release(&m->text);
    mem_free(m);
}

bool wk_merge_wants(struct wk_merge *m, uint32_t rows)
{
    bool wants = m->pass == 0;

    m->pass -= MIN(rows, m->pass);
    return wants;
}

static bool is_at_limit(const struct wk_merge *m, uint32_t rows)
{
    return m->kept_count + rows > MERGE_KEYS_MAX || m->part_bytes >= MERGE_BYTES_MAX;
}

bool wk_merge_is_full(const struct wk_merge *m, uint32_t rows)
{
    return m->kept_count > 0 && (is_at_limit(m, rows) || pool_over(m->pool));
}

bool wk_merge_is_empty(const struct wk_merge *m)
{
    return m->kept_count == 0;
}

/* ---- the table ---- */

static inline uint32_t slot_of(uint64_t hash, uint32_t bits)
{
    return (uint32_t)(hash >> (64 - bits));
}

/* Hashes are of the table alone: nothing that is kept or sent depends on them. */
static inline uint64_t hash_of(const uint64_t head[2])
{
    uint64_t h = head[0] * UINT64_C(0x9e3779b97f4a7c15) ^ head[1];

    return (h ^ h >> 32) * UINT64_C(0xc2b2ae3d27d4eb4f);
}

static inline uint64_t hash_of_long(const uint8_t *key, uint32_t len)
{
    uint64_t ends[4];

    if (len > 2 * KEY_HEAD_BYTES)
        return hash_xxh3(key, len);
    memcpy(ends, key, KEY_HEAD_BYTES); /* two halves, which overlap */
    memcpy(ends + 2, key + len - KEY_HEAD_BYTES, KEY_HEAD_BYTES);
    return hash_of(ends) ^ (hash_of(ends + 2) * UINT64_C(0x165667b19e3779f9) + len);
}

/* Both slots of a line, from the given one on, then those of the next one. */
static inline uint32_t next_slot(const struct wk_merge *m, uint32_t at, uint32_t step)
{
    return ((at ^ 1) + 2 * (step & 1)) & ((1u << m->slot_bits) - 1);
}

static uint32_t free_slot(const struct wk_merge *m, uint64_t hash)
{
    uint32_t at = slot_of(hash, m->slot_bits);

    for (uint32_t step = 0; m->slots[at].len != LEN_FREE; step++)
        at = next_slot(m, at, step);
    return at;
}

/* Slots and kept rows in one buffer of the pool. */
static void table_new(struct wk_merge *m, uint32_t bits)
{
    uint32_t slots = 1u << bits;
    uint8_t *at;

    m->table = pool_get(m->pool, slots * sizeof(*m->slots) + slots / 2 * sizeof(*m->kept) + 63);
    at = m->table->data + (-(uintptr_t)m->table->data & 63);
    m->slots = (struct slot *)(void *)at;
    m->kept = (struct kept *)(void *)(m->slots + slots);
    m->slot_bits = bits;
    for (uint32_t i = 0; i < slots; i++)
        m->slots[i].len = LEN_FREE;
}

/* Room for a run of new keys. */
static void table_grow(struct wk_merge *m)
{
    const struct slot *slots = m->slots;
    const struct kept *kept = m->kept;
    rask_buffer *old = m->table;

    if (old && (m->kept_count + KEY_RUN_ROWS) * 2 <= 1u << m->slot_bits)
        return;
    table_new(m, old ? m->slot_bits + 1 : (uint32_t)__builtin_ctz(SLOTS_FIRST));
    CHECK(1u << m->slot_bits <= SLOTS_MAX);
    for (uint32_t i = 0; i < m->kept_count; i++) {
        const struct slot *s = kept[i].slot == NO_SLOT ? NULL : &slots[kept[i].slot];

        m->kept[i] = kept[i];
        if (!s)
            continue;
        m->kept[i].slot = free_slot(m, s->len & LEN_LONG ? s->head[0] : hash_of(s->head));
        m->slots[m->kept[i].slot] = *s;
    }
    buffer_unref(old);
}

/* The value with one more; returns whether it is one: false, the sum does not fit. */
static inline bool combine(enum wk_merge_kind kind, int64_t to, int64_t value, int64_t *ret)
{
    switch (kind) {
    case WK_MERGE_SUM:
        return !__builtin_add_overflow(to, value, ret);
    case WK_MERGE_MIN:
        *ret = MIN(to, value);
        return true;
    default:
        *ret = MAX(to, value);
        return true;
    }
}

static inline bool add_to(struct slot *s, enum wk_merge_kind kind, int64_t value)
{
    int64_t sum;
    bool fits = combine(kind, s->value, value, &sum);

    s->value = fits ? sum : s->value;
    return fits;
}

/* No long key has it: neither in the slot nor in the run. */
static inline bool has_head(const struct slot *s, const struct key_run *run, uint32_t i)
{
    return ((s->head[0] ^ run->head[i][0]) | (s->head[1] ^ run->head[i][1]) | (s->len ^ run->len[i])) == 0;
}

/* Keys of more than 16 bytes, most of which have less than 32: two halves, which overlap. */
static inline bool is_text(const uint8_t *a, const uint8_t *b, uint32_t len)
{
    uint64_t x[4], y[4];

    if (len > 2 * KEY_HEAD_BYTES)
        return memcmp(a, b, len) == 0;
    memcpy(x, a, KEY_HEAD_BYTES);
    memcpy(x + 2, a + len - KEY_HEAD_BYTES, KEY_HEAD_BYTES);
    memcpy(y, b, KEY_HEAD_BYTES);
    memcpy(y + 2, b + len - KEY_HEAD_BYTES, KEY_HEAD_BYTES);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3])) == 0;
}

static inline bool is_key(const struct wk_merge *m, const struct slot *s, const struct ahead *a, uint32_t i)
{
    const struct key_run *run = &a->run;

    if (run->len[i] <= KEY_HEAD_BYTES)
        return has_head(s, run, i);
    return s->len == (run->len[i] | LEN_LONG) && s->head[0] == a->hash[i] &&
           is_text(m->text.data + s->head[1], run->text.data + run->place[i], run->len[i]);
}

/* Row i is the first one of its key, or cannot be added to the one in the slot, which stays as it is. */
static void keep(struct wk_merge *m, uint32_t at, const struct ahead *a, uint32_t i, int64_t value)
{
    const struct key_run *run = &a->run;
    struct slot *s = &m->slots[at];

    if (s->len != LEN_FREE) {
        m->kept[s->number] = (struct kept){s->value, NO_SLOT};
    } else if (run->len[i] > KEY_HEAD_BYTES) {
        *s = (struct slot){.head = {a->hash[i], m->text.len}, .len = run->len[i] | LEN_LONG};
        bytes_add(&m->text, run->text.data + run->place[i], run->len[i]);
    } else {
        *s = (struct slot){.head = {run->head[i][0], run->head[i][1]}, .len = run->len[i]};
    }
    s->value = value;
    s->number = m->kept_count++;
    m->kept[s->number].slot = at;
}

/* A row that is not alone in the place where it was looked for. Returns whether it is kept. */
static bool add_row(struct wk_merge *m, const struct ahead *a, uint32_t i, int64_t value)
{
    uint32_t at = slot_of(a->hash[i], m->slot_bits);

    for (uint32_t step = 0; m->slots[at].len != LEN_FREE; step++) {
        if (is_key(m, &m->slots[at], a, i)) {
            if (add_to(&m->slots[at], m->kind, value))
                return false;
            break;
        }
        at = next_slot(m, at, step);
    }
    keep(m, at, a, i, value);
    return true;
}

static void look_ahead(struct wk_merge *m, struct ahead *a, const rask_batch *b, uint32_t from)
{
    struct key_run *run = &a->run;
    uint32_t bits = m->slot_bits;

    a->from = from;
    run->rows = 0;
    if (from >= b->rows)
        return;
    key_run_fill(run, b, m->key_columns, m->key_count, from, MIN(b->rows - from, (uint32_t)KEY_RUN_ROWS));
    for (uint32_t i = 0; i < run->rows; i++) {
        a->hash[i] = hash_of(run->head[i]);
        __builtin_prefetch(&m->slots[slot_of(a->hash[i], bits)], 1);
    }
    for (uint64_t is_long = run->is_long; is_long; is_long &= is_long - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(is_long);

        a->hash[i] = hash_of_long(run->text.data + run->place[i], run->len[i]);
        __builtin_prefetch(&m->slots[slot_of(a->hash[i], bits)], 1);
    }
}

/* Long keys are compared where they are kept: on their way, too. */
static void fetch_long(const struct wk_merge *m, const struct ahead *a)
{
    for (uint64_t is_long = a->run.is_long; is_long; is_long &= is_long - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(is_long);
        const struct slot *s = &m->slots[slot_of(a->hash[i], m->slot_bits)];

        if (s->len == (a->run.len[i] | LEN_LONG))
            __builtin_prefetch(m->text.data + s->head[1]);
    }
}

/* Short keys that are in their place, without a branch: of those who are not there the bits. values: by row of the run, or sel. */
static inline uint64_t add_short(struct wk_merge *m, enum wk_merge_kind kind, const struct ahead *a, const int64_t *values,
                                 const uint16_t *sel)
{
    uint32_t bits = m->slot_bits;
    uint64_t left = 0;

    for (uint32_t i = 0; i < a->run.rows; i++) {
        struct slot *s = &m->slots[slot_of(a->hash[i], bits)];
        int64_t sum;
        bool fits = combine(kind, s->value, values[sel ? sel[i] : i], &sum), there = has_head(s, &a->run, i);
        bool done = (int)fits & (int)there;

        s->value = done ? sum : s->value;
        left |= (uint64_t)!done << i;
    }
    return left;
}

/* Likewise keys of more than 16 bytes. */
static inline uint64_t add_long(struct wk_merge *m, enum wk_merge_kind kind, const struct ahead *a, const int64_t *values,
                                const uint16_t *sel)
{
    uint64_t left = 0;

    for (uint64_t is_long = a->run.is_long; is_long; is_long &= is_long - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(is_long);
        struct slot *s = &m->slots[slot_of(a->hash[i], m->slot_bits)];

        if (!is_key(m, s, a, i) || !add_to(s, kind, values[sel ? sel[i] : i]))
            left |= UINT64_C(1) << i;
    }
    return left;
}

/*
 * Rows of the batch; those that are kept are added to fresh. First of all those whose key is in its place: nothing hangs on
 * what the others do, and they are few. The order does not matter to the result but for sums that do not fit.
 */
static inline __attribute__((always_inline)) uint32_t add_rows(struct wk_merge *m, enum wk_merge_kind kind, const rask_batch *b,
                                                               const struct ahead *a, uint32_t fresh)
{
    const uint16_t *sel = b->sel ? b->sel + a->from : NULL;
    const int64_t *values = (const int64_t *)b->columns[m->column].data + (sel ? 0 : b->first + a->from);
    uint64_t left;

    fetch_long(m, a);
    left = sel ? add_short(m, kind, a, values, sel) : add_short(m, kind, a, values, NULL);
    left = (left & ~a->run.is_long) | add_long(m, kind, a, values, sel);
    for (; left; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(left);

        if (add_row(m, a, i, values[sel ? sel[i] : i]))
            m->fresh[fresh++] = (uint16_t)(a->from + i);
    }
    return fresh;
}

/* ---- kept rows ---- */

/* One batch of those before `to` from `from` on; their references are given up. */
static rask_batch *join(struct wk_merge *m, rask_batch **from, uint32_t count)
{
    struct batch_part parts[PARTS_MAX] = {{NULL, 0, 0}};
    rask_batch *b;

    CHECK(count > 0);
    CHECK(count <= PARTS_MAX);
    for (uint32_t i = 0; i < count; i++)
        parts[i] = (struct batch_part){from[i], 0, from[i]->rows};
    b = batch_join(m->pool, parts, count);
    for (uint32_t i = 0; i < count; i++)
        batch_unref(from[i]);
    return b;
}

/* Neighbours that fit into one batch become one. */
static void join_parts(struct wk_merge *m)
{
    uint32_t count = 0;

    for (uint32_t i = 0, n; i < m->part_count; i += n) {
        uint32_t rows = m->parts[i]->rows;

        for (n = 1; i + n < m->part_count && rows + m->parts[i + n]->rows <= RASK_BATCH_ROWS_MAX; n++)
            rows += m->parts[i + n]->rows;
        m->parts[count++] = n > 1 ? join(m, m->parts + i, n) : m->parts[i];
    }
    m->part_count = count;
}

/* What was kept of the last batches is copied, and they are let go. */
static void copy_pending(struct wk_merge *m)
{
    if (m->pending_count == 0)
        return;
    if (m->part_count == PARTS_MAX)
        join_parts(m);
    m->parts[m->part_count] = join(m, m->pending, m->pending_count);
    m->part_bytes += batch_row_bytes(m->parts[m->part_count++]);
    m->pending_count = m->pending_rows = m->pending_kept = 0;
}

static void keep_rows(struct wk_merge *m, rask_batch *batch, uint32_t fresh)
{
    if (fresh > 0) {
        if (m->pending_kept + fresh > RASK_BATCH_ROWS_MAX)
            copy_pending(m);
        m->pending[m->pending_count++] = batch_select(batch, m->fresh, fresh);
        m->pending_kept += fresh;
        m->pending_rows += batch->rows;
        if (m->pending_count == PENDING_MAX || m->pending_rows >= PENDING_ROWS)
            copy_pending(m);
    }
    batch_unref(batch);
}

void wk_merge_add(struct wk_merge *m, rask_batch *batch)
{
    uint32_t fresh = 0;

    CHECK(m->drained == 0);
    CHECK(m->kept_count + batch->rows <= MERGE_KEYS_MAX);
    CHECK(!batch->kind.data);
    m->rows += batch->rows;
    table_grow(m);
    look_ahead(m, &m->ahead[0], batch, 0);
    for (uint32_t n = 0; m->ahead[n].run.rows > 0; n ^= 1) {
        table_grow(m);
        look_ahead(m, &m->ahead[n ^ 1], batch, m->ahead[n].from + KEY_RUN_ROWS);
        if (m->kind == WK_MERGE_SUM)
            fresh = add_rows(m, WK_MERGE_SUM, batch, &m->ahead[n], fresh);
        else
            fresh = add_rows(m, m->kind, batch, &m->ahead[n], fresh);
    }
    keep_rows(m, batch, fresh);
}

/* Their values, from the table, which is free behind them. */
static void set_values(struct wk_merge *m, rask_batch *part)
{
    int64_t *values = part->columns[m->column].data;

    for (uint32_t i = 0; i < part->rows; i++) {
        const struct kept *k = &m->kept[m->drained_rows + i];

        values[i] = k->slot == NO_SLOT ? k->value : m->slots[k->slot].value;
        if (k->slot != NO_SLOT)
            m->slots[k->slot].len = LEN_FREE;
    }
    m->drained_rows += part->rows;
}

rask_batch *wk_merge_drain(struct wk_merge *m)
{
    rask_batch *part;

    if (m->drained == 0) {
        copy_pending(m);
        join_parts(m);
    }
    if (m->drained < m->part_count) {
        part = m->parts[m->drained++];
        set_values(m, part);
        return part;
    }
    CHECK(m->drained_rows == m->kept_count);
    if (pool_over(m->pool)) {
        buffer_unref(m->table);
        m->table = NULL;
    }
    if (is_at_limit(m, RASK_BATCH_ROWS_MAX) && m->rows < m->kept_count + m->kept_count / 4)
        m->pass = MERGE_PASS_ROWS;
    bytes_clear(&m->text);
    m->rows = 0;
    m->part_count = m->drained = m->drained_rows = m->kept_count = 0;
    m->part_bytes = 0;
    return NULL;
}
