/* test_rpc.c - calls, handshakes and their refusals over in-process connections. */
#include "common/rpc/rpc.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/rpc/rpc_private.h"
#include "test/unit/loop.h"

#define FENCE 0x1234567890abcdefu
#define ADDRESS "inproc:jm"

struct side { /* what one handler has seen */
    int ready, closed, requests;
    struct rpc_peer *peer;
    struct err why;
    enum rpc_method method;
    bool hold;                    /* do not answer */
    struct rpc_request *held[64];
    size_t answer_bytes;
};

struct fixture {
    struct env *env;
    struct rpc_server *server;
    struct side s, c;
    int done;
    int last_code;
    struct err last_err;
    size_t last_size;
};

static const uint8_t secret[32] = {1, 2, 3};

static void on_ready(void *arg, struct rpc_peer *peer)
{
    struct side *side = arg;

    side->peer = peer;
    side->ready++;
}

static void answer(struct side *side, struct rpc_request *request)
{
    Rask__Control__GetBlobOk blob = RASK__CONTROL__GET_BLOB_OK__INIT;
    Rask__Control__RegisterTaskManagerOk registered = RASK__CONTROL__REGISTER_TASK_MANAGER_OK__INIT;

    if (side->method == RPC_REGISTER_TASKMANAGER) {
        registered.heartbeat_interval_ms = 7;
        registered.heartbeat_timeout_ms = 9;
        rpc_reply(request, &registered.base);
    } else if (side->method == RPC_GET_BLOB) {
        blob.data.len = side->answer_bytes;
        blob.data.data = mem_alloc(side->answer_bytes + 1);
        blob.size = side->answer_bytes;
        rpc_reply(request, &blob.base);
        mem_free(blob.data.data);
    } else if (side->method == RPC_STOP_WORKER) {
        rpc_fail(request, ERR_NOT_FOUND, "no such worker: %d", 7);
    } else {
        rpc_ok(request);
    }
}

static void on_request(void *arg, struct rpc_peer *peer, enum rpc_method method,
                       const ProtobufCMessage *message, struct rpc_request *request)
{
    struct side *side = arg;

    assert_non_null(message);
    assert_ptr_equal(peer, side->peer);
    side->method = method;
    if (side->hold)
        side->held[side->requests++ % ARRAY_LEN(side->held)] = request;
    else {
        side->requests++;
        answer(side, request);
    }
}

static void on_close(void *arg, struct rpc_peer *peer, const struct err *why)
{
    struct side *side = arg;

    assert_true(side->peer == NULL || side->peer == peer);
    side->peer = NULL;
    side->why = *why;
    side->closed++;
}

static const struct rpc_handler handler = {on_ready, on_request, on_close};

static bool secret_of(void *arg, const struct id *job_id, uint64_t job_epoch, uint8_t ret_secret[32])
{
    (void)arg;
    if (job_id->bytes[0] != 7 || job_epoch != 3)
        return false;
    memcpy(ret_secret, secret, 32);
    return true;
}

static void start(struct fixture *f, bool fast)
{
    struct rpc_server_options options = {.address = ADDRESS, .fence = FENCE, .secret_of = secret_of,
                                         .handler = &handler, .arg = &f->s};
    struct err err;

    memset(f, 0, sizeof(*f));
    f->env = loop_new(fast);
    assert_int_equal(rpc_server_new(f->env, &options, &f->server, &err), 0);
}

static void end(struct fixture *f)
{
    if (f->c.peer)
        rpc_close(f->c.peer);
    rpc_server_free(f->server);
    env_libevent_free(f->env);
}

static struct rpc_identity taskmanager(void)
{
    return (struct rpc_identity){.role = RASK__CONTROL__ROLE__TASKMANAGER,
                                 .taskmanager_id = id_from_u64(1, 2)};
}

static struct rpc_identity worker(void)
{
    struct rpc_identity w = {.role = RASK__CONTROL__ROLE__WORKER, .job_epoch = 3, .has_secret = true,
                             .worker_index = 4};

    w.job_id.bytes[0] = 7;
    memcpy(w.secret, secret, 32);
    return w;
}

static void connect_as(struct fixture *f, struct rpc_identity identity)
{
    rpc_connect(f->env, ADDRESS, &identity, &handler, &f->c);
}

static void join_as(struct fixture *f, struct rpc_identity identity)
{
    connect_as(f, identity);
    loop_until(f->env, &f->c.ready, 1);
    assert_int_equal(f->s.ready, 1);
}

static void on_done(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct fixture *f = arg;

    f->done++;
    f->last_code = error ? error->code : 0;
    f->last_err = error ? *error : (struct err){0};
    assert_true((error == NULL) == (response != NULL));
    f->last_size = response && response->descriptor == &rask__control__get_blob_ok__descriptor
                       ? ((const Rask__Control__GetBlobOk *)response)->data.len
                       : 0;
}

static uint32_t call_report(struct fixture *f, uint32_t deadline_ms)
{
    Rask__Control__TaskManagerReport report = RASK__CONTROL__TASK_MANAGER_REPORT__INIT;

    return rpc_call(f->c.peer, RPC_TASKMANAGER_REPORT, &report.base, deadline_ms, on_done, f);
}

static uint32_t call_blob(struct fixture *f)
{
    Rask__Control__GetBlob blob = RASK__CONTROL__GET_BLOB__INIT;
    uint8_t hash[32] = {0};

    blob.hash = (ProtobufCBinaryData){32, hash};
    return rpc_call(f->c.peer, RPC_GET_BLOB, &blob.base, 0, on_done, f);
}

static void test_calls_go_both_ways(void **state)
{
    struct fixture f;
    Rask__Control__StopWorker stop = RASK__CONTROL__STOP_WORKER__INIT;
    uint8_t id[16] = {0};

    (void)state;
    start(&f, false);
    join_as(&f, taskmanager());
    assert_true(rpc_fence(f.c.peer) == FENCE);
    assert_non_null(strstr(rpc_peer_name(f.s.peer), "taskmanager 0000000000000001"));
    call_report(&f, 0);
    assert_int_equal(f.done, 0); /* never inside the call */
    loop_until(f.env, &f.done, 1);
    assert_int_equal(f.last_code, 0);
    stop.job_id = (ProtobufCBinaryData){16, id};
    stop.reason = (char *)"x";
    rpc_call(f.s.peer, RPC_STOP_WORKER, &stop.base, 0, on_done, &f);
    loop_until(f.env, &f.done, 2);
    assert_int_equal(f.last_code, ERR_NOT_FOUND);
    assert_string_equal(f.last_err.text, "no such worker: 7");
    assert_int_equal(rpc_server_stats(f.server, RPC_TASKMANAGER_REPORT)->calls, 1);
    assert_int_equal(rpc_server_stats(f.server, RPC_STOP_WORKER)->failures, 1);
    assert_int_equal(rpc_peer_stats(f.c.peer, RPC_TASKMANAGER_REPORT)->calls, 1);
    end(&f);
}

static void test_worker_proves_the_secret(void **state)
{
    struct fixture f;
    struct rpc_identity w = worker();

    (void)state;
    start(&f, false);
    join_as(&f, w);
    assert_int_equal(rpc_peer_identity(f.s.peer)->worker_index, 4);
    end(&f);
}

static void refused(struct rpc_identity identity, int code, const char *text)
{
    struct fixture f;

    start(&f, false);
    connect_as(&f, identity);
    loop_until(f.env, &f.c.closed, 1);
    assert_int_equal(f.c.ready, 0);
    assert_int_equal(f.s.ready, 0);
    assert_int_equal(f.s.closed, 0); /* the server's owner never saw it */
    assert_int_equal(f.c.why.code, code);
    if (!strstr(f.c.why.text, text))
        fail_msg("no \"%s\" in \"%s\"", text, f.c.why.text);
    end(&f);
}

static void test_wrong_secret_or_job_is_refused(void **state)
{
    struct rpc_identity w = worker();

    (void)state;
    w.secret[31] ^= 1; /* the server's proof fails first, on our side */
    refused(w, ERR_AUTH, "does not know the secret");
    w = worker();
    w.job_epoch = 4;
    refused(w, ERR_STALE, "with epoch 4 runs on this JobManager");
    w = worker();
    w.role = RASK__CONTROL__ROLE__PEER_WORKER;
    refused(w, ERR_PROTOCOL, "do not talk to each other");
}

/* ---- a client of bare frames ---- */

struct raw {
    struct env *env;
    struct net_conn *conn;
    int opened, closed, frames;
    struct net_frame last;
    uint8_t payload[8192];
};

static void raw_open(void *arg, struct net_conn *conn)
{
    struct raw *r = arg;

    (void)conn;
    r->opened++;
}
static void raw_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct raw *r = arg;

    (void)conn;
    if (frame->kind == NET_PING)
        return;
    r->last = *frame;
    assert_true(frame->length <= sizeof(r->payload));
    if (frame->length)
        memcpy(r->payload, frame->payload, frame->length);
    r->frames++;
}
static void raw_close(void *arg, struct net_conn *conn, const struct err *why)
{
    struct raw *r = arg;

    (void)conn;
    (void)why;
    r->closed++;
}
static const struct net_handler raw_handler = {raw_open, raw_frame, NULL, raw_close};

static void raw_connect(struct fixture *f, struct raw *r)
{
    memset(r, 0, sizeof(*r));
    r->env = f->env;
    r->conn = f->env->net->ops->connect(f->env->net, ADDRESS, &raw_handler, r);
    loop_until(f->env, &r->opened, 1);
}

static void raw_send(struct raw *r, struct net_frame frame, const void *data, size_t len)
{
    frame.payload = data;
    frame.length = (uint32_t)len;
    net_send(r->env->net, r->conn, &frame);
}

static void raw_send_message(struct raw *r, struct net_frame frame, const ProtobufCMessage *message)
{
    uint8_t buffer[4096];

    assert_true(protobuf_c_message_get_packed_size(message) <= sizeof(buffer));
    raw_send(r, frame, buffer, protobuf_c_message_pack(message, buffer));
}

static void raw_hello(struct raw *r, uint32_t protocol, const char *version)
{
    Rask__Control__Hello hello = RASK__CONTROL__HELLO__INIT;

    hello.protocol = protocol;
    hello.version = (char *)version;
    hello.role = RASK__CONTROL__ROLE__TASKMANAGER;
    raw_send_message(r, (struct net_frame){.kind = NET_HELLO}, &hello.base);
}

/* The text and code of the Failure that came last. */
static int failure(struct raw *r, char text[ERR_TEXT_MAX])
{
    struct arena arena;
    Rask__Control__Failure *fail_message;
    int code;

    arena_init(&arena);
    fail_message = (void *)rpc_unpack(&rask__control__failure__descriptor, r->payload, r->last.length,
                                      &arena);
    assert_non_null(fail_message);
    snprintf(text, ERR_TEXT_MAX, "%s", fail_message->text);
    code = fail_message->code;
    arena_release(&arena);
    return code;
}

static void test_other_version_names_both(void **state)
{
    struct fixture f;
    struct raw r;
    char text[ERR_TEXT_MAX];

    (void)state;
    start(&f, false);
    raw_connect(&f, &r);
    raw_hello(&r, RPC_PROTOCOL + 1, "9.8.7");
    loop_until(f.env, &r.closed, 1);
    assert_int_equal(r.last.kind, NET_REFUSE);
    assert_int_equal(failure(&r, text), ERR_VERSION);
    assert_string_equal(text, "TaskManager speaks protocol 2 (version 9.8.7), this JobManager protocol 1 "
                              "(version " RASK_VERSION "): install the same version on both");
    end(&f);
}

static void test_garbage_closes_the_connection(void **state)
{
    static const uint8_t garbage[64] = {0xff, 0x00, 0x80, 0x13};
    struct fixture f;
    struct raw r;

    (void)state;
    start(&f, false);
    for (int kind = 1; kind < NET_KIND_MAX; kind++) { /* before a HELLO nothing else is legal */
        raw_connect(&f, &r);
        raw_send(&r, (struct net_frame){.kind = (uint8_t)kind}, garbage, sizeof(garbage));
        loop_until(f.env, &r.closed, 1);
        assert_int_equal(f.s.ready, 0);
    }
    raw_connect(&f, &r); /* over the limit of a handshake */
    raw_send(&r, (struct net_frame){.kind = NET_HELLO}, r.payload, RPC_HANDSHAKE_FRAME + 1);
    loop_until(f.env, &r.closed, 1);
    end(&f);
}

static void test_proofs_are_checked(void **state)
{
    Rask__Control__Hello hello = RASK__CONTROL__HELLO__INIT;
    Rask__Control__Proof proof = RASK__CONTROL__PROOF__INIT;
    struct rpc_identity w = worker();
    uint8_t bytes[32] = {0}, nonce[16] = {0};
    struct fixture f;
    struct raw r;
    char text[ERR_TEXT_MAX];

    (void)state;
    start(&f, false);
    hello.protocol = RPC_PROTOCOL;
    hello.version = (char *)"x";
    hello.role = RASK__CONTROL__ROLE__WORKER;
    hello.has_job_id = hello.has_job_epoch = hello.has_nonce = true;
    hello.job_id = rpc_id_data(&w.job_id);
    hello.job_epoch = 3;
    hello.nonce = (ProtobufCBinaryData){16, nonce};
    for (size_t len = 0; len <= 32; len += 8) { /* truncated, and at last of the right length but wrong */
        raw_connect(&f, &r);
        raw_send_message(&r, (struct net_frame){.kind = NET_HELLO}, &hello.base);
        loop_until(f.env, &r.frames, 1);
        assert_int_equal(r.last.kind, NET_CHALLENGE);
        proof.proof = (ProtobufCBinaryData){len, bytes};
        raw_send_message(&r, (struct net_frame){.kind = NET_PROOF}, &proof.base);
        loop_until(f.env, &r.closed, 1);
        assert_int_equal(r.last.kind, NET_REFUSE);
        assert_int_equal(failure(&r, text), ERR_AUTH);
    }
    assert_int_equal(f.s.ready, 0);
    hello.nonce.len = 15;
    raw_connect(&f, &r);
    raw_send_message(&r, (struct net_frame){.kind = NET_HELLO}, &hello.base);
    loop_until(f.env, &r.closed, 1);
    assert_int_equal(failure(&r, text), ERR_PROTOCOL);
    end(&f);
}

static void raw_join(struct fixture *f, struct raw *r)
{
    raw_connect(f, r);
    raw_hello(r, RPC_PROTOCOL, "x");
    loop_until(f->env, &r->frames, 1);
    assert_int_equal(r->last.kind, NET_WELCOME);
    r->frames = 0;
}

static void request_refused(struct fixture *f, struct raw *r, struct net_frame frame, const void *data,
                            size_t len, int code, const char *part)
{
    static uint32_t id = 100;
    char text[ERR_TEXT_MAX];
    int seen = r->frames;

    frame.kind = NET_REQUEST;
    frame.stream = ++id;
    raw_send(r, frame, data, len);
    loop_until(f->env, &r->frames, seen + 1);
    assert_int_equal(r->last.kind, NET_RESPONSE);
    assert_int_equal(r->last.flags, 1);
    assert_int_equal(r->last.stream, id);
    assert_int_equal(failure(r, text), code);
    if (!strstr(text, part))
        fail_msg("no \"%s\" in \"%s\"", part, text);
    assert_int_equal(f->s.requests, 0); /* the handler saw none of them */
}

static void test_bad_requests_are_refused(void **state)
{
    static const uint8_t garbage[] = {0x0a, 0xff, 0xff, 0x03};
    struct fixture f;
    struct raw r;

    (void)state;
    start(&f, false);
    raw_join(&f, &r);
    request_refused(&f, &r, (struct net_frame){.flags = 31, .epoch = FENCE}, NULL, 0, ERR_UNSUPPORTED,
                    "no method has number 31");
    request_refused(&f, &r, (struct net_frame){.flags = 9999, .epoch = FENCE}, NULL, 0, ERR_UNSUPPORTED,
                    "no method has number 9999");
    request_refused(&f, &r, (struct net_frame){.flags = RPC_GET_BLOB, .epoch = FENCE}, NULL, 0,
                    ERR_PERMISSION, "GET_BLOB is not a call that taskmanager");
    request_refused(&f, &r, (struct net_frame){.flags = RPC_DEPLOY, .epoch = FENCE}, NULL, 0,
                    ERR_PERMISSION, "DEPLOY is not a call");
    request_refused(&f, &r, (struct net_frame){.flags = RPC_TASKMANAGER_REPORT, .epoch = FENCE - 1}, NULL,
                    0, ERR_STALE, "of another leader");
    request_refused(&f, &r, (struct net_frame){.flags = RPC_TASKMANAGER_REPORT, .epoch = FENCE}, garbage,
                    sizeof(garbage), ERR_PROTOCOL, "malformed TASKMANAGER_REPORT");
    request_refused(&f, &r, (struct net_frame){.flags = RPC_REGISTER_TASKMANAGER, .epoch = FENCE}, NULL, 0,
                    ERR_PROTOCOL, "malformed REGISTER_TASKMANAGER");
    f.env->net->ops->close(r.conn);
    loop_until(f.env, &f.s.closed, 1);
    end(&f);
}

static void test_same_id_twice_and_strange_frames_close(void **state)
{
    struct net_frame request = {.kind = NET_REQUEST, .flags = RPC_TASKMANAGER_REPORT, .epoch = FENCE,
                                .stream = 5};
    struct fixture f;
    struct raw r;

    (void)state;
    start(&f, false);
    f.s.hold = true;
    raw_join(&f, &r);
    raw_send(&r, request, NULL, 0);
    raw_send(&r, request, NULL, 0);
    loop_until(f.env, &r.closed, 1);
    assert_int_equal(f.s.requests, 1);
    rpc_ok(f.s.held[0]); /* after the close: harmless */
    f.s.closed = 0;
    raw_join(&f, &r);
    raw_send(&r, (struct net_frame){.kind = NET_RESPONSE, .stream = 77}, "x", 1); /* late: ignored */
    raw_send(&r, (struct net_frame){.kind = NET_DATA}, "x", 1);
    loop_until(f.env, &r.closed, 1);
    assert_int_equal(f.s.why.code, ERR_PROTOCOL);
    end(&f);
}

static void test_deadline_cancel_and_late_answers(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, true);
    f.s.hold = true;
    join_as(&f, taskmanager());
    call_report(&f, 50);
    loop_until(f.env, &f.done, 1);
    assert_int_equal(f.last_code, ERR_TIMEOUT);
    assert_non_null(strstr(f.last_err.text, "did not answer TASKMANAGER_REPORT within 50 ms"));
    loop_until(f.env, &f.s.requests, 1);
    rpc_ok(f.s.held[0]); /* late */
    rpc_call_cancel(f.c.peer, call_report(&f, 0));
    loop_until(f.env, &f.s.requests, 2);
    rpc_fail(f.s.held[1], ERR_IO, "nobody hears this");
    f.s.hold = false;
    call_report(&f, 0);
    loop_until(f.env, &f.done, 2);
    assert_int_equal(f.last_code, 0);
    end(&f);
}

static void test_close_fails_pending_calls_once(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, false);
    f.s.hold = true;
    join_as(&f, taskmanager());
    for (int i = 0; i < 3; i++)
        call_report(&f, 0);
    loop_until(f.env, &f.s.requests, 3);
    rpc_close(f.s.peer);
    f.s.peer = NULL;
    loop_until(f.env, &f.c.closed, 1);
    assert_int_equal(f.done, 3);
    assert_int_equal(f.last_code, ERR_CLOSED);
    for (int i = 0; i < 3; i++)
        rpc_ok(f.s.held[i]);
    end(&f);
}

static void test_a_call_may_want_no_answer(void **state)
{
    Rask__Control__TaskManagerReport report = RASK__CONTROL__TASK_MANAGER_REPORT__INIT;
    struct fixture f;

    (void)state;
    start(&f, true);
    join_as(&f, taskmanager());
    rpc_call(f.c.peer, RPC_TASKMANAGER_REPORT, &report.base, 0, NULL, NULL);
    call_report(&f, 0);
    loop_until(f.env, &f.done, 1); /* behind the answer to the other one */
    assert_int_equal(f.s.requests, 2);
    f.s.hold = true;
    rpc_call(f.c.peer, RPC_TASKMANAGER_REPORT, &report.base, 0, NULL, NULL);
    loop_until(f.env, &f.s.requests, 3);
    rpc_close(f.s.peer);
    f.s.peer = NULL;
    loop_until(f.env, &f.c.closed, 1);
    assert_int_equal(f.done, 1);
    rpc_ok(f.s.held[2]); /* the third request */
    end(&f);
}

static void test_server_free_closes_everybody(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, false);
    join_as(&f, taskmanager());
    rpc_server_free(f.server);
    f.server = NULL;
    loop_until(f.env, &f.c.closed, 1);
    assert_int_equal(f.s.closed, 0);
    end(&f);
}

static void test_silence_in_handshake_and_lost_heartbeats(void **state)
{
    struct fixture f;
    struct raw r;

    (void)state;
    start(&f, true);
    raw_connect(&f, &r); /* says nothing for ten seconds */
    loop_until(f.env, &r.closed, 1);
    raw_join(&f, &r);    /* never answers a ping */
    rpc_set_heartbeat(f.s.peer, 1000, 3000);
    loop_until(f.env, &f.s.closed, 1);
    assert_int_equal(f.s.why.code, ERR_TIMEOUT);
    assert_non_null(strstr(f.s.why.text, "gave no sign of life for 3000 ms (heartbeat.timeout)"));
    loop_until(f.env, &r.closed, 1);
    end(&f);
}

static void test_heartbeats_keep_an_idle_peer(void **state)
{
    struct fixture f;
    struct raw r;

    (void)state;
    start(&f, true);
    join_as(&f, taskmanager());
    rpc_set_heartbeat(f.s.peer, 300, 9000); /* time is fast: it is a part of a second in which the kernel may let this wait */
    raw_connect(&f, &r); /* ten seconds, by the silence of this one */
    loop_until(f.env, &r.closed, 1);
    assert_int_equal(f.s.closed + f.c.closed, 0);
    end(&f);
}

static void test_who_was_paused_itself_looks_once_more(void **state)
{
    struct fixture f;
    int answered;

    (void)state;
    start(&f, true);
    join_as(&f, taskmanager());
    rpc_set_heartbeat(f.s.peer, 1000, 3000);
    usleep(60000); /* six seconds, in which nobody looks: what was said meanwhile waits unread */
    answered = f.done + 1;
    call_report(&f, 0);
    loop_until(f.env, &f.done, answered);
    assert_int_equal(f.s.closed + f.c.closed, 0);
    end(&f);
}

static void test_no_server(void **state)
{
    struct fixture f;
    struct rpc_identity identity = taskmanager();

    (void)state;
    start(&f, false);
    rpc_connect(f.env, "inproc:nobody", &identity, &handler, &f.c);
    loop_until(f.env, &f.c.closed, 1);
    assert_non_null(strstr(f.c.why.text, "jobmanager at inproc:nobody"));
    end(&f);
}

static void test_open_address_is_refused(void **state)
{
    struct rpc_server_options options = {.address = "0.0.0.0:0", .handler = &handler};
    struct env *env = loop_new(false);
    struct rpc_server *server = NULL;
    struct err err = {0};

    (void)state;
    assert_int_equal(rpc_server_new(env, &options, &server, &err), ERR_PERMISSION);
    assert_non_null(strstr(err.text, "security.allow-plaintext"));
    env_libevent_free(env);
}

static void test_reader_that_does_not_read_is_paused(void **state)
{
    struct rpc_identity w = worker();
    struct fixture f;

    (void)state;
    start(&f, false);
    f.s.answer_bytes = 1u << 20;
    join_as(&f, w);
    f.env->net->ops->pause_reading(f.c.peer->conn, true);
    for (int i = 0; i < 40; i++)
        call_blob(&f);
    loop_settle(f.env);
    loop_settle(f.env);
    assert_true(f.s.requests < 20); /* 40 MiB would wait otherwise */
    assert_true(f.s.peer->paused);
    assert_true(rpc_queued_bytes(f.s.peer) >= NET_HIGH_WATER_BYTES / 2);
    f.env->net->ops->pause_reading(f.c.peer->conn, false);
    loop_until(f.env, &f.done, 40);
    assert_int_equal(f.last_size, 1u << 20);
    assert_int_equal(f.last_code, 0);
    end(&f);
}

static void test_too_large(void **state)
{
    Rask__Control__Hello *bomb;
    Rask__Control__TaskManagerReport report = RASK__CONTROL__TASK_MANAGER_REPORT__INIT;
    struct rpc_identity w = worker();
    struct arena arena;
    struct fixture f;
    uint8_t *data;
    size_t len = 4u << 20;

    (void)state;
    start(&f, false);
    f.s.answer_bytes = RPC_FRAME_MAX; /* and some bytes around it */
    join_as(&f, w);
    call_blob(&f);
    loop_until(f.env, &f.done, 1);
    assert_int_equal(f.last_code, ERR_LIMIT);
    end(&f);
    /* Empty messages by the million, two bytes each: refused, not allocated. */
    arena_init(&arena);
    data = mem_alloc(len);
    for (size_t i = 0; i < len; i += 2)
        data[i] = 0x0a;
    bomb = (void *)rpc_unpack(report.base.descriptor, data, len, &arena);
    assert_null(bomb);
    assert_true(arena.used_bytes < (256u << 20));
    arena_release(&arena);
    mem_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_go_both_ways),
        cmocka_unit_test(test_worker_proves_the_secret),
        cmocka_unit_test(test_wrong_secret_or_job_is_refused),
        cmocka_unit_test(test_other_version_names_both),
        cmocka_unit_test(test_garbage_closes_the_connection),
        cmocka_unit_test(test_proofs_are_checked),
        cmocka_unit_test(test_bad_requests_are_refused),
        cmocka_unit_test(test_same_id_twice_and_strange_frames_close),
        cmocka_unit_test(test_deadline_cancel_and_late_answers),
        cmocka_unit_test(test_close_fails_pending_calls_once),
        cmocka_unit_test(test_a_call_may_want_no_answer),
        cmocka_unit_test(test_server_free_closes_everybody),
        cmocka_unit_test(test_silence_in_handshake_and_lost_heartbeats),
        cmocka_unit_test(test_heartbeats_keep_an_idle_peer),
        cmocka_unit_test(test_who_was_paused_itself_looks_once_more),
        cmocka_unit_test(test_no_server),
        cmocka_unit_test(test_open_address_is_refused),
        cmocka_unit_test(test_reader_that_does_not_read_is_paused),
        cmocka_unit_test(test_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
