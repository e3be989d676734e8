/* list.c - `rask list` and `rask cancel`, in the words of Flink. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/client.h"

static const char list_help[] =
    "rask list [OPTIONS]\n"
    "Lists the jobs of a cluster: those that run and those that wait for slots.\n"
    "\n"
    "  -r, --running            only those that run\n"
    "  -s, --scheduled          only those that wait, with the reason\n"
    "  -a, --all                also those that are over\n"
    "  -m, --jobmanager ADDR    HOST:PORT of the REST API (rest.address, rest.port)\n"
    "  -D key=value             a setting of the configuration\n";

enum { RUNNING, SCHEDULED, TERMINATED };

static int class_of(const struct json *job)
{
    const char *state = json_get_string(job, "state", "");

    if (strcmp(state, "CREATED") == 0)
        return SCHEDULED;
    if (strcmp(state, "FINISHED") == 0 || strcmp(state, "FAILED") == 0 || strcmp(state, "CANCELED") == 0)
        return TERMINATED;
    return RUNNING;
}

static int by_start(const void *a, const void *b)
{
    int64_t x = json_get_int(*(const struct json *const *)a, "start-time", 0);
    int64_t y = json_get_int(*(const struct json *const *)b, "start-time", 0);

    return x < y ? -1 : x > y;
}

static void print_job(const struct json *job)
{
    time_t at = (time_t)(json_get_int(job, "start-time", 0) / 1000);
    const char *reason = json_get_string(job, "reason", NULL);
    char text[32] = "";
    struct tm tm;

    if (localtime_r(&at, &tm))
        strftime(text, sizeof(text), "%d.%m.%Y %H:%M:%S", &tm);
    printf("%s : %s : %s (%s)\n", text, json_get_string(job, "jid", "?"), json_get_string(job, "name", "?"),
           json_get_string(job, "state", "?"));
    if (reason && class_of(job) == SCHEDULED)
        printf("    %s\n", reason);
}

static void print_class(const struct json *const *jobs, size_t count, int wanted, const char *title, const char *none)
{
    bool any = false;

    for (size_t i = 0; i < count; i++) {
        if (class_of(jobs[i]) != wanted)
            continue;
        if (!any)
            puts(title);
        any = true;
        print_job(jobs[i]);
    }
    puts(any ? "--------------------------------------------------------------" : none);
}

static int list(const struct cli_options *o, struct arena *arena, struct err *err)
{
    struct cli_http *client;
    const struct json *answer, *jobs, **sorted;
    size_t count = 0;
    int code = cli_connect(o, &client, err);

    if (code < 0)
        return code;
    code = cli_call_json(client, "GET", "/jobs/overview", NULL, 0, arena, &answer, err);
    cli_http_free(client);
    if (code < 0)
        return code;
    jobs = json_get(answer, "jobs");
    if (!jobs || jobs->type != JSON_ARRAY)
        return err_set(err, ERR_PROTOCOL, "the answer of /jobs/overview has no list of jobs");
    sorted = arena_alloc(arena, (jobs->u.children.count + 1) * sizeof(struct json *));
    for (const struct json *j = jobs->u.children.first; j; j = j->next)
        sorted[count++] = j;
    if (count > 1)
        qsort(sorted, count, sizeof(sorted[0]), by_start);
    if (o->all || o->running || !o->scheduled)
        print_class(sorted, count, RUNNING, "------------------ Running/Restarting Jobs -------------------",
                    "No running jobs.");
    if (o->all || o->scheduled || !o->running)
        print_class(sorted, count, SCHEDULED, "----------------------- Scheduled Jobs -----------------------",
                    "No scheduled jobs.");
    if (o->all)
        print_class(sorted, count, TERMINATED, "---------------------- Terminated Jobs -----------------------",
                    "No terminated jobs.");
    return 0;
}

int cli_list(int argc, char **argv)
{
    struct cli_options o;
    struct err err = {0};
    struct arena arena;
    int code = cli_parse(&o, CLI_OPT_CLUSTER | CLI_OPT_LIST, argc - 2, argv + 2, &err);

    if (code == 0 && o.help) {
        fputs(list_help, stdout);
        return 0;
    }
    if (code == 0 && o.file_count)
        code = err_set(&err, ERR_INVALID, "`rask list` takes no arguments, only options: %s", o.files[0]);
    arena_init(&arena);
    if (code == 0)
        code = list(&o, &arena, &err);
    arena_release(&arena);
    return code < 0 ? cli_fail(&err) : 0;
}

static const char cancel_help[] =
    "rask cancel [OPTIONS] JOBID\n"
    "Cancels a job. One that is canceled already stays so.\n"
    "\n"
    "  -m, --jobmanager ADDR    HOST:PORT of the REST API (rest.address, rest.port)\n"
    "  -D key=value             a setting of the configuration\n";

int cli_cancel(int argc, char **argv)
{
    struct cli_options o;
    struct cli_http *client = NULL;
    const struct json *answer;
    struct err err = {0};
    struct arena arena;
    struct id id;
    char path[64 + ID_TEXT_MAX], text[ID_TEXT_MAX];
    int code = cli_parse(&o, CLI_OPT_CLUSTER, argc - 2, argv + 2, &err);

    if (code == 0 && o.help) {
        fputs(cancel_help, stdout);
        return 0;
    }
    if (code == 0 && o.file_count != 1)
        code = err_set(&err, ERR_INVALID, "Missing JobID. Specify a JobID to cancel a job.");
    if (code == 0 && !id_parse(o.files[0], &id))
        code = err_set(&err, ERR_INVALID, "Cannot parse JobID from \"%s\". The expected format is [0-9a-fA-F]{32}, "
                                          "e.g. fd72014d4c864993a2e5a9287b4a9c5d.", o.files[0]);
    arena_init(&arena);
    if (code == 0)
        code = cli_connect(&o, &client, &err);
    if (code == 0) {
        printf("Cancelling job %s.\n", id_format(&id, text));
        snprintf(path, sizeof(path), "/jobs/%s?mode=cancel", text);
        code = cli_call_json(client, "PATCH", path, NULL, 0, &arena, &answer, &err);
        if (code < 0)
            err_wrap(&err, "Could not cancel job %s", text);
        else
            printf("Cancelled job %s.\n", text);
    }
    cli_http_free(client);
    arena_release(&arena);
    return code < 0 ? cli_fail(&err) : 0;
}
