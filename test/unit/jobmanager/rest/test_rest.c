/* The REST API over a fake JobManager: answers against those that Flink gave, errors, who may ask, uploads. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/client.h"
#include "common/graph/submission.h"
#include "jobmanager/rest/rest.h"
#include "test/unit/jobmanager/rest/fake_jm.h"

struct fixture {
    struct conf *conf;
    struct jm jm;
    struct rest *rest;
    struct cli_http *client;
    char dir[64];
    struct arena arena;
};

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    struct err err = {0};
    struct rest_options options = {.jm = &f->jm};
    char *log;
    FILE *file;

    snprintf(f->dir, sizeof(f->dir), "/tmp/test-rest-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    log = mem_printf("%s/jm.log", f->dir);
    file = fopen(log, "we");
    fputs("a line\n", file);
    fclose(file);
    f->conf = conf_new();
    assert_int_equal(conf_set(f->conf, "rest.bind-port", "0", "test", &err), 0);
    assert_int_equal(conf_set(f->conf, "io.tmp.dirs", f->dir, "test", &err), 0);
    assert_int_equal(conf_set(f->conf, "rest.address", "myhost", "test", &err), 0);
    assert_int_equal(conf_set(f->conf, "security.ssl.internal.key-password", "hush", "test", &err), 0);
    options.conf = f->conf;
    options.log_dir = f->dir;
    options.log_file = log;
    if (rest_start(&options, &f->rest, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(cli_http_new(rest_address(f->rest), &f->client, &err), 0);
    arena_init(&f->arena);
    mem_free(log);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    DIR *dir;
    struct dirent *e;

    cli_http_free(f->client);
    rest_stop(f->rest);
    fake_wait(&f->jm);
    conf_free(f->conf);
    arena_release(&f->arena);
    dir = opendir(f->dir);
    while ((e = readdir(dir)) != NULL)
        unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
    assert_int_equal(rmdir(f->dir), 0); /* the folder for uploads has gone */
    mem_free(f);
    return 0;
}

/* One call; the answer's body is in *body. */
static int call(struct fixture *f, const char *method, const char *path, const void *data, size_t len, struct bytes *body)
{
    struct cli_part part = {data, len};
    struct err err = {0};
    int status = 0;

    if (cli_http_call(f->client, method, path, &part, data ? 1 : 0, &status, body, &err) < 0)
        fail_msg("%s %s: %s", method, path, err.text);
    return status;
}

static struct json *get_json(struct fixture *f, const char *method, const char *path, const void *data, int want)
{
    struct bytes body = {0};
    struct json *json = NULL;
    struct err err = {0};
    int status = call(f, method, path, data, data ? strlen(data) : 0, &body);

    if (status != want)
        fail_msg("%s %s: status %d, not %d: %s", method, path, status, want, (char *)body.data);
    if (json_parse(&f->arena, (char *)body.data, body.len, &json, &err) < 0)
        fail_msg("%s: %s", path, err.text);
    bytes_release(&body);
    return json;
}

/* ---- golden: every member that Flink's answer has, with its type ---- */
static bool is_number(enum json_type t)
{
    return t == JSON_INT || t == JSON_DOUBLE;
}

static void compare(const char *where, const struct json *wanted, const struct json *got)
{
    if (wanted->type == JSON_NULL)
        return;
    if (wanted->type != got->type && !(is_number(wanted->type) && is_number(got->type)))
        fail_msg("%s: type %d, not %d", where, got->type, wanted->type);
    if (wanted->type == JSON_ARRAY && wanted->u.children.count) {
        char *path = mem_printf("%s[0]", where);

        if (!got->u.children.count)
            fail_msg("%s: empty", where);
        compare(path, wanted->u.children.first, got->u.children.first);
        mem_free(path);
    }
    if (wanted->type != JSON_OBJECT)
        return;
    for (const struct json *m = wanted->u.children.first; m; m = m->next) {
        const struct json *mine = json_get(got, m->key);
        char *path = mem_printf("%s.%s", where, m->key);

        if (strcmp(m->key, "garbageCollectors") == 0 || strcmp(m->key, "concurrentExceptions") == 0 ||
            strcmp(m->key, "user-config") == 0 || strcmp(m->key, "serialized-throwable") == 0) {
            /* lists and maps whose content is Flink's own */
            assert_non_null(mine);
        } else if (!mine) {
            fail_msg("%s is missing", path);
        } else {
            compare(path, m, mine);
        }
        mem_free(path);
    }
}

static void golden(struct fixture *f, const char *name, const char *path)
{
    char *file = mem_printf("test/golden/rest/%s.json", name);
    FILE *in = fopen(file, "re");
    struct bytes text = {0};
    struct json *wanted;
    struct err err = {0};
    char block[4096];
    size_t n;

    if (!in)
        fail_msg("%s is missing: tests run in the top folder", file);
    while ((n = fread(block, 1, sizeof(block), in)) > 0)
        bytes_add(&text, block, n);
    fclose(in);
    if (json_parse(&f->arena, (char *)text.data, text.len, &wanted, &err) < 0)
        fail_msg("%s: %s", file, err.text);
    compare(name, wanted, get_json(f, "GET", path, NULL, 200));
    bytes_release(&text);
    mem_free(file);
}

static void test_cluster_has_every_field_of_flink(void **state)
{
    struct fixture *f = *state;
    static const char *const pairs[][2] = {{"cluster.config", "/config"},
                                           {"cluster.overview", "/overview"},
                                           {"cluster.jobs", "/jobs"},
                                           {"cluster.jobs_overview", "/jobs/overview"},
                                           {"cluster.taskmanagers", "/taskmanagers"},
                                           {"cluster.taskmanager", "/taskmanagers/" FAKE_TASKMANAGER},
                                           {"cluster.taskmanager_logs", "/taskmanagers/" FAKE_TASKMANAGER "/logs"},
                                           {"cluster.jobmanager_config", "/jobmanager/config"},
                                           {"cluster.jobmanager_logs", "/jobmanager/logs"},
                                           {"empty-cluster.jars", "/jars"},
                                           {"empty-cluster.config", "/v1/config"},
                                           {"empty-cluster.jobs", "//jobs/"}};

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        golden(f, pairs[i][0], pairs[i][1]);
}

static void test_jobs_have_every_field_of_flink(void **state)
{
    struct fixture *f = *state;
    static const char *const states[][2] = {
        {"running", FAKE_RUNNING}, {"failed", FAKE_FAILED}, {"finished", FAKE_FINISHED}, {"canceled", FAKE_CANCELED}};
    static const char *const pairs[][2] = {
        {"job", ""},
        {"accumulators", "/accumulators"},
        {"config", "/config"},
        {"exceptions", "/exceptions"},
        {"plan", "/plan"},
        {"status", "/status"},
        {"execution-result", "/execution-result"},
        {"vertex", "/vertices/" FAKE_VERTEX},
        {"subtask", "/vertices/" FAKE_VERTEX "/subtasks/0"},
        {"attempt", "/vertices/" FAKE_VERTEX "/subtasks/0/attempts/0"},
        {"subtasktimes", "/vertices/" FAKE_VERTEX "/subtasktimes"},
        {"vertex_taskmanagers", "/vertices/" FAKE_VERTEX "/taskmanagers"},
        {"vertex_accumulators", "/vertices/" FAKE_VERTEX "/accumulators"},
        {"subtask_accumulators", "/vertices/" FAKE_VERTEX "/subtasks/accumulators"},
    };

    for (size_t s = 0; s < ARRAY_LEN(states); s++)
        for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
            char *name = mem_printf("%s.%s", states[s][0], pairs[i][0]);
            char *path = mem_printf("/jobs/%s%s", states[s][1], pairs[i][1]);

            golden(f, name, path);
            mem_free(name);
            mem_free(path);
        }
}

static void test_values_are_those_of_the_snapshot(void **state)
{
    struct fixture *f = *state;
    const struct json *j = get_json(f, "GET", "/overview", NULL, 200), *jobs;

    assert_int_equal(json_get_int(j, "slots-total", 0), 4);
    assert_int_equal(json_get_int(j, "jobs-running", 0), 2);
    assert_int_equal(json_get_int(j, "jobs-failed", 0), 1);
    assert_int_equal(json_get_int(j, "jobs-cancelled", 0), 1);
    j = get_json(f, "GET", "/jobs/" FAKE_RUNNING, NULL, 200);
    assert_string_equal(json_get_string(j, "state", ""), "RUNNING");
    assert_int_equal(json_get(j, "vertices")->u.children.count, 1); /* the enumerator is hidden */
    assert_int_equal(json_get_int(j, "workers", 0), 1);
    jobs = json_get(get_json(f, "GET", "/jobs/overview", NULL, 200), "jobs");
    assert_int_equal(jobs->u.children.count, 5);
    assert_string_equal(json_get_string(jobs->u.children.first->next->next, "reason", ""), "needs 4 slots, 2 are free");
    j = json_get(json_get(get_json(f, "GET", "/jobs/" FAKE_RUNNING "/config", NULL, 200), "execution-config"), "user-config");
    assert_string_equal(json_get_string(j, "s3.secret-key", ""), CONF_HIDDEN);
}

/* ---- errors ---- */
static void test_errors_have_flinks_status(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *method, *path;
        int status;
        const char *text;
    } rows[] = {
        {"GET", "/nope", 404, "Unable to load requested file /nope."},
        {"GET", "/v2/jobs", 404, "Unable to load requested file /v2/jobs."},
        {"DELETE", "/overview", 404, "Not found: /overview"},
        {"OPTIONS", "/overview", 404, "Not found: /overview"},
        {"GET", "/jobs/xyz", 400, "Cannot resolve path parameter (jobid) from value \"xyz\"."},
        {"GET", "/jobs/00000000000000000000000000000009", 404, "Job 00000000000000000000000000000009 not found"},
        {"GET", "/jobs/00000000000000000000000000000009/status", 500, "Internal server error."},
        {"PATCH", "/jobs/00000000000000000000000000000009", 404, "Job could not be found."},
        {"PATCH", "/jobs/" FAKE_RUNNING "?mode=bogus", 400, "Cannot resolve query parameter (mode)"},
        {"PATCH", "/jobs/" FAKE_RUNNING "?mode=stop", 308, "has been removed"},
        {"PATCH", "/jobs/" FAKE_FINISHED, 409, "over already"},
        {"GET", "/jobs/" FAKE_RUNNING "/exceptions?maxExceptions=x", 400, "(maxExceptions) from value \"x\""},
        {"GET", "/jobs/" FAKE_RUNNING "/vertices/zz", 400, "(vertexid) from value \"zz\""},
        {"GET", "/jobs/" FAKE_RUNNING "/vertices/00000000000000000000000000000009", 404, "not found"},
        {"GET", "/jobs/" FAKE_RUNNING "/vertices/000000000000000000000000000000b0", 404, "not found"},
        {"GET", "/jobs/" FAKE_RUNNING "/vertices/" FAKE_VERTEX "/subtasks/x", 400, "(subtaskindex)"},
        {"GET", "/jobs/" FAKE_RUNNING "/vertices/" FAKE_VERTEX "/subtasks/-1", 400, "(subtaskindex)"},
        {"GET", "/jobs/" FAKE_RUNNING "/vertices/" FAKE_VERTEX "/subtasks/99", 404, "Invalid subtask index"},
        {"GET", "/taskmanagers/nope", 500, "Internal server error."},
        {"GET", "/taskmanagers/" FAKE_TASKMANAGER "/logs/nope.log", 500, "Internal server error."},
        {"GET", "/jobmanager/logs/nope.log", 404, "does not exist"},
        {"GET", "/jobmanager/logs/..%2fx", 404, "Unable to load requested file"},
        {"GET", "/jobmanager/../overview", 404, "Unable to load requested file"},
        {"GET", "/%zz", 400, "cannot be decoded"},
        {"GET", "/%00", 400, "cannot be decoded"},
        {"GET", "/jobs/" FAKE_RUNNING "/output?worker=1", 404, "there is no worker 1"},
        {"POST", "/jobs", 400, "no job submission"},
        {"POST", "/jars/upload", 400, "Exactly 1 file must be sent, received 0."},
        {"POST", "/jars/nope.so/run", 500, "Internal server error."},
        {"POST", "/jars/x/run?parallelism=abc", 400, "(parallelism)"},
        {"DELETE", "/jars/nope.so", 400, "nope.so does not exist"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct json *j = get_json(f, rows[i].method, rows[i].path, NULL, rows[i].status);
        const struct json *errors = json_get(j, "errors");

        assert_non_null(errors);
        if (!strstr(errors->u.children.first->u.string.data, rows[i].text))
            fail_msg("%s: %s", rows[i].path, errors->u.children.first->u.string.data);
    }
}

/* ---- raw requests ---- */
static char *raw(struct fixture *f, const char *text)
{
    static char answer[65536];
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t len = 0;
    ssize_t n;

    a.sin_port = htons((uint16_t)strtol(strrchr(rest_address(f->rest), ':') + 1, NULL, 10));
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    shutdown(fd, SHUT_WR);
    while ((n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) > 0)
        len += (size_t)n;
    answer[len] = 0;
    close(fd);
    return answer;
}

static void test_foreign_hosts_and_origins_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *headers;
        int status;
    } rows[] = {{"Host: localhost:8081\r\n", 200},
                {"Host: 127.0.0.1\r\n", 200},
                {"Host: [::1]:8081\r\n", 200},
                {"Host: MyHost:1\r\n", 200},
                {"Host: evil.example\r\n", 403},
                {"Host: localhost.evil.example:8081\r\n", 403},
                {"Host: \r\n", 403},
                {"Host: localhost:8081\r\nOrigin: http://localhost:8081\r\n", 200},
                {"Host: localhost:8081\r\nOrigin: http://localhost:9999\r\n", 403},
                {"Host: localhost:8081\r\nOrigin: https://localhost:8081\r\n", 403},
                {"Host: localhost:8081\r\nOrigin: http://evil.example\r\n", 403},
                {"Host: localhost:8081\r\nOrigin: null\r\n", 403}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *request = mem_printf("GET /overview HTTP/1.1\r\n%s\r\n", rows[i].headers), *answer = raw(f, request);

        if (strtol(answer + 9, NULL, 10) != rows[i].status)
            fail_msg("%s gives %.12s", rows[i].headers, answer);
        assert_null(strcasestr(answer, "access-control-allow-origin:"));
        mem_free(request);
    }
}

static void test_a_large_body_is_refused_before_it_is_sent(void **state)
{
    struct fixture *f = *state;
    char *answer = raw(f, "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 67108865\r\n\r\n");

    assert_non_null(strstr(answer, "HTTP/1.1 413 "));
    assert_non_null(strstr(answer, "67108864 are taken"));
}

/* ---- files ---- */
static void test_logs_and_output(void **state)
{
    struct fixture *f = *state;
    struct bytes body = {0};

    assert_int_equal(call(f, "GET", "/jobmanager/logs/jm.log", NULL, 0, &body), 200);
    assert_string_equal((char *)body.data, "a line\n");
    bytes_clear(&body);
    assert_int_equal(call(f, "GET", "/jobmanager/log", NULL, 0, &body), 200);
    assert_int_equal(body.len, 7);
    assert_int_equal(call(f, "GET", "/taskmanagers/" FAKE_TASKMANAGER "/log", NULL, 0, &body), 200);
    assert_int_equal(body.len, 14);
    assert_int_equal(call(f, "GET", "/jobs/" FAKE_RUNNING "/output?worker=0&offset=7", NULL, 0, &body), 200);
    assert_int_equal(body.len, 7);
    assert_memory_equal(body.data, "1> two\n", 7);
    assert_int_equal(call(f, "GET", "/jobs/" FAKE_FINISHED "/log", NULL, 0, &body), 200);
    assert_int_equal(body.len, 14);
    bytes_release(&body);
}

/* ---- submission ---- */
static int post_job(struct fixture *f, const void *artifact, size_t len, const uint8_t hash[32], struct bytes *answer)
{
    struct submission s = {.parallelism = 3, .artifact_len = len};
    struct bytes graph = {0}, body = {0};
    struct id id = id_from_u64(1, 2);
    int status;

    fake_graph(&graph, hash, &id);
    s.graph_len = graph.len;
    submission_header(&s, &body);
    bytes_add(&body, graph.data, graph.len);
    bytes_add(&body, artifact, len);
    status = call(f, "POST", "/jobs", body.data, body.len, answer);
    bytes_release(&graph);
    bytes_release(&body);
    return status;
}

static void test_a_job_is_submitted_with_its_artifact(void **state)
{
    struct fixture *f = *state;
    struct bytes answer = {0};
    size_t len = 3u << 20; /* goes through a file */
    uint8_t *artifact = mem_alloc(len), hash[32];

    memset(artifact, 'x', len);
    hash_sha256(artifact, len, hash);
    assert_int_equal(post_job(f, artifact, len, hash, &answer), 200);
    assert_string_equal((char *)answer.data, "{\"jobid\":\"00000000000000010000000000000002\"}");
    assert_string_equal(f->jm.submitted, "posted");
    assert_int_equal(f->jm.parallelism, 3);
    assert_memory_equal(f->jm.blob, hash, 32);
    hash[0] ^= 1;
    assert_int_equal(post_job(f, artifact, len, hash, &answer), 400);
    assert_int_equal(call(f, "POST", "/jobs", "RASKJOB1", 8, &answer), 400);
    assert_int_equal(call(f, "POST", "/jobs", "\0\1garbage", 9, &answer), 400);
    bytes_release(&answer);
    mem_free(artifact);
}

static void test_cancel(void **state)
{
    struct fixture *f = *state;

    get_json(f, "PATCH", "/jobs/" FAKE_RUNNING "?mode=cancel", NULL, 202);
    get_json(f, "PATCH", "/jobs/" FAKE_RUNNING, NULL, 202);
    get_json(f, "PATCH", "/jobs/" FAKE_CANCELED, NULL, 202);
}

/* ---- jars ---- */
static char *upload(struct fixture *f, const char *name, const char *content)
{
    char *body = mem_printf("--bnd\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nfield\r\n"
                            "--bnd\r\nContent-Disposition: form-data; name=\"jarfile\"; filename=\"%s\"\r\n"
                            "Content-Type: application/x-java-archive\r\n\r\n%s\r\n--bnd--\r\n", name, content);
    char *request = mem_printf("POST /jars/upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                               "Content-Type: multipart/form-data; boundary=bnd\r\nContent-Length: %zu\r\n\r\n%s",
                               strlen(body), body), *answer = raw(f, request);

    mem_free(body);
    mem_free(request);
    return answer;
}

static void test_jars_are_uploaded_listed_run_and_deleted(void **state)
{
    struct fixture *f = *state;
    const struct json *file, *answer;
    char *path;

    assert_non_null(strstr(upload(f, "x.txt", "\177ELF..."), "Only shared objects"));
    assert_non_null(strstr(upload(f, "x.so", "no elf"), "Only shared objects"));
    assert_non_null(strstr(upload(f, "C:\\\\dir\\\\word.so", "\177ELF..."), "\"status\":\"success\""));
    answer = get_json(f, "GET", "/jars", NULL, 200);
    golden(f, "flow.jars", "/jars");
    file = json_get(answer, "files")->u.children.first;
    assert_string_equal(json_get_string(file, "name", ""), "word.so");
    path = mem_printf("/jars/%s/run", json_get_string(file, "id", ""));
    answer = get_json(f, "POST", path, "{\"programArgsList\":[\"--n\",\"-5\"],\"parallelism\":2,\"bogus\":1,"
                                       "\"jobId\":\"000000000000000000000000000000c1\"}", 200);
    assert_string_equal(json_get_string(answer, "jobid", ""), "000000000000000000000000000000c1");
    assert_string_equal(f->jm.plan_arg, "n=-5");
    assert_int_equal(f->jm.parallelism, 2);
    get_json(f, "POST", path, "{\"parallelism\":\"two\"}", 400);
    get_json(f, "POST", path, "{\"parallelism\":0}", 400);
    get_json(f, "POST", path, "{not json", 400);
    f->jm.plan_error = "rask_job returned 3";
    get_json(f, "POST", path, "{}", 400);
    f->jm.plan_error = NULL;
    mem_free(path);
    path = mem_printf("/jars/%s/plan?programArg=--job,WordCount", json_get_string(file, "id", ""));
    golden(f, "flow.plan", path);
    assert_string_equal(f->jm.plan_arg, "job=WordCount");
    mem_free(path);
    path = mem_printf("/jars/%s", json_get_string(file, "id", ""));
    get_json(f, "DELETE", path, NULL, 200);
    get_json(f, "DELETE", path, NULL, 400);
    mem_free(path);
}

/* ---- start and end ---- */
static void test_a_taken_port_and_open_addresses_are_refused(void **state)
{
    struct fixture *f = *state;
    struct conf *conf = conf_clone(f->conf);
    struct rest_options options = {.conf = conf, .jm = &f->jm};
    struct rest *rest = NULL;
    struct err err = {0};

    assert_int_equal(conf_set(conf, "rest.bind-port", strrchr(rest_address(f->rest), ':') + 1, "test", &err), 0);
    assert_true(rest_start(&options, &rest, &err) < 0);
    assert_non_null(strstr(err.text, "the port is taken"));
    assert_non_null(strstr(err.text, "held by"));
    assert_int_equal(conf_set(conf, "rest.bind-port", "0", "test", &err), 0);
    assert_int_equal(conf_set(conf, "rest.bind-address", "0.0.0.0", "test", &err), 0);
    assert_true(rest_start(&options, &rest, &err) < 0);
    assert_non_null(strstr(err.text, "security.allow-plaintext"));
    conf_free(conf);
}

static void test_it_ends_while_a_command_is_under_way(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static const char request[] = "PATCH /jobs/" FAKE_RUNNING " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    f->jm.hold = true;
    a.sin_port = htons((uint16_t)strtol(strrchr(rest_address(f->rest), ':') + 1, NULL, 10));
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL), (ssize_t)sizeof(request) - 1);
    while (!__atomic_load_n(&f->jm.under_way, __ATOMIC_ACQUIRE))
        sched_yield();
    rest_stop(f->rest);
    f->rest = NULL;
    __atomic_store_n(&f->jm.hold, false, __ATOMIC_RELEASE);
    fake_wait(&f->jm);
    close(fd);
}

/* ---- metrics ---- */
#define METRICS "/jobs/" FAKE_RUNNING "/vertices/" FAKE_VERTEX

static void metric_is(struct fixture *f, const char *path, const char *id, const char *value)
{
    const struct json *list = get_json(f, "GET", path, NULL, 200);

    assert_int_equal(list->type, JSON_ARRAY);
    assert_int_equal(list->u.children.count, 1);
    assert_string_equal(json_get_string(list->u.children.first, "id", ""), id);
    assert_string_equal(json_get_string(list->u.children.first, "value", ""), value);
}

static void test_metrics_have_flinks_forms(void **state)
{
    struct fixture *f = *state;
    const struct json *j;

    golden(f, "metrics.vertex_subtasks", METRICS "/subtasks/metrics?get=numRecordsIn,busyTimeMsPerSecond");
    golden(f, "metrics.vertex", METRICS "/metrics?get=0.numRecordsIn,1.numRecordsIn,0.nope");
    golden(f, "metrics.jobs", "/jobs/metrics?get=uptime&jobs=" FAKE_RUNNING);
    golden(f, "metrics.taskmanagers", "/taskmanagers/metrics?get=Status.JVM.Memory.Heap.Used&taskmanagers=" FAKE_TASKMANAGER);
    golden(f, "metrics.jobmanager", "/jobmanager/metrics?get=numRunningJobs,taskSlotsTotal,nope");
    golden(f, "running.vertex_backpressure", METRICS "/backpressure");
    metric_is(f, METRICS "/metrics?get=1.numRecordsIn,9.numRecordsIn,x,1.nope", "1.numRecordsIn", "101");
    metric_is(f, METRICS "/subtasks/1/metrics?get=numRecordsInPerSecond", "numRecordsInPerSecond", "7.5");
    metric_is(f, METRICS "/subtasks/0/metrics?get=busyTimeMsPerSecond", "busyTimeMsPerSecond", "300.0");
    metric_is(f, METRICS "/subtasks/0/metrics?get=isBackPressured", "isBackPressured", "true");
    metric_is(f, METRICS "/subtasks/0/metrics?get=currentInputWatermark", "currentInputWatermark", "-9223372036854775808");
    metric_is(f, METRICS "/subtasks/0/metrics?get=hottestKeyGroup", "hottestKeyGroup", "77");
    metric_is(f, "/jobmanager/metrics?get=taskSlotsTotal", "taskSlotsTotal", "4");
    metric_is(f, "/taskmanagers/" FAKE_TASKMANAGER "/metrics?get=Status.JVM.Memory.Heap.Max", "Status.JVM.Memory.Heap.Max",
                 "1811939328");
    metric_is(f, "/jobs/" FAKE_RUNNING "/metrics?get=numRestarts", "numRestarts", "0");
    metric_is(f, "/jobs/" FAKE_RUNNING "/metrics?get=compressedBytes", "compressedBytes", "4520");
    metric_is(f, "/jobs/" FAKE_RUNNING "/metrics?get=compressedBytesSent", "compressedBytesSent", "1020");
    j = get_json(f, "GET", METRICS "/subtasks/metrics?get=backPressuredTimeMsPerSecond&agg=sum,max&subtasks=0-1", NULL, 200);
    assert_float_equal(json_get(j->u.children.first, "sum")->u.number, 620, 0.001);
    assert_float_equal(json_get(j->u.children.first, "max")->u.number, 600, 0.001);
    assert_null(json_get(j->u.children.first, "min"));
    j = get_json(f, "GET", METRICS "/subtasks/metrics?get=numRecordsIn&subtasks=7", NULL, 200);
    assert_int_equal(j->u.children.count, 0);
    j = get_json(f, "GET", "/jobmanager/metrics?get=", NULL, 200);
    assert_int_equal(j->u.children.count, 0);
    get_json(f, "GET", METRICS "/subtasks/metrics?get=numRecordsIn&agg=median", NULL, 400);
    get_json(f, "GET", METRICS "/subtasks/metrics?get=numRecordsIn&subtasks=1-x", NULL, 400);
    j = get_json(f, "GET", METRICS "/backpressure", NULL, 200);
    assert_string_equal(json_get_string(j, "backpressureLevel", ""), "high");
    j = get_json(f, "GET", "/jobs/" FAKE_FINISHED "/vertices/" FAKE_VERTEX "/backpressure", NULL, 200);
    assert_string_equal(json_get_string(j, "status", ""), "deprecated");
}

/* Whatever is listed is a name of Flink's, or one of those that docs/rest.md lists as our own. */
static void test_metrics_have_flinks_names(void **state)
{
    struct fixture *f = *state;
    static const char own[] = "\"inFlightBytes\" \"readyTimeMsPerSecond\" \"hottestKeyGroup\" \"hottestKeyGroupShare\" "
                              "\"numRecordsInRemote\" \"sinkTimeShare\" \"numTakes\" \"compressedBytes\" \"compressedBytesSent\"";
    static const char *const lists[] = {METRICS "/subtasks/0/metrics", METRICS "/subtasks/metrics",
                                        "/jobs/" FAKE_RUNNING "/metrics", "/jobmanager/metrics",
                                        "/taskmanagers/" FAKE_TASKMANAGER "/metrics"};
    char text[8192] = "";
    FILE *in = fopen("test/golden/rest/metrics.names.json", "re");

    assert_non_null(in);
    assert_true(fread(text, 1, sizeof(text) - 1, in) > 0);
    fclose(in);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const struct json *list = get_json(f, "GET", lists[i], NULL, 200);

        assert_true(list->u.children.count > 0);
        for (const struct json *m = list->u.children.first; m; m = m->next) {
            char *name = mem_printf("\"%s\"", json_get_string(m, "id", "?"));

            if (!strstr(text, name) && !strstr(own, name))
                fail_msg("%s lists %s, which Flink does not have", lists[i], name);
            mem_free(name);
        }
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_cluster_has_every_field_of_flink),
        T(test_jobs_have_every_field_of_flink),
        T(test_values_are_those_of_the_snapshot),
        T(test_errors_have_flinks_status),
        T(test_metrics_have_flinks_forms),
        T(test_metrics_have_flinks_names),
        T(test_foreign_hosts_and_origins_are_refused),
        T(test_a_large_body_is_refused_before_it_is_sent),
        T(test_logs_and_output),
        T(test_a_job_is_submitted_with_its_artifact),
        T(test_cancel),
        T(test_jars_are_uploaded_listed_run_and_deleted),
        T(test_a_taken_port_and_open_addresses_are_refused),
        T(test_it_ends_while_a_command_is_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
