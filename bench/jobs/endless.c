/* endless.c - a job that runs until it is cancelled, and does little: what submission costs is measured with it. */
#include <rask/rask.h>

static int number(rask_ctx *ctx, int64_t index, rask_out *out)
{
    int rc = rask_out_begin(out, &rask_sequence_schema);

    (void)ctx;
    if (rc)
        return rc;
    rask_out_i64(out, 0, index);
    return rask_out_end(out);
}

int rask_job(rask_env *env, const rask_params *params)
{
    (void)params;
    rask_discard(rask_generate(env, &rask_sequence_schema, number, 10, -1));
    return rask_execute(env, "endless");
}
