/* ckpt_entry.c - entries in sections. Thread: any. */
#include "common/ckpt/ckpt_entry.h"

void ckpt_entry_add(struct bytes *out, const struct ckpt_entry *e)
{
    bytes_reserve(out, CKPT_ENTRY_HEAD_MAX + (size_t)e->key_len + e->value_len);
    out->len = (size_t)(ckpt_entry_put(out->data + out->len, e) - out->data);
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

    ret->deleted = flags & CKPT_ENTRY_DELETED;
    ret->has_time = flags & CKPT_ENTRY_TIME;
    ret->key_len = take_varint(r);
    ret->value_len = take_varint(r);
    ret->part = flags & CKPT_ENTRY_PART ? take_varint(r) : 0;
    ret->time_ms = ret->has_time ? (int64_t)reader_u64(r) : 0;
    ret->key = reader_take(r, ret->key_len);
    ret->value = reader_take(r, ret->value_len);
    if (r->bad || flags > 7 || (ret->deleted && ret->value_len > 0) || ((flags & CKPT_ENTRY_PART) && ret->part == 0))
        return err_set(err, ERR_CORRUPT, "%s: an entry is not valid or ends behind its section", where);
    return 0;
}
