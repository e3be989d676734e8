/* work_folder.c - see work_folder.h. */
#include "common/conf/work_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"

#define WALK_FDS 16
#define ATTEMPTS 100
#define KEEP_PAUSES 100
#define KEEP_PAUSE_MS 10

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

void work_folder_remove(const char *path)
{
    nftw(path, remove_entry, WALK_FDS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int open_folder(int parent_fd, const char *name)
{
    return openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Whether it is ours and nobody that lives holds it. The lock stays with *ret_fd. */
static bool is_left_behind(int parent_fd, const char *name, int *ret_fd)
{
    struct stat st;

    *ret_fd = open_folder(parent_fd, name);
    return *ret_fd >= 0 && fstat(*ret_fd, &st) == 0 && st.st_uid == geteuid() &&
           flock(*ret_fd, LOCK_EX | LOCK_NB) == 0;
}

static int remove_left_behind(const char *parent, const char *prefix)
{
    DIR *dir = opendir(parent);
    struct dirent *entry;
    int removed = 0;

    while (dir && (entry = readdir(dir)) != NULL) {
        int fd = -1;

        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        if (is_left_behind(dirfd(dir), entry->d_name, &fd)) {
            char *path = mem_printf("%s/%s", parent, entry->d_name);

            work_folder_remove(path);
            mem_free(path);
            removed++;
        }
        if (fd >= 0)
            close(fd);
    }
    if (dir)
        closedir(dir);
    return removed;
}

/* Locks a folder that was made just now. ERR_NOT_FOUND: another process took it for left behind before that. */
static int hold(const char *path, struct err *err)
{
    struct stat st;
    int fd = open_folder(AT_FDCWD, path);

    if (fd < 0)
        return err_errno(err, errno, "folder %s", path);
    (void)!flock(fd, LOCK_EX); /* where a disk has no locks, nobody takes anything for left behind */
    if (fstat(fd, &st) == 0 && st.st_nlink > 0)
        return 0; /* fd stays open */
    close(fd);
    return err_set(err, ERR_NOT_FOUND, "folder %s: it was removed while it was made", path);
}

int work_folder_keep(const char *path, struct err *err)
{
    struct timespec pause = {.tv_nsec = KEEP_PAUSE_MS * 1000000L};
    int fd, rc;

    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return err_errno(err, errno, "folder %s", path);
    fd = open_folder(AT_FDCWD, path);
    if (fd < 0)
        return err_errno(err, errno, "folder %s", path);
    rc = flock(fd, LOCK_EX | LOCK_NB);
    for (int i = 0; i < KEEP_PAUSES && rc < 0 && errno == EWOULDBLOCK; i++) {
        nanosleep(&pause, NULL);
        rc = flock(fd, LOCK_EX | LOCK_NB);
    }
    if (rc == 0 || errno != EWOULDBLOCK) /* where a disk has no locks, nobody else is kept out */
        return 0; /* fd stays open */
    close(fd);
    return err_set(err, ERR_EXISTS, "folder %s: another process holds it", path);
}

int work_folder_make(const char *parent, const char *prefix, char **ret_path, struct err *err)
{
    char *real = realpath(parent, NULL), *path = NULL;
    int code = ERR_NOT_FOUND, removed;

    if (!real)
        return err_errno(err, errno, "folder %s", parent);
    removed = remove_left_behind(real, prefix);
    for (int i = 0; i < ATTEMPTS && code == ERR_NOT_FOUND; i++) {
        mem_free(path);
        path = mem_printf("%s/%s%ld-XXXXXX", real, prefix, (long)getpid());
        code = mkdtemp(path) ? hold(path, err) : err_errno(err, errno, "folder %s", path);
    }
    free(real); /* realpath allocates with libc's */
    if (code == 0)
        *ret_path = path;
    else
        mem_free(path);
    return code < 0 ? code : removed;
}
