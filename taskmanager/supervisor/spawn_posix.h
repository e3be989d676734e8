/*
 * spawn_posix.h - the production spawner: a worker is a process of its own, started by fork and exec.
 *
 * It dies with its parent, sits in a process group of its own, holds no descriptor but the start pipe, and lives in a temporary
 * folder that is removed after it.  Its files in the log folder: rask-USER-worker-JOB-INDEX-HOST.log and .out.
 * Thread: the loop.
 */
#ifndef TM_SPAWN_POSIX_H
#define TM_SPAWN_POSIX_H

#include "taskmanager/supervisor/tm.h"

struct tm_spawn_options {
    const struct conf *conf; /* borrowed: memory, log */
    const char *program;     /* of the worker; borrowed, as all texts, during the call */
    const char *log_dir;     /* made if missing */
    const char *own_log;     /* the supervisor's log file, to be read as "log"; NULL: none */
    const char *tmp_dir;     /* a folder of this TaskManager is made in it */
    const char *local_dir;   /* workers keep copies of state below it, by job; NULL: in that folder */
    const char *user, *host; /* of file names */
};
int tm_spawn_posix_new(struct env *env, const struct tm_spawn_options *options, struct tm_spawner **ret,
                       struct err *err) MUST_CHECK;
const char *tm_spawn_posix_local_dir(const struct tm_spawner *spawner); /* where workers keep copies; borrowed */
/* Kills what still lives and waits for it, removes the temporary folder. No callback comes any more. */
void tm_spawn_posix_free(struct tm_spawner *spawner);

#endif
