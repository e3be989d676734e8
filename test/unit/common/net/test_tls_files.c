/* test_tls_files.c - what can be wrong with keystores, truststores and their settings, and what is said about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "test/unit/common/net/tls_files.h"

/* The sentence names key and file, and says text. */
static void refused(const struct tls_options *options, const char *key, const char *file, const char *text)
{
    struct net_tls *tls = NULL;
    struct err err;

    assert_true(tls_context_new(options, &tls, &err) < 0);
    assert_null(tls);
    if (strstr(err.text, key) == NULL || strstr(err.text, file) == NULL || strstr(err.text, text) == NULL)
        fail_msg("\"%s\" lacks one of \"%s\", \"%s\", \"%s\"", err.text, key, file, text);
}

static void refused_keystore(struct tls_files *f, const char *content, mode_t mode, const char *text)
{
    struct tls_options options = tls_files_options(f);

    unlink(f->keystore);
    if (content != NULL)
        tls_files_write(f->keystore, content, mode);
    refused(&options, "security.ssl.internal.keystore", f->keystore, text);
}

static char *join(const char *a, const char *b)
{
    return mem_printf("%s%s", a, b);
}

static void keystores(void **state)
{
    struct tls_files f, other;
    char *good, *bad, *key;

    (void)state;
    tls_files_new(&f, -60, 86400);
    tls_files_new(&other, -60, 86400);
    good = tls_files_issue(&f, -60, 86400);
    key = strstr(good, "-----BEGIN PRIVATE KEY");
    refused_keystore(&f, NULL, 0, "No such file");
    refused_keystore(&f, good, 0644, "chmod 600");
    refused_keystore(&f, good, 0620, "chmod 600");
    refused_keystore(&f, "", 0600, "holds no certificate in PEM form");
    refused_keystore(&f, "hello", 0600, "holds no certificate in PEM form");
    refused_keystore(&f, "\xfe\xed\xfe\xed\1\1\1", 0600, "Java keystore");
    refused_keystore(&f, "\x30\x82\1\1\1", 0600, "PKCS#12");
    refused_keystore(&f, key, 0600, "holds no certificate in PEM form");
    refused_keystore(&f, f.authority, 0600, "holds no private key");
    bad = mem_printf("%.*s", (int)(strlen(good) - 120), good);
    refused_keystore(&f, bad, 0600, "private key");
    mem_free(bad);
    bad = join(f.authority, key);
    refused_keystore(&f, bad, 0600, "does not belong to the first certificate");
    mem_free(bad);
    bad = tls_files_issue(&f, -86400, -3600);
    refused_keystore(&f, bad, 0600, "has expired on 20");
    mem_free(bad);
    bad = tls_files_issue(&f, 86400, 2 * 86400);
    refused_keystore(&f, bad, 0600, "is not valid before 20");
    mem_free(bad);
    bad = tls_files_issue(&other, -60, 86400);
    refused_keystore(&f, bad, 0600, "is not trusted by file");
    mem_free(bad);
    unlink(f.keystore);
    assert_int_equal(mkdir(f.keystore, 0700), 0);
    {
        struct tls_options options = tls_files_options(&f);

        refused(&options, "security.ssl.internal.keystore", f.keystore, "is no file");
    }
    rmdir(f.keystore);
    mem_free(good);
    tls_files_end(&other);
    tls_files_end(&f);
}

static void truststores(void **state)
{
    struct tls_options options;
    struct tls_files f;
    char *good;

    (void)state;
    tls_files_new(&f, -60, 86400);
    good = tls_files_issue(&f, -60, 86400);
    options = tls_files_options(&f);
    unlink(f.truststore);
    refused(&options, "security.ssl.internal.truststore", f.truststore, "No such file");
    tls_files_write(f.truststore, "nothing", 0644);
    refused(&options, "security.ssl.internal.truststore", f.truststore, "holds no certificate in PEM form");
    /* A single certificate that signs itself is one way of Flink's documentation: it is trusted as it is. */
    tls_files_write(f.truststore, good, 0644);
    tls_files_write(f.keystore, good, 0600);
    tls_context_free(tls_files_context(&f));
    mem_free(good);
    tls_files_end(&f);
}

static void settings(void **state)
{
    static const char *const fingerprints[] = {"", "12", "hello", "0011223344556677889900112233445566778899aa",
                                               "00:11:22:33:44:55:66:77:88:99:00:11:22:33:44:55:66:77:88:zz"};
    static const char *const ciphers[] = {"", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "AES128-SHA"};
    struct tls_options options;
    struct net_tls *tls;
    struct tls_files f;
    struct err err;

    (void)state;
    tls_files_new(&f, -60, 86400 * 10 + 3600);
    for (size_t i = 0; i < 5; i++) {
        options = tls_files_options(&f);
        options.fingerprint.value = fingerprints[i];
        refused(&options, "security.ssl.internal.cert.fingerprint", fingerprints[i], "is no fingerprint");
    }
    for (size_t i = 0; i < 3; i++) {
        options = tls_files_options(&f);
        options.ciphers.value = ciphers[i];
        refused(&options, "security.ssl.algorithms", ciphers[i], "TLS_AES_128_GCM_SHA256");
    }
    options = tls_files_options(&f);
    options.fingerprint.value = "00:11:22:33:44:55:66:77:88:99:00:11:22:33:44:55:66:77:88:FF";
    options.ciphers.value = "TLS_CHACHA20_POLY1305_SHA256, TLS_AES_128_GCM_SHA256";
    assert_int_equal(tls_context_new(&options, &tls, &err), 0);
    assert_int_equal(tls_context_days_left(tls, time(NULL)), 10);
    assert_string_equal(tls_context_ciphers(tls), options.ciphers.value);
    tls_context_free(tls);
    tls_files_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keystores),
        cmocka_unit_test(truststores),
        cmocka_unit_test(settings),
    };

    return cmocka_run_group_tests_name("tls, files", tests, NULL, NULL);
}
