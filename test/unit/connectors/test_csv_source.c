/* Rows of csv files: quoting against a naive parser, every type, what happens to rows that are wrong. */
#include "test/unit/connectors/harness.h"

static const rask_field text_pair_fields[] = {{"a", RASK_T_STRING, 0, 0, 0, NULL}, {"b", RASK_T_STRING, 0, 0, 0, NULL}};
static const rask_schema text_pair = {RASK_ABI, 2, "text_pair", text_pair_fields};
static const rask_field pair_fields[] = {{"word", RASK_T_STRING, 1, 0, 0, NULL}, {"n", RASK_T_INT, 0, 0, 0, NULL}};
static const rask_schema pair = {RASK_ABI, 2, "pair", pair_fields};

static struct harness *csv_new(void **state, const rask_schema *schema, const char *text, size_t len, const char *bad_rows)
{
    char *path = in_folder(state, "in.csv");
    struct harness *h = h_new("csv", schema);

    file_put(path, text, len);
    h_property(h, "path", path);
    h_property(h, "bad_rows", bad_rows);
    return h;
}

static void check_csv(void **state, const rask_schema *schema, const char *text, const char *rows)
{
    struct harness *h = csv_new(state, schema, text, strlen(text), "fail");

    assert_int_equal(h_read(h), 0);
    assert_rows(h, rows);
    h_free(h);
}

static void quoting(void **state)
{
    check_csv(state, &text_pair, "a,b\n", "a,b\n");
    check_csv(state, &text_pair, "a,b\r\nc,d", "a,b\nc,d\n");
    check_csv(state, &text_pair, "\"a,\"\"x\"\"\r\n\ny\",\"\"\r\n", "\"a,\"\"x\"\"\r\n\ny\",\n");
    check_csv(state, &text_pair, "it's 5\" wide,\n\n , \n", "\"it's 5\"\" wide\",\n , \n");
    check_csv(state, &text_pair, "\xef\xbb\xbf\"a\",b\n", "a,b\n");
    check_csv(state, &text_pair, "\"\"\"\",\"\"\"\"\"\"\n", "\"\"\"\",\"\"\"\"\"\"\n");
    check_csv(state, &text_pair, "", "");
    check_csv(state, &rask_text_schema, "\nx\n", "\nx\n");
}

static void options(void **state)
{
    const char *text = "word;n\n'a;''b''';1\nNULL;2\n;3\n'NULL';4\n";
    struct harness *h = csv_new(state, &pair, text, strlen(text), "fail");

    h_property(h, "delimiter", ";");
    h_property(h, "quote", "'");
    h_property(h, "header", "true");
    h_property(h, "null_text", "NULL");
    assert_int_equal(h_read(h), 0);
    assert_rows(h, "a;'b',1\n,2\n\"\",3\nNULL,4\n");
    h_free(h);
}

static void nulls(void **state)
{
    check_csv(state, &pair, "a,1\n,2\n\"\",3\n", "a,1\n,2\n\"\",3\n");
}

static void check_limit(const struct h_line *line, const char *text, size_t len, void **state)
{
    struct harness *h = csv_new(state, &rask_text_schema, text, len, "skip");

    pool_set_row_max(h->pool, line->most);
    h_check_line(h, line, h_read(h), "is longer than rask.max-row-size");
    h_free(h);
}

static void the_limit_is_exact(void **state)
{
    h_each_line(check_limit, state);
}

/* Elements of an ARRAY and columns of a ROW stand in one field. */
static void rows_inside_a_field(void **state)
{
    static const char text[] = "1;2;3,a;7,x;;y\n,b;-1,\n\"\", c d ;0,\"x,\"\"\"\n";
    static const char *const wrong[][2] = {
        {"1;z,a;1,x\n", "column 'n': \"1;z\" is not a whole number from -2147483648 to 2147483647 (in element 2; "
                        "';' stands between elements)"},
        {"1,a,x\n", "column 'r': \"a\" is not a row of 2 columns with ';' between them"},
        {"1,a;1;1,x\n", "column 'r': \"a;1;1\" is not a row of 2 columns"},
    };
    struct arena arena;
    const rask_schema *schema;
    struct err err;

    arena_init(&arena);
    assert_int_equal(schema_parse(&arena, "nested",
                                  "n ARRAY<INT>, r ROW<t STRING NOT NULL, i INT NOT NULL> NOT NULL, "
                                  "s ARRAY<STRING NOT NULL> NOT NULL",
                                  &schema, &err),
                     0);
    check_csv(state, schema, text, "1;2;3,a;7,x;;y\n,b;-1,\n\"\", c d ;0,\"x,\"\"\"\n");
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct harness *h = csv_new(state, schema, wrong[i][0], strlen(wrong[i][0]), "fail");

        assert_true(h_read(h) < 0);
        assert_contains(h->ctx.error.text, wrong[i][1]);
        h_free(h);
    }
    {
        static const char some[] = "1;z,a;1,x\n5,c;2,\n1,a;1;1,x\n6,d;3,y;z\n";
        struct harness *h = csv_new(state, schema, some, sizeof(some) - 1, "skip");

        assert_int_equal(h_read(h), 0);
        assert_rows(h, "5,c;2,\n6,d;3,y;z\n"); /* nothing of the skipped rows */
        h_free(h);
    }
    arena_release(&arena);
}

/* ---- types ---- */

static void check_type(void **state, rask_field field, const char *value, const char *expected)
{
    rask_schema schema = {RASK_ABI, 1, "one", &field};
    char text[600], rows[600];
    struct harness *h;

    snprintf(text, sizeof(text), "%s\n", value);
    h = csv_new(state, &schema, text, strlen(text), "fail");
    if (expected[0] == '!') {
        if (h_read(h) >= 0)
            fail_msg("%s was accepted", value);
        assert_contains(h->ctx.error.text, "in.csv");
        assert_contains(h->ctx.error.text, ", line 1: column 'x': ");
        assert_contains(h->ctx.error.text, expected + 1);
    } else {
        snprintf(rows, sizeof(rows), "%s\n", expected);
        if (h_read(h) != 0)
            fail_msg("%s: %s", value, h->ctx.error.text);
        assert_rows(h, rows);
    }
    h_free(h);
}

#define FIELD(T, ...) ((rask_field){.name = "x", .type = RASK_T_##T, ##__VA_ARGS__})

static void numbers(void **state)
{
    check_type(state, FIELD(TINYINT), "-128", "-128");
    check_type(state, FIELD(TINYINT), "128", "!\"128\" is not a whole number from -128 to 127");
    check_type(state, FIELD(SMALLINT), " 32767 ", "32767");
    check_type(state, FIELD(INT), "+7", "7");
    check_type(state, FIELD(INT), "7.0", "!\"7.0\" is not a whole number");
    check_type(state, FIELD(INT), "", "!\"\" is not a whole number from -2147483648 to 2147483647, and the column is NOT NULL");
    check_type(state, FIELD(INT, .nullable = 1), "", "");
    check_type(state, FIELD(BIGINT), "-9223372036854775808", "-9223372036854775808");
    check_type(state, FIELD(BIGINT), "9223372036854775808", "!is not a whole number");
    check_type(state, FIELD(BIGINT), "-", "!is not a whole number");
    check_type(state, FIELD(DOUBLE), "0.1", "0.1");
    check_type(state, FIELD(DOUBLE), "-1.5e300", "-1.5e+300");
    check_type(state, FIELD(DOUBLE), "123456789012345.678", "123456789012345.67");
    check_type(state, FIELD(DOUBLE), "1e999", "!within the range of DOUBLE");
    check_type(state, FIELD(DOUBLE), "0x10", "!within the range of DOUBLE");
    check_type(state, FIELD(DOUBLE), "-Infinity", "-Infinity");
    check_type(state, FIELD(DOUBLE), "NaN", "NaN");
    check_type(state, FIELD(FLOAT), "0.1", "0.1");
    check_type(state, FIELD(FLOAT), "1e39", "!within the range of FLOAT");
    check_type(state, FIELD(BOOLEAN), "TRUE", "true");
    check_type(state, FIELD(BOOLEAN), "0", "false");
    check_type(state, FIELD(BOOLEAN), "yes", "!\"yes\" is not true, false, 1 or 0");
}

static void decimals(void **state)
{
    rask_field small = FIELD(DECIMAL, .precision = 5, .scale = 2), large = FIELD(DECIMAL, .precision = 38, .scale = 3);

    check_type(state, small, "-1.5", "-1.50");
    check_type(state, small, "999.99", "999.99");
    check_type(state, small, "1000", "!at most 3 digits before and 2 behind the point");
    check_type(state, small, "1.234", "!is not a decimal number");
    check_type(state, small, "1.2300", "1.23");
    check_type(state, small, ".5", "0.50");
    check_type(state, small, ".", "!is not a decimal number");
    check_type(state, small, "1e2", "!is not a decimal number");
    check_type(state, large, "-99999999999999999999999999999999999.999", "-99999999999999999999999999999999999.999");
    check_type(state, large, "100000000000000000000000000000000000", "!at most 35 digits before");
    check_type(state, large, "999999999999999999999999999999999999999999999999", "!at most 35 digits before");
}

static void times(void **state)
{
    check_type(state, FIELD(DATE), "2024-02-29", "2024-02-29");
    check_type(state, FIELD(DATE), "0001-01-01", "0001-01-01");
    check_type(state, FIELD(DATE), "2023-02-29", "!\"2023-02-29\" is not a date: yyyy-mm-dd");
    check_type(state, FIELD(DATE), "1900-02-29", "!is not a date");
    check_type(state, FIELD(DATE), "2024-1-1", "!is not a date");
    check_type(state, FIELD(TIME), "23:59", "23:59:00");
    check_type(state, FIELD(TIME), "01:02:03.5", "01:02:03.500");
    check_type(state, FIELD(TIME), "24:00:00", "!is not a time: hh:mm:ss");
    check_type(state, FIELD(TIME), "12:00.5", "!is not a time: hh:mm:ss");
    check_type(state, FIELD(TIMESTAMP, .precision = 3), "1969-12-31T23:59:59.999Z", "1969-12-31 23:59:59.999");
    check_type(state, FIELD(TIMESTAMP, .precision = 3), "2026-01-31 12:00:00", "2026-01-31 12:00:00.000");
    check_type(state, FIELD(TIMESTAMP, .precision = 3), "2026-01-31 12:00:00.123000", "2026-01-31 12:00:00.123");
    check_type(state, FIELD(TIMESTAMP, .precision = 3), "2026-01-31 12:00:00.1234", "!is not a time in UTC");
    check_type(state, FIELD(TIMESTAMP, .precision = 3), "2026-01-31", "!is not a time in UTC");
}

static void byte_strings(void **state)
{
    check_type(state, FIELD(BYTES), "00fFa0", "00ffa0");
    check_type(state, FIELD(BYTES), "", "");
    check_type(state, FIELD(BYTES), "abc", "!is not an even number of hexadecimal digits");
    check_type(state, FIELD(BYTES), "zz", "!is not an even number of hexadecimal digits");
}

/* ---- rows that are wrong ---- */

static const char wrong[] = "a,1\nb\nc,x\n\"d,4\ne,5\n\"f\"g,6\nh,7\n";

static void wrong_rows_fail(void **state)
{
    struct harness *h = csv_new(state, &pair, wrong, sizeof(wrong) - 1, "fail");
    char host[256];

    gethostname(host, sizeof(host));
    assert_true(h_read(h) < 0);
    assert_contains(h->ctx.error.text, "in.csv on host ");
    assert_contains(h->ctx.error.text, host);
    assert_contains(h->ctx.error.text, ", line 2: 1 fields where 2 are expected, in \"b\"");
    h_free(h);
}

static void wrong_rows_are_skipped(void **state)
{
    struct harness *h = csv_new(state, &pair, wrong, sizeof(wrong) - 1, "skip");

    assert_int_equal(h_read(h), 0);
    assert_rows(h, "a,1\ne,5\nh,7\n");
    assert_int_equal(h->counter.value, 4);
    assert_int_equal(h->logs, 4);
    assert_contains(h->last_log, "in.csv, line 6: there is text behind a closing quote, in \"\"f\"g,6\"");
    h_free(h);
}

static void wrong_rows_go_to_the_side(void **state)
{
    struct harness *h = csv_new(state, &pair, wrong, sizeof(wrong) - 1, "side");
    const char *side;

    assert_int_equal(h_read(h), 0);
    assert_rows(h, "a,1\ne,5\nh,7\n");
    side = (const char *)h->side_text.data;
    assert_contains(side, "in.csv,2,b,\"1 fields where 2 are expected");
    assert_contains(side, "in.csv,3,\"c,x\"");
    assert_contains(side, "column 'n': \"\"x\"\" is not a whole number from -2147483648 to 2147483647");
    assert_contains(side, "in.csv,4,\"\"\"d,4\",");
    assert_contains(side, "in.csv,6,");
    assert_int_equal(h->counter.value, 4);
    h_free(h);
}

static void open_quote_at_the_end(void **state)
{
    const char *text = "a,1\n\"b,2\nc,3\n";
    struct harness *h = csv_new(state, &pair, text, strlen(text), "skip");

    assert_int_equal(h_read(h), 0);
    assert_rows(h, "a,1\nc,3\n");
    assert_contains(h->last_log, "line 2: a quote is not closed, in \"\"b,2\"");
    h_free(h);
}

/* ---- against a naive parser ---- */

static uint32_t rng(uint64_t *state, uint32_t below)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % below);
}

/* One field at *at; false: broken quoting. */
static bool naive_field(const char *s, size_t len, size_t *at, struct bytes *out)
{
    bytes_clear(out);
    bytes_add_str(out, "");
    if (*at < len && s[*at] == '"') {
        for (++*at;; ++*at) {
            if (*at == len)
                return false;
            if (s[*at] == '"' && (*at + 1 == len || s[*at + 1] != '"'))
                break;
            *at += s[*at] == '"';
            bytes_add_u8(out, (uint8_t)s[*at]);
        }
        ++*at;
        return *at == len || s[*at] == ',' || s[*at] == '\n' || (s[*at] == '\r' && *at + 1 < len && s[*at + 1] == '\n');
    }
    while (*at < len && s[*at] != ',' && s[*at] != '\n')
        bytes_add_u8(out, (uint8_t)s[(*at)++]);
    if (*at < len && s[*at] == '\n' && out->len > 0 && out->data[out->len - 1] == '\r') {
        out->len--;
        --*at;
    }
    return true;
}

static bool naive_record(const char *s, size_t len, size_t *at, struct bytes field[2], uint32_t *ret_fields)
{
    struct bytes extra = {0};
    bool ok = true;

    for (*ret_fields = 0; ok;) {
        ok = naive_field(s, len, at, *ret_fields < 2 ? &field[*ret_fields] : &extra);
        ++*ret_fields;
        if (*at == len || s[*at] != ',')
            break;
        ++*at;
    }
    bytes_release(&extra);
    if (ok && *at < len && s[*at] == '\r')
        ++*at;
    if (ok && *at < len)
        ++*at;
    return ok;
}

static void add_pair(struct bytes *out, rask_str a, rask_str b)
{
    bytes_add_u32(out, a.len);
    bytes_add(out, a.data, a.len);
    bytes_add_u32(out, b.len);
    bytes_add(out, b.data, b.len);
}

static rask_str str_of(const struct bytes *b)
{
    return (rask_str){(const char *)b->data, (uint32_t)b->len};
}

static int64_t naive(const char *s, size_t len, struct bytes *rows)
{
    struct bytes field[2] = {{0}, {0}};
    int64_t bad = 0;

    for (size_t at = 0; at < len;) {
        size_t begin = at;
        uint32_t fields;

        if (!naive_record(s, len, &at, field, &fields)) {
            const char *nl = memchr(s + begin, '\n', len - begin);

            at = nl ? (size_t)(nl - s) + 1 : len;
            bad++;
        } else if (s[begin] == '\n' || (at == begin + 2 && s[begin] == '\r' && s[begin + 1] == '\n')) {
            continue;
        } else if (fields != 2) {
            bad++;
        } else {
            add_pair(rows, str_of(&field[0]), str_of(&field[1]));
        }
    }
    bytes_release(&field[0]);
    bytes_release(&field[1]);
    return bad;
}

static void rows_bytes(const struct harness *h, struct bytes *out)
{
    for (uint32_t i = 0; i < h->batch_count; i++)
        for (uint32_t r = 0; r < h->batches[i]->rows; r++) {
            rask_row row = rask_batch_row(h->batches[i], r);

            add_pair(out, rask_string(&row, 0), rask_string(&row, 1));
        }
}

static void same_as_a_naive_parser(void **state)
{
    static const char alphabet[] = ",,,\"\"\"\n\n\r\nabcdefghijklmnopq \0\xff";
    uint64_t seed = 3;

    for (uint32_t round = 0; round < 400; round++) {
        uint32_t len = rng(&seed, round % 40 == 0 ? 700000 : 200), plain = rng(&seed, 100);
        char *text = mem_alloc(len + 1);
        struct bytes expected = {0}, got = {0};
        struct harness *h;
        int64_t bad;

        for (uint32_t i = 0; i < len; i++)
            text[i] = rng(&seed, 100) < plain ? 'x' : alphabet[rng(&seed, sizeof(alphabet) - 1)];
        bad = naive(text, len, &expected);
        h = csv_new(state, &text_pair, text, len, "skip");
        assert_int_equal(h_read(h), 0);
        rows_bytes(h, &got);
        assert_int_equal(h->counter.value, bad);
        assert_int_equal(got.len, expected.len);
        if (got.len)
            assert_memory_equal(got.data, expected.data, got.len);
        h_free(h);
        bytes_release(&expected);
        bytes_release(&got);
        mem_free(text);
    }
}

/* What the csv sink writes, the csv source reads back. */
static void written_rows_come_back(void **state)
{
    static const char alphabet[] = ",\"\n\rab";
    struct harness *h = h_new("csv", &pair), *back;
    char *path = in_folder(state, "out.csv");
    struct bytes written = {0}, read = {0};
    uint64_t seed = 11;

    for (int32_t i = 0; i < 20000; i++) {
        char word[20];
        uint32_t len = rng(&seed, sizeof(word));

        for (uint32_t k = 0; k < len; k++)
            word[k] = alphabet[rng(&seed, sizeof(alphabet) - 1)];
        assert_int_equal(rask_out_begin(h->ctx.out, &pair), 0);
        if (rng(&seed, 10) == 0)
            rask_out_null(h->ctx.out, 0);
        else
            rask_out_string(h->ctx.out, 0, (rask_str){word, len});
        rask_out_i32(h->ctx.out, 1, i);
        assert_int_equal(rask_out_end(h->ctx.out), 0);
    }
    h_full(h->ctx.out, h);
    h_property(h, "path", path);
    assert_int_equal(h_write(h, h->batches, h->batch_count), 0);
    back = h_new("csv", &pair);
    h_property(back, "path", path);
    assert_int_equal(h_read(back), 0);
    h_rows_text(h, &written);
    h_rows_text(back, &read);
    assert_int_equal(back->rows, 20000);
    assert_int_equal(written.len, read.len);
    assert_memory_equal(written.data, read.data, read.len);
    bytes_release(&written);
    bytes_release(&read);
    h_free(h);
    h_free(back);
}

static void goes_on_from_a_position(void **state)
{
    struct bytes text = {0};
    struct rask_split_slot slot = {0};
    struct harness *h;

    for (int i = 0; i < 10000; i++)
        bytes_printf(&text, "\"line\n%d\",%s\n", i, i == 9000 ? "x" : "1");
    h = csv_new(state, &pair, (const char *)text.data, text.len, "fail");
    assert_int_equal(h_discover(h), 0);
    assert_int_equal(h->splits, 1);
    h->ctx.self = mem_alloc(h->connector->source->self_size);
    assert_int_equal(h->connector->source->open(&h->ctx), 0);
    rask_str id = {(const char *)h->split_id[0].data, (uint32_t)h->split_id[0].len};

    assert_int_equal(h_read_split(h, id, &slot, 2), RASK_MORE);
    assert_in_range(h->rows, 1, 8000);
    h_drop_rows(h);
    (void)h_read_split(h, id, &slot, 100);
    assert_contains(h->ctx.error.text, "line 18001: column 'n': \"x\"");
    h->connector->source->close(&h->ctx);
    bytes_release(&slot.position);
    bytes_release(&text);
    h_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_limit_is_exact, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(quoting, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(options, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(nulls, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(rows_inside_a_field, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(numbers, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(decimals, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(times, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(byte_strings, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(wrong_rows_fail, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(wrong_rows_are_skipped, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(wrong_rows_go_to_the_side, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(open_quote_at_the_end, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(same_as_a_naive_parser, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(written_rows_come_back, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(goes_on_from_a_position, folder_make, folder_remove),
    };

    return cmocka_run_group_tests_name("csv_source", tests, NULL, NULL);
}
