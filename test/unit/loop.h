/*
 * loop.h - for unit tests of cores over the production env: runs its loop until a condition holds.
 *
 * With fast set, a second of the test's time lasts 10 ms: for deadlines and heartbeats.
 */
#ifndef UNIT_LOOP_H
#define UNIT_LOOP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/check.h"
#include "common/env/env.h"
#include "common/net/net.h"

#define LOOP_FAST 100
#define LOOP_PATIENCE_NS 10000000000u

static const struct env_ops *loop_real;

static inline uint64_t loop_fast_now(struct env *env)
{
    return loop_real->now_ns(env) * LOOP_FAST;
}
static inline void loop_fast_arm(struct env *env, struct env_timer *timer, uint64_t delay_ns)
{
    loop_real->timer_arm(env, timer, delay_ns / LOOP_FAST);
}

static inline struct env *loop_new(bool fast)
{
    static struct env_ops ops;
    struct env *env = env_libevent_new(NULL);

    loop_real = env->ops;
    ops = *env->ops;
    ops.now_ns = loop_fast_now;
    ops.timer_arm = loop_fast_arm;
    if (fast)
        env->ops = &ops;
    return env;
}

struct loop_wait {
    struct env_timer timer;
    struct env *env;
    const int *count;
    int at_least;
    uint64_t until_ns;
};

static inline void loop_look(struct env_timer *timer)
{
    struct loop_wait *w = CONTAINER_OF(timer, struct loop_wait, timer);

    if (__atomic_load_n(w->count, __ATOMIC_ACQUIRE) >= w->at_least || loop_real->now_ns(w->env) > w->until_ns)
        env_libevent_stop(w->env);
    else
        loop_real->timer_arm(w->env, timer, 100000);
}

/* Fails the test when *count does not get there within ten real seconds. */
static inline void loop_until(struct env *env, const int *count, int at_least)
{
    struct loop_wait w = {.timer = {.cb = loop_look}, .env = env, .count = count, .at_least = at_least};

    w.until_ns = loop_real->now_ns(env) + LOOP_PATIENCE_NS;
    loop_real->timer_arm(env, &w.timer, 0);
    assert_int_equal(env_libevent_run(env), 0);
    assert_true(__atomic_load_n(count, __ATOMIC_ACQUIRE) >= at_least);
}

/* What is due now, and what becomes due in 50 us. */
static inline void loop_once(struct env *env)
{
    static int never;
    struct loop_wait w = {.timer = {.cb = loop_look}, .env = env, .count = &never, .at_least = 1};

    loop_real->timer_arm(env, &w.timer, 50000);
    assert_int_equal(env_libevent_run(env), 0);
}

/* Long enough for what is already under way to happen. */
static inline void loop_settle(struct env *env)
{
    static int never;
    struct loop_wait w = {.timer = {.cb = loop_look}, .env = env, .count = &never, .at_least = 1};

    w.until_ns = loop_real->now_ns(env) + 20000000;
    loop_real->timer_arm(env, &w.timer, 0);
    assert_int_equal(env_libevent_run(env), 0);
}

#endif
