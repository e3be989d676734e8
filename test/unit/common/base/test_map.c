/* test_map.c - the ordered hash map. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/map.h"

static int values[5000];

static void puts_and_gets(void **state)
{
    struct map *m = map_new();

    (void)state;
    assert_null(map_get_str(m, "a"));
    assert_null(map_put_str(m, "a", &values[0]));
    assert_ptr_equal(map_put_str(m, "a", &values[1]), &values[0]);
    assert_ptr_equal(map_get_str(m, "a"), &values[1]);
    assert_null(map_put(m, "", 0, &values[2]));
    assert_ptr_equal(map_get(m, NULL, 0), &values[2]);
    assert_int_equal(map_size(m), 2);
    assert_ptr_equal(map_remove_str(m, "a"), &values[1]);
    assert_null(map_remove_str(m, "a"));
    assert_int_equal(map_size(m), 1);
    map_free(m);
    map_free(NULL);
}

static void keeps_insertion_order(void **state)
{
    struct map *m = map_new();
    size_t at = 0;

    (void)state;
    for (uint64_t i = 0; i < 5000; i++)
        map_put_u64(m, i * 7919, &values[i]);
    for (uint64_t i = 0; i < 5000; i += 2)
        assert_ptr_equal(map_remove_u64(m, i * 7919), &values[i]);
    assert_int_equal(map_size(m), 2500);
    for (struct map_iter it = map_iter(m); map_next(&it); at++) {
        assert_int_equal(it.key_len, 8);
        assert_ptr_equal(it.value, &values[2 * at + 1]);
    }
    assert_int_equal(at, 2500);
    map_free(m);
}

/* Removing the current entry and adding others, so much that the map is rebuilt several times on
 * the way. */
static void iterates_while_changing(void **state)
{
    struct map *m = map_new();
    size_t seen = 0;
    char key[16];

    (void)state;
    for (int i = 0; i < 10; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        map_put_str(m, key, &values[i]);
    }
    for (struct map_iter it = map_iter(m); map_next(&it);) {
        assert_ptr_equal(it.value, &values[seen]);
        snprintf(key, sizeof(key), "k%zu", seen);
        assert_string_equal(it.key, key);
        assert_ptr_equal(map_remove(m, it.key, it.key_len), &values[seen]);
        if (seen < 1000) {
            snprintf(key, sizeof(key), "k%zu", seen + 10);
            map_put_str(m, key, &values[seen + 10]);
        }
        seen++;
    }
    assert_int_equal(seen, 1010);
    assert_int_equal(map_size(m), 0);
    map_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_and_gets),
        cmocka_unit_test(keeps_insertion_order),
        cmocka_unit_test(iterates_while_changing),
    };

    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
