/* Schemas: text there and back, what is refused and with which words, protobuf. */
#include "common/types/schema_proto.h"
#include "test/unit/common/types/model.h"

static void text_goes_there_and_back(void **state)
{
    static const char *const texts[][2] = {
        {"word STRING NOT NULL, n BIGINT", NULL},
        {"a boolean, b tinyint,c SmallInt NOT NULL ,d INTEGER,e FLOAT, f DOUBLE , g dec, "
         "h NUMERIC(38,38) not  null",
         "a BOOLEAN, b TINYINT, c SMALLINT NOT NULL, d INT, e FLOAT, f DOUBLE, g DECIMAL(10, 0), "
         "h DECIMAL(38, 38) NOT NULL"},
        {"x BYTES, d DATE, t TIME, ts TIMESTAMP, u TIMESTAMP( 3 ) NULL, v DECIMAL(7)",
         "x BYTES, d DATE, t TIME, ts TIMESTAMP(3), u TIMESTAMP(3), v DECIMAL(7, 0)"},
        {"`a ``b, c` INT, `1` INT, type STRING", "`a ``b, c` INT, `1` INT, type STRING"},
        {"a ARRAY<INT>, b array < STRING not null > NOT NULL",
         "a ARRAY<INT>, b ARRAY<STRING NOT NULL> NOT NULL"},
        {"m MAP<STRING, ROW<x INT NOT NULL, `y z` ARRAY<MAP<INT NOT NULL, DATE NOT NULL>>>>",
         "m MAP<STRING NOT NULL, ROW<x INT NOT NULL, `y z` ARRAY<MAP<INT NOT NULL, DATE NOT NULL>>>>"},
    };
    struct arena arena;
    struct bytes out;
    struct err err;

    (void)state;
    arena_init(&arena);
    bytes_init(&out);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const rask_schema *s;

        assert_int_equal(schema_parse(&arena, "test", texts[i][0], &s, &err), 0);
        bytes_clear(&out);
        schema_format(s, &out);
        assert_string_equal((char *)out.data, texts[i][1] ? texts[i][1] : texts[i][0]);
    }
    bytes_release(&out);
    arena_release(&arena);
}

static void mistakes_are_named(void **state)
{
    static const char *const texts[][2] = {
        {"", "a column name was expected"},
        {"a INT,", "a column name was expected"},
        {"a", "column 'a': the type at '' is unknown; allowed are BOOLEAN, TINYINT"},
        {"a VARCHAR(3)", "column 'a': the type at 'VARCHAR(3)' is unknown"},
        {"a INT(3)", "column 'a': INT takes no parameters"},
        {"a INT NOT", "NULL was expected after NOT"},
        {"a INT b INT", "a ',' or the end was expected at 'b INT'"},
        {"a DECIMAL(39, 1)", "DECIMAL(39, 1): the precision is 1 to 38"},
        {"a DECIMAL(3, 4)", "the scale 0 to it"},
        {"a DECIMAL(3, 99999)", "a number was expected"},
        {"a DECIMAL(3, 1, 1)", "at most two parameters"},
        {"a DECIMAL(3", "a ')' was expected"},
        {"a TIMESTAMP(9)", "write TIMESTAMP(3)"},
        {"a ARRAY", "column 'a': ARRAY is written ARRAY<T>, with a '<' at ''"},
        {"a ARRAY(INT)", "column 'a': ARRAY is written ARRAY<T>, with a '<' at '(INT)'"},
        {"a ARRAY<INT, INT>", "column 'a': a '>' was expected at ', INT>'"},
        {"a MAP<INT>", "column 'a': a ',' and the type of values were expected at '>'"},
        {"a ROW<>", "a column name was expected at '>'"},
        {"a ROW<b INT, b INT>", "the column 'b' is there twice"},
        {"a ARRAY<INT", "a '>' was expected"},
        {"a INT, a STRING", "the column 'a' is there twice"},
        {"`a INT", "a closing ` is missing"},
        {"`` INT", "a column name was expected"},
    };
    struct arena arena;
    struct err err;

    (void)state;
    arena_init(&arena);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const rask_schema *s = NULL;

        assert_true(schema_parse(&arena, "test", texts[i][0], &s, &err) < 0);
        assert_null(s);
        if (!strstr(err.text, texts[i][1]))
            fail_msg("'%s' gave: %s", texts[i][0], err.text);
    }
    arena_release(&arena);
}

static void limits_hold(void **state)
{
    struct arena arena;
    struct bytes text;
    const rask_schema *s;
    struct err err;

    (void)state;
    arena_init(&arena);
    bytes_init(&text);
    for (int i = 0; i < 64; i++)
        bytes_printf(&text, "%sc%d INT", i ? "," : "", i);
    assert_int_equal(schema_parse(&arena, "wide", (char *)text.data, &s, &err), 0);
    assert_int_equal(s->columns, 64);
    bytes_add_str(&text, ", more INT");
    assert_int_equal(schema_parse(&arena, "wide", (char *)text.data, &s, &err), ERR_LIMIT);
    bytes_clear(&text);
    for (int i = 0; i < 300; i++)
        bytes_add_u8(&text, 'a');
    bytes_add_str(&text, " INT");
    assert_int_equal(schema_parse(&arena, "long", (char *)text.data, &s, &err), ERR_LIMIT);
    for (int i = 0; i < 70000; i++)
        bytes_add_u8(&text, ' ');
    assert_int_equal(schema_parse(&arena, "longer", (char *)text.data, &s, &err), ERR_LIMIT);
    for (int depth = 16; depth <= 17; depth++) {
        bytes_clear(&text);
        bytes_add_str(&text, "a ");
        for (int i = 0; i < depth; i++)
            bytes_add_str(&text, "ARRAY<");
        bytes_add_str(&text, "INT");
        for (int i = 0; i < depth; i++)
            bytes_add_u8(&text, '>');
        assert_int_equal(schema_parse(&arena, "deep", (char *)text.data, &s, &err),
                         depth == 16 ? 0 : ERR_LIMIT);
    }
    assert_string_equal(err.text,
                        "column 'a': ARRAY, MAP and ROW are nested deeper than 16 levels");
    bytes_release(&text);
    arena_release(&arena);
}

static void hand_made_schemas_are_checked(void **state)
{
    static const rask_field good = {"a", RASK_T_TIMESTAMP, 0, 0, 0, NULL};
    rask_field f[2] = {good, good};
    rask_schema s = {RASK_ABI, 1, "s", f};
    struct err err;

    (void)state;
    assert_int_equal(schema_validate(&s, "source 'x'", &err), 0);
    assert_int_equal(schema_validate(NULL, "source 'x'", &err), ERR_INVALID);
    s.columns = 2;
    assert_int_equal(schema_validate(&s, "source 'x'", &err), ERR_INVALID);
    assert_string_equal(err.text, "source 'x': the column 'a' is there twice");
    s.columns = 0;
    assert_int_equal(schema_validate(&s, "x", &err), ERR_INVALID);
    s.columns = 65;
    assert_int_equal(schema_validate(&s, "x", &err), ERR_INVALID);
    s.columns = 1;
    s.abi = 7;
    assert_int_equal(schema_validate(&s, "x", &err), ERR_VERSION);
    s.abi = RASK_ABI;
    f[0].type = 99;
    assert_int_equal(schema_validate(&s, "x", &err), ERR_INVALID);
    f[0].type = RASK_T_MAP;
    assert_int_equal(schema_validate(&s, "x", &err), ERR_INVALID);
    assert_string_equal(err.text, "x: column 'a': a MAP without the schema of what is in it");
    f[0].child = &s; /* inside itself */
    f[0].type = RASK_T_ROW;
    assert_int_equal(schema_validate(&s, "x", &err), ERR_LIMIT);
    assert_string_equal(err.text,
                        "x: column 'a': ARRAY, MAP and ROW are nested deeper than 16 levels");
    s.columns = 2;
    f[1] = f[0];
    f[1].name = "b";
    assert_int_equal(schema_validate(&s, "x", &err), ERR_LIMIT);
    f[1] = good;
    s.columns = 1;
    f[0].type = RASK_T_ARRAY;
    assert_int_equal(schema_validate(&s, "x", &err), ERR_INVALID);
    assert_string_equal(err.text, "x: column 'a': an ARRAY has the columns 'element', not others");
    f[0] = good;
    f[0].precision = 9;
    assert_int_equal(schema_validate(&s, "x", &err), ERR_UNSUPPORTED);
    f[0] = good;
    f[0].name = "";
    assert_int_equal(schema_validate(&s, "x", &err), ERR_INVALID);
}

static void equality_is_of_columns(void **state)
{
    struct arena arena;
    struct err err;
    const rask_schema *a, *b;

    (void)state;
    arena_init(&arena);
    assert_int_equal(schema_parse(&arena, "a", "x DECIMAL(12, 2), y STRING", &a, &err), 0);
    assert_true(schema_equal(a, a));
    assert_false(schema_equal(a, NULL));
    assert_int_equal(schema_parse(&arena, "b", "x DECIMAL(12, 2), y STRING", &b, &err), 0);
    assert_true(schema_equal(a, b));
    assert_true(schema_equal(a, schema_copy(&arena, a)));
    assert_int_equal(schema_parse(&arena, "b", "x DECIMAL(12, 1), y STRING", &b, &err), 0);
    assert_false(schema_equal(a, b));
    assert_int_equal(schema_parse(&arena, "b", "x DECIMAL(12, 2), y STRING NOT NULL", &b, &err), 0);
    assert_false(schema_equal(a, b));
    assert_int_equal(schema_parse(&arena, "b", "x DECIMAL(12, 2), z STRING", &b, &err), 0);
    assert_false(schema_equal(a, b));
    assert_int_equal(schema_column(b, "z"), 1);
    assert_int_equal(schema_column(b, "y"), -1);
    arena_release(&arena);
}

static void protobuf_goes_there_and_back(void **state)
{
    struct arena arena;
    struct err err;

    (void)state;
    arena_init(&arena);
    for (uint64_t seed = 1; seed < 200; seed++) {
        struct rng rng = {seed};
        const rask_schema *s = model_schema(&rng, &arena, 64), *got;
        Rask__Graph__Schema *m = schema_to_proto(&arena, s);

        assert_int_equal(schema_from_proto(&arena, m, &got, &err), 0);
        assert_true(schema_equal(s, got));
        assert_string_equal(got->name, "model");
    }
    arena_release(&arena);
}

static void bad_protobuf_is_refused(void **state)
{
    struct arena arena;
    struct rng rng = {1};
    const rask_schema *got;
    Rask__Graph__Schema *m;
    char type[] = "INTS";
    struct err err;

    (void)state;
    arena_init(&arena);
    m = schema_to_proto(&arena, model_schema(&rng, &arena, 3));
    m->fields[0]->type = type;
    assert_int_equal(schema_from_proto(&arena, m, &got, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "schema model: column 'c0': the type at 'INTS' is unknown"));
    m->n_fields = 0;
    assert_int_equal(schema_from_proto(&arena, m, &got, &err), ERR_INVALID);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_goes_there_and_back),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(hand_made_schemas_are_checked),
        cmocka_unit_test(equality_is_of_columns),
        cmocka_unit_test(protobuf_goes_there_and_back),
        cmocka_unit_test(bad_protobuf_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
