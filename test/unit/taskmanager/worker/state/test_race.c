/*
 * test_race.c - threads read snapshots out while the task changes, grows and deletes what is in them, in place where it can:
 * each of them holds the state as it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/ckpt/ckpt_entry.h"
#include "taskmanager/worker/state/snapshot.h"

enum { KEYS = 30000, ROUNDS = 24, CHANGES = 60000, LEN_MAX = 900 };
static const rask_state declared[] = {{.kind = RASK_VALUE, .name = "text"}, {0}};

/* A value is as many bytes of one letter as its length, which says all of it; 0: there is none. */
struct value {
    uint16_t len;
    uint8_t letter;
};
struct view {
    struct value value[KEYS];
    uint32_t seen[KEYS]; /* in the snapshot that is read just now */
};
struct reading {
    struct wk_snapshot *snap;
    struct view *view; /* owned: what the base held; in the end, what the snapshot holds */
    struct value *expected; /* owned */
    uint32_t sections;
    pthread_t thread;
};
struct world {
    struct wk_state_budget budget;
    struct wk_state *s;
    struct value *now;
    struct view *base;
    uint64_t random, checkpoint;
};

static uint64_t draw(struct world *w, uint64_t below)
{
    w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
    return (w->random >> 33) % below;
}

static void change(struct world *w)
{
    uint64_t key = draw(w, KEYS), hash = hash_xxh3(&key, sizeof(key));
    struct value *v = &w->now[key];
    rask_str k = {(const char *)&key, 8};
    uint8_t text[LEN_MAX];

    if (draw(w, 20) == 0) {
        assert_int_equal(wk_state_clear(w->s, 0, hash, k, NULL), 0);
        v->len = 0;
        return;
    }
    if (v->len == 0 || draw(w, 8) == 0)
        v->len = (uint16_t)(1 + draw(w, LEN_MAX)); /* it may not fit any more */
    v->letter++;
    memset(text, v->letter, v->len);
    assert_int_equal(wk_state_write(w->s, 0, hash, k, text, v->len, NULL), 0);
}

static void take_entries(struct reading *r, const struct bytes *payload)
{
    struct reader in = reader_of(payload->data, payload->len);
    struct ckpt_entry e;
    uint64_t key;

    while (in.at < in.end) {
        CHECK(ckpt_entry_take(&in, &e, "here", NULL) == 0 && e.key_len == 8);
        memcpy(&key, e.key, 8);
        CHECK(key < KEYS && !r->view->seen[key]);
        r->view->seen[key] = 1;
        r->view->value[key] = (struct value){.len = 0};
        if (e.deleted)
            continue;
        CHECK(e.value_len > 0 && e.value_len <= LEN_MAX);
        for (uint32_t i = 1; i < e.value_len; i++)
            CHECK(e.value[i] == e.value[0]);
        r->view->value[key] = (struct value){(uint16_t)e.value_len, e.value[0]};
    }
}

/* In an image a key that is not there is gone. */
static void forget_unseen(struct reading *r, const bool *imaged)
{
    for (uint64_t key = 0; key < KEYS; key++)
        if (!r->view->seen[key] && imaged[(hash_xxh3(&key, 8) >> 32) >> 25])
            r->view->value[key] = (struct value){.len = 0};
}

static void *read_out(void *arg)
{
    struct reading *r = arg;
    struct ckpt_section section;
    bool imaged[128] = {false};
    struct bytes payload;

    bytes_init(&payload);
    memset(r->view->seen, 0, sizeof(r->view->seen));
    while (wk_snapshot_next(r->snap, &section, &payload)) {
        take_entries(r, &payload);
        for (uint32_t g = section.hash_first >> 25; section.kind == CKPT_IMAGE && g <= section.hash_last >> 25; g++)
            imaged[g] = true;
        r->sections++;
    }
    forget_unseen(r, imaged);
    bytes_release(&payload);
    wk_snapshot_free(r->snap);
    return NULL;
}

static void begin(struct world *w, struct reading *r, enum wk_snapshot_kind kind)
{
    *r = (struct reading){.snap = wk_state_freeze(w->s, ++w->checkpoint, kind)};
    r->view = mem_dup(w->base, sizeof(*w->base));
    r->expected = mem_dup(w->now, KEYS * sizeof(*w->now));
}

static void start(struct reading *r)
{
    assert_int_equal(pthread_create(&r->thread, NULL, read_out, r), 0);
}

static void end(struct reading *r)
{
    uint64_t key = 0;

    assert_int_equal(pthread_join(r->thread, NULL), 0);
    for (; key < KEYS; key++) {
        struct value got = r->view->value[key], expected = r->expected[key];

        assert_int_equal(got.len, expected.len);
        assert_true(got.len == 0 || got.letter == expected.letter);
    }
    mem_free(r->expected);
}

static void change_many(struct world *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        change(w);
        if (i % 1000 == 0)
            wk_state_settle(w->s, 0);
    }
}

static void snapshots_hold_what_was_there_when_they_were_taken(void **state)
{
    struct world *w = &(struct world){.budget = {.limit_bytes = 1u << 30}, .random = 3};
    struct reading r[2];

    (void)state;
    w->now = mem_alloc_array(KEYS, sizeof(*w->now));
    w->base = MEM_NEW(struct view);
    w->s = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &w->budget, .parallelism = 1,
                                                   .max_parallelism = 128, .small_bytes = 1});
    change_many(w, KEYS);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        bool two = draw(w, 3) == 0, late = draw(w, 2) == 0; /* so that much has changed before it is read */

        begin(w, &r[0], draw(w, 3) == 0 ? WK_SNAPSHOT_FULL : WK_SNAPSHOT_INCREMENTAL);
        if (!late)
            start(&r[0]);
        change_many(w, (uint32_t)draw(w, late ? CHANGES / 10 : CHANGES));
        if (two) {
            begin(w, &r[1], draw(w, 3) == 0 ? WK_SNAPSHOT_SAVEPOINT : WK_SNAPSHOT_INCREMENTAL);
            change_many(w, (uint32_t)draw(w, CHANGES / 10));
            start(&r[1]);
        }
        if (late)
            start(&r[0]);
        change_many(w, (uint32_t)draw(w, CHANGES));
        if (two) {
            end(&r[1]);
            wk_state_aborted(w->s, w->checkpoint);
            mem_free(r[1].view);
        }
        end(&r[0]);
        if (draw(w, 4) == 0) {
            wk_state_aborted(w->s, w->checkpoint - two);
            mem_free(r[0].view);
        } else {
            wk_state_completed(w->s, w->checkpoint - two);
            mem_free(w->base);
            w->base = r[0].view;
        }
        change_many(w, (uint32_t)draw(w, CHANGES / 10));
    }
    mem_free(w->base);
    mem_free(w->now);
    wk_state_free(w->s);
    assert_int_equal(w->budget.used_bytes, 0);
}

enum { NUMBERS = 60000, BATCH = 4096, NUMBER_ROUNDS = 12 };
static const rask_state numbers[] = {{.kind = RASK_VALUE, .name = "number"}, {0}};

struct numbers {
    struct wk_state_budget budget;
    struct wk_state *s;
    uint64_t random, now[NUMBERS], frozen[NUMBERS], image[NUMBERS];
    struct wk_snapshot *snap;
};

static uint64_t draw_number(struct numbers *n, uint64_t below)
{
    n->random = n->random * 6364136223846793005ull + 1442695040888963407ull;
    return (n->random >> 33) % below;
}

static void *read_numbers(void *arg)
{
    struct numbers *n = arg;
    struct ckpt_section section;
    struct bytes payload;
    struct ckpt_entry e;
    uint64_t key;

    bytes_init(&payload);
    while (wk_snapshot_next(n->snap, &section, &payload))
        for (struct reader in = reader_of(payload.data, payload.len); in.at < in.end;) {
            CHECK(ckpt_entry_take(&in, &e, "here", NULL) == 0 && e.key_len == 8 && e.value_len == 96);
            memcpy(&key, e.key, 8);
            CHECK(key < NUMBERS && n->image[key] == 0);
            memcpy(&n->image[key], e.value, 8);
            CHECK(memcmp(e.value, e.value + 88, 8) == 0);
        }
    bytes_release(&payload);
    wk_snapshot_free(n->snap);
    return NULL;
}

/* A batch of numbers, some of them several times, is increased. */
static void increase(struct numbers *n, uint64_t below)
{
    static uint64_t hash[BATCH], at[BATCH];
    void *values[KEY_RUN_ROWS];
    struct wk_runs runs;
    struct key_run keys = {.rows = 0};

    for (uint32_t i = 0; i < BATCH; i++) {
        at[i] = draw_number(n, below);
        hash[i] = hash_xxh3(&at[i], 8);
    }
    assert_int_equal(wk_runs_begin(&runs, n->s, 0, hash, BATCH, NULL), 0);
    for (uint32_t i = 0; i < BATCH; i += KEY_RUN_ROWS) {
        keys.rows = KEY_RUN_ROWS;
        for (uint32_t k = 0; k < KEY_RUN_ROWS; k++) {
            keys.len[k] = 8;
            keys.head[k][0] = at[i + k];
        }
        assert_int_equal(wk_runs_next(&runs, &keys, 96, values, NULL), 0);
        for (uint32_t k = 0; k < KEY_RUN_ROWS; k++) {
            uint64_t number = ++n->now[at[i + k]];

            assert_int_equal(*(uint64_t *)values[k], number - 1);
            memcpy(values[k], &number, 8);
            memcpy((char *)values[k] + 88, &number, 8);
        }
    }
    wk_state_settle(n->s, 0);
}

static void runs_write_down_what_snapshots_want(void **state)
{
    struct numbers *n = MEM_NEW(struct numbers);
    pthread_t thread;

    (void)state;
    n->budget.limit_bytes = 1u << 30;
    n->s = wk_state_new(&(struct wk_state_options){.decl = numbers, .budget = &n->budget, .parallelism = 1, .max_parallelism = 128});
    for (uint32_t i = 0; i < 40; i++)
        increase(n, NUMBERS);
    for (uint32_t round = 1; round <= NUMBER_ROUNDS; round++) {
        bool late = round % 3 == 0;

        n->snap = wk_state_freeze(n->s, round, round % 4 == 0 ? WK_SNAPSHOT_SAVEPOINT : WK_SNAPSHOT_FULL);
        memcpy(n->frozen, n->now, sizeof(n->now));
        memset(n->image, 0, sizeof(n->image));
        if (!late)
            assert_int_equal(pthread_create(&thread, NULL, read_numbers, n), 0);
        for (uint32_t i = 0; i < round % 5 * 8; i++)
            increase(n, round % 2 ? NUMBERS : NUMBERS / 50);
        if (late)
            assert_int_equal(pthread_create(&thread, NULL, read_numbers, n), 0);
        increase(n, NUMBERS);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_memory_equal(n->image, n->frozen, sizeof(n->frozen));
        wk_state_completed(n->s, round);
        increase(n, NUMBERS);
    }
    wk_state_free(n->s);
    assert_int_equal(n->budget.used_bytes, 0);
    mem_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshots_hold_what_was_there_when_they_were_taken),
        cmocka_unit_test(runs_write_down_what_snapshots_want),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
