/*
 * notes.c - what the task writes down for snapshots that are being read, before it changes an entry that they want.
 *
 * An entry that was written down gets the new epoch, so the reader that comes to its page leaves it out, and finds it behind the
 * pages of its group.  The entry is at hand anyway when it is changed, and goes to memory that is written in order and in whole
 * lines, past the cache: it is read much later, and lines that are written as a whole need not be read before.  Each group has a
 * stage in the cache where they come to be whole.
 * Entries that are asked for at random cost some 80 ns each, and a stream that is fast enough asks for most of them long before
 * the reader is through.  In order they cost 20 to 30.  So with memory that is at hand a task that writes down many entries writes
 * down whole pages ahead of the reader, who leaves them out then.
 * A page that the reader is in, or has been in, gets no notes: what is in hand of it is appended to the log as a new version
 * while it is read, and free after that.
 *
 * Nobody waits for long: while the task writes down, `noting` of its state is odd.  The reader first says which page it is going
 * to read, then waits until the task is out of what it may have begun before (at most a run of keys); the task asks which
 * pages are read after it has said that it writes down.  So one of them sees the other (Dekker).
 * Runs in the task's step; the last holder of the state frees.
 */
#include <string.h>

#include "common/base/check.h"
#include "taskmanager/worker/state/snapshot_private.h"

#define NOTES_FIRST_BYTES 4096u
#define STAGE_BYTES (8 * LINE_BYTES)
#define NOTES_MAX_BYTES (256u << 10) /* each group has one that is not full */
#define NOTES_FREED_MAX 16u          /* in a step */
#define AHEAD_NOTES 64u /* behind so many single ones comes a page */
#define AHEAD_LOOKS 8u  /* at pages, to find one */

static void begin_noting(struct wk_state *s)
{
    __atomic_store_n(&s->noting, s->noting + 1, __ATOMIC_SEQ_CST);
}
static void end_noting(struct wk_state *s)
{
#ifdef __SSE2__
    if (s->reading_count > 0)
        _mm_sfence(); /* what went past the cache comes before it, too */
#endif
    __atomic_store_n(&s->noting, s->noting + 1, __ATOMIC_RELEASE);
}

/* Whole lines, to the begin of a line. */
static void stream(uint8_t *to, const uint8_t *from, size_t bytes)
{
#ifdef __SSE2__
    for (size_t i = 0; i < bytes; i += sizeof(__m128i))
        _mm_stream_si128((__m128i *)(void *)(to + i), _mm_load_si128((const __m128i *)(const void *)(from + i)));
#else
    memcpy(to, from, bytes);
#endif
}

/* So much is at `line` by now, and as much as there is behind it in the stage. */
static void go_on_at(struct frozen *f, size_t lines)
{
    size_t staged = (size_t)(f->at - f->stage) - lines;

    memmove(f->stage, f->stage + lines, staged);
    f->line += lines;
    f->at = f->stage + staged;
    f->until = f->stage + MIN((size_t)(f->end - f->line), (size_t)STAGE_BYTES);
}

/* NULL: over budget. */
static struct notes *more_notes(struct wk_snapshot *snap, size_t bytes)
{
    struct notes *n = wk_room_alloc(snap->state, bytes);

    if (!n)
        return NULL;
    *n = (struct notes){.next = snap->notes, .bytes = bytes};
    if (!snap->notes)
        snap->first_notes = n;
    snap->notes = n;
    snap->note_bytes += bytes;
    snap->state->note_bytes += bytes;
    return n;
}

static void end_notes(struct frozen *f)
{
    size_t staged = (size_t)(f->at - f->stage);

    memcpy(f->line, f->stage, staged);
    f->notes->used = (uint32_t)(f->line + staged - f->notes->data);
    f->notes->rows = f->rows;
    f->at = f->stage;
}

/* A third more than the group has, in a power of two. false: over budget. What is used of it is counted later. */
static bool begin_notes(struct wk_snapshot *snap, struct frozen *f, size_t bytes)
{
    size_t size = NOTES_FIRST_BYTES, all = bytes + sizeof(struct notes);
    struct notes *n;

    if (!f->stage) {
        n = more_notes(snap, sizeof(struct notes) + STAGE_BYTES);
        if (!n)
            return false;
        f->stage = f->at = n->data;
    }
    while (size < NOTES_MAX_BYTES && (size * 3 < f->note_bytes || size < all))
        size *= 2;
    if (all > size)
        size = (all + LINE_BYTES - 1) & ~(size_t)(LINE_BYTES - 1);
    n = more_notes(snap, size);
    if (!n)
        return false;
    if (f->notes)
        end_notes(f);
    n->before = f->notes;
    f->note_bytes += size;
    f->notes = n;
    f->rows = 0;
    f->line = n->data;
    f->end = (uint8_t *)n + size;
    go_on_at(f, 0);
    return true;
}

/* false: over budget. */
static inline bool room_for(struct wk_snapshot *snap, struct frozen *f, size_t bytes)
{
    return (size_t)(f->end - f->line) >= (size_t)(f->at - f->stage) + bytes || begin_notes(snap, f, bytes);
}

/* Room for so many bytes, in the stage if they are few. false: over budget. */
static bool make_room(struct wk_snapshot *snap, struct frozen *f, size_t bytes)
{
    size_t lines = (size_t)(f->at - f->stage) & ~(size_t)(LINE_BYTES - 1);

    if (lines > 0) {
        stream(f->line, f->stage, lines);
        go_on_at(f, lines);
    }
    return room_for(snap, f, bytes);
}

/* Of an entry that the stage has no room for: it is written where it goes, and the stage has the begin of the line it ends in. */
static void put_long(const struct table *t, struct entry *e, struct frozen *f)
{
    size_t staged = (size_t)(f->at - f->stage), bytes, rest;

    memcpy(f->line, f->stage, staged);
    bytes = (size_t)(wk_snapshot_put(t, e, f->line + staged) - f->line);
    rest = bytes % LINE_BYTES;
    f->line += bytes - rest;
    memcpy(f->stage, f->line, rest);
    f->at = f->stage + rest;
    go_on_at(f, 0);
}

/* There is room for it, in the stage or where that goes. */
static inline void write_down(const struct table *t, struct entry *e, uint32_t room, struct frozen *f)
{
    if ((size_t)(f->until - f->at) >= room + (size_t)CKPT_ENTRY_HEAD_MAX)
        f->at = wk_snapshot_put(t, e, f->at);
    else
        put_long(t, e, f);
    f->rows++;
}

/* An entry in hand; what is asked of its page and of itself is asked once. */
struct older {
    struct entry *entry;
    uint32_t page; /* id */
    uint32_t room; /* bytes */
};
/* What a snapshot wants of it. */
struct wanted {
    struct frozen *group; /* NULL: nothing */
    uint32_t base, read;  /* read: of its page */
};

static inline struct wanted wanted_of(const struct wk_snapshot *snap, const struct table *t, const struct group *g,
                                      const struct older *o)
{
    const struct frozen_table *f = &snap->tables[t - snap->state->tables];
    uint32_t born = o->entry->born, base;

    if (born > snap->epoch)
        return (struct wanted){.read = PAGE_READ};
    base = base_of(snap, f, &f->groups[g - t->groups]);
    if (born <= base)
        return (struct wanted){.read = PAGE_READ};
    return (struct wanted){&f->groups[g - t->groups], base, __atomic_load_n(&snap->pages[o->page].read, __ATOMIC_SEQ_CST)};
}

/* Whether it may be changed, or can be written down: no reader is where it stands, and there is room. */
static inline bool prepare(struct wk_snapshot *snap, const struct wanted *w, const struct older *o)
{
    size_t most = o->room + (size_t)CKPT_ENTRY_HEAD_MAX;

    if (w->read != PAGE_UNREAD)
        return w->read == PAGE_READ;
    return (size_t)(w->group->until - w->group->at) >= most || make_room(snap, w->group, most);
}

/* Prepared. A reader that has come since then waits. */
static inline void note(struct wk_snapshot *snap, const struct table *t, const struct wanted *w, const struct older *o)
{
    if (w->read == PAGE_READ)
        return;
    if (wk_snapshot_wants(snap, t, w->base, o->entry))
        write_down(t, o->entry, o->room, w->group);
    snap->pages[o->page].noted += o->room;
    snap->owed++;
}

/* For all of the snapshots or for none. */
static bool note_for_several(struct wk_state *s, const struct table *t, const struct group *g, const struct older *o)
{
    struct wanted w;

    for (uint32_t i = 0; i < s->reading_count; i++) {
        w = wanted_of(s->reading[i], t, g, o);
        if (!prepare(s->reading[i], &w, o))
            return false;
    }
    for (uint32_t i = 0; i < s->reading_count; i++) {
        w = wanted_of(s->reading[i], t, g, o);
        note(s->reading[i], t, &w, o);
    }
    return true;
}

/* ---- ahead of the reader ---- */

/* The next entry of the page, from `at` on, that the snapshot wants; `end`: there is none. */
static uint32_t next_wanted(const struct wk_snapshot *snap, const struct table *t, uint32_t base, const struct page *p, uint32_t at,
                            uint32_t end)
{
    while (at < end && !wk_snapshot_wants(snap, t, base, page_entry(p, at)))
        at += (uint32_t)room_of(t, page_entry(p, at));
    return at;
}

/*
 * A page that nobody has read is written down as a whole, if memory is at hand.  false: there was nothing to do.
 * Where there is something, the reader has not passed the group, and its notes are the task's.
 */
static bool take_page(struct wk_snapshot *snap, const struct table *t, struct frozen *f, uint32_t base, const struct page *p)
{
    uint32_t end = end_of(f, p), at, unread = PAGE_UNREAD;
    uint32_t *read = &snap->pages[p->id].read;

    if (p->newest <= base || end > PAGE_BYTES || __atomic_load_n(read, __ATOMIC_RELAXED) != PAGE_UNREAD)
        return false;
    at = next_wanted(snap, t, base, p, PAGE_HEAD_BYTES, end);
    if (at >= end)
        return false;
    /* an entry is longer in the file by a quarter at most; the reader may just have come */
    if (!wk_reserve_at_hand(snap->state) || !room_for(snap, f, end + end / 4) ||
        !__atomic_compare_exchange_n(read, &unread, PAGE_READ, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return true;
    while (at < end) {
        struct entry *e = page_entry(p, at);
        uint32_t room = (uint32_t)room_of(t, e);

        CHECK(make_room(snap, f, room + (size_t)CKPT_ENTRY_HEAD_MAX));
        write_down(t, e, room, f);
        at = next_wanted(snap, t, base, p, at + room, end);
    }
    return true;
}

/* The next group, from the last one of the last table on: the reader begins with the first. false: there is none. */
static bool next_group(struct wk_snapshot *snap)
{
    const struct frozen_table *f = &snap->tables[snap->ahead_table];

    while (snap->ahead_group == 0) {
        if (snap->ahead_table == 0)
            return false;
        f = &snap->tables[--snap->ahead_table];
        snap->ahead_group = f->groups && f->dense ? snap->state->group_count : 0;
    }
    snap->ahead = f->groups[--snap->ahead_group].tail;
    return true;
}

/* One page. While the task notes. */
static void read_ahead(struct wk_snapshot *snap)
{
    bool done = false;

    snap->owed = 0;
    for (uint32_t looks = 0; !done && looks < AHEAD_LOOKS && (snap->ahead || next_group(snap)); looks++) {
        const struct frozen_table *f = &snap->tables[snap->ahead_table];
        struct frozen *g = &f->groups[snap->ahead_group];

        if (!snap->ahead)
            continue;
        done = take_page(snap, &snap->state->tables[snap->ahead_table], g, base_of(snap, f, g), snap->ahead);
        snap->ahead = snap->ahead->prev;
    }
}

static inline void go_ahead(struct wk_state *s)
{
    if (s->reading_count == 1 && s->reading[0]->owed >= AHEAD_NOTES)
        read_ahead(s->reading[0]);
}

/* ---- the task's changes ---- */

/* While the task notes. */
static inline bool redate(struct table *t, struct group *g, const struct older *o)
{
    struct wk_state *s = t->state;

    if (s->reading_count > 1 && !note_for_several(s, t, g, o))
        return false;
    if (s->reading_count == 1) {
        struct wanted w = wanted_of(s->reading[0], t, g, o);

        if (!prepare(s->reading[0], &w, o))
            return false;
        note(s->reading[0], t, &w, o);
    }
    __atomic_store_n(&o->entry->born, s->epoch, __ATOMIC_RELAXED);
    o->entry->fresh = 0;
    g->changed[1] += o->room; /* the next delta has it */
    return true;
}

static inline struct older look_at(const struct table *t, struct entry *e)
{
    struct page *p = page_of(e);

    wk_note_newest(p, t->state->epoch);
    return (struct older){e, p->id, (uint32_t)room_of(t, e)};
}

bool wk_redate(struct table *t, struct group *g, struct entry *e)
{
    struct older o;
    bool done;

    if (t->stored)
        return false;
    o = look_at(t, e);
    begin_noting(t->state);
    done = redate(t, g, &o);
    go_ahead(t->state);
    end_noting(t->state);
    return done;
}

uint64_t wk_redate_all(struct table *t, struct group *const *group, struct entry *const *entry, uint32_t count)
{
    struct wk_state *s = t->state;
    struct older older[KEY_RUN_ROWS];
    const struct wk_snapshot *snap = s->reading_count > 0 ? s->reading[0] : NULL;
    uint64_t done = 0;

    for (uint32_t i = 0; i < count; i++) { /* heads of pages are waited for together, and what a snapshot says of pages */
        older[i] = look_at(t, entry[i]);
        if (snap)
            __builtin_prefetch(&snap->pages[older[i].page]);
    }
    begin_noting(s);
    for (uint32_t i = 0; i < count; i++) /* the same one may come twice */
        if (entry[i]->born == s->epoch || redate(t, group[i], &older[i]))
            done |= UINT64_C(1) << i;
    go_ahead(s);
    end_noting(s);
    return done;
}

void wk_snapshot_end(struct wk_snapshot *snap)
{
    struct wk_state *s = snap->state;

    if (!snap->notes)
        return;
    snap->first_notes->next = s->notes;
    s->notes = snap->notes;
    snap->notes = NULL;
}

void wk_notes_free(struct wk_state *s, bool all)
{
    for (uint32_t i = 0; s->notes && (all || i < NOTES_FREED_MAX); i++) {
        struct notes *n = s->notes;

        s->notes = n->next;
        s->note_bytes -= n->bytes;
        wk_room_free(s, n, n->bytes);
    }
}
