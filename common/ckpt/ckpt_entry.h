/*
 * ckpt_entry.h - one entry in the payload of a keyed or operator section.
 *
 *   u8 flags (1 deleted, 2 has a part, 4 has a time), varint key length, varint value length, [varint part],
 *   [i64 time, ms], key bytes, value bytes
 *
 * Varints are LEB128 of at most 5 bytes.  Elements of operator lists have no key.  Thread: any.
 */
#ifndef CKPT_ENTRY_H
#define CKPT_ENTRY_H

#include "common/base/bytes.h"
#include "common/base/err.h"

struct ckpt_entry {
    bool deleted;
    bool has_time;
    uint32_t part; /* of lists and maps per key: 0 the head, else a chunk or bucket */
    int64_t time_ms;
    const uint8_t *key, *value; /* borrowed */
    uint32_t key_len, value_len;
};

void ckpt_entry_add(struct bytes *out, const struct ckpt_entry *e);
/* The next entry of a payload. where: for the message. */
int ckpt_entry_take(struct reader *r, struct ckpt_entry *ret, const char *where, struct err *err) MUST_CHECK;

#endif
