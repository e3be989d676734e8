/*
 * tls_openssl.c - TLS 1.3 of one connection, bytes in and bytes out, by OpenSSL.
 *
 * OpenSSL reads from the buffer that was fed and writes to one that waits for the socket; it never blocks and never
 * sees a file descriptor.  Small pieces are gathered to full records first: the cost of a record is per record.
 * Not here: certificates and files (tls_files_openssl.c), sockets (net_tls_libevent.c).
 */
#include <pthread.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/net/tls_openssl_private.h"
#include "common/net/tls_private.h"

/* A peer may change its keys once per MiB that it sends, and a few times more: each change costs us work. */
#define KEY_UPDATES_FREE 32
#define KEY_UPDATE_BYTES (1u << 20)

struct tls_out {
    struct tls_out *next;
    size_t at, len, cap; /* bytes[at, len) wait */
    uint8_t bytes[];
};

struct tls {
    SSL *ssl;
    struct net_tls *context;
    struct tls_pool *pool;
    bool accepting, established, failed;
    char *psk_name; /* owned; NULL: none expected, or looked up */
    uint8_t psk[NET_PSK_BYTES];
    bool (*psk_of)(void *arg, const char *psk_name, uint8_t ret_psk[NET_PSK_BYTES]);
    void *arg;
    char *claimed; /* owned: the name of the secret that the other side claims, and that is known here */
    bool unknown;  /* it claims one that is not */
    const uint8_t *in;
    size_t in_len;
    bool began; /* a byte has arrived */
    uint64_t received_bytes, key_updates, sent_since_key;
    struct tls_out *out; /* NULL: nothing waits */
};

/* ---- buffers ---- */

void tls_pool_release(struct tls_pool *pool)
{
    while (pool->spares != NULL) {
        struct tls_out *out = pool->spares;

        pool->spares = out->next;
        mem_free(out);
    }
    mem_free(pool->stage);
    *pool = (struct tls_pool){0};
}

static struct tls_out *out_get(struct tls_pool *pool)
{
    struct tls_out *out = pool->spares;

    if (out == NULL) {
        out = mem_realloc(NULL, sizeof(*out) + TLS_OUT_BYTES); /* not zeroed */
        out->cap = TLS_OUT_BYTES;
    } else {
        pool->spares = out->next;
        pool->spare_count--;
    }
    out->next = NULL;
    out->at = out->len = 0;
    return out;
}

static void out_put(struct tls_pool *pool, struct tls_out *out)
{
    if (out == NULL)
        return;
    if (pool->spare_count >= TLS_SPARES_MAX || out->cap != TLS_OUT_BYTES) {
        mem_free(out);
        return;
    }
    out->next = pool->spares;
    pool->spares = out;
    pool->spare_count++;
}

static void out_add(struct tls *tls, const void *data, size_t len)
{
    struct tls_out *out = tls->out;

    if (out == NULL)
        out = tls->out = out_get(tls->pool);
    if (out->cap - out->len < len) { /* long handshakes alone: tls_write looks for room first */
        size_t cap = out->len + len;

        out = tls->out = mem_realloc(out, sizeof(*out) + cap);
        out->cap = cap;
    }
    memcpy(out->bytes + out->len, data, len);
    out->len += len;
}

static size_t out_room(const struct tls *tls)
{
    return tls->out == NULL ? TLS_OUT_BYTES : tls->out->cap - tls->out->len;
}

size_t tls_pending(const struct tls *tls, const uint8_t **ret_data)
{
    if (tls->out == NULL)
        return 0;
    if (ret_data != NULL)
        *ret_data = tls->out->bytes + tls->out->at;
    return tls->out->len - tls->out->at;
}

void tls_sent(struct tls *tls, size_t bytes)
{
    CHECK(tls->out != NULL && bytes <= tls->out->len - tls->out->at);
    tls->out->at += bytes;
    if (tls->out->at < tls->out->len)
        return;
    out_put(tls->pool, tls->out);
    tls->out = NULL;
}

void tls_add_clear(struct tls *tls, const void *data, size_t len)
{
    CHECK(!tls->established);
    out_add(tls, data, len);
}

/* ---- where OpenSSL reads and writes ---- */

static BIO_METHOD *bio_method; /* made once, for the life of the process */
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;

static int bio_read(BIO *bio, char *to, int size)
{
    struct tls *tls = BIO_get_data(bio);
    size_t n = MIN((size_t)MAX(size, 0), tls->in_len);

    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(to, tls->in, n);
    tls->in += n;
    tls->in_len -= n;
    return (int)n;
}

static int bio_write(BIO *bio, const char *from, int size)
{
    BIO_clear_retry_flags(bio);
    if (size <= 0)
        return 0;
    out_add(BIO_get_data(bio), from, (size_t)size);
    return size;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "rask");
    CHECK(bio_method != NULL);
    CHECK(BIO_meth_set_read(bio_method, bio_read) == 1);
    CHECK(BIO_meth_set_write(bio_method, bio_write) == 1);
    CHECK(BIO_meth_set_ctrl(bio_method, bio_ctrl) == 1);
}

/* ---- secrets ---- */

/* A session as OpenSSL wants a pre-shared key: with the hash of the first cipher of the list. */
static SSL_SESSION *session_of(SSL *ssl, const uint8_t psk[NET_PSK_BYTES])
{
    SSL_SESSION *session = SSL_SESSION_new();
    const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(SSL_get_ciphers(ssl), 0);

    if (session != NULL && cipher != NULL &&
        SSL_SESSION_set1_master_key(session, psk, NET_PSK_BYTES) == 1 &&
        SSL_SESSION_set1_id_context(session, (const uint8_t *)TLS_CONTEXT_ID, sizeof(TLS_CONTEXT_ID) - 1) == 1 &&
        SSL_SESSION_set_cipher(session, cipher) == 1 &&
        SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1)
        return session;
    SSL_SESSION_free(session);
    return NULL;
}

static int use_psk(SSL *ssl, const EVP_MD *md, const unsigned char **ret_name, size_t *ret_len,
                   SSL_SESSION **ret)
{
    struct tls *tls = SSL_get_app_data(ssl);

    (void)md; /* of another hash only if the other side has another list: then it fails, and says so */
    *ret = NULL;
    if (tls->psk_name == NULL)
        return 1;
    *ret_name = (const unsigned char *)tls->psk_name;
    *ret_len = strlen(tls->psk_name);
    *ret = session_of(ssl, tls->psk);
    return *ret != NULL;
}

static int find_psk(SSL *ssl, const unsigned char *name, size_t len, SSL_SESSION **ret)
{
    struct tls *tls = SSL_get_app_data(ssl);
    uint8_t psk[NET_PSK_BYTES];
    char text[NET_PSK_NAME_MAX + 1];
    bool known;

    *ret = NULL;
    if (len > NET_PSK_NAME_MAX || memchr(name, '\0', len) != NULL)
        return 1; /* nothing of ours; a certificate may follow */
    memcpy(text, name, len);
    text[len] = '\0';
    memcpy(psk, tls->psk, sizeof(psk));
    known = tls->psk_of != NULL ? tls->psk_of(tls->arg, text, psk)
                                : tls->psk_name != NULL && strcmp(text, tls->psk_name) == 0;
    if (known) {
        mem_free(tls->claimed);
        tls->claimed = mem_strdup(text);
        *ret = session_of(ssl, psk);
    } else {
        tls->unknown = true; /* a certificate may follow */
    }
    OPENSSL_cleanse(psk, sizeof(psk));
    return !known || *ret != NULL;
}

/* ---- life ---- */

static void count_key_updates(int writes, int version, int type, const void *data, size_t len,
                              SSL *ssl, void *arg)
{
    struct tls *tls = arg;

    (void)version;
    (void)ssl;
    if (!writes && type == SSL3_RT_HANDSHAKE && len > 0 &&
        *(const uint8_t *)data == SSL3_MT_KEY_UPDATE)
        tls->key_updates++;
}

static void set_up(struct tls *tls, const struct net_secure *how)
{
    SSL *ssl = tls->ssl;
    BIO *bio;

    CHECK(pthread_once(&bio_once, make_bio_method) == 0);
    bio = BIO_new(bio_method);
    CHECK(bio != NULL);
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio); /* taken */
    SSL_set_app_data(ssl, tls);
    SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_clear_mode(ssl, SSL_MODE_AUTO_RETRY); /* each message that is no data gives us a look at it */
    SSL_set_msg_callback(ssl, count_key_updates);
    SSL_set_msg_callback_arg(ssl, tls);
    if (how->accepting)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    if (how->accepting && (how->psk_of != NULL || how->psk_name != NULL))
        SSL_set_psk_find_session_callback(ssl, find_psk);
    if (!how->accepting && how->psk_name != NULL)
        SSL_set_psk_use_session_callback(ssl, use_psk);
}

struct tls *tls_new(const struct net_secure *how, struct tls_pool *pool, struct err *err)
{
    struct tls *tls = MEM_NEW(struct tls);
    char reason[200];

    CHECK(how->tls != NULL);
    CHECK(how->psk_name == NULL || (how->psk != NULL && strlen(how->psk_name) <= NET_PSK_NAME_MAX));
    CHECK(how->psk_name != NULL || how->psk_of != NULL || how->tls->has_certificate);
    tls->context = how->tls;
    tls->pool = pool;
    tls->accepting = how->accepting;
    tls->psk_of = how->psk_of;
    tls->arg = how->arg;
    if (how->psk_name != NULL) {
        tls->psk_name = mem_strdup(how->psk_name);
        memcpy(tls->psk, how->psk, sizeof(tls->psk));
    }
    tls->ssl = SSL_new(how->tls->ctx);
    if (tls->ssl == NULL) {
        err_set(err, ERR_INTERNAL, "TLS cannot begin: %s", tls_reason(reason));
        tls_free(tls);
        return NULL;
    }
    set_up(tls, how);
    return tls;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl);
    out_put(tls->pool, tls->out);
    mem_free(tls->psk_name);
    mem_free(tls->claimed);
    OPENSSL_cleanse(tls->psk, sizeof(tls->psk));
    mem_free(tls);
}

bool tls_established(const struct tls *tls)
{
    return tls->established;
}

uint64_t tls_handshake_ns(const struct tls *tls)
{
    return tls->context->handshake_ns;
}

uint64_t tls_close_ns(const struct tls *tls)
{
    return tls->context->close_ns;
}

bool tls_proven(const struct tls *tls, const char *psk_name)
{
    const char *is = tls->accepting ? tls->claimed : tls->psk_name;
    bool by_secret;

    if (!tls->established)
        return false;
    by_secret = SSL_session_reused(tls->ssl) == 1;
    if (psk_name != NULL)
        return by_secret && is != NULL && strcmp(is, psk_name) == 0;
    return !by_secret && SSL_get0_peer_certificate(tls->ssl) != NULL &&
           SSL_get_verify_result(tls->ssl) == X509_V_OK;
}

/* ---- what went wrong, in words ---- */

static const char *alert_text(int reason)
{
    switch (reason) {
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        return "the other side does not trust who signed this side's certificate";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
        return "the other side says that this side's certificate has expired";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
        return "the other side does not accept this side's certificate";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return "the other side asks for a certificate";
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return "the other side does not speak TLS 1.3";
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
    case SSL_R_TLSV1_ALERT_UNKNOWN_PSK_IDENTITY:
        return "the other side found no common ground (another job secret, other security.ssl.algorithms)";
    default:
        return NULL;
    }
}

static const char *reason_text(int reason)
{
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_SSL_VERSION:
        return "the other side does not speak TLS (is security.ssl.internal.enabled the same on both?)";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
        return "the other side offers no TLS 1.3, and nothing older is spoken here";
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return "the other side showed no certificate";
    case SSL_R_BINDER_DOES_NOT_VERIFY:
    case SSL_R_BAD_PSK:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM: /* accepting, without a certificate, and no known secret */
        return "the other side does not know the secret of the job";
    case SSL_R_NO_SHARED_CIPHER:
        return "the two sides have no cipher in common (security.ssl.algorithms)";
    default:
        return alert_text(reason);
    }
}

static int explain(struct tls *tls, struct err *err)
{
    unsigned long code = ERR_peek_error();
    long verified = SSL_get_verify_result(tls->ssl);
    const char *text = code != 0 ? reason_text(ERR_GET_REASON(code)) : NULL;
    char reason[200];

    tls->failed = true;
    if (tls->unknown && tls->claimed == NULL)
        return err_set(err, ERR_AUTH, "the other side claims the secret of a job that is not known here, or is over");
    if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED && tls->psk_name != NULL)
        return err_set(err, ERR_AUTH, "the other side did not prove that it knows the job's secret");
    if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return err_set(err, ERR_AUTH, "the other side's certificate is not accepted: %s",
                       verified == X509_V_ERR_APPLICATION_VERIFICATION
                           ? "it is not the one that cert.fingerprint names"
                           : X509_verify_cert_error_string(verified));
    if (text != NULL)
        return err_set(err, ERR_AUTH, "%s", text);
    return err_set(err, ERR_PROTOCOL, "%s", tls_reason(reason));
}

/* ---- the handshake ---- */

void tls_feed(struct tls *tls, const uint8_t *data, size_t len)
{
    CHECK(tls->in_len == 0);
    tls->in = data;
    tls->in_len = len;
}

/* What is not TLS at all gets not even an alert. */
static int check_first_bytes(struct tls *tls, struct err *err)
{
    const char *guess = "";

    if (tls->in_len == 0 || tls->began)
        return 0;
    tls->began = true;
    if (tls->in[0] == SSL3_RT_HANDSHAKE || tls->in[0] == SSL3_RT_ALERT)
        return 0;
    if (tls->in[0] == (NET_MAGIC & 0xff))
        guess = ": a Rask process without security.ssl.internal.enabled?";
    tls->failed = true;
    return err_set(err, ERR_AUTH, "the other side does not speak TLS, it begins with byte %02x%s",
                   tls->in[0], guess);
}

static int finished(struct tls *tls, struct err *err)
{
    tls->established = true;
    if (tls->psk_name != NULL && !tls_proven(tls, tls->psk_name)) {
        tls->established = false;
        tls->failed = true;
        return err_set(err, ERR_AUTH, "the other side did not prove that it knows the job's secret");
    }
    OPENSSL_cleanse(tls->psk, sizeof(tls->psk));
    return 1;
}

int tls_handshake(struct tls *tls, struct err *err)
{
    int rc = check_first_bytes(tls, err);

    if (rc < 0)
        return rc;
    while (!tls->failed) {
        ERR_clear_error();
        rc = SSL_do_handshake(tls->ssl);
        if (rc == 1)
            return finished(tls, err);
        if (SSL_get_error(tls->ssl, rc) != SSL_ERROR_WANT_READ)
            return explain(tls, err);
        if (tls->in_len == 0)
            return 0;
    }
    return err_set(err, ERR_AUTH, "the handshake has failed before");
}

/* ---- data ---- */

static int check_key_updates(struct tls *tls, struct err *err)
{
    if (tls->key_updates <= KEY_UPDATES_FREE + tls->received_bytes / KEY_UPDATE_BYTES)
        return 0;
    tls->failed = true;
    return err_set(err, ERR_PROTOCOL, "the other side changes its key over and over (%llu times in %llu bytes)",
                   (unsigned long long)tls->key_updates, (unsigned long long)tls->received_bytes);
}

/* Into one buffer. 0: nothing more for now. */
static ssize_t read_some(struct tls *tls, void *to, size_t size, bool *ret_end, struct err *err)
{
    size_t got;
    int rc, why;

    for (;;) {
        ERR_clear_error();
        rc = SSL_read_ex(tls->ssl, to, size, &got);
        if (check_key_updates(tls, err) < 0)
            return err->code;
        if (rc == 1)
            return (ssize_t)got;
        why = SSL_get_error(tls->ssl, rc);
        if (why == SSL_ERROR_ZERO_RETURN) {
            *ret_end = true;
            tls->in_len = 0;
            return 0;
        }
        if (why != SSL_ERROR_WANT_READ)
            return explain(tls, err);
        if (tls->in_len == 0 && SSL_has_pending(tls->ssl) == 0)
            return 0;
        if (tls->in_len == 0)
            return 0; /* a part of a record, which the next bytes complete */
    }
}

ssize_t tls_read(struct tls *tls, const struct iovec *iov, int n, bool *ret_end, struct err *err)
{
    size_t total = 0, at = 0;

    CHECK(tls->established);
    for (int i = 0; i < n;) {
        ssize_t got;

        if (at == iov[i].iov_len) {
            at = 0;
            i++;
            continue;
        }
        got = read_some(tls, (uint8_t *)iov[i].iov_base + at, iov[i].iov_len - at, ret_end, err);
        if (got < 0)
            return got;
        if (got == 0)
            break;
        at += (size_t)got;
        total += (size_t)got;
    }
    CHECK(tls->in_len == 0);
    tls->received_bytes += total;
    return (ssize_t)total;
}

static int write_record(struct tls *tls, const void *data, size_t len, struct err *err)
{
    size_t written;

    if (tls->sent_since_key > tls->context->rekey_bytes) {
        tls->sent_since_key = 0;
        if (SSL_key_update(tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1)
            return explain(tls, err);
    }
    ERR_clear_error();
    if (SSL_write_ex(tls->ssl, data, len, &written) != 1)
        return explain(tls, err);
    CHECK(written == len);
    tls->sent_since_key += len;
    return 0;
}

ssize_t tls_write(struct tls *tls, const struct iovec *iov, int n, struct err *err)
{
    const size_t enough = TLS_RECORD_BYTES + 2 * TLS_RECORD_EXTRA; /* a key update may go before */
    size_t taken = 0, at = 0;

    CHECK(tls->established);
    if (tls->pool->stage == NULL)
        tls->pool->stage = mem_alloc(TLS_RECORD_BYTES);
    for (int i = 0; i < n && out_room(tls) >= enough;) {
        const uint8_t *data = (const uint8_t *)iov[i].iov_base + at;
        size_t len = iov[i].iov_len - at;

        if (len >= TLS_RECORD_BYTES) {
            len = TLS_RECORD_BYTES;
            at += len;
        } else {
            data = tls->pool->stage;
            for (len = 0; i < n && len < TLS_RECORD_BYTES;) {
                size_t more = MIN(iov[i].iov_len - at, TLS_RECORD_BYTES - len);

                memcpy(tls->pool->stage + len, (const uint8_t *)iov[i].iov_base + at, more);
                len += more;
                at += more;
                if (at == iov[i].iov_len) {
                    at = 0;
                    i++;
                }
            }
        }
        if (write_record(tls, data, len, err) < 0)
            return err->code;
        taken += len;
        if (i < n && at == iov[i].iov_len) {
            at = 0;
            i++;
        }
    }
    return (ssize_t)taken;
}

void tls_say_end(struct tls *tls)
{
    if (!tls->established || tls->failed)
        return;
    ERR_clear_error();
    if (SSL_shutdown(tls->ssl) < 0)
        ERR_clear_error();
}
