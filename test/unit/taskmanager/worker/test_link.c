/* A link and a peer that knows the secret and sends nonsense: the connection is closed, nothing else happens. */
#include "test/unit/loop.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "taskmanager/worker/exchange/link.h"
#include "test/unit/taskmanager/worker/noting.h"

static const rask_field fields[] = {{"n", RASK_T_BIGINT, 0, 0, 0, NULL}};
static const rask_schema schema = {RASK_ABI, 1, "n", fields};

static struct wk_runnable task = {.executor = &executor};

struct place { /* channels 0 -> 0 (over the link) and 1 -> 0 (local) of edge 0 */
    struct env *env;
    struct pool *pool;
    struct net_listener *listener;
    struct net_conn *peer;
    struct wk_link *link;
    struct wk_gate gate;
    int lost;
    struct err why;
};

static struct wk_in *find_in(void *arg, uint32_t edge, uint32_t source, uint32_t target)
{
    struct place *p = arg;

    return edge == 0 && source < 2 && target == 0 ? &p->gate.channels[source] : NULL;
}
static struct wk_out *find_out(void *arg, uint32_t edge, uint32_t source, uint32_t target)
{
    (void)arg;
    (void)edge;
    (void)source;
    (void)target;
    return NULL;
}
static const rask_schema *schema_of(void *arg, uint32_t edge)
{
    (void)arg;
    return edge == 0 ? &schema : NULL;
}
static void on_lost(void *arg, struct wk_link *link, const struct err *why)
{
    struct place *p = arg;

    (void)link;
    p->why = *why;
    p->lost++;
}

static void on_accept(void *arg, struct net_conn *conn)
{
    wk_link_open(((struct place *)arg)->link, conn);
}
static int opened;
static void peer_open(void *arg, struct net_conn *conn)
{
    (void)arg;
    (void)conn;
    opened++;
}
static void peer_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    (void)arg;
    (void)conn;
    (void)frame;
}
static void peer_close(void *arg, struct net_conn *conn, const struct err *why)
{
    (void)conn;
    (void)why;
    ((struct place *)arg)->peer = NULL;
}
static const struct net_handler peer_handler = {.on_open = peer_open, .on_frame = peer_frame, .on_close = peer_close};

static void place_new(struct place *p)
{
    struct wk_link_owner owner = {find_in, find_out, schema_of, on_lost, p};
    struct err err = {0};
    char name[64];

    memset(p, 0, sizeof(*p));
    snprintf(name, sizeof(name), "inproc:link-%p", (void *)p);
    p->env = loop_new(false);
    p->pool = pool_new(64u << 20);
    wk_gate_init(&p->gate, &task, 2);
    p->link = wk_link_new(p->env, p->pool, 1, 1, &owner);
    wk_in_connect_remote(&p->gate.channels[0], p->link);
    wk_in_open(&p->gate.channels[0], 40000);
    assert_int_equal(p->env->net->ops->listen(p->env->net, name, on_accept, p, &p->listener, &err), 0);
    opened = 0;
    p->peer = p->env->net->ops->connect(p->env->net, name, &peer_handler, p);
    loop_until(p->env, &opened, 1);
}
static void place_free(struct place *p)
{
    if (p->peer)
        p->env->net->ops->close(p->peer);
    wk_link_free(p->link);
    p->env->net->ops->listener_close(p->listener);
    loop_settle(p->env);
    wk_gate_release(&p->gate);
    env_libevent_free(p->env);
    pool_free(p->pool);
}

static void payload_free(void *arg)
{
    bytes_release(arg);
    mem_free(arg);
}
static void send_flagged(struct place *p, uint32_t kind, uint32_t stream, uint16_t flags, const struct bytes *payload)
{
    struct net_frame f = {.kind = (uint8_t)kind, .flags = flags, .stream = stream, .epoch = 1, .length = (uint32_t)payload->len};
    struct bytes *copy = MEM_NEW(struct bytes);
    struct net_iov part;

    bytes_init(copy);
    bytes_add(copy, payload->data, payload->len);
    part = (struct net_iov){copy->data, copy->len};
    p->env->net->ops->send_parts(p->peer, &f, &part, 1, payload_free, copy);
}
static void send_bytes(struct place *p, uint32_t kind, uint32_t stream, const struct bytes *payload)
{
    send_flagged(p, kind, stream, 0, payload);
}
static void send_words(struct place *p, uint32_t kind, uint32_t stream, const uint32_t *words, uint32_t count)
{
    struct bytes b;

    bytes_init(&b);
    for (uint32_t i = 0; i < count; i++)
        bytes_add_u32(&b, words[i]);
    send_bytes(p, kind, stream, &b);
    bytes_release(&b);
}
static void send_rows_for(struct place *p, uint32_t source, uint32_t slice, uint32_t rows, uint32_t declared)
{
    rask_batch *batch = batch_new(p->pool, &schema, rows, 0);
    struct bytes b;

    for (uint32_t i = 0; i < rows; i++)
        ((int64_t *)batch->columns[0].data)[i] = i;
    bytes_init(&b);
    bytes_add_u32(&b, source);
    bytes_add_u32(&b, 1);
    bytes_add_u32(&b, 0);
    bytes_add_u32(&b, slice);
    bytes_add_u32(&b, declared);
    while (b.len % 8)
        bytes_add_u8(&b, 0);
    batch_encode(batch, 0, rows, &b);
    send_bytes(p, NET_DATA, 0, &b);
    bytes_release(&b);
    batch_unref(batch);
}
static void send_rows(struct place *p, uint32_t source, uint32_t slice, uint32_t rows)
{
    send_rows_for(p, source, slice, rows, rows * 8);
}

static void closes(struct place *p, const char *because)
{
    loop_until(p->env, &p->lost, 1);
    assert_int_equal(p->lost, 1);
    if (!strstr(p->why.text, because))
        fail_msg("\"%s\" instead of \"%s\"", p->why.text, because);
    assert_false(wk_link_may_open(p->link)); /* one that broke is not opened again */
    place_free(p);
}

#define CONTROL(source, target, type) (const uint32_t[]){source, target, type, 0, 0, 0}, 6

static void rows_and_their_end_arrive(void **state)
{
    struct place p;
    struct wk_element *e;
    struct wk_in *in;

    (void)state;
    place_new(&p);
    send_rows(&p, 0, 4096, 4096);
    send_words(&p, NET_CONTROL, 0, CONTROL(0, 0, WK_END));
    while (wk_link_received_rows(p.link) < 4096)
        loop_settle(p.env);
    loop_settle(p.env);
    assert_int_equal(p.lost, 0);
    e = wk_gate_take(&p.gate, &in);
    assert_int_equal(e->type, WK_DATA);
    wk_element_free(e);
    e = wk_gate_take(&p.gate, &in);
    assert_int_equal(e->type, WK_END);
    wk_element_free(e);
    place_free(&p);
}

static void more_rows_than_a_batch_has_close_the_link(void **state)
{
    struct place p;

    (void)state;
    place_new(&p);
    send_rows(&p, 0, 5000, 5000);
    closes(&p, "at most 4096");
}

static void slices_that_do_not_add_up_close_the_link(void **state)
{
    static const uint32_t slices[] = {0, 5, 20};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(slices); i++) {
        struct place p;

        place_new(&p);
        send_rows(&p, 0, slices[i], 10);
        closes(&p, "slice");
    }
}

static void more_than_the_credit_closes_the_link(void **state)
{
    struct place p;

    (void)state;
    place_new(&p);
    send_rows(&p, 0, 4096, 4096);
    while (wk_link_received_rows(p.link) < 4096)
        loop_settle(p.env);
    assert_int_equal(p.lost, 0);
    send_rows(&p, 0, 4096, 4096); /* 64 KiB in all; none of it was given back */
    closes(&p, "more than the credit that the channel has");
}

static void rows_that_cost_more_than_is_said_close_the_link(void **state)
{
    static const uint32_t declared[] = {0, 1, 79};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(declared); i++) {
        struct place p;

        place_new(&p);
        send_rows_for(&p, 0, 10, 10, 80);
        send_rows_for(&p, 0, 10, 10, 81); /* too much is the sender's loss */
        while (wk_link_received_rows(p.link) < 20)
            loop_settle(p.env);
        assert_int_equal(p.lost, 0);
        send_rows_for(&p, 0, 10, 10, declared[i]);
        closes(&p, "a slice of 80 bytes for edge 0 from subtask 0 to 0 that is said to have");
    }
}

/* A packed frame of one slice of ten rows: what it says about itself, and its LZ4 block. */
static void send_packed(struct place *p, uint32_t target, uint32_t declared, uint32_t unpacked, const char *block, size_t len)
{
    const uint32_t words[] = {0, 1, target, 10, declared, 0, unpacked, 0};
    struct bytes b;

    bytes_init(&b);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        bytes_add_u32(&b, words[i]);
    bytes_add(&b, block, len);
    send_flagged(p, NET_DATA, 0, LINK_PACKED, &b);
    bytes_release(&b);
}

static void packed_rows_that_lie_close_the_link(void **state)
{
    static const char zeros[] = "\x1f\x00\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x50\x00\x00\x00\x00\x00";
    static const struct {
        uint32_t target, declared, unpacked;
        const char *block;
        size_t len;
        const char *because;
    } lies[] = {
        {0, 80, 80, "", 0, "packed rows that do not give"},
        {0, 80, 80, "rubbish", 7, "packed rows that do not give"},
        {0, 80, 80, zeros, sizeof(zeros) - 1, "packed rows that do not give"}, /* there is more in it than it says */
        {0, 80, 70u << 20, zeros, sizeof(zeros) - 1, "are the most"},
        {0, 80, UINT32_MAX, zeros, sizeof(zeros) - 1, "are the most"},
        {7, 80, 80, zeros, sizeof(zeros) - 1, "not a channel of this connection"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        struct place p;

        place_new(&p);
        send_packed(&p, lies[i].target, lies[i].declared, lies[i].unpacked, lies[i].block, lies[i].len);
        closes(&p, lies[i].because);
    }
}

static void channels_of_others_close_the_link(void **state)
{
    struct place p;

    (void)state;
    place_new(&p);
    send_rows(&p, 1, 10, 10); /* a local channel */
    closes(&p, "not a channel of this connection");
    place_new(&p);
    send_words(&p, NET_CONTROL, 0, CONTROL(1, 0, WK_WATERMARK));
    closes(&p, "not a channel of this connection");
    place_new(&p);
    send_words(&p, NET_CONTROL, 7, CONTROL(0, 0, WK_WATERMARK));
    closes(&p, "not a channel of this connection");
    place_new(&p);
    send_words(&p, NET_CREDIT, 0, (const uint32_t[]){0, 0, 0, 10, 10}, 5);
    closes(&p, "not a channel of this connection");
}

static void what_follows_the_end_closes_the_link(void **state)
{
    struct place p;

    (void)state;
    place_new(&p);
    send_words(&p, NET_CONTROL, 0, CONTROL(0, 0, WK_END));
    send_words(&p, NET_CONTROL, 0, CONTROL(0, 0, WK_END));
    closes(&p, "behind its end");
    place_new(&p);
    send_words(&p, NET_CONTROL, 0, CONTROL(0, 0, WK_END));
    send_rows(&p, 0, 10, 10);
    closes(&p, "behind its end");
}

static void nonsense_closes_the_link(void **state)
{
    struct place p;

    (void)state;
    place_new(&p);
    send_words(&p, NET_DATA, 0, (const uint32_t[]){0, 0x10000000, 0, 1}, 4);
    closes(&p, "slices");
    place_new(&p);
    send_words(&p, NET_DATA, 0, (const uint32_t[]){0}, 1);
    closes(&p, "slices");
    place_new(&p);
    send_words(&p, NET_DATA, 0, (const uint32_t[]){0, 1, 0, 1, 8}, 5);
    closes(&p, "slices");
    place_new(&p);
    send_words(&p, NET_CONTROL, 0, CONTROL(0, 0, 99));
    closes(&p, "type 99");
    place_new(&p);
    send_words(&p, NET_CREDIT, 0, (const uint32_t[]){0, 0, 0}, 3);
    closes(&p, "credit frame");
    place_new(&p);
    send_words(&p, NET_PROOF, 0, (const uint32_t[]){0}, 1);
    closes(&p, "on a data connection");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_their_end_arrive),
        cmocka_unit_test(more_rows_than_a_batch_has_close_the_link),
        cmocka_unit_test(slices_that_do_not_add_up_close_the_link),
        cmocka_unit_test(more_than_the_credit_closes_the_link),
        cmocka_unit_test(rows_that_cost_more_than_is_said_close_the_link),
        cmocka_unit_test(packed_rows_that_lie_close_the_link), cmocka_unit_test(channels_of_others_close_the_link),
        cmocka_unit_test(what_follows_the_end_closes_the_link),
        cmocka_unit_test(nonsense_closes_the_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
