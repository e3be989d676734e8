/*
 * certs_openssl.c - certificates by libcrypto. Thread: any.
 */
#define ERR_STATE OPENSSL_ERR_STATE /* an old type name of OpenSSL's, an error code of ours */
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#undef ERR_STATE
#include <arpa/inet.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/security/certs.h"

#define SERIAL_BYTES 16

static int failed(struct err *err, const char *what)
{
    return err_set(err, ERR_INTERNAL, "certificates: OpenSSL cannot %s", what);
}

static int set_name(X509 *cert, const char *name, struct err *err)
{
    X509_NAME *subject = X509_get_subject_name(cert);

    if (X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const uint8_t *)"Rask", -1, -1, 0) != 1 ||
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const uint8_t *)name, -1, -1, 0) != 1)
        return err_set(err, ERR_INVALID, "\"%s\" cannot be the name of a certificate (at most 64 characters)", name);
    return 0;
}

static int set_serial(X509 *cert, struct err *err)
{
    uint8_t bytes[SERIAL_BYTES];
    BIGNUM *number = NULL;
    int ok = RAND_bytes(bytes, sizeof(bytes));

    bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); /* positive, and always of the same length */
    if (ok == 1)
        number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    ok = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok ? 0 : failed(err, "draw a serial number");
}

static int add_extension(X509 *cert, X509 *issuer, int nid, const char *value, struct err *err)
{
    X509_EXTENSION *extension;
    X509V3_CTX ctx;
    int ok;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ok = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok ? 0 : err_set(err, ERR_INVALID, "certificates: \"%s\" is no legal content of the extension %s", value,
                            OBJ_nid2sn(nid));
}

/* Names may hold anything; they become text that OpenSSL parses. */
static int check_host(const char *host, struct err *err)
{
    size_t len = strlen(host);

    if (len == 0 || len > 253 || strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:*") != len)
        return err_set(err, ERR_INVALID, "\"%s\" is no name or address of a host", host);
    return 0;
}

static int add_hosts(X509 *cert, X509 *issuer, const struct certs_request *request, struct err *err)
{
    struct bytes text;
    int code = 0;

    if (request->host_count == 0)
        return 0;
    bytes_init(&text);
    for (size_t i = 0; i < request->host_count && code == 0; i++) {
        const char *host = request->hosts[i];
        struct in6_addr six;
        struct in_addr four;
        bool numeric = inet_pton(AF_INET, host, &four) == 1 || inet_pton(AF_INET6, host, &six) == 1;

        code = check_host(host, err);
        bytes_add_str(&text, i == 0 ? "DNS:" : ",DNS:");
        if (numeric) {
            text.len -= 4;
            bytes_add(&text, "IP:", 3);
        }
        bytes_add(&text, host, strlen(host));
    }
    bytes_add_u8(&text, 0);
    if (code == 0)
        code = add_extension(cert, issuer, NID_subject_alt_name, (const char *)text.data, err);
    bytes_release(&text);
    return code;
}

static int add_extensions(X509 *cert, X509 *issuer, bool authority, const struct certs_request *request,
                          struct err *err)
{
    int code = add_extension(cert, issuer, NID_subject_key_identifier, "hash", err);

    if (code == 0)
        code = add_extension(cert, issuer, NID_authority_key_identifier, "keyid", err);
    if (code == 0)
        code = add_extension(cert, issuer, NID_basic_constraints, authority ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE", err);
    if (code == 0)
        code = add_extension(cert, issuer, NID_key_usage, authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature", err);
    if (code == 0 && !authority)
        code = add_extension(cert, issuer, NID_ext_key_usage, "serverAuth,clientAuth", err);
    if (code == 0)
        code = add_hosts(cert, issuer, request, err);
    return code;
}

/* issuer NULL: signs itself. */
static int build(X509 *cert, EVP_PKEY *key, const struct certs_request *request, X509 *issuer, EVP_PKEY *issuer_key,
                 struct err *err)
{
    bool authority = issuer == NULL;
    int code = set_name(cert, request->name, err);

    if (code == 0)
        code = set_serial(cert, err);
    if (code < 0)
        return code;
    if (X509_set_version(cert, 2) != 1 || X509_set_pubkey(cert, key) != 1 ||
        ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)request->from_s) == NULL ||
        ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)request->until_s) == NULL ||
        X509_set_issuer_name(cert, X509_get_subject_name(authority ? cert : issuer)) != 1)
        return failed(err, "fill a certificate");
    code = add_extensions(cert, authority ? cert : issuer, authority, request, err);
    if (code == 0 && X509_sign(cert, authority ? key : issuer_key, EVP_sha256()) == 0)
        code = failed(err, "sign a certificate");
    return code;
}

static int to_pem(X509 *cert, EVP_PKEY *key, struct bytes *ret_certificate, struct bytes *ret_key, struct err *err)
{
    BIO *out = BIO_new(BIO_s_mem()), *out_key = BIO_new(BIO_s_secmem());
    char *text, *key_text;
    long len, key_len;
    int ok;

    CHECK(out != NULL && out_key != NULL);
    ok = PEM_write_bio_X509(out, cert) == 1 &&
         PEM_write_bio_PKCS8PrivateKey(out_key, key, NULL, NULL, 0, NULL, NULL) == 1;
    len = BIO_get_mem_data(out, &text);
    key_len = BIO_get_mem_data(out_key, &key_text);
    if (ok) {
        bytes_add(ret_certificate, text, (size_t)len);
        bytes_add(ret_key, key_text, (size_t)key_len);
    }
    BIO_free(out);
    BIO_free(out_key);
    return ok ? 0 : failed(err, "write PEM");
}

static int make(const struct certs_request *request, X509 *issuer, EVP_PKEY *issuer_key,
                struct bytes *ret_certificate, struct bytes *ret_key, struct err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    int code = key != NULL && cert != NULL ? build(cert, key, request, issuer, issuer_key, err)
                                           : failed(err, "make a key of P-256");

    if (code == 0)
        code = to_pem(cert, key, ret_certificate, ret_key, err);
    X509_free(cert);
    EVP_PKEY_free(key);
    return code;
}

int certs_make_authority(const struct certs_request *request, struct bytes *ret_certificate, struct bytes *ret_key,
                         struct err *err)
{
    return make(request, NULL, NULL, ret_certificate, ret_key, err);
}

static X509 *read_certificate(const char *pem)
{
    BIO *in = BIO_new_mem_buf(pem, -1);
    X509 *cert;

    CHECK(in != NULL);
    cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
    BIO_free(in);
    return cert;
}

int certs_make(const struct certs_request *request, const char *authority, const char *authority_key,
               struct bytes *ret_certificate, struct bytes *ret_key, struct err *err)
{
    BIO *in = BIO_new_mem_buf(authority_key, -1);
    X509 *issuer = read_certificate(authority);
    EVP_PKEY *key;
    int code;

    CHECK(in != NULL);
    key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    if (issuer == NULL || key == NULL || X509_check_private_key(issuer, key) != 1)
        code = err_set(err, ERR_INVALID, "the certificate of the authority and its key do not belong together, or are no PEM");
    else
        code = make(request, issuer, key, ret_certificate, ret_key, err);
    BIO_free(in);
    X509_free(issuer);
    EVP_PKEY_free(key);
    return code;
}

int certs_fingerprint(const char *pem, char out[96], struct err *err)
{
    X509 *cert = read_certificate(pem);
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (cert == NULL || X509_digest(cert, EVP_sha256(), digest, &len) != 1) {
        X509_free(cert);
        return err_set(err, ERR_INVALID, "no certificate in PEM form");
    }
    for (unsigned i = 0; i < len; i++)
        snprintf(out + 3 * i, 4, "%02X%s", digest[i], i + 1 < len ? ":" : "");
    X509_free(cert);
    return 0;
}
