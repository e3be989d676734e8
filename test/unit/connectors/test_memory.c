/* Sequence, collection, generator, discard. */
#include "test/unit/connectors/harness.h"

static void sequence(void **state)
{
    struct harness *h = h_new("sequence", &rask_sequence_schema);
    int64_t next = -3;

    (void)state;
    h_property(h, "first", "-3");
    h_property(h, "last", "999996");
    assert_int_equal(h_read(h), 0);
    assert_int_equal(h->rows, 1000000);
    for (uint32_t i = 0; i < h->batch_count; i++)
        for (uint32_t r = 0; r < h->batches[i]->rows; r++) {
            rask_row row = rask_batch_row(h->batches[i], r);

            assert_int_equal(rask_i64(&row, 0), next++);
        }
    h_free(h);
}

static void whole_range_of_int64(void **state)
{
    struct harness *h = h_new("sequence", &rask_sequence_schema);
    struct rask_split_slot slot = {0};
    rask_row row;
    int64_t last[2];

    (void)state;
    h_property(h, "first", "-9223372036854775808");
    h_property(h, "last", "9223372036854775807");
    assert_int_equal(h_discover(h), 0);
    assert_int_equal(h->splits, 128);
    memcpy(last, h->split_id[127].data, 16);
    assert_int_equal(last[1], INT64_MAX);
    last[0] = INT64_MAX - 1;
    assert_int_equal(h_read_split(h, (rask_str){(const char *)last, 16}, &slot, 10), RASK_END);
    assert_int_equal(h->rows, 2);
    row = rask_batch_row(h->batches[0], 1);
    assert_int_equal(rask_i64(&row, 0), INT64_MAX);
    bytes_release(&slot.position);
    h_free(h);
}

static void small_range(void **state)
{
    struct harness *h = h_new("sequence", &rask_sequence_schema);

    (void)state;
    h_property(h, "first", "5");
    h_property(h, "last", "7");
    assert_int_equal(h_read(h), 0);
    assert_rows(h, "5\n6\n7\n");
    h_free(h);
}

static const rask_field pair_fields[] = {{"word", RASK_T_STRING, 1, 0, 0, NULL}, {"n", RASK_T_BIGINT, 0, 0, 0, NULL}};
static const rask_schema pair_schema = {RASK_ABI, 2, "pair", pair_fields};

static void pair_put(rask_out *out, const char *word, int64_t n)
{
    assert_int_equal(rask_out_begin(out, &pair_schema), 0);
    if (word)
        rask_out_string(out, 0, rask_str_of(word));
    else
        rask_out_null(out, 0);
    rask_out_i64(out, 1, n);
    assert_int_equal(rask_out_end(out), 0);
}

static void add_batch(struct bytes *payload, const rask_batch *b)
{
    struct bytes one = {0};

    batch_encode(b, 0, b->rows, &one);
    bytes_add_u64(payload, one.len);
    bytes_add(payload, one.data, one.len);
    while (payload->len % 8)
        bytes_add_u8(payload, 0);
    bytes_release(&one);
}

static void collection(void **state)
{
    struct harness *h = h_new("collection", &pair_schema);
    struct bytes payload = {0};
    struct rask_split_slot slot = {0};

    (void)state;
    pair_put(h->ctx.out, "a string of more than twelve bytes", 1);
    pair_put(h->ctx.out, NULL, -2);
    h_full(h->ctx.out, h);
    pair_put(h->ctx.out, "b", 3);
    h_full(h->ctx.out, h);
    add_batch(&payload, h->batches[0]);
    add_batch(&payload, h->batches[1]);
    h_drop_rows(h);
    h->spec.has_payload = true;
    h->spec.payload = (ProtobufCBinaryData){payload.len, payload.data};
    assert_int_equal(h_read(h), 0);
    assert_rows(h, "a string of more than twelve bytes,1\n,-2\nb,3\n");
    /* one batch, then from the position */
    h_drop_rows(h);
    assert_int_equal(h_read_split(h, RASK_STR("collection"), &slot, 1), RASK_MORE);
    assert_int_equal(h->rows, 2);
    assert_int_equal(h_read_split(h, RASK_STR("collection"), &slot, 10), RASK_END);
    assert_int_equal(h->rows, 3);
    /* cut short */
    h_drop_rows(h);
    h->spec.payload.len -= 8;
    assert_true(h_read(h) < 0);
    assert_contains(h->ctx.error.text, "the rows in the graph");
    bytes_release(&slot.position);
    bytes_release(&payload);
    h_free(h);
}

static int make(rask_ctx *ctx, int64_t index, rask_out *out)
{
    if (index == 13 && rask_parallelism(ctx) == 1)
        return rask_fail(ctx, "index 13");
    assert_int_equal(rask_out_begin(out, &rask_sequence_schema), 0);
    rask_out_i64(out, 0, index);
    return rask_out_end(out);
}

static struct harness *generator_new(const char *rate, const char *count)
{
    struct harness *h = h_new("generator", &rask_sequence_schema);

    h_property(h, "rows_per_second", rate);
    h_property(h, "count", count);
    h->args.code = (const void *)(uintptr_t)make;
    return h;
}

static void generator(void **state)
{
    struct harness *h = generator_new("0", "5");

    (void)state;
    assert_int_equal(h_read(h), 0);
    assert_rows(h, "0\n1\n2\n3\n4\n");
    h_free(h);
    /* two readers take turns */
    h = generator_new("0", "5");
    h->args.readers = 2;
    assert_int_equal(h_read(h), 0);
    assert_int_equal(h->splits, 2);
    assert_rows(h, "0\n2\n4\n1\n3\n");
    h_free(h);
    h = generator_new("0", "0");
    assert_int_equal(h_read(h), 0);
    assert_rows(h, "");
    h_free(h);
    h = generator_new("0", "100");
    assert_true(h_read(h) < 0);
    assert_contains(h->ctx.error.text, "index 13");
    h_free(h);
}

static void rate_is_kept_in_virtual_time(void **state)
{
    struct harness *h = generator_new("2", "7");
    rask_ts began = h->now;

    (void)state;
    assert_int_equal(h_read(h), 0);
    assert_int_equal(h->rows, 7);
    assert_in_range(h->now - began, 3000, 3010); /* the first at once, then two a second */
    h_free(h);
    /* four readers of 1000 in all: 250 a second each; after a pause of a minute not more than a second's worth at once */
    h = generator_new("1000", "-1");
    h->args.readers = h->ctx.parallelism = 4;
    assert_int_equal(h_discover(h), 0);
    struct rask_split_slot slot = {0};

    assert_int_equal(h_read_split(h, (rask_str){(const char *)h->split_id[1].data, 8}, &slot, 251), RASK_WAIT);
    assert_int_equal(h->rows, 251);
    assert_in_range(h->now - 1000, 1000, 1010);
    bytes_release(&slot.position);
    h_free(h);
}

static void discard(void **state)
{
    struct harness *h = h_new("discard", &pair_schema);

    (void)state;
    pair_put(h->ctx.out, "a", 1);
    h_full(h->ctx.out, h);
    assert_int_equal(h_write(h, h->batches, h->batch_count), 0);
    h_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequence),   cmocka_unit_test(whole_range_of_int64),
        cmocka_unit_test(small_range), cmocka_unit_test(collection),
        cmocka_unit_test(generator),  cmocka_unit_test(rate_is_kept_in_virtual_time),
        cmocka_unit_test(discard),
    };

    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
