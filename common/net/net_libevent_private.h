/*
 * net_libevent_private.h - the structs of the production network.
 * Included by common/net/net_*libevent.c alone.  Thread: the loop's.
 */
#ifndef NET_NET_LIBEVENT_PRIVATE_H
#define NET_NET_LIBEVENT_PRIVATE_H

#include <event2/event_struct.h>
#include <sys/uio.h>

#include "common/base/list.h"
#include "common/env/env.h"
#include "common/net/net_private.h"
#include "common/net/tls_private.h"

#define NET_MAGIC_CONN 0x4e434f4eu
#define NET_WRITE_PARTS_MAX 64
#define NET_CLOSE_NS 1000000000u /* what is queued may leave for so long after a close */

struct net_loop {
    struct net net; /* first */
    struct env *env;
    struct list conns, listeners;
    struct list dirty;            /* connections with something to write after this callback */
    struct out_chunk *free_chunks[2]; /* for sending; small and large ones, kept for the next busy moment */
    size_t free_chunk_count[2];
    struct net_buffers *buffers;  /* for receiving */
    struct net_buffer *spare;     /* the receive buffer of whoever reads next; may be NULL */
    struct tls_pool tls_pool;
    uint8_t *tls_input;           /* encrypted bytes of whoever reads next; NULL until somebody does */
};

enum conn_state {
    CONN_RESOLVING,
    CONN_CONNECTING,
    CONN_OPEN,
    CONN_BROKEN,  /* on_close is due */
    CONN_CLOSING, /* closed by its owner: flushes, then waits for the peer's end */
    CONN_DEAD,    /* freed as soon as no callback of it is on the stack */
};

/* Who may write to the socket. Neither: any thread that sets CONN_BUSY. */
enum conn_direct {
    CONN_HELD = 1, /* the loop, which has or may have something to say first */
    CONN_BUSY = 2, /* another thread is at it; with CONN_HELD it posts the connection's task when it is done */
};

/* Something queued for sending: bytes of our own, or parts that belong to the caller until released. */
struct out_chunk {
    struct out_chunk *next;
    size_t len, cap;   /* cap: of bytes, or of parts in bytes */
    size_t part_count; /* 0: content is in bytes */
    void (*release)(void *arg);
    void *release_arg;
    union {
        uint8_t bytes[1];
        struct net_iov parts[1];
    } u;
};

struct net_resolve; /* a name being looked up on env_work */

struct net_conn {
    uint32_t magic;
    enum conn_state state;
    struct list node;       /* in net_loop.conns */
    struct list dirty_node; /* in net_loop.dirty, or alone */
    struct net_loop *net;
    const struct net_handler *handler; /* borrowed */
    void *arg;
    char *peer;        /* owned */
    char *text;        /* owned: "connection to X" or "connection from X", for messages */
    int fd;            /* -1: none */
    uint32_t busy;     /* callbacks of this connection on the stack */
    struct event read_event, write_event;
    bool has_events, reading, writing; /* what is registered */
    struct env_task task;   /* opened, resumed, or broken: brings the callback in a later event */
    struct env_timer timer; /* connect timeout; then of the flush after close */
    struct err *why;        /* owned; the first reason that it broke */

    struct net_resolve *resolve;
    struct net_sockaddr *addresses; /* owned; tried in order */
    size_t address_count, address_next;

    /* Receiving. Between events a connection holds at most the start of one frame: a part of the header,
     * or the header and a body of exactly its length. */
    uint32_t limit;
    bool paused;
    bool exact; /* reads not a byte beyond the first frame, so that the socket may be passed on after it */
    uint8_t header[NET_HEADER_BYTES];
    size_t header_len;       /* < NET_HEADER_BYTES; 0 while there is a body */
    struct net_frame frame;  /* of body */
    uint32_t frame_crc;
    bool bulk;               /* large frames come: what is behind one is read with the next one, but for its beginning */
    struct net_buffer *body; /* NULL: none begun */
    size_t body_len;
    struct net_buffer *held; /* paused in the middle of a receive buffer */
    size_t held_at, held_end;
    size_t unparsed; /* bytes behind the frame being delivered */

    /* Sending. */
    struct out_chunk *out, **out_tail;
    struct out_chunk *out_last; /* NULL when out is */
    size_t out_offset;          /* bytes of the first chunk that are gone */
    size_t queued;
    bool over_high_water, write_failed;

    int direct;       /* atomic: CONN_HELD, CONN_BUSY */
    struct { /* whose CONN_BUSY it is, then the loop: a frame that did not fit into the socket; before out */
        uint8_t header[NET_HEADER_BYTES];
        const struct net_iov *parts;
        size_t part_count; /* 0: there is none */
        size_t len, sent;  /* with the header */
        void (*release)(void *arg);
        void *release_arg;
    } rest;

    struct tls *tls;    /* owned; NULL: in clear */
    bool said_end;      /* TLS: that nothing follows */
    bool open_is_due;   /* on_open comes after the handshake */
};

/* net_conn_libevent.c */
struct net_conn *net_conn_new(struct net_loop *net, const char *peer, bool outgoing);
void net_conn_attach(struct net_conn *conn, int fd); /* takes fd; the state is the caller's to set */
void net_conn_update(struct net_conn *conn);         /* registers the events that the state wants */
void net_conn_break(struct net_conn *conn, const struct err *why); /* on_close comes later */
void net_conn_destroy(struct net_conn *conn);
void net_conn_enter(struct net_conn *conn);
void net_conn_leave(struct net_conn *conn); /* the connection may be gone after it */
void net_conn_read(struct net_conn *conn);
void net_conn_resume(struct net_conn *conn); /* parses what was held back by a pause */
bool net_conn_receiving(const struct net_conn *conn);
bool net_conn_wants_write(const struct net_conn *conn); /* the socket has to become writable */

/* net_send_libevent.c */
void net_conn_append(struct net_conn *conn, const struct net_frame *frame);
void net_conn_append_parts(struct net_conn *conn, const struct net_frame *frame, const struct net_iov *parts,
                           size_t part_count, void (*release)(void *arg), void *release_arg);
bool net_conn_send_now(struct net_conn *conn, const struct net_frame *frame, const struct net_iov *parts,
                       size_t part_count, void (*release)(void *arg), void *release_arg);
/* The loop alone writes from here on, and what another thread has left is in the queue. False: one is at it. */
bool net_conn_collect(struct net_conn *conn);
void net_conn_write(struct net_conn *conn);
void net_conn_drop_output(struct net_conn *conn);
void net_conn_own_output(struct net_conn *conn); /* what is borrowed is copied and released; no callback but releases */
int net_conn_gather(const struct net_conn *conn, struct iovec iov[NET_WRITE_PARTS_MAX]);
void net_conn_advance(struct net_conn *conn, size_t sent); /* the connection may be dead after it */
void net_conn_write_failed(struct net_conn *conn, const char *why);
void net_conn_mark_dirty(struct net_conn *conn);
void net_chunks_free(struct net_loop *net);

/* net_tls_libevent.c: between the socket and TLS */
void net_conn_secure(struct net_conn *conn, const struct net_secure *how);
bool net_conn_proven(struct net_conn *conn, const char *psk_name);
bool net_conn_handshaking(const struct net_conn *conn);
void net_conn_begin_tls(struct net_conn *conn); /* it is open: the handshake may start */
void net_conn_tls_timeout(struct net_conn *conn);
/* As readv. A failure breaks the connection, and is told as EAGAIN. */
ssize_t net_conn_readv_tls(struct net_conn *conn, const struct iovec *iov, int n);
/* One turn of writing; false: nothing more can be written now, or the connection is dead. */
bool net_conn_write_tls(struct net_conn *conn);

/* net_connect_libevent.c: how a connection comes to be */
struct net_conn *net_connect_start(struct net_loop *net, const char *address, const struct net_handler *handler,
                                   void *arg);
void net_connect_event(struct net_conn *conn);   /* the socket became writable or failed */
void net_connect_timeout(struct net_conn *conn);
void net_resolve_forget(struct net_conn *conn);
struct net_conn *net_conn_accepted(struct net_loop *net, int fd, const char *peer);
int net_listen(struct net_loop *net, const char *address, net_accept_fn *fn, void *arg,
               struct net_listener **ret, struct err *err);
const char *net_listener_text(struct net_listener *listener);
void net_listener_free(struct net_listener *listener);
void net_listeners_free(struct net_loop *net);
int net_inproc_connect(const char *address, struct err *err); /* returns a socket, or an error */

#endif
