/* Packed rows: golden bytes (frozen), round trips, damage. */
#include "common/base/hash.h"
#include "common/types/packed_row.h"
#include "test/unit/common/types/model.h"

static void golden_packed_row(void **state)
{
    struct pool *pool = pool_new(0);
    struct model_sink sink = {.count = 0};
    struct packed_layout layout;
    struct packed_row row;
    struct arena arena;
    const rask_schema *schema;
    struct bytes packed;
    struct err err;
    char text[400];
    rask_out *out;
    rask_batch *b;
    int32_t i32;

    (void)state;
    arena_init(&arena);
    bytes_init(&packed);
    assert_int_equal(schema_parse(&arena, "golden",
                                  "a BIGINT NOT NULL, b STRING, c INT, d DECIMAL(20, 1) NOT NULL, "
                                  "e BOOLEAN NOT NULL, f BYTES NOT NULL, g TINYINT NOT NULL",
                                  &schema, &err),
                     0);
    packed_layout_of(schema, &layout);
    assert_int_equal(layout.fixed_bytes, 8 + 8 * 8);
    out = out_new(pool, schema, 0, &model_hooks, &sink);
    assert_int_equal(rask_out_begin(out, schema), 0);
    rask_out_i64(out, 0, -2);
    rask_out_string(out, 1, (rask_str){"abc", 3});
    rask_out_null(out, 2);
    rask_out_dec128(out, 3, (rask_decimal128){1, 2});
    rask_out_bool(out, 4, true);
    rask_out_string(out, 5, (rask_str){"0123456789abcdef", 16});
    rask_out_i8(out, 6, -1);
    assert_int_equal(rask_out_end(out), 0);
    b = out_take(out);
    bytes_add_str(&packed, "before");
    packed_row_add(&layout, b, 0, &packed);
    hash_hex(packed.data + 6, packed.len - 6, text);
    assert_string_equal(text, "0400000000000000"
                              "feffffffffffffff"
                              "4800000003000000"
                              "0000000000000000"
                              "01000000000000000200000000000000"
                              "0100000000000000"
                              "4b00000010000000"
                              "ff00000000000000"
                              "616263"
                              "30313233343536373839616263646566");
    assert_int_equal(packed_row_open(&layout, packed.data + 6, packed.len - 6, &row, &err), 0);
    assert_int_equal(packed_i64(&row, 0), -2);
    assert_int_equal(packed_string(&row, 1).len, 3);
    assert_memory_equal(packed_string(&row, 5).data, "0123456789abcdef", 16);
    assert_true(packed_is_null(&row, 2));
    assert_false(packed_is_null(&row, 1));
    packed_get(&row, 2, &i32, 4);
    assert_int_equal(i32, 0);
    batch_unref(b);
    out_free(out);
    bytes_release(&packed);
    arena_release(&arena);
    pool_check_empty(pool);
}

static void put_nested(rask_out *out)
{
    rask_out *a = rask_out_nested(out, 1), *m = rask_out_nested(out, 2), *row;

    assert_int_equal(rask_out_begin(out, out->schema), 0);
    rask_out_i32(out, 0, 5);
    assert_int_equal(rask_add_string(a, (rask_str){"xy", 2}), 0);
    assert_int_equal(rask_add_null(a), 0);
    assert_int_equal(rask_add_string(a, (rask_str){"z", 1}), 0);
    assert_int_equal(rask_out_begin(m, m->schema), 0);
    rask_out_i32(m, 0, 7);
    row = rask_out_nested(m, 1);
    assert_int_equal(rask_out_begin(row, row->schema), 0);
    rask_out_i8(row, 0, 1);
    rask_out_null(row, 1);
    assert_int_equal(rask_out_end(row), 0);
    assert_int_equal(rask_out_end(m), 0);
    assert_int_equal(rask_out_begin(m, m->schema), 0);
    rask_out_i32(m, 0, 8);
    rask_out_null(m, 1);
    assert_int_equal(rask_out_end(m), 0);
    rask_out_null(out, 3);
    assert_int_equal(rask_out_end(out), 0);
}

static void golden_rows_inside_a_row(void **state)
{
    struct pool *pool = pool_new(0);
    struct model_sink sink = {.count = 0};
    struct packed_layout layout;
    struct packed_row row;
    struct arena arena;
    const rask_schema *schema;
    struct bytes packed;
    struct err err;
    char text[400];
    rask_out *out;
    rask_batch *b;

    (void)state;
    arena_init(&arena);
    bytes_init(&packed);
    assert_int_equal(schema_parse(&arena, "golden",
                                  "id INT NOT NULL, a ARRAY<STRING> NOT NULL, "
                                  "m MAP<INT, ROW<x TINYINT NOT NULL, y STRING>>, n ARRAY<INT>",
                                  &schema, &err),
                     0);
    packed_layout_of(schema, &layout);
    out = out_new(pool, schema, 0, &model_hooks, &sink);
    put_nested(out);
    b = out_take(out);
    packed_row_add(&layout, b, 0, &packed);
    hash_hex(packed.data, packed.len, text);
    assert_string_equal(text, "0800000000000000" /* n is null */
                              "0500000000000000"
                              "280000002b000000"
                              "5300000040000000"
                              "0000000000000000"
                              "0300000000000000" /* a: 3 elements, the second null */
                              "0200000000000000"
                              "2800000002000000"
                              "0000000000000000"
                              "2a00000001000000"
                              "78797a"
                              "0200000000000000" /* m: 2 entries, the second value null */
                              "0700000008000000"
                              "0200000000000000"
                              "2800000018000000"
                              "0000000000000000"
                              "0200000000000000" /* (1, null) */
                              "0100000000000000"
                              "0000000000000000");
    assert_int_equal(packed_row_open(&layout, packed.data, packed.len, &row, &err), 0);
    assert_int_equal(packed_row_emit(&row, out), 0);
    batch_unref(b);
    b = out_take(out);
    bytes_clear(&packed);
    batch_format_row(b, 0, 200, &packed);
    assert_string_equal((char *)packed.data, "{id=5, a=[xy, null, z], m={7=(1,null), 8=null}, n=NULL}");
    batch_unref(b);
    out_free(out);
    bytes_release(&packed);
    arena_release(&arena);
    pool_check_empty(pool);
}

static void rows_come_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rng rng = {seed};
        struct pool *pool = pool_new(0);
        struct model_sink sink = {.count = 0}, again_sink = {.count = 0};
        struct packed_layout layout;
        struct mrow *rows[100];
        struct arena arena;
        struct bytes packed;
        rask_out *out, *again;
        const rask_schema *schema;
        struct err err;
        uint32_t done = 0;

        arena_init(&arena);
        bytes_init(&packed);
        schema = model_schema(&rng, &arena, seed % 8 ? 8 : 64);
        packed_layout_of(schema, &layout);
        out = out_new(pool, schema, 0, &model_hooks, &sink);
        again = out_new(pool, schema, 0, &model_hooks, &again_sink);
        out->string_limit = again->string_limit = UINT64_MAX;
        for (uint32_t i = 0; i < 100; i++) {
            rows[i] = model_row(&rng, &arena, schema);
            rows[i]->kind = RASK_INSERT;
            model_put(out, rows[i]);
        }
        model_full(out, &sink);
        for (; done < 100; done++) {
            struct packed_row row;

            bytes_clear(&packed);
            packed_row_add(&layout, sink.batches[0], done, &packed);
            assert_int_equal(packed_row_open(&layout, packed.data, packed.len, &row, &err), 0);
            assert_int_equal(packed_row_emit(&row, again), 0);
        }
        model_full(again, &again_sink);
        model_check(&(struct mbatch){again_sink.batches[0], rows});
        assert_int_equal(again_sink.batches[0]->rows, 100);
        batch_unref(sink.batches[0]);
        batch_unref(again_sink.batches[0]);
        out_free(out);
        out_free(again);
        bytes_release(&packed);
        arena_release(&arena);
        pool_check_empty(pool);
    }
}

static void open_damaged(const struct packed_layout *layout, rask_out *out, const uint8_t *data,
                         size_t len)
{
    uint8_t *exact = mem_dup(data, len ? len : 1); /* AddressSanitizer sees one byte too many */
    struct packed_row row;
    struct err err = {0};

    if (packed_row_open(layout, exact, len, &row, &err) == 0) {
        (void)packed_row_emit(&row, out);
        batch_unref(out_take(out));
    } else {
        assert_true(err.text[0] != 0);
    }
    mem_free(exact);
}

static void damaged_rows_are_refused_or_harmless(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct rng rng = {seed};
        struct pool *pool = pool_new(0);
        struct model_sink sink = {.count = 0};
        struct packed_layout layout;
        struct arena arena;
        struct bytes packed;
        rask_out *out;
        rask_batch *b;
        const rask_schema *schema;
        struct mrow *row;

        arena_init(&arena);
        bytes_init(&packed);
        schema = model_schema(&rng, &arena, 8);
        packed_layout_of(schema, &layout);
        out = out_new(pool, schema, BATCH_KIND, &model_hooks, &sink);
        out->string_limit = UINT64_MAX;
        row = model_row(&rng, &arena, schema);
        for (uint32_t c = 0; c < schema->columns; c++)
            row->cells[c].text.len = MIN(row->cells[c].text.len, 70u);
        model_put(out, row);
        b = out_take(out);
        packed_row_add(&layout, b, 0, &packed);
        for (size_t i = 0; i < packed.len; i++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                packed.data[i] ^= (uint8_t)(1u << bit);
                open_damaged(&layout, out, packed.data, packed.len);
                packed.data[i] ^= (uint8_t)(1u << bit);
            }
            open_damaged(&layout, out, packed.data, i);
        }
        batch_unref(b);
        out_free(out);
        bytes_release(&packed);
        arena_release(&arena);
        pool_check_empty(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_packed_row),
        cmocka_unit_test(golden_rows_inside_a_row),
        cmocka_unit_test(rows_come_back),
        cmocka_unit_test(damaged_rows_are_refused_or_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
