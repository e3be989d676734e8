/*
 * coordinator.h - the checkpoints and savepoints of one job: begun, collected, made durable, given up.
 *
 * A state machine on env and fs.  It decides when a checkpoint begins, tells the job's workers, waits
 * for one acknowledgement of each, writes `_metadata` last, and says that the checkpoint is complete.
 * It owns the checkpoint folders of the job: what no retained checkpoint names is removed.
 *
 *   PREPARING --folders made--> COLLECTING --last ack--> WRITING --_metadata durable--> complete
 *       any of them --error, timeout, epoch over--> given up
 *
 * Only a complete checkpoint is restored from.  One that is being written when the job's epoch ends is
 * waited for: whether it is there decides where the next epoch begins.
 * Thread: the control loop.  Callbacks (hooks) never run inside a call of the job's, except where said.
 */
#ifndef JM_COORDINATOR_H
#define JM_COORDINATOR_H

#include "common/base/id.h"
#include "common/conf/conf.h"
#include "common/env/env.h"
#include "common/graph/graph.h"
#include "jobmanager/checkpoint/stats.h"
#include "jobmanager/job/snapshot.h"
#include "proto/control.pb-c.h"

struct jm_ckpt;

/* How the coordinator reaches the job; all of them run from a timer or an fs callback. */
struct jm_ckpt_hooks {
    /* 0: every task runs or has finished; else err says which does not */
    int (*ready)(void *arg, struct err *err);
    /* to every deployed worker; returns how many were told. job_id and job_epoch are filled in. */
    uint32_t (*trigger)(void *arg, Rask__Control__TriggerCheckpoint *msg);
    void (*complete)(void *arg, uint64_t checkpoint, Rask__Control__CheckpointKind kind);
    /* their answers are passed to jm_ckpt_late */
    void (*abort)(void *arg, uint64_t checkpoint, const char *reason);
    void (*fail)(void *arg, int code, const char *text); /* too many checkpoints have failed */
    void (*changed)(void *arg);                          /* figures */
    void (*idle)(void *arg);                             /* jm_ckpt_is_busy may be false now */
};

struct jm_ckpt_options {
    struct env *env;
    struct id job_id;
    const char *job_name;                    /* borrowed */
    const Rask__Graph__JobGraph *graph;      /* borrowed */
    const struct conf *conf;                 /* the job's, borrowed */
    const char *default_dir;                 /* without execution.checkpointing.dir; borrowed */
    const struct jm_ckpt_hooks *hooks;
    void *arg;
};
/* Fails when a folder of the configuration is none. */
int jm_ckpt_new(const struct jm_ckpt_options *options, struct jm_ckpt **ret, struct err *err) MUST_CHECK;
void jm_ckpt_free(struct jm_ckpt *c); /* at any time; what goes on at the disk is not waited for */

/* ---- epochs ---- */

/* The checkpoint that the job is to begin with is being read; idle follows, or fail. */
bool jm_ckpt_is_loading(const struct jm_ckpt *c);
/* All workers are deployed: checkpoints may begin. */
void jm_ckpt_epoch_begin(struct jm_ckpt *c);
/* Nothing begins any more; what is collected is given up; workers are not told. */
void jm_ckpt_epoch_end(struct jm_ckpt *c, const char *why);
/* Some tasks start again: what is collected is given up, and the workers are told. */
void jm_ckpt_interrupt(struct jm_ckpt *c, const char *why);
/* `_metadata` is being written, and decides what is the latest: idle follows. */
bool jm_ckpt_is_writing(const struct jm_ckpt *c);
/* `_metadata` is being written, or files are being removed: a decision has to wait for idle. */
bool jm_ckpt_is_busy(const struct jm_ckpt *c);
/* Where the next epoch begins: false: from nothing. Pointers are borrowed until the next event. */
bool jm_ckpt_latest(struct jm_ckpt *c, Rask__Control__Restore *ret, struct arena *arena);
/* All subtasks of a vertex had ended when that one was taken. */
bool jm_ckpt_was_finished(const struct jm_ckpt *c, uint32_t vertex);
/*
 * Who began with what jm_ckpt_latest gave found it damaged.  True: an older one is the latest now, with a warning.  False:
 * there is none.  Several workers may say so.
 */
bool jm_ckpt_damaged(struct jm_ckpt *c, const char *why);
/* It did: counted. */
void jm_ckpt_restored(struct jm_ckpt *c);
/* The job is over in `state`: removes its checkpoints unless they are to stay. idle follows. */
void jm_ckpt_job_over(struct jm_ckpt *c, enum jm_job_state state);

/* ---- messages of workers ---- */

void jm_ckpt_ack(struct jm_ckpt *c, uint32_t worker, const Rask__Control__AckCheckpoint *msg);
void jm_ckpt_late(struct jm_ckpt *c, const Rask__Control__AbortCheckpointOk *msg);
/* A task at its end waits for a checkpoint: the next one begins soon. */
void jm_ckpt_wanted(struct jm_ckpt *c);

/* ---- asked for ---- */

typedef void jm_ckpt_done(void *arg, const struct err *error, uint64_t checkpoint, const char *path);
/* A savepoint that stops the job is under way: nothing else begins. */
bool jm_ckpt_is_stopping(const struct jm_ckpt *c);
/*
 * A savepoint into a new folder of target (NULL: the configured one), or a checkpoint (kind CHECKPOINT, full or not).
 * done is called once, later; also when the coordinator ends. Errors that are known at once are returned.
 */
int jm_ckpt_request(struct jm_ckpt *c, Rask__Control__CheckpointKind kind, bool full, const char *target,
                    jm_ckpt_done *done, void *arg, struct err *err) MUST_CHECK;

/* "file:///a", "file:/a", "/a" -> "/a", owned; anything else is refused with a sentence. */
int jm_ckpt_path(const char *text, char **ret, struct err *err) MUST_CHECK;

/*
 * Removes a savepoint: `_metadata`, the files in its folder that it names, the folder.  done is called once, later; not
 * after fs->forget(done_arg).
 */
void jm_ckpt_dispose(struct env *env, const char *path, void (*done)(void *arg, const struct err *error), void *arg);

/* What REST shows; one reference, the caller's. */
struct jm_ckpt_stats *jm_ckpt_picture(struct jm_ckpt *c);

#endif
