/*
 * sinks.c - rows as lines of a file: text (one STRING column, as it is) and csv.
 *
 * Parallelism 1 writes the file itself; above it the path is a directory with the files 1 .. parallelism.  What was
 * there is replaced.  Lines go out in pieces of BUFFER, when the task goes idle, and at the end; after a failure,
 * what was written so far stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "connectors/format.h"
#include "connectors/support.h"

enum { BUFFER = 128 * 1024, TRIES = 8 };

struct file_sink {
    char *path;
    int fd;
    struct bytes text;
};

/* A directory for the files of all subtasks, which run this at the same time; a file in its place is replaced. */
static int make_folder(const char *path)
{
    struct stat st;

    for (int i = 0; i < TRIES; i++) {
        if (mkdir(path, 0777) == 0)
            return 0;
        if (errno != EEXIST)
            return errno;
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            return 0;
        if (unlink(path) != 0 && errno != ENOENT && errno != EISDIR)
            return errno;
    }
    return EEXIST;
}

/* Files of an earlier run with a higher parallelism would be read as part of this one's output. */
static void remove_surplus(const char *folder, uint32_t parallelism)
{
    for (uint32_t i = parallelism + 1;; i++) {
        char *path = mem_printf("%s/%u", folder, i);
        int rc = unlink(path);

        mem_free(path);
        if (rc != 0)
            return;
    }
}

static int open_file(rask_ctx *ctx, struct file_sink *s, const char *path)
{
    int error = connectors_make_parents(s->path);

    if (error == 0 && rask_parallelism(ctx) > 1)
        error = make_folder(path);
    if (error != 0)
        return connectors_fail_write(ctx, error, s->path);
    if (rask_parallelism(ctx) > 1 && rask_subtask(ctx) == 0)
        remove_surplus(path, rask_parallelism(ctx));
    s->fd = open(s->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    return s->fd >= 0 ? 0 : connectors_fail_write(ctx, errno, s->path);
}

static int file_open(rask_ctx *ctx)
{
    struct file_sink *s = rask_self(ctx);
    const char *path = connectors_path(ctx);

    s->fd = -1;
    if (!path)
        return -1;
    s->path = rask_parallelism(ctx) > 1 ? mem_printf("%s/%u", path, rask_subtask(ctx) + 1) : mem_strdup(path);
    return open_file(ctx, s, path);
}

static int file_flush(rask_ctx *ctx)
{
    struct file_sink *s = rask_self(ctx);
    int error = connectors_write_all(s->fd, s->text.data, s->text.len);

    bytes_clear(&s->text);
    return error == 0 ? 0 : connectors_fail_write(ctx, error, s->path);
}

static int row_written(rask_ctx *ctx, struct file_sink *s)
{
    bytes_add_u8(&s->text, '\n');
    return s->text.len < BUFFER ? 0 : file_flush(ctx);
}

static int csv_write(rask_ctx *ctx, const rask_batch *rows)
{
    struct file_sink *s = rask_self(ctx);
    int rc = 0;

    for (uint32_t i = 0; i < rows->rows && rc == 0; i++) {
        format_csv(rows, i, &s->text);
        rc = row_written(ctx, s);
    }
    return rc;
}

static int text_write(rask_ctx *ctx, const rask_batch *rows)
{
    struct file_sink *s = rask_self(ctx);
    int rc = 0;

    if (rows->schema->columns != 1 || rows->schema->fields[0].type != RASK_T_STRING)
        return rask_fail(ctx, "a text sink takes one STRING column, its input has others");
    for (uint32_t i = 0; i < rows->rows && rc == 0; i++) {
        rask_row r = rask_batch_row(rows, i);

        if (!rask_is_null(&r, 0)) {
            rask_str line = rask_string(&r, 0);

            bytes_add(&s->text, line.data, line.len);
        }
        rc = row_written(ctx, s);
    }
    return rc;
}

/* Some file systems say only here that there was no room. */
static int file_finish(rask_ctx *ctx)
{
    struct file_sink *s = rask_self(ctx);
    int rc = file_flush(ctx), fd = s->fd;

    s->fd = -1;
    if (close(fd) != 0 && rc == 0)
        rc = connectors_fail_write(ctx, errno, s->path);
    return rc;
}

static void file_close(rask_ctx *ctx)
{
    struct file_sink *s = rask_self(ctx);

    if (s->fd >= 0 && s->text.len > 0)
        (void)connectors_write_all(s->fd, s->text.data, s->text.len);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    bytes_release(&s->text);
    mem_free(s->path);
    s->path = NULL;
}

#define FILE_SINK(n, w)                                                                                                 \
    {                                                                                                                   \
        .abi = RASK_ABI, .name = n, .self_size = sizeof(struct file_sink), .open = file_open, .write = w,               \
        .flush = file_flush, .finish = file_finish, .close = file_close                                                 \
    }

const rask_sink connectors_text_sink = FILE_SINK("text", text_write);
const rask_sink connectors_csv_sink = FILE_SINK("csv", csv_write);
