/*
 * rest.h - the REST API of the JobManager: an HTTP server on its own loop and thread.
 *
 * It reads snapshots (jm_snapshot) and gives commands (jm_execute); it never touches the control loop's state.
 * Loopback only unless clients have to show a certificate, or security.allow-plaintext; a request whose Host or Origin is foreign is refused, so that
 * no page in a browser can reach it.  What it answers: docs/rest.md.
 */
#ifndef JM_REST_H
#define JM_REST_H

#include "common/conf/conf.h"
#include "jobmanager/jm.h"

struct net_tls;
struct rest;
struct rest_options {
    const struct conf *conf; /* borrowed; must not change */
    struct jm *jm;           /* borrowed; outlives the server */
    struct net_tls *tls;     /* borrowed; outlives the server. NULL: in clear */
    const char *log_dir;     /* folder of this daemon's log files; NULL: none are shown. Copied */
    const char *log_file;    /* this daemon's own log, a path; NULL: none. Copied */
};
/* Listens and starts the thread. The text of an error names address and port, and who holds a port that is taken. */
int rest_start(const struct rest_options *options, struct rest **ret, struct err *err) MUST_CHECK;
/* "127.0.0.1:8081", with the chosen port. */
const char *rest_address(const struct rest *rest);
/* Ends the thread; open connections are closed. Commands still under way are let go of. NULL is legal. */
void rest_stop(struct rest *rest);

#endif
