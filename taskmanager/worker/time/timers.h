/*
 * timers.h - the timers of one operator in one subtask: per key, each time once, part of its state.
 *
 * What counts is in the operator's state: two hidden maps, key -> times, one for event and one for processing time.  Beside it
 * stands a queue in memory, made anew after a restore: buckets of about a second, ordered by time; only the bucket that is due is
 * a heap.  A cancelled timer leaves the map; the queue finds that out when its time has come.
 * Timers of one time fire in the order of their keys' hashes, so a run can be repeated.  Belongs to the task's step.
 */
#ifndef WK_TIMERS_H
#define WK_TIMERS_H

#include "taskmanager/worker/state/state.h"

enum wk_timer_domain { WK_TIMER_EVENT, WK_TIMER_PROCESSING, WK_TIMER_DOMAINS };
enum { WK_TIMERS_TAKE = 256 };

/* What an operator with timers declares behind its own states; WK_TIMER_DOMAINS of them. */
extern const rask_state wk_timer_states[];

struct wk_timers;
/* first: number of the first of the two hidden states. All borrowed. */
struct wk_timers *wk_timers_new(struct wk_state *state, int first, struct wk_state_budget *budget);
void wk_timers_free(struct wk_timers *t); /* NULL is legal */
/* After a restore, before anything else: the queue from the state. */
int wk_timers_load(struct wk_timers *t, struct err *err) MUST_CHECK;

/* One that is there already stays as it is. */
int wk_timers_add(struct wk_timers *t, enum wk_timer_domain domain, rask_ts at, uint64_t hash, rask_str key,
                  struct err *err) MUST_CHECK;
/* One that is not there: nothing. */
int wk_timers_cancel(struct wk_timers *t, enum wk_timer_domain domain, rask_ts at, uint64_t hash, rask_str key,
                     struct err *err) MUST_CHECK;

/* Prefetches for keys of these hashes, which may get timers. */
void wk_timers_fetch(struct wk_timers *t, const uint64_t *hash, uint32_t count);
/* The earliest time in the queue (it may have been cancelled); RASK_TS_MAX: none. */
rask_ts wk_timers_next(const struct wk_timers *t, enum wk_timer_domain domain);
/* Whether wk_timers_take may give some. */
bool wk_timers_due(const struct wk_timers *t, enum wk_timer_domain domain, rask_ts now);
/*
 * Takes up to WK_TIMERS_TAKE timers of times <= now, in time order; they are not in the state any more. ret's arrays are valid until
 * the next call. Count 0: none is due.
 */
int wk_timers_take(struct wk_timers *t, enum wk_timer_domain domain, rask_ts now, rask_timers *ret, struct err *err) MUST_CHECK;
uint64_t wk_timers_count(const struct wk_timers *t); /* in the queues, cancelled ones too */

#endif
