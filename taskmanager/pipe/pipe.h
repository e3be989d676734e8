/*
 * pipe.h - the start pipe between the supervisor and a worker process: what they say, and how.
 *
 * A socket pair that keeps messages apart (SOCK_SEQPACKET), PIPE_FD in the worker.  The first message says how to start; further
 * ones pass data connections as file descriptors.  The worker says that it is done, or its crash report.  End of the supervisor's
 * side asks the worker to end.  Thread: any; the writer of a crash report is a signal handler.
 */
#ifndef PIPE_PIPE_H
#define PIPE_PIPE_H

#include <sys/types.h>

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/id.h"
#include "common/base/mem.h"
#include "proto/control.pb-c.h"

#define PIPE_FD 3                 /* in the worker */
#define PIPE_MESSAGE_MAX (160u << 10) /* what a socket of default size takes at once */
#define PIPE_REPORT_MAX (32u << 10)

enum pipe_kind {
    PIPE_START = 'S', /* to the worker: struct pipe_start */
    PIPE_CONN = 'C',  /* to the worker: a Hello, and the connection that said it */
    PIPE_DONE = 'D',  /* from the worker: i32 exit code, sentence */
    PIPE_CRASH = 'R', /* from the worker: task, operator, stack; each ends with NUL */
};

struct pipe_start {
    struct id taskmanager_id;
    uint64_t network_bytes, state_bytes;
    uint64_t log_rotate_bytes;
    uint32_t log_keep;
    const char *log_path, *out_path, *tmp_dir, *local_dir, *log_level, *log_modules; /* "" for none */
    const Rask__Control__StartWorker *start;
};
/* Both append to or read from text in memory; decode borrows from data and arena. */
void pipe_encode_start(const struct pipe_start *start, struct bytes *out);
int pipe_decode_start(const void *data, size_t len, struct arena *arena, struct pipe_start *ret,
                      struct err *err) MUST_CHECK;

/* Sends one message, with a file descriptor unless fd is -1 (it stays the caller's). Does not wait. ERR_LIMIT when the message is
 * too large or the pipe is full. */
int pipe_send(int pipe_fd, const void *data, size_t len, int fd, struct err *err) MUST_CHECK;
/* Receives one into buffer. Returns its length, 0 at the end, ERR_UNAVAILABLE when there is none now (wait false), or an error.
 * ret_fd: a passed descriptor, owned by the caller, or -1. */
ssize_t pipe_receive(int pipe_fd, void *buffer, size_t cap, bool wait, int *ret_fd, struct err *err) MUST_CHECK;

#endif
