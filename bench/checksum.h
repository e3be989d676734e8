/*
 * checksum.h - what the word counts of different programs are compared by: the sum over all updates (word, count) of
 * checksum_update.  Sums do not depend on the order, so any parallelism gives the same; each term has 32 bits, so
 * 2^31 updates fit an int64.  Included by the job and by the program it is compared with.
 */
#ifndef RASK_BENCH_CHECKSUM_H
#define RASK_BENCH_CHECKSUM_H

#include <stdint.h>
#include <string.h>

static inline uint64_t checksum_mix(uint64_t x)
{
    x *= 0x9e3779b97f4a7c15u;
    return x ^ x >> 32;
}

static inline uint64_t checksum_word(const char *word, uint32_t len)
{
    uint64_t h = len;

    for (; len >= 8; word += 8, len -= 8) {
        uint64_t part;

        memcpy(&part, word, 8);
        h = checksum_mix(h ^ part);
    }
    if (len >= 4) {
        uint32_t head, tail;

        memcpy(&head, word, 4);
        memcpy(&tail, word + len - 4, 4);
        return checksum_mix(h ^ (head | (uint64_t)tail << 32));
    }
    if (len)
        h ^= (uint64_t)(uint8_t)word[0] | (uint64_t)(uint8_t)word[len / 2] << 8 | (uint64_t)(uint8_t)word[len - 1] << 16;
    return checksum_mix(h);
}

static inline uint64_t checksum_update(uint64_t word, int64_t count)
{
    return checksum_mix(word ^ (uint64_t)count) >> 32;
}

#endif
