/*
 * part_rows.c - columns of 8 bytes put into the order of many places as rows: of batch_partition (part_many.c).
 *
 * A store for each cell to one of many lines costs two or three cycles, however near the lines are.  So the cells of three to
 * five columns are made rows in vectors, a row is one store (and one for the fifth) to a table of its own that stays in the
 * second-level cache, and place by place the table becomes columns again, in whole vectors.  It wants AVX-512.
 */
#include "common/base/check.h"
#include "common/base/cpu.h"
#include "common/types/batch_private.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define WIDE __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prfchw")))
#define KERNEL WIDE static inline __attribute__((always_inline))
enum { GROUP = 8, LINE_BYTES = 64, PLACES_AHEAD = 4 };

/* What follows the last row is read with it, and not used. */
struct table {
    uint64_t row[RASK_BATCH_ROWS_MAX + GROUP][4];
    uint64_t fifth[RASK_BATCH_ROWS_MAX + GROUP];
} __attribute__((aligned(64)));

/* Cells of eight rows, some of which may not be there. */
KERNEL __m512i cells_at(const uint64_t *column, uint32_t i, uint32_t rows)
{
    return rows - i >= GROUP ? _mm512_loadu_si512(column + i)
                             : _mm512_maskz_loadu_epi64((__mmask8)((1u << (rows - i)) - 1), column + i);
}

/* Two of eight rows each: 0 and 2, 1 and 3, 4 and 6, 5 and 7. */
KERNEL void rows_of(__m512i a, __m512i b, __m512i c, __m512i d, __m512i *ret)
{
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    __m512i ab_even = _mm512_unpacklo_epi64(a, b), ab_odd = _mm512_unpackhi_epi64(a, b);
    __m512i cd_even = _mm512_unpacklo_epi64(c, d), cd_odd = _mm512_unpackhi_epi64(c, d);

    ret[0] = _mm512_permutex2var_epi64(ab_even, low, cd_even);
    ret[1] = _mm512_permutex2var_epi64(ab_odd, low, cd_odd);
    ret[2] = _mm512_permutex2var_epi64(ab_even, high, cd_even);
    ret[3] = _mm512_permutex2var_epi64(ab_odd, high, cd_odd);
}

/* The other way: four columns of eight rows. */
KERNEL void columns_of(const uint64_t (*row)[4], __m512i *ret)
{
    const __m512i ab = _mm512_setr_epi64(0, 4, 8, 12, 1, 5, 9, 13), cd = _mm512_setr_epi64(2, 6, 10, 14, 3, 7, 11, 15);
    __m512i r01 = _mm512_loadu_si512(row), r23 = _mm512_loadu_si512(row + 2);
    __m512i r45 = _mm512_loadu_si512(row + 4), r67 = _mm512_loadu_si512(row + 6);
    __m512i ab_low = _mm512_permutex2var_epi64(r01, ab, r23), ab_high = _mm512_permutex2var_epi64(r45, ab, r67);
    __m512i cd_low = _mm512_permutex2var_epi64(r01, cd, r23), cd_high = _mm512_permutex2var_epi64(r45, cd, r67);

    ret[0] = _mm512_shuffle_i64x2(ab_low, ab_high, 0x44);
    ret[1] = _mm512_shuffle_i64x2(ab_low, ab_high, 0xee);
    ret[2] = _mm512_shuffle_i64x2(cd_low, cd_high, 0x44);
    ret[3] = _mm512_shuffle_i64x2(cd_low, cd_high, 0xee);
}

#define PUT(k, cells)                                                     \
    do {                                                                  \
        uint32_t at = next[place[i + (k)]]++;                             \
        _mm256_store_si256((__m256i *)t->row[at], cells);                 \
        if (columns == 5)                                                 \
            t->fifth[at] = from[4][i + (k)];                              \
    } while (0)
#define LOW(v)  _mm512_castsi512_si256(v)
#define HIGH(v) _mm512_extracti64x4_epi64(v, 1)

/* next: where the next row of each place goes in the table. */
KERNEL void to_table(const uint64_t *const *from, uint32_t columns, const uint16_t *place, uint32_t rows, uint16_t *next,
                     struct table *t)
{
    uint32_t i = 0;

    for (; i < rows; i += GROUP) {
        __m512i d = columns == 3 ? _mm512_setzero_si512() : cells_at(from[3], i, rows), r[4];

        rows_of(cells_at(from[0], i, rows), cells_at(from[1], i, rows), cells_at(from[2], i, rows), d, r);
        if (rows - i < GROUP) {
            const __m256i last[GROUP] = {LOW(r[0]), LOW(r[1]), HIGH(r[0]), HIGH(r[1]), LOW(r[2]), LOW(r[3]), HIGH(r[2]), HIGH(r[3])};

            for (uint32_t k = 0; k < rows - i; k++)
                PUT(k, last[k]);
            break;
        }
        PUT(0, LOW(r[0]));
        PUT(1, LOW(r[1]));
        PUT(2, HIGH(r[0]));
        PUT(3, HIGH(r[1]));
        PUT(4, LOW(r[2]));
        PUT(5, LOW(r[3]));
        PUT(6, HIGH(r[2]));
        PUT(7, HIGH(r[3]));
    }
}

/* The lines that a place will need, which another core may have had. */
KERNEL void fetch_place(uint64_t *const *to, uint32_t columns, uint32_t at, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i += LINE_BYTES / 8)
#pragma GCC unroll 5
        for (uint32_t c = 0; c < columns; c++)
            __builtin_prefetch(to[c] + at + i, 1);
}

/* Of one place; the table begins with its first row. */
KERNEL void place_to_columns(const struct table *t, uint32_t from, uint32_t rows, uint64_t *const *to, uint32_t columns, uint32_t at)
{
    for (uint32_t i = 0; i < rows; i += GROUP) {
        __mmask8 there = (__mmask8)(rows - i >= GROUP ? 0xffu : (1u << (rows - i)) - 1);
        __m512i cells[5];

        columns_of(&t->row[from + i], cells);
        if (columns == 5)
            cells[4] = _mm512_loadu_si512(&t->fifth[from + i]);
#pragma GCC unroll 5
        for (uint32_t c = 0; c < columns; c++)
            _mm512_mask_storeu_epi64(to[c] + at + i, there, cells[c]);
    }
}

KERNEL void part(const struct part_rows *parts, uint32_t columns, const uint16_t *place, struct table *t)
{
    const struct part_rows copy = *parts, *p = &copy; /* which no cell that is written can change */
    uint16_t next[BATCH_PLACES_MAX];
    uint32_t rows = 0;

    for (uint32_t i = 0; i < p->places; i++) {
        next[i] = (uint16_t)rows;
        rows += p->count[i];
    }
    CHECK(rows <= RASK_BATCH_ROWS_MAX);
    to_table(p->from, columns, place, rows, next, t);
    for (uint32_t i = 0; i < p->places; i++) {
        if (i + PLACES_AHEAD < p->places)
            fetch_place(p->to, columns, p->at[i + PLACES_AHEAD], p->count[i + PLACES_AHEAD]);
        place_to_columns(t, next[i] - p->count[i], p->count[i], p->to, columns, p->at[i]);
    }
}

/* One body for each number of columns. */
WIDE void batch_part_rows(const struct part_rows *p, uint32_t columns, const uint16_t *place)
{
    struct table t;

    if (columns == 3)
        part(p, 3, place, &t);
    else if (columns == 4)
        part(p, 4, place, &t);
    else
        part(p, 5, place, &t);
}

bool batch_rows_work(void)
{
    return cpu_has_avx512();
}
#else
void batch_part_rows(const struct part_rows *p, uint32_t columns, const uint16_t *place)
{
    (void)p;
    (void)columns;
    (void)place;
    CHECK(false);
}

bool batch_rows_work(void)
{
    return false;
}
#endif
