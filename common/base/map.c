/*
 * map.c - insertion-ordered hash map: an array of entries in order, and an open-addressing index
 * into it.
 *
 * A removed entry stays as a hole until the array is full; then the map is rebuilt at twice its
 * live size.  Both holes and live entries occupy index slots, never more than half of them, so a
 * probe ends. Entries carry a sequence number, and an iterator stands before one: it survives a
 * rebuild.
 */
#include "common/base/map.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"

#define MAP_CAPACITY_MIN 8
#define MAP_CAPACITY_MAX (1u << 30)

struct map_entry {
    uint8_t *key; /* owned; NULL: a hole */
    size_t key_len;
    void *value; /* borrowed */
    uint64_t hash;
    size_t sequence; /* ascending in the array */
};

struct map {
    struct map_entry *entries; /* owned; the first `used` of `capacity` */
    uint32_t *slots;           /* owned; 2 * capacity; entry index + 1, or 0 */
    size_t used, live, capacity;
    size_t next_sequence;
};

struct map *map_new(void)
{
    return MEM_NEW(struct map);
}

void map_free(struct map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->used; i++)
        mem_free(m->entries[i].key);
    mem_free(m->entries);
    mem_free(m->slots);
    mem_free(m);
}

size_t map_size(const struct map *m)
{
    return m->live;
}

static void map_index_add(struct map *m, uint64_t hash, size_t entry)
{
    size_t mask = 2 * m->capacity - 1, slot = hash & mask;

    while (m->slots[slot])
        slot = (slot + 1) & mask;
    m->slots[slot] = (uint32_t)(entry + 1);
}

static void map_rebuild(struct map *m)
{
    struct map_entry *old = m->entries;
    size_t capacity = MAP_CAPACITY_MIN, kept = 0;

    while (capacity < 2 * m->live)
        capacity *= 2;
    CHECK(capacity <= MAP_CAPACITY_MAX);
    mem_free(m->slots);
    m->capacity = capacity;
    m->entries = mem_alloc_array(capacity, sizeof(*m->entries));
    m->slots = mem_alloc_array(2 * capacity, sizeof(*m->slots));
    for (size_t i = 0; i < m->used; i++) {
        if (!old[i].key)
            continue;
        m->entries[kept] = old[i];
        map_index_add(m, old[i].hash, kept++);
    }
    CHECK(kept == m->live);
    m->used = kept;
    mem_free(old);
}

static struct map_entry *map_find(const struct map *m, uint64_t hash, const void *key,
                                  size_t key_len)
{
    size_t mask = 2 * m->capacity - 1;

    if (!m->capacity)
        return NULL;
    for (size_t slot = hash & mask; m->slots[slot]; slot = (slot + 1) & mask) {
        struct map_entry *e = &m->entries[m->slots[slot] - 1];

        if (e->key && e->hash == hash && e->key_len == key_len &&
            (key_len == 0 || memcmp(e->key, key, key_len) == 0))
            return e;
    }
    return NULL;
}

void *map_put(struct map *m, const void *key, size_t key_len, void *value)
{
    uint64_t hash = hash_xxh3(key, key_len);
    struct map_entry *e = map_find(m, hash, key, key_len);
    uint8_t *copy;

    CHECK(value != NULL);
    if (e) {
        void *before = e->value;

        e->value = value;
        return before;
    }
    copy = mem_alloc(key_len + 1);
    if (key_len)
        memcpy(copy, key, key_len);
    if (m->used == m->capacity)
        map_rebuild(m);
    e = &m->entries[m->used];
    *e = (struct map_entry){copy, key_len, value, hash, m->next_sequence++};
    map_index_add(m, hash, m->used++);
    m->live++;
    return NULL;
}

void *map_get(const struct map *m, const void *key, size_t key_len)
{
    struct map_entry *e = map_find(m, hash_xxh3(key, key_len), key, key_len);

    return e ? e->value : NULL;
}

void *map_remove(struct map *m, const void *key, size_t key_len)
{
    struct map_entry *e = map_find(m, hash_xxh3(key, key_len), key, key_len);
    void *before;

    if (!e)
        return NULL;
    before = e->value;
    mem_free(e->key);
    e->key = NULL;
    e->value = NULL;
    m->live--;
    return before;
}

struct map_iter map_iter(const struct map *m)
{
    return (struct map_iter){.map = m};
}

/* The index of the first entry whose sequence number is at least `sequence`. */
static size_t map_seek(const struct map *m, size_t sequence)
{
    size_t low = 0, high = m->used;

    if (sequence < m->used && m->entries[sequence].sequence == sequence)
        return sequence; /* never rebuilt with holes: the usual case */
    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (m->entries[mid].sequence < sequence)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool map_next(struct map_iter *it)
{
    const struct map *m = it->map;

    for (size_t i = map_seek(m, it->position); i < m->used; i++) {
        const struct map_entry *e = &m->entries[i];

        if (!e->key)
            continue;
        it->position = e->sequence + 1;
        it->key = e->key;
        it->key_len = e->key_len;
        it->value = e->value;
        return true;
    }
    return false;
}
