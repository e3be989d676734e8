/* ckpt_entry.c - entries in sections. Thread: any. */
#include "common/ckpt/ckpt_entry.h"

#include <string.h>

#define ENTRY_DELETED 1u
#define ENTRY_PART 2u
#define ENTRY_TIME 4u
#define HEAD_BYTES_MAX 24u

static uint8_t *put_varint(uint8_t *to, uint32_t v)
{
    for (; v >= 0x80; v >>= 7)
        *to++ = (uint8_t)(v | 0x80);
    *to++ = (uint8_t)v;
    return to;
}

void ckpt_entry_add(struct bytes *out, const struct ckpt_entry *e)
{
    uint8_t *to;

    bytes_reserve(out, HEAD_BYTES_MAX + (size_t)e->key_len + e->value_len);
    to = out->data + out->len;
    *to++ = (uint8_t)((e->deleted ? ENTRY_DELETED : 0) | (e->part ? ENTRY_PART : 0) | (e->has_time ? ENTRY_TIME : 0));
    to = put_varint(to, e->key_len);
    to = put_varint(to, e->value_len);
    if (e->part)
        to = put_varint(to, e->part);
    if (e->has_time) {
        memcpy(to, &e->time_ms, sizeof(e->time_ms));
        to += sizeof(e->time_ms);
    }
    if (e->key_len > 0)
        memcpy(to, e->key, e->key_len);
    to += e->key_len;
    if (e->value_len > 0)
        memcpy(to, e->value, e->value_len);
    to += e->value_len;
    out->len = (size_t)(to - out->data);
    out->data[out->len] = 0;
}

static uint32_t take_varint(struct reader *r)
{
    uint64_t v = 0;

    for (uint32_t shift = 0; shift < 35; shift += 7) {
        uint8_t b = reader_u8(r);

        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            r->bad = r->bad || v > UINT32_MAX || (b == 0 && shift > 0); /* one form alone */
            return (uint32_t)v;
        }
    }
    r->bad = true;
    return 0;
}

int ckpt_entry_take(struct reader *r, struct ckpt_entry *ret, const char *where, struct err *err)
{
    uint8_t flags = reader_u8(r);

    ret->deleted = flags & ENTRY_DELETED;
    ret->has_time = flags & ENTRY_TIME;
    ret->key_len = take_varint(r);
    ret->value_len = take_varint(r);
    ret->part = flags & ENTRY_PART ? take_varint(r) : 0;
    ret->time_ms = ret->has_time ? (int64_t)reader_u64(r) : 0;
    ret->key = reader_take(r, ret->key_len);
    ret->value = reader_take(r, ret->value_len);
    if (r->bad || flags > 7 || (ret->deleted && ret->value_len > 0) || ((flags & ENTRY_PART) && ret->part == 0))
        return err_set(err, ERR_CORRUPT, "%s: an entry is not valid or ends behind its section", where);
    return 0;
}
