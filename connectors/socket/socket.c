/*
 * socket.c - lines that a TCP server sends, until it closes.  One split; nothing is read twice, so its position
 * stays empty.
 */
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "connectors/lines.h"
#include "connectors/support.h"

struct socket_split {
    struct lines lines;
    struct addrinfo *addresses, *trying;
    int fd;
    bool at_end;
};

static int socket_discover(rask_ctx *ctx, rask_splits *found)
{
    (void)ctx;
    return rask_split_add(found, (rask_str){"socket", 6}, (rask_str){"", 0});
}

static int fail_socket(rask_ctx *ctx, const char *doing, const char *why)
{
    const struct connector_args *args = connectors_args(ctx);
    char host[CONNECTORS_HOST_MAX];

    connectors_host(host);
    return rask_fail(ctx, "%s %s:%s from host %s: %s", doing, connector_property(args, "host", "?"),
                     connector_property(args, "port", "?"), host, why);
}

static int fail_errno(rask_ctx *ctx, const char *doing, int errno_value)
{
    char buf[128];

    if (errno_value == ECONNREFUSED)
        return fail_socket(ctx, doing, "connection refused: is a server listening there?");
    return fail_socket(ctx, doing, strerror_r(errno_value, buf, sizeof(buf)));
}

/* Starts with the next address of the host. 0: under way; else errno of the last one. */
static int connect_next(struct socket_split *s)
{
    int error = EADDRNOTAVAIL;

    while (s->trying) {
        const struct addrinfo *a = s->trying;

        s->trying = a->ai_next;
        if (s->fd >= 0)
            close(s->fd);
        s->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (s->fd >= 0 && (connect(s->fd, a->ai_addr, a->ai_addrlen) == 0 || errno == EINPROGRESS))
            return 0;
        error = errno;
    }
    return error;
}

static int socket_open_split(rask_ctx *ctx, rask_split *split)
{
    const struct connector_args *args = connectors_args(ctx);
    struct socket_split *s = split->self;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    int rc;

    s->fd = -1;
    if (args->schema->columns != 1 || args->schema->fields[0].type != RASK_T_STRING)
        return rask_fail(ctx, "a socket source gives one STRING column, its schema in the graph has others");
    rc = getaddrinfo(connector_property(args, "host", ""), connector_property(args, "port", ""), &hints, &s->addresses);
    if (rc != 0)
        return fail_socket(ctx, "cannot find the address of", gai_strerror(rc));
    s->trying = s->addresses;
    lines_init(&s->lines, out_pool(rask_main_out(ctx)), 0);
    rc = connect_next(s);
    return rc == 0 ? 0 : fail_errno(ctx, "cannot connect to", rc);
}

/* Readable is also what a refused connection becomes: recv then says why. */
static int receive(rask_ctx *ctx, struct socket_split *s)
{
    uint32_t room;
    uint8_t *to;
    ssize_t n;

    to = lines_room(&s->lines, &room);
    do
        n = recv(s->fd, to, room, 0);
    while (n < 0 && errno == EINTR);
    if (n >= 0) {
        lines_added(&s->lines, (uint32_t)n);
        s->at_end = n == 0;
        return RASK_MORE;
    }
    if (errno == EAGAIN || errno == ENOTCONN) {
        rask_wake_on_fd(ctx, s->fd);
        return RASK_WAIT;
    }
    if (s->lines.offset == 0 && s->trying && connect_next(s) == 0)
        return RASK_MORE;
    return fail_errno(ctx, s->lines.offset == 0 && lines_held(&s->lines) == 0 ? "cannot connect to" : "cannot read from",
                      errno);
}

static int socket_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct socket_split *s = split->self;
    rask_batch *b = lines_take(&s->lines, out->schema, UINT64_MAX, s->at_end);
    int rc;

    if (!b && s->lines.too_long)
        return fail_socket(ctx, "cannot read from", "a line is longer than rask.max-row-size");
    if (!b && s->at_end)
        return RASK_END;
    if (!b) {
        rc = receive(ctx, s);
        if (rc != RASK_MORE)
            return rc;
        b = lines_take(&s->lines, out->schema, UINT64_MAX, s->at_end);
    }
    return b ? rask_emit_batch(out, &b) : RASK_MORE;
}

static void socket_close_split(rask_ctx *ctx, rask_split *split)
{
    struct socket_split *s = split->self;

    (void)ctx;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    if (s->addresses)
        freeaddrinfo(s->addresses);
    s->addresses = NULL;
    lines_release(&s->lines);
}

const rask_source connectors_socket_source = {
    .abi = RASK_ABI,
    .name = "socket",
    .split_size = sizeof(struct socket_split),
    .discover = socket_discover,
    .open_split = socket_open_split,
    .poll = socket_poll,
    .close_split = socket_close_split,
};
