/* clients.c - who uses the cluster: submits, asks again, looks, cancels. */
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "test/sim/cluster/cluster.h"

const uint8_t cluster_artifact[] = "the program itself";
const size_t cluster_artifact_len = sizeof(cluster_artifact);

bool job_lost(const struct cluster *c, const struct job *j)
{
    return j->boots != c->jm_boots;
}

bool job_settled(const struct cluster *c, const struct job *j)
{
    return !j->submitted || j->over || job_lost(c, j);
}

static bool reachable(const struct cluster *c, const struct job *j)
{
    return c->jm && j->accepted && !job_lost(c, j);
}

struct job *job_new(struct cluster *c, struct job_spec spec, uint32_t parallelism)
{
    struct job *j = &c->jobs[c->job_count++];

    CHECK(c->job_count <= JOBS_MAX);
    memset(j, 0, sizeof(*j));
    j->c = c;
    j->spec = spec;
    j->parallelism = parallelism;
    j->seen = -1;
    bytes_init(&j->packed);
    arena_init(&j->arena);
    return j;
}

void job_free(struct job *j)
{
    bytes_release(&j->packed);
    bytes_release(&j->plan.result);
    arena_release(&j->arena);
}

/* ---- to its end ---- */

/* The JobManager has gone, or it said why not. */
static void not_taken(struct job *j, const struct jm_command *cmd)
{
    j->answered = true;
    if (cmd->code == ERR_CLOSED)
        return;
    j->over = true;
    j->state = JM_JOB_FAILED;
    snprintf(j->reason, sizeof(j->reason), "%s", cmd->err.text);
}

static void on_loaded(struct jm_command *cmd)
{
    struct job *j = CONTAINER_OF(cmd, struct job, load);

    if (cmd->code == ERR_CLOSED)
        return;
    if (cmd->code == ERR_IO && j->c->faulty) { /* a disk that cannot be read: asked again */
        *cmd = (struct jm_command){.type = JM_LOAD_JOB, .job_id = j->id, .done = on_loaded};
        jm_execute(j->c->jm, cmd);
        return;
    }
    if (cmd->code != 0) {
        sim_fail(j->c->sim, "job %u was watched to its end, but then: %s", j->spec.index, cmd->err.text);
        return;
    }
    j->over = true;
    j->state = cmd->job->state;
    snprintf(j->reason, sizeof(j->reason), "%s", cmd->job->reason ? cmd->job->reason : "");
    jm_job_snapshot_unref(cmd->job);
}

static void on_watched(struct jm_command *cmd)
{
    struct job *j = CONTAINER_OF(cmd, struct job, watch);

    if (cmd->code == ERR_CLOSED)
        return;
    if (cmd->code != 0)
        sim_fail(j->c->sim, "job %u was taken, but then: %s", j->spec.index, cmd->err.text);
    j->load = (struct jm_command){.type = JM_LOAD_JOB, .job_id = j->id, .done = on_loaded};
    jm_execute(j->c->jm, &j->load);
}

static void on_submitted(struct jm_command *cmd)
{
    struct job *j = CONTAINER_OF(cmd, struct job, submit);

    if (cmd->code != 0) {
        not_taken(j, cmd);
        return;
    }
    j->answered = j->accepted = true;
    j->watch = (struct jm_command){.type = JM_WATCH, .job_id = j->id, .done = on_watched};
    jm_execute(j->c->jm, &j->watch);
}

static void submit(struct job *j)
{
    j->graph = (Rask__Graph__StreamGraph *)rpc_unpack(&rask__graph__stream_graph__descriptor, j->packed.data, j->packed.len,
                                                      &j->arena);
    CHECK(j->graph != NULL);
    j->submit = (struct jm_command){
        .type = JM_SUBMIT, .job_id = j->id, .graph = j->graph, .client_parallelism = j->parallelism, .done = on_submitted};
    jm_execute(j->c->jm, &j->submit);
}

static void on_planned(struct jm_command *cmd)
{
    struct job *j = CONTAINER_OF(cmd, struct job, plan);
    struct bytes expected;
    uint8_t hash[32];

    if (cmd->code != 0) {
        not_taken(j, cmd);
        return;
    }
    SIM_PROBE("client: a worker built the graph");
    hash_sha256(cluster_artifact, cluster_artifact_len, hash);
    bytes_init(&expected);
    job_graph(&j->spec, NULL, hash, &expected);
    if (expected.len != cmd->result.len || memcmp(expected.data, cmd->result.data, expected.len) != 0)
        sim_fail(j->c->sim, "the graph of job %u came changed", j->spec.index);
    bytes_release(&expected);
    submit(j);
}

static void on_put(struct jm_command *cmd)
{
    static const Rask__Graph__Property param = {
        .base = PROTOBUF_C_MESSAGE_INIT(&rask__graph__property__descriptor), .key = (char *)"job"};
    struct job *j = CONTAINER_OF(cmd, struct job, put);
    Rask__Graph__Property *own, **list;

    if (cmd->code != 0) {
        not_taken(j, cmd);
        return;
    }
    if (!j->by_plan) {
        submit(j);
        return;
    }
    own = arena_dup(&j->arena, &param, sizeof(param));
    own->value = arena_alloc(&j->arena, 16);
    snprintf(own->value, 16, "%u", j->spec.index);
    list = arena_dup(&j->arena, &own, sizeof(own));
    j->plan = (struct jm_command){
        .type = JM_PLAN, .params = (const Rask__Graph__Property *const *)list, .param_count = 1, .done = on_planned};
    memcpy(j->plan.hash, cmd->hash, sizeof(j->plan.hash));
    jm_execute(j->c->jm, &j->plan);
}

void job_submit(struct cluster *c, struct job *j)
{
    uint64_t high = sim_rand(c->sim), low = sim_rand(c->sim);
    uint8_t hash[32];

    CHECK(c->jm != NULL && !j->submitted);
    hash_sha256(cluster_artifact, cluster_artifact_len, hash);
    j->id = id_from_u64(high, low);
    job_graph(&j->spec, j->by_plan ? NULL : &j->id, hash, &j->packed);
    j->submitted = true;
    j->boots = c->jm_boots;
    j->put = (struct jm_command){.type = JM_PUT_BLOB, .data = cluster_artifact, .len = cluster_artifact_len, .done = on_put};
    jm_execute(c->jm, &j->put);
}

/* ---- besides ---- */

static void on_again(struct jm_command *cmd)
{
    struct job *j = CONTAINER_OF(cmd, struct job, again);

    j->again_sent = false;
    if (cmd->code != 0 && cmd->code != ERR_CLOSED)
        sim_fail(j->c->sim, "a repeated submission is refused: %s", cmd->err.text);
}

void job_submit_again(struct cluster *c, struct job *j)
{
    if (!reachable(c, j) || j->again_sent)
        return;
    SIM_PROBE("client: a submission is repeated");
    j->again_sent = true;
    j->again = j->submit;
    j->again.done = on_again;
    jm_execute(c->jm, &j->again);
}

static void on_look(struct jm_command *cmd)
{
    struct job *j = CONTAINER_OF(cmd, struct job, look);

    j->look_sent = false;
    if (cmd->code == ERR_IO)
        SIM_PROBE("client: the job store could not be read");
    jm_job_snapshot_unref(cmd->job);
}

void job_look(struct cluster *c, struct job *j)
{
    if (!reachable(c, j) || j->look_sent)
        return;
    jm_touch(c->jm, &j->id);
    j->look_sent = true;
    j->look = (struct jm_command){.type = JM_LOAD_JOB, .job_id = j->id, .done = on_look};
    jm_execute(c->jm, &j->look);
}

static void on_looked_back(struct jm_command *cmd)
{
    struct job *j = CONTAINER_OF(cmd, struct job, look);

    j->look_sent = false;
    j->looked_back = true;
    if (cmd->code != 0)
        sim_fail(j->c->sim, "job %u is over, but cannot be looked at: %s", j->spec.index, cmd->err.text);
    else if (cmd->job->state != j->state)
        sim_fail(j->c->sim, "job %u was %s in the end and is %s now", j->spec.index, jm_job_state_name(j->state),
                 jm_job_state_name(cmd->job->state));
    jm_job_snapshot_unref(cmd->job);
}

void job_look_back(struct cluster *c, struct job *j)
{
    if (!reachable(c, j) || !j->over || j->look_sent) {
        j->looked_back = true;
        return;
    }
    j->look_sent = true;
    j->look = (struct jm_command){.type = JM_LOAD_JOB, .job_id = j->id, .done = on_looked_back};
    jm_execute(c->jm, &j->look);
}

static void on_canceled(struct jm_command *cmd)
{
    (void)cmd;
}

void job_cancel(struct cluster *c, struct job *j)
{
    if (!reachable(c, j) || j->over || j->canceled)
        return;
    j->canceled = true;
    j->cancel = (struct jm_command){.type = JM_CANCEL, .job_id = j->id, .done = on_canceled};
    jm_execute(c->jm, &j->cancel);
}
