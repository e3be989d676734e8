/* Records of TLS 1.3: what is sealed is opened, in whatever pieces, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ERR_STATE OPENSSL_ERR_STATE /* an old type name of OpenSSL's, an error code of ours */
#include <openssl/ssl.h>
#undef ERR_STATE

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/net/tls_records.h"

#define ROOM (TLS_RECORD_BYTES + TLS_RECORD_EXTRA)

struct fixture {
    SSL_CTX *ctx;
    SSL *ssl;
    struct tls_flow *seals, *opens;
    uint64_t random;
    uint8_t plain[ROOM], record[ROOM], got[2 * ROOM], scratch[ROOM];
};

static uint32_t any(struct fixture *f, uint32_t below)
{
    f->random = f->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((f->random >> 33) % below);
}

/* Of the named cipher, NULL: any. */
static struct fixture *begin(const char *name)
{
    struct fixture *f = MEM_NEW(struct fixture);
    uint8_t secret[EVP_MAX_MD_SIZE] = {1, 2, 3};
    const SSL_CIPHER *suite;
    size_t len;

    f->random = 7;
    f->ctx = SSL_CTX_new(TLS_method());
    assert_int_equal(SSL_CTX_set_min_proto_version(f->ctx, TLS1_3_VERSION), 1);
    assert_int_equal(SSL_CTX_set_ciphersuites(f->ctx, name != NULL ? name : "TLS_AES_128_GCM_SHA256"), 1);
    f->ssl = SSL_new(f->ctx);
    suite = sk_SSL_CIPHER_value(SSL_get_ciphers(f->ssl), 0);
    len = (size_t)EVP_MD_get_size(SSL_CIPHER_get_handshake_digest(suite));
    f->seals = tls_flow_new(suite, true, secret, len);
    f->opens = tls_flow_new(suite, false, secret, len);
    for (size_t i = 0; i < sizeof(f->plain); i++)
        f->plain[i] = (uint8_t)any(f, 256);
    return f;
}

static void end(struct fixture *f)
{
    tls_flow_free(f->seals);
    tls_flow_free(f->opens);
    SSL_free(f->ssl);
    SSL_CTX_free(f->ctx);
    mem_free(f);
}

/* len bytes in up to five pieces, some of them empty. */
static int cut(struct fixture *f, uint8_t *data, size_t len, struct iovec iov[5])
{
    size_t at = 0;

    for (int i = 0; i < 5; i++) {
        size_t part = i == 4 ? len - at : any(f, 3) == 0 ? 0 : any(f, (uint32_t)(len - at) + 1);

        iov[i] = (struct iovec){data + at, part};
        at += part;
    }
    return 5;
}

static size_t seal(struct fixture *f, uint8_t type, size_t len)
{
    struct iovec iov[5];
    struct tls_cursor from = {iov, cut(f, f->plain, len, iov), 0};
    size_t made = tls_seal(f->seals, type, &from, len, f->record);

    assert_int_equal(made, len + 22);
    assert_int_equal(tls_record_length(f->record, made), made);
    for (size_t some = 0; some < made; some = some < 8 ? some + 1 : made)
        assert_int_equal(tls_record_length(f->record, some), 0);
    return made;
}

static bool open_record(struct fixture *f, size_t len, struct tls_opened *ret)
{
    struct iovec iov[5];
    struct tls_cursor to = {iov, cut(f, f->got, sizeof(f->got), iov), 0};

    memset(f->got, 0, sizeof(f->got));
    return tls_open(f->opens, f->record, len, &to, f->scratch, ret);
}

static void rounds(const char *cipher)
{
    struct fixture *f = begin(cipher);

    for (uint32_t i = 0; i < 400; i++) {
        size_t len = i < 80 ? i : any(f, TLS_RECORD_BYTES + 1), made = seal(f, SSL3_RT_APPLICATION_DATA, len);
        struct tls_opened opened;

        assert_true(open_record(f, made, &opened));
        assert_int_equal(opened.type, SSL3_RT_APPLICATION_DATA);
        assert_null(opened.content);
        assert_int_equal(opened.len, len);
        assert_memory_equal(f->got, f->plain, len);
        if (i % 50 == 49) {
            assert_int_equal(tls_flow_records(f->seals), 50);
            tls_flow_next_key(f->seals);
            tls_flow_next_key(f->opens);
            assert_int_equal(tls_flow_records(f->opens), 0);
        }
    }
    end(f);
}

static void what_is_sealed_is_opened(void **state)
{
    (void)state;
    rounds("TLS_AES_128_GCM_SHA256");
    rounds("TLS_AES_256_GCM_SHA384");
    rounds("TLS_CHACHA20_POLY1305_SHA256");
}

static void what_was_changed_is_not(void **state)
{
    struct tls_opened opened;

    (void)state;
    for (size_t at = 0; at < 122; at++) {
        struct fixture *f = begin(NULL);
        size_t made = seal(f, SSL3_RT_APPLICATION_DATA, 100);

        assert_int_equal(made, 122);
        f->record[at] ^= 1;
        assert_false(open_record(f, made, &opened));
        end(f);
    }
}

static void each_record_has_its_turn(void **state)
{
    struct fixture *f = begin(NULL);
    struct tls_opened opened;
    size_t made = seal(f, SSL3_RT_APPLICATION_DATA, 10);

    (void)state;
    assert_true(open_record(f, made, &opened));
    assert_false(open_record(f, made, &opened)); /* once more */
    end(f);
    f = begin(NULL);
    seal(f, SSL3_RT_APPLICATION_DATA, 10);
    made = seal(f, SSL3_RT_APPLICATION_DATA, 10);
    assert_false(open_record(f, made, &opened)); /* the second first */
    end(f);
    f = begin(NULL);
    tls_flow_next_key(f->seals);
    made = seal(f, SSL3_RT_APPLICATION_DATA, 10);
    assert_false(open_record(f, made, &opened));
    end(f);
}

/* Not ours, but TLS: the type behind the content, and zeros behind that. */
static void padding_is_taken_off(void **state)
{
    struct fixture *f = begin(NULL);
    struct tls_opened opened;
    size_t made;

    (void)state;
    f->plain[100] = SSL3_RT_APPLICATION_DATA;
    memset(f->plain + 101, 0, 50);
    made = seal(f, 0, 151);
    assert_true(open_record(f, made, &opened));
    assert_int_equal(opened.type, SSL3_RT_APPLICATION_DATA);
    assert_null(opened.content);
    assert_int_equal(opened.len, 100);
    assert_memory_equal(f->got, f->plain, 100);
    f->plain[2] = SSL3_RT_ALERT;
    memset(f->plain + 3, 0, 50);
    made = seal(f, 0, 53);
    assert_true(open_record(f, made, &opened));
    assert_int_equal(opened.type, SSL3_RT_ALERT);
    assert_int_equal(opened.len, 2);
    assert_memory_equal(opened.content, f->plain, 2);
    memset(f->plain, 0, 20);
    made = seal(f, 0, 20); /* nothing but zeros */
    assert_true(open_record(f, made, &opened));
    assert_int_equal(opened.type, 0);
    assert_int_equal(opened.len, 0);
    made = seal(f, SSL3_RT_HANDSHAKE, 5);
    assert_true(open_record(f, made, &opened));
    assert_int_equal(opened.type, SSL3_RT_HANDSHAKE);
    assert_memory_equal(opened.content, f->plain, 5);
    end(f);
}

static void what_is_no_record(void **state)
{
    static const struct {
        uint8_t bytes[TLS_RECORD_HEADER];
        size_t len;
        int is;
    } cases[] = {
        {{0x17, 3, 3, 0, 17}, 5, 0},      {{0x17, 3, 3, 0, 16}, 5, -1},     {{0x16, 3, 3, 0, 17}, 1, -1},
        {{0x15, 3, 3, 0, 2}, 5, -1},      {{0x17, 3, 1, 0, 17}, 5, -1},     {{0x17, 3, 3, 0x41, 0}, 5, 0},
        {{0x17, 3, 3, 0x41, 1}, 5, -1},   {{0x17, 3, 3, 0xff, 0xff}, 4, 0}, {{0x17, 3, 3, 0xff, 0xff}, 5, -1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(tls_record_length(cases[i].bytes, cases[i].len), cases[i].is);
    assert_int_equal(tls_record_length(cases[0].bytes, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_is_opened),
        cmocka_unit_test(what_was_changed_is_not),
        cmocka_unit_test(each_record_has_its_turn),
        cmocka_unit_test(padding_is_taken_off),
        cmocka_unit_test(what_is_no_record),
    };

    return cmocka_run_group_tests_name("tls records", tests, NULL, NULL);
}
