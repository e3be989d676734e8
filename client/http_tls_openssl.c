/*
 * http_tls_openssl.c - TLS under the HTTP client: a socket that is encrypted, in the manner of send and recv.
 */
#define ERR_STATE OPENSSL_ERR_STATE /* an old type name of OpenSSL's, an error code of ours */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef ERR_STATE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "client/client_private.h"
#include "common/base/check.h"
#include "common/net/tls.h"

struct http_tls {
    SSL *ssl;
};

static bool is_numeric(const char *host)
{
    struct in6_addr six;
    struct in_addr four;

    return inet_pton(AF_INET, host, &four) == 1 || inet_pton(AF_INET6, host, &six) == 1;
}

static void expect_host(SSL *ssl, const char *host, bool verify_host)
{
    bool numeric = is_numeric(host);

    if (!numeric)
        SSL_set_tlsext_host_name(ssl, host);
    if (!verify_host)
        return;
    if (numeric)
        CHECK(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1);
    else
        CHECK(SSL_set1_host(ssl, host) == 1);
}

static int explain(struct http_tls *t, const char *address, struct err *err)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    const char *text = code ? ERR_reason_error_string(code) : NULL;

    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
        err_set(err, ERR_AUTH,
                "the certificate of the JobManager at %s is not accepted: %s (security.ssl.rest.truststore, "
                "security.ssl.verify-hostname)",
                address, X509_verify_cert_error_string(SSL_get_verify_result(t->ssl)));
    else if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST)
        err_set(err, ERR_PROTOCOL, "%s does not speak TLS: has the JobManager security.ssl.rest.enabled?", address);
    else
        err_set(err, ERR_CLOSED, "no TLS with %s: %s", address, text ? text : "the connection was closed");
    ERR_clear_error();
    return err->code;
}

static int wait_for(int fd, int why, const char *address, struct err *err)
{
    struct pollfd p = {fd, why == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN, 0};
    int n = poll(&p, 1, HTTP_SILENCE_MS);

    if (n > 0 || (n < 0 && errno == EINTR))
        return 0;
    return err_set(err, ERR_TIMEOUT, "%s does not go on with the TLS handshake: silent for %d s", address,
                   HTTP_SILENCE_MS / 1000);
}

int http_tls_start(int fd, struct net_tls *tls, const char *host, bool verify_host, const char *address,
                   struct http_tls **ret, struct err *err)
{
    struct http_tls *t = MEM_NEW(struct http_tls);
    int code = 0, rc;

    t->ssl = SSL_new(tls_context_native(tls));
    CHECK(t->ssl != NULL && SSL_set_fd(t->ssl, fd) == 1);
    SSL_set_connect_state(t->ssl);
    expect_host(t->ssl, host, verify_host);
    for (;;) {
        int why;

        ERR_clear_error();
        rc = SSL_do_handshake(t->ssl);
        if (rc == 1)
            break;
        why = SSL_get_error(t->ssl, rc);
        code = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? wait_for(fd, why, address, err)
                                                                        : explain(t, address, err);
        if (code < 0) {
            http_tls_free(t);
            return code;
        }
    }
    *ret = t;
    return 0;
}

/* As of send and recv: what is not over yet is EAGAIN, what is broken EPROTO. */
static ssize_t outcome(struct http_tls *t, int rc)
{
    int why = SSL_get_error(t->ssl, rc);

    if (rc > 0)
        return rc;
    if (why == SSL_ERROR_ZERO_RETURN)
        return 0;
    errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
    ERR_clear_error();
    return -1;
}

ssize_t http_tls_send(struct http_tls *t, const void *data, size_t len)
{
    ERR_clear_error();
    return outcome(t, SSL_write(t->ssl, data, (int)MIN(len, (size_t)(1 << 20))));
}

ssize_t http_tls_recv(struct http_tls *t, void *to, size_t size)
{
    ERR_clear_error();
    return outcome(t, SSL_read(t->ssl, to, (int)MIN(size, (size_t)(1 << 20))));
}

void http_tls_free(struct http_tls *t)
{
    if (!t)
        return;
    if (SSL_is_init_finished(t->ssl))
        SSL_shutdown(t->ssl);
    ERR_clear_error();
    SSL_free(t->ssl);
    mem_free(t);
}
