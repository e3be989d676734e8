/*
 * net_private.h - what the real and the simulated network share: buffers and addresses.
 *
 * Included by common/net/ and test/sim/sim_net.c alone.
 */
#ifndef NET_NET_PRIVATE_H
#define NET_NET_PRIVATE_H

#include <sys/socket.h>

#include "common/net/net.h"

/* Memory that received payloads lie in. Counted atomically: a payload may be freed on any thread. */
struct net_buffers;
struct net_buffer {
    int refs;
    size_t cap;
    struct net_buffers *home; /* where it goes back to; NULL: nowhere */
    struct net_buffer *next;  /* there */
    uint8_t data[] __attribute__((aligned(16)));
};
struct net_buffer *net_buffer_new(size_t cap); /* one reference; not zeroed */
struct net_buffer *net_buffer_ref(struct net_buffer *buffer);
void net_buffer_unref(struct net_buffer *buffer); /* NULL is legal */
bool net_buffer_shared(struct net_buffer *buffer);
/*
 * Buffers that are used again when nobody has them any more: up to NET_BUFFERS_KEPT_MAX bytes of them, by size.  Whoever
 * closes it gives up its reference; the last buffer frees it.
 */
#define NET_BUFFERS_KEPT_MAX (8u << 20)
struct net_buffers *net_buffers_new(void);
void net_buffers_close(struct net_buffers *buffers);
struct net_buffer *net_buffers_get(struct net_buffers *buffers, size_t cap); /* as net_buffer_new, cap or a little more */
long net_buffers_live(void); /* held by somebody, in the process: tests want to see it return to where it was */

/* ERR_CORRUPT when the checksum of header and payload is not crc. */
int net_frame_verify(const uint8_t header[NET_HEADER_BYTES], const struct net_frame *frame, uint32_t crc,
                     struct err *err) MUST_CHECK;

#define NET_INPROC "inproc:"
bool net_is_inproc(const char *address);

#define NET_HOST_MAX 254
struct net_hostport {
    char host[NET_HOST_MAX]; /* without the brackets of IPv6 */
    uint16_t port;
};
/* Accepts HOST:PORT and [V6]:PORT. */
int net_address_parse(const char *address, struct net_hostport *ret, struct err *err) MUST_CHECK;

struct net_sockaddr {
    struct sockaddr_storage storage;
    socklen_t len;
};
/* Numeric hosts and localhost need no resolver: true, or false when the name has to be looked up. */
bool net_address_numeric(const struct net_hostport *hp, struct net_sockaddr *ret);
/* Blocks. Returns up to max addresses in the resolver's order. */
int net_address_resolve(const struct net_hostport *hp, struct net_sockaddr *ret, size_t max, size_t *ret_count,
                        struct err *err) MUST_CHECK;
#define NET_ADDRESS_TEXT_MAX 80
void net_address_format(const struct sockaddr *sa, char out[NET_ADDRESS_TEXT_MAX]);

#endif
