/*
 * recovery.c - keyed state of a size, and a stamp for what comes out after a recovery.
 *
 *     recovery --keys K --stamps FILE
 *
 * Numbers from 0 on, of key number % K, with a value of 104 bytes for each key.  Once every key is there some 50,000 numbers
 * a second follow.  The sink adds a line to FILE each millisecond in which it gets rows: attempt, Unix time in microseconds,
 * the greatest number that it has seen.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <rask/rask.h>

#define ROWS_AT_A_TIME 128
#define PAUSE_US       2560

RASK_ROW(item, (BIGINT, key), (BIGINT, n));
RASK_STATE(kept, (BIGINT, rows), (BIGINT, a), (BIGINT, b), (BIGINT, c), (BIGINT, d), (BIGINT, e), (BIGINT, f),
           (BIGINT, g), (BIGINT, h), (BIGINT, i), (BIGINT, j), (BIGINT, k), (BIGINT, l));

static int make(rask_ctx *ctx, int64_t n, rask_out *out)
{
    long keys = strtol(rask_param_of(ctx, "keys", "1000000"), NULL, 10);

    if (n >= keys && n % ROWS_AT_A_TIME == 0)
        usleep(PAUSE_US);
    return item_emit(out, &(struct item){n % keys, n});
}

static int keep(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct kept *kept = kept_of(ctx, 0);

    if (!kept)
        return -1;
    kept->rows++;
    kept->l = rask_i64(row, 1);
    return item_emit(out, &(struct item){rask_i64(row, 0), rask_i64(row, 1)});
}

static const rask_process_fn keeper = {
    RASK_ABI,
    "keep",
    .in = &item_schema,
    .out = &item_schema,
    .states = RASK_STATES({.kind = RASK_VALUE, .name = "kept", .schema = &kept_schema}),
    .on_row = keep,
};

struct stamper {
    int fd;
    int64_t greatest, last_ms;
};

static int stamp_open(rask_ctx *ctx)
{
    struct stamper *s = rask_self(ctx);

    s->fd = open(rask_param_of(ctx, "stamps", "/dev/null"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    return s->fd < 0 ? rask_fail(ctx, "the file of the stamps cannot be opened") : 0;
}

static int stamp(rask_ctx *ctx, const rask_batch *rows)
{
    struct stamper *s = rask_self(ctx);
    struct timespec now;
    char line[128];
    int len;

    for (uint32_t i = 0; i < rows->rows; i++) {
        rask_row row = rask_batch_row(rows, i);
        int64_t n = rask_i64(&row, 1);

        s->greatest = n > s->greatest ? n : s->greatest;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec * 1000 + now.tv_nsec / 1000000 == s->last_ms)
        return 0;
    s->last_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    len = snprintf(line, sizeof(line), "%d %lld%06ld %lld\n", (int)rask_attempt(ctx), (long long)now.tv_sec,
                   now.tv_nsec / 1000, (long long)s->greatest);
    return write(s->fd, line, (size_t)len) == len ? 0 : rask_fail(ctx, "a stamp cannot be written");
}

static void stamp_close(rask_ctx *ctx)
{
    struct stamper *s = rask_self(ctx);

    if (s->fd > 0)
        close(s->fd);
}

static const rask_sink stamps = {
    .abi = RASK_ABI,
    .name = "stamps",
    .in = &item_schema,
    .self_size = sizeof(struct stamper),
    .open = stamp_open,
    .write = stamp,
    .close = stamp_close,
};

int rask_job(rask_env *env, const rask_params *params)
{
    rask_stream *items = rask_generate(env, &item_schema, make, 0, -1);

    (void)params;
    rask_sink_to(rask_process(rask_key_by(items, "key"), &keeper), &stamps);
    return rask_execute(env, "recovery");
}
