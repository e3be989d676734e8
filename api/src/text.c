/*
 * text.c - cutting words off a line and lower-casing, 16 bytes at a time on x86-64.  Many words at once are cut 64
 * bytes at a time, by AVX2 where the processor has it.
 */
#include <rask/rask.h>

#include "api/src/text_private.h"

#if defined(__x86_64__) && defined(__SSSE3__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif
#if defined(__x86_64__) && defined(__SSSE3__) && defined(__GNUC__)
#define AVX2 __attribute__((target("avx2,bmi,popcnt")))
#endif

#ifdef __SSE2__
/* Bit i: byte i is white space: a space, or \t .. \r. */
static inline uint32_t space_mask(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    __m128i space = _mm_cmpeq_epi8(v, _mm_set1_epi8(' '));
    /* \t .. \r, shifted to the bottom of the signed range, are the five smallest values */
    __m128i low = _mm_add_epi8(v, _mm_set1_epi8((char)(-128 - '\t')));
    __m128i control = _mm_cmplt_epi8(low, _mm_set1_epi8((char)(-128 + 5)));

    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(space, control));
}
#endif

static inline bool is_space(char c)
{
    return c == ' ' || (uint8_t)(c - '\t') < 5;
}

bool rask_next_word(rask_str *text, rask_str *word)
{
    const char *at = text->data, *end = at + text->len, *start;

    while (at < end && is_space(*at))
        at++;
    start = at;
#ifdef __SSE2__
    while (end - at >= 16) {
        uint32_t mask = space_mask(at);

        if (mask) {
            at += __builtin_ctz(mask);
            goto found;
        }
        at += 16;
    }
#endif
    while (at < end && !is_space(*at))
        at++;
#ifdef __SSE2__
found:
#endif
    word->data = start;
    word->len = (uint32_t)(at - start);
    text->data = at;
    text->len = (uint32_t)(end - at);
    return at > start;
}

/* 1: a letter, a digit or '_' */
static const uint8_t is_name[256] = {
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1,
    ['8'] = 1, ['9'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1,
    ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1,
    ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1, ['V'] = 1,
    ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['_'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1,
    ['d'] = 1, ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1,
    ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1,
    ['t'] = 1, ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1};

#ifdef __SSSE3__
/* Bit i: byte i is of a name. */
static inline uint32_t name_mask(const char *p)
{
    const __m128i lows = _mm_setr_epi8(NAME_LOWS);
    const __m128i highs = _mm_setr_epi8(NAME_HIGHS);
    __m128i v = _mm_loadu_si128((const __m128i *)p), nibble = _mm_set1_epi8(15);
    __m128i low = _mm_shuffle_epi8(lows, _mm_and_si128(v, nibble));
    __m128i high = _mm_shuffle_epi8(highs, _mm_and_si128(_mm_srli_epi16(v, 4), nibble));
    __m128i none = _mm_cmpeq_epi8(_mm_and_si128(low, high), _mm_setzero_si128());

    return (uint32_t)_mm_movemask_epi8(none) ^ 0xffff;
}
#endif

static inline bool name_found(rask_str *text, rask_str *word, const char *start, const char *stop)
{
    word->data = start;
    word->len = (uint32_t)(stop - start);
    text->len -= (uint32_t)(stop - text->data);
    text->data = stop;
    return stop > start;
}

bool rask_next_name(rask_str *text, rask_str *word)
{
    const char *at = text->data, *end = at + text->len, *start;

#ifdef __SSSE3__
    while (end - at >= 16) {
        uint32_t mask = name_mask(at), begin = mask ? (uint32_t)__builtin_ctz(mask) : 16;
        uint32_t stop = begin + (uint32_t)__builtin_ctz(~(mask >> begin)); /* bits behind the sixteen are 0 */

        if (mask && stop < 16)
            return name_found(text, word, at + begin, at + stop);
        if (begin == 0)
            break; /* longer than this */
        at += begin;
    }
#endif
    while (at < end && !is_name[(uint8_t)*at])
        at++;
    start = at;
    while (at < end && is_name[(uint8_t)*at])
        at++;
    return name_found(text, word, start, at);
}

/* ---- many at once: a bit for each of 64 bytes, words from the places where the bits change ---- */

static uint64_t names_plain(const char *p)
{
    uint64_t mask = 0;

    for (uint32_t i = 0; i < 64; i++)
        mask |= (uint64_t)is_name[(uint8_t)p[i]] << i;
    return mask;
}

static uint64_t words_plain(const char *p)
{
    uint64_t mask = 0;

    for (uint32_t i = 0; i < 64; i++)
        mask |= (uint64_t)!is_space(p[i]) << i;
    return mask;
}

/* Less than 64 bytes. What lies behind them is read only where it is on the same page, and masked. */
static inline __attribute__((always_inline)) uint64_t mask_of_rest(uint64_t (*mask_of)(const char *), const char *p,
                                                                   uint32_t len)
{
    char block[64];

    if (RASK_WIDE_LOADS_ && ((uintptr_t)p & 4095) <= 4096 - 64)
        return mask_of(p) & ((UINT64_C(1) << len) - 1);
    memcpy(block, p, len);
    memset(block + len, ' ', sizeof(block) - len);
    return mask_of(block);
}

/*
 * Words begin where a bit is set and the one before is not, and end where it is the other way round; a word may go on in
 * the next 64 bytes.  At most `room` words; *text begins behind the last one.
 */
#define DEFINE_CUT(name, mask_of, attributes)                                                        \
    attributes static uint32_t name(rask_str *text, rask_str *words, uint32_t room)                  \
    {                                                                                                \
        const char *at = text->data, *end = at + text->len, *open = NULL;                            \
        uint32_t n = 0;                                                                              \
                                                                                                     \
        for (; at < end && n < room; at += 64) {                                                     \
            uint64_t mask = end - at >= 64 ? mask_of(at) : mask_of_rest(mask_of, at, (uint32_t)(end - at)); \
            uint64_t before = mask << 1 | (open != NULL), begins = mask & ~before, ends = before & ~mask;   \
            uint32_t count;                                                                          \
                                                                                                     \
            if (open && ends) {                                                                      \
                words[n].data = open;                                                                \
                words[n++].len = (uint32_t)(at + __builtin_ctzll(ends) - open);                      \
                ends &= ends - 1;                                                                    \
                open = NULL;                                                                         \
            }                                                                                        \
            count = (uint32_t)__builtin_popcountll(ends);                                            \
            count = count < room - n ? count : room - n;                                             \
            for (rask_str *w = words + n, *stop = w + count; w < stop; w++) {                        \
                uint32_t from = (uint32_t)__builtin_ctzll(begins);                                   \
                                                                                                     \
                w->data = at + from;                                                                 \
                w->len = (uint32_t)__builtin_ctzll(ends) - from;                                     \
                begins &= begins - 1;                                                                \
                ends &= ends - 1;                                                                    \
            }                                                                                        \
            n += count;                                                                              \
            if (begins && !open)                                                                     \
                open = at + __builtin_ctzll(begins);                                                 \
        }                                                                                            \
        if (n == room)                                                                               \
            at = words[n - 1].data + words[n - 1].len;                                               \
        else if (open) { /* up to the end of the text */                                             \
            words[n].data = open;                                                                    \
            words[n++].len = (uint32_t)(end - open);                                                 \
        }                                                                                            \
        text->data = n == room && at < end ? at : end;                                               \
        text->len = (uint32_t)(end - text->data);                                                    \
        return n;                                                                                    \
    }

DEFINE_CUT(cut_names, names_plain, )
DEFINE_CUT(cut_words, words_plain, )

#ifdef AVX2
AVX2 static inline uint32_t names_of_32(const char *p)
{
    const __m256i lows = _mm256_setr_epi8(NAME_LOWS, NAME_LOWS);
    const __m256i highs = _mm256_setr_epi8(NAME_HIGHS, NAME_HIGHS);
    __m256i v = _mm256_loadu_si256((const __m256i *)p), nibble = _mm256_set1_epi8(15);
    __m256i low = _mm256_shuffle_epi8(lows, _mm256_and_si256(v, nibble));
    __m256i high = _mm256_shuffle_epi8(highs, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble));
    __m256i none = _mm256_cmpeq_epi8(_mm256_and_si256(low, high), _mm256_setzero_si256());

    return ~(uint32_t)_mm256_movemask_epi8(none);
}

AVX2 static inline uint64_t names_avx2(const char *p)
{
    return names_of_32(p) | (uint64_t)names_of_32(p + 32) << 32;
}

AVX2 static inline uint32_t words_of_32(const char *p)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)p);
    __m256i space = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(' '));
    __m256i low = _mm256_add_epi8(v, _mm256_set1_epi8((char)(-128 - '\t')));
    __m256i control = _mm256_cmpgt_epi8(_mm256_set1_epi8((char)(-128 + 5)), low);

    return ~(uint32_t)_mm256_movemask_epi8(_mm256_or_si256(space, control));
}

AVX2 static inline uint64_t words_avx2(const char *p)
{
    return words_of_32(p) | (uint64_t)words_of_32(p + 32) << 32;
}

DEFINE_CUT(cut_names_avx2, names_avx2, AVX2)
DEFINE_CUT(cut_words_avx2, words_avx2, AVX2)

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("popcnt");
}
#endif

uint32_t rask_next_names(rask_str *text, rask_str *names, uint32_t room)
{
    if (room == 0)
        return 0;
#ifdef AVX2
    if (has_avx2())
        return cut_names_avx2(text, names, room);
#endif
    return cut_names(text, names, room);
}

uint32_t rask_next_words(rask_str *text, rask_str *words, uint32_t room)
{
    if (room == 0)
        return 0;
#ifdef AVX2
    if (has_avx2())
        return cut_words_avx2(text, words, room);
#endif
    return cut_words(text, words, room);
}

/* ---- texts of a column ---- */

enum { TEXT_MAX = 8192 }; /* of several rows: small enough for what is done with it to stay in the cache */

/* Nothing but white space lies between two cells, which refer to the same buffer. */
static inline bool is_behind(const rask_batch *b, const rask_view *cell, uint32_t at)
{
    const char *gap = (const char *)b->buffers[cell->u.ref.buffer]->data + at;
    uint32_t len = cell->u.ref.offset - at;

    return (len == 1 || len == 2) && is_space(gap[0]) && is_space(gap[len - 1]);
}

bool rask_next_text(const rask_batch *b, int column, uint32_t *row, rask_str *text)
{
    const rask_view *cells = b->columns[column].data, *first;
    uint32_t i = *row, end;

    if (i >= b->rows)
        return false;
    first = &cells[rask_position(b, i)];
    *text = rask_view_str(b, first);
    *row = i + 1;
    if (first->len <= 12)
        return true;
    end = first->u.ref.offset + first->len;
    for (i++; i < b->rows; i++) {
        const rask_view *cell = &cells[rask_position(b, i)];

        if (cell->len <= 12 || cell->u.ref.buffer != first->u.ref.buffer || cell->u.ref.offset <= end ||
            cell->u.ref.offset + cell->len - first->u.ref.offset > TEXT_MAX || !is_behind(b, cell, end))
            break;
        end = cell->u.ref.offset + cell->len;
    }
    *row = i;
    text->len = end - first->u.ref.offset;
    return true;
}

rask_str rask_lower_to(char *to, rask_str text)
{
    uint32_t i = 0;

#ifdef __SSE2__
    for (; i + 16 <= text.len; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(text.data + i));
        /* A .. Z, shifted to the bottom of the signed range, are the 26 smallest values */
        __m128i low = _mm_add_epi8(v, _mm_set1_epi8((char)(-128 - 'A')));
        __m128i big = _mm_cmplt_epi8(low, _mm_set1_epi8((char)(-128 + 26)));

        _mm_storeu_si128((__m128i *)(to + i), _mm_or_si128(v, _mm_and_si128(big, _mm_set1_epi8(0x20))));
    }
#endif
    for (; i < text.len; i++)
        to[i] = (char)(text.data[i] | (text.data[i] >= 'A' && text.data[i] <= 'Z' ? 0x20 : 0));
    text.data = to;
    return text;
}

rask_str rask_lower(rask_ctx *ctx, rask_str text)
{
    return rask_lower_to(rask_alloc(ctx, text.len), text);
}
