/*
 * pauses.c - when the machine itself stood still: a thread on each core that goes before all others, and looks often.
 *
 *     pauses 5000
 *
 * A line "MS US" for each time that none of them came for so many microseconds: wall clock at the end of it, how long.  A host that
 * gives a virtual machine less than all of its cores takes them away so.  Ends when its input does.  Without the right to go first
 * (sched_setscheduler) it tells nothing: others may have had the core.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_NS = 500000, CORES_MAX = 64 };

static int64_t least_us;

static int64_t now_us(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void *look(void *arg)
{
    const struct sched_param first = {.sched_priority = 1};
    const struct timespec between = {0, LOOK_NS};
    cpu_set_t core;

    CPU_ZERO(&core);
    CPU_SET(*(int *)arg, &core);
    if (sched_setaffinity(0, sizeof(core), &core) != 0 || sched_setscheduler(0, SCHED_FIFO, &first) != 0)
        return NULL;
    for (int64_t last = now_us(CLOCK_MONOTONIC);;) {
        int64_t now;

        clock_nanosleep(CLOCK_MONOTONIC, 0, &between, NULL);
        now = now_us(CLOCK_MONOTONIC);
        if (now - last >= least_us) {
            printf("%lld %lld\n", (long long)(now_us(CLOCK_REALTIME) / 1000), (long long)(now - last));
            fflush(stdout);
        }
        last = now;
    }
}

int main(int argc, char **argv)
{
    static int core[CORES_MAX];
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    struct pollfd input = {0, POLLIN, 0};

    least_us = argc > 1 ? strtoll(argv[1], NULL, 10) : 5000;
    for (int i = 0; i < cores && i < CORES_MAX; i++) {
        pthread_t thread;

        core[i] = i;
        if (pthread_create(&thread, NULL, look, &core[i]) != 0)
            return 1;
    }
    poll(&input, 1, -1);
    return 0;
}
