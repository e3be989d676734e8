/* ckpt_private.h - shared by the files of this folder. */
#ifndef CKPT_PRIVATE_H
#define CKPT_PRIVATE_H

#include <inttypes.h>

#include "common/ckpt/ckpt_file.h"

#define CKPT_RECORD_EXTRA 8192u /* a record has at most this many bytes beside its payload */

/* Packed rask.ckpt.Metadata, and back with all checks. */
void ckpt_message_add(const struct ckpt_meta *m, struct bytes *out);
int ckpt_message_take(const void *data, size_t len, const char *where, struct ckpt_meta **ret, struct err *err) MUST_CHECK;
/* Limits of the numbers of a section. */
bool ckpt_section_valid(const struct ckpt_section *s);

/* Appends; false: it did not shrink, and nothing was appended. */
bool ckpt_compress(const void *data, size_t len, struct bytes *out);
/* Exactly raw bytes come out, appended. */
int ckpt_expand(const void *data, size_t len, size_t raw, struct bytes *out, struct err *err) MUST_CHECK;

#endif
