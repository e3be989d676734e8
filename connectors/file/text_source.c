/*
 * text_source.c - lines of files.
 *
 * A line belongs to the split in which it begins: a reader starts one byte before its range, drops up to
 * the first \n, and reads the last line to its end, wherever that is.  The position of a split is the u64
 * offset of the first line that was not emitted.
 */
#include <string.h>

#include "common/base/check.h"
#include "connectors/file/input.h"
#include "connectors/lines.h"

struct text_split {
    struct input in;
    struct lines lines;
    bool skipping; /* the line that the range cuts belongs to the split before */
    bool at_end;   /* of the file */
};

static int text_open(rask_ctx *ctx)
{
    const struct connector_args *args = connectors_args(ctx);

    if (!connector_property(args, "path", NULL))
        return rask_fail(ctx, "the property \"path\" is missing in the graph");
    return 0;
}

static int text_discover(rask_ctx *ctx, rask_splits *found)
{
    return input_discover(ctx, found, false);
}

static int text_open_split(rask_ctx *ctx, rask_split *split)
{
    const rask_schema *schema = connectors_args(ctx)->schema;
    struct text_split *s = split->self;
    uint64_t offset;
    int rc;

    if (schema->columns != 1 || schema->fields[0].type != RASK_T_STRING)
        return rask_fail(ctx, "a text source gives one STRING column, its schema in the graph has others");
    rc = input_open(ctx, &s->in, split->id);
    if (rc != 0)
        return rc;
    offset = s->in.begin;
    if (split->position.len == sizeof(offset)) {
        memcpy(&offset, split->position.data, sizeof(offset));
    } else if (offset > 0) {
        offset--;
        s->skipping = true;
    }
    lines_init(&s->lines, out_pool(rask_main_out(ctx)), offset);
    return 0;
}

static int too_long(rask_ctx *ctx, const struct text_split *s)
{
    char host[CONNECTORS_HOST_MAX];

    connectors_host(host);
    return rask_fail(ctx,
                     "input file %s on host %s: the line at byte %llu is longer than rask.max-row-size; is it a "
                     "text file?",
                     s->in.path, host, (unsigned long long)s->lines.offset);
}

static int read_more(rask_ctx *ctx, struct text_split *s)
{
    uint32_t held = lines_held(&s->lines), room, n;
    uint8_t *to;
    int rc;

    to = lines_room(&s->lines, &room);
    rc = input_read(ctx, &s->in, s->lines.offset + held, to, room, &n);
    if (rc == RASK_MORE && n == 0)
        s->at_end = true;
    lines_added(&s->lines, n);
    return rc;
}

static int text_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct text_split *s = split->self;
    rask_batch *b = NULL;
    int rc;

    if (!s->skipping)
        b = lines_take(&s->lines, out->schema, s->in.end, s->at_end);
    if (!b && s->lines.too_long)
        return too_long(ctx, s);
    if (!b && (s->at_end || (!s->skipping && s->lines.offset >= s->in.end)))
        return RASK_END;
    if (!b) {
        rc = read_more(ctx, s);
        if (rc != RASK_MORE)
            return rc;
        if (s->skipping && lines_skip(&s->lines))
            s->skipping = false;
        if (!s->skipping)
            b = lines_take(&s->lines, out->schema, s->in.end, s->at_end);
    }
    if (!b)
        return RASK_MORE;
    rask_split_position(split, &s->lines.offset, sizeof(s->lines.offset));
    return rask_emit_batch(out, &b);
}

static void text_close_split(rask_ctx *ctx, rask_split *split)
{
    struct text_split *s = split->self;

    (void)ctx;
    lines_release(&s->lines);
    input_close(&s->in);
}

const rask_source connectors_text_source = {
    .abi = RASK_ABI,
    .name = "text",
    .split_size = sizeof(struct text_split),
    .open = text_open,
    .discover = text_discover,
    .open_split = text_open_split,
    .poll = text_poll,
    .close_split = text_close_split,
};
