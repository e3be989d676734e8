/* store_conf.h - where the stores of a worker are: from the settings of its job. Of programs, not of the core. */
#ifndef WK_STORE_CONF_H
#define WK_STORE_CONF_H

#include "common/base/err.h"
#include "proto/control.pb-c.h"

/*
 * The folder for stores: one of its own below state.backend.leveldb.localdir, where what dead workers have left is removed, or
 * without that key the worker's temporary one. Owned by the caller; *ret_remove: and to be removed at its end.
 */
int wk_store_folder(const Rask__Control__StartWorker *start, const char *tmp_dir, char **ret, bool *ret_remove,
                    struct err *err) MUST_CHECK;

#endif
