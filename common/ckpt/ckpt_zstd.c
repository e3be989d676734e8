/* ckpt_zstd.c - the codec of sections: zstd, level 1. Thread: any. */
#include <zstd.h>

#include "common/ckpt/ckpt_private.h"

bool ckpt_compress(const void *data, size_t len, struct bytes *out)
{
    size_t bound = ZSTD_compressBound(len), n;

    bytes_reserve(out, bound);
    n = ZSTD_compress(out->data + out->len, bound, data, len, 1);
    if (ZSTD_isError(n) || n >= len)
        return false;
    out->len += n;
    out->data[out->len] = 0;
    return true;
}

int ckpt_expand(const void *data, size_t len, size_t raw, struct bytes *out, struct err *err)
{
    size_t n;

    bytes_reserve(out, raw);
    n = ZSTD_decompress(out->data + out->len, raw, data, len);
    if (ZSTD_isError(n))
        return err_set(err, ERR_CORRUPT, "zstd: %s", ZSTD_getErrorName(n));
    if (n != raw)
        return err_set(err, ERR_CORRUPT, "zstd: %zu bytes came out, not %zu", n, raw);
    out->len += n;
    out->data[out->len] = 0;
    return 0;
}
