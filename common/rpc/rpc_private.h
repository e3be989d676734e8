/*
 * rpc_private.h - what the files of this module share: the peer, the method table, the handshake's pieces.
 */
#ifndef RPC_RPC_PRIVATE_H
#define RPC_RPC_PRIVATE_H

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/rpc/rpc.h"

#define RPC_HANDSHAKE_MS 10000      /* a side that says nothing for so long in a handshake is closed */
#define RPC_HANDSHAKE_FRAME 4096    /* largest frame before the handshake is over */
#define RPC_HANDSHAKES_MAX 1024     /* unfinished ones per server */
#define RPC_REQUESTS_MAX 4096       /* unanswered requests of one peer */
#define RPC_CALLS_MAX 65536         /* unanswered calls to one peer */
#define RPC_HEARTBEAT_MS 10000      /* until the owner says otherwise */
#define RPC_HEARTBEAT_TIMEOUT_MS 50000
#define RPC_NONCE_BYTES 16
#define RPC_PROOF_BYTES 32

#define RPC_PEER_MAGIC 0x52504552u
#define RPC_SERVER_MAGIC 0x52505356u
#define RPC_DATA_MAGIC 0x52504454u

/* Who may call, as a role; JOBMANAGER is the accepting side and no role of a Hello. */
enum { RPC_FROM_JOBMANAGER = 0, RPC_FROM_TASKMANAGER = 1, RPC_FROM_WORKER = 2 };

struct rpc_row {
    const char *name;
    const ProtobufCMessageDescriptor *request, *response;
    int from;
    uint32_t deadline_ms;
    uint32_t flags;
};
const struct rpc_row *rpc_row(uint32_t method); /* NULL: unknown */

enum rpc_peer_state {
    RPC_PEER_CONNECTING, /* connecting side: no connection yet */
    RPC_PEER_HELLO,      /* accepting: waits for HELLO; connecting: has sent it */
    RPC_PEER_PROOF,      /* a proof was sent (connecting) or asked for (accepting) */
    RPC_PEER_READY,
    RPC_PEER_CLOSED,     /* no connection; freed when the last callback has returned */
};

struct rpc_peer {
    uint32_t magic;
    enum rpc_peer_state state;
    struct env *env;
    struct net_conn *conn;     /* NULL once closed */
    struct rpc_server *server; /* NULL on the connecting side */
    struct list in_server;
    struct rpc_identity identity; /* of the side that connected, on both sides */
    struct rpc_handler handler;
    void *arg;
    char *name;      /* owned */
    uint64_t fence;
    uint8_t nonce[RPC_NONCE_BYTES]; /* ours: the other side proves itself with it */
    uint32_t busy;   /* callbacks that run now: frees only at 0 */
    bool paused;     /* the other side does not read our answers */
    uint32_t next_call;
    struct map *calls;    /* id -> struct rpc_call */
    struct map *requests; /* id -> struct rpc_request */
    struct env_timer timer; /* end of the handshake, then heartbeats */
    uint64_t heard_ns, pinged_ns;
    uint64_t due_ns; /* when the timer was to fire */
    uint32_t interval_ms, timeout_ms;
    struct rpc_method_stats *stats; /* the server's, or own_stats */
    struct rpc_method_stats own_stats[RPC_METHOD_MAX];
};

struct rpc_peer *rpc_peer_new(struct env *env, const struct rpc_handler *handler, void *arg);
/* net handler of a peer on either side */
extern const struct net_handler rpc_net_handler;
/* Ends a peer for a reason found by this side: callbacks run now, so only from an event. */
void rpc_peer_fail(struct rpc_peer *peer, const struct err *why);
void rpc_peer_free(struct rpc_peer *peer); /* now, or once its callbacks have returned */
void rpc_peer_ready(struct rpc_peer *peer);
void rpc_send_message(struct env *env, struct net_conn *conn, const struct net_frame *head,
                      const ProtobufCMessage *message);

/* ---- server ---- */
/* The handshake of this peer is over, well or not. */
void rpc_server_settled(struct rpc_server *server);
void rpc_server_forget(struct rpc_server *server, struct rpc_peer *peer);
void rpc_server_refused(struct rpc_server *server, const char *who, const struct err *why);
const struct rpc_server_options *rpc_server_options_of(const struct rpc_server *server);

/* ---- handshake ---- */
void rpc_nonce(struct env *env, uint8_t ret_nonce[RPC_NONCE_BYTES]);
void rpc_send_hello(struct env *env, struct net_conn *conn, const struct rpc_identity *self,
                    const uint8_t nonce[RPC_NONCE_BYTES]);
void rpc_send_challenge(struct env *env, struct net_conn *conn, const uint8_t secret[32],
                        const uint8_t nonce[RPC_NONCE_BYTES], const ProtobufCBinaryData *hello_nonce);
void rpc_send_welcome(struct env *env, struct net_conn *conn, uint64_t fence);
/* Checks the other side's proof and sends ours. */
int rpc_answer_challenge(struct env *env, struct net_conn *conn, const struct net_frame *frame,
                         const struct rpc_identity *self, const uint8_t nonce[RPC_NONCE_BYTES],
                         struct err *err) MUST_CHECK;
int rpc_check_proof(const struct net_frame *frame, const uint8_t secret[32],
                    const uint8_t nonce[RPC_NONCE_BYTES], struct err *err) MUST_CHECK;
/* TLS: the secret of a job for TLS, and its name, from role, job, epoch and secret of identity. */
void rpc_psk(const struct rpc_identity *identity, char ret_name[NET_PSK_NAME_MAX + 1],
             uint8_t ret_psk[NET_PSK_BYTES]);
/* Job and epoch of a name that a worker gave its JobManager; false: it is none. */
bool rpc_psk_parse(const char *name, struct rpc_identity *ret);
/* conn goes on under TLS by the secret of identity. */
void rpc_secure(struct env *env, struct net_conn *conn, const struct rpc_identity *identity, bool accepting);
/* The other side of conn has proved the secret of identity. */
bool rpc_proven(struct env *env, struct net_conn *conn, const struct rpc_identity *identity);
/* Fills err from a REFUSE. */
void rpc_read_refuse(const struct net_frame *frame, const char *peer, struct err *err);
/* One frame of a peer's handshake; ends with rpc_peer_ready or rpc_peer_fail. */
void rpc_handshake_frame(struct rpc_peer *peer, const struct net_frame *frame);

#endif
