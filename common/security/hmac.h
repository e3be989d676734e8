/* hmac.h - HMAC-SHA256 for the proof of a job's secret, and a comparison that takes constant time. */
#ifndef SECURITY_HMAC_H
#define SECURITY_HMAC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void security_hmac_sha256(const uint8_t *key, size_t key_len, const void *data, size_t len, uint8_t out[32]);
bool security_equal(const void *a, const void *b, size_t len);

#endif
