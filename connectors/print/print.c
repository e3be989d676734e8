/*
 * print.c - rows on standard output or standard error of the worker, as Flink prints them.
 * Lines of several subtasks share the descriptor: a batch is written whole, under one lock for the process.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "connectors/format.h"
#include "connectors/support.h"

struct print {
    int fd; /* -1: nowhere */
    struct bytes text, prefix;
};

static pthread_mutex_t output_lock = PTHREAD_MUTEX_INITIALIZER;

static int print_open(rask_ctx *ctx)
{
    const struct connector_args *args = connectors_args(ctx);
    struct print *p = rask_self(ctx);

    p->fd = strcmp(connector_property(args, "stream", "stdout"), "stderr") == 0 ? args->err_fd : args->out_fd;
    if (rask_parallelism(ctx) > 1)
        bytes_printf(&p->prefix, "%u> ", rask_subtask(ctx) + 1);
    return 0;
}

/* Says where the lines were to go. */
static int print_failed(rask_ctx *ctx, int fd, int error)
{
    char link[32], path[512] = "", host[HOST_NAME_MAX + 1] = "", buf[128];
    const char *why = strerror_r(error, buf, sizeof(buf));
    ssize_t n;

    if (error == EPIPE)
        return rask_fail(ctx, "cannot print: nobody reads the output any more");
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    (void)!gethostname(host, sizeof(host) - 1);
    if (error == ENOSPC)
        why = "the disk is full; free space there";
    return rask_fail(ctx, "cannot print to %s on host %s: %s", path[0] ? path : "its output", host, why);
}

static int print_write(rask_ctx *ctx, const rask_batch *rows)
{
    struct print *p = rask_self(ctx);
    int error;

    if (p->fd < 0)
        return 0;
    bytes_clear(&p->text);
    for (uint32_t i = 0; i < rows->rows; i++) {
        bytes_add(&p->text, p->prefix.data, p->prefix.len);
        format_print(rows, i, &p->text);
        bytes_add_u8(&p->text, '\n');
    }
    pthread_mutex_lock(&output_lock);
    error = connectors_write_all(p->fd, p->text.data, p->text.len);
    pthread_mutex_unlock(&output_lock);
    return error ? print_failed(ctx, p->fd, error) : 0;
}

static void print_close(rask_ctx *ctx)
{
    struct print *p = rask_self(ctx);

    bytes_release(&p->text);
    bytes_release(&p->prefix);
}

const rask_sink connectors_print_sink = {
    .abi = RASK_ABI,
    .name = "print",
    .self_size = sizeof(struct print),
    .open = print_open,
    .write = print_write,
    .close = print_close,
};
