/* fuzz_frame.c - frame headers: any 32 bytes are refused with a sentence, or encode back to themselves. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/net/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t again[NET_HEADER_BYTES];
    struct net_frame frame;
    struct err err = {0};
    uint32_t crc;
    int rc;

    if (size < NET_HEADER_BYTES)
        return 0;
    rc = net_header_decode(data, NET_PAYLOAD_MAX, &frame, &crc, &err);
    if (rc) {
        CHECK(rc == err.code && strlen(err.text) > 0);
        return 0;
    }
    CHECK(frame.length <= NET_PAYLOAD_MAX);
    net_header_encode(&frame, crc, again);
    CHECK(memcmp(again, data, sizeof(again)) == 0);
    return 0;
}
