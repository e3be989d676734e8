/*
 * rpc.h - calls between daemons: protobuf-c messages over framed connections, on env and net alone.
 *
 * A peer is one connection with a finished handshake; both sides may call.  One request id per call, a
 * deadline per call, cancellation, pings both ways.  A broken connection fails every pending call with
 * ERR_CLOSED (outcome unknown) and tells the owner once.  Every request carries the fencing token of the leader's
 * term (0 before it is known); a fenced method whose token differs is answered with ERR_STALE and never reaches the handler.
 *
 * Frame use: NET_REQUEST stream = request id, flags = method, epoch = fence; NET_RESPONSE stream = request id,
 * flags = 0 ok / 1 Failure; NET_CANCEL stream = request id.  Handshake: HELLO -> [CHALLENGE -> PROOF ->] WELCOME or REFUSE.
 * Under TLS its handshake has proved the certificate or the secret before HELLO, and nothing is challenged.
 */
#ifndef RPC_RPC_H
#define RPC_RPC_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/id.h"
#include "common/base/mem.h"
#include "common/env/env.h"
#include "common/net/net.h"
#include "proto/control.pb-c.h"

#define RPC_PROTOCOL 1
#define RPC_FRAME_MAX (16u << 20)

enum { RPC_FENCED = 1, RPC_IDEMPOTENT = 2 };

/* method, number, request, response, who may call, deadline ms, flags. Numbers are stable. */
#define RPC_TABLE(X)                                                                                              \
    X(REGISTER_TASKMANAGER, 1, register_task_manager, register_task_manager_ok, TASKMANAGER, 10000, RPC_IDEMPOTENT) \
    X(TASKMANAGER_REPORT, 2, task_manager_report, empty, TASKMANAGER, 10000, RPC_FENCED | RPC_IDEMPOTENT)         \
    X(WORKER_EXITED, 3, worker_exited, empty, TASKMANAGER, 30000, RPC_FENCED | RPC_IDEMPOTENT)                    \
    X(START_WORKER, 4, start_worker, start_worker_ok, JOBMANAGER, 10000, RPC_FENCED | RPC_IDEMPOTENT)             \
    X(STOP_WORKER, 5, stop_worker, empty, JOBMANAGER, 10000, RPC_FENCED | RPC_IDEMPOTENT)                         \
    X(READ_FILE, 6, read_file, read_file_ok, JOBMANAGER, 10000, RPC_FENCED | RPC_IDEMPOTENT)                      \
    X(LIST_FILES, 7, list_files, list_files_ok, JOBMANAGER, 10000, RPC_FENCED | RPC_IDEMPOTENT)                   \
    X(JOB_OVER, 8, job_over, empty, JOBMANAGER, 10000, RPC_FENCED | RPC_IDEMPOTENT)                               \
    X(REGISTER_WORKER, 10, register_worker, empty, WORKER, 10000, RPC_FENCED | RPC_IDEMPOTENT)                    \
    X(TASK_STATE_CHANGED, 11, task_state_changed, empty, WORKER, 30000, RPC_FENCED | RPC_IDEMPOTENT)              \
    X(OPERATOR_EVENT, 12, operator_event, empty, WORKER, 10000, RPC_FENCED)                                       \
    X(GET_BLOB, 13, get_blob, get_blob_ok, WORKER, 30000, RPC_FENCED | RPC_IDEMPOTENT)                            \
    X(PLAN_BUILT, 14, plan_built, empty, WORKER, 30000, RPC_FENCED | RPC_IDEMPOTENT)                              \
    X(DEPLOY, 20, deploy, empty, JOBMANAGER, 30000, RPC_FENCED | RPC_IDEMPOTENT)                                  \
    X(CANCEL_TASKS, 21, cancel_tasks, empty, JOBMANAGER, 10000, RPC_FENCED | RPC_IDEMPOTENT)                      \
    X(GET_METRICS, 22, get_metrics, worker_metrics, JOBMANAGER, 5000, RPC_FENCED | RPC_IDEMPOTENT)                \
    X(DELIVER_EVENT, 23, operator_event, empty, JOBMANAGER, 10000, RPC_FENCED)                                    \
    X(ACK_CHECKPOINT, 15, ack_checkpoint, empty, WORKER, 30000, RPC_FENCED | RPC_IDEMPOTENT)                      \
    X(CHECKPOINT_WANTED, 16, checkpoint_wanted, empty, WORKER, 10000, RPC_FENCED | RPC_IDEMPOTENT)                \
    X(TRIGGER_CHECKPOINT, 24, trigger_checkpoint, empty, JOBMANAGER, 30000, RPC_FENCED | RPC_IDEMPOTENT)          \
    X(COMPLETE_CHECKPOINT, 25, complete_checkpoint, empty, JOBMANAGER, 30000, RPC_FENCED | RPC_IDEMPOTENT)        \
    X(ABORT_CHECKPOINT, 26, abort_checkpoint, abort_checkpoint_ok, JOBMANAGER, 2000, RPC_FENCED | RPC_IDEMPOTENT)

enum rpc_method {
#define RPC_ENUM_(method, number, ...) RPC_##method = number,
    RPC_TABLE(RPC_ENUM_)
#undef RPC_ENUM_
    RPC_METHOD_MAX = 32
};

struct rpc_peer;    /* one connection; owned by rpc until closed */
struct rpc_request; /* an incoming call that wants exactly one rpc_reply or rpc_fail (a NULL-safe no-op after close) */

struct rpc_handler {
    /* handshake finished; the token of the other side's term is rpc_fence(peer) */
    void (*on_ready)(void *arg, struct rpc_peer *peer);
    /* message: borrowed until it returns */
    void (*on_request)(void *arg, struct rpc_peer *peer, enum rpc_method method, const ProtobufCMessage *message,
                       struct rpc_request *request);
    /* last callback; pending calls have failed before. why names peer and reason (refused handshake: its text) */
    void (*on_close)(void *arg, struct rpc_peer *peer, const struct err *why);
};

struct rpc_identity {            /* what this side is; copied */
    Rask__Control__Role role;    /* ignored on the accepting side */
    struct id job_id;            /* WORKER, PEER_WORKER */
    uint64_t job_epoch;
    uint32_t worker_index;
    uint32_t to_process, region, attempt; /* PEER_WORKER: Hello's */
    struct id taskmanager_id;
    uint8_t secret[32];          /* WORKER, PEER_WORKER */
    bool has_secret;
    struct net_tls *tls;         /* borrowed; connections are TLS then. NULL: in clear */
};

/* ---- connecting side. on_ready or on_close follows. ---- */
struct rpc_peer *rpc_connect(struct env *env, const char *address, const struct rpc_identity *identity,
                             const struct rpc_handler *handler, void *arg);

/* ---- accepting side ---- */
struct rpc_server;
struct rpc_server_options {
    const char *address;
    bool allow_plaintext;  /* security.allow-plaintext: without it and tls only loopback addresses are accepted */
    struct net_tls *tls;   /* borrowed; TaskManagers show a certificate, workers prove their secret. NULL: in clear */
    uint64_t fence;        /* this leader's token */
    uint32_t heartbeat_interval_ms, heartbeat_timeout_ms;
    /* Fills the secret of (job, epoch) for WORKER peers; false: unknown, the peer is refused. */
    bool (*secret_of)(void *arg, const struct id *job_id, uint64_t job_epoch, uint8_t ret_secret[32]);
    const struct rpc_handler *handler; /* copied; a peer is shown to it once its handshake is over */
    void *arg;
};
/* A server pauses a peer that does not read its answers; the connecting side always reads, so the two cannot wait for
 * each other. */
int rpc_server_new(struct env *env, const struct rpc_server_options *options, struct rpc_server **ret,
                   struct err *err) MUST_CHECK;
const char *rpc_server_address(struct rpc_server *server);
void rpc_server_free(struct rpc_server *server); /* closes all peers, without callbacks */

/* ---- peers ---- */
const char *rpc_peer_name(struct rpc_peer *peer); /* for messages: "taskmanager 1a2b.. at 127.0.0.1:4242" */
const struct rpc_identity *rpc_peer_identity(struct rpc_peer *peer); /* of the side that connected; on both sides */
uint64_t rpc_fence(struct rpc_peer *peer);
void rpc_set_arg(struct rpc_peer *peer, void *arg); /* of the handler callbacks from now on */
void rpc_set_heartbeat(struct rpc_peer *peer, uint32_t interval_ms, uint32_t timeout_ms);
void rpc_close(struct rpc_peer *peer); /* no callback after it; pending calls are dropped silently */

/* Calls are legal from on_ready until on_close. The answer, or an error (then response is NULL). response is borrowed. Not called after rpc_call_cancel. */
typedef void rpc_done_fn(void *arg, const struct err *error, const ProtobufCMessage *response);
/* deadline_ms 0: the table's. Returns an id for rpc_call_cancel. done never runs inside the call; NULL: nobody waits for the answer. */
uint32_t rpc_call(struct rpc_peer *peer, enum rpc_method method, const ProtobufCMessage *message,
                  uint32_t deadline_ms, rpc_done_fn *done, void *arg);
void rpc_call_cancel(struct rpc_peer *peer, uint32_t call);
void rpc_reply(struct rpc_request *request, const ProtobufCMessage *response); /* request is consumed */
void rpc_fail(struct rpc_request *request, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void rpc_ok(struct rpc_request *request); /* an Empty */

/* Bytes waiting to be sent: callers of bulk answers hold back above NET_HIGH_WATER_BYTES. */
size_t rpc_queued_bytes(struct rpc_peer *peer);

struct rpc_method_stats {
    uint64_t calls, failures, bytes_in, bytes_out;
};
/* Of all peers of a server, or of one peer on the connecting side. calls: made and received. */
const struct rpc_method_stats *rpc_server_stats(const struct rpc_server *server, enum rpc_method method);
const struct rpc_method_stats *rpc_peer_stats(const struct rpc_peer *peer, enum rpc_method method);
const char *rpc_method_name(enum rpc_method method);

/* Unpacks with limits (no frame over RPC_FRAME_MAX, arena allocated); NULL when malformed. */
ProtobufCMessage *rpc_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
                             struct arena *arena);

/* The 16 bytes of an id in a message; false (and zeros) when the field has another length. */
bool rpc_id(const ProtobufCBinaryData *data, struct id *ret_id);
ProtobufCBinaryData rpc_id_data(const struct id *id); /* borrows id */

/* What a HELLO says: protocol, role, lengths; ERR_VERSION names both versions. here: what this side is, for the
 * sentence ("JobManager", "TaskManager", "worker"). ret is filled without a secret. */
int rpc_check_hello(const Rask__Control__Hello *hello, const char *here, struct rpc_identity *ret,
                    struct err *err) MUST_CHECK;
/* Sends a REFUSE; the caller closes the connection then (what is queued still leaves). */
void rpc_refuse(struct env *env, struct net_conn *conn, const struct err *why);

/*
 * Handshake of data connections between workers: the same HELLO / CHALLENGE / PROOF, driven by the worker on a net_conn.
 * With self->tls: HELLO in clear, which says no more than where to pass the connection; then TLS by the job's secret, and
 * inside HELLO once more, which is believed, and WELCOME.
 * done is called once, never inside the call.  error NULL: both sides have proved the secret, conn is the caller's and
 * its handler has to be set before done returns.  Else conn is NULL.  peer is borrowed: on the accepting side what the
 * other one said of itself, on the connecting side job and epoch only.
 */
struct rpc_data; /* owned by rpc; invalid once done was called */
typedef void rpc_data_done_fn(void *arg, struct net_conn *conn, const struct rpc_identity *peer, const struct err *error);
struct rpc_data *rpc_data_connect(struct env *env, const char *address, const struct rpc_identity *self,
                                  rpc_data_done_fn *done, void *arg);
/* hello: the preamble that the supervisor has read, borrowed. conn is taken. */
struct rpc_data *rpc_data_accept(struct env *env, struct net_conn *conn, const Rask__Control__Hello *hello,
                                 const struct rpc_identity *self, rpc_data_done_fn *done, void *arg);
void rpc_data_cancel(struct rpc_data *data); /* done will not be called; the connection is closed */

#endif
