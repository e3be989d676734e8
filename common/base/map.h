/*
 * map.h - a hash map from bytes (or u64) to void *, that iterates in insertion order.
 *
 * Order is data: the simulator replays a seed only if nothing depends on addresses or hash order.
 * Keys are copied; values are borrowed.  Not thread-safe.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map;
struct map *map_new(void);
void map_free(struct map *m); /* values are not touched; NULL is legal */
size_t map_size(const struct map *m);
/* Returns the value that was there before, or NULL. value must not be NULL. */
void *map_put(struct map *m, const void *key, size_t key_len, void *value);
void *map_get(const struct map *m, const void *key, size_t key_len);
void *map_remove(struct map *m, const void *key, size_t key_len);

static inline void *map_put_str(struct map *m, const char *key, void *value)
{
    return map_put(m, key, __builtin_strlen(key), value);
}
static inline void *map_get_str(const struct map *m, const char *key)
{
    return map_get(m, key, __builtin_strlen(key));
}
static inline void *map_remove_str(struct map *m, const char *key)
{
    return map_remove(m, key, __builtin_strlen(key));
}
static inline void *map_put_u64(struct map *m, uint64_t key, void *value)
{
    return map_put(m, &key, sizeof(key), value);
}
static inline void *map_get_u64(const struct map *m, uint64_t key)
{
    return map_get(m, &key, sizeof(key));
}
static inline void *map_remove_u64(struct map *m, uint64_t key)
{
    return map_remove(m, &key, sizeof(key));
}

/* for (struct map_iter it = map_iter(m); map_next(&it);) use(it.key, it.key_len, it.value);
 * The current entry may be removed, others may be added (and will be seen). */
struct map_iter {
    const struct map *map;
    size_t position;
    const void *key; /* NUL-terminated after key_len bytes */
    size_t key_len;
    void *value;
};
struct map_iter map_iter(const struct map *m);
bool map_next(struct map_iter *it);

#endif
