/* restart.c - see restart.h. Pure; thread: the control loop. */
#include "jobmanager/job/restart.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

static const char *const names[] = {"none", "fixed-delay", "failure-rate", "exponential-delay"};

static enum jm_restart_type type_of(const struct conf *conf)
{
    const char *type = conf_string(conf, OPT_RESTART_STRATEGY_TYPE);

    if (!type)
        return conf_is_set(conf, OPT_EXECUTION_CHECKPOINTING_INTERVAL)
                   ? JM_RESTART_EXPONENTIAL_DELAY
                   : JM_RESTART_NONE;
    for (int i = JM_RESTART_FIXED_DELAY; i <= JM_RESTART_EXPONENTIAL_DELAY; i++) {
        char joined[32] = "";

        /* Flink takes both spellings, fixed-delay and fixeddelay */
        for (const char *at = names[i]; *at; at++)
            if (*at != '-')
                joined[strlen(joined)] = *at;
        if (strcmp(type, names[i]) == 0 || strcmp(type, joined) == 0)
            return (enum jm_restart_type)i;
    }
    return JM_RESTART_NONE; /* none, off, disable */
}

void jm_restart_init(struct jm_restart *r, const struct conf *conf)
{
    *r = (struct jm_restart){.type = type_of(conf)};
    switch (r->type) {
    case JM_RESTART_NONE:
        break;
    case JM_RESTART_FIXED_DELAY:
        r->attempts_max = (uint64_t)conf_int(conf, OPT_RESTART_STRATEGY_FIXED_DELAY_ATTEMPTS);
        r->delay_ms = conf_duration_ms(conf, OPT_RESTART_STRATEGY_FIXED_DELAY_DELAY);
        break;
    case JM_RESTART_FAILURE_RATE:
        r->attempts_max =
            (uint64_t)conf_int(conf, OPT_RESTART_STRATEGY_FAILURE_RATE_MAX_FAILURES_PER_INTERVAL);
        r->delay_ms = conf_duration_ms(conf, OPT_RESTART_STRATEGY_FAILURE_RATE_DELAY);
        r->interval_ms =
            conf_duration_ms(conf, OPT_RESTART_STRATEGY_FAILURE_RATE_FAILURE_RATE_INTERVAL);
        CHECK(r->attempts_max <= JM_RESTART_TIMES_MAX);
        r->times_ms = mem_alloc_array(r->attempts_max + 1, sizeof(*r->times_ms));
        break;
    case JM_RESTART_EXPONENTIAL_DELAY:
        r->attempts_max = (uint64_t)conf_int(
            conf, OPT_RESTART_STRATEGY_EXPONENTIAL_DELAY_ATTEMPTS_BEFORE_RESET_BACKOFF);
        r->initial_ms =
            conf_duration_ms(conf, OPT_RESTART_STRATEGY_EXPONENTIAL_DELAY_INITIAL_BACKOFF);
        r->max_ms = conf_duration_ms(conf, OPT_RESTART_STRATEGY_EXPONENTIAL_DELAY_MAX_BACKOFF);
        r->reset_ms =
            conf_duration_ms(conf, OPT_RESTART_STRATEGY_EXPONENTIAL_DELAY_RESET_BACKOFF_THRESHOLD);
        r->multiplier =
            conf_double(conf, OPT_RESTART_STRATEGY_EXPONENTIAL_DELAY_BACKOFF_MULTIPLIER);
        r->jitter = conf_double(conf, OPT_RESTART_STRATEGY_EXPONENTIAL_DELAY_JITTER_FACTOR);
        r->backoff_ms = r->initial_ms;
        break;
    }
}

void jm_restart_release(struct jm_restart *r)
{
    mem_free(r->times_ms);
    r->times_ms = NULL;
}

/* Of the failures in the last interval, this one included. */
static uint32_t failures_lately(struct jm_restart *r, uint64_t now_ms)
{
    uint32_t room = (uint32_t)r->attempts_max + 1, n = 0;

    r->times_ms[r->time_next] = now_ms;
    r->time_next = (r->time_next + 1) % room;
    r->time_count = MIN(r->time_count + 1, room);
    for (uint32_t i = 0; i < r->time_count; i++)
        n += now_ms - r->times_ms[i] <= r->interval_ms;
    return n;
}

static uint64_t exponential_wait(struct jm_restart *r, uint64_t random, bool at_once)
{
    double part = r->jitter * ((double)(random >> 11) / (double)(1ull << 52) - 1); /* -jitter .. */
    uint64_t wait = (uint64_t)((double)r->backoff_ms * (1 + part));

    if (at_once)
        return 0;
    r->backoff_ms = (uint64_t)MIN((double)r->backoff_ms * r->multiplier, (double)r->max_ms);
    return MIN(wait, r->max_ms);
}

bool jm_restart_failed(struct jm_restart *r, uint64_t now_ms, uint64_t random, bool lost_process,
                       uint64_t *ret_wait_ms)
{
    uint32_t lately;
    bool may = false;

    *ret_wait_ms = 0;
    switch (r->type) {
    case JM_RESTART_NONE:
        return false;
    case JM_RESTART_FIXED_DELAY:
        may = ++r->attempts <= r->attempts_max;
        *ret_wait_ms = lost_process && r->attempts == 1 ? 0 : r->delay_ms;
        break;
    case JM_RESTART_FAILURE_RATE:
        lately = failures_lately(r, now_ms);
        may = lately <= r->attempts_max;
        *ret_wait_ms = lost_process && lately == 1 ? 0 : r->delay_ms;
        break;
    case JM_RESTART_EXPONENTIAL_DELAY:
        if (r->attempts > 0 && now_ms - r->last_ms > r->reset_ms + r->last_wait_ms) {
            r->attempts = 0;
            r->backoff_ms = r->initial_ms;
        }
        may = ++r->attempts <= r->attempts_max;
        *ret_wait_ms = exponential_wait(r, random, lost_process && r->attempts == 1);
        break;
    }
    r->last_ms = now_ms;
    r->last_wait_ms = *ret_wait_ms;
    return may;
}

const char *jm_restart_name(const struct jm_restart *r)
{
    return names[r->type];
}

void jm_restart_explain(const struct jm_restart *r, struct bytes *out)
{
    switch (r->type) {
    case JM_RESTART_NONE:
        bytes_printf(out, "restart-strategy.type is none");
        break;
    case JM_RESTART_FAILURE_RATE:
        bytes_printf(out, "more than %llu failures within %.10g s (restart-strategy.failure-rate)",
                     (unsigned long long)r->attempts_max, (double)r->interval_ms / 1000);
        break;
    case JM_RESTART_FIXED_DELAY:
    case JM_RESTART_EXPONENTIAL_DELAY:
        bytes_printf(out, "%llu restarts in a row did not help (restart-strategy.%s)",
                     (unsigned long long)r->attempts_max, names[r->type]);
        break;
    }
}
