/*
 * generator.c - rows that a user's function makes, one index after the other, at a given rate.
 *
 * There is one split for each reader: split k of n has the indexes k, k + n, k + 2n ... below count.  Split id:
 * u32 k, u32 n; position: i64, the next index.  The rate is shared evenly by the splits: a bucket fills with time, an
 * index takes one token; time that was lost (to a slow consumer) is made up for at most BURST_MS.
 */
#include <string.h>

#include "common/base/check.h"
#include "connectors/support.h"

#include <rask/rask.h>

enum { BURST_MS = 1000, PER_POLL = 4096 };

struct generator_split {
    int64_t next, step;
    int64_t count;       /* negative: without end */
    double per_ms;       /* tokens; 0: no limit */
    double tokens;
    rask_ts filled;      /* when tokens were added last */
};

static int generator_discover(rask_ctx *ctx, rask_splits *found)
{
    uint32_t n = MAX(connectors_args(ctx)->readers, 1);

    for (uint32_t k = 0; k < n; k++) {
        uint32_t id[2] = {k, n};
        int rc = rask_split_add(found, (rask_str){(const char *)id, sizeof(id)}, (rask_str){"", 0});

        if (rc != 0)
            return rc;
    }
    return 0;
}

static int generator_open_split(rask_ctx *ctx, rask_split *split)
{
    struct generator_split *s = split->self;
    uint32_t id[2];
    int64_t rate;

    if (!connectors_args(ctx)->code)
        return rask_fail(ctx, "the generator has no function");
    if (split->id.len != sizeof(id))
        return rask_fail(ctx, "a split of %u bytes is none of a generator", split->id.len);
    memcpy(id, split->id.data, sizeof(id));
    if (connectors_i64(ctx, "rows_per_second", &rate) != 0 || connectors_i64(ctx, "count", &s->count) != 0)
        return rask_fail(ctx, "no rate or count");
    if (id[1] == 0 || id[0] >= id[1])
        return rask_fail(ctx, "split %u of %u is none of a generator", id[0], id[1]);
    s->next = id[0];
    s->step = id[1];
    if (split->position.len == sizeof(s->next))
        memcpy(&s->next, split->position.data, sizeof(s->next));
    s->per_ms = rate > 0 ? (double)rate / 1000 / id[1] : 0;
    s->tokens = 1;
    s->filled = rask_processing_time(ctx);
    return 0;
}

static void fill(rask_ctx *ctx, struct generator_split *s)
{
    rask_ts now = rask_processing_time(ctx);
    double most = MAX(s->per_ms * BURST_MS, 1);

    if (now > s->filled)
        s->tokens = MIN(s->tokens + (double)(now - s->filled) * s->per_ms, most);
    s->filled = now;
}

static int generator_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct generator_split *s = split->self;
    rask_generate_fn *fn = (rask_generate_fn *)(uintptr_t)connectors_args(ctx)->code;
    bool limited = s->per_ms > 0;
    int rc = 0;

    if (limited)
        fill(ctx, s);
    for (uint32_t i = 0; i < PER_POLL && rc == 0 && !rask_op_full(ctx); i++) {
        if (s->count >= 0 && s->next >= s->count)
            break;
        if (limited && s->tokens < 1)
            break;
        rc = fn(ctx, s->next, out);
        s->next += s->step;
        s->tokens -= limited;
    }
    if (rc != 0)
        return rc < 0 ? rc : rask_fail(ctx, "the generator's function returned %d", rc);
    rask_split_position(split, &s->next, sizeof(s->next));
    if (s->count >= 0 && s->next >= s->count)
        return RASK_END;
    if (!limited || s->tokens >= 1)
        return RASK_MORE;
    rask_wake_in(ctx, 1000 * (int64_t)((1 - s->tokens) / s->per_ms + 1));
    return RASK_WAIT;
}

const rask_source connectors_generator_source = {
    .abi = RASK_ABI,
    .name = "generator",
    .split_size = sizeof(struct generator_split),
    .discover = generator_discover,
    .open_split = generator_open_split,
    .poll = generator_poll,
};
