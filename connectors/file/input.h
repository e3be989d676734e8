/*
 * input.h - files as splits: which files a path means, and a split's range of one of them.
 *
 * A path is a file or a directory; of a directory, its regular files in the order of their names, without those
 * in folders below it and without names that begin with "." or "_" (as Flink).  "-" is standard input.  What is no
 * regular file (a pipe, a device) is one split that is read once, from its beginning.
 */
#ifndef CONNECTORS_FILE_INPUT_H
#define CONNECTORS_FILE_INPUT_H

#include "connectors/support.h"

#define INPUT_TO_THE_END UINT64_MAX

/* Enumerator: a split for each range of each file. whole: a file is one split. */
int input_discover(rask_ctx *ctx, rask_splits *found, bool whole);

struct input {
    char *path;      /* owned; for messages */
    int fd;          /* -1: not open */
    bool is_stream;  /* no regular file: read as it comes */
    uint64_t begin;  /* range: rows that begin in [begin, end) */
    uint64_t end;    /* INPUT_TO_THE_END: whatever there is */
};
/* Reader: opens what a split's id says. */
int input_open(rask_ctx *ctx, struct input *in, rask_str split_id);
void input_close(struct input *in);
/* Up to len bytes from `offset` (a stream: the next ones). RASK_MORE, or RASK_WAIT: a wake was asked for. Negative: failed. *ret_len 0
 * with RASK_MORE: the end. */
int input_read(rask_ctx *ctx, struct input *in, uint64_t offset, void *to, uint32_t len, uint32_t *ret_len);

#endif
