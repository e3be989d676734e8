/*
 * sim_net.c - simulated connections: frames in order per connection, with drawn delays, until something breaks.
 *
 * A frame is really encoded, checksummed, carried as bytes and decoded.  A sender has a window of drawn size,
 * as a socket has: beyond it frames stay in its queue until the receiver has consumed what is under
 * way.  When a connection breaks, each direction keeps a drawn prefix of what was on the way.
 */
#include <string.h>

#include "test/sim/sim_net_private.h"

#define WINDOW_MIN               (16u << 10)
#define WINDOW_MAX               (512u << 10)
#define STALL_MIN_NS             (10 * (uint64_t)SIM_S)
#define STALL_MAX_NS             (60 * (uint64_t)SIM_S)
#define POWER_CUT_NOTICED_MAX_NS (30 * (uint64_t)SIM_S)
#define RESET                    "Connection reset by peer"

struct sim_streams *sim_net_streams(const struct net_conn *e)
{
    return &e->env->node->streams;
}

uint64_t sim_net_delay(struct sim *sim, const struct sim_host *a, const struct sim_host *b)
{
    uint64_t mean = a == b ? sim->delay_mean_ns / 4 : sim->delay_mean_ns;

    return (sim_draw_exponential(&sim->streams, STREAM_NET, mean) + 10 * SIM_US) *
           MAX(a->slow, b->slow);
}

/* ---- parcels ---- */

static void parcel_free(struct parcel *p)
{
    list_remove(&p->node);
    if (p->release != NULL)
        p->release(p->release_arg);
    net_buffer_unref(p->buffer);
    mem_free(p->parts);
    mem_free(p->end);
    mem_free(p);
}

/* Copies what was borrowed. Whoever changes it before its release is found out by the checksum. */
static void parcel_copy(struct parcel *p, size_t align)
{
    size_t at;

    if (p->buffer != NULL || p->end != NULL)
        return;
    p->buffer = net_buffer_new(align + p->len);
    p->offset = align;
    memcpy(p->buffer->data + align, p->header, NET_HEADER_BYTES);
    at = align + NET_HEADER_BYTES;
    for (size_t i = 0; i < p->part_count; i++) {
        if (p->parts[i].len > 0)
            memcpy(p->buffer->data + at, p->parts[i].data, p->parts[i].len);
        at += p->parts[i].len;
    }
    if (p->release != NULL)
        p->release(p->release_arg);
    p->release = NULL;
}

/* Payloads lie as they would in a receive buffer: behind one another, a fresh buffer now and then. */
static size_t next_align(struct net_conn *e, size_t len)
{
    size_t align = e->align;

    if (sim_draw_chance(sim_net_streams(e), STREAM_NET, 1, 4))
        align = 0;
    e->align = (align + len) % 16;
    return align;
}

/* ---- ends ---- */

struct net_conn *sim_end_new(struct sim_env *env, const char *peer_name, bool outgoing)
{
    struct net_conn *e = MEM_NEW(struct net_conn);

    e->magic = SIM_MAGIC_CONN;
    e->sim = env->sim;
    e->env = env;
    e->limit = NET_PAYLOAD_MAX;
    e->peer_name = mem_strdup(peer_name);
    e->text = mem_printf("connection %s %s", outgoing ? "to" : "from", peer_name);
    e->accepted = !outgoing;
    e->window = sim_draw_range(sim_net_streams(e), STREAM_NET, WINDOW_MIN, WINDOW_MAX);
    list_init(&e->queue);
    list_init(&e->inbound);
    list_push_back(&e->sim->conns, &e->node);
    return e;
}

void sim_end_enter(struct net_conn *e)
{
    e->busy++;
}

void sim_end_leave(struct net_conn *e)
{
    CHECK(e->busy > 0);
    e->busy--;
    if (e->busy > 0 || e->state != END_DEAD)
        return;
    e->magic = 0;
    mem_free(e->peer_name);
    mem_free(e->text);
    mem_free(e->address);
    mem_free(e);
}

void sim_end_drop_queue(struct net_conn *e)
{
    while (!list_empty(&e->queue))
        parcel_free(LIST_ENTRY(e->queue.next, struct parcel, node));
    e->queued = 0;
}

void sim_end_drop_inbound(struct net_conn *e, size_t keep)
{
    LIST_FOREACH_SAFE (node, &e->inbound) {
        if (keep > 0)
            keep--;
        else
            parcel_free(LIST_ENTRY(node, struct parcel, node));
    }
}

void sim_end_free(struct net_conn *e)
{
    CHECK(e->state != END_DEAD);
    e->state = END_DEAD;
    e->handler = NULL;
    sim_end_enter(e);
    CHECK(e->peer == NULL);
    sim_event_cancel(e->sim, &e->flush_event);
    sim_event_cancel(e->sim, &e->arrive_event);
    sim_event_cancel(e->sim, &e->stall_event);
    sim_event_cancel(e->sim, &e->notify_event);
    sim_event_cancel(e->sim, &e->connect_event);
    sim_end_drop_queue(e);
    sim_end_drop_inbound(e, 0);
    list_remove(&e->node);
    sim_end_leave(e);
}

bool sim_end_is_cut(const struct net_conn *e)
{
    return e->peer_host != NULL && sim_link(e->sim, e->peer_host, e->env->node->host)->cut;
}

static void fire_flush(struct sim_event *event)
{
    struct net_conn *e = CONTAINER_OF(event, struct net_conn, flush_event);

    sim_end_enter(e); /* a release may close it */
    sim_end_pump(e);
    sim_end_leave(e);
}

static void schedule_flush(struct net_conn *e)
{
    if (e->flush_event.position != 0 || e->state != END_OPEN || list_empty(&e->queue))
        return;
    e->flush_event.fire = fire_flush;
    e->flush_event.what = "flush";
    e->flush_event.host = e->env->node->host;
    sim_event_add(e->sim, &e->flush_event, 0);
}

/* ---- arriving ---- */

static void consumed(struct net_conn *e, size_t bytes)
{
    e->unacked += bytes;
    if (e->peer == NULL) {
        e->unacked = 0;
        return;
    }
    if (sim_end_is_cut(e->peer)) /* the acknowledgement is lost */
        return;
    CHECK(e->peer->in_flight >= e->unacked);
    e->peer->in_flight -= e->unacked;
    e->unacked = 0;
    schedule_flush(e->peer);
}

static void report_end(struct net_conn *e, const struct err *why)
{
    const struct net_handler *handler = e->handler;
    struct err copy = *why;

    sim_end_part(e);
    sim_end_drop_inbound(e, 0);
    if (handler != NULL && handler->on_close != NULL)
        handler->on_close(e->arg, e, &copy);
    if (e->state != END_DEAD)
        sim_end_free(e);
}

static void report_bad_frame(struct net_conn *e, struct err *err)
{
    err_wrap(err, "%s", e->text);
    if (e->peer != NULL)
        sim_end_put_end(e->peer,
                        e->sim->now_ns + sim_net_delay(e->sim, e->peer_host, e->env->node->host),
                        false, RESET);
    report_end(e, err);
}

static void deliver(struct net_conn *e, struct parcel *p)
{
    struct net_frame frame;
    struct err err;
    uint8_t *bytes = p->buffer->data + p->offset;
    uint32_t crc;

    sim_mix(e->sim, p->len);
    sim_mix_bytes(e->sim, bytes, NET_HEADER_BYTES);
    if (net_header_decode(bytes, e->limit, &frame, &crc, &err) != 0) {
        report_bad_frame(e, &err);
        return;
    }
    if (NET_HEADER_BYTES + (size_t)frame.length != p->len) { /* a flipped bit in the length */
        err_set(&err, ERR_CORRUPT, "frame of %u bytes, but %zu came", frame.length, p->len);
        report_bad_frame(e, &err);
        return;
    }
    frame.payload = bytes + NET_HEADER_BYTES;
    frame.impl = p->buffer;
    if (net_frame_verify(bytes, &frame, crc, &err) != 0) {
        report_bad_frame(e, &err);
        return;
    }
    e->frames_in++;
    if (e->handler != NULL && e->handler->on_frame != NULL)
        e->handler->on_frame(e->arg, e, &frame);
    if (e->state != END_DEAD)
        consumed(e, p->len);
}

static void fire_arrive(struct sim_event *event)
{
    struct net_conn *e = CONTAINER_OF(event, struct net_conn, arrive_event);
    struct parcel *p = LIST_ENTRY(list_pop_front(&e->inbound), struct parcel, node);

    sim_end_enter(e);
    if (p->end != NULL)
        report_end(e, p->end);
    else
        deliver(e, p);
    parcel_free(p);
    if (e->state == END_OPEN)
        sim_end_schedule(e);
    sim_end_leave(e);
}

void sim_end_schedule(struct net_conn *e)
{
    struct parcel *head = LIST_ENTRY(e->inbound.next, struct parcel, node);
    uint64_t at;

    if (e->arrive_event.position != 0 || list_empty(&e->inbound) || e->state != END_OPEN ||
        e->env->muted)
        return;
    if (e->paused && !e->force_end)
        return;
    if (sim_end_is_cut(e) && !head->local)
        return;
    at = MAX(head->at_ns, e->last_arrival_ns);
    if (e->peer_host != NULL)
        at = MAX(at, sim_link(e->sim, e->peer_host, e->env->node->host)->clogged_until_ns);
    e->last_arrival_ns = MAX(at, e->sim->now_ns);
    e->arrive_event.fire = fire_arrive;
    e->arrive_event.what = "frame";
    e->arrive_event.host = e->env->node->host;
    sim_event_add_at(e->sim, &e->arrive_event, at);
}

/* ---- breaking ---- */

static void fire_stall(struct sim_event *event)
{
    struct net_conn *e = CONTAINER_OF(event, struct net_conn, stall_event);
    struct net_conn *peer = e->peer;

    SIM_PROBE("net: a cut connection timed out");
    sim_end_part(e);
    sim_end_drop_inbound(e, 0);
    sim_end_put_end(e, e->sim->now_ns, true, "Connection timed out");
    if (peer != NULL)
        sim_end_put_end(peer, e->sim->now_ns + STALL_MAX_NS, false, RESET);
}

static void watch_stall(struct net_conn *e)
{
    bool cut = e->peer_host != NULL && sim_is_cut(e->sim, e->peer_host, e->env->node->host);

    if (e->state != END_OPEN || !cut) {
        sim_event_cancel(e->sim, &e->stall_event);
    } else if (e->stall_event.position == 0) {
        e->stall_event.fire = fire_stall;
        e->stall_event.what = "stall";
        sim_event_add(e->sim, &e->stall_event,
                      sim_draw_range(sim_net_streams(e), STREAM_NET, STALL_MIN_NS, STALL_MAX_NS));
    }
}

void sim_end_part(struct net_conn *e)
{
    if (e->peer != NULL)
        e->peer->peer = NULL;
    e->peer = NULL;
    e->broken = true; /* the queue stays until the owner has let go: releases are callbacks */
}

void sim_end_put_end(struct net_conn *e, uint64_t at_ns, bool local, const char *why)
{
    struct parcel *p;

    sim_end_part(e);
    if (!list_empty(&e->inbound) && LIST_ENTRY(e->inbound.prev, struct parcel, node)->end != NULL)
        return;
    p = MEM_NEW(struct parcel);
    p->at_ns = at_ns;
    p->local = local;
    p->end = MEM_NEW(struct err);
    err_set(p->end, ERR_CLOSED, "%s: %s", e->text, why);
    list_push_back(&e->inbound, &p->node);
    sim_end_schedule(e);
}

/* Both ends learn of it, each after a drawn part of what was on the way to it. */
static void break_connection(struct net_conn *e)
{
    struct net_conn *ends[2] = {e, e->peer};

    for (size_t i = 0; i < 2; i++) {
        struct net_conn *x = ends[i];
        size_t count = 0;

        if (x == NULL)
            continue;
        LIST_FOREACH (node, &x->inbound)
            count++;
        sim_end_drop_inbound(x, sim_draw_range(sim_net_streams(x), STREAM_NET, 0, count));
        if (list_empty(&x->inbound))
            sim_event_cancel(x->sim, &x->arrive_event);
    }
    for (size_t i = 0; i < 2; i++)
        if (ends[i] != NULL) /* one that is not yet open to its owner learns of it when it is */
            sim_end_put_end(ends[i], ends[i]->sim->now_ns + 1, true, RESET);
}

void sim_break_connections(struct sim_node *a, struct sim_node *b)
{
    struct sim *sim = a->sim;

    LIST_FOREACH (node, &sim->conns) {
        struct net_conn *e = LIST_ENTRY(node, struct net_conn, node);

        if (e->env == a->env && e->peer != NULL && (b == NULL || e->peer->env == b->env))
            break_connection(e);
    }
}

void sim_net_links_changed(struct sim *sim)
{
    LIST_FOREACH (node, &sim->conns) {
        struct net_conn *e = LIST_ENTRY(node, struct net_conn, node);

        sim_event_cancel(sim, &e->arrive_event);
        if (!list_empty(&e->inbound)) { /* what was held up comes after a retransmission */
            struct parcel *head = LIST_ENTRY(e->inbound.next, struct parcel, node);

            if (head->at_ns < sim->now_ns && head->end == NULL)
                head->at_ns =
                    sim->now_ns + sim_draw_exponential(&sim->streams, STREAM_NET, 100 * SIM_MS);
        }
        sim_end_schedule(e);
        consumed(e, 0);
        watch_stall(e);
    }
}

/* ---- sending ---- */

static void notify(struct net_conn *e);

void sim_end_pump(struct net_conn *e)
{
    if (e->state != END_OPEN || e->peer == NULL)
        return;
    while (!list_empty(&e->queue)) {
        struct parcel *p = LIST_ENTRY(e->queue.next, struct parcel, node);

        if (e->in_flight > 0 && e->in_flight + p->len > e->window)
            break;
        list_remove(&p->node);
        e->queued -= p->len;
        e->in_flight += p->len;
        parcel_copy(p, next_align(e, p->len)); /* its release may close e */
        if (e->peer == NULL) {
            parcel_free(p);
            return;
        }
        p->at_ns = e->sim->now_ns + sim_net_delay(e->sim, e->env->node->host, e->peer_host);
        if (e->env->node->corrupt_next) {
            size_t bit = sim_draw(sim_net_streams(e), STREAM_NET) % (p->len * 8);

            p->buffer->data[p->offset + bit / 8] ^= (uint8_t)(1u << (bit % 8));
            e->env->node->corrupt_next = false;
        }
        list_push_back(&e->peer->inbound, &p->node);
        sim_end_schedule(e->peer);
    }
    if (e->over_high_water && e->queued < NET_HIGH_WATER_BYTES / 2) {
        e->over_high_water = false;
        e->notify_drained = true;
        notify(e);
    }
}

static void enqueue(struct net_conn *e, struct parcel *p)
{
    e->frames_out++;
    e->queued += p->len;
    list_push_back(&e->queue, &p->node);
    if (e->queued > NET_HIGH_WATER_BYTES)
        e->over_high_water = true;
    schedule_flush(e);
}

static bool can_send(struct net_conn *e)
{
    if (e->env->muted || e->state == END_DEAD)
        return false;
    if (e->broken) { /* the write fails, and that is noticed even while reading is paused */
        if (e->paused && !list_empty(&e->inbound)) {
            struct parcel *last = LIST_ENTRY(e->inbound.prev, struct parcel, node);

            list_remove(&last->node);
            sim_end_drop_inbound(e, 0);
            list_push_back(&e->inbound, &last->node);
            e->force_end = true;
            sim_end_schedule(e);
        }
        return false;
    }
    return true;
}

static struct parcel *parcel_new(const struct net_frame *frame, const struct net_iov *parts,
                                 size_t part_count)
{
    struct parcel *p = MEM_NEW(struct parcel);

    CHECK(frame->kind > 0 && frame->kind < NET_KIND_MAX && frame->length <= NET_PAYLOAD_MAX);
    list_init(&p->node);
    p->len = NET_HEADER_BYTES + (size_t)frame->length;
    net_header_encode(frame, 0, p->header);
    net_header_encode(frame, net_frame_crc(p->header, parts, part_count), p->header);
    p->parts = mem_dup(parts, part_count * sizeof(parts[0]));
    p->part_count = part_count;
    return p;
}

static void op_send(struct net_conn *e, const struct net_frame *frame)
{
    struct net_iov part = {frame->payload, frame->length};
    struct parcel *p;

    CHECK(e->magic == SIM_MAGIC_CONN);
    if (!can_send(e))
        return;
    p = parcel_new(frame, &part, 1);
    parcel_copy(p, next_align(e, p->len));
    enqueue(e, p);
}

static void op_send_parts(struct net_conn *e, const struct net_frame *frame,
                          const struct net_iov *parts, size_t part_count,
                          void (*release)(void *arg), void *release_arg)
{
    struct parcel *p;
    size_t len = 0;

    CHECK(e->magic == SIM_MAGIC_CONN);
    for (size_t i = 0; i < part_count; i++)
        len += parts[i].len;
    CHECK(len == frame->length);
    if (!can_send(e)) {
        if (release != NULL)
            release(release_arg);
        return;
    }
    p = parcel_new(frame, parts, part_count);
    p->release = release;
    p->release_arg = release_arg;
    if (sim_draw_chance(sim_net_streams(e), STREAM_NET, 1, 3))
        parcel_copy(p, next_align(e, p->len)); /* releases inside this call */
    enqueue(e, p);
}

/* ---- the rest of the operations ---- */

static void fire_notify(struct sim_event *event)
{
    struct net_conn *e = CONTAINER_OF(event, struct net_conn, notify_event);
    bool drained = e->notify_drained;

    sim_end_enter(e);
    e->notify_drained = false;
    if (e->state == END_PASSING || e->notify_open) {
        net_accept_fn *fn = e->passed_fn;
        bool opened = e->notify_open;

        e->state = END_OPEN;
        e->notify_open = false;
        e->passed_fn = NULL;
        watch_stall(e);
        sim_end_pump(e);
        if (opened && e->handler != NULL && e->handler->on_open != NULL)
            e->handler->on_open(e->arg, e);
        else if (fn != NULL)
            fn(e->passed_arg, e);
        if (e->state == END_OPEN && e->handler == NULL && fn != NULL)
            e->env->env.net->ops->close(e);
    } else if (drained && !e->broken && e->handler != NULL && e->handler->on_drained != NULL) {
        e->handler->on_drained(e->arg, e);
    }
    if (e->state == END_OPEN)
        sim_end_schedule(e);
    sim_end_leave(e);
}

static void notify(struct net_conn *e)
{
    e->notify_event.fire = fire_notify;
    e->notify_event.what = "notify";
    e->notify_event.host = e->env->node->host;
    if (e->notify_event.position == 0)
        sim_event_add(e->sim, &e->notify_event,
                      e->notify_open || e->passed_fn != NULL
                          ? sim_net_delay(e->sim, e->env->node->host, e->peer_host)
                          : 0);
}

void sim_end_opens(struct net_conn *e)
{
    e->notify_open = true;
    notify(e);
}

/* A connection that never came to be: the end of it is all that arrives. */
void sim_end_refused(struct net_conn *e, const struct err *why)
{
    struct parcel *p = MEM_NEW(struct parcel);

    sim_end_part(e);
    e->state = END_OPEN;
    p->end = mem_dup(why, sizeof(*why));
    p->at_ns = e->sim->now_ns + sim_net_delay(e->sim, e->env->node->host, e->env->node->host);
    list_push_back(&e->inbound, &p->node);
    sim_end_schedule(e);
}

void sim_net_rehome(struct net_conn *conn, struct env *target, net_accept_fn *fn, void *arg)
{
    struct sim_env *to = sim_env_of(target);

    CHECK(conn->magic == SIM_MAGIC_CONN && conn->state == END_OPEN && conn->accepted);
    CHECK(conn->frames_in <= 1 && conn->frames_out == 0);
    CHECK(conn->env->node->host == to->node->host);
    sim_event_cancel(conn->sim, &conn->arrive_event);
    sim_event_cancel(conn->sim, &conn->stall_event);
    sim_event_cancel(conn->sim, &conn->notify_event);
    conn->state = END_PASSING;
    conn->env = to;
    conn->handler = NULL;
    conn->arg = NULL;
    conn->paused = false;
    conn->passed_fn = fn;
    conn->passed_arg = arg;
    notify(conn);
}

static void op_set_handler(struct net_conn *e, const struct net_handler *handler, void *arg)
{
    CHECK(e->magic == SIM_MAGIC_CONN);
    e->handler = handler;
    e->arg = arg;
}

static void op_set_limit(struct net_conn *e, uint32_t payload_bytes_max)
{
    e->limit = MIN(payload_bytes_max, NET_PAYLOAD_MAX);
}

static size_t op_queued_bytes(struct net_conn *e)
{
    return e->queued;
}

static void op_pause_reading(struct net_conn *e, bool paused)
{
    CHECK(e->magic == SIM_MAGIC_CONN);
    e->paused = paused;
    if (paused)
        sim_event_cancel(e->sim, &e->arrive_event);
    else
        sim_end_schedule(e);
}

/* The operating system sends on what was queued, whether its window allows it or not. */
static void say_goodbye(struct net_conn *e)
{
    struct net_conn *peer = e->peer;

    if (peer == NULL)
        return;
    if (!sim_end_is_cut(peer)) {
        e->in_flight = 0;
        e->window = SIZE_MAX;
        sim_end_pump(e);
    }
    sim_end_part(e);
    sim_end_put_end(peer, e->sim->now_ns + sim_net_delay(e->sim, e->env->node->host, e->peer_host),
                    false, "closed by the peer");
}

static void op_close(struct net_conn *e)
{
    CHECK(e->magic == SIM_MAGIC_CONN);
    if (e->state == END_DEAD)
        return;
    sim_end_enter(e);
    e->handler = NULL;
    if (!e->env->muted && e->state == END_OPEN)
        say_goodbye(e);
    if (e->state != END_DEAD) {
        struct net_conn *peer = e->peer;

        sim_end_part(e);
        if (peer != NULL)
            sim_end_put_end(peer, e->sim->now_ns + 1, false, RESET);
        sim_end_free(e);
    }
    sim_end_leave(e);
}

static const char *op_peer(struct net_conn *e)
{
    return e->peer_name;
}

static const struct net_ops sim_net_ops = {
    .listen = sim_net_listen,
    .listener_address = sim_net_listener_address,
    .listener_close = sim_net_listener_close,
    .connect = sim_net_connect,
    .set_handler = op_set_handler,
    .set_limit = op_set_limit,
    .send = op_send,
    .send_parts = op_send_parts,
    .queued_bytes = op_queued_bytes,
    .pause_reading = op_pause_reading,
    .close = op_close,
    .peer = op_peer,
};

struct net *sim_net_new(struct sim_env *env)
{
    struct sim_net *net = MEM_NEW(struct sim_net);

    net->net.ops = &sim_net_ops;
    net->env = env;
    return &net->net;
}

/* The peers of a dying node: after a kill its kernel closes the sockets, after a power cut nobody does. */
void sim_net_mute(struct net *net, bool host_is_gone)
{
    struct sim_env *env = CONTAINER_OF(net, struct sim_net, net)->env;

    LIST_FOREACH (node, &env->sim->conns) {
        struct net_conn *e = LIST_ENTRY(node, struct net_conn, node), *peer = e->peer;
        uint64_t delay;

        if (e->env != env)
            continue;
        sim_event_cancel(e->sim, &e->connect_event);
        sim_end_part(e);
        if (peer == NULL)
            continue;
        delay = sim_net_delay(e->sim, env->node->host, peer->env->node->host);
        if (host_is_gone && sim_draw_chance(sim_net_streams(e), STREAM_CRASH, 1, 2)) {
            SIM_PROBE("net: a power cut is noticed late");
            delay =
                sim_draw_range(sim_net_streams(e), STREAM_CRASH, delay, delay + POWER_CUT_NOTICED_MAX_NS);
        }
        sim_end_put_end(peer, env->sim->now_ns + delay, host_is_gone, RESET);
    }
}

void sim_net_free(struct net *net)
{
    struct sim_env *env = CONTAINER_OF(net, struct sim_net, net)->env;

    LIST_FOREACH_SAFE (node, &env->sim->conns) {
        struct net_conn *e = LIST_ENTRY(node, struct net_conn, node), *peer = e->peer;

        if (e->env != env)
            continue;
        if (e->state != END_PASSING && e->handler != NULL)
            sim_fail(env->sim, "%s was freed with an open %s", env->node->name, e->text);
        LIST_FOREACH (q, &e->queue) /* whom it belongs to is gone */
            LIST_ENTRY(q, struct parcel, node)->release = NULL;
        sim_end_part(e);
        if (peer != NULL)
            sim_end_put_end(peer, env->sim->now_ns + 1, false, RESET);
        sim_end_free(e);
    }
    sim_net_listeners_end(env);
    mem_free(CONTAINER_OF(net, struct sim_net, net));
}

void sim_net_drain(struct sim *sim)
{
    CHECK(list_empty(&sim->conns)); /* each belongs to a node */
    CHECK(list_empty(&sim->listeners));
}

void sim_corrupt_next(struct sim_node *from)
{
    from->corrupt_next = true;
}

size_t sim_connections(struct sim *sim)
{
    size_t count = 0;

    LIST_FOREACH (node, &sim->conns)
        count++;
    return count;
}

uint64_t sim_frames_between(const struct sim_node *a, const struct sim_node *b)
{
    uint64_t frames = 0;

    LIST_FOREACH (node, &a->sim->conns) {
        const struct net_conn *e = LIST_ENTRY(node, struct net_conn, node);

        if (e->peer != NULL && e->env == a->env && e->peer->env == b->env)
            frames += e->frames_in + e->peer->frames_in;
    }
    return frames;
}

bool sim_net_still(const struct sim_node *a, const struct sim_node *b)
{
    bool connected = false;

    LIST_FOREACH (node, &a->sim->conns) {
        const struct net_conn *e = LIST_ENTRY(node, struct net_conn, node);

        if (e->peer == NULL || e->env != a->env || e->peer->env != b->env)
            continue;
        if (!list_empty(&e->queue) || !list_empty(&e->inbound) || !list_empty(&e->peer->queue) ||
            !list_empty(&e->peer->inbound))
            return false;
        connected = true;
    }
    return connected;
}
