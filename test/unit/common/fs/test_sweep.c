/* test_sweep.c - what common/fs/sweep.c removes of real folders, and of what it complains. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/unit/loop.h"

#include "common/fs/sweep.h"

static struct env *env;
static struct env_ops ops;
static struct fs_sweeper sweeper;
static char folder[64], long_path[128], said[512];
static int idle, lines;

static void on_log(struct env *e, enum log_level level, const char *module, const char *job, const char *text)
{
    (void)e, (void)level, (void)module, (void)job;
    lines++;
    snprintf(said, sizeof(said), "%s", text);
}

static bool log_all(struct env *e, enum log_level level, const char *module)
{
    (void)e, (void)level, (void)module;
    return true;
}

static void on_idle(void *arg)
{
    (void)arg;
    idle++;
}

static int begin(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/rask-sweep-XXXXXX");
    assert_non_null(mkdtemp(folder));
    env = loop_new(false);
    ops = *env->ops;
    ops.log = on_log;
    ops.log_enabled = log_all;
    env->ops = &ops;
    idle = lines = 0;
    fs_sweeper_init(&sweeper, env, "test", NULL, on_idle, NULL, NULL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fs_sweeper_release(&sweeper);
    env_libevent_free(env);
    return rmdir(folder);
}

static const char *in(const char *name)
{
    snprintf(long_path, sizeof(long_path), "%s/%s", folder, name);
    return long_path;
}

static void make_file(const char *name)
{
    int fd = open(in(name), O_WRONLY | O_CREAT | O_EXCL, 0666);

    assert_true(fd >= 0);
    close(fd);
}

static bool is_there(const char *name)
{
    return access(in(name), F_OK) == 0;
}

static void go(struct fs_sweep *sweep)
{
    int before = idle;

    fs_sweep_go(sweep);
    loop_until(env, &idle, before + 1);
    assert_true(fs_sweeper_is_idle(&sweeper));
}

static void files_and_folders_go_with_all_in_them(void **state)
{
    struct fs_sweep *sweep = fs_sweep_new(&sweeper);

    (void)state;
    make_file("a");
    assert_int_equal(mkdir(in("d"), 0777), 0);
    assert_int_equal(mkdir(in("d/e"), 0777), 0);
    make_file("d/e/f");
    make_file("stays");
    fs_sweep_add(sweep, in("a"));
    fs_sweep_add(sweep, in("d"));
    fs_sweep_add(sweep, in("was never there"));
    go(sweep);
    assert_false(is_there("a") || is_there("d"));
    assert_true(is_there("stays"));
    assert_int_equal(unlink(in("stays")), 0);
    assert_int_equal(lines, 0);
}

static bool all_of_it(void *arg, const char *name)
{
    (void)arg, (void)name;
    return true;
}

/* Somebody has put a file where the folder of a checkpoint, or of all of them, was. */
static void below_a_file_there_is_nothing_to_remove(void **state)
{
    struct fs_sweep *sweep = fs_sweep_new(&sweeper);

    (void)state;
    make_file("job");
    fs_sweep_add(sweep, in("job/chk-1/_metadata"));
    fs_sweep_add_some(sweep, in("job/shared"), all_of_it, NULL);
    fs_sweep_add_some(sweep, in("job"), all_of_it, NULL);
    fs_sweep_add_busy(sweep, in("job/chk-1"));
    go(sweep);
    assert_int_equal(lines, 0);
    assert_int_equal(unlink(in("job")), 0);
}

static void what_stays_is_said_with_its_own_reason(void **state)
{
    struct fs_sweep *sweep = fs_sweep_new(&sweeper);

    (void)state;
    make_file("a");
    fs_sweep_add(sweep, "/proc/self/status");
    fs_sweep_add(sweep, "/proc/self/stat");
    fs_sweep_add(sweep, in("a"));
    go(sweep);
    assert_false(is_there("a"));
    assert_int_equal(lines, 1);
    assert_non_null(strstr(said, "an old file stays: cannot remove /proc/self/status: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_and_folders_go_with_all_in_them, begin, end),
        cmocka_unit_test_setup_teardown(below_a_file_there_is_nothing_to_remove, begin, end),
        cmocka_unit_test_setup_teardown(what_stays_is_said_with_its_own_reason, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
