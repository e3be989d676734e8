/* process_posix.c - see process_posix.h. */
#include "common/env/process_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define FORMAT "pid %ld (started %llu, boot %s, %s, %s)"

/* The beginning of a small file; false: it could not be read. */
static bool read_file(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, size - 1) : -1;

    if (fd >= 0)
        close(fd);
    out[n > 0 ? n : 0] = 0;
    return n > 0;
}

static bool read_link(const char *path, char *out, size_t size)
{
    ssize_t n = readlink(path, out, size - 1);

    out[n > 0 ? n : 0] = 0;
    return n > 0;
}

/* When a process began, in ticks since the boot: the 22nd word; the second is a name in parentheses, with whatever in it. */
static bool started(pid_t pid, unsigned long long *ret)
{
    char path[64], text[2048];
    const char *at;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    at = read_file(path, text, sizeof(text)) ? strrchr(text, ')') : NULL;
    for (int word = 2; at && word < 22; word++)
        at = strchr(at + 1, ' ');
    if (!at)
        return false;
    *ret = strtoull(at, NULL, 10);
    return *ret > 0;
}

/* The line of a process of this pid, if it was of the same boot and namespaces as the caller. */
static bool line_of(pid_t pid, unsigned long long start, char out[ENV_PROCESS_MAX])
{
    char boot[64], self[32], pids[64], times[64];
    int n;

    /* /proc may be that of another pid namespace: then its numbers are not ours */
    if (!read_link("/proc/self", self, sizeof(self)) || strtol(self, NULL, 10) != (long)getpid() ||
        !read_file("/proc/sys/kernel/random/boot_id", boot, sizeof(boot)) || !read_link("/proc/self/ns/pid", pids, sizeof(pids)))
        return false;
    boot[strcspn(boot, "\n")] = 0;
    if (!read_link("/proc/self/ns/time", times, sizeof(times)))
        snprintf(times, sizeof(times), "time:none"); /* a kernel before 5.6 has one time */
    n = snprintf(out, ENV_PROCESS_MAX, FORMAT, (long)pid, start, boot, pids, times);
    return *boot && n < ENV_PROCESS_MAX;
}

void env_process_posix(char out[ENV_PROCESS_MAX])
{
    unsigned long long start;

    if (!started(getpid(), &start) || !line_of(getpid(), start, out))
        *out = 0;
}

bool env_process_posix_is_gone(const char *text)
{
    unsigned long long start, now;
    char same[ENV_PROCESS_MAX];
    long pid;

    if (sscanf(text, "pid %9ld (started %19llu,", &pid, &start) != 2 || pid <= 0 || !line_of((pid_t)pid, start, same) ||
        strcmp(same, text) != 0)
        return false;
    if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
        return true;
    return started((pid_t)pid, &now) && now != start; /* the pid is used again */
}
