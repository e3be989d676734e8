/*
 * fuzz_stream.c - the receiving side of a connection: any bytes, cut anywhere, with pauses.
 *
 * The first byte seeds the sizes of the writes and where reading pauses; the rest goes through a socket pair.
 * Frames that arrive are kept for a while, so that a payload freed too early is found.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/env/env.h"
#include "common/net/net_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEPT_MAX 4

struct receiver {
    struct env *env;
    struct net_conn *conn;
    struct env_timer stop;
    uint32_t seed, sum;
    void *kept[KEPT_MAX];
    const uint8_t *kept_data[KEPT_MAX];
    uint32_t kept_length[KEPT_MAX];
    unsigned frames;
    bool closed;
};

static uint32_t next(struct receiver *r)
{
    r->seed = r->seed * 1664525u + 1013904223u;
    return r->seed >> 16;
}

static void on_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct receiver *r = arg;
    unsigned slot = r->frames++ % KEPT_MAX;

    for (uint32_t i = 0; i < frame->length; i++)
        r->sum += frame->payload[i];
    net_payload_free(r->kept[slot]);
    r->kept[slot] = net_frame_take(frame);
    r->kept_data[slot] = frame->payload;
    r->kept_length[slot] = frame->length;
    if (next(r) % 4 == 0)
        r->env->net->ops->pause_reading(conn, true);
}

static void on_close(void *arg, struct net_conn *conn, const struct err *why)
{
    struct receiver *r = arg;

    (void)conn;
    CHECK(why->code < 0 && strlen(why->text) > 0);
    r->closed = true;
}

static void on_stop(struct env_timer *timer)
{
    env_libevent_stop(CONTAINER_OF(timer, struct receiver, stop)->env);
}

/* Frames of the input rarely have the right checksum: the one of the first is repaired. */
static size_t repair(uint8_t *bytes, size_t size)
{
    struct net_frame frame;
    struct net_iov part;
    uint32_t crc;

    if (size < NET_HEADER_BYTES ||
        net_header_decode(bytes, NET_PAYLOAD_MAX, &frame, &crc, NULL) != 0 ||
        frame.length > size - NET_HEADER_BYTES)
        return size;
    part = (struct net_iov){bytes + NET_HEADER_BYTES, frame.length};
    net_header_encode(&frame, net_frame_crc(bytes, &part, 1), bytes);
    return NET_HEADER_BYTES + frame.length;
}

static void turn(struct receiver *r)
{
    env_timer_arm(r->env, &r->stop, 0);
    CHECK(env_libevent_run(r->env) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct net_handler handler = {.on_frame = on_frame, .on_close = on_close};
    static struct env *env;
    static uint8_t bytes[65536];
    struct receiver r = {.stop = {.cb = on_stop}};
    int pair[2];

    if (env == NULL)
        env = env_libevent_new(NULL);
    if (size < 1 || size > sizeof(bytes))
        return 0;
    r.env = env;
    r.seed = data[0];
    size--;
    memcpy(bytes, data + 1, size);
    for (size_t at = 0; at < size;)
        at += repair(bytes + at, size - at);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    r.conn = net_libevent_adopt_fd(env->net, pair[0]);
    env->net->ops->set_handler(r.conn, &handler, &r);
    for (size_t at = 0; at < size && !r.closed;) {
        size_t len = MIN(size - at, 1 + next(&r) % 200);

        if (send(pair[1], bytes + at, len, MSG_NOSIGNAL) != (ssize_t)len)
            break;
        at += len;
        turn(&r);
        if (!r.closed)
            env->net->ops->pause_reading(r.conn, false);
    }
    turn(&r);
    for (unsigned i = 0; i < KEPT_MAX; i++) {
        for (uint32_t k = 0; k < r.kept_length[i]; k++)
            r.sum -= r.kept_data[i][k];
        net_payload_free(r.kept[i]);
    }
    close(pair[1]);
    if (!r.closed)
        env->net->ops->close(r.conn);
    turn(&r);
    turn(&r);
    return 0;
}
