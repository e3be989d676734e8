/* fuzz_batch.c - any bytes as an encoded batch; what is accepted can be read, gathered and encoded
 * again. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/types/batch.h"
#include "common/types/key_bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const rask_field fields[] = {
    {"text", RASK_T_STRING, 1, 0, 0, NULL},  {"number", RASK_T_BIGINT, 0, 0, 0, NULL},
    {"flag", RASK_T_BOOLEAN, 1, 0, 0, NULL}, {"bytes", RASK_T_BYTES, 0, 0, 0, NULL},
    {"sum", RASK_T_DECIMAL, 0, 30, 2, NULL}, {"day", RASK_T_DATE, 0, 0, 0, NULL},
    {"real", RASK_T_DOUBLE, 0, 0, 0, NULL},  {"time", RASK_T_TIME, 0, 0, 0, NULL},
};
static const rask_schema wide = {RASK_ABI, 8, "wide", fields};
/* ROW<text, number>, ARRAY<that>, MAP<text, ARRAY<number>> */
static const rask_field pair_fields[] = {{"text", RASK_T_STRING, 1, 0, 0, NULL},
                                         {"number", RASK_T_SMALLINT, 0, 0, 0, NULL}};
static const rask_schema pair = {RASK_ABI, 2, "pair", pair_fields};
static const rask_field pairs_fields[] = {{"element", RASK_T_ROW, 1, 0, 0, &pair}};
static const rask_schema pairs = {RASK_ABI, 1, "pairs", pairs_fields};
static const rask_field numbers_fields[] = {{"element", RASK_T_INT, 0, 0, 0, NULL}};
static const rask_schema numbers = {RASK_ABI, 1, "numbers", numbers_fields};
static const rask_field map_fields[] = {{"key", RASK_T_STRING, 0, 0, 0, NULL},
                                        {"value", RASK_T_ARRAY, 1, 0, 0, &numbers}};
static const rask_schema map = {RASK_ABI, 2, "map", map_fields};
static const rask_field nested_fields[] = {{"pairs", RASK_T_ARRAY, 1, 0, 0, &pairs},
                                           {"pair", RASK_T_ROW, 0, 0, 0, &pair},
                                           {"map", RASK_T_MAP, 1, 0, 0, &map}};
static const rask_schema nested = {RASK_ABI, 3, "nested", nested_fields};
static const rask_schema narrow = {RASK_ABI, 1, "narrow", fields};

static void use(struct pool *pool, rask_batch *b)
{
    static const uint16_t keys[] = {0};
    struct bytes first, second;
    rask_batch *again;
    rask_buffer *owner;
    uint64_t *hash = mem_alloc_array(b->rows + 1, sizeof(*hash));
    uint16_t *position = mem_alloc_array(b->rows + 1, sizeof(*position));
    struct err err;

    key_hash_batch(b, keys, 1, hash);
    for (uint32_t i = 0; i < b->rows; i++)
        position[i] = (uint16_t)(b->rows - 1 - i);
    again = batch_gather(pool, &b, 1, position, b->rows);
    CHECK(again->rows == b->rows);
    batch_unref(again);
    bytes_init(&first);
    bytes_init(&second);
    for (uint32_t i = 0; i < b->rows && i < 100; i++)
        batch_format_row(b, i, 200, &second);
    bytes_clear(&second);
    batch_encode(b, 0, b->rows, &first);
    owner = pool_get(pool, first.len);
    memcpy(owner->data, first.data, first.len);
    CHECK(batch_decode(pool, b->schema, owner->data, first.len, owner, &again, &err) == 0);
    buffer_unref(owner);
    batch_encode(again, 0, again->rows, &second);
    CHECK(first.len == second.len);
    CHECK(memcmp(first.data, second.data, first.len) == 0);
    batch_unref(again);
    bytes_release(&first);
    bytes_release(&second);
    mem_free(hash);
    mem_free(position);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const rask_schema *const schemas[] = {&wide, &narrow, &nested};

    for (size_t i = 0; i < ARRAY_LEN(schemas); i++) {
        struct pool *pool = pool_new(0);
        rask_buffer *owner = pool_get(pool, size);
        rask_batch *b;
        struct err err;

        if (size)
            memcpy(owner->data, data, size);
        if (batch_decode(pool, schemas[i], owner->data, size, owner, &b, &err) == 0) {
            use(pool, b);
            batch_unref(b);
        } else {
            CHECK(err.text[0]);
        }
        buffer_unref(owner);
        pool_free(pool);
    }
    return 0;
}
