/*
 * forward.c - lines of a folder's files to part files, without a shuffle: each subtask is on its own.
 *
 *     forward --input FOLDER --output FOLDER [--pause MICROSECONDS] [--trap FILE] [--hold FILE --hold-at TEXT]
 *
 * pause: after each line.  trap: the subtask that sees this file first removes it and fails.  hold: the line that begins with
 * TEXT is not gone beyond while FILE is there, and FILE.held is there once somebody waits.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rask/rask.h>

RASK_ROW(line, (STRING, text));

static void wait_while_there(const char *file)
{
    char held[4096];
    int fd;

    snprintf(held, sizeof(held), "%s.held", file);
    fd = open(held, O_CREAT | O_WRONLY, 0600);
    if (fd >= 0)
        close(fd);
    while (access(file, F_OK) == 0)
        usleep(1000);
}

static int look(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    long pause = strtol(rask_param_of(ctx, "pause", "0"), NULL, 10);
    const char *trap = rask_param_of(ctx, "trap", NULL);

    const char *hold = rask_param_of(ctx, "hold", NULL), *hold_at = rask_param_of(ctx, "hold-at", "");
    rask_str text = rask_string(row, 0);

    if (trap && unlink(trap) == 0)
        return rask_fail(ctx, "the trap was there");
    if (hold && text.len >= strlen(hold_at) && memcmp(text.data, hold_at, strlen(hold_at)) == 0)
        wait_while_there(hold);
    if (pause > 0)
        usleep((useconds_t)pause);
    return line_emit(out, &(struct line){text});
}

int rask_job(rask_env *env, const rask_params *params)
{
    rask_stream *lines = rask_read_text(env, rask_param(params, "input", "-"));

    rask_write_files(rask_flat_map(lines, look, &line_schema), rask_param(params, "output", "out"),
                     (rask_files_options){.bucket = "", .roll_at_checkpoint = true});
    return rask_execute(env, "forward");
}
