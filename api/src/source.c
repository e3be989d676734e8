/*
 * source.c - nodes that rows come from, and the rows that a program itself holds.
 */
#include <stdio.h>

#include "api/src/api_private.h"
#include "common/types/schema_proto.h"

#define ROWS_MAX (16u << 20) /* bytes of a collection, encoded */

static const rask_field text_fields[] = {{.name = "line", .type = RASK_T_STRING}};
const rask_schema rask_text_schema = {RASK_ABI, 1, "text", text_fields};
static const rask_field sequence_fields[] = {{.name = "value", .type = RASK_T_BIGINT}};
const rask_schema rask_sequence_schema = {RASK_ABI, 1, "sequence", sequence_fields};
static const rask_field bad_row_fields[] = {{.name = "file", .type = RASK_T_STRING},
                                            {.name = "line", .type = RASK_T_BIGINT},
                                            {.name = "text", .type = RASK_T_STRING},
                                            {.name = "reason", .type = RASK_T_STRING}};
const rask_schema rask_bad_row_schema = {RASK_ABI, 4, "bad_row", bad_row_fields};

/* A built-in source; NULL: recorded. */
static struct node *source(rask_env *env, const char *fn, const char *connector, const char *name,
                           const rask_schema *schema)
{
    struct node *n;

    if (!api_enter(env, fn) || !api_check_schema(env, fn, schema))
        return NULL;
    n = api_node(env, fn, OP_SOURCE, NAME_SOURCE, NULL, name);
    if (connector)
        api_node_property(n, "connector", connector);
    api_node_out(n, schema);
    return n;
}

static void make_single(struct node *n)
{
    n->single = true;
    n->pb.has_parallelism = true;
    n->pb.parallelism = 1;
}

static bool check_path(rask_env *env, const char *fn, const char *path)
{
    if (!path || !path[0])
        api_fail(env, ERR_INVALID, "%s: the path is empty", fn);
    else if (strlen(path) > 4095)
        api_fail(env, ERR_INVALID, "%s: the path '%.40s...' is longer than 4095 bytes", fn, path);
    return env->error.code == 0;
}

rask_stream *rask_read_text(rask_env *env, const char *path)
{
    struct node *n = source(env, "rask_read_text", "text", "Text File Source", &rask_text_schema);

    if (!n || !check_path(env, "rask_read_text", path))
        return &env->broken;
    api_node_property(n, "path", path);
    return api_finish(n);
}

rask_stream *rask_read_csv(rask_env *env, const char *path, const rask_schema *schema)
{
    rask_csv_options options;

    memset(&options, 0, sizeof(options));
    return rask_read_csv_with(env, path, schema, options);
}

rask_stream *rask_read_csv_with(rask_env *env, const char *path, const rask_schema *schema,
                                rask_csv_options options)
{
    static const char *const policies[] = {"fail", "skip", "side"};
    struct node *n = source(env, "rask_read_csv", "csv", "CSV File Source", schema);
    char delimiter[2] = {options.delimiter ? options.delimiter : ',', 0};
    char quote[2] = {options.quote ? options.quote : '"', 0};

    if (!n || !check_path(env, "rask_read_csv", path) || !api_check_csv(env, "rask_read_csv", schema))
        return &env->broken;
    if ((unsigned)options.bad_rows >= ARRAY_LEN(policies))
        return api_fail(env, ERR_INVALID, "rask_read_csv: %d is no policy for bad rows",
                        (int)options.bad_rows);
    if (delimiter[0] == quote[0] || strchr("\r\n", delimiter[0]) || strchr("\r\n", quote[0]))
        return api_fail(
            env, ERR_INVALID,
            "rask_read_csv: delimiter and quote must be two different characters of a line");
    if ((unsigned char)delimiter[0] > 127 || (unsigned char)quote[0] > 127)
        return api_fail(env, ERR_INVALID, "rask_read_csv: delimiter and quote must be ASCII");
    api_node_property(n, "path", path);
    api_node_property(n, "delimiter", delimiter);
    api_node_property(n, "quote", quote);
    api_node_property(n, "header", options.header ? "true" : "false");
    api_node_property(n, "bad_rows", policies[options.bad_rows]);
    if (options.null_text)
        api_node_property(n, "null_text", options.null_text);
    if (options.bad_rows == RASK_BAD_SIDE) {
        n->sides = arena_alloc(&env->arena, sizeof(*n->sides));
        n->sides[0] = &rask_bad_row_schema;
        n->side_count = 1;
        n->pb.op->schemas = arena_alloc(&env->arena, sizeof(*n->pb.op->schemas));
        n->pb.op->schemas[0] = schema_to_proto(&env->arena, &rask_bad_row_schema);
        n->pb.op->n_schemas = 1;
    }
    return api_finish(n);
}

rask_stream *rask_from_sequence(rask_env *env, int64_t first, int64_t last)
{
    struct node *n =
        source(env, "rask_from_sequence", "sequence", "Sequence Source", &rask_sequence_schema);

    if (!n)
        return &env->broken;
    if (first > last)
        return api_fail(env, ERR_INVALID,
                        "rask_from_sequence: first (%lld) is greater than last (%lld)",
                        (long long)first, (long long)last);
    api_node_property_i64(n, "first", first);
    api_node_property_i64(n, "last", last);
    return api_finish(n);
}

rask_stream *rask_generate(rask_env *env, const rask_schema *schema, rask_generate_fn *fn,
                           int64_t rows_per_second, int64_t count)
{
    struct node *n = source(env, "rask_generate", "generator", "Data Generator", schema);

    if (!n || !api_node_code(n, "its function", API_FN(fn)))
        return &env->broken;
    if (rows_per_second < 0)
        return api_fail(env, ERR_INVALID,
                        "rask_generate: %lld rows per second; 0 means as fast as possible",
                        (long long)rows_per_second);
    api_node_property_i64(n, "rows_per_second", rows_per_second);
    api_node_property_i64(n, "count", count);
    return api_finish(n);
}

rask_stream *rask_read_socket(rask_env *env, const char *host, int port)
{
    struct node *n = source(env, "rask_read_socket", "socket", "Socket Stream", &rask_text_schema);

    if (!n || !api_check_name(env, "rask_read_socket", "host", host))
        return &env->broken;
    if (port < 1 || port > 65535)
        return api_fail(env, ERR_INVALID, "rask_read_socket: port %d is not within 1 .. 65535",
                        port);
    api_node_property(n, "host", host);
    api_node_property_i64(n, "port", port);
    make_single(n);
    return api_finish(n);
}

rask_stream *rask_from_source(rask_env *env, const rask_source *descriptor,
                              const rask_schema *schema)
{
    const char *fn = "rask_from_source";
    const rask_schema *out = schema ? schema : descriptor ? descriptor->out : NULL;
    struct node *n;

    if (!descriptor && api_enter(env, fn))
        return api_fail(env, ERR_INVALID, "%s: the descriptor is NULL", fn);
    n = source(env, fn, NULL, descriptor && descriptor->name ? descriptor->name : "Custom Source",
               out);
    if (!n || !api_node_code(n, "its descriptor", descriptor))
        return &env->broken;
    if (descriptor->abi != RASK_ABI)
        return api_fail(
            env, ERR_VERSION,
            "%s: operator '%s': its descriptor says version %u of the API, this engine has version %d",
            fn, n->pb.name, descriptor->abi, RASK_ABI);
    if (schema && descriptor->out && !schema_equal(schema, descriptor->out))
        return api_fail(env, ERR_INVALID, "%s: operator '%s' declares (%s), the call says (%s)", fn,
                        n->pb.name, api_schema_text(env, descriptor->out),
                        api_schema_text(env, schema));
    if (!descriptor->discover || !descriptor->poll)
        return api_fail(env, ERR_INVALID, "%s: operator '%s' has no %s function", fn, n->pb.name,
                        descriptor->poll ? "discover" : "poll");
    return api_finish(n);
}

/* ---- rows of the program itself ---- */

/* A builder: what rask_rows returned is `out`. */
struct rows {
    rask_env *env;
    struct rows *next;
    rask_out *out;
    const rask_schema *schema; /* in the env */
    struct bytes payload;      /* ops.h: collection */
};

static void rows_flush(struct rows *r)
{
    rask_batch *b = out_take(r->out);
    struct bytes encoded;

    if (!b)
        return;
    bytes_init(&encoded);
    batch_encode(b, 0, b->rows, &encoded);
    batch_unref(b);
    if (r->payload.len + encoded.len + 16 > ROWS_MAX) {
        api_fail(r->env, ERR_LIMIT,
                 "rask_rows: more than 16 MiB of rows in the graph; let a source read them");
    } else {
        bytes_add_u64(&r->payload, encoded.len);
        bytes_add(&r->payload, encoded.data, encoded.len);
        while (r->payload.len % 8 != 0)
            bytes_add_u8(&r->payload, 0);
    }
    bytes_release(&encoded);
}

static int rows_full(rask_out *out, void *arg)
{
    (void)out;
    rows_flush(arg);
    return ((struct rows *)arg)->env->error.code;
}

static int rows_batch(rask_out *out, void *arg, rask_batch **batch)
{
    struct rows *r = arg;

    (void)out;
    batch_unref(*batch);
    *batch = NULL;
    api_fail(r->env, ERR_UNSUPPORTED, "rask_rows: takes rows one by one, not whole batches");
    return r->env->error.code;
}

static int rows_refused(rask_out *out, void *arg, const char *text)
{
    struct rows *r = arg;

    (void)out;
    api_fail(r->env, ERR_INVALID, "rask_rows: %s", text);
    return r->env->error.code;
}

static const struct out_hooks rows_hooks = {rows_full, rows_batch, rows_refused};

static void rows_free(struct rows *r)
{
    out_free(r->out);
    bytes_release(&r->payload);
    mem_free(r);
}

void api_rows_free(rask_env *env)
{
    while (env->rows) {
        struct rows *r = env->rows;

        env->rows = r->next;
        rows_free(r);
    }
    if (env->pool)
        pool_free(env->pool);
    env->pool = NULL;
}

/*
 * After a mistake the program still gets a builder to emit into: of the schema that it asked for,
 * if there is one.
 */
rask_out *rask_rows(rask_env *env, const rask_schema *schema)
{
    struct rows *r;

    if (api_enter(env, "rask_rows"))
        (void)api_check_schema(env, "rask_rows", schema);
    if (!env->pool)
        env->pool = pool_new(64u << 20);
    r = MEM_NEW(struct rows);
    r->env = env;
    r->schema =
        schema_copy(&env->arena, schema && schema->abi == RASK_ABI ? schema : &rask_text_schema);
    r->out = out_new(env->pool, r->schema, 0, &rows_hooks, r);
    bytes_init(&r->payload);
    r->next = env->rows;
    env->rows = r;
    return r->out;
}

static rask_stream *from_rows(rask_env *env, const char *fn, rask_out *rows)
{
    struct rows **at = &env->rows, *r;
    struct node *n;

    while (*at && (*at)->out != rows)
        at = &(*at)->next;
    r = *at;
    if (!r) {
        if (api_enter(env, fn))
            api_fail(env, ERR_INVALID,
                     "%s: these rows do not come from rask_rows, or were used before", fn);
        return &env->broken;
    }
    *at = r->next;
    rows_flush(r);
    n = source(env, fn, "collection", "Collection Source", r->schema);
    if (n) {
        n->pb.op->has_payload = true;
        n->pb.op->payload.len = r->payload.len;
        n->pb.op->payload.data = arena_dup(
            &env->arena, r->payload.data ? r->payload.data : (const uint8_t *)"", r->payload.len);
        make_single(n);
    }
    rows_free(r);
    return n ? api_finish(n) : &env->broken;
}

rask_stream *rask_from_collection(rask_env *env, rask_out *rows)
{
    return from_rows(env, "rask_from_collection", rows);
}

rask_stream *rask_from_structs(rask_env *env, const rask_schema *schema, const void *rows,
                               size_t count, size_t size, rask_emit_fn *emit)
{
    rask_out *out = rask_rows(env, schema);

    for (size_t i = 0; i < count && env->error.code == 0; i++)
        if (emit(out, (const char *)rows + i * size) != 0)
            api_fail(env, ERR_INVALID, "rask_from_rows: row %zu was refused", i);
    return from_rows(env, "rask_from_rows", out);
}

rask_stream *rask_from_lines(rask_env *env, const char *const *lines, size_t count)
{
    rask_out *out = rask_rows(env, &rask_text_schema);

    for (size_t i = 0; i < count && env->error.code == 0; i++) {
        if (!lines[i]) {
            api_fail(env, ERR_INVALID, "rask_from_lines: line %zu is NULL", i);
            break;
        }
        if (rask_out_begin(out, &rask_text_schema) != 0)
            break;
        rask_out_string(out, 0, rask_str_of(lines[i]));
        if (rask_out_end(out) != 0)
            break;
    }
    return from_rows(env, "rask_from_lines", out);
}
