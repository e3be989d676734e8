/*
 * err.c - the error table as functions, and the text of an error.
 * Thread: any; a struct err belongs to its caller.
 */
#include "common/base/err.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"

struct err_row {
    const char *name, *text;
    bool retryable;
    enum err_scope scope;
};

static const struct err_row err_rows[] = {
#define ERR_ROW(name, text, retryable, scope) {#name, text, retryable, ERR_SCOPE_##scope},
    ERR_TABLE(ERR_ROW)
#undef ERR_ROW
};

static const struct err_row *err_row(int code)
{
    int index = code - (ERR_FIRST_ + 1);

    if (index < 0 || (size_t)index >= ARRAY_LEN(err_rows))
        return NULL;
    return &err_rows[index];
}

/* Cuts at a character, not inside one, and shows that it was cut. */
static void err_store(struct err *err, const char *text, bool truncated)
{
    size_t len = strlen(text);

    if (len >= sizeof(err->text)) {
        len = sizeof(err->text) - 1;
        truncated = true;
    }
    if (truncated && len > 3) {
        len = MIN(len, sizeof(err->text) - 4);
        while (len > 0 && ((uint8_t)text[len] & 0xc0) == 0x80)
            len--;
    }
    memmove(err->text, text, len);
    err->text[len] = 0;
    if (truncated)
        memcpy(err->text + len, "...", 4);
}

int err_vset(struct err *err, int code, const char *fmt, va_list ap)
{
    char text[ERR_TEXT_MAX]; /* an argument may be err->text itself */
    int len;

    CHECK(code < 0);
    if (!err)
        return code;
    len = vsnprintf(text, sizeof(text), fmt, ap);
    err->code = code;
    err_store(err, text, len >= (int)sizeof(text));
    return code;
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    err_vset(err, code, fmt, ap);
    va_end(ap);
    return code;
}

static int err_code_of_errno(int errno_value)
{
    switch (errno_value) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
    case ENOTDIR: /* what should be a folder on the way is none, so nothing is there */
        return ERR_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return ERR_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_PERMISSION;
    case ENOSPC:
    case EDQUOT:
        return ERR_NO_SPACE;
    case ENOMEM:
        return ERR_NO_MEMORY;
    case EFBIG:
    case E2BIG:
    case EAGAIN:
        return ERR_LIMIT;
    case EMFILE:
    case ENFILE: /* others may have closed theirs at the next try */
        return ERR_UNAVAILABLE;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case ECANCELED:
        return ERR_CANCELED;
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED:
        return ERR_CLOSED;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
        return ERR_UNAVAILABLE;
    case EINVAL:
    case ENAMETOOLONG:
    case EISDIR:
    case ELOOP:
    case EADDRNOTAVAIL:
        return ERR_INVALID;
    case EADDRINUSE:
    case EBUSY:
        return ERR_UNAVAILABLE;
    case EOPNOTSUPP:
    case ENOSYS:
        return ERR_UNSUPPORTED;
    default:
        return ERR_IO;
    }
}

int err_errno(struct err *err, int errno_value, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX], reason_space[128];
    const char *reason = strerror_r(errno_value, reason_space, sizeof(reason_space));
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (errno_value == EACCES) /* whoever starts daemons may not know as whom they run */
        return err_set(err, err_code_of_errno(errno_value), "%s: %s for user id %u", text, reason,
                       (unsigned)geteuid());
    if (errno_value == EMFILE)
        return err_set(err, err_code_of_errno(errno_value), "%s: %s" ERR_FILES_HINT, text, reason);
    return err_set(err, err_code_of_errno(errno_value), "%s: %s", text, reason);
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    char text[2 * ERR_TEXT_MAX];
    va_list ap;
    int len;

    if (!err)
        return ERR_INTERNAL;
    va_start(ap, fmt);
    len = vsnprintf(text, ERR_TEXT_MAX, fmt, ap);
    va_end(ap);
    len = MIN(MAX(len, 0), ERR_TEXT_MAX - 1);
    snprintf(text + len, sizeof(text) - (size_t)len, ": %s", err->text);
    err_store(err, text, false);
    return err->code;
}

const char *err_name(int code)
{
    const struct err_row *row = err_row(code);

    if (code == ERR_OK)
        return "ERR_OK";
    return row ? row->name : "ERR_?";
}

const char *err_code_text(int code)
{
    const struct err_row *row = err_row(code);

    if (code == ERR_OK)
        return "no error";
    return row ? row->text : "unknown error";
}

bool err_retryable(int code)
{
    const struct err_row *row = err_row(code);

    return row && row->retryable;
}

enum err_scope err_scope(int code)
{
    const struct err_row *row = err_row(code);

    return row ? row->scope : ERR_SCOPE_PROCESS;
}
