/* fd_watch_posix.c - see fd_watch_posix.h. */
#include "taskmanager/worker/task/fd_watch_posix.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"

#define EVENTS_MAX 64

struct fd_watch {
    struct env *env;
    int epoll;
    void *handle;
};

/* Tasks are freed on this thread alone, and have removed their entries before: each that is reported still lives. */
static void on_readable(int fd, void *arg)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(fd, events, EVENTS_MAX, 0);

    (void)arg;
    for (int i = 0; i < n; i++)
        wk_ready(events[i].data.ptr);
}

struct fd_watch *wk_fd_watch_new(struct env *env)
{
    struct fd_watch *w = MEM_NEW(struct fd_watch);

    w->env = env;
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(w->epoll >= 0);
    w->handle = env_libevent_watch_fd(env, w->epoll, on_readable, w);
    return w;
}

void wk_fd_watch_free(struct fd_watch *w)
{
    if (!w)
        return;
    env_libevent_unwatch_fd(w->env, w->handle);
    close(w->epoll);
    mem_free(w);
}

bool wk_fd_watch_add(struct fd_watch *w, int fd, struct wk_runnable *task)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, .data = {.ptr = task}};

    if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
        return true;
    return errno == EEXIST && epoll_ctl(w->epoll, EPOLL_CTL_MOD, fd, &event) == 0;
}

void wk_fd_watch_remove(struct fd_watch *w, int fd)
{
    struct epoll_event event = {0};

    /* Fails if the source has closed it, which has removed the entry, too. */
    (void)epoll_ctl(w->epoll, EPOLL_CTL_DEL, fd, &event);
}
