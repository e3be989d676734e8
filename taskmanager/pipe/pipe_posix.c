/*
 * pipe_posix.c - messages of the start pipe, with SCM_RIGHTS for passed connections.
 * Thread: any.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/rpc/rpc.h"
#include "taskmanager/pipe/pipe.h"

static void add_text(struct bytes *out, const char *text)
{
    bytes_add_u32(out, (uint32_t)strlen(text));
    bytes_add_str(out, text);
}

void pipe_encode_start(const struct pipe_start *start, struct bytes *out)
{
    size_t len = protobuf_c_message_get_packed_size(&start->start->base);

    bytes_add_u8(out, PIPE_START);
    bytes_add(out, start->taskmanager_id.bytes, sizeof(start->taskmanager_id.bytes));
    bytes_add_u64(out, start->network_bytes);
    bytes_add_u64(out, start->state_bytes);
    bytes_add_u64(out, start->log_rotate_bytes);
    bytes_add_u32(out, start->log_keep);
    add_text(out, start->log_path);
    add_text(out, start->out_path);
    add_text(out, start->tmp_dir);
    add_text(out, start->local_dir);
    add_text(out, start->log_level);
    add_text(out, start->log_modules);
    bytes_reserve(out, len);
    out->len += protobuf_c_message_pack(&start->start->base, out->data + out->len);
}

static const char *take_text(struct reader *r, struct arena *arena)
{
    uint32_t len = reader_u32(r);
    const uint8_t *at = reader_take(r, len);
    char *text;

    if (!at)
        return "";
    text = arena_alloc(arena, (size_t)len + 1);
    memcpy(text, at, len);
    return text;
}

int pipe_decode_start(const void *data, size_t len, struct arena *arena, struct pipe_start *ret,
                      struct err *err)
{
    struct reader r = reader_of(data, len);
    struct pipe_start start = {0};
    const uint8_t *id, *rest;
    size_t rest_len;

    if (reader_u8(&r) != PIPE_START)
        return err_set(err, ERR_PROTOCOL, "the first message of the start pipe is not the start");
    id = reader_take(&r, sizeof(start.taskmanager_id.bytes));
    if (id)
        memcpy(start.taskmanager_id.bytes, id, sizeof(start.taskmanager_id.bytes));
    start.network_bytes = reader_u64(&r);
    start.state_bytes = reader_u64(&r);
    start.log_rotate_bytes = reader_u64(&r);
    start.log_keep = reader_u32(&r);
    start.log_path = take_text(&r, arena);
    start.out_path = take_text(&r, arena);
    start.tmp_dir = take_text(&r, arena);
    start.local_dir = take_text(&r, arena);
    start.log_level = take_text(&r, arena);
    start.log_modules = take_text(&r, arena);
    rest_len = reader_left(&r);
    rest = reader_take(&r, rest_len);
    if (!r.bad)
        start.start = (void *)rpc_unpack(&rask__control__start_worker__descriptor, rest, rest_len, arena);
    if (!start.start)
        return err_set(err, ERR_PROTOCOL, "malformed start of %zu bytes", len);
    *ret = start;
    return 0;
}

int pipe_send(int pipe_fd, const void *data, size_t len, int fd, struct err *err)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {(void *)data, len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t sent;

    if (len > PIPE_MESSAGE_MAX)
        return err_set(err, ERR_LIMIT, "%zu bytes are more than the %u that a start may have", len,
                       PIPE_MESSAGE_MAX);
    if (fd >= 0) {
        message.msg_control = control.space;
        message.msg_controllen = sizeof(control.space);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    }
    do
        sent = sendmsg(pipe_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return err_errno(err, errno, "start pipe");
    return 0;
}

static int passed_fd(struct msghdr *message)
{
    int fd = -1;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
            c->cmsg_len == CMSG_LEN(sizeof(int)))
            memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    }
    return fd;
}

ssize_t pipe_receive(int pipe_fd, void *buffer, size_t cap, bool wait, int *ret_fd, struct err *err)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {buffer, cap};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space,
                             .msg_controllen = sizeof(control.space)};
    ssize_t got;

    do
        got = recvmsg(pipe_fd, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    while (got < 0 && errno == EINTR);
    *ret_fd = got >= 0 ? passed_fd(&message) : -1;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return err_set(err, ERR_UNAVAILABLE, "start pipe: nothing now");
    if (got < 0)
        return errno == ECONNRESET ? 0 : err_errno(err, errno, "start pipe");
    if (message.msg_flags & MSG_TRUNC) {
        if (*ret_fd >= 0)
            close(*ret_fd);
        *ret_fd = -1;
        return err_set(err, ERR_LIMIT, "start pipe: a message has more than %zu bytes", cap);
    }
    return got;
}
