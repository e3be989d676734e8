/* The HTTP server by itself: what is refused, how slow and many clients fare, bodies, pipelining. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "jobmanager/rest/http.h"
#include "jobmanager/rest/http_parse.h"

#define BODY_MAX (8u << 20)
#define CONNECTIONS 4

struct fixture {
    struct event_base *base;
    struct http_server *server;
    struct event *stop;
    pthread_t thread;
    int stop_pipe[2];
    uint16_t port;
};

/* Answers with method, target and body of the request. */
static void on_request(void *arg, struct http_request *r)
{
    struct bytes body = {0};

    (void)arg;
    bytes_printf(&body, "%s %s ", r->method, r->target);
    bytes_add(&body, r->body, r->body_len);
    rest_http_respond(r, 200, "text/plain", NULL, &body);
}

static void *run(void *arg)
{
    struct fixture *f = arg;

    event_base_dispatch(f->base);
    return NULL;
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    struct fixture *f = arg;

    (void)fd;
    (void)what;
    event_base_loopbreak(f->base);
}

static int setup_with(void **state, uint32_t timeout_ms)
{
    struct fixture *f = MEM_NEW(struct fixture);
    struct http_server_options o = {.connections_max = CONNECTIONS, .body_max = BODY_MAX, .head_timeout_ms = timeout_ms,
                                    .stall_timeout_ms = timeout_ms, .idle_timeout_ms = 60000, .spool_dir = "/tmp",
                                    .on_request = on_request};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct err err = {0};

    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    f->port = ntohs(a.sin_port);
    f->base = event_base_new();
    f->server = rest_http_new(f->base, &o);
    assert_int_equal(rest_http_listen(f->server, fd, &err), 0);
    assert_int_equal(pipe(f->stop_pipe), 0);
    f->stop = event_new(f->base, f->stop_pipe[0], EV_READ, on_stop, f);
    event_add(f->stop, NULL);
    assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, 30000);
}

static int setup_impatient(void **state)
{
    return setup_with(state, 150);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(write(f->stop_pipe[1], "x", 1), 1);
    pthread_join(f->thread, NULL);
    event_free(f->stop);
    rest_http_free(f->server);
    event_base_free(f->base);
    close(f->stop_pipe[0]);
    close(f->stop_pipe[1]);
    mem_free(f);
    return 0;
}

static int dial(struct fixture *f)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(f->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval t = {20, 0};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static void put(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Everything until the server closes. */
static void drain(int fd, struct bytes *in)
{
    char block[65536];
    ssize_t n;

    while ((n = recv(fd, block, sizeof(block), 0)) > 0)
        bytes_add(in, block, (size_t)n);
    bytes_add(in, "", 1);
    close(fd);
}

static int ask(struct fixture *f, const void *data, size_t len, struct bytes *in)
{
    int fd = dial(f);

    assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
    shutdown(fd, SHUT_WR);
    bytes_clear(in);
    drain(fd, in);
    return in->len > 12 ? (int)strtol((char *)in->data + 9, NULL, 10) : 0;
}

static int ask_text(struct fixture *f, const char *text, struct bytes *in)
{
    return ask(f, text, strlen(text), in);
}

static void test_what_is_no_request_is_refused(void **state)
{
    struct fixture *f = *state;
    struct bytes in = {0}, big = {0};
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200},
        {"GET / HTTP/1.0\r\n\r\n", 200},
        {"\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200},
        {"hello\n", 400},
        {"GET /\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        {"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"\x16\x03\x01", 400}, /* TLS */
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8388609\r\n\r\n", 413},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n900000\r\n", 413},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int status = ask_text(f, rows[i].text, &in);

        if (status != rows[i].status)
            fail_msg("%s: status %d, not %d", rows[i].text, status, rows[i].status);
    }
    bytes_add_str(&big, "GET / HTTP/1.1\r\nHost: a\r\n");
    while (big.len < HTTP_HEAD_MAX + 10)
        bytes_add_str(&big, "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
                            "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
    assert_int_equal(ask(f, big.data, big.len, &in), 431);
    bytes_release(&in);
    bytes_release(&big);
}

static void test_bodies_arrive_whole(void **state)
{
    struct fixture *f = *state;
    struct bytes in = {0}, request = {0};
    size_t len = 5u << 20;
    char *body = mem_alloc(len + 1);

    assert_int_equal(ask_text(f, "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 "3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: x\r\n\r\n", &in), 200);
    assert_non_null(strstr((char *)in.data, "\r\n\r\nPOST /x abcde"));
    for (size_t i = 0; i < len; i++)
        body[i] = (char)('a' + i % 23);
    bytes_printf(&request, "POST /y HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", len);
    bytes_add(&request, body, len);
    assert_int_equal(ask(f, request.data, request.len, &in), 200); /* over HTTP_BODY_IN_MEMORY: by way of a file */
    assert_memory_equal(strstr((char *)in.data, "\r\n\r\n") + 4 + 8, body, len);
    mem_free(body);
    bytes_release(&in);
    bytes_release(&request);
}

static void test_expect_continue_and_head(void **state)
{
    struct fixture *f = *state;
    struct bytes in = {0};
    char text[64] = "";
    int fd = dial(f);

    put(fd, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_int_equal(recv(fd, text, 25, MSG_WAITALL), 25);
    assert_string_equal(text, "HTTP/1.1 100 Continue\r\n\r\n");
    put(fd, "ab");
    drain(fd, &in);
    assert_non_null(strstr((char *)in.data, "\r\n\r\nPOST / ab"));
    assert_int_equal(ask_text(f, "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", &in), 200);
    assert_null(strstr((char *)in.data, "HEAD /"));
    bytes_release(&in);
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
    struct fixture *f = *state;
    struct bytes in = {0}, request = {0};
    const char *at;
    int fd = dial(f);

    for (int i = 0; i < 500; i++)
        bytes_printf(&request, "GET /%d HTTP/1.1\r\nHost: a\r\n%s\r\n", i, i == 499 ? "Connection: close\r\n" : "");
    assert_int_equal(send(fd, request.data, request.len, MSG_NOSIGNAL), (ssize_t)request.len);
    drain(fd, &in);
    at = (char *)in.data;
    for (int i = 0; i < 500; i++) {
        char wanted[32];

        snprintf(wanted, sizeof(wanted), "\r\n\r\nGET /%d ", i);
        at = strstr(at, wanted);
        assert_non_null(at);
    }
    bytes_release(&in);
    bytes_release(&request);
}

static void test_a_slow_head_is_cut_off(void **state)
{
    struct fixture *f = *state;
    struct bytes in = {0};
    int fd = dial(f);

    put(fd, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 100; i++) {
        struct pollfd p = {fd, POLLIN, 0};

        if (poll(&p, 1, 10) > 0)
            break; /* each line would renew an idle timeout, but not this one */
        if (send(fd, "X: y\r\n", 6, MSG_NOSIGNAL) < 0)
            break;
    }
    drain(fd, &in);
    assert_non_null(strstr((char *)in.data, "HTTP/1.1 408 "));
    bytes_release(&in);
}

static void test_a_stalled_body_is_cut_off(void **state)
{
    struct fixture *f = *state;
    struct bytes in = {0};
    int fd = dial(f);

    put(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    drain(fd, &in);
    assert_non_null(strstr((char *)in.data, "HTTP/1.1 408 "));
    bytes_release(&in);
}

/* Until the server says that it is in the middle of a body. It may have closed fd to make room: it sees a new connection
 * before the end of the one that was closed for it. Returns the connection that it is. */
static int in_a_body(struct fixture *f, int fd)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n";

    for (int i = 0; i < 1000; i++) {
        char text[32] = "";

        if (send(fd, head, sizeof(head) - 1, MSG_NOSIGNAL) > 0 && recv(fd, text, 25, MSG_WAITALL) == 25 &&
            strncmp(text, "HTTP/1.1 100", 12) == 0)
            return fd;
        close(fd);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        fd = dial(f);
    }
    fail_msg("the server never said 100");
    return fd;
}

static void test_idle_connections_make_room_and_busy_ones_do_not(void **state)
{
    struct fixture *f = *state;
    struct bytes in = {0};
    int fds[CONNECTIONS], one;
    char text[16] = "";

    for (int i = 0; i < CONNECTIONS; i++)
        fds[i] = dial(f);
    assert_int_equal(ask_text(f, "GET /new HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", &in), 200);
    assert_int_equal(recv(fds[0], text, 1, 0), 0); /* the oldest was closed */
    close(fds[0]);
    fds[0] = dial(f);
    for (int i = 0; i < CONNECTIONS; i++)
        fds[i] = in_a_body(f, fds[i]);
    one = dial(f);
    assert_int_equal(recv(one, text, 12, MSG_WAITALL), 12);
    assert_string_equal(text, "HTTP/1.1 503");
    close(one);
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    bytes_release(&in);
}

static void test_slow_heads_make_room_for_a_request(void **state)
{
    struct fixture *f = *state;
    struct bytes in = {0};
    int fds[CONNECTIONS];
    char c;

    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = dial(f);
        put(fds[i], "G");
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask_text(f, "GET /new HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", &in), 200);
    assert_int_equal(recv(fds[0], &c, 1, 0) > 0, false); /* the slowest was closed */
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    bytes_release(&in);
}

static void test_escapes_are_decoded_once(void **state)
{
    char out[32];

    (void)state;
    assert_true(rest_http_decode("a%2Fb%25+c", 10, false, out));
    assert_string_equal(out, "a/b%+c");
    assert_true(rest_http_decode("a+b", 3, true, out));
    assert_string_equal(out, "a b");
    assert_false(rest_http_decode("%4", 2, false, out));
    assert_false(rest_http_decode("%", 1, false, out));
    assert_false(rest_http_decode("%41", 2, false, out));
    assert_false(rest_http_decode("%g1", 3, false, out));
    assert_false(rest_http_decode("%00", 3, false, out));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_what_is_no_request_is_refused),
        T(test_bodies_arrive_whole),
        T(test_expect_continue_and_head),
        T(test_pipelined_requests_are_answered_in_order),
        cmocka_unit_test_setup_teardown(test_a_slow_head_is_cut_off, setup_impatient, teardown),
        cmocka_unit_test_setup_teardown(test_a_stalled_body_is_cut_off, setup_impatient, teardown),
        T(test_idle_connections_make_room_and_busy_ones_do_not),
        T(test_slow_heads_make_room_for_a_request),
        cmocka_unit_test(test_escapes_are_decoded_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
