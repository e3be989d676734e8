/*
 * Property test: random rows of random schemas, nested ones too, stay what they are on every way that rows go: builder,
 * selection, gather, wire, packed row, Arrow, and in whatever order of these.  CASES in the environment says how many,
 * as does make property.
 */
#include <rask/arrow.h>

#include "common/types/key_bytes.h"
#include "common/types/packed_row.h"
#include "test/unit/common/types/model.h"

enum { CASES = 100000, ROWS_MAX = 12, WAYS_MAX = 5 };

struct property {
    struct rng rng;
    struct arena arena;
    struct pool *pool;
    const rask_schema *schema;
    rask_out *out;
    struct model_sink sink;
    struct mbatch m;
};

static void take(struct property *p, rask_batch *b, struct mrow **rows)
{
    batch_unref(p->m.b);
    p->m = (struct mbatch){b, rows};
    model_check(&p->m);
}

static struct mrow **room(struct property *p, uint32_t rows)
{
    return arena_alloc(&p->arena, (rows + 1) * sizeof(struct mrow *));
}

static void way_select(struct property *p)
{
    uint16_t keep[4 * ROWS_MAX];
    struct mrow **rows = room(p, p->m.b->rows);
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->m.b->rows; i++)
        if (rng_below(&p->rng, 3)) {
            rows[n] = p->m.rows[i];
            keep[n++] = (uint16_t)i;
        }
    take(p, batch_select(p->m.b, keep, n), rows);
}

/* Of two slices of the batch and a foreign one, in any order. */
static void way_gather(struct property *p)
{
    uint32_t n = p->m.b->rows, cut = rng_below(&p->rng, n + 1), count = 2;
    rask_batch *in[3] = {batch_slice(p->m.b, 0, cut), batch_slice(p->m.b, cut, n - cut)};
    struct mrow **rows, *more[2 * ROWS_MAX];
    uint16_t position[4 * ROWS_MAX];

    memcpy(more, p->m.rows, n * sizeof(*more));
    if (n <= ROWS_MAX && rng_below(&p->rng, 2)) {
        uint32_t fresh = 1 + rng_below(&p->rng, 4);

        for (uint32_t i = 0; i < fresh; i++) {
            more[n + i] = model_row(&p->rng, &p->arena, p->schema);
            model_put(p->out, more[n + i]);
        }
        in[count++] = out_take(p->out);
        n += fresh;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t j = rng_below(&p->rng, i + 1);

        position[i] = position[j];
        position[j] = (uint16_t)i;
    }
    rows = room(p, n);
    for (uint32_t i = 0; i < n; i++)
        rows[position[i]] = more[i];
    take(p, batch_gather(p->pool, in, count, position, n), rows);
    for (uint32_t i = 0; i < count; i++)
        batch_unref(in[i]);
}

/* There and back, and the same bytes again. */
static void way_wire(struct property *p)
{
    struct bytes bytes, again;
    rask_buffer *owner;
    rask_batch *got;
    struct err err;

    bytes_init(&bytes);
    bytes_init(&again);
    batch_encode(p->m.b, 0, p->m.b->rows, &bytes);
    owner = pool_get(p->pool, bytes.len);
    memcpy(owner->data, bytes.data, bytes.len);
    assert_int_equal(batch_decode(p->pool, p->schema, owner->data, bytes.len, owner, &got, &err), 0);
    buffer_unref(owner);
    batch_encode(got, 0, got->rows, &again);
    assert_int_equal(bytes.len, again.len);
    assert_memory_equal(bytes.data, again.data, bytes.len);
    take(p, got, p->m.rows);
    bytes_release(&bytes);
    bytes_release(&again);
}

static rask_batch *all_taken(struct property *p)
{
    rask_batch *b = out_take(p->out);

    return b ? b : batch_ref(p->m.b);
}

static void way_packed(struct property *p)
{
    struct packed_layout layout;
    struct packed_row row;
    struct bytes packed;
    struct err err;

    bytes_init(&packed);
    packed_layout_of(p->schema, &layout);
    for (uint32_t i = 0; i < p->m.b->rows; i++) {
        bytes_clear(&packed);
        packed_row_add(&layout, p->m.b, rask_position(p->m.b, i), &packed);
        assert_int_equal(packed_row_open(&layout, packed.data, packed.len, &row, &err), 0);
        p->out->event_time = p->m.rows[i]->time;
        p->out->row_kind = p->m.rows[i]->kind;
        assert_int_equal(packed_row_emit(&row, p->out), 0);
    }
    take(p, all_taken(p), p->m.rows);
    bytes_release(&packed);
}

static void way_forward(struct property *p)
{
    for (uint32_t i = 0; i < p->m.b->rows; i++) {
        rask_row row = rask_batch_row(p->m.b, i);

        p->out->event_time = p->m.rows[i]->time;
        p->out->row_kind = p->m.rows[i]->kind;
        assert_int_equal(rask_forward(p->out, &row), 0);
    }
    take(p, all_taken(p), p->m.rows);
}

static void way_arrow(struct property *p)
{
    struct ArrowSchema schema;
    struct ArrowArray array;
    rask_batch *got;

    if (p->m.b->rows == 0)
        return;
    rask_batch_to_arrow(p->m.b, &schema, &array);
    assert_int_equal(rask_batch_from_arrow(p->out, &schema, &array, 0, p->m.b->rows, &got), 0);
    array.release(&array);
    schema.release(&schema);
    for (uint32_t i = 0; i < p->m.b->rows; i++) { /* these do not travel */
        p->m.rows[i]->time = RASK_TS_MIN;
        p->m.rows[i]->kind = RASK_INSERT;
    }
    take(p, got, p->m.rows);
}

/* Of all columns that can be keys; a row's key does not depend on the way that the row went. */
static void keys_of(const struct property *p, uint64_t *ret)
{
    uint16_t columns[RASK_COLUMNS_MAX];
    uint64_t hash[4 * ROWS_MAX];
    uint32_t count = 0;

    *ret = 0;
    for (uint32_t c = 0; c < p->schema->columns; c++)
        if (schema_can_be_key(&p->schema->fields[c]))
            columns[count++] = (uint16_t)c;
    if (!count)
        return;
    key_hash_batch(p->m.b, columns, count, hash);
    for (uint32_t i = 0; i < p->m.b->rows; i++)
        *ret += hash[i];
}

static void one_case(uint64_t seed)
{
    static void (*const ways[])(struct property *) = {way_wire, way_packed, way_forward, way_arrow, way_select, way_gather};
    struct property p = {.rng = {seed}};
    uint32_t rows, count;

    arena_init(&p.arena);
    p.pool = pool_new(0);
    p.schema = model_schema(&p.rng, &p.arena, 4);
    p.out = out_new(p.pool, p.schema, BATCH_KIND | BATCH_EVENT_TIME, &model_hooks, &p.sink);
    p.out->string_limit = UINT64_MAX;
    rows = 1 + rng_below(&p.rng, ROWS_MAX);
    p.m.rows = room(&p, rows);
    for (uint32_t i = 0; i < rows; i++) {
        p.m.rows[i] = model_row(&p.rng, &p.arena, p.schema);
        model_put(p.out, p.m.rows[i]);
    }
    p.m.b = out_take(p.out);
    model_check(&p.m);
    count = 1 + rng_below(&p.rng, WAYS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t way = rng_below(&p.rng, ARRAY_LEN(ways));
        uint64_t before, after;

        keys_of(&p, &before);
        ways[way](&p);
        keys_of(&p, &after);
        if (ways[way] != way_select && ways[way] != way_gather)
            assert_int_equal(before, after);
    }
    batch_unref(p.m.b);
    out_free(p.out);
    pool_check_empty(p.pool);
    arena_release(&p.arena);
}

static void rows_stay_what_they_are(void **state)
{
    const char *wanted = getenv("CASES");
    uint64_t cases = wanted ? strtoull(wanted, NULL, 10) : CASES;

    (void)state;
    for (uint64_t seed = 1; seed <= cases; seed++)
        one_case(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_stay_what_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
