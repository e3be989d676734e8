/*
 * csv.h - comma separated values: where a record ends, its fields, and fields as cells (RFC 4180, with LF or CRLF).
 *
 * A field that begins with the quote is quoted: it may hold delimiters and ends of lines, and a doubled quote is one
 * quote.  In any other field a quote is an ordinary character.  For csv_source.c and tests; pure functions.
 */
#ifndef CONNECTORS_FILE_CSV_H
#define CONNECTORS_FILE_CSV_H

#include <rask/batch.h>

#include "common/types/schema.h"

struct csv_format {
    char delimiter, quote;
    const char *null_text; /* an unquoted field like this is null; NULL: an empty one is */
};

enum csv_found {
    CSV_RECORD,
    CSV_MORE, /* the data ends inside a record: call again with more behind it */
    CSV_BAD   /* broken quoting; ret_reason says how. ret_len is up to the end of the record's first line */
};
struct csv_scan { /* zeroed at the beginning of each record */
    size_t at;
    uint8_t state;
};
/* Looks for the end of the record that begins at data. last: nothing follows. *ret_len: its bytes, with the end of line. */
enum csv_found csv_scan(const struct csv_format *format, struct csv_scan *scan, const char *data, size_t len, bool last,
                        size_t *ret_len, const char **ret_reason);

struct csv_field {
    rask_str text; /* without quotes; points into the record or into scratch */
    bool quoted;
};
/*
 * The fields of a whole record, its end of line cut; at most max are stored. Returns how many there are. What had
 * doubled quotes is unescaped into scratch, which must live as long as the fields.
 */
uint32_t csv_split(const struct csv_format *format, rask_str record, struct csv_field *fields, uint32_t max,
                   struct bytes *scratch);

/*
 * Writes the field to a column of the row that is being built. False: it is no value of the column's type; what
 * would be one is appended to expected ("a date: yyyy-mm-dd").
 *
 * Around anything but STRING and BYTES, blanks are cut.  BOOLEAN true, false (any case), 1, 0; FLOAT and DOUBLE also NaN,
 * Infinity, -Infinity; DECIMAL without exponent, and never rounded; DATE yyyy-mm-dd; TIME hh:mm[:ss[.fff]]; TIMESTAMP a date, blank or T,
 * a time, optional Z; BYTES hexadecimal digits.  Fractions of seconds below ms must be zeros.  ARRAY and ROW: elements
 * or columns with ';' between them, which cannot stand in one; an empty field is an ARRAY of none.  False may leave
 * rows begun in the cell: rask_out_drop.
 */
bool csv_cell(const struct csv_format *format, const struct csv_field *field, const rask_field *type, int column,
              rask_out *out, struct bytes *expected);

#endif
