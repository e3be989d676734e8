/*
 * packed_nested.c - ARRAY, MAP and ROW values inside packed rows; the layout is in packed_row.h and
 * frozen.  Thread: any.
 */
#include "common/base/check.h"
#include "common/types/packed_row.h"

enum { HEAD_BYTES = 8 }; /* of an ARRAY or MAP: count, 0 */

/* Where a column of an ARRAY or MAP lies, from the value's start. */
struct place {
    uint64_t nulls; /* 0: NOT NULL */
    uint64_t cells, end;
    uint32_t width;
};

static bool has_place(const rask_field *f)
{
    return schema_is_view(f) || schema_is_nested(f);
}

static struct place place_of(const rask_schema *child, uint32_t column, uint64_t count)
{
    struct place p = {.end = HEAD_BYTES};

    for (uint32_t i = 0; i <= column; i++) {
        const rask_field *f = &child->fields[i];

        p.width = has_place(f) ? 8 : schema_width(f);
        p.nulls = f->nullable ? p.end : 0;
        p.cells = p.end + (f->nullable ? (count + 63) / 64 * 8 : 0);
        p.end = p.cells + (count * p.width + 7) / 8 * 8;
    }
    return p;
}

static bool bit_at(const uint8_t *data, uint64_t i)
{
    return (data[i / 8] >> (i % 8)) & 1;
}

/* ---- add ---- */

static void column_add(rask_array a, uint32_t column, size_t start, struct bytes *out)
{
    const rask_field *f = &a.rows->schema->fields[column];
    struct place p = place_of(a.rows->schema, column, a.count);

    for (uint32_t i = 0; i < a.count; i++) {
        rask_row row = {a.rows, a.first + i};
        uint8_t *cell = out->data + start + p.cells + (uint64_t)i * p.width;
        uint32_t place[2];

        if (rask_is_null(&row, (int)column)) {
            out->data[start + p.nulls + i / 8] |= (uint8_t)(1u << (i % 8));
            continue;
        }
        if (!has_place(f)) {
            memcpy(cell,
                   (const uint8_t *)a.rows->columns[column].data + (uint64_t)row.position * p.width,
                   p.width);
            continue;
        }
        place[0] = (uint32_t)(out->len - start);
        if (schema_is_nested(f))
            packed_nested_add(f, &row, column, out);
        else
            bytes_add(out, rask_string(&row, (int)column).data, rask_string(&row, (int)column).len);
        CHECK(out->len - start <= UINT32_MAX);
        place[1] = (uint32_t)(out->len - start) - place[0];
        memcpy(out->data + start + p.cells + (uint64_t)i * p.width, place, sizeof(place));
    }
}

void packed_nested_add(const rask_field *field, const rask_row *row, uint32_t column,
                       struct bytes *out)
{
    rask_array a = rask_array_at(row, (int)column);
    size_t start = out->len;
    uint64_t fixed;

    if (field->type == RASK_T_ROW) {
        struct packed_layout layout;

        packed_layout_of(field->child, &layout);
        packed_row_add(&layout, a.rows, a.first, out);
        return;
    }
    fixed = place_of(field->child, field->child->columns - 1u, a.count).end;
    bytes_reserve(out, fixed);
    memset(out->data + start, 0, fixed + 1);
    memcpy(out->data + start, &a.count, sizeof(a.count));
    out->len += fixed;
    for (uint32_t c = 0; c < field->child->columns; c++)
        column_add(a, c, start, out);
}

/* ---- check ---- */

static int refused(const rask_field *field, const char *why, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "a packed row has a damaged value in column '%s': %s",
                   field->name, why);
}

static rask_str cell_value(rask_str value, const struct place *p, uint32_t i)
{
    uint32_t place[2];

    memcpy(place, value.data + p->cells + (uint64_t)i * p->width, sizeof(place));
    return (rask_str){value.data + place[0], place[1]};
}

/* *at: where the bytes of the element before end. Values that shared bytes could make one value of
 * few bytes as large as they like. */
static int column_check(const rask_field *field, uint32_t column, rask_str value, uint32_t count,
                        uint32_t *at, struct err *err)
{
    const rask_field *f = &field->child->fields[column];
    struct place p = place_of(field->child, column, count);
    int rc = 0;

    for (uint32_t i = 0; i < count && rc == 0; i++) {
        uint32_t place[2];

        memcpy(place, value.data + p.cells + (uint64_t)i * p.width, sizeof(place));
        if (place[0] > value.len || place[1] > value.len - place[0])
            return refused(field, "an element lies outside it", err);
        if (p.nulls && bit_at((const uint8_t *)value.data + p.nulls, i))
            continue;
        if (place[0] < *at)
            return refused(field, "elements lie inside each other", err);
        *at = place[0] + place[1];
        if (schema_is_nested(f))
            rc = packed_nested_check(f, cell_value(value, &p, i), err);
    }
    return rc;
}

int packed_nested_check(const rask_field *field, rask_str value, struct err *err)
{
    uint32_t count, at = 0;
    int rc = 0;

    if (field->type == RASK_T_ROW) {
        struct packed_layout layout;
        struct packed_row row;

        packed_layout_of(field->child, &layout);
        return packed_row_open(&layout, (const uint8_t *)value.data, value.len, &row, err);
    }
    if (value.len < HEAD_BYTES)
        return refused(field, "it is shorter than its head", err);
    memcpy(&count, value.data, sizeof(count));
    if (place_of(field->child, field->child->columns - 1u, count).end > value.len)
        return refused(field, "it is shorter than its elements", err);
    for (uint32_t c = 0; c < field->child->columns && rc == 0; c++)
        if (has_place(&field->child->fields[c]))
            rc = column_check(field, c, value, count, &at, err);
    return rc;
}

/* ---- emit ---- */

static int element_cell_emit(const rask_schema *child, uint32_t column, rask_str value, uint32_t count,
                             uint32_t i, rask_out *out)
{
    const rask_field *f = &child->fields[column];
    struct place p = place_of(child, column, count);

    if (p.nulls && bit_at((const uint8_t *)value.data + p.nulls, i))
        rask_out_null(out, (int)column);
    else if (schema_is_nested(f))
        return packed_nested_emit(f, cell_value(value, &p, i), out, column);
    else if (schema_is_view(f))
        rask_out_string(out, (int)column, cell_value(value, &p, i));
    else
        memcpy((uint8_t *)out->columns[column].data + (uint64_t)out->rows * p.width,
               value.data + p.cells + (uint64_t)i * p.width, p.width);
    return 0;
}

static int row_emit(const rask_schema *schema, rask_str value, rask_out *out)
{
    struct packed_layout layout;

    packed_layout_of(schema, &layout); /* was checked */
    return packed_row_emit(
        &(struct packed_row){&layout, (const uint8_t *)value.data, value.len}, out);
}

/* Elements that are rows are emitted as such rows (rask_out_nested). */
static int rows_emit(const rask_field *element, const rask_schema *child, rask_str value,
                     uint32_t count, rask_out *to)
{
    struct place p = place_of(child, 0, count);
    int rc = 0;

    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = p.nulls && bit_at((const uint8_t *)value.data + p.nulls, i)
                 ? rask_out_null_row(to)
                 : row_emit(element->child, cell_value(value, &p, i), to);
    return rc;
}

int packed_nested_emit(const rask_field *field, rask_str value, rask_out *out, uint32_t column)
{
    const rask_schema *child = field->child;
    rask_out *to = rask_out_nested(out, (int)column);
    uint32_t count;
    int rc = 0;

    if (field->type == RASK_T_ROW)
        return row_emit(child, value, to);
    memcpy(&count, value.data, sizeof(count));
    if (child->columns == 1 && child->fields[0].type == RASK_T_ROW)
        return rows_emit(&child->fields[0], child, value, count, to);
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        rc = rask_out_begin(to, to->schema);
        for (uint32_t c = 0; c < child->columns && rc == 0; c++)
            rc = element_cell_emit(child, c, value, count, i, to);
        if (rc == 0)
            rc = rask_out_end(to);
    }
    return rc;
}
