/* Timers as users write them, in the engine's own task: event and processing time, per key, with what they emit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <rask/testkit.h>

RASK_ROW(visit, (STRING, who), (BIGINT, wait), (TIMESTAMP, at));
RASK_ROW(said, (STRING, what), (BIGINT, at));

static char what[256];

/* wait > 0: a timer so long after the visit; < 0: that one is cancelled; 0: processing time, in 100 ms. */
static int on_visit(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct visit v = visit_at(row);

    (void)out;
    if (v.wait == 0)
        return rask_timer_in(ctx, 100);
    return v.wait > 0 ? rask_timer_at(ctx, v.at + v.wait) : rask_timer_cancel(ctx, v.at - v.wait);
}

static int on_time(rask_ctx *ctx, rask_ts at, rask_out *out)
{
    rask_str who = rask_key_string(ctx);

    snprintf(what, sizeof(what), "%s %.*s", rask_timer_is_event_time(ctx) ? "event" : "processing", (int)who.len, who.data);
    if (who.data[0] == 'r' && at < 50) /* sets the next one itself */
        (void)rask_timer_at(ctx, at + 10);
    return said_emit(out, &(struct said){rask_str_of(what), at});
}

static const rask_process_fn waiter = {RASK_ABI, "waiter", .in = &visit_schema, .out = &said_schema, .on_row = on_visit,
                                       .on_timer = on_time};

static rask_stream *keyed(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)env;
    (void)in2;
    return rask_process(rask_key_by(in, "who"), &waiter);
}

static rask_stream *not_keyed(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)env;
    (void)in2;
    return rask_process(in, &waiter);
}

static void visit(rask_kit *kit, const char *who, int64_t wait, rask_ts at)
{
    assert_int_equal(visit_emit(rask_kit_in(kit, 0), &(struct visit){rask_str_of(who), wait, at}), 0);
}

static void event_timers_fire_in_order_when_the_watermark_reaches_them(void **state)
{
    rask_kit *kit = rask_kit_new(keyed, &visit_schema, NULL);

    (void)state;
    visit(kit, "b", 200, 0);
    visit(kit, "a", 100, 0);
    visit(kit, "a", 100, 0); /* the same */
    visit(kit, "c", 150, 0);
    visit(kit, "c", -150, 0); /* cancelled */
    assert_int_equal(rask_kit_watermark(kit, 99), 0);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "");
    assert_int_equal(rask_kit_watermark(kit, 100), 0);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "event a,100\n");
    assert_int_equal(rask_row_time(&(rask_row){rask_kit_row(kit, RASK_KIT_MAIN, 0).batch, 0}), 100);
    rask_kit_clear(kit);
    assert_int_equal(rask_kit_watermark(kit, 1000), 0);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "event b,200\n");
    assert_int_equal(rask_kit_watermark_out(kit), 1000);
    rask_kit_free(kit);
}

static void a_timer_may_set_the_next(void **state)
{
    rask_kit *kit = rask_kit_new(keyed, &visit_schema, NULL);

    (void)state;
    visit(kit, "r", 10, 0);
    assert_int_equal(rask_kit_watermark(kit, 35), 0);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "event r,10\nevent r,20\nevent r,30\n");
    assert_int_equal(rask_kit_end(kit), 0); /* the end of input is the end of time */
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "event r,10\nevent r,20\nevent r,30\nevent r,40\nevent r,50\n");
    rask_kit_free(kit);
}

static void processing_timers_fire_by_the_clock_and_not_at_the_end(void **state)
{
    rask_kit *kit = rask_kit_new(keyed, &visit_schema, NULL);

    (void)state;
    rask_kit_set_time(kit, 1000);
    visit(kit, "p", 0, 0);
    rask_kit_set_time(kit, 1099);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "");
    rask_kit_set_time(kit, 1100);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "processing p,1100\n");
    visit(kit, "q", 0, 0);
    assert_int_equal(rask_kit_end(kit), 0);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "processing p,1100\n");
    rask_kit_free(kit);
}

static void many_timers_pass_a_full_output(void **state)
{
    rask_kit *kit = rask_kit_new(keyed, &visit_schema, NULL);
    char who[32];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        snprintf(who, sizeof(who), "%d", i);
        visit(kit, who, 1 + i % 7, 0);
    }
    assert_int_equal(rask_kit_watermark(kit, 7), 0);
    assert_int_equal(rask_kit_rows(kit, RASK_KIT_MAIN), 20000);
    for (int i = 1; i < 20000; i++) {
        rask_row a = rask_kit_row(kit, RASK_KIT_MAIN, (uint64_t)i - 1), b = rask_kit_row(kit, RASK_KIT_MAIN, (uint64_t)i);

        assert_true(rask_i64(&a, said_col_at) <= rask_i64(&b, said_col_at));
    }
    rask_kit_free(kit);
}

static void timers_need_a_key(void **state)
{
    rask_kit *kit = rask_kit_new(not_keyed, &visit_schema, NULL);

    (void)state;
    assert_int_not_equal(rask_kit_open(kit), 0);
    assert_non_null(strstr(rask_kit_error(kit), "put rask_key_by before it"));
    rask_kit_free(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_timers_fire_in_order_when_the_watermark_reaches_them),
        cmocka_unit_test(a_timer_may_set_the_next),
        cmocka_unit_test(processing_timers_fire_by_the_clock_and_not_at_the_end),
        cmocka_unit_test(many_timers_pass_a_full_output),
        cmocka_unit_test(timers_need_a_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
