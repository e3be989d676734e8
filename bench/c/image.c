/*
 * image.c - an image of all entries as of one moment, while they are changed as fast as it goes, without an engine.
 *
 *     image --keys 9400000 --images 3 --mb 200 --file image.tmp
 *
 * Two threads add to values of 104 bytes at random keys, each in a table of its own, without an exchange between them.  A third
 * one writes images: slots in order, and of those that change before it has come to them what the thread wrote down at the first
 * change; CRC32C of each MiB, past the page cache where that can be, synced at the end.
 * --mb: a second, at most; 0: as fast as the disk.
 *
 * Per image a line: seconds, bytes, rows a second in 1.5 s before it and as many behind it, and during it, the longest time between two batches.
 * The sums in an image have to be those of the threads' moment, each key once; else it says so and fails.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>
#ifdef __SSE4_2__
#include <nmmintrin.h>
#endif

#include "bench/c/bench.h"
#include "bench/rows.h"

enum { PARTS = 2, RUN = 32, BATCH = 4096, NUMBERS = 13, BLOCK_SLOTS = 512, TICK_US = 5000, TICKS = 40000, AROUND_US = 1500000 };
#define PIECE_BYTES (1u << 20)

struct record {
    uint64_t key; /* plus 1; 0: free */
    uint64_t number[NUMBERS];
};
struct slot {
    struct record record;
    uint64_t epoch; /* of its last change */
    uint64_t unused;
} __attribute__((aligned(128)));
_Static_assert(sizeof(struct slot) == 128, "two lines of the cache");

struct tick {
    uint32_t rows, gap_us;
};

struct part {
    struct row4_split split;
    struct slot *table, *notes;
    uint64_t slots, noted, epoch, total, frozen_total, checksum, rows;
    int shift;
    struct tick ticks[TICKS];
    uint64_t run __attribute__((aligned(128))); /* atomic; odd: the thread changes slots */
    uint64_t at __attribute__((aligned(128)));  /* atomic; 2 * n + 1: block n is being read; one more: it has been; 0: none */
    uint64_t frozen;                            /* atomic; the image whose moment has been */
};

static struct part part[PARTS];
static uint64_t wanted, begin_us; /* wanted: atomic; the image that is to begin */
static bool ending;               /* atomic */

static uint64_t now_us(void)
{
    return (uint64_t)(bench_seconds() * 1e6);
}

/* ---- the threads that change the tables ---- */

/* Where the writer is; it goes to no other block that is changed until end_run. */
static uint64_t begin_run(struct part *p)
{
    __atomic_store_n(&p->run, p->run + 1, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&p->at, __ATOMIC_SEQ_CST);
}
static void end_run(struct part *p)
{
    __atomic_store_n(&p->run, p->run + 1, __ATOMIC_RELEASE);
}

/* Whole lines that nothing is read for. */
static void write_down(struct slot *to, const struct slot *from)
{
#ifdef __SSE2__
    for (size_t i = 0; i < sizeof(*to) / sizeof(__m128i); i++)
        _mm_stream_si128((__m128i *)(void *)to + i, _mm_load_si128((const __m128i *)(const void *)from + i));
#else
    memcpy(to, from, sizeof(*to));
#endif
}

/* The first change of a slot in this epoch. Where the writer is now. */
static uint64_t first_change(struct part *p, struct slot *s, uint64_t at)
{
    uint64_t reading = (uint64_t)(s - p->table) / BLOCK_SLOTS * 2 + 1;

    while (reading == at) { /* some 10 us */
        end_run(p);
        sched_yield();
        at = begin_run(p);
    }
    if (reading > at && s->record.key)
        write_down(&p->notes[p->noted++], s);
    s->epoch = p->epoch;
    return at;
}

static void add_rows(struct part *p, const struct row4 *rows, uint64_t count)
{
    uint64_t slot[RUN], mask = p->slots - 1, at;

    for (uint64_t i = 0; i < count; i++) {
        slot[i] = rows[i].a * ROWS_GOLDEN >> p->shift;
        __builtin_prefetch(&p->table[slot[i]], 1);
        __builtin_prefetch((char *)&p->table[slot[i]] + 64, 1);
    }
    at = begin_run(p);
    for (uint64_t i = 0; i < count; i++) {
        struct slot *s = &p->table[slot[i]];

        while (s->record.key && s->record.key != rows[i].a + 1)
            s = &p->table[(uint64_t)(s - p->table + 1) & mask];
        if (s->epoch != p->epoch)
            at = first_change(p, s, at);
        s->record.key = rows[i].a + 1;
        s->record.number[0] += rows[i].b;
        p->checksum += row4_check(rows[i].a, s->record.number[0], 0, 0);
        p->total += rows[i].b;
    }
    end_run(p);
}

static void add_batch(struct part *p, uint64_t from, uint64_t count, bool fill)
{
    const struct row4_split *s = &p->split;
    struct row4 rows[RUN];

    for (uint64_t i = 0; i < count; i += RUN) {
        uint64_t n = count - i < RUN ? count - i : RUN;

        for (uint64_t j = 0; j < n; j++) {
            rows[j] = row4_keyed(s->number, s->count, s->keys, from + i + j);
            if (fill)
                rows[j] = (struct row4){.a = (from + i + j) * s->count + s->number, .b = 1};
        }
        add_rows(p, rows, n);
    }
    p->rows += count;
}

/* The moment of an image. */
static void freeze(struct part *p, uint64_t image)
{
    p->frozen_total = p->total;
    p->noted = 0;
    __atomic_store_n(&p->at, 0, __ATOMIC_RELAXED); /* the writer has seen the end of the one before */
    p->epoch = image;
    __atomic_store_n(&p->frozen, image, __ATOMIC_RELEASE);
}

static void *change(void *arg)
{
    struct part *p = arg;
    uint64_t fill = p->split.keys / p->split.count, last_us = now_us();

    for (uint64_t i = 0; i < fill; i += BATCH)
        add_batch(p, i, fill - i < BATCH ? fill - i : BATCH, true);
    for (uint64_t i = 0; !__atomic_load_n(&ending, __ATOMIC_ACQUIRE); i += BATCH) {
        uint64_t image = __atomic_load_n(&wanted, __ATOMIC_ACQUIRE), now, tick;

        if (image != p->epoch)
            freeze(p, image);
        add_batch(p, i, BATCH, false);
        now = now_us();
        tick = (now - begin_us) / TICK_US;
        if (tick < TICKS) {
            p->ticks[tick].rows += BATCH;
            p->ticks[tick].gap_us = now - last_us > p->ticks[tick].gap_us ? (uint32_t)(now - last_us) : p->ticks[tick].gap_us;
        }
        last_us = now;
    }
    return NULL;
}

/* ---- the one that writes ---- */

struct image {
    int fd;
    uint8_t *piece;
    size_t len;
    uint64_t bytes, records, total, mb, begin_us;
    uint32_t crc;
};

static uint32_t crc32c(const uint8_t *data, size_t len)
{
    uint64_t crc = UINT32_MAX;

    for (size_t i = 0; i < len; i += 8) { /* a multiple: records are */
#ifdef __SSE4_2__
        uint64_t word;

        memcpy(&word, data + i, 8);
        crc = _mm_crc32_u64(crc, word);
#else
        for (size_t k = 0; k < 8; k++) {
            crc ^= data[i + k];
            for (int bit = 0; bit < 8; bit++)
                crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
        }
#endif
    }
    return ~(uint32_t)crc;
}

static void write_piece(struct image *m)
{
    uint64_t due_us;

    m->crc ^= crc32c(m->piece, m->len);
    memset(m->piece + m->len, 0, PIECE_BYTES - m->len);
    if (write(m->fd, m->piece, PIECE_BYTES) != PIECE_BYTES)
        bench_die("write");
    m->bytes += m->len;
    m->len = 0;
    due_us = m->mb ? m->begin_us + m->bytes / m->mb : 0;
    for (uint64_t now = now_us(); now < due_us; now = now_us())
        usleep((useconds_t)(due_us - now));
}

static void write_slot(struct image *m, const struct slot *s)
{
    if (m->len + sizeof(s->record) > PIECE_BYTES)
        write_piece(m);
    memcpy(m->piece + m->len, &s->record, sizeof(s->record));
    m->len += sizeof(s->record);
    m->total += s->record.number[0];
    m->records++;
}

/* From now on nothing of that block is changed that the image wants. */
static void begin_block(struct part *p, uint64_t block)
{
    uint64_t run;

    __atomic_store_n(&p->at, 2 * block + 1, __ATOMIC_SEQ_CST);
    run = __atomic_load_n(&p->run, __ATOMIC_SEQ_CST);
    while (run % 2 && __atomic_load_n(&p->run, __ATOMIC_SEQ_CST) == run)
        sched_yield();
}

/* A block is copied before it is written, so nobody waits for the disk. */
static void write_part(struct image *m, struct part *p, uint64_t image)
{
    static struct slot block[BLOCK_SLOTS];
    uint64_t blocks = p->slots / BLOCK_SLOTS;

    while (__atomic_load_n(&p->frozen, __ATOMIC_ACQUIRE) != image)
        sched_yield();
    for (uint64_t b = 0; b < blocks; b++) {
        const struct slot *from = &p->table[b * BLOCK_SLOTS];
        size_t count = 0;

        begin_block(p, b);
        for (size_t i = 0; i < BLOCK_SLOTS; i++)
            if (__atomic_load_n(&from[i].epoch, __ATOMIC_RELAXED) != image && from[i].record.key)
                block[count++] = from[i];
        __atomic_store_n(&p->at, 2 * b + 2, __ATOMIC_SEQ_CST);
        for (size_t i = 0; i < count; i++)
            write_slot(m, &block[i]);
    }
    begin_block(p, blocks);
    for (uint64_t i = 0; i < p->noted; i++)
        write_slot(m, &p->notes[i]);
}

/* Rows a second, and *ret_gap_ms: the longest time between two batches. */
static double rate(uint64_t from_us, uint64_t to_us, double *ret_gap_ms)
{
    uint64_t rows = 0, gap = 0;

    for (size_t i = 0; i < PARTS; i++)
        for (uint64_t t = (from_us - begin_us) / TICK_US; t < (to_us - begin_us) / TICK_US && t < TICKS; t++) {
            rows += part[i].ticks[t].rows;
            gap = part[i].ticks[t].gap_us > gap ? part[i].ticks[t].gap_us : gap;
        }
    *ret_gap_ms = (double)gap / 1e3;
    return (double)rows / (double)(to_us - from_us) * 1e6;
}

static int write_image(const char *path, uint64_t image, uint64_t mb, uint64_t keys)
{
    struct image m = {.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT, 0666), .piece = bench_memory(2 * PIECE_BYTES), .mb = mb};
    double other_gap, gap, around, during;
    uint64_t total = 0, end_us;

    if (m.fd < 0)
        m.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (m.fd < 0)
        bench_die(path);
    m.begin_us = now_us();
    __atomic_store_n(&wanted, image, __ATOMIC_RELEASE);
    for (size_t i = 0; i < PARTS; i++)
        write_part(&m, &part[i], image);
    write_piece(&m);
    if (strcmp(path, "/dev/null") != 0 && fsync(m.fd) != 0)
        bench_die("fsync");
    end_us = now_us();
    close(m.fd);
    munmap(m.piece, 2 * PIECE_BYTES);
    for (size_t i = 0; i < PARTS; i++)
        total += part[i].frozen_total;
    usleep(AROUND_US);
    around = (rate(m.begin_us - AROUND_US, m.begin_us, &other_gap) + rate(end_us, end_us + AROUND_US, &other_gap)) / 2;
    during = rate(m.begin_us, end_us, &gap);
    printf("image=%" PRIu64 " seconds=%.3f bytes=%" PRIu64 " crc=%" PRIu32 " around=%.0f during=%.0f gap_ms=%.3f\n",
           image, (double)(end_us - m.begin_us) / 1e6, m.bytes, m.crc, around, during, gap);
    if (m.total == total && m.records == keys)
        return 0;
    fprintf(stderr, "the image is not of its moment: %" PRIu64 " records, sum %" PRIu64 " and not %" PRIu64 "\n", m.records, m.total, total);
    return 1;
}

int main(int argc, char **argv)
{
    uint64_t keys = bench_option(argc, argv, "keys", 9400000) / PARTS * PARTS, images = bench_option(argc, argv, "images", 3);
    uint64_t mb = bench_option(argc, argv, "mb", 0);
    const char *path = bench_word(argc, argv, "file", "image.tmp");
    pthread_t thread[PARTS];
    int rc = 0;

    begin_us = now_us();
    for (size_t i = 0; i < PARTS; i++) {
        part[i].split = row4_split_of(i, PARTS, 0, keys);
        part[i].shift = 64 - 9;
        for (part[i].slots = BLOCK_SLOTS; part[i].slots * 3 < keys / PARTS * 4; part[i].slots *= 2)
            part[i].shift--;
        part[i].table = bench_memory(part[i].slots * sizeof(struct slot));
        part[i].notes = bench_memory(keys / PARTS * sizeof(struct slot));
        if (pthread_create(&thread[i], NULL, change, &part[i]) != 0)
            bench_die("pthread_create");
    }
    for (size_t i = 0; i < PARTS; i++) /* full */
        while (__atomic_load_n(&part[i].rows, __ATOMIC_RELAXED) < keys)
            usleep(10000);
    for (uint64_t i = 1; i <= images && rc == 0; i++) {
        usleep(AROUND_US); /* behind what was looked at of the one before */
        rc = write_image(path, i, mb, keys);
    }
    __atomic_store_n(&ending, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < PARTS; i++)
        pthread_join(thread[i], NULL);
    if (strncmp(path, "/dev/", 5) != 0)
        unlink(path);
    return rc;
}
