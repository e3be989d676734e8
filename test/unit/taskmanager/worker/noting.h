/* noting.h - an executor that runs nothing, and only counts how often somebody was woken. Included by one file of a test binary. */
#ifndef UNIT_NOTING_H
#define UNIT_NOTING_H

#include "taskmanager/worker/task/executor.h"

static int woken;
static void note(struct wk_executor *e, struct wk_runnable *r)
{
    (void)e;
    r->state = WK_IDLE;
    woken++;
}
static const struct wk_executor_ops noting = {.enqueue = note};
static struct wk_executor executor = {&noting};

#endif
