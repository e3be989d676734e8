/*
 * wk.h - a worker as one object on one env: the tasks of one job on one TaskManager.
 *
 * It connects to its job master, registers, receives Deploy, opens data connections to the other workers, runs
 * its tasks on an executor, reports states, obeys Cancel.  The control side runs on env's loop; task steps run on executor threads
 * (production) or as events of the same env (simulator, one thread).
 */
#ifndef WK_WK_H
#define WK_WK_H

#include "common/base/id.h"
#include "common/env/env.h"
#include "api/connector.h"
#include "common/base/bytes.h"
#include "common/net/net.h"
#include "proto/control.pb-c.h"

struct wk;
struct wk_executor; /* taskmanager/worker/task/executor.h */
struct wk_runnable;
struct wk_stores;

/* Where code of artifacts comes from. Production: blob file, dlopen of a private copy. Simulator and tests: the program itself. */
struct wk_loader {
    /* Called on the loop before tasks are opened; cb later (code 0 or an error text naming the artifact). */
    void (*load)(struct wk_loader *loader, struct wk *wk, const uint8_t hash[32], void (*cb)(void *arg, int code, const char *error), void *arg);
    /* Address of offset in a loaded artifact; NULL if out of range. */
    void *(*resolve)(struct wk_loader *loader, const uint8_t hash[32], uint64_t offset);
};

struct wk_options {
    const Rask__Control__StartWorker *start; /* borrowed during wk_new; copied */
    struct id taskmanager_id;
    int32_t pid;
    struct net_tls *tls;           /* borrowed; of start->tls_ciphers; NULL: in clear */
    struct wk_executor *executor;  /* borrowed */
    struct wk_loader *loader;      /* borrowed */
    struct wk_stores *stores;      /* borrowed; NULL: all state is in memory */
    const char *local_dir;         /* for copies of the job's state on this host; copied; NULL: none are kept */
    uint64_t network_bytes;        /* budget of blocks */
    uint64_t state_bytes;          /* budget of state */
    int out_fd, err_fd;            /* where rask_print writes; -1: nowhere */
    const struct connector *const *connectors; /* borrowed, ends with NULL; api/connector.h */
    /* Any thread: wk_ready(task) once, on the loop, when fd is readable; false: fd cannot be watched. Until then
     * unwatch_fd takes it back. Both NULL: tasks poll each 10 ms instead. */
    bool (*watch_fd)(void *arg, int fd, struct wk_runnable *task);
    void (*unwatch_fd)(void *arg, int fd);
    /* A short-lived worker (start->plan_artifact): runs the artifact's entry point. ret: a packed StreamGraph. */
    int (*build_plan)(void *arg, const Rask__Control__StartWorker *start, struct bytes *ret, struct err *err);
    /* The worker has nothing left to do (job over, or its job master is gone): the process should end with this code. */
    void (*on_done)(void *arg, int exit_code, const char *reason);
    void *arg;
};
int wk_new(struct env *env, const struct wk_options *options, struct wk **ret, struct err *err) MUST_CHECK;
/* A data connection that the supervisor passed on. conn is taken. */
void wk_accept(struct wk *wk, struct net_conn *conn, const Rask__Control__Hello *hello);
/* Cancels every task, as the job master's CancelTasks does. Loop. */
void wk_cancel(struct wk *wk);
/* No executor runs or will run a step of this worker: either it was freed, or wk_is_idle. */
void wk_free(struct wk *wk);
/* Tasks that are neither finished, failed nor canceled. */
uint32_t wk_tasks_alive(const struct wk *wk);
/* No task is alive, and the executor has let go of each: only then may wk_free be called while it runs. */
bool wk_is_idle(const struct wk *wk);
/* Fetches a blob of the job from the JobManager into memory; cb on the loop, at the latest inside wk_free. For loaders. */
void wk_fetch_blob(struct wk *wk, const uint8_t hash[32], void (*cb)(void *arg, int code, const char *error, const void *data, size_t len), void *arg);

#endif
