/*
 * loader_posix.h - artifacts of a job as shared objects in this process.
 *
 * An artifact is fetched from the JobManager, written to a private file, and loaded from there.  It is never unloaded: code of it
 * may run until the process ends.  Thread: load on the loop, resolve on any thread once load has answered.
 */
#ifndef WK_LOADER_POSIX_H
#define WK_LOADER_POSIX_H

#include "common/base/bytes.h"
#include "taskmanager/worker/wk.h"

/* dir: where the private files go; borrowed for the loader's life. */
struct wk_loader *wk_loader_posix_new(const char *dir);
void wk_loader_posix_free(struct wk_loader *loader);
/* Calls the entry function of a loaded artifact and packs the graph that it builds. entry NULL: rask_job. */
int wk_loader_posix_build(struct wk_loader *loader, const uint8_t hash[32], const char *entry, char *const *argv, int argc,
                          struct bytes *ret_graph, struct err *err) MUST_CHECK;

#endif
