/*
 * builder_nested.c - rows inside the cells of the row that is being built: ARRAY, MAP, ROW.
 *
 * Each such column has a builder of its own, without limits and hooks; its finished rows that no
 * finished row above holds yet (from `mark` on) are those of the cell at hand.  Their bytes count
 * for the root's limits.  Thread: that of the subtask.
 */
#include <stdio.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/types/builder_private.h"

#define EACH_NESTED(b, m) (uint64_t m = (b)->nested; m; m &= m - 1)
#define COLUMN_OF(m)      ((uint32_t)__builtin_ctzll(m))

/* ---- life ---- */

static void root_set(struct builder *b, struct builder *root)
{
    b->root = root;
    b->deep = true;
    for EACH_NESTED(b, m)
        root_set(b->inside[COLUMN_OF(m)], root);
}

static struct builder *inside_new(struct builder *b, const rask_field *field)
{
    struct builder *k = builder_of(out_builder_new(b->pool, field->child, 0));

    k->out.rows_limit = UINT32_MAX;
    k->out.string_limit = UINT64_MAX;
    if (field->type == RASK_T_ARRAY && field->child->fields[0].type == RASK_T_ROW)
        k->inside[0]->wraps = k;
    root_set(k, b);
    return k;
}

void out_nested_init(struct builder *b)
{
    const rask_schema *schema = b->out.schema;

    for (uint32_t i = 0; i < schema->columns; i++) {
        b->row_bytes += b->width[i];
        b->nested |= (uint64_t)schema_is_nested(&schema->fields[i]) << i;
    }
    if (!b->nested)
        return;
    b->deep = true;
    b->inside = mem_alloc_array(schema->columns, sizeof(struct builder *));
    for EACH_NESTED(b, m)
        b->inside[COLUMN_OF(m)] = inside_new(b, &schema->fields[COLUMN_OF(m)]);
}

void out_nested_free(struct builder *b)
{
    for EACH_NESTED(b, m)
        out_free(&b->inside[COLUMN_OF(m)]->out);
    mem_free(b->inside);
}

/* ---- rows ---- */

/* false: the row has become too large. */
static bool account(struct builder *b, uint64_t bytes)
{
    if (out_builder_row_has_room(b->root, bytes)) {
        b->root->out.string_bytes += bytes;
        return true;
    }
    snprintf(b->root->long_text, sizeof(b->root->long_text),
             "the cells inside one row have more than %u bytes (rask.max-row-size)",
             pool_row_max(b->pool));
    out_builder_refuse(b, NO_COLUMN, b->root->long_text);
    return false;
}

static rask_span *span_at(const struct builder *b, uint32_t column)
{
    return (rask_span *)b->cells.columns[column].data + b->out.rows;
}

static void span_close(struct builder *b, uint32_t column)
{
    struct builder *k = b->inside[column];
    rask_span span = {k->mark, k->out.rows - k->mark};

    k->mark = k->out.rows;
    if (rask_column_is_null(&b->cells.columns[column], b->out.rows)) {
        span = (rask_span){0, 0};
    } else if (b->out.schema->fields[column].type == RASK_T_ROW && span.count != 1) {
        snprintf(b->root->long_text, sizeof(b->root->long_text),
                 "a ROW is one row, and %u were emitted for it", span.count);
        out_builder_refuse(b, (int)column, b->root->long_text);
    }
    *span_at(b, column) = span;
}

/* A row of b is the next element of an ARRAY of ROW; null: without a row. */
static void wrap(struct builder *b, bool null)
{
    struct builder *e = b->wraps;
    uint32_t at = e->out.rows;

    if (!account(e, e->row_bytes))
        return;
    if (at >= e->room)
        out_builder_grow(e, 1);
    *span_at(e, 0) = null ? (rask_span){0, 0} : (rask_span){b->out.rows - 1, 1};
    if (null)
        e->cells.columns[0].validity[at >> 6] &= ~(UINT64_C(1) << (at & 63));
    b->mark = b->out.rows;
    e->out.rows++;
}

void out_nested_close(struct builder *b)
{
    for EACH_NESTED(b, m)
        span_close(b, COLUMN_OF(m));
}

int out_nested_row_end(struct builder *b)
{
    if (!b->out.bad)
        (void)account(b, b->row_bytes);
    if (b->out.bad)
        return out_builder_row_refused(b);
    b->out.rows++;
    if (b->wraps)
        wrap(b, false);
    return 0;
}

bool out_nested_pending(const struct builder *b)
{
    for EACH_NESTED(b, m)
        if (b->inside[COLUMN_OF(m)]->out.rows != b->inside[COLUMN_OF(m)]->mark)
            return true;
    return false;
}

void out_nested_drop(struct builder *b)
{
    for EACH_NESTED(b, m) {
        struct builder *k = b->inside[COLUMN_OF(m)];

        k->mark = k->out.rows; /* nothing refers to them */
        rask_out_drop(&k->out);
    }
}

/* ---- copies ---- */

static void append_column(struct builder *b, const rask_batch *from, uint32_t column, uint32_t first,
                          uint32_t count)
{
    const rask_column *src = &from->columns[column];
    rask_column *to = &b->cells.columns[column];
    uint32_t width = b->width[column], at = b->out.rows;

    for (uint32_t i = 0; to->validity && src->validity && i < count; i++)
        if (rask_column_is_null(src, first + i))
            to->validity[(at + i) >> 6] &= ~(UINT64_C(1) << ((at + i) & 63));
    if ((b->views >> column) & 1) {
        for (uint32_t i = 0; i < count; i++)
            out_builder_view(b, from, (int)column, (const rask_view *)src->data + first + i,
                         (rask_view *)to->data + at + i);
    } else if ((b->nested >> column) & 1) {
        struct builder *k = b->inside[column];

        for (uint32_t i = 0; i < count; i++) {
            rask_span span = ((const rask_span *)src->data)[first + i];

            ((rask_span *)to->data)[at + i] =
                span.count ? (rask_span){k->out.rows, span.count} : (rask_span){0, 0};
            out_nested_append(k, src->child, span.first, span.count);
            k->mark = k->out.rows;
        }
    } else {
        memcpy((uint8_t *)to->data + (uint64_t)at * width,
               (const uint8_t *)src->data + (uint64_t)first * width, (uint64_t)count * width);
    }
}

void out_nested_append(struct builder *b, const rask_batch *from, uint32_t first, uint32_t count)
{
    if (count == 0 || !account(b, (uint64_t)count * b->row_bytes))
        return;
    if (b->out.rows + count > b->room)
        out_builder_grow(b, count);
    for (uint32_t i = 0; i < b->out.schema->columns; i++)
        append_column(b, from, i, first, count);
    b->out.rows += count;
}

void out_nested_carry(struct builder *b, const rask_batch *taken)
{
    if (b->root != b)
        out_nested_append(b, taken, b->taken_mark, b->taken - b->taken_mark);
    for EACH_NESTED(b, m)
        out_nested_carry(b->inside[COLUMN_OF(m)], taken->columns[COLUMN_OF(m)].child);
    if (b->carried)
        out_builder_open_row_restore(b, taken);
}

/* ---- what users call ---- */

static struct builder *inside_of(struct builder *b, int column)
{
    if ((unsigned)column < RASK_COLUMNS_MAX && (b->nested >> column) & 1)
        return b->inside[column];
    out_builder_refuse(b, column, "it is not an ARRAY, MAP or ROW");
    return NULL;
}

rask_out *rask_out_nested(rask_out *out, int column)
{
    struct builder *k = inside_of(builder_of(out), column);

    if (!k)
        return out;
    return k->nested & 1 && k->inside[0]->wraps ? &k->inside[0]->out : &k->out;
}

/* Whether rows of `batch` may be copied into k, whose column in b is `column`. */
static bool same_rows(struct builder *b, struct builder *k, int column, const rask_batch *batch)
{
    if (batch->schema == k->out.schema || batch->schema == k->out.checked)
        return true;
    if (!schema_equal(batch->schema, k->out.schema)) {
        out_builder_refuse(b, column, "it was given a value of another type");
        return false;
    }
    k->out.checked = batch->schema;
    return true;
}

void rask_out_array(rask_out *out, int column, rask_array value)
{
    struct builder *b = builder_of(out), *k = inside_of(b, column);

    if (!k || !value.rows || !same_rows(b, k, column, value.rows))
        return;
    if (b->out.schema->fields[column].type == RASK_T_ROW)
        out_builder_refuse(b, column, "it is a ROW and was given an ARRAY");
    else
        out_nested_append(k, value.rows, value.first, value.count);
}

void rask_out_row(rask_out *out, int column, rask_row value)
{
    struct builder *b = builder_of(out), *k = inside_of(b, column);

    if (!k)
        return;
    if (b->out.schema->fields[column].type != RASK_T_ROW)
        out_builder_refuse(b, column, "it is not a ROW and was given one");
    else if (!value.batch)
        rask_out_null(out, column);
    else if (same_rows(b, k, column, value.batch))
        out_nested_append(k, value.batch, value.position, 1);
}

int rask_out_null_row(rask_out *elements)
{
    struct builder *b = builder_of(elements), *e = b->wraps;

    if (e && e->nullable & 1) {
        wrap(b, true);
        return b->root->out.bad ? out_builder_row_refused(b) : 0;
    }
    out_builder_refuse(b, NO_COLUMN, "NULL was added to what is not an ARRAY of nullable ROWs");
    return out_builder_row_refused(b);
}

/* ---- elements of one column ---- */

/* Begins an element of one of the types; false: refused, and *ret_rc says how. */
static bool element_begin(rask_out *out, uint64_t types, int *ret_rc)
{
    struct builder *b = builder_of(out);

    *ret_rc = rask_out_begin(out, out->schema);
    if (*ret_rc)
        return false;
    if (out->schema->columns != 1 || !((types >> out->schema->fields[0].type) & 1))
        out_builder_refuse(b, 0, "the element is of another type, or not the only column");
    else if (b->root != b)
        return true;
    else
        out_builder_refuse(b, 0, "it is no element of an ARRAY");
    *ret_rc = out_builder_row_refused(b);
    return false;
}

#define TYPES_32 (UINT64_C(1) << RASK_T_INT | UINT64_C(1) << RASK_T_DATE | UINT64_C(1) << RASK_T_TIME)
#define TYPES_64 \
    (UINT64_C(1) << RASK_T_BIGINT | UINT64_C(1) << RASK_T_DECIMAL | UINT64_C(1) << RASK_T_TIMESTAMP)

int rask_add_i64(rask_out *elements, int64_t v)
{
    struct builder *b = builder_of(elements);
    int64_t limit;
    int rc;

    if (!element_begin(elements,
                       TYPES_32 | TYPES_64 | UINT64_C(1) << RASK_T_TINYINT |
                           UINT64_C(1) << RASK_T_SMALLINT,
                       &rc))
        return rc;
    limit = b->width[0] < 8 ? (int64_t)1 << (8 * b->width[0] - 1) : INT64_MAX;
    if (b->width[0] == 16 || (b->width[0] < 8 && (v < -limit || v >= limit)))
        out_builder_refuse(b, 0, "the number does not fit the type of the element");
    else if (b->width[0] == 8)
        rask_out_i64(elements, 0, v);
    else if (b->width[0] == 4)
        rask_out_i32(elements, 0, (int32_t)v);
    else if (b->width[0] == 2)
        rask_out_i16(elements, 0, (int16_t)v);
    else
        rask_out_i8(elements, 0, (int8_t)v);
    return rask_out_end(elements);
}

int rask_add_f64(rask_out *elements, double v)
{
    int rc;

    if (!element_begin(elements, UINT64_C(1) << RASK_T_FLOAT | UINT64_C(1) << RASK_T_DOUBLE, &rc))
        return rc;
    if (builder_of(elements)->width[0] == 4)
        rask_out_f32(elements, 0, (float)v);
    else
        rask_out_f64(elements, 0, v);
    return rask_out_end(elements);
}

int rask_add_bool(rask_out *elements, bool v)
{
    int rc;

    if (!element_begin(elements, UINT64_C(1) << RASK_T_BOOLEAN, &rc))
        return rc;
    rask_out_bool(elements, 0, v);
    return rask_out_end(elements);
}

int rask_add_dec128(rask_out *elements, rask_decimal128 v)
{
    int rc;

    if (!element_begin(elements, UINT64_C(1) << RASK_T_DECIMAL, &rc))
        return rc;
    if (builder_of(elements)->width[0] != 16)
        out_builder_refuse(builder_of(elements), 0, "a DECIMAL of up to 18 digits takes an int64_t");
    else
        rask_out_dec128(elements, 0, v);
    return rask_out_end(elements);
}

int rask_add_string(rask_out *elements, rask_str v)
{
    int rc;

    if (!element_begin(elements, UINT64_C(1) << RASK_T_STRING | UINT64_C(1) << RASK_T_BYTES, &rc))
        return rc;
    rask_out_string(elements, 0, v);
    return rask_out_end(elements);
}

int rask_add_null(rask_out *elements)
{
    int rc;

    if (builder_of(elements)->wraps)
        return rask_out_null_row(elements);
    if (!element_begin(elements, ~UINT64_C(0), &rc))
        return rc;
    rask_out_null(elements, 0);
    return rask_out_end(elements);
}
