/*
 * net.h - framed connections that keep order and may break.
 *
 * A connection carries frames.  Inside a living connection nothing is lost, reordered or duplicated.
 * When it breaks, both ends learn of it (on_close, exactly once) and an unknown suffix of what was
 * sent is gone.  A frame is checked (version, length limit, CRC32C) before it is delivered; a bad one closes
 * the connection with ERR_PROTOCOL or ERR_CORRUPT and a text that names the peer.
 *
 * Wire form of a frame: a 32-byte little-endian header, then the payload.
 *    0 u16 magic 0x4b52 ("RK")     2 u8  version (1)      3 u8 kind (enum net_kind)
 *    4 u16 flags                   6 u16 reserved (0)     8 u32 payload length
 *   12 u32 CRC32C of header (with this field 0) and payload; 0 under TLS, which checks more than that
 *   16 u64 epoch: job epoch (data) or leader token (control)
 *   24 u32 stream: request id or channel                 28 u32 credit, bytes
 *
 * Addresses: "HOST:PORT" (port 0 = choose), or "inproc:NAME" (same process only, production and simulator).
 *
 * Thread: the env's loop.  Nothing runs inside the call that caused it.  Frames sent in one callback leave together
 * at its end.  A payload lies on a multiple of 8 if all frames of its direction have lengths that are.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

#define NET_MAGIC 0x4b52
#define NET_VERSION 1
#define NET_HEADER_BYTES 32
#define NET_PAYLOAD_MAX (80u << 20) /* rask.max-row-size and a little; control listeners set a lower limit */

enum net_kind {
    NET_HELLO = 1,    /* preamble of a data connection; handshake of an RPC connection */
    NET_CHALLENGE,    /* nonce, asks for a proof of the secret */
    NET_PROOF,
    NET_WELCOME,
    NET_REFUSE,       /* text; the connection closes after it */
    NET_REQUEST,      /* RPC */
    NET_RESPONSE,
    NET_CANCEL,
    NET_PING,
    NET_PONG,
    NET_DATA,         /* a block with its slices */
    NET_CREDIT,       /* credits for channels */
    NET_CONTROL,      /* watermark, barrier, status, end of input of a channel */
    NET_KIND_MAX,
};

struct net_frame {
    uint8_t kind;
    uint16_t flags;
    uint32_t stream;
    uint32_t credit;
    uint64_t epoch;
    bool sealed;            /* send side: crc is that of the frame with its parts (net_frame_seal) */
    uint32_t crc;
    const uint8_t *payload; /* on_frame: borrowed until it returns, unless taken by net_frame_take */
    uint32_t length;
    void *impl; /* receive side: owner of payload */
};

struct net_iov {
    const void *data;
    size_t len;
};

struct net;
struct net_conn;
struct net_listener;

/* How both sides of a connection get to know each other, and that nobody else reads along: TLS 1.3, below the seam. */
#define NET_PSK_BYTES 32
#define NET_PSK_NAME_MAX 128
struct net_tls; /* certificates and rules of the process: common/net/tls.h */
struct net_secure {
    struct net_tls *tls;    /* borrowed for the life of the connection */
    bool accepting;
    /* A secret that both sides know, by its name (copied); the connecting side accepts no certificate then. NULL: by certificates. */
    const char *psk_name;
    const uint8_t *psk;     /* NET_PSK_BYTES */
    /* Accepting side, instead: looks up the secret of a name that somebody claims to know; certificates are
     * accepted beside it. */
    bool (*psk_of)(void *arg, const char *psk_name, uint8_t ret_psk[NET_PSK_BYTES]);
    void *arg;
};

/* on_close is the last callback of a connection; the handle is invalid after it returns.
 * on_drained: the send queue has fallen below half of its high-water mark after net_queued_bytes exceeded it. */
struct net_handler {
    void (*on_open)(void *arg, struct net_conn *conn); /* a connect() completed; not called for accepted ones */
    void (*on_frame)(void *arg, struct net_conn *conn, struct net_frame *frame);
    void (*on_drained)(void *arg, struct net_conn *conn);
    void (*on_close)(void *arg, struct net_conn *conn, const struct err *why);
};

/* conn is new; set its handler inside (net_set_handler) or net_close it. */
typedef void net_accept_fn(void *arg, struct net_conn *conn);

struct net_ops {
    int (*listen)(struct net *net, const char *address, net_accept_fn *fn, void *arg,
                  struct net_listener **ret, struct err *err);
    const char *(*listener_address)(struct net_listener *listener); /* with the chosen port */
    void (*listener_close)(struct net_listener *listener);
    /* Never fails at once: a refused or unresolvable address, or no answer in 10 seconds, arrives as on_close. What is
     * sent before on_open leaves after it. */
    struct net_conn *(*connect)(struct net *net, const char *address, const struct net_handler *handler,
                                void *arg);
    void (*set_handler)(struct net_conn *conn, const struct net_handler *handler, void *arg);
    void (*set_limit)(struct net_conn *conn, uint32_t payload_bytes_max); /* received frames */
    /* Queues one frame. The payload is copied. Sending on a broken connection is a no-op. */
    void (*send)(struct net_conn *conn, const struct net_frame *frame);
    /* As send, but frame->payload is ignored: the parts are borrowed until release(release_arg) is called, on the
     * loop thread or inside this call, whether they were sent or not. */
    void (*send_parts)(struct net_conn *conn, const struct net_frame *frame, const struct net_iov *parts,
                       size_t part_count, void (*release)(void *arg), void *release_arg);
    /* As send_parts, from any thread, one at a time, without a way over the loop. False: something waits to be sent before
     * it, or it cannot be done here; nothing has happened, and send_parts is the way. The list of parts is borrowed
     * until the release, too; and the connection is neither closed nor its on_close over before it returns. NULL:
     * never possible. */
    bool (*send_now)(struct net_conn *conn, const struct net_frame *frame, const struct net_iov *parts,
                     size_t part_count, void (*release)(void *arg), void *release_arg);
    bool (*checks)(struct net_conn *conn); /* its frames carry checksums: not under TLS. NULL: they are not to be sealed */
    size_t (*queued_bytes)(struct net_conn *conn); /* accepted by send, not yet by the operating system */
    /* While paused, the end of the connection is noticed only by a send that fails, or after the pause. */
    void (*pause_reading)(struct net_conn *conn, bool paused);
    /* No callback runs after it, on_close neither: what send_parts has borrowed is released inside. Queued frames are flushed
     * first, for at most one second. */
    void (*close)(struct net_conn *conn);
    const char *(*peer)(struct net_conn *conn); /* text for messages; never NULL */
    /* TLS from here on: frames sent before leave in clear, those sent after it once the handshake is over. Legal before
     * anything was received. A connecting side that asks for it before on_open gets on_open after the handshake. A
     * handshake that fails or takes too long is an on_close. NULL where there is no TLS (the simulator). */
    void (*secure)(struct net_conn *conn, const struct net_secure *how);
    /* The handshake is over and the other side has proved that it knows the secret of this name; NULL: that it has a
     * certificate which is trusted here. */
    bool (*proven)(struct net_conn *conn, const char *psk_name);
};

struct net {
    const struct net_ops *ops;
};

#define NET_HIGH_WATER_BYTES (1u << 20)

/* Keeps the payload beyond on_frame: returns an owner to be passed to net_payload_free (any thread). It may move the
 * payload (a small one is copied rather than pin a large buffer): read frame->payload after it. */
void *net_frame_take(struct net_frame *frame);
void net_payload_free(void *owner);

/* Header encoding, shared by both implementations and by the fuzzers. */
void net_header_encode(const struct net_frame *frame, uint32_t crc, uint8_t out[NET_HEADER_BYTES]);
/* ERR_PROTOCOL with a sentence when magic, version, kind or length are wrong. ret_crc: as sent. */
int net_header_decode(const uint8_t in[NET_HEADER_BYTES], uint32_t payload_max, struct net_frame *ret,
                      uint32_t *ret_crc, struct err *err) MUST_CHECK;
/* The frame is complete, and its checksum is made here and not on the loop: for large frames of a connection that carries
 * checksums (checks). Its fields and parts do not change any more. */
void net_frame_seal(struct net_frame *frame, const struct net_iov *parts, size_t part_count);
uint32_t net_frame_crc(const uint8_t header[NET_HEADER_BYTES], const struct net_iov *parts, size_t part_count);

/* "127.0.0.1", "localhost", "::1", or inproc: false for anything that other hosts can reach. */
bool net_is_loopback(const char *address);
/* " (held by NAME, pid N)" when /proc tells who listens on this host's port, of a process that is
 * another user's " (held by a process of user id N)", else "". */
void net_port_holder(uint16_t port, char *out, size_t out_size);

struct env;
struct net *net_libevent_new(struct env *env); /* called by env_libevent_new */
void net_libevent_free(struct net *net);
/* Passing an accepted connection to another process: detach gives the bare socket and the conn is gone, adopt makes a conn
 * of it. Inside on_frame of the first frame it succeeds, for not a byte beyond that frame is read before it was
 * delivered; later it gives -1, and the conn stays, when bytes are buffered either way. Production only. */
int net_libevent_detach_fd(struct net_conn *conn);
struct net_conn *net_libevent_adopt_fd(struct net *net, int fd);

static inline void net_send(struct net *net, struct net_conn *conn, const struct net_frame *frame)
{
    net->ops->send(conn, frame);
}

#endif
