/*
 * sweep.h - removes files and folders, one call of fs after the other, without anybody waiting.
 *
 * What cannot be removed is logged once a sweep and left: checkpoints do not depend on it.  A folder in which others may
 * still make files is handed back when it was not empty in the end, for a later try.
 * Thread: the control loop.
 */
#ifndef JM_SWEEP_H
#define JM_SWEEP_H

#include "common/base/list.h"
#include "common/env/env.h"
#include "common/fs/fs.h"

struct jm_sweeper {
    struct env *env;
    char job[ID_TEXT_MAX]; /* for the log */
    struct list sweeps;
    void (*idle)(void *arg); /* the last sweep has ended */
    void (*busy)(void *arg, const char *folder); /* somebody has made files in it meanwhile; borrowed */
    void *arg;
};
void jm_sweeper_init(struct jm_sweeper *s, struct env *env, const char *job, void (*idle)(void *arg),
                     void (*busy)(void *arg, const char *folder), void *arg);
void jm_sweeper_release(struct jm_sweeper *s); /* what is under way at the disk ends by itself */
bool jm_sweeper_is_idle(const struct jm_sweeper *s);

struct jm_sweep;
/* Add paths, then go. What is not there (any more) is no error. */
struct jm_sweep *jm_sweep_new(struct jm_sweeper *s);
void jm_sweep_add(struct jm_sweep *sweep, const char *path); /* a file, or a folder with all in it; copied */
void jm_sweep_add_busy(struct jm_sweep *sweep, const char *folder); /* in which others may still make files; copied */
/* Everything inside the folder of which remove says so; name: inside it. The folder stays. */
void jm_sweep_add_some(struct jm_sweep *sweep, const char *folder, bool (*remove)(void *arg, const char *name), void *arg);
void jm_sweep_go(struct jm_sweep *sweep); /* taken */

#endif
