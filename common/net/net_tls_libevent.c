/*
 * net_tls_libevent.c - between a connection's socket and its TLS: the handshake's start and end, reading, writing.
 *
 * Everything encrypted that a read brings is decrypted at once, into the buffers that clear bytes would have been read
 * to; so nothing of it waits anywhere, and the rest of the receiving side does not know of TLS.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/net/net_libevent_private.h"

/* A read's encrypted bytes. With what waits inside TLS, never more than the receive buffer has room for. */
#define INPUT_BYTES (192u << 10)

bool net_conn_handshaking(const struct net_conn *conn)
{
    return conn->tls != NULL && !tls_established(conn->tls);
}

static void say_pending(struct net_conn *conn)
{
    const uint8_t *data;
    size_t len = tls_pending(conn->tls, &data);
    ssize_t sent = len > 0 ? send(conn->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

    (void)sent; /* an alert before the end: as far as the socket takes it */
}

static void fail(struct net_conn *conn, struct err *err)
{
    say_pending(conn);
    err_wrap(err, "%s: TLS", conn->text);
    net_conn_break(conn, err);
}

/* Goes on with the handshake; on_open may come of it, and so the connection may be anything after it. */
static bool handshake(struct net_conn *conn)
{
    struct err err;
    int rc = tls_handshake(conn->tls, &err);

    if (rc < 0) {
        fail(conn, &err);
        return false;
    }
    if (net_conn_wants_write(conn))
        net_conn_mark_dirty(conn);
    if (rc == 0) {
        net_conn_update(conn);
        return false;
    }
    env_timer_cancel(conn->net->env, &conn->timer);
    if (conn->open_is_due && conn->handler != NULL && conn->handler->on_open != NULL)
        conn->handler->on_open(conn->arg, conn);
    return conn->state == CONN_OPEN;
}

void net_conn_begin_tls(struct net_conn *conn)
{
    env_timer_arm(conn->net->env, &conn->timer, tls_handshake_ns(conn->tls));
    net_conn_enter(conn);
    handshake(conn);
    net_conn_leave(conn);
}

void net_conn_secure(struct net_conn *conn, const struct net_secure *how)
{
    struct iovec iov[NET_WRITE_PARTS_MAX];
    struct err err;

    CHECK(conn->magic == NET_MAGIC_CONN && conn->tls == NULL);
    CHECK(conn->header_len == 0 && conn->body == NULL && conn->held == NULL);
    if (conn->state == CONN_BROKEN || conn->state == CONN_DEAD || conn->write_failed)
        return;
    conn->tls = tls_new(how, &conn->net->tls_pool, &err);
    if (conn->tls == NULL) {
        err_wrap(&err, "%s", conn->text);
        net_conn_break(conn, &err);
        return;
    }
    conn->exact = false;
    net_conn_enter(conn);
    while (conn->out != NULL && conn->state != CONN_DEAD) {
        int n = net_conn_gather(conn, iov);
        size_t len = 0;

        for (int i = 0; i < n; i++) {
            tls_add_clear(conn->tls, iov[i].iov_base, iov[i].iov_len);
            len += iov[i].iov_len;
        }
        net_conn_advance(conn, len);
    }
    if (conn->state == CONN_OPEN)
        net_conn_begin_tls(conn);
    net_conn_leave(conn);
}

bool net_conn_proven(struct net_conn *conn, const char *psk_name)
{
    CHECK(conn->magic == NET_MAGIC_CONN);
    return conn->tls != NULL && tls_proven(conn->tls, psk_name);
}

void net_conn_tls_timeout(struct net_conn *conn)
{
    struct err err;

    err_set(&err, ERR_TIMEOUT, "%s: the TLS handshake was not finished within %llu ms", conn->text,
            (unsigned long long)(tls_handshake_ns(conn->tls) / 1000000u));
    net_conn_break(conn, &err);
}

ssize_t net_conn_readv_tls(struct net_conn *conn, const struct iovec *iov, int n)
{
    struct net_loop *net = conn->net;
    struct err err;
    bool end = false;
    ssize_t got;

    if (net->tls_input == NULL)
        net->tls_input = mem_alloc(INPUT_BYTES);
    got = recv(conn->fd, net->tls_input, INPUT_BYTES, MSG_DONTWAIT);
    if (got <= 0)
        return got;
    tls_feed(conn->tls, net->tls_input, (size_t)got);
    if (!tls_established(conn->tls) && !handshake(conn)) {
        errno = EAGAIN;
        return -1;
    }
    got = tls_read(conn->tls, iov, n, &end, &err);
    if (got < 0)
        fail(conn, &err);
    else if (tls_pending(conn->tls, NULL) > 0)
        net_conn_mark_dirty(conn);
    if (got > 0 || (got == 0 && end))
        return got;
    errno = EAGAIN;
    return -1;
}

/* What is encrypted already; false: the socket is full, or gone. */
static bool flush(struct net_conn *conn)
{
    const uint8_t *data;
    size_t len;

    while ((len = tls_pending(conn->tls, &data)) > 0) {
        ssize_t sent = send(conn->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            tls_sent(conn->tls, len);
            net_conn_write_failed(conn, strerror(errno));
        }
        if (sent < 0)
            return false;
        tls_sent(conn->tls, (size_t)sent);
    }
    return true;
}

bool net_conn_write_tls(struct net_conn *conn)
{
    struct iovec iov[NET_WRITE_PARTS_MAX];
    struct err err;
    ssize_t taken;

    if (!flush(conn) || !tls_established(conn->tls))
        return false;
    if (conn->out == NULL) {
        if (conn->state == CONN_CLOSING && !conn->said_end) {
            conn->said_end = true;
            tls_say_end(conn->tls);
            flush(conn);
        }
        return false;
    }
    taken = tls_write(conn->tls, iov, net_conn_gather(conn, iov), &err);
    if (taken < 0) {
        net_conn_write_failed(conn, err.text);
        return false;
    }
    net_conn_advance(conn, (size_t)taken);
    return conn->state != CONN_DEAD && flush(conn) && conn->state != CONN_DEAD;
}
