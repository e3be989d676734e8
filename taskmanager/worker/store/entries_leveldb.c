/*
 * entries_leveldb.c - entries of a store, and where their values are.
 *
 * Values from VALUE_BYTES_MIN on are in files of their own (values_posix.h), and LevelDB has their places: a byte in front of
 * each value says which.  A store that is made of files of an older version has values without that byte, and goes on so.
 * What a change makes useless in such a file is counted, so each put looks up what was there.
 *
 * Threads: as store.h says; the lock as in stores_leveldb.c.
 */
#include <leveldb/c.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "taskmanager/worker/store/stores_private.h"

#define BATCH_BYTES (256u << 10)
#define VALUE_BYTES_MIN 96u    /* of one in a file of values */
#define MOVED_MIN (64u << 20)  /* bytes that a commit may move to others, or ... */
#define MOVED_FACTOR 4u        /* ... so many times what was put into them */
#define FORM_VERSION 2u

enum value_tag { VALUE_HERE, VALUE_IN_FILE }; /* the value follows; or its file, offset and length */
#define PLACE_BYTES 13u

/* What LevelDB has of a key: 1 and *ret, to be freed; 0: nothing. */
static int find(struct store *s, const void *key, size_t len, char **ret, size_t *ret_len, struct err *err)
{
    char *text = NULL;

    pthread_rwlock_rdlock(&s->lock);
    *ret = s->db ? leveldb_get(s->db, s->read, key, len, ret_len, &text) : NULL;
    pthread_rwlock_unlock(&s->lock);
    return text ? wk_store_failed(s, text, err) : *ret != NULL;
}

bool wk_store_place(const void *value, size_t len, struct value_place *ret)
{
    struct reader r = reader_of(value, len);

    if (len != PLACE_BYTES || reader_u8(&r) != VALUE_IN_FILE)
        return false;
    ret->file = reader_u32(&r);
    ret->offset = reader_u32(&r);
    ret->len = reader_u32(&r);
    return true;
}

int wk_store_no_file(const struct store *s, struct value_place place, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "LevelDB in \"%s\" names file of values %u, which is not there", s->dir, place.file);
}

int wk_store_get(struct wk_store *base, const void *key, size_t len, struct bytes *value, struct err *err)
{
    struct store *s = store_of(base);
    struct value_place place, before = {0, 0, 0};
    char *found;
    size_t size;
    int rc;

    for (;;) {
        rc = find(s, key, len, &found, &size, err);
        if (rc != 1)
            return rc;
        if (!s->tagged || !wk_store_place(found, size, &place))
            break;
        leveldb_free(found);
        rc = wk_values_read(s->values, place, key, (uint32_t)len, value, err);
        if (rc != 0)
            return rc;
        if (place.file == before.file) /* else it has been moved just now: LevelDB has another place */
            return wk_store_no_file(s, place, err);
        before = place;
    }
    if (s->tagged && size == 0)
        rc = err_set(err, ERR_CORRUPT, "LevelDB in \"%s\": a value has no bytes", s->dir);
    bytes_clear(value);
    if (rc == 1)
        bytes_add(value, found + s->tagged, size - s->tagged);
    leveldb_free(found);
    return rc;
}

/* Of the writer, who alone opens anew: no lock. */
int wk_store_write_batch(struct store *s, struct err *err)
{
    char *text = NULL;
    int rc = wk_values_write(s->values, err); /* before their places can be read */

    if (rc != 0)
        return rc;
    leveldb_write(s->db, s->write, s->batch, &text);
    leveldb_writebatch_clear(s->batch);
    s->batch_bytes = 0;
    return text ? wk_store_failed(s, text, err) : 0;
}

static int added(struct store *s, size_t bytes, struct err *err)
{
    s->batch_bytes += bytes;
    return s->batch_bytes >= BATCH_BYTES ? wk_store_write_batch(s, err) : 0;
}

/* What the key has in a file is not needed any more. */
static int drop_old(struct store *s, const void *key, size_t len, struct err *err)
{
    struct value_place place;
    char *found;
    size_t size;
    int rc;

    if (wk_values_count(s->values) == 0)
        return 0;
    rc = find(s, key, len, &found, &size, err);
    if (rc != 1)
        return rc;
    if (wk_store_place(found, size, &place))
        wk_values_dead(s->values, place, (uint32_t)len);
    leveldb_free(found);
    return 0;
}

/* Into a file, and its place into the batch. */
static int put_in_file(struct store *s, const void *key, size_t len, const void *value, size_t value_len, struct err *err)
{
    struct value_place place;
    int rc = wk_values_put(s->values, key, (uint32_t)len, value, (uint32_t)value_len, &place, err);

    if (rc != 0)
        return rc;
    s->value_bytes += value_len;
    bytes_clear(&s->room);
    bytes_add_u8(&s->room, VALUE_IN_FILE);
    bytes_add_u32(&s->room, place.file);
    bytes_add_u32(&s->room, place.offset);
    bytes_add_u32(&s->room, place.len);
    leveldb_writebatch_put(s->batch, key, len, (const char *)s->room.data, s->room.len);
    return added(s, len + s->room.len, err);
}

int wk_store_put(struct wk_store *base, const void *key, size_t len, const void *value, size_t value_len, struct err *err)
{
    struct store *s = store_of(base);
    int rc = s->tagged ? drop_old(s, key, len, err) : 0;

    if (rc != 0)
        return rc;
    if (s->tagged && value_len >= VALUE_BYTES_MIN)
        return put_in_file(s, key, len, value, value_len, err);
    bytes_clear(&s->room);
    if (s->tagged)
        bytes_add_u8(&s->room, VALUE_HERE);
    bytes_add(&s->room, value, value_len);
    leveldb_writebatch_put(s->batch, key, len, (const char *)s->room.data, s->room.len);
    return added(s, len + s->room.len, err);
}

int wk_store_remove(struct wk_store *base, const void *key, size_t len, struct err *err)
{
    struct store *s = store_of(base);
    int rc = s->tagged ? drop_old(s, key, len, err) : 0;

    if (rc != 0)
        return rc;
    leveldb_writebatch_delete(s->batch, key, len);
    return added(s, len, err);
}

/* ---- room in files of values comes back ---- */

/* Puts a record again if LevelDB names it. */
static int move_record(struct store *s, const struct value_record *r, struct err *err)
{
    struct value_place place = {0, 0, 0};
    char *found;
    size_t size;
    int rc = find(s, r->key, r->key_len, &found, &size, err);

    if (rc != 1)
        return rc;
    (void)wk_store_place(found, size, &place);
    leveldb_free(found);
    if (place.file != r->place.file || place.offset != r->place.offset)
        return 0;
    return put_in_file(s, r->key, r->key_len, r->value, r->place.len, err);
}

static int empty_file(struct store *s, uint32_t file, struct err *err)
{
    struct value_walk walk = {.file = file};
    struct value_record record;
    int rc;

    bytes_init(&walk.room);
    while ((rc = wk_values_walk(s->values, &walk, &record, err)) == 1) {
        rc = move_record(s, &record, err);
        if (rc != 0)
            break;
    }
    bytes_release(&walk.room);
    if (rc == 0)
        rc = wk_store_write_batch(s, err);
    if (rc == 0)
        wk_values_remove(s->values, file);
    return rc;
}

/* Not while a scan has places from before. */
static int clean_values(struct store *s, struct err *err)
{
    uint64_t may = MAX(s->value_bytes * MOVED_FACTOR, (uint64_t)MOVED_MIN);
    uint32_t file;
    int rc = 0;

    s->value_bytes = 0;
    while (rc == 0 && __atomic_load_n(&s->scans, __ATOMIC_ACQUIRE) == 0 && s->value_bytes < may &&
           (file = wk_values_worst(s->values)) != 0)
        rc = empty_file(s, file, err);
    s->value_bytes = 0;
    return rc;
}

int wk_store_commit(struct wk_store *base, struct err *err)
{
    struct store *s = store_of(base);
    int rc = wk_store_write_batch(s, err);

    return rc == 0 && s->tagged ? clean_values(s, err) : rc;
}

/*
 * ---- what is said of files of values in a checkpoint ----
 * u32 version, u32 next number, u32 number from which on records have checksums (version 1: not there, none has);
 * of each u32 number, u64 dead bytes
 */

void wk_store_put_form(struct store *s)
{
    bytes_clear(&s->room);
    bytes_add_u32(&s->room, FORM_VERSION);
    bytes_add_u32(&s->room, wk_values_next_number(s->values));
    bytes_add_u32(&s->room, wk_values_checked_from(s->values));
    for (uint32_t i = 0; i < wk_values_count(s->values); i++) {
        struct value_file f = wk_values_file(s->values, i);

        bytes_add_u32(&s->room, f.number);
        bytes_add_u64(&s->room, f.dead);
    }
    leveldb_writebatch_put(s->batch, FORM_KEY, sizeof(FORM_KEY) - 1, (const char *)s->room.data, s->room.len);
}

/* Of a store that was made of files. */
int wk_store_read_form(struct store *s, struct err *err)
{
    uint32_t version, next, checked_from;
    struct reader r;
    char *found;
    size_t size;
    int rc = find(s, FORM_KEY, sizeof(FORM_KEY) - 1, &found, &size, err);

    if (rc != 1)
        return rc;
    s->tagged = true;
    r = reader_of(found, size);
    version = reader_u32(&r);
    rc = version - 1 < FORM_VERSION ? 0 : err_set(err, ERR_VERSION, "LevelDB in \"%s\": of another version", s->dir);
    next = reader_u32(&r);
    checked_from = version == 1 ? next : reader_u32(&r);
    for (uint32_t before = 0; rc == 0 && reader_left(&r) > 0;) {
        uint32_t file = reader_u32(&r);
        uint64_t dead = reader_u64(&r);

        if (r.bad || file <= before || file >= next || file >= VALUE_FILE)
            rc = err_set(err, ERR_CORRUPT, "LevelDB in \"%s\": what it says of files of values is damaged", s->dir);
        else
            rc = wk_values_add_file(s->values, before = file, dead, err);
    }
    wk_values_number_from(s->values, next, checked_from);
    leveldb_free(found);
    return rc;
}
