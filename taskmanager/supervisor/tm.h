/*
 * tm.h - the TaskManager's supervisor as one object on one env: registers, offers slots, starts and reaps workers, passes data
 * connections to them, writes obituaries.
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
    int32_t exit_code;     /* -1: by signal */
    int32_t signal;
    const char *task, *operator_name, *stack, *last_log; /* borrowed; NULL unknown */
    uint64_t peak_bytes;
};
struct tm_spawner_ops {
    /* Starts the worker of start->job_id. Returns a handle, or NULL with err. on_exit is called later, exactly once, on the loop,
     * after which the handle is invalid. */
    void *(*spawn)(struct tm_spawner *s, const Rask__Control__StartWorker *start, const struct id *taskmanager_id,
                   const char *data_address, void (*on_exit)(void *arg, const struct tm_worker_exit *exit), void *arg,
                   int32_t *ret_pid, struct err *err);
    void (*kill)(struct tm_spawner *s, void *worker, bool at_once); /* false: ask (end of the start pipe), kill after 1 s */
    /* Passes an accepted data connection, with the preamble that was read from it, to the worker. conn is taken. */
    void (*pass)(struct tm_spawner *s, void *worker, struct net_conn *conn, const Rask__Control__Hello *hello);
    /* Memory of the worker now (PSS), 0 if unknown. Called each 100 ms while workers live. */
    void (*memory)(struct tm_spawner *s, void *worker, void (*cb)(void *arg, uint64_t pss_bytes), void *arg);
    /* Reads a worker's file ("out", "log") or lists/reads the log folder (worker NULL). */
    void (*read_file)(struct tm_spawner *s, const struct id *job_id, const char *name, uint64_t offset, uint32_t max,
                      void (*cb)(void *arg, int code, const char *error, const void *data, size_t len, uint64_t size), void *arg);
};
struct tm_spawner {
    const struct tm_spawner_ops *ops;
};

struct tm_options {
    const struct conf *conf;           /* borrowed: slots, memory, addresses, heartbeat */
    const char *jobmanager_address;
    const char *data_listen_address;   /* HOST:PORT or inproc: */
    const char *advertised_host;
    struct tm_spawner *spawner;        /* borrowed */
    void (*on_registered)(void *arg);  /* each time; may be NULL */
    void *arg;
};
int tm_new(struct env *env, const struct tm_options *options, struct tm **ret, struct err *err) MUST_CHECK;
/* Stops all workers, says good-bye; cb when done. */
void tm_stop(struct tm *tm, void (*cb)(void *arg), void *arg);
void tm_free(struct tm *tm);

#endif
