/*
 * tm.h - the TaskManager's supervisor as one object on one env: registers, offers slots, starts and reaps workers, passes data
 * connections to them, writes obituaries.
 *
 * Without high availability workers end with their JobManager: when its connection breaks they are all killed, and the supervisor
 * registers again.  Thread: the loop.
 */
#ifndef TM_TM_H
#define TM_TM_H

#include "common/base/id.h"
#include "common/conf/conf.h"
#include "common/env/env.h"
#include "common/net/net.h"
#include "proto/control.pb-c.h"

struct tm;

/* How workers come to life: fork and exec in production, a node of the simulator, a thread-free object in rask-local. */
struct tm_spawner;
struct tm_worker_exit {
    int32_t exit_code;  /* -1: by signal */
    int32_t signal;
    bool done;          /* the worker said that it had nothing left to do; then reason is its sentence */
    const char *reason; /* borrowed, as the following; NULL unknown */
    const char *task, *operator_name, *stack, *last_log;
    uint64_t peak_bytes;
};
typedef void tm_exit_fn(void *arg, const struct tm_worker_exit *exit);
typedef void tm_memory_fn(void *arg, uint64_t pss_bytes); /* 0: unknown */
typedef void tm_read_fn(void *arg, int code, const char *error, const void *data, size_t len, uint64_t size);
typedef void tm_list_fn(void *arg, int code, const char *error, const Rask__Control__ListFilesOk *files);

struct tm_spawner_ops {
    /* Starts the worker of start->job_id. Returns a handle, or NULL with err. on_exit is called later, exactly once, on the loop,
     * after which the handle is invalid and no other callback about it comes. */
    void *(*spawn)(struct tm_spawner *s, const Rask__Control__StartWorker *start, const struct id *taskmanager_id,
                   const char *data_address, tm_exit_fn *on_exit, void *arg, int32_t *ret_pid, struct err *err);
    void (*kill)(struct tm_spawner *s, void *worker, bool at_once); /* false: ask (end of the start pipe), kill after 1 s */
    /* Passes an accepted data connection, with the preamble that was read from it, to the worker. conn is taken. */
    void (*pass)(struct tm_spawner *s, void *worker, struct net_conn *conn, const Rask__Control__Hello *hello);
    /* A quick look, each 100 ms: may the worker's memory (PSS) be more than so much? NULL: yes. */
    bool (*memory_may_exceed)(struct tm_spawner *s, void *worker, uint64_t bytes);
    /* Memory of the worker now (PSS). Called when it may be more than it was, once at a time for each. cb later. NULL: nobody
     * watches it. */
    void (*memory)(struct tm_spawner *s, void *worker, tm_memory_fn *cb, void *arg);
    /* Reads a file of a job's worker ("out", "log"), or of the log folder (job_id NULL). cb later. NULL: has no files. */
    void (*read_file)(struct tm_spawner *s, const struct id *job_id, uint32_t worker_index, const char *name,
                      uint64_t offset, uint32_t max, tm_read_fn *cb, void *arg);
    void (*list_files)(struct tm_spawner *s, tm_list_fn *cb, void *arg);
};
struct tm_spawner {
    const struct tm_spawner_ops *ops;
};

struct tm_options {
    const struct conf *conf;           /* borrowed: slots, memory, security, registration */
    const char *jobmanager_address;
    const char *data_listen_address;   /* HOST:PORT or inproc: */
    const char *advertised_host;       /* NULL: that of data_listen_address */
    const char *resource_id;           /* taskmanager.resource-id; NULL: it is new with each start */
    const char *local_dir;             /* where the spawner's workers keep copies of state, by job; NULL: nowhere */
    struct tm_spawner *spawner;        /* borrowed */
    struct net_tls *tls;               /* borrowed: towards the JobManager, by certificates; NULL: in clear */
    bool tls_data;                     /* between workers, too: who comes in vain to the data port is told nothing */
    int32_t pid;                       /* for display, as the following */
    uint32_t cpu_cores;
    uint64_t physical_memory_bytes;
    uint64_t (*own_bytes)(void *arg);  /* memory of this process now; NULL: unknown */
    void (*on_registered)(void *arg);  /* each time; may be NULL */
    /* An attempt to register failed (each one). May be NULL. */
    void (*on_failed)(void *arg, const struct err *why);
    /* taskmanager.registration.timeout is over; nothing is tried any more. NULL: it tries for ever. */
    void (*on_gave_up)(void *arg, const struct err *why);
    void *arg;
};
/* ERR_INVALID when the memory per slot is too small, ERR_PERMISSION for an open address, or why it cannot listen. */
int tm_new(struct env *env, const struct tm_options *options, struct tm **ret, struct err *err) MUST_CHECK;
/* Stops all workers, closes the connection to the JobManager; cb, later, when the last one is gone. */
void tm_stop(struct tm *tm, void (*cb)(void *arg), void *arg);
/* Without tm_stop before: workers that live are the spawner's to end, and it may not call on_exit any more. */
void tm_free(struct tm *tm);
const struct id *tm_id(struct tm *tm);

/* The formula: (process size - 32 MiB) / slots. ERR_INVALID with a sentence when a slot gets less than 16 MiB. */
#define TM_SUPERVISOR_BYTES (32u << 20)
#define TM_SLOT_MIN_BYTES (16u << 20)
int tm_slot_bytes(const struct conf *conf, uint64_t *ret_bytes, struct err *err) MUST_CHECK;
/* What of a worker's budget is for blocks between tasks (taskmanager.memory.network.*) and for state
 * (taskmanager.memory.managed.*). The rest is for user code. */
void tm_worker_budgets(const struct conf *conf, uint64_t budget_bytes, uint32_t slots, uint64_t *ret_network_bytes,
                       uint64_t *ret_state_bytes);

#endif
