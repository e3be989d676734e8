/*
 * net_connect_libevent.c - how connections of the production network come to be: names, connect, listen, inproc.
 *
 * An inproc: address is a name in a table of the process; connecting to it makes a socket pair, so that the same
 * code serves it.  The table is the one thing here that other threads touch: it has a mutex.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/env/env_libevent.h"
#include "common/net/net_libevent_private.h"

#define CONNECT_TIMEOUT_S  10
#define ADDRESSES_MAX      8
#define ACCEPTS_PER_EVENT  64
#define ACCEPT_PAUSE_NS    100000000u /* when the process has no file descriptor left */
#define INPROC_PENDING_MAX 1024
#define BACKLOG            1024

/* ---- connecting ---- */

struct net_resolve {
    struct env_work work;
    struct net_conn *conn; /* NULL once it is gone */
    struct net_hostport host;
    struct net_sockaddr found[ADDRESSES_MAX];
    size_t found_count;
    int rc;
    struct err err;
};

static void connect_next(struct net_conn *conn);

static void give_up(struct net_conn *conn, int code, const char *why)
{
    struct err err;

    err_set(&err, code, "cannot connect to %s: %s", conn->peer, why);
    net_conn_break(conn, &err);
}

static void resolve_run(struct env_work *work)
{
    struct net_resolve *r = CONTAINER_OF(work, struct net_resolve, work);

    r->rc = net_address_resolve(&r->host, r->found, ADDRESSES_MAX, &r->found_count, &r->err);
}

static void resolve_done(struct env_work *work)
{
    struct net_resolve *r = CONTAINER_OF(work, struct net_resolve, work);
    struct net_conn *conn = r->conn;

    if (conn != NULL) {
        conn->resolve = NULL;
        net_conn_enter(conn);
        if (r->rc != 0) {
            give_up(conn, r->rc, r->err.text);
        } else {
            conn->addresses = mem_dup(r->found, r->found_count * sizeof(r->found[0]));
            conn->address_count = r->found_count;
            connect_next(conn);
        }
        net_conn_leave(conn);
    }
    mem_free(r);
}

void net_resolve_forget(struct net_conn *conn)
{
    if (conn->resolve != NULL)
        conn->resolve->conn = NULL;
    conn->resolve = NULL;
}

/* Tries the next address. Whatever comes of it comes in a later event. */
static void connect_next(struct net_conn *conn)
{
    const struct net_sockaddr *to;
    const struct sockaddr *sa;
    int fd, rc;

    CHECK(conn->address_next < conn->address_count);
    to = &conn->addresses[conn->address_next++];
    sa = (const struct sockaddr *)&to->storage;
    fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        give_up(conn, ERR_UNAVAILABLE, strerror(errno));
        return;
    }
    net_conn_attach(conn, fd);
    conn->state = CONN_CONNECTING;
    rc = connect(fd, sa, to->len);
    if (rc != 0 && errno != EINPROGRESS) {
        if (conn->address_next < conn->address_count)
            connect_next(conn);
        else
            give_up(conn, ERR_UNAVAILABLE, strerror(errno));
        return;
    }
    env_timer_arm(conn->net->env, &conn->timer, (uint64_t)CONNECT_TIMEOUT_S * 1000000000u);
    net_conn_update(conn);
}

/* A client port that happens to be the port it connects to meets itself: nobody listens there. */
static bool connected_to_itself(int fd)
{
    struct sockaddr_storage a, b;
    socklen_t a_len = sizeof(a), b_len = sizeof(b);

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    if (getsockname(fd, (struct sockaddr *)&a, &a_len) != 0 || a.ss_family == AF_UNIX ||
        getpeername(fd, (struct sockaddr *)&b, &b_len) != 0)
        return false;
    return a_len == b_len && memcmp(&a, &b, a_len) == 0;
}

void net_connect_event(struct net_conn *conn)
{
    int error = 0;
    socklen_t len = sizeof(error);

    CHECK(conn->state == CONN_CONNECTING);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error == 0 && connected_to_itself(conn->fd))
        error = ECONNREFUSED;
    if (error != 0) {
        if (conn->address_next < conn->address_count)
            connect_next(conn);
        else
            give_up(conn, ERR_UNAVAILABLE, strerror(error));
        return;
    }
    env_timer_cancel(conn->net->env, &conn->timer);
    conn->state = CONN_OPEN;
    net_conn_update(conn);
    if (conn->tls != NULL) {
        conn->open_is_due = true;
        net_conn_begin_tls(conn);
        return;
    }
    if (conn->queued > 0)
        net_conn_mark_dirty(conn);
    if (conn->handler != NULL && conn->handler->on_open != NULL)
        conn->handler->on_open(conn->arg, conn);
}

void net_connect_timeout(struct net_conn *conn)
{
    net_conn_enter(conn);
    if (conn->address_next < conn->address_count)
        connect_next(conn);
    else
        give_up(conn, ERR_UNAVAILABLE, "no answer in 10 s");
    net_conn_leave(conn);
}

static void start_resolving(struct net_conn *conn, const struct net_hostport *hp)
{
    struct net_resolve *r = MEM_NEW(struct net_resolve);

    r->conn = conn;
    r->host = *hp;
    r->work.run = resolve_run;
    r->work.done = resolve_done;
    conn->resolve = r;
    conn->state = CONN_RESOLVING;
    env_work(conn->net->env, &r->work);
}

struct net_conn *net_connect_start(struct net_loop *net, const char *address,
                                   const struct net_handler *handler, void *arg)
{
    struct net_conn *conn = net_conn_new(net, address, true);
    struct net_sockaddr numeric;
    struct net_hostport hp;
    struct err err;

    conn->handler = handler;
    conn->arg = arg;
    if (net_is_inproc(address)) {
        int fd = net_inproc_connect(address, &err);

        if (fd < 0) {
            give_up(conn, fd, err.text);
        } else {
            net_conn_attach(conn, fd);
            conn->state = CONN_CONNECTING;
            env_post(net->env, &conn->task);
        }
    } else if (net_address_parse(address, &hp, &err) != 0) {
        give_up(conn, err.code, err.text);
    } else if (net_address_numeric(&hp, &numeric)) {
        conn->addresses = mem_dup(&numeric, sizeof(numeric));
        conn->address_count = 1;
        connect_next(conn);
    } else {
        start_resolving(conn, &hp);
    }
    return conn;
}

/* ---- accepting ---- */

struct net_listener {
    struct list node; /* in net_loop.listeners */
    struct net_loop *net;
    char *address; /* owned; with the chosen port */
    net_accept_fn *fn;
    void *arg;
    int fd; /* -1: inproc */
    struct event event;
    struct env_timer pause;
    /* inproc, under inproc_mutex: */
    struct net_listener *next;
    struct env_task task;
    int pending[INPROC_PENDING_MAX];
    size_t pending_count;
};

static pthread_mutex_t inproc_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct net_listener *inproc_listeners; /* of the process */

struct net_conn *net_conn_accepted(struct net_loop *net, int fd, const char *peer)
{
    struct net_conn *conn = net_conn_new(net, peer, false);

    conn->exact = true;
    net_conn_attach(conn, fd);
    net_conn_update(conn);
    return conn;
}

static void accepted(struct net_listener *listener, int fd, const char *peer)
{
    struct net_conn *conn = net_conn_accepted(listener->net, fd, peer);

    net_conn_enter(conn);
    listener->fn(listener->arg, conn);
    if (conn->state == CONN_OPEN && conn->handler == NULL)
        net_conn_destroy(conn); /* nobody wanted it */
    net_conn_leave(conn);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct net_listener *listener = arg;
    struct net_loop *net = listener->net;
    uint64_t entered = env_libevent_enter(net->env);
    struct list *alive = &listener->node;

    (void)what;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof(sa);
        char peer[NET_ADDRESS_TEXT_MAX];
        bool gone = true;
        int s = accept4(fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (s < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                env_log(net->env, LOG_WARN, "net", NULL,
                        "cannot accept a connection on %s: %s; trying again", listener->address,
                        strerror(errno));
                event_del(&listener->event);
                env_timer_arm(net->env, &listener->pause, ACCEPT_PAUSE_NS);
            }
            break;
        }
        net_address_format((struct sockaddr *)&sa, peer);
        accepted(listener, s, peer);
        LIST_FOREACH (node, &net->listeners)
            gone = gone && node != alive;
        if (gone) /* the callback closed it */
            break;
    }
    env_libevent_leave(net->env, entered);
}

static void on_pause_over(struct env_timer *timer)
{
    struct net_listener *listener = CONTAINER_OF(timer, struct net_listener, pause);

    CHECK(event_add(&listener->event, NULL) == 0);
}

static void on_inproc_pending(struct env_task *task)
{
    struct net_listener *listener = CONTAINER_OF(task, struct net_listener, task);
    int fd = -1;

    pthread_mutex_lock(&inproc_mutex);
    if (listener->pending_count > 0) {
        fd = listener->pending[0];
        listener->pending_count--;
        memmove(listener->pending, listener->pending + 1, listener->pending_count * sizeof(int));
        if (listener->pending_count > 0)
            env_post(listener->net->env, task);
    }
    pthread_mutex_unlock(&inproc_mutex);
    if (fd >= 0)
        accepted(listener, fd, listener->address);
}

static struct net_listener *find_inproc(const char *address)
{
    struct net_listener *l = inproc_listeners;

    while (l != NULL && strcmp(l->address, address) != 0)
        l = l->next;
    return l;
}

int net_inproc_connect(const char *address, struct err *err)
{
    struct net_listener *l;
    int pair[2], rc = 0;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        return err_set(err, ERR_UNAVAILABLE, "%s", strerror(errno));
    pthread_mutex_lock(&inproc_mutex);
    l = find_inproc(address);
    if (l == NULL) {
        rc = err_set(err, ERR_UNAVAILABLE, "nobody listens there in this process");
    } else if (l->pending_count == INPROC_PENDING_MAX) {
        rc =
            err_set(err, ERR_UNAVAILABLE, "%d connections are waiting already", INPROC_PENDING_MAX);
    } else {
        l->pending[l->pending_count++] = pair[1];
        env_post(l->net->env, &l->task); /* under the mutex, so that the listener still exists */
    }
    pthread_mutex_unlock(&inproc_mutex);
    if (rc == 0)
        return pair[0];
    close(pair[0]);
    close(pair[1]);
    return rc;
}

static int listen_inproc(struct net_listener *listener, const char *address, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&inproc_mutex);
    if (find_inproc(address) != NULL) {
        rc = err_set(err, ERR_EXISTS, "cannot listen on %s: somebody in this process already does",
                     address);
    } else {
        listener->address = mem_strdup(address);
        listener->next = inproc_listeners;
        inproc_listeners = listener;
    }
    pthread_mutex_unlock(&inproc_mutex);
    return rc;
}

static void unlisten_inproc(struct net_listener *listener)
{
    struct net_listener **at = &inproc_listeners;

    pthread_mutex_lock(&inproc_mutex);
    while (*at != listener)
        at = &(*at)->next;
    *at = listener->next;
    pthread_mutex_unlock(&inproc_mutex);
    env_unpost(listener->net->env, &listener->task);
    for (size_t i = 0; i < listener->pending_count; i++)
        close(listener->pending[i]);
}

static int cannot_listen(struct err *err, const char *address, const struct net_hostport *hp,
                         int errno_value)
{
    char holder[128] = "";

    if (errno_value == EADDRINUSE)
        net_port_holder(hp->port, holder, sizeof(holder));
    return err_set(err, errno_value == EACCES ? ERR_PERMISSION : ERR_UNAVAILABLE,
                   "cannot listen on %s: %s%s%s", address, strerror(errno_value), holder,
                   errno_value == EADDRNOTAVAIL ? " (it is no address of this host)" : "");
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    struct sockaddr_in v4;

    memset(&sa, 0, sizeof(sa));
    CHECK(getsockname(fd, (struct sockaddr *)&sa, &len) == 0);
    memcpy(&v4, &sa, sizeof(v4)); /* the port lies at the same place in IPv6 */
    return ntohs(v4.sin_port);
}

static int listen_tcp(struct net_listener *listener, const char *address, struct err *err)
{
    struct net_hostport hp;
    struct net_sockaddr sa;
    size_t count;
    int on = 1, rc;

    rc = net_address_parse(address, &hp, err);
    if (rc != 0)
        return err_wrap(err, "cannot listen");
    if (!net_address_numeric(&hp, &sa)) {
        rc = net_address_resolve(&hp, &sa, 1, &count, err);
        if (rc != 0)
            return err_wrap(err, "cannot listen on %s", address);
    }
    listener->fd = socket(sa.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->fd < 0)
        return cannot_listen(err, address, &hp, errno);
    setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener->fd, (struct sockaddr *)&sa.storage, sa.len) != 0 ||
        listen(listener->fd, BACKLOG) != 0)
        return cannot_listen(err, address, &hp, errno);
    listener->address = mem_printf(strchr(hp.host, ':') != NULL ? "[%s]:%u" : "%s:%u", hp.host,
                                   bound_port(listener->fd));
    CHECK(event_assign(&listener->event, env_libevent_base(listener->net->env), listener->fd,
                       EV_READ | EV_PERSIST, on_accept, listener) == 0);
    CHECK(event_add(&listener->event, NULL) == 0);
    return 0;
}

int net_listen(struct net_loop *net, const char *address, net_accept_fn *fn, void *arg,
               struct net_listener **ret, struct err *err)
{
    struct net_listener *listener = MEM_NEW(struct net_listener);
    int rc;

    listener->net = net;
    listener->fn = fn;
    listener->arg = arg;
    listener->fd = -1;
    listener->pause.cb = on_pause_over;
    listener->task.cb = on_inproc_pending;
    rc = net_is_inproc(address) ? listen_inproc(listener, address, err)
                                : listen_tcp(listener, address, err);
    if (rc != 0) {
        if (listener->fd >= 0)
            close(listener->fd);
        mem_free(listener);
        return rc;
    }
    list_push_back(&net->listeners, &listener->node);
    *ret = listener;
    return 0;
}

const char *net_listener_text(struct net_listener *listener)
{
    return listener->address;
}

void net_listener_free(struct net_listener *listener)
{
    if (listener == NULL)
        return;
    list_remove(&listener->node);
    env_timer_cancel(listener->net->env, &listener->pause);
    if (listener->fd >= 0) {
        event_del(&listener->event);
        close(listener->fd);
    } else {
        unlisten_inproc(listener);
    }
    mem_free(listener->address);
    mem_free(listener);
}

void net_listeners_free(struct net_loop *net)
{
    while (!list_empty(&net->listeners))
        net_listener_free(LIST_ENTRY(net->listeners.next, struct net_listener, node));
}
