/* test_tm.c - the supervisor against a JobManager of the test and a spawner that starts nothing. */
#include "taskmanager/supervisor/tm.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/rpc/rpc.h"
#include "test/unit/loop.h"

#define JOBMANAGER "inproc:jm"
#define DATA "inproc:data"
#define MIB (1u << 20)

/* ---- a spawner whose workers are records ---- */

struct fake {
    bool live, at_once;
    int killed, passed;
    uint64_t memory;
    tm_exit_fn *on_exit;
    void *arg;
    struct net_conn *conn;
};

struct spawner {
    struct tm_spawner base;
    struct fixture *f;
    struct fake workers[8];
    int spawned, killed, passed, memory_asked, looks;
    bool refuse, ends_when_killed;
};

struct fixture {
    struct env *env;
    struct rpc_server *server;
    struct rpc_peer *peer; /* the TaskManager */
    struct conf *conf;
    struct spawner spawner;
    struct tm *tm;
    int ready, closed, registrations, reports, obituaries, on_registered, failed, gave_up, stopped, done;
    int obituary_answer; /* 0: ok; 1: nothing is said; < 0: that error */
    uint32_t register_slots;
    uint64_t register_slot_bytes;
    size_t reported_workers;
    struct rpc_request *held;
    char reason[ERR_TEXT_MAX];
    char task[64];
    int32_t signal;
    bool expected;
    int code;
    int32_t pid;
    char text[ERR_TEXT_MAX];
    uint64_t fence;
    char resource_id[64];
};

struct death {
    struct env_timer timer;
    struct fake *worker;
    struct tm_worker_exit exit;
};

static void on_death(struct env_timer *timer)
{
    struct death *d = CONTAINER_OF(timer, struct death, timer);

    if (d->worker->live) {
        d->worker->live = false;
        d->worker->on_exit(d->worker->arg, &d->exit);
    }
    mem_free(d);
}

/* It dies soon, as processes do. */
static void dies(struct fixture *f, struct fake *worker, struct tm_worker_exit exit)
{
    struct death *d = MEM_NEW(struct death);

    d->timer.cb = on_death;
    d->worker = worker;
    d->exit = exit;
    env_timer_arm(f->env, &d->timer, 0);
}

static void *fake_spawn(struct tm_spawner *s, const Rask__Control__StartWorker *start, const struct id *tm_id,
                        const char *data_address, tm_exit_fn *on_exit, void *arg, int32_t *ret_pid,
                        struct err *err)
{
    struct spawner *spawner = CONTAINER_OF(s, struct spawner, base);
    struct fake *worker = &spawner->workers[spawner->spawned];

    assert_non_null(start->job_name);
    assert_false(id_is_zero(tm_id));
    assert_string_equal(data_address, DATA);
    if (spawner->refuse) {
        err_set(err, ERR_NOT_FOUND, "no program");
        return NULL;
    }
    *worker = (struct fake){.live = true, .on_exit = on_exit, .arg = arg};
    *ret_pid = 1000 + spawner->spawned++;
    return worker;
}

static void fake_kill(struct tm_spawner *s, void *handle, bool at_once)
{
    struct spawner *spawner = CONTAINER_OF(s, struct spawner, base);
    struct fake *worker = handle;

    worker->killed++;
    worker->at_once = at_once;
    spawner->killed++;
    if (spawner->ends_when_killed)
        dies(spawner->f, worker, (struct tm_worker_exit){.exit_code = -1, .signal = SIGKILL});
}

static void fake_pass(struct tm_spawner *s, void *handle, struct net_conn *conn,
                      const Rask__Control__Hello *hello)
{
    struct spawner *spawner = CONTAINER_OF(s, struct spawner, base);

    assert_int_equal(hello->job_epoch, 1);
    ((struct fake *)handle)->passed++;
    ((struct fake *)handle)->conn = conn;
    spawner->passed++;
    spawner->f->env->net->ops->close(conn);
}

struct memory_answer {
    struct env_timer timer;
    struct fake *worker;
    tm_memory_fn *cb;
    void *arg;
};

static void on_memory(struct env_timer *timer)
{
    struct memory_answer *m = CONTAINER_OF(timer, struct memory_answer, timer);

    if (m->worker->live)
        m->cb(m->arg, m->worker->memory);
    mem_free(m);
}

static void fake_memory(struct tm_spawner *s, void *handle, tm_memory_fn *cb, void *arg)
{
    struct spawner *spawner = CONTAINER_OF(s, struct spawner, base);
    struct memory_answer *m = MEM_NEW(struct memory_answer);

    spawner->memory_asked++;
    *m = (struct memory_answer){.timer = {.cb = on_memory}, .worker = handle, .cb = cb, .arg = arg};
    env_timer_arm(spawner->f->env, &m->timer, 0);
}

static const struct tm_spawner_ops fake_ops = {
    .spawn = fake_spawn, .kill = fake_kill, .pass = fake_pass, .memory = fake_memory};

static bool fake_may_exceed(struct tm_spawner *s, void *handle, uint64_t bytes)
{
    const struct fake *w = handle;

    CONTAINER_OF(s, struct spawner, base)->looks++;
    return w->memory > bytes;
}

static const struct tm_spawner_ops fake_quick_ops = {
    .spawn = fake_spawn, .kill = fake_kill, .pass = fake_pass, .memory_may_exceed = fake_may_exceed, .memory = fake_memory};

/* ---- a JobManager ---- */

static void on_ready(void *arg, struct rpc_peer *peer)
{
    struct fixture *f = arg;

    f->peer = peer;
    f->ready++;
}

static void note_obituary(struct fixture *f, const Rask__Control__WorkerExited *exited,
                          struct rpc_request *request)
{
    f->obituaries++;
    if (f->held)
        rpc_ok(f->held);
    f->held = NULL;
    snprintf(f->reason, sizeof(f->reason), "%s", exited->reason);
    snprintf(f->task, sizeof(f->task), "%s", exited->task ? exited->task : "");
    f->signal = exited->signal;
    f->expected = exited->expected;
    if (f->obituary_answer == 0)
        rpc_ok(request);
    else if (f->obituary_answer < 0)
        rpc_fail(request, f->obituary_answer, "do not want");
    else
        f->held = request;
}

static void on_request(void *arg, struct rpc_peer *peer, enum rpc_method method,
                       const ProtobufCMessage *message, struct rpc_request *request)
{
    struct fixture *f = arg;
    const Rask__Control__RegisterTaskManager *reg = (const void *)message;
    Rask__Control__RegisterTaskManagerOk ok = RASK__CONTROL__REGISTER_TASK_MANAGER_OK__INIT;
    uint8_t known[16] = {1};
    ProtobufCBinaryData local_jobs[] = {{16, known}};

    (void)peer;
    if (method == RPC_REGISTER_TASKMANAGER) {
        f->registrations++;
        f->register_slots = reg->slots;
        f->register_slot_bytes = reg->slot_bytes;
        assert_string_equal(reg->data_address, DATA);
        ok.heartbeat_interval_ms = 1000;
        ok.heartbeat_timeout_ms = 50000;
        ok.n_local_jobs = 1;
        ok.local_jobs = local_jobs;
        snprintf(f->resource_id, sizeof(f->resource_id), "%s", reg->resource_id ? reg->resource_id : "");
        rpc_reply(request, &ok.base);
    } else if (method == RPC_TASKMANAGER_REPORT) {
        f->reports++;
        f->reported_workers = ((const Rask__Control__TaskManagerReport *)(const void *)message)->n_workers;
        rpc_ok(request);
    } else if (method == RPC_WORKER_EXITED) {
        note_obituary(f, (const void *)message, request);
    } else {
        fail_msg("unexpected %s", rpc_method_name(method));
    }
}

static void on_close(void *arg, struct rpc_peer *peer, const struct err *why)
{
    struct fixture *f = arg;

    (void)peer;
    (void)why;
    f->peer = NULL;
    f->closed++;
}

static const struct rpc_handler jobmanager = {on_ready, on_request, on_close};

static void listen_as_jobmanager(struct fixture *f, uint64_t fence)
{
    struct rpc_server_options options = {.address = JOBMANAGER, .fence = fence, .handler = &jobmanager,
                                         .arg = f};
    struct err err;

    f->fence = fence;
    assert_int_equal(rpc_server_new(f->env, &options, &f->server, &err), 0);
}

static void count_registered(void *arg)
{
    ((struct fixture *)arg)->on_registered++;
}
static void count_failed(void *arg, const struct err *why)
{
    assert_true(why->text[0]);
    ((struct fixture *)arg)->failed++;
}
static void count_gave_up(void *arg, const struct err *why)
{
    struct fixture *f = arg;

    snprintf(f->text, sizeof(f->text), "%s", why->text);
    f->gave_up++;
}
static void count_stopped(void *arg)
{
    ((struct fixture *)arg)->stopped++;
}

static void start_with(struct fixture *f, bool with_jobmanager, const char *local_dir)
{
    struct tm_options options = {.jobmanager_address = JOBMANAGER, .data_listen_address = DATA,
                                 .on_registered = count_registered, .on_failed = count_failed,
                                 .on_gave_up = count_gave_up, .arg = f};
    struct err err = {0};

    memset(f, 0, sizeof(*f));
    f->env = loop_new(true);
    f->conf = conf_new();
    assert_int_equal(conf_set(f->conf, "taskmanager.numberOfTaskSlots", "2", "test", &err), 0);
    f->spawner = (struct spawner){.base = {&fake_ops}, .f = f, .ends_when_killed = true};
    if (with_jobmanager)
        listen_as_jobmanager(f, 77);
    options.conf = f->conf;
    options.spawner = &f->spawner.base;
    options.local_dir = local_dir;
    options.resource_id = local_dir ? "seven" : NULL;
    assert_int_equal(tm_new(f->env, &options, &f->tm, &err), 0);
    if (with_jobmanager)
        loop_until(f->env, &f->on_registered, 1);
}

static void start(struct fixture *f, bool with_jobmanager)
{
    start_with(f, with_jobmanager, NULL);
}

static void end(struct fixture *f)
{
    for (size_t i = 0; i < ARRAY_LEN(f->spawner.workers); i++)
        f->spawner.workers[i].live = false; /* no callback into what is freed */
    tm_free(f->tm);
    if (f->server)
        rpc_server_free(f->server);
    if (f->held)
        rpc_ok(f->held);
    loop_settle(f->env); /* what the fakes have under way */
    conf_free(f->conf);
    env_libevent_free(f->env);
}

static void on_done(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct fixture *f = arg;

    f->done++;
    f->code = error ? error->code : 0;
    snprintf(f->text, sizeof(f->text), "%s", error ? error->text : "");
    if (response && response->descriptor == &rask__control__start_worker_ok__descriptor)
        f->pid = ((const Rask__Control__StartWorkerOk *)(const void *)response)->pid;
}

static void ask_start(struct fixture *f, uint8_t job, uint32_t slots, uint64_t budget)
{
    Rask__Control__StartWorker start_worker = RASK__CONTROL__START_WORKER__INIT;
    uint8_t id[16] = {job}, secret[32] = {0};

    start_worker.job_id = (ProtobufCBinaryData){16, id};
    start_worker.job_epoch = 1;
    start_worker.secret = (ProtobufCBinaryData){32, secret};
    start_worker.jobmanager_address = (char *)JOBMANAGER;
    start_worker.slots = slots;
    start_worker.budget_bytes = budget;
    start_worker.job_name = (char *)"word count";
    rpc_call(f->peer, RPC_START_WORKER, &start_worker.base, 0, on_done, f);
    loop_until(f->env, &f->done, f->done + 1);
}

static void ask_stop(struct fixture *f, uint8_t job, bool at_once)
{
    Rask__Control__StopWorker stop = RASK__CONTROL__STOP_WORKER__INIT;
    uint8_t id[16] = {job};

    stop.job_id = (ProtobufCBinaryData){16, id};
    stop.job_epoch = 1;
    stop.reason = (char *)"the job is over";
    stop.has_kill = stop.kill = at_once;
    rpc_call(f->peer, RPC_STOP_WORKER, &stop.base, 0, on_done, f);
    loop_until(f->env, &f->done, f->done + 1);
}

/* ---- tests ---- */

static void test_registers_and_reports(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, true);
    assert_int_equal(f.register_slots, 2);
    assert_true(f.register_slot_bytes == (1728ull - 32) / 2 * MIB);
    loop_until(f.env, &f.reports, 3);
    assert_int_equal(f.registrations, 1);
    end(&f);
}

static void test_waits_for_a_jobmanager_and_returns_to_it(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, false);
    loop_until(f.env, &f.failed, 3);
    listen_as_jobmanager(&f, 77);
    loop_until(f.env, &f.on_registered, 1);
    ask_start(&f, 1, 1, 100 * MIB);
    rpc_server_free(f.server); /* the JobManager dies: so do its workers */
    f.server = NULL;
    loop_until(f.env, &f.spawner.killed, 1);
    assert_true(f.spawner.workers[0].at_once);
    listen_as_jobmanager(&f, 78);
    loop_until(f.env, &f.on_registered, 2);
    loop_until(f.env, &f.reports, 1);
    assert_int_equal(f.obituaries, 0); /* of another term: nobody there would know it */
    end(&f);
}

static void test_gives_up_after_the_registration_timeout(void **state)
{
    struct fixture f;
    struct err err;

    (void)state;
    start(&f, false);
    assert_int_equal(conf_set(f.conf, "taskmanager.registration.timeout", "3 s", "test", &err), 0);
    loop_until(f.env, &f.gave_up, 1);
    assert_non_null(strstr(f.text, "no JobManager for 3 s (taskmanager.registration.timeout)"));
    end(&f);
}

static void test_start_and_stop_may_be_repeated(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, true);
    ask_start(&f, 1, 1, 100 * MIB);
    assert_int_equal(f.code, 0);
    assert_int_equal(f.pid, 1000);
    ask_start(&f, 1, 1, 100 * MIB);
    assert_int_equal(f.pid, 1000);
    assert_int_equal(f.spawner.spawned, 1);
    ask_start(&f, 2, 1, 100 * MIB);
    assert_int_equal(f.pid, 1001);
    f.reports = 0;
    loop_until(f.env, &f.reports, 2);
    assert_int_equal(f.reported_workers, 2);
    f.spawner.ends_when_killed = false;
    ask_stop(&f, 1, false);
    ask_stop(&f, 1, false);
    assert_int_equal(f.code, 0);
    ask_start(&f, 1, 1, 100 * MIB); /* while it ends */
    assert_int_equal(f.code, 0);
    assert_int_equal(f.pid, 1000);
    dies(&f, &f.spawner.workers[0], (struct tm_worker_exit){.exit_code = 0});
    loop_until(f.env, &f.obituaries, 1);
    assert_true(f.expected);
    assert_string_equal(f.reason, "worker of job \"word count\" was stopped: the job is over");
    f.reports = 0;
    loop_until(f.env, &f.reports, 1);
    ask_stop(&f, 1, false); /* gone, and that is known */
    assert_int_equal(f.code, ERR_NOT_FOUND);
    ask_start(&f, 1, 1, 100 * MIB); /* an answer that was lost: it does not begin anew */
    assert_int_equal(f.code, 0);
    assert_int_equal(f.pid, 1000);
    assert_int_equal(f.spawner.spawned, 2);
    end(&f);
}

static void test_bad_starts_are_refused(void **state)
{
    Rask__Control__StartWorker start_worker = RASK__CONTROL__START_WORKER__INIT;
    struct fixture f;

    (void)state;
    start(&f, true);
    start_worker.jobmanager_address = start_worker.job_name = (char *)"";
    rpc_call(f.peer, RPC_START_WORKER, &start_worker.base, 0, on_done, &f);
    loop_until(f.env, &f.done, 1);
    assert_int_equal(f.code, ERR_INVALID);
    ask_start(&f, 1, 3, 100 * MIB);
    assert_int_equal(f.code, ERR_LIMIT);
    f.spawner.refuse = true;
    ask_start(&f, 1, 1, 100 * MIB);
    assert_int_equal(f.code, ERR_NOT_FOUND);
    assert_string_equal(f.text, "cannot start a worker: no program");
    f.spawner.refuse = false;
    ask_start(&f, 1, 1, 100 * MIB); /* an answer that was lost: its slots may have another owner */
    assert_int_equal(f.code, ERR_IO);
    assert_string_equal(f.text, "process 0 of the job could not be started before");
    assert_int_equal(f.spawner.spawned, 0);
    end(&f);
}

static void test_obituaries_name_the_cause(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, true);
    ask_start(&f, 1, 1, 100 * MIB);
    ask_start(&f, 2, 1, 100 * MIB);
    dies(&f, &f.spawner.workers[0],
         (struct tm_worker_exit){.exit_code = -1, .signal = SIGSEGV, .task = "flat_map (2/4)",
                                 .operator_name = "split", .stack = "#0 split"});
    loop_until(f.env, &f.obituaries, 1);
    assert_string_equal(f.reason,
                        "worker of job \"word count\" (pid 1000) was ended by SIGSEGV (it used memory that is "
                        "not its own) in task flat_map (2/4), operator \"split\"");
    assert_string_equal(f.task, "flat_map (2/4)");
    assert_int_equal(f.signal, SIGSEGV);
    assert_false(f.expected);
    dies(&f, &f.spawner.workers[1], (struct tm_worker_exit){.exit_code = 0, .task = "map (1/1)"});
    loop_until(f.env, &f.obituaries, 2);
    assert_string_equal(f.reason, "worker of job \"word count\" (pid 1001) ended by itself with exit code 0 in "
                                  "task map (1/1): the functions of a job must not end their process");
    ask_start(&f, 3, 1, 100 * MIB);
    dies(&f, &f.spawner.workers[2],
         (struct tm_worker_exit){.exit_code = -1, .signal = SIGABRT,
                                 .last_log = "2026-01-01 00:00:00,000 INFO  worker deployed\n"
                                             "terminate called after throwing an instance of 'std::runtime_error'\n"
                                             "  what():  too much\n"
                                             "ended by SIGABRT in task map (1/1)\n"});
    loop_until(f.env, &f.obituaries, 3);
    assert_string_equal(f.reason, "worker of job \"word count\" (pid 1002) was ended by SIGABRT (it called abort()): "
                                  "exception that nobody caught: too much");
    end(&f);
}

static void test_obituary_is_repeated_until_confirmed(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, true);
    ask_start(&f, 1, 1, 100 * MIB);
    f.obituary_answer = 1; /* nothing */
    dies(&f, &f.spawner.workers[0], (struct tm_worker_exit){.exit_code = -1, .signal = SIGABRT});
    loop_until(f.env, &f.obituaries, 1);
    rpc_close(f.peer); /* the answer is lost with the connection */
    loop_until(f.env, &f.on_registered, 2);
    loop_until(f.env, &f.obituaries, 2);
    rpc_ok(f.held);
    f.held = NULL;
    f.reports = 0;
    loop_until(f.env, &f.reports, 3);
    assert_int_equal(f.obituaries, 2);
    end(&f);
}

static void test_worker_over_its_memory_is_killed(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, true);
    ask_start(&f, 1, 2, 700 * MIB);
    f.spawner.workers[0].memory = 700 * MIB;
    loop_until(f.env, &f.spawner.memory_asked, 3);
    assert_int_equal(f.spawner.killed, 0);
    f.spawner.workers[0].memory = 812 * MIB;
    loop_until(f.env, &f.obituaries, 1);
    assert_true(f.spawner.workers[0].at_once);
    assert_false(f.expected);
    assert_non_null(strstr(f.reason, "worker of job \"word count\" uses 812 MiB, more than the 700 MiB of its 2 "
                                     "slots (taskmanager.memory.process.size 1728m, "
                                     "taskmanager.numberOfTaskSlots 2): raise"));
    end(&f);
}

/* Quick looks are enough while a worker stays as it is; a jump over the budget is seen by the next one, wherever it began. */
static void test_quick_looks_see_a_worker_that_jumps(void **state)
{
    static const uint64_t before[] = {100 * MIB, 600 * MIB};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct fixture f;

        start(&f, true);
        f.spawner.base.ops = &fake_quick_ops;
        ask_start(&f, 1, 2, 700 * MIB);
        f.spawner.workers[0].memory = before[i];
        loop_until(f.env, &f.spawner.looks, 10);
        assert_int_equal(f.spawner.memory_asked, 1);
        f.spawner.workers[0].memory = 812 * MIB;
        loop_until(f.env, &f.obituaries, 1);
        assert_int_equal(f.spawner.memory_asked, 2);
        assert_in_range(f.spawner.looks, 11, 12);
        end(&f);
    }
}

/* ---- the data port ---- */

struct client {
    int opened, closed, refused;
    char text[ERR_TEXT_MAX];
};
static void client_open(void *arg, struct net_conn *conn)
{
    (void)conn;
    ((struct client *)arg)->opened++;
}
static void client_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct client *c = arg;
    struct arena arena;
    Rask__Control__Failure *failure;

    (void)conn;
    assert_int_equal(frame->kind, NET_REFUSE);
    arena_init(&arena);
    failure = (void *)rpc_unpack(&rask__control__failure__descriptor, frame->payload, frame->length, &arena);
    snprintf(c->text, sizeof(c->text), "%s", failure->text);
    arena_release(&arena);
    c->refused++;
}
static void client_close(void *arg, struct net_conn *conn, const struct err *why)
{
    (void)conn;
    (void)why;
    ((struct client *)arg)->closed++;
}
static const struct net_handler client_handler = {client_open, client_frame, NULL, client_close};

static void data_connect(struct fixture *f, struct client *c, uint8_t job, uint32_t protocol, enum net_kind kind)
{
    Rask__Control__Hello hello = RASK__CONTROL__HELLO__INIT;
    uint8_t id[16] = {job}, nonce[16] = {0}, buffer[512];
    struct net_frame frame = {.kind = (uint8_t)kind, .payload = buffer};
    struct net_conn *conn;

    memset(c, 0, sizeof(*c));
    conn = f->env->net->ops->connect(f->env->net, DATA, &client_handler, c);
    loop_until(f->env, &c->opened, 1);
    hello.protocol = protocol;
    hello.version = (char *)"1";
    hello.role = RASK__CONTROL__ROLE__PEER_WORKER;
    hello.has_job_id = hello.has_job_epoch = hello.has_nonce = true;
    hello.job_id = (ProtobufCBinaryData){16, id};
    hello.job_epoch = 1;
    hello.nonce = (ProtobufCBinaryData){16, nonce};
    frame.length = (uint32_t)protobuf_c_message_pack(&hello.base, buffer);
    net_send(f->env->net, conn, &frame);
    loop_until(f->env, &c->closed, 1);
}

static void test_data_connections_find_their_worker(void **state)
{
    struct fixture f;
    struct client c;

    (void)state;
    start(&f, true);
    ask_start(&f, 1, 1, 100 * MIB);
    ask_start(&f, 2, 1, 100 * MIB);
    data_connect(&f, &c, 2, RPC_PROTOCOL, NET_HELLO);
    assert_int_equal(f.spawner.workers[1].passed, 1);
    data_connect(&f, &c, 3, RPC_PROTOCOL, NET_HELLO);
    assert_non_null(strstr(c.text, "no worker of job 03000000000000000000000000000000 with epoch 1 runs on"));
    data_connect(&f, &c, 2, RPC_PROTOCOL + 1, NET_HELLO);
    assert_non_null(strstr(c.text, "install the same version on both"));
    data_connect(&f, &c, 2, RPC_PROTOCOL, NET_DATA);
    assert_non_null(strstr(c.text, "begins with a handshake"));
    memset(&c, 0, sizeof(c)); /* and one that says nothing */
    f.env->net->ops->connect(f.env->net, DATA, &client_handler, &c);
    loop_until(f.env, &c.closed, 1);
    assert_non_null(strstr(c.text, "nothing was said within 10 s"));
    assert_int_equal(f.spawner.passed, 1);
    end(&f);
}

static void test_stop_waits_for_the_workers(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, true);
    ask_start(&f, 1, 1, 100 * MIB);
    tm_stop(f.tm, count_stopped, &f);
    assert_int_equal(f.stopped, 0);
    loop_until(f.env, &f.stopped, 1);
    assert_int_equal(f.spawner.killed, 1);
    assert_false(f.spawner.workers[0].at_once);
    loop_until(f.env, &f.closed, 1);
    end(&f);
}

/* ---- copies of state ---- */

/* The folder of a job, with copies in it. */
static void make_copies(const char *dir, uint8_t job)
{
    struct id id = {{job}};
    char text[ID_TEXT_MAX], path[160];

    snprintf(path, sizeof(path), "%s/%s", dir, id_format(&id, text));
    assert_int_equal(mkdir(path, 0700), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s/0-1-%d.state", dir, text, i);
        assert_true(close(creat(path, 0600)) == 0);
    }
}

static bool has_copies(const char *dir, uint8_t job)
{
    struct id id = {{job}};
    char text[ID_TEXT_MAX], path[160];

    snprintf(path, sizeof(path), "%s/%s", dir, id_format(&id, text));
    return access(path, F_OK) == 0;
}

static void ask_job_over(struct fixture *f, uint8_t job)
{
    Rask__Control__JobOver over = RASK__CONTROL__JOB_OVER__INIT;
    uint8_t id[16] = {job};

    over.job_id = (ProtobufCBinaryData){16, id};
    rpc_call(f->peer, RPC_JOB_OVER, &over.base, 0, on_done, f);
    loop_until(f->env, &f->done, f->done + 1);
}

static void test_copies_of_jobs_that_are_over_go(void **state)
{
    char dir[] = "/tmp/rask-test-tm-XXXXXX", other[64];
    struct fixture f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(other, sizeof(other), "%s/tm_six", dir);
    assert_int_equal(mkdir(other, 0700), 0); /* no job's */
    make_copies(dir, 1);
    make_copies(dir, 2);
    start_with(&f, true, dir); /* and the JobManager has job 1 alone */
    assert_string_equal(f.resource_id, "seven");
    while (has_copies(dir, 2))
        loop_settle(f.env);
    assert_true(has_copies(dir, 1));
    ask_start(&f, 1, 1, 100 * MIB);
    ask_job_over(&f, 1); /* nobody says so before its workers have ended */
    loop_settle(f.env);
    assert_true(has_copies(dir, 1));
    ask_stop(&f, 1, true);
    loop_until(f.env, &f.obituaries, 1);
    ask_job_over(&f, 1);
    while (has_copies(dir, 1))
        loop_settle(f.env);
    ask_job_over(&f, 3); /* that had none */
    assert_int_equal(f.code, 0);
    end(&f);
    assert_int_equal(rmdir(other), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void test_memory_formula(void **state)
{
    struct conf *conf = conf_new();
    struct err err;
    uint64_t bytes = 0;

    (void)state;
    assert_int_equal(tm_slot_bytes(conf, &bytes, &err), 0);
    assert_true(bytes == (1728ull - 32) * MIB);
    assert_int_equal(conf_set(conf, "taskmanager.memory.process.size", "64m", "test", &err), 0);
    assert_int_equal(conf_set(conf, "taskmanager.numberOfTaskSlots", "2", "test", &err), 0);
    assert_int_equal(tm_slot_bytes(conf, &bytes, &err), 0);
    assert_true(bytes == 16u * MIB);
    assert_int_equal(conf_set(conf, "taskmanager.numberOfTaskSlots", "4", "test", &err), 0);
    assert_int_equal(tm_slot_bytes(conf, &bytes, &err), ERR_INVALID);
    assert_string_equal(err.text, "a slot would get 8 MiB and needs at least 16: taskmanager.memory.process.size "
                                  "is 64 MiB, 32 of them are for the TaskManager itself, and "
                                  "taskmanager.numberOfTaskSlots is 4: raise the first to 96m, or lower the "
                                  "second");
    conf_free(conf);
}

static void test_open_data_port_is_refused(void **state)
{
    struct tm_spawner spawner = {&fake_ops};
    struct env *env = loop_new(false);
    struct conf *conf = conf_new();
    struct tm_options options = {.conf = conf, .jobmanager_address = JOBMANAGER, .spawner = &spawner,
                                 .data_listen_address = "0.0.0.0:0"};
    struct tm *tm = NULL;
    struct err err;

    (void)state;
    assert_int_equal(tm_new(env, &options, &tm, &err), ERR_PERMISSION);
    assert_non_null(strstr(err.text, "security.allow-plaintext"));
    conf_free(conf);
    env_libevent_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registers_and_reports),
        cmocka_unit_test(test_waits_for_a_jobmanager_and_returns_to_it),
        cmocka_unit_test(test_gives_up_after_the_registration_timeout),
        cmocka_unit_test(test_start_and_stop_may_be_repeated),
        cmocka_unit_test(test_bad_starts_are_refused),
        cmocka_unit_test(test_obituaries_name_the_cause),
        cmocka_unit_test(test_obituary_is_repeated_until_confirmed),
        cmocka_unit_test(test_worker_over_its_memory_is_killed),
        cmocka_unit_test(test_quick_looks_see_a_worker_that_jumps),
        cmocka_unit_test(test_data_connections_find_their_worker),
        cmocka_unit_test(test_stop_waits_for_the_workers),
        cmocka_unit_test(test_copies_of_jobs_that_are_over_go),
        cmocka_unit_test(test_memory_formula),
        cmocka_unit_test(test_open_data_port_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
