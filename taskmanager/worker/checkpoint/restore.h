/*
 * restore.h - the tasks of a worker get their state back, before they run.
 *
 * Reads `_metadata`, finds for each operator the sections that its subtask needs (by interval of the hash
 * space, so that parallelism may have changed), reads those by range, from copies on this host where it may, and feeds
 * them to the state.
 * Thread: the loop; decoding and filling run on env_work, some operators at a time.
 */
#ifndef WK_RESTORE_H
#define WK_RESTORE_H

#include "common/base/err.h"
#include "proto/control.pb-c.h"

struct env;
struct wk_local;
struct wk_task;
struct wk_restoring;
/* done is called once, later, unless wk_restore_drop comes first; error NULL: all is there. tasks, msg, local: borrowed until
 * then. local: copies of state files, which are read where they are whole; NULL: none are. */
struct wk_restoring *wk_restore_start(struct env *env, struct wk_task *const *tasks, uint32_t task_count,
                                      const Rask__Control__Restore *msg, const struct wk_local *local,
                                      void (*done)(void *arg, const struct err *error), void *arg);
void wk_restore_drop(struct wk_restoring *r); /* NULL is legal */

#endif
