/* input.c - see input.h. */
#include "connectors/file/input.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"

enum { SPLIT_MIN = 64 << 10, SPLIT_MAX = 64 << 20, SPLITS_WANTED = 16, READ_MAX = 1 << 20 };

static bool is_stdin(const char *path)
{
    return strcmp(path, "-") == 0;
}

/* ---- enumerator.  Split id: u64 begin, u64 end, path ---- */

static int add_split(rask_splits *found, const char *path, uint64_t begin, uint64_t end)
{
    struct bytes id;
    int rc;

    bytes_init(&id);
    bytes_add_u64(&id, begin);
    bytes_add_u64(&id, end);
    bytes_add_str(&id, path);
    rc = rask_split_add(found, (rask_str){(const char *)id.data, (uint32_t)id.len}, (rask_str){"", 0});
    bytes_release(&id);
    return rc;
}

/* Ranges of a sixteenth of the file, within limits: enough for any usual parallelism, also for a file of a megabyte. */
static int add_file(rask_splits *found, const char *path, const struct stat *st, bool whole)
{
    uint64_t size = (uint64_t)st->st_size, step = MIN(MAX(size / SPLITS_WANTED, SPLIT_MIN), SPLIT_MAX);
    int rc = 0;

    /* Files of /proc have no size, and content. */
    if (!S_ISREG(st->st_mode) || size == 0 || whole)
        return add_split(found, path, 0, S_ISREG(st->st_mode) && size > 0 ? size : INPUT_TO_THE_END);
    for (uint64_t at = 0; at < size && rc == 0; at += step)
        rc = add_split(found, path, at, MIN(at + step, size));
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    char **items;
    size_t count, room;
};

static void names_add(struct names *n, const char *folder, const char *name)
{
    size_t len = strlen(folder);

    if (n->count == n->room) {
        n->room = MAX(64, n->room * 2);
        n->items = mem_realloc(n->items, n->room * sizeof(*n->items));
    }
    n->items[n->count++] = mem_printf("%s%s%s", folder, len && folder[len - 1] == '/' ? "" : "/", name);
}

static void names_release(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        mem_free(n->items[i]);
    mem_free(n->items);
}

static int list_folder(rask_ctx *ctx, const char *path, struct names *ret)
{
    DIR *d = opendir(path);
    struct dirent *e;

    if (!d)
        return connectors_fail_read(ctx, errno, path);
    for (;;) {
        errno = 0;
        e = readdir(d);
        if (!e)
            break;
        if (e->d_name[0] != '.' && e->d_name[0] != '_')
            names_add(ret, path, e->d_name);
    }
    if (errno) {
        int saved = errno;

        closedir(d);
        return connectors_fail_read(ctx, saved, path);
    }
    closedir(d);
    qsort(ret->items, ret->count, sizeof(*ret->items), by_name);
    return 0;
}

static int add_folder(rask_ctx *ctx, rask_splits *found, const char *path, bool whole)
{
    struct names names = {NULL, 0, 0};
    int rc = list_folder(ctx, path, &names);
    uint64_t folders = 0;

    for (size_t i = 0; i < names.count && rc == 0; i++) {
        struct stat st;

        if (stat(names.items[i], &st) != 0)
            rc = connectors_fail_read(ctx, errno, names.items[i]);
        else if (S_ISREG(st.st_mode))
            rc = add_file(found, names.items[i], &st, whole);
        else
            folders += S_ISDIR(st.st_mode);
    }
    if (rc == 0 && folders > 0)
        rask_log(ctx, RASK_LOG_WARN, "%llu folders inside %s are not read: only files directly in it are",
                 (unsigned long long)folders, path);
    names_release(&names);
    return rc;
}

int input_discover(rask_ctx *ctx, rask_splits *found, bool whole)
{
    const char *path = connectors_path(ctx);
    struct stat st;

    if (!path)
        return -1;
    if (is_stdin(path))
        return add_split(found, path, 0, INPUT_TO_THE_END);
    if (stat(path, &st) != 0)
        return connectors_fail_read(ctx, errno, path);
    return S_ISDIR(st.st_mode) ? add_folder(ctx, found, path, whole) : add_file(found, path, &st, whole);
}

/* ---- reader ---- */

int input_open(rask_ctx *ctx, struct input *in, rask_str split_id)
{
    struct reader r = reader_of(split_id.data, split_id.len);
    struct stat st;

    in->fd = -1;
    in->begin = reader_u64(&r);
    in->end = reader_u64(&r);
    if (r.bad || reader_left(&r) == 0 || in->begin > in->end)
        return rask_fail(ctx, "a split of %u bytes names no file: it was not made by this source", split_id.len);
    in->path = mem_printf("%.*s", (int)reader_left(&r), (const char *)r.at);
    /* Not blocking: a named pipe whose writer has not come yet must not hold the thread. */
    in->fd = is_stdin(in->path) ? STDIN_FILENO : open(in->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (in->fd < 0 || fstat(in->fd, &st) != 0)
        return connectors_fail_read(ctx, errno, is_stdin(in->path) ? "- (standard input)" : in->path);
    if (S_ISDIR(st.st_mode))
        return connectors_fail_read(ctx, EISDIR, in->path);
    in->is_stream = !S_ISREG(st.st_mode) || is_stdin(in->path);
    if (!in->is_stream)
        (void)posix_fadvise(in->fd, (off_t)in->begin, 0, POSIX_FADV_SEQUENTIAL);
    return 0;
}

void input_close(struct input *in)
{
    if (in->fd > STDIN_FILENO)
        close(in->fd);
    in->fd = -1;
    mem_free(in->path);
    in->path = NULL;
}

/* The range was cut from a file that was longer: what it held there is lost. */
static int fail_shrunk(rask_ctx *ctx, const struct input *in, uint64_t offset)
{
    char host[CONNECTORS_HOST_MAX];

    connectors_host(host);
    return rask_fail(ctx,
                     "input file %s on host %s shrank to %llu bytes while it was read; run the job again when nobody "
                     "truncates it",
                     in->path, host, (unsigned long long)offset);
}

/* 1: bytes or the end are there; 0: not yet. Never sets O_NONBLOCK: standard input is shared with other processes. */
static int stream_ready(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;

    do
        n = poll(&p, 1, 0);
    while (n < 0 && errno == EINTR);
    return n != 0;
}

int input_read(rask_ctx *ctx, struct input *in, uint64_t offset, void *to, uint32_t len, uint32_t *ret_len)
{
    ssize_t n;

    *ret_len = 0;
    do {
        if (in->is_stream && !stream_ready(in->fd))
            goto wait;
        n = in->is_stream ? read(in->fd, to, MIN(len, READ_MAX)) : pread(in->fd, to, MIN(len, READ_MAX), (off_t)offset);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        goto wait;
    if (n < 0)
        return connectors_fail_read(ctx, errno, in->path);
    if (n == 0 && in->end != INPUT_TO_THE_END && offset < in->end)
        return fail_shrunk(ctx, in, offset);
    *ret_len = (uint32_t)n;
    return RASK_MORE;
wait:
    rask_wake_on_fd(ctx, in->fd);
    return RASK_WAIT;
}
