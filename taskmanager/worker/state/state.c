/*
 * state.c - keyed state in memory: an index of 8-byte words over entries in pages.
 *
 * Index: power of two, linear probing, load <= 0.5, backward-shift deletion (Knuth 6.4 R); a word is a 16-bit tag of
 * the hash and a 48-bit entry address, 0 = empty.  Entries never move while they live; a value that outgrows its
 * room gets a new entry, and the old room goes to a free list by size.
 */
#include "taskmanager/worker/state/state.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

#define PAGE_BYTES (64u << 10)
#define PAGE_FIRST_BYTES 256u
#define LINE_BYTES 64u /* of the cache */
#define INDEX_FIRST 16u
#define ADDRESS_MASK 0x0000ffffffffffffull
#define FREE_CLASSES 64 /* rooms of 8 .. 512 bytes are reused; larger ones go back to malloc */
#define PREFETCH_AHEAD 12

struct entry {
    uint64_t hash;
    uint32_t key_len, value_len;
    uint32_t value_cap, unused;
    /* key bytes, padded with 0 to 16 or, longer ones, to 8; then the value */
};

/* A key in hand: its first bytes as words, padded with 0, are all of most keys. */
struct key {
    uint64_t head[KEY_HEAD_BYTES / 8];
    const void *bytes; /* all of them; used where len > 16 */
    uint32_t len;
};

struct page {
    struct page *next;
    size_t used, end; /* of its rooms, from its begin */
    size_t bytes;     /* charged */
};

struct table {
    const rask_state *decl;
    uint64_t *index;
    uint64_t mask; /* slots - 1 */
    uint64_t count;
    struct page *pages;
    size_t next_page_bytes;
    void *free_rooms[FREE_CLASSES + 1];
};

struct wk_state {
    struct wk_state_budget *budget;
    uint32_t count;
    struct table tables[];
};

static size_t pad8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}
static size_t key_room(uint32_t len)
{
    return len <= KEY_HEAD_BYTES ? KEY_HEAD_BYTES : pad8(len);
}
static uint64_t *key_of(struct entry *e)
{
    return (uint64_t *)(e + 1);
}
static void *value_of(struct entry *e)
{
    return (char *)key_of(e) + key_room(e->key_len);
}
static struct key key_from(rask_str bytes)
{
    struct key k = {.bytes = bytes.data, .len = bytes.len};

    memcpy(k.head, bytes.data, MIN(bytes.len, (uint32_t)KEY_HEAD_BYTES));
    return k;
}
static struct key key_in_run(const struct key_run *run, uint32_t i)
{
    struct key k = {.head = {run->head[i][0], run->head[i][1]}, .len = run->len[i]};

    if (k.len > KEY_HEAD_BYTES)
        k.bytes = run->text.data + run->place[i];
    return k;
}
static bool key_is(struct entry *e, const struct key *k)
{
    const uint64_t *has = key_of(e);

    /* in one: a branch on what differs from key to key is often guessed wrong */
    if (((has[0] ^ k->head[0]) | (has[1] ^ k->head[1]) | (e->key_len ^ k->len)) != 0)
        return false;
    return k->len <= KEY_HEAD_BYTES || memcmp(has, k->bytes, k->len) == 0;
}
static uint64_t word_of(uint64_t hash, const struct entry *e)
{
    return (hash & ~ADDRESS_MASK) | ((uint64_t)(uintptr_t)e & ADDRESS_MASK);
}
static struct entry *entry_of(uint64_t word)
{
    return (struct entry *)(uintptr_t)(word & ADDRESS_MASK);
}
/* The tag is the top 16 bits; the slot comes from the low ones. */
static uint64_t slot_of(const struct table *t, uint64_t hash)
{
    return hash & t->mask;
}

static bool charge(struct wk_state *s, uint64_t bytes)
{
    uint64_t used = __atomic_add_fetch(&s->budget->used_bytes, bytes, __ATOMIC_RELAXED);

    if (used <= s->budget->limit_bytes)
        return true;
    __atomic_sub_fetch(&s->budget->used_bytes, bytes, __ATOMIC_RELAXED);
    return false;
}
static void refund(struct wk_state *s, uint64_t bytes)
{
    __atomic_sub_fetch(&s->budget->used_bytes, bytes, __ATOMIC_RELAXED);
}

static int over_budget(struct wk_state *s, const struct table *t, uint64_t more, struct err *err)
{
    return err_set(err, ERR_LIMIT,
                   "state \"%s\" needs %" PRIu64 " more bytes, but the %" PRIu64
                   " bytes of state memory of this worker are used up (%" PRIu64
                   "): raise taskmanager.memory.process.size or taskmanager.memory.managed.fraction, or use more "
                   "TaskManagers",
                   t->decl->name, more, s->budget->limit_bytes,
                   __atomic_load_n(&s->budget->used_bytes, __ATOMIC_RELAXED));
}

struct wk_state *wk_state_new(const struct wk_state_options *options)
{
    const rask_state *decl = options->decl;
    uint32_t n = 0;
    struct wk_state *s;

    while (decl && decl[n].kind != 0)
        n++;
    s = mem_alloc(sizeof(*s) + n * sizeof(struct table));
    s->budget = options->budget;
    s->count = n;
    for (uint32_t i = 0; i < n; i++) {
        s->tables[i].decl = &decl[i];
        s->tables[i].next_page_bytes = PAGE_FIRST_BYTES;
    }
    return s;
}

static size_t room_bytes(uint32_t key_len, uint32_t value_cap)
{
    return sizeof(struct entry) + key_room(key_len) + pad8(value_cap);
}

static void free_table(struct wk_state *s, struct table *t)
{
    for (uint64_t i = 0; t->index && i <= t->mask; i++) {
        struct entry *e = t->index[i] ? entry_of(t->index[i]) : NULL;

        if (e && room_bytes(e->key_len, e->value_cap) > FREE_CLASSES * 8) {
            refund(s, room_bytes(e->key_len, e->value_cap));
            mem_free(e);
        }
    }
    if (t->index)
        refund(s, (t->mask + 1) * sizeof(uint64_t));
    mem_free(t->index);
    while (t->pages) {
        struct page *p = t->pages;

        t->pages = p->next;
        refund(s, p->bytes);
        mem_free(p);
    }
}

void wk_state_free(struct wk_state *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->count; i++)
        free_table(s, &s->tables[i]);
    mem_free(s);
}

/* A room for an entry; NULL when the budget is used up. */
static struct entry *room_new(struct wk_state *s, struct table *t, size_t bytes)
{
    size_t class = bytes / 8;
    struct page *p = t->pages;

    if (class > FREE_CLASSES)
        return charge(s, bytes) ? mem_alloc(bytes) : NULL;
    if (t->free_rooms[class]) {
        void *room = t->free_rooms[class];

        t->free_rooms[class] = *(void **)room;
        return room;
    }
    if (!p || p->end - p->used < bytes) {
        size_t head = sizeof(*p) + LINE_BYTES, rooms = MAX(t->next_page_bytes - head, bytes);

        if (!charge(s, head + rooms))
            return NULL;
        p = mem_alloc(head + rooms);
        p->bytes = head + rooms;
        /* The first room begins a cache line: an entry of 64 bytes, which a key of 16 and an accumulator are, is one.
         * How much fits must not depend on where the page lies. */
        p->used = sizeof(*p) + -((uintptr_t)p + sizeof(*p)) % LINE_BYTES;
        p->end = p->used + rooms;
        p->next = t->pages;
        t->pages = p;
        t->next_page_bytes = MIN(t->next_page_bytes * 2, (size_t)PAGE_BYTES);
    }
    p->used += bytes;
    return (struct entry *)(void *)((char *)p + p->used - bytes);
}

static void room_free(struct wk_state *s, struct table *t, struct entry *e)
{
    size_t bytes = room_bytes(e->key_len, e->value_cap);

    if (bytes / 8 > FREE_CLASSES) {
        refund(s, bytes);
        mem_free(e);
        return;
    }
    *(void **)(void *)e = t->free_rooms[bytes / 8];
    t->free_rooms[bytes / 8] = e;
}

static bool grow(struct wk_state *s, struct table *t)
{
    uint64_t old = t->index ? t->mask + 1 : 0, slots = old ? old * 2 : INDEX_FIRST;
    uint64_t *index;

    if (!charge(s, slots * sizeof(uint64_t)))
        return false;
    index = mem_alloc_array(slots, sizeof(*index));
    for (uint64_t i = 0; i < old; i++)
        if (t->index[i]) {
            uint64_t at = entry_of(t->index[i])->hash & (slots - 1);

            while (index[at])
                at = (at + 1) & (slots - 1);
            index[at] = t->index[i];
        }
    mem_free(t->index);
    refund(s, old * sizeof(uint64_t));
    t->index = index;
    t->mask = slots - 1;
    return true;
}

/* The slot that holds the key, or the empty one where it would stand. */
static inline uint64_t find(const struct table *t, uint64_t hash, const struct key *key)
{
    uint64_t at = slot_of(t, hash);

    for (; t->index[at]; at = (at + 1) & t->mask)
        if (((t->index[at] ^ hash) & ~ADDRESS_MASK) == 0 && key_is(entry_of(t->index[at]), key))
            break;
    return at;
}
static uint64_t find_word(const struct table *t, uint64_t hash, rask_str bytes)
{
    struct key key;

    if (!t->index)
        return 0;
    key = key_from(bytes);
    return t->index[find(t, hash, &key)];
}

static struct table *table_of(struct wk_state *s, int state)
{
    CHECK(state >= 0 && (uint32_t)state < s->count);
    return &s->tables[state];
}

void wk_state_prepare(struct wk_state *s, int state, const uint64_t *hash, uint32_t count)
{
    struct table *t = table_of(s, state);

    if (!t->index)
        return;
    for (uint32_t i = 0; i < count + PREFETCH_AHEAD; i++) {
        if (i < count)
            __builtin_prefetch(&t->index[slot_of(t, hash[i])]);
        if (i >= PREFETCH_AHEAD) {
            uint64_t word = t->index[slot_of(t, hash[i - PREFETCH_AHEAD])];

            if (word)
                __builtin_prefetch(entry_of(word));
        }
    }
}

/* A new entry for an absent key, value zeroed. */
static struct entry *insert(struct wk_state *s, struct table *t, uint64_t hash, const struct key *key, size_t size,
                            struct err *err)
{
    size_t bytes = room_bytes(key->len, (uint32_t)size);
    struct entry *e;

    if (!t->index || (t->count + 1) * 2 > t->mask + 1)
        if (!grow(s, t)) {
            (void)over_budget(s, t, (t->mask + 1) * 16, err);
            return NULL;
        }
    e = room_new(s, t, bytes);
    if (!e) {
        (void)over_budget(s, t, bytes, err);
        return NULL;
    }
    e->hash = hash;
    e->key_len = key->len;
    e->value_len = (uint32_t)size;
    e->value_cap = (uint32_t)pad8(size);
    memcpy(key_of(e), key->head, KEY_HEAD_BYTES);
    if (key->len > KEY_HEAD_BYTES)
        memcpy(key_of(e), key->bytes, key->len);
    memset(value_of(e), 0, pad8(size));
    t->index[find(t, hash, key)] = word_of(hash, e);
    t->count++;
    return e;
}

void *wk_state_get(struct wk_state *s, int state, uint64_t hash, rask_str key, size_t size, bool create,
                   bool *ret_created, struct err *err)
{
    struct table *t = table_of(s, state);
    uint64_t word = find_word(t, hash, key);
    struct key absent;
    struct entry *e;

    if (ret_created)
        *ret_created = false;
    if (word) {
        e = entry_of(word);
        CHECK(e->value_len == size);
        return value_of(e);
    }
    if (!create)
        return NULL;
    absent = key_from(key);
    e = insert(s, t, hash, &absent, size, err);
    if (!e)
        return NULL;
    if (ret_created)
        *ret_created = true;
    return value_of(e);
}

/*
 * The first word from the key's slot on whose tag is the key's: nearly always the one sought. 0: none. No entry is read,
 * so that all of a run can be fetched at a time.
 */
static uint64_t find_tag(const struct table *t, uint64_t hash)
{
    uint64_t at = slot_of(t, hash);

    while (t->index[at] && ((t->index[at] ^ hash) & ~ADDRESS_MASK))
        at = (at + 1) & t->mask;
    return t->index[at];
}

int wk_state_get_run(struct wk_state *s, int state, const struct key_run *keys, const uint64_t *hash, size_t size,
                     void **values, struct err *err)
{
    struct table *t = table_of(s, state);
    struct entry *likely[KEY_RUN_ROWS];

    for (uint32_t i = 0; t->index && i < keys->rows; i++)
        __builtin_prefetch(&t->index[slot_of(t, hash[i])]);
    for (uint32_t i = 0; i < keys->rows; i++) {
        likely[i] = t->index ? entry_of(find_tag(t, hash[i])) : NULL;
        __builtin_prefetch(likely[i]);
    }
    for (uint32_t i = 0; i < keys->rows; i++) {
        struct key key = key_in_run(keys, i);
        struct entry *e = likely[i];

        if (!e || !key_is(e, &key)) { /* absent then; by now a row before this one may have made it */
            uint64_t word = t->index ? t->index[find(t, hash[i], &key)] : 0;

            e = word ? entry_of(word) : insert(s, t, hash[i], &key, size, err);
        }
        if (!e)
            return ERR_LIMIT;
        CHECK(e->value_len == size);
        values[i] = value_of(e);
    }
    return 0;
}

const void *wk_state_read(struct wk_state *s, int state, uint64_t hash, rask_str key, size_t *ret_len)
{
    struct table *t = table_of(s, state);
    uint64_t word = find_word(t, hash, key);

    if (!word)
        return NULL;
    *ret_len = entry_of(word)->value_len;
    return value_of(entry_of(word));
}

int wk_state_write(struct wk_state *s, int state, uint64_t hash, rask_str key, const void *value, size_t len,
                   struct err *err)
{
    struct table *t = table_of(s, state);
    uint64_t word = find_word(t, hash, key);
    struct key absent = key_from(key);
    struct entry *e;

    if (word && entry_of(word)->value_cap < len) {
        wk_state_clear(s, state, hash, key);
        word = 0;
    }
    e = word ? entry_of(word) : insert(s, t, hash, &absent, len, err);
    if (!e)
        return ERR_LIMIT;
    e->value_len = (uint32_t)len;
    memcpy(value_of(e), value, len);
    return 0;
}

void wk_state_clear(struct wk_state *s, int state, uint64_t hash, rask_str key)
{
    struct table *t = table_of(s, state);
    struct key bytes = key_from(key);
    uint64_t at, next;

    if (!t->index)
        return;
    at = find(t, hash, &bytes);
    if (!t->index[at])
        return;
    room_free(s, t, entry_of(t->index[at]));
    t->count--;
    /* Backward shift: later words of the same run move up unless they stand at or behind their own slot. */
    for (next = (at + 1) & t->mask; t->index[next]; next = (next + 1) & t->mask) {
        uint64_t home = slot_of(t, entry_of(t->index[next])->hash);

        if (((next - home) & t->mask) >= ((next - at) & t->mask)) {
            t->index[at] = t->index[next];
            at = next;
        }
    }
    t->index[at] = 0;
}

uint64_t wk_state_count(const struct wk_state *s, int state)
{
    CHECK(state >= 0 && (uint32_t)state < s->count);
    return s->tables[state].count;
}

