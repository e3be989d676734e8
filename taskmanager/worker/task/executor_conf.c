/* executor_conf.c - see executor_conf.h. */
#include "taskmanager/worker/task/executor_conf.h"

#include "common/base/check.h"
#include "common/conf/conf.h"

struct wk_executor_options wk_executor_conf(const Rask__Control__StartWorker *start, uint32_t cores)
{
    struct conf *conf = conf_new();
    struct wk_executor_options options = {0};

    for (size_t i = 0; i < start->n_config; i++)
        if (conf_set(conf, start->config[i]->key, start->config[i]->value, "the job master", NULL) != 0)
            continue; /* a key of the job's own */
    options.threads = (uint32_t)conf_int(conf, OPT_RASK_EXECUTOR_THREADS);
    if (options.threads == 0)
        options.threads = MAX(cores, 1u);
    options.spin_ns = (uint64_t)conf_int(conf, OPT_RASK_EXECUTOR_SPIN_US) * 1000u;
    conf_free(conf);
    return options;
}
