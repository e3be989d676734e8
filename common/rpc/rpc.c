/*
 * rpc.c - a peer after its handshake: calls, requests, cancellation, heartbeats, the end of the connection.
 *
 * Every callback of the owner runs from an event of the network or of a timer, with peer->busy raised, so that the
 * owner may close the peer inside.  A peer is freed when it is closed and no callback runs.
 * Thread: the loop.
 */
#include <string.h>

#include "common/rpc/rpc_private.h"

struct rpc_call {
    uint32_t id;
    enum rpc_method method;
    struct rpc_peer *peer;
    rpc_done_fn *done;
    void *arg;
    struct env_timer deadline;
    uint32_t deadline_ms;
    struct err *failed; /* owned; set when the request never left: told by the timer */
    uint8_t *repeat;    /* simulations only: the request, to be sent again after its answer came; owned */
    uint32_t repeat_len;
    bool repeats;       /* the deadline is that of the repetition */
};

struct rpc_request {
    struct rpc_peer *peer; /* NULL: closed or canceled, nobody waits */
    uint32_t id;
    enum rpc_method method;
};

/* ---- messages ---- */

static void release_buffer(void *arg)
{
    mem_free(arg);
}

void rpc_send_message(struct env *env, struct net_conn *conn, const struct net_frame *head,
                      const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *buffer = mem_alloc(len ? len : 1);
    struct net_frame frame = *head;
    struct net_iov part = {buffer, len};

    CHECK(protobuf_c_message_pack(message, buffer) == len);
    frame.length = (uint32_t)len;
    env->net->ops->send_parts(conn, &frame, &part, 1, release_buffer, buffer);
}

struct unpack_arena {
    struct arena *arena;
    size_t bytes_left;
};

static void *unpack_alloc(void *data, size_t size)
{
    struct unpack_arena *a = data;

    if (size > a->bytes_left)
        return NULL;
    a->bytes_left -= size;
    return arena_alloc(a->arena, size);
}

static void unpack_free(void *data, void *p)
{
    (void)data; /* the arena goes as a whole */
    (void)p;
}

ProtobufCMessage *rpc_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
                             struct arena *arena)
{
    /* Two bytes on the wire can stand for an empty message of 150 in memory: bound what a peer can make us hold. */
    struct unpack_arena limited = {arena, MIN(len * 32 + 65536, (size_t)192 << 20)};
    ProtobufCAllocator allocator = {unpack_alloc, unpack_free, &limited};
    static const uint8_t nothing[1];

    if (len > NET_PAYLOAD_MAX)
        return NULL;
    return protobuf_c_message_unpack(type, &allocator, len, data ? data : nothing);
}

bool rpc_id(const ProtobufCBinaryData *data, struct id *ret_id)
{
    memset(ret_id, 0, sizeof(*ret_id));
    if (data->len != sizeof(ret_id->bytes))
        return false;
    memcpy(ret_id->bytes, data->data, sizeof(ret_id->bytes));
    return true;
}

ProtobufCBinaryData rpc_id_data(const struct id *id)
{
    return (ProtobufCBinaryData){sizeof(id->bytes), (uint8_t *)id->bytes};
}

/* ---- life of a peer ---- */

static void on_timer(struct env_timer *timer);

struct rpc_peer *rpc_peer_new(struct env *env, const struct rpc_handler *handler, void *arg)
{
    struct rpc_peer *peer = MEM_NEW(struct rpc_peer);

    peer->magic = RPC_PEER_MAGIC;
    peer->env = env;
    peer->handler = *handler;
    peer->arg = arg;
    peer->calls = map_new();
    peer->requests = map_new();
    peer->timer.cb = on_timer;
    peer->stats = peer->own_stats;
    peer->interval_ms = RPC_HEARTBEAT_MS;
    peer->timeout_ms = RPC_HEARTBEAT_TIMEOUT_MS;
    peer->heard_ns = env_now_ns(env);
    list_init(&peer->in_server);
    env_timer_arm_ms(env, &peer->timer, RPC_HANDSHAKE_MS);
    return peer;
}

static void call_free(struct rpc_call *call)
{
    env_timer_cancel(call->peer->env, &call->deadline);
    mem_free(call->repeat);
    mem_free(call->failed);
    mem_free(call);
}

void rpc_peer_free(struct rpc_peer *peer)
{
    CHECK(peer->state == RPC_PEER_CLOSED);
    if (peer->busy > 0)
        return;
    CHECK(map_size(peer->calls) == 0);
    CHECK(map_size(peer->requests) == 0);
    map_free(peer->calls);
    map_free(peer->requests);
    mem_free(peer->name);
    memset(&peer->identity, 0, sizeof(peer->identity));
    peer->magic = 0;
    mem_free(peer);
}

/* No connection from here on; nobody hears of it. */
static void peer_detach(struct rpc_peer *peer)
{
    struct rpc_server *server = peer->server;

    if (peer->conn)
        peer->env->net->ops->close(peer->conn);
    peer->conn = NULL;
    env_timer_cancel(peer->env, &peer->timer);
    for (struct map_iter it = map_iter(peer->requests); map_next(&it);) {
        ((struct rpc_request *)it.value)->peer = NULL;
        map_remove(peer->requests, it.key, it.key_len);
    }
    if (server) {
        if (peer->state != RPC_PEER_READY)
            rpc_server_settled(server);
        rpc_server_forget(server, peer);
        peer->stats = peer->own_stats;
        peer->server = NULL;
    }
    peer->state = RPC_PEER_CLOSED;
}

static struct rpc_call *first_call(struct rpc_peer *peer)
{
    struct map_iter it = map_iter(peer->calls);

    return map_next(&it) ? it.value : NULL;
}

static void call_done(struct rpc_call *call, const struct err *error, const ProtobufCMessage *response)
{
    struct rpc_peer *peer = call->peer;

    map_remove_u64(peer->calls, call->id);
    if (error)
        peer->stats[call->method].failures++;
    if (call->done)
        call->done(call->arg, error, response);
    call_free(call);
}

void rpc_peer_fail(struct rpc_peer *peer, const struct err *why)
{
    struct rpc_server *server = peer->server;
    bool was_ready = peer->state == RPC_PEER_READY;
    struct err closed = {.code = ERR_CLOSED};
    struct rpc_call *call;

    CHECK(peer->state != RPC_PEER_CLOSED);
    if (server && !was_ready)
        rpc_server_refused(server, peer->name, why);
    peer_detach(peer);
    peer->busy++;
    memcpy(closed.text, why->text, sizeof(closed.text));
    while ((call = first_call(peer)) != NULL)
        call_done(call, &closed, NULL);
    if (peer->handler.on_close && (was_ready || !server))
        peer->handler.on_close(peer->arg, peer, why);
    peer->busy--;
    rpc_peer_free(peer);
}

void rpc_close(struct rpc_peer *peer)
{
    struct rpc_call *call;

    if (peer->state == RPC_PEER_CLOSED)
        return; /* inside on_close: it goes by itself */
    peer_detach(peer);
    while ((call = first_call(peer)) != NULL) {
        map_remove_u64(peer->calls, call->id);
        call_free(call);
    }
    rpc_peer_free(peer);
}

void rpc_peer_ready(struct rpc_peer *peer)
{
    bool accepted = peer->server != NULL;

    peer->state = RPC_PEER_READY;
    if (accepted)
        rpc_server_settled(peer->server);
    peer->heard_ns = env_now_ns(peer->env);
    rpc_set_heartbeat(peer, peer->interval_ms, peer->timeout_ms);
    if (peer->handler.on_ready)
        peer->handler.on_ready(peer->arg, peer);
}

struct rpc_peer *rpc_connect(struct env *env, const char *address, const struct rpc_identity *identity,
                             const struct rpc_handler *handler, void *arg)
{
    struct rpc_peer *peer = rpc_peer_new(env, handler, arg);

    CHECK(identity->role == RASK__CONTROL__ROLE__TASKMANAGER || identity->has_secret);
    peer->identity = *identity;
    peer->name = mem_printf("jobmanager at %s", address);
    rpc_nonce(env, peer->nonce);
    peer->conn = env->net->ops->connect(env->net, address, &rpc_net_handler, peer);
    env->net->ops->set_limit(peer->conn, RPC_HANDSHAKE_FRAME);
    if (identity->tls)
        rpc_secure(env, peer->conn, identity, false);
    return peer;
}

/* ---- heartbeats ---- */

static void arm_heartbeat(struct rpc_peer *peer, uint64_t now)
{
    uint64_t ping_at = peer->pinged_ns + (uint64_t)peer->interval_ms * 1000000u;
    uint64_t dead_at = peer->heard_ns + (uint64_t)peer->timeout_ms * 1000000u;

    peer->due_ns = MAX(MIN(ping_at, dead_at), now);
    env_timer_arm(peer->env, &peer->timer, peer->due_ns - now);
}

static void ping(struct rpc_peer *peer)
{
    struct net_frame frame = {.kind = NET_PING, .epoch = peer->fence};

    net_send(peer->env->net, peer->conn, &frame);
    peer->pinged_ns = env_now_ns(peer->env);
}

void rpc_set_heartbeat(struct rpc_peer *peer, uint32_t interval_ms, uint32_t timeout_ms)
{
    peer->interval_ms = interval_ms ? interval_ms : RPC_HEARTBEAT_MS;
    peer->timeout_ms = timeout_ms ? timeout_ms : RPC_HEARTBEAT_TIMEOUT_MS;
    if (peer->state != RPC_PEER_READY)
        return;
    ping(peer);
    arm_heartbeat(peer, peer->pinged_ns);
}

/* After a pause of this process what its peers have said meanwhile waits unread: they have an interval more to be heard. */
static bool was_paused(struct rpc_peer *peer, uint64_t now)
{
    uint64_t interval_ns = (uint64_t)peer->interval_ms * 1000000u;

    if (now - peer->due_ns < interval_ns / 2)
        return false;
    ENV_PROBE(peer->env, "rpc: a heartbeat was awaited in a pause");
    ping(peer);
    peer->due_ns = now + interval_ns;
    env_timer_arm(peer->env, &peer->timer, interval_ns);
    return true;
}

static void on_timer(struct env_timer *timer)
{
    struct rpc_peer *peer = CONTAINER_OF(timer, struct rpc_peer, timer);
    uint64_t now = env_now_ns(peer->env);
    struct err err = {0};

    if (peer->state != RPC_PEER_READY) {
        err_set(&err, ERR_TIMEOUT, "%s did not finish the handshake within %d s", peer->name,
                RPC_HANDSHAKE_MS / 1000);
        rpc_peer_fail(peer, &err);
        return;
    }
    if (now - peer->heard_ns >= (uint64_t)peer->timeout_ms * 1000000u) {
        if (was_paused(peer, now))
            return;
        ENV_PROBE(peer->env, "rpc: no heartbeat");
        err_set(&err, ERR_TIMEOUT, "%s %s for %u ms (heartbeat.timeout)", peer->name,
                peer->paused ? "did not read its answers" : "gave no sign of life", peer->timeout_ms);
        rpc_peer_fail(peer, &err);
        return;
    }
    if (now - peer->pinged_ns >= (uint64_t)peer->interval_ms * 1000000u)
        ping(peer);
    arm_heartbeat(peer, now);
}

/* ---- calls that we make ---- */

static void repeat_now(struct rpc_call *call)
{
    struct rpc_peer *peer = call->peer;
    struct net_frame frame = {.kind = NET_REQUEST, .flags = (uint16_t)call->method, .epoch = peer->fence};

    ENV_PROBE(peer->env, "rpc: a call is repeated after its answer");
    frame.stream = call->id;
    frame.payload = call->repeat;
    frame.length = call->repeat_len;
    net_send(peer->env->net, peer->conn, &frame);
    mem_free(call->repeat);
    call->repeat = NULL;
    call->repeats = false;
    env_timer_arm_ms(peer->env, &call->deadline, call->deadline_ms);
}

static void on_deadline(struct env_timer *timer)
{
    struct rpc_call *call = CONTAINER_OF(timer, struct rpc_call, deadline);
    struct rpc_peer *peer = call->peer;
    struct net_frame frame = {.kind = NET_CANCEL, .stream = call->id, .epoch = peer->fence};
    struct err err = {0};

    if (call->repeats) {
        repeat_now(call);
        return;
    }
    peer->busy++;
    if (call->failed) {
        err = *call->failed;
    } else {
        net_send(peer->env->net, peer->conn, &frame);
        err_set(&err, ERR_TIMEOUT, "%s did not answer %s within %u ms", peer->name,
                rpc_method_name(call->method), call->deadline_ms);
    }
    call_done(call, &err, NULL);
    peer->busy--;
    if (peer->state == RPC_PEER_CLOSED)
        rpc_peer_free(peer);
}

static uint32_t next_id(struct rpc_peer *peer)
{
    do
        peer->next_call++;
    while (peer->next_call == 0 || map_get_u64(peer->calls, peer->next_call));
    return peer->next_call;
}

/* What a caller does whose answer was lost: in a simulation some calls are made twice, the second time before or after
 * the first answer. The last answer counts. */
static void plan_repeat(struct rpc_call *call, const ProtobufCMessage *message, const struct net_frame *head, size_t len)
{
    struct rpc_peer *peer = call->peer;
    struct net_frame frame = *head;

    if (!(rpc_row(call->method)->flags & RPC_IDEMPOTENT))
        return;
    if (ENV_BUGGIFY(peer->env)) {
        ENV_PROBE(peer->env, "rpc: a call is repeated at once");
        frame.stream = next_id(peer); /* nobody waits for this answer */
        rpc_send_message(peer->env, peer->conn, &frame, message);
    } else if (ENV_BUGGIFY(peer->env)) {
        call->repeat = mem_alloc(len + 1);
        call->repeat_len = (uint32_t)len;
        CHECK(protobuf_c_message_pack(message, call->repeat) == len);
    }
}

/* True: the answer counts as lost, the call is made again, at once or after a while. */
static bool repeat_later(struct rpc_peer *peer, struct rpc_call *call)
{
    if (!call->repeat)
        return false;
    call->repeats = true;
    env_timer_arm_ms(peer->env, &call->deadline, ENV_BUGGIFY(peer->env) ? env_rand_u64(peer->env) % 3000 : 0);
    return true;
}

uint32_t rpc_call(struct rpc_peer *peer, enum rpc_method method, const ProtobufCMessage *message,
                  uint32_t deadline_ms, rpc_done_fn *done, void *arg)
{
    const struct rpc_row *row = rpc_row(method);
    struct net_frame frame = {.kind = NET_REQUEST, .flags = (uint16_t)method, .epoch = peer->fence};
    struct rpc_call *call = MEM_NEW(struct rpc_call);
    size_t len = protobuf_c_message_get_packed_size(message);
    struct err err = {0};

    CHECK(row != NULL);
    CHECK(message->descriptor == row->request);
    CHECK(peer->state == RPC_PEER_READY || peer->state == RPC_PEER_CLOSED);
    *call = (struct rpc_call){.id = next_id(peer), .method = method, .peer = peer, .done = done,
                              .arg = arg, .deadline_ms = deadline_ms ? deadline_ms : row->deadline_ms};
    call->deadline.cb = on_deadline;
    peer->stats[method].calls++;
    if (len > RPC_FRAME_MAX)
        err_set(&err, ERR_LIMIT, "%s of %zu bytes is over the limit of %u", row->name, len,
                RPC_FRAME_MAX);
    else if (map_size(peer->calls) >= RPC_CALLS_MAX)
        err_set(&err, ERR_LIMIT, "%zu calls to %s are unanswered", map_size(peer->calls), peer->name);
    map_put_u64(peer->calls, call->id, call);
    if (peer->state == RPC_PEER_CLOSED)
        return call->id; /* made while the peer's calls fail: it is one of them */
    if (err.code < 0) {
        call->failed = mem_dup(&err, sizeof(err));
        env_timer_arm(peer->env, &call->deadline, 0);
        return call->id;
    }
    frame.stream = call->id;
    peer->stats[method].bytes_out += len;
    plan_repeat(call, message, &frame, len);
    rpc_send_message(peer->env, peer->conn, &frame, message);
    env_timer_arm_ms(peer->env, &call->deadline, call->deadline_ms);
    return call->id;
}

void rpc_call_cancel(struct rpc_peer *peer, uint32_t id)
{
    struct rpc_call *call = map_remove_u64(peer->calls, id);
    struct net_frame frame = {.kind = NET_CANCEL, .stream = id, .epoch = peer->fence};

    if (!call)
        return;
    if (peer->conn && !call->failed)
        net_send(peer->env->net, peer->conn, &frame);
    call_free(call);
}

static void on_response(struct rpc_peer *peer, const struct net_frame *frame)
{
    struct rpc_call *call = map_get_u64(peer->calls, frame->stream);
    const struct rpc_row *row;
    ProtobufCMessage *message;
    Rask__Control__Failure *failure;
    struct err err = {0};
    struct arena arena;

    if (!call || call->failed)
        return; /* late: its deadline has passed, or the caller has canceled it */
    if (repeat_later(peer, call))
        return;
    row = rpc_row(call->method);
    arena_init(&arena);
    peer->stats[call->method].bytes_in += frame->length;
    message = rpc_unpack(frame->flags == 0 ? row->response : &rask__control__failure__descriptor,
                         frame->payload, frame->length, &arena);
    if (!message || frame->flags > 1) {
        err_set(&err, ERR_PROTOCOL, "malformed answer to %s from %s", row->name, peer->name);
    } else if (frame->flags == 1) {
        failure = (void *)message;
        err_set(&err, failure->code < 0 ? failure->code : ERR_PROTOCOL, "%s", failure->text);
    }
    call_done(call, err.code < 0 ? &err : NULL, err.code < 0 ? NULL : message);
    arena_release(&arena);
}

/* ---- requests that we answer ---- */

/* A peer that does not read its answers is not read either, until they are gone. */
static void pause_if_full(struct rpc_peer *peer)
{
    const struct net_ops *ops = peer->env->net->ops;

    if (!peer->server || peer->paused || ops->queued_bytes(peer->conn) <= NET_HIGH_WATER_BYTES)
        return;
    peer->paused = true;
    ops->pause_reading(peer->conn, true);
}

static void send_failure(struct rpc_peer *peer, uint32_t id, uint32_t method, const struct err *err)
{
    Rask__Control__Failure failure = RASK__CONTROL__FAILURE__INIT;
    struct net_frame frame = {.kind = NET_RESPONSE, .flags = 1, .stream = id, .epoch = peer->fence};

    failure.code = err->code;
    failure.text = (char *)err->text;
    if (rpc_row(method))
        peer->stats[method].failures++;
    rpc_send_message(peer->env, peer->conn, &frame, &failure.base);
    pause_if_full(peer);
}

/* Everything that can be refused before the handler sees it. */
static int check_request(struct rpc_peer *peer, const struct net_frame *frame, struct err *err)
{
    const struct rpc_row *row = rpc_row(frame->flags);
    int from = peer->server ? (int)peer->identity.role : RPC_FROM_JOBMANAGER;

    if (!row)
        return err_set(err, ERR_UNSUPPORTED, "no method has number %u: one side is of another version",
                       frame->flags);
    if (row->from != from)
        return err_set(err, ERR_PERMISSION, "%s is not a call that %s may make", row->name,
                       peer->name);
    if ((row->flags & RPC_FENCED) && frame->epoch != peer->fence)
        return err_set(err, ERR_STALE,
                       "%s carries the token %016llx of another leader's term, this one is %016llx",
                       row->name, (unsigned long long)frame->epoch, (unsigned long long)peer->fence);
    if (map_size(peer->requests) >= RPC_REQUESTS_MAX)
        return err_set(err, ERR_LIMIT, "%d requests of %s are unanswered", RPC_REQUESTS_MAX,
                       peer->name);
    return 0;
}

static void on_request(struct rpc_peer *peer, const struct net_frame *frame)
{
    const struct rpc_row *row;
    struct rpc_request *request;
    ProtobufCMessage *message;
    struct err err = {0};
    struct arena arena;

    if (frame->stream == 0 || map_get_u64(peer->requests, frame->stream)) {
        err_set(&err, ERR_PROTOCOL, "%s used request id %u twice", peer->name, frame->stream);
        rpc_peer_fail(peer, &err);
        return;
    }
    if (check_request(peer, frame, &err) < 0) {
        send_failure(peer, frame->stream, frame->flags, &err);
        return;
    }
    row = rpc_row(frame->flags);
    peer->stats[frame->flags].calls++;
    peer->stats[frame->flags].bytes_in += frame->length;
    arena_init(&arena);
    message = rpc_unpack(row->request, frame->payload, frame->length, &arena);
    if (!message) {
        err_set(&err, ERR_PROTOCOL, "malformed %s of %u bytes", row->name, frame->length);
        send_failure(peer, frame->stream, frame->flags, &err);
    } else {
        request = MEM_NEW(struct rpc_request);
        *request = (struct rpc_request){peer, frame->stream, (enum rpc_method)frame->flags};
        map_put_u64(peer->requests, request->id, request);
        CHECK(peer->handler.on_request != NULL);
        peer->handler.on_request(peer->arg, peer, request->method, message, request);
    }
    arena_release(&arena);
}

void rpc_reply(struct rpc_request *request, const ProtobufCMessage *response)
{
    struct rpc_peer *peer = request->peer;
    const struct rpc_row *row = rpc_row(request->method);
    size_t len = protobuf_c_message_get_packed_size(response);
    struct net_frame frame = {.kind = NET_RESPONSE, .stream = request->id};

    CHECK(response->descriptor == row->response);
    if (peer && len > RPC_FRAME_MAX) {
        rpc_fail(request, ERR_LIMIT, "the answer to %s has %zu bytes, over the limit of %u", row->name,
                 len, RPC_FRAME_MAX);
        return;
    }
    if (peer) {
        map_remove_u64(peer->requests, request->id);
        peer->stats[request->method].bytes_out += len;
        frame.epoch = peer->fence;
        rpc_send_message(peer->env, peer->conn, &frame, response);
        pause_if_full(peer);
    }
    mem_free(request);
}

void rpc_fail(struct rpc_request *request, int code, const char *fmt, ...)
{
    struct rpc_peer *peer = request->peer;
    struct err err = {0};
    va_list ap;

    if (peer) {
        va_start(ap, fmt);
        err_vset(&err, code, fmt, ap);
        va_end(ap);
        map_remove_u64(peer->requests, request->id);
        send_failure(peer, request->id, request->method, &err);
    }
    mem_free(request);
}

void rpc_ok(struct rpc_request *request)
{
    Rask__Control__Empty empty = RASK__CONTROL__EMPTY__INIT;

    rpc_reply(request, &empty.base);
}

static void on_cancel(struct rpc_peer *peer, const struct net_frame *frame)
{
    struct rpc_request *request = map_remove_u64(peer->requests, frame->stream);

    if (request)
        request->peer = NULL; /* its answer will be dropped */
}

/* ---- events of the connection ---- */

static void ready_frame(struct rpc_peer *peer, const struct net_frame *frame)
{
    struct net_frame pong = {.kind = NET_PONG, .epoch = peer->fence};
    struct err err = {0};

    switch (frame->kind) {
    case NET_REQUEST:
        on_request(peer, frame);
        break;
    case NET_RESPONSE:
        on_response(peer, frame);
        break;
    case NET_CANCEL:
        on_cancel(peer, frame);
        break;
    case NET_PING:
        net_send(peer->env->net, peer->conn, &pong);
        pause_if_full(peer);
        break;
    case NET_PONG:
        break;
    default:
        err_set(&err, ERR_PROTOCOL, "%s sent a frame of kind %u after the handshake", peer->name,
                frame->kind);
        rpc_peer_fail(peer, &err);
    }
}

static void net_on_open(void *arg, struct net_conn *conn)
{
    struct rpc_peer *peer = MAGIC_CAST(arg, struct rpc_peer, RPC_PEER_MAGIC);

    CHECK(peer->conn == conn);
    peer->state = RPC_PEER_HELLO;
    rpc_send_hello(peer->env, conn, &peer->identity, peer->nonce);
}

static void net_on_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct rpc_peer *peer = MAGIC_CAST(arg, struct rpc_peer, RPC_PEER_MAGIC);

    CHECK(peer->conn == conn);
    peer->busy++;
    peer->heard_ns = env_now_ns(peer->env);
    if (peer->state == RPC_PEER_READY)
        ready_frame(peer, frame);
    else
        rpc_handshake_frame(peer, frame);
    peer->busy--;
    if (peer->state == RPC_PEER_CLOSED)
        rpc_peer_free(peer);
}

static void net_on_drained(void *arg, struct net_conn *conn)
{
    struct rpc_peer *peer = MAGIC_CAST(arg, struct rpc_peer, RPC_PEER_MAGIC);

    if (!peer->paused)
        return;
    peer->paused = false;
    peer->heard_ns = env_now_ns(peer->env); /* it has read: that is a sign of life */
    peer->env->net->ops->pause_reading(conn, false);
}

static void net_on_close(void *arg, struct net_conn *conn, const struct err *why)
{
    struct rpc_peer *peer = MAGIC_CAST(arg, struct rpc_peer, RPC_PEER_MAGIC);
    struct err err = *why;

    CHECK(peer->conn == conn);
    peer->conn = NULL; /* invalid after this callback */
    err_wrap(&err, "%s", peer->name);
    rpc_peer_fail(peer, &err);
}

const struct net_handler rpc_net_handler = {
    .on_open = net_on_open,
    .on_frame = net_on_frame,
    .on_drained = net_on_drained,
    .on_close = net_on_close,
};

/* ---- small questions ---- */

const char *rpc_peer_name(struct rpc_peer *peer)
{
    return peer->name;
}

const struct rpc_identity *rpc_peer_identity(struct rpc_peer *peer)
{
    return &peer->identity;
}

uint64_t rpc_fence(struct rpc_peer *peer)
{
    return peer->fence;
}

void rpc_set_arg(struct rpc_peer *peer, void *arg)
{
    peer->arg = arg;
}

size_t rpc_queued_bytes(struct rpc_peer *peer)
{
    return peer->conn ? peer->env->net->ops->queued_bytes(peer->conn) : 0;
}

const struct rpc_method_stats *rpc_peer_stats(const struct rpc_peer *peer, enum rpc_method method)
{
    CHECK((uint32_t)method < RPC_METHOD_MAX);
    return &peer->stats[method];
}
