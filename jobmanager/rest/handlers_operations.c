/*
 * handlers_operations.c - what is asked for and takes its time: checkpoints, savepoints, stops, disposal.  A POST answers with
 * a request id (202), by which a GET tells what has come of it.
 */
#include <string.h>

#include "common/base/check.h"
#include "jobmanager/rest/rest_private.h"

#define KIND(name) RASK__CONTROL__CHECKPOINT_KIND__##name

static void answer_started(struct rest_request *r, struct jm_command *c, int status)
{
    char text[ID_TEXT_MAX];

    if (c->code < 0) {
        rest_fail_command(r, c);
        return;
    }
    jw_object(&r->w, NULL);
    jw_string(&r->w, "request-id", id_format(&c->trigger, text));
    jw_object_end(&r->w);
    rest_status(r, status);
}

static void started(struct rest_request *r, struct jm_command *c)
{
    answer_started(r, c, 202);
}

/* Flink's disposal answers like this, alone among them. */
static void disposal_started(struct rest_request *r, struct jm_command *c)
{
    answer_started(r, c, 200);
}

/* The body, an object; empty is legal. false: answered. */
static bool parse_body(struct rest_request *r, const char *format, struct json **ret)
{
    struct err err = {0};

    *ret = NULL;
    if (r->http->body_len == 0)
        return true;
    if (json_parse(&r->arena, (const char *)r->http->body, r->http->body_len, ret, &err) == 0 && (*ret)->type == JSON_OBJECT)
        return true;
    rest_fail(r, 400, "Request did not match expected format %s. %s", format, err.text);
    return false;
}

static bool parse_ids(struct rest_request *r, const struct json *body, const char *format, struct jm_command *c)
{
    const char *trigger = body ? json_get_string(body, "triggerId", NULL) : NULL;

    if (c->type != JM_DISPOSE && !id_parse(rest_param(r, "jobid"), &c->job_id)) {
        rest_fail_param(r, "jobid");
        return false;
    }
    if (trigger && !id_parse(trigger, &c->trigger)) {
        rest_fail(r, 400, "Request did not match expected format %s. triggerId is 32 hexadecimal digits.", format);
        return false;
    }
    return true;
}

void rest_post_savepoint(struct rest_request *r)
{
    static const char format[] = "SavepointTriggerRequestBody";
    struct jm_command c = {.type = JM_CHECKPOINT, .kind = KIND(SAVEPOINT), .full = true};
    struct json *body;

    if (!parse_body(r, format, &body) || !parse_ids(r, body, format, &c))
        return;
    if (body) {
        c.target = json_get_string(body, "target-directory", NULL);
        c.then_cancel = json_get_bool(body, "cancel-job", false);
    }
    rest_execute(r, &c, started);
}

void rest_post_stop(struct rest_request *r)
{
    static const char format[] = "StopWithSavepointRequestBody";
    struct jm_command c = {.type = JM_CHECKPOINT, .kind = KIND(SAVEPOINT_SUSPEND), .full = true};
    struct json *body;

    if (!parse_body(r, format, &body) || !parse_ids(r, body, format, &c))
        return;
    if (body) {
        c.target = json_get_string(body, "targetDirectory", NULL);
        if (json_get_bool(body, "drain", false))
            c.kind = KIND(SAVEPOINT_TERMINATE);
    }
    rest_execute(r, &c, started);
}

void rest_post_checkpoint(struct rest_request *r)
{
    static const char format[] = "CheckpointTriggerRequestBody";
    struct jm_command c = {.type = JM_CHECKPOINT, .kind = KIND(CHECKPOINT)};
    const char *type = "CONFIGURED";
    struct json *body;

    if (!parse_body(r, format, &body) || !parse_ids(r, body, format, &c))
        return;
    if (body)
        type = json_get_string(body, "checkpointType", type);
    if (strcmp(type, "INCREMENTAL") == 0) {
        rest_fail_inside(r, "An incremental checkpoint cannot be asked for: CONFIGURED ones are incremental.");
        return;
    }
    c.full = strcmp(type, "FULL") == 0;
    if (!c.full && strcmp(type, "CONFIGURED") != 0) {
        rest_fail(r, 400, "Request did not match expected format %s. checkpointType is CONFIGURED or FULL.", format);
        return;
    }
    rest_execute(r, &c, started);
}

void rest_post_disposal(struct rest_request *r)
{
    static const char format[] = "SavepointDisposalRequest";
    struct jm_command c = {.type = JM_DISPOSE};
    struct json *body;

    if (!parse_body(r, format, &body) || !parse_ids(r, body, format, &c))
        return;
    c.target = body ? json_get_string(body, "savepoint-path", NULL) : NULL;
    if (!c.target) {
        rest_fail(r, 400, "Field savepoint-path must not be omitted or be null.");
        return;
    }
    rest_execute(r, &c, disposal_started);
}

/* ---- what has come of it ---- */

enum answer { A_LOCATION, A_CHECKPOINT, A_NOTHING };

static void looked(struct rest_request *r, struct jm_command *c)
{
    const enum answer *what = r->state;
    struct json_writer *w = &r->w;

    if (c->code < 0) {
        rest_fail_command(r, c);
        return;
    }
    jw_object(w, NULL);
    jw_object(w, "status");
    jw_string(w, "id", c->ended ? "COMPLETED" : "IN_PROGRESS");
    jw_object_end(w);
    if (!c->ended) {
        jw_null(w, "operation");
    } else {
        jw_object(w, "operation");
        if (c->operation_err.code < 0) {
            jw_object(w, "failure-cause");
            jw_string(w, "class", "CheckpointFailure");
            jw_string(w, "stack-trace", c->operation_err.text);
            jw_string(w, "serialized-throwable", "");
            jw_object_end(w);
        } else if (*what == A_LOCATION) {
            char *location = mem_printf("file:%.*s", (int)c->result.len, (const char *)c->result.data);

            jw_string(w, "location", location);
            mem_free(location);
        } else if (*what == A_CHECKPOINT) {
            jw_int(w, "checkpointId", (int64_t)c->size);
        }
        jw_object_end(w);
    }
    jw_object_end(w);
    rest_ok(r);
}

static void look(struct rest_request *r, enum answer what)
{
    struct jm_command c = {.type = JM_OPERATION};
    enum answer *state = arena_alloc(&r->arena, sizeof(*state));

    *state = what;
    r->state = state;
    if (what != A_NOTHING && !id_parse(rest_param(r, "jobid"), &c.job_id))
        rest_fail_param(r, "jobid");
    else if (!id_parse(rest_param(r, "triggerid"), &c.trigger))
        rest_fail_param(r, "triggerid");
    else
        rest_execute(r, &c, looked);
}

void rest_get_savepoint(struct rest_request *r)
{
    look(r, A_LOCATION);
}

void rest_get_triggered_checkpoint(struct rest_request *r)
{
    look(r, A_CHECKPOINT);
}

void rest_get_disposal(struct rest_request *r)
{
    look(r, A_NOTHING);
}
