/*
 * http.h - a small HTTP/1.1 server on a libevent loop: limits first, then requests, then one answer each.
 *
 * Connections are bounded in number, and every phase of a request has a deadline, so neither many nor slow clients
 * hold it.  A body over the limit is refused from its Content-Length, before it is read; one over HTTP_BODY_IN_MEMORY
 * goes to a file.  Not here: paths, compression, the certificates of TLS.  Thread: that of the loop.
 */
#ifndef JM_REST_HTTP_H
#define JM_REST_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/err.h"

#define HTTP_HEAD_MAX 16384u
#define HTTP_HEADERS_MAX 100
#define HTTP_BODY_IN_MEMORY (1u << 20)

struct event_base;
struct http_server;
struct net_tls;
struct http_conn;

/* Valid until http_respond; strings are NUL-terminated and borrowed. */
struct http_request {
    const char *method;
    const char *target;       /* as sent: raw path and query */
    const char *host;         /* NULL: HTTP/1.0 without it */
    const char *origin;       /* NULL: none */
    const char *content_type; /* NULL: none */
    const uint8_t *body;      /* NULL when empty */
    size_t body_len;
    struct http_conn *conn;
};

struct http_server_options {
    uint32_t connections_max;
    uint64_t body_max;         /* bytes */
    uint32_t head_timeout_ms;  /* from the first byte of a request to the end of its headers */
    uint32_t stall_timeout_ms; /* of a body or an answer: no byte moves */
    uint32_t idle_timeout_ms;  /* between requests */
    const char *spool_dir;     /* for large bodies; copied */
    struct net_tls *tls;       /* borrowed; NULL: in clear */
    const char *headers;       /* of every answer, each with \r\n; copied; NULL: none */
    /* Answers with http_respond, now or later. */
    void (*on_request)(void *arg, struct http_request *request);
    void *arg;
};
struct http_server *rest_http_new(struct event_base *base, const struct http_server_options *options);
/* Takes the listening socket. */
int rest_http_listen(struct http_server *server, int fd, struct err *err) MUST_CHECK;
/* Closes everything; requests without an answer are forgotten. */
void rest_http_free(struct http_server *server);

/* body: its bytes are taken. headers: further lines, each with \r\n, or NULL. The request ends here. */
void rest_http_respond(struct http_request *request, int status, const char *content_type, const char *headers,
                       struct bytes *body);
/* The same with a part of a file; fd is taken. */
void rest_http_respond_file(struct http_request *request, const char *content_type, int fd, uint64_t offset,
                            uint64_t len);
/* {"errors":["..."]} with the status; two is a second entry or NULL. */
void rest_http_error(struct http_request *request, int status, const char *one, const char *two);

#endif
