/* test_scheduler.c - slots: handed out, spread, shared by groups, near to their upstream. */
#include "test/unit/jobmanager/world.h"

#include "jobmanager/scheduler/scheduler.h"

/* ---- sharing groups ---- */

struct shape {
    Rask__Graph__JobGraph graph;
    Rask__Graph__JobVertex vertices[4], *vertex_ptrs[4];
    Rask__Graph__JobEdge edges[4], *edge_ptrs[4];
};

static void add_vertex(struct shape *s, uint32_t parallelism, const char *group)
{
    size_t v = s->graph.n_vertices++;

    rask__graph__job_vertex__init(&s->vertices[v]);
    s->vertices[v].parallelism = parallelism;
    s->vertices[v].slot_group = (char *)group;
    s->vertex_ptrs[v] = &s->vertices[v];
    s->graph.vertices = s->vertex_ptrs;
}

static void add_edge(struct shape *s, uint32_t from, uint32_t to,
                     Rask__Graph__Partitioner partitioner)
{
    size_t e = s->graph.n_edges++;

    rask__graph__job_edge__init(&s->edges[e]);
    s->edges[e].source_vertex = from;
    s->edges[e].target_vertex = to;
    s->edges[e].partitioner = partitioner;
    s->edge_ptrs[e] = &s->edges[e];
    s->graph.edges = s->edge_ptrs;
}

static void subtask_i_of_a_group_is_in_its_slot_i(void **state)
{
    static const uint32_t hosts[] = {0, 1, 0, 1};
    struct shape s = {.graph = RASK__GRAPH__JOB_GRAPH__INIT};
    struct jm_schedule made;

    (void)state;
    add_vertex(&s, 1, "default");
    add_vertex(&s, 4, "default");
    add_vertex(&s, 2, "default");
    jm_schedule_make(&s.graph, hosts, 4, 2, &made);
    assert_int_equal(made.slot_of[0][0], 0);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(made.slot_of[1][i], i);
    assert_int_equal(made.slot_of[2][1], 1);
    jm_schedule_release(&made);
}

static void a_group_follows_its_upstream(void **state)
{
    static const uint32_t hosts[] = {0, 1, 2, 2, 0, 1};
    struct shape s = {.graph = RASK__GRAPH__JOB_GRAPH__INIT};
    struct jm_schedule made;

    (void)state;
    add_vertex(&s, 3, "a");
    add_vertex(&s, 3, "b");
    add_edge(&s, 0, 1, RASK__GRAPH__PARTITIONER__FORWARD);
    jm_schedule_make(&s.graph, hosts, 6, 3, &made);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(hosts[made.slot_of[0][i]], hosts[made.slot_of[1][i]]);
        assert_int_not_equal(made.slot_of[0][i], made.slot_of[1][i]);
    }
    jm_schedule_release(&made);
}

static void no_slot_is_used_by_two_groups(void **state)
{
    static const uint32_t hosts[] = {0, 0, 0, 1, 1, 1};
    struct shape s = {.graph = RASK__GRAPH__JOB_GRAPH__INIT};
    bool used[6] = {false};
    struct jm_schedule made;

    (void)state;
    add_vertex(&s, 2, "a");
    add_vertex(&s, 2, "b");
    add_vertex(&s, 2, "c");
    add_edge(&s, 0, 1, RASK__GRAPH__PARTITIONER__FORWARD);
    add_edge(&s, 1, 2, RASK__GRAPH__PARTITIONER__FORWARD);
    jm_schedule_make(&s.graph, hosts, 6, 2, &made);
    for (int v = 0; v < 3; v++)
        for (int i = 0; i < 2; i++) {
            assert_false(used[made.slot_of[v][i]]);
            used[made.slot_of[v][i]] = true;
        }
    jm_schedule_release(&made);
}

/* ---- slots ---- */

static void slots_are_spread(void **state)
{
    struct world *w = world_with(3, 4);
    struct jm_resource *res = &w->jm->resource;
    struct id id = id_from_u64(1, 1);
    struct jm_grant grant;

    (void)state;
    assert_true(jm_resource_allocate(res, &id, "a", 6, NULL, &grant));
    assert_int_equal(grant.host_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(grant.hosts[i]->slots, 2);
        assert_int_equal(grant.slot_host[i], i);
    }
    assert_int_equal(res->used, 6);
    assert_false(jm_resource_allocate(res, &id, "b", 7, NULL, &(struct jm_grant){0})); /* all or none */
    assert_int_equal(res->used, 6);
    for (uint32_t i = 0; i < 3; i++) {
        jm_resource_release(res, &grant.hosts[i]);
        jm_resource_release(res, &grant.hosts[i]); /* once is enough */
    }
    assert_int_equal(res->used, 0);
    jm_grant_release(&grant);
    world_free(w);
}

static void slots_are_where_they_were(void **state)
{
    struct world *w = world_with(3, 2);
    struct jm_resource *res = &w->jm->resource;
    struct id id = id_from_u64(1, 1);
    char *places[6] = {NULL};
    struct jm_grant grant;
    struct jm_allocation *one;
    uint32_t n = 0;

    (void)state;
    /* the last TaskManager twice, one that is not there any more, the first */
    for (struct map_iter it = map_iter(res->taskmanagers); map_next(&it); n++)
        places[n == 0 ? 3 : n == 2 ? 0 : 5] = ((struct jm_taskmanager *)it.value)->place;
    places[1] = places[0];
    places[2] = (char *)"gone";
    places[4] = places[0]; /* more than it has */
    places[5] = NULL;
    assert_true(jm_resource_allocate(res, &id, "a", 5, places, &grant));
    assert_int_equal(grant.host_count, 3);
    assert_int_equal(grant.slot_host[0], 0);
    assert_int_equal(grant.slot_host[1], 0);
    assert_string_equal(grant.hosts[0]->taskmanager->place, places[0]);
    assert_int_equal(grant.hosts[0]->slots, 2);
    assert_string_equal(grant.hosts[grant.slot_host[3]]->taskmanager->place, places[3]);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(grant.hosts[i]->taskmanager->used, grant.hosts[i]->slots);
        jm_resource_release(res, &grant.hosts[i]);
    }
    jm_grant_release(&grant);
    one = jm_resource_allocate_on_one(res, &id, "a", 1, places[0]);
    assert_string_equal(one->taskmanager->place, places[0]);
    jm_resource_release(res, &one);
    one = jm_resource_allocate_on_one(res, &id, "a", 2, "gone");
    assert_non_null(one);
    jm_resource_release(res, &one);
    assert_int_equal(res->used, 0);
    world_free(w);
}

static void a_resource_id_has_one_taskmanager(void **state)
{
    struct world *w = world_with(1, 2);
    struct jm_resource *res = &w->jm->resource;
    Rask__Control__RegisterTaskManager msg = RASK__CONTROL__REGISTER_TASK_MANAGER__INIT;
    struct map_iter it = map_iter(res->taskmanagers);
    struct jm_taskmanager *tm, *second;
    struct id id = id_from_u64(7, 7);
    struct err err;

    (void)state;
    assert_true(map_next(&it));
    tm = it.value;
    assert_string_equal(tm->place, tm->id_text);
    mem_free(tm->place);
    tm->place = mem_strdup("seven");
    msg.taskmanager_id = rpc_id_data(&id);
    msg.host = msg.data_address = (char *)"elsewhere";
    msg.slots = 1;
    msg.resource_id = (char *)"seven";
    assert_int_equal(jm_resource_register(res, NULL, &msg, &second, &err), ERR_EXISTS);
    assert_non_null(strstr(err.text, "has taskmanager.resource-id \"seven\" and is registered"));
    msg.resource_id = (char *)"two words";
    assert_int_equal(jm_resource_register(res, NULL, &msg, &second, &err), ERR_PROTOCOL);
    world_free(w);
}

/* ---- states ---- */

static void final_states_are_final(void **state)
{
    (void)state;
    for (int from = 0; from < JM_JOB_STATE_COUNT; from++)
        for (int to = 0; to < JM_JOB_STATE_COUNT; to++)
            if (jm_job_state_is_final((enum jm_job_state)from) || from == to)
                assert_false(jm_job_may((enum jm_job_state)from, (enum jm_job_state)to));
    for (int from = 0; from < JM_TASK_STATE_COUNT; from++)
        for (int to = 0; to < JM_TASK_STATE_COUNT; to++)
            if (jm_task_state_is_final((Rask__Control__TaskState)from) || from == to)
                assert_false(
                    jm_task_may((Rask__Control__TaskState)from, (Rask__Control__TaskState)to));
    assert_string_equal(jm_job_state_name(JM_JOB_CANCELLING), "CANCELLING");
    assert_string_equal(jm_task_state_name(T(CANCELING)), "CANCELING");
}

static void every_state_leads_to_an_end(void **state)
{
    (void)state;
    for (int s = 0; s < JM_JOB_STATE_COUNT; s++)
        if (!jm_job_state_is_final((enum jm_job_state)s) && s != JM_JOB_SUSPENDED)
            assert_true(jm_job_may((enum jm_job_state)s, JM_JOB_CANCELLING) ||
                        s == JM_JOB_CANCELLING);
    assert_true(jm_job_may(JM_JOB_CANCELLING, JM_JOB_CANCELED));
    assert_true(jm_job_may(JM_JOB_FAILING, JM_JOB_FAILED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subtask_i_of_a_group_is_in_its_slot_i),
        cmocka_unit_test(a_group_follows_its_upstream),
        cmocka_unit_test(no_slot_is_used_by_two_groups),
        cmocka_unit_test(slots_are_spread),
        cmocka_unit_test(a_resource_id_has_one_taskmanager),
        cmocka_unit_test(slots_are_where_they_were),
        cmocka_unit_test(final_states_are_final),
        cmocka_unit_test(every_state_leads_to_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
