/*
 * every.h - under ThreadSanitizer a test that goes through many cases on one thread, where no race can be, takes every n-th.
 */
#ifndef UNIT_EVERY_H
#define UNIT_EVERY_H

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

#ifdef UNDER_TSAN
#define EVERY(n) (n)
#else
#define EVERY(n) 1
#endif

#endif
