/* Two links over one real connection: many channels, one that stands still beside one that moves. */
#include "test/unit/loop.h"

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "taskmanager/worker/exchange/edge.h"
#include "taskmanager/worker/exchange/link.h"
#include "test/unit/allocations.h"
#include "test/unit/taskmanager/worker/noting.h"

#define EDGES_MAX 2
#define CREDIT (128u << 10)

static struct wk_runnable sender = {.executor = &executor}, receiver = {.executor = &executor};

static const rask_field fields[] = {{"k", RASK_T_BIGINT, 0, 0, 0, NULL}, {"n", RASK_T_BIGINT, 0, 0, 0, NULL}};
static const rask_schema schema = {RASK_ABI, 2, "kn", fields};

struct pair {
    struct env *env;
    struct pool *pool;
    struct net_listener *listener;
    struct wk_link *left, *right; /* rows go to the right, credits to the left */
    struct wk_edge edges[EDGES_MAX];
    struct wk_gate *gates[EDGES_MAX]; /* one for each channel */
    uint32_t edge_count, channels;
    int opened, lost;
};

static struct wk_in *right_in(void *arg, uint32_t edge, uint32_t source, uint32_t target)
{
    struct pair *p = arg;

    return edge < p->edge_count && source == 0 && target < p->channels ? &p->gates[edge][target].channels[0] : NULL;
}
static struct wk_out *left_out(void *arg, uint32_t edge, uint32_t source, uint32_t target)
{
    struct pair *p = arg;

    return edge < p->edge_count && source == 0 && target < p->channels ? &p->edges[edge].channels[target] : NULL;
}
static struct wk_in *no_in(void *arg, uint32_t edge, uint32_t source, uint32_t target)
{
    (void)arg, (void)edge, (void)source, (void)target;
    return NULL;
}
static struct wk_out *no_out(void *arg, uint32_t edge, uint32_t source, uint32_t target)
{
    (void)arg, (void)edge, (void)source, (void)target;
    return NULL;
}
static const rask_schema *schema_of(void *arg, uint32_t edge)
{
    (void)arg, (void)edge;
    return &schema;
}
static void on_lost(void *arg, struct wk_link *link, const struct err *why)
{
    (void)link;
    ((struct pair *)arg)->lost++;
    print_error("%s\n", why->text);
}

static void on_accept(void *arg, struct net_conn *conn)
{
    struct pair *p = arg;

    wk_link_open(p->right, conn);
    p->opened++;
}
static void on_open(void *arg, struct net_conn *conn)
{
    struct pair *p = arg;

    wk_link_open(p->left, conn);
    p->opened++;
}
static void on_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    (void)arg, (void)conn, (void)frame;
}
static void on_close(void *arg, struct net_conn *conn, const struct err *why)
{
    (void)conn, (void)why;
    ((struct pair *)arg)->lost++;
}
static const struct net_handler opening = {.on_open = on_open, .on_frame = on_frame, .on_close = on_close};

static void edge_new(struct pair *p, uint32_t id, Rask__Graph__Partitioner partitioner, uint32_t credit)
{
    struct wk_edge *e = &p->edges[id];

    *e = (struct wk_edge){.id = id, .partitioner = partitioner, .pool = p->pool, .channel_count = p->channels,
                          .target_parallelism = p->channels, .max_parallelism = 256, .side = -1, .random = 1};
    e->channels = mem_alloc_array_lines(p->channels, sizeof(*e->channels));
    e->rank_of_subtask = mem_alloc_array(p->channels, sizeof(uint16_t));
    e->key_columns = mem_alloc_array(1, sizeof(uint16_t));
    e->key_count = 1;
    p->gates[id] = mem_alloc_array(p->channels, sizeof(*p->gates[id]));
    for (uint32_t i = 0; i < p->channels; i++) {
        struct wk_in *in;

        wk_out_init(&e->channels[i], &sender, id, 0, i);
        e->channels[i].link = p->left;
        e->rank_of_subtask[i] = (uint16_t)i;
        wk_gate_init(&p->gates[id][i], &receiver, 1);
        in = &p->gates[id][i].channels[0];
        in->edge = id;
        in->target_subtask = i;
        wk_in_connect_remote(in, p->right);
        wk_in_open(in, credit);
    }
}

static void pair_new(struct pair *p, uint32_t edges, uint32_t channels, Rask__Graph__Partitioner partitioner, uint32_t credit)
{
    struct wk_link_owner left = {no_in, left_out, schema_of, on_lost, p}, right = {right_in, no_out, schema_of, on_lost, p};
    struct err err = {0};
    char name[64];

    memset(p, 0, sizeof(*p));
    snprintf(name, sizeof(name), "inproc:flow-%p", (void *)p);
    p->env = loop_new(false);
    p->pool = pool_new(256u << 20);
    p->edge_count = edges;
    p->channels = channels;
    p->left = wk_link_new(p->env, p->pool, 1, 1, &left);
    p->right = wk_link_new(p->env, p->pool, 0, 1, &right);
    for (uint32_t i = 0; i < edges; i++)
        edge_new(p, i, partitioner, credit);
    assert_int_equal(p->env->net->ops->listen(p->env->net, name, on_accept, p, &p->listener, &err), 0);
    assert_non_null(p->env->net->ops->connect(p->env->net, name, &opening, p));
    loop_until(p->env, &p->opened, 2);
}

static void pair_free(struct pair *p)
{
    assert_int_equal(p->lost, 0);
    wk_link_free(p->left);
    wk_link_free(p->right);
    p->env->net->ops->listener_close(p->listener);
    loop_settle(p->env);
    for (uint32_t e = 0; e < p->edge_count; e++) {
        for (uint32_t i = 0; i < p->channels; i++)
            wk_gate_release(&p->gates[e][i]);
        mem_free(p->gates[e]);
        wk_edge_release(&p->edges[e]);
    }
    env_libevent_free(p->env);
    pool_free(p->pool);
}

static rask_batch *rows(struct pair *p, int64_t first)
{
    rask_batch *b = batch_new(p->pool, &schema, RASK_BATCH_ROWS_MAX, 0);

    for (uint32_t i = 0; i < RASK_BATCH_ROWS_MAX; i++)
        ((int64_t *)b->columns[0].data)[i] = ((int64_t *)b->columns[1].data)[i] = first + i;
    return b;
}

/* Consumes what has come to a channel: n rises. Returns the rows. */
static uint32_t consume(struct pair *p, uint32_t edge, uint32_t channel, int64_t *last)
{
    struct wk_element *e;
    struct wk_in *in;
    uint32_t taken = 0;

    while ((e = wk_gate_take(&p->gates[edge][channel], &in)) != NULL) {
        rask_batch *b = wk_element_rows(e);

        for (uint32_t i = 0; i < b->rows; i++) {
            rask_row row = rask_batch_row(b, i);

            assert_true(rask_i64(&row, 1) > *last);
            *last = rask_i64(&row, 1);
        }
        taken += b->rows;
        batch_unref(b);
        wk_in_consumed(in, e->bytes);
        wk_element_free(e);
    }
    return taken;
}

static void many_channels(bool packed)
{
    enum { CHANNELS = 200, BLOCKS = 100 };
    int64_t last[CHANNELS];
    uint64_t taken = 0, sent = 0, plain_bytes, packed_bytes;
    struct pair p;

    pair_new(&p, 1, CHANNELS, RASK__GRAPH__PARTITIONER__HASH, 2048);
    if (packed)
        wk_link_pack(p.left);
    for (uint32_t i = 0; i < CHANNELS; i++)
        last[i] = -1;
    while (taken < (uint64_t)BLOCKS * RASK_BATCH_ROWS_MAX) {
        if (sent < (uint64_t)BLOCKS * RASK_BATCH_ROWS_MAX && !wk_edge_full(&p.edges[0])) {
            wk_edge_emit(&p.edges[0], rows(&p, (int64_t)sent));
            sent += RASK_BATCH_ROWS_MAX;
        }
        wk_edge_send_waiting(&p.edges[0]);
        assert_true(wk_edge_in_flight(&p.edges[0]) <= CHANNELS * 2048);
        loop_settle(p.env);
        for (uint32_t i = 0; i < CHANNELS; i++)
            taken += consume(&p, 0, i, &last[i]);
    }
    assert_int_equal(taken, sent);
    assert_true(wk_edge_drained(&p.edges[0]));
    wk_link_packed(p.left, &plain_bytes, &packed_bytes);
    assert_true(packed ? packed_bytes < plain_bytes : plain_bytes == 0);
    pair_free(&p);
}

static void many_channels_share_a_connection(void **state)
{
    (void)state;
    many_channels(false);
}

static void packed_rows_arrive_as_they_were(void **state)
{
    (void)state;
    many_channels(true);
}

/* Noise does not shrink: it goes as it is, and is not tried each time. */
static void rows_that_do_not_shrink_travel_as_they_are(void **state)
{
    uint64_t number = 1, plain_bytes, packed_bytes;
    uint32_t taken = 0;
    struct pair p;

    (void)state;
    pair_new(&p, 1, 1, RASK__GRAPH__PARTITIONER__GLOBAL, 1u << 20);
    wk_link_pack(p.left);
    for (int i = 0; i < 40; i++) {
        rask_batch *b = rows(&p, 0);
        struct wk_element *e;
        struct wk_in *in;

        for (uint32_t r = 0; r < 2 * b->rows; r++) {
            number = number * 6364136223846793005u + 1442695040888963407u;
            ((uint64_t *)b->columns[r & 1].data)[r / 2] = number ^ number >> 29;
        }
        wk_edge_emit(&p.edges[0], b);
        loop_settle(p.env);
        while ((e = wk_gate_take(&p.gates[0][0], &in)) != NULL) {
            taken += e->rows;
            wk_in_consumed(in, e->bytes);
            wk_element_free(e);
        }
    }
    assert_int_equal(taken, 40 * RASK_BATCH_ROWS_MAX);
    wk_link_packed(p.left, &plain_bytes, &packed_bytes);
    assert_int_equal(plain_bytes, 0);
    pair_free(&p);
}

/* Blocks that edge 1 moves in so many rounds, while edge 0 moves too or stands still. */
static uint32_t blocks_of_one(bool other_stands_still)
{
    enum { ROUNDS = 300 };
    int64_t last[2] = {-1, -1}, sent[2] = {0, 0};
    uint64_t taken = 0;
    struct pair p;

    pair_new(&p, 2, 1, RASK__GRAPH__PARTITIONER__GLOBAL, CREDIT);
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t e = 0; e < 2; e++) {
            if (!wk_edge_full(&p.edges[e])) {
                wk_edge_emit(&p.edges[e], rows(&p, sent[e]));
                sent[e] += RASK_BATCH_ROWS_MAX;
            }
            wk_edge_send_waiting(&p.edges[e]);
        }
        loop_settle(p.env);
        assert_true(wk_edge_in_flight(&p.edges[0]) <= CREDIT);
        if (!other_stands_still)
            consume(&p, 0, 0, &last[0]);
        taken += consume(&p, 1, 0, &last[1]);
    }
    if (other_stands_still) /* what it holds and what waits for it, and no more */
        assert_true((uint64_t)sent[0] * 16 <= CREDIT + (EDGE_BLOCKS_MAX + 1) * (uint64_t)RASK_BATCH_ROWS_MAX * 16);
    pair_free(&p);
    return (uint32_t)(taken / RASK_BATCH_ROWS_MAX);
}

static void a_channel_that_stands_still_holds_up_no_other(void **state)
{
    uint32_t both = blocks_of_one(false), alone = blocks_of_one(true);

    (void)state;
    assert_true(both >= 100);
    assert_true(alone * 10 >= both * 9);
}

/* Blocks sent, received, decoded, consumed, and the credit back. */
static void blocks_pass(struct pair *p, uint32_t count, int64_t *last)
{
    uint64_t taken = 0, sent = 0;

    for (uint32_t i = 0; i < p->channels; i++)
        last[i] = -1;
    while (taken < (uint64_t)count * RASK_BATCH_ROWS_MAX) {
        int before = woken;

        if (sent < (uint64_t)count * RASK_BATCH_ROWS_MAX && !wk_edge_full(&p->edges[0])) {
            wk_edge_emit(&p->edges[0], rows(p, (int64_t)sent));
            sent += RASK_BATCH_ROWS_MAX;
        }
        wk_edge_send_waiting(&p->edges[0]);
        loop_until(p->env, &woken, before + 1); /* rows or credits came */
        for (uint32_t i = 0; i < p->channels; i++)
            taken += consume(p, 0, i, &last[i]);
    }
}

static void a_warm_connection_allocates_nothing(uint32_t channels, uint32_t credit, bool packed)
{
    int64_t last[200];
    uint64_t allocated;
    struct pool_stats before, after;
    struct pair p;
    long faults;

    pair_new(&p, 1, channels, RASK__GRAPH__PARTITIONER__HASH, credit);
    if (packed)
        wk_link_pack(p.left);
    blocks_pass(&p, 300, last);
    pool_stats(p.pool, &before);
    allocated = allocations_so_far();
    faults = allocations_page_faults();
    blocks_pass(&p, 1000, last);
    allocated = allocations_so_far() - allocated;
    faults = allocations_page_faults() - faults;
    pool_stats(p.pool, &after);
    if (ALLOCATIONS_COUNTED) {
        assert_int_equal(allocated, 0);
        assert_int_equal(after.allocations - before.allocations, 0);
        assert_true(faults < 10);
    }
    assert_true(after.gets > before.gets);
    pair_free(&p);
}
static void a_warm_connection_of_two_channels_allocates_nothing(void **state)
{
    (void)state;
    a_warm_connection_allocates_nothing(2, 256u << 10, false);
}
static void a_warm_connection_of_many_channels_allocates_nothing(void **state)
{
    (void)state;
    a_warm_connection_allocates_nothing(200, 8192, false);
}
static void a_warm_connection_that_packs_allocates_nothing(void **state)
{
    (void)state;
    a_warm_connection_allocates_nothing(2, 256u << 10, true);
}

/* ---- credits of few rows ---- */

static int credit_frames;
static const struct net_ops *real_ops;

/* Waiting takes a while: this machine may be busy, and rows still come more often than that. */
static void arm_late(struct env *env, struct env_timer *timer, uint64_t delay_ns)
{
    loop_real->timer_arm(env, timer, delay_ns * 500);
}

static void count_credits(struct net_conn *conn, const struct net_frame *frame, const struct net_iov *parts, size_t part_count,
                          void (*release)(void *arg), void *release_arg)
{
    credit_frames += frame->kind == NET_CREDIT;
    real_ops->send_parts(conn, frame, parts, part_count, release, release_arg);
}

/* Each row is consumed as soon as it is there. */
static void credits_of_single_rows_travel_together(void **state)
{
    enum { ROWS = 200 };
    int64_t last = -1;
    struct env_ops late;
    struct net_ops ops;
    struct pair p;

    (void)state;
    pair_new(&p, 1, 1, RASK__GRAPH__PARTITIONER__GLOBAL, CREDIT);
    loop_settle(p.env);
    real_ops = p.env->net->ops;
    ops = *real_ops;
    ops.send_parts = count_credits;
    p.env->net->ops = &ops;
    late = *p.env->ops;
    late.timer_arm = arm_late;
    p.env->ops = &late;
    credit_frames = 0;
    for (int64_t i = 0; i < ROWS; i++) {
        rask_batch *all = rows(&p, i);

        wk_edge_emit(&p.edges[0], batch_slice(all, 0, 1));
        wk_edge_flush(&p.edges[0]);
        batch_unref(all);
        while (consume(&p, 0, 0, &last) == 0)
            loop_once(p.env);
    }
    assert_true(credit_frames < ROWS / 2);
    while (wk_edge_in_flight(&p.edges[0]) > 0) /* and none is kept */
        loop_settle(p.env);
    p.env->net->ops = real_ops;
    p.env->ops = loop_real;
    pair_free(&p);
}

/* ---- steps on threads of their own ---- */

struct step {
    struct pair *p;
    uint32_t channel;
    pthread_t thread;
};
enum { SENT = 20000 };

static void *send_numbers(void *arg)
{
    struct step *s = arg;

    for (int64_t i = 0; i < SENT; i++)
        wk_link_control(s->p->left, 0, 0, s->channel, WK_WATERMARK, i);
    return NULL;
}

static void steps_send_while_the_loop_does(void **state)
{
    enum { STEPS = 3 };
    struct step steps[STEPS];
    struct pair p;

    (void)state;
    pair_new(&p, 1, STEPS, RASK__GRAPH__PARTITIONER__HASH, 2048);
    for (uint32_t i = 0; i < STEPS; i++) {
        steps[i] = (struct step){.p = &p, .channel = i};
        assert_int_equal(pthread_create(&steps[i].thread, NULL, send_numbers, &steps[i]), 0);
    }
    for (uint32_t i = 0; i < STEPS; i++) {
        for (int64_t next = 0; next < SENT;) {
            struct wk_element *e;
            struct wk_in *in;

            loop_once(p.env);
            for (; (e = wk_gate_take(&p.gates[0][i], &in)) != NULL; next++) {
                assert_int_equal(e->value, next);
                wk_element_free(e);
            }
        }
        pthread_join(steps[i].thread, NULL);
    }
    pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_channels_share_a_connection),
        cmocka_unit_test(packed_rows_arrive_as_they_were),
        cmocka_unit_test(rows_that_do_not_shrink_travel_as_they_are),
        cmocka_unit_test(a_channel_that_stands_still_holds_up_no_other),
        cmocka_unit_test(a_warm_connection_of_two_channels_allocates_nothing),
        cmocka_unit_test(a_warm_connection_of_many_channels_allocates_nothing),
        cmocka_unit_test(a_warm_connection_that_packs_allocates_nothing),
        cmocka_unit_test(credits_of_single_rows_travel_together),
        cmocka_unit_test(steps_send_while_the_loop_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
