/*
 * kit.h - the parts of the test kit: a task of the worker without a worker around it.
 *
 * build.c makes the chain, world.c is time and executor as the chain sees them, kit.c drives.
 */
#ifndef API_TESTKIT_KIT_H
#define API_TESTKIT_KIT_H

#include <rask/testkit.h>

#include "common/base/map.h"
#include "taskmanager/worker/operator/ops.h"
#include "taskmanager/worker/task/task.h"

enum { KIT_STATE_BYTES = 256 << 20, KIT_PARAMS_MAX = 64 };

struct kit_rows { /* what one output gave */
    rask_batch **batches;
    uint32_t count, room;
    uint64_t rows;
    struct bytes text;
    rask_ts watermark;
};

struct kit_split {
    struct bytes id, position;
    bool over;
};

struct kit_world {
    struct env env; /* first */
    struct wk_executor executor;
    uint64_t now_ns;
    int64_t wall_ms;
    uint64_t wake_at_ns; /* asked for by the only task; 0: not */
    int fd; /* waited for; -1: none */
    struct wk_task_host host;
};
void kit_world_init(struct kit_world *w, struct pool *pool, struct wk_state_budget *budget);
/* Lets pass what the task waits for: virtual time, or a descriptor. False: it waits for nothing, or in vain. */
bool kit_world_wait(struct kit_world *w);

struct rask_kit {
    rask_kit_build *build;
    const rask_schema *in_schema[2];
    char *params[2 * KIT_PARAMS_MAX];
    int param_count;
    struct kit_world world;
    struct pool *pool;
    struct wk_state_budget budget;
    struct wk_task task;
    struct arena arena;
    rask_env *env;
    Rask__Graph__StreamGraph *graph;
    struct wk_op *tested;
    bool built, opened, ended;
    struct err err;
    rask_out *in[2];
    struct kit_rows *outputs; /* 0 main, 1 + i side i, of the tested operator */
    uint32_t output_count;
    struct kit_split *splits;
    uint32_t split_count, split_room, split_now;
    bool discovered;
};

/* Builds the chain from what the test's function returns. The error is kept in kit->err. */
int kit_build(rask_kit *kit);
extern const struct out_hooks kit_in_hooks; /* of kit->in; arg: the kit */

#endif
