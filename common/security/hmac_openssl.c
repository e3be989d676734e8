/*
 * hmac_openssl.c - HMAC-SHA256 and the constant-time comparison, by libcrypto.
 * Thread: any.
 */
#include "common/security/hmac.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/base/check.h"

void security_hmac_sha256(const uint8_t *key, size_t key_len, const void *data, size_t len,
                          uint8_t out[32])
{
    unsigned int out_len = 0;

    CHECK(key_len <= INT_MAX);
    CHECK(HMAC(EVP_sha256(), key, (int)key_len, data, len, out, &out_len) != NULL);
    CHECK(out_len == 32);
}

bool security_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
