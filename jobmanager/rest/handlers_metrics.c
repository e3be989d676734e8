/*
 * handlers_metrics.c - figures by Flink's names: of subtasks, jobs, TaskManagers and the JobManager.
 *
 * Without ?get= an answer lists the names, with it the values as text, or aggregates as numbers.  A name that is not
 * known is left out.  What only a look brings (jm_live) is there from the second question on.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "jobmanager/rest/rest_private.h"

#define NAMES_MAX 100  /* asked for */

enum metric_kind { METRIC_INT, METRIC_DOUBLE, METRIC_BOOL };
struct metric {
    const char *name;
    enum metric_kind kind;
    double value; /* exact up to 2^53 */
    int64_t whole; /* METRIC_INT */
};
struct metric_set { /* zero-initialised: empty; used again for one thing after the other */
    struct metric *at;
    size_t count, room;
    struct arena *arena; /* the request's */
};
typedef void fill_fn(const struct rest_request *r, const void *item, struct metric_set *set);
struct metric_source { /* things that have figures of the same names */
    fill_fn *fill;
    const void *items;
    size_t size, count;
    bool *chosen;  /* by item; NULL: all */
    bool numbered; /* names begin with the item's number: "0.numRecordsIn" */
};

static void put(struct metric_set *set, struct metric metric)
{
    if (set->count == set->room) {
        struct metric *more = arena_alloc(set->arena, (set->room * 2 + 64) * sizeof(*more));

        if (set->count > 0)
            memcpy(more, set->at, set->count * sizeof(*more));
        set->room = set->room * 2 + 64;
        set->at = more;
    }
    set->at[set->count++] = metric;
}

static void put_int(struct metric_set *set, const char *name, int64_t value)
{
    put(set, (struct metric){name, METRIC_INT, (double)value, value});
}

static void put_double(struct metric_set *set, const char *name, double value)
{
    put(set, (struct metric){name, METRIC_DOUBLE, value, 0});
}

static void fill(struct rest_request *r, const struct metric_source *from, size_t i, struct metric_set *set)
{
    set->count = 0;
    set->arena = &r->arena;
    from->fill(r, (const char *)from->items + i * from->size, set);
}

/* ---- what there is ---- */

static void fill_times(const struct jm_live *l, struct metric_set *set)
{
    put_double(set, "busyTimeMsPerSecond", l->busy);
    put_int(set, "idleTimeMsPerSecond", l->idle);
    put_int(set, "backPressuredTimeMsPerSecond", l->soft + l->hard);
    put_int(set, "softBackPressuredTimeMsPerSecond", l->soft);
    put_int(set, "hardBackPressuredTimeMsPerSecond", l->hard);
    put_int(set, "readyTimeMsPerSecond", l->ready);
    put(set, (struct metric){"isBackPressured", METRIC_BOOL, l->out_permille >= 1000, 0});
}

static void fill_live(const struct jm_live *l, struct metric_set *set)
{
    fill_times(l, set);
    put_double(set, "numRecordsInPerSecond", l->records_in_rate);
    put_double(set, "numRecordsOutPerSecond", l->records_out_rate);
    put_double(set, "numBytesInPerSecond", l->bytes_in_rate);
    put_double(set, "numBytesOutPerSecond", l->bytes_out_rate);
    put_int(set, "buffers.inputQueueLength", (int64_t)l->input_queue_length);
    put_int(set, "buffers.inputQueueSize", (int64_t)l->input_queue_bytes);
    put_double(set, "buffers.inPoolUsage", l->in_permille / 1000.0);
    put_int(set, "buffers.outputQueueLength", (int64_t)l->output_queue_length);
    put_int(set, "buffers.outputQueueSize", (int64_t)l->output_queue_bytes);
    put_double(set, "buffers.outPoolUsage", l->out_permille / 1000.0);
    put_int(set, "Shuffle.Netty.Input.Buffers.inputQueueLength", (int64_t)l->input_queue_length);
    put_int(set, "Shuffle.Netty.Input.Buffers.inputQueueSize", (int64_t)l->input_queue_bytes);
    put_double(set, "Shuffle.Netty.Input.Buffers.inPoolUsage", l->in_permille / 1000.0);
    put_int(set, "Shuffle.Netty.Output.Buffers.outputQueueLength", (int64_t)l->output_queue_length);
    put_int(set, "Shuffle.Netty.Output.Buffers.outputQueueSize", (int64_t)l->output_queue_bytes);
    put_double(set, "Shuffle.Netty.Output.Buffers.outPoolUsage", l->out_permille / 1000.0);
    put_int(set, "inFlightBytes", (int64_t)l->in_flight_bytes);
    put_int(set, "currentInputWatermark", l->watermark);
    put_double(set, "sinkTimeShare", l->sink_permille / 1000.0);
    if (l->hot_permille > 0) {
        put_int(set, "hottestKeyGroup", l->hot_key_group);
        put_double(set, "hottestKeyGroupShare", l->hot_permille / 1000.0);
    }
}

static void fill_subtask(const struct rest_request *r, const void *item, struct metric_set *set)
{
    const struct jm_subtask_snapshot *s = item;
    const struct jm_metrics *m = &s->metrics;

    (void)r;
    put_int(set, "numRecordsIn", (int64_t)m->records_in);
    put_int(set, "numRecordsOut", (int64_t)m->records_out);
    put_int(set, "numBytesIn", (int64_t)m->bytes_in);
    put_int(set, "numBytesOut", (int64_t)m->bytes_out);
    put_int(set, "numRecordsInRemote", (int64_t)m->remote_records_in);
    put_int(set, "numTakes", (int64_t)m->takes);
    put_double(set, "accumulateBusyTimeMs", (double)m->busy_ms);
    put_int(set, "accumulateIdleTimeMs", (int64_t)m->idle_ms);
    put_int(set, "accumulateBackPressuredTimeMs", (int64_t)m->backpressured_ms);
    if (s->live)
        fill_live(s->live, set);
    for (uint32_t i = 0; s->figures && i < s->figures->count; i++) {
        const struct jm_figure *f = &s->figures->at[i];

        put(set, (struct metric){f->name, f->is_whole ? METRIC_INT : METRIC_DOUBLE, f->value, f->whole});
    }
}

static void fill_job(const struct rest_request *r, const void *item, struct metric_set *set)
{
    static const struct {
        enum jm_job_state state;
        const char *name;
    } timed[] = {{JM_JOB_INITIALIZING, "initializingTime"}, {JM_JOB_CREATED, "createdTime"},
                 {JM_JOB_RUNNING, "runningTime"},           {JM_JOB_RESTARTING, "restartingTime"},
                 {JM_JOB_FAILING, "failingTime"},           {JM_JOB_CANCELLING, "cancellingTime"}};
    const struct jm_job_snapshot *job = *(const struct jm_job_snapshot *const *)item;
    int64_t in_state = MAX(rest_now_ms() - job->state_at_ms[job->state], 0);
    bool over = jm_job_state_is_final(job->state);

    (void)r;
    for (size_t i = 0; i < ARRAY_LEN(timed); i++)
        put_int(set, timed[i].name, job->state == timed[i].state ? in_state : 0);
    put_int(set, "uptime", over ? -1 : job->state == JM_JOB_RUNNING ? in_state : 0);
    put_int(set, "downtime", over ? -1 : 0);
    put_int(set, "numRestarts", job->restarts);
    put_int(set, "fullRestarts", job->restarts);
    put_int(set, "compressedBytes", (int64_t)job->packed_bytes);
    put_int(set, "compressedBytesSent", (int64_t)job->packed_sent_bytes);
}

/* Of the workers on a TaskManager, in the jobs that somebody looks at. */
static uint64_t blocks_in_use(const struct jm_cluster_snapshot *c, const char *taskmanager_id)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < c->job_count; i++)
        for (uint32_t w = 0; w < c->jobs[i]->worker_count; w++)
            if (strcmp(c->jobs[i]->workers[w].taskmanager_id, taskmanager_id) == 0)
                sum += c->jobs[i]->workers[w].pool_in_use_bytes;
    return sum;
}

static void fill_taskmanager(const struct rest_request *r, const void *item, struct metric_set *set)
{
    const struct jm_taskmanager_snapshot *t = item;
    uint64_t used = blocks_in_use(r->snapshot, t->id), total = t->network_bytes;

    put_int(set, "Status.JVM.Memory.Heap.Used", (int64_t)t->rss_bytes);
    put_int(set, "Status.JVM.Memory.Heap.Committed", (int64_t)t->rss_bytes);
    put_int(set, "Status.JVM.Memory.Heap.Max", (int64_t)t->process_bytes);
    put_int(set, "Status.Flink.Memory.Managed.Total", (int64_t)t->managed_bytes);
    put_int(set, "Status.Shuffle.Netty.TotalMemory", (int64_t)total);
    put_int(set, "Status.Shuffle.Netty.UsedMemory", (int64_t)used);
    put_int(set, "Status.Shuffle.Netty.AvailableMemory", (int64_t)(total - MIN(used, total)));
    put_int(set, "Status.Shuffle.Netty.RequestedMemoryUsage", total ? (int64_t)(used * 100 / total) : 0);
}

static void fill_jobmanager(const struct rest_request *r, const void *item, struct metric_set *set)
{
    const struct jm_cluster_snapshot *c = item;
    int64_t running = 0;

    (void)r;
    for (uint32_t i = 0; i < c->job_count; i++)
        running += c->jobs[i]->state == JM_JOB_RUNNING;
    put_int(set, "numRegisteredTaskManagers", c->taskmanager_count);
    put_int(set, "numRunningJobs", running);
    put_int(set, "taskSlotsAvailable", c->slots_free);
    put_int(set, "taskSlotsTotal", c->slots);
}

/* ---- lists and values ---- */

static void view_id(struct rest_request *r, const struct metric_source *from, size_t item, const char *name)
{
    char number[16] = "";
    char *id;

    if (from->numbered)
        snprintf(number, sizeof(number), "%zu.", item);
    id = mem_printf("%s%s", number, name);
    jw_string(&r->w, "id", id);
    mem_free(id);
}

static void view_value(struct rest_request *r, const struct metric *m)
{
    char text[64];

    if (m->kind == METRIC_BOOL)
        snprintf(text, sizeof(text), "%s", m->value != 0 ? "true" : "false");
    else if (m->kind == METRIC_INT)
        snprintf(text, sizeof(text), "%lld", (long long)m->whole);
    else
        snprintf(text, sizeof(text), floor(m->value) == m->value ? "%.1f" : "%.15g", m->value);
    jw_string(&r->w, "value", text);
}

static const struct metric *find(const struct metric_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->at[i].name, name) == 0)
            return &set->at[i];
    return NULL;
}

/* The next of comma separated names, in the request's arena; NULL: no more. */
static const char *next_name(struct rest_request *r, const char **list)
{
    size_t len = strcspn(*list, ",");
    char *name;

    if (!**list)
        return NULL;
    name = arena_alloc(&r->arena, len + 1);
    memcpy(name, *list, len);
    *list += len + ((*list)[len] == ',');
    return name;
}

static bool too_many(struct rest_request *r, const char *list)
{
    size_t n = 1;

    for (; list && *list; list++)
        n += *list == ',';
    if (n <= NAMES_MAX)
        return false;
    rest_fail(r, 400, "Bad request, %zu metrics are asked for: ask for %d at a time.", n, NAMES_MAX);
    return true;
}

static void view_one(struct rest_request *r, const struct metric_source *from, const char *name, struct metric_set *set)
{
    const struct metric *m;
    char *end = NULL;
    unsigned long item = from->numbered ? strtoul(name, &end, 10) : 0;

    if (from->numbered && (end == name || *end != '.'))
        return;
    if (item >= from->count)
        return;
    fill(r, from, item, set);
    m = find(set, from->numbered ? end + 1 : name);
    if (!m)
        return;
    jw_object(&r->w, NULL);
    jw_string(&r->w, "id", name);
    view_value(r, m);
    jw_object_end(&r->w);
}

static void answer_each(struct rest_request *r, const struct metric_source *from)
{
    const char *get = rest_query(r, "get"), *name;
    struct metric_set set = {0};

    if (too_many(r, get))
        return;
    jw_array(&r->w, NULL);
    while (get && (name = next_name(r, &get)) != NULL)
        view_one(r, from, name, &set);
    for (size_t i = 0; !rest_query(r, "get") && i < from->count; i++) {
        fill(r, from, i, &set);
        for (size_t k = 0; k < set.count; k++) {
            jw_object(&r->w, NULL);
            view_id(r, from, i, set.at[k].name);
            jw_object_end(&r->w);
        }
    }
    jw_array_end(&r->w);
    rest_ok(r);
}

/* ---- aggregates ---- */

static const char *const aggregates[] = {"min", "max", "avg", "sum", "skew"};
enum { AGG_MIN, AGG_MAX, AGG_AVG, AGG_SUM, AGG_SKEW, AGG_COUNT };

/* ?agg=min,max; false: answered. */
static bool wanted_aggregates(struct rest_request *r, bool wanted[AGG_COUNT])
{
    const char *list = rest_query(r, "agg"), *name;

    for (int i = 0; i < AGG_COUNT; i++)
        wanted[i] = !list || !*list;
    while (list && (name = next_name(r, &list)) != NULL) {
        int i = 0;

        while (i < AGG_COUNT && strcmp(aggregates[i], name) != 0)
            i++;
        if (i == AGG_COUNT) {
            rest_fail(r, 400, "Bad request, could not parse parameters: Cannot resolve query parameter (agg) from value "
                              "\"%s\".", name);
            return false;
        }
        wanted[i] = true;
    }
    return true;
}

static void view_aggregate(struct rest_request *r, const char *name, const double *values, size_t count,
                           const bool wanted[AGG_COUNT])
{
    double figures[AGG_COUNT] = {values[0], values[0]}, away = 0;

    for (size_t i = 0; i < count; i++) {
        figures[AGG_MIN] = MIN(figures[AGG_MIN], values[i]);
        figures[AGG_MAX] = MAX(figures[AGG_MAX], values[i]);
        figures[AGG_SUM] += values[i];
    }
    figures[AGG_AVG] = figures[AGG_SUM] / (double)count;
    for (size_t i = 0; i < count; i++)
        away += fabs(values[i] - figures[AGG_AVG]);
    if (figures[AGG_SUM] != 0) /* Flink's: the mean distance from the mean, in percent of it */
        figures[AGG_SKEW] = MIN(fabs(100 * away / figures[AGG_SUM]), 100.0);
    jw_object(&r->w, NULL);
    jw_string(&r->w, "id", name);
    for (int i = 0; i < AGG_COUNT; i++)
        if (wanted[i])
            jw_double(&r->w, aggregates[i], figures[i]);
    jw_object_end(&r->w);
}

static void view_names(struct rest_request *r, const struct metric_source *from)
{
    struct metric_set set = {0}, most = {0};

    for (size_t i = 0; i < from->count; i++) {
        fill(r, from, i, &set);
        if (set.count > most.count) {
            struct metric_set kept = set;

            set = most;
            most = kept;
        }
    }
    for (size_t i = 0; i < most.count; i++) {
        jw_object(&r->w, NULL);
        jw_string(&r->w, "id", most.at[i].name);
        jw_object_end(&r->w);
    }
}

static void answer_aggregated(struct rest_request *r, const struct metric_source *from)
{
    const char *get = rest_query(r, "get"), *name;
    struct metric_set set = {0};
    bool wanted[AGG_COUNT];
    double *values;

    if (too_many(r, get) || !wanted_aggregates(r, wanted))
        return;
    values = arena_alloc(&r->arena, (from->count + 1) * sizeof(*values));
    jw_array(&r->w, NULL);
    if (!get)
        view_names(r, from);
    while (get && (name = next_name(r, &get)) != NULL) {
        size_t count = 0;

        for (size_t i = 0; i < from->count; i++) {
            const struct metric *m;

            if (from->chosen && !from->chosen[i])
                continue;
            fill(r, from, i, &set);
            m = find(&set, name);
            if (m && m->kind != METRIC_BOOL)
                values[count++] = m->value;
        }
        if (count > 0)
            view_aggregate(r, name, values, count, wanted);
    }
    jw_array_end(&r->w);
    rest_ok(r);
}

/* ---- handlers ---- */

static struct metric_source subtasks_of(const struct jm_vertex_snapshot *v)
{
    return (struct metric_source){.fill = fill_subtask, .items = v->subtasks, .size = sizeof(v->subtasks[0]),
                                  .count = v->parallelism};
}

void rest_get_vertex_metrics(struct rest_request *r)
{
    const struct jm_vertex_snapshot *v = rest_vertex(r);
    struct metric_source from;

    if (!v)
        return;
    from = subtasks_of(v);
    from.numbered = true;
    answer_each(r, &from);
}

/* ?subtasks=0,2-5; false: answered. */
static bool choose_subtasks(struct rest_request *r, struct metric_source *from)
{
    const char *list = rest_query(r, "subtasks"), *part;

    if (!list || !*list)
        return true;
    from->chosen = arena_alloc(&r->arena, from->count + 1);
    while ((part = next_name(r, &list)) != NULL) {
        char *end;
        unsigned long first = strtoul(part, &end, 10), last = first;

        if (end != part && *end == '-' && end[1] >= '0' && end[1] <= '9')
            last = strtoul(end + 1, &end, 10);
        if (end == part || *end || part[0] == '-') {
            rest_fail(r, 400, "Bad request, could not parse parameters: Cannot resolve query parameter (subtasks) from "
                              "value \"%s\".", part);
            return false;
        }
        for (unsigned long i = first; i <= last && i < from->count; i++)
            from->chosen[i] = true;
    }
    return true;
}

void rest_get_vertex_subtasks_metrics(struct rest_request *r)
{
    const struct jm_vertex_snapshot *v = rest_vertex(r);
    struct metric_source from;

    if (!v)
        return;
    from = subtasks_of(v);
    if (choose_subtasks(r, &from))
        answer_aggregated(r, &from);
}

void rest_get_subtask_metrics(struct rest_request *r)
{
    const struct jm_vertex_snapshot *v = rest_vertex(r);
    const struct jm_subtask_snapshot *s = v ? rest_subtask(r, v) : NULL;

    if (s)
        answer_each(r, &(struct metric_source){.fill = fill_subtask, .items = s, .size = sizeof(*s), .count = 1});
}

void rest_get_job_metrics(struct rest_request *r)
{
    answer_each(r, &(struct metric_source){.fill = fill_job, .items = &r->job, .size = sizeof(r->job), .count = 1});
}

static bool in_list(struct rest_request *r, const char *list, const char *text)
{
    for (const char *name; (name = next_name(r, &list)) != NULL;)
        if (strcmp(name, text) == 0)
            return true;
    return false;
}

void rest_get_jobs_metrics(struct rest_request *r)
{
    struct metric_source from = {.fill = fill_job, .items = r->snapshot->jobs, .size = sizeof(r->snapshot->jobs[0]),
                                 .count = r->snapshot->job_count};
    const char *list = rest_query(r, "jobs");
    char text[ID_TEXT_MAX];

    if (list && *list) {
        from.chosen = arena_alloc(&r->arena, from.count + 1);
        for (size_t i = 0; i < from.count; i++)
            from.chosen[i] = in_list(r, list, id_format(&r->snapshot->jobs[i]->id, text));
    }
    answer_aggregated(r, &from);
}

void rest_get_taskmanagers_metrics(struct rest_request *r)
{
    struct metric_source from = {.fill = fill_taskmanager, .items = r->snapshot->taskmanagers,
                                 .size = sizeof(r->snapshot->taskmanagers[0]), .count = r->snapshot->taskmanager_count};
    const char *list = rest_query(r, "taskmanagers");

    if (list && *list) {
        from.chosen = arena_alloc(&r->arena, from.count + 1);
        for (size_t i = 0; i < from.count; i++)
            from.chosen[i] = in_list(r, list, r->snapshot->taskmanagers[i].id);
    }
    answer_aggregated(r, &from);
}

void rest_get_taskmanager_metrics(struct rest_request *r)
{
    const struct jm_taskmanager_snapshot *t = rest_taskmanager(r);

    if (t)
        answer_each(r, &(struct metric_source){.fill = fill_taskmanager, .items = t, .size = sizeof(*t), .count = 1});
}

void rest_get_jobmanager_metrics(struct rest_request *r)
{
    answer_each(r, &(struct metric_source){.fill = fill_jobmanager, .items = r->snapshot, .size = sizeof(*r->snapshot),
                                           .count = 1});
}

/* ---- back pressure ---- */

static const char *level_of(uint32_t ms)
{
    return ms <= 100 ? "ok" : ms <= 500 ? "low" : "high";
}

void rest_get_vertex_backpressure(struct rest_request *r)
{
    const struct jm_vertex_snapshot *v = rest_vertex(r);
    uint32_t most = 0, known = 0;

    if (!v)
        return;
    for (uint32_t i = 0; i < v->parallelism; i++) {
        const struct jm_live *l = v->subtasks[i].live;

        known += l != NULL;
        most = l ? MAX(most, l->soft + l->hard) : most;
    }
    jw_object(&r->w, NULL);
    jw_string(&r->w, "status", known ? "ok" : "deprecated"); /* Flink's word for: ask again */
    if (known) {
        jw_string(&r->w, "backpressureLevel", level_of(most));
        jw_string(&r->w, "backpressure-level", level_of(most));
        jw_int(&r->w, "end-timestamp", r->snapshot->made_ms);
        jw_array(&r->w, "subtasks");
        for (uint32_t i = 0; i < v->parallelism; i++) {
            const struct jm_live *l = v->subtasks[i].live;

            if (!l)
                continue;
            jw_object(&r->w, NULL);
            jw_int(&r->w, "subtask", v->subtasks[i].subtask);
            jw_int(&r->w, "attempt-number", v->subtasks[i].attempt);
            jw_string(&r->w, "backpressureLevel", level_of(l->soft + l->hard));
            jw_string(&r->w, "backpressure-level", level_of(l->soft + l->hard));
            jw_double(&r->w, "ratio", (l->soft + l->hard) / 1000.0);
            jw_double(&r->w, "idleRatio", l->idle / 1000.0);
            jw_double(&r->w, "busyRatio", l->busy / 1000.0);
            jw_object_end(&r->w);
        }
        jw_array_end(&r->w);
    }
    jw_object_end(&r->w);
    rest_ok(r);
}
