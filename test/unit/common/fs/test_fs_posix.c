/* test_fs_posix.c - what fs_posix.c says of paths that are no files. What files promise is the contract's business. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/unit/loop.h"

#include "common/fs/fs.h"

struct call {
    int done, code;
    char text[256];
};

static void on_done(void *arg, const struct fs_result *result)
{
    struct call *c = arg;

    c->code = result->code;
    snprintf(c->text, sizeof(c->text), "%s", result->code < 0 ? result->err.text : "");
    c->done = 1;
}

static void a_pipe_holds_nobody(void **state)
{
    struct env *env = loop_new(false);
    char folder[] = "/tmp/rask-fs-XXXXXX", path[64];
    struct call read_all = {0}, open = {0};

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/_metadata", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    env->fs->ops->read_all(env->fs, path, 100, on_done, &read_all);
    env->fs->ops->open(env->fs, path, FS_READ, on_done, &open);
    loop_until(env, &read_all.done, 1);
    loop_until(env, &open.done, 1);
    assert_int_equal(read_all.code, ERR_INVALID);
    assert_int_equal(open.code, ERR_INVALID);
    assert_non_null(strstr(read_all.text, "/_metadata: it is no regular file"));
    assert_string_equal(open.text, read_all.text);
    env_libevent_free(env);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipe_holds_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
