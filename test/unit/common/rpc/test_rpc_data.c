/* test_rpc_data.c - the handshake of data connections between two workers. */
#include <string.h>

#include "common/base/mem.h"
#include "common/rpc/rpc.h"
#include "test/unit/loop.h"

#define ADDRESS "inproc:data"

struct fixture {
    struct env *env;
    struct net_listener *listener;
    struct rpc_identity acceptor; /* who accepts */
    bool cancel; /* the accepting worker ends at once */
    struct net_conn *accepted, *connected;
    struct rpc_identity accepted_peer;
    int accept_done, connect_done, frames, closed, preambles;
    struct err accept_err, connect_err;
};

static void on_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    (void)conn;
    assert_int_equal(frame->kind, NET_DATA);
    ((struct fixture *)arg)->frames++;
}
static void on_close(void *arg, struct net_conn *conn, const struct err *why)
{
    (void)conn;
    (void)why;
    ((struct fixture *)arg)->closed++;
}
static const struct net_handler exchange = {.on_frame = on_frame, .on_close = on_close};

static void on_accepted(void *arg, struct net_conn *conn, const struct rpc_identity *peer,
                        const struct err *error)
{
    struct net_frame data = {.kind = NET_DATA};
    struct fixture *f = arg;

    f->accept_done++;
    f->accepted = conn;
    f->accepted_peer = *peer;
    if (error) {
        f->accept_err = *error;
        return;
    }
    f->env->net->ops->set_handler(conn, &exchange, f);
    net_send(f->env->net, conn, &data); /* right behind the welcome */
}

static void on_connected(void *arg, struct net_conn *conn, const struct rpc_identity *peer,
                         const struct err *error)
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
    struct rpc_data *data;

    arena_init(&arena);
    f->preambles++;
    hello = (void *)rpc_unpack(&rask__control__hello__descriptor, frame->payload, frame->length, &arena);
    assert_non_null(hello);
    data = rpc_data_accept(f->env, conn, hello, &f->acceptor, on_accepted, f);
    if (f->cancel)
        rpc_data_cancel(data);
    arena_release(&arena);
}
static const struct net_handler preamble = {.on_frame = preamble_frame, .on_close = on_close};

static void on_accept(void *arg, struct net_conn *conn)
{
    struct fixture *f = arg;

    f->env->net->ops->set_handler(conn, &preamble, f);
}

static struct rpc_identity worker(uint32_t index)
{
    struct rpc_identity w = {.role = RASK__CONTROL__ROLE__WORKER, .job_epoch = 3, .has_secret = true,
                             .worker_index = index};

    w.job_id.bytes[0] = 7;
    w.secret[5] = 5;
    return w;
}

static void start(struct fixture *f)
{
    struct err err;

    memset(f, 0, sizeof(*f));
    f->env = loop_new(true);
    f->acceptor = worker(1);
    assert_int_equal(
        f->env->net->ops->listen(f->env->net, ADDRESS, on_accept, f, &f->listener, &err), 0);
}

static void end(struct fixture *f)
{
    if (f->accepted)
        f->env->net->ops->close(f->accepted);
    if (f->connected)
        f->env->net->ops->close(f->connected);
    f->env->net->ops->listener_close(f->listener);
    env_libevent_free(f->env);
}

static void test_both_prove_and_data_follows(void **state)
{
    struct rpc_identity self = worker(2);
    struct fixture f;

    (void)state;
    start(&f);
    rpc_data_connect(f.env, ADDRESS, &self, on_connected, &f);
    loop_until(f.env, &f.frames, 1);
    assert_int_equal(f.accept_done + f.connect_done, 2);
    assert_int_equal(f.accepted_peer.worker_index, 2);
    end(&f);
}

static void fails(struct rpc_identity self, int code, const char *text)
{
    struct fixture f;

    start(&f);
    rpc_data_connect(f.env, ADDRESS, &self, on_connected, &f);
    loop_until(f.env, &f.connect_done, 1);
    loop_until(f.env, &f.accept_done, 1);
    assert_null(f.connected);
    assert_null(f.accepted);
    assert_int_equal(f.connect_err.code, code);
    if (!strstr(f.connect_err.text, text))
        fail_msg("no \"%s\" in \"%s\"", text, f.connect_err.text);
    end(&f);
}

static void test_wrong_secret_epoch_or_job(void **state)
{
    struct rpc_identity self = worker(2);

    (void)state;
    self.secret[0] ^= 1;
    fails(self, ERR_AUTH, "does not know the secret");
    self = worker(2);
    self.job_epoch = 2;
    fails(self, ERR_STALE, "with epoch 3, not what was asked for");
    self = worker(2);
    self.job_id.bytes[1] = 1;
    fails(self, ERR_STALE, "this worker runs job");
}

static void test_nobody_there_and_silence(void **state)
{
    struct rpc_identity self = worker(2);
    struct fixture f;

    (void)state;
    start(&f);
    rpc_data_connect(f.env, "inproc:nowhere", &self, on_connected, &f);
    loop_until(f.env, &f.connect_done, 1);
    assert_non_null(strstr(f.connect_err.text, "the worker behind inproc:nowhere"));
    f.cancel = true;
    rpc_data_connect(f.env, ADDRESS, &self, on_connected, &f);
    loop_until(f.env, &f.connect_done, 2);
    assert_int_equal(f.connect_err.code, ERR_CLOSED);
    assert_int_equal(f.accept_done, 0);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_prove_and_data_follows),
        cmocka_unit_test(test_wrong_secret_epoch_or_job),
        cmocka_unit_test(test_nobody_there_and_silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
