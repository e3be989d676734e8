/* Edges and channels: who sends to whom, order, routing, credits, backpressure. One thread, no loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/hash.h"
#include "common/types/key_bytes.h"
#include "taskmanager/worker/exchange/debloat.h"
#include "common/graph/regions.h"
#include "taskmanager/worker/exchange/edge.h"
#include "test/unit/taskmanager/worker/noting.h"

static uint64_t seed = 1;
static uint64_t draw(uint64_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % below;
}

static struct wk_runnable sender = {.executor = &executor}, receiver = {.executor = &executor};

/* ---- one edge to `targets` local gates ---- */

static const rask_field fields[] = {{"k", RASK_T_BIGINT, 0, 0, 0, NULL}, {"n", RASK_T_BIGINT, 0, 0, 0, NULL}};
static const rask_schema schema = {RASK_ABI, 2, "kn", fields};

struct bench {
    struct pool *pool;
    struct wk_edge edge;
    struct wk_gate *gates;
    uint32_t targets;
};

static void bench_new(struct bench *b, Rask__Graph__Partitioner partitioner, uint32_t targets, uint32_t credit)
{
    memset(b, 0, sizeof(*b));
    b->pool = pool_new(64u << 20);
    b->targets = targets;
    b->gates = mem_alloc_array(targets, sizeof(*b->gates));
    b->edge = (struct wk_edge){.partitioner = partitioner, .pool = b->pool, .channel_count = targets, .target_parallelism = targets,
                               .max_parallelism = 128, .side = -1, .random = 1};
    b->edge.channels = mem_alloc_array_lines(targets, sizeof(*b->edge.channels));
    b->edge.rank_of_subtask = mem_alloc_array(targets, sizeof(uint16_t));
    b->edge.key_columns = mem_alloc_array(1, sizeof(uint16_t));
    b->edge.key_count = 1;
    for (uint32_t i = 0; i < targets; i++) {
        wk_gate_init(&b->gates[i], &receiver, 1);
        wk_out_init(&b->edge.channels[i], &sender, 0, 0, i);
        wk_out_connect_local(&b->edge.channels[i], &b->gates[i].channels[0]);
        b->edge.rank_of_subtask[i] = (uint16_t)i;
        if (credit)
            wk_in_open(&b->gates[i].channels[0], credit);
    }
}

static void bench_free(struct bench *b)
{
    wk_edge_release(&b->edge);
    for (uint32_t i = 0; i < b->targets; i++)
        wk_gate_release(&b->gates[i]);
    mem_free(b->gates);
    pool_free(b->pool);
}

static rask_batch *rows(struct bench *b, int64_t first, uint32_t count, int64_t keys)
{
    rask_batch *batch = batch_new(b->pool, &schema, count, 0);

    for (uint32_t i = 0; i < count; i++) {
        ((int64_t *)batch->columns[0].data)[i] = (first + i) % keys;
        ((int64_t *)batch->columns[1].data)[i] = first + i;
    }
    return batch;
}

/* Takes everything that is there; each row is handed to see(target, key, n). */
static uint32_t take_all(struct bench *b, uint32_t target, void (*see)(void *arg, uint32_t target, int64_t key, int64_t n), void *arg)
{
    struct wk_element *e;
    struct wk_in *in;
    uint32_t taken = 0;

    while ((e = wk_gate_take(&b->gates[target], &in)) != NULL) {
        rask_batch *batch = e->type == WK_DATA ? wk_element_rows(e) : NULL;

        for (uint32_t i = 0; batch && i < batch->rows; i++) {
            rask_row row = rask_batch_row(batch, i);

            if (see)
                see(arg, target, rask_i64(&row, 0), rask_i64(&row, 1));
            taken++;
        }
        batch_unref(batch);
        if (e->type == WK_DATA)
            wk_in_consumed(in, e->bytes);
        wk_element_free(e);
    }
    return taken;
}

/* ---- tests ---- */

static void pointwise_patterns_cover_both_sides(void **state)
{
    (void)state;
    for (uint32_t sources = 1; sources <= 40; sources++)
        for (uint32_t targets = 1; targets <= 40; targets++) {
            uint32_t readers[40] = {0};

            for (uint32_t s = 0; s < sources; s++) {
                uint32_t first, count;

                graph_edge_targets(RASK__GRAPH__PARTITIONER__RESCALE, s, sources, targets, &first, &count);
                assert_true(count >= 1 && first + count <= targets);
                assert_true(sources < targets || count == 1);
                if (sources == targets)
                    assert_int_equal(first, s);
                for (uint32_t t = first; t < first + count; t++)
                    readers[t]++;
            }
            for (uint32_t t = 0; t < targets; t++) {
                assert_true(readers[t] >= 1);
                assert_true(sources >= targets || readers[t] == 1);
            }
        }
}

struct seen {
    struct bench *b;
    int64_t last[128];  /* by target: n rises in each channel */
    uint32_t by_target[128];
    uint32_t rows;
    bool hash;
};
static void see(void *arg, uint32_t target, int64_t key, int64_t n)
{
    struct seen *s = arg;

    assert_true(n > s->last[target]);
    s->last[target] = n;
    s->by_target[target]++;
    s->rows++;
    if (s->hash) {
        struct bytes b;

        bytes_init(&b);
        bytes_add_u64(&b, __builtin_bswap64((uint64_t)key ^ ((uint64_t)1 << 63)));
        assert_int_equal(key_group_subtask(key_group_of(hash_xxh3(b.data, b.len), 128), 128, s->b->targets), target);
        bytes_release(&b);
    }
}

static void run_partitioner(Rask__Graph__Partitioner p, uint32_t targets, struct seen *s)
{
    struct bench b;
    int64_t sent = 0;

    bench_new(&b, p, targets, 1u << 20);
    memset(s, 0, sizeof(*s));
    s->b = &b;
    s->hash = p == RASK__GRAPH__PARTITIONER__HASH;
    b.edge.wider = wk_edge_wider(p, targets);
    for (uint32_t i = 0; i < ARRAY_LEN(s->last); i++)
        s->last[i] = -1;
    while (sent < 50000) {
        uint32_t n = (uint32_t)draw(5) == 0 ? (uint32_t)draw(4096) + 1 : (uint32_t)draw(20) + 1;

        wk_edge_emit(&b.edge, rows(&b, sent, n, 1000));
        sent += n;
        if (draw(3) == 0)
            wk_edge_flush(&b.edge);
        for (uint32_t t = 0; t < targets; t++)
            take_all(&b, t, see, s);
        wk_edge_send_waiting(&b.edge);
    }
    wk_edge_flush(&b.edge);
    for (int i = 0; i < 10; i++) {
        for (uint32_t t = 0; t < targets; t++)
            take_all(&b, t, see, s);
        wk_edge_send_waiting(&b.edge);
    }
    assert_true(wk_edge_drained(&b.edge));
    assert_int_equal(s->rows, p == RASK__GRAPH__PARTITIONER__BROADCAST ? sent * targets : sent);
    assert_int_equal(b.edge.rows_out, s->rows);
    bench_free(&b);
}

static void every_partitioner_keeps_rows_and_order(void **state)
{
    static const Rask__Graph__Partitioner all[] = {RASK__GRAPH__PARTITIONER__REBALANCE, RASK__GRAPH__PARTITIONER__SHUFFLE,
                                                   RASK__GRAPH__PARTITIONER__HASH, RASK__GRAPH__PARTITIONER__BROADCAST,
                                                   RASK__GRAPH__PARTITIONER__GLOBAL, RASK__GRAPH__PARTITIONER__RESCALE};
    struct seen s;

    (void)state;
    for (uint32_t targets = 1; targets <= 128; targets += targets < 16 ? 5 : 56)
        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
            run_partitioner(all[i], targets, &s);
            if (all[i] == RASK__GRAPH__PARTITIONER__REBALANCE)
                for (uint32_t t = 0; t < targets; t++)
                    assert_true(s.by_target[t] + 1 >= s.rows / targets && s.by_target[t] <= s.rows / targets + 1);
            if (all[i] == RASK__GRAPH__PARTITIONER__GLOBAL)
                assert_int_equal(s.by_target[0], s.rows);
        }
}

/* Of one key: the block is the batch that came, and its hashes are there if somebody looks at them. */
static void rows_for_one_channel_stay_where_they_are(void **state)
{
    (void)state;
    for (int drops = 0; drops < 2; drops++) {
        uint32_t got = 0;
        struct bench b;
        rask_batch *in;

        bench_new(&b, RASK__GRAPH__PARTITIONER__HASH, 3, 256u << 10);
        b.edge.drops_hash = drops;
        in = rows(&b, 0, 1000, 1);
        wk_edge_emit(&b.edge, batch_ref(in));
        wk_edge_flush(&b.edge);
        for (uint32_t i = 0; i < 3; i++) {
            struct wk_in *from;
            struct wk_element *e = wk_gate_take(&b.gates[i], &from);

            if (!e)
                continue;
            got += e->rows;
            assert_ptr_equal(e->block->rows->columns[1].data, in->columns[1].data);
            assert_int_equal(e->block->rows->hash.data == NULL, drops);
            wk_in_consumed(from, e->bytes);
            wk_element_free(e);
        }
        assert_int_equal(got, 1000);
        batch_unref(in);
        bench_free(&b);
    }
}

static void without_credit_nothing_leaves_and_the_edge_is_full(void **state)
{
    struct bench b;
    uint32_t emitted = 0, taken = 0;

    (void)state;
    bench_new(&b, RASK__GRAPH__PARTITIONER__HASH, 2, 0);
    while (!wk_edge_full(&b.edge)) {
        wk_edge_emit(&b.edge, rows(&b, emitted, 4096, 1000));
        emitted += 4096;
    }
    assert_true(emitted <= 4096 * (EDGE_BLOCKS_MAX + 1));
    assert_int_equal(take_all(&b, 0, NULL, NULL) + take_all(&b, 1, NULL, NULL), 0);
    /* one channel gets credit: its rows leave, the other's stay */
    woken = 0;
    wk_in_open(&b.gates[1].channels[0], 100000);
    assert_int_equal(woken, 1);
    for (int i = 0; i < 100; i++) {
        wk_edge_send_waiting(&b.edge);
        assert_true(wk_in_queued_bytes(&b.gates[1].channels[0]) <= 100000);
        taken += take_all(&b, 1, NULL, NULL);
    }
    assert_true(taken > emitted / 4);
    assert_int_equal(take_all(&b, 0, NULL, NULL), 0);
    assert_false(wk_edge_drained(&b.edge));
    bench_free(&b);
}

static void a_slice_larger_than_the_credit_leaves_in_parts(void **state)
{
    struct bench b;
    struct seen s = {.b = &b, .last = {-1}};

    (void)state;
    bench_new(&b, RASK__GRAPH__PARTITIONER__GLOBAL, 1, 1000);
    for (int i = 0; i < 3; i++)
        wk_edge_emit(&b.edge, rows(&b, i * 4096, 4096, 10));
    wk_edge_flush(&b.edge);
    while (!wk_edge_drained(&b.edge)) {
        assert_true(wk_edge_in_flight(&b.edge) <= 1000);
        assert_true(wk_in_queued_bytes(&b.gates[0].channels[0]) > 0);
        take_all(&b, 0, see, &s);
        wk_edge_send_waiting(&b.edge);
    }
    take_all(&b, 0, see, &s);
    assert_int_equal(s.rows, 3 * 4096);
    assert_int_equal(b.edge.bytes_waiting, 0);
    assert_int_equal(b.edge.blocks_waiting, 0);
    bench_free(&b);
}

static void a_row_larger_than_the_credit_passes_alone(void **state)
{
    struct bench b;

    (void)state;
    bench_new(&b, RASK__GRAPH__PARTITIONER__GLOBAL, 1, 10);
    wk_edge_emit(&b.edge, rows(&b, 0, 3, 10));
    wk_edge_flush(&b.edge);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(take_all(&b, 0, NULL, NULL), 1);
        wk_edge_send_waiting(&b.edge);
    }
    assert_true(wk_edge_drained(&b.edge));
    bench_free(&b);
}

/* Rows under way to a consumer that takes one a millisecond, in the end; the sender always has more. */
static uint64_t under_way_at_a_row_a_ms(const struct wk_debloat_options *options)
{
    struct wk_debloat debloat = {.options = options};
    struct bench b;
    uint64_t now = 0, bytes;
    int64_t sent = 0;

    bench_new(&b, RASK__GRAPH__PARTITIONER__GLOBAL, 1, 256u << 10);
    for (int i = 0; i < 200; i++) {
        struct wk_element *e;
        struct wk_in *in;

        while (!wk_edge_full(&b.edge)) {
            wk_edge_emit(&b.edge, rows(&b, sent, 4096, 10));
            sent += 4096;
        }
        e = wk_gate_take(&b.gates[0], &in);
        assert_non_null(e);
        now += e->rows * 1000000ull;
        debloat.consumed_bytes += e->bytes;
        wk_in_consumed(in, e->bytes);
        wk_element_free(e);
        if (wk_debloat_is_due(&debloat, now))
            wk_debloat_adjust(&debloat, &b.gates[0], now, now, 256u << 10);
        wk_edge_send_waiting(&b.edge);
    }
    bytes = wk_edge_in_flight(&b.edge);
    while (take_all(&b, 0, NULL, NULL) > 0)
        wk_edge_send_waiting(&b.edge);
    assert_int_equal(b.edge.rows_out, sent);
    bench_free(&b);
    return bytes / 16;
}

static void a_slow_consumer_keeps_few_rows_under_way(void **state)
{
    struct wk_debloat_options options = {false, 100000000, 200000000, 25, 20};

    (void)state;
    assert_true(under_way_at_a_row_a_ms(&options) > 10000);
    options.enabled = true;
    assert_in_range(under_way_at_a_row_a_ms(&options), 20, 130); /* 100 ms */
}

static void control_elements_stay_behind_the_rows_before_them(void **state)
{
    struct bench b;
    struct wk_element *e;
    struct wk_in *in;

    (void)state;
    bench_new(&b, RASK__GRAPH__PARTITIONER__REBALANCE, 2, 0);
    wk_edge_emit(&b.edge, rows(&b, 0, 10, 10));
    wk_edge_control(&b.edge, WK_WATERMARK, 77);
    wk_edge_emit(&b.edge, rows(&b, 10, 10, 10));
    wk_edge_control(&b.edge, WK_END, 0);
    assert_null(wk_gate_take(&b.gates[0], &in)); /* no credit: the watermark waits behind the rows */
    for (uint32_t t = 0; t < 2; t++) {
        wk_in_open(&b.gates[t].channels[0], 100000);
    }
    wk_edge_send_waiting(&b.edge);
    for (uint32_t t = 0; t < 2; t++) {
        static const enum wk_element_type order[] = {WK_DATA, WK_WATERMARK, WK_DATA, WK_END};

        for (int i = 0; i < 4; i++) {
            e = wk_gate_take(&b.gates[t], &in);
            assert_non_null(e);
            assert_int_equal(e->type, order[i]);
            wk_element_free(e);
        }
    }
    assert_true(wk_edge_drained(&b.edge));
    bench_free(&b);
}

/* The types that gate 0 gets, a letter each: d(ata), w(atermark), b(arrier), e(nd); E: with the end of event time. */
static const char *types_taken(struct bench *b)
{
    static const char letters[] = {[WK_DATA] = 'd', [WK_WATERMARK] = 'w', [WK_BARRIER] = 'b', [WK_END] = 'e'};
    static char taken[16];
    struct wk_element *e;
    struct wk_in *in;
    size_t n = 0;

    while ((e = wk_gate_take(&b->gates[0], &in)) != NULL && n < sizeof(taken) - 1) {
        taken[n++] = e->type == WK_END && e->value ? 'E' : letters[e->type];
        wk_element_free(e);
    }
    taken[n] = 0;
    return taken;
}

static void end_of_time_and_input_are_one_element(void **state)
{
    struct bench b;

    (void)state;
    bench_new(&b, RASK__GRAPH__PARTITIONER__REBALANCE, 2, 100000);
    wk_edge_emit(&b.edge, rows(&b, 0, 10, 10));
    wk_edge_control(&b.edge, WK_WATERMARK, RASK_TS_MAX);
    assert_string_equal(types_taken(&b), "d"); /* rows do not wait for it */
    wk_edge_wake(&b.edge);
    assert_string_equal(types_taken(&b), "w"); /* the step has ended */
    wk_edge_wake(&b.edge);
    wk_edge_control(&b.edge, WK_WATERMARK, RASK_TS_MAX);
    wk_edge_emit(&b.edge, rows(&b, 10, 10, 10));
    wk_edge_control(&b.edge, WK_BARRIER, 1);
    wk_edge_control(&b.edge, WK_WATERMARK, RASK_TS_MAX);
    wk_edge_control(&b.edge, WK_BARRIER, 2);
    assert_string_equal(types_taken(&b), "wdbwb");
    wk_edge_control(&b.edge, WK_WATERMARK, RASK_TS_MAX);
    wk_edge_control(&b.edge, WK_END, 0);
    wk_edge_wake(&b.edge);
    assert_string_equal(types_taken(&b), "E");
    bench_free(&b);
}

static const rask_field one_field[] = {{"id", RASK_T_BIGINT, 0, 0, 0, NULL}};
static const rask_schema one = {RASK_ABI, 1, "id", one_field};

static void splits_go_to_readers_that_ask(void **state)
{
    struct bench b;
    rask_batch *all;
    struct wk_element *e;
    struct wk_in *in;
    uint32_t got[3] = {0};

    (void)state;
    bench_new(&b, RASK__GRAPH__PARTITIONER__SPLITS, 3, 1);
    all = batch_new(b.pool, &one, 20, 0);
    for (int64_t i = 0; i < 20; i++)
        ((int64_t *)all->columns[0].data)[i] = i;
    wk_edge_emit(&b.edge, all);
    wk_edge_control(&b.edge, WK_END, 0);
    /* each reader has one waiting; only reader 1 works */
    for (int i = 0; i < 18; i++) {
        e = wk_gate_take(&b.gates[1], &in);
        assert_non_null(e);
        assert_int_equal(e->type, WK_DATA);
        got[1]++;
        wk_in_consumed(in, e->bytes);
        wk_element_free(e);
        wk_edge_send_waiting(&b.edge);
    }
    for (uint32_t t = 0; t < 3; t++)
        while ((e = wk_gate_take(&b.gates[t], &in)) != NULL) {
            got[t] += e->type == WK_DATA;
            wk_element_free(e);
        }
    assert_int_equal(got[0] + got[1] + got[2], 20);
    assert_int_equal(got[1], 18);
    assert_true(wk_edge_drained(&b.edge));
    bench_free(&b);
}

static void splits_that_come_one_by_one_make_the_edge_full(void **state)
{
    struct bench b;
    uint32_t found = 0;

    (void)state;
    bench_new(&b, RASK__GRAPH__PARTITIONER__SPLITS, 1, 1);
    for (; !wk_edge_full(&b.edge); found++)
        wk_edge_emit(&b.edge, batch_new(b.pool, &one, 1, 0));
    assert_true(found < EDGE_HELD_MAX);
    assert_true(b.edge.held_count + 16 < EDGE_HELD_MAX); /* room for what one call adds */
    bench_free(&b);
}

static struct wk_element *control(struct pool *pool, enum wk_element_type type, int64_t value)
{
    struct wk_block *block = wk_block_new(pool, NULL, 1);
    struct wk_element *e = wk_block_control(block, type, value);

    wk_block_unref(block);
    return e;
}

static void alignment_blocks_a_channel_and_keeps_its_order(void **state)
{
    struct pool *pool = pool_new(0);
    struct wk_gate g = {0};
    struct wk_in *in;
    struct wk_element *e;

    (void)state;
    wk_gate_init(&g, &receiver, 2);
    wk_in_push(&g.channels[0], control(pool, WK_BARRIER, 1));
    wk_in_push(&g.channels[0], control(pool, WK_WATERMARK, 5));
    e = wk_gate_take(&g, &in);
    assert_int_equal(e->type, WK_BARRIER);
    wk_in_block(in, WK_BLOCK_BARRIER);
    wk_element_free(e);
    assert_null(wk_gate_take(&g, &in));
    wk_in_push(&g.channels[0], control(pool, WK_WATERMARK, 6));
    assert_null(wk_gate_take(&g, &in));
    wk_in_push(&g.channels[1], control(pool, WK_WATERMARK, 1));
    e = wk_gate_take(&g, &in);
    assert_ptr_equal(in, &g.channels[1]);
    wk_element_free(e);
    wk_gate_unblock(&g, WK_BLOCK_BARRIER);
    for (int64_t v = 5; v <= 6; v++) {
        e = wk_gate_take(&g, &in);
        assert_int_equal(e->value, v);
        wk_element_free(e);
    }
    wk_gate_release(&g);
    pool_free(pool);
}

/* ---- latency markers: behind what is held, without cutting it, and to one channel at a time ---- */

static uint32_t markers_of(struct bench *b, uint32_t target, uint32_t *ret_rows_before)
{
    struct wk_element *e;
    struct wk_in *in;
    uint32_t markers = 0;

    *ret_rows_before = 0;
    while ((e = wk_gate_take(&b->gates[target], &in)) != NULL) {
        markers += e->type == WK_LATENCY;
        if (e->type == WK_DATA && markers == 0)
            *ret_rows_before += e->rows;
        wk_element_free(e);
    }
    return markers;
}

static void markers_do_not_cut_blocks(void **state)
{
    struct bench b;
    uint32_t before, markers = 0, rows_before = 0;

    (void)state;
    bench_new(&b, RASK__GRAPH__PARTITIONER__HASH, 3, 1u << 20);
    wk_edge_emit(&b.edge, rows(&b, 0, 90, 90));
    wk_edge_marker(&b.edge, 1);
    wk_edge_marker(&b.edge, 2); /* the newer one says as much */
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(markers_of(&b, i, &before), 0);
    assert_int_equal(b.edge.held_rows, 90);
    wk_edge_flush(&b.edge);
    for (uint32_t i = 0; i < 3; i++) {
        markers += markers_of(&b, i, &before);
        rows_before += before;
    }
    assert_int_equal(markers, 1);
    assert_int_equal(rows_before, 90);
    for (uint32_t round = 0; round < 6; round++) { /* nothing is held: it leaves at once, to the next channel */
        wk_edge_marker(&b.edge, 3);
        assert_int_equal(markers_of(&b, (round + 1) % 3, &before), 1);
    }
    assert_true(wk_edge_drained(&b.edge));
    bench_free(&b);
}

static void a_wide_edge_makes_larger_blocks_and_wakes_its_readers_together(void **state)
{
    struct bench b;
    uint32_t most = 0, slices = 0;
    struct wk_element *e;
    struct wk_in *in;

    (void)state;
    bench_new(&b, RASK__GRAPH__PARTITIONER__HASH, 128, 1u << 20);
    b.edge.wider = wk_edge_wider(b.edge.partitioner, 128);
    assert_int_equal(b.edge.wider, EDGE_WIDER_MAX);
    woken = 0;
    for (int i = 0; i < EDGE_WIDER_MAX; i++) {
        assert_int_equal(b.edge.rows_out, 0);
        wk_edge_emit(&b.edge, rows(&b, i * 4096, 4096, 1 << 20));
    }
    assert_int_equal(b.edge.rows_out, EDGE_BLOCK_ROWS_MAX);
    assert_int_equal(woken, 0);
    wk_edge_wake(&b.edge);
    assert_int_equal(woken, 128);
    wk_edge_wake(&b.edge);
    assert_int_equal(woken, 128);
    for (uint32_t t = 0; t < 128; t++)
        assert_true(take_all(&b, t, NULL, NULL) > 64);
    /* one key: no slice is longer than a batch may be */
    for (int i = 0; i < EDGE_WIDER_MAX; i++)
        wk_edge_emit(&b.edge, rows(&b, 0, 4096, 1));
    for (uint32_t t = 0; t < 128; t++)
        while ((e = wk_gate_take(&b.gates[t], &in)) != NULL) {
            most = MAX(most, e->rows);
            slices++;
            wk_element_free(e);
        }
    assert_int_equal(most, 4096);
    assert_int_equal(slices, EDGE_WIDER_MAX);
    bench_free(&b);
}

/* The step of its task ends when half of the credit is under way, not sooner. */
static void a_wide_edge_is_sated_with_half_of_its_credit(void **state)
{
    for (uint32_t blocks = 1; blocks <= 2; blocks++) {
        struct bench b;
        int64_t emitted = 0;

        (void)state;
        bench_new(&b, RASK__GRAPH__PARTITIONER__HASH, 128, blocks * 3 * EDGE_BLOCK_ROWS_MAX / 128 * sizeof(int64_t) * 2);
        b.edge.wider = EDGE_WIDER_MAX;
        while (!b.edge.sated) {
            wk_edge_emit(&b.edge, rows(&b, emitted, 4096, 1 << 20));
            emitted += 4096;
        }
        assert_int_equal(emitted, EDGE_BLOCK_ROWS_MAX * (blocks * 3 / 2 + blocks % 2));
        wk_edge_wake(&b.edge);
        assert_false(b.edge.sated);
        bench_free(&b);
    }
}

static void without_credit_a_wide_edge_is_full_with_one_block(void **state)
{
    struct bench b;
    uint32_t emitted = 0;

    (void)state;
    bench_new(&b, RASK__GRAPH__PARTITIONER__HASH, 128, 0);
    b.edge.wider = EDGE_WIDER_MAX;
    while (!wk_edge_full(&b.edge)) {
        wk_edge_emit(&b.edge, rows(&b, emitted, 4096, 1 << 20));
        emitted += 4096;
    }
    assert_int_equal(emitted, EDGE_BLOCK_ROWS_MAX);
    bench_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pointwise_patterns_cover_both_sides),
        cmocka_unit_test(every_partitioner_keeps_rows_and_order),
        cmocka_unit_test(rows_for_one_channel_stay_where_they_are),
        cmocka_unit_test(without_credit_nothing_leaves_and_the_edge_is_full),
        cmocka_unit_test(a_slice_larger_than_the_credit_leaves_in_parts),
        cmocka_unit_test(a_row_larger_than_the_credit_passes_alone),
        cmocka_unit_test(a_slow_consumer_keeps_few_rows_under_way),
        cmocka_unit_test(control_elements_stay_behind_the_rows_before_them),
        cmocka_unit_test(splits_go_to_readers_that_ask),
        cmocka_unit_test(splits_that_come_one_by_one_make_the_edge_full),
        cmocka_unit_test(markers_do_not_cut_blocks),
        cmocka_unit_test(a_wide_edge_makes_larger_blocks_and_wakes_its_readers_together),
        cmocka_unit_test(a_wide_edge_is_sated_with_half_of_its_credit),
        cmocka_unit_test(without_credit_a_wide_edge_is_full_with_one_block),
        cmocka_unit_test(alignment_blocks_a_channel_and_keeps_its_order),
        cmocka_unit_test(end_of_time_and_input_are_one_element),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
