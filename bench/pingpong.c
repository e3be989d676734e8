/*
 * pingpong.c - the round trip between two cores: two threads hand a number back and forth through one cache line.
 * Work that is handed between threads is as fast as this allows, and virtual machines differ by a factor of five.
 * Prints nanoseconds per round trip, the best of some rounds.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { TRIPS = 100000, ROUNDS = 7 };

static _Alignas(128) atomic_uint turn;

static void *answer(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < TRIPS; i++) {
        while (atomic_load_explicit(&turn, memory_order_acquire) != 2 * i + 1)
            ;
        atomic_store_explicit(&turn, 2 * i + 2, memory_order_release);
    }
    return NULL;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t measure(void)
{
    pthread_t other;
    uint64_t begin;

    atomic_store(&turn, 0);
    if (pthread_create(&other, NULL, answer, NULL) != 0)
        return UINT64_MAX;
    begin = now_ns();
    for (uint32_t i = 0; i < TRIPS; i++) {
        atomic_store_explicit(&turn, 2 * i + 1, memory_order_release);
        while (atomic_load_explicit(&turn, memory_order_acquire) != 2 * i + 2)
            ;
    }
    begin = now_ns() - begin;
    pthread_join(other, NULL);
    return begin;
}

int main(void)
{
    uint64_t best = UINT64_MAX;

    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
        fprintf(stderr, "pingpong: one processor alone has no other to talk to\n");
        return 1;
    }
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t ns = measure();

        best = ns < best ? ns : best;
    }
    printf("%.1f\n", (double)best / TRIPS);
    return 0;
}
