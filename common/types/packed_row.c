/* packed_row.c - rows as bytes; the layout is in packed_row.h and frozen. Thread: any. */
#include "common/types/packed_row.h"

#include "common/base/check.h"
#include "common/types/batch_private.h"

void packed_layout_of(const rask_schema *schema, struct packed_layout *ret)
{
    uint32_t at = 8;

    CHECK(schema->columns <= RASK_COLUMNS_MAX);
    memset(ret, 0, sizeof(*ret));
    ret->schema = schema;
    ret->nullable = schema_nullable_mask(schema);
    ret->views = schema_view_mask(schema);
    for (uint32_t i = 0; i < schema->columns; i++) {
        const rask_field *f = &schema->fields[i];

        ret->nested |= (uint64_t)schema_is_nested(f) << i;
        ret->slot[i] = (uint16_t)at;
        at += f->type == RASK_T_DECIMAL && f->precision > 18 ? 16 : 8;
    }
    ret->fixed_bytes = at;
}

/* Values that shared bytes could make a row of few bytes as large as they like. */
static int nested_check(const struct packed_row *row, uint64_t nulls, struct err *err)
{
    const struct packed_layout *layout = row->layout;
    uint32_t at = layout->fixed_bytes;
    int rc = 0;

    for (uint64_t m = (layout->views | layout->nested) & ~nulls; m && rc == 0; m &= m - 1) {
        uint32_t column = (uint32_t)__builtin_ctzll(m), place[2];
        const rask_field *f = &layout->schema->fields[column];

        packed_get(row, column, place, sizeof(place));
        if (place[0] < at)
            return err_set(err, ERR_CORRUPT,
                           "a packed row of %s has columns inside each other, at column '%s'",
                           layout->schema->name, f->name);
        at = place[0] + place[1];
        if (schema_is_nested(f))
            rc = packed_nested_check(f, packed_string(row, column), err);
    }
    return rc;
}

int packed_row_open(const struct packed_layout *layout, const uint8_t *data, size_t len,
                    struct packed_row *ret, struct err *err)
{
    struct packed_row row = {layout, data, (uint32_t)len};
    uint64_t nulls;

    if (len < layout->fixed_bytes || len > UINT32_MAX)
        return err_set(err, ERR_CORRUPT,
                       "a packed row of %s has at least %u bytes, this one has %zu",
                       layout->schema->name, layout->fixed_bytes, len);
    memcpy(&nulls, data, sizeof(nulls));
    if (nulls & ~layout->nullable)
        return err_set(err, ERR_CORRUPT, "a packed row of %s has a null where there can be none",
                       layout->schema->name);
    for (uint64_t m = layout->views | layout->nested; m; m &= m - 1) {
        uint32_t column = (uint32_t)__builtin_ctzll(m), place[2];

        packed_get(&row, column, place, sizeof(place));
        if (place[0] > len || place[1] > len - place[0])
            return err_set(err, ERR_CORRUPT,
                           "a packed row of %s has %zu bytes; its column '%s' lies outside them",
                           layout->schema->name, len, layout->schema->fields[column].name);
    }
    if (layout->nested) {
        int rc = nested_check(&row, nulls, err);

        if (rc)
            return rc;
    }
    *ret = row;
    return 0;
}

void packed_row_add(const struct packed_layout *layout, const rask_batch *b, uint32_t position,
                    struct bytes *out)
{
    rask_row row = {b, position};
    size_t start = out->len;
    uint64_t nulls = 0;

    bytes_reserve(out, layout->fixed_bytes);
    memset(out->data + start, 0, layout->fixed_bytes + 1);
    out->len += layout->fixed_bytes;
    for (uint32_t i = 0; i < layout->schema->columns; i++) {
        const rask_field *f = &layout->schema->fields[i];
        uint32_t width = schema_width(f), place[2];

        if (rask_is_null(&row, (int)i)) {
            nulls |= UINT64_C(1) << i;
            continue;
        }
        if (!schema_is_view(f) && !schema_is_nested(f)) {
            memcpy(out->data + start + layout->slot[i],
                   (const uint8_t *)b->columns[i].data + (size_t)position * width, width);
            continue;
        }
        place[0] = (uint32_t)(out->len - start);
        if (schema_is_nested(f))
            packed_nested_add(f, &row, i, out);
        else
            bytes_add(out, rask_string(&row, (int)i).data, rask_string(&row, (int)i).len);
        CHECK(out->len - start <= UINT32_MAX);
        place[1] = (uint32_t)(out->len - start) - place[0];
        memcpy(out->data + start + layout->slot[i], place, sizeof(place));
    }
    memcpy(out->data + start, &nulls, sizeof(nulls));
}

static int emit_cell(const struct packed_row *row, uint32_t column, rask_out *out)
{
    const rask_field *f = &row->layout->schema->fields[column];
    uint32_t width = schema_width(f);

    if (packed_is_null(row, column))
        rask_out_null(out, (int)column);
    else if (schema_is_nested(f))
        return packed_nested_emit(f, packed_string(row, column), out, column);
    else if (schema_is_view(f))
        rask_out_string(out, (int)column, packed_string(row, column));
    else
        packed_get(row, column, (uint8_t *)out->columns[column].data + (size_t)out->rows * width,
                   width);
    return 0;
}

int packed_row_emit(const struct packed_row *row, rask_out *out)
{
    int rc = rask_out_begin(out, row->layout->schema);

    if (rc)
        return rc;
    for (uint32_t i = 0; i < row->layout->schema->columns && rc == 0; i++)
        rc = emit_cell(row, i, out);
    return rc ? rc : rask_out_end(out);
}
