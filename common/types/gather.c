/*
 * gather.c - rows of several batches into one, in any order: the one copy of an exchange.
 *
 * Input by input, column by column: a pass reads cells in order and scatters them.  Views keep
 * their bytes where they are; their buffer number is changed to the place in the result's list.
 * Rows inside cells are appended in the order of the inputs, run by run (batch_concat).
 */
#include "common/base/check.h"
#include "common/base/cpu.h"
#include "common/base/mem.h"
#include "common/types/batch_private.h"

enum { PREFETCH_BYTES = 1024 }; /* of a column; longer runs are found by the processor */

/* Cells are moved as plain memory of their width. */
typedef uint8_t __attribute__((may_alias)) cell_1;
typedef uint16_t __attribute__((may_alias)) cell_2;
typedef uint32_t __attribute__((may_alias)) cell_4;
typedef uint64_t __attribute__((may_alias)) cell_8;
typedef struct {
    uint64_t a, b;
} __attribute__((may_alias, aligned(4), packed)) cell_16;

/*
 * The memory of a block was read last by other cores, and no prefetcher foresees a hundred places that are written in turn: lines
 * are asked for some rows ahead.
 */
enum { WRITE_AHEAD_ROWS = 48 };

#define DEFINE_SCATTER(type)                                                     \
    FETCHES_FOR_WRITING static void scatter_##type(                              \
        const rask_batch *in, const void *src, void *dst,                        \
        const uint16_t *position, bool ahead)                                    \
    {                                                                            \
        const type *from = src;                                                  \
        uint32_t i = 0;                                                          \
        type *to = dst;                                                          \
                                                                                 \
        if (in->sel) {                                                           \
            for (; i < in->rows; i++)                                            \
                to[position[i]] = from[in->sel[i]];                              \
            return;                                                              \
        }                                                                        \
        from += in->first;                                                       \
        for (; ahead && i + WRITE_AHEAD_ROWS < in->rows; i++) {                  \
            __builtin_prefetch(&to[position[i + WRITE_AHEAD_ROWS]], 1);          \
            to[position[i]] = from[i];                                           \
        }                                                                        \
        for (; i < in->rows; i++)                                                \
            to[position[i]] = from[i];                                           \
    }
DEFINE_SCATTER(cell_1)
DEFINE_SCATTER(cell_2)
DEFINE_SCATTER(cell_4)
DEFINE_SCATTER(cell_8)
DEFINE_SCATTER(cell_16)

/* ahead: the result is wide. */
static void scatter(uint32_t width, const rask_batch *in, const void *src, void *dst,
                    const uint16_t *position, bool ahead)
{
    switch (width) {
    case 1:
        scatter_cell_1(in, src, dst, position, ahead);
        break;
    case 2:
        scatter_cell_2(in, src, dst, position, ahead);
        break;
    case 4:
        scatter_cell_4(in, src, dst, position, ahead);
        break;
    case 8:
        scatter_cell_8(in, src, dst, position, ahead);
        break;
    default:
        scatter_cell_16(in, src, dst, position, ahead);
        break;
    }
}

static void scatter_nulls(const rask_batch *in, const rask_column *from, rask_column *to,
                          const uint16_t *position)
{
    for (uint32_t i = 0; i < in->rows; i++)
        if (rask_column_is_null(from, rask_position(in, i)))
            to->validity[position[i] >> 6] &= ~(UINT64_C(1) << (position[i] & 63));
}

/* ---- strings ---- */

/* The bits of rows [from, from + count) of the input whose strings do not lie in their cells; count <= 64. */
static uint64_t rows_that_refer(const rask_batch *in, const view_words *cells, uint32_t from, uint32_t count)
{
    uint64_t bits = 0;

    if (!in->sel)
        return batch_long_cells(cells + in->first + from, count);
    for (uint32_t i = 0; i < count; i++)
        bits |= (uint64_t)(view_len(cells[in->sel[from + i]]) > 12) << i;
    return bits;
}

static void scatter_views(struct text_list *t, const rask_batch *in, const void *src, void *dst,
                          const uint16_t *position, bool ahead)
{
    const view_words *from = src;
    view_words *to = dst;

    scatter_cell_16(in, src, dst, position, ahead);
    for (uint32_t i = 0; i < in->rows; i += 64)
        for (uint64_t bits = rows_that_refer(in, from, i, MIN(in->rows - i, 64u)); bits; bits &= bits - 1) {
            uint32_t row = i + (uint32_t)__builtin_ctzll(bits);
            view_words v = from[rask_position(in, row)];
            uint32_t n = t->map[view_buffer(v)];

            t->list[n].referenced += view_len(v);
            to[position[row]] = view_at(v, n, view_offset(v));
        }
}

/* ---- rows inside cells ---- */

void batch_runs_init(struct runs *r)
{
    *r = (struct runs){.list = r->few, .room = ARRAY_LEN(r->few)};
}

void batch_runs_release(struct runs *r)
{
    if (r->list != r->few)
        mem_free(r->list);
}

void batch_runs_add(struct runs *r, rask_batch *from, rask_span span)
{
    struct run *last = r->count ? &r->list[r->count - 1] : NULL;

    if (span.count == 0)
        return;
    r->rows += span.count;
    if (last && last->from == from && last->span.first + last->span.count == span.first) {
        last->span.count += span.count;
        return;
    }
    if (r->count == r->room) {
        struct run *list = mem_alloc_array((size_t)r->room * 2, sizeof(*list));

        memcpy(list, r->list, r->count * sizeof(*list));
        if (r->list != r->few)
            mem_free(r->list);
        r->list = list;
        r->room *= 2;
    }
    r->list[r->count++] = (struct run){from, span};
}

void batch_runs_add_cells(struct runs *r, const rask_batch *b, uint32_t column, uint32_t from_row,
                    uint32_t rows)
{
    const rask_column *c = &b->columns[column];

    for (uint32_t i = from_row; i < from_row + rows; i++)
        batch_runs_add(r, c->child, ((const rask_span *)c->data)[rask_position(b, i)]);
}

/* Prefetches the beginning of an array's part: it may lie in another core's cache, and no prefetcher foresees short runs. */
static inline void prefetch_cells(const uint8_t *cells, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes && i < PREFETCH_BYTES; i += 64)
        __builtin_prefetch(cells + i);
}

/* The cells of a column, or with column == schema->columns the hashes; NULL: there are none. */
static inline const uint8_t *run_cells(const struct run *run, uint32_t column, uint32_t width)
{
    const rask_batch *b = run->from;
    const rask_column *c = column < b->schema->columns ? &b->columns[column] : &b->hash;

    return c->data ? (const uint8_t *)c->data + (uint64_t)run->span.first * width : NULL;
}

/* Copies a column of all runs, as it is, to `to`; meanwhile the next column of each (0: there is none) is prefetched. */
static void concat_column(const struct runs *runs, uint32_t column, uint32_t width, uint32_t next_width, uint8_t *to)
{
    for (uint32_t i = 0; i < runs->count; i++) {
        const struct run *run = &runs->list[i];
        uint64_t bytes = (uint64_t)run->span.count * width;

        if (next_width)
            prefetch_cells(run_cells(run, column + 1, next_width), (uint64_t)run->span.count * next_width);
        memcpy(to, run_cells(run, column, width), bytes);
        to += bytes;
    }
}

static void concat_nulls(const struct run *run, uint32_t column, rask_column *to, uint32_t at)
{
    const rask_column *from = &run->from->columns[column];

    for (uint32_t i = 0; from->validity && i < run->span.count; i++)
        if (rask_column_is_null(from, run->span.first + i))
            to->validity[(at + i) >> 6] &= ~(UINT64_C(1) << ((at + i) & 63));
}

/* Spans of the result become those of the rows appended one after the other. */
static void spans_renumber(rask_span *spans, uint32_t rows)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < rows; i++) {
        spans[i].first = spans[i].count ? at : 0;
        at += spans[i].count;
    }
}

/* A run counts physical positions. */
static void add_inside_run(struct runs *inside, const struct run *run, uint32_t column)
{
    const rask_column *c = &run->from->columns[column];

    for (uint32_t i = 0; i < run->span.count; i++)
        batch_runs_add(inside, c->child, ((const rask_span *)c->data)[run->span.first + i]);
}

static void concat_children(rask_batch *b, const struct runs *runs)
{
    for (uint32_t c = 0; c < b->schema->columns; c++) {
        struct runs inside;

        if (!schema_is_nested(&b->schema->fields[c]))
            continue;
        batch_runs_init(&inside);
        for (uint32_t i = 0; i < runs->count; i++)
            add_inside_run(&inside, &runs->list[i], c);
        spans_renumber(b->columns[c].data, b->rows);
        b->columns[c].child = batch_concat(b->pool, b->schema->fields[c].child, &inside);
        batch_runs_release(&inside);
    }
}

static uint32_t gather_extras(rask_batch *const *in, uint32_t in_count);

/* Event times and kinds of a run; rows inside cells have none. */
static void concat_extras(const struct run *run, struct cells *cells, uint32_t at)
{
    const rask_batch *b = run->from;
    rask_ts *time = cells->event_time.data ? (rask_ts *)cells->event_time.data + at : NULL;
    uint8_t *kind = cells->kind.data ? (uint8_t *)cells->kind.data + at : NULL;
    uint32_t first = run->span.first, count = run->span.count;

    if (time && b->event_time.data)
        memcpy(time, (const rask_ts *)b->event_time.data + first, count * sizeof(*time));
    for (uint32_t i = 0; time && !b->event_time.data && i < count; i++)
        time[i] = RASK_TS_MIN;
    if (kind && b->kind.data)
        memcpy(kind, (const uint8_t *)b->kind.data + first, count);
    else if (kind)
        memset(kind, RASK_INSERT, count);
}

static void concat_columns(const struct runs *runs, const rask_schema *schema, struct cells *cells)
{
    uint32_t width = schema->columns ? schema_width(&schema->fields[0]) : 8, next;
    uint32_t all = schema->columns + (cells->hash.data != NULL);

    for (uint32_t i = 0; i < runs->count && all > 0; i++)
        prefetch_cells(run_cells(&runs->list[i], 0, width), (uint64_t)runs->list[i].span.count * width);
    for (uint32_t c = 0; c < all; c++, width = next) {
        next = c + 1 == all ? 0 : c + 1 == schema->columns ? 8 : schema_width(&schema->fields[c + 1]);
        concat_column(runs, c, width, next, c < schema->columns ? cells->columns[c].data : cells->hash.data);
    }
}

/* What is not plain cells: long strings, nulls, event times and kinds. */
static void concat_rest(const struct run *run, const rask_schema *schema, struct text_list *texts, struct cells *cells, uint32_t at)
{
    batch_texts_map(texts, run->from);
    for (uint32_t c = 0; c < schema->columns; c++) {
        if (run->from->buffer_count && schema_is_view(&schema->fields[c]))
            batch_texts_renumber(texts, (view_words *)cells->columns[c].data + at, run->span.count);
        concat_nulls(run, c, &cells->columns[c], at);
    }
    concat_extras(run, cells, at);
}

rask_batch *batch_concat(struct pool *pool, const rask_schema *schema, const struct runs *runs)
{
    uint64_t nullable = 0, all = 0;
    uint32_t most = 0, at = 0, some = 0, each = runs->count ? BATCH_HASH : 0;
    struct text_list texts;
    struct cells cells;
    rask_batch *b;

    CHECK(runs->rows <= UINT32_MAX);
    for (uint32_t i = 0; i < runs->count; i++) {
        const rask_batch *from = runs->list[i].from;

        for (uint32_t c = 0; c < schema->columns; c++)
            nullable |= (uint64_t)(from->columns[c].validity != NULL) << c;
        some |= gather_extras((rask_batch *const *)&runs->list[i].from, 1);
        each &= from->hash.data ? BATCH_HASH : 0;
        most = MAX(most, from->buffer_count);
        all += i && from == runs->list[i - 1].from ? 0 : from->buffer_count;
    }
    cells_new(pool, schema, (uint32_t)runs->rows, (some & ~(uint32_t)BATCH_HASH) | each, nullable, &cells);
    batch_texts_init(&texts, all, most);
    concat_columns(runs, schema, &cells);
    for (uint32_t i = 0; i < runs->count && (all || nullable || cells.event_time.data || cells.kind.data); i++) {
        concat_rest(&runs->list[i], schema, &texts, &cells, at);
        at += runs->list[i].span.count;
    }
    b = batch_texts_finish(&texts, pool, schema, &cells, (uint32_t)runs->rows);
    batch_texts_release(&texts);
    concat_children(b, runs);
    return b;
}

/* With selections in it: row by row. */
static rask_batch *join_selected(struct pool *pool, const struct batch_part *parts, uint32_t count, uint32_t rows)
{
    rask_batch *slices[BATCH_PARTS_MAX], *joined;
    uint16_t *position = mem_alloc_array(rows, sizeof(*position));

    for (uint32_t i = 0; i < count; i++)
        slices[i] = batch_slice(parts[i].from, parts[i].first, parts[i].rows);
    for (uint32_t i = 0; i < rows; i++)
        position[i] = (uint16_t)i;
    joined = batch_gather(pool, slices, count, position, rows);
    for (uint32_t i = 0; i < count; i++)
        batch_unref(slices[i]);
    mem_free(position);
    return joined;
}

rask_batch *batch_join(struct pool *pool, const struct batch_part *parts, uint32_t count)
{
    struct run list[BATCH_PARTS_MAX];
    struct runs runs = {.list = list, .room = BATCH_PARTS_MAX};
    bool selected = false;

    CHECK(count >= 1);
    CHECK(count <= BATCH_PARTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        rask_batch *from = parts[i].from;

        CHECK(parts[i].rows > 0);
        CHECK(parts[i].first <= from->rows && parts[i].rows <= from->rows - parts[i].first);
        selected |= from->sel != NULL;
        batch_runs_add(&runs, from, (rask_span){from->first + parts[i].first, parts[i].rows});
    }
    CHECK(runs.rows <= BATCH_POSITIONS_MAX);
    return selected ? join_selected(pool, parts, count, (uint32_t)runs.rows)
                    : batch_concat(pool, parts[0].from->schema, &runs);
}

/* One child for all inputs, of which enough is used to share it. */
static rask_batch *child_shared(rask_batch *const *in, uint32_t in_count, uint32_t column,
                                const struct runs *runs)
{
    rask_batch *child = in[0]->columns[column].child;

    for (uint32_t i = 1; i < in_count; i++)
        if (in[i]->columns[column].child != child)
            return NULL;
    return runs->rows >= child->positions / 4 ? child : NULL;
}

/* The spans of a column of b, which the gather has left out, and the rows inside them. */
static void gather_nested(rask_batch *b, rask_batch *const *in, uint32_t in_count, uint32_t column,
                          const uint16_t *position)
{
    rask_column *to = &b->columns[column];
    struct runs runs;
    rask_batch *shared;
    uint32_t at = 0;

    batch_runs_init(&runs);
    for (uint32_t i = 0; i < in_count; i++)
        batch_runs_add_cells(&runs, in[i], column, 0, in[i]->rows);
    shared = child_shared(in, in_count, column, &runs);
    for (uint32_t i = 0; i < in_count; i++) {
        const rask_span *from = in[i]->columns[column].data;

        for (uint32_t k = 0; k < in[i]->rows; k++) {
            rask_span span = from[rask_position(in[i], k)];

            if (!shared)
                span.first = span.count ? at : 0;
            at += span.count;
            ((rask_span *)to->data)[*position++] = span;
        }
    }
    to->child = shared ? batch_ref(shared)
                       : batch_concat(b->pool, b->schema->fields[column].child, &runs);
    batch_runs_release(&runs);
}

/* ---- the whole ---- */

static uint32_t gather_extras(rask_batch *const *in, uint32_t in_count)
{
    uint32_t some = 0, all = BATCH_HASH;

    for (uint32_t i = 0; i < in_count; i++) {
        some |=
            (in[i]->event_time.data ? BATCH_EVENT_TIME : 0) | (in[i]->kind.data ? BATCH_KIND : 0);
        all &= in[i]->hash.data ? BATCH_HASH : 0;
    }
    return some | all;
}

static uint64_t gather_nullable(rask_batch *const *in, uint32_t in_count)
{
    uint64_t mask = 0;

    for (uint32_t i = 0; i < in_count; i++)
        for (uint32_t c = 0; c < in[i]->schema->columns; c++)
            mask |= (uint64_t)(in[i]->columns[c].validity != NULL) << c;
    return mask;
}

static void gather_extra_cells(const rask_batch *in, struct cells *cells, const uint16_t *position)
{
    if (cells->event_time.data && in->event_time.data)
        scatter_cell_8(in, in->event_time.data, cells->event_time.data, position, false);
    else if (cells->event_time.data)
        for (uint32_t i = 0; i < in->rows; i++)
            ((rask_ts *)cells->event_time.data)[position[i]] = RASK_TS_MIN;
    if (cells->kind.data && in->kind.data)
        scatter_cell_1(in, in->kind.data, cells->kind.data, position, false);
    else if (cells->kind.data)
        for (uint32_t i = 0; i < in->rows; i++)
            ((uint8_t *)cells->kind.data)[position[i]] = RASK_INSERT;
    if (cells->hash.data && in->hash.data)
        scatter_cell_8(in, in->hash.data, cells->hash.data, position, false);
}

static void gather_input(const rask_batch *in, struct cells *cells, struct text_list *texts,
                         const uint16_t *position, bool ahead)
{
    batch_texts_map(texts, in);
    for (uint32_t c = 0; c < in->schema->columns; c++) {
        const rask_column *from = &in->columns[c];
        rask_column *to = &cells->columns[c];

        if (schema_is_nested(&in->schema->fields[c]))
            ; /* spans follow: gather_nested */
        else if (schema_is_view(&in->schema->fields[c]) && in->buffer_count)
            scatter_views(texts, in, from->data, to->data, position, ahead);
        else
            scatter(schema_width(&in->schema->fields[c]), in, from->data, to->data, position, ahead);
        if (from->validity)
            scatter_nulls(in, from, to, position);
    }
    gather_extra_cells(in, cells, position);
}

rask_batch *batch_gather(struct pool *pool, rask_batch *const *in, uint32_t in_count,
                         const uint16_t *position, uint32_t rows)
{
    return batch_gather_hashed(pool, in, in_count, position, rows, NULL);
}

rask_batch *batch_gather_hashed(struct pool *pool, rask_batch *const *in, uint32_t in_count,
                                const uint16_t *position, uint32_t rows, const uint64_t *hash)
{
    const rask_schema *schema;
    struct cells cells;
    struct text_list texts;
    rask_batch *b;
    uint32_t done = 0, most = 0;
    uint64_t all = 0;
    rask_batch part;

    CHECK(in_count > 0);
    CHECK(rows <= BATCH_POSITIONS_MAX);
    schema = in[0]->schema;
    cells_new(pool, schema, rows, gather_extras(in, in_count) | (hash ? BATCH_HASH : 0), gather_nullable(in, in_count),
              &cells);
    for (uint32_t i = 0; i < in_count; i++) {
        all += in[i]->buffer_count;
        most = MAX(most, in[i]->buffer_count);
    }
    batch_texts_init(&texts, all, most);
    for (uint32_t i = 0; i < in_count; i++) {
        CHECK(in[i]->schema->columns == schema->columns);
        CHECK(in[i]->rows <= rows - done);
        gather_input(in[i], &cells, &texts, position + done, rows > RASK_BATCH_ROWS_MAX);
        if (hash) {
            part = (rask_batch){.rows = in[i]->rows};
            scatter_cell_8(&part, hash + done, cells.hash.data, position + done, rows > RASK_BATCH_ROWS_MAX);
        }
        done += in[i]->rows;
    }
    CHECK(done == rows);
    b = batch_texts_finish(&texts, pool, schema, &cells, rows);
    batch_texts_release(&texts);
    for (uint32_t c = 0; c < schema->columns; c++)
        if (schema_is_nested(&schema->fields[c]))
            gather_nested(b, in, in_count, c, position);
    return b;
}
