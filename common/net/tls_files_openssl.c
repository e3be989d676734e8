/*
 * tls_files_openssl.c - keystore, truststore, key and rules: read, checked, made into a context.
 *
 * Everything that can be wrong with a file is found here, when the process starts, in a sentence that names key and
 * file.  Not here: connections.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/net/tls_openssl_private.h"
#include "common/net/tls_private.h"

#define HANDSHAKE_MS_DEFAULT 10000
#define CLOSE_MS_DEFAULT     1000
#define REKEY_BYTES_DEFAULT  (UINT64_C(64) << 30)
#define CERTIFICATES_MAX     1000 /* in one file */
#define FILE_BYTES_MAX       (1 << 20)
#define CERTIFICATE_BYTES_MAX 32768 /* of the other side's chain */
#define CIPHERS_TEXT_MAX     512

const char *tls_reason(char out[200])
{
    unsigned long code = ERR_get_error();
    const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;

    snprintf(out, 200, "%s", text != NULL ? text : code != 0 ? "an error without a name" : "nothing more is known");
    ERR_clear_error();
    return out;
}

/* ---- files ---- */

static int check_mode(FILE *f, const struct tls_setting *s, struct err *err)
{
    struct stat st;

    if (fstat(fileno(f), &st) != 0)
        return err_errno(err, errno, "%s: file %s", s->key, s->value);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "%s: %s is no file", s->key, s->value);
    if (st.st_size > FILE_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "%s: file %s has %lld bytes; PEM files here have %d at most", s->key,
                       s->value, (long long)st.st_size, FILE_BYTES_MAX);
    return 0;
}

static int open_file(const struct tls_setting *s, bool secret, FILE **ret, struct err *err)
{
    FILE *f = fopen(s->value, "re");
    struct stat st;
    int code;

    if (f == NULL)
        return err_errno(err, errno, "%s: file %s", s->key, s->value);
    code = check_mode(f, s, err);
    if (code == 0 && secret && fstat(fileno(f), &st) == 0 && (st.st_mode & 027) != 0)
        code = err_set(err, ERR_PERMISSION,
                       "%s: file %s holds a private key and has mode %04o: other users could read or change it; "
                       "set it to 0600 (chmod 600 %s)",
                       s->key, s->value, (unsigned)(st.st_mode & 07777), s->value);
    if (code < 0) {
        fclose(f);
        return code;
    }
    *ret = f;
    return 0;
}

/* A file that is no PEM is often one of Java's. */
static int not_pem(FILE *f, const struct tls_setting *s, const char *what, struct err *err)
{
    uint8_t start[4] = {0};
    const char *hint = "";
    bool jks, p12;

    rewind(f);
    if (fread(start, 1, sizeof(start), f) < sizeof(start))
        start[0] = 0;
    jks = memcmp(start, "\xfe\xed\xfe\xed", 4) == 0;
    p12 = start[0] == 0x30 && start[1] == 0x82;
    if (jks)
        hint = " (it looks like a Java keystore: keytool -importkeystore ... -deststoretype PKCS12, then openssl "
               "pkcs12 -nodes makes PEM of it)";
    else if (p12)
        hint = " (it looks like PKCS#12: openssl pkcs12 -in FILE -nodes makes PEM of it)";
    ERR_clear_error();
    return err_set(err, ERR_INVALID, "%s: file %s holds no %s in PEM form (-----BEGIN ...)%s", s->key, s->value, what, hint);
}

static STACK_OF(X509) *read_certificates(FILE *f)
{
    STACK_OF(X509) *list = sk_X509_new_null();
    X509 *cert;

    CHECK(list != NULL);
    while (sk_X509_num(list) < CERTIFICATES_MAX && (cert = PEM_read_X509(f, NULL, NULL, NULL)) != NULL)
        CHECK(sk_X509_push(list, cert) > 0);
    ERR_clear_error();
    return list;
}

static int give_password(char *out, int size, int writing, void *arg)
{
    const struct tls_setting *password = arg;
    size_t len = password->value != NULL ? strlen(password->value) : 0;

    (void)writing;
    if (len == 0 || len > (size_t)size)
        return -1;
    memcpy(out, password->value, len);
    return (int)len;
}

static bool has_key(FILE *f)
{
    char line[256];

    rewind(f);
    while (fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, "-----BEGIN ", 11) == 0 && strstr(line, "PRIVATE KEY-----") != NULL)
            return true;
    return false;
}

static int read_key(FILE *f, const struct tls_options *o, EVP_PKEY **ret, struct err *err)
{
    const struct tls_setting *s = &o->keystore;

    if (!has_key(f))
        return not_pem(f, s, "private key", err);
    rewind(f);
    *ret = PEM_read_PrivateKey(f, NULL, give_password, (void *)&o->key_password);
    if (*ret != NULL)
        return 0;
    ERR_clear_error();
    if (o->key_password.value == NULL)
        return err_set(err, ERR_INVALID,
                       "%s: the private key in file %s cannot be read; if it is encrypted, set %s", s->key,
                       s->value, o->key_password.key);
    return err_set(err, ERR_INVALID,
                   "%s: the private key in file %s cannot be read with the password of %s", s->key, s->value,
                   o->key_password.key);
}

/* ---- checks ---- */

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm;

    memset(&tm, 0, sizeof(tm));
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void day_of(int64_t s, char out[32])
{
    time_t t = (time_t)s;
    struct tm tm;

    gmtime_r(&t, &tm);
    strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &tm);
}

static int check_time(const X509 *cert, const struct tls_setting *s, int64_t now_s, struct err *err)
{
    int64_t from = seconds_of(X509_get0_notBefore(cert)), until = seconds_of(X509_get0_notAfter(cert));
    char day[32];

    day_of(until, day);
    if (until <= now_s)
        return err_set(err, ERR_AUTH, "%s: the certificate in file %s has expired on %s", s->key, s->value, day);
    day_of(from, day);
    if (from > now_s)
        return err_set(err, ERR_AUTH, "%s: the certificate in file %s is not valid before %s; is the clock right?",
                       s->key, s->value, day);
    return 0;
}

/* Every member of a cluster has the same truststore: who would not be trusted himself will be refused by all. */
static int check_own_chain(SSL_CTX *ctx, X509 *cert, STACK_OF(X509) *chain, const struct tls_options *o,
                           struct err *err)
{
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    int code = 0;

    CHECK(check != NULL && X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(ctx), cert, chain) == 1);
    X509_STORE_CTX_set_flags(check, X509_V_FLAG_PARTIAL_CHAIN);
    if (X509_verify_cert(check) != 1)
        code = err_set(err, ERR_AUTH, "%s: the certificate in file %s is not trusted by file %s of %s: %s",
                       o->keystore.key, o->keystore.value, o->truststore.value, o->truststore.key,
                       X509_verify_cert_error_string(X509_STORE_CTX_get_error(check)));
    X509_STORE_CTX_free(check);
    ERR_clear_error();
    return code;
}

/* ---- the context ---- */

static int load_trust(SSL_CTX *ctx, const struct tls_options *o, struct err *err)
{
    const struct tls_setting *s = &o->truststore;
    STACK_OF(X509) *list;
    FILE *f;
    int code = open_file(s, false, &f, err);

    if (code < 0)
        return code;
    list = read_certificates(f);
    if (sk_X509_num(list) == 0)
        code = not_pem(f, s, "certificate", err);
    for (int i = 0; i < sk_X509_num(list) && code == 0; i++)
        if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), sk_X509_value(list, i)) != 1)
            code = err_set(err, ERR_INVALID, "%s: certificate %d of file %s cannot be used", s->key, i + 1, s->value);
    sk_X509_pop_free(list, X509_free);
    fclose(f);
    return code;
}

static int use_certificate(struct net_tls *tls, STACK_OF(X509) *list, EVP_PKEY *key, const struct tls_options *o,
                           struct err *err)
{
    const struct tls_setting *s = &o->keystore;
    X509 *own = sk_X509_value(list, 0);
    char reason[200];
    int code = 0;

    if (X509_check_private_key(own, key) != 1)
        return err_set(err, ERR_INVALID,
                       "%s: the private key in file %s does not belong to the first certificate in it", s->key,
                       s->value);
    for (int i = 0; i < sk_X509_num(list) && code == 0; i++)
        code = check_time(sk_X509_value(list, i), s, o->now_s, err);
    if (code == 0 && o->truststore.value != NULL && o->members)
        code = check_own_chain(tls->ctx, own, list, o, err);
    if (code < 0)
        return code;
    if (SSL_CTX_use_certificate(tls->ctx, own) != 1 || SSL_CTX_use_PrivateKey(tls->ctx, key) != 1)
        return err_set(err, ERR_INVALID, "%s: file %s cannot be used: %s", s->key, s->value, tls_reason(reason));
    for (int i = 1; i < sk_X509_num(list); i++)
        if (SSL_CTX_add1_chain_cert(tls->ctx, sk_X509_value(list, i)) != 1)
            return err_set(err, ERR_INVALID, "%s: certificate %d of file %s cannot be used: %s", s->key, i + 1,
                           s->value, tls_reason(reason));
    tls->has_certificate = true;
    tls->expires_s = seconds_of(X509_get0_notAfter(own));
    return 0;
}

static int load_keystore(struct net_tls *tls, const struct tls_options *o, struct err *err)
{
    STACK_OF(X509) *list = NULL;
    EVP_PKEY *key = NULL;
    FILE *f;
    int code = open_file(&o->keystore, true, &f, err);

    if (code < 0)
        return code;
    list = read_certificates(f);
    if (sk_X509_num(list) == 0)
        code = not_pem(f, &o->keystore, "certificate", err);
    if (code == 0)
        code = read_key(f, o, &key, err);
    if (code == 0)
        code = use_certificate(tls, list, key, o, err);
    EVP_PKEY_free(key);
    sk_X509_pop_free(list, X509_free);
    fclose(f);
    ERR_clear_error();
    return code;
}

/* 20 or 32 bytes in hex, with or without colons, as keytool and openssl print them. */
static int read_fingerprint(struct net_tls *tls, const struct tls_setting *s, struct err *err)
{
    uint8_t bytes[64];
    size_t digits = 0;

    if (s->value == NULL)
        return 0;
    memset(bytes, 0, sizeof(bytes));
    for (const char *c = s->value; *c != '\0'; c++) {
        static const char hex[] = "0123456789abcdef";
        const char *digit = strchr(hex, *c | 0x20);

        if (*c == ':')
            continue;
        if (digit == NULL || *digit == '\0' || digits >= 2 * sizeof(tls->fingerprint))
            digits = SIZE_MAX;
        if (digits == SIZE_MAX)
            break;
        bytes[digits / 2] = (uint8_t)(bytes[digits / 2] << 4 | (digit - hex));
        digits++;
    }
    if (digits != 40 && digits != 64)
        return err_set(err, ERR_INVALID,
                       "%s: \"%s\" is no fingerprint: 40 (SHA-1) or 64 (SHA-256) hex digits, colons allowed", s->key,
                       s->value);
    tls->fingerprint_len = digits / 2;
    memcpy(tls->fingerprint, bytes, tls->fingerprint_len);
    return 0;
}

static bool is_cipher(const char *name)
{
    static const char *const names[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                        "TLS_CHACHA20_POLY1305_SHA256"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static int set_ciphers(struct net_tls *tls, const struct tls_setting *s, struct err *err)
{
    const char *list = s->value != NULL ? s->value : TLS_CIPHERS_DEFAULT;
    char text[CIPHERS_TEXT_MAX], *save = NULL;
    size_t len = 0;
    int count = 0;

    if (strlen(list) >= sizeof(text))
        return err_set(err, ERR_LIMIT, "%s: a list of %zu characters, the limit is %d", s->key, strlen(list),
                       CIPHERS_TEXT_MAX - 1);
    for (const char *c = list; *c != '\0'; c++)
        if (*c != ' ')
            text[len++] = *c == ',' ? ':' : *c;
    text[len] = '\0';
    ERR_clear_error();
    if (SSL_CTX_set_ciphersuites(tls->ctx, text) != 1)
        count = -1;
    for (char *name = strtok_r(text, ":", &save); name != NULL && count >= 0; name = strtok_r(NULL, ":", &save))
        count = is_cipher(name) ? count + 1 : -1; /* OpenSSL passes over what it does not know */
    ERR_clear_error();
    if (count <= 0)
        return err_set(err, ERR_INVALID,
                       "%s: \"%s\" is no list of TLS 1.3 ciphers; there are TLS_AES_128_GCM_SHA256, "
                       "TLS_AES_256_GCM_SHA384 and TLS_CHACHA20_POLY1305_SHA256",
                       s->key, list);
    tls->ciphers = mem_strdup(list);
    return 0;
}

static bool is_pinned(const struct net_tls *tls, X509 *cert)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    return cert != NULL &&
           X509_digest(cert, tls->fingerprint_len == 20 ? EVP_sha1() : EVP_sha256(), digest, &len) == 1 &&
           len == tls->fingerprint_len && memcmp(digest, tls->fingerprint, len) == 0;
}

/* After the chain was checked by the rules of X.509. */
static int check_pinned(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct net_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    if (ok == 1 && X509_STORE_CTX_get_error_depth(store) == 0 && tls->fingerprint_len > 0 &&
        !is_pinned(tls, X509_STORE_CTX_get_current_cert(store))) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    return ok;
}

static void set_rules(struct net_tls *tls, const struct tls_options *o)
{
    SSL_CTX *ctx = tls->ctx;
    int64_t handshake_ms = o->handshake_timeout_ms > 0 ? o->handshake_timeout_ms : HANDSHAKE_MS_DEFAULT;
    int64_t close_ms = o->close_timeout_ms > 0 ? o->close_timeout_ms : CLOSE_MS_DEFAULT;

    CHECK(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_num_tickets(ctx, 0); /* no session is resumed: what was proved is proved again */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    CHECK(SSL_CTX_set_session_id_context(ctx, (const uint8_t *)TLS_CONTEXT_ID, sizeof(TLS_CONTEXT_ID) - 1) == 1);
    SSL_CTX_set_max_cert_list(ctx, CERTIFICATE_BYTES_MAX);
    SSL_CTX_set_app_data(ctx, tls);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    if (!o->ask_no_certificate)
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, check_pinned);
    tls->ask_no_certificate = o->ask_no_certificate;
    tls->handshake_ns = (uint64_t)handshake_ms * 1000000u;
    tls->close_ns = (uint64_t)close_ms * 1000000u;
    tls->rekey_bytes = o->rekey_bytes > 0 ? o->rekey_bytes : REKEY_BYTES_DEFAULT;
}

static int load(struct net_tls *tls, const struct tls_options *o, struct err *err)
{
    int code = set_ciphers(tls, &o->ciphers, err);

    if (code == 0)
        code = read_fingerprint(tls, &o->fingerprint, err);
    if (code == 0 && o->truststore.value != NULL)
        code = load_trust(tls->ctx, o, err);
    if (code == 0 && o->keystore.value != NULL)
        code = load_keystore(tls, o, err);
    return code;
}

int tls_context_new(const struct tls_options *options, struct net_tls **ret, struct err *err)
{
    struct net_tls *tls = MEM_NEW(struct net_tls);
    char reason[200];
    int code;

    tls->ctx = SSL_CTX_new(TLS_method());
    tls->expires_s = INT64_MAX;
    if (tls->ctx == NULL) {
        mem_free(tls);
        return err_set(err, ERR_INTERNAL, "TLS cannot be used: %s", tls_reason(reason));
    }
    set_rules(tls, options);
    code = load(tls, options, err);
    if (code < 0) {
        tls_context_free(tls);
        return code;
    }
    *ret = tls;
    return 0;
}

void tls_context_free(struct net_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->ctx);
    mem_free(tls->ciphers);
    mem_free(tls);
}

int64_t tls_context_days_left(const struct net_tls *tls, int64_t now_s)
{
    return tls->expires_s == INT64_MAX ? INT64_MAX : (tls->expires_s - now_s) / 86400;
}

const char *tls_context_ciphers(const struct net_tls *tls)
{
    return tls->ciphers;
}

void *tls_context_native(struct net_tls *tls)
{
    return tls->ctx;
}

void *tls_session_new(struct net_tls *tls)
{
    SSL *ssl = SSL_new(tls->ctx);

    CHECK(ssl != NULL);
    SSL_set_accept_state(ssl);
    SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    return ssl;
}

void tls_session_end(void *session)
{
    if (SSL_is_init_finished(session))
        SSL_shutdown(session);
    ERR_clear_error();
}
