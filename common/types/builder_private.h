/* builder_private.h - what builder.c (rows) and builder_nested.c (rows inside cells) share. */
#ifndef TYPES_BUILDER_PRIVATE_H
#define TYPES_BUILDER_PRIVATE_H

#include "common/types/batch_private.h"

enum {
    BUFFERS_SHARED_MAX = 16, /* a batch pins no more of others' buffers: it copies then */
    NO_COLUMN = -1,
};

/* A row that was begun and not ended: it moves from a taken batch to the next one. */
struct open_row {
    uint8_t cell[RASK_COLUMNS_MAX][16];
    uint64_t nulls;
};

struct builder {
    rask_out out; /* first: the public pointer is this one */
    struct pool *pool;
    struct out_hooks hooks;
    void *arg;
    uint32_t extras;
    uint32_t open_at; /* the row that was begun; == out.rows: it was not ended */
    bool has_changes; /* a row of the batch is not an insertion */
    bool has_time;    /* a row of the batch has an event time: else the batch goes without that column */
    uint64_t views;   /* bit per STRING or BYTES column */
    uint64_t nested;  /* ARRAY, MAP, ROW */
    uint64_t nullable;
    uint8_t width[RASK_COLUMNS_MAX];
    /* cells: columns[] point at position `start` of arrays of `held` positions */
    struct cells cells;
    uint32_t start, held;
    uint32_t room;   /* held - start: rows that fit */
    uint32_t ready;  /* out.ready_rows while no row is begun */
    uint32_t recent; /* decaying maximum of rows per batch */
    /* strings longer than 12 */
    rask_buffer *text; /* the one being filled; one reference is the builder's */
    uint32_t text_at, text_number, text_next;
    rask_buffer **buffers; /* of the batch being filled, one reference each */
    uint32_t buffer_count, buffer_room;
    /* what is inside ARRAY, MAP and ROW cells (builder_nested.c) */
    bool deep;               /* has such columns, or builds what is inside one */
    struct builder *root;    /* of the rows themselves; of those: itself */
    struct builder **inside; /* by column: the builder of its child; NULL: nothing is nested */
    struct builder *wraps;   /* each row of this one is an element of that one: ARRAY of ROW */
    uint32_t row_bytes;      /* of a row's cells */
    uint32_t mark;           /* rows that belong to a finished row above */
    /* between the two halves of out_take: what was there, to be carried into the next batch */
    uint32_t taken, taken_mark;
    struct open_row *carried; /* owned; NULL: no row was open */
    /* in the root: the row that is counted, and string_bytes where it begins */
    uint32_t counted_row;
    uint64_t counted_from;
    /* why the row is refused; in the root */
    const struct builder *bad_in;
    int bad_column;
    const char *bad_text;
    char long_text[96]; /* what bad_text may point to */
};

static inline struct builder *builder_of(rask_out *out)
{
    return (struct builder *)out;
}

/* builder.c */
rask_out *out_builder_new(struct pool *pool, const rask_schema *schema, uint32_t extras);
void out_builder_refuse(struct builder *b, int column, const char *why); /* why: static, or the root's long_text */
int out_builder_row_refused(struct builder *b);
/* Whether the row that is being filled may have that many bytes more: strings over 12 bytes, cells inside it. */
bool out_builder_row_has_room(struct builder *root, uint64_t bytes);
void out_builder_grow(struct builder *b, uint32_t rows); /* room for so many more rows */
void out_builder_view(struct builder *b, const rask_batch *from, int column, const rask_view *src,
                  rask_view *to); /* shares or copies a string of another batch */
/* The first half of taking: all rows, finished and not; what is inside, too. */
rask_batch *out_builder_take(struct builder *b);
void out_builder_open_row_restore(struct builder *b, const rask_batch *taken);

/* builder_nested.c */
void out_nested_init(struct builder *b);
void out_nested_free(struct builder *b);
/* The row at out.rows is complete, but for the cells that hold rows. */
void out_nested_close(struct builder *b);
/* Counts the row at out.rows of a builder that is not the root. */
int out_nested_row_end(struct builder *b);
/* Whether something was emitted for the cells of the row at hand; drop: forgets it. */
bool out_nested_pending(const struct builder *b);
void out_nested_drop(struct builder *b);
/* Copies rows of a child batch behind those of b. */
void out_nested_append(struct builder *b, const rask_batch *from, uint32_t first, uint32_t count);
/* The second half of taking: rows that belong to no finished row above, and begun ones, go on. */
void out_nested_carry(struct builder *b, const rask_batch *taken);

#endif
