/* test_wordcount.c - the example, as a graph: nodes, edges, offsets, parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#undef RASK_ENGINE /* compiled as a job */
#include "examples/wordcount.c"

#include "common/base/check.h"
#include "common/graph/graph.h"
#include "common/graph/ops.h"
#include "test/unit/api/building.h"

static const char *property(const Rask__Graph__OperatorSpec *op, const char *key)
{
    for (size_t i = 0; i < op->n_properties; i++)
        if (strcmp(op->properties[i]->key, key) == 0)
            return op->properties[i]->value;
    return NULL;
}

static Rask__Graph__StreamGraph *run(rask_env *env)
{
    Rask__Graph__StreamGraph *g = NULL;
    struct err err = {0};

    assert_int_equal(rask_job(env, rask_env_params(env)), 0);
    if (rask_env_graph(env, &g, &err) != 0)
        fail_msg("%s", err.text);
    return g;
}

static void builds_four_operators(void **state)
{
    const char *argv[] = {"--input", "book.txt"};
    rask_env *env = building_args(2, argv);
    Rask__Graph__StreamGraph *g = run(env);

    (void)state;
    assert_string_equal(g->job_name, "word count");
    assert_int_equal(g->n_nodes, 4);
    assert_int_equal(g->n_edges, 3);
    assert_string_equal(g->nodes[0]->name, "Source: Text File Source");
    assert_string_equal(g->nodes[0]->op->type, OP_SOURCE);
    assert_string_equal(property(g->nodes[0]->op, "connector"), "text");
    assert_string_equal(property(g->nodes[0]->op, "path"), "book.txt");
    assert_false(g->nodes[0]->op->has_code);

    assert_string_equal(g->nodes[1]->op->type, OP_FLAT_MAP);
    assert_string_equal(g->nodes[1]->name, "split");
    assert_int_equal(g->nodes[1]->out->n_fields, 2);
    assert_string_equal(g->nodes[1]->out->fields[1]->type, "BIGINT");
    assert_memory_equal(g->nodes[1]->op->artifact.data, building_hash, 32);
    assert_ptr_equal(rask_artifact_pointer(&building_artifact, g->nodes[1]->op->code, 1),
                     (void *)(uintptr_t)split);

    assert_string_equal(g->nodes[2]->op->type, OP_SUM);
    assert_string_equal(property(g->nodes[2]->op, "column"), "n");
    assert_int_equal(g->nodes[2]->n_key_columns, 1);
    assert_int_equal(g->nodes[2]->key_columns[0], 0);
    assert_int_equal(g->edges[1]->partitioner, RASK__GRAPH__PARTITIONER__HASH);
    assert_int_equal(g->edges[1]->n_key_columns, 1);
    assert_int_equal(g->edges[2]->partitioner, RASK__GRAPH__PARTITIONER__UNSET);
    assert_string_equal(property(g->nodes[3]->op, "connector"), "print");
    assert_null(g->nodes[3]->out);
    assert_int_equal(g->n_params, 1);
    assert_string_equal(g->params[0]->key, "input");
    rask_env_free(env);
}

static void output_is_one_file(void **state)
{
    const char *argv[] = {"--input=a b", "--output", "counts.csv"};
    rask_env *env = building_args(3, argv);
    Rask__Graph__StreamGraph *g = run(env);

    (void)state;
    assert_string_equal(property(g->nodes[0]->op, "path"), "a b");
    assert_string_equal(property(g->nodes[4]->op, "connector"), "text");
    assert_string_equal(property(g->nodes[4]->op, "path"), "counts.csv");
    assert_int_equal(g->nodes[4]->parallelism, 1);
    rask_env_free(env);
}

static void survives_the_wire(void **state)
{
    rask_env *env = building();
    Rask__Graph__StreamGraph *g = run(env), *again = NULL;
    size_t len = rask__graph__stream_graph__get_packed_size(g);
    uint8_t *packed = mem_alloc(len), *repacked;
    struct arena arena;

    (void)state;
    arena_init(&arena);
    rask__graph__stream_graph__pack(g, packed);
    assert_int_equal(graph_unpack(&arena, packed, len, &again, NULL), 0);
    assert_int_equal(graph_validate(again, NULL), 0);
    assert_int_equal(rask__graph__stream_graph__get_packed_size(again), len);
    repacked = mem_alloc(len);
    rask__graph__stream_graph__pack(again, repacked);
    assert_memory_equal(packed, repacked, len);
    mem_free(packed);
    mem_free(repacked);
    arena_release(&arena);
    rask_env_free(env);
}

static void parameters_are_parsed_as_flink_does(void **state)
{
    const char *argv[] = {"--n", "-5", "--flag", "--name=x=y", "-short", "v",
                          "--n", "7",  "--bad",  "7x",         "--off",  "false"};
    rask_env *env = building_args(ARRAY_LEN(argv), argv);
    const rask_params *p = rask_env_params(env);
    struct err err = {0};
    Rask__Graph__StreamGraph *g;

    (void)state;
    assert_int_equal(rask_param_i64(p, "n", 0), 7);
    assert_true(rask_param_bool(p, "flag", false));
    assert_false(rask_param_bool(p, "off", true));
    assert_true(rask_param_bool(p, "absent", true));
    assert_string_equal(rask_param(p, "name", ""), "x=y");
    assert_string_equal(rask_param(p, "short", ""), "v");
    assert_null(rask_param(p, "absent", NULL));
    assert_int_equal(rask_param_i64(p, "bad", 3), 3);
    assert_true(rask_env_graph(env, &g, &err) < 0);
    assert_string_equal(err.text, "parameter --bad: '7x' is not an integer");
    rask_env_free(env);

    env = building();
    assert_string_equal(rask_param_required(rask_env_params(env), "input"), "");
    assert_true(rask_env_graph(env, &g, &err) < 0);
    assert_string_equal(err.text, "the job needs the parameter --input");
    rask_env_free(env);

    argv[0] = "stray";
    env = building_args(1, argv);
    assert_true(rask_env_graph(env, &g, &err) < 0);
    assert_string_equal(err.text,
                        "argument 'stray': arguments of the job have the form --name value");
    rask_env_free(env);
}

static void knows_its_version(void **state)
{
    (void)state;
    assert_int_equal(rask_job_abi, RASK_ABI);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_four_operators),
        cmocka_unit_test(output_is_one_file),
        cmocka_unit_test(survives_the_wire),
        cmocka_unit_test(parameters_are_parsed_as_flink_does),
        cmocka_unit_test(knows_its_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
