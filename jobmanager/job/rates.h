/*
 * rates.h - from the counters that a worker sends to figures per second.
 *
 * Counters only grow; a rate needs the one before.  Times (busy, idle, ...) are those between the last two pulls, which
 * come once a second while somebody looks; records and bytes move in blocks, so theirs are over the last 5 to 10 seconds.
 * The first pull tells the averages since the task began.  Pure; thread: the control loop.
 */
#ifndef JM_RATES_H
#define JM_RATES_H

#include "jobmanager/job/snapshot.h"

#define JM_RATES_WINDOW_US 5000000u
#define JM_RATES_STALE_US  15000000u /* nobody has looked for so long: what was before says nothing about now */

struct jm_sample {
    uint64_t at_us; /* the worker's clock */
    uint64_t records_in, records_out, bytes_in, bytes_out;
    uint64_t busy_ms, idle_ms, soft_ms, hard_ms, ready_ms;
};
struct jm_rates {
    struct jm_live live;
    struct jm_sample last, mid, old; /* at_us 0: none yet */
    bool known;                      /* live has rates: two samples that lie apart */
    struct jm_figures *figures;      /* one reference; NULL: none */
    bool looked;                     /* at a running operator: sink_permille is known */
};
void jm_rates_free(struct jm_rates *rates); /* NULL is legal */
/* The figures of one pull; those without a time are not looked at. */
void jm_rates_add(struct jm_rates *rates, const Rask__Control__TaskMetrics *metrics);

#endif
