/*
 * batch.c - batch headers: new, share, slice, select, project.
 * Moving rows between batches is in gather.c, bytes in batch_code.c, text in batch_format.c.
 * Thread: any.
 */
#include "common/types/batch.h"

#include <rask/make.h>

#include "common/base/check.h"
#include "common/base/cpu.h"
#include "common/types/batch_private.h"

/* ---- cells ---- */

static uint64_t align16(uint64_t n)
{
    return (n + 15) & ~(uint64_t)15;
}

/*
 * Arrays of 4096 cells begin at the same place of a page, so the cells of one row would all fall
 * into one cache set: each array starts a line further than the one before.
 */
static uint64_t array_at(uint64_t *size, uint64_t bytes, uint32_t positions)
{
    uint64_t at = align16(*size) + (positions >= 256 ? 64 : 0);

    *size = at + bytes;
    return at;
}

void cells_new(struct pool *pool, const rask_schema *schema, uint32_t positions, uint32_t extras,
               uint64_t nullable, struct cells *ret)
{
    uint64_t data[RASK_COLUMNS_MAX], valid[RASK_COLUMNS_MAX], time = 0, kind = 0, hash = 0,
                                                              size = 0;
    uint64_t bitmap = (uint64_t)(positions + 63) / 64 * 8;
    uint8_t *base;

    CHECK(schema->columns <= RASK_COLUMNS_MAX);
    for (uint32_t i = 0; i < schema->columns; i++) {
        data[i] =
            array_at(&size, (uint64_t)positions * schema_width(&schema->fields[i]), positions);
        valid[i] = (nullable >> i) & 1 ? array_at(&size, bitmap, 0) : 0;
    }
    if (extras & BATCH_EVENT_TIME)
        time = array_at(&size, (uint64_t)positions * 8, positions);
    if (extras & BATCH_HASH)
        hash = array_at(&size, (uint64_t)positions * 8, positions);
    if (extras & BATCH_KIND)
        kind = array_at(&size, positions, positions);
    ret->owner = pool_get(pool, size);
    ret->owner->used = (uint32_t)size;
    base = ret->owner->data;
    for (uint32_t i = 0; i < schema->columns; i++) {
        rask_column *c = &ret->columns[i];

        c->data = base + data[i];
        c->owner = ret->owner;
        c->child = NULL;
        c->validity = (nullable >> i) & 1 ? (uint64_t *)(void *)(base + valid[i]) : NULL;
        if (c->validity)
            memset(c->validity, 0xff, bitmap);
    }
    ret->event_time = ret->hash = ret->kind = (rask_column){.data = NULL};
    if (extras & BATCH_EVENT_TIME)
        ret->event_time = (rask_column){.data = base + time, .owner = ret->owner};
    if (extras & BATCH_HASH)
        ret->hash = (rask_column){.data = base + hash, .owner = ret->owner};
    if (extras & BATCH_KIND)
        ret->kind = (rask_column){.data = base + kind, .owner = ret->owner};
}

uint64_t schema_nullable_mask(const rask_schema *schema)
{
    uint64_t mask = 0;

    for (uint32_t i = 0; i < schema->columns; i++)
        mask |= (uint64_t)(schema->fields[i].nullable != 0) << i;
    return mask;
}

uint64_t schema_view_mask(const rask_schema *schema)
{
    uint64_t mask = 0;

    for (uint32_t i = 0; i < schema->columns; i++)
        mask |= (uint64_t)schema_is_view(&schema->fields[i]) << i;
    return mask;
}

/* ---- roots ---- */

rask_batch *batch_header(struct pool *pool, const rask_schema *schema, uint32_t buffer_count)
{
    size_t size = sizeof(struct batch_full) + schema->columns * sizeof(rask_column) +
                  buffer_count * sizeof(rask_buffer *);
    struct batch_full *full = pool_small(pool, size);

    memset(full, 0, sizeof(*full));
    full->size = (uint32_t)size;
    full->pub.refs = 1;
    full->pub.schema = schema;
    full->pub.columns = (rask_column *)(full + 1);
    full->pub.buffers = (rask_buffer **)(void *)(full->pub.columns + schema->columns);
    full->pub.buffer_count = buffer_count;
    full->pub.pool = pool;
    return &full->pub;
}

void batch_hold(rask_batch *b, rask_buffer *owner)
{
    buffer_ref_many(owner, b->schema->columns + (b->event_time.data != NULL) +
                               (b->kind.data != NULL) + (b->hash.data != NULL));
}

rask_batch *batch_over_cells(struct pool *pool, const rask_schema *schema,
                             const struct cells *cells, uint32_t buffer_count, uint32_t rows)
{
    rask_batch *b = batch_header(pool, schema, buffer_count);

    b->rows = b->positions = rows;
    memcpy(b->columns, cells->columns, schema->columns * sizeof(rask_column));
    b->event_time = cells->event_time;
    b->kind = cells->kind;
    b->hash = cells->hash;
    batch_hold(b, cells->owner);
    buffer_unref(cells->owner);
    return b;
}

static rask_batch *root_new(struct pool *pool, const rask_schema *schema, uint32_t positions,
                            uint32_t extras, uint32_t buffer_count)
{
    struct cells cells;

    cells_new(pool, schema, positions, extras, schema_nullable_mask(schema), &cells);
    return batch_over_cells(pool, schema, &cells, buffer_count, positions);
}

rask_batch *batch_new_with_buffers(struct pool *pool, const rask_schema *schema, uint32_t positions,
                                   uint32_t extras, uint32_t buffer_count)
{
    CHECK(positions <= BATCH_POSITIONS_MAX);
    return root_new(pool, schema, positions, extras, buffer_count);
}

rask_batch *batch_new(struct pool *pool, const rask_schema *schema, uint32_t positions,
                      uint32_t extras)
{
    return batch_new_with_buffers(pool, schema, positions, extras, 0);
}

rask_batch *batch_new_with_room(struct pool *pool, const rask_schema *schema, uint32_t positions,
                                uint32_t room)
{
    rask_batch *b = root_new(pool, schema, positions, 0, room); /* rows inside cells: any number */

    b->buffer_count = 0;
    ((struct batch_full *)b)->room = room;
    return b;
}

uint32_t batch_add_buffer(rask_batch *b, rask_buffer *buffer)
{
    const struct batch_full *full = (const struct batch_full *)b;

    if (b->buffer_count > full->own_from && b->buffers[b->buffer_count - 1] == buffer)
        return b->buffer_count - 1;
    CHECK(full->room > 0); /* a batch of other batches' views has no place for a buffer */
    if (b->buffer_count == full->room)
        return RASK_NO_BUFFER;
    b->buffers[b->buffer_count] = buffer_ref(buffer);
    return b->buffer_count++;
}

/* Columns of one batch usually share a buffer: their references go back in one step. */
struct unref_run {
    rask_buffer *owner;
    uint32_t count;
};

static void run_end(struct unref_run *run)
{
    if (run->owner && __atomic_sub_fetch(&run->owner->refs, run->count, __ATOMIC_ACQ_REL) == 0)
        run->owner->release(run->owner);
    run->owner = NULL;
    run->count = 0;
}

static void run_add(struct unref_run *run, rask_buffer *owner)
{
    if (owner != run->owner)
        run_end(run);
    run->owner = owner;
    run->count++;
}

static void root_release(rask_batch *b)
{
    struct unref_run run = {NULL, 0};

    for (uint32_t i = 0; i < b->schema->columns; i++) {
        run_add(&run, b->columns[i].owner);
        if (b->columns[i].child)
            batch_unref(b->columns[i].child);
    }
    if (b->event_time.data)
        run_add(&run, b->event_time.owner);
    if (b->kind.data)
        run_add(&run, b->kind.owner);
    if (b->hash.data)
        run_add(&run, b->hash.owner);
    run_end(&run);
    for (uint32_t i = 0; i < b->buffer_count; i++)
        buffer_unref(b->buffers[i]);
}

void batch_unref(rask_batch *b)
{
    struct batch_full *full = (struct batch_full *)b;

    if (!b || __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    buffer_unref(b->sel_owner);
    if (full->parent) {
        for (uint32_t i = full->own_from; i < b->buffer_count; i++)
            buffer_unref(b->buffers[i]);
        for (uint32_t i = 0; full->extra && i < b->schema->columns; i++)
            if (b->columns[i].owner == full->extra)
                batch_unref(b->columns[i].child); /* of a new column */
        if (full->lender)
            full->lender->back(full->lender);
        else
            batch_unref(full->parent);
    } else {
        root_release(b);
    }
    buffer_unref(full->extra);
    pool_small_free(b->pool, full, full->size);
}

/* ---- derived ---- */

/* A header that shares everything of b, and is not yet told what keeps that. */
static struct batch_full *derive_header(rask_batch *b, const rask_schema *schema, bool own_columns, uint32_t more_buffers)
{
    struct batch_full *full;
    uint32_t room = more_buffers ? b->buffer_count + more_buffers : 0;
    size_t size = sizeof(*full) + (own_columns ? schema->columns * sizeof(rask_column) : 0) +
                  room * sizeof(rask_buffer *);

    full = pool_small(b->pool, size);
    /* all but refs, which other threads change at the same time */
    memcpy(&full->pub.rows, &b->rows, sizeof(*b) - offsetof(rask_batch, rows));
    full->pub.refs = 1;
    full->pub.schema = schema;
    if (own_columns)
        full->pub.columns = (rask_column *)(full + 1);
    full->size = (uint32_t)size;
    full->lender = NULL;
    full->extra = NULL;
    full->own_from = b->buffer_count;
    full->room = room;
    if (room) {
        full->pub.buffers = (rask_buffer **)(void *)(full->pub.columns + schema->columns);
        memcpy(full->pub.buffers, b->buffers, b->buffer_count * sizeof(rask_buffer *));
    }
    if (b->sel_owner)
        buffer_ref(b->sel_owner);
    return full;
}

/* Shares everything of b; own_columns: with an array of columns to fill, and room behind it for more_buffers. */
static rask_batch *derive_with(rask_batch *b, const rask_schema *schema, bool own_columns,
                               uint32_t more_buffers)
{
    struct batch_full *from = (struct batch_full *)b, *full = derive_header(b, schema, own_columns, more_buffers);

    /* Not to the middle of a chain: only its columns' real holder. A projection's array lives in
     * the middle. */
    full->parent = batch_ref(from->parent && !from->extra &&
                                     (own_columns || b->columns == from->parent->columns)
                                 ? from->parent
                                 : b);
    return &full->pub;
}

static rask_batch *derive(rask_batch *b, const rask_schema *schema)
{
    return derive_with(b, schema, false, 0);
}

static void narrow(rask_batch *s, uint32_t from_row, uint32_t rows)
{
    CHECK(from_row <= s->rows);
    CHECK(rows <= s->rows - from_row);
    s->rows = rows;
    if (s->sel)
        s->sel += from_row;
    else
        s->first += from_row;
}

rask_batch *batch_slice(rask_batch *b, uint32_t from_row, uint32_t rows)
{
    rask_batch *s;

    if (rows == b->rows && from_row == 0)
        return batch_ref(b);
    s = derive(b, b->schema);
    narrow(s, from_row, rows);
    return s;
}

rask_batch *batch_slice_lent(rask_batch *b, uint32_t from_row, uint32_t rows, struct batch_lender *lender)
{
    struct batch_full *full;

    if (rows == b->rows && from_row == 0) {
        batch_ref(b);
        lender->back(lender);
        return b;
    }
    full = derive_header(b, b->schema, false, 0);
    full->parent = b;
    full->lender = lender;
    narrow(&full->pub, from_row, rows);
    return &full->pub;
}

rask_batch *batch_select(rask_batch *b, const uint16_t *keep, uint32_t count)
{
    rask_batch *s;
    rask_buffer *sel;
    uint16_t *to;

    CHECK(count <= b->rows);
    if (count == b->rows)
        return batch_ref(b);
    s = derive(b, b->schema);
    sel = pool_get(b->pool, (uint64_t)count * sizeof(uint16_t));
    to = (uint16_t *)(void *)sel->data;
    if (b->sel)
        for (uint32_t i = 0; i < count; i++)
            to[i] = b->sel[keep[i]];
    else
        for (uint32_t i = 0; i < count; i++)
            to[i] = (uint16_t)(b->first + keep[i]);
    sel->used = count * (uint32_t)sizeof(uint16_t);
    buffer_unref(s->sel_owner);
    s->sel_owner = sel;
    s->sel = to;
    s->rows = count;
    return s;
}

/* The physical positions that b's rows lie between, both included. */
static void position_range(const rask_batch *b, uint32_t *ret_low, uint32_t *ret_high)
{
    *ret_low = b->rows ? rask_position(b, 0) : 0;
    *ret_high = b->rows ? rask_position(b, b->rows - 1) : 0;
}

/* Arrays of new columns stand at b's positions, but only the range that its rows take is there: cell p of it is read as
 * data[p]. Bitmaps are whole. */
static void columns_fill(struct pool *pool, const rask_batch *b, rask_batch *to, const int16_t *columns)
{
    struct batch_full *full = (struct batch_full *)to;
    uint64_t size = 0, bits = ((uint64_t)b->positions / 64 + 1) * 8;
    uint32_t low, high;
    uint8_t *at;

    position_range(b, &low, &high);
    for (uint32_t i = 0; i < to->schema->columns; i++)
        if (columns[i] < 0)
            size += align16((uint64_t)(high - low + 1) * schema_width(&to->schema->fields[i])) + 64 +
                    (to->schema->fields[i].nullable ? align16(bits) : 0);
    full->extra = size ? pool_get(pool, size) : NULL;
    at = size ? full->extra->data : NULL;
    for (uint32_t i = 0; i < to->schema->columns; i++) {
        uint32_t width = schema_width(&to->schema->fields[i]);
        rask_column *c = &to->columns[i];

        if (columns[i] >= 0) {
            CHECK(columns[i] < b->schema->columns);
            *c = b->columns[columns[i]];
            continue;
        }
        *c = (rask_column){.data = (void *)((uintptr_t)at - (uintptr_t)low * width), .owner = full->extra};
        at += align16((uint64_t)(high - low + 1) * width) + 64;
        if (to->schema->fields[i].nullable) {
            c->validity = memset(at, 0xff, bits);
            at += align16(bits);
        }
    }
}

rask_batch *batch_derive(struct pool *pool, rask_batch *b, const rask_schema *schema,
                         const int16_t *columns)
{
    bool new_views = false;
    rask_batch *p;

    for (uint32_t i = 0; i < schema->columns; i++)
        new_views |= columns[i] < 0 && schema_is_view(&schema->fields[i]);
    p = derive_with(b, schema, true, new_views ? RASK_BATCH_BUFFERS_MAX : 0);
    columns_fill(pool, b, p, columns);
    return p;
}

rask_batch *batch_with_schema(rask_batch *b, const rask_schema *schema)
{
    CHECK(schema->columns == b->schema->columns);
    return schema == b->schema ? batch_ref(b) : derive(b, schema);
}

rask_batch *batch_with_event_time(rask_batch *b, uint32_t column)
{
    rask_batch *t;

    CHECK(column < b->schema->columns);
    t = derive(b, b->schema);
    t->event_time = b->columns[column];
    t->event_time.validity = NULL;
    return t;
}

rask_batch *batch_with_hash(rask_batch *b, const uint64_t *hash)
{
    rask_batch *h = derive(b, b->schema);
    rask_buffer *own = pool_get(b->pool, (uint64_t)b->positions * sizeof(uint64_t));
    uint64_t *to = (uint64_t *)(void *)own->data;

    if (b->sel)
        for (uint32_t i = 0; i < b->rows; i++)
            to[b->sel[i]] = hash[i];
    else
        memcpy(to + b->first, hash, b->rows * sizeof(uint64_t));
    own->used = b->positions * (uint32_t)sizeof(uint64_t);
    ((struct batch_full *)h)->extra = own;
    h->hash = (rask_column){.data = to, .owner = own};
    return h;
}

/* Of rows of a child batch; strings that lie in the cell count as the cell. */
static uint64_t inside_bytes(const rask_batch *b, uint32_t first, uint32_t count)
{
    uint64_t bytes = 0;

    for (uint32_t c = 0; count && c < b->schema->columns; c++) {
        const rask_field *f = &b->schema->fields[c];
        const void *cells = b->columns[c].data;

        bytes += (uint64_t)count * schema_width(f);
        for (uint32_t i = first; schema_is_view(f) && i < first + count; i++)
            bytes += ((const rask_view *)cells)[i].len > 12 ? ((const rask_view *)cells)[i].len : 0;
        for (uint32_t i = first; schema_is_nested(f) && i < first + count; i++)
            bytes += inside_bytes(b->columns[c].child, ((const rask_span *)cells)[i].first,
                                  ((const rask_span *)cells)[i].count);
    }
    return bytes;
}

/* Lengths are not predictable: no branch. */
static inline uint32_t if_long(uint32_t len)
{
    return len & (0u - (len > 12));
}

#if defined(__x86_64__)
/* Of 16 cells at a time; returns how many are done. */
WIDE_VIEWS static uint32_t long_bytes_16(const rask_view *v, uint32_t rows, uint64_t *ret_bytes)
{
    const __m512i small = _mm512_set1_epi32(12), low = _mm512_set1_epi64(UINT32_MAX);
    __m512i sum = _mm512_setzero_si512();
    uint32_t i = 0;

    _Static_assert(sizeof(rask_view) == 16 && offsetof(rask_view, len) == 0, "the length comes first");
    for (; i + 16 <= rows; i += 16) {
        __m512i len = view_lens_16(v + i);

        len = _mm512_maskz_mov_epi32(_mm512_cmpgt_epu32_mask(len, small), len);
        sum = _mm512_add_epi64(sum, _mm512_add_epi64(_mm512_and_si512(len, low), _mm512_srli_epi64(len, 32)));
    }
    *ret_bytes = (uint64_t)_mm512_reduce_add_epi64(sum);
    return i;
}
#endif

/* Of strings that do not lie in their cells. */
static uint64_t long_bytes(const rask_batch *b, const rask_view *cells)
{
    const rask_view *v = cells + b->first, *end = v + b->rows;
    uint64_t bytes = 0;

    if (b->buffer_count == 0)
        return 0;
    if (b->sel) {
        for (uint32_t i = 0; i < b->rows; i++)
            bytes += if_long(cells[b->sel[i]].len);
        return bytes;
    }
#if defined(__x86_64__)
    if (cpu_has_avx512())
        v += long_bytes_16(v, b->rows, &bytes);
#endif
    for (; v < end; v++)
        bytes += if_long(v->len);
    return bytes;
}

uint64_t batch_row_bytes(const rask_batch *b)
{
    uint64_t fixed = b->event_time.data ? 8 : 0, more = 0;

    for (uint32_t c = 0; c < b->schema->columns; c++) {
        const rask_field *f = &b->schema->fields[c];
        const void *cells = b->columns[c].data;

        fixed += schema_width(f);
        more += schema_is_view(f) ? long_bytes(b, cells) : 0;
        for (uint32_t i = 0; schema_is_nested(f) && i < b->rows; i++) {
            rask_span span = ((const rask_span *)cells)[rask_position(b, i)];

            more += inside_bytes(b->columns[c].child, span.first, span.count);
        }
    }
    return fixed * b->rows + more;
}
