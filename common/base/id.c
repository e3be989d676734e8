/* id.c - 128-bit identifiers and their text form. */
#include "common/base/id.h"

#include <string.h>

#include "common/base/hash.h"

struct id id_from_u64(uint64_t high, uint64_t low)
{
    struct id id;

    for (int i = 0; i < 8; i++) {
        id.bytes[i] = (uint8_t)(high >> (56 - 8 * i));
        id.bytes[8 + i] = (uint8_t)(low >> (56 - 8 * i));
    }
    return id;
}

bool id_equal(const struct id *a, const struct id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool id_is_zero(const struct id *id)
{
    static const struct id zero;

    return id_equal(id, &zero);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool id_parse(const char *text, struct id *ret_id)
{
    struct id id;

    if (!text || strnlen(text, ID_TEXT_MAX) != ID_TEXT_MAX - 1)
        return false;
    for (int i = 0; i < 16; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        id.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret_id = id;
    return true;
}

const char *id_format(const struct id *id, char out[ID_TEXT_MAX])
{
    hash_hex(id->bytes, sizeof(id->bytes), out);
    return out;
}
