/*
 * rest_libevent.c - the REST server as a whole: listener, loop, thread, and the way of commands there and back.
 *
 * A command of the JobManager ends on the control loop's thread; its result is put into the mailbox and an eventfd
 * wakes the loop here.  The mailbox outlives the server: a command that ends later finds it closed and is dropped.
 */
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/list.h"
#include "common/net/net.h"
#include "jobmanager/rest/rest_private.h"

#define CONNECTIONS_MAX 256
#define HEAD_TIMEOUT_MS 10000
#define STALL_TIMEOUT_MS 15000

struct mailbox {
    pthread_mutex_t lock;
    struct list done; /* of struct call */
    int wake_fd;      /* eventfd; -1 once closed */
    bool closed, stop;
    uint32_t refs;    /* the server, and each call under way; under lock */
};
struct call {
    struct list in_mailbox;
    struct mailbox *mailbox;
    struct rest_request *request;
    rest_then *then;
    struct jm_command command;
};
struct rest {
    struct rest_options options;
    char *log_dir, *log_file;
    struct event_base *base;
    struct http_server *http;
    struct event *wake;
    struct mailbox *mailbox;
    pthread_t thread;
    char address[300];
    char *upload_dir;
    bool upload_dir_own; /* made here, removed at the end */
};

/* ---- commands ---- */
static void mailbox_unref_locked(struct mailbox *m)
{
    bool last = --m->refs == 0;

    pthread_mutex_unlock(&m->lock);
    if (last) {
        pthread_mutex_destroy(&m->lock);
        mem_free(m);
    }
}

static void call_free(struct call *call)
{
    bytes_release(&call->command.result);
    jm_job_snapshot_unref(call->command.job);
    mem_free(call);
}

/* Of a call whose server is gone: nobody waits for the answer. */
static void call_drop(struct call *call)
{
    rest_abandon(call->request);
    call_free(call);
}

static void wake(struct mailbox *m)
{
    uint64_t one = 1;

    (void)!write(m->wake_fd, &one, sizeof(one));
}

/* Thread of the control loop. */
static void command_done(struct jm_command *command)
{
    struct call *call = command->arg;
    struct mailbox *m = call->mailbox;

    pthread_mutex_lock(&m->lock);
    if (m->closed) {
        call_drop(call);
    } else {
        list_push_back(&m->done, &call->in_mailbox);
        wake(m);
    }
    mailbox_unref_locked(m);
}

void rest_execute(struct rest_request *r, const struct jm_command *command, rest_then *then)
{
    struct call *call = MEM_NEW(struct call);

    call->mailbox = r->rest->mailbox;
    call->request = r;
    call->then = then;
    call->command = *command;
    call->command.done = command_done;
    call->command.arg = call;
    list_init(&call->in_mailbox);
    pthread_mutex_lock(&call->mailbox->lock);
    call->mailbox->refs++;
    pthread_mutex_unlock(&call->mailbox->lock);
    jm_execute(r->rest->options.jm, &call->command);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct rest *rest = arg;
    struct mailbox *m = rest->mailbox;
    uint64_t n;

    (void)what;
    (void)!read(fd, &n, sizeof(n));
    for (;;) {
        struct list *node;
        struct call *call;
        bool stop;

        pthread_mutex_lock(&m->lock);
        node = list_pop_front(&m->done);
        stop = m->stop;
        pthread_mutex_unlock(&m->lock);
        if (stop)
            event_base_loopbreak(rest->base);
        if (!node)
            break;
        call = LIST_ENTRY(node, struct call, in_mailbox);
        call->then(call->request, &call->command);
        call_free(call);
    }
}

/* ---- who may ask ---- */
const struct conf *rest_conf(const struct rest *rest)
{
    return rest->options.conf;
}

struct jm *rest_jm(const struct rest *rest)
{
    return rest->options.jm;
}

const char *rest_log_dir(const struct rest *rest)
{
    return rest->log_dir;
}

const char *rest_log_file(const struct rest *rest)
{
    return rest->log_file;
}

/* The host of "HOST[:PORT]", without brackets. false: it has no such form. */
static bool host_of(const char *text, char *ret, size_t size)
{
    size_t n;

    if (text[0] == '[') {
        n = strcspn(++text, "]");
        if (text[n] != ']' || (text[n + 1] && text[n + 1] != ':'))
            return false;
    } else {
        n = strcspn(text, ":");
    }
    if (n == 0 || n >= size)
        return false;
    memcpy(ret, text, n);
    ret[n] = 0;
    return true;
}

/* A name that an attacker's own DNS could point here is not allowed; an address or a name of ours is. */
static bool host_allowed(const struct rest *rest, const char *text)
{
    unsigned char address[sizeof(struct in6_addr)];
    const char *own = conf_string(rest->options.conf, OPT_REST_ADDRESS);
    char host[256];

    if (!host_of(text, host, sizeof(host)))
        return false;
    return evutil_inet_pton(AF_INET, host, address) == 1 || evutil_inet_pton(AF_INET6, host, address) == 1 ||
           strcasecmp(host, "localhost") == 0 || (own && strcasecmp(host, own) == 0);
}

bool rest_peer_allowed(const struct rest *rest, const struct http_request *http, const char **ret_why)
{
    const char *allowed = conf_string(rest->options.conf, OPT_WEB_ACCESS_CONTROL_ALLOW_ORIGIN);
    const char *scheme;

    *ret_why = "The Host header names another host: use the address of this server, localhost, or the configured rest.address.";
    if (http->host && !host_allowed(rest, http->host))
        return false;
    *ret_why = "The request comes from a page of another origin, which may not use this API "
               "(web.access-control-allow-origin would name it).";
    if (!http->origin || (allowed && strcmp(allowed, http->origin) == 0))
        return true;
    scheme = rest->options.tls ? "https://" : "http://";
    return http->host && strncmp(http->origin, scheme, strlen(scheme)) == 0 &&
           strcasecmp(http->origin + strlen(scheme), http->host) == 0;
}

/* ---- the folder of uploads ---- */
const char *rest_upload_dir(struct rest *rest, struct err *err)
{
    const char *dir = conf_string(rest->options.conf, OPT_WEB_UPLOAD_DIR), *tmp;

    if (!rest->upload_dir && dir) {
        if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
            err_errno(err, errno, "cannot make the folder for uploads %s (web.upload.dir)", dir);
            return NULL;
        }
        rest->upload_dir = mem_strdup(dir);
    } else if (!rest->upload_dir) {
        tmp = conf_string(rest->options.conf, OPT_IO_TMP_DIRS);
        rest->upload_dir = mem_printf("%.*s/rask-web-XXXXXX", (int)strcspn(tmp, ",;:"), tmp);
        if (!mkdtemp(rest->upload_dir)) {
            err_errno(err, errno, "cannot make the folder for uploads %s (io.tmp.dirs)", rest->upload_dir);
            mem_free(rest->upload_dir);
            rest->upload_dir = NULL;
            return NULL;
        }
        rest->upload_dir_own = true;
    }
    return rest->upload_dir;
}

static void remove_upload_dir(struct rest *rest)
{
    DIR *dir = rest->upload_dir_own ? opendir(rest->upload_dir) : NULL;
    struct dirent *e;

    while (dir && (e = readdir(dir)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(dir), e->d_name, 0);
    if (dir) {
        closedir(dir);
        rmdir(rest->upload_dir);
    }
    mem_free(rest->upload_dir);
}

/* ---- listening ---- */
static void format_address(int fd, char *out, size_t size)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof(a);
    char host[128] = "", port[16] = "";

    if (getsockname(fd, (struct sockaddr *)&a, &len) == 0)
        getnameinfo((struct sockaddr *)&a, len, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(out, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

/* Returns a bound and listening socket, or -errno. */
static int listen_on(const struct addrinfo *a, uint16_t port)
{
    struct sockaddr_storage address;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1, error;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    memcpy(&address, a->ai_addr, a->ai_addrlen);
    if (a->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)&address)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)&address)->sin_port = htons(port);
    if (bind(fd, (struct sockaddr *)&address, a->ai_addrlen) == 0 && listen(fd, 128) == 0)
        return fd;
    error = errno;
    close(fd);
    return -error;
}

static bool addrinfo_is_loopback(const struct addrinfo *a)
{
    if (a->ai_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)a->ai_addr)->sin_addr.s_addr) >> 24 == 127;
    return a->ai_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a->ai_addr)->sin6_addr);
}

/* The first free port of the ranges. */
static int listen_ports(const struct addrinfo *a, const char *host, const struct conf_port_range *ranges, size_t count,
                        struct err *err)
{
    uint32_t tried = 0;
    uint16_t port = 0;
    int fd = -EADDRINUSE;
    char holder[160] = "";

    for (size_t i = 0; i < count && fd == -EADDRINUSE; i++)
        for (uint32_t p = ranges[i].first; p <= ranges[i].last && fd == -EADDRINUSE; p++, tried++) {
            port = (uint16_t)p;
            fd = listen_on(a, port);
        }
    if (fd >= 0)
        return fd;
    if (fd == -EADDRINUSE && tried == 1) {
        net_port_holder(port, holder, sizeof(holder));
        return err_set(err, ERR_EXISTS, "REST cannot listen on %s:%u: the port is taken%s. rest.port or rest.bind-port names another",
                       host, port, holder);
    }
    return err_errno(err, -fd, "REST cannot listen on %s, port %u%s", host, port,
                     tried > 1 ? " (the last of rest.bind-port that was tried)" : "");
}

static int open_listener(const struct conf *conf, bool with_tls, struct err *err)
{
    struct conf_port_range ranges[CONF_PORT_RANGES_MAX];
    size_t count = conf_ports(conf, OPT_REST_BIND_PORT, ranges);
    const char *host = conf_string(conf, OPT_REST_BIND_ADDRESS);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    int fd, code = getaddrinfo(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, NULL, &hints, &list);

    if (code != 0)
        return err_set(err, ERR_NOT_FOUND, "rest.bind-address: %s is no address of this host (%s)", host, gai_strerror(code));
    if (count == 0) {
        ranges[0].first = ranges[0].last = (uint16_t)conf_int(conf, OPT_REST_PORT);
        count = 1;
    }
    if (!addrinfo_is_loopback(list) && !conf_bool(conf, OPT_SECURITY_ALLOW_PLAINTEXT) &&
        !(with_tls && conf_bool(conf, OPT_SECURITY_SSL_REST_AUTHENTICATION_ENABLED)))
        fd = err_set(err, ERR_PERMISSION,
                     "rest.bind-address: %s can be reached from other hosts, and whoever reaches the REST API can run code. "
                     "Ask clients for a certificate by security.ssl.rest.enabled and .authentication-enabled, set "
                     "security.allow-plaintext: true to listen there all the same, or use localhost", host);
    else
        fd = listen_ports(list, host, ranges, count, err);
    freeaddrinfo(list);
    return fd;
}

/* ---- start and stop ---- */
static void on_request(void *arg, struct http_request *request)
{
    rest_route(arg, request);
}

static void *run(void *arg)
{
    struct rest *rest = arg;

    event_base_loop(rest->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

static struct mailbox *mailbox_new(void)
{
    struct mailbox *m = MEM_NEW(struct mailbox);

    pthread_mutex_init(&m->lock, NULL);
    list_init(&m->done);
    m->refs = 1;
    m->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(m->wake_fd >= 0);
    return m;
}

static void make_server(struct rest *rest)
{
    const struct conf *conf = rest->options.conf;
    const char *tmp = conf_string(conf, OPT_IO_TMP_DIRS), *origin = conf_string(conf, OPT_WEB_ACCESS_CONTROL_ALLOW_ORIGIN);
    struct http_server_options o = {
        .connections_max = CONNECTIONS_MAX,
        .body_max = (uint64_t)conf_int(conf, OPT_REST_SERVER_MAX_CONTENT_LENGTH),
        .head_timeout_ms = HEAD_TIMEOUT_MS,
        .stall_timeout_ms = STALL_TIMEOUT_MS,
        .idle_timeout_ms = (uint32_t)MIN(conf_duration_ms(conf, OPT_REST_IDLENESS_TIMEOUT), UINT32_MAX),
        .tls = rest->options.tls,
        .on_request = on_request,
        .arg = rest,
    };
    char *spool = mem_printf("%.*s", (int)strcspn(tmp, ",;:"), tmp);
    char *headers = origin && !strpbrk(origin, "\r\n") ? mem_printf("access-control-allow-origin: %s\r\n", origin) : NULL;

    o.spool_dir = spool;
    o.headers = headers;
    rest->http = rest_http_new(rest->base, &o);
    mem_free(spool);
    mem_free(headers);
}

/* Everything but the thread, which has ended or has not begun. */
static void rest_free(struct rest *rest)
{
    struct mailbox *m = rest->mailbox;

    rest_http_free(rest->http);
    if (rest->wake)
        event_free(rest->wake);
    event_base_free(rest->base);
    pthread_mutex_lock(&m->lock);
    m->closed = true;
    close(m->wake_fd);
    while (!list_empty(&m->done))
        call_drop(LIST_ENTRY(list_pop_front(&m->done), struct call, in_mailbox));
    mailbox_unref_locked(m);
    remove_upload_dir(rest);
    mem_free(rest->log_dir);
    mem_free(rest->log_file);
    mem_free(rest);
}

int rest_start(const struct rest_options *options, struct rest **ret, struct err *err)
{
    struct rest *rest;
    sigset_t all, before;
    int code, fd = open_listener(options->conf, options->tls != NULL, err);

    if (fd < 0)
        return fd;
    rest = MEM_NEW(struct rest);
    rest->options = *options;
    rest->log_dir = options->log_dir ? mem_strdup(options->log_dir) : NULL;
    rest->log_file = options->log_file ? mem_strdup(options->log_file) : NULL;
    rest->base = event_base_new();
    rest->mailbox = mailbox_new();
    CHECK(rest->base);
    rest->wake = event_new(rest->base, rest->mailbox->wake_fd, EV_READ | EV_PERSIST, on_wake, rest);
    CHECK(rest->wake);
    event_add(rest->wake, NULL);
    format_address(fd, rest->address, sizeof(rest->address));
    make_server(rest);
    code = rest_http_listen(rest->http, fd, err);
    if (code == 0) {
        /* Signals are the main thread's. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        code = pthread_create(&rest->thread, NULL, run, rest);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        code = code ? err_errno(err, code, "cannot start the thread of REST") : 0;
    }
    if (code < 0) {
        rest_free(rest);
        return code;
    }
    *ret = rest;
    return 0;
}

const char *rest_address(const struct rest *rest)
{
    return rest->address;
}

void rest_stop(struct rest *rest)
{
    if (!rest)
        return;
    pthread_mutex_lock(&rest->mailbox->lock);
    rest->mailbox->stop = true;
    wake(rest->mailbox);
    pthread_mutex_unlock(&rest->mailbox->lock);
    pthread_join(rest->thread, NULL);
    rest_free(rest);
}
