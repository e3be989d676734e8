/*
 * sink.c - nodes that rows end in.
 */
#include <stdio.h>

#include "api/src/api_private.h"

/* A built-in sink; NULL: recorded. */
static struct node *sink(rask_stream *in, const char *fn, const char *connector,
                         enum name_form form, const char *name)
{
    struct node *n;

    if (!api_input(in, fn))
        return NULL;
    n = api_node(in->env, fn, OP_SINK, form, NULL, name);
    if (form == NAME_WRITER)
        n->pb.name = arena_strdup(&in->env->arena, "Sink: Writer"); /* until it is named */
    if (connector)
        api_node_property(n, "connector", connector);
    return n;
}

static rask_stream *finish(struct node *n, rask_stream *in)
{
    api_node_connect(n, in, 0);
    return api_finish(n);
}

static rask_stream *print(rask_stream *in, const char *fn, const char *name, const char *stream)
{
    struct node *n = sink(in, fn, "print", NAME_SINK, name);

    if (!n)
        return api_broken(in);
    api_node_property(n, "stream", stream);
    return finish(n, in);
}

rask_stream *rask_print(rask_stream *in)
{
    return print(in, "rask_print", "Print to Std. Out", "stdout");
}

rask_stream *rask_print_err(rask_stream *in)
{
    return print(in, "rask_print_err", "Print to Std. Err", "stderr");
}

static rask_stream *write_file(rask_stream *in, const char *fn, const char *connector,
                               const char *path)
{
    struct node *n = sink(in, fn, connector, NAME_WRITER, "Sink");

    if (!n)
        return api_broken(in);
    if (!path || !path[0] || strlen(path) > 4095)
        return api_fail(in->env, ERR_INVALID, "%s after '%s': the path is %s", fn, api_from(in),
                        path && path[0] ? "longer than 4095 bytes" : "empty");
    api_node_property(n, "path", path);
    return finish(n, in);
}

rask_stream *rask_write_text(rask_stream *in, const char *path)
{
    if (api_input(in, "rask_write_text") &&
        (in->schema->columns != 1 || in->schema->fields[0].type != RASK_T_STRING))
        return api_fail(
            in->env, ERR_INVALID,
            "rask_write_text after '%s': rows of one STRING column are written as lines, not (%s); "
            "rask_write_csv writes any row",
            api_from(in), api_schema_text(in->env, in->schema));
    return write_file(in, "rask_write_text", "text", path);
}

rask_stream *rask_write_csv(rask_stream *in, const char *path)
{
    if (api_input(in, "rask_write_csv") &&
        !api_check_csv(in->env, api_printf(in->env, "rask_write_csv after '%s'", api_from(in)), in->schema))
        return api_broken(in);
    return write_file(in, "rask_write_csv", "csv", path);
}

/* What is wrong with the options, or NULL. */
static const char *files_options_wrong(const rask_files_options *o, const rask_schema *schema)
{
    const char *names[] = {o->prefix, o->suffix};

    if (o->format && strcmp(o->format, "csv") != 0 && strcmp(o->format, "text") != 0)
        return "the format must be \"csv\" or \"text\"";
    if (o->format && strcmp(o->format, "text") == 0 &&
        (schema->columns != 1 || schema->fields[0].type != RASK_T_STRING))
        return "the format \"text\" takes rows of one STRING column; \"csv\" writes any row";
    if (o->roll_bytes < 0 || o->roll_ms < 0 || o->inactivity_ms < 0)
        return "roll_bytes, roll_ms and inactivity_ms must not be negative (0 is the default)";
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (names[i] && (strchr(names[i], '/') || strlen(names[i]) > 100))
            return "prefix and suffix are parts of a file name: without \"/\", at most 100 bytes";
    if (o->prefix && (!o->prefix[0] || o->prefix[0] == '.' || o->prefix[0] == '_'))
        return "the prefix must not be empty, nor begin with \".\" or \"_\": readers take such files for hidden ones";
    return NULL;
}

static void number_property(struct node *n, const char *key, int64_t value, int64_t otherwise)
{
    char text[32];

    snprintf(text, sizeof(text), "%lld", (long long)(value ? value : otherwise));
    api_node_property(n, key, text);
}

rask_stream *rask_write_files(rask_stream *in, const char *folder, rask_files_options o)
{
    const char *fn = "rask_write_files";
    const char *wrong;
    struct node *n;

    if (!api_input(in, fn))
        return api_broken(in);
    wrong = files_options_wrong(&o, in->schema);
    if (wrong)
        return api_fail(in->env, ERR_INVALID, "%s after '%s': %s", fn, api_from(in), wrong);
    if (!folder || !folder[0] || strlen(folder) > 2000)
        return api_fail(in->env, ERR_INVALID, "%s after '%s': the folder is %s", fn, api_from(in),
                        folder && folder[0] ? "longer than 2000 bytes" : "empty");
    n = sink(in, fn, "files", NAME_WRITER, "Sink");
    if (!n)
        return api_broken(in);
    api_node_property(n, "path", folder);
    api_node_property(n, "format", o.format ? o.format : "csv");
    if (o.bucket)
        api_node_property(n, "bucket", o.bucket);
    if (o.bucket_time)
        api_node_property(n, "bucket_time", o.bucket_time);
    number_property(n, "roll_bytes", o.roll_bytes, 128 << 20);
    number_property(n, "roll_ms", o.roll_ms, 60000);
    number_property(n, "inactivity_ms", o.inactivity_ms, 60000);
    api_node_property(n, "roll_at_checkpoint", o.roll_at_checkpoint ? "true" : "false");
    api_node_property(n, "prefix", o.prefix ? o.prefix : "part");
    api_node_property(n, "suffix", o.suffix ? o.suffix : "");
    return finish(n, in);
}

rask_stream *rask_write_postgres(rask_stream *in, const char *conninfo, const char *table, const char *key)
{
    const char *fn = "rask_write_postgres";
    struct node *n;

    if (!api_input(in, fn))
        return api_broken(in);
    if (!table || !table[0] || strlen(table) > 200)
        return api_fail(in->env, ERR_INVALID, "%s after '%s': the table is %s", fn, api_from(in),
                        table && table[0] ? "longer than 200 bytes" : "not named");
    n = sink(in, fn, key && key[0] ? "postgres-upsert" : "postgres", NAME_WRITER, "Sink");
    if (!n)
        return api_broken(in);
    api_node_property(n, "conninfo", conninfo ? conninfo : "");
    api_node_property(n, "table", table);
    if (key && key[0])
        api_node_property(n, "key", key);
    return finish(n, in);
}

rask_stream *rask_discard(rask_stream *in)
{
    struct node *n = sink(in, "rask_discard", "discard", NAME_WRITER, "Sink");

    return n ? finish(n, in) : api_broken(in);
}

rask_stream *rask_sink_to(rask_stream *in, const rask_sink *descriptor)
{
    const char *fn = "rask_sink_to";
    struct node *n = sink(in, fn, NULL, NAME_WRITER, "Sink");
    rask_env *env;

    if (!n)
        return api_broken(in);
    env = in->env;
    if (descriptor && descriptor->name && descriptor->name[0])
        api_node_name(n, descriptor->name);
    if (!api_node_code(n, "its descriptor", descriptor))
        return &env->broken;
    if (descriptor->abi != RASK_ABI)
        return api_fail(
            env, ERR_VERSION,
            "%s: operator '%s': its descriptor says version %u of the API, this engine has version %d",
            fn, n->pb.name, descriptor->abi, RASK_ABI);
    if (!descriptor->write)
        return api_fail(env, ERR_INVALID, "%s: operator '%s' has no write function", fn,
                        n->pb.name);
    if (descriptor->prepare && !descriptor->commit)
        return api_fail(env, ERR_INVALID, "%s: operator '%s' has a prepare function but no commit",
                        fn, n->pb.name);
    if (!descriptor->save != !descriptor->restore)
        return api_fail(env, ERR_INVALID, "%s: operator '%s' has only one of save and restore", fn, n->pb.name);
    api_node_states(n, descriptor->prepare || descriptor->save ? graph_sink_states : NULL);
    if (descriptor->in && !schema_equal(descriptor->in, in->schema))
        return api_fail(env, ERR_INVALID, "%s: operator '%s' takes (%s), but '%s' gives (%s)", fn,
                        n->pb.name, api_schema_text(env, descriptor->in), api_from(in),
                        api_schema_text(env, in->schema));
    return finish(n, in);
}
