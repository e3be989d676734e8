/*
 * test_tls_openssl.c - TLS against peers that mean harm or know no better: real sockets, a TLS client of OpenSSL's own.
 *
 * What every one of them gets is the same: no frame is delivered, no byte of ours is readable, the connection ends.
 */
#define ERR_STATE OPENSSL_ERR_STATE /* an old type name of OpenSSL's, an error code of ours */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#undef ERR_STATE

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/socket.h>

#include "common/env/env.h"
#include "test/unit/common/net/tls_files.h"

#define POLL_NS     200000u
#define PATIENCE_NS 10000000000u

static const uint8_t secret[NET_PSK_BYTES] = {7, 7, 7};
static const char *const secret_name = "rask/data/1";

struct fixture {
    struct env *env;
    struct net *net;
    struct net_listener *listener;
    struct net_tls *tls;     /* of the accepting side */
    struct tls_files files;
    bool by_secret;          /* the accepting side knows a secret, and no certificate */
    struct net_conn *server; /* NULL: none, or closed */
    int frames, closed;
    uint64_t bytes;
    struct err why;
    /* our own net as client */
    struct net_conn *client;
    int opened, client_frames, client_closed;
    struct err client_why;
    /* OpenSSL as client */
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
    bool done, ended;  /* the handshake; the connection */
    size_t heard;      /* bytes of plaintext, or of anything without ssl */
    uint64_t until_ns;
    bool (*wanted)(struct fixture *f);
    bool result;
    struct env_timer timer;
};

/* ---- our side ---- */

static void on_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct fixture *f = arg;

    f->frames++;
    f->bytes += frame->length;
    net_send(f->net, conn, frame);
}

static void on_close(void *arg, struct net_conn *conn, const struct err *why)
{
    struct fixture *f = arg;

    assert_ptr_equal(conn, f->server);
    f->server = NULL;
    f->why = *why;
    f->closed++;
}

static const struct net_handler server_handler = {.on_frame = on_frame, .on_close = on_close};

static void on_accept(void *arg, struct net_conn *conn)
{
    struct fixture *f = arg;
    struct net_secure how = {.tls = f->tls, .accepting = true};

    if (f->by_secret) {
        how.psk_name = secret_name;
        how.psk = secret;
    }
    assert_null(f->server);
    f->server = conn;
    f->net->ops->set_handler(conn, &server_handler, f);
    f->net->ops->secure(conn, &how);
}

static void client_opened(void *arg, struct net_conn *conn)
{
    (void)conn;
    ((struct fixture *)arg)->opened++;
}

static void client_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    (void)conn;
    (void)frame;
    ((struct fixture *)arg)->client_frames++;
}

static void client_closed(void *arg, struct net_conn *conn, const struct err *why)
{
    struct fixture *f = arg;

    (void)conn;
    f->client = NULL;
    f->client_why = *why;
    f->client_closed++;
}

static const struct net_handler client_handler = {
    .on_open = client_opened, .on_frame = client_frame, .on_close = client_closed};

static void client_connects(struct fixture *f, const struct net_secure *how)
{
    f->client = f->net->ops->connect(f->net, f->net->ops->listener_address(f->listener), &client_handler, f);
    f->net->ops->secure(f->client, how);
    net_send(f->net, f->client, &(struct net_frame){.kind = NET_DATA, .payload = (const uint8_t *)"x", .length = 1});
}

static void begin(struct fixture *f)
{
    struct err err;

    memset(f, 0, sizeof(*f));
    f->fd = -1;
    tls_files_new(&f->files, -60, 86400);
    f->tls = tls_files_context(&f->files);
    f->env = env_libevent_new(NULL);
    f->net = f->env->net;
    assert_int_equal(f->net->ops->listen(f->net, "127.0.0.1:0", on_accept, f, &f->listener, &err), 0);
}

static void begin_by_secret(struct fixture *f)
{
    begin(f);
    tls_context_free(f->tls);
    f->tls = tls_files_secret_context();
    f->by_secret = true;
}

static void end(struct fixture *f)
{
    SSL_free(f->ssl);
    SSL_CTX_free(f->ctx);
    if (f->fd >= 0)
        close(f->fd);
    if (f->client != NULL)
        f->net->ops->close(f->client);
    if (f->server != NULL)
        f->net->ops->close(f->server);
    f->net->ops->listener_close(f->listener);
    env_libevent_free(f->env);
    tls_context_free(f->tls);
    tls_files_end(&f->files);
}

/* ---- the other side: plain bytes, or OpenSSL ---- */

static void dial(struct fixture *f)
{
    const char *address = f->net->ops->listener_address(f->listener);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(strchr(address, ':') + 1, NULL, 10))};

    f->fd = socket(AF_INET, SOCK_STREAM, 0);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(f->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(fcntl(f->fd, F_SETFL, O_NONBLOCK), 0);
}

static void say(struct fixture *f, const void *bytes, size_t len)
{
    assert_int_equal(send(f->fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static int any_certificate(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

/* member: PEM of a certificate and its key; NULL: shows none. version: the newest that it speaks. */
static void openssl_connects(struct fixture *f, const char *member, int version)
{
    f->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(f->ctx, 0);
    assert_int_equal(SSL_CTX_set_max_proto_version(f->ctx, version), 1);
    SSL_CTX_set_verify(f->ctx, SSL_VERIFY_PEER, any_certificate);
    if (member != NULL) {
        BIO *in = BIO_new_mem_buf(member, -1);
        X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
        EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);

        assert_int_equal(SSL_CTX_use_certificate(f->ctx, cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(f->ctx, key), 1);
        X509_free(cert);
        EVP_PKEY_free(key);
        BIO_free(in);
    }
    dial(f);
    f->ssl = SSL_new(f->ctx);
    SSL_set_fd(f->ssl, f->fd);
    SSL_set_connect_state(f->ssl);
}

static void pump_ssl(struct fixture *f)
{
    char text[16384];
    int n;

    ERR_clear_error();
    if (!f->done) {
        n = SSL_do_handshake(f->ssl);
        f->done = n == 1;
    } else {
        n = SSL_read(f->ssl, text, sizeof(text));
        f->heard += n > 0 ? (size_t)n : 0;
    }
    if (n <= 0 && SSL_get_error(f->ssl, n) != SSL_ERROR_WANT_READ && SSL_get_error(f->ssl, n) != SSL_ERROR_WANT_WRITE)
        f->ended = true;
}

static void pump(struct fixture *f)
{
    char text[4096];
    ssize_t n;

    if (f->fd < 0 || f->ended)
        return;
    if (f->ssl != NULL) {
        pump_ssl(f);
        return;
    }
    n = recv(f->fd, text, sizeof(text), 0);
    f->heard += n > 0 ? (size_t)n : 0;
    f->ended = n == 0 || (n < 0 && errno != EAGAIN);
}

static void look(struct env_timer *timer)
{
    struct fixture *f = CONTAINER_OF(timer, struct fixture, timer);

    pump(f);
    f->result = f->wanted(f);
    if (f->result || env_now_ns(f->env) > f->until_ns)
        env_libevent_stop(f->env);
    else
        env_timer_arm(f->env, timer, POLL_NS);
}

static bool until(struct fixture *f, bool (*wanted)(struct fixture *f))
{
    f->wanted = wanted;
    f->until_ns = env_now_ns(f->env) + PATIENCE_NS;
    f->timer.cb = look;
    env_timer_arm(f->env, &f->timer, 0);
    assert_int_equal(env_libevent_run(f->env), 0);
    return f->result;
}

static bool both_ended(struct fixture *f)
{
    return f->closed > 0 && f->ended;
}

static bool clients_gone(struct fixture *f)
{
    return f->client_closed > 0 && f->closed > 0;
}

static bool handshake_over(struct fixture *f)
{
    return f->done;
}

static bool answered(struct fixture *f)
{
    return f->client_frames > 0;
}

static void got_nothing(struct fixture *f, int code, const char *text)
{
    assert_true(until(f, both_ended));
    assert_int_equal(f->frames, 0);
    assert_int_equal(f->heard, 0);
    assert_int_equal(f->why.code, code);
    if (strstr(f->why.text, text) == NULL)
        fail_msg("\"%s\" has no \"%s\"", f->why.text, text);
}

/* ---- who is refused ---- */

static void no_certificate(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    openssl_connects(&f, NULL, TLS1_3_VERSION);
    got_nothing(&f, ERR_AUTH, "showed no certificate");
    end(&f);
}

static void certificate_of_another_authority(void **state)
{
    struct fixture f;
    struct tls_files other;
    char *member;

    (void)state;
    begin(&f);
    tls_files_new(&other, -60, 86400);
    member = tls_files_issue(&other, -60, 86400);
    openssl_connects(&f, member, TLS1_3_VERSION);
    got_nothing(&f, ERR_AUTH, "certificate is not accepted: unable to get local issuer certificate");
    mem_free(member);
    tls_files_end(&other);
    end(&f);
}

static void expired_certificate(void **state)
{
    struct fixture f;
    char *member;

    (void)state;
    begin(&f);
    member = tls_files_issue(&f.files, -86400, -3600);
    openssl_connects(&f, member, TLS1_3_VERSION);
    got_nothing(&f, ERR_AUTH, "certificate has expired");
    mem_free(member);
    end(&f);
}

static void certificate_of_the_future(void **state)
{
    struct fixture f;
    char *member;

    (void)state;
    begin(&f);
    member = tls_files_issue(&f.files, 86400, 2 * 86400);
    openssl_connects(&f, member, TLS1_3_VERSION);
    got_nothing(&f, ERR_AUTH, "certificate is not yet valid");
    mem_free(member);
    end(&f);
}

static void old_versions(void **state)
{
    static const int versions[] = {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fixture f;
        char *member;

        begin(&f);
        member = tls_files_issue(&f.files, -60, 86400);
        openssl_connects(&f, member, versions[i]);
        got_nothing(&f, ERR_AUTH, "offers no TLS 1.3");
        mem_free(member);
        end(&f);
    }
}

static void bytes_that_are_no_tls(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *text;
    } peers[] = {
        {"GET / HTTP/1.1\r\n\r\n", 18, "begins with byte 47"},
        {"RK\1\1aaaaaaaaaaaaaaaaaaaaaaaaaaaa", 32, "without security.ssl.internal.enabled"},
        {"\0\0\0\0", 4, "begins with byte 00"},
    };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fixture f;

        begin(&f);
        dial(&f);
        say(&f, peers[i].bytes, peers[i].len);
        got_nothing(&f, ERR_AUTH, peers[i].text); /* not even an alert */
        end(&f);
    }
}

static bool server_ended(struct fixture *f)
{
    return f->closed > 0 && f->ended;
}

/* It looks like TLS for a while: an alert may answer it, but nothing of ours. */
static void garbage_inside_records(void **state)
{
    static const char *const peers[] = {"\x16\x03\x01\x00\x05hello", "\x16\x03\x03\x00\x08\x01\x00\x00\x04zzzz",
                                        "\x15\x03\x03\x00\x02\x02\x28", "\x16\x03\x01\xff\xff" "aaaaaaaaaaaaaaaa"};
    static const size_t lens[] = {10, 13, 7, 21};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct fixture f;

        begin(&f);
        dial(&f);
        say(&f, peers[i], lens[i]);
        assert_true(until(&f, server_ended));
        assert_int_equal(f.frames, 0);
        assert_true(f.heard <= 7);
        end(&f);
    }
}

static void half_a_handshake(void **state)
{
    struct tls_options options;
    struct fixture f;
    struct err err;

    (void)state;
    begin(&f);
    tls_context_free(f.tls);
    options = tls_files_options(&f.files);
    options.handshake_timeout_ms = 100;
    assert_int_equal(tls_context_new(&options, &f.tls, &err), 0);
    dial(&f);
    say(&f, "\x16\x03\x01\x02\x00\x01\x00", 7);
    got_nothing(&f, ERR_TIMEOUT, "not finished within 100 ms");
    f.closed = 0;
    close(f.fd);
    f.ended = false;
    dial(&f); /* says nothing at all */
    got_nothing(&f, ERR_TIMEOUT, "not finished within 100 ms");
    end(&f);
}

static bool pinned(const char *fingerprint)
{
    struct fixture f;
    struct tls_options options;
    struct err err;
    char own[96];
    char *member;
    bool accepted;

    begin(&f);
    member = tls_files_issue(&f.files, -60, 86400);
    assert_int_equal(certs_fingerprint(member, own, &err), 0);
    tls_context_free(f.tls);
    options = tls_files_options(&f.files);
    options.fingerprint.value = fingerprint != NULL ? fingerprint : own;
    assert_int_equal(tls_context_new(&options, &f.tls, &err), 0);
    openssl_connects(&f, member, TLS1_3_VERSION);
    assert_true(until(&f, handshake_over));
    accepted = SSL_write(f.ssl, "RK", 2) == 2;
    for (int i = 0; i < 40 && f.closed == 0; i++) {
        f.done = true;
        until(&f, handshake_over);
    }
    accepted = accepted && f.closed == 0;
    if (!accepted)
        assert_non_null(strstr(f.why.text, "not the one that cert.fingerprint names"));
    mem_free(member);
    end(&f);
    return accepted;
}

static void only_the_pinned_certificate(void **state)
{
    (void)state;
    assert_true(pinned(NULL));
    assert_false(pinned("00112233445566778899aabbccddeeff00112233"));
}

/* ---- secrets ---- */

static void refused_secret(const char *name, uint8_t first, const char *server_text, const char *client_text)
{
    struct net_tls *tls = tls_files_secret_context();
    uint8_t psk[NET_PSK_BYTES] = {first, 7, 7};
    struct fixture f;

    begin_by_secret(&f);
    client_connects(&f, &(struct net_secure){.tls = tls, .psk_name = name, .psk = psk});
    assert_true(until(&f, clients_gone));
    assert_int_equal(f.frames + f.client_frames + f.opened, 0);
    if (strstr(f.why.text, server_text) == NULL)
        fail_msg("\"%s\" has no \"%s\"", f.why.text, server_text);
    if (strstr(f.client_why.text, client_text) == NULL)
        fail_msg("\"%s\" has no \"%s\"", f.client_why.text, client_text);
    end(&f);
    tls_context_free(tls);
}

static void wrong_secret(void **state)
{
    (void)state;
    refused_secret(secret_name, 8, "does not know the secret of the job", "another job secret");
}

static void unknown_secret(void **state)
{
    (void)state;
    refused_secret("rask/data/2", 7, "a job that is not known here", "another job secret");
}

static void right_secret(void **state)
{
    struct net_tls *tls = tls_files_secret_context();
    struct fixture f;

    (void)state;
    begin_by_secret(&f);
    client_connects(&f, &(struct net_secure){.tls = tls, .psk_name = secret_name, .psk = secret});
    assert_true(until(&f, answered));
    assert_true(f.net->ops->proven(f.client, secret_name) && f.net->ops->proven(f.server, secret_name));
    assert_false(f.net->ops->proven(f.server, "rask/data/2") || f.net->ops->proven(f.server, NULL) ||
                 f.net->ops->proven(f.client, NULL));
    end(&f);
    tls_context_free(tls);
}

/* Who serves with a certificate, even one of the cluster, has not proved the secret of the job. */
static void a_certificate_is_no_secret(void **state)
{
    struct net_tls *tls = tls_files_secret_context();
    struct fixture f;

    (void)state;
    begin(&f);
    client_connects(&f, &(struct net_secure){.tls = tls, .psk_name = secret_name, .psk = secret});
    assert_true(until(&f, clients_gone));
    assert_int_equal(f.frames + f.client_frames + f.opened, 0);
    assert_non_null(strstr(f.client_why.text, "did not prove that it knows the job's secret"));
    end(&f);
    tls_context_free(tls);
}

/* Towards a server of another authority our side is the careful one. */
static void server_of_another_authority(void **state)
{
    struct tls_files other;
    struct net_tls *tls;
    struct fixture f;

    (void)state;
    begin(&f);
    tls_files_new(&other, -60, 86400);
    tls = tls_files_context(&other);
    client_connects(&f, &(struct net_secure){.tls = tls});
    assert_true(until(&f, clients_gone));
    assert_int_equal(f.frames + f.client_frames + f.opened, 0);
    assert_int_equal(f.client_why.code, ERR_AUTH);
    assert_non_null(strstr(f.client_why.text, "certificate is not accepted"));
    assert_non_null(strstr(f.why.text, "does not trust who signed this side's certificate"));
    end(&f);
    tls_context_free(tls);
    tls_files_end(&other);
}

/* ---- after the handshake ---- */

static void member_connects(struct fixture *f)
{
    char *member;

    begin(f);
    member = tls_files_issue(&f->files, -60, 86400);
    openssl_connects(f, member, TLS1_3_VERSION);
    assert_true(until(f, handshake_over));
    mem_free(member);
}

static void key_update_flood(void **state)
{
    struct fixture f;

    (void)state;
    member_connects(&f);
    assert_int_equal(SSL_renegotiate(f.ssl), 0); /* TLS 1.3 has none */
    for (int i = 0; i < 1000; i++) {
        ERR_clear_error();
        if (SSL_key_update(f.ssl, SSL_KEY_UPDATE_REQUESTED) != 1 || SSL_do_handshake(f.ssl) != 1)
            break;
    }
    got_nothing(&f, ERR_PROTOCOL, "changes its key over and over");
    end(&f);
}

static bool frame_came(struct fixture *f)
{
    return f->frames > 0 && f->heard >= NET_HEADER_BYTES;
}

static void a_few_key_updates_are_fine(void **state)
{
    uint8_t header[NET_HEADER_BYTES];
    struct net_frame frame = {.kind = NET_PING};
    struct fixture f;

    (void)state;
    member_connects(&f);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(SSL_key_update(f.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(f.ssl), 1);
    }
    net_header_encode(&frame, 0, header);
    net_header_encode(&frame, net_frame_crc(header, NULL, 0), header);
    assert_int_equal(SSL_write(f.ssl, header, sizeof(header)), sizeof(header));
    assert_true(until(&f, frame_came));
    assert_int_equal(f.closed, 0);
    end(&f);
}

/* A second ClientHello in the middle, as renegotiation was before TLS 1.3; and bytes that nobody has encrypted. */
static void clear_bytes_after_the_handshake(void **state)
{
    static const char hello[] = "\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03";
    struct fixture f;

    (void)state;
    member_connects(&f);
    say(&f, hello, sizeof(hello) - 1);
    got_nothing(&f, ERR_PROTOCOL, "TLS: ");
    end(&f);
}

static bool all_came_back(struct fixture *f)
{
    return f->client_frames == 200;
}

static void own_keys_are_changed_in_time(void **state)
{
    struct tls_options options;
    struct fixture f;
    struct err err;
    uint8_t *payload = mem_alloc(100000);

    (void)state;
    begin(&f);
    tls_context_free(f.tls);
    options = tls_files_options(&f.files);
    options.rekey_bytes = 2u << 20; /* 20 MB are sent: ten times, seldom enough for the other side */
    assert_int_equal(tls_context_new(&options, &f.tls, &err), 0);
    client_connects(&f, &(struct net_secure){.tls = f.tls});
    for (int i = 0; i < 199; i++)
        net_send(f.net, f.client, &(struct net_frame){.kind = NET_DATA, .payload = payload, .length = 100000});
    assert_true(until(&f, all_came_back));
    assert_int_equal(f.bytes, 199 * 100000 + 1);
    assert_int_equal(f.closed + f.client_closed, 0);
    end(&f);
    mem_free(payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_certificate),
        cmocka_unit_test(certificate_of_another_authority),
        cmocka_unit_test(expired_certificate),
        cmocka_unit_test(certificate_of_the_future),
        cmocka_unit_test(old_versions),
        cmocka_unit_test(bytes_that_are_no_tls),
        cmocka_unit_test(garbage_inside_records),
        cmocka_unit_test(half_a_handshake),
        cmocka_unit_test(only_the_pinned_certificate),
        cmocka_unit_test(wrong_secret),
        cmocka_unit_test(unknown_secret),
        cmocka_unit_test(right_secret),
        cmocka_unit_test(a_certificate_is_no_secret),
        cmocka_unit_test(server_of_another_authority),
        cmocka_unit_test(key_update_flood),
        cmocka_unit_test(a_few_key_updates_are_fine),
        cmocka_unit_test(clear_bytes_after_the_handshake),
        cmocka_unit_test(own_keys_are_changed_in_time),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("tls, hostile peers", tests, NULL, NULL);
}
