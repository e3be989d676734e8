/*
 * still.h - what a task and its one operator need around them in tests that step it by hand: nothing happens by itself.  The test
 * has its own `enqueue` and `now_ns`.  Included by one file of a test binary.
 */
#ifndef UNIT_STILL_H
#define UNIT_STILL_H

#include "common/base/mem.h"
#include "taskmanager/worker/operator/ops.h"
#include "taskmanager/worker/task/task.h"

__attribute__((unused)) static void wake_never(struct wk_executor *e, struct wk_runnable *r, uint64_t at_ns)
{
    (void)e;
    (void)r;
    (void)at_ns;
}
static void forget(struct wk_executor *e, struct wk_runnable *r)
{
    (void)e;
    (void)r;
}
static int64_t no_date(struct wk_executor *e, uint64_t now_ns)
{
    (void)e;
    (void)now_ns;
    return 1;
}

static bool never(struct env *env, const char *file, int line)
{
    (void)env;
    (void)file;
    (void)line;
    return false;
}
static const struct env_ops env_ops = {.buggify = never};
static struct env still = {.ops = &env_ops};

/* op: the test's memory, zeroed; all of the task's chain. */
static void still_place(struct wk_task *t, struct wk_op *op, const rask_operator *desc)
{
    op->chain = &t->chain;
    op->desc = desc;
    op->ctx.ops = &wk_ctx_ops;
    op->ctx.engine = op;
    op->ctx.subtask = t->subtask;
    op->ctx.parallelism = 1;
    op->ctx.name = desc->name;
    op->ctx.watermark = RASK_TS_MIN;
    op->ctx.full = &op->full;
    list_init(&op->feeds);
    arena_init(&op->ctx.scratch);
    bytes_init(&op->key);
    t->chain.ops = mem_alloc_array(1, sizeof(*t->chain.ops));
    t->chain.ops[0] = op;
    t->chain.op_count = 1;
}

/* The task frees operators of its own: this one is none. */
static void still_release(struct wk_task *t, struct wk_op *op)
{
    bytes_release(&op->key);
    arena_release(&op->ctx.scratch);
    t->chain.op_count = 0;
    wk_task_release(t);
}

#endif
