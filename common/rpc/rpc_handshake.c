/*
 * rpc_handshake.c - HELLO, CHALLENGE, PROOF, WELCOME, REFUSE: who is there, the same protocol, the job's secret.
 *
 * The pieces serve both control peers (rpc.c) and data connections (rpc_data.c).  Each side proves the secret
 * with the other's nonce under a label of its own, so a proof cannot be reflected.
 * Thread: the loop.
 */
#include <string.h>

#include "common/rpc/rpc_private.h"
#include "common/security/hmac.h"

#define LABEL_SERVER "rask server"
#define LABEL_CLIENT "rask client"

void rpc_nonce(struct env *env, uint8_t ret_nonce[RPC_NONCE_BYTES])
{
    uint64_t words[2];

    words[0] = env_rand_u64(env);
    words[1] = env_rand_u64(env);
    memcpy(ret_nonce, words, RPC_NONCE_BYTES);
}

static void make_proof(const char *label, const uint8_t secret[32], const uint8_t *nonce,
                       uint8_t ret_proof[RPC_PROOF_BYTES])
{
    uint8_t text[sizeof(LABEL_SERVER) - 1 + RPC_NONCE_BYTES];
    size_t label_len = strlen(label);

    CHECK(label_len + RPC_NONCE_BYTES == sizeof(text));
    memcpy(text, label, label_len);
    memcpy(text + label_len, nonce, RPC_NONCE_BYTES);
    security_hmac_sha256(secret, 32, text, sizeof(text), ret_proof);
}

static void send_kind(struct env *env, struct net_conn *conn, enum net_kind kind,
                      const ProtobufCMessage *message)
{
    struct net_frame head = {.kind = (uint8_t)kind};

    rpc_send_message(env, conn, &head, message);
}

void rpc_send_hello(struct env *env, struct net_conn *conn, const struct rpc_identity *self,
                    const uint8_t nonce[RPC_NONCE_BYTES])
{
    Rask__Control__Hello hello = RASK__CONTROL__HELLO__INIT;
    struct rpc_identity copy = *self;
    uint8_t nonce_copy[RPC_NONCE_BYTES];

    memcpy(nonce_copy, nonce, sizeof(nonce_copy));
    hello.protocol = RPC_PROTOCOL;
    hello.version = (char *)RASK_VERSION;
    hello.role = self->role;
    hello.has_nonce = true;
    hello.nonce = (ProtobufCBinaryData){sizeof(nonce_copy), nonce_copy};
    hello.has_taskmanager_id = !id_is_zero(&copy.taskmanager_id);
    hello.taskmanager_id = rpc_id_data(&copy.taskmanager_id);
    if (self->role != RASK__CONTROL__ROLE__TASKMANAGER) {
        hello.has_job_id = true;
        hello.job_id = rpc_id_data(&copy.job_id);
        hello.has_job_epoch = true;
        hello.job_epoch = self->job_epoch;
        hello.has_worker_index = true;
        hello.worker_index = self->worker_index;
        hello.has_to_process = hello.has_region = hello.has_attempt =
            self->role == RASK__CONTROL__ROLE__PEER_WORKER;
        hello.to_process = self->to_process;
        hello.region = self->region;
        hello.attempt = self->attempt;
    }
    send_kind(env, conn, NET_HELLO, &hello.base);
}

void rpc_send_challenge(struct env *env, struct net_conn *conn, const uint8_t secret[32],
                        const uint8_t nonce[RPC_NONCE_BYTES], const ProtobufCBinaryData *hello_nonce)
{
    Rask__Control__Challenge challenge = RASK__CONTROL__CHALLENGE__INIT;
    uint8_t nonce_copy[RPC_NONCE_BYTES], proof[RPC_PROOF_BYTES];

    CHECK(hello_nonce->len == RPC_NONCE_BYTES);
    memcpy(nonce_copy, nonce, sizeof(nonce_copy));
    make_proof(LABEL_SERVER, secret, hello_nonce->data, proof);
    challenge.nonce = (ProtobufCBinaryData){sizeof(nonce_copy), nonce_copy};
    challenge.has_proof = true;
    challenge.proof = (ProtobufCBinaryData){sizeof(proof), proof};
    send_kind(env, conn, NET_CHALLENGE, &challenge.base);
}

void rpc_send_welcome(struct env *env, struct net_conn *conn, uint64_t fence)
{
    Rask__Control__Welcome welcome = RASK__CONTROL__WELCOME__INIT;

    welcome.protocol = RPC_PROTOCOL;
    welcome.version = (char *)RASK_VERSION;
    welcome.fence = fence;
    send_kind(env, conn, NET_WELCOME, &welcome.base);
}

void rpc_refuse(struct env *env, struct net_conn *conn, const struct err *why)
{
    Rask__Control__Failure failure = RASK__CONTROL__FAILURE__INIT;

    failure.code = why->code;
    failure.text = (char *)why->text;
    send_kind(env, conn, NET_REFUSE, &failure.base);
}

static const char *role_name(uint32_t role)
{
    switch (role) {
    case RASK__CONTROL__ROLE__TASKMANAGER:
        return "TaskManager";
    case RASK__CONTROL__ROLE__WORKER:
    case RASK__CONTROL__ROLE__PEER_WORKER:
        return "worker";
    default:
        return "peer";
    }
}

int rpc_check_hello(const Rask__Control__Hello *hello, const char *here, struct rpc_identity *ret,
                    struct err *err)
{
    uint32_t role = (uint32_t)hello->role;
    struct rpc_identity identity = {.role = hello->role};

    if (hello->protocol != RPC_PROTOCOL)
        return err_set(err, ERR_VERSION,
                       "%s speaks protocol %u (version %.40s), this %s protocol %u (version %s): "
                       "install the same version on both",
                       role_name(role), hello->protocol, hello->version, here, RPC_PROTOCOL,
                       RASK_VERSION);
    if (role < RASK__CONTROL__ROLE__TASKMANAGER || role > RASK__CONTROL__ROLE__PEER_WORKER)
        return err_set(err, ERR_PROTOCOL, "handshake names unknown role %u", role);
    if (hello->has_taskmanager_id && !rpc_id(&hello->taskmanager_id, &identity.taskmanager_id))
        return err_set(err, ERR_PROTOCOL, "TaskManager id in the handshake has %zu bytes, not 16",
                       hello->taskmanager_id.len);
    if (role != RASK__CONTROL__ROLE__TASKMANAGER) {
        if (!hello->has_job_id || !rpc_id(&hello->job_id, &identity.job_id))
            return err_set(err, ERR_PROTOCOL, "handshake of a worker without the id of its job");
        if (!hello->has_nonce || hello->nonce.len != RPC_NONCE_BYTES)
            return err_set(err, ERR_PROTOCOL, "handshake of a worker without a nonce of %d bytes",
                           RPC_NONCE_BYTES);
        identity.job_epoch = hello->job_epoch;
        identity.worker_index = hello->worker_index;
        identity.to_process = hello->to_process;
        identity.region = hello->region;
        identity.attempt = hello->attempt;
    }
    *ret = identity;
    return 0;
}

static bool proof_is(const ProtobufCBinaryData *proof, const char *label, const uint8_t secret[32],
                     const uint8_t nonce[RPC_NONCE_BYTES])
{
    uint8_t expected[RPC_PROOF_BYTES];

    make_proof(label, secret, nonce, expected);
    return proof->len == RPC_PROOF_BYTES && security_equal(proof->data, expected, RPC_PROOF_BYTES);
}

int rpc_answer_challenge(struct env *env, struct net_conn *conn, const struct net_frame *frame,
                         const struct rpc_identity *self, const uint8_t nonce[RPC_NONCE_BYTES],
                         struct err *err)
{
    struct arena arena;
    Rask__Control__Challenge *challenge;
    Rask__Control__Proof proof = RASK__CONTROL__PROOF__INIT;
    uint8_t bytes[RPC_PROOF_BYTES];
    int code = 0;

    arena_init(&arena);
    challenge = (void *)rpc_unpack(&rask__control__challenge__descriptor, frame->payload,
                                   frame->length, &arena);
    if (!challenge || challenge->nonce.len != RPC_NONCE_BYTES)
        code = err_set(err, ERR_PROTOCOL, "malformed challenge");
    else if (!self->has_secret)
        code = err_set(err, ERR_AUTH, "asked for the secret of a job that this side does not know");
    else if (!challenge->has_proof || !proof_is(&challenge->proof, LABEL_SERVER, self->secret, nonce))
        code = err_set(err, ERR_AUTH, "the other side does not know the secret of the job");
    if (code == 0) {
        make_proof(LABEL_CLIENT, self->secret, challenge->nonce.data, bytes);
        proof.proof = (ProtobufCBinaryData){sizeof(bytes), bytes};
        send_kind(env, conn, NET_PROOF, &proof.base);
    }
    arena_release(&arena);
    return code;
}

int rpc_check_proof(const struct net_frame *frame, const uint8_t secret[32],
                    const uint8_t nonce[RPC_NONCE_BYTES], struct err *err)
{
    struct arena arena;
    Rask__Control__Proof *proof;
    int code = 0;

    arena_init(&arena);
    proof = (void *)rpc_unpack(&rask__control__proof__descriptor, frame->payload, frame->length, &arena);
    if (!proof)
        code = err_set(err, ERR_PROTOCOL, "malformed proof");
    else if (!proof_is(&proof->proof, LABEL_CLIENT, secret, nonce))
        code = err_set(err, ERR_AUTH, "wrong proof of the job's secret");
    arena_release(&arena);
    return code;
}

void rpc_read_refuse(const struct net_frame *frame, const char *peer, struct err *err)
{
    struct arena arena;
    Rask__Control__Failure *failure;

    arena_init(&arena);
    failure = (void *)rpc_unpack(&rask__control__failure__descriptor, frame->payload, frame->length,
                                 &arena);
    if (!failure)
        err_set(err, ERR_PROTOCOL, "%s refused the connection without a readable reason", peer);
    else
        err_set(err, failure->code < 0 ? failure->code : ERR_PROTOCOL,
                "%s refused the connection: %s", peer, failure->text);
    arena_release(&arena);
}

/* ---- a control peer's handshake ---- */

static void set_name(struct rpc_peer *peer)
{
    char id[ID_TEXT_MAX];
    const char *at = peer->env->net->ops->peer(peer->conn);

    mem_free(peer->name);
    if (peer->identity.role == RASK__CONTROL__ROLE__TASKMANAGER)
        peer->name = mem_printf("taskmanager %s at %s",
                                id_format(&peer->identity.taskmanager_id, id), at);
    else
        peer->name = mem_printf("worker %u of job %s at %s", peer->identity.worker_index,
                                id_format(&peer->identity.job_id, id), at);
}

static void welcome(struct rpc_peer *peer)
{
    peer->env->net->ops->set_limit(peer->conn, RPC_FRAME_MAX);
    rpc_send_welcome(peer->env, peer->conn, peer->fence);
    rpc_peer_ready(peer);
}

/* Accepting side. */
static int on_hello(struct rpc_peer *peer, const struct net_frame *frame, struct arena *arena,
                    struct err *err)
{
    const struct rpc_server_options *options = rpc_server_options_of(peer->server);
    struct rpc_identity *identity = &peer->identity;
    char id[ID_TEXT_MAX];
    Rask__Control__Hello *hello;
    int code;

    hello = (void *)rpc_unpack(&rask__control__hello__descriptor, frame->payload, frame->length, arena);
    if (!hello)
        return err_set(err, ERR_PROTOCOL, "malformed handshake");
    code = rpc_check_hello(hello, "JobManager", identity, err);
    if (code < 0)
        return code;
    set_name(peer);
    if (identity->role == RASK__CONTROL__ROLE__PEER_WORKER)
        return err_set(err, ERR_PROTOCOL, "workers do not talk to each other on the JobManager's port");
    if (identity->role == RASK__CONTROL__ROLE__TASKMANAGER) {
        if (options->tls && !rpc_proven(peer->env, peer->conn, identity))
            return err_set(err, ERR_AUTH, "a TaskManager has to show a certificate");
        welcome(peer);
        return 0;
    }
    if (!options->secret_of ||
        !options->secret_of(options->arg, &identity->job_id, identity->job_epoch, identity->secret))
        return err_set(err, ERR_STALE, "no job %s with epoch %llu runs on this JobManager",
                       id_format(&identity->job_id, id), (unsigned long long)identity->job_epoch);
    identity->has_secret = true;
    if (options->tls) {
        if (!rpc_proven(peer->env, peer->conn, identity))
            return err_set(err, ERR_AUTH, "the secret of another job was proved");
        welcome(peer);
        return 0;
    }
    rpc_nonce(peer->env, peer->nonce);
    rpc_send_challenge(peer->env, peer->conn, identity->secret, peer->nonce, &hello->nonce);
    peer->state = RPC_PEER_PROOF;
    return 0;
}

/* Connecting side. */
static int on_welcome(struct rpc_peer *peer, const struct net_frame *frame, struct arena *arena,
                      struct err *err)
{
    Rask__Control__Welcome *message;

    if (peer->identity.tls ? !rpc_proven(peer->env, peer->conn, &peer->identity)
                           : peer->identity.has_secret && peer->state != RPC_PEER_PROOF)
        return err_set(err, ERR_AUTH, "the other side did not prove that it %s",
                       peer->identity.has_secret ? "knows the job's secret" : "has a certificate");
    message = (void *)rpc_unpack(&rask__control__welcome__descriptor, frame->payload, frame->length,
                                 arena);
    if (!message)
        return err_set(err, ERR_PROTOCOL, "malformed welcome");
    if (message->protocol != RPC_PROTOCOL)
        return err_set(err, ERR_VERSION,
                       "JobManager speaks protocol %u (version %.40s), this %s protocol %u (version "
                       "%s): install the same version on both",
                       message->protocol, message->version, role_name((uint32_t)peer->identity.role),
                       RPC_PROTOCOL, RASK_VERSION);
    peer->fence = message->fence;
    peer->env->net->ops->set_limit(peer->conn, RPC_FRAME_MAX);
    rpc_peer_ready(peer);
    return 0;
}

static int connecting_frame(struct rpc_peer *peer, const struct net_frame *frame, struct arena *arena,
                            struct err *err)
{
    int code;

    switch (frame->kind) {
    case NET_CHALLENGE:
        if (peer->state != RPC_PEER_HELLO || peer->identity.tls)
            break;
        code = rpc_answer_challenge(peer->env, peer->conn, frame, &peer->identity, peer->nonce, err);
        if (code == 0)
            peer->state = RPC_PEER_PROOF;
        return code;
    case NET_WELCOME:
        return on_welcome(peer, frame, arena, err);
    case NET_REFUSE:
        rpc_read_refuse(frame, peer->name, err);
        return err->code;
    default:
        break;
    }
    return err_set(err, ERR_PROTOCOL, "unexpected frame of kind %u in the handshake", frame->kind);
}

static int accepting_frame(struct rpc_peer *peer, const struct net_frame *frame, struct arena *arena,
                           struct err *err)
{
    int code;

    if (frame->kind == NET_HELLO && peer->state == RPC_PEER_HELLO)
        return on_hello(peer, frame, arena, err);
    if (frame->kind == NET_PROOF && peer->state == RPC_PEER_PROOF) {
        code = rpc_check_proof(frame, peer->identity.secret, peer->nonce, err);
        if (code == 0)
            welcome(peer);
        return code;
    }
    return err_set(err, ERR_PROTOCOL, "unexpected frame of kind %u in the handshake", frame->kind);
}

void rpc_handshake_frame(struct rpc_peer *peer, const struct net_frame *frame)
{
    struct err err = {0};
    struct arena arena;
    int code;

    arena_init(&arena);
    if (peer->server)
        code = accepting_frame(peer, frame, &arena, &err);
    else
        code = connecting_frame(peer, frame, &arena, &err);
    arena_release(&arena);
    if (code == 0 || peer->state == RPC_PEER_CLOSED)
        return;
    if (peer->server)
        rpc_refuse(peer->env, peer->conn, &err);
    else if (frame->kind != NET_REFUSE)
        err_wrap(&err, "handshake with %s", peer->name);
    rpc_peer_fail(peer, &err);
}
