/*
 * key_bytes.h - key bytes, their hash, key groups. FROZEN by the first savepoint.
 *
 * Key bytes: per key column, a null byte first where nullable (0 null, 1 not); fixed-width columns
 * big-endian with the sign flipped (floats: order-preserving bits, NaN and -0.0 normalised; BOOLEAN
 * 0 or 1; DECIMAL p > 18: 16 bytes); strings and bytes as u32 big-endian length + bytes.
 * Equal keys, equal bytes.
 * hash = XXH3-64 of the key bytes; group = (hash >> 32) * max_parallelism >> 32;
 * subtask = group * parallelism / max_parallelism.
 */
#ifndef TYPES_KEY_BYTES_H
#define TYPES_KEY_BYTES_H

#include "common/base/bytes.h"
#include "common/types/batch.h"

/* Appends the key bytes of the row at a physical position. */
void key_bytes_of(const rask_batch *b, const uint16_t *columns, uint32_t column_count,
                  uint32_t position, struct bytes *out);
/* hash[i] for each row i of the batch, column-wise; fast paths for one BIGINT and one STRING
 * column. */
void key_hash_batch(const rask_batch *b, const uint16_t *columns, uint32_t column_count,
                    uint64_t *hash);

static inline uint32_t key_group_of(uint64_t hash, uint32_t max_parallelism)
{
    return (uint32_t)(((hash >> 32) * max_parallelism) >> 32);
}
static inline uint32_t key_group_subtask(uint32_t group, uint32_t max_parallelism,
                                         uint32_t parallelism)
{
    return (uint32_t)((uint64_t)group * parallelism / max_parallelism);
}
/* Flink's default: round up 1.5 p to a power of two, within [128, 32768]. */
uint32_t key_group_default_max(uint32_t parallelism);

#endif
