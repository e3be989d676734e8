/*
 * wordcount.c - the word count that Rask is compared with: no library, nothing but what the task needs.
 *
 *     wordcount FILE              one thread
 *     wordcount FILE --threads 2  a part of the lines and a table of its own for each thread, without exchange
 *
 * Words are runs of [A-Za-z0-9_], lower-cased.  With one thread each word gives an update (word, count so far), and all
 * updates go into the checksum (checksum.h), as in bench/jobs/wordcount.c; rows are words.  With more of them the tables
 * are put together at the end, and the checksum is that of the last counts, as of the job with --merge; rows are words, too.
 */
#include <fcntl.h>
#include <unistd.h>

#include "bench/c/bench.h"
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

struct part {
    int fd;
    off_t from, to; /* of the file; to begins a line, or is its end */
    struct table table;
    uint64_t words, checksum;
    char padding[64];
};

static void *count_part(void *arg)
{
    struct part *p = arg;
    char *text = malloc(2 * BLOCK);
    size_t left = 0;
    bool last = false;

    if (!text)
        bench_die("malloc");
    table_init(&p->table, SLOTS_FIRST);
    for (off_t at = p->from; !last;) {
        size_t want = p->to - at < BLOCK ? (size_t)(p->to - at) : BLOCK, from;
        ssize_t n = pread(p->fd, text + left, want, at);

        if (n < 0 || left > BLOCK)
            bench_die("wordcount: the file cannot be read, or has a word of 256 KiB");
        last = n == 0;
        at += n;
        from = count_block(&p->table, text, left + (size_t)n, last, &p->words, &p->checksum);
        left = left + (size_t)n - from;
        memmove(text, text + from, left);
    }
    free(text);
    return NULL;
}

/* The first line that begins at `at` or behind it. */
static off_t line_at(int fd, off_t at, off_t size)
{
    char c;

    while (at > 0 && at < size && pread(fd, &c, 1, at - 1) == 1 && c != '\n')
        at++;
    return at;
}

/* The counts of all parts together, in the first one's table; their checksum. */
static uint64_t last_counts(struct part *parts, size_t count)
{
    struct table *all = &parts[0].table;
    uint64_t checksum = 0;

    for (size_t p = 1; p < count; p++) {
        for (size_t i = 0; i <= parts[p].table.mask; i++) {
            const struct entry *from = &parts[p].table.slots[i];
            struct entry *to;

            if (from->count == 0)
                continue;
            if ((all->used + 1) * 2 > all->mask)
                grow(all);
            to = find(all, from->hash, from->word, from->len);
            all->used += to->count == 0;
            *to = (struct entry){from->hash, from->word, from->len, to->count + from->count};
        }
    }
    for (size_t i = 0; i <= all->mask; i++)
        if (all->slots[i].count)
            checksum += checksum_update(all->slots[i].hash, all->slots[i].count);
    return checksum;
}

int main(int argc, char **argv)
{
    uint64_t threads = bench_option(argc, argv, "threads", 1), words = 0, checksum;
    double begin = bench_seconds();
    int fd = argc >= 2 ? open(argv[1], O_RDONLY) : -1;
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    struct part *parts = calloc(threads, sizeof(*parts));

    if (fd < 0 || !parts) {
        fprintf(stderr, "Usage: wordcount FILE [--threads N]\n");
        return 1;
    }
    lower_init();
    for (uint64_t i = 0; i < threads; i++) {
        parts[i].fd = fd;
        parts[i].from = line_at(fd, size / (off_t)threads * (off_t)i, size);
        parts[i].to = i + 1 == threads ? size : line_at(fd, size / (off_t)threads * (off_t)(i + 1), size);
    }
    bench_threads(threads, count_part, parts, sizeof(*parts));
    for (uint64_t i = 0; i < threads; i++)
        words += parts[i].words;
    checksum = threads == 1 ? parts[0].checksum : last_counts(parts, threads);
    close(fd);
    return bench_tell(words, checksum, bench_seconds() - begin);
}
