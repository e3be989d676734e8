/*
 * local.c - two threads and one ring of batches: one makes rows, the other adds them up.
 *
 *     local --rows N --splits 2
 */
#include "bench/c/ring.h"

static struct ring ring;
static atomic_bool over;

static void *make(void *arg)
{
    const struct row4_split *all = arg;

    for (uint64_t number = 0; number < all->count; number++) {
        struct row4_split s = row4_split_of(number, all->count, all->rows, 0);

        for (uint64_t i = 0; i < s.rows; i += RING_ROWS) {
            size_t n = s.rows - i < RING_ROWS ? s.rows - i : RING_ROWS;
            struct row4 *rows;

            while (!(rows = ring_to_fill(&ring)))
                ring_pause();
            for (size_t j = 0; j < n; j++)
                rows[j] = row4_plain(number, i + j);
            ring_push(&ring, n);
        }
    }
    atomic_store_explicit(&over, true, memory_order_release);
    return NULL;
}

int main(int argc, char **argv)
{
    struct row4_split all = {.count = bench_option(argc, argv, "splits", 2),
                             .rows = bench_option(argc, argv, "rows", 400000000)};
    uint64_t sum = 0;
    double begin = bench_seconds();
    pthread_t maker;

    ring_init(&ring);
    if (pthread_create(&maker, NULL, make, &all) != 0)
        bench_die("pthread_create");
    while (ring_add_up(&ring, &sum) || !atomic_load_explicit(&over, memory_order_acquire))
        ring_pause();
    while (ring_add_up(&ring, &sum))
        ;
    pthread_join(maker, NULL);
    ring_release(&ring);
    return bench_tell(all.rows, sum, bench_seconds() - begin);
}
