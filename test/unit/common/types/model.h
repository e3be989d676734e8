/*
 * model.h - a naive model of rows for the tests of common/types: every row is a plain struct,
 * nothing is shared. Random schemas and rows come from a seed.  Included by one test each; not a
 * module.
 */
#ifndef TEST_TYPES_MODEL_H
#define TEST_TYPES_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/types/batch.h"

/* ---- numbers ---- */

struct rng {
    uint64_t s;
};
static inline uint64_t rng_next(struct rng *r) /* splitmix64 */
{
    uint64_t z = r->s += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
static inline uint32_t rng_below(struct rng *r, uint32_t n)
{
    return (uint32_t)((rng_next(r) >> 32) * n >> 32);
}

/* ---- rows ---- */

struct mcell {
    bool null;
    uint8_t fixed[16];
    rask_str text;
    struct mrow **inside; /* ARRAY, MAP, ROW */
    uint32_t count;
};
struct mrow {
    struct mcell *cells;
    rask_ts time;
    uint8_t kind;
};

enum { MODEL_DEPTH = 4 };

static inline const rask_schema *model_schema_at(struct rng *r, struct arena *arena, uint32_t columns,
                                                 uint32_t depth);

static inline void model_type(struct rng *r, struct arena *arena, rask_field *f, uint32_t depth)
{
    f->type = (uint8_t)(1 + rng_below(r, depth < MODEL_DEPTH ? RASK_T_ROW : RASK_T_TIMESTAMP));
    if (rng_below(r, 3) == 0)
        f->type = RASK_T_STRING;
    f->nullable = rng_below(r, 3) == 0;
    if (f->type == RASK_T_DECIMAL) {
        f->precision = (uint8_t)(1 + rng_below(r, 38));
        f->scale = (uint8_t)rng_below(r, f->precision + 1u);
    }
    if (f->type == RASK_T_TIMESTAMP)
        f->precision = 3;
    if (f->type == RASK_T_ARRAY)
        f->child = model_schema_at(r, arena, 1, depth + 1);
    if (f->type == RASK_T_MAP)
        f->child = model_schema_at(r, arena, 2, depth + 1);
    if (f->type == RASK_T_ROW)
        f->child = model_schema_at(r, arena, 1 + rng_below(r, 4), depth + 1);
    if (f->type == RASK_T_ARRAY)
        ((rask_field *)(uintptr_t)f->child->fields)[0].name = "element";
    if (f->type == RASK_T_MAP) {
        ((rask_field *)(uintptr_t)f->child->fields)[0].name = "key";
        ((rask_field *)(uintptr_t)f->child->fields)[0].nullable = 0;
        ((rask_field *)(uintptr_t)f->child->fields)[1].name = "value";
    }
}

static inline const rask_schema *model_schema_at(struct rng *r, struct arena *arena, uint32_t columns,
                                                 uint32_t depth)
{
    rask_schema *s = arena_alloc(arena, sizeof(*s));
    rask_field *fields = arena_alloc(arena, columns * sizeof(*fields));
    char name[16];

    for (uint32_t i = 0; i < columns; i++) {
        snprintf(name, sizeof(name), "c%u", i);
        fields[i].name = arena_strdup(arena, name);
        model_type(r, arena, &fields[i], depth);
    }
    *s = (rask_schema){RASK_ABI, (uint16_t)columns, "model", fields};
    return s;
}

/* Nested ones too. */
static inline const rask_schema *model_schema(struct rng *r, struct arena *arena,
                                              uint32_t columns_max)
{
    return model_schema_at(r, arena, 1 + rng_below(r, columns_max), 0);
}

/* Columns without ARRAY, MAP and ROW. */
static inline const rask_schema *model_plain_schema(struct rng *r, struct arena *arena,
                                                    uint32_t columns_max)
{
    return model_schema_at(r, arena, 1 + rng_below(r, columns_max), MODEL_DEPTH);
}

static inline uint32_t model_length(struct rng *r)
{
    switch (rng_below(r, 400)) {
    case 0:
        return rng_below(r, 100 * 1024);
    case 1 ... 10:
        return rng_below(r, 4096);
    case 11 ... 150:
        return 13 + rng_below(r, 60);
    default:
        return rng_below(r, 14);
    }
}

static inline struct mrow *model_row(struct rng *r, struct arena *arena, const rask_schema *schema);

static inline void model_cell(struct rng *r, struct arena *arena, const rask_field *f, struct mcell *c)
{
    uint64_t v[2] = {rng_next(r), rng_next(r)};

    c->null = f->nullable && rng_below(r, 4) == 0;
    if (c->null)
        return;
    if (schema_is_view(f)) {
        uint32_t len = model_length(r);
        char *text = arena_alloc(arena, len + 1);

        for (uint32_t k = 0; k < len; k++)
            text[k] = (char)(k % 61 ? text[k - 1] + 1 : (char)rng_next(r));
        c->text = (rask_str){text, len};
    } else if (schema_is_nested(f)) {
        c->count = f->type == RASK_T_ROW ? 1 : rng_below(r, rng_below(r, 50) ? 4 : 60);
        c->inside = arena_alloc(arena, (c->count + 1) * sizeof(struct mrow *));
        for (uint32_t i = 0; i < c->count; i++)
            c->inside[i] = model_row(r, arena, f->child);
    } else {
        if (f->type == RASK_T_BOOLEAN)
            v[0] &= 1;
        memcpy(c->fixed, v, schema_width(f));
    }
}

static inline struct mrow *model_row(struct rng *r, struct arena *arena, const rask_schema *schema)
{
    struct mrow *row = arena_alloc(arena, sizeof(*row));

    row->cells = arena_alloc(arena, schema->columns * sizeof(*row->cells));
    row->time = (rask_ts)rng_next(r);
    row->kind = (uint8_t)rng_below(r, 4);
    for (uint32_t i = 0; i < schema->columns; i++)
        model_cell(r, arena, &schema->fields[i], &row->cells[i]);
    return row;
}

static inline void model_put_cells(rask_out *out, const rask_schema *schema, const struct mrow *row);

static inline void model_put_inside(rask_out *out, uint32_t column, const rask_field *f,
                                    const struct mcell *cell)
{
    bool rows = f->type == RASK_T_ARRAY && f->child->fields[0].type == RASK_T_ROW;
    rask_out *to = rask_out_nested(out, (int)column);

    for (uint32_t i = 0; i < cell->count; i++) {
        const struct mcell *element = &cell->inside[i]->cells[0];

        if (rows && element->null) {
            assert_int_equal(rask_out_null_row(to), 0);
            continue;
        }
        assert_int_equal(rask_out_begin(to, to->schema), 0);
        if (rows)
            model_put_cells(to, f->child->fields[0].child, element->inside[0]);
        else
            model_put_cells(to, f->child, cell->inside[i]);
        assert_int_equal(rask_out_end(to), 0);
    }
}

static inline void model_put_cells(rask_out *out, const rask_schema *schema, const struct mrow *row)
{
    for (uint32_t i = 0; i < schema->columns; i++) {
        uint32_t width = schema_width(&schema->fields[i]);

        if (row->cells[i].null)
            rask_out_null(out, (int)i);
        else if (schema_is_nested(&schema->fields[i]))
            model_put_inside(out, i, &schema->fields[i], &row->cells[i]);
        else if (schema_is_view(&schema->fields[i]))
            rask_out_string(out, (int)i, row->cells[i].text);
        else
            memcpy((uint8_t *)out->columns[i].data + (size_t)out->rows * width, row->cells[i].fixed,
                   width);
    }
}

static inline void model_put(rask_out *out, const struct mrow *row)
{
    out->event_time = row->time;
    out->row_kind = row->kind;
    assert_int_equal(rask_out_begin(out, out->schema), 0);
    model_put_cells(out, out->schema, row);
    assert_int_equal(rask_out_end(out), 0);
}

static inline void model_check_cells(const rask_row *r, const struct mrow *row)
{
    const rask_batch *b = r->batch;

    for (uint32_t c = 0; c < b->schema->columns; c++) {
        const struct mcell *cell = &row->cells[c];
        const rask_field *f = &b->schema->fields[c];
        uint32_t width = schema_width(f);

        assert_int_equal(rask_is_null(r, (int)c), cell->null);
        if (schema_is_view(f)) {
            rask_str s = rask_string(r, (int)c);

            assert_int_equal(s.len, cell->text.len);
            assert_memory_equal(s.data, cell->text.data, s.len);
        } else if (schema_is_nested(f)) {
            rask_array a = rask_array_at(r, (int)c);

            assert_int_equal(a.count, cell->count);
            assert_true(a.first + a.count <= a.rows->positions || a.count == 0);
            for (uint32_t i = 0; i < a.count; i++)
                model_check_cells(&(rask_row){a.rows, a.first + i}, cell->inside[i]);
        } else if (!cell->null) {
            assert_memory_equal((uint8_t *)b->columns[c].data + (size_t)r->position * width,
                                cell->fixed, width);
        }
    }
}

static inline void model_check_row(const rask_batch *b, uint32_t i, const struct mrow *row)
{
    rask_row r = rask_batch_row(b, i);

    model_check_cells(&r, row);
    if (b->event_time.data)
        assert_int_equal(((rask_ts *)b->event_time.data)[r.position], row->time);
    assert_int_equal(b->kind.data ? ((uint8_t *)b->kind.data)[r.position] : 0,
                     b->kind.data ? row->kind : 0);
}

/* A batch and what must be in it. */
struct mbatch {
    rask_batch *b;
    struct mrow **rows; /* in the arena */
};
static inline void model_check(const struct mbatch *m)
{
    for (uint32_t i = 0; i < m->b->rows; i++)
        model_check_row(m->b, i, m->rows[i]);
}

/* ---- hooks that keep what comes out ---- */

struct model_sink {
    rask_batch *batches[64];
    uint32_t count;
    char refused[1024];
};
static inline int model_full(rask_out *out, void *arg)
{
    struct model_sink *s = arg;

    assert_true(s->count < ARRAY_LEN(s->batches));
    s->batches[s->count++] = out_take(out);
    return 0;
}
static inline int model_batch(rask_out *out, void *arg, rask_batch **batch)
{
    struct model_sink *s = arg;

    (void)out;
    assert_true(s->count < ARRAY_LEN(s->batches));
    s->batches[s->count++] = *batch;
    *batch = NULL;
    return 0;
}
static inline int model_refused(rask_out *out, void *arg, const char *text)
{
    struct model_sink *s = arg;

    (void)out;
    snprintf(s->refused, sizeof(s->refused), "%s", text);
    return ERR_INVALID;
}
static const struct out_hooks model_hooks = {model_full, model_batch, model_refused};

static inline void pool_check_empty(struct pool *pool)
{
    struct pool_stats stats;

    pool_stats(pool, &stats);
    assert_int_equal(stats.in_use_bytes, 0);
    pool_free(pool);
}

#endif
