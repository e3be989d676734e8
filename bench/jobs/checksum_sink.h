/*
 * checksum_sink.h - what the sinks of measured jobs have in common: rows counted and a sum of 64 bits over them, told as
 * accumulators.  Accumulators of subtasks are added up as int64, so the sum goes out in two halves, which cannot overflow.
 */
#ifndef RASK_BENCH_CHECKSUM_SINK_H
#define RASK_BENCH_CHECKSUM_SINK_H

#include <rask/rask.h>

struct checksum { /* `self` of a sink begins with it */
    uint64_t rows, sum;
};

static int checksum_tell(rask_ctx *ctx)
{
    const struct checksum *c = rask_self(ctx);

    rask_accumulate(ctx, "rows", (int64_t)c->rows);
    rask_accumulate(ctx, "checksum_low", (int64_t)(c->sum & 0xffffffffu));
    rask_accumulate(ctx, "checksum_high", (int64_t)(c->sum >> 32));
    return 0;
}

#endif
