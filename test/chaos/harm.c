/*
 * harm.c - preloaded into the daemons and workers of the exactly-once checker (LD_PRELOAD): holds a process at a point that
 * the driver has asked for, so that harm comes exactly there, and delays what makes files durable.
 *
 * The driver and all processes share one page (CHAOS_PAGE names its file).  One trap is set at a time: a call (open, rename, ...)
 * and a text that its path or its bytes contain.  The thread that meets it for the countdown-th time says so and waits
 * for the driver, which does the harm and lets go.  No part of the product.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum call { CREATE = 1, READ, RENAME, RENAMED, MKDIR, WRITE, SEND, SENT, UNLINK };

struct page { /* as world.py packs it */
    uint32_t armed;
    uint32_t call;
    uint32_t countdown;
    uint32_t fired; /* the pid that is held */
    uint32_t go;
    uint32_t sync_delay_us;
    uint32_t len;
    char text[100];
};

static struct page *page;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CHAOS_PAGE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        page = NULL;
    close(fd);
}

static void met(enum call call, const void *bytes, size_t len)
{
    int before = errno;

    if (!page || !__atomic_load_n(&page->armed, __ATOMIC_ACQUIRE) || page->call != call ||
        !memmem(bytes, len, page->text, page->len) || __atomic_sub_fetch(&page->countdown, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    __atomic_store_n(&page->armed, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&page->fired, (uint32_t)getpid(), __ATOMIC_RELEASE);
    for (int i = 0; i < 20000 && !__atomic_load_n(&page->go, __ATOMIC_ACQUIRE); i++)
        usleep(200);
    errno = before;
}

static void met_path(enum call call, const char *path)
{
    met(call, path, strlen(path));
}

#define REAL(name) ((__typeof__(&name))real(&real_##name, #name))
static void *real(void **known, const char *name)
{
    if (!*known)
        *known = dlsym(RTLD_NEXT, name);
    return *known;
}

static void *real_open, *real_openat, *real_rename, *real_mkdir, *real_write, *real_pwrite, *real_send, *real_sendto, *real_unlink,
    *real_fsync, *real_fdatasync;

int open(const char *path, int flags, ...)
{
    va_list args;
    mode_t mode;

    va_start(args, flags);
    mode = va_arg(args, mode_t);
    va_end(args);
    met_path(flags & O_CREAT ? CREATE : READ, path);
    return REAL(open)(path, flags, mode);
}

int openat(int at, const char *path, int flags, ...)
{
    va_list args;
    mode_t mode;

    va_start(args, flags);
    mode = va_arg(args, mode_t);
    va_end(args);
    met_path(flags & O_CREAT ? CREATE : READ, path);
    return REAL(openat)(at, path, flags, mode);
}

int rename(const char *from, const char *to)
{
    int rc;

    met_path(RENAME, to);
    rc = REAL(rename)(from, to);
    if (rc == 0)
        met_path(RENAMED, to);
    return rc;
}

int mkdir(const char *path, mode_t mode)
{
    met_path(MKDIR, path);
    return REAL(mkdir)(path, mode);
}

int unlink(const char *path)
{
    met_path(UNLINK, path);
    return REAL(unlink)(path);
}

ssize_t write(int fd, const void *data, size_t len)
{
    met(WRITE, data, len);
    return REAL(write)(fd, data, len);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    met(WRITE, data, len);
    return REAL(pwrite)(fd, data, len, at);
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
    ssize_t n;

    met(SEND, data, len);
    n = REAL(send)(fd, data, len, flags);
    if (n > 0)
        met(SENT, data, len);
    return n;
}

ssize_t sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *to, socklen_t size)
{
    met(SEND, data, len);
    return REAL(sendto)(fd, data, len, flags, to, size);
}

static void delay(void)
{
    uint32_t us = page ? __atomic_load_n(&page->sync_delay_us, __ATOMIC_ACQUIRE) : 0;

    if (us > 0)
        usleep(us);
}

int fsync(int fd)
{
    delay();
    return REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    delay();
    return REAL(fdatasync)(fd);
}
