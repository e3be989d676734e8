/*
 * work_folder.h - the temporary folder of a process: private, and removed after a process that could not remove its own.
 *
 * A process holds a lock on its folder as long as it lives, whatever its pid looks like from where the next one runs: pids are
 * used again, stay for a while after a kill, and mean nothing between containers that share /tmp.
 *
 *     if (work_folder_make("/tmp", "rask-jobmanager-", &path, &err) < 0) ...
 *     ...
 *     work_folder_remove(path);
 *     mem_free(path);
 *
 * Thread: any, but it waits for the disk.
 */
#ifndef CONF_WORK_FOLDER_H
#define CONF_WORK_FOLDER_H

#include "common/base/err.h"

/* Removes what dead processes of this user have left, then makes parent/prefixPID-RANDOM, mode 0700; parent exists. ret_path: its
 * absolute path, owned by the caller. The lock is never given back: it ends with the process. Returns how many it removed. */
int work_folder_make(const char *parent, const char *prefix, char **ret_path, struct err *err) MUST_CHECK;
/* A folder that stays when the process ends, for the next one of the same name: made if it is missing, mode 0700, and held as long as
 * this process lives. ERR_EXISTS: another one holds it, and does not end within a second. path: borrowed; its parent exists. */
int work_folder_keep(const char *path, struct err *err) MUST_CHECK;
/* With all that is in it; what somebody else removes meanwhile is no trouble. path: borrowed. */
void work_folder_remove(const char *path);

#endif
