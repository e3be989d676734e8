/* test_text.c - words of a line, against a plain loop, at every length and offset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <string.h>

#include <rask/rask.h>

#include "api/runtime.h"

static void assert_words(bool (*next)(rask_str *, rask_str *), const char *line,
                         const char *const *words)
{
    rask_str text = rask_str_of(line), word;

    while (next(&text, &word)) {
        assert_non_null(*words);
        assert_true(rask_str_equal(word, rask_str_of(*words)));
        words++;
    }
    assert_null(*words);
    assert_false(next(&text, &word));
}

static void cuts_words_at_white_space(void **state)
{
    const char *const some[] = {"to", "be,", "or", "N\xc3\xb6t", "x", NULL}, *const none[] = {NULL};
    const char *const long_one[] = {"a_very_long_word_that_needs_more_than_two_blocks_of_sixteen",
                                    "b", NULL};
    const char *const names[] = {"to", "be", "or", "not_2", NULL};

    (void)state;
    assert_words(rask_next_word, "  to be,\tor\n\v\f\rN\xc3\xb6t x", some);
    assert_words(rask_next_word, "", none);
    assert_words(rask_next_word, " \t\n ", none);
    assert_words(rask_next_word, "a_very_long_word_that_needs_more_than_two_blocks_of_sixteen b",
                 long_one);
    assert_words(rask_next_name, "to be, (or) not_2!", names);
}

static void takes_any_byte(void **state)
{
    rask_str text = {"a\0b c", 5}, word;

    (void)state;
    assert_true(rask_next_word(&text, &word));
    assert_int_equal(word.len, 3);
    assert_memory_equal(word.data, "a\0b", 3);
    text.data = NULL;
    text.len = 0;
    assert_false(rask_next_word(&text, &word));
}

static bool is_space(unsigned char c)
{
    return c == ' ' || (c >= 9 && c <= 13);
}
static bool is_of_word(unsigned char c)
{
    return !is_space(c);
}
static bool is_of_name(unsigned char c)
{
    return c < 128 && (isalnum(c) || c == '_');
}

/* The words of a line are those that a plain loop finds. */
static void check_line(const unsigned char *line, uint32_t len, bool (*next)(rask_str *, rask_str *),
                       bool (*is_of)(unsigned char))
{
    rask_str text = {(const char *)line, len}, word;
    uint32_t at = 0, start;

    for (;;) {
        while (at < len && !is_of(line[at]))
            at++;
        start = at;
        while (at < len && is_of(line[at]))
            at++;
        if (!next(&text, &word)) {
            assert_int_equal(start, at);
            return;
        }
        assert_ptr_equal(word.data, line + start);
        assert_int_equal(word.len, at - start);
        assert_int_equal(text.len, len - at);
    }
}

static void agrees_with_a_plain_loop(void **state)
{
    unsigned char line[80];
    uint32_t seed = 1;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        uint32_t len = (uint32_t)round % sizeof(line);

        for (uint32_t i = 0; i < len; i++) {
            seed = seed * 1664525u + 1013904223u;
            line[i] = (unsigned char)(seed >> 24);
            if (seed >> 16 & 1 && (round & 3) == 0)
                line[i] = " \t\r\n\v\f\b\x0e"[seed >> 20 & 7];
            else if (seed >> 16 & 7 && (round & 3) == 1)
                line[i] = "azAZ09_m"[seed >> 20 & 7];
        }
        check_line(line, len, rask_next_word, is_of_word);
        check_line(line, len, rask_next_name, is_of_name);
    }
}

static void lowers_letters_alone(void **state)
{
    unsigned char all[256];
    rask_ctx ctx = {0};

    (void)state;
    arena_init(&ctx.scratch);
    for (int i = 0; i < 256; i++)
        all[i] = (unsigned char)i;
    for (uint32_t from = 0; from < 256; from++) {
        rask_str text = {(const char *)all + from, 256 - from}, low = rask_lower(&ctx, text);

        assert_int_equal(low.len, text.len);
        for (uint32_t i = 0; i < low.len; i++) {
            unsigned char c = all[from + i];

            assert_int_equal((unsigned char)low.data[i], c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
    }
    arena_release(&ctx.scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_words_at_white_space),
        cmocka_unit_test(takes_any_byte),
        cmocka_unit_test(agrees_with_a_plain_loop),
        cmocka_unit_test(lowers_letters_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
