/*
 * attach.c - follows a job until it is over: its output to stdout, its progress to stderr, Ctrl-C cancels it.
 *
 * It asks again after 20 ms, growing to 500 ms.  On a terminal progress is one line that is written over;
 * elsewhere a line per change of state and every ten seconds.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/client.h"
#include "common/base/check.h"

#define POLL_FIRST_MS 20
#define POLL_LONGEST_MS 500
#define LINE_EVERY_MS 10000

static volatile sig_atomic_t interrupts; /* written by the signal handler alone */

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    if (++interrupts > 1)
        _exit(1);
}

struct attached {
    struct cli_http *client;
    char id[ID_TEXT_MAX];
    bool terminal, line_shown, show_output, cancelled;
    uint32_t worker_count;
    uint64_t offsets[CLI_WORKERS_MAX]; /* of each worker's output, what was printed */
    char state[32];
    char reason[512]; /* why it waits; "": it does not */
    int64_t records, last_records, duration_ms;
    int64_t last_ms, last_line_ms;
    double rate;
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void clear_line(struct attached *a)
{
    if (a->line_shown)
        fputs("\r\033[K", stderr);
    a->line_shown = false;
}

static bool is_over(const struct attached *a)
{
    return strcmp(a->state, "FINISHED") == 0 || strcmp(a->state, "FAILED") == 0 || strcmp(a->state, "CANCELED") == 0;
}

/* ---- output ---- */

/* Prints the lines that worker i has written since; *ret_more: there is more at once. */
static int print_output(struct attached *a, uint32_t i, bool *ret_more, struct err *err)
{
    struct bytes body = {0};
    bool refused;
    int code = cli_get_worker_file(a->client, a->id, "output", i, a->offsets[i], is_over(a), &body, ret_more, &refused, err);

    if (code == 0 && body.len) {
        clear_line(a);
        code = cli_print(body.data, body.len, err);
        a->offsets[i] += body.len;
    } else if (refused) { /* while it runs, the worker may not have begun */
        if (is_over(a)) {
            clear_line(a);
            fprintf(stderr, "rask: note: the output of worker %" PRIu32 " is not complete: %s\n", i, err->text);
        }
        code = 0;
    }
    bytes_release(&body);
    return code;
}

static int print_outputs(struct attached *a, struct err *err)
{
    int code = 0;

    for (uint32_t i = 0; code == 0 && a->show_output && i < MIN(a->worker_count, CLI_WORKERS_MAX); i++) {
        bool more = true;

        while (code == 0 && more)
            code = print_output(a, i, &more, err);
    }
    return code;
}

/* ---- progress ---- */
static void format_count(double n, char *out, size_t size)
{
    if (n >= 10e6)
        snprintf(out, size, "%.1f M", n / 1e6);
    else if (n >= 10e3)
        snprintf(out, size, "%.1f k", n / 1e3);
    else
        snprintf(out, size, "%.0f", n);
}

static void show_progress(struct attached *a, bool changed)
{
    char records[32], rate[32];
    int64_t now = now_ms();

    if (!a->terminal && !changed && now - a->last_line_ms < LINE_EVERY_MS)
        return;
    a->last_line_ms = now;
    format_count((double)a->records, records, sizeof(records));
    format_count(a->rate, rate, sizeof(rate));
    clear_line(a);
    fprintf(stderr, "%s  %s records, %s/s, %.1f s%s", a->state, records, rate, (double)a->duration_ms / 1000,
            a->terminal ? "" : "\n");
    a->line_shown = a->terminal;
    fflush(stderr);
}

/* Takes state and figures from the answer of /jobs/:id. */
static void note(struct attached *a, const struct json *job)
{
    const struct json *vertices = json_get(job, "vertices");
    const char *state = json_get_string(job, "state", "?");
    const char *reason = strcmp(state, "CREATED") == 0 ? json_get_string(job, "reason", "") : "";
    bool changed = strcmp(state, a->state) != 0, waits = strncmp(reason, a->reason, sizeof(a->reason) - 1) != 0;
    int64_t records = 0, now = now_ms();

    for (const struct json *v = vertices && vertices->type == JSON_ARRAY ? vertices->u.children.first : NULL; v; v = v->next) {
        const struct json *metrics = json_get(v, "metrics");

        if (metrics) {
            records = MAX(records, json_get_int(metrics, "read-records", 0));
            records = MAX(records, json_get_int(metrics, "write-records", 0));
            records = MAX(records, json_get_int(metrics, "source-records", 0));
        }
    }
    snprintf(a->state, sizeof(a->state), "%s", state);
    snprintf(a->reason, sizeof(a->reason), "%s", reason);
    a->duration_ms = json_get_int(job, "duration", 0);
    a->worker_count = (uint32_t)json_get_int(job, "workers", 0);
    if (now - a->last_ms >= 500 || (a->last_ms == 0 && records)) {
        if (a->last_ms)
            a->rate = (double)MAX(records - a->last_records, 0) * 1000 / (double)(now - a->last_ms); /* a restart counts anew */
        a->last_ms = now;
        a->last_records = records;
    }
    a->records = records;
    show_progress(a, changed);
    if (waits && reason[0]) {
        clear_line(a);
        fprintf(stderr, "%s  %s\n", a->state, a->reason);
    }
}

static int cancel(struct attached *a, struct err *err)
{
    struct arena arena;
    const struct json *answer;
    char path[96];
    int code;

    clear_line(a);
    fprintf(stderr, "Cancelling job %s; once more leaves it to the cluster\n", a->id);
    snprintf(path, sizeof(path), "/jobs/%s?mode=cancel", a->id);
    arena_init(&arena);
    code = cli_call_json(a->client, "PATCH", path, NULL, 0, &arena, &answer, err);
    arena_release(&arena);
    return code;
}

static int root_cause(struct attached *a, struct err *err)
{
    struct arena arena;
    const struct json *answer;
    char path[96];
    int code;

    snprintf(path, sizeof(path), "/jobs/%s/exceptions", a->id);
    arena_init(&arena);
    code = cli_call_json(a->client, "GET", path, NULL, 0, &arena, &answer, err);
    if (code == 0)
        code = err_set(err, ERR_USER, "job %s failed: %s", a->id,
                       json_get_string(answer, "root-exception", "no cause was recorded"));
    arena_release(&arena);
    return code;
}

/* One round: figures, then output. The figures come first, so that none is missed of a job that is over. */
static int look(struct attached *a, struct err *err)
{
    struct arena arena;
    const struct json *job;
    char path[64];
    int code;

    snprintf(path, sizeof(path), "/jobs/%s", a->id);
    arena_init(&arena);
    code = cli_call_json(a->client, "GET", path, NULL, 0, &arena, &job, err);
    if (code == 0)
        note(a, job);
    arena_release(&arena);
    if (code == 0)
        code = print_outputs(a, err);
    return code;
}

static int follow(struct attached *a, struct err *err)
{
    long wait_ms = POLL_FIRST_MS;
    int code;

    for (;;) {
        struct timespec pause = {wait_ms / 1000, wait_ms % 1000 * 1000000};

        code = look(a, err);
        if (code < 0 || is_over(a))
            return code;
        nanosleep(&pause, NULL); /* a signal ends it early */
        wait_ms = MIN(wait_ms * 5 / 4, POLL_LONGEST_MS);
        if (interrupts && !a->cancelled) {
            a->cancelled = true;
            wait_ms = POLL_FIRST_MS;
            code = cancel(a, err);
            if (code < 0)
                return code;
        }
    }
}

int cli_attach(struct cli_http *client, const struct id *job_id, bool show_output)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    struct attached *a = MEM_NEW(struct attached);
    struct err err = {0};
    int code;

    a->client = client;
    a->terminal = isatty(2) == 1;
    a->show_output = show_output;
    id_format(job_id, a->id);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    code = follow(a, &err);
    clear_line(a);
    if (code < 0) {
        err_wrap(&err, is_over(a) ? "the output of job %s is not complete"
                                  : "lost sight of job %s, which goes on unless its JobManager is gone (rask list tells)", a->id);
    } else if (strcmp(a->state, "FAILED") == 0) {
        code = root_cause(a, &err);
    } else if (strcmp(a->state, "CANCELED") == 0) {
        code = err_set(&err, ERR_CANCELED, "job %s was canceled", a->id);
    } else {
        fprintf(stderr, "Program execution finished\nJob with JobID %s has finished.\nJob Runtime: %" PRId64 " ms\n", a->id,
                a->duration_ms);
    }
    mem_free(a);
    return code < 0 ? cli_fail(&err) : 0;
}
