/* test_stores_leveldb.c - a store on LevelDB: what is read back, copies of its files while it is written, a full disk. */
#include <dirent.h>
#include <leveldb/c.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/conf/work_folder.h"
#include "taskmanager/worker/store/manifest.h"
#include "test/unit/taskmanager/worker/store/stores.h"

enum { KEYS = 2000 };

static void put(struct wk_store *s, uint32_t key, uint32_t value, size_t pad)
{
    char *room = mem_alloc(pad + sizeof(value));

    memcpy(room, &value, sizeof(value));
    key = __builtin_bswap32(key);
    assert_int_equal(stores->ops->put(s, &key, sizeof(key), room, pad + sizeof(value), &err), 0);
    mem_free(room);
}

/* UINT32_MAX: there is none. */
static uint32_t value_of(struct wk_store *s, uint32_t key)
{
    struct bytes value;
    uint32_t v = UINT32_MAX;
    int rc;

    bytes_init(&value);
    key = __builtin_bswap32(key);
    rc = stores->ops->get(s, &key, sizeof(key), &value, &err);
    assert_true(rc >= 0);
    if (rc == 1)
        memcpy(&v, value.data, sizeof(v));
    bytes_release(&value);
    return v;
}

/* A store made of files, piece by piece. */
static struct wk_store *copy_of(struct wk_store_files *files)
{
    struct wk_store *copy = stores->ops->make(stores, "copy");
    uint8_t piece[10000];

    assert_int_equal(stores->ops->receive(copy, 0, 0, files->manifest.data, files->manifest.len, &err), 0);
    for (uint32_t i = 0; i < files->count; i++)
        for (uint64_t at = 0; at < files->tables[i].size; at += sizeof(piece)) {
            size_t n = (size_t)MIN(sizeof(piece), files->tables[i].size - at);

            assert_int_equal(stores->ops->read(files, i, at, piece, n, &err), 0);
            assert_int_equal(stores->ops->receive(copy, files->tables[i].number, at, piece, n, &err), 0);
        }
    assert_int_equal(stores->ops->open(copy, MEMORY, &err), 0);
    return copy;
}

static void test_what_is_committed_is_read(void **arg)
{
    struct wk_store *s = opened(stores, "a");
    uint32_t key = __builtin_bswap32(7);

    (void)arg;
    put(s, 7, 70, 0);
    put(s, 8, 80, 0);
    assert_int_equal(stores->ops->commit(s, &err), 0);
    assert_int_equal(value_of(s, 7), 70);
    assert_int_equal(value_of(s, 9), UINT32_MAX);
    assert_int_equal(stores->ops->remove(s, &key, sizeof(key), &err), 0);
    assert_int_equal(stores->ops->commit(s, &err), 0);
    assert_int_equal(value_of(s, 7), UINT32_MAX);
    assert_int_equal(value_of(s, 8), 80);
    stores->ops->free(s);
}

static void test_a_scan_sees_what_was_there_in_order(void **arg)
{
    struct wk_store *s = opened(stores, "a");
    struct wk_store_scan *scan;
    struct reader key, value;
    uint32_t from = __builtin_bswap32(100), n = 100;

    (void)arg;
    for (uint32_t i = 200; i-- > 0;)
        put(s, i, i, 50);
    assert_int_equal(stores->ops->commit(s, &err), 0);
    scan = stores->ops->scan(s);
    put(s, 150, 1, 0);
    assert_int_equal(stores->ops->commit(s, &err), 0);
    for (stores->ops->scan_seek(scan, &from, sizeof(from)); stores->ops->scan_at(scan, &key, &value); stores->ops->scan_next(scan)) {
        uint32_t k = reader_u32(&key);

        assert_int_equal(__builtin_bswap32(k), n);
        assert_int_equal(reader_u32(&value), n);
        n++;
    }
    assert_int_equal(n, 200);
    assert_int_equal(stores->ops->scan_free(scan, &err), 0);
    stores->ops->free(s);
}

/* Each round changes all keys, so tables are compacted while they are linked; a copy holds exactly its round. */
static void test_files_are_a_copy_of_their_moment(void **arg)
{
    struct wk_store *s = opened(stores, "a");
    struct wk_store_files files[3];

    (void)arg;
    for (uint32_t round = 0; round < 24; round++) {
        for (uint32_t i = 0; i < KEYS; i++)
            put(s, i * 7919 % KEYS, round, 300);
        if (round >= 21)
            assert_int_equal(stores->ops->freeze(s, &files[round - 21], &err), 0);
        else
            assert_int_equal(stores->ops->commit(s, &err), 0);
    }
    for (uint32_t k = 0; k < 3; k++) {
        struct wk_store *copy = copy_of(&files[k]);

        for (uint32_t i = 0; i < KEYS; i++)
            assert_int_equal(value_of(copy, i), 21 + k);
        /* it lives on: numbers of its tables are not used again */
        for (uint32_t i = 0; i < KEYS; i++)
            put(copy, i, 99, 300);
        assert_int_equal(stores->ops->commit(copy, &err), 0);
        assert_int_equal(value_of(copy, KEYS - 1), 99);
        stores->ops->free(copy);
        stores->ops->files_free(&files[k]);
    }
    for (uint32_t i = 0; i < KEYS; i++)
        assert_int_equal(value_of(s, i), 23);
    stores->ops->free(s);
}

static void test_an_unchanged_store_keeps_its_tables(void **arg)
{
    struct wk_store *s = opened(stores, "a");
    struct wk_store_files before, after;
    bool old = false;

    (void)arg;
    for (uint32_t i = 0; i < KEYS; i++)
        put(s, i, i, 1000);
    assert_int_equal(stores->ops->freeze(s, &before, &err), 0);
    assert_true(before.count > 0);
    put(s, 1, 2, 0);
    assert_int_equal(stores->ops->freeze(s, &after, &err), 0);
    for (uint32_t i = 0; i < before.count; i++)
        for (uint32_t k = 0; k < after.count; k++)
            old |= before.tables[i].number == after.tables[k].number && before.tables[i].size == after.tables[k].size;
    assert_true(old);
    stores->ops->files_free(&before);
    stores->ops->files_free(&after);
    stores->ops->free(s);
}

enum { VALUE_FILE = 1u << 31 };

static uint64_t value_bytes(const struct wk_store_files *files)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < files->count; i++)
        bytes += files->tables[i].number & (uint32_t)VALUE_FILE ? files->tables[i].size : 0;
    return bytes;
}

/* Changes keys for so many rounds; some go, and come back. */
static void change_often(struct wk_store *s, uint32_t from, uint32_t rounds)
{
    for (uint32_t round = from; round < from + rounds; round++) {
        for (uint32_t i = 0; i < KEYS; i++) {
            uint32_t key = __builtin_bswap32(i);

            if ((i + round) % 10 == 0)
                assert_int_equal(stores->ops->remove(s, &key, sizeof(key), &err), 0);
            else
                put(s, i, round, i % 3 ? 1500 : 20); /* in a file, and not */
        }
        assert_int_equal(stores->ops->commit(s, &err), 0);
    }
    for (uint32_t i = 0; i < KEYS; i++)
        assert_int_equal(value_of(s, i), (i + from + rounds - 1) % 10 == 0 ? UINT32_MAX : from + rounds - 1);
}

static void test_room_of_large_values_comes_back(void **arg)
{
    enum { LIVE = KEYS * 9 / 10 * 2 / 3 * 1500, FILE_BYTES = 8 << 20 };
    struct wk_store *s = opened(stores, "a"), *copy;
    struct wk_store_files files;
    struct wk_store_scan *scan;
    uint32_t last[2] = {0}, seen = 0;
    struct reader key, value;

    (void)arg;
    change_often(s, 0, 40);
    scan = stores->ops->scan(s);
    change_often(s, 40, 20); /* what a scan may read stays */
    for (stores->ops->scan_seek(scan, "", 0); stores->ops->scan_at(scan, &key, &value); stores->ops->scan_next(scan), seen++) {
        last[0] = __builtin_bswap32(reader_u32(&key));
        assert_int_equal(reader_u32(&value), 39);
        assert_int_equal(reader_left(&value), last[0] % 3 ? 1500 : 20);
    }
    assert_int_equal(seen, KEYS * 9 / 10);
    assert_int_equal(stores->ops->scan_free(scan, &err), 0);
    change_often(s, 60, 1);
    assert_int_equal(stores->ops->freeze(s, &files, &err), 0);
    assert_in_range(value_bytes(&files), LIVE, LIVE * 3 / 2 + 2 * FILE_BYTES);
    copy = copy_of(&files);
    stores->ops->files_free(&files);
    change_often(copy, 100, 20); /* it knows what is dead in them */
    assert_int_equal(stores->ops->freeze(copy, &files, &err), 0);
    assert_in_range(value_bytes(&files), LIVE, LIVE * 3 / 2 + 2 * FILE_BYTES);
    for (uint32_t i = 0; i < files.count; i++) /* no number twice */
        for (uint32_t k = 0; k < i; k++)
            assert_int_not_equal(files.tables[i].number, files.tables[k].number);
    stores->ops->files_free(&files);
    stores->ops->free(copy);
    stores->ops->free(s);
}

static void receive_file(struct wk_store *s, uint32_t number, const char *folder, const char *name)
{
    char path[300], data[65536];
    FILE *in;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    in = fopen(path, "rb");
    assert_non_null(in);
    for (size_t n, at = 0; (n = fread(data, 1, sizeof(data), in)) > 0; at += n)
        assert_int_equal(stores->ops->receive(s, number, at, data, n, &err), 0);
    fclose(in);
}

/* A LevelDB of the test's own, in a folder that it makes; what is put there becomes a store. */
struct raw {
    char folder[40];
    leveldb_options_t *options;
    leveldb_writeoptions_t *write;
    leveldb_t *db;
};

static void raw_begin(struct raw *r)
{
    char *why = NULL;

    snprintf(r->folder, sizeof(r->folder), "/tmp/rask-test-raw.XXXXXX");
    assert_non_null(mkdtemp(r->folder));
    r->options = leveldb_options_create();
    r->write = leveldb_writeoptions_create();
    leveldb_options_set_create_if_missing(r->options, 1);
    r->db = leveldb_open(r->options, r->folder, &why);
    assert_non_null(r->db);
}

static void raw_put(struct raw *r, const void *key, size_t len, const void *value, size_t value_len)
{
    char *why = NULL;

    leveldb_put(r->db, r->write, key, len, value, value_len, &why);
    assert_null(why);
}

static struct wk_store *raw_end(struct raw *r, const char *label)
{
    struct wk_store *s = stores->ops->make(stores, label);
    struct dirent *entry;
    DIR *files;

    leveldb_compact_range(r->db, NULL, 0, NULL, 0);
    leveldb_close(r->db);
    files = opendir(r->folder);
    while ((entry = readdir(files)) != NULL)
        if (strstr(entry->d_name, ".ldb") || strncmp(entry->d_name, "MANIFEST", 8) == 0)
            receive_file(s, (uint32_t)strtoul(entry->d_name, NULL, 10), r->folder, entry->d_name);
    closedir(files);
    work_folder_remove(r->folder);
    leveldb_options_destroy(r->options);
    leveldb_writeoptions_destroy(r->write);
    assert_int_equal(stores->ops->open(s, MEMORY, &err), 0);
    return s;
}

/* Values without a tag, as LevelDB alone had them. */
static void test_a_store_of_an_older_version_goes_on(void **arg)
{
    struct wk_store *s;
    struct raw raw;

    (void)arg;
    raw_begin(&raw);
    for (uint32_t i = 0; i < KEYS; i++) {
        uint32_t key = __builtin_bswap32(i), value[100] = {i};

        raw_put(&raw, &key, sizeof(key), value, i % 2 ? sizeof(value) : 13);
    }
    s = raw_end(&raw, "old");
    for (uint32_t i = 0; i < KEYS; i++)
        assert_int_equal(value_of(s, i), i);
    change_often(s, 100, 3);
    stores->ops->free(s);
}

/* It names file 7, and says that there is none: an error, not a search without end. */
static void test_a_place_without_its_file_is_an_error(void **arg)
{
    static const uint8_t form[] = {1, 0, 0, 0, 8, 0, 0, 0}, place[] = {1, 7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0};
    struct wk_store_scan *scan;
    struct reader key, value;
    struct wk_store *s;
    struct bytes got;
    struct raw raw;

    (void)arg;
    raw_begin(&raw);
    raw_put(&raw, "\xff", 1, form, sizeof(form));
    raw_put(&raw, "key1", 4, place, sizeof(place));
    s = raw_end(&raw, "lost");
    bytes_init(&got);
    assert_int_equal(stores->ops->get(s, "key1", 4, &got, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "names file of values 7, which is not there"));
    scan = stores->ops->scan(s);
    stores->ops->scan_seek(scan, "", 0);
    assert_false(stores->ops->scan_at(scan, &key, &value));
    assert_int_equal(stores->ops->scan_free(scan, &err), ERR_CORRUPT);
    bytes_release(&got);
    stores->ops->free(s);
}

static void disk_is_full_at(size_t value_bytes)
{
    struct wk_store *s = opened(stores, "a");
    struct rlimit limit = {512 << 10, RLIM_INFINITY}, old;
    char value[1000] = {0};
    int rc = 0;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    limit.rlim_max = old.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (uint32_t i = 0; i < 100000 && rc == 0; i++) {
        uint32_t key = i;

        rc = stores->ops->put(s, &key, sizeof(key), value, value_bytes, &err);
    }
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(rc, ERR_NO_SPACE);
    assert_non_null(strstr(err.text, "state.backend.leveldb.localdir"));
    stores->ops->free(s);
}

static void test_a_full_disk_is_said(void **arg)
{
    (void)arg;
    disk_is_full_at(50);
    disk_is_full_at(1000);
}

struct note {
    struct wk_store_job job;
    int *next, at;
};

static void run_note(struct wk_store_job *job)
{
    struct note *n = CONTAINER_OF(job, struct note, job);

    n->at = (*n->next)++;
}

static void test_jobs_run_in_order(void **arg)
{
    struct wk_stores *own = wk_stores_leveldb_new(dir);
    struct note notes[100];
    int next = 0;

    (void)arg;
    for (int i = 0; i < 100; i++) {
        notes[i] = (struct note){.job = {.run = run_note}, .next = &next, .at = -1};
        own->ops->submit(own, &notes[i].job);
    }
    wk_stores_leveldb_free(own);
    for (int i = 0; i < 100; i++)
        assert_int_equal(notes[i].at, i);
}

static void test_a_manifest_that_lacks_a_table_is_refused(void **arg)
{
    struct wk_manifest_table *tables, more = {.number = 77, .level = 0, .size = 1};
    struct bytes out, again;
    uint32_t count;
    struct wk_store *s = opened(stores, "a");
    struct wk_store_files files;

    (void)arg;
    bytes_init(&out);
    bytes_init(&again);
    put(s, 1, 1, 100);
    assert_int_equal(stores->ops->freeze(s, &files, &err), 0);
    assert_int_equal(wk_manifest_rewrite(files.manifest.data, files.manifest.len, &more, 1, &out, &err), ERR_UNAVAILABLE);
    assert_int_equal(wk_manifest_parse_tables("--- level 0 ---\n 17:123['a' @ 72 : 1 .. 'e' @ 5 : 1]\n--- level 1 ---\n", &tables,
                                              &count, &err), 0);
    assert_int_equal(count, 1);
    assert_int_equal(tables[0].number, 17);
    assert_int_equal(tables[0].size, 123);
    mem_free(tables);
    assert_int_equal(wk_manifest_parse_tables("what\n", &tables, &count, &err), ERR_CORRUPT);
    /* cut off anywhere, it is refused or the same */
    more = (struct wk_manifest_table){.number = files.tables[0].number, .level = 0, .size = files.tables[0].size};
    for (size_t n = 0; n < files.manifest.len; n++) {
        bytes_clear(&again);
        assert_int_equal(wk_manifest_rewrite(files.manifest.data, n, &more, 1, &again, &err), ERR_UNAVAILABLE);
    }
    bytes_release(&out);
    bytes_release(&again);
    stores->ops->files_free(&files);
    stores->ops->free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_committed_is_read),
        cmocka_unit_test(test_a_scan_sees_what_was_there_in_order),
        cmocka_unit_test(test_files_are_a_copy_of_their_moment),
        cmocka_unit_test(test_an_unchanged_store_keeps_its_tables),
        cmocka_unit_test(test_room_of_large_values_comes_back),
        cmocka_unit_test(test_a_store_of_an_older_version_goes_on),
        cmocka_unit_test(test_a_place_without_its_file_is_an_error),
        cmocka_unit_test(test_a_full_disk_is_said),
        cmocka_unit_test(test_jobs_run_in_order),
        cmocka_unit_test(test_a_manifest_that_lacks_a_table_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
