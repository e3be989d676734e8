/*
 * http.c - a minimal HTTP/1.1 client: one connection, kept open between calls, nothing but sockets.
 *
 * Small because `rask run` must start in milliseconds.  A call fails when no byte moves for
 * HTTP_SILENCE_MS; a kept connection that the server has closed meanwhile is opened again once.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client/client_private.h"
#include "common/base/check.h"
#include "common/net/tls.h"

#define HEAD_MAX 65536

struct cli_http {
    char *host, *port, *address; /* address: "host:port" for messages and the Host header */
    int fd;
    struct net_tls *tls;    /* owned; NULL: in clear */
    bool verify_host;
    struct http_tls *secure; /* of the connection; NULL: in clear, or none */
    struct bytes in;  /* received and not yet consumed */
};

bool cli_http_is_https(const char *address)
{
    return strncmp(address, "https://", 8) == 0;
}

void cli_http_use_tls(struct cli_http *c, struct net_tls **tls, bool verify_host)
{
    CHECK(c->tls == NULL && c->fd < 0);
    c->tls = *tls;
    c->verify_host = verify_host;
    *tls = NULL;
}

int cli_http_new(const char *text, struct cli_http **ret, struct err *err)
{
    const char *at = text, *colon;
    size_t len;
    struct cli_http *c;
    long port = 8081;

    if (cli_http_is_https(at))
        at += 8;
    else if (strncmp(at, "http://", 7) == 0)
        at += 7;
    len = strcspn(at, "/");
    colon = memrchr(at, ':', len);
    if (colon && at[0] == '[' && memchr(colon, ']', len - (size_t)(colon - at)))
        colon = NULL; /* "[::1]" without a port */
    if (colon) {
        char *end;

        port = strtol(colon + 1, &end, 10);
        if (end != at + len || end == colon + 1 || port < 1 || port > 65535)
            return err_set(err, ERR_INVALID, "`%s` is not an address: HOST:PORT is wanted, with a port of 1 to 65535", text);
        len = (size_t)(colon - at);
    }
    if (len == 0 || len > 255)
        return err_set(err, ERR_INVALID, "`%s` is not an address: HOST:PORT is wanted", text);
    c = MEM_NEW(struct cli_http);
    c->fd = -1;
    c->address = mem_printf("%.*s:%ld", (int)len, at, port);
    c->port = mem_printf("%ld", port);
    if (at[0] == '[' && at[len - 1] == ']')
        c->host = mem_printf("%.*s", (int)len - 2, at + 1);
    else
        c->host = mem_printf("%.*s", (int)len, at);
    *ret = c;
    return 0;
}

static void disconnect(struct cli_http *c)
{
    http_tls_free(c->secure);
    c->secure = NULL;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    bytes_clear(&c->in);
}

void cli_http_free(struct cli_http *c)
{
    if (!c)
        return;
    disconnect(c);
    bytes_release(&c->in);
    tls_context_free(c->tls);
    mem_free(c->host);
    mem_free(c->port);
    mem_free(c->address);
    mem_free(c);
}

const char *cli_http_address(const struct cli_http *c)
{
    return c->address;
}

static int unreachable(const struct cli_http *c, int error, struct err *err)
{
    char text[64];

    snprintf(text, sizeof(text), "%s", error == ECONNREFUSED ? "connection refused" : strerror(error));
    return err_set(err, ERR_UNAVAILABLE,
                   "cannot reach a JobManager at %s: %s. Start one with scripts/start-cluster.sh, or use --target local",
                   c->address, text);
}

static int silent(const struct cli_http *c, struct err *err)
{
    return err_set(err, ERR_TIMEOUT,
                   "the JobManager at %s does not answer: the connection is open, but silent for %d s. Its log may say why; "
                   "or is %s not its REST port (rest.port)?",
                   c->address, HTTP_SILENCE_MS / 1000, c->port);
}

static int broken(const struct cli_http *c, const char *how, struct err *err)
{
    return err_set(err, ERR_CLOSED, "the connection to %s broke: %s. Is that the JobManager's REST port (rest.port)?%s", c->address,
                   how, c->tls ? "" : " It was called without TLS (security.ssl.rest.enabled)");
}

/* Returns the connected socket, or -errno. */
static int connect_one(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol), one = 1, error = 0;
    socklen_t len = sizeof(error);

    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
        struct pollfd p = {fd, POLLOUT, 0};

        if (errno != EINPROGRESS)
            error = errno;
        else if (poll(&p, 1, HTTP_SILENCE_MS) <= 0)
            error = ETIMEDOUT;
        else
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    }
    if (error) {
        close(fd);
        return -error;
    }
    return fd;
}

static int connect_to(struct cli_http *c, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *list = NULL;
    bool local = strcmp(c->host, "localhost") == 0;
    int code = getaddrinfo(local ? "127.0.0.1" : c->host, c->port, &hints, &list), fd = -ECONNREFUSED;

    if (code != 0) {
        setenv("RES_OPTIONS", "timeout:2 attempts:1", 0); /* a silent name server must not hold us for longer */
        hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;
        code = getaddrinfo(c->host, c->port, &hints, &list);
    }
    if (code != 0)
        return err_set(err, ERR_NOT_FOUND, "cannot reach a JobManager at %s: no address for host `%s` (%s)", c->address,
                       c->host, gai_strerror(code));
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
        fd = connect_one(a);
    freeaddrinfo(list);
    if (fd == -ECONNREFUSED && local) { /* a server on ::1 alone */
        hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
        if (getaddrinfo("::1", c->port, &hints, &list) == 0) {
            fd = connect_one(list);
            freeaddrinfo(list);
            if (fd < 0)
                fd = -ECONNREFUSED;
        }
    }
    if (fd < 0)
        return unreachable(c, -fd, err);
    c->fd = fd;
    if (!c->tls)
        return 0;
    code = http_tls_start(fd, c->tls, c->host, c->verify_host, c->address, &c->secure, err);
    if (code < 0)
        disconnect(c);
    return code;
}

/* Waits for the socket; 0, or an error after HTTP_SILENCE_MS. */
static int wait_for(struct cli_http *c, short events, struct err *err)
{
    for (;;) {
        struct pollfd p = {c->fd, events, 0};
        int n = poll(&p, 1, HTTP_SILENCE_MS);

        if (n > 0)
            return 0;
        if (n == 0)
            return silent(c, err);
        if (errno != EINTR)
            return err_errno(err, errno, "waiting for %s", c->address);
    }
}

/* ERR_CLOSED: the connection broke, which a kept one may. A server may answer (413) and close before it has read all. */
static int send_all(struct cli_http *c, const void *data, size_t len, struct err *err)
{
    const char *p = data;

    while (len) {
        ssize_t n = c->secure ? http_tls_send(c->secure, p, len) : send(c->fd, p, len, MSG_NOSIGNAL);

        if (n > 0) {
            p += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd in = {c->fd, POLLIN, 0};
            int code = wait_for(c, POLLOUT | POLLIN, err);

            if (code < 0)
                return code;
            if (poll(&in, 1, 0) > 0)
                return 0; /* the answer is there already: read it */
        } else if (errno != EINTR) {
            return broken(c, strerror(errno), err);
        }
    }
    return 0;
}

/* Receives at least one byte; ERR_CLOSED at the end of the stream. */
static int receive(struct cli_http *c, struct err *err)
{
    for (;;) {
        ssize_t n;

        bytes_reserve(&c->in, 65536);
        n = c->secure ? http_tls_recv(c->secure, c->in.data + c->in.len, 65536)
                      : recv(c->fd, c->in.data + c->in.len, 65536, 0);
        if (n > 0) {
            c->in.len += (size_t)n;
            return 0;
        }
        if (n == 0)
            return broken(c, "it was closed without an answer", err);
        if (errno == EAGAIN) {
            int code = wait_for(c, POLLIN, err);

            if (code < 0)
                return code;
        } else if (errno != EINTR) {
            return broken(c, strerror(errno), err);
        }
    }
}

static void consume(struct cli_http *c, size_t n)
{
    c->in.len -= n;
    memmove(c->in.data, c->in.data + n, c->in.len);
}

static int not_http(const struct cli_http *c, struct err *err)
{
    return err_set(err, ERR_PROTOCOL, "%s answers, but not as a JobManager's REST API does (rest.port, by default 8081)",
                   c->address);
}

struct head {
    int status;
    int64_t length; /* -1: chunked or to the end of the stream */
    bool chunked, close;
};

static int parse_head(struct cli_http *c, char *text, struct head *h, struct err *err)
{
    char *save, *line = strtok_r(text, "\r\n", &save);

    h->length = -1;
    if (!line || strncmp(line, "HTTP/1.", 7) != 0 || strlen(line) < 12 || line[8] != ' ')
        return not_http(c, err);
    h->close = line[7] == '0';
    h->status = (int)strtol(line + 9, NULL, 10);
    if (h->status < 100 || h->status > 599)
        return not_http(c, err);
    while ((line = strtok_r(NULL, "\r\n", &save)) != NULL) {
        char *value = strchr(line, ':');

        if (!value)
            return not_http(c, err);
        *value++ = 0;
        value += strspn(value, " \t");
        if (strcasecmp(line, "content-length") == 0)
            h->length = strtoll(value, NULL, 10);
        else if (strcasecmp(line, "transfer-encoding") == 0)
            h->chunked = strcasecmp(value, "chunked") == 0;
        else if (strcasecmp(line, "connection") == 0)
            h->close = strcasecmp(value, "close") == 0;
    }
    if (h->length > (int64_t)HTTP_ANSWER_MAX || (h->length < -1))
        return err_set(err, ERR_LIMIT, "the answer of %s is over %u bytes", c->address, HTTP_ANSWER_MAX);
    return 0;
}

static int read_head(struct cli_http *c, struct head *h, struct err *err)
{
    for (;;) {
        uint8_t *end = c->in.len ? memmem(c->in.data, c->in.len, "\r\n\r\n", 4) : NULL;

        if (end) {
            size_t n = (size_t)(end - c->in.data) + 4;
            char *text = mem_alloc(n + 1);
            int code;

            memcpy(text, c->in.data, n);
            memset(h, 0, sizeof(*h));
            code = parse_head(c, text, h, err);
            mem_free(text);
            consume(c, n);
            if (code < 0 || h->status >= 200)
                return code;
            continue; /* 100 Continue */
        }
        if (c->in.len >= 8 && memcmp(c->in.data, "HTTP/1.", 7) != 0)
            return not_http(c, err);
        if (c->in.len > HEAD_MAX)
            return not_http(c, err);
        int code = receive(c, err);
        if (code < 0)
            return c->in.len && code == ERR_CLOSED ? not_http(c, err) : code;
    }
}

static int read_exactly(struct cli_http *c, size_t len, struct bytes *body, struct err *err)
{
    while (len) {
        size_t n = MIN(len, c->in.len);

        if (n == 0) {
            int code = receive(c, err);

            if (code < 0)
                return code;
            continue;
        }
        bytes_add(body, c->in.data, n);
        consume(c, n);
        len -= n;
    }
    return 0;
}

static int read_line(struct cli_http *c, char *line, size_t size, struct err *err)
{
    for (;;) {
        uint8_t *end = c->in.len ? memchr(c->in.data, '\n', c->in.len) : NULL;
        int code;

        if (end) {
            size_t n = (size_t)(end - c->in.data) + 1;

            snprintf(line, size, "%.*s", (int)MIN(n, size - 1), (char *)c->in.data);
            consume(c, n);
            return 0;
        }
        if (c->in.len > HEAD_MAX)
            return not_http(c, err);
        code = receive(c, err);
        if (code < 0)
            return code;
    }
}

static int read_chunks(struct cli_http *c, struct bytes *body, struct err *err)
{
    for (;;) {
        char line[64], *end;
        unsigned long long n;
        int code = read_line(c, line, sizeof(line), err);

        if (code < 0)
            return code;
        n = strtoull(line, &end, 16);
        if (end == line || body->len > HTTP_ANSWER_MAX || n > HTTP_ANSWER_MAX - body->len)
            return not_http(c, err);
        code = read_exactly(c, (size_t)n, body, err);
        if (code == 0)
            code = read_line(c, line, sizeof(line), err); /* after the data, or the end of the trailer */
        if (code < 0 || n == 0)
            return code;
    }
}

static int read_body(struct cli_http *c, const struct head *h, struct bytes *body, struct err *err)
{
    int code = 0;

    if (h->status == 204 || h->status == 304)
        return 0;
    if (h->chunked)
        return read_chunks(c, body, err);
    if (h->length >= 0)
        return read_exactly(c, (size_t)h->length, body, err);
    while (code == 0 && body->len <= HTTP_ANSWER_MAX) {
        bytes_add(body, c->in.data, c->in.len);
        bytes_clear(&c->in);
        code = receive(c, err);
    }
    return code == ERR_CLOSED ? 0 : code;
}

static int call_once(struct cli_http *c, const struct bytes *head, const struct cli_part *parts, size_t count,
                     int *ret_status, struct bytes *ret_body, struct err *err)
{
    struct head h;
    int code = 0, sent;

    bytes_clear(ret_body);
    if (c->fd < 0)
        code = connect_to(c, err);
    if (code < 0)
        return code;
    sent = send_all(c, head->data, head->len, err);
    for (size_t i = 0; sent == 0 && i < count; i++)
        sent = send_all(c, parts[i].data, parts[i].len, err);
    if (sent < 0 && sent != ERR_CLOSED)
        return sent;
    code = read_head(c, &h, err); /* also after a broken send: the reason may be here */
    if (code == 0)
        code = read_body(c, &h, ret_body, err);
    if (code < 0)
        return code;
    *ret_status = h.status;
    if (h.close || sent < 0 || (h.length < 0 && !h.chunked) || h.status == 413)
        disconnect(c);
    return 0;
}

int cli_http_call(struct cli_http *c, const char *method, const char *path, const struct cli_part *parts,
              size_t part_count, int *ret_status, struct bytes *ret_body, struct err *err)
{
    struct bytes head = {0};
    bool kept = c->fd >= 0;
    size_t len = 0;
    int code;

    for (size_t i = 0; i < part_count; i++)
        len += parts[i].len;
    bytes_printf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: rask/%s\r\nAccept: */*\r\n", method, path, c->address,
                 RASK_VERSION);
    if (part_count)
        bytes_printf(&head, "Content-Type: application/octet-stream\r\nContent-Length: %zu\r\n", len);
    bytes_add_str(&head, "\r\n");
    code = call_once(c, &head, parts, part_count, ret_status, ret_body, err);
    if (code == ERR_CLOSED && kept) {
        disconnect(c);
        code = call_once(c, &head, parts, part_count, ret_status, ret_body, err);
    }
    if (code < 0)
        disconnect(c);
    bytes_release(&head);
    return code;
}
