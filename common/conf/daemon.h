/*
 * daemon.h - what a daemon's main() shares with the scripts: command line, pid file, readiness.
 *
 * Options of every daemon:
 *     -D key=value, -Dkey=value   a setting that wins over the file
 *     --configDir DIR, -c DIR     instead of RASK_CONF_DIR
 *     --pidfile PATH              append the own pid as a line; removed again at the end
 *     --log PATH                  log there instead of standard error
 *     --ready-fd N                say there, in one line, how the start went, and close it:
 *                                 "ready", "waiting TEXT" (runs, but without its peer yet),
 *                                 or "error TEXT" (and exit 1)
 *     -h, --help, -v, --version   handled here
 *
 *     struct daemon d;
 *     int code = daemon_start(&d, "rask-jobmanager", argc, argv);   // conf loaded, log open
 *     if (code >= 0)
 *         return code;
 *     ...listen...; on failure: return daemon_fail(&d, &err);
 *     daemon_ready(&d);  ...run...;  daemon_end(&d);
 *
 * Thread: main.
 */
#ifndef CONF_DAEMON_H
#define CONF_DAEMON_H

#include "common/conf/conf.h"

struct daemon {
    const char *name;    /* borrowed */
    struct conf *conf;   /* owned */
    const char *pidfile; /* of argv, or NULL */
    const char *log;     /* of argv, or NULL */
    int ready_fd;        /* -1: none, or said already */
    int argc;            /* what follows the options */
    char **argv;
};

/* -1: go on. Else the exit code: 0 after --help, 1 after a message (on stderr and the ready fd). */
int daemon_start(struct daemon *d, const char *name, int argc, char **argv);
void daemon_ready(struct daemon *d);
/* It runs but its peer does not answer yet. A later daemon_ready() is legal and does nothing. */
void daemon_waiting(struct daemon *d, const char *text);
/* Says why (log, stderr, ready fd), does daemon_end(), returns 1. */
int daemon_fail(struct daemon *d, const struct err *err);
/* As many open files as the hard limit allows; Daemons do it as they start, and
 * what they start has it from them. */
void daemon_raise_open_files(void);
/* Takes the pid out of the pid file, closes the log, frees conf. */
void daemon_end(struct daemon *d);

#endif
