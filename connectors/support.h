/*
 * support.h - what the connectors share: properties, sentences for errno, writing to a descriptor.
 * For the files of connectors/ alone.  All functions run in the step of the subtask whose ctx they get.
 */
#ifndef CONNECTORS_SUPPORT_H
#define CONNECTORS_SUPPORT_H

#include "api/connector.h"
#include "common/base/bytes.h"
#include "common/types/batch.h"

/* Bytes of a row: rask.max-row-size. */
static inline uint32_t connectors_row_max(rask_ctx *ctx)
{
    return pool_row_max(out_pool(rask_main_out(ctx)));
}
#define CONNECTORS_HOST_MAX 256        /* bytes of a host name with its NUL */

extern const rask_source connectors_text_source, connectors_csv_source, connectors_collection_source,
    connectors_sequence_source, connectors_generator_source, connectors_socket_source;
extern const rask_sink connectors_text_sink, connectors_csv_sink, connectors_files_sink, connectors_postgres_sink,
    connectors_postgres_upsert_sink, connectors_print_sink, connectors_discard_sink;

static inline const struct connector_args *connectors_args(rask_ctx *ctx)
{
    return rask_args(ctx);
}

/* The property as a number; absent or malformed: the task fails and a negative code is returned. */
int connectors_i64(rask_ctx *ctx, const char *key, int64_t *ret);
bool connectors_bool(rask_ctx *ctx, const char *key); /* "true"; absent: false */

/* The property "path", borrowed, without "file://". NULL: there is none, or it names another file system; the task fails. */
const char *connectors_path(rask_ctx *ctx);

/* The name of this machine: in messages that are read on another one. */
void connectors_host(char ret[CONNECTORS_HOST_MAX]);

/* Fail the task with a sentence: path, host, what errno_value means here and what to do. Return the code. */
int connectors_fail_read(rask_ctx *ctx, int errno_value, const char *path);
int connectors_fail_write(rask_ctx *ctx, int errno_value, const char *path);

/* After it returned 0 the names in the folder that path lies in survive a power cut. Else errno. */
int connectors_sync_folder_of(const char *path);
/* Every folder above the last component of path, which is changed meanwhile; those that it makes survive. 0 or errno. */
int connectors_make_parents(char *path);

/* All of it, however short the single writes are; waits where the descriptor is non-blocking. 0, or errno. */
int connectors_write_all(int fd, const void *data, size_t len);

#endif
