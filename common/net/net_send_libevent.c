/*
 * net_send_libevent.c - the sending side of a connection of the production network.
 *
 * Frames are queued as chunks and leave by writev at the end of the callback that queued them, many frames
 * per call.  Small payloads are copied into chunks that several frames share; send_parts is not copied.
 *
 * While nothing is queued another thread may write a frame to the socket itself, which saves waking the loop.  What
 * does not fit is left to the loop, and until all of it has left the loop alone writes (enum conn_direct).
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/env/env_libevent.h"
#include "common/net/net_libevent_private.h"

#define CHUNK_BYTES      4000 /* the first; when something waits already there will be more */
#define CHUNK_BYTES_BUSY 64000
/* As much as the high-water mark: malloc would return it and fault it in again. */
#define CHUNKS_KEPT_SMALL 64
#define CHUNKS_KEPT       20
#define WRITE_ROUNDS_MAX 8 /* then the other events get their turn */

void net_conn_mark_dirty(struct net_conn *conn)
{
    if (!list_empty(&conn->dirty_node) || conn->writing)
        return;
    list_push_back(&conn->net->dirty, &conn->dirty_node);
    env_libevent_want_after(conn->net->env);
}

static void push_chunk(struct net_conn *conn, struct out_chunk *chunk)
{
    chunk->next = NULL;
    *conn->out_tail = chunk;
    conn->out_tail = &chunk->next;
    conn->out_last = chunk;
}

/* Which of the two kinds that are kept it is; negative: none. */
static int chunk_kind(size_t cap)
{
    return cap == CHUNK_BYTES ? 0 : cap == CHUNK_BYTES_BUSY ? 1 : -1;
}

/* cap: at least so much. */
static struct out_chunk *chunk_new(struct net_loop *net, size_t cap)
{
    size_t size = cap <= CHUNK_BYTES ? CHUNK_BYTES : cap <= CHUNK_BYTES_BUSY ? CHUNK_BYTES_BUSY : cap;
    int kind = chunk_kind(size);
    struct out_chunk *chunk = kind < 0 ? NULL : net->free_chunks[kind];

    if (chunk == NULL) {
        chunk = mem_realloc(NULL, sizeof(*chunk) + size); /* not zeroed */
    } else {
        net->free_chunks[kind] = chunk->next;
        net->free_chunk_count[kind]--;
    }
    *chunk = (struct out_chunk){.cap = size};
    return chunk;
}

static void chunk_free(struct net_loop *net, struct out_chunk *chunk)
{
    int kind = chunk_kind(chunk->cap);

    if (kind < 0 || net->free_chunk_count[kind] >= (kind == 0 ? CHUNKS_KEPT_SMALL : CHUNKS_KEPT)) {
        mem_free(chunk);
        return;
    }
    chunk->next = net->free_chunks[kind];
    net->free_chunks[kind] = chunk;
    net->free_chunk_count[kind]++;
}

void net_chunks_free(struct net_loop *net)
{
    for (int kind = 0; kind < 2; kind++)
        for (struct out_chunk *chunk; (chunk = net->free_chunks[kind]) != NULL;) {
            net->free_chunks[kind] = chunk->next;
            mem_free(chunk);
        }
}

/* The loop is about to queue something, and others no longer write. True: one of them is at it. */
static bool hold(struct net_conn *conn)
{
    return (__atomic_fetch_or(&conn->direct, CONN_HELD, __ATOMIC_ACQ_REL) & CONN_BUSY) != 0;
}

/* len bytes at the end of the queue, to be filled by the caller. */
static uint8_t *reserve(struct net_conn *conn, size_t len)
{
    struct out_chunk *chunk = conn->out_last;
    uint8_t *at;

    hold(conn);
    if (chunk == NULL || chunk->part_count > 0 || chunk->cap - chunk->len < len) {
        size_t cap = MAX(len, conn->out == NULL ? CHUNK_BYTES : CHUNK_BYTES_BUSY);

        chunk = chunk_new(conn->net, cap);
        push_chunk(conn, chunk);
    }
    at = chunk->u.bytes + chunk->len;
    chunk->len += len;
    conn->queued += len;
    return at;
}

/* Under TLS the tag of each record protects it better than a checksum, whose field is 0 then. */
static void encode(const struct net_conn *conn, const struct net_frame *frame, const struct net_iov *parts,
                   size_t part_count, uint8_t header[NET_HEADER_BYTES])
{
    CHECK(frame->kind > 0 && frame->kind < NET_KIND_MAX);
    CHECK(frame->length <= NET_PAYLOAD_MAX);
    net_header_encode(frame, 0, header);
    if (conn->tls == NULL)
        net_header_encode(frame, frame->sealed ? frame->crc : net_frame_crc(header, parts, part_count), header);
}

static void after_append(struct net_conn *conn)
{
    if (conn->queued > NET_HIGH_WATER_BYTES)
        conn->over_high_water = true;
    if (conn->state == CONN_OPEN)
        net_conn_mark_dirty(conn);
}

static bool can_send(const struct net_conn *conn)
{
    return !conn->write_failed && (conn->state == CONN_RESOLVING ||
                                   conn->state == CONN_CONNECTING || conn->state == CONN_OPEN);
}

void net_conn_append(struct net_conn *conn, const struct net_frame *frame)
{
    struct net_iov part = {frame->payload, frame->length};
    uint8_t *at;

    if (!can_send(conn))
        return;
    at = reserve(conn, NET_HEADER_BYTES + frame->length);
    encode(conn, frame, &part, 1, at);
    if (frame->length > 0)
        memcpy(at + NET_HEADER_BYTES, frame->payload, frame->length);
    after_append(conn);
}

/* A frame whose parts stay the caller's until they are released; ret_header is to be written. */
static struct out_chunk *parts_chunk(struct net_loop *net, const struct net_iov *parts, size_t part_count,
                                     size_t len, uint8_t **ret_header)
{
    struct out_chunk *chunk = chunk_new(net, (part_count + 1) * sizeof(parts[0]) + NET_HEADER_BYTES);
    uint8_t *header = (uint8_t *)(chunk->u.parts + part_count + 1); /* lies behind the parts, of which it is the first */

    chunk->len = len;
    chunk->part_count = part_count + 1;
    chunk->u.parts[0] = (struct net_iov){header, NET_HEADER_BYTES};
    memcpy(chunk->u.parts + 1, parts, part_count * sizeof(parts[0]));
    *ret_header = header;
    return chunk;
}

void net_conn_append_parts(struct net_conn *conn, const struct net_frame *frame,
                           const struct net_iov *parts, size_t part_count,
                           void (*release)(void *arg), void *release_arg)
{
    struct out_chunk *chunk;
    uint8_t *header;
    size_t len = 0;

    for (size_t i = 0; i < part_count; i++)
        len += parts[i].len;
    CHECK(len == frame->length);
    if (!can_send(conn)) {
        if (release != NULL)
            release(release_arg);
        return;
    }
    if (part_count == 0) {
        encode(conn, frame, parts, 0, reserve(conn, NET_HEADER_BYTES));
        if (release != NULL)
            release(release_arg);
    } else {
        hold(conn);
        chunk = parts_chunk(conn->net, parts, part_count, NET_HEADER_BYTES + len, &header);
        chunk->release = release;
        chunk->release_arg = release_arg;
        encode(conn, frame, parts, part_count, header);
        push_chunk(conn, chunk);
        conn->queued += chunk->len;
    }
    after_append(conn);
}

/* ---- from another thread ---- */

/* A direct sender is done. */
static void let_go(struct net_conn *conn)
{
    int busy = CONN_BUSY;

    if (conn->rest.part_count == 0 && __atomic_compare_exchange_n(&conn->direct, &busy, 0, false,
                                                                  __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        return;
    __atomic_store_n(&conn->direct, CONN_HELD, __ATOMIC_RELEASE);
    env_post(conn->net->env, &conn->task);
}

bool net_conn_send_now(struct net_conn *conn, const struct net_frame *frame, const struct net_iov *parts,
                       size_t part_count, void (*release)(void *arg), void *release_arg)
{
    uint8_t header[NET_HEADER_BYTES];
    struct iovec iov[NET_WRITE_PARTS_MAX] = {{header, sizeof(header)}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = part_count + 1};
    size_t len = sizeof(header) + frame->length;
    int unheld = 0;
    ssize_t sent;

    if (part_count == 0 || part_count >= NET_WRITE_PARTS_MAX ||
        !__atomic_compare_exchange_n(&conn->direct, &unheld, CONN_BUSY, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return false;
    encode(conn, frame, parts, part_count, header);
    for (size_t i = 0; i < part_count; i++)
        iov[i + 1] = (struct iovec){(void *)(uintptr_t)parts[i].data, parts[i].len};
    sent = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 || (size_t)sent < len) { /* an error comes again when the loop writes, which tells it */
        memcpy(conn->rest.header, header, sizeof(header));
        conn->rest.parts = parts;
        conn->rest.part_count = part_count;
        conn->rest.len = len;
        conn->rest.sent = sent < 0 ? 0 : (size_t)sent;
        conn->rest.release = release;
        conn->rest.release_arg = release_arg;
    } else if (release != NULL) {
        release(release_arg);
    }
    let_go(conn);
    return true;
}

bool net_conn_collect(struct net_conn *conn)
{
    struct out_chunk *chunk;
    uint8_t *header;

    if (hold(conn))
        return false;
    if (conn->rest.part_count == 0)
        return true;
    CHECK(conn->out_offset == 0); /* nothing of the loop's has left since */
    chunk = parts_chunk(conn->net, conn->rest.parts, conn->rest.part_count, conn->rest.len, &header);
    memcpy(header, conn->rest.header, NET_HEADER_BYTES);
    chunk->release = conn->rest.release;
    chunk->release_arg = conn->rest.release_arg;
    chunk->next = conn->out;
    if (conn->out == NULL) {
        conn->out_tail = &chunk->next;
        conn->out_last = chunk;
    }
    conn->out = chunk;
    conn->out_offset = conn->rest.sent;
    conn->queued += conn->rest.len - conn->rest.sent;
    conn->rest.part_count = 0;
    return true;
}

/* Nothing is left to say for the loop. */
static void let_others(struct net_conn *conn)
{
    if (conn->state == CONN_OPEN && conn->out == NULL && conn->tls == NULL && !conn->write_failed)
        __atomic_and_fetch(&conn->direct, ~CONN_HELD, __ATOMIC_RELEASE);
}

/* ---- writing ---- */

static void pop_chunk(struct net_conn *conn)
{
    struct out_chunk *chunk = conn->out;

    conn->out = chunk->next;
    if (conn->out == NULL) {
        conn->out_tail = &conn->out;
        conn->out_last = NULL;
    }
    conn->out_offset = 0;
    if (chunk->release != NULL)
        chunk->release(chunk->release_arg);
    chunk_free(conn->net, chunk);
}

/* A chunk of our own with what lies in the parts of another, which it replaces. */
static struct out_chunk *chunk_copy(const struct out_chunk *from)
{
    struct out_chunk *chunk = mem_realloc(NULL, sizeof(*chunk) + from->len);

    *chunk = (struct out_chunk){.next = from->next, .cap = from->len};
    for (size_t i = 0; i < from->part_count; i++) {
        if (from->u.parts[i].len > 0)
            memcpy(chunk->u.bytes + chunk->len, from->u.parts[i].data, from->u.parts[i].len);
        chunk->len += from->u.parts[i].len;
    }
    return chunk;
}

void net_conn_own_output(struct net_conn *conn)
{
    for (struct out_chunk **at = &conn->out; *at != NULL; at = &(*at)->next) {
        struct out_chunk *old = *at;

        if (old->part_count == 0)
            continue;
        *at = chunk_copy(old);
        if (conn->out_last == old) {
            conn->out_last = *at;
            conn->out_tail = &(*at)->next;
        }
        if (old->release != NULL)
            old->release(old->release_arg);
        mem_free(old);
    }
}

void net_conn_drop_output(struct net_conn *conn)
{
    while (conn->out != NULL)
        pop_chunk(conn);
    conn->queued = 0;
}

static int add_iov(struct iovec *iov, int n, const void *data, size_t len, size_t *skip)
{
    size_t gone = MIN(*skip, len);

    *skip -= gone;
    if (len > gone)
        iov[n++] = (struct iovec){(uint8_t *)data + gone, len - gone};
    return n;
}

int net_conn_gather(const struct net_conn *conn, struct iovec iov[NET_WRITE_PARTS_MAX])
{
    size_t skip = conn->out_offset;
    int n = 0;

    for (const struct out_chunk *chunk = conn->out; chunk != NULL && n < NET_WRITE_PARTS_MAX;
         chunk = chunk->next) {
        if (chunk->part_count == 0)
            n = add_iov(iov, n, chunk->u.bytes, chunk->len, &skip);
        for (size_t i = 0; i < chunk->part_count && n < NET_WRITE_PARTS_MAX; i++)
            n = add_iov(iov, n, chunk->u.parts[i].data, chunk->u.parts[i].len, &skip);
    }
    return n;
}

void net_conn_advance(struct net_conn *conn, size_t sent)
{
    CHECK(sent <= conn->queued);
    conn->queued -= sent;
    conn->out_offset += sent;
    while (conn->out != NULL && conn->out_offset >= conn->out->len) {
        size_t rest = conn->out_offset - conn->out->len;

        pop_chunk(conn); /* its release may queue more, or close the connection */
        if (conn->state == CONN_DEAD)
            return;
        conn->out_offset = rest;
    }
}

void net_conn_write_failed(struct net_conn *conn, const char *why)
{
    struct err err;

    if (conn->state == CONN_CLOSING) {
        net_conn_destroy(conn);
        return;
    }
    err_set(&err, ERR_CLOSED, "%s: %s", conn->text, why);
    conn->write_failed = true;
    conn->why = mem_dup(&err, sizeof(err));
    net_conn_drop_output(conn);
    if (conn->state == CONN_OPEN)
        env_post(conn->net->env, &conn->task);
}

bool net_conn_wants_write(const struct net_conn *conn)
{
    if (conn->tls == NULL)
        return conn->queued > 0;
    return tls_pending(conn->tls, NULL) > 0 || (conn->queued > 0 && tls_established(conn->tls));
}

static void after_write(struct net_conn *conn)
{
    if (conn->state == CONN_CLOSING && !net_conn_wants_write(conn))
        shutdown(conn->fd, SHUT_WR); /* the peer's end, or the timer, ends it */
    if (conn->state == CONN_OPEN && conn->over_high_water &&
        conn->queued < NET_HIGH_WATER_BYTES / 2) {
        conn->over_high_water = false;
        if (!conn->write_failed && conn->handler != NULL && conn->handler->on_drained != NULL)
            conn->handler->on_drained(conn->arg, conn);
    }
    net_conn_update(conn);
    let_others(conn);
}

/* One turn of writing; false: nothing more can be written now, or the connection is dead. */
static bool write_clear(struct net_conn *conn)
{
    struct iovec iov[NET_WRITE_PARTS_MAX];
    struct msghdr msg = {.msg_iov = iov};
    ssize_t sent;

    if (conn->out == NULL)
        return false;
    msg.msg_iovlen = (size_t)net_conn_gather(conn, iov);
    sent = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        net_conn_write_failed(conn, strerror(errno));
    if (sent < 0 || conn->state == CONN_DEAD)
        return false;
    net_conn_advance(conn, (size_t)sent);
    return conn->state != CONN_DEAD;
}

/* Writes until the queue is empty or the socket full; the connection may be dead after it. */
void net_conn_write(struct net_conn *conn)
{
    bool more = true;

    if (!net_conn_collect(conn))
        return; /* who is at it posts the task */
    net_conn_enter(conn);
    for (int round = 0; round < WRITE_ROUNDS_MAX && more; round++)
        more = conn->tls != NULL ? net_conn_write_tls(conn) : write_clear(conn);
    if (conn->state != CONN_DEAD)
        after_write(conn);
    net_conn_leave(conn);
}
