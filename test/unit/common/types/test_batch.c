/* Batches against the naive model: slices of slices, selections, gathers, forwards, encode and
 * decode. */
#include <rask/make.h>

#include "test/unit/common/types/model.h"

enum { LIVE_MAX = 24, ROUNDS = 400, STEPS = 25 };

struct world {
    struct rng rng;
    struct arena arena;
    struct pool *pool;
    const rask_schema *schema;
    struct mbatch live[LIVE_MAX];
    uint32_t count;
    uint32_t cases;
};

static void world_add(struct world *w, rask_batch *b, struct mrow **rows)
{
    struct mbatch m = {b, rows};

    model_check(&m);
    w->cases++;
    if (w->count == LIVE_MAX) {
        uint32_t victim = rng_below(&w->rng, LIVE_MAX);

        batch_unref(w->live[victim].b);
        w->live[victim] = m;
        return;
    }
    w->live[w->count++] = m;
}

static struct mrow **rows_new(struct world *w, uint32_t rows)
{
    return arena_alloc(&w->arena, (rows + 1) * sizeof(struct mrow *));
}

static void step_build(struct world *w, rask_out *out)
{
    uint32_t rows = 1 + rng_below(&w->rng, rng_below(&w->rng, 4) ? 20 : 300);
    struct mrow **model = rows_new(w, rows);
    uint32_t done = 0;
    struct model_sink *sink = out_arg(out);
    rask_batch *rest;

    for (uint32_t i = 0; i < rows; i++) {
        model[i] = model_row(&w->rng, &w->arena, w->schema);
        model_put(out, model[i]);
    }
    rest = out_take(out);
    if (rest)
        sink->batches[sink->count++] = rest;
    for (uint32_t i = 0; i < sink->count; i++) {
        uint32_t n = sink->batches[i]->rows;

        world_add(w, sink->batches[i], model + done);
        done += n;
    }
    sink->count = 0;
    assert_int_equal(done, rows);
}

struct loan {
    struct batch_lender lender;
    rask_batch *b;
};
static uint32_t loans; /* not given back yet */

static void loan_back(struct batch_lender *lender)
{
    struct loan *loan = CONTAINER_OF(lender, struct loan, lender);

    batch_unref(loan->b);
    mem_free(loan);
    loans--;
}

/* Of a batch that only the lender keeps. */
static rask_batch *slice_lent(rask_batch *b, uint32_t from_row, uint32_t rows)
{
    struct loan *loan = MEM_NEW(struct loan);

    loan->lender.back = loan_back;
    loan->b = batch_ref(b);
    loans++;
    return batch_slice_lent(b, from_row, rows, &loan->lender);
}

static void step_slice(struct world *w, const struct mbatch *from)
{
    uint32_t at = rng_below(&w->rng, from->b->rows + 1),
             rows = rng_below(&w->rng, from->b->rows - at + 1);

    world_add(w, rng_below(&w->rng, 2) ? batch_slice(from->b, at, rows) : slice_lent(from->b, at, rows), from->rows + at);
}

static void step_select(struct world *w, const struct mbatch *from)
{
    struct mrow **model = rows_new(w, from->b->rows);
    uint16_t *keep = mem_alloc_array(from->b->rows + 1, sizeof(*keep));
    uint32_t n = 0, one_in = 1 + rng_below(&w->rng, 4);

    for (uint32_t i = 0; i < from->b->rows; i++) {
        if (rng_below(&w->rng, one_in))
            continue;
        model[n] = from->rows[i];
        keep[n++] = (uint16_t)i;
    }
    world_add(w, batch_select(from->b, keep, n), model);
    mem_free(keep);
}

static void step_gather(struct world *w)
{
    rask_batch *in[LIVE_MAX];
    struct mrow **model;
    uint16_t *position;
    uint32_t inputs = 1 + rng_below(&w->rng, 6), rows = 0, k = 0;

    for (uint32_t i = 0; i < inputs; i++) {
        in[i] = w->live[(rng_below(&w->rng, w->count) + i) % w->count].b;
        rows += in[i]->rows;
    }
    if (rows > 4096)
        return;
    position = mem_alloc_array(rows + 1, sizeof(*position));
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t j = rng_below(&w->rng, i + 1);

        position[i] = position[j];
        position[j] = (uint16_t)i;
    }
    model = rows_new(w, rows);
    for (uint32_t i = 0; i < inputs; i++)
        for (uint32_t l = 0; l < w->count; l++)
            if (w->live[l].b == in[i]) {
                for (uint32_t r = 0; r < in[i]->rows; r++)
                    model[position[k++]] = w->live[l].rows[r];
                break;
            }
    world_add(w, batch_gather(w->pool, in, inputs, position, rows), model);
    mem_free(position);
}

static void step_join(struct world *w)
{
    struct batch_part parts[20];
    struct mrow **model;
    uint32_t count = 0, wanted = 1 + rng_below(&w->rng, 20), rows = 0, k = 0;

    for (uint32_t i = 0; i < wanted; i++) {
        rask_batch *from = w->live[rng_below(&w->rng, w->count)].b;
        uint32_t first = rng_below(&w->rng, from->rows + 1), n = rng_below(&w->rng, from->rows - first + 1);

        if (n == 0 || rows + n > 4096)
            continue;
        parts[count++] = (struct batch_part){from, first, n};
        rows += n;
    }
    if (count == 0)
        return;
    model = rows_new(w, rows);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t l = 0; l < w->count; l++)
            if (w->live[l].b == parts[i].from) {
                for (uint32_t r = 0; r < parts[i].rows; r++)
                    model[k++] = w->live[l].rows[parts[i].first + r];
                break;
            }
    world_add(w, batch_join(w->pool, parts, count), model);
}

/* In pieces it is the same. */
static void check_pieces(const rask_batch *b, uint32_t from, uint32_t rows, const struct bytes *whole)
{
    struct batch_piece pieces[BATCH_PIECES_MAX];
    struct bytes out, joined;
    uint32_t n;

    bytes_init(&out);
    bytes_init(&joined);
    bytes_add_str(&out, "before");
    n = batch_encode_pieces(b, from, rows, &out, pieces);
    for (uint32_t i = 0; i < n; i++)
        bytes_add(&joined, pieces[i].data ? pieces[i].data : out.data + pieces[i].at, pieces[i].len);
    if (n > 0) {
        assert_int_equal(joined.len, whole->len);
        assert_memory_equal(joined.data, whole->data, whole->len);
    } else {
        assert_int_equal(out.len, 6);
    }
    bytes_release(&joined);
    bytes_release(&out);
}

static rask_batch *through_bytes(struct world *w, const rask_batch *b, uint32_t from, uint32_t rows)
{
    struct bytes bytes;
    rask_buffer *owner;
    rask_batch *got;
    struct err err;

    bytes_init(&bytes);
    batch_encode(b, from, rows, &bytes);
    check_pieces(b, from, rows, &bytes);
    owner = pool_get(w->pool, bytes.len);
    memcpy(owner->data, bytes.data, bytes.len);
    assert_int_equal(batch_decode(w->pool, w->schema, owner->data, bytes.len, owner, &got, &err),
                     0);
    buffer_unref(owner);
    bytes_release(&bytes);
    return got;
}

static void step_code(struct world *w, const struct mbatch *from)
{
    uint32_t at = rng_below(&w->rng, from->b->rows + 1),
             rows = rng_below(&w->rng, from->b->rows - at + 1);
    rask_batch *got = through_bytes(w, from->b, at, rows);

    assert_int_equal(got->rows, rows);
    world_add(w, got, from->rows + at);
}

static void step_forward(struct world *w, rask_out *out)
{
    struct model_sink *sink = out_arg(out);
    struct mrow **model = rows_new(w, 600);
    uint32_t rows = 0, done = 0;
    rask_batch *rest;

    for (uint32_t i = 0; i < 5; i++) {
        const struct mbatch *from = &w->live[rng_below(&w->rng, w->count)];

        for (uint32_t r = 0; r < from->b->rows && r < 100; r++) {
            rask_row row = rask_batch_row(from->b, r);

            if (rng_below(&w->rng, 3) == 0)
                continue;
            out->event_time = from->rows[r]->time;
            out->row_kind = from->rows[r]->kind;
            assert_int_equal(rask_forward(out, &row), 0);
            model[rows++] = from->rows[r];
        }
    }
    rest = out_take(out);
    if (rest)
        sink->batches[sink->count++] = rest;
    for (uint32_t i = 0; i < sink->count; i++) {
        uint32_t n = sink->batches[i]->rows;

        world_add(w, sink->batches[i], model + done);
        done += n;
    }
    sink->count = 0;
    assert_int_equal(done, rows);
}

static void derive_column(rask_batch *b, uint32_t c, struct mrow **rows, rask_buffer *text);

/* What is inside the cells of a new column. */
static void derive_inside(rask_batch *b, uint32_t c, struct mrow **rows, rask_buffer *text)
{
    struct mrow **inside;
    uint32_t count = 0;
    rask_batch *child;

    for (uint32_t i = 0; i < b->rows; i++)
        count += rows[i]->cells[c].count;
    inside = mem_alloc_array(count + 1, sizeof(struct mrow *));
    count = 0;
    for (uint32_t i = 0; i < b->rows; i++) {
        const struct mcell *cell = &rows[i]->cells[c];
        rask_span span = {cell->null ? 0 : count, cell->count};

        ((rask_span *)b->columns[c].data)[rask_position(b, i)] = span;
        for (uint32_t k = 0; k < cell->count; k++)
            inside[count++] = cell->inside[k];
    }
    child = rask_batch_inside(b, (int)c, count);
    for (uint32_t k = 0; k < child->schema->columns; k++)
        derive_column(child, k, inside, text);
    mem_free(inside);
}

/* Writes the cells of a new column; long strings go to text. */
static void derive_column(rask_batch *b, uint32_t c, struct mrow **rows, rask_buffer *text)
{
    const rask_field *f = &b->schema->fields[c];
    uint32_t width = schema_width(f);

    for (uint32_t i = 0; i < b->rows; i++) {
        const struct mcell *cell = &rows[i]->cells[c];
        uint32_t at = text->used, p = rask_position(b, i);

        if (cell->null) {
            rask_cell_null(&b->columns[c], p);
            memset((uint8_t *)b->columns[c].data + (uint64_t)p * width, 0, width);
        } else if (schema_is_view(f)) {
            CHECK(text->capacity - at >= cell->text.len);
            if (cell->text.len)
                memcpy(text->data + at, cell->text.data, cell->text.len);
            text->used += cell->text.len;
            ((rask_view *)b->columns[c].data)[p] =
                rask_view_at(text, batch_add_buffer(b, text), at, cell->text.len);
        } else {
            memcpy((uint8_t *)b->columns[c].data + (uint64_t)p * width, cell->fixed, width);
        }
    }
    if (schema_is_nested(f))
        derive_inside(b, c, rows, text);
}

/* Column i of the result is column i of the input, or a new one. */
static void step_derive(struct world *w, const struct mbatch *from)
{
    int16_t columns[RASK_COLUMNS_MAX];
    struct mrow **model = rows_new(w, from->b->rows);
    rask_buffer *text = pool_get(w->pool, 32 << 20);
    rask_batch *b;

    for (uint32_t c = 0; c < w->schema->columns; c++)
        columns[c] = rng_below(&w->rng, 3) ? (int16_t)c : RASK_NEW_COLUMN;
    b = batch_derive(w->pool, from->b, w->schema, columns);
    for (uint32_t i = 0; i < b->rows; i++) {
        model[i] = model_row(&w->rng, &w->arena, w->schema);
        model[i]->time = from->rows[i]->time;
        model[i]->kind = from->rows[i]->kind;
        for (uint32_t c = 0; c < w->schema->columns; c++)
            if (columns[c] >= 0)
                model[i]->cells[c] = from->rows[i]->cells[c];
    }
    for (uint32_t c = 0; c < w->schema->columns; c++)
        if (columns[c] < 0)
            derive_column(b, c, model, text);
    buffer_unref(text);
    world_add(w, b, model);
}

static void world_step(struct world *w, rask_out *out)
{
    uint32_t what = rng_below(&w->rng, 10);
    struct mbatch from;

    if (w->count < 2 || what == 0) {
        step_build(w, out);
        return;
    }
    from = w->live[rng_below(&w->rng, w->count)];
    batch_ref(from.b); /* adding may drop it */
    switch (what) {
    case 1:
    case 2:
        step_slice(w, &from);
        break;
    case 3:
        step_select(w, &from);
        break;
    case 4:
        step_code(w, &from);
        break;
    case 5:
        step_forward(w, out);
        break;
    case 6:
        step_derive(w, &from);
        break;
    case 7:
        step_join(w);
        break;
    default:
        step_gather(w);
        break;
    }
    batch_unref(from.b);
}

static uint32_t world_run(uint64_t seed)
{
    struct world w = {.rng = {seed}};
    struct model_sink sink = {.count = 0};
    rask_out *out;

    arena_init(&w.arena);
    w.pool = pool_new(1 << 28);
    w.schema = model_schema(&w.rng, &w.arena, seed % 10 == 0 ? 64 : 8);
    out = out_new(w.pool, w.schema, BATCH_KIND | (seed % 2 ? BATCH_EVENT_TIME : 0), &model_hooks,
                  &sink);
    for (uint32_t i = 0; i < STEPS; i++)
        world_step(&w, out);
    for (uint32_t i = 0; i < w.count; i++) {
        model_check(&w.live[i]); /* nobody wrote into it meanwhile */
        batch_unref(w.live[i].b);
    }
    out_free(out);
    pool_check_empty(w.pool);
    arena_release(&w.arena);
    return w.cases;
}

static void random_operations_agree_with_the_model(void **state)
{
    uint32_t cases = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++)
        cases += world_run(seed);
    assert_true(cases > ROUNDS * STEPS / 2);
}

/* Every batch that decode accepts can be read in full; it never accepts another number of rows than
 * it says. */
static uint64_t read_row(const rask_row *row)
{
    const rask_batch *b = row->batch;
    uint64_t sum = 0;

    for (uint32_t c = 0; c < b->schema->columns; c++) {
        const rask_field *f = &b->schema->fields[c];

        sum += rask_is_null(row, (int)c);
        if (schema_is_view(f)) {
            rask_str s = rask_string(row, (int)c);

            for (uint32_t k = 0; k < s.len; k++)
                sum += (uint8_t)s.data[k];
        } else if (schema_is_nested(f)) {
            rask_array a = rask_array_at(row, (int)c);

            for (uint32_t k = 0; k < a.count; k++)
                sum += read_row(&(rask_row){a.rows, a.first + k});
        } else {
            sum += ((const uint8_t *)b->columns[c].data)[row->position * schema_width(f)];
        }
    }
    return sum;
}

static void read_all(const rask_batch *b)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < b->rows; i++) {
        rask_row row = rask_batch_row(b, i);

        sum += read_row(&row);
    }
    assert_true(sum < UINT64_MAX);
}

static void decode_damaged(struct pool *pool, const rask_schema *schema, const uint8_t *data,
                           size_t len)
{
    /* of the exact size, so that AddressSanitizer sees one byte too many */
    rask_buffer *owner = pool_get(pool, len);
    rask_batch *b = NULL;
    struct err err = {0};
    int rc;

    memcpy(owner->data, data, len);
    rc = batch_decode(pool, schema, owner->data, len, owner, &b, &err);
    buffer_unref(owner);
    if (rc) {
        assert_true(err.text[0] != 0);
        assert_null(b);
        return;
    }
    read_all(b);
    batch_unref(b);
}

static void damaged_bytes_are_refused_or_harmless(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct world w = {.rng = {seed}};
        struct model_sink sink = {.count = 0};
        struct bytes bytes;
        rask_out *out;
        rask_batch *b;

        arena_init(&w.arena);
        w.pool = pool_new(0);
        w.schema = model_schema(&w.rng, &w.arena, 6);
        out = out_new(w.pool, w.schema, BATCH_KIND | BATCH_EVENT_TIME, &model_hooks, &sink);
        out->string_limit = UINT64_MAX;
        for (uint32_t i = 0; i < 7; i++) {
            struct mrow *row = model_row(&w.rng, &w.arena, w.schema);

            for (uint32_t c = 0; c < w.schema->columns; c++)
                row->cells[c].text.len = MIN(row->cells[c].text.len, 70u);
            model_put(out, row);
        }
        b = out_take(out);
        bytes_init(&bytes);
        batch_encode(b, 0, b->rows, &bytes);
        for (size_t i = 0; i < bytes.len; i++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                bytes.data[i] ^= (uint8_t)(1u << bit);
                decode_damaged(w.pool, w.schema, bytes.data, bytes.len);
                bytes.data[i] ^= (uint8_t)(1u << bit);
            }
            decode_damaged(w.pool, w.schema, bytes.data, i);
        }
        bytes_add_u64(&bytes, 0);
        decode_damaged(w.pool, w.schema, bytes.data, bytes.len);
        bytes_release(&bytes);
        batch_unref(b);
        out_free(out);
        pool_check_empty(w.pool);
        arena_release(&w.arena);
    }
}

static const rask_field pair_fields[] = {{"word", RASK_T_STRING, 0, 0, 0, NULL},
                                         {"n", RASK_T_BIGINT, 1, 0, 0, NULL}};
static const rask_schema pair = {RASK_ABI, 2, "pair", pair_fields};
static const rask_field swapped_fields[] = {{"n", RASK_T_BIGINT, 1, 0, 0, NULL},
                                            {"word", RASK_T_STRING, 0, 0, 0, NULL}};
static const rask_schema swapped = {RASK_ABI, 2, "swapped", swapped_fields};

static rask_batch *pair_batch(struct pool *pool, uint32_t rows, const char *word)
{
    struct model_sink sink = {.count = 0};
    rask_out *out = out_new(pool, &pair, 0, &model_hooks, &sink);
    rask_batch *b;

    for (uint32_t i = 0; i < rows; i++) {
        assert_int_equal(rask_out_begin(out, &pair), 0);
        rask_out_string(out, 0, (rask_str){word, (uint32_t)strlen(word)});
        if (i % 2)
            rask_out_null(out, 1);
        else
            rask_out_i64(out, 1, i);
        assert_int_equal(rask_out_end(out), 0);
    }
    b = out_take(out);
    out_free(out);
    return b;
}

static void a_lent_slice_keeps_its_lender(void **state)
{
    static const int16_t order[] = {1, 0};
    struct pool *pool = pool_new(0);
    rask_batch *b = pair_batch(pool, 10, "a string that is not short"), *s = slice_lent(b, 3, 4), *whole = slice_lent(b, 0, 10), *p;

    (void)state;
    assert_int_equal(loans, 1); /* a whole one is the batch itself */
    assert_ptr_equal(whole, b);
    batch_unref(whole);
    batch_unref(b);
    p = batch_derive(pool, s, &swapped, order);
    assert_int_equal(rask_batch_row(s, 0).position, 3);
    batch_unref(s);
    assert_int_equal(loans, 0); /* what was made from it has a reference of its own */
    for (uint32_t i = 0; i < 4; i++) {
        rask_row row = rask_batch_row(p, i);

        assert_int_equal(rask_string(&row, 1).len, 26);
    }
    batch_unref(p);
    pool_check_empty(pool);
}

static void projection_shares_columns(void **state)
{
    static const int16_t order[] = {1, 0};
    struct pool *pool = pool_new(0);
    rask_batch *b = pair_batch(pool, 10, "a string that is not short"), *p, *s;

    (void)state;
    p = batch_derive(pool, b, &swapped, order);
    s = batch_slice(p, 3, 4);
    assert_ptr_equal(p->columns[0].data, b->columns[1].data);
    batch_unref(b);
    batch_unref(p);
    for (uint32_t i = 0; i < 4; i++) {
        rask_row row = rask_batch_row(s, i);

        assert_int_equal(rask_is_null(&row, 0), (i + 3) % 2);
        assert_int_equal(rask_string(&row, 1).len, 26);
    }
    batch_unref(s);
    pool_check_empty(pool);
}

static void event_time_and_hash_are_attached(void **state)
{
    static const rask_field fields[] = {{"at", RASK_T_TIMESTAMP, 0, 3, 0, NULL}};
    static const rask_schema schema = {RASK_ABI, 1, "times", fields};
    static const uint16_t swap[] = {2, 1, 0};
    struct pool *pool = pool_new(0);
    rask_batch *b = batch_new(pool, &schema, 5, 0), *t, *s, *h, *in[1], *g;
    uint64_t hash[3] = {7, 8, 9};

    (void)state;
    for (int64_t i = 0; i < 5; i++)
        ((int64_t *)b->columns[0].data)[i] = 100 + i;
    t = batch_with_event_time(b, 0);
    s = batch_slice(t, 1, 3);
    h = batch_with_hash(s, hash);
    batch_unref(b);
    batch_unref(t);
    batch_unref(s);
    in[0] = batch_slice(h, 0, 3);
    batch_unref(h);
    g = batch_gather(pool, in, 1, swap, 3);
    assert_int_equal(((rask_ts *)g->event_time.data)[0], 103);
    assert_int_equal(((uint64_t *)g->hash.data)[0], 9);
    assert_int_equal(((uint64_t *)g->hash.data)[2], 7);
    batch_unref(in[0]);
    batch_unref(g);
    pool_check_empty(pool);
}

static void gather_compacts_sparse_buffers(void **state)
{
    struct pool *pool = pool_new(0);
    rask_batch *b = pair_batch(pool, 1000, "a string of some thirty bytes.."), *one, *g;
    uint16_t position = 0;

    (void)state;
    one = batch_slice(b, 500, 1);
    g = batch_gather(pool, &one, 1, &position, 1);
    assert_int_equal(g->buffer_count, 1);
    assert_ptr_not_equal(g->buffers[0], b->buffers[0]);
    assert_true(g->buffers[0]->capacity < 256);
    batch_unref(b);
    batch_unref(one);
    assert_int_equal(((rask_view *)g->columns[0].data)->len, 31);
    assert_memory_equal(rask_view_str(g, g->columns[0].data).data,
                        "a string of some thirty bytes..", 31);
    batch_unref(g);
    pool_check_empty(pool);
}

/* More elements than a batch has rows; and more bytes than a row may have. */
static void long_arrays(void **state)
{
    enum { ELEMENTS = 200000 };
    static const rask_field element = {"element", RASK_T_SMALLINT, 1, 0, 0, NULL};
    static const rask_schema array = {RASK_ABI, 1, "ARRAY", &element};
    static const rask_field column = {"a", RASK_T_ARRAY, 0, 0, 0, &array};
    static const rask_schema schema = {RASK_ABI, 1, "long", &column};
    static const uint16_t swap[] = {1, 0};
    struct pool *pool = pool_new(0);
    struct world w = {.pool = pool, .schema = &schema};
    struct model_sink sink = {.count = 0};
    rask_out *out = out_new(pool, &schema, 0, &model_hooks, &sink), *to = rask_out_nested(out, 0);
    rask_batch *b[2], *got, *again;
    rask_row row;
    int rc = 0;

    (void)state;
    for (uint32_t k = 0; k < 2; k++) {
        assert_int_equal(rask_out_begin(out, &schema), 0);
        for (int64_t i = 0; i < ELEMENTS; i++)
            assert_int_equal(i % 1000 == k ? rask_add_null(to) : rask_add_i64(to, i % 30000), 0);
        assert_int_equal(rask_out_end(out), 0); /* full */
        b[k] = sink.batches[k];
    }
    assert_int_equal(batch_row_bytes(b[0]), 8 + 2 * ELEMENTS);
    got = batch_gather(pool, b, 2, swap, 2);
    again = through_bytes(&w, got, 0, 2);
    for (uint32_t k = 0; k < 2; k++) {
        row = rask_batch_row(again, k);
        assert_int_equal(rask_array_at(&row, 0).count, ELEMENTS);
        row = rask_array_row(rask_array_at(&row, 0), ELEMENTS - 1000 + (1 - k));
        assert_true(rask_is_null(&row, 0));
        row.position++;
        assert_int_equal(rask_i16(&row, 0), (ELEMENTS - 1000 + 2 - k) % 30000);
    }
    batch_unref(b[0]);
    batch_unref(b[1]);
    batch_unref(got);
    batch_unref(again);
    pool_set_row_max(pool, 1000);
    assert_int_equal(rask_out_begin(out, &schema), 0);
    for (uint32_t i = 0; i < ELEMENTS && rc == 0; i++)
        rc = rask_add_i64(to, 1);
    assert_int_equal(rc, ERR_INVALID);
    assert_string_equal(sink.refused, "the cells inside one row have more than 1000 bytes (rask.max-row-size)");
    assert_int_equal(rask_out_end(out), ERR_INVALID);
    out_free(out);
    pool_check_empty(pool);
}

static void a_row_is_written_as_text(void **state)
{
    struct pool *pool = pool_new(0);
    rask_batch *b = pair_batch(pool, 2, "t\"he\n");
    struct bytes text;

    (void)state;
    bytes_init(&text);
    batch_format_row(b, 0, 100, &text);
    assert_string_equal((char *)text.data, "{word=\"t\\\"he\\n\", n=0}");
    bytes_clear(&text);
    batch_format_row(b, 1, 12, &text);
    assert_string_equal((char *)text.data, "{word=\"t\\...");
    bytes_release(&text);
    batch_unref(b);
    pool_check_empty(pool);
}

/* More rows than a batch has, as a block of many channels: four inputs, of which one is part of a larger batch. */
static void a_wide_block_is_gathered(void **state)
{
    enum { INPUTS = 4, ROWS = INPUTS * RASK_BATCH_ROWS_MAX };
    static const rask_field fields[] = {{"a", RASK_T_BIGINT, 0, 0, 0, NULL},   {"b", RASK_T_INT, 0, 0, 0, NULL},
                                        {"c", RASK_T_SMALLINT, 0, 0, 0, NULL}, {"d", RASK_T_TINYINT, 1, 0, 0, NULL}};
    static const rask_schema schema = {RASK_ABI, 4, "widths", fields};
    static uint16_t position[ROWS];
    static uint64_t hash[ROWS];
    struct pool *pool = pool_new(0);
    rask_batch *in[INPUTS], *got, *whole;
    uint32_t k = 0;

    (void)state;
    for (uint32_t i = 0; i < INPUTS; i++) {
        in[i] = batch_new(pool, &schema, RASK_BATCH_ROWS_MAX + 5, 0);
        for (uint32_t r = 0; r < RASK_BATCH_ROWS_MAX + 5; r++) {
            int64_t n = (int64_t)(i * RASK_BATCH_ROWS_MAX + r) - (i == 1 ? 5 : 0);

            ((int64_t *)in[i]->columns[0].data)[r] = n;
            ((int32_t *)in[i]->columns[1].data)[r] = (int32_t)-n;
            ((int16_t *)in[i]->columns[2].data)[r] = (int16_t)(n % 1000);
            ((int8_t *)in[i]->columns[3].data)[r] = (int8_t)(n % 100);
            if (n % 7 == 0)
                in[i]->columns[3].validity[r >> 6] &= ~(UINT64_C(1) << (r & 63));
        }
        whole = in[i];
        in[i] = batch_slice(whole, i == 1 ? 5 : 0, RASK_BATCH_ROWS_MAX);
        batch_unref(whole);
    }
    for (k = 0; k < ROWS; k++) {
        position[k] = (uint16_t)(k * 4099 % ROWS); /* all places once */
        hash[k] = k * 11400714819323198485u;
    }
    got = batch_gather_hashed(pool, in, INPUTS, position, ROWS, hash);
    assert_int_equal(got->rows, ROWS);
    for (k = 0; k < ROWS; k++) {
        rask_row row = {got, position[k]};

        assert_int_equal(rask_i64(&row, 0), k);
        assert_int_equal(rask_i32(&row, 1), -(int32_t)k);
        assert_int_equal(rask_i16(&row, 2), k % 1000);
        assert_int_equal(rask_is_null(&row, 3), k % 7 == 0);
        assert_true(rask_is_null(&row, 3) || rask_i8(&row, 3) == (int8_t)(k % 100));
        assert_true(((uint64_t *)got->hash.data)[position[k]] == hash[k]);
    }
    for (uint32_t i = 0; i < INPUTS; i++)
        batch_unref(in[i]);
    batch_unref(got);
    pool_check_empty(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_agree_with_the_model),
        cmocka_unit_test(damaged_bytes_are_refused_or_harmless),
        cmocka_unit_test(a_lent_slice_keeps_its_lender),
        cmocka_unit_test(projection_shares_columns),
        cmocka_unit_test(event_time_and_hash_are_attached),
        cmocka_unit_test(gather_compacts_sparse_buffers),
        cmocka_unit_test(long_arrays),
        cmocka_unit_test(a_row_is_written_as_text),
        cmocka_unit_test(a_wide_block_is_gathered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
