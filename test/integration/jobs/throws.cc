// throws.cc - a job in C++ whose map function throws an exception that nobody catches.
#include <rask/rask.h>

#include <stdexcept>

RASK_ROW(number, (BIGINT, value));

static int throws(rask_ctx *, const rask_row *row, rask_out *out)
{
    struct number n = number_at(row);

    if (n.value == 500)
        throw std::runtime_error("five hundred is too much");
    return number_emit(out, &n);
}

extern "C" int rask_job(rask_env *env, const rask_params *)
{
    rask_stream *numbers = rask_from_sequence(env, 1, 1000);

    rask_discard(rask_name(rask_map(numbers, throws, &number_schema), "throws"));
    return rask_execute(env, "throws");
}
