/*
 * tls_private.h - TLS of one connection as a converter of bytes: no socket, no loop, no clock.
 * Between net_tls_libevent.c, which moves the bytes, and tls_openssl.c.  Thread: the loop's.
 */
#ifndef NET_TLS_PRIVATE_H
#define NET_TLS_PRIVATE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/net/net.h"
#include "common/net/tls.h"

#define TLS_RECORD_BYTES   16384u /* of plaintext, the most that TLS allows */
#define TLS_RECORD_EXTRA   256u   /* more than header, tag and padding need */
#define TLS_OUT_BYTES      (9 * (TLS_RECORD_BYTES + TLS_RECORD_EXTRA)) /* encrypted ahead of the socket */
#define TLS_SPARES_MAX     8

struct tls_out;

/* Buffers that the connections of a loop share: an idle connection holds none. */
struct tls_pool {
    struct tls_out *spares;
    size_t spare_count;
    uint8_t *stage; /* one record's plaintext, gathered from small pieces */
};
void tls_pool_release(struct tls_pool *pool);

struct tls;

struct tls *tls_new(const struct net_secure *how, struct tls_pool *pool, struct err *err);
void tls_free(struct tls *tls); /* NULL is legal */
/* Bytes that leave in clear, before everything else. */
void tls_add_clear(struct tls *tls, const void *data, size_t len);

/* Received bytes, borrowed until tls_handshake and tls_read have asked for more: they use up everything. */
void tls_feed(struct tls *tls, const uint8_t *data, size_t len);
/* 1: it is over, both sides are known. 0: it wants more bytes. */
int tls_handshake(struct tls *tls, struct err *err) MUST_CHECK;
/* Plaintext of what was fed, into iov, which has to have room for TLS_RECORD_BYTES more than was fed.
 * ret_end: the other side has said that nothing follows. */
ssize_t tls_read(struct tls *tls, const struct iovec *iov, int n, bool *ret_end, struct err *err) MUST_CHECK;
/* Encrypts from the start of iov what there is room for; returns how many bytes of iov it took. */
ssize_t tls_write(struct tls *tls, const struct iovec *iov, int n, struct err *err) MUST_CHECK;
void tls_say_end(struct tls *tls);

/* What waits for the socket. */
size_t tls_pending(const struct tls *tls, const uint8_t **ret_data);
void tls_sent(struct tls *tls, size_t bytes);

bool tls_established(const struct tls *tls);
bool tls_proven(const struct tls *tls, const char *psk_name);
uint64_t tls_handshake_ns(const struct tls *tls);
uint64_t tls_close_ns(const struct tls *tls);

/* ---- tls_files_openssl.c, for tls_openssl.c ---- */
#define TLS_CONTEXT_ID "rask" /* to OpenSSL a secret is a session, and sessions belong to a context */
struct ssl_ctx_st;
struct net_tls {
    struct ssl_ctx_st *ctx;
    char *ciphers;          /* owned */
    bool has_certificate;
    bool ask_no_certificate;
    int64_t expires_s;      /* of the own certificate */
    uint8_t fingerprint[32];
    size_t fingerprint_len; /* 0: not pinned; 20: SHA-1; 32: SHA-256 */
    uint64_t handshake_ns, close_ns, rekey_bytes;
};
/* What OpenSSL says about the last failure on this thread, in a word; empties its queue. */
const char *tls_reason(char out[200]);

#endif
