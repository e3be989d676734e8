/*
 * spawn.h - workers of rask-local: objects on the env of JobManager and supervisor, one executor for all.
 *
 * What a process boundary does elsewhere is kept as far as it can be: artifacts are private copies, messages and blocks between
 * workers are encoded.  A worker whose user code does not return cannot be ended, only the program can.  Thread: the loop.
 */
#ifndef LOCAL_SPAWN_H
#define LOCAL_SPAWN_H

#include "taskmanager/supervisor/tm.h"

struct local_spawn_options {
    const struct conf *conf; /* borrowed for the spawner's life */
    const char *dir;         /* for private copies of artifacts; likewise */
};
struct tm_spawner *local_spawn_new(struct env *env, const struct local_spawn_options *options);
/* The executor's threads may still run: whoever calls it ends the process soon. */
void local_spawn_free(struct tm_spawner *spawner);

#endif
