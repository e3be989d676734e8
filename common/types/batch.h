/*
 * batch.h - making, sharing and moving batches (layout: rask/batch.h).
 * Functions that return a batch return one reference, owned by the caller.
 */
#ifndef TYPES_BATCH_H
#define TYPES_BATCH_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/types/buffer.h"
#include "common/types/schema.h"

/* Batch-wide extra columns wanted from batch_new and batch_gather. */
enum { BATCH_EVENT_TIME = 1, BATCH_KIND = 2, BATCH_HASH = 4 };
#define BATCH_POSITIONS_MAX 65536 /* physical rows: a selection counts them in 16 bits */

/*
 * rows = positions; nullable columns have a bitmap without a null. Cells are undefined: write each
 * one, and zeros where a STRING, BYTES, ARRAY, MAP or ROW cell is null. An ARRAY, MAP or ROW column
 * gets its child from the caller: one reference.
 */

rask_batch *batch_new(struct pool *pool, const rask_schema *schema, uint32_t positions,
                      uint32_t extras);
/* With room for buffers that views refer to: the caller sets each entry to a reference, or lowers
 * buffer_count. */
rask_batch *batch_new_with_buffers(struct pool *pool, const rask_schema *schema, uint32_t positions,
                                   uint32_t extras, uint32_t buffer_count);
/* Without buffers, and with room for `room` of them: batch_add_buffer. */
rask_batch *batch_new_with_room(struct pool *pool, const rask_schema *schema, uint32_t positions,
                                uint32_t room);
static inline rask_batch *batch_ref(rask_batch *b)
{
    __atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
    return b;
}
void batch_unref(rask_batch *b); /* NULL is legal */

/* New headers over the same columns. Rows are counted as readers see them (through sel, first). */
rask_batch *batch_slice(rask_batch *b, uint32_t from_row, uint32_t rows);
/*
 * The same of a batch that somebody else keeps until the slice is gone, who is told then, on any thread.  A reference that is
 * there already passes to the slice so, and none is counted on a line that all slices of the batch share.
 */
struct batch_lender {
    void (*back)(struct batch_lender *lender);
};
rask_batch *batch_slice_lent(rask_batch *b, uint32_t from_row, uint32_t rows, struct batch_lender *lender);
/* keep[i] are row numbers of b, ascending; copied. Slices, selections of all rows are b itself. */
rask_batch *batch_select(rask_batch *b, const uint16_t *keep, uint32_t count);
/* The same columns under an equal schema (or new names). */
rask_batch *batch_with_schema(rask_batch *b, const rask_schema *schema);
/* A NOT NULL TIMESTAMP column of b becomes its event time; shared. */
rask_batch *batch_with_event_time(rask_batch *b, uint32_t column);
/* A projection with new columns: result column i is columns[i] of b, or, where that is negative, an array to be written
 * at the positions of b's rows; new nullable columns have no null yet. Views may refer to buffers of b, and to those
 * added (batch_add_buffer). */
rask_batch *batch_derive(struct pool *pool, rask_batch *b, const rask_schema *schema,
                         const int16_t *columns);
/* Of a batch made with room for buffers. Takes a reference; the number for views, or RASK_NO_BUFFER: no room. */
uint32_t batch_add_buffer(rask_batch *b, rask_buffer *buffer);
/* hash[i] is of row i of b; copied. batch_gather carries hashes along when all inputs have them. */
rask_batch *batch_with_hash(rask_batch *b, const uint64_t *hash);

/*
 * Gather: rows of several batches into one new batch in any order. position[k] = place in the
 * result of the k-th row, rows counted over the inputs in sequence. Strings are shared, and copied
 * together when less than a quarter of a buffer is referenced; so are the rows inside cells, where
 * all inputs have the same. (Exchange: one pass per column.)
 */
rask_batch *batch_gather(struct pool *pool, rask_batch *const *in, uint32_t in_count,
                         const uint16_t *position, uint32_t rows);
/* hash[k] is of the k-th row; NULL: the inputs' hashes are carried along when all of them have some. */
rask_batch *batch_gather_hashed(struct pool *pool, rask_batch *const *in, uint32_t in_count,
                                const uint16_t *position, uint32_t rows, const uint64_t *hash);
/*
 * The same for rows that go to some places, in the order of the places and there in their own: place[k] < places is the k-th
 * row's, ret_end[p] the first row behind place p.  NULL: not in this form (places, rows, selections, nulls, strings in buffers
 * for many places, event times, kinds, narrow columns, the processor), which batch_gather_hashed is for; nothing has happened.
 */
#define BATCH_PLACES_MAX 256
rask_batch *batch_partition(struct pool *pool, rask_batch *const *in, uint32_t in_count, const uint16_t *place, uint32_t places,
                            uint32_t rows, const uint64_t *hash, uint32_t *ret_end);
/*
 * Rows of several batches, one after the other, as one batch; strings as above. Rows are counted as readers see them; no part
 * may be empty. When all parts have hashes the result has them too.
 */
struct batch_part {
    rask_batch *from; /* borrowed; of equal schemas */
    uint32_t first, rows;
};
#define BATCH_PARTS_MAX 256
rask_batch *batch_join(struct pool *pool, const struct batch_part *parts, uint32_t count);
/* Estimate of the payload of all rows, strings included. */
uint64_t batch_row_bytes(const rask_batch *b);

/* Compact encoding of rows [from, from+rows) for a frame or a file: fixed columns, validity, views
 * with their bytes, extras. */
void batch_encode(const rask_batch *b, uint32_t from_row, uint32_t rows, struct bytes *out);
/*
 * The same bytes without copying columns: pieces that follow each other, of which those with data NULL lie in `out`, from `at`
 * on.  The others lie in the batch.  Returns how many; 0 when the batch has to be encoded by batch_encode (a selection, long
 * strings, rows inside cells).
 */
struct batch_piece {
    const void *data;
    size_t at, len;
};
#define BATCH_PIECES_MAX (3 * RASK_COLUMNS_MAX + 8)
uint32_t batch_encode_pieces(const rask_batch *b, uint32_t from_row, uint32_t rows, struct bytes *out,
                             struct batch_piece pieces[BATCH_PIECES_MAX]);
/* Decodes in place: columns and strings point into payload, which owner keeps alive (one reference
 * is taken). Every offset is checked; ERR_CORRUPT with a sentence. Alignment of payload: 8. */
int batch_decode(struct pool *pool, const rask_schema *schema, const uint8_t *payload, size_t len,
                 rask_buffer *owner, rask_batch **ret, struct err *err) MUST_CHECK;

/*
 * One cell as text: strings as they are, BYTES in hex, DATE 2026-01-31, TIME 12:00:00, TIMESTAMP
 * 2026-01-31 12:00:00.000, ARRAY [1, null], MAP {a=1, b=2}, ROW (1,a); nothing for a null.
 */
void batch_format_cell(const rask_batch *b, uint32_t column, uint32_t position, struct bytes *out);
/* One row as text for messages: {word="the", n=3}, at most max bytes. */
void batch_format_row(const rask_batch *b, uint32_t row, size_t max, struct bytes *out);

/* ---- rask_out: the builder behind emit ---- */
struct out_hooks {
    /* The batch being filled reached a limit: called by rask_out_end. Takes it by out_take. */
    int (*full)(rask_out *out, void *arg);
    /* A whole batch is handed on (rask_emit_batch); taken. `full` has taken the rows before it. */
    int (*batch)(rask_out *out, void *arg, rask_batch **batch);
    /* A row was refused: NULL in a NOT NULL column, wrong schema. Returns the error code for the
     * callback. */
    int (*refused)(rask_out *out, void *arg, const char *text);
};
rask_out *out_new(struct pool *pool, const rask_schema *schema, uint32_t extras,
                  const struct out_hooks *hooks, void *arg);
void out_free(rask_out *out);
/* The finished rows as a batch, or NULL if there are none; the builder starts anew. A row begun and
 * not ended is kept. */
rask_batch *out_take(rask_out *out);
void *out_arg(rask_out *out);
struct pool *out_pool(rask_out *out); /* borrowed: where batches for rask_emit_batch come from */

#endif
