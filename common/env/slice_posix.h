/*
 * slice_posix.h - how long the kernel lets a thread run before another one's turn comes.
 *
 * A turn is 3 ms on most machines.  With more busy threads than cores a row that crosses two of them waits for that long twice;
 * with turns as short as the steps of tasks it does not.  A thread of short turns is also preferred when it wakes.
 */
#ifndef ENV_SLICE_POSIX_H
#define ENV_SLICE_POSIX_H

#include <stdint.h>

/* The calling thread, from now on: turns of so many nanoseconds, 100,000 at least. Before Linux 6.12 without effect. */
void env_thread_slice(uint64_t ns);

#endif
