/* test_json.c - what is accepted, what is refused and where, what is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/json.h"

static struct json *parse(struct arena *a, const char *text)
{
    struct json *root = NULL;
    struct err err = {0};
    int rc = json_parse(a, text, strlen(text), &root, &err);

    if (rc)
        print_error("%s\n", err.text);
    assert_int_equal(rc, 0);
    return root;
}

static void parses_a_document(void **state)
{
    struct arena a;
    struct json *root;
    const struct json *list;

    (void)state;
    arena_init(&a);
    root = parse(
        &a,
        " {\"s\": \"a\\u00e4\\ud83d\\ude00\\n\\\"\", \"i\": -9223372036854775808, \"d\": 1.5e3,\n"
        "\"t\": true, \"f\": false, \"n\": null, \"l\": [1, [], {}, 9223372036854775808]}");
    assert_int_equal(root->u.children.count, 7);
    assert_string_equal(json_get_string(root, "s", NULL), "a\xc3\xa4\xf0\x9f\x98\x80\n\"");
    assert_true(json_get_int(root, "i", 0) == INT64_MIN);
    assert_true(json_get(root, "d")->u.number == 1500);
    assert_true(json_get_bool(root, "t", false));
    assert_false(json_get_bool(root, "f", true));
    assert_int_equal(json_get(root, "n")->type, JSON_NULL);
    list = json_get(root, "l");
    assert_int_equal(list->u.children.count, 4);
    list = list->u.children.first;
    assert_int_equal(list->u.integer, 1);
    list = list->next;
    assert_int_equal(list->type, JSON_ARRAY);
    list = list->next->next;
    assert_int_equal(list->type, JSON_DOUBLE);
    assert_true(list->u.number == 9223372036854775808.0);
    assert_int_equal(json_get_int(root, "s", 5), 5);
    assert_int_equal(json_get_int(root, "absent", 6), 6);
    assert_null(json_get(root, "absent"));
    assert_null(json_get(NULL, "x"));
    arena_release(&a);
}

static void refuses_and_says_where(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "line 1, column 1: the text ends where a value is expected"},
        {"{\"a\": 1,\n  \"a\": 2}", "line 2, column 3: the key \"a\" stands twice in one object"},
        {"[1,]", "line 1, column 4: ']' where a value is expected"},
        {"[1 2]", "line 1, column 4: '2' where ',' or ']' is expected"},
        {"{a: 1}", "line 1, column 2: 'a' where a key in quotes is expected"},
        {"{\"a\" 1}", "line 1, column 6: '1' where ':' is expected"},
        {"01", "a number does not begin with 0 followed by digits"},
        {"1.", "the text ends where a digit is expected"},
        {"-", "the text ends where a digit is expected"},
        {"1e999", "the number does not fit a double"},
        {"\"\\ud800\"", "high surrogate without a low one after it"},
        {"\"\\udc00\"", "low surrogate without a high one before it"},
        {"\"\\x\"", "unknown escape"},
        {"\"\\u12g4\"", "\\u needs four hex digits"},
        {"\"\x01\"", "control character 0x01 in a string"},
        {"\"\xff\"", "byte 0xff is not UTF-8"},
        {"\"\xc0\x80\"", "byte 0xc0 is not UTF-8"},
        {"\"abc", "column 1: the string is not closed"},
        {"\"abc\\", "the string is not closed"},
        {"\"abc\\\"", "the string is not closed"},
        {"1 2", "line 1, column 3: '2' where the end is expected"},
        {"nul", "'n' where a value is expected"},
        {"{\"a\\u0000\": 1}", "a key with \\u0000 in it"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arena a;
        struct json *root;
        struct err err = {0};

        arena_init(&a);
        assert_int_equal(json_parse(&a, cases[i].text, strlen(cases[i].text), &root, &err),
                         ERR_INVALID);
        if (!strstr(err.text, cases[i].says))
            fail_msg("%s: %s", cases[i].text, err.text);
        arena_release(&a);
    }
}

static void limits_depth(void **state)
{
    char text[200];
    struct arena a;
    struct json *root;
    struct err err = {0};

    (void)state;
    arena_init(&a);
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    assert_int_equal(json_parse(&a, text, 128, &root, &err), 0);
    memset(text, '[', sizeof(text));
    assert_int_equal(json_parse(&a, text, sizeof(text), &root, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "nested deeper than 64"));
    arena_release(&a);
}

static void finds_a_late_duplicate(void **state)
{
    struct bytes text;
    struct arena a;
    struct json *root;
    struct err err = {0};

    (void)state;
    bytes_init(&text);
    arena_init(&a);
    bytes_add_str(&text, "{");
    for (int i = 0; i < 1000; i++)
        bytes_printf(&text, "\"k%d\": %d,", i, i);
    bytes_add_str(&text, "\"last\": 0}");
    assert_int_equal(json_parse(&a, (char *)text.data, text.len, &root, &err), 0);
    assert_int_equal(json_get_int(root, "k999", 0), 999);
    text.len -= 1;
    bytes_add_str(&text, ",\"k3\": 0}");
    assert_int_equal(json_parse(&a, (char *)text.data, text.len, &root, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "the key \"k3\" stands twice"));
    arena_release(&a);
    bytes_release(&text);
}

static void writes(void **state)
{
    struct json_writer w;
    struct bytes out;

    (void)state;
    bytes_init(&out);
    jw_init(&w, &out);
    jw_object(&w, NULL);
    jw_string(&w, "s", "a\"\\\n\x01\xff\xc3\xa4");
    jw_string(&w, "none", NULL);
    jw_int(&w, "i", INT64_MIN);
    jw_array(&w, "l");
    jw_double(&w, NULL, 0.1);
    jw_double(&w, NULL, 1);
    jw_double(&w, NULL, (double)NAN);
    jw_bool(&w, NULL, true);
    jw_object(&w, NULL);
    jw_object_end(&w);
    jw_array_end(&w);
    jw_object_end(&w);
    assert_string_equal((char *)out.data,
                        "{\"s\":\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa4\",\"none\":null,"
                        "\"i\":-9223372036854775808,\"l\":[0.1,1.0,\"NaN\",true,{}]}");
    bytes_clear(&out);
    jw_init(&w, &out);
    w.pretty = true;
    jw_object(&w, NULL);
    jw_array(&w, "a");
    jw_null(&w, NULL);
    jw_array_end(&w);
    jw_object_end(&w);
    assert_string_equal((char *)out.data, "{\n  \"a\": [\n    null\n  ]\n}");
    bytes_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_a_document),
        cmocka_unit_test(refuses_and_says_where),
        cmocka_unit_test(limits_depth),
        cmocka_unit_test(finds_a_late_duplicate),
        cmocka_unit_test(writes),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
