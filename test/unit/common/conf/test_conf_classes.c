/*
 * test_conf_classes.c - every key of Flink 1.20 stands in exactly one class, and the documentation
 * says the same as the tables.  Runs in the root of the tree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/conf/conf_private.h"

static char *read_text(const char *path)
{
    char *text = mem_alloc(1 << 20);
    FILE *f = fopen(path, "r");

    if (f == NULL)
        fail_msg("cannot open %s; tests run in the root of the tree", path);
    text[fread(text, 1, (1 << 20) - 1, f)] = '\0';
    fclose(f);
    return text;
}

static void every_key_of_flink_has_a_class(void **state)
{
    char *text = read_text("test/golden/flink-1.20-config-keys.csv"), *save = NULL;
    unsigned n[4] = {0}, bad = 0;

    (void)state;
    strtok_r(text, "\n", &save);
    for (char *line; (line = strtok_r(NULL, "\n", &save)) != NULL;) {
        enum conf_class class;

        line[strcspn(line, ",")] = '\0';
        class = conf_class(line, NULL);
        n[class]++;
        if (class == CONF_UNKNOWN) {
            print_error("%s has no class\n", line);
            bad++;
        }
    }
    assert_int_equal(bad, 0);
    assert_int_equal(n[CONF_WORKS] + n[CONF_MEANS_NOTHING] + n[CONF_NOT_YET], 778);
    mem_free(text);
}

static void no_key_stands_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < conf_class_row_count; i++) {
        const struct conf_class_row *row = &conf_class_rows[i];

        if (conf_option_find(row->pattern) >= 0)
            fail_msg("%s works: it has a row in options.h", row->pattern);
        assert_true((row->class == CONF_MEANS_NOTHING) == (row->why != NULL));
        for (size_t j = 0; j < i; j++) {
            if (strcmp(row->pattern, conf_class_rows[j].pattern) == 0)
                fail_msg("%s stands twice in classes.c", row->pattern);
        }
    }
}

static void exact_rows_win_and_longer_prefixes(void **state)
{
    const char *why;

    (void)state;
    assert_int_equal(conf_class("rest.port", &why), CONF_WORKS);
    assert_null(why);
    assert_int_equal(conf_class("state.backend.rocksdb.files.open", &why), CONF_MEANS_NOTHING);
    assert_non_null(why);
    assert_int_equal(conf_class("state.latency-track.history-size", NULL), CONF_NOT_YET);
    assert_int_equal(conf_class("metrics.internal.query-service.port", NULL), CONF_MEANS_NOTHING);
    assert_int_equal(conf_class("metrics.reporter.x.interval", NULL), CONF_NOT_YET);
    assert_int_equal(conf_class("rest.prot", NULL), CONF_UNKNOWN);
    assert_int_equal(conf_class("", NULL), CONF_UNKNOWN);
}

static void documentation_is_current(void **state)
{
    char *text = read_text("docs/configuration.md");
    struct bytes out;
    bool same;

    (void)state;
    bytes_init(&out);
    conf_doc_markdown(&out);
    same = strcmp(text, (const char *)out.data) == 0;
    bytes_release(&out);
    mem_free(text);
    if (!same)
        fail_msg("docs/configuration.md is stale; run: make docs-conf");
}

static void help_names_every_option(void **state)
{
    struct bytes out;

    (void)state;
    bytes_init(&out);
    conf_doc_help(&out);
    for (int i = 0; i < OPT_COUNT; i++)
        assert_non_null(strstr((const char *)out.data, conf_option((enum conf_id)i)->key));
    bytes_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_of_flink_has_a_class),
        cmocka_unit_test(no_key_stands_twice),
        cmocka_unit_test(exact_rows_win_and_longer_prefixes),
        cmocka_unit_test(documentation_is_current),
        cmocka_unit_test(help_names_every_option),
    };

    return cmocka_run_group_tests_name("conf_classes", tests, NULL, NULL);
}
