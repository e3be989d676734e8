/*
 * builder.c - rask_out: rows are written into the columns of a batch that is being filled.
 *
 * Batches follow each other in the same memory: what out_take leaves of the arrays and of the
 * string buffer serves the next batch, so a batch of one row costs one header.  Nothing is written
 * where it could be read: cells and bytes behind the last batch are the builder's alone.
 * Thread: that of the subtask; batches taken may be read anywhere.
 */
#include <rask/make.h>

#include <stdio.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/types/builder_private.h"

enum {
    CELLS_MIN = 256,           /* positions of the first arrays of an output; with bitmaps, whose */
    CELLS_MIN_NULLABLE = 1024, /* batches begin at whole words, more */
    TEXT_MIN = 8 * 1024,       /* string buffers grow from here ... */
    TEXT_MAX = 128 * 1024,     /* ... to here */
    STRING_LIMIT = 128 * 1024,
};
#define NO_BUFFER UINT32_MAX
#define NO_ROW    UINT32_MAX

/* ---- life ---- */

rask_out *out_builder_new(struct pool *pool, const rask_schema *schema, uint32_t extras)
{
    struct builder *b = MEM_NEW(struct builder);

    CHECK(schema->columns >= 1);
    CHECK(schema->columns <= RASK_COLUMNS_MAX);
    b->out.schema = b->out.checked = schema;
    b->out.columns = b->cells.columns;
    b->out.rows_limit = RASK_BATCH_ROWS_MAX;
    b->out.string_limit = STRING_LIMIT;
    b->counted_row = NO_ROW;
    b->out.event_time = RASK_TS_MIN;
    b->out.engine = b;
    b->pool = pool;
    b->extras = extras & ~(uint32_t)BATCH_HASH;
    b->views = schema_view_mask(schema);
    b->nullable = schema_nullable_mask(schema);
    for (uint32_t i = 0; i < schema->columns; i++)
        b->width[i] = (uint8_t)schema_width(&schema->fields[i]);
    b->open_at = NO_ROW;
    b->text_number = NO_BUFFER;
    b->text_next = TEXT_MIN;
    b->root = b;
    out_nested_init(b);
    return &b->out;
}

rask_out *out_new(struct pool *pool, const rask_schema *schema, uint32_t extras,
                  const struct out_hooks *hooks, void *arg)
{
    rask_out *out = out_builder_new(pool, schema, extras);

    builder_of(out)->hooks = *hooks;
    builder_of(out)->arg = arg;
    return out;
}

static void buffers_drop(struct builder *b)
{
    for (uint32_t i = 0; i < b->buffer_count; i++)
        buffer_unref(b->buffers[i]);
    b->buffer_count = 0;
}

void out_free(rask_out *out)
{
    struct builder *b = builder_of(out);

    if (!out)
        return;
    out_nested_free(b);
    buffers_drop(b);
    mem_free(b->buffers);
    buffer_unref(b->text);
    buffer_unref(b->cells.owner);
    mem_free(b);
}

void *out_arg(rask_out *out)
{
    return builder_of(out)->root->arg;
}

int out_refuse(rask_out *out, const char *text)
{
    struct builder *root = builder_of(out)->root;

    return root->hooks.refused(&root->out, root->arg, text);
}

struct pool *out_pool(rask_out *out)
{
    return builder_of(out)->pool;
}

/* ---- cells ---- */

/* Moves the pointers of the columns behind `rows` positions: a multiple of 64 where there are
 * bitmaps. */
static void column_skip(rask_column *c, uint32_t rows, uint32_t width)
{
    if (c->data)
        c->data = (uint8_t *)c->data + (uint64_t)rows * width;
    if (c->validity)
        c->validity += rows / 64;
}

static void column_carry(const rask_column *from, rask_column *to, uint32_t rows, uint32_t width)
{
    if (from->data)
        memcpy(to->data, from->data, (uint64_t)rows * width);
    if (from->validity)
        memcpy(to->validity, from->validity, (uint64_t)(rows + 63) / 64 * 8);
}

/* What rows that set all their cells need to know: rask_out_is_ready. The last row of a batch goes through rask_out_end,
 * and so does every row of outputs that take changes. */
static void ready_set(struct builder *b)
{
    b->ready = b->cells.kind.data || b->deep || b->out.rows_limit == 0 ? 0 : MIN(b->room, b->out.rows_limit - 1);
    b->out.ready_rows = b->ready;
    b->out.times = b->has_time ? b->cells.event_time.data : NULL;
}

/* Arrays for more rows; the finished ones move along. */
void out_builder_grow(struct builder *b, uint32_t more)
{
    struct cells old = b->cells;
    uint32_t rows = b->out.rows, want = b->nullable ? CELLS_MIN_NULLABLE : CELLS_MIN;

    CHECK(rows < RASK_BATCH_ROWS_MAX || b->root != b); /* the hook takes full batches */
    while (want < RASK_BATCH_ROWS_MAX && (want < b->recent || want < rows * 2))
        want *= 4;
    while (want - rows < more || want <= rows)
        want *= 2;
    cells_new(b->pool, b->out.schema, want, b->extras, b->nullable, &b->cells);
    if (rows) {
        for (uint32_t i = 0; i < b->out.schema->columns; i++)
            column_carry(&old.columns[i], &b->cells.columns[i], rows, b->width[i]);
        column_carry(&old.event_time, &b->cells.event_time, rows, 8);
        column_carry(&old.kind, &b->cells.kind, rows, 1);
    }
    buffer_unref(old.owner);
    b->start = 0;
    b->held = b->room = want;
    ready_set(b);
}

/* Behind a taken batch. Rows are apart by at least a line of eight bytes' cells: others read what
 * lies before. */
static void cells_next(struct builder *b, uint32_t rows)
{
    uint32_t step = b->nullable ? (rows + 63) & ~63u : (rows + 7) & ~7u;

    b->recent = MAX(rows, b->recent - b->recent / 8);
    b->start += step;
    if (b->start >= b->held || b->held - b->start < MAX(b->recent, 64)) {
        buffer_unref(b->cells.owner);
        b->cells.owner = NULL;
        b->start = b->held = b->room = 0;
        ready_set(b);
        return;
    }
    for (uint32_t i = 0; i < b->out.schema->columns; i++)
        column_skip(&b->cells.columns[i], step, b->width[i]);
    column_skip(&b->cells.event_time, step, 8);
    column_skip(&b->cells.kind, step, 1);
    b->room = b->held - b->start;
    ready_set(b);
}

/* ---- string buffers ---- */

/* Takes a reference of the caller. */
static uint32_t buffers_add(struct builder *b, rask_buffer *buffer)
{
    if (b->buffer_count == b->buffer_room) {
        b->buffer_room = MAX(8, b->buffer_room * 2);
        b->buffers = mem_realloc(b->buffers, b->buffer_room * sizeof(*b->buffers));
    }
    b->buffers[b->buffer_count] = buffer;
    return b->buffer_count++;
}

/* Room for len bytes of text: its place, and its buffer's number in the batch. */
static uint8_t *text_room(struct builder *b, uint32_t len, uint32_t *ret_number,
                          uint32_t *ret_offset)
{
    rask_buffer *own;

    if (len > TEXT_MAX / 4) {
        own = pool_get(b->pool, len);
        own->used = len;
        *ret_number = buffers_add(b, own);
        *ret_offset = 0;
        return own->data;
    }
    if (!b->text || b->text->capacity - b->text_at < len) {
        buffer_unref(b->text);
        while (b->text_next - 64 < len)
            b->text_next *= 2;
        b->text = pool_get(b->pool, b->text_next - 64); /* with its header: a whole size class */
        b->text->used = (uint32_t)b->text->capacity;    /* as far as readers are concerned */
        b->text_next = MIN(b->text_next * 2, TEXT_MAX);
        b->text_at = 0;
        b->text_number = NO_BUFFER;
    }
    if (b->text_number == NO_BUFFER)
        b->text_number = buffers_add(b, buffer_ref(b->text));
    *ret_number = b->text_number;
    *ret_offset = b->text_at;
    b->text_at += len;
    return b->text->data + *ret_offset;
}

void out_builder_refuse(struct builder *b, int column, const char *why)
{
    struct builder *root = b->root;

    if (!root->out.bad) {
        root->bad_in = b;
        root->bad_column = column;
        root->bad_text = why;
    }
    b->out.bad = b->out.attention = root->out.bad = root->out.attention = 1;
}

/* Where the row begins in what is counted is noted with the first bytes of it. */
bool out_builder_row_has_room(struct builder *root, uint64_t bytes)
{
    if (root->counted_row != root->out.rows) {
        root->counted_row = root->out.rows;
        root->counted_from = root->out.string_bytes;
    }
    return root->out.string_bytes - root->counted_from + bytes <= pool_row_max(root->pool);
}

static __attribute__((noinline, cold)) void refuse_strings(struct builder *b, int column)
{
    struct builder *root = b->root;

    snprintf(root->long_text, sizeof(root->long_text), "the strings of one row have more than %u bytes (rask.max-row-size)",
             pool_row_max(root->pool));
    out_builder_refuse(b, column, root->long_text);
}

static void view_set_long(struct builder *b, int column, rask_view *view, rask_str value)
{
    struct builder *root = b->root;
    uint8_t *to;

    if (!out_builder_row_has_room(root, value.len)) {
        refuse_strings(b, column);
        return;
    }
    to = text_room(b, value.len, &view->u.ref.buffer, &view->u.ref.offset);
    text_copy(to, value.data, value.len);
    view->len = value.len;
    memcpy(view->u.ref.prefix, value.data, 4);
    root->out.string_bytes += value.len;
    root->out.attention |= root->out.string_bytes >= root->out.string_limit;
}

/* ---- rows ---- */

static void row_nulls_reset(struct builder *b)
{
    uint32_t at = b->out.rows;

    if (at < b->room)
        for (uint64_t m = b->nullable; m; m &= m - 1)
            b->cells.columns[__builtin_ctzll(m)].validity[at >> 6] |= UINT64_C(1) << (at & 63);
}

static int schema_refused(struct builder *b, const rask_schema *schema)
{
    struct bytes text;
    int rc;

    if (schema_equal(schema, b->out.schema)) {
        b->out.checked = schema;
        return 0;
    }
    bytes_init(&text);
    bytes_printf(&text, "a row of %s (", schema && schema->name ? schema->name : "no name");
    if (schema)
        schema_format(schema, &text);
    bytes_printf(&text, ") was emitted where the output takes %s (", b->out.schema->name);
    schema_format(b->out.schema, &text);
    bytes_add_str(&text, ")");
    rc = out_refuse(&b->out, (const char *)text.data);
    bytes_release(&text);
    return rc;
}

/* Not the straight way into a row: a foreign schema, no room, or the row before was refused or not
 * ended. */
static __attribute__((noinline, cold)) int begin_slow(struct builder *b, const rask_schema *schema)
{
    if (schema != b->out.schema && schema != b->out.checked) {
        int rc = schema_refused(b, schema);

        if (rc)
            return rc;
    }
    if (b->open_at == b->out.rows && b->nested && out_nested_pending(b))
        return out_refuse(&b->out, "a row was begun before one with rows inside its cells was ended; "
                                   "rask_out_drop drops that one");
    if (b->open_at == b->out.rows || b->out.bad)
        row_nulls_reset(b);
    b->out.bad = 0;
    if (b->out.rows >= b->room)
        out_builder_grow(b, 1);
    return 0;
}

static inline bool begin_is_plain(const struct builder *b, const rask_schema *schema)
{
    return (schema == b->out.schema || schema == b->out.checked) && b->open_at != b->out.rows &&
           !b->out.bad && b->out.rows < b->room;
}

/* A string column that is never set must not be a wild reference. */
static inline void begin_cells(struct builder *b)
{
    uint32_t at = b->out.rows;

    b->open_at = at;
    b->out.ready_rows = 0;
    for (uint64_t m = b->views; m; m &= m - 1)
        memset((rask_view *)b->cells.columns[__builtin_ctzll(m)].data + at, 0, sizeof(rask_view));
}

static __attribute__((noinline, cold)) int begin_cells_slow(struct builder *b,
                                                            const rask_schema *schema)
{
    int rc = begin_slow(b, schema);

    if (!rc)
        begin_cells(b);
    return rc;
}

int rask_out_begin(rask_out *out, const rask_schema *schema)
{
    struct builder *b = builder_of(out);

    if (!begin_is_plain(b, schema))
        return begin_cells_slow(b, schema);
    begin_cells(b);
    return 0;
}

void rask_out_drop(rask_out *out)
{
    struct builder *b = builder_of(out);

    if (b->open_at == out->rows || out->bad)
        row_nulls_reset(b);
    if (b->nested)
        out_nested_drop(b);
    b->open_at = NO_ROW;
    b->root->counted_row = NO_ROW;
    out->bad = 0;
    out->ready_rows = b->ready;
    out->attention = out->string_bytes >= out->string_limit;
}

void rask_out_string(rask_out *out, int column, rask_str value)
{
    struct builder *b = builder_of(out);
    rask_view *view;

    if ((unsigned)column >= RASK_COLUMNS_MAX || !((b->views >> column) & 1)) {
        out_builder_refuse(b, column, "it is not a STRING or BYTES column");
        return;
    }
    view = (rask_view *)b->cells.columns[column].data + out->rows;
    if (value.len <= 12)
        *view = rask_view_short(value.data, value.len);
    else
        view_set_long(b, column, view, value);
}

void rask_out_null(rask_out *out, int column)
{
    struct builder *b = builder_of(out);
    rask_column *c;

    if ((unsigned)column >= RASK_COLUMNS_MAX || !((b->nullable >> column) & 1)) {
        out_builder_refuse(b, column, "it is NOT NULL and was given NULL");
        return;
    }
    c = &b->cells.columns[column];
    c->validity[out->rows >> 6] &= ~(UINT64_C(1) << (out->rows & 63));
    memset((uint8_t *)c->data + (uint64_t)out->rows * b->width[column], 0, b->width[column]);
}

__attribute__((noinline, cold)) int out_builder_row_refused(struct builder *b)
{
    struct builder *root = b->root;
    const rask_schema *schema = root->bad_in->out.schema;
    struct bytes text;
    int rc;

    bytes_init(&text);
    if (root->bad_column == NO_COLUMN)
        bytes_add_str(&text, root->bad_text);
    else if (root->bad_column >= 0 && root->bad_column < schema->columns)
        bytes_printf(&text, "column '%s' of %s: %s", schema->fields[root->bad_column].name,
                     schema->name, root->bad_text);
    else
        bytes_printf(&text, "column %d of %s: %s", root->bad_column, schema->name, root->bad_text);
    row_nulls_reset(b);
    b->out.bad = 0;
    b->open_at = NO_ROW;
    root->counted_row = NO_ROW;
    rc = out_refuse(&b->out, (const char *)text.data);
    bytes_release(&text);
    return rc;
}

/* The first row of a batch with an event time: those before it have none. */
static __attribute__((noinline, cold)) void time_begins(struct builder *b)
{
    for (uint32_t i = 0; i < b->out.rows; i++)
        ((rask_ts *)b->cells.event_time.data)[i] = RASK_TS_MIN;
    b->has_time = true;
    b->out.times = b->cells.event_time.data;
}

/* The row is complete but for what the output adds. */
static inline int row_end(struct builder *b, rask_ts event_time, uint8_t kind)
{
    rask_out *out = &b->out;

    if (__builtin_expect(b->deep, 0)) {
        out_nested_close(b);
        if (b->root != b)
            return out_nested_row_end(b);
    }
    if (b->cells.event_time.data) {
        if (event_time != RASK_TS_MIN && !b->has_time)
            time_begins(b);
        ((rask_ts *)b->cells.event_time.data)[out->rows] = event_time;
    }
    if (b->cells.kind.data) {
        ((uint8_t *)b->cells.kind.data)[out->rows] = kind;
        b->has_changes |= kind != RASK_INSERT;
    } else if (kind != RASK_INSERT) {
        out_builder_refuse(b, NO_COLUMN,
               "an update or deletion was emitted where the output takes insertions only");
    }
    out->attention = 0;
    out->ready_rows = b->ready;
    if (out->bad)
        return out_builder_row_refused(b);
    out->rows++;
    if (out->rows >= out->rows_limit || out->string_bytes >= out->string_limit)
        return b->hooks.full(out, b->arg);
    return 0;
}

int rask_out_end(rask_out *out)
{
    return row_end(builder_of(out), out->event_time, out->row_kind);
}

/* ---- forward ---- */

/* The number of a foreign buffer in the batch being filled; NO_BUFFER: copy the string. */
static uint32_t buffer_share(struct builder *b, rask_buffer *buffer)
{
    for (uint32_t i = b->buffer_count; i-- > 0 && i + 4 >= b->buffer_count;)
        if (b->buffers[i] == buffer)
            return i;
    if (b->buffer_count >= BUFFERS_SHARED_MAX)
        return NO_BUFFER;
    return buffers_add(b, buffer_ref(buffer));
}

void out_builder_view(struct builder *b, const rask_batch *from, int column, const rask_view *src,
                  rask_view *to)
{
    uint32_t number;

    if (src->len <= 12) {
        *to = *src;
        return;
    }
    number = buffer_share(b, from->buffers[src->u.ref.buffer]);
    if (number == NO_BUFFER) {
        memset(to, 0, sizeof(*to));
        view_set_long(b, column, to, rask_view_str(from, src));
        return;
    }
    if (!out_builder_row_has_room(b->root, src->len)) {
        memset(to, 0, sizeof(*to));
        refuse_strings(b, column);
        return;
    }
    *to = *src;
    to->u.ref.buffer = number;
    b->root->out.string_bytes += src->len;
}

static inline void cell_forward(void *to, const void *from, uint32_t at, uint32_t position,
                                uint32_t width)
{
    switch (width) {
    case 1:
        ((uint8_t *)to)[at] = ((const uint8_t *)from)[position];
        break;
    case 2:
        memcpy((uint8_t *)to + at * 2, (const uint8_t *)from + position * 2, 2);
        break;
    case 4:
        memcpy((uint8_t *)to + at * 4, (const uint8_t *)from + position * 4, 4);
        break;
    case 8:
        memcpy((uint8_t *)to + at * 8, (const uint8_t *)from + position * 8, 8);
        break;
    default:
        memcpy((uint8_t *)to + at * 16, (const uint8_t *)from + position * 16, 16);
        break;
    }
}

int rask_forward(rask_out *out, const rask_row *row)
{
    struct builder *b = builder_of(out);
    const rask_batch *from = row->batch;
    uint32_t at, position = row->position;
    int rc = begin_is_plain(b, from->schema) ? 0 : begin_slow(b, from->schema);

    if (rc)
        return rc;
    at = b->open_at = out->rows;
    for (uint32_t c = 0; c < from->schema->columns; c++) {
        const rask_column *src = &from->columns[c];
        rask_column *to = &b->cells.columns[c];

        if (rask_column_is_null(src, position))
            rask_out_null(out, (int)c);
        else if ((b->views >> c) & 1)
            out_builder_view(b, from, (int)c, (const rask_view *)src->data + position,
                         (rask_view *)to->data + at);
        else if ((b->nested >> c) & 1)
            out_nested_append(b->inside[c], src->child, ((const rask_span *)src->data)[position].first,
                          ((const rask_span *)src->data)[position].count);
        else
            cell_forward(to->data, src->data, at, position, b->width[c]);
    }
    return row_end(b,
                   from->event_time.data ? ((const rask_ts *)from->event_time.data)[position]
                                         : out->event_time,
                   from->kind.data ? ((const uint8_t *)from->kind.data)[position] : out->row_kind);
}

int rask_emit_batch(rask_out *out, rask_batch **batch)
{
    struct builder *b = builder_of(out);
    rask_batch *taken = *batch, *same;
    int rc = 0;

    *batch = NULL;
    if (b->root != b)
        rc = out_refuse(out, "a whole batch was emitted into a cell, which takes its rows");
    else if (taken->schema != out->schema && taken->schema != out->checked)
        rc = schema_refused(b, taken->schema);
    for (uint64_t m = rc ? 0 : b->nested; m && !rc; m &= m - 1)
        if (!taken->columns[__builtin_ctzll(m)].child)
            rc = out_refuse(out, "a batch was emitted without the rows inside its ARRAY, MAP or ROW "
                                 "cells (rask_batch_inside)");
    if (!rc && out->rows)
        rc = b->hooks.full(out, b->arg);
    if (rc || taken->rows == 0) {
        batch_unref(taken);
        return rc;
    }
    if (taken->schema != out->schema) {
        same = batch_with_schema(taken, out->schema);
        batch_unref(taken);
        taken = same;
    }
    return b->hooks.batch(out, b->arg, &taken);
}

/* ---- take ---- */

static void open_row_save(struct builder *b)
{
    struct open_row *row = b->carried = MEM_NEW(struct open_row);
    uint32_t at = b->out.rows;

    for (uint32_t i = 0; i < b->out.schema->columns; i++) {
        const rask_column *c = &b->cells.columns[i];

        memcpy(row->cell[i], (const uint8_t *)c->data + (uint64_t)at * b->width[i], b->width[i]);
        row->nulls |= (uint64_t)rask_column_is_null(c, at) << i;
    }
    row_nulls_reset(b);
}

void out_builder_open_row_restore(struct builder *b, const rask_batch *taken)
{
    const struct open_row *row = b->carried;
    uint32_t at = b->out.rows;

    if (at >= b->room)
        out_builder_grow(b, 1);
    for (uint32_t i = 0; i < b->out.schema->columns; i++) {
        uint8_t *to = (uint8_t *)b->cells.columns[i].data + (uint64_t)at * b->width[i];
        rask_view v;

        memcpy(to, row->cell[i], b->width[i]);
        if (!((b->views >> i) & 1))
            continue;
        memcpy(&v, row->cell[i], sizeof(v));
        if (v.len > 12)
            view_set_long(b, (int)i, (rask_view *)(void *)to, rask_view_str(taken, &v));
    }
    for (uint64_t m = row->nulls; m; m &= m - 1)
        b->cells.columns[__builtin_ctzll(m)].validity[at >> 6] &= ~(UINT64_C(1) << (at & 63));
    b->open_at = at;
    b->out.ready_rows = 0;
    mem_free(b->carried);
    b->carried = NULL;
}

rask_batch *out_builder_take(struct builder *b)
{
    rask_out *out = &b->out;
    uint32_t rows = out->rows;
    rask_batch *t;

    if (b->open_at == rows)
        open_row_save(b);
    if (b->room == 0)
        out_builder_grow(b, 1);
    t = batch_header(b->pool, out->schema, b->buffer_count);
    t->rows = t->positions = rows;
    memcpy(t->columns, b->cells.columns, out->schema->columns * sizeof(rask_column));
    if (b->has_time)
        t->event_time = b->cells.event_time;
    if (b->has_changes)
        t->kind = b->cells.kind;
    batch_hold(t, b->cells.owner);
    if (b->buffer_count)
        memcpy(t->buffers, b->buffers, b->buffer_count * sizeof(*b->buffers));
    for (uint64_t m = b->nested; m; m &= m - 1)
        t->columns[__builtin_ctzll(m)].child = out_builder_take(b->inside[__builtin_ctzll(m)]);
    b->buffer_count = 0;
    b->text_number = NO_BUFFER;
    b->has_changes = b->has_time = false;
    b->open_at = NO_ROW;
    b->taken = rows;
    b->taken_mark = b->mark;
    b->mark = 0;
    out->rows = 0;
    out->string_bytes = 0;
    b->counted_row = NO_ROW;
    out->attention = out->bad;
    cells_next(b, rows);
    return t;
}

rask_batch *out_take(rask_out *out)
{
    struct builder *b = builder_of(out);
    rask_batch *t;

    if (out->rows == 0)
        return NULL;
    t = out_builder_take(b);
    if (b->deep)
        out_nested_carry(b, t);
    else if (b->carried)
        out_builder_open_row_restore(b, t);
    return t;
}
