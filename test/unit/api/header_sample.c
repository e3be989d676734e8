/* What a small job may write, in C11 and in C++17; test_headers.c compiles it. */
#include <rask/rask.h>

RASK_ROW(count, (STRING, word), (BIGINT, n));

int rask_job(rask_env *env, const rask_params *params)
{
    struct count some[1];
    rask_stream *counts;

    some[0].word = RASK_STR("a");
    some[0].n = rask_param_i64(params, "n", 1);
    counts = rask_sum(rask_key_by(rask_from_rows(env, count, some, 1), "word"), "n");
    rask_print(counts);
    return rask_execute(env, "sample");
}
