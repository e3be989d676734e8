/* test_mem.c - allocation and the arena. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/base/mem.h"

static void allocates_zeroed(void **state)
{
    unsigned char *p = mem_alloc(100);
    char *s = mem_printf("%s-%d", "a", 1);

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(p[i], 0);
    p = mem_realloc(p, 200);
    mem_free(p);
    mem_free(NULL);
    assert_string_equal(s, "a-1");
    mem_free(s);
    s = mem_strdup(NULL);
    assert_string_equal(s, "");
    mem_free(s);
    p = mem_alloc_array(0, 8);
    assert_non_null(p);
    mem_free(p);
}

static void arena_aligns_and_keeps(void **state)
{
    struct arena a;
    char *texts[200];

    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < 200; i++) {
        size_t size = i % 10 == 9 ? 5000 * i : i;
        unsigned char *p = arena_alloc(&a, size);

        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t k = 0; k < size; k++)
            assert_int_equal(p[k], 0);
        memset(p, 0xff, size);
        texts[i] = arena_strdup(&a, "text");
    }
    for (size_t i = 0; i < 200; i++)
        assert_string_equal(texts[i], "text");
    assert_true(a.used_bytes > 200 * 16);
    arena_release(&a);
    assert_int_equal(a.used_bytes, 0);
    assert_memory_equal(arena_dup(&a, "xy", 2), "xy", 2);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocates_zeroed),
        cmocka_unit_test(arena_aligns_and_keeps),
    };

    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
