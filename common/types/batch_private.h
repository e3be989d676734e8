/*
 * batch_private.h - what the files of common/types share about batches.
 *
 * A root batch owns its columns and buffers.  A derived one (slice, selection, projection) has a
 * header of its own and one reference to the batch it came from, so it costs the same for 2 and for
 * 60 columns.
 */
#ifndef TYPES_BATCH_PRIVATE_H
#define TYPES_BATCH_PRIVATE_H

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "common/types/batch.h"

struct batch_full {
    rask_batch pub;     /* first: the public pointer is this one */
    rask_batch *parent; /* one reference, but with a lender; NULL: a root */
    struct batch_lender *lender; /* of a derived batch: keeps the parent until it gets this batch back; else NULL */
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

/* The string buffers of a batch that is made of several ones, and which of them are worth keeping (text_list.c). */
struct text_buffer {
    rask_buffer *buffer;
    uint64_t referenced; /* bytes, by views of the result */
    uint32_t to;         /* of text_list.c: number in the final list, or what becomes of it */
};
struct text_list {
    struct text_buffer *list;
    uint32_t count;
    uint32_t *map;              /* of the input at hand: its number -> number in list */
    rask_buffer *const *map_of; /* the array that map was made for */
    struct text_buffer few[16];
    uint32_t few_map[16];
};
/* all: buffers of the inputs together, most: of one of them. */
void batch_texts_init(struct text_list *t, uint64_t all, uint32_t most);
void batch_texts_release(struct text_list *t);
/* The input whose cells come next; each is shown once. */
void batch_texts_map(struct text_list *t, const rask_batch *in);
/* Views of the input at hand that were copied to `cells`: their buffers get the numbers of the list. */
void batch_texts_renumber(struct text_list *t, void *cells, uint32_t count);
/* The batch over the cells, with the buffers that it keeps. */
rask_batch *batch_texts_finish(struct text_list *t, struct pool *pool, const rask_schema *schema, const struct cells *cells,
                             uint32_t rows);

/* batch_partition for up to FEW_PLACES_MAX places (part.c); cells may refer to string buffers. NULL: not on this processor. */
#define FEW_PLACES_MAX 4
rask_batch *batch_part_few(struct pool *pool, rask_batch *const *in, uint32_t in_count, const uint16_t *place, uint32_t places,
                           uint32_t rows, const uint64_t *hash, uint32_t *ret_end);

/* Three to five columns of cells of 8 bytes, which part_rows puts into the order of their places. */
#define PART_ROWS_COLUMNS_MIN 3
#define PART_ROWS_COLUMNS_MAX 5
struct part_rows {
    const uint64_t *from[PART_ROWS_COLUMNS_MAX];
    uint64_t *to[PART_ROWS_COLUMNS_MAX];
    uint32_t places;
    const uint16_t *count; /* of rows that go to each place; in all at most RASK_BATCH_ROWS_MAX */
    const uint32_t *at;    /* where the first of them goes */
};
void batch_part_rows(const struct part_rows *p, uint32_t columns, const uint16_t *place);
bool batch_rows_work(void); /* on this processor */

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
uint64_t batch_long_cells(const void *cells, uint32_t count);
#if defined(__x86_64__)
#define WIDE_VIEWS __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))) /* cpu_has_avx512 */
/* Of 16 cells. */
WIDE_VIEWS static inline __m512i view_lens_16(const void *cells)
{
    const __m512i first = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 0, 0, 0, 0, 0, 0, 0);
    const uint8_t *at = cells;
    __m512i low = _mm512_permutex2var_epi32(_mm512_loadu_si512(at), first, _mm512_loadu_si512(at + 64));
    __m512i high = _mm512_permutex2var_epi32(_mm512_loadu_si512(at + 128), first, _mm512_loadu_si512(at + 192));

    return _mm512_inserti64x4(low, _mm512_castsi512_si256(high), 1);
}
#endif

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
