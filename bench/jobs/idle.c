/* idle.c - a job that waits for rows that do not come, until it is cancelled: a source, a shuffle by key, a sink. */
#include <rask/rask.h>

static int one_split(rask_ctx *ctx, rask_splits *found)
{
    (void)ctx;
    return rask_split_add(found, RASK_STR("nothing"), RASK_STR(""));
}

static int wait_on(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    (void)split;
    (void)out;
    rask_wake_in(ctx, RASK_HOURS(1) * 1000);
    return RASK_WAIT;
}

static const rask_source nothing = {
    .abi = RASK_ABI,
    .name = "nothing",
    .out = &rask_sequence_schema,
    .discover = one_split,
    .poll = wait_on,
};

int rask_job(rask_env *env, const rask_params *params)
{
    (void)params;
    rask_discard(rask_sum(rask_key_by(rask_from_source(env, &nothing, NULL), "value"), "value"));
    return rask_execute(env, "idle");
}
