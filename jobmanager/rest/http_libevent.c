/*
 * http_libevent.c - the HTTP server of http.h: connections, phases, deadlines.  Parsing of heads: http_parse.c.
 *
 * A connection is in one phase at a time.  While a request waits for its answer nothing is read from it, so
 * pipelined requests queue in the client's socket.  After a refusal the rest of the input is read and dropped for a
 * while: closing at once would make the kernel throw the answer away.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/json.h"
#include "common/base/list.h"
#include "common/net/tls.h"
#include "jobmanager/rest/http.h"
#include "jobmanager/rest/http_parse.h"

#define LINGER_MS 2000
#define LINGER_BYTES (4u << 20)
#define OUTPUT_HIGH_WATER (1u << 20)
#define SLOWEST_BODY_BYTES_PER_S 16384u
#define ACCEPT_PAUSE_MS 100

enum phase { PHASE_IDLE, PHASE_HEAD, PHASE_BODY, PHASE_CHUNK_SIZE, PHASE_CHUNK, PHASE_CHUNK_END, PHASE_TRAILER,
             PHASE_ANSWER, PHASE_FLUSH, PHASE_LINGER };

struct http_conn {
    struct list in_server;
    struct http_server *server;
    struct bufferevent *bev;
    struct event *deadline;
    enum phase phase;
    bool keep_alive, is_head, processing;
    uint64_t idle_since; /* a counter of the server: smaller is longer */
    struct http_head head;
    struct http_request request;
    uint64_t body_left;    /* of the body or of the chunk */
    uint64_t body_len;
    struct bytes memory;   /* body up to HTTP_BODY_IN_MEMORY */
    int spool;             /* unlinked file with the whole body, or -1 */
    void *mapped;
    uint64_t lingered;
};

struct http_server {
    struct event_base *base;
    struct http_server_options options;
    char *spool_dir, *headers;
    struct evconnlistener *listener;
    struct event *resume;
    struct list conns;
    uint32_t count;
    uint64_t clock;
};

static void conn_process(struct http_conn *c);

/* ---- life of a connection ---- */
static void request_clear(struct http_conn *c)
{
    if (c->mapped)
        munmap(c->mapped, (size_t)c->body_len);
    if (c->spool >= 0)
        close(c->spool);
    if (c->memory.cap > 65536)
        bytes_release(&c->memory);
    bytes_clear(&c->memory);
    rest_http_head_release(&c->head);
    memset(&c->request, 0, sizeof(c->request));
    c->mapped = NULL;
    c->spool = -1;
    c->body_left = c->body_len = 0;
}

static void conn_free(struct http_conn *c)
{
    list_remove(&c->in_server);
    c->server->count--;
    request_clear(c);
    bytes_release(&c->memory);
    event_free(c->deadline);
    bufferevent_free(c->bev);
    mem_free(c);
}

static void set_deadline(struct http_conn *c, uint64_t ms)
{
    struct timeval t = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

    if (ms == 0)
        event_del(c->deadline);
    else
        event_add(c->deadline, &t);
}

static void enter(struct http_conn *c, enum phase phase)
{
    const struct http_server_options *o = &c->server->options;

    c->phase = phase;
    switch (phase) {
    case PHASE_IDLE:
        c->idle_since = ++c->server->clock;
        set_deadline(c, o->idle_timeout_ms);
        break;
    case PHASE_HEAD: set_deadline(c, o->head_timeout_ms); break;
    case PHASE_BODY:
    case PHASE_CHUNK_SIZE: /* the whole body: as long as the slowest accepted client takes */
        set_deadline(c, o->stall_timeout_ms +
                            (c->head.chunked ? o->body_max : c->body_left) / SLOWEST_BODY_BYTES_PER_S * 1000);
        break;
    case PHASE_ANSWER: set_deadline(c, 0); break;
    case PHASE_LINGER: set_deadline(c, LINGER_MS); break;
    default: break;
    }
}

static void linger(struct http_conn *c)
{
    int fd = bufferevent_getfd(c->bev);

    enter(c, PHASE_LINGER);
    if (c->server->options.tls)
        tls_session_end(bufferevent_openssl_get_ssl(c->bev));
    shutdown(fd, SHUT_WR);
    c->lingered = 0;
    bufferevent_enable(c->bev, EV_READ);
}

/* ---- answers ---- */
static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } table[] = {{200, "OK"}, {202, "Accepted"}, {308, "Permanent Redirect"}, {400, "Bad Request"}, {403, "Forbidden"},
                 {404, "Not Found"}, {408, "Request Timeout"}, {409, "Conflict"}, {413, "Request Entity Too Large"},
                 {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"}, {501, "Not Implemented"},
                 {503, "Service Unavailable"}, {505, "HTTP Version Not Supported"}, {507, "Insufficient Storage"}};

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].status == status)
            return table[i].reason;
    return "Status";
}

static void add_head(struct http_conn *c, int status, const char *type, const char *headers, uint64_t len)
{
    evbuffer_add_printf(bufferevent_get_output(c->bev),
                        "HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %llu\r\nconnection: %s\r\n"
                        "cache-control: no-store\r\nx-content-type-options: nosniff\r\n%s%s\r\n",
                        status, reason_of(status), type, (unsigned long long)len, c->keep_alive ? "keep-alive" : "close",
                        c->server->headers, headers ? headers : "");
}

static void release_bytes(const void *data, size_t len, void *arg)
{
    (void)data;
    (void)len;
    mem_free(arg);
}

/* The answer is in the output: on to the next request, or to the end. */
static void answered(struct http_conn *c)
{
    request_clear(c);
    bufferevent_enable(c->bev, EV_WRITE);
    if (c->keep_alive) {
        enter(c, PHASE_IDLE);
        bufferevent_enable(c->bev, EV_READ);
        conn_process(c);
    } else {
        enter(c, PHASE_FLUSH);
    }
}

void rest_http_respond(struct http_request *r, int status, const char *type, const char *headers, struct bytes *body)
{
    struct http_conn *c = r->conn;

    CHECK(c->phase == PHASE_ANSWER);
    add_head(c, status, type, headers, c->is_head ? 0 : body->len);
    if (body->len && !c->is_head) {
        evbuffer_add_reference(bufferevent_get_output(c->bev), body->data, body->len, release_bytes, body->data);
        memset(body, 0, sizeof(*body));
    } else {
        bytes_release(body);
    }
    answered(c);
}

void rest_http_respond_file(struct http_request *r, const char *type, int fd, uint64_t offset, uint64_t len)
{
    struct http_conn *c = r->conn;

    CHECK(c->phase == PHASE_ANSWER);
    add_head(c, 200, type, NULL, len);
    if (len == 0 || evbuffer_add_file(bufferevent_get_output(c->bev), fd, (ev_off_t)offset, (ev_off_t)len) < 0) {
        c->keep_alive = c->keep_alive && len == 0;
        close(fd);
    }
    answered(c);
}

void rest_http_error(struct http_request *r, int status, const char *one, const char *two)
{
    struct bytes body = {0};
    struct json_writer w;

    jw_init(&w, &body);
    jw_object(&w, NULL);
    jw_array(&w, "errors");
    jw_string(&w, NULL, one);
    if (two)
        jw_string(&w, NULL, two);
    jw_array_end(&w);
    jw_object_end(&w);
    rest_http_respond(r, status, "application/json; charset=UTF-8", NULL, &body);
}

/* A request that is not worth routing: a sentence, and the connection ends. */
static void refuse(struct http_conn *c, int status, const char *text)
{
    bufferevent_disable(c->bev, EV_READ);
    c->keep_alive = false;
    c->request.conn = c;
    enter(c, PHASE_ANSWER);
    rest_http_error(&c->request, status, text, NULL);
}

/* ---- bodies ---- */
static int spool_open(struct http_conn *c)
{
    char *path;

    c->spool = open(c->server->spool_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (c->spool < 0) {
        path = mem_printf("%s/body-XXXXXX", c->server->spool_dir);
        c->spool = mkostemp(path, O_CLOEXEC);
        if (c->spool >= 0)
            unlink(path);
        mem_free(path);
    }
    return c->spool;
}

static bool spool_write(struct http_conn *c, const uint8_t *data, size_t len)
{
    while (len) {
        ssize_t n = write(c->spool, data, len);

        if (n < 0 && errno != EINTR)
            return false;
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Moves up to `want` bytes of input to the body. false: refused. */
static bool body_take(struct http_conn *c, size_t want)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    uint8_t block[16384];

    while (want) {
        int n = evbuffer_remove(in, block, MIN(want, sizeof(block)));
        bool ok = true;

        if (n <= 0)
            return true;
        if (c->spool < 0 && c->memory.len + (size_t)n > HTTP_BODY_IN_MEMORY)
            ok = spool_open(c) >= 0 && spool_write(c, c->memory.data, c->memory.len);
        if (c->spool < 0)
            bytes_add(&c->memory, block, (size_t)n);
        else
            ok = ok && spool_write(c, block, (size_t)n);
        if (!ok) {
            refuse(c, 507, "the body cannot be kept on disk while it arrives: the folder for uploads is full or missing");
            return false;
        }
        c->body_len += (uint64_t)n;
        c->body_left -= (uint64_t)n;
        want -= (size_t)n;
    }
    return true;
}

static void deliver(struct http_conn *c)
{
    struct http_request *r = &c->request;

    bufferevent_disable(c->bev, EV_READ);
    if (c->spool >= 0) {
        c->mapped = mmap(NULL, (size_t)c->body_len, PROT_READ, MAP_PRIVATE, c->spool, 0);
        if (c->mapped == MAP_FAILED) {
            c->mapped = NULL;
            refuse(c, 507, "the body cannot be read back from disk");
            return;
        }
    }
    *r = (struct http_request){c->head.method, c->head.target, c->head.host, c->head.origin, c->head.content_type,
                               c->spool >= 0 ? c->mapped : c->memory.len ? c->memory.data : NULL,
                               (size_t)c->body_len, c};
    enter(c, PHASE_ANSWER);
    c->server->options.on_request(c->server->options.arg, r);
}

/* ---- the phases; each returns false when it needs more input or the connection has moved on ---- */
static bool take_head(struct http_conn *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    size_t len = evbuffer_get_length(in), end = 0;
    const char *why = NULL;
    uint8_t *data;
    int status;

    if (len == 0)
        return false;
    data = evbuffer_pullup(in, (ev_ssize_t)MIN(len, HTTP_HEAD_MAX));
    if (c->phase == PHASE_IDLE) {
        if (len >= 2 && data[0] == '\r' && data[1] == '\n') { /* an empty line between requests is legal */
            evbuffer_drain(in, 2);
            return true;
        }
        enter(c, PHASE_HEAD);
    }
    status = rest_http_head_parse(&c->head, data, MIN(len, HTTP_HEAD_MAX), &end, &why);
    if (status == 0 && end == 0) {
        if (len < HTTP_HEAD_MAX)
            return false;
        status = 431;
        why = "the head of the request is over 16384 bytes";
    }
    if (status) {
        refuse(c, status, why);
        return false;
    }
    evbuffer_drain(in, end);
    c->keep_alive = c->head.keep_alive;
    c->is_head = strcmp(c->head.method, "HEAD") == 0;
    c->body_left = c->head.content_length;
    if (c->body_left > c->server->options.body_max) {
        char text[128];

        snprintf(text, sizeof(text), "a body of %llu bytes is too large: %llu are taken", (unsigned long long)c->body_left,
                 (unsigned long long)c->server->options.body_max);
        refuse(c, 413, text);
        return false;
    }
    if (c->head.expect_continue && (c->body_left || c->head.chunked))
        evbuffer_add_printf(bufferevent_get_output(c->bev), "HTTP/1.1 100 Continue\r\n\r\n");
    if (!c->head.chunked && c->body_left == 0)
        deliver(c);
    else
        enter(c, c->head.chunked ? PHASE_CHUNK_SIZE : PHASE_BODY);
    return true;
}

static bool take_body(struct http_conn *c)
{
    if (!body_take(c, (size_t)c->body_left) || c->body_left)
        return false;
    if (c->phase == PHASE_BODY)
        deliver(c);
    else
        c->phase = PHASE_CHUNK_END;
    return true;
}

/* A line of the chunked form, without its end; NULL: not there yet, or refused. The caller frees it. */
static char *take_line(struct http_conn *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    size_t len;
    char *line = evbuffer_readln(in, &len, EVBUFFER_EOL_CRLF_STRICT);

    if (!line && evbuffer_get_length(in) > 1024)
        refuse(c, 400, "a chunk of the body begins with an endless line");
    return line;
}

static bool take_chunk_line(struct http_conn *c)
{
    char *line = take_line(c), *end;
    bool ok;

    if (!line)
        return false;
    if (c->phase == PHASE_CHUNK_END || c->phase == PHASE_TRAILER) {
        bool empty = line[0] == 0, trailer = c->phase == PHASE_TRAILER;

        free(line); /* evbuffer_readln allocates with libc's */
        if (trailer && empty)
            deliver(c);
        else if (!trailer && empty)
            c->phase = PHASE_CHUNK_SIZE;
        else if (!trailer)
            refuse(c, 400, "a chunk of the body is longer than it says");
        return true;
    }
    errno = 0;
    c->body_left = strtoull(line, &end, 16);
    ok = !errno && end != line && end - line <= 16 && line[0] != '-' && line[0] != '+' && (*end == 0 || *end == ';' || *end == ' ');
    free(line);
    if (!ok)
        refuse(c, 400, "a chunk of the body has no length");
    else if (c->body_left > c->server->options.body_max - MIN(c->body_len, c->server->options.body_max))
        refuse(c, 413, "the body is too large");
    else
        c->phase = c->body_left ? PHASE_CHUNK : PHASE_TRAILER;
    return true;
}

static bool step(struct http_conn *c)
{
    switch (c->phase) {
    case PHASE_IDLE:
    case PHASE_HEAD:
        if (evbuffer_get_length(bufferevent_get_output(c->bev)) > OUTPUT_HIGH_WATER) {
            bufferevent_disable(c->bev, EV_READ); /* goes on when the output is drained */
            return false;
        }
        return take_head(c);
    case PHASE_BODY:
    case PHASE_CHUNK: return take_body(c);
    case PHASE_CHUNK_SIZE:
    case PHASE_CHUNK_END:
    case PHASE_TRAILER: return take_chunk_line(c);
    default: return false;
    }
}

static void conn_process(struct http_conn *c)
{
    if (c->processing)
        return; /* an answer inside on_request: the loop below goes on */
    c->processing = true;
    while (step(c))
        ;
    c->processing = false;
}

/* ---- callbacks of libevent ---- */
static void on_read(struct bufferevent *bev, void *arg)
{
    struct http_conn *c = arg;

    if (c->phase == PHASE_LINGER) {
        struct evbuffer *in = bufferevent_get_input(bev);
        size_t n = evbuffer_get_length(in);

        c->lingered += n;
        evbuffer_drain(in, n);
        if (c->lingered > LINGER_BYTES)
            conn_free(c);
        return;
    }
    conn_process(c);
}

static void on_written(struct bufferevent *bev, void *arg)
{
    struct http_conn *c = arg;

    if (c->phase == PHASE_FLUSH) {
        linger(c);
    } else if (c->phase == PHASE_IDLE || c->phase == PHASE_HEAD) {
        bufferevent_enable(bev, EV_READ);
        conn_process(c);
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct http_conn *c = arg;

    if (what & BEV_EVENT_CONNECTED) { /* the handshake of TLS is over */
        enter(c, PHASE_IDLE);
    } else if (c->phase == PHASE_ANSWER) { /* the request is in other hands: end after its answer */
        c->keep_alive = false;
    } else if ((what & BEV_EVENT_EOF) && c->phase == PHASE_IDLE && evbuffer_get_length(bufferevent_get_output(bev))) {
        c->keep_alive = false; /* it sends no more, but still reads */
        bufferevent_disable(bev, EV_READ);
        enter(c, PHASE_FLUSH);
    } else {
        conn_free(c);
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct http_conn *c = arg;

    (void)fd;
    (void)what;
    if (c->phase >= PHASE_HEAD && c->phase <= PHASE_TRAILER)
        refuse(c, 408, "the request takes too long to arrive");
    else if (c->phase != PHASE_ANSWER)
        conn_free(c);
}

/*
 * Over the limit one that is over makes room, else the one that was idle for longest, else the one whose head
 * takes longest to arrive: clients that send a byte now and then cannot lock out those that send a request at once.
 * false: all are busy with a request.
 */
static bool make_room(struct http_server *s)
{
    struct http_conn *idle = NULL, *slow = NULL, *victim;

    LIST_FOREACH(at, &s->conns) {
        struct http_conn *c = LIST_ENTRY(at, struct http_conn, in_server);

        if (c->phase == PHASE_LINGER) {
            conn_free(c);
            return true;
        }
        if (c->phase == PHASE_IDLE && (!idle || c->idle_since < idle->idle_since))
            idle = c;
        if (c->phase == PHASE_HEAD && (!slow || c->idle_since < slow->idle_since))
            slow = c;
    }
    victim = idle ? idle : slow;
    if (victim)
        conn_free(victim);
    return victim != NULL;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int len, void *arg)
{
    struct http_server *s = arg;
    struct http_conn *c;
    struct timeval stall = {s->options.stall_timeout_ms / 1000, (suseconds_t)(s->options.stall_timeout_ms % 1000) * 1000};

    (void)listener;
    (void)address;
    (void)len;
    if (s->count >= s->options.connections_max && !make_room(s)) {
        static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

        if (!s->options.tls)
            (void)!send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        close(fd);
        return;
    }
    c = MEM_NEW(struct http_conn);
    c->server = s;
    c->spool = -1;
    c->bev = s->options.tls ? bufferevent_openssl_socket_new(s->base, fd, tls_session_new(s->options.tls),
                                                             BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE)
                            : bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
    c->deadline = event_new(s->base, -1, 0, on_deadline, c);
    CHECK(c->bev && c->deadline);
    list_push_back(&s->conns, &c->in_server);
    s->count++;
    bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
    bufferevent_set_timeouts(c->bev, NULL, &stall);
    bufferevent_setwatermark(c->bev, EV_READ, 0, 65536);
    enter(c, PHASE_IDLE);
    if (s->options.tls)
        set_deadline(c, s->options.head_timeout_ms); /* of the handshake */
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *s = arg;

    (void)fd;
    (void)what;
    evconnlistener_enable(s->listener);
}

/* No descriptor left, most likely: take a breath instead of spinning. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct http_server *s = arg;
    struct timeval t = {0, ACCEPT_PAUSE_MS * 1000};

    evconnlistener_disable(listener);
    event_add(s->resume, &t);
}

struct http_server *rest_http_new(struct event_base *base, const struct http_server_options *options)
{
    struct http_server *s = MEM_NEW(struct http_server);

    s->base = base;
    s->options = *options;
    s->spool_dir = mem_strdup(options->spool_dir);
    s->headers = mem_strdup(options->headers);
    list_init(&s->conns);
    s->resume = event_new(base, -1, 0, on_resume, s);
    CHECK(s->resume);
    return s;
}

int rest_http_listen(struct http_server *s, int fd, struct err *err)
{
    int one = 1;

    /* Accepted sockets inherit it. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    s->listener = evconnlistener_new(s->base, on_accept, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 128, fd);
    if (!s->listener)
        return err_errno(err, errno, "cannot accept connections");
    evconnlistener_set_error_cb(s->listener, on_accept_error);
    return 0;
}

void rest_http_free(struct http_server *s)
{
    if (!s)
        return;
    if (s->listener)
        evconnlistener_free(s->listener);
    LIST_FOREACH_SAFE(at, &s->conns)
        conn_free(LIST_ENTRY(at, struct http_conn, in_server));
    event_free(s->resume);
    mem_free(s->spool_dir);
    mem_free(s->headers);
    mem_free(s);
}

