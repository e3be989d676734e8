/*
 * rask/make.h - batches of one's own: for sources and batch functions (rask/operator.h).
 *
 *     rask_batch *b = rask_batch_new(out, n);
 *     for (uint32_t i = 0; i < n; i++)
 *         ((int64_t *)b->columns[0].data)[i] = next++;
 *     return rask_emit_batch(out, &b);
 *
 * A new batch may be written until it is emitted; any other batch is immutable and is shared: rask_batch_select
 * drops rows, rask_batch_derive gives other columns, and neither copies a cell.
 *
 * Ownership: functions that return a batch or a buffer return one reference, which rask_emit_batch takes or
 * rask_batch_unref gives back.  Arguments are borrowed.  Memory is that of the output's task: pooled, so that
 * making a batch allocates nothing once the job is warm.  Thread: inside callbacks of the subtask.
 * Errors: these functions do not fail; row and column numbers out of range stop the process with a message.
 *
 * Readable from C11 and C++17; includes libc alone.
 */
#ifndef RASK_MAKE_H
#define RASK_MAKE_H

#include <rask/batch.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/*
 * Of out's schema, with 1 .. RASK_BATCH_ROWS_MAX rows; row i is at position i.  Cells are undefined: write all of them.
 * A null is a bit cleared (rask_cell_null) and a cell of zeros.  b->rows may be lowered before the batch is emitted.
 */
rask_batch *rask_batch_new(rask_out *out, uint32_t rows);
/* A column of a new batch becomes zeros and empty strings at no cost, instead of being written: nobody reads it
 * (rask_wanted). */
void rask_batch_omit(rask_batch *b, int column);
rask_batch *rask_batch_ref(const rask_batch *b); /* one more reference, to hand on what was borrowed */
void rask_batch_unref(rask_batch *b);            /* NULL is legal */

/* The rows keep[0 .. count) of b, numbers in ascending order: a selection vector. */
rask_batch *rask_batch_select(const rask_batch *b, const uint16_t *keep, uint32_t count);
/* Rows from .. from + rows - 1 of b. */
rask_batch *rask_batch_slice(const rask_batch *b, uint32_t from, uint32_t rows);
#define RASK_NEW_COLUMN (-1)
/*
 * The rows of b under out's schema: column i is column columns[i] of b, or, for RASK_NEW_COLUMN, one to be written at
 * rask_position(result, row).  Without new columns it is a projection.
 */
rask_batch *rask_batch_derive(rask_out *out, const rask_batch *b, const int16_t *columns);
/*
 * The rows that the rask_span cells of a new ARRAY, MAP or ROW column refer to: as many as are asked for, to be written as
 * those of a new batch.  Once for each such column, before the batch is emitted.  Owned by b.
 */
rask_batch *rask_batch_inside(rask_batch *b, int column, uint32_t rows);
/* Event times of a new batch, by position: to be written. (Batches made from others keep theirs.) */
rask_ts *rask_batch_times(rask_batch *b);

/*
 * Memory for long strings: at least `bytes` at buffer->data.  A batch that refers to it holds it (rask_batch_hold), and
 * several batches may.  What a held buffer contains must not change any more; other parts of it may be filled.
 */
rask_buffer *rask_buffer_new(rask_out *out, uint64_t bytes);
void rask_buffer_unref(rask_buffer *buffer); /* NULL is legal */
#define RASK_BATCH_BUFFERS_MAX 16
#define RASK_NO_BUFFER UINT32_MAX
/* For a batch of rask_batch_new or rask_batch_derive: the number by which its views name the buffer; the one held last is
 * found again. RASK_NO_BUFFER: it holds RASK_BATCH_BUFFERS_MAX others; emit it and begin another. */
uint32_t rask_batch_hold(rask_batch *b, rask_buffer *buffer);

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RASK_WIDE_LOADS_ 0
#elif defined(__GNUC__) && defined(__x86_64__)
#define RASK_WIDE_LOADS_ 1
#else
#define RASK_WIDE_LOADS_ 0
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#undef RASK_WIDE_LOADS_
#define RASK_WIDE_LOADS_ 0
#endif
#endif

/* A cell for up to 12 bytes, which it holds itself, padded with zeros: equal strings are equal cells. */
static inline rask_view rask_view_short(const char *data, uint32_t len)
{
    uint64_t low = 0;
    uint32_t high = 0;
    rask_view v;

#if RASK_WIDE_LOADS_
    /* Lengths of words are not predictable: both halves are loaded whatever len is, where that stays on data's page, and
     * what is too much is masked. The compiler is not to know where data comes from: it would warn of bytes behind it. */
    if (len > 0 && ((uintptr_t)data & 4095) <= 4096 - 16) {
        const char *hidden = data;
        uint64_t part = ((UINT64_C(1) << (8 * (len & 7))) - 1), is_eight = UINT64_C(0) - (len >= 8);

        __asm__("" : "+r"(hidden));
        memcpy(&low, hidden, 8);
        memcpy(&high, hidden + 8, 4);
        low &= part | is_eight;
        high &= (uint32_t)(part & is_eight);
    } else
#endif
        if (len >= 8) {
        memcpy(&low, data, 8);
        memcpy(&high, data + len - 4, 4); /* overlaps the first eight; the excess is shifted out */
        high = len == 8 ? 0 : high >> (8 * (12 - len));
    } else if (len >= 4) {
        uint32_t a, z;

        memcpy(&a, data, 4);
        memcpy(&z, data + len - 4, 4);
        low = a | (uint64_t)z << (8 * (len - 4));
    } else if (len) {
        low = (uint8_t)data[0] | (uint64_t)(uint8_t)data[len / 2] << (8 * (len / 2)) |
              (uint64_t)(uint8_t)data[len - 1] << (8 * (len - 1));
    }
    v.len = len;
    memcpy(v.u.text, &low, 8);
    memcpy(v.u.text + 8, &high, 4);
    return v;
}

/* A cell for len bytes at `offset` of a held buffer with this number. */
static inline rask_view rask_view_at(const rask_buffer *buffer, uint32_t number, uint32_t offset, uint32_t len)
{
    const char *data = (const char *)buffer->data + offset;
    rask_view v;

    if (len <= 12)
        return rask_view_short(data, len);
    v.len = len;
    memcpy(v.u.ref.prefix, data, 4);
    v.u.ref.buffer = number;
    v.u.ref.offset = offset;
    return v;
}

/*
 * As rask_next_names and rask_next_words, as cells: the text lies in a buffer that the cells' batch holds by this number.  Up
 * to `room` of them; returns how many, 0: no more. *text then begins behind the last one.
 */
uint32_t rask_next_name_cells(rask_str *text, const rask_buffer *buffer, uint32_t number, rask_view *cells, uint32_t room);
uint32_t rask_next_word_cells(rask_str *text, const rask_buffer *buffer, uint32_t number, rask_view *cells, uint32_t room);

/* Row i of a new batch is null in a nullable column: the bit alone; the cell is to be zeros. */
static inline void rask_cell_null(rask_column *column, uint32_t position)
{
    column->validity[position >> 6] &= ~(UINT64_C(1) << (position & 63));
}

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
