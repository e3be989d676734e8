/*
 * test_graph.c - what graph_validate refuses, and what graph_compile decides: parallelism, slot
 * groups, ids, enumerators. Graphs are built by hand: a source, an operator, a sink; then one thing
 * is made wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/base/check.h"
#include "common/graph/graph.h"
#include "common/graph/ops.h"
#include "common/types/schema_proto.h"

static uint8_t hash[32], other_hash[32] = {1};

struct sample {
    struct arena arena;
    Rask__Graph__StreamGraph graph;
    Rask__Graph__StreamNode *nodes[1100];
    Rask__Graph__StreamEdge *edges[1100];
};

static Rask__Graph__Schema *schema(struct sample *s, const char *text)
{
    const rask_schema *parsed = NULL;

    assert_int_equal(schema_parse(&s->arena, "t", text, &parsed, NULL), 0);
    return schema_to_proto(&s->arena, parsed);
}

static Rask__Graph__StreamNode *node(struct sample *s, const char *type, const char *name)
{
    Rask__Graph__StreamNode *n = arena_alloc(&s->arena, sizeof(*n));

    rask__graph__stream_node__init(n);
    n->op = arena_alloc(&s->arena, sizeof(*n->op));
    rask__graph__operator_spec__init(n->op);
    n->op->type = arena_strdup(&s->arena, type);
    n->name = arena_strdup(&s->arena, name);
    s->nodes[s->graph.n_nodes++] = n;
    n->id = (uint32_t)s->graph.n_nodes;
    return n;
}

static Rask__Graph__StreamEdge *edge(struct sample *s, uint32_t from, uint32_t to)
{
    Rask__Graph__StreamEdge *e = arena_alloc(&s->arena, sizeof(*e));

    rask__graph__stream_edge__init(e);
    e->source = from;
    e->target = to;
    e->partitioner = RASK__GRAPH__PARTITIONER__UNSET;
    s->edges[s->graph.n_edges++] = e;
    return e;
}

static void start(struct sample *s)
{
    memset(s, 0, sizeof(*s));
    rask__graph__stream_graph__init(&s->graph);
    s->graph.job_name = (char *)(uintptr_t) "job";
    s->graph.nodes = s->nodes;
    s->graph.edges = s->edges;
    s->graph.has_artifact = true;
    s->graph.artifact.len = 32;
    s->graph.artifact.data = hash;
}

/* lines -> map -> print */
static void line(struct sample *s)
{
    start(s);
    node(s, OP_SOURCE, "Source: a")->out = schema(s, "k STRING NOT NULL, n BIGINT");
    node(s, OP_MAP, "b")->in = schema(s, "k STRING NOT NULL, n BIGINT");
    s->nodes[1]->out = schema(s, "k STRING NOT NULL, n BIGINT");
    s->nodes[1]->op->has_code = s->nodes[1]->op->has_artifact = true;
    s->nodes[1]->op->artifact.len = 32;
    s->nodes[1]->op->artifact.data = hash;
    node(s, OP_SINK, "Sink: c")->in = schema(s, "k STRING NOT NULL, n BIGINT");
    edge(s, 1, 2);
    edge(s, 2, 3);
}

/* ---- what is refused ---- */

static void no_nodes(struct sample *s)
{
    s->graph.n_nodes = 0;
}
static void too_many_nodes(struct sample *s)
{
    while (s->graph.n_nodes < 1001)
        s->nodes[s->graph.n_nodes++] = s->nodes[2];
}
static void empty_job_name(struct sample *s)
{
    s->graph.job_name = (char *)(uintptr_t) "";
}
static void wrong_id(struct sample *s)
{
    s->nodes[1]->id = 7;
}
static void edge_to_nowhere(struct sample *s)
{
    s->edges[1]->target = 4;
}
static void edge_from_zero(struct sample *s)
{
    s->edges[1]->source = 0;
}
static void cycle(struct sample *s)
{
    edge(s, 2, 2);
}
static void edge_back(struct sample *s)
{
    edge(s, 2, 1);
}
static void no_side(struct sample *s)
{
    s->edges[1]->has_side = true;
    s->edges[1]->side = 0;
}
static void side_below(struct sample *s)
{
    s->edges[1]->side = -2;
}
static void no_input(struct sample *s)
{
    s->edges[1]->input = 2;
}
static void no_second_input(struct sample *s)
{
    s->edges[1]->input = 1;
}
static void second_input_empty(struct sample *s)
{
    s->nodes[1]->in2 = schema(s, "x BIGINT");
}
static void schemas_differ(struct sample *s)
{
    s->nodes[2]->in = schema(s, "k STRING, n BIGINT");
}
static void unknown_type(struct sample *s)
{
    s->nodes[0]->out->fields[0]->type = (char *)(uintptr_t) "QUBIT";
}
static void read_from_sink(struct sample *s)
{
    node(s, OP_MAP, "d")->in = schema(s, "k STRING NOT NULL, n BIGINT");
    edge(s, 3, 4);
}
static void sink_with_output(struct sample *s)
{
    s->nodes[2]->out = s->nodes[2]->in;
}
static void source_without_output(struct sample *s)
{
    s->nodes[0]->out = NULL;
}
static void source_with_input(struct sample *s)
{
    node(s, OP_SOURCE, "Source: d")->in = schema(s, "k STRING NOT NULL, n BIGINT");
    s->nodes[3]->out = s->nodes[3]->in;
    edge(s, 2, 4);
}
static void operator_without_input(struct sample *s)
{
    s->graph.n_edges = 1;
}
static void enumerator_sent(struct sample *s)
{
    s->nodes[1]->op->type = (char *)(uintptr_t)OP_SOURCE_ENUMERATOR;
}
static void key_column(struct sample *s)
{
    static uint32_t columns[] = {2};

    s->nodes[1]->n_key_columns = 1;
    s->nodes[1]->key_columns = columns;
}
static void hash_without_key(struct sample *s)
{
    s->edges[0]->partitioner = RASK__GRAPH__PARTITIONER__HASH;
}
static void hash_column(struct sample *s)
{
    static uint32_t columns[] = {0, UINT32_MAX};

    s->edges[0]->partitioner = RASK__GRAPH__PARTITIONER__HASH;
    s->edges[0]->n_key_columns = 2;
    s->edges[0]->key_columns = columns;
}
static void custom_without_code(struct sample *s)
{
    s->edges[0]->partitioner = RASK__GRAPH__PARTITIONER__CUSTOM;
}
static void unknown_partitioner(struct sample *s)
{
    s->edges[0]->partitioner = (Rask__Graph__Partitioner)77;
}
static void splits_partitioner(struct sample *s)
{
    s->edges[0]->partitioner = RASK__GRAPH__PARTITIONER__SPLITS;
}
static void unknown_chaining(struct sample *s)
{
    s->nodes[1]->has_chaining = true;
    s->nodes[1]->chaining = (Rask__Graph__Chaining)3;
}
static void parallelism_zero(struct sample *s)
{
    s->nodes[1]->has_parallelism = true;
}
static void parallelism_over_max(struct sample *s)
{
    s->nodes[1]->has_parallelism = s->nodes[1]->has_max_parallelism = true;
    s->nodes[1]->parallelism = 5;
    s->nodes[1]->max_parallelism = 4;
}
static void max_out_of_range(struct sample *s)
{
    s->nodes[1]->has_max_parallelism = true;
    s->nodes[1]->max_parallelism = 32769;
}
static void job_parallelism(struct sample *s)
{
    s->graph.has_parallelism = true;
    s->graph.parallelism = 40000;
}
static void foreign_artifact(struct sample *s)
{
    s->nodes[1]->op->artifact.data = other_hash;
}
static void code_without_artifact(struct sample *s)
{
    s->nodes[1]->op->has_artifact = false;
}
static void short_hash(struct sample *s)
{
    s->graph.artifact.len = 31;
}
static void huge_args(struct sample *s)
{
    static uint8_t args[GRAPH_ARGS_MAX + 1];

    s->nodes[1]->op->has_args = true;
    s->nodes[1]->op->args.len = sizeof(args);
    s->nodes[1]->op->args.data = args;
}
static void uid_twice(struct sample *s)
{
    s->nodes[0]->uid = s->nodes[2]->uid = (char *)(uintptr_t) "u";
}
static void operator_id(struct sample *s)
{
    s->nodes[0]->has_operator_id = true;
    s->nodes[0]->operator_id.len = 3;
    s->nodes[0]->operator_id.data = hash;
}
static void job_id(struct sample *s)
{
    s->graph.has_job_id = true;
}

static const struct refusal {
    void (*spoil)(struct sample *s);
    const char *text;
} refusals[] = {
    {no_nodes, "the job has no operators: nothing to run"},
    {too_many_nodes, "the job has 1001 operators; at most 1000 are possible"},
    {empty_job_name, "job graph: an empty job name"},
    {wrong_id, "operator 'b' (7): has this id where 2 is due: ids are 1, 2, 3 ... in order"},
    {edge_to_nowhere, "job graph: an edge leads from 2 to 4; the operators are 1 .. 3"},
    {edge_from_zero, "job graph: an edge leads from 0 to 3; the operators are 1 .. 3"},
    {cycle, "operator 'b' (2): its input 'b' (2) comes after it: the graph would have a cycle"},
    {edge_back,
     "operator 'Source: a' (1): its input 'b' (2) comes after it: the graph would have a cycle"},
    {no_side, "operator 'b' (2): has no side output 0"},
    {side_below, "operator 'b' (2): has no side output -2"},
    {no_input, "operator 'Sink: c' (3): has no input 2"},
    {no_second_input, "operator 'Sink: c' (3): has no schema for its input 1"},
    {second_input_empty, "operator 'b' (2): has nothing at its second input"},
    {schemas_differ,
     "operator 'Sink: c' (3): takes (k STRING, n BIGINT), but 'b' (2) gives (k STRING NOT NULL, n BIGINT)"},
    {unknown_type, "operator 'Source: a' (1): output: "},
    {read_from_sink, "operator 'Sink: c' (3): has no output, but 'd' (4) reads from it"},
    {sink_with_output, "operator 'Sink: c' (3): is a sink with an output schema"},
    {source_without_output, "operator 'Source: a' (1): is a source without an output schema"},
    {source_with_input, "operator 'Source: d' (4): is a source and has inputs"},
    {operator_without_input, "operator 'Sink: c' (3): has no input"},
    {enumerator_sent,
     "operator 'b' (2): is of the type 'source_enumerator', which only the engine makes"},
    {key_column,
     "operator 'b' (2): key columns: there is no column 2 in the schema 't', which has 2"},
    {hash_without_key, "operator 'b' (2): an input has 0 key columns and the partitioner HASH"},
    {hash_column,
     "operator 'b' (2): key columns of an input: there is no column 4294967295 in the schema 't', which has 2"},
    {custom_without_code,
     "operator 'b' (2): an input with the partitioner CUSTOM has no partition function"},
    {unknown_partitioner, "operator 'b' (2): an input has the partitioner 77, which is none"},
    {splits_partitioner, "operator 'b' (2): an input has the partitioner 8, which is none"},
    {unknown_chaining, "operator 'b' (2): has the unknown chaining strategy 3"},
    {parallelism_zero, "operator 'b' (2): parallelism 0 is not within 1 .. 32768"},
    {parallelism_over_max, "operator 'b' (2): parallelism 5 is greater than its max parallelism 4"},
    {max_out_of_range, "operator 'b' (2): max parallelism 32769 is not within 1 .. 32768"},
    {job_parallelism, "the job's parallelism 40000 is not within 1 .. 32768"},
    {foreign_artifact, "operator 'b' (2): its artifact is not that of the job"},
    {code_without_artifact, "operator 'b' (2): has code without an artifact"},
    {short_hash, "the hash of the job's artifact has 31 bytes, not 32"},
    {huge_args, "operator 'b' (2): has 1048577 bytes of arguments; at most 1048576 are possible"},
    {uid_twice,
     "operator 'Sink: c' (3): has the uid 'u' of operator 'Source: a' (1); each needs its own"},
    {operator_id, "operator 'Source: a' (1): its operator id has 3 bytes, not 16"},
    {job_id, "the job id has 0 bytes, not 16"},
};

static void every_refusal_has_its_sentence(void **state)
{
    struct sample *s = mem_alloc(sizeof(*s));

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        struct graph_options options = {0};
        Rask__Graph__JobGraph *job = NULL;
        struct err err = {0};

        line(s);
        assert_int_equal(graph_validate(&s->graph, NULL), 0);
        refusals[i].spoil(s);
        assert_true(graph_validate(&s->graph, &err) < 0);
        if (strncmp(err.text, refusals[i].text, strlen(refusals[i].text)) != 0)
            fail_msg("wanted: %s\n       got:    %s", refusals[i].text, err.text);
        assert_true(graph_validate(&s->graph, NULL) < 0);
        assert_true(graph_compile(&s->graph, &options, &s->arena, &job, &err) < 0);
        assert_null(job);
        arena_release(&s->arena);
    }
    mem_free(s);
}

/* ---- what is decided ---- */

static Rask__Graph__JobGraph *compiled(struct sample *s, struct graph_options options)
{
    Rask__Graph__JobGraph *job = NULL;
    struct err err = {0};

    if (graph_compile(&s->graph, &options, &s->arena, &job, &err) != 0)
        fail_msg("%s", err.text);
    return job;
}

static uint32_t parallelism_of(struct sample *s, uint32_t id, struct graph_options options)
{
    return graph_node(compiled(s, options)->stream, id)->parallelism;
}

static void set_config(struct sample *s, const char *key, const char *value)
{
    s->graph.config = arena_alloc(&s->arena, sizeof(*s->graph.config));
    s->graph.config[0] = arena_alloc(&s->arena, sizeof(**s->graph.config));
    rask__graph__property__init(s->graph.config[0]);
    s->graph.config[0]->key = arena_strdup(&s->arena, key);
    s->graph.config[0]->value = arena_strdup(&s->arena, value);
    s->graph.n_config = 1;
}

static void the_nearest_parallelism_wins(void **state)
{
    struct sample *s = mem_alloc(sizeof(*s));

    (void)state;
    line(s);
    assert_int_equal(parallelism_of(s, 2, (struct graph_options){0}), 1);
    assert_int_equal(parallelism_of(s, 2, (struct graph_options){.default_parallelism = 2}), 2);
    assert_int_equal(parallelism_of(s, 2, (struct graph_options){3, 2, 0, false}), 3);
    set_config(s, "parallelism.default", "4");
    assert_int_equal(parallelism_of(s, 2, (struct graph_options){3, 2, 0, false}), 4);
    s->graph.has_parallelism = true;
    s->graph.parallelism = 5;
    assert_int_equal(parallelism_of(s, 2, (struct graph_options){3, 2, 0, false}), 5);
    s->nodes[1]->has_parallelism = true;
    s->nodes[1]->parallelism = 6;
    assert_int_equal(parallelism_of(s, 2, (struct graph_options){3, 2, 0, false}), 6);
    assert_int_equal(parallelism_of(s, 1, (struct graph_options){3, 2, 0, false}), 5);
    arena_release(&s->arena);
    mem_free(s);
}

static void max_parallelism_follows_flinks_formula(void **state)
{
    struct sample *s = mem_alloc(sizeof(*s));
    struct graph_options options = {.default_parallelism = 200};
    Rask__Graph__JobGraph *job = NULL;
    struct err err = {0};

    (void)state;
    line(s);
    assert_int_equal(compiled(s, options)->vertices[1]->max_parallelism, 512);
    options.max_parallelism = 256;
    assert_int_equal(compiled(s, options)->vertices[1]->max_parallelism, 256);
    options.max_parallelism = 100;
    assert_true(graph_compile(&s->graph, &options, &s->arena, &job, &err) < 0);
    assert_non_null(
        strstr(err.text, "operator 'Source: a': parallelism 200 is greater than its max parallelism 100"));
    options.client_parallelism = 40000;
    assert_true(graph_compile(&s->graph, &options, &s->arena, &job, &err) < 0);
    set_config(s, "pipeline.max-parallelism", "many");
    assert_true(graph_compile(&s->graph, &options, &s->arena, &job, &err) < 0);
    assert_string_equal(
        err.text,
        "option pipeline.max-parallelism of the program: 'many' is not within 1 .. 32768");
    arena_release(&s->arena);
    mem_free(s);
}

static void a_source_has_an_enumerator(void **state)
{
    struct sample *s = mem_alloc(sizeof(*s));
    struct graph_options options = {.client_parallelism = 2};
    Rask__Graph__JobGraph *job;

    (void)state;
    line(s);
    s->nodes[0]->slot_group = (char *)(uintptr_t) "io";
    job = compiled(s, options);
    assert_int_equal(job->n_vertices, 2);
    assert_true(job->vertices[0]->hidden);
    assert_false(job->vertices[1]->hidden);
    assert_int_equal(job->vertices[0]->parallelism, 1);
    assert_string_equal(job->vertices[0]->slot_group, "io");
    assert_int_equal(job->vertices[0]->operators[0]->node, 4);
    assert_string_equal(graph_node(job->stream, 4)->op->type, OP_SOURCE_ENUMERATOR);
    assert_string_equal(graph_node(job->stream, 4)->name, "Source: a (enumerator)");
    assert_int_equal(job->n_edges, 1);
    assert_int_equal(job->edges[0]->partitioner, RASK__GRAPH__PARTITIONER__SPLITS);
    assert_int_equal(job->edges[0]->source_vertex, 0);
    assert_int_equal(job->edges[0]->target_vertex, 1);
    assert_string_equal(job->vertices[1]->name, "Source: a -> b -> Sink: c");
    assert_int_equal(job->vertices[1]->operators[2]->parent, 1);
    assert_int_equal(graph_slots(job), 2);
    assert_int_equal(s->graph.n_nodes, 3); /* the caller's graph is untouched */
    assert_null(s->nodes[1]->slot_group);
    assert_string_equal(graph_node(job->stream, 3)->slot_group, "io"); /* inherited */
    arena_release(&s->arena);
    mem_free(s);
}

static void chaining_can_be_switched_off(void **state)
{
    struct sample *s = mem_alloc(sizeof(*s));
    Rask__Graph__JobGraph *job;

    (void)state;
    line(s);
    job = compiled(s, (struct graph_options){.chaining_disabled = true});
    assert_int_equal(job->n_vertices, 4);
    assert_int_equal(job->edges[0]->partitioner, RASK__GRAPH__PARTITIONER__FORWARD);
    set_config(s, "pipeline.operator-chaining.enabled", "false");
    assert_int_equal(compiled(s, (struct graph_options){0})->n_vertices, 4);
    set_config(s, "pipeline.operator-chaining.chain-operators-with-different-max-parallelism",
               "false");
    assert_int_equal(compiled(s, (struct graph_options){0})->n_vertices, 2);
    s->nodes[1]->has_max_parallelism = true;
    s->nodes[1]->max_parallelism = 64;
    assert_int_equal(compiled(s, (struct graph_options){0})->n_vertices, 4);
    s->graph.n_config = 0;
    assert_int_equal(compiled(s, (struct graph_options){0})->n_vertices, 2);
    arena_release(&s->arena);
    mem_free(s);
}

static void forward_needs_equal_parallelism(void **state)
{
    struct sample *s = mem_alloc(sizeof(*s));
    struct graph_options options = {0};
    Rask__Graph__JobGraph *job = NULL;
    struct err err = {0};

    (void)state;
    line(s);
    s->edges[0]->partitioner = RASK__GRAPH__PARTITIONER__FORWARD;
    s->nodes[1]->has_parallelism = true;
    s->nodes[1]->parallelism = 2;
    assert_true(graph_compile(&s->graph, &options, &s->arena, &job, &err) < 0);
    assert_string_equal(
        err.text,
        "forward needs equal parallelism: 'Source: a' has 1, 'b' has 2; use rebalance, rescale, "
        "shuffle, broadcast or global");
    s->edges[0]->partitioner = RASK__GRAPH__PARTITIONER__UNSET;
    job = compiled(s, options);
    assert_int_equal(job->n_vertices, 4);
    assert_int_equal(job->edges[0]->partitioner, RASK__GRAPH__PARTITIONER__REBALANCE);
    arena_release(&s->arena);
    mem_free(s);
}

static void subtasks_are_limited(void **state)
{
    struct sample *s = mem_alloc(sizeof(*s));
    struct graph_options options = {.client_parallelism = 32768, .chaining_disabled = true};
    Rask__Graph__JobGraph *job = NULL;
    struct err err = {0};

    (void)state;
    line(s);
    for (uint32_t i = 4; i < 40; i++) {
        node(s, OP_SINK, "Sink: x")->in = schema(s, "k STRING NOT NULL, n BIGINT");
        edge(s, 2, i);
    }
    assert_true(graph_compile(&s->graph, &options, &s->arena, &job, &err) < 0);
    assert_string_equal(err.text, "the job has 1277953 subtasks; at most 1000000 are possible");
    arena_release(&s->arena);
    mem_free(s);
}

/* ---- ids ---- */

static void id_of(struct sample *s, uint32_t id, uint8_t ret[16])
{
    const Rask__Graph__StreamNode *n =
        graph_node(compiled(s, (struct graph_options){0})->stream, id);

    assert_int_equal(n->operator_id.len, 16);
    memcpy(ret, n->operator_id.data, 16);
}

static void ids_depend_on_topology_alone(void **state)
{
    struct sample *s = mem_alloc(sizeof(*s));
    uint8_t before[16], after[16], twin[16];

    (void)state;
    line(s);
    id_of(s, 2, before);
    s->nodes[1]->name = (char *)(uintptr_t) "renamed";
    s->nodes[1]->has_parallelism = true;
    s->nodes[1]->parallelism = 3;
    id_of(s, 2, after);
    assert_memory_equal(before, after, 16);

    node(s, OP_MAP, "b2")->in = schema(s, "k STRING NOT NULL, n BIGINT"); /* a second branch */
    edge(s, 1, 4);
    id_of(s, 2, after);
    assert_memory_equal(before, after, 16);
    id_of(s, 4, twin);
    assert_memory_not_equal(before, twin, 16);

    s->nodes[0]->uid = (char *)(uintptr_t) "u"; /* ids follow their inputs */
    id_of(s, 2, after);
    assert_memory_not_equal(before, after, 16);
    arena_release(&s->arena);
    mem_free(s);
}

static void a_uid_fixes_the_id(void **state)
{
    static const uint8_t frozen[16] = {0x23, 0x46, 0xf0, 0x5c, 0x84, 0x48, 0x5f, 0x01,
                                       0x5c, 0xf9, 0xde, 0xd8, 0xa1, 0xaa, 0x5e, 0xba};
    struct sample *s = mem_alloc(sizeof(*s));
    uint8_t before[16], after[16];

    (void)state;
    line(s);
    s->nodes[2]->uid = (char *)(uintptr_t) "the sink";
    id_of(s, 3, before);
    s->nodes[0]->uid = (char *)(uintptr_t) "the source";
    id_of(s, 3, after);
    assert_memory_equal(before, after, 16);
    assert_memory_equal(before, frozen, 16); /* savepoints rely on it */
    arena_release(&s->arena);
    mem_free(s);
}

/* ---- bytes ---- */

static void any_bytes_are_survived(void **state)
{
    struct sample *s = mem_alloc(sizeof(*s));
    struct graph_options options = {0};
    uint8_t *packed, *spoilt;
    uint32_t seed = 7;
    size_t len;

    (void)state;
    line(s);
    len = rask__graph__stream_graph__get_packed_size(&s->graph);
    packed = mem_alloc(len);
    rask__graph__stream_graph__pack(&s->graph, packed);
    for (int round = 0; round < 3000; round++) {
        Rask__Graph__StreamGraph *g = NULL;
        Rask__Graph__JobGraph *job = NULL;
        struct arena arena;
        struct err err = {0};

        arena_init(&arena);
        spoilt = mem_dup(packed, len);
        for (int k = 0; k <= round % 4; k++) {
            seed = seed * 1664525u + 1013904223u;
            spoilt[(seed >> 8) % len] = (uint8_t)(seed >> 24);
        }
        if (graph_unpack(&arena, spoilt, len, &g, &err) == 0) {
            bool refused = graph_compile(g, &options, &arena, &job, &err) != 0;

            assert_true(refused == (job == NULL));
        }
        arena_release(&arena);
        mem_free(spoilt);
    }
    mem_free(packed);
    arena_release(&s->arena);
    mem_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_refusal_has_its_sentence),
        cmocka_unit_test(the_nearest_parallelism_wins),
        cmocka_unit_test(max_parallelism_follows_flinks_formula),
        cmocka_unit_test(a_source_has_an_enumerator),
        cmocka_unit_test(chaining_can_be_switched_off),
        cmocka_unit_test(forward_needs_equal_parallelism),
        cmocka_unit_test(subtasks_are_limited),
        cmocka_unit_test(ids_depend_on_topology_alone),
        cmocka_unit_test(a_uid_fixes_the_id),
        cmocka_unit_test(any_bytes_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
