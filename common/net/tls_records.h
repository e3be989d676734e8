/*
 * tls_records.h - the records of TLS 1.3 of one direction of a connection, behind the handshake.
 *
 * OpenSSL makes the handshake and has its secrets from it; from then on its own records would cost a copy into and one out of
 * its buffers at each end.  Here an AEAD of OpenSSL goes from where the bytes lie to where they are sent from, and from where
 * they were received to where they are wanted.  On the wire it is plain TLS 1.3.
 * Not here: what a record means (tls_openssl.c).  Included by common/net/tls_*openssl.c alone.  Thread: the loop's.
 */
#ifndef NET_TLS_RECORDS_H
#define NET_TLS_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define TLS_RECORD_HEADER 5u
#define TLS_RECORD_BYTES  16384u /* of plaintext, the most that TLS allows */
#define TLS_RECORD_EXTRA  256u   /* more than header, tag and padding need */

/* Where the next bytes lie, or go: borrowed. */
struct tls_cursor {
    const struct iovec *iov;
    int n;
    size_t at; /* in the first one */
};

struct tls_opened {
    uint8_t type;           /* of the content: SSL3_RT_* */
    const uint8_t *content; /* in scratch; NULL: data, which was written to where it goes */
    size_t len;
};

struct ssl_cipher_st;
struct tls_flow; /* key and number of the next record */

/* suite: what the handshake has agreed on; secret: the first one of this direction's application traffic. */
struct tls_flow *tls_flow_new(const struct ssl_cipher_st *suite, bool seals, const uint8_t *secret, size_t len);
void tls_flow_free(struct tls_flow *flow); /* NULL is legal */
void tls_flow_next_key(struct tls_flow *flow);
uint64_t tls_flow_records(const struct tls_flow *flow); /* with the present key */

/* A record of the next len bytes, at most TLS_RECORD_BYTES; out has room for TLS_RECORD_EXTRA more. Returns its length. */
size_t tls_seal(struct tls_flow *flow, uint8_t type, struct tls_cursor *from, size_t len, uint8_t *out);

/* Of the record that begins here, with its header: 0: not all of it is here; negative: it is none. */
int tls_record_length(const uint8_t *bytes, size_t len);
/* A whole record. Data goes to `to`, which has room for the record, and is garbage if this returns false: the record is not
 * the next one of this key. scratch: TLS_RECORD_BYTES + TLS_RECORD_EXTRA. */
bool tls_open(struct tls_flow *flow, const uint8_t *record, size_t len, struct tls_cursor *to, uint8_t *scratch,
              struct tls_opened *ret);

#endif
