/* job_private.h - between the files of the job master. */
#ifndef JM_JOB_PRIVATE_H
#define JM_JOB_PRIVATE_H

#include "jobmanager/job/job_master.h"

#define JM_MODULE   "job_master"
#define STATE(name) RASK__CONTROL__TASK_STATE__##name

static inline int64_t jm_job_now_ms(const struct jm_job *job)
{
    return env_wall_ms(job->ctx->env);
}

/* job_master.c */
void jm_job_changed(struct jm_job *job, bool state);
void jm_job_set_state(struct jm_job *job, enum jm_job_state to);
void jm_job_set_reason(struct jm_job *job, const char *reason);
void jm_job_turn_soon(struct jm_job *job);
/* Keeps the failure; a job that runs goes RESTARTING or FAILING. worker, task: NULL when it is the
 * job's. code: of err.h; whether another try makes sense. */
void jm_job_fail(struct jm_job *job, const struct jm_worker *worker, const char *task,
                 bool suspicion, int code, const char *text);

/* job_workers.c */
/* takes what the grant holds */
void jm_job_start_workers(struct jm_job *job, struct jm_grant *grant);
void jm_job_deploy(struct jm_job *job);
void jm_job_cancel_tasks(struct jm_job *job); /* asks every worker that has open tasks */
void jm_job_stop_workers(struct jm_job *job, const char *reason);
void jm_worker_stop(struct jm_worker *worker, bool kill, const char *reason);
void jm_job_free_workers(struct jm_job *job); /* their slots, too */
/* Slots that a restart would have used again. */
void jm_job_release_slots(struct jm_job *job);

/* job_checkpoints.c */
int jm_job_init_checkpoints(struct jm_job *job, struct err *err) MUST_CHECK;

/* job_tasks.c */
/* A message of this job and its epoch. */
int jm_job_check_ids(const struct jm_job *job, const ProtobufCBinaryData *job_id, uint64_t epoch,
                     struct err *err) MUST_CHECK;
void jm_job_task_move(struct jm_job *job, uint32_t vertex, uint32_t subtask,
                      Rask__Control__TaskState to);
/* Tasks that no worker has got are CANCELED, the others CANCELING. */
void jm_job_tasks_cancel(struct jm_job *job);
/* its open tasks; CANCELED where `to` may not be */
void jm_worker_tasks_end(struct jm_worker *worker, Rask__Control__TaskState to);
void jm_counts_add(struct jm_counts *counts, const char *name, int64_t value);
void jm_counts_clear(struct jm_counts *counts);

#endif
