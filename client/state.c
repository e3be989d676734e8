/* state.c - `rask state ls|get|check`: what a checkpoint or savepoint consists of. */
#include "client/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/client_private.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/graph/graph.h"

static const char help[] =
    "rask state ls PATH                           operators, states, files\n"
    "rask state get PATH OPERATOR STATE [KEY]     the content of a state, a row each\n"
    "rask state check PATH [FILE.c ... | FILE.so] whether all is there and undamaged, what nothing names, and whether the job\n"
    "                                             could be restored from it\n"
    "PATH is the folder of a checkpoint or savepoint, or its _metadata. Neither a cluster nor the job is needed.\n"
    "OPERATOR is its uid or name; KEY as get prints it.\n";

int cli_state_open(const char *path, struct cli_state *ret, struct err *err)
{
    const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
    const uint8_t *data = NULL;
    char *file;
    size_t len;
    int rc;

    memset(ret, 0, sizeof(*ret));
    if (strncmp(path, "file:", 5) == 0) {
        path += 5;
        while (path[0] == '/' && path[1] == '/')
            path++;
    }
    if (strcmp(last, "_metadata") == 0)
        ret->folder = slash ? mem_printf("%.*s", (int)(slash - path), path) : mem_strdup(".");
    else
        ret->folder = mem_strdup(path);
    file = mem_printf("%s/_metadata", ret->folder);
    rc = cli_file_map(file, &data, &len, err);
    if (rc == 0)
        rc = ckpt_meta_unpack(data, len, file, &ret->meta, err);
    cli_file_unmap(data, rc == 0 || data ? len : 0);
    mem_free(file);
    if (rc != 0)
        cli_state_close(ret);
    return rc;
}

void cli_state_close(struct cli_state *s)
{
    mem_free(s->folder);
    ckpt_meta_free(s->meta);
    memset(s, 0, sizeof(*s));
}

char *cli_state_path(const struct cli_state *s, const char *path)
{
    if (strncmp(path, "file:", 5) == 0)
        return mem_strdup(path + 5);
    return path[0] == '/' ? mem_strdup(path) : mem_printf("%s/%s", s->folder, path);
}

int cli_state_section(const struct cli_state *s, const struct ckpt_section *section, struct bytes *room, struct bytes *ret,
                      struct err *err)
{
    const uint8_t *data = NULL;
    rask_bytes payload;
    struct arena arena;
    char *path = NULL;
    size_t len = 0;
    int rc = 0;

    arena_init(&arena);
    bytes_clear(ret);
    if (section->file == CKPT_NO_FILE) {
        rc = ckpt_record_open(section->data.data, section->data.len, section, "_metadata", &arena, NULL, room, &payload, err);
    } else {
        path = cli_state_path(s, s->meta->files[section->file].path);
        rc = cli_file_map_large(path, &data, &len, err);
        if (rc == 0 && (section->offset > len || section->stored_bytes > len - section->offset))
            rc = err_set(err, ERR_CORRUPT, "%s: it has %zu bytes, and a section ends behind them: cut off", path, len);
        if (rc == 0)
            rc = ckpt_record_open(data + section->offset, section->stored_bytes, section, path, &arena, NULL, room, &payload, err);
    }
    if (rc == 0)
        bytes_add(ret, payload.data, payload.len);
    if (data)
        cli_file_unmap(data, len);
    mem_free(path);
    arena_release(&arena);
    return rc;
}

/* ---- ls ---- */

static void print_time(const char *what, int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char text[32];

    if (ms == 0 || !gmtime_r(&seconds, &tm))
        return;
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
    printf("%s %s UTC\n", what, text);
}

static void print_schema(const char *what, const rask_schema *schema)
{
    struct bytes text;

    if (!schema)
        return;
    bytes_init(&text);
    schema_format(schema, &text);
    printf(", %s (%s)", what, (const char *)text.data);
    bytes_release(&text);
}

static void print_state(const struct ckpt_meta *m, const struct ckpt_operator *op, const struct ckpt_state *s)
{
    uint64_t count[CKPT_SECTION_KINDS] = {0}, bytes = 0, rows = 0;

    for (uint32_t i = 0; i < m->section_count; i++) {
        const struct ckpt_section *x = &m->sections[i];

        if (memcmp(x->operator_id, op->id, CKPT_OPERATOR_ID_BYTES) != 0 || strcmp(x->state, s->name) != 0)
            continue;
        count[x->kind]++;
        bytes += x->stored_bytes;
        rows += x->rows;
    }
    printf("  state \"%s\": %s", s->name, ckpt_state_kind_name(s->kind));
    print_schema("key", s->key);
    print_schema(ckpt_map_key_name(s->kind), s->map_key);
    print_schema("value", s->value);
    if (s->ttl_ms)
        printf(", time to live %" PRId64 " ms", s->ttl_ms);
    printf("\n    %" PRIu64 " entries in", rows);
    for (int k = 1; k < CKPT_SECTION_KINDS; k++)
        if (count[k])
            printf(" %" PRIu64 " %s section%s,", count[k], ckpt_kind_name((enum ckpt_section_kind)k), count[k] == 1 ? "" : "s");
    printf(" %" PRIu64 " bytes\n", bytes);
}

uint64_t cli_state_in_flight(const struct ckpt_meta *m, const struct ckpt_operator *op, uint64_t *ret_bytes)
{
    uint64_t bytes = 0, rows = 0;

    for (uint32_t i = 0; i < m->section_count; i++) {
        const struct ckpt_section *s = &m->sections[i];

        if (s->kind != CKPT_INFLIGHT || memcmp(s->operator_id, op->id, CKPT_OPERATOR_ID_BYTES) != 0)
            continue;
        rows += s->rows;
        bytes += s->stored_bytes;
    }
    if (ret_bytes)
        *ret_bytes = bytes;
    return rows;
}

static void print_in_flight(const struct ckpt_meta *m, const struct ckpt_operator *op)
{
    uint64_t bytes, rows = cli_state_in_flight(m, op, &bytes);

    if (rows > 0)
        printf("  %" PRIu64 " rows in flight to it, %" PRIu64 " bytes\n", rows, bytes);
}

/* State on disk: of all states of the operator. */
static void print_tables(const struct ckpt_meta *m, const struct ckpt_operator *op)
{
    uint64_t bytes = 0, count = 0;

    for (uint32_t i = 0; i < m->section_count; i++) {
        const struct ckpt_section *s = &m->sections[i];

        if (s->kind != CKPT_TABLE || s->edge == 0 || memcmp(s->operator_id, op->id, CKPT_OPERATOR_ID_BYTES) != 0)
            continue;
        count += s->from_subtask == 0;
        bytes += s->stored_bytes;
    }
    if (count > 0)
        printf("  %" PRIu64 " table%s of LevelDB, %" PRIu64 " bytes\n", count, count == 1 ? "" : "s", bytes);
}

static int list(const struct cli_state *s)
{
    const struct ckpt_meta *m = s->meta;
    uint64_t own, all = ckpt_meta_bytes(m, &own);
    char job[33];

    hash_hex(m->job, sizeof(m->job), job);
    printf("%s %" PRIu64 " of job %s%s%s%s\n", m->kind == CKPT_SAVEPOINT ? "savepoint" : "checkpoint", m->checkpoint, job,
           m->job_name[0] ? " \"" : "", m->job_name, m->job_name[0] ? "\"" : "");
    print_time("begun    ", m->created_ms);
    print_time("completed", m->completed_ms);
    printf("%" PRIu64 " bytes, %" PRIu64 " of them its own\n", all, own);
    for (uint32_t i = 0; i < m->operator_count; i++) {
        const struct ckpt_operator *op = &m->operators[i];
        char id[33];

        hash_hex(op->id, sizeof(op->id), id);
        printf("operator %s \"%s\"%s%s, parallelism %u, max parallelism %u\n", id, op->name, op->uid[0] ? ", uid " : "", op->uid,
               op->parallelism, op->max_parallelism);
        for (uint32_t k = 0; k < op->state_count; k++)
            print_state(m, op, &op->states[k]);
        print_tables(m, op);
        print_in_flight(m, op);
    }
    for (uint32_t i = 0; i < m->file_count; i++)
        printf("file %s, %" PRIu64 " bytes\n", m->files[i].path, m->files[i].size);
    return 0;
}

/* ---- get ---- */

static int get(const struct cli_state *s, const char *operator, const char *state, const char *key, struct err *err)
{
    char id[33];

    for (uint32_t i = 0; i < s->meta->operator_count; i++) {
        const struct ckpt_operator *op = &s->meta->operators[i];
        int number;

        hash_hex(op->id, sizeof(op->id), id);
        if (strcmp(op->uid, operator) != 0 && strcmp(op->name, operator) != 0 && strcmp(id, operator) != 0)
            continue;
        number = ckpt_meta_find_state(op, state);
        if (number < 0)
            return err_set(err, ERR_NOT_FOUND, "operator \"%s\" has no state \"%s\": `rask state ls` lists them", op->name, state);
        return cli_state_print(s, op, &op->states[number], key, err);
    }
    return err_set(err, ERR_NOT_FOUND, "no operator has the uid or name \"%s\": `rask state ls` lists them", operator);
}

/* ---- check ---- */

/* What decides which edges the job has: the configuration, and over it what the program sets itself, as the JobManager sees it. */
static int graph_options_of(const struct cli_options *o, const Rask__Graph__StreamGraph *graph, struct graph_options *ret,
                            struct err *err)
{
    struct conf *conf = NULL, *own = conf_new();
    int rc = cli_open_conf(o, &conf, err);

    for (size_t i = 0; i < graph->n_config && rc == 0; i++)
        rc = conf_set(own, graph->config[i]->key, graph->config[i]->value, "the job", err);
    if (rc == 0)
        rc = conf_merge_job(conf, own, err);
    if (rc == 0)
        *ret = (struct graph_options){.client_parallelism = o->parallelism,
                                      .default_parallelism = (uint32_t)conf_int(conf, OPT_PARALLELISM_DEFAULT),
                                      .chaining_disabled = !conf_bool(conf, OPT_PIPELINE_OPERATOR_CHAINING_ENABLED)};
    conf_free(own);
    conf_free(conf);
    return rc;
}

static int check(const struct cli_state *s, int argc, char **argv, struct err *err)
{
    struct graph_options options;
    Rask__Graph__StreamGraph *graph = NULL;
    Rask__Graph__JobGraph *job = NULL;
    struct cli_artifact artifact = {0};
    struct cli_options o;
    struct arena arena;
    int rc;

    if (argc == 0)
        return cli_state_check(s, NULL, err);
    rc = cli_parse(&o, CLI_OPT_BUILD, argc, argv, err);
    if (rc != 0)
        return rc;
    arena_init(&arena);
    rc = cli_artifact_get(&o, &artifact, err);
    if (rc == 0)
        rc = cli_build_graph(&o, &artifact, &arena, &graph, err);
    if (rc == 0)
        rc = graph_options_of(&o, graph, &options, err);
    if (rc == 0)
        rc = graph_compile(graph, &options, &arena, &job, err);
    if (rc == 0)
        rc = cli_state_check(s, job, err);
    cli_artifact_release(&artifact);
    arena_release(&arena);
    return rc;
}

int cli_state(int argc, char **argv)
{
    const char *verb = argc > 2 ? argv[2] : "";
    struct cli_state s = {0};
    struct err err = {0};
    int rc;

    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0) {
        fputs(help, stdout);
        return 0;
    }
    if ((strcmp(verb, "ls") != 0 || argc != 4) && (strcmp(verb, "get") != 0 || argc < 6 || argc > 7) &&
        (strcmp(verb, "check") != 0 || argc < 4)) {
        err_set(&err, ERR_INVALID, "rask state ls PATH, get PATH OPERATOR STATE [KEY], or check PATH [JOB]; --help tells more");
        return cli_fail(&err);
    }
    rc = cli_state_open(argv[3], &s, &err);
    if (rc == 0)
        rc = verb[0] == 'l'   ? list(&s)
             : verb[0] == 'g' ? get(&s, argv[4], argv[5], argc > 6 ? argv[6] : NULL, &err)
                              : check(&s, argc - 4, argv + 4, &err);
    cli_state_close(&s);
    return rc < 0 ? cli_fail(&err) : 0;
}
