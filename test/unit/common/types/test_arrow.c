/* The Arrow C Data Interface: there and back, moved children, foreign layouts, what is refused. */
#include <rask/arrow.h>

#include "test/unit/common/types/model.h"

struct fixture {
    struct rng rng;
    struct arena arena;
    struct pool *pool;
    struct model_sink sink;
    const rask_schema *schema;
    rask_out *out;
};

static void fixture_init(struct fixture *f, uint64_t seed, const char *columns)
{
    struct err err;

    memset(f, 0, sizeof(*f));
    f->rng.s = seed;
    arena_init(&f->arena);
    f->pool = pool_new(0);
    if (columns)
        assert_int_equal(schema_parse(&f->arena, "rows", columns, &f->schema, &err), 0);
    else
        f->schema = model_schema(&f->rng, &f->arena, 10);
    f->out = out_new(f->pool, f->schema, 0, &model_hooks, &f->sink);
    f->out->string_limit = UINT64_MAX;
}

static void fixture_release(struct fixture *f)
{
    out_free(f->out);
    pool_check_empty(f->pool);
    arena_release(&f->arena);
}

/* DECIMAL(p <= 18) is kept in 64 bits; the model's cells beyond are not looked at. */
static void batches_go_there_and_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct fixture f;
        struct mrow *rows[120], **picked;
        struct ArrowSchema schema;
        struct ArrowArray array;
        rask_batch *b, *part, *got;
        uint16_t keep[120];
        uint32_t n = 0, from;

        fixture_init(&f, seed, NULL);
        picked = arena_alloc(&f.arena, sizeof(rows));
        for (uint32_t i = 0; i < 120; i++) {
            rows[i] = model_row(&f.rng, &f.arena, f.schema);
            rows[i]->kind = RASK_INSERT;
            model_put(f.out, rows[i]);
        }
        b = out_take(f.out);
        if (seed % 2) {
            for (uint16_t i = 0; i < 120; i++)
                if (rng_below(&f.rng, 2))
                    picked[n] = rows[i], keep[n++] = i;
            part = batch_select(b, keep, n);
        } else {
            from = rng_below(&f.rng, 119);
            n = 120 - from;
            part = batch_slice(b, from, n);
            memcpy(picked, rows + from, n * sizeof(*rows));
        }
        batch_unref(b);
        rask_batch_to_arrow(part, &schema, &array);
        assert_int_equal(array.length, n);
        batch_unref(part); /* the array holds it */
        from = rng_below(&f.rng, n);
        assert_int_equal(rask_batch_from_arrow(f.out, &schema, &array, from, n - from, &got), 0);
        array.release(&array);
        schema.release(&schema);
        assert_null(array.release);
        model_check(&(struct mbatch){got, picked + from});
        assert_int_equal(got->rows, n - from);
        assert_int_equal(rask_emit_batch(f.out, &got), 0);
        for (uint32_t i = 0; i < f.sink.count; i++)
            batch_unref(f.sink.batches[i]);
        fixture_release(&f);
    }
}

/* Rows inside a null ROW do not count; a list may be longer than its array says in other places. */
static void nested_arrays_of_others(void **state)
{
    static const int32_t numbers[] = {1, 2, 3, 4, 5, 6};
    static const int64_t begins[] = {9, 0, 2, 2, 5};
    static const uint8_t valid[] = {0x0a}, inner_valid[] = {0x08}; /* rows 1 and 3; row 3 */
    struct ArrowSchema element = {.format = "i", .name = "x"}, *elements[] = {&element},
                       list = {.format = "+L", .name = "a", .n_children = 1, .children = elements},
                       *lists[] = {&list}, row = {.format = "+s", .n_children = 1, .children = lists},
                       *rows[] = {&row}, top = {.format = "+s", .n_children = 1, .children = rows};
    const void *number_buffers[] = {NULL, numbers}, *list_buffers[] = {inner_valid, begins},
               *row_buffers[] = {valid}, *top_buffers[] = {NULL};
    struct ArrowArray number = {.length = 5, .offset = 1, .n_buffers = 2, .buffers = number_buffers},
                      *number_list[] = {&number},
                      list_array = {.length = 4, .offset = 0, .n_buffers = 2, .n_children = 1,
                                    .buffers = list_buffers, .children = number_list},
                      *list_list[] = {&list_array},
                      row_array = {.length = 4, .n_buffers = 1, .n_children = 1,
                                   .buffers = row_buffers, .children = list_list},
                      *row_list[] = {&row_array},
                      array = {.length = 4, .n_buffers = 1, .n_children = 1, .buffers = top_buffers,
                               .children = row_list};
    struct bytes text;
    struct fixture f;
    rask_batch *b;

    (void)state;
    bytes_init(&text);
    fixture_init(&f, 1, "r ROW<a ARRAY<INT NOT NULL> NOT NULL>");
    assert_int_equal(rask_batch_from_arrow(f.out, &top, &array, 2, 2, &b), 0);
    batch_format_row(b, 0, 100, &text);
    batch_format_row(b, 1, 100, &text);
    assert_string_equal((char *)text.data, "{r=NULL}{r=([4, 5, 6])}");
    batch_unref(b);
    assert_int_equal(rask_batch_from_arrow(f.out, &top, &array, 1, 2, &b), ERR_INVALID);
    assert_string_equal(f.sink.refused,
                        "column 'r' of rows: column 'a' of ROW: it is NOT NULL and row 0 is null");
    assert_int_equal(rask_batch_from_arrow(f.out, &top, &array, 0, 1, &b), ERR_INVALID);
    assert_string_equal(f.sink.refused,
                        "column 'r' of rows: column 'a' of ROW: its lists end outside their 5 elements");
    list.format = "+l";
    element.format = "l";
    assert_int_equal(rask_batch_from_arrow(f.out, &top, &array, 3, 1, &b), ERR_INVALID);
    list.n_children = 0;
    assert_int_equal(rask_batch_from_arrow(f.out, &top, &array, 3, 1, &b), ERR_INVALID);
    fixture_release(&f);
    bytes_release(&text);
}

static void put_pair(struct fixture *f, const char *word, bool flag)
{
    assert_int_equal(rask_out_begin(f->out, f->schema), 0);
    rask_out_string(f->out, 0, (rask_str){word, (uint32_t)strlen(word)});
    rask_out_bool(f->out, 1, flag);
    assert_int_equal(rask_out_end(f->out), 0);
}

static void formats_are_arrows(void **state)
{
    struct fixture f;
    struct ArrowSchema schema, column;
    struct ArrowArray array, moved;
    rask_batch *b;

    (void)state;
    fixture_init(&f, 1, "word STRING, flag BOOLEAN NOT NULL");
    put_pair(&f, "short", true);
    put_pair(&f, "longer than twelve bytes", false);
    put_pair(&f, "", true);
    b = out_take(f.out);
    rask_batch_to_arrow(b, &schema, &array);
    batch_unref(b);
    assert_string_equal(schema.format, "+s");
    assert_string_equal(schema.children[0]->format, "vu");
    assert_string_equal(schema.children[0]->name, "word");
    assert_int_equal(schema.children[0]->flags, ARROW_FLAG_NULLABLE);
    assert_string_equal(schema.children[1]->format, "b");
    assert_int_equal(schema.children[1]->flags, 0);
    assert_int_equal(array.n_buffers, 1);
    assert_int_equal(array.children[0]->n_buffers, 4);
    assert_int_equal(((const uint8_t *)array.children[1]->buffers[1])[0] & 7, 5);
    /* children may be moved out and outlive their parent */
    moved = *array.children[0];
    array.children[0]->release = NULL;
    column = *schema.children[1];
    schema.children[1]->release = NULL;
    array.release(&array);
    schema.release(&schema);
    assert_int_equal(((const rask_view *)moved.buffers[1])[1].len, 24);
    assert_memory_equal(moved.buffers[2], "longer than twelve bytes", 24);
    assert_int_equal(((const int64_t *)moved.buffers[3])[0] >= 24, 1);
    moved.release(&moved);
    assert_string_equal(column.name, "flag");
    column.release(&column);
    fixture_release(&f);
}

/* Arrays as other programs make them: offsets instead of views, an offset on parent and child. */
struct foreign {
    struct ArrowSchema schema, columns[2], *schemas[2];
    struct ArrowArray array, cells[2], *arrays[2];
    int32_t offsets[5];
    const void *buffers[2][3];
    uint8_t valid, flags;
};

static void foreign_init(struct foreign *f)
{
    memset(f, 0, sizeof(*f));
    f->schemas[0] = &f->columns[0];
    f->schemas[1] = &f->columns[1];
    f->arrays[0] = &f->cells[0];
    f->arrays[1] = &f->cells[1];
    f->schema = (struct ArrowSchema){.format = "+s", .n_children = 2, .children = f->schemas};
    f->columns[0].format = "u";
    f->columns[1].format = "b";
    f->array =
        (struct ArrowArray){.length = 2, .offset = 1, .n_children = 2, .children = f->arrays};
    memcpy(f->offsets, (const int32_t[]){0, 3, 6, 9, 29}, sizeof(f->offsets));
    f->valid = 0xb; /* row 2 of the cells is null */
    f->flags = 0x8;
    f->buffers[0][0] = &f->valid;
    f->buffers[0][1] = f->offsets;
    f->buffers[0][2] = "onetwosixmore than twelve byte";
    f->buffers[1][1] = &f->flags;
    f->cells[0] = (struct ArrowArray){
        .length = 3, .offset = 1, .null_count = 1, .n_buffers = 3, .buffers = f->buffers[0]};
    f->cells[1] =
        (struct ArrowArray){.length = 3, .offset = 1, .n_buffers = 2, .buffers = f->buffers[1]};
}

static void foreign_layouts_are_read(void **state)
{
    struct fixture f;
    struct foreign a;
    rask_batch *b;
    rask_row row;

    (void)state;
    fixture_init(&f, 1, "word STRING, flag BOOLEAN NOT NULL");
    foreign_init(&a);
    assert_int_equal(rask_batch_from_arrow(f.out, &a.schema, &a.array, 0, 2, &b), 0);
    row = rask_batch_row(b, 0);
    assert_true(rask_is_null(&row, 0));
    assert_false(rask_bool(&row, 1));
    row = rask_batch_row(b, 1);
    assert_int_equal(rask_string(&row, 0).len, 20);
    assert_memory_equal(rask_string(&row, 0).data, "more than twelve byte", 20);
    assert_true(rask_bool(&row, 1));
    batch_unref(b);
    fixture_release(&f);
}

static void what_does_not_fit_is_refused(void **state)
{
    struct fixture f;
    struct foreign a;
    rask_batch *b = NULL;

    (void)state;
    fixture_init(&f, 1, "word STRING NOT NULL, flag BOOLEAN NOT NULL");
    foreign_init(&a);
    assert_int_equal(rask_batch_from_arrow(f.out, &a.schema, &a.array, 0, 2, &b), ERR_INVALID);
    assert_string_equal(f.sink.refused, "column 'word' of rows: it is NOT NULL and row 0 is null");
    assert_int_equal(rask_batch_from_arrow(f.out, &a.schema, &a.array, 1, 2, &b), ERR_INVALID);
    assert_non_null(strstr(f.sink.refused, "with 2 rows"));
    a.columns[1].format = "l";
    assert_int_equal(rask_batch_from_arrow(f.out, &a.schema, &a.array, 1, 1, &b), ERR_INVALID);
    assert_string_equal(f.sink.refused,
                        "column 'flag' of rows: its Arrow format is 'l', which should be 'b'");
    foreign_init(&a);
    a.cells[0].length = 1;
    assert_int_equal(rask_batch_from_arrow(f.out, &a.schema, &a.array, 1, 1, &b), ERR_INVALID);
    assert_non_null(strstr(f.sink.refused, "too few"));
    foreign_init(&a);
    a.offsets[4] = 1;
    assert_int_equal(rask_batch_from_arrow(f.out, &a.schema, &a.array, 1, 1, &b), ERR_INVALID);
    assert_non_null(strstr(f.sink.refused, "outside its buffer"));
    foreign_init(&a);
    a.schema.format = "l";
    assert_int_equal(rask_batch_from_arrow(f.out, &a.schema, &a.array, 0, 1, &b), ERR_INVALID);
    assert_null(b);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_go_there_and_back),
        cmocka_unit_test(nested_arrays_of_others),
        cmocka_unit_test(formats_are_arrows),
        cmocka_unit_test(foreign_layouts_are_read),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
