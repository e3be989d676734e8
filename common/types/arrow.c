/*
 * arrow.c - batches through the Arrow C Data Interface (rask/arrow.h).
 * Export shares columns: each exported array holds a reference to the batch.  Import copies.
 */
#include <rask/arrow.h>

#include <inttypes.h>
#include <stdio.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/types/batch_private.h"

/* The format of a column; DECIMAL writes its numbers into text. */
static const char *format_of(const rask_field *f, char text[16])
{
    static const char *const formats[] = {
        [RASK_T_BOOLEAN] = "b", [RASK_T_TINYINT] = "c", [RASK_T_SMALLINT] = "s",
        [RASK_T_INT] = "i",     [RASK_T_BIGINT] = "l",  [RASK_T_FLOAT] = "f",
        [RASK_T_DOUBLE] = "g",  [RASK_T_STRING] = "vu", [RASK_T_BYTES] = "vz",
        [RASK_T_DATE] = "tdD",  [RASK_T_TIME] = "ttm",  [RASK_T_TIMESTAMP] = "tsm:",
    };

    if (f->type != RASK_T_DECIMAL)
        return formats[f->type];
    snprintf(text, 16, "d:%u,%u", f->precision, f->scale);
    return text;
}

/* ---- schema out ---- */

static void schema_release(struct ArrowSchema *s)
{
    for (int64_t i = 0; i < s->n_children; i++) {
        if (s->children[i]->release)
            s->children[i]->release(s->children[i]);
        mem_free(s->children[i]);
    }
    mem_free(s->children);
    mem_free((char *)(uintptr_t)s->format);
    mem_free((char *)(uintptr_t)s->name);
    s->release = NULL;
}

static void schema_fill(struct ArrowSchema *s, const char *format, const char *name, int64_t flags,
                        uint32_t children)
{
    memset(s, 0, sizeof(*s));
    s->format = mem_strdup(format);
    s->name = mem_strdup(name);
    s->flags = flags;
    s->n_children = children;
    s->release = schema_release;
    if (children)
        s->children = mem_alloc_array(children, sizeof(*s->children));
    for (uint32_t i = 0; i < children; i++)
        s->children[i] = MEM_NEW(struct ArrowSchema);
}

static void schema_export(const rask_schema *schema, struct ArrowSchema *ret)
{
    schema_fill(ret, "+s", schema->name ? schema->name : "", 0, schema->columns);
    for (uint32_t i = 0; i < schema->columns; i++) {
        const rask_field *f = &schema->fields[i];
        char text[16];

        schema_fill(ret->children[i], format_of(f, text), f->name,
                    f->nullable ? ARROW_FLAG_NULLABLE : 0, 0);
    }
}

/* ---- array out ---- */

struct exported {
    rask_batch *batch; /* one reference */
    void *made;        /* converted cells, or the lengths of string buffers; owned */
};

static void array_release(struct ArrowArray *a)
{
    struct exported *e = a->private_data;

    for (int64_t i = 0; i < a->n_children; i++) {
        if (a->children[i]->release)
            a->children[i]->release(a->children[i]);
        mem_free(a->children[i]);
    }
    mem_free(a->children);
    mem_free(a->buffers);
    mem_free(e->made);
    batch_unref(e->batch);
    mem_free(e);
    a->release = NULL;
}

static struct exported *array_fill(struct ArrowArray *a, rask_batch *b, uint32_t buffers,
                                   uint32_t children)
{
    struct exported *e = MEM_NEW(struct exported);

    memset(a, 0, sizeof(*a));
    a->length = b->rows;
    a->n_buffers = buffers;
    a->n_children = children;
    a->buffers = mem_alloc_array(buffers, sizeof(*a->buffers));
    if (children)
        a->children = mem_alloc_array(children, sizeof(*a->children));
    for (uint32_t i = 0; i < children; i++)
        a->children[i] = MEM_NEW(struct ArrowArray);
    a->release = array_release;
    a->private_data = e;
    e->batch = batch_ref(b);
    return e;
}

/* Cells from position 0 on, so that the array's offset is right for them as for the bitmap. */
static void *bits_made(const rask_batch *b, const uint8_t *cells)
{
    uint8_t *bits = mem_alloc((b->first + b->rows) / 8 + 1);

    for (uint32_t i = b->first; i < b->first + b->rows; i++)
        bits[i / 8] |= (uint8_t)((cells[i] != 0) << (i % 8));
    return bits;
}

static void *decimals_made(const rask_batch *b, const int64_t *cells)
{
    rask_decimal128 *wide = mem_alloc_array((size_t)b->first + b->rows + 1, sizeof(*wide));

    for (uint32_t i = b->first; i < b->first + b->rows; i++)
        wide[i] = (rask_decimal128){(uint64_t)cells[i], cells[i] < 0 ? -1 : 0};
    return wide;
}

static void column_export(rask_batch *b, uint32_t column, struct ArrowArray *ret)
{
    const rask_field *f = &b->schema->fields[column];
    const rask_column *c = &b->columns[column];
    bool views = schema_is_view(f);
    struct exported *e = array_fill(ret, b, views ? 3 + b->buffer_count : 2, 0);
    int64_t *lengths;

    ret->offset = b->first;
    ret->null_count = c->validity ? -1 : 0;
    ret->buffers[0] = c->validity;
    ret->buffers[1] = c->data;
    if (f->type == RASK_T_BOOLEAN)
        ret->buffers[1] = e->made = bits_made(b, c->data);
    if (f->type == RASK_T_DECIMAL && f->precision <= 18)
        ret->buffers[1] = e->made = decimals_made(b, c->data);
    if (!views)
        return;
    e->made = lengths = mem_alloc_array(b->buffer_count + 1, sizeof(*lengths));
    for (uint32_t i = 0; i < b->buffer_count; i++) {
        ret->buffers[2 + i] = b->buffers[i]->data;
        lengths[i] = b->buffers[i]->used;
    }
    ret->buffers[2 + b->buffer_count] = lengths;
}

/* Arrow has no selection: the rows are copied together. */
static rask_batch *without_selection(rask_batch *b)
{
    uint16_t *position;
    rask_batch *dense;

    if (!b->sel)
        return batch_ref(b);
    position = mem_alloc_array(b->rows + 1, sizeof(*position));
    for (uint32_t i = 0; i < b->rows; i++)
        position[i] = (uint16_t)i;
    dense = batch_gather(b->pool, &b, 1, position, b->rows);
    mem_free(position);
    return dense;
}

void rask_batch_to_arrow(rask_batch *batch, struct ArrowSchema *schema, struct ArrowArray *array)
{
    rask_batch *b = without_selection(batch);

    schema_export(b->schema, schema);
    array_fill(array, b, 1, b->schema->columns);
    for (uint32_t i = 0; i < b->schema->columns; i++)
        column_export(b, i, array->children[i]);
    batch_unref(b);
}

/* ---- in ---- */

enum { IMPORT_TEXT_MAX = 1 << 30 };

struct import {
    rask_batch *b;
    const rask_field *field;
    const struct ArrowArray *array; /* of the column */
    const char *format;
    int64_t at; /* index of the first row in the column's buffers */
    char why[256];
};

static bool bit_at(const void *bits, int64_t i)
{
    return (((const uint8_t *)bits)[i / 8] >> (i % 8)) & 1;
}

static bool import_is_null(const struct import *in, uint32_t row)
{
    return in->array->buffers[0] && !bit_at(in->array->buffers[0], in->at + row);
}

/* The string of a row, in any of Arrow's layouts. false: it lies outside its buffer. */
static bool import_string(const struct import *in, uint32_t row, rask_str *ret)
{
    const struct ArrowArray *a = in->array;
    int64_t i = in->at + row, from, to;

    if (in->format[0] == 'v') {
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
    if (in->format[0] == 'u' || in->format[0] == 'z') {
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
        if (import_is_null(in, i))
            continue;
        if (!import_string(in, i, &s)) {
            snprintf(in->why, sizeof(in->why),
                     "row %" PRIu32 ": the string lies outside its buffer", i);
            return -1;
        }
        bytes += s.len > 12 ? s.len : 0;
    }
    if (bytes <= IMPORT_TEXT_MAX)
        return bytes;
    snprintf(in->why, sizeof(in->why),
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
    if (bytes)
        text = in->b->buffers[in->b->buffer_count++] = pool_get(in->b->pool, (uint64_t)bytes);
    for (uint32_t i = 0; i < in->b->rows; i++) {
        memset(&views[i], 0, sizeof(views[i]));
        if (import_is_null(in, i) || !import_string(in, i, &s) || s.len == 0)
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
        cells[i] = import_is_null(in, i) ? 0 : (int64_t)from[i].low;
        if (!import_is_null(in, i) && from[i].high != (cells[i] < 0 ? -1 : 0)) {
            snprintf(in->why, sizeof(in->why),
                     "row %" PRIu32 ": the number has more digits than its type", i);
            return -1;
        }
    }
    return 0;
}

static int import_cells(struct import *in, rask_column *to)
{
    uint32_t width = schema_width(in->field);

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
    char text[16];

    if (strcmp(in->format, format_of(in->field, text)) == 0)
        return true;
    if (in->field->type == RASK_T_STRING)
        return strcmp(in->format, "u") == 0 || strcmp(in->format, "U") == 0;
    return in->field->type == RASK_T_BYTES &&
           (strcmp(in->format, "z") == 0 || strcmp(in->format, "Z") == 0);
}

static int import_column(struct import *in, rask_column *to)
{
    char text[16];
    int64_t buffers = schema_is_view(in->field) ? 3 : 2;

    if (!format_fits(in)) {
        snprintf(in->why, sizeof(in->why), "its Arrow format is '%.40s', which should be '%s'",
                 in->format, format_of(in->field, text));
        return -1;
    }
    if (in->array->offset + in->array->length < in->at + in->b->rows ||
        in->array->n_buffers < buffers) {
        snprintf(in->why, sizeof(in->why),
                 "its Arrow array has %" PRId64 " rows and %" PRId64 " buffers, too few",
                 in->array->length, in->array->n_buffers);
        return -1;
    }
    for (uint32_t i = 0; i < in->b->rows; i++) {
        if (!import_is_null(in, i))
            continue;
        if (!to->validity) {
            snprintf(in->why, sizeof(in->why), "it is NOT NULL and row %" PRIu32 " is null", i);
            return -1;
        }
        to->validity[i >> 6] &= ~(UINT64_C(1) << (i & 63));
    }
    return import_cells(in, to);
}

int rask_batch_from_arrow(rask_out *out, const struct ArrowSchema *schema,
                          const struct ArrowArray *array, int64_t from, uint32_t rows,
                          rask_batch **ret)
{
    const rask_schema *s = out->schema;
    struct import in = {.b = NULL};
    char text[512];

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
    in.b = batch_new_with_buffers(out_pool(out), s, rows, 0, s->columns);
    in.b->buffer_count = 0; /* grows with each column that needs one */
    for (uint32_t i = 0; i < s->columns; i++) {
        in.field = &s->fields[i];
        in.array = array->children[i];
        in.format = schema->children[i]->format;
        in.at = array->offset + in.array->offset + from;
        if (import_column(&in, &in.b->columns[i]) == 0)
            continue;
        snprintf(text, sizeof(text), "column '%s' of %s: %s", in.field->name, s->name, in.why);
        batch_unref(in.b);
        return out_refuse(out, text);
    }
    *ret = in.b;
    return 0;
}
