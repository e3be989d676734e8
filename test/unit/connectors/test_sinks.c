/* Print, text and csv sinks: what they write, where, and what they say when they cannot. */
#include <errno.h>
#include <sys/mount.h>

#include "test/unit/connectors/harness.h"

static const rask_field all_fields[] = {
    {"b", RASK_T_BOOLEAN, 1, 0, 0, NULL}, {"i", RASK_T_INT, 1, 0, 0, NULL},   {"d", RASK_T_DOUBLE, 1, 0, 0, NULL},
    {"s", RASK_T_STRING, 1, 0, 0, NULL},  {"m", RASK_T_DECIMAL, 1, 9, 2, NULL}, {"day", RASK_T_DATE, 1, 0, 0, NULL},
    {"at", RASK_T_TIMESTAMP, 1, 3, 0, NULL}};
static const rask_schema all_schema = {RASK_ABI, 7, "all", all_fields};
static const rask_field pair_fields[] = {{"word", RASK_T_STRING, 0, 0, 0, NULL}, {"n", RASK_T_BIGINT, 0, 0, 0, NULL}};
static const rask_schema pair_schema = {RASK_ABI, 2, "pair", pair_fields};

static void all_put(rask_out *out, const char *s)
{
    assert_int_equal(rask_out_begin(out, &all_schema), 0);
    rask_out_bool(out, 0, true);
    rask_out_i32(out, 1, -7);
    rask_out_f64(out, 2, 0.5);
    rask_out_string(out, 3, rask_str_of(s));
    rask_out_i64(out, 4, -105);
    rask_out_i32(out, 5, 20454);
    rask_out_i64(out, 6, 1);
    assert_int_equal(rask_out_end(out), 0);
}

static void nulls_put(rask_out *out)
{
    assert_int_equal(rask_out_begin(out, &all_schema), 0);
    for (int i = 0; i < 7; i++)
        rask_out_null(out, i);
    assert_int_equal(rask_out_end(out), 0);
}

static void pair_put(rask_out *out, const char *word, int64_t n)
{
    assert_int_equal(rask_out_begin(out, &pair_schema), 0);
    rask_out_string(out, 0, rask_str_of(word));
    rask_out_i64(out, 1, n);
    assert_int_equal(rask_out_end(out), 0);
}

static struct harness *sink_new(const char *connector, const rask_schema *schema, const char *path)
{
    struct harness *h = h_new(connector, schema);

    if (path)
        h_property(h, "path", path);
    return h;
}

static int sink_run(struct harness *h)
{
    h_full(h->ctx.out, h);
    return h_write(h, h->batches, h->batch_count);
}

static void csv_quotes_what_needs_it(void **state)
{
    char *path = in_folder(state, "a/b/out.csv");
    struct harness *h = sink_new("csv", &all_schema, path);

    all_put(h->ctx.out, "plain text");
    all_put(h->ctx.out, "a,\"b\"\nc");
    all_put(h->ctx.out, "");
    nulls_put(h->ctx.out);
    assert_int_equal(sink_run(h), 0);
    assert_file(path, "true,-7,0.5,plain text,-1.05,2026-01-01,1970-01-01 00:00:00.001\n"
                      "true,-7,0.5,\"a,\"\"b\"\"\nc\",-1.05,2026-01-01,1970-01-01 00:00:00.001\n"
                      "true,-7,0.5,\"\",-1.05,2026-01-01,1970-01-01 00:00:00.001\n"
                      ",,,,,,\n");
    h_free(h);
}

static void existing_file_is_replaced(void **state)
{
    char *path = in_folder(state, "out.txt");
    struct harness *h = sink_new("text", &rask_text_schema, path);

    file_put_str(path, "a long line from before\n");
    assert_int_equal(rask_out_begin(h->ctx.out, &rask_text_schema), 0);
    rask_out_string(h->ctx.out, 0, RASK_STR("new"));
    assert_int_equal(rask_out_end(h->ctx.out), 0);
    assert_int_equal(sink_run(h), 0);
    assert_file(path, "new\n");
    h_free(h);
}

static void parallel_sinks_write_a_folder(void **state)
{
    char *path = in_folder(state, "out");

    file_put_str(path, "a file stands there");
    for (uint32_t i = 0; i < 2; i++) {
        struct harness *h = sink_new("csv", &pair_schema, path);

        if (i == 1) {
            file_put_str(in_folder(state, "out/3"), "of an earlier run with more subtasks\n");
            file_put_str(in_folder(state, "out/notes"), "kept\n");
        }
        h->ctx.parallelism = 2;
        h->ctx.subtask = 1 - i;
        pair_put(h->ctx.out, "w", 1 - i);
        assert_int_equal(sink_run(h), 0);
        h_free(h);
    }
    assert_file(in_folder(state, "out/1"), "w,0\n");
    assert_file(in_folder(state, "out/2"), "w,1\n");
    assert_file(in_folder(state, "out/notes"), "kept\n");
    assert_int_not_equal(access(in_folder(state, "out/3"), F_OK), 0);
}

static void many_rows_leave_in_order(void **state)
{
    char *path = in_folder(state, "big");
    struct harness *h = sink_new("csv", &pair_schema, path);
    struct bytes expected = {0}, got = {0};

    for (int64_t i = 0; i < 50000; i++) {
        pair_put(h->ctx.out, "some word or other", i);
        bytes_printf(&expected, "some word or other,%lld\n", (long long)i);
    }
    assert_int_equal(sink_run(h), 0);
    file_get(path, &got);
    assert_int_equal(got.len, expected.len);
    assert_memory_equal(got.data, expected.data, got.len);
    bytes_release(&expected);
    bytes_release(&got);
    h_free(h);
}

static void directory_in_the_way(void **state)
{
    char *path = ((struct folder *)*state)->path;
    struct harness *h = sink_new("csv", &pair_schema, path);

    pair_put(h->ctx.out, "w", 1);
    assert_true(sink_run(h) < 0);
    assert_contains(h->ctx.error.text, path);
    assert_contains(h->ctx.error.text, "it is a directory; name a file in it");
    h_free(h);
}

static void file_in_the_way_of_a_folder(void **state)
{
    char *path = in_folder(state, "file/out");
    struct harness *h = sink_new("csv", &pair_schema, path);

    file_put_str(in_folder(state, "file"), "x");
    pair_put(h->ctx.out, "w", 1);
    assert_true(sink_run(h) < 0);
    assert_contains(h->ctx.error.text, path);
    assert_contains(h->ctx.error.text, "a folder of the path is a file");
    h_free(h);
}

static void no_rights_says_who_asked(void **state)
{
    char *path = in_folder(state, "closed/out");
    pid_t pid;
    int status;

    mkdir(in_folder(state, "closed"), 0700);
    pid = fork();
    if (pid == 0) {
        struct harness *h = sink_new("csv", &pair_schema, path);

        if (geteuid() == 0 && seteuid(65534) != 0)
            _exit(3);
        if (geteuid() != 65534)
            chmod(in_folder(state, "closed"), 0500);
        pair_put(h->ctx.out, "w", 1);
        _exit(sink_run(h) < 0 && strstr(h->ctx.error.text, path) &&
                      strstr(h->ctx.error.text, "permission denied for user id")
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* A small file system of our own, where mounting is permitted. */
static bool mount_small(const char *path, unsigned long flags)
{
    mkdir(path, 0777);
    if (mount("rask-test", path, "tmpfs", flags, flags & MS_RDONLY ? NULL : "size=64k") == 0)
        return true;
    print_message("skipped: mounting a tmpfs is not permitted here: %s\n", strerror(errno));
    return false;
}

static void full_disk(void **state)
{
    char *dir = in_folder(state, "small"), *path = in_folder(state, "small/out");
    struct stat st;
    struct harness *h;

    if (!mount_small(dir, 0))
        skip();
    h = sink_new("csv", &pair_schema, path);
    for (int64_t i = 0; i < 20000; i++)
        pair_put(h->ctx.out, "some word or other", i);
    assert_true(sink_run(h) < 0);
    assert_contains(h->ctx.error.text, path);
    assert_contains(h->ctx.error.text, "the disk is full; free space there");
    assert_int_equal(stat(path, &st), 0); /* what was written stays */
    assert_true(st.st_size > 0);
    h_free(h);
    assert_int_equal(umount(dir), 0);
}

static void read_only_mount(void **state)
{
    char *dir = in_folder(state, "sealed"), *path = in_folder(state, "sealed/out");
    struct harness *h;

    if (!mount_small(dir, MS_RDONLY))
        skip();
    h = sink_new("csv", &pair_schema, path);
    pair_put(h->ctx.out, "w", 1);
    assert_true(sink_run(h) < 0);
    assert_contains(h->ctx.error.text, path);
    assert_contains(h->ctx.error.text, "mounted read-only");
    h_free(h);
    assert_int_equal(umount(dir), 0);
}

/* /dev/full takes nothing, on any machine. */
static void device_that_is_full(void **state)
{
    struct harness *h = sink_new("csv", &pair_schema, "/dev/full");

    (void)state;
    pair_put(h->ctx.out, "w", 1);
    assert_true(sink_run(h) < 0);
    assert_contains(h->ctx.error.text, "the disk is full");
    h_free(h);
}

static void printed(const rask_schema *schema, uint32_t parallelism, uint32_t subtask, void (*put)(rask_out *),
                    const char *expected)
{
    struct harness *h = sink_new("print", schema, NULL);
    char got[512] = {0};
    int fd[2];

    assert_int_equal(pipe(fd), 0);
    h->args.err_fd = fd[1];
    h->ctx.parallelism = parallelism;
    h->ctx.subtask = subtask;
    h_property(h, "stream", "stderr");
    put(h->ctx.out);
    assert_int_equal(sink_run(h), 0);
    assert_true(read(fd[0], got, sizeof(got) - 1) > 0);
    assert_string_equal(got, expected);
    close(fd[0]);
    close(fd[1]);
    h_free(h);
}

static void put_two(rask_out *out)
{
    pair_put(out, "the", 1);
    pair_put(out, "of", 2);
}
static void put_line(rask_out *out)
{
    assert_int_equal(rask_out_begin(out, &rask_text_schema), 0);
    rask_out_string(out, 0, RASK_STR("a line"));
    assert_int_equal(rask_out_end(out), 0);
}
static void put_nulls(rask_out *out)
{
    nulls_put(out);
}

static void print_looks_like_flink(void **state)
{
    (void)state;
    printed(&pair_schema, 1, 0, put_two, "(the,1)\n(of,2)\n");
    printed(&pair_schema, 4, 2, put_two, "3> (the,1)\n3> (of,2)\n");
    printed(&rask_text_schema, 1, 0, put_line, "a line\n");
    printed(&all_schema, 2, 0, put_nulls, "1> (null,null,null,null,null,null,null)\n");
}

static void print_to_nobody(void **state)
{
    struct harness *h = sink_new("print", &pair_schema, NULL);
    int fd[2];

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(fd), 0);
    close(fd[0]);
    h->args.out_fd = fd[1];
    pair_put(h->ctx.out, "w", 1);
    assert_true(sink_run(h) < 0);
    assert_contains(h->ctx.error.text, "nobody reads the output");
    close(fd[1]);
    h_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(csv_quotes_what_needs_it, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(existing_file_is_replaced, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(parallel_sinks_write_a_folder, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(many_rows_leave_in_order, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(directory_in_the_way, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(file_in_the_way_of_a_folder, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(no_rights_says_who_asked, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(full_disk, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(read_only_mount, folder_make, folder_remove),
        cmocka_unit_test(device_that_is_full),
        cmocka_unit_test(print_looks_like_flink),
        cmocka_unit_test(print_to_nobody),
    };

    return cmocka_run_group_tests_name("sinks", tests, NULL, NULL);
}
