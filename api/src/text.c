/*
 * text.c - cutting words off a line and lower-casing, 16 bytes at a time on x86-64.
 */
#include <rask/rask.h>

#ifdef __SSSE3__
#include <tmmintrin.h>
#endif
#ifdef __SSE2__
#include <emmintrin.h>

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
/*
 * Bit i: byte i is of a name.  Each class of bytes has a bit that both the table of upper and that of lower halves
 * have: 1: 0-9, 2: A-O and a-o, 4: P-Z and p-z, 8: _.
 */
static inline uint32_t name_mask(const char *p)
{
    const __m128i lows = _mm_setr_epi8(5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 6, 2, 2, 2, 2, 10);
    const __m128i highs = _mm_setr_epi8(0, 0, 0, 1, 2, 4 | 8, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0);
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

rask_str rask_lower(rask_ctx *ctx, rask_str text)
{
    char *to = rask_alloc(ctx, text.len);
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
