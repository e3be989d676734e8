/*
 * packed_row.h - one row as bytes: state values, list elements, spill, rows in flight, savepoints.
 * FROZEN by the first savepoint.  Little-endian:
 *
 *   u64          null bits: bit i = 1: column i is null (so that zeroed memory is a row of zeros)
 *   slots        8 bytes a column (DECIMAL p > 18: 16), the value at the slot's start, the rest 0;
 *                a null: zeros. STRING, BYTES, ARRAY, MAP and ROW: u32 offset from the row's
 *                start, u32 length
 *   bytes        of the strings and of what is nested, in column order
 *
 * A ROW is a packed row.  An ARRAY or a MAP keeps its elements in columns ("element"; "key", "value"):
 *
 *   u32 count, u32 0
 *   a column     null bits if it is nullable, bit i = 1: element i is null; then count cells of
 *                schema_width bytes, or where slots have offset and length, 8 bytes of those (from
 *                this value's start).  Both are padded with zeros to a multiple of 8
 *   bytes        as above: column after column, element after element
 *
 * The schema is kept beside rows, never in them.  The slots of a row of fixed-width columns are the
 * image of a RASK_STATE struct.  One column is read without looking at the others.
 */
#ifndef TYPES_PACKED_ROW_H
#define TYPES_PACKED_ROW_H

#include "common/types/batch.h"

struct packed_layout {
    const rask_schema *schema;       /* borrowed */
    uint32_t fixed_bytes;            /* null bits and slots: where strings begin */
    uint64_t nullable, views;        /* a bit per column; views: STRING and BYTES */
    uint64_t nested;                 /* ARRAY, MAP, ROW */
    uint16_t slot[RASK_COLUMNS_MAX]; /* offset of a column's slot in the row */
};
void packed_layout_of(const rask_schema *schema, struct packed_layout *ret);

/* A checked row: every read below stays inside. data is borrowed and needs no alignment. */
struct packed_row {
    const struct packed_layout *layout;
    const uint8_t *data;
    uint32_t len;
};
int packed_row_open(const struct packed_layout *layout, const uint8_t *data, size_t len,
                    struct packed_row *ret, struct err *err) MUST_CHECK;

/* Appends the row at a physical position of b; b's schema equals the layout's. */
void packed_row_add(const struct packed_layout *layout, const rask_batch *b, uint32_t position,
                    struct bytes *out);
/* begin, cells, end. Returns what rask_out_end does; the strings are copied. */
int packed_row_emit(const struct packed_row *row, rask_out *out);

static inline bool packed_is_null(const struct packed_row *row, uint32_t column)
{
    return (row->data[column / 8] >> (column % 8)) & 1;
}
/* The value of a fixed-width column, width bytes of it (schema_width). */
static inline void packed_get(const struct packed_row *row, uint32_t column, void *ret,
                              uint32_t width)
{
    memcpy(ret, row->data + row->layout->slot[column], width);
}
static inline int64_t packed_i64(const struct packed_row *row, uint32_t column)
{
    int64_t v;

    packed_get(row, column, &v, sizeof(v));
    return v;
}
/* The bytes of a STRING or BYTES column, or of a nested value; borrowed from the row. */
static inline rask_str packed_string(const struct packed_row *row, uint32_t column)
{
    uint32_t place[2];

    packed_get(row, column, place, sizeof(place));
    return (rask_str){(const char *)row->data + place[0], place[1]};
}

/* packed_migrate.c: rows of an old schema as rows of a compatible one (schema_compatible). */
struct packed_migration {
    struct packed_layout from, to;
    int16_t source[RASK_COLUMNS_MAX]; /* column of `from` for each of `to`; -1: new */
};
/* Of schemas that schema_compatible accepts; both are borrowed. */
void packed_migration_of(const rask_schema *old, const rask_schema *now, struct packed_migration *ret);
/* Appends the row; ERR_CORRUPT: data is no row of the old schema. */
int packed_row_migrate(const struct packed_migration *m, const uint8_t *data, size_t len,
                       struct bytes *out, struct err *err) MUST_CHECK;

/* packed_nested.c: values of ARRAY, MAP and ROW columns; for packed_row.c. */
/* Appends the value of a cell that is not null. */
void packed_nested_add(const rask_field *field, const rask_row *row, uint32_t column,
                       struct bytes *out);
int packed_nested_check(const rask_field *field, rask_str value, struct err *err) MUST_CHECK;
/* Emits a checked value into a column of the row at hand. Returns what rask_out_end does. */
int packed_nested_emit(const rask_field *field, rask_str value, rask_out *out, uint32_t column);

#endif
