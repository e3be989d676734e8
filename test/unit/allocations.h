/*
 * allocations.h - counts malloc, calloc and realloc of the whole program, of all threads. Included by one file of a test binary.
 *
 * Under a sanitizer, which has an allocator of its own, ALLOCATIONS_COUNTED is 0 and nothing is counted.
 */
#ifndef UNIT_ALLOCATIONS_H
#define UNIT_ALLOCATIONS_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ALLOCATIONS_COUNTED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ALLOCATIONS_COUNTED 0
#endif
#endif
#ifndef ALLOCATIONS_COUNTED
#define ALLOCATIONS_COUNTED 1
#endif

static uint64_t allocations_counted;

static inline uint64_t allocations_so_far(void)
{
    return __atomic_load_n(&allocations_counted, __ATOMIC_RELAXED);
}

/* Pages that the process was given. */
static inline long allocations_page_faults(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

#if ALLOCATIONS_COUNTED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *malloc(size_t size)
{
    __atomic_add_fetch(&allocations_counted, 1, __ATOMIC_RELAXED);
    return __libc_malloc(size);
}
void *calloc(size_t n, size_t size)
{
    __atomic_add_fetch(&allocations_counted, 1, __ATOMIC_RELAXED);
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t size)
{
    __atomic_add_fetch(&allocations_counted, 1, __ATOMIC_RELAXED);
    return __libc_realloc(p, size);
}
#endif

#endif
