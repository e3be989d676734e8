/*
 * test_plan.c - the jobs whose plans were recorded from Flink, built with the C API: the same
 * names, chains, partitioners, parallelism, in the same order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/graph/graph.h"
#include "test/unit/api/building.h"

RASK_ROW(number, (BIGINT, value));
RASK_ROW(pair, (BIGINT, a), (BIGINT, b));
RASK_ROW(count, (STRING, word), (INT, n));

static int same(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    (void)ctx;
    return rask_forward(out, row);
}

static bool all(rask_ctx *ctx, const rask_row *row)
{
    (void)ctx;
    (void)row;
    return true;
}

static int first(rask_ctx *ctx, const rask_row *so_far, const rask_row *row, rask_out *out)
{
    (void)ctx;
    (void)row;
    return rask_forward(out, so_far);
}

static int emit_index(rask_ctx *ctx, int64_t index, rask_out *out)
{
    struct number n = {index};

    (void)ctx;
    return number_emit(out, &n);
}

static uint32_t modulo(const rask_row *row, uint32_t channels)
{
    return (uint32_t)((uint64_t)rask_i64(row, 0) % channels);
}

static int consume(rask_op *op, int input, const rask_batch *in, uint32_t from,
                   uint32_t *ret_consumed)
{
    (void)op;
    (void)input;
    *ret_consumed = in->rows - from;
    return 0;
}

static const rask_operator any_pair = {.abi = RASK_ABI, .out = &pair_schema, .process = consume};
static const rask_operator any_number = {
    .abi = RASK_ABI, .out = &number_schema, .process = consume};
static const rask_operator any_count = {.abi = RASK_ABI, .out = &count_schema, .process = consume};
static const rask_process_fn pass = {.abi = RASK_ABI, .out = &pair_schema, .on_row = same};
static const rask_process_fn split_odd = {
    .abi = RASK_ABI,
    .out = &number_schema,
    .on_row = same,
    .sides = (const rask_side_output[]){{"odd", &number_schema}, {NULL, NULL}},
};

static rask_stream *gen(rask_env *env, const char *name)
{
    return rask_name(rask_generate(env, &number_schema, emit_index, 10, -1), name);
}

static rask_stream *id(rask_stream *in, const char *name)
{
    return rask_name(rask_map(in, same, &number_schema), name);
}

static void drop(rask_stream *in, const char *name)
{
    rask_name(rask_discard(in), name);
}

static void word_count(rask_env *env)
{
    static const char *const lines[] = {"to be or not to be", "that is the question"};
    rask_stream *s = rask_name(rask_from_lines(env, lines, 2), "in-memory-input");

    s = rask_name(rask_flat_map(s, same, &count_schema), "tokenizer");
    s = rask_name(rask_sum(rask_key_by(s, "word"), "n"), "counter");
    rask_name(rask_print(s), "print-sink");
}

static void state_machine(rask_env *env)
{
    rask_stream *s = gen(env, "Events Generator Source");

    rask_print(rask_name(rask_process(rask_key_by(s, "value"), &split_odd), "Flat Map"));
}

static void socket_window(rask_env *env)
{
    rask_stream *s = rask_read_socket(env, "localhost", 19999);

    s = rask_key_by(rask_flat_map(s, same, &count_schema), "word");
    rask_set_parallelism(
        rask_print(rask_name(rask_transform(s, &any_count), "TumblingProcessingTimeWindows")), 1);
}

static void chain_shapes(rask_env *env)
{
    rask_stream *a = id(gen(env, "src"), "a");
    rask_stream *b = rask_start_chain(id(a, "b-newchain"));
    rask_stream *c = rask_no_chain(id(b, "c-nochain"));
    rask_stream *d = id(c, "d");

    drop(id(rask_rebalance(d), "rebalanced"), "sink-rebalance");
    drop(id(rask_rescale(d), "rescaled"), "sink-rescale");
    drop(id(rask_broadcast(d), "broadcasted"), "sink-broadcast");
    drop(id(rask_shuffle(d), "shuffled"), "sink-shuffle");
    drop(id(rask_global(d), "globaled"), "sink-global");
    drop(id(rask_forward_stream(d), "forwarded"), "sink-forward");
    drop(id(d, "fan1"), "sink-fan1");
    drop(rask_name(rask_filter(d, all), "fan2"), "sink-fan2");
    drop(rask_set_parallelism(id(d, "p1"), 1), "sink-p1");
    drop(rask_slot_group(id(d, "other-ssg"), "other"), "sink-ssg");
    drop(id(rask_partition_custom(d, modulo), "custom"), "sink-custom");
}

static void multi_input(rask_env *env)
{
    rask_stream *x = gen(env, "x"), *y = gen(env, "y"), *z = gen(env, "z");
    rask_stream *u = id(rask_union(x, y), "after-union");
    rask_stream *co = rask_name(rask_transform2(u, z, &any_number), "comap");
    rask_stream *pr = rask_name(rask_process(co, &split_odd), "split");
    rask_stream *window;

    drop(rask_name(rask_reduce(rask_key_by(pr, "value"), first), "evens"), "sink-even");
    drop(id(rask_side_stream(pr, 0), "odds"), "sink-odd");
    drop(rask_name(rask_transform2(rask_key_by(co, "value"), rask_broadcast(z), &any_number),
                   "bcast"),
         "sink-b");
    window = rask_name(rask_transform(rask_key_by(co, "value"), &any_number), "winall");
    rask_print(rask_set_parallelism(window, 1));
    drop(id(rask_name(rask_transform(u, &any_number), "async"), "after-async"), "sink-async");
}

static void unnamed_defaults(rask_env *env)
{
    static const char *const windows[] = {"TumblingEventTimeWindows",
                                          "SlidingProcessingTimeWindows", "EventTimeSessionWindows",
                                          "GlobalWindows", "GlobalWindows"};
    rask_stream *s = rask_from_sequence(env, 1, 1000000000), *t, *r;

    t = rask_flat_map(rask_filter(rask_map(s, same, &number_schema), all), same, &pair_schema);
    r = rask_sum(rask_key_by(t, "a"), "b");
    r = rask_min(rask_key_by(r, "a"), "b");
    r = rask_max(rask_key_by(r, "a"), "b");
    r = rask_reduce(rask_key_by(r, "a"), first);
    for (size_t i = 0; i < ARRAY_LEN(windows); i++)
        r = rask_name(rask_transform(rask_key_by(r, "a"), &any_pair), windows[i]);
    r = rask_process(rask_process(rask_key_by(r, "a"), &pass), &pass);
    r = rask_name(rask_map(rask_event_time(r, "b", 0), same, &number_schema), "Projection");
    rask_print_err(r);
    s = rask_transform2(rask_key_by(t, "a"), rask_key_by(t, "a"), &any_number);
    rask_discard(rask_name(s, "Interval Join"));
}

static const struct job {
    const char *name;
    void (*build)(rask_env *env);
} jobs[] = {{"WordCount", word_count},
            {"StateMachineExample", state_machine},
            {"SocketWindowWordCount", socket_window},
            {"ChainShapes", chain_shapes},
            {"MultiInput", multi_input},
            {"UnnamedDefaults", unnamed_defaults}};

/* ---- comparing ---- */

static struct json *load(struct arena *arena, const char *name, int parallelism, const char *suffix)
{
    char path[200], *start;
    struct bytes text;
    struct json *root = NULL;
    struct err err = {0};
    char block[4096];
    size_t n;
    FILE *f;

    snprintf(path, sizeof(path), "test/golden/plan/%s.p%d.%s", name, parallelism, suffix);
    f = fopen(path, "r");
    if (!f)
        fail_msg("%s: not found", path);
    bytes_init(&text);
    while ((n = fread(block, 1, sizeof(block), f)) > 0)
        bytes_add(&text, block, n);
    fclose(f);
    start = strchr((char *)text.data, '{'); /* the text around it is the command's */
    n = (size_t)(strrchr(start, '}') + 1 - start);
    if (json_parse(arena, start, n, &root, &err) != 0)
        fail_msg("%s: %s", path, err.text);
    bytes_release(&text);
    return root;
}

/* "Window(TumblingEventTimeWindows(1000), ..." is named TumblingEventTimeWindows here. */
static void plain_name(const char *recorded, size_t len, char *out, size_t size)
{
    if (len >= 13 && strncmp(recorded, "TriggerWindow", 13) == 0) {
        recorded = "winall";
        len = 6;
    } else if (len >= 7 && strncmp(recorded, "Window(", 7) == 0) {
        recorded += 7;
        len = strcspn(recorded, "(,");
    }
    snprintf(out, size, "%.*s", (int)len, recorded);
}

/* The same lines: decoration and name. */
static void compare_descriptions(const char *want, const char *got)
{
    while (*want && *got) {
        const char *want_end = strstr(want, "<br/>"), *got_end = strstr(got, "<br/>");
        size_t drawn = strspn(want, ":+- ");
        char name[256], own[256];

        assert_non_null(want_end);
        assert_non_null(got_end);
        assert_int_equal(strspn(got, ":+- "), drawn);
        assert_memory_equal(want, got, drawn);
        plain_name(want + drawn, (size_t)(want_end - want) - drawn, name, sizeof(name));
        snprintf(own, sizeof(own), "%.*s", (int)((size_t)(got_end - got) - drawn), got + drawn);
        assert_string_equal(own, name);
        want = want_end + 5;
        got = got_end + 5;
    }
    assert_string_equal(got, want);
}

/* Place of the node with an id in a list of nodes. */
static int place_int(const struct json *nodes, int64_t id)
{
    int i = 0;

    for (const struct json *n = nodes->u.children.first; n; n = n->next, i++)
        if (json_get_int(n, "id", -1) == id)
            return i;
    fail_msg("no node %lld", (long long)id);
    return -1;
}

static int place_text(const struct json *nodes, const char *id)
{
    int i = 0;

    for (const struct json *n = nodes->u.children.first; n; n = n->next, i++)
        if (strcmp(json_get_string(n, "id", ""), id) == 0)
            return i;
    fail_msg("no node %s", id);
    return -1;
}

static void compare_info(const struct json *want, const struct json *got)
{
    const struct json *wn = json_get(want, "nodes"), *gn = json_get(got, "nodes");
    const struct json *w = wn->u.children.first, *g = gn->u.children.first;

    for (; w && g; w = w->next, g = g->next) {
        const struct json *wp = json_get(w, "predecessors"), *gp = json_get(g, "predecessors");

        assert_string_equal(json_get_string(g, "type", ""), json_get_string(w, "type", ""));
        assert_string_equal(json_get_string(g, "pact", ""), json_get_string(w, "pact", ""));
        assert_int_equal(json_get_int(g, "parallelism", -1), json_get_int(w, "parallelism", -2));
        assert_int_equal(gp != NULL, wp != NULL);
        wp = wp ? wp->u.children.first : NULL;
        gp = gp ? gp->u.children.first : NULL;
        for (; wp && gp; wp = wp->next, gp = gp->next) {
            assert_int_equal(place_int(gn, json_get_int(gp, "id", -1)),
                             place_int(wn, json_get_int(wp, "id", -1)));
            assert_string_equal(json_get_string(gp, "ship_strategy", ""),
                                json_get_string(wp, "ship_strategy", ""));
            assert_string_equal(json_get_string(gp, "side", ""), "second");
        }
        assert_true(!wp && !gp);
    }
    assert_true(!w && !g);
}

static void compare_rest(const struct json *want, const struct json *got)
{
    const struct json *wn = json_get(want, "nodes"), *gn = json_get(got, "nodes");
    const struct json *w = wn->u.children.first, *g = gn->u.children.first;

    assert_string_equal(json_get_string(got, "type", ""), "STREAMING");
    assert_non_null(json_get(got, "jid"));
    for (; w && g; w = w->next, g = g->next) {
        const struct json *wi = json_get(w, "inputs"), *gi = json_get(g, "inputs");

        compare_descriptions(json_get_string(w, "description", ""),
                             json_get_string(g, "description", ""));
        assert_int_equal(json_get_int(g, "parallelism", -1), json_get_int(w, "parallelism", -2));
        assert_int_equal(g->u.children.count, w->u.children.count);
        wi = wi ? wi->u.children.first : NULL;
        gi = gi ? gi->u.children.first : NULL;
        for (; wi && gi; wi = wi->next, gi = gi->next) {
            assert_int_equal(json_get_int(gi, "num", -1), json_get_int(wi, "num", -2));
            assert_int_equal(place_text(gn, json_get_string(gi, "id", "")),
                             place_text(wn, json_get_string(wi, "id", "")));
            assert_string_equal(json_get_string(gi, "ship_strategy", ""),
                                json_get_string(wi, "ship_strategy", ""));
            assert_string_equal(json_get_string(gi, "exchange", ""),
                                json_get_string(wi, "exchange", ""));
        }
        assert_true(!wi && !gi);
    }
    assert_true(!w && !g);
}

/* ---- tests ---- */

static Rask__Graph__StreamGraph *built(rask_env *env, const struct job *job)
{
    Rask__Graph__StreamGraph *graph = NULL;
    struct err err = {0};

    job->build(env);
    rask_execute(env, job->name);
    if (rask_env_graph(env, &graph, &err) != 0)
        fail_msg("%s: %s", job->name, err.text);
    return graph;
}

static struct json *parsed(struct arena *arena, struct bytes *text)
{
    struct json *root = NULL;
    struct err err = {0};

    if (json_parse(arena, (const char *)text->data, text->len, &root, &err) != 0)
        fail_msg("%s", err.text);
    return root;
}

static void plans_equal_the_recorded_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
        for (uint32_t p = 1; p <= 2; p++) {
            struct graph_options options = {.client_parallelism = p};
            rask_env *env = building();
            Rask__Graph__StreamGraph *graph = built(env, &jobs[i]);
            Rask__Graph__JobGraph *job = NULL;
            struct json_writer w;
            struct arena arena;
            struct bytes text;
            struct err err = {0};

            print_message("# %s, parallelism %u\n", jobs[i].name, p);
            arena_init(&arena);
            bytes_init(&text);
            assert_int_equal(graph_plan_json(graph, &options, &text, &err), 0);
            compare_info(load(&arena, jobs[i].name, (int)p, "flink-info.txt"),
                         parsed(&arena, &text));

            bytes_clear(&text);
            assert_int_equal(graph_compile(graph, &options, &arena, &job, &err), 0);
            jw_init(&w, &text);
            graph_rest_plan_json(job, "00000000000000000000000000000001", &w, NULL);
            compare_rest(
                json_get(json_get(load(&arena, jobs[i].name, (int)p, "rest-plan.json"), "body"),
                         "plan"),
                parsed(&arena, &text));
            bytes_release(&text);
            arena_release(&arena);
            rask_env_free(env);
        }
}

static void plan_has_flinks_form(void **state)
{
    static const char want[] =
        "{\n  \"nodes\" : [ {\n    \"id\" : 1,\n    \"type\" : \"Source: a \\\"b\\\"\",\n"
        "    \"pact\" : \"Data Source\",\n    \"contents\" : \"Source: a \\\"b\\\"\",\n"
        "    \"parallelism\" : 3\n  }, {\n    \"id\" : 2,\n"
        "    \"type\" : \"Sink: Print to Std. Out\",\n    \"pact\" : \"Data Sink\",\n"
        "    \"contents\" : \"Sink: Print to Std. Out\",\n    \"parallelism\" : 3,\n"
        "    \"predecessors\" : [ {\n      \"id\" : 1,\n"
        "      \"ship_strategy\" : \"FORWARD\",\n      \"side\" : \"second\"\n    } ]\n  } ]\n}";
    struct graph_options options = {.default_parallelism = 3};
    rask_env *env = building();
    Rask__Graph__StreamGraph *graph = NULL;
    struct bytes text;

    (void)state;
    bytes_init(&text);
    rask_print(gen(env, "a \"b\""));
    assert_int_equal(rask_execute(env, NULL), 0);
    assert_int_equal(rask_env_graph(env, &graph, NULL), 0);
    assert_int_equal(graph_plan_json(graph, &options, &text, NULL), 0);
    assert_string_equal((const char *)text.data, want);
    bytes_release(&text);
    rask_env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_equal_the_recorded_ones),
        cmocka_unit_test(plan_has_flinks_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
