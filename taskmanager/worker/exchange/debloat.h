/*
 * debloat.h - how much may be under way to a task: what it consumes in the target time (Flink's buffer debloating).
 *
 * A slow task with large credits makes rows, and barriers behind them, wait for seconds.  Each period the bytes that the task has
 * consumed while it was not idle give its throughput; an exponential average over some samples times the target is shared
 * among the channels that have not ended.  Thread: the task's step.
 */
#ifndef WK_DEBLOAT_H
#define WK_DEBLOAT_H

#include "taskmanager/worker/exchange/channel.h"

struct wk_debloat_options {
    bool enabled;
    uint64_t target_ns, period_ns;
    uint32_t threshold_percent; /* a change below it is left out */
    uint32_t samples;           /* >= 1: weight 2 / (samples + 1) of the newest */
};
struct wk_debloat {
    const struct wk_debloat_options *options; /* borrowed; NULL: none */
    uint64_t consumed_bytes;                  /* since the last look */
    uint64_t looked_ns, active_ns;            /* at the last look */
    double bytes_per_s;                       /* 0: nothing measured yet */
};
#define DEBLOAT_CREDIT_MIN 256u

static inline bool wk_debloat_is_due(const struct wk_debloat *d, uint64_t now_ns)
{
    return d->options && d->options->enabled && now_ns - d->looked_ns >= d->options->period_ns;
}
/* active_ns: that the task has not been idle, in all. credit_max: of a channel. */
void wk_debloat_adjust(struct wk_debloat *d, struct wk_gate *g, uint64_t now_ns, uint64_t active_ns, uint32_t credit_max);

#endif
