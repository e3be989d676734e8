/*
 * tls_records_openssl.c - see tls_records.h: keys by HKDF, records by one pass of an AEAD of OpenSSL.
 *
 * RFC 8446: 5.2 (records), 5.3 (nonces), 7.1 (HKDF-Expand-Label), 7.2 (the next key), 7.3 (key and IV of a secret).
 */
#include "common/net/tls_records.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/net/tls_openssl_private.h"

#include <openssl/hmac.h>

#define IV_BYTES     12
#define TAG_BYTES    16
#define LABEL_MAX    64
#define VERSION_HIGH 3 /* of records: that of TLS 1.2, for ever */
#define VERSION_LOW  3

struct tls_flow {
    EVP_CIPHER_CTX *ctx;
    const EVP_MD *md;
    bool seals;
    uint8_t secret[EVP_MAX_MD_SIZE], iv[IV_BYTES];
    size_t secret_len;
    uint64_t records; /* with this key */
};

/* ---- pieces of memory ---- */

/* What lies together of the next bytes, at most so many; 0 at the end. */
static size_t next_piece(struct tls_cursor *c, size_t most, uint8_t **ret)
{
    size_t len;

    while (c->n > 0 && c->at == c->iov->iov_len) {
        c->iov++;
        c->n--;
        c->at = 0;
    }
    if (c->n == 0)
        return 0;
    len = MIN(most, c->iov->iov_len - c->at);
    *ret = (uint8_t *)c->iov->iov_base + c->at;
    c->at += len;
    return len;
}

/* ---- keys ---- */

/* HKDF-Expand-Label without a context, of no more than one block of the hash. */
static void expand(const struct tls_flow *flow, const char *label, uint8_t *ret, size_t len)
{
    uint8_t info[LABEL_MAX], block[EVP_MAX_MD_SIZE];
    size_t label_len = strlen(label), at = 0;
    unsigned block_len = 0;

    CHECK(label_len + 11 <= sizeof(info) && len <= flow->secret_len);
    info[at++] = (uint8_t)(len >> 8);
    info[at++] = (uint8_t)len;
    info[at++] = (uint8_t)(6 + label_len);
    memcpy(info + at, "tls13 ", 6);
    memcpy(info + at + 6, label, label_len);
    at += 6 + label_len;
    info[at++] = 0; /* the context's length */
    info[at++] = 1; /* the block's number */
    CHECK(HMAC(flow->md, flow->secret, (int)flow->secret_len, info, at, block, &block_len) != NULL);
    CHECK(len <= block_len);
    memcpy(ret, block, len);
    OPENSSL_cleanse(block, sizeof(block));
}

static void set_key(struct tls_flow *flow)
{
    uint8_t key[EVP_MAX_KEY_LENGTH];

    expand(flow, "key", key, (size_t)EVP_CIPHER_CTX_get_key_length(flow->ctx));
    expand(flow, "iv", flow->iv, sizeof(flow->iv));
    CHECK(EVP_CipherInit_ex(flow->ctx, NULL, NULL, key, NULL, flow->seals) == 1);
    OPENSSL_cleanse(key, sizeof(key));
    flow->records = 0;
}

struct tls_flow *tls_flow_new(const SSL_CIPHER *suite, bool seals, const uint8_t *secret, size_t len)
{
    const EVP_CIPHER *cipher = EVP_get_cipherbynid(SSL_CIPHER_get_cipher_nid(suite));
    struct tls_flow *flow = MEM_NEW(struct tls_flow);

    CHECK(cipher != NULL && EVP_CIPHER_get_iv_length(cipher) == IV_BYTES);
    flow->md = SSL_CIPHER_get_handshake_digest(suite);
    CHECK(flow->md != NULL && len == (size_t)EVP_MD_get_size(flow->md));
    flow->ctx = EVP_CIPHER_CTX_new();
    CHECK(flow->ctx != NULL && EVP_CipherInit_ex(flow->ctx, cipher, NULL, NULL, NULL, seals) == 1);
    flow->seals = seals;
    memcpy(flow->secret, secret, len);
    flow->secret_len = len;
    set_key(flow);
    return flow;
}

void tls_flow_free(struct tls_flow *flow)
{
    if (flow == NULL)
        return;
    EVP_CIPHER_CTX_free(flow->ctx);
    OPENSSL_cleanse(flow, sizeof(*flow));
    mem_free(flow);
}

void tls_flow_next_key(struct tls_flow *flow)
{
    uint8_t next[EVP_MAX_MD_SIZE];

    expand(flow, "traffic upd", next, flow->secret_len);
    memcpy(flow->secret, next, flow->secret_len);
    OPENSSL_cleanse(next, sizeof(next));
    set_key(flow);
}

uint64_t tls_flow_records(const struct tls_flow *flow)
{
    return flow->records;
}

/* ---- records ---- */

static void begin_record(struct tls_flow *flow, const uint8_t header[TLS_RECORD_HEADER])
{
    uint8_t nonce[IV_BYTES];
    int n;

    memcpy(nonce, flow->iv, sizeof(nonce));
    for (uint32_t i = 0; i < 8; i++)
        nonce[IV_BYTES - 1 - i] ^= (uint8_t)(flow->records >> 8 * i);
    flow->records++;
    CHECK(EVP_CipherInit_ex(flow->ctx, NULL, NULL, NULL, nonce, -1) == 1);
    CHECK(EVP_CipherUpdate(flow->ctx, NULL, &n, header, TLS_RECORD_HEADER) == 1);
}

static void convert(struct tls_flow *flow, uint8_t *to, const uint8_t *from, size_t len)
{
    int n;

    CHECK(EVP_CipherUpdate(flow->ctx, to, &n, from, (int)len) == 1);
    CHECK((size_t)n == len); /* a stream: nothing is held back */
}

size_t tls_seal(struct tls_flow *flow, uint8_t type, struct tls_cursor *from, size_t len, uint8_t *out)
{
    size_t body = len + 1 + TAG_BYTES;
    uint8_t *to = out + TLS_RECORD_HEADER, *piece;
    int n;

    CHECK(flow->seals && len <= TLS_RECORD_BYTES);
    out[0] = SSL3_RT_APPLICATION_DATA;
    out[1] = VERSION_HIGH;
    out[2] = VERSION_LOW;
    out[3] = (uint8_t)(body >> 8);
    out[4] = (uint8_t)body;
    begin_record(flow, out);
    while (len > 0) {
        size_t part = next_piece(from, len, &piece);

        CHECK(part > 0);
        convert(flow, to, piece, part);
        to += part;
        len -= part;
    }
    convert(flow, to++, &type, 1);
    CHECK(EVP_CipherFinal_ex(flow->ctx, to, &n) == 1);
    CHECK(EVP_CIPHER_CTX_ctrl(flow->ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, to) == 1);
    return TLS_RECORD_HEADER + body;
}

int tls_record_length(const uint8_t *bytes, size_t len)
{
    size_t body;

    if (len == 0)
        return 0;
    if (bytes[0] != SSL3_RT_APPLICATION_DATA)
        return -1;
    if (len < TLS_RECORD_HEADER)
        return 0;
    body = (size_t)bytes[3] << 8 | bytes[4];
    if (bytes[1] != VERSION_HIGH || bytes[2] != VERSION_LOW || body < 1 + TAG_BYTES ||
        body > TLS_RECORD_BYTES + TLS_RECORD_EXTRA)
        return -1;
    return TLS_RECORD_HEADER + body <= len ? (int)(TLS_RECORD_HEADER + body) : 0;
}

/* Everything but the last byte into to, which has room for it. Nothing of it is true before this returns true. */
static bool open_into(struct tls_flow *flow, const uint8_t *record, size_t len, struct tls_cursor *to, uint8_t *ret_last)
{
    const uint8_t *from = record + TLS_RECORD_HEADER;
    size_t left = len - TLS_RECORD_HEADER - TAG_BYTES - 1;
    uint8_t tag[TAG_BYTES], *piece;
    int n;

    memcpy(tag, record + len - TAG_BYTES, TAG_BYTES);
    begin_record(flow, record);
    while (left > 0) {
        size_t part = next_piece(to, left, &piece);

        CHECK(part > 0);
        convert(flow, piece, from, part);
        from += part;
        left -= part;
    }
    convert(flow, ret_last, from, 1);
    return EVP_CIPHER_CTX_ctrl(flow->ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
           EVP_CipherFinal_ex(flow->ctx, ret_last + 1, &n) == 1;
}

/* Into scratch, without the padding; the record has been opened before. */
static size_t open_padded(struct tls_flow *flow, const uint8_t *record, size_t len, uint8_t *scratch)
{
    struct iovec iov = {scratch, TLS_RECORD_BYTES + TLS_RECORD_EXTRA};
    struct tls_cursor to = {&iov, 1, 0};
    size_t content = len - TLS_RECORD_HEADER - TAG_BYTES - 1;
    uint8_t last[1 + TAG_BYTES];

    flow->records--;
    CHECK(open_into(flow, record, len, &to, last));
    scratch[content] = last[0];
    while (content > 0 && scratch[content] == 0)
        content--;
    return content;
}

bool tls_open(struct tls_flow *flow, const uint8_t *record, size_t len, struct tls_cursor *to, uint8_t *scratch,
              struct tls_opened *ret)
{
    struct tls_cursor at = *to;
    size_t content = len - TLS_RECORD_HEADER - TAG_BYTES - 1;
    uint8_t last[1 + TAG_BYTES], *piece;

    CHECK(!flow->seals && len > TLS_RECORD_HEADER + TAG_BYTES);
    if (content > TLS_RECORD_BYTES + TLS_RECORD_EXTRA - 1 - TAG_BYTES || !open_into(flow, record, len, &at, last))
        return false;
    *ret = (struct tls_opened){last[0], NULL, content};
    if (last[0] == SSL3_RT_APPLICATION_DATA) {
        *to = at;
        return content <= TLS_RECORD_BYTES;
    }
    ret->len = open_padded(flow, record, len, scratch);
    ret->type = scratch[ret->len];
    if (ret->len > TLS_RECORD_BYTES)
        return false;
    ret->content = scratch;
    if (ret->type != SSL3_RT_APPLICATION_DATA)
        return true;
    ret->content = NULL; /* of somebody who pads */
    for (size_t done = 0, part; done < ret->len; done += part) {
        part = next_piece(to, ret->len - done, &piece);
        memcpy(piece, scratch + done, part);
    }
    return true;
}
