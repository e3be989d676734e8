/*
 * partition.c - see partition.h.
 *
 * A counter that was just raised is slow to raise again: the next addition waits for the store.  With two channels that is
 * every second row.  So the rows are cut into PARTITION_LANES parts with counters of their own, and worked on in turn.
 */
#include "taskmanager/worker/exchange/partition.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/types/key_bytes.h"

enum { PARTITION_LANES = 4 };

void wk_partition_init(struct wk_partition *p, uint32_t channels)
{
    CHECK(channels >= 1);
    CHECK(channels <= UINT16_MAX);
    p->channels = channels;
    p->end = (uint32_t *)mem_alloc_array(channels + 1, sizeof(*p->end)) + 1;
    p->counts = mem_alloc_array((size_t)channels * PARTITION_LANES, sizeof(*p->counts));
}

void wk_partition_release(struct wk_partition *p)
{
    if (p->end)
        mem_free(p->end - 1);
    mem_free(p->counts);
    p->end = NULL;
    p->counts = NULL;
}

/* Counts become places: of the rows of channel 0 first those of lane 0. */
static void places(struct wk_partition *p)
{
    uint32_t channels = p->channels, at = 0;

    for (uint32_t c = 0; c < channels; c++) {
        for (uint32_t lane = 0; lane < PARTITION_LANES; lane++) {
            uint16_t *count = &p->counts[lane * channels + c];
            uint32_t n = *count;

            *count = (uint16_t)at;
            at += n;
        }
        p->end[c] = at;
    }
}

void wk_partition_sort(struct wk_partition *p, const uint16_t *dest, uint32_t rows, uint16_t *position)
{
    uint32_t channels = p->channels, part = rows / PARTITION_LANES;
    uint16_t *c0 = p->counts, *c1 = c0 + channels, *c2 = c1 + channels, *c3 = c2 + channels;
    const uint16_t *d0 = dest, *d1 = d0 + part, *d2 = d1 + part, *d3 = d2 + part;
    uint16_t *p0 = position, *p1 = p0 + part, *p2 = p1 + part, *p3 = p2 + part;

    CHECK(rows <= UINT16_MAX);
    memset(p->counts, 0, (size_t)channels * PARTITION_LANES * sizeof(*p->counts));
    for (uint32_t i = 0; i < part; i++) {
        c0[d0[i]]++;
        c1[d1[i]]++;
        c2[d2[i]]++;
        c3[d3[i]]++;
    }
    for (uint32_t i = part; i < rows - 3 * part; i++) /* what the division leaves goes with the last lane */
        c3[d3[i]]++;
    places(p);
    for (uint32_t i = 0; i < part; i++) {
        p0[i] = c0[d0[i]]++;
        p1[i] = c1[d1[i]]++;
        p2[i] = c2[d2[i]]++;
        p3[i] = c3[d3[i]]++;
    }
    for (uint32_t i = part; i < rows - 3 * part; i++)
        p3[i] = c3[d3[i]]++;
}

void wk_partition_by_hash(const uint64_t *hash, uint32_t rows, uint32_t max_parallelism, const uint16_t *rank_of_group,
                          uint16_t *dest)
{
    for (uint32_t i = 0; i < rows; i++)
        dest[i] = rank_of_group[key_group_of(hash[i], max_parallelism)];
}

static uint64_t next_random(uint64_t *state) /* splitmix64 (Steele, Lea, Flood 2014) */
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void wk_partition_at_random(uint64_t *state, uint32_t rows, uint32_t channels, uint16_t *dest)
{
    for (uint32_t i = 0; i < rows; i++)
        dest[i] = (uint16_t)((next_random(state) >> 32) * channels >> 32);
}

void wk_partition_in_turn(uint32_t *next, uint32_t rows, uint32_t channels, uint16_t *dest)
{
    for (uint32_t i = 0; i < rows; i++) {
        dest[i] = (uint16_t)*next;
        *next = *next + 1 == channels ? 0 : *next + 1;
    }
}
