/*
 * write.h - frozen state into at most two files, synced: what is of this checkpoint alone, and what
 * later checkpoints share.  Small records stand in the acknowledgement itself and need no file.
 *
 * The frozen state is read out by env_work, piece by piece; pieces are appended by the fs.  Thread: the
 * loop; the piece under way belongs to a thread of env_work.
 */
#ifndef WK_WRITE_H
#define WK_WRITE_H

#include "common/ckpt/ckpt_meta.h"
#include "common/env/env.h"
#include "taskmanager/worker/checkpoint/barrier.h"

struct wk_executor;
struct wk_local;
struct wk_writing;
struct wk_write_options {
    struct env *env;
    uint8_t job[16];
    uint64_t checkpoint;
    uint32_t worker;
    const char *dir, *shared_dir; /* copied; shared_dir NULL: everything goes to dir */
    struct wk_executor *executor; /* of the tasks, which come first when all of it is busy; borrowed; NULL: nobody does */
    struct wk_local *local; /* keeps copies; borrowed; NULL: none are */
    const struct wk_edge_name *edges; /* by id; borrowed; NULL when no rows are in flight */
    /* called once, later, unless wk_writing_drop comes first. error NULL: meta holds all that was written, borrowed;
     * bytes: what was stored of each snapshot, by index */
    void (*done)(void *arg, const struct err *error, const struct ckpt_meta *meta, const uint64_t *bytes);
    void *arg;
};
/* meta: operators and states are in it; taken. snapshots: taken, with the array. */
struct wk_writing *wk_writing_start(const struct wk_write_options *options, struct ckpt_meta *meta,
                                    struct wk_task_snapshot **snapshots, uint32_t count);
/* Nobody waits for it any more: it ends as soon as it can, at the latest with the env. Not after done. */
void wk_writing_drop(struct wk_writing *w);

#endif
