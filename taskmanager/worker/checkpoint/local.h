/*
 * local.h - copies of a worker's state files on its own host: a task that starts again there need not fetch its state.
 *
 * One flat folder for each job on a TaskManager, which outlives workers: of shared/NAME the file NAME, of chk-N/NAME the file
 * chk-N.NAME.  It holds what workers here have written of the latest complete checkpoint, and of later ones.  Nothing depends
 * on it: what is missing, cut off or damaged is read from the checkpoint's folder.  So nothing of it is synced, and a disk
 * that is full costs a copy, not the checkpoint.  Savepoints have no copies.
 *
 * Thread: the loop.
 */
#ifndef WK_LOCAL_H
#define WK_LOCAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/id.h"

struct env;
struct wk_local;
/* dir: copied; made with the first copy. */
struct wk_local *wk_local_new(struct env *env, const char *dir, const struct id *job_id);
void wk_local_free(struct wk_local *local); /* NULL is legal */
/* Whether files of this job's checkpoints are what it has copies of. job: 16 bytes. */
bool wk_local_is_of(const struct wk_local *local, const uint8_t *job);
/* Where the copy of a file is, if there is one. path: as _metadata of the checkpoint has it. Owned result; NULL: there is
 * never one. */
char *wk_local_path(const struct wk_local *local, uint64_t checkpoint, const char *path);
/* The checkpoint is complete, its _metadata is in dir (copied): copies that it does not name and that are not of a later one go. */
void wk_local_complete(struct wk_local *local, const char *dir, uint64_t checkpoint);

/* ---- a file that is being written ---- */

struct wk_copy;
/* The file was made just now, at `from`: a second name where that is possible, else the same bytes again. done is called
 * later, once for this call. path: as for wk_local_path. */
struct wk_copy *wk_copy_begin(struct wk_local *local, uint64_t checkpoint, const char *path, const char *from,
                              void (*done)(void *arg), void *arg);
/* The same bytes as to the file, when the call before is done. False: none are needed; true: done is called later. */
bool wk_copy_append(struct wk_copy *copy, const void *data, size_t len);
/* Nothing more follows; a call that is not done never will be. NULL is legal. */
void wk_copy_end(struct wk_copy *copy);

#endif
