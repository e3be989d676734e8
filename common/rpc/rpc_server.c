/*
 * rpc_server.c - the accepting side: listens, holds the peers, bounds those that have not said who they are.
 *
 * A peer is shown to the handler once its handshake is over; who is refused before is told why and logged here.
 * Thread: the loop.
 */
#include <string.h>

#include "common/rpc/rpc_private.h"

struct rpc_server {
    uint32_t magic;
    struct env *env;
    struct rpc_server_options options;
    struct rpc_handler handler;
    struct net_listener *listener;
    struct list peers;
    uint32_t handshakes; /* peers that are not ready */
    struct env_log_rate refusals;
    struct rpc_method_stats stats[RPC_METHOD_MAX];
};

/* A worker names the secret of its job in the TLS handshake. */
static bool psk_of(void *arg, const char *psk_name, uint8_t ret_psk[NET_PSK_BYTES])
{
    struct rpc_server *server = MAGIC_CAST(arg, struct rpc_server, RPC_SERVER_MAGIC);
    struct rpc_identity identity = {.role = RASK__CONTROL__ROLE__WORKER};
    char name[NET_PSK_NAME_MAX + 1];

    if (!rpc_psk_parse(psk_name, &identity) || !server->options.secret_of ||
        !server->options.secret_of(server->options.arg, &identity.job_id, identity.job_epoch, identity.secret))
        return false;
    rpc_psk(&identity, name, ret_psk);
    memset(&identity, 0, sizeof(identity));
    return strcmp(name, psk_name) == 0;
}

/* When too many have not said who they are, the one that has been at it for longest makes room: who only holds
 * connections open does not lock out those that come to the point. */
static void make_room(struct rpc_server *server)
{
    LIST_FOREACH(at, &server->peers) {
        struct rpc_peer *peer = LIST_ENTRY(at, struct rpc_peer, in_server);
        struct err err = {0};

        if (peer->state == RPC_PEER_READY)
            continue;
        ENV_PROBE(server->env, "rpc: an unfinished handshake makes room");
        err_set(&err, ERR_LIMIT, "%u handshakes are unfinished, and this one is the oldest", server->handshakes);
        rpc_peer_fail(peer, &err);
        return;
    }
}

static void on_accept(void *arg, struct net_conn *conn)
{
    struct rpc_server *server = MAGIC_CAST(arg, struct rpc_server, RPC_SERVER_MAGIC);
    const struct net_ops *ops = server->env->net->ops;
    struct rpc_peer *peer;

    if (server->handshakes >= RPC_HANDSHAKES_MAX)
        make_room(server);
    peer = rpc_peer_new(server->env, &server->handler, server->options.arg);
    peer->server = server;
    peer->conn = conn;
    peer->state = RPC_PEER_HELLO;
    peer->fence = server->options.fence;
    peer->interval_ms = server->options.heartbeat_interval_ms;
    peer->timeout_ms = server->options.heartbeat_timeout_ms;
    peer->stats = server->stats;
    peer->name = mem_printf("peer at %s", ops->peer(conn));
    list_push_back(&server->peers, &peer->in_server);
    server->handshakes++;
    ops->set_limit(conn, RPC_HANDSHAKE_FRAME);
    ops->set_handler(conn, &rpc_net_handler, peer);
    if (server->options.tls)
        ops->secure(conn, &(struct net_secure){
                              .tls = server->options.tls, .accepting = true, .psk_of = psk_of, .arg = server});
}

int rpc_server_new(struct env *env, const struct rpc_server_options *options, struct rpc_server **ret,
                   struct err *err)
{
    struct rpc_server *server;
    int code;

    if (!net_is_loopback(options->address) && !options->allow_plaintext && !options->tls)
        return err_set(err, ERR_PERMISSION,
                       "refusing to listen on %s: other hosts can reach it and connections are not "
                       "encrypted; bind to localhost, set security.ssl.internal.enabled: true (rask security "
                       "init makes the certificates), or security.allow-plaintext: true",
                       options->address);
    server = MEM_NEW(struct rpc_server);
    server->magic = RPC_SERVER_MAGIC;
    server->env = env;
    server->options = *options;
    server->options.address = NULL;
    server->handler = *options->handler;
    list_init(&server->peers);
    code = env->net->ops->listen(env->net, options->address, on_accept, server, &server->listener, err);
    if (code < 0) {
        mem_free(server);
        return code;
    }
    *ret = server;
    return 0;
}

const char *rpc_server_address(struct rpc_server *server)
{
    return server->env->net->ops->listener_address(server->listener);
}

void rpc_server_free(struct rpc_server *server)
{
    if (!server)
        return;
    server->env->net->ops->listener_close(server->listener);
    while (!list_empty(&server->peers))
        rpc_close(LIST_ENTRY(server->peers.next, struct rpc_peer, in_server));
    CHECK(server->handshakes == 0);
    server->magic = 0;
    mem_free(server);
}

void rpc_server_settled(struct rpc_server *server)
{
    CHECK(server->handshakes > 0);
    server->handshakes--;
}

void rpc_server_forget(struct rpc_server *server, struct rpc_peer *peer)
{
    CHECK(peer->server == server);
    list_remove(&peer->in_server);
}

void rpc_server_refused(struct rpc_server *server, const char *who, const struct err *why)
{
    env_log_limited(server->env, &server->refusals, LOG_WARN, "rpc", NULL, "refused %s: %s", who, why->text);
}

const struct rpc_server_options *rpc_server_options_of(const struct rpc_server *server)
{
    return &server->options;
}

const struct rpc_method_stats *rpc_server_stats(const struct rpc_server *server, enum rpc_method method)
{
    CHECK((uint32_t)method < RPC_METHOD_MAX);
    return &server->stats[method];
}
