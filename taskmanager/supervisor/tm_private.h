/* tm_private.h - what the files of the supervisor share. */
#ifndef TM_TM_PRIVATE_H
#define TM_TM_PRIVATE_H

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/fs/sweep.h"
#include "common/rpc/rpc.h"
#include "taskmanager/supervisor/tm.h"

#define TM_MAGIC 0x544d5355u
#define TM_WORKER_MAGIC 0x544d574bu
#define TM_PREAMBLE_MS 10000   /* a data connection that says nothing for so long is closed */
#define TM_PREAMBLE_BYTES 4096 /* its first frame */
#define TM_PREAMBLES_MAX 1024
#define TM_OBITUARIES_MAX 256  /* unacknowledged; the oldest goes first */
#define TM_ENDED_MAX 1024      /* remembered; the oldest is forgotten first */
#define TM_WATCH_MS 100        /* between two looks at the memory of the workers */
#define TM_EXACT_LOOKS 600     /* one of so many is exact, whatever the quick one says */
#define TM_MEMORY_STEP_BYTES (16u << 20) /* growth by a quarter and so much asks for an exact look */

/* A worker is known by job, epoch, and its number among the processes of the job. */
struct tm_key {
    uint8_t bytes[28];
};

struct tm_worker {
    uint32_t magic;
    struct tm *tm;
    struct tm_key key;
    struct id job_id;
    uint64_t job_epoch;
    uint32_t process;
    char *job_name; /* owned */
    void *handle;   /* the spawner's */
    int32_t pid;
    uint32_t slots;
    uint64_t budget_bytes, pss_bytes, peak_bytes;
    uint32_t looks; /* at its memory since the last exact one */
    uint64_t fence;     /* of the JobManager that asked for it */
    bool memory_asked;
    bool expected;      /* it was asked to stop */
    char *why_stopped;  /* owned; NULL: nobody stopped it */
};

struct tm_obituary {
    struct list in_tm;
    struct tm *tm;
    Rask__Control__WorkerExited message; /* its pointers are in arena */
    struct arena arena;
    uint64_t fence;
    uint32_t call; /* 0: not on its way */
    bool sent;     /* at least once */
};

struct tm {
    uint32_t magic;
    struct env *env;
    struct tm_options options; /* texts are owned copies */
    struct id id;
    uint32_t slots;
    uint64_t process_bytes, slot_bytes;

    struct net_listener *listener;
    char *data_address; /* owned; as others reach it */
    struct list preambles;
    uint32_t preamble_count;

    struct rpc_peer *peer;
    bool registered, given_up;
    struct env_timer retry;  /* the next attempt */
    uint64_t retry_ms;
    uint64_t lost_ns;        /* since when there is no JobManager */
    char *last_failure;      /* owned; logged when it changes */
    struct env_timer report; /* each heartbeat interval */
    uint32_t report_ms;

    struct map *workers;     /* tm_key -> struct tm_worker */
    struct map *ended;       /* tm_key -> pid, of the last ones, -1: could not start; a repeated start does not begin them anew */
    struct list obituaries;
    struct env_timer watch;

    struct fs_sweeper copies; /* of state: removes them */
    struct map *local_jobs;  /* ids of the jobs whose copies were of use at the registration; NULL: before it */

    bool stopping;
    void (*stopped)(void *arg);
    void *stopped_arg;
    struct env_timer stop_timer; /* carries the callback when nothing has to be waited for */
};

/* ---- tm_jobmanager.c ---- */
void tm_jobmanager_init(struct tm *tm);
void tm_jobmanager_release(struct tm *tm);

/* ---- tm_worker.c ---- */
void tm_worker_init(struct tm *tm);
void tm_worker_release(struct tm *tm);
void tm_worker_start(struct tm *tm, const Rask__Control__StartWorker *start, struct rpc_request *request);
void tm_worker_stop(struct tm *tm, const Rask__Control__StopWorker *stop, struct rpc_request *request);
struct tm_worker *tm_worker_of(struct tm *tm, const struct id *job_id, uint64_t job_epoch, uint32_t process);
void tm_worker_kill(struct tm_worker *worker, bool at_once, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void tm_worker_kill_all(struct tm *tm, bool at_once, const char *why);
/* The statuses live in the arena. */
Rask__Control__WorkerStatus **tm_worker_statuses(struct tm *tm, struct arena *arena, size_t *ret_count);

/* ---- tm_obituary.c ---- */
void tm_obituary_add(struct tm_worker *worker, const struct tm_worker_exit *exit);
bool tm_obituary_pending(const struct tm *tm, const Rask__Control__StopWorker *stop);
void tm_obituary_send_all(struct tm *tm); /* those of this term; others are dropped */
void tm_obituary_release(struct tm *tm);

/* ---- tm_local.c ---- */
void tm_local_init(struct tm *tm);
void tm_local_registered(struct tm *tm, const Rask__Control__RegisterTaskManagerOk *ok);
/* No worker of it runs here any more. */
void tm_local_job_over(struct tm *tm, const struct id *job_id);
void tm_local_release(struct tm *tm);

/* ---- tm_data.c ---- */
int tm_data_listen(struct tm *tm, struct err *err) MUST_CHECK;
void tm_data_release(struct tm *tm);

/* ---- tm.c ---- */
void tm_maybe_stopped(struct tm *tm); /* a worker is gone */

#endif
