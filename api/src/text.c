/*
 * text.c - cutting words off a line, 16 bytes at a time where the machine has SSE2.
 */
#include <rask/rask.h>

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

bool rask_next_name(rask_str *text, rask_str *word)
{
    const char *at = text->data, *end = at + text->len, *start;

    while (at < end && !is_name[(uint8_t)*at])
        at++;
    start = at;
    while (at < end && is_name[(uint8_t)*at])
        at++;
    word->data = start;
    word->len = (uint32_t)(at - start);
    text->data = at;
    text->len = (uint32_t)(end - at);
    return at > start;
}
