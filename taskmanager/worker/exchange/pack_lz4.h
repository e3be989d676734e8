/*
 * pack_lz4.h - rows on their way to another worker as an LZ4 block (rask.network.compression).
 *
 * Pure functions of their arguments; what comes from a peer may be anything. Thread: any.
 */
#ifndef WK_PACK_LZ4_H
#define WK_PACK_LZ4_H

#include <stdbool.h>
#include <stdint.h>

/* Packs into to[0, room). Returns the bytes written; 0: they do not fit. */
uint32_t wk_pack(const uint8_t *from, uint32_t len, uint8_t *to, uint32_t room);
/* Fills to[0, len) with what was packed. False: it is not a block of exactly so many bytes. */
bool wk_unpack(const uint8_t *from, uint32_t packed, uint8_t *to, uint32_t len);

#endif
