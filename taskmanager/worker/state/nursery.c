/*
 * nursery.c - memory for the pages and indexes of small states: all states of a worker that share a budget share chunks of
 * 2 MiB, which the system is asked to back with one huge page each.  A hundred states of some hundred KiB, as a job of high
 * parallelism has, would else have each of their pages of 4 KiB made by the kernel at the first touch.
 *
 * It begins when the states of the worker hold NURSERY_FROM_BYTES together, so a small job has no more than it needs.  A piece
 * is charged to its state like memory of libc, what is free in the chunks to the budget.  A chunk without pieces goes, but
 * for one.  States that grow large take chunks of their own (rooms.c).
 * Thread: any, as states of several tasks and the readers of snapshots come here; begun and ended by who makes and frees states.
 */
#include <pthread.h>

#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "taskmanager/worker/state/state_private.h"

#define CHUNK_BYTES MEM_HUGE_BYTES
#define PIECE_BYTES ((size_t)4096)
#define NURSERY_FROM_BYTES (4u << 20)
#define WORD_BITS 64u
#define CHUNK_WORDS (CHUNK_BYTES / PIECE_BYTES / WORD_BITS)
#define LOOKS_MAX 8u /* chunks that are asked for room, those that got something back last first */

struct nursery_chunk {
    struct list node; /* lock: in `open` while something is free */
    char *data;
    uint64_t used[CHUNK_WORDS]; /* lock: a bit for each PIECE_BYTES */
    uint32_t pieces;            /* lock: bits that are set */
};

struct nursery {
    uint32_t refs; /* atomic: states, those too that only a snapshot holds */
    uint32_t states; /* of the budget */
    pthread_mutex_t lock;
    struct wk_state_budget *budget; /* lock; NULL: all of its states are freed */
    struct map *chunks;             /* lock: by address */
    struct list open;               /* lock */
};

void wk_nursery_join(struct wk_state *s)
{
    struct nursery *n = s->budget->nursery;

    if (!n) {
        n = MEM_NEW(struct nursery);
        pthread_mutex_init(&n->lock, NULL);
        n->budget = s->budget;
        n->chunks = map_new();
        list_init(&n->open);
        s->budget->nursery = n;
    }
    __atomic_add_fetch(&n->refs, 1, __ATOMIC_RELAXED);
    n->states++;
    s->nursery = n;
}

static void count_spare(struct nursery *n, int64_t bytes)
{
    if (n->budget)
        __atomic_add_fetch(&n->budget->used_bytes, (uint64_t)bytes, __ATOMIC_RELAXED);
}

void wk_nursery_leave(struct wk_state *s)
{
    struct nursery *n = s->nursery;

    CHECK(n->states > 0);
    if (--n->states > 0)
        return;
    s->budget->nursery = NULL;
    pthread_mutex_lock(&n->lock);
    for (struct map_iter it = map_iter(n->chunks); map_next(&it);)
        count_spare(n, -(int64_t)(CHUNK_BYTES - ((struct nursery_chunk *)it.value)->pieces * PIECE_BYTES));
    n->budget = NULL;
    pthread_mutex_unlock(&n->lock);
}

static void chunk_free(struct nursery *n, struct nursery_chunk *c)
{
    CHECK(c->pieces == 0);
    list_remove(&c->node);
    map_remove_u64(n->chunks, (uintptr_t)c->data);
    mem_free(c->data);
    mem_free(c);
}

void wk_nursery_unref(struct nursery *n)
{
    if (__atomic_sub_fetch(&n->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    LIST_FOREACH_SAFE(at, &n->open)
        chunk_free(n, LIST_ENTRY(at, struct nursery_chunk, node));
    CHECK(map_size(n->chunks) == 0);
    map_free(n->chunks);
    pthread_mutex_destroy(&n->lock);
    mem_free(n);
}

/* The bits at which so many free ones begin: a power of two up to WORD_BITS, aligned to it. */
static uint64_t free_runs(uint64_t used, uint32_t count)
{
    uint64_t runs = ~used;

    for (uint32_t n = 1; n < count; n *= 2)
        runs &= runs >> n;
    return count == WORD_BITS ? runs & 1 : runs & UINT64_MAX / ((UINT64_C(1) << count) - 1);
}

static uint64_t run_bits(uint32_t count)
{
    return count == WORD_BITS ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

/* Takes so many of PIECE_BYTES out of a chunk, a power of two; NULL: they are not there. */
static void *take(struct nursery_chunk *c, uint32_t count)
{
    for (uint32_t word = 0; word < CHUNK_WORDS; word++) {
        uint64_t runs = free_runs(c->used[word], count);

        if (runs) {
            uint32_t at = (uint32_t)__builtin_ctzll(runs);

            c->used[word] |= run_bits(count) << at;
            c->pieces += count;
            return c->data + (word * WORD_BITS + at) * PIECE_BYTES;
        }
    }
    return NULL;
}

/* NULL: the budget is used up, or the worker too small for one. */
static struct nursery_chunk *chunk_new(struct nursery *n)
{
    uint64_t used = __atomic_load_n(&n->budget->used_bytes, __ATOMIC_RELAXED);
    struct nursery_chunk *c;

    if (used < NURSERY_FROM_BYTES || used + CHUNK_BYTES > n->budget->limit_bytes)
        return NULL;
    c = MEM_NEW(struct nursery_chunk);
    c->data = mem_alloc_huge(CHUNK_BYTES);
    list_push_front(&n->open, &c->node);
    map_put_u64(n->chunks, (uintptr_t)c->data, c);
    count_spare(n, CHUNK_BYTES);
    return c;
}

void *wk_nursery_alloc(struct nursery *n, size_t bytes)
{
    uint32_t count = (uint32_t)(bytes / PIECE_BYTES), looks = 0;
    struct nursery_chunk *c = NULL;
    void *p = NULL;

    if (bytes < PIECE_BYTES || bytes > WORD_BITS * PIECE_BYTES || (bytes & (bytes - 1)) != 0)
        return NULL;
    pthread_mutex_lock(&n->lock);
    CHECK(n->budget != NULL);
    LIST_FOREACH(at, &n->open) {
        c = LIST_ENTRY(at, struct nursery_chunk, node);
        p = take(c, count);
        if (p || ++looks == LOOKS_MAX)
            break;
    }
    if (!p && (c = chunk_new(n)) != NULL)
        p = take(c, count);
    if (p && c->pieces == CHUNK_BYTES / PIECE_BYTES)
        list_remove(&c->node);
    if (p)
        count_spare(n, -(int64_t)bytes);
    pthread_mutex_unlock(&n->lock);
    return p;
}

bool wk_nursery_free(struct nursery *n, void *p, size_t bytes)
{
    uintptr_t base = (uintptr_t)p & ~(uintptr_t)(CHUNK_BYTES - 1);
    uint32_t at = (uint32_t)(((uintptr_t)p - base) / PIECE_BYTES), count = (uint32_t)(bytes / PIECE_BYTES);
    struct nursery_chunk *c;

    if (bytes < PIECE_BYTES)
        return false;
    pthread_mutex_lock(&n->lock);
    c = map_get_u64(n->chunks, base);
    if (c) {
        CHECK((c->used[at / WORD_BITS] >> at % WORD_BITS & run_bits(count)) == run_bits(count));
        if (c->pieces == CHUNK_BYTES / PIECE_BYTES)
            list_push_front(&n->open, &c->node);
        c->used[at / WORD_BITS] &= ~(run_bits(count) << at % WORD_BITS);
        c->pieces -= count;
        count_spare(n, (int64_t)bytes);
        if (c->pieces == 0 && n->open.next != n->open.prev) { /* another one has room */
            count_spare(n, -(int64_t)CHUNK_BYTES);
            chunk_free(n, c);
        }
    }
    pthread_mutex_unlock(&n->lock);
    return c != NULL;
}
