/*
 * coord.h - coordination with ZooKeeper's semantics: sessions, versioned nodes, one-shot watches, multi.
 *
 * coord_none: a single JobManager that is always the leader: the same semantics in the memory of its process,
 * nothing survives it.  Simulated in test/sim; the ZooKeeper client comes behind the same interface.
 * Completions and watches arrive later on the loop thread.
 *
 * Paths are absolute, "/a/b"; the parent has to exist.  Versions begin with 0 and rise with each set.
 * The operations of a session are executed in the order they were made, and its completions come in that
 * order; a watch fires before the completion of any later read that shows the change.
 */
#ifndef COORD_COORD_H
#define COORD_COORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct coord;

enum coord_session { COORD_CONNECTED, COORD_SUSPENDED, COORD_EXPIRED };

struct coord_result {
    /* 0, ERR_NOT_FOUND, ERR_EXISTS, ERR_STALE (version), ERR_CLOSED (connection lost: outcome unknown),
     * ERR_UNAVAILABLE (session expired, nothing was done), ERR_STATE (child of an ephemeral node, deleting a node that
     * has children), ERR_INVALID (path), ERR_LIMIT (over 1 MiB) */
    int code;
    const uint8_t *data; /* borrowed until cb returns */
    size_t len;
    int64_t version; /* get: of the node; multi: of the node that its last create or set was about */
    char **names; /* children: sorted, borrowed */
    size_t name_count;
};
typedef void coord_cb(void *arg, const struct coord_result *result);
typedef void coord_watch_fn(void *arg, const char *path); /* one shot: something about path changed */

enum coord_op_type { COORD_CREATE, COORD_CREATE_EPHEMERAL, COORD_SET, COORD_DELETE, COORD_CHECK };
struct coord_op {
    enum coord_op_type type;
    const char *path;
    const void *data;
    size_t len;
    int64_t version; /* -1: any */
};

/* Watches (NULL: none). Of get: creation, change and deletion, so it may be set on what does not exist yet. Of children:
 * children that come and go, and the node's own deletion; not set when the node does not exist. When the session
 * expires its watches and ephemeral nodes are gone, and every call gives ERR_UNAVAILABLE from then on: COORD_EXPIRED is
 * the last word of a session. SUSPENDED: the connection is lost, the session perhaps not. */
struct coord_ops {
    void (*get)(struct coord *c, const char *path, coord_watch_fn *watch, coord_cb *cb, void *arg);
    void (*children)(struct coord *c, const char *path, coord_watch_fn *watch, coord_cb *cb, void *arg);
    /* All or nothing. The ops, their paths and data are copied. */
    void (*multi)(struct coord *c, const struct coord_op *ops, size_t op_count, coord_cb *cb, void *arg);
    /* One listener; the present state is reported first, in a later event. cb NULL: none. */
    void (*on_session)(struct coord *c, void (*cb)(void *arg, enum coord_session state), void *arg);
    /* Neither completions nor watches with this arg will run. For an owner that is about to be freed. */
    void (*forget)(struct coord *c, void *arg);
};
struct coord {
    const struct coord_ops *ops;
};

struct env;
struct coord *coord_none_new(struct env *env);
void coord_none_free(struct coord *c);

#endif
