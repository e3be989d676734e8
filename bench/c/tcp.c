/*
 * tcp.c - rows moved over TCP of the loopback and nothing else: two processes, a connection each way, in each process one
 * thread that makes rows of a split and writes them, and one that reads and adds them up.  No exchange by key, no frames.
 *
 *     tcp --rows N
 */
#include <sys/wait.h>
#include <unistd.h>

#include "bench/c/bench.h"
#include "bench/c/loopback.h"
#include "bench/rows.h"

enum { BLOCK_ROWS = 4096 }; /* 128 KiB */

struct side {
    struct row4_split sends, receives;
    int send, receive; /* descriptors */
    uint64_t sum;
};

static void *send_rows(void *arg)
{
    const struct side *side = arg;
    struct row4 *block = bench_memory(BLOCK_ROWS * sizeof(*block));

    for (uint64_t i = 0; i < side->sends.rows;) {
        size_t n = side->sends.rows - i < BLOCK_ROWS ? side->sends.rows - i : BLOCK_ROWS;

        for (size_t j = 0; j < n; j++)
            block[j] = row4_plain(side->sends.number, i + j);
        i += n;
        write_all(side->send, block, n * sizeof(*block));
    }
    munmap(block, BLOCK_ROWS * sizeof(*block));
    return NULL;
}

static void *receive_rows(void *arg)
{
    struct side *side = arg;
    struct row4 *block = bench_memory(BLOCK_ROWS * sizeof(*block));

    for (uint64_t i = 0; i < side->receives.rows;) {
        size_t n = side->receives.rows - i < BLOCK_ROWS ? side->receives.rows - i : BLOCK_ROWS, got = 0;

        for (i += n; got < n * sizeof(*block);) {
            ssize_t done = read(side->receive, (char *)block + got, n * sizeof(*block) - got);

            if (done <= 0)
                bench_die("read");
            got += (size_t)done;
        }
        for (size_t j = 0; j < n; j++)
            side->sum += row4_check(block[j].a, block[j].b, block[j].c, block[j].d);
    }
    munmap(block, BLOCK_ROWS * sizeof(*block));
    return NULL;
}

static void run_side(struct side *side)
{
    pthread_t sender, receiver;

    if (pthread_create(&sender, NULL, send_rows, side) || pthread_create(&receiver, NULL, receive_rows, side))
        bench_die("pthread_create");
    pthread_join(sender, NULL);
    pthread_join(receiver, NULL);
}

int main(int argc, char **argv)
{
    uint64_t rows = bench_option(argc, argv, "rows", 200000000), other_sum = 0;
    struct side here = {.sends = row4_split_of(0, 2, rows, 0), .receives = row4_split_of(1, 2, rows, 0)};
    struct side there = {.sends = here.receives, .receives = here.sends};
    double begin = bench_seconds();
    int result[2], status;
    pid_t child;

    connection(&here.send, &there.receive);
    connection(&there.send, &here.receive);
    if (pipe(result) != 0)
        bench_die("pipe");
    child = fork();
    if (child < 0)
        bench_die("fork");
    if (child == 0) {
        run_side(&there);
        _exit(write(result[1], &there.sum, sizeof(there.sum)) == sizeof(there.sum) ? 0 : 1);
    }
    run_side(&here);
    if (read(result[0], &other_sum, sizeof(other_sum)) != sizeof(other_sum) || waitpid(child, &status, 0) != child || status)
        bench_die("the other process");
    return bench_tell(rows, here.sum + other_sum, bench_seconds() - begin);
}
