/*
 * collection.c - rows that travel in the graph.  One split; its position: u64 offset of the next batch in the payload.
 * Payload: { u64 length, batch_encode()'s bytes, zeros up to a multiple of 8 } ...
 */
#include <string.h>

#include "common/types/batch.h"
#include "connectors/support.h"

struct collection_split {
    uint64_t at;
};

static int collection_discover(rask_ctx *ctx, rask_splits *found)
{
    (void)ctx;
    return rask_split_add(found, (rask_str){"collection", 10}, (rask_str){"", 0});
}

static int collection_open_split(rask_ctx *ctx, rask_split *split)
{
    struct collection_split *s = split->self;

    (void)ctx;
    if (split->position.len == sizeof(s->at))
        memcpy(&s->at, split->position.data, sizeof(s->at));
    return 0;
}

/* A copy: batches outlive the task that made them. */
static int decode(rask_ctx *ctx, const uint8_t *data, uint64_t len, rask_out *out, rask_batch **ret)
{
    rask_buffer *owner = pool_get(out_pool(out), len);
    struct err err = {0};
    int rc;

    memcpy(owner->data, data, len);
    owner->used = (uint32_t)len;
    rc = batch_decode(out_pool(out), out->schema, owner->data, len, owner, ret, &err);
    buffer_unref(owner);
    return rc == 0 ? 0 : rask_fail(ctx, "the rows in the graph cannot be read: %s", err.text);
}

static int collection_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct collection_split *s = split->self;
    const ProtobufCBinaryData *payload = &connectors_args(ctx)->spec->payload;
    struct reader r;
    uint64_t len;
    rask_batch *b = NULL;
    int rc;

    if (s->at >= payload->len)
        return RASK_END;
    r = reader_of(payload->data + s->at, payload->len - s->at);
    len = reader_u64(&r);
    if (r.bad || len > reader_left(&r) || len > UINT32_MAX)
        return rask_fail(ctx, "the rows in the graph are cut short at byte %llu of %zu", (unsigned long long)s->at,
                         payload->len);
    rc = decode(ctx, r.at, len, out, &b);
    if (rc != 0)
        return rc;
    s->at += 8 + ((len + 7) & ~UINT64_C(7));
    rask_split_position(split, &s->at, sizeof(s->at));
    return rask_emit_batch(out, &b);
}

const rask_source connectors_collection_source = {
    .abi = RASK_ABI,
    .name = "collection",
    .split_size = sizeof(struct collection_split),
    .discover = collection_discover,
    .open_split = collection_open_split,
    .poll = collection_poll,
};
