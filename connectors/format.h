/*
 * format.h - rows as lines of text.  Cells look as batch_format_cell writes them (common/types/batch.h).
 * Every function appends to `out`, without an end of line.
 */
#ifndef CONNECTORS_FORMAT_H
#define CONNECTORS_FORMAT_H

#include "common/types/batch.h"

/* As Flink prints a tuple: (word,1), a null as null; a row of one column is the cell alone. */
void format_print(const rask_batch *b, uint32_t row, struct bytes *out);
#define FORMAT_CSV_INSIDE ';' /* between elements of an ARRAY and columns of a ROW */
/* Comma separated: cells with a comma, a quote or an end of line are quoted, quotes in them doubled; a null is empty
 * and an empty string of a nullable column "", so that reading it back gives the same row. */
void format_csv(const rask_batch *b, uint32_t row, struct bytes *out);

#endif
