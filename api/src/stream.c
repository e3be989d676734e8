/*
 * stream.c - what changes a stream without being an operator: key_by, union, partitioners, side
 * outputs; and the properties of the operator that made a stream.
 */
#include "api/src/api_private.h"

/* ---- partitioning ---- */

static rask_stream *partition(rask_stream *in, const char *fn, Rask__Graph__Partitioner partitioner)
{
    rask_stream *s;

    if (!api_input(in, fn))
        return api_broken(in);
    s = api_virtual(in, fn);
    s->keys = NULL;
    s->key_count = 0;
    for (uint32_t i = 0; i < s->part_count; i++) {
        s->parts[i].partitioner = partitioner;
        s->parts[i].custom = NULL;
    }
    return s;
}

rask_stream *rask_forward_stream(rask_stream *in)
{
    return partition(in, "rask_forward_stream", RASK__GRAPH__PARTITIONER__FORWARD);
}

rask_stream *rask_rebalance(rask_stream *in)
{
    return partition(in, "rask_rebalance", RASK__GRAPH__PARTITIONER__REBALANCE);
}

rask_stream *rask_rescale(rask_stream *in)
{
    return partition(in, "rask_rescale", RASK__GRAPH__PARTITIONER__RESCALE);
}

rask_stream *rask_shuffle(rask_stream *in)
{
    return partition(in, "rask_shuffle", RASK__GRAPH__PARTITIONER__SHUFFLE);
}

rask_stream *rask_broadcast(rask_stream *in)
{
    return partition(in, "rask_broadcast", RASK__GRAPH__PARTITIONER__BROADCAST);
}

rask_stream *rask_global(rask_stream *in)
{
    return partition(in, "rask_global", RASK__GRAPH__PARTITIONER__GLOBAL);
}

rask_stream *rask_partition_custom(rask_stream *in, rask_partition_fn *fn)
{
    const char *name = "rask_partition_custom";
    rask_stream *s = partition(in, name, RASK__GRAPH__PARTITIONER__CUSTOM);
    Rask__Graph__OperatorSpec *op;
    rask_env *env;
    char *where;

    if (!s || s->env->error.code)
        return s;
    env = s->env;
    op = arena_alloc(&env->arena, sizeof(*op));
    rask__graph__operator_spec__init(op);
    op->type = arena_strdup(&env->arena, OP_PARTITION_CUSTOM);
    where = api_printf(env, "%s after '%s'", name, api_from(in));
    if (!api_code(env, where, "the partition function", API_FN(fn), &op->code))
        return &env->broken;
    op->has_code = true;
    op->has_artifact = true;
    op->artifact.len = sizeof(env->artifact);
    op->artifact.data = env->artifact;
    for (uint32_t i = 0; i < s->part_count; i++)
        s->parts[i].custom = op;
    return s;
}

/* Cuts the next name off a list "a, b"; false: no more. */
static bool next_column(const char **list, const char **ret, size_t *ret_len)
{
    const char *at = *list + strspn(*list, " ,"), *end;

    if (!*at)
        return false;
    end = at + strcspn(at, ",");
    *list = end;
    while (end > at && end[-1] == ' ')
        end--;
    *ret = at;
    *ret_len = (size_t)(end - at);
    return true;
}

static bool add_key(rask_stream *s, const rask_stream *in, const char *name)
{
    rask_env *env = s->env;
    int column = schema_column(in->schema, name);

    if (column < 0) {
        api_fail(env, ERR_INVALID, "rask_key_by after '%s': there is no column '%s'; there are: %s",
                 api_from(in), name, api_schema_text(env, in->schema));
        return false;
    }
    if (!schema_can_be_key(&in->schema->fields[column])) {
        api_fail(env, ERR_INVALID,
                 "rask_key_by after '%s': column '%s' is a MAP or holds one, which cannot be a key: "
                 "equal maps may list their entries in different order",
                 api_from(in), name);
        return false;
    }
    for (uint32_t i = 0; i < s->key_count; i++)
        if (s->keys[i] == (uint32_t)column) {
            api_fail(env, ERR_INVALID, "rask_key_by after '%s': column '%s' is named twice",
                     api_from(in), name);
            return false;
        }
    s->keys[s->key_count++] = (uint32_t)column;
    return true;
}

rask_stream *rask_key_by(rask_stream *in, const char *columns)
{
    rask_stream *s;
    const char *name;
    size_t len;

    if (!api_input(in, "rask_key_by"))
        return api_broken(in);
    s = api_virtual(in, "rask_key_by");
    s->keys = arena_alloc(&s->env->arena, RASK_COLUMNS_MAX * sizeof(*s->keys));
    s->key_count = 0;
    while (columns && next_column(&columns, &name, &len))
        if (!add_key(s, in, api_printf(s->env, "%.*s", (int)len, name)))
            return &s->env->broken;
    if (s->key_count == 0)
        return api_fail(s->env, ERR_INVALID,
                        "rask_key_by after '%s': no column is named; there are: %s", api_from(in),
                        api_schema_text(s->env, in->schema));
    for (uint32_t i = 0; i < s->part_count; i++) {
        s->parts[i].partitioner = RASK__GRAPH__PARTITIONER__HASH;
        s->parts[i].custom = NULL;
        s->parts[i].keys = s->keys;
        s->parts[i].key_count = s->key_count;
    }
    return s;
}

rask_stream *rask_union_n(rask_stream *const *streams, size_t count)
{
    rask_stream *s, *first = count > 0 ? streams[0] : NULL;
    uint64_t parts = 0;

    for (size_t i = 0; i < count; i++) {
        if (!api_input(streams[i], "rask_union"))
            return api_broken(streams[i]);
        if (streams[i]->env != first->env)
            return api_fail(first->env, ERR_INVALID,
                            "rask_union: '%s' and '%s' belong to different jobs", api_from(first),
                            api_from(streams[i]));
        if (!schema_equal(streams[i]->schema, first->schema))
            return api_fail(first->env, ERR_INVALID,
                            "rask_union: the schemas differ: '%s' has (%s), '%s' has (%s)",
                            api_from(first), api_schema_text(first->env, first->schema),
                            api_from(streams[i]), api_schema_text(first->env, streams[i]->schema));
        parts += streams[i]->part_count;
    }
    if (!api_input(first, "rask_union"))
        return api_broken(first);
    if (parts > GRAPH_EDGES_MAX)
        return api_fail(first->env, ERR_LIMIT, "rask_union: more than %d streams", GRAPH_EDGES_MAX);
    s = api_virtual(first, "rask_union");
    s->keys = NULL;
    s->key_count = 0;
    s->parts = arena_alloc(&s->env->arena, parts * sizeof(*s->parts));
    s->part_count = 0;
    for (size_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < streams[i]->part_count; k++)
            s->parts[s->part_count++] = streams[i]->parts[k];
    return s;
}

rask_stream *rask_union(rask_stream *a, rask_stream *b)
{
    rask_stream *both[2];

    both[0] = a;
    both[1] = b;
    return rask_union_n(both, 2);
}

/* ---- properties ---- */

/* The operator that a property is set on, or NULL (recorded). */
static struct node *owner(rask_stream *op, const char *fn)
{
    if (!op) {
        (void)api_input(op, fn);
        return NULL;
    }
    if (!api_enter(op->env, fn))
        return NULL;
    if (op->virtual_by) {
        api_fail(op->env, ERR_INVALID,
                 "%s: belongs to an operator, but the stream is the result of %s after '%s'", fn,
                 op->virtual_by, api_from(op));
        return NULL;
    }
    return op->parts[0].node;
}

rask_stream *rask_side_stream(rask_stream *op, int side)
{
    struct node *n = owner(op, "rask_side_stream");
    rask_stream *s;

    if (!n)
        return api_broken(op);
    if (side < 0 || (uint32_t)side >= n->side_count)
        return api_fail(op->env, ERR_INVALID,
                        "rask_side_stream: operator '%s' has no side output %d; it declares %u",
                        n->pb.name, side, n->side_count);
    s = api_virtual(op, "rask_side_stream");
    s->parts[0].side = side;
    s->schema = n->sides[side];
    return s;
}

rask_stream *rask_with(rask_stream *op, const void *args, size_t size)
{
    struct node *n = owner(op, "rask_with");

    if (!n)
        return api_broken(op);
    if (size > RASK_ARGS_MAX)
        return api_fail(
            op->env, ERR_LIMIT,
            "rask_with: operator '%s' gets %zu bytes of arguments; at most %u (1 MiB) travel with the graph",
            n->pb.name, size, RASK_ARGS_MAX);
    if (!args && size > 0)
        return api_fail(op->env, ERR_INVALID, "rask_with: the arguments of operator '%s' are NULL",
                        n->pb.name);
    n->pb.op->has_args = true;
    n->pb.op->args.len = size;
    n->pb.op->args.data = arena_dup(&op->env->arena, args ? args : "", size);
    return op;
}

/* false: recorded. */
static bool check_range(struct node *n, const char *fn, uint32_t parallelism)
{
    if (parallelism < 1 || parallelism > RASK_PARALLELISM_MAX)
        api_fail(n->env, ERR_INVALID, "%s: operator '%s': %u is not within 1 .. %d", fn, n->pb.name,
                 parallelism, RASK_PARALLELISM_MAX);
    return n->env->error.code == 0;
}

static void check_parallelism(struct node *n)
{
    if (n->pb.has_parallelism && n->pb.has_max_parallelism &&
        n->pb.parallelism > n->pb.max_parallelism)
        api_fail(n->env, ERR_INVALID,
                 "operator '%s': parallelism %u is greater than its max parallelism %u", n->pb.name,
                 n->pb.parallelism, n->pb.max_parallelism);
}

rask_stream *rask_set_parallelism(rask_stream *op, uint32_t parallelism)
{
    struct node *n = owner(op, "rask_set_parallelism");

    if (!n || !check_range(n, "rask_set_parallelism", parallelism))
        return api_broken(op);
    if (n->single && parallelism != 1)
        return api_fail(
            op->env, ERR_INVALID,
            "rask_set_parallelism: operator '%s' (%s) runs at parallelism 1 alone, not %u",
            n->pb.name, n->made_by, parallelism);
    n->pb.has_parallelism = true;
    n->pb.parallelism = parallelism;
    check_parallelism(n);
    return op;
}

rask_stream *rask_set_max_parallelism(rask_stream *op, uint32_t max_parallelism)
{
    struct node *n = owner(op, "rask_set_max_parallelism");

    if (!n || !check_range(n, "rask_set_max_parallelism", max_parallelism))
        return api_broken(op);
    n->pb.has_max_parallelism = true;
    n->pb.max_parallelism = max_parallelism;
    check_parallelism(n);
    return op;
}

rask_stream *rask_name(rask_stream *op, const char *name)
{
    struct node *n = owner(op, "rask_name");

    if (!n || !api_check_name(op->env, "rask_name", "name", name))
        return api_broken(op);
    api_node_name(n, name);
    return op;
}

rask_stream *rask_uid(rask_stream *op, const char *uid)
{
    struct node *n = owner(op, "rask_uid");

    if (!n || !api_check_name(op->env, "rask_uid", "uid", uid))
        return api_broken(op);
    n->pb.uid = arena_strdup(&op->env->arena, uid);
    return op;
}

rask_stream *rask_slot_group(rask_stream *op, const char *group)
{
    struct node *n = owner(op, "rask_slot_group");

    if (!n || !api_check_name(op->env, "rask_slot_group", "slot sharing group", group))
        return api_broken(op);
    n->pb.slot_group = arena_strdup(&op->env->arena, group);
    return op;
}

static bool is_key_column(const struct node *n, uint32_t column)
{
    for (size_t i = 0; i < n->pb.n_key_columns; i++)
        if (n->pb.key_columns[i] == column)
            return true;
    return false;
}

rask_stream *rask_with_idleness(rask_stream *op, int64_t idle_ms)
{
    const char *fn = "rask_with_idleness";
    struct node *n = owner(op, fn);

    if (!n)
        return api_broken(op);
    if (strcmp(n->pb.op->type, OP_EVENT_TIME) != 0)
        return api_fail(op->env, ERR_INVALID, "%s: '%s' is no rask_event_time", fn, n->pb.name);
    if (idle_ms < 1)
        return api_fail(op->env, ERR_INVALID, "%s: %lld ms; at least 1 is needed", fn, (long long)idle_ms);
    api_node_property_i64(n, "idle_ms", idle_ms);
    return op;
}

rask_stream *rask_merge_updates(rask_stream *op)
{
    const char *fn = "rask_merge_updates", *type, *name = NULL;
    struct node *n = owner(op, fn);

    if (!n)
        return api_broken(op);
    type = n->pb.op->type;
    for (size_t i = 0; i < n->pb.op->n_properties; i++)
        if (strcmp(n->pb.op->properties[i]->key, "column") == 0)
            name = n->pb.op->properties[i]->value;
    if (!name || (strcmp(type, OP_SUM) != 0 && strcmp(type, OP_MIN) != 0 && strcmp(type, OP_MAX) != 0))
        return api_fail(op->env, ERR_INVALID, "%s: '%s' is no rask_sum, rask_min or rask_max", fn, n->pb.name);
    for (uint32_t i = 0; i < n->out->columns; i++) {
        const rask_field *f = &n->out->fields[i];
        bool number = f->type == RASK_T_BIGINT || f->type == RASK_T_TIMESTAMP;

        if (strcmp(f->name, name) == 0 ? !number || f->nullable || is_key_column(n, i) : !is_key_column(n, i))
            return api_fail(op->env, ERR_INVALID,
                            "%s: '%s' gives column '%s' of type %s%s; the merged column is a BIGINT or TIMESTAMP that is NOT "
                            "NULL, and all others are key columns", fn, n->pb.name, f->name, api_type_text(op->env, f),
                            is_key_column(n, i) ? "" : ", which is no key");
    }
    api_node_property(n, "merge", "true");
    return op;
}

static rask_stream *chaining(rask_stream *op, const char *fn, Rask__Graph__Chaining value)
{
    struct node *n = owner(op, fn);

    if (!n)
        return api_broken(op);
    n->pb.has_chaining = true;
    n->pb.chaining = value;
    return op;
}

rask_stream *rask_start_chain(rask_stream *op)
{
    return chaining(op, "rask_start_chain", RASK__GRAPH__CHAINING__HEAD);
}

rask_stream *rask_no_chain(rask_stream *op)
{
    return chaining(op, "rask_no_chain", RASK__GRAPH__CHAINING__NEVER);
}

rask_stream *rask_set_buffer_timeout(rask_stream *op, int64_t timeout_ms)
{
    struct node *n = owner(op, "rask_set_buffer_timeout");

    if (!n)
        return api_broken(op);
    if (timeout_ms < -1)
        return api_fail(
            op->env, ERR_INVALID,
            "rask_set_buffer_timeout: operator '%s': %lld ms; 0 sends at once, -1 only full buffers",
            n->pb.name, (long long)timeout_ms);
    n->pb.has_buffer_timeout_ms = true;
    n->pb.buffer_timeout_ms = timeout_ms;
    return op;
}

const rask_schema *rask_stream_schema(const rask_stream *stream)
{
    return stream ? stream->schema : NULL;
}
