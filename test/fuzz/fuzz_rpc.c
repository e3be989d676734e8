/* fuzz_rpc.c - any bytes as the payload of any message that a daemon unpacks; what is accepted packs again. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/rpc/rpc.h"
#include "common/rpc/rpc_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_type(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size)
{
    struct arena arena;
    ProtobufCMessage *message;
    struct rpc_identity identity;
    struct err err = {0};
    uint8_t *packed;
    size_t len;

    arena_init(&arena);
    message = rpc_unpack(type, data, size, &arena);
    if (message) {
        len = protobuf_c_message_get_packed_size(message);
        packed = mem_alloc(len + 1);
        CHECK(protobuf_c_message_pack(message, packed) == len);
        mem_free(packed);
        if (type == &rask__control__hello__descriptor &&
            rpc_check_hello((void *)message, "fuzzer", &identity, &err) < 0)
            CHECK(strlen(err.text) > 0);
    }
    arena_release(&arena);
}

/* First byte: which message. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const handshake[] = {
        &rask__control__hello__descriptor,   &rask__control__challenge__descriptor,
        &rask__control__proof__descriptor,   &rask__control__welcome__descriptor,
        &rask__control__failure__descriptor,
    };
    const struct rpc_row *row;

    if (size == 0)
        return 0;
    if (data[0] < ARRAY_LEN(handshake)) {
        try_type(handshake[data[0]], data + 1, size - 1);
        return 0;
    }
    row = rpc_row(data[0] % RPC_METHOD_MAX);
    if (row) {
        try_type(row->request, data + 1, size - 1);
        try_type(row->response, data + 1, size - 1);
    }
    return 0;
}
