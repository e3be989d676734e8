/* test_regions.c - which subtasks fail together, for each way of spreading rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/check.h"
#include "common/graph/regions.h"

#define VERTICES 4

struct sample {
    Rask__Graph__JobGraph job;
    Rask__Graph__JobVertex vertices[VERTICES], *vertex_list[VERTICES];
    Rask__Graph__JobEdge edges[8], *edge_list[8];
};

static void vertex(struct sample *s, uint32_t parallelism)
{
    size_t n = s->job.n_vertices++;

    rask__graph__job_vertex__init(&s->vertices[n]);
    s->vertices[n].parallelism = parallelism;
    s->vertex_list[n] = &s->vertices[n];
    s->job.vertices = s->vertex_list;
}

static void edge(struct sample *s, uint32_t from, uint32_t to, Rask__Graph__Partitioner p)
{
    size_t n = s->job.n_edges++;

    rask__graph__job_edge__init(&s->edges[n]);
    s->edges[n].source_vertex = from;
    s->edges[n].target_vertex = to;
    s->edges[n].partitioner = p;
    s->edge_list[n] = &s->edges[n];
    s->job.edges = s->edge_list;
}

static struct sample sample(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    struct sample s = {.job = RASK__GRAPH__JOB_GRAPH__INIT};

    vertex(&s, a);
    vertex(&s, b);
    vertex(&s, c);
    vertex(&s, d);
    return s;
}
/* A sample points into itself. */
#define HOME(s)                                    \
    do {                                           \
        (s).job.vertices = (s).vertex_list;        \
        for (int i_ = 0; i_ < VERTICES; i_++)      \
            (s).vertex_list[i_] = &(s).vertices[i_]; \
    } while (0)

#define P(name) RASK__GRAPH__PARTITIONER__##name

static void what_is_not_connected_is_alone(void **state)
{
    struct sample s = sample(2, 2, 3, 1);
    struct graph_regions r;

    (void)state;
    HOME(s);
    edge(&s, 0, 1, P(HASH));
    edge(&s, 2, 3, P(REBALANCE));
    graph_regions_init(&r, &s.job);
    assert_int_equal(r.count, 2);
    assert_int_equal(r.sizes[0], 4);
    assert_int_equal(r.sizes[1], 4);
    assert_int_equal(r.of[0][1], 0);
    assert_int_equal(r.of[1][0], 0);
    assert_int_equal(r.of[2][2], 1);
    assert_int_equal(r.of[3][0], 1);
    graph_regions_release(&r);
}

static void forward_chains_are_alone(void **state)
{
    struct sample s = sample(3, 3, 3, 3);
    struct graph_regions r;

    (void)state;
    HOME(s);
    edge(&s, 0, 1, P(FORWARD));
    edge(&s, 1, 2, P(FORWARD));
    edge(&s, 2, 3, P(FORWARD));
    graph_regions_init(&r, &s.job);
    assert_int_equal(r.count, 3);
    for (uint32_t v = 0; v < VERTICES; v++)
        for (uint32_t i = 0; i < 3; i++)
            assert_int_equal(r.of[v][i], i);
    graph_regions_release(&r);
}

static void rescaled_ones_are_groups(void **state)
{
    struct sample s = sample(2, 4, 2, 1);
    struct graph_regions r;

    (void)state;
    HOME(s);
    edge(&s, 0, 1, P(RESCALE));
    edge(&s, 1, 2, P(RESCALE));
    graph_regions_init(&r, &s.job);
    assert_int_equal(r.count, 3);
    assert_int_equal(r.of[1][0], 0);
    assert_int_equal(r.of[1][1], 0);
    assert_int_equal(r.of[1][2], 1);
    assert_int_equal(r.of[2][1], 1);
    assert_int_equal(r.of[3][0], 2);
    assert_int_equal(r.sizes[0], 4);
    graph_regions_release(&r);
}

static void one_shuffle_joins_all_chains(void **state)
{
    struct sample s = sample(3, 3, 3, 3);
    struct graph_regions r;

    (void)state;
    HOME(s);
    edge(&s, 2, 3, P(HASH));
    edge(&s, 1, 2, P(FORWARD));
    edge(&s, 0, 1, P(FORWARD));
    graph_regions_init(&r, &s.job);
    assert_int_equal(r.count, 1);
    assert_int_equal(r.sizes[0], 12);
    graph_regions_release(&r);
}

static void an_enumerator_is_alone_when_its_readers_are(void **state)
{
    struct sample s = sample(1, 3, 3, 1);
    struct graph_regions r;

    (void)state;
    HOME(s);
    edge(&s, 0, 1, P(SPLITS));
    edge(&s, 1, 2, P(FORWARD));
    graph_regions_init(&r, &s.job);
    assert_int_equal(r.count, 5); /* the last vertex has nothing to do with it */
    assert_int_equal(r.sizes[r.of[0][0]], 1);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(r.of[1][i], r.of[2][i]);
        assert_int_equal(r.sizes[r.of[1][i]], 2);
    }
    assert_int_equal(r.split_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(r.splits[i].vertex, 0);
        assert_int_equal(r.splits[i].enumerator, r.of[0][0]);
        assert_int_equal(r.splits[i].readers, r.of[1][i]);
    }
    assert_true(graph_gives_splits(&r, 0));
    assert_false(graph_gives_splits(&r, 1));
    graph_regions_release(&r);
}

static void an_enumerator_is_with_readers_that_are_one(void **state)
{
    struct sample s = sample(1, 3, 2, 1);
    struct graph_regions r;

    (void)state;
    HOME(s);
    edge(&s, 0, 1, P(SPLITS));
    edge(&s, 1, 2, P(HASH));
    edge(&s, 2, 3, P(GLOBAL));
    graph_regions_init(&r, &s.job);
    assert_int_equal(r.count, 1);
    assert_int_equal(r.split_count, 0);
    assert_false(graph_gives_splits(&r, 0));
    graph_regions_release(&r);
}

static void an_enumerator_names_a_group_of_readers_once(void **state)
{
    struct sample s = sample(1, 4, 2, 1);
    struct graph_regions r;

    (void)state;
    HOME(s);
    edge(&s, 0, 1, P(SPLITS));
    edge(&s, 1, 2, P(RESCALE));
    graph_regions_init(&r, &s.job);
    assert_int_equal(r.count, 4);
    assert_int_equal(r.split_count, 2);
    assert_int_equal(r.splits[0].readers, r.of[2][0]);
    assert_int_equal(r.splits[1].readers, r.of[2][1]);
    graph_regions_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_connected_is_alone),
        cmocka_unit_test(forward_chains_are_alone),
        cmocka_unit_test(rescaled_ones_are_groups),
        cmocka_unit_test(one_shuffle_joins_all_chains),
        cmocka_unit_test(an_enumerator_is_alone_when_its_readers_are),
        cmocka_unit_test(an_enumerator_is_with_readers_that_are_one),
        cmocka_unit_test(an_enumerator_names_a_group_of_readers_once),
    };

    return cmocka_run_group_tests_name("regions", tests, NULL, NULL);
}
