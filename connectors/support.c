/* support.c - see support.h. */
#include "connectors/support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"

int connectors_i64(rask_ctx *ctx, const char *key, int64_t *ret)
{
    const char *text = connector_property(connectors_args(ctx), key, NULL);
    char *end = NULL;

    if (!text)
        return rask_fail(ctx, "the property \"%s\" is missing in the graph", key);
    errno = 0;
    *ret = strtoll(text, &end, 10);
    if (end == text || *end || errno)
        return rask_fail(ctx, "the property \"%s\" is \"%.40s\" in the graph; it must be an integer", key, text);
    return 0;
}

bool connectors_bool(rask_ctx *ctx, const char *key)
{
    return strcmp(connector_property(connectors_args(ctx), key, "false"), "true") == 0;
}

void connectors_host(char ret[CONNECTORS_HOST_MAX])
{
    if (gethostname(ret, CONNECTORS_HOST_MAX) != 0)
        memcpy(ret, "?", 2);
    ret[CONNECTORS_HOST_MAX - 1] = 0;
}

static const char *errno_text(int errno_value, char *buf, size_t size)
{
    return strerror_r(errno_value, buf, size);
}

const char *connectors_path(rask_ctx *ctx)
{
    const char *path = connector_property(connectors_args(ctx), "path", NULL), *scheme = path ? strstr(path, "://") : NULL;

    if (!path || !path[0]) {
        rask_fail(ctx, "the property \"path\" is missing in the graph");
        return NULL;
    }
    if (strncmp(path, "file:///", 8) == 0)
        return path + 7;
    if (scheme && strspn(path, "abcdefghijklmnopqrstuvwxyz0123456789+.-") == (size_t)(scheme - path)) {
        rask_fail(ctx, "%s: only files of the host can be read and written; name one by its path, or as file:///path", path);
        return NULL;
    }
    return path;
}

int connectors_fail_read(rask_ctx *ctx, int errno_value, const char *path)
{
    char host[CONNECTORS_HOST_MAX], buf[128];

    connectors_host(host);
    switch (errno_value) {
    case ENOENT:
    case ENOTDIR:
        return rask_fail(ctx, "input file %s does not exist on host %s", path, host);
    case EACCES:
    case EPERM:
        return rask_fail(ctx,
                         "input file %s on host %s cannot be read: permission denied for user id %ld; give that user "
                         "read permission, and search permission on the folders above it",
                         path, host, (long)geteuid());
    default:
        return rask_fail(ctx, "input file %s on host %s cannot be read: %s", path, host,
                         errno_text(errno_value, buf, sizeof(buf)));
    }
}

int connectors_fail_write(rask_ctx *ctx, int errno_value, const char *path)
{
    char host[CONNECTORS_HOST_MAX], buf[128];
    const char *what;

    connectors_host(host);
    switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
        what = errno_value == ENOSPC ? "the disk is full; free space there, or write to another one"
                                     : "the user's disk quota is used up; free space, or write elsewhere";
        break;
    case EACCES:
    case EPERM:
        return rask_fail(ctx,
                         "output file %s on host %s cannot be written: permission denied for user id %ld; give that "
                         "user write permission there, or choose another path",
                         path, host, (long)geteuid());
    case EROFS:
        what = "its file system is mounted read-only; choose a path on a writable one";
        break;
    case EISDIR:
        what = "it is a directory; name a file in it, or remove it";
        break;
    case ENOTDIR:
        what = "a folder of the path is a file; choose another path, or remove that file";
        break;
    case EPIPE:
        what = "nobody reads the other end any more";
        break;
    default:
        what = errno_text(errno_value, buf, sizeof(buf));
        break;
    }
    return rask_fail(ctx, "output file %s on host %s cannot be written: %s", path, host, what);
}

int connectors_sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash > path ? mem_printf("%.*s", (int)(slash - path), path) : mem_strdup(slash ? "/" : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

    mem_free(folder);
    if (fd < 0)
        return errno == EACCES ? 0 : errno; /* it may be written and not read: nobody can sync it */
    if (fsync(fd) != 0 && errno != EINVAL) /* some file systems have no such call for folders */
        rc = errno;
    close(fd);
    return rc;
}

int connectors_make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        int rc;

        *slash = 0;
        if (mkdir(path, 0777) == 0)
            rc = connectors_sync_folder_of(path);
        else /* an existing folder on a read-only or foreign file system is no obstacle */
            rc = errno == EEXIST || errno == EISDIR || access(path, F_OK) == 0 ? 0 : errno;
        *slash = '/';
        if (rc != 0)
            return rc;
    }
    return 0;
}

int connectors_write_all(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = write(fd, at, len);

        if (n >= 0) {
            at += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};

            if (poll(&p, 1, -1) < 0 && errno != EINTR)
                return errno;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}
