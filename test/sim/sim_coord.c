/*
 * sim_coord.c - a coordination service as ZooKeeper behaves: sessions that outlive connections, and expire.
 *
 * The service has a host of its own, so partitions reach it.  A client's requests are executed in order, each after
 * a delay; replies and watch events come back on one ordered lane.  A client that is cut off, paused or dead is heard
 * of no more: after a while it is SUSPENDED, what it had under way ends with ERR_CLOSED (and may have
 * happened or not), and after the session timeout the service deletes its ephemeral nodes.
 */
#include <inttypes.h>
#include <string.h>

#include "common/coord/coord_tree.h"
#include "test/sim/sim_private.h"

#define DELAY_MEAN_NS      (1 * SIM_MS)
#define TIMEOUT_DEFAULT_NS (10 * (uint64_t)SIM_S)
#define RECONNECT_MAX_NS   (1 * (uint64_t)SIM_S)

struct sim_coord {
    struct sim *sim;
    struct coord_tree *tree;
    struct list sessions, clients;
    uint64_t next_session, timeout_ns;
    bool outage;
};

/* What the service knows of a client; lives on after the client until it expires. */
struct session {
    struct list node; /* in sim_coord.sessions */
    struct sim_coord *service;
    uint64_t id, timeout_ns;
    struct client *client; /* NULL: its process is gone */
    struct list watches;
    struct sim_event expire_event;
};

struct watch {
    struct list node; /* in session.watches */
    char *path;
    enum coord_change change;
    coord_watch_fn *fn;
    void *arg;
};

enum { LANE_COMPLETION, LANE_WATCH, LANE_STATE };

/* A call on its way to the service, or something on its way back. */
struct letter {
    struct list node; /* in client.requests or client.replies */
    uint64_t at_ns;
    int kind;
    /* the call */
    int call; /* 0 get, 1 children, 2 multi */
    char *path;
    struct coord_op *ops;
    size_t op_count;
    coord_watch_fn *watch;
    coord_cb *cb;
    void *arg;
    /* the answer */
    enum coord_session state;
    struct coord_result result; /* data and names owned */
};

struct client {
    struct coord coord; /* first */
    struct list node;   /* in sim_coord.clients */
    struct sim_coord *service;
    struct sim_env *env;
    struct session *session; /* NULL once expired at the service */
    bool connected, expired; /* as the client knows it */
    struct list requests, replies;
    struct sim_event request_event, reply_event, suspend_event, reconnect_event;
    uint64_t last_ns;
    void (*on_session)(void *arg, enum coord_session state);
    void *session_arg;
    bool muted;
};

static struct sim_streams *streams(struct client *c)
{
    return &c->env->node->streams;
}

static bool linked(struct client *c)
{
    struct sim_host *host = c->env->node->host;

    return !c->muted && !c->service->outage && host->paused_until_ns <= c->env->sim->now_ns &&
           !sim_is_cut(c->env->sim, host, c->env->sim->coord_host);
}

/* ---- letters ---- */

static void letter_free(struct letter *l)
{
    list_remove(&l->node);
    for (size_t i = 0; i < l->op_count; i++) {
        mem_free((void *)l->ops[i].path);
        mem_free((void *)l->ops[i].data);
    }
    mem_free(l->ops);
    mem_free(l->path);
    mem_free((void *)l->result.data);
    coord_tree_free_names(&l->result);
    mem_free(l);
}

static void free_letters(struct list *letters)
{
    while (!list_empty(letters))
        letter_free(LIST_ENTRY(letters->next, struct letter, node));
}

static uint64_t next_time(struct client *c)
{
    uint64_t at = c->env->sim->now_ns +
                  sim_work_delay(c->env->node->host, streams(c), STREAM_COORD, DELAY_MEAN_NS / 2);

    c->last_ns = MAX(c->last_ns, at);
    return c->last_ns;
}

static void fire_reply(struct sim_event *event);

static void schedule_reply(struct client *c)
{
    if (list_empty(&c->replies) || c->reply_event.position != 0 || c->muted)
        return;
    sim_event_add_at(c->env->sim, &c->reply_event,
                     LIST_ENTRY(c->replies.next, struct letter, node)->at_ns);
}

static struct letter *reply(struct client *c, int kind)
{
    struct letter *l = MEM_NEW(struct letter);

    l->kind = kind;
    l->at_ns = next_time(c);
    list_push_back(&c->replies, &l->node);
    schedule_reply(c);
    return l;
}

static void tell_state(struct client *c, enum coord_session state)
{
    static const char *const names[] = {"connected", "suspended", "expired"};

    sim_trace(c->env->sim, "%-8s coordination session %s", c->env->node->name, names[state]);
    reply(c, LANE_STATE)->state = state;
}

static void fire_reply(struct sim_event *event)
{
    struct client *c = CONTAINER_OF(event, struct client, reply_event);
    struct letter *l = LIST_ENTRY(list_pop_front(&c->replies), struct letter, node);

    schedule_reply(c);
    if (l->kind == LANE_STATE && c->on_session != NULL)
        c->on_session(c->session_arg, l->state);
    else if (l->kind == LANE_WATCH && l->watch != NULL)
        l->watch(l->arg, l->path);
    else if (l->kind == LANE_COMPLETION && l->cb != NULL)
        l->cb(l->arg, &l->result);
    letter_free(l);
}

/* ---- at the service ---- */

static void on_changed(void *arg, const char *path, enum coord_change change)
{
    struct sim_coord *service = arg;

    LIST_FOREACH (s, &service->sessions) {
        struct session *session = LIST_ENTRY(s, struct session, node);

        LIST_FOREACH_SAFE (node, &session->watches) {
            struct watch *w = LIST_ENTRY(node, struct watch, node);
            struct letter *l;

            if (w->change != change || strcmp(w->path, path) != 0)
                continue;
            list_remove(&w->node);
            if (session->client != NULL) {
                l = reply(session->client, LANE_WATCH);
                l->path = mem_strdup(path);
                l->watch = w->fn;
                l->arg = w->arg;
            }
            mem_free(w->path);
            mem_free(w);
        }
    }
}

static void add_watch(struct session *s, const struct letter *l, enum coord_change change)
{
    struct watch *w;

    if (l->watch == NULL)
        return;
    w = MEM_NEW(struct watch);
    w->path = mem_strdup(l->path);
    w->change = change;
    w->fn = l->watch;
    w->arg = l->arg;
    list_push_back(&s->watches, &w->node);
}

static void execute(struct client *c, struct letter *l)
{
    struct coord_tree *tree = c->service->tree;

    if (l->call == 0) {
        if (coord_tree_get(tree, l->path, &l->result) == 0)
            l->result.data = mem_dup(l->result.data, l->result.len);
        add_watch(c->session, l, COORD_CHANGED_DATA);
    } else if (l->call == 1) {
        if (coord_tree_children(tree, l->path, &l->result) == 0)
            add_watch(c->session, l, COORD_CHANGED_CHILDREN);
    } else {
        (void)!coord_tree_multi(tree, l->ops, l->op_count, c->session->id, &l->result);
        sim_mix(c->env->sim, (uint64_t)(uint32_t)l->result.code);
    }
}

static void answer(struct client *c, struct letter *l)
{
    list_remove(&l->node);
    l->kind = LANE_COMPLETION;
    l->at_ns = next_time(c);
    list_push_back(&c->replies, &l->node);
    schedule_reply(c);
}

static void schedule_request(struct client *c)
{
    if (list_empty(&c->requests) || c->request_event.position != 0 || !linked(c) || !c->connected)
        return;
    sim_event_add_at(c->env->sim, &c->request_event,
                     LIST_ENTRY(c->requests.next, struct letter, node)->at_ns);
}

static void fire_request(struct sim_event *event)
{
    struct client *c = CONTAINER_OF(event, struct client, request_event);
    struct letter *l = LIST_ENTRY(c->requests.next, struct letter, node);

    if (c->session == NULL || !linked(c))
        return; /* the connection is about to be found dead */
    execute(c, l);
    answer(c, l);
    schedule_request(c);
}

static void session_free(struct session *s)
{
    sim_event_cancel(s->service->sim, &s->expire_event);
    while (!list_empty(&s->watches)) {
        struct watch *w = LIST_ENTRY(list_pop_front(&s->watches), struct watch, node);

        mem_free(w->path);
        mem_free(w);
    }
    list_remove(&s->node);
    mem_free(s);
}

static void learn_expired(struct client *c);

static void expire(struct session *s)
{
    struct sim_coord *service = s->service;
    struct client *c = s->client;
    uint64_t id = s->id;

    SIM_PROBE("coord: a session expired");
    sim_trace(service->sim, "coordination session %" PRIu64 " of %s expires", id,
              c == NULL ? "a dead node" : c->env->node->name);
    session_free(s);
    if (c != NULL)
        c->session = NULL;
    coord_tree_expire(service->tree, id);
    if (c != NULL && linked(c))
        learn_expired(c);
}

static void fire_expire(struct sim_event *event)
{
    expire(CONTAINER_OF(event, struct session, expire_event));
}

/* ---- at the client ---- */

/* Everything under way ends with an unknown outcome: a drawn number of the requests still arrives. */
static void lose_connection(struct client *c, int code)
{
    size_t count = 0, arrive;

    LIST_FOREACH (node, &c->requests)
        count++;
    arrive = code == ERR_CLOSED && c->session != NULL && count > 0
                 ? (size_t)sim_draw_range(streams(c), STREAM_COORD, 0, count)
                 : 0;
    sim_event_cancel(c->env->sim, &c->request_event);
    LIST_FOREACH (node, &c->replies) { /* these happened, but the answer is lost */
        struct letter *l = LIST_ENTRY(node, struct letter, node);

        if (l->kind != LANE_COMPLETION)
            continue;
        mem_free((void *)l->result.data);
        coord_tree_free_names(&l->result);
        l->result = (struct coord_result){.code = code};
    }
    while (!list_empty(&c->requests)) {
        struct letter *l = LIST_ENTRY(c->requests.next, struct letter, node);

        if (arrive > 0) {
            SIM_PROBE("coord: done, but its answer was lost");
            arrive--;
            execute(c, l);
            mem_free((void *)l->result.data);
            coord_tree_free_names(&l->result);
        }
        l->result = (struct coord_result){.code = code};
        answer(c, l);
    }
}

static void suspend(struct client *c)
{
    if (!c->connected || c->expired)
        return;
    SIM_PROBE("coord: a session was suspended");
    c->connected = false;
    lose_connection(c, ERR_CLOSED);
    tell_state(c, COORD_SUSPENDED);
}

static void learn_expired(struct client *c)
{
    if (c->expired)
        return;
    c->expired = true;
    c->connected = false;
    sim_event_cancel(c->env->sim, &c->suspend_event);
    sim_event_cancel(c->env->sim, &c->reconnect_event);
    lose_connection(c, ERR_UNAVAILABLE);
    tell_state(c, COORD_EXPIRED);
}

static void fire_suspend(struct sim_event *event)
{
    suspend(CONTAINER_OF(event, struct client, suspend_event));
}

static void fire_reconnect(struct sim_event *event)
{
    struct client *c = CONTAINER_OF(event, struct client, reconnect_event);

    if (!linked(c))
        return;
    if (c->session == NULL) {
        learn_expired(c);
        return;
    }
    if (c->connected)
        return;
    c->connected = true;
    tell_state(c, COORD_CONNECTED);
    schedule_request(c);
}

/* Something about the way between client and service has changed. */
static void review(struct client *c)
{
    struct sim *sim = c->env->sim;

    if (c->muted || c->expired)
        return;
    if (linked(c)) {
        sim_event_cancel(sim, &c->suspend_event);
        if (c->session != NULL)
            sim_event_cancel(sim, &c->session->expire_event);
        if ((!c->connected || c->session == NULL) && c->reconnect_event.position == 0)
            sim_event_add(sim, &c->reconnect_event,
                          sim_draw_range(streams(c), STREAM_COORD, SIM_MS, RECONNECT_MAX_NS));
        schedule_request(c);
        return;
    }
    if (c->connected && c->suspend_event.position == 0)
        sim_event_add(sim, &c->suspend_event,
                      sim_draw_range(streams(c), STREAM_COORD, c->service->timeout_ns / 3,
                                     c->service->timeout_ns * 2 / 3));
    if (c->session != NULL && c->session->expire_event.position == 0 && !c->service->outage)
        sim_event_add(sim, &c->session->expire_event,
                      c->session->timeout_ns +
                          sim_draw_range(streams(c), STREAM_COORD, 0, c->session->timeout_ns / 10));
}

static void resume_after_pause(struct sim *sim, void *arg)
{
    (void)arg;
    sim_coord_links_changed(sim);
}

void sim_coord_links_changed(struct sim *sim)
{
    LIST_FOREACH (node, &sim->coord->clients) {
        struct client *c = LIST_ENTRY(node, struct client, node);
        uint64_t until = c->env->node->host->paused_until_ns;

        review(c);
        if (until > sim->now_ns)
            sim_at(sim, until - sim->now_ns + 1, resume_after_pause, NULL);
    }
}

/* ---- operations ---- */

static struct letter *request(struct coord *coord, int call, const char *path,
                              coord_watch_fn *watch, coord_cb *cb, void *arg)
{
    struct letter *l = MEM_NEW(struct letter);

    (void)coord;
    list_init(&l->node);
    l->call = call;
    l->path = path == NULL ? NULL : mem_strdup(path);
    l->watch = watch;
    l->cb = cb;
    l->arg = arg;
    return l;
}

static void submit(struct coord *coord, struct letter *l)
{
    struct client *c = CONTAINER_OF(coord, struct client, coord);

    if (c->muted) {
        letter_free(l);
        return;
    }
    l->at_ns = next_time(c);
    if (!c->connected) { /* ZooKeeper's client fails such calls at once, in a later event */
        l->result.code = c->expired ? ERR_UNAVAILABLE : ERR_CLOSED;
        answer(c, l);
        return;
    }
    list_push_back(&c->requests, &l->node);
    schedule_request(c);
}

static void op_get(struct coord *coord, const char *path, coord_watch_fn *watch, coord_cb *cb,
                   void *arg)
{
    submit(coord, request(coord, 0, path, watch, cb, arg));
}

static void op_children(struct coord *coord, const char *path, coord_watch_fn *watch, coord_cb *cb,
                        void *arg)
{
    submit(coord, request(coord, 1, path, watch, cb, arg));
}

static void op_multi(struct coord *coord, const struct coord_op *ops, size_t op_count, coord_cb *cb,
                     void *arg)
{
    struct letter *l = request(coord, 2, NULL, NULL, cb, arg);

    l->ops = mem_dup(ops, op_count * sizeof(ops[0]));
    l->op_count = op_count;
    for (size_t i = 0; i < op_count; i++) {
        l->ops[i].path = mem_strdup(ops[i].path);
        l->ops[i].data = mem_dup(ops[i].data, ops[i].len);
    }
    submit(coord, l);
}

static void op_on_session(struct coord *coord, void (*cb)(void *arg, enum coord_session state),
                          void *arg)
{
    struct client *c = CONTAINER_OF(coord, struct client, coord);

    c->on_session = cb;
    c->session_arg = arg;
    if (cb != NULL && !c->muted)
        tell_state(c, c->expired     ? COORD_EXPIRED
                      : c->connected ? COORD_CONNECTED
                                     : COORD_SUSPENDED);
}

static void forget_letters(struct list *letters, void *arg)
{
    LIST_FOREACH (node, letters) {
        struct letter *l = LIST_ENTRY(node, struct letter, node);

        if (l->arg == arg) {
            l->cb = NULL;
            l->watch = NULL;
        }
    }
}

static void op_forget(struct coord *coord, void *arg)
{
    struct client *c = CONTAINER_OF(coord, struct client, coord);

    forget_letters(&c->requests, arg);
    forget_letters(&c->replies, arg);
    if (c->session != NULL) {
        LIST_FOREACH_SAFE (node, &c->session->watches) {
            struct watch *w = LIST_ENTRY(node, struct watch, node);

            if (w->arg != arg)
                continue;
            list_remove(&w->node);
            mem_free(w->path);
            mem_free(w);
        }
    }
    if (c->session_arg == arg)
        c->on_session = NULL;
}

static const struct coord_ops sim_coord_ops = {
    .get = op_get,
    .children = op_children,
    .multi = op_multi,
    .on_session = op_on_session,
    .forget = op_forget,
};

/* ---- life ---- */

struct sim_coord *sim_coord_service_new(struct sim *sim)
{
    struct sim_coord *service = MEM_NEW(struct sim_coord);

    service->sim = sim;
    service->tree = coord_tree_new(on_changed, service);
    service->timeout_ns = TIMEOUT_DEFAULT_NS;
    list_init(&service->sessions);
    list_init(&service->clients);
    return service;
}

void sim_coord_service_free(struct sim_coord *service)
{
    CHECK(list_empty(&service->clients));
    while (!list_empty(&service->sessions))
        session_free(LIST_ENTRY(service->sessions.next, struct session, node));
    coord_tree_free(service->tree);
    mem_free(service);
}

static struct sim_event client_event(struct client *c, void (*fire)(struct sim_event *event))
{
    return (struct sim_event){.fire = fire, .what = "coord", .host = c->env->node->host};
}

struct coord *sim_coord_new(struct sim_env *env)
{
    struct sim_coord *service = env->sim->coord;
    struct client *c = MEM_NEW(struct client);
    struct session *s = MEM_NEW(struct session);

    s->service = service;
    s->id = ++service->next_session;
    s->timeout_ns = service->timeout_ns;
    s->client = c;
    s->expire_event = (struct sim_event){.fire = fire_expire, .what = "expire"};
    list_init(&s->watches);
    list_push_back(&service->sessions, &s->node);
    c->coord.ops = &sim_coord_ops;
    c->service = service;
    c->env = env;
    c->session = s;
    c->connected = linked(c);
    list_init(&c->requests);
    list_init(&c->replies);
    c->request_event = client_event(c, fire_request);
    c->reply_event = client_event(c, fire_reply);
    c->suspend_event = client_event(c, fire_suspend);
    c->reconnect_event = client_event(c, fire_reconnect);
    list_push_back(&service->clients, &c->node);
    review(c);
    return &c->coord;
}

static void cancel_all(struct client *c)
{
    sim_event_cancel(c->env->sim, &c->request_event);
    sim_event_cancel(c->env->sim, &c->reply_event);
    sim_event_cancel(c->env->sim, &c->suspend_event);
    sim_event_cancel(c->env->sim, &c->reconnect_event);
}

void sim_coord_mute(struct coord *coord)
{
    struct client *c = CONTAINER_OF(coord, struct client, coord);

    if (linked(c))
        lose_connection(c, ERR_CLOSED); /* what was sent may still be executed */
    c->muted = true;
    cancel_all(c);
    if (c->session == NULL)
        return;
    c->session->client = NULL;
    if (c->session->expire_event.position == 0) /* the service hears no more of it */
        sim_event_add(c->env->sim, &c->session->expire_event,
                      c->session->timeout_ns +
                          sim_draw_range(streams(c), STREAM_COORD, 0, c->session->timeout_ns / 10));
    c->session = NULL;
}

void sim_coord_free(struct coord *coord)
{
    struct client *c = CONTAINER_OF(coord, struct client, coord);
    struct session *s = c->session;

    cancel_all(c);
    list_remove(&c->node);
    free_letters(&c->requests);
    free_letters(&c->replies);
    if (s != NULL && linked(c)) { /* an orderly goodbye closes the session */
        uint64_t id = s->id;

        session_free(s);
        coord_tree_expire(c->service->tree, id);
    } else if (s != NULL) {
        s->client = NULL;
        if (s->expire_event.position == 0)
            sim_event_add(c->env->sim, &s->expire_event, s->timeout_ns);
    }
    mem_free(c);
}

/* ---- faults ---- */

static struct client *client_of(struct sim_node *node)
{
    return node->env == NULL ? NULL : CONTAINER_OF(node->env->env.coord, struct client, coord);
}

void sim_coord_session_timeout(struct sim *sim, uint64_t ns)
{
    sim->coord->timeout_ns = ns;
}

void sim_coord_disconnect(struct sim_node *node)
{
    struct client *c = client_of(node);

    if (c == NULL || !c->connected)
        return;
    suspend(c);
    review(c);
}

void sim_coord_expire(struct sim_node *node)
{
    struct client *c = client_of(node);

    if (c != NULL && c->session != NULL)
        expire(c->session);
}

void sim_coord_outage(struct sim *sim, bool on)
{
    if (sim->coord->outage == on)
        return;
    sim_trace(sim, "coordination %s", on ? "stands still" : "works again");
    sim->coord->outage = on;
    LIST_FOREACH (node, &sim->coord->sessions) { /* time does not pass for sessions in an outage */
        struct session *s = LIST_ENTRY(node, struct session, node);

        sim_event_cancel(sim, &s->expire_event);
        if (!on && s->client == NULL)
            sim_event_add(sim, &s->expire_event, s->timeout_ns);
    }
    sim_coord_links_changed(sim);
}

char *sim_coord_read(struct sim *sim, const char *path, size_t *ret_len)
{
    struct coord_result result;
    char *copy;

    if (coord_tree_get(sim->coord->tree, path, &result) != 0)
        return NULL;
    copy = mem_alloc(result.len + 1);
    if (result.len > 0)
        memcpy(copy, result.data, result.len);
    *ret_len = result.len;
    return copy;
}
