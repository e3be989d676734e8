/* test_net_bytes.c - the production network against bytes of a bare socket: garbage, halves, floods; passed sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/net/net_private.h"
#include "test/contract/contract.h"

struct server {
    struct world *w;
    struct net *net;
    struct net_listener *listener;
    struct net_conn *conn;
    int accepted, frames, closed, peer; /* peer: the bare socket */
    uint32_t last_length;
    struct err why;
    char last_text[64];
    int detached; /* fd */
    bool detach;
};

static void on_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct server *s = arg;

    s->frames++;
    s->last_length = frame->length;
    snprintf(s->last_text, sizeof(s->last_text), "%.*s", (int)MIN(frame->length, 60u),
             (const char *)frame->payload);
    if (s->detach) {
        s->detached = net_libevent_detach_fd(conn);
        s->conn = NULL;
    }
}

static void on_close(void *arg, struct net_conn *conn, const struct err *why)
{
    struct server *s = arg;

    (void)conn;
    s->closed++;
    s->why = *why;
    s->conn = NULL;
}

static const struct net_handler handler = {.on_frame = on_frame, .on_close = on_close};

static void on_accept(void *arg, struct net_conn *conn)
{
    struct server *s = arg;

    s->accepted++;
    s->conn = conn;
    s->net->ops->set_handler(conn, &handler, s);
}

static int dial(const char *address)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sa.sin_port = htons((uint16_t)strtol(strrchr(address, ':') + 1, NULL, 10));
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

static void begin(struct server *s, void **state)
{
    struct err err;

    memset(s, 0, sizeof(*s));
    s->w = *state;
    s->net = s->w->server->net;
    s->detached = -1;
    assert_int_equal(s->net->ops->listen(s->net, "127.0.0.1:0", on_accept, s, &s->listener, &err),
                     0);
    s->peer = dial(s->net->ops->listener_address(s->listener));
    assert_true(world_until_count(s->w, &s->accepted, 1));
}

static void end(struct server *s)
{
    if (s->conn != NULL)
        s->net->ops->close(s->conn);
    close(s->peer);
    s->net->ops->listener_close(s->listener);
    world_settle(s->w);
}

static void put(struct server *s, const void *data, size_t len)
{
    assert_int_equal(send(s->peer, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* An encoded frame; returns its length. */
static size_t encode(uint8_t *out, const char *payload, size_t len)
{
    struct net_frame frame = {
        .kind = NET_DATA, .payload = (const uint8_t *)payload, .length = (uint32_t)len};
    struct net_iov part = {payload, len};

    net_header_encode(&frame, 0, out);
    net_header_encode(&frame, net_frame_crc(out, &part, 1), out);
    memcpy(out + NET_HEADER_BYTES, payload, len);
    return NET_HEADER_BYTES + len;
}

static void expect_close(struct server *s, int code, const char *text)
{
    assert_true(world_until_count(s->w, &s->closed, 1));
    assert_int_equal(s->why.code, code);
    if (strstr(s->why.text, text) == NULL)
        fail_msg("'%s' is not in: %s", text, s->why.text);
    assert_non_null(strstr(s->why.text, "connection from 127.0.0.1:"));
}

static void expect_bad(void **state, const void *data, size_t len, int code, const char *text)
{
    struct server s;
    uint8_t good[100];

    for (int after_a_good_one = 0; after_a_good_one < 2; after_a_good_one++) {
        begin(&s, state);
        if (after_a_good_one)
            put(&s, good, encode(good, "good", 4));
        put(&s, data, len);
        expect_close(&s, code, text);
        assert_int_equal(s.frames, after_a_good_one);
        end(&s);
    }
}

static void garbage_closes(void **state)
{
    uint8_t junk[100];

    memset(junk, 0xee, sizeof(junk));
    expect_bad(state, junk, sizeof(junk), ERR_PROTOCOL, "not a frame: it starts with ee ee");
    expect_bad(state, "GET /jobs HTTP/1.1\r\nHost: a\r\n\r\n", 31 + 1, ERR_PROTOCOL,
               "looks like HTTP");
}

static void bad_fields_close(void **state)
{
    uint8_t f[100];
    size_t len = encode(f, "hello", 5);

    f[2] = 9;
    expect_bad(state, f, len, ERR_PROTOCOL, "protocol version 9");
    encode(f, "hello", 5);
    f[3] = 200;
    expect_bad(state, f, len, ERR_PROTOCOL, "unknown kind 200");
    encode(f, "hello", 5);
    f[6] = 1;
    expect_bad(state, f, len, ERR_PROTOCOL, "reserved");
    encode(f, "hello", 5);
    f[11] = 0xff;
    expect_bad(state, f, len, ERR_PROTOCOL, "the limit here is");
    for (size_t i = 12; i < len; i++) { /* any flipped bit behind the length */
        encode(f, "hello", 5);
        f[i] ^= 4;
        if (i % 5 == 0)
            expect_bad(state, f, len, ERR_CORRUPT, "checksum");
    }
}

static void truncation_is_told(void **state)
{
    struct server s;
    uint8_t f[100];
    size_t len = encode(f, "hello", 5);

    for (size_t cut = 1; cut < len; cut += 7) {
        begin(&s, state);
        put(&s, f, cut);
        shutdown(s.peer, SHUT_WR);
        expect_close(&s, ERR_CLOSED, "in the middle of a frame");
        end(&s);
    }
    begin(&s, state);
    put(&s, f, len);
    shutdown(s.peer, SHUT_WR);
    assert_true(world_until_count(s.w, &s.closed, 1));
    assert_int_equal(s.frames, 1);
    assert_null(strstr(s.why.text, "in the middle"));
    end(&s);
}

static void one_byte_at_a_time(void **state)
{
    struct server s;
    uint8_t f[300];
    size_t len = encode(f, "first", 5);

    len += encode(f + len, "", 0);
    len += encode(f + len, "second and longer", 17);
    begin(&s, state);
    for (size_t i = 0; i < len; i++) {
        put(&s, f + i, 1);
        if (i % 3 == 0)
            world_settle(s.w);
    }
    assert_true(world_until_count(s.w, &s.frames, 3));
    assert_string_equal(s.last_text, "second and longer");
    end(&s);
}

/* Behind a large frame little is read until the next one has a buffer of its own, and small ones come between them. */
static void large_frames_and_small_ones_in_turn(void **state)
{
    static const size_t lengths[] = {40000, 5, 70000, 0, 3, 33000, 4060, 32768, 4064, 4096, 100, 200000, 9, 9, 9, 9000, 50000, 1};
    size_t piece = 1, len = 0, room = 0;
    char *payload = mem_alloc(200000);
    struct server s;
    uint8_t *f;

    for (size_t i = 0; i < 200000; i++)
        payload[i] = (char)('a' + i * i % 25);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
        room += NET_HEADER_BYTES + lengths[i];
    f = mem_alloc(room);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
        len += encode(f + len, payload, lengths[i]);
    begin(&s, state);
    for (size_t at = 0; at < len; at += piece) {
        piece = MIN((piece * 7 + 13) % 60000, len - at);
        put(&s, f + at, piece);
        world_settle(s.w);
    }
    assert_true(world_until_count(s.w, &s.frames, ARRAY_LEN(lengths)));
    assert_int_equal(s.last_length, 1);
    assert_int_equal(s.closed, 0);
    end(&s);
    mem_free(payload);
    mem_free(f);
}

/* A peer that sends half a header and then nothing holds no receive buffer, and others are served. */
static void a_slow_peer_holds_no_buffer(void **state)
{
    struct server s;
    uint8_t f[100];
    size_t len = encode(f, "hello", 5);
    long before;
    int slow[20];

    begin(&s, state);
    put(&s, f, len);
    assert_true(world_until_count(s.w, &s.frames, 1));
    put(&s, f, len);
    assert_true(world_until_count(s.w, &s.frames, 2));
    before = net_buffers_live();
    for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
        slow[i] = dial(s.net->ops->listener_address(s.listener));
        assert_int_equal(send(slow[i], f, 10 + i, MSG_NOSIGNAL), (ssize_t)(10 + i));
    }
    assert_true(world_until_count(s.w, &s.accepted, 1 + (int)ARRAY_LEN(slow)));
    world_settle(s.w);
    assert_int_equal(net_buffers_live(), before);
    for (size_t i = 0; i < ARRAY_LEN(slow); i++)
        close(slow[i]);
    assert_true(world_until_count(s.w, &s.closed, (int)ARRAY_LEN(slow)));
    s.conn = NULL;
    end(&s);
}

static void a_reset_is_told(void **state)
{
    struct server s;
    struct linger now = {.l_onoff = 1};

    begin(&s, state);
    setsockopt(s.peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(s.peer);
    expect_close(&s, ERR_CLOSED, "Connection reset by peer");
    s.peer = dup(0);
    end(&s);
}

/* The first frame is read exactly, so what follows is still in the socket that is passed on. */
static void a_passed_socket_loses_nothing(void **state)
{
    struct server s;
    uint8_t f[300];
    size_t len = encode(f, "preamble", 8);
    struct net_conn *adopted;

    len += encode(f + len, "for another process", 19);
    begin(&s, state);
    s.detach = true;
    put(&s, f, len);
    assert_true(world_until_count(s.w, &s.frames, 1));
    assert_true(s.detached >= 0);
    assert_string_equal(s.last_text, "preamble");
    s.detach = false;
    adopted = net_libevent_adopt_fd(s.net, s.detached);
    s.conn = adopted;
    s.net->ops->set_handler(adopted, &handler, &s);
    assert_true(world_until_count(s.w, &s.frames, 2));
    assert_string_equal(s.last_text, "for another process");
    assert_non_null(strstr(s.net->ops->peer(adopted), "127.0.0.1:"));
    end(&s);
}

static void detach_refuses_to_lose_bytes(void **state)
{
    struct server s;
    uint8_t f[300];
    size_t len = encode(f, "one", 3);

    begin(&s, state);
    put(&s, f, len);
    assert_true(world_until_count(s.w, &s.frames, 1));
    put(&s, f, len - 1); /* the start of a frame is in the conn now */
    world_settle(s.w);
    assert_int_equal(net_libevent_detach_fd(s.conn), -1);
    put(&s, f + len - 1, 1);
    assert_true(world_until_count(s.w, &s.frames, 2));
    end(&s);
}

static void a_held_port_is_explained(void **state)
{
    struct server s;
    struct net_listener *second;
    struct err err;
    char pid[32];

    begin(&s, state);
    assert_true(s.net->ops->listen(s.net, s.net->ops->listener_address(s.listener), on_accept, &s,
                                   &second, &err) < 0);
    snprintf(pid, sizeof(pid), "pid %d)", (int)getpid());
    assert_non_null(strstr(err.text, "Address already in use (held by test_net_bytes, "));
    assert_non_null(strstr(err.text, pid));
    end(&s);
}

static void names_are_resolved(void **state)
{
    struct server s;
    char host[200] = "", *address;
    struct net_conn *conn;
    struct server client = {0};
    struct net_hostport hp = {.port = 1};
    struct net_sockaddr sa;
    size_t count;

    assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
    snprintf(hp.host, sizeof(hp.host), "%s", host);
    if (net_address_resolve(&hp, &sa, 1, &count, NULL) != 0)
        skip(); /* this machine does not know its own name */
    begin(&s, state);
    address = mem_printf("%s%s", host, strrchr(s.net->ops->listener_address(s.listener), ':'));
    client.w = s.w;
    conn = s.net->ops->connect(s.net, address, &handler,
                               &client); /* the name may be another address: both are fine */
    assert_string_equal(s.net->ops->peer(conn), address);
    world_settle(s.w);
    if (client.closed == 0)
        s.net->ops->close(conn);
    mem_free(address);
    end(&s);
}

static void addresses_are_parsed(void **state)
{
    static const char *const bad[] = {"",        ":",    "a",   "a:",    ":1",  "a:b",
                                      "a:65536", "a:1x", "::1", "[::1]", "a:-1"};
    struct net_hostport hp;
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(net_address_parse(bad[i], &hp, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, "expected HOST:PORT"));
    }
    assert_int_equal(net_address_parse("[::1]:80", &hp, &err), 0);
    assert_string_equal(hp.host, "::1");
    assert_int_equal(hp.port, 80);
    assert_true(net_is_loopback("127.0.0.1:1") && net_is_loopback("localhost:1") &&
                net_is_loopback("[::1]:1"));
    assert_true(net_is_loopback("::1") && net_is_loopback("inproc:x") &&
                net_is_loopback("localhost"));
    assert_false(net_is_loopback("0.0.0.0:1") || net_is_loopback("example.org:1") ||
                 net_is_loopback("10.0.0.1"));
}

int main(void)
{
    static const struct contract table[] = {
        {"garbage_closes", garbage_closes},
        {"bad_fields_close", bad_fields_close},
        {"truncation_is_told", truncation_is_told},
        {"one_byte_at_a_time", one_byte_at_a_time},
        {"large_frames_and_small_ones_in_turn", large_frames_and_small_ones_in_turn},
        {"a_slow_peer_holds_no_buffer", a_slow_peer_holds_no_buffer},
        {"a_reset_is_told", a_reset_is_told},
        {"a_passed_socket_loses_nothing", a_passed_socket_loses_nothing},
        {"detach_refuses_to_lose_bytes", detach_refuses_to_lose_bytes},
        {"a_held_port_is_explained", a_held_port_is_explained},
        {"names_are_resolved", names_are_resolved},
        {"addresses_are_parsed", addresses_are_parsed},
        {NULL, NULL},
    };

    return contract_run("net, bytes", table, world_real_new);
}
