/*
 * err.h - one list of error codes, and a causal chain of text.
 *
 * Functions that can fail return int: 0, or a negative code of ERR_TABLE.  The one that fails
 * fills a `struct err`; callers on the way up wrap it with what they were doing.  Library code
 * never logs an error: whoever handles it logs once.  `err` arguments may be NULL.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

/* name, text, retryable?, scope: what it is fatal for (task, job, process) */
#define ERR_TABLE(X)                                                                               \
    X(ERR_INVALID, "invalid input", false, JOB)                                                    \
    X(ERR_NOT_FOUND, "not found", false, JOB)                                                      \
    X(ERR_EXISTS, "already exists", false, JOB)                                                    \
    X(ERR_PERMISSION, "permission denied", false, JOB)                                             \
    X(ERR_IO, "input/output error", true, TASK)                                                    \
    X(ERR_NO_SPACE, "no space left", true, TASK)                                                   \
    X(ERR_LIMIT, "limit exceeded", false, JOB)                                                     \
    X(ERR_NO_MEMORY, "out of memory", true, TASK)                                                  \
    X(ERR_TIMEOUT, "timed out", true, TASK)                                                        \
    X(ERR_CANCELED, "canceled", false, TASK)                                                       \
    X(ERR_CLOSED, "connection closed", true, TASK)                                                 \
    X(ERR_PROTOCOL, "protocol violation", false, TASK)                                             \
    X(ERR_VERSION, "version mismatch", false, PROCESS)                                             \
    X(ERR_STALE, "stale fencing token", false, TASK)                                               \
    X(ERR_AUTH, "authentication failed", false, PROCESS)                                           \
    X(ERR_UNAVAILABLE, "unavailable", true, TASK)                                                  \
    X(ERR_CORRUPT, "corrupt data", false, JOB)                                                     \
    X(ERR_USER, "user function failed", true, TASK)                                                \
    X(ERR_WORKER_DIED, "worker died", true, TASK)                                                  \
    X(ERR_STATE, "illegal in this state", false, JOB)                                              \
    X(ERR_UNSUPPORTED, "not supported", false, JOB)                                                \
    X(ERR_INTERNAL, "internal error", false, PROCESS)

enum {
    ERR_OK = 0,
    ERR_FIRST_ = -100, /* ERR_INVALID is -99, and so on upward: codes are stable on the wire */
#define ERR_ENUM_(name, text, retryable, scope) name,
    ERR_TABLE(ERR_ENUM_)
#undef ERR_ENUM_
};

enum err_scope { ERR_SCOPE_TASK, ERR_SCOPE_JOB, ERR_SCOPE_PROCESS };

#define ERR_TEXT_MAX 1024

struct err {
    int code;
    char text[ERR_TEXT_MAX]; /* "what was being done: what went wrong", outermost first */
};

/* What helps where a process has too many open files: behind the reason. */
#define ERR_FILES_HINT ": raise the limit (ulimit -Hn, LimitNOFILE= of systemd)"

/* Sets code and text, and returns code so that `return err_set(err, ...)` reads well. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_vset(struct err *err, int code, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));
/* As err_set with strerror(errno_value) appended; the code follows from errno (ENOSPC, EACCES, ENOENT, ...). */
int err_errno(struct err *err, int errno_value, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Prepends "fmt: " to the text; returns err's code (ERR_INTERNAL if err is NULL). */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

const char *err_name(int code);      /* "ERR_INVALID"; "ERR_?" for an unknown code */
const char *err_code_text(int code); /* "invalid input" */
bool err_retryable(int code);
enum err_scope err_scope(int code);

#define MUST_CHECK __attribute__((warn_unused_result))

#endif
