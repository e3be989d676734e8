/* test_daemon.c - what a starting script sees of a daemon: exit code, ready line, pid file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/conf/daemon.h"

static char dir[64], pidfile[128], logfile[128];

static void read_text(const char *path, char text[4096])
{
    FILE *f = fopen(path, "r");

    text[0] = '\0';
    if (f != NULL) {
        text[fread(text, 1, 4095, f)] = '\0';
        fclose(f);
    }
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* Runs a daemon with these arguments in a child, up to its end; says what the ready pipe said. */
static int run_daemon(char **args, void (*body)(struct daemon *d), char line[512])
{
    char fd_text[16], *argv[32] = {(char *)"rask-test", (char *)"--ready-fd", fd_text};
    int argc = 3, fds[2], status;
    size_t len = 0;
    ssize_t n;
    pid_t child;

    assert_int_equal(pipe(fds), 0);
    snprintf(fd_text, sizeof(fd_text), "%d", fds[1]);
    for (; args[argc - 3] != NULL; argc++)
        argv[argc] = args[argc - 3];
    child = fork();
    if (child == 0) {
        struct daemon d;
        int code;

        close(fds[0]);
        if (freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL)
            _exit(99);
        code = daemon_start(&d, "rask-test", argc, argv);
        if (code < 0) {
            body(&d);
            daemon_end(&d);
            code = 42;
        }
        _exit(code);
    }
    assert_true(child > 0);
    close(fds[1]);
    while ((n = read(fds[0], line + len, 511 - len)) > 0)
        len += (size_t)n;
    line[len] = '\0';
    close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void is_ready(struct daemon *d)
{
    char text[4096], own[32];

    read_text(pidfile, text);
    snprintf(own, sizeof(own), "%ld\n", (long)getpid());
    CHECK(strlen(text) >= strlen(own));
    CHECK(strcmp(text + strlen(text) - strlen(own), own) == 0);
    CHECK(conf_int(d->conf, OPT_REST_PORT) == 77);
    CHECK(d->argc == 1 && strcmp(d->argv[0], "rest") == 0);
    daemon_ready(d);
    daemon_ready(d);
}

static void is_waiting(struct daemon *d)
{
    daemon_waiting(d, "nobody answers\nat localhost:6123");
    daemon_ready(d);
}

static void never(struct daemon *d)
{
    (void)d;
    CHECK_UNREACHABLE("it must not start");
}

static void says_ready_and_keeps_its_pid_file(void **state)
{
    char *args[] = {(char *)"--pidfile", pidfile, (char *)"-D", (char *)"rest.port=77",
                    (char *)"--log", logfile, (char *)"-Ds3.password=topsecret",
                    (char *)"rest", NULL};
    char line[512], text[4096], expected[64];

    (void)state;
    assert_int_equal(run_daemon(args, is_ready, line), 42);
    assert_string_equal(line, "ready\n");
    assert_int_equal(access(pidfile, F_OK), -1);

    /* the dead go, the living stay */
    snprintf(expected, sizeof(expected), "%ld\n", (long)getpid());
    snprintf(text, sizeof(text), "999999999\n%s", expected);
    write_text(pidfile, text);
    assert_int_equal(run_daemon(args, is_ready, line), 42);
    read_text(pidfile, text);
    assert_string_equal(text, expected);
    unlink(pidfile);

    read_text(logfile, text);
    assert_non_null(strstr(text, "rask-test"));
    assert_non_null(strstr(text, "rest.port = 77 (-D)"));
    assert_non_null(strstr(text, "s3.password = ******"));
    assert_null(strstr(text, "topsecret"));
    unlink(logfile);
}

static void says_what_it_waits_for_in_one_line(void **state)
{
    char *args[] = {NULL};
    char line[512];

    (void)state;
    assert_int_equal(run_daemon(args, is_waiting, line), 42);
    assert_string_equal(line, "waiting nobody answers at localhost:6123\n");
}

static void says_why_it_does_not_start(void **state)
{
    char *bad_value[] = {(char *)"-D", (char *)"rest.port=many", NULL};
    char *bad_option[] = {(char *)"--nonsense", NULL};
    char *bad_pidfile[] = {(char *)"--pidfile", (char *)"/dev/null/x", NULL};
    char *bad_log[] = {(char *)"--log", (char *)"/dev/null/x", NULL};
    char *bad_conf[] = {(char *)"-c", (char *)"/nonexistent", NULL};
    char line[512];

    (void)state;
    assert_int_equal(run_daemon(bad_value, never, line), 1);
    assert_string_equal(line, "error -D: rest.port: 'many' is not a whole number; allowed: a whole "
                              "number from 0 to 65535\n");
    assert_int_equal(run_daemon(bad_option, never, line), 1);
    assert_string_equal(line, "error bad option; rask-test --help lists them\n");
    assert_int_equal(run_daemon(bad_pidfile, never, line), 1);
    assert_non_null(strstr(line, "error pid file /dev/null/x: "));
    assert_int_equal(run_daemon(bad_log, never, line), 1);
    assert_non_null(strstr(line, "/dev/null/x"));
    assert_int_equal(run_daemon(bad_conf, never, line), 1);
    assert_non_null(strstr(line, "error configuration /nonexistent: "));
}

static void helps(void **state)
{
    char *help[] = {(char *)"--help", NULL}, *version[] = {(char *)"-v", NULL};
    char line[512];

    (void)state;
    assert_int_equal(run_daemon(help, never, line), 0);
    assert_int_equal(run_daemon(version, never, line), 0);
    assert_string_equal(line, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_ready_and_keeps_its_pid_file),
        cmocka_unit_test(says_what_it_waits_for_in_one_line),
        cmocka_unit_test(says_why_it_does_not_start),
        cmocka_unit_test(helps),
    };
    int failed;

    unsetenv("RASK_CONF_DIR");
    snprintf(dir, sizeof(dir), "/tmp/rask-daemon-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(pidfile, sizeof(pidfile), "%s/a.pid", dir);
    snprintf(logfile, sizeof(logfile), "%s/a.log", dir);
    failed = cmocka_run_group_tests_name("daemon", tests, NULL, NULL);
    return rmdir(dir) < 0 || failed;
}
