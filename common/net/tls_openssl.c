/*
 * tls_openssl.c - TLS 1.3 of one connection, bytes in and bytes out, by OpenSSL.
 *
 * OpenSSL makes the handshake: it reads from the buffer that was fed and writes to one that waits for the socket, never
 * blocks and never sees a file descriptor.  Then it is let go, and records are sealed and opened with its ciphers and the
 * secrets that it agreed on (tls_records.h).  Small pieces share a record: what one costs is per record.
 * Not here: certificates and files (tls_files_openssl.c), sockets (net_tls_libevent.c).
 */
#include <pthread.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/net/tls_openssl_private.h"
#include "common/net/tls_private.h"
#include "common/net/tls_records.h"

/* A peer may change its keys once per MiB that it sends, and a few times more: each change costs us work. */
#define KEY_UPDATES_FREE 32
#define KEY_UPDATE_BYTES (1u << 20)
#define RECORDS_PER_KEY  (UINT64_C(1) << 23) /* AES-GCM is good for 2^24.5 full ones, RFC 8446 5.5 */
#define MESSAGE_HEADER   4u                  /* of a message of the handshake: type, three bytes of length */
#define MESSAGE_TICKET   4u

struct tls_out {
    struct tls_out *next;
    size_t at, len, cap; /* bytes[at, len) wait */
    uint8_t bytes[];
};

struct tls {
    SSL *ssl; /* until the handshake is over */
    struct net_tls *context;
    struct tls_pool *pool;
    bool accepting, established, failed;
    char *psk_name; /* owned; NULL: none expected, or looked up */
    uint8_t psk[NET_PSK_BYTES];
    bool (*psk_of)(void *arg, const char *psk_name, uint8_t ret_psk[NET_PSK_BYTES]);
    void *arg;
    char *claimed; /* owned: the name of the secret that the other side claims, and that is known here */
    bool unknown;  /* it claims one that is not */
    bool by_secret, by_certificate; /* what the handshake has proved */
    struct { /* as the handshake tells it */
        uint8_t bytes[EVP_MAX_MD_SIZE];
        size_t len;
    } secret[2]; /* of what the connecting side seals, of what the accepting one does */
    struct tls_flow *sealing, *opening; /* behind the handshake */
    const uint8_t *in; /* what was received and not looked at: borrowed, or in rest */
    size_t in_len;
    uint8_t *rest;     /* owned; NULL: in is borrowed, or nothing */
    bool began; /* a byte has arrived */
    bool ended; /* the other side has said that nothing follows */
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
    mem_free(pool->scratch);
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

/* The end of what waits, with room for len bytes. */
static uint8_t *out_reserve(struct tls *tls, size_t len)
{
    struct tls_out *out = tls->out;

    if (out == NULL)
        out = tls->out = out_get(tls->pool);
    if (out->cap - out->len < len) { /* handshakes and what answers the other side: tls_write looks for room first */
        size_t cap = out->len + len;

        out = tls->out = mem_realloc(out, sizeof(*out) + cap);
        out->cap = cap;
    }
    return out->bytes + out->len;
}

static void out_add(struct tls *tls, const void *data, size_t len)
{
    memcpy(out_reserve(tls, len), data, len);
    tls->out->len += len;
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

/* A line of a key log, "LABEL RANDOM SECRET", the last two in hex. */
void tls_take_secret(const SSL *ssl, const char *line)
{
    static const char *const labels[2] = {"CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 "};
    struct tls *tls = SSL_get_app_data(ssl);
    const char *hex = strrchr(line, ' ');

    for (int side = 0; tls != NULL && hex != NULL && side < 2; side++)
        if (strncmp(line, labels[side], strlen(labels[side])) == 0)
            CHECK(OPENSSL_hexstr2buf_ex(tls->secret[side].bytes, sizeof(tls->secret[side].bytes), &tls->secret[side].len,
                                        hex + 1, '\0') == 1);
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
    SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
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
    tls_flow_free(tls->sealing);
    tls_flow_free(tls->opening);
    mem_free(tls->rest);
    out_put(tls->pool, tls->out);
    mem_free(tls->psk_name);
    mem_free(tls->claimed);
    OPENSSL_cleanse(tls->psk, sizeof(tls->psk));
    OPENSSL_cleanse(tls->secret, sizeof(tls->secret));
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

    if (!tls->established)
        return false;
    if (psk_name != NULL)
        return tls->by_secret && is != NULL && strcmp(is, psk_name) == 0;
    return tls->by_certificate;
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
    CHECK(tls->in_len == 0 && tls->rest == NULL);
    tls->in = data;
    tls->in_len = len;
}

void tls_keep(struct tls *tls)
{
    if (tls->in_len > 0 && tls->rest == NULL) {
        tls->rest = mem_dup(tls->in, tls->in_len);
        tls->in = tls->rest;
    } else if (tls->in_len == 0) {
        mem_free(tls->rest);
        tls->rest = NULL;
    }
}

size_t tls_take_rest(struct tls *tls, uint8_t *to)
{
    size_t len = tls->in_len;

    if (len > 0)
        memmove(to, tls->in, len);
    mem_free(tls->rest);
    tls->rest = NULL;
    tls->in_len = 0;
    return len;
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
    const SSL_CIPHER *suite = SSL_get_current_cipher(tls->ssl);
    int ours = tls->accepting ? 1 : 0;

    tls->established = true;
    tls->by_secret = SSL_session_reused(tls->ssl) == 1;
    tls->by_certificate = !tls->by_secret && SSL_get0_peer_certificate(tls->ssl) != NULL &&
                          SSL_get_verify_result(tls->ssl) == X509_V_OK;
    if (tls->psk_name != NULL && !tls_proven(tls, tls->psk_name)) {
        tls->established = false;
        tls->failed = true;
        return err_set(err, ERR_AUTH, "the other side did not prove that it knows the job's secret");
    }
    CHECK(SSL_has_pending(tls->ssl) == 0); /* it has read no further than its own records */
    tls->sealing = tls_flow_new(suite, true, tls->secret[ours].bytes, tls->secret[ours].len);
    tls->opening = tls_flow_new(suite, false, tls->secret[!ours].bytes, tls->secret[!ours].len);
    SSL_free(tls->ssl);
    tls->ssl = NULL;
    OPENSSL_cleanse(tls->secret, sizeof(tls->secret));
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

/* Seals up to len of the next bytes. */
static void add_record(struct tls *tls, uint8_t type, struct tls_cursor *from, size_t len)
{
    uint8_t *to = out_reserve(tls, len + TLS_RECORD_EXTRA);

    tls->out->len += tls_seal(tls->sealing, type, from, len, to);
}

static void add_message(struct tls *tls, uint8_t type, const void *message, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)message, len};
    struct tls_cursor from = {&iov, 1, 0};

    add_record(tls, type, &from, len);
}

/* The other side answers none of ours with its own. */
static void change_key(struct tls *tls)
{
    static const uint8_t message[] = {SSL3_MT_KEY_UPDATE, 0, 0, 1, SSL_KEY_UPDATE_NOT_REQUESTED};

    add_message(tls, SSL3_RT_HANDSHAKE, message, sizeof(message));
    tls_flow_next_key(tls->sealing);
    tls->sent_since_key = 0;
}

static void say_alert(struct tls *tls, uint8_t level, uint8_t what)
{
    add_message(tls, SSL3_RT_ALERT, (uint8_t[]){level, what}, 2);
}

/* Says what is wrong to the other side, too. */
static int refuse(struct tls *tls, uint8_t alert, struct err *err, const char *what)
{
    tls->failed = true;
    tls->in_len = 0;
    say_alert(tls, SSL3_AL_FATAL, alert);
    return err_set(err, ERR_PROTOCOL, "%s", what);
}

static int on_key_update(struct tls *tls, const uint8_t *body, size_t len, struct err *err)
{
    if (len != 1 || body[0] > SSL_KEY_UPDATE_REQUESTED)
        return refuse(tls, SSL_AD_DECODE_ERROR, err, "the other side changes its key in a way that there is not");
    tls->key_updates++;
    if (tls->key_updates > KEY_UPDATES_FREE + tls->received_bytes / KEY_UPDATE_BYTES) {
        tls->failed = true;
        tls->in_len = 0;
        return err_set(err, ERR_PROTOCOL, "the other side changes its key over and over (%llu times in %llu bytes)",
                       (unsigned long long)tls->key_updates, (unsigned long long)tls->received_bytes);
    }
    tls_flow_next_key(tls->opening);
    if (body[0] == SSL_KEY_UPDATE_REQUESTED)
        change_key(tls);
    return 0;
}

/* Whole messages: nobody has reason to cut those that there are. A key update is the last one of its record. */
static int on_messages(struct tls *tls, const uint8_t *at, size_t len, struct err *err)
{
    while (len > 0) {
        size_t body;

        if (len < MESSAGE_HEADER)
            return refuse(tls, SSL_AD_DECODE_ERROR, err, "half a message");
        body = (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
        if (body > len - MESSAGE_HEADER)
            return refuse(tls, SSL_AD_DECODE_ERROR, err, "half a message");
        if (at[0] == SSL3_MT_KEY_UPDATE && body == len - MESSAGE_HEADER)
            return on_key_update(tls, at + MESSAGE_HEADER, body, err);
        if (at[0] != MESSAGE_TICKET || tls->accepting) /* tickets are not used */
            return refuse(tls, SSL_AD_UNEXPECTED_MESSAGE, err, "a message that does not belong here");
        at += MESSAGE_HEADER + body;
        len -= MESSAGE_HEADER + body;
    }
    return 0;
}

static int on_alert(struct tls *tls, const uint8_t *alert, size_t len, struct err *err)
{
    const char *text;

    if (len != 2)
        return refuse(tls, SSL_AD_DECODE_ERROR, err, "an alert that is none");
    if (alert[1] == SSL_AD_CLOSE_NOTIFY) {
        tls->ended = true;
        return 0;
    }
    tls->failed = true;
    tls->in_len = 0;
    text = alert_text(SSL_AD_REASON_OFFSET + alert[1]);
    if (text != NULL)
        return err_set(err, ERR_AUTH, "%s", text);
    return err_set(err, ERR_PROTOCOL, "the other side says: %s", SSL_alert_desc_string_long(alert[1]));
}

/* The record that in begins with. Returns bytes of data. */
static ssize_t read_record(struct tls *tls, size_t len, struct tls_cursor *to, struct err *err)
{
    struct tls_opened opened;
    int rc = 0;

    if (tls->pool->scratch == NULL)
        tls->pool->scratch = mem_alloc(TLS_RECORD_BYTES + TLS_RECORD_EXTRA);
    if (!tls_open(tls->opening, tls->in, len, to, tls->pool->scratch, &opened))
        return refuse(tls, SSL_AD_BAD_RECORD_MAC, err, "a record was changed on its way, or does not belong here");
    tls->in += len;
    tls->in_len -= len;
    if (opened.content == NULL) {
        tls->received_bytes += opened.len;
        return (ssize_t)opened.len;
    }
    if (opened.type == SSL3_RT_HANDSHAKE && opened.len > 0)
        rc = on_messages(tls, opened.content, opened.len, err);
    else if (opened.type == SSL3_RT_ALERT)
        rc = on_alert(tls, opened.content, opened.len, err);
    else
        rc = refuse(tls, SSL_AD_UNEXPECTED_MESSAGE, err, "a record of a kind that does not belong here");
    return rc;
}

bool tls_has_more(const struct tls *tls)
{
    return tls->established && !tls->failed && (tls->ended || tls_record_length(tls->in, tls->in_len) != 0);
}

ssize_t tls_read(struct tls *tls, const struct iovec *iov, int n, size_t enough, bool *ret_end, struct err *err)
{
    struct tls_cursor to = {iov, n, 0};
    size_t total = 0;

    CHECK(tls->established);
    while (total < enough && !tls->ended) {
        int len = tls_record_length(tls->in, tls->in_len);
        ssize_t got;

        if (len == 0)
            break;
        if (len < 0)
            return refuse(tls, SSL_AD_UNEXPECTED_MESSAGE, err, "bytes that are no record of TLS 1.3");
        got = read_record(tls, (size_t)len, &to, err);
        if (got < 0)
            return got;
        total += (size_t)got;
    }
    if (tls->ended)
        tls->in_len = 0;
    *ret_end = tls->ended && total == 0;
    return (ssize_t)total;
}

size_t tls_write(struct tls *tls, const struct iovec *iov, int n)
{
    const size_t enough = TLS_RECORD_BYTES + 2 * TLS_RECORD_EXTRA; /* a key update may go before */
    struct tls_cursor from = {iov, n, 0};
    size_t left = 0, taken = 0;

    CHECK(tls->established);
    for (int i = 0; i < n; i++)
        left += iov[i].iov_len;
    while (taken < left && out_room(tls) >= enough) {
        size_t len = MIN(left - taken, TLS_RECORD_BYTES);

        if (tls->sent_since_key > tls->context->rekey_bytes || tls_flow_records(tls->sealing) >= RECORDS_PER_KEY)
            change_key(tls);
        add_record(tls, SSL3_RT_APPLICATION_DATA, &from, len);
        tls->sent_since_key += len;
        taken += len;
    }
    return taken;
}

void tls_say_end(struct tls *tls)
{
    if (tls->established && !tls->failed)
        say_alert(tls, SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY);
}
