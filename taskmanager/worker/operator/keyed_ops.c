/*
 * keyed_ops.c - rolling results per key: sum, min, max, count.  Each row gives one updated row.
 *
 * The key columns of a result are shared with the input batch; the result is kept per key, and with it, as in Flink, the
 * other columns of the key's first row.  When all of them have a fixed width, keys are looked up run by run and results are
 * written column by column; else the whole result row is kept as a packed row.
 */
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/types/key_bytes.h"
#include "common/types/packed_row.h"
#include "taskmanager/worker/operator/ops.h"
#include "taskmanager/worker/task/task.h"

enum rolling_kind { ROLLING_SUM, ROLLING_MIN, ROLLING_MAX, ROLLING_COUNT };

union cell {
    int64_t i;
    double f;
    rask_decimal128 d;
};
/*
 * What is kept of a key: the result in 8 or 16 bytes, then the other columns, 8 or 16 bytes each.  16 bytes for a number,
 * so that with a short key an entry is one line of the cache.
 */
struct accumulator {
    uint64_t flags;
    int64_t value[]; /* of a union cell */
};
#define HAS_VALUE 1u /* not only nulls so far */
#define HAS_ROW 2u   /* the other columns are there */
#define NULL_BIT(column) ((uint64_t)4 << (column)) /* by number of the kept column */

struct rolling {
    enum rolling_kind kind;
    uint32_t column; /* of the input; count: unused */
    uint32_t result; /* of the output */
    rask_field field;
    uint32_t value_bytes;               /* 8 or 16 */
    bool columnar;                      /* all columns beside the key have a fixed width */
    int16_t columns[RASK_COLUMNS_MAX];  /* output column -> input column, or RASK_NEW_COLUMN */
    uint32_t kept_count;
    uint16_t kept[OP_KEPT_MAX];         /* other columns, of input and output alike */
    uint16_t offset[OP_KEPT_MAX];       /* in what is kept */
    uint32_t kept_bytes;
    struct packed_layout layout;
    rask_state states[OP_STATES_MAX + 1]; /* accumulator, result row; ends with kind 0 */
    uint64_t *hash; /* RASK_BATCH_ROWS_MAX of them, owned; NULL: all batches so far had theirs */
    struct key_run keys; /* columnar form */
    struct wk_runs runs;
    bool plain_sum;      /* the sum of a BIGINT that is NOT NULL */
    __int128 decimal_limit; /* of a DECIMAL(p, s): 10^p; else 0 */
};

static int64_t load_int(const rask_field *f, const void *data, uint32_t p)
{
    switch (schema_width(f)) {
    case 1:
        return ((const int8_t *)data)[p];
    case 2:
        return ((const int16_t *)data)[p];
    case 4:
        return ((const int32_t *)data)[p];
    default:
        return ((const int64_t *)data)[p];
    }
}

static union cell load(const rask_field *f, const void *data, uint32_t p)
{
    union cell c = {.d = {0, 0}};

    if (f->type == RASK_T_FLOAT)
        c.f = (double)((const float *)data)[p];
    else if (f->type == RASK_T_DOUBLE)
        c.f = ((const double *)data)[p];
    else if (schema_width(f) == 16)
        c.d = ((const rask_decimal128 *)data)[p];
    else
        c.i = load_int(f, data, p);
    return c;
}

static void store(const rask_field *f, void *data, size_t p, union cell c)
{
    if (f->type == RASK_T_FLOAT)
        ((float *)data)[p] = (float)c.f;
    else if (f->type == RASK_T_DOUBLE)
        ((double *)data)[p] = c.f;
    else if (schema_width(f) == 16)
        ((rask_decimal128 *)data)[p] = c.d;
    else if (schema_width(f) == 8)
        ((int64_t *)data)[p] = c.i;
    else if (schema_width(f) == 4)
        ((int32_t *)data)[p] = (int32_t)c.i;
    else if (schema_width(f) == 2)
        ((int16_t *)data)[p] = (int16_t)c.i;
    else
        ((int8_t *)data)[p] = (int8_t)c.i;
}

static int compare(const rask_field *f, union cell a, union cell b)
{
    if (f->type == RASK_T_FLOAT || f->type == RASK_T_DOUBLE)
        return a.f < b.f ? -1 : a.f > b.f;
    if (schema_width(f) == 16)
        return a.d.high != b.d.high ? (a.d.high < b.d.high ? -1 : 1) : a.d.low < b.d.low ? -1 : a.d.low > b.d.low;
    return a.i < b.i ? -1 : a.i > b.i;
}

/* A DECIMAL has p digits, however wide its cell is. */
static bool fits(const struct rolling *r, union cell c)
{
    __int128 v = c.i;

    if (!r->decimal_limit)
        return true;
    if (schema_width(&r->field) == 16)
        v = (__int128)((unsigned __int128)(uint64_t)c.d.high << 64 | c.d.low);
    return v < r->decimal_limit && v > -r->decimal_limit;
}

/* false: the sum does not fit the column's cell. */
static bool add(const rask_field *f, union cell *to, union cell v)
{
    uint32_t width = schema_width(f);
    int64_t limit;

    if (f->type == RASK_T_FLOAT || f->type == RASK_T_DOUBLE) {
        to->f += v.f;
        return true;
    }
    if (width == 16) {
        bool carry = __builtin_add_overflow(to->d.low, v.d.low, &to->d.low);
        int64_t high;
        bool over = __builtin_add_overflow(to->d.high, v.d.high, &high);

        over = __builtin_add_overflow(high, (int64_t)carry, &to->d.high) || over;
        return !over;
    }
    if (__builtin_add_overflow(to->i, v.i, &to->i))
        return false;
    if (width == 8)
        return true;
    limit = (int64_t)1 << (8 * width - 1);
    return to->i >= -limit && to->i < limit;
}

static int sum_overflow(struct wk_op *op, const struct rolling *r)
{
    struct bytes type;
    int rc;

    bytes_init(&type);
    schema_format_type(&r->field, &type);
    rc = rask_fail(&op->ctx, "the sum of column \"%s\" does not fit its type any more, %s", r->field.name,
                   (const char *)type.data);
    bytes_release(&type);
    return rc;
}

/* A rolling result is the aggregate of rows that came. One that takes rows back would have to be told apart by whoever
 * reads the results, and min, max and reduce cannot forget; so changelogs are refused rather than counted as rows. */
static int insertions_only(struct wk_op *op, const rask_batch *in)
{
    static const char *const kinds[] = {"+I", "-U", "+U", "-D"};
    const uint8_t *kind = in->kind.data;
    struct bytes row;
    int rc = 0;

    for (uint32_t i = 0; kind && i < in->rows && rc == 0; i++) {
        if (kind[rask_position(in, i)] == RASK_INSERT)
            continue;
        bytes_init(&row);
        batch_format_row(in, i, 120, &row);
        rc = rask_fail(&op->ctx,
                       "%s takes insertions (+I) only, not the changes of a changelog, and was given %s %s",
                       op->desc->name, kinds[kind[rask_position(in, i)] % ARRAY_LEN(kinds)], (const char *)row.data);
        bytes_release(&row);
    }
    return rc;
}

static union cell value_of(const struct rolling *r, const struct accumulator *acc)
{
    union cell c = {.d = {0, 0}};

    memcpy(&c, acc->value, r->value_bytes);
    return c;
}
static void set_value(const struct rolling *r, struct accumulator *acc, union cell c)
{
    memcpy(acc->value, &c, r->value_bytes);
    acc->flags |= HAS_VALUE;
}

/* Whether a row with v changes what is kept; *v becomes the new value. */
static int combine(struct wk_op *op, struct rolling *r, const struct accumulator *acc, union cell *v, bool *ret_changes)
{
    union cell so_far = value_of(r, acc);
    int order;

    *ret_changes = true;
    if (r->kind == ROLLING_COUNT)
        v->i = so_far.i + 1;
    if (r->kind == ROLLING_SUM) {
        if (acc->flags & HAS_VALUE) {
            if (!add(&r->field, &so_far, *v))
                return sum_overflow(op, r);
            *v = so_far;
        }
        return fits(r, *v) ? 0 : sum_overflow(op, r);
    }
    if (r->kind == ROLLING_COUNT || !(acc->flags & HAS_VALUE))
        return 0;
    order = compare(&r->field, *v, so_far);
    *ret_changes = r->kind == ROLLING_MIN ? order < 0 : order > 0;
    return 0;
}

static int update(struct wk_op *op, struct rolling *r, struct accumulator *acc, bool null, union cell v)
{
    bool changes;
    int rc;

    if (null)
        return 0;
    rc = combine(op, r, acc, &v, &changes);
    if (rc == 0 && changes)
        set_value(r, acc, v);
    return rc;
}

static const uint64_t *hashes(struct wk_op *op, struct rolling *r, const rask_batch *in)
{
    const uint64_t *by_position = in->hash.data;

    if (by_position && !in->sel)
        return by_position + in->first;
    if (!r->hash)
        r->hash = mem_alloc_array(RASK_BATCH_ROWS_MAX, sizeof(*r->hash));
    if (by_position) {
        for (uint32_t i = 0; i < in->rows; i++)
            r->hash[i] = by_position[in->sel[i]];
    } else {
        key_hash_batch(in, op->key_columns[0], op->key_count[0], r->hash);
    }
    return r->hash;
}

/* The columnar form prefetches run by run. */
static void rolling_prepare(rask_op *ctx, int input, const rask_batch *in)
{
    struct wk_op *op = wk_op_of(ctx);

    (void)input;
    if (!((const struct rolling *)op->adapter)->columnar)
        wk_state_prepare(op->state, 0, hashes(op, op->adapter, in), in->rows);
}

static int update_with(struct wk_op *op, struct rolling *r, struct accumulator *acc, const rask_batch *in,
                       uint32_t position)
{
    bool null = false;
    union cell v = {.i = 0};

    if (r->kind != ROLLING_COUNT) {
        null = rask_column_is_null(&in->columns[r->column], position);
        v = load(&r->field, in->columns[r->column].data, position);
    }
    return update(op, r, acc, null, v);
}

static int failed_with(struct wk_op *op, const struct err *err)
{
    op->ctx.error = *err;
    return err->code;
}

static int rolling_row(struct wk_op *op, struct rolling *r, const rask_batch *in, uint32_t position, uint64_t hash,
                       struct accumulator **ret)
{
    struct err err = {0};
    rask_str key;

    bytes_clear(&op->key);
    key_bytes_of(in, op->key_columns[0], op->key_count[0], position, &op->key);
    key = (rask_str){(const char *)op->key.data, (uint32_t)op->key.len};
    *ret = wk_state_get(op->state, 0, hash, key, r->kept_bytes, true, NULL, &err);
    if (!*ret)
        return failed_with(op, &err);
    return update_with(op, r, *ret, in, position);
}

/* Cells of a run of rows, by number or, with a selection, by position. */
static inline __attribute__((always_inline)) bool add_run(struct accumulator *const *acc, uint32_t rows, const int64_t *values,
                                                          int64_t *sums, const uint16_t *at)
{
    for (uint32_t i = 0; i < rows; i++) {
        if (__builtin_add_overflow(acc[i]->value[0], values[at ? at[i] : i], &acc[i]->value[0]))
            return false;
        acc[i]->flags |= HAS_VALUE;
        sums[at ? at[i] : i] = acc[i]->value[0];
    }
    return true;
}

static int run_of_sums(struct wk_op *op, struct rolling *r, const rask_batch *in, uint32_t from,
                       struct accumulator *const *acc, rask_batch *result)
{
    const int64_t *values = in->columns[r->column].data;
    int64_t *sums = result->columns[r->result].data;
    uint32_t rows = r->keys.rows;
    bool fit;

    CHECK(result->sel == in->sel && result->first == in->first);
    if (in->sel)
        fit = add_run(acc, rows, values, sums, in->sel + from);
    else
        fit = add_run(acc, rows, values + in->first + from, sums + in->first + from, NULL);
    return fit ? 0 : sum_overflow(op, r);
}

static int run_of_any(struct wk_op *op, struct rolling *r, const rask_batch *in, uint32_t from,
                      struct accumulator *const *acc, rask_batch *result)
{
    rask_column *to = &result->columns[r->result];

    for (uint32_t i = 0; i < r->keys.rows; i++) {
        uint32_t p = rask_position(result, from + i);
        int rc = update_with(op, r, acc[i], in, rask_position(in, from + i));

        if (rc != 0)
            return rc;
        store(&r->field, to->data, p, value_of(r, acc[i]));
        if (to->validity && !(acc[i]->flags & HAS_VALUE))
            to->validity[p / 64] &= ~((uint64_t)1 << (p % 64));
    }
    return 0;
}

/* The other columns of a key's first row are kept, each at the begin of 8 or 16 bytes. */
static void keep_row(const struct rolling *r, const rask_batch *in, uint32_t position, struct accumulator *acc)
{
    acc->flags |= HAS_ROW;
    for (uint32_t k = 0; k < r->kept_count; k++) {
        const rask_column *c = &in->columns[r->kept[k]];
        uint32_t width = schema_width(&in->schema->fields[r->kept[k]]);

        if (rask_column_is_null(c, position))
            acc->flags |= NULL_BIT(k);
        else
            memcpy((char *)acc + r->offset[k], (const char *)c->data + (size_t)position * width, width);
    }
}

/* A kept column of a run of rows, written into the result. */
static void give_column(const struct rolling *r, uint32_t k, uint32_t from, struct accumulator *const *acc, rask_batch *result)
{
    rask_column *to = &result->columns[r->kept[k]];
    uint32_t width = schema_width(&result->schema->fields[r->kept[k]]), offset = r->offset[k];

    if (width == 8) {
        uint64_t *cells = to->data;

        for (uint32_t i = 0; i < r->keys.rows; i++)
            memcpy(&cells[rask_position(result, from + i)], (const char *)acc[i] + offset, 8);
    } else {
        for (uint32_t i = 0; i < r->keys.rows; i++)
            memcpy((char *)to->data + (size_t)rask_position(result, from + i) * width, (const char *)acc[i] + offset, width);
    }
    for (uint32_t i = 0; to->validity && i < r->keys.rows; i++) {
        uint32_t p = rask_position(result, from + i);

        if (acc[i]->flags & NULL_BIT(k))
            to->validity[p / 64] &= ~((uint64_t)1 << (p % 64));
    }
}

static int update_run(struct wk_op *op, struct rolling *r, const rask_batch *in, uint32_t from, rask_batch *result)
{
    void *found[KEY_RUN_ROWS];
    struct accumulator *const *acc = (struct accumulator *const *)found;
    int rc;

    key_run_fill(&r->keys, in, op->key_columns[0], op->key_count[0], from, MIN(in->rows - from, (uint32_t)KEY_RUN_ROWS));
    rc = wk_runs_next(&r->runs, &r->keys, r->kept_bytes, found, &op->ctx.error);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; r->kept_count > 0 && i < r->keys.rows; i++)
        if (!(acc[i]->flags & HAS_ROW))
            keep_row(r, in, rask_position(in, from + i), acc[i]);
    rc = (r->plain_sum ? run_of_sums : run_of_any)(op, r, in, from, acc, result);
    for (uint32_t k = 0; k < r->kept_count && rc == 0; k++)
        give_column(r, k, from, acc, result);
    return rc;
}

static int process_columns(struct wk_op *op, struct rolling *r, const rask_batch *in, const uint64_t *hash)
{
    rask_batch *result = batch_derive(wk_task_pool(op), (rask_batch *)(uintptr_t)in, op->ctx.out->schema, r->columns);
    int rc = wk_runs_begin(&r->runs, op->state, 0, hash, in->rows, &op->ctx.error);

    for (uint32_t i = 0; i < in->rows && rc == 0; i += KEY_RUN_ROWS)
        rc = update_run(op, r, in, i, result);
    if (rc == 0)
        return rask_emit_batch(op->ctx.out, &result);
    batch_unref(result);
    return rc;
}

/* One row of the general form: the packed result row of the key is changed in its slot and emitted. */
static int packed_step(struct wk_op *op, struct rolling *r, const rask_batch *in, uint32_t position, uint64_t hash)
{
    struct accumulator *acc;
    struct bytes fresh;
    struct packed_row row;
    struct err err = {0};
    size_t len = 0;
    rask_str key;
    const void *kept;
    int rc = rolling_row(op, r, in, position, hash, &acc);

    if (rc != 0)
        return rc;
    key = (rask_str){(const char *)op->key.data, (uint32_t)op->key.len};
    kept = wk_state_read(op->state, 1, hash, key, &len);
    if (!kept) {
        bytes_init(&fresh);
        packed_row_add(&r->layout, in, position, &fresh);
        rc = wk_state_write(op->state, 1, hash, key, fresh.data, fresh.len, &err);
        bytes_release(&fresh);
        kept = rc == 0 ? wk_state_read(op->state, 1, hash, key, &len) : NULL;
    }
    if (rc == 0 && (acc->flags & HAS_VALUE)) { /* in place: of this epoch alone */
        uint8_t *bits;

        kept = wk_state_get(op->state, 1, hash, key, len, true, NULL, &err);
        if (!kept)
            return failed_with(op, &err);
        bits = (uint8_t *)(uintptr_t)kept + r->result / 8;

        *bits &= (uint8_t) ~(1u << (r->result % 8));
        store(&r->field, (char *)(uintptr_t)kept + r->layout.slot[r->result], 0, value_of(r, acc));
    }
    if (rc == 0)
        rc = packed_row_open(&r->layout, kept, len, &row, &err);
    if (rc != 0)
        return failed_with(op, &err);
    wk_op_time_of(op->ctx.out, in, position);
    return packed_row_emit(&row, op->ctx.out);
}

static int rolling_process(rask_op *ctx, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    struct wk_op *op = wk_op_of(ctx);
    struct rolling *r = op->adapter;
    const uint64_t *hash = hashes(op, r, in);
    uint32_t i = from;
    int rc = insertions_only(op, in);

    (void)input;
    if (rc == 0 && r->columnar) {
        CHECK(from == 0);
        *ret_consumed = in->rows;
        return process_columns(op, r, in, hash);
    }
    while (i < in->rows && rc == 0 && !op->full) {
        rc = packed_step(op, r, in, rask_position(in, i), hash[i]);
        i++;
    }
    *ret_consumed = i - from;
    return rc;
}

static void rolling_close(rask_op *ctx)
{
    struct rolling *r = wk_op_of(ctx)->adapter;

    bytes_release(&r->keys.text);
    mem_free(r->hash);
    r->hash = NULL;
}

const rask_operator wk_sum_op = {
    .abi = RASK_ABI, .name = OP_SUM, .prepare = rolling_prepare, .process = rolling_process, .close = rolling_close};
const rask_operator wk_count_op = {
    .abi = RASK_ABI, .name = OP_COUNT, .prepare = rolling_prepare, .process = rolling_process, .close = rolling_close};

static bool is_key(const struct wk_op *op, uint32_t column)
{
    for (uint32_t i = 0; i < op->key_count[0]; i++)
        if (op->key_columns[0][i] == column)
            return true;
    return false;
}

/* They end with kind 0. Returns how many. */
static uint32_t own_states(struct wk_op *op, rask_state states[OP_STATES_MAX + 1])
{
    struct graph_op_state own[OP_STATES_MAX];
    uint32_t n = graph_op_states(op->node, &op->names, own);

    for (uint32_t i = 0; i < n; i++)
        states[i] = (rask_state){.kind = (enum rask_state_kind)own[i].kind, .name = own[i].name, .map_key = own[i].row};
    op->ctx.states = states;
    return n;
}

static struct rolling *rolling_new(struct wk_op *op, enum rolling_kind kind)
{
    struct rolling *r = MEM_NEW(struct rolling);

    r->kind = kind;
    bytes_init(&r->keys.text);
    op->adapter = r;
    r->columnar = own_states(op, r->states) == 1;
    return r;
}

/* What is shared with the input, and what is kept behind the value. */
static void keep_columns(const struct wk_op *op, struct rolling *r, const rask_schema *schema)
{
    for (uint32_t i = 0; i < schema->columns; i++) {
        const rask_field *f = &schema->fields[i];

        r->columns[i] = is_key(op, i) && i != r->column ? (int16_t)i : RASK_NEW_COLUMN;
        if (r->columns[i] != RASK_NEW_COLUMN || i == r->column)
            continue;
        r->kept[r->kept_count] = (uint16_t)i;
        r->offset[r->kept_count++] = (uint16_t)r->kept_bytes;
        r->kept_bytes += schema_width(f) == 16 ? 16 : 8;
    }
}

int wk_rolling_init(struct wk_op *op, struct err *err)
{
    const char *type = op->node->op->type, *name = wk_op_property(op, "column", "");
    struct rolling *r = rolling_new(op, strcmp(type, OP_SUM) == 0   ? ROLLING_SUM
                                        : strcmp(type, OP_MIN) == 0 ? ROLLING_MIN
                                                                    : ROLLING_MAX);
    const rask_schema *schema = op->ctx.out->schema;
    int column = schema_column(schema, name);

    if (column < 0)
        return err_set(err, ERR_INVALID, "operator \"%s\": no column \"%s\"", op->node->name, name);
    r->column = r->result = (uint32_t)column;
    r->field = schema->fields[column];
    if (schema_is_view(&r->field) || r->field.type >= RASK_T_ARRAY)
        return err_set(err, ERR_INVALID, "operator \"%s\": column \"%s\" is not a number or a time", op->node->name, name);
    r->decimal_limit = r->field.type == RASK_T_DECIMAL;
    for (uint32_t i = 0; r->decimal_limit && i < r->field.precision; i++)
        r->decimal_limit *= 10;
    r->plain_sum = r->kind == ROLLING_SUM && r->field.type == RASK_T_BIGINT && !r->field.nullable;
    r->value_bytes = schema_width(&r->field) == 16 ? 16 : 8;
    r->kept_bytes = (uint32_t)sizeof(uint64_t) + r->value_bytes;
    if (r->columnar)
        keep_columns(op, r, schema);
    packed_layout_of(schema, &r->layout);
    return 0;
}

int wk_count_init(struct wk_op *op, struct err *err)
{
    struct rolling *r = rolling_new(op, ROLLING_COUNT);
    const rask_schema *schema = op->ctx.out->schema;

    if (schema->columns != op->key_count[0] + 1 || schema->fields[schema->columns - 1].type != RASK_T_BIGINT)
        return err_set(err, ERR_INVALID, "operator \"%s\": the output is not the key columns and a BIGINT", op->node->name);
    r->result = schema->columns - 1u;
    r->field = schema->fields[r->result];
    for (uint32_t i = 0; i < op->key_count[0]; i++)
        r->columns[i] = (int16_t)op->key_columns[0][i];
    r->columns[r->result] = RASK_NEW_COLUMN;
    r->value_bytes = 8;
    r->kept_bytes = (uint32_t)sizeof(uint64_t) + r->value_bytes;
    return 0;
}

/* ---- reduce ---- */

struct reduce {
    struct packed_layout layout;
    rask_state states[OP_STATES_MAX + 1];
    rask_out *so_far, *next; /* builders of one row */
    struct bytes packed;
};

static int reduce_refused(rask_out *out, void *arg, const char *text)
{
    struct wk_op *op = arg;

    (void)out;
    if (!op->ctx.error.code)
        err_set(&op->ctx.error, ERR_INVALID, "%s", text);
    return op->ctx.error.code;
}
static int reduce_full(rask_out *out, void *arg)
{
    (void)out;
    (void)arg;
    return 0; /* one row is taken after each call */
}
static const struct out_hooks reduce_hooks = {.full = reduce_full, .refused = reduce_refused};

int wk_reduce_init(struct wk_op *op, struct err *err)
{
    struct reduce *r = MEM_NEW(struct reduce);
    const rask_schema *schema = op->ctx.out->schema;

    (void)err;
    op->adapter = r;
    own_states(op, r->states);
    packed_layout_of(schema, &r->layout);
    bytes_init(&r->packed);
    return 0;
}

/* Not before: close undoes it, and follows open alone. */
static int reduce_open(rask_ctx *ctx)
{
    struct wk_op *op = wk_op_of(ctx);
    struct reduce *r = op->adapter;

    r->so_far = out_new(wk_task_pool(op), ctx->out->schema, 0, &reduce_hooks, op);
    r->next = out_new(wk_task_pool(op), ctx->out->schema, 0, &reduce_hooks, op);
    return 0;
}

static int reduce_combine(struct wk_op *op, struct reduce *r, const void *kept, size_t len, const rask_row *row,
                          rask_batch **ret)
{
    rask_reduce_fn *fn = (rask_reduce_fn *)(uintptr_t)op->code;
    struct packed_row packed;
    rask_batch *before;
    rask_row so_far;
    int rc = packed_row_open(&r->layout, kept, len, &packed, &op->ctx.error);

    if (rc == 0)
        rc = packed_row_emit(&packed, r->so_far);
    if (rc != 0)
        return rc;
    before = out_take(r->so_far);
    so_far = rask_batch_row(before, 0);
    rc = fn(&op->ctx, &so_far, row, r->next);
    batch_unref(before);
    *ret = out_take(r->next);
    if (rc == 0 && (!*ret || (*ret)->rows != 1))
        rc = rask_fail(&op->ctx, "a reduce function emits exactly one row, this one emitted %u", *ret ? (*ret)->rows : 0);
    if (rc != 0) {
        batch_unref(*ret);
        *ret = NULL;
    }
    return rc;
}

static int reduce_row(struct wk_op *op, struct reduce *r, int input, const rask_row *row)
{
    rask_batch *result = NULL;
    rask_row next = *row;
    struct err err = {0};
    size_t len = 0;
    const void *kept;
    int rc = wk_op_set_key(op, input, row);

    if (rc != 0)
        return rc;
    kept = wk_state_read(op->state, 0, op->ctx.key_hash, op->ctx.key, &len);
    if (kept) {
        rc = reduce_combine(op, r, kept, len, row, &result);
        if (rc != 0)
            return rc;
        next = rask_batch_row(result, 0);
    }
    bytes_clear(&r->packed);
    packed_row_add(&r->layout, next.batch, next.position, &r->packed);
    rc = wk_state_write(op->state, 0, op->ctx.key_hash, op->ctx.key, r->packed.data, r->packed.len, &err);
    wk_op_time_of(op->ctx.out, row->batch, row->position); /* `next` has none of its own, or this one */
    if (rc != 0)
        op->ctx.error = err;
    else
        rc = rask_forward(op->ctx.out, &next);
    batch_unref(result);
    return rc;
}

static int reduce_process(rask_op *ctx, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    struct wk_op *op = wk_op_of(ctx);
    uint32_t i = from;
    int rc = insertions_only(op, in);

    while (i < in->rows && rc == 0 && !wk_op_stops(op, i - from)) {
        rask_row row = rask_batch_row(in, i);

        rc = reduce_row(op, op->adapter, input, &row);
        i++;
    }
    *ret_consumed = i - from;
    return rc;
}

static void reduce_close(rask_op *ctx)
{
    struct reduce *r = wk_op_of(ctx)->adapter;

    out_free(r->so_far);
    out_free(r->next);
    bytes_release(&r->packed);
    r->so_far = r->next = NULL;
}

const rask_operator wk_reduce_op = {.abi = RASK_ABI, .name = OP_REDUCE, .open = reduce_open, .process = reduce_process, .close = reduce_close};
