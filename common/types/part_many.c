/*
 * part_many.c - rows put into the order of their places: batch_partition of batch.h, for plain cells; few places are part.c's.
 *
 * Many places are many lines of the cache that are written in turn, and that no prefetcher foresees; mostly another core had
 * them last, which has read the block before.  So the rows are worked on in chunks in which each place gets about a line of a
 * column: where each row goes is noted for a chunk, then cells are moved column by column, and meanwhile the lines that the
 * next column needs are asked for, one for each place.
 */
#include "common/base/check.h"
#include "common/base/cpu.h"
#include "common/types/batch_private.h"

enum {
    CHUNK_ROWS_MIN = 512,
    CHUNK_ROWS_MAX = 2048,
    LINE_BYTES = 64,
    LANES = 4,
    FETCHED_PLACES_MIN = 16, /* fewer are foreseen by the processor */
};

typedef uint32_t __attribute__((may_alias)) cell_4;
typedef uint64_t __attribute__((may_alias)) cell_8;
typedef struct {
    uint64_t a, b;
} __attribute__((may_alias, aligned(4), packed)) cell_16;

struct part_column {
    const uint8_t *from; /* of the chunk */
    uint8_t *to;
    uint32_t width;
};
struct parting {
    uint32_t places, columns;
    struct part_column column[RASK_COLUMNS_MAX + 1];
    uint32_t at[BATCH_PLACES_MAX];     /* where the next row of each place goes */
    uint32_t before[BATCH_PLACES_MAX]; /* and where that of this chunk did */
    uint16_t position[CHUNK_ROWS_MAX]; /* of the rows of a chunk */
};

static bool cells_are_plain(const rask_batch *b)
{
    if (b->sel || b->event_time.data || b->kind.data)
        return false;
    for (uint32_t c = 0; c < b->schema->columns; c++) {
        uint32_t width = schema_width(&b->schema->fields[c]);

        if (b->columns[c].validity || schema_is_nested(&b->schema->fields[c]) || (width != 4 && width != 8 && width != 16))
            return false;
    }
    return true;
}

/* In lanes: a counter that was just raised is slow to raise again. */
static void count(const uint16_t *place, uint32_t rows, uint32_t places, uint32_t *ret_end)
{
    uint32_t counts[LANES][BATCH_PLACES_MAX], i = 0;

    for (uint32_t lane = 0; lane < LANES; lane++)
        memset(counts[lane], 0, places * sizeof(counts[lane][0]));
    for (; i + LANES <= rows; i += LANES)
        for (uint32_t lane = 0; lane < LANES; lane++)
            counts[lane][place[i + lane]]++;
    for (; i < rows; i++)
        counts[0][place[i]]++;
    for (uint32_t p = 0; p < places; p++)
        ret_end[p] = (p > 0 ? ret_end[p - 1] : 0) + counts[0][p] + counts[1][p] + counts[2][p] + counts[3][p];
}

static void find_positions(struct parting *s, const uint16_t *place, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++)
        s->position[i] = (uint16_t)s->at[place[i]]++;
}

/* Where each place got a row last it has a line; those behind that come next. */
FETCHES_FOR_WRITING static void fetch_lines(const struct parting *s, const struct part_column *c, uint32_t rows)
{
    uint32_t lines = (rows * c->width + s->places * LINE_BYTES / 2) / (s->places * LINE_BYTES);

    for (uint32_t line = 1; line <= lines && s->places >= FETCHED_PLACES_MIN; line++)
        for (uint32_t p = 0; p < s->places; p++)
            __builtin_prefetch(c->to + (size_t)s->before[p] * c->width + (size_t)line * LINE_BYTES, 1);
}

#define DEFINE_MOVE(type)                                                                                        \
    static void move_##type(const void *src, void *dst, const uint16_t *position, uint32_t rows)                 \
    {                                                                                                            \
        const type *from = src;                                                                                  \
        type *to = dst;                                                                                          \
                                                                                                                 \
        for (uint32_t i = 0; i < rows; i++)                                                                      \
            to[position[i]] = from[i];                                                                           \
    }
DEFINE_MOVE(cell_4)
DEFINE_MOVE(cell_8)
DEFINE_MOVE(cell_16)

static void move(uint32_t width, const uint8_t *from, uint8_t *to, const uint16_t *position, uint32_t rows)
{
    if (width == 8)
        move_cell_8(from, to, position, rows);
    else if (width == 16)
        move_cell_16(from, to, position, rows);
    else
        move_cell_4(from, to, position, rows);
}

static void part_chunk(struct parting *s, const uint16_t *place, uint32_t rows)
{
    memcpy(s->before, s->at, s->places * sizeof(s->at[0]));
    fetch_lines(s, &s->column[0], rows);
    find_positions(s, place, rows);
    for (uint32_t c = 0; c < s->columns; c++) {
        struct part_column *column = &s->column[c];

        if (c + 1 < s->columns)
            fetch_lines(s, column + 1, rows);
        move(column->width, column->from, column->to, s->position, rows);
        column->from += (size_t)rows * column->width;
    }
}

/* hash: of its rows, where the inputs' own do not travel. */
static void part_input(struct parting *s, const rask_batch *b, const uint16_t *place, const uint64_t *hash)
{
    uint32_t chunk = MIN(MAX(s->places * (LINE_BYTES / 8), (uint32_t)CHUNK_ROWS_MIN), (uint32_t)CHUNK_ROWS_MAX);

    for (uint32_t c = 0; c < s->columns; c++) {
        const rask_column *column = c < b->schema->columns ? &b->columns[c] : &b->hash;

        s->column[c].from = (const uint8_t *)column->data + (size_t)b->first * s->column[c].width;
    }
    if (hash)
        s->column[b->schema->columns].from = (const uint8_t *)hash;
    for (uint32_t i = 0; i < b->rows; i += chunk)
        part_chunk(s, place + i, MIN(b->rows - i, chunk));
}

static rask_batch *part_many(struct pool *pool, rask_batch *const *in, uint32_t in_count, const uint16_t *place, uint32_t places,
                             uint32_t rows, const uint64_t *hash, uint32_t *ret_end)
{
    const rask_schema *schema = in[0]->schema;
    struct parting s = {.places = places};
    bool hashed = true;
    struct cells cells;

    for (uint32_t i = 0; i < in_count && !hash; i++)
        hashed = hashed && in[i]->hash.data;
    count(place, rows, places, ret_end);
    CHECK(ret_end[places - 1] == rows);
    for (uint32_t p = 1; p < places; p++)
        s.at[p] = ret_end[p - 1];
    cells_new(pool, schema, rows, hashed ? BATCH_HASH : 0, 0, &cells);
    for (uint32_t c = 0; c < schema->columns; c++)
        s.column[s.columns++] = (struct part_column){NULL, cells.columns[c].data, schema_width(&schema->fields[c])};
    if (hashed)
        s.column[s.columns++] = (struct part_column){NULL, cells.hash.data, sizeof(*hash)};
    for (uint32_t i = 0, done = 0; i < in_count && s.columns > 0; done += in[i++]->rows)
        part_input(&s, in[i], place + done, hash ? hash + done : NULL);
    return batch_over_cells(pool, schema, &cells, 0, rows);
}

rask_batch *batch_partition(struct pool *pool, rask_batch *const *in, uint32_t in_count, const uint16_t *place, uint32_t places,
                            uint32_t rows, const uint64_t *hash, uint32_t *ret_end)
{
    bool refers = false;
    uint32_t all = 0;

    if (places < 2 || places > BATCH_PLACES_MAX || rows > UINT16_MAX)
        return NULL;
    for (uint32_t i = 0; i < in_count; i++) {
        if (!cells_are_plain(in[i]))
            return NULL;
        CHECK(in[i]->rows <= rows - all);
        refers = refers || in[i]->buffer_count > 0;
        all += in[i]->rows;
    }
    CHECK(all == rows);
    if (places <= FEW_PLACES_MAX)
        return batch_part_few(pool, in, in_count, place, places, rows, hash, ret_end);
    return refers ? NULL : part_many(pool, in, in_count, place, places, rows, hash, ret_end);
}
