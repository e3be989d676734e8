/*
 * latency.c - how long a row takes from one process to another over TCP of the loopback, with nothing in between.
 *
 *     latency --rate 50000 --seconds 5 [--hops 1] [--row-ns 40]
 *
 * A thread of the first process stamps each row when it is due and writes those that are due together; a thread of the
 * second reads and keeps histograms.  It sleeps in between and no core is reserved for anything, as in a job.
 * --hops 1: in each process a thread of its own has the socket, so that a row is handed over twice more, as in the engine.
 * --row-ns: each end is busy for so long with each row, as an engine is: what its ends could reach at best.
 * Prints the line of bench/histogram.h.  The first fifth of the rows does not count.
 */
#include <errno.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/c/bench.h"
#include "bench/c/loopback.h"
#include "bench/histogram.h"

enum { KEYS = 1000, BLOCK_ROWS = 4096, SLACK_NS = 1000 };

struct row {
    int64_t key, at_ns, due_ns, counts;
};

/* Rows on their way from one thread to another of the same process. */
struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    struct row rows[BLOCK_ROWS];
    size_t count;
    bool ended;
};

struct end {
    uint64_t rate, count, row_ns;
    int socket;
    struct queue *queue; /* NULL: no thread in between */
};

static struct histogram since_emitted, since_due;

static struct queue *queue_new(void)
{
    struct queue *q = bench_memory(sizeof(*q));

    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->filled, NULL);
    pthread_cond_init(&q->emptied, NULL);
    return q;
}

static void queue_put(struct queue *q, const struct row *rows, size_t count)
{
    for (size_t done = 0; done < count;) {
        size_t n;

        pthread_mutex_lock(&q->lock);
        while (q->count == BLOCK_ROWS)
            pthread_cond_wait(&q->emptied, &q->lock);
        n = count - done < BLOCK_ROWS - q->count ? count - done : BLOCK_ROWS - q->count;
        memcpy(q->rows + q->count, rows + done, n * sizeof(*rows));
        q->count += n;
        done += n;
        pthread_mutex_unlock(&q->lock);
        pthread_cond_signal(&q->filled);
    }
}

static void queue_end(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->ended = true;
    pthread_mutex_unlock(&q->lock);
    pthread_cond_signal(&q->filled);
}

/* All that is there, at least one; 0: the end. */
static size_t queue_take(struct queue *q, struct row rows[BLOCK_ROWS])
{
    size_t n;

    pthread_mutex_lock(&q->lock);
    while (q->count == 0 && !q->ended)
        pthread_cond_wait(&q->filled, &q->lock);
    n = q->count;
    memcpy(rows, q->rows, n * sizeof(*rows));
    q->count = 0;
    pthread_mutex_unlock(&q->lock);
    pthread_cond_signal(&q->emptied);
    return n;
}

static void sleep_until(int64_t ns)
{
    struct timespec until = {ns / 1000000000, ns % 1000000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        continue;
}

static void spend(uint64_t ns)
{
    int64_t until = now_ns() + (int64_t)ns;

    while (ns > 0 && now_ns() < until)
        continue;
}

static void *source(void *arg)
{
    const struct end *e = arg;
    struct row *rows = bench_memory(BLOCK_ROWS * sizeof(*rows));
    int64_t start = now_ns();

    prctl(PR_SET_TIMERSLACK, SLACK_NS, 0, 0, 0);
    for (uint64_t i = 0; i < e->count;) {
        int64_t now = now_ns(), due = 0;
        size_t n = 0;

        for (; n < BLOCK_ROWS && i < e->count; n++, i++) {
            due = start + (int64_t)(i * 1000000000 / e->rate);
            if (due > now)
                break;
            rows[n] = (struct row){(int64_t)(i % KEYS), now, due, i >= e->count / 5};
        }
        spend(n * e->row_ns);
        if (n == 0)
            sleep_until(due);
        else if (e->queue)
            queue_put(e->queue, rows, n);
        else
            write_all(e->socket, rows, n * sizeof(*rows));
    }
    if (e->queue)
        queue_end(e->queue);
    return NULL;
}

static void *sender(void *arg)
{
    const struct end *e = arg;
    struct row *rows = bench_memory(BLOCK_ROWS * sizeof(*rows));

    for (size_t n; (n = queue_take(e->queue, rows)) > 0;)
        write_all(e->socket, rows, n * sizeof(*rows));
    return NULL;
}

static void measure(const struct row *rows, size_t count)
{
    int64_t now = now_ns();

    for (size_t i = 0; i < count; i++) {
        if (!rows[i].counts)
            continue;
        record(&since_emitted, now - rows[i].at_ns);
        record(&since_due, now - rows[i].due_ns);
    }
}

static void *receiver(void *arg)
{
    const struct end *e = arg;
    struct row *rows = bench_memory(BLOCK_ROWS * sizeof(*rows));
    size_t have = 0;

    for (;;) {
        ssize_t got = read(e->socket, (char *)rows + have, BLOCK_ROWS * sizeof(*rows) - have);
        size_t whole;

        if (got < 0)
            bench_die("read");
        if (got == 0)
            break;
        have += (size_t)got;
        whole = have / sizeof(*rows);
        spend(whole * e->row_ns);
        if (e->queue)
            queue_put(e->queue, rows, whole);
        else
            measure(rows, whole);
        have -= whole * sizeof(*rows);
        memmove(rows, rows + whole, have);
    }
    if (e->queue)
        queue_end(e->queue);
    return NULL;
}

static void *sink(void *arg)
{
    const struct end *e = arg;
    struct row *rows = bench_memory(BLOCK_ROWS * sizeof(*rows));

    for (size_t n; (n = queue_take(e->queue, rows)) > 0;)
        measure(rows, n);
    return NULL;
}

/* The thread with the work, and the one with the socket if that is another. */
static void run_end(struct end *e, void *(*socket_thread)(void *), void *(*other)(void *))
{
    pthread_t threads[2];
    size_t count = 0;

    if (pthread_create(&threads[count++], NULL, socket_thread, e) != 0)
        bench_die("pthread_create");
    if (e->queue && pthread_create(&threads[count++], NULL, other, e) != 0)
        bench_die("pthread_create");
    while (count > 0)
        pthread_join(threads[--count], NULL);
}

int main(int argc, char **argv)
{
    uint64_t rate = bench_option(argc, argv, "rate", 50000), seconds = bench_option(argc, argv, "seconds", 5);
    bool hops = bench_option(argc, argv, "hops", 0) > 0;
    struct end here = {.rate = rate, .count = rate * seconds, .row_ns = bench_option(argc, argv, "row-ns", 0)}, there = here;
    int status;
    pid_t child;

    connection(&here.socket, &there.socket);
    child = fork();
    if (child < 0)
        bench_die("fork");
    close(child == 0 ? here.socket : there.socket);
    here.queue = hops ? queue_new() : NULL;
    there.queue = here.queue;
    if (child == 0) {
        run_end(&there, receiver, sink);
        print_latency(&since_emitted, &since_due);
        return since_emitted.rows == there.count - there.count / 5 ? 0 : 1;
    }
    run_end(&here, hops ? sender : source, source);
    close(here.socket);
    if (waitpid(child, &status, 0) != child || status != 0)
        bench_die("the other process");
    return 0;
}
