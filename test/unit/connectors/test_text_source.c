/* Lines of files: splits, ends of lines, odd bytes, long lines, what cannot be read. */
#include "test/unit/connectors/harness.h"

static struct harness *text_new(const char *path)
{
    struct harness *h = h_new("text", &rask_text_schema);

    h_property(h, "path", path);
    return h;
}

static void check_text(void **state, const char *content, size_t len, const char *rows)
{
    char *path = in_folder(state, "in.txt");
    struct harness *h;

    file_put(path, content, len);
    h = text_new(path);
    assert_int_equal(h_read(h), 0);
    assert_rows(h, rows);
    h_free(h);
}

static void ends_of_lines(void **state)
{
    check_text(state, "", 0, "");
    check_text(state, "\n", 1, "\n");
    check_text(state, "a", 1, "a\n");
    check_text(state, "a\nbb\n", 5, "a\nbb\n");
    check_text(state, "a\r\nb\n\n\r\nlast", 12, "a\nb\n\n\nlast\n");
    check_text(state, "twelve bytes\nthirteen byte\nfourteen bytes", 41, "twelve bytes\nthirteen byte\nfourteen bytes\n");
    check_text(state, "x\ry\nz\r", 6, "\"x\ry\"\n\"z\r\"\n"); /* not before \n: they stay */
}

static void odd_bytes_pass(void **state)
{
    char *path = in_folder(state, "odd");
    struct harness *h;
    rask_row row;

    file_put(path, "a\0b\xff\xfe\nnext", 10);
    h = text_new(path);
    assert_int_equal(h_read(h), 0);
    assert_int_equal(h->rows, 2);
    row = rask_batch_row(h->batches[0], 0);
    assert_int_equal(rask_string(&row, 0).len, 5);
    assert_memory_equal(rask_string(&row, 0).data, "a\0b\xff\xfe", 5);
    h_free(h);
}

static void long_lines(void **state)
{
    size_t len = 8u << 20;
    char *path = in_folder(state, "long"), *text = mem_alloc(len + 8);
    struct harness *h;
    rask_row row;

    memset(text, 'x', len);
    memcpy(text + len, "\nend", 4);
    file_put(path, text, len + 4);
    h = text_new(path);
    assert_int_equal(h_read(h), 0);
    assert_int_equal(h->rows, 2);
    row = rask_batch_row(h->batches[0], 0);
    assert_int_equal(rask_string(&row, 0).len, len);
    assert_memory_equal(rask_string(&row, 0).data, text, len);
    h_free(h);
    mem_free(text);
}

static void check_limit(const struct h_line *line, const char *text, size_t len, void **state)
{
    char *path = in_folder(state, "limit");
    struct harness *h;

    file_put(path, text, len);
    h = text_new(path);
    pool_set_row_max(h->pool, line->most);
    h_check_line(h, line, h_read(h), "is longer than rask.max-row-size");
    h_free(h);
}

static void the_limit_is_exact(void **state)
{
    h_each_line(check_limit, state);
}

static void line_above_the_limit_is_refused(void **state)
{
    char *path = in_folder(state, "endless");
    struct harness *h;
    int fd;

    file_put_str(path, "first\n");
    fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 6 + (65 << 20)), 0); /* zeros without an end */
    close(fd);
    h = text_new(path);
    h->keep_rows = false;
    assert_true(h_read(h) < 0);
    assert_contains(h->ctx.error.text, path);
    assert_contains(h->ctx.error.text, "the line at byte 6 is longer than rask.max-row-size");
    h_free(h);
}

static void folders(void **state)
{
    struct harness *h;

    mkdir(in_folder(state, "logs"), 0777);
    mkdir(in_folder(state, "logs/inner"), 0777);
    file_put_str(in_folder(state, "logs/b"), "b1\nb2");
    file_put_str(in_folder(state, "logs/a"), "a1\n");
    file_put_str(in_folder(state, "logs/.hidden"), "no\n");
    file_put_str(in_folder(state, "logs/_SUCCESS"), "no\n");
    file_put_str(in_folder(state, "logs/inner/c"), "no\n");
    h = text_new(in_folder(state, "logs"));
    assert_int_equal(h_read(h), 0);
    assert_rows(h, "a1\nb1\nb2\n");
    assert_int_equal(h->logs, 1);
    h_free(h);
}

static void missing_file_names_path_and_host(void **state)
{
    char *path = in_folder(state, "nowhere/in.txt"), host[256];
    struct harness *h = text_new(path);

    gethostname(host, sizeof(host));
    assert_true(h_read(h) < 0);
    assert_contains(h->ctx.error.text, path);
    assert_contains(h->ctx.error.text, "does not exist on host ");
    assert_contains(h->ctx.error.text, host);
    h_free(h);
}

/* Root reads everything: a child becomes somebody else. */
static void unreadable_file_says_who_asked(void **state)
{
    char *path = in_folder(state, "secret");
    pid_t pid;
    int status;

    file_put_str(path, "x\n");
    chmod(path, 0);
    chmod(((struct folder *)*state)->path, 0777);
    pid = fork();
    if (pid == 0) {
        struct harness *h = text_new(path);

        if (geteuid() == 0 && seteuid(65534) != 0)
            _exit(3);
        _exit(h_read(h) < 0 && strstr(h->ctx.error.text, "permission denied for user id") &&
                      strstr(h->ctx.error.text, path)
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void shrunk_file_is_an_error(void **state)
{
    char *path = in_folder(state, "shrinking");
    struct rask_split_slot slot = {0};
    struct harness *h;

    file_put_str(path, "one\ntwo\nthree\n");
    h = text_new(path);
    assert_int_equal(h_discover(h), 0);
    assert_int_equal(h->splits, 1);
    assert_int_equal(truncate(path, 6), 0);
    (void)h_read_split(h, (rask_str){(const char *)h->split_id[0].data, (uint32_t)h->split_id[0].len}, &slot, 100);
    assert_contains(h->ctx.error.text, "shrank to 6 bytes");
    bytes_release(&slot.position);
    h_free(h);
}

/* What a reader that knows nothing of splits and blocks makes of it. */
static void naive_lines(const char *data, size_t len, struct bytes *out)
{
    size_t at = 0;

    while (at < len) {
        size_t stop = at;
        bool ended;

        while (stop < len && data[stop] != '\n')
            stop++;
        ended = stop < len;
        bytes_add_u32(out, (uint32_t)(ended && stop > at && data[stop - 1] == '\r' ? stop - at - 1 : stop - at));
        bytes_add(out, data + at, ended && stop > at && data[stop - 1] == '\r' ? stop - at - 1 : stop - at);
        at = stop + 1;
    }
}

static void rows_bytes(const struct harness *h, struct bytes *out)
{
    for (uint32_t i = 0; i < h->batch_count; i++)
        for (uint32_t r = 0; r < h->batches[i]->rows; r++) {
            rask_row row = rask_batch_row(h->batches[i], r);
            rask_str s = rask_string(&row, 0);

            bytes_add_u32(out, s.len);
            bytes_add(out, s.data, s.len);
        }
}

static uint32_t rng(uint64_t *state, uint32_t below)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % below);
}

/* Random bytes in random ranges, some of them read up to a position and then from it again: the same lines. */
static void any_ranges_give_the_same_lines(void **state)
{
    char *path = in_folder(state, "random");
    uint64_t seed = 7;

    for (uint32_t round = 0; round < 150; round++) {
        uint32_t len = rng(&seed, round % 10 == 0 ? 900000 : 3000), at = 0, ends = 1 + rng(&seed, 200);
        char *data = mem_alloc(len + 1);
        struct bytes expected = {0}, got = {0};
        struct harness *h;

        for (uint32_t i = 0; i < len; i++)
            data[i] = rng(&seed, ends) == 0 ? '\n' : rng(&seed, 20) == 0 ? '\r' : (char)rng(&seed, 256);
        file_put(path, data, len);
        naive_lines(data, len, &expected);
        h = text_new(path);
        while (at < len) {
            uint32_t step = 1 + rng(&seed, rng(&seed, 3) ? len : 20), end = MIN(len, at + step);
            struct rask_split_slot slot = {0};
            struct bytes id = {0};
            int rc;

            bytes_add_u64(&id, at);
            bytes_add_u64(&id, end);
            bytes_add_str(&id, path);
            rc = h_read_split(h, (rask_str){(const char *)id.data, (uint32_t)id.len}, &slot, 1 + rng(&seed, 5));
            if (rc != RASK_END)
                rc = h_read_split(h, (rask_str){(const char *)id.data, (uint32_t)id.len}, &slot, UINT32_MAX);
            assert_string_equal(h->ctx.error.text, "");
            assert_int_equal(rc, RASK_END);
            bytes_release(&slot.position);
            bytes_release(&id);
            at = end;
        }
        rows_bytes(h, &got);
        assert_int_equal(got.len, expected.len);
        if (got.len)
            assert_memory_equal(got.data, expected.data, got.len);
        h_free(h);
        bytes_release(&expected);
        bytes_release(&got);
        mem_free(data);
    }
}

static void discovery_covers_the_file(void **state)
{
    char *path = in_folder(state, "sparse");
    uint64_t at = 0, size = 100u << 20;
    struct harness *h;
    int fd = open(path, O_WRONLY | O_CREAT, 0666);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
    h = text_new(path);
    assert_int_equal(h_discover(h), 0);
    assert_int_equal(h->splits, 16);
    for (uint32_t i = 0; i < h->splits; i++) {
        struct reader r = reader_of(h->split_id[i].data, h->split_id[i].len);

        assert_int_equal(reader_u64(&r), at);
        at = reader_u64(&r);
    }
    assert_int_equal(at, size);
    h_free(h);
}

/* A writer that comes late and stutters: the reader waits for the descriptor and blocks nowhere. */
static void named_pipe(void **state)
{
    char *path = in_folder(state, "pipe");
    struct harness *h;
    pid_t pid;
    int status;

    assert_int_equal(mkfifo(path, 0666), 0);
    pid = fork();
    if (pid == 0) {
        int fd = open(path, O_WRONLY);

        usleep(20000);
        if (write(fd, "one\ntw", 6) != 6)
            _exit(1);
        usleep(20000);
        if (write(fd, "o\nthree", 7) != 7)
            _exit(1);
        _exit(0);
    }
    h = text_new(path);
    assert_int_equal(h_read(h), 0);
    assert_rows(h, "one\ntwo\nthree\n");
    assert_true(h->waits > 0);
    h_free(h);
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_limit_is_exact, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(ends_of_lines, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(odd_bytes_pass, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(long_lines, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(line_above_the_limit_is_refused, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(folders, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(missing_file_names_path_and_host, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(unreadable_file_says_who_asked, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(shrunk_file_is_an_error, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(any_ranges_give_the_same_lines, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(discovery_covers_the_file, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(named_pipe, folder_make, folder_remove),
    };

    return cmocka_run_group_tests_name("text_source", tests, NULL, NULL);
}
