/* pack_lz4.c - see pack_lz4.h. */
#include "taskmanager/worker/exchange/pack_lz4.h"

#include <lz4.h>

#include "common/base/check.h"

uint32_t wk_pack(const uint8_t *from, uint32_t len, uint8_t *to, uint32_t room)
{
    CHECK(len <= LZ4_MAX_INPUT_SIZE);
    CHECK(room <= LZ4_MAX_INPUT_SIZE);
    return (uint32_t)LZ4_compress_default((const char *)from, (char *)to, (int)len, (int)room);
}

bool wk_unpack(const uint8_t *from, uint32_t packed, uint8_t *to, uint32_t len)
{
    if (packed > LZ4_MAX_INPUT_SIZE || len > LZ4_MAX_INPUT_SIZE)
        return false;
    return LZ4_decompress_safe((const char *)from, (char *)to, (int)packed, (int)len) == (int)len;
}
