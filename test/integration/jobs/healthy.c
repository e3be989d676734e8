/* healthy.c - counts rows slowly per key, so that something else can go wrong beside it; every row is in the output. */
#include <rask/rask.h>

RASK_ROW(item, (BIGINT, slot), (BIGINT, n));

static int make(rask_ctx *ctx, int64_t index, rask_out *out)
{
    (void)ctx;
    return item_emit(out, &(struct item){index % 7, 1});
}

int rask_job(rask_env *env, const rask_params *params)
{
    rask_stream *items = rask_generate(env, &item_schema, make, rask_param_i64(params, "rate", 1000),
                                       rask_param_i64(params, "count", 1000));

    rask_write_csv(rask_sum(rask_key_by(items, "slot"), "n"), rask_param(params, "output", "healthy.csv"));
    return rask_execute(env, "healthy");
}
