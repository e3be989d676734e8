/* fuzz_packed_row.c - any bytes as a packed row; what is accepted is emitted and packed again. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/types/packed_row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const rask_field fields[] = {
    {"text", RASK_T_STRING, 1, 0, 0, NULL},  {"number", RASK_T_BIGINT, 0, 0, 0, NULL},
    {"flag", RASK_T_BOOLEAN, 1, 0, 0, NULL}, {"bytes", RASK_T_BYTES, 0, 0, 0, NULL},
    {"sum", RASK_T_DECIMAL, 1, 30, 2, NULL}, {"day", RASK_T_DATE, 0, 0, 0, NULL},
};
static const rask_schema plain = {RASK_ABI, 6, "row", fields};
static const rask_field pair_fields[] = {{"text", RASK_T_STRING, 1, 0, 0, NULL},
                                         {"number", RASK_T_SMALLINT, 0, 0, 0, NULL}};
static const rask_schema pair = {RASK_ABI, 2, "pair", pair_fields};
static const rask_field pairs_fields[] = {{"element", RASK_T_ROW, 1, 0, 0, &pair}};
static const rask_schema pairs = {RASK_ABI, 1, "pairs", pairs_fields};
static const rask_field map_fields[] = {{"key", RASK_T_STRING, 0, 0, 0, NULL},
                                        {"value", RASK_T_ARRAY, 1, 0, 0, &pairs}};
static const rask_schema map = {RASK_ABI, 2, "map", map_fields};
static const rask_field nested_fields[] = {
    {"text", RASK_T_STRING, 1, 0, 0, NULL}, {"number", RASK_T_BIGINT, 0, 0, 0, NULL},
    {"map", RASK_T_MAP, 0, 0, 0, &map},     {"bytes", RASK_T_BYTES, 0, 0, 0, NULL},
    {"pair", RASK_T_ROW, 1, 0, 0, &pair},
};
static const rask_schema nested = {RASK_ABI, 5, "nested", nested_fields};

static int full(rask_out *out, void *arg)
{
    *(rask_batch **)arg = out_take(out);
    return 0;
}

static int whole(rask_out *out, void *arg, rask_batch **batch)
{
    (void)out;
    (void)arg;
    batch_unref(*batch);
    return 0;
}

static int refused(rask_out *out, void *arg, const char *text)
{
    (void)out;
    (void)arg;
    (void)text;
    return ERR_INVALID;
}

static void one(const rask_schema *schema, const uint8_t *data, size_t size)
{
    static const struct out_hooks hooks = {full, whole, refused};
    struct pool *pool = pool_new(0);
    uint8_t *exact = mem_dup(size ? data : (const uint8_t *)"", size ? size : 1);
    struct packed_layout layout;
    struct packed_row row, again;
    rask_batch *b = NULL;
    struct bytes packed;
    struct err err;

    packed_layout_of(schema, &layout);
    if (packed_row_open(&layout, exact, size, &row, &err) == 0) {
        rask_out *out = out_new(pool, schema, 0, &hooks, &b);

        out->rows_limit = 1;
        CHECK(packed_row_emit(&row, out) == 0);
        bytes_init(&packed);
        packed_row_add(&layout, b, 0, &packed);
        CHECK(packed_row_open(&layout, packed.data, packed.len, &again, &err) == 0);
        CHECK(packed_i64(&again, 1) == packed_i64(&row, 1));
        CHECK(packed_string(&again, 3).len == packed_string(&row, 3).len);
        bytes_release(&packed);
        batch_unref(b);
        out_free(out);
    }
    mem_free(exact);
    pool_free(pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    one(&plain, data, size);
    one(&nested, data, size);
    return 0;
}
