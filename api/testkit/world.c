/* world.c - env and executor of a task in a test: one thread, virtual time. */
#include <poll.h>
#include <stdio.h>

#include "api/testkit/kit.h"
#include "common/base/check.h"

static struct kit_world *world_of(struct env *env)
{
    return CONTAINER_OF(env, struct kit_world, env);
}

static uint64_t env_now(struct env *env)
{
    return world_of(env)->now_ns;
}
static int64_t env_wall(struct env *env)
{
    return world_of(env)->wall_ms;
}
static uint64_t env_rand(struct env *env)
{
    return world_of(env)->now_ns;
}
static void timer_arm(struct env *env, struct env_timer *timer, uint64_t delay_ns)
{
    (void)env;
    (void)timer;
    (void)delay_ns;
    CHECK_UNREACHABLE("operators arm no timer of the loop");
}
static void timer_cancel(struct env *env, struct env_timer *timer)
{
    (void)env;
    (void)timer;
}
static void post(struct env *env, struct env_task *task)
{
    (void)env;
    (void)task;
    CHECK_UNREACHABLE("operators post nothing to the loop");
}
static void unpost(struct env *env, struct env_task *task)
{
    (void)env;
    (void)task;
}
static void work(struct env *env, struct env_work *w)
{
    (void)env;
    (void)w;
    CHECK_UNREACHABLE("operators ask for no blocking work");
}
static void log_text(struct env *env, enum log_level level, const char *module, const char *job, const char *text)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR", "OFF"};

    (void)env;
    (void)module;
    (void)job;
    fprintf(stderr, "%s %s\n", names[level], text);
}
static bool is_logged(struct env *env, enum log_level level, const char *module)
{
    (void)env;
    (void)module;
    return level >= LOG_INFO;
}
static bool buggify(struct env *env, const char *file, int line)
{
    (void)env;
    (void)file;
    (void)line;
    return false;
}
static void probe(struct env *env, const char *name)
{
    (void)env;
    (void)name;
}

static const struct env_ops env_ops = {
    .now_ns = env_now,
    .wall_ms = env_wall,
    .rand_u64 = env_rand,
    .timer_arm = timer_arm,
    .timer_cancel = timer_cancel,
    .post = post,
    .unpost = unpost,
    .work = work,
    .log = log_text,
    .log_enabled = is_logged,
    .buggify = buggify,
    .probe = probe,
};

/* The kit steps the chain itself. */
static void enqueue(struct wk_executor *e, struct wk_runnable *r)
{
    (void)e;
    __atomic_store_n(&r->state, WK_IDLE, __ATOMIC_RELEASE);
}
static void wait_for(struct wk_executor *e, struct wk_runnable *r, bool (*done)(void *arg), void *arg)
{
    (void)e;
    (void)r;
    CHECK(done(arg)); /* outputs are collected, so they are never full for long */
}
static void wake_waiter(struct wk_executor *e, struct wk_runnable *r)
{
    (void)e;
    (void)r;
}
static void wake_at(struct wk_executor *e, struct wk_runnable *r, uint64_t at_ns)
{
    struct kit_world *w = CONTAINER_OF(e, struct kit_world, executor);

    (void)r;
    w->wake_at_ns = w->wake_at_ns > 0 ? MIN(w->wake_at_ns, at_ns) : MAX(at_ns, 1u);
}
static void forget(struct wk_executor *e, struct wk_runnable *r)
{
    (void)r;
    CONTAINER_OF(e, struct kit_world, executor)->wake_at_ns = 0;
}
static uint64_t executor_now(struct wk_executor *e)
{
    return CONTAINER_OF(e, struct kit_world, executor)->now_ns;
}
static int64_t executor_wall(struct wk_executor *e, uint64_t now_ns)
{
    (void)now_ns;
    return CONTAINER_OF(e, struct kit_world, executor)->wall_ms * 1000;
}
static const struct wk_executor_ops executor_ops = {
    .enqueue = enqueue, .wait = wait_for, .wake_waiter = wake_waiter, .wake_at = wake_at, .forget = forget, .now_ns = executor_now, .wall_us = executor_wall};

static void on_state(void *arg, struct wk_task *task, Rask__Control__TaskState state, const struct err *error)
{
    (void)arg;
    (void)task;
    (void)state;
    (void)error;
}

static bool watch_fd(void *arg, int fd, struct wk_runnable *task)
{
    (void)task;
    ((struct kit_world *)arg)->fd = fd;
    return true;
}

static void unwatch_fd(void *arg, int fd)
{
    (void)fd;
    ((struct kit_world *)arg)->fd = -1;
}

void kit_world_init(struct kit_world *w, struct pool *pool, struct wk_state_budget *budget)
{
    w->env.ops = &env_ops;
    w->executor.ops = &executor_ops;
    w->fd = -1;
    w->host = (struct wk_task_host){
        .env = &w->env,
        .pool = pool,
        .state_budget = budget,
        .out_fd = -1,
        .err_fd = -1,
        .job = "00000000000000000000000000000000",
        .on_state = on_state,
        .watch_fd = watch_fd,
        .unwatch_fd = unwatch_fd,
        .arg = w,
        .watch_arg = w,
    };
}

bool kit_world_wait(struct kit_world *w)
{
    uint64_t passed;

    if (w->fd >= 0) {
        struct pollfd p = {.fd = w->fd, .events = POLLIN};

        w->fd = -1;
        return poll(&p, 1, 10000) > 0;
    }
    if (w->wake_at_ns == 0)
        return false;
    passed = w->wake_at_ns > w->now_ns ? w->wake_at_ns - w->now_ns : 0;
    w->wake_at_ns = 0;
    w->now_ns += passed;
    w->wall_ms += (int64_t)((passed + 999999) / 1000000);
    return true;
}
