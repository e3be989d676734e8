/*
 * A source and a sink of one's own: readings of sensors, archived in files that appear when they are complete.
 *
 *     rask run examples/readings.c --archive /absolute/folder [--sensors N] [--readings N]
 *
 * The source has a split for each sensor; the position of a split is the number of its next reading.  Each writer
 * collects readings in a file that ends in .tmp.  prepare ends such a file and hands its name on, commit gives it the
 * final name: it may be called again, so a file that has its name already is no error.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rask/rask.h>
#include <rask/row.h>

RASK_ROW(reading, (BIGINT, sensor), (BIGINT, number), (BIGINT, value));

static int64_t number_of(rask_ctx *ctx, const char *param, const char *otherwise)
{
    return strtoll(rask_param_of(ctx, param, otherwise), NULL, 10);
}

/* ---- source ---- */

struct sensor {
    int64_t id, next;
};

static int sensors_discover(rask_ctx *ctx, rask_splits *found)
{
    int64_t sensors = number_of(ctx, "sensors", "4");
    int rc = 0;

    for (int64_t id = 0; id < sensors && rc == 0; id++)
        rc = rask_split_add(found, (rask_str){(const char *)&id, sizeof(id)}, RASK_STR(""));
    return rc;
}

static int sensor_open(rask_ctx *ctx, rask_split *split)
{
    struct sensor *s = split->self;

    (void)ctx;
    memcpy(&s->id, split->id.data, sizeof(s->id));
    if (split->position.len > 0) /* goes on where it was */
        memcpy(&s->next, split->position.data, sizeof(s->next));
    return 0;
}

static int sensor_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct sensor *s = split->self;
    int64_t readings = number_of(ctx, "readings", "1000");
    int rc = 0;

    while (s->next < readings && rc == 0 && !rask_op_full(ctx)) {
        struct reading r = {s->id, s->next, (s->id * 37 + s->next * s->next) % 1000};

        rc = reading_emit(out, &r);
        s->next++;
    }
    rask_split_position(split, &s->next, sizeof(s->next));
    return rc != 0 ? rc : s->next < readings ? RASK_MORE : RASK_END;
}

static const rask_source sensors = {
    .abi = RASK_ABI,
    .name = "sensors",
    .out = &reading_schema,
    .split_size = sizeof(struct sensor),
    .discover = sensors_discover,
    .open_split = sensor_open,
    .poll = sensor_poll,
};

/* ---- sink ---- */

struct archive {
    FILE *file; /* NULL: none begun */
    char path[4096];
    uint32_t files;
};

static int archive_write(rask_ctx *ctx, const rask_batch *rows)
{
    struct archive *a = rask_self(ctx);
    const char *folder = rask_param_of(ctx, "archive", "");

    if (!a->file) {
        snprintf(a->path, sizeof(a->path), "%s/part-%u-%u.tmp", folder, rask_subtask(ctx), a->files++);
        mkdir(folder, 0777); /* may exist */
        a->file = fopen(a->path, "w");
        if (!a->file)
            return rask_fail(ctx, "cannot write %s: %s", a->path, strerror(errno));
    }
    for (uint32_t i = 0; i < rows->rows; i++) {
        rask_row row = rask_batch_row(rows, i);
        struct reading r = reading_at(&row);

        fprintf(a->file, "%" PRId64 ",%" PRId64 ",%" PRId64 "\n", r.sensor, r.number, r.value);
    }
    return 0;
}

static int archive_prepare(rask_ctx *ctx, rask_committables *out)
{
    struct archive *a = rask_self(ctx);
    FILE *file = a->file;
    bool broken;

    if (!file)
        return 0;
    a->file = NULL;
    broken = ferror(file) || fflush(file) != 0 || fsync(fileno(file)) != 0;
    if (fclose(file) != 0 || broken)
        return rask_fail(ctx, "cannot write %s: %s", a->path, strerror(errno));
    return rask_committable_add(out, a->path, strlen(a->path));
}

static int archive_commit(rask_ctx *ctx, rask_bytes committable)
{
    char from[4096], to[4096];

    snprintf(from, sizeof(from), "%.*s", (int)committable.len, committable.data);
    snprintf(to, sizeof(to), "%.*s", (int)committable.len - 4, committable.data);
    if (rename(from, to) != 0 && (errno != ENOENT || access(to, F_OK) != 0))
        return rask_fail(ctx, "cannot rename %s: %s", from, strerror(errno));
    return 0;
}

static void archive_close(rask_ctx *ctx)
{
    struct archive *a = rask_self(ctx);

    if (a->file)
        fclose(a->file);
}

static const rask_sink archive = {
    .abi = RASK_ABI,
    .name = "archive",
    .in = &reading_schema,
    .self_size = sizeof(struct archive),
    .write = archive_write,
    .prepare = archive_prepare,
    .commit = archive_commit,
    .close = archive_close,
};

int rask_job(rask_env *env, const rask_params *params)
{
    rask_param_required(params, "archive");
    rask_sink_to(rask_from_source(env, &sensors, NULL), &archive);
    return rask_execute(env, "readings");
}
