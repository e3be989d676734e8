/*
 * arrow.c - batches out through the Arrow C Data Interface (rask/arrow.h); in: arrow_in.c.
 * Export shares columns: each exported array holds a reference to the batch.
 */
#include <rask/arrow.h>

#include <inttypes.h>
#include <stdio.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/types/batch_private.h"

const char *batch_arrow_format(const rask_field *f, char text[16])
{
    static const char *const formats[] = {
        [RASK_T_BOOLEAN] = "b", [RASK_T_TINYINT] = "c", [RASK_T_SMALLINT] = "s",
        [RASK_T_INT] = "i",     [RASK_T_BIGINT] = "l",  [RASK_T_FLOAT] = "f",
        [RASK_T_DOUBLE] = "g",  [RASK_T_STRING] = "vu", [RASK_T_BYTES] = "vz",
        [RASK_T_DATE] = "tdD",  [RASK_T_TIME] = "ttm",  [RASK_T_TIMESTAMP] = "tsm:",
        [RASK_T_ARRAY] = "+l",  [RASK_T_MAP] = "+m",    [RASK_T_ROW] = "+s",
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

static void columns_schema(const rask_schema *schema, struct ArrowSchema *ret);

/* An element is called "item", the rows of a MAP "entries": Arrow's names. */
static void field_schema(const rask_field *f, const char *name, struct ArrowSchema *ret)
{
    uint32_t children = f->type == RASK_T_ROW ? f->child->columns : schema_is_nested(f) ? 1 : 0;
    char text[16];

    schema_fill(ret, batch_arrow_format(f, text), name, f->nullable ? ARROW_FLAG_NULLABLE : 0, children);
    if (f->type == RASK_T_ARRAY) {
        field_schema(&f->child->fields[0], "item", ret->children[0]);
    } else if (f->type == RASK_T_MAP) {
        schema_fill(ret->children[0], "+s", "entries", 0, 2);
        columns_schema(f->child, ret->children[0]);
    } else if (f->type == RASK_T_ROW) {
        columns_schema(f->child, ret);
    }
}

static void columns_schema(const rask_schema *schema, struct ArrowSchema *ret)
{
    for (uint32_t i = 0; i < schema->columns; i++)
        field_schema(&schema->fields[i], schema->fields[i].name, ret->children[i]);
}

static void schema_export(const rask_schema *schema, struct ArrowSchema *ret)
{
    schema_fill(ret, "+s", schema->name ? schema->name : "", 0, schema->columns);
    columns_schema(schema, ret);
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

static void views_export(rask_batch *b, struct exported *e, struct ArrowArray *ret)
{
    int64_t *lengths = e->made = mem_alloc_array(b->buffer_count + 1, sizeof(*lengths));

    for (uint32_t i = 0; i < b->buffer_count; i++) {
        ret->buffers[2 + i] = b->buffers[i]->data;
        lengths[i] = b->buffers[i]->used;
    }
    ret->buffers[2 + b->buffer_count] = lengths;
}

static void column_export(rask_batch *b, uint32_t column, struct ArrowArray *ret);

static void columns_export(rask_batch *b, struct ArrowArray *ret)
{
    for (uint32_t i = 0; i < b->schema->columns; i++)
        column_export(b, i, ret->children[i]);
}

/* ARRAY and MAP: the rows inside, one after the other, and where those of each cell begin. */
static void list_export(rask_batch *b, uint32_t column, struct ArrowArray *ret)
{
    const rask_field *f = &b->schema->fields[column];
    const rask_column *c = &b->columns[column];
    struct exported *e = array_fill(ret, b, 2, 1);
    int32_t *begins = e->made = mem_alloc_array((size_t)b->first + b->rows + 1, sizeof(*begins));
    struct runs runs;
    rask_batch *inside;
    int32_t at = 0;

    batch_runs_init(&runs);
    batch_runs_add_cells(&runs, b, column, 0, b->rows);
    CHECK(runs.rows <= INT32_MAX);
    inside = runs.count == 1
                 ? batch_slice(runs.list[0].from, runs.list[0].span.first, runs.list[0].span.count)
                 : batch_concat(b->pool, f->child, &runs);
    batch_runs_release(&runs);
    for (uint32_t i = b->first; i < b->first + b->rows; i++) {
        begins[i] = at;
        at += (int32_t)((const rask_span *)c->data)[i].count;
    }
    begins[b->first + b->rows] = at;
    ret->offset = b->first;
    ret->null_count = c->validity ? -1 : 0;
    ret->buffers[0] = c->validity;
    ret->buffers[1] = begins;
    if (f->type == RASK_T_ARRAY) {
        column_export(inside, 0, ret->children[0]);
    } else {
        array_fill(ret->children[0], inside, 1, 2);
        columns_export(inside, ret->children[0]);
    }
    batch_unref(inside);
}

/* Rows of zeros, which stand where a ROW is null. */
static rask_batch *rows_of_zeros(struct pool *pool, const rask_schema *schema, uint32_t rows)
{
    rask_batch *b = batch_new_with_room(pool, schema, rows, 0);

    for (uint32_t i = 0; i < schema->columns; i++) {
        const rask_field *f = &schema->fields[i];
        rask_span *spans = b->columns[i].data;

        memset(b->columns[i].data, 0, (uint64_t)rows * schema_width(f));
        for (uint32_t k = 0; f->type == RASK_T_ROW && k < rows; k++)
            spans[k] = (rask_span){k, 1};
        if (schema_is_nested(f))
            b->columns[i].child = rows_of_zeros(pool, f->child, f->type == RASK_T_ROW ? rows : 0);
    }
    return b;
}

/* Arrow has a row inside for each cell, also for a null. */
static void row_export(rask_batch *b, uint32_t column, struct ArrowArray *ret)
{
    const rask_field *f = &b->schema->fields[column];
    const rask_column *c = &b->columns[column];
    rask_batch *zeros = rows_of_zeros(b->pool, f->child, 1), *inside;
    struct exported *e;
    struct runs runs;
    uint8_t *valid = NULL;

    batch_runs_init(&runs);
    if (c->validity)
        valid = mem_alloc(b->rows / 8 + 1);
    for (uint32_t i = 0; i < b->rows; i++) {
        bool null = rask_column_is_null(c, b->first + i);

        batch_runs_add(&runs, null ? zeros : c->child,
                       null ? (rask_span){0, 1} : ((const rask_span *)c->data)[b->first + i]);
        if (valid && !null)
            valid[i / 8] |= (uint8_t)(1u << (i % 8));
    }
    inside = runs.count == 1 && runs.list[0].from != zeros
                 ? batch_slice(runs.list[0].from, runs.list[0].span.first, runs.list[0].span.count)
                 : batch_concat(b->pool, f->child, &runs);
    batch_runs_release(&runs);
    e = array_fill(ret, b, 1, f->child->columns);
    e->made = valid;
    ret->null_count = valid ? -1 : 0;
    ret->buffers[0] = valid;
    columns_export(inside, ret);
    batch_unref(inside);
    batch_unref(zeros);
}

static void column_export(rask_batch *b, uint32_t column, struct ArrowArray *ret)
{
    const rask_field *f = &b->schema->fields[column];
    const rask_column *c = &b->columns[column];
    bool views = schema_is_view(f);
    struct exported *e;

    if (schema_is_nested(f)) {
        (f->type == RASK_T_ROW ? row_export : list_export)(b, column, ret);
        return;
    }
    e = array_fill(ret, b, views ? 3 + b->buffer_count : 2, 0);
    ret->offset = b->first;
    ret->null_count = c->validity ? -1 : 0;
    ret->buffers[0] = c->validity;
    ret->buffers[1] = c->data;
    if (f->type == RASK_T_BOOLEAN)
        ret->buffers[1] = e->made = bits_made(b, c->data);
    if (f->type == RASK_T_DECIMAL && f->precision <= 18)
        ret->buffers[1] = e->made = decimals_made(b, c->data);
    if (views)
        views_export(b, e, ret);
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
    columns_export(b, array);
    batch_unref(b);
}
