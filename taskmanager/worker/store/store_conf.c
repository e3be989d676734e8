/* store_conf.c - see store_conf.h. */
#include "taskmanager/worker/store/store_conf.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/conf/conf.h"
#include "common/conf/work_folder.h"

int wk_store_folder(const Rask__Control__StartWorker *start, const char *tmp_dir, char **ret, bool *ret_remove, struct err *err)
{
    struct conf *conf = conf_new();
    const char *dir;
    int rc = 0;

    for (size_t i = 0; i < start->n_config; i++)
        if (conf_set(conf, start->config[i]->key, start->config[i]->value, "the job master", NULL) != 0)
            continue; /* a key of the job's own */
    dir = conf_string(conf, OPT_STATE_BACKEND_LEVELDB_LOCALDIR);
    *ret_remove = dir != NULL && strcmp(conf_string(conf, OPT_STATE_BACKEND_TYPE), "hashmap") != 0;
    if (*ret_remove)
        rc = work_folder_make(dir, "rask-state.", ret, err);
    else
        *ret = mem_strdup(tmp_dir);
    if (rc < 0)
        err_wrap(err, "state.backend.leveldb.localdir");
    conf_free(conf);
    return rc < 0 ? rc : 0;
}
