/*
 * executor.h - task steps as events of a simulated node: one at a time, in seeded order.
 *
 * A step runs on a stack of its own, so that wk_wait can leave it: the node goes on with other steps and comes back
 * when the waiter is woken.  Time stands still during a step; each look at the clock inside one costs CLOCK_COST_NS,
 * so budgets end.
 */
#ifndef SIM_CLUSTER_EXECUTOR_H
#define SIM_CLUSTER_EXECUTOR_H

#include "taskmanager/worker/task/executor.h"
#include "test/sim/sim.h"

struct wk_executor *sim_executor_new(struct env *env);
/* From now on each step comes so much later. */
void sim_executor_slow(struct wk_executor *e, uint64_t delay_ns);
/* From now on no step returns, as when a function of the user loops for ever. */
void sim_executor_stall(struct wk_executor *e);
/* Waiting steps are woken once more (their tasks have been canceled) and must end; queued ones never run. */
void sim_executor_free(struct wk_executor *e);

#endif
