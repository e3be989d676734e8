/*
 * coord_none.c - coordination for a JobManager that is alone: the tree of coord_tree.c in its own memory.
 *
 * The session is connected from the start and never ends.  Each completion and each watch is an event of its
 * own, in the order in which things happened.  Thread: the loop's.
 */
#include <string.h>

#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/coord/coord_tree.h"
#include "common/env/env.h"

#define OWN_SESSION 1

struct coord_none {
    struct coord coord; /* first */
    struct env *env;
    struct coord_tree *tree;
    struct list watches;
    struct list events; /* due */
    struct env_task task;
    void (*on_session)(void *arg, enum coord_session state);
    void *session_arg;
};

struct watch {
    struct list node;
    char *path; /* owned */
    enum coord_change change;
    coord_watch_fn *fn;
    void *arg;
};

/* Something to tell: a completion, a watch, or (neither) the state of the session. */
struct event {
    struct list node;
    coord_cb *cb;
    coord_watch_fn *watch;
    bool session;
    void *arg;
    char *path;                 /* owned */
    struct coord_result result; /* data and names: owned */
};

static void event_free(struct event *e)
{
    list_remove(&e->node);
    mem_free((void *)e->result.data);
    coord_tree_free_names(&e->result);
    mem_free(e->path);
    mem_free(e);
}

static struct event *event_push(struct coord_none *c, void *arg)
{
    struct event *e = MEM_NEW(struct event);

    e->arg = arg;
    list_push_back(&c->events, &e->node);
    env_post(c->env, &c->task);
    return e;
}

static void on_task(struct env_task *task)
{
    struct coord_none *c = CONTAINER_OF(task, struct coord_none, task);
    struct event *e;

    if (list_empty(&c->events))
        return;
    e = LIST_ENTRY(list_pop_front(&c->events), struct event, node);
    if (!list_empty(&c->events))
        env_post(c->env, task);
    if (e->cb != NULL)
        e->cb(e->arg, &e->result);
    else if (e->watch != NULL)
        e->watch(e->arg, e->path);
    else if (e->session && c->on_session != NULL)
        c->on_session(c->session_arg, COORD_CONNECTED);
    event_free(e);
}

static void on_changed(void *arg, const char *path, enum coord_change change)
{
    struct coord_none *c = arg;

    LIST_FOREACH_SAFE (node, &c->watches) {
        struct watch *w = LIST_ENTRY(node, struct watch, node);
        struct event *e;

        if (w->change != change || strcmp(w->path, path) != 0)
            continue;
        e = event_push(c, w->arg);
        e->watch = w->fn;
        e->path = w->path;
        list_remove(&w->node);
        mem_free(w);
    }
}

static void add_watch(struct coord_none *c, const char *path, enum coord_change change,
                      coord_watch_fn *fn, void *arg)
{
    struct watch *w;

    if (fn == NULL)
        return;
    w = MEM_NEW(struct watch);
    w->path = mem_strdup(path);
    w->change = change;
    w->fn = fn;
    w->arg = arg;
    list_push_back(&c->watches, &w->node);
}

static struct coord_none *none_of(struct coord *coord)
{
    return CONTAINER_OF(coord, struct coord_none, coord);
}

static void none_get(struct coord *coord, const char *path, coord_watch_fn *watch, coord_cb *cb,
                     void *arg)
{
    struct coord_none *c = none_of(coord);
    struct event *e = event_push(c, arg);

    e->cb = cb;
    if (coord_tree_get(c->tree, path, &e->result) == 0)
        e->result.data = mem_dup(e->result.data, e->result.len);
    add_watch(c, path, COORD_CHANGED_DATA, watch, arg);
}

static void none_children(struct coord *coord, const char *path, coord_watch_fn *watch,
                          coord_cb *cb, void *arg)
{
    struct coord_none *c = none_of(coord);
    struct event *e = event_push(c, arg);

    e->cb = cb;
    if (coord_tree_children(c->tree, path, &e->result) == 0)
        add_watch(c, path, COORD_CHANGED_CHILDREN, watch, arg);
}

static void none_multi(struct coord *coord, const struct coord_op *ops, size_t op_count,
                       coord_cb *cb, void *arg)
{
    struct coord_none *c = none_of(coord);
    struct coord_result result;
    struct event *e;

    (void)!coord_tree_multi(c->tree, ops, op_count, OWN_SESSION,
                            &result); /* the code is in result */
    e = event_push(c, arg);           /* after the watches that it set off */
    e->cb = cb;
    e->result = result;
}

static void none_on_session(struct coord *coord, void (*cb)(void *arg, enum coord_session state),
                            void *arg)
{
    struct coord_none *c = none_of(coord);

    c->on_session = cb;
    c->session_arg = arg;
    if (cb != NULL)
        event_push(c, NULL)->session = true;
}

static void none_forget(struct coord *coord, void *arg)
{
    struct coord_none *c = none_of(coord);

    LIST_FOREACH_SAFE (node, &c->events) {
        struct event *e = LIST_ENTRY(node, struct event, node);

        if (e->arg == arg && !e->session)
            event_free(e);
    }
    LIST_FOREACH_SAFE (node, &c->watches) {
        struct watch *w = LIST_ENTRY(node, struct watch, node);

        if (w->arg != arg)
            continue;
        list_remove(&w->node);
        mem_free(w->path);
        mem_free(w);
    }
    if (c->on_session != NULL && c->session_arg == arg)
        c->on_session = NULL;
}

static const struct coord_ops none_ops = {
    .get = none_get,
    .children = none_children,
    .multi = none_multi,
    .on_session = none_on_session,
    .forget = none_forget,
};

struct coord *coord_none_new(struct env *env)
{
    struct coord_none *c = MEM_NEW(struct coord_none);

    c->coord.ops = &none_ops;
    c->env = env;
    c->tree = coord_tree_new(on_changed, c);
    c->task.cb = on_task;
    list_init(&c->watches);
    list_init(&c->events);
    return &c->coord;
}

void coord_none_free(struct coord *coord)
{
    struct coord_none *c;

    if (coord == NULL)
        return;
    c = none_of(coord);
    env_unpost(c->env, &c->task);
    while (!list_empty(&c->events))
        event_free(LIST_ENTRY(c->events.next, struct event, node));
    while (!list_empty(&c->watches)) {
        struct watch *w = LIST_ENTRY(list_pop_front(&c->watches), struct watch, node);

        mem_free(w->path);
        mem_free(w);
    }
    coord_tree_free(c->tree);
    mem_free(c);
}
