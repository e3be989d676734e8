/*
 * clock.h - where a task's time goes: running, idle, back-pressured.
 *
 * The task's step moves the clock from phase to phase; whoever reads it gets the time in the phase that goes on, too, so
 * a step of seconds is seen while it runs.  One writer, any readers, no lock: a reader that meets a move tries again.
 */
#ifndef WK_CLOCK_H
#define WK_CLOCK_H

#include <stdint.h>

enum wk_phase {
    WK_PHASE_IDLE,    /* without input */
    WK_PHASE_RUNNING, /* in a step */
    WK_PHASE_READY,   /* has work, waits for a thread; busy like a running one */
    WK_PHASE_SOFT,    /* an edge is full: waits for credit between two rows */
    WK_PHASE_HARD,    /* the same inside one row (wk_wait) */
    WK_PHASE_OVER,    /* not counted */
    WK_PHASE_COUNT
};

struct wk_clock {
    uint64_t version; /* odd: a move is under way */
    uint64_t since_ns;
    uint64_t phase;
    uint64_t spent_ns[WK_PHASE_COUNT]; /* phases that are over */
};

void wk_clock_init(struct wk_clock *c, uint64_t now_ns);
/* The task's step. now_ns never goes back. */
void wk_clock_move(struct wk_clock *c, enum wk_phase to, uint64_t now_ns);
/* Any thread. The sum of all phases is the time since wk_clock_init. */
void wk_clock_read(const struct wk_clock *c, uint64_t now_ns, uint64_t ret_ns[WK_PHASE_COUNT]);

#endif
