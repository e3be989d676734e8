/* test_env_libevent.c - what only the production env does: threads, signals, file descriptors, stop. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "test/contract/contract.h"

#define POSTERS 4
#define POSTS   20000

struct counted {
    struct env_task task;
    int seen, *total;
};

static void on_counted(struct env_task *task)
{
    struct counted *c = CONTAINER_OF(task, struct counted, task);

    c->seen++;
    ++*c->total;
}

struct sender {
    struct env *env;
    struct counted mine[4];
};

static void *post_many(void *arg)
{
    struct sender *s = arg;

    for (int i = 0; i < POSTS; i++)
        env_post(s->env, &s->mine[i % 4].task);
    return NULL;
}

/* Posts of one task merge while it is queued, but the last one is never lost. */
static void threads_post(void **state)
{
    struct world *w = *state;
    struct sender senders[POSTERS];
    pthread_t threads[POSTERS];
    int total = 0;

    memset(senders, 0, sizeof(senders));
    for (int i = 0; i < POSTERS; i++) {
        senders[i].env = w->server;
        for (int k = 0; k < 4; k++)
            senders[i].mine[k] = (struct counted){.task = {.cb = on_counted}, .total = &total};
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &senders[i]), 0);
    }
    world_settle(w);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    world_settle(w);
    for (int i = 0; i < POSTERS; i++)
        for (int k = 0; k < 4; k++) {
            assert_true(senders[i].mine[k].seen >= 1);
            assert_int_equal(senders[i].mine[k].task.queued, 0);
        }
    assert_in_range(total, POSTERS * 4, POSTERS * POSTS);
}

struct job {
    struct env_work work;
    int *done;
    pthread_t ran_on;
};

static void run_job(struct env_work *work)
{
    CONTAINER_OF(work, struct job, work)->ran_on = pthread_self();
}

static void job_done(struct env_work *work)
{
    struct job *j = CONTAINER_OF(work, struct job, work);

    assert_false(pthread_equal(j->ran_on, pthread_self()));
    ++*j->done;
}

static void work_runs_on_other_threads(void **state)
{
    struct world *w = *state;
    struct job jobs[200];
    int done = 0;

    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        jobs[i] = (struct job){.work = {.run = run_job, .done = job_done}, .done = &done};
        env_work(w->server, &jobs[i].work);
    }
    assert_true(world_until_count(w, &done, (int)ARRAY_LEN(jobs)));
}

static void work_is_done_before_the_env_is_gone(void **state)
{
    struct env *env = env_libevent_new(&(struct env_libevent_options){.blocking_threads = 2});
    struct job jobs[20];
    int done = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        jobs[i] = (struct job){.work = {.run = run_job, .done = job_done}, .done = &done};
        env_work(env, &jobs[i].work);
    }
    env_libevent_free(env);
    assert_int_equal(done, ARRAY_LEN(jobs));
    env_libevent_free(NULL);
}

static void on_signal(int number, void *arg)
{
    *(int *)arg = number;
}

static void on_readable(int fd, void *arg)
{
    char c;

    if (read(fd, &c, 1) == 1)
        ++*(int *)arg;
}

static void signals_and_descriptors(void **state)
{
    struct world *w = *state;
    int number = 0, bytes = 0, pipe_fds[2];
    void *handle;

    env_libevent_on_signal(w->server, SIGUSR1, on_signal, &number);
    kill(getpid(), SIGUSR1);
    assert_true(world_until_count(w, &number, SIGUSR1));
    assert_int_equal(pipe(pipe_fds), 0);
    handle = env_libevent_watch_fd(w->server, pipe_fds[0], on_readable, &bytes);
    assert_int_equal(write(pipe_fds[1], "abc", 3), 3);
    assert_true(world_until_count(w, &bytes, 3));
    env_libevent_unwatch_fd(w->server, handle);
    assert_int_equal(write(pipe_fds[1], "abc", 3), 3);
    world_settle(w);
    assert_int_equal(bytes, 3);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void slow(struct env_task *task)
{
    struct timespec ts = {.tv_nsec = 8000000};

    nanosleep(&ts, NULL);
    task->cb = NULL;
}

static bool has_run(void *arg)
{
    return ((struct env_task *)arg)->cb == NULL;
}

static void long_callbacks_are_seen(void **state)
{
    struct world *w = *state;
    struct env_task task = {.cb = slow};

    env_libevent_longest_callback_ns(w->server);
    env_post(w->server, &task);
    assert_true(w->until(w, has_run, &task));
    assert_true(env_libevent_longest_callback_ns(w->server) >= 8000000);
    world_settle(w);
    assert_true(env_libevent_longest_callback_ns(w->server) < 8000000);
}

static void *run_loop(void *arg)
{
    assert_int_equal(env_libevent_run(arg), 0);
    return NULL;
}

static void stop_from_another_thread(void **state)
{
    struct env *env = env_libevent_new(NULL);
    pthread_t thread;

    (void)state;
    env_libevent_stop(env);
    assert_int_equal(env_libevent_run(env), 0); /* at once */
    assert_int_equal(pthread_create(&thread, NULL, run_loop, env), 0);
    env_libevent_stop(env);
    pthread_join(thread, NULL);
    env_libevent_free(env);
}

/* ---- turns ---- */

struct turned {
    struct env_task task; /* first */
    struct env_timer timer;
    struct env *env;
    int runs, fired;
};

static void count_and_post(struct env_task *task)
{
    struct turned *c = CONTAINER_OF(task, struct turned, task);

    c->runs++;
    env_post(c->env, task);
}

static void count_fired(struct env_timer *timer)
{
    CONTAINER_OF(timer, struct turned, timer)->fired++;
}

static void *interrupt_soon(void *arg)
{
    nanosleep(&(struct timespec){0, 2000000}, NULL);
    env_libevent_interrupt(arg);
    return NULL;
}

static void turns_of_a_loop(void **state)
{
    struct env *env = env_libevent_new(NULL);
    struct turned c = {.task = {.cb = count_and_post}, .timer = {.cb = count_fired}, .env = env};
    uint64_t began = env_now_ns(env);
    pthread_t thread;

    (void)state;
    env_libevent_take_turns(env);
    assert_true(env_libevent_turn(env, 0)); /* does not wait */
    assert_true(env_libevent_turn(env, began + 2000000));
    assert_true(env_now_ns(env) >= began + 2000000);
    env_timer_arm(env, &c.timer, 1000000); /* comes before the end of the wait, also where tasks are posted all the time */
    assert_true(env_libevent_turn(env, UINT64_MAX));
    assert_int_equal(c.fired, 1);
    env_post(env, &c.task);
    env_timer_arm(env, &c.timer, 1000000);
    for (int i = 0; c.fired < 2; i++) {
        assert_true(env_libevent_turn(env, UINT64_MAX));
        assert_int_equal(c.runs, i + 1); /* once a turn */
    }
    env_unpost(env, &c.task);
    assert_int_equal(pthread_create(&thread, NULL, interrupt_soon, env), 0);
    assert_true(env_libevent_turn(env, UINT64_MAX));
    pthread_join(thread, NULL);
    env_libevent_stop(env);
    assert_false(env_libevent_turn(env, UINT64_MAX));
    env_libevent_free(env);
}

/* ---- two loops in one process, over inproc: ---- */

struct side {
    struct env *env;
    struct net_conn *conn;
    int frames;
    void *taken[100]; /* payloads freed on the other thread */
    int taken_count;
};

static void echo(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct side *s = arg;

    s->frames++;
    net_send(s->env->net, conn, frame);
}

static void keep(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct side *s = arg;

    (void)conn;
    if (s->taken_count < 100)
        s->taken[s->taken_count++] = net_frame_take(frame);
    s->frames++;
}

static void gone(void *arg, struct net_conn *conn, const struct err *why)
{
    (void)conn;
    (void)why;
    ((struct side *)arg)->conn = NULL;
}

static const struct net_handler echo_handler = {.on_frame = echo, .on_close = gone};
static const struct net_handler keep_handler = {.on_frame = keep, .on_close = gone};

static void on_accept(void *arg, struct net_conn *conn)
{
    struct side *s = arg;

    s->conn = conn;
    s->env->net->ops->set_handler(conn, &echo_handler, s);
}

static void loops_talk_across_threads(void **state)
{
    struct world *w = *state;
    static uint8_t payload[30000];
    struct side server = {.env = env_libevent_new(NULL)}, client = {.env = w->client};
    struct net_listener *listener;
    pthread_t thread;
    struct err err;

    assert_int_equal(server.env->net->ops->listen(server.env->net, "inproc:across", on_accept,
                                                  &server, &listener, &err),
                     0);
    assert_int_equal(pthread_create(&thread, NULL, run_loop, server.env), 0);
    client.conn =
        client.env->net->ops->connect(client.env->net, "inproc:across", &keep_handler, &client);
    for (uint32_t i = 0; i < 100; i++)
        net_send(client.env->net, client.conn,
                 &(struct net_frame){
                     .kind = NET_DATA, .stream = i, .payload = payload, .length = sizeof(payload)});
    assert_true(world_until_count(w, &client.frames, 100));
    env_libevent_stop(server.env);
    pthread_join(thread, NULL);
    assert_int_equal(server.frames, 100);
    if (server.conn != NULL)
        server.env->net->ops->close(server.conn);
    server.env->net->ops->listener_close(listener);
    env_libevent_free(server.env);
    if (client.conn != NULL)
        client.env->net->ops->close(client.conn);
    for (int i = 0; i < client.taken_count; i++)
        net_payload_free(client.taken[i]);
}

/* The line of another process, and of an earlier one of its pid. */
static void a_process_that_has_ended_is_gone(void **state)
{
    struct world *w = *state;
    char line[ENV_PROCESS_MAX], earlier[ENV_PROCESS_MAX];
    int fds[2], status;
    pid_t pid;
    char *at;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        env_process(w->server, line);
        _exit(write(fds[1], line, sizeof(line)) == sizeof(line) && pause() < 0);
    }
    assert_int_equal(read(fds[0], line, sizeof(line)), sizeof(line));
    assert_false(env_process_is_gone(w->server, line));
    at = strstr(line, "(started ");
    assert_non_null(at);
    at += strlen("(started ");
    snprintf(earlier, sizeof(earlier), "%.*s%llu%s", (int)(at - line), line, strtoull(at, NULL, 10) - 1, strchr(at, ','));
    assert_true(env_process_is_gone(w->server, earlier));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(env_process_is_gone(w->server, line));
    at = strstr(line, "boot ") + strlen("boot "); /* of another one, or of another machine */
    *at = *at == '0' ? '1' : '0';
    assert_false(env_process_is_gone(w->server, line));
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    static const struct contract table[] = {
        {"threads_post", threads_post},
        {"work_runs_on_other_threads", work_runs_on_other_threads},
        {"work_is_done_before_the_env_is_gone", work_is_done_before_the_env_is_gone},
        {"signals_and_descriptors", signals_and_descriptors},
        {"long_callbacks_are_seen", long_callbacks_are_seen},
        {"stop_from_another_thread", stop_from_another_thread},
        {"turns_of_a_loop", turns_of_a_loop},
        {"loops_talk_across_threads", loops_talk_across_threads},
        {"a_process_that_has_ended_is_gone", a_process_that_has_ended_is_gone},
        {NULL, NULL},
    };

    return contract_run("env, libevent", table, world_real_new);
}
