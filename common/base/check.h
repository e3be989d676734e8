/*
 * check.h - assertions that stay on in production.
 *
 * CHECK(cond) prints the condition, the place and a stack, then aborts: a daemon that knows it is
 * wrong must not go on, and its peers recover.  CHECK_EXPENSIVE only in debug and sanitizer builds.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stddef.h>
#include <stdint.h>

_Noreturn void check_failed(const char *what, const char *file, int line, const char *func);
/* Called once with the message before abort(); lets a daemon write its log. May be NULL. */
void check_set_hook(void (*hook)(const char *message));

#define CHECK(cond) ((cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__, __func__))
#define CHECK_UNREACHABLE(why) check_failed("unreachable: " why, __FILE__, __LINE__, __func__)
#ifdef RASK_EXPENSIVE_CHECKS
#define CHECK_DEAR(cond) CHECK(cond)
#else
#define CHECK_DEAR(cond) ((void)sizeof(cond))
#endif

/* Long-lived structs start with a magic; a void * that comes back from a callback is cast through it. */
#define MAGIC_CAST(ptr, type, value)                                                               \
    ({                                                                                             \
        type *magic_p_ = (type *)(ptr);                                                            \
        CHECK(magic_p_ != NULL);                                                                   \
        CHECK(magic_p_->magic == (value));                                                         \
        magic_p_;                                                                                  \
    })

#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
