/* test_log.c - levels, line format, rotation; and what a failed check leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"

static char dir[] = "/tmp/rask-test-log-XXXXXX";
static char path[64];

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/x.log", dir);
    return 0;
}

static int remove_dir(void **state)
{
    static const char *const suffixes[] = {"", ".1", ".2", ".3"};
    char name[80];

    (void)state;
    log_close();
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        unlink(name);
    }
    return rmdir(dir);
}

static size_t read_file(const char *name, char *out, size_t size)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return 0;
    n = read(fd, out, size - 1);
    close(fd);
    out[n > 0 ? n : 0] = 0;
    return n > 0 ? (size_t)n : 0;
}

static void writes_one_form(void **state)
{
    struct log_options options = {
        .path = path, .level = LOG_INFO, .modules = "rpc=debug,quiet=off"};
    char text[1024];
    const char *line;

    (void)state;
    assert_int_equal(log_open(&options, NULL), 0);
    assert_true(log_enabled(LOG_DEBUG, "rpc"));
    assert_false(log_enabled(LOG_DEBUG, "job"));
    assert_false(log_enabled(LOG_ERROR, "quiet"));
    log_write(LOG_INFO, "job", "0123456789abcdef0123456789abcdef", "two\nlines\x1b");
    log_printf(LOG_DEBUG, "rpc", "n=%d", 3);
    log_printf(LOG_DEBUG, "job", "not shown");
    log_write(LOG_ERROR, "quiet", "", "not shown");
    assert_true(read_file(path, text, sizeof(text)) > 0);
    assert_int_equal(text[4], '-');
    assert_int_equal(text[19], ',');
    line = strstr(text, " INFO  job [0123456789abcdef0123456789abcdef] two\n    lines\\x1b\n");
    assert_ptr_equal(line, text + 23);
    assert_non_null(strstr(text, " DEBUG rpc n=3\n"));
    assert_null(strstr(text, "not shown"));
    log_close();
}

static void refuses_bad_options(void **state)
{
    static const char *const bad[] = {"rpc", "=info", "rpc=loud", "rpc=info,x",
                                      "rpc=verylonglevel"};
    struct log_options options = {.level = LOG_INFO};
    enum log_level level;
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        options.modules = bad[i];
        assert_int_equal(log_open(&options, &err), ERR_INVALID);
    }
    options.modules = NULL;
    options.path = "/nonexistent/x.log";
    assert_int_equal(log_open(&options, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/x.log"));
    assert_int_equal(log_parse_level("Warn", &level), 0);
    assert_int_equal(level, LOG_WARN);
    assert_int_equal(log_parse_level("", &level), ERR_INVALID);
}

static void rotates(void **state)
{
    struct log_options options = {
        .path = path, .level = LOG_INFO, .rotate_bytes = 100, .rotate_keep = 2};
    char text[1024], name[80];

    (void)state;
    unlink(path);
    assert_int_equal(log_open(&options, NULL), 0);
    for (int i = 0; i < 10; i++)
        log_printf(LOG_INFO, "m", "line number %d", i);
    assert_true(read_file(path, text, sizeof(text)) <= 100);
    assert_non_null(strstr(text, "line number 9"));
    snprintf(name, sizeof(name), "%s.1", path);
    assert_true(read_file(name, text, sizeof(text)) > 0);
    assert_non_null(strstr(text, "line number 7"));
    snprintf(name, sizeof(name), "%s.3", path);
    assert_int_equal(access(name, F_OK), -1);
    log_close();
}

static void standard_error_follows_the_log(void **state)
{
    struct log_options options = {
        .path = path, .level = LOG_INFO, .rotate_bytes = 100, .rotate_keep = 1};
    int before = dup(STDERR_FILENO), fd;
    char text[1024];
    ssize_t n;

    (void)state;
    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    assert_true(fd >= 0 && before >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    close(fd);
    assert_int_equal(log_open(&options, NULL), 0);
    for (int i = 0; i < 10; i++)
        log_printf(LOG_INFO, "m", "line number %d", i);
    n = write(STDERR_FILENO, "printed\n", 8);
    dup2(before, STDERR_FILENO);
    close(before);
    log_close();
    assert_int_equal(n, 8);
    read_file(path, text, sizeof(text));
    assert_non_null(strstr(text, "printed"));
}

static void hook(const char *message)
{
    (void)!write(STDERR_FILENO, "hook: ", 6);
    (void)!write(STDERR_FILENO, message, strlen(message));
    CHECK_UNREACHABLE("inside the hook");
}

static void failed_check_tells_and_aborts(void **state)
{
    int fds[2], status;
    char text[8192];
    size_t len = 0;
    ssize_t n;
    pid_t child;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        close(fds[1]);
        check_set_hook(hook);
        CHECK(1 == 2);
        _exit(0);
    }
    close(fds[1]);
    while ((n = read(fds[0], text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = 0;
    close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "check failed: 1 == 2 ("));
    assert_non_null(strstr(text, "hook: check failed: 1 == 2 ("));
    assert_non_null(strstr(text, "unreachable: inside the hook"));
    assert_non_null(strstr(text, "[0x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_one_form),
        cmocka_unit_test(refuses_bad_options),
        cmocka_unit_test(rotates),
        cmocka_unit_test(standard_error_follows_the_log),
        cmocka_unit_test(failed_check_tells_and_aborts),
    };

    return cmocka_run_group_tests_name("log", tests, make_dir, remove_dir);
}
