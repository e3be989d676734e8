/* batch_partition against batch_gather: the same rows in the same order, or NULL where it does not know how. */
#include "test/unit/common/types/model.h"

#include <rask/make.h>

#include "common/base/cpu.h"

enum { ROUNDS = 300, INPUTS = 5, FEW = 4, MANY_ROWS = 32768 }; /* FEW places want a processor, more do not */

static const rask_field plain_fields[] = {
    {.name = "a", .type = RASK_T_BIGINT}, {.name = "b", .type = RASK_T_INT}, {.name = "c", .type = RASK_T_STRING}};
static const rask_schema plain = {RASK_ABI, ARRAY_LEN(plain_fields), "plain", plain_fields};
static const rask_field narrow_fields[] = {{.name = "a", .type = RASK_T_BIGINT}, {.name = "b", .type = RASK_T_BOOLEAN}};
static const rask_schema narrow = {RASK_ABI, ARRAY_LEN(narrow_fields), "narrow", narrow_fields};

static const rask_field number_fields[] = {
    {.name = "a", .type = RASK_T_BIGINT}, {.name = "b", .type = RASK_T_BIGINT}, {.name = "c", .type = RASK_T_BIGINT},
    {.name = "d", .type = RASK_T_BIGINT}, {.name = "e", .type = RASK_T_BIGINT}, {.name = "f", .type = RASK_T_BIGINT},
    {.name = "g", .type = RASK_T_BIGINT}, {.name = "h", .type = RASK_T_BIGINT}, {.name = "i", .type = RASK_T_BIGINT},
    {.name = "j", .type = RASK_T_BIGINT}, {.name = "k", .type = RASK_T_BIGINT}};
static const rask_field mixed_fields[] = {
    {.name = "a", .type = RASK_T_BIGINT}, {.name = "b", .type = RASK_T_STRING}, {.name = "c", .type = RASK_T_BIGINT},
    {.name = "d", .type = RASK_T_INT},    {.name = "e", .type = RASK_T_BIGINT}};

/* Columns of 8 bytes alone, 1 to 11 of them, and others among them. */
static rask_schema random_schema(struct rng *rng)
{
    rask_schema numbers = {RASK_ABI, (uint16_t)(1 + rng_below(rng, ARRAY_LEN(number_fields))), "numbers", number_fields};
    rask_schema mixed = {RASK_ABI, ARRAY_LEN(mixed_fields), "mixed", mixed_fields};
    uint32_t which = rng_below(rng, 4);

    return which == 0 ? plain : which == 1 ? mixed : numbers;
}

enum { TEXT = 4000, LONGEST = 40 };

/* Some strings lie in buffers, of which little or much is used. */
static void refer(struct pool *pool, struct rng *rng, rask_batch *b, rask_view *cells, uint32_t rows)
{
    uint32_t one_in = 1 + rng_below(rng, 60);

    for (uint32_t i = 0; i < b->buffer_count; i++) {
        b->buffers[i] = pool_get(pool, TEXT);
        for (uint32_t k = 0; k < TEXT; k++)
            b->buffers[i]->data[k] = (uint8_t)rng_below(rng, 256);
    }
    for (uint32_t i = 0; b->buffer_count > 0 && i < rows; i++) {
        uint32_t n = rng_below(rng, b->buffer_count), len = 13 + rng_below(rng, LONGEST - 13);

        if (rng_below(rng, one_in) == 0)
            cells[i] = rask_view_at(b->buffers[n], n, rng_below(rng, TEXT - LONGEST), len);
    }
}

/* Strings of at most 12 bytes lie in their cells, so any bits will do for all cells but those of longer ones. */
static rask_batch *random_batch(struct pool *pool, const rask_schema *schema, struct rng *rng, uint32_t rows, uint32_t extras,
                                uint32_t buffers)
{
    uint32_t skip = rng_below(rng, 9);
    rask_batch *whole = batch_new_with_buffers(pool, schema, rows + skip, extras, buffers), *slice;

    for (uint32_t c = 0; c < schema->columns; c++) {
        uint32_t width = schema_width(&schema->fields[c]);
        uint8_t *cells = whole->columns[c].data;

        for (uint32_t i = 0; i < (rows + skip) * width; i++)
            cells[i] = (uint8_t)rng_below(rng, 256);
        for (uint32_t i = 0; schema_is_view(&schema->fields[c]) && i < rows + skip; i++)
            memcpy(cells + i * width, &(uint32_t){12}, 4);
        if (schema_is_view(&schema->fields[c]))
            refer(pool, rng, whole, (rask_view *)whole->columns[c].data, rows + skip);
    }
    for (uint32_t i = 0; extras & BATCH_HASH && i < rows + skip; i++)
        ((uint64_t *)whole->hash.data)[i] = rng_below(rng, UINT32_MAX);
    slice = batch_slice(whole, skip, rows);
    batch_unref(whole);
    return slice;
}

/* Where each row goes in the result, and the end of each place. */
static void positions_of(const uint16_t *place, uint32_t rows, uint32_t places, uint16_t *position, uint32_t *end)
{
    uint32_t at = 0;

    for (uint32_t p = 0; p < places; p++) {
        for (uint32_t i = 0; i < rows; i++)
            if (place[i] == p)
                position[i] = (uint16_t)at++;
        end[p] = at;
    }
}

static void same_cells(const rask_batch *a, const rask_batch *b)
{
    assert_int_equal(a->rows, b->rows);
    for (uint32_t c = 0; c < a->schema->columns; c++)
        assert_memory_equal(a->columns[c].data, b->columns[c].data, a->rows * schema_width(&a->schema->fields[c]));
    assert_int_equal(a->hash.data != NULL, b->hash.data != NULL);
    if (a->hash.data)
        assert_memory_equal(a->hash.data, b->hash.data, a->rows * sizeof(uint64_t));
}

static void same_strings(const rask_batch *a, const rask_batch *b)
{
    assert_int_equal(a->buffer_count, b->buffer_count);
    for (uint32_t c = 0; c < a->schema->columns; c++)
        for (uint32_t i = 0; schema_is_view(&a->schema->fields[c]) && i < a->rows; i++) {
            rask_row x = rask_batch_row(a, i), y = rask_batch_row(b, i);
            rask_str s = rask_string(&x, (int)c), t = rask_string(&y, (int)c);

            assert_int_equal(s.len, t.len);
            assert_memory_equal(s.data, t.data, s.len);
        }
}

static bool is_known(void)
{
#if defined(__x86_64__)
    return cpu_has_avx512() && __builtin_cpu_supports("bmi2");
#else
    return false;
#endif
}

static void it_is_the_same_as_a_gather(void **state)
{
    struct pool *pool = pool_new(64u << 20);
    struct rng rng = {7};

    (void)state;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        static uint16_t place[MANY_ROWS], position[MANY_ROWS];
        static uint64_t hash[MANY_ROWS];
        uint32_t places = 2 + rng_below(&rng, rng_below(&rng, 2) ? FEW - 1 : BATCH_PLACES_MAX - 1), count = 1 + rng_below(&rng, INPUTS), rows = 0;
        uint32_t end[BATCH_PLACES_MAX], ends[BATCH_PLACES_MAX];
        uint32_t extras = rng_below(&rng, 2) ? BATCH_HASH : 0, buffers = places > FEW ? 0 : rng_below(&rng, 4), used = 1 + rng_below(&rng, places);
        const uint64_t *hashes = rng_below(&rng, 2) ? hash : NULL;
        rask_schema schema = random_schema(&rng);
        rask_batch *in[INPUTS], *parted, *gathered;

        for (uint32_t i = 0; i < count; i++) {
            uint32_t most = places > FEW ? MANY_ROWS : RASK_BATCH_ROWS_MAX;
            uint32_t n = 1 + rng_below(&rng, MIN(most / INPUTS, (uint32_t)RASK_BATCH_ROWS_MAX) / (rng_below(&rng, 2) ? 1 : 100));

            in[i] = random_batch(pool, &schema, &rng, n, extras, schema.fields == number_fields ? 0 : buffers);
            rows += n;
        }
        for (uint32_t i = 0; i < rows; i++) {
            place[i] = (uint16_t)rng_below(&rng, used);
            hash[i] = rng_below(&rng, UINT32_MAX);
        }
        positions_of(place, rows, places, position, ends);
        gathered = batch_gather_hashed(pool, in, count, position, rows, hashes);
        parted = batch_partition(pool, in, count, place, places, rows, hashes, end);
        assert_int_equal(parted != NULL, places > FEW || is_known());
        if (parted) {
            same_cells(parted, gathered);
            same_strings(parted, gathered);
            assert_memory_equal(end, ends, places * sizeof(*end));
        }
        batch_unref(parted);
        batch_unref(gathered);
        for (uint32_t i = 0; i < count; i++)
            batch_unref(in[i]);
    }
    pool_check_empty(pool);
}

static void other_forms_are_left_to_gather(void **state)
{
    struct pool *pool = pool_new(64u << 20);
    struct rng rng = {8};
    uint16_t place[20] = {1}, keep[3] = {1, 4, 5};
    uint32_t end[BATCH_PLACES_MAX + 1];
    rask_batch *cells = random_batch(pool, &plain, &rng, 20, 0, 0), *selected = batch_select(cells, keep, 3);
    rask_batch *referring = random_batch(pool, &plain, &rng, 20, 0, 1);
    rask_batch *other[] = {selected, random_batch(pool, &narrow, &rng, 20, 0, 0), random_batch(pool, &plain, &rng, 20, BATCH_KIND, 0),
                           random_batch(pool, &plain, &rng, 20, BATCH_EVENT_TIME, 0)};

    (void)state;
    for (uint32_t i = 0; i < ARRAY_LEN(other); i++) {
        assert_null(batch_partition(pool, &other[i], 1, place, 2, other[i]->rows, NULL, end));
        batch_unref(other[i]);
    }
    assert_null(batch_partition(pool, &cells, 1, place, 1, 20, NULL, end));
    assert_null(batch_partition(pool, &cells, 1, place, BATCH_PLACES_MAX + 1, 20, NULL, end));
    assert_null(batch_partition(pool, &referring, 1, place, FEW + 1, 20, NULL, end));
    batch_unref(referring);
    batch_unref(cells);
    pool_check_empty(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_same_as_a_gather),
        cmocka_unit_test(other_forms_are_left_to_gather),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
