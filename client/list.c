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

#define CAUSES_SHOWN 20 /* of jobs that failed, the latest: each costs a call */

enum { RUNNING, SCHEDULED, TERMINATED };
struct listing {
    struct cli_http *client;
    struct arena *arena;
    const struct json **jobs; /* by start */
    size_t count, failed;
};

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

/* First line of what made a job fail; NULL when the cluster does not know any more. */
static const char *cause_of(struct listing *l, const struct json *job)
{
    struct err err = {0};
    const struct json *answer;
    char path[96], *text;

    snprintf(path, sizeof(path), "/jobs/%.32s/exceptions", json_get_string(job, "jid", ""));
    if (cli_call_json(l->client, "GET", path, NULL, 0, l->arena, &answer, &err) < 0)
        return NULL;
    text = arena_strdup(l->arena, json_get_string(answer, "root-exception", ""));
    text[strcspn(text, "\n")] = '\0';
    return text[0] ? text : NULL;
}

static bool is_failed(const struct json *job)
{
    return strcmp(json_get_string(job, "state", ""), "FAILED") == 0;
}

static void print_job(struct listing *l, const struct json *job)
{
    time_t at = (time_t)(json_get_int(job, "start-time", 0) / 1000);
    const char *reason = class_of(job) == SCHEDULED ? json_get_string(job, "reason", NULL) : NULL;
    char text[32] = "";
    struct tm tm;

    if (localtime_r(&at, &tm))
        strftime(text, sizeof(text), "%d.%m.%Y %H:%M:%S", &tm);
    printf("%s : %s : %s (%s)\n", text, json_get_string(job, "jid", "?"), json_get_string(job, "name", "?"),
           json_get_string(job, "state", "?"));
    if (is_failed(job) && l->failed-- <= CAUSES_SHOWN)
        reason = cause_of(l, job);
    if (reason)
        printf("    %s\n", reason);
}

static void print_class(struct listing *l, int wanted, const char *title, const char *none)
{
    bool any = false;

    for (size_t i = 0; i < l->count; i++) {
        if (class_of(l->jobs[i]) != wanted)
            continue;
        if (!any)
            puts(title);
        any = true;
        print_job(l, l->jobs[i]);
    }
    puts(any ? "--------------------------------------------------------------" : none);
}

static int load(struct listing *l, struct err *err)
{
    const struct json *answer, *jobs;
    int code = cli_call_json(l->client, "GET", "/jobs/overview", NULL, 0, l->arena, &answer, err);

    if (code < 0)
        return code;
    jobs = json_get(answer, "jobs");
    if (!jobs || jobs->type != JSON_ARRAY)
        return err_set(err, ERR_PROTOCOL, "the answer of /jobs/overview has no list of jobs");
    l->jobs = arena_alloc(l->arena, (jobs->u.children.count + 1) * sizeof(struct json *));
    for (const struct json *j = jobs->u.children.first; j; j = j->next) {
        l->jobs[l->count++] = j;
        l->failed += is_failed(j);
    }
    if (l->count > 1)
        qsort(l->jobs, l->count, sizeof(l->jobs[0]), by_start);
    return 0;
}

static int list(const struct cli_options *o, struct arena *arena, struct err *err)
{
    struct listing l = {.arena = arena};
    int code = cli_connect(o, &l.client, err);

    if (code == 0)
        code = load(&l, err);
    if (code < 0)
        goto out;
    if (o->all || o->running || !o->scheduled)
        print_class(&l, RUNNING, "------------------ Running/Restarting Jobs -------------------",
                    "No running jobs.");
    if (o->all || o->scheduled || !o->running)
        print_class(&l, SCHEDULED, "----------------------- Scheduled Jobs -----------------------",
                    "No scheduled jobs.");
    if (o->all)
        print_class(&l, TERMINATED, "---------------------- Terminated Jobs -----------------------",
                    "No terminated jobs.");
out:
    cli_http_free(l.client);
    return code;
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
    "  -s, --withSavepoint DIR  take a savepoint into DIR first; `rask stop` does it better\n"
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
    int code = cli_parse(&o, CLI_OPT_CLUSTER | CLI_OPT_CANCEL, argc - 2, argv + 2, &err);

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
        if (o.with_savepoint)
            code = cli_cancel_with_savepoint(&o, client, &id, &arena, &err);
        else
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
