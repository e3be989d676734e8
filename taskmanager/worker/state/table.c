/* table.c - logs and what is in them: append, renew, delete (state_private.h). Runs in the task's step. */
#include <inttypes.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "taskmanager/worker/state/state_private.h"

#define OVERDRAFT_MIN (2u << 20)

struct table *wk_table_of(const struct wk_state *s, int state)
{
    CHECK(state >= 0 && (uint32_t)state < s->table_count);
    return &s->tables[state];
}

/*
 * What a store takes over later may be over the budget for as long as a batch takes: by a quarter, or by what 4,096 rows of
 * half a KiB need.  That holds for every state of the worker: a source's few bytes do not fail because another state is in between.
 */
static uint64_t overdraft(const struct wk_state_budget *b)
{
    return __atomic_load_n(&b->stores, __ATOMIC_RELAXED) > 0 ? MAX(b->limit_bytes / 4, (uint64_t)OVERDRAFT_MIN) : 0;
}

bool wk_charge(struct wk_state *s, uint64_t bytes)
{
    struct wk_state_budget *b = s->budget;

    do {
        if (__atomic_add_fetch(&b->used_bytes, bytes, __ATOMIC_RELAXED) <= b->limit_bytes + overdraft(b)) {
            __atomic_add_fetch(&s->used_bytes, bytes, __ATOMIC_RELAXED);
            return true;
        }
        __atomic_sub_fetch(&b->used_bytes, bytes, __ATOMIC_RELAXED);
    } while (wk_reserve_shrink(b->reserve));
    return false;
}

void wk_refund(struct wk_state *s, uint64_t bytes)
{
    __atomic_sub_fetch(&s->used_bytes, bytes, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&s->budget->used_bytes, bytes, __ATOMIC_RELAXED);
}

int wk_over_budget(const struct table *t, uint64_t more, struct err *err)
{
    const struct wk_state *s = t->state;

    return err_set(err, ERR_LIMIT,
                   "state \"%s\" holds %" PRIu64 " keys in %" PRIu64 " bytes and needs %" PRIu64
                   " more, but the %" PRIu64 " bytes of state memory of this worker are used up (%" PRIu64
                   "): raise taskmanager.memory.process.size or taskmanager.memory.managed.fraction, use more "
                   "TaskManagers%s",
                   t->decl->name, t->keys, s->used_bytes, more, s->budget->limit_bytes,
                   __atomic_load_n(&s->budget->used_bytes, __ATOMIC_RELAXED), s->disk ? "" : ", or set state.backend.type: leveldb");
}

bool wk_table_begin(struct table *t)
{
    struct wk_state *s = t->state;

    if (!wk_charge(s, s->group_count * sizeof(*t->groups)))
        return false;
    t->groups = mem_alloc_array_lines(s->group_count, sizeof(*t->groups));
    return true;
}

/* ---- pages ---- */

static uint32_t take_id(struct wk_state *s)
{
    return s->free_id_count > 0 ? s->free_ids[--s->free_id_count] : s->page_ids++;
}

static void page_free(struct wk_state *s, struct page *p)
{
    if (s->free_id_count == s->free_id_room) {
        s->free_id_room = MAX(s->free_id_room * 2, 64u);
        s->free_ids = mem_realloc(s->free_ids, s->free_id_room * sizeof(*s->free_ids));
    }
    s->free_ids[s->free_id_count++] = p->id;
    wk_room_free(s, (char *)p - p->lead, p->bytes);
}

static void free_pages(struct wk_state *s, struct group *g)
{
    while (g->tail) {
        struct page *p = g->tail;

        g->tail = p->prev;
        page_free(s, p);
    }
}

void wk_table_free(struct table *t)
{
    struct wk_state *s = t->state;

    for (uint32_t i = 0; t->groups && i < s->group_count; i++) {
        struct group *g = &t->groups[i];

        free_pages(s, g);
        wk_room_free(s, g->index, (g->mask + 1) * sizeof(*g->index));
    }
    if (t->groups)
        wk_refund(s, s->group_count * sizeof(*t->groups));
    mem_free(t->groups);
}

/* ---- log ---- */

static struct page *page_new(struct table *t, struct group *g, size_t bytes)
{
    struct wk_state *s = t->state;
    size_t size = MAX(g->page_bytes ? g->page_bytes : PAGE_FIRST_BYTES, PAGE_HEAD_BYTES + bytes);
    char *room = wk_room_alloc(s, size);
    uint32_t id, lead;
    struct page *p;

    if (!room)
        return NULL;
    id = take_id(s);
    lead = size == PAGE_BYTES && bytes <= PAGE_BYTES / 2 ? id % PAGE_PLACES * LINE_BYTES : 0;
    p = (struct page *)(void *)(room + lead);
    memset(p, 0, sizeof(*p));
    p->bytes = size;
    p->id = id;
    p->lead = lead;
    p->used = PAGE_HEAD_BYTES;
    p->end = (uint32_t)size - lead;
    p->oldest = UINT32_MAX;
    p->made = s->epoch;
    p->prev = g->tail;
    g->tail = p;
    g->page_bytes = (uint32_t)MIN(MAX(g->page_bytes, PAGE_FIRST_BYTES) * 2, PAGE_BYTES);
    return p;
}

/* Room for an entry at the log's end; its offset is set. NULL: over budget. */
static struct entry *append(struct table *t, struct group *g, size_t bytes, uint32_t born)
{
    struct page *p = g->tail;
    struct entry *e;

    group_close(g);
    if (!page_fits(p, bytes)) {
        p = page_new(t, g, bytes);
        if (!p)
            return NULL;
    }
    g->log_bytes += bytes;
    t->state->appended += bytes;
    page_begin_entry(p, born);
    e = (struct entry *)(void *)((char *)p + p->used);
    e->offset = (uint16_t)p->used;
    p->used += (uint32_t)bytes;
    return e;
}

static void mark_dead(struct table *t, struct group *g, struct entry *e, uint32_t epoch)
{
    struct page *p = page_of(e);
    uint32_t bytes = (uint32_t)room_of(t, e);

    __atomic_store_n(&e->dead, epoch, __ATOMIC_RELAXED);
    t->state->gone++;
    p->dead += bytes;
    g->dead_bytes += bytes;
    if (e->kind == ENTRY_DELETE) {
        p->tombs -= bytes;
        g->tomb_bytes -= bytes;
    }
}

static void count_tomb(const struct table *t, struct group *g, struct entry *e)
{
    struct page *p = page_of(e);
    uint32_t bytes = (uint32_t)room_of(t, e);

    p->tombs += bytes;
    p->tombs_newest = MAX(p->tombs_newest, e->born);
    g->tomb_bytes += bytes;
}

static void count_key(struct table *t, struct group *g, const struct entry *e, int more)
{
    if (entry_part(e) != 0)
        return;
    g->keys += (uint32_t)more;
    t->keys += (uint64_t)(int64_t)more;
}

static struct entry *insert(struct table *t, struct group *g, uint64_t hash, const struct key *key, size_t size, uint32_t born)
{
    struct wk_state *s = t->state;
    struct entry_room room = entry_room(t, key->len, key->part, size);
    struct entry *e;

    if (!wk_index_room(s, g))
        return NULL;
    e = append(t, g, room.bytes, born);
    if (!e)
        return NULL;
    entry_fill(e, born, key->len, key->part, size, &room);
    key_of(e)[0] = key->head[0];
    if (key->len > 8)
        key_of(e)[1] = key->head[1];
    if (key->len > KEY_HEAD_BYTES) {
        key_of(e)[key_room(key->len) / 8 - 1] = 0;
        memcpy(key_of(e), key->bytes, key->len);
    }
    memset(time_of(e), 0, room.cap * 8 + t->time_bytes);
    wk_index_put(g, hash, e);
    g->changed[1] += room.bytes;
    return e;
}

struct entry *wk_insert(struct table *t, struct group *g, uint64_t hash, const struct key *key, size_t size)
{
    struct entry *e = insert(t, g, hash, key, size, t->state->epoch);

    if (!e)
        return NULL;
    e->fresh = 1;
    count_key(t, g, e, 1);
    return e;
}

struct entry *wk_insert_known(struct table *t, struct group *g, uint64_t hash, const struct key *key, size_t size, uint32_t born)
{
    return insert(t, g, hash, key, size, born);
}

/* A copy of e's header and key, with room for `want` bytes of value; slot `at` names it. */
static struct entry *replace(struct table *t, struct group *g, uint64_t at, struct entry *e, size_t size, size_t want)
{
    struct wk_state *s = t->state;
    uint32_t key_len = key_len_of(e);
    struct entry_room room = entry_room(t, key_len, entry_part(e), want);
    struct entry *copy = append(t, g, room.bytes, s->epoch);

    if (!copy)
        return NULL;
    entry_fill(copy, s->epoch, key_len, entry_part(e), size, &room);
    copy->fresh = e->fresh && e->born == s->epoch;
    memcpy(key_of(copy), key_of(e), key_room(key_len) + t->time_bytes);
    wk_index_point(g, at, copy);
    g->changed[1] += room.bytes;
    return copy;
}

struct entry *wk_renew(struct table *t, struct group *g, uint64_t at, struct entry *e, size_t size, size_t keep)
{
    uint32_t epoch = t->state->epoch;
    size_t cap = cap_of(e) * 8, want = size;
    struct entry *copy;

    if (e->kind == ENTRY_DELETE)
        keep = 0;
    else if (e->born != epoch && size <= cap)
        (void)wk_redate(t, g, e);
    if (e->born == epoch && size <= cap) {
        if (e->kind == ENTRY_DELETE) {
            struct page *p = page_of(e);

            p->tombs -= (uint32_t)room_of(t, e);
            g->tomb_bytes -= room_of(t, e);
            e->kind = ENTRY_PUT;
            memset(time_of(e), 0, cap + t->time_bytes);
            count_key(t, g, e, 1);
        }
        set_value_len(e, size);
        return e;
    }
    if (e->born == epoch)
        want = MAX(size, cap * 2); /* it grows in this epoch: let it have room */
    copy = replace(t, g, at, e, size, want);
    if (!copy)
        return NULL;
    if (e->kind == ENTRY_DELETE)
        count_key(t, g, e, 1);
    memcpy(value_of(t, copy), value_of(t, e), keep);
    memset(value_of(t, copy) + keep, 0, cap_of(copy) * 8 - keep);
    mark_dead(t, g, e, epoch);
    return copy;
}

bool wk_delete(struct table *t, struct group *g, uint64_t at, struct entry *e)
{
    uint32_t epoch = t->state->epoch;
    struct entry *tomb;

    CHECK(e->kind == ENTRY_PUT);
    if (e->born == epoch && e->fresh) {
        wk_index_remove(g, at);
        mark_dead(t, g, e, epoch);
        count_key(t, g, e, -1);
        return true;
    }
    tomb = e;
    if (e->born != epoch) {
        tomb = replace(t, g, at, e, 0, 0);
        if (!tomb)
            return false;
        mark_dead(t, g, e, epoch);
    }
    tomb->kind = ENTRY_DELETE;
    t->state->gone++;
    set_value_len(tomb, 0);
    count_tomb(t, g, tomb);
    count_key(t, g, tomb, -1);
    return true;
}

void wk_forget(struct table *t, struct group *g, struct entry *e)
{
    wk_index_remove(g, wk_index_of(g, e));
    mark_dead(t, g, e, t->state->epoch);
    if (e->kind == ENTRY_PUT)
        count_key(t, g, e, -1);
}

void wk_drop(struct table *t, struct group *g, struct entry *e)
{
    wk_index_remove(g, wk_index_of(g, e));
    mark_dead(t, g, e, t->state->epoch);
}

bool wk_move(struct table *t, struct group *g, struct entry *e)
{
    size_t bytes = room_of(t, e);
    struct entry *copy = append(t, g, bytes, e->born);
    uint64_t at = wk_index_of(g, e);
    uint16_t offset;

    if (!copy)
        return false;
    offset = copy->offset;
    memcpy(copy, e, bytes);
    copy->offset = offset;
    copy->dead = 0;
    page_of(copy)->newest_ms = MAX(page_of(copy)->newest_ms, page_of(e)->newest_ms);
    wk_index_point(g, at, copy);
    if (copy->kind == ENTRY_DELETE)
        count_tomb(t, g, copy);
    mark_dead(t, g, e, t->state->epoch);
    return true;
}

void wk_unlink_page(struct table *t, struct group *g, struct page **link)
{
    struct page *p = *link;
    uint64_t entries = p->used - PAGE_HEAD_BYTES;

    *link = p->prev;
    g->log_bytes -= entries;
    g->dead_bytes -= p->dead;
    CHECK(p->dead == entries && p->tombs == 0);
    page_free(t->state, p);
    while (g->page_bytes > PAGE_FIRST_BYTES && g->page_bytes > g->log_bytes - g->dead_bytes)
        g->page_bytes /= 2;
}

/* ---- by key ---- */

/* One whose page no other thread looks at. */
static void note_use(const struct table *t, struct entry *e)
{
    if (page_of(e)->made > wk_disk_held(t->state))
        e->used = 1;
}

struct entry *wk_read_entry(struct table *t, uint64_t hash, rask_str bytes, uint32_t part)
{
    struct key key = key_from(bytes, part);
    struct group *g;
    struct entry *e;
    uint64_t at;

    if (!t->groups)
        return NULL;
    g = wk_group_of(t, hash);
    e = wk_find(g, index_hash(hash, part), &key, &at);
    if (t->cold && e)
        note_use(t, e);
    else if (t->cold)
        e = wk_disk_fetch(t, g, hash, &key, false, NULL);
    return e && e->kind == ENTRY_PUT ? e : NULL;
}

struct entry *wk_write_entry(struct table *t, uint64_t hash, rask_str bytes, uint32_t part, size_t size, size_t keep,
                             bool *ret_created, struct err *err)
{
    struct key key = key_from(bytes, part);
    struct entry *e = NULL;
    struct group *g;
    uint64_t at = 0;

    if (ret_created)
        *ret_created = false;
    if (t->groups || wk_table_begin(t)) {
        g = wk_group_of(t, hash);
        if (find_to_change(t, g, hash, &key, true, &e, &at, err) != 0)
            return NULL;
        if (ret_created)
            *ret_created = !e || e->kind == ENTRY_DELETE;
        e = e ? wk_renew(t, g, at, e, size, MIN(keep, value_len_of(e))) : wk_insert(t, g, index_hash(hash, part), &key, size);
    }
    if (!e)
        (void)wk_over_budget(t, entry_room(t, bytes.len, part, size).bytes, err);
    return e;
}

int wk_delete_entry(struct table *t, uint64_t hash, rask_str bytes, uint32_t part, struct err *err)
{
    struct key key = key_from(bytes, part);
    struct entry *e;
    struct group *g;
    uint64_t at;
    int rc;

    if (!t->groups)
        return 0;
    g = wk_group_of(t, hash);
    rc = find_to_change(t, g, hash, &key, false, &e, &at, err);
    if (rc != 0)
        return rc;
    if (!e || e->kind == ENTRY_DELETE || wk_delete(t, g, at, e))
        return 0;
    return wk_over_budget(t, entry_room(t, bytes.len, part, 0).bytes, err);
}
