/*
 * operator_state.c - state that belongs to no key: lists that are split or copied when parallelism changes, broadcast maps.
 * Small: held as arrays.  Runs in the task's step.
 */
#include <inttypes.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "taskmanager/worker/state/state_private.h"

static struct elements *elements_of(const struct wk_state *s, int state)
{
    CHECK(state >= 0 && (uint32_t)state < s->table_count);
    CHECK(s->lists[state].decl->kind >= RASK_OPERATOR_LIST);
    return &s->lists[state];
}

static uint64_t cost(size_t key, size_t value)
{
    return sizeof(struct element) + key + value;
}

/* Key and value in one allocation, the key first. false: over budget. */
static bool element_new(struct wk_state *s, struct element *e, rask_bytes key, rask_bytes value)
{
    char *data;

    if (!wk_charge(s, cost(key.len, value.len)))
        return false;
    data = mem_alloc((size_t)key.len + value.len + 1);
    if (key.len > 0)
        memcpy(data, key.data, key.len);
    if (value.len > 0)
        memcpy(data + key.len, value.data, value.len);
    e->key = (rask_bytes){data, key.len};
    e->value = (rask_bytes){data + key.len, value.len};
    return true;
}

static void element_free(struct wk_state *s, struct element *e)
{
    wk_refund(s, cost(e->key.len, e->value.len));
    mem_free((void *)(uintptr_t)e->key.data);
}

static struct element *insert(struct elements *l, uint32_t at)
{
    if (l->count == l->room) {
        l->room = MAX(l->room * 2, 8u);
        l->items = mem_realloc(l->items, l->room * sizeof(*l->items));
    }
    memmove(l->items + at + 1, l->items + at, (l->count - at) * sizeof(*l->items));
    l->count++;
    return &l->items[at];
}

static void clear(struct wk_state *s, struct elements *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        element_free(s, &l->items[i]);
    l->count = 0;
}

void wk_elements_free(struct wk_state *s, struct elements *l)
{
    clear(s, l);
    mem_free(l->items);
}

int wk_state_list_add(struct wk_state *s, int state, const void *data, size_t len, struct err *err)
{
    struct elements *l = elements_of(s, state);
    struct element e;

    if (len > WK_STATE_VALUE_MAX)
        return err_set(err, ERR_LIMIT, "state \"%s\": an element of %zu bytes; at most %u can be kept", l->decl->name, len,
                       WK_STATE_VALUE_MAX);
    if (!element_new(s, &e, (rask_bytes){NULL, 0}, (rask_bytes){data, (uint32_t)len}))
        return wk_over_budget(&s->tables[state], cost(0, len), err);
    *insert(l, l->count) = e;
    return 0;
}

uint32_t wk_state_list_count(const struct wk_state *s, int state)
{
    return elements_of(s, state)->count;
}
rask_bytes wk_state_list_get(const struct wk_state *s, int state, uint32_t i)
{
    const struct elements *l = elements_of(s, state);

    CHECK(i < l->count);
    return l->items[i].value;
}
void wk_state_list_remove(struct wk_state *s, int state, uint32_t i)
{
    struct elements *l = elements_of(s, state);

    CHECK(i < l->count);
    element_free(s, &l->items[i]);
    memmove(l->items + i, l->items + i + 1, (l->count - i - 1) * sizeof(*l->items));
    l->count--;
}
void wk_state_list_clear(struct wk_state *s, int state)
{
    clear(s, elements_of(s, state));
}

static int compare(rask_bytes a, rask_bytes b)
{
    uint32_t least = MIN(a.len, b.len);
    int rc = least > 0 ? memcmp(a.data, b.data, least) : 0;

    return rc ? rc : a.len < b.len ? -1 : a.len > b.len;
}

/* The first pair whose key is not less. */
static uint32_t seek(const struct elements *l, rask_bytes key, bool *ret_there)
{
    uint32_t low = 0, high = l->count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (compare(l->items[mid].key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *ret_there = low < l->count && compare(l->items[low].key, key) == 0;
    return low;
}

int wk_state_broadcast_put(struct wk_state *s, int state, rask_bytes key, rask_bytes value, struct err *err)
{
    struct elements *l = elements_of(s, state);
    struct element e;
    bool there;
    uint32_t at = seek(l, key, &there);

    if ((uint64_t)key.len + value.len > WK_STATE_VALUE_MAX)
        return err_set(err, ERR_LIMIT, "state \"%s\": a pair of %" PRIu64 " bytes; at most %u can be kept", l->decl->name,
                       (uint64_t)key.len + value.len, WK_STATE_VALUE_MAX);
    if (!element_new(s, &e, key, value))
        return wk_over_budget(&s->tables[state], cost(key.len, value.len), err);
    if (there)
        element_free(s, &l->items[at]);
    else
        (void)insert(l, at);
    l->items[at] = e;
    return 0;
}

bool wk_state_broadcast_get(const struct wk_state *s, int state, rask_bytes key, rask_bytes *ret)
{
    const struct elements *l = elements_of(s, state);
    bool there;
    uint32_t at = seek(l, key, &there);

    if (there)
        *ret = l->items[at].value;
    return there;
}

void wk_state_broadcast_remove(struct wk_state *s, int state, rask_bytes key)
{
    struct elements *l = elements_of(s, state);
    bool there;
    uint32_t at = seek(l, key, &there);

    if (there)
        wk_state_list_remove(s, state, at);
}

uint32_t wk_state_broadcast_count(const struct wk_state *s, int state)
{
    return elements_of(s, state)->count;
}
void wk_state_broadcast_at(const struct wk_state *s, int state, uint32_t i, rask_bytes *ret_key, rask_bytes *ret_value)
{
    const struct elements *l = elements_of(s, state);

    CHECK(i < l->count);
    *ret_key = l->items[i].key;
    *ret_value = l->items[i].value;
}
void wk_state_broadcast_clear(struct wk_state *s, int state)
{
    clear(s, elements_of(s, state));
}
