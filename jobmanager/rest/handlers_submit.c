/* handlers_submit.c - POST /jobs (a graph with its shared object) and PATCH /jobs/:jobid (cancel). */
#include <string.h>

#include "common/base/hash.h"
#include "common/graph/graph.h"
#include "common/graph/submission.h"
#include "jobmanager/rest/rest_private.h"

struct posted { /* r->state of POST /jobs */
    struct submission s;
    Rask__Graph__StreamGraph *graph;
    struct id job_id;
};

static void submitted(struct rest_request *r, struct jm_command *c)
{
    const struct posted *p = r->state;
    char text[ID_TEXT_MAX];

    if (c->code < 0) {
        rest_fail_command(r, c);
        return;
    }
    jw_object(&r->w, NULL);
    jw_string(&r->w, "jobid", id_format(&p->job_id, text));
    jw_object_end(&r->w);
    rest_ok(r);
}

static void submit(struct rest_request *r)
{
    const struct posted *p = r->state;
    struct jm_command c = {.type = JM_SUBMIT, .graph = p->graph, .client_parallelism = p->s.parallelism};

    rest_execute(r, &c, submitted);
}

static void artifact_put(struct rest_request *r, struct jm_command *c)
{
    const struct posted *p = r->state;

    if (c->code < 0) {
        rest_fail_command(r, c);
        return;
    }
    if (!p->graph->has_artifact || p->graph->artifact.len != sizeof(c->hash) ||
        memcmp(p->graph->artifact.data, c->hash, sizeof(c->hash)) != 0) {
        char sent[65];

        hash_hex(c->hash, sizeof(c->hash), sent);
        rest_fail(r, 400, "The artifact that was sent (SHA-256 %s) is not the one that the graph names.", sent);
        return;
    }
    submit(r);
}

void rest_post_job(struct rest_request *r)
{
    struct posted *p = arena_alloc(&r->arena, sizeof(*p));
    struct err err = {0};

    r->state = p;
    if (submission_parse(r->http->body, r->http->body_len, &p->s, &err) < 0 ||
        graph_unpack(&r->arena, p->s.graph, p->s.graph_len, &p->graph, &err) < 0 || graph_validate(p->graph, &err) < 0) {
        rest_fail(r, 400, "%s", err.text);
        return;
    }
    if (!p->graph->has_job_id || p->graph->job_id.len != sizeof(p->job_id)) {
        rest_fail(r, 400, "The graph has no job id: 16 bytes, drawn by the client.");
        return;
    }
    memcpy(&p->job_id, p->graph->job_id.data, sizeof(p->job_id));
    if (p->s.artifact_len) {
        struct jm_command put = {.type = JM_PUT_BLOB, .data = p->s.artifact, .len = p->s.artifact_len};

        rest_execute(r, &put, artifact_put);
    } else {
        submit(r);
    }
}

/* ---- cancel ---- */
static void accepted(struct rest_request *r)
{
    jw_object(&r->w, NULL);
    jw_object_end(&r->w);
    rest_status(r, 202);
}

static void canceled(struct rest_request *r, struct jm_command *c)
{
    if (c->code == ERR_NOT_FOUND)
        rest_fail(r, 404, "Job could not be found.");
    else if (c->code < 0)
        rest_fail_command(r, c);
    else
        accepted(r);
}

void rest_cancel_job(struct rest_request *r)
{
    struct jm_command c = {.type = JM_CANCEL};
    const char *mode = rest_query(r, "mode");

    if (!id_parse(rest_param(r, "jobid"), &c.job_id)) {
        rest_fail_param(r, "jobid");
        return;
    }
    if (mode && strcmp(mode, "stop") == 0) {
        rest_fail(r, 308, "The termination mode \"stop\" has been removed. Use \"cancel\".");
        return;
    }
    if (mode && strcmp(mode, "cancel") != 0) {
        rest_fail(r, 400, "Bad request, could not parse parameters: Cannot resolve query parameter (mode) from value \"%.200s\".",
                  mode);
        return;
    }
    for (uint32_t i = 0; i < r->snapshot->finished_count; i++) {
        const struct jm_finished_job *f = r->snapshot->finished[i];

        if (!id_equal(&f->id, &c.job_id))
            continue;
        if (f->state == JM_JOB_CANCELED)
            accepted(r);
        else
            rest_fail(r, 409, "Job %s is over already: %s.", rest_param(r, "jobid"), jm_job_state_name(f->state));
        return;
    }
    rest_execute(r, &c, canceled);
}
