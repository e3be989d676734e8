/*
 * text_cells.c - the words of a text as the cells of a column.
 *
 * Where the processor has AVX-512 with VBMI2 the places where words begin and end are written down first, 64 bytes at a
 * time, and then the cells: neither depends on a branch, and what lies in a text is not predictable.  Elsewhere words are cut
 * as in text.c and turned into cells one by one.
 */
#include <rask/rask.h>

#include "api/src/text_private.h"

#if defined(__x86_64__) && defined(__SSSE3__) && defined(__GNUC__)
#include <immintrin.h>
#define VBMI2 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi2,bmi,bmi2,popcnt")))
#endif

enum { FEW = 64 };

static inline uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t cells_plain(rask_str *text, const rask_buffer *buffer, uint32_t number, rask_view *cells, uint32_t room,
                            uint32_t (*next)(rask_str *, rask_str *, uint32_t))
{
    rask_str words[FEW];
    uint32_t done = 0, n;

    do {
        n = next(text, words, least(room - done, FEW));
        for (uint32_t i = 0; i < n; i++)
            cells[done + i] = rask_view_at(buffer, number, (uint32_t)(words[i].data - (const char *)buffer->data), words[i].len);
        done += n;
    } while (n > 0 && done < room);
    return done;
}

#ifdef VBMI2
enum { CHUNK = 256, BLOCK_WORDS = 32 /* at most, in 64 bytes */ };

/* Bit i: byte i is of a name. */
VBMI2 static inline uint64_t names_512(__m512i v)
{
    const __m512i lows = _mm512_broadcast_i32x4(_mm_setr_epi8(NAME_LOWS));
    const __m512i highs = _mm512_broadcast_i32x4(_mm_setr_epi8(NAME_HIGHS));
    const __m512i nibble = _mm512_set1_epi8(15);

    return _mm512_test_epi8_mask(_mm512_shuffle_epi8(lows, _mm512_and_si512(v, nibble)),
                                 _mm512_shuffle_epi8(highs, _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble)));
}

/* Bit i: byte i is no white space: neither a space nor \t .. \r. */
VBMI2 static inline uint64_t words_512(__m512i v)
{
    return ~(_mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(' ')) |
             _mm512_cmplt_epu8_mask(_mm512_sub_epi8(v, _mm512_set1_epi8('\t')), _mm512_set1_epi8(5)));
}

/* The numbers of the set bits, counted from `at`; 32 are written, of use or not. Returns how many are. */
VBMI2 static inline uint32_t places(uint32_t *to, uint64_t bits, uint32_t at)
{
    const __m512i bytes = _mm512_set_epi64(0x3f3e3d3c3b3a3938, 0x3736353433323130, 0x2f2e2d2c2b2a2928, 0x2726252423222120,
                                           0x1f1e1d1c1b1a1918, 0x1716151413121110, 0x0f0e0d0c0b0a0908, 0x0706050403020100);
    __m512i found = _mm512_maskz_compress_epi8(bits, bytes), base = _mm512_set1_epi32((int)at);

    _mm512_storeu_si512(to, _mm512_add_epi32(base, _mm512_cvtepu8_epi32(_mm512_castsi512_si128(found))));
    _mm512_storeu_si512(to + 16, _mm512_add_epi32(base, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(found, 1))));
    return (uint32_t)__builtin_popcountll(bits);
}

/* rask_view_at without a branch; no byte beside the word is read. */
VBMI2 static inline void put_cell(rask_view *to, const char *word, uint32_t len, uint32_t offset, uint32_t number)
{
    bool is_long = len > sizeof(to->u.text);
    __m128i place = _mm_set_epi64x((long long)((uint64_t)offset << 32 | number), len);
    __mmask16 text = (__mmask16)(_bzhi_u32(0xfff, is_long ? sizeof(to->u.ref.prefix) : len) << 4);

    place = _mm_maskz_mov_epi32(is_long ? 0xf : 1, place);
    _mm_storeu_si128((__m128i *)to, _mm_mask_loadu_epi8(place, text, word - 4));
}

/*
 * Four of them at once, of words that begin at begin[0 .. 3] of the text and end at end[0 .. 3]: of each 16 bytes are read, from
 * 4 before its beginning on.
 */
VBMI2 static inline void put_cells_4(rask_view *to, const char *text, const uint32_t *begin, const uint32_t *end, uint32_t offset,
                                     uint32_t number)
{
    const __m512i of_cell = _mm512_setr_epi32(0, 0, 8, 4, 1, 1, 8, 5, 2, 2, 8, 6, 3, 3, 8, 7);
    const __m512i first_byte = _mm512_broadcast_i32x4(_mm_set1_epi32(0));
    const __m512i place_in_text = _mm512_broadcast_i32x4(_mm_setr_epi8(-1, -1, -1, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
    __m128i at = _mm_loadu_si128((const __m128i *)begin), len = _mm_sub_epi32(_mm_loadu_si128((const __m128i *)end), at);
    __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(len), _mm_add_epi32(at, _mm_set1_epi32((int)offset)), 1);
    __m512i all = _mm512_inserti64x4(_mm512_set1_epi32((int)number), both, 0), cells, bytes, texts;
    __mmask16 is_long;

    cells = _mm512_permutexvar_epi32(of_cell, all); /* length, length, number, offset */
    is_long = _mm512_cmpgt_epu32_mask(_mm512_shuffle_epi32(cells, _MM_PERM_AAAA), _mm512_set1_epi32(sizeof(to->u.text)));
    bytes = _mm512_shuffle_epi8(_mm512_mask_mov_epi32(cells, is_long, _mm512_set1_epi32(sizeof(to->u.ref.prefix))), first_byte);
    cells = _mm512_maskz_mov_epi32((__mmask16)(is_long | 0x1111), cells);
    texts = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(text + begin[0] - 4)));
    texts = _mm512_inserti32x4(texts, _mm_loadu_si128((const __m128i *)(text + begin[1] - 4)), 1);
    texts = _mm512_inserti32x4(texts, _mm_loadu_si128((const __m128i *)(text + begin[2] - 4)), 2);
    texts = _mm512_inserti32x4(texts, _mm_loadu_si128((const __m128i *)(text + begin[3] - 4)), 3);
    _mm512_storeu_si512(to, _mm512_mask_mov_epi8(cells, _mm512_cmplt_epu8_mask(place_in_text, bytes), texts));
}

struct cut {
    uint32_t begin[CHUNK + 2 * BLOCK_WORDS], end[CHUNK + 2 * BLOCK_WORDS];
    uint32_t begins, ends; /* how many are there: a word that goes on has no end yet */
    uint32_t at;           /* bytes that were looked at */
    uint64_t goes_on;      /* the last of them is of a word: 1 */
};

VBMI2 static inline __attribute__((always_inline)) void find_words(struct cut *c, rask_str text, uint64_t (*mask_of)(__m512i))
{
    for (; c->at < text.len && c->ends < CHUNK; c->at += 64) {
        uint64_t there = _bzhi_u64(UINT64_MAX, text.len - c->at < 64 ? text.len - c->at : 64);
        uint64_t mask = mask_of(_mm512_maskz_loadu_epi8(there, text.data + c->at)) & there;
        uint64_t before = mask << 1 | c->goes_on;

        c->begins += places(c->begin + c->begins, mask & ~before, c->at);
        c->ends += places(c->end + c->ends, before & ~mask, c->at);
        c->goes_on = mask >> 63;
    }
    if (c->at >= text.len && c->begins > c->ends)
        c->end[c->ends++] = text.len;
}

/* The first n of those words, which has their ends. */
VBMI2 static inline void put_cells(const struct cut *c, uint32_t n, const char *text, rask_view *cells, const rask_buffer *buffer,
                                   uint32_t number)
{
    uint32_t offset = (uint32_t)(text - (const char *)buffer->data);

    for (uint32_t i = 0, some; i < n; i += some) {
        /* is all that four read inside the buffer? */
        if (i + 4 <= n && offset + c->begin[i] >= 4 && (uint64_t)offset + c->begin[i + 3] + 12 <= buffer->capacity) {
            put_cells_4(&cells[i], text, &c->begin[i], &c->end[i], offset, number);
            some = 4;
        } else {
            put_cell(&cells[i], text + c->begin[i], c->end[i] - c->begin[i], offset + c->begin[i], number);
            some = 1;
        }
    }
}

VBMI2 static inline __attribute__((always_inline)) uint32_t cells_512(rask_str *text, const rask_buffer *buffer, uint32_t number,
                                                                      rask_view *cells, uint32_t room,
                                                                      uint64_t (*mask_of)(__m512i))
{
    uint32_t done = 0, stop = 0, n;
    bool all = false;
    struct cut c;

    c.begins = c.ends = c.at = 0;
    c.goes_on = 0;
    while (!all && done < room) {
        find_words(&c, *text, mask_of);
        n = least(c.ends, room - done);
        put_cells(&c, n, text->data, cells + done, buffer, number);
        done += n;
        stop = n > 0 ? c.end[n - 1] : stop;
        all = c.at >= text->len && n == c.ends;
        c.begin[0] = c.begin[c.ends]; /* of one that goes on */
        c.begins -= c.ends;
        c.ends = 0;
    }
    stop = all ? text->len : stop;
    text->data += stop;
    text->len -= stop;
    return done;
}

VBMI2 static uint32_t name_cells_512(rask_str *text, const rask_buffer *buffer, uint32_t number, rask_view *cells, uint32_t room)
{
    return cells_512(text, buffer, number, cells, room, names_512);
}

VBMI2 static uint32_t word_cells_512(rask_str *text, const rask_buffer *buffer, uint32_t number, rask_view *cells, uint32_t room)
{
    return cells_512(text, buffer, number, cells, room, words_512);
}

static bool has_vbmi2(void)
{
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi2") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}
#endif

uint32_t rask_next_name_cells(rask_str *text, const rask_buffer *buffer, uint32_t number, rask_view *cells, uint32_t room)
{
    if (room == 0)
        return 0;
#ifdef VBMI2
    if (has_vbmi2())
        return name_cells_512(text, buffer, number, cells, room);
#endif
    return cells_plain(text, buffer, number, cells, room, rask_next_names);
}

uint32_t rask_next_word_cells(rask_str *text, const rask_buffer *buffer, uint32_t number, rask_view *cells, uint32_t room)
{
    if (room == 0)
        return 0;
#ifdef VBMI2
    if (has_vbmi2())
        return word_cells_512(text, buffer, number, cells, room);
#endif
    return cells_plain(text, buffer, number, cells, room, rask_next_words);
}
