/*
 * warm.h - gets memory for what tasks write down during the next checkpoint while they are busy with other things: the reserve of
 * the worker's budget (state/reserve.h) is filled by a thread of the pool, 2 MiB at a time and with pauses.
 *
 * Only for tasks that want all cores: others do not mind the time that memory takes.  Thread: the loop.
 */
#ifndef WK_WARM_H
#define WK_WARM_H

struct env;
struct wk_executor;
struct wk_state_budget;
struct wk_warming;

/* All are borrowed until wk_warming_free; the executor may be NULL. The budget gets a reserve. */
struct wk_warming *wk_warming_new(struct env *env, struct wk_executor *executor, struct wk_state_budget *budget);
void wk_warming_expect(struct wk_warming *w); /* checkpoints will be taken */
void wk_warming_free(struct wk_warming *w);   /* when the states of the budget are freed; NULL is legal */

#endif
