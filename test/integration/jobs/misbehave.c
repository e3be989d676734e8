/* misbehave.c - a job that counts well for a while and then does what --how says, inside a map function. */
#include <rask/rask.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

RASK_ROW(number, (BIGINT, value));

struct how {
    char name[32];
    int64_t at;
};

static volatile int sink;
static volatile int *volatile nowhere;

static int overflow(int depth)
{
    volatile char block[4096];

    block[depth % 4096] = (char)depth;
    return sink < 0 ? depth : overflow(depth + 1) + block[0];
}

static void eat_memory(void)
{
    for (;;) {
        char *p = malloc(1 << 20);

        if (p)
            memset(p, 1, 1 << 20);
    }
}

static int misbehave(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    const struct how *how = rask_args(ctx);
    struct number n = number_at(row);

    if (n.value != how->at)
        return number_emit(out, &n);
    if (strcmp(how->name, "segfault") == 0)
        *nowhere = 1;
    else if (strcmp(how->name, "exit") == 0)
        exit(0);
    else if (strcmp(how->name, "_exit") == 0)
        _exit(0);
    else if (strcmp(how->name, "abort") == 0)
        abort();
    else if (strcmp(how->name, "memory") == 0)
        eat_memory();
    else if (strcmp(how->name, "overflow") == 0)
        sink = overflow(0);
    else if (strcmp(how->name, "fork") == 0 && fork() == 0)
        _exit(0);
    else if (strcmp(how->name, "divide") == 0)
        sink = (int)(n.value / (sink - sink));
    else if (strcmp(how->name, "kill") == 0)
        raise(SIGKILL);
    else
        while (strcmp(how->name, "spin") == 0)
            sink++;
    return number_emit(out, &n);
}

int rask_job(rask_env *env, const rask_params *params)
{
    rask_stream *numbers = rask_from_sequence(env, 1, rask_param_i64(params, "count", 1000));
    struct how how = {.at = rask_param_i64(params, "at", 500)};
    rask_stream *bad;

    snprintf(how.name, sizeof(how.name), "%s", rask_param(params, "how", "nothing"));
    bad = rask_name(rask_with(rask_map(numbers, misbehave, &number_schema), &how, sizeof(how)), "misbehave");
    rask_write_csv(bad, rask_param(params, "output", "misbehave.csv"));
    return rask_execute(env, "misbehave");
}
