/*
 * stats.h - what is told of a job's checkpoints: a history of entries, counts, summaries.
 *
 * An entry is filled by the coordinator while its checkpoint is under way.  A picture (struct
 * jm_ckpt_stats) is immutable and reference counted, as are the entries in it; an entry under way is
 * copied for each picture.  Thread: made on the control loop, read by any.
 */
#ifndef JM_CKPT_STATS_H
#define JM_CKPT_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/graph/graph.h"
#include "proto/control.pb-c.h"

#define JM_CKPT_HISTORY_MAX  10   /* entries, Flink's web.checkpoints.history */
#define JM_CKPT_SAMPLES_MAX  1000 /* completed ones that summaries are made of */

enum jm_ckpt_status { JM_CKPT_IN_PROGRESS, JM_CKPT_COMPLETED, JM_CKPT_FAILED };

struct jm_ckpt_subtask {
    bool acked, finished, unaligned;
    int64_t ack_ms; /* Unix */
    uint64_t start_delay_ms, alignment_ms, sync_ms, async_ms;
    uint64_t processed_bytes, persisted_bytes, state_bytes;
};
struct jm_ckpt_vertex {
    uint32_t parallelism, acked;
    bool hidden;
    struct jm_ckpt_subtask *subtasks;
};
struct jm_ckpt_entry {
    uint32_t refs; /* atomic */
    uint64_t id;
    enum jm_ckpt_status status;
    Rask__Control__CheckpointKind kind;
    bool full, discarded, restored;
    bool expired; /* failed by its timeout: who was late is told afterwards */
    int64_t trigger_ms, latest_ack_ms, end_ms; /* Unix; 0: not yet */
    uint64_t checkpointed_bytes;               /* written for it */
    uint64_t state_bytes;                      /* that it names, with what it shares with earlier ones */
    uint64_t processed_bytes, persisted_bytes;
    char *path, *failure; /* owned; NULL: none */
    uint32_t vertex_count, subtasks, acked; /* hidden vertices left out of both */
    struct jm_ckpt_vertex *vertices;        /* owned */
};
struct jm_ckpt_summary {
    uint64_t min, max, sum, count;
    uint64_t p50, p90, p95, p99, p999;
};
enum jm_ckpt_measure {
    JM_CKPT_CHECKPOINTED,
    JM_CKPT_STATE,
    JM_CKPT_DURATION,
    JM_CKPT_PROCESSED,
    JM_CKPT_PERSISTED,
    JM_CKPT_MEASURES
};
struct jm_ckpt_settings { /* for /checkpoints/config */
    bool enabled, exactly_once, externalized, delete_on_cancellation, unaligned, after_finish;
    uint64_t interval_ms, timeout_ms, min_pause_ms, aligned_timeout_ms;
    uint32_t max_concurrent;
    uint64_t tolerable;
};
struct jm_ckpt_stats {
    uint32_t refs; /* atomic */
    struct jm_ckpt_settings settings;
    uint64_t restored, total, in_progress, completed, failed;
    int64_t restored_ms; /* Unix, the last time */
    struct jm_ckpt_summary summary[JM_CKPT_MEASURES];
    /* one reference each; the newest first */
    struct jm_ckpt_entry *history[JM_CKPT_HISTORY_MAX];
    uint32_t history_count;
    /* one reference each; NULL: none */
    struct jm_ckpt_entry *latest_completed, *latest_savepoint, *latest_failed, *latest_restored;
};

struct jm_ckpt_entry *jm_ckpt_entry_new(const Rask__Graph__JobGraph *graph, uint64_t id,
                                        Rask__Control__CheckpointKind kind);
struct jm_ckpt_entry *jm_ckpt_entry_ref(struct jm_ckpt_entry *e); /* NULL is legal, as below */
void jm_ckpt_entry_unref(struct jm_ckpt_entry *e);
/* One worker's subtasks; false: there is no such subtask, or it has acknowledged before. */
bool jm_ckpt_entry_ack(struct jm_ckpt_entry *e, const Rask__Control__SubtaskCheckpoint *ack);
uint64_t jm_ckpt_entry_duration_ms(const struct jm_ckpt_entry *e, int64_t now_ms);
bool jm_ckpt_is_savepoint(Rask__Control__CheckpointKind kind);

struct jm_ckpt_stats *jm_ckpt_stats_new(void);
struct jm_ckpt_stats *jm_ckpt_stats_ref(struct jm_ckpt_stats *s);
void jm_ckpt_stats_unref(struct jm_ckpt_stats *s);

/* ---- the coordinator's book ---- */
struct jm_ckpt_book {
    uint64_t restored, total, completed, failed;
    int64_t restored_ms;
    uint64_t *samples[JM_CKPT_MEASURES]; /* rings of JM_CKPT_SAMPLES_MAX */
    uint32_t sample_count, sample_next;
    uint64_t max[JM_CKPT_MEASURES], min[JM_CKPT_MEASURES], sum[JM_CKPT_MEASURES];
    struct jm_ckpt_entry *history[JM_CKPT_HISTORY_MAX]; /* the newest first */
    uint32_t history_count;
    struct jm_ckpt_entry *latest_completed, *latest_savepoint, *latest_failed, *latest_restored;
};
void jm_ckpt_book_begin(struct jm_ckpt_book *b, struct jm_ckpt_entry *e);
void jm_ckpt_book_end(struct jm_ckpt_book *b, struct jm_ckpt_entry *e); /* its status is set */
/* Adds to what is said of a failed one in the history. */
void jm_ckpt_book_explain(struct jm_ckpt_book *b, uint32_t at, const char *text);
void jm_ckpt_book_restored(struct jm_ckpt_book *b, struct jm_ckpt_entry *e, int64_t now_ms);
struct jm_ckpt_stats *jm_ckpt_book_picture(const struct jm_ckpt_book *b);
void jm_ckpt_book_release(struct jm_ckpt_book *b);

#endif
