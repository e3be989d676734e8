/* What an enumerator's edge remembers of the splits that it gave, and readers that come and go behind it. One thread, no loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "taskmanager/worker/checkpoint/barrier.h"
#include "taskmanager/worker/exchange/edge.h"
#include "test/unit/taskmanager/worker/noting.h"

#define READERS 2

static struct wk_runnable enumerator = {.executor = &executor}, reader = {.executor = &executor};

static const rask_field fields[] = {{"id", RASK_T_BYTES, 0, 0, 0, NULL}, {"position", RASK_T_BYTES, 0, 0, 0, NULL}};
static const rask_schema schema = {RASK_ABI, 2, "split", fields};

struct bench {
    struct pool *pool;
    struct wk_edge edge;
    struct wk_gate gates[READERS];
    char seen[READERS][256]; /* what each took, in order: splits, |N for a barrier, . for the end */
};

static int is_full(rask_out *out, void *arg)
{
    (void)out;
    (void)arg;
    return 0;
}

static rask_batch *splits(struct bench *b, const char *ids) /* one of each letter */
{
    static const struct out_hooks hooks = {.full = is_full};
    rask_out *out = out_new(b->pool, &schema, 0, &hooks, NULL);
    rask_batch *batch;

    for (const char *p = ids; *p; p++) {
        assert_int_equal(rask_out_begin(out, &schema), 0);
        rask_out_string(out, 0, (rask_str){p, 1});
        rask_out_string(out, 1, (rask_str){"here", 4});
        assert_int_equal(rask_out_end(out), 0);
    }
    batch = out_take(out);
    out_free(out);
    return batch;
}

/* A new one of that number: with nothing of its own, and a credit of one split. */
static int begin(struct bench *b, uint32_t i, uint64_t checkpoint, uint64_t given_up)
{
    int again;

    wk_gate_init(&b->gates[i], &reader, 1);
    b->gates[i].channels[0].by_row = true;
    again = wk_edge_attach(&b->edge, i, &b->gates[i].channels[0], NULL, checkpoint, given_up);
    b->seen[i][0] = 0;
    if (again >= 0)
        wk_in_open(&b->gates[i].channels[0], 1);
    wk_edge_send_waiting(&b->edge);
    return again;
}

static void end(struct bench *b, uint32_t i)
{
    wk_edge_detach(&b->edge, i);
    wk_gate_release(&b->gates[i]);
}

static void bench_new(struct bench *b, uint64_t restored)
{
    memset(b, 0, sizeof(*b));
    b->pool = pool_new(64u << 20);
    b->edge = (struct wk_edge){.partitioner = RASK__GRAPH__PARTITIONER__SPLITS, .pool = b->pool, .channel_count = READERS,
                               .target_parallelism = READERS, .max_parallelism = 128, .side = -1, .aligned_only = true};
    b->edge.channels = mem_alloc_array_lines(READERS, sizeof(*b->edge.channels));
    b->edge.splits = wk_splits_new(&schema, READERS, restored);
    for (uint32_t i = 0; i < READERS; i++)
        wk_out_init(&b->edge.channels[i], &enumerator, 0, 0, i);
    for (uint32_t i = 0; i < READERS; i++)
        assert_int_equal(begin(b, i, restored, 0), 0);
}

static void bench_free(struct bench *b)
{
    for (uint32_t i = 0; i < READERS; i++)
        end(b, i);
    wk_edge_release(&b->edge);
    pool_free(b->pool);
}

static void see(char *seen, const struct wk_element *e)
{
    rask_batch *rows = e->type == WK_DATA ? wk_element_rows(e) : NULL;
    char *at = seen + strlen(seen), *end = seen + sizeof(((struct bench *)0)->seen[0]);

    for (uint32_t i = 0; rows && i < rows->rows; i++) {
        rask_row row = rask_batch_row(rows, i);

        assert_int_equal(rask_string(&row, 0).len, 1);
        assert_memory_equal(rask_string(&row, 1).data, "here", 4);
        *at++ = rask_string(&row, 0).data[0];
        *at = 0;
    }
    if (e->type == WK_BARRIER)
        snprintf(at, (size_t)(end - at), "|%llu", (unsigned long long)wk_barrier_id(e->value));
    if (e->type == WK_END)
        snprintf(at, (size_t)(end - at), ".");
    batch_unref(rows);
}

/* Reader i reads all that there is for it. */
static const char *take(struct bench *b, uint32_t i)
{
    struct wk_element *e;
    struct wk_in *in;

    for (;;) {
        wk_edge_send_waiting(&b->edge);
        e = wk_gate_take(&b->gates[i], &in);
        if (!e)
            return b->seen[i];
        see(b->seen[i], e);
        if (e->type == WK_DATA)
            wk_in_consumed(in, e->bytes);
        wk_element_free(e);
    }
}

static void barrier(struct bench *b, uint64_t checkpoint)
{
    wk_edge_control(&b->edge, WK_BARRIER, wk_barrier_value(checkpoint, RASK__CONTROL__CHECKPOINT_KIND__CHECKPOINT, false));
}

static void a_reader_gets_again_what_followed_the_barrier(void **state)
{
    struct bench b;

    (void)state;
    bench_new(&b, 0);
    wk_edge_emit(&b.edge, splits(&b, "abcd"));
    assert_string_equal(take(&b, 1), "bcd"); /* the other one reads its first */
    barrier(&b, 1);
    wk_edge_completed(&b.edge, 1);
    wk_edge_emit(&b.edge, splits(&b, "efg"));
    assert_string_equal(take(&b, 1), "bcd|1efg");
    assert_string_equal(take(&b, 0), "a|1");

    end(&b, 1);
    assert_int_equal(begin(&b, 1, 1, 1), 3);
    assert_string_equal(take(&b, 1), "efg");
    wk_edge_emit(&b.edge, splits(&b, "h"));
    assert_string_equal(take(&b, 0), "a|1h");
    wk_edge_emit(&b.edge, splits(&b, "i"));
    assert_string_equal(take(&b, 1), "efgi");
    end(&b, 0); /* nothing of the other's comes to this one */
    assert_int_equal(begin(&b, 0, 1, 1), 1);
    assert_string_equal(take(&b, 0), "h");
    end(&b, 1); /* what it was given again it is given a third time */
    assert_int_equal(begin(&b, 1, 1, 1), 4);
    assert_string_equal(take(&b, 1), "efgi");
    bench_free(&b);
}

/* The word that its checkpoint is complete may come to the enumerator after the reader. */
static void a_reader_is_back_before_its_checkpoint_is_heard_of(void **state)
{
    struct bench b;

    (void)state;
    bench_new(&b, 0);
    wk_edge_emit(&b.edge, splits(&b, "abcd"));
    assert_string_equal(take(&b, 1), "bcd");
    barrier(&b, 1);
    wk_edge_emit(&b.edge, splits(&b, "efg"));
    assert_string_equal(take(&b, 1), "bcd|1efg");
    end(&b, 1);
    assert_int_equal(begin(&b, 1, 1, 1), 3);
    assert_string_equal(take(&b, 1), "efg");
    bench_free(&b);
}

static void without_a_checkpoint_it_gets_all_of_them_again(void **state)
{
    struct bench b;

    (void)state;
    bench_new(&b, 0);
    wk_edge_emit(&b.edge, splits(&b, "ab"));
    assert_string_equal(take(&b, 0), "a");
    barrier(&b, 1); /* never complete */
    wk_edge_emit(&b.edge, splits(&b, "c"));
    assert_string_equal(take(&b, 0), "a|1c");
    end(&b, 0);
    assert_int_equal(begin(&b, 0, 0, 1), 2);
    assert_string_equal(take(&b, 0), "ac");
    bench_free(&b);
}

static void an_older_checkpoint_is_refused(void **state)
{
    struct bench b;

    (void)state;
    bench_new(&b, 4);
    wk_edge_emit(&b.edge, splits(&b, "a"));
    assert_string_equal(take(&b, 0), "a");
    barrier(&b, 5);
    wk_edge_completed(&b.edge, 5);
    wk_edge_completed(&b.edge, 3); /* late */
    end(&b, 0);
    assert_int_equal(begin(&b, 0, 4, 5), -1);
    wk_gate_release(&b.gates[0]);
    assert_int_equal(begin(&b, 0, 5, 5), 0);
    assert_string_equal(take(&b, 0), "");
    bench_free(&b);
}

static void the_end_is_said_again(void **state)
{
    struct bench b;

    (void)state;
    bench_new(&b, 0);
    wk_edge_emit(&b.edge, splits(&b, "ab"));
    wk_edge_control(&b.edge, WK_END, 0);
    assert_string_equal(take(&b, 0), "a.");
    end(&b, 0);
    assert_string_equal(take(&b, 1), "b.");
    assert_int_equal(begin(&b, 0, 0, 0), 1);
    assert_string_equal(take(&b, 0), "a.");
    assert_true(wk_edge_drained(&b.edge));
    bench_free(&b);
}

static void nobody_behind_a_channel_holds_up_nobody(void **state)
{
    struct bench b;

    (void)state;
    bench_new(&b, 0);
    end(&b, 0);
    wk_edge_emit(&b.edge, splits(&b, "abc"));
    assert_string_equal(take(&b, 1), "abc");
    barrier(&b, 1);
    assert_string_equal(take(&b, 1), "abc|1");
    wk_edge_control(&b.edge, WK_END, 0);
    assert_true(take(&b, 1) && wk_edge_drained(&b.edge));
    assert_int_equal(begin(&b, 0, 0, 1), 0);
    assert_string_equal(take(&b, 0), ".");
    bench_free(&b);
}

static void a_reader_that_was_given_nothing_yet_waits_in_its_turn(void **state)
{
    struct bench b;

    (void)state;
    bench_new(&b, 0);
    wk_edge_emit(&b.edge, splits(&b, "ab"));
    end(&b, 0); /* with the split in its gate */
    wk_edge_emit(&b.edge, splits(&b, "c"));
    assert_int_equal(begin(&b, 0, 0, 0), 1);
    assert_string_equal(take(&b, 0), "ac");
    assert_string_equal(take(&b, 1), "b");
    bench_free(&b);
}

static void a_barrier_that_was_given_up_goes_to_nobody(void **state)
{
    struct bench b;

    (void)state;
    bench_new(&b, 0);
    end(&b, 0);
    assert_int_equal(begin(&b, 0, 0, 7), 0);
    barrier(&b, 7);
    barrier(&b, 8);
    assert_string_equal(take(&b, 0), "|8");
    bench_free(&b);
}

static void too_many_are_not_remembered_until_the_next_checkpoint(void **state)
{
    struct wk_splits *s = wk_splits_new(&schema, 1, 0);
    struct bench b = {.pool = pool_new(64u << 20)};
    rask_batch *one = splits(&b, "x"), *again;
    rask_row row = rask_batch_row(one, 0);

    (void)state;
    for (uint32_t i = 0; i < SPLITS_KEPT_MAX; i++)
        wk_splits_given(s, 0, &row);
    assert_true(wk_splits_since(s, 0, 0, b.pool, &again));
    assert_int_equal(again->rows, SPLITS_KEPT_MAX);
    batch_unref(again);
    s->barrier = 3;
    wk_splits_given(s, 0, &row); /* one too many */
    assert_false(wk_splits_since(s, 0, 0, b.pool, &again));
    assert_false(wk_splits_since(s, 0, 3, b.pool, &again));
    wk_splits_given(s, 0, &row);
    s->barrier = 4;
    wk_splits_given(s, 0, &row);
    assert_false(wk_splits_since(s, 0, 3, b.pool, &again));
    assert_true(wk_splits_since(s, 0, 4, b.pool, &again));
    assert_int_equal(again->rows, 1);
    batch_unref(again);
    batch_unref(one);
    wk_splits_free(s);
    pool_free(b.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_gets_again_what_followed_the_barrier),
        cmocka_unit_test(a_reader_is_back_before_its_checkpoint_is_heard_of),
        cmocka_unit_test(without_a_checkpoint_it_gets_all_of_them_again),
        cmocka_unit_test(an_older_checkpoint_is_refused),
        cmocka_unit_test(the_end_is_said_again),
        cmocka_unit_test(nobody_behind_a_channel_holds_up_nobody),
        cmocka_unit_test(a_reader_that_was_given_nothing_yet_waits_in_its_turn),
        cmocka_unit_test(a_barrier_that_was_given_up_goes_to_nobody),
        cmocka_unit_test(too_many_are_not_remembered_until_the_next_checkpoint),
    };

    return cmocka_run_group_tests_name("splits", tests, NULL, NULL);
}
