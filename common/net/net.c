/*
 * net.c - frame headers and checksums, for the real and the simulated network.
 * Not the connections: those are net_libevent.c and test/sim/sim_net.c.  Thread: any.
 */
#include "common/net/net.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/net/net_private.h"

enum {
    AT_MAGIC = 0,
    AT_VERSION = 2,
    AT_KIND = 3,
    AT_FLAGS = 4,
    AT_RESERVED = 6,
    AT_LENGTH = 8,
    AT_CRC = 12,
    AT_EPOCH = 16,
    AT_STREAM = 24,
    AT_CREDIT = 28
};

#define TAKE_COPY_MAX 16384 /* smaller payloads are copied rather than pin a whole receive buffer */

static void put_le(uint8_t *out, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_le(const uint8_t *in, size_t bytes)
{
    uint64_t v = 0;

    for (size_t i = 0; i < bytes; i++)
        v |= (uint64_t)in[i] << (8 * i);
    return v;
}

void net_header_encode(const struct net_frame *frame, uint32_t crc, uint8_t out[NET_HEADER_BYTES])
{
    put_le(out + AT_MAGIC, NET_MAGIC, 2);
    out[AT_VERSION] = NET_VERSION;
    out[AT_KIND] = frame->kind;
    put_le(out + AT_FLAGS, frame->flags, 2);
    put_le(out + AT_RESERVED, 0, 2);
    put_le(out + AT_LENGTH, frame->length, 4);
    put_le(out + AT_CRC, crc, 4);
    put_le(out + AT_EPOCH, frame->epoch, 8);
    put_le(out + AT_STREAM, frame->stream, 4);
    put_le(out + AT_CREDIT, frame->credit, 4);
}

/* What a peer that does not speak our protocol probably speaks. */
static const char *guess_protocol(const uint8_t *in)
{
    static const char *const http[] = {"GET ", "POST", "PUT ", "HEAD",
                                       "DELE", "OPTI", "PATC", "HTTP"};

    for (size_t i = 0; i < ARRAY_LEN(http); i++)
        if (memcmp(in, http[i], 4) == 0)
            return " (it looks like HTTP: the REST address is another one)";
    if (in[0] == 0x16 && in[1] == 0x03)
        return " (it looks like TLS, which is not configured here)";
    return "";
}

int net_header_decode(const uint8_t in[NET_HEADER_BYTES], uint32_t payload_max,
                      struct net_frame *ret, uint32_t *ret_crc, struct err *err)
{
    struct net_frame f = {0};

    if (get_le(in + AT_MAGIC, 2) != NET_MAGIC)
        return err_set(err, ERR_PROTOCOL,
                       "not a frame: it starts with %02x %02x instead of %02x %02x%s", in[0], in[1],
                       NET_MAGIC & 0xff, NET_MAGIC >> 8, guess_protocol(in));
    if (in[AT_VERSION] != NET_VERSION)
        return err_set(err, ERR_PROTOCOL,
                       "frame of protocol version %u, this program speaks version %u",
                       in[AT_VERSION], NET_VERSION);
    f.kind = in[AT_KIND];
    if (f.kind == 0 || f.kind >= NET_KIND_MAX)
        return err_set(err, ERR_PROTOCOL, "frame of unknown kind %u, kinds are 1 to %u", f.kind,
                       NET_KIND_MAX - 1);
    if (get_le(in + AT_RESERVED, 2) != 0)
        return err_set(err, ERR_PROTOCOL, "frame whose reserved field is %u instead of 0",
                       (unsigned)get_le(in + AT_RESERVED, 2));
    f.length = (uint32_t)get_le(in + AT_LENGTH, 4);
    if (f.length > payload_max)
        return err_set(err, ERR_PROTOCOL, "frame of %u bytes, the limit here is %u bytes", f.length,
                       payload_max);
    f.flags = (uint16_t)get_le(in + AT_FLAGS, 2);
    f.epoch = get_le(in + AT_EPOCH, 8);
    f.stream = (uint32_t)get_le(in + AT_STREAM, 4);
    f.credit = (uint32_t)get_le(in + AT_CREDIT, 4);
    *ret = f;
    *ret_crc = (uint32_t)get_le(in + AT_CRC, 4);
    return 0;
}

uint32_t net_frame_crc(const uint8_t header[NET_HEADER_BYTES], const struct net_iov *parts,
                       size_t part_count)
{
    uint8_t copy[NET_HEADER_BYTES];
    uint32_t crc;

    memcpy(copy, header, NET_HEADER_BYTES);
    put_le(copy + AT_CRC, 0, 4);
    crc = hash_crc32c(0, copy, NET_HEADER_BYTES);
    for (size_t i = 0; i < part_count; i++)
        if (parts[i].len > 0)
            crc = hash_crc32c(crc, parts[i].data, parts[i].len);
    return crc;
}

void net_frame_seal(struct net_frame *frame, const struct net_iov *parts, size_t part_count)
{
    uint8_t header[NET_HEADER_BYTES];

    net_header_encode(frame, 0, header);
    frame->crc = net_frame_crc(header, parts, part_count);
    frame->sealed = true;
}

int net_frame_verify(const uint8_t header[NET_HEADER_BYTES], const struct net_frame *frame,
                     uint32_t crc, struct err *err)
{
    struct net_iov part = {frame->payload, frame->length};
    uint32_t is = net_frame_crc(header, &part, 1);

    if (is == crc)
        return 0;
    return err_set(err, ERR_CORRUPT,
                   "frame of %u bytes with checksum %08x, but its content has %08x", frame->length,
                   crc, is);
}

void *net_frame_take(struct net_frame *frame)
{
    struct net_buffer *whole = frame->impl, *copy;

    CHECK(whole != NULL);
    if (frame->length > TAKE_COPY_MAX || whole->cap <= 2 * (size_t)frame->length)
        return net_buffer_ref(whole);
    copy = net_buffer_new(frame->length);
    if (frame->length > 0)
        memcpy(copy->data, frame->payload, frame->length);
    frame->payload = copy->data;
    return copy;
}

void net_payload_free(void *owner)
{
    net_buffer_unref(owner);
}

bool net_is_inproc(const char *address)
{
    return strncmp(address, NET_INPROC, sizeof(NET_INPROC) - 1) == 0;
}
