/*
 * mem.h - allocation that does not fail: out of memory ends the process with a message.
 * Memory is zeroed.  mem_free(NULL) is legal.  Thread: any.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_alloc_array(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
/*
 * Not zeroed, unlike the rest; size: a multiple of MEM_HUGE_BYTES, where it also begins. The system is asked for huge pages,
 * which spare lookups at random the walk through page tables. mem_free.
 */
#define MEM_HUGE_BYTES ((size_t)2 << 20)
void *mem_alloc_huge(size_t size) __attribute__((malloc, returns_nonnull));
/* Not zeroed; begins a line of the cache. mem_free. */
#define MEM_LINE_BYTES ((size_t)64)
void *mem_alloc_lines(size_t size) __attribute__((malloc, returns_nonnull));
/* The same, zeroed, for types that are aligned so. */
void *mem_alloc_array_lines(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *p, size_t size) __attribute__((returns_nonnull)); /* the tail is not zeroed */
char *mem_strdup(const char *s) __attribute__((returns_nonnull)); /* NULL gives "" */
void *mem_dup(const void *data, size_t size) __attribute__((returns_nonnull));
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));
char *mem_vprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0), returns_nonnull));
void mem_free(void *p);

#define MEM_NEW(type) ((type *)mem_alloc(sizeof(type)))

/* An arena: many small allocations of one lifetime (a message, a graph), freed as a whole. */
struct arena {
    struct arena_chunk *head;
    size_t used_bytes;
};
void arena_init(struct arena *a);
void *arena_alloc(struct arena *a, size_t size); /* zeroed, 16-byte aligned */
char *arena_strdup(struct arena *a, const char *s);
void *arena_dup(struct arena *a, const void *data, size_t size);
void arena_release(struct arena *a); /* frees all; the arena is empty and usable again */

#endif
