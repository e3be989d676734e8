/*
 * sleep_share.h - how many threads it takes to keep the cores busy when functions of the user sleep.
 *
 * A function that waits for something outside (a database, a lock, a timer) holds its thread and leaves its core idle.  Steps
 * that are long tell how much of their time they slept; as many threads as slept on average are added to the steady ones, so
 * about as many as there should be compute.  Time in which a thread had work and no core does not count: more threads
 * would make that worse.
 */
#ifndef WK_SLEEP_SHARE_H
#define WK_SLEEP_SHARE_H

#include <stdint.h>
#include <sys/resource.h>

/* The thread of a step: before it, and after it, so many nanoseconds later. Returns how long it slept, at most elapsed_ns. */
void wk_sleep_began(struct rusage *ret);
uint64_t wk_sleep_ended(const struct rusage *began, uint64_t elapsed_ns);

struct wk_sleep_share { /* zero-initialised: nobody sleeps; its user guards it */
    uint64_t slept_ns;  /* of steps that ended since the last look */
    uint32_t sleepers;  /* on average, in 256ths */
};
/* Every so often: elapsed_ns since the last call. */
void wk_sleep_share_look(struct wk_sleep_share *s, uint64_t elapsed_ns);

static inline uint32_t wk_sleepers(const struct wk_sleep_share *s)
{
    return (s->sleepers + 128) >> 8;
}

#endif
