/* test_conf_yaml.c - the file format: what is read, and what is refused with which sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/conf/conf.h"

static struct err err;

static struct conf *load(const char *text)
{
    struct conf *c = conf_new();

    if (conf_load_text(c, "f", text, strlen(text), &err) == 0)
        return c;
    conf_free(c);
    return NULL;
}

static void nested_and_flat_mix(void **state)
{
    struct conf *c = load("\xef\xbb\xbf# a comment\r\n"
                          "jobmanager:\r\n"
                          "  rpc: {address: host1, port: 7000}\r\n"
                          "  bind-host: \"0.0.0.0\" # everywhere\r\n"
                          "taskmanager.numberOfTaskSlots: 4\r\n"
                          "state.backend: hashmap\n"
                          "state.backend.incremental: true\n"
                          "empty:\n"
                          "tilde: ~\n"
                          "quoted: ''\n");

    (void)state;
    assert_non_null(c);
    assert_string_equal(conf_string(c, OPT_JOBMANAGER_RPC_ADDRESS), "host1");
    assert_int_equal(conf_int(c, OPT_JOBMANAGER_RPC_PORT), 7000);
    assert_string_equal(conf_string(c, OPT_JOBMANAGER_BIND_HOST), "0.0.0.0");
    assert_int_equal(conf_int(c, OPT_TASKMANAGER_NUMBEROFTASKSLOTS), 4);
    assert_string_equal(conf_raw(c, "state.backend.type"), "hashmap"); /* an older name */
    assert_null(conf_raw(c, "empty"));
    assert_null(conf_raw(c, "tilde"));
    assert_string_equal(conf_raw(c, "quoted"), "");
    assert_string_equal(conf_at(c, 2)->origin, "f:4");
    assert_int_equal(conf_count(c), 7);
    conf_free(c);
}

static void lists_are_joined(void **state)
{
    struct conf *c = load("a:\n  - x\n  - y z\nb: [1, 'it''s', 'p;q']\nc: []\n");

    (void)state;
    assert_non_null(c);
    assert_string_equal(conf_raw(c, "a"), "x;y z");
    assert_string_equal(conf_raw(c, "b"), "1;'it''s';'p;q'");
    assert_string_equal(conf_raw(c, "c"), "");
    conf_free(c);
}

static void empty_files_are_legal(void **state)
{
    static const char *const texts[] = {"", "\n", "# only a comment\n", "---\n", "{}", "~"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct conf *c = load(texts[i]);

        assert_non_null(c);
        assert_int_equal(conf_count(c), 0);
        conf_free(c);
    }
}

static void refusals_name_line_and_remedy(void **state)
{
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"a: 1\nb: 2\na: 3\n", "f:3: duplicate key 'a', first set in line 1"},
        {"a:\n  b: 1\n\na.b: 2\n", "f:4: duplicate key 'a.b', first set in line 2"},
        {"a: &x 1\n", "f:1: anchors (&name) are not supported; a value with & needs quotes"},
        {"b: 1\na: *x\n",
         "f:2: aliases (*name) are not supported; a value with a star needs quotes"},
        {"a: !!str 1\n", "f:1: tags (!type) are not supported; a value with ! needs quotes"},
        {"&x a: 1\n", "f:1: anchors (&name) are not supported; a value with & needs quotes"},
        {"? [a]\n: 1\n", "f:1: a key must be a single word"},
        {"a: [[1]]\n", "f:1: a list may only hold single values"},
        {"a: [{b: 1}]\n", "f:1: a list may only hold single values"},
        {"a: 1\n---\nb: 1\n", "f:2: a second document (---) is not supported"},
        {"- a\n", "f:1: expected `key: value`, not a list"},
        {"rest.port:8081\n", "f:1: expected lines such as `key: value` (a space after the colon)"},
        {"'': 1\n", "f:1: empty key"},
        {"a: 1\nb: \xff\n", "f:2: not UTF-8 text; save the file as UTF-8"},
        {"a: \xed\xa0\x80\n", "f:1: not UTF-8 text; save the file as UTF-8"},
        {"a: \xc0\x80\n", "f:1: not UTF-8 text; save the file as UTF-8"},
        {"a: \xe4\xb8\n", "f:1: not UTF-8 text; save the file as UTF-8"},
        {"a: \x01\n", "f:1: not UTF-8 text; save the file as UTF-8"},
        {"a: \"x\\0y\"\n", "f:1: NUL in a value"},
        {"\"x\\0y\": 1\n", "f:1: NUL in a key"},
        {"a b: 1\n", "f:1: 'a b' is no key: it has a space, '=' or the like"},
        {"\nrest.port: many\n",
         "f:2: rest.port: 'many' is not a whole number; allowed: a whole number from 0 to 65535"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(load(bad[i].text));
        assert_string_equal(err.text, bad[i].message);
    }
    assert_null(load("a: b: c\n"));
    assert_non_null(strstr(err.text, "f:1: "));
    assert_non_null(strstr(err.text, "needs quotes"));
    assert_null(load("a: [1\n"));
    assert_null(load("\tb: 1\n"));
}

static void sizes_are_limited(void **state)
{
    char *big = mem_alloc(CONF_FILE_MAX + 2);
    struct conf *c = conf_new();

    (void)state;
    memset(big, '\n', CONF_FILE_MAX + 1);
    assert_int_equal(conf_load_text(c, "f", big, CONF_FILE_MAX + 1, &err), ERR_LIMIT);
    assert_int_equal(conf_load_text(c, "f", big, CONF_FILE_MAX, &err), 0);
    memset(big, '[', 20000);
    memcpy(big, "a: ", 3);
    assert_int_equal(conf_load_text(c, "f", big, 20000, &err), ERR_INVALID);
    memset(big, '{', 20000);
    memcpy(big, "a: ", 3);
    assert_int_equal(conf_load_text(c, "f", big, 20000, &err), ERR_INVALID);
    memset(big, 'k', 300);
    memcpy(big + 300, ": 1\n", 4);
    assert_int_equal(conf_load_text(c, "f", big, 304, &err), ERR_INVALID);
    memset(big, 'v', 100000);
    memcpy(big, "a: ", 3);
    assert_int_equal(conf_load_text(c, "f", big, 100000, &err), ERR_LIMIT);
    assert_string_equal(err.text, "f:1: a: value longer than 65536 bytes");
    mem_free(big);
    conf_free(c);
    assert_null(load("a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: 1"
                     "}}}}}}}}}}}}}}}}}\n"));
    assert_string_equal(err.text, "f:1: nested deeper than 16 levels");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nested_and_flat_mix),
        cmocka_unit_test(lists_are_joined),
        cmocka_unit_test(empty_files_are_legal),
        cmocka_unit_test(refusals_name_line_and_remedy),
        cmocka_unit_test(sizes_are_limited),
    };

    return cmocka_run_group_tests_name("conf_yaml", tests, NULL, NULL);
}
