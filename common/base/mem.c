/*
 * mem.c - allocation that ends the process instead of failing, and the arena.
 * Thread: any; an arena belongs to one thread at a time.
 */
#include "common/base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/check.h"

static _Noreturn void mem_exhausted(size_t size)
{
    dprintf(STDERR_FILENO, "out of memory: cannot get %zu bytes\n", size);
    abort();
}

void *mem_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);

    if (!p)
        mem_exhausted(size);
    return p;
}

void *mem_alloc_lines(size_t size)
{
    void *p = aligned_alloc(MEM_LINE_BYTES, (size + MEM_LINE_BYTES - 1) & ~(size_t)(MEM_LINE_BYTES - 1));

    if (!p)
        mem_exhausted(size);
    return p;
}

void *mem_alloc_huge(size_t size)
{
    void *p = aligned_alloc(MEM_HUGE_BYTES, size);

    if (!p)
        mem_exhausted(size);
    (void)madvise(p, size, MADV_HUGEPAGE); /* without them it is as good */
    return p;
}

void *mem_alloc_array(size_t n, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(n, size, &total))
        mem_exhausted(SIZE_MAX);
    return mem_alloc(total);
}

void *mem_alloc_array_lines(size_t n, size_t size)
{
    size_t total;
    void *p;

    if (__builtin_mul_overflow(n, size, &total))
        mem_exhausted(SIZE_MAX);
    p = mem_alloc_lines(MAX(total, (size_t)1));
    memset(p, 0, total);
    return p;
}

void *mem_realloc(void *p, size_t size)
{
    void *moved = realloc(p, size ? size : 1);

    if (!moved)
        mem_exhausted(size);
    return moved;
}

char *mem_strdup(const char *s)
{
    return mem_dup(s ? s : "", s ? strlen(s) + 1 : 1);
}

void *mem_dup(const void *data, size_t size)
{
    void *p = malloc(size ? size : 1);

    if (!p)
        mem_exhausted(size);
    if (size)
        memcpy(p, data, size);
    return p;
}

char *mem_vprintf(const char *fmt, va_list ap)
{
    char *text;
    int len;

    len = vasprintf(&text, fmt, ap);
    if (len < 0)
        mem_exhausted(0);
    return text;
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = mem_vprintf(fmt, ap);
    va_end(ap);
    return text;
}

void mem_free(void *p)
{
    free(p);
}

#define ARENA_ALIGN     16
#define ARENA_CHUNK_MIN 1024
#define ARENA_CHUNK_MAX 65536

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, size; /* of data */
    _Alignas(ARENA_ALIGN) uint8_t data[];
};

void arena_init(struct arena *a)
{
    *a = (struct arena){NULL, 0};
}

static struct arena_chunk *arena_chunk_new(size_t size)
{
    struct arena_chunk *chunk = mem_alloc(sizeof(*chunk) + size);

    chunk->size = size;
    return chunk;
}

void *arena_alloc(struct arena *a, size_t size)
{
    struct arena_chunk *chunk = a->head;
    size_t need;
    void *p;

    if (size > SIZE_MAX / 2)
        mem_exhausted(size);
    need = (MAX(size, 1) + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (!chunk || chunk->size - chunk->used < need) {
        size_t next = chunk ? MIN(chunk->size * 2, ARENA_CHUNK_MAX) : ARENA_CHUNK_MIN;

        next = MAX(next, ARENA_CHUNK_MIN);
        if (chunk && need > next / 4) {
            /* A large one gets a chunk of its own behind the head, whose rest stays in use. */
            chunk = arena_chunk_new(need);
            chunk->next = a->head->next;
            a->head->next = chunk;
        } else {
            chunk = arena_chunk_new(MAX(next, need));
            chunk->next = a->head;
            a->head = chunk;
        }
    }
    p = chunk->data + chunk->used;
    chunk->used += need;
    a->used_bytes += need;
    return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return arena_dup(a, s ? s : "", s ? strlen(s) + 1 : 1);
}

void *arena_dup(struct arena *a, const void *data, size_t size)
{
    void *p = arena_alloc(a, size);

    if (size)
        memcpy(p, data, size);
    return p;
}

void arena_release(struct arena *a)
{
    while (a->head) {
        struct arena_chunk *next = a->head->next;

        mem_free(a->head);
        a->head = next;
    }
    a->used_bytes = 0;
}
