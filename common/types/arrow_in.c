/*
 * arrow_in.c - batches in through the Arrow C Data Interface (rask/arrow.h).  Everything is copied.
 * Thread: that of the subtask whose output is given.
 */
#include <rask/arrow.h>

#include <inttypes.h>
#include <stdio.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/types/batch_private.h"

enum { IMPORT_TEXT_MAX = 1 << 30 };

/* One column of a batch that is being filled. */
struct import {
    rask_batch *b;
    const rask_field *field;
    const struct ArrowSchema *schema; /* of the column */
    const struct ArrowArray *array;
    int64_t at; /* index of the first row in the column's buffers */
    const struct import *above; /* the ROW that this is a column of: where that is null, nothing counts */
    char *why;                  /* WHY_MAX bytes */
};
enum { WHY_MAX = 256 };

static int import_columns(const struct import *above, rask_batch *b, const struct ArrowSchema *schema,
                          const struct ArrowArray *array, int64_t at, char *why);

static bool bit_at(const void *bits, int64_t i)
{
    return (((const uint8_t *)bits)[i / 8] >> (i % 8)) & 1;
}

static bool bit_is_null(const struct import *in, uint32_t row)
{
    return in->array->n_buffers && in->array->buffers[0] && !bit_at(in->array->buffers[0], in->at + row);
}

static bool is_masked(const struct import *in, uint32_t row)
{
    for (const struct import *a = in->above; a; a = a->above)
        if (bit_is_null(a, row))
            return true;
    return false;
}

/* The cell is zeros. */
static bool is_empty(const struct import *in, uint32_t row)
{
    return bit_is_null(in, row) || is_masked(in, row);
}

/* The string of a row, in any of Arrow's layouts. false: it lies outside its buffer. */
static bool import_string(const struct import *in, uint32_t row, rask_str *ret)
{
    const struct ArrowArray *a = in->array;
    int64_t i = in->at + row, from, to;

    if (in->schema->format[0] == 'v') {
        const rask_view *v = (const rask_view *)a->buffers[1] + i;
        const int64_t *lengths = a->buffers[a->n_buffers - 1];

        ret->len = v->len;
        ret->data = v->u.text;
        if (v->len <= 12)
            return true;
        if ((int64_t)v->u.ref.buffer >= a->n_buffers - 3 ||
            (int64_t)v->u.ref.offset + v->len > lengths[v->u.ref.buffer])
            return false;
        ret->data = (const char *)a->buffers[2 + v->u.ref.buffer] + v->u.ref.offset;
        return true;
    }
    if (in->schema->format[0] == 'u' || in->schema->format[0] == 'z') {
        from = ((const int32_t *)a->buffers[1])[i];
        to = ((const int32_t *)a->buffers[1])[i + 1];
    } else {
        from = ((const int64_t *)a->buffers[1])[i];
        to = ((const int64_t *)a->buffers[1])[i + 1];
    }
    ret->data = (const char *)a->buffers[2] + from;
    ret->len = (uint32_t)(to - from);
    return from >= 0 && to >= from && to - from <= UINT32_MAX;
}

/* Bytes of strings that do not fit into cells; -1: one lies outside its buffer. */
static int64_t import_text_bytes(struct import *in)
{
    int64_t bytes = 0;
    rask_str s;

    for (uint32_t i = 0; i < in->b->rows; i++) {
        if (is_empty(in, i))
            continue;
        if (!import_string(in, i, &s)) {
            snprintf(in->why, WHY_MAX,
                     "row %" PRIu32 ": the string lies outside its buffer", i);
            return -1;
        }
        bytes += s.len > 12 ? s.len : 0;
    }
    if (bytes <= IMPORT_TEXT_MAX)
        return bytes;
    snprintf(in->why, WHY_MAX,
             "its strings have %" PRId64 " bytes; import fewer rows at once", bytes);
    return -1;
}

static int import_strings(struct import *in, rask_column *to)
{
    rask_view *views = to->data;
    int64_t bytes = import_text_bytes(in);
    uint32_t number = in->b->buffer_count;
    rask_buffer *text = NULL;
    rask_str s;

    if (bytes < 0)
        return -1;
    if (bytes) {
        text = pool_get(in->b->pool, (uint64_t)bytes);
        batch_add_buffer(in->b, text);
        buffer_unref(text); /* the batch holds it */
    }
    for (uint32_t i = 0; i < in->b->rows; i++) {
        memset(&views[i], 0, sizeof(views[i]));
        if (is_empty(in, i) || !import_string(in, i, &s) || s.len == 0)
            continue;
        views[i].len = s.len;
        memcpy(views[i].u.text, s.data, MIN(s.len, s.len <= 12 ? 12u : 4u));
        if (s.len <= 12)
            continue;
        views[i].u.ref.buffer = number;
        views[i].u.ref.offset = text->used;
        memcpy(text->data + text->used, s.data, s.len);
        text->used += s.len;
    }
    return 0;
}

static int import_decimals(struct import *in, rask_column *to)
{
    const rask_decimal128 *from = (const rask_decimal128 *)in->array->buffers[1] + in->at;
    int64_t *cells = to->data;

    for (uint32_t i = 0; i < in->b->rows; i++) {
        cells[i] = is_empty(in, i) ? 0 : (int64_t)from[i].low;
        if (!is_empty(in, i) && from[i].high != (cells[i] < 0 ? -1 : 0)) {
            snprintf(in->why, WHY_MAX,
                     "row %" PRIu32 ": the number has more digits than its type", i);
            return -1;
        }
    }
    return 0;
}

/* Where the elements of a cell begin: the i-th of the numbers, 32 or 64 bits. */
static int64_t begin_at(const struct import *in, int64_t i)
{
    return in->schema->format[1] == 'L' ? ((const int64_t *)in->array->buffers[1])[i]
                                        : ((const int32_t *)in->array->buffers[1])[i];
}

/* ARRAY: its column "element" is the array's child itself; MAP: the columns are those of the child. */
static int import_list(struct import *in, rask_column *to)
{
    struct ArrowSchema one_schema = {.format = "+s", .n_children = 1, .children = in->schema->children};
    struct ArrowArray one = {.n_children = 1, .children = in->array->children};
    bool map = in->field->type == RASK_T_MAP;
    const struct ArrowArray *child = in->array->children[0];
    int64_t from = begin_at(in, in->at), end = begin_at(in, in->at + in->b->rows);
    rask_span *spans = to->data;

    if (from < 0 || end < from || end > child->length || end - from > UINT32_MAX) {
        snprintf(in->why, WHY_MAX, "its lists end outside their %" PRId64 " elements", child->length);
        return -1;
    }
    for (uint32_t i = 0; i < in->b->rows; i++) {
        int64_t first = begin_at(in, in->at + i), next = begin_at(in, in->at + i + 1);

        if (first < from || next < first || next > end) {
            snprintf(in->why, WHY_MAX, "row %" PRIu32 ": the list lies outside its elements", i);
            return -1;
        }
        spans[i] = is_empty(in, i) ? (rask_span){0, 0}
                                   : (rask_span){(uint32_t)(first - from), (uint32_t)(next - first)};
    }
    to->child = batch_new_with_room(in->b->pool, in->field->child, (uint32_t)(end - from),
                                    in->field->child->columns);
    return map ? import_columns(NULL, to->child, in->schema->children[0], child, from + child->offset, in->why)
               : import_columns(NULL, to->child, &one_schema, &one, from, in->why);
}

static int import_row(struct import *in, rask_column *to)
{
    for (uint32_t i = 0; i < in->b->rows; i++)
        ((rask_span *)to->data)[i] = bit_is_null(in, i) ? (rask_span){0, 0} : (rask_span){i, 1};
    to->child = batch_new_with_room(in->b->pool, in->field->child, in->b->rows,
                                    in->field->child->columns);
    return import_columns(in, to->child, in->schema, in->array, in->at, in->why);
}

static int import_cells(struct import *in, rask_column *to)
{
    uint32_t width = schema_width(in->field);

    if (in->field->type == RASK_T_ROW)
        return import_row(in, to);
    if (schema_is_nested(in->field))
        return import_list(in, to);
    if (in->field->type == RASK_T_BOOLEAN)
        for (uint32_t i = 0; i < in->b->rows; i++)
            ((uint8_t *)to->data)[i] = bit_at(in->array->buffers[1], in->at + i);
    else if (in->field->type == RASK_T_DECIMAL && width == 8)
        return import_decimals(in, to);
    else if (schema_is_view(in->field))
        return import_strings(in, to);
    else if (in->b->rows)
        memcpy(to->data, (const uint8_t *)in->array->buffers[1] + (size_t)in->at * width,
               (size_t)in->b->rows * width);
    return 0;
}

static bool format_fits(const struct import *in)
{
    const char *format = in->schema->format;
    char text[16];

    if (strcmp(format, batch_arrow_format(in->field, text)) == 0)
        return true;
    if (in->field->type == RASK_T_STRING)
        return strcmp(format, "u") == 0 || strcmp(format, "U") == 0;
    if (in->field->type == RASK_T_ARRAY)
        return strcmp(format, "+L") == 0;
    return in->field->type == RASK_T_BYTES && (strcmp(format, "z") == 0 || strcmp(format, "Z") == 0);
}

/* Buffers and children are there, as many as the type says. */
static bool shape_fits(struct import *in)
{
    const rask_field *f = in->field;
    int64_t buffers = schema_is_view(f) ? 3 : f->type == RASK_T_ROW ? 1 : 2;
    int64_t children = f->type == RASK_T_ROW ? f->child->columns : schema_is_nested(f) ? 1 : 0;
    char text[16];

    if (!format_fits(in)) {
        snprintf(in->why, WHY_MAX, "its Arrow format is '%.40s', which should be '%s'", in->schema->format,
                 batch_arrow_format(f, text));
        return false;
    }
    if (in->array->offset + in->array->length < in->at + in->b->rows || in->array->n_buffers < buffers) {
        snprintf(in->why, WHY_MAX,
                 "its Arrow array has %" PRId64 " rows and %" PRId64 " buffers, too few",
                 in->array->length, in->array->n_buffers);
        return false;
    }
    if (in->array->n_children < children || in->schema->n_children < children ||
        (f->type == RASK_T_MAP &&
         (in->array->children[0]->n_children < 2 || in->schema->children[0]->n_children < 2))) {
        snprintf(in->why, WHY_MAX, "its Arrow array has %" PRId64 " children, too few",
                 in->array->n_children);
        return false;
    }
    return true;
}

static int import_column(struct import *in, rask_column *to)
{
    if (!shape_fits(in))
        return -1;
    for (uint32_t i = 0; i < in->b->rows; i++) {
        if (!bit_is_null(in, i) || is_masked(in, i))
            continue;
        if (!to->validity) {
            snprintf(in->why, WHY_MAX, "it is NOT NULL and row %" PRIu32 " is null", i);
            return -1;
        }
        to->validity[i >> 6] &= ~(UINT64_C(1) << (i & 63));
    }
    return import_cells(in, to);
}

/* The columns of b from the children of a struct array, whose own offset `at` includes. */
static int import_columns(const struct import *above, rask_batch *b, const struct ArrowSchema *schema,
                          const struct ArrowArray *array, int64_t at, char *why)
{
    for (uint32_t i = 0; i < b->schema->columns; i++) {
        struct import in = {b, &b->schema->fields[i], schema->children[i], array->children[i],
                            at + array->children[i]->offset, above, why};
        char inner[WHY_MAX];

        if (import_column(&in, &b->columns[i]) == 0)
            continue;
        memcpy(inner, why, sizeof(inner));
        snprintf(why, WHY_MAX, "column '%.60s' of %.60s: %.120s", in.field->name, b->schema->name, inner);
        return -1;
    }
    return 0;
}

int rask_batch_from_arrow(rask_out *out, const struct ArrowSchema *schema,
                          const struct ArrowArray *array, int64_t from, uint32_t rows,
                          rask_batch **ret)
{
    const rask_schema *s = out->schema;
    char text[512], why[WHY_MAX] = "";
    rask_batch *b;

    if (strcmp(schema->format, "+s") != 0 || schema->n_children != s->columns ||
        array->n_children != s->columns || from < 0 || rows > RASK_BATCH_ROWS_MAX ||
        from > array->length - (int64_t)rows || array->null_count > 0) {
        snprintf(
            text, sizeof(text),
            "rows %" PRId64 " to %" PRId64 " of an Arrow array of format '%.20s' with %" PRId64
            " rows and %" PRId64
            " columns: %s takes a struct array (\"+s\") without nulls of %u columns, at most %d "
            "rows at once",
            from, from + rows, schema->format, array->length, schema->n_children, s->name,
            s->columns, RASK_BATCH_ROWS_MAX);
        return out_refuse(out, text);
    }
    b = batch_new_with_room(out_pool(out), s, rows, s->columns);
    if (import_columns(NULL, b, schema, array, array->offset + from, why) != 0) {
        batch_unref(b);
        return out_refuse(out, why);
    }
    *ret = b;
    return 0;
}
