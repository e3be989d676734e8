/*
 * test_ttl.c - state with a time to live: each kind that has a key, each setting, in memory and on disk, before and after a
 * restore into one and into two subtasks.  What cleaning leaves on disk is test_sweep.c's business.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/ckpt/ckpt_file.h"
#include "taskmanager/worker/state/snapshot.h"
#include "taskmanager/worker/store/store.h"

enum { VALUE, SUM, LIST, MAP, KINDS, TTL_MS = 1000, SUBTASKS_MAX = 2, SECTIONS_MAX = 64 };

struct setting {
    bool on_disk, on_read, shows;
};
struct world {
    char dir[40];
    struct wk_stores *stores;
    struct wk_state_budget budget;
    rask_state decl[KINDS + 1];
    struct wk_state *s[SUBTASKS_MAX];
    uint32_t parallelism;
    bool on_disk;
};

static void open_states(struct world *w, uint32_t parallelism, bool on_disk, struct wk_state *ret[SUBTASKS_MAX])
{
    for (uint32_t i = 0; i < parallelism; i++)
        ret[i] = wk_state_new(&(struct wk_state_options){.decl = w->decl, .budget = &w->budget, .stores = w->stores,
                                                         .on_disk = on_disk, .subtask = i, .parallelism = parallelism,
                                                         .max_parallelism = 2, .name = "op"});
}

static void begin(struct world *w, const struct setting *set, int64_t ttl_ms)
{
    static const enum rask_state_kind kinds[] = {RASK_VALUE, RASK_AGGREGATING, RASK_LIST, RASK_MAP};
    static const char *const names[] = {"value", "sum", "list", "map"};

    memset(w, 0, sizeof(*w));
    for (int i = 0; i < KINDS; i++)
        w->decl[i] = (rask_state){.kind = kinds[i], .name = names[i], .ttl_ms = ttl_ms, .ttl_on_read = set->on_read,
                                  .ttl_show_expired = set->shows};
    snprintf(w->dir, sizeof(w->dir), "%s", "/dev/shm/rask-test-ttl.XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    w->stores = wk_stores_leveldb_new(w->dir);
    w->budget.limit_bytes = 4u << 20;
    w->parallelism = 1;
    w->on_disk = set->on_disk;
    open_states(w, 1, w->on_disk, w->s);
}

static void end(struct world *w)
{
    for (uint32_t i = 0; i < w->parallelism; i++) {
        assert_int_equal(wk_state_failed(w->s[i], NULL), 0);
        wk_state_free(w->s[i]);
    }
    assert_int_equal(w->budget.used_bytes, 0);
    wk_stores_leveldb_free(w->stores);
    assert_int_equal(rmdir(w->dir), 0);
}

static void time_is(struct world *w, int64_t now_ms)
{
    for (uint32_t i = 0; i < w->parallelism; i++)
        wk_state_settle(w->s[i], now_ms);
}

static struct wk_state *of_key(struct world *w, uint64_t n, uint64_t *ret_hash)
{
    *ret_hash = hash_xxh3(&n, sizeof(n));
    return w->s[key_group_subtask(key_group_of(*ret_hash, 2), 2, w->parallelism)];
}

/* Large enough that lists and maps have several parts. */
static const char filler[300] = "filler";
enum { ELEMENTS = 20 };

static void change(struct world *w, int kind, uint64_t n)
{
    rask_str key = {(const char *)&n, sizeof(n)};
    uint64_t hash;
    struct wk_state *s = of_key(w, n, &hash);
    rask_bytes data = {filler, sizeof(filler)};
    int64_t *sum;
    int rc = 0;

    if (kind == VALUE)
        rc = wk_state_write(s, VALUE, hash, key, filler, sizeof(filler), NULL);
    if (kind == SUM) {
        sum = wk_state_get(s, SUM, hash, key, 8, true, NULL, NULL);
        assert_non_null(sum);
        *sum += ELEMENTS;
    }
    for (uint32_t i = 0; i < ELEMENTS && rc == 0 && kind >= LIST; i++)
        rc = kind == LIST ? wk_list_add(s, LIST, hash, key, data, NULL)
                          : wk_map_put(s, MAP, hash, key, (rask_bytes){(const char *)&i, 4}, data, NULL);
    assert_int_equal(rc, 0);
}

/* How much of it a reader sees: ELEMENTS, or none. at: maps by their keys, too; else by a cursor. */
static uint32_t seen(struct world *w, int kind, uint64_t n, bool at)
{
    rask_str key = {(const char *)&n, sizeof(n)};
    uint64_t hash;
    struct wk_state *s = of_key(w, n, &hash);
    struct wk_cursor c;
    uint32_t count = 0;
    const int64_t *sum;
    rask_bytes value;
    size_t len;

    if (kind == VALUE)
        return wk_state_read(s, VALUE, hash, key, &len) ? ELEMENTS : 0;
    if (kind == SUM) {
        sum = wk_state_get(s, SUM, hash, key, 8, false, NULL, NULL);
        return sum ? (uint32_t)*sum : 0;
    }
    for (uint32_t i = 0; i < ELEMENTS && kind == MAP && at; i++)
        if (wk_map_get(s, MAP, hash, key, (rask_bytes){(const char *)&i, 4}, &value)) {
            assert_memory_equal(value.data, filler, sizeof(filler));
            count++;
        }
    if (kind == MAP && at)
        return count;
    for (wk_cursor_begin(&c, s, kind, hash, key); wk_cursor_next(&c); count++)
        assert_memory_equal(c.value.data, filler, sizeof(filler));
    return count;
}

/* A savepoint, and states of another parallelism and perhaps backend from it. */
static void restore(struct world *w, uint32_t parallelism, bool on_disk)
{
    struct ckpt_section section[SECTIONS_MAX];
    struct bytes payload[SECTIONS_MAX];
    struct wk_state *fresh[SUBTASKS_MAX];
    struct ckpt_operator op;
    struct wk_place place;
    uint32_t count = 0;
    bool last;

    wk_state_describe(w->s[0], &op);
    for (uint32_t i = 0; i < w->parallelism; i++) {
        struct wk_snapshot *snap = wk_state_freeze(w->s[i], 1, WK_SNAPSHOT_SAVEPOINT);
        int rc = 1;

        while (rc > 0) {
            assert_true(count < SECTIONS_MAX);
            bytes_init(&payload[count]);
            rc = wk_snapshot_next(snap, &section[count], &payload[count]);
            if (rc == 0)
                rc = wk_snapshot_next_stored(snap, &section[count], &payload[count], &place, &last, NULL);
            assert_true(rc == 0 || rc == 1);
            if (rc > 0)
                count++;
            else
                bytes_release(&payload[count]);
        }
        wk_snapshot_free(snap);
    }
    open_states(w, parallelism, on_disk, fresh);
    for (uint32_t i = 0; i < parallelism; i++) {
        assert_int_equal(wk_state_restore_begin(fresh[i], NULL, &op, false, NULL), 0);
        for (uint32_t k = 0; k < count; k++)
            assert_int_equal(wk_state_restore(fresh[i], &section[k], payload[k].data, payload[k].len, NULL), 0);
        wk_state_restore_end(fresh[i], 0);
    }
    for (uint32_t k = 0; k < count; k++)
        bytes_release(&payload[k]);
    for (uint32_t i = 0; i < w->parallelism; i++)
        wk_state_free(w->s[i]);
    memcpy(w->s, fresh, sizeof(fresh));
    w->parallelism = parallelism;
}

enum { WRITTEN = 10, OTHERS = 4 }; /* keys; and those that keep pages young */

/* Written at 10,000, looked at at 10,600, restored perhaps, and looked at when the time since the first, then the second is over. */
static void a_life(const struct setting *set, int kind, bool at, uint32_t restored)
{
    struct world w;

    begin(&w, set, TTL_MS);
    time_is(&w, 10000);
    for (uint64_t n = 0; n < WRITTEN; n++)
        change(&w, kind, n);
    time_is(&w, 10600);
    for (uint64_t n = 0; n < WRITTEN; n++)
        assert_int_equal(seen(&w, kind, n, at), ELEMENTS);
    for (uint64_t n = WRITTEN; n < WRITTEN + OTHERS; n++)
        change(&w, kind, n);
    if (restored > 0)
        restore(&w, restored, (restored > 1) != set->on_disk);
    time_is(&w, 10999);
    if (!set->on_read) /* another look would prolong it */
        for (uint64_t n = 0; n < WRITTEN; n++)
            if (seen(&w, kind, n, at) != ELEMENTS)
                fail_msg("kind %d, on disk %d, shows %d, restored %u: lost before its time", kind, set->on_disk, set->shows, restored);
    time_is(&w, 11000);
    for (uint64_t n = 0; n < WRITTEN; n++) {
        uint32_t now = seen(&w, kind, n, at);

        if (set->on_read ? now != ELEMENTS : set->shows ? now > ELEMENTS : now != 0)
            fail_msg("kind %d, on disk %d, on read %d, shows %d, restored %u: %u are seen", kind, set->on_disk, set->on_read,
                     set->shows, restored, now);
    }
    time_is(&w, 13000);
    for (uint64_t n = 0; n < WRITTEN && !set->shows; n++)
        assert_int_equal(seen(&w, kind, n, at), 0);
    for (uint64_t n = 0; n < WRITTEN && !set->shows; n++) { /* it begins anew */
        change(&w, kind, n);
        assert_int_equal(seen(&w, kind, n, at), ELEMENTS);
    }
    end(&w);
}

static void each_kind_and_setting(void **state)
{
    (void)state;
    for (int all = 0; all < 8; all++)
        for (int kind = 0; kind < KINDS; kind++)
            for (uint32_t restored = 0; restored <= SUBTASKS_MAX; restored++) {
                struct setting set = {all & 1, all & 2, all & 4};

                a_life(&set, kind, false, restored);
                if (kind == MAP)
                    a_life(&set, kind, true, restored);
            }
}

/* What is shown although it has expired is not made young by a look at it. */
static void a_look_revives_nothing(void **state)
{
    struct setting set = {false, true, true};
    rask_str key = {"key", 3};
    uint64_t hash = hash_xxh3("key", 3);
    rask_bytes old = {"old", 3}, young = {"young", 5}, value;

    (void)state;
    for (int at = 0; at < 2; at++) {
        struct world w;
        struct wk_cursor c;

        begin(&w, &set, TTL_MS);
        time_is(&w, 10000);
        assert_int_equal(wk_map_put(w.s[0], MAP, hash, key, old, old, NULL), 0);
        time_is(&w, 10900);
        assert_int_equal(wk_map_put(w.s[0], MAP, hash, key, young, young, NULL), 0);
        time_is(&w, 11500);
        if (at)
            assert_true(wk_map_get(w.s[0], MAP, hash, key, old, &value));
        for (wk_cursor_begin(&c, w.s[0], MAP, hash, key); !at && wk_cursor_next(&c);)
            assert_true(c.at.len == 3 || c.at.len == 5);
        w.decl[MAP].ttl_show_expired = false;
        restore(&w, 1, false);
        time_is(&w, 11950);
        assert_false(wk_map_get(w.s[0], MAP, hash, key, old, &value));
        assert_int_equal(wk_map_get(w.s[0], MAP, hash, key, young, &value), !at); /* the cursor's look prolonged it */
        end(&w);
    }
}

/* In place, too, what is shown goes on where it was. */
static void what_is_shown_is_changed_in_place(void **state)
{
    struct setting set = {false, false, true};
    struct world w;

    (void)state;
    begin(&w, &set, TTL_MS);
    time_is(&w, 10000);
    change(&w, SUM, 1);
    change(&w, SUM, 2);
    time_is(&w, 10900);
    for (uint64_t n = 10; n < 30; n++)
        change(&w, SUM, n); /* pages stay */
    time_is(&w, 11100);
    if (seen(&w, SUM, 1, false) == ELEMENTS) {
        change(&w, SUM, 1);
        assert_int_equal(seen(&w, SUM, 1, false), 2 * ELEMENTS);
    }
    end(&w);
}

static void for_ever_is_for_ever(void **state)
{
    struct setting set = {false, true, false};

    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct world w;

        begin(&w, &set, INT64_MAX);
        time_is(&w, 1800000000000);
        change(&w, kind, 1);
        restore(&w, 2, true);
        time_is(&w, 1900000000000);
        assert_int_equal(seen(&w, kind, 1, true), ELEMENTS);
        end(&w);
    }
}

/* What is kept with times cannot be read without them: the state gets them or loses them with a name of its own. */
static void it_may_be_changed_and_not_switched(void **state)
{
    static const struct {
        int64_t before, now;
        const char *text;
    } cases[] = {{1000, 5000, NULL},
                 {0, 0, NULL},
                 {0, 1000, "state \"list\" has no time to live in the checkpoint, and one in the job"},
                 {1000, 0, "state \"list\" has a time to live in the checkpoint, and none in the job"}};

    (void)state;
    for (int i = 0; i < 4; i++) {
        rask_state before[] = {{.kind = RASK_LIST, .name = "list", .ttl_ms = cases[i].before}, {0}};
        rask_state now[] = {{.kind = RASK_LIST, .name = "list", .ttl_ms = cases[i].now}, {0}};
        struct wk_state_budget budget = {.limit_bytes = 1u << 20};
        struct wk_state *a = wk_state_new(&(struct wk_state_options){.decl = before, .budget = &budget, .name = "op"});
        struct wk_state *b = wk_state_new(&(struct wk_state_options){.decl = now, .budget = &budget, .name = "op"});
        struct ckpt_operator op;
        struct err err = {0};

        wk_state_describe(a, &op);
        if (cases[i].text) {
            assert_int_equal(wk_state_restore_begin(b, NULL, &op, true, &err), ERR_INVALID);
            assert_non_null(strstr(err.text, cases[i].text));
        } else {
            assert_int_equal(wk_state_restore_begin(b, NULL, &op, true, &err), 0);
        }
        wk_state_free(a);
        wk_state_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_and_setting),
        cmocka_unit_test(a_look_revives_nothing),
        cmocka_unit_test(what_is_shown_is_changed_in_place),
        cmocka_unit_test(for_ever_is_for_ever),
        cmocka_unit_test(it_may_be_changed_and_not_switched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
