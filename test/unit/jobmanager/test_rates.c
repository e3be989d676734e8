/* test_rates.c - figures per second from counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "jobmanager/job/rates.h"

#define SECOND 1000000ull

static Rask__Control__TaskMetrics pull_at(uint64_t at_us, uint64_t records)
{
    Rask__Control__TaskMetrics m = RASK__CONTROL__TASK_METRICS__INIT;

    m.at_us = at_us;
    m.records_in = records;
    m.bytes_in = records * 10;
    return m;
}

static void first_pull_is_the_average_so_far(void **state)
{
    struct jm_rates r = {0};
    Rask__Control__TaskMetrics m = pull_at(100 * SECOND, 8000);

    (void)state;
    m.busy_ms = 1000;
    m.idle_ms = 1500;
    m.backpressured_ms = 500;
    m.hard_backpressured_ms = 1000;
    jm_rates_add(&r, &m);
    assert_int_equal(r.live.busy, 250);
    assert_int_equal(r.live.idle, 375);
    assert_int_equal(r.live.soft, 125);
    assert_int_equal(r.live.hard, 250);
    assert_float_equal(r.live.records_in_rate, 2000, 0.01);
    assert_float_equal(r.live.bytes_in_rate, 20000, 0.01);
}

/* A task that has just begun has no rates; a fraction of a second later it has. */
static void the_first_moments_say_nothing(void **state)
{
    struct jm_rates r = {0};
    Rask__Control__TaskMetrics m = pull_at(100 * SECOND, 10);

    (void)state;
    m.busy_ms = 20;
    jm_rates_add(&r, &m);
    assert_false(r.known);
    m.at_us += SECOND / 2;
    m.busy_ms += 500;
    jm_rates_add(&r, &m);
    assert_true(r.known);
    assert_int_equal(r.live.busy, 1000);
}

static void times_are_between_two_pulls(void **state)
{
    struct jm_rates r = {0};
    Rask__Control__TaskMetrics m = pull_at(100 * SECOND, 0);

    (void)state;
    m.idle_ms = 60000;
    jm_rates_add(&r, &m);
    m.at_us += SECOND * 5 / 4; /* the pull was late */
    m.busy_ms = 1200;
    m.idle_ms += 50;
    m.ready_ms = 625;
    jm_rates_add(&r, &m);
    assert_int_equal(r.live.busy, 960);
    assert_int_equal(r.live.idle, 40);
    assert_int_equal(r.live.ready, 500);
}

/* A slow operator takes 4,096 rows every four seconds: its rate is 1,024 rows a second all the time. */
static void meters_look_over_blocks(void **state)
{
    struct jm_rates r = {0};

    (void)state;
    for (uint64_t s = 1; s < 60; s++) {
        Rask__Control__TaskMetrics m = pull_at(1000 * SECOND + s * SECOND, 4096 * (s / 4));

        m.busy_ms = s * 1000;
        jm_rates_add(&r, &m);
        if (s > 10)
            assert_in_range((long)r.live.records_in_rate, 500, 1800);
    }
}

static void long_ago_is_not_now(void **state)
{
    struct jm_rates r = {0};
    Rask__Control__TaskMetrics m = pull_at(100 * SECOND, 1000);

    (void)state;
    m.busy_ms = 1000;
    jm_rates_add(&r, &m);
    m.at_us += 1000 * SECOND;
    m.records_in += 1000;
    jm_rates_add(&r, &m);
    assert_float_equal(r.live.records_in_rate, 1, 0.01);
    m.at_us += SECOND;
    m.records_in += 500;
    jm_rates_add(&r, &m);
    assert_float_equal(r.live.records_in_rate, 500, 0.01);
}

static void another_attempt_begins_anew(void **state)
{
    struct jm_rates r = {0};
    Rask__Control__TaskMetrics m = pull_at(100 * SECOND, 1000);

    (void)state;
    m.busy_ms = 50000;
    jm_rates_add(&r, &m);
    m = pull_at(101 * SECOND, 10);
    m.busy_ms = 500;
    jm_rates_add(&r, &m);
    assert_float_equal(r.live.records_in_rate, 20, 0.01);
    assert_int_equal(r.live.busy, 1000);
}

static void gauges_are_taken_as_they_are(void **state)
{
    struct jm_rates r = {0};
    Rask__Control__TaskMetrics m = pull_at(100 * SECOND, 0);
    Rask__Control__EdgeMetrics a = RASK__CONTROL__EDGE_METRICS__INIT, b = a;
    Rask__Control__EdgeMetrics *edges[] = {&a, &b};

    (void)state;
    a.in_flight_bytes = 100;
    b.in_flight_bytes = 20;
    a.hot_key_group = 7;
    a.hot_permille = 300;
    b.hot_key_group = 9;
    b.hot_permille = 900;
    m.edges = edges;
    m.n_edges = 2;
    m.input_queue_bytes = 50;
    m.input_credit_bytes = 200;
    m.output_usage_permille = 750;
    jm_rates_add(&r, &m);
    assert_int_equal(r.live.in_flight_bytes, 120);
    assert_int_equal(r.live.hot_key_group, 9);
    assert_int_equal(r.live.in_permille, 250);
    assert_int_equal(r.live.out_permille, 750);
    assert_true(r.live.watermark == INT64_MIN);
    m.input_queue_bytes = 500; /* a row larger than the credit passed alone */
    jm_rates_add(&r, &m);
    assert_int_equal(r.live.in_permille, 1000);
}

static void looks_at_the_operator_are_smoothed(void **state)
{
    struct jm_rates r = {0};
    Rask__Control__TaskMetrics m = pull_at(100 * SECOND, 0);

    (void)state;
    jm_rates_add(&r, &m);
    assert_int_equal(r.live.sink_permille, 0);
    m.has_in_sink = m.in_sink = 1;
    jm_rates_add(&r, &m);
    assert_int_equal(r.live.sink_permille, 1000);
    m.in_sink = 0;
    jm_rates_add(&r, &m);
    assert_in_range(r.live.sink_permille, 860, 890);
    m.has_in_sink = 0; /* nothing runs: nothing to see */
    jm_rates_add(&r, &m);
    assert_in_range(r.live.sink_permille, 860, 890);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_pull_is_the_average_so_far),
        cmocka_unit_test(the_first_moments_say_nothing),
        cmocka_unit_test(times_are_between_two_pulls),
        cmocka_unit_test(meters_look_over_blocks),
        cmocka_unit_test(long_ago_is_not_now),
        cmocka_unit_test(another_attempt_begins_anew),
        cmocka_unit_test(gauges_are_taken_as_they_are),
        cmocka_unit_test(looks_at_the_operator_are_smoothed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
