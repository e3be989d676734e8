/*
 * reserve.h - memory for what tasks write down while a snapshot is read, had from the system before it is needed.
 *
 * Fresh memory is cleared by the kernel first, and a virtual machine's host has to find it: milliseconds for 2 MiB, which an
 * update would wait for.  Each state says how much it lacks for its next snapshot; somebody who has time (checkpoint/warm.c)
 * gets that, chunk by chunk, and states take it where they would ask the system.
 *
 * Charged to the budget, of which an eighth stays free of it, and given up as soon as the budget is used up.
 */
#ifndef WK_RESERVE_H
#define WK_RESERVE_H

#include <stdbool.h>
#include <stdint.h>

struct wk_state_budget;
struct wk_reserve;

/* Of a budget that has none. wake: what wk_reserve_missing says has changed; any thread, inside calls for a state. */
struct wk_reserve *wk_reserve_new(struct wk_state_budget *budget, void (*wake)(void *arg), void *arg);
/* All of it goes back to the system, and the budget has none any more. Its states are freed, or nobody calls for them. */
void wk_reserve_close(struct wk_reserve *r);
void wk_reserve_free(struct wk_reserve *r); /* closed, and no call is under way */

/* States lack memory before their first snapshot, too: checkpoints will be taken. */
void wk_reserve_expect(struct wk_reserve *r);
/* Bytes that should come; negative: that should go; 0: less than a chunk is missing. Any thread. */
int64_t wk_reserve_missing(const struct wk_reserve *r);
/* A snapshot of one of the states is being read: what is there is being taken, and tasks have enough to do. Any thread. */
bool wk_reserve_in_use(const struct wk_reserve *r);
/* One chunk comes, some milliseconds; false: the budget has no room for it. Any thread, also when it is closed meanwhile. */
bool wk_reserve_grow(struct wk_reserve *r);
/* One chunk goes; false: there is none, as where reserve is NULL. Any thread. */
bool wk_reserve_shrink(struct wk_reserve *r);

#endif
