/* tls_files.h - certificates for tests: written to a folder of their own, removed at the end. */
#ifndef TEST_TLS_FILES_H
#define TEST_TLS_FILES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/net/net.h"
#include "common/net/tls.h"
#include "common/security/certs.h"

struct tls_files {
    char folder[64], keystore[96], truststore[96];
    char *authority, *authority_key; /* PEM */
};

static inline void tls_files_write(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "we");

    CHECK(f != NULL);
    CHECK(fputs(text, f) >= 0);
    CHECK(fclose(f) == 0);
    CHECK(chmod(path, mode) == 0);
}

/* A certificate with its key, valid from `from` to `until` seconds from now; the caller frees it. */
static inline char *tls_files_issue(const struct tls_files *f, int64_t from, int64_t until)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1", "::1"};
    struct certs_request request = {.name = "member", .from_s = time(NULL) + from, .until_s = time(NULL) + until,
                                    .hosts = hosts, .host_count = 3};
    struct bytes certificate, key;
    struct err err;

    bytes_init(&certificate);
    bytes_init(&key);
    if (certs_make(&request, f->authority, f->authority_key, &certificate, &key, &err) < 0)
        check_failed(err.text, __FILE__, __LINE__, __func__);
    bytes_add(&certificate, key.data, key.len);
    bytes_release(&key);
    return bytes_take_str(&certificate);
}

static inline void tls_files_new(struct tls_files *f, int64_t from, int64_t until)
{
    struct certs_request request = {.name = "authority", .from_s = time(NULL) - 86400 * 30, .until_s = time(NULL) + 86400};
    struct bytes certificate, key;
    struct err err;
    char *member;

    snprintf(f->folder, sizeof(f->folder), "/tmp/rask-tls-XXXXXX");
    CHECK(mkdtemp(f->folder) != NULL);
    snprintf(f->keystore, sizeof(f->keystore), "%s/keystore.pem", f->folder);
    snprintf(f->truststore, sizeof(f->truststore), "%s/truststore.pem", f->folder);
    bytes_init(&certificate);
    bytes_init(&key);
    CHECK(certs_make_authority(&request, &certificate, &key, &err) == 0);
    f->authority = bytes_take_str(&certificate);
    f->authority_key = bytes_take_str(&key);
    member = tls_files_issue(f, from, until);
    tls_files_write(f->keystore, member, 0600);
    tls_files_write(f->truststore, f->authority, 0644);
    mem_free(member);
}

static inline void tls_files_end(struct tls_files *f)
{
    unlink(f->keystore);
    unlink(f->truststore);
    rmdir(f->folder);
    mem_free(f->authority);
    mem_free(f->authority_key);
}

static inline struct tls_options tls_files_options(const struct tls_files *f)
{
    return (struct tls_options){
        .keystore = {"security.ssl.internal.keystore", f->keystore},
        .key_password = {"security.ssl.internal.key-password", NULL},
        .truststore = {"security.ssl.internal.truststore", f->truststore},
        .fingerprint = {"security.ssl.internal.cert.fingerprint", NULL},
        .ciphers = {"security.ssl.algorithms", NULL},
        .members = true,
        .now_s = time(NULL),
    };
}

static inline struct net_tls *tls_files_context(const struct tls_files *f)
{
    struct tls_options options = tls_files_options(f);
    struct net_tls *tls;
    struct err err;

    if (tls_context_new(&options, &tls, &err) < 0)
        check_failed(err.text, __FILE__, __LINE__, __func__);
    return tls;
}

/* A context without certificates, for secrets alone. */
static inline struct net_tls *tls_files_secret_context(void)
{
    struct tls_options options = {.ciphers = {"security.ssl.algorithms", NULL}, .now_s = time(NULL)};
    struct net_tls *tls;
    struct err err;

    if (tls_context_new(&options, &tls, &err) < 0)
        check_failed(err.text, __FILE__, __LINE__, __func__);
    return tls;
}

#endif
