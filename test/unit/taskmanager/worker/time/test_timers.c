/* Timers against a naive set of them: random additions, cancellations and takings, and the queue made anew from the state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "taskmanager/worker/time/timers.h"

enum { KEYS = 40, MODEL_MAX = 5000 };

struct fixture {
    struct wk_state_budget budget;
    struct wk_state *state;
    struct wk_timers *timers;
    char names[KEYS][64];
};

static void open_timers(struct fixture *f, uint64_t budget)
{
    f->budget = (struct wk_state_budget){.limit_bytes = budget};
    f->state = wk_state_new(&(struct wk_state_options){.decl = wk_timer_states, .budget = &f->budget});
    f->timers = wk_timers_new(f->state, 0, &f->budget);
    for (int i = 0; i < KEYS; i++) /* some stand in the timer itself, some do not fit there */
        snprintf(f->names[i], sizeof(f->names[i]), i % 2 ? "k%d" : "a key that is longer than a timer has room for, %d", i);
}

static void close_timers(struct fixture *f)
{
    wk_timers_free(f->timers);
    wk_state_free(f->state);
    assert_int_equal(f->budget.used_bytes, 0);
}

static rask_str key_at(struct fixture *f, int k)
{
    return (rask_str){f->names[k], (uint32_t)strlen(f->names[k])};
}
static uint64_t hash_at(struct fixture *f, int k)
{
    return hash_xxh3(f->names[k], strlen(f->names[k]));
}

static void add(struct fixture *f, int domain, rask_ts at, int k)
{
    struct err err = {0};

    if (wk_timers_add(f->timers, (enum wk_timer_domain)domain, at, hash_at(f, k), key_at(f, k), &err) != 0)
        fail_msg("%s", err.text);
}

static uint32_t take(struct fixture *f, int domain, rask_ts now, rask_timers *due)
{
    struct err err = {0};

    if (wk_timers_take(f->timers, (enum wk_timer_domain)domain, now, due, &err) != 0)
        fail_msg("%s", err.text);
    return due->count;
}

/* ---- the model ---- */

struct model {
    struct {
        rask_ts at;
        int key;
    } items[2][MODEL_MAX];
    int count[2];
};

static int model_find(const struct model *m, int d, rask_ts at, int k)
{
    for (int i = 0; i < m->count[d]; i++)
        if (m->items[d][i].at == at && m->items[d][i].key == k)
            return i;
    return -1;
}

static void model_remove(struct model *m, int d, int i)
{
    m->items[d][i] = m->items[d][--m->count[d]];
}

static int key_of_due(struct fixture *f, const rask_timers *due, uint32_t i)
{
    for (int k = 0; k < KEYS; k++)
        if (key_at(f, k).len == due->key[i].len && memcmp(f->names[k], due->key[i].data, due->key[i].len) == 0)
            return k;
    fail_msg("a timer of no key");
    return -1;
}

/* Everything that is due comes, once, in order. */
static void take_all(struct fixture *f, struct model *m, int d, rask_ts now)
{
    rask_ts last = RASK_TS_MIN;
    uint64_t last_hash = 0;
    rask_timers due;

    while (take(f, d, now, &due) > 0)
        for (uint32_t i = 0; i < due.count; i++) {
            int at = model_find(m, d, due.at[i], key_of_due(f, &due, i));

            assert_true(at >= 0);
            model_remove(m, d, at);
            assert_true(due.at[i] > last || (due.at[i] == last && due.hash[i] > last_hash));
            assert_true(due.at[i] <= now);
            assert_int_equal(due.event_time, d == WK_TIMER_EVENT);
            last = due.at[i];
            last_hash = due.hash[i];
        }
    for (int i = 0; i < m->count[d]; i++)
        assert_true(m->items[d][i].at > now);
}

static void random_operations_match_the_model(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 30; seed++) {
        struct fixture f;
        struct model *m = MEM_NEW(struct model);
        rask_ts now = -5000;
        unsigned rnd = seed;

        open_timers(&f, 64 << 20);
        for (int step = 0; step < 3000; step++) {
            int what = rand_r(&rnd) % 100, d = rand_r(&rnd) % 2, k = rand_r(&rnd) % KEYS;
            rask_ts at = now + rand_r(&rnd) % 6000 - 500;
            struct err err = {0};

            if (what < 60) {
                add(&f, d, at, k);
                if (model_find(m, d, at, k) < 0 && m->count[d] < MODEL_MAX) {
                    m->items[d][m->count[d]].at = at;
                    m->items[d][m->count[d]++].key = k;
                }
            } else if (what < 85 && m->count[d] > 0) {
                int i = rand_r(&rnd) % m->count[d];

                k = m->items[d][i].key;
                assert_int_equal(wk_timers_cancel(f.timers, (enum wk_timer_domain)d, m->items[d][i].at, hash_at(&f, k), key_at(&f, k), &err),
                                 0);
                model_remove(m, d, i);
            } else if (what < 97) {
                now += rand_r(&rnd) % 400;
                take_all(&f, m, d, now);
                wk_state_settle(f.state, 0);
            } else { /* a restart: the queue comes from the state */
                wk_timers_free(f.timers);
                f.timers = wk_timers_new(f.state, 0, &f.budget);
                assert_int_equal(wk_timers_load(f.timers, &err), 0);
                assert_int_equal(wk_timers_count(f.timers), (uint64_t)(m->count[0] + m->count[1]));
            }
        }
        for (int d = 0; d < 2; d++)
            take_all(&f, m, d, RASK_TS_MAX);
        assert_int_equal(m->count[0] + m->count[1], 0);
        assert_int_equal(wk_state_count(f.state, 0) + wk_state_count(f.state, 1), 0);
        close_timers(&f);
        mem_free(m);
    }
}

static void the_next_time_is_never_later_than_a_timer(void **state)
{
    struct fixture f;
    rask_timers due;

    (void)state;
    open_timers(&f, 64 << 20);
    assert_int_equal(wk_timers_next(f.timers, WK_TIMER_EVENT), RASK_TS_MAX);
    add(&f, WK_TIMER_EVENT, 5000, 1);
    assert_int_equal(wk_timers_next(f.timers, WK_TIMER_EVENT), 5000);
    add(&f, WK_TIMER_EVENT, 4999, 2);
    add(&f, WK_TIMER_EVENT, -1, 3);
    assert_int_equal(wk_timers_next(f.timers, WK_TIMER_EVENT), -1);
    assert_int_equal(take(&f, WK_TIMER_EVENT, 0, &due), 1);
    assert_true(wk_timers_next(f.timers, WK_TIMER_EVENT) <= 4999);
    assert_int_equal(take(&f, WK_TIMER_EVENT, 4998, &due), 0);
    assert_int_equal(wk_timers_next(f.timers, WK_TIMER_EVENT), 4999);
    assert_int_equal(wk_timers_next(f.timers, WK_TIMER_PROCESSING), RASK_TS_MAX);
    close_timers(&f);
}

static void a_timer_set_again_after_its_cancellation_fires_once(void **state)
{
    struct fixture f;
    rask_timers due;
    struct err err = {0};

    (void)state;
    open_timers(&f, 64 << 20);
    for (int i = 0; i < 3; i++) {
        add(&f, WK_TIMER_EVENT, 7, 0);
        add(&f, WK_TIMER_EVENT, 7, 0);
        assert_int_equal(wk_timers_cancel(f.timers, WK_TIMER_EVENT, 7, hash_at(&f, 0), key_at(&f, 0), &err), 0);
    }
    add(&f, WK_TIMER_EVENT, 7, 0);
    assert_int_equal(take(&f, WK_TIMER_EVENT, 7, &due), 1);
    assert_int_equal(take(&f, WK_TIMER_EVENT, 7, &due), 0);
    close_timers(&f);
}

static void over_budget_a_timer_says_what_to_raise(void **state)
{
    struct fixture f;
    struct err err = {0};
    int rc = 0;

    (void)state;
    open_timers(&f, 1 << 20);
    for (int i = 0; i < 1000000 && rc == 0; i++)
        rc = wk_timers_add(f.timers, WK_TIMER_EVENT, i, hash_at(&f, i % KEYS), key_at(&f, i % KEYS), &err);
    assert_int_equal(rc, ERR_LIMIT);
    assert_non_null(strstr(err.text, "taskmanager.memory.managed.fraction"));
    close_timers(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_match_the_model),
        cmocka_unit_test(the_next_time_is_never_later_than_a_timer),
        cmocka_unit_test(a_timer_set_again_after_its_cancellation_fires_once),
        cmocka_unit_test(over_budget_a_timer_says_what_to_raise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
