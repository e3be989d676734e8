/*
 * env.c - the job under construction: mistakes, parameters, options, rask_execute, and the graph it
 * yields. Not here: nodes (node.c) and what makes them (source.c, transform.c, sink.c).  Thread:
 * one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/src/api_private.h"

/*
 * A NULL stream names no env, so the mistake waits here for rask_execute.  Public functions never
 * return NULL: only a program's own NULL gets here.
 */
static const char *null_call;

const char *api_null_call(void)
{
    return null_call;
}

rask_stream *api_fail(rask_env *env, int code, const char *fmt, ...)
{
    va_list ap;

    if (env->error.code == 0) {
        va_start(ap, fmt);
        err_vset(&env->error, code, fmt, ap);
        va_end(ap);
    }
    return &env->broken;
}

char *api_printf(rask_env *env, const char *fmt, ...)
{
    va_list ap;
    char *text, *copy;

    va_start(ap, fmt);
    text = mem_vprintf(fmt, ap);
    va_end(ap);
    copy = arena_strdup(&env->arena, text);
    mem_free(text);
    return copy;
}

bool api_enter(rask_env *env, const char *fn)
{
    CHECK(env != NULL);
    CHECK(env->magic == API_ENV_MAGIC);
    if (env->executed)
        api_fail(env, ERR_STATE, "%s after rask_execute: the graph is complete by then", fn);
    return env->error.code == 0;
}

bool api_input(const rask_stream *in, const char *fn)
{
    if (!in) {
        null_call = fn;
        return false;
    }
    if (!api_enter(in->env, fn))
        return false;
    if (!in->schema) {
        api_fail(in->env, ERR_INVALID,
                 "%s: '%s' has no output to read from: a sink ends its stream", fn, api_from(in));
        return false;
    }
    return true;
}

rask_stream *api_broken(const rask_stream *in)
{
    return in ? &in->env->broken : NULL;
}

bool api_check_name(rask_env *env, const char *fn, const char *what, const char *text)
{
    if (!text || !text[0])
        api_fail(env, ERR_INVALID, "%s: the %s is empty", fn, what);
    else if (strlen(text) > GRAPH_NAME_MAX)
        api_fail(env, ERR_LIMIT, "%s: the %s '%.40s...' has %zu bytes; at most %d are possible", fn,
                 what, text, strlen(text), GRAPH_NAME_MAX);
    return env->error.code == 0;
}

/* ---- parameters ---- */

static void params_add(rask_env *env, const char *name, const char *value)
{
    struct rask_params *p = &env->params;

    p->names[p->count] = name;
    p->values[p->count] = value;
    p->count++;
}

/*
 * A word that begins with a dash is the next parameter's name, unless it is a number (as in Flink).
 */
static bool is_value(const char *word)
{
    char *end;

    if (word[0] != '-' || word[1] == 0)
        return true;
    (void)strtod(word, &end);
    return *end == 0;
}

static void params_parse(rask_env *env, int argc, char *const *argv)
{
    size_t n = argc > 0 ? (size_t)argc : 0;

    env->params.env = env;
    env->params.names = arena_alloc(&env->arena, (n + 1) * sizeof(char *));
    env->params.values = arena_alloc(&env->arena, (n + 1) * sizeof(char *));
    for (size_t i = 0; i < n; i++) {
        const char *word = argv[i], *equals;

        if (word[0] != '-' || word[1] == 0 || strspn(word, "-") > 2 ||
            word[strspn(word, "-")] == 0) {
            api_fail(env, ERR_INVALID,
                     "argument '%s': arguments of the job have the form --name value", word);
            return;
        }
        word += strspn(word, "-");
        equals = strchr(word, '=');
        if (equals) {
            params_add(env, api_printf(env, "%.*s", (int)(equals - word), word),
                       arena_strdup(&env->arena, equals + 1));
        } else if (i + 1 < n && is_value(argv[i + 1])) {
            params_add(env, arena_strdup(&env->arena, word),
                       arena_strdup(&env->arena, argv[i + 1]));
            i++;
        } else {
            params_add(env, arena_strdup(&env->arena, word), "true");
        }
    }
}

const char *rask_params_get(const struct rask_params *params, const char *name)
{
    for (size_t i = params->count; i > 0; i--)
        if (strcmp(params->names[i - 1], name) == 0)
            return params->values[i - 1];
    return NULL;
}

const char *rask_param(const rask_params *params, const char *name, const char *otherwise)
{
    const char *value = rask_params_get(params, name);

    return value ? value : otherwise;
}

const char *rask_param_required(const rask_params *params, const char *name)
{
    const char *value = rask_params_get(params, name);

    if (!value && params->env)
        api_fail(params->env, ERR_INVALID, "the job needs the parameter --%s", name);
    return value ? value : "";
}

int64_t rask_param_i64(const rask_params *params, const char *name, int64_t otherwise)
{
    const char *value = rask_params_get(params, name);
    char *end;
    long long n;

    if (!value)
        return otherwise;
    errno = 0;
    n = strtoll(value, &end, 10);
    if (errno || end == value || *end) {
        if (params->env)
            api_fail(params->env, ERR_INVALID, "parameter --%s: '%s' is not an integer", name,
                     value);
        return otherwise;
    }
    return n;
}

bool rask_param_bool(const rask_params *params, const char *name, bool otherwise)
{
    const char *value = rask_params_get(params, name);

    if (!value)
        return otherwise;
    if (strcmp(value, "true") == 0)
        return true;
    if (strcmp(value, "false") != 0 && params->env)
        api_fail(params->env, ERR_INVALID, "parameter --%s: '%s' is neither true nor false", name,
                 value);
    return strcmp(value, "false") == 0 ? false : otherwise;
}

/* ---- the env ---- */

static Rask__Graph__Property *property(rask_env *env, const char *key, const char *value)
{
    Rask__Graph__Property *p = arena_alloc(&env->arena, sizeof(*p));

    rask__graph__property__init(p);
    p->key = arena_strdup(&env->arena, key);
    p->value = arena_strdup(&env->arena, value);
    return p;
}

rask_env *rask_env_new(const struct rask_env_options *options)
{
    rask_env *env = MEM_NEW(rask_env);

    env->magic = API_ENV_MAGIC;
    null_call = NULL;
    arena_init(&env->arena);
    env->broken.env = env;
    env->broken.schema = &rask_text_schema; /* never read: api_enter fails first */
    env->offset_of = options->offset_of;
    env->offset_arg = options->arg;
    rask__graph__stream_graph__init(&env->graph);
    if (options->artifact) {
        env->has_artifact = true;
        memcpy(env->artifact, options->artifact, sizeof(env->artifact));
        env->graph.has_artifact = true;
        env->graph.artifact.len = sizeof(env->artifact);
        env->graph.artifact.data = env->artifact;
    }
    if (options->artifact_name)
        env->graph.artifact_name = arena_strdup(&env->arena, options->artifact_name);
    env->graph.has_abi = true;
    env->graph.abi = RASK_ABI;
    params_parse(env, options->argc, options->argv);
    env->graph.params =
        arena_alloc(&env->arena, (env->params.count + 1) * sizeof(*env->graph.params));
    for (size_t i = 0; i < env->params.count; i++)
        env->graph.params[i] = property(env, env->params.names[i], env->params.values[i]);
    env->graph.n_params = env->params.count;
    return env;
}

void rask_env_free(rask_env *env)
{
    if (!env)
        return;
    CHECK(env->magic == API_ENV_MAGIC);
    api_rows_free(env);
    arena_release(&env->arena);
    env->magic = 0;
    mem_free(env->nodes);
    mem_free(env->graph.nodes);
    mem_free(env->graph.edges);
    mem_free(env->graph.config);
    mem_free(env);
}

const rask_params *rask_env_params(const rask_env *env)
{
    return &env->params;
}

void rask_env_set_parallelism(rask_env *env, uint32_t parallelism)
{
    if (!api_enter(env, "rask_env_set_parallelism"))
        return;
    if (parallelism < 1 || parallelism > RASK_PARALLELISM_MAX) {
        api_fail(env, ERR_INVALID, "rask_env_set_parallelism: %u is not within 1 .. %d",
                 parallelism, RASK_PARALLELISM_MAX);
        return;
    }
    env->graph.has_parallelism = true;
    env->graph.parallelism = parallelism;
}

void rask_env_set_max_parallelism(rask_env *env, uint32_t max_parallelism)
{
    if (!api_enter(env, "rask_env_set_max_parallelism"))
        return;
    if (max_parallelism < 1 || max_parallelism > RASK_PARALLELISM_MAX) {
        api_fail(env, ERR_INVALID, "rask_env_set_max_parallelism: %u is not within 1 .. %d",
                 max_parallelism, RASK_PARALLELISM_MAX);
        return;
    }
    env->graph.has_max_parallelism = true;
    env->graph.max_parallelism = max_parallelism;
}

void rask_env_disable_chaining(rask_env *env)
{
    rask_set(env, "pipeline.operator-chaining.enabled", "false");
}

void rask_set(rask_env *env, const char *key, const char *value)
{
    Rask__Graph__StreamGraph *g = &env->graph;

    if (!api_enter(env, "rask_set") || !api_check_name(env, "rask_set", "key", key))
        return;
    if (!value || strlen(value) > GRAPH_ARGS_MAX) {
        api_fail(env, ERR_INVALID, "rask_set: '%s' has %s", key,
                 value ? "a value of more than 1 MiB" : "no value (NULL)");
        return;
    }
    for (size_t i = 0; i < g->n_config; i++)
        if (strcmp(g->config[i]->key, key) == 0) {
            g->config[i]->value = arena_strdup(&env->arena, value);
            return;
        }
    if (g->n_config == GRAPH_PROPERTIES_MAX) {
        api_fail(env, ERR_LIMIT, "rask_set: more than %d options", GRAPH_PROPERTIES_MAX);
        return;
    }
    if (g->n_config == env->config_cap) {
        env->config_cap = env->config_cap ? 2 * env->config_cap : 8;
        g->config = mem_realloc(g->config, env->config_cap * sizeof(*g->config));
    }
    g->config[g->n_config++] = property(env, key, value);
}

const rask_schema *rask_schema_of(rask_env *env, const char *name, const char *columns)
{
    const rask_schema *schema = &rask_text_schema;
    struct err err = {0};

    if (!api_enter(env, "rask_schema_of") || !api_check_name(env, "rask_schema_of", "name", name))
        return schema;
    if (!columns)
        api_fail(env, ERR_INVALID, "rask_schema_of: schema '%s': the columns are NULL", name);
    else if (schema_parse(&env->arena, name, columns, &schema, &err) != 0)
        api_fail(env, ERR_INVALID, "rask_schema_of: schema '%s': %s", name, err.text);
    return schema;
}

/* ---- the end ---- */

/* Each output leads somewhere; else rows would vanish without a word. */
static void check_sinks(rask_env *env)
{
    for (size_t i = 0; i < env->graph.n_nodes; i++) {
        const struct node *n = env->nodes[i];

        if (n->consumed || !n->out) /* without a main output the side outputs are optional */
            continue;
        api_fail(
            env, ERR_INVALID,
            "operator '%s' (%s) leads nowhere: end its stream with a sink (rask_print, rask_write_csv, "
            "rask_sink_to ...), or with rask_discard if its rows are not needed",
            n->pb.name, n->made_by);
        return;
    }
}

static void check_uids(rask_env *env)
{
    for (size_t i = 0; i < env->graph.n_nodes; i++)
        for (size_t k = 0; k < i && env->nodes[i]->pb.uid; k++)
            if (env->nodes[k]->pb.uid &&
                strcmp(env->nodes[i]->pb.uid, env->nodes[k]->pb.uid) == 0) {
                api_fail(
                    env, ERR_INVALID,
                    "rask_uid: '%s' is the uid of two operators, '%s' and '%s'; each needs its own",
                    env->nodes[i]->pb.uid, env->nodes[k]->pb.name, env->nodes[i]->pb.name);
                return;
            }
}

int rask_execute(rask_env *env, const char *job_name)
{
    struct err err = {0};

    CHECK(env != NULL);
    CHECK(env->magic == API_ENV_MAGIC);
    if (env->executed) {
        api_fail(env, ERR_STATE,
                 "rask_execute: '%s' is the second call; a job has one graph and one rask_execute",
                 job_name ? job_name : "");
        return env->error.code;
    }
    env->executed = true;
    if (null_call)
        api_fail(env, ERR_INVALID, "%s: the stream is NULL", null_call);
    if (env->error.code == 0 && job_name && strlen(job_name) > GRAPH_NAME_MAX)
        api_fail(env, ERR_LIMIT, "rask_execute: the job's name has more than %d bytes",
                 GRAPH_NAME_MAX);
    if (env->error.code)
        return env->error.code;
    env->graph.job_name =
        arena_strdup(&env->arena, job_name && job_name[0] ? job_name : "Rask Streaming Job");
    if (env->graph.n_nodes == 0)
        api_fail(env, ERR_INVALID, "rask_execute: the job has no operators: nothing to run");
    check_sinks(env);
    check_uids(env);
    if (env->error.code == 0 && graph_validate(&env->graph, &err) != 0)
        api_fail(env, err.code, "rask_execute: %s", err.text);
    if (env->error.code == 0)
        api_tell_sources(env);
    return env->error.code;
}

int rask_env_graph(rask_env *env, Rask__Graph__StreamGraph **ret, struct err *err)
{
    CHECK(env->magic == API_ENV_MAGIC);
    if (env->error.code)
        return err_set(err, env->error.code, "%s", env->error.text);
    if (!env->executed)
        return err_set(err, ERR_INVALID, "rask_job returned without a call of rask_execute");
    *ret = &env->graph;
    return 0;
}
