/*
 * contract_net.c - order, closing, back pressure and limits: what every net promises.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "test/contract/contract.h"

#define BIG (3u << 20)

struct end {
    struct world *w;
    struct env *env;
    struct net_conn *conn;
    int opened, frames, closed, drained;
    uint32_t next_stream; /* frames have to arrive in order */
    uint64_t bytes, bytes_sum;
    bool inside, was_inside, close_on_frame, close_in_close, echo, take;
    int pause_at; /* frames, then pause */
    struct err why;
    void *taken;
    const uint8_t *taken_data;
    uint32_t taken_len;
};

struct pair {
    struct world *w;
    struct net_listener *listener;
    struct end server, client;
    int accepted, released;
    bool refuse;
    uint32_t limit;
};

static void saw(struct end *e)
{
    e->was_inside = e->was_inside || e->inside;
    assert_int_equal(e->closed, 0);
}

static void on_open(void *arg, struct net_conn *conn)
{
    struct end *e = arg;

    saw(e);
    assert_ptr_equal(e->conn, conn);
    e->opened++;
}

static void on_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct end *e = arg;

    saw(e);
    assert_ptr_equal(e->conn, conn);
    assert_int_equal(frame->stream, e->next_stream);
    e->next_stream++;
    e->frames++;
    e->bytes += frame->length;
    for (uint32_t i = 0; i < frame->length; i += 997)
        e->bytes_sum += frame->payload[i];
    if (e->take && e->taken == NULL) {
        e->taken = net_frame_take(frame);
        e->taken_data = frame->payload;
        e->taken_len = frame->length;
    }
    if (e->echo)
        net_send(e->env->net, conn, frame);
    if (e->pause_at == e->frames)
        e->env->net->ops->pause_reading(conn, true);
    if (e->close_on_frame) {
        e->conn = NULL;
        e->env->net->ops->close(conn);
    }
}

static void on_drained(void *arg, struct net_conn *conn)
{
    struct end *e = arg;

    (void)conn;
    saw(e);
    e->drained++;
}

static void on_close(void *arg, struct net_conn *conn, const struct err *why)
{
    struct end *e = arg;

    saw(e);
    assert_ptr_equal(e->conn, conn);
    assert_non_null(why);
    assert_true(why->code < 0 && why->text[0] != '\0');
    e->why = *why;
    e->closed++;
    e->conn = NULL;
    if (e->close_in_close)
        e->env->net->ops->close(conn);
}

static const struct net_handler handler = {
    .on_open = on_open, .on_frame = on_frame, .on_drained = on_drained, .on_close = on_close};

static void on_accept(void *arg, struct net_conn *conn)
{
    struct pair *p = arg;

    p->accepted++;
    if (p->refuse)
        return;
    p->server.conn = conn;
    p->w->server->net->ops->set_handler(conn, &handler, &p->server);
    if (p->limit > 0)
        p->w->server->net->ops->set_limit(conn, p->limit);
    if (p->w->secure != NULL)
        p->w->secure(p->w->server->net, conn, true);
}

static void pair_init(struct pair *p, struct world *w)
{
    memset(p, 0, sizeof(*p));
    p->w = p->server.w = p->client.w = w;
    p->server.env = w->server;
    p->client.env = w->client;
}

static void client_connects(struct pair *p, const char *address)
{
    p->client.inside = true;
    p->client.conn =
        p->w->client->net->ops->connect(p->w->client->net, address, &handler, &p->client);
    if (p->w->secure != NULL)
        p->w->secure(p->w->client->net, p->client.conn, false);
    p->client.inside = false;
    assert_non_null(p->client.conn);
}

static void pair_listen(struct pair *p, const char *address)
{
    struct net *net = p->w->server->net;
    struct err err;

    if (net->ops->listen(net, address, on_accept, p, &p->listener, &err) != 0)
        fail_msg("listen: %s", err.text);
}

static void pair_open_at(struct pair *p, struct world *w, const char *address)
{
    pair_init(p, w);
    pair_listen(p, address);
    client_connects(p, w->server->net->ops->listener_address(p->listener));
    assert_true(world_until_count(w, &p->client.opened, 1));
    assert_true(world_until_count(w, &p->accepted, 1));
}

static void pair_open(struct pair *p, struct world *w)
{
    pair_open_at(p, w, w->address);
}

static void pair_end(struct pair *p)
{
    if (p->server.conn != NULL)
        p->w->server->net->ops->close(p->server.conn);
    if (p->client.conn != NULL)
        p->w->client->net->ops->close(p->client.conn);
    p->server.conn = p->client.conn = NULL;
    if (p->listener != NULL)
        p->w->server->net->ops->listener_close(p->listener);
    world_settle(p->w);
    assert_false(p->server.was_inside || p->client.was_inside);
}

static void send_frames(struct end *from, uint32_t first, uint32_t count, uint32_t length)
{
    uint8_t *payload = mem_alloc(length + 1);

    from->inside = true;
    for (uint32_t i = 0; i < length; i++)
        payload[i] = (uint8_t)(i * 7);
    for (uint32_t i = 0; i < count; i++)
        net_send(from->env->net, from->conn,
                 &(struct net_frame){
                     .kind = NET_DATA, .stream = first + i, .payload = payload, .length = length});
    from->inside = false;
    mem_free(payload);
}

static void frames_arrive_in_order_both_ways(void **state)
{
    struct pair p;

    pair_open(&p, *state);
    p.server.echo = true;
    send_frames(&p.client, 0, 300, 100);
    send_frames(&p.client, 300, 300, 0);
    send_frames(&p.client, 600, 5, 300000);
    assert_true(world_until_count(*state, &p.client.frames, 605));
    assert_int_equal(p.server.bytes, 300 * 100 + 5 * 300000);
    assert_int_equal(p.client.bytes, p.server.bytes);
    assert_int_equal(p.client.bytes_sum, p.server.bytes_sum);
    assert_int_equal(p.accepted, 1);
    pair_end(&p);
}

static void fields_survive(void **state)
{
    struct net_frame frame = {.kind = NET_CONTROL,
                              .flags = 0xfedc,
                              .stream = 0,
                              .credit = 0x89abcdef,
                              .epoch = 0x123456789abcdef0,
                              .payload = (const uint8_t *)"hello",
                              .length = 5};
    struct pair p;

    pair_open(&p, *state);
    p.server.take = true;
    net_send(p.w->client->net, p.client.conn, &frame);
    assert_true(world_until_count(*state, &p.server.frames, 1));
    assert_int_equal(p.server.taken_len, 5);
    pair_end(&p);
    assert_memory_equal(p.server.taken_data, "hello", 5); /* outlives its connection */
    net_payload_free(p.server.taken);
}

static void sent_before_open_arrives(void **state)
{
    struct pair p;

    pair_init(&p, *state);
    pair_listen(&p, p.w->address);
    client_connects(&p, p.w->server->net->ops->listener_address(p.listener));
    send_frames(&p.client, 0, 10, 10);
    assert_true(world_until_count(*state, &p.server.frames, 10));
    pair_end(&p);
}

static void close_flushes_and_tells_the_peer_once(void **state)
{
    struct pair p;

    pair_open(&p, *state);
    send_frames(&p.client, 0, 20, 50000);
    p.w->client->net->ops->close(p.client.conn);
    p.client.conn = NULL;
    p.client.closed = 1; /* any callback from here on is a mistake */
    assert_true(world_until_count(*state, &p.server.closed, 1));
    assert_int_equal(p.server.frames, 20);
    assert_int_equal(p.server.why.code, ERR_CLOSED);
    world_settle(*state);
    assert_int_equal(p.server.closed, 1);
    pair_end(&p);
}

static void close_inside_on_frame(void **state)
{
    struct pair p;

    pair_open(&p, *state);
    p.server.close_on_frame = true;
    send_frames(&p.client, 0, 10, 10);
    assert_true(world_until_count(*state, &p.client.closed, 1));
    assert_int_equal(p.server.frames, 1);
    pair_end(&p);
}

static void close_inside_on_close(void **state)
{
    struct pair p;

    pair_open(&p, *state);
    p.server.close_in_close = true;
    p.w->client->net->ops->close(p.client.conn);
    p.client.conn = NULL;
    assert_true(world_until_count(*state, &p.server.closed, 1));
    pair_end(&p);
}

static void both_close(void **state)
{
    struct pair p;

    pair_open(&p, *state);
    send_frames(&p.client, 0, 3, 10);
    pair_end(&p);
}

static void refused_connection_closes(void **state)
{
    struct pair p;
    struct world *w = *state;
    char *gone;

    pair_init(&p, w);
    pair_listen(&p, w->address);
    gone = mem_strdup(w->server->net->ops->listener_address(p.listener));
    w->server->net->ops->listener_close(p.listener);
    p.listener = NULL;
    client_connects(&p, gone);
    send_frames(&p.client, 0, 1, 10);
    assert_true(world_until_count(w, &p.client.closed, 1));
    assert_int_equal(p.client.opened, 0);
    assert_int_equal(p.client.why.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(p.client.why.text, "cannot connect to "));
    assert_non_null(strstr(p.client.why.text, gone));
    assert_non_null(strstr(p.client.why.text, "Connection refused"));
    mem_free(gone);
    pair_end(&p);
}

static void bad_address_closes(void **state)
{
    struct pair p;

    pair_init(&p, *state);
    client_connects(&p, "nonsense");
    assert_true(world_until_count(*state, &p.client.closed, 1));
    assert_int_equal(p.client.why.code, ERR_INVALID);
    assert_non_null(strstr(p.client.why.text, "HOST:PORT"));
    pair_end(&p);
}

static void unwanted_connection_closes(void **state)
{
    struct pair p;

    pair_init(&p, *state);
    p.refuse = true;
    pair_listen(&p, p.w->address);
    client_connects(&p, p.w->server->net->ops->listener_address(p.listener));
    assert_true(world_until_count(*state, &p.client.closed, 1));
    pair_end(&p);
}

static void close_before_open(void **state)
{
    struct pair p;

    pair_init(&p, *state);
    pair_listen(&p, p.w->address);
    client_connects(&p, p.w->server->net->ops->listener_address(p.listener));
    p.w->client->net->ops->close(p.client.conn);
    p.client.conn = NULL;
    p.client.closed = 1;
    world_settle(*state);
    p.client.closed = 0;
    pair_end(&p);
}

static void over_limit_closes_with_a_sentence(void **state)
{
    struct pair p;

    pair_init(&p, *state);
    p.limit = 1000;
    pair_listen(&p, p.w->address);
    client_connects(&p, p.w->server->net->ops->listener_address(p.listener));
    send_frames(&p.client, 0, 1, 1000);
    send_frames(&p.client, 1, 1, 1001);
    assert_true(world_until_count(*state, &p.server.closed, 1));
    assert_int_equal(p.server.frames, 1);
    assert_int_equal(p.server.why.code, ERR_PROTOCOL);
    assert_non_null(strstr(p.server.why.text, "1001 bytes, the limit here is 1000"));
    assert_true(world_until_count(*state, &p.client.closed, 1));
    pair_end(&p);
}

static void release(void *arg)
{
    ++*(int *)arg;
}

static void parts_are_released_once(void **state)
{
    static uint8_t data[100000];
    struct net_iov parts[3] = {{data, 10}, {data, 0}, {data + 10, sizeof(data) - 10}};
    struct net_frame frame = {.kind = NET_DATA, .length = sizeof(data)};
    struct pair p;

    pair_open(&p, *state);
    for (uint32_t i = 0; i < 30; i++) {
        frame.stream = i;
        p.w->client->net->ops->send_parts(p.client.conn, &frame, parts, 3, release, &p.released);
    }
    assert_true(world_until_count(*state, &p.server.frames, 30));
    assert_true(world_until_count(*state, &p.released, 30));
    assert_int_equal(p.server.bytes, 30 * sizeof(data));
    p.w->client->net->ops->close(p.client.conn);
    p.client.conn = NULL;
    assert_true(world_until_count(*state, &p.server.closed, 1));
    assert_int_equal(p.released, 30);
    pair_end(&p);
}

/* The owner of the parts may be gone after close; what they held arrives nevertheless. */
static void parts_are_released_by_close(void **state)
{
    uint8_t *data = mem_alloc(1000000);
    struct net_iov parts[2] = {{data, 10}, {data + 10, 1000000 - 10}};
    struct net_frame frame = {.kind = NET_DATA, .length = 1000000};
    struct pair p;

    pair_open(&p, *state);
    for (frame.stream = 0; frame.stream < 5; frame.stream++)
        p.w->client->net->ops->send_parts(p.client.conn, &frame, parts, 2, release, &p.released);
    p.w->client->net->ops->close(p.client.conn);
    p.client.conn = NULL;
    assert_int_equal(p.released, 5);
    memset(data, 1, 1000000);
    mem_free(data);
    assert_true(world_until_count(*state, &p.server.closed, 1));
    assert_int_equal(p.server.frames, 5);
    assert_int_equal(p.server.bytes, 5000000);
    pair_end(&p);
}

static void pause_holds_back_and_queue_drains(void **state)
{
    struct pair p;

    pair_open(&p, *state);
    p.server.pause_at = 2;
    send_frames(&p.client, 0, 60, BIG / 20);
    assert_true(p.w->client->net->ops->queued_bytes(p.client.conn) > NET_HIGH_WATER_BYTES);
    assert_true(world_until_count(*state, &p.server.frames, 2));
    world_settle(*state);
    assert_int_equal(p.server.frames, 2);
    assert_int_equal(p.client.drained, 0);
    p.w->server->net->ops->pause_reading(p.server.conn, false);
    assert_int_equal(p.server.frames, 2);
    assert_true(world_until_count(*state, &p.server.frames, 60));
    assert_true(world_until_count(*state, &p.client.drained, 1));
    assert_int_equal(p.client.drained, 1);
    assert_int_equal(p.w->client->net->ops->queued_bytes(p.client.conn), 0);
    pair_end(&p);
}

static void pause_in_the_middle_of_small_frames(void **state)
{
    struct pair p;

    pair_open(&p, *state);
    p.server.pause_at = 5;
    send_frames(&p.client, 0, 50, 20);
    assert_true(world_until_count(*state, &p.server.frames, 5));
    world_settle(*state);
    assert_int_equal(p.server.frames, 5);
    p.server.pause_at = 7;
    p.w->server->net->ops->pause_reading(p.server.conn, false);
    assert_true(world_until_count(*state, &p.server.frames, 7));
    p.w->server->net->ops->pause_reading(p.server.conn, false);
    assert_true(world_until_count(*state, &p.server.frames, 50));
    pair_end(&p);
}

static void inproc_works(void **state)
{
    struct net_listener *second;
    struct pair p;
    struct err err;

    pair_open_at(&p, *state, "inproc:contract");
    assert_string_equal(p.w->server->net->ops->listener_address(p.listener), "inproc:contract");
    assert_int_equal(p.w->server->net->ops->listen(p.w->server->net, "inproc:contract", on_accept,
                                                   &p, &second, &err),
                     ERR_EXISTS);
    p.server.echo = true;
    send_frames(&p.client, 0, 100, 3000);
    assert_true(world_until_count(*state, &p.client.frames, 100));
    pair_end(&p);
    pair_init(&p, *state);
    client_connects(&p, "inproc:contract");
    assert_true(world_until_count(*state, &p.client.closed, 1));
    assert_int_equal(p.client.why.code, ERR_UNAVAILABLE);
    pair_end(&p);
}

static void listening_twice_is_refused(void **state)
{
    struct net_listener *second;
    struct pair p;
    struct err err;
    const struct net_ops *ops;

    pair_init(&p, *state);
    pair_listen(&p, p.w->address);
    ops = p.w->server->net->ops;
    assert_int_equal(ops->listen(p.w->server->net, ops->listener_address(p.listener), on_accept, &p,
                                 &second, &err),
                     ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "cannot listen on "));
    assert_non_null(strstr(err.text, ops->listener_address(p.listener)));
    assert_int_equal(ops->listen(p.w->server->net, "127.0.0.1:x", on_accept, &p, &second, &err),
                     ERR_INVALID);
    pair_end(&p);
}

static void peers_have_names(void **state)
{
    struct pair p;

    pair_open(&p, *state);
    assert_string_equal(p.w->client->net->ops->peer(p.client.conn),
                        p.w->server->net->ops->listener_address(p.listener));
    assert_true(strlen(p.w->server->net->ops->peer(p.server.conn)) > 0);
    pair_end(&p);
}

const struct contract contract_net[] = {
    {"frames_arrive_in_order_both_ways", frames_arrive_in_order_both_ways},
    {"fields_survive", fields_survive},
    {"sent_before_open_arrives", sent_before_open_arrives},
    {"close_flushes_and_tells_the_peer_once", close_flushes_and_tells_the_peer_once},
    {"close_inside_on_frame", close_inside_on_frame},
    {"close_inside_on_close", close_inside_on_close},
    {"both_close", both_close},
    {"refused_connection_closes", refused_connection_closes},
    {"bad_address_closes", bad_address_closes},
    {"unwanted_connection_closes", unwanted_connection_closes},
    {"close_before_open", close_before_open},
    {"over_limit_closes_with_a_sentence", over_limit_closes_with_a_sentence},
    {"parts_are_released_once", parts_are_released_once},
    {"parts_are_released_by_close", parts_are_released_by_close},
    {"pause_holds_back_and_queue_drains", pause_holds_back_and_queue_drains},
    {"pause_in_the_middle_of_small_frames", pause_in_the_middle_of_small_frames},
    {"inproc_works", inproc_works},
    {"listening_twice_is_refused", listening_twice_is_refused},
    {"peers_have_names", peers_have_names},
    {NULL, NULL},
};
