/* test_bytes.c - the growing buffer, the bounded reader, the list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/base/bytes.h"
#include "common/base/list.h"
#include "common/base/mem.h"

static void adds_and_reads_back(void **state)
{
    static const uint8_t expected[] = {1, 2, 1, 4, 3, 2, 1, 8, 7, 6, 5, 4, 3, 2, 1};
    struct bytes b;
    struct reader r;

    (void)state;
    bytes_init(&b);
    bytes_add_u8(&b, 1);
    bytes_add_u16(&b, 0x0102);
    bytes_add_u32(&b, 0x01020304);
    bytes_add_u64(&b, 0x0102030405060708);
    assert_int_equal(b.len, sizeof(expected));
    assert_memory_equal(b.data, expected, sizeof(expected));
    r = reader_of(b.data, b.len);
    assert_int_equal(reader_u8(&r), 1);
    assert_int_equal(reader_u16(&r), 0x0102);
    assert_int_equal(reader_u32(&r), 0x01020304);
    assert_true(reader_u64(&r) == 0x0102030405060708);
    assert_int_equal(reader_left(&r), 0);
    assert_false(r.bad);
    bytes_release(&b);
}

static void reader_stops_at_its_end(void **state)
{
    struct reader r = reader_of("abc", 3);

    (void)state;
    assert_int_equal(reader_u32(&r), 0);
    assert_true(r.bad);
    assert_int_equal(reader_u8(&r), 0);
    assert_null(reader_take(&r, 0));
    r = reader_of(NULL, 0);
    assert_non_null(reader_take(&r, 0));
    assert_null(reader_take(&r, SIZE_MAX));
    assert_true(r.bad);
}

static void grows_and_ends_with_nul(void **state)
{
    struct bytes b;
    char *s;

    (void)state;
    bytes_init(&b);
    for (int i = 0; i < 1000; i++)
        bytes_printf(&b, "%d,", i);
    bytes_add(&b, NULL, 0);
    assert_int_equal(b.len, strlen((char *)b.data));
    bytes_clear(&b);
    bytes_add_str(&b, "end");
    s = bytes_take_str(&b);
    assert_string_equal(s, "end");
    mem_free(s);
    assert_null(b.data);
    s = bytes_take_str(&b);
    assert_string_equal(s, "");
    mem_free(s);
}

static void list_keeps_order(void **state)
{
    struct item {
        int value;
        struct list node;
    } items[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
    struct list head;
    int at = 0;

    (void)state;
    list_init(&head);
    assert_null(list_pop_front(&head));
    for (int i = 1; i < 4; i++)
        list_push_back(&head, &items[i].node);
    list_push_front(&head, &items[0].node);
    LIST_FOREACH (n, &head)
        assert_int_equal(LIST_ENTRY(n, struct item, node)->value, at++);
    LIST_FOREACH_SAFE (n, &head) {
        if (LIST_ENTRY(n, struct item, node)->value % 2)
            list_remove(n);
    }
    list_remove(&items[1].node);
    assert_ptr_equal(list_pop_front(&head), &items[0].node);
    assert_ptr_equal(list_pop_front(&head), &items[2].node);
    assert_true(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_and_reads_back),
        cmocka_unit_test(reader_stops_at_its_end),
        cmocka_unit_test(grows_and_ends_with_nul),
        cmocka_unit_test(list_keeps_order),
    };

    return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
