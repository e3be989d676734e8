/* test_operator_state.c - split lists, union lists and broadcast maps, restored at the same, a smaller and a greater parallelism. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/ckpt/ckpt_file.h"
#include "taskmanager/worker/state/snapshot.h"

enum { SPLIT, UNION, RULES, SUBTASKS_MAX = 4, VALUES = 32 };
static const rask_state declared[] = {{.kind = RASK_OPERATOR_LIST, .name = "split"},
                                      {.kind = RASK_OPERATOR_UNION, .name = "union"},
                                      {.kind = RASK_BROADCAST, .name = "rules"},
                                      {0}};

struct world {
    struct wk_state_budget budget;
    struct wk_state *s[SUBTASKS_MAX];
    uint32_t parallelism;
};

static void open_states(struct world *w, uint32_t parallelism)
{
    w->parallelism = parallelism;
    for (uint32_t i = 0; i < parallelism; i++)
        w->s[i] = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &w->budget, .subtask = i,
                                                          .parallelism = parallelism, .max_parallelism = 8, .name = "op"});
}

static void close_states(struct world *w)
{
    for (uint32_t i = 0; i < w->parallelism; i++)
        wk_state_free(w->s[i]);
    assert_int_equal(w->budget.used_bytes, 0);
}

/* Sections of all subtasks in their order, fed as a worker feeds them: of broadcast maps the first one's. */
static void restored(struct world *from, struct world *to, uint32_t parallelism)
{
    struct ckpt_section section;
    struct ckpt_operator op;
    struct bytes payload;

    *to = (struct world){.budget.limit_bytes = 1u << 20};
    open_states(to, parallelism);
    wk_state_describe(from->s[0], &op);
    for (uint32_t i = 0; i < parallelism; i++)
        assert_int_equal(wk_state_restore_begin(to->s[i], NULL, &op, false, NULL), 0);
    bytes_init(&payload);
    for (uint32_t i = 0; i < from->parallelism; i++) {
        struct wk_snapshot *snap = wk_state_freeze(from->s[i], 1, WK_SNAPSHOT_FULL);

        while (wk_snapshot_next(snap, &section, &payload))
            for (uint32_t k = 0; k < parallelism; k++)
                if (section.kind != CKPT_BROADCAST || i == 0)
                    assert_int_equal(wk_state_restore(to->s[k], &section, payload.data, payload.len, NULL), 0);
        wk_snapshot_free(snap);
        wk_state_completed(from->s[i], 1);
    }
    bytes_release(&payload);
    for (uint32_t i = 0; i < parallelism; i++)
        wk_state_restore_end(to->s[i], 0);
}

/* Counts each value of a list; how many there are. */
static uint32_t count(const struct wk_state *s, int state, uint32_t seen[VALUES])
{
    uint32_t n = wk_state_list_count(s, state);

    for (uint32_t k = 0; k < n; k++)
        seen[*(const uint8_t *)wk_state_list_get(s, state, k).data]++;
    return n;
}

static void check(struct world *w, uint32_t writers)
{
    uint32_t values = 3 * writers, of_all[VALUES] = {0};

    for (uint32_t i = 0; i < w->parallelism; i++) {
        uint32_t of_union[VALUES] = {0}, n = count(w->s[i], SPLIT, of_all);
        rask_bytes rule;

        assert_true(n >= values / w->parallelism && n <= values / w->parallelism + 1);
        assert_int_equal(count(w->s[i], UNION, of_union), values);
        for (uint32_t v = 0; v < values; v++)
            assert_int_equal(of_union[v], 1);
        assert_int_equal(wk_state_broadcast_count(w->s[i], RULES), 1);
        assert_true(wk_state_broadcast_get(w->s[i], RULES, (rask_bytes){"rule", 4}, &rule));
        assert_memory_equal(rule.data, "holds", 5);
    }
    for (uint32_t v = 0; v < values; v++)
        assert_int_equal(of_all[v], 1);
}

static void each_gets_its_part_or_all(void **state)
{
    (void)state;
    for (uint32_t before = 1; before <= SUBTASKS_MAX; before++)
        for (uint32_t now = 1; now <= SUBTASKS_MAX; now++) {
            struct world from = {.budget.limit_bytes = 1u << 20}, to;

            open_states(&from, before);
            for (uint32_t i = 0; i < before; i++) {
                for (uint8_t v = (uint8_t)(3 * i); v < 3 * (i + 1); v++) {
                    assert_int_equal(wk_state_list_add(from.s[i], SPLIT, &v, 1, NULL), 0);
                    assert_int_equal(wk_state_list_add(from.s[i], UNION, &v, 1, NULL), 0);
                }
                assert_int_equal(wk_state_broadcast_put(from.s[i], RULES, (rask_bytes){"rule", 4}, (rask_bytes){"holds", 5}, NULL), 0);
            }
            restored(&from, &to, now);
            check(&to, before);
            close_states(&from);
            close_states(&to);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_gets_its_part_or_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
