/* job_state.c - the two transition tables. Pure; thread: the control loop. */
#include "jobmanager/job/job_state.h"

#include "common/base/check.h"

#define J(name) (1u << JM_JOB_##name)
/* Rows: from; bits: to.  FAILING may become CANCELLING when a user cancels a job that is
 * failing. */
static const uint16_t job_next[JM_JOB_STATE_COUNT] = {
    [JM_JOB_INITIALIZING] = J(CREATED) | J(FAILING) | J(CANCELLING),
    [JM_JOB_CREATED] = J(RUNNING) | J(FAILING) | J(CANCELLING) | J(RESTARTING) | J(SUSPENDED),
    [JM_JOB_RUNNING] = J(FINISHED) | J(FAILING) | J(CANCELLING) | J(RESTARTING) | J(SUSPENDED),
    [JM_JOB_FAILING] = J(FAILED) | J(CANCELLING) | J(SUSPENDED),
    [JM_JOB_CANCELLING] = J(CANCELED) | J(SUSPENDED),
    [JM_JOB_RESTARTING] = J(CREATED) | J(RUNNING) | J(FAILING) | J(CANCELLING) | J(SUSPENDED),
    [JM_JOB_RECONCILING] = J(RUNNING) | J(RESTARTING) | J(FAILING) | J(CANCELLING) | J(SUSPENDED),
};
#undef J

#define T(name) (1u << RASK__CONTROL__TASK_STATE__##name)
/*
 * A task that was not deployed ends at once; one that was goes through CANCELING.  What it says
 * after that, be it FINISHED or FAILED, counts as CANCELED.  A short task may be RUNNING or
 * FINISHED before its earlier states arrive.
 */
static const uint16_t task_next[JM_TASK_STATE_COUNT] = {
    [RASK__CONTROL__TASK_STATE__CREATED] = T(SCHEDULED) | T(CANCELED) | T(FAILED),
    [RASK__CONTROL__TASK_STATE__SCHEDULED] = T(DEPLOYING) | T(CANCELED) | T(FAILED),
    [RASK__CONTROL__TASK_STATE__DEPLOYING] =
        T(INITIALIZING) | T(RUNNING) | T(FINISHED) | T(CANCELING) | T(FAILED),
    [RASK__CONTROL__TASK_STATE__INITIALIZING] = T(RUNNING) | T(FINISHED) | T(CANCELING) | T(FAILED),
    [RASK__CONTROL__TASK_STATE__RUNNING] = T(FINISHED) | T(CANCELING) | T(FAILED),
    [RASK__CONTROL__TASK_STATE__CANCELING] = T(CANCELED),
    [RASK__CONTROL__TASK_STATE__RECONCILING] = T(RUNNING) | T(CANCELING) | T(FAILED),
};
#undef T

void jm_job_life_init(struct jm_job_life *life, int64_t now_ms)
{
    *life = (struct jm_job_life){.state = JM_JOB_INITIALIZING};
    life->at_ms[JM_JOB_INITIALIZING] = now_ms;
}

bool jm_job_may(enum jm_job_state from, enum jm_job_state to)
{
    CHECK(from < JM_JOB_STATE_COUNT);
    CHECK(to < JM_JOB_STATE_COUNT);
    return job_next[from] >> to & 1;
}

void jm_job_move(struct jm_job_life *life, enum jm_job_state to, int64_t now_ms)
{
    CHECK(jm_job_may(life->state, to));
    life->state = to;
    life->at_ms[to] = now_ms;
}

void jm_task_life_init(struct jm_task_life *life, int64_t now_ms)
{
    *life = (struct jm_task_life){.state = RASK__CONTROL__TASK_STATE__CREATED};
    life->at_ms[RASK__CONTROL__TASK_STATE__CREATED] = now_ms;
}

bool jm_task_may(Rask__Control__TaskState from, Rask__Control__TaskState to)
{
    return (unsigned)from < JM_TASK_STATE_COUNT && (unsigned)to < JM_TASK_STATE_COUNT &&
           (task_next[from] >> to & 1);
}

void jm_task_move(struct jm_task_life *life, Rask__Control__TaskState to, int64_t now_ms)
{
    CHECK(jm_task_may(life->state, to));
    life->state = (uint8_t)to;
    life->at_ms[to] = now_ms;
}

bool jm_task_state_is_final(Rask__Control__TaskState state)
{
    return state == RASK__CONTROL__TASK_STATE__FINISHED ||
           state == RASK__CONTROL__TASK_STATE__CANCELED ||
           state == RASK__CONTROL__TASK_STATE__FAILED;
}
