/*
 * env_libevent.h - the inside of the production env, for the other *_libevent.c files and for mains.
 *
 * Not for cores: they know env.h only.  Thread: the loop's, except where said otherwise.
 */
#ifndef ENV_ENV_LIBEVENT_H
#define ENV_ENV_LIBEVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/env/env.h"

struct event_base;

/* Borrowed. Used on the loop thread alone: libevent's own locking is off. */
struct event_base *env_libevent_base(struct env *env);

/* Brackets a callback of the loop: takes its time (unless entered_ns is 0), and lets the network write what was
 * queued inside it. */
uint64_t env_libevent_enter(struct env *env);
void env_libevent_leave(struct env *env, uint64_t entered_ns);

/* after: called at the end of each outermost callback, once it was asked for by env_libevent_want_after. */
void env_libevent_set_after(struct env *env, void (*after)(void *arg), void *arg);
void env_libevent_want_after(struct env *env);

/* The pool of threads behind env_work. notify is called by its threads when the list of done work was empty. */
struct env_pool;
struct env_pool *env_pool_new(uint32_t threads_max, void (*notify)(void *arg), void *arg);
void env_pool_submit(struct env_pool *pool, struct env_work *work);
void env_pool_deliver(struct env_pool *pool); /* calls done() of what is finished */
void env_pool_free(struct env_pool *pool);    /* finishes and delivers everything */

#endif
