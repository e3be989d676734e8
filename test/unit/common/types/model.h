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
};
struct mrow {
    struct mcell *cells;
    rask_ts time;
    uint8_t kind;
};

static inline const rask_schema *model_schema(struct rng *r, struct arena *arena,
                                              uint32_t columns_max)
{
    rask_schema *s = arena_alloc(arena, sizeof(*s));
    uint32_t columns = 1 + rng_below(r, columns_max);
    rask_field *fields = arena_alloc(arena, columns * sizeof(*fields));
    char name[16];

    for (uint32_t i = 0; i < columns; i++) {
        snprintf(name, sizeof(name), "c%u", i);
        fields[i].name = arena_strdup(arena, name);
        fields[i].type = (uint8_t)(1 + rng_below(r, RASK_T_TIMESTAMP));
        if (rng_below(r, 3) == 0)
            fields[i].type = RASK_T_STRING;
        fields[i].nullable = rng_below(r, 3) == 0;
        if (fields[i].type == RASK_T_DECIMAL) {
            fields[i].precision = (uint8_t)(1 + rng_below(r, 38));
            fields[i].scale = (uint8_t)rng_below(r, fields[i].precision + 1u);
        }
        if (fields[i].type == RASK_T_TIMESTAMP)
            fields[i].precision = 3;
    }
    *s = (rask_schema){RASK_ABI, (uint16_t)columns, "model", fields};
    return s;
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

static inline struct mrow *model_row(struct rng *r, struct arena *arena, const rask_schema *schema)
{
    struct mrow *row = arena_alloc(arena, sizeof(*row));

    row->cells = arena_alloc(arena, schema->columns * sizeof(*row->cells));
    row->time = (rask_ts)rng_next(r);
    row->kind = (uint8_t)rng_below(r, 4);
    for (uint32_t i = 0; i < schema->columns; i++) {
        struct mcell *c = &row->cells[i];

        c->null = schema->fields[i].nullable && rng_below(r, 4) == 0;
        if (c->null)
            continue;
        if (schema_is_view(&schema->fields[i])) {
            uint32_t len = model_length(r);
            char *text = arena_alloc(arena, len + 1);

            for (uint32_t k = 0; k < len; k++)
                text[k] = (char)(k % 61 ? text[k - 1] + 1 : (char)rng_next(r));
            c->text = (rask_str){text, len};
        } else {
            uint64_t v[2] = {rng_next(r), rng_next(r)};

            memcpy(c->fixed, v, 16);
            if (schema->fields[i].type == RASK_T_BOOLEAN)
                c->fixed[0] &= 1;
        }
    }
    return row;
}

static inline void model_put(rask_out *out, const struct mrow *row)
{
    const rask_schema *schema = out->schema;

    out->event_time = row->time;
    out->row_kind = row->kind;
    assert_int_equal(rask_out_begin(out, schema), 0);
    for (uint32_t i = 0; i < schema->columns; i++) {
        uint32_t width = schema_width(&schema->fields[i]);

        if (row->cells[i].null)
            rask_out_null(out, (int)i);
        else if (schema_is_view(&schema->fields[i]))
            rask_out_string(out, (int)i, row->cells[i].text);
        else
            memcpy((uint8_t *)out->columns[i].data + (size_t)out->rows * width, row->cells[i].fixed,
                   width);
    }
    assert_int_equal(rask_out_end(out), 0);
}

static inline void model_check_row(const rask_batch *b, uint32_t i, const struct mrow *row)
{
    rask_row r = rask_batch_row(b, i);

    for (uint32_t c = 0; c < b->schema->columns; c++) {
        const struct mcell *cell = &row->cells[c];
        uint32_t width = schema_width(&b->schema->fields[c]);

        assert_int_equal(rask_is_null(&r, (int)c), cell->null);
        if (cell->null)
            continue;
        if (schema_is_view(&b->schema->fields[c])) {
            rask_str s = rask_string(&r, (int)c);

            assert_int_equal(s.len, cell->text.len);
            assert_memory_equal(s.data, cell->text.data, s.len);
        } else {
            assert_memory_equal((uint8_t *)b->columns[c].data + (size_t)r.position * width,
                                cell->fixed, width);
        }
    }
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
