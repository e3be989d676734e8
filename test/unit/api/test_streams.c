/* test_streams.c - what the calls of rask.h leave in the graph, beyond what the plans show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/base/check.h"
#include "common/graph/graph.h"
#include "common/graph/ops.h"
#include "common/types/batch.h"
#include "test/unit/api/building.h"

RASK_ROW(count, (STRING, word), (BIGINT, n));

static int same(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    (void)ctx;
    return rask_forward(out, row);
}

static const rask_process_fn join = {.abi = RASK_ABI,
                                     .name = "join",
                                     .in = &count_schema,
                                     .in2 = &count_schema,
                                     .out = &count_schema,
                                     .broadcast = true,
                                     .on_row = same,
                                     .on_row2 = same};

static rask_stream *counts(rask_env *env)
{
    return rask_read_csv(env, "in.csv", &count_schema);
}

static Rask__Graph__StreamGraph *done(rask_env *env)
{
    Rask__Graph__StreamGraph *g = NULL;
    struct err err = {0};

    (void)rask_execute(env, "streams");
    if (rask_env_graph(env, &g, &err) != 0)
        fail_msg("%s", err.text);
    return g;
}

/* The rows of a collection, as the reader sees them. */
static int64_t payload_sum(const Rask__Graph__OperatorSpec *op, uint32_t *ret_rows)
{
    struct reader r = reader_of(op->payload.data, op->payload.len);
    struct pool *pool = pool_new(1 << 20);
    int64_t sum = 0;

    *ret_rows = 0;
    while (reader_left(&r) > 0) {
        uint64_t len = reader_u64(&r);
        rask_buffer *owner = pool_get(pool, len);
        rask_batch *b = NULL;
        struct err err = {0};

        memcpy(owner->data, reader_take(&r, len), len);
        reader_take(&r, (8 - len % 8) % 8);
        if (batch_decode(pool, &count_schema, owner->data, len, owner, &b, &err) != 0)
            fail_msg("%s", err.text);
        for (uint32_t i = 0; i < b->rows; i++) {
            rask_row row = rask_batch_row(b, i);

            sum += count_at(&row).n;
            assert_int_equal(count_at(&row).word.len, 20);
        }
        *ret_rows += b->rows;
        batch_unref(b);
        buffer_unref(owner); /* the batch held its own reference */
    }
    assert_false(r.bad);
    pool_free(pool);
    return sum;
}

static void collections_travel_in_the_graph(void **state)
{
    static struct count rows[5000];
    rask_env *env = building();
    Rask__Graph__StreamGraph *g;
    uint32_t n = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        rows[i] = (struct count){RASK_STR("twenty bytes of text"), (int64_t)i};
    rask_print(rask_from_rows(env, count, rows, ARRAY_LEN(rows)));
    rask_print(rask_from_rows(env, count, rows, 0));
    g = done(env);
    assert_string_equal(g->nodes[0]->op->properties[0]->value, "collection");
    assert_int_equal(g->nodes[0]->parallelism, 1);
    assert_true(payload_sum(g->nodes[0]->op, &n) == 4999LL * 5000 / 2);
    assert_int_equal(n, 5000);
    assert_true(payload_sum(g->nodes[2]->op, &n) == 0);
    assert_int_equal(n, 0);
    rask_env_free(env);
}

static void collections_are_limited(void **state)
{
    static char text[1 << 20];
    rask_env *env = building();
    rask_out *rows = rask_rows(env, &rask_text_schema);
    Rask__Graph__StreamGraph *g = NULL;
    struct err err = {0};

    (void)state;
    for (int i = 0; i < 20; i++) {
        if (rask_out_begin(rows, &rask_text_schema) != 0)
            break;
        rask_out_string(rows, 0, (rask_str){text, sizeof(text)});
        if (rask_out_end(rows) != 0)
            break;
    }
    rask_print(rask_from_collection(env, rows));
    assert_true(rask_env_graph(env, &g, &err) < 0);
    assert_string_equal(err.text,
                        "rask_rows: more than 16 MiB of rows in the graph; let a source read them");
    rask_env_free(env);
}

static void unions_keep_the_way_of_each_part(void **state)
{
    rask_env *env = building();
    rask_stream *a = rask_key_by(counts(env), "n"), *b = rask_rescale(counts(env)),
                *c = counts(env), *all[3];
    Rask__Graph__StreamGraph *g;

    (void)state;
    all[0] = a;
    all[1] = b;
    all[2] = c;
    rask_print(rask_union_n(all, 3));
    rask_print(rask_shuffle(rask_union(a, b)));
    g = done(env);
    assert_int_equal(g->n_edges, 5);
    assert_int_equal(g->edges[0]->partitioner, RASK__GRAPH__PARTITIONER__HASH);
    assert_int_equal(g->edges[0]->key_columns[0], 1);
    assert_int_equal(g->edges[1]->partitioner, RASK__GRAPH__PARTITIONER__RESCALE);
    assert_int_equal(g->edges[2]->partitioner, RASK__GRAPH__PARTITIONER__UNSET);
    assert_int_equal(g->edges[3]->partitioner, RASK__GRAPH__PARTITIONER__SHUFFLE);
    assert_int_equal(g->edges[3]->n_key_columns, 0);
    assert_int_equal(g->edges[4]->source, 2);
    rask_env_free(env);
}

static void a_broadcast_input_reaches_every_subtask(void **state)
{
    rask_env *env = building();
    Rask__Graph__StreamGraph *g;

    (void)state;
    rask_print(
        rask_with(rask_process2(rask_key_by(counts(env), "word"), counts(env), &join), "args", 4));
    g = done(env);
    assert_int_equal(g->edges[0]->partitioner, RASK__GRAPH__PARTITIONER__HASH);
    assert_int_equal(g->edges[1]->partitioner, RASK__GRAPH__PARTITIONER__BROADCAST);
    assert_int_equal(g->edges[1]->input, 1);
    assert_int_equal(g->nodes[2]->n_key_columns, 1);
    assert_int_equal(g->nodes[2]->n_key_columns2, 0);
    assert_int_equal(g->nodes[2]->op->args.len, 4);
    assert_memory_equal(g->nodes[2]->op->args.data, "args", 4);
    rask_env_free(env);
}

static void counting_has_rows_of_its_own(void **state)
{
    rask_env *env = building();
    rask_stream *s = rask_count(rask_key_by(counts(env), "n, word"), "times");
    struct bytes text;

    (void)state;
    bytes_init(&text);
    schema_format(rask_stream_schema(s), &text);
    assert_string_equal((const char *)text.data,
                        "n BIGINT NOT NULL, word STRING NOT NULL, times BIGINT NOT NULL");
    bytes_release(&text);
    rask_discard(s);
    (void)done(env);
    rask_env_free(env);
}

static void bad_rows_may_go_aside(void **state)
{
    rask_csv_options options = {.delimiter = ';', .header = true, .bad_rows = RASK_BAD_SIDE};
    rask_env *env = building();
    rask_stream *s = rask_read_csv_with(env, "in.csv", &count_schema, options);
    Rask__Graph__StreamGraph *g;

    (void)state;
    rask_print(s);
    rask_print(rask_side_stream(s, 0));
    g = done(env);
    assert_string_equal(g->nodes[0]->op->properties[2]->value, ";");
    assert_string_equal(g->nodes[0]->op->properties[4]->value, "true");
    assert_string_equal(g->nodes[0]->op->properties[5]->value, "side");
    assert_int_equal(g->nodes[2]->in->n_fields, 4);
    assert_int_equal(g->edges[1]->side, 0);
    rask_env_free(env);
}

static void properties_reach_the_node(void **state)
{
    rask_env *env = building();
    rask_stream *s = rask_map(counts(env), same, &count_schema);
    Rask__Graph__StreamGraph *g;
    const Rask__Graph__StreamNode *n;

    (void)state;
    rask_name(
        rask_uid(rask_slot_group(rask_set_max_parallelism(rask_set_parallelism(s, 3), 64), "io"),
                 "m"),
        "mapper");
    rask_set_buffer_timeout(rask_no_chain(s), 5);
    rask_name(rask_write_csv(s, "out"), "out");
    rask_set(env, "a.b", "1");
    rask_set(env, "a.b", "2");
    rask_env_disable_chaining(env);
    g = done(env);
    n = g->nodes[1];
    assert_string_equal(n->name, "mapper");
    assert_string_equal(n->uid, "m");
    assert_string_equal(n->slot_group, "io");
    assert_int_equal(n->parallelism, 3);
    assert_int_equal(n->max_parallelism, 64);
    assert_int_equal(n->chaining, RASK__GRAPH__CHAINING__NEVER);
    assert_true(n->buffer_timeout_ms == 5);
    assert_string_equal(g->nodes[2]->name, "out: Writer");
    assert_int_equal(g->n_config, 2);
    assert_string_equal(g->config[0]->value, "2");
    rask_env_free(env);
}

/* ---- which columns of a source are wanted ---- */

RASK_ROW(wide, (BIGINT, a), (STRING, b), (TIMESTAMP, c), (BIGINT, d));
RASK_ROW(some, (BIGINT, d), (TIMESTAMP, c), (BIGINT, a));
RASK_ROW(less, (BIGINT, d));

static rask_stream *wide_rows(rask_env *env)
{
    return rask_read_csv(env, "in.csv", &wide_schema);
}

static rask_stream *some_of(rask_stream *in)
{
    return rask_project(in, &some_schema);
}

static bool any(rask_ctx *ctx, const rask_row *row)
{
    (void)ctx;
    (void)row;
    return true;
}

static uint32_t first(const rask_row *row, uint32_t channels)
{
    (void)row;
    return channels - 1;
}

static void print_all(rask_stream *rows) { rask_print(rows); }
static void project_and_print(rask_stream *rows) { rask_print(some_of(rows)); }
static void project_twice(rask_stream *rows) { rask_print(rask_project(some_of(rows), &less_schema)); }
static void discard_all(rask_stream *rows) { rask_discard(rows); }
static void key_and_discard(rask_stream *rows) { rask_discard(rask_key_by(rows, "b")); }
static void filter_first(rask_stream *rows) { rask_print(some_of(rask_filter(rows, any))); }
static void filter_behind(rask_stream *rows) { rask_print(rask_filter(some_of(rows), any)); }
static void time_between(rask_stream *rows)
{
    rask_print(rask_project(rask_event_time(rows, "c", 0), &less_schema));
}
static void two_readers(rask_stream *rows)
{
    rask_print(rask_project(rows, &less_schema));
    rask_discard(rask_key_by(rows, "a"));
}
static void custom(rask_stream *rows) { rask_discard(rask_partition_custom(rows, first)); }
static void custom_behind(rask_stream *rows) { rask_discard(rask_partition_custom(some_of(rows), first)); }

static void sources_are_told_what_is_read(void **state)
{
    static const struct {
        void (*build)(rask_stream *rows);
        const char *wanted;
    } cases[] = {{print_all, NULL},    {project_and_print, "d"}, {project_twice, "8"}, {discard_all, "0"},
                 {key_and_discard, "2"}, {filter_first, NULL},     {filter_behind, "d"}, {time_between, "c"},
                 {two_readers, "9"},     {custom, NULL},           {custom_behind, "d"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        rask_env *env = building();
        const Rask__Graph__OperatorSpec *source;
        const char *wanted = NULL;

        cases[i].build(wide_rows(env));
        source = done(env)->nodes[0]->op;
        for (size_t k = 0; k < source->n_properties; k++)
            if (strcmp(source->properties[k]->key, "wanted") == 0)
                wanted = source->properties[k]->value;
        if (cases[i].wanted)
            assert_non_null(wanted);
        assert_string_equal(wanted ? wanted : "all", cases[i].wanted ? cases[i].wanted : "all");
        rask_env_free(env);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collections_travel_in_the_graph),
        cmocka_unit_test(collections_are_limited),
        cmocka_unit_test(unions_keep_the_way_of_each_part),
        cmocka_unit_test(a_broadcast_input_reaches_every_subtask),
        cmocka_unit_test(counting_has_rows_of_its_own),
        cmocka_unit_test(bad_rows_may_go_aside),
        cmocka_unit_test(properties_reach_the_node),
        cmocka_unit_test(sources_are_told_what_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
