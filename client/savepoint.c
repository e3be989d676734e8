/* savepoint.c - `rask savepoint`, `rask stop`, `rask checkpoint`, and `rask cancel -s`: asked for over REST, and waited for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/client.h"
#include "common/base/check.h"

#define POLL_MS_MIN 5
#define POLL_MS_MAX 200

static const char savepoint_help[] =
    "rask savepoint [OPTIONS] JOBID [FOLDER] | rask savepoint -d PATH\n"
    "Takes a savepoint of a running job, into a new folder of FOLDER; or removes one.\n"
    "\n"
    "  -m, --jobmanager ADDR    HOST:PORT of the REST API (rest.address, rest.port)\n"
    "  -d, --dispose PATH       remove the savepoint at PATH\n"
    "  -detached                print the trigger id and leave\n"
    "  -type, --type FORMAT     canonical; native is the same here\n"
    "  -D key=value             a setting of the configuration\n"
    "\n"
    "Without FOLDER the job's execution.checkpointing.savepoint-dir is used.\n";
static const char stop_help[] =
    "rask stop [OPTIONS] JOBID\n"
    "Takes a savepoint of a job and ends it there: the savepoint holds all that its sinks have committed.\n"
    "\n"
    "  -m, --jobmanager ADDR    HOST:PORT of the REST API (rest.address, rest.port)\n"
    "  -p, --savepointPath DIR  folder for the savepoint (execution.checkpointing.savepoint-dir)\n"
    "  -d, --drain              end the input first: for a job that will not go on from the savepoint\n"
    "  -detached                print the trigger id and leave\n"
    "  -type, --type FORMAT     canonical; native is the same here\n"
    "  -D key=value             a setting of the configuration\n";
static const char checkpoint_help[] =
    "rask checkpoint [OPTIONS] JOBID\n"
    "Takes a checkpoint of a running job now.\n"
    "\n"
    "  -m, --jobmanager ADDR    HOST:PORT of the REST API (rest.address, rest.port)\n"
    "  -full                    all of the state, not what has changed\n"
    "  -D key=value             a setting of the configuration\n";

static int parse_job(const struct cli_options *o, const char *to_do, struct id *ret, struct err *err)
{
    if (o->file_count == 0)
        return err_set(err, ERR_INVALID, "Missing JobID. Specify a JobID to %s.", to_do);
    if (!id_parse(o->files[0], ret))
        return err_set(err, ERR_INVALID, "Cannot parse JobID from \"%s\". The expected format is [0-9a-fA-F]{32}, "
                                         "e.g. fd72014d4c864993a2e5a9287b4a9c5d.", o->files[0]);
    return 0;
}

/* Relative folders are meant from here; the cluster knows absolute ones alone. Owned by the caller. */
static char *absolute(const char *folder)
{
    char *here, *made;

    if (folder[0] == '/' || folder[0] == '\0' || strchr(folder, ':')) /* nothing is not here: it is refused there */
        return mem_strdup(folder);
    here = realpath(".", NULL);
    made = mem_printf("%s/%s", here ? here : "", folder);
    free(here);
    return made;
}

static int post(struct cli_http *client, const char *path, const struct bytes *body, struct arena *arena, const char **ret_trigger,
                struct err *err)
{
    const struct json *answer;
    int code = cli_call_json(client, "POST", path, (struct cli_part[]){{body->data, body->len}}, 1, arena, &answer, err);

    if (code < 0)
        return code;
    *ret_trigger = json_get_string(answer, "request-id", NULL);
    return *ret_trigger ? 0 : err_set(err, ERR_PROTOCOL, "the answer of %s has no request-id", path);
}

/* Until the operation has ended; *ret: its "operation". */
static int wait_for(struct cli_http *client, const char *path, struct arena *arena, const struct json **ret, struct err *err)
{
    for (long ms = POLL_MS_MIN;; ms = MIN(ms * 2, POLL_MS_MAX)) {
        const struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
        const struct json *answer, *status, *failure;
        int code = cli_call_json(client, "GET", path, NULL, 0, arena, &answer, err);

        if (code < 0)
            return code;
        status = json_get(answer, "status");
        if (status && strcmp(json_get_string(status, "id", ""), "COMPLETED") == 0) {
            *ret = json_get(answer, "operation");
            failure = *ret ? json_get(*ret, "failure-cause") : NULL;
            return failure ? err_set(err, ERR_STATE, "%s", json_get_string(failure, "stack-trace", "it failed")) : 0;
        }
        nanosleep(&pause, NULL);
    }
}

static void add_member(struct json_writer *w, const char *key, const char *folder)
{
    char *path = folder ? absolute(folder) : NULL;

    if (path)
        jw_string(w, key, path);
    mem_free(path);
}

/* ---- savepoint ---- */

static int dispose(struct cli_http *client, const char *path, struct arena *arena, struct err *err)
{
    char *whole = absolute(path), get[128];
    const struct json *operation;
    const char *trigger;
    struct bytes body = {0};
    struct json_writer w;
    int code;

    printf("Disposing savepoint '%s'.\n", path);
    jw_init(&w, &body);
    jw_object(&w, NULL);
    jw_string(&w, "savepoint-path", whole);
    jw_object_end(&w);
    code = post(client, "/savepoint-disposal", &body, arena, &trigger, err);
    if (code == 0) {
        snprintf(get, sizeof(get), "/savepoint-disposal/%.40s", trigger);
        code = wait_for(client, get, arena, &operation, err);
    }
    if (code == 0)
        printf("Savepoint '%s' disposed.\n", path);
    else
        err_wrap(err, "Failed to dispose the savepoint '%s'", path);
    bytes_release(&body);
    mem_free(whole);
    return code;
}

/* verb: "savepoints" or "stop"; body is complete. */
static int trigger_savepoint(const struct cli_options *o, struct cli_http *client, const struct id *id, const char *verb,
                             const struct bytes *body, struct arena *arena, struct err *err)
{
    char text[ID_TEXT_MAX], path[192];
    const struct json *operation;
    const char *trigger;
    int code;

    snprintf(path, sizeof(path), "/jobs/%s/%s", id_format(id, text), verb);
    code = post(client, path, body, arena, &trigger, err);
    if (code < 0)
        return code;
    if (o->savepoint_detached) {
        printf("Successfully trigger manual savepoint, triggerId: %s\n", trigger);
        return 0;
    }
    printf("Waiting for response...\n");
    fflush(stdout);
    snprintf(path, sizeof(path), "/jobs/%s/savepoints/%.40s", text, trigger);
    code = wait_for(client, path, arena, &operation, err);
    if (code < 0)
        return code;
    printf("Savepoint completed. Path: %s\n", json_get_string(operation, "location", "?"));
    return 0;
}

static int savepoint(const struct cli_options *o, struct arena *arena, struct err *err)
{
    struct cli_http *client = NULL;
    struct bytes body = {0};
    struct json_writer w;
    struct id id;
    char text[ID_TEXT_MAX];
    int code = o->dispose ? 0 : parse_job(o, "trigger a savepoint", &id, err);

    if (code == 0 && o->file_count > 2)
        code = err_set(err, ERR_INVALID, "`rask savepoint` takes a job and a folder, not \"%s\" too", o->files[2]);
    if (code == 0)
        code = cli_connect(o, &client, err);
    if (code == 0 && o->dispose) {
        code = dispose(client, o->dispose, arena, err);
    } else if (code == 0) {
        printf("Triggering savepoint for job %s.\n", id_format(&id, text));
        jw_init(&w, &body);
        jw_object(&w, NULL);
        add_member(&w, "target-directory", o->file_count > 1 ? o->files[1] : NULL);
        jw_object_end(&w);
        code = trigger_savepoint(o, client, &id, "savepoints", &body, arena, err);
        if (code == 0 && !o->savepoint_detached)
            printf("You can resume your program from this savepoint with the run command.\n");
        if (code < 0)
            err_wrap(err, "Triggering a savepoint for the job %s failed", text);
    }
    bytes_release(&body);
    cli_http_free(client);
    return code;
}

static int stop(const struct cli_options *o, struct arena *arena, struct err *err)
{
    struct cli_http *client = NULL;
    struct bytes body = {0};
    struct json_writer w;
    struct id id;
    char text[ID_TEXT_MAX];
    int code = parse_job(o, "stop", &id, err);

    if (code == 0)
        code = cli_connect(o, &client, err);
    if (code == 0) {
        printf("%s job \"%s\" with a CANONICAL savepoint.\n", o->drain ? "Draining" : "Suspending", id_format(&id, text));
        jw_init(&w, &body);
        jw_object(&w, NULL);
        add_member(&w, "targetDirectory", o->savepoint_dir);
        jw_bool(&w, "drain", o->drain);
        jw_object_end(&w);
        code = trigger_savepoint(o, client, &id, "stop", &body, arena, err);
        if (code < 0)
            err_wrap(err, "Could not stop with a savepoint job \"%s\"", text);
    }
    bytes_release(&body);
    cli_http_free(client);
    return code;
}

static int checkpoint(const struct cli_options *o, struct arena *arena, struct err *err)
{
    static const char configured[] = "{\"checkpointType\":\"CONFIGURED\"}", full[] = "{\"checkpointType\":\"FULL\"}";
    struct bytes body = {0};
    struct cli_http *client = NULL;
    const struct json *operation;
    const char *trigger;
    struct id id;
    char text[ID_TEXT_MAX], path[192];
    int code = parse_job(o, "trigger a checkpoint", &id, err);

    if (code == 0)
        code = cli_connect(o, &client, err);
    if (code == 0) {
        printf("Triggering checkpoint for job %s.\n", id_format(&id, text));
        bytes_add_str(&body, o->full ? full : configured);
        snprintf(path, sizeof(path), "/jobs/%s/checkpoints", text);
        code = post(client, path, &body, arena, &trigger, err);
    }
    if (code == 0) {
        snprintf(path, sizeof(path), "/jobs/%s/checkpoints/%.40s", text, trigger);
        code = wait_for(client, path, arena, &operation, err);
    }
    if (code == 0)
        printf("Checkpoint(%s) %lld for job %s completed.\n", o->full ? "FULL" : "CONFIGURED",
               (long long)json_get_int(operation, "checkpointId", 0), text);
    else if (client)
        err_wrap(err, "Triggering a checkpoint for the job %s failed", text);
    bytes_release(&body);
    cli_http_free(client);
    return code;
}

int cli_cancel_with_savepoint(const struct cli_options *o, struct cli_http *client, const struct id *id, struct arena *arena,
                              struct err *err)
{
    struct bytes body = {0};
    struct json_writer w;
    int code;

    jw_init(&w, &body);
    jw_object(&w, NULL);
    add_member(&w, "target-directory", o->savepoint_dir);
    jw_bool(&w, "cancel-job", true);
    jw_object_end(&w);
    code = trigger_savepoint(o, client, id, "savepoints", &body, arena, err);
    bytes_release(&body);
    return code;
}

static int command(int argc, char **argv, unsigned known, const char *help,
                   int (*run)(const struct cli_options *o, struct arena *arena, struct err *err))
{
    struct cli_options o;
    struct err err = {0};
    struct arena arena;
    int code = cli_parse(&o, CLI_OPT_CLUSTER | known, argc - 2, argv + 2, &err);

    if (code == 0 && o.help) {
        fputs(help, stdout);
        return 0;
    }
    arena_init(&arena);
    if (code == 0)
        code = run(&o, &arena, &err);
    arena_release(&arena);
    return code < 0 ? cli_fail(&err) : 0;
}

int cli_savepoint(int argc, char **argv)
{
    return command(argc, argv, CLI_OPT_SAVEPOINT | CLI_OPT_DISPOSE, savepoint_help, savepoint);
}

int cli_stop(int argc, char **argv)
{
    return command(argc, argv, CLI_OPT_SAVEPOINT | CLI_OPT_STOP, stop_help, stop);
}

int cli_checkpoint(int argc, char **argv)
{
    return command(argc, argv, CLI_OPT_CHECKPOINT, checkpoint_help, checkpoint);
}
