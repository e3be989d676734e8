/*
 * index.c - where the entries of a group are: buckets of 8, each a line of the cache (state_private.h).
 *
 * An entry stands in the bucket of its hash, or, while that is full, in the next one that is not; so all buckets from its
 * own one to where it stands are full, and a search ends at the first that is not.  Runs in the task's step.
 */
#include <string.h>

#if defined(__x86_64__) && !defined(WITHOUT_VECTORS)
#define VECTORS
#include <immintrin.h>
#endif

#include "common/base/check.h"
#include "taskmanager/worker/state/state_private.h"

#define AHEAD 8u /* buckets, in walks over all of them */

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
    bucket_put(&index[at], match_first(free), tag, next, (at - home) & mask, e);
}

static uint32_t bits_of(uint64_t mask)
{
    return (uint32_t)__builtin_popcountll(mask);
}

/* ---- growing ---- */

/* How it is known to which of two buckets an entry goes, by bit `bit` of its hash. */
enum known_by { BY_TAG, BY_NEXT, BY_HASH };

static enum known_by known_by(const struct group *g, uint32_t bit)
{
    if (bit >= TAG_BIT && bit < TAG_BIT + TAG_BITS)
        return BY_TAG;
    return bit < g->next_bit + 2 ? BY_NEXT : BY_HASH;
}

static void fetch(const struct bucket *b, uint32_t match)
{
    for (; match; match &= match - 1)
        __builtin_prefetch(bucket_entry(b, match_first(match)), 0, NEAR);
}

/* A bit for each slot: of the two buckets that this one becomes it goes to the second.  Not BY_TAG; BY_HASH: HIGH_NEXT is renewed. */
static uint32_t sides_of(const struct group *g, struct bucket *b, uint32_t bit, enum known_by how)
{
    uint32_t sides = 0;

    for (uint32_t i = 0; i < BUCKET_SLOTS && how == BY_NEXT; i++)
        sides |= (uint32_t)(b->high[i] >> (HIGH_NEXT_SHIFT + bit - g->next_bit) & 1) << i;
    for (uint32_t i = 0; i < BUCKET_SLOTS && how == BY_HASH; i++)
        if (b->tag[i] && !(b->high[i] & HIGH_MOVED)) {
            uint64_t hash = entry_hash(bucket_entry(b, i));

            b->high[i] = (uint16_t)((b->high[i] & ~HIGH_NEXT) | next_of(hash, bit + 1));
            sides |= (uint32_t)(hash >> bit & 1) << i;
        }
    return sides;
}

/*
 * What stands in its own bucket goes to one of two, which are written from the begin and not read: a look at what has just
 * been stored waits until the store has its line.
 */
static void split_bucket(const struct bucket *b, uint32_t sides, struct bucket *first, struct bucket *second)
{
    uint32_t used = 0; /* of the first in the low half, of the second in the high one */

    memset(first, 0, sizeof(*first));
    memset(second, 0, sizeof(*second));
    for (uint32_t i = 0; i < BUCKET_SLOTS; i++) {
        uint32_t half = (sides >> i & 1) * 16, stays = b->tag[i] != 0 && !(b->high[i] & HIGH_MOVED);
        struct bucket *to = half ? second : first;
        uint32_t at = used >> half & (BUCKET_SLOTS - 1);

        to->tag[at] = stays ? b->tag[i] : 0;
        to->high[at] = b->high[i];
        to->low[at] = b->low[i];
        used += stays << half;
    }
}

/* As above of many buckets, those of the second half `apart` behind those of the first; by bit `side` of the tag. */
static void split_by_tag_plain(const struct bucket *from, uint64_t count, uint32_t side, struct bucket *to, uint64_t apart)
{
    for (uint64_t at = 0; at < count; at++) {
        uint32_t sides = 0;

        for (uint32_t i = 0; i < BUCKET_SLOTS; i++)
            sides |= (uint32_t)(from[at].tag[i] >> side & 1) << i;
        split_bucket(&from[at], sides, &to[at], &to[at + apart]);
    }
}

#ifdef VECTORS
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi2")))

AVX512 static inline void put_slots(struct bucket *to, uint32_t slots, __m128i tag, __m128i high, __m256i low)
{
    _mm_storeu_si128((__m128i *)(void *)to->tag, _mm_maskz_compress_epi16((__mmask8)slots, tag));
    _mm_storeu_si128((__m128i *)(void *)to->high, _mm_maskz_compress_epi16((__mmask8)slots, high));
    _mm256_storeu_si256((__m256i *)(void *)to->low, _mm256_maskz_compress_epi32((__mmask8)slots, low));
}

AVX512 static void split_by_tag_avx512(const struct bucket *from, uint64_t count, uint32_t side, struct bucket *to, uint64_t apart)
{
    __m128i bit = _mm_set1_epi16((short)(1u << side)), moved = _mm_set1_epi16((short)HIGH_MOVED);

    for (uint64_t at = 0; at < count; at++) {
        __m128i tag = _mm_loadu_si128((const __m128i *)(const void *)from[at].tag);
        __m128i high = _mm_loadu_si128((const __m128i *)(const void *)from[at].high);
        __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)from[at].low);
        uint32_t stays = _mm_test_epi16_mask(tag, tag) & ~(uint32_t)_mm_test_epi16_mask(high, moved);
        uint32_t second = stays & _mm_test_epi16_mask(tag, bit);

        put_slots(&to[at], stays ^ second, tag, high, low);
        put_slots(&to[at + apart], second, tag, high, low);
    }
}
#endif

/* Chosen once before main, read-only afterwards. */
static void (*split_by_tag)(const struct bucket *, uint64_t, uint32_t, struct bucket *, uint64_t) = split_by_tag_plain;

__attribute__((constructor)) static void choose_split(void)
{
#ifdef VECTORS
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi2"))
        split_by_tag = split_by_tag_avx512;
#endif
}

/* Which slots hold something that is not in its own bucket: as bucket_match has them. */
static uint32_t bucket_moved(const struct bucket *b)
{
    uint32_t moved = 0;

#ifdef __SSE2__
    moved = (uint32_t)_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)b->high)) >> 1 & 0x5555u;
#else
    for (uint32_t i = 0; i < BUCKET_SLOTS; i++)
        moved |= (uint32_t)(b->high[i] >> 15) << 2 * i;
#endif
    return moved ? moved & ~bucket_match(b, 0) : 0;
}

/* Once the others have their places. */
static void put_moved(const struct group *g, uint64_t from, struct bucket *index, enum known_by how)
{
    const struct bucket *b = &g->index[from];
    uint64_t mask = 2 * g->mask + 1;
    uint32_t bit = bits_of(g->mask);

    for (uint32_t moved = bucket_moved(b); moved; moved &= moved - 1) {
        uint32_t slot = match_first(moved), distance = (b->high[slot] & HIGH_NEXT) >> HIGH_NEXT_SHIFT;
        struct entry *e = bucket_entry(b, slot);
        uint64_t home;

        if (how == BY_TAG && distance < FAR_MOVED)
            home = ((from - distance) & g->mask) | (uint64_t)(b->tag[slot] >> (bit - TAG_BIT) & 1) << bit;
        else
            home = entry_hash(e);
        put(index, mask, home, next_of(home, g->next_bit), b->tag[slot], e);
    }
}

/* To twice the size, of which nothing is written yet. */
static void split(struct group *g, struct bucket *index)
{
    uint64_t buckets = g->mask + 1;
    uint32_t bit = bits_of(g->mask);
    enum known_by how = known_by(g, bit);

    if (how == BY_TAG)
        split_by_tag(g->index, buckets, bit - TAG_BIT, index, buckets);
    for (uint64_t at = 0; at < buckets && how != BY_TAG; at++) {
        const struct bucket *ahead = &g->index[(at + AHEAD) & g->mask];

        if (how == BY_HASH)
            fetch(ahead, ~bucket_match(ahead, 0) & 0x5555u);
        split_bucket(&g->index[at], sides_of(g, &g->index[at], bit, how), &index[at], &index[at + buckets]);
    }
    if (how != BY_NEXT) /* BY_TAG: they are of no use any more */
        g->next_bit = how == BY_HASH ? bit + 1 : 0;
    for (uint64_t at = 0; at < buckets; at++) {
        const struct bucket *ahead = &g->index[(at + AHEAD) & g->mask];

        if (how != BY_TAG)
            fetch(ahead, bucket_moved(ahead));
        put_moved(g, at, index, how);
    }
}

/* buckets: any number where there is no index, else twice as many. */
static bool resize(struct wk_state *s, struct group *g, uint64_t buckets)
{
    struct bucket *index = wk_room_alloc(s, buckets * sizeof(*index));

    if (!index)
        return false;
    if (g->index) {
        CHECK(buckets == 2 * (g->mask + 1));
        split(g, index);
    } else {
        memset(index, 0, buckets * sizeof(*index));
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
        bucket_put(&g->index[hole], slot, g->index[next].tag[moves], next_of(hash, g->next_bit), (hole - hash) & g->mask, e);
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
