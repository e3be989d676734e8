/*
 * bench.h - what the programs that Rask is compared with have in common: a clock, options, threads, the line they print.
 * Each prints one line "rows=N checksum=C seconds=S"; the checksum is that of the job's sink (bench/rows.h).
 */
#ifndef RASK_BENCH_C_BENCH_H
#define RASK_BENCH_C_BENCH_H

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static inline double bench_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The value of --name among the arguments; else `otherwise`. */
static inline const char *bench_word(int argc, char **argv, const char *name, const char *otherwise)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, name) == 0)
            return argv[i + 1];
    return otherwise;
}

static inline uint64_t bench_option(int argc, char **argv, const char *name, uint64_t otherwise)
{
    const char *value = bench_word(argc, argv, name, NULL);

    return value ? strtoull(value, NULL, 10) : otherwise;
}

static inline void bench_die(const char *what)
{
    perror(what);
    exit(1);
}

/* Zeroed, in huge pages where the machine gives them. */
static inline void *bench_memory(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        bench_die("mmap");
    madvise(p, size, MADV_HUGEPAGE);
    return p;
}

/* Runs main(&args[i]) in a thread each, for all of them. */
static inline void bench_threads(size_t count, void *(*main)(void *), void *args, size_t size)
{
    pthread_t *threads = malloc(count * sizeof(*threads));

    if (!threads)
        bench_die("malloc");
    for (size_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, main, (char *)args + i * size) != 0)
            bench_die("pthread_create");
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}

static inline int bench_tell(uint64_t rows, uint64_t checksum, double seconds)
{
    printf("rows=%" PRIu64 " checksum=%" PRIu64 " seconds=%.6f\n", rows, checksum, seconds);
    return 0;
}

#endif
