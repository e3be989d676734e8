/*
 * net_libevent.c - the production network's table of functions, and the end of its connections.
 *
 * Receiving is in net_conn_libevent.c, sending in net_send_libevent.c, connecting and listening in
 * net_connect_libevent.c.  Thread: the loop's, but for net_payload_free.
 */
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/env/env_libevent.h"
#include "common/net/net_libevent_private.h"

static struct net_loop *loop_of(struct net *net)
{
    return CONTAINER_OF(net, struct net_loop, net);
}

static int op_listen(struct net *net, const char *address, net_accept_fn *fn, void *arg,
                     struct net_listener **ret, struct err *err)
{
    return net_listen(loop_of(net), address, fn, arg, ret, err);
}

static struct net_conn *op_connect(struct net *net, const char *address,
                                   const struct net_handler *handler, void *arg)
{
    return net_connect_start(loop_of(net), address, handler, arg);
}

static void op_set_handler(struct net_conn *conn, const struct net_handler *handler, void *arg)
{
    conn->handler = handler;
    conn->arg = arg;
}

static void op_set_limit(struct net_conn *conn, uint32_t payload_bytes_max)
{
    conn->limit = MIN(payload_bytes_max, NET_PAYLOAD_MAX);
}

static bool op_checks(struct net_conn *conn)
{
    return conn->tls == NULL;
}

static size_t op_queued_bytes(struct net_conn *conn)
{
    return conn->queued + (conn->tls != NULL ? tls_pending(conn->tls, NULL) : 0);
}

static void op_pause_reading(struct net_conn *conn, bool paused)
{
    conn->paused = paused;
    if (!paused && conn->held != NULL)
        env_post(conn->net->env, &conn->task);
    net_conn_update(conn);
}

static void op_close(struct net_conn *conn)
{
    CHECK(conn->magic == NET_MAGIC_CONN);
    if (conn->state == CONN_DEAD || conn->state == CONN_CLOSING)
        return;
    if (conn->state != CONN_OPEN || conn->write_failed || net_conn_handshaking(conn)) {
        net_conn_destroy(conn);
        return;
    }
    conn->handler = NULL;
    CHECK(net_conn_collect(conn));
    conn->state = CONN_CLOSING;
    net_conn_own_output(conn);
    env_unpost(conn->net->env, &conn->task);
    env_timer_arm(conn->net->env, &conn->timer,
                  conn->tls != NULL ? tls_close_ns(conn->tls) : NET_CLOSE_NS);
    net_conn_mark_dirty(conn); /* with an empty queue too: it says goodbye */
    net_conn_update(conn);
}

static const char *op_peer(struct net_conn *conn)
{
    return conn->peer;
}

static const struct net_ops libevent_ops = {
    .listen = op_listen,
    .listener_address = net_listener_text,
    .listener_close = net_listener_free,
    .connect = op_connect,
    .set_handler = op_set_handler,
    .set_limit = op_set_limit,
    .send = net_conn_append,
    .send_parts = net_conn_append_parts,
    .send_now = net_conn_send_now,
    .checks = op_checks,
    .queued_bytes = op_queued_bytes,
    .pause_reading = op_pause_reading,
    .close = op_close,
    .peer = op_peer,
    .secure = net_conn_secure,
    .proven = net_conn_proven,
};

/* At the end of a callback: writes what it queued, frames of one connection in one call. */
static void write_dirty(void *arg)
{
    struct net_loop *net = arg;
    struct list batch, *node;

    if (list_empty(&net->dirty))
        return;
    list_init(&batch);
    batch.next = net->dirty.next;
    batch.prev = net->dirty.prev;
    batch.next->prev = batch.prev->next = &batch;
    list_init(&net->dirty);
    while ((node = list_pop_front(&batch)) != NULL) {
        struct net_conn *conn = LIST_ENTRY(node, struct net_conn, dirty_node);

        CHECK(conn->magic == NET_MAGIC_CONN);
        if (conn->state == CONN_OPEN || conn->state == CONN_CLOSING)
            net_conn_write(conn);
    }
}

struct net *net_libevent_new(struct env *env)
{
    struct net_loop *net = MEM_NEW(struct net_loop);

    net->net.ops = &libevent_ops;
    net->env = env;
    list_init(&net->conns);
    list_init(&net->listeners);
    list_init(&net->dirty);
    net->buffers = net_buffers_new();
    env_libevent_set_after(env, write_dirty, net);
    return &net->net;
}

/* The loop no longer runs: give closed connections the rest of their second to say what was queued. */
static void flush_at_end(struct net_conn *conn, uint64_t until_ns)
{
    while (conn->state == CONN_CLOSING && net_conn_wants_write(conn)) {
        uint64_t now_ns = env_now_ns(conn->net->env);
        struct pollfd p = {.fd = conn->fd, .events = POLLOUT};

        if (now_ns >= until_ns || poll(&p, 1, (int)((until_ns - now_ns) / 1000000u) + 1) <= 0)
            return;
        net_conn_write(conn);
    }
}

void net_libevent_free(struct net *net)
{
    struct net_loop *loop;
    uint64_t until_ns;

    if (net == NULL)
        return;
    loop = loop_of(net);
    until_ns = env_now_ns(loop->env) + NET_CLOSE_NS;
    net_listeners_free(loop);
    while (!list_empty(&loop->conns)) {
        struct net_conn *conn = LIST_ENTRY(loop->conns.next, struct net_conn, node);

        net_conn_enter(conn);
        conn->handler = NULL;
        flush_at_end(conn, until_ns);
        if (conn->state != CONN_DEAD)
            net_conn_destroy(conn);
        net_conn_leave(conn);
    }
    net_buffer_unref(loop->spare);
    net_buffers_close(loop->buffers);
    net_chunks_free(loop);
    tls_pool_release(&loop->tls_pool);
    mem_free(loop->tls_input);
    env_libevent_set_after(loop->env, NULL, NULL);
    mem_free(loop);
}

int net_libevent_detach_fd(struct net_conn *conn)
{
    int fd = conn->fd;

    CHECK(conn->magic == NET_MAGIC_CONN);
    if (conn->state != CONN_OPEN || conn->write_failed || conn->queued > 0 || conn->unparsed > 0 ||
        conn->tls != NULL || conn->body != NULL || conn->header_len > 0 || conn->held != NULL)
        return -1;
    event_del(&conn->read_event);
    event_del(&conn->write_event);
    conn->has_events = false;
    conn->fd = -1;
    net_conn_destroy(conn);
    return fd;
}

struct net_conn *net_libevent_adopt_fd(struct net *net, int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    char peer[NET_ADDRESS_TEXT_MAX] = "a passed socket";
    int flags = fcntl(fd, F_GETFL);

    CHECK(flags >= 0);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (getpeername(fd, (struct sockaddr *)&sa, &len) == 0)
        net_address_format((struct sockaddr *)&sa, peer);
    return net_conn_accepted(loop_of(net), fd, peer);
}
