/*
 * print.c - rows on standard output or standard error of the worker, as Flink prints them.
 * Lines of several subtasks share the descriptor: a batch is written whole, under one lock for the process.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

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

static int print_write(rask_ctx *ctx, const rask_batch *rows)
{
    struct print *p = rask_self(ctx);
    char buf[128];
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
    if (error == 0)
        return 0;
    if (error == EPIPE)
        return rask_fail(ctx, "cannot print: nobody reads the output any more");
    if (error == ENOSPC)
        return rask_fail(ctx, "cannot print: the disk that the output goes to is full; free space there");
    return rask_fail(ctx, "cannot print: %s", strerror_r(error, buf, sizeof(buf)));
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
