/* run.c - `rask run`: compiles a job, builds its graph, and runs it here (rask-local) or on a cluster (REST). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/client_private.h"
#include "common/base/check.h"
#include "common/graph/ops.h"
#include "common/graph/submission.h"

#define ARTIFACT_MAX (64u << 20)

static const char help[] =
    "rask run [OPTIONS] FILE.c [FILE2.c ...] | FILE.so [--name value ...]\n"
    "Compiles a job (the result is kept), builds its graph and runs it. What follows the files is for the job.\n"
    "\n"
    "  -t, --target WHERE       remote: on the cluster; local: right here (execution.target, remote)\n"
    "  -m, --jobmanager ADDR    HOST:PORT of the cluster's REST API (rest.address, rest.port)\n"
    "  -p, --parallelism N      parallelism of operators that set none\n"
    "  -d, --detached           print the job id and leave; without it, wait and show progress and output\n"
    "  -c, --class, --entry FN  the entry point, instead of rask_job\n"
    "  --cflags FLAGS           for the compiler ($CC, or cc), behind the project's own\n"
    "  --libs FLAGS             for the linker, such as -lm\n"
    "  --sanitize               with AddressSanitizer and UBSan; needs --target local\n"
    "  -D key=value             a setting of the configuration\n"
    "  -s, --fromSavepoint PATH begin with the state of a savepoint or checkpoint\n"
    "  -n, --allowNonRestoredState  leave out state that the job has no operator for\n"
    "  -cm, --claimMode MODE    no_claim: its files stay yours; claim: the job removes them in time\n"
    "\n"
    "Exit code: 0 when the job has FINISHED (with -d: was submitted), else 1.\n";

struct run {
    const struct cli_options *o;
    struct conf *conf;
    struct cli_artifact artifact;
    Rask__Graph__StreamGraph *graph;
    struct arena arena;
    struct id job_id;
    bool local;
};

static bool graph_has(const Rask__Graph__StreamGraph *graph, const char *type, const char *key, const char *value)
{
    for (size_t i = 0; i < graph->n_nodes; i++) {
        const Rask__Graph__OperatorSpec *op = graph->nodes[i]->op;

        for (size_t p = 0; strcmp(op->type, type) == 0 && p < op->n_properties; p++) {
            if (strcmp(op->properties[p]->key, key) == 0 && strcmp(op->properties[p]->value, value) == 0)
                return true;
        }
    }
    return false;
}

/* -s, -n and -cm as the settings that they stand for; they win over the program's. */
static void add_savepoint(struct run *r)
{
    const char *const pairs[][2] = {
        {"execution.state-recovery.path", r->o->from_savepoint},
        {"execution.state-recovery.ignore-unclaimed-state", r->o->allow_dropped ? "true" : NULL},
        {"execution.state-recovery.claim-mode", r->o->claim},
    };
    Rask__Graph__StreamGraph *g = r->graph;
    Rask__Graph__Property **all = arena_alloc(&r->arena, (g->n_config + 4) * sizeof(Rask__Graph__Property *));
    size_t n = 0;

    for (size_t c = 0; c < g->n_config; c++)
        if (strncmp(g->config[c]->key, "execution.state-recovery.", 25) != 0)
            all[n++] = g->config[c];
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        Rask__Graph__Property *p;

        if (!pairs[i][1])
            continue;
        p = all[n++] = arena_alloc(&r->arena, sizeof(*p));
        rask__graph__property__init(p);
        p->key = arena_strdup(&r->arena, pairs[i][0]);
        p->value = arena_strdup(&r->arena, pairs[i][1]);
    }
    g->config = all;
    g->n_config = n;
}

/* A path on the command line is meant from here. */
static int find_savepoint(struct run *r, struct err *err)
{
    static const char *const schemes[] = {"file:", "s3:", "hdfs:"};
    const char *path = ((struct cli_options *)(uintptr_t)r->o)->from_savepoint;
    char *whole;

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (strncmp(path, schemes[i], strlen(schemes[i])) == 0)
            return 0;
    if (path[0] == '/')
        return 0;
    whole = realpath(path, NULL);
    if (!whole)
        return err_errno(err, errno, "-s %s", path);
    ((struct cli_options *)(uintptr_t)r->o)->from_savepoint = arena_strdup(&r->arena, whole);
    free(whole);
    return 0;
}

/* Job settings of -D go with the graph, where the program did not set them itself: of two the last one, and -p before both. */
static void add_settings(struct run *r)
{
    Rask__Graph__StreamGraph *g = r->graph;
    Rask__Graph__Property **all =
        arena_alloc(&r->arena, (g->n_config + r->o->setting_count + 1) * sizeof(Rask__Graph__Property *));

    if (g->n_config)
        memcpy(all, g->config, g->n_config * sizeof(all[0]));
    for (size_t i = r->o->setting_count; i-- > 0;) {
        const char *pair = r->o->settings[i], *equals = strchr(pair, '=');
        Rask__Graph__Property *p = arena_alloc(&r->arena, sizeof(*p));
        bool known = false, set = false;

        rask__graph__property__init(p);
        p->key = arena_alloc(&r->arena, (size_t)(equals - pair) + 1);
        memcpy(p->key, pair, (size_t)(equals - pair));
        p->value = arena_strdup(&r->arena, equals + 1);
        for (int id = 0; id < OPT_COUNT; id++)
            known |= conf_option(id)->when == CONF_JOB && strcmp(conf_option(id)->key, p->key) == 0;
        for (size_t c = 0; c < g->n_config; c++)
            set |= strcmp(all[c]->key, p->key) == 0;
        set |= r->o->parallelism > 0 && strcmp(p->key, "parallelism.default") == 0;
        if (known && !set)
            all[g->n_config++] = p;
    }
    g->config = all;
}

/* What daemons read when they start is theirs: a job that brings it along changes nothing. */
static void warn_settings(const struct run *r)
{
    static const char *const of_daemons[] = {"taskmanager.", "jobmanager.", "cluster.", "heartbeat.", "blob.", "jobstore.", "web."};

    for (size_t i = 0; i < r->o->setting_count; i++) {
        const char *pair = r->o->settings[i];
        size_t len = (size_t)(strchr(pair, '=') - pair);
        bool theirs = false;

        for (size_t k = 0; k < ARRAY_LEN(of_daemons); k++)
            theirs |= strncmp(pair, of_daemons[k], strlen(of_daemons[k])) == 0;
        for (int id = 0; theirs && id < OPT_COUNT; id++)
            if (conf_option(id)->when == CONF_START && strncmp(conf_option(id)->key, pair, len) == 0 && !conf_option(id)->key[len])
                fprintf(stderr, "rask: note: -D: '%.*s' belongs to the daemons, which read it when they start; here it does nothing\n",
                        (int)len, pair);
    }
}

static void pack(const struct run *r, struct bytes *out)
{
    bytes_reserve(out, rask__graph__stream_graph__get_packed_size(r->graph));
    out->len = rask__graph__stream_graph__pack(r->graph, out->data);
}

/* ---- right here ---- */

/* Becomes rask-local, which takes the graph from an unnamed file. */
static int run_local(struct run *r, struct err *err)
{
    size_t n = 0, max = 2 * r->o->setting_count + 10;
    char **argv = arena_alloc(&r->arena, max * sizeof(char *)), *dir = cli_program_dir();
    char *program = mem_printf("%s/rask-local", dir), fd_text[16], parallelism[64];
    struct bytes packed = {0};
    int fd = memfd_create("rask graph", 0), code;

    mem_free(dir);
    pack(r, &packed);
    if (fd < 0 || write(fd, packed.data, packed.len) != (ssize_t)packed.len || lseek(fd, 0, SEEK_SET) != 0) {
        code = err_errno(err, errno, "cannot hand the graph to rask-local");
    } else {
        snprintf(fd_text, sizeof(fd_text), "%d", fd);
        argv[n++] = program;
        argv[n++] = (char *)"--graph-fd";
        argv[n++] = fd_text;
        argv[n++] = (char *)"--artifact";
        argv[n++] = r->artifact.path;
        for (size_t i = 0; i < r->o->setting_count; i++) {
            argv[n++] = (char *)"-D";
            argv[n++] = (char *)r->o->settings[i];
        }
        if (r->o->parallelism) { /* between what the program says and the default: the same place as -p */
            snprintf(parallelism, sizeof(parallelism), "parallelism.default=%" PRIu32, r->o->parallelism);
            argv[n++] = (char *)"-D";
            argv[n++] = parallelism;
        }
        CHECK(n < max);
        execv(program, argv);
        code = err_errno(err, errno, "cannot start %s", program);
    }
    bytes_release(&packed);
    mem_free(program);
    return code;
}

/* ---- on a cluster ---- */
static int submit(struct run *r, struct cli_http *client, struct err *err)
{
    struct submission s = {.parallelism = r->o->parallelism};
    struct bytes header = {0}, packed = {0};
    const struct json *answer;
    const uint8_t *artifact;
    size_t artifact_len;
    char text[ID_TEXT_MAX];
    int code = cli_file_map(r->artifact.path, &artifact, &artifact_len, err);

    if (code < 0)
        return code;
    if (artifact_len > ARTIFACT_MAX) {
        code = err_set(err, ERR_LIMIT, "%s has %zu bytes; a cluster takes up to %u", r->artifact.name, artifact_len,
                       ARTIFACT_MAX);
    } else {
        pack(r, &packed);
        s.graph_len = packed.len;
        s.artifact_len = artifact_len;
        submission_header(&s, &header);
        code = cli_call_json(client, "POST", "/jobs",
                             (struct cli_part[]){{header.data, header.len}, {packed.data, packed.len}, {artifact, artifact_len}},
                             3, &r->arena, &answer, err);
    }
    if (code == ERR_TIMEOUT) /* it may be taken yet, under the id that was drawn here */
        err_wrap(err, "whether job %s was submitted is not known (rask list tells)", id_format(&r->job_id, text));
    bytes_release(&header);
    bytes_release(&packed);
    cli_file_unmap(artifact, artifact_len);
    return code;
}

static int run_remote(struct run *r, int *ret_exit, struct err *err)
{
    struct cli_http *client;
    char text[ID_TEXT_MAX];
    int code;

    if (graph_has(r->graph, OP_SOURCE, "path", "-"))
        return err_set(err, ERR_INVALID,
                       "the job reads standard input (-), which a cluster does not have; use --target local or name a file");
    warn_settings(r);
    code = cli_connect(r->o, &client, err);
    if (code == 0) {
        code = submit(r, client, err);
        if (code == 0) {
            fprintf(r->o->detached ? stdout : stderr, "Job has been submitted with JobID %s\n", id_format(&r->job_id, text));
            fflush(stdout);
        }
        if (code == 0 && !r->o->detached)
            *ret_exit = cli_attach(client, &r->job_id, graph_has(r->graph, OP_SINK, "connector", "print"));
        cli_http_free(client);
    }
    return code;
}

static int run(struct run *r, char **argv, int *ret_exit, struct err *err)
{
    int code = cli_open_conf(r->o, &r->conf, err);

    if (code < 0)
        return code;
    r->local = strcmp(r->o->target ? r->o->target : conf_string(r->conf, OPT_EXECUTION_TARGET), "local") == 0;
    if (r->o->sanitize && !r->local)
        return err_set(err, ERR_INVALID, "--sanitize needs --target local: workers of a cluster run without sanitizers");
    if (r->o->detached && r->local)
        return err_set(err, ERR_INVALID, "-d needs a cluster: with --target local the job ends with this process");
    if (r->o->sanitize) {
        code = cli_reexec_sanitized(argv, err);
        if (code < 0)
            return code;
    }
    code = cli_artifact_get(r->o, &r->artifact, err);
    if (code == 0)
        code = cli_build_graph(r->o, &r->artifact, &r->arena, &r->graph, err);
    if (code < 0)
        return code;
    if (getrandom(&r->job_id, sizeof(r->job_id), 0) != (ssize_t)sizeof(r->job_id))
        return err_errno(err, errno, "cannot draw a job id");
    r->graph->has_job_id = 1;
    r->graph->job_id.data = r->job_id.bytes;
    r->graph->job_id.len = sizeof(r->job_id.bytes);
    add_settings(r);
    if (r->o->from_savepoint) {
        code = find_savepoint(r, err);
        if (code < 0)
            return code;
        add_savepoint(r);
    }
    return r->local ? run_local(r, err) : run_remote(r, ret_exit, err);
}

int cli_run(int argc, char **argv)
{
    struct cli_options o;
    struct run r = {.o = &o};
    struct err err = {0};
    int exit_code = 0, code = cli_parse(&o, CLI_OPT_BUILD | CLI_OPT_RUN | CLI_OPT_CLUSTER, argc - 2, argv + 2, &err);

    if (code == 0 && o.help) {
        fputs(help, stdout);
        return 0;
    }
    if (code == 0 && o.file_count == 0)
        code = err_set(&err, ERR_INVALID, "which job? `rask run FILE.c`; --help tells more");
    arena_init(&r.arena);
    if (code == 0)
        code = run(&r, argv, &exit_code, &err);
    conf_free(r.conf);
    cli_artifact_release(&r.artifact);
    arena_release(&r.arena);
    return code < 0 ? cli_fail(&err) : exit_code;
}
