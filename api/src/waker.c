/*
 * waker.c - what other threads wake a subtask by (rask/operator.h: rask_waker).
 *
 * It outlives the subtask, whose context is reached under its lock alone.  Order of locks: this one, then the executor's.
 */
#include <pthread.h>

#include "api/runtime.h"
#include "common/base/mem.h"

struct rask_waker {
    pthread_mutex_t lock;
    rask_ctx *ctx; /* lock; NULL: the subtask is over */
    uint32_t refs; /* atomic */
};

rask_waker *rask_waker_of(rask_ctx *ctx)
{
    if (!ctx->waker) {
        ctx->waker = MEM_NEW(rask_waker);
        pthread_mutex_init(&ctx->waker->lock, NULL);
        ctx->waker->ctx = ctx;
        ctx->waker->refs = 1;
    }
    __atomic_add_fetch(&ctx->waker->refs, 1, __ATOMIC_RELAXED);
    return ctx->waker;
}

void rask_wake(rask_waker *waker)
{
    pthread_mutex_lock(&waker->lock);
    if (waker->ctx)
        waker->ctx->ops->wake(waker->ctx);
    pthread_mutex_unlock(&waker->lock);
}

void rask_waker_unref(rask_waker *waker)
{
    if (!waker || __atomic_sub_fetch(&waker->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    pthread_mutex_destroy(&waker->lock);
    mem_free(waker);
}

void api_ctx_over(rask_ctx *ctx)
{
    rask_waker *waker = ctx->waker;

    if (!waker)
        return;
    pthread_mutex_lock(&waker->lock);
    waker->ctx = NULL;
    pthread_mutex_unlock(&waker->lock);
    ctx->waker = NULL;
    rask_waker_unref(waker);
}
