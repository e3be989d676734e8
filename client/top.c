/* top.c - `rask top`: where the time of a job goes, vertex by vertex, once a second. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cause.h"
#include "client/client.h"
#include "common/base/check.h"
#include "common/base/map.h"

static const char help[] =
    "rask top [OPTIONS] [JOBID]\n"
    "Shows the vertices of a job, or of all jobs that run: records a second, where the time goes, what waits.\n"
    "The vertex that holds the job back is marked with *, and the cause is named.\n"
    "\n"
    "  -n COUNT                 that many tables, then end; without it until the jobs are over\n"
    "  -m, --jobmanager ADDR    HOST:PORT of the REST API (rest.address, rest.port)\n"
    "  -D key=value             a setting of the configuration\n";

#define JOBS_MAX 16
#define VERTICES_MAX 256
#define FIRST_TRIES 30 /* a tenth of a second each: the first look starts the figures */

struct top {
    struct cli_http *client;
    struct arena arena; /* of one round */
    struct err *err;
    bool all_known;     /* every running vertex had figures */
    size_t running;     /* jobs */
    struct map *watched; /* ids of jobs that were seen running, or on their way there */
    char failed[ID_TEXT_MAX]; /* one of them; "": none */
};

static int call(struct top *t, const struct json **ret, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int call(struct top *t, const struct json **ret, const char *fmt, ...)
{
    char path[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(path, sizeof(path), fmt, args);
    va_end(args);
    return cli_call_json(t->client, "GET", path, NULL, 0, &t->arena, ret, t->err);
}

static double number(const struct json *object, const char *key)
{
    const struct json *j = json_get(object, key);

    return !j ? 0 : j->type == JSON_DOUBLE ? j->u.number : j->type == JSON_INT ? (double)j->u.integer : 0;
}

/* One aggregate of one metric in an answer of subtasks/metrics; 0 when it is not there. */
static double figure(const struct json *list, const char *metric, const char *aggregate)
{
    for (const struct json *m = list->u.children.first; m; m = m->next)
        if (strcmp(json_get_string(m, "id", ""), metric) == 0)
            return number(m, aggregate);
    return 0;
}

static int read_vertex(struct top *t, const char *job, const struct json *from, struct cli_vertex *v)
{
    const struct json *list;
    int code;

    *v = (struct cli_vertex){.id = json_get_string(from, "id", "?"),
                             .name = json_get_string(from, "name", "?"),
                             .parallelism = json_get_int(from, "parallelism", 1),
                             .max_parallelism = json_get_int(from, "maxParallelism", 1),
                             .fed_by = -1};
    code = call(t, &list, "/jobs/%s/vertices/%s/subtasks/metrics?get=busyTimeMsPerSecond,idleTimeMsPerSecond,"
                "backPressuredTimeMsPerSecond,readyTimeMsPerSecond,numRecordsInPerSecond,numRecordsOutPerSecond,"
                "buffers.inputQueueLength,buffers.outputQueueLength,hottestKeyGroupShare,sinkTimeShare", job, v->id);
    if (code < 0)
        return code;
    if (list->type != JSON_ARRAY)
        return err_set(t->err, ERR_PROTOCOL, "the metrics of vertex %s are no list", v->id);
    v->known = list->u.children.count > 0;
    v->busy = figure(list, "busyTimeMsPerSecond", "avg");
    v->busy_max = figure(list, "busyTimeMsPerSecond", "max");
    v->idle = figure(list, "idleTimeMsPerSecond", "avg");
    v->pressed = figure(list, "backPressuredTimeMsPerSecond", "avg");
    v->pressed_max = figure(list, "backPressuredTimeMsPerSecond", "max");
    v->ready_max = figure(list, "readyTimeMsPerSecond", "max");
    v->records_in = figure(list, "numRecordsInPerSecond", "sum");
    v->records_out = figure(list, "numRecordsOutPerSecond", "sum");
    v->queue_in = figure(list, "buffers.inputQueueLength", "sum");
    v->queue_out = figure(list, "buffers.outputQueueLength", "sum");
    v->sink_share = figure(list, "sinkTimeShare", "avg");
    v->hot_share = figure(list, "hottestKeyGroupShare", "max");
    if (!v->known && strcmp(json_get_string(from, "status", ""), "RUNNING") == 0)
        t->all_known = false;
    return 0;
}

static int64_t index_of(const struct cli_vertex *v, int64_t count, const char *id)
{
    for (int64_t i = 0; i < count; i++)
        if (strcmp(v[i].id, id) == 0)
            return i;
    return -1;
}

/* What a vertex has to know of those that feed it. */
static void connect_vertices(const struct json *job, struct cli_vertex *v, int64_t count)
{
    const struct json *nodes = json_get(json_get(job, "plan"), "nodes");

    for (const struct json *n = nodes && nodes->type == JSON_ARRAY ? nodes->u.children.first : NULL; n; n = n->next) {
        const struct json *inputs = json_get(n, "inputs");
        int64_t to = index_of(v, count, json_get_string(n, "id", "?"));

        if (to < 0 || !inputs || inputs->type != JSON_ARRAY)
            continue;
        for (const struct json *in = inputs->u.children.first; in; in = in->next) {
            int64_t from = index_of(v, count, json_get_string(in, "id", "?"));

            if (from < 0)
                continue;
            v[to].fed_pressed_max = MAX(v[to].fed_pressed_max, v[from].pressed_max);
            if (v[from].hot_share > v[to].fed_hot_share) {
                v[to].fed_hot_share = v[from].hot_share;
                v[to].fed_by = from;
            }
        }
    }
}

/* ---- the table ---- */

/* At most five characters: 950, 12.3k, 4.56M. */
static const char *short_number(double n, char text[16])
{
    static const char units[] = " kMGT";
    size_t u = 0;

    while (n >= 999.5 && u + 2 < sizeof(units)) {
        n /= 1000;
        u++;
    }
    snprintf(text, 16, u == 0 ? "%.0f" : n < 9.995 ? "%.2f%c" : n < 99.95 ? "%.1f%c" : "%.0f%c", n, units[u]);
    return text;
}

/* " 77 to subtask 3, 41% of the rows": from one sender, the others see the same keys. */
static void print_key(struct top *t, const char *job, const struct cli_vertex *v, const struct cli_vertex *from)
{
    const struct json *list;
    int64_t group = -1;

    if (call(t, &list, "/jobs/%s/vertices/%s/subtasks/0/metrics?get=hottestKeyGroup", job, from->id) == 0 &&
        list->type == JSON_ARRAY && list->u.children.first)
        group = strtoll(json_get_string(list->u.children.first, "value", "-1"), NULL, 10);
    if (group >= 0 && v->max_parallelism > 0)
        printf(" %lld of subtask %lld, %.0f%% of the rows", (long long)group,
               (long long)(group * v->parallelism / v->max_parallelism), 100 * v->fed_hot_share);
}

static void print_vertex(const struct cli_vertex *v, bool worst)
{
    char in[16], out[16];
    int len = (int)strlen(v->name);

    printf("%c %-36.*s%s %4lld", worst ? '*' : ' ', len > 36 ? 34 : 36, v->name, len > 36 ? ".." : "",
           (long long)v->parallelism);
    if (v->known)
        printf(" %7s %7s %5.0f %5.0f %6.0f %6.0f %6.0f", short_number(v->records_in, in),
               short_number(v->records_out, out), v->busy, v->idle, v->pressed, v->queue_in, v->queue_out);
    else
        printf(" %7s %7s %5s %5s %6s %6s %6s", "-", "-", "-", "-", "-", "-", "-");
}

/* "  compressed: 4.52G to 1.02G, 4.4 x": nothing for a job that does not. */
static void print_compression(struct top *t, const char *job)
{
    double bytes[2] = {0, 0};
    const struct json *list;
    char plain[16], sent[16];
    size_t n = 0;

    if (call(t, &list, "/jobs/%s/metrics?get=compressedBytes,compressedBytesSent", job) < 0 || list->type != JSON_ARRAY)
        return;
    for (const struct json *m = list->u.children.first; m && n < ARRAY_LEN(bytes); m = m->next)
        bytes[n++] = strtod(json_get_string(m, "value", "0"), NULL);
    if (bytes[1] > 0)
        printf("  compressed: %s to %s, %.1f x\n", short_number(bytes[0], plain), short_number(bytes[1], sent), bytes[0] / bytes[1]);
}

/* more: vertices beyond count. */
static void print_table(struct top *t, const struct json *job, const struct cli_vertex *v, int64_t count, int64_t more)
{
    const char *id = json_get_string(job, "jid", "?");
    int64_t worst = cli_worst(v, count);

    printf("%s  %s  %s\n", id, json_get_string(job, "name", "?"), json_get_string(job, "state", "?"));
    printf("  %-36s %4s %7s %7s %5s %5s %6s %6s %6s\n", "VERTEX", "PAR", "IN/s", "OUT/s", "BUSY", "IDLE", "BACKPR", "QUEUED",
           "TO GO");
    for (int64_t i = 0; i < count; i++) {
        enum cli_cause cause = i == worst ? cli_cause_of(&v[i]) : CLI_CAUSE_NONE;

        print_vertex(&v[i], i == worst);
        if (cause != CLI_CAUSE_NONE)
            printf("  %s", cli_cause_name(cause));
        if (cause == CLI_CAUSE_KEY && v[i].fed_by >= 0)
            print_key(t, id, &v[i], &v[v[i].fed_by]);
        putchar('\n');
    }
    if (more > 0)
        printf("  and %lld more vertices\n", (long long)more);
    print_compression(t, id);
    putchar('\n');
}

/* A job in this state: whether it is to be looked at again. */
static bool watch(struct top *t, const char *id, const char *state)
{
    bool failed = strcmp(state, "FAILED") == 0;

    if (!failed && strcmp(state, "FINISHED") != 0 && strcmp(state, "CANCELED") != 0) {
        map_put_str(t->watched, id, t);
        return true;
    }
    if (map_remove_str(t->watched, id) && failed)
        snprintf(t->failed, sizeof(t->failed), "%s", id);
    return false;
}

static int top_job(struct top *t, const char *id, bool print)
{
    struct cli_vertex v[VERTICES_MAX];
    const struct json *job, *list;
    int64_t count = 0;
    int code = call(t, &job, "/jobs/%s", id);

    if (code < 0)
        return code;
    list = json_get(job, "vertices");
    if (!list || list->type != JSON_ARRAY)
        return err_set(t->err, ERR_PROTOCOL, "the answer of /jobs/%s has no vertices", id);
    for (const struct json *from = list->u.children.first; from && count < VERTICES_MAX; from = from->next) {
        code = read_vertex(t, id, from, &v[count++]);
        if (code < 0)
            return code;
    }
    connect_vertices(job, v, count);
    t->running += watch(t, id, json_get_string(job, "state", ""));
    if (print)
        print_table(t, job, v, count, (int64_t)list->u.children.count - count);
    return 0;
}

/* The job that was named, or all that run. */
static int top_round(struct top *t, const char *only, bool print)
{
    const struct json *answer, *jobs;
    int code = 0, shown = 0, more = 0;

    t->all_known = true;
    t->running = 0;
    if (only)
        return top_job(t, only, print);
    code = call(t, &answer, "/jobs/overview");
    jobs = code == 0 ? json_get(answer, "jobs") : NULL;
    for (const struct json *j = jobs && jobs->type == JSON_ARRAY ? jobs->u.children.first : NULL; j && code == 0; j = j->next) {
        const char *id = json_get_string(j, "jid", "?"), *state = json_get_string(j, "state", "");

        if (strcmp(state, "RUNNING") != 0) { /* one that starts again, or is about to fail, comes back */
            t->running += map_get_str(t->watched, id) && watch(t, id, state);
            continue;
        }
        if (shown == JOBS_MAX) {
            more++;
            continue;
        }
        shown++;
        code = top_job(t, id, print);
    }
    if (code == 0 && print && shown == 0)
        puts("No running jobs.");
    if (code == 0 && print && more > 0)
        printf("And %d more that run: `rask list` names them, `rask top JOBID` shows one.\n", more);
    return code;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static int top(const struct cli_options *o, const char *only, struct err *err)
{
    struct top t = {.err = err, .watched = map_new()};
    bool terminal = isatty(1) == 1;
    int code = cli_connect(o, &t.client, err);

    arena_init(&t.arena);
    for (int i = 0; code == 0 && i < FIRST_TRIES; i++) {
        code = top_round(&t, only, false);
        if (t.all_known)
            break;
        pause_ms(100);
    }
    for (uint32_t i = 0; code == 0 && (o->count == 0 || i < o->count); i++) {
        if (i > 0)
            pause_ms(1000);
        arena_release(&t.arena);
        arena_init(&t.arena);
        if (terminal)
            fputs("\033[H\033[2J", stdout);
        code = top_round(&t, only, true);
        if (code == 0)
            code = cli_flush(err);
        if (t.running == 0)
            break;
    }
    if (code == 0 && t.failed[0])
        code = err_set(err, ERR_USER, "job %s has failed: `rask list -a` says why", t.failed);
    map_free(t.watched);
    arena_release(&t.arena);
    cli_http_free(t.client);
    return code;
}

int cli_top(int argc, char **argv)
{
    struct cli_options o;
    struct err err = {0};
    struct id id;
    char text[ID_TEXT_MAX];
    int code = cli_parse(&o, CLI_OPT_CLUSTER | CLI_OPT_TOP, argc - 2, argv + 2, &err);

    if (code == 0 && o.help) {
        fputs(help, stdout);
        return 0;
    }
    if (code == 0 && o.file_count > 1)
        code = err_set(&err, ERR_INVALID, "`rask top` takes one job id, or none for all jobs that run");
    if (code == 0 && o.file_count == 1 && !id_parse(o.files[0], &id))
        code = err_set(&err, ERR_INVALID, "`%s` is no job id: 32 hexadecimal digits", o.files[0]);
    if (code == 0)
        code = top(&o, o.file_count ? id_format(&id, text) : NULL, &err);
    return code < 0 ? cli_fail(&err) : 0;
}
