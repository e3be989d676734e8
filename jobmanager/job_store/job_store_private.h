/* job_store_private.h - between the files of the job store. */
#ifndef JM_JOB_STORE_PRIVATE_H
#define JM_JOB_STORE_PRIVATE_H

#include "jobmanager/checkpoint/stats.h"
#include "proto/jobstore.pb-c.h"

/* The message lives in the arena and borrows from s. */
Rask__Jobstore__Checkpoints *jm_ckpt_stats_out(const struct jm_ckpt_stats *s, struct arena *arena);
/* One reference, the caller's; NULL: the message is damaged. */
struct jm_ckpt_stats *jm_ckpt_stats_in(const Rask__Jobstore__Checkpoints *in);

#endif
