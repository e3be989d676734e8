/*
 * batch_private.h - what the files of common/types share about batches.
 *
 * A root batch owns its columns and buffers.  A derived one (slice, selection, projection) has a
 * header of its own and one reference to the batch it came from, so it costs the same for 2 and for
 * 60 columns.
 */
#ifndef TYPES_BATCH_PRIVATE_H
#define TYPES_BATCH_PRIVATE_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "common/types/batch.h"

struct batch_full {
    rask_batch pub;     /* first: the public pointer is this one */
    rask_batch *parent; /* one reference; NULL: a root */
    rask_buffer *extra; /* of a derived batch: holds its own event_time or hash; else NULL */
    uint32_t size;      /* of this allocation, arrays included */
    uint32_t own_from;  /* of a derived batch: buffers from here on are its own references */
    uint32_t room;      /* buffers that the header has place for; 0: none can be added */
};

/* The arrays of a batch in one buffer. Filled by cells_new; owner has one reference. */
struct cells {
    rask_buffer *owner;
    rask_column columns[RASK_COLUMNS_MAX];
    rask_column event_time, kind, hash;
};

/* Columns whose bit is set in nullable get a bitmap that says "not null" everywhere; cells are
 * undefined. */
void cells_new(struct pool *pool, const rask_schema *schema, uint32_t positions, uint32_t extras,
               uint64_t nullable, struct cells *ret);
uint64_t schema_nullable_mask(const rask_schema *schema);
uint64_t schema_view_mask(const rask_schema *schema);

/* A root header with room for the arrays; columns and buffers are set to them, all else is zero. */
rask_batch *batch_header(struct pool *pool, const rask_schema *schema, uint32_t buffer_count);
/* A root over cells, whose reference is taken. The caller fills buffers. */
rask_batch *batch_over_cells(struct pool *pool, const rask_schema *schema,
                             const struct cells *cells, uint32_t buffer_count, uint32_t rows);
/* The Arrow format of a column; DECIMAL writes its numbers into text. */
const char *batch_arrow_format(const rask_field *f, char text[16]);
/* What the output's owner answers to rows that are refused. */
int out_refuse(rask_out *out, const char *text);
/* Adds one reference for each column of the batch to the buffer that holds them all. */
void batch_hold(rask_batch *b, rask_buffer *owner);

/* Rows of child batches, one after the other: what cells refer to. */
struct run {
    rask_batch *from; /* borrowed */
    rask_span span;   /* of physical positions */
};
struct runs {
    struct run *list;
    uint32_t count, room;
    uint64_t rows;
    struct run few[16];
};
void batch_runs_init(struct runs *r);
void batch_runs_release(struct runs *r);
/* Joined to the last one, if it goes on there; of no rows: nothing. */
void batch_runs_add(struct runs *r, rask_batch *from, rask_span span);
/* What an ARRAY, MAP or ROW column of rows [from_row, from_row + rows) refers to. */
void batch_runs_add_cells(struct runs *r, const rask_batch *b, uint32_t column, uint32_t from_row,
                    uint32_t rows);
/* The runs as one batch, which can be a child; strings as in batch_gather. */
rask_batch *batch_concat(struct pool *pool, const rask_schema *schema, const struct runs *runs);

/* batch_partition for up to FEW_PLACES_MAX places of rows with plain cells (part.c). NULL: not on this processor. */
#define FEW_PLACES_MAX 4
rask_batch *batch_part_few(struct pool *pool, rask_batch *const *in, uint32_t in_count, const uint16_t *place, uint32_t places,
                           uint32_t rows, const uint64_t *hash, uint32_t *ret_end);

/* A view as two words, little-endian: length and prefix; buffer and offset. Parts of a view written
 * one by one and then copied whole would stall the copy. */
typedef struct {
    uint64_t low, high;
} __attribute__((may_alias, aligned(4), packed)) view_words;

static inline uint32_t view_len(view_words v)
{
    return (uint32_t)v.low;
}
static inline uint32_t view_buffer(view_words v)
{
    return (uint32_t)v.high;
}
static inline uint32_t view_offset(view_words v)
{
    return (uint32_t)(v.high >> 32);
}
/* Of up to 64 cells: a bit for each that refers to a buffer. Few do, and which ones no branch can foresee. */
static inline uint64_t views_that_refer(const void *cells, uint32_t count)
{
    uint64_t bits = 0;
    uint32_t i = 0;

#ifdef __SSE2__
    const __m128i *cell = (const __m128i *)cells, most = _mm_set1_epi32(12);

    for (; i + 4 <= count; i += 4) {
        __m128i ab = _mm_unpacklo_epi32(_mm_loadu_si128(cell + i), _mm_loadu_si128(cell + i + 1));
        __m128i cd = _mm_unpacklo_epi32(_mm_loadu_si128(cell + i + 2), _mm_loadu_si128(cell + i + 3));
        __m128i is_long = _mm_cmpgt_epi32(_mm_unpacklo_epi64(ab, cd), most);

        bits |= (uint64_t)(uint32_t)_mm_movemask_ps(_mm_castsi128_ps(is_long)) << i;
    }
#endif
    for (; i < count; i++)
        bits |= (uint64_t)(view_len(((const view_words *)cells)[i]) > 12) << i;
    return bits;
}

static inline view_words view_at(view_words v, uint32_t buffer, uint32_t offset)
{
    v.high = (uint64_t)offset << 32 | buffer;
    return v;
}

/* memcpy of more than 12 bytes, most often of few: up to 32 without a call. */
static inline void text_copy(uint8_t *to, const void *from, uint32_t len)
{
    const uint8_t *f = from;

    if (len > 32) {
        memcpy(to, f, len);
    } else if (len >= 16) {
        memcpy(to, f, 16);
        memcpy(to + len - 16, f + len - 16, 16);
    } else {
        memcpy(to, f, 8);
        memcpy(to + len - 8, f + len - 8, 8);
    }
}

static inline void buffer_ref_many(rask_buffer *b, uint32_t n)
{
    __atomic_add_fetch(&b->refs, n, __ATOMIC_RELAXED);
}

#endif
