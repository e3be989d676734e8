/*
 * sweep.c - entries that have expired on disk: they would stay there until their key comes again.
 *
 * Each flush looks at a few keys of the store, from where the last one stopped: two for each that it wrote, and SWEEP_MIN at
 * least.  What has expired is told to the task, which looks again - a key may have come meanwhile - and deletes it as an
 * operator would: a tombstone, which the next flush takes to the store.  Threads: wk_sweep_look is the store thread's, the
 * rest the task's.
 */
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "taskmanager/worker/state/disk_private.h"

#define SWEEP_MIN 1000u     /* entries of a flush */
#define SWEEP_PER_WRITE 2u
#define FOUND_MAX 20000u    /* told by a flush */
#define DELETES_PER_STEP 64u
#define HEAD_BYTES 8u       /* of a key in the store: name hash, hash >> 32 */
#define PART_BYTES 4u

bool wk_sweep_is_wanted(const struct wk_state *s)
{
    if (s->disk->found.len > 0)
        return false; /* that comes first */
    for (uint32_t i = 0; i < s->table_count; i++)
        if (s->tables[i].stored && s->tables[i].decl->ttl_ms > 0)
            return true;
    return false;
}

/* All that an entry of the store has in it. */
static bool is_over(const struct table *t, uint32_t part, const uint8_t *data, size_t len, int64_t now_ms)
{
    int64_t time;

    if (t->time_bytes == 0)
        return wk_container_newest(t->decl, part, (const char *)data, len, &time) && time + t->decl->ttl_ms <= now_ms;
    if (len < sizeof(time))
        return false;
    memcpy(&time, data, sizeof(time));
    return time + t->decl->ttl_ms <= now_ms;
}

/* ---- the store thread ---- */

static struct table *next_table(const struct wk_state *s, uint32_t *number)
{
    for (uint32_t n = 0; n < s->table_count; n++, *number = (*number + 1) % s->table_count) {
        struct table *t = &s->tables[*number];

        if (t->stored && t->decl->ttl_ms > 0)
            return t;
    }
    return NULL;
}

static void add_found(struct flush *f, uint32_t table, const struct reader *key)
{
    uint32_t len = (uint32_t)reader_left(key);

    bytes_add_u32(&f->found, table);
    bytes_add_u32(&f->found, len);
    bytes_add(&f->found, key->at, len);
    f->found_count++;
}

/* Looks at entries of one table, at most *left. true: to its end. */
static bool look_at(struct flush *f, struct wk_sweep *sweep, const struct table *t, struct wk_store_scan *scan, uint64_t *left)
{
    const struct wk_store_ops *ops = f->state->options.stores->ops;
    uint32_t name = __builtin_bswap32(t->name_hash);
    struct reader key, value;

    if (sweep->at.len == 0)
        bytes_add(&sweep->at, &name, sizeof(name));
    for (ops->scan_seek(scan, sweep->at.data, sweep->at.len); ops->scan_at(scan, &key, &value); ops->scan_next(scan)) {
        size_t len = reader_left(&key);
        uint32_t part;

        if (len < sizeof(name) || memcmp(key.at, &name, sizeof(name)) != 0)
            break;
        if (*left == 0 || f->found_count >= FOUND_MAX) {
            bytes_clear(&sweep->at);
            bytes_add(&sweep->at, key.at, len);
            return false;
        }
        --*left;
        if (len < HEAD_BYTES + PART_BYTES)
            continue; /* how many keys there are */
        memcpy(&part, key.end - PART_BYTES, sizeof(part));
        if (is_over(t, __builtin_bswap32(part), value.at, reader_left(&value), f->now_ms))
            add_found(f, sweep->table, &key);
    }
    bytes_clear(&sweep->at);
    return true;
}

int wk_sweep_look(struct flush *f, struct wk_sweep *sweep, struct err *err)
{
    struct wk_state *s = f->state;
    const struct wk_store_ops *ops = s->options.stores->ops;
    struct wk_store_scan *scan = ops->scan(s->disk->store);
    uint64_t left = MAX(f->written * SWEEP_PER_WRITE, (uint64_t)SWEEP_MIN);
    struct table *t;

    for (uint32_t i = 0; i < s->table_count && (t = next_table(s, &sweep->table)) != NULL; i++) {
        if (!look_at(f, sweep, t, scan, &left))
            break;
        sweep->table = (sweep->table + 1) % s->table_count;
    }
    return ops->scan_free(scan, err);
}

/* ---- the task ---- */

/* false: there is no room for it now, or the state has failed. */
static bool expire(struct wk_state *s, struct table *t, const uint8_t *data, uint32_t len)
{
    struct disk *d = s->disk;
    rask_str bytes = {(const char *)data + HEAD_BYTES, len - HEAD_BYTES - PART_BYTES};
    uint64_t hash = hash_xxh3(bytes.data, bytes.len), at = 0;
    struct group *g = wk_group_of(t, hash);
    struct err err = {0};
    struct entry *e;
    struct key key;
    uint32_t part;
    int rc;

    memcpy(&part, data + len - PART_BYTES, sizeof(part));
    key = key_from(bytes, __builtin_bswap32(part));
    e = wk_find(g, index_hash(hash, key.part), &key, &at);
    if (e) {
        if (e->kind == ENTRY_DELETE ||
            !is_over(t, key.part, (const uint8_t *)time_of(e), value_len_of(e) + t->time_bytes, s->now_ms))
            return true;
        return wk_delete(t, g, at, e);
    }
    rc = d->stores->ops->get(d->store, data, len, &d->value, &err);
    if (rc < 0) {
        wk_disk_fail(s, &err);
        return false;
    }
    if (rc == 0 || !is_over(t, key.part, d->value.data, d->value.len, s->now_ms))
        return true;
    e = wk_insert_known(t, g, index_hash(hash, key.part), &key, 0, s->epoch);
    if (!e || !wk_find(g, index_hash(hash, key.part), &key, &at))
        return false;
    page_of(e)->newest_ms = MAX(page_of(e)->newest_ms, s->now_ms); /* it is no older than others that changed now */
    return wk_delete(t, g, at, e);
}

void wk_sweep_found(struct wk_state *s, struct flush *f)
{
    if (f->found.len > 0)
        bytes_add(&s->disk->found, f->found.data, f->found.len);
}

void wk_sweep_settle(struct wk_state *s)
{
    struct disk *d = s->disk;

    for (uint32_t i = 0; i < DELETES_PER_STEP && d->found_at < d->found.len; i++) {
        struct reader r = reader_of(d->found.data + d->found_at, d->found.len - d->found_at);
        uint32_t table = reader_u32(&r), len = reader_u32(&r);
        const uint8_t *key = reader_take(&r, len);

        if (s->tables[table].groups && !expire(s, &s->tables[table], key, len))
            return;
        d->found_at += 2 * sizeof(uint32_t) + len;
    }
    if (d->found_at < d->found.len)
        return;
    bytes_clear(&d->found);
    d->found_at = 0;
}
