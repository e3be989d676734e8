/* job_private.h - between the files of the job master. */
#ifndef JM_JOB_PRIVATE_H
#define JM_JOB_PRIVATE_H

#include "jobmanager/job/job_master.h"

#define JM_REGISTER_TIMEOUT_MS 30000

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
struct jm_fault {
    const struct jm_worker *worker; /* NULL: the job's */
    const char *task;               /* NULL: the worker's, or the job's */
    bool suspicion;                 /* what the survivors of a death say */
    bool explains;                  /* the end of a worker whose loss was a failure already */
    bool local; /* regions that are `hit` are all that it concerns; else it is the job's */
    int code;   /* of err.h: whether another try makes sense */
    const char *text;
};
/* Keeps the failure; a job that runs goes RESTARTING, as a whole or some regions, or FAILING. */
void jm_job_fail(struct jm_job *job, const struct jm_fault *fault);
/* The epoch ends, and the next one begins at once: what some regions need cannot be had. */
void jm_job_escalate(struct jm_job *job, const char *why);

/* job_regions.c */
void jm_job_init_regions(struct jm_job *job);
void jm_job_release_regions(struct jm_job *job);
struct jm_region *jm_region_of(const struct jm_job *job, uint32_t vertex, uint32_t subtask);
/* The region of a task that failed; of an enumerator those of its readers, too. */
void jm_regions_hit_task(struct jm_job *job, uint32_t vertex, uint32_t subtask);
/* Tasks of it are not over, or it has finished and knows what a reader needs that starts again. */
bool jm_region_is_needed(const struct jm_job *job, uint32_t region);
/* Those with tasks on it that are needed: what its own tasks sent last may be lost, though they have
 * finished. */
void jm_regions_hit_worker(struct jm_job *job, const struct jm_worker *worker);
/* The regions that are hit may start again while others run on. */
bool jm_regions_may_restart(const struct jm_job *job);
/* The worker has tasks of regions that are restarting, or an enumerator of readers in them. */
bool jm_regions_concern(const struct jm_job *job, const struct jm_worker *worker);
/* "3 tasks start again: a (1/1), ...": of the regions that are hit. Owned. */
char *jm_regions_text(const struct jm_job *job);
/* Those that are hit; the job is RESTARTING. */
void jm_regions_fail(struct jm_job *job);
/* regional: it is to be killed, with all its tasks. */
void jm_regions_join_worker(struct jm_job *job, const struct jm_worker *worker);
void jm_regions_turn(struct jm_job *job);   /* something changed while job->regional */
void jm_regions_forget(struct jm_job *job); /* the whole job ends, or starts again */
void jm_regions_reset(struct jm_job *job);  /* after jm_graph_reset */

/* job_workers.c */
/* takes what the grant holds */
void jm_job_start_workers(struct jm_job *job, struct jm_grant *grant);
void jm_job_deploy(struct jm_job *job);
/* Regions that are `restarting`, whose tasks are DEPLOYING. */
void jm_job_deploy_regions(struct jm_job *job);
/* One that is gone gets a new process on the slots of this allocation, which is taken. */
void jm_worker_renew(struct jm_worker *worker, struct jm_allocation **allocation);
void jm_job_cancel_tasks(struct jm_job *job); /* asks every worker that has open tasks */
void jm_job_note_places(struct jm_job *job); /* before they are freed */
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
/* now_ms: jm_job_now_ms, asked once for many */
void jm_job_task_move(struct jm_job *job, uint32_t vertex, uint32_t subtask,
                      Rask__Control__TaskState to, int64_t now_ms);
/* Tasks that no worker has got are CANCELED, the others CANCELING. */
void jm_job_tasks_cancel(struct jm_job *job);
/* One of its tasks is CANCELING. */
bool jm_worker_cancels(const struct jm_worker *worker);
/* its open tasks; CANCELED where `to` may not be */
void jm_worker_tasks_end(struct jm_worker *worker, Rask__Control__TaskState to);

#endif
