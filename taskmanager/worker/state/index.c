/*
 * index.c - where the entries of a group are: buckets of 8, each a line of the cache (state_private.h).
 *
 * An entry stands in the bucket of its hash, or, while that is full, in the next one that is not; so all buckets from its
 * own one to where it stands are full, and a search ends at the first that is not.  Runs in the task's step.
 */
#include <string.h>

#include "common/base/check.h"
#include "taskmanager/worker/state/state_private.h"

#define AHEAD 16u /* slots, in walks over all of them */

struct entry *wk_find(const struct group *g, uint64_t hash, const struct key *key, uint64_t *ret_at)
{
    if (!g->index)
        return NULL;
    for (uint64_t at = hash & g->mask;; at = (at + 1) & g->mask) {
        const struct bucket *b = &g->index[at];

        for (uint32_t m = bucket_match(b, tag_of(hash)); m; m &= m - 1) {
            struct entry *e = bucket_entry(b, match_first(m));

            if (key_is(e, key)) {
                *ret_at = at * BUCKET_SLOTS + match_first(m);
                return e;
            }
        }
        if (bucket_match(b, 0))
            return NULL;
    }
}

/* next: HIGH_NEXT of its hash. */
static void put(struct bucket *index, uint64_t mask, uint64_t home, uint32_t next, uint16_t tag, const struct entry *e)
{
    uint64_t at = home & mask;
    uint32_t free;

    while (!(free = bucket_match(&index[at], 0)))
        at = (at + 1) & mask;
    bucket_put(&index[at], match_first(free), tag, next | (at != (home & mask) ? HIGH_MOVED : 0), e);
}

static uint32_t bits_of(uint64_t mask)
{
    return (uint32_t)__builtin_popcountll(mask);
}

/* Each entry asked for its key. */
static void fill_anew(const struct group *g, struct bucket *index, uint64_t mask)
{
    uint64_t slots = wk_index_slots(g);

    for (uint64_t i = 0; i < slots; i++) {
        struct entry *e = wk_index_at(g, i), *ahead = i + AHEAD < slots ? wk_index_at(g, i + AHEAD) : NULL;
        uint64_t hash;

        __builtin_prefetch(ahead);
        if (!e)
            continue;
        hash = entry_hash(e);
        put(index, mask, hash, next_of(hash, bits_of(mask)), g->index[i / BUCKET_SLOTS].tag[i % BUCKET_SLOTS], e);
    }
}

/* To twice the size, by the bits that are kept. */
static void split(const struct group *g, struct bucket *index, uint64_t mask)
{
    uint32_t bit = bits_of(g->mask);

    for (uint64_t at = 0; at <= g->mask; at++) {
        const struct bucket *b = &g->index[at];

        for (uint32_t i = 0; i < BUCKET_SLOTS; i++) {
            uint32_t next = b->high[i] & HIGH_NEXT;
            uint64_t home = at | (uint64_t)(next >> (HIGH_NEXT_SHIFT + bit - g->next_bit) & 1) << bit;

            if (!b->tag[i])
                continue;
            if (b->high[i] & HIGH_MOVED) {
                home = entry_hash(bucket_entry(b, i));
                next = next_of(home, g->next_bit);
            }
            put(index, mask, home, next, b->tag[i], bucket_entry(b, i));
        }
    }
}

static bool resize(struct wk_state *s, struct group *g, uint64_t buckets)
{
    struct bucket *index = wk_room_alloc(s, buckets * sizeof(*index));

    if (!index)
        return false;
    memset(index, 0, buckets * sizeof(*index));
    if (g->index && buckets == 2 * (g->mask + 1) && bits_of(g->mask) < g->next_bit + 2) {
        split(g, index, buckets - 1);
    } else {
        fill_anew(g, index, buckets - 1);
        g->next_bit = bits_of(buckets - 1);
    }
    wk_room_free(s, g->index, wk_index_slots(g) / BUCKET_SLOTS * sizeof(*index));
    g->index = index;
    g->mask = buckets - 1;
    s->resized++;
    return true;
}

bool wk_index_room(struct wk_state *s, struct group *g)
{
    uint64_t buckets = g->index ? g->mask + 1 : 0;

    return wk_index_holds(buckets, (uint64_t)g->words + 1) || resize(s, g, buckets ? buckets * 2 : 1);
}

void wk_index_expect(struct table *t, struct group *g, uint64_t words)
{
    uint64_t buckets = 1;

    while (!wk_index_holds(buckets, words))
        buckets *= 2;
    if (!g->index)
        (void)resize(t->state, g, buckets); /* no room: it grows as far as it can */
}

void wk_index_put(struct group *g, uint64_t hash, const struct entry *e)
{
    put(g->index, g->mask, hash, next_of(hash, g->next_bit), tag_of(hash), e);
    g->words++;
}

void wk_index_point(struct group *g, uint64_t at, const struct entry *e)
{
    bucket_point(&g->index[at / BUCKET_SLOTS], at % BUCKET_SLOTS, e);
}

/* The slot of an entry in bucket `from` that may stand in bucket `to`, before it; -1. */
static int find_movable(const struct group *g, uint64_t from, uint64_t to)
{
    for (uint32_t i = 0; i < BUCKET_SLOTS; i++)
        if (g->index[from].tag[i] && (g->index[from].high[i] & HIGH_MOVED)) {
            uint64_t home = entry_hash(bucket_entry(&g->index[from], i)) & g->mask;

            if (((from - home) & g->mask) >= ((from - to) & g->mask))
                return (int)i;
        }
    return -1;
}

void wk_index_remove(struct group *g, uint64_t at)
{
    uint64_t hole = at / BUCKET_SLOTS, next = hole;
    uint32_t slot = at % BUCKET_SLOTS;
    bool full = !bucket_match(&g->index[hole], 0);

    g->index[hole].tag[slot] = 0;
    g->words--;
    /* A full bucket may have sent entries on: one of them comes back, which leaves a hole there. */
    while (full) {
        struct entry *e;
        uint64_t hash;
        int moves;

        next = (next + 1) & g->mask;
        full = next != hole && !bucket_match(&g->index[next], 0);
        moves = next == hole ? -1 : find_movable(g, next, hole);
        if (moves < 0)
            continue;
        e = bucket_entry(&g->index[next], (uint32_t)moves);
        hash = entry_hash(e);
        bucket_put(&g->index[hole], slot, g->index[next].tag[moves],
                   next_of(hash, g->next_bit) | (hole != (hash & g->mask) ? HIGH_MOVED : 0), e);
        g->index[next].tag[moves] = 0;
        hole = next;
        slot = (uint32_t)moves;
    }
}

uint64_t wk_index_of(const struct group *g, struct entry *e)
{
    for (uint64_t at = entry_hash(e) & g->mask;; at = (at + 1) & g->mask) {
        for (uint32_t i = 0; i < BUCKET_SLOTS; i++)
            if (g->index[at].tag[i] && bucket_entry(&g->index[at], i) == e)
                return at * BUCKET_SLOTS + i;
        CHECK(!bucket_match(&g->index[at], 0));
    }
}
