/*
 * sink.c - nodes that rows end in.
 */
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
    return write_file(in, "rask_write_csv", "csv", path);
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
    if (descriptor->in && !schema_equal(descriptor->in, in->schema))
        return api_fail(env, ERR_INVALID, "%s: operator '%s' takes (%s), but '%s' gives (%s)", fn,
                        n->pb.name, api_schema_text(env, descriptor->in), api_from(in),
                        api_schema_text(env, in->schema));
    return finish(n, in);
}
