/*
 * handlers_jars.c - uploaded jobs: shared objects in the folder for uploads, named as in Flink UUID_NAME.
 *
 * Nothing here maps or runs them: a short-lived worker on a TaskManager builds the graph (JM_PLAN), which comes back as
 * bytes and is validated like any other.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/graph/graph.h"
#include "jobmanager/rest/rest_private.h"

#define JARS_MAX 1000
#define ARGS_MAX 256
#define UUID_TEXT 36 /* characters before the underscore */

static bool submit_enabled(struct rest_request *r)
{
    if (conf_bool(rest_conf(r->rest), OPT_WEB_SUBMIT_ENABLE))
        return true;
    rest_fail(r, 404, "Unable to load requested file %s.", r->path);
    return false;
}

/* ---- the folder ---- */
struct jar {
    char *id; /* file name */
    int64_t uploaded_ms;
};

static int newest_first(const void *a, const void *b)
{
    int64_t x = ((const struct jar *)a)->uploaded_ms, y = ((const struct jar *)b)->uploaded_ms;

    return x > y ? -1 : x < y;
}

static size_t list_jars(struct rest_request *r, const char *folder, struct jar *jars)
{
    DIR *dir = opendir(folder);
    struct dirent *e;
    size_t n = 0;

    while (dir && n < JARS_MAX && (e = readdir(dir)) != NULL) {
        size_t len = strlen(e->d_name);
        struct stat st;

        if (len <= UUID_TEXT + 1 || e->d_name[UUID_TEXT] != '_' || strcmp(e->d_name + len - 3, ".so") != 0 ||
            fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        jars[n].id = arena_strdup(&r->arena, e->d_name);
        jars[n++].uploaded_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    }
    if (dir)
        closedir(dir);
    if (n > 1)
        qsort(jars, n, sizeof(*jars), newest_first);
    return n;
}

void rest_get_jars(struct rest_request *r)
{
    struct jar *jars = arena_alloc(&r->arena, JARS_MAX * sizeof(*jars));
    struct err err = {0};
    const char *folder;
    char *address;
    size_t n;

    if (!submit_enabled(r))
        return;
    folder = rest_upload_dir(r->rest, &err);
    n = folder ? list_jars(r, folder, jars) : 0;
    address = mem_printf("http://%s", r->http->host ? r->http->host : rest_address(r->rest));
    jw_object(&r->w, NULL);
    jw_string(&r->w, "address", address);
    jw_array(&r->w, "files");
    for (size_t i = 0; i < n; i++) {
        jw_object(&r->w, NULL);
        jw_string(&r->w, "id", jars[i].id);
        jw_string(&r->w, "name", jars[i].id + UUID_TEXT + 1);
        jw_int(&r->w, "uploaded", jars[i].uploaded_ms);
        jw_array(&r->w, "entry");
        jw_object(&r->w, NULL);
        jw_string(&r->w, "name", "rask_job");
        jw_null(&r->w, "description");
        jw_object_end(&r->w);
        jw_array_end(&r->w);
        jw_object_end(&r->w);
    }
    jw_array_end(&r->w);
    jw_object_end(&r->w);
    mem_free(address);
    rest_ok(r);
}

static bool name_is_plain(const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == '/' || name[i] == 0x7f)
            return false;
    return n > 3 && n <= 200 && strcmp(name + n - 3, ".so") == 0;
}

static int store(const char *path, const struct rest_upload *u, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), code = 0;
    size_t done = 0;

    if (fd < 0)
        return err_errno(err, errno, "cannot write %s", path);
    while (code == 0 && done < u->len) {
        ssize_t n = write(fd, u->data + done, u->len - done);

        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            code = err_errno(err, errno, "cannot write %s", path);
    }
    close(fd);
    if (code < 0)
        unlink(path);
    return code;
}

void rest_post_jar(struct rest_request *r)
{
    struct rest_upload upload = {0};
    struct err err = {0};
    size_t count = 0;
    uint8_t u[16];
    const char *folder;
    char *path;

    if (!submit_enabled(r))
        return;
    if (rest_multipart(&r->arena, r->http->content_type, r->http->body, r->http->body_len, &upload, 1, &count, &err) < 0) {
        rest_fail(r, 400, "%s", err.text);
        return;
    }
    if (count != 1) {
        rest_fail(r, 400, "Exactly 1 file must be sent, received %zu.", count);
        return;
    }
    if (!name_is_plain(upload.name) || upload.len < 4 || memcmp(upload.data, "\177ELF", 4) != 0) {
        rest_fail(r, 400, "Only shared objects (*.so, with an ELF header) are allowed.");
        return;
    }
    folder = rest_upload_dir(r->rest, &err);
    if (!folder || getrandom(u, sizeof(u), 0) != (ssize_t)sizeof(u)) {
        rest_fail_inside(r, "%s", err.text[0] ? err.text : "no random numbers");
        return;
    }
    path = mem_printf("%s/%02x%02x%02x%02x-%02x%02x-4%01x%02x-a%01x%02x-%02x%02x%02x%02x%02x%02x_%s", folder, u[0], u[1], u[2],
                      u[3], u[4], u[5], u[6] & 15, u[7], u[8] & 15, u[9], u[10], u[11], u[12], u[13], u[14], u[15],
                      upload.name);
    if (store(path, &upload, &err) < 0) {
        rest_fail_inside(r, "%s", err.text);
    } else {
        jw_object(&r->w, NULL);
        jw_string(&r->w, "filename", path);
        jw_string(&r->w, "status", "success");
        jw_object_end(&r->w);
        rest_ok(r);
    }
    mem_free(path);
}

/* The path of :jarid, or NULL: there is no such. Ids hold no slash, the router saw to that. */
static char *jar_path(struct rest_request *r)
{
    const char *folder = rest_upload_dir(r->rest, NULL), *id = rest_param(r, "jarid");
    struct stat st;
    char *path, *copy;

    if (!folder || strlen(id) <= UUID_TEXT || id[UUID_TEXT] != '_')
        return NULL;
    path = mem_printf("%s/%s", folder, id);
    copy = lstat(path, &st) == 0 && S_ISREG(st.st_mode) ? arena_strdup(&r->arena, path) : NULL;
    mem_free(path);
    return copy;
}

void rest_delete_jar(struct rest_request *r)
{
    char *path;

    if (!submit_enabled(r))
        return;
    path = jar_path(r);
    if (!path || unlink(path) < 0) {
        rest_fail(r, 400, "File %s does not exist in the folder for uploads.", rest_param(r, "jarid"));
        return;
    }
    jw_object(&r->w, NULL);
    jw_object_end(&r->w);
    rest_ok(r);
}

/* ---- run and plan ---- */
struct jar_run { /* r->state */
    bool run;    /* else: only the plan */
    void *mapped;
    size_t mapped_len;
    const char *entry, *savepoint; /* savepoint NULL: none */
    bool allow;
    uint64_t parallelism;
    struct id job_id;
    bool has_job_id;
    Rask__Graph__Property **params, **config;
    size_t param_count, config_count;
    Rask__Graph__StreamGraph *graph;
};

static Rask__Graph__Property *property(struct arena *arena, const char *key, size_t key_len, const char *value)
{
    Rask__Graph__Property *p = arena_alloc(arena, sizeof(*p));

    rask__graph__property__init(p);
    p->key = arena_alloc(arena, key_len + 1);
    memcpy(p->key, key, key_len);
    p->value = arena_strdup(arena, value);
    return p;
}

static bool is_number(const char *text)
{
    char *end;

    (void)strtod(text, &end);
    return end != text && *end == 0;
}

/* --name value, --name=value, --name: as on the command line. false: answered. */
static bool parse_args(struct rest_request *r, struct jar_run *j, const char *const *words, size_t count)
{
    j->params = arena_alloc(&r->arena, (count + 1) * sizeof(j->params[0]));
    for (size_t i = 0; i < count; i++) {
        const char *name = words[i] + strspn(words[i], "-"), *equals = strchr(name, '='), *value = "true";

        if (name == words[i] || !*name) {
            rest_fail(r, 400, "Argument '%.200s': arguments of the job have the form --name value.", words[i]);
            return false;
        }
        if (equals)
            value = equals + 1;
        else if (i + 1 < count && (words[i + 1][0] != '-' || is_number(words[i + 1])))
            value = words[++i];
        j->params[j->param_count++] =
            property(&r->arena, name, equals ? (size_t)(equals - name) : strlen(name), value);
    }
    return true;
}

static size_t split_words(struct rest_request *r, const char *text, char separator, const char **words)
{
    size_t n = 0;

    while (text && *text && n < ARGS_MAX) {
        size_t len = 0;
        char *word;

        while (text[len] && text[len] != separator && !(separator == ' ' && isspace((unsigned char)text[len])))
            len++;
        if (len) {
            word = arena_alloc(&r->arena, len + 1);
            memcpy(word, text, len);
            words[n++] = word;
        }
        text += len + (text[len] != 0);
    }
    return n;
}

/* A body is JSON or empty; unknown members are ignored. false: answered. */
static bool parse_body(struct rest_request *r, struct jar_run *j, const char **words, size_t *count)
{
    const struct json *list, *conf, *parallelism;
    struct json *body;
    struct err err = {0};
    const char *id;

    if (r->http->body_len == 0)
        return true;
    if (json_parse(&r->arena, (const char *)r->http->body, r->http->body_len, &body, &err) < 0 || body->type != JSON_OBJECT) {
        rest_fail(r, 400, "Request did not match expected format JarRunRequestBody. %s", err.text);
        return false;
    }
    parallelism = json_get(body, "parallelism");
    if (parallelism && parallelism->type != JSON_NULL &&
        (parallelism->type != JSON_INT || parallelism->u.integer < 1 || parallelism->u.integer > GRAPH_PARALLELISM_MAX)) {
        rest_fail(r, 400, "Request did not match expected format JarRunRequestBody. parallelism is a number of 1 to %d.",
                  GRAPH_PARALLELISM_MAX);
        return false;
    }
    if (parallelism && parallelism->type == JSON_INT)
        j->parallelism = (uint64_t)parallelism->u.integer;
    j->entry = json_get_string(body, "entryClass", j->entry);
    id = json_get_string(body, "jobId", NULL);
    j->has_job_id = id != NULL;
    if (id && !id_parse(id, &j->job_id)) {
        rest_fail(r, 400, "Request did not match expected format JarRunRequestBody. jobId is 32 hexadecimal digits.");
        return false;
    }
    list = json_get(body, "programArgsList");
    for (const struct json *w = list && list->type == JSON_ARRAY ? list->u.children.first : NULL; w && *count < ARGS_MAX; w = w->next)
        if (w->type == JSON_STRING)
            words[(*count)++] = w->u.string.data;
    if (*count == 0)
        *count = split_words(r, json_get_string(body, "programArgs", NULL), ' ', words);
    j->savepoint = json_get_string(body, "savepointPath", j->savepoint);
    j->allow = json_get_bool(body, "allowNonRestoredState", j->allow);
    conf = json_get(body, "flinkConfiguration");
    if (conf && conf->type == JSON_OBJECT) {
        j->config = arena_alloc(&r->arena, (conf->u.children.count + 1) * sizeof(j->config[0]));
        for (const struct json *m = conf->u.children.first; m; m = m->next)
            if (m->type == JSON_STRING)
                j->config[j->config_count++] = property(&r->arena, m->key, strlen(m->key), m->u.string.data);
    }
    return true;
}

static bool parse_request(struct rest_request *r, struct jar_run *j)
{
    const char *words[ARGS_MAX];
    size_t count = 0;

    if (!rest_query_u64(r, "parallelism", GRAPH_PARALLELISM_MAX, &j->parallelism))
        return false;
    j->entry = rest_query(r, "entry-class");
    j->savepoint = rest_query(r, "savepointPath");
    j->allow = rest_query(r, "allowNonRestoredState") && strcmp(rest_query(r, "allowNonRestoredState"), "true") == 0;
    if (rest_query(r, "programArg"))
        count = split_words(r, rest_query(r, "programArg"), ',', words);
    else if (rest_query(r, "program-args"))
        count = split_words(r, rest_query(r, "program-args"), ' ', words);
    return parse_body(r, j, words, &count) && parse_args(r, j, words, count);
}

static void jar_submitted(struct rest_request *r, struct jm_command *c)
{
    const struct jar_run *j = r->state;
    char text[ID_TEXT_MAX];

    if (c->code < 0) {
        rest_fail_command(r, c);
        return;
    }
    jw_object(&r->w, NULL);
    jw_string(&r->w, "jobid", id_format(&j->job_id, text));
    jw_object_end(&r->w);
    rest_ok(r);
}

/* Settings of the request go behind those of the program, which win. */
static void add_config(struct rest_request *r, struct jar_run *j)
{
    Rask__Graph__StreamGraph *g = j->graph;
    Rask__Graph__Property **all = arena_alloc(&r->arena, (g->n_config + j->config_count + 3) * sizeof(all[0]));
    size_t n = g->n_config;

    if (n)
        memcpy(all, g->config, n * sizeof(all[0]));
    for (size_t i = 0; i < j->config_count; i++) {
        bool set = false;

        for (size_t k = 0; k < g->n_config; k++)
            set |= strcmp(g->config[k]->key, j->config[i]->key) == 0;
        if (!set)
            all[n++] = j->config[i];
    }
    if (j->savepoint) {
        static const char path[] = "execution.state-recovery.path", allow[] = "execution.state-recovery.ignore-unclaimed-state";

        all[n++] = property(&r->arena, path, sizeof(path) - 1, j->savepoint);
        all[n++] = property(&r->arena, allow, sizeof(allow) - 1, j->allow ? "true" : "false");
    }
    g->config = all;
    g->n_config = n;
}

static void answer_plan(struct rest_request *r, struct jar_run *j)
{
    const struct conf *conf = rest_conf(r->rest);
    struct graph_options o = {.client_parallelism = (uint32_t)j->parallelism,
                              .default_parallelism = (uint32_t)conf_int(conf, OPT_PARALLELISM_DEFAULT)};
    Rask__Graph__JobGraph *job;
    struct err err = {0};
    char text[ID_TEXT_MAX];

    if (graph_compile(j->graph, &o, &r->arena, &job, &err) < 0) {
        rest_fail(r, 400, "%s", err.text);
        return;
    }
    jw_object(&r->w, NULL);
    graph_rest_plan_json(job, id_format(&j->job_id, text), &r->w, "plan");
    jw_object_end(&r->w);
    rest_ok(r);
}

static void planned(struct rest_request *r, struct jm_command *c)
{
    struct jar_run *j = r->state;
    struct jm_command submit = {.type = JM_SUBMIT};
    struct err err = {0};

    if (c->code < 0) {
        rest_fail_command(r, c);
        return;
    }
    if (graph_unpack(&r->arena, c->result.data, c->result.len, &j->graph, &err) < 0 || graph_validate(j->graph, &err) < 0) {
        rest_fail(r, 400, "%s", err.text);
        return;
    }
    if (!j->has_job_id && getrandom(&j->job_id, sizeof(j->job_id), 0) != (ssize_t)sizeof(j->job_id)) {
        rest_fail_inside(r, "no random numbers");
        return;
    }
    if (!j->run) {
        answer_plan(r, j);
        return;
    }
    j->graph->has_job_id = 1;
    j->graph->job_id.data = j->job_id.bytes;
    j->graph->job_id.len = sizeof(j->job_id.bytes);
    add_config(r, j);
    submit.graph = j->graph;
    submit.client_parallelism = (uint32_t)j->parallelism;
    rest_execute(r, &submit, jar_submitted);
}

static void jar_put(struct rest_request *r, struct jm_command *c)
{
    struct jar_run *j = r->state;
    struct jm_command plan = {.type = JM_PLAN};

    munmap(j->mapped, j->mapped_len);
    if (c->code < 0) {
        rest_fail_command(r, c);
        return;
    }
    memcpy(plan.hash, c->hash, sizeof(plan.hash));
    plan.params = (const Rask__Graph__Property *const *)j->params;
    plan.param_count = j->param_count;
    plan.entry = j->entry;
    rest_execute(r, &plan, planned);
}

static void start(struct rest_request *r, bool run)
{
    struct jar_run *j = arena_alloc(&r->arena, sizeof(*j));
    struct jm_command put = {.type = JM_PUT_BLOB};
    struct stat st = {0};
    const char *path;
    int fd;

    r->state = j;
    j->run = run;
    if (!submit_enabled(r) || !parse_request(r, j))
        return;
    path = jar_path(r);
    fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0) {
        if (fd >= 0)
            close(fd);
        rest_fail_inside(r, "<Exception on server side:\nJar file %s does not exist\nEnd of exception on server side>",
                         rest_param(r, "jarid"));
        return;
    }
    j->mapped_len = (size_t)st.st_size;
    j->mapped = mmap(NULL, j->mapped_len, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (j->mapped == MAP_FAILED) {
        rest_fail_inside(r, "cannot read the upload %s", rest_param(r, "jarid"));
        return;
    }
    put.data = j->mapped;
    put.len = j->mapped_len;
    rest_execute(r, &put, jar_put);
}

void rest_run_jar(struct rest_request *r)
{
    start(r, true);
}

void rest_plan_jar(struct rest_request *r)
{
    start(r, false);
}
