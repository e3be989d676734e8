/* ckpt_rows.c - see ckpt_rows.h. */
#include "common/ckpt/ckpt_rows.h"

#include <string.h>

#include "common/ckpt/ckpt_meta.h"

#define SCHEMA_TEXT_MAX (1u << 20)

static void pad(struct bytes *out)
{
    while (out->len % 8)
        bytes_add_u8(out, 0);
}

void ckpt_rows_begin(struct bytes *out, rask_str schema)
{
    bytes_add_u32(out, schema.len);
    bytes_add_u32(out, 0);
    bytes_add(out, schema.data, schema.len);
    pad(out);
}

size_t ckpt_rows_open_batch(struct bytes *out)
{
    bytes_add_u64(out, 0);
    return out->len;
}

void ckpt_rows_close_batch(struct bytes *out, size_t at)
{
    uint64_t len = out->len - at;

    memcpy(out->data + at - sizeof(len), &len, sizeof(len));
    pad(out);
}

static const void *take(struct reader *r, uint64_t len, uint64_t max)
{
    const void *data;

    if (len > max) {
        r->bad = true;
        return NULL;
    }
    data = reader_take(r, len);
    (void)reader_take(r, (8 - len % 8) % 8);
    return r->bad ? NULL : data;
}

bool ckpt_rows_take_schema(struct reader *r, rask_str *ret)
{
    ret->len = reader_u32(r);
    (void)reader_u32(r);
    ret->data = take(r, ret->len, SCHEMA_TEXT_MAX);
    return !r->bad;
}

bool ckpt_rows_take_batch(struct reader *r, rask_bytes *ret)
{
    uint64_t len = reader_u64(r);

    ret->data = take(r, len, CKPT_SECTION_MAX);
    ret->len = (uint32_t)len;
    return !r->bad;
}
