/* test_fd_watch.c - descriptors that wake tasks, and no longer do. */
#include "test/unit/loop.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "taskmanager/worker/task/fd_watch_posix.h"
#include "test/unit/taskmanager/worker/noting.h"

static void readable_once(void **state)
{
    struct env *env = loop_new(false);
    struct fd_watch *w = wk_fd_watch_new(env);
    struct wk_runnable task = {.executor = &executor};
    int p[2];

    (void)state;
    woken = 0;
    assert_int_equal(pipe(p), 0);
    assert_true(wk_fd_watch_add(w, p[0], &task));
    loop_settle(env);
    assert_int_equal(woken, 0);
    assert_int_equal(write(p[1], "x", 1), 1);
    loop_until(env, &woken, 1);
    loop_settle(env); /* still readable, but it was told */
    assert_int_equal(woken, 1);
    assert_true(wk_fd_watch_add(w, p[0], &task)); /* asks again */
    loop_until(env, &woken, 2);
    close(p[0]);
    close(p[1]);
    wk_fd_watch_free(w);
    env_libevent_free(env);
}

/* A number that is used again belongs to whoever asked last. */
static void removed_and_reused(void **state)
{
    struct env *env = loop_new(false);
    struct fd_watch *w = wk_fd_watch_new(env);
    struct wk_runnable old = {.executor = &executor}, task = {.executor = &executor};
    int p[2], number;

    (void)state;
    woken = 0;
    assert_int_equal(pipe(p), 0);
    assert_true(wk_fd_watch_add(w, p[0], &old));
    assert_int_equal(write(p[1], "x", 1), 1);
    wk_fd_watch_remove(w, p[0]);
    loop_settle(env);
    assert_int_equal(woken, 0);
    number = p[0];
    close(p[0]);
    close(p[1]);
    assert_int_equal(pipe(p), 0);
    assert_int_equal(p[0], number);
    assert_true(wk_fd_watch_add(w, p[0], &task));
    close(p[1]); /* the end of the stream is readable, too */
    loop_until(env, &woken, 1);
    wk_fd_watch_remove(w, p[0]);
    wk_fd_watch_remove(w, p[0]);
    close(p[0]);
    wk_fd_watch_free(w);
    env_libevent_free(env);
}

static void file_cannot_be_watched(void **state)
{
    struct env *env = loop_new(false);
    struct fd_watch *w = wk_fd_watch_new(env);
    struct wk_runnable task = {.executor = &executor};
    FILE *f = tmpfile();

    (void)state;
    assert_non_null(f);
    assert_false(wk_fd_watch_add(w, fileno(f), &task));
    fclose(f);
    wk_fd_watch_free(w);
    env_libevent_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readable_once),
        cmocka_unit_test(removed_and_reused),
        cmocka_unit_test(file_cannot_be_watched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
