/*
 * crash_posix.h - last words of a worker process: signal, task and operator on the CPU, a symbolised stack.
 *
 * They go to the start pipe as one PIPE_CRASH message, or, without one, to standard error.  Everything in the handler is
 * safe in a signal handler; an alarm ends it when the process is too broken to describe itself.
 */
#ifndef WK_CRASH_POSIX_H
#define WK_CRASH_POSIX_H

/* pipe_fd: the start pipe, or -1. Installs handlers for SEGV BUS FPE ILL ABRT TRAP SYS and one for exit(). Once per process. */
void wk_crash_install(int pipe_fd);
/* Each thread that runs user code calls it first: an overflow of its stack needs another one. */
void wk_crash_thread_start(void);
/* From here on exit() is our own: no report. */
void wk_crash_leaving(void);

#endif
