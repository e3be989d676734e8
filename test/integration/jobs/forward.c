/*
 * forward.c - lines of a folder's files to part files, without a shuffle: each subtask is on its own.
 *
 *     forward --input FOLDER --output FOLDER [--pause MICROSECONDS] [--trap FILE]
 *
 * pause: after each line.  trap: the subtask that sees this file first removes it and fails.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <unistd.h>

#include <rask/rask.h>

RASK_ROW(line, (STRING, text));

static int look(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    long pause = strtol(rask_param_of(ctx, "pause", "0"), NULL, 10);
    const char *trap = rask_param_of(ctx, "trap", NULL);

    if (trap && unlink(trap) == 0)
        return rask_fail(ctx, "the trap was there");
    if (pause > 0)
        usleep((useconds_t)pause);
    return line_emit(out, &(struct line){rask_string(row, 0)});
}

int rask_job(rask_env *env, const rask_params *params)
{
    rask_stream *lines = rask_read_text(env, rask_param(params, "input", "-"));

    rask_write_files(rask_flat_map(lines, look, &line_schema), rask_param(params, "output", "out"),
                     (rask_files_options){.bucket = "", .roll_at_checkpoint = true});
    return rask_execute(env, "forward");
}
