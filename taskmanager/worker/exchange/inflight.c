/* inflight.c - see inflight.h. */
#include "taskmanager/worker/exchange/inflight.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/mem.h"

void wk_inflight_add(struct wk_inflight *f, uint32_t edge, uint32_t from, uint32_t to, enum wk_inflight_side side,
                     rask_batch *rows)
{
    if (f->count == f->room) {
        f->room = MAX(f->room * 2, 64u);
        f->items = mem_realloc(f->items, f->room * sizeof(*f->items));
    }
    f->items[f->count] =
        (struct wk_inflight_rows){.edge = edge, .from = from, .to = to, .side = side, .number = f->count, .rows = rows};
    f->count++;
    f->bytes += batch_row_bytes(rows);
}

static int before(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

static int compare(const void *a, const void *b)
{
    const struct wk_inflight_rows *x = a, *y = b;
    int order = before(x->edge, y->edge);

    order = order ? order : before(x->from, y->from);
    order = order ? order : before(x->to, y->to);
    order = order ? order : before(x->side, y->side);
    return order ? order : before(x->number, y->number);
}

void wk_inflight_sort(struct wk_inflight *f)
{
    if (f->count > 1)
        qsort(f->items, f->count, sizeof(*f->items), compare);
}

void wk_inflight_clear(struct wk_inflight *f)
{
    for (uint32_t i = 0; i < f->count; i++)
        batch_unref(f->items[i].rows);
    mem_free(f->items);
    *f = (struct wk_inflight){0};
}
