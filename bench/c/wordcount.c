/*
 * wordcount.c - the word count that Rask is compared with: one thread, no library, nothing but what the task needs.
 *
 *     wordcount FILE
 *
 * Words are runs of [A-Za-z0-9_], lower-cased.  Each word gives an update (word, count so far), and all updates go into
 * a checksum (checksum.h), as in bench/jobs/wordcount.c.  Prints rows (words), checksum and seconds.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/checksum.h"

enum { BLOCK = 1 << 18, SLOTS_FIRST = 1 << 12 };

struct entry {
    uint64_t hash;
    char *word;
    uint32_t len;
    uint32_t count; /* 0: free */
};

struct table {
    struct entry *slots;
    size_t mask, used;
};

static char lower[256]; /* the letter of a word, lower-cased; 0: not of a word */

static void lower_init(void)
{
    for (int c = 0; c < 256; c++) {
        bool small = c >= 'a' && c <= 'z', digit = c >= '0' && c <= '9', big = c >= 'A' && c <= 'Z';

        lower[c] = (char)(small || digit || c == '_' ? c : big ? c - 'A' + 'a' : 0);
    }
}

static void table_init(struct table *t, size_t slots)
{
    t->slots = calloc(slots, sizeof(*t->slots));
    t->mask = slots - 1;
    t->used = 0;
    if (!t->slots)
        exit(1);
}

static struct entry *find(const struct table *t, uint64_t hash, const char *word, uint32_t len)
{
    for (size_t at = hash & t->mask;; at = (at + 1) & t->mask) {
        struct entry *e = &t->slots[at];

        if (e->count == 0 || (e->hash == hash && e->len == len && memcmp(e->word, word, len) == 0))
            return e;
    }
}

static void grow(struct table *t)
{
    struct table old = *t;

    table_init(t, (old.mask + 1) * 2);
    t->used = old.used;
    for (size_t i = 0; i <= old.mask; i++)
        if (old.slots[i].count)
            *find(t, old.slots[i].hash, old.slots[i].word, old.slots[i].len) = old.slots[i];
    free(old.slots);
}

/* Returns the checksum of the update. */
static uint64_t count(struct table *t, const char *word, uint32_t len)
{
    uint64_t hash = checksum_word(word, len);
    struct entry *e = find(t, hash, word, len);

    if (e->count == 0) {
        if (++t->used * 2 > t->mask) {
            grow(t);
            e = find(t, hash, word, len);
        }
        e->hash = hash;
        e->len = len;
        e->word = malloc(len + 1);
        if (!e->word)
            exit(1);
        memcpy(e->word, word, len);
    }
    e->count++;
    return checksum_update(hash, e->count);
}

/* Counts the words of text[0, len); returns where the last one begins that may go on, or len. */
static size_t count_block(struct table *t, char *text, size_t len, bool last, uint64_t *words, uint64_t *checksum)
{
    size_t at = 0;

    for (;;) {
        size_t start;

        while (at < len && !lower[(uint8_t)text[at]])
            at++;
        start = at;
        while (at < len && lower[(uint8_t)text[at]]) {
            text[at] = lower[(uint8_t)text[at]];
            at++;
        }
        if (at == start)
            return len;
        if (at == len && !last)
            return start;
        *checksum += count(t, text + start, (uint32_t)(at - start));
        ++*words;
    }
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
    static char text[2 * BLOCK];
    struct table table;
    uint64_t words = 0, checksum = 0;
    size_t left = 0;
    double begin = seconds();
    int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;

    if (fd < 0) {
        fprintf(stderr, "Usage: wordcount FILE\n");
        return 1;
    }
    lower_init();
    table_init(&table, SLOTS_FIRST);
    for (;;) {
        ssize_t n = left < BLOCK ? read(fd, text + left, BLOCK) : -1;
        size_t held = left + (size_t)n, from;

        if (n < 0) {
            fprintf(stderr, "wordcount: %s cannot be read, or has a word of %d bytes\n", argv[1], BLOCK);
            return 1;
        }
        from = count_block(&table, text, held, n == 0, &words, &checksum);
        left = held - from;
        memmove(text, text + from, left);
        if (n == 0)
            break;
    }
    close(fd);
    printf("rows=%llu checksum=%llu seconds=%.6f\n", (unsigned long long)words, (unsigned long long)checksum,
           seconds() - begin);
    return 0;
}
