/* test_work_folder.c - temporary folders of processes: private, kept while their process lives, removed after it. */
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/conf/work_folder.h"

static char parent[] = "/tmp/rask-test-folder-XXXXXX";

static int make_parent(void **state)
{
    (void)state;
    return mkdtemp(parent) ? 0 : -1;
}

static int remove_parent(void **state)
{
    (void)state;
    return rmdir(parent);
}

/* A process that makes a folder with a file in it, and is killed as soon as fd says so; the path comes over another pipe. */
static pid_t start_owner(char path[256], int *ret_end)
{
    int told[2], end[2];
    char *made, byte;
    struct err err;
    ssize_t n;
    pid_t pid;

    assert_int_equal(pipe(told), 0);
    assert_int_equal(pipe(end), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(end[1]);
        if (work_folder_make(parent, "play-", &made, &err) < 0 || chdir(made) < 0 || creat("file", 0600) < 0 ||
            write(told[1], made, strlen(made)) < 0)
            _exit(1);
        (void)!read(end[0], &byte, 1);
        _exit(0);
    }
    close(told[1]);
    close(end[0]);
    n = read(told[0], path, 255);
    close(told[0]);
    assert_true(n > 0);
    path[n] = 0;
    *ret_end = end[1];
    return pid;
}

static void is_private_and_goes(void **state)
{
    struct stat st;
    struct err err;
    char *path;

    (void)state;
    assert_int_equal(work_folder_make(parent, "play-", &path, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    work_folder_remove(path);
    assert_int_equal(access(path, F_OK), -1);
    work_folder_remove(path);
    mem_free(path);
    assert_int_equal(work_folder_make("/nonexistent", "play-", &path, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent"));
}

static void is_kept_while_its_process_lives(void **state)
{
    char other[256], *path;
    struct err err;
    siginfo_t info;
    int end;
    pid_t pid = start_owner(other, &end);

    (void)state;
    assert_int_equal(work_folder_make(parent, "play-", &path, &err), 0);
    assert_int_equal(access(other, F_OK), 0);
    work_folder_remove(path);
    mem_free(path);
    close(end);
    /* Dead, but not reaped: kill() still finds it. */
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(work_folder_make(parent, "other-", &path, &err), 0);
    assert_int_equal(access(other, F_OK), 0);
    work_folder_remove(path);
    mem_free(path);
    assert_int_equal(work_folder_make(parent, "play-", &path, &err), 1);
    assert_int_equal(access(other, F_OK), -1);
    work_folder_remove(path);
    mem_free(path);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void one_of_a_name_is_found_again(void **state)
{
    char *path = mem_printf("%s/tm_seven", parent);
    struct stat st;
    struct err err;
    int end[2], fd, status;
    char byte = 0;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(end), 0);
    pid = fork();
    if (pid == 0) {
        if (work_folder_keep(path, &err) < 0)
            _exit(1);
        fd = open(path, O_RDONLY | O_DIRECTORY);
        if (fd < 0 || openat(fd, "file", O_CREAT | O_WRONLY, 0600) < 0 || write(end[1], "x", 1) != 1)
            _exit(2);
        pause();
    }
    assert_int_equal(read(end[0], &byte, 1), 1);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(work_folder_keep(path, &err), ERR_EXISTS); /* it lives */
    assert_non_null(strstr(err.text, "another process holds it"));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(end[0]);
    close(end[1]);
    assert_int_equal(work_folder_keep(path, &err), 0);
    fd = open(path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(faccessat(fd, "file", F_OK, 0), 0);
    close(fd);
    work_folder_remove(path);
    mem_free(path);
    assert_int_equal(work_folder_keep("/nonexistent/tm", &err), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_private_and_goes),
        cmocka_unit_test(is_kept_while_its_process_lives),
        cmocka_unit_test(one_of_a_name_is_found_again),
    };

    return cmocka_run_group_tests(tests, make_parent, remove_parent);
}
