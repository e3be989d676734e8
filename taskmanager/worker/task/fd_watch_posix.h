/*
 * fd_watch_posix.h - wakes tasks when file descriptors of their sources become readable.
 *
 * An epoll set of its own, which the loop watches as one descriptor: steps add and remove entries themselves, on any thread,
 * without a detour over the loop.  An entry lasts until it has woken its task once, or until it is removed; a task
 * removes its entries before the source may close a descriptor or the task ends, so none outlives either.
 */
#ifndef WK_FD_WATCH_POSIX_H
#define WK_FD_WATCH_POSIX_H

#include <stdbool.h>

#include "common/env/env.h"
#include "taskmanager/worker/task/executor.h"

struct fd_watch;
struct fd_watch *wk_fd_watch_new(struct env *env); /* env: a production one, borrowed */
void wk_fd_watch_free(struct fd_watch *w);         /* loop; NULL is legal */
/* Any thread. wk_ready(task) once, on the loop, when fd is readable or broken; false: fd cannot be watched (a file). */
bool wk_fd_watch_add(struct fd_watch *w, int fd, struct wk_runnable *task);
void wk_fd_watch_remove(struct fd_watch *w, int fd);

#endif
