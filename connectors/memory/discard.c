/* discard.c - rows that nobody wants; the engine counts them. */
#include "connectors/support.h"

static int discard_write(rask_ctx *ctx, const rask_batch *rows)
{
    (void)ctx;
    (void)rows;
    return 0;
}

const rask_sink connectors_discard_sink = {.abi = RASK_ABI, .name = "discard", .write = discard_write};
