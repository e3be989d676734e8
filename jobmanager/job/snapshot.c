/* snapshot.c - reference counts and names of snapshots. Thread: any. */
#include "jobmanager/job/snapshot.h"

#include "jobmanager/checkpoint/stats.h"

#include "common/base/check.h"

static bool unref(uint32_t *refs)
{
    uint32_t before = __atomic_fetch_sub(refs, 1, __ATOMIC_ACQ_REL);

    CHECK(before > 0);
    return before == 1;
}

struct jm_job_snapshot *jm_job_snapshot_new(void)
{
    struct jm_job_snapshot *s = MEM_NEW(struct jm_job_snapshot);

    s->refs = 1;
    arena_init(&s->arena);
    return s;
}

void jm_job_snapshot_unref(struct jm_job_snapshot *s)
{
    if (!s || !unref(&s->refs))
        return;
    for (uint32_t v = 0; v < s->vertex_count; v++)
        for (uint32_t i = 0; s->vertices[v].has_figures && i < s->vertices[v].parallelism; i++)
            jm_figures_unref(s->vertices[v].subtasks[i].figures);
    jm_ckpt_stats_unref(s->checkpoints);
    arena_release(&s->arena);
    mem_free(s);
}

void jm_finished_job_unref(struct jm_finished_job *f)
{
    if (f && unref(&f->refs))
        mem_free(f);
}

void jm_cluster_snapshot_unref(struct jm_cluster_snapshot *s)
{
    if (!s || !unref(&s->refs))
        return;
    for (uint32_t i = 0; i < s->taskmanager_count; i++) {
        mem_free(s->taskmanagers[i].host);
        mem_free(s->taskmanagers[i].data_address);
        mem_free(s->taskmanagers[i].rpc_address);
        mem_free(s->taskmanagers[i].allocated);
    }
    for (uint32_t i = 0; i < s->job_count; i++)
        jm_job_snapshot_unref(s->jobs[i]);
    for (uint32_t i = 0; i < s->finished_count; i++)
        jm_finished_job_unref(s->finished[i]);
    mem_free(s->taskmanagers);
    mem_free(s->jobs);
    mem_free(s->finished);
    mem_free(s);
}

const char *jm_job_state_name(enum jm_job_state state)
{
    static const char *const names[] = {
#define JM_STATE_NAME_(name) #name,
        JM_JOB_STATES(JM_STATE_NAME_)
#undef JM_STATE_NAME_
    };

    return (unsigned)state < JM_JOB_STATE_COUNT ? names[state] : "UNKNOWN";
}

bool jm_job_state_is_final(enum jm_job_state state)
{
    return state == JM_JOB_FINISHED || state == JM_JOB_CANCELED || state == JM_JOB_FAILED;
}

const char *jm_task_state_name(Rask__Control__TaskState state)
{
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value(&rask__control__task_state__descriptor, (int)state);

    return value ? value->name : "UNKNOWN";
}

void jm_metrics_add(struct jm_metrics *sum, const struct jm_metrics *m)
{
    sum->records_in += m->records_in;
    sum->records_out += m->records_out;
    sum->bytes_in += m->bytes_in;
    sum->bytes_out += m->bytes_out;
    sum->remote_records_in += m->remote_records_in;
    sum->takes += m->takes;
    sum->source_records += m->source_records;
    sum->busy_ms += m->busy_ms;
    sum->idle_ms += m->idle_ms;
    sum->backpressured_ms += m->backpressured_ms;
    sum->complete = sum->complete && m->complete;
}
