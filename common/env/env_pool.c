/*
 * env_pool.c - the threads that make blocking calls, so that a loop never waits.
 *
 * Threads start on demand up to a maximum and end with the pool.  Signals are blocked in them: they
 * belong to the loop.  Work is taken in order; its completions are delivered in order of finishing.
 */
#include <pthread.h>
#include <signal.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/env/env_libevent.h"

#define THREADS_LIMIT 64

struct work_queue {
    struct env_work *head, **tail;
};

struct env_pool {
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t has_work;
    struct work_queue todo, done;
    pthread_t threads[THREADS_LIMIT];
    uint32_t thread_count, thread_max, idle, todo_count;
    bool stopping;
    void (*notify)(void *arg);
    void *arg;
};

static void queue_init(struct work_queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

static void queue_push(struct work_queue *q, struct env_work *work)
{
    work->next = NULL;
    *q->tail = work;
    q->tail = &work->next;
}

static struct env_work *queue_pop(struct work_queue *q)
{
    struct env_work *work = q->head;

    if (work == NULL)
        return NULL;
    q->head = work->next;
    if (q->head == NULL)
        q->tail = &q->head;
    return work;
}

static void *pool_thread(void *arg)
{
    struct env_pool *pool = arg;
    struct env_work *work;

    pthread_setname_np(pthread_self(), "rask-blocking");
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        bool was_empty;

        while ((work = queue_pop(&pool->todo)) == NULL && !pool->stopping) {
            pool->idle++;
            pthread_cond_wait(&pool->has_work, &pool->mutex);
            pool->idle--;
        }
        if (work == NULL)
            break;
        pool->todo_count--;
        pthread_mutex_unlock(&pool->mutex);
        work->run(work);
        pthread_mutex_lock(&pool->mutex);
        was_empty = pool->done.head == NULL;
        queue_push(&pool->done, work);
        if (was_empty)
            pool->notify(pool->arg);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

struct env_pool *env_pool_new(uint32_t threads_max, void (*notify)(void *arg), void *arg)
{
    struct env_pool *pool = MEM_NEW(struct env_pool);

    CHECK(threads_max > 0);
    CHECK(pthread_mutex_init(&pool->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&pool->has_work, NULL) == 0);
    queue_init(&pool->todo);
    queue_init(&pool->done);
    pool->thread_max = MIN(threads_max, THREADS_LIMIT);
    pool->notify = notify;
    pool->arg = arg;
    return pool;
}

static void start_thread(struct env_pool *pool)
{
    sigset_t all, old;
    int rc;

    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &old) == 0);
    rc = pthread_create(&pool->threads[pool->thread_count], NULL, pool_thread, pool);
    CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
    /* Fewer threads than wished is slower; none at all is fatal. */
    CHECK(rc == 0 || pool->thread_count > 0);
    if (rc == 0)
        pool->thread_count++;
    else
        pool->thread_max = pool->thread_count;
}

void env_pool_submit(struct env_pool *pool, struct env_work *work)
{
    CHECK(work->run != NULL && work->done != NULL);
    pthread_mutex_lock(&pool->mutex);
    queue_push(&pool->todo, work);
    pool->todo_count++;
    /* while stopping env_pool_free runs it */
    if (!pool->stopping && pool->idle < pool->todo_count && pool->thread_count < pool->thread_max)
        start_thread(pool);
    else
        pthread_cond_signal(&pool->has_work);
    pthread_mutex_unlock(&pool->mutex);
}

void env_pool_deliver(struct env_pool *pool)
{
    struct work_queue batch;
    struct env_work *work;

    pthread_mutex_lock(&pool->mutex);
    batch.head = pool->done.head;
    queue_init(&pool->done);
    pthread_mutex_unlock(&pool->mutex);
    while ((work = batch.head) != NULL) {
        batch.head = work->next; /* done() may free the work, or submit it again */
        work->done(work);
    }
}

void env_pool_free(struct env_pool *pool)
{
    struct env_work *work;

    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->has_work);
    pthread_mutex_unlock(&pool->mutex);
    for (uint32_t i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    env_pool_deliver(pool);
    while ((work = queue_pop(&pool->todo)) != NULL) { /* submitted by a done() just now */
        work->run(work);
        work->done(work);
    }
    pthread_cond_destroy(&pool->has_work);
    pthread_mutex_destroy(&pool->mutex);
    mem_free(pool);
}
