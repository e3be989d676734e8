/* client_private.h - what the files of client/ share beside client.h: files mapped into memory. */
#ifndef CLIENT_PRIVATE_H
#define CLIENT_PRIVATE_H

#include <sys/types.h>

#include "client/client.h"

#define CLI_FILE_MAX (1u << 30)

/* A whole regular file, read-only. *ret_data is NULL for an empty one. Of at most CLI_FILE_MAX bytes; or of any size. */
int cli_file_map(const char *path, const uint8_t **ret_data, size_t *ret_len, struct err *err) MUST_CHECK;
int cli_file_map_large(const char *path, const uint8_t **ret_data, size_t *ret_len, struct err *err) MUST_CHECK;
void cli_file_unmap(const uint8_t *data, size_t len);

/* ---- http_tls_openssl.c: an encrypted socket ---- */
struct net_tls;
struct http_tls;
/* The handshake, over a connected socket that does not block; it stays the caller's. tls is borrowed. address: for messages. */
int http_tls_start(int fd, struct net_tls *tls, const char *host, bool verify_host, const char *address,
                   struct http_tls **ret, struct err *err) MUST_CHECK;
/* As send and recv; errno EPROTO when it broke. */
ssize_t http_tls_send(struct http_tls *t, const void *data, size_t len);
ssize_t http_tls_recv(struct http_tls *t, void *to, size_t size);
void http_tls_free(struct http_tls *t);

#endif
