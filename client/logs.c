/* logs.c - `rask logs`: the log of a job's workers, one after the other; -f goes on until the job is over. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/client.h"
#include "common/base/check.h"

static const char help[] =
    "rask logs [OPTIONS] JOBID\n"
    "Prints the log of the job's workers.\n"
    "\n"
    "  -f, --follow             go on until the job is over\n"
    "  -m, --jobmanager ADDR    HOST:PORT of the REST API (rest.address, rest.port)\n"
    "  -D key=value             a setting of the configuration\n";

#define POLL_MS 250

/* What worker i has logged since *offset. last: the log is not asked for again. */
static int print_part(struct cli_http *client, const char *id, uint32_t i, bool last, uint64_t *offset, bool *ret_more,
                      struct err *err)
{
    struct bytes body = {0};
    bool refused;
    int code = cli_get_worker_file(client, id, "log", i, *offset, last, &body, ret_more, &refused, err);

    if (code == 0) {
        code = cli_print(body.data, body.len, err);
        *offset += body.len;
    } else if (refused && !last) { /* the worker may not have begun */
        code = 0;
    } else if (refused) {
        err_wrap(err, "the log of worker %" PRIu32 " cannot be read", i);
    }
    bytes_release(&body);
    return code;
}

static int round_of(struct cli_http *client, const char *id, bool follow, uint64_t *offsets, bool *ret_over, struct err *err)
{
    struct arena arena;
    const struct json *job;
    char path[64];
    const char *state;
    int64_t workers = 0;
    int code;

    snprintf(path, sizeof(path), "/jobs/%s", id);
    arena_init(&arena);
    code = cli_call_json(client, "GET", path, NULL, 0, &arena, &job, err);
    if (code == 0) {
        state = json_get_string(job, "state", "");
        *ret_over = strcmp(state, "FINISHED") == 0 || strcmp(state, "FAILED") == 0 || strcmp(state, "CANCELED") == 0;
        workers = json_get_int(job, "workers", 0);
    }
    arena_release(&arena);
    for (int64_t i = 0; code == 0 && i < MIN(workers, CLI_WORKERS_MAX); i++) {
        bool more = true;

        while (code == 0 && more)
            code = print_part(client, id, (uint32_t)i, *ret_over || !follow, &offsets[i], &more, err);
    }
    return code;
}

int cli_logs(int argc, char **argv)
{
    struct cli_options o;
    struct cli_http *client = NULL;
    struct err err = {0};
    struct id id;
    uint64_t *offsets = NULL;
    char text[ID_TEXT_MAX];
    bool over = false;
    int code = cli_parse(&o, CLI_OPT_CLUSTER | CLI_OPT_FOLLOW, argc - 2, argv + 2, &err);

    if (code == 0 && o.help) {
        fputs(help, stdout);
        return 0;
    }
    if (code == 0 && o.file_count != 1)
        code = err_set(&err, ERR_INVALID, "whose log? `rask logs JOBID`; `rask list -a` shows the ids");
    if (code == 0 && !id_parse(o.files[0], &id))
        code = err_set(&err, ERR_INVALID, "`%s` is no job id: 32 hexadecimal digits", o.files[0]);
    if (code == 0)
        code = cli_connect(&o, &client, &err);
    if (code == 0) {
        id_format(&id, text);
        offsets = mem_alloc_array(CLI_WORKERS_MAX, sizeof(offsets[0]));
        for (;;) {
            struct timespec pause = {0, POLL_MS * 1000000L};

            code = round_of(client, text, o.follow, offsets, &over, &err);
            if (code < 0 || over || !o.follow)
                break;
            nanosleep(&pause, NULL);
        }
    }
    mem_free(offsets);
    cli_http_free(client);
    return code < 0 ? cli_fail(&err) : 0;
}
