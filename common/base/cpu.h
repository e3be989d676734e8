/*
 * cpu.h - what this processor can do, for code that has several forms. A constructor, which may run before the compiler's own
 * tables are filled, calls __builtin_cpu_init first.
 */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include <stdbool.h>

/* What all processors with vectors of 512 bits have but the first of them. */
static inline bool cpu_has_avx512(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

/* Of a function: __builtin_prefetch(p, 1) asks for the line in order to write it, which x86 has an instruction of its own for. */
#if defined(__x86_64__)
#define FETCHES_FOR_WRITING __attribute__((target("prfchw")))
#else
#define FETCHES_FOR_WRITING
#endif

#endif
