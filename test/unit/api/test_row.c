/* RASK_ROW and RASK_STATE: what they declare, what goes through a batch, and that compilers take
 * them silently. */
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/unit/api/row_sample.h"
#include "test/unit/common/types/model.h"

/* A state kept in one place, as far as the macros reach it. */
static struct spent kept_state;
static const rask_schema *asked_schema;
static size_t asked_size;

void *rask_value(rask_ctx *ctx, int state, const rask_schema *schema, size_t size)
{
    (void)ctx;
    (void)state;
    asked_schema = schema;
    asked_size = size;
    return &kept_state;
}

const void *rask_value_peek(rask_ctx *ctx, int state, const rask_schema *schema, size_t size)
{
    return state ? NULL : rask_value(ctx, state, schema, size);
}

static rask_batch *one_batch(struct pool *pool, const rask_schema *schema,
                             int (*emit)(rask_out *out, const void *v), const void *v,
                             const void *v2)
{
    struct model_sink sink = {.count = 0};
    rask_out *out = out_new(pool, schema, 0, &model_hooks, &sink);
    rask_batch *b;

    assert_int_equal(emit(out, v), 0);
    assert_int_equal(emit(out, v2), 0);
    b = out_take(out);
    assert_int_equal(b->rows, 2);
    out_free(out);
    return b;
}

static int emit_every(rask_out *out, const void *v)
{
    return every_emit(out, v);
}

static int emit_every_null(rask_out *out, const void *v)
{
    return every_null_emit(out, v);
}

static int emit_wide(rask_out *out, const void *v)
{
    return wide_emit(out, v);
}

static void every_type_goes_through_a_batch(void **state)
{
    struct pool *pool = pool_new(0);
    struct every v = {true,
                      -8,
                      -16,
                      -32,
                      -64,
                      1.5f,
                      -2.5,
                      1234,
                      {5, -6},
                      {"text", 4},
                      {"bytes that are long", 19},
                      20,
                      30,
                      40};
    struct every zero = {0}, got;
    rask_batch *b = one_batch(pool, &every_schema, emit_every, &v, &zero);
    rask_row row = rask_batch_row(b, 0);
    struct err err;

    (void)state;
    assert_int_equal(schema_validate(&every_schema, "every", &err), 0);
    got = every_at(&row);
    assert_true(got.a && got.b == -8 && got.c == -16 && got.d == -32 && got.e == -64);
    assert_true(got.f == 1.5f && got.g == -2.5 && got.h == 1234 && got.i.low == 5 &&
                got.i.high == -6);
    assert_int_equal(got.j.len, 4);
    assert_memory_equal(got.j.data, "text", 4);
    assert_memory_equal(got.k.data, "bytes that are long", 19);
    assert_true(got.l == 20 && got.m == 30 && got.at == 40);
    row = rask_batch_row(b, 1);
    got = every_at(&row);
    assert_true(!got.a && got.e == 0 && got.k.len == 0);
    batch_unref(b);
    pool_check_empty(pool);
}

static void nulls_go_through_a_batch(void **state)
{
    struct pool *pool = pool_new(0);
    struct every_null v = {.e = {7, false}, .j = {{"there", 5}, false}, .i = {{1, 2}, false}}, none,
                      got;
    rask_batch *b;
    rask_row row;

    (void)state;
    memset(&none, 0, sizeof(none));
    none.a.is_null = none.b.is_null = none.c.is_null = none.d.is_null = none.e.is_null =
        none.f.is_null = true;
    none.g.is_null = none.h.is_null = none.i.is_null = none.j.is_null = none.k.is_null =
        none.l.is_null = true;
    none.m.is_null = none.at.is_null = true;
    none.e.value = 99;
    b = one_batch(pool, &every_null_schema, emit_every_null, &v, &none);
    row = rask_batch_row(b, 0);
    got = every_null_at(&row);
    assert_true(!got.e.is_null && got.e.value == 7 && got.i.value.high == 2 &&
                got.j.value.len == 5);
    row = rask_batch_row(b, 1);
    got = every_null_at(&row);
    assert_true(got.e.is_null && got.e.value == 0 && got.j.is_null && got.at.is_null &&
                got.i.is_null);
    batch_unref(b);
    pool_check_empty(pool);
}

static int emit_orders(rask_out *out, const void *v)
{
    const struct order *o = v;
    rask_out *items = rask_out_nested(out, order_col_items), *tags = rask_out_nested(out, order_col_tags),
             *prices = rask_out_nested(out, order_col_prices), *shelves, *grid;
    struct item more = {{"screw", 5}, 5, {1000, false}};

    assert_int_equal(item_emit(items, &o->first), 0);
    assert_int_equal(item_emit(items, &more), 0);
    assert_int_equal(rask_add_string(tags, (rask_str){"a tag that is not short", 23}), 0);
    assert_int_equal(rask_add_null(tags), 0);
    assert_int_equal(price_entry_emit(prices, &(struct price_entry){{"eur", 3}, 1250}), 0);
    if (!o->shelves.is_null) {
        shelves = rask_out_nested(out, order_col_shelves);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(rask_out_begin(shelves, shelves->schema), 0);
            rask_out_string(shelves, 0, (rask_str){i ? "top" : "low", 3});
            if (i)
                rask_out_null(shelves, 1);
            else
                assert_int_equal(item_emit(rask_out_nested(shelves, 1), &more), 0);
            assert_int_equal(rask_out_end(shelves), 0);
        }
    }
    if (!o->grid.is_null) {
        grid = rask_out_nested(out, order_col_grid);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(rask_out_begin(grid, grid->schema), 0);
            for (int k = 0; k < i; k++)
                assert_int_equal(rask_add_i64(rask_out_nested(grid, 0), 10 * i + k), 0);
            assert_int_equal(rask_out_end(grid), 0);
        }
    }
    return order_emit(out, o);
}

static int emit_order_again(rask_out *out, const void *v)
{
    const struct order *o = v;

    return order_emit(out, o);
}

static const char *row_text(const rask_batch *b, uint32_t row, struct bytes *text)
{
    bytes_clear(text);
    batch_format_row(b, row, 10000, text);
    return (const char *)text->data;
}

static void rows_inside_cells_go_through_a_batch(void **state)
{
    static const char first[] =
        "{id=7, first=(nail,2.50,null), gift=(,0.00,0), items=[(nail,2.50,null), (screw,0.05,1000)], "
        "tags=[a tag that is not short, null], prices={eur=12.50}, "
        "shelves={low=[(screw,0.05,1000)], top=null}, grid=[[], [10], [20, 21]]}";
    static const char second[] = "{id=8, first=(,0.00,0), gift=NULL, items=[(,0.00,0), (screw,0.05,1000)], "
                                 "tags=[a tag that is not short, null], prices={eur=12.50}, "
                                 "shelves=NULL, grid=NULL}";
    struct pool *pool = pool_new(0);
    struct order v = {.id = 7, .first = {{"nail", 4}, 250, {0, true}}}, v2 = {.id = 8};
    struct order got[2];
    struct bytes text;
    rask_batch *b, *again;
    rask_row row, inside;
    struct err err;

    (void)state;
    bytes_init(&text);
    assert_int_equal(schema_validate(&order_schema, "order", &err), 0);
    v2.gift.is_null = v2.shelves.is_null = v2.grid.is_null = true;
    b = one_batch(pool, &order_schema, emit_orders, &v, &v2);
    assert_string_equal(row_text(b, 0, &text), first);
    assert_string_equal(row_text(b, 1, &text), second);
    for (uint32_t i = 0; i < 2; i++) {
        row = rask_batch_row(b, i);
        got[i] = order_at(&row);
    }
    assert_true(got[0].first.pieces.is_null && got[0].first.price == 250 && !got[0].gift.is_null);
    assert_true(got[1].gift.is_null && got[1].shelves.is_null && got[1].shelves.value.count == 0);
    assert_int_equal(got[0].items.count, 2);
    inside = rask_array_row(got[0].items, 1);
    assert_int_equal(item_at(&inside).pieces.value, 1000);
    inside = rask_array_row(got[0].prices, 0);
    assert_int_equal(price_entry_at(&inside).value, 1250);
    inside = rask_array_row(got[0].grid.value, 2);
    inside = rask_array_row(rask_array_at(&inside, 0), 1);
    assert_int_equal(rask_i32(&inside, 0), 21);
    again = one_batch(pool, &order_schema, emit_order_again, &got[0], &got[1]);
    assert_string_equal(row_text(again, 0, &text), first);
    assert_string_equal(row_text(again, 1, &text), second);
    batch_unref(b);
    batch_unref(again);
    bytes_release(&text);
    pool_check_empty(pool);
}

static void mistakes_inside_cells_are_named(void **state)
{
    struct pool *pool = pool_new(0);
    struct model_sink sink = {.count = 0};
    struct order v = {.id = 1}, none = {.id = 2};
    struct bytes text;
    rask_out *out = out_new(pool, &order_schema, 0, &model_hooks, &sink), *items;
    rask_batch *b;

    (void)state;
    bytes_init(&text);
    items = rask_out_nested(out, order_col_items);
    assert_int_equal(rask_out_begin(items, items->schema), 0);
    rask_out_null(items, 0);
    assert_int_equal(rask_out_end(items), ERR_INVALID);
    assert_string_equal(sink.refused, "column 'name' of item: it is NOT NULL and was given NULL");
    assert_int_equal(rask_out_begin(out, &order_schema), 0); /* forgets the mistake */
    assert_int_equal(rask_add_null(items), ERR_INVALID);
    assert_string_equal(sink.refused, "NULL was added to what is not an ARRAY of nullable ROWs");
    assert_int_equal(rask_out_begin(out, &order_schema), 0);
    assert_int_equal(rask_add_f64(rask_out_nested(out, order_col_tags), 1), ERR_INVALID);
    assert_string_equal(sink.refused,
                        "column 'element' of ARRAY: the element is of another type, or not the only column");
    assert_int_equal(rask_out_begin(out, &order_schema), 0);
    assert_int_equal(rask_out_end(out), ERR_INVALID);
    assert_string_equal(sink.refused, "column 'first' of order: a ROW is one row, and 0 were emitted for it");
    assert_int_equal(rask_out_begin(out, &order_schema), 0);
    (void)rask_out_nested(out, order_col_id);
    assert_int_equal(rask_out_end(out), ERR_INVALID);
    assert_string_equal(sink.refused, "column 'id' of order: it is not an ARRAY, MAP or ROW");
    assert_int_equal(one_emit(items, &(struct one){1}), ERR_INVALID);
    assert_true(strstr(sink.refused, "where the output takes item (") != NULL);
    v.gift.is_null = none.gift.is_null = true;
    v.items.rows = NULL;
    assert_int_equal(order_emit(out, &v), 0);
    b = out_take(out);
    assert_string_equal(row_text(b, 0, &text), "{id=1, first=(,0.00,0), gift=NULL, items=[], tags=[], "
                                               "prices={}, shelves={}, grid=[]}");
    none.tags = (rask_array){b, 0, 1}; /* a whole order is no tag */
    assert_int_equal(order_emit(out, &none), ERR_INVALID);
    assert_string_equal(sink.refused, "column 'tags' of order: it was given a value of another type");
    batch_unref(b);
    out_free(out);
    bytes_release(&text);
    pool_check_empty(pool);
}

/* A row that was begun goes on in the next batch, with what was emitted for its cells. */
static void a_begun_row_with_cells_goes_on(void **state)
{
    struct pool *pool = pool_new(0);
    struct model_sink sink = {.count = 0};
    struct order v = {.id = 1};
    struct item screw = {{"a screw of some length", 22}, 5, {0, true}};
    struct bytes text;
    rask_out *out = out_new(pool, &order_schema, 0, &model_hooks, &sink), *grid;
    rask_batch *b;

    (void)state;
    bytes_init(&text);
    v.gift.is_null = v.shelves.is_null = v.grid.is_null = true;
    assert_int_equal(order_emit(out, &v), 0);
    grid = rask_out_nested(out, order_col_grid);
    assert_int_equal(rask_out_begin(out, &order_schema), 0);
    rask_out_i64(out, order_col_id, 2);
    assert_int_equal(item_emit(rask_out_nested(out, order_col_first), &screw), 0);
    assert_int_equal(item_emit(rask_out_nested(out, order_col_items), &screw), 0);
    assert_int_equal(rask_out_begin(grid, grid->schema), 0);
    assert_int_equal(rask_add_i64(rask_out_nested(grid, 0), 1), 0);
    assert_int_equal(rask_out_end(grid), 0);
    assert_int_equal(rask_out_begin(grid, grid->schema), 0);
    assert_int_equal(rask_add_i64(rask_out_nested(grid, 0), 2), 0);
    rask_out_null(out, order_col_gift);
    b = out_take(out);
    assert_int_equal(b->rows, 1);
    batch_unref(b);
    assert_int_equal(rask_add_i64(rask_out_nested(grid, 0), 3), 0);
    assert_int_equal(rask_out_end(grid), 0);
    assert_int_equal(rask_out_end(out), 0);
    b = out_take(out);
    assert_string_equal(row_text(b, 0, &text),
                        "{id=2, first=(a screw of some length,0.05,null), gift=NULL, "
                        "items=[(a screw of some length,0.05,null)], tags=[], prices={}, shelves={}, "
                        "grid=[[1], [2, 3]]}");
    batch_unref(b);
    out_free(out);
    bytes_release(&text);
    pool_check_empty(pool);
}

static void schemas_say_what_was_declared(void **state)
{
    struct bytes text;

    (void)state;
    bytes_init(&text);
    schema_format(&every_schema, &text);
    assert_string_equal(
        (char *)text.data,
        "a BOOLEAN NOT NULL, b TINYINT NOT NULL, c SMALLINT NOT NULL, d INT NOT NULL, "
        "e BIGINT NOT NULL, f FLOAT NOT NULL, g DOUBLE NOT NULL, h DECIMAL(18, 2) NOT NULL, "
        "i DECIMAL(19, 0) NOT NULL, j STRING NOT NULL, k BYTES NOT NULL, l DATE NOT NULL, "
        "m TIME NOT NULL, at TIMESTAMP(3) NOT NULL");
    bytes_clear(&text);
    schema_format(&every_null_schema, &text);
    assert_string_equal(
        (char *)text.data,
        "a BOOLEAN, b TINYINT, c SMALLINT, d INT, e BIGINT, f FLOAT, g DOUBLE, h DECIMAL(1, 1), "
        "i DECIMAL(38, 38), j STRING, k BYTES, l DATE, m TIME, at TIMESTAMP(3)");
    bytes_clear(&text);
    schema_format(&order_schema, &text);
    assert_string_equal(
        (char *)text.data,
        "id BIGINT NOT NULL, first ROW<name STRING NOT NULL, price DECIMAL(12, 2) NOT NULL, pieces INT> "
        "NOT NULL, gift ROW<name STRING NOT NULL, price DECIMAL(12, 2) NOT NULL, pieces INT>, "
        "items ARRAY<ROW<name STRING NOT NULL, price DECIMAL(12, 2) NOT NULL, pieces INT> NOT NULL> NOT NULL, "
        "tags ARRAY<STRING> NOT NULL, prices MAP<STRING NOT NULL, DECIMAL(18, 2) NOT NULL> NOT NULL, "
        "shelves MAP<STRING NOT NULL, ARRAY<ROW<name STRING NOT NULL, price DECIMAL(12, 2) NOT NULL, "
        "pieces INT> NOT NULL>>, grid ARRAY<ARRAY<INT NOT NULL> NOT NULL>");
    bytes_release(&text);
    assert_string_equal(one_schema.name, "one");
    assert_int_equal(one_columns, 1);
    assert_int_equal(every_col_at, 13);
}

static void sixty_four_columns(void **state)
{
    struct pool *pool = pool_new(0);
    struct wide v = {.c1 = 1, .c64 = INT64_C(1) << 40}, zero = {0};
    rask_batch *b = one_batch(pool, &wide_schema, emit_wide, &v, &zero);
    rask_row row = rask_batch_row(b, 0);

    (void)state;
    assert_int_equal(wide_columns, 64);
    assert_true(wide_at(&row).c1 == 1 && wide_at(&row).c64 == INT64_C(1) << 40);
    batch_unref(b);
    pool_check_empty(pool);
}

static void a_state_is_its_slots(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct spent), 7 * 8);
    assert_int_equal(offsetof(struct spent, times), 8);
    assert_int_equal(offsetof(struct spent, sum), 24);
    assert_int_equal(offsetof(struct spent, at), 48);
    spent_of(NULL, 0)->times = 3;
    assert_ptr_equal(asked_schema, &spent_schema);
    assert_int_equal(asked_size, sizeof(struct spent));
    assert_int_equal(spent_peek(NULL, 0)->times, 3);
    assert_null(spent_peek(NULL, 1));
}

/* ---- the compilers ---- */

/* Returns the exit status; -1: there is no such compiler. */
static int compile(const char *compiler, const char *language, const char *standard,
                   const char *row_case)
{
    char *define = row_case ? mem_printf("-DROW_CASE=%s", row_case) : mem_strdup("-DROW_NOTHING");
    const char *argv[] = {compiler,
                          "-x",
                          language,
                          standard,
                          "-fsyntax-only",
                          "-I.",
                          "-Iapi/include",
                          "-Wall",
                          "-Wextra",
                          "-Wconversion",
                          "-Wpedantic",
                          "-Wshadow",
                          "-Werror",
                          define,
                          "test/unit/api/row_sample.h",
                          NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status = -1;

    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&pid, compiler, &actions, NULL, (char **)(uintptr_t)argv, environ) == 0) {
        assert_int_equal(waitpid(pid, &status, 0), pid);
        status = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
    }
    posix_spawn_file_actions_destroy(&actions);
    mem_free(define);
    return status == 127 ? -1 : status;
}

static void compilers_take_it_without_a_word(void **state)
{
    static const char *const compilers[][3] = {{"gcc", "c", "-std=c11"},
                                               {"clang", "c", "-std=c11"},
                                               {"g++", "c++", "-std=c++17"},
                                               {"clang++", "c++", "-std=c++17"}};
    static const char *const wrong[] = {
        "RASK_STATE(s, (STRING, n))", "RASK_STATE(s, (NULL_INT, n))",
        "RASK_STATE(s, (ARRAY(INT), n))", "RASK_STATE(s, (ROW(one), n))", "RASK_ROW(s, (ROW(none), n))",
        "RASK_ROW(s, (DECIMAL(39, 1), n))", "RASK_ROW(s, (INT, n), (INT, n))",
        "RASK_ROW(s, (VARCHAR, n))"};
    unsigned done = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(compilers); i++) {
        const char *const *c = compilers[i];

        if (compile(c[0], c[1], c[2], NULL) < 0)
            continue;
        done++;
        assert_int_equal(compile(c[0], c[1], c[2], NULL), 0);
        assert_int_equal(compile(c[0], c[1], c[2], "RASK_STATE(s, (INT, n))"), 0);
        for (size_t k = 0; k < ARRAY_LEN(wrong); k++)
            assert_int_equal(compile(c[0], c[1], c[2], wrong[k]), 1);
    }
    assert_true(done > 0);
}

/* ---- rows by N_emit between rows by other ways ---- */

RASK_ROW(mixed, (STRING, word), (NULL_STRING, maybe), (BIGINT, n));

enum { MIXED_ROWS = 3000, MIXED_LETTERS = 40 };

struct mixed_world {
    struct rng rng;
    struct model_sink sink;
    rask_out *out;
    struct {
        int64_t n;
        rask_ts time;
        uint32_t word_len, maybe_len; /* beyond MIXED_LETTERS: null */
    } rows[MIXED_ROWS];
    uint32_t count;
};

static const char mixed_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

static struct mixed mixed_random(struct mixed_world *w, bool counted)
{
    struct mixed v = {{mixed_letters, rng_below(&w->rng, MIXED_LETTERS)},
                      {{mixed_letters, rng_below(&w->rng, MIXED_LETTERS)}, rng_below(&w->rng, 4) == 0},
                      (int64_t)rng_next(&w->rng)};

    if (counted) {
        w->rows[w->count].n = v.n;
        w->rows[w->count].time = w->out->event_time;
        w->rows[w->count].word_len = v.word.len;
        w->rows[w->count++].maybe_len = v.maybe.is_null ? MIXED_LETTERS : v.maybe.value.len;
    }
    return v;
}

static void mixed_step(struct mixed_world *w)
{
    rask_out *out = w->out;
    uint32_t what = rng_below(&w->rng, 40);
    struct mixed v;
    rask_batch *b;

    if (what == 0) { /* begun, never ended */
        v = mixed_random(w, false);
        assert_int_equal(rask_out_begin(out, &mixed_schema), 0);
        rask_out_string(out, 0, v.word);
        rask_out_null(out, 1);
    } else if (what == 1) { /* refused */
        assert_int_equal(rask_out_begin(out, &mixed_schema), 0);
        rask_out_null(out, 1);
        rask_out_null(out, 2);
        assert_true(rask_out_end(out) != 0);
    } else if (what < 5) { /* cell by cell; the nullable string is left out: it is empty */
        v = mixed_random(w, true);
        w->rows[w->count - 1].maybe_len = 0;
        assert_int_equal(rask_out_begin(out, &mixed_schema), 0);
        rask_out_string(out, 0, v.word);
        rask_out_i64(out, 2, v.n);
        assert_int_equal(rask_out_end(out), 0);
    } else if (what == 5) {
        b = out_take(out);
        if (b)
            w->sink.batches[w->sink.count++] = b;
    } else if (what == 6) {
        out->event_time = rng_below(&w->rng, 2) ? RASK_TS_MIN : (rask_ts)rng_below(&w->rng, 1000);
    } else {
        v = mixed_random(w, true);
        assert_int_equal(mixed_emit(out, &v), 0);
    }
}

static uint32_t mixed_check(const struct mixed_world *w, const rask_batch *b, uint32_t at)
{
    for (uint32_t i = 0; i < b->rows; i++, at++) {
        rask_row row = rask_batch_row(b, i);
        struct mixed v = mixed_at(&row);

        assert_int_equal(v.n, w->rows[at].n);
        assert_int_equal(v.word.len, w->rows[at].word_len);
        assert_memory_equal(v.word.data, mixed_letters, v.word.len);
        assert_int_equal(v.maybe.is_null, w->rows[at].maybe_len == MIXED_LETTERS);
        assert_int_equal(v.maybe.value.len, w->rows[at].maybe_len % MIXED_LETTERS);
        if (v.maybe.value.len > 0)
            assert_memory_equal(v.maybe.value.data, mixed_letters, v.maybe.value.len);
        if (b->event_time.data)
            assert_int_equal(((const rask_ts *)b->event_time.data)[row.position], w->rows[at].time);
        else
            assert_int_equal(w->rows[at].time, RASK_TS_MIN);
    }
    return at;
}

static void rows_by_any_way_are_the_rows_that_were_written(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct mixed_world *w = MEM_NEW(struct mixed_world);
        struct pool *pool = pool_new(0);
        uint32_t at = 0;

        w->rng.s = seed;
        w->out = out_new(pool, &mixed_schema, seed % 3 ? BATCH_EVENT_TIME : BATCH_EVENT_TIME | BATCH_KIND,
                         &model_hooks, &w->sink);
        w->out->rows_limit = seed % 2 ? RASK_BATCH_ROWS_MAX : 200;
        w->out->string_limit = seed % 5 ? 128 * 1024 : 2000;
        while (w->count < MIXED_ROWS) {
            mixed_step(w);
            if (w->sink.count >= 60 || w->count == MIXED_ROWS) {
                for (uint32_t i = 0; i < w->sink.count; i++) {
                    at = mixed_check(w, w->sink.batches[i], at);
                    batch_unref(w->sink.batches[i]);
                }
                w->sink.count = 0;
            }
        }
        w->sink.batches[0] = out_take(w->out);
        if (w->sink.batches[0])
            at = mixed_check(w, w->sink.batches[0], at);
        batch_unref(w->sink.batches[0]);
        assert_int_equal(at, MIXED_ROWS);
        out_free(w->out);
        pool_check_empty(pool);
        mem_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_goes_through_a_batch),
        cmocka_unit_test(rows_by_any_way_are_the_rows_that_were_written),
        cmocka_unit_test(nulls_go_through_a_batch),
        cmocka_unit_test(rows_inside_cells_go_through_a_batch),
        cmocka_unit_test(mistakes_inside_cells_are_named),
        cmocka_unit_test(a_begun_row_with_cells_goes_on),
        cmocka_unit_test(schemas_say_what_was_declared),
        cmocka_unit_test(sixty_four_columns),
        cmocka_unit_test(a_state_is_its_slots),
        cmocka_unit_test(compilers_take_it_without_a_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
