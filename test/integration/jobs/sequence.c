/* sequence.c - numbers from 1 on, to nowhere; bounded with --to N. */
#include <rask/rask.h>

RASK_ROW(number, (BIGINT, n));

static int make(rask_ctx *ctx, int64_t index, rask_out *out)
{
    (void)ctx;
    return number_emit(out, &(struct number){index});
}

int rask_job(rask_env *env, const rask_params *params)
{
    rask_discard(rask_generate(env, &number_schema, make, 1000, rask_param_i64(params, "to", -1)));
    return rask_execute(env, "sequence");
}
