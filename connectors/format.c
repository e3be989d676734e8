/* format.c - see format.h. */
#include "connectors/format.h"

void format_print(const rask_batch *b, uint32_t row, struct bytes *out)
{
    rask_row r = rask_batch_row(b, row);
    uint32_t columns = b->schema->columns;

    if (columns != 1)
        bytes_add_u8(out, '(');
    for (uint32_t c = 0; c < columns; c++) {
        if (c > 0)
            bytes_add_u8(out, ',');
        if (rask_is_null(&r, (int)c))
            bytes_add_str(out, "null");
        else
            batch_format_cell(b, c, r.position, out);
    }
    if (columns != 1)
        bytes_add_u8(out, ')');
}

static bool needs_quotes(rask_str s)
{
    for (uint32_t i = 0; i < s.len; i++)
        if (s.data[i] == ',' || s.data[i] == '"' || s.data[i] == '\n' || s.data[i] == '\r')
            return true;
    return false;
}

static void csv_string(rask_str s, bool nullable, struct bytes *out)
{
    if (s.len > 0 ? !needs_quotes(s) : !nullable) {
        bytes_add(out, s.data, s.len);
        return;
    }
    bytes_add_u8(out, '"');
    for (uint32_t from = 0; from < s.len;) {
        const char *quote = memchr(s.data + from, '"', s.len - from);
        uint32_t to = quote ? (uint32_t)(quote - s.data) + 1 : s.len;

        bytes_add(out, s.data + from, to - from);
        if (quote)
            bytes_add_u8(out, '"');
        from = to;
    }
    bytes_add_u8(out, '"');
}

/* Elements or columns one after the other; a null is empty. */
static void csv_inside(const rask_row *row, int column, const rask_field *f, struct bytes *out)
{
    rask_array a = rask_array_at(row, column);
    uint32_t count = f->type == RASK_T_ROW ? f->child->columns : a.count;

    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            bytes_add_u8(out, FORMAT_CSV_INSIDE);
        if (f->type == RASK_T_ROW)
            batch_format_cell(a.rows, i, a.first, out);
        else
            batch_format_cell(a.rows, 0, a.first + i, out);
    }
}

static void csv_nested(const rask_row *row, int column, const rask_field *f, struct bytes *out)
{
    struct bytes text;

    bytes_init(&text);
    if (schema_fits_csv(f))
        csv_inside(row, column, f, &text);
    else
        batch_format_cell(row->batch, (uint32_t)column, row->position, &text);
    csv_string((rask_str){text.data ? (const char *)text.data : "", (uint32_t)text.len}, f->nullable, out);
    bytes_release(&text);
}

void format_csv(const rask_batch *b, uint32_t row, struct bytes *out)
{
    rask_row r = rask_batch_row(b, row);

    for (uint32_t c = 0; c < b->schema->columns; c++) {
        const rask_field *f = &b->schema->fields[c];

        if (c > 0)
            bytes_add_u8(out, ',');
        if (rask_is_null(&r, (int)c))
            continue;
        if (schema_is_view(f) && (f->type == RASK_T_STRING || rask_string(&r, (int)c).len == 0))
            csv_string(rask_string(&r, (int)c), f->nullable, out);
        else if (schema_is_nested(f))
            csv_nested(&r, (int)c, f, out);
        else
            batch_format_cell(b, c, r.position, out);
    }
}
