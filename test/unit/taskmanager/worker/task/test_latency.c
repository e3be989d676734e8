/* test_latency.c - markers as values, histograms of their ages. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "taskmanager/worker/task/latency.h"

#define NOW 1900000000000000u /* us */

static void marker_survives_the_way(void **state)
{
    static const uint64_t ages[] = {0, 1, 999, 86400000000u};
    static const uint32_t vertices[] = {0, 1, 2047}, subtasks[] = {0, 77, 32767};

    (void)state;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 4; k++) {
            struct wk_marker sent = {vertices[i], subtasks[i], NOW - ages[k]};
            struct wk_marker got = wk_marker_unpack(wk_marker_pack(&sent), NOW);

            assert_int_equal(got.vertex, sent.vertex);
            assert_int_equal(got.subtask, sent.subtask);
            assert_int_equal(got.at_us, sent.at_us);
        }
}

/* The other host's clock is ahead: the marker is new, not days old. */
static void marker_from_the_future_is_new(void **state)
{
    struct wk_marker sent = {1, 2, NOW + 5000};

    (void)state;
    assert_int_equal(wk_marker_unpack(wk_marker_pack(&sent), NOW).at_us, NOW);
}

static void add(struct wk_latency *l, enum wk_granularity granularity, uint32_t vertex, uint32_t subtask, uint64_t age_us)
{
    struct wk_marker m = {vertex, subtask, NOW - age_us};

    wk_latency_add(l, granularity, 100, &m, NOW);
}

static void figures_are_those_of_the_ages(void **state)
{
    struct wk_latency l = {0};
    double s[WK_LATENCY_STATS];

    (void)state;
    for (uint64_t i = 1; i <= 300; i++) /* the last 100 stay: 201 .. 300 ms */
        add(&l, WK_PER_SOURCE, 3, 0, i * 1000);
    assert_int_equal(l.count, 1);
    wk_latency_stats(&l.of[0], s);
    assert_true(fabs(s[0] - 201) < 1e-9);     /* min */
    assert_true(fabs(s[1] - 300) < 1e-9);     /* max */
    assert_true(fabs(s[2] - 250.5) < 1e-9);   /* mean */
    assert_true(fabs(s[3] - 29.0115) < 1e-3); /* stddev */
    assert_true(fabs(s[4] - 250.5) < 1e-9);   /* median */
    assert_true(fabs(s[5] - 275.75) < 1e-9);  /* p75: rank 75.75 */
    assert_true(fabs(s[9] - 299.99) < 1e-9);  /* p99: rank 99.99 */
    assert_true(fabs(s[10] - 300) < 1e-9);
    wk_latency_release(&l);
    wk_latency_stats(&(struct wk_latency_of){.count = 0}, s);
    assert_true(s[0] == 0);
}

static void granularity_makes_histograms(void **state)
{
    static const struct {
        enum wk_granularity granularity;
        uint32_t histograms;
    } cases[] = {{WK_PER_OPERATOR, 1}, {WK_PER_SOURCE, 2}, {WK_PER_SOURCE_SUBTASK, 6}};

    (void)state;
    for (int c = 0; c < 3; c++) {
        struct wk_latency l = {0};

        for (uint32_t i = 0; i < 60; i++)
            add(&l, cases[c].granularity, i % 2, i % 3, 1000);
        assert_int_equal(l.count, cases[c].histograms);
        assert_int_equal(l.of[0].count, 60 / cases[c].histograms);
        wk_latency_release(&l);
    }
}

static void too_many_sources_are_left_out(void **state)
{
    struct wk_latency l = {0};

    (void)state;
    for (uint32_t i = 0; i < WK_LATENCY_SOURCES_MAX + 10; i++)
        add(&l, WK_PER_SOURCE_SUBTASK, 0, i, 1);
    assert_int_equal(l.count, WK_LATENCY_SOURCES_MAX);
    wk_latency_release(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marker_survives_the_way),       cmocka_unit_test(marker_from_the_future_is_new),
        cmocka_unit_test(figures_are_those_of_the_ages), cmocka_unit_test(granularity_makes_histograms),
        cmocka_unit_test(too_many_sources_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
