/* packed_struct.c - structs of a job as packed rows and back; see the header. Thread: any. */
#include "common/types/packed_struct.h"

#include "common/base/check.h"
#include "common/types/schema.h"

/* What a column's member is: its C type, and in a nullable one a flag behind the value. */
struct member {
    uint32_t width, align; /* of the value */
    uint32_t flag;         /* offset of is_null; 0: NOT NULL */
    uint32_t size;         /* of all of it */
};

static struct member member_of(const rask_field *f)
{
    struct member m = {0};

    if (schema_is_view(f)) {
        m.width = sizeof(rask_str);
        m.align = _Alignof(rask_str);
    } else {
        m.width = schema_width(f);
        m.align = MIN(m.width, 8u);
    }
    m.size = m.width;
    if (f->nullable) {
        m.flag = m.width;
        m.size = (m.width + m.align) / m.align * m.align;
    }
    return m;
}

static size_t place(const rask_schema *schema, uint32_t least, uint16_t *offset)
{
    size_t at = 0, widest = least;

    for (uint32_t i = 0; i < schema->columns; i++) {
        struct member m = member_of(&schema->fields[i]);
        size_t align = MAX(m.align, least);

        at = (at + align - 1) / align * align;
        offset[i] = (uint16_t)at;
        at += m.size;
        widest = MAX(widest, align);
    }
    return (at + widest - 1) / widest * widest;
}

bool packed_is_slots(const rask_schema *schema)
{
    for (uint32_t i = 0; i < schema->columns; i++)
        if (schema->fields[i].nullable || schema_is_view(&schema->fields[i]) || schema->fields[i].type >= RASK_T_ARRAY)
            return false;
    return true;
}

uint32_t packed_slot_bytes(const rask_schema *schema)
{
    struct packed_layout layout;

    packed_layout_of(schema, &layout);
    return layout.fixed_bytes - 8;
}

bool packed_struct_of(const rask_schema *schema, size_t size, struct packed_struct *ret)
{
    for (uint32_t i = 0; i < schema->columns; i++)
        if (schema->fields[i].type >= RASK_T_ARRAY)
            return false;
    packed_layout_of(schema, &ret->layout);
    ret->slots = packed_is_slots(schema);
    ret->size = place(schema, 1, ret->offset);
    if (size != 0 && size != ret->size && ret->slots)
        ret->size = place(schema, 8, ret->offset);
    return size == 0 || size == ret->size;
}

static bool is_null(const struct packed_struct *s, const char *member, uint32_t column)
{
    struct member m = member_of(&s->layout.schema->fields[column]);

    return m.flag && *(const bool *)(member + m.flag);
}

void packed_struct_add(const struct packed_struct *s, const void *from, struct bytes *out)
{
    const rask_schema *schema = s->layout.schema;
    size_t start = out->len, skip = s->slots ? 8 : 0;
    uint64_t nulls = 0;

    bytes_reserve(out, s->layout.fixed_bytes);
    memset(out->data + start, 0, s->layout.fixed_bytes - skip + 1);
    out->len += s->layout.fixed_bytes - skip;
    for (uint32_t i = 0; i < schema->columns; i++) {
        const char *member = (const char *)from + s->offset[i];
        uint8_t *slot = out->data + start + s->layout.slot[i] - skip;

        if (is_null(s, member, i)) {
            nulls |= (uint64_t)1 << i;
        } else if (schema_is_view(&schema->fields[i])) {
            const rask_str *text = (const rask_str *)(const void *)member;
            uint32_t where[2] = {(uint32_t)(out->len - start), text->len};

            memcpy(slot, where, sizeof(where));
            bytes_add(out, text->data, text->len);
        } else {
            memcpy(slot, member, schema_width(&schema->fields[i]));
        }
    }
    if (!s->slots)
        memcpy(out->data + start, &nulls, sizeof(nulls));
}

static void read_column(const struct packed_struct *s, const struct packed_row *row, uint32_t i, char *member)
{
    struct member m = member_of(&s->layout.schema->fields[i]);

    memset(member, 0, m.size);
    if (m.flag && packed_is_null(row, i))
        *(bool *)(member + m.flag) = true;
    else if (schema_is_view(&s->layout.schema->fields[i]))
        *(rask_str *)(void *)member = packed_string(row, i);
    else
        packed_get(row, i, member, m.width);
}

int packed_struct_read(const struct packed_struct *s, const void *data, size_t len, void *to, struct err *err)
{
    struct packed_row row;
    int rc;

    if (s->slots) {
        if (len != s->layout.fixed_bytes - 8u)
            return err_set(err, ERR_CORRUPT, "a kept row of %s has %u bytes, this one has %zu", s->layout.schema->name,
                           s->layout.fixed_bytes - 8u, len);
        row = (struct packed_row){&s->layout, (const uint8_t *)data - 8, (uint32_t)len + 8};
    } else {
        rc = packed_row_open(&s->layout, data, len, &row, err);
        if (rc != 0)
            return rc;
    }
    for (uint32_t i = 0; i < s->layout.schema->columns; i++)
        read_column(s, &row, i, (char *)to + s->offset[i]);
    return 0;
}
