/*
 * test_fs_durable.c - what the files of fs.h promise after a power cut, with each sync left out in turn.
 * Not here: that the calls work (the contract).
 */
#include "test/unit/disk_model.h"


#include "common/fs/fs.h"
#include "test/unit/loop.h"

static struct env *env;
static char folder[64], long_path[128];

static char *in(const char *name)
{
    snprintf(long_path, sizeof(long_path), "%s/%s", folder, name);
    return long_path;
}

static int begin(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/rask-durable-XXXXXX");
    assert_non_null(mkdtemp(folder));
    env = loop_new(false);
    return 0;
}

static int end(void **state)
{
    (void)state;
    env_libevent_free(env);
    disk_clear(folder);
    return rmdir(folder);
}

struct call {
    int done, code;
    struct fs_file *file;
};
static void on_done(void *arg, const struct fs_result *result)
{
    struct call *c = arg;

    c->code = result->code;
    c->file = result->file;
    c->done = 1;
}
#define CALL(op, ...)                                                                          \
    do {                                                                                       \
        struct call call = {0};                                                                \
                                                                                               \
        env->fs->ops->op(env->fs, __VA_ARGS__, on_done, &call);                                \
        loop_until(env, &call.done, 1);                                                        \
        assert_int_equal(call.code, 0);                                                        \
        last = call;                                                                           \
    } while (0)
static struct call last;

static void clear(const char *keep, const char *content)
{
    disk_clear(folder);
    if (keep) {
        int fd = open(in(keep), O_WRONLY | O_CREAT | O_EXCL, 0666);

        assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
        close(fd);
    }
}

static bool holds(const char *name, const char *content)
{
    char buf[64] = "";
    int fd = open(in(name), O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));

    if (fd >= 0)
        close(fd);
    return n == (ssize_t)strlen(content) && memcmp(buf, content, (size_t)n) == 0;
}

/* ---- write_all ---- */

static bool whole_file(void *arg, int skipped)
{
    (void)arg;
    clear("f", "old");
    disk_begin(folder, skipped);
    CALL(write_all, in("f"), "new content", 11);
    disk_cut();
    return holds("f", "new content");
}

static void a_whole_file_is_there_when_it_was_said_to_be(void **state)
{
    (void)state;
    assert_int_equal(disk_each_sync_is_needed(whole_file, NULL), 2); /* its bytes, its name */
}

struct torn {
    bool seen;
};
/* A journal may be faster than the content of a file: the name is there already, what does it show? */
static void look_at_name(void *arg)
{
    struct torn *t = arg;
    const struct bytes *content = disk_torn(in("f"));

    if (!content || !((content->len == 3 && memcmp(content->data, "old", 3) == 0) ||
                      (content->len == 11 && memcmp(content->data, "new content", 11) == 0)))
        t->seen = true;
}

static bool replaces(int skipped)
{
    struct torn t = {false};

    clear("f", "old");
    disk_begin(folder, skipped);
    disk_look(look_at_name, &t);
    CALL(write_all, in("f"), "new content", 11);
    look_at_name(&t);
    disk_cut();
    return !t.seen;
}

static void a_whole_file_is_the_old_one_or_the_new_one(void **state)
{
    (void)state;
    assert_true(replaces(0));
    assert_false(replaces(1)); /* renamed before its bytes were synced */
}

/* ---- append, sync, sync_dir ---- */

static bool appended(void *arg, int skipped)
{
    struct fs_file *f;

    (void)arg;
    clear(NULL, NULL);
    disk_begin(folder, skipped);
    CALL(open, in("log"), FS_CREATE);
    f = last.file;
    CALL(append, f, "first ", 6);
    CALL(append, f, "second", 6);
    CALL(sync, f);
    env->fs->ops->close(env->fs, f);
    CALL(sync_dir, folder);
    disk_cut();
    return holds("log", "first second");
}

static void synced_bytes_and_their_name_are_there(void **state)
{
    (void)state;
    assert_int_equal(disk_each_sync_is_needed(appended, NULL), 2);
}

static bool renamed(void *arg, int skipped)
{
    char to[128];

    (void)arg;
    clear("a", "content");
    disk_begin(folder, skipped);
    snprintf(to, sizeof(to), "%s/b", folder);
    CALL(rename, in("a"), to);
    CALL(sync_dir, folder);
    disk_cut();
    return holds("b", "content");
}

static void a_synced_rename_is_there(void **state)
{
    (void)state;
    assert_int_equal(disk_each_sync_is_needed(renamed, NULL), 1);
}

/* ---- mkdirs ---- */

static bool folders(void *arg, int skipped)
{
    (void)arg;
    clear(NULL, NULL);
    disk_begin(folder, skipped);
    CALL(mkdirs, in("job/chk-1"));
    CALL(mkdirs, in("job/chk-1")); /* is there: nothing to sync */
    disk_cut();
    return access(in("job/chk-1"), F_OK) == 0;
}

static void folders_that_were_made_are_there(void **state)
{
    (void)state;
    assert_int_equal(disk_each_sync_is_needed(folders, NULL), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_whole_file_is_there_when_it_was_said_to_be, begin, end),
        cmocka_unit_test_setup_teardown(a_whole_file_is_the_old_one_or_the_new_one, begin, end),
        cmocka_unit_test_setup_teardown(synced_bytes_and_their_name_are_there, begin, end),
        cmocka_unit_test_setup_teardown(a_synced_rename_is_there, begin, end),
        cmocka_unit_test_setup_teardown(folders_that_were_made_are_there, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
