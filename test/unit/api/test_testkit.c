/* The kit drives operators as the engine does: keyed state, side outputs, sources, sinks, mistakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rask/row.h>
#include <rask/testkit.h>

RASK_ROW(payment, (STRING, account), (BIGINT, cents));
RASK_ROW(alarm, (STRING, account), (BIGINT, total));
RASK_STATE(spent, (BIGINT, total));

enum { SPENT };
static const rask_state states[] = {{.kind = RASK_VALUE, .name = "spent", .schema = &spent_schema}, {0}};
static const rask_side_output sides[] = {{"refused", &payment_schema}, {0}};

static int on_payment(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct payment p = payment_at(row);
    struct spent *s;
    struct alarm a;

    if (p.cents < 0)
        return payment_emit(rask_side(ctx, 0), &p);
    if (p.cents == 666)
        return rask_fail(ctx, "a payment of %d", 666);
    s = spent_of(ctx, SPENT);
    s->total += p.cents;
    rask_accumulate(ctx, "cents", p.cents);
    if (s->total < strtoll(rask_param_of(ctx, "limit", "1000"), NULL, 10))
        return 0;
    a = (struct alarm){p.account, s->total};
    return alarm_emit(out, &a);
}
static const rask_process_fn alarm_fn = {
    .abi = RASK_ABI, .name = "alarm", .in = &payment_schema, .out = &alarm_schema, .states = states, .sides = sides,
    .on_row = on_payment};

static rask_stream *alarms(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)env;
    (void)in2;
    return rask_process(rask_key_by(in, "account"), &alarm_fn);
}

static void pay(rask_kit *kit, const char *account, int64_t cents)
{
    struct payment p = {rask_str_of(account), cents};

    assert_int_equal(payment_emit(rask_kit_in(kit, 0), &p), 0);
}

static void keyed_process_function(void **state)
{
    rask_kit *kit = rask_kit_new(alarms, &payment_schema, NULL);
    rask_row row;

    (void)state;
    rask_kit_param(kit, "limit", "500");
    pay(kit, "a", 300);
    pay(kit, "b", 400);
    pay(kit, "a", 300);
    pay(kit, "c", -1);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "a,600\n");
    assert_string_equal(rask_kit_text(kit, 0), "c,-1\n");
    assert_int_equal(rask_kit_keys(kit, SPENT), 2);
    assert_int_equal(rask_kit_accumulator(kit, "cents"), 1000);
    row = rask_kit_row(kit, RASK_KIT_MAIN, 0);
    assert_int_equal(alarm_at(&row).total, 600);
    rask_kit_clear(kit);
    assert_int_equal(rask_kit_barrier(kit, 1), 0);
    pay(kit, "b", 100);
    assert_int_equal(rask_kit_end(kit), 0);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "b,500\n");
    rask_kit_free(kit);
}

static void failures_are_told(void **state)
{
    rask_kit *kit = rask_kit_new(alarms, &payment_schema, NULL);

    (void)state;
    pay(kit, "a", 666);
    assert_true(rask_kit_push(kit) < 0);
    assert_non_null(strstr(rask_kit_error(kit), "operator \"alarm\" (subtask 0): a payment of 666"));
    assert_true(rask_kit_watermark(kit, 1) < 0);
    rask_kit_free(kit);
}

static rask_stream *wrong_column(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)env;
    (void)in2;
    return rask_sum(rask_key_by(in, "acount"), "cents");
}

static void mistakes_of_the_graph_are_told(void **state)
{
    rask_kit *kit = rask_kit_new(wrong_column, &payment_schema, NULL);

    (void)state;
    assert_true(rask_kit_open(kit) < 0);
    assert_non_null(strstr(rask_kit_error(kit), "acount"));
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "");
    rask_kit_free(kit);
}

static bool large(rask_ctx *ctx, const rask_row *row)
{
    (void)ctx;
    return payment_at(row).cents >= 10;
}

static rask_stream *several(rask_env *env, rask_stream *in, rask_stream *in2)
{
    rask_stream *timed = rask_event_time(rask_union(in, in2), "cents", 5);

    (void)env;
    return rask_sum(rask_key_by(rask_filter(timed, large), "account"), "cents");
}

static void several_operators_and_inputs(void **state)
{
    rask_kit *kit = rask_kit_new(several, &payment_schema, &payment_schema);
    struct payment p = {RASK_STR("a"), 20};

    (void)state;
    pay(kit, "a", 5);
    pay(kit, "a", 10);
    assert_int_equal(rask_kit_push(kit), 0);
    assert_int_equal(payment_emit(rask_kit_in(kit, 1), &p), 0);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "a,10\na,30\n");
    assert_int_equal(rask_kit_watermark_out(kit), 14);
    for (int i = 0; i < 10000; i++)
        pay(kit, "b", 10);
    assert_int_equal(rask_kit_rows(kit, RASK_KIT_MAIN), 10002);
    rask_kit_free(kit);
}

/* ---- rolling results ---- */

RASK_ROW(price, (STRING, article), (DECIMAL(5, 2), amount));
RASK_ROW(wide_price, (STRING, article), (DECIMAL(20, 2), amount), (ARRAY(STRING), notes));

static rask_stream *sum_of_prices(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)env;
    (void)in2;
    return rask_sum(rask_key_by(in, "article"), "amount");
}

static int first_price(rask_ctx *ctx, const rask_row *so_far, const rask_row *row, rask_out *out)
{
    (void)ctx;
    (void)row;
    return rask_forward(out, so_far);
}

static rask_stream *reduced(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)env;
    (void)in2;
    return rask_reduce(rask_key_by(in, "article"), first_price);
}

static rask_stream *counted(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)env;
    (void)in2;
    return rask_count(rask_key_by(in, "article"), "n");
}

/* The sum of a DECIMAL(5, 2) fits 64 bits long after it has more than five digits. */
static void a_decimal_sum_has_the_digits_of_its_type(void **state)
{
    rask_kit *kit = rask_kit_new(sum_of_prices, &price_schema, NULL);

    (void)state;
    assert_int_equal(price_emit(rask_kit_in(kit, 0), &(struct price){RASK_STR("a"), 99998}), 0);
    assert_int_equal(price_emit(rask_kit_in(kit, 0), &(struct price){RASK_STR("a"), 1}), 0);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "a,999.98\na,999.99\n");
    assert_int_equal(price_emit(rask_kit_in(kit, 0), &(struct price){RASK_STR("a"), 1}), 0);
    assert_true(rask_kit_push(kit) < 0);
    assert_non_null(strstr(rask_kit_error(kit), "the sum of column \"amount\" does not fit its type any more, DECIMAL(5, 2)"));
    rask_kit_free(kit);
}

static void a_wide_decimal_sum_too(void **state)
{
    rask_kit *kit = rask_kit_new(sum_of_prices, &wide_price_schema, NULL);
    struct wide_price p = {.article = RASK_STR("a")};
    __int128 most = -1;

    (void)state;
    for (int i = 0; i < 20; i++)
        most *= 10;
    most += 1; /* -99999999999999999999 */
    p.amount = (rask_decimal128){(uint64_t)most, (int64_t)(most >> 64)};
    assert_int_equal(rask_add_string(rask_out_nested(rask_kit_in(kit, 0), wide_price_col_notes), RASK_STR("first")), 0);
    assert_int_equal(wide_price_emit(rask_kit_in(kit, 0), &p), 0);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "a,-999999999999999999.99,[first]\n");
    p.amount = (rask_decimal128){(uint64_t)-1, -1};
    assert_int_equal(wide_price_emit(rask_kit_in(kit, 0), &p), 0);
    assert_true(rask_kit_push(kit) < 0);
    assert_non_null(strstr(rask_kit_error(kit), "does not fit its type any more, DECIMAL(20, 2)"));
    rask_kit_free(kit);
}

static void changelogs_are_not_summed_up(void **state)
{
    static rask_kit_build *const builds[] = {sum_of_prices, reduced, counted};

    (void)state;
    for (size_t i = 0; i < sizeof(builds) / sizeof(builds[0]); i++) {
        rask_kit *kit = rask_kit_new(builds[i], &price_schema, NULL);

        assert_int_equal(price_emit(rask_kit_in(kit, 0), &(struct price){RASK_STR("a"), 5}), 0);
        rask_kit_in(kit, 0)->row_kind = RASK_DELETE;
        assert_int_equal(price_emit(rask_kit_in(kit, 0), &(struct price){RASK_STR("a"), 5}), 0);
        assert_true(rask_kit_push(kit) < 0);
        assert_non_null(strstr(rask_kit_error(kit), "takes insertions (+I) only, not the changes of a changelog, "
                                                    "and was given -D {article=\"a\", amount=0.05}"));
        rask_kit_free(kit);
    }
}

/* ---- a source: numbers in two splits, one number a millisecond ---- */

RASK_ROW(number, (BIGINT, n));
struct numbers {
    int64_t next;
    rask_ts at;
};

static int numbers_discover(rask_ctx *ctx, rask_splits *found)
{
    (void)ctx;
    rask_split_add(found, RASK_STR("0"), RASK_STR(""));
    return rask_split_add(found, RASK_STR("1"), RASK_STR(""));
}
static int numbers_open(rask_ctx *ctx, rask_split *split)
{
    struct numbers *s = split->self;

    s->next = (split->id.data[0] - '0') * 100;
    if (split->position.len)
        memcpy(&s->next, split->position.data, sizeof(s->next));
    s->at = rask_processing_time(ctx);
    return 0;
}
static int numbers_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct numbers *s = split->self;
    struct number n = {s->next};
    int rc;

    if (s->next % 100 == 3)
        return RASK_END;
    if (rask_processing_time(ctx) < s->at) {
        rask_wake_in(ctx, 1000);
        return RASK_WAIT;
    }
    s->at++;
    rc = number_emit(out, &n);
    s->next++;
    rask_split_position(split, &s->next, sizeof(s->next));
    return rc;
}
static const rask_source numbers = {.abi = RASK_ABI, .name = "numbers", .out = &number_schema,
                                    .split_size = sizeof(struct numbers), .discover = numbers_discover,
                                    .open_split = numbers_open, .poll = numbers_poll};

static rask_stream *from_numbers(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)in;
    (void)in2;
    return rask_from_source(env, &numbers, NULL);
}

static void source(void **state)
{
    rask_kit *kit = rask_kit_new(from_numbers, NULL, NULL);

    (void)state;
    assert_int_equal(rask_kit_read(kit, 2), 0);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "0\n1\n");
    assert_false(rask_kit_is_over(kit));
    assert_int_equal(rask_kit_restart(kit), 0);
    assert_int_equal(rask_kit_read(kit, UINT64_MAX), 0);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "0\n1\n2\n100\n101\n102\n");
    assert_true(rask_kit_is_over(kit));
    rask_kit_free(kit);
}

/* ---- a sink that commits ---- */

static int64_t written, flushed, committed, closed;

static int sum_write(rask_ctx *ctx, const rask_batch *rows)
{
    (void)ctx;
    for (uint32_t i = 0; i < rows->rows; i++) {
        rask_row row = rask_batch_row(rows, i);

        written += rask_i64(&row, 1);
    }
    return 0;
}
static int sum_flush(rask_ctx *ctx)
{
    (void)ctx;
    flushed = written;
    return 0;
}
static int sum_prepare(rask_ctx *ctx, rask_committables *out)
{
    (void)ctx;
    return rask_committable_add(out, &written, sizeof(written));
}
static int sum_commit(rask_ctx *ctx, rask_bytes committable)
{
    (void)ctx;
    memcpy(&committed, committable.data, sizeof(committed));
    return 0;
}
static void sum_close(rask_ctx *ctx)
{
    (void)ctx;
    closed++;
}
static const rask_sink sum_sink = {.abi = RASK_ABI, .name = "sum", .write = sum_write, .flush = sum_flush,
                                   .prepare = sum_prepare, .commit = sum_commit, .close = sum_close};

static rask_stream *to_sum(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)env;
    (void)in2;
    return rask_sink_to(in, &sum_sink);
}

static void sink(void **state)
{
    rask_kit *kit = rask_kit_new(to_sum, &payment_schema, NULL);

    (void)state;
    pay(kit, "a", 1);
    pay(kit, "b", 2);
    assert_int_equal(rask_kit_push(kit), 0);
    assert_int_equal(written, 3);
    assert_int_equal(flushed, 0);
    assert_int_equal(rask_kit_barrier(kit, 1), 0);
    assert_int_equal(flushed, 3);
    assert_int_equal(committed, 0);
    pay(kit, "b", 4);
    assert_int_equal(rask_kit_end(kit), 0);
    assert_int_equal(committed, 7);
    pay(kit, "b", 4);
    assert_true(rask_kit_push(kit) < 0);
    assert_non_null(strstr(rask_kit_error(kit), "after rask_kit_end"));
    rask_kit_free(kit);
    assert_int_equal(closed, 1);
}

/* ---- whole batches ---- */

RASK_ROW(event, (BIGINT, number), (STRING, text));
RASK_ROW(half, (STRING, text), (BIGINT, twice));

struct counting {
    int64_t next, last;
};

static int counting_discover(rask_ctx *ctx, rask_splits *found)
{
    (void)ctx;
    return rask_split_add(found, RASK_STR("all"), RASK_STR(""));
}

/* Numbers with a long text each, by whole batches: no cell is copied once it was written. */
static int counting_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    enum { TEXT = 20 };
    struct counting *c = split->self;
    uint32_t rows = c->next + 3000 <= 10000 ? 3000 : (uint32_t)(10000 - c->next), number = 0;
    rask_batch *b = rask_batch_new(out, rows);
    rask_buffer *text = NULL;
    int rc;

    if (rask_wanted(ctx, event_col_text)) {
        text = rask_buffer_new(out, (uint64_t)rows * TEXT + 1);
        number = rask_batch_hold(b, text);
    } else {
        rask_batch_omit(b, event_col_text);
    }
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t len = i % 2 ? TEXT : 4;

        ((int64_t *)b->columns[event_col_number].data)[i] = c->next++;
        if (!text)
            continue;
        snprintf((char *)text->data + i * TEXT, TEXT + 1, "%020lld", (long long)c->next - 1);
        ((rask_view *)b->columns[event_col_text].data)[i] = rask_view_at(text, number, (i + 1) * TEXT - len, len);
    }
    rask_buffer_unref(text);
    rask_split_position(split, &c->next, sizeof(c->next));
    rc = rask_emit_batch(out, &b);
    return rc ? rc : c->next < 10000 ? RASK_MORE : RASK_END;
}
static const rask_source counting = {
    .abi = RASK_ABI, .name = "counting", .out = &event_schema, .split_size = sizeof(struct counting),
    .discover = counting_discover, .poll = counting_poll};

/* Keeps the rows of odd number; the text is shared, the number is doubled in a new column. */
static int halve(rask_op *op, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    static const int16_t columns[] = {event_col_text, RASK_NEW_COLUMN};
    const int64_t *values = (const int64_t *)in->columns[event_col_number].data;
    uint16_t keep[RASK_BATCH_ROWS_MAX];
    uint32_t kept = 0;
    rask_batch *odd, *result;

    (void)input;
    *ret_consumed = in->rows - from;
    for (uint32_t i = from; i < in->rows; i++)
        if (values[rask_position(in, i)] % 2)
            keep[kept++] = (uint16_t)i;
    odd = rask_batch_select(in, keep, kept);
    result = rask_batch_derive(rask_main_out(op), odd, columns);
    for (uint32_t i = 0; i < result->rows; i++) {
        uint32_t p = rask_position(result, i);

        ((int64_t *)result->columns[half_col_twice].data)[p] = 2 * values[p];
    }
    rask_batch_unref(odd);
    return rask_emit_batch(rask_main_out(op), &result);
}
static const rask_operator halver = {
    .abi = RASK_ABI, .name = "halve", .in = &event_schema, .out = &half_schema, .process = halve};

static rask_stream *halved(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)in;
    (void)in2;
    return rask_transform(rask_from_source(env, &counting, NULL), &halver);
}

static void sources_and_functions_of_whole_batches(void **state)
{
    rask_kit *kit = rask_kit_new(halved, NULL, NULL);

    (void)state;
    assert_int_equal(rask_kit_read(kit, 100000), 0);
    assert_true(rask_kit_is_over(kit));
    assert_int_equal(rask_kit_rows(kit, RASK_KIT_MAIN), 5000);
    for (uint32_t i = 0; i < 5000; i++) {
        rask_row row = rask_kit_row(kit, RASK_KIT_MAIN, i);
        struct half h = half_at(&row);
        char text[24];

        snprintf(text, sizeof(text), "%020u", 2 * i + 1);
        assert_int_equal(h.twice, 2 * (2 * i + 1));
        assert_int_equal(h.text.len, 20);
        assert_memory_equal(h.text.data, text, h.text.len);
    }
    assert_int_equal(rask_kit_end(kit), 0);
    rask_kit_free(kit);
}

RASK_ROW(number_alone, (BIGINT, number));

static rask_stream *projected(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)in;
    (void)in2;
    return rask_project(rask_from_source(env, &counting, NULL), &number_alone_schema);
}

/* The first one keeps a column that the second one drops. */
static rask_stream *projected_twice(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)in;
    (void)in2;
    return rask_project(rask_project(rask_from_source(env, &counting, NULL), &event_schema), &number_alone_schema);
}

static void columns_that_nobody_reads_are_not_made(void **state)
{
    rask_kit_build *const builds[] = {projected, projected_twice};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        rask_kit *kit = rask_kit_new(builds[i], NULL, NULL);

        assert_int_equal(rask_kit_read(kit, 100000), 0);
        assert_int_equal(rask_kit_rows(kit, RASK_KIT_MAIN), 10000);
        for (uint32_t n = 0; n < 10000; n++) {
            rask_row row = rask_kit_row(kit, RASK_KIT_MAIN, n);

            assert_int_equal(rask_i64(&row, 0), n);
        }
        rask_kit_free(kit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keyed_process_function),
        cmocka_unit_test(failures_are_told),
        cmocka_unit_test(mistakes_of_the_graph_are_told),
        cmocka_unit_test(several_operators_and_inputs),
        cmocka_unit_test(a_decimal_sum_has_the_digits_of_its_type),
        cmocka_unit_test(a_wide_decimal_sum_too),
        cmocka_unit_test(changelogs_are_not_summed_up),
        cmocka_unit_test(source),
        cmocka_unit_test(sink),
        cmocka_unit_test(sources_and_functions_of_whole_batches),
        cmocka_unit_test(columns_that_nobody_reads_are_not_made),
    };

    return cmocka_run_group_tests_name("testkit", tests, NULL, NULL);
}
