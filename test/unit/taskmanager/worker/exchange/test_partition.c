/* The order of rows in a block against a model that is slow and plain; and what blocks cost once the pool is warm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/types/key_bytes.h"
#include "taskmanager/worker/exchange/edge.h"
#include "taskmanager/worker/task/executor.h"
#include "test/unit/allocations.h"

static uint64_t seed = 7;
static uint32_t draw(uint32_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % below);
}

/* ---- the sort ---- */

#define CASES 100000
#define CHANNELS_MAX 700

/* Rows of lower channels first, then in their order: counted for each row anew. */
static void check_sort(struct wk_partition *p, const uint16_t *dest, uint32_t rows, const uint16_t *position)
{
    static uint32_t count[CHANNELS_MAX], at[CHANNELS_MAX];
    uint32_t sum = 0;

    memset(count, 0, sizeof(count));
    for (uint32_t i = 0; i < rows; i++)
        count[dest[i]]++;
    assert_int_equal(p->end[-1], 0);
    for (uint32_t c = 0; c < p->channels; c++) {
        at[c] = sum;
        sum += count[c];
        assert_int_equal(p->end[c], sum);
    }
    for (uint32_t i = 0; i < rows; i++)
        if (position[i] != at[dest[i]]++)
            fail_msg("row %u of %u for channel %u of %u stands at %u", i, rows, dest[i], p->channels, position[i]);
}

static void rows_stand_by_channel_in_their_order(void **state)
{
    static uint16_t dest[RASK_BATCH_ROWS_MAX], position[RASK_BATCH_ROWS_MAX];

    (void)state;
    for (uint32_t n = 0; n < CASES;) {
        uint32_t channels = draw(4) ? 1 + draw(8) : 1 + draw(CHANNELS_MAX);
        struct wk_partition p;

        wk_partition_init(&p, channels);
        for (uint32_t again = 0; again < 50; again++, n++) { /* what the last sort has left must not matter */
            uint32_t rows = draw(200) == 0 ? draw(RASK_BATCH_ROWS_MAX + 1) : draw(70), few = 1 + draw(channels);

            for (uint32_t i = 0; i < rows; i++)
                dest[i] = (uint16_t)draw(draw(2) ? few : channels);
            wk_partition_sort(&p, dest, rows, position);
            check_sort(&p, dest, rows, position);
        }
        wk_partition_release(&p);
    }
}

static void a_hash_leads_to_the_rank_of_its_group(void **state)
{
    static uint16_t rank[32768], dest[64];
    uint64_t hash[64];

    (void)state;
    for (uint32_t n = 0; n < CASES; n += 64) {
        uint32_t max = 1 + draw(draw(2) ? 128 : 32768), channels = 1 + draw(max), rows = draw(65);

        for (uint32_t g = 0; g < max; g++)
            rank[g] = (uint16_t)(channels - 1 - key_group_subtask(g, max, channels)); /* any order of ranks */
        for (uint32_t i = 0; i < rows; i++)
            hash[i] = (uint64_t)draw(1u << 31) << 33 ^ draw(1u << 31);
        wk_partition_by_hash(hash, rows, max, rank, dest);
        for (uint32_t i = 0; i < rows; i++)
            assert_int_equal(channels - 1 - dest[i],
                             (uint64_t)((unsigned __int128)(hash[i] >> 32) * max >> 32) * channels / max);
    }
}

/* ---- the cost of blocks ---- */

static void nobody(struct wk_executor *e, struct wk_runnable *r)
{
    (void)e;
    r->state = WK_IDLE;
}
static const struct wk_executor_ops ops = {.enqueue = nobody};
static struct wk_executor executor = {&ops};
static struct wk_runnable task = {.executor = &executor};

static const rask_field fields[] = {{"k", RASK_T_BIGINT, 0, 0, 0, NULL}, {"n", RASK_T_BIGINT, 0, 0, 0, NULL}};
static const rask_schema schema = {RASK_ABI, 2, "kn", fields};

#define TARGETS 8

static void one_block(struct pool *pool, struct wk_edge *edge, struct wk_gate *gates, int64_t number)
{
    rask_batch *rows = batch_new(pool, &schema, RASK_BATCH_ROWS_MAX, 0);

    for (uint32_t i = 0; i < RASK_BATCH_ROWS_MAX; i++)
        ((int64_t *)rows->columns[0].data)[i] = ((int64_t *)rows->columns[1].data)[i] = number * 5000 + i;
    wk_edge_emit(edge, rows);
    wk_edge_control(edge, WK_WATERMARK, number);
    for (uint32_t t = 0; t < TARGETS; t++) {
        struct batch_part parts[64];
        struct wk_element *taken[64], *e;
        struct wk_in *in;
        uint32_t n = 0;

        while ((e = wk_gate_take(&gates[t], &in)) != NULL) {
            if (e->type == WK_DATA) {
                assert_true(n < ARRAY_LEN(taken));
                parts[n] = (struct batch_part){e->block->rows, e->first, e->rows};
                taken[n++] = e;
                wk_in_consumed(in, e->bytes);
            } else {
                wk_element_free(e);
            }
        }
        if (n > 0)
            batch_unref(batch_join(pool, parts, n));
        while (n > 0)
            wk_element_free(taken[--n]);
    }
}

static void a_warm_exchange_allocates_nothing(void **state)
{
    struct pool *pool = pool_new(64u << 20);
    struct wk_gate gates[TARGETS];
    struct wk_edge edge = {.partitioner = RASK__GRAPH__PARTITIONER__HASH, .pool = pool, .channel_count = TARGETS,
                           .target_parallelism = TARGETS, .max_parallelism = 128, .side = -1};
    struct pool_stats before, after;
    long faults;
    uint64_t allocated;

    (void)state;
    memset(gates, 0, sizeof(gates));
    edge.channels = mem_alloc_array_lines(TARGETS, sizeof(*edge.channels));
    edge.rank_of_subtask = mem_alloc_array(TARGETS, sizeof(uint16_t));
    edge.key_columns = mem_alloc_array(1, sizeof(uint16_t));
    edge.key_count = 1;
    for (uint32_t i = 0; i < TARGETS; i++) {
        wk_gate_init(&gates[i], &task, 1);
        wk_out_init(&edge.channels[i], &task, 0, 0, i);
        wk_out_connect_local(&edge.channels[i], &gates[i].channels[0]);
        edge.rank_of_subtask[i] = (uint16_t)i;
        wk_in_open(&gates[i].channels[0], 64u << 10);
    }
    for (int64_t n = 0; n < 100; n++)
        one_block(pool, &edge, gates, n);
    pool_stats(pool, &before);
    faults = allocations_page_faults();
    allocated = allocations_so_far();
    for (int64_t n = 0; n < 1000; n++) /* sizes that were seen before: slices differ a little, and so do the pool's classes */
        one_block(pool, &edge, gates, n % 100);
    allocated = allocations_so_far() - allocated;
    faults = allocations_page_faults() - faults;
    pool_stats(pool, &after);
    if (ALLOCATIONS_COUNTED) {
        assert_int_equal(allocated, 0);
        assert_int_equal(after.allocations - before.allocations, 0);
        assert_true(faults < 10); /* of 1000 blocks, each of 40 pages */
    }
    assert_true(after.gets > before.gets);
    wk_edge_release(&edge);
    for (uint32_t i = 0; i < TARGETS; i++)
        wk_gate_release(&gates[i]);
    pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_stand_by_channel_in_their_order),
        cmocka_unit_test(a_hash_leads_to_the_rank_of_its_group),
        cmocka_unit_test(a_warm_exchange_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
