/*
 * test_headers.c - rask.h in both languages, and the list of exported symbols against the headers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/mem.h"

/* Returns the exit status; -1: there is no such compiler. */
static int compile(const char *compiler, const char *language, const char *standard)
{
    const char *argv[] = {compiler,
                          "-x",
                          language,
                          standard,
                          "-fsyntax-only",
                          "-Iapi/include",
                          "-Wall",
                          "-Wextra",
                          "-Wconversion",
                          "-Wpedantic",
                          "-Wshadow",
                          "-Werror",
                          "test/unit/api/header_sample.c",
                          NULL};
    pid_t pid;
    int status = -1;

    if (posix_spawnp(&pid, compiler, NULL, NULL, (char **)(uintptr_t)argv, environ) == 0) {
        assert_int_equal(waitpid(pid, &status, 0), pid);
        status = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
    }
    return status == 127 ? -1 : status;
}

static void compilers_take_rask_h_without_a_word(void **state)
{
    static const char *const compilers[][3] = {{"gcc", "c", "-std=c11"},
                                               {"clang", "c", "-std=c11"},
                                               {"g++", "c++", "-std=c++17"},
                                               {"clang++", "c++", "-std=c++17"}};
    int done = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(compilers); i++) {
        int status = compile(compilers[i][0], compilers[i][1], compilers[i][2]);

        if (status < 0)
            continue;
        assert_int_equal(status, 0);
        done++;
    }
    assert_true(done > 0);
}

static char *slurp(const char *path)
{
    FILE *f = fopen(path, "r");
    struct bytes b;
    char block[4096];
    size_t n;

    if (!f)
        fail_msg("%s: not found", path);
    bytes_init(&b);
    while ((n = fread(block, 1, sizeof(block), f)) > 0)
        bytes_add(&b, block, n);
    fclose(f);
    return bytes_take_str(&b);
}

/*
 * A line at the margin that declares a function: "int rask_fail(...". Inline functions and types
 * are none.
 */
static bool declared_function(const char *line, char *name, size_t size)
{
    const char *paren, *start;

    if (!isalpha((unsigned char)*line) || strncmp(line, "static", 6) == 0 ||
        strncmp(line, "typedef", 7) == 0)
        return false;
    paren = line + strcspn(line, "(;{\n");
    if (*paren != '(')
        return false;
    for (start = paren; start > line && (isalnum((unsigned char)start[-1]) || start[-1] == '_');)
        start--;
    snprintf(name, size, "%.*s", (int)(paren - start), start);
    return strncmp(name, "rask_", 5) == 0 && strcmp(name, "rask_job") != 0;
}

static void every_public_function_is_exported(void **state)
{
    static const char *const headers[] = {"api/include/rask/batch.h", "api/include/rask/make.h",
                                          "api/include/rask/operator.h", "api/include/rask/rask.h"};
    char *exports = slurp("api/src/exports.c");
    int functions = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        char *text = slurp(headers[i]), name[100], entry[120];

        for (char *line = text; line; line = strchr(line, '\n')) {
            line += *line == '\n';
            if (!declared_function(line, name, sizeof(name)))
                continue;
            snprintf(entry, sizeof(entry), "FN(%s),", name);
            if (!strstr(exports, entry))
                fail_msg("%s of %s is not in api/src/exports.c", name, headers[i]);
            functions++;
        }
        mem_free(text);
    }
    assert_true(functions > 100);
    mem_free(exports);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compilers_take_rask_h_without_a_word),
        cmocka_unit_test(every_public_function_is_exported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
