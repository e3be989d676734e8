/*
 * ctx_state.c - declared state as callbacks see it: values in place, rows as structs, lists, maps, cursors; by the current key
 * or by the keys of a batch.  Structs are kept as packed rows (common/types/packed_struct.h).  Runs in the task's step.
 */
#include <string.h>

#include "common/base/check.h"
#include "common/ckpt/ckpt_meta.h"
#include "common/types/packed_struct.h"
#include "taskmanager/worker/operator/ops.h"
#include "taskmanager/worker/time/timers.h"

#define BIT(kind) (1u << (kind))
#define VALUES (BIT(RASK_VALUE) | BIT(RASK_REDUCING) | BIT(RASK_AGGREGATING))
#define LISTS (BIT(RASK_LIST) | BIT(RASK_OPERATOR_LIST) | BIT(RASK_OPERATOR_UNION))
#define MAPS (BIT(RASK_MAP) | BIT(RASK_BROADCAST))

/* How the structs of a declared state are kept; found once. */
struct shape {
    const rask_schema *schema; /* that was found equal to the declared one */
    size_t size;
    bool in_place; /* the struct is what is kept */
    struct packed_struct row;
};
/* The values in place of the rows that a row function is about to get. */
struct ahead {
    const rask_schema *schema; /* and size: as the value is declared; NULL: there is no run */
    size_t size;
    struct wk_runs runs;
    void *values[KEY_RUN_ROWS]; /* NULL: absent, or asked for when it is used */
};
struct wk_kept {
    struct bytes value, key; /* of the call at hand */
    struct key_run keys;
    struct { /* of the rows that a row function is about to get */
        struct key_run keys;
        const rask_batch *in;    /* they are of */
        const uint64_t *hash;    /* of its rows */
        uint64_t *room;          /* owned; where they are not in the batch */
        uint32_t at;             /* where the run begins in it */
    } run;
    uint32_t count;
    struct {
        struct shape value, key;
        struct ahead *ahead; /* owned; NULL: not used in place so far */
    } of[];
};

static struct wk_kept *kept(struct wk_op *op)
{
    uint32_t n = 0;

    if (op->kept)
        return op->kept;
    while (op->ctx.states && op->ctx.states[n].kind != 0)
        n++;
    op->kept = mem_alloc(sizeof(*op->kept) + n * sizeof(op->kept->of[0]));
    op->kept->count = n;
    bytes_init(&op->kept->value);
    bytes_init(&op->kept->key);
    bytes_init(&op->kept->keys.text);
    bytes_init(&op->kept->run.keys.text);
    return op->kept;
}

void wk_kept_free(struct wk_kept *k)
{
    if (!k)
        return;
    bytes_release(&k->value);
    bytes_release(&k->key);
    bytes_release(&k->keys.text);
    bytes_release(&k->run.keys.text);
    mem_free(k->run.room);
    for (uint32_t i = 0; i < k->count; i++)
        mem_free(k->of[i].ahead);
    mem_free(k);
}

static int failed(struct wk_op *op, const struct err *err)
{
    if (!op->ctx.error.code)
        op->ctx.error = *err;
    return op->ctx.error.code;
}

/* Where a call puts its error: the first one stays. An err of one's own for each call costs as much as finding the key. */
static struct err *first_error(struct wk_op *op)
{
    return op->ctx.error.code ? NULL : &op->ctx.error;
}

/* ---- checks ---- */

static bool is_usable(struct wk_op *op, int state, uint32_t kinds, const char *call, bool own_keys)
{
    const rask_state *s = op->ctx.states;
    int count = 0;

    while (s && s[count].kind != 0)
        count++;
    if (state < 0 || state >= count) {
        (void)rask_fail(&op->ctx, "state %d is not declared: this operator declares %d", state, count);
        return false;
    }
    if (!(BIT(s[state].kind) & kinds)) {
        (void)rask_fail(&op->ctx, "state \"%s\" is a %s: %s is not for it", s[state].name,
                        ckpt_state_kind_name(s[state].kind), call);
        return false;
    }
    if (!own_keys && s[state].kind < RASK_OPERATOR_LIST && (!op->ctx.key.data || op->key_count[0] == 0)) {
        (void)rask_fail(&op->ctx, "state \"%s\" needs a current key: use it on a keyed stream, inside on_row", s[state].name);
        return false;
    }
    return true;
}

/* Broadcast state is the same everywhere because each subtask changes it by the same rows: those of the second input. */
static bool is_writable(struct wk_op *op, int state)
{
    if (op->ctx.states[state].kind != RASK_BROADCAST || op->may_broadcast)
        return true;
    (void)rask_fail(&op->ctx, "broadcast state \"%s\" can be changed in on_row2 alone, for rows that reach every subtask",
                    op->ctx.states[state].name);
    return false;
}

static int wrong_schema(struct wk_op *op, int state, const char *what, const rask_schema *declared, const rask_schema *given)
{
    struct bytes text;

    bytes_init(&text);
    bytes_add_str(&text, "declared (");
    schema_format(declared, &text);
    bytes_add_str(&text, "), used with (");
    schema_format(given, &text);
    (void)rask_fail(&op->ctx, "the %s of state \"%s\" is another row: %s)", what, op->ctx.states[state].name,
                    (const char *)text.data);
    bytes_release(&text);
    return op->ctx.error.code;
}

/* The struct `size` bytes large of a schema, which is the declared one. NULL: failed. */
static const struct packed_struct *shape_of(struct wk_op *op, int state, bool key, const rask_schema *schema, size_t size)
{
    const rask_state *decl = &op->ctx.states[state];
    const rask_schema *declared = key ? decl->map_key : decl->schema;
    struct shape *s = key ? &kept(op)->of[state].key : &kept(op)->of[state].value;

    if (s->schema == schema && s->size == size)
        return &s->row;
    if (!schema_equal(declared, schema)) {
        (void)wrong_schema(op, state, key ? "key" : "row", declared, schema);
        return NULL;
    }
    if (!packed_struct_of(schema, size, &s->row)) {
        (void)rask_fail(&op->ctx, "state \"%s\": a struct of %zu bytes is not one of its %s", decl->name, size,
                        key ? "keys" : "rows");
        return NULL;
    }
    s->schema = schema;
    s->size = size;
    s->in_place = s->row.slots && packed_slot_bytes(schema) == size;
    return &s->row;
}

/* ---- values in place ---- */

static bool is_in_place(struct wk_op *op, int state, const rask_schema *schema, size_t size)
{
    const struct packed_struct *p = shape_of(op, state, false, schema, size);

    if (p && !kept(op)->of[state].value.in_place)
        (void)rask_fail(&op->ctx, "state \"%s\" is used in place, and its row is not one that RASK_STATE declares",
                        op->ctx.states[state].name);
    return p && !op->ctx.error.code;
}

static bool in_place(struct wk_op *op, int state, const rask_schema *schema, size_t size)
{
    return is_usable(op, state, VALUES, "a value in place", false) && is_in_place(op, state, schema, size);
}

/* What the run of the current row has of such a value; NULL: the row is not of a run, or there is none. */
static inline struct ahead *run_of(const struct wk_op *op, int state, const rask_schema *schema, size_t size)
{
    const struct wk_kept *k = op->kept;
    struct ahead *a;

    if (!k || (uint32_t)state >= k->count || !op->ctx.key.data || op->ctx.key.data != op->run.key)
        return NULL;
    a = k->of[state].ahead;
    return a && a->schema == schema && a->size == size && !op->ctx.error.code ? a : NULL;
}

static void *found_ahead(const struct wk_op *op, const struct ahead *a)
{
    void *value = a ? a->values[op->run.row] : NULL;

    return value && wk_runs_has(&a->runs, op->run.row) ? value : NULL;
}

static __attribute__((noinline)) void *find_or_make(struct wk_op *op, int state, const rask_schema *schema, size_t size,
                                                    struct ahead *a)
{
    void *value = found_ahead(op, a);

    if (!value && a)
        value = a->values[op->run.row] = wk_runs_make(&a->runs, op->run.keys, op->run.row, size);
    if (value)
        return value;
    if (!in_place(op, state, schema, size))
        return NULL;
    return wk_state_get(op->state, state, op->ctx.key_hash, op->ctx.key, size, true, NULL, first_error(op));
}

/* For most rows a few comparisons; it calls nothing and so saves no registers. */
void *wk_ctx_value(rask_ctx *ctx, int state, const rask_schema *schema, size_t size)
{
    struct wk_op *op = wk_op_of(ctx);
    struct ahead *a = run_of(op, state, schema, size);
    void *value = a && wk_runs_has_all(&a->runs) ? a->values[op->run.row] : NULL;

    return value ? value : find_or_make(op, state, schema, size, a);
}

const void *wk_ctx_peek(rask_ctx *ctx, int state, const rask_schema *schema, size_t size)
{
    struct wk_op *op = wk_op_of(ctx);
    const void *found = found_ahead(op, run_of(op, state, schema, size));

    if (found)
        return found;
    return in_place(op, state, schema, size)
               ? wk_state_get(op->state, state, ctx->key_hash, ctx->key, size, false, NULL, NULL)
               : NULL;
}

void wk_ctx_clear(rask_ctx *ctx, int state)
{
    struct wk_op *op = wk_op_of(ctx);
    struct err err = {0};

    if (!is_usable(op, state, UINT32_MAX, "rask_clear", false) || !is_writable(op, state))
        return;
    if (ctx->states[state].kind == RASK_BROADCAST)
        wk_state_broadcast_clear(op->state, state);
    else if (ctx->states[state].kind >= RASK_OPERATOR_LIST)
        wk_state_list_clear(op->state, state);
    else if (wk_state_clear(op->state, state, ctx->key_hash, ctx->key, &err) != 0)
        (void)failed(op, &err);
}

/* Hashes of the keys of rows from .. from + n - 1; room: for where the batch has them not one behind the other. */
static const uint64_t *hashes_of(struct wk_op *op, int input, const rask_batch *in, uint32_t from, uint32_t n, uint64_t *room)
{
    const uint64_t *by_position = in->hash.data;

    if (by_position && !in->sel)
        return by_position + in->first + from;
    if (!by_position) {
        rask_batch *part = batch_slice((rask_batch *)(uintptr_t)in, from, n);

        key_hash_batch(part, op->key_columns[input], op->key_count[input], room);
        batch_unref(part);
    }
    for (uint32_t i = 0; by_position && i < n; i++)
        room[i] = by_position[in->sel[from + i]];
    return room;
}

/* A state of which the next rows' values can be found ahead; NULL. */
static struct ahead *ahead_of(struct wk_op *op, int state)
{
    struct wk_kept *k = kept(op);

    if (!(BIT(op->ctx.states[state].kind) & VALUES) || !k->of[state].value.in_place)
        return NULL;
    if (!k->of[state].ahead)
        k->of[state].ahead = MEM_NEW(struct ahead);
    return k->of[state].ahead;
}

/* What a declared state has of the n rows of the run, with which `left` are left. */
static void fetch_run(struct wk_op *op, int state, uint32_t n, uint32_t left, bool first)
{
    struct wk_kept *k = op->kept;
    struct ahead *a = ahead_of(op, state);
    const uint64_t *hash = k->run.hash + k->run.at;

    if (a && first) {
        a->schema = wk_runs_begin_found(&a->runs, op->state, state, hash, left) ? k->of[state].value.schema : NULL;
        a->size = k->of[state].value.size;
    }
    if (a && a->schema) {
        wk_runs_next_found(&a->runs, &k->run.keys, a->size, a->values);
        return;
    }
    if (first)
        wk_state_fetch(op->state, state, hash, n);
    wk_state_fetch(op->state, state, hash + n, MIN(left - n, (uint32_t)KEY_RUN_ROWS));
    wk_state_fetch_entries(op->state, state, hash, n);
}

void wk_op_begin_run(struct wk_op *op, int input, const rask_batch *in, uint32_t from, bool first)
{
    uint32_t left = in->rows - from, n = MIN(left, (uint32_t)KEY_RUN_ROWS);
    struct wk_kept *k = kept(op);

    if (!k->run.room && (!in->hash.data || in->sel))
        k->run.room = mem_alloc_array(RASK_BATCH_ROWS_MAX, sizeof(*k->run.room));
    if (from == 0 || in != k->run.in) /* one that goes on has been here */
        k->run.hash = hashes_of(op, input, in, 0, in->rows, k->run.room);
    k->run.in = in;
    k->run.at = from;
    op->run.keys = &k->run.keys;
    op->run.hash = k->run.hash + from;
    key_run_fill(&k->run.keys, in, op->key_columns[input], op->key_count[input], from, n);
    for (int i = 0; op->ctx.states && op->ctx.states[i].kind != 0; i++)
        if (op->ctx.states[i].kind < RASK_OPERATOR_LIST)
            fetch_run(op, i, n, left, first);
    if (op->timers)
        wk_timers_fetch(op->timers, k->run.hash + k->run.at, n);
}

/* With a time to live each value is dated as it is found, and what has expired begins anew. */
static int values_with_times(struct wk_op *op, int state, const struct key_run *keys, const uint64_t *hash, size_t size, void **values)
{
    wk_state_fetch(op->state, state, hash, keys->rows);
    wk_state_fetch_entries(op->state, state, hash, keys->rows);
    for (uint32_t i = 0; i < keys->rows; i++) {
        values[i] = wk_state_get(op->state, state, hash[i], key_run_at(keys, i), size, true, NULL, first_error(op));
        if (!values[i])
            return op->ctx.error.code;
    }
    return 0;
}

int wk_ctx_values_of(rask_op *ctx, int input, int state, const rask_batch *in, uint32_t from, uint32_t count,
                     const rask_schema *schema, size_t size, void **values)
{
    struct wk_op *op = wk_op_of(ctx);
    uint64_t room[RASK_BATCH_ROWS_MAX];
    const uint64_t *hash;
    struct wk_runs runs;
    struct key_run *keys;
    bool timed;
    int rc;

    if (input < 0 || input > 1 || op->key_count[input] == 0 || from > in->rows || count > in->rows - from)
        return rask_fail(ctx, "rask_values_of: input %d has no key, or the batch has not so many rows", input);
    if (!is_usable(op, state, VALUES, "rask_values_of", true) || !is_in_place(op, state, schema, size))
        return ctx->error.code;
    keys = &kept(op)->keys;
    timed = ctx->states[state].ttl_ms > 0;
    hash = hashes_of(op, input, in, from, count, room);
    rc = timed ? 0 : wk_runs_begin(&runs, op->state, state, hash, count, &ctx->error);
    for (uint32_t i = 0; i < count && rc == 0; i += KEY_RUN_ROWS) {
        key_run_fill(keys, in, op->key_columns[input], op->key_count[input], from + i, MIN(count - i, (uint32_t)KEY_RUN_ROWS));
        rc = timed ? values_with_times(op, state, keys, hash + i, size, values + i)
                   : wk_runs_next(&runs, keys, size, values + i, &ctx->error);
    }
    return rc;
}

/* ---- rows as structs ---- */

/* Strings of what is read stay until the batch ends, whatever happens to the state. */
static bool read_row(struct wk_op *op, const struct packed_struct *p, rask_bytes kept_row, void *row)
{
    const void *data = kept_row.data;
    struct err err = {0};

    if (p->layout.views)
        data = arena_dup(&op->ctx.scratch, kept_row.data, kept_row.len);
    if (packed_struct_read(p, data, kept_row.len, row, &err) == 0)
        return true;
    (void)failed(op, &err);
    return false;
}

static rask_bytes pack(const struct packed_struct *p, const void *row, struct bytes *to)
{
    bytes_clear(to);
    packed_struct_add(p, row, to);
    return (rask_bytes){(const char *)to->data, (uint32_t)to->len};
}

/* The bytes of a map's key, whose struct is that of the declared RASK_ROW. */
static bool pack_key(struct wk_op *op, int state, const void *key, rask_bytes *ret)
{
    const struct packed_struct *p = shape_of(op, state, true, op->ctx.states[state].map_key, 0);

    if (p)
        *ret = pack(p, key, &kept(op)->key);
    return p;
}

bool wk_ctx_load(rask_ctx *ctx, int state, const void *key, const rask_schema *schema, void *row, size_t size)
{
    struct wk_op *op = wk_op_of(ctx);
    const struct packed_struct *p;
    rask_bytes at, value;
    size_t len;

    if (!is_usable(op, state, key ? MAPS : VALUES, key ? "load_at" : "load", false))
        return false;
    p = shape_of(op, state, false, schema, size);
    if (!p || (key && !pack_key(op, state, key, &at)))
        return false;
    if (!key) {
        value.data = wk_state_read(op->state, state, ctx->key_hash, ctx->key, &len);
        value.len = value.data ? (uint32_t)len : 0;
    } else if (ctx->states[state].kind == RASK_BROADCAST
                   ? !wk_state_broadcast_get(op->state, state, at, &value)
                   : !wk_map_get(op->state, state, ctx->key_hash, ctx->key, at, &value)) {
        value.data = NULL;
    }
    return value.data && read_row(op, p, value, row);
}

int wk_ctx_store(rask_ctx *ctx, int state, const void *key, const rask_schema *schema, const void *row, size_t size)
{
    struct wk_op *op = wk_op_of(ctx);
    const struct packed_struct *p;
    struct err err = {0};
    rask_bytes at, value;
    int rc;

    if (!is_usable(op, state, key ? MAPS : BIT(RASK_VALUE), key ? "store_at" : "store", false) || !is_writable(op, state))
        return ctx->error.code;
    p = shape_of(op, state, false, schema, size);
    if (!p || (key && !pack_key(op, state, key, &at)))
        return ctx->error.code;
    value = pack(p, row, &kept(op)->value);
    if (!key)
        rc = wk_state_write(op->state, state, ctx->key_hash, ctx->key, value.data, value.len, &err);
    else if (ctx->states[state].kind == RASK_BROADCAST)
        rc = wk_state_broadcast_put(op->state, state, at, value, &err);
    else
        rc = wk_map_put(op->state, state, ctx->key_hash, ctx->key, at, value, &err);
    return rc == 0 ? 0 : failed(op, &err);
}

/* Into a reducing state: the first row as it is, others by its function. */
static int reduce(struct wk_op *op, int state, const rask_schema *schema, const void *row, size_t size)
{
    const rask_state *decl = &op->ctx.states[state];
    struct err err = {0};
    bool created;
    void *value;

    if (!decl->add)
        return rask_fail(&op->ctx, "state \"%s\" is a %s without an add function", decl->name,
                         ckpt_state_kind_name(decl->kind));
    if (!in_place(op, state, schema, size))
        return op->ctx.error.code;
    value = wk_state_get(op->state, state, op->ctx.key_hash, op->ctx.key, size, true, &created, &err);
    if (!value)
        return failed(op, &err);
    if (created)
        memcpy(value, row, size);
    else
        decl->add(value, row);
    return op->ctx.error.code;
}

int wk_ctx_add(rask_ctx *ctx, int state, const rask_schema *schema, const void *row, size_t size)
{
    struct wk_op *op = wk_op_of(ctx);
    const struct packed_struct *p;
    struct err err = {0};
    rask_bytes value;
    int rc;

    if (!is_usable(op, state, LISTS | BIT(RASK_REDUCING), "add", false))
        return ctx->error.code;
    if (ctx->states[state].kind == RASK_REDUCING)
        return reduce(op, state, schema, row, size);
    p = shape_of(op, state, false, schema, size);
    if (!p)
        return ctx->error.code;
    value = pack(p, row, &kept(op)->value);
    if (ctx->states[state].kind == RASK_LIST)
        rc = wk_list_add(op->state, state, ctx->key_hash, ctx->key, value, &err);
    else
        rc = wk_state_list_add(op->state, state, value.data, value.len, &err);
    return rc == 0 ? 0 : failed(op, &err);
}

int wk_ctx_aggregate(rask_ctx *ctx, int state, const void *more)
{
    struct wk_op *op = wk_op_of(ctx);
    const rask_state *decl;
    void *value;

    if (!is_usable(op, state, BIT(RASK_AGGREGATING), "rask_state_aggregate", false))
        return ctx->error.code;
    decl = &ctx->states[state];
    if (!decl->add)
        return rask_fail(ctx, "state \"%s\" is an aggregating state without an add function", decl->name);
    value = wk_ctx_value(ctx, state, decl->schema, packed_slot_bytes(decl->schema));
    if (!value)
        return ctx->error.code;
    decl->add(value, more);
    return ctx->error.code;
}

int wk_ctx_remove_at(rask_ctx *ctx, int state, const void *key)
{
    struct wk_op *op = wk_op_of(ctx);
    struct err err = {0};
    rask_bytes at;

    if (!is_usable(op, state, MAPS, "rask_state_remove_at", false) || !is_writable(op, state) || !pack_key(op, state, key, &at))
        return ctx->error.code;
    if (ctx->states[state].kind == RASK_BROADCAST)
        wk_state_broadcast_remove(op->state, state, at);
    else if (wk_map_remove(op->state, state, ctx->key_hash, ctx->key, at, NULL, &err) != 0)
        return failed(op, &err);
    return 0;
}

/* ---- cursors; over operator state, `next` is the number of the element ---- */

_Static_assert(sizeof(struct wk_cursor) <= sizeof(((rask_cursor *)NULL)->engine), "a cursor has room for the engine's own");

static struct wk_cursor *engine_of(const rask_cursor *cursor)
{
    return (struct wk_cursor *)(uintptr_t)cursor->engine;
}
static enum rask_state_kind kind_of(const rask_cursor *cursor)
{
    return cursor->ctx->states[cursor->state].kind;
}

void wk_ctx_cursor(rask_ctx *ctx, int state, rask_cursor *ret)
{
    struct wk_op *op = wk_op_of(ctx);
    struct wk_cursor *c = engine_of(ret);

    memset(ret->engine, 0, sizeof(ret->engine));
    if (!is_usable(op, state, LISTS | MAPS, "rask_each", false))
        return;
    c->state = op->state;
    if (kind_of(ret) < RASK_OPERATOR_LIST)
        wk_cursor_begin(c, op->state, state, ctx->key_hash, ctx->key);
}

bool wk_ctx_next(rask_cursor *cursor)
{
    struct wk_cursor *c = engine_of(cursor);

    if (!c->state)
        return false;
    if (kind_of(cursor) < RASK_OPERATOR_LIST)
        return wk_cursor_next(c);
    if (kind_of(cursor) == RASK_BROADCAST) {
        if (c->next >= wk_state_broadcast_count(c->state, cursor->state))
            return false;
        wk_state_broadcast_at(c->state, cursor->state, c->next++, &c->at, &c->value);
        return true;
    }
    if (c->next >= wk_state_list_count(c->state, cursor->state))
        return false;
    c->value = wk_state_list_get(c->state, cursor->state, c->next++);
    return true;
}

int wk_ctx_remove(rask_cursor *cursor)
{
    struct wk_op *op = wk_op_of(cursor->ctx);
    struct wk_cursor *c = engine_of(cursor);
    struct err err = {0};

    if (!c->value.data)
        return rask_fail(cursor->ctx, "rask_remove: there is no current element");
    if (!is_writable(op, cursor->state))
        return cursor->ctx->error.code;
    if (kind_of(cursor) < RASK_OPERATOR_LIST)
        return wk_cursor_remove(c, &err) == 0 ? 0 : failed(op, &err);
    wk_state_list_remove(c->state, cursor->state, --c->next);
    c->value.data = NULL;
    return 0;
}

int wk_ctx_read(const rask_cursor *cursor, bool key, const rask_schema *schema, void *row, size_t size)
{
    struct wk_op *op = wk_op_of(cursor->ctx);
    const struct wk_cursor *c = engine_of(cursor);
    const struct packed_struct *p;

    if (!c->value.data || (key && !(BIT(kind_of(cursor)) & MAPS)))
        return rask_fail(cursor->ctx, "the cursor is at no element%s", key ? " that has a key" : "");
    p = shape_of(op, cursor->state, key, schema, key ? 0 : size);
    if (!p)
        return cursor->ctx->error.code;
    if (p->size != size)
        return rask_fail(cursor->ctx, "state \"%s\": a struct of %zu bytes is not its key", cursor->ctx->states[cursor->state].name,
                         size);
    return read_row(op, p, key ? c->at : c->value, row) ? 0 : cursor->ctx->error.code;
}
