/*
 * sweep.h - removes files and folders, one call of fs after the other, without anybody waiting.
 *
 * What cannot be removed is logged once a sweep and left: nothing may depend on it.  A folder in which others may still make
 * files is handed back when it was not empty in the end, for a later try.
 * Pure; thread: the loop.
 */
#ifndef FS_SWEEP_H
#define FS_SWEEP_H

#include "common/base/list.h"
#include "common/env/env.h"
#include "common/fs/fs.h"

struct fs_sweeper {
    struct env *env;
    const char *module, *job; /* for the log; borrowed; job NULL: of none */
    struct list sweeps;
    void (*idle)(void *arg); /* the last sweep has ended; NULL is legal */
    void (*busy)(void *arg, const char *folder); /* somebody has made files in it meanwhile; borrowed; NULL: no folder is busy */
    void *arg;
};
void fs_sweeper_init(struct fs_sweeper *s, struct env *env, const char *module, const char *job, void (*idle)(void *arg),
                     void (*busy)(void *arg, const char *folder), void *arg);
void fs_sweeper_release(struct fs_sweeper *s); /* what is under way at the disk ends by itself */
bool fs_sweeper_is_idle(const struct fs_sweeper *s);

struct fs_sweep;
/* Add paths, then go. What is not there (any more) is no error. */
struct fs_sweep *fs_sweep_new(struct fs_sweeper *s);
void fs_sweep_add(struct fs_sweep *sweep, const char *path); /* a file, or a folder with all in it; copied */
void fs_sweep_add_busy(struct fs_sweep *sweep, const char *folder); /* in which others may still make files; copied */
/* Everything inside the folder of which remove says so; name: inside it. The folder stays. */
void fs_sweep_add_some(struct fs_sweep *sweep, const char *folder, bool (*remove)(void *arg, const char *name), void *arg);
void fs_sweep_go(struct fs_sweep *sweep); /* taken */

#endif
