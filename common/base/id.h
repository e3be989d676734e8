/* id.h - 128-bit identifiers (job, TaskManager, execution attempt), as 32 hex digits in text. */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stdint.h>

#define ID_TEXT_MAX 33 /* 32 hex digits and NUL */

struct id {
    uint8_t bytes[16];
};
struct id id_from_u64(uint64_t high, uint64_t low);
bool id_equal(const struct id *a, const struct id *b);
bool id_is_zero(const struct id *id);
/* Accepts upper and lower case; false if text is not exactly 32 hex digits. */
bool id_parse(const char *text, struct id *ret_id);
const char *id_format(const struct id *id, char out[ID_TEXT_MAX]); /* returns out */

#endif
