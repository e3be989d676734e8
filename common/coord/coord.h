/*
 * coord.h - coordination with ZooKeeper's semantics: sessions, versioned nodes, one-shot watches, multi.
 *
 * coord_none: a single JobManager that is always the leader and keeps nothing.  Simulated in test/sim; the
 * ZooKeeper client comes behind the same interface.  Completions arrive later on the loop thread.
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
    int code; /* 0, ERR_NOT_FOUND, ERR_EXISTS, ERR_STALE (version), ERR_CLOSED (outcome unknown), ERR_UNAVAILABLE */
    const uint8_t *data;
    size_t len;
    int64_t version;
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

struct coord_ops {
    void (*get)(struct coord *c, const char *path, coord_watch_fn *watch, coord_cb *cb, void *arg);
    void (*children)(struct coord *c, const char *path, coord_watch_fn *watch, coord_cb *cb, void *arg);
    void (*multi)(struct coord *c, const struct coord_op *ops, size_t op_count, coord_cb *cb, void *arg);
    void (*on_session)(struct coord *c, void (*cb)(void *arg, enum coord_session state), void *arg);
};
struct coord {
    const struct coord_ops *ops;
};

struct env;
struct coord *coord_none_new(struct env *env);
void coord_none_free(struct coord *c);

#endif
