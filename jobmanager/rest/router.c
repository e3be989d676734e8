/* router.c - from a request line to a handler: normalises paths, finds the route, resolves the job, writes errors. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "jobmanager/rest/http_parse.h"
#include "jobmanager/rest/rest_private.h"

#define SEGMENTS_MAX 16
#define JSON_TYPE "application/json; charset=UTF-8"

struct segments {
    char *at[SEGMENTS_MAX];
    size_t count;
};

/* ---- ends of a request ---- */
static struct http_request *request_free(struct rest_request *r)
{
    struct http_request *http = r->http;

    jm_cluster_snapshot_unref(r->snapshot);
    jm_job_snapshot_unref(r->job);
    arena_release(&r->arena);
    bytes_release(&r->body);
    mem_free(r);
    return http;
}

void rest_abandon(struct rest_request *r)
{
    (void)request_free(r);
}

void rest_status(struct rest_request *r, int status)
{
    struct bytes body = r->body;

    memset(&r->body, 0, sizeof(r->body));
    rest_http_respond(request_free(r), status, JSON_TYPE, NULL, &body);
}

void rest_ok(struct rest_request *r)
{
    rest_status(r, 200);
}

void rest_bytes(struct rest_request *r, const char *content_type, const char *headers)
{
    struct bytes body = r->body;
    char copy[256];

    snprintf(copy, sizeof(copy), "%s", headers ? headers : "");
    memset(&r->body, 0, sizeof(r->body));
    rest_http_respond(request_free(r), 200, content_type, copy, &body);
}

void rest_file(struct rest_request *r, int fd, uint64_t offset, uint64_t len)
{
    rest_http_respond_file(request_free(r), "text/plain; charset=UTF-8", fd, offset, len);
}

void rest_fail(struct rest_request *r, int status, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = mem_vprintf(fmt, ap);
    va_end(ap);
    rest_http_error(request_free(r), status, text, NULL);
    mem_free(text);
}

void rest_fail_inside(struct rest_request *r, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = mem_vprintf(fmt, ap);
    va_end(ap);
    rest_http_error(request_free(r), 500, "Internal server error.", text);
    mem_free(text);
}

void rest_fail_command(struct rest_request *r, const struct jm_command *c)
{
    char text[ERR_TEXT_MAX];

    snprintf(text, sizeof(text), "%s", c->err.text[0] ? c->err.text : err_code_text(c->code));
    switch (c->code) {
    case ERR_NOT_FOUND: rest_fail(r, 404, "%s", text); break;
    case ERR_UNAVAILABLE: rest_fail(r, 503, "%s", text); break;
    case ERR_INVALID:
    case ERR_LIMIT:
    case ERR_STATE:
    case ERR_USER:
    case ERR_CORRUPT:
    case ERR_VERSION:
    case ERR_UNSUPPORTED: rest_fail(r, 400, "%s", text); break;
    case ERR_EXISTS: rest_fail(r, 409, "%s", text); break;
    case ERR_NO_SPACE: rest_fail(r, 507, "%s", text); break;
    default: rest_fail_inside(r, "%s", text);
    }
}

void rest_fail_param(struct rest_request *r, const char *name)
{
    rest_fail(r, 400, "Bad request, could not parse parameters: Cannot resolve path parameter (%s) from value \"%.200s\".",
              name, rest_param(r, name));
}

/* ---- parameters ---- */
static const char *pair_get(const struct rest_pair *pairs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(pairs[i].name, name) == 0)
            return pairs[i].value;
    return NULL;
}

const char *rest_param(const struct rest_request *r, const char *name)
{
    return pair_get(r->params, r->param_count, name);
}

const char *rest_query(const struct rest_request *r, const char *name)
{
    return pair_get(r->query, r->query_count, name);
}

static bool parse_u64(const char *text, uint64_t max, uint64_t *ret)
{
    char *end;
    unsigned long long n;

    if (*text < '0' || *text > '9' || strlen(text) > 19)
        return false;
    n = strtoull(text, &end, 10);
    if (*end || n > max)
        return false;
    *ret = n;
    return true;
}

bool rest_query_u64(struct rest_request *r, const char *name, uint64_t max, uint64_t *ret)
{
    const char *text = rest_query(r, name);

    if (!text || parse_u64(text, max, ret))
        return true;
    rest_fail(r, 400, "Bad request, could not parse parameters: Cannot resolve query parameter (%s) from value \"%.200s\".",
              name, text);
    return false;
}

bool rest_param_u64(struct rest_request *r, const char *name, uint64_t *ret)
{
    if (parse_u64(rest_param(r, name), UINT32_MAX, ret))
        return true;
    rest_fail_param(r, name);
    return false;
}

/* ---- paths ---- */

/*
 * Cuts the raw path at slashes, then decodes each part, so that %2f never makes a part of its own.  false: an escape
 * is broken, or there are too many parts.
 */
static bool split_path(struct rest_request *r, const char *raw, size_t len, struct segments *s)
{
    size_t at = 0;

    while (at < len) {
        size_t n = 0;

        while (at + n < len && raw[at + n] != '/')
            n++;
        if (n) {
            if (s->count == SEGMENTS_MAX)
                return false;
            s->at[s->count] = arena_alloc(&r->arena, n + 1);
            if (!rest_http_decode(raw + at, n, false, s->at[s->count]))
                return false;
            s->count++;
        }
        at += n + 1;
    }
    return true;
}

static void join_path(struct rest_request *r, const struct segments *s)
{
    struct bytes b = {0};

    for (size_t i = 0; i < s->count; i++)
        bytes_printf(&b, "/%s", s->at[i]);
    r->path = arena_strdup(&r->arena, b.len ? (char *)b.data : "/");
    bytes_release(&b);
}

static bool climbs(const struct segments *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (strchr(s->at[i], '/') || strcmp(s->at[i], "..") == 0 || strcmp(s->at[i], ".") == 0)
            return true;
    return false;
}

static bool parse_query(struct rest_request *r, const char *text)
{
    while (text && *text && r->query_count < REST_QUERY_MAX) {
        size_t len = strcspn(text, "&"), name_len = strcspn(text, "=&");
        size_t value_at = name_len < len ? name_len + 1 : len;
        char *name = arena_alloc(&r->arena, name_len + 1), *value = arena_alloc(&r->arena, len - value_at + 1);

        if (!rest_http_decode(text, name_len, true, name) ||
            !rest_http_decode(text + value_at, len - value_at, true, value))
            return false;
        if (name_len)
            r->query[r->query_count++] = (struct rest_pair){name, value};
        text += len + (text[len] == '&');
    }
    return true;
}

/* Fills params if the pattern fits. */
static bool matches(struct rest_request *r, const char *pattern, const struct segments *s)
{
    size_t i = 0;

    r->param_count = 0;
    for (; *pattern == '/'; i++) {
        size_t n = strcspn(++pattern, "/");

        if (i == s->count)
            return false;
        if (*pattern == ':') {
            char *name = arena_alloc(&r->arena, n);

            memcpy(name, pattern + 1, n - 1);
            r->params[r->param_count++] = (struct rest_pair){name, s->at[i]};
        } else if (strlen(s->at[i]) != n || memcmp(s->at[i], pattern, n) != 0) {
            return false;
        }
        pattern += n;
    }
    return i == s->count;
}

/* Literal parts win over parameters because the table lists them first. */
static const struct rest_route *find_route(struct rest_request *r, const struct segments *s, bool *ret_other_method)
{
    *ret_other_method = false;
    for (size_t i = 0; i < rest_route_count; i++) {
        if (!matches(r, rest_routes[i].pattern, s))
            continue;
        if (strcmp(rest_routes[i].method, r->http->method) == 0)
            return &rest_routes[i];
        *ret_other_method = true;
    }
    return NULL;
}

/* ---- the job of a route ---- */
static void unknown_job(struct rest_request *r, const struct rest_route *route)
{
    const char *id = rest_param(r, "jobid");

    if (route->flags & REST_UNKNOWN_500)
        rest_fail_inside(r, "<Exception on server side:\nCould not find Flink job (%s)\nEnd of exception on server side>", id);
    else
        rest_fail(r, 404, "Job %s not found", id);
}

static void job_loaded(struct rest_request *r, struct jm_command *c)
{
    const struct rest_route *route = r->state;

    if (c->code < 0 || !c->job) {
        unknown_job(r, route);
        return;
    }
    r->job = c->job;
    c->job = NULL;
    route->handle(r);
}

static void handle_job(struct rest_request *r, const struct rest_route *route)
{
    struct jm_command load = {.type = JM_LOAD_JOB};

    if (!id_parse(rest_param(r, "jobid"), &load.job_id)) {
        rest_fail_param(r, "jobid");
        return;
    }
    for (uint32_t i = 0; i < r->snapshot->job_count; i++) {
        struct jm_job_snapshot *job = r->snapshot->jobs[i];

        if (!id_equal(&job->id, &load.job_id))
            continue;
        __atomic_add_fetch(&job->refs, 1, __ATOMIC_RELAXED);
        r->job = job;
        jm_touch(rest_jm(r->rest), &job->id);
        route->handle(r);
        return;
    }
    /* Over, or so new that the snapshot does not show it. */
    r->state = (void *)route;
    rest_execute(r, &load, job_loaded);
}

void rest_route(struct rest *rest, struct http_request *http)
{
    struct rest_request *r = MEM_NEW(struct rest_request);
    const struct rest_route *route;
    const char *why, *query = strchr(http->target, '?');
    size_t len = query ? (size_t)(query - http->target) : strlen(http->target);
    struct segments s = {0};
    bool other_method = false;

    r->rest = rest;
    r->http = http;
    arena_init(&r->arena);
    r->snapshot = jm_snapshot(rest_jm(rest));
    jw_init(&r->w, &r->body);
    if (!rest_peer_allowed(rest, http, &why)) {
        rest_fail(r, 403, "%s", why);
        return;
    }
    if (!split_path(r, http->target, len, &s) || !parse_query(r, query ? query + 1 : NULL)) {
        rest_fail(r, 400, "Bad request, the path or the query cannot be decoded.");
        return;
    }
    if (s.count && strcmp(s.at[0], "v1") == 0) {
        s.count--;
        memmove(s.at, s.at + 1, s.count * sizeof(s.at[0]));
    }
    join_path(r, &s);
    route = climbs(&s) ? NULL : find_route(r, &s, &other_method);
    if (route && (route->flags & REST_JOB))
        handle_job(r, route);
    else if (route)
        route->handle(r);
    else if (!climbs(&s) && other_method)
        rest_fail(r, 404, "Not found: %s", r->path);
    else
        rest_fail(r, 404, "Unable to load requested file %s.", r->path);
}
