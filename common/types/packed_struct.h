/*
 * packed_struct.h - the structs that RASK_ROW and RASK_STATE declare, as packed rows and back.
 *
 * A schema says what the members are; where they lie follows from the rules of C and from the struct's size (RASK_STATE
 * begins each member on 8 bytes).  Rows of fixed-width NOT NULL columns are kept without their null bits: the slots alone,
 * which are the image of a RASK_STATE.  Nested columns have no struct.  Thread: any.
 */
#ifndef TYPES_PACKED_STRUCT_H
#define TYPES_PACKED_STRUCT_H

#include "common/types/packed_row.h"

struct packed_struct {
    struct packed_layout layout;
    bool slots; /* kept without null bits */
    size_t size;
    uint16_t offset[RASK_COLUMNS_MAX];
};
/* size 0: that of a RASK_ROW. false: the schema has nested columns, or no struct of its columns has this size. */
bool packed_struct_of(const rask_schema *schema, size_t size, struct packed_struct *ret);
/* All columns of fixed width and NOT NULL. */
bool packed_is_slots(const rask_schema *schema);
uint32_t packed_slot_bytes(const rask_schema *schema); /* of such a row */
/* Appends the row; strings are copied. */
void packed_struct_add(const struct packed_struct *s, const void *from, struct bytes *out);
/* Strings of the struct point into data. */
int packed_struct_read(const struct packed_struct *s, const void *data, size_t len, void *to, struct err *err) MUST_CHECK;

#endif
