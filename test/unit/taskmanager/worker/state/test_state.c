/* test_state.c - keyed state: keys of every length, one by one and in runs, against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/types/batch.h"
#include "common/ckpt/ckpt_entry.h"
#include "taskmanager/worker/state/snapshot.h"
#include "taskmanager/worker/state/state.h"
#include "taskmanager/worker/store/store.h"

enum { KEYS = 3000, LONGEST = 300 };
static const rask_state declared[] = {{.kind = RASK_VALUE, .name = "numbers"}, {0}};

struct fixture {
    struct wk_state_budget budget;
    struct wk_state *s;
    struct pool *pool;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->budget.limit_bytes = 64u << 20;
    f->s = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &f->budget});
    f->pool = pool_new(0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    wk_state_free(f->s);
    assert_int_equal(f->budget.used_bytes, 0);
    pool_free(f->pool);
    free(f);
    return 0;
}

/* Key n: of 1 + n % LONGEST bytes, that of n alone; many begin alike, and some end in zeros. */
static rask_str key_text(uint32_t n, char *room)
{
    uint32_t len = 1 + n % LONGEST, digits = n / LONGEST;

    memset(room, n % 7 ? 'x' : 0, len);
    room[len - 1] = (char)digits;
    return (rask_str){room, len};
}

static uint64_t *count_of(struct fixture *f, uint32_t n, bool create)
{
    char room[LONGEST];
    rask_str key = key_text(n, room);
    struct err err;

    return wk_state_get(f->s, 0, hash_xxh3(key.data, key.len), key, sizeof(uint64_t), create, NULL, &err);
}

static void keeps_keys_of_every_length_apart(void **state)
{
    struct fixture *f = *state;

    for (uint32_t n = 0; n < KEYS; n++) {
        assert_null(count_of(f, n, false));
        *count_of(f, n, true) = n + 1;
    }
    assert_int_equal(wk_state_count(f->s, 0), KEYS);
    for (uint32_t n = 0; n < KEYS; n++)
        assert_int_equal(*count_of(f, n, true), n + 1);
    for (uint32_t n = 0; n < KEYS; n += 2) {
        char room[LONGEST];
        rask_str key = key_text(n, room);

        assert_int_equal(wk_state_clear(f->s, 0, hash_xxh3(key.data, key.len), key, NULL), 0);
    }
    for (uint32_t n = 0; n < KEYS; n++)
        assert_true(n % 2 ? *count_of(f, n, false) == n + 1 : !count_of(f, n, false));
    for (uint32_t n = 0; n < KEYS; n += 2)
        assert_int_equal(*count_of(f, n, true), 0); /* a used room is zeroed */
}

/* 65,528 bytes are the most that the short form of an entry holds, and 254 of a key. */
static void values_of_every_size_are_kept(void **state)
{
    static const size_t sizes[] = {0, 7, 24, 25, 4000, 65527, 65528, 65529, 200000, 65536, 65528, 1, 300000, 0};
    static char data[300000];
    struct fixture *f = *state;

    for (uint32_t n = 0; n < LONGEST; n += 6)
        for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            char room[LONGEST];
            rask_str key = key_text(n, room);
            size_t len = 1;
            const void *has;

            memset(data, (int)i, sizes[i]);
            assert_int_equal(wk_state_write(f->s, 0, hash_xxh3(key.data, key.len), key, data, sizes[i], NULL), 0);
            has = wk_state_read(f->s, 0, hash_xxh3(key.data, key.len), key, &len);
            assert_int_equal(len, sizes[i]);
            assert_memory_equal(has, data, len);
            if (i % 4 == 3)
                wk_state_settle(f->s, 0);
        }
    assert_int_equal(wk_state_count(f->s, 0), LONGEST / 6);
}

static int no_hook(rask_out *out, void *arg)
{
    (void)out;
    (void)arg;
    return 0;
}

/* Rows "n % distinct" as text of `digits` digits and more. */
static rask_batch *batch_of(struct fixture *f, const rask_schema *schema, uint32_t first, uint32_t distinct, int digits)
{
    const struct out_hooks hooks = {.full = no_hook};
    rask_out *out = out_new(f->pool, schema, 0, &hooks, NULL);
    rask_batch *b;

    for (uint32_t i = 0; i < 1000; i++) {
        char text[320];
        int len = snprintf(text, sizeof(text), "%0*u", digits, (first + i) % distinct);

        assert_int_equal(rask_out_begin(out, schema), 0);
        rask_out_string(out, 0, (rask_str){text, (uint32_t)len});
        assert_int_equal(rask_out_end(out), 0);
    }
    b = out_take(out);
    out_free(out);
    return b;
}

/* Counts the rows of a batch, run by run, and checks each against `so_far`. */
static void count_batch(struct fixture *f, const rask_batch *b, uint64_t *so_far, uint32_t first, uint32_t distinct)
{
    static const uint16_t column = 0;
    uint64_t hash[RASK_BATCH_ROWS_MAX];
    void *values[KEY_RUN_ROWS];
    struct wk_runs runs;
    struct key_run run;
    struct err err;

    bytes_init(&run.text);
    key_hash_batch(b, &column, 1, hash);
    assert_int_equal(wk_runs_begin(&runs, f->s, 0, hash, b->rows, &err), 0);
    for (uint32_t i = 0; i < b->rows; i += KEY_RUN_ROWS) {
        key_run_fill(&run, b, &column, 1, i, MIN(b->rows - i, (uint32_t)KEY_RUN_ROWS));
        assert_int_equal(wk_runs_next(&runs, &run, sizeof(uint64_t), values, &err), 0);
        for (uint32_t k = 0; k < run.rows; k++)
            assert_int_equal(++*(uint64_t *)values[k], ++so_far[(first + i + k) % distinct]);
    }
    bytes_release(&run.text);
}

static void runs_find_what_single_calls_find(void **state)
{
    static const rask_field fields[] = {{"word", RASK_T_STRING, 0, 0, 0, NULL}};
    static const rask_schema schema = {RASK_ABI, 1, "words", fields};
    static const int digits[] = {1, 5, 12, 13, 20, 21, 40, 300};
    struct fixture *f = *state;

    for (uint32_t d = 0; d < ARRAY_LEN(digits); d++) {
        uint64_t so_far[3000] = {0};
        rask_batch *b;

        for (uint32_t first = 0; first < 9000; first += 1000) {
            b = batch_of(f, &schema, first, 3000, digits[d]);
            count_batch(f, b, so_far, first, 3000);
            batch_unref(b);
        }
        for (uint32_t i = 0; i < 3000; i++)
            assert_int_equal(so_far[i], 3);
        wk_state_free(f->s);
        assert_int_equal(f->budget.used_bytes, 0);
        f->s = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &f->budget});
    }
}

/* Keys of the same length, head and tag: only what is behind the head tells them apart. */
static void long_keys_are_told_apart_by_their_rest(void **state)
{
    static const rask_field fields[] = {{"word", RASK_T_STRING, 0, 0, 0, NULL}};
    static const rask_schema schema = {RASK_ABI, 1, "words", fields};
    static const uint16_t column = 0;
    static uint32_t first_with[1 << 16]; /* tag -> number + 1 of a key */
    struct fixture *f = *state;
    uint32_t a = 0, b = 0;

    for (uint32_t at = 0; b == 0; at += 1000) {
        rask_batch *keys = batch_of(f, &schema, at, UINT32_MAX, 20);
        uint64_t hash[RASK_BATCH_ROWS_MAX];

        key_hash_batch(keys, &column, 1, hash);
        for (uint32_t i = 0; i < keys->rows && b == 0; i++) {
            uint32_t *same = &first_with[(uint16_t)(hash[i] >> 11)];

            a = *same;
            b = a ? at + i : 0;
            *same = at + i + 1;
        }
        batch_unref(keys);
    }
    for (uint32_t round = 1; round < 4; round++) {
        const uint32_t numbers[] = {a - 1, b};

        for (uint32_t k = 0; k < 2; k++) {
            rask_batch *all = batch_of(f, &schema, numbers[k], UINT32_MAX, 20), *one = batch_slice(all, 0, 1);
            uint64_t so_far = round - 1;

            count_batch(f, one, &so_far, 0, 1);
            batch_unref(one);
            batch_unref(all);
        }
    }
}

/* The value of key k of a run, which was not found ahead: it is absent, or another row of the run has made it. */
static uint64_t *make_one(struct fixture *f, struct wk_runs *runs, const struct key_run *run, uint32_t k, uint64_t hash, rask_str key)
{
    const uint64_t *before = wk_state_get(f->s, 0, hash, key, sizeof(*before), false, NULL, NULL);
    uint64_t *v = runs ? wk_runs_make(runs, run, k, sizeof(*v)) : NULL;

    if (!v)
        return wk_state_get(f->s, 0, hash, key, sizeof(*v), true, NULL, NULL);
    assert_null(before);
    assert_true(wk_runs_has(runs, k));
    assert_ptr_equal(v, wk_state_get(f->s, 0, hash, key, sizeof(*v), false, NULL, NULL));
    assert_null(wk_runs_make(runs, run, k, sizeof(*v)));
    return v;
}

/* As a row function does: the key at hand is changed, removed, asked for again. */
static void use_one_by_one(struct fixture *f, const rask_batch *b, uint64_t *so_far, uint32_t first, uint32_t distinct)
{
    static const uint16_t column = 0;
    uint64_t hash[RASK_BATCH_ROWS_MAX];
    void *values[KEY_RUN_ROWS];
    uint32_t found = 0;
    struct wk_runs runs;
    struct key_run run;
    bool begun;

    bytes_init(&run.text);
    key_hash_batch(b, &column, 1, hash);
    begun = wk_runs_begin_found(&runs, f->s, 0, hash, b->rows);
    assert_int_equal(begun, first > 0);
    for (uint32_t i = 0; i < b->rows; i++) {
        uint32_t k = i % KEY_RUN_ROWS, n = (first + i) % distinct;
        rask_str key;
        uint64_t *v;

        if (k == 0)
            key_run_fill(&run, b, &column, 1, i, MIN(b->rows - i, (uint32_t)KEY_RUN_ROWS));
        if (k == 0 && begun)
            wk_runs_next_found(&runs, &run, sizeof(uint64_t), values);
        key = (rask_str){run.len[k] <= KEY_HEAD_BYTES ? (const char *)run.head[k] : (const char *)run.text.data + run.place[k], run.len[k]};
        v = begun && values[k] && wk_runs_has(&runs, k) ? values[k] : NULL;
        found += v != NULL;
        if (v)
            assert_ptr_equal(v, wk_state_get(f->s, 0, hash[i], key, sizeof(*v), false, NULL, NULL));
        else
            v = make_one(f, begun ? &runs : NULL, &run, k, hash[i], key);
        assert_int_equal(*v, so_far[n]);
        so_far[n] = ++*v;
        if (n % 5 == i % 3) {
            assert_int_equal(wk_state_clear(f->s, 0, hash[i], key, NULL), 0);
            so_far[n] = 0;
        }
    }
    assert_true(!begun || run.len[0] > KEY_HEAD_BYTES || found > b->rows / 20);
    bytes_release(&run.text);
}

static void values_found_ahead_are_those_of_single_calls(void **state)
{
    static const rask_field fields[] = {{"word", RASK_T_STRING, 0, 0, 0, NULL}};
    static const rask_schema schema = {RASK_ABI, 1, "words", fields};
    static const uint32_t distinct[] = {7, 50, 100, 997};
    struct fixture *f = *state;

    for (uint32_t d = 0; d < 8; d++) {
        uint64_t so_far[1000] = {0};

        for (uint32_t first = 0; first < 9000; first += 1000) {
            rask_batch *b = batch_of(f, &schema, first, distinct[d % 4], d < 4 ? 5 : 40);

            use_one_by_one(f, b, so_far, first, distinct[d % 4]);
            batch_unref(b);
            wk_state_settle(f->s, 0);
        }
        wk_state_free(f->s);
        assert_int_equal(f->budget.used_bytes, 0);
        f->s = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &f->budget});
    }
}

static void a_used_up_budget_is_said(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    uint32_t n = 0;
    char room[LONGEST];
    rask_str key = {room, 0};

    f->budget.limit_bytes = 10000;
    do
        key = key_text(n++, room);
    while (wk_state_get(f->s, 0, hash_xxh3(key.data, key.len), key, 8, true, NULL, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_non_null(strstr(err.text, "state \"numbers\" holds "));
    assert_true(f->budget.used_bytes <= 10000);
    assert_int_equal(wk_state_count(f->s, 0), n - 1);
}

static void put_many(struct fixture *f, uint64_t from, uint64_t to, size_t size)
{
    for (uint64_t n = from; n < to; n++) {
        rask_str key = {(const char *)&n, sizeof(n)};

        assert_non_null(wk_state_get(f->s, 0, hash_xxh3(key.data, key.len), key, size, true, NULL, NULL));
    }
}

static void clear_many(struct fixture *f, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        rask_str key = {(const char *)&n, sizeof(n)};

        assert_int_equal(wk_state_clear(f->s, 0, hash_xxh3(key.data, key.len), key, NULL), 0);
        if (n % 16 == 0)
            wk_state_settle(f->s, 0);
    }
    for (int i = 0; i < 2000; i++)
        wk_state_settle(f->s, 0);
}

static void memory_that_came_free_is_kept_for_a_while(void **state)
{
    struct fixture *f = *state;
    uint64_t most, n = 1u << 20;
    rask_str key = {(const char *)&n, sizeof(n)};

    put_many(f, 0, 40000, 1000);
    most = f->budget.used_bytes;
    clear_many(f, 0, 20000);
    put_many(f, 0, 10000, 1000);
    assert_true(f->budget.used_bytes <= most);
    clear_many(f, 0, 10000);
    /* too large for what is kept: it goes, and all of the budget can be used */
    while (wk_state_get(f->s, 0, hash_xxh3(key.data, key.len), key, 100000, true, NULL, NULL))
        n++;
    assert_in_range(n - (1u << 20), 265, (64u << 20) / 100000);
    clear_many(f, 1u << 20, n);
    clear_many(f, 20000, 40000);
    assert_true(f->budget.used_bytes < 8u << 20);
}

/* ---- many small states of one worker ---- */

enum { SMALL_STATES = 100, SMALL_KEYS = 3000 };

static uint64_t *small_value(struct wk_state *s, uint64_t n, bool create)
{
    return wk_state_get(s, 0, hash_xxh3(&n, sizeof(n)), (rask_str){(const char *)&n, sizeof(n)}, sizeof(uint64_t), create, NULL, NULL);
}

/* Their memory is mixed in chunks that they share; what each of them has stays its own, and all of it comes back. */
static void small_states_share_chunks(void **state)
{
    struct wk_state_budget budget = {.limit_bytes = 256u << 20};
    struct wk_state *s[SMALL_STATES];
    uint64_t most;

    (void)state;
    for (int i = 0; i < SMALL_STATES; i++)
        s[i] = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &budget});
    assert_non_null(budget.nursery);
    for (uint64_t n = 0; n < SMALL_KEYS; n++)
        for (uint64_t i = 0; i < SMALL_STATES; i++)
            *small_value(s[i], n, true) = n << 32 | i;
    for (uint64_t n = 0; n < SMALL_KEYS; n++)
        for (uint64_t i = 0; i < SMALL_STATES; i++)
            assert_int_equal(*small_value(s[i], n, false), n << 32 | i);
    most = budget.used_bytes;
    for (int i = 1; i < SMALL_STATES; i += 2)
        wk_state_free(s[i]);
    for (int i = 1; i < SMALL_STATES; i += 2) { /* in the room that came free */
        s[i] = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &budget});
        for (uint64_t n = 0; n < SMALL_KEYS; n++)
            *small_value(s[i], n, true) = n;
    }
    assert_true(budget.used_bytes <= most + most / 4);
    for (uint64_t n = 0; n < SMALL_KEYS; n++)
        for (uint64_t i = 0; i < SMALL_STATES; i++)
            assert_int_equal(*small_value(s[i], n, false), i % 2 ? n : n << 32 | i);
    for (int i = 0; i < SMALL_STATES; i++)
        wk_state_free(s[i]);
    assert_int_equal(budget.used_bytes, 0);
    assert_null(budget.nursery);
}

/* A snapshot that is still read holds its state's memory when the worker, and its budget, are gone. */
static void shared_chunks_outlive_the_budget(void **state)
{
    struct wk_state_budget *budget = calloc(1, sizeof(*budget));
    struct wk_state *s[SMALL_STATES];
    struct wk_snapshot *snap;

    (void)state;
    budget->limit_bytes = 256u << 20;
    for (int i = 0; i < SMALL_STATES; i++)
        s[i] = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = budget});
    for (uint64_t n = 0; n < SMALL_KEYS; n++)
        for (uint64_t i = 0; i < SMALL_STATES; i++)
            *small_value(s[i], n, true) = n;
    snap = wk_state_freeze(s[7], 1, WK_SNAPSHOT_FULL);
    for (int i = 0; i < SMALL_STATES; i++)
        wk_state_free(s[i]);
    assert_int_equal(budget->used_bytes, 0);
    free(budget);
    wk_snapshot_free(snap);
}

/* An index that grows to thousands of buckets, while keys come and go: nothing is lost, and nothing found that has gone. */
static void a_growing_index_keeps_all_keys(void **state)
{
    enum { MANY = 150000, STEP = 1000 };
    struct fixture *f = *state;

    for (uint64_t n = 0; n < MANY; n++) {
        rask_str key = {(const char *)&n, sizeof(n)};

        *(uint64_t *)wk_state_get(f->s, 0, hash_xxh3(&n, 8), key, 8, true, NULL, NULL) = n;
        if (n % STEP == STEP - 1)
            for (uint64_t gone = n - STEP + 1, last = n; gone < last; gone += 3)
                assert_int_equal(wk_state_clear(f->s, 0, hash_xxh3(&gone, 8), (rask_str){(const char *)&gone, 8}, NULL), 0);
        if (n % (MANY / 8))
            continue;
        for (uint64_t old = 0; old < n / STEP * STEP; old++) {
            const uint64_t *v = wk_state_get(f->s, 0, hash_xxh3(&old, 8), (rask_str){(const char *)&old, 8}, 8, false, NULL, NULL);

            assert_true(old % STEP % 3 == 0 && old % STEP != STEP - 1 ? !v : v && *v == old);
        }
    }
}

/* ---- heads from files ---- */

static int restore_head(const rask_state *decl, uint32_t first, uint32_t last)
{
    struct wk_state_budget budget = {.limit_bytes = 8u << 20};
    struct wk_state *s = wk_state_new(&(struct wk_state_options){.decl = decl, .budget = &budget});
    struct ckpt_section section = {.kind = CKPT_DELTA, .state = decl->name, .hash_last = UINT32_MAX, .to = 5};
    uint32_t head[2] = {first, last};
    struct ckpt_entry e = {.key = (const uint8_t *)"key", .key_len = 3, .value = (const uint8_t *)head, .value_len = sizeof(head)};
    struct bytes payload;
    struct err err;
    int rc;

    bytes_init(&payload);
    ckpt_entry_add(&payload, &e);
    assert_int_equal(wk_state_restore_begin(s, NULL, NULL, false, &err), 0);
    rc = wk_state_restore(s, &section, payload.data, payload.len, &err);
    bytes_release(&payload);
    wk_state_free(s);
    return rc;
}

/* A list that says it has 2^32 chunks kept a task busy for ever: each of them was looked for. */
static void heads_that_no_list_or_map_has_are_refused(void **state)
{
    static const rask_state list[] = {{.kind = RASK_LIST, .name = "list"}, {0}}, map[] = {{.kind = RASK_MAP, .name = "map"}, {0}};

    (void)state;
    assert_int_equal(restore_head(list, 0, 0), 0);
    assert_int_equal(restore_head(list, 1, 1 << 24), 0);
    assert_int_equal(restore_head(list, 0x7fffffff, 0x80000000), 0);
    assert_int_equal(restore_head(list, 1, UINT32_MAX), ERR_CORRUPT);
    assert_int_equal(restore_head(list, 1, (1 << 24) + 2), ERR_CORRUPT);
    assert_int_equal(restore_head(list, 0x80000000, 0x80000001), ERR_CORRUPT);
    assert_int_equal(restore_head(list, 0, 1), ERR_CORRUPT);
    assert_int_equal(restore_head(map, 4, 100), 0);
    assert_int_equal(restore_head(map, 1 << 26, 100), 0);
    assert_int_equal(restore_head(map, (1 << 26) + 1, 100), ERR_CORRUPT);
    assert_int_equal(restore_head(map, 3, 100), ERR_CORRUPT);
}

/* ---- state on disk, whose store never comes to write ---- */

static struct wk_store *make_store(struct wk_stores *stores, const char *label)
{
    struct wk_store *store = calloc(1, sizeof(*store));

    (void)label;
    store->stores = stores;
    return store;
}
static void free_store(struct wk_store *store)
{
    free(store);
}
static const struct wk_store_ops idle_ops = {.make = make_store, .free = free_store};
static struct wk_stores idle_stores = {&idle_ops};

/*
 * What a batch adds to state on disk may be over the worker's budget until its store has taken over.  Meanwhile a source
 * beside it, all in memory, notes a few bytes: it may do so, too, or the job fails for want of a kilobyte.
 */
static void all_of_a_worker_may_overdraw_while_a_store_is_behind(void **state)
{
    static const rask_state splits[] = {{.kind = RASK_OPERATOR_LIST, .name = "splits"}, {0}};
    struct wk_state_budget budget = {.limit_bytes = 8u << 20};
    struct wk_state *counts, *source = wk_state_new(&(struct wk_state_options){.decl = splits, .budget = &budget});
    uint64_t more = budget.limit_bytes / 4;
    static char data[1000];
    struct err err = {0};

    (void)state;
    counts = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &budget, .stores = &idle_stores, .on_disk = true});
    for (uint64_t n = 0; budget.used_bytes <= budget.limit_bytes; n++)
        assert_int_equal(wk_state_write(counts, 0, hash_xxh3(&n, 8), (rask_str){(char *)&n, 8}, data, sizeof(data), NULL), 0);
    assert_int_equal(wk_state_list_add(source, 0, data, 100, &err), 0);

    while (wk_state_list_add(source, 0, data, 100, &err) == 0) /* a quarter, and no more */
        continue;
    assert_true(budget.used_bytes <= budget.limit_bytes + more);
    assert_true(budget.used_bytes > budget.limit_bytes + more - 1000);
    assert_non_null(strstr(err.text, "state memory of this worker are used up"));
    wk_state_free(counts);
    wk_state_free(source);
    assert_int_equal(budget.used_bytes, 0);

    budget.limit_bytes = 1000; /* nothing is on disk: nobody may */
    source = wk_state_new(&(struct wk_state_options){.decl = splits, .budget = &budget});
    assert_int_equal(wk_state_list_add(source, 0, data, 1000, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "state.backend.type: leveldb"));
    wk_state_free(source);
}

static void run_at_once(struct wk_stores *stores, struct wk_store_job *job)
{
    (void)stores;
    job->run(job);
}
static int open_on_full_disk(struct wk_store *store, uint64_t memory_bytes, struct err *err)
{
    (void)store;
    (void)memory_bytes;
    return err_set(err, ERR_NO_SPACE, "cannot write \"/disk/CURRENT\": No space left on device");
}
static const struct wk_store_ops full_ops = {.make = make_store, .free = free_store, .submit = run_at_once, .open = open_on_full_disk};
static struct wk_stores full_stores = {&full_ops};

/* What a write behind the task's back met first is the reason for all that fails after it, until the task has looked. */
static void every_checkpoint_after_a_failed_write_says_why_it_failed(void **state)
{
    struct wk_state_budget budget = {.limit_bytes = 8u << 20};
    struct wk_state *s = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &budget, .stores = &full_stores, .on_disk = true});
    struct wk_snapshot *snaps[2];
    struct bytes payload;
    uint64_t n = 1;

    (void)state;
    bytes_init(&payload);
    for (uint64_t i = 0; i < 2; i++) {
        assert_int_equal(wk_state_write(s, 0, hash_xxh3(&n, 8), (rask_str){(char *)&n, 8}, &i, sizeof(i), NULL), 0);
        snaps[i] = wk_state_freeze(s, i + 1, WK_SNAPSHOT_INCREMENTAL);
    }
    for (int i = 0; i < 2; i++) {
        struct ckpt_section section;
        struct wk_place place;
        struct err err = {0};
        bool last;

        while (wk_snapshot_next(snaps[i], &section, &payload))
            continue;
        assert_int_equal(wk_snapshot_next_stored(snaps[i], &section, &payload, &place, &last, &err), ERR_NO_SPACE);
        assert_non_null(strstr(err.text, "No space left on device"));
        wk_snapshot_free(snaps[i]);
    }
    bytes_release(&payload);
    wk_state_free(s);
    assert_int_equal(budget.used_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeps_keys_of_every_length_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_of_every_size_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_found_ahead_are_those_of_single_calls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(runs_find_what_single_calls_find, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_keys_are_told_apart_by_their_rest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_used_up_budget_is_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_that_came_free_is_kept_for_a_while, set_up, tear_down),
        cmocka_unit_test(small_states_share_chunks),
        cmocka_unit_test(shared_chunks_outlive_the_budget),
        cmocka_unit_test_setup_teardown(a_growing_index_keeps_all_keys, set_up, tear_down),
        cmocka_unit_test(heads_that_no_list_or_map_has_are_refused),
        cmocka_unit_test(all_of_a_worker_may_overdraw_while_a_store_is_behind),
        cmocka_unit_test(every_checkpoint_after_a_failed_write_says_why_it_failed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
