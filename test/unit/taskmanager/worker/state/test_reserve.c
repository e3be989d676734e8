/*
 * test_reserve.c - memory for what is written down during a snapshot, had before it: as much as is lacking, within the budget,
 * given up for state, and gone at the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/ckpt/ckpt_entry.h"
#include "common/ckpt/ckpt_meta.h"
#include "taskmanager/worker/state/reserve.h"
#include "taskmanager/worker/state/snapshot.h"
#include "taskmanager/worker/time/timers.h"

enum { VALUE_BYTES = 1000, KEYS = 20000, ROUNDS = 200 };
#define MIB (UINT64_C(1) << 20)

static const rask_state declared[] = {{.kind = RASK_VALUE, .name = "text"}, {0}};

struct fixture {
    struct wk_state_budget budget;
    struct wk_reserve *reserve;
    struct wk_state *s;
    uint32_t woken; /* atomic */
    uint64_t checkpoint;
};

static void wake(void *arg)
{
    __atomic_add_fetch(&((struct fixture *)arg)->woken, 1, __ATOMIC_RELAXED);
}

static void begin(struct fixture *f, uint64_t limit, bool expected)
{
    memset(f, 0, sizeof(*f));
    f->budget.limit_bytes = limit;
    f->reserve = wk_reserve_new(&f->budget, wake, f);
    if (expected)
        wk_reserve_expect(f->reserve);
    f->s = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &f->budget, .max_parallelism = 8, .parallelism = 1});
}

static void end(struct fixture *f)
{
    wk_state_free(f->s);
    assert_true(wk_reserve_missing(f->reserve) <= 0);
    wk_reserve_close(f->reserve);
    assert_int_equal(f->budget.used_bytes, 0);
    assert_null(f->budget.reserve);
    assert_false(wk_reserve_grow(f->reserve));
    wk_reserve_free(f->reserve);
}

/* How many of the keys from..to could be written. */
static uint32_t change(struct fixture *f, uint32_t from, uint32_t to, char with)
{
    char value[VALUE_BYTES];
    struct err err;

    memset(value, with, sizeof(value));
    for (uint32_t i = from; i < to; i++) {
        rask_str key = {(const char *)&i, 4};

        if (wk_state_write(f->s, 0, hash_xxh3(key.data, key.len), key, value, sizeof(value), &err) != 0)
            return i - from;
        if (i % 64 == 0)
            wk_state_settle(f->s, 0);
    }
    return to - from;
}

/* Chunks that came. */
static uint32_t fill(struct fixture *f)
{
    uint32_t chunks = 0;

    while (wk_reserve_missing(f->reserve) > 0 && wk_reserve_grow(f->reserve))
        chunks++;
    return chunks;
}

static void read_out(struct wk_snapshot *snap)
{
    struct ckpt_section section;
    struct bytes payload;

    bytes_init(&payload);
    while (wk_snapshot_next(snap, &section, &payload))
        ;
    bytes_release(&payload);
    wk_snapshot_free(snap);
}

/* All of the state is changed before it is read. Bytes that the budget had to give for it. */
static uint64_t take_image(struct fixture *f, bool changed)
{
    struct wk_snapshot *snap = wk_state_freeze(f->s, ++f->checkpoint, WK_SNAPSHOT_FULL);
    uint64_t before = f->budget.used_bytes;

    if (changed)
        assert_int_equal(change(f, 0, KEYS, 'c'), KEYS);
    before = f->budget.used_bytes - before;
    read_out(snap);
    wk_state_settle(f->s, 0);
    wk_state_completed(f->s, f->checkpoint);
    for (int i = 0; i < 100; i++) /* what was written down is freed step by step */
        wk_state_settle(f->s, 0);
    return before;
}

static void as_much_again_is_had_before_the_first_snapshot(void **state)
{
    struct fixture f;
    uint64_t used;

    (void)state;
    begin(&f, 256 * MIB, true);
    assert_int_equal(change(&f, 0, KEYS, 'a'), KEYS);
    assert_true(f.woken > 0);
    used = f.budget.used_bytes;
    assert_in_range(wk_reserve_missing(f.reserve), used / 2, used);
    assert_in_range(fill(&f) * 2 * MIB, used / 2, used);
    assert_true(f.budget.used_bytes > used * 3 / 2); /* charged */
    assert_true(take_image(&f, true) < 3 * MIB);     /* small ones are not from chunks */
    assert_int_equal(wk_reserve_missing(f.reserve), 0);
    assert_true(take_image(&f, true) < 3 * MIB);
    end(&f);
}

static void nothing_is_had_where_no_checkpoint_is_taken(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, 256 * MIB, false);
    assert_int_equal(change(&f, 0, KEYS, 'a'), KEYS);
    assert_int_equal(wk_reserve_missing(f.reserve), 0);
    (void)take_image(&f, true); /* one has been taken: the next may find a larger state */
    assert_int_equal(change(&f, KEYS, 3 * KEYS, 'a'), 2 * KEYS);
    assert_true(wk_reserve_missing(f.reserve) > 0);
    end(&f);
}

static void what_snapshots_do_not_need_goes_back(void **state)
{
    struct fixture f;
    uint64_t used;

    (void)state;
    begin(&f, 256 * MIB, true);
    assert_int_equal(change(&f, 0, KEYS, 'a'), KEYS);
    used = f.budget.used_bytes;
    assert_true(fill(&f) > 4);
    (void)take_image(&f, false);
    assert_true(wk_reserve_missing(f.reserve) < 0);
    while (wk_reserve_missing(f.reserve) < 0)
        assert_true(wk_reserve_shrink(f.reserve));
    assert_true(f.budget.used_bytes <= used + 2 * MIB);
    end(&f);
}

static void an_eighth_of_the_budget_stays_free_of_it(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, 32 * MIB, true);
    assert_int_equal(change(&f, 0, KEYS, 'a'), KEYS);
    (void)fill(&f);
    assert_true(wk_reserve_missing(f.reserve) > 0); /* 20 MiB and again as much are too many */
    assert_in_range(f.budget.used_bytes, 24 * MIB, 28 * MIB);
    assert_int_equal(change(&f, 0, KEYS, 'b'), KEYS);
    end(&f);
}

/* So a state can have as many keys as without. */
static void it_is_given_up_for_state(void **state)
{
    struct fixture f;
    uint32_t without, with;

    (void)state;
    begin(&f, 64 * MIB, false);
    without = change(&f, 0, 100000, 'a');
    end(&f);
    begin(&f, 64 * MIB, true);
    with = change(&f, 0, KEYS, 'a');
    assert_true(fill(&f) > 4);
    with += change(&f, KEYS, 100000, 'a');
    assert_false(wk_reserve_shrink(f.reserve));
    assert_in_range(with, without - without / 50, without + without / 50);
    end(&f);
}

static void it_is_given_up_for_timers(void **state)
{
    struct wk_state *marks;
    struct wk_timers *timers;
    struct fixture f;
    struct err err;
    uint32_t set = 0;

    (void)state;
    begin(&f, 48 * MIB, true);
    assert_int_equal(change(&f, 0, KEYS, 'a'), KEYS);
    assert_true(fill(&f) > 4);
    f.budget.limit_bytes = f.budget.used_bytes;
    marks = wk_state_new(&(struct wk_state_options){.decl = wk_timer_states, .budget = &f.budget});
    timers = wk_timers_new(marks, 0, &f.budget);
    for (; set < 100000; set++) {
        rask_str key = {(const char *)&set, 4};

        if (wk_timers_add(timers, WK_TIMER_EVENT, set, hash_xxh3(&set, 4), key, &err) != 0)
            break;
    }
    assert_int_equal(set, 100000);
    wk_timers_free(timers);
    wk_state_free(marks);
    end(&f);
}

static void *grow_and_shrink(void *arg)
{
    struct fixture *f = arg;

    for (int i = 0; i < ROUNDS; i++)
        if (wk_reserve_missing(f->reserve) > 0)
            (void)wk_reserve_grow(f->reserve);
        else
            (void)wk_reserve_shrink(f->reserve);
    return NULL;
}

static void another_thread_gets_it_while_the_state_goes_on(void **state)
{
    struct fixture f;
    pthread_t thread;

    (void)state;
    begin(&f, 128 * MIB, true);
    assert_int_equal(pthread_create(&thread, NULL, grow_and_shrink, &f), 0);
    assert_int_equal(change(&f, 0, KEYS, 'a'), KEYS);
    for (int i = 0; i < 3; i++)
        (void)take_image(&f, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    end(&f);
}

/* All keys are in it, with values of before it was taken. */
static void expect_image(struct wk_snapshot *snap)
{
    struct ckpt_section section;
    struct ckpt_entry e;
    struct bytes payload;
    uint32_t keys = 0;

    bytes_init(&payload);
    while (wk_snapshot_next(snap, &section, &payload))
        for (struct reader in = reader_of(payload.data, payload.len); in.at < in.end; keys++) {
            assert_int_equal(ckpt_entry_take(&in, &e, "here", NULL), 0);
            assert_int_equal(e.value_len, VALUE_BYTES);
            assert_int_equal(e.value[0], 'a');
        }
    assert_int_equal(keys, KEYS);
    bytes_release(&payload);
    wk_snapshot_free(snap);
}

static uint64_t used_by(const struct fixture *f)
{
    struct wk_state_size size;

    wk_state_size(f->s, &size);
    return size.used_bytes;
}

/* Bytes that a snapshot took while half of the keys were changed, and then the other half. */
static void change_halves(struct fixture *f, uint64_t took[2])
{
    struct wk_snapshot *snap = wk_state_freeze(f->s, ++f->checkpoint, WK_SNAPSHOT_FULL);

    for (uint32_t half = 0; half < 2; half++) {
        uint64_t used = used_by(f);

        assert_int_equal(change(f, half * KEYS / 2, (half + 1) * KEYS / 2, 'b'), KEYS / 2);
        took[half] = used_by(f) - used;
    }
    expect_image(snap);
    wk_state_settle(f->s, 0);
}

/* A page has as many of these keys as are written down for it: when half of them have been, most of the rest is, too. */
static void tasks_read_ahead_with_it(void **state)
{
    struct fixture f;
    uint64_t used, took[2];

    (void)state;
    begin(&f, 256 * MIB, true);
    assert_int_equal(change(&f, 0, KEYS, 'a'), KEYS);
    used = used_by(&f);
    assert_true(fill(&f) > 4);
    change_halves(&f, took);
    assert_in_range(took[0], used * 3 / 4, used * 5 / 4);
    assert_true(took[1] < used / 4);
    end(&f);
}

/* What nobody has changed stands in its page as before, and is in the image once. */
static void the_reader_leaves_out_what_was_read_ahead(void **state)
{
    struct wk_snapshot *snap;
    struct fixture f;

    (void)state;
    begin(&f, 256 * MIB, true);
    assert_int_equal(change(&f, 0, KEYS, 'a'), KEYS);
    assert_true(fill(&f) > 4);
    snap = wk_state_freeze(f.s, ++f.checkpoint, WK_SNAPSHOT_FULL);
    assert_int_equal(change(&f, 0, KEYS / 4, 'b'), KEYS / 4);
    expect_image(snap);
    wk_state_settle(f.s, 0);
    end(&f);
}

static void nobody_reads_ahead_where_memory_is_scarce(void **state)
{
    struct fixture f;
    uint64_t used, took[2];

    (void)state;
    begin(&f, 256 * MIB, true); /* none is at hand */
    assert_int_equal(change(&f, 0, KEYS, 'a'), KEYS);
    used = used_by(&f);
    change_halves(&f, took);
    assert_in_range(took[0], used * 3 / 8, used * 5 / 8);
    assert_in_range(took[1], used * 3 / 8, used * 5 / 8);
    end(&f);

    begin(&f, 256 * MIB, true); /* state may need it */
    assert_int_equal(change(&f, 0, KEYS, 'a'), KEYS);
    assert_true(fill(&f) > 4);
    f.budget.limit_bytes = f.budget.used_bytes + 2 * MIB;
    change_halves(&f, took);
    assert_in_range(took[0], used * 3 / 8, used * 5 / 8);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_much_again_is_had_before_the_first_snapshot),
        cmocka_unit_test(nothing_is_had_where_no_checkpoint_is_taken),
        cmocka_unit_test(what_snapshots_do_not_need_goes_back),
        cmocka_unit_test(an_eighth_of_the_budget_stays_free_of_it),
        cmocka_unit_test(it_is_given_up_for_state),
        cmocka_unit_test(it_is_given_up_for_timers),
        cmocka_unit_test(tasks_read_ahead_with_it),
        cmocka_unit_test(the_reader_leaves_out_what_was_read_ahead),
        cmocka_unit_test(nobody_reads_ahead_where_memory_is_scarce),
        cmocka_unit_test(another_thread_gets_it_while_the_state_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
