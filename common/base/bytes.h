/*
 * bytes.h - a growing byte buffer, and a bounded reader.
 *
 * Integers are little-endian unless the name says otherwise.  A reader never runs past its end:
 * it sets `bad` and returns zeros, so a decoder checks once at the end.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    uint8_t *data; /* owned; data[len] is always 0 once anything was added */
    size_t len, cap;
};
void bytes_init(struct bytes *b);
void bytes_release(struct bytes *b);
void bytes_clear(struct bytes *b);                   /* keeps the capacity */
void bytes_reserve(struct bytes *b, size_t more);
void bytes_add(struct bytes *b, const void *data, size_t len);
void bytes_add_u8(struct bytes *b, uint8_t v);
void bytes_add_u16(struct bytes *b, uint16_t v);
void bytes_add_u32(struct bytes *b, uint32_t v);
void bytes_add_u64(struct bytes *b, uint64_t v);
void bytes_add_str(struct bytes *b, const char *s); /* no length, no NUL */
void bytes_printf(struct bytes *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *bytes_take_str(struct bytes *b); /* the NUL-terminated content, owned by the caller; b is empty */

struct reader {
    const uint8_t *at, *end; /* borrowed */
    bool bad;
};
struct reader reader_of(const void *data, size_t len);
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
const uint8_t *reader_take(struct reader *r, size_t len); /* NULL and bad if too short */
size_t reader_left(const struct reader *r);

#endif
