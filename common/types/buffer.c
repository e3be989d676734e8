/*
 * buffer.c - the pool: size classes with a lock and a list of free blocks each.
 *
 * A class is a quarter of a doubling (64, 80, 96, 112, 128, 160 ...), so at most a fifth of a block
 * is waste.  A buffer is one block: its header in the first 64 bytes, its data behind it.  What is
 * larger than the largest class goes to libc and is not kept.  Thread: any; a class's lock is held
 * for a few instructions and nothing else is locked under it.
 *
 * Headers of slices come and go by the million a second, and mostly where they came from.  So each thread has a shelf of small
 * blocks, still in its core's cache, and changes nothing that another core changes: a lock and five counts that two cores share
 * cost 115 ns for each header.  Threads have numbers, and a pool as many shelves as there may be threads that matter: two that
 * have one between them find it taken now and then, and do without.
 */
#include "common/types/buffer.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/mem.h"

enum {
    CLASSES = 64,
    CLASS_MIN = 64,
    HEADER = 64,
    POOL_MAGIC = 0x9001,
    LARGE_BYTES = 128 << 10, /* a new one costs more than a larger one that is there already */
    LARGER_MAX = 8,          /* classes: up to four times as large */
    SHELVES = 16,
    SHELF_CLASSES = 17,      /* blocks of up to 1 KiB */
    SHELF_BYTES = 16 << 10,  /* of a class: more go back to the class, half of them */
    SHELF_COUNT_BYTES = 32 << 10, /* a shelf tells the pool when what it gave out has changed by so much */
};

#if defined(__SANITIZE_ADDRESS__)
#define POOL_EXACT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_EXACT 1
#endif
#endif
#ifndef POOL_EXACT
#define POOL_EXACT 0
#endif

struct free_block {
    struct free_block *next;
};

struct pool_class {
    pthread_mutex_t lock;
    struct free_block *free; /* changed under the lock; atomic for who only looks whether there is one */
} __attribute__((aligned(64)));

struct shelf {
    int taken;                /* atomic: a thread is at it */
    int64_t in_use_bytes;     /* written at it: given out and not told to the pool yet; what lies here counts as kept there */
    uint64_t gets;
    struct free_block *free[SHELF_CLASSES];
    uint32_t count[SHELF_CLASSES];
} __attribute__((aligned(128)));

struct pool {
    uint32_t magic;
    int64_t budget_bytes;
    uint32_t row_max;
    /* changed atomically, relaxed: they are figures, nothing is published by them; shelves may take away before they add */
    int64_t in_use_bytes __attribute__((aligned(64)));
    int64_t peak_bytes, kept_bytes;
    uint64_t allocations, gets;
    struct pool_class classes[CLASSES];
    struct shelf shelves[SHELVES];
};

_Static_assert(sizeof(rask_buffer) <= HEADER, "a buffer's header fits before its data");

static uint32_t class_of(uint64_t size)
{
    uint64_t n = size - 1;
    uint32_t top;

    if (size <= CLASS_MIN)
        return 0;
    top = 63 - (uint32_t)__builtin_clzll(n);
    return (top - 6) * 4 + (uint32_t)(n >> (top - 2)) - 3;
}

static uint64_t class_size(uint32_t class)
{
    return (uint64_t)(4 + class % 4) << (class / 4 + 4);
}

/* The bytes that a request really takes. Under AddressSanitizer no rounding hides an overrun. */
static uint64_t block_size(uint64_t size)
{
    uint32_t class = class_of(size);

    if (POOL_EXACT)
        return (size + 7) & ~(uint64_t)7;
    return class < CLASSES ? class_size(class) : (size + 4095) & ~(uint64_t)4095;
}

struct pool *pool_new(uint64_t budget_bytes)
{
    struct pool *pool;
    void *p = NULL;

    CHECK(posix_memalign(&p, _Alignof(struct pool), sizeof(*pool)) == 0);
    pool = p;
    memset(pool, 0, sizeof(*pool));
    pool->magic = POOL_MAGIC;
    pool->budget_bytes = budget_bytes && budget_bytes < INT64_MAX ? (int64_t)budget_bytes : INT64_MAX;
    pool->row_max = POOL_ROW_BYTES_MAX;
    for (uint32_t i = 0; i < CLASSES; i++)
        CHECK(pthread_mutex_init(&pool->classes[i].lock, NULL) == 0);
    return pool;
}

static void raise_peak(struct pool *pool, int64_t now)
{
    int64_t peak = __atomic_load_n(&pool->peak_bytes, __ATOMIC_RELAXED);

    while (now > peak && !__atomic_compare_exchange_n(&pool->peak_bytes, &peak, now, true,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

/* From first to last, which are chained. */
static void class_push(struct pool *pool, uint32_t class, struct free_block *first, struct free_block *last)
{
    struct pool_class *c = &pool->classes[class];

    pthread_mutex_lock(&c->lock);
    last->next = c->free;
    __atomic_store_n(&c->free, first, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&c->lock);
}

static struct free_block *class_pop(struct pool *pool, uint32_t class)
{
    struct pool_class *c = &pool->classes[class];
    struct free_block *block;

    pthread_mutex_lock(&c->lock);
    block = c->free;
    if (block)
        __atomic_store_n(&c->free, block->next, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&c->lock);
    if (block)
        __atomic_sub_fetch(&pool->kept_bytes, (int64_t)class_size(class), __ATOMIC_RELAXED);
    return block;
}

/* ---- shelves ---- */

/* The calling thread's; NULL: another one is at it. */
static struct shelf *shelf_take(struct pool *pool)
{
    static uint32_t threads;
    static __thread uint32_t number; /* from 1 on */
    struct shelf *s;

    if (number == 0)
        number = __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
    s = &pool->shelves[number % SHELVES];
    return __atomic_exchange_n(&s->taken, 1, __ATOMIC_ACQUIRE) ? NULL : s;
}

static void shelf_leave(struct shelf *s)
{
    __atomic_store_n(&s->taken, 0, __ATOMIC_RELEASE);
}

/* Given out (negative: taken back); all that a shelf knows of was kept before, and is again. */
static void shelf_count(struct pool *pool, struct shelf *s, int64_t bytes)
{
    int64_t now = s->in_use_bytes + bytes;

    if (now > SHELF_COUNT_BYTES || now < -SHELF_COUNT_BYTES) {
        __atomic_sub_fetch(&pool->kept_bytes, now, __ATOMIC_RELAXED);
        raise_peak(pool, __atomic_add_fetch(&pool->in_use_bytes, now, __ATOMIC_RELAXED));
        now = 0;
    }
    __atomic_store_n(&s->in_use_bytes, now, __ATOMIC_RELAXED);
}

/* Half of a shelf's place for a class, from what the class has. */
static void shelf_fill(struct pool *pool, struct shelf *s, uint32_t class)
{
    struct pool_class *c = &pool->classes[class];
    uint32_t n = SHELF_BYTES / 2 / (uint32_t)class_size(class);

    if (!__atomic_load_n(&c->free, __ATOMIC_RELAXED))
        return;
    pthread_mutex_lock(&c->lock);
    for (struct free_block *b; n > 0 && (b = c->free); n--) {
        __atomic_store_n(&c->free, b->next, __ATOMIC_RELAXED);
        b->next = s->free[class];
        s->free[class] = b;
        s->count[class]++;
    }
    pthread_mutex_unlock(&c->lock);
}

/* So many of the class go back to it. */
static void shelf_spill(struct pool *pool, struct shelf *s, uint32_t class, uint32_t n)
{
    struct free_block *first = s->free[class], *last = first;

    if (n == 0)
        return;
    for (uint32_t i = 1; i < n; i++)
        last = last->next;
    s->free[class] = last->next;
    s->count[class] -= n;
    class_push(pool, class, first, last);
}

/* NULL: neither it nor the class has one, or another thread is at it. */
static void *shelf_get(struct pool *pool, uint32_t class)
{
    struct shelf *s = shelf_take(pool);
    struct free_block *b;

    if (!s)
        return NULL;
    if (!s->free[class])
        shelf_fill(pool, s, class);
    b = s->free[class];
    if (b) {
        s->free[class] = b->next;
        s->count[class]--;
        shelf_count(pool, s, (int64_t)class_size(class));
        __atomic_store_n(&s->gets, s->gets + 1, __ATOMIC_RELAXED);
    }
    shelf_leave(s);
    return b;
}

/* false: another thread is at it. */
static bool shelf_put(struct pool *pool, struct free_block *b, uint32_t class)
{
    struct shelf *s = shelf_take(pool);

    if (!s)
        return false;
    b->next = s->free[class];
    s->free[class] = b;
    s->count[class]++;
    shelf_count(pool, s, -(int64_t)class_size(class));
    if (s->count[class] * class_size(class) > SHELF_BYTES)
        shelf_spill(pool, s, class, s->count[class] / 2);
    shelf_leave(s);
    return true;
}

/* Nobody else has the pool. */
static void shelf_clear(struct pool *pool, struct shelf *s)
{
    for (uint32_t i = 0; i < SHELF_CLASSES; i++)
        shelf_spill(pool, s, i, s->count[i]);
    pool->in_use_bytes += s->in_use_bytes;
    pool->kept_bytes -= s->in_use_bytes;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    CHECK(pool->magic == POOL_MAGIC);
    for (uint32_t i = 0; i < SHELVES; i++)
        shelf_clear(pool, &pool->shelves[i]);
    CHECK(pool->in_use_bytes == 0);
    for (uint32_t i = 0; i < CLASSES; i++) {
        for (struct free_block *b; (b = class_pop(pool, i));)
            free(b);
        pthread_mutex_destroy(&pool->classes[i].lock);
    }
    pool->magic = 0;
    free(pool);
}

void pool_stats(struct pool *pool, struct pool_stats *ret)
{
    int64_t in_use = __atomic_load_n(&pool->in_use_bytes, __ATOMIC_RELAXED);

    ret->gets = __atomic_load_n(&pool->gets, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < SHELVES; i++) {
        in_use += __atomic_load_n(&pool->shelves[i].in_use_bytes, __ATOMIC_RELAXED);
        ret->gets += __atomic_load_n(&pool->shelves[i].gets, __ATOMIC_RELAXED);
    }
    raise_peak(pool, in_use);
    ret->in_use_bytes = (uint64_t)MAX(in_use, 0);
    ret->peak_bytes = (uint64_t)__atomic_load_n(&pool->peak_bytes, __ATOMIC_RELAXED);
    ret->budget_bytes = (uint64_t)pool->budget_bytes;
    ret->allocations = __atomic_load_n(&pool->allocations, __ATOMIC_RELAXED);
}

void pool_set_row_max(struct pool *pool, uint32_t bytes)
{
    CHECK(bytes > 0 && bytes <= POOL_ROW_BYTES_MAX);
    pool->row_max = bytes;
}

uint32_t pool_row_max(const struct pool *pool)
{
    return pool->row_max;
}

bool pool_over(struct pool *pool)
{
    return __atomic_load_n(&pool->in_use_bytes, __ATOMIC_RELAXED) > pool->budget_bytes;
}

/* What is kept for later must not push the whole over the budget: the largest blocks go first. */
static void pool_trim(struct pool *pool)
{
    for (uint32_t i = CLASSES; i-- > 0;) {
        struct free_block *block;

        while (__atomic_load_n(&pool->in_use_bytes, __ATOMIC_RELAXED) +
                   __atomic_load_n(&pool->kept_bytes, __ATOMIC_RELAXED) >
               pool->budget_bytes) {
            block = class_pop(pool, i);
            if (!block)
                break;
            free(block);
        }
    }
}

/* Of a class above, when most of the budget is free; the class becomes its. NULL: none is kept. */
static void *larger_pop(struct pool *pool, uint32_t *class)
{
    uint32_t last = MIN(*class + LARGER_MAX, (uint32_t)CLASSES - 1);
    void *p = NULL;

    if (class_size(*class) < LARGE_BYTES || __atomic_load_n(&pool->in_use_bytes, __ATOMIC_RELAXED) > pool->budget_bytes / 2)
        return NULL;
    for (uint32_t i = *class + 1; i <= last && !p; i++) {
        p = class_pop(pool, i);
        if (p)
            *class = i;
    }
    return p;
}

static void *block_new(struct pool *pool, uint64_t size)
{
    void *p = NULL;

    __atomic_add_fetch(&pool->allocations, 1, __ATOMIC_RELAXED);
    if (__atomic_load_n(&pool->kept_bytes, __ATOMIC_RELAXED))
        pool_trim(pool);
    CHECK(posix_memalign(&p, 64, size) == 0);
    return p;
}

static void count_use(struct pool *pool, uint64_t bytes)
{
    raise_peak(pool, __atomic_add_fetch(&pool->in_use_bytes, (int64_t)bytes, __ATOMIC_RELAXED));
    __atomic_add_fetch(&pool->gets, 1, __ATOMIC_RELAXED);
}

/* ret_size: what it is, if it may be larger; else NULL. */
static void *block_get(struct pool *pool, uint64_t size, uint64_t *ret_size)
{
    uint32_t class = class_of(size);
    uint64_t taken = block_size(size);
    void *p = class < SHELF_CLASSES && !POOL_EXACT ? shelf_get(pool, class) : NULL;

    if (p) {
        if (ret_size)
            *ret_size = taken;
        return p;
    }
    if (class < CLASSES && !POOL_EXACT) {
        p = class_pop(pool, class);
        if (!p && ret_size)
            p = larger_pop(pool, &class);
        taken = class_size(class);
    }
    count_use(pool, taken);
    if (ret_size)
        *ret_size = taken;
    return p ? p : block_new(pool, taken);
}

static void block_put(struct pool *pool, void *p, uint64_t size)
{
    int64_t taken = (int64_t)block_size(size), used, kept;
    uint32_t class = class_of(size);
    struct free_block *block = p;

    CHECK(pool->magic == POOL_MAGIC);
    if (class < SHELF_CLASSES && !POOL_EXACT && shelf_put(pool, block, class))
        return;
    kept = __atomic_load_n(&pool->kept_bytes, __ATOMIC_RELAXED);
    used = __atomic_sub_fetch(&pool->in_use_bytes, taken, __ATOMIC_RELAXED);
    if (class >= CLASSES || POOL_EXACT || used + kept + taken > pool->budget_bytes) {
        free(p);
        return;
    }
    __atomic_add_fetch(&pool->kept_bytes, taken, __ATOMIC_RELAXED);
    class_push(pool, class, block, block);
}

static void buffer_back(rask_buffer *b)
{
    block_put(b->owner, b, b->capacity + HEADER);
}

rask_buffer *pool_get(struct pool *pool, uint64_t size)
{
    uint64_t taken;
    rask_buffer *b;

    CHECK(size < UINT64_MAX / 4);
    b = block_get(pool, size + HEADER, &taken);
    b->refs = 1;
    b->used = 0;
    b->capacity = taken - HEADER;
    b->data = (uint8_t *)b + HEADER;
    b->release = buffer_back;
    b->owner = pool;
    return b;
}

void *pool_small(struct pool *pool, size_t size)
{
    return block_get(pool, size ? size : 1, NULL);
}

void pool_small_free(struct pool *pool, void *p, size_t size)
{
    if (p)
        block_put(pool, p, size ? size : 1);
}
