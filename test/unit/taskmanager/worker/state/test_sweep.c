/* test_sweep.c - state on disk with a time to live: what has expired leaves the disk though its keys do not come again. */
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
#include "taskmanager/worker/state/snapshot.h"
#include "taskmanager/worker/store/store.h"

enum { VALUE, LIST, MAP, TTL_MS = 1000, KEYS = 3000 };
static const rask_state declared[] = {{.kind = RASK_VALUE, .name = "value", .ttl_ms = TTL_MS},
                                      {.kind = RASK_LIST, .name = "list", .ttl_ms = TTL_MS},
                                      {.kind = RASK_MAP, .name = "map", .ttl_ms = TTL_MS},
                                      {0}};

struct fixture {
    char dir[40];
    struct wk_stores *stores;
    struct wk_state_budget budget;
    struct wk_state *s;
    uint64_t checkpoint;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    snprintf(f->dir, sizeof(f->dir), "%s", "/dev/shm/rask-test-sweep.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->stores = wk_stores_leveldb_new(f->dir);
    f->budget.limit_bytes = 2u << 20;
    f->s = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &f->budget, .stores = f->stores, .on_disk = true,
                                                   .parallelism = 1, .max_parallelism = 16});
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    wk_state_free(f->s);
    assert_int_equal(f->budget.used_bytes, 0);
    wk_stores_leveldb_free(f->stores);
    assert_int_equal(rmdir(f->dir), 0);
    free(f);
    return 0;
}

/* A key's value, list or map, as its number says: large, so that most leaves memory. */
static void change(struct fixture *f, uint64_t n)
{
    static const char data[300];
    rask_str key = {(const char *)&n, sizeof(n)};
    uint64_t hash = hash_xxh3(&n, sizeof(n));
    int rc = 0;

    if (n % 3 == VALUE)
        rc = wk_state_write(f->s, VALUE, hash, key, data, sizeof(data), NULL);
    else if (n % 3 == LIST)
        for (uint32_t i = 0; i < 1 + n % 20 && rc == 0; i++)
            rc = wk_list_add(f->s, LIST, hash, key, (rask_bytes){data, 300}, NULL);
    else
        for (uint32_t i = 0; i < 1 + n % 20 && rc == 0; i++)
            rc = wk_map_put(f->s, MAP, hash, key, (rask_bytes){(const char *)&i, 4}, (rask_bytes){data, 100}, NULL);
    assert_int_equal(rc, 0);
}

static void change_range(struct fixture *f, uint64_t from, uint64_t to, int64_t now_ms)
{
    wk_state_settle(f->s, now_ms);
    for (uint64_t n = from; n < to; n++) {
        change(f, n);
        if (n % 16 == 0)
            wk_state_settle(f->s, now_ms);
    }
}

/* A checkpoint or savepoint that completes. Rows of its images. */
static uint64_t snapshot(struct fixture *f, enum wk_snapshot_kind kind)
{
    struct wk_snapshot *snap = wk_state_freeze(f->s, ++f->checkpoint, kind);
    struct ckpt_section section;
    struct wk_place place;
    struct bytes payload;
    uint64_t rows = 0;
    bool last;
    int rc;

    bytes_init(&payload);
    while (wk_snapshot_next(snap, &section, &payload))
        rows += section.rows;
    while ((rc = wk_snapshot_next_stored(snap, &section, &payload, &place, &last, NULL)) > 0)
        rows += kind == WK_SNAPSHOT_SAVEPOINT ? section.rows : 0;
    assert_int_equal(rc, 0);
    bytes_release(&payload);
    wk_snapshot_free(snap);
    wk_state_completed(f->s, f->checkpoint);
    return rows;
}

static void what_has_expired_leaves_the_disk(void **state)
{
    struct fixture *f = *state;
    uint64_t rows, kept = KEYS / 10;
    uint32_t rounds = 0;

    change_range(f, 0, KEYS, 1000);
    rows = snapshot(f, WK_SNAPSHOT_SAVEPOINT);
    assert_true(rows >= KEYS);
    change_range(f, 0, kept, 1900); /* these go on */
    for (; rows > 4 * kept && rounds < 400; rounds++) { /* nothing changes, but checkpoints are taken */
        for (int i = 0; i < 50; i++)
            wk_state_settle(f->s, 2200);
        (void)snapshot(f, WK_SNAPSHOT_INCREMENTAL);
        if (rounds % 8 == 7)
            rows = snapshot(f, WK_SNAPSHOT_SAVEPOINT);
    }
    assert_true(rounds < 400);
    for (uint64_t n = 0; n < KEYS; n += 3) {
        size_t len;
        const void *value = wk_state_read(f->s, VALUE, hash_xxh3(&n, 8), (rask_str){(const char *)&n, 8}, &len);

        assert_int_equal(value != NULL, n < kept);
    }
    assert_in_range(wk_state_count(f->s, VALUE), kept / 3, kept / 3 + KEYS / 30);
}

/* A key that came again after it was found, and before it is deleted, stays. */
static void what_came_again_stays(void **state)
{
    struct fixture *f = *state;

    change_range(f, 0, KEYS, 1000);
    for (int round = 0; round < 4; round++) {
        (void)snapshot(f, WK_SNAPSHOT_INCREMENTAL);
        change_range(f, 0, KEYS, 2500 + round * 2000); /* all of it had expired */
        for (uint64_t n = 0; n < KEYS; n += 3) {
            size_t len;

            assert_non_null(wk_state_read(f->s, VALUE, hash_xxh3(&n, 8), (rask_str){(const char *)&n, 8}, &len));
        }
    }
    assert_int_equal(wk_state_failed(f->s, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_has_expired_leaves_the_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_came_again_stays, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
