/*
 * stores_leveldb.c - stores on LevelDB, and the one thread that writes to all of a worker's.
 *
 * A checkpoint's files: the memtable is flushed, `leveldb.sstables` says which tables there are, each gets a hard link (LevelDB
 * removes what it has compacted), and MANIFEST is written anew for exactly those.  A link that cannot be made, because a
 * compaction was faster, means another try.  Folders of links are read and never opened as a store: LevelDB reuses numbers of
 * files that a MANIFEST does not know, and would truncate what is linked.
 *
 * Threads: as store.h says. `lock` is held for reading by whoever uses db, for writing while it is opened anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <leveldb/c.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/conf/work_folder.h"
#include "taskmanager/worker/store/manifest.h"
#include "taskmanager/worker/store/stores_private.h"

#define TRIES_MAX 1000
#define BLOOM_BITS 10
#define MANIFEST_BYTES_MAX (8u << 20) /* of a running LevelDB; then it is opened anew, with a short one */
#define VALUE_FILES_OPEN_MIN 16u
#define VALUE_FILES_OPEN_MAX 1000u
#define NOT_TABLES 10u                /* of max_open_files, LevelDB keeps so many for others */

struct stores {
    struct wk_stores base;
    char *dir;
    struct open_files *open_files; /* of values, of all stores */
    uint32_t made; /* atomic */
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t has_jobs;
    struct wk_store_job *head, **tail;
    bool stopping, started;
};
struct wk_store_scan {
    struct store *store;
    const leveldb_snapshot_t *snapshot;
    leveldb_readoptions_t *read;
    leveldb_iterator_t *iterator;
    struct reader value; /* of the entry that it is at */
    struct bytes room;
    struct err err;
};

/*
 * LevelDB maps up to 1000 tables into memory, which nothing bounds and nobody can turn off through its C API.  This function of
 * its library can: blocks are then read into the cache, whose size is ours.
 */
void leveldb_set_mmap_limit(int limit) __asm__("_ZN7leveldb18EnvPosixTestHelper20SetReadOnlyMMapLimitEi");
static pthread_once_t maps_off = PTHREAD_ONCE_INIT; /* before the first store of the process is opened, and not again */

static void turn_maps_off(void)
{
    leveldb_set_mmap_limit(0);
}

/*
 * LevelDB's own CRC is by tables where its package was built without the library for it, and would cost a tenth of each read from
 * disk.  It is linked by name: the one that stands before the archive is taken.
 */
uint32_t leveldb_crc32c_extend(uint32_t crc, const char *data, size_t len) __asm__("_ZN7leveldb6crc32c6ExtendEjPKcm");
uint32_t leveldb_crc32c_extend(uint32_t crc, const char *data, size_t len)
{
    return hash_crc32c(crc, data, len);
}

#ifdef __SANITIZE_THREAD__
/* LevelDB is not instrumented: its atomics are not seen. */
const char *__tsan_default_suppressions(void) __attribute__((visibility("default")));
const char *__tsan_default_suppressions(void)
{
    return "race:leveldb::\n";
}
#endif

int wk_store_failed(const struct store *s, char *text, struct err *err)
{
    bool full = strstr(text, strerror(ENOSPC)) || strstr(text, strerror(EDQUOT)) || strstr(text, strerror(EFBIG));
    bool many = strstr(text, strerror(EMFILE)) != NULL;
    int code = full ? ERR_NO_SPACE : many ? ERR_UNAVAILABLE : strncmp(text, "Corruption", 10) == 0 ? ERR_CORRUPT : ERR_IO;

    err_set(err, code, "LevelDB in \"%s\": %s%s", s->dir, text,
            full   ? ": make room there, or set state.backend.leveldb.localdir to a larger disk"
            : many ? ERR_FILES_HINT
                   : "");
    leveldb_free(text);
    return code;
}

/* ---- the thread ---- */

static void *run_jobs(void *arg)
{
    struct stores *s = arg;

    pthread_mutex_lock(&s->mutex);
    for (;;) {
        struct wk_store_job *job = s->head;

        if (!job && s->stopping)
            break;
        if (!job) {
            pthread_cond_wait(&s->has_jobs, &s->mutex);
            continue;
        }
        s->head = job->next;
        if (!s->head)
            s->tail = &s->head;
        pthread_mutex_unlock(&s->mutex);
        job->run(job);
        pthread_mutex_lock(&s->mutex);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

static void submit(struct wk_stores *base, struct wk_store_job *job)
{
    struct stores *s = CONTAINER_OF(base, struct stores, base);

    pthread_mutex_lock(&s->mutex);
    if (!s->started)
        CHECK(pthread_create(&s->thread, NULL, run_jobs, s) == 0);
    s->started = true;
    job->next = NULL;
    *s->tail = job;
    s->tail = &job->next;
    pthread_cond_signal(&s->has_jobs);
    pthread_mutex_unlock(&s->mutex);
}

/* ---- birth and death ---- */

static struct wk_store *make(struct wk_stores *base, const char *label)
{
    struct stores *of = CONTAINER_OF(base, struct stores, base);
    struct store *s = MEM_NEW(struct store);

    s->base.stores = base;
    s->dir = mem_printf("%s/%s.%u", of->dir, label, __atomic_add_fetch(&of->made, 1, __ATOMIC_RELAXED));
    s->sums = wk_sums_new();
    s->values = wk_values_new(s->dir, of->open_files, s->sums);
    bytes_init(&s->room);
    pthread_rwlock_init(&s->lock, NULL);
    return &s->base;
}

static void close_db(struct store *s)
{
    leveldb_close(s->db);
    s->db = NULL;
}

static void store_free(struct wk_store *base)
{
    struct store *s;

    if (!base)
        return;
    s = store_of(base);
    CHECK(s->scans == 0);
    if (s->options) {
        leveldb_writebatch_destroy(s->batch);
        leveldb_writeoptions_destroy(s->write);
        leveldb_readoptions_destroy(s->read);
        if (s->db)
            close_db(s);
        leveldb_options_destroy(s->options);
        leveldb_filterpolicy_destroy(s->filter);
        leveldb_cache_destroy(s->cache);
    }
    wk_values_free(s->values);
    wk_sums_free(s->sums);
    bytes_release(&s->room);
    if (s->made)
        work_folder_remove(s->dir);
    pthread_rwlock_destroy(&s->lock);
    mem_free(s->dir);
    mem_free(s);
}

static int make_dir(struct store *s, struct err *err)
{
    if (s->made)
        return 0;
    if (mkdir(s->dir, 0700) < 0)
        return err_errno(err, errno, "cannot make the folder \"%s\" for state", s->dir);
    s->made = true;
    return 0;
}

/* ---- files in ---- */

static int write_all(const char *path, uint64_t offset, const void *data, size_t len, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), rc = 0;

    if (fd < 0)
        return err_errno(err, errno, "cannot create \"%s\"", path);
    while (len > 0 && rc == 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)offset);

        if (n < 0)
            rc = err_errno(err, errno, "cannot write \"%s\"", path);
        else {
            data = (const char *)data + n;
            len -= (size_t)n;
            offset += (uint64_t)n;
        }
    }
    close(fd);
    return rc;
}

static char *path_of(const char *dir, uint32_t file)
{
    return file & VALUE_FILE ? wk_values_path(dir, file & ~VALUE_FILE) : mem_printf("%s/%06u.ldb", dir, file);
}

static int receive(struct wk_store *base, uint32_t file, uint64_t offset, const void *data, size_t len, struct err *err)
{
    static const char current[] = "MANIFEST-000001\n";
    struct store *s = store_of(base);
    char *path;
    int rc = make_dir(s, err);

    CHECK(!s->db);
    if (rc != 0)
        return rc;
    s->received = true;
    path = file == 0 ? mem_printf("%s/MANIFEST-000001", s->dir) : path_of(s->dir, file);
    rc = write_all(path, offset, data, len, err);
    mem_free(path);
    if (rc == 0 && file != 0)
        wk_sums_add(s->sums, file, offset, data, len);
    if (rc != 0 || file != 0)
        return rc;
    path = mem_printf("%s/CURRENT", s->dir);
    rc = write_all(path, 0, current, sizeof(current) - 1, err);
    mem_free(path);
    return rc;
}

/* ---- open ---- */

/* Of 16 parts of its memory: write buffers 6 (two of them), cache 6, indexes and filters of tables 4. */
static void set_options(struct store *s)
{
    size_t buffer = (size_t)MIN(MAX(s->memory_bytes / 16 * 3, 1u << 20), 64u << 20);
    size_t file = MIN(MAX(buffer / 2, (size_t)1 << 20), (size_t)16 << 20);
    uint64_t tables = s->memory_bytes / 4 / (file / 40); /* index and filter take a fortieth of a table */

    s->options = leveldb_options_create();
    s->filter = leveldb_filterpolicy_create_bloom(BLOOM_BITS);
    s->cache = leveldb_cache_create_lru((size_t)s->memory_bytes / 16 * 6);
    leveldb_options_set_create_if_missing(s->options, 1);
    leveldb_options_set_compression(s->options, leveldb_no_compression);
    leveldb_options_set_filter_policy(s->options, s->filter);
    leveldb_options_set_cache(s->options, s->cache);
    leveldb_options_set_write_buffer_size(s->options, buffer);
    leveldb_options_set_max_file_size(s->options, file);
    leveldb_options_set_max_open_files(s->options, (int)MIN(tables + NOT_TABLES, 4000u));
    leveldb_options_set_paranoid_checks(s->options, 1);
    s->read = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(s->read, 1);
    s->write = leveldb_writeoptions_create();
    s->batch = leveldb_writebatch_create();
}

static int open_db(struct store *s, struct err *err)
{
    char *text = NULL;

    s->db = leveldb_open(s->options, s->dir, &text);
    return s->db ? 0 : wk_store_failed(s, text, err);
}

static int store_open(struct wk_store *base, uint64_t memory_bytes, struct err *err)
{
    struct store *s = store_of(base);
    int rc = make_dir(s, err);

    CHECK(!s->db);
    if (rc != 0)
        return rc;
    if (!s->options) {
        s->memory_bytes = memory_bytes;
        set_options(s);
    }
    rc = open_db(s, err);
    s->tagged = !s->received;
    return rc == 0 && s->received ? wk_store_read_form(s, err) : rc;
}

/* ---- files out ---- */

static void files_free(struct wk_store_files *files)
{
    if (files->dir)
        work_folder_remove(files->dir);
    mem_free(files->dir);
    mem_free(files->tables);
    bytes_release(&files->manifest);
    memset(files, 0, sizeof(*files));
}

static int read_file(const char *path, struct bytes *to, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char room[65536];
    ssize_t n = 0;

    if (fd < 0)
        return err_errno(err, errno, "cannot read \"%s\"", path);
    while ((n = read(fd, room, sizeof(room))) > 0)
        bytes_add(to, room, (size_t)n);
    if (n < 0)
        n = err_errno(err, errno, "cannot read \"%s\"", path);
    close(fd);
    return (int)n;
}

/* The MANIFEST that CURRENT names. */
static int read_manifest(const struct store *s, struct bytes *to, struct err *err)
{
    char *path = mem_printf("%s/CURRENT", s->dir);
    struct bytes name;
    int rc;

    bytes_init(&name);
    rc = read_file(path, &name, err);
    mem_free(path);
    if (rc == 0 && (name.len < 2 || name.data[name.len - 1] != '\n'))
        rc = err_set(err, ERR_CORRUPT, "CURRENT in \"%s\" names no file", s->dir);
    if (rc == 0) {
        path = mem_printf("%s/%.*s", s->dir, (int)name.len - 1, (const char *)name.data);
        rc = read_file(path, to, err);
        mem_free(path);
    }
    bytes_release(&name);
    return rc;
}

/* ERR_NOT_FOUND: a compaction was faster. */
static int link_table(const struct store *s, const struct wk_store_files *files, uint32_t number, struct err *err)
{
    char *from = path_of(s->dir, number), *to = path_of(files->dir, number);
    int rc = 0;

    if (link(from, to) < 0 && errno != EEXIST)
        rc = err_errno(err, errno, "cannot link \"%s\" to \"%s\"", from, to);
    mem_free(from);
    mem_free(to);
    return rc;
}

/* A table that no checkpoint has looked at yet: LevelDB's own checksums, and ours of what was read. */
static int check_table(const struct store *s, const struct wk_store_files *files, uint32_t number, struct err *err)
{
    char *path = path_of(files->dir, number);
    struct bytes data;
    int rc = 0;

    bytes_init(&data);
    if (!wk_sums_known(s->sums, number))
        rc = read_file(path, &data, err);
    if (rc == 0 && data.len > 0)
        rc = wk_manifest_check_table(data.data, data.len, err);
    if (rc == 0)
        wk_sums_add(s->sums, number, 0, data.data, data.len);
    if (rc == ERR_CORRUPT)
        err_wrap(err, "\"%s\" is damaged", path);
    bytes_release(&data);
    mem_free(path);
    return rc;
}

static int link_tables(const struct store *s, struct wk_store_files *ret, size_t *ret_manifest_bytes, struct err *err)
{
    char *property = leveldb_property_value(s->db, "leveldb.sstables");
    struct wk_manifest_table *tables = NULL;
    struct bytes manifest;
    uint32_t count = 0, values = wk_values_count(s->values);
    int rc = wk_manifest_parse_tables(property, &tables, &count, err);

    bytes_init(&manifest);
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = link_table(s, ret, tables[i].number, err);
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = check_table(s, ret, tables[i].number, err);
    for (uint32_t i = 0; i < values && rc == 0; i++)
        rc = link_table(s, ret, wk_values_file(s->values, i).number | VALUE_FILE, err);
    if (rc == 0)
        rc = read_manifest(s, &manifest, err);
    bytes_clear(&ret->manifest);
    if (rc == 0)
        rc = wk_manifest_rewrite(manifest.data, manifest.len, tables, count, &ret->manifest, err);
    if (rc == 0) {
        ret->tables = mem_alloc_array(count + values + 1u, sizeof(*ret->tables));
        ret->count = count + values;
        for (uint32_t i = 0; i < count; i++)
            ret->tables[i] = (struct wk_store_file){tables[i].number, tables[i].size};
        for (uint32_t i = 0; i < values; i++) {
            struct value_file f = wk_values_file(s->values, i);

            ret->tables[count + i] = (struct wk_store_file){f.number | VALUE_FILE, f.size};
        }
        wk_sums_keep(s->sums, ret->tables, ret->count);
    }
    *ret_manifest_bytes = manifest.len;
    bytes_release(&manifest);
    mem_free(tables);
    leveldb_free(property);
    return rc;
}

/* Until no compaction comes in between. */
static int link_current(const struct store *s, struct wk_store_files *ret, size_t *ret_manifest_bytes, struct err *err)
{
    struct err why = {0};
    int rc = ERR_UNAVAILABLE;

    for (int i = 0; i < TRIES_MAX && (rc == ERR_NOT_FOUND || rc == ERR_UNAVAILABLE); i++)
        rc = link_tables(s, ret, ret_manifest_bytes, &why);
    return rc == 0 ? 0 : err_set(err, rc, "%s", why.text);
}

/* What was written goes to tables. LevelDB does not say whether that went well before the next write. */
static int flush(struct store *s, struct err *err)
{
    static const char beyond[9] = "\xff\xff\xff\xff\xff\xff\xff\xff";
    int rc = wk_values_seal(s->values, err);

    if (rc == 0 && s->tagged)
        wk_store_put_form(s);
    if (rc == 0)
        rc = wk_store_write_batch(s, err);
    if (rc != 0)
        return rc;
    leveldb_compact_range(s->db, beyond, 7, beyond, 8);
    return wk_store_write_batch(s, err);
}

static int reopen(struct store *s, struct err *err)
{
    int rc = 0;

    pthread_rwlock_wrlock(&s->lock);
    if (s->scans == 0) {
        close_db(s);
        rc = open_db(s, err);
    }
    pthread_rwlock_unlock(&s->lock);
    return rc;
}

static int store_freeze(struct wk_store *base, struct wk_store_files *ret, struct err *err)
{
    struct store *s = store_of(base);
    size_t manifest_bytes = 0;
    int rc = flush(s, err);

    memset(ret, 0, sizeof(*ret));
    bytes_init(&ret->manifest);
    ret->store = base;
    if (rc != 0)
        return rc;
    ret->dir = mem_printf("%s/links.%u", s->dir, ++s->frozen);
    if (mkdir(ret->dir, 0700) < 0)
        rc = err_errno(err, errno, "cannot make the folder \"%s\"", ret->dir);
    if (rc == 0)
        rc = link_current(s, ret, &manifest_bytes, err);
    if (rc == 0 && manifest_bytes > MANIFEST_BYTES_MAX)
        rc = reopen(s, err);
    if (rc != 0)
        files_free(ret);
    return rc;
}

/* so many bytes of an open file */
static int read_piece(int fd, const char *path, uint64_t offset, void *to, size_t len, struct err *err)
{
    int rc = 0;

    while (rc == 0 && len > 0) {
        ssize_t n = pread(fd, to, len, (off_t)offset);

        if (n < 0)
            rc = err_errno(err, errno, "cannot read \"%s\"", path);
        else if (n == 0)
            rc = err_set(err, ERR_CORRUPT, "\"%s\" is shorter than LevelDB says", path);
        else {
            to = (char *)to + n;
            len -= (size_t)n;
            offset += (uint64_t)n;
        }
    }
    return rc;
}

static int files_read(const struct wk_store_files *files, uint32_t i, uint64_t offset, void *to, size_t len, struct err *err)
{
    char *path = path_of(files->dir, files->tables[i].number);
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

    rc = fd < 0 ? err_errno(err, errno, "cannot read \"%s\"", path) : read_piece(fd, path, offset, to, len, err);
    if (rc == 0 && !wk_sums_fit(store_of(files->store)->sums, files->tables[i].number, offset, to, len))
        rc = err_set(err, ERR_CORRUPT, "\"%s\" is damaged: %zu bytes at byte %llu are not as they were written", path, len,
                     (unsigned long long)offset);
    if (fd >= 0)
        close(fd);
    mem_free(path);
    return rc;
}

/* ---- scans ---- */

static struct wk_store_scan *scan_new(struct wk_store *base)
{
    struct wk_store_scan *scan = MEM_NEW(struct wk_store_scan);
    struct store *s = store_of(base);

    scan->store = s;
    bytes_init(&scan->room);
    pthread_rwlock_rdlock(&s->lock);
    __atomic_add_fetch(&s->scans, 1, __ATOMIC_ACQ_REL);
    scan->snapshot = leveldb_create_snapshot(s->db);
    scan->read = leveldb_readoptions_create();
    leveldb_readoptions_set_fill_cache(scan->read, 0);
    leveldb_readoptions_set_verify_checksums(scan->read, 1);
    leveldb_readoptions_set_snapshot(scan->read, scan->snapshot);
    scan->iterator = leveldb_create_iterator(s->db, scan->read);
    pthread_rwlock_unlock(&s->lock);
    return scan;
}

/* The value of the entry that the iterator has come to. */
static void look(struct wk_store_scan *scan)
{
    const struct store *s = scan->store;
    struct value_place place;
    const char *data, *key;
    size_t len, key_len;
    int rc;

    if (!leveldb_iter_valid(scan->iterator))
        return;
    key = leveldb_iter_key(scan->iterator, &key_len);
    data = leveldb_iter_value(scan->iterator, &len);
    scan->value = reader_of(data + (s->tagged && len > 0), len - (s->tagged && len > 0));
    if (!s->tagged || !wk_store_place(data, len, &place))
        return;
    rc = wk_values_read(s->values, place, key, (uint32_t)key_len, &scan->room, &scan->err);
    if (rc == 0)
        (void)wk_store_no_file(s, place, &scan->err);
    scan->value = reader_of(scan->room.data, scan->room.len);
}

static void scan_seek(struct wk_store_scan *scan, const void *key, size_t len)
{
    leveldb_iter_seek(scan->iterator, key, len);
    look(scan);
}

static bool scan_at(const struct wk_store_scan *scan, struct reader *ret_key, struct reader *ret_value)
{
    const char *data;
    size_t len;

    if (!leveldb_iter_valid(scan->iterator) || scan->err.code != 0)
        return false;
    data = leveldb_iter_key(scan->iterator, &len);
    if (len < sizeof(FORM_KEY))
        return false;
    *ret_key = reader_of(data, len);
    *ret_value = scan->value;
    return true;
}

static void scan_next(struct wk_store_scan *scan)
{
    leveldb_iter_next(scan->iterator);
    look(scan);
}

static int scan_free(struct wk_store_scan *scan, struct err *err)
{
    struct store *s = scan->store;
    struct err why = scan->err;
    char *text = NULL;

    leveldb_iter_get_error(scan->iterator, &text);
    leveldb_iter_destroy(scan->iterator);
    leveldb_readoptions_destroy(scan->read);
    leveldb_release_snapshot(s->db, scan->snapshot);
    __atomic_sub_fetch(&s->scans, 1, __ATOMIC_ACQ_REL);
    bytes_release(&scan->room);
    mem_free(scan);
    if (!text && why.code != 0 && err)
        *err = why;
    return text ? wk_store_failed(s, text, err) : why.code;
}

/* ---- the worker's ---- */

static const struct wk_store_ops ops = {.make = make, .free = store_free, .submit = submit, .receive = receive,
                                        .open = store_open, .get = wk_store_get, .put = wk_store_put, .remove = wk_store_remove,
                                        .commit = wk_store_commit, .freeze = store_freeze, .read = files_read,
                                        .files_free = files_free, .scan = scan_new, .scan_seek = scan_seek,
                                        .scan_at = scan_at, .scan_next = scan_next, .scan_free = scan_free};

/* As many as LevelDB keeps open of its own ones: a fifth of what the process may have, and not more than do any good. */
static uint32_t files_of_process(void)
{
    struct rlimit may;

    if (getrlimit(RLIMIT_NOFILE, &may) != 0)
        return VALUE_FILES_OPEN_MIN;
    return (uint32_t)MIN(MAX(may.rlim_cur / 5, (rlim_t)VALUE_FILES_OPEN_MIN), (rlim_t)VALUE_FILES_OPEN_MAX);
}

struct wk_stores *wk_stores_leveldb_new(const char *dir)
{
    struct stores *s = MEM_NEW(struct stores);

    pthread_once(&maps_off, turn_maps_off);
    s->base.ops = &ops;
    s->dir = mem_strdup(dir);
    s->open_files = wk_open_files_new(files_of_process());
    s->tail = &s->head;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->has_jobs, NULL);
    return &s->base;
}

void wk_stores_leveldb_free(struct wk_stores *base)
{
    struct stores *s;

    if (!base)
        return;
    s = CONTAINER_OF(base, struct stores, base);
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    pthread_cond_signal(&s->has_jobs);
    pthread_mutex_unlock(&s->mutex);
    if (s->started)
        pthread_join(s->thread, NULL);
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->has_jobs);
    wk_open_files_free(s->open_files);
    mem_free(s->dir);
    mem_free(s);
}
