/*
 * fuzz_messages.c - every message that one process sends another, unpacked from any bytes.
 * The first byte chooses the type.  What unpacks also packs, into the size that was announced.
 */
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/rpc/rpc.h"
#include "proto/control.pb-c.h"
#include "proto/graph.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CALL(method, number, request, response, caller, deadline, flags)                           \
    &rask__control__##request##__descriptor, &rask__control__##response##__descriptor,

static const ProtobufCMessageDescriptor *const types[] = {
    RPC_TABLE(CALL) & rask__control__hello__descriptor,
    &rask__control__challenge__descriptor,
    &rask__control__proof__descriptor,
    &rask__control__welcome__descriptor,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const ProtobufCMessageDescriptor *type;
    ProtobufCMessage *message;
    uint8_t *packed;
    size_t packed_len;

    if (size == 0)
        return 0;
    type = types[data[0] % ARRAY_LEN(types)];
    message = protobuf_c_message_unpack(type, NULL, size - 1, data + 1);
    if (!message)
        return 0;
    packed_len = protobuf_c_message_get_packed_size(message);
    packed = mem_alloc(packed_len);
    CHECK(protobuf_c_message_pack(message, packed) == packed_len);
    protobuf_c_message_free_unpacked(message, NULL);
    mem_free(packed);
    return 0;
}
