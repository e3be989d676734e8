/* open_files_posix.c - see open_files_posix.h. */
#include "taskmanager/worker/store/open_files_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/mem.h"

struct open_file {
    struct list node; /* in `idle`, while it is open and nobody uses it */
    char *path;
    int fd;         /* -1: closed */
    uint32_t users;
};
struct open_files {
    pthread_mutex_t mutex; /* guards what follows, and all but the path of each file */
    struct list idle;      /* the one that was not used for the longest stands first */
    uint32_t max, open;
};

struct open_files *wk_open_files_new(uint32_t max)
{
    struct open_files *files = MEM_NEW(struct open_files);

    CHECK(max > 0);
    files->max = max;
    list_init(&files->idle);
    pthread_mutex_init(&files->mutex, NULL);
    return files;
}

void wk_open_files_free(struct open_files *files)
{
    if (!files)
        return;
    CHECK(files->open == 0);
    pthread_mutex_destroy(&files->mutex);
    mem_free(files);
}

struct open_file *wk_open_file_new(char *path)
{
    struct open_file *f = MEM_NEW(struct open_file);

    list_init(&f->node);
    f->path = path;
    f->fd = -1;
    return f;
}

const char *wk_open_file_path(const struct open_file *file)
{
    return file->path;
}

static void shut(struct open_files *files, struct open_file *f)
{
    list_remove(&f->node);
    if (f->fd < 0)
        return;
    close(f->fd);
    f->fd = -1;
    files->open--;
}

void wk_open_file_free(struct open_files *files, struct open_file *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&files->mutex);
    CHECK(f->users == 0);
    shut(files, f);
    pthread_mutex_unlock(&files->mutex);
    mem_free(f->path);
    mem_free(f);
}

static int reopen(struct open_files *files, struct open_file *f, int flags, struct err *err)
{
    while (files->open >= files->max && !list_empty(&files->idle))
        shut(files, LIST_ENTRY(files->idle.next, struct open_file, node));
    f->fd = open(f->path, flags | O_RDWR | O_CLOEXEC, 0600);
    if (f->fd < 0)
        return err_errno(err, errno, "cannot open \"%s\"", f->path);
    (void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_RANDOM);
    files->open++;
    return 0;
}

int wk_open_file_use(struct open_files *files, struct open_file *f, int flags, int *ret_fd, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&files->mutex);
    if (f->fd < 0)
        rc = reopen(files, f, flags, err);
    if (rc == 0) {
        list_remove(&f->node);
        f->users++;
        *ret_fd = f->fd;
    }
    pthread_mutex_unlock(&files->mutex);
    return rc;
}

void wk_open_file_done(struct open_files *files, struct open_file *f)
{
    pthread_mutex_lock(&files->mutex);
    CHECK(f->users > 0);
    if (--f->users == 0)
        list_push_back(&files->idle, &f->node);
    if (f->users == 0 && files->open > files->max)
        shut(files, LIST_ENTRY(files->idle.next, struct open_file, node));
    pthread_mutex_unlock(&files->mutex);
}
