/*
 * job_pack.c - a job's snapshot as bytes, and back.
 *
 * Little-endian: u32 magic "RKJS", u16 version, u16 zero, u32 length, u32 CRC32C of what follows;
 * then the message. Pure; thread: any.
 */
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/rpc/rpc.h"
#include "jobmanager/job/job_state.h"
#include "jobmanager/job_store/job_store.h"
#include "jobmanager/job_store/job_store_private.h"
#include "proto/jobstore.pb-c.h"

#define MAGIC        0x534a4b52u /* "RKJS" */
#define VERSION      1
#define HEADER_BYTES 16

static const char unassigned[] = "(unassigned)";

/* ---- packing: the message borrows from the snapshot ---- */

static void metrics_out(const struct jm_metrics *m, Rask__Jobstore__Metrics *out)
{
    rask__jobstore__metrics__init(out);
#define FIELD(name)         \
    out->has_##name = true; \
    out->name = m->name
    FIELD(records_in);
    FIELD(records_out);
    FIELD(bytes_in);
    FIELD(bytes_out);
    FIELD(remote_records_in);
    FIELD(source_records);
    FIELD(busy_ms);
    FIELD(idle_ms);
    FIELD(backpressured_ms);
    FIELD(complete);
#undef FIELD
}

static Rask__Jobstore__Vertex *vertex_out(const struct jm_vertex_snapshot *v, struct arena *arena)
{
    Rask__Jobstore__Vertex *out = arena_alloc(arena, sizeof(*out));

    rask__jobstore__vertex__init(out);
    out->id = (ProtobufCBinaryData){.len = sizeof(v->id.bytes), .data = (uint8_t *)v->id.bytes};
    out->name = v->name;
    out->parallelism = v->parallelism;
    out->max_parallelism = v->max_parallelism;
    out->slot_group = v->slot_group;
    out->hidden = v->hidden;
    out->state = v->state;
    out->start_ms = v->start_ms;
    out->end_ms = v->end_ms;
    out->metrics = arena_alloc(arena, sizeof(*out->metrics));
    metrics_out(&v->metrics, out->metrics);
    out->n_subtasks = v->parallelism;
    out->subtasks = arena_alloc(arena, v->parallelism * sizeof(*out->subtasks));
    for (uint32_t i = 0; i < v->parallelism; i++) {
        const struct jm_subtask_snapshot *from = &v->subtasks[i];
        Rask__Jobstore__Subtask *s = arena_alloc(arena, sizeof(*s));

        rask__jobstore__subtask__init(s);
        s->subtask = from->subtask;
        s->attempt = from->attempt;
        s->state = from->state;
        s->n_state_at_ms = JM_TASK_STATE_COUNT;
        s->state_at_ms = (int64_t *)from->state_at_ms;
        s->has_worker = from->worker != UINT32_MAX;
        s->worker = from->worker;
        s->metrics = arena_alloc(arena, sizeof(*s->metrics));
        metrics_out(&from->metrics, s->metrics);
        out->subtasks[i] = s;
    }
    return out;
}

static void failures_out(const struct jm_job_snapshot *job, Rask__Jobstore__Job *out,
                         struct arena *arena)
{
    out->n_failures = job->failure_count;
    out->failures = arena_alloc(arena, job->failure_count * sizeof(*out->failures));
    for (uint32_t i = 0; i < job->failure_count; i++) {
        Rask__Jobstore__Failure *f = arena_alloc(arena, sizeof(*f));

        rask__jobstore__failure__init(f);
        f->at_ms = job->failures[i].at_ms;
        f->text = job->failures[i].text;
        f->task = job->failures[i].task;
        f->endpoint = job->failures[i].endpoint;
        f->taskmanager_id = job->failures[i].taskmanager_id;
        out->failures[i] = f;
    }
}

static void lists_out(const struct jm_job_snapshot *job, Rask__Jobstore__Job *out,
                      struct arena *arena)
{
    out->n_accumulators = job->accumulator_count;
    out->accumulators = arena_alloc(arena, job->accumulator_count * sizeof(*out->accumulators));
    for (uint32_t i = 0; i < job->accumulator_count; i++) {
        Rask__Jobstore__Accumulator *a = out->accumulators[i] = arena_alloc(arena, sizeof(*a));

        rask__jobstore__accumulator__init(a);
        a->name = job->accumulators[i].name;
        a->value = job->accumulators[i].value;
    }
    out->n_config = job->config_count;
    out->config = arena_alloc(arena, job->config_count * sizeof(*out->config));
    for (uint32_t i = 0; i < job->config_count; i++) {
        Rask__Jobstore__Property *p = out->config[i] = arena_alloc(arena, sizeof(*p));

        rask__jobstore__property__init(p);
        p->key = job->config[i].key;
        p->value = job->config[i].value;
    }
    out->n_workers = job->worker_count;
    out->workers = arena_alloc(arena, job->worker_count * sizeof(*out->workers));
    for (uint32_t i = 0; i < job->worker_count; i++) {
        Rask__Jobstore__Worker *w = out->workers[i] = arena_alloc(arena, sizeof(*w));

        rask__jobstore__worker__init(w);
        w->taskmanager_id = job->workers[i].taskmanager_id;
        w->host = job->workers[i].host;
        w->endpoint = job->workers[i].endpoint;
    }
}

void jm_job_pack(const struct jm_job_snapshot *job, struct bytes *out)
{
    Rask__Jobstore__Job msg = RASK__JOBSTORE__JOB__INIT;
    struct arena arena;
    uint8_t *packed;
    size_t size;

    arena_init(&arena);
    msg.id = (ProtobufCBinaryData){.len = sizeof(job->id.bytes), .data = (uint8_t *)job->id.bytes};
    msg.name = job->name;
    msg.state = job->state;
    msg.reason = job->reason;
    msg.n_state_at_ms = JM_JOB_STATE_COUNT;
    msg.state_at_ms = (int64_t *)job->state_at_ms;
    msg.start_ms = job->start_ms;
    msg.end_ms = job->end_ms;
    msg.max_parallelism = job->max_parallelism;
    msg.parallelism = job->parallelism;
    msg.has_restarts = true;
    msg.restarts = job->restarts;
    msg.plan_json = job->plan_json;
    msg.n_vertices = job->vertex_count;
    msg.vertices = arena_alloc(&arena, job->vertex_count * sizeof(*msg.vertices));
    for (uint32_t v = 0; v < job->vertex_count; v++)
        msg.vertices[v] = vertex_out(&job->vertices[v], &arena);
    failures_out(job, &msg, &arena);
    lists_out(job, &msg, &arena);
    if (job->checkpoints)
        msg.checkpoints = jm_ckpt_stats_out(job->checkpoints, &arena);

    size = protobuf_c_message_get_packed_size(&msg.base);
    packed = mem_alloc(size + 1);
    protobuf_c_message_pack(&msg.base, packed);
    bytes_add_u32(out, MAGIC);
    bytes_add_u16(out, VERSION);
    bytes_add_u16(out, 0);
    bytes_add_u32(out, (uint32_t)size);
    bytes_add_u32(out, hash_crc32c(0, packed, size));
    bytes_add(out, packed, size);
    mem_free(packed);
    arena_release(&arena);
}

/* ---- unpacking: the snapshot copies ---- */

static void metrics_in(const Rask__Jobstore__Metrics *in, struct jm_metrics *m)
{
    *m = (struct jm_metrics){
        .records_in = in->records_in,
        .records_out = in->records_out,
        .bytes_in = in->bytes_in,
        .bytes_out = in->bytes_out,
        .remote_records_in = in->remote_records_in,
        .source_records = in->source_records,
        .busy_ms = in->busy_ms,
        .idle_ms = in->idle_ms,
        .backpressured_ms = in->backpressured_ms,
        .complete = in->complete,
    };
}

static bool subtask_in(const Rask__Jobstore__Subtask *in, struct jm_subtask_snapshot *s,
                       const struct jm_job_snapshot *job)
{
    const struct jm_worker_snapshot *w;

    if (in->state >= JM_TASK_STATE_COUNT || in->n_state_at_ms != JM_TASK_STATE_COUNT ||
        (in->has_worker && in->worker >= job->worker_count))
        return false;
    w = in->has_worker ? &job->workers[in->worker] : NULL;
    s->subtask = in->subtask;
    s->attempt = in->attempt;
    s->state = (Rask__Control__TaskState)in->state;
    memcpy(s->state_at_ms, in->state_at_ms, sizeof(s->state_at_ms));
    s->worker = w ? in->worker : UINT32_MAX;
    s->host = w ? w->host : unassigned;
    s->endpoint = w ? w->endpoint : unassigned;
    s->taskmanager_id = w ? w->taskmanager_id : unassigned;
    metrics_in(in->metrics, &s->metrics);
    return true;
}

static bool vertex_in(const Rask__Jobstore__Vertex *in, struct jm_vertex_snapshot *v,
                      struct jm_job_snapshot *job)
{
    if (in->id.len != sizeof(v->id.bytes) || in->n_subtasks != in->parallelism ||
        in->state >= JM_TASK_STATE_COUNT)
        return false;
    memcpy(v->id.bytes, in->id.data, sizeof(v->id.bytes));
    v->name = arena_strdup(&job->arena, in->name);
    v->parallelism = in->parallelism;
    v->max_parallelism = in->max_parallelism;
    v->slot_group = arena_strdup(&job->arena, in->slot_group);
    v->hidden = in->hidden;
    v->state = (Rask__Control__TaskState)in->state;
    v->start_ms = in->start_ms;
    v->end_ms = in->end_ms;
    metrics_in(in->metrics, &v->metrics);
    v->subtasks = arena_alloc(&job->arena, in->n_subtasks * sizeof(*v->subtasks));
    for (uint32_t i = 0; i < in->parallelism; i++) {
        if (!subtask_in(in->subtasks[i], &v->subtasks[i], job))
            return false;
        v->tasks[v->subtasks[i].state]++;
    }
    for (size_t i = 0; i < JM_TASK_STATE_COUNT && !v->hidden; i++)
        job->tasks[i] += v->tasks[i];
    return true;
}

static bool workers_in(const Rask__Jobstore__Job *in, struct jm_job_snapshot *job)
{
    job->worker_count = (uint32_t)in->n_workers;
    job->workers = arena_alloc(&job->arena, in->n_workers * sizeof(*job->workers));
    for (size_t i = 0; i < in->n_workers; i++) {
        if (strlen(in->workers[i]->taskmanager_id) >= ID_TEXT_MAX)
            return false;
        memcpy(job->workers[i].taskmanager_id, in->workers[i]->taskmanager_id,
               strlen(in->workers[i]->taskmanager_id) + 1);
        job->workers[i].host = arena_strdup(&job->arena, in->workers[i]->host);
        job->workers[i].endpoint = arena_strdup(&job->arena, in->workers[i]->endpoint);
    }
    return true;
}

static char *optional_text(struct arena *arena, const char *text)
{
    return text ? arena_strdup(arena, text) : NULL;
}

static void lists_in(const Rask__Jobstore__Job *in, struct jm_job_snapshot *job)
{
    job->failure_count = (uint32_t)in->n_failures;
    job->failures = arena_alloc(&job->arena, in->n_failures * sizeof(*job->failures));
    for (size_t i = 0; i < in->n_failures; i++) {
        const Rask__Jobstore__Failure *f = in->failures[i];

        job->failures[i] = (struct jm_failure_snapshot){
            .at_ms = f->at_ms,
            .text = arena_strdup(&job->arena, f->text),
            .task = optional_text(&job->arena, f->task),
            .endpoint = optional_text(&job->arena, f->endpoint),
            .taskmanager_id = optional_text(&job->arena, f->taskmanager_id),
        };
    }
    job->accumulator_count = (uint32_t)in->n_accumulators;
    job->accumulators = arena_alloc(&job->arena, in->n_accumulators * sizeof(*job->accumulators));
    for (size_t i = 0; i < in->n_accumulators; i++) {
        job->accumulators[i].name = arena_strdup(&job->arena, in->accumulators[i]->name);
        job->accumulators[i].value = in->accumulators[i]->value;
    }
    job->config_count = (uint32_t)in->n_config;
    job->config = arena_alloc(&job->arena, in->n_config * sizeof(*job->config));
    for (size_t i = 0; i < in->n_config; i++) {
        job->config[i].key = arena_strdup(&job->arena, in->config[i]->key);
        job->config[i].value = arena_strdup(&job->arena, in->config[i]->value);
    }
}

static bool job_in(const Rask__Jobstore__Job *in, struct jm_job_snapshot *job)
{
    if (in->id.len != sizeof(job->id.bytes) || in->state >= JM_JOB_STATE_COUNT ||
        in->n_state_at_ms != JM_JOB_STATE_COUNT || !workers_in(in, job))
        return false;
    memcpy(job->id.bytes, in->id.data, sizeof(job->id.bytes));
    job->name = arena_strdup(&job->arena, in->name);
    job->state = (enum jm_job_state)in->state;
    job->reason = optional_text(&job->arena, in->reason);
    memcpy(job->state_at_ms, in->state_at_ms, sizeof(job->state_at_ms));
    job->start_ms = in->start_ms;
    job->end_ms = in->end_ms;
    job->max_parallelism = in->max_parallelism;
    job->parallelism = in->parallelism;
    job->restarts = in->restarts;
    job->plan_json = arena_strdup(&job->arena, in->plan_json);
    job->vertex_count = (uint32_t)in->n_vertices;
    job->vertices = arena_alloc(&job->arena, in->n_vertices * sizeof(*job->vertices));
    for (size_t v = 0; v < in->n_vertices; v++)
        if (!vertex_in(in->vertices[v], &job->vertices[v], job))
            return false;
    lists_in(in, job);
    if (in->checkpoints)
        job->checkpoints = jm_ckpt_stats_in(in->checkpoints);
    return !in->checkpoints || job->checkpoints;
}

static int check_header(struct reader *r, const char *name, struct err *err)
{
    uint32_t magic = reader_u32(r);
    uint16_t version = reader_u16(r);
    uint32_t length, crc;

    reader_u16(r);
    length = reader_u32(r);
    crc = reader_u32(r);
    if (r->bad || magic != MAGIC)
        return err_set(err, ERR_CORRUPT, "%s: not a job of a job store", name);
    if (version != VERSION)
        return err_set(err, ERR_VERSION, "%s: version %u, this program reads version %d", name,
                       version, VERSION);
    if (length != reader_left(r))
        return err_set(err, ERR_CORRUPT, "%s: damaged: %u bytes were written, %zu are there", name,
                       length, reader_left(r));
    if (hash_crc32c(0, r->at, length) != crc)
        return err_set(err, ERR_CORRUPT, "%s: damaged: the checksum does not fit", name);
    return 0;
}

int jm_job_unpack(const void *data, size_t len, const char *name, struct jm_job_snapshot **ret,
                  struct err *err)
{
    struct reader r = reader_of(data, len);
    const Rask__Jobstore__Job *msg;
    struct jm_job_snapshot *job;
    struct arena arena;
    int code = check_header(&r, name, err);

    if (code < 0)
        return code;
    arena_init(&arena);
    job = jm_job_snapshot_new();
    msg = (const Rask__Jobstore__Job *)rpc_unpack(&rask__jobstore__job__descriptor, r.at,
                                                  reader_left(&r), &arena);
    if (msg && job_in(msg, job)) {
        *ret = job;
    } else {
        jm_job_snapshot_unref(job);
        code = err_set(err, ERR_CORRUPT, "%s: damaged: it is no job", name);
    }
    arena_release(&arena);
    return code;
}
