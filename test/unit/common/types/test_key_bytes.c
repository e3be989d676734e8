/* Key bytes and hashes. The golden bytes are frozen: state files and savepoints hold them. */
#include "common/base/hash.h"
#include "common/types/key_bytes.h"
#include "test/unit/common/types/model.h"

static void hex(const struct bytes *b, char *out, size_t size)
{
    assert_true(b->len * 2 < size);
    hash_hex(b->data, b->len, out);
}

static const rask_schema *schema_of(struct arena *arena, const char *text)
{
    const rask_schema *s;
    struct err err;

    assert_int_equal(schema_parse(arena, "golden", text, &s, &err), 0);
    return s;
}

/* The key bytes of the only row, over all columns. */
static void check_golden(struct pool *pool, rask_out *out, const char *expected)
{
    static const uint16_t all[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    rask_batch *b = out_take(out);
    struct bytes key;
    char text[400];
    uint64_t hash;

    (void)pool;
    bytes_init(&key);
    key_bytes_of(b, all, b->schema->columns, 0, &key);
    hex(&key, text, sizeof(text));
    assert_string_equal(text, expected);
    key_hash_batch(b, all, b->schema->columns, &hash);
    assert_int_equal(hash, hash_xxh3(key.data, key.len));
    bytes_release(&key);
    batch_unref(b);
}

static void golden_key_bytes(void **state)
{
    struct pool *pool = pool_new(0);
    struct model_sink sink = {.count = 0};
    struct arena arena;
    rask_out *out;

    (void)state;
    arena_init(&arena);
    out = out_new(
        pool,
        schema_of(&arena,
                  "a BOOLEAN NOT NULL, b TINYINT NOT NULL, c SMALLINT NOT NULL, d INT NOT NULL, "
                  "e BIGINT NOT NULL, f DATE NOT NULL, g TIME NOT NULL, h TIMESTAMP NOT NULL, "
                  "i DECIMAL(18, 2) NOT NULL, j DECIMAL(19, 2) NOT NULL, k STRING NOT NULL, "
                  "l BYTES NOT NULL"),
        0, &model_hooks, &sink);
    assert_int_equal(rask_out_begin(out, out->schema), 0);
    rask_out_bool(out, 0, true);
    rask_out_i8(out, 1, -2);
    rask_out_i16(out, 2, 258);
    rask_out_i32(out, 3, -1);
    rask_out_i64(out, 4, 1);
    rask_out_i32(out, 5, 20000);
    rask_out_i32(out, 6, 1);
    rask_out_i64(out, 7, 1700000000000);
    rask_out_i64(out, 8, -100);
    rask_out_dec128(out, 9, (rask_decimal128){2, -1});
    rask_out_string(out, 10, (rask_str){"word", 4});
    rask_out_string(out, 11, (rask_str){"more than twelve", 16});
    assert_int_equal(rask_out_end(out), 0);
    check_golden(pool, out,
                 "01"
                 "7e"
                 "8102"
                 "7fffffff"
                 "8000000000000001"
                 "80004e20"
                 "80000001"
                 "8000018bcfe56800"
                 "7fffffffffffff9c"
                 "7fffffffffffffff0000000000000002"
                 "00000004776f7264"
                 "000000106d6f7265207468616e207477656c7665");
    out_free(out);

    out = out_new(
        pool,
        schema_of(&arena,
                  "a FLOAT NOT NULL, b DOUBLE NOT NULL, c FLOAT NOT NULL, d DOUBLE NOT NULL, "
                  "e DOUBLE NOT NULL"),
        0, &model_hooks, &sink);
    assert_int_equal(rask_out_begin(out, out->schema), 0);
    rask_out_f32(out, 0, 1.5f);
    rask_out_f64(out, 1, -2.5);
    rask_out_f32(out, 2, -0.0f);
    rask_out_f64(out, 3, -__builtin_nan("0x77"));
    rask_out_f64(out, 4, -__builtin_inf());
    assert_int_equal(rask_out_end(out), 0);
    check_golden(pool, out,
                 "bfc00000"
                 "3ffbffffffffffff"
                 "80000000"
                 "fff8000000000000"
                 "000fffffffffffff");
    out_free(out);

    out = out_new(pool, schema_of(&arena, "a INT, b STRING, c BIGINT, d STRING"), 0, &model_hooks,
                  &sink);
    assert_int_equal(rask_out_begin(out, out->schema), 0);
    rask_out_null(out, 0);
    rask_out_string(out, 1, (rask_str){"", 0});
    rask_out_i64(out, 2, 0);
    rask_out_null(out, 3);
    assert_int_equal(rask_out_end(out), 0);
    check_golden(pool, out,
                 "00"
                 "0100000000"
                 "018000000000000000"
                 "00");
    out_free(out);
    arena_release(&arena);
    pool_check_empty(pool);
}

/* Column-wise hashes, fast paths included, are the hashes of the key bytes, for slices and
 * selections too. */
/* A run holds the key bytes of its rows, whatever their columns are. */
static void check_runs(const rask_batch *b, const uint16_t *columns, uint32_t n)
{
    struct key_run run;
    struct bytes key;

    bytes_init(&run.text);
    bytes_init(&key);
    for (uint32_t from = 0; from < b->rows; from += KEY_RUN_ROWS) {
        key_run_fill(&run, b, columns, n, from, MIN(b->rows - from, (uint32_t)KEY_RUN_ROWS));
        for (uint32_t i = 0; i < run.rows; i++) {
            uint8_t head[KEY_HEAD_BYTES] = {0};

            bytes_clear(&key);
            key_bytes_of(b, columns, n, rask_position(b, from + i), &key);
            assert_int_equal(run.len[i], key.len);
            memcpy(head, key.data, MIN(key.len, sizeof(head)));
            assert_memory_equal(run.head[i], head, sizeof(head));
            if (key.len > sizeof(head))
                assert_memory_equal(run.text.data + run.place[i], key.data, key.len);
        }
    }
    bytes_release(&run.text);
    bytes_release(&key);
}

static void hashes_are_of_key_bytes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng rng = {seed};
        struct pool *pool = pool_new(0);
        struct model_sink sink = {.count = 0};
        struct arena arena;
        const rask_schema *schema;
        rask_out *out;
        uint64_t hash[64];
        struct bytes key;

        arena_init(&arena);
        bytes_init(&key);
        schema = model_schema(&rng, &arena, 6);
        out = out_new(pool, schema, BATCH_KIND, &model_hooks, &sink);
        out->rows_limit = 64;
        for (int i = 0; i < 640; i++)
            model_put(out, model_row(&rng, &arena, schema));
        for (uint32_t i = 0; i < sink.count; i++) {
            uint16_t columns[2] = {(uint16_t)rng_below(&rng, schema->columns),
                                   (uint16_t)rng_below(&rng, schema->columns)};
            uint32_t n = 1 + rng_below(&rng, 2), from = rng_below(&rng, sink.batches[i]->rows);
            rask_batch *b = batch_slice(sink.batches[i], from, sink.batches[i]->rows - from);

            key_hash_batch(b, columns, n, hash);
            check_runs(b, columns, n);
            for (uint32_t r = 0; r < b->rows; r++) {
                bytes_clear(&key);
                key_bytes_of(b, columns, n, rask_position(b, r), &key);
                assert_int_equal(hash[r], hash_xxh3(key.data, key.len));
            }
            batch_unref(b);
            batch_unref(sink.batches[i]);
        }
        out_free(out);
        bytes_release(&key);
        arena_release(&arena);
        pool_check_empty(pool);
    }
}

static void golden_key_bytes_of_rows_inside_cells(void **state)
{
    struct pool *pool = pool_new(0);
    struct model_sink sink = {.count = 0};
    struct arena arena;
    rask_out *out, *row;

    (void)state;
    arena_init(&arena);
    out = out_new(pool,
                  schema_of(&arena, "a ARRAY<INT> NOT NULL, "
                                    "r ROW<t STRING NOT NULL, n ARRAY<TINYINT NOT NULL>>"),
                  0, &model_hooks, &sink);
    row = rask_out_nested(out, 1);
    assert_int_equal(rask_out_begin(out, out->schema), 0);
    assert_int_equal(rask_add_i64(rask_out_nested(out, 0), 1), 0);
    assert_int_equal(rask_add_null(rask_out_nested(out, 0)), 0);
    assert_int_equal(rask_out_begin(row, row->schema), 0);
    rask_out_string(row, 0, (rask_str){"ab", 2});
    assert_int_equal(rask_add_i64(rask_out_nested(row, 1), -1), 0);
    assert_int_equal(rask_out_end(row), 0);
    assert_int_equal(rask_out_end(out), 0);
    check_golden(pool, out,
                 "00000002"
                 "0180000001"
                 "00"
                 "01"
                 "00000002"
                 "6162"
                 "01"
                 "00000001"
                 "7f");
    out_free(out);
    arena_release(&arena);
    pool_check_empty(pool);
}

/* Bytes of signed numbers and floats order as the numbers do. */
static void key_bytes_keep_the_order(void **state)
{
    static const double numbers[] = {-1e300, -2.5, -1, -1e-300, 0, 1e-300, 1, 2.5, 1e300};
    struct pool *pool = pool_new(0);
    struct model_sink sink = {.count = 0};
    struct arena arena;
    struct bytes key[2];
    rask_out *out;
    rask_batch *b;

    (void)state;
    arena_init(&arena);
    out = out_new(pool, schema_of(&arena, "d DOUBLE NOT NULL, f FLOAT NOT NULL, i INT NOT NULL"), 0,
                  &model_hooks, &sink);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        assert_int_equal(rask_out_begin(out, out->schema), 0);
        rask_out_f64(out, 0, numbers[i]);
        rask_out_f32(out, 1, (float)i - 4.5f);
        rask_out_i32(out, 2, (int32_t)i - 4);
        assert_int_equal(rask_out_end(out), 0);
    }
    b = out_take(out);
    bytes_init(&key[0]);
    bytes_init(&key[1]);
    for (uint16_t c = 0; c < 3; c++)
        for (uint32_t i = 1; i < b->rows; i++) {
            bytes_clear(&key[0]);
            bytes_clear(&key[1]);
            key_bytes_of(b, &c, 1, i - 1, &key[0]);
            key_bytes_of(b, &c, 1, i, &key[1]);
            assert_true(memcmp(key[0].data, key[1].data, key[0].len) < 0);
        }
    bytes_release(&key[0]);
    bytes_release(&key[1]);
    batch_unref(b);
    out_free(out);
    arena_release(&arena);
    pool_check_empty(pool);
}

static void groups_are_ranges_of_the_hash(void **state)
{
    (void)state;
    assert_int_equal(key_group_of(0, 128), 0);
    assert_int_equal(key_group_of(UINT64_MAX, 128), 127);
    assert_int_equal(key_group_of(UINT64_C(1) << 63, 128), 64);
    for (uint32_t p = 1; p <= 300; p++) {
        uint32_t max = key_group_default_max(p), last = 0;

        for (uint32_t g = 0; g < max; g++) {
            uint32_t subtask = key_group_subtask(g, max, p);

            assert_true(subtask == last || subtask == last + 1);
            last = subtask;
        }
        assert_int_equal(last, p - 1);
    }
    assert_int_equal(key_group_default_max(1), 128);
    assert_int_equal(key_group_default_max(85), 128);
    assert_int_equal(key_group_default_max(86), 256);
    assert_int_equal(key_group_default_max(100000), 32768);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_key_bytes),
        cmocka_unit_test(golden_key_bytes_of_rows_inside_cells),
        cmocka_unit_test(hashes_are_of_key_bytes),
        cmocka_unit_test(key_bytes_keep_the_order),
        cmocka_unit_test(groups_are_ranges_of_the_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
