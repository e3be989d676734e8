/*
 * tls.h - the certificates and rules of TLS 1.3 in a process: read once, used by many connections.
 *
 * A daemon has a keystore (PEM: its certificate, the chain, the private key) and a truststore (PEM: who may have signed
 * the other side's certificate).  A worker has neither: it proves its job's secret (net.h, struct net_secure).
 * Here are files and checks; who secures which connection is said by rpc, how the bytes travel by tls_openssl.c.
 * Thread: made and freed on the thread that starts the process; read-only in between.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

#define TLS_CIPHERS_DEFAULT "TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384"

/* A setting and the key that it was given under, for messages: both borrowed during the call, value NULL: not set. */
struct tls_setting {
    const char *key, *value;
};

struct tls_options {
    struct tls_setting keystore, key_password, truststore, fingerprint;
    struct tls_setting ciphers;    /* comma-separated names of TLS 1.3, in order of preference; NULL: TLS_CIPHERS_DEFAULT */
    bool ask_no_certificate;       /* accepting side of REST: clients stay unknown */
    bool members;                  /* both sides have the same files: what is not trusted here is refused by all */
    int64_t handshake_timeout_ms;  /* <= 0: 10 s */
    int64_t close_timeout_ms;      /* what is queued may leave for so long after a close; <= 0: 1 s */
    int64_t now_s;                 /* Unix time, to tell what has expired */
    uint64_t rekey_bytes;          /* a new key after so many sent bytes; 0: 64 GiB, well below the limit of AES-GCM */
};

struct net_tls;

/* With a keystore: checks every file and names file and key of what is wrong. Without keystore and truststore: a
 * context that only knows job secrets. */
int tls_context_new(const struct tls_options *options, struct net_tls **ret, struct err *err) MUST_CHECK;
void tls_context_free(struct net_tls *tls); /* NULL is legal; no connection uses it any more */
/* Days until the own certificate expires; INT64_MAX without one. */
int64_t tls_context_days_left(const struct net_tls *tls, int64_t now_s);
/* The cipher list, to be handed on to workers. */
const char *tls_context_ciphers(const struct net_tls *tls);

/* ---- for servers and clients that do not use net.h ---- */
void *tls_context_native(struct net_tls *tls); /* the SSL_CTX, borrowed */
void *tls_session_new(struct net_tls *tls);    /* an SSL of the accepting side, owned by the caller */
void tls_session_end(void *session);           /* tells the other side that nothing follows */

#endif
