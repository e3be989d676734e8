/*
 * part.c - rows put into the order of a few places without a number for each: of batch_partition (part_many.c).
 *
 * Eight cells are read at once, and for each place those that go there are moved together and written, so a row costs a share
 * of a few instructions where the general form (gather.c) has a look at its number and a store for each cell.  Strings that do
 * not lie in their cells are looked after once the cells are there.  It wants AVX-512, and who asks elsewhere gets NULL.
 */
#include "common/base/check.h"
#include "common/base/cpu.h"
#include "common/types/batch_private.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define WIDE __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,bmi,bmi2,popcnt")))
enum { GROUP = 8, INPUTS_MAX = 64, GROUPS_MAX = RASK_BATCH_ROWS_MAX / GROUP + INPUTS_MAX };

/* Whose bits say which rows of each eight of an input go to a place. Each input begins with a group of its own. */
struct masks {
    uint8_t of[FEW_PLACES_MAX][GROUPS_MAX + 32 / GROUP]; /* 32 rows are compared at once */
};

/* Of one input; returns its groups. Adds to count. */
WIDE static uint32_t masks_of(const uint16_t *place, uint32_t rows, uint32_t places, struct masks *m, uint32_t group, uint32_t *count)
{
    for (uint32_t p = 0; p < places; p++) {
        __m512i is = _mm512_set1_epi16((short)p);
        uint32_t n = 0;

        for (uint32_t i = 0; i < rows; i += 32) {
            __mmask32 there = rows - i >= 32 ? UINT32_MAX : _bzhi_u32(UINT32_MAX, rows - i);
            uint32_t bits = _mm512_mask_cmpeq_epi16_mask(there, _mm512_maskz_loadu_epi16(there, place + i), is);

            memcpy(&m->of[p][group + i / GROUP], &bits, sizeof(bits));
            n += (uint32_t)__builtin_popcount(bits);
        }
        count[p] += n;
    }
    return (rows + GROUP - 1) / GROUP;
}

/* How many of eight rows there are, from row i on. */
static inline __mmask8 rows_there(uint32_t rows, uint32_t i)
{
    return (__mmask8)(rows - i >= GROUP ? 0xffu : (1u << (rows - i)) - 1);
}

/* These write the cells of an input to to[place], which they move on. One body for each number of places. */
#define PART WIDE static inline __attribute__((always_inline)) void
#define DEFINE_PART(bytes, bits, vector_bits, vector)                                                                            \
    PART part_##bytes(const uint8_t *from, uint32_t rows, const struct masks *m, uint32_t group, uint8_t **to, uint32_t places)  \
    {                                                                                                                            \
        for (uint32_t i = 0; i < rows; i += GROUP, group++) {                                                                    \
            vector cells = _mm##vector_bits##_maskz_loadu_epi##bits(rows_there(rows, i), from + bytes * (size_t)i);              \
                                                                                                                                 \
            for (uint32_t p = 0; p < places; p++) {                                                                              \
                __mmask8 mask = m->of[p][group];                                                                                 \
                uint32_t n = (uint32_t)__builtin_popcount(mask);                                                                 \
                                                                                                                                 \
                _mm##vector_bits##_mask_storeu_epi##bits(to[p], (__mmask8)_bzhi_u32(0xff, n),                                    \
                                                         _mm##vector_bits##_maskz_compress_epi##bits(mask, cells));              \
                to[p] += bytes * n;                                                                                              \
            }                                                                                                                    \
        }                                                                                                                        \
    }
DEFINE_PART(4, 32, 256, __m256i)
DEFINE_PART(8, 64, 512, __m512i)

/* A cell is two numbers of 64 bits: the bits of a mask are doubled. */
PART part_16(const uint8_t *from, uint32_t rows, const struct masks *m, uint32_t group, uint8_t **to, uint32_t places)
{
    for (uint32_t i = 0; i < rows; i += GROUP, group++) {
        uint32_t there = _pdep_u32(rows_there(rows, i), 0x5555) * 3;
        __m512i low = _mm512_maskz_loadu_epi64((__mmask8)there, from + 16 * (size_t)i);
        __m512i high = _mm512_maskz_loadu_epi64((__mmask8)(there >> 8), from + 16 * (size_t)i + 64);

        for (uint32_t p = 0; p < places; p++) {
            uint32_t mask = _pdep_u32(m->of[p][group], 0x5555) * 3;
            uint32_t n = (uint32_t)__builtin_popcount(mask & 0xff), more = (uint32_t)__builtin_popcount(mask >> 8);

            _mm512_mask_storeu_epi64(to[p], (__mmask8)_bzhi_u32(0xff, n), _mm512_maskz_compress_epi64((__mmask8)mask, low));
            _mm512_mask_storeu_epi64(to[p] + 8 * n, (__mmask8)_bzhi_u32(0xff, more),
                                     _mm512_maskz_compress_epi64((__mmask8)(mask >> 8), high));
            to[p] += 8 * (n + more);
        }
    }
}

/* The places stand in registers, if there are so few that the compiler knows their number. */
PART part_few(uint32_t width, const void *from, uint32_t rows, const struct masks *m, uint32_t group, uint8_t **to, uint32_t places)
{
    uint8_t *at[FEW_PLACES_MAX];

    for (uint32_t p = 0; p < places; p++)
        at[p] = to[p];
    if (width == 8)
        part_8(from, rows, m, group, at, places);
    else if (width == 16)
        part_16(from, rows, m, group, at, places);
    else
        part_4(from, rows, m, group, at, places);
    for (uint32_t p = 0; p < places; p++)
        to[p] = at[p];
}

WIDE static void part(uint32_t width, const void *from, uint32_t rows, const struct masks *m, uint32_t group, uint8_t **to,
                      uint32_t places)
{
    if (places == 2)
        part_few(width, from, rows, m, group, to, 2);
    else if (places == 3)
        part_few(width, from, rows, m, group, to, 3);
    else
        part_few(width, from, rows, m, group, to, places);
}

struct target { /* a column of the result */
    uint32_t width;
    bool is_view;
    uint8_t *to[FEW_PLACES_MAX]; /* where the next cell of each place goes */
};

static void target_init(struct target *t, void *cells, uint32_t width, bool is_view, const uint32_t *end, uint32_t places)
{
    t->width = width;
    t->is_view = is_view;
    for (uint32_t p = 0; p < places; p++)
        t->to[p] = (uint8_t *)cells + (p > 0 ? (size_t)end[p - 1] * width : 0);
}

/* The cells of an input, from its first row on. */
static void part_column(const rask_batch *b, const uint8_t *cells, const struct masks *m, uint32_t group, struct target *t,
                        uint32_t places, struct text_list *texts)
{
    uint8_t *before[FEW_PLACES_MAX];

    memcpy(before, t->to, sizeof(before));
    part(t->width, cells, b->rows, m, group, t->to, places);
    for (uint32_t p = 0; t->is_view && b->buffer_count > 0 && p < places; p++)
        batch_texts_renumber(texts, before[p], (uint32_t)((size_t)(t->to[p] - before[p]) / t->width));
}

/* hash: of its rows; NULL: its own, if they travel. */
static void part_input(const rask_batch *b, const uint64_t *hash, const struct masks *m, uint32_t group, struct target *targets,
                       uint32_t target_count, uint32_t places, struct text_list *texts)
{
    batch_texts_map(texts, b);
    for (uint32_t c = 0; c < target_count; c++) {
        const rask_column *column = c < b->schema->columns ? &b->columns[c] : &b->hash;
        const uint8_t *cells = (const uint8_t *)column->data + (size_t)b->first * targets[c].width;

        part_column(b, column == &b->hash && hash ? (const uint8_t *)hash : cells, m, group, &targets[c], places, texts);
    }
}

rask_batch *batch_part_few(struct pool *pool, rask_batch *const *in, uint32_t in_count, const uint16_t *place, uint32_t places,
                           uint32_t rows, const uint64_t *hash, uint32_t *ret_end)
{
    const rask_schema *schema = in[0]->schema;
    struct target targets[RASK_COLUMNS_MAX + 1];
    uint32_t group = 0, done = 0, most = 0;
    struct text_list texts;
    struct cells cells;
    struct masks masks;
    bool hashed = true;
    uint64_t all = 0;
    rask_batch *b;

    if (!cpu_has_avx512() || !__builtin_cpu_supports("bmi2") || rows > RASK_BATCH_ROWS_MAX || in_count > INPUTS_MAX)
        return NULL;
    CHECK(places >= 2 && places <= FEW_PLACES_MAX);
    memset(ret_end, 0, places * sizeof(*ret_end));
    for (uint32_t i = 0; i < in_count; i++) {
        CHECK(in[i]->rows <= rows - done);
        hashed = hashed && in[i]->hash.data;
        group += masks_of(place + done, in[i]->rows, places, &masks, group, ret_end);
        done += in[i]->rows;
        all += in[i]->buffer_count;
        most = MAX(most, in[i]->buffer_count);
    }
    for (uint32_t p = 1; p < places; p++)
        ret_end[p] += ret_end[p - 1];
    CHECK(done == rows && ret_end[places - 1] == rows);
    hashed = hashed || hash;
    cells_new(pool, schema, rows, hashed ? BATCH_HASH : 0, 0, &cells);
    for (uint32_t c = 0; c < schema->columns; c++)
        target_init(&targets[c], cells.columns[c].data, schema_width(&schema->fields[c]), schema_is_view(&schema->fields[c]),
                    ret_end, places);
    if (hashed)
        target_init(&targets[schema->columns], cells.hash.data, sizeof(*hash), false, ret_end, places);
    batch_texts_init(&texts, all, most);
    group = done = 0;
    for (uint32_t i = 0; i < in_count; i++) {
        part_input(in[i], hash ? hash + done : NULL, &masks, group, targets, schema->columns + hashed, places, &texts);
        group += (in[i]->rows + GROUP - 1) / GROUP;
        done += in[i]->rows;
    }
    b = batch_texts_finish(&texts, pool, schema, &cells, rows);
    batch_texts_release(&texts);
    return b;
}
#else
rask_batch *batch_part_few(struct pool *pool, rask_batch *const *in, uint32_t in_count, const uint16_t *place, uint32_t places,
                           uint32_t rows, const uint64_t *hash, uint32_t *ret_end)
{
    (void)pool;
    (void)in;
    (void)in_count;
    (void)place;
    (void)places;
    (void)rows;
    (void)hash;
    (void)ret_end;
    return NULL;
}
#endif
