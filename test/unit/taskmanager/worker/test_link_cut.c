/*
 * test_link_cut.c - a link over a real TCP connection whose other side dies at each byte: it says so once, delivers what came
 * whole, and nothing hangs.
 */
#include "test/unit/loop.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/net/net_private.h"
#include "taskmanager/worker/exchange/link.h"
#include "test/unit/taskmanager/worker/noting.h"

#define SENT 5 /* elements: two blocks of rows, a watermark, a marker, the end */

static const rask_field fields[] = {{"n", RASK_T_BIGINT, 0, 0, 0, NULL}};
static const rask_schema schema = {RASK_ABI, 1, "n", fields};

static struct wk_runnable task = {.executor = &executor};

struct end { /* one side: a link, a gate with the channel 0 -> 0 of edge 0 */
    struct wk_link *link;
    struct wk_gate gate;
    struct wk_out out;
    int lost;
    struct err why;
};

static struct wk_in *find_in(void *arg, uint32_t edge, uint32_t source, uint32_t target)
{
    return edge == 0 && source == 0 && target == 0 ? &((struct end *)arg)->gate.channels[0] : NULL;
}
static struct wk_out *find_out(void *arg, uint32_t edge, uint32_t source, uint32_t target)
{
    return edge == 0 && source == 0 && target == 0 ? &((struct end *)arg)->out : NULL;
}
static const rask_schema *schema_of(void *arg, uint32_t edge)
{
    (void)arg;
    return edge == 0 ? &schema : NULL;
}
static void on_lost(void *arg, struct wk_link *link, const struct err *why)
{
    struct end *e = arg;

    assert_ptr_equal(link, e->link);
    e->why = *why;
    e->lost++;
}

static struct env *env;
static struct pool *pool;

static void end_new(struct end *e)
{
    struct wk_link_owner owner = {find_in, find_out, schema_of, on_lost, e};

    memset(e, 0, sizeof(*e));
    wk_gate_init(&e->gate, &task, 1);
    wk_out_init(&e->out, &task, 0, 0, 0);
    e->link = wk_link_new(env, pool, 1, 1, &owner);
    e->out.link = e->link;
    wk_in_connect_remote(&e->gate.channels[0], e->link);
    wk_in_open(&e->gate.channels[0], 1u << 20);
}
static void end_free(struct end *e)
{
    wk_link_free(e->link);
    wk_out_release(&e->out);
    wk_gate_release(&e->gate);
}

/* Two ends of a TCP connection over the loopback. */
static void tcp_pair(int fds[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&at, sizeof(at)), 0);
    fds[1] = accept(listener, NULL, NULL);
    assert_true(fds[1] >= 0);
    close(listener);
}

/* As a process does that is killed: with a reset if something came that it has not read. */
static void die(int fd, bool reset)
{
    struct linger at_once = {1, 0};

    if (reset)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(fd);
}

static void send_rows(struct end *e, uint32_t rows)
{
    rask_batch *batch = batch_new(pool, &schema, rows, 0);
    struct wk_block *block;
    struct wk_run run;

    for (uint32_t i = 0; i < rows; i++)
        ((int64_t *)batch->columns[0].data)[i] = i;
    block = wk_block_new(pool, &batch, 1);
    wk_run_begin(&run, e->link, 0, 0, block, 0);
    wk_run_add(&run, 0, rows, rows * 8);
    wk_run_send(&run);
    wk_block_unref(block);
}
static void send_all(struct end *e)
{
    send_rows(e, 3);
    wk_link_control(e->link, 0, 0, 0, WK_WATERMARK, 77);
    send_rows(e, 5);
    wk_link_control(e->link, 0, 0, 0, WK_LATENCY, 78);
    wk_link_control(e->link, 0, 0, 0, WK_END, 0);
}

/* What a peer of such a link receives; ret_whole[i]: elements that are complete in the first i bytes. */
static size_t recorded(uint8_t *bytes, size_t cap, uint8_t *ret_whole)
{
    struct end e;
    size_t len = 0, at = 0;
    uint8_t elements = 0;
    int fds[2];

    tcp_pair(fds);
    end_new(&e);
    wk_link_open(e.link, net_libevent_adopt_fd(env->net, fds[0]));
    send_all(&e);
    for (int quiet = 0; quiet < 3;) {
        ssize_t got = recv(fds[1], bytes + len, cap - len, MSG_DONTWAIT);

        len += got > 0 ? (size_t)got : 0;
        quiet = got > 0 ? 0 : quiet + 1;
        loop_settle(env);
    }
    end_free(&e);
    close(fds[1]);
    while (at < len) { /* frame after frame: the header has its length (common/net/net.h) */
        struct net_frame f = {0};
        uint32_t crc;
        struct err err;

        assert_int_equal(net_header_decode(bytes + at, NET_PAYLOAD_MAX, &f, &crc, &err), 0);
        for (size_t i = 0; i < NET_HEADER_BYTES + f.length; i++)
            ret_whole[at + i] = elements;
        at += NET_HEADER_BYTES + f.length;
        elements = (uint8_t)(elements + (f.kind == NET_DATA || f.kind == NET_CONTROL));
    }
    ret_whole[len] = elements;
    assert_int_equal(at, len);
    return len;
}

static int taken(struct end *e)
{
    struct wk_element *el;
    struct wk_in *in;
    int n = 0;

    while ((el = wk_gate_take(&e->gate, &in)) != NULL) {
        n++;
        wk_element_free(el);
    }
    return n;
}

static void receiver_outlives_its_sender(void **state)
{
    static uint8_t bytes[8192], whole[8193];
    size_t len = recorded(bytes, sizeof(bytes), whole);

    (void)state;
    assert_int_equal(whole[len], SENT);
    for (size_t cut = 0; cut <= len; cut++) {
        struct end e;
        int fds[2];

        tcp_pair(fds);
        end_new(&e);
        wk_link_open(e.link, net_libevent_adopt_fd(env->net, fds[0]));
        assert_int_equal(send(fds[1], bytes, cut, MSG_NOSIGNAL), (ssize_t)cut);
        die(fds[1], false);
        loop_until(env, &e.lost, 1);
        assert_int_equal(e.lost, 1);
        assert_string_not_equal(e.why.text, "");
        assert_false(wk_link_may_open(e.link));
        assert_int_equal(taken(&e), whole[cut]);
        end_free(&e);
    }
}

/* The peer reads so many bytes, and dies with the rest unread while more is sent. */
static void sender_outlives_its_receiver(void **state)
{
    static uint8_t bytes[8192], whole[8193];
    size_t len = recorded(bytes, sizeof(bytes), whole);

    (void)state;
    for (size_t cut = 0; cut <= len; cut += 19) {
        struct end e;
        int fds[2];

        tcp_pair(fds);
        end_new(&e);
        wk_link_open(e.link, net_libevent_adopt_fd(env->net, fds[0]));
        send_all(&e);
        for (size_t got = 0; got < cut;) {
            ssize_t n = recv(fds[1], bytes, cut - got, MSG_DONTWAIT);

            got += n > 0 ? (size_t)n : 0;
            if (n <= 0)
                loop_settle(env);
        }
        die(fds[1], true);
        send_rows(&e, 4); /* into nothing */
        loop_until(env, &e.lost, 1);
        send_rows(&e, 4); /* a step that has not heard of it yet */
        wk_link_grant(e.link, 0, 0, 0, 10, 1u << 20);
        loop_settle(env);
        assert_int_equal(e.lost, 1);
        end_free(&e);
    }
}

static int setup(void **state)
{
    (void)state;
    env = loop_new(false);
    pool = pool_new(16u << 20);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    env_libevent_free(env);
    pool_free(pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(receiver_outlives_its_sender),
        cmocka_unit_test(sender_outlives_its_receiver),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
