/*
 * gen_text.c - writes text for the word count: the same bytes for the same seed, on every machine.
 *
 *     gen_text BYTES [SEED] >text
 *
 * 50,000 words; the n-th most frequent one comes in proportion to 1/n (Zipf), as in prose: the first hundred are half
 * of the text.  Frequent words are shorter.  Lines of about 70 bytes with capitals and punctuation.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 50000, WORD_MAX = 16, DRAWS_BITS = 20, LINE_BYTES = 70, OUT_BYTES = 1 << 16 };

struct word {
    uint8_t len;
    char text[WORD_MAX];
};

static uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Words of 2 to 5 letters for the first hundred, up to 14 for the rare ones. Two of them may be equal. */
static void make_words(struct word *words, uint64_t *random)
{
    static const char letters[] = "etaoinshrdlucmfwypvbgkjqxzetaoinshretaoinetao"; /* by their frequency */

    for (uint32_t i = 0; i < WORDS; i++) {
        uint32_t spread = i < 100 ? 4 : i < 2000 ? 8 : 11;

        words[i].len = (uint8_t)((i < 100 ? 2 : 4) + next_random(random) % spread);
        for (uint32_t k = 0; k < words[i].len; k++)
            words[i].text[k] = letters[next_random(random) % (sizeof(letters) - 1)];
    }
}

/* Each word as often as it is to be drawn, at least once if there is room. */
static void make_draws(uint16_t *draws)
{
    double sum = 0, total = 0;
    uint32_t at = 0;

    for (uint32_t i = 0; i < WORDS; i++)
        total += 1.0 / (i + 1);
    for (uint32_t i = 0; i < WORDS; i++) {
        uint32_t end;

        sum += 1.0 / (i + 1);
        end = (uint32_t)(sum / total * (1 << DRAWS_BITS));
        while (at < end)
            draws[at++] = (uint16_t)i;
    }
    while (at < 1 << DRAWS_BITS)
        draws[at++] = 0;
}

static uint32_t add_word(char *to, const struct word *w, uint64_t luck)
{
    uint32_t n = w->len;

    memcpy(to, w->text, WORD_MAX);
    if (luck % 16 == 0)
        to[0] = (char)(to[0] - 'a' + 'A');
    if (luck / 16 % 8 == 0)
        to[n++] = ",.;:'\"-("[luck / 128 % 8];
    return n;
}

int main(int argc, char **argv)
{
    uint64_t bytes = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, written = 0;
    uint64_t random = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    struct word *words = calloc(WORDS, sizeof(*words));
    uint16_t *draws = calloc((size_t)1 << DRAWS_BITS, sizeof(*draws));
    static char out[OUT_BYTES + 64];

    if (bytes == 0 || !words || !draws) {
        fprintf(stderr, "Usage: gen_text BYTES [SEED] >text\n");
        return 1;
    }
    make_words(words, &random);
    make_draws(draws);
    while (written < bytes) {
        uint32_t used = 0, line = 0;

        while (used < OUT_BYTES) {
            uint64_t r = next_random(&random);
            uint32_t n = add_word(out + used, &words[draws[r & ((1 << DRAWS_BITS) - 1)]], r >> DRAWS_BITS);

            used += n;
            line = line + n + 1 >= LINE_BYTES ? 0 : line + n + 1;
            out[used++] = line ? ' ' : '\n';
        }
        if (used > bytes - written)
            used = (uint32_t)(bytes - written);
        if (fwrite(out, 1, used, stdout) != used) {
            perror("gen_text");
            return 1;
        }
        written += used;
    }
    free(words);
    free(draws);
    return fflush(stdout) == 0 ? 0 : 1;
}
