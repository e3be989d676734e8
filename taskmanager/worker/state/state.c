/*
 * state.c - keyed state as operators see it: value by key, in place or as bytes, one key at a time; runs of keys are in run.c.
 * Runs in the task's step.
 */
#include "taskmanager/worker/state/state.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "taskmanager/worker/state/state_private.h"

#define SMALL_BYTES (16u << 20)
#define TTL_MAX_MS (INT64_C(1000) * 366 * 86400 * 1000) /* for ever, and a time and it make no overflow */

/* ---- birth and death ---- */

static const rask_schema *copy_schema(struct wk_state *s, const rask_schema *schema)
{
    return schema ? schema_copy(&s->arena, schema) : NULL;
}

/* The declarations may go with their operator while a snapshot is still being read. */
static void copy_options(struct wk_state *s, const struct wk_state_options *options)
{
    rask_state *decl;
    uint32_t n = 0;

    while (options->decl && options->decl[n].kind != 0)
        n++;
    decl = arena_alloc(&s->arena, (n + 1) * sizeof(*decl));
    for (uint32_t i = 0; i < n; i++) {
        decl[i] = options->decl[i];
        decl[i].name = arena_strdup(&s->arena, options->decl[i].name);
        decl[i].schema = copy_schema(s, options->decl[i].schema);
        decl[i].map_key = copy_schema(s, options->decl[i].map_key);
        decl[i].ttl_ms = MIN(options->decl[i].ttl_ms, TTL_MAX_MS);
    }
    s->options = *options;
    s->options.decl = decl;
    s->options.small_bytes = options->small_bytes ? options->small_bytes : SMALL_BYTES;
    s->options.key = copy_schema(s, options->key);
    s->options.uid = arena_strdup(&s->arena, options->uid ? options->uid : "");
    s->options.name = arena_strdup(&s->arena, options->name ? options->name : "");
    if (options->max_parallelism == 0) {
        s->options.subtask = 0;
        s->options.parallelism = s->options.max_parallelism = 1;
    }
    s->table_count = n;
    s->described = arena_alloc(&s->arena, (n + 1) * sizeof(*s->described));
    for (uint32_t i = 0; i < n; i++)
        s->described[i] = (struct ckpt_state){.name = decl[i].name, .kind = decl[i].kind, .map_key = decl[i].map_key,
                                              .key = decl[i].kind < RASK_OPERATOR_LIST ? s->options.key : NULL,
                                              .value = decl[i].schema, .ttl_ms = decl[i].ttl_ms};
}

struct wk_state *wk_state_new(const struct wk_state_options *options)
{
    struct wk_state *s = MEM_NEW(struct wk_state);
    uint64_t p, max;

    arena_init(&s->arena);
    copy_options(s, options);
    p = s->options.parallelism;
    max = s->options.max_parallelism;
    s->budget = options->budget;
    wk_nursery_join(s);
    s->first_group = (uint32_t)((s->options.subtask * max + p - 1) / p);
    s->group_count = (uint32_t)(((s->options.subtask + 1) * max + p - 1) / p) - s->first_group;
    s->epoch = 1;
    s->refs = 1;
    s->tables = mem_alloc_array(s->table_count + 1u, sizeof(*s->tables));
    s->lists = mem_alloc_array(s->table_count + 1u, sizeof(*s->lists));
    for (uint32_t i = 0; i < s->table_count; i++) {
        const rask_state *decl = &s->options.decl[i];
        bool chunks = decl->kind == RASK_LIST || decl->kind == RASK_MAP;

        s->tables[i].decl = s->lists[i].decl = decl;
        s->tables[i].state = s;
        s->tables[i].time_bytes = decl->ttl_ms > 0 && !chunks ? sizeof(int64_t) : 0;
    }
    if (options->stores && options->on_disk)
        wk_disk_new(s);
    return s;
}

void wk_state_unref(struct wk_state *s)
{
    if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    for (uint32_t i = 0; i < s->table_count; i++) {
        wk_table_free(&s->tables[i]);
        wk_elements_free(s, &s->lists[i]);
    }
    wk_notes_free(s, true);
    CHECK(s->chunk_count == 0);
    wk_rooms_release(s);
    wk_nursery_unref(s->nursery);
    wk_disk_release(s);
    mem_free(s->chunks);
    mem_free(s->free_ids);
    mem_free(s->tables);
    mem_free(s->lists);
    arena_release(&s->arena);
    mem_free(s);
}

void wk_state_free(struct wk_state *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->pending_count; i++) {
        mem_free(s->pending[i].imaged);
        wk_tables_unref(s->pending[i].tables);
    }
    wk_reserve_used(s, -(int)s->reading_count);
    for (uint32_t i = 0; i < s->reading_count; i++) {
        wk_snapshot_end(s->reading[i]);
        wk_snapshot_unref(s->reading[i]);
    }
    mem_free(s->pending);
    mem_free(s->reading);
    s->pending = NULL;
    s->reading = NULL;
    s->pending_count = s->reading_count = 0;
    wk_restore_free(s);
    wk_disk_stop(s);
    wk_reserve_forget(s);
    __atomic_sub_fetch(&s->budget->used_bytes, s->used_bytes, __ATOMIC_RELAXED);
    wk_nursery_leave(s);
    s->orphaned = (struct wk_state_budget){.used_bytes = s->used_bytes};
    s->budget = &s->orphaned; /* snapshots that are still read may outlive the worker's */
    wk_state_unref(s);
}

void wk_state_settle(struct wk_state *s, int64_t now_ms)
{
    s->now_ms = now_ms;
    if (s->disk)
        wk_disk_settle(s);
    if (s->table_count > 0)
        wk_clean(s);
}

uint64_t wk_state_count(const struct wk_state *s, int state)
{
    return wk_table_of(s, state)->keys;
}

/* ---- one key ---- */

static bool is_expired(const struct table *t, struct entry *e)
{
    return t->time_bytes && *time_of(e) + t->decl->ttl_ms <= t->state->now_ms;
}

static void touch(const struct table *t, struct entry *e)
{
    if (t->time_bytes) {
        struct page *p = page_of(e);

        *time_of(e) = t->state->now_ms;
        p->newest_ms = MAX(p->newest_ms, t->state->now_ms);
    }
}

/* The entry as a reader sees it; NULL. */
static struct entry *look(struct table *t, uint64_t hash, rask_str key)
{
    struct entry *e = wk_read_entry(t, hash, key, 0);

    if (!e || !t->time_bytes)
        return e;
    if (is_expired(t, e))
        return t->decl->ttl_show_expired ? e : NULL;
    if (t->decl->ttl_on_read && *time_of(e) != t->state->now_ms) {
        struct entry *fresh = wk_write_entry(t, hash, key, 0, value_len_of(e), value_len_of(e), NULL, NULL);

        if (fresh)
            touch(t, fresh);
        e = fresh ? fresh : e;
    }
    return e;
}

void *wk_state_get(struct wk_state *s, int state, uint64_t hash, rask_str key, size_t size, bool create,
                   bool *ret_created, struct err *err)
{
    struct table *t = wk_table_of(s, state);
    bool created = false;
    struct entry *e;

    e = create ? wk_write_entry(t, hash, key, 0, size, size, &created, err) : look(t, hash, key);
    if (create && e && !created && is_expired(t, e) && !t->decl->ttl_show_expired) {
        memset(value_of(t, e), 0, size);
        created = true;
    }
    if (ret_created)
        *ret_created = created;
    if (!e)
        return NULL;
    CHECK(value_len_of(e) == size);
    if (create)
        touch(t, e);
    return value_of(t, e);
}

const void *wk_state_read(struct wk_state *s, int state, uint64_t hash, rask_str key, size_t *ret_len)
{
    struct table *t = wk_table_of(s, state);
    struct entry *e = look(t, hash, key);

    if (!e)
        return NULL;
    *ret_len = value_len_of(e);
    return value_of(t, e);
}

int wk_state_write(struct wk_state *s, int state, uint64_t hash, rask_str key, const void *value, size_t len,
                   struct err *err)
{
    struct table *t = wk_table_of(s, state);
    struct entry *e;

    if (len > WK_STATE_VALUE_MAX)
        return err_set(err, ERR_LIMIT, "state \"%s\": a value of %zu bytes; at most %u can be kept", t->decl->name, len,
                       WK_STATE_VALUE_MAX);
    e = wk_write_entry(t, hash, key, 0, len, 0, NULL, err);
    if (!e)
        return ERR_LIMIT;
    memcpy(value_of(t, e), value, len);
    touch(t, e);
    return 0;
}

int wk_state_clear(struct wk_state *s, int state, uint64_t hash, rask_str key, struct err *err)
{
    struct table *t = wk_table_of(s, state);

    if (t->decl->kind == RASK_MAP)
        return wk_map_clear(s, state, hash, key, err);
    if (t->decl->kind == RASK_LIST)
        return wk_list_clear(s, state, hash, key, err);
    return wk_delete_entry(t, hash, key, 0, err);
}

/* ---- all keys ---- */

static int each_key_of(const struct table *t, const struct group *g, int (*fn)(void *arg, uint64_t hash, rask_str key), void *arg)
{
    int rc = 0;

    for (uint64_t i = 0; i < wk_index_slots(g) && rc == 0; i++) {
        struct entry *e = wk_index_at(g, i);

        if (e && entry_part(e) == 0 && e->kind == ENTRY_PUT && !is_expired(t, e))
            rc = fn(arg, hash_xxh3(key_of(e), key_len_of(e)), (rask_str){(const char *)key_of(e), key_len_of(e)});
    }
    return rc;
}

int wk_state_each_key(struct wk_state *s, int state, int (*fn)(void *arg, uint64_t hash, rask_str key), void *arg)
{
    struct table *t = wk_table_of(s, state);
    int rc = 0;

    CHECK(!t->stored);
    for (uint32_t g = 0; t->groups && g < s->group_count && rc == 0; g++)
        rc = each_key_of(t, &t->groups[g], fn, arg);
    return rc;
}
