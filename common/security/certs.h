/*
 * certs.h - a certificate authority of one's own, and certificates of it: P-256, as PEM text.
 *
 * For `rask security init` and for tests.  Not here: files and who is trusted (common/net/tls.h).  Thread: any.
 */
#ifndef SECURITY_CERTS_H
#define SECURITY_CERTS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/err.h"

struct certs_request {
    const char *name;          /* common name; borrowed, as everything here */
    int64_t from_s, until_s;   /* Unix time */
    const char *const *hosts;  /* names and addresses that the certificate is for; may be none */
    size_t host_count;
};

/* Both results are PEM text, appended to ret_certificate and ret_key (initialised by the caller). */
int certs_make_authority(const struct certs_request *request, struct bytes *ret_certificate, struct bytes *ret_key,
                         struct err *err) MUST_CHECK;
/* Signed by an authority, whose PEM texts end with a 0 byte. For servers and for clients. */
int certs_make(const struct certs_request *request, const char *authority, const char *authority_key,
               struct bytes *ret_certificate, struct bytes *ret_key, struct err *err) MUST_CHECK;
/* SHA-256 of the first certificate in pem, in hex with colons. */
int certs_fingerprint(const char *pem, char out[96], struct err *err) MUST_CHECK;

#endif
