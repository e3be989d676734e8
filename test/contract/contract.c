/*
 * contract.c - runs contract tables, and the waiting that they share.
 */
#include "test/contract/contract.h"

#include <stdio.h>

#include "common/base/mem.h"

#define TESTS_MAX 64

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

bool world_until_true(struct world *w, const bool *flag)
{
    return w->until(w, is_true, (void *)flag);
}

struct count_wanted {
    const int *count;
    int at_least;
};

static bool count_reached(void *arg)
{
    struct count_wanted *c = arg;

    return *c->count >= c->at_least;
}

bool world_until_count(struct world *w, const int *count, int at_least)
{
    return w->until(w, count_reached, &(struct count_wanted){count, at_least});
}

struct settle {
    struct env_timer timer;
    bool over;
};

static void on_settled(struct env_timer *timer)
{
    ((struct settle *)(void *)timer)->over = true;
}

void world_settle(struct world *w)
{
    struct settle s = {.timer = {.cb = on_settled}};

    env_timer_arm_ms(w->server, &s.timer, 30);
    assert_true(world_until_true(w, &s.over));
}

int world_teardown(void **state)
{
    struct world *w = *state;

    w->end(w);
    mem_free(w);
    return 0;
}

int contract_run(const char *group, const struct contract *table, int (*setup)(void **state))
{
    struct CMUnitTest tests[TESTS_MAX] = {0};
    size_t n = 0;

    for (; table[n].name != NULL; n++)
        tests[n] = (struct CMUnitTest){.name = table[n].name,
                                       .test_func = table[n].test,
                                       .setup_func = setup,
                                       .teardown_func = world_teardown};
    return _cmocka_run_group_tests(group, tests, n, NULL, NULL);
}
