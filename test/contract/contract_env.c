/*
 * contract_env.c - timers, posts, work: what every env promises.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "test/contract/contract.h"

struct seen {
    struct env *env;
    struct env_timer timer, other;
    struct env_task task, task2;
    struct env_work work;
    int fired, other_fired, posted, posted2, ran, done;
    uint64_t fired_ns;
    bool inside, was_inside;
    int order[8], order_count;
};

static void on_timer(struct env_timer *timer)
{
    struct seen *s = CONTAINER_OF(timer, struct seen, timer);

    assert_false(timer->armed);
    s->was_inside = s->was_inside || s->inside;
    s->fired++;
    s->fired_ns = env_now_ns(s->env);
    s->order[s->order_count++] = 1;
}

static void on_other(struct env_timer *timer)
{
    struct seen *s = CONTAINER_OF(timer, struct seen, other);

    s->other_fired++;
    s->order[s->order_count++] = 2;
}

static void on_task(struct env_task *task)
{
    struct seen *s = CONTAINER_OF(task, struct seen, task);

    s->was_inside = s->was_inside || s->inside;
    if (++s->posted < 3)
        env_post(s->env, task); /* from its own callback */
}

static void on_task2(struct env_task *task)
{
    CONTAINER_OF(task, struct seen, task2)->posted2++;
}

static void on_run(struct env_work *work)
{
    struct seen *s = CONTAINER_OF(work, struct seen, work);

    s->ran++;
}

static void on_done(struct env_work *work)
{
    struct seen *s = CONTAINER_OF(work, struct seen, work);

    s->was_inside = s->was_inside || s->inside;
    assert_int_equal(s->ran, s->done + 1);
    if (++s->done < 3)
        env_work(s->env, work);
}

static struct seen seen_on(void **state)
{
    struct world *w = *state;

    return (struct seen){.env = w->server,
                         .timer = {.cb = on_timer},
                         .other = {.cb = on_other},
                         .task = {.cb = on_task},
                         .task2 = {.cb = on_task2},
                         .work = {.run = on_run, .done = on_done}};
}

static void timer_fires_once_and_not_early(void **state)
{
    struct seen s = seen_on(state);
    uint64_t start = env_now_ns(s.env);

    s.inside = true;
    env_timer_arm_ms(s.env, &s.timer, 5);
    assert_true(s.timer.armed);
    s.inside = false;
    assert_true(world_until_count(*state, &s.fired, 1));
    assert_true(s.fired_ns - start >= 5000000);
    world_settle(*state);
    assert_int_equal(s.fired, 1);
    assert_false(s.was_inside);
}

static void zero_delay_is_not_inline(void **state)
{
    struct seen s = seen_on(state);

    s.inside = true;
    env_timer_arm(s.env, &s.timer, 0);
    s.inside = false;
    assert_true(world_until_count(*state, &s.fired, 1));
    assert_false(s.was_inside);
}

static void timer_cancels_and_rearms(void **state)
{
    struct seen s = seen_on(state);
    uint64_t start = env_now_ns(s.env);

    env_timer_arm_ms(s.env, &s.timer, 1);
    env_timer_cancel(s.env, &s.timer);
    assert_false(s.timer.armed);
    env_timer_cancel(s.env, &s.timer);
    world_settle(*state);
    assert_int_equal(s.fired, 0);
    env_timer_arm_ms(s.env, &s.timer, 1);
    env_timer_arm_ms(s.env, &s.timer, 40); /* moves it */
    assert_true(world_until_count(*state, &s.fired, 1));
    assert_true(s.fired_ns - start >= 40000000);
    env_timer_arm_ms(s.env, &s.timer, 1); /* after it has fired */
    assert_true(world_until_count(*state, &s.fired, 2));
}

static void timers_fire_in_order(void **state)
{
    struct seen s = seen_on(state);

    env_timer_arm_ms(s.env, &s.other, 20);
    env_timer_arm_ms(s.env, &s.timer, 10);
    assert_true(world_until_count(*state, &s.other_fired, 1));
    assert_int_equal(s.order_count, 2);
    assert_int_equal(s.order[0], 1);
    assert_int_equal(s.order[1], 2);
}

/* What a setting of "never" comes to, and what would be half a millisecond after an overflow. */
static void a_huge_delay_never_fires(void **state)
{
    struct seen s = seen_on(state);

    env_timer_arm_ms(s.env, &s.timer, 18446744073710u);
    world_settle(*state);
    assert_int_equal(s.fired, 0);
    env_timer_arm_ms(s.env, &s.timer, UINT64_MAX);
    world_settle(*state);
    assert_int_equal(s.fired, 0);
    env_timer_cancel(s.env, &s.timer);
}

static void post_runs_later_and_again(void **state)
{
    struct seen s = seen_on(state);

    s.inside = true;
    env_post(s.env, &s.task);
    env_post(s.env, &s.task); /* no-op */
    s.inside = false;
    assert_true(world_until_count(*state, &s.posted, 3));
    world_settle(*state);
    assert_int_equal(s.posted, 3);
    assert_false(s.was_inside);
}

static void unpost_takes_back(void **state)
{
    struct seen s = seen_on(state);

    env_unpost(s.env, &s.task2);
    env_post(s.env, &s.task2);
    env_post(s.env, &s.task);
    env_unpost(s.env, &s.task2);
    env_unpost(s.env, &s.task2);
    assert_true(world_until_count(*state, &s.posted, 3));
    world_settle(*state);
    assert_int_equal(s.posted2, 0);
    env_post(s.env, &s.task2);
    assert_true(world_until_count(*state, &s.posted2, 1));
}

static void work_runs_then_reports(void **state)
{
    struct seen s = seen_on(state);

    s.inside = true;
    env_work(s.env, &s.work);
    assert_int_equal(s.done, 0);
    s.inside = false;
    assert_true(world_until_count(*state, &s.done, 3));
    assert_int_equal(s.ran, 3);
    assert_false(s.was_inside);
}

static void clock_and_randomness(void **state)
{
    struct world *w = *state;
    uint64_t a = env_now_ns(w->server), x = env_rand_u64(w->server);

    assert_true(env_now_ns(w->server) >= a);
    assert_true(env_wall_ms(w->server) > 1500000000000);
    assert_int_not_equal(env_rand_u64(w->server), x);
    env_log(w->server, LOG_DEBUG, "contract", NULL, "a line of %d words", 5);
}

static void whoever_lives_is_not_gone(void **state)
{
    struct world *w = *state;
    char line[ENV_PROCESS_MAX], again[ENV_PROCESS_MAX], text[ENV_PROCESS_MAX + 1];

    env_process(w->server, line);
    env_process(w->server, again);
    assert_string_equal(line, again);
    assert_true(*line);
    assert_null(strchr(line, '\n'));
    assert_false(env_process_is_gone(w->server, line));
    assert_false(env_process_is_gone(w->client, line));
    for (size_t len = 0; line[len]; len++) { /* cut off, or with something else in any place */
        snprintf(text, sizeof(text), "%.*s", (int)len, line);
        assert_false(env_process_is_gone(w->server, text));
        snprintf(text, sizeof(text), "%.*sx%s", (int)len, line, line + len + 1);
        assert_false(env_process_is_gone(w->server, text));
    }
}

const struct contract contract_env[] = {
    {"timer_fires_once_and_not_early", timer_fires_once_and_not_early},
    {"zero_delay_is_not_inline", zero_delay_is_not_inline},
    {"timer_cancels_and_rearms", timer_cancels_and_rearms},
    {"timers_fire_in_order", timers_fire_in_order},
    {"a_huge_delay_never_fires", a_huge_delay_never_fires},
    {"post_runs_later_and_again", post_runs_later_and_again},
    {"unpost_takes_back", unpost_takes_back},
    {"work_runs_then_reports", work_runs_then_reports},
    {"clock_and_randomness", clock_and_randomness},
    {"whoever_lives_is_not_gone", whoever_lives_is_not_gone},
    {NULL, NULL},
};
