/* test_warm.c - when the reserve of a budget is filled: while tasks want all cores, until nothing is lacking; and how it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "taskmanager/worker/checkpoint/warm.h"
#include "taskmanager/worker/state/reserve.h"
#include "taskmanager/worker/state/snapshot.h"
#include "taskmanager/worker/task/executor.h"
#include "test/sim/sim.h"
#include "test/unit/taskmanager/worker/checkpoint/node.h"

enum { KEYS = 20000, VALUE_BYTES = 1000, SEED = 1 /* in which the simulator does not fill it where nobody would */ };
static const rask_state declared[] = {{.kind = RASK_VALUE, .name = "text"}, {0}};

struct fixture {
    struct sim *sim;
    struct sim_node *node;
    struct wk_state_budget budget;
    struct wk_executor executor;
    struct wk_warming *warming;
    struct wk_state *s;
    uint64_t used;
};

static uint32_t looks;
static uint32_t never(struct wk_executor *e)
{
    (void)e;
    looks++;
    return 0;
}
static uint32_t sometimes(struct wk_executor *e)
{
    (void)e;
    return looks++ % 3 == 0 ? 2 : 0;
}
static uint32_t mostly(struct wk_executor *e)
{
    (void)e;
    return looks++ % 5 > 0 ? 2 : 0;
}

static void begin(struct fixture *f, const struct wk_executor_ops *ops)
{
    static const char value[VALUE_BYTES];

    *f = (struct fixture){.budget.limit_bytes = 256u << 20, .executor.ops = ops};
    looks = 0;
    f->sim = sim_new(SEED);
    f->node = sim_node_add(f->sim, "w", &node_kind, f);
    sim_boot(f->node);
    f->warming = wk_warming_new(sim_env(f->node), &f->executor, &f->budget);
    wk_warming_expect(f->warming);
    f->s = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &f->budget, .parallelism = 1, .max_parallelism = 128});
    for (uint32_t i = 0; i < KEYS; i++)
        assert_int_equal(wk_state_write(f->s, 0, hash_xxh3(&i, 4), (rask_str){(const char *)&i, 4}, value, sizeof(value), NULL), 0);
    f->used = f->budget.used_bytes;
}

static void end(struct fixture *f)
{
    bool good;

    wk_state_free(f->s);
    wk_warming_free(f->warming);
    assert_null(f->budget.reserve);
    assert_int_equal(f->budget.used_bytes, 0);
    sim_run_for(f->sim, SIM_S);
    good = sim_free(f->sim);
    assert_true(good);
}

static void it_is_filled_while_tasks_want_all_cores(void **state)
{
    static const struct wk_executor_ops ops = {.busy = mostly};
    struct fixture f;
    uint32_t before;

    (void)state;
    begin(&f, &ops);
    sim_run_for(f.sim, 20 * (uint64_t)SIM_S);
    assert_int_equal(wk_reserve_missing(f.budget.reserve), 0);
    assert_true(f.budget.used_bytes > f.used * 3 / 2);
    before = looks;
    sim_run_for(f.sim, 60 * (uint64_t)SIM_S);
    assert_int_equal(looks, before); /* nothing ticks where nothing is lacking */
    end(&f);
}

static void tasks_that_leave_a_core_free_get_none(void **state)
{
    static const struct wk_executor_ops ops[] = {{.busy = never}, {.busy = sometimes}, {.busy = NULL}};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fixture f;

        begin(&f, &ops[i]);
        sim_run_for(f.sim, 60 * (uint64_t)SIM_S);
        assert_true(wk_reserve_missing(f.budget.reserve) > 0);
        assert_int_equal(f.budget.used_bytes, f.used);
        end(&f);
    }
}

static void nothing_comes_while_a_snapshot_is_read(void **state)
{
    static const struct wk_executor_ops ops = {.busy = mostly};
    struct wk_snapshot *snap;
    struct fixture f;

    (void)state;
    begin(&f, &ops);
    snap = wk_state_freeze(f.s, 1, WK_SNAPSHOT_FULL);
    sim_run_for(f.sim, 20 * (uint64_t)SIM_S);
    assert_true(wk_reserve_missing(f.budget.reserve) > 0);
    assert_int_equal(f.budget.used_bytes, f.used);
    wk_snapshot_free(snap);
    wk_state_settle(f.s, 0);
    sim_run_for(f.sim, 20 * (uint64_t)SIM_S);
    assert_int_equal(wk_reserve_missing(f.budget.reserve), 0);
    assert_true(f.budget.used_bytes > f.used);
    end(&f);
}

/* At any moment, so also while a thread of the pool is at it. */
static void it_ends_with_the_worker(void **state)
{
    static const struct wk_executor_ops ops = {.busy = mostly};

    (void)state;
    for (uint64_t ms = 1000; ms < 1200; ms += 4) {
        struct fixture f;

        begin(&f, &ops);
        sim_run_for(f.sim, ms * SIM_MS);
        end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_filled_while_tasks_want_all_cores),
        cmocka_unit_test(tasks_that_leave_a_core_free_get_none),
        cmocka_unit_test(nothing_comes_while_a_snapshot_is_read),
        cmocka_unit_test(it_ends_with_the_worker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
