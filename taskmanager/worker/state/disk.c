/*
 * disk.c - state that is larger than memory: the table in front of a store (worker/store).
 *
 * Memory holds what was changed lately and what was read lately.  A flush freezes an epoch, and the store thread writes what
 * was changed up to it: a checkpoint flushes, and so does memory that runs short.  Afterwards the store is the state as it
 * was at the end of that epoch, and entries of it may leave memory: the oldest pages first, in which are those that have not
 * been changed for the longest time; those read since they came are spared once.  A key that memory does not know is looked
 * up in the store, if anything of its table has ever left memory.
 *
 * So entries in memory are right, whatever the store has; and what the store has of a key that is not in memory is right.
 * Threads: the task's, but for run_flush and what it calls: the store thread.
 */
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "taskmanager/worker/state/disk_private.h"

/* Of the share of a state, in sixteenths */
#define STORE_PART 6u  /* buffers and caches of the store */
#define FLUSH_PART 5u  /* memory in use above which what was changed is written early, if it is ... */
#define CHANGED_PART 2u /* ... more than so much */
#define HIGH_PART 9u   /* above, pages are dropped, down to ... */
#define LOW_PART 8u
#define WAIT_PART 10u  /* above, the task waits for the store */

/* ---- birth and death ---- */

uint32_t wk_disk_name_hash(const char *name)
{
    return (uint32_t)hash_xxh3(name, strlen(name));
}

void wk_disk_new(struct wk_state *s)
{
    struct disk *d = MEM_NEW(struct disk);
    uint32_t tables = 0;
    char id[33];

    for (uint32_t i = 0; i + s->options.resident_count < s->table_count; i++)
        if (s->options.decl[i].kind < RASK_OPERATOR_LIST) {
            s->tables[i].stored = true;
            s->tables[i].name_hash = wk_disk_name_hash(s->options.decl[i].name);
            tables++;
        }
    if (tables == 0) {
        mem_free(d);
        return;
    }
    hash_hex(s->options.operator_id, sizeof(s->options.operator_id), id);
    s->disk = d;
    d->stores = s->options.stores;
    d->store = d->stores->ops->make(d->stores, id);
    d->last = &d->first;
    pthread_mutex_init(&d->wait.mutex, NULL);
    pthread_cond_init(&d->wait.cond, NULL);
    bytes_init(&d->key);
    bytes_init(&d->value);
    bytes_init(&d->found);
    bytes_init(&d->sweep.at);
    __atomic_add_fetch(&s->budget->stores, 1, __ATOMIC_RELAXED);
}

void wk_disk_stop(struct wk_state *s)
{
    struct disk *d = s->disk;

    if (!d)
        return;
    __atomic_store_n(&d->stop, 1, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&s->budget->stores, 1, __ATOMIC_RELAXED);
    while (d->first) {
        struct flush *f = d->first;

        d->first = f->next;
        wk_flush_unref(f);
    }
    d->last = &d->first;
    wk_tables_unref(d->base);
    d->base = NULL;
}

struct wk_tables *wk_disk_base(const struct wk_state *s)
{
    return s->disk->base;
}

void wk_disk_completed(struct wk_state *s, struct wk_tables *tables)
{
    wk_tables_unref(s->disk->base);
    s->disk->base = wk_tables_ref(tables);
}

void wk_disk_release(struct wk_state *s)
{
    struct disk *d = s->disk;

    if (!d)
        return;
    d->stores->ops->free(d->store);
    pthread_mutex_destroy(&d->wait.mutex);
    pthread_cond_destroy(&d->wait.cond);
    bytes_release(&d->key);
    bytes_release(&d->value);
    bytes_release(&d->found);
    bytes_release(&d->sweep.at);
    mem_free(d);
    s->disk = NULL;
}

static uint64_t share_of(const struct wk_state *s)
{
    uint32_t stores = __atomic_load_n(&s->budget->stores, __ATOMIC_RELAXED);

    return s->budget->limit_bytes / MAX(stores, 1u);
}

uint64_t wk_disk_share(const struct wk_state *s)
{
    return share_of(s) / 16 * STORE_PART;
}

/* What is on the local disk is a copy: a checkpoint has its own, so whatever is wrong with it the job may start again from there. */
void wk_disk_explain(const struct wk_state *s, struct err *err)
{
    struct err why = *err;

    if (why.code == ERR_CORRUPT)
        err_set(err, ERR_IO, "%s: a checkpoint has its own copy; look after that disk, or set state.backend.leveldb.localdir to "
                "another one", why.text);
    else if (why.code == ERR_NOT_FOUND || why.code == ERR_PERMISSION || why.code == ERR_INVALID || why.code == ERR_EXISTS)
        err->code = ERR_IO;
    err_wrap(err, "operator \"%s\" (subtask %u): its state on disk", s->options.name, s->options.subtask);
}

void wk_disk_fail(struct wk_state *s, const struct err *err)
{
    if (s->disk->err.code != 0)
        return;
    s->disk->err = *err;
    wk_disk_explain(s, &s->disk->err);
}

int wk_state_failed(const struct wk_state *s, struct err *err)
{
    if (!s->disk || s->disk->err.code == 0)
        return 0;
    if (err)
        *err = s->disk->err;
    return s->disk->err.code;
}

/* ---- a flush: frozen by the task, written by the store thread ---- */

void wk_flush_unref(struct flush *f)
{
    struct wk_state *s = f->state;

    if (__atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    if (f->scan)
        (void)s->disk->stores->ops->scan_free(f->scan, NULL);
    if (f->has_files)
        s->disk->stores->ops->files_free(&f->files);
    for (uint32_t i = 0; i < s->table_count; i++)
        mem_free(f->tables[i]);
    mem_free(f->tables);
    bytes_release(&f->found);
    mem_free(f);
    wk_state_unref(s);
}

void wk_disk_key(struct bytes *to, const struct table *t, uint64_t hash, const void *key, uint32_t len, uint32_t part)
{
    uint32_t head[2] = {__builtin_bswap32(t->name_hash), __builtin_bswap32((uint32_t)(hash >> 32))};

    part = __builtin_bswap32(part);
    bytes_clear(to);
    bytes_add(to, head, sizeof(head));
    bytes_add(to, key, len);
    bytes_add(to, &part, sizeof(part));
}

static int write_entry(struct flush *f, const struct table *t, struct entry *e, struct bytes *key, struct err *err)
{
    const struct disk *d = f->state->disk;
    const struct wk_store_ops *ops = d->stores->ops;
    uint32_t len = key_len_of(e);

    f->written++;
    wk_disk_key(key, t, hash_xxh3(key_of(e), len), key_of(e), len, entry_part(e));
    if (e->kind == ENTRY_DELETE)
        return ops->remove(d->store, key->data, key->len, err);
    return ops->put(d->store, key->data, key->len, time_of(e), value_len_of(e) + t->time_bytes, err);
}

static int write_page(struct flush *f, const struct table *t, struct page *p, uint32_t end, struct bytes *key, struct err *err)
{
    int rc = 0;

    for (uint32_t at = PAGE_HEAD_BYTES; at < end && rc == 0;) {
        struct entry *e = page_entry(p, at);

        at += (uint32_t)room_of(t, e);
        if (is_visible(e, f->base_epoch, f->epoch))
            rc = write_entry(f, t, e, key, err);
    }
    return rc;
}

static int write_group(struct flush *f, const struct table *t, const struct frozen_log *log, struct bytes *key, struct err *err)
{
    uint32_t end = log->used, newest = log->newest;
    int rc = 0;

    for (struct page *p = log->tail; p && rc == 0 && !__atomic_load_n(&f->state->disk->stop, __ATOMIC_RELAXED);) {
        if (newest > f->base_epoch)
            rc = write_page(f, t, p, end, key, err);
        p = p->prev;
        end = p ? p->used : 0;
        newest = p ? p->newest : 0;
    }
    return rc;
}

/* How many keys a table has, for who makes a state of the store: under the name hash alone, before all keys of the table. */
static int write_count(struct flush *f, const struct table *t, uint64_t keys, struct err *err)
{
    uint32_t name = __builtin_bswap32(t->name_hash);

    return f->state->disk->stores->ops->put(f->state->disk->store, &name, sizeof(name), &keys, sizeof(keys), err);
}

static int write_all(struct flush *f, struct err *err)
{
    struct wk_state *s = f->state;
    struct bytes key;
    int rc = 0;

    bytes_init(&key);
    for (uint32_t i = 0; i < s->table_count && rc == 0; i++) {
        for (uint32_t g = 0; f->tables[i] && g < s->group_count && rc == 0; g++)
            rc = write_group(f, &s->tables[i], &f->tables[i][g], &key, err);
        if (rc == 0 && f->tables[i])
            rc = write_count(f, &s->tables[i], f->tables[i]->keys, err);
    }
    bytes_release(&key);
    return rc == 0 ? s->disk->stores->ops->commit(s->disk->store, err) : rc;
}

static int flush_to_store(struct flush *f, struct err *err)
{
    struct disk *d = f->state->disk;
    const struct wk_store_ops *ops = d->stores->ops;
    int rc = 0;

    if (__atomic_load_n(&d->stop, __ATOMIC_RELAXED))
        return err_set(err, ERR_CANCELED, "the state is not needed any more");
    if (d->broken.code != 0) {
        *err = d->broken;
        return err->code;
    }
    if (!d->open)
        rc = ops->open(d->store, f->memory_bytes, err);
    d->open = rc == 0;
    if (rc == 0)
        rc = write_all(f, err);
    if (rc == 0 && f->sweeps)
        rc = wk_sweep_look(f, &d->sweep, err);
    if (rc == 0 && f->wants_files) {
        rc = ops->freeze(d->store, &f->files, err);
        f->has_files = rc == 0;
    }
    if (rc == 0 && f->wants_scan)
        f->scan = ops->scan(d->store);
    if (rc != 0)
        d->broken = *err;
    return rc;
}

static void run_flush(struct wk_store_job *job)
{
    struct flush *f = CONTAINER_OF(job, struct flush, job);
    struct disk *d = f->state->disk;
    struct err err = {0};

    err.code = flush_to_store(f, &err);
    pthread_mutex_lock(&d->wait.mutex);
    f->err = err;
    f->done = true;
    pthread_cond_broadcast(&d->wait.cond);
    pthread_mutex_unlock(&d->wait.mutex);
    wk_flush_unref(f);
}

void wk_flush_wait(struct flush *f)
{
    struct disk *d = f->state->disk;

    pthread_mutex_lock(&d->wait.mutex);
    while (!f->done)
        pthread_cond_wait(&d->wait.cond, &d->wait.mutex);
    pthread_mutex_unlock(&d->wait.mutex);
}

static bool is_done(struct flush *f)
{
    struct disk *d = f->state->disk;
    bool done;

    pthread_mutex_lock(&d->wait.mutex);
    done = f->done;
    pthread_mutex_unlock(&d->wait.mutex);
    return done;
}

static struct frozen_log *freeze_table(const struct table *t)
{
    const struct wk_state *s = t->state;
    struct frozen_log *logs = mem_alloc_array(s->group_count, sizeof(*logs));

    for (uint32_t i = 0; i < s->group_count; i++) {
        struct page *p = t->groups[i].tail;

        group_close(&t->groups[i]);
        logs[i] = (struct frozen_log){.tail = p, .used = p ? p->used : 0, .newest = p ? p->newest : 0};
    }
    logs->keys = t->keys;
    return logs;
}

/* All that was changed up to the current epoch. The caller ends the epoch, and submits. */
static struct flush *flush_new(struct wk_state *s)
{
    struct disk *d = s->disk;
    struct flush *f = MEM_NEW(struct flush);

    f->job.run = run_flush;
    f->state = s;
    f->epoch = s->epoch;
    f->base_epoch = d->submitted;
    f->memory_bytes = wk_disk_share(s);
    f->now_ms = s->now_ms;
    f->sweeps = wk_sweep_is_wanted(s);
    bytes_init(&f->found);
    f->tables = mem_alloc_array(s->table_count + 1u, sizeof(struct frozen_log *));
    for (uint32_t i = 0; i < s->table_count; i++)
        if (s->tables[i].stored && s->tables[i].groups)
            f->tables[i] = freeze_table(&s->tables[i]);
    f->refs = 2; /* the task, the store thread */
    __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    d->submitted = s->epoch;
    d->appended = 0;
    *d->last = f;
    d->last = &f->next;
    return f;
}

struct flush *wk_disk_freeze(struct wk_state *s, enum wk_snapshot_kind kind)
{
    struct flush *f = flush_new(s);

    f->wants_files = kind != WK_SNAPSHOT_SAVEPOINT;
    f->wants_scan = kind == WK_SNAPSHOT_SAVEPOINT;
    f->refs++; /* the snapshot */
    s->disk->stores->ops->submit(s->disk->stores, &f->job);
    return f;
}

static void flush_early(struct wk_state *s)
{
    struct flush *f = flush_new(s);

    s->epoch++;
    s->disk->stores->ops->submit(s->disk->stores, &f->job);
}

/* What is over. */
static void look(struct wk_state *s)
{
    struct disk *d = s->disk;

    while (d->first && is_done(d->first)) {
        struct flush *f = d->first;

        if (f->err.code != 0)
            wk_disk_fail(s, &f->err);
        else
            d->stored = f->epoch;
        wk_sweep_found(s, f);
        d->first = f->next;
        if (!d->first)
            d->last = &d->first;
        wk_flush_unref(f);
    }
}

uint32_t wk_disk_stored(const struct wk_state *s)
{
    return s->disk->stored;
}

uint32_t wk_disk_held(const struct wk_state *s)
{
    return s->disk->first ? s->disk->submitted : 0;
}

/* ---- back into memory ---- */

struct entry *wk_disk_fetch(struct table *t, struct group *g, uint64_t hash, const struct key *key, bool write, uint64_t *ret_at)
{
    struct wk_state *s = t->state;
    struct disk *d = s->disk;
    struct err err = {0};
    struct entry *e;
    uint64_t at;
    int rc;

    if (d->err.code != 0)
        return NULL;
    wk_disk_key(&d->key, t, hash, key->len > KEY_HEAD_BYTES ? key->bytes : key->head, key->len, key->part);
    rc = d->stores->ops->get(d->store, d->key.data, d->key.len, &d->value, &err);
    if (rc == 1 && d->value.len < t->time_bytes)
        rc = err_set(&err, ERR_CORRUPT, "a value has %zu bytes", d->value.len);
    if (rc < 0) {
        err_wrap(&err, "state \"%s\"", t->decl->name);
        wk_disk_fail(s, &err);
    }
    if (rc != 1)
        return NULL;
    e = wk_insert_known(t, g, index_hash(hash, key->part), key, d->value.len - t->time_bytes, write ? s->epoch : d->stored);
    if (!e) {
        (void)wk_over_budget(t, d->value.len, &err);
        wk_disk_fail(s, &err);
        return NULL;
    }
    memcpy(time_of(e), d->value.data, d->value.len);
    if (t->decl->ttl_ms > 0) {
        struct page *p = page_of(e);

        p->newest_ms = MAX(p->newest_ms, t->time_bytes ? *time_of(e) : s->now_ms);
    }
    if (ret_at && wk_find(g, index_hash(hash, key->part), key, &at))
        *ret_at = at;
    return e;
}

/* ---- out of memory ---- */

/* The oldest page that may go and has something that the store has too. */
static struct page **oldest_page(const struct wk_state *s, struct group *g)
{
    uint32_t held = wk_disk_held(s);
    struct page **best = NULL;

    for (struct page **link = &g->tail; *link && (*link)->made > held; link = &(*link)->prev)
        if ((*link)->oldest <= s->disk->stored)
            best = link;
    return best;
}

static void drop_page(struct table *t, struct group *g, struct page **link)
{
    const struct disk *d = t->state->disk;
    struct page *p = *link;
    uint32_t at = PAGE_HEAD_BYTES, end;

    group_close(g);
    end = p->used;
    p->end = p->used; /* what moves does not come back to it */
    while (at < end) {
        struct entry *e = page_entry(p, at);

        at += (uint32_t)room_of(t, e);
        if (!is_current(e))
            continue;
        if (e->born <= d->stored && e->kind == ENTRY_DELETE) {
            wk_forget(t, g, e);
        } else if (e->born <= d->stored && !e->used) {
            wk_drop(t, g, e);
            t->cold = true;
        } else {
            e->used = 0;
            CHECK(wk_move(t, g, e));
        }
    }
    for (link = &g->tail; *link != p; link = &(*link)->prev); /* new pages may stand before it */
    wk_unlink_page(t, g, link);
}

static uint64_t in_use(const struct wk_state *s)
{
    return s->used_bytes - s->spare_bytes;
}

/* Drops pages, a group's oldest in turn, until so much is in use or nothing more may go. */
static void drop_pages(struct wk_state *s, uint64_t target)
{
    uint32_t all = s->table_count * s->group_count, idle = 0;
    struct disk *d = s->disk;

    s->cleaning = true;
    while (in_use(s) > target && idle < all) {
        struct table *t = &s->tables[d->evict_at / s->group_count];
        struct group *g = t->groups ? &t->groups[d->evict_at % s->group_count] : NULL;
        struct page **link = t->stored && g ? oldest_page(s, g) : NULL;

        if (link)
            drop_page(t, g, link);
        idle = link ? 0 : idle + 1;
        d->evict_at = (d->evict_at + 1) % all;
    }
    s->cleaning = false;
}

void wk_disk_settle(struct wk_state *s)
{
    struct disk *d = s->disk;
    uint64_t part = share_of(s) / 16;

    if (d->err.code != 0)
        return;
    d->appended += s->appended;
    if (d->first)
        look(s);
    if (d->found.len > 0)
        wk_sweep_settle(s);
    if (in_use(s) < part * FLUSH_PART)
        return;
    if (!d->first && d->appended > part * CHANGED_PART)
        flush_early(s);
    if (in_use(s) > part * HIGH_PART)
        drop_pages(s, part * LOW_PART);
    while (d->first && in_use(s) > part * WAIT_PART && d->err.code == 0) {
        wk_flush_wait(d->first);
        look(s);
        drop_pages(s, part * LOW_PART);
    }
}

/* ---- a store that was restored ---- */

int wk_disk_adopt(struct wk_state *s, struct wk_store *store, struct wk_tables *pieces, struct err *err)
{
    struct disk *d = s->disk;
    const struct wk_store_ops *ops = d->stores->ops;
    int rc;

    CHECK(!d->open && d->submitted == 0);
    ops->free(d->store);
    d->store = store;
    wk_disk_completed(s, pieces);
    rc = ops->open(store, wk_disk_share(s), err);
    d->open = rc == 0;
    for (uint32_t i = 0; i < s->table_count && rc == 0; i++) {
        struct table *t = &s->tables[i];
        uint32_t name = __builtin_bswap32(t->name_hash);

        if (!t->stored)
            continue;
        t->cold = true;
        rc = ops->get(store, &name, sizeof(name), &d->value, err);
        if (rc == 1 && d->value.len == sizeof(t->keys))
            memcpy(&t->keys, d->value.data, sizeof(t->keys));
        if (rc >= 0 && !t->groups && !wk_table_begin(t))
            rc = wk_over_budget(t, s->group_count * sizeof(*t->groups), err);
        rc = MIN(rc, 0);
    }
    return rc;
}
