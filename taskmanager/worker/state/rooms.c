/*
 * rooms.c - memory for pages and indexes: a state that has grown takes it from chunks of 2 MiB, which the system is asked to
 * back with one huge page each.  Lookups of keys at random otherwise spend half their time on addresses.
 * All of it is charged to the budget, chunks as a whole.  Chunks that are empty are kept, half as many as others at most, and
 * go when the budget is used up.  Runs in the task's step; the last holder frees.
 */
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "taskmanager/worker/state/state_private.h"

#define CHUNK_BYTES MEM_HUGE_BYTES
#define CHUNK_ROOMS (CHUNK_BYTES / PAGE_BYTES)
#define SMALL_STATE_BYTES (4u << 20) /* below, memory is that of nursery.c, or libc's */

_Static_assert(CHUNK_ROOMS == 32, "a word has a bit per room");

static void free_kept(struct wk_state *s)
{
    mem_free(s->kept[--s->kept_count]);
    s->spare_bytes -= CHUNK_BYTES;
    wk_refund(s, CHUNK_BYTES);
}

void wk_rooms_release(struct wk_state *s)
{
    while (s->kept_count > 0)
        free_kept(s);
    mem_free(s->kept);
    s->kept = NULL;
    s->kept_room = 0;
}

static bool charge(struct wk_state *s, uint64_t bytes)
{
    bool fits = wk_charge(s, bytes);

    while (!fits && s->kept_count > 0) {
        free_kept(s);
        fits = wk_charge(s, bytes);
    }
    if (fits)
        return true;
    if (!s->cleaning)
        return false;
    __atomic_add_fetch(&s->used_bytes, bytes, __ATOMIC_RELAXED);
    __atomic_add_fetch(&s->budget->used_bytes, bytes, __ATOMIC_RELAXED);
    return true;
}

/* An aligned run of free rooms; -1. */
static int find_run(const struct chunk *c, uint32_t rooms)
{
    uint32_t run = rooms == CHUNK_ROOMS ? UINT32_MAX : (1u << rooms) - 1;

    for (uint32_t at = 0; at + rooms <= CHUNK_ROOMS; at += rooms)
        if ((c->used & (run << at)) == 0)
            return (int)at;
    return -1;
}

static void *take(struct wk_state *s, struct chunk *c, uint32_t at, uint32_t rooms)
{
    uint32_t run = rooms == CHUNK_ROOMS ? UINT32_MAX : (1u << rooms) - 1;

    c->used |= run << at;
    s->spare_bytes -= (uint64_t)rooms * PAGE_BYTES;
    return c->data + (size_t)at * PAGE_BYTES;
}

/* NULL: over budget. */
static void *chunk_new(struct wk_state *s)
{
    void *data = s->kept_count > 0 ? s->kept[--s->kept_count] : NULL;

    if (data)
        return data;
    data = wk_reserve_take(s);
    if (!data && !charge(s, CHUNK_BYTES))
        return NULL;
    s->spare_bytes += CHUNK_BYTES;
    return data ? data : mem_alloc_huge(CHUNK_BYTES);
}

static void *chunk_alloc(struct wk_state *s, uint32_t rooms)
{
    struct chunk *c;
    void *data;

    for (uint32_t i = 0; i < s->chunk_count; i++) { /* the one that had room last comes first */
        uint32_t k = (s->chunk_at + i) % s->chunk_count;
        int at = s->chunks[k].used == UINT32_MAX ? -1 : find_run(&s->chunks[k], rooms);

        if (at >= 0) {
            s->chunk_at = k;
            return take(s, &s->chunks[k], (uint32_t)at, rooms);
        }
    }
    data = chunk_new(s);
    if (!data)
        return NULL;
    if (s->chunk_count == s->chunk_room) {
        s->chunk_room = MAX(s->chunk_room * 2, 8u);
        s->chunks = mem_realloc(s->chunks, s->chunk_room * sizeof(*s->chunks));
    }
    s->chunk_at = s->chunk_count;
    c = &s->chunks[s->chunk_count++];
    *c = (struct chunk){data, 0};
    data = take(s, c, 0, rooms);
    wk_reserve_tell(s);
    return data;
}

static bool is_rooms(size_t bytes)
{
    return bytes >= PAGE_BYTES && bytes <= CHUNK_BYTES && (bytes & (bytes - 1)) == 0;
}

void *wk_room_alloc(struct wk_state *s, size_t bytes)
{
    void *p;

    if (is_rooms(bytes) && s->used_bytes >= SMALL_STATE_BYTES)
        return chunk_alloc(s, (uint32_t)(bytes / PAGE_BYTES));
    if (!charge(s, bytes))
        return NULL;
    p = s->used_bytes < SMALL_STATE_BYTES ? wk_nursery_alloc(s->nursery, bytes) : NULL;
    if (p)
        return p;
    return bytes % CHUNK_BYTES == 0 ? mem_alloc_huge(bytes) : mem_alloc_lines(bytes);
}

/*
 * After a checkpoint the log grows by what changes and shrinks again: the next one will need it.  A page that comes from the
 * system is cleared first, which costs as much as the change itself.
 */
static void keep(struct wk_state *s, void *data)
{
    if (s->kept_count == s->kept_room) {
        s->kept_room = MAX(s->kept_room * 2, 8u);
        s->kept = mem_realloc(s->kept, s->kept_room * sizeof(void *));
    }
    s->kept[s->kept_count++] = data;
    while (s->kept_count > s->chunk_count)
        free_kept(s);
}

void wk_room_free(struct wk_state *s, void *p, size_t bytes)
{
    char *base = (char *)((uintptr_t)p & ~(uintptr_t)(CHUNK_BYTES - 1));
    uint32_t rooms = (uint32_t)(bytes / PAGE_BYTES), i = 0;
    struct chunk *c;

    if (!p)
        return;
    while (is_rooms(bytes) && i < s->chunk_count && s->chunks[i].data != base)
        i++;
    if (!is_rooms(bytes) || i == s->chunk_count) {
        wk_refund(s, bytes);
        if (!wk_nursery_free(s->nursery, p, bytes))
            mem_free(p);
        return;
    }
    c = &s->chunks[i];
    c->used &= ~((rooms == CHUNK_ROOMS ? UINT32_MAX : (1u << rooms) - 1) << (((char *)p - base) / PAGE_BYTES));
    s->spare_bytes += (uint64_t)rooms * PAGE_BYTES;
    if (c->used != 0)
        return;
    p = c->data;
    *c = s->chunks[--s->chunk_count];
    s->chunk_at = 0;
    keep(s, p);
}
