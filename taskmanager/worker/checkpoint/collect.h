/*
 * collect.h - what a worker does at a checkpoint: it tells its tasks, collects what they freeze, has it
 * written, and acknowledges once for all of them.
 *
 * Thread: the loop; wk_collector_snapshot any.
 */
#ifndef WK_COLLECT_H
#define WK_COLLECT_H

#include "common/rpc/rpc.h"
#include "taskmanager/worker/checkpoint/barrier.h"

#define WK_CHECKPOINTS_MAX 64 /* under way at a time; the oldest is dropped */

struct wk_executor;
struct wk_local;
struct wk_collector;
struct wk_collector_options { /* all borrowed, and as long as the collector */
    struct env *env;
    const struct id *job_id;
    uint64_t job_epoch;
    uint32_t worker;
    struct wk_task *const *tasks; /* task_count, built */
    uint32_t task_count;
    struct wk_executor *executor; /* of the tasks */
    struct wk_local *local; /* copies of what is written; NULL: none are kept */
    struct rpc_peer *const *peer; /* where the connection to the job master is kept; NULL in it: gone */
};
struct wk_collector *wk_collector_new(const struct wk_collector_options *options);
void wk_collector_free(struct wk_collector *c); /* what is being written ends by itself; NULL is legal */

void wk_collector_trigger(struct wk_collector *c, const Rask__Control__TriggerCheckpoint *msg);
void wk_collector_complete(struct wk_collector *c, const Rask__Control__CompleteCheckpoint *msg);
void wk_collector_abort(struct wk_collector *c, const Rask__Control__AbortCheckpoint *msg,
                        struct rpc_request *request);
/* No barrier of a checkpoint up to this one is waited for any more by tasks that start now. */
uint64_t wk_collector_settled(const struct wk_collector *c);
/* Tasks are to be released: what was not acknowledged yet never will be. */
void wk_collector_forget(struct wk_collector *c);
/* A task has passed a barrier. snapshot is taken. */
void wk_collector_snapshot(struct wk_collector *c, struct wk_task_snapshot *snapshot);
/* Before the end of a task is looked at: what it had frozen until then counts. */
void wk_collector_drain(struct wk_collector *c);
/* A task waits at its end for a checkpoint. Any thread. */
void wk_collector_wanted(struct wk_collector *c);
/* FINISHED, not failed or canceled. */
void wk_collector_task_finished(struct wk_collector *c, const struct wk_task *task);

#endif
