/*
 * process_posix.h - a line of text that tells a process from all others, and whether the process of such a line has ended.
 *
 * A pid alone says little: it is used again, and means another process in another container or on another machine.  The line names
 * the boot of the kernel, the namespaces that the pid and times belong to, and when the process began.  Who sees all of that
 * as it was written can be sure; anybody else cannot tell.  Thread: any.
 */
#ifndef ENV_PROCESS_POSIX_H
#define ENV_PROCESS_POSIX_H

#include <stdbool.h>

#include "common/env/env.h"

/* Of the caller; "" where /proc does not say it. */
void env_process_posix(char out[ENV_PROCESS_MAX]);
bool env_process_posix_is_gone(const char *text);

#endif
