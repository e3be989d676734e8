/* test_text.c - words of a line, against a plain loop, at every length and offset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <rask/rask.h>

#include "api/runtime.h"
#include "common/base/check.h"

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

static bool is_blank_byte(unsigned char c)
{
    return c == ' ' || (c >= 9 && c <= 13);
}
static bool is_of_word(unsigned char c)
{
    return !is_blank_byte(c);
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

/* Many words a call are those of one a call, however many fit. */
static void check_many(const unsigned char *line, uint32_t len, uint32_t room,
                       uint32_t (*many)(rask_str *, rask_str *, uint32_t), bool (*next)(rask_str *, rask_str *))
{
    rask_str text = {(const char *)line, len}, rest = text, words[200], word;
    uint32_t n;

    do {
        n = many(&text, words, room);
        assert_true(n <= room);
        for (uint32_t i = 0; i < n; i++) {
            assert_true(next(&rest, &word));
            assert_ptr_equal(words[i].data, word.data);
            assert_int_equal(words[i].len, word.len);
        }
        if (n == room && text.len > 0)
            assert_ptr_equal(text.data, words[n - 1].data + words[n - 1].len);
        assert_ptr_equal(text.data + text.len, (const char *)line + len);
    } while (n > 0);
    assert_int_equal(text.len, 0);
    assert_false(next(&rest, &word));
}

/* Cells of many words are those of the words one by one. */
static void check_cells(const rask_buffer *buffer, uint32_t from, uint32_t len, uint32_t room,
                        uint32_t (*many)(rask_str *, const rask_buffer *, uint32_t, rask_view *, uint32_t),
                        bool (*next)(rask_str *, rask_str *))
{
    rask_str text = {(const char *)buffer->data + from, len}, rest = text, word;
    rask_view cells[700];
    uint32_t n;

    do {
        n = many(&text, buffer, 3, cells, room);
        assert_true(n <= room);
        for (uint32_t i = 0; i < n; i++) {
            rask_view cell;

            assert_true(next(&rest, &word));
            cell = rask_view_at(buffer, 3, (uint32_t)(word.data - (const char *)buffer->data), word.len);
            assert_memory_equal(&cells[i], &cell, sizeof(cell));
        }
        if (n == room && text.len > 0)
            assert_ptr_equal(text.data, rest.data);
        assert_ptr_equal(text.data + text.len, (const char *)buffer->data + from + len);
    } while (n > 0);
    assert_int_equal(text.len, 0);
    assert_false(next(&rest, &word));
}

static void cuts_words_into_cells(void **state)
{
    uint32_t seed = 11;

    (void)state;
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t from = round % 67, len = round % 9 ? round % 330 : round % 1300;
        uint32_t room = 1 + (round % 5 ? round % 7 : 150 + round % 500), usual = 1 + round % 40;
        uint32_t behind = round % 4 * 5; /* bytes of the buffer that may be read and do not count */
        unsigned char *bytes = malloc(from + len + behind + 1); /* its end is guarded where the test is built so */
        rask_buffer buffer = {.data = bytes, .capacity = from + len + behind};

        for (uint32_t i = 0; i < from + len + behind; i++) {
            seed = seed * 1664525u + 1013904223u;
            bytes[i] = (seed >> 10) % usual == 0 ? " \t\r\n-(,\xff"[seed >> 20 & 7] : "azAZ09_m"[seed >> 20 & 7];
            if (round % 11 == 0)
                bytes[i] = (unsigned char)(seed >> 24);
        }
        check_cells(&buffer, from, len, room, rask_next_name_cells, rask_next_name);
        check_cells(&buffer, from, len, room, rask_next_word_cells, rask_next_word);
        free(bytes);
    }
    assert_int_equal(rask_next_name_cells(&(rask_str){"a", 1}, NULL, 0, NULL, 0), 0);
}

static void cuts_many_words_at_once(void **state)
{
    uint32_t seed = 7;

    (void)state;
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t len = round % 330, room = 1 + (round % 5 ? round % 7 : 150), usual = 1 + round % 40;
        unsigned char *line = malloc(len + 1); /* its end is guarded where the test is built so */

        for (uint32_t i = 0; i < len; i++) {
            seed = seed * 1664525u + 1013904223u;
            line[i] = (seed >> 10) % usual == 0 ? " \t\r\n-(,\xff"[seed >> 20 & 7] : "azAZ09_m"[seed >> 20 & 7];
            if (round % 11 == 0)
                line[i] = (unsigned char)(seed >> 24);
        }
        check_many(line, len, room, rask_next_names, rask_next_name);
        check_many(line, len, room, rask_next_words, rask_next_word);
        free(line);
    }
    assert_int_equal(rask_next_names(&(rask_str){"a", 1}, NULL, 0), 0);
    assert_int_equal(rask_next_words(&(rask_str){NULL, 0}, &(rask_str){NULL, 0}, 1), 0);
}

/* Rows that lie behind each other with white space between them are one text; others are texts of their own. */
static void texts_of_a_column(void **state)
{
    static const struct {
        const char *cell; /* its place in `lines`, or a short one of its own */
    } rows[] = {{"the first line, which is long"}, {"the second line is long too"}, {"short"},
                {"after a comma, long enough"},    {"behind CR LF, and as long"},   {""},
                {"not behind anything, long"}};
    static const char lines[] = "the first line, which is long\nthe second line is long too,after a comma, long enough\r\n"
                                "behind CR LF, and as long,,not behind anything, long";
    static const char *const texts[] = {"the first line, which is long\nthe second line is long too", "short",
                                        "after a comma, long enough\r\nbehind CR LF, and as long", "",
                                        "not behind anything, long"};
    rask_buffer buffer = {.data = (uint8_t *)(uintptr_t)lines}, *buffers[] = {&buffer};
    rask_view cells[ARRAY_LEN(rows)];
    rask_column column = {.data = cells};
    rask_batch b = {.rows = ARRAY_LEN(rows), .columns = &column, .buffers = buffers, .buffer_count = 1};
    uint32_t row = 0;
    rask_str text;

    (void)state;
    for (uint32_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t len = (uint32_t)strlen(rows[i].cell);

        if (len <= 12)
            cells[i] = rask_view_short(rows[i].cell, len);
        else
            cells[i] = rask_view_at(&buffer, 0, (uint32_t)(strstr(lines, rows[i].cell) - lines), len);
    }
    for (uint32_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_true(rask_next_text(&b, 0, &row, &text));
        assert_true(rask_str_equal(text, rask_str_of(texts[i])));
    }
    assert_int_equal(row, b.rows);
    assert_false(rask_next_text(&b, 0, &row, &text));
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
        cmocka_unit_test(cuts_many_words_at_once),
        cmocka_unit_test(cuts_words_into_cells),
        cmocka_unit_test(texts_of_a_column),
        cmocka_unit_test(lowers_letters_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
