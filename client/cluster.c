/* cluster.c - calls to a JobManager that several commands make. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/client.h"
#include "common/security/tls_conf.h"

#define FILE_PART (1u << 20) /* the most that an answer has of a file */

/* security.ssl.rest.enabled, unless the address says http; or one that says https. */
static int use_tls(const struct conf *conf, const char *address, struct cli_http *client, struct err *err)
{
    struct net_tls *tls;
    int code;

    if (!cli_http_is_https(address) &&
        (!conf_bool(conf, OPT_SECURITY_SSL_REST_ENABLED) || strncmp(address, "http://", 7) == 0))
        return 0;
    code = tls_conf_rest(conf, false, time(NULL), &tls, err);
    if (code == 0)
        cli_http_use_tls(client, &tls, conf_bool(conf, OPT_SECURITY_SSL_VERIFY_HOSTNAME));
    return code;
}

int cli_connect(const struct cli_options *o, struct cli_http **ret, struct err *err)
{
    struct cli_http *client = NULL;
    struct conf *conf;
    char *address;
    int code = cli_open_conf(o, &conf, err);

    if (code < 0)
        return code;
    address = o->jobmanager ? mem_strdup(o->jobmanager)
                            : conf_hostport(conf_string(conf, OPT_REST_ADDRESS), conf_int(conf, OPT_REST_PORT));
    code = cli_http_new(address, &client, err);
    if (code == 0)
        code = use_tls(conf, address, client, err);
    mem_free(address);
    conf_free(conf);
    if (code == 0)
        *ret = client;
    else
        cli_http_free(client);
    return code;
}

int cli_answer_error(struct cli_http *client, const char *path, int status, const struct json *answer, struct err *err)
{
    const struct json *errors = answer ? json_get(answer, "errors") : NULL;

    /* of a 500 the second entry is what happened */
    for (const struct json *e = errors && errors->type == JSON_ARRAY ? errors->u.children.first : NULL; e; e = e->next)
        if (e->type == JSON_STRING && (!e->next || status != 500))
            return err_set(err, status == 404 ? ERR_NOT_FOUND : ERR_INVALID, "%s", e->u.string.data);
    return err_set(err, ERR_PROTOCOL, "%s answers %s with status %d", cli_http_address(client), path, status);
}

int cli_call_json(struct cli_http *client, const char *method, const char *path, const struct cli_part *parts,
                  size_t part_count, struct arena *arena, const struct json **ret_json, struct err *err)
{
    struct bytes body = {0};
    struct json *json = NULL;
    int status, code = cli_http_call(client, method, path, parts, part_count, &status, &body, err);

    if (code < 0)
        goto out;
    if (json_parse(arena, body.data ? (char *)body.data : "", body.len, &json, NULL) < 0) {
        code = err_set(err, ERR_PROTOCOL, "%s answers %s %s with status %d, and not in JSON: is it a JobManager's REST API?",
                       cli_http_address(client), method, path, status);
        goto out;
    }
    if (status >= 200 && status < 300) {
        *ret_json = json;
        goto out;
    }
    code = cli_answer_error(client, path, status, json, err);
out:
    bytes_release(&body);
    return code;
}

/* Whole lines; all of it if it is `full` and within one. */
static size_t whole_lines(const struct bytes *text, bool full)
{
    const uint8_t *end = text->len ? memrchr(text->data, '\n', text->len) : NULL;

    return end ? (size_t)(end + 1 - text->data) : full ? text->len : 0;
}

int cli_get_worker_file(struct cli_http *client, const char *job, const char *file, uint32_t i, uint64_t offset, bool to_the_end,
                        struct bytes *body, bool *ret_more, bool *ret_refused, struct err *err)
{
    struct json *answer = NULL;
    struct arena arena;
    char path[128];
    int status, code;

    *ret_more = *ret_refused = false;
    snprintf(path, sizeof(path), "/jobs/%s/%s?worker=%" PRIu32 "&offset=%" PRIu64, job, file, i, offset);
    code = cli_http_call(client, "GET", path, NULL, 0, &status, body, err);
    if (code == 0 && status == 200) {
        *ret_more = body->len >= FILE_PART;
        if (!to_the_end)
            body->len = whole_lines(body, *ret_more);
    } else if (code == 0) {
        *ret_refused = true;
        arena_init(&arena);
        if (json_parse(&arena, body->data ? (char *)body->data : "", body->len, &answer, NULL) < 0)
            answer = NULL;
        code = cli_answer_error(client, path, status, answer, err);
        arena_release(&arena);
    }
    return code;
}
