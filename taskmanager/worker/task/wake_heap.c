/* wake_heap.c - see wake_heap.h. */
#include "taskmanager/worker/task/wake_heap.h"

#include "common/base/check.h"
#include "common/base/mem.h"

void wk_heap_release(struct wk_heap *h)
{
    for (uint32_t i = 0; i < h->count; i++)
        h->at[i]->wake_index = 0;
    mem_free(h->at);
    *h = (struct wk_heap){0};
}

static void place(struct wk_heap *h, uint32_t at, struct wk_runnable *r)
{
    h->at[at] = r;
    r->wake_index = at + 1;
}

/* r belongs at `at` or above. */
static void sift_up(struct wk_heap *h, uint32_t at, struct wk_runnable *r)
{
    for (; at > 0 && r->wake_at_ns < h->at[(at - 1) / 2]->wake_at_ns; at = (at - 1) / 2)
        place(h, at, h->at[(at - 1) / 2]);
    place(h, at, r);
}

static void sift_down(struct wk_heap *h, uint32_t at, struct wk_runnable *r)
{
    for (uint32_t child = 2 * at + 1; child < h->count; child = 2 * at + 1) {
        if (child + 1 < h->count && h->at[child + 1]->wake_at_ns < h->at[child]->wake_at_ns)
            child++;
        if (r->wake_at_ns <= h->at[child]->wake_at_ns)
            break;
        place(h, at, h->at[child]);
        at = child;
    }
    place(h, at, r);
}

void wk_heap_put(struct wk_heap *h, struct wk_runnable *r, uint64_t at_ns)
{
    if (r->wake_index > 0) {
        if (at_ns < r->wake_at_ns) {
            r->wake_at_ns = at_ns;
            sift_up(h, r->wake_index - 1, r);
        }
        return;
    }
    if (h->count == h->cap) {
        h->cap = h->cap ? 2 * h->cap : 16;
        h->at = mem_realloc(h->at, h->cap * sizeof(struct wk_runnable *));
    }
    r->wake_at_ns = at_ns;
    sift_up(h, h->count++, r);
}

void wk_heap_remove(struct wk_heap *h, struct wk_runnable *r)
{
    uint32_t at = r->wake_index - 1;
    struct wk_runnable *last;

    if (r->wake_index == 0)
        return;
    CHECK(at < h->count && h->at[at] == r);
    r->wake_index = 0;
    last = h->at[--h->count];
    if (last == r)
        return;
    if (at > 0 && last->wake_at_ns < h->at[(at - 1) / 2]->wake_at_ns)
        sift_up(h, at, last);
    else
        sift_down(h, at, last);
}
