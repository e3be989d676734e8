/*
 * snapshot.c - a frozen view of the state, read out by another thread while the task goes on.
 *
 * Freezing notes where each group's log ends; the reader walks pages from there backwards and takes what is visible in its
 * epoch.  An incremental snapshot consists of deltas, and of images of some groups: bytes of images follow bytes of deltas,
 * in turn over all groups, so that nothing old is needed for ever and about twice the change is written.
 *
 * The task goes on changing entries where they are.  Who comes first to a block of 2 KiB takes it: the reader reads it, or the
 * task, about to change an entry there for the first time, writes down what the reader will want of it, in the form of the file.
 * So all of the state is looked at once, whoever does it, one block after the other, and nobody ever waits: a task that meets
 * the reader in a block appends a new version of the entry to the log, as for one that grows.
 */
#include "taskmanager/worker/state/snapshot.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "taskmanager/worker/state/state_private.h"

#define SECTION_BYTES (1u << 20)
#define SMALL_CHAIN 16u          /* a small state is imaged as a whole after so many deltas, or when they come to half of it */
#define LONG_CHAIN 256u          /* groups with so many deltas are imaged, earned or not */

struct frozen { /* of a group */
    struct page *tail;
    uint32_t used, newest; /* of the tail, then */
    bool image;
};
struct frozen_table {
    struct frozen *groups; /* NULL: the table had no key yet */
    bool image;            /* all of it */
};
struct frozen_list {
    struct bytes payload;
    uint64_t rows;
};

enum pass { PASS_DELTA, PASS_IMAGE, PASS_END };

/* What is in a word of `blocks`: */
#define BLOCK_UNREAD ((uintptr_t)0)
#define BLOCK_BUSY ((uintptr_t)1) /* the reader is there */
#define BLOCK_READ ((uintptr_t)2) /* and was; all else: the address of a */
struct note {
    uint32_t len, rows;
    uint32_t end; /* offset in the page behind the last entry of the block */
    uint8_t data[];
};
#define NOTES_FIRST_BYTES 16384u
#define NOTE_SLACK 128u     /* beside entries: its head, the rest of a line, what an entry may have more in a file */
#define NOTE_NEAR_BYTES 4096u /* a larger one is made where it is to stand */
#define NOTES_HEAD_BYTES LINE_BYTES
#define FETCHED_BLOCKS 2u   /* on their way while one is written down */
#define NOTES_FREED_MAX 4u  /* in a step */

struct wk_snapshot {
    struct wk_state *state;
    uint64_t checkpoint, base;
    uint32_t epoch, base_epoch;
    int64_t now_ms;
    struct frozen_table *tables;
    struct frozen_list *lists;
    uintptr_t *blocks;        /* atomic: PAGE_BLOCKS for each page, by id; NULL: there is none */
    size_t block_bytes;
    struct notes *notes;      /* the task's until wk_snapshot_end, the newest first */
    struct wk_stored *stored; /* owned; NULL: nothing is on disk */
    bool hides_tables;        /* not said yet */
    /* where the reader is */
    uint32_t list, table, group;
    enum pass pass;
    struct page *page; /* NULL: at the begin of the group */
    uint32_t at, end;
    size_t begin; /* of the section's payload */
    bool in_group;
    int is_read; /* atomic */
    uint32_t refs; /* reader and task; atomic */
};

bool wk_snapshot_is_read(const struct wk_snapshot *snap)
{
    return __atomic_load_n(&snap->is_read, __ATOMIC_ACQUIRE) != 0;
}
uint32_t wk_snapshot_epoch(const struct wk_snapshot *snap)
{
    return snap->epoch;
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
    mem_free(snap->blocks);
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
        f->groups[i].newest = g->tail ? g->tail->newest : 0;
        fresh += g->changed[1];
        g->changed[0] += g->changed[1];
        g->changed[1] = 0;
        changed += g->changed[0];
        live += live_bytes(g);
    }
    t->allowance = f->image ? 0 : t->allowance + fresh;
    if (f->image || changed == 0)
        return;
    if (live >= s->options.small_bytes)
        rotate(t, f, live);
    else
        f->image = t->chain >= SMALL_CHAIN || (t->delta_bytes + changed) * 2 >= live;
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

/* Those of a snapshot before are taken again: the stream comes to all of them at once, and fresh memory is slow. */
static void take_blocks(struct wk_snapshot *snap)
{
    struct wk_state *s = snap->state;
    size_t bytes = (size_t)s->page_ids * PAGE_BLOCKS * sizeof(*snap->blocks);

    if (s->blocks_kept_bytes >= bytes) {
        snap->blocks = s->blocks_kept;
        snap->block_bytes = s->blocks_kept_bytes;
        s->blocks_kept = NULL;
        s->blocks_kept_bytes = 0;
        memset(snap->blocks, 0, bytes);
    } else {
        snap->block_bytes = bytes + bytes / 8; /* there will be a few pages more */
        snap->blocks = mem_alloc(snap->block_bytes);
    }
}

struct wk_snapshot *wk_state_freeze(struct wk_state *s, uint64_t checkpoint, enum wk_snapshot_kind kind)
{
    struct wk_snapshot *snap = MEM_NEW(struct wk_snapshot);

    CHECK(checkpoint > s->base && !s->restore && s->epoch < ENTRY_FREE - 1);
    wk_update_held(s);
    snap->state = s;
    snap->checkpoint = checkpoint;
    snap->epoch = s->epoch;
    snap->base = kind == WK_SNAPSHOT_INCREMENTAL ? s->base : 0;
    snap->base_epoch = kind == WK_SNAPSHOT_INCREMENTAL ? s->base_epoch : 0;
    snap->now_ms = s->now_ms;
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
    if (s->page_ids > 0)
        take_blocks(snap);
    snap->hides_tables = s->hides_tables && kind != WK_SNAPSHOT_SAVEPOINT;
    remember(s, snap, kind);
    s->reading = room_for_one(s->reading, s->reading_count, &s->reading_room, sizeof(struct wk_snapshot *));
    s->reading[s->reading_count++] = snap;
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

/* base: epoch that a delta starts at; 0: it is an image. */
static bool wanted(const struct wk_snapshot *snap, const struct table *t, uint32_t base, struct entry *e)
{
    if (!is_visible(e, base, snap->epoch) || (base == 0 && e->kind == ENTRY_DELETE))
        return false;
    return e->kind == ENTRY_DELETE || !t->time_bytes || *time_of(e) + t->decl->ttl_ms > snap->now_ms;
}

static inline void add_entry(const struct table *t, struct entry *e, size_t room, struct bytes *payload)
{
    struct ckpt_entry out = {.deleted = e->kind == ENTRY_DELETE, .part = entry_part(e), .key = (const uint8_t *)key_of(e),
                             .key_len = key_len_of(e), .value = (const uint8_t *)value_of(t, e), .value_len = value_len_of(e)};

    out.has_time = t->time_bytes && !out.deleted;
    if (out.has_time)
        out.time_ms = *time_of(e);
    if (payload->cap - payload->len < room + CKPT_ENTRY_HEAD_MAX)
        bytes_reserve(payload, room + CKPT_ENTRY_HEAD_MAX);
    payload->len = (size_t)(ckpt_entry_put(payload->data + payload->len, &out) - payload->data);
}

/* The wanted entries that begin in the block that `at` is in, up to `end`. Where the next block's begin. */
static uint32_t take_block(const struct wk_snapshot *snap, const struct table *t, uint32_t base, struct page *p, uint32_t at,
                           uint32_t end, struct bytes *out, uint32_t *ret_rows)
{
    uint32_t block = at / BLOCK_BYTES;

    *ret_rows = 0;
    for (; at < end && at / BLOCK_BYTES == block;) {
        struct entry *e = (struct entry *)(void *)((char *)p + at);
        size_t room = room_of(t, e);

        at += (uint32_t)room;
        if (wanted(snap, t, base, e)) {
            add_entry(t, e, room, out);
            ++*ret_rows;
        }
    }
    return at;
}

static uintptr_t *block_of(const struct wk_snapshot *snap, const struct page *p, uint32_t at)
{
    return &snap->blocks[(size_t)p->id * PAGE_BLOCKS + at / BLOCK_BYTES];
}

static void read_block(struct wk_snapshot *snap, const struct table *t, struct bytes *payload, uint64_t *rows)
{
    uint32_t base = snap->pass == PASS_DELTA ? snap->base_epoch : 0, more;
    uintptr_t *word = block_of(snap, snap->page, snap->at), was = BLOCK_UNREAD;

    if (__atomic_compare_exchange_n(word, &was, BLOCK_BUSY, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
        snap->at = take_block(snap, t, base, snap->page, snap->at, snap->end, payload, &more);
        __atomic_store_n(word, BLOCK_READ, __ATOMIC_RELEASE);
    } else {
        const struct note *n = (const struct note *)was;

        bytes_add(payload, n->data, n->len);
        more = n->rows;
        snap->at = n->end;
    }
    *rows += more;
}

/* Rows of the group until the payload is large enough. true: the group is through. */
static bool read_group(struct wk_snapshot *snap, const struct table *t, const struct frozen *f, struct bytes *payload,
                       uint64_t *rows)
{
    if (!snap->in_group) {
        snap->in_group = true;
        snap->page = f->tail;
        snap->at = PAGE_HEAD_BYTES;
        snap->end = f->used;
        if (f->tail && snap->pass == PASS_DELTA && f->newest <= snap->base_epoch)
            snap->at = snap->end;
    }
    while (snap->page) {
        while (snap->at < snap->end) {
            if (payload->len - snap->begin >= SECTION_BYTES)
                return false;
            read_block(snap, t, payload, rows);
        }
        snap->page = snap->page->prev;
        if (snap->page) {
            uint32_t newest = __atomic_load_n(&snap->page->newest, __ATOMIC_RELAXED);
            bool skip = snap->pass == PASS_DELTA && newest <= snap->base_epoch;

            snap->at = PAGE_HEAD_BYTES;
            snap->end = skip ? snap->at : snap->page->used;
        }
    }
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

/* ---- the task, while it is read ---- */

/* Room for a note of so many bytes, where a line of the cache begins; NULL: over budget. What is used of it is counted later. */
static struct note *note_room(struct wk_snapshot *snap, size_t bytes)
{
    struct notes *n = snap->notes;
    size_t size = MEM_HUGE_BYTES, all = bytes + NOTES_HEAD_BYTES;

    if (n && n->bytes - n->used >= bytes)
        return (struct note *)(void *)((char *)n + n->used);
    if (all > size / 2)
        size = (all + LINE_BYTES - 1) & ~(size_t)(LINE_BYTES - 1);
    else
        while (size > NOTES_FIRST_BYTES && size / 2 > MAX(all, n ? n->bytes : 0))
            size /= 2;
    n = wk_room_alloc(snap->state, size);
    if (!n)
        return NULL;
    *n = (struct notes){.next = snap->notes, .bytes = size, .used = NOTES_HEAD_BYTES};
    snap->notes = n;
    return (struct note *)(void *)((char *)n + n->used);
}

/* Both begin a line, and have whole ones. Past the cache, which has no use for notes: the reader comes seconds later. */
static void copy_out(struct note *to, const struct note *from, size_t bytes)
{
#ifdef __SSE2__
    __m128i *out = (__m128i *)(void *)to;
    const __m128i *in = (const __m128i *)(const void *)from;

    for (size_t i = 0; i < bytes; i += LINE_BYTES, in += 4, out += 4) {
        __m128i a = _mm_load_si128(in), b = _mm_load_si128(in + 1), c = _mm_load_si128(in + 2), d = _mm_load_si128(in + 3);

        _mm_stream_si128(out, a);
        _mm_stream_si128(out + 1, b);
        _mm_stream_si128(out + 2, c);
        _mm_stream_si128(out + 3, d);
    }
#else
    memcpy(to, from, bytes);
#endif
}

/* Before notes are published. */
static void copies_are_out(void)
{
#ifdef __SSE2__
    _mm_sfence();
#endif
}

/* What the snapshot takes of a block. NULL: no memory. */
static struct note *note_of(struct wk_snapshot *snap, const struct table *t, uint32_t base, struct page *p, uint32_t block)
{
    _Alignas(64) uint8_t near[NOTE_NEAR_BYTES];
    uint32_t next = block + 1;
    struct note *n, *made;
    struct bytes out;
    size_t most;

    while (next < PAGE_BLOCKS && p->first[next] == 0)
        next++;
    most = (next < PAGE_BLOCKS ? p->first[next] : p->used) - p->first[block] + NOTE_SLACK;
    n = note_room(snap, most);
    if (!n)
        return NULL;
    made = most <= sizeof(near) ? (struct note *)(void *)near : n;
    out = (struct bytes){.data = made->data, .cap = most - sizeof(*n)};
    made->end = take_block(snap, t, base, p, p->first[block], p->used, &out, &made->rows);
    CHECK(out.data == made->data); /* entries are never longer in a file */
    made->len = (uint32_t)out.len;
    most = (sizeof(*n) + out.len + LINE_BYTES - 1) & ~(size_t)(LINE_BYTES - 1);
    if (made != n)
        copy_out(n, made, most);
    snap->notes->used += most;
    return n;
}

/*
 * What was written down is of no use to any snapshot: the next changes there need not look for the note, which is one line
 * more that is not in the cache.
 */
static void set_free(const struct wk_snapshot *snap, const struct table *t, uint32_t base, struct page *p, uint32_t block)
{
    uint32_t epoch = snap->state->epoch, at = p->first[block];

    wk_note_newest(p, epoch);
    while (at < p->used && at / BLOCK_BYTES == block) {
        struct entry *e = (struct entry *)(void *)((char *)p + at);

        at += (uint32_t)room_of(t, e);
        if (e->born > base && e->born <= snap->epoch && is_current(e))
            __atomic_store_n(&e->dead, ENTRY_FREE | epoch, __ATOMIC_RELAXED);
    }
}

/* The reader finds the note in place of the block, whose word is given. false: it has come first. */
static bool publish(const struct wk_snapshot *snap, const struct table *t, uint32_t base, struct page *p, uint32_t block,
                    uintptr_t *word, struct note *n)
{
    uintptr_t was = BLOCK_UNREAD;

    if (!__atomic_compare_exchange_n(word, &was, (uintptr_t)n, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        return false;
    if (snap->state->reading_count == 1)
        set_free(snap, t, base, p, block);
    return true;
}

static uint32_t base_of(const struct wk_snapshot *snap, const struct table *t, const struct group *g)
{
    const struct frozen_table *f = &snap->tables[t - snap->state->tables];

    return f->image || f->groups[g - t->groups].image ? 0 : snap->base_epoch;
}

bool wk_snapshot_release(struct wk_snapshot *snap, const struct table *t, const struct group *g, struct entry *e)
{
    uint32_t base = base_of(snap, t, g), block = e->offset / BLOCK_BYTES;
    struct page *p = page_of(e);
    uintptr_t *word, is;
    struct note *n;

    if (e->born > snap->epoch || e->born <= base)
        return true;
    word = block_of(snap, p, e->offset);
    is = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    if (is != BLOCK_UNREAD)
        return is != BLOCK_BUSY;
    n = note_of(snap, t, base, p, block);
    copies_are_out();
    return n && publish(snap, t, base, p, block, word, n);
}

/* A block in hand that may have to be written down. */
struct asked {
    struct entry *entry;
    struct page *page;
    uintptr_t *word;
    struct note *note;
    uint32_t base;
};

static void fetch_block(const struct asked *a)
{
    const char *data = (const char *)a->page + a->entry->offset / BLOCK_BYTES * BLOCK_BYTES;

    for (uint32_t i = 0; i < BLOCK_BYTES; i += LINE_BYTES)
        __builtin_prefetch(data + i, 1, NEAR);
}

void wk_snapshot_release_all(struct wk_snapshot *snap, const struct table *t, const struct group *const *group,
                             struct entry *const *entry, uint32_t count)
{
    struct asked asked[KEY_RUN_ROWS];
    uint32_t n = 0, made = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct asked a = {.entry = entry[i], .page = page_of(entry[i]), .base = base_of(snap, t, group[i])};

        if (a.entry->born <= snap->epoch && a.entry->born > a.base)
            asked[n++] = a;
    }
    for (uint32_t i = 0; i < n; i++) {
        asked[i].word = block_of(snap, asked[i].page, asked[i].entry->offset);
        __builtin_prefetch(asked[i].word, 1, NEAR);
    }
    count = n;
    n = 0;
    for (uint32_t i = 0; i < count; i++)
        if (__atomic_load_n(asked[i].word, __ATOMIC_RELAXED) == BLOCK_UNREAD)
            asked[n++] = asked[i];
    for (uint32_t i = 0; i < MIN(n, FETCHED_BLOCKS); i++)
        fetch_block(&asked[i]);
    for (; made < n; made++) {
        struct asked *a = &asked[made];

        if (made + FETCHED_BLOCKS < n)
            fetch_block(&asked[made + FETCHED_BLOCKS]);
        a->note = note_of(snap, t, a->base, a->page, a->entry->offset / BLOCK_BYTES);
        if (!a->note)
            break;
    }
    copies_are_out();
    for (uint32_t i = 0; i < made; i++) {
        const struct asked *a = &asked[i];

        (void)publish(snap, t, a->base, a->page, a->entry->offset / BLOCK_BYTES, a->word, a->note);
    }
}

void wk_snapshot_end(struct wk_snapshot *snap)
{
    struct notes **last = &snap->notes;

    while (*last)
        last = &(*last)->next;
    *last = snap->state->notes;
    snap->state->notes = snap->notes;
    snap->notes = NULL;
    if (wk_snapshot_is_read(snap) && snap->block_bytes > snap->state->blocks_kept_bytes) {
        mem_free(snap->state->blocks_kept);
        snap->state->blocks_kept = snap->blocks;
        snap->state->blocks_kept_bytes = snap->block_bytes;
        snap->blocks = NULL;
    }
}

void wk_notes_free(struct wk_state *s, bool all)
{
    for (uint32_t i = 0; s->notes && (all || i < NOTES_FREED_MAX); i++) {
        struct notes *n = s->notes;

        s->notes = n->next;
        wk_room_free(s, n, n->bytes);
    }
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
