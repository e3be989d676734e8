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
    AS_ROWS_MIN = 1024,      /* rows of an input, and */
    AS_ROWS_OF_PLACE = 8,    /* of each place, so that it pays */
    AS_ROWS_INPUTS_MAX = UINT16_MAX / AS_ROWS_MIN,
};

typedef uint32_t __attribute__((may_alias)) cell_4;
typedef uint64_t __attribute__((may_alias)) cell_8;
typedef struct {
    uint64_t a, b;
} __attribute__((may_alias, aligned(4), packed)) cell_16;

struct part_column {
    const uint8_t *from; /* of the chunk */
    uint8_t *to;
    uint32_t width, number; /* in the schema; of those that it has: the hash */
};
struct parting {
    uint32_t places, columns;
    uint32_t as_rows, inputs_as_rows;  /* columns, the first ones; inputs so far whose columns go as rows */
    struct part_column column[RASK_COLUMNS_MAX + 1];
    uint32_t at[BATCH_PLACES_MAX];     /* where the next row of each place goes */
    uint32_t before[BATCH_PLACES_MAX]; /* and where that of this chunk did */
    uint16_t position[CHUNK_ROWS_MAX]; /* of the rows of a chunk */
    uint16_t counts[AS_ROWS_INPUTS_MAX][BATCH_PLACES_MAX]; /* rows for each place, of inputs whose columns go as rows */
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
static void count(const uint16_t *place, uint32_t rows, uint32_t places, uint16_t *ret_count)
{
    uint16_t counts[LANES][BATCH_PLACES_MAX];
    uint32_t i = 0;

    for (uint32_t lane = 0; lane < LANES; lane++)
        memset(counts[lane], 0, places * sizeof(counts[lane][0]));
    for (; i + LANES <= rows; i += LANES)
#pragma GCC unroll 4
        for (uint32_t lane = 0; lane < LANES; lane++)
            counts[lane][place[i + lane]]++;
    for (; i < rows; i++)
        counts[0][place[i]]++;
    for (uint32_t p = 0; p < places; p++)
        ret_count[p] = (uint16_t)(counts[0][p] + counts[1][p] + counts[2][p] + counts[3][p]);
}

static bool goes_as_rows(const struct parting *s, const rask_batch *b)
{
    return s->as_rows > 0 && b->rows >= MAX((uint32_t)AS_ROWS_MIN, s->places * AS_ROWS_OF_PLACE) && b->rows <= RASK_BATCH_ROWS_MAX;
}

/* Of each place; and the counts of each input that goes as rows. */
static void find_ends(struct parting *s, rask_batch *const *in, uint32_t in_count, const uint16_t *place, uint32_t *ret_end)
{
    uint16_t other[BATCH_PLACES_MAX], *counts = s->counts[0];

    memset(ret_end, 0, s->places * sizeof(*ret_end));
    for (uint32_t i = 0; i < in_count;) {
        bool as_rows = goes_as_rows(s, in[i]);
        uint32_t rows = in[i++]->rows;

        while (!as_rows && i < in_count && !goes_as_rows(s, in[i]))
            rows += in[i++]->rows;
        count(place, rows, s->places, as_rows ? counts : other);
        for (uint32_t p = 0; p < s->places; p++)
            ret_end[p] += as_rows ? counts[p] : other[p];
        counts += as_rows ? BATCH_PLACES_MAX : 0;
        place += rows;
    }
    for (uint32_t p = 1; p < s->places; p++)
        ret_end[p] += ret_end[p - 1];
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

/* Columns from `first` on. */
static void part_chunk(struct parting *s, uint32_t first, const uint16_t *place, uint32_t rows)
{
    memcpy(s->before, s->at, s->places * sizeof(s->at[0]));
    fetch_lines(s, &s->column[first], rows);
    find_positions(s, place, rows);
    for (uint32_t c = first; c < s->columns; c++) {
        struct part_column *column = &s->column[c];

        if (c + 1 < s->columns)
            fetch_lines(s, column + 1, rows);
        move(column->width, column->from, column->to, s->position, rows);
        column->from += (size_t)rows * column->width;
    }
}

/* Its first columns; s->at stays. All numbers from PART_ROWS_COLUMNS_MIN on are a sum of such groups. */
static void part_as_rows(const struct parting *s, const uint16_t *counts, const uint16_t *place)
{
    struct part_rows p = {.places = s->places, .count = counts, .at = s->at};

    for (uint32_t c = 0, n; c < s->as_rows; c += n) {
        uint32_t left = s->as_rows - c;

        n = left <= PART_ROWS_COLUMNS_MAX ? left : left == 6 ? 3 : 4;
        for (uint32_t i = 0; i < n; i++) {
            p.from[i] = (const uint64_t *)s->column[c + i].from;
            p.to[i] = (uint64_t *)s->column[c + i].to;
        }
        batch_part_rows(&p, n, place);
    }
}

/* hash: of its rows, where the inputs' own do not travel. */
static void part_input(struct parting *s, const rask_batch *b, const uint16_t *place, const uint64_t *hash)
{
    uint32_t chunk = MIN(MAX(s->places * (LINE_BYTES / 8), (uint32_t)CHUNK_ROWS_MIN), (uint32_t)CHUNK_ROWS_MAX), first = 0;

    for (uint32_t c = 0; c < s->columns; c++) {
        struct part_column *to = &s->column[c];
        const rask_column *column = to->number < b->schema->columns ? &b->columns[to->number] : &b->hash;

        to->from = (const uint8_t *)column->data + (size_t)b->first * to->width;
        if (hash && to->number == b->schema->columns)
            to->from = (const uint8_t *)hash;
    }
    if (goes_as_rows(s, b)) {
        const uint16_t *counts = s->counts[s->inputs_as_rows++];

        part_as_rows(s, counts, place);
        first = s->as_rows;
        for (uint32_t p = 0; p < s->places && first == s->columns; p++)
            s->at[p] += counts[p];
    }
    for (uint32_t i = 0; i < b->rows && first < s->columns; i += chunk)
        part_chunk(s, first, place + i, MIN(b->rows - i, chunk));
}

static void add_column(struct parting *s, uint32_t number, const rask_column *to, uint32_t width)
{
    s->column[s->columns++] = (struct part_column){NULL, to->data, width, number};
}

/* Those of 8 bytes first. */
static void add_columns(struct parting *s, const rask_schema *schema, const struct cells *cells, bool hashed)
{
    s->columns = 0;
    for (uint32_t c = 0; c < schema->columns; c++)
        if (schema_width(&schema->fields[c]) == 8)
            add_column(s, c, &cells->columns[c], 8);
    if (hashed)
        add_column(s, schema->columns, &cells->hash, 8);
    s->as_rows = s->columns >= PART_ROWS_COLUMNS_MIN && batch_rows_work() ? s->columns : 0;
    for (uint32_t c = 0; c < schema->columns; c++)
        if (schema_width(&schema->fields[c]) != 8)
            add_column(s, c, &cells->columns[c], schema_width(&schema->fields[c]));
}

static rask_batch *part_many(struct pool *pool, rask_batch *const *in, uint32_t in_count, const uint16_t *place, uint32_t places,
                             uint32_t rows, const uint64_t *hash, uint32_t *ret_end)
{
    const rask_schema *schema = in[0]->schema;
    bool hashed = true;
    struct parting s;
    struct cells cells;

    for (uint32_t i = 0; i < in_count && !hash; i++)
        hashed = hashed && in[i]->hash.data;
    cells_new(pool, schema, rows, hashed ? BATCH_HASH : 0, 0, &cells);
    s.places = places;
    s.inputs_as_rows = 0;
    add_columns(&s, schema, &cells, hashed);
    find_ends(&s, in, in_count, place, ret_end);
    CHECK(ret_end[places - 1] == rows);
    for (uint32_t p = 0; p < places; p++)
        s.at[p] = p > 0 ? ret_end[p - 1] : 0;
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
