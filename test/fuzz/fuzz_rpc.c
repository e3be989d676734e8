/*
 * fuzz_rpc.c - any frames on a server's connection: handshakes, requests, answers, cancellations, and what follows from them.
 *
 * A net of the fuzzer hands the frames over without sockets, checksums or time.  Input: records of kind, flags, stream,
 * length (one byte each) and payload; flags bit 7: the right token.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/rpc/rpc.h"
#include "common/rpc/rpc_private.h"

#define FENCE 77
#define HELD_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct net_conn {
    const struct net_handler *handler;
    void *arg;
    bool closed;
};
struct net_listener {
    net_accept_fn *accept;
    void *arg;
};

struct fuzz {
    struct env env;
    struct net net;
    struct net_listener listener;
    struct net_conn conn;
    struct rpc_server *server;
    struct rpc_request *held[HELD_MAX];
    size_t held_count;
};

/* ---- a net and an env that do nothing by themselves ---- */

static struct fuzz *current; /* net_ops know no owner */

static int listen_op(struct net *net, const char *address, net_accept_fn *fn, void *arg, struct net_listener **ret,
                     struct err *err)
{
    (void)net;
    (void)address;
    (void)err;
    current->listener = (struct net_listener){fn, arg};
    *ret = &current->listener;
    return 0;
}
static void listener_close_op(struct net_listener *listener)
{
    (void)listener;
}
static void set_handler_op(struct net_conn *conn, const struct net_handler *handler, void *arg)
{
    conn->handler = handler;
    conn->arg = arg;
}
static void set_limit_op(struct net_conn *conn, uint32_t max)
{
    (void)conn;
    (void)max;
}
static void send_op(struct net_conn *conn, const struct net_frame *frame)
{
    CHECK(!conn->closed);
    CHECK(frame->kind < NET_KIND_MAX);
}
static void send_parts_op(struct net_conn *conn, const struct net_frame *frame, const struct net_iov *parts,
                          size_t part_count, void (*release)(void *arg), void *release_arg)
{
    send_op(conn, frame);
    CHECK(part_count == 1);
    CHECK(parts[0].len == frame->length);
    release(release_arg);
}
static size_t queued_bytes_op(struct net_conn *conn)
{
    (void)conn;
    return 0;
}
static void pause_op(struct net_conn *conn, bool paused)
{
    (void)conn;
    (void)paused;
}
static void close_op(struct net_conn *conn)
{
    conn->closed = true;
}
static const char *peer_op(struct net_conn *conn)
{
    (void)conn;
    return "fuzzer";
}
static uint64_t now_op(struct env *env)
{
    (void)env;
    return 1;
}
static void timer_arm_op(struct env *env, struct env_timer *timer, uint64_t delay_ns)
{
    (void)env;
    (void)delay_ns;
    timer->armed = true;
}
static void timer_cancel_op(struct env *env, struct env_timer *timer)
{
    (void)env;
    timer->armed = false;
}
static bool log_enabled_op(struct env *env, enum log_level level, const char *module)
{
    (void)env;
    (void)level;
    (void)module;
    return false;
}

static const struct net_ops net_ops = {
    .listen = listen_op,
    .listener_close = listener_close_op,
    .set_handler = set_handler_op,
    .set_limit = set_limit_op,
    .send = send_op,
    .send_parts = send_parts_op,
    .queued_bytes = queued_bytes_op,
    .pause_reading = pause_op,
    .close = close_op,
    .peer = peer_op,
};
static const struct env_ops env_ops = {
    .now_ns = now_op,
    .rand_u64 = now_op,
    .timer_arm = timer_arm_op,
    .timer_cancel = timer_cancel_op,
    .log_enabled = log_enabled_op,
};

/* ---- the server's owner: answers every other request, late ---- */

static void on_request(void *arg, struct rpc_peer *peer, enum rpc_method method, const ProtobufCMessage *message,
                       struct rpc_request *request)
{
    struct fuzz *f = arg;
    uint8_t *packed = mem_alloc(protobuf_c_message_get_packed_size(message) + 1);

    CHECK(rpc_row((uint32_t)method) != NULL);
    CHECK(rpc_fence(peer) == FENCE);
    protobuf_c_message_pack(message, packed); /* all of it can be read */
    mem_free(packed);
    if (f->held_count < HELD_MAX)
        f->held[f->held_count++] = request;
    else
        rpc_fail(request, ERR_LIMIT, "enough");
}

static bool secret_of(void *arg, const struct id *job_id, uint64_t job_epoch, uint8_t ret_secret[32])
{
    (void)arg;
    (void)job_epoch;
    memset(ret_secret, job_id->bytes[0], 32);
    return job_id->bytes[0] != 0;
}

static void answer_all(struct fuzz *f)
{
    for (size_t i = 0; i < f->held_count; i++)
        rpc_fail(f->held[i], ERR_NOT_FOUND, "request %zu", i);
    f->held_count = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rpc_handler handler = {.on_request = on_request};
    struct fuzz f = {.env = {.ops = &env_ops}, .net = {&net_ops}};
    struct rpc_server_options options = {.address = "inproc:fuzz", .fence = FENCE, .secret_of = secret_of,
                                         .handler = &handler, .arg = &f};
    struct err err;

    current = &f;
    f.env.net = &f.net;
    CHECK(rpc_server_new(&f.env, &options, &f.server, &err) == 0);
    f.listener.accept(f.listener.arg, &f.conn);
    while (size >= 4 && !f.conn.closed) {
        struct net_frame frame = {.kind = data[0] % NET_KIND_MAX, .flags = data[1] & 0x7f, .stream = data[2]};

        frame.epoch = data[1] & 0x80 ? FENCE : 0;
        frame.length = (uint32_t)MIN(size - 4, (size_t)data[3] * 4);
        frame.payload = data + 4;
        size -= 4 + frame.length;
        f.conn.handler->on_frame(f.conn.arg, &f.conn, &frame);
        data += 4 + frame.length;
        if (f.held_count > 3)
            answer_all(&f);
    }
    if (!f.conn.closed && size > 0) { /* the connection breaks */
        err_set(&err, ERR_CLOSED, "gone");
        f.conn.handler->on_close(f.conn.arg, &f.conn, &err);
    }
    rpc_server_free(f.server);
    answer_all(&f);
    return 0;
}
