/* loopback.h - TCP of the loopback, for programs that move rows between two processes. */
#ifndef RASK_BENCH_LOOPBACK_H
#define RASK_BENCH_LOOPBACK_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/c/bench.h"

/* Both ends of a new connection. */
static inline void connection(int *ret_one, int *ret_other)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    *ret_one = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&at, len) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&at, &len) || connect(*ret_one, (struct sockaddr *)&at, len))
        bench_die("connect");
    *ret_other = accept(listener, NULL, NULL);
    if (*ret_other < 0)
        bench_die("accept");
    close(listener);
    setsockopt(*ret_one, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(*ret_other, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static inline void write_all(int fd, const void *data, size_t len)
{
    for (const char *at = data; len > 0;) {
        ssize_t done = write(fd, at, len);

        if (done <= 0)
            bench_die("write");
        at += done;
        len -= (size_t)done;
    }
}

#endif
