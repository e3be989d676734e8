/* Rows in flight: to sections and back, over other parallelisms, damaged, and of edges that are not there any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/base/check.h"
#include "taskmanager/worker/checkpoint/inflight_io.h"
#include "taskmanager/worker/task/task.h"

static const rask_field fields[] = {{"n", RASK_T_BIGINT, 0, 0, 0, NULL}, {"text", RASK_T_STRING, 1, 0, 0, NULL}};
static const rask_schema schema = {RASK_ABI, 2, "row", fields};
static const rask_schema other_schema = {RASK_ABI, 1, "row", fields};

static struct world {
    struct pool *pool;
    struct wk_edge_name name;
    struct wk_task_host host;
    struct wk_task task;
    struct wk_edge edge, *edges[1];
    struct ckpt_meta *meta;
    struct arena arena;
    struct bytes payload;
} w;

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof(w));
    w.pool = pool_new(64u << 20);
    w.name = (struct wk_edge_name){.known = true,
                                   .source = {.id = "source", .name = "source", .parallelism = 2, .max_parallelism = 8},
                                   .target = {.id = "target", .name = "target", .parallelism = 3, .max_parallelism = 8},
                                   .schema = &schema};
    w.name.edge = ckpt_edge(w.name.source.id, -1, 0);
    w.host = (struct wk_task_host){.pool = w.pool, .edges = &w.name, .edge_count = 1};
    w.task.host = &w.host;
    w.edges[0] = &w.edge;
    w.task.chain.edges = w.edges;
    w.task.chain.edge_count = 1;
    w.meta = ckpt_meta_new();
    ckpt_meta_operator(w.meta, &w.name.source);
    ckpt_meta_operator(w.meta, &w.name.target);
    arena_init(&w.arena);
    bytes_init(&w.payload);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wk_inflight_clear(&w.task.replay);
    ckpt_meta_free(w.meta);
    arena_release(&w.arena);
    bytes_release(&w.payload);
    pool_free(w.pool); /* every batch has come back */
    return 0;
}

static rask_batch *rows(int64_t first, uint32_t count)
{
    rask_batch *b = batch_new(w.pool, &schema, count, BATCH_EVENT_TIME);

    for (uint32_t i = 0; i < count; i++) {
        ((int64_t *)b->columns[0].data)[i] = first + i;
        memset((char *)b->columns[1].data + (size_t)i * 16, 0, 16);
        ((rask_ts *)b->event_time.data)[i] = 1000 * (first + i);
    }
    return b;
}

/* All rows of f, as sections of the meta, whose records hold the payload alone. */
static uint32_t store(struct wk_inflight *f)
{
    struct ckpt_section s;
    uint32_t at = 0, n = 0;

    for (; wk_inflight_section(f, &w.name, 7, &at, &s, &w.payload); n++) {
        s.file = CKPT_NO_FILE;
        s.data = (rask_bytes){(const char *)w.payload.data, (uint32_t)w.payload.len};
        ckpt_meta_add(w.meta, &s);
    }
    wk_inflight_clear(f);
    return n;
}

static void take_all(uint32_t subtask)
{
    const struct ckpt_section **list;
    struct err err;
    uint32_t n;

    wk_inflight_clear(&w.task.replay);
    w.task.subtask = subtask;
    assert_int_equal(wk_inflight_plan(&w.task, w.meta, false, &w.arena, &list, &n, &err), 0);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(wk_inflight_take(&w.task, w.meta, list[i], list[i]->data.data, list[i]->data.len, &err), 0);
}

static int64_t first_of(uint32_t item)
{
    rask_row row = rask_batch_row(w.task.replay.items[item].rows, 0);

    return rask_i64(&row, 0);
}

static void fill(void)
{
    struct wk_inflight f = {0};

    wk_inflight_add(&f, 0, 1, 2, WK_FROM_SENDER, rows(300, 10)); /* sent after those that the receiver had */
    wk_inflight_add(&f, 0, 0, 1, WK_FROM_RECEIVER, rows(0, 5));
    wk_inflight_add(&f, 0, 1, 2, WK_FROM_RECEIVER, rows(100, 3));
    wk_inflight_add(&f, 0, 1, 2, WK_FROM_RECEIVER, rows(200, 1));
    assert_int_equal(store(&f), 3);
}

static void rows_come_back_in_their_channel_and_order(void **state)
{
    (void)state;
    fill();
    assert_true(wk_inflight_any(w.meta));
    take_all(0);
    assert_int_equal(w.task.replay.count, 1);
    assert_int_equal(w.task.replay.items[0].to, 1);
    take_all(1);
    assert_int_equal(w.task.replay.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const rask_batch *b = w.task.replay.items[i].rows;

        assert_int_equal(w.task.replay.items[i].to, 2);
        assert_int_equal(first_of(i), 100 * (i + 1));
        assert_int_equal(((const rask_ts *)b->event_time.data)[rask_position(b, 0)], 100000 * ((int64_t)i + 1));
    }
}

static void with_other_parallelism_the_edge_decides(void **state)
{
    uint32_t seen = 0;

    (void)state;
    fill();
    w.name.target.parallelism = 5;
    take_all(1);
    assert_int_equal(w.task.replay.count, 3);
    assert_int_equal(w.task.replay.items[0].to, WK_ANY_SUBTASK);
    w.name.target.parallelism = 3;
    w.name.source.parallelism = 1; /* one sender has all of them, each once */
    take_all(0);
    for (uint32_t i = 0; i < w.task.replay.count; i++) {
        assert_int_equal(w.task.replay.items[i].to, WK_ANY_SUBTASK);
        seen += w.task.replay.items[i].rows->rows;
    }
    assert_int_equal(seen, 19);
    w.name.source.parallelism = 4; /* and a sender too many none */
    take_all(3);
    assert_int_equal(w.task.replay.count, 0);
}

static void an_edge_that_is_gone_is_named(void **state)
{
    const struct ckpt_section **list;
    struct err err;
    uint32_t n;

    (void)state;
    fill();
    w.name.edge++;
    assert_int_equal(wk_inflight_plan(&w.task, w.meta, false, &w.arena, &list, &n, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "rows were in flight to operator \"target\" over an edge that the job does not have"));
    assert_int_equal(wk_inflight_plan(&w.task, w.meta, true, &w.arena, &list, &n, &err), 0);
    assert_int_equal(n, 0);
}

static void another_schema_is_refused(void **state)
{
    struct err err;

    (void)state;
    fill();
    w.name.schema = &other_schema;
    assert_int_equal(wk_inflight_take(&w.task, w.meta, &w.meta->sections[0], w.meta->sections[0].data.data,
                                      w.meta->sections[0].data.len, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "change a schema with a savepoint"));
}

/* The record around it has a CRC; this one is for what passes it. */
static void damage_is_refused_or_does_no_harm(void **state)
{
    const struct ckpt_section *s;
    struct err err;
    uint8_t *copy;

    (void)state;
    fill();
    s = &w.meta->sections[0];
    copy = arena_dup(&w.arena, s->data.data, s->data.len);
    for (uint32_t len = 0; len < s->data.len; len++)
        assert_int_not_equal(wk_inflight_take(&w.task, w.meta, s, copy, len, &err), 0);
    for (uint32_t bit = 0; bit < s->data.len * 8; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        (void)!wk_inflight_take(&w.task, w.meta, s, copy, s->data.len, &err);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        wk_inflight_clear(&w.task.replay);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_come_back_in_their_channel_and_order, setup, teardown),
        cmocka_unit_test_setup_teardown(with_other_parallelism_the_edge_decides, setup, teardown),
        cmocka_unit_test_setup_teardown(an_edge_that_is_gone_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(another_schema_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_refused_or_does_no_harm, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
