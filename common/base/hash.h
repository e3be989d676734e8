/*
 * hash.h - XXH3-64 with seed 0 (frozen: key groups and state files depend on it), CRC32C, SHA-256.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_xxh3(const void *data, size_t len);
/* hash_xxh3 of many short keys: of the first len[i] bytes of head[i], at most 16; of longer ones something else is written. */
void hash_xxh3_heads(const uint64_t (*head)[2], const uint32_t *len, uint32_t count, uint64_t *hash);
/* hash_xxh3 of numbers in big-endian order with the sign turned (key bytes): of 8 bytes each, and of 4. */
void hash_xxh3_signed64(const int64_t *number, uint32_t count, uint64_t *hash);
void hash_xxh3_signed32(const int32_t *number, uint32_t count, uint64_t *hash);
/* CRC-32C (Castagnoli). Start with crc = 0; feed parts in order. SSE4.2 where the processor has it, else tables. */
uint32_t hash_crc32c(uint32_t crc, const void *data, size_t len);
/* Of two parts, one behind the other, by the CRC of each: second is of so many bytes. */
uint32_t hash_crc32c_join(uint32_t first, uint32_t second, uint64_t second_len);
uint32_t hash_crc32c_portable(uint32_t crc, const void *data, size_t len); /* always tables; the same result */
/* FIPS 180-4; for content addresses (blobs, compiler cache). */
void hash_sha256(const void *data, size_t len, uint8_t out[32]);
/* The same in parts. end frees the hash. */
struct hash_sha256;
struct hash_sha256 *hash_sha256_begin(void);
void hash_sha256_add(struct hash_sha256 *hash, const void *data, size_t len);
void hash_sha256_end(struct hash_sha256 *hash, uint8_t out[32]);
void hash_hex(const uint8_t *data, size_t len, char *out); /* 2 * len + 1 bytes, lower case */

#endif
