/* test_damage.c - a store whose files are not what was written, and one that has more files than the process may open. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "taskmanager/worker/store/manifest.h"
#include "taskmanager/worker/store/values_posix.h"
#include "test/unit/taskmanager/worker/store/stores.h"

enum { KEYS = 20, VALUE_BYTES = 150 };

/* What key k has: bytes that follow from it; odd keys have values in LevelDB itself. */
static size_t value_of(uint32_t k, char *to)
{
    size_t len = k % 2 ? 40 : VALUE_BYTES;

    for (size_t i = 0; i < len; i++)
        to[i] = (char)(k * 31 + i * 7);
    return len;
}

static void put(struct wk_store *s, uint32_t k)
{
    char value[VALUE_BYTES];
    size_t len = value_of(k, value);

    k = __builtin_bswap32(k);
    assert_int_equal(s->stores->ops->put(s, &k, sizeof(k), value, len, &err), 0);
}

/* 1: as it was put; 0: not there; else the error. Anything else is a failed test. */
static int look_up(struct wk_store *s, uint32_t k)
{
    uint32_t key = __builtin_bswap32(k);
    char value[VALUE_BYTES];
    size_t len = value_of(k, value);
    struct bytes got;
    int rc;

    bytes_init(&got);
    rc = s->stores->ops->get(s, &key, sizeof(key), &got, &err);
    if (rc == 1) {
        assert_int_equal(got.len, len);
        assert_memory_equal(got.data, value, len);
    }
    bytes_release(&got);
    return rc;
}

/* The path of the first file below `at` with this end of its name. */
static bool find_file(const char *at, const char *end, char *ret, size_t size)
{
    DIR *files = opendir(at);
    struct dirent *e;
    bool found = false;

    while (!found && files && (e = readdir(files)) != NULL) {
        size_t len = strlen(e->d_name);

        if (e->d_name[0] == '.')
            continue;
        found = len > strlen(end) && strcmp(e->d_name + len - strlen(end), end) == 0;
        snprintf(ret, size, "%s/%s", at, e->d_name);
        if (!found && e->d_type == DT_DIR) {
            char *below = mem_strdup(ret);

            found = find_file(below, end, ret, size);
            mem_free(below);
        }
    }
    if (files)
        closedir(files);
    return found;
}

static void flip(const char *path, uint64_t bit)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;

    assert_int_equal(pread(fd, &byte, 1, (off_t)(bit / 8)), 1);
    byte ^= (uint8_t)(1u << bit % 8);
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)(bit / 8)), 1);
    close(fd);
}

static void test_a_flipped_bit_of_a_file_of_values_is_seen(void **arg)
{
    enum { RECORD = 8 + 4 + VALUE_BYTES + 4, FILE_BYTES = RECORD * KEYS / 2 };
    struct wk_store *s = opened(stores, "a");
    uint32_t refused = 0;
    char path[300];

    (void)arg;
    for (uint32_t k = 0; k < KEYS; k++)
        put(s, k);
    assert_int_equal(stores->ops->commit(s, &err), 0);
    assert_true(find_file(dir, ".val", path, sizeof(path)));
    for (uint64_t bit = 0; bit < FILE_BYTES * 8; bit++) {
        uint32_t k = (uint32_t)(bit / 8 / RECORD * 2);
        int rc;

        flip(path, bit);
        rc = look_up(s, k);
        assert_true(rc == 1 || rc == ERR_CORRUPT); /* 1: of the head, which LevelDB has too */
        refused += rc == ERR_CORRUPT;
        assert_int_equal(look_up(s, (k + 2) % KEYS), 1); /* another one is not concerned */
        flip(path, bit);
    }
    assert_int_equal(refused, (VALUE_BYTES + 4) * 8 * KEYS / 2);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "is damaged: the value of 150 bytes at byte 1506 has not its checksum"));
    assert_int_equal(truncate(path, FILE_BYTES - 1), 0);
    assert_int_equal(look_up(s, KEYS - 2), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "ends before byte"));
    assert_int_equal(look_up(s, 0), 1);
    stores->ops->free(s);
}

/* What is read for a checkpoint, of all files. */
static int read_all(const struct wk_store_files *files)
{
    uint8_t data[20000];
    int rc = 0;

    for (uint32_t i = 0; i < files->count && rc == 0; i++) {
        assert_true(files->tables[i].size <= sizeof(data));
        rc = stores->ops->read(files, i, 0, data, (size_t)files->tables[i].size, &err);
    }
    return rc;
}

/* Copies in checkpoints have checksums of their own, which must not be of something that is wrong already. */
static void test_no_checkpoint_is_made_of_damaged_files(void **arg)
{
    static const char *const ends[] = {".val", ".ldb"};
    struct wk_store *s = opened(stores, "a");
    struct wk_store_files files;
    char path[300];

    (void)arg;
    for (uint32_t k = 0; k < KEYS; k++)
        put(s, k);
    assert_int_equal(stores->ops->freeze(s, &files, &err), 0);
    for (uint32_t e = 0; e < 2; e++) {
        assert_true(find_file(files.dir, ends[e], path, sizeof(path)));
        for (uint64_t bit = 0; bit < 1000 * 8; bit += 31) {
            flip(path, bit);
            assert_int_equal(read_all(&files), ERR_CORRUPT);
            flip(path, bit);
        }
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.text, "is damaged"));
    }
    assert_int_equal(read_all(&files), 0);
    stores->ops->files_free(&files);
    stores->ops->free(s);
}

/* A table that has changed before a checkpoint looks at it. */
static void test_a_table_is_looked_at_before_it_is_in_a_checkpoint(void **arg)
{
    struct wk_store *s = opened(stores, "a");
    struct wk_store_files files;
    struct bytes data;
    char path[300];
    FILE *in;

    (void)arg;
    for (uint32_t k = 0; k < KEYS; k++)
        put(s, k);
    assert_int_equal(stores->ops->freeze(s, &files, &err), 0);
    assert_true(find_file(files.dir, ".ldb", path, sizeof(path)));
    bytes_init(&data);
    bytes_reserve(&data, 20000);
    in = fopen(path, "rb");
    data.len = fread(data.data, 1, 20000, in);
    fclose(in);
    assert_int_equal(wk_manifest_check_table(data.data, data.len, &err), 0);
    for (uint64_t bit = 0; bit < (data.len - 48) * 8; bit++) { /* all but the footer */
        data.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(wk_manifest_check_table(data.data, data.len, &err), ERR_CORRUPT);
        data.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < data.len; len++)
        assert_int_equal(wk_manifest_check_table(data.data, len, &err), ERR_CORRUPT);
    bytes_release(&data);
    stores->ops->files_free(&files);
    stores->ops->free(s);
}

/* Into a new store; of table number `file` one bit is another. */
static struct wk_store *copy_of(const struct wk_store_files *files, uint32_t file, uint64_t bit)
{
    struct wk_store *copy = stores->ops->make(stores, "copy");
    uint8_t data[20000];

    assert_int_equal(stores->ops->receive(copy, 0, 0, files->manifest.data, files->manifest.len, &err), 0);
    for (uint32_t i = 0; i < files->count; i++) {
        size_t len = (size_t)files->tables[i].size;

        assert_true(len <= sizeof(data));
        assert_int_equal(stores->ops->read(files, i, 0, data, len, &err), 0);
        if (i == file)
            data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(stores->ops->receive(copy, files->tables[i].number, 0, data, len, &err), 0);
    }
    return copy;
}

/* Of a table of LevelDB's: refused, or every key has its own. An index or a filter with a wrong bit must not lose a key. */
static void test_a_flipped_bit_of_a_table_is_seen(void **arg)
{
    struct wk_store *s = opened(stores, "a");
    struct wk_store_files files;
    uint32_t refused = 0, tries = 0;

    (void)arg;
    for (uint32_t k = 0; k < KEYS; k++)
        put(s, k);
    assert_int_equal(stores->ops->freeze(s, &files, &err), 0);
    for (uint64_t bit = 0; bit < files.tables[0].size * 8; bit += 101, tries++) {
        struct wk_store *copy = copy_of(&files, 0, bit);
        int rc = stores->ops->open(copy, MEMORY, &err);

        for (uint32_t k = 0; k < KEYS && rc >= 0; k++) {
            rc = look_up(copy, k);
            assert_int_not_equal(rc, 0);
        }
        refused += rc < 0;
        stores->ops->free(copy);
    }
    assert_in_range(refused, tries * 8 / 10, tries); /* its last 48 bytes have padding */
    stores->ops->files_free(&files);
    stores->ops->free(s);
}

/* ---- descriptors ---- */

static uint32_t value_files_open(void)
{
    DIR *fds = opendir("/proc/self/fd");
    uint32_t count = 0;
    struct dirent *e;

    while ((e = readdir(fds)) != NULL) {
        char target[300];
        ssize_t n = readlinkat(dirfd(fds), e->d_name, target, sizeof(target) - 1);

        count += n > 4 && strncmp(target + n - 4, ".val", 4) == 0;
    }
    closedir(fds);
    return count;
}

static void limit_files(rlim_t files)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = MIN(files, limit.rlim_max);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void test_more_files_of_values_than_descriptors(void **arg)
{
    enum { STORES = 3, FILES = 30, LIMIT = 128 };
    struct wk_store *s[STORES];
    struct wk_stores *own;
    struct rlimit before;

    (void)arg;
    getrlimit(RLIMIT_NOFILE, &before);
    limit_files(LIMIT);
    own = wk_stores_leveldb_new(dir);
    for (uint32_t i = 0; i < STORES; i++)
        s[i] = opened(own, "many");
    for (uint32_t f = 0; f < FILES; f++)
        for (uint32_t i = 0; i < STORES; i++) {
            struct wk_store_files files;

            put(s[i], f * 2);
            assert_int_equal(own->ops->freeze(s[i], &files, &err), 0); /* ends a file */
            own->ops->files_free(&files);
        }
    for (uint32_t f = 0; f < FILES; f++)
        for (uint32_t i = 0; i < STORES; i++)
            assert_int_equal(look_up(s[i], f * 2), 1);
    assert_in_range(value_files_open(), 1, LIMIT / 5);
    for (uint32_t i = 0; i < STORES; i++)
        own->ops->free(s[i]);
    assert_int_equal(value_files_open(), 0);
    wk_stores_leveldb_free(own);
    limit_files(before.rlim_cur);
}

static void test_no_descriptor_left_is_said(void **arg)
{
    struct open_files *files = wk_open_files_new(4);
    struct sums *sums = wk_sums_new();
    struct values *v = wk_values_new(dir, files, sums);
    struct value_place place;
    struct rlimit before;
    struct bytes got;

    (void)arg;
    bytes_init(&got);
    assert_int_equal(wk_values_put(v, "key", 3, "value", 5, &place, &err), 0);
    getrlimit(RLIMIT_NOFILE, &before);
    limit_files(0);
    assert_int_equal(wk_values_write(v, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "000001.val\": Too many open files: raise the limit (ulimit -Hn"));
    limit_files(before.rlim_cur);
    assert_int_equal(wk_values_write(v, &err), 0); /* nothing is lost */
    assert_int_equal(wk_values_read(v, place, "key", 3, &got, &err), 1);
    assert_memory_equal(got.data, "value", 5);
    assert_int_equal(wk_values_read(v, place, "kez", 3, &got, &err), ERR_CORRUPT); /* another key's */
    wk_values_remove(v, place.file);
    assert_int_equal(wk_values_read(v, place, "key", 3, &got, &err), 0);
    bytes_release(&got);
    wk_values_free(v);
    wk_sums_free(sums);
    wk_open_files_free(files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flipped_bit_of_a_file_of_values_is_seen),
        cmocka_unit_test(test_no_checkpoint_is_made_of_damaged_files),
        cmocka_unit_test(test_a_table_is_looked_at_before_it_is_in_a_checkpoint),
        cmocka_unit_test(test_a_flipped_bit_of_a_table_is_seen),
        cmocka_unit_test(test_more_files_of_values_than_descriptors),
        cmocka_unit_test(test_no_descriptor_left_is_said),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
