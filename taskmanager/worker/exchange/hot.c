/* hot.c - see hot.h. */
#include "taskmanager/worker/exchange/hot.h"

#include "common/base/check.h"
#include "common/types/key_bytes.h"

#define SAMPLES_MAX 4096u

static void add(struct wk_hot *hot, uint32_t group)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < hot->used; i++) {
        if (hot->group[i] == group) {
            hot->count[i]++;
            return;
        }
        if (hot->count[i] < hot->count[at])
            at = i;
    }
    if (hot->used < WK_HOT_SLOTS) {
        at = hot->used++;
        hot->count[at] = 0;
    }
    hot->group[at] = group; /* takes over what the lightest had */
    hot->count[at]++;
}

static void halve(struct wk_hot *hot)
{
    hot->samples /= 2;
    for (uint32_t i = 0; i < hot->used; i++)
        hot->count[i] /= 2;
}

void wk_hot_sample(struct wk_hot *hot, const uint64_t *hash, uint32_t rows, uint32_t max_parallelism)
{
    uint32_t take = MIN(rows, WK_HOT_ROWS), stride = take ? rows / take : 1, top = 0;

    /* another place in each block: rows of a block may be in the order of their keys */
    for (uint32_t i = 0; i < take; i++)
        add(hot, key_group_of(hash[i * stride + hot->next % stride], max_parallelism));
    hot->next++;
    hot->samples += take;
    for (uint32_t i = 1; i < hot->used; i++)
        if (hot->count[i] > hot->count[top])
            top = i;
    if (hot->samples > 0)
        __atomic_store_n(&hot->top, (uint64_t)hot->group[top] << 32 |
                                        MIN(1000u, (hot->count[top] * 1000u + hot->samples - 1) / hot->samples),
                         __ATOMIC_RELAXED);
    if (hot->samples >= SAMPLES_MAX)
        halve(hot);
}

bool wk_hot_top(const struct wk_hot *hot, uint32_t *ret_group, uint32_t *ret_permille)
{
    uint64_t top = __atomic_load_n(&hot->top, __ATOMIC_RELAXED);

    *ret_group = (uint32_t)(top >> 32);
    *ret_permille = (uint32_t)top;
    return *ret_permille > 0;
}
