/*
 * overtake.h - unaligned checkpoints: a barrier that does not wait behind rows, and what becomes of those rows.
 *
 * Chandy and Lamport with recorded channels ("Distributed Snapshots", 1985), as Flink's unaligned checkpoints: at the first
 * barrier a task finishes what is inside its chain, freezes its state and sends the barrier ahead of everything that waits in
 * its outputs.  Part of the checkpoint are then also the rows in flight: those overtaken in the outputs, those not
 * consumed by the head of the chain, and in each input those that arrive before that channel's own barrier.
 *
 * With a timeout (execution.checkpointing.aligned-checkpoint-timeout) barriers begin in their turn; when it has passed,
 * the worker's collector sends WK_MAIL_HURRY, and those that still wait, for other channels or in an output, overtake.
 *
 * On channels that are aligned_only (pointwise, broadcast, splits) a barrier always keeps its place: a task that has some
 * waits for those first.  Savepoints never overtake.
 * Thread: the task's step.
 */
#ifndef WK_OVERTAKE_H
#define WK_OVERTAKE_H

#include "taskmanager/worker/checkpoint/barrier.h"

/* At the begin of a step: has something come that a barrier has waited for? Sets b->overtaking, or hands over. */
void wk_overtake_look(struct wk_task *t);
/* The chain has come to rest, b->overtaking is set: it begins its way. */
void wk_overtake_begin(struct wk_task *t);
/* A barrier, whether it overtakes or not, begins its way through the chain. Its value from now on. */
int64_t wk_overtake_passes(struct wk_task *t, int64_t value);
/* It has passed; s: what was frozen. True: s is taken, and handed over when all rows in flight are known. */
bool wk_overtake_records(struct wk_task *t, struct wk_task_snapshot *s);
/* Checkpoints up to this one have waited for long enough. */
void wk_overtake_hurry(struct wk_task *t, uint64_t checkpoint);
void wk_overtake_give_up(struct wk_task *t, uint64_t checkpoint);

#endif
