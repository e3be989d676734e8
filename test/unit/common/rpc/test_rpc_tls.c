/* test_rpc_tls.c - who is let in under TLS: TaskManagers by certificate, workers by their job's secret, on real sockets. */
#include "common/rpc/rpc.h"

#include <sys/resource.h>

#include "common/rpc/rpc_private.h"
#include "test/unit/loop.h"

#include "test/unit/common/net/tls_files.h"

#define FENCE 77u

struct fixture {
    struct env *env;
    struct tls_files files;
    struct net_tls *daemon, *worker; /* certificates; secrets alone */
    struct rpc_server *server;
    int ready, server_closed, client_ready, client_closed, frames;
    struct err client_why;
    struct rpc_peer *client;
    /* data connections */
    struct net_listener *listener;
    int accept_done, connect_done, forge_index;
    struct net_conn *accepted, *connected, *raw;
    struct rpc_identity acceptor, accepted_peer;
    struct err accept_err, connect_err;
    /* a peer that says what it should not */
    struct rpc_identity proves, says;
    int raw_closed, raw_frames;
};

static const uint8_t secret[32] = {1, 2, 3};

static bool secret_of(void *arg, const struct id *job_id, uint64_t job_epoch, uint8_t ret_secret[32])
{
    (void)arg;
    memcpy(ret_secret, secret, 32);
    ret_secret[31] = job_id->bytes[0];
    return (job_id->bytes[0] == 7 || job_id->bytes[0] == 8) && job_epoch == 3;
}

static struct rpc_identity worker_of(struct fixture *f, uint8_t job)
{
    struct rpc_identity w = {.role = RASK__CONTROL__ROLE__WORKER, .job_epoch = 3, .has_secret = true,
                             .worker_index = 4, .tls = f->worker};

    w.job_id.bytes[0] = job;
    memcpy(w.secret, secret, 32);
    w.secret[31] = job;
    return w;
}

static void on_ready(void *arg, struct rpc_peer *peer)
{
    (void)peer;
    ((struct fixture *)arg)->ready++;
}

static void on_close(void *arg, struct rpc_peer *peer, const struct err *why)
{
    (void)peer;
    (void)why;
    ((struct fixture *)arg)->server_closed++;
}

static const struct rpc_handler server_handler = {.on_ready = on_ready, .on_close = on_close};

static void client_ready(void *arg, struct rpc_peer *peer)
{
    assert_int_equal(rpc_fence(peer), FENCE);
    ((struct fixture *)arg)->client_ready++;
}

static void client_closed(void *arg, struct rpc_peer *peer, const struct err *why)
{
    struct fixture *f = arg;

    (void)peer;
    f->client_why = *why;
    f->client = NULL;
    f->client_closed++;
}

static const struct rpc_handler client_handler = {.on_ready = client_ready, .on_close = client_closed};

static void start(struct fixture *f, bool with_tls)
{
    struct rpc_server_options options = {.address = "127.0.0.1:0", .fence = FENCE, .secret_of = secret_of,
                                         .handler = &server_handler, .arg = f};
    struct err err;

    memset(f, 0, sizeof(*f));
    tls_files_new(&f->files, -60, 86400);
    f->daemon = tls_files_context(&f->files);
    f->worker = tls_files_secret_context();
    f->env = loop_new(false);
    if (with_tls)
        options.tls = f->daemon;
    assert_int_equal(rpc_server_new(f->env, &options, &f->server, &err), 0);
}

static void end(struct fixture *f)
{
    const struct net_ops *ops = f->env->net->ops;

    if (f->client)
        rpc_close(f->client);
    if (f->accepted)
        ops->close(f->accepted);
    if (f->connected)
        ops->close(f->connected);
    if (f->raw)
        ops->close(f->raw);
    if (f->listener)
        ops->listener_close(f->listener);
    rpc_server_free(f->server);
    env_libevent_free(f->env);
    tls_context_free(f->daemon);
    tls_context_free(f->worker);
    tls_files_end(&f->files);
}

static void connect_as(struct fixture *f, const struct rpc_identity *identity)
{
    f->client = rpc_connect(f->env, rpc_server_address(f->server), identity, &client_handler, f);
}

static void refused(struct fixture *f, const struct rpc_identity *identity, const char *text)
{
    connect_as(f, identity);
    loop_until(f->env, &f->client_closed, 1);
    assert_int_equal(f->ready + f->client_ready, 0);
    if (!strstr(f->client_why.text, text))
        fail_msg("no \"%s\" in \"%s\"", text, f->client_why.text);
    end(f);
}

static void daemons_and_workers_come_in(void **state)
{
    struct rpc_identity tm = {.role = RASK__CONTROL__ROLE__TASKMANAGER}, w;
    struct fixture f;

    (void)state;
    start(&f, true);
    tm.tls = f.daemon;
    connect_as(&f, &tm);
    loop_until(f.env, &f.client_ready, 1);
    rpc_close(f.client);
    w = worker_of(&f, 7);
    connect_as(&f, &w);
    loop_until(f.env, &f.client_ready, 2);
    loop_until(f.env, &f.ready, 2);
    end(&f);
}

static void strangers_do_not(void **state)
{
    struct rpc_identity tm = {.role = RASK__CONTROL__ROLE__TASKMANAGER}, w;
    struct tls_files other;
    struct net_tls *stranger;
    struct fixture f;

    (void)state;
    start(&f, true);
    refused(&f, &tm, "connection"); /* in clear */
    start(&f, true);
    tls_files_new(&other, -60, 86400);
    tm.tls = stranger = tls_files_context(&other);
    refused(&f, &tm, "certificate is not accepted");
    tls_context_free(stranger);
    tls_files_end(&other);

    start(&f, true);
    w = worker_of(&f, 7);
    w.secret[0] ^= 1;
    refused(&f, &w, "another job secret");
    start(&f, true);
    w = worker_of(&f, 7);
    w.job_epoch = 4; /* one that ended, or never was */
    refused(&f, &w, "did not prove that it knows the job's secret");
    start(&f, true);
    w = worker_of(&f, 7);
    w.tls = NULL;
    refused(&f, &w, "connection");
    start(&f, false); /* a JobManager in clear: the client says why */
    tm.tls = f.daemon;
    refused(&f, &tm, "in the middle of the TLS handshake");
}

/* ---- peers that prove one thing and say another ---- */

static void raw_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    (void)conn;
    ((struct fixture *)arg)->raw_frames += frame->kind != NET_REFUSE;
}

static void raw_closed(void *arg, struct net_conn *conn, const struct err *why)
{
    struct fixture *f = arg;

    (void)conn;
    f->connect_err = *why;
    f->raw = NULL;
    f->raw_closed++;
}

static const struct net_handler raw_handler = {.on_frame = raw_frame, .on_close = raw_closed};

static void proves_and_says(uint8_t proved_job, enum _Rask__Control__Role role, uint8_t said_job)
{
    uint8_t nonce[RPC_NONCE_BYTES] = {0};
    struct fixture f;

    start(&f, true);
    f.proves = worker_of(&f, proved_job);
    f.says = worker_of(&f, said_job);
    f.says.role = role;
    f.raw = f.env->net->ops->connect(f.env->net, rpc_server_address(f.server), &raw_handler, &f);
    rpc_secure(f.env, f.raw, &f.proves, false);
    rpc_send_hello(f.env, f.raw, &f.says, nonce);
    loop_until(f.env, &f.raw_closed, 1);
    assert_int_equal(f.ready + f.raw_frames, 0);
    end(&f);
}

static void what_is_said_must_be_proved(void **state)
{
    (void)state;
    proves_and_says(7, RASK__CONTROL__ROLE__TASKMANAGER, 7);
    proves_and_says(7, RASK__CONTROL__ROLE__WORKER, 8);
    proves_and_says(7, RASK__CONTROL__ROLE__PEER_WORKER, 7);
}

/* ---- data connections ---- */

static void data_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    (void)conn;
    assert_int_equal(frame->kind, NET_DATA);
    ((struct fixture *)arg)->frames++;
}

static void data_closed(void *arg, struct net_conn *conn, const struct err *why)
{
    struct fixture *f = arg;

    (void)why;
    if (conn == f->accepted)
        f->accepted = NULL;
    if (conn == f->connected)
        f->connected = NULL;
}

static const struct net_handler exchange = {.on_frame = data_frame, .on_close = data_closed};

static void on_accepted(void *arg, struct net_conn *conn, const struct rpc_identity *peer, const struct err *error)
{
    struct fixture *f = arg;

    f->accept_done++;
    f->accepted = conn;
    f->accepted_peer = *peer;
    if (error) {
        f->accept_err = *error;
        return;
    }
    f->env->net->ops->set_handler(conn, &exchange, f);
    net_send(f->env->net, conn, &(struct net_frame){.kind = NET_DATA});
}

static void on_connected(void *arg, struct net_conn *conn, const struct rpc_identity *peer, const struct err *error)
{
    struct fixture *f = arg;

    (void)peer;
    f->connect_done++;
    f->connected = conn;
    if (error)
        f->connect_err = *error;
    else
        f->env->net->ops->set_handler(conn, &exchange, f);
}

/* What a supervisor does: reads the preamble, hands over. */
static void preamble_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct fixture *f = arg;
    struct arena arena;
    Rask__Control__Hello *hello;

    arena_init(&arena);
    hello = (void *)rpc_unpack(&rask__control__hello__descriptor, frame->payload, frame->length, &arena);
    assert_non_null(hello);
    rpc_data_accept(f->env, conn, hello, &f->acceptor, on_accepted, f);
    arena_release(&arena);
}

static const struct net_handler preamble = {.on_frame = preamble_frame, .on_close = data_closed};

static void on_accept(void *arg, struct net_conn *conn)
{
    struct fixture *f = arg;

    f->env->net->ops->set_handler(conn, &preamble, f);
}

static void start_data(struct fixture *f)
{
    struct err err;

    start(f, true);
    f->acceptor = worker_of(f, 7);
    f->acceptor.worker_index = 1;
    assert_int_equal(f->env->net->ops->listen(f->env->net, "127.0.0.1:0", on_accept, f, &f->listener, &err), 0);
}

static const char *data_address(struct fixture *f)
{
    return f->env->net->ops->listener_address(f->listener);
}

static void data_follows_the_proof(void **state)
{
    struct rpc_identity self;
    struct fixture f;

    (void)state;
    start_data(&f);
    self = worker_of(&f, 7);
    rpc_data_connect(f.env, data_address(&f), &self, on_connected, &f);
    loop_until(f.env, &f.frames, 1);
    assert_int_equal(f.accepted_peer.worker_index, 4);
    assert_true(rpc_proven(f.env, f.connected, &(struct rpc_identity){
        .role = RASK__CONTROL__ROLE__PEER_WORKER, .job_id = self.job_id, .job_epoch = 3, .has_secret = true}));
    end(&f);
}

static void no_data(struct fixture *f, struct rpc_identity self, const char *text)
{
    rpc_data_connect(f->env, data_address(f), &self, on_connected, f);
    loop_until(f->env, &f->connect_done, 1);
    loop_until(f->env, &f->accept_done, 1);
    assert_null(f->accepted);
    assert_null(f->connected);
    if (!strstr(f->connect_err.text, text))
        fail_msg("no \"%s\" in \"%s\"", text, f->connect_err.text);
    end(f);
}

static void no_data_without_the_secret(void **state)
{
    struct rpc_identity self;
    struct fixture f;

    (void)state;
    start_data(&f);
    self = worker_of(&f, 7);
    self.secret[0] ^= 1;
    no_data(&f, self, "another job secret");
    start_data(&f);
    self = worker_of(&f, 8); /* another job's, and it asks for this worker: told nothing */
    no_data(&f, self, "in the middle of the TLS handshake");
    start_data(&f);
    self = worker_of(&f, 7);
    self.tls = NULL; /* knows the secret, but talks in clear */
    f.env->net->ops->set_handler(f.raw = f.env->net->ops->connect(f.env->net, data_address(&f), &raw_handler, &f),
                                 &raw_handler, &f);
    rpc_send_hello(f.env, f.raw, &self, (const uint8_t[RPC_NONCE_BYTES]){0});
    self.role = RASK__CONTROL__ROLE__PEER_WORKER;
    rpc_send_hello(f.env, f.raw, &self, (const uint8_t[RPC_NONCE_BYTES]){0});
    loop_until(f.env, &f.raw_closed, 1);
    assert_int_equal(f.raw_frames, 0);
    end(&f);
}

static void forging_open(void *arg, struct net_conn *conn)
{
    struct fixture *f = arg;
    struct rpc_identity forged = f->proves;

    forged.worker_index = 9;
    rpc_send_hello(f->env, conn, &forged, (const uint8_t[RPC_NONCE_BYTES]){0});
    rpc_secure(f->env, conn, &f->proves, false);
    rpc_send_hello(f->env, conn, &f->says, (const uint8_t[RPC_NONCE_BYTES]){0});
}

/* The preamble travels in clear: who changes it on the way changes nothing that counts. */
static void preamble_is_not_believed(void **state)
{
    static const struct net_handler forging = {.on_open = forging_open, .on_frame = raw_frame, .on_close = raw_closed};
    struct fixture f;

    (void)state;
    start_data(&f);
    f.proves = worker_of(&f, 7);
    f.proves.role = RASK__CONTROL__ROLE__PEER_WORKER;
    f.says = f.proves;
    f.raw = f.env->net->ops->connect(f.env->net, data_address(&f), &forging, &f);
    loop_until(f.env, &f.accept_done, 1);
    assert_non_null(f.accepted);
    assert_int_equal(f.accepted_peer.worker_index, 4);
    end(&f);

    start_data(&f); /* inside, another job is named */
    f.proves = worker_of(&f, 7);
    f.proves.role = RASK__CONTROL__ROLE__PEER_WORKER;
    f.says = f.proves;
    f.says.job_id.bytes[0] = 8;
    f.raw = f.env->net->ops->connect(f.env->net, data_address(&f), &forging, &f);
    loop_until(f.env, &f.accept_done, 1);
    assert_null(f.accepted);
    assert_non_null(strstr(f.accept_err.text, "this worker runs job"));
    end(&f);
}

/* ---- many that never finish ---- */

static void half_handshakes_are_bounded(void **state)
{
    struct rpc_identity tm = {.role = RASK__CONTROL__ROLE__TASKMANAGER};
    struct tls_options options;
    struct fixture f;
    struct err err;

    (void)state;
    start(&f, false);
    rpc_server_free(f.server);
    tls_context_free(f.daemon);
    options = tls_files_options(&f.files);
    options.handshake_timeout_ms = 200;
    assert_int_equal(tls_context_new(&options, &f.daemon, &err), 0);
    assert_int_equal(rpc_server_new(f.env, &(struct rpc_server_options){
        .address = "127.0.0.1:0", .fence = FENCE, .handler = &server_handler, .arg = &f, .tls = f.daemon}, &f.server, &err), 0);
    for (int i = 0; i < 50; i++)
        f.env->net->ops->connect(f.env->net, rpc_server_address(f.server), &raw_handler, &f);
    loop_until(f.env, &f.raw_closed, 50);
    assert_int_equal(f.raw_frames, 0);
    tm.tls = f.daemon;
    connect_as(&f, &tm);
    loop_until(f.env, &f.client_ready, 1);
    f.raw = NULL;
    end(&f);
}

/* Those that say nothing hold every place, and still do not lock out one that comes to the point. */
static void the_oldest_makes_room(void **state)
{
    struct rpc_identity tm = {.role = RASK__CONTROL__ROLE__TASKMANAGER};
    struct rlimit files = {4096, 4096};
    struct fixture f;

    (void)state;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        skip();
    start(&f, true);
    for (int i = 0; i < RPC_HANDSHAKES_MAX + 5; i++)
        f.env->net->ops->connect(f.env->net, rpc_server_address(f.server), &raw_handler, &f);
    loop_until(f.env, &f.raw_closed, 5);
    tm.tls = f.daemon;
    connect_as(&f, &tm);
    loop_until(f.env, &f.client_ready, 1);
    assert_true(f.raw_closed < 20);
    f.raw = NULL;
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(daemons_and_workers_come_in),
        cmocka_unit_test(strangers_do_not),
        cmocka_unit_test(what_is_said_must_be_proved),
        cmocka_unit_test(data_follows_the_proof),
        cmocka_unit_test(no_data_without_the_secret),
        cmocka_unit_test(preamble_is_not_believed),
        cmocka_unit_test(half_handshakes_are_bounded),
        cmocka_unit_test(the_oldest_makes_room),
    };

    return cmocka_run_group_tests_name("rpc, TLS", tests, NULL, NULL);
}
