/*
 * bytes.c - the growing buffer and the bounded reader.
 * Thread: a buffer belongs to one thread at a time.
 */
#include "common/base/bytes.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

void bytes_init(struct bytes *b)
{
    *b = (struct bytes){NULL, 0, 0};
}

void bytes_release(struct bytes *b)
{
    mem_free(b->data);
    bytes_init(b);
}

void bytes_clear(struct bytes *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = 0;
}

/* One byte more than asked for: data[len] is always 0. */
void bytes_reserve(struct bytes *b, size_t more)
{
    size_t need;

    CHECK(more < SIZE_MAX / 4 && b->len < SIZE_MAX / 4);
    need = b->len + more + 1;
    if (need <= b->cap)
        return;
    b->cap = MAX(MAX(need, b->cap * 2), (size_t)64);
    b->data = mem_realloc(b->data, b->cap);
    b->data[b->len] = 0;
}

void bytes_add(struct bytes *b, const void *data, size_t len)
{
    bytes_reserve(b, len);
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = 0;
}

static void bytes_add_le(struct bytes *b, uint64_t v, size_t width)
{
    uint8_t le[8];

    for (size_t i = 0; i < width; i++)
        le[i] = (uint8_t)(v >> (8 * i));
    bytes_add(b, le, width);
}

void bytes_add_u8(struct bytes *b, uint8_t v)
{
    bytes_add(b, &v, 1);
}

void bytes_add_u16(struct bytes *b, uint16_t v)
{
    bytes_add_le(b, v, 2);
}

void bytes_add_u32(struct bytes *b, uint32_t v)
{
    bytes_add_le(b, v, 4);
}

void bytes_add_u64(struct bytes *b, uint64_t v)
{
    bytes_add_le(b, v, 8);
}

void bytes_add_str(struct bytes *b, const char *s)
{
    bytes_add(b, s, strlen(s));
}

void bytes_printf(struct bytes *b, const char *fmt, ...)
{
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    CHECK(len >= 0);
    bytes_reserve(b, (size_t)len);
    va_start(ap, fmt);
    vsnprintf((char *)b->data + b->len, (size_t)len + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)len;
}

char *bytes_take_str(struct bytes *b)
{
    char *s;

    bytes_reserve(b, 0);
    s = (char *)b->data;
    bytes_init(b);
    return s;
}

struct reader reader_of(const void *data, size_t len)
{
    /* An empty reader still needs a place to point at: NULL + 0 is not an address. */
    const uint8_t *at = data ? data : (const uint8_t *)"";

    CHECK(data || len == 0);
    return (struct reader){at, at + len, false};
}

size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

const uint8_t *reader_take(struct reader *r, size_t len)
{
    const uint8_t *taken = r->at;

    if (r->bad || len > reader_left(r)) {
        r->bad = true;
        r->at = r->end;
        return NULL;
    }
    r->at += len;
    return taken;
}

static uint64_t reader_le(struct reader *r, size_t width)
{
    const uint8_t *le = reader_take(r, width);
    uint64_t v = 0;

    for (size_t i = 0; le && i < width; i++)
        v |= (uint64_t)le[i] << (8 * i);
    return v;
}

uint8_t reader_u8(struct reader *r)
{
    return (uint8_t)reader_le(r, 1);
}

uint16_t reader_u16(struct reader *r)
{
    return (uint16_t)reader_le(r, 2);
}

uint32_t reader_u32(struct reader *r)
{
    return (uint32_t)reader_le(r, 4);
}

uint64_t reader_u64(struct reader *r)
{
    return reader_le(r, 8);
}
