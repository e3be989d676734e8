/* packed_migrate.c - packed rows from one schema to the next. Thread: any. */
#include "common/base/check.h"
#include "common/types/packed_row.h"

void packed_migration_of(const rask_schema *old, const rask_schema *now, struct packed_migration *ret)
{
    packed_layout_of(old, &ret->from);
    packed_layout_of(now, &ret->to);
    for (uint32_t i = 0; i < now->columns; i++)
        ret->source[i] = (int16_t)schema_column(old, now->fields[i].name);
}

static int64_t load_integer(const struct packed_row *row, uint32_t column, uint32_t width)
{
    uint64_t v = 0;

    packed_get(row, column, &v, width);
    return (int64_t)(v << (64 - 8 * width)) >> (64 - 8 * width);
}

/* Moves the point; schema_compatible made sure that there is room. */
static void put_decimal(const struct packed_row *row, uint32_t column, const rask_field *is,
                        uint8_t *slot)
{
    const rask_field *was = &row->layout->schema->fields[column];
    __int128 v = 0;
    uint64_t words[2];

    packed_get(row, column, &v, schema_width(was));
    if (schema_width(was) == 8)
        v = (int64_t)v;
    for (uint32_t i = was->scale; i < is->scale; i++)
        v *= 10;
    words[0] = (uint64_t)v;
    words[1] = (uint64_t)((unsigned __int128)v >> 64);
    memcpy(slot, words, schema_width(is));
}

static void put_fixed(const struct packed_row *row, uint32_t column, const rask_field *is, uint8_t *slot)
{
    const rask_field *was = &row->layout->schema->fields[column];
    int64_t integer;
    double real;
    float single;

    if (is->type == RASK_T_DECIMAL) {
        put_decimal(row, column, is, slot);
    } else if (was->type == is->type) {
        packed_get(row, column, slot, schema_width(is));
    } else if (is->type == RASK_T_DOUBLE) {
        packed_get(row, column, &single, sizeof(single));
        real = (double)single;
        memcpy(slot, &real, sizeof(real));
    } else {
        integer = load_integer(row, column, schema_width(was));
        memcpy(slot, &integer, schema_width(is));
    }
}

/* What a new NOT NULL column holds: zeros, which for strings is an empty one, at the right place. */
static void put_new(const rask_field *is, struct bytes *out)
{
    static const uint8_t none[8] = {0}; /* an ARRAY or MAP without elements */

    if (is->type == RASK_T_ARRAY || is->type == RASK_T_MAP)
        bytes_add(out, none, sizeof(none));
}

int packed_row_migrate(const struct packed_migration *m, const uint8_t *data, size_t len,
                       struct bytes *out, struct err *err)
{
    const rask_schema *now = m->to.schema;
    size_t start = out->len;
    struct packed_row row;
    uint64_t nulls = 0;
    int rc = packed_row_open(&m->from, data, len, &row, err);

    if (rc)
        return rc;
    bytes_reserve(out, m->to.fixed_bytes);
    memset(out->data + start, 0, m->to.fixed_bytes + 1);
    out->len += m->to.fixed_bytes;
    for (uint32_t i = 0; i < now->columns; i++) {
        const rask_field *is = &now->fields[i];
        uint32_t place[2], source = (uint32_t)m->source[i];
        bool fresh = m->source[i] < 0;

        if (fresh ? is->nullable : packed_is_null(&row, source)) {
            nulls |= UINT64_C(1) << i;
            continue;
        }
        if (!schema_is_view(is) && !schema_is_nested(is)) {
            if (!fresh)
                put_fixed(&row, source, is, out->data + start + m->to.slot[i]);
            continue;
        }
        place[0] = (uint32_t)(out->len - start);
        if (fresh)
            put_new(is, out);
        else
            bytes_add(out, packed_string(&row, source).data, packed_string(&row, source).len);
        place[1] = (uint32_t)(out->len - start) - place[0];
        memcpy(out->data + start + m->to.slot[i], place, sizeof(place));
    }
    memcpy(out->data + start, &nulls, sizeof(nulls));
    return 0;
}
