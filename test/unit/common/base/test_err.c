/* test_err.c - codes, texts and wrapping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "common/base/err.h"

static void sets_and_wraps(void **state)
{
    struct err err = {0};

    (void)state;
    assert_int_equal(err_set(&err, ERR_NOT_FOUND, "no job %d", 7), ERR_NOT_FOUND);
    assert_string_equal(err.text, "no job 7");
    assert_int_equal(err_wrap(&err, "cancel %s", "it"), ERR_NOT_FOUND);
    assert_string_equal(err.text, "cancel it: no job 7");
    assert_int_equal(err_set(&err, err.code, "again: %s", err.text), ERR_NOT_FOUND);
    assert_string_equal(err.text, "again: cancel it: no job 7");
    assert_int_equal(err_set(NULL, ERR_IO, "nobody listens"), ERR_IO);
    assert_int_equal(err_wrap(NULL, "nobody listens"), ERR_INTERNAL);
}

static void translates_errno(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(err_errno(&err, ENOENT, "open %s", "/x"), ERR_NOT_FOUND);
    assert_string_equal(err.text, "open /x: No such file or directory");
    assert_int_equal(err_errno(NULL, ENOSPC, "write"), ERR_NO_SPACE);
    assert_int_equal(err_errno(NULL, EACCES, "write"), ERR_PERMISSION);
    assert_int_equal(err_errno(NULL, ECONNREFUSED, "connect"), ERR_UNAVAILABLE);
    assert_int_equal(err_errno(NULL, EIO, "write"), ERR_IO);
}

static void cuts_long_texts(void **state)
{
    char text[2 * ERR_TEXT_MAX];
    struct err err;

    (void)state;
    for (size_t i = 0; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa4", 3);
    err_set(&err, ERR_INVALID, "%s", text);
    assert_true(strlen(err.text) < ERR_TEXT_MAX);
    assert_string_equal(err.text + strlen(err.text) - 5, "\xc3\xa4...");
    err_wrap(&err, "%s", text);
    assert_true(strlen(err.text) < ERR_TEXT_MAX);
    assert_string_equal(err.text + strlen(err.text) - 3, "...");
}

static void knows_its_table(void **state)
{
    (void)state;
    assert_int_equal(ERR_INVALID, -99);
    assert_string_equal(err_name(ERR_INTERNAL), "ERR_INTERNAL");
    assert_string_equal(err_name(ERR_INTERNAL + 1), "ERR_?");
    assert_string_equal(err_name(0), "ERR_OK");
    assert_string_equal(err_code_text(ERR_STALE), "stale fencing token");
    assert_true(err_retryable(ERR_WORKER_DIED));
    assert_false(err_retryable(ERR_INVALID));
    assert_int_equal(err_scope(ERR_INVALID), ERR_SCOPE_JOB);
    assert_int_equal(err_scope(-1), ERR_SCOPE_PROCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_and_wraps),
        cmocka_unit_test(translates_errno),
        cmocka_unit_test(cuts_long_texts),
        cmocka_unit_test(knows_its_table),
    };

    return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
