/*
 * state_private.h - the table: per declared state and key group an epoch log with an index.
 *
 * Log: entries in pages, appended; an entry is changed in place in the epoch that wrote it, and in a later one where no
 * snapshot has to read it any more: then it gets the new date.  Before that the task writes it down for the snapshot, if its
 * reader has not been there (notes.c).  Where that cannot be, and where the new value needs
 * more room, the new version is appended and the old one marked dead.  A deleted key that a checkpoint
 * may know leaves a tombstone, which stays in the index until a checkpoint that holds it is complete: each key has one
 * current entry at most, and the order of entries in the log means nothing.
 * Index: a power of two of buckets, each a line of the cache with 8 tags of 16 bits of the hash and 8 addresses of 48 bits:
 * all tags are compared at once, and few branches depend on what is in a line that was waited for (index.c).
 *
 * Threads: the task's alone, but for frozen pages, which the reader of a snapshot walks too; of entries that it wants and has
 * not passed the task writes `dead` alone.  A page with entries of a snapshot's epoch or older is neither freed nor unlinked while that snapshot is read.
 */
#ifndef WK_STATE_PRIVATE_H
#define WK_STATE_PRIVATE_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/ckpt/ckpt_cover.h"
#include "common/ckpt/ckpt_entry.h"
#include "taskmanager/worker/state/reserve.h"
#include "taskmanager/worker/state/snapshot.h"
#include "taskmanager/worker/state/state.h"

#define PAGE_BYTES (64u << 10)
#define PAGE_FIRST_BYTES 256u
#define LINE_BYTES 64u /* of the cache */
#define NEAR 2         /* prefetch into the second-level cache, which waits for more lines at a time than the first */
#define BUCKET_SLOTS 8u
#define OPEN_BYTES 2048u /* of a page, for new keys: its head hears of them when they are full */
#define PAGE_HEAD_BYTES LINE_BYTES /* the first entry begins a line */
#define PAGE_PLACES 16u /* that whole pages begin at in their rooms: else their heads would drive one another out of the cache */

enum entry_kind { ENTRY_PUT, ENTRY_DELETE };

/*
 * 16 bytes, then: `struct more` where key_len is KEY_MORE; key bytes, padded with 0 to 8; the time of the last change
 * where the state has a TTL; the value.  An entry of at most half a line takes half a line, and else one of at most a line
 * takes a line; so in a table whose entries all are such none lies across two.  Half a line: a key of 8 bytes and a number;
 * a line: a key of 8 bytes and five numbers, or one of 16 and four.  Where it stands in the index follows from its key.
 */
struct entry {
    uint32_t born;      /* epoch that wrote it; atomic as `dead` */
    uint32_t dead;      /* epoch that replaced or deleted it; 0: current. Atomic: both threads see it. */
    uint16_t offset;    /* from the begin of its page; one that is larger than PAGE_BYTES stands alone in its page */
    uint8_t key_len;    /* or KEY_MORE */
    uint8_t kind : 2;   /* enum entry_kind */
    uint8_t fresh : 1;  /* no checkpoint knows this key: it goes without a tombstone */
    uint8_t used : 1;   /* with a store: read since its page was filled */
    uint16_t value_len; /* 0 where key_len is KEY_MORE, as cap */
    uint16_t cap;       /* room for the value, in 8 bytes */
};
struct more { /* of an entry whose key or value is too long for its header, or that is a part */
    uint32_t key_len, value_len;
    uint32_t cap;
    uint32_t part; /* 0; of lists and maps: number of the chunk or bucket */
};
#define KEY_MORE 255u
#define CAP_SHORT_MAX (UINT16_MAX / 8u)

struct page {
    struct page *prev; /* older */
    size_t bytes;      /* charged */
    uint32_t used;     /* offset of the first free byte */
    uint32_t end;
    uint32_t oldest, newest; /* epochs of its entries; newest: atomic */
    uint32_t made;           /* epoch of its first entry's coming: an older snapshot does not read it */
    uint32_t dead;           /* bytes of dead entries */
    uint32_t tombs, tombs_newest; /* bytes of tombstones, epoch of the newest */
    int64_t newest_ms;            /* with a TTL: of all that is in it */
    uint32_t id;                  /* of all pages that there are, from 0 */
    uint32_t lead;                /* bytes of its room in front of it */
};
_Static_assert(sizeof(struct page) <= PAGE_HEAD_BYTES, "the first entry is behind it");

/*
 * Entries begin at multiples of 8 bytes, and of the word for an address three bits are free.  They and the tags spare a growing
 * index most looks at entries, each a line that is far away: the tag is the hash from TAG_BIT on, so it says where an entry
 * goes in an index that has more bits than that, and up to there the free bits do.
 */
struct bucket {
    uint16_t tag[BUCKET_SLOTS]; /* 0: free */
    uint16_t high[BUCKET_SLOTS]; /* HIGH_MOVED, HIGH_NEXT, and of the entry's address / 8 what is not in low */
    uint32_t low[BUCKET_SLOTS];
};
#define HIGH_MOVED 0x8000u /* its own bucket was full: it stands in another one */
/* Two bits: of what stands in its own bucket those of its hash from the group's `next_bit` on, of others how far it has moved. */
#define HIGH_NEXT_SHIFT 13u
#define HIGH_NEXT (3u << HIGH_NEXT_SHIFT)
#define HIGH_ADDRESS 0x1fffu
#define FAR_MOVED 3u /* or farther */
#define TAG_BIT 11u
#define TAG_BITS 15u /* that are the hash's; with the last one it is kept from being 0 */
_Static_assert(sizeof(struct bucket) == LINE_BYTES, "a bucket is a line");

/*
 * A new key changes its bucket, the log's end and the first line of this, and not the page's head: that would be a line more
 * that is far away, as heads of pages drive one another out of the cache.  So new keys go to an `open` part of the newest page,
 * of which its head hears when that is closed: before anybody asks how much of a page is in use.
 */
struct group {
    struct bucket *index; /* NULL: none yet */
    uint64_t mask;        /* buckets - 1 */
    struct page *tail;    /* the newest */
    char *open;           /* where in it the next new key goes; NULL: closed */
    uint64_t log_bytes;   /* of entries, dead ones too */
    uint32_t open_bytes;  /* from there on: for entries of the current epoch, in one block */
    uint32_t next_bit;    /* HIGH_NEXT of its buckets */
    uint32_t words;       /* in the index */
    uint32_t keys;        /* part 0, not deleted */
    uint32_t page_bytes;  /* of the next page */
    uint32_t chain;       /* deltas with something in them since the last image */
    uint64_t dead_bytes, tomb_bytes;
    uint64_t changed[2];  /* bytes written since the base: up to the last freeze, and after it but for the open part */
} __attribute__((aligned(LINE_BYTES)));
_Static_assert(offsetof(struct group, page_bytes) <= LINE_BYTES, "as said above");

struct table {
    const rask_state *decl;
    struct wk_state *state;
    struct group *groups; /* group_count of the state; NULL before the first key */
    bool stored;          /* its entries go to the store of the state: disk.c */
    bool cold;            /* and some are there alone */
    uint32_t name_hash;   /* stored: its keys begin with it there */
    uint32_t time_bytes;  /* 8 with a TTL in front of each value (value, reducing, aggregating), else 0 */
    uint64_t keys;
    /* rotation of images */
    uint64_t allowance;   /* bytes of images that deltas have earned */
    uint32_t rotate_at;   /* group whose image is the oldest */
    uint32_t chain;       /* deltas since all of it was imaged, and their bytes */
    uint64_t delta_bytes;
};

/* Operator state: elements, or pairs sorted by key. */
struct element {
    rask_bytes key, value; /* owned, one allocation at key.data (or value.data in lists) */
};
struct elements {
    const rask_state *decl;
    struct element *items;
    uint32_t count, room;
};

/* What the task remembers of a checkpoint until it hears of its end. */
struct pending {
    uint64_t checkpoint;
    uint32_t epoch;
    enum wk_snapshot_kind kind;
    uint8_t *imaged; /* whether each group of each table is imaged in it */
    struct wk_tables *tables; /* a reference; NULL: none */
};

struct chunk { /* rooms.c */
    char *data;
    uint32_t used; /* a bit per room of PAGE_BYTES */
};

struct wk_state {
    struct wk_state_options options; /* texts, declarations and schemas are in the arena */
    struct arena arena;
    struct wk_state_budget *budget;
    struct wk_state_budget orphaned; /* the budget once the state is freed, until its last snapshot is */
    uint32_t table_count;
    struct table *tables;     /* by number of the declaration; those of operator state are empty */
    struct elements *lists;   /* likewise */
    struct ckpt_state *described;
    uint32_t first_group, group_count;
    uint32_t epoch;           /* 1 .. */
    uint32_t resized;         /* how often an index has moved */
    uint32_t gone;            /* how often an entry was replaced or deleted */
    uint32_t held;            /* epoch of the newest snapshot that is being read; 0: none */
    uint64_t base;            /* checkpoint that deltas start at; 0: none */
    uint32_t base_epoch;      /* the last one that it holds */
    int64_t now_ms;           /* for TTL */
    uint64_t appended;        /* bytes since the last cleaning */
    uint32_t clean_at;        /* table * groups + group: where cleaning goes on */
    uint64_t used_bytes;      /* charged */
    struct nursery *nursery;  /* a reference */
    struct chunk *chunks;     /* all have something in them */
    uint32_t chunk_count, chunk_room, chunk_at;
    void **kept;             /* chunks that are empty, to be used again; charged */
    uint32_t kept_count, kept_room;
    struct pending *pending;  /* as many as the coordinator lets be under way */
    uint32_t pending_count, pending_room;
    struct wk_snapshot **reading; /* their pages are held */
    uint32_t reading_count, reading_room;
    struct notes *notes;      /* of snapshots that have been read: they go step by step */
    uint32_t page_ids;        /* given so far */
    uint32_t *free_ids, free_id_count, free_id_room;
    uint32_t refs;            /* the task and the snapshots; atomic */
    uint32_t noting;          /* odd: the task writes down for snapshots; atomic */
    struct restore *restore;
    struct disk *disk;        /* NULL: all of it is in memory */
    uint64_t note_bytes;      /* charged: what was written down for snapshots, and not freed yet */
    uint64_t noted_bytes;     /* that a snapshot took, about; 0: not known */
    uint64_t lacks;           /* that the budget's reserve was told of */
    uint64_t spare_bytes;     /* charged, and in no page nor index: free rooms of chunks */
    bool hides_tables;        /* in memory, and restored from tables: the next checkpoint says that they are of no use */
    bool cleaning;            /* may overdraw the budget by what it copies */
};

/* A key in hand: its first bytes as words, padded with 0, are all of most keys. */
struct key {
    uint64_t head[KEY_HEAD_BYTES / 8];
    const void *bytes; /* all of them; used where len > 16 */
    uint32_t len;
    uint32_t part;
};

static inline size_t pad8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}
static inline bool has_more(const struct entry *e)
{
    return e->key_len == KEY_MORE;
}
static inline struct more *more_of(const struct entry *e)
{
    return (struct more *)(uintptr_t)(e + 1);
}
static inline uint32_t entry_part(const struct entry *e)
{
    return has_more(e) ? more_of(e)->part : 0;
}
static inline uint32_t key_len_of(const struct entry *e)
{
    return has_more(e) ? more_of(e)->key_len : e->key_len;
}
static inline uint32_t value_len_of(const struct entry *e)
{
    return has_more(e) ? more_of(e)->value_len : e->value_len;
}
static inline size_t cap_of(const struct entry *e) /* in 8 bytes */
{
    return has_more(e) ? more_of(e)->cap : e->cap;
}
/* At most the room for it. */
static inline void set_value_len(struct entry *e, size_t len)
{
    if (has_more(e))
        more_of(e)->value_len = (uint32_t)len;
    else
        e->value_len = (uint16_t)len;
}
static inline size_t key_room(uint32_t len)
{
    return ((len - (size_t)(len > 0)) | 7) + 1; /* at least 8; no branch, lengths are not predictable */
}
static inline uint64_t *key_of(struct entry *e)
{
    return (uint64_t *)(void *)((char *)(e + 1) + (has_more(e) ? sizeof(struct more) : 0));
}
static inline int64_t *time_of(struct entry *e)
{
    return (int64_t *)(void *)((char *)key_of(e) + key_room(key_len_of(e)));
}
static inline char *value_of(const struct table *t, struct entry *e)
{
    return (char *)time_of(e) + t->time_bytes;
}
/* What an entry takes. */
struct entry_room {
    size_t bytes;
    size_t cap; /* in 8 bytes */
    bool has_more;
};
static inline struct entry_room entry_room(const struct table *t, uint32_t key_len, uint32_t part, size_t value_len)
{
    size_t cap = pad8(value_len) / 8, bytes = sizeof(struct entry) + key_room(key_len) + t->time_bytes + cap * 8;

    size_t least = bytes <= LINE_BYTES / 2 ? LINE_BYTES / 2 : LINE_BYTES;

    if (key_len >= KEY_MORE || cap > CAP_SHORT_MAX || part != 0)
        return (struct entry_room){bytes + sizeof(struct more), cap, true};
    if (bytes < least)
        return (struct entry_room){least, cap + (least - bytes) / 8, false};
    return (struct entry_room){bytes, cap, false};
}
static inline size_t room_of(const struct table *t, const struct entry *e)
{
    struct entry *to = (struct entry *)(uintptr_t)e;

    return (size_t)(value_of(t, to) - (char *)to) + cap_of(e) * 8;
}
static inline struct entry *page_entry(const struct page *p, uint32_t offset)
{
    return (struct entry *)((uintptr_t)p + offset);
}
static inline struct page *page_of(struct entry *e)
{
    return (struct page *)(void *)((char *)e - e->offset);
}
/* Of 16 bits that neither the group is made of nor the bucket, as long as there are few; not 0. */
static inline uint16_t tag_of(uint64_t hash)
{
    uint16_t tag = (uint16_t)(hash >> TAG_BIT);

    return tag ? tag : 1u << TAG_BITS;
}
/* Which slots have the tag (0: are free): a bit for each, for match_first. */
static inline uint32_t bucket_match(const struct bucket *b, uint16_t tag)
{
#ifdef __SSE2__
    /* not _mm_set1_epi16: gcc stores 2 bytes and loads 4, which waits for every store before to have its line */
    __m128i has = _mm_loadu_si128((const __m128i *)(const void *)b->tag), wanted = _mm_set1_epi32((int)(tag * 0x10001u));

    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi16(has, wanted)) & 0x5555u;
#else
    uint32_t match = 0;

    for (uint32_t i = 0; i < BUCKET_SLOTS; i++)
        match |= (uint32_t)(b->tag[i] == tag) << 2 * i;
    return match;
#endif
}
static inline uint32_t match_first(uint32_t match)
{
    return (uint32_t)__builtin_ctz(match) / 2;
}
static inline struct entry *bucket_entry(const struct bucket *b, uint32_t slot)
{
    return (struct entry *)(uintptr_t)(((uint64_t)(b->high[slot] & HIGH_ADDRESS) << 35) + (uint64_t)b->low[slot] * 8);
}
/* What else is in `high` stays. */
static inline void bucket_point(struct bucket *b, uint32_t slot, const struct entry *e)
{
    uint64_t address = (uint64_t)(uintptr_t)e / 8;

    b->high[slot] = (uint16_t)((b->high[slot] & ~HIGH_ADDRESS) | address >> 32);
    b->low[slot] = (uint32_t)address;
}
static inline uint32_t next_of(uint64_t hash, uint32_t bit)
{
    return (uint32_t)(hash >> bit) << HIGH_NEXT_SHIFT & HIGH_NEXT;
}
/* next: HIGH_NEXT of its hash; distance: to its own bucket. The slot is free. */
static inline void bucket_put(struct bucket *b, uint32_t slot, uint16_t tag, uint32_t next, uint64_t distance, const struct entry *e)
{
    b->tag[slot] = tag;
    b->high[slot] = (uint16_t)(distance ? HIGH_MOVED | (uint32_t)MIN(distance, FAR_MOVED) << HIGH_NEXT_SHIFT : next);
    bucket_point(b, slot, e);
}
static inline struct key key_from(rask_str bytes, uint32_t part)
{
    struct key k = {.bytes = bytes.data, .len = bytes.len, .part = part};

    memcpy(k.head, bytes.data, bytes.len < KEY_HEAD_BYTES ? bytes.len : KEY_HEAD_BYTES);
    return k;
}
static inline bool long_key_is(struct entry *e, const struct key *k)
{
    return key_len_of(e) == k->len && entry_part(e) == k->part && memcmp(key_of(e), k->bytes, k->len) == 0;
}
static inline bool key_is(struct entry *e, const struct key *k)
{
    const uint64_t *has = (const uint64_t *)(const void *)(e + 1);
    uint32_t second = k->len > 8;

    if (k->len > KEY_HEAD_BYTES || has_more(e))
        return long_key_is(e, k);
    /* in one: a branch on what differs from key to key is often guessed wrong */
    return ((has[0] ^ k->head[0]) | (has[second] ^ k->head[second]) | (e->key_len ^ k->len) | k->part) == 0;
}
/* What an entry is found by in its group's index; the group follows from the key's own hash, XXH3-64 of its bytes. */
static inline uint64_t index_hash(uint64_t hash, uint32_t part)
{
    return part == 0 ? hash : (hash ^ part) * 0x9e3779b97f4a7c15ull;
}
/* Room at the end of a page. */
static inline bool page_fits(const struct page *p, size_t bytes)
{
    return p && p->end - p->used >= bytes;
}
static inline void wk_note_newest(struct page *p, uint32_t epoch)
{
    if (p->newest < epoch)
        __atomic_store_n(&p->newest, epoch, __ATOMIC_RELAXED);
}
/* The next one of a page, which begins at p->used, is of that epoch. */
static inline void page_begin_entry(struct page *p, uint32_t born)
{
    CHECK(p->used < PAGE_BYTES);
    p->oldest = MIN(p->oldest, born);
    wk_note_newest(p, born);
}
/* The page's head hears what has come since. */
static inline void group_close(struct group *g)
{
    uint32_t used;

    if (!g->open)
        return;
    used = (uint32_t)(g->open - (char *)g->tail);
    g->changed[1] += used - g->tail->used;
    g->tail->used = used;
    g->open = NULL;
    g->open_bytes = 0;
}
/* A part of the newest page where new keys go, the first with so many bytes. false: it has no room. */
static inline bool group_open(struct group *g, size_t bytes, uint32_t epoch)
{
    struct page *p = g->tail;

    group_close(g);
    if (!page_fits(p, bytes))
        return false;
    page_begin_entry(p, epoch);
    g->open = (char *)p + p->used;
    g->open_bytes = MIN(p->end - p->used, MAX(OPEN_BYTES, (uint32_t)bytes));
    return true;
}
/* Room for an entry there, of which all is to be written. */
static inline struct entry *group_append(struct group *g, size_t bytes)
{
    struct entry *e = (struct entry *)(void *)g->open;

    g->open += bytes;
    g->open_bytes -= (uint32_t)bytes;
    g->log_bytes += bytes;
    __builtin_prefetch(g->open, 0, NEAR); /* of the next one */
    return e;
}
/* All but key, offset and value, and where the key goes. */
static inline void entry_fill(struct entry *e, uint32_t born, uint32_t key_len, uint32_t part, size_t value_len,
                              const struct entry_room *room)
{
    e->born = born;
    e->dead = 0;
    e->key_len = (uint8_t)(room->has_more ? KEY_MORE : key_len);
    e->value_len = (uint16_t)(room->has_more ? 0 : value_len);
    e->cap = (uint16_t)(room->has_more ? 0 : room->cap);
    e->kind = ENTRY_PUT;
    e->fresh = 0;
    e->used = 0;
    if (room->has_more)
        *more_of(e) = (struct more){key_len, (uint32_t)value_len, (uint32_t)room->cap, part};
}
static inline uint64_t entry_hash(struct entry *e)
{
    return index_hash(hash_xxh3(key_of(e), key_len_of(e)), entry_part(e));
}
static inline bool is_current(const struct entry *e)
{
    return e->dead == 0;
}
/* Of those born after `base` (0: all). */
static inline bool is_visible(const struct entry *e, uint32_t base, uint32_t epoch)
{
    uint32_t born = __atomic_load_n(&e->born, __ATOMIC_RELAXED), dead = __atomic_load_n(&e->dead, __ATOMIC_RELAXED);

    return born > base && born <= epoch && (dead == 0 || dead > epoch);
}

static inline void wk_state_range(const struct wk_state *s, uint32_t *ret_first, uint32_t *ret_last)
{
    *ret_first = ckpt_hash_first(s->first_group, s->options.max_parallelism);
    *ret_last = ckpt_hash_last(s->first_group + s->group_count - 1, s->options.max_parallelism);
}

/* ---- rooms.c ---- */
/* Not zeroed, charged. NULL: over budget. */
void *wk_room_alloc(struct wk_state *s, size_t bytes);
void wk_room_free(struct wk_state *s, void *p, size_t bytes);
void wk_rooms_release(struct wk_state *s); /* what is kept for later */

/* ---- nursery.c: chunks that small states share ---- */
void wk_nursery_join(struct wk_state *s);  /* a new state, which takes a reference */
void wk_nursery_leave(struct wk_state *s); /* it lets go of its budget */
void wk_nursery_unref(struct nursery *n);
/* NULL: not of such a size, too little is in use for it, or too much. The bytes are charged to the state by the caller. */
void *wk_nursery_alloc(struct nursery *n, size_t bytes);
bool wk_nursery_free(struct nursery *n, void *p, size_t bytes); /* false: it is not the nursery's */

/* ---- reserve.c ---- */
void *wk_reserve_take(struct wk_state *s);   /* a chunk of MEM_HUGE_BYTES, charged to s; NULL: none */
bool wk_reserve_at_hand(const struct wk_state *s); /* there is a chunk, kept ones too, to spend on what only saves time */
void wk_reserve_tell(struct wk_state *s);   /* that has grown, or had a snapshot read: what it lacks for the next one */
void wk_reserve_used(struct wk_state *s, int more); /* so many more of its snapshots are being read */
void wk_reserve_forget(struct wk_state *s); /* it lets go of its budget */

/* ---- index.c: slots are numbered over all buckets ---- */
/* The current entry (a tombstone too); NULL. *ret_at: its slot. */
struct entry *wk_find(const struct group *g, uint64_t index_hash, const struct key *key, uint64_t *ret_at);
/* Of an empty group: its index gets room for so many words. */
void wk_index_expect(struct table *t, struct group *g, uint64_t words);
bool wk_index_room(struct wk_state *s, struct group *g); /* for one more; false: over budget */
void wk_index_put(struct group *g, uint64_t index_hash, const struct entry *e); /* after wk_index_room */
void wk_index_point(struct group *g, uint64_t at, const struct entry *e); /* to a newer one of the same key */
void wk_index_remove(struct group *g, uint64_t at);
uint64_t wk_index_of(const struct group *g, struct entry *e); /* its slot; it is there */
/* What is in a slot; NULL: nothing. */
static inline struct entry *wk_index_at(const struct group *g, uint64_t at)
{
    const struct bucket *b = &g->index[at / BUCKET_SLOTS];

    return b->tag[at % BUCKET_SLOTS] ? bucket_entry(b, at % BUCKET_SLOTS) : NULL;
}
static inline bool wk_index_holds(uint64_t buckets, uint64_t words)
{
    return words * 4 <= buckets * BUCKET_SLOTS * 3;
}
static inline uint64_t wk_index_slots(const struct group *g)
{
    return g->index ? (g->mask + 1) * BUCKET_SLOTS : 0;
}

/* ---- table.c ---- */
struct table *wk_table_of(const struct wk_state *s, int state);
/* The group of a hash, once there are groups. */
static inline struct group *wk_group_of(const struct table *t, uint64_t hash)
{
    const struct wk_state *s = t->state;

    return t->groups + (key_group_of(hash, s->options.max_parallelism) - s->first_group);
}
bool wk_table_begin(struct table *t); /* makes the groups; false: over budget */
void wk_table_free(struct table *t);
/* A new entry for a key without any, its value zeroed: of this epoch, and no checkpoint knows it. NULL: over budget. */
struct entry *wk_insert(struct table *t, struct group *g, uint64_t index_hash, const struct key *key, size_t size);
/*
 * An entry of this epoch with room for `size` bytes in place of e, which is current at slot `at`: e itself, or a copy
 * (`keep` bytes of the value are taken along) that has replaced it.  Its value_len is set.  NULL: over budget.
 */
struct entry *wk_renew(struct table *t, struct group *g, uint64_t at, struct entry *e, size_t size, size_t keep);
/* The key is gone. false: over budget (for the tombstone). */
bool wk_delete(struct table *t, struct group *g, uint64_t at, struct entry *e);
/* A tombstone that no checkpoint needs any more leaves index and log. */
void wk_forget(struct table *t, struct group *g, struct entry *e);
/* A current entry goes to the log's end, as old as it is. false: over budget. */
bool wk_move(struct table *t, struct group *g, struct entry *e);
/* Nothing in it is alive. */
void wk_unlink_page(struct table *t, struct group *g, struct page **link);
int wk_over_budget(const struct table *t, uint64_t more, struct err *err);
bool wk_charge(struct wk_state *s, uint64_t bytes);
void wk_refund(struct wk_state *s, uint64_t bytes);
/* Lookup and change in one, by whole key. read: NULL: absent or expired. write: value_len is set, `keep` as in wk_renew. */
struct entry *wk_read_entry(struct table *t, uint64_t hash, rask_str key, uint32_t part);
struct entry *wk_write_entry(struct table *t, uint64_t hash, rask_str key, uint32_t part, size_t size, size_t keep,
                             bool *ret_created, struct err *err);
int wk_delete_entry(struct table *t, uint64_t hash, rask_str key, uint32_t part, struct err *err) MUST_CHECK;

/* An entry that is in the store, brought back: as old as `born`. */
struct entry *wk_insert_known(struct table *t, struct group *g, uint64_t index_hash, const struct key *key, size_t size,
                              uint32_t born);
/* A current entry that the store has leaves memory. */
void wk_drop(struct table *t, struct group *g, struct entry *e);

/* ---- disk.c: the part of keyed state that is in a store ---- */
void wk_disk_new(struct wk_state *s);
/* What is of the task alone; the rest goes with wk_disk_release, when nobody writes or reads any more. */
void wk_disk_stop(struct wk_state *s);
void wk_disk_release(struct wk_state *s);
/*
 * The entry of a key that is not in memory, brought back; NULL: there is none, or the state has failed (wk_state_failed).
 * write: it is about to be changed. *ret_at as in wk_find, may be NULL.
 */
struct entry *wk_disk_fetch(struct table *t, struct group *g, uint64_t hash, const struct key *key, bool write, uint64_t *ret_at);
/* The entry of a key that is about to be changed, from memory or from the store; *ret NULL: there is none. Else: the state has
 * failed. */
static inline int find_to_change(struct table *t, struct group *g, uint64_t hash, const struct key *key, bool write,
                                 struct entry **ret, uint64_t *ret_at, struct err *err)
{
    *ret = wk_find(g, index_hash(hash, key->part), key, ret_at);
    if (!*ret && t->cold)
        *ret = wk_disk_fetch(t, g, hash, key, write, ret_at);
    return *ret ? 0 : wk_state_failed(t->state, err);
}
/* Keeps memory within the share of the state: writes to the store, drops what is there. May wait for the store. */
void wk_disk_settle(struct wk_state *s);
uint32_t wk_disk_stored(const struct wk_state *s); /* all entries born up to this epoch are in the store */
uint32_t wk_disk_held(const struct wk_state *s);   /* pages made up to this epoch are being read; 0: none */
/* At a barrier: what changed goes to the store, and what it consists of then is held. The epoch is the caller's to end. */
struct flush;
struct flush *wk_disk_freeze(struct wk_state *s, enum wk_snapshot_kind kind);
/* A store that was made of files, whose pieces are these, becomes the state's; also when it fails. */
struct wk_store;
int wk_disk_adopt(struct wk_state *s, struct wk_store *store, struct wk_tables *pieces, struct err *err) MUST_CHECK;
uint64_t wk_disk_share(const struct wk_state *s); /* bytes of memory for the store */
void wk_disk_fail(struct wk_state *s, const struct err *err); /* the state is of no use any more */
/* To what went wrong in the store: whose it is, what to do; and a code that permits another try. */
void wk_disk_explain(const struct wk_state *s, struct err *err);
/* A key in a store: name hash, hash >> 32, key bytes, part; integers big-endian. */
void wk_disk_key(struct bytes *to, const struct table *t, uint64_t hash, const void *key, uint32_t len, uint32_t part);

/* The tables of the newest complete checkpoint: later ones may name their pieces. A reference is taken. NULL: none. */
void wk_disk_completed(struct wk_state *s, struct wk_tables *tables);
struct wk_tables *wk_disk_base(const struct wk_state *s); /* borrowed */
uint32_t wk_disk_name_hash(const char *state);

/* ---- tables.c: stores in checkpoints ---- */
struct wk_tables *wk_tables_ref(struct wk_tables *t); /* NULL is legal */
/* The part of a snapshot that is on disk. */
struct wk_stored;
struct wk_stored *wk_stored_freeze(struct wk_state *s, uint64_t checkpoint, enum wk_snapshot_kind kind);
void wk_stored_free(struct wk_stored *stored); /* NULL is legal, as below */
struct wk_tables *wk_stored_tables(const struct wk_stored *stored); /* borrowed; NULL: a savepoint */
int wk_stored_next(struct wk_stored *stored, struct ckpt_section *section, struct bytes *payload, struct wk_place *ret_place,
                   bool *ret_last, struct err *err) MUST_CHECK;
/* A section of it, without what it holds. */
void wk_stored_describe(const struct wk_state *s, uint64_t checkpoint, enum ckpt_section_kind kind, struct ckpt_section *ret);
/* Stores that are made of a checkpoint's tables. */
struct former;
struct formers {
    struct former *list;
    uint32_t count, room;
};
void wk_formers_release(struct wk_state *s, struct formers *f);

/* ---- clean.c ---- */
/* Frees dead room, within a bound that follows what was appended. */
void wk_clean(struct wk_state *s);
/* Looks which snapshots have been read out. */
void wk_update_held(struct wk_state *s);

/* ---- snapshot.c ---- */
bool wk_snapshot_is_read(const struct wk_snapshot *snap); /* nobody reads it any more */
uint32_t wk_snapshot_epoch(const struct wk_snapshot *snap);
/* It is read: what it took is what the next one may need. */
void wk_snapshot_taken(const struct wk_snapshot *snap);
void wk_snapshot_unref(struct wk_snapshot *snap);

/* ---- notes.c: the task, while snapshots are read ---- */
/*
 * An older entry that is current becomes one of this epoch where it is, and is written down for the snapshots that want it.
 * false: one is just reading there, or there is no memory.
 */
bool wk_redate(struct table *t, struct group *g, struct entry *e);
/* The same of up to 64 entries with their groups, some perhaps of this epoch by now. Bit i: that one is of this epoch. */
uint64_t wk_redate_all(struct table *t, struct group *const *group, struct entry *const *entry, uint32_t count);
/* Has been read: what was written down for it is the state's to free. */
void wk_snapshot_end(struct wk_snapshot *snap);
/* Frees some of what was written down for snapshots that have been read; all: all of it. */
void wk_notes_free(struct wk_state *s, bool all);

/* ---- migrate.c ---- */
struct migration;
/* old: compatible with the declared schema, and borrowed, as decl. */
struct migration *wk_migration_new(const rask_state *decl, const rask_schema *old);
void wk_migration_free(struct migration *m);
/* A value, or a checked part of a list or map, is replaced; what e->value points to then stays until the next call. */
int wk_migrate(struct migration *m, struct ckpt_entry *e, struct err *err) MUST_CHECK;

/* ---- restore.c ---- */
void wk_restore_free(struct wk_state *s); /* one that was not ended */
struct formers *wk_restore_formers(struct wk_state *s);
bool wk_restore_is_plain(const struct wk_state *s); /* every state is there as it is declared, and nothing else is */
uint64_t wk_restore_memory(const struct wk_state *s); /* for a store that is read out */
/* An entry of a store, at hash >> 32. */
int wk_restore_entry(struct wk_state *s, uint32_t number, uint32_t place, struct ckpt_entry *e, struct err *err) MUST_CHECK;

/* ---- state.c ---- */
void wk_state_unref(struct wk_state *s);

/* ---- containers.c ---- */
/* Whether a part of a list or map that comes from a file is one. */
bool wk_container_check(const rask_state *decl, uint32_t part, const char *data, size_t len);
/* The time of the newest element of such a part, with a TTL. false, and 0: its elements are elsewhere, or it is none. */
bool wk_container_newest(const rask_state *decl, uint32_t part, const char *data, size_t len, int64_t *ret_ms);

/* ---- operator_state.c ---- */
void wk_elements_free(struct wk_state *s, struct elements *l);

#endif
