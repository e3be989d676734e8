/*
 * snapshot.h - an immutable picture of the cluster for REST, reference counted.
 *
 * The control loop rebuilds what changed (at most once a second, at once on a change of state) and
 * swaps it in; REST runs on its own thread, takes a reference, answers, drops it.  Everything is
 * owned by the snapshot: strings and arrays of a job's snapshot live in its arena.  Jobs that are
 * over live on disk: the cluster's snapshot has a short entry of each (jm_finished_job),
 * JM_LOAD_JOB reads the rest.
 */
#ifndef JM_SNAPSHOT_H
#define JM_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/id.h"
#include "common/base/mem.h"
#include "jobmanager/job/figures.h"
#include "proto/control.pb-c.h"
#include "proto/graph.pb-c.h"

/* Flink's JobStatus */
#define JM_JOB_STATES(X) \
    X(INITIALIZING)      \
    X(CREATED)           \
    X(RUNNING)           \
    X(FAILING)           \
    X(FAILED) X(CANCELLING) X(CANCELED) X(FINISHED) X(RESTARTING) X(SUSPENDED) X(RECONCILING)
enum jm_job_state {
#define JM_STATE_ENUM_(name) JM_JOB_##name,
    JM_JOB_STATES(JM_STATE_ENUM_)
#undef JM_STATE_ENUM_
        JM_JOB_STATE_COUNT
};
#define JM_TASK_STATE_COUNT 10 /* Rask__Control__TaskState */

struct jm_ckpt_stats; /* jobmanager/checkpoint/stats.h */

struct jm_metrics {
    uint64_t records_in, records_out, bytes_in, bytes_out, remote_records_in;
    uint64_t takes; /* times that records_in were taken, a step's worth at a time */
    uint64_t source_records; /* read by the source of the chain; Flink counts only between tasks */
    uint64_t busy_ms, idle_ms, backpressured_ms;
    bool complete; /* every subtask's final figures are in */
};
/* A subtask while it runs and somebody looks; see rates.h. */
struct jm_live {
    double records_in_rate, records_out_rate, bytes_in_rate, bytes_out_rate; /* per second */
    uint32_t busy, idle, soft, hard; /* ms per second; the sum is about 1000 */
    uint32_t ready;                  /* of busy: had work and waited for a thread */
    uint64_t input_queue_length, input_queue_bytes, output_queue_length, output_queue_bytes;
    uint32_t in_permille, out_permille; /* of the credit given, of the blocks it may have */
    uint64_t in_flight_bytes;           /* sent, credit not back yet */
    uint32_t hot_key_group, hot_permille; /* of the rows sent; permille 0: no hash edge */
    int64_t watermark;
    uint32_t sink_permille; /* of the looks at a running operator, lately: it was a sink */
};
struct jm_subtask_snapshot {
    uint32_t subtask, attempt;
    Rask__Control__TaskState state;
    int64_t state_at_ms[JM_TASK_STATE_COUNT]; /* 0: never; Unix ms */
    /* index into the job's workers; UINT32_MAX: unassigned */
    uint32_t worker;
    const char *host;           /* "(unassigned)" */
    const char *endpoint;       /* host:port; "(unassigned)" */
    const char *taskmanager_id; /* "(unassigned)" */
    struct jm_metrics metrics;
    struct jm_figures *figures; /* one reference; NULL: none */
    const struct jm_live *live; /* NULL: it does not run, or nobody has looked */
};
struct jm_vertex_snapshot {
    struct id id;
    char *name;
    uint32_t parallelism, max_parallelism;
    char *slot_group;
    bool hidden; /* an enumerator: left out of every answer */
    uint32_t tasks[JM_TASK_STATE_COUNT];
    Rask__Control__TaskState state; /* aggregated as Flink does */
    int64_t start_ms, end_ms;       /* -1: not yet */
    struct jm_metrics metrics;
    struct jm_subtask_snapshot *subtasks; /* parallelism of them */
    bool has_figures;                     /* one of them has */
};
struct jm_worker_snapshot {
    char taskmanager_id[ID_TEXT_MAX]; /* that it runs, or ran, on */
    char *host, *endpoint;            /* host:port of data */
    uint64_t pool_in_use_bytes, pool_budget_bytes; /* of its blocks, when somebody looked last */
};
struct jm_failure_snapshot {
    int64_t at_ms;
    char *text;     /* whole causal chain with stack */
    char *task;     /* "name (2/4)"; NULL: the job */
    char *endpoint; /* NULL */
    char *taskmanager_id;
};
struct jm_job_snapshot {
    uint32_t refs;      /* atomic */
    struct arena arena; /* of everything below */
    struct id id;
    char *name;
    enum jm_job_state state;
    char *reason; /* why it is CREATED, FAILING or FAILED; NULL */
    int64_t state_at_ms[JM_JOB_STATE_COUNT];
    int64_t start_ms, end_ms; /* end -1: running */
    uint32_t max_parallelism, parallelism;
    uint32_t restarts;
    uint32_t tasks[JM_TASK_STATE_COUNT]; /* of all vertices that are not hidden */
    uint32_t vertex_count;
    struct jm_vertex_snapshot *vertices;
    uint32_t worker_count;              /* 0 before slots were found */
    struct jm_worker_snapshot *workers; /* by worker index */
    uint64_t packed_bytes, packed_sent_bytes; /* of rows that left workers compressed: before it, and after */
    char *plan_json;                    /* REST form */
    struct jm_ckpt_stats *checkpoints; /* one reference; NULL: unknown */
    uint32_t failure_count;
    struct jm_failure_snapshot *failures;
    uint32_t accumulator_count;
    struct jm_accumulator {
        char *name;
        int64_t value;
    } * accumulators;
    uint32_t config_count;
    struct jm_property {
        char *key, *value;
    } * config; /* the job's own */
};
/* A job that is over, as it is kept in memory: at most 300 bytes. */
struct jm_finished_job {
    uint32_t refs; /* atomic */
    struct id id;
    enum jm_job_state state;
    int64_t start_ms, end_ms;
    uint32_t tasks[JM_TASK_STATE_COUNT];
    char name[]; /* cut to JM_FINISHED_NAME_MAX bytes */
};
#define JM_FINISHED_NAME_MAX 127
struct jm_taskmanager_snapshot {
    char id[ID_TEXT_MAX];
    char *host, *data_address, *rpc_address;
    uint32_t slots, slots_free;
    uint64_t process_bytes, slot_bytes, managed_bytes, network_bytes, rss_bytes,
        physical_memory_bytes;
    uint32_t cpu_cores;
    int64_t registered_ms, heartbeat_ms;
    int32_t pid;
    uint32_t allocated_count;
    struct jm_allocated_slot {
        struct id job_id;
        uint32_t slots;
        uint64_t bytes;
    } * allocated;
};
struct jm_cluster_snapshot {
    uint32_t refs; /* atomic */
    int64_t made_ms;
    uint32_t taskmanager_count;
    struct jm_taskmanager_snapshot *taskmanagers;
    uint32_t slots, slots_free;
    uint32_t job_count;
    /* one reference each; in order of submission; also those that are just over */
    struct jm_job_snapshot **jobs;
    uint32_t finished_count;
    /* one reference each; those in the job store, oldest first. None is in jobs too */
    struct jm_finished_job **finished;
};

void jm_job_snapshot_unref(struct jm_job_snapshot *s);
void jm_cluster_snapshot_unref(struct jm_cluster_snapshot *s);
void jm_finished_job_unref(struct jm_finished_job *f);
/* An empty one with one reference: fill it from its arena. */
struct jm_job_snapshot *jm_job_snapshot_new(void);
/* Sums two subtasks or groups; complete only if both are. */
void jm_metrics_add(struct jm_metrics *sum, const struct jm_metrics *m);
const char *jm_job_state_name(enum jm_job_state state);
bool jm_job_state_is_final(enum jm_job_state state);
const char *jm_task_state_name(Rask__Control__TaskState state);

#endif
