/* Rows merged by key against a plain table: every key once a drain, with the sum, least or greatest of its rows. */
#include <rask/rask.h>

#include "taskmanager/worker/exchange/merge.h"
#include "test/unit/common/types/model.h"

RASK_ROW(worded, (STRING, word), (BIGINT, n));
RASK_ROW(paired, (INT, a), (BIGINT, n), (NULL_STRING, b));

RASK_ROW(numbered, (TIMESTAMP, n), (BIGINT, key));

enum { KEYS = 300, MERGED_KEYS = 70000, NUMBERS = 40000 };

struct fixture {
    struct pool *pool;
    struct rng rng;
    struct model_sink sink;
    rask_out *out;
    char words[KEYS][40];
    int64_t expected[KEYS];
    bool seen[KEYS];
};

static void begin(struct fixture *f, const rask_schema *schema, uint64_t seed)
{
    memset(f, 0, sizeof(*f));
    f->pool = pool_new(0);
    f->rng.s = seed;
    f->out = out_new(f->pool, schema, 0, &model_hooks, &f->sink);
    for (uint32_t i = 0; i < KEYS; i++) /* short ones, and long ones with the same beginning */
        snprintf(f->words[i], sizeof(f->words[i]), i % 3 ? "w%u" : "a word with many letters %u", i);
}

static void end(struct fixture *f)
{
    out_free(f->out);
    pool_check_empty(f->pool);
}

static void expect(struct fixture *f, enum wk_merge_kind kind, uint32_t key, int64_t n)
{
    int64_t *e = &f->expected[key];

    if (!f->seen[key])
        *e = n;
    else
        *e = kind == WK_MERGE_SUM ? *e + n : kind == WK_MERGE_MIN ? MIN(*e, n) : MAX(*e, n);
    f->seen[key] = true;
}

static rask_batch *word_batch(struct fixture *f, enum wk_merge_kind kind, uint32_t rows)
{
    rask_batch *all, *some;
    uint16_t keep[RASK_BATCH_ROWS_MAX];
    uint32_t kept = 0;

    for (uint32_t i = 0; i < rows; i++) {
        uint32_t key = rng_below(&f->rng, 1 + rng_below(&f->rng, KEYS));
        int64_t n = (int64_t)rng_below(&f->rng, 2000) - 1000;

        assert_int_equal(worded_emit(f->out, &(struct worded){rask_str_of(f->words[key]), n}), 0);
        if (rows % 2 && rng_below(&f->rng, 4) == 0)
            continue; /* not selected: it must not count */
        keep[kept++] = (uint16_t)i;
        expect(f, kind, key, n);
    }
    all = out_take(f->out);
    some = batch_select(all, keep, kept);
    batch_unref(all);
    return some;
}

static uint32_t key_of(const struct fixture *f, rask_str word)
{
    uint32_t key = 0;

    while (!rask_str_equal(word, rask_str_of(f->words[key])))
        assert_true(++key < KEYS);
    return key;
}

static void check_drain(struct fixture *f, struct wk_merge *m)
{
    uint32_t left = 0;
    rask_batch *b;

    for (uint32_t i = 0; i < KEYS; i++)
        left += f->seen[i];
    while ((b = wk_merge_drain(m)) != NULL) {
        for (uint32_t i = 0; i < b->rows; i++) {
            rask_row row = rask_batch_row(b, i);
            struct worded w = worded_at(&row);
            uint32_t key = key_of(f, w.word);

            assert_true(f->seen[key]);
            assert_int_equal(w.n, f->expected[key]);
            f->seen[key] = false;
            left--;
        }
        batch_unref(b);
    }
    assert_int_equal(left, 0);
    assert_true(wk_merge_is_empty(m));
}

static void each_key_comes_out_once(void **state)
{
    static const uint16_t key[] = {0};

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        enum wk_merge_kind kind = (enum wk_merge_kind)(seed % 3);
        struct wk_merge *m;
        struct fixture f;

        begin(&f, &worded_schema, seed);
        m = wk_merge_new(f.pool, kind, 1, key, 1);
        for (uint32_t i = 0; i < 150; i++) {
            uint32_t rows = 1 + rng_below(&f.rng, seed % 5 ? 400 : 4000);

            if (wk_merge_is_full(m, rows) || rng_below(&f.rng, 20) == 0)
                check_drain(&f, m);
            wk_merge_add(m, word_batch(&f, kind, rows));
        }
        if (seed % 2)
            check_drain(&f, m); /* else it is freed with what it holds */
        wk_merge_free(m);
        end(&f);
    }
}

static void keys_of_several_columns(void **state)
{
    static const uint16_t keys[] = {2, 0};
    struct wk_merge *m;
    struct fixture f;
    rask_batch *b;

    (void)state;
    begin(&f, &paired_schema, 1);
    m = wk_merge_new(f.pool, WK_MERGE_SUM, 1, keys, 2);
    for (int32_t i = 0; i < 400; i++) { /* four keys, one of them with a null */
        struct paired p = {i % 2, i, {RASK_STR("more than sixteen bytes of key"), i % 4 < 2}};

        assert_int_equal(paired_emit(f.out, &p), 0);
    }
    wk_merge_add(m, out_take(f.out));
    b = wk_merge_drain(m);
    assert_int_equal(b->rows, 4);
    for (uint32_t i = 0; i < 4; i++) {
        rask_row row = rask_batch_row(b, i);
        struct paired p = paired_at(&row);

        assert_int_equal(p.a, i % 2);
        assert_int_equal(p.b.is_null, i < 2);
        assert_int_equal(p.n, 100 * i + 4 * 99 * 50);
    }
    batch_unref(b);
    assert_null(wk_merge_drain(m));
    wk_merge_free(m);
    end(&f);
}

static void sums_that_do_not_fit_stay_apart(void **state)
{
    static const int64_t n[] = {INT64_MAX, 1, 2, -5, INT64_MIN};
    static const int64_t expected[] = {INT64_MAX, -2, INT64_MIN};
    static const uint16_t key[] = {0};
    struct wk_merge *m;
    struct fixture f;
    rask_batch *b;

    (void)state;
    begin(&f, &worded_schema, 1);
    m = wk_merge_new(f.pool, WK_MERGE_SUM, 1, key, 1);
    for (size_t i = 0; i < ARRAY_LEN(n); i++)
        assert_int_equal(worded_emit(f.out, &(struct worded){RASK_STR("same"), n[i]}), 0);
    wk_merge_add(m, out_take(f.out));
    b = wk_merge_drain(m);
    assert_int_equal(b->rows, ARRAY_LEN(expected));
    for (uint32_t i = 0; i < b->rows; i++) {
        rask_row row = rask_batch_row(b, i);

        assert_int_equal(worded_at(&row).n, expected[i]);
    }
    batch_unref(b);
    assert_null(wk_merge_drain(m));
    wk_merge_free(m);
    end(&f);
}

/* As many keys as it may hold, and again: the table is as good as new after a drain. */
static void it_is_filled_to_the_brim(void **state)
{
    static const uint16_t key[] = {0};
    struct wk_merge *m;
    struct fixture f;
    uint32_t in = 0, out = 0;
    rask_batch *b;

    (void)state;
    begin(&f, &worded_schema, 1);
    m = wk_merge_new(f.pool, WK_MERGE_MAX, 1, key, 1);
    while (in < MERGED_KEYS) {
        for (uint32_t i = 0; i < 1000; i++, in++) {
            char word[16];

            snprintf(word, sizeof(word), "%x", in * 2654435761u);
            assert_int_equal(worded_emit(f.out, &(struct worded){rask_str_of(word), in}), 0);
        }
        if (wk_merge_is_full(m, 1000))
            while ((b = wk_merge_drain(m)) != NULL) {
                out += b->rows;
                batch_unref(b);
            }
        wk_merge_add(m, out_take(f.out));
    }
    while ((b = wk_merge_drain(m)) != NULL) {
        out += b->rows;
        batch_unref(b);
    }
    assert_int_equal(out, MERGED_KEYS);
    wk_merge_free(m);
    end(&f);
}

/* ---- numbers as keys, most of which come again: the table grows, and what is kept is copied many times ---- */

struct numbers {
    int64_t least[NUMBERS];
    uint32_t order[NUMBERS], count; /* of their first rows */
    uint32_t at[NUMBERS];           /* place in order, from 1 on */
};

static void add_numbers(struct fixture *f, struct wk_merge *m, struct numbers *all, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t key = rng_below(&f->rng, 1 + rng_below(&f->rng, NUMBERS));
        int64_t n = (int64_t)rng_next(&f->rng);

        assert_int_equal(numbered_emit(f->out, &(struct numbered){n, (int64_t)key * 1000003 - 5}), 0);
        if (all->at[key] == 0) {
            all->order[all->count++] = key;
            all->at[key] = all->count;
            all->least[key] = n;
        }
        all->least[key] = MIN(all->least[key], n);
    }
    wk_merge_add(m, out_take(f->out));
}

static void drain_numbers(struct wk_merge *m, struct numbers *all)
{
    uint32_t at = 0, batches = 0;
    rask_batch *b;

    for (; (b = wk_merge_drain(m)) != NULL; batches++) {
        for (uint32_t i = 0; i < b->rows; i++, at++) {
            rask_row row = rask_batch_row(b, i);
            struct numbered n = numbered_at(&row);

            assert_int_equal(n.key, (int64_t)all->order[at] * 1000003 - 5);
            assert_int_equal(n.n, all->least[all->order[at]]);
        }
        batch_unref(b);
    }
    assert_int_equal(at, all->count);
    assert_true(batches <= 2 * all->count / RASK_BATCH_ROWS_MAX + 1);
    memset(all, 0, sizeof(*all));
}

static void rows_come_out_in_the_order_of_their_keys(void **state)
{
    static const uint16_t key[] = {1};
    static struct numbers all;

    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct wk_merge *m;
        struct fixture f;

        begin(&f, &numbered_schema, seed);
        m = wk_merge_new(f.pool, WK_MERGE_MIN, 0, key, 1);
        for (uint32_t i = 0; i < 600; i++) {
            uint32_t rows = 1 + rng_below(&f.rng, seed % 2 ? RASK_BATCH_ROWS_MAX : 60);

            if (wk_merge_is_full(m, rows) || rng_below(&f.rng, 300) == 0)
                drain_numbers(m, &all);
            add_numbers(&f, m, &all, rows);
        }
        drain_numbers(m, &all);
        wk_merge_free(m);
        end(&f);
    }
}

/* times: how often each key comes before the next one. Returns how many rows of 1,000,000 were merged. */
static uint32_t wanted(uint32_t times)
{
    static const uint16_t key[] = {1};
    struct wk_merge *m;
    struct fixture f;
    uint32_t merged = 0;

    begin(&f, &numbered_schema, 1);
    m = wk_merge_new(f.pool, WK_MERGE_MAX, 0, key, 1);
    for (uint32_t i = 0; i < 1000000; i += 1000) {
        rask_batch *b;

        if (!wk_merge_wants(m, 1000))
            continue;
        for (uint32_t k = i; k < i + 1000; k++)
            assert_int_equal(numbered_emit(f.out, &(struct numbered){1, k / times}), 0);
        while (wk_merge_is_full(m, 1000) && (b = wk_merge_drain(m)) != NULL)
            batch_unref(b);
        wk_merge_add(m, out_take(f.out));
        merged += 1000;
    }
    wk_merge_free(m);
    end(&f);
    return merged;
}

static void rows_pass_where_keys_do_not_come_again(void **state)
{
    (void)state;
    assert_int_equal(wanted(2), 1000000);
    assert_in_range(wanted(1), 2 * 64000, 3 * 65000);
}

/* ---- what it may hold ---- */

static void add_long_words(struct fixture *f, struct wk_merge *m, uint32_t first, uint32_t rows)
{
    static char word[1025];

    memset(word, 'x', sizeof(word) - 1);
    for (uint32_t i = 0; i < rows; i++) {
        snprintf(word, 12, "%011u", first + i);
        word[11] = 'x';
        assert_int_equal(worded_emit(f->out, &(struct worded){rask_str_of(word), 1}), 0);
    }
    wk_merge_add(m, out_take(f->out));
}

static uint32_t drain_all(struct wk_merge *m)
{
    uint32_t rows = 0;
    rask_batch *b;

    while ((b = wk_merge_drain(m)) != NULL) {
        rows += b->rows;
        batch_unref(b);
    }
    return rows;
}

static void it_is_full_by_bytes(void **state)
{
    static const uint16_t key[] = {0};
    struct wk_merge *m;
    struct fixture f;
    uint32_t rows = 0;

    (void)state;
    begin(&f, &worded_schema, 1);
    m = wk_merge_new(f.pool, WK_MERGE_SUM, 1, key, 1);
    for (; !wk_merge_is_full(m, 100); rows += 100)
        add_long_words(&f, m, rows, 100);
    assert_in_range(rows, MERGE_BYTES_MAX / 1100, MERGE_BYTES_MAX / 1024 + 2000);
    assert_int_equal(drain_all(m), rows);
    assert_false(wk_merge_is_full(m, 100));
    wk_merge_free(m);
    end(&f);
}

/* Nothing is collected while the worker has no memory left for it, and the table is given back. */
static void over_the_budget_rows_go_on(void **state)
{
    static const uint16_t key[] = {0};
    struct wk_merge *m;
    struct fixture f;
    struct pool_stats before, after;
    rask_buffer *rest;

    (void)state;
    begin(&f, &worded_schema, 1);
    out_free(f.out);
    pool_free(f.pool);
    f.pool = pool_new(64 << 20);
    f.out = out_new(f.pool, &worded_schema, 0, &model_hooks, &f.sink);
    m = wk_merge_new(f.pool, WK_MERGE_SUM, 1, key, 1);
    pool_stats(f.pool, &before);
    for (uint32_t i = 0; i < 3000; i += 100)
        add_long_words(&f, m, i, 100);
    assert_false(wk_merge_is_full(m, 1));
    rest = pool_get(f.pool, 64 << 20);
    assert_true(wk_merge_is_full(m, 1));
    assert_int_equal(drain_all(m), 3000);
    assert_false(wk_merge_is_full(m, 1));
    buffer_unref(rest);
    pool_stats(f.pool, &after);
    assert_true(after.in_use_bytes <= before.in_use_bytes + (1 << 20));
    wk_merge_free(m);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_comes_out_once),
        cmocka_unit_test(keys_of_several_columns),
        cmocka_unit_test(sums_that_do_not_fit_stay_apart),
        cmocka_unit_test(it_is_filled_to_the_brim),
        cmocka_unit_test(rows_come_out_in_the_order_of_their_keys),
        cmocka_unit_test(rows_pass_where_keys_do_not_come_again),
        cmocka_unit_test(it_is_full_by_bytes),
        cmocka_unit_test(over_the_budget_rows_go_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
