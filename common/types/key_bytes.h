/*
 * key_bytes.h - key bytes, their hash, key groups. FROZEN by the first savepoint.
 *
 * Key bytes: per key column, a null byte first where nullable (0 null, 1 not); fixed-width columns
 * big-endian with the sign flipped (floats: order-preserving bits, NaN and -0.0 normalised; BOOLEAN
 * 0 or 1; DECIMAL p > 18: 16 bytes); strings and bytes as u32 big-endian length + bytes; a ROW as its
 * columns; an ARRAY as u32 big-endian count + elements, each like a column. No MAP (schema_can_be_key).
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
/* The key as a row of its columns: begin, cells, end. false: these are no key bytes of that schema, or it is nested. */
bool key_bytes_emit(const rask_schema *key, rask_bytes bytes, rask_out *out);
/* hash[i] for each row i of the batch; fast for one BIGINT and one STRING column. */
void key_hash_batch(const rask_batch *b, const uint16_t *columns, uint32_t column_count,
                    uint64_t *hash);

/*
 * The keys of a few rows, so that most are compared in words: the first 16 bytes of each, padded with 0; a longer key
 * stands whole in `text`.
 */
enum { KEY_RUN_ROWS = 64, KEY_HEAD_BYTES = 16 }; /* not more rows than a word has bits */
struct key_run {
    uint32_t rows;
    uint32_t len[KEY_RUN_ROWS];
    uint64_t head[KEY_RUN_ROWS][2];
    uint64_t is_long;           /* a bit for each key of more than 16 bytes */
    size_t place[KEY_RUN_ROWS]; /* of such a key, in text */
    struct bytes text;          /* owned: bytes_init before the first fill, bytes_release after the last */
};
/* Rows from .. from + rows - 1 of the batch, at most KEY_RUN_ROWS; what was there before is gone. */
void key_run_fill(struct key_run *run, const rask_batch *b, const uint16_t *columns, uint32_t column_count,
                  uint32_t from, uint32_t rows);
/* Key i; borrowed from the run. */
static inline rask_str key_run_at(const struct key_run *run, uint32_t i)
{
    const void *key = run->len[i] <= KEY_HEAD_BYTES ? (const void *)run->head[i] : run->text.data + run->place[i];

    return (rask_str){key, run->len[i]};
}
/* hash[i] of each key of the run. */
void key_run_hash(const struct key_run *run, uint64_t *hash);

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
