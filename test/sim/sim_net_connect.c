/*
 * sim_net_connect.c - listeners and the making of connections in the simulated network.
 *
 * A host is known by its name; 127.0.0.1 and localhost are the host itself.  Connecting is an event at the other host,
 * after the delay of one frame, and its outcome comes back after that of another.
 */
#include <string.h>

#include "test/sim/sim_net_private.h"

#define CONNECT_TIMEOUT_NS (10 * (uint64_t)SIM_S)
#define CONNECT_RETRY_NS   (1 * (uint64_t)SIM_S)

struct net_listener {
    struct list node; /* in sim.listeners */
    struct sim_env *env;
    char *address; /* with the chosen port */
    uint16_t port; /* 0: inproc */
    bool loopback_only;
    net_accept_fn *fn;
    void *arg;
    bool closed; /* by its owner, inside fn */
    uint32_t busy;
};

static struct sim_host *host_named(struct sim *sim, const char *name)
{
    LIST_FOREACH (n, &sim->hosts) {
        struct sim_host *host = LIST_ENTRY(n, struct sim_host, node);

        if (host != sim->coord_host && strcmp(host->name, name) == 0)
            return host;
    }
    return NULL;
}

static struct net_listener *find_listener(struct sim *sim, struct sim_host *host, uint16_t port,
                                          const char *inproc)
{
    LIST_FOREACH (n, &sim->listeners) {
        struct net_listener *l = LIST_ENTRY(n, struct net_listener, node);

        if (l->env->node->host != host || l->port != port || l->closed)
            continue;
        if (port != 0 || strcmp(l->address, inproc) == 0)
            return l;
    }
    return NULL;
}

static int choose_port(struct sim_env *env, const char *address, struct net_hostport *hp,
                       struct err *err)
{
    struct sim_host *host = env->node->host;

    if (!net_is_loopback(hp->host) && strcmp(hp->host, "0.0.0.0") != 0 &&
        strcmp(hp->host, host->name) != 0)
        return err_set(err, ERR_UNAVAILABLE, "cannot listen on %s: Cannot assign requested address",
                       address);
    if (hp->port != 0 && find_listener(env->sim, host, hp->port, NULL) != NULL)
        return err_set(err, ERR_UNAVAILABLE, "cannot listen on %s: Address already in use",
                       address);
    while (hp->port == 0 || find_listener(env->sim, host, hp->port, NULL) != NULL)
        hp->port = ++host->next_port;
    return 0;
}

int sim_net_listen(struct net *net, const char *address, net_accept_fn *fn, void *arg,
                   struct net_listener **ret, struct err *err)
{
    struct sim_env *env = CONTAINER_OF(net, struct sim_net, net)->env;
    struct net_hostport hp = {.port = 0};
    struct net_listener *l;
    int rc = 0;

    if (net_is_inproc(address)) {
        if (find_listener(env->sim, env->node->host, 0, address) != NULL)
            return err_set(err, ERR_EXISTS,
                           "cannot listen on %s: somebody in this process already does", address);
    } else {
        rc = net_address_parse(address, &hp, err);
        if (rc != 0)
            return err_wrap(err, "cannot listen");
        rc = choose_port(env, address, &hp, err);
        if (rc != 0)
            return rc;
    }
    l = MEM_NEW(struct net_listener);
    l->env = env;
    l->port = hp.port;
    l->loopback_only = hp.port != 0 && net_is_loopback(hp.host);
    l->address = hp.port == 0 ? mem_strdup(address) : mem_printf("%s:%u", hp.host, hp.port);
    l->fn = fn;
    l->arg = arg;
    list_push_back(&env->sim->listeners, &l->node);
    *ret = l;
    return 0;
}

const char *sim_net_listener_address(struct net_listener *listener)
{
    return listener->address;
}

static void listener_free(struct net_listener *l)
{
    list_remove(&l->node);
    mem_free(l->address);
    mem_free(l);
}

void sim_net_listener_close(struct net_listener *listener)
{
    if (listener == NULL)
        return;
    listener->closed = true;
    if (listener->busy == 0)
        listener_free(listener);
}

void sim_net_listeners_end(struct sim_env *env)
{
    LIST_FOREACH_SAFE (n, &env->sim->listeners) {
        struct net_listener *l = LIST_ENTRY(n, struct net_listener, node);

        if (l->env != env)
            continue;
        sim_fail(env->sim, "%s was freed while it listened on %s", env->node->name, l->address);
        listener_free(l);
    }
}

/* ---- connecting ---- */

static void refuse(struct net_conn *e, const char *why)
{
    struct err err;

    err_set(&err, ERR_UNAVAILABLE, "cannot connect to %s: %s", e->peer_name, why);
    sim_end_refused(e, &err);
}

static void accept_at(struct net_listener *l, struct net_conn *client)
{
    struct sim *sim = client->sim;
    struct sim_host *from = client->env->node->host;
    char *name =
        l->port == 0 ? mem_strdup(l->address) : mem_printf("%s:%u", from->name, ++from->next_port);
    struct net_conn *server = sim_end_new(l->env, name, false);

    mem_free(name);
    server->state = END_OPEN;
    server->peer = client;
    server->peer_host = from;
    client->peer = server;
    client->peer_host = l->env->node->host;
    sim_trace(sim, "%-8s accepts %s on %s", l->env->node->name, server->peer_name, l->address);
    sim_end_opens(client);
    sim_end_enter(server);
    l->busy++;
    l->fn(l->arg, server);
    l->busy--;
    if (server->state == END_OPEN && server->handler == NULL)
        server->env->env.net->ops->close(server); /* nobody wanted it */
    sim_end_leave(server);
    if (l->closed)
        listener_free(l);
}

static struct net_listener *listener_for(struct net_conn *e)
{
    struct sim_host *host = e->connect_to;
    struct net_listener *l;
    struct net_hostport hp;

    if (net_is_inproc(e->address))
        return find_listener(e->sim, host, 0, e->address);
    if (net_address_parse(e->address, &hp, NULL) != 0 || hp.port == 0)
        return NULL;
    l = find_listener(e->sim, host, hp.port, NULL);
    if (l != NULL && l->loopback_only && host != e->env->node->host)
        l = NULL;
    return l;
}

static void fire_connect(struct sim_event *event)
{
    struct net_conn *e = CONTAINER_OF(event, struct net_conn, connect_event);
    struct net_listener *l;
    bool unreachable;

    CHECK(e->state == END_CONNECTING && e->peer == NULL);
    if (e->connect_to == NULL) {
        refuse(e, "cannot resolve the host: Name or service not known");
        return;
    }
    unreachable = !e->connect_to->powered || sim_is_cut(e->sim, e->env->node->host, e->connect_to);
    if (unreachable) {
        if (e->sim->now_ns - e->connect_started_ns < CONNECT_TIMEOUT_NS)
            sim_event_add(e->sim, event, CONNECT_RETRY_NS);
        else
            refuse(e, "no answer in 10 s");
        return;
    }
    l = listener_for(e);
    if (l == NULL || l->env->muted)
        refuse(e, net_is_inproc(e->address) ? "nobody listens there in this process"
                                            : "Connection refused");
    else
        accept_at(l, e);
}

struct net_conn *sim_net_connect(struct net *net, const char *address,
                                 const struct net_handler *handler, void *arg)
{
    struct sim_env *env = CONTAINER_OF(net, struct sim_net, net)->env;
    struct net_conn *e = sim_end_new(env, address, true);
    struct sim_host *self = env->node->host;
    struct net_hostport hp;
    struct err err, full;

    e->handler = handler;
    e->arg = arg;
    e->address = mem_strdup(address);
    if (env->muted)
        return e;
    if (net_is_inproc(address)) {
        e->connect_to = self;
    } else if (net_address_parse(address, &hp, &err) != 0) {
        err_set(&full, err.code, "cannot connect to %s: %s", address, err.text);
        sim_end_refused(e, &full);
        return e;
    } else {
        e->connect_to = net_is_loopback(hp.host) ? self : host_named(env->sim, hp.host);
    }
    e->connect_started_ns = env->sim->now_ns;
    e->connect_event.fire = fire_connect;
    e->connect_event.what = "connect";
    e->connect_event.host = e->connect_to;
    sim_event_add(env->sim, &e->connect_event,
                  sim_net_delay(env->sim, self, e->connect_to == NULL ? self : e->connect_to));
    return e;
}
