/*
 * values_posix.c - see values_posix.h.
 *
 * A record: u32 key length, u32 value length, key, value, u32 CRC of all that; files of an older version are without the CRC.  The list of files is guarded by `lock`: readers hold it while they read, the writer while it changes the list.
 */
#include "taskmanager/worker/store/values_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"

#define WRITE_BYTES (256u << 10)    /* at a time */
#define WALK_BYTES (1u << 20)
#define FILE_BYTES_MIN (8u << 20)
#define FILE_BYTES_MAX (1u << 30)
#define FILES_WANTED 128u           /* a file has this part of all bytes ... */
#define FILES_MANY 64u              /* ... and many more files than that are small ones, which are put together */
#define DEAD_PART 3u                /* more than a third of all bytes: some come back ... */
#define GAIN_MIN 0.2                /* ... from a file in which so much is dead */
#define HEAD_BYTES 8u
#define CRC_BYTES 4u

struct file {
    struct value_file is; /* of the newest: what has been put, written or not */
    struct open_file *open;
};
struct values {
    const char *dir;
    struct open_files *files_open;
    struct sums *sums;
    uint32_t checked_from; /* files from this number on have checksums */
    pthread_rwlock_t lock;
    struct file *files; /* by number */
    uint32_t count, room, next;
    bool open;           /* the last one is being written */
    struct bytes tail;   /* of it, not written yet */
    uint64_t size, dead; /* of all */
};

char *wk_values_path(const char *dir, uint32_t file)
{
    return mem_printf("%s/%06u.val", dir, file);
}

struct values *wk_values_new(const char *dir, struct open_files *open, struct sums *sums)
{
    struct values *v = MEM_NEW(struct values);

    v->dir = dir;
    v->files_open = open;
    v->sums = sums;
    v->next = 1;
    pthread_rwlock_init(&v->lock, NULL);
    bytes_init(&v->tail);
    return v;
}

void wk_values_free(struct values *v)
{
    if (!v)
        return;
    for (uint32_t i = 0; i < v->count; i++)
        wk_open_file_free(v->files_open, v->files[i].open);
    mem_free(v->files);
    bytes_release(&v->tail);
    pthread_rwlock_destroy(&v->lock);
    mem_free(v);
}

static int failed(const struct values *v, uint32_t file, const char *what, struct err *err)
{
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        return err_set(err, ERR_NO_SPACE,
                       "cannot %s \"%s/%06u.val\": %s: make room there, or set state.backend.leveldb.localdir to a larger disk",
                       what, v->dir, file, strerror(errno));
    return err_errno(err, errno, "cannot %s \"%s/%06u.val\"", what, v->dir, file);
}

/* ---- the list ---- */

static struct file *find(const struct values *v, uint32_t number)
{
    uint32_t from = 0, to = v->count;

    while (from < to) {
        uint32_t mid = from + (to - from) / 2;

        if (v->files[mid].is.number < number)
            from = mid + 1;
        else
            to = mid;
    }
    return from < v->count && v->files[from].is.number == number ? &v->files[from] : NULL;
}

static void add_file(struct values *v, uint32_t number, uint64_t size)
{
    CHECK(v->count == 0 || v->files[v->count - 1].is.number < number);
    pthread_rwlock_wrlock(&v->lock);
    if (v->count == v->room) {
        v->room = MAX(v->room * 2, 16u);
        v->files = mem_realloc(v->files, v->room * sizeof(*v->files));
    }
    v->files[v->count++] = (struct file){.is = {number, size, 0}, .open = wk_open_file_new(wk_values_path(v->dir, number))};
    pthread_rwlock_unlock(&v->lock);
    v->next = number + 1;
}

int wk_values_add_file(struct values *v, uint32_t file, uint64_t dead_bytes, struct err *err)
{
    char *path = wk_values_path(v->dir, file);
    struct stat st;
    int rc = stat(path, &st) < 0 ? err_errno(err, errno, "cannot open \"%s\"", path) : 0;
    uint64_t size = rc == 0 ? (uint64_t)st.st_size : 0;

    mem_free(path);
    if (rc != 0)
        return rc;
    add_file(v, file, size);
    v->files[v->count - 1].is.dead = MIN(dead_bytes, size);
    v->size += size;
    v->dead += MIN(dead_bytes, size);
    return 0;
}

void wk_values_number_from(struct values *v, uint32_t file, uint32_t checked_from)
{
    v->next = MAX(v->next, file);
    v->checked_from = checked_from;
}

uint32_t wk_values_count(const struct values *v)
{
    return v->count;
}
struct value_file wk_values_file(const struct values *v, uint32_t i)
{
    return v->files[i].is;
}
uint32_t wk_values_next_number(const struct values *v)
{
    return v->next;
}
uint32_t wk_values_checked_from(const struct values *v)
{
    return v->checked_from;
}

void wk_values_remove(struct values *v, uint32_t file)
{
    struct file *f = find(v, file), gone = *f;
    char *path = wk_values_path(v->dir, file);

    v->size -= f->is.size;
    v->dead -= f->is.dead;
    pthread_rwlock_wrlock(&v->lock);
    memmove(f, f + 1, (size_t)(v->files + v->count - f - 1) * sizeof(*f));
    v->count--;
    pthread_rwlock_unlock(&v->lock);
    wk_open_file_free(v->files_open, gone.open);
    unlink(path);
    mem_free(path);
}

/* ---- writing ---- */

static uint64_t file_bytes(const struct values *v)
{
    return MIN(MAX(v->size / FILES_WANTED, (uint64_t)FILE_BYTES_MIN), (uint64_t)FILE_BYTES_MAX);
}

static int write_at(const struct values *v, const struct file *f, int fd, uint64_t at, struct err *err)
{
    size_t done = 0;

    while (done < v->tail.len) {
        ssize_t n = pwrite(fd, v->tail.data + done, v->tail.len - done, (off_t)(at + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(v, f->is.number, "write", err);
        done += (size_t)n;
    }
    return 0;
}

int wk_values_write(struct values *v, struct err *err)
{
    struct file *f = v->open ? &v->files[v->count - 1] : NULL;
    int fd, rc;

    if (!f || v->tail.len == 0)
        return 0;
    rc = wk_open_file_use(v->files_open, f->open, f->is.size == v->tail.len ? O_CREAT | O_TRUNC : 0, &fd, err);
    if (rc != 0)
        return rc;
    rc = write_at(v, f, fd, f->is.size - v->tail.len, err);
    wk_open_file_done(v->files_open, f->open);
    if (rc != 0)
        return rc;
    wk_sums_add(v->sums, f->is.number | VALUE_FILE, f->is.size - v->tail.len, v->tail.data, v->tail.len);
    bytes_clear(&v->tail);
    return 0;
}

int wk_values_seal(struct values *v, struct err *err)
{
    int rc = wk_values_write(v, err);

    v->open = v->open && rc != 0;
    return rc;
}

static uint32_t crc_of(const void *key, uint32_t key_len, const void *value, uint32_t len)
{
    uint32_t head[2] = {key_len, len};

    return hash_crc32c(hash_crc32c(hash_crc32c(0, head, sizeof(head)), key, key_len), value, len);
}

static uint32_t tail_bytes(const struct values *v, uint32_t file)
{
    return file >= v->checked_from ? CRC_BYTES : 0;
}

int wk_values_put(struct values *v, const void *key, uint32_t key_len, const void *value, uint32_t len, struct value_place *ret,
               struct err *err)
{
    uint32_t record = HEAD_BYTES + key_len + len + CRC_BYTES;
    struct file *f;
    int rc = 0;

    if (v->open && v->files[v->count - 1].is.size + record > file_bytes(v))
        rc = wk_values_seal(v, err);
    if (rc != 0)
        return rc;
    if (!v->open)
        add_file(v, v->next, 0);
    v->open = true;
    f = &v->files[v->count - 1];
    bytes_add_u32(&v->tail, key_len);
    bytes_add_u32(&v->tail, len);
    bytes_add(&v->tail, key, key_len);
    bytes_add(&v->tail, value, len);
    bytes_add_u32(&v->tail, crc_of(key, key_len, value, len));
    *ret = (struct value_place){f->is.number, (uint32_t)f->is.size + HEAD_BYTES + key_len, len};
    __atomic_store_n(&f->is.size, f->is.size + record, __ATOMIC_RELAXED); /* readers look at it */
    v->size += record;
    return v->tail.len >= WRITE_BYTES ? wk_values_write(v, err) : 0;
}

void wk_values_dead(struct values *v, struct value_place place, uint32_t key_len)
{
    struct file *f = find(v, place.file);
    uint64_t bytes;

    if (!f)
        return;
    bytes = MIN((uint64_t)HEAD_BYTES + key_len + place.len + tail_bytes(v, place.file), f->is.size - f->is.dead);
    f->is.dead += bytes;
    v->dead += bytes;
}

/* ---- reading ---- */

static int read_open(const struct values *v, const struct file *f, int fd, void *to, size_t len, uint64_t at, struct err *err)
{
    while (len > 0) {
        ssize_t n = pread(fd, to, len, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(v, f->is.number, "read", err);
        if (n == 0)
            return err_set(err, ERR_CORRUPT, "\"%s/%06u.val\" ends before byte %llu", v->dir, f->is.number,
                           (unsigned long long)(at + len));
        to = (char *)to + n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

static int read_at(const struct values *v, const struct file *f, void *to, size_t len, uint64_t at, struct err *err)
{
    int fd, rc = wk_open_file_use(v->files_open, f->open, 0, &fd, err);

    if (rc != 0)
        return rc;
    rc = read_open(v, f, fd, to, len, at, err);
    wk_open_file_done(v->files_open, f->open);
    return rc;
}

/* The value is where the place says, with its checksum behind it. */
static int check_value(const struct values *v, const struct value_place *place, const void *key, uint32_t key_len,
                       const uint8_t *value, struct err *err)
{
    struct reader crc = reader_of(value + place->len, CRC_BYTES);

    if (reader_u32(&crc) == crc_of(key, key_len, value, place->len))
        return 0;
    return err_set(err, ERR_CORRUPT, "\"%s/%06u.val\" is damaged: the value of %u bytes at byte %u has not its checksum", v->dir,
                   place->file, place->len, place->offset);
}

int wk_values_read(struct values *v, struct value_place place, const void *key, uint32_t key_len, struct bytes *to,
                   struct err *err)
{
    uint32_t tail = tail_bytes(v, place.file);
    const struct file *f;
    uint64_t size;
    int rc = 0;

    bytes_clear(to);
    pthread_rwlock_rdlock(&v->lock);
    f = find(v, place.file);
    size = f ? __atomic_load_n(&f->is.size, __ATOMIC_RELAXED) : 0;
    if (f && (uint64_t)place.offset + place.len + tail > size)
        rc = err_set(err, ERR_CORRUPT, "\"%s/%06u.val\" has %llu bytes, and no value of %u at byte %u", v->dir, place.file,
                     (unsigned long long)size, place.len, place.offset);
    if (f && rc == 0) {
        bytes_reserve(to, (size_t)place.len + tail);
        rc = read_at(v, f, to->data, (size_t)place.len + tail, place.offset, err);
    }
    pthread_rwlock_unlock(&v->lock);
    if (!f || rc != 0)
        return rc;
    to->len = place.len;
    return tail == 0 || check_value(v, &place, key, key_len, to->data, err) == 0 ? 1 : ERR_CORRUPT;
}

/* ---- room comes back ---- */

uint32_t wk_values_worst(const struct values *v)
{
    bool many = v->count > FILES_MANY + v->size / file_bytes(v);
    uint32_t sealed = v->count - v->open, best = 0;
    double most = many ? 0 : GAIN_MIN;

    if (v->dead * DEAD_PART <= v->size && !many)
        return 0;
    for (uint32_t i = 0; i < sealed; i++) {
        const struct value_file *f = &v->files[i].is;
        double gain = many ? 1 / (double)(f->size - f->dead + 1) : (double)f->dead / (double)(f->size + 1);

        if (gain > most) {
            most = gain;
            best = f->number;
        }
    }
    return best;
}

/* So many bytes at walk->at are in the room: *ret. */
static int fetch(const struct values *v, const struct file *f, struct value_walk *walk, uint64_t want, const uint8_t **ret,
                 struct err *err)
{
    uint64_t left = f->is.size - walk->at, has = MIN(left, MAX(want, (uint64_t)WALK_BYTES));
    int rc = 0;

    if (want > left)
        return err_set(err, ERR_CORRUPT, "\"%s/%06u.val\" ends in the middle of a record", v->dir, f->is.number);
    if (walk->at < walk->room_at || walk->at + want > walk->room_at + walk->room.len) {
        bytes_clear(&walk->room);
        bytes_reserve(&walk->room, has);
        rc = read_at(v, f, walk->room.data, has, walk->at, err);
        walk->room.len = rc == 0 ? has : 0;
        walk->room_at = walk->at;
    }
    *ret = walk->room.data + (walk->at - walk->room_at);
    return rc;
}

int wk_values_walk(struct values *v, struct value_walk *walk, struct value_record *ret, struct err *err)
{
    const struct file *f = find(v, walk->file);
    uint32_t tail = tail_bytes(v, walk->file), len;
    const uint8_t *data = NULL;
    struct reader head;
    uint64_t record;
    int rc;

    if (!f || walk->at >= f->is.size)
        return 0;
    rc = fetch(v, f, walk, HEAD_BYTES, &data, err);
    if (rc != 0)
        return rc;
    head = reader_of(data, HEAD_BYTES);
    ret->key_len = reader_u32(&head);
    len = reader_u32(&head);
    record = (uint64_t)HEAD_BYTES + ret->key_len + len + tail;
    rc = fetch(v, f, walk, record, &data, err);
    if (rc != 0)
        return rc;
    ret->key = data + HEAD_BYTES;
    ret->value = ret->key + ret->key_len;
    ret->place = (struct value_place){walk->file, (uint32_t)walk->at + HEAD_BYTES + ret->key_len, len};
    walk->at += record;
    return tail == 0 || check_value(v, &ret->place, ret->key, ret->key_len, ret->value, err) == 0 ? 1 : ERR_CORRUPT;
}
