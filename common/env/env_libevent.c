/*
 * env_libevent.c - the production env: one libevent loop, its clock, its pool of threads.
 *
 * The base is touched by the loop thread alone.  Other threads reach it through env_post: a list under
 * a mutex and one write to an eventfd per batch.  Clocks and randomness come from the kernel.
 */
#include "common/env/env_libevent.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/env/process_posix.h"
#include "common/fs/fs.h"
#include "common/net/net.h"

#define MAGIC                    0x454e564cu
#define BLOCKING_THREADS_DEFAULT 4
#define AFTER_ROUNDS_MAX         4
#define NS_PER_S                 1000000000u
#define DELAY_MAX_NS             (365u * 86400u * (uint64_t)NS_PER_S) /* a year is never */

/* Behind an armed env_timer; recycled, because timers are armed for every request. */
struct timer_impl {
    struct event event;
    struct loop *loop;
    struct env_timer *timer; /* borrowed; NULL while in the free list */
    struct timer_impl *next;
};

struct watch {
    struct list node;
    struct event event;
    struct loop *loop;
    int fd; /* or the signal's number */
    void (*cb)(int fd, void *arg);
    void *arg;
};

struct loop {
    struct env env; /* first */
    uint32_t magic;
    struct event_base *base;
    struct event wake_event;
    int wake_fd;
    int stop; /* atomic */
    struct timer_impl *free_timers;
    struct list watches;

    pthread_mutex_t mutex; /* guards posted, posted_tail and woken */
    struct env_task *posted, **posted_tail;
    bool woken;             /* a write to wake_fd is under way for what is posted */
    bool turns;             /* threads take turns: who posts writes to wake_fd only if one of them waits */
    bool waiting;           /* one does: set under the mutex */
    bool posts_only;        /* the last turn was */
    struct event until;     /* the end of such a wait */
    struct env_task *batch; /* being run by on_wake */

    struct env_pool *pool;
    struct env_task pool_task;
    void (*after)(void *arg);
    void *after_arg;
    bool want_after;
    uint32_t depth;      /* of nested callbacks */
    uint64_t longest_ns; /* atomic */
};

static struct loop *loop_of(struct env *env)
{
    return MAGIC_CAST(env, struct loop, MAGIC);
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;

    CHECK(clock_gettime(id, &ts) == 0);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static uint64_t loop_now_ns(struct env *env)
{
    (void)env;
    return clock_ns(CLOCK_MONOTONIC);
}

static int64_t loop_wall_ms(struct env *env)
{
    (void)env;
    return (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000u);
}

static uint64_t loop_rand_u64(struct env *env)
{
    uint64_t v = 0;

    (void)env;
    CHECK(getrandom(&v, sizeof(v), 0) == (ssize_t)sizeof(v));
    return v;
}

/* ---- callbacks ---- */

uint64_t env_libevent_enter(struct env *env)
{
    struct loop *loop = loop_of(env);

    loop->depth++;
    if (loop->turns) /* not asleep: what is posted is looked for before the next wait */
        __atomic_store_n(&loop->waiting, false, __ATOMIC_RELAXED);
    return clock_ns(CLOCK_MONOTONIC);
}

static void note_duration(struct loop *loop, uint64_t since_ns)
{
    uint64_t took = clock_ns(CLOCK_MONOTONIC) - since_ns;

    if (took > __atomic_load_n(&loop->longest_ns, __ATOMIC_RELAXED))
        __atomic_store_n(&loop->longest_ns, took, __ATOMIC_RELAXED);
}

static void wake(struct loop *loop)
{
    uint64_t one = 1;

    /* Level 2^64 - 2 is out of reach, so it cannot block; and wake_fd is edge-triggered: nobody reads it. */
    CHECK(write(loop->wake_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

void env_libevent_leave(struct env *env, uint64_t entered_ns)
{
    struct loop *loop = loop_of(env);

    CHECK(loop->depth > 0);
    for (int round = 0; loop->depth == 1 && loop->want_after; round++) {
        if (round ==
            AFTER_ROUNDS_MAX) { /* sends that cause sends must not starve the other events */
            wake(loop);
            break;
        }
        loop->want_after = false;
        loop->after(loop->after_arg);
    }
    loop->depth--;
    if (loop->depth == 0 && entered_ns != 0)
        note_duration(loop, entered_ns);
}

void env_libevent_set_after(struct env *env, void (*after)(void *arg), void *arg)
{
    struct loop *loop = loop_of(env);

    loop->after = after;
    loop->after_arg = arg;
}

void env_libevent_want_after(struct env *env)
{
    struct loop *loop = loop_of(env);

    if (loop->want_after)
        return;
    loop->want_after = true;
    if (loop->depth == 0)
        wake(loop);
}

uint64_t env_libevent_longest_callback_ns(struct env *env)
{
    return __atomic_exchange_n(&loop_of(env)->longest_ns, 0, __ATOMIC_RELAXED);
}

/* ---- timers ---- */

static void recycle_timer(struct loop *loop, struct timer_impl *impl)
{
    impl->timer = NULL;
    impl->next = loop->free_timers;
    loop->free_timers = impl;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct timer_impl *impl = arg;
    struct loop *loop = impl->loop;
    struct env_timer *timer = impl->timer;
    uint64_t entered;

    (void)fd;
    (void)what;
    timer->impl = NULL;
    timer->armed = false;
    recycle_timer(loop, impl);
    entered = env_libevent_enter(&loop->env);
    timer->cb(timer);
    env_libevent_leave(&loop->env, entered);
}

static void loop_timer_arm(struct env *env, struct env_timer *timer, uint64_t delay_ns)
{
    struct loop *loop = loop_of(env);
    struct timer_impl *impl = timer->impl;
    uint64_t ns = MIN(delay_ns, DELAY_MAX_NS) + 999; /* never early */
    struct timeval tv = {(time_t)(ns / NS_PER_S), (suseconds_t)(ns % NS_PER_S / 1000)};

    CHECK(timer->cb != NULL);
    if (impl == NULL) {
        impl = loop->free_timers;
        if (impl != NULL) {
            loop->free_timers = impl->next;
        } else {
            impl = MEM_NEW(struct timer_impl);
            impl->loop = loop;
            CHECK(event_assign(&impl->event, loop->base, -1, 0, on_timer, impl) == 0);
        }
        impl->timer = timer;
        timer->impl = impl;
    }
    CHECK(impl->timer == timer);
    timer->armed = true;
    CHECK(event_add(&impl->event, &tv) == 0);
}

static void loop_timer_cancel(struct env *env, struct env_timer *timer)
{
    struct timer_impl *impl = timer->impl;

    if (impl == NULL)
        return;
    CHECK(impl->timer == timer);
    CHECK(event_del(&impl->event) == 0);
    timer->impl = NULL;
    timer->armed = false;
    recycle_timer(loop_of(env), impl);
}

/* ---- posts ---- */

static void loop_post(struct env *env, struct env_task *task)
{
    struct loop *loop = loop_of(env);
    bool need_wake;

    CHECK(task->cb != NULL);
    if (__atomic_exchange_n(&task->queued, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    pthread_mutex_lock(&loop->mutex);
    task->next = NULL;
    *loop->posted_tail = task;
    loop->posted_tail = &task->next;
    need_wake = !loop->woken && (!loop->turns || __atomic_load_n(&loop->waiting, __ATOMIC_RELAXED));
    loop->woken = loop->woken || need_wake;
    pthread_mutex_unlock(&loop->mutex);
    if (need_wake)
        wake(loop);
}

static bool remove_task(struct env_task **at, struct env_task *task, struct env_task ***ret_end)
{
    for (; *at != NULL; at = &(*at)->next) {
        if (*at != task)
            continue;
        *at = task->next;
        if (*at == NULL)
            *ret_end = at;
        return true;
    }
    return false;
}

static void loop_unpost(struct env *env, struct env_task *task)
{
    struct loop *loop = loop_of(env);
    struct env_task **end = NULL;
    bool found;

    if (__atomic_load_n(&task->queued, __ATOMIC_ACQUIRE) == 0)
        return;
    pthread_mutex_lock(&loop->mutex);
    found = remove_task(&loop->posted, task, &end);
    if (found && end != NULL)
        loop->posted_tail = end;
    pthread_mutex_unlock(&loop->mutex);
    if (!found)
        found = remove_task(&loop->batch, task, &end);
    CHECK(found);
    __atomic_store_n(&task->queued, 0, __ATOMIC_RELEASE);
}

static void on_until(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static void run_posted(struct loop *loop)
{
    struct env_task *task;

    pthread_mutex_lock(&loop->mutex);
    CHECK(loop->batch == NULL);
    loop->batch = loop->posted;
    loop->posted = NULL;
    loop->posted_tail = &loop->posted;
    loop->woken = false;
    pthread_mutex_unlock(&loop->mutex);
    env_libevent_enter(&loop->env);
    while ((task = loop->batch) != NULL) {
        uint64_t start = clock_ns(CLOCK_MONOTONIC);

        loop->batch = task->next;
        CHECK(__atomic_exchange_n(&task->queued, 0, __ATOMIC_ACQ_REL) == 1);
        task->cb(task);
        note_duration(loop, start);
    }
    env_libevent_leave(&loop->env, 0); /* not timed as one: each of the batch was timed by itself */
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = arg;

    (void)fd;
    (void)what;
    run_posted(loop);
    if (__atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE))
        event_base_loopbreak(loop->base);
}

/* ---- work, log ---- */

static void on_pool_done(struct env_task *task)
{
    env_pool_deliver(CONTAINER_OF(task, struct loop, pool_task)->pool);
}

static void notify_pool(void *arg)
{
    struct loop *loop = arg;

    loop_post(&loop->env, &loop->pool_task);
}

static void loop_work(struct env *env, struct env_work *work)
{
    env_pool_submit(loop_of(env)->pool, work);
}

static void loop_log(struct env *env, enum log_level level, const char *module, const char *job,
                     const char *text)
{
    (void)env;
    log_write(level, module, job == NULL ? "" : job, text);
}

static bool loop_log_enabled(struct env *env, enum log_level level, const char *module)
{
    (void)env;
    return log_enabled(level, module);
}

static bool loop_buggify(struct env *env, const char *file, int line)
{
    (void)env;
    (void)file;
    (void)line;
    return false;
}

static void loop_probe(struct env *env, const char *name)
{
    (void)env;
    (void)name;
}

static void loop_process(struct env *env, char out[ENV_PROCESS_MAX])
{
    (void)env;
    env_process_posix(out);
}

static bool loop_process_is_gone(struct env *env, const char *process)
{
    (void)env;
    return env_process_posix_is_gone(process);
}

static const struct env_ops loop_ops = {
    .now_ns = loop_now_ns,
    .wall_ms = loop_wall_ms,
    .rand_u64 = loop_rand_u64,
    .timer_arm = loop_timer_arm,
    .timer_cancel = loop_timer_cancel,
    .post = loop_post,
    .unpost = loop_unpost,
    .work = loop_work,
    .log = loop_log,
    .log_enabled = loop_log_enabled,
    .buggify = loop_buggify,
    .probe = loop_probe,
    .process = loop_process,
    .process_is_gone = loop_process_is_gone,
};

/* ---- signals and file descriptors ---- */

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    struct watch *watch = arg;
    struct loop *loop = watch->loop;
    uint64_t entered = env_libevent_enter(&loop->env);

    (void)fd;
    (void)what;
    watch->cb(watch->fd, watch->arg); /* may unwatch */
    env_libevent_leave(&loop->env, entered);
}

static struct watch *watch_new(struct env *env, int fd, short what, void (*cb)(int fd, void *arg),
                               void *arg)
{
    struct loop *loop = loop_of(env);
    struct watch *watch = MEM_NEW(struct watch);

    watch->loop = loop;
    watch->fd = fd;
    watch->cb = cb;
    watch->arg = arg;
    CHECK(event_assign(&watch->event, loop->base, fd, (short)(what | EV_PERSIST), on_watch,
                       watch) == 0);
    CHECK(event_add(&watch->event, NULL) == 0);
    list_push_back(&loop->watches, &watch->node);
    return watch;
}

static void watch_free(struct watch *watch)
{
    event_del(&watch->event);
    list_remove(&watch->node);
    mem_free(watch);
}

void env_libevent_on_signal(struct env *env, int signal_number,
                            void (*cb)(int signal_number, void *arg), void *arg)
{
    watch_new(env, signal_number, EV_SIGNAL, cb, arg);
}

void *env_libevent_watch_fd(struct env *env, int fd, void (*cb)(int fd, void *arg), void *arg)
{
    return watch_new(env, fd, EV_READ, cb, arg);
}

void env_libevent_unwatch_fd(struct env *env, void *handle)
{
    (void)env;
    watch_free(handle);
}

/* ---- life ---- */

struct event_base *env_libevent_base(struct env *env)
{
    return loop_of(env)->base;
}

static struct event_base *base_new(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base;

    CHECK(config != NULL);
    /* The coarse clock and epoll's milliseconds would round a 1 ms timer to 5 ms. */
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_PRECISE_TIMER |
                                      EVENT_BASE_FLAG_NO_CACHE_TIME);
    base = event_base_new_with_config(config);
    event_config_free(config);
    CHECK(base != NULL);
    return base;
}

struct env *env_libevent_new(const struct env_libevent_options *options)
{
    struct loop *loop = MEM_NEW(struct loop);
    uint32_t threads = options == NULL ? 0 : options->blocking_threads;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit (ulimit -f) is an error of the write, not the end */
    loop->magic = MAGIC;
    loop->env.ops = &loop_ops;
    loop->base = base_new();
    list_init(&loop->watches);
    loop->posted_tail = &loop->posted;
    CHECK(pthread_mutex_init(&loop->mutex, NULL) == 0);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(loop->wake_fd >= 0);
    CHECK(event_assign(&loop->wake_event, loop->base, loop->wake_fd, EV_READ | EV_PERSIST | EV_ET,
                       on_wake, loop) == 0);
    CHECK(event_add(&loop->wake_event, NULL) == 0);
    CHECK(event_assign(&loop->until, loop->base, -1, 0, on_until, loop) == 0);
    loop->pool_task.cb = on_pool_done;
    loop->pool = env_pool_new(threads == 0 ? BLOCKING_THREADS_DEFAULT : threads, notify_pool, loop);
    loop->env.net = net_libevent_new(&loop->env);
    loop->env.fs = fs_posix_new(&loop->env);
    return &loop->env;
}

int env_libevent_run(struct env *env)
{
    struct loop *loop = loop_of(env);
    int rc = 0;

    if (!__atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE))
        rc = event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
    __atomic_store_n(&loop->stop, 0, __ATOMIC_RELEASE);
    return rc < 0 ? ERR_INTERNAL : 0;
}

/* Nothing is posted: the calling thread may wait, and who posts from now on wakes it. */
static bool begin_wait(struct loop *loop)
{
    bool empty;

    pthread_mutex_lock(&loop->mutex);
    empty = loop->posted == NULL;
    __atomic_store_n(&loop->waiting, empty, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&loop->mutex);
    return empty;
}

/* What is posted, and nothing else, but not twice in a row: who posts all the time must not keep out what has arrived. */
static bool turn_of_posts(struct loop *loop)
{
    if (begin_wait(loop)) {
        loop->posts_only = false;
        return false;
    }
    run_posted(loop);
    loop->posts_only = !loop->posts_only;
    return loop->posts_only;
}

/* Registers the end of a wait. False: it is over. */
static bool wait_until(struct loop *loop, uint64_t until_ns)
{
    uint64_t now = until_ns == UINT64_MAX ? 0 : loop_now_ns(&loop->env), ns;
    struct timeval tv;

    if (until_ns <= now)
        return false;
    if (until_ns == UINT64_MAX)
        return event_del(&loop->until) == 0;
    ns = MIN(until_ns - now, DELAY_MAX_NS) + 999;
    tv = (struct timeval){(time_t)(ns / NS_PER_S), (suseconds_t)(ns % NS_PER_S / 1000)};
    return event_add(&loop->until, &tv) == 0;
}

bool env_libevent_turn(struct env *env, uint64_t until_ns)
{
    struct loop *loop = loop_of(env);
    int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;

    if (!turn_of_posts(loop) && !__atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE)) {
        if (!__atomic_load_n(&loop->waiting, __ATOMIC_RELAXED) || until_ns == 0 || !wait_until(loop, until_ns))
            flags |= EVLOOP_NONBLOCK;
        CHECK(event_base_loop(loop->base, flags) >= 0);
    }
    __atomic_store_n(&loop->waiting, false, __ATOMIC_RELAXED);
    return !__atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE);
}

void env_libevent_take_turns(struct env *env)
{
    struct loop *loop = loop_of(env);

    pthread_mutex_lock(&loop->mutex);
    loop->turns = true;
    pthread_mutex_unlock(&loop->mutex);
}

void env_libevent_interrupt(struct env *env)
{
    wake(loop_of(env));
}

void env_libevent_stop(struct env *env)
{
    struct loop *loop = loop_of(env);

    __atomic_store_n(&loop->stop, 1, __ATOMIC_RELEASE);
    wake(loop);
}

void env_libevent_free(struct env *env)
{
    struct loop *loop;
    struct timer_impl *impl;

    if (env == NULL)
        return;
    loop = loop_of(env);
    fs_posix_stop(loop->env.fs); /* its users are gone: what is under way ends unheard */
    env_pool_free(loop->pool);
    fs_posix_free(loop->env.fs);
    net_libevent_free(loop->env.net);
    while (!list_empty(&loop->watches))
        watch_free(LIST_ENTRY(loop->watches.next, struct watch, node));
    while ((impl = loop->free_timers) != NULL) {
        loop->free_timers = impl->next;
        mem_free(impl);
    }
    event_del(&loop->wake_event);
    event_del(&loop->until);
    event_base_free(loop->base);
    close(loop->wake_fd);
    pthread_mutex_destroy(&loop->mutex);
    loop->magic = 0;
    mem_free(loop);
}
