/*
 * rpc_tls.c - what a job's secret is called in TLS, and the key that it becomes there.
 *
 * The key is derived, so that the secret itself is used for nothing else, and bound to its use: a proof towards the
 * JobManager is none towards a worker.  Not here: TLS (common/net).  Thread: the loop.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/rpc/rpc_private.h"
#include "common/security/hmac.h"

#define LABEL      "rask tls 1 "
#define NAME_RPC   "rask/rpc/"
#define NAME_DATA  "rask/data/"
#define ID_DIGITS  32
#define EPOCH_MAX  20 /* decimal digits */

void rpc_psk(const struct rpc_identity *identity, char ret_name[NET_PSK_NAME_MAX + 1],
             uint8_t ret_psk[NET_PSK_BYTES])
{
    char id[ID_TEXT_MAX], text[sizeof(LABEL) + NET_PSK_NAME_MAX];

    snprintf(ret_name, NET_PSK_NAME_MAX + 1, "%s%s/%" PRIu64,
             identity->role == RASK__CONTROL__ROLE__PEER_WORKER ? NAME_DATA : NAME_RPC,
             id_format(&identity->job_id, id), identity->job_epoch);
    snprintf(text, sizeof(text), LABEL "%s", ret_name);
    security_hmac_sha256(identity->secret, sizeof(identity->secret), text, strlen(text), ret_psk);
}

bool rpc_psk_parse(const char *name, struct rpc_identity *ret)
{
    size_t prefix = strlen(NAME_RPC);
    const char *at = name + prefix;
    uint64_t epoch = 0;
    char id[ID_DIGITS + 1];

    if (strncmp(name, NAME_RPC, prefix) != 0 || strlen(at) < ID_DIGITS + 2 || at[ID_DIGITS] != '/')
        return false;
    memcpy(id, at, ID_DIGITS);
    id[ID_DIGITS] = '\0';
    at += ID_DIGITS + 1;
    if (!id_parse(id, &ret->job_id) || strlen(at) > EPOCH_MAX || strspn(at, "0123456789") != strlen(at))
        return false;
    for (; *at; at++)
        epoch = epoch * 10 + (uint64_t)(*at - '0');
    ret->job_epoch = epoch;
    return true;
}

void rpc_secure(struct env *env, struct net_conn *conn, const struct rpc_identity *identity, bool accepting)
{
    struct net_secure how = {.tls = identity->tls, .accepting = accepting};
    char name[NET_PSK_NAME_MAX + 1];
    uint8_t psk[NET_PSK_BYTES];

    if (identity->has_secret) {
        rpc_psk(identity, name, psk);
        how.psk_name = name;
        how.psk = psk;
    }
    env->net->ops->secure(conn, &how);
    memset(psk, 0, sizeof(psk));
}

bool rpc_proven(struct env *env, struct net_conn *conn, const struct rpc_identity *identity)
{
    char name[NET_PSK_NAME_MAX + 1];
    uint8_t psk[NET_PSK_BYTES];

    if (!identity->has_secret)
        return env->net->ops->proven(conn, NULL);
    rpc_psk(identity, name, psk);
    memset(psk, 0, sizeof(psk));
    return env->net->ops->proven(conn, name);
}
