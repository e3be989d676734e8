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

#include <string.h>

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

#define CKPT_ENTRY_HEAD_MAX 24u /* bytes of an entry beside its key and value */
#define CKPT_ENTRY_DELETED 1u
#define CKPT_ENTRY_PART 2u
#define CKPT_ENTRY_TIME 4u

static inline uint8_t *ckpt_varint_put(uint8_t *to, uint32_t v)
{
    for (; v >= 0x80; v >>= 7)
        *to++ = (uint8_t)(v | 0x80);
    *to++ = (uint8_t)v;
    return to;
}
/* to: room for CKPT_ENTRY_HEAD_MAX bytes, the key and the value. The end of it. */
static inline uint8_t *ckpt_entry_put(uint8_t *to, const struct ckpt_entry *e)
{
    *to++ = (uint8_t)((e->deleted ? CKPT_ENTRY_DELETED : 0) | (e->part ? CKPT_ENTRY_PART : 0) | (e->has_time ? CKPT_ENTRY_TIME : 0));
    to = ckpt_varint_put(to, e->key_len);
    to = ckpt_varint_put(to, e->value_len);
    if (e->part)
        to = ckpt_varint_put(to, e->part);
    if (e->has_time) {
        memcpy(to, &e->time_ms, sizeof(e->time_ms));
        to += sizeof(e->time_ms);
    }
    if (e->key_len == 8) /* most are, and a call for so little would be most of it */
        memcpy(to, e->key, 8);
    else if (e->key_len > 0)
        memcpy(to, e->key, e->key_len);
    to += e->key_len;
    if (e->value_len > 0)
        memcpy(to, e->value, e->value_len);
    return to + e->value_len;
}
void ckpt_entry_add(struct bytes *out, const struct ckpt_entry *e);
/* The next entry of a payload. where: for the message. */
int ckpt_entry_take(struct reader *r, struct ckpt_entry *ret, const char *where, struct err *err) MUST_CHECK;

#endif
