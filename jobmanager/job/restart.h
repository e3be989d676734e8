/*
 * restart.h - whether a job that failed may start again, and how long it waits before it does.
 *
 * Flink's strategies with their keys and defaults (restart-strategy.*): none, fixed-delay,
 * failure-rate, exponential-delay.  Without a type: exponential-delay for a job with checkpoints,
 * none for others.  One difference: the first restart after a lost process comes at once, for
 * nothing speaks against the job; the waiting begins with the second.
 * Plain data: time and chance are given.  Thread: the control loop.
 */
#ifndef JM_RESTART_H
#define JM_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#include "common/conf/conf.h"

#define JM_RESTART_TIMES_MAX 1024

enum jm_restart_type {
    JM_RESTART_NONE,
    JM_RESTART_FIXED_DELAY,
    JM_RESTART_FAILURE_RATE,
    JM_RESTART_EXPONENTIAL_DELAY
};

struct jm_restart {
    enum jm_restart_type type;
    uint64_t attempts_max; /* fixed, exponential: in a row; failure rate: in an interval */
    uint64_t delay_ms;     /* fixed, failure rate */
    uint64_t interval_ms;  /* failure rate */
    uint64_t initial_ms, max_ms, reset_ms; /* exponential */
    double multiplier, jitter;

    uint64_t attempts;   /* restarts in a row */
    uint64_t backoff_ms; /* exponential: of the next restart */
    uint64_t last_ms;    /* when it failed last, and the wait that followed */
    uint64_t last_wait_ms;
    uint64_t *times_ms; /* failure rate: owned ring of attempts_max + 1 failures */
    uint32_t time_count, time_next;
};

/* conf: the job's over the cluster's */
void jm_restart_init(struct jm_restart *r, const struct conf *conf);
void jm_restart_release(struct jm_restart *r);
/*
 * The job has failed at now_ms (any clock that only goes forward).  random: 64 random bits.  False:
 * it may not start again.
 */
bool jm_restart_failed(struct jm_restart *r, uint64_t now_ms, uint64_t random, bool lost_process,
                       uint64_t *ret_wait_ms);
/* "exponential-delay", as in the configuration */
const char *jm_restart_name(const struct jm_restart *r);
/* Why there is no further restart: "restart-strategy.type is fixed-delay with 3 attempts: ..." */
void jm_restart_explain(const struct jm_restart *r, struct bytes *out);

#endif
