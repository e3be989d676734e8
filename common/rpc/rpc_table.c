/*
 * rpc_table.c - the rows of RPC_TABLE, found by their number.
 * Thread: any; constant.
 */
#include "common/rpc/rpc_private.h"

#define RPC_ROW_(method, number, request, response, from, deadline, row_flags)                     \
    [number] = {#method, &rask__control__##request##__descriptor,                                  \
                &rask__control__##response##__descriptor, RPC_FROM_##from, deadline, row_flags},

static const struct rpc_row rpc_rows[RPC_METHOD_MAX] = {RPC_TABLE(RPC_ROW_)};

const struct rpc_row *rpc_row(uint32_t method)
{
    if (method >= RPC_METHOD_MAX || !rpc_rows[method].name)
        return NULL;
    return &rpc_rows[method];
}

const char *rpc_method_name(enum rpc_method method)
{
    const struct rpc_row *row = rpc_row((uint32_t)method);

    return row ? row->name : "unknown method";
}
