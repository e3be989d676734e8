/* test_ctx.c - the public functions of a running operator, over a context filled by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "api/runtime.h"
#include "common/base/mem.h"

static char log_text[100];
static int64_t accumulated;

static void take_log(rask_ctx *ctx, int level, const char *text)
{
    (void)ctx;
    snprintf(log_text, sizeof(log_text), "%d %s", level, text);
}
static struct rask_counter *counter(rask_ctx *ctx, const char *name)
{
    static struct rask_counter c;

    (void)ctx;
    (void)name;
    return &c;
}
static void accumulate(rask_ctx *ctx, const char *name, int64_t n)
{
    (void)ctx;
    (void)name;
    accumulated += n;
}
static int wakes;
static void wake(rask_ctx *ctx)
{
    (void)ctx;
    wakes++;
}
static rask_ts now(rask_ctx *ctx)
{
    (void)ctx;
    return 77;
}
static const struct rask_ctx_ops ops = {
    .log = take_log, .counter = counter, .accumulate = accumulate, .processing_time = now, .wake = wake};

static void gives_what_the_engine_filled_in(void **state)
{
    const char *names[] = {"a", "a"}, *values[] = {"1", "2"};
    struct rask_params params = {.count = 2, .names = names, .values = values};
    bool full = false;
    int self = 0;
    rask_ctx ctx = {.ops = &ops,
                    .self = &self,
                    .args = "xy",
                    .args_size = 2,
                    .subtask = 1,
                    .parallelism = 4,
                    .max_parallelism = 128,
                    .attempt = 3,
                    .task_name = "map (2/4)",
                    .watermark = 9,
                    .full = &full,
                    .params = &params};

    (void)state;
    assert_ptr_equal(rask_self(&ctx), &self);
    assert_memory_equal(rask_args(&ctx), "xy", rask_args_size(&ctx));
    assert_int_equal(rask_subtask(&ctx), 1);
    assert_int_equal(rask_parallelism(&ctx), 4);
    assert_int_equal(rask_max_parallelism(&ctx), 128);
    assert_int_equal(rask_attempt(&ctx), 3);
    assert_string_equal(rask_task_name(&ctx), "map (2/4)");
    assert_int_equal(rask_watermark(&ctx), 9);
    assert_int_equal(rask_processing_time(&ctx), 77);
    assert_string_equal(rask_param_of(&ctx, "a", "x"), "2");
    assert_string_equal(rask_param_of(&ctx, "b", "x"), "x");
    assert_false(rask_op_full(&ctx));
    full = true;
    assert_true(rask_op_full(&ctx));
    rask_log(&ctx, RASK_LOG_WARN, "%d rows", 5);
    assert_string_equal(log_text, "2 5 rows");
    rask_counter_add(rask_counter_of(&ctx, "n"), 5);
    rask_counter_add(rask_counter_of(&ctx, "n"), -2);
    assert_int_equal(rask_counter_value(rask_counter_of(&ctx, "n")), 3);
    rask_accumulate(&ctx, "n", 4);
    assert_int_equal(accumulated, 4);
    assert_memory_equal(rask_alloc(&ctx, 8), "\0\0\0\0\0\0\0", 8);
    arena_release(&ctx.scratch);
}

static void keeps_the_first_failure(void **state)
{
    rask_ctx ctx = {.ops = &ops};

    (void)state;
    assert_int_equal(rask_fail(&ctx, "order %d has no price", 5), ERR_USER);
    assert_int_equal(rask_fail(&ctx, "again"), ERR_USER);
    assert_string_equal(ctx.error.text, "order 5 has no price");
}

static void reads_the_key(void **state)
{
    rask_ctx ctx = {.ops = &ops, .key = {"\0\0\0\2ab", 6}};
    const char number[8] = {(char)0x7f, -1, -1, -1, -1, -1, -1, -2};
    rask_str key;

    (void)state;
    key = rask_key_string(&ctx);
    assert_int_equal(key.len, 2);
    assert_memory_equal(key.data, "ab", 2);
    ctx.key_nullable = true;
    ctx.key = (rask_str){"\1\0\0\0\2ab", 7};
    assert_int_equal(rask_key_string(&ctx).len, 2);
    ctx.key = (rask_str){"\0", 1};
    assert_int_equal(rask_key_string(&ctx).len, 0);
    ctx.key = (rask_str){NULL, 0};
    assert_int_equal(rask_key_string(&ctx).len, 0);
    ctx.key_nullable = false;
    ctx.key = (rask_str){"\0\0\0\7ab", 6};
    assert_int_equal(rask_key_string(&ctx).len, 0);
    ctx.key = (rask_str){number, 8};
    assert_int_equal(rask_key_i64(&ctx), -2);
    assert_int_equal(rask_key_bytes(&ctx).len, 8);
}

static void split_positions_are_copied(void **state)
{
    struct rask_split_slot slot = {.split = {.id = {"s", 1}}};
    char position[] = "12";

    (void)state;
    rask_split_position(&slot.split, position, 2);
    position[0] = 'x';
    assert_int_equal(slot.split.position.len, 2);
    assert_memory_equal(slot.split.position.data, "12", 2);
    rask_split_position(&slot.split, "", 0);
    assert_int_equal(slot.split.position.len, 0);
    bytes_release(&slot.position);
}

static void rows_may_have_a_time(void **state)
{
    rask_ts times[] = {5, 6};
    rask_batch batch = {.event_time = {.data = times}}, none = {0};
    rask_row row = {&batch, 1}, timeless = {&none, 0};

    (void)state;
    assert_int_equal(rask_row_time(&row), 6);
    assert_true(rask_row_time(&timeless) == RASK_TS_MIN);
}

static void a_waker_outlives_its_subtask(void **state)
{
    rask_ctx *ctx = MEM_NEW(rask_ctx);
    rask_waker *waker, *same;

    (void)state;
    ctx->ops = &ops;
    wakes = 0;
    waker = rask_waker_of(ctx);
    same = rask_waker_of(ctx);
    assert_ptr_equal(waker, same);
    rask_wake(waker);
    assert_int_equal(wakes, 1);
    rask_waker_unref(same);
    rask_wake(waker);
    assert_int_equal(wakes, 2);
    api_ctx_over(ctx);
    api_ctx_over(ctx);
    mem_free(ctx);
    rask_wake(waker);
    assert_int_equal(wakes, 2);
    rask_waker_unref(waker);
    rask_waker_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_what_the_engine_filled_in),
        cmocka_unit_test(keeps_the_first_failure),
        cmocka_unit_test(reads_the_key),
        cmocka_unit_test(split_positions_are_copied),
        cmocka_unit_test(rows_may_have_a_time),
        cmocka_unit_test(a_waker_outlives_its_subtask),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
