/*
 * snapshot.c - a frozen view of the state, read out by another thread while the task goes on.
 *
 * Freezing notes where each group's log ends; the reader walks pages from there backwards and takes what is visible in its
 * epoch.  An incremental snapshot consists of deltas, and of images of some groups: bytes of images follow bytes of deltas,
 * in turn over all groups, so that nothing old is needed for ever and about twice the change is written.
 *
 * The task goes on changing entries where they are, and writes down what they were (notes.c): the reader of a page finds what
 * has not been changed, and behind the pages of a group what the task wrote down of them.
 */
#include "taskmanager/worker/state/snapshot.h"

#include <sched.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "taskmanager/worker/state/snapshot_private.h"

#define SECTION_BYTES (1u << 20)
#define SPINS_MAX 64u
#define SMALL_CHAIN 16u          /* a small state is imaged as a whole after so many deltas, or when they come to half of it */
#define DENSE_PART 4u            /* a snapshot with so much of a table is worth reading ahead */
#define LONG_CHAIN 256u          /* groups with so many deltas are imaged, earned or not */

bool wk_snapshot_is_read(const struct wk_snapshot *snap)
{
    return __atomic_load_n(&snap->is_read, __ATOMIC_ACQUIRE) != 0;
}
uint64_t wk_snapshot_bytes(const struct wk_snapshot *snap)
{
    return snap->bytes;
}
uint32_t wk_snapshot_epoch(const struct wk_snapshot *snap)
{
    return snap->epoch;
}

void wk_snapshot_taken(const struct wk_snapshot *snap)
{
    struct wk_state *s = snap->state;

    if (snap->table < s->table_count)
        return; /* given up before its end */
    s->noted_bytes = MAX(snap->note_bytes, MAX(s->noted_bytes / 2, (uint64_t)1));
    wk_reserve_tell(s);
}

void wk_snapshot_unref(struct wk_snapshot *snap)
{
    if (__atomic_sub_fetch(&snap->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    for (uint32_t i = 0; i < snap->state->table_count; i++) {
        mem_free(snap->tables[i].groups);
        bytes_release(&snap->lists[i].payload);
    }
    mem_free(snap->tables);
    mem_free(snap->lists);
    mem_free(snap->pages);
    wk_stored_free(snap->stored);
    wk_state_unref(snap->state);
    mem_free(snap);
}

void wk_snapshot_free(struct wk_snapshot *snap)
{
    if (!snap)
        return;
    __atomic_store_n(&snap->is_read, 1, __ATOMIC_RELEASE);
    wk_snapshot_unref(snap);
}

/* ---- freezing ---- */

static uint64_t live_bytes(const struct group *g)
{
    return g->log_bytes - g->dead_bytes - g->tomb_bytes;
}

/* Which groups of a large table are imaged this time: the next in turn, as far as earned. */
static void rotate(struct table *t, struct frozen_table *f, uint64_t live)
{
    const struct wk_state *s = t->state;

    t->allowance = MIN(t->allowance, live);
    for (uint32_t i = 0; i < s->group_count; i++) {
        const struct group *g = &t->groups[t->rotate_at];
        uint64_t bytes = live_bytes(g);
        bool late = i == 0 && g->chain >= LONG_CHAIN;

        if (bytes > t->allowance && !late)
            return;
        t->allowance -= MIN(bytes, t->allowance);
        f->groups[t->rotate_at].image = true;
        t->rotate_at = (t->rotate_at + 1) % s->group_count;
    }
}

static void freeze_table(struct wk_snapshot *snap, struct table *t, struct frozen_table *f)
{
    const struct wk_state *s = t->state;
    uint64_t live = 0, changed = 0, fresh = 0;

    f->image = snap->base == 0 && !t->stored;
    if (!t->groups || t->stored)
        return;
    f->groups = mem_alloc_array(s->group_count, sizeof(*f->groups));
    for (uint32_t i = 0; i < s->group_count; i++) {
        struct group *g = &t->groups[i];

        group_close(g);
        f->groups[i].tail = g->tail;
        f->groups[i].used = g->tail ? g->tail->used : 0;
        fresh += g->changed[1];
        g->changed[0] += g->changed[1];
        g->changed[1] = 0;
        changed += g->changed[0];
        live += live_bytes(g);
    }
    t->allowance = f->image ? 0 : t->allowance + fresh;
    if (!f->image && changed > 0 && live >= s->options.small_bytes)
        rotate(t, f, live);
    else if (!f->image && changed > 0)
        f->image = t->chain >= SMALL_CHAIN || (t->delta_bytes + changed) * 2 >= live;
    snap->bytes += f->image ? live : 2 * changed;
    f->dense = f->image || changed >= live / DENSE_PART;
}

static void freeze_list(const struct elements *l, struct frozen_list *f)
{
    bytes_init(&f->payload);
    f->rows = l->count;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct element *e = &l->items[i];
        struct ckpt_entry entry = {.key = (const uint8_t *)e->key.data, .key_len = e->key.len,
                                   .value = (const uint8_t *)e->value.data, .value_len = e->value.len};

        ckpt_entry_add(&f->payload, &entry);
    }
}

static void *room_for_one(void *items, uint32_t count, uint32_t *room, size_t size)
{
    if (count < *room)
        return items;
    *room = MAX(*room * 2, 4u);
    return mem_realloc(items, *room * size);
}

/* What has to be known when the end of the checkpoint is heard of. */
static void remember(struct wk_state *s, const struct wk_snapshot *snap, enum wk_snapshot_kind kind)
{
    struct pending *p;

    s->pending = room_for_one(s->pending, s->pending_count, &s->pending_room, sizeof(*s->pending));
    p = &s->pending[s->pending_count++];
    *p = (struct pending){.checkpoint = snap->checkpoint, .epoch = snap->epoch, .kind = kind};
    p->tables = wk_tables_ref(wk_stored_tables(snap->stored));
    p->imaged = mem_alloc_array((size_t)s->table_count * s->group_count + 1, 1);
    for (uint32_t t = 0; t < s->table_count; t++)
        for (uint32_t g = 0; g < s->group_count; g++)
            p->imaged[t * s->group_count + g] =
                snap->tables[t].image || (snap->tables[t].groups && snap->tables[t].groups[g].image);
}

struct wk_snapshot *wk_state_freeze(struct wk_state *s, uint64_t checkpoint, enum wk_snapshot_kind kind)
{
    struct wk_snapshot *snap = MEM_NEW(struct wk_snapshot);

    CHECK(checkpoint > s->base && !s->restore && s->epoch < UINT32_MAX - 1);
    wk_update_held(s);
    snap->state = s;
    snap->checkpoint = checkpoint;
    snap->epoch = s->epoch;
    snap->base = kind == WK_SNAPSHOT_INCREMENTAL ? s->base : 0;
    snap->base_epoch = kind == WK_SNAPSHOT_INCREMENTAL ? s->base_epoch : 0;
    snap->now_ms = s->now_ms;
    snap->ahead_table = s->table_count;
    snap->tables = mem_alloc_array(s->table_count + 1u, sizeof(*snap->tables));
    snap->lists = mem_alloc_array(s->table_count + 1u, sizeof(*snap->lists));
    for (uint32_t i = 0; i < s->table_count; i++) {
        if (s->options.decl[i].kind >= RASK_OPERATOR_LIST)
            freeze_list(&s->lists[i], &snap->lists[i]);
        else
            freeze_table(snap, &s->tables[i], &snap->tables[i]);
    }
    if (s->disk)
        snap->stored = wk_stored_freeze(s, checkpoint, kind);
    snap->pages = mem_alloc_array(s->page_ids, sizeof(*snap->pages));
    snap->hides_tables = s->hides_tables && kind != WK_SNAPSHOT_SAVEPOINT;
    remember(s, snap, kind);
    s->reading = room_for_one(s->reading, s->reading_count, &s->reading_room, sizeof(struct wk_snapshot *));
    s->reading[s->reading_count++] = snap;
    wk_reserve_used(s, 1);
    snap->refs = 2;
    __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    s->held = s->epoch;
    s->epoch++;
    return snap;
}

/* ---- the end of a checkpoint ---- */

static void confirm_table(struct table *t, const uint8_t *imaged)
{
    uint32_t images = 0;
    uint64_t changed = 0;

    for (uint32_t i = 0; t->groups && i < t->state->group_count; i++) {
        struct group *g = &t->groups[i];

        changed += g->changed[0];
        g->changed[0] = 0;
        g->chain = imaged[i] ? 0 : g->chain + 1;
        images += imaged[i];
    }
    if (images == t->state->group_count) {
        t->chain = 0;
        t->delta_bytes = 0;
    } else if (changed > 0) {
        t->chain++;
        t->delta_bytes += changed;
    }
}

static void forget_pending(struct wk_state *s, uint32_t at)
{
    mem_free(s->pending[at].imaged);
    wk_tables_unref(s->pending[at].tables);
    memmove(s->pending + at, s->pending + at + 1, (s->pending_count - at - 1) * sizeof(*s->pending));
    s->pending_count--;
}

static uint32_t find_pending(const struct wk_state *s, uint64_t checkpoint)
{
    uint32_t at = 0;

    while (at < s->pending_count && s->pending[at].checkpoint != checkpoint)
        at++;
    return at;
}

void wk_state_completed(struct wk_state *s, uint64_t checkpoint)
{
    uint32_t at = find_pending(s, checkpoint);
    const struct pending *p = &s->pending[at];

    if (at == s->pending_count)
        return;
    if (p->kind != WK_SNAPSHOT_SAVEPOINT && checkpoint > s->base) {
        s->base = checkpoint;
        s->base_epoch = p->epoch;
        s->hides_tables = false;
        if (s->disk)
            wk_disk_completed(s, p->tables);
        for (uint32_t i = 0; i < s->table_count; i++)
            confirm_table(&s->tables[i], p->imaged + (size_t)i * s->group_count);
    }
    forget_pending(s, at);
    for (uint32_t i = 0; i < s->pending_count;) /* they can only be aborted now */
        if (s->pending[i].checkpoint < s->base && s->pending[i].kind != WK_SNAPSHOT_SAVEPOINT)
            forget_pending(s, i);
        else
            i++;
}

void wk_state_aborted(struct wk_state *s, uint64_t checkpoint)
{
    uint32_t at = find_pending(s, checkpoint);

    if (at < s->pending_count)
        forget_pending(s, at);
}

/* ---- reading ---- */

static void describe(const struct wk_snapshot *snap, uint32_t state, enum ckpt_section_kind kind, struct ckpt_section *ret)
{
    const struct wk_state_options *o = &snap->state->options;

    *ret = (struct ckpt_section){.kind = kind, .subtask = o->subtask, .to = snap->checkpoint, .file = CKPT_NO_FILE};
    memcpy(ret->operator_id, o->operator_id, sizeof(ret->operator_id));
    ret->state = o->decl[state].name;
    ret->hash_last = ckpt_is_keyed(kind) ? UINT32_MAX : 0;
}

static bool next_list(struct wk_snapshot *snap, struct ckpt_section *section, struct bytes *payload)
{
    static const enum ckpt_section_kind kinds[] = {CKPT_LIST, CKPT_UNION, CKPT_BROADCAST};

    for (; snap->list < snap->state->table_count; snap->list++) {
        enum rask_state_kind kind = snap->state->options.decl[snap->list].kind;
        struct frozen_list *f = &snap->lists[snap->list];

        if (kind < RASK_OPERATOR_LIST)
            continue;
        describe(snap, snap->list, kinds[kind - RASK_OPERATOR_LIST], section);
        section->rows = f->rows;
        bytes_add(payload, f->payload.data, f->payload.len);
        snap->list++;
        return true;
    }
    return false;
}

/* From now on the task changes nothing of the page that the snapshot wants, and what it has written down can be read. */
static void begin_page(struct wk_snapshot *snap)
{
    const uint32_t *noting = &snap->state->noting;
    struct frozen_page *page = &snap->pages[snap->page->id];
    uint32_t was, unread = PAGE_UNREAD;
    bool ours = __atomic_compare_exchange_n(&page->read, &unread, PAGE_READING, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);

    was = __atomic_load_n(noting, __ATOMIC_SEQ_CST);
    for (uint32_t i = 1; was % 2 == 1 && __atomic_load_n(noting, __ATOMIC_SEQ_CST) == was; i++)
        if (i % SPINS_MAX == 0)
            sched_yield(); /* it may be the one whose core this is */
    snap->at = PAGE_HEAD_BYTES;
    snap->page_open = true;
    if (!ours || page->noted == snap->end - snap->at)
        snap->at = snap->end;
}

/* Entries of the page until the payload is large enough. true: the page is through. */
static bool read_page(struct wk_snapshot *snap, const struct table *t, struct bytes *payload, uint64_t *rows)
{
    uint32_t base = snap->pass == PASS_DELTA ? snap->base_epoch : 0;

    if (!snap->page_open)
        begin_page(snap);
    while (snap->at < snap->end) {
        struct entry *e = page_entry(snap->page, snap->at);
        size_t room = room_of(t, e);

        if (payload->len - snap->begin >= SECTION_BYTES)
            return false;
        snap->at += (uint32_t)room;
        if (!wk_snapshot_wants(snap, t, base, e))
            continue;
        if (payload->cap - payload->len < room + CKPT_ENTRY_HEAD_MAX)
            bytes_reserve(payload, room + CKPT_ENTRY_HEAD_MAX);
        payload->len = (size_t)(wk_snapshot_put(t, e, payload->data + payload->len) - payload->data);
        ++*rows;
    }
    __atomic_store_n(&snap->pages[snap->page->id].read, PAGE_READ, __ATOMIC_RELEASE);
    snap->page_open = false;
    return true;
}

/* To that page of the group, or the next older one that has something for this pass. */
static void go_to(struct wk_snapshot *snap, const struct frozen *f, struct page *p)
{
    uint32_t base = snap->pass == PASS_DELTA ? snap->base_epoch : 0;

    while (p && __atomic_load_n(&p->newest, __ATOMIC_RELAXED) <= base)
        p = p->prev;
    snap->page = p;
    if (p)
        snap->end = end_of(f, p);
}

/* What the task wrote down of the group's pages, which all have been read. As above. */
static bool read_notes(struct wk_snapshot *snap, const struct frozen *f, struct bytes *payload, uint64_t *rows)
{
    for (; snap->notes_at; snap->notes_at = snap->notes_at->before) {
        const struct notes *n = snap->notes_at;
        bool newest = n == f->notes;

        if (payload->len - snap->begin >= SECTION_BYTES)
            return false;
        bytes_add(payload, n->data, newest ? (size_t)(f->line - n->data) : n->used);
        if (newest)
            bytes_add(payload, f->stage, (size_t)(f->at - f->stage));
        *rows += newest ? f->rows : n->rows;
    }
    return true;
}

/* Rows of the group until the payload is large enough. true: the group is through. */
static bool read_group(struct wk_snapshot *snap, const struct table *t, const struct frozen *f, struct bytes *payload,
                       uint64_t *rows)
{
    if (!snap->in_group) {
        snap->in_group = true;
        snap->in_notes = false;
        go_to(snap, f, f->tail);
    }
    for (; snap->page; go_to(snap, f, snap->page->prev))
        if (!read_page(snap, t, payload, rows))
            return false;
    if (!snap->in_notes) {
        snap->in_notes = true;
        snap->notes_at = f->notes;
    }
    if (!read_notes(snap, f, payload, rows))
        return false;
    snap->in_group = false;
    return true;
}

static void interval(const struct wk_snapshot *snap, uint32_t first, uint32_t last, struct ckpt_section *section)
{
    const struct wk_state *s = snap->state;

    section->hash_first = ckpt_hash_first(s->first_group + first, s->options.max_parallelism);
    section->hash_last = ckpt_hash_last(s->first_group + last, s->options.max_parallelism);
}

/* A section of what groups of the table changed; false: there is no more. */
static bool next_delta(struct wk_snapshot *snap, struct ckpt_section *section, struct bytes *payload)
{
    const struct table *t = &snap->state->tables[snap->table];
    const struct frozen_table *f = &snap->tables[snap->table];
    uint32_t first = UINT32_MAX, last = 0, groups = snap->state->group_count;

    describe(snap, snap->table, CKPT_DELTA, section);
    section->from = snap->base;
    for (; f->groups && !f->image && snap->group < groups; snap->group++) {
        uint64_t before = section->rows;
        bool through;

        if (f->groups[snap->group].image)
            continue;
        through = read_group(snap, t, &f->groups[snap->group], payload, &section->rows);
        if (section->rows > before) {
            first = MIN(first, snap->group);
            last = snap->group;
        }
        if (!through)
            break;
    }
    if (section->rows == 0)
        return false;
    interval(snap, first, last, section);
    return true;
}

/* A section of current entries: of some adjacent groups, or of a part of one. */
static bool next_image(struct wk_snapshot *snap, struct ckpt_section *section, struct bytes *payload)
{
    const struct table *t = &snap->state->tables[snap->table];
    const struct frozen_table *f = &snap->tables[snap->table];
    uint32_t groups = snap->state->group_count, first;

    describe(snap, snap->table, CKPT_IMAGE, section);
    while (snap->group < groups && !f->image && !(f->groups && f->groups[snap->group].image))
        snap->group++;
    if (snap->group >= groups)
        return false;
    first = snap->group;
    while (snap->group < groups && payload->len - snap->begin < SECTION_BYTES && (f->image || f->groups[snap->group].image)) {
        if (f->groups && !read_group(snap, t, &f->groups[snap->group], payload, &section->rows)) {
            interval(snap, first, snap->group, section);
            return true;
        }
        snap->group++;
    }
    interval(snap, first, snap->group - 1, section);
    return true;
}

static int next_section(struct wk_snapshot *snap, struct ckpt_section *section, struct bytes *payload)
{
    if (next_list(snap, section, payload))
        return 1;
    for (; snap->table < snap->state->table_count; snap->table++, snap->pass = PASS_DELTA) {
        if (snap->state->options.decl[snap->table].kind >= RASK_OPERATOR_LIST)
            continue;
        for (; snap->pass < PASS_END; snap->pass++, snap->group = 0)
            if ((snap->pass == PASS_DELTA ? next_delta : next_image)(snap, section, payload))
                return 1;
    }
    return 0;
}

int wk_snapshot_next(struct wk_snapshot *snap, struct ckpt_section *section, struct bytes *payload)
{
    bytes_clear(payload);
    return wk_snapshot_add(snap, section, payload);
}

int wk_snapshot_add(struct wk_snapshot *snap, struct ckpt_section *section, struct bytes *out)
{
    snap->begin = out->len;
    return next_section(snap, section, out);
}

int wk_snapshot_next_stored(struct wk_snapshot *snap, struct ckpt_section *section, struct bytes *payload,
                            struct wk_place *ret_place, bool *ret_last, struct err *err)
{
    bytes_clear(payload);
    if (snap->hides_tables) {
        snap->hides_tables = false;
        wk_stored_describe(snap->state, snap->checkpoint, CKPT_TABLE, section);
        return 1;
    }
    return snap->stored ? wk_stored_next(snap->stored, section, payload, ret_place, ret_last, err) : 0;
}

struct wk_tables *wk_snapshot_tables(struct wk_snapshot *snap)
{
    return wk_tables_ref(wk_stored_tables(snap->stored));
}

/* ---- sizes ---- */

void wk_state_size(const struct wk_state *s, struct wk_state_size *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (uint32_t i = 0; i < s->table_count; i++) {
        const struct table *t = &s->tables[i];

        ret->keys += t->keys + s->lists[i].count;
        for (uint32_t g = 0; t->groups && g < s->group_count; g++)
            ret->live_bytes += live_bytes(&t->groups[g]);
        for (uint32_t k = 0; k < s->lists[i].count; k++)
            ret->live_bytes += s->lists[i].items[k].key.len + s->lists[i].items[k].value.len;
    }
    ret->used_bytes = s->used_bytes;
}
