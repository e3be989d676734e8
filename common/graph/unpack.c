/* unpack.c - graphs from bytes, into an arena. */
#include "common/graph/graph.h"

static void *alloc(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void no_free(void *arena, void *p)
{
    (void)arena;
    (void)p;
}

int graph_unpack(struct arena *arena, const void *data, size_t len, Rask__Graph__StreamGraph **ret,
                 struct err *err)
{
    ProtobufCAllocator allocator = {alloc, no_free, arena};
    Rask__Graph__StreamGraph *g = rask__graph__stream_graph__unpack(&allocator, len, data);

    if (!g)
        return err_set(err, ERR_CORRUPT, "these %zu bytes are no stream graph", len);
    *ret = g;
    return 0;
}

