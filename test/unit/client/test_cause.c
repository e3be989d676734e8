/* test_cause.c - which vertex holds a job back, and the word for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/cause.h"

static struct cli_vertex vertex(const char *name, double busy, double pressed, double fed_pressed)
{
    return (struct cli_vertex){.id = name, .name = name, .parallelism = 2, .max_parallelism = 128, .known = true,
                               .busy = busy, .busy_max = busy, .pressed = pressed, .pressed_max = pressed,
                               .idle = 1000 - busy - pressed, .fed_pressed_max = fed_pressed, .fed_by = -1};
}

static void a_job_at_ease_has_no_worst(void **state)
{
    struct cli_vertex v[] = {vertex("Source: a", 100, 0, 0), vertex("Sink: b", 300, 0, 0)};

    (void)state;
    assert_int_equal(cli_worst(v, 2), -1);
    assert_int_equal(cli_worst(v, 0), -1);
    assert_int_equal(cli_cause_of(&v[1]), CLI_CAUSE_NONE);
}

static void back_pressure_points_at_the_slow_one(void **state)
{
    struct cli_vertex v[] = {vertex("Source: a", 20, 980, 0), vertex("map", 30, 970, 980), vertex("slow", 1000, 0, 970),
                             vertex("Sink: b", 1, 0, 0)};

    (void)state;
    assert_int_equal(cli_worst(v, 4), 2);
    assert_int_equal(cli_cause_of(&v[2]), CLI_CAUSE_OPERATOR);
}

/* A source that makes what it can is busy too, and nobody waits for it. */
static void the_one_that_others_wait_for_is_worse_than_a_busy_one(void **state)
{
    struct cli_vertex v[] = {vertex("Source: fast", 1000, 0, 0), vertex("Source: a", 500, 490, 0), vertex("Sink: b", 990, 0, 490)};

    (void)state;
    assert_int_equal(cli_worst(v, 3), 2);
    assert_int_equal(cli_cause_of(&v[2]), CLI_CAUSE_SINK);
}

static void a_sink_in_a_chain_is_told_by_its_time(void **state)
{
    struct cli_vertex v = vertex("map -> Sink: b", 1000, 0, 900);

    (void)state;
    v.sink_share = 0.2;
    assert_int_equal(cli_cause_of(&v), CLI_CAUSE_OPERATOR);
    v.sink_share = 0.9;
    assert_int_equal(cli_cause_of(&v), CLI_CAUSE_SINK);
}

static void one_hot_key_group_is_skew(void **state)
{
    struct cli_vertex v = vertex("sum", 650, 0, 800);

    (void)state;
    v.busy_max = 1000;
    v.fed_hot_share = 0.4;
    assert_int_equal(cli_cause_of(&v), CLI_CAUSE_KEY);
    v.fed_hot_share = 0.01; /* uneven for another reason */
    assert_int_equal(cli_cause_of(&v), CLI_CAUSE_OPERATOR);
    v.parallelism = 128; /* one of 128 gets twice its share */
    v.fed_hot_share = 2.0 / 128;
    assert_int_equal(cli_cause_of(&v), CLI_CAUSE_KEY);
    v.busy = 1000; /* all are busy */
    v.fed_hot_share = 0.4;
    assert_int_equal(cli_cause_of(&v), CLI_CAUSE_OPERATOR);
}

static void tasks_that_wait_for_a_thread_blame_the_host(void **state)
{
    struct cli_vertex v = vertex("Sink: b", 1000, 0, 900);

    (void)state;
    v.ready_max = 400;
    assert_int_equal(cli_cause_of(&v), CLI_CAUSE_HOST);
    assert_string_equal(cli_cause_name(CLI_CAUSE_HOST), "CPU-bound host");
}

static void what_is_not_known_is_not_blamed(void **state)
{
    struct cli_vertex v = vertex("x", 1000, 0, 0);

    (void)state;
    v.known = false;
    assert_int_equal(cli_worst(&v, 1), -1);
    assert_int_equal(cli_cause_of(&v), CLI_CAUSE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_at_ease_has_no_worst),
        cmocka_unit_test(back_pressure_points_at_the_slow_one),
        cmocka_unit_test(the_one_that_others_wait_for_is_worse_than_a_busy_one),
        cmocka_unit_test(a_sink_in_a_chain_is_told_by_its_time),
        cmocka_unit_test(one_hot_key_group_is_skew),
        cmocka_unit_test(tasks_that_wait_for_a_thread_blame_the_host),
        cmocka_unit_test(what_is_not_known_is_not_blamed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
