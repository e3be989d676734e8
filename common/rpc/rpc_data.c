/*
 * rpc_data.c - the handshake of a data connection between two workers of one job.
 *
 * The connecting worker sends HELLO (the preamble that the supervisor reads in clear), both prove the job's secret,
 * the accepting one says WELCOME; then the connection is handed to the exchange.
 * Thread: the loop.
 */
#include <string.h>

#include "common/rpc/rpc_private.h"

struct rpc_data {
    uint32_t magic;
    struct env *env;
    struct net_conn *conn; /* NULL once it is gone or handed over */
    bool accepting;
    bool proof_sent; /* connecting side: a WELCOME is expected now */
    struct rpc_identity self, peer;
    uint8_t nonce[RPC_NONCE_BYTES];
    char *name; /* of the other side, for messages */
    rpc_data_done_fn *done;
    void *arg;
    struct env_timer timer; /* end of the handshake; fires at once when failed is set */
    struct err failed;
};

static void data_free(struct rpc_data *data)
{
    env_timer_cancel(data->env, &data->timer);
    mem_free(data->name);
    memset(&data->self, 0, sizeof(data->self));
    data->magic = 0;
    mem_free(data);
}

static void data_fail(struct rpc_data *data, const struct err *why)
{
    if (data->conn)
        data->env->net->ops->close(data->conn);
    data->conn = NULL;
    data->done(data->arg, NULL, &data->peer, why);
    data_free(data);
}

static void data_succeed(struct rpc_data *data)
{
    struct net_conn *conn = data->conn;

    data->conn = NULL;
    data->env->net->ops->set_limit(conn, NET_PAYLOAD_MAX);
    data->done(data->arg, conn, &data->peer, NULL);
    data_free(data);
}

static void on_timer(struct env_timer *timer)
{
    struct rpc_data *data = CONTAINER_OF(timer, struct rpc_data, timer);
    struct err err = data->failed;

    if (err.code == 0)
        err_set(&err, ERR_TIMEOUT, "%s did not finish the handshake within %d s", data->name,
                RPC_HANDSHAKE_MS / 1000);
    data_fail(data, &err);
}

static int connecting_frame(struct rpc_data *data, const struct net_frame *frame, struct err *err)
{
    int code;

    if (frame->kind == NET_REFUSE) {
        rpc_read_refuse(frame, data->name, err);
        return err->code;
    }
    if (frame->kind == NET_CHALLENGE && !data->proof_sent && !data->self.tls) {
        code = rpc_answer_challenge(data->env, data->conn, frame, &data->self, data->nonce, err);
        data->proof_sent = code == 0;
        return code;
    }
    if (frame->kind == NET_WELCOME && data->proof_sent &&
        (!data->self.tls || rpc_proven(data->env, data->conn, &data->self))) {
        data_succeed(data);
        return 0;
    }
    return err_set(err, ERR_PROTOCOL, "unexpected frame of kind %u in the handshake", frame->kind);
}

static int check_preamble(const struct rpc_data *data, const Rask__Control__Hello *hello,
                          struct rpc_identity *ret_peer, struct err *err)
{
    char id[ID_TEXT_MAX];
    int code = rpc_check_hello(hello, "worker", ret_peer, err);

    if (code < 0)
        return code;
    if (ret_peer->role != RASK__CONTROL__ROLE__PEER_WORKER)
        return err_set(err, ERR_PROTOCOL, "only workers may connect to a data port");
    if (!id_equal(&ret_peer->job_id, &data->self.job_id) ||
        ret_peer->job_epoch != data->self.job_epoch)
        return err_set(err, ERR_STALE, "this worker runs job %s with epoch %llu, not what was asked for",
                       id_format(&data->self.job_id, id), (unsigned long long)data->self.job_epoch);
    return 0;
}

/* TLS: what the preamble said in clear, once more where nobody can have changed it. */
static int inner_hello(struct rpc_data *data, const struct net_frame *frame, struct err *err)
{
    Rask__Control__Hello *hello = NULL;
    struct rpc_identity peer;
    struct arena arena;
    int code;

    arena_init(&arena);
    if (frame->kind == NET_HELLO && rpc_proven(data->env, data->conn, &data->self))
        hello = (void *)rpc_unpack(&rask__control__hello__descriptor, frame->payload, frame->length, &arena);
    code = hello ? check_preamble(data, hello, &peer, err)
                 : err_set(err, ERR_PROTOCOL, "unexpected frame of kind %u in the handshake", frame->kind);
    if (code == 0)
        data->peer = peer;
    arena_release(&arena);
    return code;
}

static int accepting_frame(struct rpc_data *data, const struct net_frame *frame, struct err *err)
{
    int code;

    if (data->self.tls)
        code = inner_hello(data, frame, err);
    else if (frame->kind != NET_PROOF)
        code = err_set(err, ERR_PROTOCOL, "unexpected frame of kind %u in the handshake", frame->kind);
    else
        code = rpc_check_proof(frame, data->self.secret, data->nonce, err);
    if (code < 0)
        return code;
    rpc_send_welcome(data->env, data->conn, 0);
    data_succeed(data);
    return 0;
}

static void net_on_open(void *arg, struct net_conn *conn)
{
    struct rpc_data *data = MAGIC_CAST(arg, struct rpc_data, RPC_DATA_MAGIC);

    rpc_send_hello(data->env, conn, &data->self, data->nonce);
    if (!data->self.tls)
        return;
    rpc_secure(data->env, conn, &data->self, false);
    rpc_send_hello(data->env, conn, &data->self, data->nonce);
    data->proof_sent = true;
}

static void net_on_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct rpc_data *data = MAGIC_CAST(arg, struct rpc_data, RPC_DATA_MAGIC);
    struct err err = {0};
    int code;

    code = data->accepting ? accepting_frame(data, frame, &err) : connecting_frame(data, frame, &err);
    if (code == 0)
        return;
    if (data->accepting)
        rpc_refuse(data->env, conn, &err);
    if (frame->kind != NET_REFUSE)
        err_wrap(&err, "data connection with %s", data->name);
    data_fail(data, &err);
}

static void net_on_close(void *arg, struct net_conn *conn, const struct err *why)
{
    struct rpc_data *data = MAGIC_CAST(arg, struct rpc_data, RPC_DATA_MAGIC);
    struct err err = *why;

    CHECK(data->conn == conn);
    data->conn = NULL;
    err_wrap(&err, "data connection with %s", data->name);
    data_fail(data, &err);
}

static void net_on_drained(void *arg, struct net_conn *conn)
{
    (void)arg;
    (void)conn; /* a handshake never fills the queue */
}

static const struct net_handler data_net_handler = {
    .on_open = net_on_open,
    .on_frame = net_on_frame,
    .on_drained = net_on_drained,
    .on_close = net_on_close,
};

static struct rpc_data *data_new(struct env *env, const struct rpc_identity *self,
                                 rpc_data_done_fn *done, void *arg)
{
    struct rpc_data *data = MEM_NEW(struct rpc_data);

    CHECK(self->has_secret);
    data->magic = RPC_DATA_MAGIC;
    data->env = env;
    data->self = *self;
    data->self.role = RASK__CONTROL__ROLE__PEER_WORKER;
    data->peer.role = RASK__CONTROL__ROLE__PEER_WORKER;
    data->peer.job_id = self->job_id;
    data->peer.job_epoch = self->job_epoch;
    data->done = done;
    data->arg = arg;
    data->timer.cb = on_timer;
    rpc_nonce(env, data->nonce);
    return data;
}

struct rpc_data *rpc_data_connect(struct env *env, const char *address, const struct rpc_identity *self,
                                  rpc_data_done_fn *done, void *arg)
{
    struct rpc_data *data = data_new(env, self, done, arg);

    data->name = mem_printf("the worker behind %s", address);
    data->conn = env->net->ops->connect(env->net, address, &data_net_handler, data);
    env->net->ops->set_limit(data->conn, RPC_HANDSHAKE_FRAME);
    env_timer_arm_ms(env, &data->timer, RPC_HANDSHAKE_MS);
    return data;
}

struct rpc_data *rpc_data_accept(struct env *env, struct net_conn *conn, const Rask__Control__Hello *hello,
                                 const struct rpc_identity *self, rpc_data_done_fn *done, void *arg)
{
    struct rpc_data *data = data_new(env, self, done, arg);
    struct rpc_identity peer;
    struct err err = {0};

    data->accepting = true;
    data->conn = conn;
    data->name = mem_printf("worker at %s", env->net->ops->peer(conn));
    env->net->ops->set_limit(conn, RPC_HANDSHAKE_FRAME);
    env->net->ops->set_handler(conn, &data_net_handler, data);
    if (check_preamble(data, hello, &peer, &err) < 0) {
        if (!self->tls)
            rpc_refuse(env, conn, &err);
        env->net->ops->close(conn);
        data->conn = NULL;
        data->failed = err;
        env_timer_arm(env, &data->timer, 0);
        return data;
    }
    data->peer = peer;
    if (self->tls)
        rpc_secure(env, conn, &data->self, true);
    else
        rpc_send_challenge(env, conn, self->secret, data->nonce, &hello->nonce);
    env_timer_arm_ms(env, &data->timer, RPC_HANDSHAKE_MS);
    return data;
}

void rpc_data_cancel(struct rpc_data *data)
{
    if (!data)
        return;
    if (data->conn)
        data->env->net->ops->close(data->conn);
    data_free(data);
}
