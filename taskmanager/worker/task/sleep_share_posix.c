/* sleep_share_posix.c - see sleep_share.h. */
#include "common/base/check.h"
#include "taskmanager/worker/task/sleep_share.h"

#define AVERAGE_NS 50000000u /* steps that sleep end in lumps, of 5 to 20 ms */

void wk_sleep_began(struct rusage *ret)
{
    CHECK(getrusage(RUSAGE_THREAD, ret) == 0);
}

static uint64_t cpu_ns(const struct rusage *u)
{
    return ((uint64_t)u->ru_utime.tv_sec + (uint64_t)u->ru_stime.tv_sec) * 1000000000u +
           ((uint64_t)u->ru_utime.tv_usec + (uint64_t)u->ru_stime.tv_usec) * 1000u;
}

/* A thread leaves its core by itself, or is sent away while it has work: what it did not compute is shared out by how often. */
uint64_t wk_sleep_ended(const struct rusage *began, uint64_t elapsed_ns)
{
    struct rusage now;
    uint64_t computed, left, sent;

    CHECK(getrusage(RUSAGE_THREAD, &now) == 0);
    computed = cpu_ns(&now) - cpu_ns(began);
    left = (uint64_t)(now.ru_nvcsw - began->ru_nvcsw);
    sent = (uint64_t)(now.ru_nivcsw - began->ru_nivcsw);
    if (left == 0 || computed >= elapsed_ns)
        return 0;
    return (elapsed_ns - computed) / (left + sent) * left;
}

void wk_sleep_share_look(struct wk_sleep_share *s, uint64_t elapsed_ns)
{
    int64_t now = elapsed_ns ? (int64_t)(s->slept_ns * 256 / elapsed_ns) : 0, before = s->sleepers;

    s->slept_ns = 0;
    s->sleepers = (uint32_t)(before + (now - before) * (int64_t)MIN(elapsed_ns, AVERAGE_NS) / (int64_t)AVERAGE_NS);
}
