/*
 * transform.c - operators between sources and sinks: row functions, process functions, batch
 * operators, rolling aggregates, event time.
 */
#include "api/src/api_private.h"
#include "common/types/schema_proto.h"

static rask_stream *row_operator(rask_stream *in, const char *fn, const char *type,
                                 const char *name, const void *code, const rask_schema *out)
{
    struct node *n;

    if (!api_input(in, fn))
        return api_broken(in);
    n = api_node(in->env, fn, type, NAME_PLAIN, NULL, name);
    if (!api_node_code(n, "its function", code) ||
        !api_check_schema(in->env, api_printf(in->env, "%s: operator '%s': output", fn, name), out))
        return api_broken(in);
    api_node_out(n, out);
    api_node_connect(n, in, 0);
    return api_finish(n);
}

rask_stream *rask_map(rask_stream *in, rask_row_fn *fn, const rask_schema *out)
{
    return row_operator(in, "rask_map", OP_MAP, "Map", API_FN(fn), out);
}

rask_stream *rask_flat_map(rask_stream *in, rask_row_fn *fn, const rask_schema *out)
{
    return row_operator(in, "rask_flat_map", OP_FLAT_MAP, "Flat Map", API_FN(fn), out);
}

rask_stream *rask_filter(rask_stream *in, rask_test_fn *fn)
{
    return row_operator(in, "rask_filter", OP_FILTER, "Filter", API_FN(fn), in ? in->schema : NULL);
}

/* ---- descriptors: process functions and batch operators ---- */

static bool is_keyed_state(enum rask_state_kind kind)
{
    return kind >= RASK_VALUE && kind <= RASK_AGGREGATING;
}

/* Declared states: names, schemas, and a key where they need one. */
static bool check_states(struct node *n, const rask_state *states, bool keyed)
{
    rask_env *env = n->env;

    for (uint32_t i = 0; states && states[i].kind; i++) {
        const rask_state *st = &states[i];
        char *where = api_printf(env, "%s: operator '%s': state %u ('%s')", n->made_by, n->pb.name,
                                 i, st->name ? st->name : "");

        if (i == API_STATES_MAX)
            api_fail(
                env, ERR_LIMIT,
                "%s: operator '%s' declares more than %d states; does RASK_STATES end the list?",
                n->made_by, n->pb.name, API_STATES_MAX);
        else if (!st->name || !st->name[0])
            api_fail(env, ERR_INVALID, "%s has no name", where);
        else if ((int)st->kind > RASK_BROADCAST)
            api_fail(env, ERR_INVALID, "%s is of the unknown kind %d", where, (int)st->kind);
        else if (is_keyed_state(st->kind) && !keyed)
            api_fail(
                env, ERR_INVALID,
                "%s is kept per key, but the input has no key: put rask_key_by before the operator",
                where);
        else if (st->ttl_ms < 0 || (st->ttl_ms > 0 && !is_keyed_state(st->kind)))
            api_fail(env, ERR_INVALID, st->ttl_ms < 0 ? "%s has a time to live of %lld ms; 0 is for ever"
                                                      : "%s has a time to live of %lld ms, and only state of a key can expire",
                     where, (long long)st->ttl_ms);
        else if ((st->kind == RASK_MAP || st->map_key) &&
                 !api_check_schema(env, where, st->map_key))
            return false;
        else
            (void)api_check_schema(env, where, st->schema);
        for (uint32_t k = 0; k < i && env->error.code == 0; k++)
            if (strcmp(states[k].name, st->name) == 0)
                api_fail(env, ERR_INVALID,
                         "%s: states %u and %u of operator '%s' have the same name '%s'",
                         n->made_by, k, i, n->pb.name, st->name);
        if (env->error.code)
            return false;
    }
    return true;
}

/* What the graph says of declared states. */
void api_node_states(struct node *n, const rask_state *states)
{
    struct arena *arena = &n->env->arena;
    size_t count = 0;

    while (states && states[count].kind)
        count++;
    n->pb.states = arena_alloc(arena, (count + 1) * sizeof(*n->pb.states));
    n->pb.n_states = count;
    for (size_t i = 0; i < count; i++) {
        Rask__Graph__DeclaredState *st = arena_alloc(arena, sizeof(*st));

        rask__graph__declared_state__init(st);
        st->name = arena_strdup(arena, states[i].name);
        st->kind = states[i].kind;
        st->schema = states[i].schema ? schema_to_proto(arena, states[i].schema) : NULL;
        st->map_key = states[i].map_key ? schema_to_proto(arena, states[i].map_key) : NULL;
        st->has_ttl_ms = states[i].ttl_ms != 0;
        st->ttl_ms = states[i].ttl_ms;
        n->pb.states[i] = st;
    }
}

static bool set_sides(struct node *n, const rask_side_output *sides)
{
    rask_env *env = n->env;
    Rask__Graph__OperatorSpec *op = n->pb.op;

    if (!sides)
        return true;
    op->schemas = arena_alloc(&env->arena, API_STATES_MAX * sizeof(*op->schemas));
    n->sides = arena_alloc(&env->arena, API_STATES_MAX * sizeof(*n->sides));
    for (uint32_t i = 0; sides[i].name; i++) {
        char *where = api_printf(env, "%s: operator '%s': side output %u ('%.40s')", n->made_by,
                                 n->pb.name, i, sides[i].name);

        if (i == API_STATES_MAX) {
            api_fail(
                env, ERR_LIMIT,
                "%s: operator '%s' declares more than %d side outputs; does RASK_SIDES end the list?",
                n->made_by, n->pb.name, API_STATES_MAX);
            return false;
        }
        if (!api_check_schema(env, where, sides[i].schema))
            return false;
        n->sides[i] = schema_copy(&env->arena, sides[i].schema);
        op->schemas[i] = schema_to_proto(&env->arena, sides[i].schema);
        n->side_count = i + 1;
        op->n_schemas = i + 1;
    }
    return true;
}

/* The declared input schema against the one that arrives. NULL takes any. */
static bool check_input(struct node *n, const rask_stream *in, const rask_schema *declared,
                        const char *which)
{
    rask_env *env = n->env;

    if (!declared)
        return true;
    if (!api_check_schema(
            env, api_printf(env, "%s: operator '%s': %s", n->made_by, n->pb.name, which), declared))
        return false;
    if (schema_equal(declared, in->schema))
        return true;
    api_fail(env, ERR_INVALID, "%s: operator '%s' takes (%s) as %s, but '%s' gives (%s)",
             n->made_by, n->pb.name, api_schema_text(env, declared), which, api_from(in),
             api_schema_text(env, in->schema));
    return false;
}

/*
 * Two inputs: both keyed by columns of the same types, or none; a broadcast second input has no
 * key.
 */
static bool check_keys(struct node *n, const rask_stream *a, const rask_stream *b)
{
    rask_env *env = n->env;

    if (b->part_count > 0 && b->parts[0].partitioner == RASK__GRAPH__PARTITIONER__BROADCAST)
        return true;
    if (a->key_count != b->key_count)
        api_fail(
            env, ERR_INVALID,
            "%s: operator '%s': its first input ('%s') is keyed by %u columns, its second ('%s') by %u; both need "
            "the same rask_key_by, or none",
            n->made_by, n->pb.name, api_from(a), a->key_count, api_from(b), b->key_count);
    for (uint32_t i = 0; i < a->key_count && env->error.code == 0; i++) {
        const rask_field *fa = &a->schema->fields[a->keys[i]], *fb = &b->schema->fields[b->keys[i]];

        if (fa->type != fb->type || fa->nullable != fb->nullable ||
            fa->precision != fb->precision || fa->scale != fb->scale)
            api_fail(
                env, ERR_INVALID,
                "%s: operator '%s': key column '%s' of '%s' and key column '%s' of '%s' differ in type",
                n->made_by, n->pb.name, fa->name, api_from(a), fb->name, api_from(b));
    }
    return env->error.code == 0;
}

/* What process functions and batch operators have in common. in2 NULL: one input. */
struct descriptor {
    const rask_schema *in, *in2, *out;
    const rask_state *states;
    const rask_side_output *sides;
    bool broadcast, needs_key;
};

static rask_stream *connect_described(struct node *n, rask_stream *in, rask_stream *in2,
                                      const struct descriptor *d)
{
    rask_env *env = n->env;
    bool keyed = in->key_count > 0;

    if (!check_input(n, in, d->in, in2 ? "first input" : "input") ||
        (in2 && !check_input(n, in2, d->in2, "second input")))
        return &env->broken;
    if (in2 && !d->broadcast && !check_keys(n, in, in2))
        return &env->broken;
    if (d->needs_key && !keyed)
        return api_fail(
            env, ERR_INVALID,
            "%s: operator '%s' has timers, which belong to a key: put rask_key_by before it",
            n->made_by, n->pb.name);
    if (!check_states(n, d->states, keyed) || !set_sides(n, d->sides))
        return &env->broken;
    api_node_states(n, d->states);
    n->pb.has_timers = d->needs_key;
    n->pb.timers = d->needs_key;
    if (d->out) {
        if (!api_check_schema(
                env, api_printf(env, "%s: operator '%s': output", n->made_by, n->pb.name), d->out))
            return &env->broken;
        api_node_out(n, d->out);
    }
    if (in2 && d->broadcast) {
        for (uint32_t i = 0; i < in2->part_count; i++)
            if (in2->parts[i].partitioner != RASK__GRAPH__PARTITIONER__UNSET &&
                in2->parts[i].partitioner != RASK__GRAPH__PARTITIONER__BROADCAST)
                return api_fail(
                    env, ERR_INVALID,
                    "%s: operator '%s' broadcasts its second input; '%s' must not be partitioned otherwise",
                    n->made_by, n->pb.name, api_from(in2));
        in2 = rask_broadcast(in2);
    }
    if (keyed)
        api_node_keyed(n, in, 0);
    if (in2 && in2->key_count > 0)
        api_node_keyed(n, in2, 1);
    api_node_connect(n, in, 0);
    if (in2)
        api_node_connect(n, in2, 1);
    return api_finish(n);
}

/* true: abi and pointer are fine */
static bool check_descriptor(struct node *n, const void *descriptor, uint32_t abi)
{
    if (!api_node_code(n, "its descriptor", descriptor))
        return false;
    if (abi != RASK_ABI)
        api_fail(
            n->env, ERR_VERSION,
            "%s: operator '%s': its descriptor says version %u of the API, this engine has version %d; it starts "
            "with RASK_ABI",
            n->made_by, n->pb.name, abi, RASK_ABI);
    return n->env->error.code == 0;
}

static bool check_inputs(rask_stream *in1, rask_stream *in2, const char *fn, bool two)
{
    if (!api_input(in1, fn) || (two && !api_input(in2, fn)))
        return false;
    if (two && in1->env != in2->env)
        api_fail(in1->env, ERR_INVALID, "%s: '%s' and '%s' belong to different jobs", fn,
                 api_from(in1), api_from(in2));
    return in1->env->error.code == 0;
}

static rask_stream *process(rask_stream *in1, rask_stream *in2, const char *fn,
                            const rask_process_fn *p, bool two)
{
    struct descriptor d;
    struct node *n;

    if (!check_inputs(in1, in2, fn, two))
        return api_broken(in1 ? in1 : in2);
    n = api_node(in1->env, fn, OP_PROCESS, NAME_PLAIN, p ? p->name : NULL,
                 in1->key_count > 0 ? "KeyedProcess" : "Process");
    if (!check_descriptor(n, p, p ? p->abi : 0))
        return &in1->env->broken;
    if (!p->on_row)
        return api_fail(in1->env, ERR_INVALID, "%s: operator '%s' has no on_row function", fn,
                        n->pb.name);
    if (two != (p->on_row2 != NULL))
        return api_fail(in1->env, ERR_INVALID, "%s: operator '%s' has %s: %s", fn, n->pb.name,
                        two ? "no on_row2 function" : "an on_row2 function, so it needs two inputs",
                        two ? "use rask_process, or give it one" : "use rask_process2");
    d = (struct descriptor){
        p->in, p->in2, p->out, p->states, p->sides, p->broadcast, p->on_timer != NULL};
    return connect_described(n, in1, two ? in2 : NULL, &d);
}

rask_stream *rask_process(rask_stream *in, const rask_process_fn *fn)
{
    return process(in, NULL, "rask_process", fn, false);
}

rask_stream *rask_process2(rask_stream *in1, rask_stream *in2, const rask_process_fn *fn)
{
    return process(in1, in2, "rask_process2", fn, true);
}

static rask_stream *transform(rask_stream *in1, rask_stream *in2, const char *fn,
                              const rask_operator *op, bool two)
{
    struct descriptor d;
    struct node *n;

    if (!check_inputs(in1, in2, fn, two))
        return api_broken(in1 ? in1 : in2);
    n = api_node(in1->env, fn, OP_BATCH, NAME_PLAIN, op ? op->name : NULL, "Transform");
    if (!check_descriptor(n, op, op ? op->abi : 0))
        return &in1->env->broken;
    if (!op->process)
        return api_fail(in1->env, ERR_INVALID, "%s: operator '%s' has no process function", fn,
                        n->pb.name);
    d = (struct descriptor){
        op->in, op->in2, op->out, op->states, op->sides, false, op->on_timers != NULL};
    return connect_described(n, in1, two ? in2 : NULL, &d);
}

rask_stream *rask_transform(rask_stream *in, const rask_operator *op)
{
    return transform(in, NULL, "rask_transform", op, false);
}

rask_stream *rask_transform2(rask_stream *in1, rask_stream *in2, const rask_operator *op)
{
    return transform(in1, in2, "rask_transform2", op, true);
}

/* ---- rolling results per key ---- */

static bool check_keyed(const rask_stream *in, const char *fn)
{
    if (!api_input(in, fn))
        return false;
    if (in->key_count > 0)
        return true;
    api_fail(in->env, ERR_INVALID,
             "%s after '%s': the stream has no key: put rask_key_by before it", fn, api_from(in));
    return false;
}

rask_stream *rask_reduce(rask_stream *keyed, rask_reduce_fn *fn)
{
    struct node *n;

    if (!check_keyed(keyed, "rask_reduce"))
        return api_broken(keyed);
    n = api_node(keyed->env, "rask_reduce", OP_REDUCE, NAME_PLAIN, NULL, "Keyed Reduce");
    if (!api_node_code(n, "its function", API_FN(fn)))
        return &keyed->env->broken;
    api_node_out(n, keyed->schema);
    api_node_keyed(n, keyed, 0);
    api_node_connect(n, keyed, 0);
    return api_finish(n);
}

static bool is_number(uint8_t type)
{
    return type >= RASK_T_TINYINT && type <= RASK_T_DECIMAL;
}

/* Index of a column of the stream, or -1 (recorded). */
static int find_column(const rask_stream *in, const char *fn, const char *column)
{
    int i = column ? schema_column(in->schema, column) : -1;

    if (i < 0)
        api_fail(in->env, ERR_INVALID, "%s after '%s': there is no column '%s'; there are: %s", fn,
                 api_from(in), column ? column : "(NULL)", api_schema_text(in->env, in->schema));
    return i;
}

static rask_stream *aggregate(rask_stream *keyed, const char *fn, const char *type,
                              const char *column, bool numbers)
{
    const rask_field *field;
    struct node *n;
    int i;

    if (!check_keyed(keyed, fn))
        return api_broken(keyed);
    i = find_column(keyed, fn, column);
    if (i < 0)
        return &keyed->env->broken;
    field = &keyed->schema->fields[i];
    if (numbers ? !is_number(field->type)
                : field->type >= RASK_T_ARRAY || field->type == RASK_T_BYTES)
        return api_fail(keyed->env, ERR_INVALID,
                        "%s after '%s': column '%s' is of type %s; %s is needed", fn,
                        api_from(keyed), column, api_type_text(keyed->env, field),
                        numbers ? "a number" : "a number, string, date or time");
    n = api_node(keyed->env, fn, type, NAME_PLAIN, NULL, "Keyed Aggregation");
    api_node_property(n, "column", column);
    api_node_out(n, keyed->schema);
    api_node_keyed(n, keyed, 0);
    api_node_connect(n, keyed, 0);
    return api_finish(n);
}

rask_stream *rask_sum(rask_stream *keyed, const char *column)
{
    return aggregate(keyed, "rask_sum", OP_SUM, column, true);
}

rask_stream *rask_min(rask_stream *keyed, const char *column)
{
    return aggregate(keyed, "rask_min", OP_MIN, column, false);
}

rask_stream *rask_max(rask_stream *keyed, const char *column)
{
    return aggregate(keyed, "rask_max", OP_MAX, column, false);
}

rask_stream *rask_count(rask_stream *keyed, const char *name)
{
    rask_schema schema = {.abi = RASK_ABI, .name = "count"};
    rask_field *fields;
    struct node *n;

    if (!check_keyed(keyed, "rask_count") ||
        !api_check_name(keyed->env, "rask_count", "name of the count", name))
        return api_broken(keyed);
    fields = arena_alloc(&keyed->env->arena, (keyed->key_count + 1) * sizeof(*fields));
    for (uint32_t i = 0; i < keyed->key_count; i++)
        fields[i] = keyed->schema->fields[keyed->keys[i]];
    fields[keyed->key_count] = (rask_field){.name = name, .type = RASK_T_BIGINT};
    schema.columns = (uint16_t)(keyed->key_count + 1);
    schema.fields = fields;
    if (!api_check_schema(
            keyed->env, api_printf(keyed->env, "rask_count after '%s'", api_from(keyed)), &schema))
        return &keyed->env->broken;
    n = api_node(keyed->env, "rask_count", OP_COUNT, NAME_PLAIN, NULL, "Keyed Aggregation");
    api_node_out(n, &schema);
    api_node_keyed(n, keyed, 0);
    api_node_connect(n, keyed, 0);
    return api_finish(n);
}

rask_stream *rask_event_time(rask_stream *in, const char *column, int64_t out_of_orderness_ms)
{
    const rask_field *field;
    struct node *n;
    int i;

    if (!api_input(in, "rask_event_time"))
        return api_broken(in);
    i = find_column(in, "rask_event_time", column);
    if (i < 0)
        return &in->env->broken;
    field = &in->schema->fields[i];
    if (field->type != RASK_T_TIMESTAMP && field->type != RASK_T_BIGINT)
        return api_fail(
            in->env, ERR_INVALID,
            "rask_event_time after '%s': column '%s' is of type %s; TIMESTAMP or BIGINT (ms) is needed",
            api_from(in), column, api_type_text(in->env, field));
    if (out_of_orderness_ms < 0)
        return api_fail(in->env, ERR_INVALID,
                        "rask_event_time after '%s': an out-of-orderness of %lld ms is negative",
                        api_from(in), (long long)out_of_orderness_ms);
    n = api_node(in->env, "rask_event_time", OP_EVENT_TIME, NAME_PLAIN, NULL,
                 "Timestamps/Watermarks");
    api_node_property(n, "column", column);
    api_node_property_i64(n, "out_of_orderness_ms", out_of_orderness_ms);
    api_node_out(n, in->schema);
    api_node_connect(n, in, 0);
    return api_finish(n);
}
