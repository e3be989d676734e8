/* test_fraud.c - a job with state, timers and a side output, as a graph. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "test/unit/api/job_fraud.c"

#include "common/base/check.h"
#include "common/graph/graph.h"
#include "common/graph/ops.h"
#include "test/unit/api/building.h"

static void builds_its_graph(void **state)
{
    rask_env *env = building();
    Rask__Graph__StreamGraph *g = NULL;
    const Rask__Graph__OperatorSpec *op;
    struct err err = {0};

    (void)state;
    (void)rask_job(env, rask_env_params(env));
    if (rask_env_graph(env, &g, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(g->n_nodes, 5);
    assert_string_equal(g->nodes[1]->op->type, OP_EVENT_TIME);
    assert_string_equal(g->nodes[1]->op->properties[1]->value, "5000");
    op = g->nodes[2]->op;
    assert_string_equal(op->type, OP_PROCESS);
    assert_string_equal(g->nodes[2]->name, "watch");
    assert_string_equal(g->nodes[2]->uid, "watch");
    assert_ptr_equal(rask_artifact_pointer(&building_artifact, op->code, sizeof(watch)), &watch);
    assert_int_equal(op->n_schemas, 1);
    assert_string_equal(op->schemas[0]->name, "payment");
    assert_int_equal(g->nodes[2]->key_columns[0], payment_col_account);
    assert_int_equal(g->edges[2]->side, LARGE);
    assert_int_equal(g->edges[2]->source, 3);
    assert_int_equal(g->edges[3]->side, -1);
    rask_env_free(env);
}

static void offsets_stay_inside_the_artifact(void **state)
{
    struct rask_artifact a;
    uint64_t offset = 0;
    int on_the_stack = 0;
    struct err err = {0};

    (void)state;
    assert_int_equal(rask_artifact_of(&watch, &a, &err), 0);
    assert_true(rask_artifact_offset(&a, &watch, &offset));
    assert_ptr_equal(rask_artifact_pointer(&a, offset, sizeof(watch)), &watch);
    assert_false(rask_artifact_offset(&a, &on_the_stack, &offset));
    assert_null(rask_artifact_pointer(&a, a.end - a.base, 1));
    assert_null(rask_artifact_pointer(&a, a.end - a.base - 4, 8));
    assert_null(rask_artifact_pointer(&a, UINT64_MAX - 3, 8));
    assert_null(rask_artifact_pointer(&a, 0, SIZE_MAX));
    assert_int_equal(rask_artifact_of(&on_the_stack, &a, &err), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_its_graph),
        cmocka_unit_test(offsets_stay_inside_the_artifact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
