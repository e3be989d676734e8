/* test_executor.c - the pool of threads: who runs what, when, and on which thread. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/env/env.h"
#include "taskmanager/worker/task/executor.h"
#include "taskmanager/worker/task/wake_heap.h"

#define WAIT_NS 10000000000u

struct step { /* a runnable of these tests */
    struct wk_runnable run; /* first */
    int runs;               /* atomic */
    int go;                 /* atomic: what it waits for has come */
    pthread_t thread;
    struct step *other;
};

static uint64_t now(struct wk_executor *e)
{
    return e->ops->now_ns(e);
}

static int get(const int *v)
{
    return __atomic_load_n(v, __ATOMIC_SEQ_CST);
}

static void add(int *v)
{
    __atomic_fetch_add(v, 1, __ATOMIC_SEQ_CST);
}

static void until(struct wk_executor *e, const int *v, int at_least)
{
    uint64_t end = now(e) + WAIT_NS;

    while (get(v) < at_least) {
        assert_true(now(e) < end);
        nanosleep(&(struct timespec){0, 100000}, NULL);
    }
}

static struct wk_executor *pool(uint32_t threads, uint32_t threads_max, uint64_t spin_ns)
{
    return wk_executor_posix_new(
        &(struct wk_executor_options){.threads = threads, .threads_max = threads_max, .spin_ns = spin_ns});
}

static void step_init(struct step *s, struct wk_executor *e, bool (*run)(struct wk_runnable *r))
{
    *s = (struct step){.run = {.run = run, .executor = e}};
}

/* ---- the heap, against an array ---- */

#define HEAP_ITEMS 40

static uint64_t earliest(const uint64_t *at)
{
    uint64_t first = UINT64_MAX;

    for (int i = 0; i < HEAP_ITEMS; i++)
        first = at[i] > 0 && at[i] < first ? at[i] : first;
    return first;
}

static void heap_knows_the_first(void **state)
{
    struct wk_heap h = {0};
    struct wk_runnable items[HEAP_ITEMS] = {0};
    uint64_t at[HEAP_ITEMS] = {0};

    (void)state;
    srand(1);
    for (int round = 0; round < 20000; round++) {
        int i = rand() % HEAP_ITEMS;
        uint64_t time = 1 + (uint64_t)rand() % 1000;

        if (rand() % 3 == 0) {
            wk_heap_remove(&h, &items[i]);
            at[i] = 0;
        } else {
            wk_heap_put(&h, &items[i], time);
            at[i] = at[i] > 0 && at[i] < time ? at[i] : time;
        }
        if (h.count > 0)
            assert_int_equal(wk_heap_first(&h)->wake_at_ns, earliest(at));
        else
            assert_true(earliest(at) == UINT64_MAX);
    }
    wk_heap_release(&h);
}

/* ---- wake_at ---- */

static bool note(struct wk_runnable *r)
{
    struct step *s = CONTAINER_OF(r, struct step, run);

    s->thread = pthread_self();
    add(&s->runs);
    return false;
}

static bool ask_twice(struct wk_runnable *r)
{
    struct step *s = CONTAINER_OF(r, struct step, run);

    if (get(&s->runs) == 0) {
        r->executor->ops->wake_at(r->executor, r, now(r->executor) + 3000000);
        r->executor->ops->wake_at(r->executor, r, now(r->executor) + 60000000000u); /* does not replace the earlier one */
    }
    add(&s->runs);
    return false;
}

static void earlier_wake_stands(void **state)
{
    for (int spin = 0; spin < 2; spin++) {
        struct wk_executor *e = pool(2, 0, spin ? 50000 : 0);
        struct step s;

        (void)state;
        step_init(&s, e, ask_twice);
        wk_ready(&s.run);
        until(e, &s.runs, 2);
        wk_executor_posix_free(e);
        assert_int_equal(s.runs, 2);
    }
}

static bool ask_and_forget(struct wk_runnable *r)
{
    struct step *s = CONTAINER_OF(r, struct step, run);

    if (get(&s->runs) == 0) {
        r->executor->ops->wake_at(r->executor, r, now(r->executor) + 1000000);
        r->executor->ops->forget(r->executor, r);
    }
    add(&s->runs);
    return false;
}

static bool ask_each_ms(struct wk_runnable *r)
{
    struct step *s = CONTAINER_OF(r, struct step, run);

    if (get(&s->runs) < 29)
        r->executor->ops->wake_at(r->executor, r, now(r->executor) + 1000000);
    add(&s->runs);
    return false;
}

static void forgotten_wake_does_not_come(void **state)
{
    struct wk_executor *e = pool(2, 0, 0);
    struct step s, ticks;

    (void)state;
    step_init(&s, e, ask_and_forget);
    step_init(&ticks, e, ask_each_ms);
    wk_ready(&s.run);
    wk_ready(&ticks.run);
    until(e, &ticks.runs, 8);
    wk_executor_posix_free(e);
    assert_int_equal(s.runs, 1);
}

static bool block_for_other(struct wk_runnable *r)
{
    struct step *s = CONTAINER_OF(r, struct step, run);
    uint64_t end = now(r->executor) + WAIT_NS;

    while (get(&s->other->runs) < 3)
        assert_true(now(r->executor) < end);
    add(&s->runs);
    return false;
}

/* The only thread is inside a function that does not return: another one takes its place, and keeps the time. */
static void blocked_thread_is_replaced(void **state)
{
    struct wk_executor *e = pool(1, 0, 0);
    struct step blocks, ticks;

    (void)state;
    step_init(&ticks, e, ask_each_ms);
    step_init(&blocks, e, block_for_other);
    blocks.other = &ticks;
    wk_ready(&ticks.run);
    wk_ready(&blocks.run);
    until(e, &blocks.runs, 1);
    wk_executor_posix_free(e);
}

/* ---- threads ---- */

static bool hand_over(struct wk_runnable *r)
{
    struct step *s = CONTAINER_OF(r, struct step, run);

    r->ending = true;
    wk_ready(&s->other->run);
    return note(r);
}

/* Nothing is woken for what the thread of an ending step can do itself. */
static void ending_step_keeps_its_thread(void **state)
{
    struct wk_executor *e = pool(2, 0, 0);
    struct step a, b, c;
    int same = 0;

    (void)state;
    for (int round = 1; round <= 50; round++) {
        step_init(&a, e, hand_over);
        step_init(&b, e, hand_over);
        step_init(&c, e, note);
        a.other = &b;
        b.other = &c;
        wk_ready(&a.run);
        until(e, &c.runs, 1);
        same += pthread_equal(a.thread, b.thread) && pthread_equal(b.thread, c.thread);
        while (__atomic_load_n(&c.run.state, __ATOMIC_ACQUIRE) != WK_IDLE)
            continue;
    }
    wk_executor_posix_free(e);
    assert_true(same > 25); /* a busy machine makes a streak too long now and then */
}

static bool loop_until_hurried(struct wk_runnable *r)
{
    struct step *s = CONTAINER_OF(r, struct step, run);
    uint64_t end = now(r->executor) + WAIT_NS;

    while (!wk_hurries(r))
        assert_true(now(r->executor) < end);
    add(&s->runs);
    return get(&s->runs) < 3;
}

static void long_step_is_told_to_hurry(void **state)
{
    struct wk_executor *e = pool(1, 0, 0);
    struct step s;

    (void)state;
    step_init(&s, e, loop_until_hurried);
    wk_ready(&s.run);
    until(e, &s.runs, 3);
    wk_executor_posix_free(e);
}

/* ---- functions that sleep for less than a step may overstay ---- */

enum { SLEEPERS = 8, LONG_NS = 3000000 };
static struct step many[SLEEPERS];
static int inside, most_inside, is_over; /* atomic */

static bool leave_step(struct wk_runnable *r)
{
    __atomic_fetch_sub(&inside, 1, __ATOMIC_SEQ_CST);
    add(&CONTAINER_OF(r, struct step, run)->runs);
    r->ended_ns = now(r->executor);
    return !get(&is_over);
}

static void enter_step(void)
{
    int here = __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST), most = get(&most_inside);

    while (here > most && !__atomic_compare_exchange_n(&most_inside, &most, here, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        continue;
}

static bool sleep_for_3_ms(struct wk_runnable *r)
{
    enter_step();
    nanosleep(&(struct timespec){0, LONG_NS}, NULL);
    return leave_step(r);
}

static bool compute_for_3_ms(struct wk_runnable *r)
{
    struct timespec used;
    int64_t end;

    enter_step();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    end = used.tv_sec * 1000000000ll + used.tv_nsec + LONG_NS;
    while (used.tv_sec * 1000000000ll + used.tv_nsec < end)
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return leave_step(r);
}

/*
 * Eight tasks on one thread. Returns how many were in their steps at the same time, once that is `enough` or each ran so many times.
 * None overstays: a step that has no core for long, beside others on this machine, would.
 */
static int most_at_a_time(bool (*run)(struct wk_runnable *r), int enough, int runs)
{
    struct wk_executor *e =
        wk_executor_posix_new(&(struct wk_executor_options){.threads = 1, .overstay_ns = UINT64_C(1000) * 1000000000});

    inside = most_inside = is_over = 0;
    for (int i = 0; i < SLEEPERS; i++) {
        step_init(&many[i], e, run);
        wk_ready(&many[i].run);
    }
    for (int i = 0; i < SLEEPERS; i++)
        while (get(&many[i].runs) < runs && get(&most_inside) < enough)
            nanosleep(&(struct timespec){0, 100000}, NULL);
    add(&is_over);
    wk_executor_posix_free(e);
    return most_inside;
}

static void steps_that_sleep_get_more_threads(void **state)
{
    (void)state;
    assert_int_equal(most_at_a_time(sleep_for_3_ms, SLEEPERS, 1000), SLEEPERS);
}

static void steps_that_compute_do_not(void **state)
{
    (void)state;
    assert_int_equal(most_at_a_time(compute_for_3_ms, SLEEPERS, 10), 1);
}

/* ---- waiting inside a step ---- */

#define WAITERS 12
static struct step crowd[WAITERS];
static int started; /* atomic */

static bool may_go(void *arg)
{
    return get(&((struct step *)arg)->go) > 0;
}

static bool start_and_wait(struct wk_runnable *r)
{
    struct step *s = CONTAINER_OF(r, struct step, run);

    add(&started);
    wk_wait(r, may_go, s);
    add(&s->runs);
    return false;
}

static bool release_all(struct wk_runnable *r)
{
    struct step *s = CONTAINER_OF(r, struct step, run);

    for (int i = 0; i < WAITERS; i++) {
        add(&crowd[i].go);
        wk_ready(&crowd[i].run);
    }
    add(&s->runs);
    return false;
}

/* More steps wait than there may be threads: those that wait run the others, and the one that all wait for. */
static void waiting_steps_lend_their_threads(void **state)
{
    struct wk_executor *e = pool(2, 3, 0);
    struct step last;

    (void)state;
    started = 0;
    for (int i = 0; i < WAITERS; i++) {
        step_init(&crowd[i], e, start_and_wait);
        wk_ready(&crowd[i].run);
    }
    until(e, &started, WAITERS);
    step_init(&last, e, release_all);
    wk_ready(&last.run);
    for (int i = 0; i < WAITERS; i++)
        until(e, &crowd[i].runs, 1);
    wk_executor_posix_free(e);
    assert_int_equal(last.runs, 1);
}

/* Idle ones are queued, and one that waits inside its step looks again. */
static void many_are_made_ready_at_once(void **state)
{
    struct wk_executor *e = pool(2, 0, 0);
    struct wk_runnable *all[WAITERS + 1];
    struct step idle[WAITERS], waits;

    (void)state;
    started = 0;
    step_init(&waits, e, start_and_wait);
    wk_ready(&waits.run);
    until(e, &started, 1);
    add(&waits.go);
    for (int i = 0; i < WAITERS; i++) {
        step_init(&idle[i], e, note);
        all[i] = &idle[i].run;
    }
    all[WAITERS] = &waits.run;
    wk_ready_all(all, WAITERS + 1);
    for (int i = 0; i < WAITERS; i++)
        until(e, &idle[i].runs, 1);
    until(e, &waits.runs, 1);
    wk_ready_all(all, 0);
    wk_executor_posix_free(e);
    for (int i = 0; i < WAITERS; i++)
        assert_int_equal(idle[i].runs, 1);
}

/* ---- the order ---- */

enum { SOURCES = 40, OTHERS = 3 };
static struct step sources[SOURCES], others[OTHERS];
static int sources_run;

static bool run_as_source(struct wk_runnable *r)
{
    (void)r;
    add(&sources_run);
    return false;
}

/* go: goes on until all sources have had their turn */
static bool run_as_other(struct wk_runnable *r)
{
    struct step *s = CONTAINER_OF(r, struct step, run);

    if (get(&s->runs) == 0)
        s->other = &sources[get(&sources_run)]; /* the first one behind it */
    add(&s->runs);
    return get(&s->go) && get(&sources_run) < SOURCES;
}

static bool queue_all(struct wk_runnable *r)
{
    for (int i = 0; i < SOURCES; i++)
        if (sources[i].run.executor)
            wk_ready(&sources[i].run);
    for (int i = 0; i < OTHERS; i++)
        wk_ready(&others[i].run);
    return note(r);
}

/* Returns how many sources ran before the first of the others; all were queued before them. */
static int sources_ahead(int count, bool endless)
{
    struct wk_executor *e = pool(1, 0, 0);
    struct step first;

    sources_run = 0;
    memset(sources, 0, sizeof(sources));
    for (int i = 0; i < count; i++) {
        step_init(&sources[i], e, run_as_source);
        sources[i].run.is_source = true;
    }
    for (int i = 0; i < OTHERS; i++) {
        step_init(&others[i], e, run_as_other);
        others[i].go = endless;
    }
    step_init(&first, e, queue_all);
    wk_ready(&first.run);
    until(e, &sources_run, count);
    wk_executor_posix_free(e);
    assert_int_equal(sources_run, count);
    return (int)(others[0].other - sources);
}

/* What some sources have made is worked off before others make more; but no source waits for ever. */
static void not_all_sources_go_first(void **state)
{
    int ahead = sources_ahead(SOURCES, false);

    (void)state;
    assert_int_equal(sources_ahead(2, false), 2);
    assert_true(ahead > 2 && ahead < SOURCES);
    assert_int_equal(sources_ahead(SOURCES, true), ahead);
    assert_true(others[0].runs > 10);
}

/* ---- time ---- */

static bool check_time(struct wk_runnable *r)
{
    struct step *s = CONTAINER_OF(r, struct step, run);
    uint64_t is = now(r->executor);
    struct timespec wall;
    int64_t apart;

    clock_gettime(CLOCK_REALTIME, &wall);
    apart = wall.tv_sec * 1000000 + wall.tv_nsec / 1000 - r->executor->ops->wall_us(r->executor, is);
    assert_true(r->began_ns > 0 && r->began_ns <= is);
    if (apart > -1000 && apart < 1000) /* unless it lost its core in between */
        add(&s->go);
    add(&s->runs);
    r->ended_ns = get(&s->runs) % 2 ? now(r->executor) : 0;
    return get(&s->runs) < 100;
}

static void a_step_knows_the_time(void **state)
{
    struct wk_executor *e = pool(1, 0, 0);
    struct step s;

    (void)state;
    step_init(&s, e, check_time);
    wk_ready(&s.run);
    until(e, &s.runs, 100);
    wk_executor_posix_free(e);
    assert_true(s.go > 50);
}

/* ---- all at once ---- */

#define PLAYERS 8
static struct step players[PLAYERS];
static int budget; /* atomic */

static bool play(struct wk_runnable *r)
{
    struct step *s = CONTAINER_OF(r, struct step, run);
    int left = __atomic_sub_fetch(&budget, 1, __ATOMIC_SEQ_CST);

    add(&s->runs);
    if (left <= 0)
        return false;
    r->ending = left % 3 == 0;
    if (left % 2)
        wk_ready(&players[left % PLAYERS].run);
    else
        r->executor->ops->wake_at(r->executor, r, now(r->executor) + (uint64_t)(left % 20) * 1000);
    return false;
}

/* Every wake-up has a run behind it, whichever way it came: the game goes on until the budget is used up. */
static void no_wake_is_lost(void **state)
{
    for (int spin = 0; spin < 2; spin++) {
        struct wk_executor *e = pool(2, 0, spin ? 20000 : 0);

        (void)state;
        budget = 20000;
        for (int i = 0; i < PLAYERS; i++)
            step_init(&players[i], e, play);
        uint64_t end = now(e) + WAIT_NS;

        while (__atomic_load_n(&budget, __ATOMIC_SEQ_CST) > 0) {
            assert_true(now(e) < end);
            wk_ready(&players[0].run);
            nanosleep(&(struct timespec){0, 100000}, NULL);
        }
        wk_executor_posix_free(e);
    }
}

/* ---- with a loop ---- */

struct world { /* an executor whose threads serve the loop of an env */
    struct env *env;
    struct wk_executor *e;
    pthread_t main;
};

static bool turn(void *arg, uint64_t until_ns)
{
    return env_libevent_turn(((struct world *)arg)->env, until_ns);
}

static void interrupt(void *arg)
{
    env_libevent_interrupt(((struct world *)arg)->env);
}

static void *serve(void *arg)
{
    wk_executor_posix_serve(((struct world *)arg)->e);
    return NULL;
}

static void world_init(struct world *w, uint32_t threads, uint64_t spin_ns)
{
    struct wk_executor_options o = {.threads = threads, .spin_ns = spin_ns, .loop = {turn, interrupt, w}};

    w->env = env_libevent_new(NULL);
    env_libevent_take_turns(w->env);
    w->e = wk_executor_posix_new(&o);
    assert_int_equal(pthread_create(&w->main, NULL, serve, w), 0);
}

static void world_end(struct world *w)
{
    env_libevent_stop(w->env);
    pthread_join(w->main, NULL);
    wk_executor_posix_free(w->e);
    env_libevent_free(w->env);
}

struct arrival { /* something that comes over the loop, for a task */
    struct env_task task; /* first */
    struct step *to;
    pthread_t thread;
    int count; /* atomic */
};

static void arrive(struct env_task *task)
{
    struct arrival *a = CONTAINER_OF(task, struct arrival, task);

    a->thread = pthread_self();
    add(&a->to->go);
    add(&a->count);
    wk_ready(&a->to->run);
}

static void who_gets_it_works_on_it(void **state)
{
    (void)state;
    for (int spin = 0; spin < 2; spin++) {
        int same = 0, by_main = 0;
        struct world w;
        struct step s;
        struct arrival a = {.task = {.cb = arrive}, .to = &s};

        world_init(&w, 2, spin ? 100000 : 0);
        step_init(&s, w.e, note);
        for (int i = 1; i <= 200; i++) {
            env_post(w.env, &a.task);
            until(w.e, &s.runs, i);
            same += pthread_equal(a.thread, s.thread) != 0;
            by_main += pthread_equal(a.thread, w.main) != 0;
            nanosleep(&(struct timespec){0, 200000}, NULL); /* it goes back to the loop */
        }
        assert_in_range(same, 150, 200);
        assert_in_range(by_main, 1, 50);
        world_end(&w);
    }
}

static bool block(struct wk_runnable *r)
{
    struct step *s = CONTAINER_OF(r, struct step, run);

    add(&s->runs);
    until(r->executor, &s->go, 1);
    return false;
}

static void loop_is_served_while_steps_block(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        struct world w;
        struct step blocked[2], other;
        struct arrival a = {.task = {.cb = arrive}, .to = &blocked[0]}, b = {.task = {.cb = arrive}, .to = &blocked[1]},
                       c = {.task = {.cb = arrive}, .to = &other};

        world_init(&w, 2, 0);
        step_init(&other, w.e, note);
        for (int i = 0; i < 2; i++)
            step_init(&blocked[i], w.e, block);
        for (int i = 0; i < round; i++) { /* a runner leads already, or not yet */
            env_post(w.env, &c.task);
            until(w.e, &other.runs, i + 1);
        }
        for (int i = 0; i < 2; i++)
            wk_ready(&blocked[i].run);
        for (int i = 0; i < 2; i++)
            until(w.e, &blocked[i].runs, 1);
        env_post(w.env, &a.task);
        env_post(w.env, &b.task);
        until(w.e, &a.count, 1);
        until(w.e, &b.count, 1);
        world_end(&w);
    }
}

static bool has_go(void *arg)
{
    const struct step *s = arg;

    return get(&s->go) > get(&s->runs);
}

static bool wait_for_loop(struct wk_runnable *r)
{
    struct step *s = CONTAINER_OF(r, struct step, run);

    wk_wait(r, has_go, s);
    add(&s->runs);
    return false;
}

static void waiting_step_gets_what_the_loop_brings(void **state)
{
    struct world w;
    struct step s;
    struct arrival a = {.task = {.cb = arrive}, .to = &s};

    (void)state;
    world_init(&w, 1, 0);
    step_init(&s, w.e, wait_for_loop);
    for (int i = 1; i <= 50; i++) {
        wk_ready(&s.run);
        env_post(w.env, &a.task);
        until(w.e, &s.runs, i);
    }
    __atomic_fetch_add(&s.go, 1000, __ATOMIC_SEQ_CST); /* the last post may have come behind its step, and begun another */
    wk_ready(&s.run);
    world_end(&w);
}

/* Who serves the loop keeps the time, too: nothing else wakes anybody here. */
static void wakes_come_while_the_loop_waits(void **state)
{
    struct world w;
    struct step s;

    (void)state;
    world_init(&w, 1, 0);
    step_init(&s, w.e, ask_each_ms);
    wk_ready(&s.run);
    until(w.e, &s.runs, 30);
    world_end(&w);
}

#define POSTERS 4

struct poster {
    struct step s; /* first */
    struct world *w;
    struct arrival a;
    int left;
};

static bool post_again(struct wk_runnable *r)
{
    struct poster *p = CONTAINER_OF(r, struct poster, s.run);

    if (p->left > 0) {
        p->left--;
        env_post(p->w->env, &p->a.task);
    } else {
        add(&p->s.runs);
    }
    return false;
}

/* Each step posts what wakes it again: if one post or one wake were lost, it would stop. */
static void no_post_is_lost(void **state)
{
    (void)state;
    for (int spin = 0; spin < 2; spin++) {
        struct world w;
        struct poster posters[POSTERS];

        world_init(&w, 2, spin ? 20000 : 0);
        for (int i = 0; i < POSTERS; i++) {
            posters[i] = (struct poster){.w = &w, .a = {.task = {.cb = arrive}, .to = &posters[i].s}, .left = 3000};
            step_init(&posters[i].s, w.e, post_again);
            wk_ready(&posters[i].s.run);
        }
        for (int i = 0; i < POSTERS; i++)
            until(w.e, &posters[i].s.runs, 1);
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap_knows_the_first),        cmocka_unit_test(earlier_wake_stands),
        cmocka_unit_test(forgotten_wake_does_not_come), cmocka_unit_test(blocked_thread_is_replaced),
        cmocka_unit_test(ending_step_keeps_its_thread), cmocka_unit_test(long_step_is_told_to_hurry),
        cmocka_unit_test(steps_that_sleep_get_more_threads), cmocka_unit_test(steps_that_compute_do_not),
        cmocka_unit_test(waiting_steps_lend_their_threads), cmocka_unit_test(no_wake_is_lost),
        cmocka_unit_test(many_are_made_ready_at_once),  cmocka_unit_test(a_step_knows_the_time),
        cmocka_unit_test(not_all_sources_go_first),     cmocka_unit_test(who_gets_it_works_on_it),
        cmocka_unit_test(loop_is_served_while_steps_block), cmocka_unit_test(waiting_step_gets_what_the_loop_brings),
        cmocka_unit_test(wakes_come_while_the_loop_waits), cmocka_unit_test(no_post_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
