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
#include "common/net/tls_records.h"

#define TLS_OUT_BYTES      (9 * (TLS_RECORD_BYTES + TLS_RECORD_EXTRA)) /* encrypted ahead of the socket */
#define TLS_SPARES_MAX     8

struct tls_out;

/* Buffers that the connections of a loop share: an idle connection holds none. */
struct tls_pool {
    struct tls_out *spares;
    size_t spare_count;
    uint8_t *scratch; /* content of a record that is no data */
};
void tls_pool_release(struct tls_pool *pool);

struct tls;

struct tls *tls_new(const struct net_secure *how, struct tls_pool *pool, struct err *err);
void tls_free(struct tls *tls); /* NULL is legal */
/* Bytes that leave in clear, before everything else. */
void tls_add_clear(struct tls *tls, const void *data, size_t len);

/* Received bytes, borrowed until tls_keep or tls_take_rest; nothing is left of those before. */
void tls_feed(struct tls *tls, const uint8_t *data, size_t len);
/* What is left of them is copied. */
void tls_keep(struct tls *tls);
/* What is left of them is moved to the start of `to`, to be fed again with what follows. Returns how much. */
size_t tls_take_rest(struct tls *tls, uint8_t *to);
/* 1: it is over, both sides are known. 0: it wants more bytes. */
int tls_handshake(struct tls *tls, struct err *err) MUST_CHECK;
/* tls_read has something to say about what was fed. */
bool tls_has_more(const struct tls *tls);
/* Plaintext of whole records of what was fed, into iov, which has room for one more behind `enough` bytes, with which it
 * stops. ret_end: there is none, and the other side has said that nothing follows. */
ssize_t tls_read(struct tls *tls, const struct iovec *iov, int n, size_t enough, bool *ret_end,
                 struct err *err) MUST_CHECK;
/* Encrypts from the start of iov what there is room for; returns how many bytes of iov it took. */
size_t tls_write(struct tls *tls, const struct iovec *iov, int n);
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
/* OpenSSL's key log of each connection, in tls_openssl.c. */
struct ssl_st;
void tls_take_secret(const struct ssl_st *ssl, const char *line);
/* What OpenSSL says about the last failure on this thread, in a word; empties its queue. */
const char *tls_reason(char out[200]);

#endif
