/* Schemas that follow each other over the same state, and rows that move along. */
#include "common/types/packed_row.h"
#include "test/unit/common/types/model.h"

static const rask_schema *schema_of(struct arena *arena, const char *text)
{
    const rask_schema *s;
    struct err err;

    assert_int_equal(schema_parse(arena, "state", text, &s, &err), 0);
    return s;
}

static void pairs_are_judged(void **state)
{
    enum { REFUSED = -1 };
    static const struct {
        const char *old, *now;
        int result;
        const char *text;
    } pairs[] = {
        {"a INT, b STRING", "a INT, b STRING", SCHEMA_SAME, NULL},
        {"a INT, b STRING", "b STRING, a INT", SCHEMA_MIGRATE, NULL},
        {"a INT", "a INT, b STRING", SCHEMA_MIGRATE, NULL},
        {"a INT", "a INT, b STRING NOT NULL, c ARRAY<INT> NOT NULL", SCHEMA_MIGRATE, NULL},
        {"a INT, b STRING", "a INT", SCHEMA_MIGRATE, NULL},
        {"a TINYINT", "a SMALLINT", SCHEMA_MIGRATE, NULL},
        {"a INT NOT NULL", "a BIGINT", SCHEMA_MIGRATE, NULL},
        {"a FLOAT", "a DOUBLE", SCHEMA_MIGRATE, NULL},
        {"a DECIMAL(10, 2)", "a DECIMAL(12, 4)", SCHEMA_MIGRATE, NULL},
        {"a ARRAY<INT>", "b INT, a ARRAY<INT>", SCHEMA_MIGRATE, NULL},
        {"a DECIMAL(10, 2)", "a DECIMAL(10, 4)", REFUSED, "was DECIMAL(10, 2) and is DECIMAL(10, 4) now"},
        {"a BIGINT", "a INT", REFUSED,
         "state 'x': column 'a' was BIGINT and is INT now; kept are (a BIGINT), declared are (a INT)"},
        {"a INT", "a INT NOT NULL", REFUSED, "was INT and is INT NOT NULL now"},
        {"a INT", "a DOUBLE", REFUSED, "was INT and is DOUBLE now"},
        {"a BOOLEAN", "a INT", REFUSED, "was BOOLEAN and is INT now"},
        {"a BIGINT", "a TIMESTAMP", REFUSED, "was BIGINT and is TIMESTAMP(3) now"},
        {"a ARRAY<INT>", "a ARRAY<BIGINT>", REFUSED, "was ARRAY<INT> and is ARRAY<BIGINT> now"},
        {"a ROW<x INT>", "a MAP<INT, INT>", REFUSED, "was ROW<x INT> and is MAP<INT NOT NULL, INT> now"},
        {"a INT", "a INT, b ROW<x INT> NOT NULL", REFUSED,
         "column 'b' is new, and no value of it is known: ROW<x INT> NOT NULL now"},
    };
    struct arena arena;

    (void)state;
    arena_init(&arena);
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        enum schema_change change = SCHEMA_SAME;
        struct err err = {0};
        int rc = schema_compatible(schema_of(&arena, pairs[i].old), schema_of(&arena, pairs[i].now),
                                   "state 'x'", &change, &err);

        if ((rc == 0 ? (int)change : REFUSED) != pairs[i].result)
            fail_msg("(%s) to (%s): %d %d %s", pairs[i].old, pairs[i].now, rc, (int)change, err.text);
        if (rc && !strstr(err.text, pairs[i].text))
            fail_msg("(%s) to (%s): %s", pairs[i].old, pairs[i].now, err.text);
    }
    arena_release(&arena);
}

/* The row, migrated and emitted under the new schema, as text. */
static void check_migrated(const char *old, const char *now, void (*fill)(rask_out *out),
                           const char *expected)
{
    struct pool *pool = pool_new(0);
    struct model_sink sink = {.count = 0};
    struct packed_migration m;
    struct packed_row row;
    struct arena arena;
    struct bytes kept, moved, text;
    const rask_schema *from, *to;
    struct err err;
    rask_out *out;
    rask_batch *b;

    arena_init(&arena);
    bytes_init(&kept);
    bytes_init(&moved);
    bytes_init(&text);
    from = schema_of(&arena, old);
    to = schema_of(&arena, now);
    packed_migration_of(from, to, &m);
    out = out_new(pool, from, 0, &model_hooks, &sink);
    assert_int_equal(rask_out_begin(out, from), 0);
    fill(out);
    assert_int_equal(rask_out_end(out), 0);
    b = out_take(out);
    out_free(out);
    packed_row_add(&m.from, b, 0, &kept);
    batch_unref(b);
    assert_int_equal(packed_row_migrate(&m, kept.data, kept.len, &moved, &err), 0);
    assert_int_equal(packed_row_open(&m.to, moved.data, moved.len, &row, &err), 0);
    out = out_new(pool, to, 0, &model_hooks, &sink);
    assert_int_equal(packed_row_emit(&row, out), 0);
    b = out_take(out);
    out_free(out);
    batch_format_row(b, 0, 1000, &text);
    assert_string_equal((char *)text.data, expected);
    batch_unref(b);
    assert_int_equal(packed_row_migrate(&m, kept.data, 5, &moved, &err), ERR_CORRUPT);
    bytes_release(&kept);
    bytes_release(&moved);
    bytes_release(&text);
    arena_release(&arena);
    pool_check_empty(pool);
}

static void fill_numbers(rask_out *out)
{
    rask_out_i8(out, 0, -7);
    rask_out_i32(out, 1, -70000);
    rask_out_f32(out, 2, 1.5f);
    rask_out_i64(out, 3, -105);
    rask_out_string(out, 4, (rask_str){"a text of some length", 21});
}

static void fill_nested(rask_out *out)
{
    assert_int_equal(rask_add_i64(rask_out_nested(out, 0), 5), 0);
    assert_int_equal(rask_add_i64(rask_out_nested(out, 0), 6), 0);
    rask_out_null(out, 1);
}

static void rows_move_along(void **state)
{
    (void)state;
    check_migrated("a TINYINT NOT NULL, b INT, c FLOAT, d DECIMAL(5, 2), e STRING",
                   "e STRING, new STRING NOT NULL, a BIGINT, d DECIMAL(30, 4), c DOUBLE, b BIGINT, "
                   "more INT NOT NULL, null INT",
                   fill_numbers,
                   "{e=\"a text of some length\", new=\"\", a=-7, d=-1.0500, c=1.5, b=-70000, more=0, "
                   "null=NULL}");
    check_migrated("a ARRAY<INT NOT NULL> NOT NULL, b MAP<INT, INT>",
                   "b MAP<INT, INT>, m MAP<STRING, INT> NOT NULL, a ARRAY<INT NOT NULL>", fill_nested,
                   "{b=NULL, m={}, a=[5, 6]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_judged),
        cmocka_unit_test(rows_move_along),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
