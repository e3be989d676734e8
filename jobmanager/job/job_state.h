/*
 * job_state.h - the states of jobs and tasks, Flink's, with their transitions in one table each.
 *
 * A state changes only through jm_job_move and jm_task_move, which check the table and keep the
 * time.
 */
#ifndef JM_JOB_STATE_H
#define JM_JOB_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "jobmanager/job/snapshot.h"

struct jm_job_life {
    enum jm_job_state state;
    int64_t at_ms[JM_JOB_STATE_COUNT]; /* Unix ms of entering it; 0: never */
};
struct jm_task_life {
    uint8_t state; /* Rask__Control__TaskState */
    int64_t at_ms[JM_TASK_STATE_COUNT];
};

void jm_job_life_init(struct jm_job_life *life, int64_t now_ms); /* INITIALIZING */
bool jm_job_may(enum jm_job_state from, enum jm_job_state to);
/* asserts jm_job_may */
void jm_job_move(struct jm_job_life *life, enum jm_job_state to, int64_t now_ms);

void jm_task_life_init(struct jm_task_life *life, int64_t now_ms); /* CREATED */
bool jm_task_may(Rask__Control__TaskState from, Rask__Control__TaskState to);
void jm_task_move(struct jm_task_life *life, Rask__Control__TaskState to, int64_t now_ms);
bool jm_task_state_is_final(Rask__Control__TaskState state);

#endif
