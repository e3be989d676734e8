/*
 * sequence.c - the numbers from first to last, both included.
 * Split id: i64 first, i64 last of a part of the range; position: i64, the next number.
 */
#include <string.h>

#include "common/base/check.h"
#include "common/types/batch.h"
#include "connectors/support.h"

enum { PARTS = 128 };

struct sequence_split {
    int64_t next, last;
    bool over;
};

static int sequence_discover(rask_ctx *ctx, rask_splits *found)
{
    int64_t first, last;
    unsigned __int128 count;

    if (connectors_i64(ctx, "first", &first) != 0 || connectors_i64(ctx, "last", &last) != 0)
        return rask_fail(ctx, "no range");
    if (first > last)
        return 0;
    count = (unsigned __int128)((uint64_t)last - (uint64_t)first) + 1;
    for (uint32_t i = 0; i < PARTS; i++) {
        uint64_t from = (uint64_t)(count * i / PARTS), to = (uint64_t)(count * (i + 1) / PARTS - 1);
        int64_t part[2] = {(int64_t)((uint64_t)first + from), (int64_t)((uint64_t)first + to)};
        int rc = count * i / PARTS == count * (i + 1) / PARTS
                     ? 0
                     : rask_split_add(found, (rask_str){(const char *)part, sizeof(part)}, (rask_str){"", 0});

        if (rc != 0)
            return rc;
    }
    return 0;
}

static int sequence_open_split(rask_ctx *ctx, rask_split *split)
{
    const rask_schema *schema = connectors_args(ctx)->schema;
    struct sequence_split *s = split->self;

    if (schema->columns != 1 || schema->fields[0].type != RASK_T_BIGINT)
        return rask_fail(ctx, "a sequence gives one BIGINT column, its schema in the graph has others");
    if (split->id.len != 16)
        return rask_fail(ctx, "a split of %u bytes is no part of a sequence", split->id.len);
    memcpy(&s->next, split->id.data, 8);
    memcpy(&s->last, split->id.data + 8, 8);
    if (split->position.len == 8)
        memcpy(&s->next, split->position.data, 8);
    s->over = s->next > s->last;
    return 0;
}

static int sequence_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct sequence_split *s = split->self;
    uint64_t left;
    uint32_t rows;
    rask_batch *b;
    int64_t *cells;
    int rc;

    (void)ctx;
    if (s->over)
        return RASK_END;
    left = (uint64_t)s->last - (uint64_t)s->next; /* behind the next one */
    rows = left < RASK_BATCH_ROWS_MAX ? (uint32_t)left + 1 : RASK_BATCH_ROWS_MAX;
    b = batch_new(out_pool(out), out->schema, rows, 0);
    cells = b->columns[0].data;
    for (uint32_t i = 0; i < rows; i++)
        cells[i] = (int64_t)((uint64_t)s->next + i);
    s->over = left < rows;
    if (!s->over)
        s->next += rows;
    rask_split_position(split, &s->next, sizeof(s->next));
    rc = rask_emit_batch(out, &b);
    return rc != 0 ? rc : s->over ? RASK_END : RASK_MORE;
}

const rask_source connectors_sequence_source = {
    .abi = RASK_ABI,
    .name = "sequence",
    .split_size = sizeof(struct sequence_split),
    .discover = sequence_discover,
    .open_split = sequence_open_split,
    .poll = sequence_poll,
};
