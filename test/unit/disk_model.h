/*
 * disk_model.h - what a power cut leaves of a real folder, for tests of code that calls fsync itself.
 *
 * A test binary that includes this header has an fsync and an fdatasync of its own.  They note, of everything under one
 * folder, what was synced: the content of a file, the names in a folder.  disk_cut makes the folder what the strictest file
 * system would leave: what was not synced is gone.  disk_torn says what a name would show whose journal was faster than
 * its content.  A sync can be left out: a test that still passes then has one that it does not need, or does not see.
 * Any thread may sync; everything else is the test's thread while nothing else runs.
 */
#ifndef UNIT_DISK_MODEL_H
#define UNIT_DISK_MODEL_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/mem.h"

enum { DISK_INODES = 512, DISK_NAMES = 64 };

struct disk_inode { /* by the number of its file, and when that was born: numbers are used again */
    uint64_t number;
    int64_t born_s;
    uint32_t born_ns;
    bool folder;
    struct bytes content; /* synced */
    char *names[DISK_NAMES]; /* synced */
    int name_of[DISK_NAMES]; /* index of the inode */
    int name_count;
};
static struct {
    pthread_mutex_t lock;
    char root[4096]; /* empty: nothing is noted */
    struct disk_inode inodes[DISK_INODES];
    int inode_count, root_inode;
    int syncs, skipped;
    void (*look)(void *arg); /* before each sync; NULL: nobody looks */
    void *look_arg;
    bool looking;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int disk_inode_of(int fd)
{
    struct statx st;

    assert_int_equal(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st), 0);
    for (int i = 0; i < disk.inode_count; i++) {
        const struct disk_inode *at = &disk.inodes[i];

        if (at->number == st.stx_ino && at->born_s == st.stx_btime.tv_sec && at->born_ns == st.stx_btime.tv_nsec)
            return i;
    }
    assert_true(disk.inode_count < DISK_INODES);
    disk.inodes[disk.inode_count] = (struct disk_inode){.number = st.stx_ino,
                                                        .born_s = st.stx_btime.tv_sec,
                                                        .born_ns = st.stx_btime.tv_nsec,
                                                        .folder = S_ISDIR(st.stx_mode)};
    return disk.inode_count++;
}

static int disk_open(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static void disk_forget_names(struct disk_inode *d)
{
    for (int i = 0; i < d->name_count; i++)
        mem_free(d->names[i]);
    d->name_count = 0;
}

static void disk_note_names(int fd)
{
    int copy = disk_open(fd, "."), self = disk_inode_of(fd);
    DIR *dir = fdopendir(copy);

    assert_non_null(dir);
    disk_forget_names(&disk.inodes[self]);
    for (struct dirent *e; (e = readdir(dir));) {
        struct disk_inode *d = &disk.inodes[self];
        int child;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        child = disk_open(fd, e->d_name);
        assert_true(d->name_count < DISK_NAMES);
        d->name_of[d->name_count] = disk_inode_of(child);
        d->names[d->name_count++] = mem_strdup(e->d_name);
        close(child);
    }
    closedir(dir);
}

static void disk_note_content(int fd)
{
    struct disk_inode *f = &disk.inodes[disk_inode_of(fd)];
    char path[64], buf[4096];
    int again;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* it may be open for writing alone */
    again = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(again >= 0);
    bytes_clear(&f->content);
    while ((n = read(again, buf, sizeof(buf))) > 0)
        bytes_add(&f->content, buf, (size_t)n);
    assert_int_equal(n, 0);
    close(again);
}

static void disk_note(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    if (S_ISDIR(st.st_mode))
        disk_note_names(fd);
    else
        disk_note_content(fd);
}

static bool disk_has(int fd)
{
    char link[64], path[4096];
    ssize_t n;
    size_t len = strlen(disk.root);

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    if (len == 0 || n < 0)
        return false;
    path[n] = 0;
    return strncmp(path, disk.root, len) == 0 && (path[len] == '/' || path[len] == 0);
}

static int disk_sync(int fd, long call)
{
    pthread_mutex_lock(&disk.lock);
    if (!disk.looking && disk_has(fd)) {
        if (disk.look) {
            disk.looking = true;
            disk.look(disk.look_arg);
            disk.looking = false;
        }
        if (++disk.syncs != disk.skipped)
            disk_note(fd);
    }
    pthread_mutex_unlock(&disk.lock);
    return (int)syscall(call, fd);
}

int fsync(int fd);
int fdatasync(int fd);
int fsync(int fd)
{
    return disk_sync(fd, SYS_fsync);
}
int fdatasync(int fd)
{
    return disk_sync(fd, SYS_fdatasync);
}

/* What is under the folder counts as synced. */
static void disk_note_all(int folder)
{
    DIR *dir = fdopendir(disk_open(folder, "."));

    assert_non_null(dir);
    disk_note_names(folder);
    for (struct dirent *e; (e = readdir(dir));) {
        int fd;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        fd = disk_open(folder, e->d_name);
        if (disk.inodes[disk_inode_of(fd)].folder)
            disk_note_all(fd);
        else
            disk_note_content(fd);
        close(fd);
    }
    closedir(dir);
}

static void disk_remove_in(int folder)
{
    DIR *dir = fdopendir(disk_open(folder, "."));

    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        int fd;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(folder, e->d_name, 0) == 0)
            continue;
        fd = disk_open(folder, e->d_name);
        disk_remove_in(fd);
        close(fd);
        assert_int_equal(unlinkat(folder, e->d_name, AT_REMOVEDIR), 0);
    }
    closedir(dir);
}

/* From now on the folder is looked after; what is in it is synced. The n-th sync under it does nothing; 0: all do. */
static void disk_begin(const char *root, int skipped)
{
    int fd;

    assert_non_null(realpath(root, disk.root));
    disk.syncs = 0;
    disk.skipped = skipped;
    fd = disk_open(AT_FDCWD, disk.root);
    disk.root_inode = disk_inode_of(fd);
    disk_note_all(fd);
    close(fd);
}

static void disk_write(int folder, const char *name, const struct bytes *content)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

    assert_true(fd >= 0);
    for (size_t at = 0; at < content->len;) {
        ssize_t n = write(fd, content->data + at, content->len - at);

        assert_true(n > 0);
        at += (size_t)n;
    }
    close(fd);
}

static void disk_build(int folder, int inode)
{
    const struct disk_inode *d = &disk.inodes[inode];

    for (int i = 0; i < d->name_count; i++) {
        int child = d->name_of[i], fd;

        if (!disk.inodes[child].folder) {
            disk_write(folder, d->names[i], &disk.inodes[child].content);
            continue;
        }
        assert_int_equal(mkdirat(folder, d->names[i], 0777), 0);
        fd = disk_open(folder, d->names[i]);
        disk_build(fd, child);
        close(fd);
    }
}

static void disk_end(void)
{
    for (int i = 0; i < disk.inode_count; i++) {
        bytes_release(&disk.inodes[i].content);
        disk_forget_names(&disk.inodes[i]);
    }
    disk.inode_count = 0;
    disk.root[0] = 0;
    disk.look = NULL;
}

/* The power is cut: what is left stands under the folder, which is looked after no more. Files of the past are closed. */
static inline void disk_cut(void)
{
    int fd = disk_open(AT_FDCWD, disk.root);

    disk_remove_in(fd);
    disk_build(fd, disk.root_inode);
    close(fd);
    disk_end();
}

/* Removes what is in the folder. */
static inline void disk_clear(const char *folder)
{
    int fd = disk_open(AT_FDCWD, folder);

    disk_remove_in(fd);
    close(fd);
}

/* Of a file whose name the power cut left: what is in it. Borrowed until the next sync; NULL: the name is not there. */
static inline const struct bytes *disk_torn(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), i;

    if (fd < 0)
        return NULL;
    i = disk_inode_of(fd);
    close(fd);
    return &disk.inodes[i].content;
}

/* Before each sync: the moments at which a power cut may leave something else than at the others. */
static inline void disk_look(void (*look)(void *arg), void *arg)
{
    disk.look = look;
    disk.look_arg = arg;
}

/*
 * Runs a test with every sync of it left out, one at a time: each has to be missed.  run(arg, skipped) does the work between
 * disk_begin and disk_cut, and says whether what was promised is there.  Returns how many syncs there are.
 */
static inline int disk_each_sync_is_needed(bool (*run)(void *arg, int skipped), void *arg)
{
    int syncs;

    assert_true(run(arg, 0));
    syncs = disk.syncs;
    assert_true(syncs > 0);
    for (int i = 1; i <= syncs; i++)
        if (run(arg, i))
            fail_msg("sync %d of %d was left out, and nothing was lost", i, syncs);
    return syncs;
}

#endif
