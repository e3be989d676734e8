/* executor_conf.h - what the options of a job say about its executor: rask.executor.*. Pure. */
#ifndef WK_EXECUTOR_CONF_H
#define WK_EXECUTOR_CONF_H

#include "proto/control.pb-c.h"
#include "taskmanager/worker/task/executor.h"

/* cores: those that this process may use. on_thread stays NULL. Values were checked when the job was submitted. */
struct wk_executor_options wk_executor_conf(const Rask__Control__StartWorker *start, uint32_t cores);

#endif
