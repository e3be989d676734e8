/* lines.c - see lines.h. */
#include "connectors/lines.h"

#include "common/base/check.h"

enum {
    BLOCK = 256 * 1024 - 64, /* with its header: a whole size class; small enough to stay in the L2 cache */
    ROOM_MIN = 4096,
    SLACK = 16, /* bytes behind the last one that a short line's copy may read */
    TAKE_MAX = 256 * 1024,
};

void lines_init(struct lines *l, struct pool *pool, uint64_t offset)
{
    *l = (struct lines){.pool = pool, .offset = offset};
}

void lines_release(struct lines *l)
{
    buffer_unref(l->block);
    l->block = NULL;
    l->begin = l->end = 0;
}

static bool block_is_ours(const struct lines *l)
{
    return l->block && __atomic_load_n(&l->block->refs, __ATOMIC_ACQUIRE) == 1;
}

static uint32_t block_left(const struct lines *l)
{
    return l->block ? (uint32_t)(l->block->capacity - SLACK) - l->end : 0;
}

/* To the front of a block: this one if nobody else reads it, else another; a long line gets one of twice its size. */
static void block_next(struct lines *l)
{
    uint32_t held = lines_held(l);
    rask_buffer *to = l->block;

    if (!block_is_ours(l) || l->block->capacity / 2 < held) {
        to = pool_get(l->pool, held < BLOCK / 2 ? BLOCK : (uint64_t)held * 2 + ROOM_MIN);
        to->used = (uint32_t)to->capacity; /* as far as readers are concerned */
    }
    if (held)
        memmove(to->data, l->block->data + l->begin, held);
    if (to != l->block)
        buffer_unref(l->block);
    l->block = to;
    l->begin = 0;
    l->end = held;
}

uint8_t *lines_room(struct lines *l, uint32_t *ret_len)
{
    if (lines_held(l) == 0 && block_is_ours(l))
        l->begin = l->end = 0;
    if (block_left(l) < ROOM_MIN)
        block_next(l);
    CHECK(block_left(l) >= ROOM_MIN);
    *ret_len = block_left(l);
    return l->block->data + l->end;
}

void lines_added(struct lines *l, uint32_t len)
{
    CHECK(len <= block_left(l));
    l->end += len;
}

void lines_drop(struct lines *l, uint32_t len)
{
    CHECK(len <= lines_held(l));
    l->begin += len;
    l->offset += len;
    l->searched = 0;
}

bool lines_skip(struct lines *l)
{
    const char *data = lines_held(l) ? lines_data(l) : NULL;
    const char *nl = data ? memchr(data, '\n', lines_held(l)) : NULL;

    lines_drop(l, nl ? (uint32_t)(nl - data) + 1 : lines_held(l));
    return nl != NULL;
}

/* data has SLACK readable bytes behind len. */
static inline bool view_set(rask_view *view, const uint8_t *base, uint32_t offset, uint32_t len)
{
    view->len = len;
    if (len > 12) {
        memcpy(view->u.ref.prefix, base + offset, 4);
        view->u.ref.buffer = 0;
        view->u.ref.offset = offset;
        return true;
    }
    uint64_t low, high;

    memcpy(&low, base + offset, 8);
    memcpy(&high, base + offset + 8, 8);
    low = len >= 8 ? low : low & ((UINT64_C(1) << (8 * len)) - 1);
    high = len > 8 ? high & ((UINT64_C(1) << (8 * (len - 8))) - 1) : 0;
    memcpy(view->u.text, &low, 8);
    memcpy(view->u.text + 8, &high, 4);
    return false;
}

rask_batch *lines_take(struct lines *l, const rask_schema *schema, uint64_t limit, bool last)
{
    uint32_t held = lines_held(l), rows = 0, most = MIN(held, RASK_BATCH_ROWS_MAX), at = l->begin;
    const uint32_t longest = pool_row_max(l->pool);
    bool refers = false;
    rask_batch *b = NULL;
    rask_view *views = NULL;

    l->too_long = false;
    while (rows < most && at - l->begin < TAKE_MAX && l->offset + (at - l->begin) < limit && at < l->end) {
        const uint8_t *base = l->block->data;
        uint32_t from = at + (rows == 0 ? l->searched : 0);
        const uint8_t *nl = memchr(base + from, '\n', l->end - from);
        uint32_t stop = nl ? (uint32_t)(nl - base) : l->end;
        uint32_t len = nl && stop > at && base[stop - 1] == '\r' ? stop - 1 - at : stop - at;

        if (!nl && !last) {
            l->searched = rows == 0 ? len : 0;
            l->too_long = len > longest + 1; /* its last byte may be the \r of its end */
            break;
        }
        l->too_long = len > longest;
        if (l->too_long)
            break;
        if (!b) {
            b = batch_new_with_buffers(l->pool, schema, most, 0, 1);
            views = b->columns[0].data;
        }
        refers |= view_set(&views[rows++], base, at, len);
        at = nl ? stop + 1 : stop;
    }
    if (!b)
        return NULL;
    b->rows = rows;
    if (refers)
        b->buffers[0] = buffer_ref(l->block);
    else
        b->buffer_count = 0;
    lines_drop(l, at - l->begin);
    return b;
}
