/* hash_openssl.c - SHA-256 by libcrypto, which uses the processor's instructions. Thread: any. */
#include <openssl/evp.h>

#include "common/base/check.h"
#include "common/base/hash.h"

void hash_sha256(const void *data, size_t len, uint8_t out[32])
{
    unsigned int out_len = 0;

    CHECK(EVP_Digest(len ? data : "", len, out, &out_len, EVP_sha256(), NULL) == 1);
    CHECK(out_len == 32);
}
