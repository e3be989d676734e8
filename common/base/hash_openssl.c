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

struct hash_sha256 *hash_sha256_begin(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    CHECK(ctx != NULL);
    CHECK(EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
    return (struct hash_sha256 *)ctx;
}

void hash_sha256_add(struct hash_sha256 *hash, const void *data, size_t len)
{
    CHECK(EVP_DigestUpdate((EVP_MD_CTX *)hash, data, len) == 1);
}

void hash_sha256_end(struct hash_sha256 *hash, uint8_t out[32])
{
    unsigned int out_len = 0;

    CHECK(EVP_DigestFinal_ex((EVP_MD_CTX *)hash, out, &out_len) == 1);
    CHECK(out_len == 32);
    EVP_MD_CTX_free((EVP_MD_CTX *)hash);
}
