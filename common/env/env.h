/*
 * env.h - the seam: everything a core may ask of the outside world.
 *
 * jobmanager/, taskmanager/ and common/{rpc,...} include this header (with net.h, fs.h, coord.h) and no
 * other source of time, randomness, network, disk or coordination.  Production links env_libevent.c;
 * the simulator links test/sim/sim_env.c.  A node is one struct env: two nodes in one process share nothing.
 *
 * Rules.  (1) Callbacks never run inside the call that caused them: completion is a later event.
 * (2) All callbacks of one env run on its loop thread, one at a time.  (3) Only env_post may be
 * called from other threads.  (4) Memory is libc's.
 */
#ifndef ENV_ENV_H
#define ENV_ENV_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/id.h"
#include "common/base/log.h"

struct env;
struct net;
struct fs;
struct coord;

/* One-shot, embedded in its owner, who cancels it before freeing the memory that holds it. Zero-initialised = idle. */
struct env_timer {
    void (*cb)(struct env_timer *timer);
    void *impl; /* owned by the env */
    bool armed; /* read-only for the owner */
};

/* A message to the loop: cb runs later on the loop thread, in the order of posting. Caller-owned; may be posted again
 * once cb has begun. Posting one that is already queued is a no-op. Zero-initialised = idle. */
struct env_task {
    void (*cb)(struct env_task *task);
    struct env_task *next; /* owned by the env while queued */
    int queued;            /* atomic, owned by the env */
};

/* A blocking call on a pool of threads: run() there, done() on the loop thread. Caller-owned until done().
 * done() always comes, at the latest inside the free function of the env: it has to bear that its user is gone. */
struct env_work {
    void (*run)(struct env_work *work);
    void (*done)(struct env_work *work);
    struct env_work *next;
};

#define ENV_PROCESS_MAX 320

struct env_ops {
    uint64_t (*now_ns)(struct env *env);  /* monotonic, this node's own drifting clock */
    int64_t (*wall_ms)(struct env *env);  /* Unix time; may jump; for display and processing time */
    uint64_t (*rand_u64)(struct env *env);
    void (*timer_arm)(struct env *env, struct env_timer *timer, uint64_t delay_ns); /* re-arms an armed one */
    void (*timer_cancel)(struct env *env, struct env_timer *timer);                  /* idle: no-op */
    void (*post)(struct env *env, struct env_task *task);                            /* any thread */
    void (*unpost)(struct env *env, struct env_task *task);                          /* loop thread; idle: no-op */
    void (*work)(struct env *env, struct env_work *work);
    void (*log)(struct env *env, enum log_level level, const char *module, const char *job,
                const char *text);
    bool (*log_enabled)(struct env *env, enum log_level level, const char *module);
    bool (*buggify)(struct env *env, const char *file, int line); /* constant false in production */
    void (*probe)(struct env *env, const char *name);             /* nothing in production */
    void (*process)(struct env *env, char out[ENV_PROCESS_MAX]);
    bool (*process_is_gone)(struct env *env, const char *process);
};

struct env {
    const struct env_ops *ops;
    struct net *net;     /* borrowed: the node's network, disk and coordination */
    struct fs *fs;
    struct coord *coord;
    uint32_t node_id;    /* simulator only */
};

static inline uint64_t env_now_ns(struct env *env)
{
    return env->ops->now_ns(env);
}
static inline int64_t env_wall_ms(struct env *env)
{
    return env->ops->wall_ms(env);
}
static inline uint64_t env_rand_u64(struct env *env)
{
    return env->ops->rand_u64(env);
}
static inline void env_timer_arm(struct env *env, struct env_timer *timer, uint64_t delay_ns)
{
    env->ops->timer_arm(env, timer, delay_ns);
}
/* Milliseconds as nanoseconds. 100 years stand for anything longer: settings say "never" by the largest number there is. */
static inline uint64_t env_ms_to_ns(uint64_t ms)
{
    const uint64_t most = UINT64_C(100) * 365 * 86400 * 1000;

    return (ms < most ? ms : most) * 1000000u;
}
static inline uint64_t env_us_to_ns(uint64_t us)
{
    return us < UINT64_MAX / 2000 ? us * 1000u : UINT64_MAX / 2;
}
static inline void env_timer_arm_ms(struct env *env, struct env_timer *timer, uint64_t delay_ms)
{
    env->ops->timer_arm(env, timer, env_ms_to_ns(delay_ms));
}
static inline void env_timer_cancel(struct env *env, struct env_timer *timer)
{
    env->ops->timer_cancel(env, timer);
}
static inline void env_post(struct env *env, struct env_task *task)
{
    env->ops->post(env, task);
}
/* Takes a posted task back, so that its owner may free the memory that holds it. */
static inline void env_unpost(struct env *env, struct env_task *task)
{
    env->ops->unpost(env, task);
}
static inline void env_work(struct env *env, struct env_work *work)
{
    env->ops->work(env, work);
}
/* True now and then in a simulation: a place to do the rare but legal thing (flush early, answer late, fill up). */
#define ENV_BUGGIFY(env) ((env)->ops->buggify(env, __FILE__, __LINE__))
/* Marks that a rare path was taken; simulations count it. Not for paths that are taken often. */
#define ENV_PROBE(env, name) ((env)->ops->probe(env, name))

/* A line that tells this process from all others, also those of earlier boots and other machines; "": nothing is known. */
static inline void env_process(struct env *env, char out[ENV_PROCESS_MAX])
{
    env->ops->process(env, out);
}
/* Whoever had this line has ended for certain. False: it lives, or one cannot tell from here. Any text is legal. */
static inline bool env_process_is_gone(struct env *env, const char *process)
{
    return env->ops->process_is_gone(env, process);
}

/* Never zero. (Two draws in one expression have no order: compilers differ.) */
struct id env_rand_id(struct env *env);

/* job: 32 hex digits or NULL. Text beyond 4000 bytes is cut. */
void env_log(struct env *env, enum log_level level, const char *module, const char *job,
             const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* For lines that a stranger can cause at will: 20 a minute, then their number. Zero-initialised; one per kind of line. */
struct env_log_rate {
    uint64_t minute;
    uint32_t lines;
};
void env_log_limited(struct env *env, struct env_log_rate *rate, enum log_level level, const char *module,
                     const char *job, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* Production. The loop runs on the calling thread until env_libevent_stop (any thread, or a signal handler).
 * A stop before the run makes it return at once; it may be run again. */
struct env_libevent_options {
    uint32_t blocking_threads; /* upper bound of the pool behind env_work, started on demand; 0: 4 */
};
/* options NULL: the defaults. Sets net and fs; coord stays NULL. */
struct env *env_libevent_new(const struct env_libevent_options *options);
int env_libevent_run(struct env *env);
void env_libevent_stop(struct env *env);
/*
 * Instead of env_libevent_run: the loop is served in turns, by one thread at a time, which is the loop's meanwhile; callers see
 * to that, and that there is a next turn soon.  A turn calls what is due and, if nothing is, waits for it until that time of
 * now_ns (0: not at all, UINT64_MAX: for ever).  False: the loop was stopped.
 */
void env_libevent_take_turns(struct env *env); /* before the first one */
bool env_libevent_turn(struct env *env, uint64_t until_ns);
void env_libevent_interrupt(struct env *env); /* any thread: the turn that waits, or else the next one, does so no more */
/* Owners have cancelled their timers and closed their connections. Waits for what is in env_work; NULL is legal. */
void env_libevent_free(struct env *env);
/* Calls cb on the loop when the signal arrives. */
void env_libevent_on_signal(struct env *env, int signal_number, void (*cb)(int signal_number, void *arg), void *arg);
/* Calls cb on the loop when fd is readable (pipes of children, signalfd ...); returns a handle for unwatch. */
void *env_libevent_watch_fd(struct env *env, int fd, void (*cb)(int fd, void *arg), void *arg);
void env_libevent_unwatch_fd(struct env *env, void *handle);
/* Longest callback seen on this loop since the last call, in nanoseconds (DESIGN: no callback over 5 ms). */
uint64_t env_libevent_longest_callback_ns(struct env *env);

#endif
