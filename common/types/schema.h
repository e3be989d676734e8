/* schema.h - schemas at run time: equality, text, protobuf. Frozen layouts are in batch.h,
 * key_bytes.h, packed_row.h. */
#ifndef TYPES_SCHEMA_H
#define TYPES_SCHEMA_H

#include <rask/batch.h>

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/mem.h"

#define SCHEMA_NAME_MAX   255  /* bytes of a column name */
#define SCHEMA_DEPTH_MAX  16   /* ARRAY, MAP and ROW inside each other */
#define SCHEMA_FIELDS_MAX 1024 /* columns of a row, with all that is inside them */

uint32_t schema_width(const rask_field *field); /* bytes of a cell in a column: 1, 2, 4, 8, 16 */
bool schema_is_view(const rask_field *field);   /* STRING, BYTES */
bool schema_is_nested(const rask_field *field); /* ARRAY, MAP, ROW: the cell is a rask_span */
/* A MAP is none, nor what holds one: equal maps may list their entries in different order. */
bool schema_can_be_key(const rask_field *field);
/* Same columns in number, name, type, nullability; the schema's own name does not matter. Equal
 * pointers are fast. */
bool schema_equal(const rask_schema *a, const rask_schema *b);
bool schema_field_equal(const rask_field *a, const rask_field *b);
int schema_column(const rask_schema *schema, const char *name); /* index; -1 */
/* "word STRING NOT NULL, n BIGINT" */
void schema_format(const rask_schema *schema, struct bytes *out);
void schema_format_type(const rask_field *field, struct bytes *out);
/* Parses the same text into the arena. Types are NOT NULL only when it says so, but for keys of a
 * MAP, which always are. Errors name the column and what is allowed. */
int schema_parse(struct arena *arena, const char *name, const char *text, const rask_schema **ret,
                 struct err *err) MUST_CHECK;
int schema_parse_type(struct arena *arena, const char *text, rask_field *ret,
                      struct err *err) MUST_CHECK;
/* A plain type, or an ARRAY or ROW of plain ones: what a field of a csv file can hold, as Flink's. */
bool schema_fits_csv(const rask_field *field);
/* 1..64 columns, names unique and not empty, types known and supported, precision in range; the same
 * of the rows inside: "element" of an ARRAY, "key" NOT NULL and "value" of a MAP. where: for the
 * message */
int schema_validate(const rask_schema *schema, const char *where, struct err *err) MUST_CHECK;
/*
 * Whether rows kept under one schema can be read under another: columns are matched by name.  Added
 * ones are null, or zero where NOT NULL; removed ones are dropped; TINYINT < SMALLINT < INT < BIGINT,
 * FLOAT < DOUBLE, a DECIMAL with more digits before and after the point, and NOT NULL to nullable are
 * widened.  Anything else is refused, in a sentence that names both.  where: for the message.
 * MIGRATE: rows are rewritten by packed_row_migrate.
 */
enum schema_change { SCHEMA_SAME, SCHEMA_MIGRATE };
int schema_compatible(const rask_schema *old, const rask_schema *now, const char *where,
                      enum schema_change *ret, struct err *err) MUST_CHECK;
const rask_schema *schema_copy(struct arena *arena, const rask_schema *schema);

#endif
