/*
 * text_list.c - the string buffers of a batch that is made of several ones: see batch_private.h.
 *
 * Views keep their bytes where they are; their buffer number is changed to the place in the result's list.  What little is
 * used of a buffer is copied, so that few rows do not hold much memory.
 */
#include "common/base/check.h"
#include "common/base/cpu.h"
#include "common/base/mem.h"
#include "common/types/batch_private.h"

enum { BUFFER_COPY = UINT32_MAX, BUFFER_DROP = UINT32_MAX - 1 };

#if defined(__x86_64__)
/* Of the first of them, 16 at a time; returns how many are done. */
WIDE_VIEWS static uint32_t refer_16(const uint8_t *cells, uint32_t count, uint64_t *ret_bits)
{
    uint32_t i = 0;

    for (; i + 16 <= count; i += 16)
        *ret_bits |= (uint64_t)_mm512_cmpgt_epu32_mask(view_lens_16(cells + 16 * (size_t)i), _mm512_set1_epi32(12)) << i;
    return i;
}
#endif

uint64_t batch_long_cells(const void *cells, uint32_t count)
{
    const view_words *views = cells;
    uint64_t bits = 0;
    uint32_t i = 0;

#if defined(__x86_64__)
    if (cpu_has_avx512())
        i = refer_16(cells, count, &bits);
#endif
    for (; i < count; i++)
        bits |= (uint64_t)(view_len(views[i]) > 12) << i;
    return bits;
}

void batch_texts_init(struct text_list *t, uint64_t all, uint32_t most)
{
    t->count = 0;
    t->map_of = NULL;
    t->list = all <= ARRAY_LEN(t->few) ? t->few : mem_alloc_array(all, sizeof(*t->list));
    t->map = most <= ARRAY_LEN(t->few_map) ? t->few_map : mem_alloc_array(most, sizeof(*t->map));
}

void batch_texts_release(struct text_list *t)
{
    if (t->list != t->few)
        mem_free(t->list);
    if (t->map != t->few_map)
        mem_free(t->map);
}

/* Neighbours in a stream share buffers: looking at the last few finds nearly all of them. */
void batch_texts_map(struct text_list *t, const rask_batch *in)
{
    if (in->buffer_count == 0 || t->map_of == in->buffers)
        return;
    t->map_of = in->buffers;
    for (uint32_t i = 0; i < in->buffer_count; i++) {
        uint32_t at = t->count, low = t->count > 8 ? t->count - 8 : 0;

        while (at > low && t->list[at - 1].buffer != in->buffers[i])
            at--;
        if (at == low) {
            t->list[t->count] = (struct text_buffer){in->buffers[i], 0, 0};
            at = ++t->count;
        }
        t->map[i] = at - 1;
    }
}

void batch_texts_renumber(struct text_list *t, void *cells, uint32_t count)
{
    view_words *views = cells;

    for (uint32_t i = 0; i < count; i += 64)
        for (uint64_t bits = batch_long_cells(views + i, MIN(count - i, 64u)); bits; bits &= bits - 1) {
            view_words *v = &views[i + (uint32_t)__builtin_ctzll(bits)];
            uint32_t n = t->map[view_buffer(*v)];

            t->list[n].referenced += view_len(*v);
            *v = view_at(*v, n, view_offset(*v));
        }
}

/* Decides what becomes of each buffer. Returns whether views must be changed once more. */
static bool decide(struct text_list *t, uint32_t *ret_kept, uint64_t *ret_copied)
{
    uint32_t kept = 0;
    uint64_t copied = 0;

    for (uint32_t i = 0; i < t->count; i++) {
        struct text_buffer *b = &t->list[i];

        if (b->referenced == 0)
            b->to = BUFFER_DROP;
        else if (b->referenced < b->buffer->capacity / 4)
            b->to = BUFFER_COPY;
        else
            b->to = kept++;
        copied += b->to == BUFFER_COPY ? b->referenced : 0;
    }
    *ret_kept = kept;
    *ret_copied = copied;
    return kept != t->count;
}

/* Moves the bytes of sparsely used buffers into one new buffer, numbered `fresh_number`. */
static void compact_views(const struct text_list *t, void *column, uint32_t rows,
                          rask_buffer *fresh, uint32_t fresh_number)
{
    view_words *views = column;

    for (uint32_t i = 0; i < rows; i += 64)
        for (uint64_t bits = batch_long_cells(views + i, MIN(rows - i, 64u)); bits; bits &= bits - 1) {
            view_words *v = &views[i + (uint32_t)__builtin_ctzll(bits)];
            const struct text_buffer *b = &t->list[view_buffer(*v)];

            if (b->to != BUFFER_COPY) {
                *v = view_at(*v, b->to, view_offset(*v));
                continue;
            }
            text_copy(fresh->data + fresh->used, b->buffer->data + view_offset(*v), view_len(*v));
            *v = view_at(*v, fresh_number, fresh->used);
            fresh->used += view_len(*v);
        }
}

rask_batch *batch_texts_finish(struct text_list *t, struct pool *pool, const rask_schema *schema, const struct cells *cells,
                               uint32_t rows)
{
    uint32_t kept;
    uint64_t copied;
    bool again = decide(t, &kept, &copied);
    rask_batch *b = batch_over_cells(pool, schema, cells, kept + (copied != 0), rows);

    for (uint32_t i = 0; i < t->count; i++)
        if (t->list[i].to < kept)
            b->buffers[t->list[i].to] = buffer_ref(t->list[i].buffer);
    if (copied) {
        CHECK(copied < UINT32_MAX);
        b->buffers[kept] = pool_get(pool, copied);
    }
    for (uint32_t c = 0; again && c < schema->columns; c++)
        if (schema_is_view(&schema->fields[c]))
            compact_views(t, b->columns[c].data, rows, copied ? b->buffers[kept] : NULL, kept);
    return b;
}
