/* ckpt_cover.c - intervals of the hash space with their newest image. Thread: any, one at a time per object. */
#include "common/ckpt/ckpt_cover.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

void ckpt_cover_release(struct ckpt_cover *c)
{
    mem_free(c->spans);
    memset(c, 0, sizeof(*c));
}

static void reserve(struct ckpt_cover *c, uint32_t more)
{
    if (c->count + more <= c->room)
        return;
    c->room = MAX(c->room * 2, c->count + more + 8);
    c->spans = mem_realloc(c->spans, c->room * sizeof(*c->spans));
}

static int newest_first(const void *a, const void *b)
{
    const struct ckpt_span *x = a, *y = b;

    if (x->to != y->to)
        return x->to > y->to ? -1 : 1;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return x->last < y->last ? -1 : x->last > y->last;
}

/* The first span that ends at or behind a place. */
static uint32_t seek(const struct ckpt_cover *c, uint32_t hash)
{
    uint32_t low = 0, high = c->count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (c->spans[mid].last < hash)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void ckpt_cover_fill(struct ckpt_cover *c, uint32_t first, uint32_t last, uint64_t to)
{
    uint32_t at = seek(c, first);
    uint64_t begin = first;

    CHECK(first <= last);
    while (begin <= last) {
        uint32_t end = last;

        if (at < c->count && c->spans[at].first <= begin) { /* not bare here */
            begin = (uint64_t)c->spans[at].last + 1;
            at++;
            continue;
        }
        if (at < c->count && c->spans[at].first <= last)
            end = c->spans[at].first - 1;
        if (at > 0 && c->spans[at - 1].to == to && (uint64_t)c->spans[at - 1].last + 1 == begin) {
            c->spans[at - 1].last = end;
        } else {
            reserve(c, 1);
            memmove(c->spans + at + 1, c->spans + at, (c->count - at) * sizeof(*c->spans));
            c->spans[at] = (struct ckpt_span){(uint32_t)begin, end, to};
            c->count++;
            at++;
        }
        begin = (uint64_t)end + 1;
    }
}

void ckpt_cover_build(struct ckpt_cover *c, struct ckpt_span *spans, uint32_t count)
{
    CHECK(c->count == 0);
    qsort(spans, count, sizeof(*spans), newest_first);
    for (uint32_t i = 0; i < count; i++)
        ckpt_cover_fill(c, spans[i].first, spans[i].last, spans[i].to);
}

uint64_t ckpt_cover_at(const struct ckpt_cover *c, uint32_t hash)
{
    uint32_t at = seek(c, hash);

    return at < c->count && c->spans[at].first <= hash ? c->spans[at].to : 0;
}

bool ckpt_cover_hides(const struct ckpt_cover *c, uint32_t first, uint32_t last, uint64_t to)
{
    uint64_t begin = first;

    for (uint32_t at = seek(c, first); begin <= last; at++) {
        if (at == c->count || c->spans[at].first > begin || c->spans[at].to <= to)
            return false;
        begin = (uint64_t)c->spans[at].last + 1;
    }
    return true;
}
