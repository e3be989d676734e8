/* rask_out: limits, refusals, rows left open, what is shared from batch to batch. */
#include <pthread.h>

#include "test/unit/common/types/model.h"

static const rask_field pair_fields[] = {{"word", RASK_T_STRING, 0, 0, 0, NULL},
                                         {"n", RASK_T_BIGINT, 1, 0, 0, NULL}};
static const rask_schema pair = {RASK_ABI, 2, "pair", pair_fields};
static const rask_field twin_fields[] = {{"word", RASK_T_STRING, 0, 0, 0, NULL},
                                         {"n", RASK_T_BIGINT, 1, 0, 0, NULL}};
static const rask_schema twin = {RASK_ABI, 2, "twin", twin_fields};
static const rask_field other_fields[] = {{"word", RASK_T_STRING, 0, 0, 0, NULL},
                                          {"n", RASK_T_INT, 1, 0, 0, NULL}};
static const rask_schema other = {RASK_ABI, 2, "other", other_fields};

struct fixture {
    struct pool *pool;
    struct model_sink sink;
    rask_out *out;
};

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);

    f->pool = pool_new(0);
    f->out = out_new(f->pool, &pair, 0, &model_hooks, &f->sink);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < f->sink.count; i++)
        batch_unref(f->sink.batches[i]);
    out_free(f->out);
    pool_check_empty(f->pool);
    mem_free(f);
    return 0;
}

static int put(rask_out *out, const char *word, int64_t n)
{
    int rc = rask_out_begin(out, &pair);

    assert_int_equal(rc, 0);
    rask_out_string(out, 0, (rask_str){word, (uint32_t)strlen(word)});
    rask_out_i64(out, 1, n);
    return rask_out_end(out);
}

static void check_row(const rask_batch *b, uint32_t i, const char *word, int64_t n)
{
    rask_row row = rask_batch_row(b, i);

    assert_int_equal(rask_string(&row, 0).len, strlen(word));
    assert_memory_equal(rask_string(&row, 0).data, word, strlen(word));
    assert_int_equal(rask_i64(&row, 1), n);
}

static void batches_are_handed_on_at_their_limits(void **state)
{
    struct fixture *f = *state;

    assert_null(out_take(f->out));
    for (int i = 0; i < RASK_BATCH_ROWS_MAX + 3; i++)
        assert_int_equal(put(f->out, "short", i), 0);
    assert_int_equal(f->sink.count, 1);
    assert_int_equal(f->sink.batches[0]->rows, RASK_BATCH_ROWS_MAX);
    check_row(f->sink.batches[0], RASK_BATCH_ROWS_MAX - 1, "short", RASK_BATCH_ROWS_MAX - 1);
    f->out->rows_limit = 5;
    assert_int_equal(put(f->out, "short", 3), 0);
    assert_int_equal(put(f->out, "short", 4), 0);
    assert_int_equal(f->sink.count, 2);
    f->out->string_limit = 60;
    assert_int_equal(put(f->out, "a string of twenty-nine bytes", 1), 0);
    assert_int_equal(put(f->out, "a string of twenty-nine bytes", 1), 0);
    assert_int_equal(f->sink.count, 2);
    assert_int_equal(put(f->out, "a string of twenty-nine bytes", 2), 0);
    assert_int_equal(f->sink.count, 3);
    check_row(f->sink.batches[2], 2, "a string of twenty-nine bytes", 2);
}

static void small_batches_share_their_memory(void **state)
{
    struct fixture *f = *state;
    struct pool_stats before, after;
    rask_batch *all[32];

    pool_stats(f->pool, &before);
    for (int i = 0; i < 32; i++) {
        assert_int_equal(put(f->out, "a string of twenty-nine bytes", i), 0);
        all[i] = out_take(f->out);
    }
    pool_stats(f->pool, &after);
    assert_true(after.in_use_bytes - before.in_use_bytes < 100000);
    for (int i = 0; i < 32; i++) {
        check_row(all[i], 0, "a string of twenty-nine bytes", i);
        batch_unref(all[i]);
    }
}

static void a_null_is_refused_where_there_can_be_none(void **state)
{
    struct fixture *f = *state;
    rask_row row;

    assert_int_equal(put(f->out, "first", 1), 0);
    assert_int_equal(rask_out_begin(f->out, &pair), 0);
    rask_out_null(f->out, 0);
    rask_out_null(f->out, 1);
    assert_int_equal(rask_out_end(f->out), ERR_INVALID);
    assert_string_equal(f->sink.refused,
                        "column 'word' of pair: it is NOT NULL and was given NULL");
    assert_int_equal(put(f->out, "second", 2), 0); /* nothing of the refused row is left */
    model_full(f->out, &f->sink);
    assert_int_equal(f->sink.batches[0]->rows, 2);
    row = rask_batch_row(f->sink.batches[0], 1);
    assert_false(rask_is_null(&row, 1));
    check_row(f->sink.batches[0], 1, "second", 2);
}

static void wrong_columns_are_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(rask_out_begin(f->out, &pair), 0);
    rask_out_string(f->out, 1, (rask_str){"x", 1});
    assert_int_equal(rask_out_end(f->out), ERR_INVALID);
    assert_string_equal(f->sink.refused, "column 'n' of pair: it is not a STRING or BYTES column");
    assert_int_equal(rask_out_begin(f->out, &pair), 0);
    rask_out_null(f->out, 77);
    assert_int_equal(rask_out_end(f->out), ERR_INVALID);
    assert_non_null(strstr(f->sink.refused, "column 77 of pair"));
    f->out->row_kind = RASK_DELETE;
    assert_int_equal(put(f->out, "gone", 1), ERR_INVALID);
    assert_non_null(strstr(f->sink.refused, "insertions only"));
    assert_null(out_take(f->out));
}

static void another_schema_is_refused_by_both_names(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(rask_out_begin(f->out, &twin), 0); /* equal is enough */
    rask_out_null(f->out, 1);
    assert_int_equal(rask_out_end(f->out), 0);
    assert_int_equal(rask_out_begin(f->out, &other), ERR_INVALID);
    assert_string_equal(
        f->sink.refused,
        "a row of other (word STRING NOT NULL, n INT) was emitted where the output takes "
        "pair (word STRING NOT NULL, n BIGINT)");
    assert_int_equal(put(f->out, "after", 1), 0);
}

static void a_row_that_was_not_ended_starts_anew(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f->out, "first", 1), 0);
    assert_int_equal(rask_out_begin(f->out, &pair), 0);
    rask_out_null(f->out, 1);
    assert_int_equal(put(f->out, "second", 2), 0);
    model_full(f->out, &f->sink);
    assert_int_equal(f->sink.batches[0]->rows, 2);
    check_row(f->sink.batches[0], 1, "second", 2);
    assert_false(rask_column_is_null(&f->sink.batches[0]->columns[1], 1));
}

static void a_row_that_was_begun_survives_a_take(void **state)
{
    struct fixture *f = *state;
    static const char text[] = "the open row has a string of its own";
    rask_row row;

    for (int round = 0; round < 300; round++) {
        assert_int_equal(put(f->out, "first", 1), 0);
        assert_int_equal(rask_out_begin(f->out, &pair), 0);
        rask_out_string(f->out, 0, (rask_str){text, sizeof(text) - 1});
        rask_out_null(f->out, 1);
        model_full(f->out, &f->sink);
        assert_int_equal(rask_out_end(f->out), 0);
        model_full(f->out, &f->sink);
        assert_int_equal(f->sink.count, 2);
        check_row(f->sink.batches[0], 0, "first", 1);
        row = rask_batch_row(f->sink.batches[1], 0);
        assert_true(rask_is_null(&row, 1));
        assert_int_equal(rask_string(&row, 0).len, sizeof(text) - 1);
        assert_memory_equal(rask_string(&row, 0).data, text, sizeof(text) - 1);
        batch_unref(f->sink.batches[0]);
        batch_unref(f->sink.batches[1]);
        f->sink.count = 0;
    }
}

static void unset_strings_are_empty(void **state)
{
    struct fixture *f = *state;
    rask_row row;

    assert_int_equal(rask_out_begin(f->out, &pair), 0);
    rask_out_i64(f->out, 1, 5);
    assert_int_equal(rask_out_end(f->out), 0);
    model_full(f->out, &f->sink);
    row = rask_batch_row(f->sink.batches[0], 0);
    assert_int_equal(rask_string(&row, 0).len, 0);
}

static void rows_over_the_limit_are_refused(void **state)
{
    struct fixture *f = *state;
    uint32_t len = 65 * 1024 * 1024;
    char *text = mem_alloc(len);

    assert_int_equal(rask_out_begin(f->out, &pair), 0);
    rask_out_string(f->out, 0, (rask_str){text, len});
    rask_out_i64(f->out, 1, 1);
    assert_int_equal(rask_out_end(f->out), ERR_INVALID);
    assert_string_equal(f->sink.refused,
                        "column 'word' of pair: the strings of one row have more than 67108864 bytes (rask.max-row-size)");
    assert_int_equal(rask_out_begin(f->out, &pair), 0);
    rask_out_string(f->out, 0, (rask_str){text, 60 * 1024 * 1024});
    assert_int_equal(rask_out_end(f->out), 0);
    assert_int_equal(f->sink.count, 1);
    mem_free(text);
}

/* One byte decides, whatever stands in the rows before, and in the other columns. */
static void the_limit_of_a_row_is_exact(void **state)
{
    static const rask_field fields[] = {{"a", RASK_T_STRING, 0, 0, 0, NULL}, {"b", RASK_T_STRING, 0, 0, 0, NULL}};
    static const rask_schema two = {RASK_ABI, 2, "two", fields};
    enum { MOST = 1 << 20, BEFORE = 100000 };
    struct fixture *f = *state;
    struct model_sink sink = {.count = 0};
    rask_out *out = out_new(f->pool, &two, 0, &model_hooks, &sink);
    char *text = mem_alloc(MOST + 1);

    pool_set_row_max(f->pool, MOST);
    for (int more = -1; more <= 1; more++) {
        for (uint32_t a = 20; a <= BEFORE; a += BEFORE - 20) { /* of two columns */
            assert_int_equal(rask_out_begin(out, &two), 0); /* in a batch that has bytes */
            rask_out_string(out, 0, (rask_str){text, BEFORE});
            rask_out_string(out, 1, (rask_str){text, 7});
            assert_int_equal(rask_out_end(out), 0);
            assert_int_equal(rask_out_begin(out, &two), 0);
            rask_out_string(out, 0, (rask_str){text, a});
            rask_out_string(out, 1, (rask_str){text, (uint32_t)(MOST - a) + (uint32_t)more});
            assert_int_equal(rask_out_end(out), more > 0 ? ERR_INVALID : 0);
            assert_int_equal(rask_out_begin(out, &two), 0); /* behind a row that was refused another one has all its room */
            rask_out_string(out, 0, (rask_str){text, MOST});
            rask_out_string(out, 1, (rask_str){text, 7});
            assert_int_equal(rask_out_end(out), 0);
        }
    }
    while (sink.count > 0)
        batch_unref(sink.batches[--sink.count]);
    out_free(out);
    mem_free(text);
}

static void whole_batches_pass_in_order(void **state)
{
    struct fixture *f = *state;
    rask_batch *b;
    static const uint16_t keep[] = {1};

    assert_int_equal(put(f->out, "one", 1), 0);
    assert_int_equal(put(f->out, "two", 2), 0);
    b = out_take(f->out);
    assert_int_equal(put(f->out, "three", 3), 0);
    f->sink.batches[f->sink.count++] = batch_select(b, keep, 1);
    assert_int_equal(rask_emit_batch(f->out, &b), 0);
    assert_null(b);
    assert_int_equal(f->sink.count, 3);
    check_row(f->sink.batches[0], 0, "two", 2);
    check_row(f->sink.batches[1], 0, "three", 3);
    check_row(f->sink.batches[2], 1, "two", 2);
    b = batch_with_schema(f->sink.batches[2], &twin);
    assert_int_equal(rask_emit_batch(f->out, &b), 0);
    assert_ptr_equal(f->sink.batches[3]->schema, &pair);
    b = batch_with_schema(f->sink.batches[2], &other);
    assert_int_equal(rask_emit_batch(f->out, &b), ERR_INVALID);
    assert_null(b);
    assert_int_equal(f->sink.count, 4);
}

/* One row of each of many batches: sharing all their string buffers would keep all of them. */
static void forwarding_few_rows_keeps_few_buffers(void **state)
{
    struct fixture *f = *state;
    rask_out *source = out_new(f->pool, &pair, 0, &model_hooks, &f->sink);
    char text[40 * 1024];
    struct pool_stats stats;

    memset(text, 'x', sizeof(text));
    f->out->string_limit = UINT64_MAX;
    for (int i = 0; i < 100; i++) {
        rask_batch *b;
        rask_row row;

        assert_int_equal(rask_out_begin(source, &pair), 0);
        rask_out_string(source, 0, (rask_str){text, 30});
        assert_int_equal(rask_out_end(source), 0);
        assert_int_equal(rask_out_begin(source, &pair), 0);
        rask_out_string(source, 0, (rask_str){text, 31 * 1024}); /* moves the string buffer on */
        assert_int_equal(rask_out_end(source), 0);
        b = out_take(source);
        row = rask_batch_row(b, 0);
        assert_int_equal(rask_forward(f->out, &row), 0);
        batch_unref(b);
    }
    out_free(source);
    pool_stats(f->pool, &stats);
    assert_true(stats.in_use_bytes < 2560 * 1024);
    model_full(f->out, &f->sink);
    assert_true(f->sink.batches[0]->buffer_count <= 17);
    for (uint32_t i = 0; i < 100; i++) {
        rask_row row = rask_batch_row(f->sink.batches[0], i);

        assert_int_equal(rask_string(&row, 0).len, 30);
        assert_memory_equal(rask_string(&row, 0).data, text, 30);
    }
}

/* Batches that share memory with the one being filled are read by another thread. */
struct handover {
    struct pool *pool;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    rask_batch *slot;
    bool ended;
};

static void *handover_read(void *arg)
{
    struct handover *h = arg;
    int64_t expected = 0;

    for (;;) {
        static const uint16_t position[8] = {0, 1, 2, 3, 4, 5, 6, 7};
        rask_batch *b, *g;

        pthread_mutex_lock(&h->lock);
        while (!h->slot && !h->ended)
            pthread_cond_wait(&h->changed, &h->lock);
        b = h->slot;
        h->slot = NULL;
        pthread_cond_signal(&h->changed);
        pthread_mutex_unlock(&h->lock);
        if (!b)
            return NULL;
        g = batch_gather(h->pool, &b, 1, position, b->rows);
        for (uint32_t i = 0; i < g->rows; i++)
            check_row(g, i, "a string of twenty-nine bytes", expected++);
        batch_unref(g);
        batch_unref(b);
    }
}

static void handover_put(struct handover *h, rask_batch *b)
{
    pthread_mutex_lock(&h->lock);
    while (h->slot)
        pthread_cond_wait(&h->changed, &h->lock);
    h->slot = b;
    h->ended = !b;
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static void batches_are_read_by_another_thread(void **state)
{
    struct fixture *f = *state;
    struct handover h = {.pool = f->pool};
    pthread_t reader;

    pthread_mutex_init(&h.lock, NULL);
    pthread_cond_init(&h.changed, NULL);
    assert_int_equal(pthread_create(&reader, NULL, handover_read, &h), 0);
    for (int64_t i = 0; i < 3000;) {
        for (int64_t rows = i % 8 + 1; rows > 0; rows--)
            assert_int_equal(put(f->out, "a string of twenty-nine bytes", i++), 0);
        handover_put(&h, out_take(f->out));
    }
    handover_put(&h, NULL);
    assert_int_equal(pthread_join(reader, NULL), 0);
    pthread_mutex_destroy(&h.lock);
    pthread_cond_destroy(&h.changed);
}

/* A batch whose rows have no event time has no such column; the first one that has gives all of them one. */
static void event_times_appear_with_the_first(void **state)
{
    struct fixture *f = *state;
    rask_out *out = out_new(f->pool, &pair, BATCH_EVENT_TIME, &model_hooks, &f->sink);
    const rask_ts *at;

    assert_int_equal(put(out, "a", 1), 0);
    f->sink.batches[f->sink.count++] = out_take(out);
    assert_null(f->sink.batches[0]->event_time.data);
    for (int64_t i = 0; i < 600; i++) { /* through a change of arrays */
        out->event_time = i >= 3 ? i : RASK_TS_MIN;
        assert_int_equal(put(out, "b", i), 0);
    }
    f->sink.batches[f->sink.count++] = out_take(out);
    at = f->sink.batches[1]->event_time.data;
    for (int64_t i = 0; i < 600; i++)
        assert_int_equal(at[i], i >= 3 ? i : RASK_TS_MIN);
    out_free(out);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(batches_are_handed_on_at_their_limits),     T(small_batches_share_their_memory),
        T(a_null_is_refused_where_there_can_be_none), T(wrong_columns_are_refused),
        T(another_schema_is_refused_by_both_names),   T(a_row_that_was_not_ended_starts_anew),
        T(a_row_that_was_begun_survives_a_take),      T(unset_strings_are_empty),
        T(the_limit_of_a_row_is_exact),
        T(rows_over_the_limit_are_refused),           T(whole_batches_pass_in_order),
        T(forwarding_few_rows_keeps_few_buffers),     T(batches_are_read_by_another_thread),
        T(event_times_appear_with_the_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
