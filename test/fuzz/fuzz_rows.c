/* fuzz_rows.c - rows in flight from any bytes: what is taken can be written again, and comes back the same. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/ckpt/ckpt_rows.h"
#include "common/types/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const rask_field fields[] = {{"text", RASK_T_STRING, 1, 0, 0, NULL}, {"number", RASK_T_BIGINT, 0, 0, 0, NULL}};
static const rask_schema schema = {RASK_ABI, 2, "row", fields};

/* As a worker does when it restores. */
static void decode(struct pool *pool, rask_bytes in, struct bytes *out)
{
    rask_buffer *buffer = pool_get(pool, in.len + 1u);
    rask_batch *batch;
    struct err err;

    memcpy(buffer->data, in.data, in.len);
    buffer->used = in.len;
    if (batch_decode(pool, &schema, buffer->data, in.len, buffer, &batch, &err) == 0) {
        size_t at = ckpt_rows_open_batch(out);

        batch_encode(batch, 0, batch->rows, out);
        ckpt_rows_close_batch(out, at);
        batch_unref(batch);
    } else {
        CHECK(err.text[0]);
    }
    buffer_unref(buffer);
}

static bool rewrite(struct pool *pool, const void *data, size_t size, struct bytes *out)
{
    struct reader r = reader_of(data, size);
    rask_bytes batch;
    rask_str text;

    if (!ckpt_rows_take_schema(&r, &text))
        return false;
    ckpt_rows_begin(out, text);
    while (reader_left(&r) > 0) {
        if (!ckpt_rows_take_batch(&r, &batch))
            return false;
        decode(pool, batch, out);
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pool *pool = pool_new(0);
    struct bytes once, twice;

    bytes_init(&once);
    bytes_init(&twice);
    if (rewrite(pool, data, size, &once)) {
        CHECK(rewrite(pool, once.data, once.len, &twice));
        CHECK(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
    }
    bytes_release(&once);
    bytes_release(&twice);
    pool_free(pool);
    return 0;
}
