/*
 * net_conn_libevent.c - a connection of the production network: its life and its receiving side.
 *
 * Reads go into one 256 KiB buffer that all connections of a loop share, and frames are delivered where they
 * lie; a frame that is not complete moves to a buffer of exactly its length, which the next
 * read fills directly.  So an idle connection holds no buffer.  While large frames come, little is read beyond each, so that
 * nearly all of the next one goes to its own buffer at once.
 */
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/env/env_libevent.h"
#include "common/net/net_libevent_private.h"

#define RECEIVE_BYTES        (256u << 10)
#define BULK_BYTES           (32u << 10) /* a frame is large; more of it than BULK_TAIL_BYTES is read to where it stays */
#define BULK_TAIL_BYTES      4096u
#define KEEPALIVE_IDLE_S     15
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_COUNT      3
#define DRAIN_ROUNDS_MAX     64 /* reads after a failed write, for what the peer said before it went */

static void on_task(struct env_task *task);
static void on_timer(struct env_timer *timer);

struct net_conn *net_conn_new(struct net_loop *net, const char *peer, bool outgoing)
{
    struct net_conn *conn = MEM_NEW(struct net_conn);

    conn->magic = NET_MAGIC_CONN;
    conn->state = CONN_OPEN;
    conn->net = net;
    conn->fd = -1;
    conn->limit = NET_PAYLOAD_MAX;
    conn->peer = mem_strdup(peer);
    conn->text = mem_printf("connection %s %s", outgoing ? "to" : "from", peer);
    conn->task.cb = on_task;
    conn->timer.cb = on_timer;
    conn->out_tail = &conn->out;
    conn->direct = CONN_HELD;
    list_init(&conn->dirty_node);
    list_push_back(&net->conns, &conn->node);
    return conn;
}

void net_conn_enter(struct net_conn *conn)
{
    conn->busy++;
}

void net_conn_leave(struct net_conn *conn)
{
    CHECK(conn->busy > 0);
    conn->busy--;
    if (conn->busy == 0 && conn->state == CONN_DEAD) {
        conn->magic = 0;
        mem_free(conn->peer);
        mem_free(conn->text);
        mem_free(conn->why);
        mem_free(conn->addresses);
        mem_free(conn);
    }
}

static void drop_input(struct net_conn *conn)
{
    net_buffer_unref(conn->body);
    net_buffer_unref(conn->held);
    conn->body = conn->held = NULL;
    conn->header_len = 0;
}

void net_conn_destroy(struct net_conn *conn)
{
    CHECK(conn->state != CONN_DEAD && net_conn_collect(conn));
    conn->state = CONN_DEAD;
    conn->handler = NULL;
    net_conn_enter(conn);
    env_unpost(conn->net->env, &conn->task);
    env_timer_cancel(conn->net->env, &conn->timer);
    net_resolve_forget(conn);
    if (conn->has_events) {
        event_del(&conn->read_event);
        event_del(&conn->write_event);
    }
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
    list_remove(&conn->node);
    list_remove(&conn->dirty_node);
    drop_input(conn);
    net_conn_drop_output(conn);
    tls_free(conn->tls);
    conn->tls = NULL;
    net_conn_leave(conn);
}

/* ---- events ---- */

bool net_conn_receiving(const struct net_conn *conn)
{
    return conn->state == CONN_OPEN && (!conn->paused || net_conn_handshaking(conn));
}

/* After close: what still arrives is thrown away, until the peer's end. Closing with unread
 * bytes would reset the connection and destroy what was just flushed. */
static void discard_input(struct net_conn *conn)
{
    uint8_t scratch[16384];
    ssize_t n;

    for (int i = 0; i < 16; i++) {
        n = recv(conn->fd, scratch, sizeof(scratch), MSG_DONTWAIT);
        if (n > 0)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        net_conn_destroy(conn);
        return;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct net_conn *conn = MAGIC_CAST(arg, struct net_conn, NET_MAGIC_CONN);
    struct env *env = conn->net->env;
    uint64_t entered = env_libevent_enter(env);

    (void)fd;
    (void)what;
    net_conn_enter(conn);
    if (conn->state == CONN_CLOSING)
        discard_input(conn);
    else if (net_conn_receiving(conn))
        net_conn_read(conn);
    net_conn_leave(conn);
    env_libevent_leave(env, entered);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct net_conn *conn = MAGIC_CAST(arg, struct net_conn, NET_MAGIC_CONN);
    struct env *env = conn->net->env;
    uint64_t entered = env_libevent_enter(env);

    (void)fd;
    (void)what;
    net_conn_enter(conn);
    if (conn->state == CONN_CONNECTING)
        net_connect_event(conn);
    else
        net_conn_write(conn);
    net_conn_leave(conn);
    env_libevent_leave(env, entered);
}

void net_conn_attach(struct net_conn *conn, int fd)
{
    struct event_base *base = env_libevent_base(conn->net->env);
    int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, count = KEEPALIVE_COUNT;

    if (conn->has_events) { /* the next address of a name */
        event_del(&conn->read_event);
        event_del(&conn->write_event);
        close(conn->fd);
        conn->reading = conn->writing = false;
    }
    conn->fd = fd;
    conn->has_events = true;
    CHECK(event_assign(&conn->read_event, base, fd, EV_READ | EV_PERSIST, on_readable, conn) == 0);
    CHECK(event_assign(&conn->write_event, base, fd, EV_WRITE | EV_PERSIST, on_writable, conn) ==
          0);
    /* These fail on the local sockets of inproc: addresses, which need none of it. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static void set_event(struct event *event, bool *is, bool wanted)
{
    if (*is == wanted)
        return;
    *is = wanted;
    CHECK((wanted ? event_add(event, NULL) : event_del(event)) == 0);
}

void net_conn_update(struct net_conn *conn)
{
    bool may_write =
        !conn->write_failed && (conn->state == CONN_OPEN || conn->state == CONN_CLOSING);

    if (!conn->has_events || conn->state == CONN_DEAD)
        return;
    set_event(&conn->read_event, &conn->reading,
              conn->state == CONN_CLOSING || (net_conn_receiving(conn) && conn->held == NULL));
    set_event(&conn->write_event, &conn->writing,
              conn->state == CONN_CONNECTING ||
                  (may_write && net_conn_wants_write(conn) && list_empty(&conn->dirty_node)));
}

void net_conn_break(struct net_conn *conn, const struct err *why)
{
    if (conn->state == CONN_BROKEN || conn->state == CONN_DEAD)
        return;
    if (conn->state == CONN_CLOSING) {
        net_conn_destroy(conn);
        return;
    }
    conn->state = CONN_BROKEN;
    if (conn->why == NULL)
        conn->why = mem_dup(why, sizeof(*why));
    env_timer_cancel(conn->net->env, &conn->timer);
    net_conn_update(conn);
    env_post(conn->net->env, &conn->task);
}

static void report_broken(struct net_conn *conn)
{
    const struct net_handler *handler = conn->handler;

    if (handler != NULL && handler->on_close != NULL)
        handler->on_close(conn->arg, conn, conn->why);
    if (conn->state != CONN_DEAD) /* else on_close called close, which is harmless */
        net_conn_destroy(conn);
}

/* A write has failed. What the peer said before it went away is worth reading first. */
static void drain_after_failed_write(struct net_conn *conn)
{
    for (int i = 0; i < DRAIN_ROUNDS_MAX && net_conn_receiving(conn) && conn->held == NULL; i++)
        net_conn_read(conn);
    if (conn->state == CONN_OPEN)
        net_conn_break(conn, conn->why);
}

static void on_task(struct env_task *task)
{
    struct net_conn *conn = CONTAINER_OF(task, struct net_conn, task);

    CHECK(conn->magic == NET_MAGIC_CONN);
    net_conn_enter(conn);
    if (conn->state == CONN_CONNECTING) {
        net_connect_event(conn);
    } else if (conn->state == CONN_BROKEN) {
        report_broken(conn);
    } else if (conn->state == CONN_OPEN) {
        net_conn_resume(conn);
        if (conn->write_failed)
            drain_after_failed_write(conn);
        else if (conn->state == CONN_OPEN && conn->tls == NULL && list_empty(&conn->dirty_node))
            net_conn_write(conn); /* another thread has left a rest, or was in the way */
    }
    net_conn_leave(conn);
}

static void on_timer(struct env_timer *timer)
{
    struct net_conn *conn = CONTAINER_OF(timer, struct net_conn, timer);

    CHECK(conn->magic == NET_MAGIC_CONN);
    if (conn->state == CONN_CLOSING)
        net_conn_destroy(conn);
    else if (conn->state == CONN_CONNECTING)
        net_connect_timeout(conn);
    else if (net_conn_handshaking(conn))
        net_conn_tls_timeout(conn);
}

/* ---- receiving ---- */

static void break_with(struct net_conn *conn, struct err *err)
{
    err_wrap(err, "%s", conn->text);
    net_conn_break(conn, err);
}

static void deliver(struct net_conn *conn, const uint8_t *header, struct net_frame *frame,
                    uint32_t crc)
{
    struct err err;

    if (conn->tls == NULL && net_frame_verify(header, frame, crc, &err) != 0) {
        break_with(conn, &err);
        return;
    }
    if (conn->handler != NULL && conn->handler->on_frame != NULL)
        conn->handler->on_frame(conn->arg, conn, frame);
    conn->exact = false;
}

static void deliver_body(struct net_conn *conn)
{
    struct net_buffer *body = conn->body;

    conn->body = NULL;
    conn->bulk = conn->tls == NULL && conn->frame.length >= BULK_BYTES; /* TLS wants room for all that it has read */
    conn->frame.payload = body->data;
    conn->frame.impl = body;
    deliver(conn, conn->header, &conn->frame, conn->frame_crc);
    net_buffer_unref(body);
}

/* Begins a frame whose header is complete and whose payload is not: have bytes of it are at from. */
static void begin_body(struct net_conn *conn, const uint8_t *header, const uint8_t *from,
                       size_t have)
{
    CHECK(conn->body == NULL && have <= conn->frame.length);
    memmove(conn->header, header, NET_HEADER_BYTES);
    conn->header_len = 0;
    conn->body = net_buffers_get(conn->net->buffers, conn->frame.length);
    conn->body_len = have;
    if (have > 0)
        memcpy(conn->body->data, from, have);
}

static void hold(struct net_conn *conn, struct net_buffer *buffer, size_t at, size_t end)
{
    CHECK(conn->held == NULL);
    conn->held = net_buffer_ref(buffer);
    conn->held_at = at;
    conn->held_end = end;
}

/* Delivers the frames in buffer[at, end), and keeps the start of the one that is incomplete. */
static void parse(struct net_conn *conn, struct net_buffer *buffer, size_t at, size_t end)
{
    struct err err;

    while (at < end && net_conn_receiving(conn)) {
        const uint8_t *header = buffer->data + at;
        struct net_frame *frame = &conn->frame;

        if (end - at < NET_HEADER_BYTES) {
            memcpy(conn->header, header, end - at);
            conn->header_len = end - at;
            return;
        }
        if (net_header_decode(header, conn->limit, frame, &conn->frame_crc, &err) != 0) {
            break_with(conn, &err);
            return;
        }
        at += NET_HEADER_BYTES;
        if (end - at < frame->length) {
            begin_body(conn, header, buffer->data + at, end - at);
            return;
        }
        frame->payload = buffer->data + at;
        frame->impl = buffer;
        at += frame->length;
        conn->unparsed = end - at;
        deliver(conn, header, frame, conn->frame_crc);
    }
    conn->unparsed = 0;
    if (at < end && conn->state == CONN_OPEN)
        hold(conn, buffer, at, end);
}

static struct net_buffer *take_spare(struct net_loop *net)
{
    struct net_buffer *buffer = net->spare;

    net->spare = NULL;
    return buffer != NULL ? buffer : net_buffers_get(net->buffers, RECEIVE_BYTES);
}

static void give_spare(struct net_loop *net, struct net_buffer *buffer)
{
    if (net->spare == NULL && !net_buffer_shared(buffer))
        net->spare = buffer;
    else
        net_buffer_unref(buffer);
}

static void end_of_input(struct net_conn *conn, ssize_t got)
{
    const char *when = "";
    struct err err;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (net_conn_handshaking(conn))
        when = " in the middle of the TLS handshake";
    if (got < 0)
        err_set(&err, ERR_CLOSED, "%s: %s%s", conn->text, strerror(errno), when);
    else
        err_set(&err, ERR_CLOSED, "%s: closed by the peer%s%s", conn->text, when,
                conn->body != NULL || conn->header_len > 0 ? " in the middle of a frame" : "");
    net_conn_break(conn, &err);
}

/* The first frame of an accepted connection: its header, then its payload, and nothing beyond. */
static void read_exactly(struct net_conn *conn)
{
    uint8_t *to = conn->header + conn->header_len;
    size_t want = NET_HEADER_BYTES - conn->header_len;
    struct err err;
    ssize_t got;

    if (conn->body != NULL) {
        to = conn->body->data + conn->body_len;
        want = conn->frame.length - conn->body_len;
    }
    got = recv(conn->fd, to, want, MSG_DONTWAIT);
    if (got <= 0) {
        end_of_input(conn, got);
        return;
    }
    if (conn->body != NULL) {
        conn->body_len += (size_t)got;
    } else {
        conn->header_len += (size_t)got;
        if (conn->header_len < NET_HEADER_BYTES)
            return;
        if (net_header_decode(conn->header, conn->limit, &conn->frame, &conn->frame_crc, &err) !=
            0) {
            break_with(conn, &err);
            return;
        }
        begin_body(conn, conn->header, NULL, 0);
    }
    if (conn->body_len == conn->frame.length)
        deliver_body(conn);
}

void net_conn_read(struct net_conn *conn)
{
    struct net_buffer *buffer;
    struct iovec iov[2];
    size_t body_want = 0, begin = 0, end;
    int n = 0;
    ssize_t got;

    if (conn->exact) {
        read_exactly(conn);
        return;
    }
    buffer = take_spare(conn->net);
    if (conn->body != NULL) {
        body_want = conn->frame.length - conn->body_len;
        iov[n++] = (struct iovec){conn->body->data + conn->body_len, body_want};
    } else {
        begin = conn->header_len;
        memcpy(buffer->data, conn->header, begin);
    }
    iov[n++] = (struct iovec){buffer->data + begin, conn->bulk ? BULK_TAIL_BYTES : buffer->cap - begin};
    got = conn->tls != NULL ? net_conn_readv_tls(conn, iov, n) : readv(conn->fd, iov, n);
    if (got <= 0) {
        end_of_input(conn, got);
    } else {
        size_t of_body = MIN((size_t)got, body_want);

        conn->header_len = 0;
        end = begin + (size_t)got - of_body;
        conn->body_len += of_body;
        conn->unparsed = end;
        if (conn->body != NULL && conn->body_len == conn->frame.length)
            deliver_body(conn);
        if (end > 0)
            parse(conn, buffer, 0, end);
    }
    give_spare(conn->net, buffer);
    net_conn_update(conn);
}

void net_conn_resume(struct net_conn *conn)
{
    struct net_buffer *held = conn->held;
    size_t at = conn->held_at, end = conn->held_end;

    if (held != NULL && !conn->paused) {
        conn->held = NULL;
        parse(conn, held, at, end);
        net_buffer_unref(held);
    }
    net_conn_update(conn);
}
