/*
 * ckpt_rows.h - the payload of a section of rows in flight: the text of their schema, then batches (batch_encode).
 *
 * u32 length of the text, u32 0, text, zeros up to a multiple of 8; then for each batch: u64 length, batch, zeros up to a
 * multiple of 8.  Little-endian.  Pure.
 */
#ifndef CKPT_ROWS_H
#define CKPT_ROWS_H

#include <rask/row.h>

#include "common/base/bytes.h"

void ckpt_rows_begin(struct bytes *out, rask_str schema);
/* Between the two a batch is appended; the second gets what the first returned. */
size_t ckpt_rows_open_batch(struct bytes *out);
void ckpt_rows_close_batch(struct bytes *out, size_t at);

/* Borrowed from the reader's bytes. False: cut off, or longer than can be; the reader is bad. */
bool ckpt_rows_take_schema(struct reader *r, rask_str *ret);
bool ckpt_rows_take_batch(struct reader *r, rask_bytes *ret);

#endif
